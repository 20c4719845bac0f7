// Package channels writes what the training job reads: CSV without a header, the label first, dealt to train, validation
// and test by the hash of the key.
package channels

import (
	"bytes"
	"context"
	"encoding/json"
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

// ContentType of the channels and of a request to the model.
const ContentType = "text/csv"

// DefaultFileBytes is the size after which a channel's next file begins.
const DefaultFileBytes = 256 << 20

// Writer deals rows to the channels. It is for one goroutine.
type Writer struct {
	ctx     context.Context //nolint:containedctx // it outlives one call: the channels are streams
	bucket  *objects.Bucket
	plan    *columns.Plan
	dealer  *split.Dealer
	dataset pipeline.Dataset
	naming  Naming
	limit   int64

	channels [len(split.Channels)]channel
	key      []byte
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

// NewWriter makes a Writer. fileBytes 0 means DefaultFileBytes.
func NewWriter(ctx context.Context, b *objects.Bucket, p *columns.Plan, d pipeline.Dataset, n Naming, fileBytes int64) (*Writer, error) {
	dealer, err := split.New(d.Split)
	if err != nil {
		return nil, err
	}
	if fileBytes == 0 {
		fileBytes = DefaultFileBytes
	}
	return &Writer{ctx: ctx, bucket: b, plan: p, dealer: dealer, dataset: d, naming: n, limit: fileBytes}, nil
}

// Write deals the rows of a batch. A label that the model can't be trained on is an error that names the row's key.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	if w.smoke == nil {
		if err := w.chooseSmoke(batch); err != nil {
			return err
		}
	}
	for row := range int(batch.NumRows()) {
		w.key = w.key[:0]
		for _, k := range w.plan.Key {
			w.key = w.plan.Columns[k].AppendKey(w.key, batch.Column(k), row)
		}
		line, err := w.appendLabel(w.line[:0], batch, row)
		if err != nil {
			return err
		}
		line, err = w.appendFeatures(append(line, ','), batch, row)
		w.line = line
		if err != nil {
			return fmt.Errorf("%w, in the row with %s", err, w.rowKey(batch, row))
		}
		if err := w.add(w.dealer.Deal(w.key), append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) appendLabel(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error) {
	label, values := w.plan.Columns[w.plan.Label], batch.Column(w.plan.Label)
	if values.IsNull(row) {
		return nil, fmt.Errorf("the label %q is NULL in the row with %s: a row without a label can't be trained on, leave it out in the query (WHERE %s IS NOT NULL) or give it one",
			label.Name, w.rowKey(batch, row), label.Name)
	}
	dst, err := label.AppendNumber(dst, values, row)
	if err != nil {
		return nil, fmt.Errorf("%w, in the row with %s", err, w.rowKey(batch, row))
	}
	if w.dataset.Task == pipeline.Binary {
		switch plain := trimFraction(dst); string(plain) {
		case "0", "1":
			return plain, nil
		}
		return nil, fmt.Errorf("the label %q is %s in the row with %s: a binary label is 0 or 1 (for other numbers set dataset.task to regression)",
			label.Name, dst, w.rowKey(batch, row))
	}
	return dst, nil
}

// trimFraction turns 1.00 and -0 into 1 and 0, and leaves a number with digits other than 0 after the point.
func trimFraction(number []byte) []byte {
	whole, fraction, _ := bytes.Cut(number, []byte("."))
	if len(bytes.Trim(fraction, "0")) > 0 {
		return number
	}
	if string(whole) == "-0" {
		return whole[1:]
	}
	return whole
}

func (w *Writer) appendFeatures(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error) {
	var err error
	for i, f := range w.plan.Features {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = w.plan.Columns[f].AppendNumber(dst, batch.Column(f), row); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// rowKey shows a row's key for a message.
func (w *Writer) rowKey(batch arrow.RecordBatch, row int) string {
	var parts []string
	for _, k := range w.plan.Key {
		c := w.plan.Columns[k]
		parts = append(parts, c.Name+"="+string(c.AppendText(nil, batch.Column(k), row)))
	}
	return strings.Join(parts, ", ")
}

// chooseSmoke takes the first row without a NULL among its features as the example of a request, or else the first row.
func (w *Writer) chooseSmoke(batch arrow.RecordBatch) error {
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
	w.smoke, err = w.appendFeatures([]byte{}, batch, chosen)
	return err
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
		key := fmt.Sprintf("%spart-%05d.csv", w.prefix(to), len(c.files))
		c.object = w.bucket.NewWriter(w.ctx, key, ContentType)
	}
	_, err := c.object.Write(c.lines.Bytes())
	c.lines.Reset()
	return err
}

func (w *Writer) prefix(to int) string {
	return manifest.ChannelPrefix(w.naming.Pipeline, w.naming.Run, w.naming.Attempt, split.Channels[to])
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
	c.files = append(c.files, manifest.File{Object: object, Format: "csv", Channel: split.Channels[to], Rows: c.fileRows})
	c.object, c.fileRows = nil, 0
	return nil
}

// Result is what the channels became.
type Result struct {
	Files    []manifest.File
	Channels map[string]manifest.Channel
	Smoke    manifest.Smoke
}

// Close ends the files and writes SageMaker's ManifestFile of each channel. A channel with a share but without a row is an
// error: the training job would fail on it later and say less.
func (w *Writer) Close() (Result, error) {
	if err := w.checkShares(); err != nil {
		return Result{}, err
	}
	r := Result{Channels: map[string]manifest.Channel{}, Smoke: manifest.Smoke{ContentType: ContentType, Body: string(w.smoke)}}
	for i := range w.channels {
		if err := w.finish(i); err != nil {
			return Result{}, err
		}
		c := &w.channels[i]
		if c.rows == 0 {
			continue
		}
		object, err := w.writeManifestFile(i)
		if err != nil {
			return Result{}, err
		}
		out := manifest.Channel{Manifest: object, Rows: c.rows, Files: len(c.files)}
		for _, f := range c.files {
			out.Bytes += f.Bytes
		}
		r.Channels[split.Channels[i]] = out
		r.Files = append(r.Files, c.files...)
	}
	return r, nil
}

func (w *Writer) checkShares() error {
	var total int64
	var counts, empty []string
	for i := range w.channels {
		total += w.channels[i].rows
		counts = append(counts, fmt.Sprintf("%s %d", split.Channels[i], w.channels[i].rows))
		if w.dealer.Share(i) > 0 && w.channels[i].rows == 0 {
			empty = append(empty, split.Channels[i])
		}
	}
	if len(empty) == 0 {
		return nil
	}
	return fmt.Errorf("the split leaves %s without a row (%s, of %d rows): give it a larger share, or set its share to 0 (train always needs one), or read more rows; dataset.split.salt deals the rows anew",
		strings.Join(empty, " and "), strings.Join(counts, ", "), total)
}

// writeManifestFile writes the list that SageMaker reads: the prefix, then the names below it.
func (w *Writer) writeManifestFile(to int) (manifest.Object, error) {
	prefix := w.prefix(to)
	list := []any{map[string]string{"prefix": "s3://" + w.bucket.Name() + "/" + prefix}}
	for _, f := range w.channels[to].files {
		list = append(list, strings.TrimPrefix(f.Key, prefix))
	}
	body, err := json.Marshal(list)
	if err != nil {
		return manifest.Object{}, fmt.Errorf("encoding the list of a channel's files: %w", err)
	}
	key := manifest.ChannelManifestKey(w.naming.Pipeline, w.naming.Run, w.naming.Attempt, split.Channels[to])
	return w.bucket.Put(w.ctx, key, "application/json", body)
}

// Abort leaves nothing of the files that are open.
func (w *Writer) Abort() {
	for i := range w.channels {
		if o := w.channels[i].object; o != nil {
			o.Abort()
		}
	}
}

// Rows is how many rows were dealt.
func (w *Writer) Rows() int64 {
	var n int64
	for i := range w.channels {
		n += w.channels[i].rows
	}
	return n
}
