package quality

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"sagemaker-datapipeline/lambda/dqdl"
)

// test says whether the value in a row, which isn't NULL, satisfies a rule.
type test func(row int) bool

// tester makes the test of a batch's column.
type tester func(arrow.Array) test

// nullSatisfies says whether a row whose value is NULL satisfies a rule, as AWS's pages on the rule types have it ("Null behavior").
func nullSatisfies(r dqdl.Rule) bool {
	c := r.Condition
	switch r.Type {
	case dqdl.ColumnLength: // a NULL is a text of length 0
		return c.Holds(0)
	case dqdl.ColumnDataType: // a NULL can't be cast
		return c.Operator == dqdl.NotEqual
	case dqdl.ColumnValues:
		named := false
		for _, o := range c.Operands {
			named = named || o.Keyword == dqdl.Null
		}
		switch c.Operator {
		case dqdl.Equal, dqdl.In:
			return named
		case dqdl.NotEqual, dqdl.NotIn:
			return !named
		}
	}
	return false // also DataFreshness, whatever the operator
}

// testerOf compiles a rule for a column.
func testerOf(r dqdl.Rule, c column, now time.Time) tester {
	switch r.Type {
	case dqdl.ColumnLength:
		return func(values arrow.Array) test {
			texts := values.(*array.String)
			return func(row int) bool { return r.Condition.Holds(float64(utf8.RuneCountInString(texts.Value(row)))) }
		}
	case dqdl.DataFreshness:
		return freshness(*r.Condition, now)
	case dqdl.ColumnDataType:
		return castable(r, c)
	}
	return comparison(*r.Condition, c, now)
}

// comparison compiles the condition of ColumnValues.
func comparison(c dqdl.Condition, of column, now time.Time) tester {
	switch class := dqdl.ClassOf(of.SQLType); {
	case class == dqdl.TextClass && !of.hashed:
		matches := textCondition(c, of.SQLType == "uniqueidentifier")
		return func(values arrow.Array) test {
			texts := values.(*array.String)
			return func(row int) bool { return matches(texts.Value(row)) }
		}
	case c.Kind == dqdl.Keywords: // NULL alone, which a value isn't
		holds := c.Operator == dqdl.NotEqual || c.Operator == dqdl.NotIn
		return func(arrow.Array) test { return func(int) bool { return holds } }
	case class == dqdl.MomentClass:
		return momentCondition(c, of.SQLType == "date", now)
	}
	return func(values arrow.Array) test {
		value := numbersOf(values)
		return func(row int) bool { return c.Holds(value(row)) }
	}
}

// textCondition compares texts: as they are, byte for byte. guid says that they are GUIDs, which are in upper case.
func textCondition(c dqdl.Condition, guid bool) func(string) bool {
	if c.Operator == dqdl.Matches || c.Operator == dqdl.NotMatches {
		// Deequ's PatternMatch, too, takes the whole value and finds nothing in an empty one.
		pattern, err := dqdl.WholeValue(c.Operands[0].Text)
		if err != nil {
			panic(err) // Parse has compiled it
		}
		return func(v string) bool { return (v != "" && pattern.MatchString(v)) == (c.Operator == dqdl.Matches) }
	}
	set, empty, spaces := map[string]bool{}, false, false
	for _, o := range c.Operands {
		switch {
		case o.Keyword == dqdl.Empty:
			empty = true
		case o.Keyword == dqdl.WhitespacesOnly:
			spaces = true
		case o.Keyword == dqdl.Null:
		case c.Kind == dqdl.Moment:
			set[o.Date.Format(time.DateOnly)] = true
		case guid:
			set[strings.ToUpper(o.Text)] = true
		default:
			set[o.Text] = true
		}
	}
	among := c.Operator == dqdl.Equal || c.Operator == dqdl.In
	return func(v string) bool {
		found := set[v] || empty && v == "" || spaces && v != "" && strings.TrimSpace(v) == ""
		return found == among
	}
}

// momentCondition compares points in time. With a day, and in a column of days, days are compared, as AWS's code does (to_date); with a time that
// is calculated from now(), which counts from the beginning of its minute, points are.
func momentCondition(c dqdl.Condition, days bool, now time.Time) tester {
	type point struct{ micros, day int64 }
	minute := now.Truncate(time.Minute)
	points := make([]point, len(c.Operands))
	for i, o := range c.Operands {
		at := o.Date
		if o.Now {
			at = minute.Add(o.Duration)
		}
		points[i] = point{at.UnixMicro(), floorDiv(at.Unix(), 86_400)}
	}
	places := make([]dqdl.Operand, len(c.Operands)) // Compare gives an operand back, and its place is wanted
	for i, o := range c.Operands {
		places[i] = dqdl.Operand{Keyword: o.Keyword, Now: o.Now, Number: float64(i)}
	}
	return func(values arrow.Array) test {
		micros := microsOf(values)
		return func(row int) bool {
			v := micros(row)
			return dqdl.Compare(c.Operator, places, func(o dqdl.Operand) (int, bool) {
				if o.Keyword != "" {
					return 0, false
				}
				p := points[int(o.Number)]
				if days || !o.Now {
					return sign(floorDiv(v, 86_400_000_000), p.day), true
				}
				return sign(v, p.micros), true
			})
		}
	}
}

// freshness compares the age in hours, rounded to two places as AWS's code does.
func freshness(c dqdl.Condition, now time.Time) tester {
	hours := c
	hours.Operands = make([]dqdl.Operand, len(c.Operands))
	for i, o := range c.Operands {
		hours.Operands[i].Number = math.Round(o.Duration.Hours()*1e4) / 1e4
	}
	seconds := now.Unix()
	return func(values arrow.Array) test {
		micros := microsOf(values)
		return func(row int) bool {
			age := seconds - floorDiv(micros(row), 1_000_000)
			return hours.Holds(math.Round(float64(age)/36) / 100)
		}
	}
}

func sign(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// microsOf gives the microseconds since 1970 of a column of days or of points in time; without a zone they are taken for UTC.
func microsOf(values arrow.Array) func(row int) int64 {
	if days, ok := values.(*array.Date32); ok {
		return func(row int) int64 { return int64(days.Value(row)) * 86_400_000_000 }
	}
	points := values.(*array.Timestamp)
	return func(row int) int64 { return int64(points.Value(row)) }
}

// numbersOf gives the values of a column of numbers as the nearest float64, which is what Glue compares; 0 and 1 of a bit.
func numbersOf(values arrow.Array) func(row int) float64 {
	switch a := values.(type) {
	case *array.Boolean:
		return func(row int) float64 {
			if a.Value(row) {
				return 1
			}
			return 0
		}
	case *array.Int16:
		return func(row int) float64 { return float64(a.Value(row)) }
	case *array.Int32:
		return func(row int) float64 { return float64(a.Value(row)) }
	case *array.Int64:
		return func(row int) float64 { return float64(a.Value(row)) }
	case *array.Float32:
		return func(row int) float64 { return float64(a.Value(row)) }
	case *array.Float64:
		return a.Value
	}
	decimals := values.(*array.Decimal128)
	scale := decimals.DataType().(*arrow.Decimal128Type).Scale
	return func(row int) float64 { return nearest(decimals.Value(row), scale) }
}

// nearest is the float64 nearest to a decimal. Both sides of the division are exact below 2^53 and up to 10^22, so its result is rounded once.
func nearest(n decimal128.Num, scale int32) float64 {
	if low := int64(n.LowBits()); n.HighBits() == low>>63 && low > -1<<53 && low < 1<<53 && scale <= 22 {
		return float64(low) / powers[scale]
	}
	f, _ := strconv.ParseFloat(n.ToString(scale), 64) // it is a number, and in range
	return f
}

var powers = func() (p [23]float64) {
	for i := range p {
		p[i] = math.Pow10(i)
	}
	return p
}()

// shown is a value as an example shows it.
func shown(values arrow.Array, row, most int) string {
	text, isText := values.(*array.String)
	var v string
	if isText {
		v = text.Value(row)
	} else {
		v = values.ValueStr(row)
	}
	if n := utf8.RuneCountInString(v); n > most {
		v = string([]rune(v)[:most-1]) + "…"
	}
	if isText {
		return strconv.Quote(v) // a space at its end, and a line break, are seen
	}
	return v
}
