package sqlserver

import (
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
