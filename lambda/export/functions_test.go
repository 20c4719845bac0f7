package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	functions "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"sagemaker-datapipeline/lambda/pause"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

// Both functions are the real ones, in the local AWS: what the export asks for is what people hear, once.
func TestWhatTheExportAsksForReachesPeopleThroughTheNotifyFunction(t *testing.T) {
	local, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	ok(t, err)
	t.Cleanup(local.Stop)
	store := s3.NewFromConfig(local.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
	_, err = store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("data")})
	ok(t, err)
	topics, queues := sns.NewFromConfig(local.AWSConfig()), sqs.NewFromConfig(local.AWSConfig())
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("notices")})
	ok(t, err)
	people, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("people")})
	ok(t, err)
	_, err = topics.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:" + emulator.Region + ":" + emulator.Account + ":people"),
	})
	ok(t, err)
	spec, err := json.Marshal(pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "local", Pipeline: "fraud"})
	ok(t, err)
	client := functions.NewFromConfig(local.AWSConfig())
	create := func(name, program string, environment map[string]string) string {
		made, err := client.CreateFunction(t.Context(), &functions.CreateFunctionInput{
			FunctionName: aws.String(name), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
			Role: aws.String("arn:aws:iam::" + emulator.Account + ":role/function"), Timeout: aws.Int32(30),
			Code:        &types.FunctionCode{ZipFile: zipped(t, map[string][]byte{"bootstrap": compiled(t, program), pipeline.FileName: spec})},
			Environment: &types.Environment{Variables: environment},
		})
		ok(t, err)
		return *made.FunctionArn
	}
	notify := create("ml-local-fraud-notify", "../notify", map[string]string{"DATA_BUCKET": "data", "TOPIC_ARN": *topic.TopicArn})
	create("ml-local-fraud-export", ".", map[string]string{"DATA_BUCKET": "data", "DATABASE_SECRET_ARN": "nobody-made-it", "NOTIFY_FUNCTION_ARN": notify})
	invoke := func(event string) string {
		t.Helper()
		out, err := client.Invoke(t.Context(), &functions.InvokeInput{FunctionName: aws.String("ml-local-fraud-export"), Payload: []byte(event)})
		if ok(t, err); out.FunctionError != nil {
			t.Fatalf("%s gave %s", event, out.Payload)
		}
		return string(out.Payload)
	}
	heard := func() (subject, message string) {
		t.Helper()
		out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: people.QueueUrl, WaitTimeSeconds: 20})
		if ok(t, err); len(out.Messages) != 1 {
			t.Fatalf("people hear %d notices, want one", len(out.Messages))
		}
		_, err = queues.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: people.QueueUrl, ReceiptHandle: out.Messages[0].ReceiptHandle})
		ok(t, err)
		var notice struct{ Subject, Message string }
		ok(t, json.Unmarshal([]byte(*out.Messages[0].Body), &notice))
		return notice.Subject, notice.Message
	}

	paused, err := json.Marshal(pause.Pause{By: "ann", Reason: "migration", At: time.Now(), Until: time.Now().Add(time.Hour)})
	ok(t, err)
	_, err = store.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String(pause.Key("fraud")), Body: bytes.NewReader(paused)})
	ok(t, err)
	tick := func() {
		t.Helper()
		if answer := invoke(`{"scheduledTime":"2026-01-01T02:00:00Z"}`); !strings.Contains(answer, `"paused"`) {
			t.Fatalf("the export answers %s", answer)
		}
	}
	tick()
	if subject, message := heard(); subject != "[ml-local-fraud] run 20260101t020000z did nothing: the pipeline is paused" || !strings.Contains(message, "ann paused the pipeline until") {
		t.Errorf("people hear %s\n%s", subject, message)
	}
	// What was told is written down after it was told.
	ok(t, s3.NewObjectExistsWaiter(store, func(o *s3.ObjectExistsWaiterOptions) { o.MinDelay = 50 * time.Millisecond }).Wait(
		t.Context(), &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("fraud/clocks/end.json")}, time.Minute))
	tick() // as Lambda may: the next notice is not this one again
	if answer := invoke(`{"source":"aws.cloudformation"}`); !strings.Contains(answer, `"error"`) {
		t.Fatalf("the doctor answers %s", answer)
	}
	if subject, message := heard(); subject != "[ml-local-fraud] the doctor found what is in the way of the next run" || !strings.Contains(message, "write one SELECT") {
		t.Errorf("people hear %s\n%s", subject, message)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// compiled is for this machine: the emulator runs a function as a process of the host.
func compiled(t *testing.T, program string) []byte {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", program, err, out)
	}
	b, err := os.ReadFile(binary)
	ok(t, err)
	return b
}

func zipped(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for name, content := range files {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate}
		header.SetMode(0o755)
		file, err := archive.CreateHeader(header)
		ok(t, err)
		_, err = file.Write(content)
		ok(t, err)
	}
	ok(t, archive.Close())
	return out.Bytes()
}
