package sqlserver

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
)

// startRestricted starts a server of whose logins one lacks the permissions.
func startRestricted(t *testing.T, o Options, denied ...string) (s *Server, owners, others *sql.DB) {
	t.Helper()
	o.Log, o.Databases = testLog(t), []string{"shop"}
	o.Logins = []Login{{Name: owner, Password: password}, {Name: reader, Password: password, ReadOnly: true, Denied: denied}}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	owners = open(t, address(t, s, owner, password))
	run(t, owners,
		"CREATE TABLE dbo.Orders (Id int NOT NULL PRIMARY KEY, Region nvarchar(10) NULL)", "INSERT INTO dbo.Orders VALUES (1, N'north'), (2, N'south')",
		"CREATE VIEW dbo.North AS SELECT Id FROM dbo.Orders WHERE Region = N'north'")
	return s, owners, open(t, address(t, s, reader, password))
}

func TestALoginSeesWhatItHasTheRightTo(t *testing.T) {
	const (
		rights = "SELECT HAS_PERMS_BY_NAME(N'dbo.Orders', N'OBJECT', N'SELECT'), HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'VIEW DATABASE STATE'), " +
			"HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE'), HAS_PERMS_BY_NAME('dbo.Orders', 'OBJECT', 'VIEW DEFINITION'), HAS_PERMS_BY_NAME('dbo.Nothing', 'OBJECT', 'SELECT')"
		table    = "SELECT COUNT(*) FROM dbo.Orders"
		view     = "SELECT COUNT(*) FROM dbo.North"
		size     = "SELECT SUM(row_count) FROM sys.dm_db_partition_stats WHERE object_id = OBJECT_ID(@p1)"
		steps    = "SELECT COUNT(*) FROM sys.stats s CROSS APPLY sys.dm_db_stats_histogram(s.object_id, s.stats_id) h"
		sessions = "SELECT COUNT(DISTINCT auth_scheme) FROM sys.dm_exec_connections"
		policy   = "SELECT COUNT(*) FROM sys.security_policies p JOIN sys.security_predicates q ON q.object_id = p.object_id WHERE p.is_enabled = 1 AND q.target_object_id = OBJECT_ID('dbo.Orders')"
		named    = "SELECT COUNT(*) FROM sys.objects WHERE name = N'Orders' AND OBJECT_ID(N'dbo.Orders', N'U') IS NOT NULL"
		module   = "SELECT COUNT(definition) FROM sys.sql_modules"
	)
	o := Options{SecurityPolicies: []SecurityPolicy{{Name: "dbo.RegionFilter", Table: "dbo.Orders", Predicate: "([dbo].[fn_region]([Region]))"}}}
	for _, test := range []struct {
		name   string
		denied []string
		wants  map[string]string // the result, or the numbers of the errors
	}{
		{"everything that isn't denied", nil, map[string]string{
			rights: "1 1 1 1 NULL", table: "2", view: "1", size: "2", steps: "2", sessions: "1", policy: "1", named: "1", module: "1"}},
		{"no sizes and histograms without VIEW DATABASE STATE", []string{"VIEW DATABASE STATE"}, map[string]string{
			rights: "1 0 1 1 NULL", table: "2", size: "262 297", steps: "262 297", sessions: "1", policy: "1"}},
		{"no other sessions without VIEW SERVER STATE", []string{"view server state"}, map[string]string{
			rights: "1 1 0 1 NULL", size: "2", sessions: "300 297"}},
		{"no definitions and policies without VIEW DEFINITION", []string{"VIEW DEFINITION"}, map[string]string{
			rights: "1 1 1 0 NULL", table: "2", policy: "0", named: "1", module: "0"}},
		{"no rows and no histogram without SELECT, but the view that has it", []string{"SELECT ON dbo.Orders"}, map[string]string{
			rights: "0 1 1 1 NULL", table: "229", view: "1", steps: "0", named: "1"}},
		{"nothing of a table without any right to it", []string{"SELECT ON dbo.orders", "VIEW DEFINITION"}, map[string]string{
			rights: "NULL 1 1 NULL NULL", table: "229", named: "0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, owners, others := startRestricted(t, o, test.denied...)
			run(t, owners, "UPDATE STATISTICS dbo.Orders")
			for query, want := range test.wants {
				var args []any
				if strings.Contains(query, "@p1") {
					args = append(args, "dbo.Orders")
				}
				if got := outcome(others, query, args...); got != want {
					t.Errorf("%s\ngot  %s\nwant %s", query, got, want)
				}
			}
		})
	}
}

// outcome is a query's result as text, or the numbers of its errors.
func outcome(db *sql.DB, query string, args ...any) string {
	got, err := lastResult(db, query, args...)
	if err == nil {
		return got
	}
	var numbers []string
	for _, n := range errorNumbers(err) {
		numbers = append(numbers, textOf(int64(n)))
	}
	if len(numbers) == 0 {
		return err.Error()
	}
	return strings.Join(numbers, " ")
}

func TestPermissionsAndRolesAreListed(t *testing.T) {
	_, owners, others := startRestricted(t, Options{}, "UNMASK")
	for _, test := range []struct{ name, query, owner, other string }{
		{"roles", "SELECT IS_ROLEMEMBER('db_owner'), IS_ROLEMEMBER('db_datareader'), IS_ROLEMEMBER('db_datawriter'), IS_ROLEMEMBER('nobody'), IS_SRVROLEMEMBER('sysadmin'), IS_SRVROLEMEMBER('public')",
			"1 1 1 NULL 0 1", "0 1 0 NULL 0 1"},
		{"a table", "SELECT permission_name FROM fn_my_permissions('dbo.Orders', 'OBJECT') WHERE permission_name IN ('SELECT', 'DELETE')", "SELECT | DELETE", "SELECT"},
		{"the database", "SELECT permission_name FROM sys.fn_my_permissions(NULL, 'DATABASE') WHERE permission_name IN ('UNMASK', 'CONTROL', 'CONNECT') ORDER BY 1", "CONNECT | CONTROL | UNMASK", "CONNECT"},
		{"the server", "SELECT permission_name FROM sys.fn_my_permissions(NULL, 'SERVER') WHERE permission_name = 'VIEW SERVER STATE'", "VIEW SERVER STATE", "VIEW SERVER STATE"},
		{"nothing", "SELECT COUNT(*) FROM fn_my_permissions('dbo.Nothing', 'OBJECT')", "0", "0"},
		{"who", "SELECT SUSER_SNAME(), ORIGINAL_LOGIN()", owner + " " + owner, reader + " " + reader},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(owners, test.query); got != test.owner {
				t.Errorf("the owner has %s, want %s", got, test.owner)
			}
			if got := outcome(others, test.query); got != test.other {
				t.Errorf("the other has %s, want %s", got, test.other)
			}
		})
	}
}

func TestAViewThatTheServerIsToldNotToHaveIsUnknown(t *testing.T) {
	_, _, db := startRestricted(t, Options{MissingViews: []string{"sys.dm_db_stats_histogram", "SYS.MASKED_COLUMNS"}})
	for query, want := range map[string]string{
		"SELECT * FROM sys.dm_db_stats_histogram(1, 1)": "208",
		"SELECT * FROM sys.masked_columns":              "208",
		"SELECT COUNT(*) FROM sys.tables":               "1",
	} {
		if got := outcome(db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestAReadOnlyDatabaseIsReadAndNotChanged(t *testing.T) {
	s, db, _ := startRestricted(t, Options{})
	if err := s.SetReadOnly("shop", true); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"SELECT COUNT(*) FROM dbo.Orders":                                        "2",
		"SELECT DATABASEPROPERTYEX(DB_NAME(), 'Updateability')":                  "READ_ONLY",
		"SELECT is_read_only FROM sys.databases WHERE database_id = DB_ID()":     "1",
		"SELECT 1 WHERE DATABASEPROPERTYEX(@p1, 'Updateability') = N'READ_ONLY'": "1",
		"INSERT INTO dbo.Orders VALUES (3, NULL)":                                "3906",
		"CREATE TABLE dbo.T (Id int)":                                            "3906",
	} {
		var args []any
		if strings.Contains(query, "@p1") {
			args = append(args, "shop")
		}
		if got := outcome(db, query, args...); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if err := s.SetReadOnly("shop", false); err != nil {
		t.Fatal(err)
	}
	run(t, db, "INSERT INTO dbo.Orders VALUES (3, NULL)")
	if err := s.SetReadOnly("nowhere", true); err == nil {
		t.Error("a database that isn't there was set read-only")
	}
}

func TestOptionsThatMeanNothingAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"a permission that the server doesn't know": {Logins: []Login{{Name: owner, Denied: []string{"VIEW EVERYTHING"}}}},
		"a table without its schema":                {Logins: []Login{{Name: owner, Denied: []string{"SELECT ON Orders"}}}},
		"a read-only database that isn't there":     {Databases: []string{"shop"}, ReadOnly: []string{"shops"}},
	} {
		if s, err := Start(o); err == nil {
			t.Errorf("%s was accepted", name)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAMaskedColumnIsMaskedForWhoLacksUnmask(t *testing.T) {
	_, owners, others := startRestricted(t, Options{}, "UNMASK")
	run(t, owners,
		`CREATE TABLE dbo.People (Id int NOT NULL PRIMARY KEY, Mail nvarchar(50) MASKED WITH (FUNCTION = 'email()') NOT NULL,
			Phone varchar(20) MASKED WITH (FUNCTION = 'partial(2,"-xx-",1)') NULL, Pay decimal(9,2) MASKED WITH (FUNCTION = 'default()') NULL,
			Born date MASKED WITH (FUNCTION = 'default()') NULL, Code char(2) MASKED WITH (FUNCTION = 'default()') NULL, Seen bit MASKED WITH (FUNCTION = 'default()') NULL)`,
		"INSERT INTO dbo.People VALUES (1, N'ann@shop.example', '0123456789', 100.50, '1990-02-03', 'ab', 1), (2, N'bob@shop.example', '12', NULL, NULL, NULL, NULL)",
		"CREATE VIEW dbo.Mails AS SELECT Id, Mail FROM dbo.People")
	for _, test := range []struct{ name, query, owner, other string }{
		{"the catalog", "SELECT c.name, c.is_masked, m.masking_function FROM sys.columns c LEFT JOIN sys.masked_columns m ON m.object_id = c.object_id AND m.column_id = c.column_id WHERE c.object_id = OBJECT_ID('dbo.People') AND c.column_id < 3",
			"Id 0 NULL | Mail 1 email()", "Id 0 NULL | Mail 1 email()"},
		{"every value but NULL", "SELECT * FROM dbo.People",
			"1 ann@shop.example 0123456789 100.50 1990-02-03 ab 1 | 2 bob@shop.example 12 NULL NULL NULL NULL",
			"1 aXXX@XXXX.com 01-xx-9 0.00 1900-01-01 xx 0 | 2 bXXX@XXXX.com -xx- NULL NULL NULL NULL"},
		{"through a query", "SELECT q.Mail FROM (SELECT TOP (1) WITH TIES Mail FROM dbo.People ORDER BY Id) AS q", "ann@shop.example", "aXXX@XXXX.com"},
		{"through a view, ordered by the true values", "SELECT Mail FROM dbo.Mails ORDER BY Mail DESC", "bob@shop.example | ann@shop.example", "bXXX@XXXX.com | aXXX@XXXX.com"},
		{"what is computed of it", "SELECT UPPER(Mail), Pay + 1, Id + 1 FROM dbo.People WHERE Id = 1", "ANN@SHOP.EXAMPLE 101.50 2", "xxxx 0.00 2"},
		{"but not in conditions", "SELECT Id FROM dbo.People WHERE Pay > 100", "1", "1"},
		{"the last page's ties", "SELECT TOP (1) WITH TIES Mail, Id FROM dbo.People ORDER BY Id", "ann@shop.example 1", "aXXX@XXXX.com 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(owners, test.query); got != test.owner {
				t.Errorf("the owner sees %s\nwant %s", got, test.owner)
			}
			if got := outcome(others, test.query); got != test.other {
				t.Errorf("the other sees %s\nwant %s", got, test.other)
			}
		})
	}
	for _, column := range []string{"a int MASKED WITH (FUNCTION = 'email()')", "a varchar(9) MASKED WITH (FUNCTION = 'partial(a)')", "a int MASKED WITH (FUNCTION = 'random(1,9)')"} {
		if got := outcome(owners, "CREATE TABLE dbo.T ("+column+")"); got != "16003" && got != "49999" {
			t.Errorf("%s: %s", column, got)
		}
	}
}

// errorNumbers are the numbers of all errors that a statement told.
func errorNumbers(err error) (out []int32) {
	if e, ok := errors.AsType[mssql.Error](err); ok {
		for _, x := range e.All {
			out = append(out, x.Number)
		}
	}
	return out
}
