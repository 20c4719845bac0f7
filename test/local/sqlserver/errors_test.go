package sqlserver

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

func numberOf(err error) int32 {
	if e, ok := errors.AsType[mssql.Error](err); ok {
		return e.Number
	}
	return 0
}

// endOf reads a result to its end and gives the error that it ended with.
func endOf(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

func TestErrorsHaveSQLServersNumbers(t *testing.T) {
	s, db := startShop(t)
	run(t, db, `CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, N varchar(5) NULL, R int NOT NULL, U int NULL UNIQUE)`,
		`INSERT INTO dbo.T VALUES (1, 'a', 1, 1), (2, 'b', 0, 2)`)
	for _, test := range []struct {
		name, query string
		want        int32
	}{
		{"an unknown table", "SELECT * FROM dbo.Nothing", 208},
		{"an unknown column", "SELECT Nothing FROM dbo.T", 207},
		{"an unknown column of a table with an alias", "SELECT x.Nothing FROM dbo.T AS x", 207},
		{"an unknown alias", "SELECT y.Id FROM dbo.T AS x", 4104},
		{"an ambiguous column", "SELECT Id FROM dbo.T a JOIN dbo.T b ON a.Id = b.Id", 209},
		{"an unknown function", "SELECT NOSUCHFUNCTION(1)", 195},
		{"a syntax error", "SELECT (1 + FROM dbo.T", 102},
		{"a word that is no statement", "SELEC * FROM dbo.T", 102},
		{"an unfinished text", "SELECT 'abc", 105},
		{"an undeclared variable", "SELECT @x", 137},
		{"division by zero of integers", "SELECT 1 / R FROM dbo.T", 8134},
		{"division by zero of decimals", "SELECT 1.5 / R FROM dbo.T", 8134},
		{"division by zero of floats", "SELECT 1e0 / R FROM dbo.T", 8134},
		{"modulo zero", "SELECT 1 % R FROM dbo.T", 8134},
		{"overflow of int", "SELECT 2147483647 + Id FROM dbo.T", 8115},
		{"overflow of bigint", "SELECT CAST(9223372036854775807 AS bigint) + Id FROM dbo.T", 8115},
		{"overflow of tinyint in CAST", "SELECT CAST(256 AS tinyint)", 220},
		{"overflow of decimal in CAST", "SELECT CAST(1000 AS decimal(3, 0))", 8115},
		{"SUM beyond int", "SELECT SUM(x) FROM (VALUES (2147483647), (1)) AS v(x)", 8115},
		{"a text that is no int", "SELECT CAST(N AS int) FROM dbo.T", 245},
		{"a text that is no decimal", "SELECT CAST(N AS decimal(5,2)) FROM dbo.T", 8114},
		{"a text that is no float", "SELECT CAST(N AS float) FROM dbo.T", 8114},
		{"a text that is no date", "SELECT CAST(N AS date) FROM dbo.T", 241},
		{"a text that is no guid", "SELECT CAST(N AS uniqueidentifier) FROM dbo.T", 8169},
		{"a date that doesn't exist", "SELECT CAST('2023-02-29' AS date)", 241},
		{"a date beyond datetime", "SELECT CAST('1500-01-01' AS datetime)", 242},
		{"a text that is too long", "INSERT INTO dbo.T VALUES (3, 'abcdef', 1, 3)", 2628},
		{"NULL into NOT NULL", "INSERT INTO dbo.T VALUES (3, 'a', NULL, 3)", 515},
		{"NULL into the primary key", "INSERT INTO dbo.T VALUES (NULL, 'a', 1, 3)", 515},
		{"a NOT NULL column without a value", "INSERT INTO dbo.T (Id) VALUES (3)", 515},
		{"a duplicate primary key", "INSERT INTO dbo.T VALUES (1, 'a', 1, 3)", 2627},
		{"a duplicate unique key", "INSERT INTO dbo.T VALUES (3, 'a', 1, 1)", 2627},
		{"a table that exists", "CREATE TABLE dbo.T (Id int)", 2714},
		{"dropping a table that doesn't exist", "DROP TABLE dbo.Nothing", 3701},
		{"a subquery of two rows", "SELECT (SELECT Id FROM dbo.T)", 512},
		{"a column that isn't grouped by", "SELECT N, COUNT(*) FROM dbo.T GROUP BY R", 8120},
		{"a column beside an aggregate", "SELECT N, COUNT(*) FROM dbo.T", 8120},
		{"a type that doesn't exist", "SELECT CAST(1 AS nothing)", 2715},
		{"types that don't meet", "SELECT 1 + CAST('2024-01-01' AS date)", 206},
		{"a database that doesn't exist", "USE nothing", 911},
		{"COMMIT without BEGIN", "COMMIT TRANSACTION", 3902},
		{"ROLLBACK without BEGIN", "ROLLBACK TRANSACTION", 3903},
		{"more values than columns", "INSERT INTO dbo.T (Id) VALUES (1, 2)", 110},
		{"a UNION of unequal queries", "SELECT 1 UNION SELECT 1, 2", 205},
		{"what the server doesn't know", "MERGE dbo.T AS t USING dbo.T AS s ON t.Id = s.Id WHEN MATCHED THEN DELETE;", errNotSupported},
		{"THROW", "THROW 51000, 'mine', 1", 51000},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := endOf(db.Query(test.query))
			if got := numberOf(err); got != test.want {
				t.Errorf("%s\ngot %d (%v), want %d", test.query, got, err, test.want)
			}
		})
	}
	t.Run("writing with a read-only login", func(t *testing.T) {
		ro := open(t, address(t, s, reader, password))
		for _, q := range []string{"INSERT INTO dbo.T VALUES (9, 'a', 1, 9)", "UPDATE dbo.T SET R = 1", "DELETE FROM dbo.T", "DROP TABLE dbo.T", "CREATE TABLE dbo.N (Id int)", "TRUNCATE TABLE dbo.T"} {
			if _, err := ro.Exec(q); numberOf(err) != 229 {
				t.Errorf("%s: got %v, want 229", q, err)
			}
		}
		var n int
		if err := ro.QueryRow("SELECT COUNT(*) FROM dbo.T").Scan(&n); err != nil || n != 2 {
			t.Errorf("reading: %d rows, %v", n, err)
		}
	})
}

func TestLogins(t *testing.T) {
	s := startServer(t)
	for _, test := range []struct {
		name       string
		user, pass string
		parameters []string
		number     int32
		text       string
	}{
		{name: "the right password over verified TLS", user: owner, pass: password},
		{name: "a user's name in another case", user: "OWNER", pass: password},
		{name: "TDS 8, where TLS comes first", user: owner, pass: password, parameters: []string{"encrypt", "strict"}},
		{name: "the login alone encrypted", user: owner, pass: password, parameters: []string{"encrypt", "false", "certificate", "", "TrustServerCertificate", "true"}},
		{name: "no encryption", user: owner, pass: password, parameters: []string{"encrypt", "disable", "certificate", ""}},
		{name: "large packets", user: owner, pass: password, parameters: []string{"packet size", "32767"}},
		{name: "small packets", user: owner, pass: password, parameters: []string{"packet size", "512"}},
		{name: "a wrong password", user: owner, pass: "wrong", number: 18456},
		{name: "an unknown login", user: "nobody", pass: password, number: 18456},
		{name: "an unknown database", user: owner, pass: password, parameters: []string{"database", "nothing"}, number: 4060},
		{name: "a certificate that isn't trusted", user: owner, pass: password, parameters: []string{"certificate", ""}, text: "certificate"},
		{name: "another host name than the certificate's", user: owner, pass: password, parameters: []string{"hostNameInCertificate", "db.example.com"}, text: "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := open(t, address(t, s, test.user, test.pass, test.parameters...))
			var name, who string
			err := db.QueryRow("SELECT DB_NAME(), SUSER_SNAME()").Scan(&name, &who)
			switch {
			case test.number != 0:
				if numberOf(err) != test.number {
					// 4060 is followed by 18456, and the driver shows the last one.
					var e mssql.Error
					if !errors.As(err, &e) || len(e.All) == 0 || e.All[0].Number != test.number {
						t.Errorf("got %v, want number %d", err, test.number)
					}
				}
			case test.text != "":
				if err == nil || !strings.Contains(err.Error(), test.text) {
					t.Errorf("got %v, want an error about a %s", err, test.text)
				}
			case err != nil:
				t.Error(err)
			case name != "shop" || who != owner:
				t.Errorf("logged in to %s as %s", name, who)
			}
		})
	}
}

func TestCancellingAStatementLeavesTheConnectionUsable(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.N (Id int NOT NULL PRIMARY KEY)", "WITH d AS (SELECT v FROM (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS x(v)) INSERT INTO dbo.N SELECT a.v + 10 * b.v + 100 * c.v FROM d a CROSS JOIN d b CROSS JOIN d c")
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var before int
	if err := conn.QueryRowContext(t.Context(), "SELECT @@SPID").Scan(&before); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, query string }{
		{"while rows stream", "SELECT a.Id FROM dbo.N a CROSS JOIN dbo.N b CROSS JOIN dbo.N c"},
		{"while the server counts", "SELECT COUNT(*) FROM dbo.N a CROSS JOIN dbo.N b CROSS JOIN dbo.N c CROSS JOIN dbo.N d"},
		{"while the server waits", "WAITFOR DELAY '01:00:00'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Not a deadline: go-mssqldb takes DeadlineExceeded for a broken network and drops the connection.
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(200*time.Millisecond, cancel)
			err := endOf(conn.QueryContext(ctx, test.query))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want a cancelled statement", err)
			}
			var after int
			if err := conn.QueryRowContext(t.Context(), "SELECT @@SPID").Scan(&after); err != nil {
				t.Fatalf("the connection afterwards: %v", err)
			}
			if after != before {
				t.Errorf("session %d, want the same as before, %d", after, before)
			}
		})
	}
}

// An interrupt that comes after the statement's end would strike the one after it.
func TestCancellingAStatementLeavesTheNextAlone(t *testing.T) {
	srv, _ := startShop(t)
	conn, err := srv.database("shop").open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	go func() { _, _ = io.Copy(io.Discard, client) }()
	s := &session{srv: srv, sql: conn, out: newReply(server, defaultPacketSize), packets: make(chan packet, 1)}
	for i := range 1000 {
		s.packets <- packet{kind: packetAttention, status: statusEOM}
		if err := s.execute(whole(packetBatch, nil), func(ctx context.Context) error {
			s.cancel()
			return ctx.Err()
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.value("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500) SELECT COUNT(*) FROM n"); err != nil {
			t.Fatalf("the statement after cancellation %d: %v", i+1, err)
		}
	}
}

func TestFaultsStrikeInOrder(t *testing.T) {
	s, db := startShop(t)
	db.SetMaxIdleConns(0)
	run(t, db, "CREATE TABLE dbo.T (Id int NOT NULL)", "INSERT INTO dbo.T VALUES (1), (2), (3), (4)")
	s.OrderFault(Fault{Match: "dbo.t", Error: 1205})
	s.OrderFault(Fault{Login: true, Error: 18456})
	s.OrderFault(Fault{Match: "dbo.T", Kill: true, KillAfterRows: 2})
	if _, err := db.Exec("SELECT 1"); numberOf(err) != 18456 {
		t.Errorf("the first login: %v, want 18456", err)
	}
	if _, err := db.Exec("SELECT * FROM dbo.T"); numberOf(err) != 1205 {
		t.Errorf("the first statement: %v, want 1205", err)
	}
	if err := endOf(db.Query("SELECT * FROM dbo.T")); err == nil || numberOf(err) != 0 {
		t.Errorf("the second statement: %v, want a lost connection", err)
	}
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM dbo.T").Scan(&n); err != nil || n != 4 {
		t.Errorf("after the faults: %d, %v", n, err)
	}
	if left := s.ClearFaults(); left != 0 {
		t.Errorf("%d faults left", left)
	}
}

func TestAReaderSeesWhatWasCommittedWhenItsStatementBegan(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)", "INSERT INTO dbo.T VALUES (1)")
	count := func(q interface {
		QueryRow(string, ...any) *sql.Row
	}) (n int) {
		t.Helper()
		if err := q.QueryRow("SELECT COUNT(*) FROM dbo.T").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	writer, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	committed, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(fixed); n != 1 {
		t.Errorf("SNAPSHOT sees %d rows at first, want 1", n)
	}
	run(t, writer, "INSERT INTO dbo.T VALUES (2)", "UPDATE dbo.T SET Id = 3 WHERE Id = 1")
	if n := count(writer); n != 2 {
		t.Errorf("the writer sees %d rows, want its own too", n)
	}
	if n := count(committed); n != 1 {
		t.Errorf("READ COMMITTED sees %d rows of an open transaction, want 1", n)
	}
	if err := writer.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(committed); n != 2 {
		t.Errorf("READ COMMITTED sees %d rows after the commit, want 2", n)
	}
	if n := count(fixed); n != 1 {
		t.Errorf("SNAPSHOT sees %d rows after the commit, want still 1", n)
	}
	if _, err := fixed.Exec("DELETE FROM dbo.T"); numberOf(err) != 3960 {
		t.Errorf("writing over a changed snapshot: %v, want 3960", err)
	}
	if err := committed.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("SET LOCK_TIMEOUT 50; BEGIN TRAN; INSERT INTO dbo.T VALUES (7)"); err != nil {
		t.Fatal(err)
	}
}
