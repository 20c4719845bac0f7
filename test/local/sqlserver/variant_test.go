package sqlserver

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

func TestAVariantKeepsItsBaseType(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.V (Id int IDENTITY NOT NULL PRIMARY KEY, V sql_variant NULL)")
	for _, test := range []struct {
		declared, literal string
		read              any
		properties        string // base type, precision, scale, length
	}{
		{"bit", "1", true, "bit 1 0 1"},
		{"tinyint", "255", int64(255), "tinyint 3 0 1"},
		{"smallint", "-32768", int64(-32768), "smallint 5 0 2"},
		{"int", "-2147483648", int64(-2147483648), "int 10 0 4"},
		{"bigint", "9223372036854775807", int64(9223372036854775807), "bigint 19 0 8"},
		{"decimal(38,0)", "-99999999999999999999999999999999999999", []byte("-99999999999999999999999999999999999999"), "decimal 38 0 17"},
		{"decimal(9,4)", "12345.6789", []byte("12345.6789"), "decimal 9 4 5"},
		{"numeric(28,28)", "0.0000000000000000000000000001", []byte("0.0000000000000000000000000001"), "numeric 28 28 13"},
		{"money", "-922337203685477.5808", []byte("-922337203685477.5808"), "money 19 4 8"},
		{"smallmoney", "214748.3647", []byte("214748.3647"), "smallmoney 10 4 4"},
		{"float", "1.7976931348623157E308", 1.7976931348623157e308, "float 53 0 8"},
		{"real", "0.1", float64(float32(0.1)), "real 24 0 4"},
		{"date", "'9999-12-31'", moment0("9999-12-31"), "date 10 0 3"},
		{"time(7)", "'23:59:59.9999999'", atTime("23:59:59.9999999"), "time 16 7 5"},
		{"datetime", "'9999-12-31T23:59:59.997'", moment0("9999-12-31 23:59:59.997"), "datetime 23 3 8"},
		{"smalldatetime", "'2079-06-06T23:59:00'", moment0("2079-06-06 23:59:00"), "smalldatetime 16 0 4"},
		{"datetime2(7)", "'0001-01-01T00:00:00.0000001'", moment0("0001-01-01 00:00:00.0000001"), "datetime2 27 7 8"},
		{"datetime2(3)", "'9999-12-31T23:59:59.999'", moment0("9999-12-31 23:59:59.999"), "datetime2 23 3 7"},
		{"datetimeoffset(7)", "'9999-12-30T23:59:59.9999999-14:00'", moment0("9999-12-30 23:59:59.9999999 -14:00"), "datetimeoffset 34 7 10"},
		{"nvarchar(4000)", "N'Ωδ😀日本'", "Ωδ😀日本", "nvarchar 0 0 8000"},
		{"nchar(3)", "N'ß'", "ß  ", "nchar 0 0 6"},
		{"varchar(8000)", "REPLICATE('x', 8000)", strings.Repeat("x", 8000), "varchar 0 0 8000"},
		{"char(3)", "'é'", "é  ", "char 0 0 3"},
		{"varbinary(8000)", "0x00FF", []byte{0, 255}, "varbinary 0 0 8000"},
		{"binary(3)", "0x01", []byte{1, 0, 0}, "binary 0 0 3"},
		{"uniqueidentifier", "'00112233-4455-6677-8899-AABBCCDDEEFF'", guid("00112233-4455-6677-8899-AABBCCDDEEFF"), "uniqueidentifier 0 0 16"},
	} {
		t.Run(test.declared, func(t *testing.T) {
			run(t, db, "INSERT INTO dbo.V VALUES (CAST("+test.literal+" AS "+test.declared+"))")
			var got any
			var properties, same string
			err := db.QueryRow("SELECT TOP (1) V, CONCAT_WS(' ', CAST(SQL_VARIANT_PROPERTY(V, 'BaseType') AS nvarchar(40)), CAST(SQL_VARIANT_PROPERTY(V, 'Precision') AS nvarchar(9)), "+
				"CAST(SQL_VARIANT_PROPERTY(V, 'Scale') AS nvarchar(9)), CAST(SQL_VARIANT_PROPERTY(V, 'MaxLength') AS nvarchar(9))), "+
				"CASE WHEN CAST(V AS "+test.declared+") = CAST("+test.literal+" AS "+test.declared+") AND V = CAST("+test.literal+" AS "+test.declared+") THEN 'same' ELSE 'different' END FROM dbo.V ORDER BY Id DESC").Scan(&got, &properties, &same)
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := got.([]byte); ok && strings.HasPrefix(test.declared, "real") {
				t.Fatalf("got bytes %x", s)
			}
			if !equalValue(got, test.read) || properties != test.properties || same != "same" {
				t.Errorf("got %v (%T), %s, %s; want %v (%T), %s", shorten(got), got, properties, same, shorten(test.read), test.read, test.properties)
			}
		})
	}
	run(t, db, "INSERT INTO dbo.V VALUES (NULL)")
	for query, want := range map[string]string{
		"SELECT COUNT(*), COUNT(V), COUNT(SQL_VARIANT_PROPERTY(V, 'BaseType')) FROM dbo.V":                                                     "27 26 26",
		"SELECT CASE WHEN CAST(1 AS sql_variant) < CAST(1.5 AS sql_variant) AND CAST(N'9' AS sql_variant) < CAST(1 AS sql_variant) THEN 1 END": "1",
		"SELECT V + 1 FROM dbo.V":                                  "8117",
		"INSERT INTO dbo.V VALUES (CAST('x' AS varchar(max)))":     "206",
		"INSERT INTO dbo.V VALUES (CAST('x' AS xml))":              "206",
		"DECLARE @i int = CAST(5 AS sql_variant)":                  "257",
		"SELECT CAST(CAST(5 AS sql_variant) AS nvarchar(9)) + '!'": "5!",
		"SELECT Id FROM dbo.V ORDER BY V":                          "49999",
	} {
		if got := outcome(db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestPropertiesOfTheServerAreVariants(t *testing.T) {
	_, db := startShop(t)
	types, err := columnTypes(db, "SELECT SERVERPROPERTY('ServerName'), DATABASEPROPERTYEX(DB_NAME(), 'Updateability'), CONNECTIONPROPERTY('net_transport')")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range types {
		if c.DatabaseTypeName() != "SQL_VARIANT" {
			t.Errorf("a property is a %s", c.DatabaseTypeName())
		}
	}
	for query, want := range map[string]string{
		"SELECT SERVERPROPERTY('ServerName'), @@SERVERNAME":                                            serverName + " " + serverName,
		"SELECT SERVERPROPERTY('EngineEdition'), SERVERPROPERTY('IsHadrEnabled')":                      "3 0",
		"SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))":                               "13.0.0.0",
		"SELECT SERVERPROPERTY(N'Nothing'), DATABASEPROPERTYEX(N'nowhere', 'Status')":                  "NULL NULL",
		"SELECT DATABASEPROPERTYEX(N'shop', 'Status'), DATABASEPROPERTYEX(N'shop', 'Collation')":       "ONLINE " + collationOfServer,
		"SELECT 1 WHERE SERVERPROPERTY('EngineEdition') IN (2, 3) AND SERVERPROPERTY('Edition') > N''": "1",
		"SELECT ISNULL(SERVERPROPERTY('Nothing'), 0)":                                                  "0",
		"SELECT SERVERPROPERTY('ServerName') + N''":                                                    "8117",
	} {
		if got := outcome(db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestCLRTypesComeAsUserDefinedTypes(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.Places (Id int NOT NULL PRIMARY KEY, H hierarchyid NULL, G geography NULL, M geometry NULL)",
		"INSERT INTO dbo.Places VALUES (1, 0x58, 0xE6100000010C00, 0x00000000010C), (2, NULL, NULL, NULL)")
	types, err := columnTypes(db, "SELECT H, G, M FROM dbo.Places")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range types {
		names = append(names, c.DatabaseTypeName())
	}
	if got := strings.Join(names, " "); got != "HIERARCHYID GEOGRAPHY GEOMETRY" {
		t.Errorf("the client is told of %s", got)
	}
	for query, want := range map[string]string{
		"SELECT H, CAST(G AS varbinary(max)), M FROM dbo.Places WHERE Id = 1": "X " + unhex("E6100000010C00") + " " + unhex("00000000010C"),
		"SELECT H, G, M FROM dbo.Places WHERE Id = 2":                         "NULL NULL NULL",
		"SELECT c.name, t.name, t.is_assembly_type, c.system_type_id FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID('dbo.Places') AND c.column_id > 1": "H hierarchyid 1 240 | G geography 1 240 | M geometry 1 240",
		"SELECT name, system_type_name, user_type_name FROM sys.dm_exec_describe_first_result_set(N'SELECT H FROM dbo.Places', NULL, 0)":                                                                     "H hierarchyid hierarchyid",
		"SELECT Id FROM dbo.Places ORDER BY G":           "305",
		"SELECT CAST(H AS nvarchar(10)) FROM dbo.Places": "529",
	} {
		if got := outcome(db, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

func unhex(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestLargeAndOldTypesKeepTheirValues(t *testing.T) {
	_, db := startShop(t)
	long := strings.Repeat("日本é", 30000)
	for i, test := range []struct {
		declared string
		database string // the name that the client is told
		value    any
		read     any
	}{
		{"json", "NVARCHAR", `{"a": [1, "日本"]}`, `{"a": [1, "日本"]}`},
		{"xml", "XML", "<a>日本</a>", "<a>日本</a>"},
		{"ntext", "NTEXT", long, long},
		{"text", "TEXT", "é" + strings.Repeat("x", 100000), "é" + strings.Repeat("x", 100000)},
		{"image", "IMAGE", []byte(long), []byte(long)},
		{"nvarchar(max)", "NVARCHAR", long, long},
		{"varbinary(max)", "VARBINARY", []byte(long), []byte(long)},
		{"varchar(max)", "VARCHAR", "", ""},
		{"image", "IMAGE", []byte{}, []byte{}},
		{"ntext", "NTEXT", "", ""},
	} {
		t.Run(test.declared, func(t *testing.T) {
			table := fmt.Sprintf("dbo.B%d", i)
			run(t, db, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, V "+test.declared+" NULL)", "INSERT INTO "+table+" VALUES (2, NULL)")
			if _, err := db.Exec("INSERT INTO "+table+" VALUES (1, CAST(@p1 AS "+test.declared+"))", test.value); err != nil {
				t.Fatal(err)
			}
			types, err := columnTypes(db, "SELECT V FROM "+table)
			if err != nil {
				t.Fatal(err)
			}
			if got := types[0].DatabaseTypeName(); got != test.database {
				t.Errorf("the client is told of %s, want %s", got, test.database)
			}
			var v, null any
			if err := db.QueryRow("SELECT (SELECT V FROM "+table+" WHERE Id = 1), V FROM "+table+" WHERE Id = 2").Scan(&v, &null); err != nil {
				t.Fatal(err)
			}
			if s, ok := v.([]byte); ok && !equalValue(v, test.read) {
				v = string(s)
			}
			if !equalValue(v, test.read) || null != nil {
				t.Errorf("got %v (%T) and %v, want %v", shorten(v), v, null, shorten(test.read))
			}
		})
	}
	if got := outcome(db, "INSERT INTO dbo.B0 VALUES (3, N'{')"); got != "13609" {
		t.Errorf("what is no JSON: %s", got)
	}
}

func TestARowversionIsSentAsATimestamp(t *testing.T) {
	_, db := startShop(t)
	run(t, db, "CREATE TABLE dbo.R (Id int NOT NULL PRIMARY KEY, V rowversion)", "INSERT INTO dbo.R (Id) VALUES (1)")
	var v []byte
	var at time.Time
	if err := db.QueryRow("SELECT V, SYSUTCDATETIME() FROM dbo.R").Scan(&v, &at); err != nil || len(v) != 8 {
		t.Fatalf("got %x (%v)", v, err)
	}
	var unique mssql.UniqueIdentifier
	if err := db.QueryRow("SELECT NEWID() WHERE @p1 = (SELECT V FROM dbo.R)", v).Scan(&unique); err != nil {
		t.Fatal(err)
	}
}
