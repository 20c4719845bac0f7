// Package tell makes the end of a run known: to the pipeline's clocks, to the metrics, to machines by an event, and to people by a notice.
package tell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/internal/clocks"
	"sagemaker-datapipeline/lambda/internal/notice"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

// MetricsAPI is what a Teller calls of CloudWatch.
type MetricsAPI interface {
	PutMetricData(context.Context, *cloudwatch.PutMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error)
}

// EventsAPI is what a Teller calls of EventBridge.
type EventsAPI interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

var (
	_ MetricsAPI = (*cloudwatch.Client)(nil)
	_ EventsAPI  = (*eventbridge.Client)(nil)
)

// Teller tells how the runs of one pipeline ended.
type Teller struct {
	Spec        pipeline.Spec
	Bucket      *objects.Bucket
	CloudWatch  MetricsAPI
	EventBridge EventsAPI
	SNS         notice.API
	// Topic is the ARN of the topic that people hear the notices on.
	Topic string
}

// ErrUnheard is in the error of Tell when the notice couldn't be sent: people know nothing of the end.
var ErrUnheard = errors.New("the notice was not sent")

// Tell sets the clocks, counts the end, puts the event, sends the notice and remembers that it did, in this order. What can't be done keeps nothing else from
// being done: all of it is in the error, and in the notice itself. What is told twice counts twice and is heard twice; the clocks don't mind.
func (t Teller) Tell(ctx context.Context, end outcome.End) error {
	end = t.complete(end, time.Now())
	end.Repeated = t.repeats(ctx, end)
	undone := slices.DeleteFunc([]error{t.set(ctx, end, clocks.SetBy(end)...), t.count(ctx, end), t.putEvent(ctx, end)}, func(err error) bool { return err == nil })
	n := notice.FromEnd(t.Spec, end)
	for _, err := range undone {
		n.Message += "\nThis could not be done: " + err.Error() + "\n"
	}
	if err := notice.Publish(ctx, t.SNS, t.Topic, n); err != nil {
		return errors.Join(append(undone, fmt.Errorf("%w: %w", ErrUnheard, err))...)
	}
	if !end.Run.Time().IsZero() {
		undone = append(undone, t.set(ctx, end, clocks.End))
	}
	return errors.Join(undone...)
}

// complete fills in what the teller knows better, and takes back what an end can't be: whatever happened is told.
func (t Teller) complete(end outcome.End, now time.Time) outcome.End {
	end.Project, end.Environment, end.Pipeline = t.Spec.Project, t.Spec.Environment, t.Spec.Pipeline
	// In other years no run ends, and JSON has no year before 0.
	if end.At = end.At.UTC(); end.At.Year() < 2000 || end.At.After(now) {
		end.At = now.UTC()
	}
	if !slices.Contains(outcome.All, end.Outcome) {
		end.Facts = append([]outcome.Fact{{Name: "Reported outcome", Value: fmt.Sprintf("%q, which is none that this pipeline knows", string(end.Outcome))}}, end.Facts...)
		end.Outcome = outcome.Failed
	}
	return bounded(end)
}

// Report sends the notice of what the doctor found when the pipeline was deployed.
func (t Teller) Report(ctx context.Context, report findings.Report) error {
	if err := notice.Publish(ctx, t.SNS, t.Topic, notice.FromReport(t.Spec, report)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnheard, err)
	}
	return nil
}

// Told says whether this end was the last that people were told of: what is asked for again need not be told again.
func (t Teller) Told(ctx context.Context, end outcome.End) (bool, error) {
	last, ok, err := clocks.New(t.Bucket, t.Spec.Pipeline).Read(ctx, clocks.End)
	return ok && last.Run == end.Run && last.Outcome == end.Outcome, err
}

// repeats says whether the end before was of another run and the same, where the outcome lasts. What can't be read isn't known to repeat.
func (t Teller) repeats(ctx context.Context, end outcome.End) bool {
	if !end.Outcome.Lasts() {
		return false
	}
	last, ok, err := clocks.New(t.Bucket, t.Spec.Pipeline).Read(ctx, clocks.End)
	return err == nil && ok && last.Outcome == end.Outcome && last.Run != end.Run
}

func (t Teller) set(ctx context.Context, end outcome.End, which ...clocks.Clock) error {
	all := clocks.New(t.Bucket, t.Spec.Pipeline)
	var undone []error
	for _, clock := range which {
		undone = append(undone, all.Set(ctx, clock, clocks.Reading{Run: end.Run, Outcome: end.Outcome, At: end.At}))
	}
	return errors.Join(undone...)
}

func (t Teller) count(ctx context.Context, end outcome.End) error {
	_, err := t.CloudWatch.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
		Namespace: aws.String(outcome.MetricNamespace),
		MetricData: []cloudwatchtypes.MetricDatum{{
			MetricName: aws.String(outcome.RunsMetric), Value: aws.Float64(1), Unit: cloudwatchtypes.StandardUnitCount,
			Dimensions: []cloudwatchtypes.Dimension{
				{Name: aws.String("Pipeline"), Value: aws.String(t.Spec.Name())},
				{Name: aws.String("Outcome"), Value: aws.String(string(end.Outcome))},
			},
		}},
	})
	if err != nil {
		return fmt.Errorf("counting the end of the run in CloudWatch: %w", err)
	}
	return nil
}

func (t Teller) putEvent(ctx context.Context, end outcome.End) error {
	detail, err := json.Marshal(end)
	if err != nil {
		return fmt.Errorf("encoding the event: %w", err)
	}
	entry := eventbridgetypes.PutEventsRequestEntry{
		Source: aws.String(outcome.EventSource), DetailType: aws.String(outcome.EventDetailType), Detail: aws.String(string(detail)), Time: aws.Time(end.At),
	}
	if end.Execution != "" {
		entry.Resources = []string{end.Execution}
	}
	out, err := t.EventBridge.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []eventbridgetypes.PutEventsRequestEntry{entry}})
	if err != nil {
		return fmt.Errorf("putting the event: %w", err)
	}
	// EventBridge answers 200 to what it refuses.
	for _, e := range out.Entries {
		if e.ErrorCode != nil {
			return fmt.Errorf("putting the event: %s: %s", *e.ErrorCode, aws.ToString(e.ErrorMessage))
		}
	}
	return nil
}
