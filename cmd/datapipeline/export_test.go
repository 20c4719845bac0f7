package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	_ "github.com/microsoft/go-mssqldb"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// The function is the real one, in the local AWS, and reads the local SQL Server: what the commands send and show is what it takes and answers.
func TestTheExportFunctionTakesTheCommands(t *testing.T) {
	e, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	for _, variable := range e.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	deployExport(t, e, startShop(t))
	config := configuration(t)
	for _, c := range []struct {
		name, line string
		code       int
		out, errs  string
	}{
		{"the doctor before the first run", "doctor", done, "ok       same source                nothing is committed yet", ""},
		{"the status before the first run", "status", done, "newest run     none: nothing is committed yet", ""},
		{"the first run", "run -at 2026-01-02T02:00:00Z", done, "outcome            committed", ""},
		{"the same run again", "run -at 2026-01-02T02:00:00Z", done, "outcome            already committed", ""},
		{"a run without new rows", "run -at 2026-01-03T02:00:00Z", done, "outcome            no new data", ""},
		{"an older run", "run -at 2026-01-01T02:00:00Z", notDone, "outcome            superseded", "run of 2026-01-01T02:00:00Z: superseded"},
		{"a backfill of an append load", "run -backfill 2026-01-01T02:00:00Z", notDone, "", "[NoHistory]"},
		{"the status", "status", done, "the next run begins there", ""},
		{"the doctor after a run", "doctor", done, "query, database and table are those of run 20260102t020000z", ""},
		{"a rebaseline", "rebaseline -reason tried -by ada", done, "generation         2", ""},
		{"the status after it", "status", done, "by ada, who began this generation, or an earlier one: tried", ""},
		{"a pause", "pause -for 1h -reason migration -by ada", done, ": migration", ""},
		{"the status of a paused pipeline", "status", done, " by ada, since ", ""},
		{"the doctor of a paused pipeline", "doctor", done, "ok ", ""},
		{"a run of a paused pipeline", "run -at 2026-01-04T02:00:00Z", notDone, "outcome            paused", "run of 2026-01-04T02:00:00Z: paused: nothing was read"},
		{"a resumption", "resume -by bob", done, "sales, generation 2", ""},
		{"a run after it", "run -at 2026-01-04T02:00:00Z", done, "outcome            committed", ""},
		{"a sweep of what is young", "sweep", done, "objects            0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			command, rest, _ := strings.Cut(c.line, " ")
			code, out, errs := runCommand(t.Context(), config, command+" -environment local -pipeline sales "+rest)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
				log, _ := os.ReadFile(e.LogFile)
				t.Fatalf("exit %d with\n%s\n%s\nlog:\n%s", code, out, errs, log[max(0, len(log)-3000):])
			}
		})
	}
}

// startShop starts a SQL Server with two sales, and gives the secret of its reader.
func startShop(t *testing.T) string {
	t.Helper()
	const password = "Read3r-of-sales"
	server, err := sqlserver.Start(sqlserver.Options{Databases: []string{"shop"}, Logins: []sqlserver.Login{
		{Name: "owner", Password: password}, {Name: "reader", Password: password, ReadOnly: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	host, port := server.Addr()
	address := url.URL{Scheme: "sqlserver", User: url.UserPassword("owner", password), Host: fmt.Sprintf("%s:%d", host, port),
		RawQuery: "database=shop&encrypt=true&TrustServerCertificate=true"}
	owner, err := sql.Open("sqlserver", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	for _, statement := range []string{
		"CREATE TABLE dbo.Sales (SaleId int PRIMARY KEY, Quantity int NOT NULL, RowVer rowversion NOT NULL)",
		"CREATE INDEX IX_RowVer ON dbo.Sales (RowVer)",
		"INSERT INTO dbo.Sales (SaleId, Quantity) VALUES (1, 10), (2, 20)",
	} {
		if _, err := owner.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	secret, err := json.Marshal(map[string]any{
		"engine": "sqlserver", "host": host, "port": port, "username": "reader", "password": password, "dbname": "shop", "caCertificate": string(server.CACertificatePEM()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(secret)
}

// deployExport makes the function of the pipeline sales, with a bucket and the secret.
func deployExport(t *testing.T, e *emulator.Emulator, secret string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	store := s3.NewFromConfig(e.AWSConfig())
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: aws.String("data"), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	stored, err := secretsmanager.NewFromConfig(e.AWSConfig()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("reader"), SecretString: &secret})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(pipeline.Spec{
		Version: pipeline.Version, Project: "ml", Environment: "local", Pipeline: "sales",
		Source:  pipeline.Source{Table: "dbo.Sales", Load: pipeline.Append, Cursor: &pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: "RowVer"}},
		Dataset: pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"SaleId"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc", "-o", binary, "../../lambda/export")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	code, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lambda.NewFromConfig(e.AWSConfig()).CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String("ml-local-sales-export"), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Role: aws.String("arn:aws:iam::000000000000:role/function"), Timeout: aws.Int32(120),
		Code:        &types.FunctionCode{ZipFile: zipped(t, map[string][]byte{"bootstrap": code, pipeline.FileName: spec})},
		Environment: &types.Environment{Variables: map[string]string{"DATA_BUCKET": "data", "DATABASE_SECRET_ARN": *stored.ARN}},
	}); err != nil {
		t.Fatalf("creating the function: %v", err)
	}
}
