package sqlserver

import (
	"context"
	"encoding/binary"
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

// transaction is the session's explicit transaction.
//
// SQLite fixes a transaction's snapshot at its first read and lets one transaction write at a time. So under READ
// COMMITTED (with row versioning, which is how every database here is) SQLite's own transaction begins at the first
// write only: what is read before sees what is committed when each statement starts, and from the first write on
// nobody else can change anything. SNAPSHOT begins SQLite's transaction at the first statement. The levels that lock
// what they read begin it at the first statement too, as writers: they exclude others' changes more widely than SQL
// Server would, never less.
type transaction struct {
	open    bool
	count   int // @@TRANCOUNT
	level   isolation
	id      uint64
	began   bool // in SQLite
	writing bool
	catalog *catalog // changed by this transaction, not committed
}

// lastTransactionID numbers transactions; the protocol wants a descriptor.
func (s *session) newTransactionID() uint64 {
	return uint64(s.spid)<<32 | uint64(s.srv.spid.Add(0))<<8 | 1
}

func (s *session) beginTransaction(level isolation) {
	if s.tran.open {
		s.tran.count++
		return
	}
	if level == 0 {
		level = s.isolation
	}
	s.isolation = level
	s.tran = transaction{open: true, count: 1, level: level, id: s.newTransactionID()}
}

func (s *session) commit() error {
	if !s.tran.open {
		return newError(3902, 16, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	}
	if s.tran.count--; s.tran.count > 0 {
		return nil
	}
	t := s.tran
	s.tran = transaction{}
	if t.began {
		if err := s.sql.Exec("COMMIT"); err != nil {
			s.tran = t
			s.rollbackAll()
			return err
		}
	}
	if t.catalog != nil {
		s.db.catalog.Store(t.catalog)
	}
	if t.writing {
		s.db.unlockWriter()
	}
	return nil
}

// rollbackAll ends the transaction, if there is one.
func (s *session) rollbackAll() {
	t := s.tran
	s.tran = transaction{}
	if s.sql != nil && s.sql.InTransaction() {
		// It can't fail but by having been rolled back already.
		_ = s.sql.Exec("ROLLBACK")
	}
	if t.writing {
		s.db.unlockWriter()
	}
}

// schema is the catalog that the session sees.
func (s *session) schema() *catalog {
	if s.tran.catalog != nil {
		return s.tran.catalog
	}
	return s.db.catalog.Load()
}

// reading prepares for a statement that reads.
func (s *session) reading(ctx context.Context) error {
	if !s.tran.open || s.tran.began {
		return nil
	}
	switch s.tran.level {
	case snapshot:
		// The read makes SQLite take its snapshot now.
		if err := s.sql.Exec("BEGIN DEFERRED"); err != nil {
			return err
		}
		s.tran.began = true
		_, err := s.sql.value(`SELECT count(*) FROM "local state"`)
		return err
	case repeatableRead, serializable:
		return s.beginWriting(ctx)
	}
	return nil
}

func (s *session) beginWriting(ctx context.Context) error {
	if s.tran.writing {
		return nil
	}
	if s.tran.level == snapshot {
		if err := s.reading(ctx); err != nil {
			return err
		}
	}
	if err := s.db.lockWriter(ctx, s.lockTimeout); err != nil {
		return err
	}
	s.tran.writing = true
	if s.tran.began {
		return nil
	}
	if err := s.sql.Exec("BEGIN IMMEDIATE"); err != nil {
		s.tran.writing = false
		s.db.unlockWriter()
		return err
	}
	s.tran.began = true
	return nil
}

// write runs a statement that changes something: in the open transaction, where it leaves nothing behind if it fails,
// or in one of its own.
func (s *session) write(ctx context.Context, f func() error) error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	own := !s.tran.open
	if own {
		s.beginTransaction(readCommitted)
	}
	if err := s.beginWriting(ctx); err != nil {
		if own {
			s.rollbackAll()
		}
		return err
	}
	if own {
		if err := f(); err != nil {
			s.rollbackAll()
			return err
		}
		return s.commit()
	}
	before := s.tran.catalog
	if err := s.sql.Exec("SAVEPOINT statement"); err != nil {
		return err
	}
	if err := f(); err != nil {
		s.tran.catalog = before
		if s.sql.InTransaction() {
			_ = s.sql.Exec("ROLLBACK TO statement")
			_ = s.sql.Exec("RELEASE statement")
		}
		return err
	}
	return s.sql.Exec("RELEASE statement")
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
