package sqlserver

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// maxVariant is the size that a sql_variant's metadata gives: 8,000 bytes of value and what goes with them.
const maxVariant = 8009

// toVariant packs a stored value with its type: the type's code in 8 bytes, then
//
//	integers, money, times   8 bytes big-endian
//	floats                   their IEEE form in 8 bytes big-endian
//	texts and bytes          as they are stored
func toVariant(v any, t sqlType) []byte {
	if t.id == tVariant {
		return asBytes(v)
	}
	if t.id == tNull {
		t.id = tInt
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(t.code())|boolBit(t.numeric)<<63)
	switch v := v.(type) {
	case int64:
		return binary.BigEndian.AppendUint64(b, uint64(v))
	case float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	case string:
		return append(b, v...)
	}
	return append(b, asBytes(v)...)
}

func boolBit(b bool) uint64 { return uint64(boolInt(b)) }

// fromVariant unpacks what toVariant packed.
func fromVariant(b []byte) (any, sqlType) {
	if len(b) < 8 {
		return nil, sqlType{id: tNull}
	}
	code := binary.BigEndian.Uint64(b)
	t := typeOfCode(int64(code &^ (1 << 63)))
	t.numeric = code>>63 == 1
	b = b[8:]
	switch {
	case t.isApprox():
		return math.Float64frombits(binary.BigEndian.Uint64(b)), t
	case t.isString():
		return string(b), t
	case t.isBinary(), t.id == tGUID, t.id == tDateTimeOffset, t.wide():
		return slices.Clone(b), t
	}
	return int64(binary.BigEndian.Uint64(b)), t
}

// appendVariant writes a sql_variant: its length, its base type with its properties, and the value as the type's own column would
// have it, without a length.
func appendVariant(b, packed []byte) []byte {
	v, t := fromVariant(packed)
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	if f, ok := fixedWire[t.id]; ok {
		b = append(b, f.fixed, 0)
	}
	length := func(b []byte, unit int32) []byte { return binary.LittleEndian.AppendUint16(b, uint16(unit*t.length)) }
	switch t.id {
	case tBit, tTinyInt:
		b = append(b, byte(asInt(v)))
	case tSmallInt:
		b = binary.LittleEndian.AppendUint16(b, uint16(asInt(v)))
	case tInt, tSmallMoney:
		b = binary.LittleEndian.AppendUint32(b, uint32(asInt(v)))
	case tBigInt:
		b = binary.LittleEndian.AppendUint64(b, uint64(asInt(v)))
	case tMoney:
		b = binary.LittleEndian.AppendUint32(b, uint32(asInt(v)>>32))
		b = binary.LittleEndian.AppendUint32(b, uint32(asInt(v)))
	case tReal:
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v.(float64))))
	case tFloat:
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.(float64)))
	case tDateTime:
		days := floorDiv(asInt(v), datetimePerDay)
		b = binary.LittleEndian.AppendUint32(b, uint32(int32(days)))
		b = binary.LittleEndian.AppendUint32(b, uint32(asInt(v)-days*datetimePerDay))
	case tSmallDateTime:
		b = binary.LittleEndian.AppendUint16(b, uint16(asInt(v)/1440))
		b = binary.LittleEndian.AppendUint16(b, uint16(asInt(v)%1440))
	case tDecimal:
		n := decimalFromStore(v)
		size := decimalSize(t.prec)
		b = append(b, wireNumericN, 2, t.prec, t.scale, byte(boolInt(n.Sign() >= 0)))
		if !t.numeric {
			b[at+4] = wireDecimalN
		}
		from := len(b)
		b = append(b, make([]byte, size-1)...)
		n.Abs(n).FillBytes(b[from:])
		slices.Reverse(b[from:])
	case tDate:
		b = appendDay(append(b, wireDate, 0), asInt(v))
	case tTime:
		b = appendTime(append(b, wireTime, 1, t.scale), asInt(v)/pow10[7-t.scale], timeSize(t.scale))
	case tDateTime2:
		b = appendTime(append(b, wireDateTime2, 1, t.scale), asInt(v)%ticksPerDay/pow10[7-t.scale], timeSize(t.scale))
		b = appendDay(b, asInt(v)/ticksPerDay)
	case tDateTimeOffset:
		utc, offset := offsetParts(asBytes(v))
		b = appendTime(append(b, wireDateTimeOffset, 1, t.scale), utc%ticksPerDay/pow10[7-t.scale], timeSize(t.scale))
		b = binary.LittleEndian.AppendUint16(appendDay(b, utc/ticksPerDay), uint16(int16(offset)))
	case tGUID:
		b = append(append(b, wireGUID, 0), guidWire(asBytes(v))...)
	case tBinary, tVarBinary:
		b = append(b, map[typeID]byte{tBinary: wireBigBinary, tVarBinary: wireBigVarBinary}[t.id], 2)
		b = append(length(b, 1), asBytes(v)...)
	case tChar, tVarChar:
		b = append(b, map[typeID]byte{tChar: wireBigChar, tVarChar: wireBigVarchar}[t.id], 7)
		b = length(append(b, collations[t.coll].wire[:]...), 1)
		b = appendPage(b, []byte(v.(string)), t.page())
	case tNChar, tNVarChar:
		b = append(b, map[typeID]byte{tNChar: wireNChar, tNVarChar: wireNVarchar}[t.id], 7)
		b = length(append(b, collations[t.coll].wire[:]...), 2)
		b = appendUTF16(b, []byte(v.(string)))
	}
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// The assemblies of the CLR types, which a client is told with every column.
const (
	spatialAssembly = "Microsoft.SqlServer.Types, Version=11.0.0.0, Culture=neutral, PublicKeyToken=89845dcd8080cc91"
	maxHierarchyID  = 892 // bytes of a hierarchyid
)

// appendUDTInfo writes the TYPE_INFO of a CLR type: its size, its name and where its class is.
func appendUDTInfo(b []byte, t sqlType) []byte {
	size, class := uint16(lengthMax), map[typeID]string{tHierarchyID: "SqlHierarchyId", tGeography: "SqlGeography", tGeometry: "SqlGeometry"}[t.id]
	if t.id == tHierarchyID {
		size = maxHierarchyID
	}
	r := reply{b: b}
	r.u8(wireUDT)
	r.u16(size)
	r.bVarchar("master")
	r.bVarchar("sys")
	r.bVarchar(t.name())
	r.usVarchar("Microsoft.SqlServer.Types." + class + ", " + spatialAssembly)
	return r.b
}

// variantFamily ranks the families of types: where two values' families differ, the higher one is the greater value.
// https://learn.microsoft.com/sql/t-sql/data-types/sql-variant-transact-sql#comparing-sql_variant-values
func variantFamily(t sqlType) int {
	switch {
	case t.isTime():
		return 5
	case t.isApprox():
		return 4
	case t.isNumber():
		return 3
	case t.isString():
		return 2
	case t.isBinary():
		return 1
	}
	return 0
}

// compareVariants compares two packed values.
func compareVariants(a, b []byte) (int, error) {
	x, xt := fromVariant(a)
	y, yt := fromVariant(b)
	if d := cmp.Compare(variantFamily(xt), variantFamily(yt)); d != 0 {
		return d, nil
	}
	t, err := commonType(xt, yt)
	if err != nil {
		return 0, err
	}
	t = t.vary()
	if x, err = convert(x, xt, t, noStyle); err != nil {
		return 0, err
	}
	if y, err = convert(y, yt, t, noStyle); err != nil {
		return 0, err
	}
	switch {
	case t.isString():
		return compareText([]byte(x.(string)), []byte(y.(string))), nil
	case t.isApprox():
		return cmp.Compare(x.(float64), y.(float64)), nil
	case t.id == tDateTimeOffset:
		return bytes.Compare(asBytes(x)[:8], asBytes(y)[:8]), nil
	case t.isBinary(), t.id == tGUID, t.wide():
		return bytes.Compare(asBytes(x), asBytes(y)), nil
	}
	return cmp.Compare(asInt(x), asInt(y)), nil
}

// variantExpr is a constant of type sql_variant, as the functions about properties give it.
func variantExpr(v any, t sqlType) expr {
	if v == nil {
		return constantExpr(nil, sqlType{id: tVariant})
	}
	return constantExpr(toVariant(v, t), sqlType{id: tVariant})
}
