package sqlserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	reading "sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// The driver looks at no context between dialing and the login's answer: what is silent there must not keep the function.
func TestAServerThatFallsSilentAtTheLoginIsGivenUp(t *testing.T) {
	server, err := sqlserver.Start(sqlserver.Options{Databases: []string{"shop"}, Logins: []sqlserver.Login{{Name: "owner", Password: "Owner-Passw0rd"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	host, port := server.Addr()

	for _, c := range []struct {
		name string
		// answered is how many bytes of the server's come through.
		answered int64
	}{
		{"before its first answer", 0},
		{"in the TLS handshake", 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			silent, _, gaveUp := fallSilent(t, fmt.Sprintf("%s:%d", host, port), c.answered, 20*time.Second)
			_, err := reading.Open(t.Context(), reading.Login{
				Host: "127.0.0.1", Port: silent, Database: "shop", Username: "owner", Password: "Owner-Passw0rd", CACertificate: string(server.CACertificatePEM()),
			}, reading.Options{AppName: "test", ConnectTimeout: 500 * time.Millisecond, LockTimeout: time.Second})
			select {
			case <-gaveUp:
				t.Fatalf("it was the server that ended the connection: %v", err)
			default:
			}
			if err == nil || !strings.Contains(err.Error(), "did not answer: no login within 500ms") || !reading.Transient(err) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// The driver waits twice for five seconds for a cancelled statement's confirmation. That is all the time that an export keeps for
// taking back its uploads and for saying why it ended.
func TestAServerThatFallsSilentIsNotAwaitedWhenTheStatementIsCancelled(t *testing.T) {
	server, err := sqlserver.Start(sqlserver.Options{Databases: []string{"shop"}, Logins: []sqlserver.Login{{Name: "owner", Password: "Owner-Passw0rd"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	host, port := server.Addr()
	silent, fell, gaveUp := fallSilent(t, fmt.Sprintf("%s:%d", host, port), 100_000, 8*time.Second)
	s, err := reading.Open(t.Context(), reading.Login{
		Host: "127.0.0.1", Port: silent, Database: "shop", Username: "owner", Password: "Owner-Passw0rd", CACertificate: string(server.CACertificatePEM()),
	}, reading.Options{AppName: "test", ConnectTimeout: 5 * time.Second, LockTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	rows, err := s.Query(ctx, reading.Statement{From: "the test", Text: `WITH d AS (SELECT v FROM (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS x(v))
		SELECT a.v, REPLICATE('x', 200) AS x FROM d a CROSS JOIN d b CROSS JOIN d c CROSS JOIN d e`})
	if err != nil {
		t.Fatal(err)
	}
	<-fell
	cancel(errors.New("the time is up"))
	for err == nil {
		_, err = rows.Next()
	}
	_ = rows.Close()
	select {
	case <-gaveUp:
		t.Fatalf("it was the server that ended the connection: %v", err)
	default:
	}
	if !strings.Contains(err.Error(), "the time is up") {
		t.Fatalf("got %v", err)
	}
}

// fallSilent passes a connection on to a server, of whose bytes only so many come back; it stays open until the client ends it, or
// its patience does. fell is closed when it falls silent, gaveUp when its patience ends.
func fallSilent(t *testing.T, to string, answered int64, patience time.Duration) (port int, fell, gaveUp <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	silent, ended := make(chan struct{}), make(chan struct{})
	go func() {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			defer close(silent)
			_, _ = io.CopyN(client, server, answered)
		}()
		_ = client.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(server, client); err != nil {
			close(ended)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, silent, ended
}
