package pipeline

import (
	"slices"
	"strings"
)

// Reads says whether a column of the source is read, by its name as SQL Server compares names: it is in Include, if there is one, and not
// in Drop.
func (d Dataset) Reads(column string) bool {
	named := func(name string) bool { return strings.EqualFold(name, column) }
	return (len(d.Include) == 0 || slices.ContainsFunc(d.Include, named)) && !slices.ContainsFunc(d.Drop, named)
}
