package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

// A failure record goes in where Lambda puts it, and the notice comes out at a subscriber that filters by its attributes.
func TestAFailureReachesTheSubscribers(t *testing.T) {
	local, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Stop)
	topics, queues := sns.NewFromConfig(local.AWSConfig()), sqs.NewFromConfig(local.AWSConfig())
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("notices")})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("inbox")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:" + emulator.Region + ":" + emulator.Account + ":inbox"),
		Attributes: map[string]string{"FilterPolicy": `{"pipeline":["fraud"],"outcome":["failed"]}`},
	}); err != nil {
		t.Fatal(err)
	}
	for _, variable := range append(local.Environ(), "TOPIC_ARN="+*topic.TopicArn) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	deploy(t, pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud"})

	record := `{"requestContext":{"requestId":"r","functionArn":"arn:aws:lambda:us-east-1:000000000000:function:ml-dev-fraud-export:$LATEST",
		"condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{"scheduledTime":"2026-01-01T02:00:00Z"},
		"responsePayload":{"errorMessage":"the wrong password","errorType":"wrapError"}}`
	if err := handle(t.Context(), slog.New(slog.DiscardHandler), []byte(record)); err != nil {
		t.Fatal(err)
	}
	out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 10})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("%d messages, %v", len(out.Messages), err)
	}
	var envelope struct{ Subject, Message string }
	if err := json.Unmarshal([]byte(*out.Messages[0].Body), &envelope); err != nil {
		t.Fatal(err)
	}
	if envelope.Subject != "[ml-dev-fraud] run 20260101t020000z failed at export" || !strings.Contains(envelope.Message, "the wrong password") {
		t.Fatalf("got %+v", envelope)
	}
}

func TestWhatKeepsANoticeFromGoingOutIsAnError(t *testing.T) {
	t.Run("no topic", func(t *testing.T) {
		t.Setenv("TOPIC_ARN", "")
		if err := handle(t.Context(), slog.New(slog.DiscardHandler), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "TOPIC_ARN") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("no spec", func(t *testing.T) {
		t.Setenv("TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:notices")
		if err := handle(t.Context(), slog.New(slog.DiscardHandler), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), pipeline.FileName) {
			t.Fatalf("got %v", err)
		}
	})
}

// deploy puts the spec where the function finds it: beside the binary, which here is the test's own.
func deploy(t *testing.T, spec pipeline.Spec) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(binary), pipeline.FileName)
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
}
