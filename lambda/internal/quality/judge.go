package quality

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"sagemaker-datapipeline/lambda/dqdl"
	"sagemaker-datapipeline/lambda/internal/keys"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/verdict"
)

// Judgement is what the rules say of a run's data.
type Judgement struct {
	// Rules are the outcomes of quality.rules, in their order, and then of the comparisons of quality.drift.
	Rules []verdict.Rule
	// Notes say what was not compared, and why.
	Notes []string
}

// Decision is what follows: one rule that isn't satisfied rejects the run.
func (j Judgement) Decision() verdict.Decision {
	for _, r := range j.Rules {
		if !r.Passed {
			return verdict.Rejected
		}
	}
	return verdict.Accepted
}

// Judge judges what was counted of a run. baseline are the statistics of the last accepted run; nil: there is none. key gives the keys of what merging
// the digests writes.
func (g *Gate) Judge(ctx context.Context, bucket *objects.Bucket, s manifest.Statistics, baseline *verdict.Statistics, key func(name string) string) (Judgement, error) {
	e := evaluation{gate: g, statistics: s}
	for i := range g.unique {
		once, err := keys.Once(ctx, bucket, at(s.Unique, i).Files, func(name string) string { return key(fmt.Sprintf("unique-%d-%s", i, name)) })
		if err != nil {
			return Judgement{}, fmt.Errorf("counting the values that come once: %w", err)
		}
		e.once = append(e.once, once)
	}
	var j Judgement
	for _, rule := range g.rules {
		j.Rules = append(j.Rules, e.rule(rule))
	}
	drift, notes := g.drift(s, baseline)
	j.Rules, j.Notes = append(j.Rules, drift...), notes
	return j, nil
}

// evaluation is a Judge on its way.
type evaluation struct {
	gate       *Gate
	statistics manifest.Statistics
	once       []int64
}

func (e evaluation) rule(b bound) verdict.Rule {
	r := e.outcome(b)
	r.Name = b.rule.Text
	return r
}

func (e evaluation) outcome(b bound) verdict.Rule {
	switch {
	case b.problem != "":
		return verdict.Rule{Expected: expected(b.rule), Actual: b.problem}
	case b.check >= 0:
		return e.checked(b)
	case b.rule.Connective != "":
		return e.composed(b)
	}
	c := b.rule.Condition
	switch b.rule.Type {
	case dqdl.RowCount:
		return verdict.Rule{Passed: c.Holds(float64(e.statistics.Rows)), Expected: c.Text, Actual: rowCount(e.statistics.Rows)}
	case dqdl.ColumnExists:
		return verdict.Rule{Passed: true, Expected: "the column", Actual: "it is there"}
	case dqdl.IsComplete:
		nulls := e.column(b, 0).Nulls
		return verdict.Rule{Passed: nulls == 0, Expected: "no NULL", Actual: e.share(nulls, "NULL")}
	case dqdl.Completeness:
		complete := float64(e.statistics.Rows-e.column(b, 0).Nulls) / float64(e.statistics.Rows)
		return verdict.Rule{Passed: c.Holds(complete), Expected: c.Text, Actual: decimal(complete)}
	case dqdl.Mean, dqdl.Sum, dqdl.StandardDeviation:
		return e.aggregate(b)
	}
	return e.unique(b)
}

// column is what was counted of a rule's column.
func (e evaluation) column(b bound, i int) manifest.ColumnStatistics {
	return e.statistics.Columns[e.gate.columns[b.columns[i]].Name]
}

// checked is the outcome of what was judged row by row.
func (e evaluation) checked(b bound) verdict.Rule {
	s := at(e.statistics.Checks, b.check)
	r := verdict.Rule{Expected: expected(b.rule), Examples: s.Examples}
	r.Passed = s.Failed == 0
	if t := b.rule.Threshold; t != nil {
		r.Passed = t.Holds(float64(e.statistics.Rows-s.Failed) / float64(e.statistics.Rows))
	}
	r.Actual = e.share(s.Failed, "not so")
	if s.Nulls > 0 {
		r.Actual += fmt.Sprintf(", %d of them because of NULL", s.Nulls)
	}
	if r.Passed {
		r.Examples = nil
	}
	return r
}

// composed is the outcome of connected rules, each of which is judged of all rows by itself: Glue's default.
func (e evaluation) composed(b bound) verdict.Rule {
	r := verdict.Rule{Expected: "each of the rules", Passed: b.rule.Connective == dqdl.And}
	if b.rule.Connective == dqdl.Or {
		r.Expected = "one of the rules"
	}
	var actual []string
	for _, part := range b.parts {
		one := e.rule(part)
		if b.rule.Connective == dqdl.And {
			r.Passed = r.Passed && one.Passed
		} else {
			r.Passed = r.Passed || one.Passed
		}
		if one.Passed {
			continue
		}
		actual = append(actual, one.Name+": "+one.Actual)
		for _, v := range one.Examples {
			if len(r.Examples) < verdict.MaxExamples {
				r.Examples = append(r.Examples, v)
			}
		}
	}
	if r.Passed {
		r.Examples = nil
	}
	if r.Actual = strings.Join(actual, "; "); r.Actual == "" {
		r.Actual = "all of them"
	}
	return r
}

// aggregate is the outcome of Mean, Sum and StandardDeviation, which leave NULL out.
func (e evaluation) aggregate(b bound) verdict.Rule {
	r := verdict.Rule{Expected: b.rule.Condition.Text}
	c := e.column(b, 0)
	n := e.statistics.Rows - c.Nulls
	if n == 0 {
		r.Actual = "there are no values, only NULL"
		return r
	}
	var v float64
	switch b.rule.Type {
	case dqdl.Sum:
		v, _ = sum(c).Float64()
	case dqdl.Mean:
		v = mean(c, n)
	default:
		v = deviation(c, n)
	}
	r.Passed, r.Actual = b.rule.Condition.Holds(v), decimal(v)
	return r
}

func sum(c manifest.ColumnStatistics) *big.Rat { return scaled(c.Sum.Rat(), c.Scale) }

func scaled(r *big.Rat, scale int32) *big.Rat {
	return r.Quo(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
}

func mean(c manifest.ColumnStatistics, n int64) float64 {
	v, _ := new(big.Rat).Quo(sum(c), new(big.Rat).SetInt64(n)).Float64()
	return v
}

// deviation is the population's, as Glue's is.
func deviation(c manifest.ColumnStatistics, n int64) float64 {
	// n·Σx² - (Σx)², over n²
	s := c.Sum.Rat()
	v := new(big.Rat).Mul(c.Squares.Rat(), new(big.Rat).SetInt64(n))
	v.Sub(v, new(big.Rat).Mul(s, s))
	v.Quo(v, new(big.Rat).SetInt(new(big.Int).Mul(big.NewInt(n), big.NewInt(n))))
	f, _ := scaled(v, 2*c.Scale).Float64()
	return math.Sqrt(f)
}

// unique is the outcome of the rules on values that come once.
func (e evaluation) unique(b bound) verdict.Rule {
	rows, once := at(e.statistics.Unique, b.unique).Rows, e.once[b.unique]
	r := verdict.Rule{Expected: "each value once", Actual: fmt.Sprintf("%d of %s have a value that comes again", rows-once, rowCount(rows))}
	if rows == 0 {
		r.Actual = "there are no values, only NULL"
		return r
	}
	share := float64(once) / float64(rows)
	switch b.rule.Type {
	case dqdl.Uniqueness:
		r.Expected, r.Actual = b.rule.Condition.Text, decimal(share)+" ("+r.Actual+")"
		r.Passed = b.rule.Condition.Holds(share)
	case dqdl.IsPrimaryKey:
		r.Expected += ", and no NULL"
		var nulls []string
		for i, at := range b.columns {
			if n := e.column(b, i).Nulls; n > 0 {
				has := "have"
				if n == 1 {
					has = "has"
				}
				nulls = append(nulls, fmt.Sprintf("%s %s NULL in %q", rowCount(n), has, e.gate.columns[at].Name))
			}
		}
		if len(nulls) > 0 {
			r.Actual += "; " + strings.Join(nulls, ", ")
		}
		r.Passed = once == rows && len(nulls) == 0
	default:
		r.Passed = once == rows
	}
	return r
}

// expected is a rule's condition in words.
func expected(r dqdl.Rule) string {
	if r.Condition == nil {
		return r.Text
	}
	if r.Threshold != nil {
		return fmt.Sprintf("%s, in a share of the rows %s", r.Condition.Text, r.Threshold.Text)
	}
	return r.Condition.Text
}

// share says how many of the rows are something.
func (e evaluation) share(n int64, what string) string {
	return fmt.Sprintf("%d of %s %s", n, rowCount(e.statistics.Rows), are(n, what))
}

func are(n int64, what string) string {
	if n == 1 {
		return "is " + what
	}
	return "are " + what
}

func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// decimal shows a number, shortly.
func decimal(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
