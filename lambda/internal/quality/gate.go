// Package quality judges a run's data by rules in DQDL and by its drift from the last accepted run.
//
// What it takes is counted while the rows are read, segment by segment (Collector), is added up when the run is committed (Add), and is judged then
// (Gate.Judge). The verdict doesn't depend on how the rows were dealt to partitions and segments: what is counted is whole numbers, exact sums and
// digests, and examples are the first in the order of the rows. docs/quality.md says what each rule means.
package quality

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/dqdl"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Subject is what a run's rows are.
type Subject struct {
	// Columns in the order of the batches.
	Columns []manifest.Column
	Dataset pipeline.Dataset
	// Now is the time that rules mean by now(). It is one for the whole run, however long it is read and by how many functions: the time of its plan.
	Now time.Time
}

// Gate is what a run's data must be.
type Gate struct {
	quality pipeline.Quality
	now     time.Time
	columns []column
	rules   []bound
	checks  []check
	unique  [][]int
}

// column is a column of the run, and what is counted of it.
type column struct {
	manifest.Column
	private, hashed bool
	// declared are its categories, where the dataset has some.
	declared []string
	// counted says that its NULLs are; numbers and categories that its values are added up and counted.
	counted, numbers, categories bool
}

// bound is a rule that knows where its columns are.
type bound struct {
	rule  dqdl.Rule
	parts []bound
	// problem says why the rule can't be satisfied whatever the rows are; empty otherwise.
	problem string
	columns []int
	// check and unique are places in the gate's lists, or -1.
	check, unique int
}

// check is a rule that is judged row by row: one of the rules has to hold.
type check struct {
	column int
	rules  []dqdl.Rule
}

// New binds what a run's data must be to its columns. An error is one of the rules' text.
func New(q pipeline.Quality, s Subject) (*Gate, error) {
	g := &Gate{quality: q, now: s.Now.UTC()}
	g.describe(s)
	if q.Rules != "" {
		set, err := dqdl.Parse(q.Rules)
		if err != nil {
			return nil, fmt.Errorf("quality.rules: %w", err)
		}
		for _, rule := range set.Rules {
			g.rules = append(g.rules, g.bind(rule))
		}
	}
	return g, nil
}

// describe finds out what the columns are, and what drift asks of them.
func (g *Gate) describe(s Subject) {
	named := func(names []string, c manifest.Column) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, c.Name) })
	}
	modelled := slices.ContainsFunc(s.Columns, func(c manifest.Column) bool { return c.Role == manifest.FeatureRole || c.Role == manifest.LabelRole })
	for _, c := range s.Columns {
		one := column{Column: c, private: c.Role == manifest.KeyRole || named(g.quality.Private, c)}
		for name, rule := range s.Dataset.Columns {
			if !strings.EqualFold(name, c.Name) {
				continue
			}
			one.hashed = rule.Hash
			one.declared = slices.Concat(rule.OneHot, rule.Ordinal)
		}
		one.private = one.private || one.hashed
		// What identifies rows differs from run to run. Where there is a model, drift is of what it sees.
		learned := c.Role == manifest.FeatureRole || c.Role == manifest.LabelRole
		if d := g.quality.Drift; d != nil && c.Role != manifest.KeyRole {
			compared := learned || !modelled
			class := dqdl.ClassOf(c.SQLType)
			one.counted = d.Nulls > 0
			one.numbers = d.Mean > 0 && compared && class == dqdl.NumberClass && !one.hashed
			one.categories = d.PSI > 0 && compared && !one.hashed && countable(c.SQLType)
		}
		g.columns = append(g.columns, one)
	}
}

// countable says whether a type has values of which a few can be many rows'.
func countable(sqlType string) bool {
	name, _, _ := strings.Cut(sqlType, "(")
	switch name {
	case "bit", "tinyint", "smallint", "int", "bigint", "char", "varchar", "nchar", "nvarchar":
		return true
	}
	return false
}

// bind finds the columns of a rule.
func (g *Gate) bind(r dqdl.Rule) bound {
	b := bound{rule: r, check: -1, unique: -1}
	if leaves, rowwise := eitherOfOneColumn(r); rowwise {
		return g.bindCheck(b, leaves)
	}
	if r.Connective != "" {
		for _, part := range r.Rules {
			b.parts = append(b.parts, g.bind(part))
		}
		return b
	}
	for _, name := range r.Columns {
		at := slices.IndexFunc(g.columns, func(c column) bool { return strings.EqualFold(c.Name, name) })
		if at < 0 {
			b.problem = fmt.Sprintf("there is no column %q", name)
			return b
		}
		b.columns = append(b.columns, at)
		if b.problem = g.columns[at].unsuited(r); b.problem != "" {
			return b
		}
	}
	switch r.Type {
	case dqdl.RowCount, dqdl.ColumnExists:
	case dqdl.ColumnValues, dqdl.ColumnLength, dqdl.DataFreshness, dqdl.ColumnDataType:
		return g.bindCheck(b, []dqdl.Rule{r})
	case dqdl.IsComplete, dqdl.Completeness:
		g.columns[b.columns[0]].counted = true
	case dqdl.Mean, dqdl.StandardDeviation, dqdl.Sum:
		g.columns[b.columns[0]].numbers = true
	case dqdl.IsUnique, dqdl.Uniqueness, dqdl.IsPrimaryKey:
		for _, at := range b.columns {
			g.columns[at].counted = true
		}
		b.unique = slices.IndexFunc(g.unique, func(columns []int) bool { return slices.Equal(columns, b.columns) })
		if b.unique < 0 {
			b.unique = len(g.unique)
			g.unique = append(g.unique, b.columns)
		}
	}
	return b
}

// bindCheck makes a check of rules on one column.
func (g *Gate) bindCheck(b bound, rules []dqdl.Rule) bound {
	for _, r := range rules {
		at := slices.IndexFunc(g.columns, func(c column) bool { return strings.EqualFold(c.Name, r.Columns[0]) })
		if at < 0 {
			b.problem = fmt.Sprintf("there is no column %q", r.Columns[0])
			return b
		}
		if b.problem = g.columns[at].unsuited(r); b.problem != "" {
			return b
		}
		b.columns = []int{at}
	}
	b.check = len(g.checks)
	g.checks = append(g.checks, check{column: b.columns[0], rules: rules})
	return b
}

// unsuited says why a rule can't be judged on the column; empty: it can.
func (c column) unsuited(r dqdl.Rule) string {
	switch problem := r.Suits(c.SQLType); {
	case c.hashed && !r.CountsOnly():
		return fmt.Sprintf("of %q a hash is written, so its value is not known", c.Name)
	case c.hashed || problem == "":
		return ""
	default:
		return fmt.Sprintf("%q: %s", c.Name, problem)
	}
}

// eitherOfOneColumn gives the rules of an "or" that are all judged row by row, on one column and without a threshold. Those are judged together: a row
// has to satisfy one of them. So AWS's pages let NULL through: (ColumnValues "Age" > 21) OR (ColumnValues "Age" = NULL).
func eitherOfOneColumn(r dqdl.Rule) ([]dqdl.Rule, bool) {
	if r.Connective != dqdl.Or {
		return nil, false
	}
	leaves := r.Leaves()
	for _, part := range r.Rules {
		if _, rowwise := eitherOfOneColumn(part); part.Connective != "" && !rowwise {
			return nil, false
		}
	}
	for _, leaf := range leaves {
		switch leaf.Type {
		case dqdl.ColumnValues, dqdl.ColumnLength, dqdl.DataFreshness, dqdl.ColumnDataType:
		default:
			return nil, false
		}
		if leaf.Threshold != nil || !strings.EqualFold(leaf.Columns[0], leaves[0].Columns[0]) {
			return nil, false
		}
	}
	return leaves, true
}
