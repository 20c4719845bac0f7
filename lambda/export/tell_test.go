package main

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/internal/tell"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

// heard records what people hear; machines hear nothing here.
type heard struct {
	notices []*sns.PublishInput
	refuse  error
}

func (*heard) PutMetricData(context.Context, *cloudwatch.PutMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error) {
	return &cloudwatch.PutMetricDataOutput{}, nil
}

func (*heard) PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	return &eventbridge.PutEventsOutput{}, nil
}

func (h *heard) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	h.notices = append(h.notices, in)
	return &sns.PublishOutput{}, h.refuse
}

const id = run.ID("20260101t020000z")

func newFunction() (*function, *heard, *memory.S3) {
	store, people := memory.New(), &heard{}
	spec := pipeline.Spec{Project: "ml", Environment: "dev", Pipeline: "fraud"}
	bucket := objects.NewBucket(store.Client(), "data", "", 0)
	return &function{
		Exporter: &export.Exporter{Spec: spec, Bucket: bucket, Log: slog.New(slog.DiscardHandler)},
		teller:   &tell.Teller{Spec: spec, Bucket: bucket, CloudWatch: people, EventBridge: people, SNS: people, Topic: "arn:topic"},
	}, people, store
}

func TestHowAnExportEndsIsTold(t *testing.T) {
	const execution = "arn:aws:states:us-east-1:000000000000:execution:ml-dev-fraud:20260101t020000z"
	for _, c := range []struct {
		name   string
		result export.Result
		// subject ends the notice's subject; "" is no notice.
		subject string
		says    string
		clocks  string
	}{
		{"a run that its workflow goes on with", export.Result{Outcome: export.Committed, ExecutionARN: execution}, "", "", "data"},
		{"a run whose workflow another attempt started", export.Result{Outcome: export.AlreadyCommitted, ExecutionARN: execution}, "", "", "data"},
		{"a run without a workflow", export.Result{Outcome: export.Committed, Rows: 7, Manifest: "fraud/m.json"}, "is exported", "Rows: 7\nManifest: s3://data/fraud/m.json", "data end tick"},
		{"a run that isn't due to be trained on", export.Result{Outcome: export.Committed, Detail: "not due: 5 of 10 new rows"}, "is exported", "Why: not due: 5 of 10 new rows", "data end tick"},
		{"a run that was committed before, or was accepted by a person", export.Result{Outcome: export.AlreadyCommitted}, "", "", "data"},
		{"a run behind later ones", export.Result{Outcome: export.Backfilled}, "", "", "data"},
		{"a run that the map reads", export.Result{Outcome: export.HandedOver, ExecutionARN: execution}, "", "", ""},
		{"a run that the gate rejected", export.Result{Outcome: export.Rejected, Manifest: "fraud/m.json", Failed: []verdict.Rule{
			{Name: "RowCount > 10", Expected: "more than 10", Actual: "7", Examples: []string{"a", "b"}}, {Name: `IsComplete "a"`, Expected: "1", Actual: "0.5"},
		}}, "was rejected by its quality gate",
			"RowCount > 10: expected more than 10, was 7; such as a, b\nIsComplete \"a\": expected 1, was 0.5\n", "end tick"},
		{"nothing new", export.Result{Outcome: export.NoNewData}, "had no new data", "", "end tick"},
		{"an open transaction", export.Result{Outcome: export.Blocked, Detail: "session 51"}, "is blocked by an open transaction", "Why: session 51", "end tick"},
		{"a later run", export.Result{Outcome: export.Superseded}, "was superseded", "", "end tick"},
		{"a wrong hour", export.Result{Outcome: export.OutsideHours}, "came outside of the allowed hours", "", "end tick"},
		{"the run before", export.Result{Outcome: export.Busy}, "found the run before still reading", "", "end tick"},
		{"a pause", export.Result{Outcome: export.Paused, Detail: "ann paused the pipeline"}, "did nothing: the pipeline is paused", "Why: ann paused the pipeline", "end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, people, store := newFunction()
			c.result.Run = id
			for range 2 { // Lambda may invoke a function twice with one event
				if got, err := f.told(t.Context(), c.result, nil); err != nil || !reflect.DeepEqual(got, c.result) {
					t.Fatalf("it answers %+v, %v", got, err)
				}
			}
			if c.subject == "" {
				if len(people.notices) != 0 {
					t.Errorf("people hear %s", *people.notices[0].Subject)
				}
			} else if len(people.notices) != 1 || *people.notices[0].Subject != "[ml-dev-fraud] run "+string(id)+" "+c.subject || !strings.Contains(*people.notices[0].Message, c.says) {
				t.Errorf("people hear %d notices, the first is %s\n%s", len(people.notices), *people.notices[0].Subject, *people.notices[0].Message)
			}
			if set := strings.NewReplacer("fraud/clocks/", "", ".json", "").Replace(strings.Join(store.Keys("fraud/clocks/"), " ")); set != c.clocks {
				t.Errorf("it set %q, want %q", set, c.clocks)
			}
		})
	}
}

func TestEveryEndOfAnExportIsOneOfARun(t *testing.T) {
	for of, o := range endings {
		if !slices.Contains(outcome.All, o) {
			t.Errorf("%q ends as %q", of, o)
		}
	}
}

// A run that is made is not made again because nobody could be told.
func TestATellingThatFailsDoesntFailTheExport(t *testing.T) {
	f, people, _ := newFunction()
	people.refuse = errors.New("no topic")
	result := export.Result{Run: id, Outcome: export.NoNewData}
	if got, err := f.told(t.Context(), result, nil); err != nil || !reflect.DeepEqual(got, result) {
		t.Errorf("it answers %+v, %v", got, err)
	}
	if err := f.tellEnd(t.Context(), export.Result{Run: id, Outcome: export.Busy}, time.Now()); err == nil || !strings.Contains(err.Error(), "no topic") {
		t.Errorf("got %v", err)
	}
	f.teller = nil
	if _, err := f.told(t.Context(), result, nil); err != nil {
		t.Error(err)
	}
	failed := errors.New("the database is gone")
	if _, err := f.told(t.Context(), export.Result{}, failed); !errors.Is(err, failed) {
		t.Errorf("a failure becomes %v", err)
	}
}
