package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	functions "github.com/aws/aws-sdk-go-v2/service/lambda"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/internal/tell"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

// asked records what the notify function is asked to tell.
type asked struct {
	events [][]byte
	refuse error
}

func (a *asked) Invoke(_ context.Context, in *functions.InvokeInput, _ ...func(*functions.Options)) (*functions.InvokeOutput, error) {
	a.events = append(a.events, in.Payload)
	return &functions.InvokeOutput{StatusCode: 202}, a.refuse
}

const id = run.ID("20260101t020000z")

func newFunction() (*function, *asked, *memory.S3) {
	store, notify := memory.New(), &asked{}
	return &function{
		Exporter: &export.Exporter{
			Spec:   pipeline.Spec{Project: "ml", Environment: "dev", Pipeline: "fraud"},
			Bucket: objects.NewBucket(store.Client(), "data", "", 0), Log: slog.New(slog.DiscardHandler),
		},
		notify: &tell.Function{API: notify, ARN: "arn:notify"},
	}, notify, store
}

func TestHowAnExportEndsIsTold(t *testing.T) {
	const execution = "arn:aws:states:us-east-1:000000000000:execution:ml-dev-fraud:20260101t020000z"
	for _, c := range []struct {
		name   string
		result export.Result
		// end is what is asked to be told; without an outcome nothing is.
		end outcome.End
		// setsData says that the export sets the clock of the data itself.
		setsData bool
	}{
		{"a run that its workflow goes on with", export.Result{Outcome: export.Committed, ExecutionARN: execution}, outcome.End{}, true},
		{"a run whose workflow another attempt started", export.Result{Outcome: export.AlreadyCommitted, ExecutionARN: execution}, outcome.End{}, true},
		{"a run without a workflow", export.Result{Outcome: export.Committed, Rows: 7, Manifest: "fraud/m.json"}, outcome.End{
			Outcome: outcome.Exported, Data: true, Facts: []outcome.Fact{{Name: "Rows", Value: "7"}, {Name: "Manifest", Value: "s3://data/fraud/m.json"}},
		}, false},
		{"a run that isn't due to be trained on", export.Result{Outcome: export.Committed, Detail: "not due: 5 of 10 new rows"},
			outcome.End{Outcome: outcome.Exported, Data: true, Cause: "not due: 5 of 10 new rows"}, false},
		{"a run that was committed before, or was accepted by a person", export.Result{Outcome: export.AlreadyCommitted}, outcome.End{}, true},
		{"a run behind later ones", export.Result{Outcome: export.Backfilled}, outcome.End{}, true},
		{"a run that the map reads", export.Result{Outcome: export.HandedOver, ExecutionARN: execution}, outcome.End{}, false},
		{"a run that the gate rejected", export.Result{Outcome: export.Rejected, Manifest: "fraud/m.json", Failed: []verdict.Rule{
			{Name: "RowCount > 10", Expected: "more than 10", Actual: "7", Examples: []string{"a", "b"}}, {Name: `IsComplete "a"`, Expected: "1", Actual: "0.5"},
		}}, outcome.End{Outcome: outcome.Rejected, Facts: []outcome.Fact{
			{Name: "Rows", Value: "0"}, {Name: "Manifest", Value: "s3://data/fraud/m.json"},
			{Name: "RowCount > 10", Value: "expected more than 10, was 7; such as a, b"}, {Name: `IsComplete "a"`, Value: "expected 1, was 0.5"},
		}}, false},
		{"nothing new", export.Result{Outcome: export.NoNewData}, outcome.End{Outcome: outcome.NoNewData}, false},
		{"an open transaction", export.Result{Outcome: export.Blocked, Detail: "session 51"}, outcome.End{Outcome: outcome.Blocked, Cause: "session 51"}, false},
		{"a later run", export.Result{Outcome: export.Superseded}, outcome.End{Outcome: outcome.Superseded}, false},
		{"a wrong hour", export.Result{Outcome: export.OutsideHours}, outcome.End{Outcome: outcome.OutsideHours}, false},
		{"the run before", export.Result{Outcome: export.Busy}, outcome.End{Outcome: outcome.Busy}, false},
		{"a pause", export.Result{Outcome: export.Paused, Detail: "ann paused the pipeline"}, outcome.End{Outcome: outcome.Paused, Cause: "ann paused the pipeline"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, notify, store := newFunction()
			before := time.Now()
			c.result.Run = id
			if got, err := f.told(t.Context(), c.result, nil); err != nil || !reflect.DeepEqual(got, c.result) {
				t.Fatalf("it answers %+v, %v", got, err)
			}
			var want []outcome.End
			if c.end.Outcome != "" {
				c.end.Run = id
				want = append(want, c.end)
			}
			var got []outcome.End
			for _, event := range notify.events {
				end, ok := tell.DecodeEnd(event)
				if !ok || end.At.Before(before) || end.At.After(time.Now()) {
					t.Errorf("it is no end of just now: %s", event)
				}
				end.At = time.Time{}
				got = append(got, end)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("it asks to tell\n%+v\nwant\n%+v", got, want)
			}
			if set := len(store.Keys("fraud/clocks/data.json")) > 0; set != c.setsData || !set && len(store.Keys("")) > 0 {
				t.Errorf("it wrote %v", store.Keys(""))
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
	f, notify, _ := newFunction()
	var log strings.Builder
	f.Log = slog.New(slog.NewJSONHandler(&log, nil))
	notify.refuse = errors.New("no such function")
	result := export.Result{Run: id, Outcome: export.NoNewData}
	if got, err := f.told(t.Context(), result, nil); err != nil || !reflect.DeepEqual(got, result) {
		t.Errorf("it answers %+v, %v", got, err)
	}
	var entry map[string]any
	if err := json.Unmarshal([]byte(log.String()), &entry); err != nil || entry["run"] != string(id) || entry["outcome"] != string(export.NoNewData) ||
		entry["error"] != "invoking arn:notify: no such function" {
		t.Errorf("the log has %s, %v", log.String(), err)
	}
	failed := errors.New("the database is gone")
	if _, err := f.told(t.Context(), export.Result{}, failed); !errors.Is(err, failed) || len(notify.events) != 1 {
		t.Errorf("a failure becomes %v, and %d ends", err, len(notify.events))
	}
}

func TestWithoutANotifyFunctionNothingIsToldAndTheClockOfTheDataIsSet(t *testing.T) {
	f, _, store := newFunction()
	f.notify = nil
	for _, o := range []export.Outcome{export.NoNewData, export.Backfilled} {
		if _, err := f.told(t.Context(), export.Result{Run: id, Outcome: o}, nil); err != nil {
			t.Error(err)
		}
	}
	if keys := store.Keys(""); !slices.Equal(keys, []string{"fraud/clocks/data.json"}) {
		t.Errorf("it wrote %v", keys)
	}
}
