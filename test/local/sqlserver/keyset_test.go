package sqlserver

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// keyCase is a type of a key: its values in the server's order, and the style in which a bound travels as text.
type keyCase struct {
	declared string
	style    int // 0: none
	inOrder  []string
}

var keyCases = []keyCase{
	{"tinyint", 0, []string{"0", "1", "127", "128", "255"}},
	{"smallint", 0, []string{"-32768", "-1", "0", "32767"}},
	{"int", 0, []string{"-2147483648", "-1", "0", "2147483647"}},
	{"bigint", 0, []string{"-9223372036854775808", "-1", "0", "9223372036854775807"}},
	{"decimal(5,2)", 0, []string{"-999.99", "-0.01", "0.00", "999.99"}},
	{"decimal(38,0)", 0, []string{"-99999999999999999999999999999999999999", "-1", "0", "1", "99999999999999999999999999999999999999"}},
	{"decimal(38,38)", 0, []string{"-0.99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001", "0.99999999999999999999999999999999999999"}},
	{"money", 2, []string{"-922337203685477.5808", "-0.0001", "0.0000", "922337203685477.5807"}},
	{"smallmoney", 2, []string{"-214748.3648", "0.0000", "214748.3647"}},
	{"float", 3, []string{"-1.7976931348623157e+308", "-4.9406564584124654e-324", "0.0000000000000000e+000", "1.0000000000000001e-001", "1.7976931348623157e+308"}},
	{"real", 3, []string{"-3.40282347e+038", "1.00000001e-001", "3.40282347e+038"}},
	{"date", 23, []string{"0001-01-01", "1969-12-31", "9999-12-31"}},
	{"time(7)", 126, []string{"00:00:00.0000001", "12:34:56.1234567", "23:59:59.9999999"}},
	{"smalldatetime", 126, []string{"1900-01-01T00:00:00", "2079-06-06T23:59:00"}},
	{"datetime", 126, []string{"1753-01-01T00:00:00", "2024-02-29T23:59:59.003", "2024-02-29T23:59:59.007", "9999-12-31T23:59:59.997"}},
	{"datetime2(0)", 126, []string{"0001-01-01T00:00:00", "9999-12-31T23:59:59"}},
	{"datetime2(7)", 126, []string{"0001-01-01T00:00:00", "0001-01-01T00:00:00.0000001", "9999-12-31T23:59:59.9999999"}},
	{"datetimeoffset(7)", 121, []string{"0001-01-02 00:00:00.0000000 +14:00", "2024-01-01 01:00:00.0000000 +05:30", "2024-01-01 00:00:00.0000000 -00:30", "9999-12-30 23:59:59.9999999 -14:00"}},
	{"uniqueidentifier", 0, []string{
		// The last six bytes count first, then the two before them, then the groups from the right, each from its last byte.
		"FFFFFFFF-FFFF-FFFF-FFFF-000000000000", "FFFFFFFF-FFFF-FFFF-0000-000000000001", "00000000-0000-0100-0000-000000000100",
		"FFFFFFFF-FFFF-0001-0000-000000000100", "01000000-0000-0000-0001-000000000100", "02000000-0000-0000-0001-000000000100",
		"00000001-0000-0000-0001-000000000100", "00000000-0000-0000-0000-010000000000",
	}},
	{"binary(4)", 2, []string{"00000000", "00000001", "7FFFFFFF", "80000000", "FFFFFFFF"}},
	{"varbinary(16)", 2, []string{"", "01", "0101", "FF"}},
	{"char(4)", 0, []string{"    ", "1   ", "a   ", "B   "}},
	{"varchar(20)", 0, []string{"", "1", "a", "B", "é"}},
	{"nvarchar(20)", 0, []string{"", "1", "a", "B", "日本"}},
}

// text writes a key as an export writes its bounds, and bound reads one back.
func (k keyCase) text(key string) string {
	if k.style == 0 {
		return "CONVERT(nvarchar(100), " + key + ")"
	}
	return fmt.Sprintf("CONVERT(nvarchar(100), %s, %d)", key, k.style)
}

func (k keyCase) bound(parameter string) string {
	if k.style == 0 || strings.HasPrefix(k.declared, "float") || k.declared == "real" || strings.HasSuffix(k.declared, "money") {
		return "CAST(" + parameter + " AS " + k.declared + ")"
	}
	return fmt.Sprintf("CONVERT(%s, %s, %d)", k.declared, parameter, k.style)
}

func TestKeysOfEveryTypeArePagedExactlyOnceInTheServersOrder(t *testing.T) {
	_, db := startShop(t)
	for i, k := range keyCases {
		t.Run(k.declared, func(t *testing.T) {
			table := fmt.Sprintf("dbo.K%d", i)
			run(t, db, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, [k] "+k.declared+" NULL)", "INSERT INTO "+table+" (Id) VALUES (-1)")
			// Each twice, so that a page ends among ties; the greatest first, so that the order is the server's.
			for j, v := range slices.Backward(k.inOrder) {
				for twin := range 2 {
					if _, err := db.Exec("INSERT INTO "+table+" (Id, k) VALUES (@p1, "+k.bound("@p2")+")", 2*j+twin, v); err != nil {
						t.Fatalf("inserting %s: %v", v, err)
					}
				}
			}
			run(t, db, "CREATE INDEX i ON "+table+" (k)")

			var want []string
			for _, v := range k.inOrder {
				want = append(want, v, v)
			}
			source := "(SELECT * FROM " + table + ") AS q"
			for _, page := range []struct {
				name, from string
				top        string
				take       int
			}{
				{"with ties, of a table", table + " AS q", "TOP (@n) WITH TIES", 1},
				{"with ties, of a query", source, "TOP (@n) WITH TIES", 3},
				{"all at once", source, "TOP (@n)", 1000},
			} {
				var got []string
				last := ""
				for first := true; ; first = false {
					where := "q.[k] IS NOT NULL"
					if !first {
						where = "q.[k] > " + k.bound("@last")
					}
					page := queryTexts(t, db, "SELECT "+page.top+" "+k.text("q.[k]")+" FROM "+page.from+" WHERE "+where+" ORDER BY q.[k] OPTION (MAXDOP 1, RECOMPILE)",
						sql.Named("n", page.take), sql.Named("last", last))
					if len(page) == 0 {
						break
					}
					got = append(got, page...)
					last = page[len(page)-1]
				}
				if strings.Join(got, "|") != strings.Join(want, "|") {
					t.Errorf("%s:\ngot  %q\nwant %q", page.name, got, want)
				}
			}

			// Ranges that are open at the ends, half open between, and NULL: together every row.
			middle := k.inOrder[len(k.inOrder)/2]
			var n [4]int
			for j, where := range []string{"q.k < " + k.bound("@b"), "q.k >= " + k.bound("@b") + " AND q.k < " + k.bound("@c"), "q.k >= " + k.bound("@c"), "q.k IS NULL"} {
				row := db.QueryRow("SELECT COUNT_BIG(*) FROM "+source+" WHERE "+where, sql.Named("b", middle), sql.Named("c", k.inOrder[len(k.inOrder)-1]))
				if err := row.Scan(&n[j]); err != nil {
					t.Fatalf("%s: %v", where, err)
				}
			}
			if rest := 2 * (len(k.inOrder) - 1 - len(k.inOrder)/2); n != [4]int{2 * (len(k.inOrder) / 2), rest, 2, 1} {
				t.Errorf("ranges of %v rows, want %d below %s, %d from there, 2 at the end, 1 NULL", n, 2*(len(k.inOrder)/2), middle, rest)
			}
			ends := queryTexts(t, db, "SELECT "+k.text("MIN(k)")+" + N'|' + "+k.text("MAX(k)")+" FROM "+table)
			if want := k.inOrder[0] + "|" + k.inOrder[len(k.inOrder)-1]; ends[0] != want {
				t.Errorf("MIN and MAX are %s, want %s", ends[0], want)
			}
		})
	}
}

// queryTexts gives the first column of a query's rows.
func queryTexts(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	return out
}

func TestRowversionsAreComparedAsBytesAndNumbers(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.V (Id int NOT NULL PRIMARY KEY, v rowversion)", "INSERT INTO dbo.V (Id) VALUES (1), (2), (3)")
	var second []byte
	if err := db.QueryRow("SELECT v FROM dbo.V WHERE Id = 2").Scan(&second); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"v >= @p1", "v >= CAST(@p1 AS binary(8))", "CAST(v AS bigint) >= CAST(@p1 AS bigint)", "v >= CONVERT(binary(8), CONVERT(nvarchar(16), CAST(@p1 AS binary(8)), 2), 2)"} {
		if got := queryTexts(t, db, "SELECT Id FROM dbo.V WHERE "+where+" AND v <= @@DBTS ORDER BY v", second); strings.Join(got, " ") != "2 3" {
			t.Errorf("%s gives rows %v", where, got)
		}
	}
}

func TestStatementsOfATransactionComeInBatchesOfTheirOwn(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)", "INSERT INTO dbo.T VALUES (1)")
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	count := func() (n int) {
		t.Helper()
		if err := conn.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM dbo.T WHERE Id >= @p1", 0).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	batch := func(text string) {
		t.Helper()
		if _, err := conn.ExecContext(context.Background(), text); err != nil {
			t.Fatal(err)
		}
	}
	batch("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION")
	if n := count(); n != 1 {
		t.Fatalf("%d rows", n)
	}
	run(t, db, "INSERT INTO dbo.T VALUES (2)")
	if n := count(); n != 1 {
		t.Errorf("the snapshot sees %d rows, want the 1 that was there when it began", n)
	}
	batch("COMMIT")
	if n := count(); n != 2 {
		t.Errorf("%d rows after the transaction, want 2", n)
	}
}
