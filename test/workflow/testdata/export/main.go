// Command export stands for the export function: it answers as the test's objects in the bucket say, and writes down what it was asked.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// event is what the state machine sends.
type event struct {
	Command   string
	Partition string
	Plan      struct{ Key, ETag string }
}

// Refusal is the name under which Lambda reports this error.
type Refusal struct{ message string }

func (r *Refusal) Error() string { return r.message }

func main() { lambda.Start(handle) }

func handle(ctx context.Context, raw json.RawMessage) (any, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	bucket := bucket{client: s3.NewFromConfig(cfg), name: os.Getenv("BUCKET")}
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	called := e.Plan.Key + "/" + e.Command
	if e.Partition != "" {
		called += "-" + e.Partition
	}
	calls, err := bucket.read(ctx, called)
	if err != nil {
		return nil, err
	}
	n := strings.Count(calls, "\n")
	if err := bucket.write(ctx, called, calls+string(raw)+"\n"); err != nil {
		return nil, err
	}
	// The answers of a call, in turn: {"segments": 1, "done": false}, or a text for an error.
	script, err := bucket.read(ctx, called+".answers")
	if err != nil || script == "" {
		return nil, errors.Join(err, fmt.Errorf("the test has no answers for %s", called))
	}
	var answers []any
	if err := json.Unmarshal([]byte(script), &answers); err != nil {
		return nil, err
	}
	answer := answers[min(n, len(answers)-1)]
	if text, failed := answer.(string); failed {
		return nil, &Refusal{text}
	}
	return answer, nil
}

type bucket struct {
	client *s3.Client
	name   string
}

// read gives an object's text, "" where there is none.
func (b bucket) read(ctx context.Context, key string) (string, error) {
	listed, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &key, MaxKeys: aws.Int32(1)})
	if err != nil || len(listed.Contents) == 0 || *listed.Contents[0].Key != key {
		return "", err
	}
	object, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return "", err
	}
	defer object.Body.Close()
	text, err := io.ReadAll(object.Body)
	return string(text), err
}

func (b bucket) write(ctx context.Context, key, text string) error {
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: strings.NewReader(text)})
	return err
}
