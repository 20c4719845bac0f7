package data

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"

	mssql "github.com/microsoft/go-mssqldb"
)

//go:embed schema.sql
var schema string

// Create creates the three tables in an empty database. A table that is there already is an error: the rows of a
// database that somebody uses are not ours to replace.
func Create(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("creating the tables: %w", err)
	}
	return nil
}

// Index creates what the export reads dbo.Sales by. It comes after the rows: the statistics that divide the table into ranges are
// taken here.
func Index(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, "CREATE UNIQUE INDEX IX_Sales_RowVer ON dbo.Sales (RowVer)"); err != nil {
		return fmt.Errorf("indexing dbo.Sales: %w", err)
	}
	return nil
}

// batchRows is how many rows one bulk request holds. The server keeps a batch until it is complete, so this bounds what it
// holds in memory, and a progress report comes after each.
const batchRows = 20_000

// Load writes the rows of a table that nobody else uses through the protocol's bulk load, in batches that are a transaction each. The progress
// function, if there is one, is called with the number of rows written so far.
func Load(ctx context.Context, db *sql.DB, t Table, progress func(rows int)) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("loading %s: %w", t.Name, err)
	}
	defer conn.Close()
	return load(ctx, conn, t, true, progress)
}

// Insert writes the rows of a table by a connection, in its transaction if it has one open. As with inserts of a program, others can insert
// meanwhile: only the rows are locked.
func Insert(ctx context.Context, conn *sql.Conn, t Table) error {
	return load(ctx, conn, t, false, nil)
}

func load(ctx context.Context, conn *sql.Conn, t Table, lockTable bool, progress func(rows int)) error {
	err := conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*mssql.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T, bulk load needs go-mssqldb", driverConn)
		}
		var bulk *mssql.Bulk
		written := 0
		flush := func() error {
			if bulk == nil {
				return nil
			}
			n, err := bulk.Done()
			if err != nil {
				return err
			}
			written += int(n)
			bulk = nil
			if progress != nil {
				progress(written)
			}
			return nil
		}
		pending := 0
		for row := range t.Rows {
			if bulk == nil {
				bulk = c.CreateBulkContext(ctx, t.Name, t.Columns)
				bulk.Options = mssql.BulkOptions{Tablock: lockTable}
				pending = 0
			}
			if err := bulk.AddRow(row); err != nil {
				return err
			}
			if pending++; pending == batchRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if written != t.Count {
			return fmt.Errorf("the server wrote %d rows of %d", written, t.Count)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("loading %s: %w", t.Name, err)
	}
	return nil
}
