package sqlserver

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
)

func dsn(t testing.TB, s *Server, user, password, database string) string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CACertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port := s.Addr()
	q := url.Values{"encrypt": {"true"}, "TrustServerCertificate": {"false"}, "certificate": {ca}, "database": {database}, "guid conversion": {"true"}}
	return (&url.URL{Scheme: "sqlserver", User: url.UserPassword(user, password), Host: fmt.Sprintf("%s:%d", host, port), RawQuery: q.Encode()}).String()
}

func TestSmoke(t *testing.T) {
	s, err := Start(Options{Databases: []string{"shop"}, Logins: []Login{{Name: "sa", Password: "p'ä!"}}, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("sqlserver", dsn(t, s, "sa", "p'ä!", "shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	var v string
	if err := db.QueryRowContext(ctx, "SELECT @@VERSION").Scan(&v); err != nil {
		t.Fatal(err)
	}
	t.Log(v)
	if _, err := db.Exec("CREATE TABLE dbo.T (Id bigint NOT NULL PRIMARY KEY, Name nvarchar(20) NULL, Amount decimal(12,2) NOT NULL DEFAULT 1.5, D datetime2(3))"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	st, err := tx.Prepare(mssql.CopyIn("dbo.T", mssql.BulkOptions{}, "Id", "Name", "Amount", "D"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := st.Exec(i, fmt.Sprint("n", i), "12.34", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Exec(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("SELECT t.*, Amount * 2 AS x, CASE WHEN Name = N'N3 ' THEN 1 ELSE 0 END f, LAG(Amount) OVER (ORDER BY Id) l FROM dbo.T t WHERE Id > @p1 ORDER BY Name DESC", 2)
	if err != nil {
		t.Fatal(err)
	}
	cols, _ := rows.ColumnTypes()
	for _, c := range cols {
		p, sc, _ := c.DecimalSize()
		n, _ := c.Nullable()
		t.Log(c.Name(), c.DatabaseTypeName(), p, sc, n)
	}
	for rows.Next() {
		vals := make([]any, len(cols))
		ptr := make([]any, len(cols))
		for i := range vals {
			ptr[i] = &vals[i]
		}
		if err := rows.Scan(ptr...); err != nil {
			t.Fatal(err)
		}
		t.Log(vals...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	_ = base64.StdEncoding
}
