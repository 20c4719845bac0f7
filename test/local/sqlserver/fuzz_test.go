package sqlserver

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sqlc-dev/teesql/ast"
)

// What comes from the network must never take the server down: it's an error, whatever it is.

func whole(kind byte, data []byte) *message {
	return newMessage(packet{kind: kind, status: statusEOM, data: data}, func() (packet, error) { return packet{}, io.EOF })
}

func FuzzPrelogin(f *testing.F) {
	f.Add(preloginReply(encryptOn))
	f.Add([]byte{0, 0, 6, 0, 1, 0xFF})
	f.Fuzz(func(_ *testing.T, b []byte) {
		o, err := parsePrelogin(b)
		if err == nil {
			negotiate(o[preloginEncryption])
		}
	})
}

func FuzzLogin7(f *testing.F) {
	f.Add(make([]byte, login7Fixed))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := parseLogin7(b); err == nil && l.packetSize > maxPacketSize {
			t.Errorf("packet size %d", l.packetSize)
		}
	})
}

func FuzzValues(f *testing.F) {
	for _, id := range []byte{wireIntN, wireDecimalN, wireDateTimeOffset, wireNVarchar, wireBigVarBinary, wireText, wireXML, wireGUID} {
		f.Add([]byte{id, 4, 5, 2, 1, 0, 0, 0, 0, 4, 1, 2, 3, 4})
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		m := whole(packetRPC, b)
		w := readTypeInfo(m)
		if m.err == nil {
			v := w.readValue(m)
			if m.err == nil && v != nil {
				_, _ = convert(v, w.typ, nvarcharType(maxLength), noStyle)
			}
		}
	})
}

func FuzzCalls(f *testing.F) {
	f.Add([]byte{0xFF, 0xFF, 10, 0, 0, 0, 0, 0, wireNVarchar, 4, 0, 9, 4, 0xD0, 0, 0x34, 4, 0, 'a', 0, 'b', 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		m := whole(packetRPC, b)
		for m.err == nil && m.more() {
			readCall(m)
		}
	})
}

func FuzzBulkMetadata(f *testing.F) {
	tab := &table{Name: "T", Columns: []*tableColumn{{Name: "A", typ: intType}}}
	f.Add([]byte{tokenColMetadata, 1, 0, 0, 0, 0, 0, 0, 0, wireIntN, 4, 1, 'A', 0, tokenRow, 4, 1, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		m := whole(packetBulkLoad, b)
		cols, err := readBulkMetadata(m, tab, &bulkLoad{columns: []string{"A"}})
		if err == nil {
			for _, c := range cols {
				c.readValue(m)
			}
		}
	})
}

func FuzzInsertBulk(f *testing.F) {
	f.Add("INSERT BULK [dbo].[T] ([A] int, [B] decimal(5, 2)) WITH (KEEP_NULLS)")
	f.Fuzz(func(_ *testing.T, text string) { _, _, _ = parseInsertBulk(text) })
}

// FuzzStatements plans whatever the parser makes of a text.
func FuzzStatements(f *testing.F) {
	for _, q := range []string{
		"SELECT * FROM dbo.T WHERE A > 1", "WITH c AS (SELECT 1 AS x) SELECT x FROM c ORDER BY x", "INSERT INTO dbo.T VALUES (1)",
		"CREATE TABLE dbo.N (A decimal(5, 2) NOT NULL DEFAULT 1)", "DECLARE @a int = 1; SET @a += 1; SELECT @a", "SELECT SUM(A) OVER (ORDER BY A ROWS 1 PRECEDING) FROM dbo.T",
		"SELECT CASE WHEN 1 = 1 THEN 'a' END + N'b'", "SELECT CONVERT(varchar(10), GETDATE(), 112)", "IF 1 = 1 PRINT 'x' ELSE SELECT 2",
		"SELECT 1 OPTION (OPTIMIZE FOR (@a = 1, @b UNKNOWN))", "DECLARE c CURSOR FOR SELECT 1", "CREATE UNIQUE INDEX i ON dbo.T (A DESC) INCLUDE (B) WITH (FILLFACTOR = 80)",
		"SELECT TOP (2) WITH TIES A FROM dbo.T AS q WHERE q.[A] >= 1 ORDER BY A DESC", "SELECT COLLATIONPROPERTY(N'Japanese_CI_AS', 'CodePage'), SERVERPROPERTY('Edition')",
		"SELECT h.step_number FROM sys.stats AS s CROSS APPLY sys.dm_db_stats_histogram(s.object_id, s.stats_id) AS h OPTION (MAXDOP 1)",
		"CREATE STATISTICS s ON dbo.T (A, [B]) WITH SAMPLE 5 PERCENT, NORECOMPUTE; UPDATE STATISTICS dbo.T s WITH FULLSCAN", "CREATE VIEW dbo.V (a) WITH SCHEMABINDING AS SELECT A FROM dbo.T",
		"CREATE TABLE dbo.M (A varchar(9) COLLATE Latin1_General_BIN2 MASKED WITH (FUNCTION = 'partial(1,\"x\",0)') NULL, B AS (A + 'x') PERSISTED)",
		"CREATE TABLE dbo.E (A int ENCRYPTED WITH (COLUMN_ENCRYPTION_KEY = k, ENCRYPTION_TYPE = RANDOMIZED, ALGORITHM = 'AEAD_AES_256_CBC_HMAC_SHA_256'))",
	} {
		f.Add(q)
	}
	s, err := Start(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	db := s.database("master")
	conn, err := db.open()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(conn.Close)
	if err := conn.Exec(`CREATE TABLE "dbo.T" ("A" INTEGER)`); err != nil {
		f.Fatal(err)
	}
	db.catalog.Store(&catalog{tables: map[string]*table{"dbo.t": {ID: 1, Schema: "dbo", Name: "T", Columns: []*tableColumn{{Name: "A", typ: intType}}}}})
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parse(text)
		if err != nil {
			if strings.Contains(err.Error(), fmt.Sprintf(neverParsed, parseTimeout)) {
				t.Fatalf("the parser doesn't end on %q: refuse it in checkGrammar", text)
			}
			return
		}
		ss := &session{srv: s, db: db, sql: conn, temp: map[string]*table{}, text: text}
		for _, st := range list {
			planQuietly(ss, st)
		}
	})
}

// planQuietly plans a SELECT. The session turns a panic of the planner into an error; a fuzz test must not.
func planQuietly(s *session, st ast.Statement) {
	if sel, ok := st.(*ast.SelectStatement); ok && sel.QueryExpression != nil {
		sql, _, err := s.newPlanner(newVariables()).statementQuery(sel)
		if err != nil {
			return
		}
		if stmt, err := s.sql.Prepare(sql); err == nil {
			stmt.Close()
		}
	}
}
