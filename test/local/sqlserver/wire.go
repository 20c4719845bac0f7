package sqlserver

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// The types on the wire.
const (
	wireNull           = 0x1F
	wireImage          = 0x22
	wireText           = 0x23
	wireGUID           = 0x24
	wireIntN           = 0x26
	wireDate           = 0x28
	wireTime           = 0x29
	wireDateTime2      = 0x2A
	wireDateTimeOffset = 0x2B
	wireInt1           = 0x30
	wireBit            = 0x32
	wireInt2           = 0x34
	wireInt4           = 0x38
	wireDateTime4      = 0x3A
	wireFloat4         = 0x3B
	wireMoney          = 0x3C
	wireDateTime       = 0x3D
	wireFloat8         = 0x3E
	wireNText          = 0x63
	wireBitN           = 0x68
	wireDecimalN       = 0x6A
	wireNumericN       = 0x6C
	wireFloatN         = 0x6D
	wireMoneyN         = 0x6E
	wireDateTimeN      = 0x6F
	wireMoney4         = 0x7A
	wireInt8           = 0x7F
	wireBigVarBinary   = 0xA5
	wireBigVarchar     = 0xA7
	wireBigBinary      = 0xAD
	wireBigChar        = 0xAF
	wireNVarchar       = 0xE7
	wireNChar          = 0xEF
	wireXML            = 0xF1
	wireUDT            = 0xF0
	wireVariant        = 0x62
)

const (
	plpNull        = ^uint64(0)
	plpUnknown     = ^uint64(0) - 1
	lengthMax      = 0xFFFF // of a (max) type in TYPE_INFO, and of NULL in a value of a shorter one
	plpChunk       = 1 << 15
	maxLobValue    = 1 << 31
	nullLobPointer = 0
)

// fixedWire are the types that have a form without a length for columns that can't be NULL, and their sizes.
var fixedWire = map[typeID]struct {
	fixed, nullable byte
	size            byte
}{
	tBit: {wireBit, wireBitN, 1}, tTinyInt: {wireInt1, wireIntN, 1}, tSmallInt: {wireInt2, wireIntN, 2},
	tInt: {wireInt4, wireIntN, 4}, tNull: {wireInt4, wireIntN, 4}, tBigInt: {wireInt8, wireIntN, 8},
	tReal: {wireFloat4, wireFloatN, 4}, tFloat: {wireFloat8, wireFloatN, 8}, tSmallMoney: {wireMoney4, wireMoneyN, 4},
	tMoney: {wireMoney, wireMoneyN, 8}, tSmallDateTime: {wireDateTime4, wireDateTimeN, 4},
	tDateTime: {wireDateTime, wireDateTimeN, 8},
}

// decimalSize is the size of a decimal on the wire, with its sign.
func decimalSize(prec uint8) int {
	switch {
	case prec <= 9:
		return 5
	case prec <= 19:
		return 9
	case prec <= 28:
		return 13
	}
	return 17
}

// timeSize is the size of a time of day on the wire.
func timeSize(scale uint8) int {
	switch {
	case scale <= 2:
		return 3
	case scale <= 4:
		return 4
	}
	return 5
}

func appendTypeInfo(b []byte, t sqlType, nullable bool) []byte {
	if f, ok := fixedWire[t.id]; ok {
		if !nullable {
			return append(b, f.fixed)
		}
		return append(b, f.nullable, f.size)
	}
	length := func(bytes int32) {
		if t.length == maxLength {
			b = binary.LittleEndian.AppendUint16(b, lengthMax)
		} else {
			b = binary.LittleEndian.AppendUint16(b, uint16(bytes))
		}
	}
	switch t.id {
	case tDecimal:
		id := byte(wireDecimalN)
		if t.numeric {
			id = wireNumericN
		}
		return append(b, id, byte(decimalSize(t.prec)), t.prec, t.scale)
	case tGUID:
		return append(b, wireGUID, 16)
	case tDate:
		return append(b, wireDate)
	case tTime:
		return append(b, wireTime, t.scale)
	case tDateTime2:
		return append(b, wireDateTime2, t.scale)
	case tDateTimeOffset:
		return append(b, wireDateTimeOffset, t.scale)
	case tChar, tVarChar:
		id := byte(wireBigVarchar)
		if t.id == tChar {
			id = wireBigChar
		}
		b = append(b, id)
		length(t.length)
		return append(b, collations[t.coll].wire[:]...)
	case tNChar, tNVarChar:
		id := byte(wireNVarchar)
		if t.id == tNChar {
			id = wireNChar
		}
		b = append(b, id)
		length(2 * t.length)
		return append(b, collations[t.coll].wire[:]...)
	case tBinary, tRowVersion:
		b = append(b, wireBigBinary)
		length(t.length)
		return b
	case tVarBinary:
		b = append(b, wireBigVarBinary)
		length(t.length)
		return b
	case tText:
		return append(append(b, wireText, 0xFF, 0xFF, 0xFF, 0x7F), collations[t.coll].wire[:]...)
	case tNText:
		return append(append(b, wireNText, 0xFE, 0xFF, 0xFF, 0x7F), collations[t.coll].wire[:]...)
	case tJSON: // a client that doesn't ask for the type's own form gets a text
		return append(append(b, wireNVarchar, 0xFF, 0xFF), collations[t.coll].wire[:]...)
	case tVariant:
		return binary.LittleEndian.AppendUint32(append(b, wireVariant), maxVariant)
	case tHierarchyID, tGeography, tGeometry:
		return appendUDTInfo(b, t)
	case tImage:
		return append(b, wireImage, 0xFF, 0xFF, 0xFF, 0x7F)
	case tXML:
		return append(b, wireXML, 0)
	}
	return append(b, wireNull)
}

// appendNull appends NULL of a type that isn't of the fixed form.
func appendNull(b []byte, t sqlType) []byte {
	switch {
	case t.isMax() && !t.isLob() || t.id == tXML || t.isCLR():
		return binary.LittleEndian.AppendUint64(b, plpNull)
	case t.id == tVariant:
		return binary.LittleEndian.AppendUint32(b, 0)
	case t.isLob():
		return append(b, nullLobPointer)
	case t.isString() || t.isBinary():
		return binary.LittleEndian.AppendUint16(b, lengthMax)
	}
	return append(b, 0)
}

// encoder appends column i of the statement's current row, which isn't NULL.
type encoder func(b []byte, s *sqlite.Stmt, i int) []byte

// encoderOf gives the encoder of a type. textSize limits (max) values, in bytes.
func encoderOf(t sqlType, nullable bool, textSize int64) encoder {
	sized := func(n byte, f func(b []byte, v int64) []byte) encoder {
		if nullable {
			return func(b []byte, s *sqlite.Stmt, i int) []byte { return f(append(b, n), s.Int(i)) }
		}
		return func(b []byte, s *sqlite.Stmt, i int) []byte { return f(b, s.Int(i)) }
	}
	always := func(n byte, f func(b []byte, v int64) []byte) encoder {
		return func(b []byte, s *sqlite.Stmt, i int) []byte { return f(append(b, n), s.Int(i)) }
	}
	switch t.id {
	case tBit:
		return sized(1, func(b []byte, v int64) []byte { return append(b, byte(boolInt(v != 0))) })
	case tTinyInt:
		return sized(1, func(b []byte, v int64) []byte { return append(b, byte(v)) })
	case tSmallInt:
		return sized(2, func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint16(b, uint16(v)) })
	case tInt, tNull, tSmallMoney:
		return sized(4, func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) })
	case tBigInt:
		return sized(8, func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) })
	case tMoney:
		return sized(8, func(b []byte, v int64) []byte {
			b = binary.LittleEndian.AppendUint32(b, uint32(v>>32))
			return binary.LittleEndian.AppendUint32(b, uint32(v))
		})
	case tReal:
		return func(b []byte, s *sqlite.Stmt, i int) []byte {
			if nullable {
				b = append(b, 4)
			}
			return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s.Float(i))))
		}
	case tFloat:
		return func(b []byte, s *sqlite.Stmt, i int) []byte {
			if nullable {
				b = append(b, 8)
			}
			return binary.LittleEndian.AppendUint64(b, math.Float64bits(s.Float(i)))
		}
	case tDecimal:
		size := decimalSize(t.prec)
		if !t.wide() {
			return always(byte(size), func(b []byte, v int64) []byte {
				b = append(b, byte(boolInt(v >= 0)))
				m := magnitude(v)
				for range size - 1 {
					b = append(b, byte(m))
					m >>= 8
				}
				return b
			})
		}
		return func(b []byte, s *sqlite.Stmt, i int) []byte {
			v := decimalFromBytes(s.Bytes(i))
			b = append(b, byte(size), byte(boolInt(v.Sign() >= 0)))
			at := len(b)
			b = append(b, make([]byte, size-1)...)
			v.Abs(v).FillBytes(b[at:])
			slices.Reverse(b[at:])
			return b
		}
	case tDate:
		return always(3, appendDay)
	case tTime:
		unit := pow10[7-t.scale]
		n := timeSize(t.scale)
		return always(byte(n), func(b []byte, v int64) []byte { return appendTime(b, v/unit, n) })
	case tDateTime2:
		unit := pow10[7-t.scale]
		n := timeSize(t.scale)
		return always(byte(n+3), func(b []byte, v int64) []byte {
			return appendDay(appendTime(b, v%ticksPerDay/unit, n), v/ticksPerDay)
		})
	case tDateTimeOffset:
		unit := pow10[7-t.scale]
		n := timeSize(t.scale)
		return func(b []byte, s *sqlite.Stmt, i int) []byte {
			utc, offset := offsetParts(s.Bytes(i))
			b = appendDay(appendTime(append(b, byte(n+5)), utc%ticksPerDay/unit, n), utc/ticksPerDay)
			return binary.LittleEndian.AppendUint16(b, uint16(int16(offset)))
		}
	case tDateTime:
		return sized(8, func(b []byte, v int64) []byte {
			days := floorDiv(v, datetimePerDay)
			b = binary.LittleEndian.AppendUint32(b, uint32(int32(days)))
			return binary.LittleEndian.AppendUint32(b, uint32(v-days*datetimePerDay))
		})
	case tSmallDateTime:
		return sized(4, func(b []byte, v int64) []byte {
			b = binary.LittleEndian.AppendUint16(b, uint16(v/1440))
			return binary.LittleEndian.AppendUint16(b, uint16(v%1440))
		})
	case tGUID:
		return func(b []byte, s *sqlite.Stmt, i int) []byte { return append(append(b, 16), guidWire(s.Bytes(i))...) }
	}
	// Texts and bytes.
	raw := func(b, v []byte) []byte { return append(b, v...) }
	if t.isString() {
		page := t.page()
		raw = func(b, v []byte) []byte { return appendPage(b, v, page) }
		if t.isUnicode() {
			raw = appendUTF16
		}
	}
	switch {
	case t.isLob() && t.id != tXML:
		return func(b []byte, s *sqlite.Stmt, i int) []byte {
			// A text pointer and a timestamp, which no client uses any more.
			b = append(b, 16, 'l', 'o', 'c', 'a', 'l', ' ', 't', 'e', 'x', 't', ' ', 'p', 't', 'r', ' ', ' ', 0, 0, 0, 0, 0, 0, 0, 0)
			at := len(b)
			b = cutTo(raw(append(b, 0, 0, 0, 0), s.Bytes(i)), at+4, textSize, t)
			binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
			return b
		}
	case t.id == tVariant:
		return func(b []byte, s *sqlite.Stmt, i int) []byte { return appendVariant(b, s.Bytes(i)) }
	case t.isMax() || t.isCLR():
		return func(b []byte, s *sqlite.Stmt, i int) []byte {
			at := len(b)
			b = cutTo(raw(append(b, make([]byte, 12)...), s.Bytes(i)), at+12, textSize, t)
			n := len(b) - at - 12
			binary.LittleEndian.PutUint64(b[at:], uint64(n))
			if n == 0 { // no chunk, the terminator alone
				return b[:at+12]
			}
			binary.LittleEndian.PutUint32(b[at+8:], uint32(n))
			return append(b, 0, 0, 0, 0)
		}
	}
	return func(b []byte, s *sqlite.Stmt, i int) []byte {
		at := len(b)
		b = raw(append(b, 0, 0), s.Bytes(i))
		binary.LittleEndian.PutUint16(b[at:], uint16(len(b)-at-2))
		return b
	}
}

// cutTo cuts a (max) value to the session's TEXTSIZE.
func cutTo(b []byte, from int, textSize int64, t sqlType) []byte {
	n := textSize
	if t.isUnicode() {
		n &^= 1
	}
	if int64(len(b)-from) > n && t.id != tXML && !t.isCLR() {
		return b[:from+int(n)]
	}
	return b
}

func appendDay(b []byte, v int64) []byte { return append(b, byte(v), byte(v>>8), byte(v>>16)) }

func appendTime(b []byte, v int64, n int) []byte {
	for range n {
		b = append(b, byte(v))
		v >>= 8
	}
	return b
}

// rowEncoder writes rows of a result.
type rowEncoder struct {
	cols []column
	enc  []encoder
	null []bool
}

func newRowEncoder(cols []column, textSize int64) *rowEncoder {
	e := &rowEncoder{cols: cols, enc: make([]encoder, len(cols)), null: make([]bool, len(cols))}
	for i, c := range cols {
		e.enc[i] = encoderOf(c.typ, c.nullable, textSize)
	}
	return e
}

// append adds the statement's current row: as ROW, or where it holds a NULL as NBCROW, which doesn't spell NULLs out.
func (e *rowEncoder) append(b []byte, s *sqlite.Stmt) []byte {
	nulls := false
	for i := range e.cols {
		e.null[i] = s.Kind(i) == sqlite.Null
		nulls = nulls || e.null[i]
	}
	if !nulls {
		b = append(b, tokenRow)
		for i, f := range e.enc {
			b = f(b, s, i)
		}
		return b
	}
	b = append(b, tokenNBCRow)
	at := len(b)
	b = append(b, make([]byte, (len(e.cols)+7)/8)...)
	for i, f := range e.enc {
		if e.null[i] {
			b[at+i/8] |= 1 << (i % 8)
		} else {
			b = f(b, s, i)
		}
	}
	return b
}

// wireColumn is a type as a client sends it: with a parameter, or in the metadata of a bulk load.
type wireColumn struct {
	name string
	typ  sqlType
	id   byte
	size int  // of the fixed forms
	plp  bool // in chunks
	lob  bool // with a text pointer
}

// readTypeInfo reads a TYPE_INFO.
func readTypeInfo(m *message) wireColumn {
	w := wireColumn{id: m.u8()}
	variable := func(of map[int]typeID) {
		w.size = int(m.u8())
		id, ok := of[w.size]
		if !ok && m.err == nil {
			m.fail(fmt.Errorf("type 0x%02X of size %d", w.id, w.size))
		}
		w.typ = sqlType{id: id}
	}
	scaled := func(id typeID) {
		w.typ = sqlType{id: id, scale: m.u8()}
		if w.typ.scale > 7 {
			m.fail(fmt.Errorf("type 0x%02X of scale %d", w.id, w.typ.scale))
		}
	}
	text := func(id typeID, unit int, collated bool) {
		n := int(m.u16())
		w.typ = sqlType{id: id, length: int32(n / unit)}
		if n == lengthMax {
			w.plp, w.typ.length = true, maxLength
		}
		if collated {
			w.typ.coll = collationOfWire(m.bytes(5))
		}
	}
	fixed := func(id typeID, n int) { w.typ, w.size = sqlType{id: id}, n }
	switch w.id {
	case wireNull:
		fixed(tNull, 0)
	case wireInt1:
		fixed(tTinyInt, 1)
	case wireBit:
		fixed(tBit, 1)
	case wireInt2:
		fixed(tSmallInt, 2)
	case wireInt4:
		fixed(tInt, 4)
	case wireInt8:
		fixed(tBigInt, 8)
	case wireFloat4:
		fixed(tReal, 4)
	case wireFloat8:
		fixed(tFloat, 8)
	case wireMoney:
		fixed(tMoney, 8)
	case wireMoney4:
		fixed(tSmallMoney, 4)
	case wireDateTime:
		fixed(tDateTime, 8)
	case wireDateTime4:
		fixed(tSmallDateTime, 4)
	case wireIntN:
		variable(map[int]typeID{1: tTinyInt, 2: tSmallInt, 4: tInt, 8: tBigInt})
	case wireBitN:
		variable(map[int]typeID{1: tBit})
	case wireFloatN:
		variable(map[int]typeID{4: tReal, 8: tFloat})
	case wireMoneyN:
		variable(map[int]typeID{4: tSmallMoney, 8: tMoney})
	case wireDateTimeN:
		variable(map[int]typeID{4: tSmallDateTime, 8: tDateTime})
	case wireGUID:
		variable(map[int]typeID{16: tGUID})
	case wireDecimalN, wireNumericN, 0x37, 0x3F:
		w.size = int(m.u8())
		w.typ = sqlType{id: tDecimal, prec: m.u8(), scale: m.u8(), numeric: w.id == wireNumericN}
		if w.typ.prec == 0 || w.typ.prec > maxPrecision || w.typ.scale > w.typ.prec {
			m.fail(fmt.Errorf("decimal(%d,%d)", w.typ.prec, w.typ.scale))
		}
	case wireDate:
		w.typ = sqlType{id: tDate}
	case wireTime:
		scaled(tTime)
	case wireDateTime2:
		scaled(tDateTime2)
	case wireDateTimeOffset:
		scaled(tDateTimeOffset)
	case wireBigVarchar:
		text(tVarChar, 1, true)
	case wireBigChar:
		text(tChar, 1, true)
	case wireNVarchar:
		text(tNVarChar, 2, true)
	case wireNChar:
		text(tNChar, 2, true)
	case wireBigVarBinary:
		text(tVarBinary, 1, false)
	case wireBigBinary:
		text(tBinary, 1, false)
	case wireText, wireNText, wireImage:
		m.u32()
		w.lob = true
		w.typ = sqlType{id: map[byte]typeID{wireText: tText, wireNText: tNText, wireImage: tImage}[w.id], length: maxLength}
		if w.id != wireImage {
			w.typ.coll = collationOfWire(m.bytes(5))
		}
	case wireXML:
		if m.u8() != 0 {
			m.bVarchar()
			m.bVarchar()
			m.skipUSVarchar()
		}
		w.plp, w.typ = true, sqlType{id: tXML, length: maxLength}
	default:
		if m.err == nil {
			m.fail(fmt.Errorf("type 0x%02X is not one that the local SQL Server reads", w.id))
		}
	}
	return w
}

// readValue reads a value of the type, in stored form.
func (w wireColumn) readValue(m *message) any {
	var b []byte
	switch {
	case w.id == wireNull:
		return nil
	case w.plp:
		var ok bool
		if b, ok = readPLP(m); !ok {
			return nil
		}
	case w.lob:
		n := int(m.u8())
		if n == 0 {
			return nil
		}
		m.bytes(n + 8)
		size := m.u32()
		if size > maxLobValue {
			m.fail(fmt.Errorf("a value of %d bytes", size))
			return nil
		}
		b = m.bytes(int(size))
	case w.typ.isString() || w.typ.isBinary():
		n := m.u16()
		if n == lengthMax {
			return nil
		}
		b = m.bytes(int(n))
	case w.id == wireIntN || w.id == wireBitN || w.id == wireFloatN || w.id == wireMoneyN || w.id == wireDateTimeN ||
		w.id == wireGUID || w.typ.id == tDecimal || w.typ.id == tDate || w.typ.id == tTime || w.typ.id == tDateTime2 ||
		w.typ.id == tDateTimeOffset:
		n := int(m.u8())
		if n == 0 {
			return nil
		}
		if w.size != 0 && n != w.size && w.typ.id != tDecimal {
			m.fail(fmt.Errorf("a value of %d bytes in a column of %d", n, w.size))
			return nil
		}
		b = m.bytes(n)
	default:
		b = m.bytes(w.size)
	}
	if m.err != nil {
		return nil
	}
	v, err := w.decode(b)
	if err != nil {
		m.fail(err)
	}
	return v
}

func readPLP(m *message) ([]byte, bool) {
	total := m.u64()
	if total == plpNull {
		return nil, false
	}
	if total != plpUnknown && total > maxLobValue {
		m.fail(fmt.Errorf("a value of %d bytes", total))
		return nil, false
	}
	var b []byte
	for {
		n := m.u32()
		if n == 0 || m.err != nil {
			return b, true
		}
		if len(b)+int(n) > maxLobValue {
			m.fail(fmt.Errorf("a value of more than %d bytes", maxLobValue))
			return nil, false
		}
		b = append(b, m.bytes(int(n))...)
	}
}

func (w wireColumn) decode(b []byte) (any, error) {
	t := w.typ
	bad := func() (any, error) { return nil, fmt.Errorf("a value of type %s in %d bytes", t, len(b)) }
	le := func(b []byte) uint64 {
		v := uint64(0)
		for _, x := range slices.Backward(b) {
			v = v<<8 | uint64(x)
		}
		return v
	}
	switch t.id {
	case tBit, tTinyInt, tSmallInt, tInt, tBigInt:
		switch len(b) {
		case 1:
			if t.id == tBit {
				return boolInt(b[0] != 0), nil
			}
			return int64(b[0]), nil
		case 2:
			return int64(int16(le(b))), nil
		case 4:
			return int64(int32(le(b))), nil
		case 8:
			return int64(le(b)), nil
		}
		return bad()
	case tReal, tFloat:
		switch len(b) {
		case 4:
			return finite(float64(math.Float32frombits(uint32(le(b)))))
		case 8:
			return finite(math.Float64frombits(le(b)))
		}
		return bad()
	case tSmallMoney, tMoney:
		switch len(b) {
		case 4:
			return int64(int32(le(b))), nil
		case 8:
			return int64(le(b[:4])<<32 | le(b[4:])), nil
		}
		return bad()
	case tDecimal:
		if len(b) < 2 || len(b) > 17 {
			return bad()
		}
		m := slices.Clone(b[1:])
		slices.Reverse(m)
		v := new(big.Int).SetBytes(m)
		if b[0] == 0 {
			v.Neg(v)
		}
		return decimalToStore(v, t)
	case tDate:
		if len(b) != 3 || int64(le(b)) > maxDay {
			return bad()
		}
		return int64(le(b)), nil
	case tTime, tDateTime2, tDateTimeOffset:
		n := timeSize(t.scale)
		rest := map[typeID]int{tTime: 0, tDateTime2: 3, tDateTimeOffset: 5}[t.id]
		if len(b) != n+rest {
			return bad()
		}
		ticks := int64(le(b[:n]))
		if ticks >= ticksPerDay/pow10[7-t.scale] {
			return bad()
		}
		ticks *= pow10[7-t.scale]
		if t.id == tTime {
			return ticks, nil
		}
		day := int64(le(b[n : n+3]))
		if day > maxDay {
			return bad()
		}
		ticks += day * ticksPerDay
		if t.id == tDateTime2 {
			return ticks, nil
		}
		offset := int(int16(le(b[n+3:])))
		if offset < -840 || offset > 840 {
			return bad()
		}
		return offsetBytes(ticks, offset), nil
	case tDateTime, tSmallDateTime:
		switch len(b) {
		case 8:
			v := int64(int32(le(b[:4])))*datetimePerDay + int64(le(b[4:]))
			if v < minDatetime || v > maxDatetime {
				return bad()
			}
			return v, nil
		case 4:
			return int64(le(b[:2]))*1440 + int64(le(b[2:])), nil
		}
		return bad()
	case tGUID:
		if len(b) != 16 {
			return bad()
		}
		return guidStore(b), nil
	}
	switch {
	case t.isUnicode():
		return fromUTF16(b), nil
	case t.isString():
		return fromPage(b, t.page()), nil
	}
	return append([]byte{}, b...), nil
}

// finite refuses what SQL Server's float can't hold.
func finite(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, newError(8023, 16, "The incoming tabular data stream (TDS) protocol stream is incorrect. The supplied value is not a valid instance of data type float.")
	}
	return f, nil
}
