package columns

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// variantText is a sql_variant as text: the family of its base type, a colon, and the value without loss. The driver decodes a value by its
// base type and doesn't say which one that was, so what decodes alike is one family: tinyint and bigint are "integer", decimal and money are
// "number".
func variantText(v any) (string, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return "bit:1", nil
		}
		return "bit:0", nil
	case int64:
		return "integer:" + strconv.FormatInt(v, 10), nil
	case float64:
		text, err := appendFloat([]byte("float:"), v, 64)
		return string(text), err
	case string:
		return "text:" + v, nil
	case time.Time:
		if v.Location() == time.UTC {
			return "time:" + v.Format("2006-01-02 15:04:05.0000000"), nil
		}
		return "time:" + v.Format("2006-01-02 15:04:05.0000000-07:00"), nil
	case []byte:
		if isDecimal(v) {
			return "number:" + string(v), nil
		}
		return string(hex.AppendEncode([]byte("bytes:0x"), v)), nil
	}
	return "", fmt.Errorf("the driver gave a %T for a sql_variant", v)
}

// isDecimal says whether bytes are what the driver gives for a decimal: digits with at most a sign and a point.
func isDecimal(b []byte) bool {
	digits, point := 0, false
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '-' && i == 0:
		case c == '.' && !point:
			point = true
		default:
			return false
		}
	}
	return digits > 0
}
