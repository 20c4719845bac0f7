// Package e2e runs what `make local` runs, once and for real, and then does to the environment what mustn't harm it.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/head"
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
	t.Run("the two runs of each pipeline that trains are what they should be", func(t *testing.T) { checkRuns(t, result) })
	t.Run("each of them says how it was read", func(t *testing.T) { checkReading(t, result) })
	t.Run("a table is followed from run to run", func(t *testing.T) { checkSales(t, pipeline(t, result, "sales")) })
	t.Run("the doctors have nothing to say", func(t *testing.T) { checkDoctors(t, result) })
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
	t.Run("another reader finds each row of the table in the files once", w.readByDuckDB)
	for name, at := range map[string]time.Time{
		"the newest run's": time.Date(2026, 1, 12, 3, 0, 0, 0, time.UTC), "an older run's": time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC),
	} {
		t.Run("an event that comes again does nothing: "+name, func(t *testing.T) { w.repeatedEvent(t, at) })
	}
	t.Run("an event that comes again finds what the distributed map committed", func(t *testing.T) {
		first := pipeline(t, result, "sales").Ticks[0]
		if got := w.invoke(t, "sales", first.Manifest.ScheduledTime); got.Outcome != "already committed" || got.Rows != first.Manifest.Rows {
			t.Errorf("the export answers %+v", got)
		}
	})
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
	t.Run("a generation begins anew by an operator's command, and the distributed map reads it", func(t *testing.T) { w.newGeneration(t, local) })
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
		ExportMap      string `json:"exportMap"`
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

// pipeline finds a pipeline's part of the result.
func pipeline(t *testing.T, r report.Result, name string) report.Pipeline {
	t.Helper()
	for _, p := range r.Pipelines {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("the pipeline %s didn't run", name)
	return report.Pipeline{}
}

// checkRuns checks what the two runs of each pipeline that trains are for.
func checkRuns(t *testing.T, r report.Result) {
	if r.Failure != nil {
		t.Fatalf("%s failed: %s", r.Failure.Step, r.Failure.Cause)
	}
	// The floors are below what the models reach, and far above what one reaches that was trained on shuffled columns.
	floors := map[string]struct {
		rows [2]int64
		good func(t report.Tick) bool
	}{
		// The window slides by a day: a day's transactions leave it, and another day's come in.
		"fraud": {[2]int64{207_489, 207_505}, func(t report.Tick) bool { return t.HeldOut.AUC > .85 }},
		"churn": {[2]int64{20_000, 20_250}, func(t report.Tick) bool { return t.HeldOut.AUC > .74 }},
		// Without the 1,050 rows that a shop owes, and then with them and two days more.
		"demand": {[2]int64{84_950, 87_000}, func(t report.Tick) bool { return t.HeldOut.WAPE < .8*t.HeldOut.NaiveWAPE }},
	}
	if len(r.Pipelines) != len(floors)+1 {
		t.Errorf("%d pipelines ran, want %d", len(r.Pipelines), len(floors)+1)
	}
	for name := range floors {
		p := pipeline(t, r, name)
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

// checkReading checks what the full loads say of themselves.
func checkReading(t *testing.T, r report.Result) {
	for _, p := range r.Pipelines {
		if p.Endpoint == "" {
			continue
		}
		for i, tick := range p.Ticks {
			m := tick.Manifest
			if m.Load != "full" || m.Generation != 1 || m.Bounds != nil || tick.Map != nil || len(tick.Plan.Partitions) != 1 {
				t.Errorf("%s, run %d: a %s load of generation %d, %s", p.Name, i+1, m.Load, m.Generation, report.Reading(tick))
			}
			if !strings.Contains(m.Source.Guarantee, "as it was committed when the statement began, once") {
				t.Errorf("%s, run %d: it claims %q", p.Name, i+1, m.Source.Guarantee)
			}
			checkCommit(t, p, i, int64(i+1))
		}
		if first, second := p.Ticks[0].Manifest, p.Ticks[1].Manifest; second.Parent == nil || second.Parent.Run != first.Run {
			t.Errorf("%s: run 2's parent is %v", p.Name, second.Parent)
		}
	}
	for i, tick := range pipeline(t, r, "fraud").Ticks {
		w := tick.Manifest.Window
		if w == nil || !w.End.Equal(tick.Manifest.ScheduledTime) || w.End.Sub(w.Start) != 180*24*time.Hour {
			t.Errorf("fraud, run %d: the window of the run of %v is %v", i+1, tick.Manifest.ScheduledTime, w)
		}
	}
}

// checkCommit checks that the head moved to the run, once, and that the counts agree.
func checkCommit(t *testing.T, p report.Pipeline, index int, moves int64) {
	t.Helper()
	tick := p.Ticks[index]
	m := tick.Manifest
	if tick.Export != "committed" || tick.Head.Run != m.Run || tick.Head.ManifestRun() != m.Run || tick.Head.Moves != moves || string(m.Run) != tick.Run {
		t.Errorf("%s, run %d is %s: %s; the head is at move %d, run %s, newest commit %s", p.Name, index+1, tick.Run, tick.Export, tick.Head.Moves, tick.Head.Run, tick.Head.ManifestRun())
	}
	if err := m.Counts.Check(len(m.Channels) > 0); err != nil || m.Counts.Parquet != m.Rows || m.Counts.Done == 0 {
		t.Errorf("%s, run %d has %d rows, and the counts %+v: %v", p.Name, index+1, m.Rows, m.Counts, err)
	}
	if tick.Plan.Run != m.Run || m.Plan.ETag == "" || m.Plan.Partitions != len(tick.Plan.Partitions) {
		t.Errorf("%s, run %d: the manifest names the plan %+v", p.Name, index+1, m.Plan)
	}
}

// checkSales checks each run of the append load: everything by the distributed map, what came, what an open transaction held back, and nothing.
func checkSales(t *testing.T, p report.Pipeline) {
	want := []struct {
		export string
		rows   int64
		held   bool
	}{{"committed", 98_950, false}, {"committed", 500, false}, {"committed", 250, true}, {"blocked", 0, true}, {"committed", 1_300, false}, {"no new data", 0, false}}
	if len(p.Ticks) != len(want) {
		t.Fatalf("%d runs, want %d", len(p.Ticks), len(want))
	}
	watermark, moves := "", int64(0)
	for i, tick := range p.Ticks {
		m, lag := tick.Manifest, tick.Detail
		if tick.Export != want[i].export || m.Rows != want[i].rows {
			t.Errorf("run %d: %s with %d rows, want %s with %d", i+1, tick.Export, m.Rows, want[i].export, want[i].rows)
		}
		if want[i].export == "committed" {
			moves++
			checkCommit(t, p, i, moves)
			if m.Load != "append" || m.Bounds == nil || m.Bounds.From != watermark || m.Bounds.Kind != "rowversion" {
				t.Fatalf("run %d: a %s load with the bounds %+v, and the run before ended at %q", i+1, m.Load, m.Bounds, watermark)
			}
			watermark, lag = m.Bounds.To, m.Bounds.Lag
			if !strings.Contains(m.Source.Guarantee, "exactly once") {
				t.Errorf("run %d claims %q", i+1, m.Source.Guarantee)
			}
		}
		if h := tick.Head; h.Moves != moves || h.Generation != 1 || h.Watermark == nil || h.Watermark.Value != watermark {
			t.Errorf("after run %d the head is %+v, want move %d at %s", i+1, h, moves, watermark)
		}
		if names := strings.Contains(lag, "row versions wait behind an open transaction: session "); names != want[i].held {
			t.Errorf("run %d says of what holds it back: %q", i+1, lag)
		}
	}
	if first := p.Ticks[0]; first.Map == nil || first.Map.Status != "SUCCEEDED" || first.Map.Partitions < 2 || first.Map.Succeeded != int64(len(first.Plan.Partitions)) {
		t.Errorf("run 1 has %d partitions, and the distributed map did %+v", len(first.Plan.Partitions), first.Map)
	} else if !strings.Contains(first.FiredBy, "schedule, rate(1 minute)") {
		t.Errorf("run 1 was fired by %s", first.FiredBy)
	}
	for i, tick := range p.Ticks[1:] {
		if tick.Map != nil {
			t.Errorf("run %d of %d rows was handed to the distributed map", i+2, tick.Manifest.Rows)
		}
	}
	if p.Ledger == nil || !p.Ledger.Exact() || p.Ledger.Runs != 4 || p.Ledger.Table != 101_000 {
		t.Errorf("the rows of all runs against the table: %+v", p.Ledger)
	}
}

func checkDoctors(t *testing.T, r report.Result) {
	for _, p := range r.Pipelines {
		if len(p.Doctor.Findings) < 5 || p.Doctor.Worst() != findings.OK {
			t.Errorf("%s", p.Doctor.Text())
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
			want := []string{"succeeded"}
			if p.Endpoint == "" {
				if want[0] = tick.Export; tick.Export == "committed" {
					want[0] = "exported"
				}
			}
			var outcomes []string
			for _, n := range r.Notices {
				if n.Pipeline == p.Name && n.Run == tick.Run {
					outcomes = append(outcomes, n.Outcome)
				}
			}
			if !slices.Equal(outcomes, want) {
				t.Errorf("the notices of %s, run %s, are %q, want %q", p.Name, tick.Run, outcomes, want)
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
			shown := []string{tick.ConfigAfter, tick.Detail}
			if tick.Export == "committed" {
				shown = append(shown, tick.Manifest.Files[0].SHA256, report.Range(tick), report.Pieces(tick), tick.Manifest.Source.Guarantee)
			}
			for _, want := range shown {
				if !strings.Contains(html, template.HTMLEscapeString(want)) {
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

// answer is what the export function answers.
type answer struct {
	Outcome, Detail string
	Generation      int
	Rows            int64
}

// invoke makes a run and waits for the function's answer.
func (w world) invoke(t *testing.T, pipeline string, at time.Time) answer {
	t.Helper()
	function := w.Pipelines[pipeline].ExportFunction
	out, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: &function, Payload: fmt.Appendf(nil, `{"scheduledTime":%q}`, at.Format(time.RFC3339)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.FunctionError != nil {
		t.Fatalf("%s: %s", *out.FunctionError, out.Payload)
	}
	var a answer
	if err := json.Unmarshal(out.Payload, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// object reads an object of the bucket.
func (w world) object(t *testing.T, key string) []byte {
	t.Helper()
	object, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &w.Bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	b, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// head is a pipeline's head.
func (w world) head(t *testing.T, pipeline string) head.Head {
	t.Helper()
	h, err := head.Decode(w.object(t, head.Key(pipeline)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// manifests are those that the head reaches, the newest first.
func (w world) manifests(t *testing.T, pipeline string) []manifest.Manifest {
	t.Helper()
	var all []manifest.Manifest
	for ref := w.head(t, pipeline).Manifest; ref != nil; {
		m, err := manifest.Decode(w.object(t, ref.Key))
		if err != nil {
			t.Fatal(err)
		}
		all, ref = append(all, m), m.Parent
	}
	return all
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

func (w world) repeatedEvent(t *testing.T, at time.Time) {
	before := w.head(t, "churn")
	executions, config := w.executions(t, "churn"), w.served(t, "churn")
	w.notices(t)
	w.fire(t, "churn", at)
	w.quiet()
	if after := w.head(t, "churn"); !reflect.DeepEqual(after, before) {
		t.Errorf("the head moved: %+v, %+v before", after, before)
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
	executions, config, before := w.executions(t, "churn"), w.served(t, "churn"), w.head(t, "churn")
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
	if after := w.head(t, "churn"); !reflect.DeepEqual(after, before) {
		t.Errorf("the head moved: %+v, %+v before", after, before)
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

// readByDuckDB reads the files of all runs of sales by a program that shares nothing with the one that wrote them.
func (w world) readByDuckDB(t *testing.T) {
	dir := t.TempDir()
	files := 0
	for _, m := range w.manifests(t, "sales") {
		for _, f := range m.Files {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.parquet", files)), w.object(t, f.Key), 0o600); err != nil {
				t.Fatal(err)
			}
			files++
		}
	}
	const script = `import duckdb, sys
print(*duckdb.execute("SELECT count(*), count(DISTINCT (SaleDate, ShopId, ItemId)), count(DISTINCT RowVer), max(SaleDate) FROM read_parquet('" + sys.argv[1] + "/*.parquet')").fetchone())`
	out, err := exec.CommandContext(t.Context(), "../../.venv/bin/python", "-c", script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, want := strings.TrimSpace(string(out)), "101000 101000 101000 2026-01-06"; got != want {
		t.Errorf("%d files have rows, keys, row versions and a last day of %s, want %s", files, got, want)
	}
}

// newGeneration gives the command rebaseline, as docs/runbook.md says it, and follows the run that begins the generation.
func (w world) newGeneration(t *testing.T, local runner) {
	w.notices(t)
	before := w.head(t, "sales")
	c := exec.CommandContext(t.Context(), "go", "run", "./cmd/datapipeline", "rebaseline", "-environment", "local", "-pipeline", "sales", "-reason", "rows were corrected", "-by", "a test")
	c.Dir = local.root
	c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+w.Endpoint, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "NO_PROXY=127.0.0.1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h := w.head(t, "sales")
	if h.Generation != 2 || h.Moves != before.Moves+1 || h.Watermark != nil || h.Rebaselined == nil || h.Rebaselined.By != "a test" {
		t.Fatalf("the head after it is %+v", h)
	}
	at := time.Now().UTC().Truncate(time.Second)
	if got := w.invoke(t, "sales", at); got.Outcome != "handed over" || got.Generation != 2 {
		t.Fatalf("the export answers %+v", got)
	}
	id := run.NewID(at)
	eventually(t, "the distributed map to commit run "+string(id), func() bool { return w.head(t, "sales").ManifestRun() == id })
	m := w.manifests(t, "sales")[0]
	if m.Generation != 2 || m.Rows != 101_000 || m.Bounds.From != "" || m.Plan.Partitions < 2 || m.Plan.Segments < m.Plan.Partitions {
		t.Errorf("the manifest has %d rows of generation %d from %q in %d partitions and %d segments", m.Rows, m.Generation, m.Bounds.From, m.Plan.Partitions, m.Plan.Segments)
	}
	if got := w.invoke(t, "sales", at.Add(time.Second)); got.Outcome != "no new data" {
		t.Errorf("the next run answers %+v", got)
	}
	var told []string
	eventually(t, "two notices", func() bool {
		for _, n := range w.notices(t) {
			told = append(told, n["outcome"])
		}
		return len(told) >= 2
	})
	if slices.Sort(told); !slices.Equal(told, []string{"exported", "no new data"}) {
		t.Errorf("it was announced: %v", told)
	}
}
