package sqlserver

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sagemaker-datapipeline/test/local/data"
)

// TestTheThreePipelinesQueriesRun loads the shop's tables as the local environment does, and runs the pipelines' own queries.
func TestTheThreePipelinesQueriesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("loads 300,000 rows")
	}
	_, db := startShop(t)
	ctx := context.Background()
	if err := data.Create(ctx, db); err != nil {
		t.Fatal(err)
	}
	for _, table := range data.Tables() {
		began := time.Now()
		if err := data.Load(ctx, db, table, nil); err != nil {
			t.Fatalf("loading %s: %v", table.Name, err)
		}
		t.Logf("%s loaded in %v", table.Name, time.Since(began))
	}
	for _, test := range []struct {
		name string
		min  int
	}{{"fraud", 150_000}, {"churn", 10_000}, {"demand", 50_000}} {
		t.Run(test.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", "..", "queries", test.name+".sql"))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			rows, err := db.QueryContext(ctx, "DECLARE @runTime datetime2(0) = @p1, @windowStart datetime2(7) = '0001-01-01', @windowEnd datetime2(7) = '9999-12-31'; "+string(text), time.Now().UTC())
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			cols, err := rows.Columns()
			if err != nil {
				t.Fatal(err)
			}
			values := make([]sql.RawBytes, len(cols))
			into := make([]any, len(cols))
			for i := range values {
				into[i] = &values[i]
			}
			n := 0
			for rows.Next() {
				n++
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if n < test.min {
				t.Errorf("%d rows, want at least %d", n, test.min)
			}
			t.Logf("%d rows in %v", n, time.Since(began))
		})
	}
}
