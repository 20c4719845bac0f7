package quality_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/internal/quality"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/verdict"
)

// features makes the columns of a table, but the key, features.
func features(rows table) table {
	for i := range rows.columns {
		if rows.columns[i].Role != manifest.KeyRole {
			rows.columns[i].Role = manifest.FeatureRole
		}
	}
	return rows
}

// repeated is rows that each come some times.
func repeated(times int, rows ...string) []string {
	var all []string
	for range times {
		all = append(all, rows...)
	}
	return all
}

func TestDriftFromTheLastAcceptedRun(t *testing.T) {
	columns := []string{"Id int", "Amount decimal(12,2)", "Country nvarchar(50)", "Flag bit"}
	before := repeated(10, `1|"10.00"|"DE"|true`, `2|"20.00"|"DE"|false`, `3|"10.00"|"FR"|false`, `4|"20.00"|null|false`)
	for _, c := range []struct {
		name    string
		drift   pipeline.Drift
		private []string
		dataset pipeline.Dataset
		rows    []string
		// fails names the comparisons that aren't passed, and says what one of them says.
		fails []string
		says  string
	}{
		{"the same", pipeline.Drift{Rows: 0.01, Nulls: 0.01, Mean: 0.01, PSI: 0.01}, nil, pipeline.Dataset{}, before, nil, ""},
		{"another key", pipeline.Drift{Mean: 0.01, PSI: 0.01}, nil, pipeline.Dataset{}, repeated(10, `91|"10.00"|"DE"|true`, `92|"20.00"|"DE"|false`, `93|"10.00"|"FR"|false`, `94|"20.00"|null|false`), nil, ""},
		{"as many rows as are allowed", pipeline.Drift{Rows: 0.5}, nil, pipeline.Dataset{}, before[:20], nil, ""},
		{"fewer rows", pipeline.Drift{Rows: 0.4}, nil, pipeline.Dataset{}, before[:20], []string{"drift of the number of rows"}, "20 (-50 %)"},
		{"more rows", pipeline.Drift{Rows: 0.4}, nil, pipeline.Dataset{}, append(before, before...), []string{"drift of the number of rows"}, "80 (+100 %)"},
		{"more NULLs", pipeline.Drift{Nulls: 0.2}, nil, pipeline.Dataset{}, repeated(10, `1|"10.00"|null|true`, `2|"20.00"|"DE"|false`), []string{`drift of the share of NULLs of "Country"`}, "50 %"},
		{"as many NULLs as are allowed", pipeline.Drift{Nulls: 0.25}, nil, pipeline.Dataset{}, repeated(10, `1|"10.00"|null|true`, `2|"20.00"|"DE"|false`), nil, ""},
		{"NULLs of a key aren't looked at", pipeline.Drift{Nulls: 0.2}, nil, pipeline.Dataset{}, repeated(10, `null|"10.00"|null|true`, `2|"20.00"|"DE"|false`, `3|"15.00"|"DE"|false`), nil, ""},
		// The mean was 15 with a deviation of 5.
		{"a mean within one deviation", pipeline.Drift{Mean: 1}, nil, pipeline.Dataset{}, repeated(10, `1|"20.00"|"DE"|false`, `1|"20.00"|"DE"|true`, `1|"20.00"|"DE"|false`, `1|"20.00"|"DE"|false`), nil, ""},
		{"a mean farther away", pipeline.Drift{Mean: 0.9}, nil, pipeline.Dataset{}, repeated(10, `1|"20.00"|"DE"|false`, `1|"20.00"|"DE"|true`, `1|"20.00"|"DE"|false`, `1|"20.00"|"DE"|false`), []string{`drift of the mean of "Amount"`}, "20, which is 1 standard deviations away"},
		{"only NULLs have no mean", pipeline.Drift{Mean: 0.1}, nil, pipeline.Dataset{}, []string{`1|null|"DE"|null`}, nil, ""},
		// DE was 2/3, FR 1/3: (0.75-0.6667)·ln(1.125) + (0.25-0.3333)·ln(0.75) = 0.0338.
		{"categories within the index", pipeline.Drift{PSI: 0.034}, nil, pipeline.Dataset{}, repeated(10, `1|"10.00"|"DE"|true`, `2|"20.00"|"DE"|false`, `3|"10.00"|"FR"|false`, `4|"20.00"|"DE "|false`), nil, ""},
		{"categories beyond the index", pipeline.Drift{PSI: 0.033}, nil, pipeline.Dataset{}, repeated(10, `1|"10.00"|"DE"|true`, `2|"20.00"|"DE"|false`, `3|"10.00"|"FR"|false`, `4|"20.00"|"DE "|false`), []string{`drift of the categories of "Country"`},
			"0.0337888: FR from 33.3333 % to 25 %, DE from 66.6667 % to 75 %"},
		{"categories that are private", pipeline.Drift{PSI: 0.033}, []string{"country"}, pipeline.Dataset{}, repeated(10, `1|"10.00"|"DE"|true`, `2|"20.00"|"DE"|false`, `3|"10.00"|"FR"|false`, `4|"20.00"|"DE "|false`),
			[]string{`drift of the categories of "Country"`}, "0.0337888"},
		{"new categories", pipeline.Drift{PSI: 0.2}, nil, pipeline.Dataset{}, repeated(10, `1|"10.00"|"IT"|true`, `2|"20.00"|"ES"|false`, `3|"10.00"|"FR"|false`, `4|"20.00"|"DE"|false`), []string{`drift of the categories of "Country"`}, "others from 0 % to 50 %"},
		{"a bit that changed sides", pipeline.Drift{PSI: 0.2}, nil, pipeline.Dataset{}, repeated(10, `1|"10.00"|"DE"|true`, `2|"20.00"|"DE"|true`, `3|"10.00"|"FR"|true`, `4|"20.00"|"DE"|false`), []string{`drift of the categories of "Flag"`}, "1 from 25 % to 75 %"},
		{"declared categories and the rest", pipeline.Drift{PSI: 0.2}, nil, pipeline.Dataset{Columns: map[string]pipeline.ColumnRule{"country": {OneHot: []string{"DE"}}}},
			repeated(10, `1|"10.00"|"IT"|true`, `2|"20.00"|"ES"|false`, `3|"10.00"|"DE"|false`, `4|"20.00"|"DE"|false`, `5|"1.00"|"DE"|false`, `6|"10.00"|"DE"|false`), nil, ""},
		{"a hash isn't counted", pipeline.Drift{PSI: 0.01, Mean: 0.01}, nil, pipeline.Dataset{Columns: map[string]pipeline.ColumnRule{"Country": {Hash: true}, "Amount": {Hash: true}}},
			repeated(10, `1|"99.00"|"IT"|true`, `2|"20.00"|"ES"|false`, `3|"10.00"|"FR"|false`, `4|"20.00"|"ES"|false`), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			was, is := features(newTable(t, columns, before...)), features(newTable(t, columns, c.rows...))
			g := p.gate(pipeline.Quality{Drift: &c.drift, Private: c.private}, c.dataset, was.columns)
			baseline := g.Statistics("20260309t020000z", 1, p.count(g, was.batch))
			j := p.judge(g, p.count(g, is.batch), &baseline)
			var fails []string
			said := ""
			for _, r := range j.Rules {
				if !r.Passed {
					fails = append(fails, r.Name)
					said = r.Actual
				}
			}
			if !reflect.DeepEqual(fails, c.fails) || !strings.Contains(said, c.says) || c.private != nil && said != c.says {
				t.Fatalf("got %v, %q of %+v", fails, said, j.Rules)
			}
			if c.drift.PSI > 0 && c.private != nil && strings.Contains(fmt.Sprint(baseline), "DE") {
				t.Errorf("private values are in the statistics: %v", baseline)
			}
		})
	}
}

func TestTheFirstRunHasNothingToBeComparedWith(t *testing.T) {
	rows := features(newTable(t, []string{"Amount int"}, "1"))
	p := newPlace(t)
	g := p.gate(pipeline.Quality{Drift: &pipeline.Drift{Rows: 0.1, Mean: 0.1}}, pipeline.Dataset{}, rows.columns)
	if j := p.judge(g, p.count(g, rows.batch), nil); j.Decision() != verdict.Accepted || len(j.Notes) != 1 || len(j.Rules) != 0 {
		t.Fatalf("got %+v", j)
	}
	// A column that the baseline doesn't have is named.
	j := p.judge(g, p.count(g, rows.batch), &verdict.Statistics{Run: "20260309t020000z", Rows: 1})
	if j.Decision() != verdict.Accepted || len(j.Notes) != 1 || !strings.Contains(j.Notes[0], `no statistics of "Amount"`) {
		t.Fatalf("got %+v", j)
	}
}

func TestAColumnOfManyValuesIsNotComparedByThem(t *testing.T) {
	numbers := func(n int) table {
		var rows []string
		for i := range n {
			rows = append(rows, fmt.Sprint(i))
		}
		return features(newTable(t, []string{"Code int"}, rows...))
	}
	p := newPlace(t)
	few := numbers(quality.MaxCategories)
	g := p.gate(pipeline.Quality{Drift: &pipeline.Drift{PSI: 0.2}}, pipeline.Dataset{}, few.columns)
	baseline := g.Statistics("20260309t020000z", 1, p.count(g, few.batch, 10, 20))
	if c := baseline.Columns[0]; c.TooMany || len(c.Categories) != quality.MaxCategories {
		t.Fatalf("got %+v", c)
	}
	if c := g.Statistics("20260309t020000z", 1, p.count(g, numbers(quality.MaxCategories+1).batch)).Columns[0]; !c.TooMany || c.Categories != nil {
		t.Fatalf("got %+v", c)
	}
	for n, says := range map[int]string{60: "others from 0 % to 16.6667 %", 500: "more than 200 different values"} {
		// However the values are dealt to segments.
		for _, end := range []int64{1, 30, 59} {
			j := p.judge(g, p.count(g, numbers(n).batch, end), &baseline)
			if j.Decision() != verdict.Rejected && n == 500 || !strings.Contains(j.Rules[0].Actual, says) && j.Decision() == verdict.Rejected {
				t.Errorf("%d: got %+v", n, j.Rules)
			}
		}
	}
}

// Whatever the rows, and in whatever segments they are counted: the judgement is the same to the last digit, and so are the statistics.
func TestTheJudgementDoesntDependOnThePartitioning(t *testing.T) {
	const rules = `Rules = [ RowCount > 3, IsComplete "a", Completeness "b" > 0.5, Mean "f" > 0, StandardDeviation "f" < 100, Sum "d" > 0.3, ColumnValues "s" in ["x", "y", NULL],
		(ColumnValues "a" > 1) or (ColumnValues "a" = NULL), ColumnLength "s" < 2, IsUnique "a", Uniqueness "a" "s" > 0.5, IsPrimaryKey "s", ColumnDataType "s" = "INTEGER" with threshold > 0.2 ]`
	drift := &pipeline.Drift{Rows: 0.5, Nulls: 0.1, Mean: 0.5, PSI: 0.2}
	rapid.Check(t, func(r *rapid.T) {
		orNull := func(g *rapid.Generator[string]) *rapid.Generator[string] { return rapid.OneOf(rapid.Just("null"), g) }
		number := rapid.Map(rapid.IntRange(-3, 3), func(n int) string { return fmt.Sprint(n) })
		float := rapid.Map(rapid.Float64Range(-1e6, 1e6), func(f float64) string { return fmt.Sprint(f) })
		text := rapid.Map(rapid.SampledFrom([]string{"x", "y", "zz", "1", " ", ""}), func(s string) string { return fmt.Sprintf("%q", s) })
		decimal := rapid.Map(rapid.IntRange(-500, 500), func(n int) string { return fmt.Sprintf(`"%.2f"`, float64(n)/100) })
		row := rapid.Custom(func(r *rapid.T) string {
			return strings.Join([]string{orNull(number).Draw(r, "a"), orNull(number).Draw(r, "b"), orNull(float).Draw(r, "f"), orNull(decimal).Draw(r, "d"), orNull(text).Draw(r, "s")}, "|")
		})
		rows := features(newTable(t, []string{"a bigint", "b smallint", "f float", "d decimal(12,2)", "s nvarchar(50)"}, rapid.SliceOfN(row, 1, 40).Draw(r, "rows")...))
		n := rows.batch.NumRows()
		var ends []int64
		for at := int64(0); ; {
			if at += int64(rapid.IntRange(0, 10).Draw(r, "segment")); at >= n || len(ends) > 20 {
				break
			}
			ends = append(ends, at)
		}
		p := newPlace(t)
		g := p.gate(pipeline.Quality{Rules: rules, Drift: drift}, pipeline.Dataset{}, rows.columns)
		once, parts := p.count(g, rows.batch), p.count(g, rows.batch, ends...)
		a, b := g.Statistics("20260309t020000z", 1, once), g.Statistics("20260309t020000z", 1, parts)
		if !reflect.DeepEqual(a, b) {
			r.Fatalf("the statistics are %+v at once, and %+v in pieces", a, b)
		}
		baseline := a
		baseline.Rows += 3
		if a, b := p.judge(g, once, &baseline), p.judge(g, parts, &baseline); !reflect.DeepEqual(a, b) {
			r.Fatalf("the judgement is %+v at once, and %+v in pieces %v", a, b, ends)
		}
		for _, c := range a.Columns {
			if c.Mean != nil && (math.IsNaN(*c.Mean) || math.IsNaN(*c.Deviation)) {
				r.Fatalf("got %+v", c)
			}
		}
	})
}
