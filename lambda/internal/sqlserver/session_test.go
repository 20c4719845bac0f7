package sqlserver_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	reading "sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/sqlserver"
)

func newSelection(t *testing.T, s pipeline.Source) *reading.Selection {
	t.Helper()
	x, err := reading.NewSelection(s, pipeline.Limits{MaxDOP: 1}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTheServerSaysWhoItIs(t *testing.T) {
	shop := theShop(t)
	id, err := shop.session(t).Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if id.Database != shop.login.Database || id.DatabaseCreated == "" || id.Version == "" || strings.Contains(id.Version, "\n") || id.Server == "" ||
		id.RCSI == nil || id.SnapshotAllowed == nil || id.ReadOnly || id.ServerTime.IsZero() ||
		id.Address != fmt.Sprintf("%s:%d", shop.login.Host, shop.login.Port) {
		t.Fatalf("got %+v", id)
	}
	if shop.local != nil && (id.Skew > time.Minute || id.Skew < -time.Minute) {
		t.Errorf("the same clock is off by %s", id.Skew)
	}
}

func TestATableOfTheCatalog(t *testing.T) {
	shop := theShop(t)
	name := shop.table(t, "Id int IDENTITY(1,1) NOT NULL PRIMARY KEY, Code varchar(10) NULL, Day date NOT NULL, Ver rowversion NOT NULL")
	shop.execute(t, "CREATE UNIQUE INDEX ux ON "+name+" (Code, Day)")
	shop.execute(t, "CREATE INDEX ix ON "+name+" (Ver) INCLUDE (Code)")
	shop.execute(t, "INSERT INTO "+name+" (Code, Day) VALUES ('a', '2026-01-01'), ('b', '2026-01-02'), (NULL, '2026-01-03')")
	table, err := shop.session(t).Table(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if table.ObjectID == 0 || table.Created == "" || table.Kind != "table" || table.Rows != 3 || len(table.Columns) != 4 || len(table.Indexes) != 3 {
		t.Fatalf("got %+v", table)
	}
	id, _ := table.Column("id")
	code, _ := table.Column("Code")
	ver, _ := table.Column("Ver")
	if id.Type != "int" || !id.Identity || id.Nullable || code.Type != "varchar" || !code.Nullable || code.Collation == "" || code.Masked || code.Encrypted || ver.Type != "timestamp" {
		t.Errorf("the columns are %+v", table.Columns)
	}
	for column, want := range map[string][2]bool{"ID": {true, true}, "Code": {true, false}, "Day": {false, false}, "ver": {true, false}, "no": {false, false}} {
		if got := [2]bool{table.Led(column), table.UniqueOn(column)}; got != want {
			t.Errorf("%s leads an index and is unique: %v, want %v", column, got, want)
		}
	}
	if table, err = shop.session(t).Table(t.Context(), "dbo.NoSuchTable"); err != nil || table.Kind != "" || table.Rows != -1 {
		t.Errorf("a table that isn't there is %+v, %v", table, err)
	}
	if _, err = shop.session(t).Table(t.Context(), "a.b.c"); err == nil {
		t.Error("a table of another database was taken")
	}
}

// A query that can't be wrapped is described by SET FMTONLY, and the session reads rows again afterwards.
func TestColumnsAreDescribedWithoutRows(t *testing.T) {
	shop := theShop(t)
	session := shop.session(t)
	name := shop.table(t, "Id int NOT NULL, Amount decimal(12,2) NULL, Note nvarchar(max) NULL")
	shop.execute(t, "INSERT INTO "+name+" VALUES (1, 2.5, 'a')")
	for _, c := range []struct {
		name   string
		source pipeline.Source
		want   string
	}{
		{"a table", pipeline.Source{Table: name}, "Id int, Amount decimal(12,2) null, Note nvarchar(max) null"},
		{"a query", pipeline.Source{Query: "SELECT Amount, Id FROM " + name + " -- why"}, "Amount decimal(12,2) null, Id int"},
		{"a query with a parameter", pipeline.Source{Query: "SELECT Id FROM " + name + " WHERE @runTime > '2020-01-01'"}, "Id int"},
		{"steps", pipeline.Source{Query: "WITH a AS (SELECT Id, Amount FROM " + name + ") SELECT Id, Amount FROM a"}, "Id int, Amount decimal(12,2) null"},
		{"steps with a parameter", pipeline.Source{Query: "WITH a AS (SELECT Id FROM " + name + " WHERE @runTime > '2020-01-01') SELECT Id FROM a"}, "Id int"},
		{"an order", pipeline.Source{Query: "SELECT Id FROM " + name + " ORDER BY Id;"}, "Id int"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newSelection(t, c.source)
			columns, err := session.DescribeColumns(t.Context(), x.Describe())
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(columns); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			columns, rows := read(t, session, x.All(nil, nil, nil))
			if got := describe(columns); got != c.want || len(rows) != 1 {
				t.Errorf("reading gave %d rows of %s", len(rows), got)
			}
		})
	}
}

func describe(columns []reading.Column) string {
	var words []string
	for _, c := range columns {
		word := c.Name + " " + c.SQLType()
		if c.Nullable {
			word += " null"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// The order of pages is by the column, not by what a cast of the same name makes of it.
func TestAPageOfACastKeyIsInTheKeysOrder(t *testing.T) {
	shop := theShop(t)
	session := shop.session(t)
	name := shop.table(t, "Id int NOT NULL PRIMARY KEY")
	shop.execute(t, "INSERT INTO "+name+" VALUES (9), (10), (100)")
	x := newSelection(t, pipeline.Source{Table: name})
	columns, err := session.DescribeColumns(t.Context(), x.Describe())
	if err != nil {
		t.Fatal(err)
	}
	_, rows := read(t, session, x.Page([]reading.Selected{{Name: "Id", Cast: "varchar(10)"}}, columns[0], true, planRange(), nil, nil, nil, 2))
	if fmt.Sprint(rows) != "[[9] [10]]" {
		t.Fatalf("got %v", rows)
	}
}

func TestTheBoundsOfAnAppendLoadAreExact(t *testing.T) {
	shop := theShop(t)
	session := shop.session(t)
	name := shop.table(t, "Id int NOT NULL PRIMARY KEY, Ver rowversion NOT NULL")
	insert := func(from, to int) {
		for id := from; id <= to; id++ {
			shop.execute(t, fmt.Sprintf("INSERT INTO %s (Id) VALUES (%d)", name, id))
		}
	}
	bound := func() string {
		v, err := session.Rowversions(t.Context())
		if err != nil || v.MinActive != v.Last+1 {
			t.Fatalf("got %+v, %v", v, err)
		}
		return reading.RowversionText(v.MinActive)
	}
	insert(1, 3)
	from := bound()
	insert(4, 7)
	to := bound()
	insert(8, 9)
	x := newSelection(t, pipeline.Source{Table: name})
	columns, err := session.DescribeColumns(t.Context(), x.Describe())
	if err != nil {
		t.Fatal(err)
	}
	ids := []reading.Selected{{Name: "Id"}}
	_, first := read(t, session, x.All(ids, &manifest.Bounds{Column: "Ver", To: from}, &columns[1]))
	_, second := read(t, session, x.Page(ids, columns[0], true, planRange(), nil, &manifest.Bounds{Column: "Ver", From: from, To: to}, &columns[1], 100))
	if fmt.Sprint(first, second) != "[[1] [2] [3]] [[4] [5] [6] [7]]" {
		t.Fatalf("got %v and %v", first, second)
	}
	if highest, found, err := session.Highest(t.Context(), name, columns[0]); highest != "9" || !found || err != nil {
		t.Errorf("the highest is %s, %v, %v", highest, found, err)
	}
	if highest, found, err := session.Highest(t.Context(), shop.table(t, "Id int NULL"), columns[0]); found || err != nil {
		t.Errorf("the highest of an empty table is %s, %v", highest, err)
	}
}

func TestBoundaries(t *testing.T) {
	shop := theShop(t)
	session := shop.session(t)
	indexed := shop.table(t, "Id int NOT NULL PRIMARY KEY, Other int NOT NULL, Guid uniqueidentifier NOT NULL")
	var rows []string
	for i := range 1000 {
		rows = append(rows, fmt.Sprintf("(%d, %d, '%08X-0000-0000-0000-%012X')", i, i, 1000-i, i*7919%1000))
	}
	shop.execute(t, "INSERT INTO "+indexed+" VALUES "+strings.Join(rows, ", "))
	shop.execute(t, "CREATE INDEX guids ON "+indexed+" (Guid)")
	shop.execute(t, "UPDATE STATISTICS "+indexed)
	table, err := session.Table(t.Context(), indexed)
	if err != nil {
		t.Fatal(err)
	}
	x := newSelection(t, pipeline.Source{Table: indexed})
	columns, err := session.DescribeColumns(t.Context(), x.Describe())
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range []reading.Column{columns[0], columns[2]} {
		values, how, err := session.Boundaries(t.Context(), table, column, 4)
		if err != nil || how != reading.Histogram || len(values) < 2 || len(values) > 6 {
			t.Errorf("%s is divided at %v by %s, %v", column.Name, values, how, err)
			continue
		}
		if ordered, err := session.Order(t.Context(), column, values); err != nil || strings.Join(ordered, " ") != strings.Join(values, " ") {
			t.Errorf("%v is not in the server's order, which is %v, %v", values, ordered, err)
		}
	}
	if values, how, err := session.Boundaries(t.Context(), table, columns[0], 1); len(values) != 0 || how != reading.OnePartition || err != nil {
		t.Errorf("one range has boundaries: %v, %s, %v", values, how, err)
	}
	if _, _, err := session.Boundaries(t.Context(), table, reading.Column{Name: "f", Type: "float"}, 4); err == nil {
		t.Error("a float was taken for a key")
	}
}

// A replica has a creation date of its own, and its group's id in common with the others: a failover is no restore.
func TestAReplicaThatBecameThePrimaryIsTheSameDatabase(t *testing.T) {
	const guid = "6F9619FF-8B86-D011-B42D-00C04FC964FF"
	for _, c := range []struct {
		name, want string
		options    sqlserver.Options
	}{
		{"an availability group", "availability group " + guid, sqlserver.Options{AvailabilityGroup: guid}},
		{"mirroring", "mirroring " + guid, sqlserver.Options{Mirroring: guid}},
		{"a server without the view of groups", "mirroring " + guid, sqlserver.Options{Mirroring: guid, MissingViews: []string{"sys.databases"}}},
		{"no replicas", "", sqlserver.Options{}},
		{"a server that says nothing of them", "", sqlserver.Options{MissingViews: []string{"sys.databases", "sys.database_mirroring"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := shopWith(t, c.options).session(t).Identify(t.Context())
			if err != nil || id.DatabaseGroup != c.want {
				t.Fatalf("got %q, %v", id.DatabaseGroup, err)
			}
			replica := id.Identity
			replica.DatabaseCreated = "2020-01-01T00:00:00.000"
			if same := id.Differs(replica) == ""; same != (c.want != "" || id.DatabaseCreated == "") {
				t.Errorf("a replica of another creation date is the same: %v", same)
			}
		})
	}
}

// What an engine or a login lacks leaves gaps in what is known, and reads on.
func TestAnExportCanDoWithoutTheCatalog(t *testing.T) {
	shop := shopWith(t, sqlserver.Options{
		MissingViews: []string{
			"sys.databases", "sys.objects", "sys.columns", "sys.indexes", "sys.index_columns", "sys.partitions", "sys.stats", "sys.stats_columns", "sys.dm_db_stats_histogram",
			"sys.security_policies", "sys.security_predicates", "sys.synonyms",
		},
		Logins: []sqlserver.Login{{Name: "poor", Password: password, ReadOnly: true, Denied: []string{"VIEW DATABASE STATE", "VIEW SERVER STATE", "VIEW DEFINITION"}}},
	})
	name := shop.table(t, "Id int NOT NULL PRIMARY KEY, Ver rowversion NOT NULL")
	shop.execute(t, "INSERT INTO "+name+" (Id) VALUES (1), (2)")
	session := shop.session(t, as("poor"))
	id, err := session.Identify(t.Context())
	if err != nil || id.Database != "shop" || id.RCSI != nil || id.SnapshotAllowed != nil || id.DatabaseCreated != "" {
		t.Errorf("the identity is %+v, %v", id, err)
	}
	table, err := session.Table(t.Context(), name)
	if err != nil || table.Rows != -1 || table.Kind != "" || table.Led("Id") {
		t.Errorf("the table is %+v, %v", table, err)
	}
	x := newSelection(t, pipeline.Source{Table: name})
	if hidden, err := session.Hidden(t.Context(), x, &table); err != nil || len(hidden) != 0 {
		t.Errorf("hidden is %v, %v", hidden, err)
	}
	columns, err := session.DescribeColumns(t.Context(), x.Describe())
	if err != nil {
		t.Fatal(err)
	}
	if values, how, err := session.Boundaries(t.Context(), table, columns[0], 4); err != nil || how != reading.OnePartition || len(values) != 0 {
		t.Errorf("boundaries are %v, %s, %v", values, how, err)
	}
	if _, err := session.Rowversions(t.Context()); err != nil {
		t.Error(err)
	}
	if blocker, err := session.Blocker(t.Context()); err != nil || !strings.Contains(blocker, "VIEW SERVER STATE") {
		t.Errorf("the blocker is %q, %v", blocker, err)
	}
	if _, rows := read(t, session, x.All(nil, nil, nil)); len(rows) != 2 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestWhatIsHiddenFromTheLoginIsFound(t *testing.T) {
	shop := shopWith(t, sqlserver.Options{
		SecurityPolicies: []sqlserver.SecurityPolicy{
			{Name: "dbo.RegionFilter", Table: "dbo.Regional", Predicate: "([dbo].[fn_region]([Region]))"},
			{Name: "dbo.Off", Table: "dbo.Plain", Disabled: true},
		},
		Logins: []sqlserver.Login{{Name: "masked", Password: password, ReadOnly: true, Denied: []string{"UNMASK"}}},
	})
	shop.execute(t, "CREATE TABLE dbo.Plain (Id int NOT NULL)")
	shop.execute(t, "CREATE TABLE dbo.Regional (Id int NOT NULL, Region int NOT NULL)")
	shop.execute(t, "CREATE TABLE dbo.People (Id int NOT NULL, Email varchar(50) MASKED WITH (FUNCTION = 'email()') NULL)")
	const mask, policy = `maskedColumns: column "Email" of dbo.People`, "rowLevelSecurity: the security policy RegionFilter filters the rows of dbo.Regional"
	for _, c := range []struct {
		name, login string
		source      pipeline.Source
		want        []string
	}{
		{"a table without anything", "masked", pipeline.Source{Table: "dbo.Plain"}, nil},
		{"a masked table", "masked", pipeline.Source{Table: "dbo.People"}, []string{mask}},
		{"a masked table for who may see it", "owner", pipeline.Source{Table: "dbo.People"}, nil},
		{"a filtered table", "owner", pipeline.Source{Table: "dbo.Regional"}, []string{policy}},
		{"a query of masked columns", "masked", pipeline.Source{Query: "SELECT p.[email] FROM people AS p"}, []string{mask}},
		{"a query of all columns", "masked", pipeline.Source{Query: "SELECT * FROM dbo.People"}, []string{mask}},
		{"a query of other columns", "masked", pipeline.Source{Query: "SELECT p.Id FROM dbo.People AS p"}, nil},
		{"a query of a filtered table", "masked", pipeline.Source{Query: "WITH a AS (SELECT Id FROM [Regional]) SELECT Id FROM a"}, []string{policy}},
		{"names in texts and comments", "masked", pipeline.Source{Query: "SELECT 'People, Email, Regional' AS a /* Regional */ FROM dbo.Plain"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			session := shop.session(t, as(c.login))
			x := newSelection(t, c.source)
			var table *reading.Table
			if c.source.Table != "" {
				found, err := session.Table(t.Context(), c.source.Table)
				if err != nil {
					t.Fatal(err)
				}
				table = &found
			}
			hidden, err := session.Hidden(t.Context(), x, table)
			if err != nil || len(hidden) != len(c.want) {
				t.Fatalf("got %v, %v", hidden, err)
			}
			for i, want := range c.want {
				if got := string(hidden[i].Consent) + ": " + hidden[i].What; !strings.HasPrefix(got, want) || !strings.Contains(hidden[i].Remedy, string(hidden[i].Consent)) {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

// What a login that may read a view, and not see its text, can't know is refused where a mask may be behind it, and nowhere else.
func TestWhatAViewMayHideIsFoundWithoutSeeingItsDefinition(t *testing.T) {
	poor := func(name string, denied ...string) sqlserver.Login {
		return sqlserver.Login{Name: name, Password: password, ReadOnly: true, Denied: denied}
	}
	shop := shopWith(t, sqlserver.Options{Logins: []sqlserver.Login{
		poor("poor", "VIEW DEFINITION", "UNMASK", "SELECT ON dbo.People"), poor("seeing", "UNMASK"), poor("unmasked", "VIEW DEFINITION", "SELECT ON dbo.People"),
	}})
	shop.execute(t, "CREATE TABLE dbo.People (Id int NOT NULL, Email varchar(50) MASKED WITH (FUNCTION = 'email()') NULL)")
	shop.execute(t, "CREATE TABLE dbo.Plain (Id int NOT NULL)")
	shop.execute(t, "CREATE VIEW dbo.Persons AS SELECT Id, Email AS Address FROM dbo.People")
	shop.execute(t, "CREATE SYNONYM dbo.Alias FOR dbo.Persons")
	shop.execute(t, "CREATE SYNONYM dbo.Flat FOR dbo.Plain")
	unseen := func(object string) string { return "what " + object + " reads can't be seen by the pipeline's login" }
	for _, c := range []struct {
		name, login string
		source      pipeline.Source
		want        string
	}{
		{"a view", "poor", pipeline.Source{Table: "dbo.Persons"}, unseen("dbo.Persons")},
		{"a query of a view", "poor", pipeline.Source{Query: "SELECT p.Address FROM dbo.[Persons] AS p"}, unseen("dbo.Persons")},
		{"a join with a view", "poor", pipeline.Source{Query: "SELECT x.Id FROM Plain AS x JOIN persons ON x.Id = persons.Id"}, unseen("dbo.Persons")},
		{"a synonym of a view", "poor", pipeline.Source{Query: "SELECT Id FROM Alias"}, unseen("dbo.Alias")},
		{"a table of another database", "poor", pipeline.Source{Query: "SELECT Id FROM other.dbo.Plain"}, unseen("other.dbo.Plain")},
		{"a table", "poor", pipeline.Source{Table: "dbo.Plain"}, ""},
		{"a query of a table", "poor", pipeline.Source{Query: "SELECT Id AS Persons, 'Alias' AS a FROM shop.dbo.Plain WHERE Id > 1"}, ""},
		{"a synonym of a table", "poor", pipeline.Source{Query: "SELECT Id FROM Flat"}, ""},
		{"a view for who sees what it reads", "seeing", pipeline.Source{Table: "dbo.Persons"}, `column "Email" of dbo.People is masked`},
		{"a view for who sees through masks", "unmasked", pipeline.Source{Table: "dbo.Persons"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			session := shop.session(t, as(c.login))
			x := newSelection(t, c.source)
			var table *reading.Table
			if c.source.Table != "" {
				found, err := session.Table(t.Context(), c.source.Table)
				if err != nil {
					t.Fatal(err)
				}
				table = &found
			}
			hidden, err := session.Hidden(t.Context(), x, table)
			if err != nil || len(hidden) == 0 != (c.want == "") {
				t.Fatalf("got %v, %v", hidden, err)
			}
			if c.want != "" && (hidden[0].Consent != pipeline.AcceptMasked || !strings.HasPrefix(hidden[0].What, c.want)) {
				t.Errorf("got %s: %s", hidden[0].Consent, hidden[0].What)
			}
			id, err := session.Identify(t.Context())
			if err != nil || id.PoliciesUnseen != (c.login != "seeing") {
				t.Errorf("row policies unseen: %v, %v", id.PoliciesUnseen, err)
			}
			const sentence = "Row policies could not be looked for"
			if _, guarantee := id.Guarantee(c.source, false, false); strings.Contains(guarantee, sentence) != id.PoliciesUnseen {
				t.Errorf("the guarantee is %s", guarantee)
			}
		})
	}
}

// A value that is longer than is taken arrives cut, so that it doesn't fill the memory, and never so short that it would pass.
func TestWhatIsCutIsLongerThanWhatIsTaken(t *testing.T) {
	shop := theShop(t)
	const most = 100_000
	session := shop.session(t, func(_ *reading.Login, o *reading.Options) { o.MaxValueBytes = most })
	for _, c := range []struct {
		name, value string
		length      int // in UTF-8 or bytes; -1: longer than is taken
	}{
		{"a text of the length that is taken", "REPLICATE(CAST('a' AS varchar(max)), 100000)", most},
		{"a Unicode text of the length that is taken", "REPLICATE(CAST(N'a' AS nvarchar(max)), 100000)", most},
		{"a Unicode text of three bytes a letter", "REPLICATE(CAST(N'日' AS nvarchar(max)), 33333)", 99_999},
		{"a longer text", "REPLICATE(CAST('a' AS varchar(max)), 1000000)", -1},
		{"a longer Unicode text", "REPLICATE(CAST(N'a' AS nvarchar(max)), 1000000)", -1},
		{"longer bytes", "CAST(REPLICATE(CAST('a' AS varchar(max)), 1000000) AS varbinary(max))", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, rows := read(t, session, reading.Statement{Text: "SELECT " + c.value + " AS v", From: "the test"})
			length := len(fmt.Sprint(rows[0][0]))
			if b, ok := rows[0][0].([]byte); ok {
				length = len(b)
			}
			if c.length >= 0 && length != c.length || c.length < 0 && (length <= most || length > 2*most+2) {
				t.Fatalf("%d bytes arrived", length)
			}
		})
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	shop := theShop(t)
	session := shop.session(t)
	name := shop.table(t, "Id int NOT NULL, Note varchar(10) NULL")
	shop.execute(t, "INSERT INTO "+name+" VALUES (1, '1'), (2, 'x')")
	for _, c := range []struct {
		name, query string
		parts       []string
	}{
		{"a table that isn't there", "SELECT a\nFROM dbo.NoSuchTable", []string{"error 208", "queries/q.sql, line ", "check the table's name"}},
		{"a column that isn't there", "SELECT nothing FROM " + name, []string{"error 207", "check the column's name"}},
		{"a value that fails behind others", "SELECT CAST(Note AS int) AS n FROM " + name, []string{"error 245", "use TRY_CAST"}},
		{"a division by zero", "SELECT 1 / (Id - 1) AS n FROM " + name, []string{"error 8134", "NULLIF"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newSelection(t, pipeline.Source{Query: c.query, QueryFile: "queries/q.sql"})
			_, _, err := tryRead(t, session, x.All(nil, nil, nil))
			hasText(t, err, c.parts...)
			if reading.Transient(err) {
				t.Error("starting over is no help")
			}
		})
	}
	x := newSelection(t, pipeline.Source{Query: "SELECT Id, Id FROM " + name, QueryFile: "queries/q.sql"})
	_, err := session.DescribeColumns(t.Context(), x.Describe())
	hasText(t, err, "error 8156", "another name with AS")
	x = newSelection(t, pipeline.Source{Query: "SELECT Id + 1 FROM " + name, QueryFile: "queries/q.sql"})
	_, err = session.DescribeColumns(t.Context(), x.Describe())
	hasText(t, err, "error 8155", "a name with AS")
}

func TestErrorsThatMayBeGone(t *testing.T) {
	shop := shopWith(t, sqlserver.Options{})
	name := shop.table(t, "Id int NOT NULL")
	shop.execute(t, "INSERT INTO "+name+" VALUES (1), (2), (3)")
	x := newSelection(t, pipeline.Source{Table: name})
	for _, c := range []struct {
		fault     sqlserver.Fault
		transient bool
		part      string
	}{
		{sqlserver.Fault{Error: 1205}, true, "deadlock"},
		{sqlserver.Fault{Error: 1222}, true, "export.lockTimeoutSeconds"},
		{sqlserver.Fault{Error: 976}, true, "error 976"},
		{sqlserver.Fault{Error: 3952}, false, "SET ALLOW_SNAPSHOT_ISOLATION ON"},
		{sqlserver.Fault{Error: 3961}, true, "changed by DDL"},
		{sqlserver.Fault{Error: 3966}, true, "tempdb"},
		{sqlserver.Fault{Error: 229}, false, "grant SELECT"},
		{sqlserver.Fault{Kill: true}, true, "the connection to SQL Server broke"},
		{sqlserver.Fault{Kill: true, KillAfterRows: 2}, true, "the connection to SQL Server broke"},
	} {
		t.Run(fmt.Sprintf("%d after %d", c.fault.Error, c.fault.KillAfterRows), func(t *testing.T) {
			session := shop.session(t)
			c.fault.Match = name
			if c.fault.Match = strings.TrimPrefix(name, "dbo."); c.fault.Error != 0 && c.fault.Message == "" {
				c.fault.Message = "What the server says."
			}
			shop.local.OrderFault(c.fault)
			_, _, err := tryRead(t, session, x.All(nil, nil, nil))
			hasText(t, err, c.part)
			if reading.Transient(err) != c.transient {
				t.Errorf("transient: %v: %v", reading.Transient(err), err)
			}
		})
	}
}

func TestASnapshotTransactionIsOneState(t *testing.T) {
	shop := theShop(t)
	name := shop.table(t, "Id int NOT NULL PRIMARY KEY")
	shop.execute(t, "INSERT INTO "+name+" VALUES (1)")
	if shop.local == nil {
		shop.execute(t, "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")
	}
	session := shop.session(t)
	x := newSelection(t, pipeline.Source{Table: name})
	if err := session.BeginSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		_, rows := read(t, session, x.All(nil, nil, nil))
		return len(rows)
	}
	before := count()
	shop.execute(t, "INSERT INTO "+name+" VALUES (2)")
	if within := count(); before != 1 || within != 1 {
		t.Errorf("the snapshot has %d rows, and later %d", before, within)
	}
	if err := session.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != 2 {
		t.Errorf("after it there are %d rows", after)
	}
	hasText(t, session.Commit(t.Context()), "error 3902", "had ended the snapshot transaction")
}

func TestAnOpenTransactionIsNamed(t *testing.T) {
	shop := theShop(t)
	name := shop.table(t, "Id int NOT NULL PRIMARY KEY, Ver rowversion NOT NULL")
	session := shop.session(t)
	before, err := session.Rowversions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := shop.owner.BeginTx(t.Context(), &sql.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO "+name+" (Id) VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	during, err := session.Rowversions(t.Context())
	if err != nil || during.MinActive > before.Last+1 || during.Last <= before.Last {
		t.Fatalf("before %+v, with an open transaction %+v, %v", before, during, err)
	}
	blocker, err := session.Blocker(t.Context())
	if err != nil || !strings.HasPrefix(blocker, "session ") || !strings.Contains(blocker, "has had a transaction open for") {
		t.Fatalf("the blocker is %q, %v", blocker, err)
	}
}

func TestRowsThatAreNotReadToTheirEndLeaveTheSessionUsable(t *testing.T) {
	shop := theShop(t)
	session := shop.session(t)
	for range 5 {
		rows, err := session.Query(t.Context(), reading.Statement{From: "the test", Text: `WITH d AS (SELECT v FROM (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS x(v))
			SELECT a.v, REPLICATE('x', 200) AS x FROM d a CROSS JOIN d b CROSS JOIN d c CROSS JOIN d e`})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rows.Next(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(rows.Close(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if _, rows := read(t, session, reading.Statement{From: "the test", Text: "SELECT 1 AS a"}); len(rows) != 1 {
			t.Fatalf("the next statement gave %v", rows)
		}
	}
}

func TestAnEndWithoutACountIsNone(t *testing.T) {
	_, _, err := tryRead(t, theShop(t).session(t), reading.Statement{From: "the test", Text: "SET NOCOUNT ON; SELECT 1 AS a"})
	hasText(t, err, "without saying how many it sent")
}

func TestASecondResultIsRefused(t *testing.T) {
	_, _, err := tryRead(t, theShop(t).session(t), reading.Statement{From: "the test", Text: "SELECT 1 AS a; SELECT 2 AS b"})
	hasText(t, err, "more than one result")
}

func TestHowADatabaseIsolatesIsKnownBeforeItIsRead(t *testing.T) {
	shop := shopWith(t, sqlserver.Options{LockingReads: []string{"shop"}, NoSnapshots: []string{"shop"}, ReadOnly: []string{"shop"}})
	session := shop.session(t)
	id, err := session.Identify(t.Context())
	if err != nil || id.RCSI == nil || *id.RCSI || id.SnapshotAllowed == nil || *id.SnapshotAllowed || !id.ReadOnly {
		t.Fatalf("got %+v, %v", id, err)
	}
	if err := shop.local.SetReadOnly("shop", false); err != nil {
		t.Fatal(err)
	}
	name := shop.table(t, "Id int NOT NULL PRIMARY KEY")
	if err := session.BeginSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err = tryRead(t, session, newSelection(t, pipeline.Source{Table: name}).All(nil, nil, nil))
	hasText(t, err, "error 3952", "SET ALLOW_SNAPSHOT_ISOLATION ON")
	if reading.Transient(err) {
		t.Error("starting over is no help")
	}
}

// Under locking READ COMMITTED a reader waits for a writer, and gives way to it after its time.
func TestALockThatIsHeldTooLongMayBeGoneLater(t *testing.T) {
	shop := shopWith(t, sqlserver.Options{LockingReads: []string{"shop"}})
	name := shop.table(t, "Id int NOT NULL PRIMARY KEY, V int NOT NULL")
	shop.execute(t, "INSERT INTO "+name+" VALUES (1, 1)")
	tx, err := shop.owner.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), "UPDATE "+name+" SET V = 2"); err != nil {
		t.Fatal(err)
	}
	session := shop.session(t, func(_ *reading.Login, o *reading.Options) { o.LockTimeout = 50 * time.Millisecond })
	_, _, err = tryRead(t, session, newSelection(t, pipeline.Source{Table: name}).All(nil, nil, nil))
	hasText(t, err, "error 1222", "export.lockTimeoutSeconds")
	if !reading.Transient(err) {
		t.Error("it may be gone later")
	}
}
