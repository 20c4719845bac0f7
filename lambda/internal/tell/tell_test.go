package tell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sagemaker-datapipeline/lambda/internal/clocks"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// services records what a Teller asks of AWS, and refuses what a test says.
type services struct {
	store   *memory.S3
	metrics []*cloudwatch.PutMetricDataInput
	events  []*eventbridge.PutEventsInput
	notices []*sns.PublishInput
	calls   []string
	refuse  []string
}

func (s *services) call(name string) error {
	s.calls = append(s.calls, name)
	if slices.Contains(s.refuse, name) {
		return fmt.Errorf("%s is refused", name)
	}
	return nil
}

func (s *services) PutMetricData(_ context.Context, in *cloudwatch.PutMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error) {
	s.metrics = append(s.metrics, in)
	return &cloudwatch.PutMetricDataOutput{}, s.call("PutMetricData")
}

func (s *services) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	s.events = append(s.events, in)
	out := &eventbridge.PutEventsOutput{Entries: []eventbridgetypes.PutEventsResultEntry{{EventId: aws.String("1")}}}
	if slices.Contains(s.refuse, "an entry") {
		out = &eventbridge.PutEventsOutput{FailedEntryCount: 1, Entries: []eventbridgetypes.PutEventsResultEntry{{ErrorCode: aws.String("InternalFailure"), ErrorMessage: aws.String("later")}}}
	}
	return out, s.call("PutEvents")
}

func (s *services) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	s.notices = append(s.notices, in)
	return &sns.PublishOutput{}, s.call("Publish")
}

func newTeller(refuse ...string) (Teller, *services) {
	s := &services{store: memory.New(), refuse: refuse}
	client := s.store.Client()
	if slices.Contains(refuse, "S3") {
		client.Crash()
	}
	return Teller{
		Spec:   pipeline.Spec{Project: "ml", Environment: "dev", Pipeline: "fraud", Deploy: pipeline.Endpoint},
		Bucket: objects.NewBucket(client, "data", "", 0), CloudWatch: s, EventBridge: s, SNS: s, Topic: "arn:topic",
	}, s
}

var succeeded = outcome.End{Run: "20260101t020000z", Outcome: outcome.Succeeded, Data: true, At: time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)}

func TestEveryOutcomeIsToldInEveryWay(t *testing.T) {
	for _, o := range outcome.All {
		t.Run(string(o), func(t *testing.T) {
			teller, s := newTeller()
			end := succeeded
			end.Outcome, end.Data = o, false
			if err := teller.Tell(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			want := []string{"fraud/clocks/end.json"}
			if o.RenewsModel() {
				want = append(want, "fraud/clocks/model.json")
			}
			if o.Deliberate() {
				want = append(want, "fraud/clocks/tick.json")
			}
			if got := s.store.Keys(""); !slices.Equal(got, want) {
				t.Errorf("it set %v, want %v", got, want)
			}
			if !slices.Equal(s.calls, []string{"PutMetricData", "PutEvents", "Publish"}) {
				t.Fatalf("it called %v", s.calls)
			}
			m := s.metrics[0]
			if d := m.MetricData[0]; *m.Namespace != outcome.MetricNamespace || *d.MetricName != outcome.RunsMetric || *d.Value != 1 ||
				*d.Dimensions[0].Value != "ml-dev-fraud" || *d.Dimensions[1].Value != string(o) {
				t.Errorf("the metric is %+v", d)
			}
			e := s.events[0].Entries[0]
			var detail outcome.End
			if err := json.Unmarshal([]byte(*e.Detail), &detail); err != nil || detail.Outcome != o || detail.Project != "ml" || detail.Environment != "dev" || detail.Pipeline != "fraud" ||
				!detail.At.Equal(end.At) || *e.Source != outcome.EventSource || *e.DetailType != outcome.EventDetailType || e.EventBusName != nil {
				t.Errorf("the event is %s, %v", *e.Detail, err)
			}
			if n := s.notices[0]; *n.TopicArn != "arn:topic" || *n.MessageAttributes["outcome"].StringValue != string(o) || *n.MessageAttributes["run"].StringValue != string(end.Run) {
				t.Errorf("the notice is %+v", n)
			}
		})
	}
}

func TestWhatCantBeDoneKeepsNothingElseFromBeingDone(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuse  []string
		unheard bool
		says    []string
	}{
		{"the clocks", []string{"S3"}, false, []string{"setting the clock tick", "setting the clock data", "setting the clock model"}},
		{"the metric", []string{"PutMetricData"}, false, []string{"counting the end of the run in CloudWatch: PutMetricData is refused"}},
		{"the event", []string{"PutEvents"}, false, []string{"putting the event: PutEvents is refused"}},
		{"the event, by an answer of 200", []string{"an entry"}, false, []string{"putting the event: InternalFailure: later"}},
		{"the notice", []string{"Publish"}, true, []string{"the notice was not sent: publishing to arn:topic: Publish is refused"}},
		{"everything", []string{"S3", "PutMetricData", "PutEvents", "Publish"}, true, []string{"clock", "CloudWatch", "event", "notice"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			teller, s := newTeller(c.refuse...)
			err := teller.Tell(t.Context(), succeeded)
			if err == nil || errors.Is(err, ErrUnheard) != c.unheard {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
				if !c.unheard && !strings.Contains(*s.notices[0].Message, "This could not be done: ") {
					t.Errorf("the notice doesn't say it: %s", *s.notices[0].Message)
				}
			}
			if !slices.Equal(s.calls, []string{"PutMetricData", "PutEvents", "Publish"}) {
				t.Errorf("it called %v", s.calls)
			}
			want := 4
			if c.unheard {
				want = 3 // nobody was told
			}
			if keys := s.store.Keys(""); len(keys) != want && !slices.Contains(c.refuse, "S3") {
				t.Errorf("it set %v", keys)
			}
		})
	}
}

func TestAnEndTwiceLeavesTheClocksAsTheyAre(t *testing.T) {
	teller, s := newTeller()
	for range 2 {
		if err := teller.Tell(t.Context(), succeeded); err != nil {
			t.Fatal(err)
		}
	}
	for _, clock := range append(clocks.All, clocks.End) {
		if n := s.store.Versions("fraud/clocks/" + string(clock) + ".json"); n != 1 {
			t.Errorf("the clock %s was written %d times", clock, n)
		}
	}
}

// A pipeline of every five minutes that is blocked for a night is heard of once, and is told of each time.
func TestAStateThatLastsIsHeardOfOnce(t *testing.T) {
	teller, s := newTeller()
	for i, step := range []struct {
		run     run.ID
		outcome outcome.Outcome
		routine string
	}{
		{"20260101t020000z", outcome.Blocked, "false"}, {"20260101t020500z", outcome.Blocked, "true"}, {"20260101t021000z", outcome.Blocked, "true"},
		{"20260101t021500z", outcome.Paused, "false"}, {"20260101t022000z", outcome.Paused, "true"}, {"20260101t022500z", outcome.Blocked, "false"},
		{"20260101t023000z", outcome.Failed, "false"}, {"20260101t023500z", outcome.Failed, "false"},
		{"20260101t024000z", outcome.Blocked, "false"}, {"20260101t024000z", outcome.Blocked, "false"},
	} {
		end := outcome.End{Run: step.run, Outcome: step.outcome, At: step.run.Time()}
		if err := teller.Tell(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		if got := *s.notices[i].MessageAttributes["routine"].StringValue; got != step.routine {
			t.Errorf("%d: the notice of run %s, %s, has routine %s", i, step.run, step.outcome, got)
		}
		if told, err := teller.Told(t.Context(), end); !told || err != nil {
			t.Errorf("%d: told is %v, %v", i, told, err)
		}
	}
	if told, err := teller.Told(t.Context(), succeeded); told || err != nil {
		t.Errorf("another end: told is %v, %v", told, err)
	}
}

func TestWhatAStateMachineWrites(t *testing.T) {
	for _, c := range []struct {
		name, event string
		want        outcome.End
	}{
		{"everything", `{"run":"20260101t020000z","outcome":"failed","at":"2026-01-01T03:00:00Z","data":true,"step":"Train","error":"E","cause":"C","advice":"A","execution":"arn:x","facts":[{"name":"Rows","value":"7"}]}`,
			outcome.End{Run: "20260101t020000z", Outcome: outcome.Failed, At: succeeded.At, Data: true, Step: "Train", Error: "E", Cause: "C", Advice: "A", Execution: "arn:x", Facts: []outcome.Fact{{Name: "Rows", Value: "7"}}}},
		{"an outcome alone", `{"outcome":"busy"}`, outcome.End{Outcome: outcome.Busy}},
		{"a model that was compared with none", `{"outcome":"not better","uncompared":true}`, outcome.End{Outcome: outcome.NotBetter, Uncompared: true}},
		{"nulls", `{"outcome":null,"run":null,"at":null,"data":null,"facts":null,"cause":null}`, outcome.End{}},
		{"numbers, booleans and objects where there should be text", `{"outcome":"failed","run":20260101,"at":7,"data":"true","step":true,"error":["a"],"cause":{"b":1.50}}`,
			outcome.End{Run: "20260101", Outcome: outcome.Failed, Data: true, Step: "true", Error: `["a"]`, Cause: `{"b":1.50}`}},
		{"one fact, as JSONata writes an array of one", `{"outcome":"failed","facts":{"name":"Rows","value":7}}`, outcome.End{Outcome: outcome.Failed, Facts: []outcome.Fact{{Name: "Rows", Value: "7"}}}},
		{"facts as an object", `{"outcome":"failed","facts":{"b":0.910,"a":"x","c":null}}`, outcome.End{Outcome: outcome.Failed, Facts: []outcome.Fact{{Name: "a", Value: "x"}, {Name: "b", Value: "0.910"}}}},
		{"facts of other types", `{"outcome":"failed","facts":["x",null,{"name":"a"},{"name":"b","value":""},[{"name":"c","value":[1,2]}]]}`,
			outcome.End{Outcome: outcome.Failed, Facts: []outcome.Fact{{Name: "Fact", Value: "x"}, {Name: "c", Value: "[1,2]"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := DecodeEnd([]byte(c.event))
			if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want); !ok || a != b {
				t.Errorf("got\n%s\nwant\n%s", a, b)
			}
		})
	}
	for _, other := range []string{``, `[]`, `null`, `{}`, `{"requestContext":{}}`, `"outcome"`, "\xff"} {
		if end, ok := DecodeEnd([]byte(other)); ok {
			t.Errorf("%q is read as %+v", other, end)
		}
	}
}

func TestAnEndThatCantBeIsToldAsAFailure(t *testing.T) {
	teller, s := newTeller()
	end, _ := DecodeEnd([]byte(`{"outcome":"great","run":7,"at":"2999-01-01T00:00:00Z"}`))
	if err := teller.Tell(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	n := s.notices[0]
	if *n.MessageAttributes["outcome"].StringValue != "failed" || *n.MessageAttributes["run"].StringValue != "unknown" || !strings.Contains(*n.Message, `"great", which is none that this pipeline knows`) {
		t.Errorf("the notice is %s %s", *n.Subject, *n.Message)
	}
	if keys := s.store.Keys(""); len(keys) != 0 {
		t.Errorf("it set %v", keys)
	}
	if at := *s.events[0].Entries[0].Time; at.After(time.Now()) {
		t.Errorf("it ended at %v", at)
	}
}

func TestMoreFactsThanThereIsRoomForAreCounted(t *testing.T) {
	teller, s := newTeller()
	end := succeeded
	for range 100 {
		end.Facts = append(end.Facts, outcome.Fact{Name: "\x00", Value: strings.Repeat("\x01", 999)})
	}
	if err := teller.Tell(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if detail := *s.events[0].Entries[0].Detail; len(detail) > 240<<10 {
		t.Errorf("the event has %d bytes", len(detail))
	}
	if m := *s.notices[0].Message; !strings.Contains(m, "And: 85 more\n") {
		t.Errorf("the notice ends with %s", m[len(m)-100:])
	}
}

// A notice that isn't sent because of what is in it would be the one that somebody needed.
func FuzzTell(f *testing.F) {
	f.Add(`{"outcome":"failed","run":"20260101t020000z","cause":"{\"FailureReason\":\"x\"}","facts":[{"name":"a","value":1}]}`)
	f.Add(`{"outcome":"succeeded","data":"true","run":"20260101t020000z","at":"2026-01-01T03:00:00+01:00"}`)
	f.Add(`{"outcome":["x"],"facts":{"a":{"b":null}}}`)
	f.Fuzz(func(t *testing.T, event string) {
		end, ok := DecodeEnd([]byte(event))
		if !ok {
			return
		}
		teller, s := newTeller()
		if err := teller.Tell(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		n := s.notices[0]
		if l := len(*n.Subject); l == 0 || l > 100 || len(*n.Message) > 200<<10 || !utf8.ValidString(*n.Message) {
			t.Errorf("a subject of %d bytes, a message of %d", l, len(*n.Message))
		}
		for name, a := range n.MessageAttributes {
			if *a.StringValue == "" {
				t.Errorf("the attribute %s is empty", name)
			}
		}
		if detail := *s.events[0].Entries[0].Detail; len(detail) > 240<<10 || !json.Valid([]byte(detail)) {
			t.Errorf("an event of %d bytes", len(detail))
		}
	})
}
