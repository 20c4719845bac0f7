package sqlserver

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// apply makes a transaction live: SQLite's transaction is open and holds its changes.
func (s *session) apply(w *writer) error {
	if w.live {
		return nil
	}
	if err := s.db.suspendLive(); err != nil {
		return err
	}
	if v := s.tran.snapshot; v != nil && !v.left {
		if err := s.sql.Exec("COMMIT"); err != nil {
			return err
		}
		v.left = true
	}
	if err := s.sql.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	w.live, s.db.live = true, w
	if err := s.replay(w, nil); err != nil {
		s.unapply(w)
		return fmt.Errorf("applying a transaction's changes again: %w", err)
	}
	return nil
}

// unapply drops what is live of a transaction. Its captured changes stay.
func (s *session) unapply(w *writer) {
	if !w.live {
		return
	}
	w.live, s.db.live = false, nil
	if s.sql.InTransaction() {
		// It fails for nothing but an interrupt.
		_ = uninterrupted(func() error { return s.sql.Exec("ROLLBACK") })
	}
}

// suspendLive takes the live transaction out of SQLite. Its session is idle, or waits for a lock.
func (db *database) suspendLive() error {
	w := db.live
	if w == nil {
		return nil
	}
	if err := w.s.capture(w); err != nil {
		return fmt.Errorf("setting the changes of session %d aside: %w", w.s.spid, err)
	}
	w.s.unapply(w)
	return nil
}

// capture reads the rows that a live transaction changed.
func (s *session) capture(w *writer) error {
	for n, c := range w.changes {
		if c.fresh.size == 0 {
			continue
		}
		t := s.tableOf(n)
		if t == nil {
			return fmt.Errorf("table %s is gone", n.name)
		}
		if err := uninterrupted(func() error { return s.captureTable(t, c) }); err != nil {
			return err
		}
		c.fresh = rowSet{}
	}
	return nil
}

func (s *session) captureTable(t *table, c *tableChanges) error {
	stored := t.storedColumns()
	stmt, err := s.sql.Prepare("SELECT " + strings.Join(stored, ", ") + " FROM " + t.physical() + " WHERE " + t.keyCondition())
	if err != nil {
		return err
	}
	defer stmt.Close()
	for k := range c.fresh.all {
		if err := stmt.BindAll(k.arguments()); err != nil {
			return err
		}
		found, err := stmt.Step()
		if err != nil {
			return err
		}
		var row []any
		if found {
			row = make([]any, len(stored))
			for i := range row {
				row[i] = stmt.Value(i)
			}
		}
		c.captured[k] = row
		stmt.Reset()
	}
	return nil
}

// uninterrupted repeats what the cancelling of a session's statement interrupts by mistake.
func uninterrupted(f func() error) error {
	for {
		err := f()
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code != sqlite.CodeInterrupted {
			return err
		}
	}
}

// replay applies a transaction's captured changes on the session's connection; only those of some tables where they are
// named.
func (s *session) replay(w *writer, only map[tableName]bool) error {
	for n, c := range w.changes {
		if only != nil && !only[n] || n.temporary && w.s != s {
			continue
		}
		t := s.tableOf(n)
		if t == nil {
			return fmt.Errorf("table %s is gone", n.name)
		}
		if err := s.replayTable(t, c); err != nil {
			return err
		}
	}
	return nil
}

// replayTable takes all changed rows out before it puts the new ones in: unique keys may have changed places.
func (s *session) replayTable(t *table, c *tableChanges) error {
	remove, err := s.sql.Prepare("DELETE FROM " + t.physical() + " WHERE " + t.keyCondition())
	if err != nil {
		return err
	}
	defer remove.Close()
	names := t.storedColumns()
	numbered := t.keyColumns() == nil && t.rowID() == nil
	if numbered {
		names = append(names, t.numberName())
	}
	places := strings.Repeat(", ?", len(names))[2:]
	insert, err := s.sql.Prepare("INSERT INTO " + t.physical() + " (" + strings.Join(names, ", ") + ") VALUES (" + places + ")")
	if err != nil {
		return err
	}
	defer insert.Close()
	for k, row := range c.captured {
		if row != nil && c.inserted.has(k) {
			continue
		}
		if err := once(remove, k.arguments()); err != nil {
			return err
		}
	}
	for k, row := range c.captured {
		if row == nil {
			continue
		}
		if numbered {
			row = append(slices.Clip(row), k.number)
		}
		if err := once(insert, row); err != nil {
			return err
		}
	}
	return nil
}

// once runs a statement that gives no rows, and makes it ready to run again.
func once(stmt *sqlite.Stmt, arguments []any) error {
	defer stmt.Reset()
	if err := stmt.BindAll(arguments); err != nil {
		return err
	}
	_, err := stmt.Step()
	return err
}
