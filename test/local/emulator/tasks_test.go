package emulator_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestATaskPutsAnEventThatARuleDelivers(t *testing.T) {
	cfg := local.emulator.AWSConfig()
	events, queues := eventbridge.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("events")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := events.PutRule(t.Context(), &eventbridge.PutRuleInput{
		Name: aws.String("ends"), EventPattern: aws.String(`{"source":["pipeline"],"detail":{"outcome":["rejected"]}}`),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := events.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("ends"), Targets: []eventtypes.Target{
		{Id: aws.String("queue"), Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:events")},
	}}); err != nil {
		t.Fatal(err)
	}
	entries := func(detail any) map[string]any {
		return map[string]any{"Entries": []any{map[string]any{"Source": "pipeline", "DetailType": "Run ended", "Detail": detail}}}
	}
	arn := start(t, "states-event", "events:putEvents", entries(map[string]any{"outcome": "rejected"}))
	if out := awaitExecution(t, arn); out.Status != sfntypes.ExecutionStatusSucceeded {
		t.Fatalf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	got := receiveEvent(t, queues, queue.QueueUrl)
	if got.Detail["outcome"] != "rejected" || !slices.Contains(got.Resources, arn) {
		t.Errorf("the event is %+v, want the outcome and the execution among its resources", got)
	}

	// The SDK's form takes the detail as text and adds nothing.
	out := awaitExecution(t, start(t, "states-event-sdk", "aws-sdk:eventbridge:putEvents", entries(`{"outcome":"rejected"}`)))
	if out.Status != sfntypes.ExecutionStatusSucceeded {
		t.Fatalf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	if got := receiveEvent(t, queues, queue.QueueUrl); got.Detail["outcome"] != "rejected" {
		t.Errorf("the event is %+v", got)
	}
}

type event struct {
	Detail    map[string]string
	Resources []string
}

func receiveEvent(t *testing.T, client *sqs.Client, queue *string) event {
	t.Helper()
	var got event
	await(t, "the event", func() bool {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return false
		}
		if err := json.Unmarshal([]byte(*out.Messages[0].Body), &got); err != nil {
			t.Fatal(err)
		}
		_, err = client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: out.Messages[0].ReceiptHandle})
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
	return got
}

func TestATaskThatCantTellFails(t *testing.T) {
	for _, test := range []struct {
		name, resource string
		arguments      any
		want           string
	}{
		{"an event that is refused", "events:putEvents", map[string]any{"Entries": []any{
			map[string]any{"Source": "aws.sagemaker", "DetailType": "Run ended", "Detail": map[string]any{}},
		}}, "EventBridge.FailedEntry"},
		{"a topic that isn't there", "sns:publish", map[string]any{
			"TopicArn": "arn:aws:sns:us-east-1:000000000000:nowhere", "Message": "hello",
		}, "SNS.NotFoundException"},
		{"a function that isn't there", "lambda:invoke", map[string]any{"FunctionName": "nowhere", "Payload": map[string]any{}}, "Lambda.ResourceNotFoundException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := awaitExecution(t, start(t, "states-cant-"+test.resource[:3], test.resource, test.arguments))
			if got := aws.ToString(out.Error); got != test.want {
				t.Errorf("the error is %q, want %q (cause: %s)", got, test.want, aws.ToString(out.Cause))
			}
		})
	}
}
