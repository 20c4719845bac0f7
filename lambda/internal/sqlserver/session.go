package sqlserver

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-sql/civil"
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
	for _, set := range settings(o.LockTimeout) {
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
func settings(lockTimeout time.Duration) []string {
	return []string{
		// Without it (max) values are cut at 4,096 bytes on a server with that default.
		"SET TEXTSIZE -1",
		// Indexed views and computed columns are matched under these only.
		"SET ANSI_NULLS ON", "SET ANSI_PADDING ON", "SET ANSI_WARNINGS ON", "SET QUOTED_IDENTIFIER ON",
		"SET ARITHABORT ON", "SET CONCAT_NULL_YIELDS_NULL ON", "SET NUMERIC_ROUNDABORT OFF",
		// What a login's defaults would otherwise decide about dates in the query's text.
		"SET LANGUAGE us_english", "SET DATEFORMAT mdy", "SET DATEFIRST 7",
		// The export gives way to the application.
		"SET DEADLOCK_PRIORITY LOW",
		fmt.Sprintf("SET LOCK_TIMEOUT %d", lockTimeout.Milliseconds()),
		"SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
	}
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

// Identity is where the rows come from and what reading them there guarantees.
type Identity struct {
	Server, Database, Version string
	Isolation, Guarantee      string
}

// What the isolation levels guarantee, in words for the manifest.
const (
	versioned = "Every row as it was committed when the statement began. Concurrent changes neither hide nor double a row. Functions that the query calls, and other databases, may read later states."
	locking   = "Committed rows only. A row that another transaction changed during the export is there as it was before or after. A row that moved in the index that was scanned may be missing or there twice."
	unknown   = "Committed rows only. Whether the database has READ_COMMITTED_SNAPSHOT on could not be read, so no more is claimed than locking gives: a row that moved in the index that was scanned during the export may be missing or there twice."
	dirty     = "None: the query asks for uncommitted reads (NOLOCK or READUNCOMMITTED). Rows may be missing, there twice, or never have been committed."
)

// Identify asks the server who it is and how it isolates readers of the statement.
func (s *Session) Identify(ctx context.Context, st Statement) (Identity, error) {
	defer s.dialer.severLate(ctx)()
	id := Identity{Server: fmt.Sprintf("%s:%d", s.login.Host, s.login.Port)}
	if err := s.conn.QueryRowContext(ctx, "SELECT DB_NAME(), @@VERSION").Scan(&id.Database, &id.Version); err != nil {
		return Identity{}, queryError(ctx, "the server's version", err)
	}
	// The rest of @@VERSION's lines is about the build and the operating system.
	id.Version, _, _ = strings.Cut(id.Version, "\n")
	id.Version = strings.TrimSpace(id.Version)

	var rcsi bool
	err := s.conn.QueryRowContext(ctx, "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE database_id = DB_ID()").Scan(&rcsi)
	var server mssql.Error
	switch {
	case err == nil && rcsi:
		id.Isolation, id.Guarantee = "READ COMMITTED SNAPSHOT (row versions, per statement)", versioned
	case err == nil:
		id.Isolation, id.Guarantee = "READ COMMITTED (locking)", locking
	case errors.Is(err, sql.ErrNoRows) || errors.As(err, &server):
		id.Isolation, id.Guarantee = "READ COMMITTED (row versioning unknown)", unknown
	default:
		return Identity{}, queryError(ctx, "sys.databases", err)
	}
	for word := range words(st.Text) {
		if strings.EqualFold(word, "NOLOCK") || strings.EqualFold(word, "READUNCOMMITTED") {
			id.Isolation, id.Guarantee = "READ UNCOMMITTED (in the query)", dirty
		}
	}
	return id, nil
}

// Column is one column of a result as the server describes it.
type Column struct {
	Name string
	// Type is SQL Server's name of the type in lower case, without length or precision.
	Type string
	// Length in characters or bytes; -1 when the type has none, MaxLength for (max).
	Length int64
	// Precision and Scale are -1 when the type has none.
	Precision, Scale int64
	Nullable         bool
}

// MaxLength is the length of a (max) column.
const MaxLength = int64(1<<31 - 2)

// Rows is a result that is being read.
type Rows struct {
	ctx     context.Context //nolint:containedctx // why the statement was cancelled is known to this context only
	rows    *sql.Rows
	ended   func()
	from    string
	columns []Column
	values  []any
	dest    []any
}

// Query sends the statement. The rows have to be closed; a cancelled context cancels the statement on the server.
func (s *Session) Query(ctx context.Context, st Statement) (*Rows, error) {
	var rows *sql.Rows
	var err error
	ended := s.dialer.severLate(ctx)
	if st.RunTime.IsZero() {
		rows, err = s.conn.QueryContext(ctx, st.Text)
	} else {
		// The parameter is declared by us: the driver would declare a datetimeoffset(7) or a datetime2(7), and a comparison
		// with those turns the column's own type, and its index, aside.
		rows, err = s.conn.QueryContext(ctx, "sp_executesql", st.Text, "@runTime datetime2(0)",
			sql.Named("runTime", civil.DateTimeOf(st.RunTime.UTC())))
	}
	if err != nil {
		ended()
		return nil, queryError(ctx, st.From, err)
	}
	r := &Rows{ctx: ctx, rows: rows, ended: ended, from: st.From}
	if err := r.describe(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Rows) describe() error {
	types, err := r.rows.ColumnTypes()
	if err != nil {
		return queryError(r.ctx, r.from, err)
	}
	if len(types) == 0 {
		if err := r.rows.Err(); err != nil {
			return queryError(r.ctx, r.from, err)
		}
		return fmt.Errorf("%s gave no result: it has to be one SELECT", r.from)
	}
	for _, t := range types {
		c := Column{Name: t.Name(), Type: strings.ToLower(t.DatabaseTypeName()), Length: -1, Precision: -1, Scale: -1, Nullable: true}
		if n, ok := t.Length(); ok {
			c.Length = min(n, MaxLength)
		}
		if p, s, ok := t.DecimalSize(); ok {
			c.Precision, c.Scale = p, s
		}
		if nullable, ok := t.Nullable(); ok {
			c.Nullable = nullable
		}
		r.columns = append(r.columns, c)
	}
	r.values = make([]any, len(types))
	r.dest = make([]any, len(types))
	for i := range r.values {
		r.dest[i] = &r.values[i]
	}
	return nil
}

// Columns describes the result.
func (r *Rows) Columns() []Column { return slices.Clone(r.columns) }

// Next gives the next row as the driver's values: nil, bool, int64, float64, string, []byte (binary, decimals and money as
// text, uniqueidentifier as 16 bytes in the order of its text) or time.Time. The slice is overwritten by the next call.
// After the last row it gives io.EOF; a result that broke off is another error.
func (r *Rows) Next() ([]any, error) {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return nil, queryError(r.ctx, r.from, err)
		}
		if r.ctx.Err() != nil {
			return nil, queryError(r.ctx, r.from, r.ctx.Err())
		}
		if r.rows.NextResultSet() {
			return nil, fmt.Errorf("%s gave more than one result: it has to be one SELECT", r.from)
		}
		if err := r.rows.Err(); err != nil {
			return nil, queryError(r.ctx, r.from, err)
		}
		return nil, io.EOF
	}
	if err := r.rows.Scan(r.dest...); err != nil {
		return nil, queryError(r.ctx, r.from, err)
	}
	return r.values, nil
}

// Close ends reading and cancels what the server still had to send.
func (r *Rows) Close() error {
	defer r.ended()
	if err := r.rows.Close(); err != nil {
		return queryError(r.ctx, r.from, err)
	}
	return nil
}
