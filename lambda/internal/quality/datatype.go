package quality

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"sagemaker-datapipeline/lambda/dqdl"
)

// castable compiles ColumnDataType: whether Apache Spark can cast a value to a type, with its default, lenient casts. A column that isn't a text is
// of each type that its own can be cast to, whatever the value.
func castable(r dqdl.Rule, c column) tester {
	to := strings.ToUpper(r.Condition.Operands[0].Text)
	wanted := r.Condition.Operator == dqdl.Equal
	class := dqdl.ClassOf(c.SQLType)
	if class != dqdl.TextClass {
		can := class == dqdl.NumberClass && to != "DATE" || class == dqdl.MomentClass && (to == "DATE" || to == "TIMESTAMP")
		return func(arrow.Array) test { return func(int) bool { return can == wanted } }
	}
	can := casts[to]
	return func(values arrow.Array) test {
		texts := values.(*array.String)
		return func(row int) bool { return can(strings.TrimFunc(texts.Value(row), trimmed)) == wanted }
	}
}

// trimmed says what Spark takes off the ends of a text before it casts it: spaces and control characters.
func trimmed(r rune) bool { return r <= ' ' || r == 0x7f }

var casts = map[string]func(string) bool{
	"BOOLEAN":   isBoolean,
	"INTEGER":   func(v string) bool { return isWhole(v, 32) },
	"LONG":      func(v string) bool { return isWhole(v, 64) },
	"FLOAT":     isFloat,
	"DOUBLE":    isFloat,
	"DATE":      func(v string) bool { return isDay(dayForm.FindStringSubmatch(v)) },
	"TIMESTAMP": isTimestamp,
}

func isBoolean(v string) bool {
	switch strings.ToLower(v) {
	case "t", "true", "y", "yes", "1", "f", "false", "n", "no", "0":
		return true
	}
	return false
}

var wholeForm = regexp.MustCompile(`^([+-]?[0-9]*)(\.[0-9]*)?$`)

// isWhole takes digits behind a point for Spark's cast does, which cuts them off.
func isWhole(v string, bits int) bool {
	parts := wholeForm.FindStringSubmatch(v)
	if parts == nil || !strings.ContainsAny(v, "0123456789") {
		return false
	}
	whole := parts[1]
	if whole == "" || whole == "+" || whole == "-" {
		return true // ".5"
	}
	_, err := strconv.ParseInt(whole, 10, bits)
	return err == nil
}

var floatForm = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

func isFloat(v string) bool {
	if floatForm.MatchString(v) {
		return true
	}
	switch strings.ToLower(v) {
	case "nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity":
		return true
	}
	return false
}

var (
	dayForm  = regexp.MustCompile(`^([0-9]{4,7})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[T ].*)?)?)?$`)
	timeForm = regexp.MustCompile(`^(?:([0-9]{4,6})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?)(?:[T ]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.[0-9]*)?)?(?: ?(?:Z|UTC|GMT|[+-][0-9]{1,2}(?::?[0-9]{2})?))?)?$`)
)

// isDay takes year, month and day, of which the last two may be missing.
func isDay(parts []string) bool {
	if parts == nil {
		return false
	}
	number := func(i int) int {
		if parts[i] == "" {
			return 1
		}
		n, _ := strconv.Atoi(parts[i]) // digits, few enough
		return n
	}
	year, month, day := number(1), number(2), number(3)
	d := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return d.Year() == year && int(d.Month()) == month && d.Day() == day
}

func isTimestamp(v string) bool {
	parts := timeForm.FindStringSubmatch(v)
	if !isDay(parts) {
		return false
	}
	for i, below := range []int{24, 60, 60} {
		if n, err := strconv.Atoi(parts[4+i]); err == nil && n >= below {
			return false
		}
	}
	return true
}
