package sqlserver

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// writer is a transaction as the other sessions of its database see it: what it changed and has not yet committed, which
// rows it locks by that, and whom it waits for.
//
// SQLite lets one transaction write at a time. So the file holds what is committed, and each open transaction's changes
// are known row by row. The transaction that wrote last is live: its changes are applied in a transaction of SQLite that
// stays open until somebody else wants to write. Then it is suspended: its rows are captured and SQLite's transaction is
// rolled back; they are applied again for its next statement or its commit. Its row locks see to it that they can be.
type writer struct {
	s     *session
	ended chan struct{} // closed at the end of the transaction
	kill  chan struct{} // gets a deadlock's victim out of its wait

	// Guarded by the right to write, database.latch.
	changes map[tableName]*tableChanges
	live    bool
	// alone is set by a change of the schema, which isn't captured: nobody else writes until the transaction ends.
	alone bool
	// keeps are the tables that REPEATABLE READ and SERIALIZABLE let nobody change.
	keeps map[tableName]bool
	// unwatched says that it isn't known which rows changed.
	unwatched bool

	// Guarded by database.mu.
	first    uint64 // the lowest rowversion that it stamped; 0 is none
	waitsFor *writer

	priority atomic.Int32              // DEADLOCK_PRIORITY
	began    atomic.Pointer[time.Time] // when its first change began
	rows     atomic.Int64              // how many rows it changed
}

// tableChanges are the rows of a table that a transaction changed.
type tableChanges struct {
	rows     rowSet
	inserted rowSet // those that weren't there before
	fresh    rowSet // those that changed since they were captured
	// captured are the rows as they are after the changes; nil is one that is gone.
	captured map[rowKey][]any
}

// newWriter is a writer that the others don't know of yet.
func (s *session) newWriter() *writer {
	w := &writer{s: s, ended: make(chan struct{}), kill: make(chan struct{}, 1), changes: map[tableName]*tableChanges{}, keeps: map[tableName]bool{}}
	w.priority.Store(s.priority)
	return w
}

// writer is the session's open transaction.
func (s *session) writer() *writer {
	if s.tran.writer == nil {
		s.tran.writer = s.newWriter()
		s.db.mu.Lock()
		s.db.writers[s.tran.writer] = struct{}{}
		s.db.mu.Unlock()
	}
	return s.tran.writer
}

// changedAny says whether the transaction changed one of some tables.
func (w *writer) changedAny(tables map[tableName]bool) bool {
	for n := range tables {
		if w.changes[n] != nil {
			return true
		}
	}
	return false
}

// changed says whether the session's transaction has changes that only it sees.
func (s *session) changed() bool {
	w := s.tran.writer
	return w != nil && (len(w.changes) > 0 || w.alone)
}

// enter waits for the right to write, which a session has during a statement or commit. It isn't a lock of SQL Server:
// LOCK_TIMEOUT doesn't count for it.
func (db *database) enter(ctx context.Context) error {
	select {
	case db.latch <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (db *database) leave() { <-db.latch }

// others are the other transactions that hold locks.
func (db *database) others(w *writer) []*writer {
	db.mu.Lock()
	defer db.mu.Unlock()
	var out []*writer
	for o := range db.writers {
		if o != w && (len(o.changes) > 0 || len(o.keeps) > 0 || o.alone) {
			out = append(out, o)
		}
	}
	return out
}

// aloneAmong is the one that nobody can write beside.
func aloneAmong(list []*writer) *writer {
	for _, o := range list {
		if o.alone {
			return o
		}
	}
	return nil
}

// lockedBy is the one of the transactions that holds a row.
func lockedBy(list []*writer, n tableName, k rowKey) *writer {
	if n.temporary {
		return nil
	}
	for _, o := range list {
		if c := o.changes[n]; c != nil && c.rows.has(k) {
			return o
		}
	}
	return nil
}

// blocker is who holds a lock that changing the rows needs.
func blocker(list []*writer, changes map[tableName]*tableChanges) *writer {
	for n, c := range changes {
		if n.temporary {
			continue
		}
		for _, o := range list {
			if o.keeps[n] {
				return o
			}
		}
		for k := range c.rows.all {
			if o := lockedBy(list, n, k); o != nil {
				return o
			}
		}
	}
	return nil
}

// blockerOfSchema is who holds rows of a table that the session's statement has altered or dropped.
func (s *session) blockerOfSchema(list []*writer, before *catalog) *writer {
	if s.tran.catalog == before {
		return nil
	}
	if before == nil {
		before = s.db.catalog.Load()
	}
	for key, t := range before.tables {
		if s.tran.catalog.tables[key] == t {
			continue
		}
		for _, o := range list {
			if n := t.fileName(); o.changes[n] != nil || o.keeps[n] {
				return o
			}
		}
	}
	return nil
}

// write runs a statement that changes something: in the open transaction, where it leaves nothing behind if it fails,
// or in one of its own. Where it meets a row that another transaction holds it is run again when that has ended: so f
// may run several times, and must do nothing but read and change the database.
func (s *session) write(ctx context.Context, f func() error) error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	own := !s.tran.open
	if own {
		s.tran = transaction{open: true, own: true, count: 1, level: readCommitted, id: s.newTransactionID(), began: time.Now()}
	}
	s.tran.used = true
	w := s.writer()
	s.show()
	for {
		blocker, err := s.tryWrite(ctx, w, own, f)
		if blocker == nil {
			return err
		}
		if err := s.db.wait(ctx, w, blocker, s.lockTimeout); err != nil {
			if own {
				s.rollbackAll()
			}
			return err
		}
	}
}

func (s *session) tryWrite(ctx context.Context, w *writer, own bool, f func() error) (*writer, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		if own {
			s.rollbackAll()
		}
		return nil, err
	}
	defer leave()
	blocker, err := s.attempt(w, own, f)
	switch {
	case !own:
		s.restore(w)
	case blocker != nil:
		s.unapply(w)
	case err != nil:
		s.rollbackEntered()
	default:
		err = s.commitEntered()
	}
	return blocker, err
}

// attempt runs a statement under the right to write. It gives who is in the way.
func (s *session) attempt(w *writer, own bool, f func() error) (*writer, error) {
	db := s.db
	others := db.others(w)
	if o := aloneAmong(others); o != nil {
		return o, nil
	}
	if s.tran.level == snapshot {
		if err := s.beginSnapshot(); err != nil {
			return nil, err
		}
	}
	if err := s.apply(w); err != nil {
		return nil, err
	}
	s.checking = len(others) > 0 || s.tran.level == snapshot
	defer func() { s.checking = false }()
	before := s.tran.catalog
	if len(others) > 0 {
		o, err := s.rehearse(w, others, f)
		s.tran.catalog = before
		if o != nil || err != nil {
			return o, err
		}
	}
	if w.began.Load() == nil {
		now := time.Now()
		w.began.Store(&now)
	}
	db.setCurrent(w)
	defer db.setCurrent(nil)
	// A statement in a transaction of its own, with nobody else about, needn't be watched row by row.
	if own && !s.checking && !db.hasSnapshots() {
		w.unwatched = true
		return nil, f()
	}
	return s.watch(w, others, before, f)
}

// watch runs a statement and adds the rows that it changes to the transaction's.
func (s *session) watch(w *writer, others []*writer, before *catalog, f func() error) (*writer, error) {
	if err := s.sql.Exec("SAVEPOINT statement"); err != nil {
		return nil, err
	}
	met, changes, err := s.observed(w, others, f)
	if !s.sql.InTransaction() {
		s.rollbackEntered()
		return nil, err
	}
	if met == nil && err == nil {
		if met = blocker(others, changes); met == nil {
			met = s.blockerOfSchema(others, before)
		}
	}
	if met == nil && err == nil {
		err = s.snapshotConflict(w, changes)
	}
	end := []string{"RELEASE statement"}
	if met != nil || err != nil {
		s.tran.catalog = before
		end = []string{"ROLLBACK TO statement", "RELEASE statement"}
	} else {
		w.merge(changes)
		w.alone = w.alone || s.tran.catalog != before
	}
	if e := s.finish(end...); e != nil {
		return nil, errors.Join(err, e)
	}
	if met != nil {
		return met, nil
	}
	return nil, err
}

// finish ends a savepoint. A transaction in which that fails is rolled back: nobody would know what it holds.
func (s *session) finish(statements ...string) error {
	for _, q := range statements {
		if err := uninterrupted(func() error { return s.sql.Exec(q) }); err != nil {
			s.rollbackEntered()
			return err
		}
	}
	return nil
}

// observed runs f and gives the rows that it changed, and whose row it met if it did. SQLite has rolled all back if it
// was interrupted while it wrote.
func (s *session) observed(w *writer, others []*writer, f func() error) (met *writer, changes map[tableName]*tableChanges, err error) {
	changes = map[tableName]*tableChanges{}
	s.sql.Observe(s.observer(changes))
	s.db.meeting = meeting{w: w, others: others}
	err = f()
	met = s.db.meeting.met
	s.db.meeting = meeting{}
	s.sql.Observe(nil)
	return met, changes, err
}

// observer notes the rows that a statement changes.
func (s *session) observer(into map[tableName]*tableChanges) func(*sqlite.Change) {
	var name tableName
	var c *tableChanges // nil for a table of the server's own
	var key []int
	note := func(k rowKey, isNew bool) {
		if c.rows.add(k) {
			c.fresh.add(k)
			if isNew {
				c.inserted.add(k)
			}
		}
	}
	keyed := func(get func(int) any) rowKey {
		var values []any
		for _, i := range key {
			values = append(values, get(i))
		}
		return keyOf(values)
	}
	return func(x *sqlite.Change) {
		if n := (tableName{x.Temporary, x.Table}); n != name {
			name, c, key = n, into[n], nil
			if t := s.tableOf(n); t != nil {
				key = t.keyColumns()
				if c == nil {
					c = &tableChanges{captured: map[rowKey][]any{}}
					into[n] = c
				}
			}
		}
		if c == nil {
			return
		}
		old, changed := rowKey{number: x.OldRowID}, rowKey{number: x.NewRowID}
		if key != nil && x.HasOld {
			old = keyed(x.Old)
		}
		if key != nil && x.HasNew {
			changed = keyed(x.New)
		}
		if x.HasOld {
			note(old, false)
		}
		if x.HasNew {
			note(changed, true)
		}
	}
}

// merge adds a statement's changes to the transaction's.
func (w *writer) merge(changes map[tableName]*tableChanges) {
	for n, c := range changes {
		all := w.changes[n]
		if all == nil {
			w.changes[n] = c
			w.rows.Add(c.rows.size)
			continue
		}
		for k := range c.rows.all {
			if all.rows.add(k) {
				w.rows.Add(1)
				if c.inserted.has(k) {
					all.inserted.add(k)
				}
			}
			all.fresh.add(k)
		}
	}
}
