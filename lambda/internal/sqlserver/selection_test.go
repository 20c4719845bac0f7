package sqlserver

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func selection(t *testing.T, s pipeline.Source, l pipeline.Limits) *Selection {
	t.Helper()
	x, err := NewSelection(s, l, at)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestStatements(t *testing.T) {
	id := Column{Name: "Id", Type: "int", Length: -1, Precision: -1, Scale: -1}
	code := Column{Name: "Code", Type: "varchar", Length: 10, Precision: -1, Scale: -1, Nullable: true, Collation: "Cyrillic_General_CI_AS"}
	version := Column{Name: "Ver", Type: "timestamp", Length: -1, Precision: -1, Scale: -1}
	cols := []Selected{{Name: "Id", Cast: "float"}, {Name: "odd]name"}}
	table := pipeline.Source{Table: "dbo.T"}
	query := pipeline.Source{Query: "SELECT a FROM b -- c"}
	bounds := &manifest.Bounds{Kind: "rowversion", Column: "Ver", From: "0x00000000000007D1", To: "0x00000000000007D9"}
	for _, c := range []struct {
		name   string
		source pipeline.Source
		limits pipeline.Limits
		make   func(x *Selection) Statement
		want   string
		params string
	}{
		{"a table whole", table, pipeline.Limits{}, func(x *Selection) Statement { return x.All(nil, nil, nil) }, "SELECT * FROM [dbo].[T] AS q", ""},
		{"a table's columns, one of them cast", table, pipeline.Limits{}, func(x *Selection) Statement { return x.All(cols, nil, nil) },
			"SELECT CAST(q.[Id] AS float) AS [Id], q.[odd]]name] FROM [dbo].[T] AS q", ""},
		{"a query as it is", query, pipeline.Limits{}, func(x *Selection) Statement { return x.All(nil, nil, nil) }, "SELECT a FROM b -- c", ""},
		{"MAXDOP behind a query's last comment", query, pipeline.Limits{MaxDOP: 2}, func(x *Selection) Statement { return x.All(nil, nil, nil) }, "SELECT a FROM b -- c\nOPTION (MAXDOP 2)", ""},
		{"no MAXDOP where the query has options of its own", pipeline.Source{Query: "SELECT a FROM b OPTION (RECOMPILE);"}, pipeline.Limits{MaxDOP: 2},
			func(x *Selection) Statement { return x.All(nil, nil, nil) }, "SELECT a FROM b OPTION (RECOMPILE)", ""},
		{"an option in a subquery's text is none", pipeline.Source{Query: "SELECT 'OPTION' AS [option] FROM b"}, pipeline.Limits{MaxDOP: 2},
			func(x *Selection) Statement { return x.All(nil, nil, nil) }, "SELECT 'OPTION' AS [option] FROM b\nOPTION (MAXDOP 2)", ""},
		{"columns of a query", query, pipeline.Limits{MaxDOP: 1}, func(x *Selection) Statement { return x.All(cols[1:], nil, nil) },
			"SELECT q.[odd]]name] FROM (SELECT a FROM b -- c\n) AS q\nOPTION (MAXDOP 1)", ""},
		{"only the parameters that are used, each once", pipeline.Source{Query: "SELECT a FROM b WHERE c >= @windowstart AND c < @windowEnd AND d > @windowStart", WindowSeconds: 86_400}, pipeline.Limits{},
			func(x *Selection) Statement { return x.All(nil, nil, nil) }, "SELECT a FROM b WHERE c >= @windowstart AND c < @windowEnd AND d > @windowStart",
			"windowstart datetime2(0) = 2026-01-01T03:04:05; windowEnd datetime2(0) = 2026-01-02T03:04:05"},
		{"an append load's bounds", table, pipeline.Limits{}, func(x *Selection) Statement { return x.All(nil, bounds, &version) },
			"SELECT * FROM [dbo].[T] AS q WHERE q.[Ver] >= @lower AND q.[Ver] < @upper", "lower binary(8) = [0 0 0 0 0 0 7 209]; upper binary(8) = [0 0 0 0 0 0 7 217]"},
		{"the first page of a unique key", table, pipeline.Limits{}, func(x *Selection) Statement { return x.Page(nil, id, true, plan.Range{}, nil, nil, nil, 10) },
			"SELECT TOP (@rows) * FROM [dbo].[T] AS q ORDER BY q.[Id]", "rows bigint = 10"},
		{"a page in the middle", table, pipeline.Limits{}, func(x *Selection) Statement {
			return x.Page(cols[:1], id, false, plan.Range{From: new("5"), To: new("9")}, new("7"), bounds, &version, 10)
		}, "SELECT TOP (@rows) WITH TIES CAST(q.[Id] AS float) AS [Id] FROM [dbo].[T] AS q WHERE q.[Id] > @after AND q.[Id] < @to AND q.[Ver] >= @lower AND q.[Ver] < @upper ORDER BY q.[Id]",
			"rows bigint = 10; after int = 7; to int = 9; lower binary(8) = [0 0 0 0 0 0 7 209]; upper binary(8) = [0 0 0 0 0 0 7 217]"},
		{"a nullable key's only range has no NULL", table, pipeline.Limits{}, func(x *Selection) Statement { return x.Page(nil, code, false, plan.Range{}, nil, nil, nil, 10) },
			"SELECT TOP (@rows) WITH TIES * FROM [dbo].[T] AS q WHERE q.[Code] IS NOT NULL ORDER BY q.[Code]", "rows bigint = 10"},
		{"the rows without a key", table, pipeline.Limits{}, func(x *Selection) Statement {
			return x.Page(nil, code, false, plan.Range{Null: true}, nil, nil, nil, 10)
		},
			"SELECT * FROM [dbo].[T] AS q WHERE q.[Code] IS NULL", ""},
		{"a text of another code page than the database's", table, pipeline.Limits{}, func(x *Selection) Statement {
			return x.Page(nil, code, false, plan.Range{From: new("ж")}, nil, nil, nil, 10)
		}, "SELECT TOP (@rows) WITH TIES * FROM [dbo].[T] AS q WHERE q.[Code] >= CAST(CAST(@from AS nvarchar(4000)) COLLATE Cyrillic_General_CI_AS AS varchar(10)) ORDER BY q.[Code]", "rows bigint = 10; from nvarchar(4000) = ж"},
		{"the columns of a query", query, pipeline.Limits{}, (*Selection).Describe, "SELECT TOP (0) * FROM (SELECT a FROM b -- c\n) AS q", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.make(selection(t, c.source, c.limits))
			var params []string
			for _, p := range s.Params {
				params = append(params, p.String())
			}
			if s.err != nil || s.Text != c.want || strings.Join(params, "; ") != c.params {
				t.Fatalf("got  %s\nwant %s\nwith %s\nwant %s\n%v", s.Text, c.want, strings.Join(params, "; "), c.params, s.err)
			}
		})
	}
}

func TestSourcesThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		source  pipeline.Source
		problem string
	}{
		{"uncommitted reads", pipeline.Source{Query: "SELECT a\nFROM b WITH (NoLock)"}, "line 2: NOLOCK reads uncommitted rows"},
		{"locked rows skipped", pipeline.Source{Query: "SELECT a FROM b WITH (READPAST)"}, "READPAST reads uncommitted rows"},
		{"locks for writing", pipeline.Source{Query: "SELECT a\nFROM b AS c WITH (updlock, ROWLOCK)"}, "line 2: UPDLOCK takes locks that keep others from writing"},
		{"locks of a kind without commas", pipeline.Source{Query: "SELECT a FROM b WITH (ROWLOCK XLOCK)"}, "XLOCK takes locks"},
		{"a lock on the table, without WITH", pipeline.Source{Query: "SELECT a FROM dbo.[b] (TABLOCKX)"}, "TABLOCKX takes locks"},
		{"a lock on the second table, without WITH", pipeline.Source{Query: "SELECT a FROM b, c AS d (TABLOCK) WHERE a = 1"}, "TABLOCK takes locks"},
		{"locks that are held, in a subquery", pipeline.Source{Query: "SELECT a FROM (SELECT a FROM b JOIN c WITH (HOLDLOCK) ON b.x = c.x) AS q"}, "HOLDLOCK takes locks"},
		{"locks beside an index", pipeline.Source{Query: "SELECT a FROM b WITH (INDEX(ix), SERIALIZABLE)"}, "SERIALIZABLE takes locks"},
		{"locks of a step", pipeline.Source{Query: "WITH s AS (SELECT a FROM b WITH (REPEATABLEREAD)) SELECT a FROM s"}, "REPEATABLEREAD takes locks"},
		{"locks in the query's options", pipeline.Source{Query: "SELECT a FROM b OPTION (TABLE HINT (b, UPDLOCK))"}, "UPDLOCK takes locks"},
		{"an unknown parameter", pipeline.Source{Query: "SELECT a FROM b WHERE c = @from"}, "@from is not a parameter of the pipeline: there are @runTime, @windowStart and @windowEnd"},
		{"a window's parameter without a window", pipeline.Source{Query: "SELECT a FROM b WHERE c >= @windowStart"}, "@windowStart needs a window"},
		{"a window that the query doesn't use", pipeline.Source{Query: "SELECT a FROM b WHERE c < @windowEnd", WindowSeconds: 60}, "the query doesn't use @windowStart"},
		{"a table with a window", pipeline.Source{Table: "dbo.T", WindowSeconds: 60}, "a window is of a query"},
		{"a parenthesis that isn't opened", pipeline.Source{Query: "SELECT a FROM b) AS q; --"}, "a ) without its ("},
		{"a parenthesis that isn't closed", pipeline.Source{Query: "SELECT (a FROM b"}, "a ( without its )"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewSelection(c.source, pipeline.Limits{}, at); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %s", err, c.problem)
			}
		})
	}
	x, err := NewSelection(pipeline.Source{Query: "SELECT a FROM b WITH (NOLOCK)", Accept: []pipeline.Consent{pipeline.AcceptNoLock}}, pipeline.Limits{}, at)
	if err != nil || !x.Dirty() {
		t.Fatalf("with the consent: %v", err)
	}
	if x = selection(t, pipeline.Source{Query: "SELECT [nolock], 'readpast' AS a, @@VERSION AS v FROM b"}, pipeline.Limits{}); x.Dirty() {
		t.Error("names and texts were taken for hints")
	}
}

func TestNamesAreNotTakenForLocks(t *testing.T) {
	for _, query := range []string{
		"SELECT updlock, b.Serializable AS holdlock FROM b WHERE xlock > 1 ORDER BY TabLock",
		"SELECT [updlock], 'XLOCK' AS a /* WITH (XLOCK) */ FROM b -- (TABLOCK)",
		"SELECT MAX(serializable) AS a FROM b WHERE xlock IN (updlock, tablock)",
		"SELECT a FROM b JOIN c ON b.x = c.x AND b.y IN (xlock)",
		"SELECT j.updlock FROM b CROSS APPLY OPENJSON(b.doc) WITH (updlock int, xlock nvarchar(5) '$.x') AS j",
		"WITH s (updlock, xlock) AS (SELECT a, b FROM c) SELECT updlock FROM s",
		"SELECT a FROM b WITH (ROWLOCK, INDEX(xlock), FORCESEEK(ix(updlock)))",
		"SELECT a FROM b WITH (READCOMMITTEDLOCK, PAGLOCK)",
	} {
		if _, err := NewSelection(pipeline.Source{Query: query}, pipeline.Limits{}, at); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestWhereTheTablesOfAQueryAre(t *testing.T) {
	for _, c := range []struct{ query, names, calls, foreign string }{
		{"SELECT v.a FROM dbo.v", "v", "", ""},
		{"SELECT a AS w FROM [dbo].[V w] AS b, c JOIN d ON d.x = dbo.f(b.y) WHERE e > 1", "c d v w", "f", ""},
		{"SELECT a FROM (SELECT b FROM c) AS q", "c", "", ""},
		{"SELECT a FROM (b JOIN c ON b.x = c.x) WHERE x IN (SELECT y FROM d)", "b c d", "in", ""},
		{"SELECT g.a FROM b CROSS APPLY dbo.g(b.x) AS g", "b g", "g", ""},
		{"SELECT a FROM other.dbo.t JOIN far..u ON 1 = 1 JOIN s.d.o.x ON 1 = 1", "t u x", "", "other.dbo.t far..u s.d.o.x"},
		{"WITH s AS (SELECT a FROM b) SELECT a FROM s UNION SELECT c FROM d", "b d s", "as", ""},
	} {
		f := readFrom(c.query)
		names, calls := slices.Sorted(maps.Keys(f.names)), slices.Sorted(maps.Keys(f.calls))
		if strings.Join(names, " ") != c.names || strings.Join(calls, " ") != c.calls || strings.Join(f.foreign, " ") != c.foreign {
			t.Errorf("%s: got %v, %v, %v", c.query, names, calls, f.foreign)
		}
	}
}

func TestQueriesThatCanStandInFrom(t *testing.T) {
	for _, c := range []struct{ name, query, problem string }{
		{"a plain query", "SELECT a FROM b WHERE c IN (SELECT TOP (1) d FROM e ORDER BY d)", ""},
		{"a window function's order", "SELECT ROW_NUMBER() OVER (ORDER BY a) AS n FROM b", ""},
		{"an order that TOP needs", "SELECT TOP (10) a FROM b ORDER BY a", ""},
		{"an order that OFFSET needs", "SELECT a FROM b ORDER BY a OFFSET 5 ROWS", ""},
		{"a temporal table", "SELECT a FROM b FOR SYSTEM_TIME AS OF '2026-01-01' AS b", ""},
		{"words in quotes and comments", "SELECT 'WITH ORDER' AS [option] /* ORDER BY */ FROM b -- OPTION", ""},
		{"a semicolon at the end", "SELECT a FROM b ; -- c", ""},
		{"steps", "WITH a AS (SELECT 1 AS x) SELECT x FROM a", "begins with WITH"},
		{"steps behind a semicolon", ";WITH a AS (SELECT 1 AS x) SELECT x FROM a", "begins with WITH"},
		{"an order", "SELECT a FROM b ORDER BY a", "a query with ORDER BY"},
		{"an order of a union, of which one part has TOP", "SELECT TOP (1) a FROM b UNION ALL SELECT a FROM c ORDER BY a", "a query with ORDER BY"},
		{"options", "SELECT a FROM b OPTION (RECOMPILE)", "an OPTION clause"},
		{"JSON", "SELECT a FROM b FOR JSON PATH", "FOR JSON"},
		{"XML", "SELECT a FROM b for\nxml auto", "FOR XML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := selection(t, pipeline.Source{Query: c.query, QueryFile: "queries/q.sql"}, pipeline.Limits{})
			err := x.Wrappable()
			wrapped := x.All([]Selected{{Name: "a"}}, nil, nil)
			if c.problem == "" {
				if err != nil || wrapped.err != nil {
					t.Fatal(err, wrapped.err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.problem) || wrapped.err == nil || !strings.Contains(wrapped.err.Error(), "queries/q.sql: ") {
				t.Fatalf("got %v, %v, want an error with %s", err, wrapped.err, c.problem)
			}
		})
	}
}

func TestWhatIsHashedOfASource(t *testing.T) {
	cursor := &pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: "Ver"}
	seen := map[string]string{}
	for name, s := range map[string]pipeline.Source{
		"a table": {Table: "dbo.T"}, "another": {Table: "dbo.U"}, "a query": {Query: "SELECT 1 AS a"},
		"an append load": {Table: "dbo.T", Cursor: cursor}, "partitions": {Table: "dbo.T", PartitionBy: "Id"},
		"an append load by another column": {Table: "dbo.T", Cursor: &pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "At"}},
	} {
		hashed := selection(t, s, pipeline.Limits{MaxDOP: 1}).QueryText()
		if other, ok := seen[hashed]; ok {
			t.Errorf("%s and %s have the text %q", name, other, hashed)
		}
		seen[hashed] = name
		if later, err := NewSelection(s, pipeline.Limits{}, at.Add(time.Hour)); err != nil || later.QueryText() != hashed {
			t.Errorf("%s: the text changes with the time or the limits", name)
		}
	}
	if w := selection(t, pipeline.Source{Query: "SELECT @windowStart AS a", WindowSeconds: 3600}, pipeline.Limits{}).Window(); w == nil || !w.End.Equal(at) || !w.Start.Equal(at.Add(-time.Hour)) {
		t.Errorf("the window is %v", w)
	}
}

func TestTypesAreReadAsTheyAreWritten(t *testing.T) {
	for _, sqlType := range []string{
		"int", "bigint", "decimal(12,2)", "money", "float", "date", "datetime", "datetime2(0)", "datetime2(7)", "datetimeoffset(3)", "time(4)",
		"char(3)", "varchar(8000)", "varchar(max)", "nvarchar(4000)", "nvarchar(max)", "binary(8)", "varbinary(max)", "uniqueidentifier", "timestamp",
	} {
		c, err := ParseColumn("c", sqlType, true)
		if err != nil || c.SQLType() != sqlType {
			t.Errorf("%s became %s, %v", sqlType, c.SQLType(), err)
		}
	}
	for _, bad := range []string{"", "(3)", "decimal(", "decimal(1,2)x", "varchar(-1)", "varchar(a)", "decimal(1,b)"} {
		if c, err := ParseColumn("c", bad, false); err == nil {
			t.Errorf("%q was taken for %s", bad, c.SQLType())
		}
	}
}

func TestBoundsThatAreNotOfTheirType(t *testing.T) {
	for sqlType, bad := range map[string][]string{
		"int": {"", "1.5", "0x1", "9223372036854775808"}, "decimal(5,2)": {"", "1e3", ".", "-", "1.", "+1"},
		"date": {"2026-1-1", "2026-02-30"}, "datetime": {"2026-01-01", "2026-01-01 00:00:00.000"}, "datetime2(0)": {"2026-01-01T00:00:00Z"},
		"datetimeoffset(0)": {"2026-01-01T00:00:00"}, "uniqueidentifier": {"", "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "3F2504E0"},
		"timestamp": {"0x", "0x07D1", "2001"}, "varbinary(5)": {"1234", "0x1", "0xZZ"}, "float": {"1"}, "varchar(max)": {"a"}, "xml": {"a"},
		"varchar(5)": {"é"}, "smalldatetime": {"2026-01-01T00:00:30"},
	} {
		c, err := ParseColumn("c", sqlType, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range bad {
			if p, err := KeyParam("p", c, value); err == nil {
				t.Errorf("%q was taken for %s", value, p)
			}
		}
	}
	c, _ := ParseColumn("c", "nvarchar(5)", false)
	if _, err := KeyText(c, "a\uFFFD"); err == nil || !strings.Contains(err.Error(), "can't be bound exactly") {
		t.Errorf("a lone surrogate became a bound: %v", err)
	}
}

func TestRowversionsAreWrittenAsTheyCompare(t *testing.T) {
	for _, v := range []uint64{0, 2001, 1<<64 - 1} {
		got, err := ParseRowversion(RowversionText(v))
		if err != nil || got != v {
			t.Errorf("%d became %d, %v", v, got, err)
		}
	}
	for _, bad := range []string{"", "0x", "00000000000007D1", "0x7D1", "0x00000000000007G1"} {
		if _, err := ParseRowversion(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// The ranges of a histogram are about equal, whatever the steps are, and a heavy value has a range of its own.
func TestHistogramsAreDividedEvenly(t *testing.T) {
	id := Column{Name: "Id", Type: "int"}
	for _, c := range []struct {
		name  string
		steps []step
		want  int
		give  string
	}{
		{"no steps", nil, 4, ""},
		{"no rows", []step{{"5", 0, 0}}, 4, ""},
		{"one value alone", []step{{"5", 1000, 0}}, 4, ""},
		{"even steps", []step{{"1", 1, 0}, {"10", 1, 99}, {"20", 1, 99}, {"30", 1, 99}, {"40", 1, 99}}, 2, "20"},
		{"an unbroken sequence of few steps", []step{{"1", 1, 0}, {"999999", 1, 999_997}, {"1000000", 1, 0}}, 4, "250000 500000 749999"},
		{"a heavy value in the middle", []step{{"1", 1, 0}, {"10", 1, 9}, {"11", 1000, 0}, {"20", 1, 8}}, 3, "11 20"},
		{"a heavy value at the beginning", []step{{"1", 1000, 0}, {"50", 1, 48}}, 2, "50"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(divide(id, c.steps, c.want), " "); got != c.give {
				t.Fatalf("got %s, want %s", got, c.give)
			}
		})
	}
}

func TestValuesBetweenTwoOthers(t *testing.T) {
	for _, c := range []struct {
		sqlType, low, high string
		n                  int
		want               string
	}{
		{"int", "0", "100", 4, "25 50 75"},
		{"int", "5", "7", 100, "6"},
		{"int", "5", "5", 4, ""},
		{"bigint", "-9223372036854775808", "9223372036854775807", 2, "-1"},
		{"date", "2026-01-01", "2026-01-05", 2, "2026-01-03"},
		{"datetime2(3)", "0001-01-01T00:00:00.000", "9999-12-31T23:59:59.999", 2, "5000-07-02T11:59:00.000"},
		{"datetimeoffset(0)", "2026-01-01T02:00:00+02:00", "2026-01-01T01:00:00+00:00", 2, "2026-01-01T00:30:00+00:00"},
		{"uniqueidentifier", "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", 2, ""},
	} {
		column, err := ParseColumn("c", c.sqlType, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(between(column, c.low, c.high, c.n), " "); got != c.want {
			t.Errorf("between %s and %s: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

// What is claimed, cell by cell. Whoever changes a word of it changes what a manifest promises.
func TestNothingIsGuaranteedThatDoesNotHold(t *testing.T) {
	on, off := true, false
	full := pipeline.Source{Load: pipeline.Full}
	snapshot := pipeline.Source{Load: pipeline.Full, Consistency: pipeline.Snapshot}
	versions := pipeline.Source{Load: pipeline.Append, Cursor: &pipeline.Cursor{Kind: pipeline.RowversionCursor}}
	overlap := pipeline.Source{Load: pipeline.Append, Cursor: &pipeline.Cursor{Kind: pipeline.TimeCursor}}
	for _, c := range []struct {
		name         string
		rcsi         *bool
		source       pipeline.Source
		pages, dirty bool
		isolation    string
		says, not    string
	}{
		{"a locked statement", &off, full, false, false, "READ COMMITTED (locking)", "may be missing or there twice", "one committed state"},
		{"a versioned statement", &on, full, false, false, "READ COMMITTED SNAPSHOT", "as it was committed when the statement began, once", "may be missing"},
		{"a statement of unknown versioning", nil, full, false, false, "unknown", "no more is claimed than locking gives", "statement began, once"},
		{"locked pages", &off, full, true, false, "locking", "not of one moment", "exactly once"},
		{"versioned pages", &on, full, true, false, "READ COMMITTED SNAPSHOT", "Each page is one committed state; the run is not", "One committed state"},
		{"a snapshot", &off, snapshot, false, false, "SNAPSHOT (row versions, per transaction)", "One committed state", "may be missing"},
		{"pages of a snapshot", &off, snapshot, true, false, "SNAPSHOT", "however many statements", "may be missing"},
		{"versions under locking", &off, versions, true, false, "locking", "exactly once, provided that rows of the table are never changed or deleted", "may be missing"},
		{"versions under row versions", &on, versions, false, false, "READ COMMITTED SNAPSHOT", "exactly once, provided", "may be missing"},
		{"an overlap", &on, overlap, false, false, "READ COMMITTED SNAPSHOT", "later than that", "exactly"},
		{"a query that asks for locking reads", &on, pipeline.Source{Query: "SELECT a FROM b WITH (READCOMMITTEDLOCK)"}, false, false, "READ COMMITTED (locking)", "may be missing or there twice", "when the statement began"},
		{"a query", &on, pipeline.Source{Query: "SELECT a FROM b"}, false, false, "READ COMMITTED SNAPSHOT", "as far as the views and functions that the source names read committed rows", "may be missing"},
		{"uncommitted reads", &on, full, false, true, "READ UNCOMMITTED", "None: ", "committed when"},
		{"uncommitted pages", nil, full, true, true, "READ UNCOMMITTED", "None: ", "committed when"},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolation, guarantee := Identity{RCSI: c.rcsi}.Guarantee(c.source, c.pages, c.dirty)
			if !strings.Contains(isolation, c.isolation) || !strings.Contains(guarantee, c.says) || strings.Contains(guarantee, c.not) {
				t.Fatalf("got %s: %s", isolation, guarantee)
			}
		})
	}
	for what, row := range guarantees {
		for mode, cell := range row {
			if cell == "" || isolations[mode] == "" {
				t.Errorf("nothing is said of %d under %d", what, mode)
			}
		}
	}
}

// A plan is read back from S3: whatever its texts are, they are taken whole or refused.
func FuzzKeyParam(f *testing.F) {
	f.Add("int", "12")
	f.Add("datetime2(3)", "2026-01-01T00:00:00.123")
	f.Add("varbinary(4)", "0x00FF")
	f.Add("uniqueidentifier", "3F2504E0-4F89-11D3-9A0C-0305E82C3301")
	f.Fuzz(func(t *testing.T, sqlType, value string) {
		c, err := ParseColumn("c", sqlType, false)
		if err != nil {
			return
		}
		if again, err := ParseColumn("c", c.SQLType(), false); err != nil || again.SQLType() != c.SQLType() {
			t.Fatalf("%q is written as %q, which is %q, %v", sqlType, c.SQLType(), again.SQLType(), err)
		}
		p, err := KeyParam("p", c, value)
		if err == nil && (p.Name != "p" || p.Type == "" || p.Value == nil) {
			t.Fatalf("%q of %q became %v", value, sqlType, p)
		}
	})
}
