package sqlserver_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	reading "sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// A connection that is cut, after whatever byte, is never taken for the end of the rows: what is read is all or an error.
func TestAConnectionThatIsCutAnywhereIsNeverTakenForTheEnd(t *testing.T) {
	server, err := sqlserver.Start(sqlserver.Options{Databases: []string{"shop"}, Logins: []sqlserver.Login{{Name: "owner", Password: "Owner-Passw0rd"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	host, port := server.Addr()
	p := newProxy(t, fmt.Sprintf("%s:%d", host, port))
	login := reading.Login{
		Host: "127.0.0.1", Port: p.port, Database: "shop", Username: "owner", Password: "Owner-Passw0rd", CACertificate: string(server.CACertificatePEM()),
	}
	options := reading.Options{AppName: "test", ConnectTimeout: 5 * time.Second, LockTimeout: time.Second}
	const rows = 2000
	// read gives the number of rows up to the end or the error.
	read := func(query string) (int, error) {
		s, err := reading.Open(t.Context(), login, options)
		if err != nil {
			return 0, err
		}
		defer s.Close()
		r, err := s.Query(t.Context(), reading.Statement{Text: query, From: "the test"})
		if err != nil {
			return 0, err
		}
		defer func() { _ = r.Close() }() // a connection that is cut ends with an error
		for n := 0; ; n++ {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				return n, nil
			} else if err != nil {
				return n, err
			}
		}
	}
	if _, err := read("CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, Note varchar(40) NOT NULL)"); err == nil || !strings.Contains(err.Error(), "gave no result") {
		t.Fatal(err)
	}
	for at := 0; at < rows; at += 500 {
		var values []string
		for i := at; i < at+500; i++ {
			values = append(values, fmt.Sprintf("(%d, 'note %d')", i, i))
		}
		if _, err := read("INSERT INTO dbo.T (Id, Note) VALUES " + strings.Join(values, ",")); err == nil || !strings.Contains(err.Error(), "gave no result") {
			t.Fatal(err)
		}
	}

	const query = "SELECT Id, Note FROM dbo.T"
	p.sent.Store(0)
	if n, err := read(query); n != rows || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	whole := p.sent.Load()
	for i := range int64(80) {
		p.sent.Store(0)
		p.limit.Store(whole * i / 80)
		n, err := read(query)
		if err == nil && n != rows {
			t.Fatalf("cut after %d of %d bytes, %d rows were taken for all", whole*i/80, whole, n)
		}
		if err != nil && !reading.Transient(err) {
			t.Errorf("cut after %d of %d bytes: not transient: %v", whole*i/80, whole, err)
		}
	}
}

// proxy stands between client and server and cuts the connection when the server has sent limit bytes.
type proxy struct {
	port        int
	sent, limit atomic.Int64
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	p := &proxy{port: listener.Addr().(*net.TCPAddr).Port}
	p.limit.Store(1 << 40)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, client)
				server.Close()
			}()
			go func() {
				defer client.Close()
				defer server.Close()
				buffer := make([]byte, 4096)
				for {
					n, err := server.Read(buffer)
					left := p.limit.Load() - p.sent.Load()
					if _, e := client.Write(buffer[:min(int64(n), max(left, 0))]); e != nil || err != nil || int64(n) > left {
						return
					}
					p.sent.Add(int64(n))
				}
			}()
		}
	}()
	return p
}
