package sqlserver

import (
	"errors"
	"strings"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
)

// pinning names the session that has held the lowest active version back for the longest time.
const pinning = `SELECT TOP (1) s.session_id, s.login_name, s.host_name, s.program_name, s.status, s.open_transaction_count,
	CAST(CASE WHEN s.last_request_end_time >= d.database_transaction_begin_time THEN 1 ELSE 0 END AS int), d.database_transaction_log_record_count, a.transaction_state
FROM sys.dm_tran_database_transactions AS d
JOIN sys.dm_tran_session_transactions AS st ON st.transaction_id = d.transaction_id
JOIN sys.dm_tran_active_transactions AS a ON a.transaction_id = d.transaction_id
JOIN sys.dm_exec_sessions AS s ON s.session_id = st.session_id
WHERE d.database_id = DB_ID() AND d.database_transaction_begin_time IS NOT NULL AND s.is_user_process = 1
ORDER BY d.database_transaction_begin_time`

func TestTheSessionThatHoldsTheLowestVersionBackIsNamed(t *testing.T) {
	s, c := startOrders(t, 2)
	writer, doctor := connect(t, s, "app name", "nightly import"), c[1]
	reads := c[0]
	reads.run("BEGIN TRAN")
	reads.number("SELECT COUNT(*) FROM dbo.Orders")
	writer.run("BEGIN TRAN", "BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 1 WHERE Id < 3")
	later := connect(t, s)
	later.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 3")

	var session, open, ended, records, state int64
	var login, host, program, status string
	read := func() error {
		return doctor.conn.QueryRowContext(t.Context(), pinning).Scan(&session, &login, &host, &program, &status, &open, &ended, &records, &state)
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	if session != writer.number("SELECT CAST(@@SPID AS bigint)") || login != owner || host == "" || program != "nightly import" || status != "sleeping" ||
		open != 2 || ended != 1 || records != 3 || state != 2 {
		t.Errorf("the pinning session is %d (%s of %s, %s, %s) with %d transactions open, idle since: %d, %d log records, state %d",
			session, program, login, host, status, open, ended, records, state)
	}
	writer.run("ROLLBACK")
	if err := read(); err != nil || session != later.number("SELECT CAST(@@SPID AS bigint)") {
		t.Errorf("the next one is %d (%v)", session, err)
	}
	doctor.is(2, "SELECT CAST(COUNT(*) AS bigint) FROM sys.dm_tran_session_transactions")
}

func TestARequestThatWaitsNamesWhoHoldsItUp(t *testing.T) {
	s, c := startOrders(t, 3)
	holder, waiter, doctor := c[0], c[1], c[2]
	holder.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 1")
	id := holder.number("SELECT CAST(@@SPID AS bigint)")
	over := waiter.later("UPDATE dbo.Orders SET Amount = 2 WHERE Id = 1")
	waiting(t, s, 1)
	doctor.is(id, "SELECT CAST(blocking_session_id AS bigint) FROM sys.dm_exec_requests WHERE status = 'suspended'")
	holder.run("COMMIT")
	if err := over(); err != nil {
		t.Error(err)
	}
}

func TestTransactionsOfOthersNeedViewServerState(t *testing.T) {
	s, err := Start(Options{Databases: []string{"shop"}, Logins: []Login{
		{Name: owner, Password: password}, {Name: reader, Password: password, ReadOnly: true, Denied: []string{"VIEW SERVER STATE"}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	connect(t, s).run("BEGIN TRAN")
	db := open(t, address(t, s, reader, password))
	for _, view := range []string{"dm_tran_active_transactions", "dm_tran_session_transactions", "dm_tran_database_transactions"} {
		_, err := db.Exec("SELECT * FROM sys." + view)
		e, _ := errors.AsType[mssql.Error](err)
		var numbers []string
		for _, x := range e.All {
			numbers = append(numbers, x.Message)
		}
		if all := strings.Join(numbers, "\n"); !strings.Contains(all, "VIEW SERVER STATE permission was denied") || !strings.Contains(all, "does not have permission") {
			t.Errorf("%s without the permission: %v (%s)", view, err, all)
		}
	}
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM sys.dm_exec_sessions").Scan(&n); err != nil || n != 1 {
		t.Errorf("without the permission dm_exec_sessions shows %d sessions (%v), want the own one", n, err)
	}
}
