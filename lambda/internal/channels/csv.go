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

// csv is one line for each row, without a header: the label, then the features. It holds numbers only, so nothing needs quotes.
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
