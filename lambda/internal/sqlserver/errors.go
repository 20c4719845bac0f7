package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	mssql "github.com/microsoft/go-mssqldb"
)

// Error says what SQL Server, or the way to it, refused, and what to do about it.
type Error struct {
	// Number is SQL Server's error number, 0 when the error is not the server's.
	Number int32
	// Transient errors may be gone when the whole export starts over.
	Transient bool

	message string
	cause   error
}

func (e *Error) Error() string { return e.message }

func (e *Error) Unwrap() error { return e.cause }

// LoginFailed says whether the server refused name and password: the secret may have been rotated since it was read.
func LoginFailed(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Number == loginFailed
}

// Transient says whether starting over may help.
func Transient(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Transient
}

// The error numbers that have a remedy of their own.
const (
	loginFailed       = 18456
	cannotOpen        = 4060
	invalidObject     = 208
	invalidColumn     = 207
	ambiguousColumn   = 209
	permissionDenied  = 229
	columnDenied      = 230
	deadlock          = 1205
	lockTimeout       = 1222
	conversionFailed  = 245
	convertToNumeric  = 8114
	arithmeticOverrun = 8115
	divideByZero      = 8134
	unnamedColumn     = 8155
	repeatedColumn    = 8156
	notCommittable    = 3902
	snapshotDisabled  = 3952
	snapshotConflict  = 3960
	snapshotChanged   = 3961
	versionMissing    = 3958
	snapshotVictim    = 3966
)

// failover are the numbers that a database gives while it moves to another host.
var failover = map[int32]bool{921: true, 922: true, 976: true, 983: true, cannotOpen: true, 596: true, 6005: true}

// connectError explains an error of connecting and logging in.
func connectError(ctx context.Context, l Login, err error) error {
	at := fmt.Sprintf("%s:%d", l.Host, l.Port)
	if server, ok := errors.AsType[mssql.Error](err); ok {
		server = telling(server)
		e := &Error{Number: server.Number, Transient: failover[server.Number], cause: err}
		switch server.Number {
		case loginFailed:
			e.message = fmt.Sprintf("SQL Server at %s refused the login %q (error 18456): %s: check username and password in the database secret", at, l.Username, said(server))
		case cannotOpen:
			e.message = fmt.Sprintf("database %q at %s can't be opened by %q (error 4060): %s: check the secret's dbname, that the database is online, and that the login is a user in it", l.Database, at, l.Username, said(server))
		default:
			e.message = fmt.Sprintf("logging in to SQL Server at %s: %s (error %d)", at, said(server), server.Number)
		}
		return e
	}
	// The driver keeps the text of a failed TLS handshake only, not its type.
	if detail, ok := after(err.Error(), "tls: failed to verify certificate: "); ok {
		remedy := "put the PEM text of its certificate authority as caCertificate into the database secret"
		if strings.Contains(detail, "valid for") || strings.Contains(detail, "cannot validate certificate for") || strings.Contains(detail, "not valid for any names") {
			remedy = "put the name that is in the certificate as host into the database secret"
		}
		whose := "of Amazon RDS"
		if l.CACertificate != "" {
			whose = "in the secret's caCertificate"
		}
		return &Error{cause: err, message: fmt.Sprintf("the certificate of SQL Server at %s is not trusted (by the authorities %s): %s: %s", at, whose, detail, remedy)}
	}
	reach := "check host and port in the database secret, that the server runs, and that its security group lets the function's in"
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &dns):
		return &Error{Transient: dns.IsTemporary, cause: err, message: fmt.Sprintf("the name of SQL Server at %s is unknown: %v: %s", at, err, reach)}
	case ctx.Err() != nil:
		return &Error{Transient: true, cause: err, message: fmt.Sprintf("SQL Server at %s did not answer: %v: %s", at, context.Cause(ctx), reach)}
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Transient: true, cause: err, message: fmt.Sprintf("SQL Server at %s can't be reached: %v: %s", at, err, reach)}
	}
	// The driver tells some broken connections by their text only. What isn't one of them fails again soon.
	return &Error{Transient: true, cause: err, message: fmt.Sprintf("connecting to SQL Server at %s: %v: %s", at, err, reach)}
}

// telling gives the error that says most of those that the server sent: after 4060 comes 18456, and the driver reports the
// last.
func telling(e mssql.Error) mssql.Error {
	for _, one := range e.All {
		if one.Number == cannotOpen {
			return one
		}
	}
	return e
}

// said is the server's own text without its full stop, as more follows it.
func said(e mssql.Error) string {
	return strings.TrimSuffix(strings.TrimPrefix(e.Message, "login error: "), ".")
}

func after(s, prefix string) (string, bool) {
	_, rest, found := strings.Cut(s, prefix)
	return rest, found
}

// queryError explains an error of sending the statement or reading its rows.
func queryError(ctx context.Context, from string, err error) error {
	// A cancelled statement ends with one of many errors; why it was cancelled is in the context.
	if ctx.Err() != nil {
		return fmt.Errorf("reading %s: %w", from, context.Cause(ctx))
	}
	var server mssql.Error
	if !errors.As(err, &server) {
		if errors.Is(err, io.EOF) {
			// To whoever reads the rows, io.EOF is their end: a connection that ended must not be taken for it.
			err = io.ErrUnexpectedEOF
		}
		return &Error{Transient: true, cause: err, message: fmt.Sprintf("the connection to SQL Server broke while reading %s: %v", from, err)}
	}
	where := from
	if server.LineNo > 0 {
		where = fmt.Sprintf("%s, line %d", from, server.LineNo)
	}
	e := &Error{Number: server.Number, Transient: failover[server.Number], cause: err}
	var remedy string
	switch server.Number {
	case invalidObject:
		remedy = "check the table's name and schema, and that the secret's dbname is its database"
	case invalidColumn, ambiguousColumn:
		remedy = "check the column's name against the table"
	case permissionDenied, columnDenied:
		remedy = "grant SELECT on it to the pipeline's login"
	case deadlock:
		e.Transient = true
		remedy = "the export was the deadlock's victim, as it asks to be; it can be run again"
	case lockTimeout:
		e.Transient = true
		remedy = "another session held a lock for longer than export.lockTimeoutSeconds: raise it, move the schedule, or turn READ_COMMITTED_SNAPSHOT on"
	case conversionFailed, convertToNumeric, arithmeticOverrun:
		remedy = "a value doesn't fit the type that the query turns it into: use TRY_CAST or a wider type"
	case divideByZero:
		remedy = "divide by NULLIF(…, 0)"
	case unnamedColumn:
		remedy = "give the column a name with AS"
	case repeatedColumn:
		remedy = "give one of the columns another name with AS"
	case snapshotDisabled:
		remedy = "run ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON for every database that is read, or set source.consistency to \"statement\""
	case snapshotChanged:
		e.Transient = true
		remedy = "a table was changed by DDL after the snapshot began; the export can be run again, outside of deployments"
	case snapshotConflict, versionMissing, snapshotVictim:
		e.Transient = true
		remedy = "the versions that the snapshot needs are gone, mostly for want of space in tempdb; the export can be run again, when less is written or with a smaller load"
	case notCommittable:
		remedy = "the server had ended the snapshot transaction, so that what was read isn't one state; the export can be run again"
		e.Transient = true
	}
	e.message = fmt.Sprintf("SQL Server refused %s: %s (error %d)", where, said(server), server.Number)
	if remedy != "" {
		e.message += ": " + remedy
	}
	return e
}
