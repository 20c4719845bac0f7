package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// Reads says whether a column of the source is read, by its name as SQL Server compares names: it is in Include, if there is one, and not
// in Drop.
func (d Dataset) Reads(column string) bool {
	named := func(name string) bool { return strings.EqualFold(name, column) }
	return (len(d.Include) == 0 || slices.ContainsFunc(d.Include, named)) && !slices.ContainsFunc(d.Drop, named)
}

// ReadsAs is the text by which a later run knows whether it reads what this one did: the query's, and of an append load the key, by which
// rows are told apart from those of the runs before. Digests of another key can't be compared with theirs.
func (s Spec) ReadsAs(query string) string {
	if s.Source.Load != Append {
		return query
	}
	var b strings.Builder
	b.WriteString(query)
	for _, name := range s.Dataset.Key {
		fmt.Fprintf(&b, "\n-- key %q", strings.ToLower(name))
		for column, rule := range s.Dataset.Columns {
			if !strings.EqualFold(column, name) {
				continue
			}
			if rule.Hash {
				b.WriteString(" hashed")
			}
			if rule.Cast != "" {
				b.WriteString(" as " + strings.ToLower(rule.Cast))
			}
		}
	}
	return b.String()
}
