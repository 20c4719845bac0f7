// Command evaluate is what the workflow invokes to find the model in service, to compare a candidate with it, and to ask the endpoint whether it
// answers as its model does. What it does is in lambda/internal/evaluate; here it meets AWS.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/internal/deployment"
	"sagemaker-datapipeline/lambda/internal/evaluate"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	// Set up in the first invocation, not before it: an error there is the function's answer, while one of the init phase says only that the
	// runtime exited.
	evaluator := sync.OnceValues(func() (*evaluate.Evaluator, error) { return setUp(context.Background(), log) })
	lambda.Start(func(ctx context.Context, event json.RawMessage) (any, error) {
		answer, err := handle(ctx, evaluator, event)
		if err != nil {
			log.Error("evaluate ended with an error", "error", err.Error())
		}
		return answer, named(err)
	})
}

func handle(ctx context.Context, evaluator func() (*evaluate.Evaluator, error), body []byte) (any, error) {
	event, err := evaluation.DecodeEvent(body)
	if err != nil {
		return nil, err
	}
	e, err := evaluator()
	if err != nil {
		return nil, err
	}
	return e.Handle(ctx, event)
}

// smokeTest is the errorType of an endpoint that doesn't answer as it should.
const smokeTest = "SmokeTest"

// named gives a failed smoke test the name by which the workflow knows it. The runtime would name it after the outermost error around it.
func named(err error) error {
	if _, is := errors.AsType[*evaluate.SmokeTestError](err); !is {
		return err
	}
	return messages.InvokeResponse_Error{Type: smokeTest, Message: err.Error()}
}

// setUp reads the spec beside the binary and the environment.
func setUp(ctx context.Context, log *slog.Logger) (*evaluate.Evaluator, error) {
	d, err := deployment.Find(ctx, deployment.DataBucket)
	if err != nil {
		return nil, err
	}
	return &evaluate.Evaluator{
		Spec: d.Spec,
		// Reports are written whole: no stream is open for writing.
		Bucket: d.Bucket(0, func(o *s3.Options) {
			// SageMaker writes scores without a checksum of S3's; a line of the log for each tells nobody anything.
			o.DisableLogOutputChecksumValidationSkipped = true
		}),
		SageMaker: sagemaker.NewFromConfig(d.SDK),
		Runtime:   sagemakerruntime.NewFromConfig(d.SDK),
		Log:       log,
	}, nil
}
