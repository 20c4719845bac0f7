package sqlserver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SecurityPolicy is a row-level security policy as the catalog shows it.
type SecurityPolicy struct {
	// Name of the policy with its schema, such as dbo.RegionFilter.
	Name string
	// Table that it filters, with its schema.
	Table string
	// Predicate as sys.security_predicates shows it, such as ([dbo].[fn_region]([region])).
	Predicate string
	// Disabled policies are in the catalog and filter nothing.
	Disabled bool
}

// The permissions that a login can lack.
const (
	viewDatabaseState = "VIEW DATABASE STATE"
	viewServerState   = "VIEW SERVER STATE"
	viewDefinition    = "VIEW DEFINITION"
	unmask            = "UNMASK"
	selectOn          = "SELECT ON "
)

var deniable = []string{viewDatabaseState, viewServerState, viewDefinition, unmask}

// restrict takes what the options take away: permissions, catalog views.
func (s *Server) restrict(o Options) error {
	for _, l := range o.Logins {
		for _, d := range l.Denied {
			word := strings.ToUpper(d)
			if table, ok := strings.CutPrefix(word, selectOn); ok && strings.Count(table, ".") == 1 || slices.Contains(deniable, word) {
				continue
			}
			return fmt.Errorf("permission %q that login %s lacks: want one of %s, or %sschema.table", d, l.Name, strings.Join(deniable, ", "), selectOn)
		}
	}
	for _, name := range o.ReadOnly {
		if !slices.ContainsFunc(o.Databases, func(n string) bool { return strings.EqualFold(n, name) }) {
			return fmt.Errorf("read-only database %q: it is not one of the databases", name)
		}
	}
	s.missingViews = map[string]bool{}
	for _, v := range o.MissingViews {
		s.missingViews[strings.ToLower(v)] = true
	}
	s.policies = o.SecurityPolicies
	for i, guid := range []string{o.AvailabilityGroup, o.Mirroring} {
		if guid == "" {
			continue
		}
		var err error
		if s.groups[i], err = toGUID(guid, nvarcharType(36)); err != nil {
			return fmt.Errorf("the databases' group %q: %w", guid, err)
		}
	}
	return nil
}

// SetReadOnly makes a database READ_ONLY, as it is on a replica, or READ_WRITE again.
func (s *Server) SetReadOnly(database string, on bool) error {
	db := s.database(database)
	if db == nil {
		return fmt.Errorf("setting database %q read-only: there is no such database", database)
	}
	db.readOnly.Store(on)
	return nil
}

// lacks says whether a permission was taken from the login.
func (l Login) lacks(permission string) bool {
	return slices.ContainsFunc(l.Denied, func(d string) bool { return strings.EqualFold(d, permission) })
}

func (l Login) maySelect(t *table) bool { return t.temp || !l.lacks(selectOn+t.Schema+"."+t.Name) }

// mayWrite refuses what changes something where the login or the database doesn't allow it.
func (s *session) mayWrite() error {
	if s.login.ReadOnly {
		return newError(errPermission, 14, "The permission was denied: login '%s' may only read on database '%s', schema 'dbo'.", s.login.Name, s.db.name)
	}
	if s.db.readOnly.Load() {
		return newError(errReadOnlyDatabase, 16, "Failed to update database \"%s\" because the database is read-only.", s.db.name)
	}
	return nil
}

// visible are the tables and views that the login may know of.
func (p *planner) visible() []*table {
	return slices.DeleteFunc(p.cat.sorted(), func(t *table) bool { return !p.s.sees(t) })
}

// sees says whether a login may know of a table: by any right to it, or the right to see all definitions.
func (s *session) sees(t *table) bool {
	return s.login.maySelect(t) || !s.login.lacks(viewDefinition)
}

// maySee refuses catalog views and functions that the server is told not to have, and those that the login has no right to.
func (s *session) maySee(view string) error {
	base := strings.TrimPrefix(view, "sys.")
	denied := newError(297, 16, "The user does not have permission to perform this action.")
	switch {
	case s.srv.missingViews[view]:
		return newError(errUnknownObject, 16, "Invalid object name '%s'.", view)
	case strings.HasPrefix(base, "dm_db_"):
		if s.login.lacks(viewDatabaseState) {
			denied.Before = newError(262, 14, "%s permission denied in database '%s'.", viewDatabaseState, s.db.name)
			return denied
		}
	case base == "dm_exec_connections", base == "dm_exec_requests", strings.HasPrefix(base, "dm_tran_"), strings.HasPrefix(base, "dm_os_"):
		if s.login.lacks(viewServerState) {
			denied.Before = newError(300, 14, "%s permission was denied on object 'server', database 'master'.", viewServerState)
			return denied
		}
	}
	return nil
}

var (
	databaseRoles = []string{"db_owner", "db_datareader", "db_datawriter", "db_ddladmin", "db_accessadmin", "db_backupoperator", "db_denydatareader", "db_denydatawriter", "db_securityadmin", "public"}
	serverRoles   = []string{"sysadmin", "serveradmin", "securityadmin", "processadmin", "setupadmin", "bulkadmin", "diskadmin", "dbcreator", "public"}
)

// inRole says whether the login is in a role of the database. An owner from whom something was taken isn't one.
func (l Login) inRole(role string) bool {
	switch role {
	case "db_owner":
		return !l.ReadOnly && len(l.Denied) == 0
	case "db_datawriter", "db_ddladmin":
		return !l.ReadOnly
	case "db_datareader":
		return true
	}
	return false
}

// roleMember plans the functions that ask for a role: NULL where there is none of the name.
func roleMember(roles []string, in func(l Login, role string) bool) func(p *planner, a []expr) (expr, error) {
	return func(p *planner, a []expr) (expr, error) {
		n, _, err := p.constantText(a[0], "IS_ROLEMEMBER")
		if err != nil {
			return expr{}, err
		}
		role := strings.ToLower(n)
		if !slices.Contains(roles, role) {
			return constantExpr(nil, intType), nil
		}
		return constantExpr(boolInt(role == "public" || in(p.s.login, role)), intType), nil
	}
}

// The permissions of each kind of securable: those of reading, and those of changing.
var (
	serverPermissions = []string{"CONNECT SQL", "VIEW ANY DATABASE", viewServerState}
	databaseReads     = []string{"CONNECT", "SELECT", viewDatabaseState, viewDefinition, unmask, "VIEW ANY COLUMN ENCRYPTION KEY DEFINITION", "VIEW ANY COLUMN MASTER KEY DEFINITION"}
	databaseWrites    = []string{"INSERT", "UPDATE", "DELETE", "CREATE TABLE", "CREATE VIEW", "ALTER", "ALTER ANY SCHEMA"}
	objectReads       = []string{"SELECT", viewDefinition}
	objectWrites      = []string{"INSERT", "UPDATE", "DELETE", "REFERENCES", "ALTER"}
	controlsDatabase  = []string{"CONTROL"}
	errNoSecurable    = errors.New("there is no such securable")
)

// permissions are those that the session's login has on a securable of a class: SERVER, DATABASE, SCHEMA or OBJECT.
func (p *planner) permissions(securable, class string) ([]string, error) {
	l := p.s.login
	var out []string
	switch strings.ToUpper(class) {
	case "", "SERVER":
		out = slices.Clone(serverPermissions)
	case "DATABASE":
		if securable != "" && p.s.srv.database(securable) == nil {
			return nil, errNoSecurable
		}
		out = slices.Clone(databaseReads)
		if !l.ReadOnly {
			out = append(out, databaseWrites...)
		}
		if l.inRole("db_owner") {
			out = append(out, controlsDatabase...)
		}
	case "OBJECT", "SCHEMA":
		out = slices.Clone(objectReads)
		if !l.ReadOnly {
			out = append(out, objectWrites...)
		}
		if strings.EqualFold(class, "SCHEMA") {
			break
		}
		t := p.objectNamed(securable)
		if t == nil {
			return nil, errNoSecurable
		}
		if !l.maySelect(t) {
			out = out[1:]
		}
	default:
		return nil, notSupported("permissions on securables of class %s", class)
	}
	return slices.DeleteFunc(out, l.lacks), nil
}

// hasPermission plans HAS_PERMS_BY_NAME: NULL where there is no such securable or permission.
func hasPermission(p *planner, a []expr) (expr, error) {
	var texts [3]string
	for i := range texts {
		var err error
		if texts[i], _, err = p.constantText(a[i], "HAS_PERMS_BY_NAME"); err != nil {
			return expr{}, err
		}
	}
	have, err := p.permissions(texts[0], texts[1])
	if errors.Is(err, errNoSecurable) {
		return constantExpr(nil, intType), nil
	}
	if err != nil {
		return expr{}, err
	}
	want := strings.ToUpper(texts[2])
	known := slices.Concat(serverPermissions, databaseReads, databaseWrites, objectReads, objectWrites, controlsDatabase)
	switch {
	case want == "ANY":
		return constantExpr(boolInt(len(have) > 0), intType), nil
	case !slices.Contains(known, want):
		return constantExpr(nil, intType), nil
	}
	return constantExpr(boolInt(slices.Contains(have, want)), intType), nil
}

// myPermissions are the rows of sys.fn_my_permissions.
func (p *planner) myPermissions(securable, class string) (*view, error) {
	v := &view{}
	v.col("entity_name", sysnameType, false).col("subentity_name", sysnameType, false).col("permission_name", nvarcharType(60), false)
	have, err := p.permissions(securable, class)
	if errors.Is(err, errNoSecurable) {
		return v, nil
	}
	entity := securable
	if entity == "" {
		entity = strings.ToLower(class)
	}
	for _, n := range have {
		v.rows = append(v.rows, []any{entity, "", n})
	}
	return v, err
}
