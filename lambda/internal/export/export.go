// Package export makes one run: it reads the source once, writes Parquet and the training channels while it reads, commits
// them with the manifest and starts the workflow.
//
// A run is committed by its manifest and by nothing else. Whatever breaks before it is written leaves objects that no manifest
// names; whatever breaks after it is made good by the next attempt, which finds the manifest and starts the workflow.
package export

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
)

// Secret gives the text of the database secret as it is now.
type Secret interface {
	Text(ctx context.Context) ([]byte, error)
}

// Workflow starts the pipeline's state machine.
type Workflow interface {
	// Start starts the execution with this name, or finds it started already, and gives its ARN.
	Start(ctx context.Context, name string, input []byte) (arn string, err error)
}

// Exporter makes the runs of one pipeline.
type Exporter struct {
	Spec      pipeline.Spec
	Bucket    *objects.Bucket
	Secret    Secret
	Overrides sqlserver.Overrides
	Workflow  Workflow
	Log       *slog.Logger
	Sizes     Sizes
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
	// Margin is how long before the function's deadline the export stops: enough to cancel the statement, to take back the
	// uploads and to say so.
	Margin = 10 * time.Second
	// Tries is how often an export is started over after an error that may be gone: a deadlock, a broken connection.
	Tries = 3
)

// The defaults of limits that a spec leaves at 0.
const (
	DefaultConnectTimeout   = 15 * time.Second
	DefaultStatementTimeout = 14 * time.Minute // Lambda's longest time is 15 minutes
	DefaultLockTimeout      = 30 * time.Second
)

// Event is what the schedule, or a person, invokes the function with.
type Event struct {
	ScheduledTime string `json:"scheduledTime"`
}

// DecodeEvent reads an event. Anything but one object with a scheduled time is an error that shows what is expected.
func DecodeEvent(b []byte) (time.Time, error) {
	var e Event
	if err := json.Unmarshal(b, &e); err != nil {
		return time.Time{}, fmt.Errorf(`the event is not of the form {"scheduledTime": "2026-01-01T02:00:00Z"}: %w`, err)
	}
	return run.ParseScheduledTime(e.ScheduledTime)
}

// The outcomes of a run.
const (
	Committed        = "committed"
	AlreadyCommitted = "already committed"
)

// Result is what the function answers.
type Result struct {
	Run          run.ID `json:"run"`
	Outcome      string `json:"outcome"`
	Rows         int64  `json:"rows"`
	Bytes        int64  `json:"bytes"`
	Files        int    `json:"files"`
	Manifest     string `json:"manifest"`
	ExecutionARN string `json:"executionArn"`
}

// Run makes the run that was scheduled for a time, or finds it made, and starts its workflow. It can be called again with the
// same time, and at the same time from elsewhere: one set of files is committed. requestID is the invocation's.
func (e *Exporter) Run(ctx context.Context, scheduled time.Time, requestID string) (Result, error) {
	id := run.NewID(scheduled)
	log := e.Log.With("pipeline", e.Spec.Name(), "run", id)
	if deadline, ok := ctx.Deadline(); ok {
		stop := deadline.Add(-Margin)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, stop, fmt.Errorf("the export was stopped %s before the function's time limit: raise the function's timeout (at most 15 minutes) or memory (which brings CPU), or read fewer rows", Margin))
		defer cancel()
	}

	key := manifest.Key(e.Spec.Pipeline, id)
	committed, found, err := e.committed(ctx, key)
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", id, err)
	}
	outcome := AlreadyCommitted
	if !found {
		var ours bool
		if committed, ours, err = e.make(ctx, log, id, requestID); err != nil {
			return Result{}, fmt.Errorf("run %s: %w", id, err)
		}
		if ours {
			outcome = Committed
		}
	}
	log.Info("committed", "phase", "commit", "outcome", outcome, "attempt", committed.Attempt, "rows", committed.Rows, "bytes", committed.Bytes, "files", len(committed.Files))

	input, err := json.Marshal(committed.ExecutionInput(e.Bucket.Name()))
	if err != nil {
		return Result{}, fmt.Errorf("run %s: encoding the workflow's input: %w", id, err)
	}
	arn, err := e.Workflow.Start(ctx, string(id), input)
	if err != nil {
		return Result{}, fmt.Errorf("run %s is committed, starting its workflow: %w: invoke the function again with the same scheduledTime, nothing is exported twice", id, err)
	}
	log.Info("workflow started", "phase", "start", "execution", arn)
	return Result{
		Run: id, Outcome: outcome, Rows: committed.Rows, Bytes: committed.Bytes, Files: len(committed.Files),
		Manifest: key, ExecutionARN: arn,
	}, nil
}

// committed looks for the run's manifest. One that another spec wrote is an error.
func (e *Exporter) committed(ctx context.Context, key string) (manifest.Manifest, bool, error) {
	body, err := e.Bucket.Get(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		return manifest.Manifest{}, false, nil
	}
	if err != nil {
		return manifest.Manifest{}, false, fmt.Errorf("looking for its manifest: %w", err)
	}
	m, err := e.accept(key, body)
	return m, err == nil, err
}

// accept reads a manifest that is there for this run and says whether it is of this pipeline as it is now.
func (e *Exporter) accept(key string, body []byte) (manifest.Manifest, error) {
	m, err := manifest.Decode(body)
	if err != nil {
		return manifest.Manifest{}, fmt.Errorf("s3://%s/%s: %w", e.Bucket.Name(), key, err)
	}
	if m.SpecSHA256 != e.Spec.Hash() {
		return manifest.Manifest{}, fmt.Errorf("s3://%s/%s was committed with other content: its spec has hash %s, this function's has %s (query, dataset or source differ): "+
			"a run keeps what it was made with, so run the new spec under another scheduledTime, or delete the manifest to make this run anew",
			e.Bucket.Name(), key, m.SpecSHA256, e.Spec.Hash())
	}
	return m, nil
}

// make exports and commits, starting over with new keys after an error that may be gone. It says whether the manifest that
// counts is its own.
func (e *Exporter) make(ctx context.Context, log *slog.Logger, id run.ID, requestID string) (manifest.Manifest, bool, error) {
	statement, err := sqlserver.NewStatement(e.Spec.Source, id.Time())
	if err != nil {
		return manifest.Manifest{}, false, err
	}
	for try := 1; ; try++ {
		attempt := newAttempt(requestID)
		log := log.With("attempt", attempt)
		m, err := e.export(ctx, log, id, attempt, statement)
		if err == nil {
			return e.commit(ctx, log, m)
		}
		if try == Tries || !sqlserver.Transient(err) || ctx.Err() != nil {
			return manifest.Manifest{}, false, err
		}
		log.Warn("starting the export over", "phase", "read", "try", try, "error", err.Error())
		select {
		case <-time.After(time.Duration(try) * time.Second):
		case <-ctx.Done():
			return manifest.Manifest{}, false, errors.Join(err, context.Cause(ctx))
		}
	}
}

// commit writes the manifest, unless another attempt's is there: then that one counts, and these files are named by nothing.
func (e *Exporter) commit(ctx context.Context, log *slog.Logger, m manifest.Manifest) (manifest.Manifest, bool, error) {
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return manifest.Manifest{}, false, fmt.Errorf("encoding the manifest: %w", err)
	}
	key := manifest.Key(m.Pipeline, m.Run)
	there, err := e.Bucket.Create(ctx, key, "application/json", body)
	if err != nil {
		return manifest.Manifest{}, false, fmt.Errorf("committing the run: %w", err)
	}
	counts, err := e.accept(key, there)
	if err != nil {
		return manifest.Manifest{}, false, fmt.Errorf("another attempt committed this run meanwhile: %w", err)
	}
	if counts.Attempt != m.Attempt {
		log.Info("another attempt committed this run first", "phase", "commit", "committedAttempt", counts.Attempt)
	}
	return counts, counts.Attempt == m.Attempt, nil
}

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

// open logs in. A refused login may come from a secret that was rotated after it was read, so it is read once more; the
// same secret is not tried twice, because accounts lock out.
func (e *Exporter) open(ctx context.Context) (*sqlserver.Session, error) {
	login, err := e.login(ctx)
	if err != nil {
		return nil, err
	}
	options := sqlserver.Options{
		AppName:        "sagemaker-datapipeline " + e.Spec.Name(),
		ConnectTimeout: seconds(e.Spec.Limits.ConnectTimeoutSeconds, DefaultConnectTimeout),
		LockTimeout:    seconds(e.Spec.Limits.LockTimeoutSeconds, DefaultLockTimeout),
	}
	session, err := sqlserver.Open(ctx, login, options)
	if err == nil || !sqlserver.LoginFailed(err) {
		return session, err
	}
	again, secretErr := e.login(ctx)
	if secretErr != nil {
		return nil, errors.Join(err, secretErr)
	}
	if again == login {
		return nil, err
	}
	return sqlserver.Open(ctx, again, options)
}

func (e *Exporter) login(ctx context.Context) (sqlserver.Login, error) {
	text, err := e.Secret.Text(ctx)
	if err != nil {
		return sqlserver.Login{}, err
	}
	return sqlserver.DecodeLogin(text, e.Overrides)
}

func seconds(n int, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// sign writes the inference contract.
func (e *Exporter) sign(ctx context.Context, id run.ID, attempt string, s signature.Signature) (manifest.Object, error) {
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return manifest.Object{}, fmt.Errorf("encoding the signature: %w", err)
	}
	return e.Bucket.Put(ctx, manifest.SignatureKey(e.Spec.Pipeline, id, attempt), "application/json", body)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
