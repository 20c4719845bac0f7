package sqlserver

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// modelRow is a row as the model knows it.
type modelRow struct{ amount, version int64 }

// modelTransaction is an open transaction of the model: what it changed, nil for what it deleted.
type modelTransaction struct {
	rows  map[int]*modelRow
	first int64 // the lowest version that it stamped
}

// model is what a database with one table must do.
type model struct {
	seeks     bool // a condition on the key finds its row alone
	committed map[int]modelRow
	open      []*modelTransaction // by client; nil has none
	version   int64
}

// sees is what a client sees of what is committed and its own.
func (m *model) sees(client int) map[int]modelRow {
	out := maps.Clone(m.committed)
	if x := m.open[client]; x != nil {
		x.over(out)
	}
	return out
}

func (x *modelTransaction) over(rows map[int]modelRow) {
	for id, r := range x.rows {
		if r == nil {
			delete(rows, id)
		} else {
			rows[id] = *r
		}
	}
}

// uncommitted is what NOLOCK sees.
func (m *model) uncommitted() map[int]modelRow {
	out := maps.Clone(m.committed)
	for _, x := range m.open {
		if x != nil {
			x.over(out)
		}
	}
	return out
}

// locked says whether somebody else holds a row that a seek for the key finds.
func (m *model) locked(client, id int) bool {
	for i, x := range m.open {
		if i != client && x != nil && x.holds(id) {
			return true
		}
	}
	return false
}

func (m *model) scanLocked(client int) bool {
	for i, x := range m.open {
		if i != client && x != nil && len(x.rows) > 0 {
			return true
		}
	}
	return false
}

func (x *modelTransaction) holds(id int) bool {
	_, ok := x.rows[id]
	return ok
}

func (m *model) minActive() int64 {
	lowest := m.version + 1
	for _, x := range m.open {
		if x != nil && x.first != 0 {
			lowest = min(lowest, x.first)
		}
	}
	return lowest
}

// change makes a change of the client's; nil deletes.
func (m *model) change(client, id int, r *modelRow) {
	if r != nil {
		m.version++
		r.version = m.version
	}
	x := m.open[client]
	if x == nil {
		(&modelTransaction{rows: map[int]*modelRow{id: r}}).over(m.committed)
		return
	}
	if r != nil && x.first == 0 {
		x.first = r.version
	}
	x.rows[id] = r
}

// TestRandomHistoriesGoAsTheModelSays lets clients write and read at random, and compares every answer with a model's.
func TestRandomHistoriesGoAsTheModelSays(t *testing.T) {
	tables := []struct {
		name, columns string
		seeks         bool
		key           func(id int) string
	}{
		{"a table with an integer key", "K int NOT NULL PRIMARY KEY", true, func(id int) string { return fmt.Sprint(id) }},
		{"a table with a key of text", "K varchar(20) NOT NULL PRIMARY KEY", true, func(id int) string { return fmt.Sprintf("'key %d'", id) }},
		{"a heap with a unique index", "K bigint NULL UNIQUE NONCLUSTERED", true, func(id int) string { return fmt.Sprint(id) }},
		{"a heap", "K varchar(20) NOT NULL", false, func(id int) string { return fmt.Sprintf("'key %d'", id) }},
	}
	const clients, rows, steps, histories = 4, 6, 80, 30
	for _, table := range tables {
		t.Run(table.name, func(t *testing.T) {
			s := startServer(t)
			var c []*client
			for range clients {
				c = append(c, connect(t, s))
				c[len(c)-1].run("SET LOCK_TIMEOUT 0")
			}
			fixed := connect(t, s)
			fixed.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
			c[0].run("CREATE TABLE dbo.T (" + table.columns + ", Id int NOT NULL, Amount bigint NOT NULL, Rv rowversion NOT NULL)")
			for seed := range uint64(histories) {
				c[0].run("TRUNCATE TABLE dbo.T")
				h := &history{t: t, c: append(c[:clients:clients], fixed), key: table.key, model: model{seeks: table.seeks, committed: map[int]modelRow{}, open: make([]*modelTransaction, clients), version: c[0].number(dbts)},
					random: rand.New(rand.NewPCG(seed, 1))}
				for range steps {
					h.step(h.random.IntN(clients), h.random.IntN(rows))
					if t.Failed() {
						t.Fatalf("seed %d: %v", seed, h.log)
					}
				}
				for i, x := range h.open {
					if x != nil {
						h.run(i, "ROLLBACK", 0)
						h.open[i] = nil
					}
				}
				h.look(clients, true)
				h.sees(0, "", h.committed)
			}
		})
	}
}

type history struct {
	model
	t      *testing.T
	c      []*client
	key    func(id int) string
	random *rand.Rand
	log    []string
	view   map[int]modelRow // what the last client's snapshot is; nil if it has none
}

// look reads in the snapshot of a client that does nothing else. It begins with a first read, and ends.
func (h *history) look(client int, end bool) {
	if h.view == nil {
		h.run(client, "BEGIN TRAN", 0)
		h.view = maps.Clone(h.committed)
	}
	h.sees(client, "", h.view)
	if end {
		h.run(client, "COMMIT", 0)
		h.view = nil
	}
}

func (h *history) run(client int, statement string, want int32) {
	h.t.Helper()
	h.log = append(h.log, fmt.Sprintf("\n%d: %s → %d", client, statement, want))
	if _, err := h.c[client].conn.ExecContext(h.t.Context(), statement); numberOf(err) != want || want == 0 && err != nil {
		h.t.Errorf("client %d: %s: %v, want error %d", client, statement, err, want)
	}
}

// sees compares what a client reads.
func (h *history) sees(client int, hint string, want map[int]modelRow) {
	h.t.Helper()
	h.log = append(h.log, fmt.Sprintf("\n%d: SELECT %s → %v", client, hint, want))
	rows, err := h.c[client].conn.QueryContext(h.t.Context(), "SELECT Id, Amount, CAST(Rv AS bigint) FROM dbo.T "+hint)
	if err != nil {
		h.t.Errorf("client %d reads: %v", client, err)
		return
	}
	defer rows.Close()
	got := map[int]modelRow{}
	for rows.Next() {
		var id int
		var r modelRow
		if err := rows.Scan(&id, &r.amount, &r.version); err != nil {
			h.t.Fatal(err)
		}
		if _, twice := got[id]; twice {
			h.t.Errorf("client %d sees row %d twice", client, id)
		}
		got[id] = r
	}
	if err := rows.Err(); err != nil {
		h.t.Errorf("client %d reads: %v", client, err)
	}
	if !maps.Equal(got, want) {
		h.t.Errorf("client %d sees %v, want %v", client, got, want)
	}
}

func (h *history) step(client, id int) {
	x := h.open[client]
	where := " WHERE K = " + h.key(id)
	locked := h.locked(client, id)
	if !h.seeks {
		locked = h.scanLocked(client)
	}
	row, there := h.model.sees(client)[id]
	switch action := h.random.IntN(13); action {
	case 0:
		if x == nil {
			h.run(client, "BEGIN TRAN", 0)
			h.open[client] = &modelTransaction{rows: map[int]*modelRow{}}
		}
	case 1:
		if x != nil {
			h.run(client, "COMMIT", 0)
			x.over(h.committed)
			h.open[client] = nil
		}
	case 2:
		if x != nil {
			h.run(client, "ROLLBACK", 0)
			h.open[client] = nil
		}
	case 3, 4:
		statement := "UPDATE dbo.T SET Amount = Amount + 1" + where
		if locked {
			h.run(client, statement, errLockTimeout)
			return
		}
		h.run(client, statement, 0)
		if there {
			h.change(client, id, &modelRow{amount: row.amount + 1})
		}
	case 5, 6:
		amount := h.random.Int64N(100) * 1000
		statement := fmt.Sprintf("INSERT INTO dbo.T (K, Id, Amount) VALUES (%s, %d, %d)", h.key(id), id, amount)
		switch {
		case h.seeks && h.locked(client, id):
			h.run(client, statement, errLockTimeout)
		case !h.seeks && (there || h.locked(client, id)): // a heap takes a key twice; the model doesn't
		case there:
			before := h.version
			h.run(client, statement, errDuplicateKey)
			// The refused row's version is burnt.
			h.version = h.c[client].number(dbts)
			if x != nil && x.first == 0 && h.version > before {
				x.first = before + 1
			}
		default:
			h.run(client, statement, 0)
			h.change(client, id, &modelRow{amount: amount})
		}
	case 7:
		if locked {
			h.run(client, "DELETE FROM dbo.T"+where, errLockTimeout)
			return
		}
		if _, committed := h.committed[id]; there && !committed {
			return // what one transaction inserts and deletes may be met by others or not
		}
		h.run(client, "DELETE FROM dbo.T"+where, 0)
		if there {
			h.change(client, id, nil)
		}
	case 8:
		h.sees(client, "", h.model.sees(client))
	case 9:
		h.sees(client, "WITH (NOLOCK)", h.uncommitted())
	case 10:
		if h.scanLocked(client) {
			h.run(client, "DECLARE @n int = (SELECT COUNT(*) FROM dbo.T WITH (READCOMMITTEDLOCK))", errLockTimeout)
		} else {
			h.sees(client, "WITH (READCOMMITTEDLOCK)", h.model.sees(client))
		}
	case 11:
		h.look(len(h.open), h.random.IntN(4) == 0)
	case 12:
		if got, want := h.c[client].number(minActive), h.minActive(); got != want {
			h.t.Errorf("MIN_ACTIVE_ROWVERSION() is %d, want %d", got, want)
		}
		if got := h.c[client].number(dbts); got != h.version {
			h.t.Errorf("@@DBTS is %d, want %d", got, h.version)
		}
	}
}

// TestAWindowUpToTheLowestActiveVersionLosesNothing lets writers move amounts between rows, at once and in any order of
// locks, while a reader exports windows of versions as an incremental load does.
func TestAWindowUpToTheLowestActiveVersionLosesNothing(t *testing.T) {
	const writers, rows, transfers, amount = 5, 12, 40, 100
	s := startServer(t)
	exporter, auditor := connect(t, s), connect(t, s)
	exporter.run("CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, Amount int NOT NULL, Rv rowversion NOT NULL)")
	for id := range rows {
		exporter.run(fmt.Sprintf("INSERT INTO dbo.T (Id, Amount) VALUES (%d, %d)", id, amount))
	}
	var done, deadlocks atomic.Int32
	var tasks sync.WaitGroup
	for i := range writers {
		c := connect(t, s)
		tasks.Go(func() {
			defer done.Add(1)
			random := rand.New(rand.NewPCG(uint64(i), 2))
			for range transfers {
				from, to := random.IntN(rows), random.IntN(rows)
				end := "COMMIT"
				if random.IntN(4) == 0 {
					end = "ROLLBACK"
				}
				for _, q := range []string{"BEGIN TRAN", fmt.Sprintf("UPDATE dbo.T SET Amount = Amount - 1 WHERE Id = %d", from),
					fmt.Sprintf("UPDATE dbo.T SET Amount = Amount + 1 WHERE Id = %d", to), end} {
					_, err := c.conn.ExecContext(t.Context(), q)
					if numberOf(err) == errDeadlock {
						deadlocks.Add(1)
						break
					}
					if err != nil {
						t.Errorf("writer %d: %s: %v", i, q, err)
						return
					}
				}
			}
		})
	}
	auditor.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
	exported := map[int]int{}
	from := int64(0)
	export := func() {
		to := exporter.number(minActive)
		if to < from {
			t.Errorf("the lowest active version went back from %d to %d", from, to)
		}
		list, err := exporter.conn.QueryContext(t.Context(), "SELECT Id, Amount FROM dbo.T WHERE Rv >= CAST(@p1 AS binary(8)) AND Rv < CAST(@p2 AS binary(8))",
			binary.BigEndian.AppendUint64(nil, uint64(from)), binary.BigEndian.AppendUint64(nil, uint64(to)))
		if err != nil {
			t.Fatal(err)
		}
		defer list.Close()
		for list.Next() {
			var id, n int
			if err := list.Scan(&id, &n); err != nil {
				t.Fatal(err)
			}
			exported[id] = n
		}
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	for done.Load() < writers {
		export()
		auditor.is(rows*amount, "SELECT CAST(SUM(Amount) AS bigint) FROM dbo.T")
		auditor.run("BEGIN TRAN")
		for range 2 {
			auditor.is(rows*amount, "SELECT CAST(SUM(Amount) AS bigint) FROM dbo.T")
		}
		auditor.run("COMMIT")
	}
	tasks.Wait()
	export()
	for id := range rows {
		if want := exporter.number(fmt.Sprintf("SELECT CAST(Amount AS bigint) FROM dbo.T WHERE Id = %d", id)); int64(exported[id]) != want {
			t.Errorf("row %d was exported as %d, and is %d", id, exported[id], want)
		}
	}
	t.Logf("%d deadlocks", deadlocks.Load())
}
