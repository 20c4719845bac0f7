package export_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

// judged is an append load whose rows have to be of moderate amounts, and not too different from those before.
func judged(table string) pipeline.Spec {
	s := trainable(table)
	s.Quality = &pipeline.Quality{
		Rules: `Rules = [ RowCount > 0, ColumnValues "Amount" < 100, IsPrimaryKey "Id" ]`,
		Drift: &pipeline.Drift{Rows: 2, Nulls: 0.1, Mean: 3},
	}
	return s
}

// addAmounts adds rows, on a connection of its own: one has channels that are of its bubble.
func addAmounts(t *testing.T, table string, amounts ...int) {
	t.Helper()
	var values []string
	for _, amount := range amounts {
		values = append(values, fmt.Sprintf("('2026-01-01', %d)", amount))
	}
	change(t, "INSERT INTO "+table+" (At, Amount) VALUES "+strings.Join(values, ", "))
}

func change(t *testing.T, statement string) {
	t.Helper()
	own, err := sql.Open("sqlserver", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if _, err := own.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func (d *deployment) accept(n int, s *strike) (export.Result, error) {
	d.t.Helper()
	var result export.Result
	err := d.again(s, func(ctx context.Context, e *export.Exporter) (err error) {
		result, err = e.Accept(ctx, export.Event{Command: export.AcceptRun, Run: run.NewID(at(n)), By: "ann", Reason: "a sale"})
		return err
	})
	return result, err
}

// trained are the runs whose files a run's channel train lists.
func (d *deployment) trained(c ledger.Commit) []string {
	d.t.Helper()
	var list []any
	d.must(json.Unmarshal(d.get(c.Channels[manifest.Train].Manifest.Key), &list))
	var runs []string
	for _, file := range list[1:] {
		id, _, _ := strings.Cut(file.(string), "/")
		runs = append(runs, id)
	}
	return runs
}

func (d *deployment) newest() ledger.Commit {
	d.t.Helper()
	l := ledger.New(objects.NewBucket(d.s3.Client(), "data", "", 1), d.spec.Pipeline)
	h, err := l.Head(d.t.Context())
	d.must(err)
	c, err := l.Read(d.t.Context(), *h.Manifest)
	d.must(err)
	return c
}

func (d *deployment) baseline() verdict.Baseline {
	d.t.Helper()
	b, err := verdict.DecodeBaseline(d.get(verdict.BaselineKey("orders")))
	d.must(err)
	return b
}

func (d *deployment) mustTrain(what string, want ...int) {
	d.t.Helper()
	if got := d.trained(d.newest()); !slices.Equal(got, ids(want...)) {
		d.t.Fatalf("%s: the window has %v, want the ticks %v", what, got, want)
	}
}

func TestARejectedIncrementIsNeitherTrainedOnNorLost(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		d := deploy(t, judged(table))
		addAmounts(t, table, 10, 20, 30)
		if got := d.run(at(0), nil); got.Outcome != export.Committed || got.ExecutionARN == "" {
			t.Fatalf("got %+v", got)
		}
		addAmounts(t, table, 500, 20, 600)
		for range 2 { // also when the run is asked for again
			got := d.run(at(1), nil)
			if got.Outcome != export.Rejected || got.ExecutionARN != "" || len(got.Failed) != 2 || got.Failed[0].Name != `ColumnValues "Amount" < 100` ||
				got.Failed[0].Actual != "2 of 3 rows are not so" || !slices.Equal(got.Failed[0].Examples, []string{"500", "600"}) || !strings.HasPrefix(got.Failed[1].Name, "drift of the mean of") {
				t.Fatalf("got %+v", got)
			}
		}
		if d.newest().Run != run.NewID(at(1)) || d.baseline().Run != run.NewID(at(0)) {
			t.Fatalf("the head is at %s, the baseline at %s", d.newest().Run, d.baseline().Run)
		}
		addAmounts(t, table, 15)
		d.run(at(2), nil)
		d.mustTrain("after a rejected run", 0, 2)
		if d.baseline().Run != run.NewID(at(2)) {
			t.Fatalf("the baseline is %+v", d.baseline())
		}

		// It is accepted when a later run is there: no workflow, and no step back of the baseline.
		for range 2 {
			got, err := d.accept(1, nil)
			if err != nil || got.Outcome != export.AlreadyCommitted || got.ExecutionARN != "" || !strings.Contains(got.Detail, "is later") {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
		addAmounts(t, table, 15)
		d.run(at(3), nil)
		d.mustTrain("after the run was accepted", 0, 1, 2, 3)
		if names := slices.Sorted(maps.Keys(d.executions)); !slices.Equal(names, ids(0, 2, 3)) || d.baseline().Run != run.NewID(at(3)) {
			t.Fatalf("executions %v, baseline %s", names, d.baseline().Run)
		}
		d.check(nothing, false, upTo(9)[1:]...)
	})
}

func TestTheNewestRunIsTrainedOnWhenItIsAccepted(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		d := deploy(t, judged(table))
		addAmounts(t, table, 10, 20, 30)
		d.run(at(0), nil)
		addAmounts(t, table, 500)
		d.run(at(1), nil)
		if _, err := d.accept(0, nil); err == nil || !strings.Contains(err.Error(), "was not rejected") {
			t.Fatalf("got %v", err)
		}
		if _, err := d.accept(9, nil); err == nil || !strings.Contains(err.Error(), "there is no committed run") {
			t.Fatalf("got %v", err)
		}
		for range 2 {
			got, err := d.accept(1, nil)
			if err != nil || got.ExecutionARN == "" || got.Failed != nil {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
		if names := slices.Sorted(maps.Keys(d.executions)); !slices.Equal(names, ids(0, 1)) || d.conflicts > 0 || d.baseline().Run != run.NewID(at(1)) {
			t.Fatalf("executions %v, baseline %s", names, d.baseline().Run)
		}
		d.mustTrain("accepted", 0, 1)
		if a, err := verdict.DecodeAcceptance(d.get(verdict.AcceptedKey("orders", run.NewID(at(1))))); err != nil || a.By != "ann" || a.Reason != "a sale" {
			t.Fatalf("got %+v, %v", a, err)
		}
		if again := d.run(at(1), nil); again.Outcome != export.AlreadyCommitted || again.ExecutionARN == "" {
			t.Fatalf("got %+v", again)
		}
	})
}

func TestDriftIsMeasuredFromWhereAPersonSays(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		s := judged(table)
		s.Quality.Rules = ""
		d := deploy(t, s)
		rebase := func() (b verdict.Baseline, err error) {
			err = d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
				b, err = e.RebaseDrift(ctx, export.Event{Command: export.RebaseDrift, By: "ann", Reason: "new prices"})
				return err
			})
			return b, err
		}
		if _, err := rebase(); err == nil || !strings.Contains(err.Error(), "nothing is committed yet") {
			t.Fatalf("got %v", err)
		}
		addAmounts(t, table, 10, 20, 30)
		d.run(at(0), nil)
		addAmounts(t, table, 500, 510, 520)
		if got := d.run(at(1), nil); got.Outcome != export.Rejected || !strings.Contains(got.Failed[0].Actual, "510, which is 60") {
			t.Fatalf("got %+v", got)
		}
		for range 2 {
			if b, err := rebase(); err != nil || b.Run != run.NewID(at(1)) || b.By != "ann" {
				t.Fatalf("got %+v, %v", b, err)
			}
		}
		addAmounts(t, table, 500, 510, 520)
		if got := d.run(at(2), nil); got.Outcome != export.Committed {
			t.Fatalf("got %+v", got)
		}
		// The run itself stays out.
		d.mustTrain("after a new baseline", 0, 2)

		d.spec.Quality = nil
		addAmounts(t, table, 500)
		if got := d.run(at(3), nil); got.Outcome != export.Committed || d.newest().Verdict != nil || d.newest().Statistics != nil {
			t.Fatalf("got %+v", got)
		}
		if _, err := rebase(); err == nil || !strings.Contains(err.Error(), "quality.drift was not set") {
			t.Fatalf("got %v", err)
		}
	})
}

func TestANewGenerationHasNoBaselineAndTakesNoRunOfTheOneBefore(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		d := deploy(t, judged(table))
		addAmounts(t, table, 10, 20, 30)
		d.run(at(-1), nil)
		addAmounts(t, table, 500)
		d.run(at(0), nil)
		d.must(d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Rebaseline(ctx, export.Event{Command: export.RebaselinePipeline, By: "ann", Reason: "another table"})
			return err
		}))
		if got, err := d.accept(0, nil); err == nil || !strings.Contains(err.Error(), "is of generation 1, and the pipeline is at 2") || len(d.executions) != 1 {
			t.Fatalf("got %+v, %v", got, err)
		}
		// The new generation reads everything again, and what was too large has been put right.
		change(t, "DELETE FROM "+table+" WHERE Amount > 100")
		addAmounts(t, table, 95, 95, 95, 95, 95, 95, 95)
		got := d.run(at(1), nil)
		v, err := verdict.Decode(d.get(verdict.Key("orders", run.NewID(at(1)))))
		if err != nil || got.Outcome != export.Committed || v.Baseline != "" || len(v.Notes) != 1 || d.baseline().Generation != 2 {
			t.Fatalf("got %+v, %+v, %v", got, v, err)
		}
	})
}

// A run is judged by the rules of its plan: what is deployed while it is read doesn't count rows for two sets of rules.
func TestARunIsJudgedByTheRulesThatItWasPlannedWith(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		addAmounts(t, table, 500)
		d := deploy(t, judged(table))
		// The first attempt dies when it has read the rows.
		p := d.process(nil)
		p.client.Before = func(c memory.Call) memory.Fault {
			if strings.HasSuffix(c.Key, "verdict.json") {
				return memory.CrashBefore
			}
			return 0
		}
		if err := p.invoke(func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Run(ctx, event(at(0)), "first")
			return err
		}); err == nil {
			t.Fatal("the first attempt didn't die")
		}
		d.spec.Quality = &pipeline.Quality{Rules: `Rules = [ ColumnValues "Amount" < 1000 ]`}
		if got := d.run(at(0), nil); got.Outcome != export.Rejected || got.Failed[0].Name != `ColumnValues "Amount" < 100` {
			t.Fatalf("got %+v", got)
		}
		addAmounts(t, table, 500)
		if got := d.run(at(1), nil); got.Outcome != export.Committed {
			t.Fatalf("got %+v", got)
		}
		d.mustTrain("under other rules", 1)
	})
}

// A verdict stands once it is written: an attempt that comes later takes it, whatever the baseline is by then.
func TestAVerdictIsMadeOnce(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		d := deploy(t, judged(table))
		addAmounts(t, table, 10, 20, 30)
		d.run(at(0), nil)
		addAmounts(t, table, 90, 91)
		p := d.process(nil)
		p.client.Before = func(c memory.Call) memory.Fault {
			if strings.HasSuffix(c.Key, "window.json") && c.Operation == "PutObject" {
				return memory.CrashBefore
			}
			return 0
		}
		if err := p.invoke(func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Run(ctx, event(at(1)), "first")
			return err
		}); !errors.Is(err, memory.ErrCrashed) {
			t.Fatalf("got %v", err)
		}
		first := d.get(verdict.Key("orders", run.NewID(at(1))))
		d.must(d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
			return e.Bucket.Delete(ctx, verdict.BaselineKey("orders"))
		}))
		if got := d.run(at(1), nil); got.Outcome != export.Rejected {
			t.Fatalf("got %+v", got)
		}
		if again := d.get(verdict.Key("orders", run.NewID(at(1)))); string(again) != string(first) {
			t.Fatalf("the verdict was\n%s\nand is\n%s", first, again)
		}
	})
}

// What an attempt with another dataset judged, and didn't commit, says nothing of the run.
func TestARunThatIsPlannedAnewIsJudgedAnew(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		d := deploy(t, judged(table))
		addAmounts(t, table, 500)
		p := d.process(nil)
		p.client.Before = func(c memory.Call) memory.Fault {
			if strings.HasSuffix(c.Key, "window.json") {
				return memory.CrashBefore
			}
			return 0
		}
		if err := p.invoke(func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Run(ctx, event(at(0)), "first")
			return err
		}); !errors.Is(err, memory.ErrCrashed) {
			t.Fatalf("got %v", err)
		}
		change(t, "UPDATE "+table+" SET Amount = 50")
		d.spec.Dataset.Split.Salt = "another"
		if got := d.run(at(0), nil); got.Outcome != export.Committed {
			t.Fatalf("got %+v", got)
		}
		v, err := verdict.Decode(d.get(verdict.Key("orders", run.NewID(at(0)))))
		if c := d.newest(); err != nil || v.Decision != verdict.Accepted || v.PlanETag != c.Plan.ETag {
			t.Fatalf("got %+v, %v of %+v", v, err, c.Plan)
		}
	})
}

// Two attempts at a run judge it at one time: one verdict is written, and both go by it.
func TestTwoAttemptsHaveOneVerdict(t *testing.T) {
	everyStep(t, load{name: "judged", prepare: func(t *testing.T) scenario { return scenario{spec: judged(labelled(t))} }}, 0, func(t *testing.T, begin scenario, s *strike) {
		reached, resume := make(chan struct{}), make(chan struct{})
		s.do = func() {
			close(reached)
			<-resume
		}
		d := begin.deploy(t)
		addAmounts(t, begin.spec.Source.Table, 500, 40)
		var late, other export.Result
		ended := make(chan error, 1)
		go func() {
			ended <- d.process(s).invoke(func(ctx context.Context, e *export.Exporter) (err error) {
				late, err = e.Run(ctx, event(at(0)), "zombie")
				return err
			})
		}()
		select {
		case <-reached:
			other = d.run(at(0), nil)
			close(resume)
			d.must(<-ended)
		case err := <-ended:
			d.must(err)
			other = d.run(at(0), nil)
		}
		if late.Outcome != export.Rejected || other.Outcome != export.Rejected || len(d.executions) > 0 {
			t.Fatalf("%s: %+v and %+v", s, late, other)
		}
		c := d.check(s, false, 1, 2)[0]
		stored, err := objects.NewBucket(d.s3.Client(), "data", "", 1).Read(t.Context(), verdict.Key("orders", c.Run))
		if err != nil || stored.VersionID != c.Verdict.VersionID {
			t.Fatalf("%s: the manifest names version %s of the verdict, and %s is there, %v", s, c.Verdict.VersionID, stored.VersionID, err)
		}
	})
}

func TestARejectedRunWithoutRowsToTestOnIsRejectedAllTheSame(t *testing.T) {
	table := labelled(t)
	bubble(t, func(t *testing.T) {
		s := judged(table)
		s.Dataset.Split = pipeline.Split{Train: 0.5, Test: 0.5, Salt: "test"}
		s.Quality = &pipeline.Quality{Rules: "Rules = [ RowCount > 10 ]"}
		d := deploy(t, s)
		addAmounts(t, table, 10)
		if got := d.run(at(0), nil); got.Outcome != export.Rejected {
			t.Fatalf("got %+v", got)
		}
		for range 2 {
			if got, err := d.accept(0, nil); err != nil || got.ExecutionARN != "" || !strings.Contains(got.Detail, "without a row") {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
		addAmounts(t, table, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
		if got := d.run(at(1), nil); got.ExecutionARN == "" {
			t.Fatalf("got %+v", got)
		}
		var rows int64
		for _, c := range d.newest().Channels {
			rows += c.Rows
		}
		if rows != 13 {
			t.Fatalf("it trains on %d rows", rows)
		}
	})
}

// The segments of several functions are counted once each, whichever of them die.
func TestAJudgedRunInSegmentsOfSeveralFunctions(t *testing.T) {
	table := orders(t, 60)
	prepare := func(*testing.T) scenario {
		s := spec(pipeline.Source{Table: table, PartitionBy: "Id"}, ordersDataset)
		s.Limits.PageRows, s.Limits.PartitionRows = 10, 31
		s.Quality = &pipeline.Quality{
			Rules: `Rules = [ RowCount = 60, IsPrimaryKey "Id", Sum "Amount" = 1787.7, Completeness "Score" between 0.66 and 0.67, ColumnValues "Amount" <= 59.59, Uniqueness "Amount" = 1.0 ]`,
			Drift: &pipeline.Drift{Rows: 0.1, Nulls: 0.1, Mean: 0.1, PSI: 0.1},
		}
		return scenario{spec: s, functionTime: 2 * time.Minute, statementTime: 35 * time.Second, each: true, want: upTo(60), ticks: 1}
	}
	for _, fault := range []memory.Fault{memory.CrashBefore, memory.CrashAfter, memory.ReplyLost} {
		t.Run(fault.String(), func(t *testing.T) {
			everyStep(t, load{name: "judged", prepare: prepare}, fault, func(t *testing.T, begin scenario, s *strike) {
				d := begin.deploy(t)
				result := d.run(tick, s)
				d.s3.Arrive()
				c := d.check(s, true, upTo(60)...)[0]
				v, err := verdict.Decode(d.get(verdict.Key("orders", tickID)))
				d.must(err)
				if result.Outcome == export.Rejected || c.Rejected || len(v.Failed()) > 0 || len(v.Rules) != 6 || v.Rows != 60 || len(d.executions) != 1 || d.baseline().Run != tickID {
					t.Fatalf("%s: %+v, %+v", s, result, v)
				}
			})
		})
	}
}

// Whatever breaks while a run is judged and rejected, and while it is accepted: it has one verdict, one acceptance, and one execution after it and none before.
func TestWhateverBreaksARejectedRunIsTrainedOnOnlyWhenItIsAccepted(t *testing.T) {
	for _, fault := range []memory.Fault{memory.CrashBefore, memory.CrashAfter, memory.ReplyLost, memory.Late} {
		t.Run(fault.String(), func(t *testing.T) {
			everyStep(t, load{name: "rejected", prepare: func(t *testing.T) scenario { return scenario{spec: judged(labelled(t))} }}, fault, func(t *testing.T, begin scenario, s *strike) {
				d := begin.deploy(t)
				addAmounts(t, begin.spec.Source.Table, 10, 20, 30)
				d.run(at(0), nil)
				addAmounts(t, begin.spec.Source.Table, 500, 40)
				if got := d.run(at(1), s); got.Outcome != export.Rejected || len(got.Failed) == 0 || len(d.executions) != 1 {
					t.Fatalf("%s: %+v, %d executions", s, got, len(d.executions))
				}
				d.s3.Arrive()
				if d.baseline().Run != run.NewID(at(0)) {
					t.Fatalf("%s: the baseline is %s", s, d.baseline().Run)
				}
				if got, err := d.accept(1, s); err != nil || got.ExecutionARN == "" || len(d.executions) != 2 || d.conflicts > 0 {
					t.Fatalf("%s: %+v, %v", s, got, err)
				}
				d.s3.Arrive()
				if d.baseline().Run != run.NewID(at(1)) {
					t.Fatalf("%s: the baseline is %s", s, d.baseline().Run)
				}
				d.check(s, false, upTo(6)[1:]...)
				d.mustTrain(s.String(), 0, 1)
			})
		})
	}
}

// What the next run is compared with is what an independent reader computes of the run's files.
func TestStatisticsAreThoseOfTheFiles(t *testing.T) {
	w := newWorld(t)
	s := spec(pipeline.Source{Table: orders(t, 2000), PartitionBy: "Id"}, ordersDataset)
	s.Limits.PageRows, s.Limits.PartitionRows, s.Limits.Connections = 100, 700, 2
	s.Quality = &pipeline.Quality{
		Rules: `Rules = [ StandardDeviation "Amount" > 1000000, Uniqueness "Amount" = 2, Uniqueness "Score" = 2, ColumnValues "Score" > 100 ]`,
		Drift: &pipeline.Drift{Nulls: 0.1, Mean: 1, PSI: 1},
	}
	result := w.run(s, 0, export.Rejected)
	m := w.committed()
	body, err := w.get(m.Statistics.Key)
	w.must(err)
	got, err := verdict.DecodeStatistics(body)
	w.must(err)
	for _, c := range got.Columns {
		value := c.Name
		if c.Name == "Express" || c.Name == "Returned" {
			value += "::int"
		}
		row := w.duckdb(m, fmt.Sprintf("SELECT count(*) - count(%[1]s), avg(%[2]s::double), stddev_pop(%[2]s::double) FROM files", c.Name, value))[0]
		var nulls int64
		var mean, deviation float64
		if _, err := fmt.Sscan(strings.Join(row, " "), &nulls, &mean, &deviation); err != nil {
			t.Fatal(err)
		}
		if c.Nulls != nulls || math.Abs(*c.Mean-mean) > 1e-9*math.Abs(mean) || math.Abs(*c.Deviation-deviation) > 1e-9*deviation {
			t.Errorf("%s: %d NULLs, %v ± %v; in the files %v", c.Name, c.Nulls, *c.Mean, *c.Deviation, row)
		}
		if c.Categories != nil {
			for _, row := range w.duckdb(m, fmt.Sprintf("SELECT %s, count(*) FROM files GROUP BY 1", value)) {
				if fmt.Sprint(c.Categories[row[0]]) != row[1] {
					t.Errorf("%s: %v, in the files %v", c.Name, c.Categories, row)
				}
			}
		}
	}
	once := func(column string) string {
		return w.duckdb(m, fmt.Sprintf("SELECT coalesce(sum(n) FILTER (n > 1), 0)::int || ' of ' || sum(n)::int || ' rows' FROM (SELECT count(*) AS n FROM files WHERE %[1]s IS NOT NULL GROUP BY %[1]s)", column))[0][0]
	}
	low := w.duckdb(m, "SELECT (count(*) - count(*) FILTER (Score > 100))::text || ' of ' || count(*) || ' rows are not so, ' || (count(*) - count(Score)) || ' of them' FROM files")[0][0]
	for i, want := range []string{"", once("Amount"), once("Score"), low} {
		if !strings.Contains(result.Failed[i].Actual, want) {
			t.Errorf("%+v, in the files %s", result.Failed[i], want)
		}
	}
	if len(got.Columns) != 4 || len(result.Failed) != 4 {
		t.Errorf("got %+v, %+v", got, result)
	}
}
