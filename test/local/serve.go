package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"sagemaker-datapipeline/test/local/emulator"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// databaseName is the database of the three tables, as cdk.json's local environment names it.
const databaseName = "shop"

// The logins of the local SQL Server. The export reads with a login that can do nothing else, as it should everywhere.
const (
	ownerLogin  = "shop_owner"
	exportLogin = "ml_export"
)

// serve holds the emulator and the local SQL Server. It ends on SIGTERM, and with its standard input unless that said
// "keep" before: so nothing stays behind a run that was killed.
func serve(ctx context.Context, o options) error {
	release, err := o.dir.lock("serve.lock")
	if errors.Is(err, errLocked) {
		return alreadyUp(o)
	}
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		kept := false
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			kept = kept || lines.Text() == keepWord
		}
		if !kept {
			stop()
		}
	}()

	r := ready{PID: os.Getpid()}
	if os.Getenv(serverURLVariable) == "" {
		server, err := startSQLServer(ctx, o, &r)
		if err != nil {
			return err
		}
		defer server.Close()
	}
	if err := freePort(ctx, o.port, "PORT", "the local AWS"); err != nil {
		return err
	}
	// The account begins empty: what an earlier run left would be in the way of this one's names.
	account := o.dir.file("aws")
	if err := os.RemoveAll(account); err != nil {
		return fmt.Errorf("removing the last run's AWS: %w", err)
	}
	e, err := emulator.Start(ctx, emulator.Options{Port: o.port, StateDir: account, Python: pythonCommand()})
	if err != nil {
		return err
	}
	defer e.Stop()
	r.Endpoint = e.URL
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return fmt.Errorf("telling that the services are up: %w", err)
	}
	<-ctx.Done()
	return nil
}

func startSQLServer(ctx context.Context, o options, r *ready) (*sqlserver.Server, error) {
	if err := freePort(ctx, o.sqlPort, "SQL_PORT", "the local SQL Server"); err != nil {
		return nil, err
	}
	dir := o.dir.file("sqlserver")
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("removing the last run's database: %w", err)
	}
	log, err := os.Create(o.dir.log("sqlserver"))
	if err != nil {
		return nil, fmt.Errorf("creating the log: %w", err)
	}
	r.Owner, r.Export = login{ownerLogin, rand.Text()}, login{exportLogin, rand.Text()}
	server, err := sqlserver.Start(sqlserver.Options{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(o.sqlPort)), Dir: dir, Databases: []string{databaseName},
		Logins: []sqlserver.Login{
			{Name: r.Owner.Name, Password: r.Owner.Password},
			{Name: r.Export.Name, Password: r.Export.Password, ReadOnly: true},
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return nil, fmt.Errorf("starting the local SQL Server: %w", err)
	}
	r.Host, r.Port = server.Addr()
	r.CA = string(server.CACertificatePEM())
	return server, nil
}

// freePort says in one line that a port is taken, and how to take another.
func freePort(ctx context.Context, port int, variable, what string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d, for %s, is taken by another program: choose another one by `make local %s=%d`, or 0 for any free one",
			port, what, variable, port+1)
	}
	return fmt.Errorf("taking port %d for %s: %w", port, what, err)
}

// alreadyUp says who holds the environment.
func alreadyUp(o options) error {
	return fmt.Errorf("a local environment is up already (process %d): end it by `make local-down`", o.dir.holder("serve.lock"))
}

// trimProgram takes the program's name off a line of its own log.
func trimProgram(line string) string { return strings.TrimPrefix(line, "local: ") }
