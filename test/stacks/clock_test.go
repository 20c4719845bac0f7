package stacks

import (
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

func clockOf(bucket awss3.IBucket, topic awssns.ITopic, code awslambda.Code) *constructs.ClockProps {
	return &constructs.ClockProps{
		Spec:   pipeline.Spec{Version: pipeline.Version, Project: "shop", Environment: "live", Pipeline: "returns"},
		Bucket: bucket, Alarms: constructs.AlarmTo(topic), Code: code,
	}
}

// An alarm on an age looks back three readings, whatever the schedule, and takes no reading for one that is too old.
func TestAClockAlarmsOnAges(t *testing.T) {
	stack, bucket, topic, code := somebodysStack()
	props := clockOf(bucket, topic, code)
	props.TickLimit, props.DataLimit = awscdk.Duration_Days(jsii.Number(31)), awscdk.Duration_Hours(jsii.Number(3))
	clock := constructs.NewClock(stack, "Clock", props)
	if clock.TickAlarm == nil || clock.DataAlarm == nil || clock.ModelAlarm != nil {
		t.Errorf("the alarms are %v, %v and %v", clock.TickAlarm, clock.DataAlarm, clock.ModelAlarm)
	}
	tpl := assertions.Template_FromStack(stack, nil)
	alarm := func(metric string, seconds float64, description string) map[string]any {
		return map[string]any{
			"Namespace": outcome.MetricNamespace, "MetricName": metric, "Dimensions": []any{map[string]any{"Name": "Pipeline", "Value": "shop-live-returns"}},
			"Statistic": "Minimum", "Period": 300, "EvaluationPeriods": 3, "DatapointsToAlarm": 3, "TreatMissingData": "breaching",
			"ComparisonOperator": "GreaterThanThreshold", "Threshold": seconds, "AlarmActions": []any{"arn:aws:sns:eu-west-1:444444444444:shop"},
			"AlarmDescription": assertions.Match_StringLikeRegexp(jsii.String(description)),
		}
	}
	for name, c := range map[string]struct {
		kind       string
		properties map[string]any
	}{
		"a month without a tick":   {"AWS::CloudWatch::Alarm", alarm(outcome.TickAgeMetric, 31*24*3600, "^shop-live-returns: no tick was processed for 31 days and 0 hours: ")},
		"three hours without data": {"AWS::CloudWatch::Alarm", alarm(outcome.DataAgeMetric, 3*3600, "older than 3 hours and 0 minutes")},
		"a rate of its own":        {"AWS::Events::Rule", map[string]any{"ScheduleExpression": "rate(5 minutes)"}},
	} {
		t.Run(name, func(t *testing.T) {
			if problem := recovered(func() { tpl.HasResourceProperties(jsii.String(c.kind), &c.properties) }); problem != "" {
				t.Error(problem)
			}
		})
	}
	tpl.ResourceCountIs(jsii.String("AWS::CloudWatch::Alarm"), jsii.Number(2))
}

func TestAClockIsReadAtWholeMinutes(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    string // a rate, or a part of the refusal
	}{{60, "rate(1 minute)"}, {600, "rate(10 minutes)"}, {30, "every 0.5 minutes: EventBridge's rates are whole minutes"}, {90, "every 1.5 minutes"}} {
		stack, bucket, topic, code := somebodysStack()
		props := clockOf(bucket, topic, code)
		props.Every = awscdk.Duration_Seconds(jsii.Number(c.seconds))
		got := recovered(func() {
			constructs.NewClock(stack, "Clock", props)
			assertions.Template_FromStack(stack, nil).HasResourceProperties(jsii.String("AWS::Events::Rule"), &map[string]any{"ScheduleExpression": c.want})
		})
		if strings.HasPrefix(c.want, "rate") && got != "" || !strings.HasPrefix(c.want, "rate") && !strings.Contains(got, c.want) {
			t.Errorf("every %g seconds: %s", c.seconds, got)
		}
	}
}

func TestWithoutAlarmsTheAgesAreThereAllTheSame(t *testing.T) {
	stack, bucket, topic, code := somebodysStack()
	props := clockOf(bucket, topic, code)
	props.Alarms, props.TickLimit = constructs.NoAlarms("watched by the shop"), awscdk.Duration_Hours(jsii.Number(1))
	clock := constructs.NewClock(stack, "Clock", props)
	if metric := clock.MetricModelAge(nil); clock.TickAlarm != nil || *metric.MetricName() != outcome.ModelAgeMetric {
		t.Errorf("the alarm is %v, the metric %s", clock.TickAlarm, *metric.MetricName())
	}
}

// Which messages reach mail: SNS lets nothing without attributes through a filter, so alarms don't come this way.
func TestMailIsFiltered(t *testing.T) {
	for _, c := range []struct {
		name     string
		outcomes []outcome.Outcome
		want     any
	}{
		{"what somebody has to hear of", nil, map[string]any{"routine": []any{"false"}}},
		{"all but the outcomes that aren't named", outcome.All[2:], map[string]any{"outcome": []any{map[string]any{"anything-but": []any{"succeeded", "not better"}}}}},
		{"everything", outcome.All, assertions.Match_Absent()},
	} {
		t.Run(c.name, func(t *testing.T) {
			stack, _, _, _ := somebodysStack()
			notices := constructs.NewNotices(stack, "Notices", &constructs.NoticesProps{Emails: []string{"a@example.com"}, Outcomes: c.outcomes})
			tpl := assertions.Template_FromStack(stack, nil)
			for topic, filter := range map[awssns.Topic]any{notices.Topic: c.want, notices.Alarms: assertions.Match_Absent()} {
				if problem := recovered(func() {
					tpl.HasResourceProperties(jsii.String("AWS::SNS::Subscription"), &map[string]any{
						"Endpoint": "a@example.com", "FilterPolicy": filter, "TopicArn": stack.Resolve(topic.TopicArn()),
					})
				}); problem != "" {
					t.Error(problem)
				}
			}
		})
	}
}
