package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/pipeline"
)

// asker asks the pipeline's export function.
type asker interface {
	// ask invokes the function with an event and gives its answer. An *answerError is the function's own error.
	ask(ctx context.Context, event any) (json.RawMessage, error)
}

// answerError is what the function answers when it isn't done.
type answerError struct{ message string }

func (e *answerError) Error() string { return e.message }

// function is the deployed export function.
type function struct {
	client *lambda.Client
	// name is that of the function, and arn how it is invoked: with the account in it, so that credentials of another account find nothing
	// instead of that account's function of the same name.
	name, arn   string
	environment string
	account     string
	region      string
}

func newFunction(sdk aws.Config, project, environment, name string, e config.Environment) *function {
	// An invocation that is sent twice runs twice, so only what Lambda refused before it began is sent again.
	once := func(o *lambda.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = []retry.IsErrorRetryable{retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes}}
		})
	}
	f := &function{
		client: lambda.NewFromConfig(sdk, once), name: pipeline.Name(project, environment, name) + "-export",
		environment: environment, account: e.Account, region: e.Region,
	}
	f.arn = fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s", partition(f.region), f.region, f.account, f.name)
	return f
}

// loadSDK finds region and credentials.
func loadSDK(ctx context.Context, region string) (aws.Config, error) {
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region))
	if err != nil {
		return aws.Config{}, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	if _, err := sdk.Credentials.Retrieve(ctx); err != nil {
		remedy := "log in (aws sso login), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
		if os.Getenv("AWS_ENDPOINT_URL") != "" {
			remedy = "the local environment takes any: AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
		}
		return aws.Config{}, fmt.Errorf("there are no AWS credentials: %s: %w", remedy, err)
	}
	return sdk, nil
}

// partition is AWS's name for the group of regions that a region is in.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// ask waits for the answer: as long as the function runs, 15 minutes at most. When it is interrupted, the function goes on.
func (f *function) ask(ctx context.Context, event any) (json.RawMessage, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encoding the event: %w", err)
	}
	out, err := f.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &f.arn, Payload: payload})
	if err != nil {
		return nil, f.explain(ctx, err)
	}
	if out.FunctionError != nil {
		return nil, &answerError{fmt.Sprintf("%s ended with an error: %s", f.name, message(out.Payload))}
	}
	return out.Payload, nil
}

func (f *function) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &answerError{fmt.Sprintf("stopped waiting for %s: it goes on by itself; status shows what it did", f.name)}
	}
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		return fmt.Errorf("there is no function %s in account %s, region %s: deploy it by npx cdk deploy '%s/**'", f.name, f.account, f.region, f.environment)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "AccessDeniedException":
			return fmt.Errorf("these credentials may not invoke %s in account %s: %s: take those of that account, with lambda:InvokeFunction on it", f.name, f.account, api.ErrorMessage())
		case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "ExpiredToken":
			return fmt.Errorf("AWS doesn't take these credentials (%s): log in again (aws sso login)", api.ErrorCode())
		}
		return fmt.Errorf("invoking %s: %w", f.name, err)
	}
	at := "AWS"
	if url := os.Getenv("AWS_ENDPOINT_URL"); url != "" {
		at = "AWS_ENDPOINT_URL=" + url
	}
	return &answerError{fmt.Sprintf("waiting for %s at %s: %v: if the connection broke in the middle, the function goes on by itself; status shows what it did", f.name, at, err)}
}

// message is the text of Lambda's record of a function's error.
func message(payload []byte) string {
	var record struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}
	if err := json.Unmarshal(payload, &record); err != nil || record.Message == "" {
		return string(payload)
	}
	return record.Message
}
