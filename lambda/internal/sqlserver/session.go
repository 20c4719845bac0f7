package sqlserver

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
)

// PacketSize is the size of a TDS packet in bytes: the largest that TLS takes whole (MS-TDS: 16,383 when encrypted), because
// the default of 4,096 costs a read four times as often.
const PacketSize = 16_383

// CancelTime is how long a server may take to confirm that it cancelled a statement. A reading statement has nothing to roll
// back, so it takes a round trip; the driver alone would wait for a server that is silent until the function is killed.
const CancelTime = 2 * time.Second

// Session is one connection, set up for reading.
type Session struct {
	db     *sql.DB
	conn   *sql.Conn
	dialer *dialer
	login  Login
}

// Options of a session.
type Options struct {
	// AppName is what the database's owner sees in sys.dm_exec_sessions.
	AppName string
	// ConnectTimeout bounds connecting and logging in.
	ConnectTimeout time.Duration
	// LockTimeout is how long a statement waits for a lock before error 1222.
	LockTimeout time.Duration
	// MaxValueBytes is the size of the largest value that the caller takes, in bytes of its UTF-8 or binary form. What is longer
	// arrives cut, so that it doesn't fill the memory, and always longer than this: the caller has to refuse it. 0: nothing is cut.
	MaxValueBytes int64
	// ReadOnlyIntent asks for a replica that only reads (ApplicationIntent=ReadOnly): without it, a secondary of an availability group may
	// refuse the login, and a listener leads to the primary.
	ReadOnlyIntent bool
}

// Open connects, logs in and sets the session. The errors are of type *Error, or of the login itself.
func Open(ctx context.Context, l Login, o Options) (*Session, error) {
	roots, err := certificatePool(l.CACertificate)
	if err != nil {
		return nil, err
	}
	config := msdsn.Config{
		Host: l.Host, Port: uint64(l.Port), Database: l.Database, User: l.Username, Password: l.Password,
		Encryption: msdsn.EncryptionRequired,
		TLSConfig: &tls.Config{
			RootCAs: roots, ServerName: l.Host, MinVersion: tls.VersionTLS12,
			// One TDS packet has to be one TLS record: SQL Server refuses anything else.
			DynamicRecordSizingDisabled: true,
		},
		HostInCertificateProvided: true,
		TrustServerCertificate:    false,
		AppName:                   o.AppName,
		ReadOnlyIntent:            o.ReadOnlyIntent,
		DialTimeout:               o.ConnectTimeout,
		KeepAlive:                 30 * time.Second,
		PacketSize:                PacketSize,
		Protocols:                 []string{"tcp"},
		// A statement that is sent twice is read twice: starting over is the exporter's decision.
		DisableRetry: true,
		Encoding:     msdsn.EncodeParameters{GuidConversion: true, Timezone: time.UTC},
	}
	connecting, cancel := context.WithTimeoutCause(ctx, o.ConnectTimeout, fmt.Errorf("no login within %s", o.ConnectTimeout))
	defer cancel()
	connector := mssql.NewConnectorConfig(config)
	dialing := &dialer{Dialer: net.Dialer{KeepAlive: config.KeepAlive}, login: connecting}
	connector.Dialer = dialing
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	s := &Session{db: db, dialer: dialing, login: l}
	if s.conn, err = db.Conn(connecting); err != nil {
		err = connectError(connecting, l, err)
		return nil, errors.Join(err, s.Close())
	}
	for _, set := range settings(o) {
		if _, err := s.conn.ExecContext(connecting, set); err != nil {
			return nil, errors.Join(queryError(connecting, set, err), s.Close())
		}
	}
	if !dialing.keep() {
		return nil, errors.Join(connectError(connecting, l, context.Cause(connecting)), s.Close())
	}
	return s, nil
}

// dialer dials for the driver, and breaks off what isn't logged in when the context of the login ends: while it waits for the
// server's first answers and for TLS, the driver looks at no context, and a server that accepts and says nothing would keep
// the function until it is killed.
type dialer struct {
	net.Dialer
	login context.Context //nolint:containedctx // the driver dials with another one

	mu    sync.Mutex
	conns []net.Conn
	stops []func() bool
}

// DialContext dials, perhaps to several addresses of a host at once.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(d.login, func() { _ = conn.SetDeadline(time.Now()) }) //nolint:contextcheck // the dial's ends before the login
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns, d.stops = append(d.conns, conn), append(d.stops, stop)
	return conn, nil
}

// keep lets the connections outlive the login, and says whether they were in time.
func (d *dialer) keep() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	inTime := true
	for _, stop := range d.stops {
		inTime = stop() && inTime
	}
	return inTime
}

// sever makes whatever waits for the server end with an error.
func (d *dialer) sever() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.conns {
		_ = conn.SetDeadline(time.Now())
	}
}

// severLate severs the connection when the context has ended and the function that it gives isn't called within CancelTime.
func (d *dialer) severLate(ctx context.Context) (ended func()) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-over:
		case <-time.After(CancelTime):
			d.sever()
		}
	})
	return sync.OnceFunc(func() {
		stop()
		close(over)
	})
}

// settings are the SET statements that make a session read alike wherever the server's defaults point.
func settings(o Options) []string {
	return []string{
		// Without it (max) values are cut at 4,096 bytes on a server with that default.
		fmt.Sprintf("SET TEXTSIZE %d", textSize(o.MaxValueBytes)),
		// The counts of rows that are compared.
		"SET NOCOUNT OFF",
		// Indexed views and computed columns are matched under these only.
		"SET ANSI_NULLS ON", "SET ANSI_PADDING ON", "SET ANSI_WARNINGS ON", "SET QUOTED_IDENTIFIER ON",
		"SET ARITHABORT ON", "SET CONCAT_NULL_YIELDS_NULL ON", "SET NUMERIC_ROUNDABORT OFF",
		// What a login's defaults would otherwise decide about dates in the query's text.
		"SET LANGUAGE us_english", "SET DATEFORMAT mdy", "SET DATEFIRST 7",
		// The export gives way to the application.
		"SET DEADLOCK_PRIORITY LOW",
		fmt.Sprintf("SET LOCK_TIMEOUT %d", o.LockTimeout.Milliseconds()),
		"SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
	}
}

// textSize is where the server may cut a value, in bytes as it sends them: a UTF-16 text of twice the bytes is at least as long as
// maxValue in UTF-8, so that what was cut is longer than maxValue in any form.
func textSize(maxValue int64) int64 {
	if maxValue <= 0 || maxValue > (MaxLength-2)/2 {
		return -1
	}
	return 2*maxValue + 2
}

// Close ends the session.
func (s *Session) Close() error {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	if e := s.db.Close(); e != nil && err == nil {
		err = e
	}
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// BeginSnapshot begins a transaction in which every statement sees one state of the database: the one that was committed when its
// first statement reads. The database has to allow it, which that statement finds out.
func (s *Session) BeginSnapshot(ctx context.Context) error {
	defer s.dialer.severLate(ctx)()
	for _, sql := range []string{"SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION"} {
		if _, err := s.conn.ExecContext(ctx, sql); err != nil {
			return queryError(ctx, "a snapshot transaction", err)
		}
	}
	return nil
}

// Commit ends the transaction that BeginSnapshot began. An error says that it had ended before, so that what was read since isn't one
// state.
func (s *Session) Commit(ctx context.Context) error {
	defer s.dialer.severLate(ctx)()
	for _, sql := range []string{"COMMIT TRANSACTION", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"} {
		if _, err := s.conn.ExecContext(ctx, sql); err != nil {
			return queryError(ctx, "the snapshot transaction's end", err)
		}
	}
	return nil
}
