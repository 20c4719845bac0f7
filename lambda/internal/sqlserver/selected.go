package sqlserver

// Selected is a column of a SELECT list.
type Selected struct {
	Name string
	// Cast is the type that the server casts the column to; empty: the column as it is.
	Cast string
}
