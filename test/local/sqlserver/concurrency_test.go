package sqlserver

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"testing"
	"time"
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
