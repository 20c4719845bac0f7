package data

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// digest is a hash of all rows of a table.
func digest(t Table) string {
	h := sha256.New()
	for row := range t.Rows {
		_, _ = fmt.Fprintln(h, row...) // a hash takes everything
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestTwoRunsSeeTheSameRows(t *testing.T) {
	for _, table := range Tables() {
		t.Run(table.Name, func(t *testing.T) {
			if a, b := digest(table), digest(table); a != b {
				t.Errorf("the rows differ between two passes: %s, %s", a, b)
			}
		})
	}
}

func TestTablesHaveTheRowsTheyPromise(t *testing.T) {
	tests := []struct {
		table Table
		// label is the index of the label, and low and high bound its mean: something to learn, and rare where it is rare.
		label     int
		low, high float64
	}{
		{Transactions(), 16, .015, .03},
		{Customers(), 14, .10, .20},
		{Sales(), 3, 8, 20},
	}
	for _, test := range tests {
		t.Run(test.table.Name, func(t *testing.T) {
			count, sum, last := 0, 0.0, ""
			for row := range test.table.Rows {
				if len(row) != len(test.table.Columns) {
					t.Fatalf("row %d has %d values for %d columns", count, len(row), len(test.table.Columns))
				}
				key := sortableKey(test.table.Name, row)
				if key <= last {
					t.Fatalf("row %d with key %s comes after %s", count, key, last)
				}
				last = key
				switch v := row[test.label].(type) {
				case bool:
					if v {
						sum++
					}
				case int64:
					sum += float64(v)
				}
				count++
			}
			if count != test.table.Count {
				t.Errorf("%d rows, Count says %d", count, test.table.Count)
			}
			if mean := sum / float64(count); mean < test.low || mean > test.high {
				t.Errorf("the mean of %s is %.3f, outside %.3f to %.3f", test.table.Columns[test.label], mean, test.low, test.high)
			}
		})
	}
}

func sortableKey(table string, row []any) string {
	if table == "dbo.Sales" {
		return fmt.Sprintf("%s %09d %09d", row[0].(time.Time).Format(time.DateOnly), row[1], row[2])
	}
	return fmt.Sprintf("%012d", row[0])
}

func TestFraudHasTwoHundredThousandRowsThatAreOldEnough(t *testing.T) {
	// What queries/fraud.sql leaves in the night after LastDay.
	until := LastDay.AddDate(0, 0, 1).Add(2*time.Hour).AddDate(0, 0, -14)
	old := 0
	for row := range Transactions().Rows {
		if row[3].(time.Time).Before(until) {
			old++
		}
	}
	if old < 200_000 {
		t.Errorf("%d transactions are older than two weeks, fewer than 200,000", old)
	}
}

func TestEverySaleIsInOneOfTheTablesOfSales(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range []Table{Sales(), LateSales(), NewSales(1, 1, Shops), NewSales(2, 1, Shops/2), NewSales(2, Shops/2+1, Shops)} {
		count := 0
		for row := range table.Rows {
			key := sortableKey(table.Name, row)
			if seen[key] {
				t.Fatalf("%s comes twice", key)
			}
			seen[key] = true
			count++
		}
		if count != table.Count {
			t.Errorf("%d rows, Count says %d", count, table.Count)
		}
	}
	if want := Shops * Items * (SaleDays + 2); len(seen) != want {
		t.Errorf("%d sales, want %d: one of each item in each shop on each day", len(seen), want)
	}
}
