package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/internal/channels"
	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
)

// queue is how many batches wait for each encoder: one, so that reading goes on while the last is encoded.
const queue = 1

// binaryThreshold is the score above which a binary model's answer means 1, until an evaluation chooses a better one.
const binaryThreshold = 0.5

// export reads the source once and writes all of a run but its manifest, which it gives.
func (e *Exporter) export(ctx context.Context, log *slog.Logger, id run.ID, attempt string, statement sqlserver.Statement) (manifest.Manifest, error) {
	started := time.Now().UTC()
	session, err := e.open(ctx)
	if err != nil {
		return manifest.Manifest{}, err
	}
	defer session.Close()
	identity, err := session.Identify(ctx, statement)
	if err != nil {
		return manifest.Manifest{}, err
	}
	log.Info("connected", "phase", "connect", "server", identity.Server, "database", identity.Database, "isolation", identity.Isolation, "ms", time.Since(started).Milliseconds())

	limit := seconds(e.Spec.Limits.StatementTimeoutSeconds, DefaultStatementTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the statement took longer than %s (limits.statementTimeoutSeconds): raise it, read fewer rows, or give the query an index", limit))
	defer cancel()

	reading := time.Now()
	s, err := e.stream(ctx, statement.From, channels.Naming{Pipeline: e.Spec.Pipeline, Run: id, Attempt: attempt},
		func(ctx context.Context) (source, error) { return session.Query(ctx, statement) })
	if err != nil {
		return manifest.Manifest{}, err
	}
	log.Info("exported", "phase", "read", "rows", s.rows, "files", len(s.files), "ms", time.Since(reading).Milliseconds())

	signed, err := e.sign(ctx, id, attempt, signatureOf(e.Spec, id, s.plan, s.channels.Smoke.Body))
	if err != nil {
		return manifest.Manifest{}, err
	}
	m := manifest.Manifest{
		Version: manifest.Version, Project: e.Spec.Project, Environment: e.Spec.Environment, Pipeline: e.Spec.Pipeline,
		Run: id, ScheduledTime: id.Time(), Attempt: attempt, StartedAt: started,
		SpecSHA256: e.Spec.Hash(), QuerySHA256: hash(statement.Text),
		Source: manifest.Source{
			Server: identity.Server, Database: identity.Database, ServerVersion: identity.Version,
			Isolation: identity.Isolation, Guarantee: identity.Guarantee,
		},
		Columns: s.plan.Manifest(), Rows: s.rows, Files: append(s.files, s.channels.Files...),
		Channels: s.channels.Channels, Signature: signed, Smoke: s.channels.Smoke,
	}
	for _, f := range m.Files {
		m.Bytes += f.Bytes
	}
	m.CommittedAt = time.Now().UTC()
	return m, nil
}

// streamed is what one pass over the source gave.
type streamed struct {
	plan     *columns.Plan
	rows     int64
	files    []manifest.File
	channels channels.Result
}

// source is a result that is being read.
type source interface {
	Columns() []sqlserver.Column
	// Next gives the next row, which is overwritten by the call after, and io.EOF after the last.
	Next() ([]any, error)
	Close() error
}

var _ source = (*sqlserver.Rows)(nil)

// stream reads the rows on one goroutine and encodes them on two others, one for each form. Memory is bounded by the batches
// in the queues, a row group, and the bucket's buffers. The context of the query ends with the first error of the three.
func (e *Exporter) stream(ctx context.Context, from string, naming channels.Naming, query func(context.Context) (source, error)) (s streamed, err error) {
	group, ctx := errgroup.WithContext(ctx)
	rows, err := query(ctx)
	if err != nil {
		return streamed{}, err
	}
	defer func() {
		// After an error there are rows left, and how reading them is broken off doesn't matter.
		if closing := rows.Close(); err == nil {
			err = closing
		}
	}()
	if s.plan, err = columns.Resolve(rows.Columns(), e.Spec.Dataset); err != nil {
		return streamed{}, fmt.Errorf("%s: %w", from, err)
	}
	first, err := rows.Next()
	if errors.Is(err, io.EOF) {
		return streamed{}, fmt.Errorf("%s gave no rows: there is nothing to train on; check its conditions, and that the login sees the rows", from)
	}
	if err != nil {
		return streamed{}, err
	}
	if err := s.plan.CheckNumbers(first); err != nil {
		return streamed{}, fmt.Errorf("%s: %w", from, err)
	}

	parquet := parquetfiles.NewWriter(s.plan.Schema(), func(n int) *objects.Writer {
		key := fmt.Sprintf("%spart-%05d.parquet", manifest.DataPrefix(naming.Pipeline, naming.Run, naming.Attempt), n)
		return e.Bucket.NewWriter(ctx, key, "application/vnd.apache.parquet")
	}, e.Sizes.Parquet)
	csv, err := channels.NewWriter(ctx, e.Bucket, s.plan, e.Spec.Dataset, naming, e.Sizes.ChannelFileBytes)
	if err != nil {
		return streamed{}, err
	}
	defer func() {
		if err != nil {
			parquet.Abort()
			csv.Abort()
		}
	}()

	toParquet, toChannels := make(chan arrow.RecordBatch, queue), make(chan arrow.RecordBatch, queue)
	group.Go(func() error {
		if err := drain(ctx, toParquet, parquet.Write); err != nil {
			return err
		}
		var err error
		s.files, err = parquet.Close()
		return err
	})
	group.Go(func() error {
		if err := drain(ctx, toChannels, csv.Write); err != nil {
			return err
		}
		var err error
		s.channels, err = csv.Close()
		return err
	})
	group.Go(func() error {
		var err error
		s.rows, err = e.read(ctx, rows, first, s.plan, toParquet, toChannels)
		if err != nil {
			return err
		}
		close(toParquet)
		close(toChannels)
		return nil
	})
	if err := group.Wait(); err != nil {
		// Batches that nobody took are the garbage collector's.
		return streamed{}, err
	}
	if err := s.complete(); err != nil {
		return streamed{}, err
	}
	return s, nil
}

// complete compares the counts of the three sides of the pass.
func (s streamed) complete() error {
	var inFiles, inChannels int64
	for _, f := range s.files {
		inFiles += f.Rows
	}
	for _, c := range s.channels.Channels {
		inChannels += c.Rows
	}
	if inFiles != s.rows || inChannels != s.rows {
		return fmt.Errorf("of %d rows that were read, %d are in Parquet and %d in the channels: this is a fault of the export", s.rows, inFiles, inChannels)
	}
	return nil
}

// read gathers the rows into batches and gives each to both encoders.
func (e *Exporter) read(ctx context.Context, rows source, row []any, plan *columns.Plan, to ...chan<- arrow.RecordBatch) (int64, error) {
	maxRows, maxBytes := e.Sizes.BatchRows, e.Sizes.BatchBytes
	if maxRows == 0 {
		maxRows = DefaultBatchRows
	}
	if maxBytes == 0 {
		maxBytes = DefaultBatchBytes
	}
	batcher := columns.NewBatcher(plan)
	defer batcher.Release()
	send := func() error {
		batch := batcher.Batch()
		defer batch.Release()
		for _, c := range to {
			batch.Retain()
			select {
			case c <- batch:
			case <-ctx.Done():
				batch.Release()
				return context.Cause(ctx)
			}
		}
		return nil
	}
	var total int64
	for {
		if err := batcher.Append(row); err != nil {
			return 0, err
		}
		total++
		if batcher.Rows() >= maxRows || batcher.Bytes() >= maxBytes {
			if err := send(); err != nil {
				return 0, err
			}
		}
		var err error
		if row, err = rows.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
	}
	if batcher.Rows() == 0 {
		return total, nil
	}
	return total, send()
}

// drain encodes batches until there are no more, and gives up when somebody else failed.
func drain(ctx context.Context, batches <-chan arrow.RecordBatch, encode func(arrow.RecordBatch) error) error {
	for {
		select {
		case batch, more := <-batches:
			if !more {
				return nil
			}
			err := encode(batch)
			batch.Release()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func signatureOf(spec pipeline.Spec, id run.ID, plan *columns.Plan, example string) signature.Signature {
	s := signature.Signature{
		Version: signature.Version, Pipeline: spec.Pipeline, Run: id, Task: string(spec.Dataset.Task),
		Label: plan.Columns[plan.Label].Name, ContentType: channels.ContentType, Accept: channels.ContentType, Example: example,
	}
	if spec.Dataset.Task == pipeline.Binary {
		s.Threshold = binaryThreshold
	}
	for _, i := range plan.Features {
		c := plan.Columns[i]
		s.Features = append(s.Features, signature.Feature{Name: c.Name, SQLType: c.Type.SQL, Nullable: c.Nullable})
	}
	return s
}
