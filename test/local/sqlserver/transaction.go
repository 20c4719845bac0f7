package sqlserver

import (
	"context"
	"encoding/binary"
	"time"
)

// isolation is a transaction's isolation level, with the numbers of the protocol.
type isolation byte

const (
	readUncommitted isolation = 1
	readCommitted   isolation = 2
	repeatableRead  isolation = 3
	serializable    isolation = 4
	snapshot        isolation = 5
)

// transaction is the session's explicit transaction, or that of one statement that writes.
type transaction struct {
	open    bool
	count   int // @@TRANCOUNT
	level   isolation
	id      uint64
	began   time.Time
	used    bool     // something was read or written in it
	own     bool     // of one statement
	writer  *writer  // since its first write or lock
	catalog *catalog // changed by this transaction, not committed
	// snapshot holds what the transaction sees under SNAPSHOT, since its first read.
	snapshot *snapshotView
}

// newTransactionID numbers transactions; the protocol wants a descriptor.
func (s *session) newTransactionID() uint64 { return s.srv.transactions.Add(1) }

func (s *session) beginTransaction(level isolation) {
	defer s.show()
	if s.tran.open {
		s.tran.count++
		return
	}
	if level == 0 {
		level = s.isolation
	}
	s.isolation = level
	s.tran = transaction{open: true, count: 1, level: level, id: s.newTransactionID(), began: time.Now()}
}

// setIsolation runs SET TRANSACTION ISOLATION LEVEL, which also changes the open transaction's.
func (s *session) setIsolation(level isolation) error {
	if s.tran.open && s.tran.used && level == snapshot && s.tran.level != snapshot {
		return s.notInSnapshot()
	}
	if s.tran.snapshot != nil && level != snapshot {
		return notSupported("leaving SNAPSHOT inside of a transaction")
	}
	s.isolation = level
	if s.tran.open {
		s.tran.level = level
	}
	return nil
}

func (s *session) notInSnapshot() error {
	return newError(3951, 16, "Transaction failed in database '%s' because the statement was run under snapshot isolation but the transaction did not start in snapshot isolation. "+
		"You cannot change the isolation level of the transaction to snapshot after the transaction has started unless the transaction was originally started under snapshot isolation level.", s.db.name)
}

func (s *session) commit() error {
	if !s.tran.open {
		return newError(3902, 16, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	}
	defer s.show()
	if s.tran.count > 1 {
		s.tran.count--
		return nil
	}
	for {
		blocker, err := s.tryCommit()
		if blocker == nil {
			return err
		}
		// Somebody changed the schema: nobody else can write until that is committed.
		if err := s.db.wait(s.srv.ctx, s.tran.writer, blocker, -1); err != nil {
			s.rollbackAll()
			return err
		}
	}
}

func (s *session) tryCommit() (*writer, error) {
	leave, err := s.enter(s.srv.ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if w := s.tran.writer; w != nil && len(w.changes) > 0 && !w.live {
		if o := aloneAmong(s.db.others(w)); o != nil {
			return o, nil
		}
	}
	return nil, s.commitEntered()
}

// commitEntered commits under the right to write.
func (s *session) commitEntered() error {
	w := s.tran.writer
	if w != nil && len(w.changes) > 0 {
		if err := s.apply(w); err != nil {
			s.rollbackEntered()
			return err
		}
	}
	if w == nil || !w.live {
		s.endTransaction()
		return nil
	}
	db := s.db
	// What a snapshot sees and what is said to have changed since must be of one moment.
	db.commitMu.Lock()
	err := s.sql.Exec("COMMIT")
	if err == nil {
		if s.tran.catalog != nil {
			db.catalog.Store(s.tran.catalog)
		}
		db.committed(w)
	}
	db.commitMu.Unlock()
	if err != nil {
		s.rollbackEntered()
		return err
	}
	w.live, db.live = false, nil
	s.endTransaction()
	return nil
}

// rollbackAll ends the transaction, if there is one.
func (s *session) rollbackAll() {
	if !s.tran.open {
		return
	}
	if !s.entered {
		// Nothing stops this, not the server's end either: what others wait for must end.
		s.db.latch <- struct{}{}
		defer s.db.leave()
	}
	s.rollbackEntered()
}

// rollbackEntered rolls back under the right to write.
func (s *session) rollbackEntered() {
	if w := s.tran.writer; w != nil {
		s.unapply(w)
	}
	s.endTransaction()
}

// endTransaction lets go of what the transaction held, when SQLite has no transaction of it any more.
func (s *session) endTransaction() {
	t := s.tran
	s.tran = transaction{}
	if t.snapshot != nil {
		s.endSnapshot(t.snapshot)
	}
	if w := t.writer; w != nil {
		s.db.mu.Lock()
		delete(s.db.writers, w)
		close(w.ended)
		s.db.mu.Unlock()
	}
	s.show()
}

// enter takes the right to write, which a session may take while it has it. The result gives it back.
func (s *session) enter(ctx context.Context) (leave func(), err error) {
	if s.entered {
		return func() {}, nil
	}
	if err := s.db.enter(ctx); err != nil {
		return nil, err
	}
	s.entered = true
	return func() {
		if s.entered {
			s.entered = false
			s.db.leave()
		}
	}, nil
}

// alone runs f so that nobody else uses the session's connection meanwhile, to set its changes aside.
func (s *session) alone(ctx context.Context, f func() error) error {
	if !s.changed() {
		return f()
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return f()
}

// defineTemporary runs a change of a temporary table's definition, which isn't captured. The table that is made or dropped
// is named.
func (s *session) defineTemporary(name string, f func() error) error {
	return s.alone(s.srv.ctx, func() error {
		if w := s.tran.writer; w != nil {
			w.alone = w.alone || w.live
			delete(w.changes, tableName{true, name})
		}
		return f()
	})
}

// schema is the catalog that the session sees.
func (s *session) schema() *catalog {
	if s.tran.catalog != nil {
		return s.tran.catalog
	}
	return s.db.catalog.Load()
}

// The requests of the transaction manager.
const (
	requestBegin    = 5
	requestCommit   = 7
	requestRollback = 8
	requestSave     = 9
)

// transactionRequest handles begin, commit and rollback as drivers send them.
func (s *session) transactionRequest(m *message) error {
	m.skipHeaders()
	kind := m.u16()
	descriptor := func(id uint64) []byte { return binary.LittleEndian.AppendUint64(nil, id) }
	begin := func(level isolation) error {
		if level > snapshot {
			return newError(errNotSupported, 16, "The local SQL Server does not know isolation level %d.", level)
		}
		s.beginTransaction(level)
		s.out.envBytes(envBeginTran, descriptor(s.tran.id), nil)
		return nil
	}
	return s.execute(m, func(context.Context) error {
		switch kind {
		case requestBegin:
			level := isolation(m.u8())
			m.drain()
			return begin(level)
		case requestCommit, requestRollback:
			name := m.bVarchar()
			flags := m.u8()
			level := isolation(0)
			if flags&1 != 0 {
				level = isolation(m.u8())
			}
			m.drain()
			if name != "" {
				return notSupported("rolling back to a savepoint")
			}
			id := s.tran.id
			if kind == requestCommit {
				if err := s.commit(); err != nil {
					return err
				}
				if !s.tran.open {
					s.out.envBytes(envCommitTran, nil, descriptor(id))
				}
			} else {
				if !s.tran.open {
					return newError(3903, 16, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
				}
				s.rollbackAll()
				s.out.envBytes(envRollbackTran, nil, descriptor(id))
			}
			if flags&1 != 0 {
				return begin(level)
			}
			return nil
		case requestSave:
			return notSupported("savepoints")
		}
		return notSupported("request %d of the transaction manager", kind)
	})
}
