package sqlserver

import (
	"fmt"
	"strings"
)

// typeID names a SQL Server type. The order within a family is of no meaning; precedence says which of two types wins.
type typeID uint8

const (
	tNull typeID = iota // an untyped NULL; on the wire it is an int
	tBit
	tTinyInt
	tSmallInt
	tInt
	tBigInt
	tSmallMoney
	tMoney
	tDecimal
	tReal
	tFloat
	tDate
	tTime
	tSmallDateTime
	tDateTime
	tDateTime2
	tDateTimeOffset
	tChar
	tVarChar
	tNChar
	tNVarChar
	tBinary
	tVarBinary
	tGUID
	tRowVersion
	tText
	tNText
	tImage
	tXML
	tJSON
	tVariant
	tHierarchyID
	tGeography
	tGeometry
)

// maxLength is the length of a (max) type.
const maxLength = -1

// maxPrecision is the precision that no decimal exceeds.
const maxPrecision = 38

// sqlType is a SQL Server type with its parameters.
//
// Values of a type are stored in SQLite so that SQLite's own comparison orders them as SQL Server does:
//
//	bit, ints                     INTEGER
//	smallmoney, money             INTEGER in 1/10000
//	decimal(p ≤ 18, s)            INTEGER in units of 10^-s
//	decimal(p > 18, s)            BLOB, 16 bytes big-endian of the value in units of 10^-s plus 2^127
//	real, float                   REAL
//	date                          INTEGER, days since 0001-01-01
//	time(n)                       INTEGER, 100 ns since midnight
//	smalldatetime                 INTEGER, minutes since 1900-01-01
//	datetime                      INTEGER, 1/300 s since 1900-01-01 (negative before)
//	datetime2(n)                  INTEGER, 100 ns since 0001-01-01
//	datetimeoffset(n)             BLOB, 8 bytes big-endian 100 ns since 0001-01-01 in UTC, 2 bytes offset in minutes plus 2^15
//	char, varchar, nchar, …       TEXT in UTF-8, a lone surrogate as the three bytes that it would have (WTF-8); collation mssql
//	binary, varbinary, rowversion BLOB
//	uniqueidentifier              BLOB, its 16 bytes in the order in which SQL Server compares them
//	json                          TEXT as it came
//	sql_variant                   BLOB, the type's code in 8 bytes big-endian and the value; variant.go has the forms
//	hierarchyid, geography, …     BLOB, the bytes that SQL Server would serialize
type sqlType struct {
	id     typeID
	length int32 // of strings in characters, of binaries in bytes; maxLength for (max)
	prec   uint8 // of decimals
	scale  uint8 // of decimals, and the fractional digits of times
	// numeric is set on a decimal that was declared as numeric; it is the same type under another name.
	numeric bool
	// coll is the collation of a text, by its place in collations; 0 is the server's own.
	coll uint16
	// collated is set on a text that COLLATE gave its collation, which then wins over a column's.
	collated bool
}

var typeNames = [...]string{
	tNull: "int", tBit: "bit", tTinyInt: "tinyint", tSmallInt: "smallint", tInt: "int", tBigInt: "bigint",
	tSmallMoney: "smallmoney", tMoney: "money", tDecimal: "decimal", tReal: "real", tFloat: "float", tDate: "date",
	tTime: "time", tSmallDateTime: "smalldatetime", tDateTime: "datetime", tDateTime2: "datetime2",
	tDateTimeOffset: "datetimeoffset", tChar: "char", tVarChar: "varchar", tNChar: "nchar", tNVarChar: "nvarchar",
	tBinary: "binary", tVarBinary: "varbinary", tGUID: "uniqueidentifier", tRowVersion: "timestamp", tText: "text",
	tNText: "ntext", tImage: "image", tXML: "xml", tJSON: "json", tVariant: "sql_variant", tHierarchyID: "hierarchyid",
	tGeography: "geography", tGeometry: "geometry",
}

// name is the type's name without parameters.
func (t sqlType) name() string {
	if t.id == tDecimal && t.numeric {
		return "numeric"
	}
	return typeNames[t.id]
}

// String is the type as it's declared.
func (t sqlType) String() string {
	switch t.id {
	case tDecimal:
		return fmt.Sprintf("%s(%d,%d)", t.name(), t.prec, t.scale)
	case tTime, tDateTime2, tDateTimeOffset:
		return fmt.Sprintf("%s(%d)", t.name(), t.scale)
	case tChar, tVarChar, tNChar, tNVarChar, tBinary, tVarBinary:
		if t.length == maxLength {
			return t.name() + "(max)"
		}
		return fmt.Sprintf("%s(%d)", t.name(), t.length)
	}
	return t.name()
}

func (t sqlType) isInteger() bool { return t.id >= tBit && t.id <= tBigInt }
func (t sqlType) isMoney() bool   { return t.id == tMoney || t.id == tSmallMoney }
func (t sqlType) isApprox() bool  { return t.id == tReal || t.id == tFloat }
func (t sqlType) isNumber() bool  { return t.id >= tBit && t.id <= tFloat }
func (t sqlType) isTime() bool    { return t.id >= tDate && t.id <= tDateTimeOffset }
func (t sqlType) isLob() bool {
	return t.id == tText || t.id == tNText || t.id == tImage || t.id == tXML
}
func (t sqlType) isUnicode() bool {
	return t.id == tNChar || t.id == tNVarChar || t.id == tNText || t.id == tXML || t.id == tJSON
}
func (t sqlType) isString() bool {
	return t.id >= tChar && t.id <= tNVarChar || t.id == tText || t.id == tNText || t.id == tXML || t.id == tJSON
}

// isCLR says whether the type is one of the .NET ones, which clients get as user-defined types.
func (t sqlType) isCLR() bool {
	return t.id == tHierarchyID || t.id == tGeography || t.id == tGeometry
}
func (t sqlType) isBinary() bool {
	return t.id == tBinary || t.id == tVarBinary || t.id == tRowVersion || t.id == tImage
}

// isMax says whether values may exceed 8,000 bytes and travel in chunks.
func (t sqlType) isMax() bool { return t.length == maxLength && (t.isString() || t.isBinary()) }

// wide says whether the decimal is stored in 16 bytes instead of an integer.
func (t sqlType) wide() bool { return t.id == tDecimal && t.prec > 18 }

// code packs the type into an integer, which is how functions in SQLite learn of it.
func (t sqlType) code() int64 {
	return int64(t.id) | int64(t.prec)<<8 | int64(t.scale)<<16 | int64(uint16(t.length))<<24 | int64(t.coll)<<40
}

func typeOfCode(c int64) sqlType {
	return sqlType{id: typeID(c & 0xff), prec: uint8(c >> 8), scale: uint8(c >> 16), length: int32(int16(c >> 24)), coll: uint16(c >> 40)}
}

// precedence: where two types meet, the one with the lower number wins.
// https://learn.microsoft.com/sql/t-sql/data-types/data-type-precedence-transact-sql
var precedence = [...]int{
	tXML: 3, tDateTimeOffset: 4, tDateTime2: 5, tDateTime: 6, tSmallDateTime: 7, tDate: 8, tTime: 9, tFloat: 10, tReal: 11,
	tDecimal: 12, tMoney: 13, tSmallMoney: 14, tBigInt: 15, tInt: 16, tSmallInt: 17, tTinyInt: 18, tBit: 19, tNText: 20,
	tText: 21, tImage: 22, tRowVersion: 23, tGUID: 24, tNVarChar: 25, tNChar: 26, tVarChar: 27, tChar: 28, tVarBinary: 29,
	tBinary: 30, tVariant: 2, tHierarchyID: 1, tGeography: 1, tGeometry: 1, tJSON: 3, tNull: 99,
}

// asDecimal is the decimal that holds every value of an exact number's type.
func (t sqlType) asDecimal() sqlType {
	switch t.id {
	case tBit:
		return decimalType(1, 0)
	case tTinyInt:
		return decimalType(3, 0)
	case tSmallInt:
		return decimalType(5, 0)
	case tInt, tNull:
		return decimalType(10, 0)
	case tBigInt:
		return decimalType(19, 0)
	case tSmallMoney:
		return decimalType(10, 4)
	case tMoney:
		return decimalType(19, 4)
	}
	return t
}

func decimalType(p, s int) sqlType {
	return sqlType{id: tDecimal, prec: uint8(min(p, maxPrecision)), scale: uint8(s)}
}

func varcharType(n int) sqlType  { return sqlType{id: tVarChar, length: lengthOrMax(n, 8000)} }
func nvarcharType(n int) sqlType { return sqlType{id: tNVarChar, length: lengthOrMax(n, 4000)} }

func lengthOrMax(n, limit int) int32 {
	if n > limit || n == maxLength {
		return maxLength
	}
	return int32(max(n, 1))
}

// commonType is the type in which two operands meet: in comparisons, CASE, COALESCE, UNION, IN.
func commonType(a, b sqlType) (sqlType, error) {
	if a.id == tNull {
		return b, nil
	}
	if b.id == tNull {
		return a, nil
	}
	hi, lo := a, b
	if precedence[b.id] < precedence[a.id] {
		hi, lo = b, a
	}
	if !implicitlyConvertible(lo, hi) {
		return sqlType{}, newError(206, 16, "Operand type clash: %s is incompatible with %s", lo.name(), hi.name())
	}
	switch {
	case hi.id == tDecimal && lo.isNumber():
		d := lo.asDecimal()
		s := max(hi.scale, d.scale)
		whole := max(hi.prec-hi.scale, d.prec-d.scale)
		if int(whole)+int(s) > maxPrecision {
			s = uint8(max(0, maxPrecision-int(whole)))
		}
		return sqlType{id: tDecimal, prec: min(whole+s, maxPrecision), scale: s, numeric: hi.numeric}, nil
	case hi.isString() && lo.isString():
		coll, collated, err := commonCollation(hi, lo)
		if err != nil {
			return sqlType{}, err
		}
		n := max(hi.length, lo.length)
		if hi.length == maxLength || lo.length == maxLength {
			n = maxLength
		}
		id := hi.id
		// A fixed length meets a varying one (or another length) in a varying one, as CASE and UNION have it.
		if hi.isUnicode() && (hi.id != lo.id) {
			id = tNVarChar
		} else if hi.id != lo.id {
			id = tVarChar
		}
		if hi.id == tText || lo.id == tText || hi.id == tNText || lo.id == tNText {
			n = maxLength
		}
		return sqlType{id: id, length: n, coll: coll, collated: collated}, nil
	case hi.isBinary() && lo.isBinary():
		n := max(hi.length, lo.length)
		if hi.length == maxLength || lo.length == maxLength {
			n = maxLength
		}
		id := hi.id
		if hi.id != lo.id {
			id = tVarBinary
		}
		return sqlType{id: id, length: n}, nil
	case hi.id == lo.id && (hi.id == tTime || hi.id == tDateTime2 || hi.id == tDateTimeOffset):
		hi.scale = max(hi.scale, lo.scale)
		return hi, nil
	case hi.id == tDateTime2 && lo.isTime(), hi.id == tDateTimeOffset && lo.isTime():
		hi.scale = max(hi.scale, lo.fractionalDigits())
		return hi, nil
	}
	return hi, nil
}

// fractionalDigits is how many digits of the second a type of time has.
func (t sqlType) fractionalDigits() uint8 {
	switch t.id {
	case tTime, tDateTime2, tDateTimeOffset:
		return t.scale
	case tDateTime:
		return 3
	}
	return 0
}

// implicitlyConvertible says whether SQL Server converts a value without being asked.
func implicitlyConvertible(from, to sqlType) bool {
	if from.id == tNull || from.id == to.id {
		return true
	}
	switch {
	case from.isNumber() && to.isNumber(), from.isString() && to.isString(), from.isBinary() && to.isBinary():
		return true
	case from.isCLR() || to.isCLR():
		return from.isBinary()
	case from.id == tVariant:
		return false
	case to.id == tVariant:
		return !from.isMax() && !from.isLob() && from.id != tJSON && from.id != tRowVersion
	case from.isString():
		return !to.isBinary() || to.id == tXML
	case to.isString():
		return !from.isLob() && (!from.isBinary() || to.id != tJSON)
	case from.isTime() && to.isTime():
		return (from.id != tDate || to.id != tTime) && (from.id != tTime || to.id != tDate)
	case from.isNumber() && (to.id == tDateTime || to.id == tSmallDateTime):
		return true
	case from.isBinary() && (to.isInteger() || to.isMoney() || to.id == tGUID):
		return true
	case (from.isInteger() || from.isMoney() || from.id == tDecimal || from.id == tGUID) && to.isBinary():
		return true
	}
	return false
}

// explicitlyConvertible says whether CAST converts between the types at all.
func explicitlyConvertible(from, to sqlType) bool {
	if implicitlyConvertible(from, to) {
		return true
	}
	switch {
	case from.isString() && to.isBinary(), from.isBinary() && to.isString():
		return true
	case from.isCLR() && to.isBinary():
		return true
	case from.id == tVariant:
		return !to.isLob() && !to.isCLR() && to.id != tJSON && to.id != tRowVersion
	case from.id == tDateTime || from.id == tSmallDateTime:
		return to.isNumber() || to.isBinary()
	}
	return false
}

// parseTypeName gives the type for a name and its parameters, with SQL Server's defaults for those that are missing.
// inCast chooses between the two defaults of a string's length: 30 in CAST, 1 in a declaration.
func parseTypeName(name string, params []string, inCast bool) (sqlType, error) {
	name = strings.ToLower(name)
	number := func(i, missing int) (int, error) {
		if i >= len(params) {
			return missing, nil
		}
		n := 0
		if _, err := fmt.Sscanf(params[i], "%d", &n); err != nil {
			return 0, newError(errSyntax, 15, "Incorrect syntax near '%s'.", params[i])
		}
		return n, nil
	}
	simple := map[string]typeID{
		"bit": tBit, "tinyint": tTinyInt, "smallint": tSmallInt, "int": tInt, "integer": tInt, "bigint": tBigInt,
		"smallmoney": tSmallMoney, "money": tMoney, "real": tReal, "date": tDate, "smalldatetime": tSmallDateTime,
		"datetime": tDateTime, "uniqueidentifier": tGUID, "rowversion": tRowVersion, "timestamp": tRowVersion,
		"text": tText, "ntext": tNText, "image": tImage, "xml": tXML, "json": tJSON, "sql_variant": tVariant,
		"hierarchyid": tHierarchyID, "geography": tGeography, "geometry": tGeometry,
	}
	if id, ok := simple[name]; ok {
		if len(params) > 0 {
			return sqlType{}, newError(2716, 16, "Column, parameter, or variable #1: Cannot specify a column width on data type %s.", name)
		}
		t := sqlType{id: id}
		switch id {
		case tRowVersion:
			t.length = 8
		case tText, tNText, tImage, tXML, tJSON:
			t.length = maxLength
		}
		return t, nil
	}
	switch name {
	case "decimal", "numeric", "dec":
		p, err := number(0, 18)
		if err != nil {
			return sqlType{}, err
		}
		s, err := number(1, 0)
		if err != nil {
			return sqlType{}, err
		}
		if p < 1 || p > maxPrecision {
			return sqlType{}, newError(2750, 16, "Column or parameter #1: Specified column precision %d is greater than the maximum precision of 38.", p)
		}
		if s < 0 || s > p {
			return sqlType{}, newError(192, 15, "The scale must be less than or equal to the precision.")
		}
		return sqlType{id: tDecimal, prec: uint8(p), scale: uint8(s), numeric: name == "numeric"}, nil
	case "float", "double precision":
		n, err := number(0, 53)
		if err != nil {
			return sqlType{}, err
		}
		if n < 1 || n > 53 {
			return sqlType{}, newError(2750, 16, "Column or parameter #1: Specified column precision %d is greater than the maximum precision of 53.", n)
		}
		if n <= 24 {
			return sqlType{id: tReal}, nil
		}
		return sqlType{id: tFloat}, nil
	case "time", "datetime2", "datetimeoffset":
		n, err := number(0, 7)
		if err != nil {
			return sqlType{}, err
		}
		if n < 0 || n > 7 {
			return sqlType{}, newError(1002, 15, "Line 1: Specified scale %d is invalid.", n)
		}
		id := map[string]typeID{"time": tTime, "datetime2": tDateTime2, "datetimeoffset": tDateTimeOffset}[name]
		return sqlType{id: id, scale: uint8(n)}, nil
	}
	strs := map[string]struct {
		id    typeID
		limit int
		max   bool
	}{
		"char": {tChar, 8000, false}, "character": {tChar, 8000, false}, "varchar": {tVarChar, 8000, true},
		"nchar": {tNChar, 4000, false}, "nvarchar": {tNVarChar, 4000, true}, "binary": {tBinary, 8000, false},
		"varbinary": {tVarBinary, 8000, true}, "sysname": {tNVarChar, 4000, false},
	}
	if s, ok := strs[name]; ok {
		if name == "sysname" {
			return sqlType{id: tNVarChar, length: 128}, nil
		}
		if len(params) > 0 && strings.EqualFold(params[0], "max") {
			if !s.max {
				return sqlType{}, newError(errSyntax, 15, "Incorrect syntax near '%s'.", params[0])
			}
			return sqlType{id: s.id, length: maxLength}, nil
		}
		missing := 1
		if inCast {
			missing = 30
		}
		n, err := number(0, missing)
		if err != nil {
			return sqlType{}, err
		}
		if n < 1 {
			return sqlType{}, newError(1001, 15, "Line 1: Length or precision specification %d is invalid.", n)
		}
		if n > s.limit {
			return sqlType{}, newError(131, 15, "The size (%d) given to the type '%s' exceeds the maximum allowed for any data type (%d).", n, name, s.limit)
		}
		return sqlType{id: s.id, length: int32(n)}, nil
	}
	return sqlType{}, newError(2715, 16, "Column, parameter, or variable #1: Cannot find data type %s.", name)
}
