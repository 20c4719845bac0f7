package sqlserver

import (
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
)

// BenchmarkBulkLoad loads 225,000 rows, as the pipelines of make local do.
func BenchmarkBulkLoad(b *testing.B) {
	for _, explicit := range []bool{false, true} {
		name := map[bool]string{false: "in its own transaction", true: "in an explicit transaction"}[explicit]
		b.Run(name, func(b *testing.B) {
			_, db := startShop(b)
			for b.Loop() {
				run(b, db, "DROP TABLE IF EXISTS dbo.Sales", "CREATE TABLE dbo.Sales (Id int NOT NULL PRIMARY KEY, Shop int NOT NULL, Amount decimal(18,2) NOT NULL, Name nvarchar(40) NOT NULL, Rv rowversion NOT NULL)")
				prepare := db.Prepare
				end := func() error { return nil }
				if explicit {
					tx, err := db.Begin()
					if err != nil {
						b.Fatal(err)
					}
					prepare, end = tx.Prepare, tx.Commit
				}
				stmt, err := prepare(mssql.CopyIn("dbo.Sales", mssql.BulkOptions{}, "Id", "Shop", "Amount", "Name"))
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { stmt.Close() })
				for i := range 225_000 {
					if _, err := stmt.Exec(i, i%100, "12.50", "a name of some length"); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := stmt.Exec(); err != nil {
					b.Fatal(err)
				}
				if err := end(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
