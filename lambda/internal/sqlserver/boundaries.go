package sqlserver

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Where boundaries come from.
const (
	Histogram    = "histogram"
	MinMax       = "minimum and maximum"
	OnePartition = "one partition"
)

// MaxRanges is how many ranges Boundaries makes at most: what divides them goes to the server as parameters, of which a statement has
// at most 2,100.
const MaxRanges = 900

// Boundaries gives values that divide a table into about want ranges of the column with about the same number of rows, strictly
// ascending in the server's order, and says where they come from: Histogram, MinMax, or OnePartition when there are none. A value that
// many rows have begins a range of its own. No table is scanned for them: without statistics, the lowest and the highest value are asked
// for where an index is led by the column, and divided evenly when they are integers or times.
func (s *Session) Boundaries(ctx context.Context, t Table, column Column, want int) (values []string, how string, err error) {
	if err := CheckKey(column); err != nil {
		return nil, "", err
	}
	if want = min(want, MaxRanges); want < 2 {
		return nil, OnePartition, nil
	}
	if c, ok := t.Column(column.Name); ok && column.Collation == "" {
		column.Collation = c.Collation
	}
	how = Histogram
	steps, err := s.histogram(ctx, t, column)
	if err != nil {
		return nil, "", err
	}
	values = divide(column, steps, want)
	if len(values) == 0 && t.Led(column.Name) {
		how = MinMax
		if values, err = s.evenly(ctx, t.Name, column, want); err != nil {
			return nil, "", err
		}
	}
	if len(values) > 0 {
		if values, err = s.Order(ctx, column, values); err != nil {
			return nil, "", err
		}
	}
	if len(values) == 0 {
		how = OnePartition
	}
	return values, how, nil
}

// Order puts values of a column into the server's order, without those that it takes for equal: a uniqueidentifier isn't ordered by its
// bytes, nor a text by its characters.
func (s *Session) Order(ctx context.Context, column Column, values []string) ([]string, error) {
	st := Statement{From: "the boundaries of column " + column.Name}
	rows := make([]string, len(values))
	for i, v := range values {
		p, err := KeyParam(fmt.Sprintf("v%d", i), column, v)
		if err != nil {
			return nil, err
		}
		st.Params = append(st.Params, p)
		rows[i] = "(@" + p.Name + ")"
	}
	if len(rows) == 0 {
		return nil, nil
	}
	from := "(VALUES " + strings.Join(rows, ", ") + ") AS x(v)"
	if column.Collation != "" && column.keyKind() == textKey {
		from = fmt.Sprintf("(SELECT %s AS v FROM %s) AS x", column.collated("x.v"), from)
	}
	st.Text = "SELECT DISTINCT x.v FROM " + from + " ORDER BY x.v"
	ordered, err := s.rowsOf(ctx, st)
	if err != nil {
		return nil, err
	}
	values = values[:0:0]
	for _, r := range ordered {
		v, err := KeyText(column, r[0])
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// Highest gives the highest value of a column, which is quick where an index is led by the column and scans the table where none is.
// found is false for a table without values.
func (s *Session) Highest(ctx context.Context, table string, column Column) (text string, found bool, err error) {
	return s.edge(ctx, table, column, "DESC")
}

// edge gives the first value in an order. MIN and MAX, which in one statement scan an index from end to end, don't know every type.
func (s *Session) edge(ctx context.Context, table string, column Column, order string) (text string, found bool, err error) {
	if err := CheckKey(column); err != nil {
		return "", false, err
	}
	from, err := quoteName(table)
	if err != nil {
		return "", false, err
	}
	name := alias + "." + quote(column.Name)
	rows, err := s.rowsOf(ctx, Statement{
		From: "table " + table,
		Text: fmt.Sprintf("SELECT TOP (1) %s FROM %s AS %s WHERE %s IS NOT NULL ORDER BY %s %s", name, from, alias, name, name, order),
	})
	if err != nil || len(rows) == 0 {
		return "", false, err
	}
	text, err = KeyText(column, rows[0][0])
	return text, err == nil, err
}

// step is a step of a histogram: the rows with its highest value, and those between that of the step before and its own.
type step struct {
	high           string
	equal, between float64
}

// histogram gives the steps of statistics that are led by the column; none when there are no statistics, or no right to see them.
func (s *Session) histogram(ctx context.Context, t Table, column Column) ([]step, error) {
	if t.ObjectID == 0 {
		return nil, nil
	}
	from := "the statistics of " + t.Name
	rows, _, err := s.ask(ctx, from, `SELECT TOP (1) s.stats_id
FROM sys.stats AS s
JOIN sys.stats_columns AS sc ON sc.object_id = s.object_id AND sc.stats_id = s.stats_id
JOIN sys.columns AS c ON c.object_id = sc.object_id AND c.column_id = sc.column_id
WHERE s.object_id = @id AND s.has_filter = 0 AND sc.stats_column_id = 1 AND c.name = @column
ORDER BY s.auto_created, s.stats_id`, Param{"id", "int", t.ObjectID}, Param{"column", "nvarchar(128)", column.Name})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	rows, _, err = s.ask(ctx, from, fmt.Sprintf(`SELECT CAST(h.range_high_key AS %s), h.equal_rows, h.range_rows
FROM sys.dm_db_stats_histogram(@id, @stats) AS h
ORDER BY h.step_number`, column.variantType()), Param{"id", "int", t.ObjectID}, Param{"stats", "int", rows[0][0]})
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, r := range rows {
		equal, _ := r[1].(float64)
		between, _ := r[2].(float64)
		if r[0] == nil { // the rows without a value
			continue
		}
		high, err := KeyText(column, r[0])
		if err != nil {
			// A boundary can be any value. One that can't be bound exactly is left out, and its rows count for the next.
			steps = append(steps, step{equal: equal, between: between})
			continue
		}
		steps = append(steps, step{high, equal, between})
	}
	return steps, nil
}

// variantType is what a sql_variant is cast to for KeyText.
func (c Column) variantType() string {
	if c.keyKind() == textKey {
		// As Unicode, whatever the code page.
		return "nvarchar(4000)"
	}
	return c.keyType()
}

// divide merges the steps of a histogram into about want ranges of equal rows, and gives the values that the ranges but the first begin
// with. Within a step, of which only the number of rows is known, integers and times are divided evenly: an unbroken sequence has very
// few steps.
func divide(column Column, steps []step, want int) []string {
	var total float64
	for _, s := range steps {
		total += s.equal + s.between
	}
	target := total / float64(want)
	if target == 0 {
		return nil
	}
	var boundaries []string
	// rows are those of the range so far, left those that come after it.
	rows, left := 0.0, total
	for i, s := range steps {
		part := s.between
		if i > 0 && s.between >= 1.5*target {
			inside := between(column, steps[i-1].high, s.high, int(min(math.Round(s.between/target), float64(want))))
			if len(inside) > 0 {
				boundaries = append(boundaries, inside...)
				part = s.between / float64(len(inside)+1)
				rows = 0 // the range ended at the first of them
			}
		}
		rows, left = rows+part, left-s.between
		next := s.equal
		if i+1 < len(steps) {
			next += steps[i+1].between
		}
		// The range ends before this value when it is full, or when it would be further from full with what follows, unless that is all.
		full := rows >= target || rows+next-target > target-rows
		if full && rows > 0 && rows+left > 1.5*target && (s.high != "" || column.keyKind() == textKey) {
			boundaries = append(boundaries, s.high)
			rows = 0
		}
		rows, left = rows+s.equal, left-s.equal
	}
	return boundaries
}

// evenly divides what lies between a column's lowest and highest value.
func (s *Session) evenly(ctx context.Context, table string, column Column, want int) ([]string, error) {
	if kind := column.keyKind(); kind != integerKey && kind != timeKey {
		return nil, nil
	}
	low, found, err := s.edge(ctx, table, column, "ASC")
	if err != nil || !found {
		return nil, err
	}
	high, _, err := s.edge(ctx, table, column, "DESC")
	if err != nil {
		return nil, err
	}
	return between(column, low, high, want), nil
}

// between gives the values that divide what lies between two others into n even parts, as far as it is that long.
func between(column Column, low, high string, n int) []string {
	from, ok := position(column, low)
	to, also := position(column, high)
	if !ok || !also || to <= from || n < 2 {
		return nil
	}
	distance := uint64(to) - uint64(from)
	if distance < uint64(n) {
		n = int(distance)
	}
	var values []string
	for i := 1; i < n; i++ {
		above, below := bits.Mul64(distance, uint64(i))
		part, _ := bits.Div64(above, below, uint64(n))
		values = append(values, valueAt(column, int64(uint64(from)+part)))
	}
	return values
}

// position is where an integer or a time stands on the line of integers: a time in minutes, which is exact enough to divide by and which
// every type of time can say.
func position(column Column, value string) (int64, bool) {
	switch column.keyKind() {
	case integerKey:
		n, err := strconv.ParseInt(value, 10, 64)
		return n, err == nil
	case timeKey:
		t, err := time.Parse(column.layout(), value)
		if column.Type == "date" {
			return t.Unix() / (24 * 60 * 60), err == nil
		}
		return t.Unix() / 60, err == nil
	}
	return 0, false
}

// valueAt is the value at a position.
func valueAt(column Column, n int64) string {
	if column.keyKind() == integerKey {
		return strconv.FormatInt(n, 10)
	}
	unit := int64(60)
	if column.Type == "date" {
		unit *= 24 * 60
	}
	return time.Unix(n*unit, 0).UTC().Format(column.layout())
}
