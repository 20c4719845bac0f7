package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
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

var quiet = slog.New(slog.DiscardHandler)

// What goes in where the workflow and Lambda put it comes out at people, machines, metrics and clocks.
func TestAnEndReachesEverybody(t *testing.T) {
	local, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Stop)
	topics, queues, store := sns.NewFromConfig(local.AWSConfig()), sqs.NewFromConfig(local.AWSConfig()), s3.NewFromConfig(local.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("notices")})
	if err != nil {
		t.Fatal(err)
	}
	people, machines := newQueue(t, queues, "people"), newQueue(t, queues, "machines")
	if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(arn("people")),
		Attributes: map[string]string{"FilterPolicy": `{"pipeline":["fraud"],"routine":["false"]}`},
	}); err != nil {
		t.Fatal(err)
	}
	events := eventbridge.NewFromConfig(local.AWSConfig())
	if _, err := events.PutRule(t.Context(), &eventbridge.PutRuleInput{
		Name: aws.String("ends"), EventPattern: aws.String(`{"source":["sagemaker-datapipeline"],"detail-type":["Pipeline Run Ended"],"detail":{"pipeline":["fraud"]}}`),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := events.PutTargets(t.Context(), &eventbridge.PutTargetsInput{
		Rule: aws.String("ends"), Targets: []eventbridgetypes.Target{{Id: aws.String("machines"), Arn: aws.String(arn("machines"))}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, variable := range append(local.Environ(), "TOPIC_ARN="+*topic.TopicArn, "DATA_BUCKET=data") {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	deploymenttest.Put(t, pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud"})

	for _, c := range []struct {
		name, event, subject, message string
		detail                        outcome.End
	}{
		{
			name: "an export that Lambda gave up",
			event: `{"requestContext":{"requestId":"r","functionArn":"arn:aws:lambda:us-east-1:000000000000:function:ml-dev-fraud-export:$LATEST",
				"condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{"scheduledTime":"2026-01-01T02:00:00Z"},
				"responsePayload":{"errorMessage":"the wrong password","errorType":"wrapError"}}`,
			subject: "[ml-dev-fraud] run 20260101t020000z failed at export", message: "the wrong password",
			detail: outcome.End{Run: "20260101t020000z", Outcome: outcome.Failed},
		},
		{
			name:    "an end of the workflow",
			event:   `{"run":"20260102t020000z","outcome":"succeeded","data":true,"at":"2026-01-02T03:00:00Z","facts":{"name":"Rows","value":7},"execution":"arn:aws:states:us-east-1:000000000000:execution:ml-dev-fraud:20260102t020000z"}`,
			subject: "[ml-dev-fraud] run 20260102t020000z is in service", message: "\nRows: 7\n",
			detail: outcome.End{Run: "20260102t020000z", Outcome: outcome.Succeeded},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := handle(t.Context(), quiet, []byte(c.event))
			if err != nil || got != (answer{Sent: true}) {
				t.Fatalf("it answers %+v, %v", got, err)
			}
			var heard struct{ Subject, Message string }
			receive(t, queues, people, &heard)
			if heard.Subject != c.subject || !strings.Contains(heard.Message, c.message) {
				t.Errorf("people hear %+v", heard)
			}
			var event struct{ Detail outcome.End }
			receive(t, queues, machines, &event)
			if d := event.Detail; d.Run != c.detail.Run || d.Outcome != c.detail.Outcome || d.Project != "ml" || d.Environment != "dev" {
				t.Errorf("machines get %+v", d)
			}
		})
	}

	ages, err := clocks.New(objects.NewBucket(store, "data", "", 0), "fraud").Ages(t.Context(), time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC))
	if err != nil || ages[clocks.Tick].Hours() != 1 || ages[clocks.Data].Hours() != 2 || ages[clocks.Model].Hours() != 2 {
		t.Errorf("the clocks are %v old, %v", ages, err)
	}

	t.Run("an end of the export, twice", func(t *testing.T) {
		for range 2 { // it ends now: the export that Lambda gave up did too
			event := `{"run":"20260103t020000z","outcome":"rejected","cause":"7 rows"}`
			if got, err := handle(t.Context(), quiet, []byte(event)); err != nil || got != (answer{Sent: true}) {
				t.Fatalf("it answers %+v, %v", got, err)
			}
		}
		var heard struct{ Subject string }
		receive(t, queues, people, &heard)
		if heard.Subject != "[ml-dev-fraud] run 20260103t020000z was rejected by its quality gate" {
			t.Errorf("people hear %q", heard.Subject)
		}
		var event struct{ Detail outcome.End }
		receive(t, queues, machines, &event)
		if event.Detail.Outcome != outcome.Rejected {
			t.Errorf("machines get %+v", event.Detail)
		}
	})
	t.Run("what the doctor found", func(t *testing.T) {
		event := `{"report":{"pipeline":"ml-dev-fraud","at":"2026-01-03T03:00:00Z","findings":[{"check":"select right","severity":"error","found":"dbo.Orders can't be read","remedy":"grant it"}]}}`
		if got, err := handle(t.Context(), quiet, []byte(event)); err != nil || got != (answer{Sent: true}) {
			t.Fatalf("it answers %+v, %v", got, err)
		}
		var heard struct{ Subject, Message string }
		receive(t, queues, people, &heard)
		if !strings.Contains(heard.Subject, "the doctor found") || !strings.Contains(heard.Message, "dbo.Orders can't be read") {
			t.Errorf("people hear %+v", heard)
		}
	})
	for who, queue := range map[string]string{"people": people, "machines": machines} {
		if out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue}); err != nil || len(out.Messages) > 0 {
			t.Errorf("%s hear more: %+v, %v", who, out.Messages, err)
		}
	}

	counted, err := cloudwatch.NewFromConfig(local.AWSConfig()).ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String(outcome.MetricNamespace)})
	if err != nil || len(counted.Metrics) != 3 {
		t.Errorf("there are %d metrics, %v", len(counted.Metrics), err)
	}
}

func TestWhatKeepsANoticeFromGoingOutIsAnError(t *testing.T) {
	t.Setenv("DATA_BUCKET", "data")
	t.Run("no topic", func(t *testing.T) {
		t.Setenv("TOPIC_ARN", "")
		if _, err := handle(t.Context(), quiet, []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "TOPIC_ARN") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("no spec", func(t *testing.T) {
		t.Setenv("TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:notices")
		if _, err := handle(t.Context(), quiet, []byte(`{}`)); err == nil || !strings.Contains(err.Error(), pipeline.FileName) {
			t.Fatalf("got %v", err)
		}
	})
}

func newQueue(t *testing.T, queues *sqs.Client, name string) string {
	t.Helper()
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *queue.QueueUrl
}

func arn(queue string) string {
	return "arn:aws:sqs:" + emulator.Region + ":" + emulator.Account + ":" + queue
}

// receive takes the one message of a queue.
func receive(t *testing.T, queues *sqs.Client, queue string, into any) {
	t.Helper()
	out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, WaitTimeSeconds: 10})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("%d messages, %v", len(out.Messages), err)
	}
	if _, err := queues.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: out.Messages[0].ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(*out.Messages[0].Body), into); err != nil {
		t.Fatal(err)
	}
}
