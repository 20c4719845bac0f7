package main

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"sagemaker-datapipeline/test/local/emulator"
)

// configuration writes a configuration whose environment local is the emulator's account, and gives its file.
func configuration(t *testing.T) string {
	t.Helper()
	const pipeline = `{
		"schedule": { "expression": "cron(0 3 * * ? *)", "timeZone": "Europe/Berlin" },
		"source": { "table": "dbo.Sales" },
		"dataset": { "task": "regression", "key": ["SaleId"], "label": "Quantity" },
		"training": { "instanceType": "ml.m6i.large", "hyperparameters": { "objective": "reg:squarederror", "num_round": "10" } },
		"endpoint": { "instanceType": "ml.m6i.large" }
	}`
	const environment = `{
		"account": "000000000000", "region": "us-east-1", "network": { "none": true },
		"database": { "import": { "secretName": "ml/local/sqlserver" } }, "pipelines": { "idle": { "enabled": false } }
	}`
	path := filepath.Join(t.TempDir(), "cdk.json")
	text := `{"context": {"environments": {"local": ` + environment + `}, "pipelines": {"sales": ` + pipeline + `, "stock": ` + pipeline + `, "idle": ` + pipeline + `}}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command runs a command line, with -config for a configuration.
func runCommand(ctx context.Context, config, line string) (code int, out, errs string) {
	args := strings.Fields(line)
	if len(args) > 1 {
		args = append([]string{args[0], "-config", config}, args[1:]...)
	}
	var o, e bytes.Buffer
	code = execute(ctx, args, &o, &e)
	return code, o.String(), e.String()
}

func TestWhatIsWrongWithACommandLineIsSaidBeforeAnythingIsAsked(t *testing.T) {
	config := configuration(t)
	for _, c := range []struct{ name, line, says string }{
		{"no command", "", "usage: go run ./cmd/datapipeline COMMAND"},
		{"an unknown command", "stauts", `there is no command "stauts": it is run, status, doctor, pause, resume`},
		{"no environment", "status -pipeline sales", "-environment is missing"},
		{"no pipeline", "status -environment local", "-pipeline is missing"},
		{"an unknown environment", "status -environment lokal -pipeline sales", `no environment "lokal": did you mean "local"?`},
		{"an unknown pipeline", "status -environment local -pipeline salse", `no pipeline "salse": did you mean "sales"? It has sales, stock`},
		{"a pipeline that is switched off there", "status -environment local -pipeline idle", `"idle" is not enabled in the environment "local"`},
		{"another command's flag", "status -environment local -pipeline sales -reason x", "flag provided but not defined: -reason"},
		{"a word too many", "status -environment local -pipeline sales now", `what does "now" mean?`},
		{"a time that is none", "run -environment local -pipeline sales -at tomorrow", `scheduledTime "tomorrow"`},
		{"a backfill without times", "run -environment local -pipeline sales -backfill", "-backfill needs times"},
		{"a backfill and a time", "run -environment local -pipeline sales -at 2026-01-01T02:00:00Z -backfill", "exclude each other"},
		{"a step without a first and a last time", "run -environment local -pipeline sales -backfill -every 24h 2026-01-01T02:00:00Z", "-every is for -backfill with two times"},
		{"a step of seconds", "run -environment local -pipeline sales -backfill -every 5s 2026-01-01T02:00:00Z 2026-01-02T02:00:00Z", "a minute at least"},
		{"a run to accept that isn't named", "accept -environment local -pipeline sales -reason x", "which run? Name it behind the flags"},
		{"a run that is none", "accept -environment local -pipeline sales -reason x yesterday", `run id "yesterday" is not of the form 20260101t020000z`},
		{"two runs where one is taken", "approve -environment local -pipeline sales 20260101t020000z 20260102t020000z", `what does "20260102t020000z" mean?`},
		{"a refusal without a reason", "refuse -environment local -pipeline sales 20260101t020000z", "-reason is missing"},
		{"a step that is none", "rerun -environment local -pipeline sales -reason x -from deplyo 20260101t020000z", `-from is "deplyo": it is train, evaluate or deploy`},
		{"two ends of a pause", "pause -environment local -pipeline sales -reason x -for 1h -until 2026-01-01T02:00:00Z", "exclude each other"},
		{"a rebaseline without a reason", "rebaseline -environment local -pipeline sales", "-reason is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := runCommand(t.Context(), config, c.line)
			if code != notAsked || out != "" || !strings.Contains(errs, c.says) {
				t.Fatalf("exit %d, %q, %q; want exit %d and %q", code, out, errs, notAsked, c.says)
			}
		})
	}
	t.Run("a configuration that isn't there", func(t *testing.T) {
		if code, _, errs := runCommand(t.Context(), "none.json", "status -environment local -pipeline sales"); code != notAsked || !strings.Contains(errs, "reading the configuration: open none.json") {
			t.Fatalf("exit %d, %q", code, errs)
		}
	})
}

func TestWithoutCredentialsNothingIsAsked(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	code, _, errs := runCommand(t.Context(), configuration(t), "status -environment local -pipeline sales")
	if code != notAsked || !strings.Contains(errs, "there are no AWS credentials: log in") {
		t.Fatalf("exit %d, %q", code, errs)
	}
}

func TestABackfillsTicksAreThoseOfItsSchedule(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		every time.Duration
		times []string
		want  string
	}{
		{"times as they are given", 0, []string{"2026-01-01T02:00:00Z", "2026-01-05T02:00:00Z"}, "2026-01-01T02:00:00Z 2026-01-05T02:00:00Z"},
		{"the first, the last and those between", time.Hour, []string{"2026-01-01T02:00:00Z", "2026-01-01T04:30:00Z"},
			"2026-01-01T02:00:00Z 2026-01-01T03:00:00Z 2026-01-01T04:00:00Z"},
		{"three o'clock in Berlin when the clocks go forward", 24 * time.Hour, []string{"2026-03-28T02:00:00Z", "2026-03-31T02:00:00Z"},
			"2026-03-28T02:00:00Z 2026-03-29T01:00:00Z 2026-03-30T01:00:00Z 2026-03-31T01:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ticks, err := options{every: c.every, words: c.times, scheduleZone: berlin}.ticks()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, tick := range ticks {
				got = append(got, tick.Format(time.RFC3339))
			}
			if strings.Join(got, " ") != c.want {
				t.Fatalf("got %v, want %s", got, c.want)
			}
		})
	}
	for _, times := range [][]string{{"2026-01-02T02:00:00Z", "2026-01-01T02:00:00Z"}, {"2026-01-01T02:00:00Z", "2026-01-01T02:00:00Z"}} {
		if _, err := (options{words: times}).ticks(); err == nil {
			t.Errorf("%v were taken", times)
		}
	}
}

// The deployed function is one that answers without exporting, in the local AWS.
func TestWhatTheFunctionAnswersIsShownAndDecidesTheExitCode(t *testing.T) {
	e, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	for _, variable := range e.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	deployFunction(t, e, "ml-local-sales-export")
	config := configuration(t)
	const sales = " -environment local -pipeline sales "
	for _, c := range []struct {
		name, line string
		code       int
		out, errs  []string
	}{
		{"a run now", "run" + sales, done, []string{"outcome            committed", "scheduled time     20"}, nil},
		{"the run of a time", "run" + sales + "-at 2026-01-01T02:00:00Z", done, []string{"scheduled time     2026-01-01T02:00:00Z"}, nil},
		{"an answer as it is", "run" + sales + "-json -at 2026-01-01T02:00:00Z", done, []string{`"scheduledTime": "2026-01-01T02:00:00Z"`}, nil},
		{"a backfill of two ticks", "run" + sales + "-backfill -every 24h 2026-01-01T02:00:00Z 2026-01-02T02:00:00Z", done,
			[]string{"2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z", "backfill           true"}, nil},
		{"a backfill that breaks off", "run" + sales + "-backfill -every 24h 2026-01-02T02:00:00Z 2026-01-05T02:00:00Z", notDone,
			[]string{"2026-01-02T02:00:00Z"}, []string{"(TableRecreated)", "1 of 4 runs were made; go on from 2026-01-03T02:00:00Z"}},
		{"a run that failed", "run" + sales + "-at 2026-01-03T02:00:00Z", notDone, nil,
			[]string{"run of 2026-01-03T02:00:00Z: ml-local-sales-export ended with an error: table dbo.Sales was made anew"}},
		{"a run that is blocked", "run" + sales + "-at 2026-01-04T02:00:00Z", notDone, []string{"blocked"}, []string{"an open transaction holds the upper bound"}},
		{"the status", "status" + sales, done, []string{`pipeline       sales, generation 2
rebaselined    2025-12-31 08:00:00 UTC by ada, who began this generation, or an earlier one: restored
newest run     20260101t020000z, committed 2026-01-03 04:05:06 UTC by attempt a1
latest run     20260102t020000z, by its scheduled time: the newest is a backfill
rows           1500, 20000 bytes, in 2 ranges and 3 pieces
               7 left out as read before, 0 skipped by rule, 0 characters replaced
load           append from database shop at db:1433
bounds         RowVer from the lowest to below 0x00000000000007D3
held back      37 row versions wait
watermark      RowVer 0x00000000000007D3: the next run begins there
train          1200 rows in 4 files
isolation      READ COMMITTED (locking)
guarantee      Every row once.
accepted       fullScan: large
`}, nil},
		{"the status as it is", "status" + sales + "-json", done, []string{`"moves": 3`}, nil},
		{"a doctor who finds an error", "doctor" + sales, notDone, []string{"error    select right  no SELECT on dbo.Sales\n                       → grant it"},
			[]string{"1 error, 1 check is fine"}},
		{"a rebaseline", "rebaseline" + sales + "-reason restored -by ada -keep-watermark", done,
			[]string{"by                 ada", "keep watermark     true", "reason             restored"}, nil},
		{"a command that fails", "sweep" + sales, notDone, nil, []string{"access denied: grant s3:ListBucket"}},
		{"a pipeline that isn't deployed", "status -environment local -pipeline stock", notAsked, nil,
			[]string{"there is no function ml-local-stock-export in account 000000000000, region us-east-1: deploy it by npx cdk deploy 'local/**'"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := runCommand(t.Context(), config, c.line)
			if code != c.code || len(c.errs) == 0 && errs != "" {
				t.Fatalf("exit %d with\n%s\n%s", code, out, errs)
			}
			for _, part := range c.out {
				if !strings.Contains(out, part) {
					t.Errorf("it doesn't print %q:\n%s", part, out)
				}
			}
			for _, part := range c.errs {
				if !strings.Contains(errs, part) {
					t.Errorf("it doesn't say %q: %s", part, errs)
				}
			}
		})
	}
	t.Run("a local AWS that is down", func(t *testing.T) {
		e.Stop()
		code, _, errs := runCommand(t.Context(), config, "status"+sales)
		if code != notDone || !strings.Contains(errs, "AWS_ENDPOINT_URL=http://127.0.0.1:") {
			t.Fatalf("exit %d, %q", code, errs)
		}
	})
}

func deployFunction(t *testing.T, e *emulator.Emulator, name string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, "./testdata/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lambda.NewFromConfig(e.AWSConfig()).CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(name), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Role: aws.String("arn:aws:iam::000000000000:role/function"), Code: &types.FunctionCode{ZipFile: zipped(t, map[string][]byte{"bootstrap": b})},
	}); err != nil {
		t.Fatalf("creating the function: %v", err)
	}
}

func zipped(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var code bytes.Buffer
	w := zip.NewWriter(&code)
	for name, body := range files {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write(body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return code.Bytes()
}
