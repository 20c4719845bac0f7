package sqlserver

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// numbers makes dbo.N with 0 … 1999, whose cross join with itself has four million rows.
func numbers(t testing.TB, db *sql.DB) {
	run(t, db, "CREATE TABLE dbo.N (Id int NOT NULL PRIMARY KEY, Name varchar(20) NULL, Amount decimal(12,2) NOT NULL, At datetime2(3) NOT NULL)",
		`WITH d AS (SELECT v FROM (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS x(v))
		INSERT INTO dbo.N SELECT n, CASE WHEN n % 10 = 0 THEN NULL ELSE CONCAT('name ', n) END, n * 1.01, DATEADD(minute, n, '2026-01-01')
		FROM (SELECT a.v + 10 * b.v + 100 * c.v + 1000 * e.v AS n FROM d a CROSS JOIN d b CROSS JOIN d c CROSS JOIN (VALUES (0), (1)) AS e(v)) AS q`)
}

// drain reads a query to its end without keeping anything.
func drain(t testing.TB, db *sql.DB, query string) int {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

func residentMiB(t testing.TB) float64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc to read the process's memory from")
	}
	var size, resident int
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return float64(resident*os.Getpagesize()) / (1 << 20)
}

// TestMemoryDoesNotGrowWithTheRowsOfAResult reads a hundred times as many rows; client and server are one process here.
func TestMemoryDoesNotGrowWithTheRowsOfAResult(t *testing.T) {
	_, db := startShop(t)
	numbers(t, db)
	if n := drain(t, db, "SELECT a.Id, b.Name FROM dbo.N a CROSS JOIN (SELECT TOP (10) * FROM dbo.N) b"); n != 20_000 {
		t.Fatalf("%d rows, want 20,000", n)
	}
	runtime.GC()
	before := residentMiB(t)
	rows := 2_000_000
	if n := drain(t, db, "SELECT a.Id, b.Name FROM dbo.N a CROSS JOIN (SELECT TOP (1000) * FROM dbo.N) b"); n != rows {
		t.Fatalf("%d rows, want %d", n, rows)
	}
	if after := residentMiB(t); after > before+64 {
		t.Errorf("%.0f MiB after %d rows, %.0f before: they are kept somewhere", after, rows, before)
	}
}

// TestAClientThatDoesNotReadMakesTheServerWait: were the rows gathered, a cross join of 16 billion would end in no memory.
func TestAClientThatDoesNotReadMakesTheServerWait(t *testing.T) {
	_, db := startShop(t)
	numbers(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := db.QueryContext(ctx, "SELECT a.Id FROM dbo.N a CROSS JOIN dbo.N b CROSS JOIN dbo.N c")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	// Others are served meanwhile.
	if n := drain(t, db, "SELECT Id FROM dbo.N"); n != 2000 {
		t.Errorf("%d rows, want 2000", n)
	}
	cancel()
	for rows.Next() {
	}
	if err := rows.Err(); err == nil {
		t.Error("the query ended without an error, want it cancelled")
	}
}

func BenchmarkSelect(b *testing.B) {
	_, db := startShop(b)
	numbers(b, db)
	for _, q := range []struct{ name, columns string }{
		{"narrow", "a.Id"},
		{"four columns", "a.Id, b.Name, b.Amount, b.At"},
		{"arithmetic", "a.Id + b.Id AS s, b.Amount * 2 AS d, CAST(b.Amount AS float) / 3 AS f"},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				drain(b, db, "SELECT "+q.columns+" FROM dbo.N a CROSS JOIN (SELECT TOP (250) * FROM dbo.N) b")
			}
			b.ReportMetric(float64(b.N)*500_000/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
