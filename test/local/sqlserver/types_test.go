package sqlserver

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

// typeCase is a type with values at its extremes: as a literal of T-SQL, as a client binds it, and as a client reads it.
type typeCase struct {
	declared string
	values   []typeValue
}

type typeValue struct {
	literal string
	bound   any
	read    any
}

func moment0(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04:05.9999999 -07:00", "2006-01-02 15:04:05.9999999", "2006-01-02"} {
		if v, err := time.Parse(layout, s); err == nil {
			return v
		}
	}
	panic(s)
}

func atTime(s string) time.Time {
	v, err := time.Parse("15:04:05.9999999", s)
	if err != nil {
		panic(err)
	}
	return time.Date(1, 1, 1, v.Hour(), v.Minute(), v.Second(), v.Nanosecond(), time.UTC)
}

func guid(s string) mssql.UniqueIdentifier {
	var g mssql.UniqueIdentifier
	if err := g.Scan(s); err != nil {
		panic(err)
	}
	return g
}

func sameText(values ...string) (out []typeValue) {
	for _, v := range values {
		out = append(out, typeValue{v, v, []byte(v)})
	}
	return
}

func sameTime(values ...string) (out []typeValue) {
	for _, v := range values {
		out = append(out, typeValue{"'" + v + "'", moment0(v), moment0(v)})
	}
	return
}

var typeCases = []typeCase{
	{"bit", []typeValue{{"0", false, false}, {"1", true, true}}},
	{"tinyint", []typeValue{{"0", 0, int64(0)}, {"255", 255, int64(255)}}},
	{"smallint", []typeValue{{"-32768", -32768, int64(-32768)}, {"32767", 32767, int64(32767)}}},
	{"int", []typeValue{{"-2147483648", -2147483648, int64(-2147483648)}, {"2147483647", 2147483647, int64(2147483647)}}},
	{"bigint", []typeValue{{"-9223372036854775808", int64(-9223372036854775808), int64(-9223372036854775808)}, {"9223372036854775807", int64(9223372036854775807), int64(9223372036854775807)}}},
	{"real", []typeValue{{"3.4E38", float32(3.4e38), float64(float32(3.4e38))}, {"-1.18E-38", float32(-1.18e-38), float64(float32(-1.18e-38))}, {"0.1", float32(0.1), float64(float32(0.1))}}},
	{"float", []typeValue{{"1.7976931348623157E308", 1.7976931348623157e308, 1.7976931348623157e308}, {"-2.2250738585072014E-308", -2.2250738585072014e-308, -2.2250738585072014e-308}, {"0.1E0", 0.1, 0.1}}},
	{"decimal(5,2)", sameText("-999.99", "999.99", "0.01", "-0.01")},
	{"decimal(18,4)", sameText("-99999999999999.9999", "99999999999999.9999")},
	{"decimal(19,0)", sameText("-9999999999999999999", "9999999999999999999")},
	{"numeric(28,28)", sameText("-0.9999999999999999999999999999", "0.0000000000000000000000000001")},
	{"decimal(38,0)", sameText("-99999999999999999999999999999999999999", "99999999999999999999999999999999999999", "0")},
	{"decimal(38,10)", sameText("-9999999999999999999999999999.9999999999", "9999999999999999999999999999.9999999999")},
	{"money", sameText("-922337203685477.5808", "922337203685477.5807", "0.0001")},
	{"smallmoney", sameText("-214748.3648", "214748.3647")},
	{"date", sameTime("0001-01-01", "9999-12-31", "2024-02-29")},
	{"time(0)", []typeValue{{"'00:00:00'", atTime("00:00:00"), atTime("00:00:00")}, {"'23:59:59'", atTime("23:59:59"), atTime("23:59:59")}}},
	{"time(7)", []typeValue{{"'23:59:59.9999999'", atTime("23:59:59.9999999"), atTime("23:59:59.9999999")}, {"'00:00:00.0000001'", atTime("00:00:00.0000001"), atTime("00:00:00.0000001")}}},
	{"smalldatetime", sameTime("1900-01-01", "2079-06-06 23:59:00")},
	{"datetime", sameTime("1753-01-01", "9999-12-31 23:59:59.997", "1899-12-31 12:00:00", "2024-02-29 23:59:59.003")},
	{"datetime2(0)", sameTime("0001-01-01", "9999-12-31 23:59:59")},
	{"datetime2(3)", sameTime("0001-01-01 00:00:00.001", "9999-12-31 23:59:59.999")},
	{"datetime2(7)", sameTime("0001-01-01", "9999-12-31 23:59:59.9999999", "2024-02-29 12:34:56.1234567")},
	{"datetimeoffset(0)", sameTime("0001-01-02 00:00:00 +14:00", "9999-12-30 23:59:59 -14:00")},
	{"datetimeoffset(7)", sameTime("0001-01-02 00:00:00 +14:00", "9999-12-30 23:59:59.9999999 -14:00", "2024-02-29 12:34:56.1234567 +05:30")},
	{"char(5)", []typeValue{{"'ab'", "ab", "ab   "}, {"''", "", "     "}, {"'12345'", "12345", "12345"}}},
	{"varchar(8000)", []typeValue{{"''", "", ""}, {"'it''s'", "it's", "it's"}, {"REPLICATE('x', 8000)", strings.Repeat("x", 8000), strings.Repeat("x", 8000)}}},
	{"varchar(max)", []typeValue{{"''", "", ""}, {"REPLICATE(CAST('y' AS varchar(max)), 100000)", strings.Repeat("y", 100000), strings.Repeat("y", 100000)}}},
	{"nchar(4)", []typeValue{{"N'ä😀'", "ä😀", "ä😀 "}, {"N''", "", "    "}}},
	{"nvarchar(4000)", []typeValue{{"N'Ωδ😀日本'", "Ωδ😀日本", "Ωδ😀日本"}, {"N''", "", ""}, {"REPLICATE(N'ß', 4000)", strings.Repeat("ß", 4000), strings.Repeat("ß", 4000)}}},
	{"nvarchar(max)", []typeValue{{"N'😀'", "😀", "😀"}, {"REPLICATE(CAST(N'日' AS nvarchar(max)), 70000)", strings.Repeat("日", 70000), strings.Repeat("日", 70000)}}},
	{"binary(4)", []typeValue{{"0x01", []byte{1}, []byte{1, 0, 0, 0}}, {"0xFFFFFFFF", []byte{255, 255, 255, 255}, []byte{255, 255, 255, 255}}}},
	{"varbinary(8000)", []typeValue{{"0x00", []byte{0}, []byte{0}}, {"0x00FF10", []byte{0, 255, 16}, []byte{0, 255, 16}}}},
	{"varbinary(max)", []typeValue{{"0x0102", []byte{1, 2}, []byte{1, 2}}, {"CAST(REPLICATE(CAST('z' AS varchar(max)), 90000) AS varbinary(max))", bytes.Repeat([]byte("z"), 90000), bytes.Repeat([]byte("z"), 90000)}}},
	{"uniqueidentifier", []typeValue{
		{"'00112233-4455-6677-8899-AABBCCDDEEFF'", guid("00112233-4455-6677-8899-AABBCCDDEEFF"), guid("00112233-4455-6677-8899-AABBCCDDEEFF")},
		{"'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'", guid("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"), guid("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF")},
	}},
}

// bulkValue is a value as go-mssqldb's bulk copy takes it.
func bulkValue(declared string, v any) any {
	switch v := v.(type) {
	case mssql.UniqueIdentifier:
		// In the order of the wire: bulk copy sends bytes as they are.
		b, err := v.Value()
		if err != nil {
			panic(err)
		}
		return b
	case []byte, string, bool, float64, float32, int64, int, time.Time:
		return v
	}
	panic(fmt.Sprintf("%s: %T", declared, v))
}

// parameterValue is a value as it's bound in an INSERT.
func parameterValue(declared string, v any) any {
	if t, ok := v.(time.Time); ok {
		switch {
		case declared == "datetime" || declared == "smalldatetime":
			return mssql.DateTime1(t)
		case declared == "date" || strings.HasPrefix(declared, "datetime2"):
			return t // as a datetimeoffset, which the server converts
		}
	}
	return v
}

func TestEveryTypeKeepsItsExtremesAndNull(t *testing.T) {
	_, db := startShop(t)
	for i, c := range typeCases {
		t.Run(c.declared, func(t *testing.T) {
			table := fmt.Sprintf("dbo.T%d", i)
			run(t, db, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, V "+c.declared+" NULL)")
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			bulk, err := tx.Prepare(mssql.CopyIn(table, mssql.BulkOptions{}, "Id", "V"))
			if err != nil {
				t.Fatal(err)
			}
			defer bulk.Close()
			for k, v := range c.values {
				if _, err := bulk.Exec(k, bulkValue(c.declared, v.bound)); err != nil {
					t.Fatalf("bulk copy of %v: %v", v.bound, err)
				}
			}
			if _, err := bulk.Exec(99, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := bulk.Exec(); err != nil {
				t.Fatalf("bulk copy: %v", err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			run(t, db, "INSERT INTO "+table+" VALUES (299, NULL)")
			for k, v := range c.values {
				run(t, db, fmt.Sprintf("INSERT INTO %s (Id, V) VALUES (%d, %s)", table, 200+k, v.literal))
				if _, err := db.Exec("INSERT INTO "+table+" (Id, V) VALUES (@p1, @p2)", 100+k, parameterValue(c.declared, v.bound)); err != nil {
					t.Fatalf("inserting the parameter %v: %v", v.bound, err)
				}
			}
			rows, err := db.Query("SELECT Id, V, MAX(Id) OVER () FROM " + table + " ORDER BY Id")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			n := 0
			for rows.Next() {
				var id, last int
				var v any
				if err := rows.Scan(&id, &v, &last); err != nil {
					t.Fatal(err)
				}
				n++
				how := []string{"bulk copy", "a parameter", "a literal"}[id/100]
				if id%100 == 99 {
					if v != nil {
						t.Errorf("NULL by %s came back as %v", how, v)
					}
					continue
				}
				want := c.values[id%100].read
				if !equalValue(v, want) {
					t.Errorf("%s: got %v (%T), want %v (%T)", how, shorten(v), v, shorten(want), want)
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if want := 3*len(c.values) + 2; n != want {
				t.Errorf("%d rows, want %d", n, want)
			}
		})
	}
}

// columnTypes is how a query's result is described.
func columnTypes(db *sql.DB, query string) ([]*sql.ColumnType, error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	return types, errors.Join(err, rows.Err())
}

func shorten(v any) string {
	s := fmt.Sprint(v)
	return s[:min(len(s), 100)]
}

func equalValue(got, want any) bool {
	switch w := want.(type) {
	case time.Time:
		g, ok := got.(time.Time)
		_, a := g.Zone()
		_, b := w.Zone()
		// go-mssqldb rounds a datetime to milliseconds.
		return ok && g.Round(time.Millisecond/10000).Equal(w) && a == b
	case []byte:
		g, ok := got.([]byte)
		return ok && bytes.Equal(g, w)
	case mssql.UniqueIdentifier:
		switch g := got.(type) {
		case mssql.UniqueIdentifier:
			return g == w
		case []byte:
			var u mssql.UniqueIdentifier
			return u.Scan(g) == nil && u == w
		}
		return false
	}
	return got == want
}

func TestResultsDescribeThemselves(t *testing.T) {
	_, db := startShop(t)
	run(t, db, `CREATE TABLE dbo.Wide (Id bigint NOT NULL PRIMARY KEY, A tinyint NOT NULL, B smallint NULL, C decimal(12,2) NOT NULL, D money NULL,
		E datetime2(3) NOT NULL, F varchar(12) NOT NULL, G nvarchar(100) NULL, H char(3) NOT NULL, I bit NOT NULL, J uniqueidentifier NULL,
		K nvarchar(max) NULL, L varbinary(16) NULL, M real NULL, N float NOT NULL, O date NOT NULL, P datetimeoffset(2) NULL, Q rowversion)`)
	type description struct {
		name, typ        string
		length           int64
		precision, scale int64
		nullable         bool
	}
	for _, test := range []struct {
		query string
		want  []description
	}{
		{"SELECT * FROM dbo.Wide", []description{
			{"Id", "BIGINT", 0, 0, 0, false}, {"A", "TINYINT", 0, 0, 0, false}, {"B", "SMALLINT", 0, 0, 0, true}, {"C", "DECIMAL", 0, 12, 2, false},
			{"D", "MONEY", 0, 0, 0, true}, {"E", "DATETIME2", 0, 0, 3, false}, {"F", "VARCHAR", 12, 0, 0, false}, {"G", "NVARCHAR", 100, 0, 0, true},
			{"H", "CHAR", 3, 0, 0, false}, {"I", "BIT", 0, 0, 0, false}, {"J", "UNIQUEIDENTIFIER", 0, 0, 0, true}, {"K", "NVARCHAR", 1073741822, 0, 0, true},
			{"L", "VARBINARY", 16, 0, 0, true}, {"M", "REAL", 0, 0, 0, true}, {"N", "FLOAT", 0, 0, 0, false}, {"O", "DATE", 0, 0, 0, false},
			{"P", "DATETIMEOFFSET", 0, 0, 2, true}, {"Q", "BINARY", 8, 0, 0, false},
		}},
		{"SELECT A + B AS s, C * 2 AS m, C / 3 AS q, AVG(A) OVER () AS a, SUM(C) OVER () AS t, F + H AS f, COALESCE(G, N'x') AS g, COUNT(*) OVER () AS c, CASE WHEN I = 1 THEN 1 ELSE 0 END AS k, ISNULL(B, 0) AS n, CAST(A AS float) / 2 AS r, DATEADD(day, 1, O) AS d, ROW_NUMBER() OVER (ORDER BY Id) AS w FROM dbo.Wide", []description{
			{"s", "SMALLINT", 0, 0, 0, true}, {"m", "DECIMAL", 0, 14, 2, true}, {"q", "DECIMAL", 0, 16, 6, true}, {"a", "INT", 0, 0, 0, true},
			{"t", "DECIMAL", 0, 38, 2, true}, {"f", "VARCHAR", 15, 0, 0, false}, {"g", "NVARCHAR", 100, 0, 0, false}, {"c", "INT", 0, 0, 0, true},
			{"k", "INT", 0, 0, 0, false}, {"n", "SMALLINT", 0, 0, 0, false}, {"r", "FLOAT", 0, 0, 0, true}, {"d", "DATE", 0, 0, 0, true}, {"w", "BIGINT", 0, 0, 0, true},
		}},
		{"SELECT 1 AS i, 2147483648 AS big, 1.50 AS n, 'abc' AS v, N'abc' AS u, 1e0 AS f, NULL AS z, 0x0102 AS b, GETUTCDATE() AS d", []description{
			{"i", "INT", 0, 0, 0, false}, {"big", "DECIMAL", 0, 10, 0, false}, {"n", "DECIMAL", 0, 3, 2, false}, {"v", "VARCHAR", 3, 0, 0, false},
			{"u", "NVARCHAR", 3, 0, 0, false}, {"f", "FLOAT", 0, 0, 0, false}, {"z", "INT", 0, 0, 0, true}, {"b", "VARBINARY", 2, 0, 0, false}, {"d", "DATETIME", 0, 0, 0, false},
		}},
	} {
		cols, err := columnTypes(db, test.query)
		if err != nil {
			t.Fatalf("%s\n%v", test.query, err)
		}
		if len(cols) != len(test.want) {
			t.Fatalf("%d columns, want %d", len(cols), len(test.want))
		}
		for i, c := range cols {
			got := description{name: c.Name(), typ: c.DatabaseTypeName()}
			if l, ok := c.Length(); ok {
				got.length = l
			}
			got.precision, got.scale, _ = c.DecimalSize()
			got.nullable, _ = c.Nullable()
			if got != test.want[i] {
				t.Errorf("got %+v, want %+v", got, test.want[i])
			}
		}
	}
}
