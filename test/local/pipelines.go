package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	schedulertypes "github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/test/local/data"
	"sagemaker-datapipeline/test/local/heldout"
	"sagemaker-datapipeline/test/local/report"
)

// useCase is what the runner knows of a pipeline beyond its configuration: when its two runs are.
type useCase struct {
	name string
	// first and second are the scheduled times of the runs, which the data's calendar gives. Zero: the first run is fired by
	// the deployed schedule itself, and the second comes right after it.
	first, second time.Time
	// naive is the feature that is the forecast of somebody without a model.
	naive string
	// exportOnly says that the pipeline trains nothing.
	exportOnly bool
}

// useCases are the four pipelines. The nightly and the weekly one would keep us waiting until three in the morning, so their
// runs are invoked with the times at which their schedules fire next after the data's last day (03:00 and 04:00 in Berlin).
func useCases() []useCase {
	return []useCase{
		{name: "fraud", first: time.Date(2026, 1, 5, 2, 0, 0, 0, time.UTC), second: time.Date(2026, 1, 6, 2, 0, 0, 0, time.UTC)},
		{name: "churn", first: time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC), second: time.Date(2026, 1, 12, 3, 0, 0, 0, time.UTC)},
		{name: "demand", naive: "QuantityLag7"},
		{name: "sales", exportOnly: true},
	}
}

func pipelineNames() []string {
	var names []string
	for _, u := range useCases() {
		names = append(names, u.name)
	}
	return names
}

// runner follows the runs of one pipeline.
type runner struct {
	useCase
	deployed
	clients
	recorder *recorder
	inbox    *inbox
	bucket   string
	database string // its URL
	describe report.Pipeline
	// limits are those of the pipeline's clocks.
	limits config.Clocks
	// latest is the scheduled time of the last run that this runner made.
	latest time.Time
}

// The limits on waiting. A run takes a few seconds; these are for machines that are busy with other things.
const (
	exportWithin   = 3 * time.Minute
	executeWithin  = 5 * time.Minute
	scheduleWithin = 150 * time.Second
	tellWithin     = time.Minute
)

func (r *runner) say(format string, args ...any) { r.recorder.console.line(r.name, format, args...) }

// both lets the pipeline run twice, with changes in the database between. exported, where it isn't nil, is called once the first run has
// read the database; change makes the changes, or waits until somebody else has made them.
func (r *runner) both(ctx context.Context, exported func(), change func(ctx context.Context) ([]data.Change, error)) error {
	var first report.Tick
	err := r.recorder.step(ctx, r.name+" 1", func(ctx context.Context) (detail string, err error) {
		first, err = r.firstTick(ctx, exported)
		return r.summary(first), err
	})
	if err != nil {
		return err
	}
	changes, err := change(ctx)
	if err != nil {
		return err
	}
	return r.recorder.step(ctx, r.name+" 2", func(ctx context.Context) (string, error) {
		second, err := r.secondTick(ctx, first, changes)
		return r.summary(second), err
	})
}

func (r *runner) summary(t report.Tick) string {
	return fmt.Sprintf("%s rows, %s, serves %s", thousands(t.Manifest.Rows), t.HeldOut.Headline(), t.ConfigAfter)
}

func (r *runner) firstTick(ctx context.Context, exported func()) (report.Tick, error) {
	t := report.Tick{Start: r.recorder.since(time.Now())}
	if r.first.IsZero() {
		t.FiredBy = "fired by its schedule, " + r.describe.Schedule
		id, err := r.awaitSchedule(ctx)
		if err != nil {
			return t, err
		}
		t.Run = string(id)
		t.Start = r.recorder.since(time.Now())
	} else {
		t.FiredBy = "invoked with its scheduled time"
		t.Run = string(run.NewID(r.first))
		if err := r.invoke(ctx, r.first); err != nil {
			return t, err
		}
	}
	if err := r.follow(ctx, &t, 0); err != nil {
		return t, err
	}
	exported()
	if err := r.followExecution(ctx, &t); err != nil {
		return t, err
	}
	return t, r.measure(ctx, &t, 0, nil)
}

// awaitSchedule waits for the run that the deployed schedule fires, and then pauses the schedule, so that the run after it
// is one whose beginning we know.
func (r *runner) awaitSchedule(ctx context.Context) (run.ID, error) {
	r.say("waiting for the schedule %s, %s, to fire", r.Schedule, r.describe.Schedule)
	var id run.ID
	prefix := r.name + "/runs/"
	err := poll(ctx, scheduleWithin, "the schedule "+r.Schedule+" to fire", func() (bool, error) {
		if n, ok := r.inbox.failure(r.name, ""); ok {
			return false, fmt.Errorf("%s: %s", n.Subject, n.Message)
		}
		list, err := r.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &r.bucket, Prefix: &prefix})
		if err != nil {
			return false, fmt.Errorf("looking for a run: %w", err)
		}
		if len(list.Contents) == 0 {
			return false, nil
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(*list.Contents[0].Key, prefix), "/")
		id, err = run.ParseID(name)
		return err == nil, err
	})
	if err != nil {
		return "", err
	}
	r.say("the schedule fired: run %s", id)
	return id, r.pause(ctx)
}

func (r *runner) pause(ctx context.Context) error {
	s, err := r.scheduler.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: &r.Schedule, GroupName: &r.ScheduleGroup})
	if err != nil {
		return fmt.Errorf("pausing the schedule: %w", err)
	}
	_, err = r.scheduler.UpdateSchedule(ctx, &scheduler.UpdateScheduleInput{
		Name: s.Name, GroupName: s.GroupName, State: schedulertypes.ScheduleStateDisabled,
		ScheduleExpression: s.ScheduleExpression, ScheduleExpressionTimezone: s.ScheduleExpressionTimezone,
		FlexibleTimeWindow: s.FlexibleTimeWindow, Target: s.Target, Description: s.Description,
	})
	if err != nil {
		return fmt.Errorf("pausing the schedule: %w", err)
	}
	return nil
}

// invoke does what the schedule does: an asynchronous event with the scheduled time.
func (r *runner) invoke(ctx context.Context, at time.Time) error {
	event, err := json.Marshal(map[string]string{"scheduledTime": at.UTC().Format(time.RFC3339)})
	if err != nil {
		return fmt.Errorf("making the event: %w", err)
	}
	r.say("event %s → %s", event, r.ExportFunction)
	_, err = r.lambda.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: &r.ExportFunction, InvocationType: lambdatypes.InvocationTypeEvent, Payload: event,
	})
	if err != nil {
		return fmt.Errorf("invoking %s: %w", r.ExportFunction, err)
	}
	return nil
}

// secondTick follows the run after the changes, while it keeps asking the endpoint: the old
// model must answer until the new one does.
func (r *runner) secondTick(ctx context.Context, first report.Tick, changes []data.Change) (report.Tick, error) {
	at := r.second
	if at.IsZero() {
		// A schedule fires at most once a minute; the run's id has seconds, so this is a time that the schedule won't use.
		at = time.Now().UTC().Truncate(time.Second)
	}
	t := report.Tick{
		Run: string(run.NewID(at)), FiredBy: "invoked with its scheduled time",
		Start: r.recorder.since(time.Now()), ConfigBefore: first.ConfigAfter, Changes: changes,
	}
	probing, stopProbing := context.WithCancel(ctx)
	probes := make(chan []report.Probe)
	go func() { probes <- r.probe(probing, first.Prediction.Request) }()
	defer func() {
		stopProbing()
	}()
	if err := r.invoke(ctx, at); err != nil {
		stopProbing()
		<-probes
		return t, err
	}
	err := r.follow(ctx, &t, 1)
	if err == nil {
		err = r.followExecution(ctx, &t)
		r.recorder.tick(r.describe, 1, t)
	}
	if err == nil {
		// A few answers more, so that the change is within the series and not its end.
		select {
		case <-time.After(2 * probeInterval):
		case <-ctx.Done():
		}
	}
	stopProbing()
	t.Probes = <-probes
	if err != nil {
		return t, err
	}
	if err := r.measure(ctx, &t, 1, &first.Prediction); err != nil {
		return t, err
	}
	return t, changed(first, t)
}

// changed checks what the second run is for.
func changed(first, second report.Tick) error {
	switch {
	case second.ConfigAfter == first.ConfigAfter:
		return fmt.Errorf("run %s ended well, but the endpoint still serves %s", second.Run, first.ConfigAfter)
	case second.Model == first.Model:
		return fmt.Errorf("run %s ended well, but config %s still has the model %s", second.Run, second.ConfigAfter, first.Model)
	}
	for _, p := range second.Probes {
		if p.Error != "" {
			return fmt.Errorf("the endpoint did not answer while it was updated: %s", p.Error)
		}
	}
	return nil
}

const probeInterval = 250 * time.Millisecond

// probe keeps asking the endpoint for one row until the context ends.
func (r *runner) probe(ctx context.Context, request string) []report.Probe {
	var probes []report.Probe
	for {
		scores, err := heldout.Predict(ctx, r.runtime, r.Endpoint, request)
		if ctx.Err() != nil {
			return probes
		}
		p := report.Probe{At: r.recorder.since(time.Now())}
		switch {
		case err != nil:
			p.Error = err.Error()
		case len(scores) != 1:
			p.Error = fmt.Sprintf("%d scores for one row", len(scores))
		default:
			p.Score = scores[0]
		}
		probes = append(probes, p)
		select {
		case <-ctx.Done():
			return probes
		case <-time.After(probeInterval):
		}
	}
}

// change lets the time between the two runs go by in the database.
func (r *runner) change(ctx context.Context) ([]data.Change, error) {
	changes, err := nextChanges(ctx, r.database, r.name)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		r.say("%s rows: %s", thousands(c.Rows), c.What)
	}
	return changes, nil
}

// follow waits until the pipeline's head reaches the run, and tells what was committed.
func (r *runner) follow(ctx context.Context, t *report.Tick, index int) error {
	defer func() { r.recorder.tick(r.describe, index, *t) }()
	return r.awaitCommit(ctx, t)
}

func (r *runner) awaitCommit(ctx context.Context, t *report.Tick) error {
	id, err := run.ParseID(t.Run)
	if err != nil {
		return err
	}
	err = poll(ctx, exportWithin, "s3://"+r.bucket+"/"+head.Key(r.name)+" to reach run "+t.Run, func() (bool, error) {
		if n, ok := r.inbox.failure(r.name, t.Run); ok {
			return false, fmt.Errorf("%s: %s", n.Subject, n.Message)
		}
		return r.committed(ctx, id, t)
	})
	if err != nil {
		return err
	}
	return r.describeExport(ctx, t)
}

// committed looks for a run from the head down, as everything does that wants to know what is committed.
func (r *runner) committed(ctx context.Context, id run.ID, t *report.Tick) (bool, error) {
	var err error
	if t.Head, err = readHead(ctx, r.s3, r.bucket, r.name); err != nil {
		return false, err
	}
	for ref := t.Head.Manifest; ref != nil; {
		m, err := readManifest(ctx, r.s3, r.bucket, *ref)
		if err != nil {
			return false, err
		}
		if m.Run == id {
			t.Manifest = m
			return true, nil
		}
		ref = m.Parent
	}
	return false, nil
}

// describeExport reads what a committed run names, and says what it is.
func (r *runner) describeExport(ctx context.Context, t *report.Tick) error {
	m := t.Manifest
	t.Export = "committed"
	planned, err := readObject(ctx, r.s3, r.bucket, m.Plan.Key, "")
	if err != nil {
		return err
	}
	if t.Plan, err = plan.Decode(planned); err != nil {
		return fmt.Errorf("s3://%s/%s: %w", r.bucket, m.Plan.Key, err)
	}
	if m.Signature != nil {
		b, err := readObject(ctx, r.s3, r.bucket, m.Signature.Key, m.Signature.VersionID)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &t.Signature); err != nil {
			return fmt.Errorf("reading s3://%s/%s: %w", r.bucket, m.Signature.Key, err)
		}
	}
	if t.Map, err = r.mapRun(ctx, t.Run); err != nil {
		return err
	}
	if err := r.judgedData(ctx, t); err != nil {
		return err
	}
	if err := m.Counts.Check(len(m.Channels) > 0); err != nil {
		return fmt.Errorf("run %s: %w", t.Run, err)
	}
	r.say("%s", report.Reading(*t))
	r.say("exported %s to %s, %s, in %.1f s; head move %d",
		count(m.Rows, "row"), count(int64(len(m.Files)), "file"), bytesText(m.Bytes), m.CommittedAt.Sub(m.StartedAt).Seconds(), t.Head.Moves)
	return nil
}

// mapRun finds what the distributed map did for a run; nil when the function read it alone.
func (r *runner) mapRun(ctx context.Context, id string) (*report.MapRun, error) {
	list, err := r.sfn.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &r.ExportMap})
	if err != nil {
		return nil, fmt.Errorf("looking for the distributed map of run %s: %w", id, err)
	}
	for _, e := range list.Executions {
		if !strings.HasPrefix(*e.Name, id+"-") {
			continue
		}
		m := &report.MapRun{Execution: *e.Name}
		// The commit that was seen is the execution's last step, and it ends a moment later.
		err := poll(ctx, executeWithin, "the execution "+*e.ExecutionArn, func() (bool, error) {
			d, err := r.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
			if err != nil {
				return false, fmt.Errorf("looking at the distributed map %s: %w", *e.Name, err)
			}
			m.Status = string(d.Status)
			return d.Status != sfntypes.ExecutionStatusRunning, nil
		})
		if err != nil {
			return nil, err
		}
		runs, err := r.sfn.ListMapRuns(ctx, &sfn.ListMapRunsInput{ExecutionArn: e.ExecutionArn})
		if err != nil {
			return nil, fmt.Errorf("looking at the distributed map %s: %w", *e.Name, err)
		}
		for _, one := range runs.MapRuns {
			d, err := r.sfn.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: one.MapRunArn})
			if err != nil {
				return nil, fmt.Errorf("looking at the distributed map %s: %w", *e.Name, err)
			}
			m.AtOnce = int64(d.MaxConcurrency)
			if d.ItemCounts != nil {
				m.Partitions, m.Succeeded = d.ItemCounts.Total, d.ItemCounts.Succeeded
			}
		}
		return m, nil
	}
	return nil, nil
}

// followExecution reads the execution's history as it grows.
func (r *runner) followExecution(ctx context.Context, t *report.Tick) error {
	arn := strings.Replace(r.StateMachine, ":stateMachine:", ":execution:", 1) + ":" + t.Run
	var last int64
	outcome := ""
	var cause string
	err := poll(ctx, executeWithin, "the execution "+arn, func() (bool, error) {
		var next *string
		for {
			page, err := r.sfn.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 1000, NextToken: next})
			if missing := (*sfntypes.ExecutionDoesNotExist)(nil); errors.As(err, &missing) {
				return false, nil // the manifest is there a moment before its execution
			}
			if err != nil {
				return false, fmt.Errorf("reading the execution's history: %w", err)
			}
			for _, e := range page.Events {
				if e.Id <= last {
					continue
				}
				last = e.Id
				r.event(t, e)
				switch e.Type {
				case sfntypes.HistoryEventTypeExecutionSucceeded:
					outcome = "succeeded"
				case sfntypes.HistoryEventTypeExecutionFailed:
					outcome = "failed"
					if d := e.ExecutionFailedEventDetails; d != nil && d.Cause != nil {
						cause = *d.Cause
					}
				case sfntypes.HistoryEventTypeExecutionTimedOut, sfntypes.HistoryEventTypeExecutionAborted:
					outcome = "failed"
					cause = string(e.Type)
				}
			}
			if next = page.NextToken; next == nil {
				return outcome != "", nil
			}
		}
	})
	t.End = r.recorder.since(time.Now())
	t.Outcome = outcome
	if err != nil {
		return err
	}
	if outcome != "succeeded" {
		if n := len(t.States); n > 0 {
			t.States[n-1].Failed = true // what comes after it only tells of it
		}
		return fmt.Errorf("the execution %s failed: %s", t.Run, firstLine(cause))
	}
	return nil
}

// event takes one event of the history. Of the states it keeps those that do something or wait, in the order in which they are
// first entered; choices and assignments take no time.
func (r *runner) event(t *report.Tick, e sfntypes.HistoryEvent) {
	at := r.recorder.since(*e.Timestamp)
	switch e.Type {
	case sfntypes.HistoryEventTypeTaskStateEntered, sfntypes.HistoryEventTypeWaitStateEntered:
		name := *e.StateEnteredEventDetails.Name
		if i := stateIndex(t, name); i >= 0 {
			t.States[i].Visits++
			t.States[i].Seconds -= at
			return
		}
		t.States = append(t.States, report.State{Name: name, Start: at, Seconds: -at, Visits: 1})
		r.say("%s %s", r.recorder.console.paint(dim, "▸"), name)
	case sfntypes.HistoryEventTypeTaskStateExited, sfntypes.HistoryEventTypeWaitStateExited:
		if i := stateIndex(t, *e.StateExitedEventDetails.Name); i >= 0 {
			t.States[i].Seconds += at
		}
	}
}

func stateIndex(t *report.Tick, name string) int {
	return slices.IndexFunc(t.States, func(s report.State) bool { return s.Name == name })
}

// measure describes what the endpoint serves now, asks it for the held-out rows, and for one row to show.
func (r *runner) measure(ctx context.Context, t *report.Tick, index int, before *report.Prediction) error {
	defer func() { r.recorder.tick(r.describe, index, *t) }()
	var err error
	if t.ConfigAfter, t.Model, err = serves(ctx, r.sagemaker, r.Endpoint); err != nil {
		return err
	}
	if err := r.training(ctx, t); err != nil {
		return err
	}
	if err := r.judgedModel(ctx, t); err != nil {
		return err
	}

	channel, ok := t.Manifest.Channels[manifest.Test]
	if !ok {
		return fmt.Errorf("run %s has no channel %q to measure on", t.Run, manifest.Test)
	}
	rows, err := heldout.Read(ctx, r.s3, "s3://"+r.bucket+"/"+channel.Manifest.Key)
	if err != nil {
		return err
	}
	scores, err := heldout.Score(ctx, r.runtime, r.Endpoint, rows.Features)
	if err != nil {
		return err
	}
	if t.Signature.Task == "binary" {
		t.HeldOut, err = heldout.Binary(rows.Labels, scores, t.Signature.Threshold)
	} else {
		t.HeldOut, err = r.regression(t, rows, scores)
	}
	if err != nil {
		return fmt.Errorf("measuring on the held-out rows: %w", err)
	}
	if before == nil {
		i := telling(t.Signature.Task, rows.Labels, scores)
		t.Prediction = report.Prediction{Request: rows.Features[i], Score: scores[i], Actual: rows.Labels[i]}
		return nil
	}
	again, err := heldout.Predict(ctx, r.runtime, r.Endpoint, before.Request)
	if err != nil {
		return err
	}
	t.Prediction = report.Prediction{Request: before.Request, Score: again[0], Before: &before.Score, Actual: before.Actual}
	return nil
}

// serves gives the config that an endpoint serves, and its model.
func serves(ctx context.Context, client *sagemaker.Client, name string) (configName, model string, err error) {
	endpoint, err := client.DescribeEndpoint(ctx, &sagemaker.DescribeEndpointInput{EndpointName: &name})
	if err != nil {
		return "", "", fmt.Errorf("describing endpoint %s: %w", name, err)
	}
	served, err := client.DescribeEndpointConfig(ctx, &sagemaker.DescribeEndpointConfigInput{EndpointConfigName: endpoint.EndpointConfigName})
	if err != nil {
		return "", "", fmt.Errorf("describing endpoint config %s: %w", *endpoint.EndpointConfigName, err)
	}
	return *endpoint.EndpointConfigName, *served.ProductionVariants[0].ModelName, nil
}

func (r *runner) regression(t *report.Tick, rows heldout.Rows, scores []float64) (heldout.Metrics, error) {
	index := slices.IndexFunc(t.Signature.Features, func(f signature.Feature) bool { return f.Name == r.naive })
	if index < 0 {
		return heldout.Regression(rows.Labels, scores, nil, "")
	}
	naive, err := rows.Column(index)
	if err != nil {
		return heldout.Metrics{}, err
	}
	return heldout.Regression(rows.Labels, scores, naive, r.naive)
}

// training reads what the training job says of itself.
func (r *runner) training(ctx context.Context, t *report.Tick) error {
	// Model, config and job of a run have one name.
	t.TrainingJob = t.Model
	job, err := r.sagemaker.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: &t.TrainingJob})
	if err != nil {
		return fmt.Errorf("describing training job %s: %w", t.TrainingJob, err)
	}
	for _, m := range job.FinalMetricDataList {
		if m.MetricName != nil && m.Value != nil {
			t.Training = append(t.Training, report.Metric{Name: *m.MetricName, Value: float64(*m.Value)})
		}
	}
	return nil
}

// telling chooses the row to show, an ordinary one of those that matter: among the positive rows, or those of the largest
// tenth of quantities, the one with the median score.
func telling(task string, labels, scores []float64) int {
	least := 1.0
	if task != "binary" {
		sorted := slices.Sorted(slices.Values(labels))
		least = sorted[len(sorted)*9/10]
	}
	var candidates []int
	for i, label := range labels {
		if label >= least {
			candidates = append(candidates, i)
		}
	}
	slices.SortStableFunc(candidates, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	return candidates[len(candidates)/2]
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
