package export_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Every type that the local server has goes from a T-SQL literal through the wire into Parquet, and an independent reader says
// what is there: at both ends of its range, at a usual value, and at NULL.
func TestEveryTypeArrivesInParquetAsItIsInTheTable(t *testing.T) {
	cases := []struct {
		sql     string
		parquet string // as DuckDB names the type
		values  []string
		want    []string // as DuckDB shows them; NULL follows by itself
	}{
		{"bit", "BOOLEAN", []string{"0", "1"}, []string{"False", "True"}},
		{"tinyint", "SMALLINT", []string{"0", "255"}, []string{"0", "255"}},
		{"smallint", "SMALLINT", []string{"-32768", "32767"}, []string{"-32768", "32767"}},
		{"int", "INTEGER", []string{"-2147483648", "2147483647"}, []string{"-2147483648", "2147483647"}},
		{"bigint", "BIGINT", []string{"-9223372036854775808", "9223372036854775807"}, []string{"-9223372036854775808", "9223372036854775807"}},
		{"decimal(12,2)", "DECIMAL(12,2)", []string{"-9999999999.99", "0.05"}, []string{"-9999999999.99", "0.05"}},
		{"decimal(38,0)", "DECIMAL(38,0)", []string{"-99999999999999999999999999999999999999", "99999999999999999999999999999999999999"},
			[]string{"-99999999999999999999999999999999999999", "99999999999999999999999999999999999999"}},
		{"decimal(38,38)", "DECIMAL(38,38)", []string{"-0.99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001"},
			[]string{"-0.99999999999999999999999999999999999999", "1E-38"}},
		{"numeric(9,4)", "DECIMAL(9,4)", []string{"-99999.9999", "1.5"}, []string{"-99999.9999", "1.5000"}},
		{"money", "DECIMAL(19,4)", []string{"-922337203685477.5808", "922337203685477.5807"}, []string{"-922337203685477.5808", "922337203685477.5807"}},
		{"smallmoney", "DECIMAL(10,4)", []string{"-214748.3648", "214748.3647"}, []string{"-214748.3648", "214748.3647"}},
		{"float", "DOUBLE", []string{"-1.7976931348623157E308", "2.2250738585072014E-308", "0.1"}, []string{"-1.7976931348623157e+308", "2.2250738585072014e-308", "0.1"}},
		{"real", "FLOAT", []string{"-3.40282346E38", "1.1754944E-38", "0.25"}, []string{"-3.4028234663852886e+38", "1.1754943508222875e-38", "0.25"}},
		{"date", "DATE", []string{"'0001-01-01'", "'1969-12-31'", "'9999-12-31'"}, []string{"0001-01-01", "1969-12-31", "9999-12-31"}},
		{"time(7)", "TIME", []string{"'00:00:00'", "'23:59:59.9999999'"}, []string{"00:00:00", "23:59:59.999999"}},
		{"time(0)", "TIME", []string{"'00:00:00'", "'23:59:59'"}, []string{"00:00:00", "23:59:59"}},
		{"datetime", "TIMESTAMP", []string{"'1753-01-01T00:00:00'", "'9999-12-31T23:59:59.997'", "'2026-01-01T02:00:00.003'"},
			[]string{"1753-01-01 00:00:00", "9999-12-31 23:59:59.997000", "2026-01-01 02:00:00.003000"}},
		{"smalldatetime", "TIMESTAMP", []string{"'1900-01-01T00:00:00'", "'2079-06-06T23:59:00'"}, []string{"1900-01-01 00:00:00", "2079-06-06 23:59:00"}},
		{"datetime2(7)", "TIMESTAMP", []string{"'0001-01-01T00:00:00.0000001'", "'9999-12-31T23:59:59.9999999'", "'1969-12-31T23:59:59.9999999'"},
			[]string{"0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"}},
		{"datetime2(3)", "TIMESTAMP", []string{"'2026-01-01T02:00:00.123'"}, []string{"2026-01-01 02:00:00.123000"}},
		{"datetimeoffset(7)", "TIMESTAMP WITH TIME ZONE", []string{"'2026-01-01T02:00:00.1234567+05:30'", "'2026-01-01T02:00:00-14:00'"},
			[]string{"2025-12-31 20:30:00.123456+00", "2026-01-01 16:00:00+00"}},
		{"char(3)", "VARCHAR", []string{"'DE'", "'DEU'"}, []string{"DE ", "DEU"}},
		{"varchar(20)", "VARCHAR", []string{"''", "'it''s'"}, []string{"", "it's"}},
		{"varchar(max)", "VARCHAR", []string{"REPLICATE(CAST('x' AS varchar(max)), 10000)"}, []string{strings.Repeat("x", 10_000)}},
		{"nchar(2)", "VARCHAR", []string{"N'é'"}, []string{"é "}},
		{"nvarchar(20)", "VARCHAR", []string{"N'Grüße, 世界 😀'"}, []string{"Grüße, 世界 😀"}},
		{"nvarchar(max)", "VARCHAR", []string{"N'λ'"}, []string{"λ"}},
		{"uniqueidentifier", "VARCHAR", []string{"'6F9619FF-8B86-D011-B42D-00C04FC964FF'"}, []string{"6F9619FF-8B86-D011-B42D-00C04FC964FF"}},
		{"binary(3)", "BLOB", []string{"0x00FF"}, []string{`b'\x00\xff\x00'`}},
		{"varbinary(8)", "BLOB", []string{"0x", "0x00FF7F"}, []string{`b''`, `b'\x00\xff\x7f'`}},
		{"varbinary(max)", "BLOB", []string{"0x0A"}, []string{`b'\n'`}},
	}
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
			if got := m.Columns[i+2].SQLType; got != strings.Replace(c.sql, "numeric", "decimal", 1) {
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
