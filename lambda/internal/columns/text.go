package columns

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// AppendNumber writes a number as a channel needs it: 0 and 1 for a bit, plain decimals without an exponent for the rest,
// nothing for NULL.
func (c Column) AppendNumber(dst []byte, values arrow.Array, row int) ([]byte, error) {
	if values.IsNull(row) {
		return dst, nil
	}
	switch a := values.(type) {
	case *array.Boolean:
		if a.Value(row) {
			return append(dst, '1'), nil
		}
		return append(dst, '0'), nil
	case *array.Int16:
		return strconv.AppendInt(dst, int64(a.Value(row)), 10), nil
	case *array.Int32:
		return strconv.AppendInt(dst, int64(a.Value(row)), 10), nil
	case *array.Int64:
		return strconv.AppendInt(dst, a.Value(row), 10), nil
	case *array.Decimal128:
		return appendDecimal(dst, a.Value(row), c.Type.scale), nil
	case *array.Float64:
		return appendFloat(dst, a.Value(row), 64)
	case *array.Float32:
		return appendFloat(dst, float64(a.Value(row)), 32)
	}
	return dst, fmt.Errorf("column %q (%s) is not a number", c.Name, c.Type.SQL)
}

// appendFloat writes the shortest decimal that reads back as the same number.
func appendFloat(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("%v is no number that SQL Server has", f)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bits), nil
}

// AppendKey writes what all key columns of a row contribute to its hash, one after another.
func (p *Plan) AppendKey(dst []byte, batch arrow.RecordBatch, row int) []byte {
	for _, k := range p.Key {
		dst = p.Columns[k].AppendKey(dst, batch.Column(k), row)
	}
	return dst
}

// KeyText shows the key of a row in a message: "Id=7, Day=2026-01-01".
func (p *Plan) KeyText(batch arrow.RecordBatch, row int) string {
	return p.keyText(func(k int) []byte { return p.Columns[k].AppendText(nil, batch.Column(k), row) })
}

func (p *Plan) keyText(value func(k int) []byte) string {
	if len(p.Key) == 0 {
		return "no key"
	}
	var parts []string
	for _, k := range p.Key {
		text := shorten(string(value(k)))
		if strings.ContainsFunc(text, unicode.IsControl) {
			text = strconv.Quote(text) // a line break would break the message
		}
		parts = append(parts, p.Columns[k].Name+"="+text)
	}
	return strings.Join(parts, ", ")
}

// Time gives a value of a date, a date and time, or a moment; without a zone it is taken as UTC. ok is false for NULL.
func (c Column) Time(values arrow.Array, row int) (_ time.Time, ok bool) {
	if values.IsNull(row) {
		return time.Time{}, false
	}
	switch a := values.(type) {
	case *array.Date32:
		return a.Value(row).ToTime(), true
	case *array.Timestamp:
		return time.UnixMicro(int64(a.Value(row))).UTC(), true
	}
	return time.Time{}, false
}

// AppendKey writes what a key column contributes to the hash of its row. It depends on the value alone: int and bigint, or
// decimal(9,2) and decimal(12,2), give the same bytes for the same number, so that widening a column deals no row anew.
//
// Each value is a tag, the length of its text in four bytes, and the text: so ("a","bc") and ("ab","c") differ.
// Text loses trailing spaces, as SQL Server compares it; NULL is a tag of its own.
func (c Column) AppendKey(dst []byte, values arrow.Array, row int) []byte {
	if values.IsNull(row) {
		return append(dst, 'N')
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	tag, dst := c.appendPlain(dst, values, row)
	dst[start] = tag
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-5))
	return dst
}

// appendPlain writes a value that isn't NULL as keys, hashes and categories take it, and gives the tag of its kind.
func (c Column) appendPlain(dst []byte, values arrow.Array, row int) (byte, []byte) {
	switch c.Type.kind {
	case boolKind, int16Kind, int32Kind, int64Kind:
		dst, _ = c.AppendNumber(dst, values, row) // these kinds can't fail
		return '#', dst
	case decimalKind:
		dst = appendDecimal(dst, values.(*array.Decimal128).Value(row), c.Type.scale)
		if c.Type.scale > 0 {
			dst = trimZeros(dst)
		}
		return '#', dst
	case float64Kind:
		return 'F', strconv.AppendFloat(dst, unsignedZero(values.(*array.Float64).Value(row)), 'g', -1, 64)
	case float32Kind:
		return 'F', strconv.AppendFloat(dst, unsignedZero(float64(values.(*array.Float32).Value(row))), 'g', -1, 32)
	case stringKind, variantKind:
		return 'S', append(dst, strings.TrimRight(values.(*array.String).Value(row), " ")...)
	case guidKind:
		return 'S', append(dst, values.(*array.String).Value(row)...)
	case binaryKind:
		return 'B', append(dst, values.(*array.Binary).Value(row)...)
	}
	return 'T', c.AppendText(dst, values, row)
}

// unsignedZero makes -0 into 0, which SQL Server takes for the same value.
func unsignedZero(f float64) float64 {
	if f == 0 {
		return 0
	}
	return f
}

func trimZeros(decimal []byte) []byte {
	for decimal[len(decimal)-1] == '0' {
		decimal = decimal[:len(decimal)-1]
	}
	if decimal[len(decimal)-1] == '.' {
		decimal = decimal[:len(decimal)-1]
	}
	return decimal
}

// AppendText writes a value for a person.
func (c Column) AppendText(dst []byte, values arrow.Array, row int) []byte {
	if values.IsNull(row) {
		return append(dst, "NULL"...)
	}
	switch a := values.(type) {
	case *array.String:
		return append(dst, a.Value(row)...)
	case *array.Binary:
		return hex.AppendEncode(append(dst, "0x"...), a.Value(row))
	case *array.Date32:
		return a.Value(row).ToTime().AppendFormat(dst, time.DateOnly)
	case *array.Time64:
		return a.Value(row).ToTime(arrow.Microsecond).AppendFormat(dst, "15:04:05.000000")
	case *array.Timestamp:
		dst = time.UnixMicro(int64(a.Value(row))).UTC().AppendFormat(dst, "2006-01-02 15:04:05.000000")
		if c.Type.kind == instantKind {
			dst = append(dst, "+00:00"...)
		}
		return dst
	}
	dst, _ = c.AppendNumber(dst, values, row) // what is left is a number
	return dst
}
