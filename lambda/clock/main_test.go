package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"sagemaker-datapipeline/lambda/internal/clocks"
	"sagemaker-datapipeline/lambda/internal/deployment/deploymenttest"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	spec  = pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud", Deploy: pipeline.Endpoint}
)

// A pipeline that never ran sets its alarm off, and a tick takes it back.
func TestAnAlarmFiresWhenNothingRan(t *testing.T) {
	local, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Stop)
	store := s3.NewFromConfig(local.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
	topics, queues, watch := sns.NewFromConfig(local.AWSConfig()), sqs.NewFromConfig(local.AWSConfig()), cloudwatch.NewFromConfig(local.AWSConfig())
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alarms")})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("people")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:" + emulator.Region + ":" + emulator.Account + ":people"),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("tick"), Namespace: aws.String(outcome.MetricNamespace), MetricName: aws.String(outcome.TickAgeMetric),
		Dimensions: []types.Dimension{{Name: aws.String("Pipeline"), Value: aws.String("ml-dev-fraud")}},
		Statistic:  types.StatisticMinimum, Period: aws.Int32(1), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(3600),
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, AlarmActions: []string{*topic.TopicArn},
	}); err != nil {
		t.Fatal(err)
	}
	for _, variable := range append(local.Environ(), "DATA_BUCKET=data") {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	deploymenttest.Put(t, spec)

	now := time.Now()
	state := func() types.StateValue {
		t.Helper()
		out, err := watch.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"tick"}})
		if err != nil || len(out.MetricAlarms) != 1 {
			t.Fatalf("%d alarms, %v", len(out.MetricAlarms), err)
		}
		return out.MetricAlarms[0].StateValue
	}
	// The clocks begin to count two hours ago.
	all := clocks.New(objects.NewBucket(store, "data", "", 0), "fraud")
	if _, err := all.Ages(t.Context(), now.Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := handle(t.Context(), quiet, now); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != types.StateValueAlarm {
		t.Errorf("the alarm is %s", got)
	}
	out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 10})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("%d messages, %v", len(out.Messages), err)
	}
	counted, err := watch.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String(outcome.MetricNamespace)})
	if err != nil || len(counted.Metrics) != 3 {
		t.Errorf("there are %d metrics, %v", len(counted.Metrics), err)
	}
}

func TestAPipelineThatOnlyExportsHasNoModelThatCouldBeOld(t *testing.T) {
	ages := map[clocks.Clock]time.Duration{clocks.Tick: time.Minute, clocks.Data: 2 * time.Hour, clocks.Model: 24 * time.Hour}
	said := func(s pipeline.Spec) string {
		var b strings.Builder
		for _, d := range data(s, ages, time.Now()) {
			v, err := json.Marshal([]any{*d.MetricName, *d.Value, *d.Dimensions[0].Value})
			if err != nil {
				t.Fatal(err)
			}
			b.Write(v)
		}
		return b.String()
	}
	exports := spec
	exports.Deploy = ""
	if got, want := said(exports), `["TickAge",60,"ml-dev-fraud"]["DataAge",7200,"ml-dev-fraud"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := said(spec), `["TickAge",60,"ml-dev-fraud"]["DataAge",7200,"ml-dev-fraud"]["ModelAge",86400,"ml-dev-fraud"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWhatTheClockNeedsIsNamed(t *testing.T) {
	t.Setenv("DATA_BUCKET", "")
	if err := handle(t.Context(), quiet, time.Now()); err == nil || !strings.Contains(err.Error(), "lacks DATA_BUCKET: deploy") {
		t.Errorf("without its bucket: %v", err)
	}
	t.Setenv("DATA_BUCKET", "data")
	if err := handle(t.Context(), quiet, time.Now()); err == nil || !strings.Contains(err.Error(), pipeline.FileName) {
		t.Errorf("without a spec: %v", err)
	}
}
