package quality

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

// leastShare stands for a share of 0 in the population stability index, whose logarithm would be infinite.
const leastShare = 0.0001

// Drifts says whether the run is compared with the one before.
func (g *Gate) Drifts() bool {
	d := g.quality.Drift
	return d != nil && (d.Rows > 0 || d.Nulls > 0 || d.Mean > 0 || d.PSI > 0)
}

// Statistics gives what the runs after this one are compared with.
func (g *Gate) Statistics(id run.ID, generation int, s manifest.Statistics) verdict.Statistics {
	all := verdict.Statistics{Version: verdict.Version, Run: id, Generation: generation, Rows: s.Rows}
	for _, of := range g.columns {
		c, counted := s.Columns[of.Name]
		if !counted {
			continue
		}
		one := verdict.Column{Name: of.Name, Nulls: c.Nulls}
		if n := s.Rows - c.Nulls; of.numbers && n > 0 {
			one.Mean, one.Deviation = new(mean(c, n)), new(deviation(c, n))
		}
		if of.categories {
			one.TooMany = c.TooMany || len(c.Categories) > MaxCategories
			if !one.TooMany {
				one.Categories = c.Categories
			}
		}
		all.Columns = append(all.Columns, one)
	}
	return all
}

// drift compares what was counted with the baseline.
func (g *Gate) drift(s manifest.Statistics, baseline *verdict.Statistics) (rules []verdict.Rule, notes []string) {
	if !g.Drifts() {
		return nil, nil
	}
	if baseline == nil {
		return nil, []string{"there is no accepted run to compare with: drift is measured from the next run on"}
	}
	d := *g.quality.Drift
	if d.Rows > 0 {
		change := float64(s.Rows)/float64(baseline.Rows) - 1
		rules = append(rules, verdict.Rule{
			Name: "drift of the number of rows", Passed: math.Abs(change) <= d.Rows,
			Expected: fmt.Sprintf("within %s of the %d of run %s", percent(d.Rows), baseline.Rows, baseline.Run), Actual: fmt.Sprintf("%d (%s)", s.Rows, signed(change)),
		})
	}
	before := map[string]verdict.Column{}
	for _, c := range baseline.Columns {
		before[strings.ToLower(c.Name)] = c
	}
	for _, of := range g.columns {
		c, counted := s.Columns[of.Name]
		if !counted {
			continue
		}
		was, there := before[strings.ToLower(of.Name)]
		if !there {
			notes = append(notes, fmt.Sprintf("run %s has no statistics of %q", baseline.Run, of.Name))
			continue
		}
		rules = append(rules, g.driftOf(of, s.Rows, c, baseline, was)...)
	}
	return rules, notes
}

// driftOf compares one column.
func (g *Gate) driftOf(of column, rows int64, c manifest.ColumnStatistics, baseline *verdict.Statistics, was verdict.Column) (rules []verdict.Rule) {
	d := *g.quality.Drift
	add := func(what string, passed bool, expected, actual string) {
		rules = append(rules, verdict.Rule{Name: fmt.Sprintf("drift of the %s of %q", what, of.Name), Passed: passed, Expected: expected, Actual: actual})
	}
	if d.Nulls > 0 {
		share, wasShare := float64(c.Nulls)/float64(rows), float64(was.Nulls)/float64(baseline.Rows)
		add("share of NULLs", math.Abs(share-wasShare) <= d.Nulls, fmt.Sprintf("within %s of the %s of run %s", points(d.Nulls), percent(wasShare), baseline.Run), percent(share))
	}
	n := rows - c.Nulls
	if of.numbers && d.Mean > 0 && n > 0 && was.Mean != nil {
		now := mean(c, n)
		unit := *was.Deviation
		if unit == 0 {
			unit = deviation(c, n) // it was one value only
		}
		moved := math.Abs(now - *was.Mean)
		if unit > 0 {
			moved /= unit
		} else if moved > 0 {
			moved = math.Inf(1)
		}
		add("mean", moved <= d.Mean, fmt.Sprintf("within %s standard deviations of the %s of run %s", decimal(d.Mean), decimal(*was.Mean), baseline.Run),
			fmt.Sprintf("%s, which is %s standard deviations away", decimal(now), decimal(moved)))
	}
	if of.categories && d.PSI > 0 && was.Categories != nil && len(was.Categories) > 0 && n > 0 {
		expected := fmt.Sprintf("a population stability index of at most %s, from run %s", decimal(d.PSI), baseline.Run)
		if c.TooMany {
			add("categories", false, expected, fmt.Sprintf("more than %d different values, or such as are longer than %d bytes, where there were %d values", countedCategories, categoryBytes, len(was.Categories)))
			return rules
		}
		index, moved := stability(was.Categories, c.Categories)
		actual := decimal(index)
		if !of.private && index > d.PSI {
			actual += ": " + strings.Join(moved, ", ")
		}
		add("categories", index <= d.PSI, expected, actual)
	}
	return rules
}

// stability is the population stability index, the sum over the categories of (p - q)·ln(p/q), where q and p are their shares before and now, and
// leastShare at least. What wasn't there before is one category. moved are the categories that add most to it, in words.
func stability(before, now map[string]int64) (index float64, moved []string) {
	type part struct {
		category string
		p, q, d  float64
	}
	var parts []part
	totals := [2]float64{}
	for i, counts := range []map[string]int64{before, now} {
		for _, n := range counts {
			totals[i] += float64(n)
		}
	}
	add := func(category string, q, p float64) {
		a, b := max(p, leastShare), max(q, leastShare)
		parts = append(parts, part{category, p, q, (a - b) * math.Log(a/b)})
	}
	rest := int64(0)
	for category, n := range now {
		if _, known := before[category]; !known {
			rest += n
		}
	}
	for _, category := range slices.Sorted(maps.Keys(before)) { // in one order: floats are added
		add(category, float64(before[category])/totals[0], float64(now[category])/totals[1])
	}
	if rest > 0 {
		add("others", 0, float64(rest)/totals[1])
	}
	for _, one := range parts {
		index += one.d
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.d, a.d) })
	for _, one := range parts[:min(len(parts), verdict.MaxExamples)] {
		moved = append(moved, fmt.Sprintf("%s from %s to %s", one.category, percent(one.q), percent(one.p)))
	}
	return index, moved
}

func percent(share float64) string { return decimal(share*100) + " %" }

func points(share float64) string { return decimal(share*100) + " points" }

func signed(change float64) string {
	if change < 0 {
		return percent(change)
	}
	return "+" + percent(change)
}
