// Package export makes one run: it plans what to read, reads it once, writes Parquet and the training channels while it reads, commits
// them by moving the pipeline's head, and starts the workflow.
//
// Whatever breaks before the head moved leaves objects that nothing names; the next attempt at the run goes on from the plan and from the
// parts that are recorded. Whatever breaks after it is made good by the next attempt, which finds the run below the head and starts the workflow.
package export

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

// Workflow starts the pipeline's state machine.
type Workflow interface {
	// Start starts the execution with this name, or finds it started already, and gives its ARN.
	Start(ctx context.Context, name string, input []byte) (arn string, err error)
}

// Exporter makes the runs of one pipeline.
type Exporter struct {
	Spec     pipeline.Spec
	Bucket   *objects.Bucket
	Database Database
	// HashKey gives the key of hashed columns; it is called only where there are some.
	HashKey func(ctx context.Context) ([]byte, error)
	// Workflow is nil for a pipeline that only exports.
	Workflow Workflow
	// Map takes over what doesn't fit one function's time; nil: such an export fails.
	Map Map
	// Alone lets one run at a time read the database; nil: runs that overlap read beside each other. What is committed doesn't depend on it.
	Alone Executions
	Log   *slog.Logger
	Sizes Sizes
}

// Sizes bound memory and files. The zero value of a field means its default.
type Sizes struct {
	// BatchRows and BatchBytes bound a batch: it ends at whichever comes first.
	BatchRows, BatchBytes int
	Parquet               parquetfiles.Sizes
	ChannelFileBytes      int64
}

const (
	// DefaultBatchRows makes columns long enough for the encoder's loops.
	DefaultBatchRows = 8192
	// DefaultBatchBytes keeps a batch of wide rows in the processor's cache.
	DefaultBatchBytes = 4 << 20
	// Margin is how long before the function's deadline the export stops at most: enough to cancel the statement, to take back the
	// uploads and to say so.
	Margin = 10 * time.Second
	// Tries is how often a segment is read again after an error that may be gone: a deadlock, a broken connection.
	Tries = 3
)

// Outcome says how a run ended, or where it is.
type Outcome string

// The outcomes of a run.
const (
	// Committed: this attempt moved the head to the run.
	Committed Outcome = "committed"
	// AlreadyCommitted: another attempt had, and nothing was read.
	AlreadyCommitted Outcome = "already committed"
	// Backfilled: the run is committed behind later ones; no workflow is started for it.
	Backfilled Outcome = "backfilled"
	// HandedOver: the distributed map reads what is left, and commits.
	HandedOver Outcome = "handed over"
	// NoNewData: an append load has nothing to read. The next run looks again.
	NoNewData Outcome = "no new data"
	// Blocked: rows wait behind an open transaction. The next run looks again.
	Blocked Outcome = "blocked"
	// Superseded: a later run has the rows, or newer ones.
	Superseded Outcome = "superseded"
	// OutsideHours: the database may not be read now. The next run within the hours reads it.
	OutsideHours Outcome = "outside allowed hours"
	// Busy: the run before is still reading the database. The next run after it reads what this one would have.
	Busy Outcome = "busy"
	// Paused: a person has paused the pipeline. The first run after the pause reads what this one would have.
	Paused Outcome = "paused"
	// Rejected: the run is committed, and its verdict keeps it out of training until a person accepts it.
	Rejected Outcome = "rejected"
)

// Result is what the function answers.
type Result struct {
	Run     run.ID  `json:"run"`
	Outcome Outcome `json:"outcome"`
	// Detail says why, where the outcome alone doesn't.
	Detail       string `json:"detail,omitempty"`
	Generation   int    `json:"generation,omitempty"`
	Rows         int64  `json:"rows"`
	Bytes        int64  `json:"bytes"`
	Files        int    `json:"files"`
	Manifest     string `json:"manifest,omitempty"`
	ExecutionARN string `json:"executionArn,omitempty"`
	// Failed are the rules that a rejected run doesn't satisfy.
	Failed []verdict.Rule `json:"failed,omitempty"`
}

// Run makes the run of an event, or finds it made, and starts its workflow. It can be called again with the same event, and at the same time
// from elsewhere: one manifest is committed. requestID is the invocation's.
func (e *Exporter) Run(ctx context.Context, event Event, requestID string) (Result, error) {
	scheduled, err := event.scheduled()
	if err != nil {
		return Result{}, err
	}
	id := run.NewID(scheduled)
	log := e.Log.With("pipeline", e.Spec.Name(), "run", id)
	ctx, until, cancel := withinTime(ctx)
	defer cancel()
	result, err := e.make(ctx, log, id, event.Backfill, newAttempt(requestID), until)
	return e.end(log, id, result, err)
}

// end turns a deliberate end into an outcome, and names the run in an error.
func (e *Exporter) end(log *slog.Logger, id run.ID, result Result, err error) (Result, error) {
	if nothing, ok := errors.AsType[*nothingToDoError](err); ok {
		result, err = Result{Outcome: nothing.outcome, Detail: nothing.detail}, nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", id, err)
	}
	result.Run = id
	log.Info("ended", "phase", "end", "outcome", result.Outcome, "detail", result.Detail, "rows", result.Rows, "files", result.Files)
	return result, nil
}

func (e *Exporter) make(ctx context.Context, log *slog.Logger, id run.ID, backfill bool, attempt string, until time.Time) (Result, error) {
	if err := e.heed(ctx); err != nil {
		return Result{}, err
	}
	h, err := e.ledger().Head(ctx)
	if err != nil {
		return Result{}, err
	}
	f, planned, made, err := e.find(ctx, h, id)
	if err != nil {
		return Result{}, err
	}
	if made != nil {
		return e.start(ctx, log, *made, AlreadyCommitted)
	}
	if err := e.inTurn(h, id, backfill); err != nil {
		return Result{}, err
	}
	allowed, until, err := e.allowed(until)
	if err != nil {
		return Result{}, err
	}
	if !allowed {
		hours := e.Spec.Limits.AllowedHours
		return Result{}, &nothingToDoError{OutsideHours, fmt.Sprintf("the database is read from %s to %s %s only", hours.From, hours.To, hours.TimeZone)}
	}
	if e.Alone != nil {
		if err := e.acquire(ctx, ledger.Lease{Run: id, Attempt: attempt, Until: functionEnd(ctx)}); err != nil {
			return Result{}, err
		}
	}
	result, err := e.readAndCommit(ctx, log, h, f, planned, id, attempt, until)
	if result.Outcome != HandedOver {
		e.release(ctx, log, id)
	}
	return result, err
}

// readAndCommit makes the run, from its plan if there is one.
func (e *Exporter) readAndCommit(ctx context.Context, log *slog.Logger, h ledger.Head, f ledger.Frozen, planned bool, id run.ID, attempt string, until time.Time) (result Result, err error) {
	if !planned {
		if f, err = e.plan(ctx, log, h, id, attempt); err != nil {
			return Result{}, err
		}
	}
	if err := stale(h, f); err != nil {
		return Result{}, err
	}
	_, open, err := e.ledger().Parts(ctx, f)
	if err != nil {
		return Result{}, err
	}
	// What is known to be too much for one function isn't begun by it.
	left := len(open)
	if e.Map == nil || f.PartitionColumn == nil || f.EstimatedRows <= orDefault(e.Spec.Limits.FunctionRows, DefaultFunctionRows) {
		if left, err = e.readAll(ctx, log, f, open, attempt, until); err != nil {
			return Result{}, err
		}
	}
	if left > 0 {
		arn, err := e.handOver(ctx, f, attempt)
		if err != nil {
			return Result{}, err
		}
		if e.Alone != nil {
			if err := e.acquire(ctx, ledger.Lease{Run: id, Attempt: attempt, Until: time.Now().UTC().Add(ledger.CommitWithin), Execution: arn}); err != nil {
				return Result{}, err
			}
		}
		return Result{Outcome: HandedOver, Detail: fmt.Sprintf("%d of %d partitions are left to the distributed map", left, len(f.Partitions)), Generation: f.Generation, ExecutionARN: arn}, nil
	}
	return e.commitAndStart(ctx, log, f, attempt)
}

// find looks for the run below the head, and for its plan. A run that was committed with another spec is an error.
func (e *Exporter) find(ctx context.Context, h ledger.Head, id run.ID) (f ledger.Frozen, planned bool, made *ledger.Commit, err error) {
	plans, err := e.ledger().Plans(ctx, id)
	if err != nil {
		return ledger.Frozen{}, false, nil, err
	}
	spec := e.Spec.Hash()
	for _, one := range plans {
		if one.SpecSHA256 == spec {
			f, planned = one, true
		}
		c, found, err := e.ledger().Find(ctx, h.Manifest, id, one.Parent)
		switch {
		case err != nil:
			return ledger.Frozen{}, false, nil, err
		case found && c.SpecSHA256 != spec:
			return ledger.Frozen{}, false, nil, fmt.Errorf("s3://%s/%s is committed with other content: its spec has hash %s, this function's has %s (query, dataset or source differ): "+
				"a run keeps what it was made with, so run the new spec under another scheduledTime", e.Bucket.Name(), c.Ref.Key, c.SpecSHA256, spec)
		case found:
			return one, true, &c, nil
		}
	}
	return f, planned, nil, nil
}

// inTurn refuses a run that is older than what is committed, unless its query is cut by time: SQL Server keeps no history, so it would hold the rows
// as they are now.
func (e *Exporter) inTurn(h ledger.Head, id run.ID, backfill bool) error {
	if h.Run == "" || id > h.Run {
		return nil
	}
	windowed := e.Spec.Source.Load != pipeline.Append && e.Spec.Source.WindowSeconds > 0
	switch {
	case windowed:
		return nil
	case !backfill:
		return &nothingToDoError{Superseded, fmt.Sprintf("run %s, which is later, is committed already", h.Run)}
	case e.Spec.Source.Load == pipeline.Append:
		return refuse(NoHistory, "run %s, which is later, has read all rows up to its bounds: an append load has nothing to fill in", h.Run)
	}
	return refuse(NoHistory, "run %s, which is later, is committed, and the source has no window: SQL Server keeps no history, so a run for %s would hold the rows as they are now: "+
		"cut the query by @windowStart and @windowEnd (source.window), or run it now", h.Run, id.Time().Format(time.RFC3339))
}

// plan freezes what the run reads. An error that may be gone is tried again: nothing is frozen yet.
func (e *Exporter) plan(ctx context.Context, log *slog.Logger, h ledger.Head, id run.ID, attempt string) (ledger.Frozen, error) {
	began := time.Now()
	var frozen ledger.Frozen
	err := retry(ctx, log, "planning again", func() error {
		session, err := e.Database.Connect(ctx, id)
		if err != nil {
			return err
		}
		defer func() { _ = session.Close() }() // what it says of a connection that is done with changes nothing
		p, err := e.makePlan(ctx, session, h, id, attempt)
		if err != nil {
			return err
		}
		frozen, err = e.ledger().Freeze(ctx, p)
		return err
	})
	if changed, ok := errors.AsType[*schemaChangeError](err); ok {
		before, readErr := e.ledger().Read(ctx, *h.Manifest)
		if readErr != nil {
			return ledger.Frozen{}, errors.Join(err, readErr)
		}
		return ledger.Frozen{}, changed.refusal(before.Columns)
	}
	if err != nil {
		return ledger.Frozen{}, err
	}
	log.Info("planned", "phase", "plan", "load", frozen.Load, "generation", frozen.Generation, "partitions", len(frozen.Partitions), "boundaries", frozen.Boundaries,
		"isolation", frozen.Source.Isolation, "by", frozen.Attempt, "ms", time.Since(began).Milliseconds())
	if b := frozen.Bounds; b != nil {
		log.Info("bounds", "phase", "plan", "column", b.Column, "from", b.From, "to", b.To, "lag", b.Lag)
	}
	return frozen, nil
}

func (e *Exporter) commitAndStart(ctx context.Context, log *slog.Logger, f ledger.Frozen, attempt string) (Result, error) {
	c, ours, err := e.commit(ctx, log, f, attempt)
	if err != nil {
		return Result{}, err
	}
	if !ours {
		return e.start(ctx, log, c, AlreadyCommitted)
	}
	result, err := e.start(ctx, log, c, Committed)
	if err == nil && (f.Parent == nil || day(f.Parent.Run) != day(f.Run)) {
		e.tidy(ctx, log)
	}
	return result, err
}

// tidy sweeps once a day, with the time that is left. Nothing depends on it: what isn't swept today is tomorrow.
func (e *Exporter) tidy(ctx context.Context, log *slog.Logger) {
	swept, err := e.Sweep(ctx)
	if err != nil {
		log.Warn("sweeping", "phase", "sweep", "error", err.Error())
	}
	log.Info("swept", "phase", "sweep", "objects", swept.Objects, "bytes", swept.Bytes)
}

func day(id run.ID) string { return id.Time().Format(time.DateOnly) }

// start starts the workflow of a committed run if a training is due, unless its verdict rejected it, or later runs are committed: theirs is the
// model that is wanted.
func (e *Exporter) start(ctx context.Context, log *slog.Logger, c ledger.Commit, outcome Outcome) (Result, error) {
	result := Result{Outcome: outcome, Generation: c.Generation, Rows: c.Rows, Bytes: c.Bytes, Files: len(c.Files), Manifest: c.Ref.Key}
	failed, err := e.standing(ctx, c)
	if err != nil {
		return Result{}, fmt.Errorf("the run is committed, %w: invoke the function again with the same scheduledTime", err)
	}
	if failed != nil {
		result.Outcome, result.Failed = Rejected, failed
		result.Detail = fmt.Sprintf("%d of the rules aren't satisfied, %s is the first: the run is kept and not trained on, unless somebody accepts it", len(failed), failed[0].Name)
		return result, nil
	}
	if e.Workflow == nil {
		return result, nil
	}
	h, err := e.ledger().Head(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("the run is committed, looking whether it is the latest: %w: invoke the function again with the same scheduledTime", err)
	}
	if h.Run > c.Run {
		if outcome == Committed {
			result.Outcome = Backfilled
		}
		result.Detail = fmt.Sprintf("run %s is later, so no workflow is started for this one", h.Run)
		return result, nil
	}
	due, why, err := e.due(ctx, c)
	if err != nil {
		return Result{}, fmt.Errorf("the run is committed, looking whether it is to be trained on: %w: invoke the function again with the same scheduledTime", err)
	}
	if !due {
		result.Detail = why
		return result, nil
	}
	execution := c.ExecutionInput(e.Bucket.Name())
	if gate := e.Spec.Gate; gate != nil {
		execution.Holdout = gate.Holdout
	}
	input, err := json.Marshal(execution)
	if err != nil {
		return Result{}, fmt.Errorf("encoding the workflow's input: %w", err)
	}
	if result.ExecutionARN, err = e.Workflow.Start(ctx, string(c.Run), input); err != nil {
		return Result{}, fmt.Errorf("the run is committed, starting its workflow: %w: invoke the function again with the same scheduledTime, nothing is exported twice", err)
	}
	log.Info("workflow started", "phase", "start", "execution", result.ExecutionARN)
	if err := e.trained(ctx, c); err != nil {
		return Result{}, fmt.Errorf("the workflow is started, writing down that it was: %w: invoke the function again with the same scheduledTime, it is started once", err)
	}
	return result, nil
}

func (e *Exporter) ledger() ledger.Ledger { return ledger.New(e.Bucket, e.Spec.Pipeline) }

// newAttempt names an attempt: the beginning of the request's id, by which its log is found, and a random part, since Lambda
// gives all its retries of one event the same id.
func newAttempt(requestID string) string {
	request := strings.ToLower(strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, requestID))
	if len(request) > 8 {
		request = request[:8]
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	if request == "" {
		return hex.EncodeToString(random[:])
	}
	return request + "-" + hex.EncodeToString(random[:])
}
