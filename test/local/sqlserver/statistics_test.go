package sqlserver

import (
	"fmt"
	"testing"
)

// histogram is what the steps of statistics say together.
type histogram struct {
	steps, first, last, rows, nulls int64
}

func TestAHistogramIsWhatWasThereWhenItWasTaken(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.Sales (Id int NOT NULL PRIMARY KEY, At datetime2(0) NULL, Shop int NOT NULL)",
		// 10,000 rows, shop 7 with half of them, 100 without a time.
		`WITH n AS (SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)
		INSERT INTO dbo.Sales SELECT i, CASE WHEN i % 100 = 0 THEN NULL ELSE DATEADD(minute, i, CAST('2024-01-01' AS datetime2(0))) END, CASE WHEN i % 2 = 0 THEN 7 ELSE i % 1000 END
		FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 1 AS i FROM n a CROSS JOIN n b CROSS JOIN n c CROSS JOIN n e) AS x`)
	read := func(name string) (h histogram) {
		t.Helper()
		err := db.QueryRow(`SELECT COUNT(h.step_number), ISNULL(MIN(TRY_CAST(h.range_high_key AS int)), 0), ISNULL(MAX(TRY_CAST(h.range_high_key AS int)), 0),
				CAST(ISNULL(SUM(h.equal_rows + h.range_rows), 0) AS bigint), CAST(ISNULL(SUM(CASE WHEN h.range_high_key IS NULL THEN h.equal_rows END), 0) AS bigint)
			FROM sys.stats AS s OUTER APPLY sys.dm_db_stats_histogram(s.object_id, s.stats_id) AS h
			WHERE s.object_id = OBJECT_ID(@p1) AND s.name LIKE @p2`, "dbo.Sales", name).Scan(&h.steps, &h.first, &h.last, &h.rows, &h.nulls)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if h := read("PK%"); h != (histogram{}) {
		t.Errorf("the primary key's histogram of a table that was empty has %+v", h)
	}
	run(t, db, "UPDATE STATISTICS dbo.Sales WITH FULLSCAN", "CREATE INDEX ByTime ON dbo.Sales (At)", "CREATE STATISTICS ByShop ON dbo.Sales (Shop) WITH SAMPLE 100 PERCENT")

	h := read("PK%")
	if h.steps < 100 || h.steps > 200 || h.first != 1 || h.last != 10000 || h.rows != 10000 || h.nulls != 0 {
		t.Errorf("the primary key's histogram is %+v, want 100 to 200 steps from 1 to 10000 over 10000 rows", h)
	}
	if h := read("ByTime"); h.steps > 200 || h.rows != 10000 || h.nulls != 100 {
		t.Errorf("the histogram of times is %+v, want at most 200 steps over 10000 rows, 100 of them NULL", h)
	}
	if h := read("ByShop"); h.steps > 200 || h.first != 1 || h.last != 999 || h.rows != 10000 {
		t.Errorf("the histogram of shops is %+v, want at most 200 steps from 1 to 999 over 10000 rows", h)
	}
	skewed, err := lastResult(db, `SELECT h.range_high_key, h.equal_rows, h.range_rows, h.distinct_range_rows, h.average_range_rows FROM sys.stats s
		CROSS APPLY sys.dm_db_stats_histogram(s.object_id, s.stats_id) h WHERE s.name = 'ByShop' AND TRY_CAST(h.range_high_key AS int) = 7`)
	if want := "7 5010 20 2 10"; err != nil || skewed != want {
		t.Errorf("the step of the shop with half of the rows is %s (%v), want %s", skewed, err, want)
	}

	// It doesn't follow the table, until it is told to.
	run(t, db, "INSERT INTO dbo.Sales VALUES (20000, NULL, 1)", "DELETE FROM dbo.Sales WHERE Id = 1")
	if now := read("PK%"); now != h {
		t.Errorf("the histogram followed the table: %+v was %+v", now, h)
	}
	run(t, db, "UPDATE STATISTICS dbo.Sales ByShop")
	if now := read("PK%"); now != h {
		t.Errorf("the histogram followed an update of others: %+v was %+v", now, h)
	}
	run(t, db, "UPDATE STATISTICS dbo.Sales")
	if now := read("PK%"); now.last != 20000 || now.first != 2 {
		t.Errorf("after an update the histogram is %+v, want it from 2 to 20000", now)
	}
}

func TestAHistogramHoldsKeysOfEveryType(t *testing.T) {
	_, db := startShop(t)
	for i, k := range keyCases {
		t.Run(k.declared, func(t *testing.T) {
			table := fmt.Sprintf("dbo.H%d", i)
			run(t, db, "CREATE TABLE "+table+" ([k] "+k.declared+" NULL)")
			for _, v := range k.inOrder {
				if _, err := db.Exec("INSERT INTO "+table+" VALUES ("+k.bound("@p1")+")", v); err != nil {
					t.Fatal(err)
				}
			}
			run(t, db, "CREATE INDEX i ON "+table+" (k)")
			got := queryTexts(t, db, "SELECT "+k.text("h.range_high_key")+" FROM sys.dm_db_stats_histogram(OBJECT_ID(@p1), 2) AS h ORDER BY h.step_number", table)
			if fmt.Sprint(got) != fmt.Sprint(k.inOrder) {
				t.Errorf("got %q, want %q", got, k.inOrder)
			}
			// As a bound that the server itself takes from the histogram.
			n := queryTexts(t, db, "SELECT COUNT(*) FROM "+table+" WHERE k >= (SELECT CAST(h.range_high_key AS "+k.declared+") FROM sys.dm_db_stats_histogram(OBJECT_ID(@p1), 2) AS h WHERE h.step_number = 2)", table)
			if want := fmt.Sprint(len(k.inOrder) - 1); n[0] != want {
				t.Errorf("%s rows from the second step on, want %s", n[0], want)
			}
		})
	}
}

func TestStatisticsAreInTheCatalog(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.T (A int NOT NULL, B nvarchar(10) NOT NULL, C xml NULL, CONSTRAINT PK_T PRIMARY KEY (A, B))", "CREATE STATISTICS S ON dbo.T (B, A)")
	for _, test := range []struct{ name, query, want string }{
		{"with their columns", `SELECT s.name, s.user_created, c.name, sc.stats_column_id FROM sys.stats s JOIN sys.stats_columns sc ON sc.object_id = s.object_id AND sc.stats_id = s.stats_id
			JOIN sys.columns c ON c.object_id = sc.object_id AND c.column_id = sc.column_id WHERE s.object_id = OBJECT_ID('dbo.T') ORDER BY s.name, sc.stats_column_id`,
			"PK_T 0 A 1 | PK_T 0 B 2 | S 1 B 1 | S 1 A 2"},
		{"those of an index by its number", "SELECT i.index_id FROM sys.indexes i JOIN sys.stats s ON s.object_id = i.object_id AND s.stats_id = i.index_id WHERE i.name = 'PK_T'", "1"},
		{"with their date, once taken", "SELECT STATS_DATE(s.object_id, s.stats_id) FROM sys.stats s WHERE s.name = 'PK_T'", "NULL"},
		{"a name that is taken", "CREATE STATISTICS s ON dbo.T (A)", "1927"},
		{"a column that isn't there", "CREATE STATISTICS x ON dbo.T (Z)", "1911"},
		{"a column that has no order", "CREATE STATISTICS x ON dbo.T (C)", "305"},
		{"a table that isn't there", "UPDATE STATISTICS dbo.U", "1088"},
		{"statistics that aren't there", "UPDATE STATISTICS dbo.T x", "2767"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(db, test.query); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
