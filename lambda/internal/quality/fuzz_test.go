package quality_test

import (
	"fmt"
	"testing"

	"sagemaker-datapipeline/lambda/internal/quality"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Whatever rules are read, they are judged, on columns of every class: nothing that somebody writes breaks an export.
func FuzzJudge(f *testing.F) {
	for _, rule := range []string{
		`ColumnValues "a" in [1, NULL]`, `ColumnValues "s" matches "[a-z]+"`, `ColumnValues "s" not in ["x", EMPTY]`, `ColumnValues "t" not between (now() - 3 days) and "2026-03-10"`,
		`ColumnValues "d" != NULL with threshold between 0.1 and 0.9`, `ColumnDataType "s" = "DATE"`, `ColumnLength "s" in [0, 1]`, `DataFreshness "t" in [3 days, 1 hours]`,
		`(IsUnique "a" "s") or (Mean "f" > -1.5) and (Sum "n" = 1)`, `IsPrimaryKey "b" "t"`, `Uniqueness "y" > 0`, `StandardDeviation "n" < 3`, `Completeness "y" = 0.5`,
	} {
		f.Add(rule)
	}
	rows := newTable(f, []string{"a int", "b bit", "n decimal(12,2)", "f float", "d date", "t datetime2(6)", "s nvarchar(50)", "y varbinary(8)"},
		`1|true|"1.50"|0.5|"2026-03-10"|"2026-03-10 10:00:00"|"x"|"AQI="`, `null|null|null|null|null|null|null|null`, `1|false|"-2.00"|-7|"2020-01-01"|"1999-12-31 00:00:00"|""|""`)
	f.Fuzz(func(t *testing.T, rule string) {
		g, err := quality.New(pipeline.Quality{Rules: "Rules = [ " + rule + " ]"}, quality.Subject{Columns: rows.columns, Now: now})
		if err != nil {
			return
		}
		p := newPlace(t)
		once, parts := p.judge(g, p.count(g, rows.batch), nil), p.judge(g, p.count(g, rows.batch, 1, 2), nil)
		if fmt.Sprint(once) != fmt.Sprint(parts) {
			t.Fatalf("%s: %+v at once, %+v in pieces", rule, once, parts)
		}
		for _, r := range once.Rules {
			if r.Name == "" || r.Expected == "" || r.Actual == "" {
				t.Fatalf("%s: %+v says nothing", rule, r)
			}
		}
	})
}
