package histories

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

const orders = "orders"

// draws decides what happens: rapid's, which shrinks, or chance alone.
type draws interface {
	// between gives a number from low to high.
	between(low, high int, what string) int
}

type chance struct{ *rand.Rand }

func (c chance) between(low, high int, _ string) int { return low + c.IntN(high-low+1) }

// doubles stand in the place of a part, with a fault planted.
type doubles struct {
	database func(h *history, d database) export.Database
	api      func(h *history, c *memory.Client) objects.API
	// child is called when a function of the distributed map has read its partition.
	child func(e *export.Exporter, ref export.PlanRef) error
}

// history is one world: a database, a bucket, and functions that are invoked by a schedule which isn't always exact.
type history struct {
	draws
	kind    kind
	doubles doubles

	server *server
	store  *memory.S3
	turns  memory.Turns
	chance *rand.Rand
	spec   pipeline.Spec
	nextID int64
	round  int

	processes []*process
	handed    []*execution
	// began and moved are the moments of the database when a run was first begun, and when it was committed.
	began, moved map[run.ID]int
	heads        int
	// bounds are what a planted filter compares with.
	bounds map[run.ID]uint64
	trace  []string
}

// process is one invocation of the function.
type process struct {
	n      int
	event  export.Event
	client *memory.Client
	// crashAt is the step before which it dies, stallAt the one before which it is left behind until it is woken; -1: none.
	crashAt, stallAt int
	faults           map[int]memory.Fault
	steps            int
	cut              int64 // before which row of the next statement its connection breaks
	crashed, done    bool
	stalled          bool
	outcome          export.Outcome
	progress         export.Progress
	err              error
}

// execution is a run that was handed to the distributed map.
type execution struct {
	name  string
	ref   export.PlanRef
	open  string // the key of the list of partitions
	ended bool
}

// kind is which load and isolation a history is of.
type kind struct {
	load      pipeline.Load
	cursor    pipeline.CursorKind
	pages     bool
	snapshot  bool
	isolation isolation
	// overlap of a cursor that needs one.
	overlap int64
	// restores: the database is restored now and then.
	restores bool
	// channels: the runs train a model on a window.
	channels bool
	// children: exports are handed to the distributed map.
	children bool
}

func (k kind) String() string {
	name := string(k.load)
	if k.cursor != "" {
		name += " by " + string(k.cursor)
	}
	if k.overlap > 0 {
		name += fmt.Sprintf(" with an overlap of %d", k.overlap)
	}
	for _, word := range []struct {
		is   bool
		text string
	}{{k.pages, "in pages"}, {k.snapshot, "of a snapshot"}, {k.isolation == locking, "locking"}, {k.isolation == versioning, "versioning"}, {k.restores, "restored"}, {k.channels, "with channels"}, {k.children, "with children"}} {
		if word.is {
			name += ", " + word.text
		}
	}
	return name
}

func newHistory(d draws, k kind, doubles doubles) *history {
	h := &history{
		draws: d, kind: k, doubles: doubles, server: newServer(k.isolation), store: memory.New(),
		chance: rand.New(rand.NewPCG(uint64(d.between(0, 1<<30, "order")), 1)),
		began:  map[run.ID]int{}, moved: map[run.ID]int{}, bounds: map[run.ID]uint64{},
	}
	h.spec = pipeline.Spec{
		Version: pipeline.Version, Project: "ml", Environment: "test", Pipeline: orders,
		Source:  pipeline.Source{Table: "dbo.Orders", Load: k.load, Consistency: pipeline.Statement, OnChange: pipeline.NewGeneration},
		Dataset: pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}},
		Limits:  pipeline.Limits{Connections: 1, PageRows: 3, PartitionRows: 4},
	}
	if k.restores && d.between(0, 1, "policy") == 0 {
		h.spec.Source.OnChange = pipeline.FailOnChange
	}
	if k.cursor != "" {
		column := map[pipeline.CursorKind]string{pipeline.RowversionCursor: "Version", pipeline.IdentityCursor: "Id", pipeline.TimeCursor: "At"}[k.cursor]
		h.spec.Source.Cursor = &pipeline.Cursor{Kind: k.cursor, Column: column, Overlap: k.overlap}
	}
	if k.channels {
		h.spec.Dataset = pipeline.Dataset{
			Format: pipeline.CSV, Task: pipeline.Regression, Key: []string{"Id"}, Label: "Value", Features: []string{"Amount"}, Include: []string{"Id", "Value", "Amount"},
			Split: pipeline.Split{Train: 1, Salt: "s"},
		}
	}
	if k.snapshot {
		h.spec.Source.Consistency = pipeline.Snapshot
	}
	if k.pages {
		h.spec.Source.PartitionBy = "Id"
		h.spec.Limits.Connections = d.between(1, 2, "connections")
	}
	if k.children {
		// Functions have time for a few pages, and some exports aren't even begun by the function that planned them.
		h.server.statement = time.Second
		h.spec.Limits.PageRows, h.spec.Limits.PartitionRows = 2, 8
		h.spec.Limits.FunctionRows = int64(1 + 100*d.between(0, 1, "begun by the first function"))
	}
	h.server.clock = tick(-1).Time()
	// A table that is there before the pipeline.
	t := h.server.begin()
	for range d.between(0, 8, "rows before") {
		h.insert(t)
	}
	h.server.commit(t)
	return h
}

func tick(n int) run.ID {
	return run.NewID(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Hour))
}

var rebaseline = export.Event{Command: export.RebaselinePipeline, Reason: "restored", By: "somebody"}

// rounds is how many ticks of the schedule a history has.
const rounds = 5

// play runs the history to its end, and says what is wrong with what is committed then.
func (h *history) play() error {
	defer h.drain()
	for h.round = range rounds {
		round := h.round
		if h.kind.restores && h.between(0, 9, "restored") == 0 {
			h.server.restore(h.chance.IntN(len(h.server.committed)))
			h.note("restored")
		}
		var ticks []int
		switch h.between(0, 7, "tick") {
		case 0: // missed
		case 1, 2: // doubled
			ticks = []int{round, round}
		case 3: // another one again, or out of order
			ticks = []int{round, h.between(0, round, "again")}
		default:
			ticks = []int{round}
		}
		for _, n := range ticks {
			h.invoke(export.Event{ScheduledTime: tick(n).Time().Format(time.RFC3339)}, true)
		}
		for _, p := range h.processes {
			if p.stalled && h.between(0, 1, "woken") == 0 {
				p.stallAt, p.stalled = -1, false
			}
		}
		if h.between(0, 1, "arrive") == 0 {
			h.store.Arrive()
		}
		if h.kind.restores && h.between(0, 15, "rebaseline") == 0 {
			h.invoke(rebaseline, true)
		}
		if err := h.run(); err != nil {
			return err
		}
		if err := h.mapOut(true); err != nil {
			return err
		}
	}
	return h.finish()
}

// finish ends what is open, lets who was left behind end, and makes runs without a fault until the newest rows are committed.
func (h *history) finish() error {
	for _, t := range slices.Clone(h.server.open) {
		h.end(t)
	}
	if len(h.server.now()) == 0 { // a full load of nothing is refused
		t := h.server.begin()
		h.insert(t)
		h.server.commit(t)
	}
	h.nextID = -1 // nothing is written any more
	for _, p := range h.processes {
		p.stallAt, p.stalled = -1, false
	}
	h.store.Arrive()
	if err := h.run(); err != nil {
		return err
	}
	h.store.Arrive()
	for n := rounds; n < rounds+2; n++ {
		last := h.invoke(export.Event{ScheduledTime: tick(n).Time().Format(time.RFC3339)}, false)
		if err := h.run(); err != nil {
			return err
		}
		if refused, ok := errors.AsType[*export.RefusalError](last.err); ok && h.kind.restores && refused.Name == export.DatabaseRestored {
			h.invoke(rebaseline, false)
			if err := h.run(); err != nil {
				return err
			}
			continue
		}
		if last.err != nil {
			return fmt.Errorf("a run without a fault fails: %w", last.err)
		}
		if err := h.mapOut(false); err != nil {
			return err
		}
	}
	return h.check()
}

// invoke begins a process, with faults or without.
func (h *history) invoke(event export.Event, faulty bool) *process {
	p := &process{n: len(h.processes), event: event, crashAt: -1, stallAt: -1, faults: map[int]memory.Fault{}, client: h.store.Client()}
	if faulty {
		at := h.between(0, 45, "step")
		switch h.between(0, 5, "fault") {
		case 0:
			p.crashAt = at
		case 1:
			p.stallAt = at
		case 2, 3:
			p.faults[at] = memory.Faults[h.between(0, len(memory.Faults)-1, "which")]
		}
	}
	p.client.Before = func(call memory.Call) memory.Fault {
		fault := p.faults[p.steps]
		if err := h.step(p, call.Operation+" "+call.Key); err != nil {
			return memory.CrashBefore
		}
		if fault == memory.CrashBefore || fault == memory.CrashAfter {
			p.crashed = true
		}
		return fault
	}
	h.processes = append(h.processes, p)
	if id := scheduled(event); id != "" {
		if _, known := h.began[id]; !known {
			h.began[id] = h.server.moment()
		}
	}
	e := h.exporter(p)
	ctx, cancel := context.Background(), func() {}
	if h.kind.children {
		ctx, cancel = context.WithTimeout(ctx, export.Reserve+time.Duration(h.between(2, 4, "seconds"))*time.Second)
	}
	h.turns.Go(func() {
		defer cancel()
		p.err = h.call(ctx, p, e)
		p.done = true
	})
	return p
}

func scheduled(e export.Event) run.ID {
	t, err := run.ParseScheduledTime(e.ScheduledTime)
	if err != nil {
		return ""
	}
	return run.NewID(t)
}

// step is one step of a process, which may be its last.
func (h *history) step(p *process, what string) error {
	if p.crashed {
		return memory.ErrCrashed
	}
	if p.steps == p.stallAt {
		p.stalled = true
	}
	h.turns.Wait(p.n, what)
	if p.crashed || p.steps == p.crashAt {
		p.crashed = true
		p.client.Crash()
		return memory.ErrCrashed
	}
	p.steps++
	return nil
}

// exporter is the function of one process.
func (h *history) exporter(p *process) *export.Exporter {
	var api objects.API = p.client
	if h.doubles.api != nil {
		api = h.doubles.api(h, p.client)
	}
	d := database{
		server: h.server,
		step: func(what string) error {
			fault := p.faults[p.steps]
			if err := h.step(p, what); err != nil {
				return err
			}
			switch fault {
			case 0:
				return nil
			case memory.CrashBefore, memory.CrashAfter:
				p.crashed = true
				p.client.Crash()
				return memory.ErrCrashed
			case memory.Conflict:
				return &sqlserver.Error{Number: 229}
			case memory.CutBody:
				p.cut = int64(1 + h.chance.IntN(4))
				return nil
			}
			return errGone
		},
		cut: func() int64 {
			cut := p.cut
			p.cut = 0
			return cut
		},
	}
	e := &export.Exporter{
		Spec: h.spec, Bucket: objects.NewBucket(api, "data", "", 2*export.Streams(h.spec)), Database: d,
		Map: stateMachine{h, p}, Log: slog.New(slog.DiscardHandler),
	}
	if h.doubles.database != nil {
		e.Database = h.doubles.database(h, d)
	}
	return e
}

// call is what the function does with its event.
func (h *history) call(ctx context.Context, p *process, e *export.Exporter) error {
	var result export.Result
	var err error
	switch p.event.Command {
	case export.ReadPartition:
		p.progress, err = e.Partition(ctx, p.event.Plan, p.event.Partition, "")
		if err == nil && h.doubles.child != nil {
			err = h.doubles.child(e, p.event.Plan)
		}
	case export.CommitPlan:
		result, err = e.Commit(ctx, p.event.Plan, "")
	case export.RebaselinePipeline:
		_, err = e.Rebaseline(ctx, p.event)
	default:
		result, err = e.Run(ctx, p.event, "")
	}
	p.outcome = result.Outcome
	return err
}

// stateMachine is Step Functions as one process reaches it.
type stateMachine struct {
	*history
	process *process
}

func (m stateMachine) StartOrFind(_ context.Context, name string, input []byte) (string, error) {
	if err := m.step(m.process, "start "+name); err != nil {
		return "", err
	}
	if slices.ContainsFunc(m.handed, func(x *execution) bool { return x.name == name && !x.ended }) {
		return name, nil
	}
	var in struct {
		Plan export.PlanRef               `json:"plan"`
		Open struct{ Bucket, Key string } `json:"open"`
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return "", err
	}
	m.handed = append(m.handed, &execution{name: name, ref: in.Plan, open: in.Open.Key})
	return name, nil
}

// mapOut does what the distributed map does with the executions that were started: a function for each partition, again while it isn't done,
// and then one that commits. One whose functions fail has failed, and the next attempt at the run starts another.
func (h *history) mapOut(faulty bool) error {
	for _, x := range h.handed {
		if x.ended {
			continue
		}
		x.ended = true
		stored, err := h.bucket().Read(context.Background(), x.open)
		if err != nil {
			return err
		}
		var list []struct{ Partition string }
		if err := json.Unmarshal(stored.Body, &list); err != nil {
			return err
		}
		if faulty && h.between(0, 5, "commits too early") == 0 {
			h.invoke(export.Event{Command: export.CommitPlan, Plan: x.ref}, faulty)
		}
		open := map[string]bool{}
		for _, one := range list {
			open[one.Partition] = true
		}
		failed := false
		for len(open) > 0 && !failed {
			var children []*process
			for _, name := range slices.Sorted(maps.Keys(open)) {
				for range 1 + h.between(0, 4, "twice")/4 {
					children = append(children, h.invoke(export.Event{Command: export.ReadPartition, Plan: x.ref, Partition: name}, faulty))
				}
			}
			if err := h.run(); err != nil {
				return err
			}
			for _, p := range children {
				failed = failed || !p.done || p.err != nil
				if p.progress.Done {
					delete(open, p.event.Partition)
				}
			}
		}
		if failed && faulty {
			continue
		}
		for range 1 + h.between(0, 4, "commit twice")/4 {
			h.invoke(export.Event{Command: export.CommitPlan, Plan: x.ref}, faulty)
		}
		if err := h.run(); err != nil {
			return err
		}
	}
	return nil
}

// run lets processes and the database's writers take steps until no process is left that isn't stalled.
func (h *history) run() error {
	for range 5000 {
		if !slices.ContainsFunc(h.processes, func(p *process) bool { return !p.done && !p.stalled }) {
			return nil
		}
		h.turns.Step(func(waiting []*memory.Turn) int {
			if h.chance.IntN(3) == 0 {
				h.write()
			}
			var awake []int
			for i, turn := range waiting {
				if !h.processes[turn.Process].stalled {
					awake = append(awake, i)
				}
			}
			if len(awake) == 0 {
				return -1
			}
			chosen := awake[h.chance.IntN(len(awake))]
			h.note("%d %s", waiting[chosen].Process, waiting[chosen].What)
			return chosen
		})
		synctest.Wait()
		h.watch()
	}
	return errors.New("the processes come to no end")
}

// watch notes when a run is committed.
func (h *history) watch() {
	key := head.Key(orders)
	if n := h.store.Versions(key); n != h.heads {
		h.heads = n
		if now, err := h.ledger().Head(context.Background()); err == nil && now.Manifest != nil {
			if _, known := h.moved[now.Manifest.Run]; !known {
				h.moved[now.Manifest.Run] = h.server.moment()
				h.note("committed %s", now.Manifest.Run)
			}
		}
	}
}

func (h *history) bucket() *objects.Bucket { return objects.NewBucket(h.store.Client(), "data", "", 1) }

func (h *history) ledger() ledger.Ledger { return ledger.New(h.bucket(), orders) }

// write lets somebody do something in the database.
func (h *history) write() {
	if h.nextID < 0 {
		return
	}
	s := h.server
	var t *transaction
	if len(s.open) > 0 {
		t = s.open[h.chance.IntN(len(s.open))]
	}
	switch n := h.chance.IntN(6); {
	case t == nil || n == 0 && len(s.open) < 3:
		h.change(s.begin())
	case n <= 2:
		h.change(t)
	default:
		h.end(t)
	}
}

func (h *history) end(t *transaction) {
	if h.chance.IntN(4) == 0 {
		h.server.end(t)
		h.note("rolled back")
		return
	}
	h.server.commit(t)
	h.note("committed to version %d", h.server.versions)
}

// change writes a row. The table of an append load is written as it was declared: rows are added, and never changed.
func (h *history) change(t *transaction) {
	ids := slices.Sorted(maps.Keys(h.server.now()))
	what := h.chance.IntN(4)
	if h.kind.load == pipeline.Append || len(ids) == 0 || what <= 1 {
		h.insert(t)
		return
	}
	id := ids[h.chance.IntN(len(ids))]
	if what == 2 {
		h.server.write(t, id)
	} else {
		h.server.delete(t, id)
	}
}

func (h *history) insert(t *transaction) {
	h.nextID++
	// Clocks differ, and rows are of some time before they are written.
	h.server.clock = tick(h.round).Time().Add(time.Duration(h.chance.IntN(36_000_000_000)-24_000_000_000) * 100)
	h.server.write(t, h.nextID)
	h.note("row %d has version %d", h.nextID, h.server.versions)
}

func (h *history) note(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf(format, args...))
}

// read gives the rows of a commit, as its files have them.
func (h *history) read(c ledger.Commit) ([]row, error) {
	bucket := h.bucket()
	var all []row
	for _, f := range c.Files {
		if f.Channel != "" {
			continue
		}
		stored, err := bucket.ReadVersion(context.Background(), f.Key, f.VersionID)
		if err != nil {
			return nil, err
		}
		rows, err := parse(stored.Body)
		if err != nil {
			return nil, err
		}
		if int64(len(rows)) != f.Rows {
			return nil, fmt.Errorf("%s has %d rows, and the manifest says %d", f.Key, len(rows), f.Rows)
		}
		all = append(all, rows...)
	}
	if int64(len(all)) != c.Rows {
		return nil, fmt.Errorf("run %s has %d rows, and the manifest says %d", c.Run, len(all), c.Rows)
	}
	return all, nil
}

// parse reads id and value of a Parquet file's rows.
func parse(body []byte) ([]row, error) {
	r, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // of bytes in memory
	var rows []row
	for g := range r.NumRowGroups() {
		group := r.RowGroup(g)
		n := group.NumRows()
		columns := [2][]int64{}
		for i := range columns {
			column, err := group.Column(i)
			if err != nil {
				return nil, err
			}
			reader, ok := column.(*file.Int64ColumnChunkReader)
			if !ok {
				return nil, fmt.Errorf("column %d is a %T", i, column)
			}
			columns[i] = make([]int64, n)
			levels := make([]int16, n)
			if _, _, err := reader.ReadBatch(n, columns[i], levels, nil); err != nil {
				return nil, err
			}
		}
		for i := range n {
			rows = append(rows, row{id: columns[0][i], value: columns[1][i]})
		}
	}
	return rows, nil
}

// check says what the commits below the head don't keep of what is promised.
func (h *history) check() error {
	l := h.ledger()
	now, err := l.Head(context.Background())
	if err != nil {
		return err
	}
	var chain []ledger.Commit // the newest first
	seen := map[run.ID]bool{}
	for ref := now.Manifest; ref != nil; {
		c, err := l.Read(context.Background(), *ref)
		if err != nil {
			return err
		}
		if seen[c.Run] {
			return fmt.Errorf("run %s is committed twice", c.Run)
		}
		seen[c.Run] = true
		if n := len(chain); n > 0 && c.Generation > chain[n-1].Generation {
			return fmt.Errorf("run %s is of generation %d, after one of generation %d", chain[n-1].Run, chain[n-1].Generation, c.Generation)
		}
		chain = append(chain, c)
		ref = c.Parent
	}
	for _, p := range h.processes {
		if id := scheduled(p.event); p.outcome == export.Committed && id != "" && !seen[id] {
			return fmt.Errorf("run %s was said to be committed, and the head doesn't reach it", id)
		}
	}
	if h.kind.load == pipeline.Append {
		return h.checkAppend(now, chain)
	}
	if len(chain) == 0 {
		return errors.New("nothing is committed")
	}
	for _, c := range chain {
		if err := h.checkFull(c); err != nil {
			return fmt.Errorf("run %s: %w", c.Run, err)
		}
	}
	return nil
}

// checkAppend: the runs of the generation together hold every committed row once.
func (h *history) checkAppend(now ledger.Head, chain []ledger.Commit) error {
	counts := map[int64]int{}
	for i, c := range chain {
		rows, err := h.read(c)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if !h.server.ever[r.value] {
				return fmt.Errorf("run %s holds row %d, which was never committed", c.Run, r.id)
			}
		}
		if c.Generation != now.Generation {
			continue
		}
		if i == 0 && (now.Watermark == nil || now.Watermark.Value != c.Bounds.To) {
			return fmt.Errorf("the watermark is %+v, and the newest commit reads to %s", now.Watermark, c.Bounds.To)
		}
		if h.kind.cursor == pipeline.RowversionCursor && i > 0 && chain[i-1].Generation == c.Generation && chain[i-1].Bounds.From != c.Bounds.To {
			return fmt.Errorf("run %s begins at %s, and the one before it ends at %s", chain[i-1].Run, chain[i-1].Bounds.From, c.Bounds.To)
		}
		for _, r := range rows {
			counts[r.value]++
		}
	}
	for _, r := range h.server.now() {
		switch n := counts[r.value]; {
		case n > 1, n == 0 && h.met(chain, now.Generation, r):
			return fmt.Errorf("row %d of version %d is there %d times", r.id, r.version, n)
		}
		delete(counts, r.value)
	}
	if len(counts) > 0 {
		return fmt.Errorf("rows with the values %v are there, and not in the table", slices.Sorted(maps.Keys(counts)))
	}
	if h.kind.channels && len(chain) > 0 {
		return h.checkWindow(chain)
	}
	return nil
}

// met says whether a row has to be in the runs: each, but by a cursor with an overlap only if a run that began after the row was committed
// reads its values.
func (h *history) met(chain []ledger.Commit, generation int, r row) bool {
	if h.kind.overlap == 0 {
		return true
	}
	return slices.ContainsFunc(chain, func(c ledger.Commit) bool {
		committed := h.server.committed[h.began[c.Run]][r.id] == r
		return c.Generation == generation && committed && within(r, c.Bounds)
	})
}

// checkWindow: what the newest run trains on is what the runs of its generation committed, and nothing else.
func (h *history) checkWindow(chain []ledger.Commit) error {
	newest := chain[0]
	want := map[string]bool{}
	var rows int64
	for _, c := range chain {
		for _, f := range c.Files {
			if c.Generation == newest.Generation && f.Channel == manifest.Train {
				want[strings.TrimPrefix(f.Key, manifest.RunsPrefix(orders))] = true
				rows += f.Rows
			}
		}
	}
	train := newest.Channels[manifest.Train]
	stored, err := h.bucket().ReadVersion(context.Background(), train.Manifest.Key, train.Manifest.VersionID)
	if err != nil {
		return err
	}
	var list []any
	if err := json.Unmarshal(stored.Body, &list); err != nil {
		return err
	}
	got := map[string]bool{}
	for _, one := range list[1:] {
		got[fmt.Sprint(one)] = true
	}
	if !maps.Equal(got, want) || len(list)-1 != len(want) || train.Rows != rows {
		return fmt.Errorf("run %s trains on %d rows of %v, and its generation has %d of %v", newest.Run, train.Rows, list[1:], rows, slices.Sorted(maps.Keys(want)))
	}
	return nil
}

// checkFull: what the table of guarantees says of a full load under this isolation.
func (h *history) checkFull(c ledger.Commit) error {
	rows, err := h.read(c)
	if err != nil {
		return err
	}
	states := h.server.committed[h.began[c.Run] : h.moved[c.Run]+1]
	counts := map[int64][]int64{} // the values that a row is there with, by its id
	for _, r := range rows {
		if !h.server.ever[r.value] {
			return fmt.Errorf("row %d was never committed as it is there", r.id)
		}
		counts[r.id] = append(counts[r.id], r.value)
	}
	if !h.kind.pages && (h.kind.snapshot || h.kind.isolation == versioning) {
		// One committed state.
		for _, s := range states {
			same := len(s) == len(rows)
			for id, values := range counts {
				same = same && len(values) == 1 && s[id].value == values[0]
			}
			if same {
				return nil
			}
		}
		return fmt.Errorf("its %d rows are no state that was committed", len(rows))
	}
	for id := range states[0] {
		throughout, values := true, map[int64]bool{}
		for _, s := range states {
			r, there := s[id]
			throughout = throughout && there
			values[r.value] = true
		}
		if !throughout || h.kind.isolation == locking && len(values) > 1 && !h.kind.pages {
			continue
		}
		if len(counts[id]) != 1 || !values[counts[id][0]] {
			return fmt.Errorf("row %d was there during the whole run, and is there %d times (%v of %v)", id, len(counts[id]), counts[id], slices.Sorted(maps.Keys(values)))
		}
	}
	return nil
}

// drain ends all processes where they are, so that nothing of a history is left behind.
func (h *history) drain() {
	for _, p := range h.processes {
		p.crashed = true
		p.client.Crash()
	}
	for h.turns.Step(func([]*memory.Turn) int { return 0 }) {
	}
}

// inBubble runs histories one after another by a clock of their own.
func inBubble(t *testing.T, histories func(t *testing.T)) {
	t.Helper()
	// Compressors lie in pools that the process shares, with channels that belong to the bubble in which they were made: the second of two
	// collections empties the pools.
	runtime.GC()
	runtime.GC()
	synctest.Test(t, histories)
}
