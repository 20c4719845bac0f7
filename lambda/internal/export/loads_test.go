package export_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/export"
	sqlservers "sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// events makes a table that is added to, and gives its name.
func events(t *testing.T) string {
	t.Helper()
	return createTable(t, "Events", "Id int IDENTITY(1,1) NOT NULL PRIMARY KEY, At datetime2(3) NOT NULL, Amount int NOT NULL, Version rowversion NOT NULL")
}

func insert(t *testing.T, table string, at time.Time, amounts ...int) {
	t.Helper()
	for _, amount := range amounts {
		execute(t, fmt.Sprintf("INSERT INTO %s (At, Amount) VALUES ('%s', %d)", table, at.Format("2006-01-02T15:04:05.000"), amount))
	}
}

func appending(table string, cursor pipeline.Cursor) pipeline.Spec {
	return spec(pipeline.Source{Table: table, Load: pipeline.Append, Cursor: &cursor},
		pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
}

var byVersion = pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: "Version"}

// chain gives the committed runs, the newest first.
func (w *world) chain() []manifest.Manifest {
	w.t.Helper()
	var all []manifest.Manifest
	for ref := w.head().Manifest; ref != nil; {
		body, err := w.get(ref.Key)
		w.must(err)
		m, err := manifest.Decode(body)
		w.must(err)
		all = append(all, m)
		ref = m.Parent
	}
	return all
}

// amounts gives the Amounts of all committed runs of the newest generation, sorted.
func (w *world) amounts() []int {
	w.t.Helper()
	var all []int
	chain := w.chain()
	for _, m := range chain {
		if m.Generation != chain[0].Generation {
			continue
		}
		for _, row := range w.duckdb(m, "SELECT Amount FROM files") {
			n, err := strconv.Atoi(row[0])
			w.must(err)
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// at is the n-th tick.
func at(n int) time.Time { return tick.Add(time.Duration(n) * 5 * time.Minute) }

func (w *world) run(s pipeline.Spec, n int, want export.Outcome) export.Result {
	w.t.Helper()
	result, err := w.exporter(s, nil).Run(w.t.Context(), event(at(n)), "request")
	w.must(err)
	if result.Outcome != want {
		w.t.Fatalf("tick %d: %+v, want the outcome %q", n, result, want)
	}
	return result
}

func (w *world) refused(s pipeline.Spec, n int, problems ...string) {
	w.t.Helper()
	result, err := w.exporter(s, nil).Run(w.t.Context(), event(at(n)), "request")
	for _, want := range problems {
		if err == nil || !strings.Contains(err.Error(), want) {
			w.t.Fatalf("tick %d: %+v, %v\nwant an error with %s", n, result, err, want)
		}
	}
}

func TestAnAppendLoadReadsEachRowOnceWhateverTheOrderOfCommits(t *testing.T) {
	w := newWorld(t)
	table := events(t)
	s := appending(table, byVersion)
	insert(t, table, tick, 1, 2, 3)
	first := w.run(s, 0, export.Committed)
	if first.Rows != 3 || first.ExecutionARN == "" {
		t.Fatalf("got %+v", first)
	}

	// A transaction takes its versions now and commits two ticks later; others commit meanwhile.
	open, err := database.BeginTx(t.Context(), nil)
	w.must(err)
	defer func() { _ = open.Rollback() }() // after its commit there is nothing to roll back
	_, err = open.ExecContext(t.Context(), "INSERT INTO "+table+" (At, Amount) VALUES ('2026-01-01', 10)")
	w.must(err)
	insert(t, table, tick, 11, 12)
	result := w.run(s, 1, export.Blocked)
	if !strings.Contains(result.Detail, "session") || !strings.Contains(result.Detail, "wait behind an open transaction") {
		t.Errorf("the outcome says %q", result.Detail)
	}
	w.must(open.Commit())
	w.run(s, 2, export.Committed)
	if got, want := w.amounts(), []int{1, 2, 3, 10, 11, 12}; !slices.Equal(got, want) {
		t.Fatalf("the runs hold %v, want %v", got, want)
	}
	w.run(s, 3, export.NoNewData)

	// A tick that was missed is caught up by the next, and a tick that comes late has nothing left.
	insert(t, table, tick, 20)
	w.run(s, 6, export.Committed)
	insert(t, table, tick, 21)
	w.run(s, 5, export.Superseded)
	w.run(s, 6, export.AlreadyCommitted)
	w.run(s, 7, export.Committed)
	if got, want := w.amounts(), []int{1, 2, 3, 10, 11, 12, 20, 21}; !slices.Equal(got, want) {
		t.Fatalf("the runs hold %v, want %v", got, want)
	}
	chain, h := w.chain(), w.head()
	if len(chain) != 4 || h.Generation != 1 || h.Run != run.NewID(at(7)) || h.Watermark.Value != chain[0].Bounds.To {
		t.Fatalf("the chain has %d runs, the head is %+v", len(chain), h)
	}
	for i, m := range chain[1:] {
		if chain[i].Bounds.From != m.Bounds.To {
			t.Errorf("after the bound %s comes %s", m.Bounds.To, chain[i].Bounds.From)
		}
	}
}

func TestARolledBackRowIsInNoRun(t *testing.T) {
	w := newWorld(t)
	table := events(t)
	s := appending(table, byVersion)
	insert(t, table, tick, 1)
	open, err := database.BeginTx(t.Context(), nil)
	w.must(err)
	_, err = open.ExecContext(t.Context(), "INSERT INTO "+table+" (At, Amount) VALUES ('2026-01-01', 666)")
	w.must(err)
	insert(t, table, tick, 2)
	w.run(s, 0, export.Committed) // the first row only: the others are behind the open transaction
	w.must(open.Rollback())
	w.run(s, 1, export.Committed)
	if got, want := w.amounts(), []int{1, 2}; !slices.Equal(got, want) {
		t.Fatalf("the runs hold %v, want %v", got, want)
	}
}

func TestATableThatIsNotImmutableIsRefused(t *testing.T) {
	w := newWorld(t)
	table := events(t)
	s := appending(table, byVersion)
	insert(t, table, tick, 1, 2, 3)
	w.run(s, 0, export.Committed)
	execute(t, "UPDATE "+table+" SET Amount = 30 WHERE Amount = 3")
	before := w.head().Moves
	w.refused(s, 1, "declared immutable", "["+export.DuplicateKey+"]")
	if w.head().Moves != before {
		t.Error("the head moved")
	}
}

func TestAnOverlapMeetsRowsThatWereCommittedLateAndLeavesOutWhatWasRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		cursor pipeline.Cursor
	}{
		{"by identity", pipeline.Cursor{Kind: pipeline.IdentityCursor, Column: "Id", Overlap: 100}},
		{"by time", pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "At", Overlap: 3600}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			table := events(t)
			s := appending(table, c.cursor)
			insert(t, table, at(-2), 1, 2)
			// Its value is taken before the first run, its commit comes after.
			open, err := database.BeginTx(t.Context(), nil)
			w.must(err)
			defer func() { _ = open.Rollback() }() // after its commit there is nothing to roll back
			_, err = open.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO %s (At, Amount) VALUES ('%s', 10)", table, at(-1).Format("2006-01-02T15:04:05")))
			w.must(err)
			insert(t, table, at(-1), 3)
			w.run(s, 0, export.Committed)
			w.must(open.Commit())
			insert(t, table, at(1), 4)
			w.run(s, 2, export.Committed)
			newest := w.chain()[0]
			if newest.Rows != 2 || newest.Counts.Repeated != 3 || newest.Bounds.Overlap == "" || newest.Recent == nil {
				t.Errorf("the second run has %+v of %+v", newest.Counts, newest.Bounds)
			}
			if got, want := w.amounts(), []int{1, 2, 3, 4, 10}; !slices.Equal(got, want) {
				t.Fatalf("the runs hold %v, want %v", got, want)
			}
			// A larger overlap reaches no further than what is remembered; from the next run on it does.
			s.Source.Cursor.Overlap *= 10
			insert(t, table, at(3), 5)
			w.run(s, 4, export.Committed)
			insert(t, table, at(5), 6)
			w.run(s, 6, export.Committed)
			if got, want := w.amounts(), []int{1, 2, 3, 4, 5, 6, 10}; !slices.Equal(got, want) {
				t.Fatalf("after the overlap grew the runs hold %v, want %v", got, want)
			}
		})
	}
}

func TestPagesOverSeveralConnectionsHoldEveryRowOnce(t *testing.T) {
	table := createTable(t, "Pages", "Id int NOT NULL PRIMARY KEY, Grp int NULL, Guid uniqueidentifier NOT NULL, Amount int NOT NULL")
	var values []string
	for i := range 1000 {
		group := strconv.Itoa(i % 7 * (i % 3))
		if i%10 == 0 {
			group = "NULL"
		}
		values = append(values, fmt.Sprintf("(%d, %s, NEWID(), %d)", i*3, group, i))
	}
	for chunk := range slices.Chunk(values, 500) {
		execute(t, "INSERT INTO "+table+" (Id, Grp, Guid, Amount) VALUES "+strings.Join(chunk, ", "))
	}
	execute(t, fmt.Sprintf("CREATE INDEX IX_Guid%d ON %s (Guid)", worlds.Add(1), table))
	for _, c := range []struct{ name, by, query string }{
		{"by a unique key", "Id", ""},
		{"by a column with NULLs and many equal values", "Grp", ""},
		{"by a uniqueidentifier in the server's order", "Guid", ""},
		{"of a query", "Id", "SELECT Id, Amount FROM " + table + " WHERE Amount >= 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			source := pipeline.Source{Table: table, PartitionBy: c.by}
			if c.query != "" {
				source.Table, source.Query = "", c.query
			}
			s := spec(source, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
			s.Limits.Connections, s.Limits.PageRows, s.Limits.PartitionRows = 3, 40, 200
			w.run(s, 0, export.Committed)
			m := w.committed()
			got := w.duckdb(m, "SELECT count(*), count(DISTINCT Id), sum(Amount) FROM files")
			if want := []string{"1000", "1000", "499500"}; !slices.Equal(got[0], want) {
				t.Fatalf("Parquet has %v, want %v (%d partitions)", got[0], want, m.Plan.Partitions)
			}
			if m.Source.Consistency != "pages" || c.query == "" && m.Plan.Partitions < 2 || m.Plan.Segments < m.Plan.Partitions {
				t.Errorf("%d partitions, consistency %s", m.Plan.Partitions, m.Source.Consistency)
			}
		})
	}
}

// The map's functions are called here as Step Functions calls them.
func TestWhatOneFunctionDoesNotFinishIsReadByOthersAndCommittedOnce(t *testing.T) {
	onlyLocally(t, "faults on order")
	w := newWorld(t)
	table := orders(t, 900)
	s := spec(pipeline.Source{Table: table, PartitionBy: "Id"}, ordersDataset)
	s.Limits.PageRows, s.Limits.PartitionRows, s.Limits.FunctionRows = 50, 300, 100
	handed := &handedOver{}
	e := w.exporter(s, nil)
	e.Map = handed
	result, err := e.Run(t.Context(), event(tick), "request")
	w.must(err)
	if result.Outcome != export.HandedOver || len(handed.names) != 1 || !strings.HasPrefix(handed.names[0], string(tickID)+"-") || len(handed.inputs[0]) > 1000 {
		t.Fatalf("got %+v, %v", result, handed.names)
	}
	w.nothingHappened()
	input := handed.decode(t)
	if _, err := e.Commit(t.Context(), input.Plan, "too-early"); err == nil || !strings.Contains(err.Error(), "partitions are not read") {
		t.Fatalf("a commit before the partitions gave %v", err)
	}
	// A time that is over before a partition is: it goes on in another function.
	server.OrderFault(sqlserver.Fault{Match: "[" + strings.TrimPrefix(table, "dbo.") + "] AS q WHERE", RowDelay: 4 * time.Millisecond, Times: 1000})
	defer server.ClearFaults()
	most := 0
	for _, id := range w.open(input.Open.Key) {
		for calls := 1; ; calls++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			progress, err := e.Partition(ctx, input.Plan, id, "child")
			cancel()
			// On a busy machine a function may not even end its files in time: then the map invokes it again.
			if err != nil && !strings.Contains(err.Error(), "deadline exceeded") && !strings.Contains(err.Error(), "time limit") {
				t.Fatal(err)
			}
			if progress.Done {
				most = max(most, calls)
				break
			}
			if calls > 100 {
				t.Fatal("the partition is never done")
			}
		}
	}
	if most < 2 {
		t.Error("no partition needed a second function")
	}
	w.nothingHappened()
	committed, err := e.Commit(t.Context(), input.Plan, "last")
	w.must(err)
	if committed.Outcome != export.Committed || committed.Rows != 900 {
		t.Fatalf("got %+v", committed)
	}
	m := w.committed()
	if got := w.duckdb(m, "SELECT count(*), count(DISTINCT Id) FROM files"); got[0][0] != "900" || got[0][1] != "900" {
		t.Fatalf("Parquet has %v", got)
	}
	again, err := e.Run(t.Context(), event(tick), "again")
	w.must(err)
	if again.Outcome != export.AlreadyCommitted || len(w.executions()) != 1 {
		t.Fatalf("got %+v", again)
	}
}

func TestASnapshotIsOneStateWhateverIsWrittenMeanwhile(t *testing.T) {
	w := newWorld(t)
	table := orders(t, 300)
	s := spec(pipeline.Source{Table: table, Consistency: pipeline.Snapshot, CountRows: true}, ordersDataset)
	w.run(s, 0, export.Committed)
	m := w.committed()
	if m.Rows != 300 || !strings.HasPrefix(m.Source.Isolation, "SNAPSHOT") || m.Counts.Counted == nil || *m.Counts.Counted != 300 {
		t.Fatalf("got %+v, %+v", m.Source, m.Counts)
	}
}

func TestAChangedSourceIsNamedOrBeginsAGeneration(t *testing.T) {
	insertOne := func(t *testing.T, table string, amount int) { t.Helper(); insert(t, table, tick, amount) }
	t.Run("another cursor is another query", func(t *testing.T) {
		w := newWorld(t)
		table := events(t)
		insertOne(t, table, 1)
		w.run(appending(table, byVersion), 0, export.Committed)
		insertOne(t, table, 2)
		other := appending(table, pipeline.Cursor{Kind: pipeline.IdentityCursor, Column: "Id", Overlap: 10})
		w.refused(other, 1, "["+export.QueryChanged+"]", "rebaseline")
		other.Source.OnChange = pipeline.NewGeneration
		w.run(other, 1, export.Committed)
		if m := w.chain(); m[0].Generation != 2 || m[0].Rows != 2 || m[1].Generation != 1 {
			t.Errorf("generation %d with %d rows after %d", m[0].Generation, m[0].Rows, m[1].Generation)
		}
	})
	t.Run("a table that was made anew", func(t *testing.T) {
		w := newWorld(t)
		table := events(t)
		insertOne(t, table, 1)
		s := appending(table, byVersion)
		w.run(s, 0, export.Committed)
		execute(t, "DROP TABLE "+table)
		execute(t, "CREATE TABLE "+table+" (Id int IDENTITY(1,1) NOT NULL PRIMARY KEY, At datetime2(3) NOT NULL, Amount int NOT NULL, Version rowversion NOT NULL)")
		insertOne(t, table, 5)
		w.refused(s, 1, "["+export.TableRecreated+"]")

		// A person decides: a generation of its own.
		state, err := w.exporter(s, nil).Rebaseline(t.Context(), export.Event{By: "ana", Reason: "the table was rebuilt"})
		w.must(err)
		if state.Head.Generation != 2 || state.Head.Watermark != nil {
			t.Fatalf("got %+v", state.Head)
		}
		w.run(s, 1, export.Committed)
		if got := w.amounts(); !slices.Equal(got, []int{5}) {
			t.Fatalf("the generation holds %v", got)
		}
	})
	t.Run("another column", func(t *testing.T) {
		w := newWorld(t)
		table := orders(t, 100)
		s := spec(pipeline.Source{Table: table}, ordersDataset)
		w.run(s, 0, export.Committed)
		execute(t, "DROP TABLE "+table)
		execute(t, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, Amount decimal(14,2) NOT NULL, Score real NULL, Extra int NULL, Returned bit NOT NULL)")
		for i := range 100 {
			execute(t, fmt.Sprintf("INSERT INTO %s (Id, Amount, Returned) VALUES (%d, 1, %d)", table, i, i%2))
		}
		w.refused(s, 1, "["+export.SchemaChanged+"]", "Extra int is new", "Amount was decimal(12,2) and is decimal(14,2)", "Express bit is gone", "onSchemaChange")
		s.Source.OnSchemaChange = pipeline.AcceptSchemaChange
		w.run(s, 1, export.Committed)
	})
}

func TestARunOfThePastIsMadeOnlyWhereItsRowsAreKnown(t *testing.T) {
	w := newWorld(t)
	table := events(t)
	insert(t, table, at(-1), 1, 2, 3, 4, 5, 6, 7, 8, 9)
	dataset := pipeline.Dataset{Task: pipeline.Regression, Key: []string{"Id"}, Label: "Amount", Features: []string{"Twice"}, Split: pipeline.Split{Train: 1}}
	whole := spec(pipeline.Source{Query: "SELECT Id, Amount, Amount * 2 AS Twice FROM " + table}, dataset)
	w.run(whole, 10, export.Committed)
	w.run(whole, 5, export.Superseded)
	late := event(at(5))
	late.Backfill = true
	if _, err := w.exporter(whole, nil).Run(t.Context(), late, ""); err == nil || !strings.Contains(err.Error(), "["+export.NoHistory+"]") {
		t.Fatalf("a backfill without a window gave %v", err)
	}

	windowed := whole
	windowed.Source = pipeline.Source{Query: "SELECT Id, Amount, Amount * 2 AS Twice FROM " + table + " WHERE At >= @windowStart AND At < @windowEnd", WindowSeconds: 3600, Load: pipeline.Full}
	w.run(windowed, 11, export.Committed)
	result := w.run(windowed, 4, export.Backfilled)
	if result.Rows != 9 || len(w.executions()) != 2 || w.head().Run != run.NewID(at(11)) || w.head().Manifest.Run != run.NewID(at(4)) {
		t.Fatalf("got %+v, executions %v", result, w.executions())
	}
}

func TestATrainingWindowIsTheRunsOfOneGenerationThatItReaches(t *testing.T) {
	w := newWorld(t)
	table := createTable(t, "Events", "Id int IDENTITY(1,1) NOT NULL PRIMARY KEY, At datetime2(3) NOT NULL, Amount int NOT NULL, Weight int NOT NULL DEFAULT 7, Twin int NOT NULL DEFAULT 9, Version rowversion NOT NULL")
	s := appending(table, byVersion)
	s.Dataset = pipeline.Dataset{Format: pipeline.CSV, Task: pipeline.Regression, Key: []string{"Id"}, Label: "Amount", Features: []string{"Weight"}, Split: pipeline.Split{Train: 1, Salt: "s"}, WindowSeconds: 11 * 60}
	for n := range 4 {
		insert(t, table, tick, n*10, n*10+1)
		w.run(s, n, export.Committed)
	}
	newest := w.committed()
	lines := w.channel(newest, manifest.Train)
	slices.Sort(lines)
	// The runs of 5 minutes each within 11 minutes: the last three.
	if want := []string{"10,7", "11,7", "20,7", "21,7", "30,7", "31,7"}; !slices.Equal(lines, want) {
		t.Fatalf("the window has %v, want %v", lines, want)
	}
	// Lines whose columns mean something else aren't put beside them.
	s.Dataset.Features = []string{"Twin"}
	insert(t, table, tick, 40)
	w.run(s, 4, export.Committed)
	if lines := w.channel(w.committed(), manifest.Train); !slices.Equal(lines, []string{"40,9"}) || newest.Generation != w.committed().Generation {
		t.Fatalf("after the features changed the window has %v", lines)
	}
}

func TestWhileARunReadsTheNextOneLeavesTheDatabaseAlone(t *testing.T) {
	w := newWorld(t)
	table := orders(t, 200)
	s := spec(pipeline.Source{Table: table, PartitionBy: "Id"}, ordersDataset)
	s.Limits.FunctionRows = 100
	alone := &executions{}
	exporter := func() *export.Exporter {
		e := w.exporter(s, nil)
		e.Map, e.Alone = alone, alone
		return e
	}
	tick := func(n int, want export.Outcome) export.Result {
		t.Helper()
		result, err := exporter().Run(t.Context(), event(at(n)), "request")
		w.must(err)
		if result.Outcome != want {
			t.Fatalf("tick %d: %+v, want %q", n, result, want)
		}
		return result
	}
	tick(0, export.HandedOver)
	alone.running = true
	if result := tick(1, export.Busy); !strings.Contains(result.Detail, string(tickID)) {
		t.Errorf("the outcome says %q", result.Detail)
	}
	tick(0, export.HandedOver) // a repeated event of the run that reads
	// An execution that ended without a commit holds nobody back.
	alone.running = false
	tick(2, export.HandedOver)
	alone.running = true
	input := alone.decode(t)
	for _, id := range w.open(input.Open.Key) {
		progress, err := exporter().Partition(t.Context(), input.Plan, id, "child")
		w.must(err)
		if !progress.Done {
			t.Fatalf("got %+v", progress)
		}
	}
	_, err := exporter().Commit(t.Context(), input.Plan, "last")
	w.must(err)
	s.Limits.FunctionRows = 0
	tick(3, export.Committed) // the lease was given back with the commit
	tick(4, export.Committed)

	// A function that died holds the lease until its time is over, and no longer.
	body := fmt.Sprintf(`{"run":%q,"attempt":"dead","until":%q}`, run.NewID(at(5)), time.Now().Add(time.Hour).Format(time.RFC3339))
	_, err = w.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &w.bucket, Key: aws.String("orders/lease.json"), Body: strings.NewReader(body)})
	w.must(err)
	tick(6, export.Busy)
	tick(5, export.Committed)
	tick(6, export.Committed)
}

func TestAnIdentityBelowZeroAndAnEmptiedTableLoseNothing(t *testing.T) {
	w := newWorld(t)
	table := fmt.Sprintf("dbo.Negative%d", worlds.Add(1))
	execute(t, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, Amount int NOT NULL)")
	s := appending(table, pipeline.Cursor{Kind: pipeline.IdentityCursor, Column: "Id", Overlap: 1000})
	add := func(ids ...int) {
		for _, id := range ids {
			execute(t, fmt.Sprintf("INSERT INTO %s (Id, Amount) VALUES (%d, %d)", table, id, id))
		}
	}
	add(-2147483648, -2147483647, -2147483640)
	w.run(s, 0, export.Committed)
	add(-2147483639, -2000000000)
	w.run(s, 1, export.Committed)
	add(-5, -1, 0, 7)
	w.run(s, 2, export.Committed)
	if got, want := w.amounts(), []int{-2147483648, -2147483647, -2147483640, -2147483639, -2000000000, -5, -1, 0, 7}; !slices.Equal(got, want) {
		t.Fatalf("the runs hold %v, want %v", got, want)
	}
	execute(t, "DELETE FROM "+table)
	w.refused(s, 3, "the table is empty", "["+export.BoundBelowWatermark+"]")
	add(2147483647)
	w.refused(s, 3, "the last that its type int has")
}

// A day that isn't over belongs to the run after it, and a column of days is read from a day's beginning.
func TestATimeCursorOnADateReadsWholeDays(t *testing.T) {
	w := newWorld(t)
	table := fmt.Sprintf("dbo.Days%d", worlds.Add(1))
	execute(t, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, Day date NOT NULL, Amount int NOT NULL)")
	s := appending(table, pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "Day", Overlap: 3600})
	add := func(id int, day string) {
		execute(t, fmt.Sprintf("INSERT INTO %s (Id, Day, Amount) VALUES (%d, '%s', %d)", table, id, day, id))
	}
	const day = 24 * 12 // ticks of 5 minutes
	add(1, "2025-12-31")
	w.run(s, 0, export.Committed) // 02:00 on the first of January
	add(2, "2026-01-01")
	w.run(s, 12*12, export.NoNewData) // 14:00 on the same day
	add(3, "2026-01-01")
	w.run(s, day, export.Committed)
	add(4, "2026-01-02")
	w.run(s, 2*day, export.Committed)
	if got, want := w.amounts(), []int{1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Fatalf("the runs hold %v, want %v", got, want)
	}
}

func TestAColumnByWhichRowsAreFoundIsNotChanged(t *testing.T) {
	table := events(t)
	insert(t, table, tick, 1)
	paged := spec(pipeline.Source{Table: table, PartitionBy: "At"}, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
	paged.Dataset.Columns = map[string]pipeline.ColumnRule{"at": {Cast: "date"}}
	newWorld(t).refused(paged, 0, "dataset.columns changes At, which is source.partitionBy")
	timed := appending(table, pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "At", Overlap: 60})
	timed.Dataset.Columns = map[string]pipeline.ColumnRule{"At": {Hash: true}}
	newWorld(t).refused(timed, 0, "dataset.columns changes At, which is source.cursor")
}

func TestAReplicaThatTakesWritesIsNone(t *testing.T) {
	onlyLocally(t, "address of a primary to mistake for a replica")
	w := newWorld(t)
	s := spec(pipeline.Source{Table: orders(t, 100), Replica: true}, ordersDataset)
	host, port := server.Addr()
	e := w.exporter(s, nil)
	source := e.Database.(export.Server)
	source.Replica = sqlservers.Overrides{Host: host, Port: strconv.Itoa(port)}
	e.Database = source
	if _, err := e.Run(t.Context(), event(tick), ""); err == nil || !strings.Contains(err.Error(), "["+export.NotAReplica+"]") {
		t.Fatalf("got %v", err)
	}
}

func TestACursorIsOfATypeThatItsKindFollows(t *testing.T) {
	table := events(t)
	insert(t, table, tick, 1)
	for _, cursor := range []pipeline.Cursor{
		{Kind: pipeline.RowversionCursor, Column: "Id"}, {Kind: pipeline.IdentityCursor, Column: "At"}, {Kind: pipeline.TimeCursor, Column: "Amount"},
	} {
		newWorld(t).refused(appending(table, cursor), 0, "source.cursor names "+cursor.Column, "name a column of type")
	}
}

func TestAnAppendLoadReadsABaseTableOnly(t *testing.T) {
	table := events(t)
	insert(t, table, tick, 1)
	for _, c := range []struct{ name, create string }{
		{"a view", "CREATE VIEW %s AS SELECT Id, At, Amount, Version FROM " + table},
		{"a synonym", "CREATE SYNONYM %s FOR " + table},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			name := fmt.Sprintf("dbo.Behind%d", worlds.Add(1))
			execute(t, fmt.Sprintf(c.create, name))
			w.refused(appending(name, byVersion), 0, "is "+c.name, "["+export.NotABaseTable+"]")
		})
	}
}

func TestOutsideItsHoursTheDatabaseIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	s := spec(pipeline.Source{Table: orders(t, 100)}, ordersDataset)
	now := time.Now().UTC()
	s.Limits.AllowedHours = &pipeline.Hours{From: now.Add(2 * time.Hour).Format("15:04"), To: now.Add(3 * time.Hour).Format("15:04"), TimeZone: "UTC"}
	w.setSecret("{}") // nobody even logs in
	w.run(s, 0, export.OutsideHours)
	w.nothingHappened()
}

func TestWhatIsHiddenFromTheLoginIsNamed(t *testing.T) {
	onlyLocally(t, "login without UNMASK")
	w := newWorld(t)
	table := createTable(t, "Masked", "Id int NOT NULL PRIMARY KEY, Email varchar(50) MASKED WITH (FUNCTION = 'default()') NOT NULL")
	execute(t, "INSERT INTO "+table+" (Id, Email) VALUES (1, 'a@example.com')")
	s := spec(pipeline.Source{Table: table}, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
	w.setSecret(secretText(map[string]any{"username": masked}))
	w.refused(s, 0, "["+export.HiddenData+"]", "Email", "maskedColumns")
	s.Source.Accept = []pipeline.Consent{pipeline.AcceptMasked}
	w.run(s, 0, export.Committed)
	if m := w.committed(); len(m.Source.Accepted) != 1 {
		t.Errorf("the manifest names %v as accepted", m.Source.Accepted)
	}
}

// executions is a distributed map of which it is known whether its executions run.
type executions struct {
	handedOver
	running bool
}

func (x *executions) Running(context.Context, string) (bool, error) { return x.running, nil }
