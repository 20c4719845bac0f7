package export

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/internal/channels"
	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// queue is how many batches wait for each encoder: one, so that reading goes on while the last is encoded.
const queue = 1

// Streams is how many objects a pipeline writes at a time at most: for each connection Parquet and three channels, and a fourth for batches.
func Streams(s pipeline.Spec) int {
	each := 4
	if s.Deploy == pipeline.Batch {
		each++
	}
	return each * max(1, s.Limits.Connections)
}

// segment is what one pass over some rows gave.
type segment struct {
	counts manifest.Counts
	files  []manifest.File
	smoke  manifest.Smoke
	keys   *manifest.KeyFile
	recent *manifest.KeyFile
	// statistics are nil where nothing is asked of the run's data.
	statistics *manifest.Statistics
}

// source is rows that are being read; its columns are known once the first row, or the end, was.
type source interface {
	Columns() []sqlserver.Column
	Next() ([]any, error)
	Close() error
}

var _ source = (*result)(nil)

func (e *Exporter) withChannels() bool { return e.Spec.Dataset.Format != pipeline.NoChannels }

// scores says whether the model scores each run's rows.
func (e *Exporter) scores() bool { return e.withChannels() && e.Spec.Deploy == pipeline.Batch }

// agree says which sides of the counts don't.
func (e *Exporter) agree(c manifest.Counts) error {
	err := c.Check(e.withChannels())
	if err == nil && e.scores() {
		err = c.CheckBatch()
	}
	return err
}

// encode reads the rows on one goroutine, encodes them on two others, one for each form, and counts them on a fourth where something is asked of
// them. Memory is bounded by the batches in the queues, a row group, the bucket's buffers and what a quality.Collector holds. The context of the statement is not the encoders': its rows are closed when one of them fails.
func (e *Exporter) encode(ctx context.Context, f ledger.Frozen, from, name string, rows source) (s segment, err error) {
	defer func() {
		// After an error there are rows left, and how reading them is broken off doesn't matter.
		if closing := rows.Close(); err == nil {
			err = closing
		}
	}()
	first, err := rows.Next()
	empty := errors.Is(err, io.EOF)
	if err != nil && !empty {
		return segment{}, err
	}
	resolved, err := columns.Resolve(rows.Columns(), e.Spec.Dataset)
	if err != nil {
		return segment{}, fmt.Errorf("%s: %w", from, err)
	}
	if now := schemaHash(resolved.Manifest()); now != f.SchemaSHA256 {
		return segment{}, (&schemaChangeError{from: from, now: resolved.Manifest()}).refusal(f.Columns)
	}
	if empty {
		return segment{}, nil
	}
	if key, err := e.fingerprint(ctx, resolved); err != nil {
		return segment{}, err
	} else if key != f.HashKey {
		return segment{}, refuse(HashKeyChanged, "the secret's hashKey was changed while the run was being read: hashes of one run have one key; the next run has the new one")
	}
	if e.withChannels() {
		if err := resolved.CheckNumbers(first); err != nil {
			return segment{}, fmt.Errorf("%s: %w", from, err)
		}
	}
	known, err := e.newKnown(ctx, f, resolved, name)
	if err != nil {
		return segment{}, err
	}

	gate, err := e.gate(f)
	if err != nil {
		return segment{}, err
	}

	group, ctx := errgroup.WithContext(ctx)
	parquet := parquetfiles.NewWriter(resolved.Schema(), func(n int) *objects.Writer {
		return e.Bucket.NewWriter(ctx, manifest.DataKey(e.Spec.Pipeline, f.Run, name, n), "application/vnd.apache.parquet")
	}, e.Sizes.Parquet)
	encoders := []*encoder{{
		batches: make(chan arrow.RecordBatch, queue), write: parquet.Write, abort: parquet.Abort,
		end: func() error { var err error; s.files, err = parquet.Close(); return err },
	}}
	var channelled channels.Result
	if e.withChannels() {
		naming := channels.Naming{Pipeline: e.Spec.Pipeline, Run: f.Run, Attempt: name}
		writer, err := channels.NewWriter(ctx, e.Bucket, resolved, e.Spec.Dataset, naming, channels.Options{FileBytes: e.Sizes.ChannelFileBytes, Batch: e.scores()})
		if err != nil {
			return segment{}, err
		}
		encoders = append(encoders, &encoder{
			batches: make(chan arrow.RecordBatch, queue), write: writer.Write, abort: writer.Abort,
			end: func() error { var err error; channelled, err = writer.Close(); return err },
		})
	}
	if gate != nil {
		counting := gate.NewCollector(ctx, e.Bucket, func(file string) string { return manifest.KeysKey(e.Spec.Pipeline, f.Run, name, file) })
		encoders = append(encoders, &encoder{
			batches: make(chan arrow.RecordBatch, queue), write: counting.Add, abort: func() {}, // what it wrote is named by nothing
			end: func() error { var err error; s.statistics, err = counting.Close(); return err },
		})
	}
	defer func() {
		if err != nil {
			for _, one := range encoders {
				one.abort()
			}
		}
	}()
	for _, one := range encoders {
		group.Go(func() error { return one.run(ctx) })
	}
	group.Go(func() error {
		if err := e.read(ctx, rows, first, resolved, known, &s.counts, encoders); err != nil {
			return err
		}
		for _, one := range encoders {
			close(one.batches)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		// Batches that nobody took are the garbage collector's.
		return segment{}, err
	}
	for _, file := range s.files {
		s.counts.Parquet += file.Rows
	}
	s.files = append(s.files, channelled.Files...)
	s.smoke = channelled.Smoke
	s.counts.Channel, s.counts.Skipped, s.counts.Unknown = channelled.Rows, channelled.Skipped, channelled.Unknown
	s.counts.Batch = channelled.Batch
	if known != nil {
		s.keys, s.recent, err = known.write()
	}
	return s, err
}

// encoder writes batches in one form.
type encoder struct {
	batches chan arrow.RecordBatch
	write   func(arrow.RecordBatch) error
	end     func() error
	abort   func()
}

// run encodes batches until there are no more, and gives up when somebody else failed.
func (n *encoder) run(ctx context.Context) error {
	for {
		select {
		case batch, more := <-n.batches:
			if !more {
				return n.end()
			}
			err := n.write(batch)
			batch.Release()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read gathers the rows into batches and gives each to all encoders.
func (e *Exporter) read(ctx context.Context, rows source, row []any, resolved *columns.Plan, known *known, counts *manifest.Counts, encoders []*encoder) error {
	maxRows, maxBytes := e.Sizes.BatchRows, e.Sizes.BatchBytes
	if maxRows == 0 {
		maxRows = DefaultBatchRows
	}
	if maxBytes == 0 {
		maxBytes = DefaultBatchBytes
	}
	options := columns.BatchOptions{MaxValueBytes: orDefault(e.Spec.Limits.MaxValueBytes, DefaultMaxValueBytes)}
	if resolved.Hashes() {
		var err error
		if options.HashKey, err = e.HashKey(ctx); err != nil {
			return err
		}
	}
	batcher, err := columns.NewBatcher(resolved, options)
	if err != nil {
		return err
	}
	defer batcher.Release()
	send := func() error {
		batch := batcher.Batch()
		defer batch.Release()
		return known.each(batch, counts, func(part arrow.RecordBatch) error {
			for _, one := range encoders {
				part.Retain()
				select {
				case one.batches <- part:
				case <-ctx.Done():
					part.Release()
					return context.Cause(ctx)
				}
			}
			return nil
		})
	}
	for {
		if err := batcher.Append(row); err != nil {
			return err
		}
		counts.Decoded++
		if batcher.Rows() >= maxRows || batcher.Bytes() >= maxBytes {
			if err := send(); err != nil {
				return err
			}
		}
		var err error
		if row, err = rows.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	counts.Replaced = batcher.Replaced()
	if batcher.Rows() == 0 {
		return nil
	}
	return send()
}
