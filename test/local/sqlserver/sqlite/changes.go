package sqlite

import (
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Change is a row that is about to be inserted, updated or deleted. It is valid during the call of its observer only.
type Change struct {
	// Temporary says that the table is the connection's own.
	Temporary bool
	Table     string
	// HasOld and HasNew say whether the row was there before and is there after the change.
	HasOld, HasNew bool
	// OldRowID and NewRowID are the row's numbers. A table WITHOUT ROWID has none.
	OldRowID, NewRowID int64

	tls *libc.TLS
	db  uintptr
}

// Old is column i, counted from 0, of the row before the change.
func (c *Change) Old(i int) any { return c.value(sqlite3.Xsqlite3_preupdate_old, i) }

// New is column i, counted from 0, of the row after the change.
func (c *Change) New(i int) any { return c.value(sqlite3.Xsqlite3_preupdate_new, i) }

func (c *Change) value(f func(tls *libc.TLS, db uintptr, i int32, out uintptr) int32, i int) any {
	out := libc.Xmalloc(c.tls, 8)
	defer libc.Xfree(c.tls, out)
	if f(c.tls, c.db, int32(i), out) != sqlite3.SQLITE_OK {
		return nil
	}
	// The value stands where a function's first argument would.
	return Call{tls: c.tls, argv: out, n: 1}.Value(0)
}

// observer is who is told of a connection's changes.
type observer struct {
	see    func(*Change)
	change Change
}

var observers = struct {
	sync.RWMutex
	of map[uintptr]*observer // by the connection's db
}{of: map[uintptr]*observer{}}

// Observe has f called before each row that a statement inserts, updates or deletes, until it is called with nil. A
// statement that was prepared before isn't observed where it empties a whole table.
func (c *Conn) Observe(f func(*Change)) {
	observers.Lock()
	defer observers.Unlock()
	if f == nil {
		sqlite3.Xsqlite3_preupdate_hook(c.tls, c.db, 0, 0)
		delete(observers.of, c.db)
		return
	}
	observers.of[c.db] = &observer{see: f}
	sqlite3.Xsqlite3_preupdate_hook(c.tls, c.db, entry(callObserver), 0)
}

func callObserver(tls *libc.TLS, _, db uintptr, op int32, schema, table uintptr, oldRow, newRow int64) {
	observers.RLock()
	o := observers.of[db]
	observers.RUnlock()
	if o == nil {
		return
	}
	c := &o.change
	c.tls, c.db = tls, db
	c.Temporary = libc.GoBytes(schema, 1)[0] == 't' // temp, else main
	if !isText(table, c.Table) {
		c.Table = libc.GoString(table)
	}
	c.HasOld, c.HasNew = op != sqlite3.SQLITE_INSERT, op != sqlite3.SQLITE_DELETE
	c.OldRowID, c.NewRowID = oldRow, newRow
	o.see(c)
}

// isText says whether a C text is s. A bulk load changes one table a million times: its name needn't be copied.
func isText(p uintptr, s string) bool {
	for i := range len(s) {
		if libc.GoBytes(p+uintptr(i), 1)[0] != s[i] {
			return false
		}
	}
	return libc.GoBytes(p+uintptr(len(s)), 1)[0] == 0
}
