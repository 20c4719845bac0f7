package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"sagemaker-datapipeline/test/local/report"
)

// inbox receives what the topic tells people, by a queue that subscribes to it as a person's mail address would.
type inbox struct {
	client   *sqs.Client
	queue    string
	recorder *recorder

	mu       sync.Mutex
	received []report.Notice
}

// subscribe makes the queue. It comes before the first run, so that no notice is missed.
func subscribe(ctx context.Context, c clients, topic string, r *recorder) (*inbox, error) {
	name := "make-local"
	queue, err := c.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		return nil, fmt.Errorf("making a queue for the notices: %w", err)
	}
	attributes, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: queue.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return nil, fmt.Errorf("making a queue for the notices: %w", err)
	}
	protocol, arn := "sqs", attributes.Attributes[string(types.QueueAttributeNameQueueArn)]
	if _, err := c.sns.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: &protocol, Endpoint: &arn}); err != nil {
		return nil, fmt.Errorf("subscribing to the notices: %w", err)
	}
	return &inbox{client: c.sqs, queue: *queue.QueueUrl, recorder: r}, nil
}

// read receives notices until the context ends.
func (b *inbox) read(ctx context.Context) {
	for ctx.Err() == nil {
		b.receive(ctx, 1)
	}
}

func (b *inbox) receive(ctx context.Context, waitSeconds int32) {
	answer, err := b.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &b.queue, MaxNumberOfMessages: 10, WaitTimeSeconds: waitSeconds,
	})
	if err != nil {
		// The run's own requests fail too then, and say why; this only must not spin.
		time.Sleep(200 * time.Millisecond)
		return
	}
	for _, m := range answer.Messages {
		notice, err := decodeNotice(*m.Body)
		if err != nil {
			notice = report.Notice{Subject: "a message that is no notice", Message: *m.Body}
		}
		notice.At = b.recorder.since(time.Now())
		b.recorder.notice(notice)
		b.mu.Lock()
		b.received = append(b.received, notice)
		b.mu.Unlock()
		_, _ = b.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &b.queue, ReceiptHandle: m.ReceiptHandle})
	}
}

// decodeNotice reads SNS's envelope.
func decodeNotice(body string) (report.Notice, error) {
	var envelope struct {
		Subject           string
		Message           string
		MessageAttributes map[string]struct{ Value string }
	}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		return report.Notice{}, fmt.Errorf("reading a notice: %w", err)
	}
	attribute := func(name string) string { return envelope.MessageAttributes[name].Value }
	return report.Notice{
		Subject: envelope.Subject, Message: envelope.Message,
		Pipeline: attribute("pipeline"), Run: attribute("run"), Outcome: attribute("outcome"),
	}, nil
}

// failure gives the notice that says that a run failed, if there is one.
func (b *inbox) failure(pipeline, run string) (report.Notice, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.received, func(n report.Notice) bool {
		return n.Pipeline == pipeline && (n.Run == run || run == "") && n.Outcome == "failed"
	})
	if i < 0 {
		return report.Notice{}, false
	}
	return b.received[i], true
}

// heard says whether the end of a run was told.
func (b *inbox) heard(pipeline, run string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.received, func(n report.Notice) bool { return n.Pipeline == pipeline && n.Run == run })
}
