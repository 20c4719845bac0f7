package columns

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Batcher turns rows into batches.
type Batcher struct {
	plan    *Plan
	builder *array.RecordBuilder
	append  []func(v any) (int, error)
	rows    int
	bytes   int
}

// NewBatcher makes a Batcher for the plan's columns. Release it.
func NewBatcher(p *Plan) *Batcher {
	b := &Batcher{plan: p, builder: array.NewRecordBuilder(memory.DefaultAllocator, p.Schema())}
	for i, c := range p.Columns {
		b.append = append(b.append, appender(b.builder.Field(i), c.Type))
	}
	return b
}

// Append adds a row of the result, with all its columns as the driver gives them.
func (b *Batcher) Append(row []any) error {
	for i, c := range b.plan.Columns {
		v := row[c.source]
		if v == nil {
			b.builder.Field(i).AppendNull()
			b.bytes++
			continue
		}
		n, err := b.append[i](v)
		if err != nil {
			return fmt.Errorf("column %q (%s): %w", c.Name, c.Type.SQL, err)
		}
		b.bytes += n
	}
	b.rows++
	return nil
}

// Rows and Bytes are the size of the batch so far; the bytes are those of the values.
func (b *Batcher) Rows() int { return b.rows }

// Bytes is the size of the values so far.
func (b *Batcher) Bytes() int { return b.bytes }

// Batch gives what was appended since the last call. Release it.
func (b *Batcher) Batch() arrow.RecordBatch {
	b.rows, b.bytes = 0, 0
	return b.builder.NewRecordBatch()
}

// Release frees what was not given out.
func (b *Batcher) Release() { b.builder.Release() }

// appender gives the function that adds the driver's value to a builder and returns its size in bytes.
func appender(to array.Builder, t Type) func(v any) (int, error) {
	switch t.kind {
	case boolKind:
		return appendAs(func(v bool) (int, error) { to.(*array.BooleanBuilder).Append(v); return 1, nil })
	case int16Kind:
		return appendAs(func(v int64) (int, error) { to.(*array.Int16Builder).Append(int16(v)); return 2, nil })
	case int32Kind:
		return appendAs(func(v int64) (int, error) { to.(*array.Int32Builder).Append(int32(v)); return 4, nil })
	case int64Kind:
		return appendAs(func(v int64) (int, error) { to.(*array.Int64Builder).Append(v); return 8, nil })
	case decimalKind:
		return appendAs(func(v []byte) (int, error) {
			n, err := parseDecimal(v, t.scale)
			if err != nil {
				return 0, err
			}
			to.(*array.Decimal128Builder).Append(n)
			return 16, nil
		})
	case float64Kind:
		return appendAs(func(v float64) (int, error) { to.(*array.Float64Builder).Append(v); return 8, nil })
	case float32Kind:
		return appendAs(func(v float64) (int, error) { to.(*array.Float32Builder).Append(float32(v)); return 4, nil })
	case dateKind:
		return appendAs(func(v time.Time) (int, error) {
			to.(*array.Date32Builder).Append(arrow.Date32(floorDiv(v.Unix(), 86_400)))
			return 4, nil
		})
	case timeKind:
		return appendAs(func(v time.Time) (int, error) {
			seconds := int64(v.Hour()*3600 + v.Minute()*60 + v.Second())
			to.(*array.Time64Builder).Append(arrow.Time64(seconds*1_000_000 + int64(v.Nanosecond()/1_000)))
			return 8, nil
		})
	case timestampKind, instantKind:
		// UnixMicro drops the seventh digit toward the past, as the nanoseconds of a time.Time always count forward.
		return appendAs(func(v time.Time) (int, error) {
			to.(*array.TimestampBuilder).Append(arrow.Timestamp(v.UnixMicro()))
			return 8, nil
		})
	case stringKind:
		return appendAs(func(v string) (int, error) { to.(*array.StringBuilder).Append(v); return len(v) + 4, nil })
	case guidKind:
		var text [36]byte
		return appendAs(func(v []byte) (int, error) {
			if len(v) != 16 {
				return 0, fmt.Errorf("a uniqueidentifier of %d bytes", len(v))
			}
			to.(*array.StringBuilder).Append(string(appendGUID(text[:0], v)))
			return 40, nil
		})
	case binaryKind:
		return appendAs(func(v []byte) (int, error) { to.(*array.BinaryBuilder).Append(v); return len(v) + 4, nil })
	}
	panic(fmt.Sprintf("the type %q was not made by TypeOf", t.SQL))
}

// appendAs guards against a driver that gives another Go type than it is known to.
func appendAs[T any](f func(T) (int, error)) func(any) (int, error) {
	return func(v any) (int, error) {
		typed, ok := v.(T)
		if !ok {
			return 0, fmt.Errorf("the driver gave a %T where a %T was expected", v, typed)
		}
		return f(typed)
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// appendGUID writes 16 bytes in the order of their text, in upper case as SQL Server does.
func appendGUID(dst, id []byte) []byte {
	const digits = "0123456789ABCDEF"
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}
