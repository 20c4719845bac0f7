package sqlserver

import (
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong on order, for tests. A fault is used up by what it strikes: the next login, or the
// next statement whose text holds Match. Faults strike in the order in which they were ordered.
type Fault struct {
	// Login makes the fault strike a login instead of a statement.
	Login bool
	// Match is a part of the text of the statement to strike, of any case. Default: any statement.
	Match string
	// Error is the number of the error to answer with. Default: none.
	Error int32
	// Message is the error's text. Default: SQL Server's for the numbers that it's known for here.
	Message string
	// KillAfterRows drops the connection after that many rows of the statement's result. Zero kills before the first if
	// Kill is set.
	KillAfterRows int
	// Kill says that KillAfterRows counts.
	Kill bool
	// RowDelay is waited after each row.
	RowDelay time.Duration
	// Skip is how many logins or statements it lets go before it strikes. Default: 0.
	Skip int
	// Times is how many logins or statements it strikes. Default: 1.
	Times int
}

// faults are those that wait.
type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// OrderFault orders a fault.
func (s *Server) OrderFault(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
}

// ClearFaults forgets the faults that haven't struck. It returns how many there were.
func (s *Server) ClearFaults() int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	n := len(s.faults.list)
	s.faults.list = nil
	return n
}

func (q *faults) take(login bool, text string) *Fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, f := range q.list {
		if f.Login != login || !strings.Contains(strings.ToLower(text), strings.ToLower(f.Match)) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times--; f.Times <= 0 {
			q.list = append(q.list[:i], q.list[i+1:]...)
		}
		c := *f
		return &c
	}
	return nil
}

func (q *faults) takeLogin() *sqlError {
	if f := q.take(true, ""); f != nil {
		return f.asError()
	}
	return nil
}

var faultTexts = map[int32]struct {
	class uint8
	text  string
}{
	errDeadlock:         {13, "Transaction (Process ID 51) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction."},
	errLockTimeout:      {16, "Lock request time out period exceeded."},
	errLoginFailed:      {14, "Login failed for user."},
	errUnknownDatabase:  {11, "Cannot open database requested by the login. The login failed."},
	921:                 {16, "Database has not been recovered yet. Wait and try again."},
	976:                 {14, "The target database is participating in an availability group and is currently not accessible for queries."},
	983:                 {14, "Unable to access the availability database because the database replica is not in the PRIMARY or SECONDARY role."},
	errSnapshotConflict: {16, "Snapshot isolation transaction aborted due to update conflict."},
	3952:                {16, "Snapshot isolation transaction failed accessing the database because snapshot isolation is not allowed in this database."},
}

func (f *Fault) asError() *sqlError {
	known := faultTexts[f.Error]
	e := &sqlError{Number: f.Error, State: 1, Class: 16, Message: "Ordered fault."}
	if known.text != "" {
		e.Class, e.Message = known.class, known.text
	}
	if f.Message != "" {
		e.Message = f.Message
	}
	return e
}
