// Package channels writes what the training job reads, dealt to train, validation and test, and what a model that scores batches does.
package channels

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/split"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// DefaultFileBytes is the size after which a channel's next file begins.
const DefaultFileBytes = 256 << 20

// Options are a Writer's.
type Options struct {
	// FileBytes is the size after which a channel's next file begins. 0: DefaultFileBytes.
	FileBytes int64
	// Batch has each row written to the channel "batch" as well, whatever the split and its label.
	Batch bool
}

// names are those of a Writer's channels, by their places; the batch's is the last.
var names = append(split.Channels[:], manifest.Batch)

const batchPlace = len(split.Channels)

// Writer deals rows to the channels. It is for one goroutine.
type Writer struct {
	ctx    context.Context //nolint:containedctx // it outlives one call: the channels are streams
	bucket *objects.Bucket
	plan   *columns.Plan
	format Format
	naming Naming
	limit  int64
	batch  bool

	// deal gives the channel of a row.
	deal func(batch arrow.RecordBatch, row int) (int, error)
	// skipNullLabel leaves rows without a label out.
	skipNullLabel bool

	channels [batchPlace + 1]channel
	skipped  int64
	line     []byte
	smoke    []byte
}

// Naming is what the keys of the files are made of.
type Naming struct {
	Pipeline string
	Run      run.ID
	Attempt  string
}

type channel struct {
	object   *objects.Writer
	lines    bytes.Buffer
	rows     int64 // of the channel
	fileRows int64 // of the open file
	files    []manifest.File
}

// flushBytes is how many bytes of lines are gathered before they go to the stream.
const flushBytes = 64 << 10

// NewWriter makes a Writer of the dataset's format.
func NewWriter(ctx context.Context, b *objects.Bucket, p *columns.Plan, d pipeline.Dataset, n Naming, o Options) (*Writer, error) {
	format, err := NewFormat(p, d)
	if err != nil {
		return nil, err
	}
	deal, err := newDeal(p, d.Split)
	if err != nil {
		return nil, err
	}
	if o.FileBytes == 0 {
		o.FileBytes = DefaultFileBytes
	}
	return &Writer{
		ctx: ctx, bucket: b, plan: p, format: format, naming: n, limit: o.FileBytes, batch: o.Batch, deal: deal,
		skipNullLabel: d.NullLabel == pipeline.SkipNullLabel,
	}, nil
}

// newDeal gives the function that chooses the channel of a row, by its moment or by its key.
func newDeal(p *columns.Plan, s pipeline.Split) (func(arrow.RecordBatch, int) (int, error), error) {
	if s.Time == nil {
		dealer, err := split.New(s)
		if err != nil {
			return nil, err
		}
		var key []byte
		return func(batch arrow.RecordBatch, row int) (int, error) {
			key = p.AppendKey(key[:0], batch, row)
			return dealer.Deal(key), nil
		}, nil
	}
	calendar, err := split.NewCalendar(*s.Time)
	if err != nil {
		return nil, err
	}
	column := p.Columns[p.Time]
	return func(batch arrow.RecordBatch, row int) (int, error) {
		at, ok := column.Time(batch.Column(p.Time), row)
		if !ok {
			return 0, fmt.Errorf("%q, which dataset.split.time splits by, is NULL in the row with %s: leave such rows out in the query, or give them a time", column.Name, p.KeyText(batch, row))
		}
		return calendar.Deal(at), nil
	}, nil
}

// Write deals the rows of a batch. A row that the model can't be trained on, or can't score, is an error that names its key.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	for row := range int(batch.NumRows()) {
		if w.batch {
			line, err := w.format.AppendScored(w.line[:0], batch, row)
			w.line = line
			if err != nil {
				return fmt.Errorf("%w, in the row with %s", err, w.plan.KeyText(batch, row))
			}
			if err := w.add(batchPlace, line); err != nil {
				return err
			}
		}
		if w.skipNullLabel && batch.Column(w.plan.Label).IsNull(row) {
			w.skipped++
			continue
		}
		line, err := w.format.AppendRow(w.line[:0], batch, row)
		w.line = line
		if err != nil {
			return fmt.Errorf("%w, in the row with %s", err, w.plan.KeyText(batch, row))
		}
		to, err := w.deal(batch, row)
		if err != nil {
			return err
		}
		if err := w.add(to, line); err != nil {
			return err
		}
	}
	if w.smoke == nil {
		return w.chooseSmoke(batch)
	}
	return nil
}

// chooseSmoke takes the first row without a NULL among its features as the example of a request, or else the first row.
func (w *Writer) chooseSmoke(batch arrow.RecordBatch) error {
	if batch.NumRows() == 0 {
		return nil
	}
	chosen := 0
rows:
	for row := range int(batch.NumRows()) {
		for _, f := range w.plan.Features {
			if batch.Column(f).IsNull(row) {
				continue rows
			}
		}
		chosen = row
		break
	}
	var err error
	if w.smoke, err = w.format.AppendRequest([]byte{}, batch, chosen); err != nil {
		return fmt.Errorf("%w, in the row with %s", err, w.plan.KeyText(batch, chosen))
	}
	return nil
}

func (w *Writer) add(to int, line []byte) error {
	c := &w.channels[to]
	c.lines.Write(line)
	c.rows++
	c.fileRows++
	if c.lines.Len() < flushBytes {
		return nil
	}
	if err := w.flush(to); err != nil {
		return err
	}
	if c.object.Size() >= w.limit {
		return w.finish(to)
	}
	return nil
}

func (w *Writer) flush(to int) error {
	c := &w.channels[to]
	if c.object == nil {
		key := manifest.ChannelKey(w.naming.Pipeline, w.naming.Run, w.naming.Attempt, names[to], len(c.files))
		c.object = w.bucket.NewWriter(w.ctx, key, w.format.ContentType())
	}
	_, err := c.object.Write(c.lines.Bytes())
	c.lines.Reset()
	return err
}

func (w *Writer) finish(to int) error {
	c := &w.channels[to]
	if c.lines.Len() > 0 {
		if err := w.flush(to); err != nil {
			return err
		}
	}
	if c.object == nil {
		return nil
	}
	object, err := c.object.Close()
	if err != nil {
		return err
	}
	c.files = append(c.files, manifest.File{Object: object, Format: w.format.Name(), Channel: names[to], Rows: c.fileRows})
	c.object, c.fileRows = nil, 0
	return nil
}

// Result is what the channels became.
type Result struct {
	Files []manifest.File
	Smoke manifest.Smoke
	// Rows are those in the channels that are trained on, and Skipped those that a rule left out of them.
	Rows, Skipped int64
	// Batch are the rows in the channel "batch".
	Batch int64
	// Unknown counts, by column, the values outside the declared categories; nil without any.
	Unknown map[string]int64
}

// Close ends the files.
func (w *Writer) Close() (Result, error) {
	r := Result{Skipped: w.skipped, Unknown: w.format.Unknown()}
	if w.smoke != nil {
		r.Smoke = manifest.Smoke{ContentType: w.format.ContentType(), Body: string(w.smoke)}
	}
	for i := range w.channels {
		if err := w.finish(i); err != nil {
			return Result{}, err
		}
		r.Files = append(r.Files, w.channels[i].files...)
	}
	for i := range split.Channels {
		r.Rows += w.channels[i].rows
	}
	r.Batch = w.channels[batchPlace].rows
	return r, nil
}

// Abort leaves nothing of the files that are open.
func (w *Writer) Abort() {
	for i := range w.channels {
		if o := w.channels[i].object; o != nil {
			o.Abort()
		}
	}
}

// CheckShares says which channels have a share of a run's rows and got none: the training job would fail on them later and say less.
func CheckShares(s pipeline.Split, rows map[string]int64) error {
	var total int64
	var counts, empty []string
	for i, share := range []float64{s.Train, s.Validation, s.Test} {
		name := split.Channels[i]
		total += rows[name]
		counts = append(counts, fmt.Sprintf("%s %d", name, rows[name]))
		if (share > 0 || s.Time != nil) && rows[name] == 0 {
			empty = append(empty, name)
		}
	}
	if len(empty) == 0 {
		return nil
	}
	without := fmt.Sprintf("the split leaves %s without a row (%s, of %d rows)", strings.Join(empty, " and "), strings.Join(counts, ", "), total)
	if s.Time != nil {
		return fmt.Errorf("%s: it is by time, validation from %s and test from %s; move dataset.split.time so that each has rows, or read more of them",
			without, s.Time.ValidationFrom, s.Time.TestFrom)
	}
	return fmt.Errorf("%s: give it a larger share, or set its share to 0 (train always needs one), or read more rows; dataset.split.salt deals the rows anew", without)
}
