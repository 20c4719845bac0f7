package sqlserver

import (
	"strings"
	"testing"
)

func TestTheCatalogDescribesWhatIsThere(t *testing.T) {
	_, db := startShop(t)
	run(t, db,
		`CREATE TABLE dbo.Sales (Id bigint IDENTITY(5,2) NOT NULL CONSTRAINT PK_Sales PRIMARY KEY, At datetimeoffset(3) NULL, Price decimal(38,10) NULL,
			Code char(3) COLLATE Japanese_CI_AS NOT NULL, Note nvarchar(max) NULL, Blob varbinary(20) NULL, Doc json NULL, Any_ sql_variant NULL, V rowversion,
			Twice AS (Price * 2), Text_ AS Code + '!' PERSISTED)`,
		"CREATE INDEX ByTime ON dbo.Sales (At DESC, Code) INCLUDE (Price)", "CREATE UNIQUE INDEX ByCode ON dbo.Sales (Code)",
		"INSERT INTO dbo.Sales (At, Price, Code) VALUES ('2024-01-01T00:00:00+02:00', 1.5, N'日'), (NULL, NULL, 'b')")
	run(t, db, "CREATE VIEW dbo.Prices (Id, Price, Twice) AS SELECT Id, Price, Twice FROM dbo.Sales WHERE Price IS NOT NULL")
	run(t, db, "CREATE SYNONYM dbo.Sold FOR dbo.Sales; CREATE SYNONYM Gone FOR [dbo].Nothing; CREATE SYNONYM Away FOR other.dbo.Sales")
	for _, test := range []struct{ name, query, want string }{
		{"columns with their types", `SELECT c.name, t.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity, c.is_computed, c.is_masked, c.encryption_type, c.collation_name
			FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'dbo.Sales') ORDER BY c.column_id`,
			"Id bigint 8 19 0 0 1 0 0 NULL NULL | At datetimeoffset 9 30 3 1 0 0 0 NULL NULL | Price decimal 17 38 10 1 0 0 0 NULL NULL | " +
				"Code char 3 0 0 0 0 0 0 NULL Japanese_CI_AS | Note nvarchar -1 0 0 1 0 0 0 NULL SQL_Latin1_General_CP1_CI_AS | Blob varbinary 20 0 0 1 0 0 0 NULL NULL | " +
				"Doc json -1 0 0 1 0 0 0 NULL Latin1_General_100_BIN2_UTF8 | Any_ sql_variant 8016 0 0 1 0 0 0 NULL NULL | V timestamp 8 0 0 0 0 0 0 NULL NULL | " +
				"Twice decimal 17 38 8 1 0 1 0 NULL NULL | Text_ varchar 4 0 0 0 0 1 0 NULL Japanese_CI_AS"},
		{"tables and views apart", "SELECT o.name, o.type, o.type_desc, t.name, v.name FROM sys.objects o LEFT JOIN sys.tables t ON t.object_id = o.object_id LEFT JOIN sys.views v ON v.object_id = o.object_id WHERE o.type IN ('U', 'V') ORDER BY 1",
			"Prices V  VIEW NULL Prices | Sales U  USER_TABLE Sales NULL"},
		{"their ids by their types", "SELECT CASE WHEN OBJECT_ID('dbo.Prices', 'V') = OBJECT_ID('dbo.Prices') THEN 1 END, OBJECT_ID('dbo.Prices', 'U'), OBJECT_NAME(OBJECT_ID('dbo.Sales', 'U')), OBJECT_SCHEMA_NAME(OBJECT_ID('dbo.Sales'))", "1 NULL Sales dbo"},
		{"keys of indexes in their order", `SELECT i.name, i.index_id, i.is_unique, i.is_primary_key, ic.key_ordinal, ic.is_descending_key, ic.is_included_column, COL_NAME(ic.object_id, ic.column_id)
			FROM sys.indexes i JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id WHERE i.object_id = OBJECT_ID('dbo.Sales') ORDER BY i.index_id, ic.index_column_id`,
			"PK_Sales 1 1 1 1 0 0 Id | ByTime 2 0 0 1 1 0 At | ByTime 2 0 0 2 0 0 Code | ByTime 2 0 0 0 0 1 Price | ByCode 3 1 0 1 0 0 Code"},
		{"rows of every index", "SELECT p.index_id, p.rows, s.row_count FROM sys.partitions p JOIN sys.dm_db_partition_stats s ON s.object_id = p.object_id AND s.index_id = p.index_id WHERE p.object_id = OBJECT_ID('dbo.Sales') ORDER BY 1",
			"1 2 2 | 2 2 2 | 3 2 2"},
		{"the database", "SELECT name, database_id, compatibility_level, collation_name, state_desc, is_read_only FROM sys.databases WHERE name = DB_NAME()", "shop 2 130 SQL_Latin1_General_CP1_CI_AS ONLINE 0"},
		{"by its id", "SELECT DB_NAME(DB_ID()), DB_NAME(d.database_id) FROM sys.databases d WHERE d.name = 'other'", "shop other"},
		{"computed columns", "SELECT name, definition, is_persisted FROM sys.computed_columns WHERE object_id = OBJECT_ID('dbo.Sales')", "Twice (Price * 2) 0 | Text_ (Code + '!') 1"},
		{"what a view reads", "SELECT OBJECT_NAME(referencing_id), OBJECT_NAME(referenced_id), referenced_schema_name FROM sys.sql_expression_dependencies", "Prices Sales dbo"},
		{"synonyms, and what they stand for", "SELECT y.name, OBJECT_NAME(OBJECT_ID(y.base_object_name)), y.base_object_name, o.type FROM sys.synonyms AS y JOIN sys.objects o ON o.object_id = y.object_id ORDER BY 1",
			"Away NULL [other].[dbo].[Sales] SN | Gone NULL [dbo].[Nothing] SN | Sold Sales [dbo].[Sales] SN"},
		{"the rows behind a synonym", "SELECT COUNT(*) FROM dbo.Sold AS s WHERE s.Code = 'b'", "1"},
		{"a synonym of nothing", "SELECT * FROM dbo.Gone", "5313"},
		{"a synonym of another database's table", "SELECT * FROM dbo.Away", "49999"},
		{"no synonym dropped as a view", "DROP VIEW dbo.Sold", "3701"},
		{"no change tracking, no policies", "SELECT (SELECT COUNT(*) FROM sys.change_tracking_databases), (SELECT COUNT(*) FROM sys.change_tracking_tables), (SELECT COUNT(*) FROM sys.security_policies)", "0 0 0"},
		{"tables and views for other programs", "SELECT TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES ORDER BY 1", "Prices VIEW | Sales BASE TABLE"},
		{"the collation of a column for other programs", "SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'Sales' AND COLUMN_NAME = 'Code'", "iso_1 Japanese_CI_AS"},
		{"objects that parameters name", "DECLARE @s sysname = N'dbo', @t sysname = N'Sales'; SELECT COUNT(*) FROM sys.columns WHERE object_id = OBJECT_ID(QUOTENAME(@s) + N'.' + QUOTENAME(@t))", "11"},
		{"what a query gives", "DECLARE @q nvarchar(max) = N'SELECT Id, Twice, Doc, V FROM dbo.Sales WHERE Id >= @from'; SELECT name, system_type_name, is_nullable, is_identity_column, is_computed_column, system_type_id FROM sys.dm_exec_describe_first_result_set(@q, N'@from bigint', 0)",
			"Id bigint 0 1 0 127 | Twice decimal(38,8) 1 0 1 106 | Doc json 1 0 0 244 | V timestamp 0 0 0 189"},
		{"what is wrong with a query", "SELECT column_ordinal, error_number, error_severity, error_message FROM sys.dm_exec_describe_first_result_set(N'SELECT * FROM dbo.Nothing', NULL, 0)", "0 208 16 Invalid object name 'dbo.Nothing'."},
		{"what a query gives, by the procedure", "EXEC sp_describe_first_result_set N'SELECT Nothing FROM dbo.Sales'", "207"},
		{"the columns of no rows", "SELECT TOP (0) * FROM dbo.Sales", ""},
		{"a view's rows", "SELECT p.Id, p.Price, p.Twice FROM dbo.Prices AS p", "5 1.5000000000 3.00000000"},
		{"a view within a query", "WITH Sales AS (SELECT 1 AS x) SELECT COUNT(*), MAX(s.x) FROM dbo.Prices CROSS JOIN Sales s", "1 1"},
		{"computed columns in expressions", "SELECT Text_, Twice / 3 FROM dbo.Sales WHERE Text_ = N'日 !'", "日 ! 1.00000000"},
		{"no values for computed columns", "INSERT INTO dbo.Sales (Code, Twice) VALUES ('c', 1)", "271"},
		{"no changes of computed columns", "UPDATE dbo.Sales SET Twice = 1", "271"},
		{"no changes through views", "DELETE FROM dbo.Prices", "49999"},
		{"no changes through views by another name", "UPDATE p SET Price = 1 FROM dbo.Prices AS p", "49999"},
		{"no view of what isn't there", "CREATE VIEW dbo.Z AS SELECT 1 AS x FROM dbo.Nothing", "208"},
		{"no view with columns that have no name", "CREATE VIEW dbo.Z AS SELECT 1", "8155"},
		{"no view with a name that is taken", "CREATE VIEW dbo.Sales AS SELECT 1 AS x", "2714"},
		{"no table dropped as a view", "DROP VIEW dbo.Sales", "3701"},
		{"no view dropped as a table", "DROP TABLE dbo.Prices", "3701"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(db, test.query); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	run(t, db, "DROP SYNONYM dbo.Sold; DROP SYNONYM IF EXISTS dbo.Sold", "DROP VIEW dbo.Prices", "DROP VIEW IF EXISTS dbo.Prices")
	if got := outcome(db, "SELECT COUNT(*) FROM dbo.Prices"); got != "208" {
		t.Errorf("a view that was dropped: %s", got)
	}
}

func TestWhatIsDeclaredOutlivesTheServer(t *testing.T) {
	o := Options{Log: testLog(t), Dir: t.TempDir(), Databases: []string{"shop"}, Logins: []Login{{Name: owner, Password: password}, {Name: reader, Password: password, Denied: []string{"UNMASK"}}}}
	statements := []string{
		"CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, A varchar(10) COLLATE Cyrillic_General_BIN2 MASKED WITH (FUNCTION = 'partial(1,\"…\",0)') NULL, B AS Id + 1)",
		"INSERT INTO dbo.T (Id, A) VALUES (1, N'Ёж'), (2, N'еж')", "CREATE STATISTICS S ON dbo.T (A)", "CREATE VIEW dbo.W AS SELECT A, B FROM dbo.T",
	}
	for range 2 {
		s, err := Start(o)
		if err != nil {
			t.Fatal(err)
		}
		db := open(t, address(t, s, owner, password))
		run(t, db, statements...)
		statements = nil
		for query, want := range map[string]string{
			"SELECT A, B FROM dbo.W ORDER BY A": "Ёж 2 | еж 3",
			"SELECT CAST(range_high_key AS nvarchar(10)) FROM sys.dm_db_stats_histogram(OBJECT_ID('dbo.T'), 1001)": "Ёж | еж",
		} {
			if got := outcome(db, query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		if got := outcome(open(t, address(t, s, reader, password)), "SELECT A FROM dbo.W WHERE B = 2"); got != "Ё…" {
			t.Errorf("masked: %s", got)
		}
		db.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEncryptedColumnComesAsBytes(t *testing.T) {
	_, db := startShop(t)
	const with = " ENCRYPTED WITH (COLUMN_ENCRYPTION_KEY = cek, ENCRYPTION_TYPE = %, ALGORITHM = 'AEAD_AES_256_CBC_HMAC_SHA_256') NULL"
	run(t, db, "CREATE TABLE dbo.E (Id int NOT NULL PRIMARY KEY, A char(11) COLLATE Latin1_General_BIN2"+strings.Replace(with, "%", "DETERMINISTIC", 1)+", B money"+strings.Replace(with, "%", "RANDOMIZED", 1)+")",
		"INSERT INTO dbo.E VALUES (1, 0x0141, 0x0142)")
	for _, test := range []struct{ name, query, want string }{
		{"the catalog", `SELECT c.name, t.name, c.max_length, c.encryption_type, c.encryption_type_desc, c.encryption_algorithm_name FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.user_type_id
			WHERE c.object_id = OBJECT_ID('dbo.E') AND c.encryption_type IS NOT NULL`,
			"A char 11 1 DETERMINISTIC AEAD_AES_256_CBC_HMAC_SHA_256 | B money 8 2 RANDOMIZED AEAD_AES_256_CBC_HMAC_SHA_256"},
		{"the values", "SELECT A, B FROM dbo.E", "\x01A \x01B"},
		{"no plain text", "INSERT INTO dbo.E VALUES (2, 'secret', NULL)", "257"},
		{"an unknown kind", "CREATE TABLE dbo.F (A int" + strings.Replace(with, "%", "SOMEHOW", 1) + ")", "102"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(db, test.query); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}
