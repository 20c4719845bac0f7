package export_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// deployment is a pipeline as AWS runs it: functions that are invoked again when they fail, a distributed map, a workflow, a bucket. The
// database is the local SQL Server over TDS; the bucket is in memory and the clock is a bubble's, so that each call of a run can be struck by a
// fault and nobody waits.
type deployment struct {
	t    *testing.T
	spec pipeline.Spec
	s3   *memory.S3
	// secret of the database; nil: the reader's.
	secret export.Secret
	// functionTime is what Lambda gives a function; 0: no limit. statementTime and rowTime are how long a statement and a row take.
	functionTime, statementTime, rowTime time.Duration

	mu sync.Mutex
	// executions of the workflow and of the map: their inputs, by name.
	executions, maps map[string][]byte
	// conflicts counts executions that were started again with another input.
	conflicts int
	// invoked counts the functions, connections are those that are open, statements those that read rows.
	invoked, connections, statements, rowsRead int
}

func deploy(t *testing.T, s pipeline.Spec) *deployment {
	return &deployment{t: t, spec: s, s3: memory.New(), executions: map[string][]byte{}, maps: map[string][]byte{}}
}

// strike is a fault at one step of a run, counted over all functions that work at it.
type strike struct {
	at    int
	fault memory.Fault
	// do, if it is set, is done at the step instead.
	do func()
	// among are parts of what the steps that count are called; none: each counts.
	among []string

	mu    sync.Mutex
	steps int
	where string
}

// struck says whether the run had as many steps.
func (s *strike) struck() bool { return s.steps > s.at }

func (s *strike) step(what string) memory.Fault {
	if s == nil || len(s.among) > 0 && !slices.ContainsFunc(s.among, func(part string) bool { return strings.Contains(what, part) }) {
		return 0
	}
	s.mu.Lock()
	now := s.steps == s.at
	s.steps++
	if now {
		s.where = what
	}
	s.mu.Unlock()
	if now && s.do != nil {
		s.do()
	}
	if now {
		return s.fault
	}
	return 0
}

// process is one invocation of the function.
type process struct {
	*deployment
	strike *strike
	client *memory.Client
	mu     sync.Mutex
	gone   bool
}

func (d *deployment) process(s *strike) *process {
	p := &process{deployment: d, strike: s, client: d.s3.Client()}
	p.client.Before = func(c memory.Call) memory.Fault { return p.step(c.Operation + " " + c.Key) }
	return p
}

func (p *process) step(what string) memory.Fault {
	f := p.strike.step(what)
	if f == memory.CrashBefore || f == memory.CrashAfter {
		p.mu.Lock()
		p.gone = true
		p.mu.Unlock()
	}
	return f
}

func (p *process) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

func (p *process) exporter() *export.Exporter {
	secret := p.secret
	if secret == nil {
		secret = fixedSecret(secretText(nil))
	}
	source := export.Server{Spec: p.spec, Secret: secret}
	e := &export.Exporter{
		Spec: p.spec, Bucket: objects.NewBucket(p.client, "data", "", export.Streams(p.spec)),
		Database: watched{source, p.deployment}, HashKey: source.HashKey, Log: slog.New(slog.DiscardHandler),
		Workflow: machine{p, p.executions}, Map: machine{p, p.maps},
	}
	return e
}

type fixedSecret string

func (f fixedSecret) Text(context.Context) ([]byte, error) { return []byte(f), nil }

// invoke is one invocation: its own client, its own time.
func (p *process) invoke(call func(context.Context, *export.Exporter) error) error {
	ctx := p.t.Context()
	if p.functionTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.functionTime)
		defer cancel()
	}
	p.count(&p.invoked, 1)
	err := call(ctx, p.exporter())
	if p.isGone() {
		return memory.ErrCrashed // whatever it would have answered
	}
	return err
}

// machine is Step Functions: an execution's name is taken once.
type machine struct {
	*process
	taken map[string][]byte
}

var errReplyLost = errors.New("the answer of Step Functions was lost")

func (m machine) Start(_ context.Context, name string, input []byte) (string, error) {
	if m.isGone() {
		return "", memory.ErrCrashed
	}
	fault := m.step("StartExecution " + name)
	switch fault {
	case memory.Throttled, memory.Lost, memory.Late, memory.CrashBefore:
		return "", errReplyLost
	}
	m.deployment.mu.Lock()
	defer m.deployment.mu.Unlock()
	if was, there := m.taken[name]; there && !bytes.Equal(was, input) {
		m.conflicts++
	}
	if _, there := m.taken[name]; !there {
		m.taken[name] = input
	}
	if fault == memory.ReplyLost || fault == memory.CrashAfter {
		return "", errReplyLost
	}
	return "arn:" + name, nil
}

func (m machine) StartOrFind(ctx context.Context, name string, input []byte) (string, error) {
	m.deployment.mu.Lock()
	_, there := m.taken[name]
	m.deployment.mu.Unlock()
	if there {
		return "arn:" + name, nil
	}
	return m.Start(ctx, name, input)
}

// invocations is how often Lambda, Step Functions and a person invoke a function that fails.
const invocations = 4

func (d *deployment) again(s *strike, call func(context.Context, *export.Exporter) error) error {
	var err error
	for range invocations {
		if err = d.process(s).invoke(call); err == nil {
			return nil
		}
	}
	return err
}

// run makes the run of a tick as AWS would, under a strike.
func (d *deployment) run(at time.Time, s *strike) export.Result {
	d.t.Helper()
	var result export.Result
	if err := d.again(s, func(ctx context.Context, e *export.Exporter) (err error) {
		result, err = e.Run(ctx, event(at), "request")
		return err
	}); err != nil {
		d.t.Fatalf("%s: %v", s, err)
	}
	if result.Outcome != export.HandedOver {
		return result
	}
	for _, name := range slices.Sorted(maps.Keys(d.maps)) {
		var input struct {
			Run  run.ID
			Plan export.PlanRef
			Open struct{ Key string }
		}
		d.must(json.Unmarshal(d.maps[name], &input))
		if input.Run != run.NewID(at) {
			continue
		}
		var open []struct{ Partition string }
		d.must(json.Unmarshal(d.get(input.Open.Key), &open))
		for _, one := range open {
			for done := false; !done; {
				d.must(d.again(s, func(ctx context.Context, e *export.Exporter) error {
					progress, err := e.Partition(ctx, input.Plan, one.Partition, "child")
					done = progress.Done
					return err
				}))
			}
		}
		d.must(d.again(s, func(ctx context.Context, e *export.Exporter) (err error) {
			result, err = e.Commit(ctx, input.Plan, "commit")
			return err
		}))
	}
	return result
}

func (s *strike) String() string {
	if s == nil {
		return "without a fault"
	}
	return fmt.Sprintf("%s at step %d, %s", s.fault, s.at, s.where)
}

func (d *deployment) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) get(key string) []byte {
	d.t.Helper()
	stored, err := objects.NewBucket(d.s3.Client(), "data", "", 1).Read(d.t.Context(), key)
	d.must(err)
	return stored.Body
}

// check asserts what holds whatever happened: the head's chain has each run once, each object of it is there as its manifest says, the counts agree,
// and the runs hold the rows that are wanted, each once. It gives the commits, the newest first.
func (d *deployment) check(what fmt.Stringer, each bool, want ...int32) []ledger.Commit {
	d.t.Helper()
	bucket := objects.NewBucket(d.s3.Client(), "data", "", 1)
	l := ledger.New(bucket, d.spec.Pipeline)
	h, err := l.Head(d.t.Context())
	d.must(err)
	var chain []ledger.Commit
	runs := map[run.ID]bool{}
	var ids []int32
	for ref := h.Manifest; ref != nil; {
		c, err := l.Read(d.t.Context(), *ref)
		d.must(err)
		if runs[c.Run] {
			d.t.Fatalf("%s: run %s is committed twice", what, c.Run)
		}
		runs[c.Run] = true
		chain = append(chain, c)
		if err := c.Counts.Check(len(c.Channels) > 0); err != nil {
			d.t.Fatalf("%s: %v", what, err)
		}
		for _, o := range c.Objects() {
			if stored, err := bucket.ReadVersion(d.t.Context(), o.Key, o.VersionID); err != nil || int64(len(stored.Body)) != o.Bytes {
				d.t.Fatalf("%s: %s has %d bytes, %v", what, o.Key, len(stored.Body), err)
			}
		}
		own, lines := d.ids(c)
		if int64(len(own)) != c.Rows || len(c.Channels) > 0 && lines != c.Rows-c.Counts.Skipped {
			d.t.Fatalf("%s: %d rows and %d lines of %d", what, len(own), lines, c.Rows)
		}
		if each {
			d.same(what, own, want)
		}
		ids = append(ids, own...)
		ref = c.Parent
	}
	if h.Moves != int64(len(chain)) {
		d.t.Fatalf("%s: the head moved %d times for %d commits", what, h.Moves, len(chain))
	}
	if !each {
		d.same(what, ids, want)
	}
	if d.conflicts > 0 {
		d.t.Fatalf("%s: an execution was started with two inputs", what)
	}
	if d.connections != 0 {
		d.t.Fatalf("%s: %d connections are open", what, d.connections)
	}
	return chain
}

func (d *deployment) same(what fmt.Stringer, got, want []int32) {
	d.t.Helper()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		d.t.Fatalf("%s: there are the rows %v\nwant %v", what, got, want)
	}
}

// ids gives the first column of a run's Parquet files, and how many lines its own channel files have.
func (d *deployment) ids(c ledger.Commit) (ids []int32, lines int64) {
	d.t.Helper()
	for _, f := range c.Files {
		body := d.get(f.Key)
		if f.Channel == manifest.Batch {
			continue
		}
		if f.Format != "parquet" {
			lines += int64(bytes.Count(body, []byte("\n")))
			continue
		}
		r, err := file.NewParquetReader(bytes.NewReader(body))
		d.must(err)
		for g := range r.NumRowGroups() {
			column, err := r.RowGroup(g).Column(0)
			d.must(err)
			n := r.RowGroup(g).NumRows()
			values, levels := make([]int32, n), make([]int16, n)
			_, _, err = column.(*file.Int32ColumnChunkReader).ReadBatch(n, values, levels, nil)
			d.must(err)
			ids = append(ids, values...)
		}
		d.must(r.Close())
	}
	return ids, lines
}

// watched counts what a function does with the database, and lets it take its time.
type watched struct {
	export.Database
	*deployment
}

func (w watched) Connect(ctx context.Context, id run.ID) (export.Session, error) {
	s, err := w.Database.Connect(ctx, id)
	if err != nil {
		return nil, err
	}
	w.count(&w.connections, 1)
	return watchedSession{s, w.deployment}, nil
}

func (d *deployment) count(n *int, by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*n += by
}

type watchedSession struct {
	export.Session
	*deployment
}

func (w watchedSession) Read(ctx context.Context, r export.Reading) (export.Rows, error) {
	w.count(&w.statements, 1)
	rows, err := w.Session.Read(ctx, r)
	time.Sleep(w.statementTime)
	return watchedRows{rows, w.deployment}, err
}

func (w watchedSession) Close() error {
	w.count(&w.connections, -1)
	return w.Session.Close()
}

type watchedRows struct {
	export.Rows
	*deployment
}

func (w watchedRows) Next() ([]any, error) {
	time.Sleep(w.rowTime)
	row, err := w.Rows.Next()
	if err == nil {
		w.count(&w.rowsRead, 1)
	}
	return row, err
}

var warm sync.Once

// bubble runs a test with a clock of its own, which begins at the time of day: certificates have one too.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	bubbleAt(t, time.Now(), test)
}

func bubbleAt(t *testing.T, now time.Time, test func(t *testing.T)) {
	t.Helper()
	onlyLocally(t, "faults on order")
	warm.Do(func() {
		// What the whole process shares is made outside of all bubbles.
		d := deploy(t, spec(pipeline.Source{Table: orders(t, 60)}, ordersDataset))
		d.run(tick, nil)
		d.check(nothing, true, upTo(60)...)
	})
	// Encoders in pools have channels of the bubble that made them: after two collections the pools are empty.
	defer func() {
		runtime.GC()
		runtime.GC()
	}()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now.Round(0)))
		test(t)
	})
}

var nothing *strike

// upTo gives 0 to n-1.
func upTo(n int32) []int32 {
	var all []int32
	for i := range n {
		all = append(all, i)
	}
	return all
}

// load is a kind of load.
type load struct {
	name string
	// faults are those that each step is struck by: all of them for the simplest load, and for another one those that its own steps add to.
	faults []memory.Fault
	// prepare makes its table, where it needs one of its own.
	prepare func(t *testing.T) scenario
}

// scenario is a deployment with its rows.
type scenario struct {
	spec                        pipeline.Spec
	functionTime, statementTime time.Duration
	// each says that each run holds all rows; otherwise all runs together do.
	each bool
	want []int32
	// ticks is how many there are.
	ticks int
	// add adds the rows that come after the first tick; nil: none.
	add func(t *testing.T)
}

func (b scenario) deploy(t *testing.T) *deployment {
	d := deploy(t, b.spec)
	d.functionTime, d.statementTime = b.functionTime, b.statementTime
	return d
}

// addEvents adds rows to a table of events, in one statement, on a connection of its own: one has channels that are of its bubble.
func addEvents(t *testing.T, table string, at time.Time, n int) {
	t.Helper()
	own, err := sql.Open("sqlserver", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if _, err := own.ExecContext(t.Context(), "INSERT INTO "+table+" (At, Amount) VALUES "+strings.Join(slices.Repeat([]string{fmt.Sprintf("('%s', 1)", at.Format("2006-01-02T15:04:05"))}, n), ", ")); err != nil {
		t.Fatal(err)
	}
}

// loads are the kinds of loads. Their first rows are there before the first tick.
func loads(t *testing.T) []load {
	onlyLocally(t, "faults on order")
	table := orders(t, 60)
	timed := events(t)
	addEvents(t, timed, at(-1), 3)
	addEvents(t, timed, at(0), 2)
	return []load{
		{"full", memory.Faults, func(*testing.T) scenario {
			return scenario{spec: spec(pipeline.Source{Table: table}, ordersDataset), each: true, want: upTo(60), ticks: 1}
		}},
		{"full in one snapshot", nil, func(*testing.T) scenario {
			return scenario{spec: spec(pipeline.Source{Table: table, Consistency: pipeline.Snapshot}, ordersDataset), each: true, want: upTo(60), ticks: 1}
		}},
		{"full in segments of several functions", []memory.Fault{memory.CrashBefore, memory.CrashAfter, memory.Late}, func(*testing.T) scenario {
			s := spec(pipeline.Source{Table: table, PartitionBy: "Id"}, ordersDataset)
			s.Limits.PageRows, s.Limits.PartitionRows = 10, 31
			return scenario{spec: s, functionTime: 2 * time.Minute, statementTime: 35 * time.Second, each: true, want: upTo(60), ticks: 1}
		}},
		{"append by rowversion", []memory.Fault{memory.CrashBefore, memory.CrashAfter}, func(t *testing.T) scenario {
			table := events(t)
			addEvents(t, table, tick, 3)
			return scenario{spec: appending(table, byVersion), want: upTo(6)[1:], ticks: 2, add: func(t *testing.T) { addEvents(t, table, tick, 2) }}
		}},
		{"append by time with an overlap", []memory.Fault{memory.CrashBefore, memory.CrashAfter, memory.Late, memory.CutBody}, func(*testing.T) scenario {
			s := appending(timed, pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "At", Overlap: 3600})
			return scenario{spec: s, want: upTo(6)[1:], ticks: 2}
		}},
	}
}

// everyStep runs a test for each step of what it does, until it has no such step.
func everyStep(t *testing.T, load load, fault memory.Fault, test func(t *testing.T, at scenario, s *strike)) {
	t.Helper()
	s := &strike{steps: 1, fault: fault}
	for n := 0; s.struck(); n++ {
		s = &strike{at: n, fault: fault}
		ok := t.Run(fmt.Sprintf("step %d", n), func(t *testing.T) {
			begin := load.prepare(t)
			bubble(t, func(t *testing.T) { test(t, begin, s) })
		})
		if !ok {
			return
		}
	}
	if s.at < 15 {
		t.Errorf("there are %d steps only", s.at)
	}
	t.Logf("%d steps", s.at)
}

func TestWhateverHappensToACallOfS3EachRunIsCommittedOnce(t *testing.T) {
	for _, load := range loads(t) {
		for _, fault := range load.faults {
			t.Run(load.name+", "+fault.String(), func(t *testing.T) {
				everyStep(t, load, fault, func(t *testing.T, begin scenario, s *strike) {
					d := begin.deploy(t)
					d.run(tick, s)
					if begin.add != nil {
						begin.add(t)
					}
					for n := range begin.ticks - 1 {
						d.run(at(n+1), s)
					}
					d.s3.Arrive() // what was held back until everything is over
					chain := d.check(s, begin.each, begin.want...)
					if again := d.run(chain[0].Run.Time(), nil); again.Outcome != export.AlreadyCommitted || len(chain) != begin.ticks {
						t.Fatalf("%s: %d commits, then %+v", s, len(chain), again)
					}
					if d.check(s, begin.each, begin.want...); len(d.executions) != begin.ticks {
						t.Fatalf("%s: executions %v", s, d.executions)
					}
					if m := chain[0].Plan; begin.functionTime > 0 && m.Segments <= m.Partitions {
						t.Fatalf("%s: %d segments of %d partitions", s, m.Segments, m.Partitions)
					}
				})
			})
		}
	}
}

// A function that Lambda gave up, and that wakes when another attempt has committed the run or the run after it. Two runs at once are the same.
func TestAZombieThatGoesOnAfterTheCommitChangesNothing(t *testing.T) {
	for i, load := range loads(t) {
		if i == 1 {
			continue // a snapshot's steps in S3 are those of the first
		}
		for n, meanwhile := range []string{"another attempt makes the run", "the next run is made"} {
			t.Run(load.name+", "+meanwhile, func(t *testing.T) {
				everyStep(t, load, 0, func(t *testing.T, begin scenario, s *strike) {
					reached, resume := make(chan struct{}), make(chan struct{})
					s.do = func() {
						close(reached)
						<-resume
					}
					d := begin.deploy(t)
					d.functionTime = 0
					var late export.Result
					ended := make(chan error, 1)
					go func() {
						ended <- d.process(s).invoke(func(ctx context.Context, e *export.Exporter) (err error) {
							late, err = e.Run(ctx, event(at(0)), "zombie")
							return err
						})
					}()
					var err error
					select {
					case <-reached:
						d.run(at(n), nil)
						close(resume)
						err = <-ended
					case err = <-ended:
						d.run(at(n), nil)
					}
					d.must(err)
					if n == 0 && late.Outcome != export.Committed && late.Outcome != export.AlreadyCommitted {
						t.Fatalf("%s: the zombie answered %+v", s, late)
					}
					if begin.add != nil {
						begin.add(t)
					}
					d.run(at(2), nil)
					chain := d.check(s, begin.each, begin.want...)
					for i, c := range chain[1:] {
						if next := chain[i]; c.Load == string(pipeline.Append) && (c.Run > next.Run || c.Bounds.To != cmp.Or(next.Bounds.Overlap, next.Bounds.From)) {
							t.Fatalf("%s: after run %s to %s comes %s from %s", s, c.Run, c.Bounds.To, next.Run, next.Bounds.From)
						}
					}
				})
			})
		}
	}
}
