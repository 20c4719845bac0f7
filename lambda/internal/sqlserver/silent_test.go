package sqlserver_test

import (
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
			silent, gaveUp := fallSilent(t, fmt.Sprintf("%s:%d", host, port), c.answered)
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

// fallSilent passes a connection on to a server, of whose bytes only so many come back; it stays open until the client ends it, or
// for 20 seconds: then gaveUp is closed.
func fallSilent(t *testing.T, to string, answered int64) (port int, gaveUp <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	ended := make(chan struct{})
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
		go func() { _, _ = io.CopyN(client, server, answered) }()
		_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(server, client); err != nil {
			close(ended)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, ended
}
