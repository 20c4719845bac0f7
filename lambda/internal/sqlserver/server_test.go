package sqlserver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	reading "sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// shop is the SQL Server of the tests: the local one or, where SQLSERVER_URL names one, a real one with SQLSERVER_CA as its certificate's
// authority. Its login may make tables.
type shop struct {
	login reading.Login
	owner *sql.DB
	// local is nil for a real server.
	local *sqlserver.Server
}

const password = "Owner-Passw0rd"

var (
	shared     shop
	errShared  error
	sharedOnce sync.Once
	tables     atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.owner != nil {
		shared.owner.Close()
	}
	if shared.local != nil {
		shared.local.Close()
	}
	os.Exit(code)
}

// theShop is the server that all tests share.
func theShop(t *testing.T) shop {
	t.Helper()
	sharedOnce.Do(func() { shared, errShared = openShop(sqlserver.Options{}) })
	if errShared != nil {
		t.Fatal(errShared)
	}
	return shared
}

// shopWith is a local server of a test's own.
func shopWith(t *testing.T, o sqlserver.Options) shop {
	t.Helper()
	s, err := openLocal(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.owner.Close()
		s.local.Close()
	})
	return s
}

func openShop(o sqlserver.Options) (shop, error) {
	raw := os.Getenv("SQLSERVER_URL")
	if raw == "" {
		return openLocal(o)
	}
	c, err := msdsn.Parse(raw)
	if err != nil {
		return shop{}, err
	}
	s := shop{login: reading.Login{Host: c.Host, Port: int(c.Port), Database: c.Database, Username: c.User, Password: c.Password}}
	if s.login.Port == 0 {
		s.login.Port = reading.DefaultPort
	}
	if file := os.Getenv("SQLSERVER_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return shop{}, err
		}
		s.login.CACertificate = string(pem)
	}
	s.owner, err = sql.Open("sqlserver", raw)
	return s, err
}

func openLocal(o sqlserver.Options) (shop, error) {
	o.Databases = []string{"shop"}
	o.Logins = append([]sqlserver.Login{{Name: "owner", Password: password}}, o.Logins...)
	server, err := sqlserver.Start(o)
	if err != nil {
		return shop{}, err
	}
	host, port := server.Addr()
	s := shop{local: server, login: reading.Login{
		Host: host, Port: port, Database: "shop", Username: "owner", Password: password, CACertificate: string(server.CACertificatePEM()),
	}}
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		return shop{}, err
	}
	defer os.RemoveAll(dir)
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, server.CACertificatePEM(), 0o600); err != nil {
		return shop{}, err
	}
	u := url.URL{
		Scheme: "sqlserver", User: url.UserPassword("owner", password), Host: host + ":" + strconv.Itoa(port),
		RawQuery: url.Values{"database": {"shop"}, "encrypt": {"true"}, "certificate": {ca}}.Encode(),
	}
	if s.owner, err = sql.Open("sqlserver", u.String()); err != nil {
		return shop{}, err
	}
	return s, s.owner.PingContext(context.Background())
}

// session opens a session of a login, the owner's by default.
func (s shop) session(t *testing.T, change ...func(*reading.Login, *reading.Options)) *reading.Session {
	t.Helper()
	login, options := s.login, reading.Options{AppName: "test", ConnectTimeout: 10 * time.Second, LockTimeout: 5 * time.Second}
	for _, f := range change {
		f(&login, &options)
	}
	session, err := reading.Open(t.Context(), login, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// as is a login of a server of one's own, with the password that all have.
func as(name string) func(*reading.Login, *reading.Options) {
	return func(l *reading.Login, _ *reading.Options) { l.Username = name }
}

// table makes a table and gives its name.
func (s shop) table(t *testing.T, columns string) string {
	t.Helper()
	name := fmt.Sprintf("dbo.T%d_%d", os.Getpid(), tables.Add(1))
	s.execute(t, "CREATE TABLE "+name+" ("+columns+")")
	t.Cleanup(func() { _, _ = s.owner.ExecContext(context.Background(), "DROP TABLE "+name) })
	return name
}

func (s shop) execute(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.owner.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// read reads a statement to its end, and compares the server's count with the rows.
func read(t *testing.T, s *reading.Session, st reading.Statement) ([]reading.Column, [][]any) {
	t.Helper()
	columns, rows, err := tryRead(t, s, st)
	if err != nil {
		t.Fatalf("%s: %v", st.Text, err)
	}
	return columns, rows
}

func tryRead(t *testing.T, s *reading.Session, st reading.Statement) ([]reading.Column, [][]any, error) {
	t.Helper()
	r, err := s.Query(t.Context(), st)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = r.Close() }() // closed again, it says nothing
	var rows [][]any
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, slices.Clone(row))
	}
	if r.Done() != int64(len(rows)) {
		t.Fatalf("%s: the server counted %d rows, %d were read", st.Text, r.Done(), len(rows))
	}
	return r.Columns(), rows, r.Close()
}

func hasText(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("got %v, want an error with %q", err, part)
		}
	}
}
