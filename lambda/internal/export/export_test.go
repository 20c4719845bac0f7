package export_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/test/local/sqlserver"
)

func TestARunIsExportedOnceAndItsWorkflowStarted(t *testing.T) {
	w := newWorld(t)
	table := orders(t, 3000)
	e := w.exporter(spec(pipeline.Source{Table: table}, ordersDataset), nil)
	result, err := e.Run(t.Context(), event(tick), "8c5a7f2e-1111-2222-3333-444455556666")
	if err != nil {
		t.Fatal(err)
	}
	m := w.committed()
	if result.Outcome != export.Committed || result.Rows != 3000 || m.Rows != 3000 || result.Manifest != "orders/runs/20260101t020000z/commit-"+m.Attempt+"/manifest.json" ||
		!strings.HasSuffix(result.ExecutionARN, ":20260101t020000z") || !strings.HasPrefix(m.Attempt, "8c5a7f2e-") {
		t.Fatalf("result %+v, attempt %s", result, m.Attempt)
	}
	if m.Source.Database != origin["dbname"] || m.Source.ServerVersion == "" || m.Source.Isolation == "" || m.Source.Guarantee == "" {
		t.Errorf("source %+v", m.Source)
	}

	// Each row is in one channel, with the label first, and near its share.
	total := 0
	for channel, want := range map[string]int{manifest.Train: 2100, manifest.Validation: 600, manifest.Test: 300} {
		lines := w.channel(m, channel)
		total += len(lines)
		if int64(len(lines)) != m.Channels[channel].Rows || len(lines) < want*9/10 || len(lines) > want*11/10 {
			t.Errorf("%s has %d lines, the manifest says %d", channel, len(lines), m.Channels[channel].Rows)
		}
		for _, line := range lines {
			fields := strings.Split(line, ",")
			if len(fields) != 4 || fields[0] != "0" && fields[0] != "1" || fields[3] != "0" && fields[3] != "1" {
				t.Fatalf("a line of %s is %q", channel, line)
			}
		}
	}
	if total != 3000 {
		t.Errorf("the channels have %d lines", total)
	}
	got := w.duckdb(m, "SELECT count(*), count(DISTINCT Id), sum(Amount), count(Score), count(*) FILTER (Returned) FROM files")
	if want := []string{"3000", "3000", "1499985.00", "2000", "1500"}; !slices.Equal(got[0], want) {
		var sum string
		_ = database.QueryRowContext(t.Context(), "SELECT SUM(Amount) FROM "+table).Scan(&sum)
		t.Errorf("Parquet has %v, want %v (the table's sum is %s)", got[0], want, sum)
	}

	var s signature.Signature
	body, err := w.get(m.Signature.Key)
	w.must(err)
	w.must(json.Unmarshal(body, &s))
	if len(s.Features) != 3 || s.Features[0].Name != "Amount" || s.Features[0].SQLType != "decimal(12,2)" || !s.Features[1].Nullable ||
		s.Label != "Returned" || s.Example != m.Smoke.Body || len(strings.Split(s.Example, ",")) != 3 || s.Threshold != 0.5 {
		t.Errorf("signature %+v", s)
	}

	var input manifest.ExecutionInput
	execution, err := w.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &result.ExecutionARN})
	w.must(err)
	w.must(json.Unmarshal([]byte(*execution.Input), &input))
	if input.Rows != 3000 || len(input.Channels) != 3 || input.Channels[manifest.Train] != "s3://"+w.bucket+"/"+m.Channels[manifest.Train].Manifest.Key {
		t.Errorf("input %+v", input)
	}

	// The same event again: nothing is read, nothing is started twice. The server isn't even asked.
	w.setSecret(`{}`)
	again, err := e.Run(t.Context(), event(tick), "another-request")
	if err != nil || again.Outcome != export.AlreadyCommitted || again.ExecutionARN != result.ExecutionARN || w.committed().Attempt != m.Attempt {
		t.Fatalf("the repeated event gave %+v, %v", again, err)
	}
	if names := w.executions(); len(names) != 1 {
		t.Fatalf("executions %v", names)
	}
}

func TestAQueryGetsItsRunTimeAsADatetime2OfSeconds(t *testing.T) {
	w := newWorld(t)
	table := orders(t, 300)
	query := "SELECT o.Id, o.Returned, DATEDIFF(second, CAST('2026-01-01T00:00:00' AS datetime2(0)), @runTime) AS Age, DATEPART(hour, @RunTime) AS AtHour FROM " + table + " AS o"
	_, err := w.exporter(spec(pipeline.Source{Query: query, QueryFile: "queries/q.sql"}, ordersDataset), nil).Run(t.Context(), event(tick), "")
	w.must(err)
	if got := w.duckdb(w.committed(), "SELECT DISTINCT Age, AtHour FROM files"); len(got) != 1 || got[0][0] != "7200" || got[0][1] != "2" {
		t.Fatalf("got %v", got)
	}
}

func TestFilesAreRotatedAndBatchesSmall(t *testing.T) {
	w := newWorld(t)
	e := w.exporter(spec(pipeline.Source{Table: orders(t, 5000)}, ordersDataset), nil)
	e.Sizes = export.Sizes{BatchRows: 64, BatchBytes: 1 << 10, ChannelFileBytes: 1, Parquet: parquetfiles.Sizes{RowGroupBytes: 1 << 10, FileBytes: 8 << 10}}
	_, err := e.Run(t.Context(), event(tick), "")
	w.must(err)
	m := w.committed()
	files := 0
	for _, f := range m.Files {
		if f.Format == "parquet" {
			files++
		}
	}
	if files < 3 {
		t.Errorf("%d Parquet files", files)
	}
	if got := w.duckdb(m, "SELECT count(*), count(DISTINCT Id) FROM files"); got[0][0] != "5000" || got[0][1] != "5000" {
		t.Errorf("Parquet has %v", got)
	}
}

func TestTheSplitDependsOnTheKeyAlone(t *testing.T) {
	table := orders(t, 500)
	split := func(query string) map[string]string {
		w := newWorld(t)
		_, err := w.exporter(spec(pipeline.Source{Query: query}, ordersDataset), nil).Run(t.Context(), event(tick), "")
		w.must(err)
		m, of := w.committed(), map[string]string{}
		for name := range m.Channels {
			for _, line := range w.channel(m, name) {
				fields := strings.Split(line, ",")
				of[fields[len(fields)-1]] = name
			}
		}
		return of
	}
	one := split("SELECT Id, Returned, Amount, Id AS Number FROM " + table)
	other := split("SELECT Returned, Id + 0 AS Number, CAST(Id AS bigint) AS Id FROM " + table + " ORDER BY Id DESC")
	if len(one) != 500 || len(other) != 500 {
		t.Fatalf("%d and %d rows", len(one), len(other))
	}
	for id, channel := range one {
		if other[id] != channel {
			t.Fatalf("row %s is in %s and in %s", id, channel, other[id])
		}
	}
}

func TestBadInputLeavesNeitherManifestNorExecution(t *testing.T) {
	onlyLocally(t, "logins and certificates of the tests")
	table := orders(t, 50)
	withNull := fmt.Sprintf("SELECT Id, CASE WHEN Id = 7 THEN NULL ELSE 1 END AS Returned, Amount FROM %s", table)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedPort := closed.Addr().(*net.TCPAddr).Port
	closed.Close()

	query := func(text string) pipeline.Source { return pipeline.Source{Query: text, QueryFile: "queries/q.sql"} }
	for _, c := range []struct {
		name     string
		source   pipeline.Source
		dataset  pipeline.Dataset
		secret   string
		bucket   func(*s3.Client) objects.API
		problems []string
	}{
		{name: "no such table", source: pipeline.Source{Table: "dbo.Nowhere"}, problems: []string{"table dbo.Nowhere", "208", "check the table's name"}},
		{name: "no such table in a query", source: query("SELECT *\nFROM dbo.Nowhere"), problems: []string{"queries/q.sql", "dbo.Nowhere", "208"}},
		{name: "no such column", source: query("SELECT Id, Returned, Amuont FROM " + table), problems: []string{"queries/q.sql", "Amuont", "207", "check the column's name"}},
		{name: "not a select", source: query("DELETE FROM " + table), problems: []string{"queries/q.sql", "DELETE"}},
		{name: "a key that isn't in the result", source: query("SELECT Returned, Amount FROM " + table), problems: []string{`dataset.key names "Id"`, "Returned, Amount"}},
		{name: "an empty result", source: query("SELECT * FROM " + table + " WHERE Id < 0"), problems: []string{"gave no rows"}},
		{name: "a label that is NULL", source: query(withNull), problems: []string{`the label "Returned" is NULL`, "in the row with Id=7", "IS NOT NULL"}},
		{name: "a label that is text", source: query("SELECT Id, CAST('yes' AS varchar(3)) AS Returned, Amount FROM " + table), problems: []string{`the label "Returned" is of type varchar(3) ("yes"`, "CASE WHEN"}},
		{name: "a binary label of 2", source: query("SELECT Id, CASE WHEN Id = 9 THEN 2 ELSE 1 END AS Returned, Amount FROM " + table), problems: []string{`the label "Returned" is 2`, "in the row with Id=9", "regression"}},
		{name: "a feature that is text", source: query("SELECT Id, Returned, CAST('DE' AS char(2)) AS Country FROM " + table), problems: []string{`the feature "Country" is of type char(2) ("DE" in the first row)`, "CASE or CAST", "dataset.drop"}},
		{name: "a channel without a row", source: query("SELECT * FROM " + table + " WHERE Id = 1"), problems: []string{"the split leaves", "of 1 rows"}},
		{name: "a wrong password", secret: secretText(map[string]any{"password": "Wr0ng-Passw0rd"}), problems: []string{`refused the login "reader"`, "18456", "check username and password"}},
		{name: "a database that isn't there", secret: secretText(map[string]any{"dbname": "nowhere"}), problems: []string{`database "nowhere"`, "4060"}},
		{name: "a server that isn't there", secret: secretText(map[string]any{"port": closedPort}), problems: []string{"can't be reached", fmt.Sprint(closedPort), "security group"}},
		{name: "a host that has no address", secret: secretText(map[string]any{"host": "nowhere.invalid"}), problems: []string{"nowhere.invalid", "check host and port"}},
		{name: "a certificate that Amazon didn't sign", secret: secretText(map[string]any{"caCertificate": nil}), problems: []string{"not trusted (by the authorities of Amazon RDS)", "caCertificate"}},
		{name: "a certificate for another name", secret: secretText(map[string]any{"host": "0.0.0.0"}), problems: []string{"not trusted", "put the name that is in the certificate as host"}},
		{name: "a secret without its keys", secret: `{"user":"reader"}`, problems: []string{`lacks "host"`, `"password"`, "expected {"}},
		{name: "a secret that is no JSON", secret: "Reader-Passw0rd", problems: []string{"not a JSON object"}},
		{name: "a bucket that can't be written to", bucket: func(c *s3.Client) objects.API { return readOnly{c} }, problems: []string{"writing s3://", "access denied", "s3:PutObject"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.secret != "" {
				w.setSecret(c.secret)
			}
			if c.source.Table == "" && c.source.Query == "" {
				c.source = pipeline.Source{Table: table}
			}
			var api objects.API
			if c.bucket != nil {
				api = c.bucket(w.s3)
			}
			_, err := w.exporter(spec(c.source, ordersDataset), api).Run(t.Context(), event(tick), "request")
			if err == nil {
				t.Fatal("the run was made")
			}
			for _, want := range c.problems {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant an error with %s", err, want)
				}
			}
			if strings.Contains(err.Error(), readerPassword) {
				t.Errorf("the error shows the password: %v", err)
			}
			w.nothingHappened()
		})
	}
}

func TestMalformedEventsDoNothing(t *testing.T) {
	for _, c := range []struct{ name, event, problem string }{
		{"no JSON", `2026-01-01`, "not of the form"},
		{"a list", `[]`, "not of the form"},
		{"nothing", `{}`, `no "scheduledTime"`},
		{"null", `null`, `no "scheduledTime"`},
		{"a date", `{"scheduledTime":"2026-01-01"}`, "RFC 3339"},
		{"a number", `{"scheduledTime":1}`, "not of the form"},
		{"a misspelt field", `{"scheduledTime":"2026-01-01T02:00:00Z","backfil":true}`, `unknown field "backfil"`},
		{"a time to come", `{"scheduledTime":"2996-01-01T02:00:00Z"}`, "is in the future"},
		{"an unknown command", `{"command":"drop"}`, "not one of doctor"},
		{"a partition without its plan", `{"command":"partition","partition":"p00000"}`, "needs the plan"},
		{"a plan without a partition", `{"command":"partition","plan":{"key":"k","etag":"e"}}`, "needs the partition"},
		{"a rebaseline without a reason", `{"command":"rebaseline","by":"me"}`, `needs "reason"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if e, err := export.DecodeEvent([]byte(c.event), time.Now()); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %+v, %v; want an error with %s", e, err, c.problem)
			}
		})
	}
	e, err := export.DecodeEvent([]byte(`{"scheduledTime":"2026-01-01T02:00:00Z"}`), time.Now())
	if err != nil || e != event(tick) {
		t.Fatalf("got %+v, %v", e, err)
	}
}

func TestARunOfAnotherSpecIsNotTouched(t *testing.T) {
	w := newWorld(t)
	table := orders(t, 300)
	before := spec(pipeline.Source{Table: table}, ordersDataset)
	_, err := w.exporter(before, nil).Run(t.Context(), event(tick), "")
	w.must(err)
	m := w.committed()

	after := spec(pipeline.Source{Query: "SELECT Id, Returned, Amount FROM " + table}, ordersDataset)
	_, err = w.exporter(after, nil).Run(t.Context(), event(tick), "")
	for _, want := range []string{before.Hash(), after.Hash(), "another scheduledTime"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant an error with %s", err, want)
		}
	}
	if w.committed().Attempt != m.Attempt || len(w.executions()) != 1 {
		t.Error("the run was touched")
	}

	// Other limits change nothing that the run holds.
	before.Limits.LockTimeoutSeconds++
	if again, err := w.exporter(before, nil).Run(t.Context(), event(tick), ""); err != nil || again.Outcome != export.AlreadyCommitted {
		t.Errorf("got %+v, %v", again, err)
	}
}

func TestOfTwoAttemptsAtOnceOneCommits(t *testing.T) {
	w := newWorld(t)
	s := spec(pipeline.Source{Table: orders(t, 400)}, ordersDataset)
	var both sync.WaitGroup
	results, errs := make([]export.Result, 2), make([]error, 2)
	for i := range results {
		e := w.exporter(s, nil)
		both.Go(func() { results[i], errs[i] = e.Run(t.Context(), event(tick), fmt.Sprint("request", i)) })
	}
	both.Wait()
	for _, err := range errs {
		w.must(err)
	}
	m := w.committed()
	if results[0].ExecutionARN != results[1].ExecutionARN || results[0].Bytes != results[1].Bytes || m.Rows != 400 || len(w.executions()) != 1 {
		t.Fatalf("results %+v", results)
	}
}

func TestWhatMayBeGoneIsTriedAgainWithNewKeys(t *testing.T) {
	onlyLocally(t, "faults on order")
	for _, c := range []struct {
		name  string
		fault sqlserver.Fault
	}{
		{"the victim of a deadlock", sqlserver.Fault{Error: 1205}},
		{"a connection that breaks in the middle of the rows", sqlserver.Fault{Kill: true, KillAfterRows: 250}},
		{"a connection that breaks before the first row", sqlserver.Fault{Kill: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			table := orders(t, 400)
			c.fault.Match = strings.TrimPrefix(table, "dbo.")
			server.OrderFault(c.fault)
			defer server.ClearFaults()
			result, err := w.exporter(spec(pipeline.Source{Table: table}, ordersDataset), nil).Run(t.Context(), event(tick), "")
			w.must(err)
			if left := server.ClearFaults(); left != 0 {
				t.Fatal("the fault didn't strike")
			}
			if m := w.committed(); result.Outcome != export.Committed || m.Rows != 400 {
				t.Fatalf("got %+v", result)
			}
		})
	}
}

func TestAResultThatAlwaysBreaksOffIsAnError(t *testing.T) {
	onlyLocally(t, "faults on order")
	w := newWorld(t)
	table := orders(t, 400)
	server.OrderFault(sqlserver.Fault{Match: reading(table), Kill: true, KillAfterRows: 399, Times: export.Tries})
	defer server.ClearFaults()
	_, err := w.exporter(spec(pipeline.Source{Table: table}, ordersDataset), nil).Run(t.Context(), event(tick), "")
	if err == nil || !strings.Contains(err.Error(), "broke while reading") {
		t.Fatalf("got %v", err)
	}
	w.nothingHappened()
}

func TestALockThatIsHeldTooLongSaysWhatToRaise(t *testing.T) {
	onlyLocally(t, "faults on order")
	w := newWorld(t)
	table := orders(t, 10)
	server.OrderFault(sqlserver.Fault{Match: reading(table), Error: 1222, Times: export.Tries})
	defer server.ClearFaults()
	_, err := w.exporter(spec(pipeline.Source{Table: table}, ordersDataset), nil).Run(t.Context(), event(tick), "")
	if err == nil || !strings.Contains(err.Error(), "lockTimeoutSeconds") {
		t.Fatalf("got %v", err)
	}
	w.nothingHappened()
}

func TestARotatedSecretIsReadAgainOnce(t *testing.T) {
	onlyLocally(t, "account to be locked out of")
	s := spec(pipeline.Source{Table: orders(t, 300)}, ordersDataset)
	stale := secretText(map[string]any{"password": "Old-Passw0rd"})
	t.Run("a new one logs in", func(t *testing.T) {
		w := newWorld(t)
		e := w.exporter(s, nil)
		texts := &sequence{texts: []string{stale, secretText(nil)}}
		e.Database = export.Server{Spec: s, Secret: texts}
		_, err := e.Run(t.Context(), event(tick), "")
		w.must(err)
	})
	t.Run("the same one isn't tried twice", func(t *testing.T) {
		w := newWorld(t)
		e := w.exporter(s, nil)
		texts := &sequence{texts: []string{stale, stale, secretText(nil)}}
		e.Database = export.Server{Spec: s, Secret: texts}
		if _, err := e.Run(t.Context(), event(tick), ""); err == nil || !strings.Contains(err.Error(), "18456") || texts.reads != 2 {
			t.Fatalf("%d reads, %v", texts.reads, err)
		}
		w.nothingHappened()
	})
}

func TestARunThatWouldMissItsDeadlineStopsInTime(t *testing.T) {
	onlyLocally(t, "faults on order")
	w := newWorld(t)
	table := orders(t, 400)
	server.OrderFault(sqlserver.Fault{Match: reading(table), RowDelay: 50 * time.Millisecond})
	defer server.ClearFaults()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	_, err := w.exporter(spec(pipeline.Source{Table: table}, ordersDataset), nil).Run(ctx, event(tick), "")
	if err == nil || !strings.Contains(err.Error(), "raise the function's timeout") {
		t.Fatalf("got %v", err)
	}
	if ctx.Err() != nil {
		t.Error("the deadline was missed")
	}
	w.nothingHappened()
}

func TestAStatementThatTakesTooLongIsStopped(t *testing.T) {
	onlyLocally(t, "faults on order")
	w := newWorld(t)
	table := orders(t, 400)
	server.OrderFault(sqlserver.Fault{Match: reading(table), RowDelay: 50 * time.Millisecond})
	defer server.ClearFaults()
	s := spec(pipeline.Source{Table: table}, ordersDataset)
	s.Limits.StatementTimeoutSeconds = 1
	_, err := w.exporter(s, nil).Run(t.Context(), event(tick), "")
	if err == nil || !strings.Contains(err.Error(), "export.statementTimeoutSeconds") {
		t.Fatalf("got %v", err)
	}
	w.nothingHappened()
}

// reading is the beginning of the statement that reads a table, and of none that only looks at it.
func reading(table string) string {
	return "SELECT * FROM [dbo].[" + strings.TrimPrefix(table, "dbo.") + "]"
}

// readOnly is a bucket whose policy lets nobody write.
type readOnly struct{ objects.API }

var denied = &smithy.GenericAPIError{Code: "AccessDenied", Message: "Access Denied"}

func (readOnly) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return nil, denied
}

func (readOnly) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return nil, denied
}

// sequence gives one text after another.
type sequence struct {
	texts []string
	reads int
}

func (s *sequence) Text(context.Context) ([]byte, error) {
	text := s.texts[min(s.reads, len(s.texts)-1)]
	s.reads++
	return []byte(text), nil
}
