package sqlserver

import (
	"sort"
	"time"
)

// shown is what the catalog views tell of a session and its transaction.
type shown struct {
	running          bool
	requestBegan     time.Time
	requestEnded     time.Time
	transactions     int
	transactionID    uint64
	transactionBegan time.Time
	database         *database
	writer           *writer
	isolation        isolation
	lockTimeout      time.Duration
	priority         int32
	rowCount         int64
	snapshotIsolated bool
}

// show tells the catalog views how the session is now.
func (s *session) show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown.database, s.shown.isolation, s.shown.lockTimeout, s.shown.priority, s.shown.rowCount = s.db, s.isolation, s.lockTimeout, s.priority, s.rowCount
	s.shown.transactions, s.shown.transactionID, s.shown.transactionBegan = s.tran.count, s.tran.id, s.tran.began
	s.shown.writer, s.shown.snapshotIsolated = s.tran.writer, s.tran.snapshot != nil
}

// sortedSessions are the sessions that are logged in, by their number.
func (s *Server) sortedSessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*session
	for ss := range s.sessions {
		out = append(out, ss)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].spid < out[j].spid })
	return out
}

func (s *session) look() shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
}
