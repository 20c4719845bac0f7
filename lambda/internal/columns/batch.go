package columns

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// BatchOptions are what a Batcher must know besides its columns.
type BatchOptions struct {
	// MaxValueBytes is the size of the largest value: of a text in UTF-8, of bytes as they are. 0: DefaultMaxValueBytes.
	MaxValueBytes int64
	// HashKey keys the hashes of the columns with such a rule. It has to be there when the plan has one.
	HashKey []byte
}

const (
	// DefaultMaxValueBytes keeps a function of 1 GB out of trouble: a value is there several times until it is in Parquet.
	DefaultMaxValueBytes = 8 << 20
	// minHashKey is the length in bytes below which the values of a hashed column could be found out by trying keys.
	minHashKey = 16
)

// Batcher turns rows into batches.
type Batcher struct {
	plan     *Plan
	options  BatchOptions
	builder  *array.RecordBuilder
	append   []appender
	hash     hash.Hash // nil without a hashed column
	rows     int
	bytes    int
	replaced int64
}

// NewBatcher makes a Batcher for the plan's columns. Release it.
func NewBatcher(p *Plan, o BatchOptions) (*Batcher, error) {
	if o.MaxValueBytes <= 0 {
		o.MaxValueBytes = DefaultMaxValueBytes
	}
	b := &Batcher{plan: p, options: o}
	if p.Hashes() {
		if len(o.HashKey) < minHashKey {
			return nil, p.hashKeyProblem(len(o.HashKey))
		}
		b.hash = hmac.New(sha256.New, o.HashKey)
	}
	fields := slices.Clone(p.schema.Fields())
	for i, c := range p.Columns {
		fields[i].Type = c.sent.Arrow()
	}
	b.builder = array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	for i, c := range p.Columns {
		b.append = append(b.append, b.appender(b.builder.Field(i), c.sent))
	}
	return b, nil
}

// Append adds a row of the result, with all its columns as the driver gives them. An error names the column and the row's key, and the
// Batcher is of no more use.
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
			return fmt.Errorf("column %q (%s), in the row with %s: %w", c.Name, c.sent.SQL, b.rowKey(row), err)
		}
		b.bytes += n
	}
	b.rows++
	return nil
}

// Rows is how many rows the batch has so far.
func (b *Batcher) Rows() int { return b.rows }

// Bytes is the size of the batch's values so far.
func (b *Batcher) Bytes() int { return b.bytes }

// Replaced is how many characters U+FFFD are in the texts of all batches so far. Halves of surrogate pairs without their other half become
// this character when the driver decodes a text, as bytes do that are no character of their code page. A U+FFFD that is stored as such counts
// too, because the driver doesn't tell them apart: 0 says that nothing was replaced.
func (b *Batcher) Replaced() int64 { return b.replaced }

// Batch gives what was appended since the last call. Release it.
func (b *Batcher) Batch() arrow.RecordBatch {
	b.rows, b.bytes = 0, 0
	batch := b.builder.NewRecordBatch()
	if b.hash == nil {
		return batch
	}
	defer batch.Release()
	columns := slices.Clone(batch.Columns())
	for i, c := range b.plan.Columns {
		if c.hashed {
			columns[i] = b.hashes(c, columns[i])
			defer columns[i].Release()
		}
	}
	return array.NewRecordBatch(b.plan.schema, columns, batch.NumRows())
}

// Release frees what was not given out.
func (b *Batcher) Release() { b.builder.Release() }

func (p *Plan) hashKeyProblem(has int) error {
	var hashed []string
	for _, c := range p.Columns {
		if c.hashed {
			hashed = append(hashed, c.Name)
		}
	}
	got := "has no hashKey"
	if has > 0 {
		got = fmt.Sprintf("has a hashKey of %d bytes", has)
	}
	return fmt.Errorf("dataset.columns hashes %s, and the database secret %s: put a random text of at least %d characters into the secret as hashKey, and keep it (with another one, the hashes of old and new runs don't match)",
		strings.Join(hashed, ", "), got, minHashKey)
}

// hashes gives the column that is written instead of a hashed one.
func (b *Batcher) hashes(c Column, values arrow.Array) arrow.Array {
	to := array.NewStringBuilder(memory.DefaultAllocator)
	defer to.Release()
	to.Reserve(values.Len())
	to.ReserveData(values.Len() * 2 * sha256.Size)
	c.Type = c.sent
	var plain, sum, text []byte
	for row := range values.Len() {
		if values.IsNull(row) {
			to.AppendNull()
			continue
		}
		_, plain = c.appendPlain(plain[:0], values, row)
		b.hash.Reset()
		b.hash.Write(plain)
		sum = b.hash.Sum(sum[:0])
		text = hex.AppendEncode(text[:0], sum)
		to.BinaryBuilder.Append(text)
	}
	return to.NewArray()
}

// rowKey shows the key of a row that isn't in the batch yet.
func (b *Batcher) rowKey(row []any) string {
	return b.plan.keyText(func(k int) []byte {
		c := b.plan.Columns[k]
		v := row[c.source]
		one := array.NewBuilder(memory.DefaultAllocator, c.sent.Arrow())
		defer one.Release()
		if v == nil {
			one.AppendNull()
		} else if _, err := (&Batcher{options: BatchOptions{MaxValueBytes: 1 << 31}}).appender(one, c.sent)(v); err != nil {
			return fmt.Append(nil, v)
		}
		values := one.NewArray()
		defer values.Release()
		if c.hashed {
			hashed := b.hashes(c, values)
			defer hashed.Release()
			return c.AppendText(nil, hashed, 0)
		}
		return c.AppendText(nil, values, 0)
	})
}

// appender adds the driver's value to a column and gives its size in bytes.
type appender func(v any) (int, error)

func (b *Batcher) appender(to array.Builder, t Type) appender {
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
		return appendAs(func(v string) (int, error) { return b.appendString(to, v) })
	case guidKind:
		var text [36]byte
		return appendAs(func(v []byte) (int, error) {
			if len(v) != 16 {
				return 0, fmt.Errorf("a uniqueidentifier of %d bytes", len(v))
			}
			to.(*array.StringBuilder).BinaryBuilder.Append(appendGUID(text[:0], v))
			return 40, nil
		})
	case binaryKind:
		return appendAs(func(v []byte) (int, error) {
			if err := b.checkSize(len(v)); err != nil {
				return 0, err
			}
			to.(*array.BinaryBuilder).Append(v)
			return len(v) + 4, nil
		})
	case variantKind:
		return func(v any) (int, error) {
			text, err := variantText(v)
			if err != nil {
				return 0, err
			}
			return b.appendString(to, text)
		}
	}
	panic(fmt.Sprintf("the type %q was not made by TypeOf", t.SQL))
}

func (b *Batcher) appendString(to array.Builder, v string) (int, error) {
	if err := b.checkSize(len(v)); err != nil {
		return 0, err
	}
	if !utf8.ValidString(v) { // Parquet's strings are UTF-8, and the driver passes on what a code page it doesn't know holds
		v = strings.ToValidUTF8(v, string(utf8.RuneError))
	}
	b.replaced += int64(strings.Count(v, string(utf8.RuneError)))
	to.(*array.StringBuilder).Append(v)
	return len(v) + 4, nil
}

func (b *Batcher) checkSize(n int) error {
	if int64(n) > b.options.MaxValueBytes {
		return fmt.Errorf("the value has %d bytes, and export.maxValueBytes is %d: raise it (a value takes several times its size of the function's memory), cut the value in the query with LEFT or SUBSTRING, or list the column under dataset.drop",
			n, b.options.MaxValueBytes)
	}
	return nil
}

// appendAs guards against a driver that gives another Go type than it is known to.
func appendAs[T any](f func(T) (int, error)) appender {
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
