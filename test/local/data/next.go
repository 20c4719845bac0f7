package data

import (
	"context"
	"database/sql"
	"fmt"
)

// Change is something that happened in the shop between two runs of a pipeline.
type Change struct {
	// What happened, in words.
	What string
	// Statement is the T-SQL that made it so; empty for rows that were added in bulk.
	Statement string
	// Rows is how many rows it changed or added.
	Rows int64
}

// Next lets the time between a pipeline's first run and its second go by: new rows come, and old ones are corrected. It
// returns what happened. It can be done once. (The sales of the days to come are tables of their own: NewSales, LateSales.)
func Next(ctx context.Context, db *sql.DB, pipeline string) ([]Change, error) {
	day := LastDay.AddDate(0, 0, 1)
	switch pipeline {
	case "fraud":
		t := Transactions()
		id := int64(t.Count) + 1
		t.Count = TransactionsPerDay
		t.Rows = transactionRows(source(nextStream), day, 1, id)
		return next(ctx, db, t, "A day's new transactions", Change{
			What: "Chargebacks arrive: betting terminals had been tampered with since November",
			Statement: "UPDATE dbo.Transactions SET IsFraud = 1 " +
				"WHERE MerchantCategory = 7995 AND Channel = 'pos' AND OccurredAt >= '20251101' AND IsFraud = 0",
		})
	case "churn":
		t := Customers()
		first := t.Count + 1
		t.Count = 250
		t.Rows = customerRows(source(nextStream), first, t.Count, LastDay.AddDate(0, 0, 7))
		return next(ctx, db, t, "A week's new customers", Change{
			What: "Customers leave after failed payments",
			Statement: "UPDATE dbo.Customers SET Churned = 1 " +
				"WHERE PaymentFailures >= 2 AND AutoRenew = 0 AND Churned = 0",
		})
	}
	return nil, fmt.Errorf("there is no data of pipeline %q: it is fraud or churn; dbo.Sales gets its rows by Insert", pipeline)
}

func next(ctx context.Context, db *sql.DB, added Table, what string, correction Change) ([]Change, error) {
	if err := Load(ctx, db, added, nil); err != nil {
		return nil, err
	}
	result, err := db.ExecContext(ctx, correction.Statement)
	if err != nil {
		return nil, fmt.Errorf("correcting rows by %q: %w", correction.Statement, err)
	}
	if correction.Rows, err = result.RowsAffected(); err != nil {
		return nil, fmt.Errorf("correcting rows by %q: %w", correction.Statement, err)
	}
	if correction.Rows == 0 {
		return nil, fmt.Errorf("correcting rows by %q: no row fits", correction.Statement)
	}
	return []Change{{What: what, Rows: int64(added.Count)}, correction}, nil
}
