package columns

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/signature"
)

// encoding is a column's categories, found by value.
type encoding struct {
	signature.Encoding
	places map[string]int
}

func newEncoding(kind string, declared []string, unknown pipeline.Unknown, t Type) (*encoding, error) {
	e := &encoding{Encoding: signature.Encoding{Kind: kind, Unknown: string(unknown)}, places: map[string]int{}}
	switch unknown {
	case "":
		e.Unknown = signature.FailOnUnknown
	case pipeline.FailOnUnknown, pipeline.MissingUnknown:
	default:
		return nil, fmt.Errorf("unknown is %q: it is %s or %s", unknown, pipeline.FailOnUnknown, pipeline.MissingUnknown)
	}
	for i, category := range declared {
		plain, err := t.plain(category)
		if err != nil {
			return nil, err
		}
		if _, twice := e.places[plain]; twice {
			return nil, fmt.Errorf("%s has the category %q twice", kind, category)
		}
		e.places[plain] = i
		e.Categories = append(e.Categories, plain)
	}
	return e, nil
}

// plain gives a value that somebody wrote into the configuration the form that appendPlain gives to the column's values.
func (t Type) plain(declared string) (string, error) {
	wrong := func() (string, error) {
		return "", fmt.Errorf("%q is no value of a column of type %s", declared, t.SQL)
	}
	switch t.kind {
	case boolKind:
		if declared != "0" && declared != "1" {
			return wrong()
		}
	case int16Kind, int32Kind, int64Kind:
		n, err := strconv.ParseInt(declared, 10, 64)
		if err != nil {
			return wrong()
		}
		return strconv.FormatInt(n, 10), nil
	case decimalKind:
		n, err := parseDecimal([]byte(declared), t.scale)
		if err != nil {
			return wrong()
		}
		plain := appendDecimal(nil, n, t.scale)
		if t.scale > 0 {
			plain = trimZeros(plain)
		}
		return string(plain), nil
	case float64Kind, float32Kind:
		bits := 64
		if t.kind == float32Kind {
			bits = 32
		}
		f, err := strconv.ParseFloat(declared, bits)
		if err != nil {
			return wrong()
		}
		return strconv.FormatFloat(unsignedZero(f), 'g', -1, bits), nil
	case stringKind, variantKind:
		return strings.TrimRight(declared, " "), nil
	case guidKind:
		return strings.ToUpper(declared), nil
	}
	return declared, nil
}

// Encoding is how a feature becomes columns of a channel; nil: it is a number, and one column.
func (c Column) Encoding() *signature.Encoding {
	if c.encoding == nil {
		return nil
	}
	return &c.encoding.Encoding
}

// AppendFeature writes a feature as a channel needs it, in as many columns as its encoding makes. known is false for a value outside the
// declared categories that a rule takes for a missing one; without such a rule it is an error.
func (c Column) AppendFeature(dst []byte, values arrow.Array, row int) (_ []byte, known bool, err error) {
	e := c.encoding
	if e == nil {
		dst, err = c.AppendNumber(dst, values, row)
		return dst, true, err
	}
	if values.IsNull(row) {
		return e.Append(dst, -1), true, nil
	}
	var scratch [64]byte
	_, value := c.appendPlain(scratch[:0], values, row)
	place, known := e.places[string(value)]
	if !known {
		if e.Unknown == signature.FailOnUnknown {
			return dst, false, fmt.Errorf("column %q has the value %q, which is none of its categories (%s): add it under dataset.columns.%s.%s, or set unknown to %s",
				c.Name, shorten(string(value)), strings.Join(e.Categories, ", "), c.Name, e.Kind, signature.MissingUnknown)
		}
		place = -1
	}
	return e.Append(dst, place), known, nil
}

// AppendLabel writes the label as a channel needs it: 1 and 0 where the dataset says which values are positive, otherwise the number.
// NULL gives nothing.
func (p *Plan) AppendLabel(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error) {
	c, values := p.Columns[p.Label], batch.Column(p.Label)
	if p.positive == nil || values.IsNull(row) {
		return c.AppendNumber(dst, values, row)
	}
	var scratch [64]byte
	_, value := c.appendPlain(scratch[:0], values, row)
	if p.positive[string(value)] {
		return append(dst, '1'), nil
	}
	return append(dst, '0'), nil
}
