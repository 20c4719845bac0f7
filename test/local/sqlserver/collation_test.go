package sqlserver

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestTextsAreStoredInTheCodePageOfTheirCollation(t *testing.T) {
	_, db := startShop(t)
	for i, test := range []struct {
		name, declared, collation string
		value                     string // N'…'
		bytes                     string
		read                      string // by a conversion to nvarchar
	}{
		{"Latin 1", "varchar(20)", "Latin1_General_CI_AS", "Žluť €", "8E6C753F2080", "Žlu? €"},
		{"Cyrillic", "varchar(20)", "Cyrillic_General_CI_AS", "Ёж 日", "A8E6203F", "Ёж ?"},
		{"Japanese, whose characters have one byte or two", "varchar(20)", "Japanese_CI_AS", "aｱ日本é", "61B193FA967B3F", "aｱ日本?"},
		{"Chinese", "varchar(20)", "Chinese_PRC_CI_AS", "中文", "D6D0CEC4", "中文"},
		{"Korean", "varchar(20)", "Korean_Wansung_CI_AS", "한국", "C7D1B1B9", "한국"},
		{"Greek", "varchar(20)", "Greek_CI_AS", "Ωμ", "D9EC", "Ωμ"},
		{"Polish", "varchar(20)", "Polish_CI_AS", "żółć", "BFF3B3E6", "żółć"},
		{"Turkish", "varchar(20)", "Turkish_CI_AS", "İğ", "DDF0", "İğ"},
		{"UTF-8", "varchar(20)", "Latin1_General_100_CI_AS_SC_UTF8", "é日😀", "C3A9E697A5F09F9880", "é日😀"},
		{"UTF-8 of a lone surrogate", "varchar(20)", "Latin1_General_100_BIN2_UTF8", "a\xed\xa0\xbd", "61EFBFBD", "a\uFFFD"},
		{"a fixed length, in bytes", "char(6)", "Japanese_CI_AS", "日ｱ", "93FAB1202020", "日ｱ   "},
		{"a (max) type", "varchar(max)", "Cyrillic_General_CI_AS", "Привет", "CFF0E8E2E5F2", "Привет"},
		{"text", "text", "Cyrillic_General_CI_AS", "Привет", "CFF0E8E2E5F2", "Привет"},
		{"nvarchar, whatever its collation", "nvarchar(20)", "Japanese_CI_AS", "é日😀", "E900E5653DD800DE", "é日😀"},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := fmt.Sprintf("dbo.C%d", i)
			run(t, db, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, V "+test.declared+" COLLATE "+test.collation+" NULL)")
			units := hex.EncodeToString(appendUTF16(nil, []byte(test.value)))
			run(t, db, "INSERT INTO "+table+" VALUES (1, CAST(0x"+units+" AS nvarchar(20))), (2, NULL)")
			column := "V"
			if test.declared == "text" {
				column = "CAST(V AS varchar(max))"
			}
			var bytes, read, collation string
			var length, page int
			if err := db.QueryRow("SELECT CONVERT(nvarchar(100), CONVERT(varbinary(max), "+column+"), 2), CONVERT(nvarchar(max), V), DATALENGTH(V) FROM "+table+" WHERE Id = 1").Scan(&bytes, &read, &length); err != nil {
				t.Fatal(err)
			}
			if bytes != test.bytes || read != test.read || length != len(test.bytes)/2 {
				t.Errorf("got %s of %d bytes, read as %q; want %s, read as %q", bytes, length, read, test.bytes, test.read)
			}
			if err := db.QueryRow("SELECT collation_name, CAST(COLLATIONPROPERTY(collation_name, 'CodePage') AS int) FROM sys.columns WHERE object_id = OBJECT_ID(@p1) AND name = N'V'", table).Scan(&collation, &page); err == nil {
				t.Error("a property of what depends on rows was told")
			}
			if err := db.QueryRow("SELECT collation_name FROM sys.columns WHERE object_id = OBJECT_ID(@p1) AND name = N'V'", table).Scan(&collation); err != nil || collation != test.collation {
				t.Errorf("the catalog says %s (%v), want %s", collation, err, test.collation)
			}
			// As the client decodes what is on the wire. It knows no UTF-8 in char and varchar.
			var wire sql.NullString
			if err := db.QueryRow("SELECT V FROM " + table + " WHERE Id = 1").Scan(&wire); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(test.collation, "UTF8") && wire.String != test.read {
				t.Errorf("the client read %q, want %q", wire.String, test.read)
			}
		})
	}
	for statement, want := range map[string]string{
		"CREATE TABLE dbo.Z (V varchar(10) COLLATE Klingon_CI_AS)":                "448",
		"INSERT INTO dbo.C10 VALUES (3, N'日本日本')":                                 "2628",
		"SELECT a.V + b.V FROM dbo.C1 a JOIN dbo.C2 b ON a.Id = b.Id":             "468",
		"SELECT a.Id FROM dbo.C1 a JOIN dbo.C2 b ON a.V = b.V":                    "468",
		"SELECT COUNT(*) FROM dbo.C1 WHERE V = N'ёж ?' AND V + N'x' LIKE N'%x'":   "1",
		"SELECT REPLACE(V, N'ж', N'зж'), CONCAT(V, '!') FROM dbo.C1 WHERE Id = 1": "Ёзж ? Ёж ?!",
		"SELECT COLLATIONPROPERTY('Japanese_CI_AS', 'CodePage'), COLLATIONPROPERTY('Latin1_General_100_BIN2_UTF8', 'CodePage'), COLLATIONPROPERTY('Klingon', 'CodePage')": "932 65001 NULL",
	} {
		if got := outcome(db, statement); got != want {
			t.Errorf("%s: %s, want %s", statement, got, want)
		}
	}
}

func TestACollationOrdersItsKeys(t *testing.T) {
	_, db := startShop(t)
	for i, test := range []struct{ name, collation, want string }{
		{"without case", "Latin1_General_CI_AS", "a/A b/B c/C"},
		{"with case", "Latin1_General_CS_AS", "a A b B c C"},
		{"by code points", "Latin1_General_BIN2", "A B C a b c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := fmt.Sprintf("dbo.O%d", i)
			run(t, db, "CREATE TABLE "+table+" (V nvarchar(5) COLLATE "+test.collation+" NOT NULL)", "INSERT INTO "+table+" VALUES (N'c'), (N'B'), (N'a'), (N'C'), (N'A'), (N'b')", "CREATE INDEX i ON "+table+" (V)")
			// Each key by the way of the keys above the last.
			var got []string
			for last, args := "V = V", []any(nil); ; last = "V > @p1" {
				page := queryTexts(t, db, "SELECT TOP (1) WITH TIES V FROM "+table+" WHERE "+last+" ORDER BY V", args...)
				if len(page) == 0 {
					break
				}
				args = []any{page[0]}
				if len(page) == 2 && page[0] > page[1] {
					page[0], page[1] = page[1], page[0]
				}
				if len(page) == 2 {
					page = []string{page[1] + "/" + page[0]}
				}
				got = append(got, page...)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %s, want %s", strings.Join(got, " "), test.want)
			}
		})
	}
}

func TestLoneSurrogatesAreKept(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.S (Id int NOT NULL PRIMARY KEY, A nvarchar(10) NULL, B nchar(4) NULL, C nvarchar(max) NULL, D ntext NULL)")
	for i, units := range []string{"3DD8", "00DE", "610000DE3DD86200", "3DD83DD800DE"} {
		run(t, db, fmt.Sprintf("INSERT INTO dbo.S SELECT %d, x.v, x.v, x.v, x.v FROM (SELECT CAST(0x%s AS nvarchar(10)) AS v) AS x", i, units))
		for column, want := range map[string]string{"A": units, "C": units, "CAST(D AS nvarchar(max))": units, "RTRIM(B)": units} {
			var got string
			if err := db.QueryRow("SELECT CONVERT(nvarchar(100), CONVERT(varbinary(max), "+column+"), 2) FROM dbo.S WHERE Id = @p1", i).Scan(&got); err != nil || got != want {
				t.Errorf("%s of %s is %s (%v), want %s", column, units, got, err, want)
			}
		}
	}
}

func TestValuesAreCutToTheSessionsTextSize(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.L (A text NULL, B ntext NULL, C image NULL, D varchar(max) NULL, E nvarchar(max) NULL, F varbinary(max) NULL, G varchar(8000) NULL)",
		"INSERT INTO dbo.L SELECT v, v, CAST(v AS varbinary(max)), v, v, CAST(v AS varbinary(max)), LEFT(v, 8000) FROM (SELECT REPLICATE(CAST('x' AS varchar(max)), 10000) AS v) AS x")
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, test := range []struct{ set, bytes string }{
		{"SET TEXTSIZE 0", "4096 4096 4096 4096 4096 4096 8000"},
		{"SET TEXTSIZE 101", "101 100 101 101 100 101 8000"},
		{"SET TEXTSIZE -1", "10000 20000 10000 10000 20000 10000 8000"},
	} {
		var a, b, c, d, e, f, g []byte
		if err := conn.QueryRowContext(context.Background(), test.set+"; SELECT * FROM dbo.L").Scan(&a, &b, &c, &d, &e, &f, &g); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(len(a), 2*len(b), len(c), len(d), 2*len(e), len(f), len(g)); got != test.bytes {
			t.Errorf("%s: %s bytes, want %s", test.set, got, test.bytes)
		}
	}
}

func TestCollateChoosesTheCollationOfAnExpression(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, é varchar(20) COLLATE Cyrillic_General_CI_AS NULL, n nvarchar(10) COLLATE Latin1_General_CI_AS NULL, b nvarchar(10) COLLATE Latin1_General_BIN2 NULL)",
		"INSERT INTO dbo.T VALUES (1, N'Ж', N'a', N'a'), (2, N'ж', N'B', N'B'), (3, N'щ', N'c', N'C')")
	for _, test := range []struct{ name, query, want string }{
		{"in a condition", "SELECT Id FROM dbo.T WHERE n COLLATE Latin1_General_BIN2 > N'Z' ORDER BY Id", "1 | 3"},
		{"in an order", "SELECT Id FROM dbo.T ORDER BY n COLLATE Latin1_General_BIN2", "2 | 1 | 3"},
		{"in a group", "SELECT COUNT(*) FROM dbo.T GROUP BY é COLLATE Cyrillic_General_BIN2", "1 | 1 | 1"},
		{"behind a name with accents, and not within a text", "SELECT Id /* é */ FROM dbo.T WHERE é\tCOLLATE  Cyrillic_General_BIN2 = N'ж' AND N'é COLLATE x' LIKE N'é COLLATE _'", "2"},
		{"over a column's own", "SELECT Id FROM dbo.T WHERE n = b COLLATE Latin1_General_CI_AS ORDER BY Id", "1 | 2 | 3"},
		{"the database's own", "SELECT Id FROM dbo.T WHERE b = N'c' COLLATE DATABASE_DEFAULT", "3"},
		{"tighter than other operators", "SELECT Id FROM dbo.T WHERE b + N'x' COLLATE Latin1_General_CI_AS = N'cX'", "3"},
		{"of values, in the code page that it means", "DECLARE @a nvarchar(9) = N'щ', @b nvarchar(9) = N'Ж', @c nvarchar(9) = N'ж'; SELECT DISTINCT x.v FROM (VALUES (CAST((@a) COLLATE Cyrillic_General_CI_AS AS varchar(5))), " +
			"(CAST(@b COLLATE Cyrillic_General_CI_AS AS varchar(5))), (CAST((@c) COLLATE Cyrillic_General_CI_AS AS varchar(5)) COLLATE Cyrillic_General_CI_AS)) AS x(v) ORDER BY x.v", "Ж | щ"},
		{"no two at once", "SELECT Id FROM dbo.T WHERE n COLLATE Latin1_General_BIN2 = b COLLATE Latin1_General_CI_AS", "468"},
		{"of nothing but texts", "SELECT Id COLLATE Latin1_General_BIN2 FROM dbo.T", "447"},
		{"of those that exist", "SELECT n COLLATE Klingon_CI_AS FROM dbo.T", "448"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(db, test.query); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
