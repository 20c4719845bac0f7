package sqlserver

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-sql/civil"
	mssql "github.com/microsoft/go-mssqldb"
)

// keyKind is what the values of a column are that can bound ranges.
type keyKind int

const (
	noKey keyKind = iota
	integerKey
	decimalKey
	timeKey
	guidKey
	binaryKey
	versionKey
	textKey
)

func (c Column) keyKind() keyKind {
	switch c.Type {
	case "tinyint", "smallint", "int", "bigint":
		return integerKey
	case "decimal", "numeric", "money", "smallmoney":
		return decimalKey
	case "date", "datetime", "smalldatetime", "datetime2", "datetimeoffset":
		return timeKey
	case "uniqueidentifier":
		return guidKey
	case "timestamp", "rowversion":
		return versionKey
	case "binary", "varbinary":
		if c.Length <= maxShort {
			return binaryKey
		}
	case "char", "varchar", "nchar", "nvarchar":
		if c.Length <= maxShort/2 {
			return textKey
		}
	}
	return noKey
}

// maxShort is the longest binary or character column that isn't a (max) one, in bytes. A bound of text is sent as Unicode, of which half as
// many characters are the longest; no index takes more than 1,700 bytes.
const maxShort = 8000

// CheckKey says why a column can't bound ranges; nil when it can.
func CheckKey(c Column) error {
	if c.keyKind() == noKey {
		return fmt.Errorf("column %q is of type %s, by which no ranges are read: take an integer, decimal, date or time, uniqueidentifier, rowversion, binary or text column (of at most 4,000 characters)", c.Name, c.SQLType())
	}
	return nil
}

// KeyText gives the text of a value of the driver, exactly: KeyParam makes a parameter of it that equals the value. Of a time that isn't
// the driver's, what the column's type doesn't have is cut off.
func KeyText(c Column, value any) (string, error) {
	fault := func() (string, error) {
		return "", fmt.Errorf("column %q of type %s gave a %T, which has no text as a bound", c.Name, c.SQLType(), value)
	}
	switch c.keyKind() {
	case noKey:
		return "", CheckKey(c)
	case integerKey:
		if n, ok := value.(int64); ok {
			return strconv.FormatInt(n, 10), nil
		}
	case decimalKey:
		if b, ok := value.([]byte); ok && plainDecimal(string(b)) {
			return string(b), nil
		}
	case timeKey:
		if t, ok := value.(time.Time); ok {
			return t.Format(c.layout()), nil
		}
	case guidKey:
		if b, ok := value.([]byte); ok && len(b) == 16 {
			return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])), nil
		}
	case binaryKey, versionKey:
		if b, ok := value.([]byte); ok {
			return "0x" + strings.ToUpper(hex.EncodeToString(b)), nil
		}
	case textKey:
		s, ok := value.(string)
		if !ok {
			return fault()
		}
		// Half a surrogate pair, and a byte that the code page doesn't have, become U+FFFD: what is bound would be another value.
		if strings.ContainsRune(s, utf8.RuneError) {
			return "", fmt.Errorf("column %q holds %q, with a character that can't be bound exactly: partition by another column", c.Name, s)
		}
		return s, nil
	}
	return fault()
}

// KeyParam makes the parameter @name of a key's text, in the column's exact type.
func KeyParam(name string, c Column, text string) (Param, error) {
	p := Param{Name: name, Type: c.keyType(), Value: text}
	malformed := fmt.Errorf("%q is not a value of column %q of type %s", text, c.Name, c.SQLType())
	switch c.keyKind() {
	case noKey:
		return Param{}, CheckKey(c)
	case integerKey:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Param{}, malformed
		}
		p.Value = n
	case decimalKey:
		if !plainDecimal(text) {
			return Param{}, malformed
		}
	case timeKey:
		at, err := time.Parse(c.layout(), text)
		if err != nil {
			return Param{}, malformed
		}
		p.Value = c.driverTime(at)
	case guidKey:
		var id mssql.UniqueIdentifier
		if err := id.Scan(text); err != nil || len(text) != 36 {
			return Param{}, malformed
		}
	case binaryKey, versionKey:
		digits, ok := strings.CutPrefix(text, "0x")
		b, err := hex.DecodeString(digits)
		if !ok || err != nil || c.keyKind() == versionKey && len(b) != 8 {
			return Param{}, malformed
		}
		p.Value = b
	case textKey:
		if !utf8.ValidString(text) {
			return Param{}, malformed
		}
		if c.Collation == "" && !isASCII(text) && (c.Type == "char" || c.Type == "varchar") {
			return Param{}, fmt.Errorf("column %q holds %q, which can't be bound exactly because the column's collation isn't known: partition by another column, or make it nvarchar", c.Name, text)
		}
	}
	return p, nil
}

// driverTime is a time in the form that the driver sends as the column's type, or as one that holds it exactly. A time.Time would be sent
// as a datetimeoffset.
func (c Column) driverTime(t time.Time) any {
	switch c.Type {
	case "date":
		return civil.DateOf(t)
	case "datetime", "smalldatetime":
		return mssql.DateTime1(t)
	case "datetimeoffset":
		return mssql.DateTimeOffset(t)
	}
	return civil.DateTimeOf(t)
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// keyType is the type that a bound of the column is declared with.
func (c Column) keyType() string {
	switch {
	case c.keyKind() == versionKey:
		return "binary(8)"
	case c.needsCollation():
		return "nvarchar(4000)"
	case c.keyKind() == textKey && c.Length < 1:
		return c.Type + "(4000)"
	case c.keyKind() == binaryKey && c.Length < 1:
		return c.Type + "(8000)"
	}
	return c.SQLType()
}

// needsCollation says that a bound has to come as Unicode: a varchar parameter has the database's code page, and would lose what only
// the column's has.
func (c Column) needsCollation() bool {
	return c.Collation != "" && (c.Type == "char" || c.Type == "varchar")
}

// keyExpression is a bound's parameter as the column is compared with it.
func (c Column) keyExpression(param string) string {
	if c.needsCollation() {
		return c.collated(param)
	}
	return param
}

// collated is a text as a value of the column, in its collation and code page.
func (c Column) collated(text string) string {
	collated := fmt.Sprintf("CAST(%s AS nvarchar(4000)) COLLATE %s", text, c.Collation)
	if c.needsCollation() {
		return fmt.Sprintf("CAST(%s AS %s)", collated, c.SQLType())
	}
	return collated
}

// layout is the form of the column's times, with as many digits as the type has. A datetime's ticks of 1/300 s are 3 1/3 ms apart: the
// milliseconds that the driver rounds them to tell each from the next, and SQL Server converts them back to the same tick.
func (c Column) layout() string {
	seconds := func(digits int64) string {
		if digits < 0 || digits > 7 {
			digits = 7
		}
		if digits == 0 {
			return "2006-01-02T15:04:05"
		}
		return "2006-01-02T15:04:05." + strings.Repeat("0", int(digits))
	}
	switch c.Type {
	case "date":
		return time.DateOnly
	case "datetime":
		return seconds(3)
	case "smalldatetime":
		return "2006-01-02T15:04:00"
	case "datetime2":
		return seconds(c.Scale)
	case "datetimeoffset":
		return seconds(c.Scale) + "-07:00"
	}
	return seconds(0)
}

// plainDecimal says whether the text is a decimal number without an exponent.
func plainDecimal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole+fraction == "" || point && fraction == "" {
		return false
	}
	for _, c := range whole + fraction {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// SQLType is SQL Server's name of the column's type with its length, precision or scale: decimal(12,2), varchar(max).
func (c Column) SQLType() string {
	switch c.Type {
	case "decimal", "numeric":
		return fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
	case "time", "datetime2", "datetimeoffset":
		if c.Scale >= 0 {
			return fmt.Sprintf("%s(%d)", c.Type, c.Scale)
		}
	case "char", "varchar", "nchar", "nvarchar", "binary", "varbinary":
		if c.Length > maxShort {
			return c.Type + "(max)"
		}
		if c.Length > 0 {
			return fmt.Sprintf("%s(%d)", c.Type, c.Length)
		}
	}
	return c.Type
}

// ParseColumn is the column of a name and a type as SQLType writes it.
func ParseColumn(name, sqlType string, nullable bool) (Column, error) {
	c := Column{Name: name, Length: -1, Precision: -1, Scale: -1, Nullable: nullable}
	base, arguments, found := strings.Cut(sqlType, "(")
	c.Type = strings.ToLower(strings.TrimSpace(base))
	malformed := fmt.Errorf("%q is not a type of SQL Server", sqlType)
	if c.Type == "" {
		return Column{}, malformed
	}
	if !found {
		return c, nil
	}
	list, rest, closed := strings.Cut(arguments, ")")
	if !closed || rest != "" {
		return Column{}, malformed
	}
	if strings.EqualFold(strings.TrimSpace(list), "max") {
		c.Length = MaxLength
		return c, nil
	}
	first, second, two := strings.Cut(list, ",")
	n, err := strconv.ParseInt(strings.TrimSpace(first), 10, 32)
	var m int64
	if two {
		var e error
		m, e = strconv.ParseInt(strings.TrimSpace(second), 10, 32)
		err = errors.Join(err, e)
	}
	if err != nil || n < 0 || m < 0 {
		return Column{}, malformed
	}
	switch c.Type {
	case "decimal", "numeric":
		c.Precision, c.Scale = n, m
	case "time", "datetime2", "datetimeoffset":
		c.Scale = n
	default:
		c.Length = n
	}
	return c, nil
}

// RowversionText writes a rowversion as bounds and watermarks have it: 0x and 16 hexadecimal digits.
func RowversionText(v uint64) string { return fmt.Sprintf("0x%016X", v) }

// ParseRowversion reads what RowversionText writes.
func ParseRowversion(text string) (uint64, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	v, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil || len(digits) != 16 {
		return 0, fmt.Errorf("%q is not a rowversion: it is written as 0x and 16 hexadecimal digits", text)
	}
	return v, nil
}
