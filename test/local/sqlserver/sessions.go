package sqlserver

import (
	"encoding/binary"
	"sort"
	"time"
)

// shown is what the catalog views tell of a session and its transaction, to any session.
type shown struct {
	running                    bool
	requestBegan, requestEnded time.Time
	blockedBy                  int32 // the session whose lock it waits for; 0 is none
	database                   *database
	settings                   settings
	rowCount                   int64
	transactions               int // @@TRANCOUNT
	transaction                transaction
}

// show tells the catalog views how the session is now.
func (s *session) show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &s.shown
	x.database, x.settings, x.rowCount, x.transaction = s.db, s.settings, s.rowCount, s.tran
	if x.transactions = s.tran.count; s.tran.own {
		x.transactions = 0
	}
}

// showRequest tells the catalog views that a request began or ended.
func (s *session) showRequest(running bool) {
	s.show()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown.running = running; running {
		s.shown.requestBegan = time.Now()
	} else {
		s.shown.requestEnded = time.Now()
	}
}

// showWait tells the catalog views for whom the session waits; nil is nobody.
func (s *session) showWait(owner *writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown.blockedBy = 0
	if owner != nil {
		s.shown.blockedBy = owner.s.spid
	}
}

func (s *session) look() shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
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

// The states of a transaction in sys.dm_tran_database_transactions.
const (
	stateNoLogRecords = 3
	stateLogRecords   = 4
)

// loggedRowBytes is what a changed row counts for as log: SQLite has no log of this kind, so that it's a guess.
const loggedRowBytes = 200

// sessionView fills the catalog views of sessions, requests and transactions.
func (p *planner) sessionView(v *view, name string) {
	var row func(s *session, x shown) []any
	switch name {
	case "dm_exec_sessions":
		row = sessionRow
		v.col("session_id", smallintType, false).col("login_time", datetimeType, false).col("host_name", sysnameType, true).col("program_name", sysnameType, true).
			col("login_name", sysnameType, false).col("original_login_name", sysnameType, false).col("status", nvarcharType(30), false).
			col("last_request_start_time", datetimeType, false).col("last_request_end_time", datetimeType, true).col("is_user_process", bitType, false).
			col("text_size", intType, false).col("language", sysnameType, true).col("transaction_isolation_level", smallintType, false).col("lock_timeout", intType, false).
			col("deadlock_priority", intType, false).col("row_count", bigintType, false).col("database_id", smallintType, false).col("open_transaction_count", intType, false)
	case "dm_exec_requests":
		row = requestRow
		v.col("session_id", smallintType, false).col("request_id", intType, false).col("start_time", datetimeType, false).col("status", nvarcharType(30), false).
			col("database_id", smallintType, false).col("blocking_session_id", smallintType, true).col("wait_type", nvarcharType(60), true).
			col("open_transaction_count", intType, false).col("transaction_id", bigintType, false).col("transaction_isolation_level", smallintType, false)
	case "dm_tran_session_transactions":
		row = sessionTransactionRow
		v.col("session_id", intType, false).col("transaction_id", bigintType, false).col("transaction_descriptor", sqlType{id: tBinary, length: 8}, false).
			col("enlist_count", intType, false).col("is_user_transaction", bitType, false).col("is_local", bitType, false).col("is_enlisted", bitType, false).
			col("is_bound", bitType, false).col("open_transaction_count", intType, false)
	case "dm_tran_active_transactions":
		row = activeTransactionRow
		v.col("transaction_id", bigintType, false).col("name", nvarcharType(32), false).col("transaction_begin_time", datetimeType, false).
			col("transaction_type", intType, false).col("transaction_uow", sqlType{id: tGUID}, true).col("transaction_state", intType, false)
	case "dm_tran_database_transactions":
		row = databaseTransactionRow
		v.col("transaction_id", bigintType, false).col("database_id", intType, false).col("database_transaction_begin_time", datetimeType, true).
			col("database_transaction_type", intType, false).col("database_transaction_state", intType, false).
			col("database_transaction_log_record_count", bigintType, false).col("database_transaction_log_bytes_used", bigintType, false).
			col("database_transaction_log_bytes_reserved", bigintType, false)
	}
	p.s.show()
	for _, s := range p.s.srv.sortedSessions() {
		if s != p.s && name == "dm_exec_sessions" && p.s.login.lacks(viewServerState) {
			continue // everybody sees himself
		}
		if r := row(s, s.look()); r != nil {
			v.rows = append(v.rows, r)
		}
	}
}

func sessionRow(s *session, x shown) []any {
	status := "sleeping"
	if x.running {
		status = "running"
	}
	var ended any
	if !x.requestEnded.IsZero() {
		ended = storedDatetime(x.requestEnded.UTC())
	}
	timeout := int64(-1)
	if x.settings.lockTimeout >= 0 {
		timeout = x.settings.lockTimeout.Milliseconds()
	}
	return []any{int64(s.spid), storedDatetime(s.start.UTC()), nullable(s.host), nullable(s.app), s.login.Name, s.login.Name, status,
		storedDatetime(x.requestBegan.UTC()), ended, int64(1), x.settings.textSize, x.settings.language, int64(x.settings.isolation), timeout,
		int64(x.settings.priority), x.rowCount, int64(x.database.id), int64(x.transactions)}
}

func requestRow(s *session, x shown) []any {
	if !x.running {
		return nil
	}
	status, wait := "running", any(nil)
	if x.blockedBy != 0 {
		status, wait = "suspended", "LCK_M_X"
	}
	return []any{int64(s.spid), int64(0), storedDatetime(x.requestBegan.UTC()), status, int64(x.database.id), int64(x.blockedBy), wait,
		int64(x.transactions), int64(x.transaction.id), int64(x.settings.isolation)}
}

func sessionTransactionRow(s *session, x shown) []any {
	if !x.transaction.open {
		return nil
	}
	return []any{int64(s.spid), int64(x.transaction.id), binary.BigEndian.AppendUint64(nil, x.transaction.id), int64(0), boolInt(!x.transaction.own), int64(1),
		int64(0), int64(0), int64(x.transactions)}
}

func activeTransactionRow(_ *session, x shown) []any {
	if !x.transaction.open {
		return nil
	}
	name := "user_transaction"
	if x.transaction.own {
		name = "INSERT" // as SQL Server calls that of a statement; which one isn't known here
	}
	return []any{int64(x.transaction.id), name, storedDatetime(x.transaction.began.UTC()), int64(1), nil, int64(2)}
}

// databaseTransactionRow is there from the first read or write on: until then the database doesn't know the transaction.
func databaseTransactionRow(_ *session, x shown) []any {
	t := x.transaction
	if !t.open || !t.used {
		return nil
	}
	r := []any{int64(t.id), int64(x.database.id), nil, int64(2), int64(stateNoLogRecords), int64(0), int64(0), int64(0)}
	if w := t.writer; w != nil && w.wrote() {
		n := w.rows.Load()
		r = append(r[:2], storedDatetime(w.began.Load().UTC()), int64(1), int64(stateLogRecords), n+1, n*loggedRowBytes, n*loggedRowBytes)
	}
	return r
}

// wrote says whether the transaction changed anything.
func (w *writer) wrote() bool {
	w.s.db.mu.Lock()
	defer w.s.db.mu.Unlock()
	return w.began.Load() != nil && (w.rows.Load() > 0 || w.first != 0)
}
