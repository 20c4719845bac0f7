package sqlserver

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/microsoft/go-mssqldb"
)

// The logins of the tests.
const (
	owner    = "owner"
	reader   = "reader"
	password = "Pässwörd;'1 {}"
)

// startServer starts a server that ends with the test.
func startServer(t testing.TB) *Server {
	t.Helper()
	s, err := Start(Options{Log: testLog(t),
		Databases: []string{"shop", "other"},
		Logins:    []Login{{Name: owner, Password: password}, {Name: reader, Password: password, ReadOnly: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	return s
}

// address is how a client connects: over TLS, with the server's certificate verified. Parameters replace or add.
func address(t testing.TB, s *Server, user, password string, parameters ...string) string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CACertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port := s.Addr()
	q := url.Values{
		"encrypt": {"true"}, "TrustServerCertificate": {"false"}, "certificate": {ca}, "database": {"shop"},
	}
	for i := 0; i+1 < len(parameters); i += 2 {
		q.Set(parameters[i], parameters[i+1])
		if parameters[i+1] == "" {
			q.Del(parameters[i])
		}
	}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword(user, password), Host: fmt.Sprintf("%s:%d", host, port), RawQuery: q.Encode()}
	return u.String()
}

// open opens a database that is closed with the test.
func open(t testing.TB, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlserver", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// startShop starts a server and logs in as the owner.
func startShop(t testing.TB) (*Server, *sql.DB) {
	t.Helper()
	s := startServer(t)
	return s, open(t, address(t, s, owner, password))
}

// run runs statements that must succeed.
func run(t testing.TB, db interface {
	Exec(query string, args ...any) (sql.Result, error)
}, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s\n%v", q, err)
		}
	}
}

// testLog shows what the server logs, where LOCAL_SQLSERVER_DEBUG asks for it.
func testLog(t testing.TB) *slog.Logger {
	if os.Getenv("LOCAL_SQLSERVER_DEBUG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
