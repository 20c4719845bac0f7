package sqlserver

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"
)

// text writes a value as the tests below expect it.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return string(v)
	case time.Time:
		return strings.TrimSuffix(v.Format("2006-01-02 15:04:05.9999999"), " 00:00:00")
	case bool:
		return map[bool]string{true: "1", false: "0"}[v]
	}
	return fmt.Sprint(v)
}

func TestTSQLMeansWhatItMeansInSQLServer(t *testing.T) {
	_, db := startShop(t)
	run(t, db,
		`CREATE TABLE dbo.People (Id int NOT NULL PRIMARY KEY, Name nvarchar(20) NULL, Age tinyint NULL, Joined date NOT NULL, Pay decimal(9,2) NULL)`,
		`INSERT INTO dbo.People VALUES (1, N'Ann', 30, '2024-01-31', 10.50), (2, N'bob', NULL, '2024-02-29', 20.25), (3, N'ANN ', 40, '2023-12-31', NULL), (4, NULL, 50, '2025-06-15', 0.01)`)
	for _, test := range []struct{ query, want string }{
		// Arithmetic and its types.
		{"SELECT 7 / 2, -7 / 2, -7 % 3", "3 -3 -1"},
		{"SELECT 7.0 / 2", "3.500000"},
		{"SELECT 1 / 3.0", "0.333333"},
		{"SELECT CAST(1 AS decimal(10,2)) * CAST(1.5 AS decimal(10,3))", "1.50000"},
		{"SELECT CAST(12345678901234567890.12 AS decimal(38,2)) + 0.01", "12345678901234567890.13"},
		{"SELECT CAST(2 AS money) / 3", "0.6667"},
		{"SELECT AVG(Age), SUM(Age), AVG(CAST(Age AS decimal(5,1))) FROM dbo.People", "40 120 40.000000"},
		{"SELECT SUM(Pay), AVG(Pay), MIN(Pay), MAX(Pay), COUNT(Pay), COUNT(*) FROM dbo.People", "30.76 10.253333 0.01 20.25 3 4"},
		{"SELECT ROUND(2.345, 2), ROUND(-2.345, 2), ROUND(1234, -2), ROUND(2.5e0, 0)", "2.350 -2.350 1200 3"},
		{"SELECT CAST(2.5 AS int), CAST(-2.9 AS int), CAST(CAST(2.5 AS money) AS int), CAST(2.55 AS decimal(3,1))", "2 -2 3 2.6"},
		{"SELECT ABS(-5), FLOOR(-1.5), CEILING(1.2), SIGN(-3.5), POWER(2, 10), SQRT(16e0)", "5 -2 2 -1.0 1024 4"},
		// NULL and three truths.
		{"SELECT COUNT(*) FROM dbo.People WHERE Age <> 30", "2"},
		{"SELECT COUNT(*) FROM dbo.People WHERE NOT (Age = 30)", "2"},
		{"SELECT COUNT(*) FROM dbo.People WHERE Id NOT IN (SELECT Age FROM dbo.People)", "0"},
		{"SELECT COALESCE(NULL, 2.5, 1), ISNULL(CAST(NULL AS varchar(2)), 'abc'), NULLIF(1, 1), NULLIF(2, 1)", "2.5 ab NULL 2"},
		{"SELECT 'a' + NULL, CONCAT('a', NULL, 1)", "NULL a1"},
		{"SELECT IIF(1 = NULL, 'yes', 'no'), CASE NULL WHEN NULL THEN 1 ELSE 0 END", "no 0"},
		// Texts.
		{"SELECT COUNT(*) FROM dbo.People WHERE Name = 'ann'", "2"},
		{"SELECT COUNT(DISTINCT Name) FROM dbo.People", "2"},
		{"SELECT Name FROM dbo.People WHERE Name LIKE 'a[n-z]_' ORDER BY Id", "Ann"},
		{"SELECT COUNT(*) FROM dbo.People WHERE Name LIKE '%[^a-c]%'", "3"},
		{"SELECT CASE WHEN 'a%b' LIKE 'a!%b' ESCAPE '!' THEN 1 ELSE 0 END", "1"},
		{"SELECT LEN('ab  '), DATALENGTH('ab  '), DATALENGTH(N'ab'), LEN(N'😀')", "2 4 4 2"},
		{"SELECT UPPER('aß'), SUBSTRING('abcdef', 2, 3), SUBSTRING('abc', 0, 2), LEFT('abc', 2), RIGHT('abc', 2)", "Aß bcd a ab bc"},
		{"SELECT REPLACE('AbAb', 'b', 'x'), CHARINDEX('B', 'aab'), LTRIM(RTRIM('  a  ')), STR(3.14159, 6, 2)", "AxAx 3 a   3.14"},
		{"SELECT CAST(N'Ω' AS varchar(5)), CAST('abcdef' AS varchar(3)), CAST(12 AS varchar(5)) + '!'", "? abc 12!"},
		{"SELECT CAST(1.50 AS varchar(10)), CAST(0.1e0 AS varchar(20)), CAST(1234567e0 AS varchar(20)), CAST($1.5 AS varchar(10))", "1.50 0.1 1.23457e+006 1.50"},
		// Dates.
		{"SELECT DATEADD(month, 1, CAST('2024-01-31' AS date)), DATEADD(day, -1, CAST('2024-03-01' AS date))", "2024-02-29 2024-02-29"},
		{"SELECT DATEDIFF(day, '2024-01-31T23:59:59', '2024-02-01'), DATEDIFF(year, '2023-12-31', '2024-01-01'), DATEDIFF(hour, '2024-01-01T00:59:00', '2024-01-01T01:00:00')", "1 1 1"},
		{"SELECT YEAR(Joined), MONTH(Joined), DAY(Joined), DATEPART(weekday, Joined), DATEPART(dayofyear, Joined) FROM dbo.People WHERE Id = 2", "2024 2 29 5 60"},
		{"SELECT DATEFROMPARTS(2024, 2, 29), EOMONTH('2023-02-01'), CAST('20240102' AS date)", "2024-02-29 2023-02-28 2024-01-02"},
		{"SELECT CONVERT(varchar(30), CAST('2024-02-03T04:05:06.789' AS datetime), 126), CONVERT(char(8), CAST('2024-02-03' AS date), 112)", "2024-02-03T04:05:06.790 20240203"},
		{"SELECT CASE WHEN CAST('2024-01-01T12:00:00+02:00' AS datetimeoffset) = CAST('2024-01-01T10:00:00+00:00' AS datetimeoffset) THEN 'same' END", "same"},
		{"SELECT CAST('2024-01-01' AS datetime) + 1.5", "2024-01-02 12:00:00"},
		// Queries.
		{"SELECT Id FROM dbo.People ORDER BY Name DESC, Id", "2 | 1 | 3 | 4"},
		{"SELECT TOP (2) Id FROM dbo.People ORDER BY Joined", "3 | 1"},
		{"SELECT Id FROM dbo.People ORDER BY Id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY", "2 | 3"},
		{"SELECT Name, COUNT(*) AS n FROM dbo.People WHERE Name IS NOT NULL GROUP BY Name HAVING COUNT(*) > 1", "Ann 2"},
		{"SELECT a.Id, b.Id FROM dbo.People a LEFT JOIN dbo.People b ON b.Id = a.Id + 2 ORDER BY a.Id", "1 3 | 2 4 | 3 NULL | 4 NULL"},
		{"SELECT x.v * 2 FROM (VALUES (1), (2.5)) AS x(v)", "2.0 | 5.0"},
		{"WITH c AS (SELECT Id, Age FROM dbo.People), d AS (SELECT * FROM c WHERE Age > 30) SELECT COUNT(*), MIN(Id) FROM d", "2 3"},
		{"WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT SUM(i) FROM n", "15"},
		{"SELECT 1 UNION SELECT 1 UNION ALL SELECT 2", "1 | 2"},
		{"SELECT COUNT(*) FROM (SELECT 'a' AS x UNION SELECT 'A ') AS u", "1"},
		{"SELECT Id FROM dbo.People EXCEPT SELECT Id FROM dbo.People WHERE Id > 1", "1"},
		{"SELECT Id FROM dbo.People p WHERE EXISTS (SELECT 1 FROM dbo.People q WHERE q.Age > p.Age) ORDER BY Id", "1 | 3"},
		{"SELECT Id, (SELECT MAX(Age) FROM dbo.People q WHERE q.Id < p.Id) FROM dbo.People p ORDER BY Id", "1 NULL | 2 30 | 3 30 | 4 40"},
		{"SELECT COUNT(*) FROM dbo.People WITH (NOLOCK) WHERE Age > 39 OPTION (RECOMPILE)", "2"},
		// Windows.
		{"SELECT Id, LAG(Id, 1, 0) OVER (ORDER BY Id), LEAD(Id) OVER (ORDER BY Id) FROM dbo.People ORDER BY Id", "1 0 2 | 2 1 3 | 3 2 4 | 4 3 NULL"},
		{"SELECT SUM(Id) OVER (ORDER BY Id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), AVG(CAST(Id AS float)) OVER (ORDER BY Id ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) FROM dbo.People ORDER BY Id", "1 NULL | 3 1 | 5 1.5 | 7 2.5"},
		{"SELECT Id, ROW_NUMBER() OVER (PARTITION BY Name ORDER BY Id DESC), RANK() OVER (ORDER BY Name) FROM dbo.People ORDER BY Id", "1 2 2 | 2 1 4 | 3 1 2 | 4 1 1"},
		{"SELECT SUM(Pay) OVER (ORDER BY Id ROWS 1 PRECEDING) FROM dbo.People ORDER BY Id", "10.50 | 30.75 | 20.25 | 0.01"},
		// Variables and flow.
		{"DECLARE @a int = 3, @b varchar(10); SET @b = 'x'; SELECT @a += 2; SELECT @a, @b", "5 x"},
		{"DECLARE @n int; SELECT @n = COUNT(*) FROM dbo.People; IF @n > 3 SELECT 'many' ELSE SELECT 'few'", "many"},
		{"DECLARE @i int = 0; WHILE @i < 3 BEGIN SET @i = @i + 1 END; SELECT @i", "3"},
		{"SET NOCOUNT ON; CREATE TABLE #t (a int); INSERT INTO #t VALUES (1), (2); SELECT SUM(a) FROM #t; DROP TABLE #t", "3"},
		// Comments nest, quotes hide them.
		{"/* a /* nested */ ; SELECT 'no' */ SELECT 1 /**/ + /*/**/*/ 1, '/*' + '*/' -- /*", "2 /**/"},
		// About the server.
		{"SELECT DB_NAME(), SCHEMA_NAME(), @@TRANCOUNT, CASE WHEN OBJECT_ID('dbo.People') IS NULL THEN 0 ELSE 1 END", "shop dbo 0 1"},
		{"SELECT name, is_read_committed_snapshot_on, snapshot_isolation_state FROM sys.databases WHERE name = 'shop'", "shop 1 1"},
		{"SELECT c.name, t.name, c.max_length, c.precision, c.scale, c.is_nullable FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID('dbo.People') AND c.column_id IN (2, 5)", "Name nvarchar 40 0 0 1 | Pay decimal 5 9 2 1"},
		{"SELECT i.is_primary_key, COL_NAME(ic.object_id, ic.column_id) FROM sys.indexes i JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id WHERE i.object_id = OBJECT_ID('dbo.People')", "1 Id"},
		{"SELECT COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'people' AND COLUMN_NAME = 'Pay'", "Pay decimal 9"},
		{"SELECT name, system_type_name, is_nullable FROM sys.dm_exec_describe_first_result_set(N'SELECT Id, Pay * 2 AS p FROM dbo.People', NULL, 0)", "Id int 0 | p decimal(11,2) 1"},
		{"SET TEXTSIZE 5; SELECT CAST('abcdefgh' AS varchar(max)), CAST('abcdefgh' AS varchar(10)); SET TEXTSIZE 2147483647", "abcde abcdefgh"},
	} {
		got, err := lastResult(db, test.query)
		if err != nil {
			t.Errorf("%s\n%v", test.query, err)
		} else if got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.query, got, test.want)
		}
	}
}

// lastResult gives the rows of the last of a batch's results as text.
func lastResult(db *sql.DB, batch string, args ...any) (string, error) {
	rows, err := db.Query(batch, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var lines []string
	for {
		cols, err := rows.Columns()
		if err != nil {
			return "", err
		}
		lines = lines[:0]
		for rows.Next() {
			values := make([]any, len(cols))
			into := make([]any, len(cols))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				return "", err
			}
			var parts []string
			for _, v := range values {
				parts = append(parts, textOf(v))
			}
			lines = append(lines, strings.Join(parts, " "))
		}
		if !rows.NextResultSet() {
			return strings.Join(lines, " | "), rows.Err()
		}
	}
}
