package export_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	_ "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/secret"
	"sagemaker-datapipeline/lambda/internal/workflow"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/test/local/emulator"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// The parts that all tests share: the local AWS and a SQL Server, which each test gives buckets, secrets, state machines
// and tables of its own.
var (
	local *emulator.Emulator
	// server is the local SQL Server; nil where SQLSERVER_URL names a real one, with SQLSERVER_CA as the authority of its certificate (docs/local.md).
	server *sqlserver.Server
	// origin is the database's secret.
	origin   map[string]any
	database *sql.DB
	// databaseURL is what database connects to.
	databaseURL string
)

const (
	owner, ownerPassword   = "owner", "Owner-Passw0rd"
	reader, readerPassword = "reader", "Reader-Passw0rd"
	// masked has the reader's password, and no right to see what is under a mask.
	masked = "masked"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(m.Run()) // a measured process uses its parent's parts
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "export")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		if local, err = emulator.Start(context.Background(), emulator.Options{StateDir: dir}); err != nil {
			fmt.Println(err)
			return 1
		}
		defer local.Stop()
		if raw := os.Getenv("SQLSERVER_URL"); raw != "" {
			err = useServer(raw, os.Getenv("SQLSERVER_CA"))
		} else {
			err = startServer(dir)
		}
		if server != nil {
			defer server.Close()
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if database, err = sql.Open("sqlserver", databaseURL); err != nil {
			fmt.Println(err)
			return 1
		}
		defer database.Close()
		return m.Run()
	}())
}

// startServer starts the local SQL Server. Tests make tables as its owner, and export as its reader.
func startServer(dir string) error {
	var err error
	if server, err = sqlserver.Start(sqlserver.Options{Databases: []string{"shop"}, Logins: []sqlserver.Login{
		{Name: owner, Password: ownerPassword}, {Name: reader, Password: readerPassword, ReadOnly: true},
		{Name: masked, Password: readerPassword, ReadOnly: true, Denied: []string{"UNMASK"}},
	}}); err != nil {
		return err
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, server.CACertificatePEM(), 0o600); err != nil {
		return err
	}
	host, port := server.Addr()
	u := url.URL{
		Scheme: "sqlserver", User: url.UserPassword(owner, ownerPassword), Host: host + ":" + strconv.Itoa(port),
		RawQuery: url.Values{"database": {"shop"}, "encrypt": {"true"}, "certificate": {ca}}.Encode(),
	}
	databaseURL = u.String()
	origin = map[string]any{
		"engine": "sqlserver", "host": host, "port": port, "username": reader, "password": readerPassword, "dbname": "shop",
		"caCertificate": string(server.CACertificatePEM()),
	}
	return nil
}

// useServer takes the server of a URL. Its login makes the tables and exports them.
func useServer(raw, caFile string) error {
	c, err := msdsn.Parse(raw)
	if err != nil {
		return err
	}
	databaseURL = raw
	origin = map[string]any{"engine": "sqlserver", "host": c.Host, "port": cmp.Or(int(c.Port), 1433), "username": c.User, "password": c.Password, "dbname": c.Database}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return err
		}
		origin["caCertificate"] = string(pem)
	}
	return nil
}

// onlyLocally skips a test that a real server has no part for.
func onlyLocally(t *testing.T, needs string) {
	t.Helper()
	// Asked here again, as go test doesn't see what TestMain asks: with another server, a cached result is none.
	if os.Getenv("SQLSERVER_URL") != "" {
		t.Skip("SQLSERVER_URL names a real server, which has no " + needs)
	}
}

// world is what one test has to itself.
type world struct {
	t        *testing.T
	s3       *s3.Client
	sfn      *sfn.Client
	secrets  *secretsmanager.Client
	bucket   string
	secretID string
	machine  string
}

var worlds atomic.Int64

func newWorld(t *testing.T) *world {
	t.Helper()
	n := worlds.Add(1)
	w := &world{
		t:        t,
		s3:       s3.NewFromConfig(local.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true }),
		sfn:      sfn.NewFromConfig(local.AWSConfig()),
		secrets:  secretsmanager.NewFromConfig(local.AWSConfig()),
		bucket:   fmt.Sprintf("data-%d-%d", os.Getpid(), n),
		secretID: fmt.Sprintf("test/%d/sqlserver", n),
	}
	_, err := w.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &w.bucket})
	w.must(err)
	_, err = w.s3.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &w.bucket, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	})
	w.must(err)
	_, err = w.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &w.secretID, SecretString: aws.String(secretText(nil))})
	w.must(err)
	machine, err := w.sfn.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(fmt.Sprintf("test-%d", n)), RoleArn: aws.String("arn:aws:iam::" + emulator.Account + ":role/test"),
		Definition: aws.String(`{"StartAt":"Done","States":{"Done":{"Type":"Pass","End":true}}}`),
	})
	w.must(err)
	w.machine = *machine.StateMachineArn
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// secretText is the database's secret, with keys replaced, or taken out where the value is nil.
func secretText(replace map[string]any) string {
	keys := maps.Clone(origin)
	for k, v := range replace {
		if keys[k] = v; v == nil {
			delete(keys, k)
		}
	}
	b, _ := json.Marshal(keys)
	return string(b)
}

func (w *world) setSecret(text string) {
	w.t.Helper()
	_, err := w.secrets.PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &w.secretID, SecretString: &text})
	w.must(err)
}

// exporter makes the exporter of a pipeline against the real parts; api may stand before S3.
func (w *world) exporter(spec pipeline.Spec, api objects.API) *export.Exporter {
	if api == nil {
		api = w.s3
	}
	source := export.Server{Spec: spec, Secret: secret.Secret{API: w.secrets, ID: w.secretID}}
	return &export.Exporter{
		Spec:     spec,
		Bucket:   objects.NewBucket(api, w.bucket, "", export.Streams(spec)),
		Database: source,
		HashKey:  source.HashKey,
		Workflow: workflow.StateMachine{API: w.sfn, ARN: w.machine},
		Log:      slog.New(slog.NewJSONHandler(w.t.Output(), nil)),
	}
}

var (
	tick   = time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
	tickID = run.NewID(tick)
)

// event is what the schedule sends for a tick.
func event(at time.Time) export.Event { return export.Event{ScheduledTime: at.Format(time.RFC3339)} }

func spec(source pipeline.Source, d pipeline.Dataset) pipeline.Spec {
	if d.Split == (pipeline.Split{}) && d.Format != pipeline.NoChannels {
		d.Split = pipeline.Split{Train: 0.7, Validation: 0.2, Test: 0.1, Salt: "test"}
	}
	if source.Load == "" {
		source.Load = pipeline.Full
	}
	if d.Format == "" {
		d.Format = pipeline.CSV
	}
	return pipeline.Spec{
		Version: pipeline.Version, Project: "ml", Environment: "test", Pipeline: "orders", Source: source, Dataset: d,
		Limits: pipeline.Limits{ConnectTimeoutSeconds: 5, StatementTimeoutSeconds: 60, LockTimeoutSeconds: 5},
	}
}

// orders makes a table of n rows and gives its name.
func orders(t *testing.T, n int) string {
	t.Helper()
	name := createTable(t, "Orders", "Id int NOT NULL PRIMARY KEY, Amount decimal(12,2) NOT NULL, Score real NULL, Express bit NOT NULL, Returned bit NOT NULL")
	for at := 0; at < n; at += 500 {
		var values []string
		for i := at; i < min(at+500, n); i++ {
			score := "NULL"
			if i%3 != 0 {
				score = strconv.FormatFloat(float64(i)/7, 'f', 3, 32)
			}
			values = append(values, fmt.Sprintf("(%d, %d.%02d, %s, %d, %d)", i, i%1000, i%100, score, i%2, i/2%2))
		}
		execute(t, "INSERT INTO "+name+" (Id, Amount, Score, Express, Returned) VALUES "+strings.Join(values, ", "))
	}
	return name
}

// createTable makes a table of the test's own, which goes with it, and gives its name.
func createTable(t *testing.T, name, columns string) string {
	t.Helper()
	name = fmt.Sprintf("dbo.%s%d_%d", name, os.Getpid(), worlds.Add(1))
	execute(t, "CREATE TABLE "+name+" ("+columns+")")
	t.Cleanup(func() {
		if _, err := database.ExecContext(context.WithoutCancel(t.Context()), "DROP TABLE "+name); err != nil {
			t.Errorf("dropping %s: %v", name, err)
		}
	})
	return name
}

func execute(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := database.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

var ordersDataset = pipeline.Dataset{Task: pipeline.Binary, Key: []string{"Id"}, Label: "Returned"}

// nothingHappened asserts that there is neither a head nor an execution.
func (w *world) nothingHappened() {
	w.t.Helper()
	if _, err := w.get(head.Key("orders")); err == nil {
		w.t.Error("there is a head")
	}
	if n := len(w.executions()); n > 0 {
		w.t.Errorf("there are %d executions", n)
	}
}

func (w *world) executions() []string {
	w.t.Helper()
	out, err := w.sfn.ListExecutions(context.Background(), &sfn.ListExecutionsInput{StateMachineArn: &w.machine})
	w.must(err)
	var names []string
	for _, e := range out.Executions {
		names = append(names, *e.Name)
	}
	slices.Sort(names)
	return names
}

func (w *world) get(key string) ([]byte, error) {
	out, err := w.s3.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &w.bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// head reads the pipeline's head.
func (w *world) head() head.Head {
	w.t.Helper()
	body, err := w.get(head.Key("orders"))
	w.must(err)
	h, err := head.Decode(body)
	w.must(err)
	return h
}

// committed reads the manifest that the head names and checks that each object in it is there, in the version, size and content that it says,
// and that the channels hold each row once.
func (w *world) committed() manifest.Manifest {
	w.t.Helper()
	ref := w.head().Manifest
	body, err := w.get(ref.Key)
	w.must(err)
	m, err := manifest.Decode(body)
	w.must(err)
	var objects []manifest.Object
	if m.Signature != nil {
		objects = append(objects, *m.Signature)
	}
	rows := map[string]int64{}
	for _, f := range m.Files {
		objects = append(objects, f.Object)
		rows[f.Format] += f.Rows
	}
	for _, c := range m.Channels {
		objects = append(objects, c.Manifest)
	}
	for _, o := range objects {
		w.check(o)
	}
	if rows["parquet"] != m.Rows || len(m.Channels) > 0 && rows["csv"] != m.Rows-m.Counts.Skipped {
		w.t.Errorf("of %d rows %v are in files", m.Rows, rows)
	}
	return m
}

func (w *world) check(o manifest.Object) {
	w.t.Helper()
	out, err := w.s3.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &w.bucket, Key: &o.Key, VersionId: &o.VersionID})
	w.must(err)
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	w.must(err)
	sum := sha256.Sum256(body)
	if o.VersionID == "" || int64(len(body)) != o.Bytes || hex.EncodeToString(sum[:]) != o.SHA256 {
		w.t.Errorf("%s in version %q has %d bytes, the manifest says %d, or another hash", o.Key, o.VersionID, len(body), o.Bytes)
	}
}

// channel gives the lines of a channel, found as SageMaker finds them: by its ManifestFile.
func (w *world) channel(m manifest.Manifest, name string) []string {
	w.t.Helper()
	body, err := w.get(m.Channels[name].Manifest.Key)
	w.must(err)
	var list []json.RawMessage
	w.must(json.Unmarshal(body, &list))
	var head struct{ Prefix string }
	w.must(json.Unmarshal(list[0], &head))
	var lines []string
	for _, entry := range list[1:] {
		var file string
		w.must(json.Unmarshal(entry, &file))
		body, err := w.get(strings.TrimPrefix(head.Prefix, "s3://"+w.bucket+"/") + file)
		w.must(err)
		lines = append(lines, strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")...)
	}
	return lines
}

// duckdb runs a query over the run's Parquet files, as files.parquet, in an independent reader, and gives the rows as text.
func (w *world) duckdb(m manifest.Manifest, query string) [][]string {
	w.t.Helper()
	dir := w.t.TempDir()
	for i, f := range m.Files {
		if f.Format != "parquet" {
			continue
		}
		body, err := w.get(f.Key)
		w.must(err)
		w.must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.parquet", i)), body, 0o600))
	}
	python, err := filepath.Abs("../../../.venv/bin/python")
	w.must(err)
	const script = `
import duckdb, json, sys
c = duckdb.connect()
c.execute("SET TimeZone = 'UTC'")
c.execute("CREATE VIEW files AS SELECT * FROM read_parquet('" + sys.argv[1] + "/*.parquet')")
rows = c.execute(sys.argv[2]).fetchall()
json.dump([["NULL" if v is None else str(v) for v in row] for row in rows], sys.stdout)
`
	command := exec.CommandContext(w.t.Context(), python, "-c", script, dir, query)
	var problem bytes.Buffer
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		w.t.Fatalf("duckdb: %v: %s", err, problem.String())
	}
	var rows [][]string
	w.must(json.Unmarshal(out, &rows))
	return rows
}

// handedOver is a distributed map that only remembers what it is given.
type handedOver struct {
	names  []string
	inputs [][]byte
}

func (h *handedOver) StartOrFind(_ context.Context, name string, input []byte) (string, error) {
	h.names, h.inputs = append(h.names, name), append(h.inputs, input)
	return "arn:" + name, nil
}

type mapInput struct {
	Plan export.PlanRef
	Open struct{ Bucket, Key string }
}

func (h *handedOver) decode(t *testing.T) mapInput {
	t.Helper()
	var input mapInput
	if err := json.Unmarshal(h.inputs[len(h.inputs)-1], &input); err != nil {
		t.Fatal(err)
	}
	return input
}

// open gives the partitions of a list that was handed over.
func (w *world) open(key string) []string {
	w.t.Helper()
	body, err := w.get(key)
	w.must(err)
	var list []struct{ Partition string }
	w.must(json.Unmarshal(body, &list))
	var ids []string
	for _, one := range list {
		ids = append(ids, one.Partition)
	}
	return ids
}
