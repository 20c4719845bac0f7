package doctor_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/microsoft/go-mssqldb"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/doctor"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
	local "sagemaker-datapipeline/test/local/sqlserver"
)

// world is a SQL Server with a table of sales, and a pipeline that reads it.
type world struct {
	server *local.Server
	login  sqlserver.Login
	owner  *sql.DB
	in     doctor.Input
}

const password = "Read3r-of-sales"

// newWorld starts a server as the options say, whose reader lacks the permissions.
func newWorld(t *testing.T, o local.Options, denied ...string) *world {
	t.Helper()
	o.Databases = []string{"shop"}
	o.Logins = []local.Login{{Name: "owner", Password: password}, {Name: "reader", Password: password, ReadOnly: true, Denied: denied}}
	s, err := local.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	host, port := s.Addr()
	w := &world{server: s, login: sqlserver.Login{
		Host: host, Port: port, Database: "shop", Username: "reader", Password: password, CACertificate: string(s.CACertificatePEM()),
	}}
	address := url.URL{Scheme: "sqlserver", User: url.UserPassword("owner", password), Host: fmt.Sprintf("%s:%d", host, port),
		RawQuery: "database=shop&encrypt=true&TrustServerCertificate=true"}
	if w.owner, err = sql.Open("sqlserver", address.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.owner.Close() })
	w.in = doctor.Input{
		Spec: pipeline.Spec{
			Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "sales",
			Source:  pipeline.Source{Table: "dbo.Sales", Load: pipeline.Full},
			Dataset: pipeline.Dataset{Task: pipeline.Regression, Format: pipeline.CSV, Key: []string{"SaleId"}, Label: "Quantity", Features: []string{"Price"}, Split: pipeline.Split{Train: 1}},
			Limits:  pipeline.Limits{MaxScanRows: 1000},
		},
		Connect: func(ctx context.Context) (*sqlserver.Session, error) {
			return sqlserver.Open(ctx, w.login, sqlserver.Options{AppName: "doctor", ConnectTimeout: 20 * time.Second, LockTimeout: time.Second})
		},
		HashKey: func(context.Context) ([]byte, error) { return []byte("0123456789abcdef0123456789abcdef"), nil },
	}
	w.create(t, "")
	return w
}

// create makes the table of sales, with further columns.
func (w *world) create(t *testing.T, more string) {
	t.Helper()
	w.run(t, `CREATE TABLE dbo.Sales (SaleId int IDENTITY PRIMARY KEY, SoldAt datetime2(3) NOT NULL, Price decimal(9,2) NOT NULL,
			Quantity int NOT NULL, Version rowversion NOT NULL, Note nvarchar(50) NULL`+more+`)`,
		`CREATE INDEX IX_Version ON dbo.Sales (Version)`,
		`INSERT INTO dbo.Sales (SoldAt, Price, Quantity) VALUES ('2026-01-01', 9.99, 1), ('2026-01-02', 19.99, 2)`)
}

// with gives the table of sales another column.
func with(column string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		w.run(t, "DROP TABLE dbo.Sales")
		w.create(t, ", "+column)
	}
}

// run runs statements as the database's owner.
func (w *world) run(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := w.owner.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (w *world) examine(t *testing.T) findings.Report {
	t.Helper()
	r, err := doctor.Examine(t.Context(), w.in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// appends makes the pipeline an append load by a cursor.
func appends(kind pipeline.CursorKind, column string) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.in.Spec.Source.Load = pipeline.Append
		w.in.Spec.Source.Cursor = &pipeline.Cursor{Kind: kind, Column: column}
		w.in.Spec.Dataset.Drop = []string{"Version"}
	}
}

// committed gives the pipeline a head with a watermark.
func committed(watermark string) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.in.Head = ledger.Head{ETag: "e", Head: head.Head{
			Version: head.Version, Pipeline: "sales", Generation: 1, Run: "20260101t020000z",
			Manifest: &head.Ref{Run: "20260101t020000z", Key: "k", SHA256: "s"},
			Identity: head.Identity{Database: "shop"},
		}}
		if c := w.in.Spec.Source.Cursor; c != nil {
			w.in.Head.Watermark = &head.Watermark{Column: c.Column, Value: watermark}
		}
	}
}

func all(changes ...func(*testing.T, *world)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		for _, change := range changes {
			change(t, w)
		}
	}
}

func statements(s ...string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) { t.Helper(); w.run(t, s...) }
}

const manyRows = `WITH d AS (SELECT n FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS v (n))
	INSERT INTO dbo.Sales (SoldAt, Price, Quantity) SELECT TOP (1500) '2026-01-03', 1, 1 FROM d AS a CROSS JOIN d AS b CROSS JOIN d AS c CROSS JOIN d AS e`

// openTransaction leaves a row uncommitted until the test ends.
func openTransaction(t *testing.T, w *world) {
	t.Helper()
	tx, err := w.owner.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() }) // the server may be down by then
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO dbo.Sales (SoldAt, Price, Quantity) VALUES ('2026-01-03', 1, 1)"); err != nil {
		t.Fatal(err)
	}
}

func TestAnExportThatWouldGoWellIsFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*testing.T, *world)
	}{
		{"a full load of a table", func(*testing.T, *world) {}},
		{"a full load in one snapshot", func(_ *testing.T, w *world) { w.in.Spec.Source.Consistency = pipeline.Snapshot }},
		{"a full load in pages", func(_ *testing.T, w *world) { w.in.Spec.Source.PartitionBy = "SaleId" }},
		{"a query with a window", func(_ *testing.T, w *world) {
			w.in.Spec.Source = pipeline.Source{Query: "SELECT SaleId, Price, Quantity FROM dbo.Sales WHERE SoldAt >= @windowStart AND SoldAt < @windowEnd", WindowSeconds: 86_400}
		}},
		{"an append load by rowversion", appends(pipeline.RowversionCursor, "Version")},
		{"an append load by identity that was read to the end", all(appends(pipeline.IdentityCursor, "SaleId"), committed("3"))},
		{"a hashed column with its key", func(_ *testing.T, w *world) {
			w.in.Spec.Dataset.Columns = map[string]pipeline.ColumnRule{"Note": {Hash: true}}
		}},
		{"a cast column", func(_ *testing.T, w *world) {
			w.in.Spec.Dataset.Columns = map[string]pipeline.ColumnRule{"Price": {Cast: "float"}}
		}},
		{"an encrypted column that isn't read", all(with("Iban varbinary(200) ENCRYPTED WITH (COLUMN_ENCRYPTION_KEY = cek, ENCRYPTION_TYPE = RANDOMIZED, ALGORITHM = 'AEAD_AES_256_CBC_HMAC_SHA_256') NULL"),
			func(_ *testing.T, w *world) { w.in.Spec.Dataset.Drop = []string{"iban"} })},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, local.Options{})
			c.change(t, w)
			r := w.examine(t)
			if r.Worst() != findings.OK || r.Pipeline != "ml-dev-sales" || time.Since(r.At) > time.Hour {
				t.Fatalf("got\n%s", r.Text())
			}
		})
	}
}

func TestWhatIsInTheWayOfAnExportIsNamedWithItsRemedy(t *testing.T) {
	replica := local.Options{ReadOnly: []string{"shop"}}
	for _, c := range []struct {
		name     string
		options  local.Options
		denied   string
		change   func(*testing.T, *world)
		check    string
		severity findings.Severity
		found    string
		remedy   string
	}{
		{name: "a server that can't be reached", change: func(_ *testing.T, w *world) { w.server.Close() },
			check: "connection", severity: findings.Error, found: "can't be reached", remedy: ""},
		{name: "a refused password", change: func(_ *testing.T, w *world) { w.login.Password = "other" },
			check: "connection", severity: findings.Error, found: `refused the login "reader" (error 18456)`},
		{name: "a certificate of nobody known", change: func(_ *testing.T, w *world) { w.login.CACertificate = "" },
			check: "connection", severity: findings.Error, found: "is not trusted"},
		{name: "a secret that can't be read", change: func(_ *testing.T, w *world) {
			w.in.Connect = func(context.Context) (*sqlserver.Session, error) {
				return nil, errors.New("reading the database secret: access denied")
			}
		}, check: "connection", severity: findings.Error, found: "reading the database secret"},
		{name: "a query that isn't one SELECT", change: func(_ *testing.T, w *world) { w.in.Spec.Source = pipeline.Source{Query: "DELETE FROM dbo.Sales"} },
			check: "source", severity: findings.Error, found: `begins with "DELETE"`},

		{name: "no right to the table", denied: "SELECT ON dbo.Sales",
			check: "select right", severity: findings.Error, found: "permission", remedy: "GRANT SELECT"},
		{name: "a table that isn't there", change: func(_ *testing.T, w *world) { w.in.Spec.Source.Table = "dbo.Sale" },
			check: "select right", severity: findings.Error, found: "error 208", remedy: "correct the name"},
		{name: "a query with a misspelt column", change: func(_ *testing.T, w *world) {
			w.in.Spec.Source = pipeline.Source{Query: "SELECT SaleID, Prize FROM dbo.Sales"}
		},
			check: "columns", severity: findings.Error, found: "error 207"},
		{name: "a missing label", change: func(_ *testing.T, w *world) { w.in.Spec.Dataset.Label = "Sold" },
			check: "columns", severity: findings.Error, found: `"Sold"`},
		{name: "a missing key", change: func(_ *testing.T, w *world) { w.in.Spec.Dataset.Key = []string{"Id"} },
			check: "columns", severity: findings.Error, found: `dataset.key names "Id"`},
		{name: "a missing cursor", change: appends(pipeline.RowversionCursor, "RowVer"),
			check: "columns", severity: findings.Error, found: `source.cursor names "RowVer", which isn't there: it has SaleId`},
		{name: "a cursor of another type", change: appends(pipeline.RowversionCursor, "SaleId"),
			check: "columns", severity: findings.Error, found: "SaleId of type int as its rowversion: take a column of type rowversion"},
		{name: "a cursor that may be NULL", change: all(with("Booked datetime2(3) NULL"), appends(pipeline.TimeCursor, "Booked")),
			check: "columns", severity: findings.Error, found: "source.cursor names Booked, which may be NULL"},
		{name: "a missing partition column", change: func(_ *testing.T, w *world) { w.in.Spec.Source.PartitionBy = "Id" },
			check: "columns", severity: findings.Error, found: `source.partitionBy names "Id"`},
		{name: "a partition column of a type without ranges", change: all(with("Weight float NULL"), func(_ *testing.T, w *world) { w.in.Spec.Source.PartitionBy = "Weight" }), check: "columns", severity: findings.Error, found: "of type float, by which no ranges are read"},
		{name: "a type without a place in Parquet", change: all(with("Place hierarchyid NULL"), func(_ *testing.T, w *world) {
			w.in.Spec.Dataset.Features = []string{"Price", "Place"}
		}), check: "columns", severity: findings.Error, found: "hierarchyid"},
		{name: "a query that can't stand in FROM, and a column to drop", change: func(_ *testing.T, w *world) {
			w.in.Spec.Source = pipeline.Source{Query: "WITH s AS (SELECT * FROM dbo.Sales) SELECT * FROM s"}
			w.in.Spec.Dataset.Drop = []string{"Note"}
		}, check: "columns", severity: findings.Error, found: "begins with WITH"},

		{name: "a masked column", change: with("Card varchar(20) MASKED WITH (FUNCTION = 'default()') NULL"), denied: "UNMASK",
			check: "hidden data", severity: findings.Error, found: "Card", remedy: `"maskedColumns" under source.accept`},
		{name: "a masked column that was accepted", denied: "UNMASK", change: all(with("Card varchar(20) MASKED WITH (FUNCTION = 'default()') NULL"), func(_ *testing.T, w *world) {
			w.in.Spec.Source.Accept = []pipeline.Consent{pipeline.AcceptMasked}
		}), check: "hidden data", severity: findings.Warning, found: `source.accept takes it so by "maskedColumns"`},
		{name: "an encrypted column", change: with("Iban varbinary(200) ENCRYPTED WITH (COLUMN_ENCRYPTION_KEY = cek, ENCRYPTION_TYPE = RANDOMIZED, ALGORITHM = 'AEAD_AES_256_CBC_HMAC_SHA_256') NULL"),
			check: "hidden data", severity: findings.Error, found: "Iban", remedy: `"encryptedColumns" under source.accept`},
		{name: "rows that a policy hides", options: local.Options{SecurityPolicies: []local.SecurityPolicy{{Name: "dbo.Regions", Table: "dbo.Sales", Predicate: "([dbo].[fn]([Note]))"}}},
			check: "hidden data", severity: findings.Error, found: "policy Regions filters the rows of dbo.Sales", remedy: `"rowLevelSecurity" under source.accept`},
		{name: "policies that can't be looked for", denied: "VIEW DEFINITION",
			check: "hidden data", severity: findings.Warning, found: "row-level security that hides rows from it", remedy: "GRANT VIEW DEFINITION"},
		{name: "a view that the manifest can't speak for", change: all(statements("CREATE VIEW dbo.Sold AS SELECT SaleId, Price, Quantity FROM dbo.Sales"), func(_ *testing.T, w *world) { w.in.Spec.Source.Table = "dbo.Sold" }),
			check: "isolation", severity: findings.OK, found: "as far as the views and functions that the source names read committed rows"},

		{name: "a table above the size that may be scanned", change: func(_ *testing.T, w *world) { w.in.Spec.Limits.MaxScanRows = 1 },
			check: "size", severity: findings.Error, found: "[FullScan]", remedy: `"fullScan" to source.accept`},
		{name: "a large table that may be scanned", change: func(_ *testing.T, w *world) {
			w.in.Spec.Limits.MaxScanRows, w.in.Spec.Source.Accept = 1, []pipeline.Consent{pipeline.AcceptFullScan}
		}, check: "size", severity: findings.Warning, found: "source.accept allows it"},
		{name: "a size that can't be seen", options: local.Options{MissingViews: []string{"sys.partitions"}},
			check: "size", severity: findings.Warning, found: "how many rows dbo.Sales has could not be read"},
		{name: "no index for the cursor", change: all(appends(pipeline.TimeCursor, "SoldAt")),
			check: "index", severity: findings.Warning, found: "no index of dbo.Sales begins with SoldAt: each run scans the table", remedy: "CREATE INDEX [IX_SoldAt] ON dbo.Sales ([SoldAt])"},
		{name: "no index for the pages", change: func(_ *testing.T, w *world) { w.in.Spec.Source.PartitionBy = "SoldAt" },
			check: "index", severity: findings.Warning, found: "each page scans and sorts the table", remedy: "CREATE INDEX"},
		{name: "a query in pages", change: func(_ *testing.T, w *world) {
			w.in.Spec.Source = pipeline.Source{Query: "SELECT SaleId, Price, Quantity FROM dbo.Sales", PartitionBy: "SaleId"}
		}, check: "index", severity: findings.Warning, found: "whether each page can be sought can't be seen", remedy: "ORDER BY SaleId"},
		{name: "an append load of a view", change: all(statements("CREATE VIEW dbo.Sold AS SELECT SaleId, Price, Quantity, Version FROM dbo.Sales"), appends(pipeline.RowversionCursor, "Version"), func(_ *testing.T, w *world) { w.in.Spec.Source.Table = "dbo.Sold" }),
			check: "table", severity: findings.Error, found: "dbo.Sold is a view", remedy: "name the base table"},

		{name: "an append load from a replica", options: replica, change: appends(pipeline.RowversionCursor, "Version"),
			check: "primary", severity: findings.Error, found: "is read-only, and an append load needs the primary", remedy: "correct the host"},
		{name: "a replica that was taken for the primary", options: replica,
			check: "primary", severity: findings.Warning, found: "is read-only", remedy: `"readFrom": "replica"`},
		{name: "a primary that was taken for the replica", change: func(_ *testing.T, w *world) { w.in.Spec.Source.Replica = true },
			check: "primary", severity: findings.Warning, found: "isn't the read replica", remedy: "database.replica"},
		{name: "a query that reads uncommitted rows", change: func(_ *testing.T, w *world) {
			w.in.Spec.Source = pipeline.Source{Query: "SELECT SaleId, Price, Quantity FROM dbo.Sales WITH (NOLOCK)", Accept: []pipeline.Consent{pipeline.AcceptNoLock}}
		}, check: "isolation", severity: findings.Warning, found: "READ UNCOMMITTED", remedy: "take the hint out"},
		{name: "locking reads of a full load", options: local.Options{LockingReads: []string{"shop"}},
			check: "isolation", severity: findings.Warning, found: "READ COMMITTED (locking): Committed rows only.", remedy: "ALTER DATABASE [shop] SET READ_COMMITTED_SNAPSHOT ON"},
		{name: "locking reads of an append load, which holds the same by them", options: local.Options{LockingReads: []string{"shop"}}, change: appends(pipeline.RowversionCursor, "Version"),
			check: "isolation", severity: findings.OK, found: "READ COMMITTED (locking): Every row that was committed"},
		{name: "a snapshot that isn't allowed", options: local.Options{NoSnapshots: []string{"shop"}}, change: func(_ *testing.T, w *world) { w.in.Spec.Source.Consistency = pipeline.Snapshot },
			check: "isolation", severity: findings.Error, found: "doesn't allow SNAPSHOT transactions (error 3952)", remedy: "ALTER DATABASE [shop] SET ALLOW_SNAPSHOT_ISOLATION ON"},
		{name: "settings that can't be seen", options: local.Options{MissingViews: []string{"sys.databases"}},
			check: "isolation", severity: findings.Warning, found: "row versioning unknown", remedy: "ALTER DATABASE [shop] SET READ_COMMITTED_SNAPSHOT ON"},
		{name: "a snapshot whose permission can't be seen", options: local.Options{MissingViews: []string{"sys.databases"}}, change: func(_ *testing.T, w *world) { w.in.Spec.Source.Consistency = pipeline.Snapshot },
			check: "isolation", severity: findings.Warning, found: "whether database shop allows SNAPSHOT transactions could not be read"},

		{name: "a changed query", change: all(committed(""), func(_ *testing.T, w *world) { w.in.Head.QuerySHA256 = "another" }),
			check: "same source", severity: findings.Warning, found: "begins a generation [QueryChanged]"},
		{name: "a restored database", change: all(appends(pipeline.RowversionCursor, "Version"), committed("0x0000000000000001"), func(_ *testing.T, w *world) { w.in.Head.Identity.DatabaseCreated = "2020-01-01T00:00:00.000" }),
			check: "same source", severity: findings.Error, found: "[DatabaseRestored]", remedy: "rebaseline -keep-watermark"},
		{name: "a table that was made anew", change: all(appends(pipeline.RowversionCursor, "Version"), committed("0x0000000000000001"), func(_ *testing.T, w *world) { w.in.Head.Identity.ObjectID = 1 }),
			check: "same source", severity: findings.Error, found: "[TableRecreated]", remedy: "rebaseline"},
		{name: "row versions below the watermark", change: all(appends(pipeline.RowversionCursor, "Version"), committed("0x00000000FFFFFFFF")),
			check: "watermark", severity: findings.Error, found: "[BoundBelowWatermark]", remedy: "rebaseline"},
		{name: "row versions below the watermark, of a pipeline that begins anew by itself", change: all(appends(pipeline.RowversionCursor, "Version"), committed("0x00000000FFFFFFFF"),
			func(_ *testing.T, w *world) { w.in.Spec.Source.OnChange = pipeline.NewGeneration }),
			check: "watermark", severity: findings.Warning, found: "the next run begins a generation [BoundBelowWatermark]"},
		{name: "a watermark that is none", change: all(appends(pipeline.RowversionCursor, "Version"), committed("yesterday")),
			check: "watermark", severity: findings.Error, found: `"yesterday" is not a rowversion`, remedy: "restore an earlier version of the head"},
		{name: "identities below the watermark", change: all(appends(pipeline.IdentityCursor, "SaleId"), committed("100")),
			check: "watermark", severity: findings.Error, found: "the highest value of SaleId is 2, below the watermark 100", remedy: "rebaseline"},
		{name: "no right to see transactions", denied: "VIEW SERVER STATE", change: appends(pipeline.RowversionCursor, "Version"),
			check: "right to see transactions", severity: findings.Warning, found: "can't name the session", remedy: "GRANT VIEW SERVER STATE"},
		{name: "no right to see the histogram", denied: "VIEW DATABASE STATE", change: all(statements(manyRows), func(_ *testing.T, w *world) {
			w.in.Spec.Source.PartitionBy, w.in.Spec.Limits.MaxScanRows = "SaleId", 10_000
		}), check: "partitions", severity: findings.Warning, found: "minimum and maximum", remedy: "GRANT VIEW DATABASE STATE"},

		{name: "an open transaction that many row versions wait behind", change: all(appends(pipeline.RowversionCursor, "Version"), openTransaction, statements(manyRows)),
			check: "row versions", severity: findings.Warning, found: "1501 row versions wait behind an open transaction: session ", remedy: "end that transaction"},
		{name: "an open transaction, and no right to see whose it is", denied: "VIEW SERVER STATE", change: all(appends(pipeline.RowversionCursor, "Version"), openTransaction, statements(manyRows)),
			check: "row versions", severity: findings.Warning, found: "grant VIEW SERVER STATE", remedy: "end that transaction"},
		{name: "an open transaction that blocks the next run", change: all(appends(pipeline.RowversionCursor, "Version"), openTransaction, func(t *testing.T, w *world) {
			t.Helper()
			var active []byte
			if err := w.owner.QueryRowContext(t.Context(), "SELECT MIN_ACTIVE_ROWVERSION()").Scan(&active); err != nil {
				t.Fatal(err)
			}
			committed(fmt.Sprintf("0x%X", active))(t, w)
		}), check: "row versions", severity: findings.Warning, found: "the next run would be blocked, nothing new can be read", remedy: "end that transaction"},

		{name: "hashed columns without a key", change: func(_ *testing.T, w *world) {
			w.in.Spec.Dataset.Columns = map[string]pipeline.ColumnRule{"Note": {Hash: true}}
			w.in.HashKey = func(context.Context) ([]byte, error) { return nil, nil }
		}, check: "hash key", severity: findings.Error, found: "hashKey has 0 bytes", remedy: "put a random text"},
		{name: "hashed columns whose key can't be read", change: func(_ *testing.T, w *world) {
			w.in.Spec.Dataset.Columns = map[string]pipeline.ColumnRule{"Note": {Hash: true}}
			w.in.HashKey = func(context.Context) ([]byte, error) { return nil, errors.New("access denied") }
		}, check: "hash key", severity: findings.Error, found: "access denied"},
		{name: "allowed hours in no time zone", change: func(_ *testing.T, w *world) {
			w.in.Spec.Limits.AllowedHours = &pipeline.Hours{From: "22:00", To: "05:00", TimeZone: "Europe/Atlantis"}
		}, check: "allowed hours", severity: findings.Error, found: `"Europe/Atlantis" is unknown`, remedy: "IANA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var denied []string
			if c.denied != "" {
				denied = []string{c.denied}
			}
			options := c.options
			readOnly := options.ReadOnly
			options.ReadOnly = nil
			w := newWorld(t, options, denied...)
			for _, name := range readOnly {
				if err := w.server.SetReadOnly(name, true); err != nil {
					t.Fatal(err)
				}
			}
			if c.change != nil {
				c.change(t, w)
			}
			r := w.examine(t)
			for _, f := range r.Findings {
				if f.Check == c.check && f.Severity == c.severity && strings.Contains(f.Found, c.found) && strings.Contains(f.Remedy, c.remedy) {
					return
				}
			}
			t.Fatalf("no %s %q says %q with the remedy %q:\n%s", c.severity, c.check, c.found, c.remedy, r.Text())
		})
	}
}

func TestAMissingViewBreaksNothing(t *testing.T) {
	views := []string{
		"sys.objects", "sys.columns", "sys.indexes", "sys.index_columns", "sys.partitions", "sys.databases", "sys.stats", "sys.stats_columns",
		"sys.dm_db_stats_histogram", "sys.dm_db_stats_properties", "sys.security_policies", "sys.security_predicates", "sys.masked_columns",
		"sys.dm_exec_sessions", "sys.dm_tran_database_transactions", "sys.dm_tran_session_transactions",
	}
	for _, view := range views {
		t.Run(view, func(t *testing.T) {
			w := newWorld(t, local.Options{MissingViews: []string{view}})
			all(appends(pipeline.RowversionCursor, "Version"), committed("0x0000000000000001"))(t, w)
			w.in.Spec.Source.PartitionBy = "SaleId"
			if r := w.examine(t); r.Worst() == findings.Error || len(r.Findings) < 8 {
				t.Fatalf("got\n%s", r.Text())
			}
		})
	}
	t.Run("all of them", func(t *testing.T) {
		w := newWorld(t, local.Options{MissingViews: views}, "VIEW DATABASE STATE", "VIEW SERVER STATE", "VIEW DEFINITION")
		all(appends(pipeline.RowversionCursor, "Version"), committed("0x0000000000000001"))(t, w)
		if r := w.examine(t); r.Worst() == findings.Error {
			t.Fatalf("got\n%s", r.Text())
		}
	})
}

func TestAConnectionThatBreaksLeavesAReport(t *testing.T) {
	for _, at := range []string{"SYSUTCDATETIME", "ProductMajorVersion", "sys.objects", "TOP (0)", "sys.partitions", "MIN_ACTIVE_ROWVERSION", "HAS_PERMS_BY_NAME"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t, local.Options{})
			appends(pipeline.RowversionCursor, "Version")(t, w)
			w.server.OrderFault(local.Fault{Match: at, Kill: true})
			r := w.examine(t)
			if w.server.ClearFaults() != 0 {
				t.Fatal("no statement met the fault")
			}
			if r.Worst() == findings.OK || !strings.Contains(strings.Join(strings.Fields(r.Text()), " "), "the connection to SQL Server broke") {
				t.Fatalf("got\n%s", r.Text())
			}
		})
	}
}

func TestAnExaminationEndsWithItsContext(t *testing.T) {
	w := newWorld(t, local.Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no time is left"))
	if _, err := doctor.Examine(ctx, w.in); err == nil || err.Error() != "examining ml-dev-sales: no time is left" {
		t.Fatalf("got %v", err)
	}
}
