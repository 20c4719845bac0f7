package quality_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"sagemaker-datapipeline/lambda/internal/objects"
	s3 "sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/internal/quality"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/verdict"
)

// now is the time of the plans.
var now = time.Date(2026, 3, 10, 12, 0, 30, 0, time.UTC)

// table is rows with the types of SQL Server that they have.
type table struct {
	columns []manifest.Column
	batch   arrow.RecordBatch
}

var arrowTypes = map[string]arrow.DataType{
	"bit": arrow.FixedWidthTypes.Boolean, "smallint": arrow.PrimitiveTypes.Int16, "int": arrow.PrimitiveTypes.Int32, "bigint": arrow.PrimitiveTypes.Int64,
	"decimal(12,2)": &arrow.Decimal128Type{Precision: 12, Scale: 2}, "decimal(38,4)": &arrow.Decimal128Type{Precision: 38, Scale: 4}, "float": arrow.PrimitiveTypes.Float64,
	"real": arrow.PrimitiveTypes.Float32, "date": arrow.FixedWidthTypes.Date32, "datetime2(6)": &arrow.TimestampType{Unit: arrow.Microsecond},
	"nvarchar(50)": arrow.BinaryTypes.String, "uniqueidentifier": arrow.BinaryTypes.String, "varbinary(8)": arrow.BinaryTypes.Binary, "time(6)": arrow.FixedWidthTypes.Time64us,
}

// newTable makes a table of columns "name type", of which the first is a key if it is called Id, and rows in JSON.
func newTable(t testing.TB, columns []string, rows ...string) table {
	t.Helper()
	var out table
	var fields []arrow.Field
	for _, c := range columns {
		name, sqlType, _ := strings.Cut(c, " ")
		role := manifest.OtherRole
		if name == "Id" {
			role = manifest.KeyRole
		}
		out.columns = append(out.columns, manifest.Column{Name: name, SQLType: sqlType, Nullable: true, Role: role})
		fields = append(fields, arrow.Field{Name: name, Type: arrowTypes[sqlType], Nullable: true})
	}
	objects := make([]string, len(rows))
	for i, row := range rows {
		values := strings.Split(row, "|")
		for j, v := range values {
			values[j] = fmt.Sprintf("%q:%s", out.columns[j].Name, v)
		}
		objects[i] = "{" + strings.Join(values, ",") + "}"
	}
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil), strings.NewReader("["+strings.Join(objects, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	out.batch = batch
	return out
}

type place struct {
	t      testing.TB
	bucket *objects.Bucket
	made   int
}

func newPlace(t testing.TB) *place {
	return &place{t: t, bucket: objects.NewBucket(s3.New().Client(), "data", "", 1)}
}

func (p *place) gate(q pipeline.Quality, d pipeline.Dataset, columns []manifest.Column) *quality.Gate {
	p.t.Helper()
	g, err := quality.New(q, quality.Subject{Columns: columns, Dataset: d, Now: now})
	if err != nil {
		p.t.Fatal(err)
	}
	return g
}

// count counts a table in pieces that end at some rows, as segments do.
func (p *place) count(g *quality.Gate, batch arrow.RecordBatch, ends ...int64) manifest.Statistics {
	p.t.Helper()
	var all *manifest.Statistics
	begin := int64(0)
	for _, end := range append(ends, batch.NumRows()) {
		p.made++
		c := g.NewCollector(p.t.Context(), p.bucket, func(name string) string { return fmt.Sprintf("%d-%s", p.made, name) })
		part := batch.NewSlice(begin, end)
		if err := c.Add(part); err != nil {
			p.t.Fatal(err)
		}
		part.Release()
		s, err := c.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		all, begin = quality.Add(all, s), end
	}
	return *all
}

func (p *place) judge(g *quality.Gate, s manifest.Statistics, baseline *verdict.Statistics) quality.Judgement {
	p.t.Helper()
	p.made++
	j, err := g.Judge(context.Background(), p.bucket, s, baseline, func(name string) string { return fmt.Sprintf("%d-%s", p.made, name) })
	if err != nil {
		p.t.Fatal(err)
	}
	return j
}

// judged is the outcome of one rule on a table, which is the same in whatever pieces it is counted.
func (p *place) judged(t testing.TB, rule string, rows table) verdict.Rule {
	t.Helper()
	g := p.gate(pipeline.Quality{Rules: "Rules = [ " + rule + " ]"}, pipeline.Dataset{}, rows.columns)
	j := p.judge(g, p.count(g, rows.batch), nil)
	if n := rows.batch.NumRows(); n > 1 {
		if parts := p.judge(g, p.count(g, rows.batch, 1, n/2+n%2, n), nil); !reflect.DeepEqual(parts, j) {
			t.Errorf("%s: in pieces it is %+v, at once %+v", rule, parts, j)
		}
	}
	return j.Rules[0]
}

// The examples of AWS's pages on rule types (docs.aws.amazon.com/glue/latest/dg/dqdl-rule-types-*.html), with what the pages say of NULL, and the cases
// of its own evaluation (github.com/awslabs/deequ, src/test/scala/com/amazon/deequ/dqdl).
func TestWhatRulesMean(t *testing.T) {
	units := newTable(t, []string{"id int", "units1 int", "units2 int"}, "100|0|0", "101|null|0", "102|20|20", "103|null|0", "104|40|40")
	ages := newTable(t, []string{"Age int"}, "25", "null", "30")
	young := newTable(t, []string{"Age int"}, "25", "null", "20")
	twentyOne := newTable(t, []string{"Age int"}, "20", "null", "22")
	codes := newTable(t, []string{"Postal_Code nvarchar(50)"}, `"12345"`, `"54321"`)
	noCode := newTable(t, []string{"Postal_Code nvarchar(50)"}, `null`)
	countries := newTable(t, []string{"Country nvarchar(50)"}, `"US"`, `"CA"`, `null`, `""`, `"  "`, `"\t"`)
	foreign := newTable(t, []string{"Country nvarchar(50)"}, `"US"`, `"us"`, `"FR"`, `"FR"`, `"US "`, `"DE"`, `"IT"`)
	moments := newTable(t, []string{"At datetime2(6)"}, `"2026-03-10 11:00:00"`, `"2026-03-08 00:00:00"`)
	days := newTable(t, []string{"Day date"}, `"2026-03-09"`, `"2026-03-07"`)
	stale := newTable(t, []string{"Order_Date datetime2(6)"}, `"2026-03-09 12:00:00"`, `null`)
	numbers := newTable(t, []string{"n nvarchar(50)"}, `"11.5"`, `"12.0"`, `"not_a_number"`, `"14.5"`)
	unique := newTable(t, []string{"a int", "b nvarchar(50)"}, `1|"x"`, `2|"x"`, `2|"y"`, `null|"z"`, `null|null`)
	amounts := newTable(t, []string{"Amount decimal(12,2)"}, `"0.10"`, `"0.20"`, `"0.30"`)
	large := newTable(t, []string{"Big decimal(38,4)"}, `"1234567890123456789012345678901234.5678"`, `"-1234567890123456789012345678901234.5678"`, `"0.0003"`)
	flags := newTable(t, []string{"IsFraud bit"}, "true", "false", "false", "null", "false")
	nothing := newTable(t, []string{"a int", "b nvarchar(50)"}, "null|null", "null|null")
	guids := newTable(t, []string{"g uniqueidentifier"}, `"6F9619FF-8B86-D011-B42D-00C04FC964FF"`)
	bytes := newTable(t, []string{"v varbinary(8)", "t time(6)"}, `"AQI="|"10:00:00"`, `null|null`)

	for _, c := range []struct {
		rule   string
		rows   table
		passes bool
		actual string
	}{
		{`RowCount > 4`, units, true, "5 rows"},
		{`RowCount between 5 and 9`, units, false, "5 rows"}, // both ends are left out
		{`ColumnExists "UNITS1"`, units, true, ""},
		{`ColumnExists "Middle_Name"`, units, false, `there is no column "Middle_Name"`},
		{`IsComplete "nothing"`, units, false, `there is no column "nothing"`},

		{`IsComplete "units2"`, units, true, "0 of 5 rows are NULL"},
		{`IsComplete "units1"`, units, false, "2 of 5 rows are NULL"},
		{`Completeness "units1" > 0.5`, units, true, "0.6"},
		{`Completeness "units1" > 0.6`, units, false, "0.6"},
		{`IsComplete "Country"`, countries, false, "1 of 6 rows is NULL"}, // an empty text is a value
		{`IsComplete "v"`, bytes, false, "1 of 2 rows is NULL"},

		// NULLs are left out; the deviation is the population's: 16.33 of 0, 20, 40, and 16 with two more 0.
		{`StandardDeviation "units1" between 16.32 and 16.34`, units, true, "16.3299"},
		{`StandardDeviation "units2" = 16`, units, true, "16"},
		{`Mean "units1" = 20`, units, true, "20"},
		{`Mean "units2" = 12`, units, true, "12"},
		{`Sum "units1" = 60`, units, true, "60"},
		{`Mean "a" > 0`, nothing, false, "only NULL"},
		{`Sum "Amount" = 0.6`, amounts, true, "0.6"}, // 0.1+0.2+0.3 is not 0.6 in floats
		{`Mean "Amount" = 0.2`, amounts, true, "0.2"},
		{`Sum "Big" = 0.0003`, large, true, "0.0003"},
		{`Mean "IsFraud" = 0.25`, flags, true, "0.25"},
		{`Mean "Country" > 1`, countries, false, "Mean is computed of numbers"},

		// For all ColumnValues rules other than != and not in, NULL rows fail.
		{`ColumnValues "Age" > 21`, ages, false, "1 of 3 rows is not so, 1 of them because of NULL"},
		{`ColumnValues "Age" between 20 and 31`, ages, false, "because of NULL"},
		{`ColumnValues "Age" not between 1 and 5`, ages, false, "because of NULL"},
		{`(ColumnValues "Age" > 21) OR (ColumnValues "Age" = NULL)`, ages, true, "0 of 3 rows are not so"},
		{`(ColumnValues "Age" > 21) OR (ColumnValues "Age" = NULL)`, young, false, "1 of 3 rows is not so"},
		{`ColumnValues "Age" != 21`, twentyOne, true, ""},
		{`ColumnValues "Age" not in [21, 23]`, twentyOne, true, ""},
		{`(ColumnValues "Age" != 21) AND (ColumnValues "Age" != NULL)`, twentyOne, false, `ColumnValues "Age" != NULL: 1 of 3 rows is not so, 1 of them because of NULL`},
		{`ColumnValues "Age" not in [21, 23, NULL]`, twentyOne, false, "because of NULL"},
		{`ColumnValues "Age" in [20, 22, NULL]`, twentyOne, true, ""},
		{`ColumnValues "Age" = NULL`, twentyOne, false, "2 of 3 rows are not so"},
		{`ColumnValues "Age" > 21 with threshold > 0.6`, ages, true, ""},
		{`ColumnValues "Age" > 21 with threshold > 0.7`, ages, false, "1 of 3 rows is not so"},
		{`ColumnValues "a" = NULL`, nothing, true, ""},
		{`ColumnValues "v" != NULL`, bytes, false, "because of NULL"},
		{`ColumnValues "Amount" in [0.1, 0.2, 0.3]`, amounts, true, ""},
		{`ColumnValues "Amount" between 0.1 and 0.4`, amounts, false, "1 of 3 rows is not so"},
		{`ColumnValues "Big" < 0.0003`, large, false, "2 of 3 rows are not so"},
		{`ColumnValues "IsFraud" in [0, 1, NULL]`, flags, true, ""},
		{`ColumnValues "Age" in ["25"]`, ages, false, "numbers stand without quotation marks"},

		{`ColumnValues "Country" in [ "US", "CA", "UK", NULL, EMPTY, WHITESPACES_ONLY ]`, countries, true, ""},
		{`ColumnValues "Country" in [ "US", "CA", NULL, EMPTY ]`, countries, false, "2 of 6 rows are not so"},
		{`ColumnValues "Country" not in [ EMPTY, WHITESPACES_ONLY ]`, countries, false, "3 of 6 rows are not so"},
		{`ColumnValues "Country" != EMPTY`, countries, false, "1 of 6 rows is not so"},
		{`ColumnValues "Country" in [ "US" ]`, foreign, false, "6 of 7 rows are not so"}, // byte for byte
		{`ColumnValues "Country" matches "[A-Z]{2}"`, foreign, false, "2 of 7 rows are not so"},
		{`ColumnValues "Country" matches "[A-Z]" with threshold < 0.1`, foreign, true, ""}, // of the whole value
		{`ColumnValues "Country" not matches "X.*"`, foreign, true, ""},
		{`ColumnValues "Country" matches ".*"`, countries, false, "2 of 6 rows are not so, 1 of them because of NULL"}, // nothing is found in an empty text
		{`ColumnValues "g" = "6f9619ff-8b86-d011-b42d-00c04fc964ff"`, guids, true, ""},

		{`ColumnValues "At" > (now() - 3 days)`, moments, true, ""},
		{`ColumnValues "At" > (now() - 2 days)`, moments, false, "1 of 2 rows is not so"},
		{`ColumnValues "At" between (now() - 3 days) and now()`, moments, true, ""},
		{`ColumnValues "At" > (now() - 60 minutes) with threshold > 0`, moments, false, "2 of 2 rows"}, // from the beginning of the minute
		{`ColumnValues "At" in ["2026-03-10", "2026-03-08"]`, moments, true, ""},                       // by the day
		{`ColumnValues "At" >= "2026-03-08"`, moments, true, ""},
		{`ColumnValues "At" not between "2026-03-08" and "2026-03-10"`, moments, true, ""},
		{`ColumnValues "Day" > (now() - 3 days)`, days, false, "1 of 2 rows is not so"},
		{`ColumnValues "Day" >= (now() - 3 days)`, days, true, ""}, // a day is not before its noon

		{`ColumnLength "Postal_Code" = 5`, codes, true, ""},
		{`ColumnLength "Postal_Code" > 4`, noCode, false, "because of NULL"}, // a NULL has the length 0
		{`ColumnLength "Postal_Code" < 6`, noCode, true, ""},
		{`(ColumnLength "Postal_Code" < 6) AND (ColumnValues "Postal_Code" != NULL)`, noCode, false, "because of NULL"},
		{`ColumnLength "n" = 1`, newTable(t, []string{"n nvarchar(50)"}, `"ä"`, `"€"`), true, ""},

		{`DataFreshness "Order_Date" <= 24 hours`, newTable(t, []string{"Order_Date datetime2(6)"}, `"2026-03-09 12:00:30"`, `"2026-03-09 12:00:20"`), true, ""}, // to two places of an hour
		{`DataFreshness "Order_Date" <= 24 hours`, newTable(t, []string{"Order_Date datetime2(6)"}, `"2026-03-09 11:58:00"`), false, "1 of 1 row is not so"},
		{`DataFreshness "Order_Date" < 25 hours`, stale, false, "1 of 2 rows is not so, 1 of them because of NULL"},
		{`DataFreshness "Order_Date" != 3 days`, stale, false, "because of NULL"},
		{`DataFreshness "Order_Date" < 25 hours with threshold >= 0.5`, stale, true, ""},
		{`(DataFreshness "Order_Date" < 25 hours) OR (ColumnValues "Order_Date" = NULL)`, stale, true, ""},
		{`DataFreshness "Day" between 2 days and 5 days`, days, false, "1 of 2 rows is not so"},
		{`DataFreshness "Age" <= 24 hours`, ages, false, "DataFreshness is the age of a date"},

		{`ColumnDataType "n" = "DOUBLE" with threshold >= 0.7`, numbers, true, ""},
		{`ColumnDataType "n" = "DOUBLE" with threshold = 0.75`, numbers, true, ""},
		{`ColumnDataType "n" = "DOUBLE" with threshold >= 0.9`, numbers, false, "1 of 4 rows is not so"},
		{`ColumnDataType "n" = "Date"`, numbers, false, "4 of 4 rows"},
		{`ColumnDataType "n" != "Date"`, numbers, true, ""},
		{`ColumnDataType "Country" = "INTEGER"`, countries, false, "1 of them because of NULL"},
		{`ColumnDataType "Age" = "LONG" with threshold > 0.6`, ages, true, ""},
		{`ColumnDataType "At" = "TIMESTAMP"`, moments, true, ""},
		{`ColumnDataType "At" = "INTEGER"`, moments, false, "2 of 2 rows"},

		// What is NULL in all columns counts for nothing, and one NULL is as another, as in Deequ's frequencies.
		{`IsUnique "a"`, unique, false, "2 of 3 rows have a value that comes again"},
		{`IsUnique "a" "b"`, unique, true, "0 of 4 rows"},
		{`Uniqueness "a" between 0.3 and 0.4`, unique, true, "0.333333"},
		{`Uniqueness "b" = 0.5`, unique, true, "0.5 (2 of 4 rows have a value that comes again)"},
		{`IsPrimaryKey "a" "b"`, unique, false, `2 rows have NULL in "a", 1 row has NULL in "b"`},
		{`IsPrimaryKey "id"`, units, true, ""},
		{`IsUnique "a"`, nothing, false, "only NULL"},
		{`IsUnique "Country"`, foreign, false, "2 of 7 rows"}, // "US" and "US " are two texts

		{`(RowCount > 10) or (IsComplete "units2")`, units, true, ""},
		{`(RowCount > 10) or (IsComplete "units1")`, units, false, `RowCount > 10: 5 rows; IsComplete "units1": 2 of 5 rows are NULL`},
		{`(RowCount > 1) and ((IsComplete "units1") or (Sum "units2" = 60))`, units, true, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newPlace(t).judged(t, c.rule, c.rows)
			if r.Passed != c.passes || !strings.Contains(r.Actual, c.actual) || r.Name != c.rule || r.Expected == "" || r.Passed && r.Examples != nil {
				t.Fatalf("got %+v", r)
			}
		})
	}
}

// The example of docs.aws.amazon.com/glue/latest/dg/dqdl.html, "How composite rules work": by default each rule is judged of the whole dataset.
func TestRulesOnTwoColumnsAreJudgedOfAllRowsBeforeTheyAreConnected(t *testing.T) {
	rows := newTable(t, []string{"myCol1 int", "myCol2 int"}, "2|1", "0|3")
	p := newPlace(t)
	if r := p.judged(t, `(ColumnValues "myCol1" > 1) OR (ColumnValues "myCol2" > 2)`, rows); r.Passed {
		t.Errorf("got %+v", r)
	}
	if r := p.judged(t, `(ColumnValues "myCol1" > 1) OR (ColumnValues "myCol1" < 1)`, rows); !r.Passed {
		t.Errorf("on one column: got %+v", r)
	}
}

func TestTextsThatSparkCasts(t *testing.T) {
	for _, c := range []struct {
		to         string
		yes, never []string
	}{
		{"BOOLEAN", []string{"true", "F", "yes", "0", " 1 "}, []string{"2", "", "on"}},
		{"INTEGER", []string{"100", "-7", "+7", " 7 ", "7.9", ".5", "2147483647"}, []string{"2147483648", "1e3", "", "-", ".", "7a"}},
		{"LONG", []string{"9999999999", "-9223372036854775808"}, []string{"9223372036854775808"}},
		{"DOUBLE", []string{"11.5", "1e5", "-.5", "5.", "NaN", "Infinity"}, []string{"", "1,5", "0x1p3", "not_a_number"}},
		{"FLOAT", []string{"1.5"}, []string{"one"}},
		{"DATE", []string{"2023-01-01", "2023-1-1", "2023", "2023-02", "2023-01-01 10:00:00", "2023-01-01T10"}, []string{"01-01-2023", "2023-02-30", "not-a-date", "2023-13-01", ""}},
		{"TIMESTAMP", []string{"2023-01-01 10:00:00", "2023-01-01T10:00:00.123Z", "2023-01-01 10:00:00+02:00", "2023-01-01"}, []string{"2023-01-01 25:00:00", "10:00", "2023-01-01 10:60:00"}},
	} {
		p := newPlace(t)
		for i, v := range slices.Concat(c.yes, c.never) {
			rows := newTable(t, []string{"v nvarchar(50)"}, fmt.Sprintf("%q", v))
			if got := p.judged(t, fmt.Sprintf(`ColumnDataType "v" = %q`, c.to), rows).Passed; got != (i < len(c.yes)) {
				t.Errorf("%q as %s: %v", v, c.to, got)
			}
		}
	}
}

func TestExamplesAreFewShortAndNeverPrivate(t *testing.T) {
	rows := newTable(t, []string{"Id int", "Country nvarchar(50)", "Email nvarchar(50)", "Tax nvarchar(50)"},
		`1|"FR"|"a"|"t"`, `2|"FR"|"b"|"t"`, `3|"DE "|"c"|"t"`, `4|"`+strings.Repeat("ä", 100)+`"|"d"|"t"`, `5|"IT"|"e"|"t"`)
	q := pipeline.Quality{Private: []string{"tax"}, Rules: `Rules = [
		ColumnValues "Country" in ["US"], ColumnValues "Id" > 10, ColumnValues "Tax" = "x", (ColumnValues "Tax" = "x") or (ColumnLength "Tax" > 3),
		(ColumnValues "Country" in ["US"]) and (RowCount > 9), ColumnValues "Email" = "x", IsComplete "Email" ]`}
	p := newPlace(t)
	g := p.gate(q, pipeline.Dataset{Columns: map[string]pipeline.ColumnRule{"EMAIL": {Hash: true}}}, rows.columns)
	j := p.judge(g, p.count(g, rows.batch, 2), nil)
	want := []string{`"FR"`, `"DE "`, `"` + strings.Repeat("ä", 79) + `…"`}
	for i, r := range j.Rules {
		if examples := map[int][]string{0: want, 4: want}[i]; !reflect.DeepEqual(r.Examples, examples) || r.Passed != (i == 6) {
			t.Errorf("%s: got %+v", r.Name, r)
		}
	}
	if hashed := j.Rules[5].Actual; !strings.Contains(hashed, "a hash is written") {
		t.Errorf("got %s", hashed)
	}
	if j.Decision() != verdict.Rejected {
		t.Errorf("got %s", j.Decision())
	}
}

func TestRulesThatCantBeReadAreAnError(t *testing.T) {
	if _, err := quality.New(pipeline.Quality{Rules: "Rules = [ Foo ]"}, quality.Subject{}); err == nil || !strings.Contains(err.Error(), "quality.rules: line 1, column 11") {
		t.Fatalf("got %v", err)
	}
}
