package evaluate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/internal/metrics"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// holdout is the rows that models are measured on.
type holdout struct {
	evaluation.Holdout
	// files are the keys of the channel's files, in the order of its ManifestFile.
	files []string
	// of are the rows of the files that the run itself wrote; those of the other runs of its training window are known in sum.
	of map[string]int64
}

// holdout reads which files the gate's channel has.
func (e *Evaluator) holdout(ctx context.Context, m manifest.Manifest, g pipeline.Gate) (holdout, error) {
	channel, there := m.Channels[g.Holdout]
	if !there {
		return holdout{}, fmt.Errorf("run %s has no rows in the channel %q that the gate measures on: give it a share (dataset.split), or name another in gate.holdout", m.Run, g.Holdout)
	}
	h := holdout{
		Holdout: evaluation.Holdout{Channel: g.Holdout, Manifest: channel.Manifest, Rows: channel.Rows, Files: channel.Files},
		of:      map[string]int64{},
	}
	for _, f := range m.Files {
		if f.Channel == g.Holdout {
			h.of[f.Key] = f.Rows
		}
	}
	var err error
	if h.files, err = e.listed(ctx, channel.Manifest); err != nil {
		return holdout{}, err
	}
	if len(h.files) != channel.Files {
		return holdout{}, fmt.Errorf("s3://%s/%s names %d files, and the run's manifest says %d: it was changed after its commit", e.Bucket.Name(), channel.Manifest.Key, len(h.files), channel.Files)
	}
	return h, nil
}

// listed reads a ManifestFile of SageMaker's: an array of a prefix and the names behind it.
func (e *Evaluator) listed(ctx context.Context, o manifest.Object) ([]string, error) {
	stored, err := e.Bucket.ReadVersion(ctx, o.Key, o.VersionID)
	if err != nil {
		return nil, fmt.Errorf("reading the list of the hold-out's files: %w", err)
	}
	var entries []json.RawMessage
	var first struct {
		Prefix string `json:"prefix"`
	}
	err = json.Unmarshal(stored.Body, &entries)
	if err == nil && len(entries) == 0 {
		err = errors.New("it is empty")
	}
	if err == nil {
		err = json.Unmarshal(entries[0], &first)
	}
	if err != nil {
		return nil, fmt.Errorf("decoding the list of the hold-out's files s3://%s/%s: %w", e.Bucket.Name(), o.Key, err)
	}
	prefix, ours := strings.CutPrefix(first.Prefix, "s3://"+e.Bucket.Name()+"/")
	if !ours {
		return nil, fmt.Errorf("the hold-out's files are below %s, and not in the bucket %s", first.Prefix, e.Bucket.Name())
	}
	files := make([]string, len(entries)-1)
	for i, entry := range entries[1:] {
		if err := json.Unmarshal(entry, &files[i]); err != nil {
			return nil, fmt.Errorf("decoding the list of the hold-out's files s3://%s/%s: %w", e.Bucket.Name(), o.Key, err)
		}
		files[i] = prefix + files[i]
	}
	return files, nil
}

// incompleteError is a hold-out that was scored in part, or not at all.
type incompleteError struct {
	problem string
	// none says that there is no score at all.
	none bool
}

func (e *incompleteError) Error() string {
	return e.problem + ": a model isn't judged by a part of the hold-out; run the evaluation again"
}

// outputs finds the scores of each file below a prefix. A batch transform writes the scores of .../validation/x.csv to .../x.csv.out, below as
// many of the input's folders as it keeps: the folders that are there have to be the input's last ones.
func (e *Evaluator) outputs(ctx context.Context, files []string, prefix string) ([]string, error) {
	listed, err := e.Bucket.List(ctx, prefix, "")
	if err != nil {
		return nil, fmt.Errorf("looking for the scores: %w", err)
	}
	if len(listed) == 0 {
		return nil, &incompleteError{problem: fmt.Sprintf("there are no scores below s3://%s/%s", e.Bucket.Name(), prefix), none: true}
	}
	there := make(map[string]bool, len(listed))
	for _, o := range listed {
		there[strings.TrimPrefix(o.Key, prefix)] = true
	}
	found, of := make([]string, len(files)), make(map[string]string, len(files))
	for i, file := range files {
		for rest, more := file, true; more; _, rest, more = strings.Cut(rest, "/") {
			if there[rest+".out"] {
				found[i] = prefix + rest + ".out"
				break
			}
		}
		if found[i] == "" {
			return nil, &incompleteError{problem: fmt.Sprintf("the hold-out's file s3://%s/%s has no scores below s3://%s/%s", e.Bucket.Name(), file, e.Bucket.Name(), prefix)}
		}
		if other, taken := of[found[i]]; taken {
			return nil, fmt.Errorf("the scores s3://%s/%s are those of %s and of %s at once: the batch transform wrote one over the other", e.Bucket.Name(), found[i], other, file)
		}
		of[found[i]] = file
	}
	return found, nil
}

// scored is what a model answers on a hold-out, row by row. The rows of its file i begin at starts[i].
type scored struct {
	labels, scores []float64
	starts         []int
}

// file gives the labels of a file.
func (s scored) file(i int) []float64 {
	if i == len(s.starts)-1 {
		return s.labels[s.starts[i]:]
	}
	return s.labels[s.starts[i]:s.starts[i+1]]
}

// read reads the scores of a hold-out as streams. With the rows of another model each label has to be the same as there.
func (e *Evaluator) read(ctx context.Context, h holdout, prefix string, other *scored) (scored, error) {
	if h.Rows > metrics.MaxRows {
		return scored{}, fmt.Errorf("the hold-out has %d rows, more than the %d that are compared at a time: give the channel %q a smaller share (dataset.split), or the training a shorter window", h.Rows, metrics.MaxRows, h.Channel)
	}
	outputs, err := e.outputs(ctx, h.files, prefix)
	if err != nil {
		return scored{}, err
	}
	parts, total := make([]scored, len(outputs)), atomic.Int64{}
	if err := each(ctx, len(outputs), func(ctx context.Context, i int) error {
		part := &parts[i]
		if err := e.lines(ctx, outputs[i], func(line []byte) error {
			label, score, err := parse(line, e.Spec.Dataset.Task)
			if err != nil {
				return err
			}
			if n := len(part.labels); other != nil && (n >= len(other.file(i)) || other.file(i)[n] != label) {
				return errors.New("it isn't the row that the other model was asked for: the labels differ")
			}
			if total.Add(1) > h.Rows {
				return fmt.Errorf("more rows were scored than the %d that the hold-out has", h.Rows)
			}
			part.labels, part.scores = append(part.labels, label), append(part.scores, score)
			return nil
		}); err != nil {
			return err
		}
		if want, known := h.of[h.files[i]]; known && int64(len(part.scores)) != want {
			return e.short(outputs[i], int64(len(part.scores)), h.files[i], want)
		}
		return nil
	}); err != nil {
		return scored{}, err
	}
	if total.Load() != h.Rows {
		return scored{}, e.missing(ctx, h, outputs, parts)
	}
	all := scored{labels: make([]float64, 0, h.Rows), scores: make([]float64, 0, h.Rows), starts: make([]int, len(parts))}
	for i, part := range parts {
		all.starts[i] = len(all.labels)
		all.labels, all.scores = append(all.labels, part.labels...), append(all.scores, part.scores...)
		parts[i] = scored{}
	}
	return all, nil
}

// readers is how many files are read at a time: an append load's window can have 50,000 small ones.
const readers = 16

// each does something for each of n files, some at a time, and ends with the first error.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i := range n {
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				return err // another file's
			}
			return do(ctx, i)
		})
	}
	return group.Wait()
}

func (e *Evaluator) short(output string, rows int64, file string, want int64) error {
	return &incompleteError{problem: fmt.Sprintf("s3://%s/%s has the scores of %d rows, and the hold-out's file s3://%s/%s has %d", e.Bucket.Name(), output, rows, e.Bucket.Name(), file, want)}
}

// missing names a file whose scores are short, by counting the rows of those that the run's manifest doesn't tell of.
func (e *Evaluator) missing(ctx context.Context, h holdout, outputs []string, parts []scored) error {
	if err := each(ctx, len(outputs), func(ctx context.Context, i int) error {
		if _, known := h.of[h.files[i]]; known {
			return nil
		}
		var want int64
		if err := e.lines(ctx, h.files[i], func([]byte) error { want++; return nil }); err != nil {
			return err
		}
		if rows := int64(len(parts[i].scores)); rows != want {
			return e.short(outputs[i], rows, h.files[i], want)
		}
		return nil
	}); err != nil {
		return err
	}
	return &incompleteError{problem: fmt.Sprintf("the hold-out's files have fewer rows than the %d that the run's manifest says", h.Rows)}
}

// longestLine bounds a line of a channel's file: a row of ten thousand features has about 200 KB.
const longestLine = 4 << 20

// lines gives each line of an object that isn't blank. An error names the line.
func (e *Evaluator) lines(ctx context.Context, key string, each func(line []byte) error) error {
	stream, err := e.Bucket.Open(ctx, key, "")
	if err != nil {
		return err
	}
	defer stream.Close()
	lines, n := newScanner(stream), 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := each(lines.Bytes()); err != nil {
			if errors.Is(err, errEnough) {
				return nil
			}
			return fmt.Errorf("s3://%s/%s, line %d: %w", e.Bucket.Name(), key, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading s3://%s/%s after line %d: %w", e.Bucket.Name(), key, n, err)
	}
	return nil
}

// errEnough ends lines before the last one.
var errEnough = errors.New("enough")

func newScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 256<<10), longestLine)
	return s
}

// parse reads a line of a batch transform's output: label and score. What it holds is in no error.
func parse(line []byte, task pipeline.Task) (label, score float64, err error) {
	first, second, two := bytes.Cut(bytes.TrimSpace(line), []byte(","))
	if !two || bytes.IndexByte(second, ',') >= 0 {
		return 0, 0, fmt.Errorf("it has %d fields, and label and score are due: the transform joins its input and keeps $[0,-1]", 1+bytes.Count(line, []byte(",")))
	}
	if label, err = number("label", first); err != nil {
		return 0, 0, err
	}
	if task == pipeline.Binary && label != 0 && label != 1 {
		return 0, 0, errors.New("the label is neither 0 nor 1, as those of a binary task are")
	}
	score, err = number("score", second)
	return label, score, err
}

func number(what string, text []byte) (float64, error) {
	x, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
	switch {
	case math.IsNaN(x):
		return 0, fmt.Errorf("the %s is NaN: a model that answers so isn't compared", what)
	case math.IsInf(x, 0):
		return 0, fmt.Errorf("the %s is infinite, or too large for a number: a model that answers so isn't compared", what)
	case err != nil:
		return 0, fmt.Errorf("the %s is no number", what)
	}
	return x, nil
}
