// Package sqlite is the thin layer between the local SQL Server and SQLite's own C interface.
//
// database/sql stands in the way of what the server needs: reading a row without allocating for each value, interrupting
// a statement from another goroutine while it sorts, functions that see their arguments without copies, and knowing
// which transaction a connection is in. So this package calls the transpiled C functions of modernc.org/sqlite/lib. It
// knows nothing of SQL Server.
package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Kind is the storage class of a value.
type Kind int32

// The storage classes.
const (
	Integer Kind = sqlite3.SQLITE_INTEGER
	Float   Kind = sqlite3.SQLITE_FLOAT
	Text    Kind = sqlite3.SQLITE_TEXT
	Blob    Kind = sqlite3.SQLITE_BLOB
	Null    Kind = sqlite3.SQLITE_NULL
)

// Error is what SQLite said, with its extended result code.
type Error struct {
	Code    int
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (SQLite code %d)", e.Message, e.Code) }

// Result codes that callers tell apart.
const (
	CodeBusySnapshot     = sqlite3.SQLITE_BUSY_SNAPSHOT
	CodeInterrupted      = sqlite3.SQLITE_INTERRUPT
	CodeNotNull          = sqlite3.SQLITE_CONSTRAINT_NOTNULL
	CodePrimaryKey       = sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	CodeUnique           = sqlite3.SQLITE_CONSTRAINT_UNIQUE
	CodeRowID            = sqlite3.SQLITE_CONSTRAINT_ROWID
	codeRow              = sqlite3.SQLITE_ROW
	codeDone             = sqlite3.SQLITE_DONE
	transientDestructor  = ^uintptr(0) // SQLITE_TRANSIENT: SQLite copies the bytes before the call returns
	deterministicUTF8    = sqlite3.SQLITE_UTF8 | sqlite3.SQLITE_DETERMINISTIC
	nondeterministicUTF8 = sqlite3.SQLITE_UTF8
)

// Conn is one connection. It is used by one goroutine at a time; Interrupt alone may be called from any.
type Conn struct {
	tls *libc.TLS
	db  uintptr

	mu     sync.Mutex // guards closed against an Interrupt that comes late
	closed bool
}

// Open opens the database file, creating it if it isn't there. Registered functions and collations are available on it.
func Open(path string) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS()}
	name, err := libc.CString(path)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	out := libc.Xmalloc(c.tls, 8)
	defer libc.Xfree(c.tls, out)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out,
		sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE|sqlite3.SQLITE_OPEN_FULLMUTEX, 0)
	c.db = pointerAt(out)
	if rc != sqlite3.SQLITE_OK {
		err := c.failure(rc)
		c.Close()
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	if err := c.register(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the connection. Statements that are still open are finalized by SQLite when they end.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	if c.db != 0 {
		c.Observe(nil)
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	}
	c.tls.Close()
}

// Interrupt makes a running statement end with CodeInterrupted. It may be called from any goroutine and at any time.
func (c *Conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	// Not c.tls: the statement that is interrupted may be running on it.
	tls := libc.NewTLS()
	defer tls.Close()
	sqlite3.Xsqlite3_interrupt(tls, c.db)
}

// InTransaction says whether a transaction is open.
func (c *Conn) InTransaction() bool { return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// Changes is the number of rows that the latest INSERT, UPDATE or DELETE changed.
func (c *Conn) Changes() int64 { return sqlite3.Xsqlite3_changes64(c.tls, c.db) }

// LastInsertRowID is the rowid of the latest inserted row.
func (c *Conn) LastInsertRowID() int64 { return sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db) }

// Exec runs one statement to its end and drops its rows.
func (c *Conn) Exec(query string, args ...any) error {
	s, err := c.Prepare(query)
	if err != nil {
		return err
	}
	defer s.Close()
	for i, a := range args {
		if err := s.Bind(i+1, a); err != nil {
			return err
		}
	}
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
	}
}

// Prepare compiles one statement.
func (c *Conn) Prepare(query string) (*Stmt, error) {
	z, err := libc.CString(query)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, z)
	out := libc.Xmalloc(c.tls, 8)
	defer libc.Xfree(c.tls, out)
	if rc := sqlite3.Xsqlite3_prepare_v2(c.tls, c.db, z, int32(len(query)+1), out, 0); rc != sqlite3.SQLITE_OK {
		return nil, c.failure(rc)
	}
	p := pointerAt(out)
	if p == 0 {
		return nil, errors.New("empty statement")
	}
	return &Stmt{c: c, p: p}, nil
}

func (c *Conn) failure(rc int32) error {
	code := int(rc)
	if c.db != 0 {
		if x := sqlite3.Xsqlite3_extended_errcode(c.tls, c.db); x&0xff == rc&0xff {
			code = int(x)
		}
		return &Error{Code: code, Message: libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))}
	}
	return &Error{Code: code, Message: "SQLite has no memory for a connection"}
}

// Stmt is a prepared statement.
type Stmt struct {
	c *Conn
	p uintptr
}

// Close frees the statement.
func (s *Stmt) Close() {
	if s.p != 0 {
		sqlite3.Xsqlite3_finalize(s.c.tls, s.p)
		s.p = 0
	}
}

// Reset makes the statement ready to run again; its bindings stay.
func (s *Stmt) Reset() { sqlite3.Xsqlite3_reset(s.c.tls, s.p) }

// Step runs to the next row. It returns false at the end.
func (s *Stmt) Step() (bool, error) {
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.p); rc {
	case codeRow:
		return true, nil
	case codeDone:
		return false, nil
	default:
		return false, s.c.failure(rc)
	}
}

// Bind sets parameter i, counted from 1: nil, int64, float64, string or []byte.
func (s *Stmt) Bind(i int, v any) error {
	switch v := v.(type) {
	case nil:
		return s.BindNull(i)
	case int64:
		return s.BindInt(i, v)
	case float64:
		return s.BindFloat(i, v)
	case string:
		return s.bindBytes(i, unsafe.Slice(unsafe.StringData(v), len(v)), true)
	case []byte:
		return s.bindBytes(i, v, false)
	}
	return fmt.Errorf("binding parameter %d: a %T has no storage class", i, v)
}

// BindAll sets the parameters from the first on. Values beyond the last parameter are left out.
func (s *Stmt) BindAll(values []any) error {
	n := int(sqlite3.Xsqlite3_bind_parameter_count(s.c.tls, s.p))
	for i, v := range values[:min(n, len(values))] {
		if err := s.Bind(i+1, v); err != nil {
			return err
		}
	}
	return nil
}

// BindNull sets parameter i to NULL.
func (s *Stmt) BindNull(i int) error {
	return s.check(sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, int32(i)))
}

// BindInt sets parameter i to an integer.
func (s *Stmt) BindInt(i int, v int64) error {
	return s.check(sqlite3.Xsqlite3_bind_int64(s.c.tls, s.p, int32(i), v))
}

// BindFloat sets parameter i to a floating-point number.
func (s *Stmt) BindFloat(i int, v float64) error {
	return s.check(sqlite3.Xsqlite3_bind_double(s.c.tls, s.p, int32(i), v))
}

// BindText sets parameter i to a text, which is copied.
func (s *Stmt) BindText(i int, v []byte) error { return s.bindBytes(i, v, true) }

// BindBlob sets parameter i to bytes, which are copied.
func (s *Stmt) BindBlob(i int, v []byte) error { return s.bindBytes(i, v, false) }

func init() { sqlite3.PatchIssue199() }

// empty is what a zero-length value points at: SQLite takes a null pointer for NULL.
var empty = libc.Xmalloc(nil, 1)

func (s *Stmt) bindBytes(i int, v []byte, text bool) error {
	p := empty
	if len(v) > 0 {
		// The bytes are copied into the C heap: what SQLite keeps must not be moved by Go's collector.
		p = libc.Xmalloc(s.c.tls, sizeOf(len(v)))
		if p == 0 {
			return fmt.Errorf("binding parameter %d: no memory for %d bytes", i, len(v))
		}
		defer libc.Xfree(s.c.tls, p)
		copy(libc.GoBytes(p, len(v)), v)
	}
	if text {
		return s.check(sqlite3.Xsqlite3_bind_text(s.c.tls, s.p, int32(i), p, int32(len(v)), transientDestructor))
	}
	return s.check(sqlite3.Xsqlite3_bind_blob(s.c.tls, s.p, int32(i), p, int32(len(v)), transientDestructor))
}

func (s *Stmt) check(rc int32) error {
	if rc == sqlite3.SQLITE_OK {
		return nil
	}
	return s.c.failure(rc)
}

// Columns is the number of columns of the result.
func (s *Stmt) Columns() int { return int(sqlite3.Xsqlite3_column_count(s.c.tls, s.p)) }

// Kind is the storage class of column i of the current row.
func (s *Stmt) Kind(i int) Kind { return Kind(sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(i))) }

// Int is column i of the current row as an integer.
func (s *Stmt) Int(i int) int64 { return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(i)) }

// Float is column i of the current row as a floating-point number.
func (s *Stmt) Float(i int) float64 { return sqlite3.Xsqlite3_column_double(s.c.tls, s.p, int32(i)) }

// Bytes is column i of the current row, text or blob, without a copy: it is valid until the next Step.
func (s *Stmt) Bytes(i int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i))
	n := sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i))
	if p == 0 || n == 0 {
		return nil
	}
	return libc.GoBytes(p, int(n))
}

// Value is column i of the current row as nil, int64, float64, string or []byte, copied.
func (s *Stmt) Value(i int) any {
	switch s.Kind(i) {
	case Integer:
		return s.Int(i)
	case Float:
		return s.Float(i)
	case Text:
		return string(s.Bytes(i))
	case Blob:
		return append([]byte{}, s.Bytes(i)...)
	default:
		return nil
	}
}

func pointerAt(p uintptr) uintptr {
	return uintptr(binary.NativeEndian.Uint64(libc.GoBytes(p, 8)))
}
