package sqlserver

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/sqlc-dev/teesql/ast"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// meeting is whose statement runs, and whose rows it mustn't meet.
type meeting struct {
	w      *writer
	others []*writer
	met    *writer // whose row it met
}

var errMet = errors.New("the statement met a row that another transaction holds")

// meet is asked about each row that a statement looks at, before the statement decides whether the row matters: that is
// when SQL Server asks for the row's lock. It says whether the row is to be seen.
func (db *database) meet(n tableName, k rowKey) (bool, error) {
	m := &db.meeting
	if o := lockedBy(m.others, n, k); o != nil {
		m.met = o
		return false, errMet
	}
	return m.w == nil || m.w.s.tran.snapshot == nil || !db.changedSince(m.w.s.tran.snapshot, n, k), nil
}

// met is the SQL that asks meet about a row of a table, which has an alias.
func (p *planner) met(t *table, alias string) string {
	return "ms_meet(" + literal(p.s.db.handle()) + ", " + quoteText(t.fileName().name) + ", " + literal(boolInt(t.keyColumns() != nil)) + ", " + t.keyList(alias) + ")"
}

func init() {
	// ms_meet(database, table, whether the rest is its primary key, the row's number or key)
	sqlite.Register("ms_meet", -1, false, func(c sqlite.Call) {
		db := databaseOf(c.Int(0))
		if db == nil {
			c.ReturnError(errNoDatabase)
			return
		}
		k := rowKey{number: c.Int(3)}
		if c.Int(2) != 0 {
			var values []any
			for i := 3; i < c.Args(); i++ {
				values = append(values, c.Value(i))
			}
			k = keyOf(values)
		}
		seen, err := db.meet(tableName{name: string(c.Bytes(1))}, k)
		if err != nil {
			c.ReturnError(err)
			return
		}
		c.ReturnInt(boolInt(seen))
	})
	// ms_row_number(database) numbers the rows of a table whose rows SQLite would number, as if it saw all transactions'.
	sqlite.Register("ms_row_number", 1, false, func(c sqlite.Call) {
		db := databaseOf(c.Int(0))
		if db == nil {
			c.ReturnError(errNoDatabase)
			return
		}
		db.lastRow++
		c.ReturnInt(db.lastRow)
	})
}

// rehearse runs a statement on trial, without and on top of each other transaction's changes in turn, to find the one
// that is in its way: whose row it meets or changes, or has a key of.
func (s *session) rehearse(w *writer, others []*writer, f func() error) (*writer, error) {
	defer s.startTrial()()
	s.uses = map[tableName]bool{}
	if blocking, err := s.rehearseOn(nil, w, others, f); blocking != nil || err != nil {
		return blocking, err
	}
	for _, o := range others {
		if !o.changedAny(s.uses) {
			continue
		}
		if blocking, err := s.rehearseOn(o, w, others, f); blocking != nil || err != nil {
			return blocking, err
		}
	}
	return nil, nil
}

// rehearseOn leaves the errors of the statement itself to its real run.
func (s *session) rehearseOn(o, w *writer, others []*writer, f func() error) (*writer, error) {
	if err := s.sql.Exec("SAVEPOINT trial"); err != nil {
		return nil, err
	}
	if o != nil {
		if err := s.replay(o, s.uses); err != nil {
			s.unapply(w)
			return nil, err
		}
	}
	before := s.tran.catalog
	blocking, changes, err := s.observed(w, others, f)
	s.tran.catalog = before
	if !s.sql.InTransaction() {
		s.rollbackEntered()
		return nil, err
	}
	if err := s.finish("ROLLBACK TO trial", "RELEASE trial"); err != nil {
		return nil, err
	}
	if blocking == nil {
		blocking = blocker(others, changes)
	}
	return blocking, nil
}

// startTrial keeps what a trial takes from the counters out of them. The result ends it.
func (s *session) startTrial() (end func()) {
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	s.rehearsing = true
	identities, lastID := maps.Clone(db.identities), db.lastID
	db.trial = true
	return func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		s.rehearsing = false
		db.trial, db.identities, db.lastID = false, identities, lastID
	}
}

// wait waits for another transaction's end: as long as LOCK_TIMEOUT says, which is for ever if it's negative.
func (db *database) wait(ctx context.Context, w, owner *writer, timeout time.Duration) error {
	db.mu.Lock()
	select {
	case <-owner.ended:
		db.mu.Unlock()
		return nil
	default:
	}
	w.waitsFor = owner
	victim := db.deadlocked(w)
	if victim != nil && victim != w {
		select {
		case victim.kill <- struct{}{}:
		default: // it's been told already
		}
	}
	db.mu.Unlock()
	w.s.showWait(owner)
	defer func() {
		w.s.showWait(nil)
		db.mu.Lock()
		defer db.mu.Unlock()
		w.waitsFor = nil
		select {
		case <-w.kill: // which came when the wait was over
		default:
		}
	}()
	if victim == w {
		return w.deadlock()
	}
	var expired <-chan time.Time
	if timeout >= 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-owner.ended:
		return nil
	case <-w.kill:
		return w.deadlock()
	case <-expired:
		return newError(errLockTimeout, 16, "Lock request time out period exceeded.")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) deadlock() error {
	return newError(errDeadlock, 13, "Transaction (Process ID %d) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.", w.s.spid)
}

// deadlocked is the victim if the wait of w closes a cycle: the one with the lowest DEADLOCK_PRIORITY, and w among equals.
func (db *database) deadlocked(w *writer) *writer {
	victim := w
	for o := w.waitsFor; o != w; o = o.waitsFor {
		if o == nil || len(o.kill) > 0 { // there is no cycle, or it is broken already
			return nil
		}
		if o.priority.Load() < victim.priority.Load() {
			victim = o
		}
	}
	return victim
}

// setDeadlockPriority runs SET DEADLOCK_PRIORITY: LOW is -5, NORMAL 0, HIGH 5.
func (s *session) setDeadlockPriority(ctx context.Context, e ast.ScalarExpression, vars *variables) error {
	word := ""
	switch e := e.(type) {
	case *ast.IdentifierLiteral:
		word = e.Value
	case *ast.ColumnReferenceExpression:
		if ids := identifiers(e); len(ids) == 1 {
			word = ids[0]
		}
	}
	n, ok := map[string]int64{"LOW": -5, "NORMAL": 0, "HIGH": 5}[strings.ToUpper(word)]
	if !ok {
		if word != "" {
			return newError(errSyntax, 15, "Incorrect syntax near '%s'.", word)
		}
		v, err := s.evaluate(ctx, e, bigintType, vars)
		if err != nil {
			return err
		}
		if n, ok = v.(int64); !ok || n < -10 || n > 10 {
			return newError(2812, 16, "The value for SET DEADLOCK_PRIORITY must be LOW, NORMAL, HIGH or a number from -10 to 10.")
		}
	}
	s.priority = int32(n)
	if w := s.tran.writer; w != nil {
		w.priority.Store(s.priority)
	}
	return nil
}
