package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/test/local/report"
)

// up runs everything once: it starts the services, deploys, lets each pipeline run twice, and writes the report, also of a
// run that failed. At the end it stops what it started, unless it is to keep it.
func up(ctx context.Context, o options) (err error) {
	release, err := o.dir.lock("run.lock")
	if errors.Is(err, errLocked) {
		return fmt.Errorf("another `make local` is running (process %d): wait for it, or end it", o.dir.holder("run.lock"))
	}
	if err != nil {
		return err
	}
	defer release()
	if o.dir.held("serve.lock") {
		return alreadyUp(o)
	}

	c := newConsole(os.Stdout)
	r := newRecorder(c)
	stopWatching, watched := make(chan struct{}), make(chan struct{})
	go func() { c.watch(stopWatching); close(watched) }()
	l := &localRun{options: o, recorder: r}
	err = l.all(ctx)
	close(stopWatching)
	<-watched

	l.stopInbox(ctx)
	keep := o.keep && err == nil
	if l.services != nil {
		if keep {
			keepErr := l.services.keep()
			err = errors.Join(err, keepErr)
		} else {
			l.services.stop()
			if removeErr := os.Remove(o.dir.file("environment.json")); removeErr != nil && !errors.Is(removeErr, os.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
	}
	result := r.finish(err, o.dir.logs())
	if writeErr := l.write(result); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	if err != nil {
		return l.failed(err, result)
	}
	c.text("\n" + summary(result))
	c.text(fmt.Sprintf("%s   %s", c.paint(bold, "report"), o.report))
	c.text(fmt.Sprintf("%s   %.0f s", c.paint(bold, "took  "), result.Seconds))
	if keep {
		c.text("\n" + lookAround(l.environment))
	}
	return nil
}

// localRun is one run of up.
type localRun struct {
	options
	recorder    *recorder
	services    *services
	clients     clients
	database    database
	environment environment
	inbox       *inbox
	stopReading func()
}

func (l *localRun) all(ctx context.Context) error {
	if err := l.recorder.step(ctx, "tools", l.checkTools); err != nil {
		return err
	}
	c, err := config.FromFile("cdk.json")
	if err != nil {
		return err
	}
	// What must wait for nothing else goes at once. Two CPUs: the compilers have one, bootstrapping and loading the other.
	err = together(ctx,
		func(ctx context.Context) error { return l.recorder.step(ctx, "synth", l.synth) },
		func(ctx context.Context) error {
			if err := l.recorder.step(ctx, "services", l.startServices); err != nil {
				return err
			}
			return together(ctx,
				func(ctx context.Context) error { return l.recorder.step(ctx, "bootstrap", l.bootstrap) },
				func(ctx context.Context) error { return l.recorder.step(ctx, "data", l.fill) },
			)
		},
	)
	if err != nil {
		return err
	}
	if err := l.recorder.step(ctx, "deploy", func(ctx context.Context) (string, error) { return l.deploy(ctx, c) }); err != nil {
		return err
	}
	return l.runPipelines(ctx, c)
}

func (l *localRun) checkTools(ctx context.Context) (string, error) {
	versions, err := checkTools(ctx, pythonCommand())
	l.recorder.mu.Lock()
	l.recorder.result.Versions = versions
	l.recorder.mu.Unlock()
	var texts []string
	for _, v := range versions {
		if v.Tool == "machine" {
			texts = append(texts, v.Version)
			continue
		}
		texts = append(texts, v.Tool+" "+v.Version)
	}
	return strings.Join(texts, " · "), err
}

func (l *localRun) synth(ctx context.Context) (string, error) {
	return "cdk synth '" + stage + "'", synth(ctx, l.options)
}

func (l *localRun) startServices(ctx context.Context) (string, error) {
	var err error
	if l.services, err = startServices(ctx, l.options); err != nil {
		return "", err
	}
	if url := os.Getenv(serverURLVariable); url != "" {
		l.database, err = realDatabase(url, os.Getenv(serverCAVariable))
	} else {
		l.database, err = localDatabase(l.dir, l.services.ready)
	}
	if err != nil {
		return "", err
	}
	endpoint := l.services.ready.Endpoint
	l.clients = newClients(endpoint)
	l.environment = environment{
		PID: l.services.ready.PID, StartedAt: time.Now().UTC().Truncate(time.Second), Endpoint: endpoint,
		DatabaseURL: l.database.url, Database: l.database.what,
	}
	l.recorder.mu.Lock()
	l.recorder.result.Database = l.database.what
	l.recorder.mu.Unlock()
	return fmt.Sprintf("AWS at %s, %s at %s:%d", endpoint, l.database.what, l.database.secret.Host, l.database.secret.Port),
		l.dir.write(l.environment)
}

func (l *localRun) bootstrap(ctx context.Context) (string, error) {
	if err := l.database.store(ctx, l.clients.secrets); err != nil {
		return "", err
	}
	return "cdk bootstrap; database secret " + secretName, bootstrap(ctx, l.options, l.environment.Endpoint)
}

func (l *localRun) fill(ctx context.Context) (string, error) {
	rows, err := l.database.fill(ctx, func(table string, n, of int) {
		if n == of {
			l.recorder.console.line("data", "%s: %s rows", table, thousands(int64(n)))
		}
	})
	return thousands(int64(rows)) + " rows in 3 tables", err
}

func (l *localRun) deploy(ctx context.Context, c *config.Config) (string, error) {
	stacks, err := deploy(ctx, l.options, l.environment.Endpoint, func(stack string) {
		l.recorder.console.line("deploy", "stack %s", stack)
	})
	if err != nil {
		return "", err
	}
	if err := l.environment.describe(c, stacks); err != nil {
		return "", err
	}
	if err := l.dir.write(l.environment); err != nil {
		return "", err
	}
	if l.inbox, err = subscribe(ctx, l.clients, l.environment.Topic, l.recorder); err != nil {
		return "", err
	}
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { l.inbox.read(reading); close(done) }()
	l.stopReading = func() { stop(); <-done }
	return fmt.Sprintf("cdk deploy '%s': %d stacks", stage, len(stacks)), nil
}

// stopInbox stops reading notices, after a last look for those of the last run, also of one that was interrupted.
func (l *localRun) stopInbox(ctx context.Context) {
	if l.stopReading == nil {
		return
	}
	l.stopReading()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	l.inbox.receive(ctx, 0)
}

func (l *localRun) runPipelines(ctx context.Context, c *config.Config) error {
	settings, pipelines, err := c.For("local")
	if err != nil {
		return err
	}
	var all []*runner
	for _, u := range useCases() {
		p, ok := pipelines[u.name]
		if !ok {
			return fmt.Errorf("cdk.json has no pipeline %q in the environment local", u.name)
		}
		r := l.runner(u, p)
		r.limits = p.ClockLimits(settings)
		all = append(all, r)
	}
	if err := l.recorder.step(ctx, "doctor", func(ctx context.Context) (string, error) { return examine(ctx, all) }); err != nil {
		return err
	}
	sales := newShop()
	var runs []func(ctx context.Context) error
	for _, r := range all {
		switch r.name {
		case "sales":
			runs = append(runs, func(ctx context.Context) error { return r.append(ctx, sales) })
		case "demand":
			runs = append(runs, func(ctx context.Context) error { return r.both(ctx, sales.exported, sales.wait) })
		default:
			runs = append(runs, func(ctx context.Context) error { return r.both(ctx, func() {}, r.change) })
		}
	}
	if err := together(ctx, runs...); err != nil {
		return err
	}
	for _, r := range all {
		// The notify function tells an export's end a moment after it, and sets the clocks before it does.
		for _, id := range l.recorder.runs(r.name) {
			if err := poll(ctx, tellWithin, "the notice of run "+id+" of "+r.name, func() (bool, error) { return l.inbox.heard(r.name, id), nil }); err != nil {
				return err
			}
		}
		clocks, err := r.clocks(ctx)
		if err != nil {
			return err
		}
		l.recorder.clocks(r.name, clocks)
	}
	return nil
}

// examine asks the doctors of all pipelines what stands in the way of their exports.
func examine(ctx context.Context, all []*runner) (string, error) {
	var examinations []func(ctx context.Context) error
	for _, r := range all {
		examinations = append(examinations, func(ctx context.Context) error {
			var err error
			r.describe.Doctor, err = r.examine(ctx)
			return err
		})
	}
	if err := together(ctx, examinations...); err != nil {
		return "", err
	}
	warnings := 0
	for _, r := range all {
		for _, f := range r.describe.Doctor.Findings {
			if f.Severity != findings.OK {
				warnings++
			}
		}
	}
	return fmt.Sprintf("%d pipelines examined, no error, %d warnings", len(all), warnings), nil
}

func (l *localRun) runner(u useCase, p config.Pipeline) *runner {
	return &runner{
		useCase: u, deployed: l.environment.Pipelines[u.name], clients: l.clients, recorder: l.recorder, inbox: l.inbox,
		bucket: l.environment.Bucket, database: l.environment.DatabaseURL,
		describe: report.Pipeline{
			Name: u.name, Task: string(p.Dataset.Task), Endpoint: l.environment.Pipelines[u.name].Endpoint, Schedule: p.Schedule.Expression,
		},
	}
}

// together runs functions at once and returns the first error, which stops the others.
func together(ctx context.Context, functions ...func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, f := range functions {
		group.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// write writes the report, and the result for programs where that is asked for.
func (l *localRun) write(result report.Result) error {
	if err := report.Write(l.report, result); err != nil {
		return err
	}
	if l.json == "" {
		return nil
	}
	return result.WriteJSON(l.json)
}

// failed says in a few lines what failed, why, and where to look.
func (l *localRun) failed(err error, result report.Result) error {
	if errors.As(err, &interrupted{}) {
		return err
	}
	c, f := l.recorder.console, result.Failure
	c.text(fmt.Sprintf("\n%s %s\n  %s\n  logs    %s\n  report  %s",
		c.paint(red, "✗"), c.paint(bold, f.Step+" failed"), strings.ReplaceAll(f.Cause, "\n", "\n  "), f.Logs, l.report))
	return errReported
}

// summary is what came out, as two tables, what was read and what was learnt from it, and what the runs claim.
func summary(result report.Result) string {
	var read, learnt [][]string
	for _, p := range result.Pipelines {
		for i, t := range p.Ticks {
			name := p.Name
			if i > 0 {
				name = ""
			}
			read = append(read, readRow(name, t))
			if p.Endpoint != "" {
				learnt = append(learnt, []string{name, t.Run, t.HeldOut.Headline(), judgedText(t), p.Endpoint, t.ConfigAfter, predictionText(t)})
			}
		}
	}
	text := table([]string{"read", "run", "export", "rows", "which", "in pieces", "gen", "head", "counts"}, read, map[int]bool{3: true, 6: true})
	if len(learnt) > 0 {
		text += "\n" + table([]string{"learnt", "run", "on held-out rows", "gate", "endpoint", "serves", "one prediction"}, learnt, nil)
	}
	return text + claims(result)
}

// claims are the guarantees, each once with the pipelines that give it, what held runs back, and the doctors' and the comparison's words.
func claims(result report.Result) string {
	var claimed, paragraphs []string
	by := map[string][]string{}
	for _, p := range result.Pipelines {
		for _, t := range p.Ticks {
			if b := t.Manifest.Bounds; b != nil && b.Lag != "" {
				paragraphs = append(paragraphs, wrap(p.Name+", run "+t.Run+": ", b.Lag))
			} else if t.Export == "blocked" {
				paragraphs = append(paragraphs, wrap(p.Name+", run "+t.Run+": ", "blocked: "+t.Detail))
			}
			g := t.Manifest.Source.Guarantee
			if g == "" || slices.Contains(by[g], p.Name) {
				continue
			}
			if len(by[g]) == 0 {
				claimed = append(claimed, g)
			}
			by[g] = append(by[g], p.Name)
		}
		if p.Ledger != nil {
			paragraphs = append(paragraphs, wrap(p.Name+", looked up: ", ledgerText(*p.Ledger)))
		}
		for _, f := range p.Doctor.Findings {
			if f.Severity != findings.OK {
				paragraphs = append(paragraphs, wrap(fmt.Sprintf("%s, the doctor's %s: ", p.Name, f.Severity), f.Found+" → "+f.Remedy))
			}
		}
	}
	for i, g := range claimed {
		claimed[i] = wrap(strings.Join(by[g], ", ")+": ", g)
	}
	return "\n" + strings.Join(append(claimed, paragraphs...), "\n")
}

// wrap breaks a text into lines of at most 120 characters behind its first words.
func wrap(first, text string) string {
	var b strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > 120 {
			b.WriteString(line + "\n")
			line = "  " + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

func readRow(name string, t report.Tick) []string {
	if t.Export != "committed" {
		return []string{name, t.Run, t.Export, "", "", "", fmt.Sprint(t.Head.Generation), report.HeadText(t.Head), ""}
	}
	pieces, counts := "1", "agree"
	if n := len(t.Plan.Partitions); n > 1 {
		pieces = fmt.Sprintf("%d, by %s", n, t.Plan.Boundaries)
	}
	if t.Map != nil {
		pieces += ", map"
	}
	if t.Manifest.Counts.Check(len(t.Manifest.Channels) > 0) != nil {
		counts = "DIFFER"
	}
	return []string{name, t.Run, t.Manifest.Load, thousands(t.Manifest.Rows), report.Range(t), pieces, fmt.Sprint(t.Manifest.Generation), report.HeadText(t.Head), counts}
}

// ledgerText says whether the runs of an append load hold the table.
func ledgerText(l report.Ledger) string {
	if l.Exact() {
		return fmt.Sprintf("the %d runs hold the %s rows of the table, each once.", l.Runs, thousands(l.Table))
	}
	return fmt.Sprintf("of %s rows of the table, %d are missing and %d there twice; %d others.", thousands(l.Table), l.Missing, l.Twice, l.Other)
}

// judgedText is what the gate decided, with the figures that it went by.
func judgedText(t report.Tick) string {
	e := t.Evaluation
	if e == nil {
		return "none"
	}
	text := string(e.Decision) + ", " + report.Estimated(e.Metric, e.Estimate)
	if e.ChampionValue != nil {
		text += fmt.Sprintf(" after %.3f", *e.ChampionValue)
	}
	return text
}

// predictionText says what the endpoint answered for the row to show, and what was true.
func predictionText(t report.Tick) string {
	if t.Signature.Task == "binary" {
		return fmt.Sprintf("%s %.3f, was %.0f", t.Signature.Label, t.Prediction.Score, t.Prediction.Actual)
	}
	return fmt.Sprintf("%s %.1f, was %.0f", t.Signature.Label, t.Prediction.Score, t.Prediction.Actual)
}

// lookAround says what to do with an environment that is left up.
func lookAround(e environment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The environment stays up. It is an AWS account of its own: any AWS tool works with this, datapipeline too:\n\n")
	fmt.Fprintf(&b, "  export AWS_ENDPOINT_URL=%s AWS_ENDPOINT_URL_S3=%s AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=%s\n\n", e.Endpoint, e.Endpoint, region)
	fmt.Fprintf(&b, "  aws s3 cp s3://%s/sales/head.json -                  what is committed: the newest manifest and the watermark\n", e.Bucket)
	fmt.Fprintf(&b, "  aws s3 ls --recursive s3://%s/sales/runs/            the plans, parts, files and manifests\n", e.Bucket)
	fmt.Fprintf(&b, "  aws stepfunctions list-executions --state-machine-arn %s\n", e.Pipelines["fraud"].StateMachine)
	fmt.Fprintf(&b, "  go run ./cmd/datapipeline status -environment local -pipeline sales\n")
	fmt.Fprintf(&b, "  go run ./cmd/datapipeline doctor -environment local -pipeline sales\n")
	fmt.Fprintf(&b, "  go run ./cmd/datapipeline rebaseline -environment local -pipeline sales -reason 'the table was corrected'\n\n")
	fmt.Fprintf(&b, "  make local-predict P=fraud                               ask the endpoint, as a client does\n")
	fmt.Fprintf(&b, "  make local-sql Q=\"UPDATE dbo.Customers SET Churned = 1 WHERE NpsScore < 3\"\n")
	fmt.Fprintf(&b, "  make local-tick P=churn                                  fire the next run and follow it\n")
	fmt.Fprintf(&b, "  make local-down                                          end it\n\n")
	fmt.Fprintf(&b, "The schedules %s and %s are paused; `aws scheduler update-schedule` with State=ENABLED lets them fire again.", e.Pipelines["demand"].Schedule, e.Pipelines["sales"].Schedule)
	return b.String()
}
