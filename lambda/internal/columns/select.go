package columns

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Select gives the columns that the server has to send, of those that the source has: dataset.include in its order, without dataset.drop, cast
// where a rule says so, or where the driver can't read the column's text. It gives nil when the source can be read as it is. All problems are reported at once.
func Select(described []sqlserver.Column, d pipeline.Dataset) ([]sqlserver.Selected, error) {
	source, problems := newNames(described)
	find := func(where, name string) int {
		i, err := source.find(where, name)
		if err != nil {
			problems = append(problems, err)
		}
		return i
	}

	var order []int
	taken := map[int]string{} // by which list a column is taken, or left out
	for _, name := range d.Include {
		i := find("dataset.include", name)
		if i < 0 {
			continue
		}
		if taken[i] != "" {
			problems = append(problems, fmt.Errorf("dataset.include names %q twice", name))
			continue
		}
		taken[i] = "dataset.include"
		order = append(order, i)
	}
	for _, name := range d.Drop {
		i := find("dataset.drop", name)
		if i < 0 {
			continue
		}
		if taken[i] == "dataset.include" {
			problems = append(problems, fmt.Errorf("dataset.drop names %q, which dataset.include includes", name))
		}
		taken[i] = "dataset.drop"
	}
	if len(d.Include) == 0 {
		for i := range described {
			if taken[i] == "" {
				order = append(order, i)
			}
		}
	}
	for _, use := range uses(d) {
		if i := find(use.where, use.name); i >= 0 && !slices.Contains(order, i) {
			problems = append(problems, fmt.Errorf("%s names %q, which %s leaves out", use.where, use.name, leaves(taken[i])))
		}
	}

	casts := map[int]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Columns)) {
		rule, where := d.Columns[name], "dataset.columns"
		i := find(where, name)
		if i < 0 {
			continue
		}
		if !slices.Contains(order, i) {
			problems = append(problems, fmt.Errorf("%s has a rule for %q, which %s leaves out", where, name, leaves(taken[i])))
		}
		if rule.Cast == "" {
			continue
		}
		if err := pipeline.CheckCast(rule.Cast); err != nil {
			problems = append(problems, fmt.Errorf("%s.%s: %w", where, name, err))
			continue
		}
		casts[i] = strings.ToLower(rule.Cast)
	}
	for _, i := range order {
		// A text in UTF-8 comes as Unicode; one that the server makes of another type has the database's code page.
		if described[i].UTF8() && casts[i] == "" {
			casts[i] = described[i].Unicode()
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(d.Include) == 0 && len(d.Drop) == 0 && len(casts) == 0 {
		return nil, nil
	}
	var selected []sqlserver.Selected
	for _, i := range order {
		selected = append(selected, sqlserver.Selected{Name: described[i].Name, Cast: casts[i]})
	}
	return selected, nil
}

func leaves(list string) string {
	if list == "" {
		return "dataset.include"
	}
	return list
}

// use is a place of the dataset that names a column.
type use struct{ where, name string }

// uses are the places that need their column, but for the rules.
func uses(d pipeline.Dataset) []use {
	var list []use
	for _, name := range d.Key {
		list = append(list, use{"dataset.key", name})
	}
	if d.Label != "" {
		list = append(list, use{"dataset.label", d.Label})
	}
	for _, name := range d.Features {
		list = append(list, use{"dataset.features", name})
	}
	if d.Split.Time != nil {
		list = append(list, use{"dataset.split.time.column", d.Split.Time.Column})
	}
	return list
}

// names finds the columns of a source by name.
type names struct {
	all   []string
	place map[string]int
}

func newNames(columns []sqlserver.Column) (names, []error) {
	n := names{place: map[string]int{}}
	var problems []error
	for i, c := range columns {
		if strings.TrimSpace(c.Name) == "" {
			problems = append(problems, fmt.Errorf("column %d of the result has no name: give it one with AS", i+1))
			continue
		}
		if at, ok := n.place[fold(c.Name)]; ok {
			problems = append(problems, fmt.Errorf("columns %d and %d of the result are both named %q: give one another name with AS", at+1, i+1, c.Name))
			continue
		}
		n.place[fold(c.Name)] = i
		n.all = append(n.all, c.Name)
	}
	return n, problems
}

// find gives the place of a column without regard to case, as SQL Server does, or -1 and an error that names its neighbour.
func (n names) find(where, name string) (int, error) {
	if i, ok := n.place[fold(name)]; ok {
		return i, nil
	}
	if name == "" {
		return -1, fmt.Errorf("%s is empty: name a column of the result, which has %s", where, strings.Join(n.all, ", "))
	}
	best, distance := "", len(name)/2+1
	for _, other := range n.all {
		if d := editDistance(fold(name), fold(other)); d < distance {
			best, distance = other, d
		}
	}
	hint := ""
	if best != "" {
		hint = fmt.Sprintf("; did you mean %q?", best)
	}
	return -1, fmt.Errorf("%s names %q, which the result doesn't have: its columns are %s%s", where, name, strings.Join(n.all, ", "), hint)
}

func fold(name string) string { return strings.ToLower(name) }

// editDistance is the number of letters to insert, delete or replace.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}
