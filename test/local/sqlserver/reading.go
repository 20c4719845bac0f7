package sqlserver

import (
	"context"
	"strings"

	"github.com/sqlc-dev/teesql/ast"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// tableRead is a table that a query reads, and how.
type tableRead struct {
	table *table
	level isolation
	// locking reads wait for the rows that others hold. The other ones see row versions, or what isn't committed.
	locking bool
}

// uses notes that a statement depends on what others do to a table.
func (p *planner) uses(t *table) {
	if p.s.rehearsing {
		p.s.uses[t.fileName()] = true
	}
}

// readsTable notes that a query reads a table. It says how: the table's hints come before the session's level.
func (p *planner) readsTable(t *table, hints []ast.TableHintType) tableRead {
	r := tableRead{table: t, level: p.s.isolation}
	if p.s.tran.open {
		r.level = p.s.tran.level
	}
	forced := false
	for _, h := range hints {
		kind := ""
		if h, ok := h.(*ast.TableHint); ok {
			kind = h.HintKind
		}
		switch kind {
		case "NoLock", "ReadUncommitted":
			r.level = readUncommitted
		case "ReadCommitted":
			r.level = readCommitted
		case "ReadCommittedLock":
			r.level, forced = readCommitted, true
		case "RepeatableRead":
			r.level = repeatableRead
		case "HoldLock", "Serializable":
			r.level = serializable
		case "Snapshot":
			r.level = snapshot
		}
	}
	r.locking = r.level == repeatableRead || r.level == serializable || r.level == readCommitted && (forced || !p.s.db.rowVersioning.Load())
	if r.locking = r.locking && !t.temp; r.locking {
		p.uses(t)
	}
	p.reads = append(p.reads, r)
	return r
}

// source is the SQL for a table in FROM.
func (r tableRead) source(p *planner) string {
	where := p.part.condition("l")
	if r.locking && p.s.checking {
		where = strings.TrimSuffix(p.met(r.table, "l")+" AND "+where, " AND ")
	}
	if where == "" {
		return r.table.physical()
	}
	return "(SELECT * FROM " + r.table.physical() + " AS l WHERE " + where + ")"
}

// read plans a query and runs it, so that it sees what its isolation level lets it see.
func (s *session) read(ctx context.Context, vars *variables, plan planQuery, run func(q query) error) error {
	for {
		blocker, err := s.tryRead(ctx, vars, plan, run)
		if blocker == nil {
			return err
		}
		w := s.tran.writer
		if w == nil {
			w = s.newWriter()
		}
		if err := s.db.wait(ctx, w, blocker, s.lockTimeout); err != nil {
			return err
		}
	}
}

func (s *session) tryRead(ctx context.Context, vars *variables, plan planQuery, run func(q query) error) (*writer, error) {
	leave := func() {}
	defer func() { leave() }()
	var err error
	if s.changed() {
		if leave, err = s.enter(ctx); err != nil {
			return nil, err
		}
	}
	r, err := s.planRead(vars, plan)
	if err != nil {
		return nil, err
	}
	switch {
	case len(r.reads) == 0:
		return nil, s.gather(leave, func() error { return run(r.query) })
	case s.tran.open && s.tran.level == snapshot:
		return nil, s.readSnapshot(ctx, r, run)
	case len(r.tables) == 0 && !s.changed():
		return nil, run(r.query)
	}
	if !s.entered {
		if leave, err = s.enter(ctx); err != nil {
			return nil, err
		}
	}
	all := s.db.others(s.tran.writer)
	others := r.holders(all)
	if len(others) == 0 && !s.changed() {
		s.keep(r)
		leave()
		return nil, run(r.query)
	}
	if o := aloneAmong(all); o != nil {
		return o, nil
	}
	w := s.tran.writer
	if w == nil {
		w = s.newWriter()
	}
	defer s.restore(w)
	if err := s.apply(w); err != nil {
		return nil, err
	}
	if blocker, err := s.checkLocks(ctx, w, others, r, vars, plan); blocker != nil || err != nil {
		return blocker, err
	}
	s.keep(r)
	if len(r.uncommitted) == 0 && !s.changed() {
		s.restore(w)
		leave()
		return nil, run(r.query)
	}
	return nil, s.gather(leave, func() error { return s.readChanges(w, others, r, run) })
}

// planQuery plans a query. It may be called several times for one statement.
type planQuery func(p *planner) (string, []column, error)

// query is a planned query.
type query struct {
	sql       string
	arguments []any
	cols      []column
}

// past says whether a row is behind the last one of TOP … WITH TIES, of which the last column tells.
func (q query) past(stmt *sqlite.Stmt) bool {
	return q.cols != nil && stmt.Columns() > len(q.cols) && stmt.Int(len(q.cols)) != 0
}

// reading is a query with the tables that it reads.
type reading struct {
	query
	reads []tableRead
	// tables are those to which the changes of others matter: to wait for them, or to see them.
	tables, uncommitted map[tableName]bool
	locking             bool
}

func (s *session) planRead(vars *variables, plan planQuery) (*reading, error) {
	p := s.newPlanner(vars)
	sql, cols, err := plan(p)
	if err != nil {
		return nil, err
	}
	r := &reading{query: query{sql, p.arguments(), cols}, reads: p.reads, tables: map[tableName]bool{}, uncommitted: map[tableName]bool{}}
	for _, t := range p.reads {
		n := t.table.fileName()
		s.tran.used = true
		switch {
		case t.level == snapshot && s.tran.open && s.tran.level != snapshot:
			return nil, s.notInSnapshot()
		case t.level == snapshot:
			if err := s.snapshotAllowed(); err != nil {
				return nil, err
			}
		case t.locking:
			r.tables[n], r.locking = true, true
		case t.level == readUncommitted && !t.table.temp:
			r.tables[n], r.uncommitted[n] = true, true
		}
	}
	return r, nil
}

// holders are the transactions whose changes matter to the query.
func (r *reading) holders(list []*writer) []*writer {
	var out []*writer
	for _, o := range list {
		if o.changedAny(r.tables) {
			out = append(out, o)
		}
	}
	return out
}

// keep lets nobody change what a transaction has read, where its level says so. The lock is on whole tables, more than
// SQL Server's.
func (s *session) keep(r *reading) {
	for _, t := range r.reads {
		if s.tran.open && t.locking && t.level != readCommitted {
			s.writer().keeps[t.table.fileName()] = true
		}
	}
}

// restore takes out of SQLite what a query had to have there.
func (s *session) restore(w *writer) {
	if !s.changed() {
		s.unapply(w)
	}
}

// checkLocks finds whose rows the query would meet.
func (s *session) checkLocks(ctx context.Context, w *writer, others []*writer, r *reading, vars *variables, plan planQuery) (*writer, error) {
	if !r.locking || len(others) == 0 {
		return nil, nil
	}
	s.checking = true
	defer func() { s.checking = false }()
	return s.rehearse(w, others, func() error {
		checked, err := s.planRead(vars, plan)
		if err != nil {
			return err
		}
		return s.each(ctx, checked.query, func(*sqlite.Stmt) error { return nil })
	})
}

// readChanges runs a query on top of what isn't committed: the transaction's own changes, and those of others that the
// query is to see.
func (s *session) readChanges(w *writer, others []*writer, r *reading, run func(q query) error) error {
	defer s.restore(w)
	if len(r.uncommitted) == 0 {
		return run(r.query)
	}
	if err := s.sql.Exec("SAVEPOINT uncommitted"); err != nil {
		return err
	}
	for _, o := range others {
		if err := s.replay(o, r.uncommitted); err != nil {
			return err
		}
	}
	err := run(r.query)
	for _, end := range []string{"ROLLBACK TO uncommitted", "RELEASE uncommitted"} {
		if e := s.sql.Exec(end); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// gather runs a query while the session has the right to write, if it has. The rows are gathered, and sent when the
// right is given back: a client that doesn't read must not keep others from writing.
func (s *session) gather(leave func(), run func() error) error {
	if !s.entered {
		return run()
	}
	s.out.hold = true
	err := run()
	leave()
	s.out.hold = false
	s.out.flush()
	return err
}

// readSnapshot runs a query in a transaction under SNAPSHOT.
func (s *session) readSnapshot(ctx context.Context, r *reading, run func(q query) error) error {
	if err := s.beginSnapshot(); err != nil {
		return err
	}
	v := s.tran.snapshot
	if !v.left {
		return run(r.query)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	w := s.writer()
	changed := ""
	own := false
	for _, t := range r.reads {
		n := t.table.fileName()
		own = own || t.table.temp || w.changes[n] != nil
		if s.db.tableChangedSince(v, n) {
			changed = n.name
		}
	}
	switch {
	case own && changed != "":
		return notSupported("reading table %s, which others have changed since the snapshot, together with the transaction's own changes under SNAPSHOT", changed)
	case own:
		if o := aloneAmong(s.db.others(w)); o != nil {
			return notSupported("reading a transaction's own changes under SNAPSHOT while session %d changes the schema", o.s.spid)
		}
		if err := s.apply(w); err != nil {
			return err
		}
		return s.gather(leave, func() error { return run(r.query) })
	}
	return s.gather(leave, func() error {
		// The right to write is held: nobody looks for the session's changes on its connection.
		own := s.sql
		s.sql = v.conn
		defer func() { s.sql = own }()
		return run(r.query)
	})
}

// each runs a query and hands over its rows.
func (s *session) each(ctx context.Context, q query, row func(*sqlite.Stmt) error) error {
	stmt, err := s.sql.Prepare(q.sql)
	if err != nil {
		return err
	}
	defer stmt.Close()
	if err := stmt.BindAll(q.arguments); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		more, err := stmt.Step()
		if err != nil || !more || q.past(stmt) {
			return err
		}
		if err := row(stmt); err != nil {
			return err
		}
	}
}
