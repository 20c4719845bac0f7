package channels

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/pipeline"
)

// ContentType of the csv channels, and of a request to the model and its answer.
const ContentType = "text/csv"

// csv is one line for each row, without a header: the label, then the features. They are numbers only, so nothing needs quotes. Where a row is scored,
// its key's columns are in the label's place, and they may be any text.
type csv struct {
	plan    *columns.Plan
	task    pipeline.Task
	unknown map[string]int64
}

var _ Format = (*csv)(nil)

func (*csv) Name() string { return string(pipeline.CSV) }

func (*csv) ContentType() string { return ContentType }

func (f *csv) Unknown() map[string]int64 { return f.unknown }

func (f *csv) AppendRow(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error) {
	dst, err := f.appendLabel(dst, batch, row)
	if err != nil {
		return dst, err
	}
	dst, err = f.appendFeatures(append(dst, ','), batch, row, func(column string) {
		if f.unknown == nil {
			f.unknown = map[string]int64{}
		}
		f.unknown[column]++
	})
	return append(dst, '\n'), err
}

func (f *csv) AppendRequest(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error) {
	return f.appendFeatures(dst, batch, row, func(string) {})
}

func (f *csv) AppendScored(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error) {
	for _, place := range f.plan.Key {
		start := len(dst)
		if !batch.Column(place).IsNull(row) {
			dst = f.plan.Columns[place].AppendText(dst, batch.Column(place), row)
			// SageMaker cuts a file into records at line breaks, whether they are within quotes or not.
			if bytes.ContainsAny(dst[start:], "\r\n") {
				return dst, fmt.Errorf("the key %q holds a line break, and a batch is scored line by line: replace it in the query", f.plan.Columns[place].Name)
			}
			dst = quoted(dst, start)
		}
		dst = append(dst, ',')
	}
	dst, err := f.AppendRequest(dst, batch, row)
	return append(dst, '\n'), err
}

// quoted puts the field of dst that begins at start into quotes, as RFC 4180 has them, where it needs them. A text without characters has them, so that
// it is no NULL; and one that begins or ends with a blank, which some readers would take for nothing.
func quoted(dst []byte, start int) []byte {
	field := dst[start:]
	if len(field) > 0 && !bytes.ContainsAny(field, `,"`) && field[0] != ' ' && field[len(field)-1] != ' ' {
		return dst
	}
	text := bytes.ReplaceAll(field, []byte(`"`), []byte(`""`)) // a copy
	return append(append(append(dst[:start], '"'), text...), '"')
}

func (f *csv) appendLabel(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error) {
	label := f.plan.Columns[f.plan.Label]
	if batch.Column(f.plan.Label).IsNull(row) {
		return dst, fmt.Errorf("the label %q is NULL: a row without a label can't be trained on, leave it out in the query (WHERE %s IS NOT NULL), set dataset.nullLabel to %s, or give it one",
			label.Name, label.Name, pipeline.SkipNullLabel)
	}
	start := len(dst)
	dst, err := f.plan.AppendLabel(dst, batch, row)
	if err != nil || f.task != pipeline.Binary {
		return dst, err
	}
	switch plain := trimFraction(dst[start:]); string(plain) {
	case "0", "1":
		return append(dst[:start], plain...), nil
	}
	return dst, fmt.Errorf("the label %q is %s: a binary label is 0 or 1 (name the values that mean 1 under dataset.positive; for other numbers set dataset.task to regression)", label.Name, dst[start:])
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

func (f *csv) appendFeatures(dst []byte, batch arrow.RecordBatch, row int, unknown func(column string)) ([]byte, error) {
	for i, place := range f.plan.Features {
		if i > 0 {
			dst = append(dst, ',')
		}
		column := f.plan.Columns[place]
		var known bool
		var err error
		if dst, known, err = column.AppendFeature(dst, batch.Column(place), row); err != nil {
			return dst, err
		}
		if !known {
			unknown(column.Name)
		}
	}
	return dst, nil
}
