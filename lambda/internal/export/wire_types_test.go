package export_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// everything is a split without other channels than train, so that its lines are all rows.
var everything = pipeline.Split{Train: 1, Salt: "s"}

func TestEveryNumberIsAPlainDecimalInTheChannels(t *testing.T) {
	cases := []struct {
		sql    string
		values []string
		want   []string
	}{
		{"bit", []string{"0", "1"}, []string{"0", "1"}},
		{"tinyint", []string{"0", "255"}, []string{"0", "255"}},
		{"smallint", []string{"-32768", "32767"}, []string{"-32768", "32767"}},
		{"int", []string{"-2147483648", "2147483647"}, []string{"-2147483648", "2147483647"}},
		{"bigint", []string{"-9223372036854775808", "9223372036854775807"}, []string{"-9223372036854775808", "9223372036854775807"}},
		{"decimal(12,2)", []string{"12.5", "-0.05"}, []string{"12.50", "-0.05"}},
		{"decimal(38,38)", []string{"0.00000000000000000000000000000000000001", "-0.5"}, []string{"0.00000000000000000000000000000000000001", "-0.50000000000000000000000000000000000000"}},
		{"decimal(38,0)", []string{"99999999999999999999999999999999999999"}, []string{"99999999999999999999999999999999999999"}},
		{"money", []string{"-922337203685477.5808", "12.5"}, []string{"-922337203685477.5808", "12.5000"}},
		{"smallmoney", []string{"214748.3647"}, []string{"214748.3647"}},
		{"float", []string{"0.1", "1E21", "-2.5E-7"}, []string{"0.1", "1000000000000000000000", "-0.00000025"}},
		{"real", []string{"0.1", "16777216"}, []string{"0.1", "16777216"}},
	}
	definition, features := []string{"Id int NOT NULL PRIMARY KEY", "Label bit NOT NULL"}, []string{"Id2"}
	definition = append(definition, "Id2 int NOT NULL")
	for i, c := range cases {
		definition = append(definition, fmt.Sprintf("C%d %s NULL", i, c.sql))
		features = append(features, fmt.Sprintf("C%d", i))
	}
	table := createTable(t, "Numbers", strings.Join(definition, ", "))
	const rows = 4
	for row := range rows {
		names, values := []string{"Id", "Label", "Id2"}, []string{fmt.Sprint(row), "1", fmt.Sprint(row)}
		for i, c := range cases {
			if row < len(c.values) {
				names, values = append(names, fmt.Sprintf("C%d", i)), append(values, c.values[row])
			}
		}
		execute(t, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.Join(values, ", ")))
	}
	w := newWorld(t)
	w.run(spec(pipeline.Source{Table: table}, pipeline.Dataset{Task: pipeline.Binary, Key: []string{"Id"}, Label: "Label", Features: features, Split: everything}), 0, export.Committed)
	lines := w.channel(w.committed(), manifest.Train)
	slices.Sort(lines)
	if len(lines) != rows {
		t.Fatalf("there are %d lines", len(lines))
	}
	for row, line := range lines {
		fields := strings.Split(line, ",")
		for i, c := range cases {
			want := "" // NULL
			if row < len(c.want) {
				want = c.want[row]
			}
			if got := fields[i+2]; got != want {
				t.Errorf("%s: %s is %s, want %s", c.sql, c.values[min(row, len(c.values)-1)], got, want)
			}
		}
	}
}

func TestARowversionAndAJSONColumnAreReadAsTheListSays(t *testing.T) {
	w := newWorld(t)
	doc := "json"
	if server == nil {
		doc = "nvarchar(max)" // servers before 2025 don't know the type, and later ones send it so
	}
	table := createTable(t, "Versions", "Id int NOT NULL PRIMARY KEY, Version rowversion NOT NULL, Doc "+doc+" NULL")
	execute(t, "INSERT INTO "+table+" (Id, Doc) VALUES (1, N'{\"a\":[1,\"é\"]}'), (2, NULL)")
	w.run(spec(pipeline.Source{Table: table}, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}}), 0, export.Committed)
	got := w.duckdb(w.committed(), "SELECT octet_length(Version), typeof(Version), Doc, typeof(Doc), Version > lag(Version) OVER (ORDER BY Id) FROM files ORDER BY Id")
	want := [][]string{{"8", "BLOB", `{"a":[1,"é"]}`, "VARCHAR", "NULL"}, {"8", "BLOB", "NULL", "VARCHAR", "True"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAValueThatIsTooLargeIsNamedWithItsKeyAndNothingIsCut(t *testing.T) {
	for _, c := range []struct{ name, sql, value, fits string }{
		{"a text", "varchar(max)", "REPLICATE(CAST('x' AS varchar(max)), 20001)", "REPLICATE(CAST('x' AS varchar(max)), 20000)"},
		{"a text whose UTF-8 is longer than it", "nvarchar(max)", "REPLICATE(CAST(N'世' AS nvarchar(max)), 6667)", "REPLICATE(CAST(N'世' AS nvarchar(max)), 6666)"},
		{"bytes", "varbinary(max)", "CAST(REPLICATE(CAST('x' AS varchar(max)), 20001) AS varbinary(max))", "CAST(REPLICATE(CAST('x' AS varchar(max)), 20000) AS varbinary(max))"},
		{"far beyond it", "varchar(max)", "REPLICATE(CAST('x' AS varchar(max)), 3000000)", "'x'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			table := createTable(t, "Large", "Id int NOT NULL PRIMARY KEY, Part int NOT NULL, Note "+c.sql+" NULL")
			execute(t, "INSERT INTO "+table+" (Id, Part, Note) VALUES (1, 7, "+c.fits+"), (2, 8, "+c.value+")")
			s := spec(pipeline.Source{Table: table}, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id", "Part"}})
			s.Limits.MaxValueBytes = 20_000
			w.refused(s, 0, `column "Note"`, "Id=2", "Part=8", "export.maxValueBytes is 20000", "dataset.drop")
			w.nothingHappened()
			execute(t, "DELETE FROM "+table+" WHERE Id = 2")
			w.run(s, 0, export.Committed)
			if m := w.committed(); m.Counts.Replaced != 0 || m.Rows != 1 {
				t.Errorf("got %+v", m.Counts)
			}
		})
	}
}

func TestTypesWithoutAPlaceAreRefusedByNameUnlessTheyAreDropped(t *testing.T) {
	for _, typ := range []string{"hierarchyid", "geography", "geometry"} {
		t.Run(typ, func(t *testing.T) {
			w := newWorld(t)
			table := createTable(t, "Places", "Id int NOT NULL PRIMARY KEY, Place "+typ+" NULL")
			execute(t, "INSERT INTO "+table+" (Id) VALUES (1)")
			s := spec(pipeline.Source{Table: table}, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
			w.refused(s, 0, `column "Place" is of type `+typ, "cast", "dataset.drop")
			w.nothingHappened()
			s.Dataset.Drop = []string{"place"}
			w.run(s, 0, export.Committed)
		})
	}
}

// A fault strikes the statements whose text it finds: what never strikes was never sent.
func TestWhatIsDroppedIsNotInTheSelect(t *testing.T) {
	onlyLocally(t, "faults on order")
	table := createTable(t, "Secrets", "Id int NOT NULL PRIMARY KEY, Card varchar(20) NOT NULL, Amount int NOT NULL")
	execute(t, "INSERT INTO "+table+" (Id, Card, Amount) VALUES (1, '4111', 5)")
	for _, c := range []struct {
		name    string
		source  pipeline.Source
		dataset pipeline.Dataset
	}{
		{"dropped from a table", pipeline.Source{Table: table}, pipeline.Dataset{Drop: []string{"card"}}},
		{"not included of a table", pipeline.Source{Table: table}, pipeline.Dataset{Include: []string{"Id", "amount"}}},
		{"dropped from a query", pipeline.Source{Query: "SELECT * FROM " + table}, pipeline.Dataset{Drop: []string{"Card"}}},
		{"dropped from pages", pipeline.Source{Table: table, PartitionBy: "Id"}, pipeline.Dataset{Drop: []string{"Card"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.dataset.Format, c.dataset.Key = pipeline.NoChannels, []string{"Id"}
			server.OrderFault(sqlserver.Fault{Match: "[Card]", Error: 229, Times: 100})
			server.OrderFault(sqlserver.Fault{Match: "q.[Id], q.[Amount] FROM", RowDelay: 1, Times: 100})
			w.run(spec(c.source, c.dataset), 0, export.Committed)
			if left := server.ClearFaults(); left != 2 {
				t.Error("the column was named")
			}
			if m := w.committed(); len(m.Columns) != 2 || m.Columns[1].Name != "Amount" {
				t.Errorf("the manifest has %+v", m.Columns)
			}
			if got := w.duckdb(w.committed(), "SELECT * FROM files"); !slices.Equal(got[0], []string{"1", "5"}) {
				t.Errorf("Parquet has %v", got)
			}
		})
	}
}

// One dataset with every rule: Parquet, channels, counts and the signature say the same.
func TestRulesHoldFromTheSelectToTheSignature(t *testing.T) {
	const key = "0123456789abcdef"
	w := newWorld(t)
	w.setSecret(secretText(map[string]any{"hashKey": key}))
	table := createTable(t, "Rules", "Id int NOT NULL PRIMARY KEY, Seen datetime2(0) NOT NULL, Email varchar(40) NULL, Price varchar(10) NOT NULL, Country char(5) NULL, Grade nvarchar(10) NULL, Result varchar(10) NULL, Secret varchar(10) NULL")
	execute(t, "INSERT INTO "+table+` (Id, Seen, Email, Price, Country, Grade, Result, Secret) VALUES
		(1, '2025-06-01T00:00:00', 'a@example.com', '1.25', 'DE', N'low', 'churned', 'x'),
		(2, '2025-06-02T00:00:00', NULL, '2', 'FR', N'high', 'stayed', 'x'),
		(3, '2025-10-01T00:00:00', 'a@example.com', '3', 'XX', N'mid', 'lost', 'x'),
		(4, '2025-11-01T00:00:00', 'b@example.com', '4', NULL, NULL, 'stayed', 'x'),
		(5, '2025-11-02T00:00:00', 'b@example.com', '5', 'DE', N'low', NULL, 'x')`)
	s := spec(pipeline.Source{Table: table}, pipeline.Dataset{
		Task: pipeline.Binary, Key: []string{"Id"}, Label: "Result", Positive: []string{"churned", "lost"}, NullLabel: pipeline.SkipNullLabel, Drop: []string{"Secret"},
		Features: []string{"Price", "Country", "Grade"},
		Columns: map[string]pipeline.ColumnRule{
			"email": {Hash: true}, "Price": {Cast: "decimal(9,2)"}, "Country": {OneHot: []string{"DE", "FR"}, Unknown: pipeline.MissingUnknown},
			"Grade": {Ordinal: []string{"low", "mid", "high"}},
		},
		Split: pipeline.Split{Time: &pipeline.TimeSplit{Column: "Seen", ValidationFrom: "2025-10-01T00:00:00Z", TestFrom: "2025-11-01T00:00:00Z"}},
	})
	w.run(s, 0, export.Committed)
	m := w.committed()
	for channel, want := range map[string][]string{
		manifest.Train: {"0,2.00,0,1,2", "1,1.25,1,0,0"}, manifest.Validation: {"1,3.00,0,0,1"}, manifest.Test: {"0,4.00,0,0,"},
	} {
		lines := w.channel(m, channel)
		slices.Sort(lines)
		if !slices.Equal(lines, want) {
			t.Errorf("%s has %q, want %q", channel, lines, want)
		}
	}
	if m.Counts.Skipped != 1 || m.Counts.Unknown["Country"] != 1 || m.Rows != 5 || m.Split != "time" {
		t.Errorf("the manifest counts %+v", m.Counts)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("a@example.com"))
	hashed := hex.EncodeToString(mac.Sum(nil))
	got := w.duckdb(m, "SELECT Email, Price, Country, Result, typeof(Price) FROM files ORDER BY Id")
	for i, want := range [][]string{{hashed, "1.25", "DE   ", "churned", "DECIMAL(9,2)"}, {"NULL", "2.00", "FR   ", "stayed", "DECIMAL(9,2)"}, {hashed, "3.00", "XX   ", "lost", "DECIMAL(9,2)"}} {
		if !slices.Equal(got[i], want) {
			t.Errorf("Parquet has %q, want %q", got[i], want)
		}
	}
	body, err := w.get(m.Signature.Key)
	w.must(err)
	var signed signature.Signature
	w.must(json.Unmarshal(body, &signed))
	if len(signed.Features) != 3 || signed.Label != "Result" || signed.Features[0].SQLType != "decimal(9,2)" || signed.Features[0].Encoding != nil {
		t.Fatalf("the signature has %+v", signed)
	}
	country, grade := signed.Features[1].Encoding, signed.Features[2].Encoding
	if country == nil || country.Kind != signature.OneHot || !slices.Equal(country.Categories, []string{"DE", "FR"}) || country.Unknown != signature.MissingUnknown ||
		grade == nil || grade.Kind != signature.Ordinal || !slices.Equal(grade.Categories, []string{"low", "mid", "high"}) || grade.Unknown != signature.FailOnUnknown {
		t.Errorf("the encodings are %+v and %+v", country, grade)
	}
	if fields := strings.Count(signed.Example, ",") + 1; fields != 4 {
		t.Errorf("the example is %q", signed.Example)
	}

	// A value outside the categories, where that isn't allowed, is named with its row.
	execute(t, "UPDATE "+table+" SET Grade = N'best' WHERE Id = 3")
	w.refused(s, 1, `column "Grade"`, `"best"`, "Id=3", "low, mid, high", "dataset.columns.Grade.ordinal")
}
