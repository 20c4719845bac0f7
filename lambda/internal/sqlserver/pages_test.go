package sqlserver_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	reading "sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
)

// keys are the types that can bound ranges, with values at their ends, values that are next to one another, and values whose order isn't
// that of their bytes or text.
var keys = []struct {
	sqlType string
	values  []string
}{
	{"tinyint", []string{"0", "1", "127", "128", "255"}},
	{"smallint", []string{"-32768", "-1", "0", "9", "10", "32767"}},
	{"int", []string{"-2147483648", "-10", "-9", "0", "2147483647"}},
	{"bigint", []string{"-9223372036854775808", "-1", "0", "9007199254740993", "9223372036854775807"}},
	{"decimal(5,2)", []string{"-999.99", "-0.01", "0", "0.01", "9.90", "10", "999.99"}},
	{"decimal(38,10)", []string{"-9999999999999999999999999999.9999999999", "0.0000000001", "9999999999999999999999999999.9999999999"}},
	{"money", []string{"-922337203685477.5808", "-0.0001", "0.0001", "922337203685477.5807"}},
	{"smallmoney", []string{"-214748.3648", "0", "214748.3647"}},
	{"date", []string{"'0001-01-01'", "'1752-09-14'", "'2026-02-28'", "'2026-03-01'", "'9999-12-31'"}},
	{"datetime", []string{"'1753-01-01T00:00:00.000'", "'2026-01-01T00:00:00.000'", "'2026-01-01T00:00:00.003'", "'2026-01-01T00:00:00.007'", "'2026-01-01T00:00:00.010'", "'2026-01-01T23:59:59.997'", "'9999-12-31T23:59:59.997'"}},
	{"smalldatetime", []string{"'1900-01-01T00:00:00'", "'2026-01-01T10:30:00'", "'2026-01-01T10:31:00'", "'2079-06-06T23:59:00'"}},
	{"datetime2(0)", []string{"'0001-01-01T00:00:00'", "'2026-01-01T00:00:01'", "'9999-12-31T23:59:59'"}},
	{"datetime2(3)", []string{"'2026-01-01T00:00:00.001'", "'2026-01-01T00:00:00.002'"}},
	{"datetime2(7)", []string{"'0001-01-01T00:00:00.0000000'", "'2026-01-01T00:00:00.0033333'", "'2026-01-01T00:00:00.0033334'", "'9999-12-31T23:59:59.9999999'"}},
	{"datetimeoffset(7)", []string{"'2026-01-01T00:00:00.0000001+14:00'", "'2026-01-01T00:00:00.0000002+14:00'", "'2026-01-01T00:00:00-05:30'", "'9999-12-31T00:00:00+00:00'"}},
	{"datetimeoffset(2)", []string{"'2026-01-01T00:00:00.01+00:00'", "'2026-01-01T00:00:00.02+00:00'"}},
	{"uniqueidentifier", []string{
		"'00000000-0000-0000-0000-000000000001'", "'01000000-0000-0000-0000-000000000000'", "'00000000-0000-0000-0100-000000000000'",
		"'FFFFFFFF-FFFF-FFFF-FFFF-000000000000'", "'3F2504E0-4F89-11D3-9A0C-0305E82C3301'", "'00000000-0000-0000-0000-FF0000000000'",
	}},
	{"binary(4)", []string{"0x00000000", "0x7FFFFFFF", "0x80000000", "0xFFFFFFFF"}},
	{"varbinary(20)", []string{"0x", "0x01", "0x0101", "0xFF", "0xFF01"}},
	{"char(5)", []string{"'a'", "'B'", "'c'", "'Z'", "'it''s'"}},
	{"varchar(20)", []string{"''", "'é'", "'ÿ'", "'a'", "'B'", "'b1'", "'b-2'", "'zebra'", "'it''s'"}},
	{"nchar(3)", []string{"N'a'", "N'B'", "N'ж'"}},
	{"nvarchar(20)", []string{"N''", "N'a'", "N'B'", "N'Ä'", "N'ж'", "N'日本'", "N'😀'"}},
}

// However a table is divided, and however small the pages are, every row is read once: those with the same key as others, those at the
// ends of the type, and those without a value.
func TestRangesAndPagesReadEveryRowOnce(t *testing.T) {
	shop := theShop(t)
	session := shop.session(t)
	for _, key := range keys {
		t.Run(key.sqlType, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(len(key.sqlType))))
			for _, unique := range []bool{false, true} {
				table := shop.table(t, "Id int NOT NULL, K "+key.sqlType+" NULL")
				var rows []string
				for i, v := range key.values {
					rows = append(rows, v)
					for range i % 3 {
						if !unique {
							rows = append(rows, v)
						}
					}
				}
				rows = append(rows, "NULL")
				random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
				for i, v := range rows {
					rows[i] = fmt.Sprintf("(%d, %s)", i, v)
				}
				shop.execute(t, "INSERT INTO "+table+" (Id, K) VALUES "+strings.Join(rows, ", "))
				x, err := reading.NewSelection(pipeline.Source{Table: table}, pipeline.Limits{MaxDOP: 1}, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				columns, err := session.DescribeColumns(t.Context(), x.Describe())
				if err != nil {
					t.Fatal(err)
				}
				found, err := session.Table(t.Context(), table)
				if err != nil {
					t.Fatal(err)
				}
				found.Collate(columns)
				column := columns[1]
				if column.SQLType() != key.sqlType {
					t.Fatalf("the server describes it as %s", column.SQLType())
				}
				_, all := read(t, session, x.All([]reading.Selected{{Name: "K"}}, nil, nil))
				var values []string
				for _, row := range all {
					if row[0] == nil || random.IntN(2) == 0 {
						continue
					}
					value, err := reading.KeyText(column, row[0])
					if err != nil {
						t.Fatal(err)
					}
					values = append(values, value)
				}
				boundaries, err := session.Order(t.Context(), column, values)
				if err != nil {
					t.Fatal(err)
				}
				ranges := []plan.Range{{Null: true}, {}}
				for i := range boundaries {
					last := len(ranges) - 1
					ranges[last].To = &boundaries[i]
					ranges = append(ranges, plan.Range{From: &boundaries[i]})
				}
				seen := map[int64]int{}
				for _, r := range ranges {
					for id := range pages(t, session, x, column, unique, r, int64(1+random.IntN(3))) {
						seen[id]++
					}
				}
				for i := range rows {
					if seen[int64(i)] != 1 {
						t.Errorf("row %s was read %d times, unique %v, boundaries %v", rows[i], seen[int64(i)], unique, boundaries)
					}
				}
			}
		})
	}
}

// pages gives the ids of the rows of a range, page by page.
func pages(t *testing.T, s *reading.Session, x *reading.Selection, key reading.Column, unique bool, r plan.Range, size int64) func(func(int64) bool) {
	t.Helper()
	return func(yield func(int64) bool) {
		var after *string
		for n := 0; ; n++ {
			if n > 100 {
				t.Fatalf("the pages of %s don't end: the last one was after %s", r, *after)
			}
			_, rows := read(t, s, x.Page([]reading.Selected{{Name: "Id"}, {Name: "K"}}, key, unique, r, after, nil, nil, size))
			for _, row := range rows {
				if !yield(row[0].(int64)) {
					return
				}
			}
			if int64(len(rows)) < size || r.Null {
				return
			}
			if unique && int64(len(rows)) > size {
				t.Fatalf("a page of %d has %d rows", size, len(rows))
			}
			last, err := reading.KeyText(key, rows[len(rows)-1][1])
			if err != nil {
				t.Fatal(err)
			}
			after = &last
		}
	}
}

// planRange is everything.
func planRange() plan.Range { return plan.Range{} }
