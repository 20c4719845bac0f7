package sqlserver

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sqlc-dev/teesql/ast"
)

// globalVariable plans @@NAME.
func (p *planner) globalVariable(name string) (expr, error) {
	s := p.s
	switch strings.ToUpper(name) {
	case "@@VERSION":
		return constantExpr(versionText, nvarcharType(300)), nil
	case "@@SPID":
		return constantExpr(int64(s.spid), sqlType{id: tSmallInt}), nil
	case "@@TRANCOUNT":
		return constantExpr(int64(s.tran.count), intType), nil
	case "@@ROWCOUNT":
		return constantExpr(s.rowCount, intType), nil
	case "@@ERROR":
		return constantExpr(int64(s.lastErr), intType), nil
	case "@@IDENTITY":
		return p.lastIdentity()
	case "@@SERVERNAME":
		return constantExpr(serverName, sysnameType), nil
	case "@@SERVICENAME":
		return constantExpr("MSSQLSERVER", sysnameType), nil
	case "@@DBTS":
		return constantExpr(s.db.currentRowVersion(), sqlType{id: tVarBinary, length: 8}), nil
	case "@@LANGUAGE":
		return constantExpr(s.language, sysnameType), nil
	case "@@TEXTSIZE":
		return constantExpr(s.textSize, intType), nil
	case "@@LOCK_TIMEOUT":
		if s.lockTimeout < 0 {
			return constantExpr(int64(-1), intType), nil
		}
		return constantExpr(s.lockTimeout.Milliseconds(), intType), nil
	case "@@DATEFIRST":
		return constantExpr(int64(7), sqlType{id: tTinyInt}), nil
	case "@@OPTIONS":
		return constantExpr(int64(5496), intType), nil
	case "@@MAX_PRECISION":
		return constantExpr(int64(maxPrecision), sqlType{id: tTinyInt}), nil
	case "@@MICROSOFTVERSION":
		return constantExpr(int64(serverMajor)<<24, intType), nil
	}
	return expr{}, newError(137, 15, "Must declare the scalar variable \"%s\".", name)
}

func (p *planner) lastIdentity() (expr, error) {
	return constantExpr(p.s.identity, decimalType(38, 0)).asIdentity(p.s.identity), nil
}

// asIdentity stores an identity as the numeric(38,0) that it is.
func (e expr) asIdentity(v any) expr {
	n, ok := v.(int64)
	if !ok {
		return constantExpr(nil, e.typ)
	}
	b := wideFromInt(n)
	return constantExpr(b[:], e.typ)
}

// systemFunctions are the functions about the server, its databases and their objects.
func systemFunctions() map[string]scalarFunction {
	name := func(f func(p *planner) any) scalarFunction { return constantCall(sysnameType, f) }
	user := name(func(p *planner) any { return p.s.login.Name })
	dbo := name(func(*planner) any { return "dbo" })
	return map[string]scalarFunction{
		"db_name": {0, 1, func(p *planner, a []expr) (expr, error) {
			if len(a) == 0 {
				return constantExpr(p.s.db.name, sysnameType), nil
			}
			var b strings.Builder
			fmt.Fprintf(&b, "CASE %s", a[0].sql)
			for _, db := range p.s.srv.sortedDatabases() {
				fmt.Fprintf(&b, " WHEN %d THEN %s", db.id, quoteText(db.name))
			}
			return expr{sql: b.String() + " END", typ: sysnameType, nullable: true}, nil
		}},
		"db_id": {0, 1, func(p *planner, a []expr) (expr, error) {
			db := p.s.db
			if len(a) == 1 {
				n, ok, err := p.constantText(a[0], "DB_ID")
				if err != nil {
					return expr{}, err
				}
				if db = p.s.srv.database(n); db == nil || !ok {
					return constantExpr(nil, sqlType{id: tSmallInt}), nil
				}
			}
			return constantExpr(int64(db.id), sqlType{id: tSmallInt}), nil
		}},
		"suser_sname": user, "suser_name": user, "system_user": user, "systemuser": user, "original_login": user,
		"user_name": dbo, "user": dbo, "current_user": dbo, "currentuser": dbo, "session_user": dbo, "sessionuser": dbo,
		"schema_name": {0, 1, func(p *planner, a []expr) (expr, error) {
			if len(a) == 0 {
				return constantExpr(defaultSchema, sysnameType), nil
			}
			// A join with sys.schemas in small: the id may be a column.
			var b strings.Builder
			fmt.Fprintf(&b, "CASE %s", a[0].sql)
			for _, x := range p.schemas() {
				fmt.Fprintf(&b, " WHEN %d THEN %s", x.id, quoteText(x.name))
			}
			b.WriteString(" END")
			return expr{sql: b.String(), typ: sysnameType, nullable: true}, nil
		}},
		"schema_id": {0, 1, func(p *planner, a []expr) (expr, error) {
			want := defaultSchema
			if len(a) == 1 {
				var err error
				if want, _, err = p.constantText(a[0], "SCHEMA_ID"); err != nil {
					return expr{}, err
				}
			}
			for _, x := range p.schemas() {
				if strings.EqualFold(x.name, want) {
					return constantExpr(int64(x.id), intType), nil
				}
			}
			return constantExpr(nil, intType), nil
		}},
		"object_id": {1, 2, func(p *planner, a []expr) (expr, error) {
			kind := ""
			if len(a) == 2 {
				var err error
				if kind, _, err = p.constantText(a[1], "OBJECT_ID"); err != nil {
					return expr{}, err
				}
			}
			is := func(t *table) bool {
				code, _ := t.kind()
				return kind == "" || strings.EqualFold(strings.TrimSpace(kind), strings.TrimSpace(code))
			}
			n, ok, err := p.constantText(a[0], "OBJECT_ID")
			if err == nil {
				if t := p.objectNamed(n); ok && t != nil && is(t) {
					return constantExpr(int64(t.ID), intType), nil
				}
				return constantExpr(nil, intType), nil
			}
			// It depends on rows: a join with all objects in small.
			x, err := p.implicit(a[0], nvarcharType(4000))
			if err != nil {
				return expr{}, err
			}
			var b strings.Builder
			fmt.Fprintf(&b, "CASE ms_object_key(%s, %s) WHEN '' THEN NULL", x.sql, quoteText(p.s.db.name))
			for _, t := range p.visible() {
				if is(t) {
					fmt.Fprintf(&b, " WHEN %s THEN %d", quoteText(tableKey(t.Schema, t.Name)), t.ID)
				}
			}
			return expr{sql: b.String() + " END", typ: intType, nullable: true}, nil
		}},
		"object_name":        objectText(func(t *table) string { return t.Name }),
		"object_schema_name": objectText(func(t *table) string { return t.Schema }),
		"col_name": {2, 2, func(p *planner, a []expr) (expr, error) {
			var b strings.Builder
			b.WriteString("CASE")
			for _, t := range p.visible() {
				for i, c := range t.Columns {
					fmt.Fprintf(&b, " WHEN %s = %d AND %s = %d THEN %s", a[0].sql, t.ID, a[1].sql, i+1, quoteText(c.Name))
				}
			}
			b.WriteString(" ELSE NULL END")
			sql := b.String()
			if !strings.Contains(sql, "WHEN") {
				sql = "NULL"
			}
			return expr{sql: sql, typ: sysnameType, nullable: true}, nil
		}},
		"type_name": {1, 1, func(_ *planner, a []expr) (expr, error) {
			var b strings.Builder
			fmt.Fprintf(&b, "CASE %s", a[0].sql)
			for _, t := range systemTypes {
				fmt.Fprintf(&b, " WHEN %d THEN %s", t.user, quoteText(t.name))
			}
			b.WriteString(" END")
			return expr{sql: b.String(), typ: sysnameType, nullable: true}, nil
		}},
		"serverproperty": {1, 1, func(p *planner, a []expr) (expr, error) {
			n, _, err := p.constantText(a[0], "SERVERPROPERTY")
			if err != nil {
				return expr{}, err
			}
			t := nvarcharType(128)
			switch strings.ToLower(n) {
			case "productversion":
				return variantExpr(fmt.Sprintf("%d.%d.0.0", serverMajor, serverMinor), t), nil
			case "productmajorversion":
				return variantExpr(fmt.Sprint(serverMajor), t), nil
			case "productlevel":
				return variantExpr("RTM", t), nil
			case "edition":
				return variantExpr("Local SQL Server over SQLite (not Microsoft SQL Server)", t), nil
			case "engineedition":
				return variantExpr(int64(3), intType), nil
			case "servername", "machinename":
				return variantExpr(serverName, t), nil
			case "collation":
				return variantExpr(collationOfServer, t), nil
			case "isclustered", "ishadrenabled", "isintegratedsecurityonly":
				return variantExpr(int64(0), intType), nil
			}
			return variantExpr(nil, t), nil
		}},
		"databasepropertyex": {2, 2, func(p *planner, a []expr) (expr, error) {
			d, _, err := p.constantText(a[0], "DATABASEPROPERTYEX")
			if err != nil {
				return expr{}, err
			}
			n, _, err := p.constantText(a[1], "DATABASEPROPERTYEX")
			if err != nil {
				return expr{}, err
			}
			t := nvarcharType(128)
			db := p.s.srv.database(d)
			if db == nil {
				return variantExpr(nil, t), nil
			}
			switch strings.ToLower(n) {
			case "updateability":
				if db.readOnly.Load() {
					return variantExpr("READ_ONLY", t), nil
				}
				return variantExpr("READ_WRITE", t), nil
			case "status":
				return variantExpr("ONLINE", t), nil
			case "useraccess":
				return variantExpr("MULTI_USER", t), nil
			case "recovery":
				return variantExpr("SIMPLE", t), nil
			case "isclone", "isinstandby":
				return variantExpr(int64(0), intType), nil
			case "collation":
				return variantExpr(collationOfServer, t), nil
			case "version":
				return variantExpr(int64(852), intType), nil // SQL Server 2016's
			}
			return variantExpr(nil, t), nil
		}},
		"connectionproperty": {1, 1, func(p *planner, a []expr) (expr, error) {
			n, _, err := p.constantText(a[0], "CONNECTIONPROPERTY")
			if err != nil {
				return expr{}, err
			}
			switch strings.ToLower(n) {
			case "net_transport", "physical_net_transport":
				return variantExpr("TCP", nvarcharType(40)), nil
			case "protocol_type":
				return variantExpr("TSQL", nvarcharType(40)), nil
			case "auth_scheme":
				return variantExpr("SQL", nvarcharType(40)), nil
			}
			return variantExpr(nil, intType), nil
		}},
		"sessionproperty": {1, 1, func(p *planner, a []expr) (expr, error) {
			n, _, err := p.constantText(a[0], "SESSIONPROPERTY")
			if err != nil {
				return expr{}, err
			}
			switch strings.ToUpper(n) {
			case "ANSI_NULLS", "ANSI_PADDING", "ANSI_WARNINGS", "ARITHABORT", "CONCAT_NULL_YIELDS_NULL", "QUOTED_IDENTIFIER":
				return variantExpr(int64(1), bitType), nil // they can't be switched off here
			case "NUMERIC_ROUNDABORT":
				return variantExpr(int64(0), bitType), nil
			}
			return variantExpr(nil, intType), nil
		}},
		"stats_date": {2, 2, func(p *planner, a []expr) (expr, error) {
			var b strings.Builder
			b.WriteString("CASE")
			for _, t := range p.visible() {
				for _, st := range t.allStatistics() {
					if !st.Taken.IsZero() {
						fmt.Fprintf(&b, " WHEN %s = %d AND %s = %d THEN %s", a[0].sql, t.ID, a[1].sql, st.ID, literal(storedDatetime(st.Taken)))
					}
				}
			}
			sql := b.String() + " END"
			if !strings.Contains(sql, "WHEN") {
				sql = "NULL"
			}
			return expr{sql: sql, typ: datetimeType, nullable: true}, nil
		}},
		"scope_identity": {0, 0, func(p *planner, _ []expr) (expr, error) { return p.lastIdentity() }},
		"host_name":      name(func(p *planner) any { return p.s.host }),
		"app_name":       name(func(p *planner) any { return p.s.app }),
		"xact_state": constantCall(sqlType{id: tSmallInt}, func(p *planner) any {
			return boolInt(p.s.tran.open)
		}),
		"rowcount_big": constantCall(bigintType, func(p *planner) any { return p.s.rowCount }),
		"min_active_rowversion": constantCall(sqlType{id: tBinary, length: 8}, func(p *planner) any {
			return p.s.db.minActiveRowVersion()
		}),
		"has_perms_by_name": {3, 5, hasPermission},
		"is_srvrolemember":  {1, 2, roleMember(serverRoles, func(Login, string) bool { return false })},
		"is_member":         {1, 1, roleMember(databaseRoles, Login.inRole)},
		"is_rolemember":     {1, 2, roleMember(databaseRoles, Login.inRole)},
		"collationproperty": {2, 2, func(p *planner, a []expr) (expr, error) {
			n, _, err := p.constantText(a[0], "COLLATIONPROPERTY")
			if err != nil {
				return expr{}, err
			}
			property, _, err := p.constantText(a[1], "COLLATIONPROPERTY")
			if err != nil {
				return expr{}, err
			}
			i, ok := collationNumber(n)
			if !ok || n == "" {
				return constantExpr(nil, intType), nil
			}
			c := collations[i]
			switch strings.ToLower(property) {
			case "codepage":
				return constantExpr(int64(c.page), intType), nil
			case "lcid":
				return constantExpr(int64(c.lcid), intType), nil
			case "version":
				return constantExpr(int64(c.version), intType), nil
			}
			return constantExpr(nil, intType), nil
		}},
		"sql_variant_property": {2, 2, func(p *planner, a []expr) (expr, error) {
			n, _, err := p.constantText(a[1], "SQL_VARIANT_PROPERTY")
			if err != nil {
				return expr{}, err
			}
			code := a[0].typ.code()
			return expr{sql: fmt.Sprintf("ms_variant_property(%s, %d, %s)", a[0].sql, code, quoteText(strings.ToLower(n))), typ: sysnameType, nullable: true}, nil
		}},
	}
}

const collationOfServer = "SQL_Latin1_General_CP1_CI_AS"

// objectText gives a text for a table's id, which may be a column.
func objectText(f func(t *table) string) scalarFunction {
	return scalarFunction{1, 2, func(p *planner, a []expr) (expr, error) {
		if len(p.cat.tables) == 0 {
			return constantExpr(nil, sysnameType), nil
		}
		var b strings.Builder
		fmt.Fprintf(&b, "CASE %s", a[0].sql)
		for _, t := range p.visible() {
			fmt.Fprintf(&b, " WHEN %d THEN %s", t.ID, quoteText(f(t)))
		}
		b.WriteString(" END")
		return expr{sql: b.String(), typ: sysnameType, nullable: true}, nil
	}}
}

// objectNamed finds a table by a name as OBJECT_ID takes it.
func (p *planner) objectNamed(name string) *table {
	database, key := objectKey(name)
	if database != "" && !strings.EqualFold(database, p.s.db.name) {
		if strings.EqualFold(database, "tempdb") {
			return p.s.temp[key[strings.LastIndexByte(key, '.')+1:]]
		}
		return nil
	}
	if t := p.cat.tables[key]; t != nil && p.s.sees(t) {
		return t
	}
	return nil
}

// objectKey is the database that a text names, "" for the current one, and the table's key in it.
func objectKey(name string) (database, key string) {
	var parts []string
	sc := &bulkScanner{rest: name}
	for {
		id, _ := sc.identifier()
		parts = append(parts, id)
		if !sc.symbol('.') {
			break
		}
	}
	base := parts[len(parts)-1]
	schema := defaultSchema
	if len(parts) > 1 && parts[len(parts)-2] != "" {
		schema = parts[len(parts)-2]
	}
	if len(parts) > 2 {
		database = parts[len(parts)-3]
	}
	return database, tableKey(schema, base)
}

type schemaRow struct {
	id   int
	name string
}

// schemas are the schemas of the database: the fixed ones and those that a table is in.
func (p *planner) schemas() []schemaRow {
	out := []schemaRow{{1, "dbo"}, {2, "guest"}, {3, "INFORMATION_SCHEMA"}, {4, "sys"}}
	seen := map[string]bool{"dbo": true}
	for _, t := range p.visible() {
		if k := strings.ToLower(t.Schema); !seen[k] {
			seen[k] = true
			out = append(out, schemaRow{len(out) + 1, t.Schema})
		}
	}
	return out
}

// systemTypes are the rows of sys.types.
var systemTypes = []struct {
	name             string
	system, user     int
	length           int
	precision, scale int
}{
	{"image", 34, 34, 16, 0, 0}, {"text", 35, 35, 16, 0, 0}, {"uniqueidentifier", 36, 36, 16, 0, 0}, {"date", 40, 40, 3, 10, 0},
	{"time", 41, 41, 5, 16, 7}, {"datetime2", 42, 42, 8, 27, 7}, {"datetimeoffset", 43, 43, 10, 34, 7}, {"tinyint", 48, 48, 1, 3, 0},
	{"smallint", 52, 52, 2, 5, 0}, {"int", 56, 56, 4, 10, 0}, {"smalldatetime", 58, 58, 4, 16, 0}, {"real", 59, 59, 4, 24, 0},
	{"money", 60, 60, 8, 19, 4}, {"datetime", 61, 61, 8, 23, 3}, {"float", 62, 62, 8, 53, 0}, {"ntext", 99, 99, 16, 0, 0},
	{"bit", 104, 104, 1, 1, 0}, {"decimal", 106, 106, 17, 38, 38}, {"numeric", 108, 108, 17, 38, 38},
	{"smallmoney", 122, 122, 4, 10, 4}, {"bigint", 127, 127, 8, 19, 0}, {"varbinary", 165, 165, 8000, 0, 0},
	{"varchar", 167, 167, 8000, 0, 0}, {"binary", 173, 173, 8000, 0, 0}, {"char", 175, 175, 8000, 0, 0},
	{"timestamp", 189, 189, 8, 0, 0}, {"nvarchar", 231, 231, 8000, 0, 0}, {"sysname", 231, 256, 256, 0, 0},
	{"nchar", 239, 239, 8000, 0, 0}, {"xml", 241, 241, -1, 0, 0}, {"sql_variant", 98, 98, 8016, 0, 0},
	{"hierarchyid", 240, 128, maxHierarchyID, 0, 0}, {"geometry", 240, 129, -1, 0, 0}, {"geography", 240, 130, -1, 0, 0},
	{"json", 244, 244, -1, 0, 0},
}

// userTypeID is the type's number where types that share their form are told apart.
func (t sqlType) userTypeID() int64 {
	for _, r := range systemTypes {
		if r.name == t.name() {
			return int64(r.user)
		}
	}
	return 0
}

// collationOrNull is the name of a column's collation, which only texts have.
func (t sqlType) collationOrNull() any {
	if !t.isString() || t.id == tXML {
		return nil
	}
	if t.id == tJSON {
		return "Latin1_General_100_BIN2_UTF8"
	}
	return collations[t.coll].name
}

// catalogRow are the numbers by which the catalog describes a type.
func (t sqlType) catalogRow() (systemType, maxLen, precision, scale int64) {
	for _, r := range systemTypes {
		if r.name == t.name() {
			systemType, maxLen, precision, scale = int64(r.system), int64(r.length), int64(r.precision), int64(r.scale)
		}
	}
	switch {
	case t.id == tDecimal:
		return systemType, int64(decimalSize(t.prec)), int64(t.prec), int64(t.scale)
	case t.id == tTime:
		p := int64(8)
		if t.scale > 0 {
			p += 1 + int64(t.scale)
		}
		return systemType, int64(timeSize(t.scale)), p, int64(t.scale)
	case t.id == tDateTime2:
		p := int64(19)
		if t.scale > 0 {
			p += 1 + int64(t.scale)
		}
		return systemType, int64(timeSize(t.scale) + 3), p, int64(t.scale)
	case t.id == tDateTimeOffset:
		p := int64(26)
		if t.scale > 0 {
			p += 1 + int64(t.scale)
		}
		return systemType, int64(timeSize(t.scale) + 5), p, int64(t.scale)
	case t.isLob(), t.isCLR(), t.id == tJSON:
		return systemType, maxLen, precision, scale
	case t.length == maxLength:
		return systemType, -1, 0, 0
	case t.isUnicode():
		return systemType, 2 * int64(t.length), 0, 0
	case t.isString(), t.isBinary():
		return systemType, int64(t.length), 0, 0
	}
	return systemType, maxLen, precision, scale
}

// view is a catalog view: its columns and its rows, in stored form.
type view struct {
	cols []column
	rows [][]any
}

func (v *view) col(name string, t sqlType, nullable bool) *view {
	v.cols = append(v.cols, column{name: name, typ: t, nullable: nullable})
	return v
}

// sql is the view as a query.
func (v *view) sql() string {
	var names []string
	for i := range v.cols {
		names = append(names, fmt.Sprintf("c%d", i+1))
	}
	if len(v.rows) == 0 {
		var nulls []string
		for _, n := range names {
			nulls = append(nulls, "NULL AS "+n)
		}
		return "SELECT " + strings.Join(nulls, ", ") + " WHERE false"
	}
	var rows []string
	for _, r := range v.rows {
		var vs []string
		for _, x := range r {
			vs = append(vs, literal(x))
		}
		rows = append(rows, "("+strings.Join(vs, ", ")+")")
	}
	return "WITH view(" + strings.Join(names, ", ") + ") AS (VALUES " + strings.Join(rows, ", ") + ") SELECT * FROM view"
}

var (
	bitType      = sqlType{id: tBit}
	tinyintType  = sqlType{id: tTinyInt}
	smallintType = sqlType{id: tSmallInt}
)

func storedDatetime(t time.Time) any {
	v, err := moment{ticks: ticksOf(t)}.store(datetimeType)
	if err != nil {
		return nil
	}
	return v
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// systemView finds a catalog view by its name.
func (p *planner) systemView(name *ast.SchemaObjectName) (*view, bool, error) {
	if name.SchemaIdentifier == nil {
		return nil, false, nil
	}
	schema, base := strings.ToLower(name.SchemaIdentifier.Value), strings.ToLower(name.BaseIdentifier.Value)
	if schema != "sys" && schema != "information_schema" {
		return nil, false, nil
	}
	if err := p.s.maySee(schema + "." + base); err != nil {
		return nil, false, err
	}
	if d := name.DatabaseIdentifier; d != nil && d.Value != "" && !strings.EqualFold(d.Value, p.s.db.name) && !strings.EqualFold(d.Value, "master") {
		return nil, false, notSupported("the catalog of another database than the current one")
	}
	v := &view{}
	schemaID := map[string]int64{}
	for _, x := range p.schemas() {
		schemaID[strings.ToLower(x.name)] = int64(x.id)
	}
	switch schema + "." + base {
	case "sys.schemas":
		v.col("name", sysnameType, false).col("schema_id", intType, false).col("principal_id", intType, true)
		for _, x := range p.schemas() {
			v.rows = append(v.rows, []any{x.name, int64(x.id), int64(1)})
		}
	case "sys.tables", "sys.objects", "sys.all_objects":
		v.col("name", sysnameType, false).col("object_id", intType, false).col("principal_id", intType, true).col("schema_id", intType, false).
			col("parent_object_id", intType, false).col("type", sqlType{id: tChar, length: 2}, true).col("type_desc", nvarcharType(60), true).
			col("create_date", datetimeType, false).col("modify_date", datetimeType, false).col("is_ms_shipped", bitType, false)
		tables := base == "tables"
		if tables {
			v.col("is_memory_optimized", bitType, true).col("temporal_type", tinyintType, true).col("is_replicated", bitType, true).
				col("is_external", bitType, true).col("lob_data_space_id", intType, false).col("max_column_id_used", intType, false).
				col("temporal_type_desc", nvarcharType(60), true).col("history_table_id", intType, true).col("is_filetable", bitType, true).
				col("is_tracked_by_cdc", bitType, true)
		}
		for _, t := range p.visible() {
			if tables && !t.isTable() {
				continue
			}
			kind, desc := t.kind()
			r := []any{t.Name, int64(t.ID), nil, schemaID[strings.ToLower(t.Schema)], int64(0), kind, desc, storedDatetime(t.Created), storedDatetime(t.Changed), int64(0)}
			if tables {
				r = append(r, int64(0), int64(0), int64(0), int64(0), int64(0), int64(len(t.Columns)), "NON_TEMPORAL_TABLE", nil, int64(0), int64(0))
			}
			v.rows = append(v.rows, r)
			if tables {
				continue
			}
			for i, x := range t.Indexes {
				if x.Constraint {
					kind, desc := "UQ", "UNIQUE_CONSTRAINT"
					if x.Primary {
						kind, desc = "PK", "PRIMARY_KEY_CONSTRAINT"
					}
					v.rows = append(v.rows, []any{x.Name, int64(t.ID + 1 + i), nil, schemaID[strings.ToLower(t.Schema)], int64(t.ID), kind, desc, storedDatetime(t.Created), storedDatetime(t.Changed), int64(0)})
				}
			}
		}
	case "sys.columns", "sys.all_columns":
		v.col("object_id", intType, false).col("name", sysnameType, true).col("column_id", intType, false).col("system_type_id", tinyintType, false).
			col("user_type_id", intType, false).col("max_length", smallintType, false).col("precision", tinyintType, false).col("scale", tinyintType, false).
			col("collation_name", sysnameType, true).col("is_nullable", bitType, true).col("is_ansi_padded", bitType, false).
			col("is_rowguidcol", bitType, false).col("is_identity", bitType, false).col("is_computed", bitType, false).col("is_sparse", bitType, true).
			col("is_hidden", bitType, true).col("is_masked", bitType, false).col("encryption_type", intType, true).col("default_object_id", intType, false).
			col("generated_always_type", tinyintType, true).col("is_column_set", bitType, true).col("is_xml_document", bitType, false).
			col("encryption_type_desc", nvarcharType(64), true).col("encryption_algorithm_name", sysnameType, true)
		for _, t := range p.visible() {
			for i, c := range t.Columns {
				typ := c.catalogType()
				st, length, prec, scale := typ.catalogRow()
				var encryption, encryptionName, algorithm any
				if c.Encrypted != "" {
					encryption, encryptionName, algorithm = encryptionTypes[c.Encrypted], c.Encrypted, encryptionAlgorithm
				}
				v.rows = append(v.rows, []any{int64(t.ID), c.Name, int64(i + 1), st, typ.userTypeID(), length, prec, scale, typ.collationOrNull(),
					boolInt(c.Nullable), int64(1), int64(0), boolInt(c.Identity), boolInt(c.Computed != ""), int64(0), int64(0), boolInt(c.Mask != ""),
					encryption, int64(0), int64(0), int64(0), int64(0), encryptionName, algorithm})
			}
		}
	case "sys.computed_columns":
		v.col("object_id", intType, false).col("name", sysnameType, true).col("column_id", intType, false).col("definition", nvarcharType(maxLength), true).
			col("is_persisted", bitType, false)
		for _, t := range p.visible() {
			for i, c := range t.Columns {
				if c.Computed != "" {
					v.rows = append(v.rows, []any{int64(t.ID), c.Name, int64(i + 1), p.definition("(" + c.Computed + ")"), boolInt(c.Persisted)})
				}
			}
		}
	case "sys.identity_columns":
		v.col("object_id", intType, false).col("name", sysnameType, true).col("column_id", intType, false).col("seed_value", bigintType, true).
			col("increment_value", bigintType, true)
		for _, t := range p.visible() {
			for i, c := range t.Columns {
				if c.Identity {
					v.rows = append(v.rows, []any{int64(t.ID), c.Name, int64(i + 1), c.Seed, c.Increment})
				}
			}
		}
	case "sys.types":
		v.col("name", sysnameType, false).col("system_type_id", tinyintType, false).col("user_type_id", intType, false).col("schema_id", intType, false).
			col("principal_id", intType, true).col("max_length", smallintType, false).col("precision", tinyintType, false).col("scale", tinyintType, false).
			col("collation_name", sysnameType, true).col("is_nullable", bitType, true).col("is_user_defined", bitType, false).
			col("is_assembly_type", bitType, false).col("is_table_type", bitType, false)
		for _, t := range systemTypes {
			var coll any
			if strings.Contains(t.name, "char") || strings.Contains(t.name, "text") || t.name == "sysname" {
				coll = collationOfServer
			}
			v.rows = append(v.rows, []any{t.name, int64(t.system), int64(t.user), int64(4), nil, int64(t.length), int64(t.precision), int64(t.scale),
				coll, boolInt(t.name != "timestamp" && t.name != "sysname"), int64(0), boolInt(t.system == 240), int64(0)})
		}
	case "sys.indexes":
		v.col("object_id", intType, false).col("name", sysnameType, true).col("index_id", intType, false).col("type", tinyintType, false).
			col("type_desc", nvarcharType(60), true).col("is_unique", bitType, true).col("is_primary_key", bitType, true).
			col("is_unique_constraint", bitType, true).col("is_disabled", bitType, true).col("has_filter", bitType, false).
			col("is_hypothetical", bitType, true).col("filter_definition", nvarcharType(maxLength), true).col("data_space_id", intType, true)
		for _, t := range p.visible() {
			if !t.hasClustered() && t.isTable() {
				v.rows = append(v.rows, []any{int64(t.ID), nil, int64(0), int64(0), "HEAP", int64(0), int64(0), int64(0), int64(0), int64(0), int64(0), nil, int64(1)})
			}
			for i, x := range t.Indexes {
				id, kind, desc := t.indexID(i), int64(2), "NONCLUSTERED"
				if x.Clustered {
					kind, desc = 1, "CLUSTERED"
				}
				v.rows = append(v.rows, []any{int64(t.ID), x.Name, id, kind, desc, boolInt(x.Unique), boolInt(x.Primary), boolInt(x.Constraint && !x.Primary),
					int64(0), int64(0), int64(0), nil, int64(1)})
			}
		}
	case "sys.index_columns":
		v.col("object_id", intType, false).col("index_id", intType, false).col("index_column_id", intType, false).col("column_id", intType, false).
			col("key_ordinal", tinyintType, false).col("partition_ordinal", tinyintType, false).col("is_descending_key", bitType, true).
			col("is_included_column", bitType, true)
		for _, t := range p.visible() {
			for i, x := range t.Indexes {
				for k, c := range x.Columns {
					v.rows = append(v.rows, []any{int64(t.ID), t.indexID(i), int64(k + 1), int64(t.columnID(c)), int64(k + 1), int64(0), boolInt(x.Descending[k]), int64(0)})
				}
				for k, c := range x.Included {
					v.rows = append(v.rows, []any{int64(t.ID), t.indexID(i), int64(len(x.Columns) + k + 1), int64(t.columnID(c)), int64(0), int64(0), int64(0), int64(1)})
				}
			}
		}
	case "sys.key_constraints":
		v.col("name", sysnameType, false).col("object_id", intType, false).col("schema_id", intType, false).col("parent_object_id", intType, false).
			col("type", sqlType{id: tChar, length: 2}, true).col("type_desc", nvarcharType(60), true).col("unique_index_id", intType, true)
		for _, t := range p.visible() {
			for i, x := range t.Indexes {
				if !x.Constraint {
					continue
				}
				kind, desc := "UQ", "UNIQUE_CONSTRAINT"
				if x.Primary {
					kind, desc = "PK", "PRIMARY_KEY_CONSTRAINT"
				}
				v.rows = append(v.rows, []any{x.Name, int64(t.ID + 1 + i), schemaID[strings.ToLower(t.Schema)], int64(t.ID), kind, desc, t.indexID(i)})
			}
		}
	case "sys.databases":
		v.col("name", sysnameType, false).col("database_id", intType, false).col("create_date", datetimeType, false).
			col("compatibility_level", tinyintType, false).col("collation_name", sysnameType, true).col("state", tinyintType, true).
			col("state_desc", nvarcharType(60), true).col("is_read_only", bitType, true).col("snapshot_isolation_state", tinyintType, true).
			col("snapshot_isolation_state_desc", nvarcharType(60), true).col("is_read_committed_snapshot_on", bitType, true).
			col("recovery_model", tinyintType, true).col("recovery_model_desc", nvarcharType(60), true).col("is_encrypted", bitType, true).
			col("service_broker_guid", sqlType{id: tGUID}, false).col("user_access_desc", nvarcharType(60), true).col("source_database_id", intType, true).
			col("group_database_id", sqlType{id: tGUID}, true)
		for _, db := range p.s.srv.sortedDatabases() {
			guid := make([]byte, 16)
			putBE64(guid[8:], uint64(ticksOf(db.created)))
			v.rows = append(v.rows, []any{db.name, int64(db.id), storedDatetime(db.created), int64(130), collationOfServer, int64(0), "ONLINE",
				boolInt(db.readOnly.Load()), boolInt(db.snapshotIsolation.Load()), onOff(db.snapshotIsolation.Load()), boolInt(db.rowVersioning.Load()), int64(3), "SIMPLE", int64(0), guid, "MULTI_USER", nil, p.s.srv.groups[0]})
		}
	case "sys.database_mirroring":
		v.col("database_id", intType, false).col("mirroring_guid", sqlType{id: tGUID}, true)
		for _, db := range p.s.srv.sortedDatabases() {
			v.rows = append(v.rows, []any{int64(db.id), p.s.srv.groups[1]})
		}
	case "sys.database_recovery_status":
		v.col("database_id", intType, false).col("database_guid", sqlType{id: tGUID}, true).col("family_guid", sqlType{id: tGUID}, true)
	case "sys.stats":
		v.col("object_id", intType, false).col("name", sysnameType, true).col("stats_id", intType, false).col("auto_created", bitType, true).
			col("user_created", bitType, true).col("no_recompute", bitType, true).col("has_filter", bitType, true).
			col("filter_definition", nvarcharType(maxLength), true).col("is_temporary", bitType, true).col("is_incremental", bitType, true)
		for _, t := range p.visible() {
			for _, st := range t.allStatistics() {
				v.rows = append(v.rows, []any{int64(t.ID), st.Name, st.ID, int64(0), boolInt(st.ID >= firstStatisticsID), int64(0), int64(0), nil, int64(0), int64(0)})
			}
		}
	case "sys.stats_columns":
		v.col("object_id", intType, false).col("stats_id", intType, false).col("stats_column_id", intType, true).col("column_id", intType, true)
		for _, t := range p.visible() {
			for _, st := range t.allStatistics() {
				for k, c := range st.Columns {
					v.rows = append(v.rows, []any{int64(t.ID), st.ID, int64(k + 1), int64(t.columnID(c))})
				}
			}
		}
	case "sys.views":
		v.col("name", sysnameType, false).col("object_id", intType, false).col("schema_id", intType, false).col("type", sqlType{id: tChar, length: 2}, true).
			col("type_desc", nvarcharType(60), true).col("create_date", datetimeType, false).col("modify_date", datetimeType, false).
			col("is_ms_shipped", bitType, false).col("with_check_option", bitType, false)
		for _, t := range p.visible() {
			if t.View != "" {
				kind, desc := t.kind()
				v.rows = append(v.rows, []any{t.Name, int64(t.ID), schemaID[strings.ToLower(t.Schema)], kind, desc, storedDatetime(t.Created),
					storedDatetime(t.Changed), int64(0), int64(0)})
			}
		}
	case "sys.sql_modules":
		v.col("object_id", intType, false).col("definition", nvarcharType(maxLength), true)
		for _, t := range p.visible() {
			if t.View != "" {
				v.rows = append(v.rows, []any{int64(t.ID), p.definition("CREATE VIEW " + t.Schema + "." + t.Name + " AS " + t.View)})
			}
		}
	case "sys.sql_expression_dependencies":
		v.col("referencing_id", intType, false).col("referencing_minor_id", intType, false).col("referencing_class_desc", nvarcharType(60), true).
			col("is_schema_bound_reference", bitType, false).col("referenced_class_desc", nvarcharType(60), true).col("referenced_server_name", sysnameType, true).
			col("referenced_database_name", sysnameType, true).col("referenced_schema_name", sysnameType, true).
			col("referenced_entity_name", sysnameType, false).col("referenced_id", intType, true).col("referenced_minor_id", intType, false)
		for _, t := range p.visible() {
			if t.View == "" || p.s.login.lacks(viewDefinition) {
				continue
			}
			q := p.s.newPlanner(newVariables())
			if _, _, err := q.viewQuery(t); err != nil {
				continue // what it reads is gone
			}
			for _, of := range q.viewReads {
				v.rows = append(v.rows, []any{int64(t.ID), int64(0), "OBJECT_OR_COLUMN", int64(0), "OBJECT_OR_COLUMN", nil, nil, of.Schema, of.Name, int64(of.ID), int64(0)})
			}
		}
	case "sys.security_policies":
		v.col("name", sysnameType, false).col("object_id", intType, false).col("principal_id", intType, true).col("schema_id", intType, false).
			col("parent_object_id", intType, false).col("type", sqlType{id: tChar, length: 2}, true).col("type_desc", nvarcharType(60), true).
			col("create_date", datetimeType, false).col("modify_date", datetimeType, false).col("is_ms_shipped", bitType, false).
			col("is_enabled", bitType, false).col("is_not_for_replication", bitType, false).col("is_schema_bound", bitType, false)
		for i, x := range p.policies() {
			policySchema, policy, _ := strings.Cut(x.Name, ".")
			at := storedDatetime(p.s.db.created)
			v.rows = append(v.rows, []any{policy, policyID(i), nil, schemaID[strings.ToLower(policySchema)], int64(0), "SP", "SECURITY_POLICY", at, at, int64(0),
				boolInt(!x.Disabled), int64(0), int64(1)})
		}
	case "sys.security_predicates":
		v.col("object_id", intType, false).col("security_predicate_id", intType, false).col("target_object_id", intType, false).
			col("predicate_definition", nvarcharType(maxLength), true).col("predicate_type", intType, true).col("predicate_type_desc", nvarcharType(60), true).
			col("operation", intType, true).col("operation_desc", nvarcharType(60), true)
		for i, x := range p.policies() {
			if t := p.objectNamed(x.Table); t != nil {
				v.rows = append(v.rows, []any{policyID(i), int64(1), int64(t.ID), x.Predicate, int64(0), "FILTER", nil, nil})
			}
		}
	case "sys.synonyms":
		v.col("name", sysnameType, false).col("object_id", intType, false).col("schema_id", intType, false).col("type", sqlType{id: tChar, length: 2}, true).
			col("type_desc", nvarcharType(60), true).col("create_date", datetimeType, false).col("modify_date", datetimeType, false).
			col("base_object_name", nvarcharType(1035), true)
		for _, t := range p.visible() {
			if t.Synonym != "" {
				kind, desc := t.kind()
				v.rows = append(v.rows, []any{t.Name, int64(t.ID), schemaID[strings.ToLower(t.Schema)], kind, desc, storedDatetime(t.Created), storedDatetime(t.Changed), t.Synonym})
			}
		}
	case "sys.external_tables", "sys.foreign_keys", "sys.triggers", "sys.procedures":
		// There are none, which is an answer.
		v.col("name", sysnameType, false).col("object_id", intType, false).col("schema_id", intType, false).col("is_enabled", bitType, false).
			col("base_object_name", nvarcharType(1035), true).col("parent_object_id", intType, false).col("referenced_object_id", intType, true).
			col("type", sqlType{id: tChar, length: 2}, true).col("type_desc", nvarcharType(60), true).col("create_date", datetimeType, false).
			col("modify_date", datetimeType, false)
	case "sys.change_tracking_databases":
		v.col("database_id", intType, false).col("is_auto_cleanup_on", bitType, true).col("retention_period", intType, true).
			col("retention_period_units", tinyintType, true).col("retention_period_units_desc", nvarcharType(60), true).
			col("max_cleanup_version", bigintType, true)
	case "sys.change_tracking_tables":
		v.col("object_id", intType, false).col("is_track_columns_updated_on", bitType, false).col("min_valid_version", bigintType, true).
			col("begin_version", bigintType, true).col("cleanup_version", bigintType, true)
	case "sys.masked_columns":
		v.col("object_id", intType, false).col("name", sysnameType, true).col("column_id", intType, false).col("is_masked", bitType, false).
			col("masking_function", nvarcharType(4000), true)
		for _, t := range p.visible() {
			for i, c := range t.Columns {
				if c.Mask != "" {
					v.rows = append(v.rows, []any{int64(t.ID), c.Name, int64(i + 1), int64(1), p.definition(c.Mask)})
				}
			}
		}
	case "sys.dm_exec_sessions", "sys.dm_exec_requests", "sys.dm_tran_session_transactions", "sys.dm_tran_active_transactions", "sys.dm_tran_database_transactions":
		p.sessionView(v, base)
	case "sys.dm_exec_connections":
		v.col("session_id", intType, true).col("net_transport", nvarcharType(40), false).col("encrypt_option", nvarcharType(40), false).col("auth_scheme", nvarcharType(40), false)
		v.rows = append(v.rows, []any{int64(p.s.spid), "TCP", map[bool]string{true: "TRUE", false: "FALSE"}[p.s.encrypted], "SQL"})
	case "sys.partitions", "sys.dm_db_partition_stats":
		v.col("object_id", intType, false).col("index_id", intType, false).col("partition_number", intType, false).col("partition_id", bigintType, false)
		rowsName := "rows"
		if base != "partitions" {
			rowsName = "row_count"
		}
		v.col(rowsName, bigintType, true)
		for _, t := range p.visible() {
			if !t.isTable() {
				continue
			}
			n, err := p.s.sql.value("SELECT count(*) FROM " + t.physical())
			if err != nil {
				return nil, false, err
			}
			id := int64(0)
			if t.hasClustered() {
				id = 1
			}
			v.rows = append(v.rows, []any{int64(t.ID), id, int64(1), int64(t.ID) << 16, n})
			for i := range t.Indexes {
				if x := t.indexID(i); x > 1 {
					v.rows = append(v.rows, []any{int64(t.ID), x, int64(1), int64(t.ID)<<16 + x, n})
				}
			}
		}
	case "information_schema.tables":
		v.col("TABLE_CATALOG", sysnameType, true).col("TABLE_SCHEMA", sysnameType, true).col("TABLE_NAME", sysnameType, false).col("TABLE_TYPE", varcharType(10), true)
		for _, t := range p.visible() {
			kind := "BASE TABLE"
			if t.View != "" {
				kind = "VIEW"
			} else if t.Synonym != "" {
				continue
			}
			v.rows = append(v.rows, []any{p.s.db.name, t.Schema, t.Name, kind})
		}
	case "information_schema.schemata":
		v.col("CATALOG_NAME", sysnameType, true).col("SCHEMA_NAME", sysnameType, false).col("SCHEMA_OWNER", sysnameType, true)
		for _, x := range p.schemas() {
			v.rows = append(v.rows, []any{p.s.db.name, x.name, "dbo"})
		}
	case "information_schema.columns":
		p.informationColumns(v)
	case "information_schema.key_column_usage", "information_schema.table_constraints":
		usage := base == "key_column_usage"
		v.col("CONSTRAINT_CATALOG", sysnameType, true).col("CONSTRAINT_SCHEMA", sysnameType, true).col("CONSTRAINT_NAME", sysnameType, false).
			col("TABLE_CATALOG", sysnameType, true).col("TABLE_SCHEMA", sysnameType, true).col("TABLE_NAME", sysnameType, false)
		if usage {
			v.col("COLUMN_NAME", sysnameType, true).col("ORDINAL_POSITION", intType, false)
		} else {
			v.col("CONSTRAINT_TYPE", varcharType(11), true)
		}
		for _, t := range p.visible() {
			for _, x := range t.Indexes {
				if !x.Constraint {
					continue
				}
				head := []any{p.s.db.name, t.Schema, x.Name, p.s.db.name, t.Schema, t.Name}
				if !usage {
					v.rows = append(v.rows, append(head, map[bool]string{true: "PRIMARY KEY", false: "UNIQUE"}[x.Primary]))
					continue
				}
				for k, c := range x.Columns {
					v.rows = append(v.rows, append(append([]any(nil), head...), c, int64(k+1)))
				}
			}
		}
	default:
		return nil, false, newError(errUnknownObject, 16, "Invalid object name '%s': the local SQL Server does not have this catalog view.", objectName(name))
	}
	return v, true, nil
}

// kind is what sys.objects calls a table, view or synonym.
func (t *table) kind() (code, description string) {
	switch {
	case t.View != "":
		return "V ", "VIEW"
	case t.Synonym != "":
		return "SN", "SYNONYM"
	}
	return "U ", "USER_TABLE"
}

// isTable says whether it is a table, and not only the name of something.
func (t *table) isTable() bool { return t.View == "" && t.Synonym == "" }

// policies are the security policies that the login may know of.
func (p *planner) policies() []SecurityPolicy {
	if p.s.login.lacks(viewDefinition) {
		return nil
	}
	return p.s.srv.policies
}

// policyID is the object id of a policy, below those of tables.
func policyID(i int) int64 { return firstObjectID - 1 - int64(i) }

// definition is a text that only those see who may view definitions.
func (p *planner) definition(text string) any {
	if p.s.login.lacks(viewDefinition) {
		return nil
	}
	return text
}

func (t *table) hasClustered() bool {
	for _, x := range t.Indexes {
		if x.Clustered {
			return true
		}
	}
	return false
}

// indexID is 1 for the clustered index, and counts from 2 for the others.
func (t *table) indexID(i int) int64 {
	if t.Indexes[i].Clustered {
		return 1
	}
	n := int64(2)
	for _, x := range t.Indexes[:i] {
		if !x.Clustered {
			n++
		}
	}
	return n
}

func (t *table) columnID(name string) int {
	for i, c := range t.Columns {
		if strings.EqualFold(c.Name, name) {
			return i + 1
		}
	}
	return 0
}

func (p *planner) informationColumns(v *view) {
	v.col("TABLE_CATALOG", sysnameType, true).col("TABLE_SCHEMA", sysnameType, true).col("TABLE_NAME", sysnameType, false).col("COLUMN_NAME", sysnameType, true).
		col("ORDINAL_POSITION", intType, true).col("COLUMN_DEFAULT", nvarcharType(4000), true).col("IS_NULLABLE", varcharType(3), true).
		col("DATA_TYPE", sysnameType, true).col("CHARACTER_MAXIMUM_LENGTH", intType, true).col("CHARACTER_OCTET_LENGTH", intType, true).
		col("NUMERIC_PRECISION", tinyintType, true).col("NUMERIC_PRECISION_RADIX", smallintType, true).col("NUMERIC_SCALE", intType, true).
		col("DATETIME_PRECISION", smallintType, true).col("CHARACTER_SET_NAME", sysnameType, true).col("COLLATION_NAME", sysnameType, true)
	for _, t := range p.visible() {
		for i, c := range t.Columns {
			yes := map[bool]string{true: "YES", false: "NO"}[c.Nullable]
			var def, chars, octets, prec, radix, scale, fraction, set, coll any
			if c.Default != "" {
				def = "(" + c.Default + ")"
			}
			typ := c.catalogType()
			_, n, pr, sc := typ.catalogRow()
			switch {
			case typ.isString(), typ.isBinary():
				chars, octets = n, n
				if typ.isUnicode() && n > 0 {
					chars = n / 2
				}
				if typ.isString() {
					set, coll = "iso_1", typ.collationOrNull()
					if typ.page() == utf8Page {
						set = "UTF-8"
					}
					if typ.isUnicode() {
						set = "UNICODE"
					}
				}
			case typ.isApprox():
				prec, radix = pr, int64(2)
			case typ.isNumber() && typ.id != tBit:
				prec, radix, scale = pr, int64(10), sc
			case typ.isTime():
				fraction = int64(typ.fractionalDigits())
			}
			v.rows = append(v.rows, []any{p.s.db.name, t.Schema, t.Name, c.Name, int64(i + 1), def, yes, typ.name(), chars, octets, prec, radix, scale, fraction, set, coll})
		}
	}
}

// resultSetView is what sp_describe_first_result_set and its function of a table tell of a query.
func (s *session) resultSetView(text, declarations string) (*view, error) {
	v := &view{}
	v.col("is_hidden", bitType, false).col("column_ordinal", intType, false).col("name", sysnameType, true).col("is_nullable", bitType, false).
		col("system_type_id", intType, false).col("system_type_name", nvarcharType(256), true).col("max_length", smallintType, false).
		col("precision", tinyintType, false).col("scale", tinyintType, false).col("collation_name", sysnameType, true).
		col("user_type_id", intType, true).col("user_type_schema", sysnameType, true).col("user_type_name", sysnameType, true).
		col("is_identity_column", bitType, true).col("is_computed_column", bitType, true).col("error_number", intType, true).
		col("error_severity", intType, true).col("error_state", intType, true).col("error_message", nvarcharType(4000), true)
	list, err := parse(text)
	if err != nil {
		return v, err
	}
	vars := newVariables()
	if strings.TrimSpace(declarations) != "" {
		text := "DECLARE " + outputWords.Replace(declarations)
		decl, err := parse(text)
		if err != nil {
			return v, err
		}
		for _, st := range decl {
			if d, ok := st.(*ast.DeclareVariableStatement); ok {
				for _, x := range d.Declarations {
					t, err := declaredType(x, text)
					if err != nil {
						return v, err
					}
					if err := vars.declare(x.VariableName.Value, t, nil); err != nil {
						return v, err
					}
				}
			}
		}
	}
	for _, st := range list {
		sel, ok := st.(*ast.SelectStatement)
		if !ok || sel.Into != nil {
			continue
		}
		_, cols, err := s.newPlanner(vars).statementQuery(sel)
		if err != nil {
			return v, err
		}
		for i, c := range cols {
			st, n, pr, sc := c.typ.catalogRow()
			coll := c.typ.collationOrNull()
			var userType, userSchema, userName any
			if c.typ.isCLR() {
				userType, userSchema, userName = c.typ.userTypeID(), "sys", c.typ.name()
			}
			v.rows = append(v.rows, []any{int64(0), int64(i + 1), nullable(c.name), boolInt(c.nullable), st, c.typ.String(), n, pr, sc, coll,
				userType, userSchema, userName, boolInt(c.identity), boolInt(c.computed), nil, nil, nil, nil})
		}
		return v, nil
	}
	return v, nil
}

func (s *session) describeFirstResultSet(text, declarations string) error {
	v, err := s.resultSetView(text, declarations)
	if err != nil {
		return err
	}
	return s.stream(s.srv.ctx, v.sql(), nil, v.cols, nil)
}

// tableFunction plans the functions that give a table, and adds what they give to the scope. The condition, if there is one,
// chooses the rows that the arguments ask for; arguments are the names that those may refer to.
func (p *planner) tableFunction(t *ast.SchemaObjectFunctionTableReference, sc, arguments *scope) (sql, condition string, err error) {
	name := strings.ToLower(objectName(t.SchemaObject))
	if !strings.Contains(name, ".") {
		name = "sys." + name // those need no schema
	}
	if err := p.s.maySee(name); err != nil {
		return "", "", err
	}
	var args []expr
	for _, x := range t.Parameters {
		e, err := p.expression(x, arguments)
		if err != nil {
			return "", "", err
		}
		args = append(args, e)
	}
	text := func(i int) (string, error) {
		if i >= len(args) {
			return "", nil
		}
		v, _, err := p.constantText(args[i], name)
		return v, err
	}
	v := &view{}
	keys := 0 // how many arguments the first columns must equal
	switch name {
	case "sys.dm_exec_describe_first_result_set", "sys.fn_my_permissions":
		var texts [2]string
		for i := range texts {
			if texts[i], err = text(i); err != nil {
				return "", "", err
			}
		}
		if name == "sys.fn_my_permissions" {
			v, err = p.myPermissions(texts[0], texts[1])
		} else {
			// What is wrong with the query is a row, not an error.
			v, err = p.s.resultSetView(texts[0], texts[1])
			if e, ok := errors.AsType[*sqlError](err); ok && e.Number != errNotSupported {
				row := make([]any, len(v.cols))
				row[0], row[1] = int64(0), int64(0)
				copy(row[len(row)-4:], []any{int64(e.Number), int64(e.Class), int64(e.State), e.Message})
				v.rows, err = [][]any{row}, nil
			}
		}
		if err != nil {
			return "", "", err
		}
	case "sys.dm_db_stats_histogram":
		p.histograms(v)
		keys = 2
	default:
		return "", "", newError(errUnknownObject, 16, "Invalid object name '%s': the local SQL Server does not have this function.", objectName(t.SchemaObject))
	}
	if len(args) < keys {
		return "", "", newError(313, 16, "An insufficient number of arguments were supplied for the procedure or function %s.", name)
	}
	alias := t.Alias
	if alias == nil {
		alias = &ast.Identifier{Value: strings.TrimPrefix(name, "sys.")}
	}
	if sql, err = p.derived(v.sql(), v.cols, alias, t.Columns, sc); err != nil {
		return "", "", err
	}
	src := sc.sources[len(sc.sources)-1]
	var conds []string
	for i := range keys {
		cond, err := p.compare("=", expr{sql: src.cols[i].sql, typ: v.cols[i].typ}, args[i])
		if err != nil {
			return "", "", err
		}
		conds = append(conds, cond)
	}
	return sql, strings.Join(conds, " AND "), nil
}
