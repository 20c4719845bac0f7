// Package e2e runs what `make local` runs, once and for real, and then does to the environment what mustn't harm it.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/test/local/report"
)

// TestEverything is one test with an order, because all of it happens to one environment, which takes a minute to make.
func TestEverything(t *testing.T) {
	local := build(t)
	dir := t.TempDir()
	report := filepath.Join(dir, "report.html")

	up := local.start(t, "up", "-keep", "-dir", dir, "-port", "0", "-sql-port", "0", "-report", report, "-json", filepath.Join(dir, "result.json"))
	t.Cleanup(func() {
		up.stop(t)
		if e, err := readEnvironment(dir); err == nil {
			_ = syscall.Kill(e.PID, syscall.SIGTERM)
		}
	})
	t.Run("a second run beside a running one is told so in one line", func(t *testing.T) {
		awaitFile(t, filepath.Join(dir, "run.lock"))
		local.refused(t, "another `make local` is running", "up", "-dir", dir, "-port", "0", "-sql-port", "0")
	})
	if code := up.wait(t); code != 0 {
		t.Fatalf("the run ended with exit code %d", code)
	}

	result := readResult(t, filepath.Join(dir, "result.json"))
	t.Run("the two runs of each pipeline are what they should be", func(t *testing.T) { checkRuns(t, result) })
	t.Run("each run was announced once", func(t *testing.T) { checkNotices(t, result) })
	t.Run("the report shows the run and needs nothing beside itself", func(t *testing.T) { checkReport(t, report, result) })

	e, err := readEnvironment(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, e)
	t.Run("a run beside an environment that is up is told so in one line", func(t *testing.T) {
		local.refused(t, "is up already", "up", "-dir", dir, "-port", "0", "-sql-port", "0")
	})
	t.Run("a taken port is one line", func(t *testing.T) {
		other := t.TempDir()
		local.refused(t, "is taken", "up", "-dir", other, "-port", e.port(t), "-sql-port", "0", "-report", filepath.Join(other, "report.html"))
	})
	t.Run("the example client asks the endpoint by the signature", func(t *testing.T) {
		out := local.run(t, "predict", "-dir", dir, "fraud")
		newest := result.Pipelines[0].Ticks[1]
		if !strings.Contains(out, "IsFraud by the model of run "+newest.Run) {
			t.Errorf("the client printed\n%s", out)
		}
	})
	t.Run("an event that comes again does nothing", w.repeatedEvent)
	t.Run("a wrong password is one notice, and no run", w.wrongPassword)
	t.Run("a database that can't be reached is one notice, and no run", w.unreachableDatabase)
	t.Run("the next run after all that works", func(t *testing.T) {
		before := w.served(t, "churn")
		local.run(t, "sql", "-dir", dir, "UPDATE dbo.Customers SET Churned = 1 WHERE NpsScore = 0")
		local.run(t, "tick", "-dir", dir, "churn")
		if after := w.served(t, "churn"); after == before {
			t.Errorf("the endpoint still serves %s", after)
		}
	})
	t.Run("down leaves nothing behind", func(t *testing.T) {
		local.run(t, "down", "-dir", dir)
		checkGone(t, dir, e)
		local.refused(t, "no local environment is up", "down", "-dir", dir)
	})
}

func TestCtrlCStopsEverything(t *testing.T) {
	local := build(t)
	dir := t.TempDir()
	up := local.start(t, "up", "-dir", dir, "-port", "0", "-sql-port", "0", "-report", filepath.Join(dir, "report.html"))
	defer up.stop(t)
	awaitFile(t, filepath.Join(dir, "environment.json"))
	e, err := readEnvironment(dir)
	if err != nil {
		t.Fatal(err)
	}
	up.signal(t, os.Interrupt)
	if code := up.wait(t); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	checkGone(t, dir, e)
	if _, err := os.Stat(filepath.Join(dir, "report.html")); err != nil {
		t.Errorf("there is no report of what ran: %v", err)
	}
}

// runner is the program that `make local` runs.
type runner struct{ path, root string }

func build(t *testing.T) runner {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := runner{filepath.Join(t.TempDir(), "local"), root}
	c := exec.Command("go", "build", "-o", r.path, "./test/local")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building the runner: %v\n%s", err, out)
	}
	return r
}

// started is a run of the runner.
type started struct {
	command *exec.Cmd
	output  *bytes.Buffer
	ended   bool
}

func (r runner) start(t *testing.T, args ...string) *started {
	t.Helper()
	s := &started{command: exec.Command(r.path, args...), output: &bytes.Buffer{}}
	s.command.Dir = r.root
	// What it prints is shown while it comes: a minute without a word is long.
	both := io.MultiWriter(s.output, os.Stderr)
	s.command.Stdout, s.command.Stderr = both, both
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *started) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := s.command.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

func (s *started) wait(t *testing.T) int {
	t.Helper()
	err := s.command.Wait()
	s.ended = true
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// stop ends a run that a failed test left behind.
func (s *started) stop(t *testing.T) {
	t.Helper()
	if s.ended {
		return
	}
	s.signal(t, os.Interrupt)
	s.wait(t)
}

func (r runner) output(args ...string) (string, int) {
	c := exec.Command(r.path, args...)
	c.Dir = r.root
	out, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		return err.Error(), -1
	}
	return string(out), 0
}

// run runs a command that must succeed, and gives what it printed.
func (r runner) run(t *testing.T, args ...string) string {
	t.Helper()
	out, code := r.output(args...)
	if code != 0 {
		t.Fatalf("local %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// refused runs a command that must fail with a clear word and without a stack trace.
func (r runner) refused(t *testing.T, want string, args ...string) {
	t.Helper()
	out, code := r.output(args...)
	if code != 1 || !strings.Contains(out, want) || strings.Contains(out, "goroutine ") {
		t.Errorf("local %s: exit code %d, want 1 and %q\n%s", strings.Join(args, " "), code, want, out)
	}
}

// environment is what the runner says of an environment that is up.
type environment struct {
	PID       int    `json:"pid"`
	Endpoint  string `json:"endpoint"`
	Bucket    string `json:"bucket"`
	Pipelines map[string]struct {
		StateMachine   string `json:"stateMachine"`
		ExportFunction string `json:"exportFunction"`
		Endpoint       string `json:"endpoint"`
	} `json:"pipelines"`
}

func readEnvironment(dir string) (environment, error) {
	var e environment
	b, err := os.ReadFile(filepath.Join(dir, "environment.json"))
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(b, &e)
}

func (e environment) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(e.Endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func readResult(t *testing.T, path string) report.Result {
	t.Helper()
	r, err := report.ReadJSON(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// patience is how long the slowest thing here may take on a machine that is busy with other tests.
const patience = 3 * time.Minute

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	eventually(t, path+" to be there", func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	})
}

// checkRuns checks what the two runs of each pipeline are for.
func checkRuns(t *testing.T, r report.Result) {
	if r.Failure != nil {
		t.Fatalf("%s failed: %s", r.Failure.Step, r.Failure.Cause)
	}
	// The floors are below what the models reach, and far above what one reaches that was trained on shuffled columns.
	floors := map[string]struct {
		rows [2]int64
		good func(t report.Tick) bool
	}{
		"fraud":  {[2]int64{207_506, 208_771}, func(t report.Tick) bool { return t.HeldOut.AUC > .85 }},
		"churn":  {[2]int64{20_000, 20_250}, func(t report.Tick) bool { return t.HeldOut.AUC > .74 }},
		"demand": {[2]int64{86_000, 86_500}, func(t report.Tick) bool { return t.HeldOut.WAPE < .8*t.HeldOut.NaiveWAPE }},
	}
	if len(r.Pipelines) != len(floors) {
		t.Errorf("%d pipelines ran, want %d", len(r.Pipelines), len(floors))
	}
	for _, p := range r.Pipelines {
		if len(p.Ticks) != 2 {
			t.Errorf("%s ran %d times, want 2", p.Name, len(p.Ticks))
			continue
		}
		want := floors[p.Name]
		for i, tick := range p.Ticks {
			if tick.Manifest.Rows != want.rows[i] {
				t.Errorf("%s, run %d: %d rows, want %d", p.Name, i+1, tick.Manifest.Rows, want.rows[i])
			}
			if !want.good(tick) {
				t.Errorf("%s, run %d: %s is worse than it may be", p.Name, i+1, tick.HeldOut.Headline())
			}
			if want := p.Endpoint + "-" + tick.Run; tick.ConfigAfter != want || tick.Model != want {
				t.Errorf("%s, run %d: the endpoint serves config %s with model %s, want %s", p.Name, i+1, tick.ConfigAfter, tick.Model, want)
			}
			if tick.Outcome != "succeeded" || len(tick.States) == 0 {
				t.Errorf("%s, run %d: outcome %q after the states %v", p.Name, i+1, tick.Outcome, tick.States)
			}
		}
		first, second := p.Ticks[0], p.Ticks[1]
		if second.ConfigBefore != first.ConfigAfter {
			t.Errorf("%s: config %s was served before run 2, and %s after run 1", p.Name, second.ConfigBefore, first.ConfigAfter)
		}
		if second.Prediction.Before == nil || *second.Prediction.Before == second.Prediction.Score {
			t.Errorf("%s: both models answer %v", p.Name, second.Prediction.Score)
		}
		if len(second.Changes) == 0 {
			t.Errorf("%s: nothing changed in the database", p.Name)
		}
		checkProbes(t, p.Name, second)
		if scheduled := strings.Contains(first.FiredBy, "schedule, rate(1 minute)"); scheduled != (p.Name == "demand") {
			t.Errorf("%s: run 1 was fired by %s", p.Name, first.FiredBy)
		}
	}
}

// checkProbes checks that the endpoint answered all the time, with the old model until the new one did.
func checkProbes(t *testing.T, pipeline string, second report.Tick) {
	t.Helper()
	if len(second.Probes) < 5 {
		t.Errorf("%s: the endpoint was asked %d times while run 2 was under way", pipeline, len(second.Probes))
		return
	}
	changes := 0
	for i, p := range second.Probes {
		if p.Error != "" {
			t.Errorf("%s: no answer at %.1f s: %s", pipeline, p.At, p.Error)
		}
		if i > 0 && p.Score != second.Probes[i-1].Score {
			changes++
		}
	}
	if before := second.Probes[0].Score; second.Prediction.Before != nil && before != *second.Prediction.Before {
		t.Errorf("%s: the first answer during run 2 is %v, run 1's model said %v", pipeline, before, *second.Prediction.Before)
	}
	if changes != 1 {
		t.Errorf("%s: the answer changed %d times during run 2, want once", pipeline, changes)
	}
}

func checkNotices(t *testing.T, r report.Result) {
	for _, p := range r.Pipelines {
		for _, tick := range p.Ticks {
			var outcomes []string
			for _, n := range r.Notices {
				if n.Pipeline == p.Name && n.Run == tick.Run {
					outcomes = append(outcomes, n.Outcome)
				}
			}
			if !slices.Equal(outcomes, []string{"succeeded"}) {
				t.Errorf("the notices of %s, run %s, are %q, want one: succeeded", p.Name, tick.Run, outcomes)
			}
		}
	}
}

func checkReport(t *testing.T, path string, r report.Result) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	html := string(b)
	if found := regexp.MustCompile(`(?i)<(script|link|iframe)|\b(src|href)\s*=|@import|url\(`).FindString(html); found != "" {
		t.Errorf("the report has %q", found)
	}
	for _, p := range r.Pipelines {
		for _, tick := range p.Ticks {
			for _, want := range []string{tick.ConfigAfter, tick.Manifest.Files[0].SHA256} {
				if !strings.Contains(html, want) {
					t.Errorf("the report does not show %s of %s", want, p.Name)
				}
			}
		}
	}
}

// checkGone checks that nothing of an environment runs any more.
func checkGone(t *testing.T, dir string, e environment) {
	t.Helper()
	if c, err := net.Dial("tcp", strings.TrimPrefix(e.Endpoint, "http://")); err == nil {
		c.Close()
		t.Errorf("something still answers at %s", e.Endpoint)
	}
	// Every process that was started has the state folder among its arguments. (One that nobody has reaped yet has none.)
	out, err := exec.Command("ps", "-eo", "pid,args").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) {
			t.Errorf("still there: %s", strings.TrimSpace(line))
		}
	}
}

// world is the AWS of an environment that is up.
type world struct {
	environment
	lambda    *lambda.Client
	s3        *s3.Client
	sagemaker *sagemaker.Client
	secrets   *secretsmanager.Client
	sfn       *sfn.Client
	sqs       *sqs.Client
}

func newWorld(t *testing.T, e environment) world {
	t.Helper()
	c := aws.Config{Region: "us-east-1", BaseEndpoint: &e.Endpoint, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	return world{
		environment: e,
		lambda:      lambda.NewFromConfig(c),
		s3:          s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true }),
		sagemaker:   sagemaker.NewFromConfig(c),
		secrets:     secretsmanager.NewFromConfig(c),
		sfn:         sfn.NewFromConfig(c),
		sqs:         sqs.NewFromConfig(c),
	}
}

// fire sends the event of a scheduled time to a pipeline's export.
func (w world) fire(t *testing.T, pipeline string, at time.Time) run.ID {
	t.Helper()
	function := w.Pipelines[pipeline].ExportFunction
	_, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: &function, InvocationType: lambdatypes.InvocationTypeEvent,
		Payload: fmt.Appendf(nil, `{"scheduledTime":%q}`, at.Format(time.RFC3339)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return run.NewID(at)
}

// notices takes the notices that came since the last look.
func (w world) notices(t *testing.T) []map[string]string {
	t.Helper()
	name := "make-local"
	queue, err := w.sqs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	var notices []map[string]string
	for _, m := range answer.Messages {
		var envelope struct {
			Subject, Message  string
			MessageAttributes map[string]struct{ Value string }
		}
		if err := json.Unmarshal([]byte(*m.Body), &envelope); err != nil {
			t.Fatal(err)
		}
		n := map[string]string{"subject": envelope.Subject, "message": envelope.Message}
		for name, attribute := range envelope.MessageAttributes {
			n[name] = attribute.Value
		}
		notices = append(notices, n)
		if _, err := w.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: m.ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
	}
	return notices
}

func (w world) manifest(t *testing.T, pipeline string, id run.ID) (etag string, exists bool) {
	t.Helper()
	key := manifest.Key(pipeline, id)
	head, err := w.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &w.Bucket, Key: &key})
	if missing := (*s3types.NotFound)(nil); errors.As(err, &missing) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return *head.ETag + aws.ToString(head.VersionId), true
}

func (w world) executions(t *testing.T, pipeline string) int {
	t.Helper()
	machine := w.Pipelines[pipeline].StateMachine
	list, err := w.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Executions)
}

func (w world) served(t *testing.T, pipeline string) string {
	t.Helper()
	endpoint := w.Pipelines[pipeline].Endpoint
	d, err := w.sagemaker.DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: &endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return *d.EndpointConfigName
}

// quiet waits for a moment in which something that shouldn't happen could.
func (w world) quiet() { time.Sleep(4 * time.Second) }

func (w world) repeatedEvent(t *testing.T) {
	at := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	before, ok := w.manifest(t, "churn", run.NewID(at))
	if !ok {
		t.Fatal("churn's first run has no manifest")
	}
	executions, config := w.executions(t, "churn"), w.served(t, "churn")
	w.notices(t)
	w.fire(t, "churn", at)
	w.quiet()
	if after, _ := w.manifest(t, "churn", run.NewID(at)); after != before {
		t.Errorf("the manifest was written again: %s, %s before", after, before)
	}
	if n := w.executions(t, "churn"); n != executions {
		t.Errorf("%d executions, %d before", n, executions)
	}
	if now := w.served(t, "churn"); now != config {
		t.Errorf("the endpoint serves %s, %s before", now, config)
	}
	if notices := w.notices(t); len(notices) > 0 {
		t.Errorf("it was announced: %v", notices)
	}
}

// withSecret changes the database secret for the time of a test.
func (w world) withSecret(t *testing.T, change func(secret map[string]any)) {
	t.Helper()
	name := "ml/local/sqlserver"
	got, err := w.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		t.Fatal(err)
	}
	var secret map[string]any
	if err := json.Unmarshal([]byte(*got.SecretString), &secret); err != nil {
		t.Fatal(err)
	}
	change(secret)
	b, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	put := func(ctx context.Context, text string) {
		if _, err := w.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &text}); err != nil {
			t.Fatal(err)
		}
	}
	put(t.Context(), string(b))
	t.Cleanup(func() { put(context.Background(), *got.SecretString) })
}

// failsOnce fires a run that must end in one notice that has the words in it, and in nothing else.
func (w world) failsOnce(t *testing.T, at time.Time, words ...string) {
	t.Helper()
	executions, config := w.executions(t, "churn"), w.served(t, "churn")
	w.notices(t)
	id := w.fire(t, "churn", at)
	var notices []map[string]string
	eventually(t, "a notice", func() bool {
		notices = append(notices, w.notices(t)...)
		return len(notices) > 0
	})
	w.quiet()
	notices = append(notices, w.notices(t)...)
	if len(notices) != 1 {
		t.Fatalf("%d notices, want one: %v", len(notices), notices)
	}
	n := notices[0]
	t.Logf("%s\n%s", n["subject"], n["message"])
	if n["pipeline"] != "churn" || n["run"] != string(id) || n["outcome"] != "failed" {
		t.Errorf("the notice is about %s, run %s, outcome %s", n["pipeline"], n["run"], n["outcome"])
	}
	for _, word := range words {
		if !strings.Contains(n["message"], word) {
			t.Errorf("the notice does not say %q", word)
		}
	}
	if _, exists := w.manifest(t, "churn", id); exists {
		t.Error("there is a manifest")
	}
	if got := w.executions(t, "churn"); got != executions {
		t.Errorf("%d executions, %d before", got, executions)
	}
	if now := w.served(t, "churn"); now != config {
		t.Errorf("the endpoint serves %s, %s before", now, config)
	}
}

func (w world) wrongPassword(t *testing.T) {
	w.withSecret(t, func(secret map[string]any) { secret["password"] = "not the password" })
	w.failsOnce(t, time.Date(2026, 2, 2, 3, 0, 0, 0, time.UTC), "password")
}

func (w world) unreachableDatabase(t *testing.T) {
	// A port that was free a moment ago: nobody listens there.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	w.withSecret(t, func(secret map[string]any) { secret["port"] = port })
	w.failsOnce(t, time.Date(2026, 2, 9, 3, 0, 0, 0, time.UTC), fmt.Sprint(port))
}
