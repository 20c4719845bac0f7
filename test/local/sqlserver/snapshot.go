package sqlserver

// snapshotView is what a transaction under SNAPSHOT sees.
type snapshotView struct {
	// conn keeps the view when the session's own connection leaves it, to write.
	conn *dbConn
	left bool  // the session's own connection has left it
	at   int64 // the number of commits before it
}

// commitLog knows which rows the commits changed, as far back as the oldest view reaches. Guarded by database.mu.
type commitLog struct {
	commits int64
	views   map[*snapshotView]struct{}
	rows    map[tableName]map[rowKey]int64 // the last commit that changed a row
	tables  map[tableName]int64            // the last commit that changed the table
	// unwatched is the last commit of which it isn't known what it changed.
	unwatched int64
}

// beginSnapshot fixes what the transaction sees, if that isn't done yet.
func (s *session) beginSnapshot() error {
	if s.tran.snapshot != nil {
		return nil
	}
	if err := s.snapshotAllowed(); err != nil {
		return err
	}
	conn, err := s.db.open()
	if err != nil {
		return err
	}
	db := s.db
	db.commitMu.Lock()
	defer db.commitMu.Unlock()
	for _, c := range []*dbConn{s.sql, conn} {
		// The read makes SQLite take its snapshot now.
		if err = c.Exec("BEGIN DEFERRED"); err == nil {
			_, err = c.value(`SELECT count(*) FROM "local state"`)
		}
		if err != nil {
			conn.Close()
			return err
		}
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	s.tran.snapshot = &snapshotView{conn: conn, at: db.log.commits}
	db.log.views[s.tran.snapshot] = struct{}{}
	return nil
}

func (s *session) snapshotAllowed() error {
	if s.db.snapshotIsolation.Load() {
		return nil
	}
	return newError(3952, 16, "Snapshot isolation transaction failed accessing database '%s' because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation.", s.db.name)
}

// endSnapshot ends a view.
func (s *session) endSnapshot(v *snapshotView) {
	if s.sql.InTransaction() {
		// Ending what only reads can't fail.
		_ = s.sql.Exec("COMMIT")
	}
	v.conn.Close()
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.log.views, v)
	if len(db.log.views) == 0 {
		db.log.rows, db.log.tables = nil, nil
	}
}

func (db *database) hasSnapshots() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.log.views) > 0
}

// committed notes a commit, under commitMu.
func (db *database) committed(w *writer) {
	db.mu.Lock()
	defer db.mu.Unlock()
	l := &db.log
	l.commits++
	if w.unwatched {
		l.unwatched = l.commits
	}
	if len(l.views) == 0 {
		return
	}
	if l.tables == nil {
		l.rows, l.tables = map[tableName]map[rowKey]int64{}, map[tableName]int64{}
	}
	for n, c := range w.changes {
		if n.temporary {
			continue
		}
		l.tables[n] = l.commits
		if l.rows[n] == nil {
			l.rows[n] = map[rowKey]int64{}
		}
		for k := range c.rows.all {
			l.rows[n][k] = l.commits
		}
	}
}

// changedSince says whether others have committed a change of a row since a view began.
func (db *database) changedSince(v *snapshotView, n tableName, k rowKey) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return !n.temporary && (db.log.unwatched > v.at || db.log.rows[n][k] > v.at)
}

// tableChangedSince is changedSince for any row of a table.
func (db *database) tableChangedSince(v *snapshotView, n tableName) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return !n.temporary && (db.log.unwatched > v.at || db.log.tables[n] > v.at)
}

// snapshotConflict refuses changes of rows that others have changed since the transaction's snapshot.
func (s *session) snapshotConflict(_ *writer, changes map[tableName]*tableChanges) error {
	v := s.tran.snapshot
	if v == nil {
		return nil
	}
	for n, c := range changes {
		for k := range c.rows.all {
			if !c.inserted.has(k) && s.db.changedSince(v, n, k) {
				return s.updateConflict(n.name)
			}
		}
	}
	return nil
}

func (s *session) updateConflict(table string) error {
	return newError(errSnapshotConflict, 16, "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access table '%s' directly or indirectly in database '%s' to update, delete, or insert the row that has been modified or deleted by another transaction. "+
		"Retry the transaction or change the isolation level for the update/delete statement.", table, s.db.name)
}

// snapshotTargets refuses a change of rows of which the snapshot sees another form than is there now. The rows are those
// that a query over the snapshot finds.
func (s *session) snapshotTargets(t *table, query string, arguments []any) error {
	v := s.tran.snapshot
	n := t.fileName()
	if v == nil || t.temp || !s.db.tableChangedSince(v, n) {
		return nil
	}
	stmt, err := v.conn.Prepare(query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	if err := stmt.BindAll(arguments); err != nil {
		return err
	}
	for {
		found, err := stmt.Step()
		if err != nil || !found {
			return err
		}
		k := rowKey{number: stmt.Int(0)}
		if t.keyColumns() != nil {
			var values []any
			for i := range stmt.Columns() {
				values = append(values, stmt.Value(i))
			}
			k = keyOf(values)
		}
		if s.db.changedSince(v, n, k) {
			return s.updateConflict(n.name)
		}
	}
}
