package sqlserver

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// integerRange are the bounds of the integer types.
func (t sqlType) integerRange() (lo, hi int64) {
	switch t.id {
	case tBit:
		return 0, 1
	case tTinyInt:
		return 0, 255
	case tSmallInt:
		return math.MinInt16, math.MaxInt16
	case tInt:
		return math.MinInt32, math.MaxInt32
	case tSmallMoney:
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

// noStyle is CONVERT without a style.
const noStyle = -1

// convert makes a stored value of one type into the stored value of another, as CAST does.
func convert(v any, from, to sqlType, style int) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch {
	case to.id != tVariant && from.id == tVariant:
		v, from := fromVariant(asBytes(v))
		if !explicitlyConvertible(from, to) {
			return nil, notConvertible(from, to)
		}
		return convert(v, from, to, style)
	case to.isInteger():
		return toInteger(v, from, to)
	case to.isMoney(), to.id == tDecimal:
		return toExact(v, from, to)
	case to.isApprox():
		return toFloat(v, from, to)
	case to.isTime():
		return toTime(v, from, to, style)
	case to.id == tVariant:
		return toVariant(v, from), nil
	case to.isCLR():
		if !from.isBinary() && from.id != to.id {
			return nil, notConvertible(from, to)
		}
		return asBytes(v), nil
	case to.isString():
		s, err := toText(v, from, to, style)
		if err != nil {
			return nil, err
		}
		if to.id == tJSON && !json.Valid([]byte(s)) {
			return nil, newError(13609, 16, "JSON text is not properly formatted.")
		}
		return fitText(s, from, to)
	case to.isBinary():
		return toBinary(v, from, to, style)
	case to.id == tGUID:
		return toGUID(v, from)
	}
	return v, nil
}

// exactOf is the number in a stored value of an exact type, with its scale.
func exactOf(v any, t sqlType) (*big.Int, int) {
	switch {
	case t.isMoney():
		return big.NewInt(asInt(v)), 4
	case t.id == tDecimal:
		return decimalFromStore(v), int(t.scale)
	}
	return big.NewInt(asInt(v)), 0
}

func toInteger(v any, from, to sqlType) (any, error) {
	var n *big.Int
	switch {
	case from.isInteger():
		i := asInt(v)
		if to.id == tBit {
			return boolInt(i != 0), nil
		}
		if lo, hi := to.integerRange(); i < lo || i > hi {
			return nil, integerOverflow(v, from, to)
		}
		return i, nil
	case from.isMoney():
		n, _ = exactOf(v, from)
		n = rescale(n, 4, 0, false)
	case from.id == tDecimal:
		n, _ = exactOf(v, from)
		if to.id == tBit {
			return boolInt(n.Sign() != 0), nil
		}
		n = rescale(n, int(from.scale), 0, true)
	case from.isApprox():
		f := v.(float64)
		if to.id == tBit {
			return boolInt(f != 0), nil
		}
		f = math.Trunc(f)
		lo, hi := to.integerRange()
		if math.IsNaN(f) || f < float64(lo) || f > float64(hi) || (to.id == tBigInt && f >= math.MaxInt64) {
			return nil, integerOverflow(v, from, to)
		}
		return int64(f), nil
	case from.isString():
		s := strings.TrimSpace(v.(string))
		if to.id == tBit {
			switch {
			case strings.EqualFold(s, "true"):
				return int64(1), nil
			case strings.EqualFold(s, "false"):
				return int64(0), nil
			}
		}
		if s == "" {
			return int64(0), nil
		}
		i, err := strconv.ParseInt(strings.TrimPrefix(s, "+"), 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			if to.id == tBigInt {
				return nil, conversionTo(from, to)
			}
			return nil, newError(errConversion, 16, "Conversion failed when converting the %s value '%s' to data type %s.", from.name(), v, to.name())
		}
		if to.id == tBit {
			return boolInt(i != 0), nil
		}
		if lo, hi := to.integerRange(); err != nil || i < lo || i > hi {
			switch to.id {
			case tBigInt:
				return nil, overflow("bigint")
			case tInt:
				return nil, newError(248, 16, "The conversion of the %s value '%s' overflowed an int column.", from.name(), s)
			}
			return nil, newError(244, 16, "The conversion of the %s value '%s' overflowed an INT%d column. Use a larger integer column.", from.name(), s, map[typeID]int{tTinyInt: 1, tSmallInt: 2}[to.id])
		}
		return i, nil
	case from.isBinary():
		b := asBytes(v)
		if len(b) > 8 {
			b = b[len(b)-8:]
		}
		u := uint64(0)
		for _, c := range b {
			u = u<<8 | uint64(c)
		}
		switch to.id {
		case tBit:
			return boolInt(u != 0), nil
		case tTinyInt:
			return int64(uint8(u)), nil
		case tSmallInt:
			return int64(int16(u)), nil
		case tInt:
			return int64(int32(u)), nil
		}
		return int64(u), nil
	case from.id == tDateTime || from.id == tSmallDateTime:
		f, err := toFloat(v, from, sqlType{id: tFloat})
		if err != nil {
			return nil, err
		}
		return toInteger(math.Round(f.(float64)), sqlType{id: tFloat}, to)
	default:
		return nil, notConvertible(from, to)
	}
	if to.id == tBit {
		return boolInt(n.Sign() != 0), nil
	}
	lo, hi := to.integerRange()
	if !n.IsInt64() || n.Int64() < lo || n.Int64() > hi {
		return nil, integerOverflow(v, from, to)
	}
	return n.Int64(), nil
}

// integerOverflow: SQL Server names the small types' overflows by another number than the large ones'.
func integerOverflow(v any, from, to sqlType) error {
	if to.id == tTinyInt || to.id == tSmallInt {
		text, _ := toText(v, from, varcharType(maxLength), noStyle)
		return newError(220, 16, "Arithmetic overflow error for data type %s, value = %s.", to.name(), text)
	}
	return overflow(to.name())
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func toExact(v any, from, to sqlType) (any, error) {
	scale := int(to.scale)
	if to.isMoney() {
		scale = 4
	}
	var n *big.Int
	switch {
	case from.isInteger() || from.isMoney() || from.id == tDecimal:
		var s int
		n, s = exactOf(v, from)
		n = rescale(n, s, scale, false)
	case from.isApprox():
		f := v.(float64)
		if math.IsNaN(f) || math.Abs(f) >= 1e38 {
			return nil, overflow(to.name())
		}
		digits := 17
		if from.id == tReal {
			digits = 9
		}
		d, s, _ := parseScientific(strconv.FormatFloat(f, 'e', digits-1, 64))
		n = rescale(d, s, scale, false)
	case from.isString():
		text := strings.TrimSpace(v.(string))
		if to.isMoney() {
			text = strings.TrimPrefix(strings.ReplaceAll(text, ",", ""), "$")
			if strings.HasPrefix(text, "-$") {
				text = "-" + text[2:]
			}
			if text == "" {
				return int64(0), nil
			}
		}
		d, s, ok := parseDecimal(text)
		if !ok {
			if to.isMoney() {
				return nil, newError(235, 16, "Cannot convert a char value to money. The char value has incorrect syntax.")
			}
			return nil, conversionTo(from, to)
		}
		n = rescale(d, s, scale, false)
	case from.isBinary() && to.isMoney():
		i, err := toInteger(v, from, sqlType{id: tBigInt})
		if err != nil {
			return nil, err
		}
		n = big.NewInt(i.(int64))
	case from.id == tDateTime || from.id == tSmallDateTime:
		f, err := toFloat(v, from, sqlType{id: tFloat})
		if err != nil {
			return nil, err
		}
		return toExact(f, sqlType{id: tFloat}, to)
	default:
		return nil, notConvertible(from, to)
	}
	if to.isMoney() {
		lo, hi := to.integerRange()
		if !n.IsInt64() || n.Int64() < lo || n.Int64() > hi {
			return nil, overflow(to.name())
		}
		return n.Int64(), nil
	}
	return decimalToStore(n, to)
}

// parseScientific reads digits with an exponent exactly.
func parseScientific(s string) (*big.Int, int, bool) {
	mantissa, exp, _ := strings.Cut(strings.ToLower(s), "e")
	n, scale, ok := parseDecimal(mantissa)
	if !ok {
		return nil, 0, false
	}
	e := 0
	if exp != "" {
		var err error
		if e, err = strconv.Atoi(exp); err != nil || e > 400 || e < -400 {
			return nil, 0, false
		}
	}
	scale -= e
	if scale < 0 {
		if -scale >= len(bigPow10) {
			return nil, 0, false
		}
		n.Mul(n, bigPow10[-scale])
		scale = 0
	}
	return n, scale, true
}

func toFloat(v any, from, to sqlType) (any, error) {
	var f float64
	switch {
	case from.isInteger():
		f = float64(asInt(v))
	case from.isMoney(), from.id == tDecimal:
		n, s := exactOf(v, from)
		f = decimalToFloat(n, s)
	case from.isApprox():
		f = v.(float64)
	case from.isString():
		s := strings.TrimSpace(v.(string))
		if s == "" {
			f = 0
			break
		}
		var err error
		if f, err = strconv.ParseFloat(s, 64); err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(s, "xXpP_") {
			return nil, conversionTo(from, to)
		}
	case from.id == tDateTime:
		f = float64(asInt(v)) / datetimePerDay
	case from.id == tSmallDateTime:
		f = float64(asInt(v)) / 1440
	default:
		return nil, notConvertible(from, to)
	}
	if to.id == tReal {
		if f = float64(float32(f)); math.IsInf(f, 0) {
			return nil, overflow("real")
		}
	}
	return f, nil
}

func toTime(v any, from, to sqlType, style int) (any, error) {
	switch {
	case from.isTime():
		m := momentOf(v, from)
		if (from.id == tDate && to.id == tTime) || (from.id == tTime && to.id == tDate) {
			return nil, notConvertible(from, to)
		}
		if from.id == tDateTimeOffset && to.id != tDateTimeOffset {
			m.offset = 0
		}
		return m.store(to)
	case from.isString():
		m, ok := parseStyled(v.(string), style)
		if !ok || (to.id == tTime && !m.hasTime && !m.hasDate) {
			if to.id == tDateTime || to.id == tSmallDateTime {
				if shape := strings.TrimSpace(v.(string)); looksLikeDate(shape) {
					return nil, dateOutOfRange(to)
				}
				if to.id == tSmallDateTime {
					return nil, newError(295, 16, "Conversion failed when converting character string to smalldatetime data type.")
				}
			}
			return nil, dateConversion()
		}
		if to.id != tDateTimeOffset {
			m.offset = 0
		}
		r, err := m.store(to)
		return r, err
	case from.isNumber() && (to.id == tDateTime || to.id == tSmallDateTime):
		f, err := toFloat(v, from, sqlType{id: tFloat})
		if err != nil {
			return nil, err
		}
		d := f.(float64)
		if d < -53690 || d >= 2958464 {
			return nil, overflow(to.name())
		}
		n := int64(math.Round(d * datetimePerDay))
		return moment{ticks: datetimeTicks(n)}.store(to)
	}
	return nil, notConvertible(from, to)
}

// looksLikeDate says whether only a number in the text is out of its range.
func looksLikeDate(s string) bool {
	if len(s) < 8 {
		return false
	}
	for _, c := range s {
		if !strings.ContainsRune("0123456789-/.: T", c) {
			return false
		}
	}
	return true
}

// parseStyled reads a date in one of CONVERT's styles. Those that differ from what is read without a style put the day
// first.
func parseStyled(s string, style int) (moment, bool) {
	switch style {
	case 3, 4, 5, 103, 104, 105:
		f := strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '.' || r == '-' })
		if len(f) == 3 && len(f[0]) <= 2 {
			return parseMoment(f[1] + "/" + f[0] + "/" + f[2])
		}
	}
	return parseMoment(s)
}

// toText writes a value as text, not yet cut to a length.
func toText(v any, from, to sqlType, style int) (string, error) {
	switch {
	case from.isString():
		return v.(string), nil
	case from.isInteger():
		return strconv.FormatInt(asInt(v), 10), nil
	case from.isMoney():
		n := big.NewInt(asInt(v))
		if style == 2 || style == 126 {
			return formatDecimal(n, 4), nil
		}
		s := formatDecimal(rescale(n, 4, 2, false), 2)
		if style == 1 {
			s = groupThousands(s)
		}
		return s, nil
	case from.id == tDecimal:
		return formatDecimal(decimalFromStore(v), int(from.scale)), nil
	case from.isApprox():
		return formatFloat(v.(float64), from, style), nil
	case from.isTime():
		return momentOf(v, from).format(from, style)
	case from.id == tGUID:
		return formatGUID(asBytes(v)), nil
	case from.isBinary():
		b := asBytes(v)
		switch style {
		case 1:
			return "0x" + strings.ToUpper(hex.EncodeToString(b)), nil
		case 2:
			return strings.ToUpper(hex.EncodeToString(b)), nil
		}
		if to.isUnicode() {
			return fromUTF16(append([]byte{}, b...)), nil
		}
		return fromPage(b, to.page()), nil
	}
	return "", notConvertible(from, to)
}

func groupThousands(s string) string {
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	whole, frac, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if neg {
		whole = "-" + whole
	}
	return whole + "." + frac
}

// formatFloat writes six digits at most, or as many as a style asks for; those of style 3 lose nothing.
func formatFloat(f float64, t sqlType, style int) string {
	fix := func(s string) string {
		mantissa, exp, ok := strings.Cut(s, "e")
		if !ok {
			return s
		}
		sign := exp[0]
		exp = exp[1:]
		for len(exp) < 3 {
			exp = "0" + exp
		}
		return mantissa + "e" + string(sign) + exp
	}
	switch style {
	case 1:
		return fix(strconv.FormatFloat(f, 'e', 7, 64))
	case 2:
		return fix(strconv.FormatFloat(f, 'e', 15, 64))
	case 3:
		if t.id == tReal {
			return fix(strconv.FormatFloat(f, 'e', 8, 64))
		}
		return fix(strconv.FormatFloat(f, 'e', 16, 64))
	}
	return fix(strconv.FormatFloat(f, 'g', 6, 64))
}

// fitText cuts and pads a text to its type. Numbers that don't fit are errors, texts are cut.
func fitText(s string, from, to sqlType) (any, error) {
	if !to.isUnicode() {
		s = to.inPage(s)
	}
	if to.length == maxLength || to.isLob() {
		return s, nil
	}
	n := to.units(s)
	if n > int(to.length) {
		switch {
		case from.isInteger() && !to.isUnicode():
			return padText("*", 1, to), nil
		case from.isInteger(), from.isMoney(), from.id == tDecimal, from.isApprox():
			return nil, overflow(to.name())
		case from.id == tGUID:
			return nil, newError(8170, 16, "Insufficient result space to convert uniqueidentifier value to char.")
		}
		s = to.cut(s, int(to.length))
		n = to.units(s)
	}
	return padText(s, n, to), nil
}

// padText fills a fixed-length text with blanks; n is its present length.
func padText(s string, n int, to sqlType) string {
	if (to.id == tChar || to.id == tNChar) && n < int(to.length) {
		return s + strings.Repeat(" ", int(to.length)-n)
	}
	return s
}

func toBinary(v any, from, to sqlType, style int) (any, error) {
	var b []byte
	switch {
	case from.isBinary():
		b = asBytes(v)
	case from.isString():
		s := v.(string)
		if style == 1 || style == 2 {
			if style == 1 {
				if !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "0X") {
					return nil, conversionTo(from, to)
				}
				s = s[2:]
			}
			var err error
			if b, err = hex.DecodeString(s); err != nil {
				return nil, conversionTo(from, to)
			}
		} else if from.isUnicode() {
			b = appendUTF16(nil, []byte(s))
		} else {
			b = appendPage(nil, []byte(s), from.page())
		}
	case from.id == tGUID:
		b = guidWire(asBytes(v))
	case from.isCLR():
		b = asBytes(v)
	case from.isInteger() || from.isMoney():
		size := map[typeID]int{tBit: 1, tTinyInt: 1, tSmallInt: 2, tInt: 4, tSmallMoney: 4, tBigInt: 8, tMoney: 8}[from.id]
		full := make([]byte, 8)
		putBE64(full, uint64(asInt(v)))
		b = full[8-size:]
		if to.length > 0 && int(to.length) != size { // numbers keep their low bytes
			n := int(to.length)
			if n < size {
				b = b[size-n:]
			} else if to.id == tBinary {
				b = append(make([]byte, n-size), b...)
			}
		}
	default:
		return nil, notSupported("converting %s to %s", from.name(), to.name())
	}
	b = append([]byte{}, b...)
	if to.length != maxLength && !to.isLob() {
		if len(b) > int(to.length) {
			b = b[:to.length]
		}
		if to.id == tBinary || to.id == tRowVersion {
			for len(b) < int(to.length) {
				b = append(b, 0)
			}
		}
	}
	return b, nil
}

// guidOrder is where each compared byte of a uniqueidentifier is on the wire: SQL Server compares the last six bytes
// first.
var guidOrder = [16]int{10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3}

// guidStore gives the stored bytes for those on the wire, guidWire the other way.
func guidStore(wire []byte) []byte {
	out := make([]byte, 16)
	if len(wire) == 16 {
		for i, j := range guidOrder {
			out[i] = wire[j]
		}
	}
	return out
}

func guidWire(stored []byte) []byte {
	out := make([]byte, 16)
	if len(stored) == 16 {
		for i, j := range guidOrder {
			out[j] = stored[i]
		}
	}
	return out
}

func formatGUID(stored []byte) string {
	w := guidWire(stored)
	return strings.ToUpper(fmt.Sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%x-%x",
		w[3], w[2], w[1], w[0], w[5], w[4], w[7], w[6], w[8:10], w[10:16]))
}

func toGUID(v any, from sqlType) (any, error) {
	switch {
	case from.id == tGUID:
		return v, nil
	case from.isBinary():
		b := append(append([]byte{}, asBytes(v)...), make([]byte, 16)...)
		return guidStore(b[:16]), nil
	case from.isString():
		s := strings.TrimSpace(v.(string))
		bad := newError(8169, 16, "Conversion failed when converting from a character string to uniqueidentifier.")
		s = strings.TrimPrefix(s, "{")
		if len(s) < 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return nil, bad
		}
		b, err := hex.DecodeString(strings.ReplaceAll(s[:36], "-", ""))
		if err != nil || len(b) != 16 {
			return nil, bad
		}
		b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
		b[4], b[5], b[6], b[7] = b[5], b[4], b[7], b[6]
		return guidStore(b), nil
	}
	return nil, notConvertible(from, sqlType{id: tGUID})
}

func conversionTo(from, to sqlType) error {
	e := newError(errConversionTo, 16, "Error converting data type %s to %s.", from.name(), to.name())
	e.State = 5
	return e
}

func notConvertible(from, to sqlType) error {
	return newError(529, 16, "Explicit conversion from data type %s to %s is not allowed.", from.name(), to.name())
}

// assign is convert for a value that goes into a column: a text that would lose characters is an error.
func assign(v any, from, to sqlType, table, column string) (any, error) {
	if v == nil {
		return nil, nil
	}
	if to.isString() && to.length != maxLength && !to.isLob() && from.isString() {
		s := v.(string)
		if !to.isUnicode() {
			s = to.inPage(s)
		}
		if n := to.units(s); n > int(to.length) {
			// Blanks that don't fit are cut without a word.
			if cut := to.cut(s, int(to.length)); strings.Trim(s[len(cut):], " ") != "" {
				e := newError(errTruncation, 16, "String or binary data would be truncated in table '%s', column '%s'. Truncated value: '%s'.", table, column, cutUTF16(s, min(int(to.length), 100)))
				return nil, e
			}
		}
	}
	if to.isBinary() && from.isBinary() && to.length != maxLength && !to.isLob() {
		if b := asBytes(v); len(b) > int(to.length) && to.id != tRowVersion {
			return nil, newError(errTruncation, 16, "String or binary data would be truncated in table '%s', column '%s'. Truncated value: ''.", table, column)
		}
	}
	return convert(v, from, to, noStyle)
}
