package export_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// typeCase is values of one type.
type typeCase struct {
	sql     string // the type, and perhaps its collation
	parquet string // as DuckDB names the type
	values  []string
	want    []string // as DuckDB shows them; NULL follows by itself
	// manifest is the type's name in the manifest, where it isn't sql.
	manifest string
}

// scaled are the types that have a scale, at each of them.
func scaled() []typeCase {
	var all []typeCase
	nines := strings.Repeat("9", 38)
	for s := 0; s <= 38; s++ {
		edge := nines
		switch {
		case s == 38:
			edge = "0." + nines
		case s > 0:
			edge = nines[:38-s] + "." + nines[:s]
		}
		all = append(all, typeCase{sql: fmt.Sprintf("decimal(38,%d)", s), parquet: fmt.Sprintf("DECIMAL(38,%d)", s), values: []string{edge, "-" + edge}, want: []string{edge, "-" + edge}})
	}
	for s := range 8 {
		fraction, micros := "", ""
		if s > 0 {
			fraction = "." + nines[:s]
			micros = "." + (nines[:min(s, 6)] + "000000")[:6]
		}
		all = append(all,
			typeCase{sql: fmt.Sprintf("time(%d)", s), parquet: "TIME", values: []string{"'23:59:59" + fraction + "'", "'00:00:00'"}, want: []string{"23:59:59" + micros, "00:00:00"}},
			typeCase{sql: fmt.Sprintf("datetime2(%d)", s), parquet: "TIMESTAMP", values: []string{"'9999-12-31T23:59:59" + fraction + "'", "'0001-01-01T00:00:00'", "'1969-12-31T23:59:59" + fraction + "'"},
				want: []string{"9999-12-31 23:59:59" + micros, "0001-01-01 00:00:00", "1969-12-31 23:59:59" + micros}},
			typeCase{sql: fmt.Sprintf("datetimeoffset(%d)", s), parquet: "TIMESTAMP WITH TIME ZONE", values: []string{"'9999-12-31T23:59:59" + fraction + "+00:00'", "'0001-01-01T14:00:00+14:00'", "'1970-01-01T05:29:59" + fraction + "+05:30'"},
				want: []string{"9999-12-31 23:59:59" + strings.TrimRight(micros, "0") + "+00", "0001-01-01 00:00:00+00", "1969-12-31 23:59:59" + strings.TrimRight(micros, "0") + "+00"}})
	}
	return all
}

// Every type that docs/types.md lists goes from a T-SQL literal through the wire into Parquet, and an independent reader says
// what is there: at both ends of its range, at a usual value, and at NULL.
func TestEveryTypeArrivesInParquetAsItIsInTheTable(t *testing.T) {
	const pair, half, tail = "NCHAR(55357) + NCHAR(56832)", "NCHAR(55357)", "NCHAR(56832)"
	cases := []typeCase{
		{sql: "bit", parquet: "BOOLEAN", values: []string{"0", "1"}, want: []string{"False", "True"}},
		{sql: "tinyint", parquet: "SMALLINT", values: []string{"0", "255"}, want: []string{"0", "255"}},
		{sql: "smallint", parquet: "SMALLINT", values: []string{"-32768", "32767"}, want: []string{"-32768", "32767"}},
		{sql: "int", parquet: "INTEGER", values: []string{"-2147483648", "2147483647"}, want: []string{"-2147483648", "2147483647"}},
		{sql: "bigint", parquet: "BIGINT", values: []string{"-9223372036854775808", "9223372036854775807"}, want: []string{"-9223372036854775808", "9223372036854775807"}},
		{sql: "decimal(12,2)", parquet: "DECIMAL(12,2)", values: []string{"-9999999999.99", "0.05"}, want: []string{"-9999999999.99", "0.05"}},
		{sql: "decimal(38,0)", parquet: "DECIMAL(38,0)", values: []string{"-99999999999999999999999999999999999999", "99999999999999999999999999999999999999"},
			want: []string{"-99999999999999999999999999999999999999", "99999999999999999999999999999999999999"}},
		{sql: "decimal(38,38)", parquet: "DECIMAL(38,38)", values: []string{"-0.99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001"},
			want: []string{"-0.99999999999999999999999999999999999999", "1E-38"}},
		{sql: "numeric(9,4)", parquet: "DECIMAL(9,4)", values: []string{"-99999.9999", "1.5"}, want: []string{"-99999.9999", "1.5000"}},
		{sql: "money", parquet: "DECIMAL(19,4)", values: []string{"-922337203685477.5808", "922337203685477.5807"}, want: []string{"-922337203685477.5808", "922337203685477.5807"}},
		{sql: "smallmoney", parquet: "DECIMAL(10,4)", values: []string{"-214748.3648", "214748.3647"}, want: []string{"-214748.3648", "214748.3647"}},
		{sql: "float", parquet: "DOUBLE", values: []string{"-1.7976931348623157E308", "2.2250738585072014E-308", "0.1"}, want: []string{"-1.7976931348623157e+308", "2.2250738585072014e-308", "0.1"}},
		{sql: "real", parquet: "FLOAT", values: []string{"-3.40282346E38", "1.1754944E-38", "0.25"}, want: []string{"-3.4028234663852886e+38", "1.1754943508222875e-38", "0.25"}},
		{sql: "date", parquet: "DATE", values: []string{"'0001-01-01'", "'1969-12-31'", "'9999-12-31'"}, want: []string{"0001-01-01", "1969-12-31", "9999-12-31"}},
		{sql: "datetime", parquet: "TIMESTAMP", values: []string{"'1753-01-01T00:00:00'", "'9999-12-31T23:59:59.997'", "'2026-01-01T02:00:00.003'"},
			want: []string{"1753-01-01 00:00:00", "9999-12-31 23:59:59.997000", "2026-01-01 02:00:00.003000"}},
		{sql: "smalldatetime", parquet: "TIMESTAMP", values: []string{"'1900-01-01T00:00:00'", "'2079-06-06T23:59:00'"}, want: []string{"1900-01-01 00:00:00", "2079-06-06 23:59:00"}},
		{sql: "datetimeoffset(7)", parquet: "TIMESTAMP WITH TIME ZONE", values: []string{"'2026-01-01T02:00:00.1234567+05:30'", "'2026-01-01T02:00:00-14:00'"},
			want: []string{"2025-12-31 20:30:00.123456+00", "2026-01-01 16:00:00+00"}},
		{sql: "char(3)", parquet: "VARCHAR", values: []string{"'DE'", "'DEU'"}, want: []string{"DE ", "DEU"}},
		{sql: "varchar(20)", parquet: "VARCHAR", values: []string{"''", "'it''s'"}, want: []string{"", "it's"}},
		{sql: "varchar(max)", parquet: "VARCHAR", values: []string{"REPLICATE(CAST('x' AS varchar(max)), 10000)"}, want: []string{strings.Repeat("x", 10_000)}},
		{sql: "nchar(2)", parquet: "VARCHAR", values: []string{"N'é'"}, want: []string{"é "}},
		{sql: "nvarchar(20)", parquet: "VARCHAR", values: []string{"N'Grüße, 世界 😀'"}, want: []string{"Grüße, 世界 😀"}},
		{sql: "nvarchar(max)", parquet: "VARCHAR", values: []string{"N'λ'"}, want: []string{"λ"}},
		{sql: "uniqueidentifier", parquet: "VARCHAR", values: []string{"'6F9619FF-8B86-D011-B42D-00C04FC964FF'"}, want: []string{"6F9619FF-8B86-D011-B42D-00C04FC964FF"}},
		{sql: "binary(3)", parquet: "BLOB", values: []string{"0x00FF"}, want: []string{`b'\x00\xff\x00'`}},
		{sql: "varbinary(8)", parquet: "BLOB", values: []string{"0x", "0x00FF7F"}, want: []string{`b''`, `b'\x00\xff\x7f'`}},
		{sql: "varbinary(max)", parquet: "BLOB", values: []string{"0x0A"}, want: []string{`b'\n'`}},
		{sql: "varchar(30) COLLATE Cyrillic_General_CI_AS", parquet: "VARCHAR", values: []string{"N'Привет, мир Ёё'"}, want: []string{"Привет, мир Ёё"}, manifest: "varchar(30)"},
		{sql: "char(4) COLLATE SQL_Latin1_General_CP1_CI_AS", parquet: "VARCHAR", values: []string{"N'é€'"}, want: []string{"é€  "}, manifest: "char(4)"},
		{sql: "varchar(30) COLLATE Japanese_CI_AS", parquet: "VARCHAR", values: []string{"N'日本語 ｱｲ A'"}, want: []string{"日本語 ｱｲ A"}, manifest: "varchar(30)"},
		{sql: "varchar(max) COLLATE Japanese_CI_AS", parquet: "VARCHAR", values: []string{"N'漢字'"}, want: []string{"漢字"}, manifest: "varchar(max)"},
		{sql: "varchar(30) COLLATE Latin1_General_100_CI_AS_SC_UTF8", parquet: "VARCHAR", values: []string{"N'λ 世界 😀'"}, want: []string{"λ 世界 😀"}, manifest: "nvarchar(30)"},
		{sql: "char(6) COLLATE Latin1_General_100_CI_AS_SC_UTF8", parquet: "VARCHAR", values: []string{"N'é€'"}, want: []string{"é€ "}, manifest: "nvarchar(6)"},
		{sql: "nchar(3)", parquet: "VARCHAR", values: []string{pair}, want: []string{"😀 "}},
		{sql: "nvarchar(9)", parquet: "VARCHAR", values: []string{pair, "N'a' + " + half, half + " + N'b'", tail + " + N'c' + " + half, pair + " + " + tail},
			want: []string{"😀", "a\uFFFD", "\uFFFDb", "\uFFFDc\uFFFD", "😀\uFFFD"}},
		{sql: "text", parquet: "VARCHAR", values: []string{"'a text'", "REPLICATE(CAST('t' AS varchar(max)), 9000)"}, want: []string{"a text", strings.Repeat("t", 9000)}},
		{sql: "ntext", parquet: "VARCHAR", values: []string{"N'ein Text, 世界'"}, want: []string{"ein Text, 世界"}},
		{sql: "image", parquet: "BLOB", values: []string{"0x00FF10"}, want: []string{`b'\x00\xff\x10'`}},
		{sql: "xml", parquet: "VARCHAR", values: []string{"N'<a b=\"1\">x</a>'"}, want: []string{`<a b="1">x</a>`}},
		{sql: "sql_variant", parquet: "VARCHAR",
			values: []string{"CAST(-7 AS bigint)", "CAST(12.50 AS decimal(9,2))", "CAST(1 AS bit)", "CAST(0.1 AS float)", "N'Grüße'", "CAST('2026-01-01T02:00:00.1234567' AS datetime2(7))", "CAST(0x00FF AS varbinary(8))"},
			want:   []string{"integer:-7", "number:12.50", "bit:1", "float:0.1", "text:Grüße", "time:2026-01-01 02:00:00.1234567", "bytes:0x00ff"}},
	}
	cases = append(cases, scaled()...)
	w := newWorld(t)
	definition := []string{"Id int NOT NULL PRIMARY KEY", "Label bit NOT NULL"}
	for i, c := range cases {
		definition = append(definition, fmt.Sprintf("C%d %s NULL", i, c.sql))
	}
	table := createTable(t, "Types", strings.Join(definition, ", "))
	// Enough rows for each channel, the first few with the values of all types.
	const rows = 40
	for row := range rows {
		names, values := []string{"Id", "Label"}, []string{fmt.Sprint(row), fmt.Sprint(row % 2)}
		for i, c := range cases {
			if row < len(c.values) {
				names = append(names, fmt.Sprintf("C%d", i))
				values = append(values, c.values[row])
			}
		}
		execute(t, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.Join(values, ", ")))
	}
	s := spec(pipeline.Source{Table: table}, pipeline.Dataset{Task: pipeline.Binary, Key: []string{"Id"}, Label: "Label", Features: []string{"C0"}})
	if _, err := w.exporter(s, nil).Run(t.Context(), event(tick), ""); err != nil {
		t.Fatal(err)
	}
	m := w.committed()
	// Halves of pairs without the other half.
	if m.Counts.Replaced != 5 {
		t.Errorf("%d characters are counted as replaced", m.Counts.Replaced)
	}
	var columns []string
	for i, c := range cases {
		shown := fmt.Sprintf("C%d", i)
		if strings.Contains(c.parquet, "ZONE") {
			shown = "CAST(" + shown + " AS VARCHAR)" // Python would need a table of zones for it
		}
		columns = append(columns, shown, fmt.Sprintf("typeof(C%d)", i))
	}
	read := w.duckdb(m, "SELECT "+strings.Join(columns, ", ")+" FROM files ORDER BY Id")
	for i, c := range cases {
		t.Run(c.sql, func(t *testing.T) {
			if got := m.Columns[i+2].SQLType; got != cmp.Or(c.manifest, strings.Replace(c.sql, "numeric", "decimal", 1)) {
				t.Errorf("the manifest says %s", got)
			}
			var got []string
			for _, row := range read {
				if row[2*i+1] != c.parquet {
					t.Fatalf("Parquet has %s, want %s", row[2*i+1], c.parquet)
				}
				got = append(got, row[2*i])
			}
			want := slices.Clone(c.want)
			for len(want) < rows {
				want = append(want, "NULL")
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %.200q\nwant %.200q", got[:len(c.want)+1], want[:len(c.want)+1])
			}
		})
	}
}

// A datetime counts in ticks of 1/300 s and shows milliseconds that end in 0, 3 and 7: all 300 of a second.
func TestEveryTickOfADatetimeIsWhatTheServerShows(t *testing.T) {
	w := newWorld(t)
	table := createTable(t, "Ticks", "Id int NOT NULL PRIMARY KEY, Label bit NOT NULL, Moment datetime NOT NULL")
	var values []string
	for i := range 300 {
		// SQL Server's own rule: 10/3 ms a tick, rounded half up.
		values = append(values, fmt.Sprintf("(%d, %d, '2026-01-01T00:00:00.%03d')", i, i%2, (i*20+3)/6))
	}
	execute(t, "INSERT INTO "+table+" (Id, Label, Moment) VALUES "+strings.Join(values, ", "))
	s := spec(pipeline.Source{Table: table}, pipeline.Dataset{Task: pipeline.Binary, Key: []string{"Moment"}, Label: "Label", Features: []string{"Id"}})
	if _, err := w.exporter(s, nil).Run(t.Context(), event(tick), ""); err != nil {
		t.Fatal(err)
	}
	m := w.committed()
	for i, row := range w.duckdb(m, "SELECT CAST(epoch_us(Moment) % 1000000 AS BIGINT) FROM files ORDER BY Id") {
		if want := fmt.Sprint((i*20 + 3) / 6 * 1000); row[0] != want {
			t.Errorf("tick %d is %s µs, want %s", i, row[0], want)
		}
	}
	if m.Columns[2].Role != manifest.KeyRole {
		t.Errorf("column %+v", m.Columns[2])
	}
}
