package sqlserver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

// client is a connection of its own.
type client struct {
	t    *testing.T
	conn *sql.Conn
}

func connect(t *testing.T, s *Server, parameters ...string) *client {
	t.Helper()
	conn, err := open(t, address(t, s, owner, password, parameters...)).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn}
}

func (c *client) run(statements ...string) {
	c.t.Helper()
	for _, q := range statements {
		if _, err := c.conn.ExecContext(c.t.Context(), q); err != nil {
			c.t.Fatalf("%s\n%v", q, err)
		}
	}
}

func (c *client) fails(number int32, statement string) {
	c.t.Helper()
	if _, err := c.conn.ExecContext(c.t.Context(), statement); numberOf(err) != number {
		c.t.Fatalf("%s\n%v, want error %d", statement, err, number)
	}
}

// later runs a statement that has to wait. The result waits for its end.
func (c *client) later(statement string) (end func() error) {
	done := make(chan error, 1)
	go func() {
		_, err := c.conn.ExecContext(context.Background(), statement)
		done <- err
	}()
	return func() error {
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("it still waits")
		}
	}
}

// number is the only value of a query.
func (c *client) number(query string) (n int64) {
	c.t.Helper()
	var v any
	if err := c.conn.QueryRowContext(c.t.Context(), query).Scan(&v); err != nil {
		c.t.Fatalf("%s\n%v", query, err)
	}
	switch v := v.(type) {
	case int64:
		return v
	case []byte:
		return int64(binary.BigEndian.Uint64(v))
	}
	c.t.Fatalf("%s gives a %T", query, v)
	return 0
}

func (c *client) is(want int64, query string) {
	c.t.Helper()
	if got := c.number(query); got != want {
		c.t.Errorf("%s gives %d, want %d", query, got, want)
	}
}

// waiting waits until a session of the database waits for a lock.
func waiting(t *testing.T, s *Server, sessions int) {
	t.Helper()
	db := s.database("shop")
	for range 2000 {
		n := 0
		db.mu.Lock()
		for w := range db.writers {
			if w.waitsFor != nil {
				n++
			}
		}
		db.mu.Unlock()
		if n >= sessions {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("nobody waits for a lock")
}

// The versions below are relative to the one that was the last before.
const (
	minActive = "SELECT MIN_ACTIVE_ROWVERSION()"
	dbts      = "SELECT @@DBTS"
)

func startOrders(t *testing.T, clients int) (*Server, []*client) {
	t.Helper()
	s := startServer(t)
	var out []*client
	for range clients {
		out = append(out, connect(t, s))
	}
	out[0].run("CREATE TABLE dbo.Orders (Id int NOT NULL PRIMARY KEY, Amount int NOT NULL, Rv rowversion NOT NULL, Code varchar(20) NULL UNIQUE)",
		"INSERT INTO dbo.Orders (Id, Amount) VALUES (1, 10), (2, 20), (3, 30)")
	return s, out
}

func TestOpenTransactionsWriteBesideEachOther(t *testing.T) {
	_, c := startOrders(t, 4)
	a, b, d, reader := c[0], c[1], c[2], c[3]
	a.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
	b.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2", "INSERT INTO dbo.Orders (Id, Amount) VALUES (4, 40)")
	d.run("BEGIN TRAN", "DELETE FROM dbo.Orders WHERE Id = 3")
	a.run("INSERT INTO dbo.Orders (Id, Amount) VALUES (5, 50)")
	reader.run("INSERT INTO dbo.Orders (Id, Amount) VALUES (6, 60)")

	reader.is(10+20+30+60, "SELECT SUM(Amount) FROM dbo.Orders")
	a.is(11+20+30+50+60, "SELECT SUM(Amount) FROM dbo.Orders")
	b.is(10+22+30+40+60, "SELECT SUM(Amount) FROM dbo.Orders")
	d.is(10+20+60, "SELECT SUM(Amount) FROM dbo.Orders")

	b.run("COMMIT")
	reader.is(10+22+30+40+60, "SELECT SUM(Amount) FROM dbo.Orders")
	d.run("ROLLBACK")
	a.run("COMMIT")
	reader.is(11+22+30+40+50+60, "SELECT SUM(Amount) FROM dbo.Orders")
}

func TestTheLowestActiveVersionIsBelowAllThatIsNotCommitted(t *testing.T) {
	_, c := startOrders(t, 4)
	a, b, d, reader := c[0], c[1], c[2], c[3]
	base := reader.number(dbts)
	reader.is(base+1, minActive)

	a.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1") // base+1
	b.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2") // base+2
	reader.run("INSERT INTO dbo.Orders (Id, Amount) VALUES (9, 90)")      // base+3
	reader.is(base+1, minActive)
	reader.is(base+3, dbts)
	reader.is(base+3, "SELECT MAX(Rv) FROM dbo.Orders")

	// Out of order: what was stamped later is committed first.
	b.run("COMMIT")
	reader.is(base+1, minActive)
	reader.is(base+2, "SELECT Rv FROM dbo.Orders WHERE Id = 2")
	reader.is(0, "SELECT COUNT(*) FROM dbo.Orders WHERE Rv = 0x"+hex8(base+1))

	d.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 33 WHERE Id = 3") // base+4
	a.run("COMMIT")
	reader.is(base+4, minActive)
	reader.is(base+1, "SELECT Rv FROM dbo.Orders WHERE Id = 1")

	// A transaction that rolls back burns its versions.
	d.run("ROLLBACK")
	reader.is(base+5, minActive)
	reader.is(base+4, dbts)
	reader.run("UPDATE dbo.Orders SET Amount = 34 WHERE Id = 3")
	reader.is(base+5, "SELECT Rv FROM dbo.Orders WHERE Id = 3")

	// The isolation level doesn't matter.
	a.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 12 WHERE Id = 1") // base+6
	for _, level := range []string{"READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "SNAPSHOT"} {
		reader.run("SET TRANSACTION ISOLATION LEVEL " + level)
		reader.is(base+6, minActive)
	}
	// A transaction that only reads doesn't hold the lowest version back.
	reader.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN TRAN")
	reader.number("SELECT COUNT(*) FROM dbo.Orders")
	a.run("COMMIT")
	b.is(base+7, minActive)
}

func hex8(n int64) string {
	const digits = "0123456789ABCDEF"
	var out [16]byte
	for i := range out {
		out[i] = digits[n>>(60-4*i)&15]
	}
	return string(out[:])
}

func TestARowOfAnOpenTransactionIsLocked(t *testing.T) {
	tests := []struct {
		name, holder, waiter string
		// ends are how the waiter fares when the holder commits and when it rolls back: 0 is without error.
		commit, rollback int32
	}{
		{"an updated row against an update", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 1", "UPDATE dbo.Orders SET Amount = 2 WHERE Id = 1", 0, 0},
		{"an updated row against a delete", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 1", "DELETE FROM dbo.Orders WHERE Id = 1", 0, 0},
		{"a deleted row against an update", "DELETE FROM dbo.Orders WHERE Id = 1", "UPDATE dbo.Orders SET Amount = 2 WHERE Id = 1", 0, 0},
		{"a deleted key against its insert", "DELETE FROM dbo.Orders WHERE Id = 1", "INSERT INTO dbo.Orders (Id, Amount) VALUES (1, 1)", 0, errDuplicateKey},
		{"an inserted row against an update", "INSERT INTO dbo.Orders (Id, Amount) VALUES (7, 70)", "UPDATE dbo.Orders SET Amount = 2 WHERE Id = 7", 0, 0},
		{"an inserted key against its insert", "INSERT INTO dbo.Orders (Id, Amount) VALUES (7, 70)", "INSERT INTO dbo.Orders (Id, Amount) VALUES (7, 71)", errDuplicateKey, 0},
		{"a unique value against its insert", "UPDATE dbo.Orders SET Code = 'x' WHERE Id = 1", "INSERT INTO dbo.Orders (Id, Amount, Code) VALUES (7, 71, 'X')", errDuplicateKey, 0},
		{"an updated row against a scan for an update", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 1", "UPDATE dbo.Orders SET Amount = 2 WHERE Amount = 30", 0, 0},
		{"an updated row against TRUNCATE", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 1", "TRUNCATE TABLE dbo.Orders", 0, 0},
		{"an updated row against DROP", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 1", "DROP TABLE dbo.Orders", 0, 0},
	}
	for _, test := range tests {
		for _, end := range []string{"COMMIT", "ROLLBACK"} {
			t.Run(test.name+", ended by "+end, func(t *testing.T) {
				s, c := startOrders(t, 2)
				holder, waiter := c[0], c[1]
				holder.run("BEGIN TRAN", test.holder)
				waiter.run("SET LOCK_TIMEOUT 0")
				waiter.fails(errLockTimeout, test.waiter)
				waiter.run("SET LOCK_TIMEOUT -1")
				over := waiter.later(test.waiter)
				waiting(t, s, 1)
				holder.run(end)
				want := test.commit
				if end == "ROLLBACK" {
					want = test.rollback
				}
				if err := over(); numberOf(err) != want {
					t.Errorf("%s ends with %v, want error %d", test.waiter, err, want)
				}
			})
		}
	}
}

func TestAReaderOfAnOpenTransactionsRow(t *testing.T) {
	const sum = "SELECT SUM(Amount) FROM dbo.Orders"
	tests := []struct {
		name, level, query string
		locking            bool
		// sees is the query's value; 0 means that it waits for the writer and sees what that committed.
		sees int64
	}{
		{"READ COMMITTED with row versions sees what is committed", "READ COMMITTED", sum, false, 60},
		{"locking READ COMMITTED waits", "READ COMMITTED", sum, true, 0},
		{"locking READ COMMITTED doesn't wait for rows that it doesn't meet", "READ COMMITTED", sum + " WHERE Id = 2", true, 20},
		{"locking READ COMMITTED waits for a row in a join", "READ COMMITTED", "SELECT SUM(a.Amount) FROM (VALUES (1)) AS v(Id) JOIN dbo.Orders AS a ON a.Id >= v.Id", true, 0},
		{"READCOMMITTEDLOCK waits with row versions too", "READ COMMITTED", "SELECT SUM(Amount) FROM dbo.Orders WITH (READCOMMITTEDLOCK)", false, 0},
		{"READ UNCOMMITTED sees what isn't committed", "READ UNCOMMITTED", sum, true, 11 + 20 + 40},
		{"NOLOCK sees what isn't committed", "READ COMMITTED", "SELECT SUM(Amount) FROM dbo.Orders WITH (NOLOCK)", true, 11 + 20 + 40},
		{"REPEATABLE READ waits", "REPEATABLE READ", sum, false, 0},
		{"SERIALIZABLE waits", "SERIALIZABLE", sum, false, 0},
		{"SNAPSHOT sees what is committed", "SNAPSHOT", sum, true, 60},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, c := startOrders(t, 3)
			writer, other, reader := c[0], c[1], c[2]
			if test.locking {
				other.run("ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT OFF")
			}
			writer.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1", "DELETE FROM dbo.Orders WHERE Id = 3", "INSERT INTO dbo.Orders (Id, Amount) VALUES (4, 40)")
			reader.run("SET TRANSACTION ISOLATION LEVEL "+test.level, "BEGIN TRAN")
			if test.sees != 0 {
				reader.is(test.sees, test.query)
				writer.run("COMMIT")
				return
			}
			reader.run("SET LOCK_TIMEOUT 0")
			reader.fails(errLockTimeout, test.query)
			reader.run("SET LOCK_TIMEOUT -1", "DECLARE @x int")
			over := reader.later("DECLARE @x int = (" + test.query + "); IF @x <> 71 THROW 50001, 'it saw something else', 1")
			for !blocked(s, "shop") {
				time.Sleep(time.Millisecond)
			}
			writer.run("COMMIT")
			if err := over(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnInsertedRowIsMetByALockingScanToo(t *testing.T) {
	_, c := startOrders(t, 2)
	writer, reader := c[0], c[1]
	reader.run("ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT OFF WITH ROLLBACK IMMEDIATE", "SET LOCK_TIMEOUT 0")
	reader.is(0, "SELECT CAST(is_read_committed_snapshot_on AS bigint) FROM sys.databases WHERE name = 'shop'")
	writer.run("BEGIN TRAN", "INSERT INTO dbo.Orders (Id, Amount) VALUES (4, 40)")
	reader.is(20, "SELECT Amount FROM dbo.Orders WHERE Id = 2")
	reader.is(50, "SELECT SUM(Amount) FROM dbo.Orders WHERE Id BETWEEN 2 AND 3")
	reader.fails(errLockTimeout, "SELECT Amount FROM dbo.Orders WHERE Id >= 3")
	writer.is(100, "SELECT SUM(Amount) FROM dbo.Orders")
	writer.run("ROLLBACK")
	reader.is(30, "SELECT SUM(Amount) FROM dbo.Orders WHERE Id >= 3")
}

func TestWhatATransactionMayNotChangeUnderRepeatableRead(t *testing.T) {
	_, c := startOrders(t, 2)
	reader, writer := c[0], c[1]
	reader.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN TRAN")
	reader.is(60, "SELECT SUM(Amount) FROM dbo.Orders")
	writer.run("SET LOCK_TIMEOUT 0")
	writer.fails(errLockTimeout, "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
	reader.is(60, "SELECT SUM(Amount) FROM dbo.Orders")
	reader.run("COMMIT")
	writer.run("UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
}

// blocked says whether a session of the database waits for a lock, in a transaction or not.
func blocked(s *Server, database string) bool {
	for _, o := range s.sortedSessions() {
		if x := o.look(); x.blockedBy != 0 && x.database.name == database {
			return true
		}
	}
	return false
}

func TestASnapshotStaysAsItWas(t *testing.T) {
	_, c := startOrders(t, 2)
	fixed, writer := c[0], c[1]
	fixed.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRAN")
	writer.run("UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
	fixed.is(61, "SELECT SUM(Amount) FROM dbo.Orders") // it begins with the first read
	writer.run("UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2", "INSERT INTO dbo.Orders (Id, Amount) VALUES (4, 40)", "DELETE FROM dbo.Orders WHERE Id = 3",
		"BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 12 WHERE Id = 1")
	fixed.is(61, "SELECT SUM(Amount) FROM dbo.Orders")
	writer.run("COMMIT")
	fixed.is(61, "SELECT SUM(Amount) FROM dbo.Orders")
	fixed.run("COMMIT")
	fixed.is(12+22+40, "SELECT SUM(Amount) FROM dbo.Orders")
}

func TestAnUpdateConflictUnderSnapshot(t *testing.T) {
	tests := []struct {
		name, other, own string
		want             int32
	}{
		{"of the same row is refused", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1", "UPDATE dbo.Orders SET Amount = 12 WHERE Id = 1", errSnapshotConflict},
		{"of a row that was deleted is refused", "DELETE FROM dbo.Orders WHERE Id = 1", "UPDATE dbo.Orders SET Amount = 12 WHERE Id = 1", errSnapshotConflict},
		{"of a row that the snapshot's condition finds is refused", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1", "DELETE FROM dbo.Orders WHERE Amount = 10", errSnapshotConflict},
		{"of a row that only the new condition finds is none", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1", "DELETE FROM dbo.Orders WHERE Amount = 11", 0},
		{"of other rows is none", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1", "UPDATE dbo.Orders SET Amount = 12 WHERE Id = 2", 0},
		{"of a new row is none: it isn't seen", "INSERT INTO dbo.Orders (Id, Amount) VALUES (4, 40)", "UPDATE dbo.Orders SET Amount = 12 WHERE Id > 2", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, c := startOrders(t, 2)
			own, other := c[0], c[1]
			own.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRAN")
			own.is(60, "SELECT SUM(Amount) FROM dbo.Orders")
			other.run(test.other)
			if test.want != 0 {
				own.fails(test.want, test.own)
				own.is(0, "SELECT CAST(@@TRANCOUNT AS bigint)")
				return
			}
			own.run(test.own, "COMMIT")
		})
	}
}

func TestASnapshotsWriterWaitsForTheRowAndIsRefusedIfItChanged(t *testing.T) {
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(end, func(t *testing.T) {
			s, c := startOrders(t, 2)
			own, other := c[0], c[1]
			own.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRAN")
			own.is(60, "SELECT SUM(Amount) FROM dbo.Orders")
			other.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
			over := own.later("UPDATE dbo.Orders SET Amount = 12 WHERE Id = 1")
			waiting(t, s, 1)
			other.run(end)
			want := map[string]int32{"COMMIT": errSnapshotConflict}[end]
			if err := over(); numberOf(err) != want {
				t.Errorf("the update ends with %v, want error %d", err, want)
			}
		})
	}
}

func TestSnapshotIsolationMustBeAllowed(t *testing.T) {
	_, c := startOrders(t, 2)
	own, other := c[0], c[1]
	other.run("ALTER DATABASE [shop] SET ALLOW_SNAPSHOT_ISOLATION OFF")
	own.is(0, "SELECT CAST(snapshot_isolation_state AS bigint) FROM sys.databases WHERE name = 'shop'")
	own.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
	own.fails(3952, "SELECT * FROM dbo.Orders")
	own.run("BEGIN TRAN")
	own.fails(3952, "SELECT * FROM dbo.Orders")
	own.fails(226, "ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON")
	own.run("ROLLBACK", "ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON")
	own.is(60, "SELECT SUM(Amount) FROM dbo.Orders")
	own.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 1 WHERE Id = 1")
	own.fails(3951, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
}

func TestADeadlockHasOneVictim(t *testing.T) {
	tests := []struct {
		name          string
		first, second string
		firstDies     bool
	}{
		{"the one that closes the cycle", "NORMAL", "NORMAL", false},
		{"the one with the lower priority", "LOW", "NORMAL", true},
		{"the one with the lower priority by number", "-3", "HIGH", true},
		{"the one that closes the cycle, if its priority is lower", "3", "LOW", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, c := startOrders(t, 2)
			first, second := c[0], c[1]
			first.run("SET DEADLOCK_PRIORITY "+test.first, "BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
			second.run("SET DEADLOCK_PRIORITY "+test.second, "BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2")
			over := first.later("UPDATE dbo.Orders SET Amount = 21 WHERE Id = 2")
			waiting(t, s, 1)
			closing := second.later("UPDATE dbo.Orders SET Amount = 12 WHERE Id = 1")
			a, b := over(), closing()
			if (numberOf(a) == errDeadlock) != test.firstDies || (numberOf(b) == errDeadlock) == test.firstDies {
				t.Fatalf("the transactions end with %v and %v", a, b)
			}
			victim, other, want := second, first, int64(11+21+30)
			if test.firstDies {
				victim, other, want = first, second, 12+22+30
			}
			victim.is(0, "SELECT CAST(@@TRANCOUNT AS bigint)")
			other.run("COMMIT")
			victim.is(want, "SELECT SUM(Amount) FROM dbo.Orders")
		})
	}
}

func TestReadersThatKeepWhatTheyReadAndThenWriteItAreADeadlock(t *testing.T) {
	s, c := startOrders(t, 2)
	for _, x := range c {
		x.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN TRAN")
		x.is(60, "SELECT SUM(Amount) FROM dbo.Orders")
	}
	over := c[0].later("UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
	waiting(t, s, 1)
	c[1].fails(errDeadlock, "UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2")
	if err := over(); err != nil {
		t.Fatal(err)
	}
}

func TestALostConnectionRollsBackAndLetsGo(t *testing.T) {
	s, c := startOrders(t, 2)
	killed, other := c[0], c[1]
	base := other.number(dbts)
	killed.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
	other.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2")
	over := other.later("UPDATE dbo.Orders SET Amount = 12 WHERE Id = 1")
	waiting(t, s, 1)
	_ = killed.conn.Raw(func(any) error { return driver.ErrBadConn }) // it closes the socket
	if err := over(); err != nil {
		t.Fatal(err)
	}
	other.is(base+2, minActive)
	other.run("COMMIT")
	other.is(12+22+30, "SELECT SUM(Amount) FROM dbo.Orders")
	other.is(base+4, minActive)
}

func TestABulkLoadGoesBesideOpenTransactions(t *testing.T) {
	tests := []struct {
		name, columns, other string
		want                 int32
	}{
		{"of other rows", "Id int NOT NULL PRIMARY KEY, Amount int NOT NULL", "INSERT INTO dbo.T VALUES (1000, 1)", 0},
		{"of a heap", "Id int NULL, Amount int NOT NULL", "INSERT INTO dbo.T VALUES (1000, 1)", 0},
		{"of a table with a long key", "Id int NOT NULL, Amount int NOT NULL, PRIMARY KEY (Id, Amount)", "INSERT INTO dbo.T VALUES (1000, 1)", 0},
		{"of the same rows", "Id int NOT NULL PRIMARY KEY, Amount int NOT NULL", "INSERT INTO dbo.T VALUES (99, 1)", errLockTimeout},
	}
	for _, test := range tests {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, in its own transaction: %t", test.name, own), func(t *testing.T) {
				s := startServer(t)
				other, loader := connect(t, s), connect(t, s)
				other.run("CREATE TABLE dbo.T ("+test.columns+")", "BEGIN TRAN", test.other)
				loader.run("SET LOCK_TIMEOUT 0")
				if !own {
					loader.run("BEGIN TRAN", "INSERT INTO dbo.T VALUES (2000, 1)")
				}
				stmt, err := loader.conn.PrepareContext(t.Context(), mssql.CopyIn("dbo.T", mssql.BulkOptions{}, "Id", "Amount"))
				if err != nil {
					t.Fatal(err)
				}
				defer stmt.Close()
				for i := range 100 {
					if _, err := stmt.Exec(i, 1); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := stmt.Exec(); numberOf(err) != test.want {
					t.Fatalf("the load ends with %v, want error %d", err, test.want)
				}
				if !own {
					other.run("INSERT INTO dbo.T VALUES (1001, 1)")
					loader.run("COMMIT")
				}
				other.run("COMMIT")
				want := int64(101)
				if test.want != 0 {
					want = 1
				}
				if !own {
					want += 2
				}
				loader.is(want, "SELECT CAST(COUNT(*) AS bigint) FROM dbo.T")
			})
		}
	}
}

func TestADatabaseKeepsItsReadModes(t *testing.T) {
	o := Options{Dir: t.TempDir(), Databases: []string{"shop"}, Logins: []Login{{Name: owner, Password: password}}}
	const modes = "SELECT CAST(is_read_committed_snapshot_on AS bigint) * 10 + snapshot_isolation_state FROM sys.databases WHERE name = 'shop'"
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, s)
	c.is(11, modes)
	c.run("ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT OFF")
	c.is(1, modes)
	c.conn.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.NoSnapshots = []string{"shop"}
	if s, err = Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	connect(t, s).is(0, modes)
}

func TestATemporaryTableGoesThroughASuspendedTransaction(t *testing.T) {
	_, c := startOrders(t, 2)
	own, other := c[0], c[1]
	own.run("CREATE TABLE #t (Id int NOT NULL PRIMARY KEY, Name varchar(10))", "BEGIN TRAN", "INSERT INTO #t VALUES (1, 'one'), (2, 'two')", "UPDATE dbo.Orders SET Amount = 11 WHERE Id = 1")
	other.run("UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2")
	own.is(11+22, "SELECT SUM(o.Amount) FROM dbo.Orders AS o JOIN #t AS t ON t.Id = o.Id")
	other.run("UPDATE dbo.Orders SET Amount = 23 WHERE Id = 2")
	own.run("COMMIT")
	own.is(11+23, "SELECT SUM(o.Amount) FROM dbo.Orders AS o JOIN #t AS t ON t.Id = o.Id")
}

func TestAChangeOfTheSchemaKeepsOtherWritersOutUntilItEnds(t *testing.T) {
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(end, func(t *testing.T) {
			s, c := startOrders(t, 2)
			own, other := c[0], c[1]
			other.run("BEGIN TRAN", "UPDATE dbo.Orders SET Amount = 22 WHERE Id = 2")
			own.run("BEGIN TRAN", "CREATE TABLE dbo.New (Id int NOT NULL)", "INSERT INTO dbo.New VALUES (1)")
			over := other.later("UPDATE dbo.Orders SET Amount = 33 WHERE Id = 3")
			waiting(t, s, 1)
			own.run(end)
			if err := over(); err != nil {
				t.Fatal(err)
			}
			other.run("COMMIT")
			own.is(10+22+33, "SELECT SUM(Amount) FROM dbo.Orders")
			if end == "COMMIT" {
				own.is(1, "SELECT CAST(COUNT(*) AS bigint) FROM dbo.New")
			} else {
				own.fails(errUnknownObject, "SELECT * FROM dbo.New")
			}
		})
	}
}
