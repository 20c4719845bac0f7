package manifest

import "sagemaker-datapipeline/lambda/internal/exact"

// Statistics is what was counted of a segment's rows while they were read, for the rules and the drift that the run is judged by. Those of several
// segments add up to those of all their rows, in whatever pieces they were read: no sum is rounded.
type Statistics struct {
	Rows int64 `json:"rows"`
	// Columns that a rule or the drift asks for, by name.
	Columns map[string]ColumnStatistics `json:"columns,omitempty"`
	// Checks are of the rules that are judged row by row, in their order.
	Checks []CheckStatistics `json:"checks,omitempty"`
	// Unique are of the columns that have to be unique, in the order of their rules.
	Unique []UniqueStatistics `json:"unique,omitempty"`
}

// ColumnStatistics is what was counted of a column.
type ColumnStatistics struct {
	Nulls int64 `json:"nulls,omitempty"`
	// Sum and Squares are those of the values and of their squares, exact. A decimal counts in units of its last digit, of which there are Scale behind
	// the point.
	Sum     exact.Sum `json:"sum,omitzero"`
	Squares exact.Sum `json:"squares,omitzero"`
	Scale   int32     `json:"scale,omitempty"`
	// Categories counts the values that are not NULL; nil where they aren't counted, or are too many.
	Categories map[string]int64 `json:"categories,omitempty"`
	TooMany    bool             `json:"tooMany,omitempty"`
}

// CheckStatistics is what a rule found row by row.
type CheckStatistics struct {
	// Failed counts the rows that don't satisfy it, and Nulls those of them whose value is NULL.
	Failed int64 `json:"failed,omitempty"`
	Nulls  int64 `json:"nulls,omitempty"`
	// Examples are the first few different values of such rows.
	Examples []string `json:"examples,omitempty"`
}

// UniqueStatistics is what tells which values of some columns come once.
type UniqueStatistics struct {
	// Rows counts those in which one of the columns at least is not NULL.
	Rows int64 `json:"rows,omitempty"`
	// Files have the digests of the values, sorted, each of them twice at most.
	Files []KeyFile `json:"files,omitempty"`
}
