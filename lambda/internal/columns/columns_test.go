package columns

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

func TestEveryTypeHasItsPlace(t *testing.T) {
	for _, c := range []struct {
		column  sqlserver.Column
		sql     string
		parquet string
		number  bool
	}{
		{typed("bit"), "bit", "bool", true},
		{typed("tinyint"), "tinyint", "int16", true},
		{typed("smallint"), "smallint", "int16", true},
		{typed("int"), "int", "int32", true},
		{typed("bigint"), "bigint", "int64", true},
		{decimal(12, 2), "decimal(12,2)", "decimal(12,2)", true},
		{decimal(38, 38), "decimal(38,38)", "decimal(38,38)", true},
		{typed("money"), "money", "decimal(19,4)", true},
		{typed("smallmoney"), "smallmoney", "decimal(10,4)", true},
		{typed("float"), "float", "double", true},
		{typed("real"), "real", "float", true},
		{typed("date"), "date", "date", false},
		{scaled("time", 7), "time(7)", "time[us]", false},
		{typed("datetime"), "datetime", "timestamp[us]", false},
		{typed("smalldatetime"), "smalldatetime", "timestamp[us]", false},
		{scaled("datetime2", 3), "datetime2(3)", "timestamp[us]", false},
		{scaled("datetimeoffset", 7), "datetimeoffset(7)", "timestamp[us, UTC]", false},
		{sized("char", 3), "char(3)", "string", false},
		{sized("nvarchar", 100), "nvarchar(100)", "string", false},
		{sized("nvarchar", sqlserver.MaxLength), "nvarchar(max)", "string", false},
		{typed("xml"), "xml", "string", false},
		{typed("json"), "json", "string", false},
		{typed("text"), "text", "string", false},
		{typed("ntext"), "ntext", "string", false},
		{sized("varchar", sqlserver.MaxLength), "varchar(max)", "string", false},
		{sized("nchar", 4000), "nchar(4000)", "string", false},
		{typed("sql_variant"), "sql_variant", "string", false},
		{typed("uniqueidentifier"), "uniqueidentifier", "string", false},
		{sized("varbinary", 16), "varbinary(16)", "binary", false},
		{sized("binary", 8000), "binary(8000)", "binary", false},
		{sized("varbinary", sqlserver.MaxLength), "varbinary(max)", "binary", false},
		{typed("image"), "image", "binary", false},
		{typed("rowversion"), "rowversion", "binary", false},
		{typed("timestamp"), "timestamp", "binary", false},
	} {
		t.Run(c.sql, func(t *testing.T) {
			got, err := TypeOf(c.column)
			if err != nil {
				t.Fatal(err)
			}
			if got.SQL != c.sql || got.Parquet() != c.parquet || got.IsNumber() != c.number {
				t.Fatalf("got %s, %s, number %v", got.SQL, got.Parquet(), got.IsNumber())
			}
		})
	}
}

func TestTypesWithoutAPlaceAreRefusedByName(t *testing.T) {
	for _, name := range []string{"hierarchyid", "geography", "geometry", "vector", "my_type", ""} {
		c := typed(name)
		c.Name = "Odd"
		if _, err := TypeOf(c); err == nil || !strings.Contains(err.Error(), `"Odd"`) || !strings.Contains(err.Error(), "CAST") {
			t.Errorf("%s gave %v", name, err)
		}
	}
}

func TestDecimalsAreExact(t *testing.T) {
	for _, c := range []struct {
		in    string
		scale int32
		out   string
	}{
		{"0", 0, "0"}, {"-0.00", 2, "0.00"}, {"12.50", 2, "12.50"}, {"-12.5", 2, "-12.50"}, {"7", 4, "7.0000"},
		{".5", 1, "0.5"}, {"-0.0001", 4, "-0.0001"}, {"1.500", 1, "1.5"},
		{"99999999999999999999999999999999999999", 0, "99999999999999999999999999999999999999"},
		{"-99999999999999999999999999999999999999", 0, "-99999999999999999999999999999999999999"},
		{"-0.99999999999999999999999999999999999999", 38, "-0.99999999999999999999999999999999999999"},
		{"922337203685477.5807", 4, "922337203685477.5807"}, {"-922337203685477.5808", 4, "-922337203685477.5808"},
	} {
		n, err := parseDecimal([]byte(c.in), c.scale)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got := string(appendDecimal(nil, n, c.scale)); got != c.out {
			t.Errorf("%s gave %s, want %s", c.in, got, c.out)
		}
	}
	for _, bad := range []string{"", "-", ".", "1e5", "1.2.3", "NaN", "1.25", " 1", "999999999999999999999999999999999999999999"} {
		if n, err := parseDecimal([]byte(bad), 1); err == nil {
			t.Errorf("%q gave %v", bad, n)
		}
	}
}

func TestDecimalsReadBackAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[1-9][0-9]{0,37}|0`).Draw(t, "digits")
		scale := rapid.Int32Range(0, int32(len(digits))).Draw(t, "scale")
		unscaled, _ := new(big.Int).SetString(digits, 10)
		if rapid.Bool().Draw(t, "negative") {
			unscaled.Neg(unscaled)
		}
		want := new(big.Rat).SetFrac(unscaled, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		n, err := parseDecimal([]byte(want.FloatString(int(scale))), scale)
		if err != nil || n.BigInt().Cmp(unscaled) != 0 {
			t.Fatalf("%s was read as %s, %v", want.FloatString(int(scale)), n.BigInt(), err)
		}
		text := string(appendDecimal(nil, n, scale))
		if got, ok := new(big.Rat).SetString(text); !ok || got.Cmp(want) != 0 || strings.ContainsAny(text, "eE") {
			t.Fatalf("%s was written as %s", want, text)
		}
	})
}

func TestFloatsReadBackAsTheyAreWithoutExponents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "float")
		text, err := appendFloat(nil, f, 64)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			if err == nil {
				t.Fatalf("%v was written as %s", f, text)
			}
			return
		}
		if back, e := strconv.ParseFloat(string(text), 64); err != nil || e != nil || back != f || strings.ContainsAny(string(text), "eE+") {
			t.Fatalf("%v was written as %s, %v", f, text, err)
		}
		single := rapid.Float32().Filter(func(f float32) bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }).Draw(t, "real")
		text, err = appendFloat(nil, float64(single), 32)
		if back, e := strconv.ParseFloat(string(text), 32); err != nil || e != nil || float32(back) != single || strings.ContainsAny(string(text), "eE+") {
			t.Fatalf("%v was written as %s, %v", single, text, err)
		}
	})
}

func TestValuesOfTheDriverBecomeTextAndKeys(t *testing.T) {
	at := time.Date(9999, 12, 31, 23, 59, 59, 999_999_900, time.UTC)
	old := time.Date(1, 1, 1, 0, 0, 0, 100, time.UTC)
	guid := []byte{0x6F, 0x96, 0x19, 0xFF, 0x8B, 0x86, 0xD0, 0x11, 0xB4, 0x2D, 0x00, 0xC0, 0x4F, 0xC9, 0x64, 0xFF}
	for _, c := range []struct {
		name   string
		column sqlserver.Column
		value  any
		text   string
		key    string
	}{
		{"a true bit is 1", typed("bit"), true, "1", "#\x00\x00\x00\x011"},
		{"the largest tinyint", typed("tinyint"), int64(255), "255", "#\x00\x00\x00\x03255"},
		{"the smallest smallint", typed("smallint"), int64(-32768), "-32768", "#\x00\x00\x00\x06-32768"},
		{"the smallest bigint", typed("bigint"), int64(math.MinInt64), "-9223372036854775808", "#\x00\x00\x00\x14-9223372036854775808"},
		{"an int has the key of the same bigint", typed("int"), int64(7), "7", "#\x00\x00\x00\x017"},
		{"a decimal has the key of the same int", decimal(12, 2), []byte("7.00"), "7.00", "#\x00\x00\x00\x017"},
		{"a whole decimal keeps its zeros", decimal(9, 0), []byte("700"), "700", "#\x00\x00\x00\x03700"},
		{"a decimal's key has no trailing zero", decimal(12, 2), []byte("-7.50"), "-7.50", "#\x00\x00\x00\x04-7.5"},
		{"money", typed("money"), []byte("-922337203685477.5808"), "-922337203685477.5808", "#\x00\x00\x00\x15-922337203685477.5808"},
		{"a real is as short as a real can be", typed("real"), float64(float32(0.1)), "0.1", "F\x00\x00\x00\x030.1"},
		{"a large float has no exponent", typed("float"), 1e21, "1000000000000000000000", "F\x00\x00\x00\x051e+21"},
		{"a float's -0 has the key of 0", typed("float"), math.Copysign(0, -1), "-0", "F\x00\x00\x00\x010"},
		{"a real's -0 has the key of 0", typed("real"), math.Copysign(0, -1), "-0", "F\x00\x00\x00\x010"},
		{"a char loses its padding in the key", sized("char", 5), "ab   ", "ab   ", "S\x00\x00\x00\x02ab"},
		{"the last moment loses its seventh digit", scaled("datetime2", 7), at, "9999-12-31 23:59:59.999999", "T\x00\x00\x00\x1a9999-12-31 23:59:59.999999"},
		{"the first moment stays the first", scaled("datetime2", 7), old, "0001-01-01 00:00:00.000000", "T\x00\x00\x00\x1a0001-01-01 00:00:00.000000"},
		{"an offset becomes UTC", scaled("datetimeoffset", 7), time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)), "2026-01-01 00:00:00.000000+00:00", "T\x00\x00\x00\x202026-01-01 00:00:00.000000+00:00"},
		{"a date before 1970", typed("date"), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), "0001-01-01", "T\x00\x00\x00\x0a0001-01-01"},
		{"the last time of a day", scaled("time", 7), time.Date(1, 1, 1, 23, 59, 59, 999_999_900, time.UTC), "23:59:59.999999", "T\x00\x00\x00\x0f23:59:59.999999"},
		{"a uniqueidentifier is written as SQL Server writes it", typed("uniqueidentifier"), guid, "6F9619FF-8B86-D011-B42D-00C04FC964FF", "S\x00\x00\x00\x246F9619FF-8B86-D011-B42D-00C04FC964FF"},
		{"binary", sized("varbinary", 2), []byte{0, 255}, "0x00ff", "B\x00\x00\x00\x02\x00\xff"},
		{"text keeps its characters beyond the basic plane", sized("nvarchar", 4), "a😀", "a😀", "S\x00\x00\x00\x05a😀"},
		{"a json is its text", typed("json"), `{"a":1}`, `{"a":1}`, "S\x00\x00\x00\x07" + `{"a":1}`},
		{"a rowversion is its bytes", typed("rowversion"), []byte{0, 0, 0, 0, 0, 0, 7, 209}, "0x00000000000007d1", "B\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x07\xd1"},
		{"a datetime's last tick", typed("datetime"), time.Date(9999, 12, 31, 23, 59, 59, 997_000_000, time.UTC), "9999-12-31 23:59:59.997000", "T\x00\x00\x00\x1a9999-12-31 23:59:59.997000"},
		{"a bit in a sql_variant", typed("sql_variant"), true, "bit:1", "S\x00\x00\x00\x05bit:1"},
		{"an integer in a sql_variant", typed("sql_variant"), int64(math.MinInt64), "integer:-9223372036854775808", "S\x00\x00\x00\x1cinteger:-9223372036854775808"},
		{"a decimal in a sql_variant", typed("sql_variant"), []byte("-0.50"), "number:-0.50", "S\x00\x00\x00\x0cnumber:-0.50"},
		{"a float in a sql_variant", typed("sql_variant"), 0.1, "float:0.1", "S\x00\x00\x00\x09float:0.1"},
		{"a text in a sql_variant", typed("sql_variant"), "1", "text:1", "S\x00\x00\x00\x06text:1"},
		{"bytes in a sql_variant", typed("sql_variant"), []byte{0, 255}, "bytes:0x00ff", "S\x00\x00\x00\x0cbytes:0x00ff"},
		{"a moment in a sql_variant keeps all its digits", typed("sql_variant"), at, "time:9999-12-31 23:59:59.9999999", "S\x00\x00\x00\x20time:9999-12-31 23:59:59.9999999"},
		{"a moment with an offset in a sql_variant", typed("sql_variant"), time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", -5400)), "time:2026-01-01 01:00:00.0000000-01:30",
			"S\x00\x00\x00\x26time:2026-01-01 01:00:00.0000000-01:30"},
		{"NULL in a sql_variant", typed("sql_variant"), nil, "NULL", "N"},
		{"NULL", typed("int"), nil, "NULL", "N"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.column.Name = "V"
			p, err := Resolve([]sqlserver.Column{named("K", "int"), named("L", "bit"), named("F", "int"), c.column},
				pipeline.Dataset{Key: []string{"K"}, Label: "L", Features: []string{"F"}})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(t, p, []any{int64(1), true, int64(1), c.value})
			defer batch.Release()
			column, values := p.Columns[3], batch.Column(3)
			if got := string(column.AppendText(nil, values, 0)); got != c.text {
				t.Errorf("text %s, want %s", got, c.text)
			}
			if got := string(column.AppendKey(nil, values, 0)); got != c.key {
				t.Errorf("key %q, want %q", got, c.key)
			}
		})
	}
}

func TestADriverThatGivesAnotherTypeIsAnError(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("K", "int"), named("L", "bit"), named("F", "int")},
		pipeline.Dataset{Key: []string{"K"}, Label: "L"})
	if err != nil {
		t.Fatal(err)
	}
	b := batcherOf(t, p, BatchOptions{})
	if err := b.Append([]any{int64(1), true, "seven"}); err == nil || !strings.Contains(err.Error(), `"F"`) {
		t.Fatalf("got %v", err)
	}
}

func TestRoles(t *testing.T) {
	result := []sqlserver.Column{named("Id", "int"), named("Amount", "float"), named("Country", "nvarchar"), named("IsFraud", "bit")}
	for _, c := range []struct {
		name     string
		result   []sqlserver.Column
		dataset  pipeline.Dataset
		problems []string
	}{
		{"names are found whatever their case", result, pipeline.Dataset{Key: []string{"ID"}, Label: "isfraud", Drop: []string{"country"}}, nil},
		{"a label that isn't there names its neighbour", result, pipeline.Dataset{Key: []string{"Id"}, Label: "IsFruad"},
			[]string{`dataset.label names "IsFruad"`, "Id, Amount, Country, IsFraud", `did you mean "IsFraud"`}},
		{"all problems at once", result, pipeline.Dataset{Key: []string{"Nr"}, Label: "Label", Features: []string{"Amuont"}},
			[]string{"dataset.key", "dataset.label", `"Amount"`}},
		{"a column in two roles", result, pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud", Features: []string{"Id"}},
			[]string{`dataset.features names "Id", which is the key already`}},
		{"a dropped label", result, pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud", Drop: []string{"IsFraud"}},
			[]string{`dataset.label names "IsFraud", which dataset.drop or dataset.include leaves out`}},
		{"no key", result, pipeline.Dataset{Label: "IsFraud"}, []string{"dataset.key is empty"}},
		{"nothing left to learn from", result, pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud", Drop: []string{"Amount", "Country"}},
			[]string{"no feature is left"}},
		{"a column without a name", append([]sqlserver.Column{named("", "int")}, result...), pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud"},
			[]string{"column 1 of the result has no name", "AS"}},
		{"two columns of one name", append([]sqlserver.Column{named("ID", "int")}, result...), pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud"},
			[]string{`columns 1 and 2 of the result are both named "Id"`}},
		{"a type without a place", append([]sqlserver.Column{named("Where", "geography")}, result...), pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud"},
			[]string{`"Where" is of type geography`}},
		{"a dropped type without a place", append([]sqlserver.Column{named("Where", "geography")}, result...),
			pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud", Drop: []string{"Where"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Resolve(c.result, c.dataset)
			if len(c.problems) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if l := p.Columns[p.Label]; l.Name != "IsFraud" || l.Role != manifest.LabelRole {
					t.Fatalf("the label is %+v", l)
				}
				return
			}
			for _, want := range c.problems {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %s", err, want)
				}
			}
		})
	}
}

func TestWhatIsNotANumberIsRefusedWithAnExample(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("Churned", "varchar"), named("Email", "nvarchar"), named("Since", "date"), named("Age", "tinyint")},
		pipeline.Dataset{Key: []string{"Id"}, Label: "Churned"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.CheckNumbers([]any{int64(1), "yes", strings.Repeat("ä", 50), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), int64(3)})
	for _, want := range []string{
		`the label "Churned" is of type varchar ("yes" in the first row)`, `the feature "Email" is of type nvarchar ("` + strings.Repeat("ä", 20) + `…" in`,
		`the feature "Since" is of type date (2026-01-02 00:00:00 in the first row)`, "CASE or CAST", "dataset.drop",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant an error with %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "Age") {
		t.Errorf("a tinyint was refused: %v", err)
	}
}

func batchOf(t *testing.T, p *Plan, rows ...[]any) arrow.RecordBatch {
	t.Helper()
	b := batcherOf(t, p, BatchOptions{})
	for _, row := range rows {
		if err := b.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	return b.Batch()
}

func batcherOf(t *testing.T, p *Plan, o BatchOptions) *Batcher {
	t.Helper()
	b, err := NewBatcher(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Release)
	return b
}

func typed(name string) sqlserver.Column {
	return sqlserver.Column{Name: "C", Type: name, Length: -1, Precision: -1, Scale: -1, Nullable: true}
}

func named(name, sqlType string) sqlserver.Column {
	c := typed(sqlType)
	c.Name = name
	return c
}

func decimal(precision, scale int64) sqlserver.Column {
	c := typed("decimal")
	c.Precision, c.Scale = precision, scale
	return c
}

func scaled(name string, scale int64) sqlserver.Column {
	c := typed(name)
	c.Precision, c.Scale = 0, scale
	return c
}

func sized(name string, length int64) sqlserver.Column {
	c := typed(name)
	c.Length = length
	return c
}
