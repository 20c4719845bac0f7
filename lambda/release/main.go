// Command release is the function that the workflow asks around a deployment. What it answers is in lambda/internal/release, and the questions are in
// lambda/service; here it meets AWS.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/lambda/internal/deployment"
	"sagemaker-datapipeline/lambda/internal/release"
	"sagemaker-datapipeline/lambda/internal/workflow"
	"sagemaker-datapipeline/lambda/service"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	// Set up in the first invocation, not before it: an error of the init phase says only that the runtime exited.
	releaser := sync.OnceValues(func() (*release.Releaser, error) { return setUp(context.Background(), log) })
	lambda.Start(func(ctx context.Context, event json.RawMessage) (any, error) {
		answer, err := handle(ctx, log, releaser, event)
		if err != nil {
			log.Error("release ended with an error", "error", err.Error(), "request", string(event))
		}
		return answer, err
	})
}

func handle(ctx context.Context, log *slog.Logger, setUp func() (*release.Releaser, error), event []byte) (any, error) {
	request, err := service.DecodeRequest(event)
	if err != nil {
		return nil, err
	}
	r, err := setUp()
	if err != nil {
		return nil, err
	}
	answer, err := r.Answer(ctx, request)
	if err != nil {
		return nil, err
	}
	log.Info("answered", "pipeline", r.Spec.Name(), "command", request.Command, "run", request.Run, "answer", answer)
	return answer, nil
}

// machine is the setting with the ARN of the workflow.
const machine = "STATE_MACHINE_ARN"

// attempts of each call to SageMaker, which throttles a whole account's describing and listing. Default of the SDK: 3.
const attempts = 8

// setUp reads the spec beside the binary and the environment.
func setUp(ctx context.Context, log *slog.Logger) (*release.Releaser, error) {
	d, err := deployment.Find(ctx, deployment.DataBucket, machine)
	if err != nil {
		return nil, err
	}
	return &release.Releaser{
		Spec:       d.Spec,
		Bucket:     d.Bucket(1),
		SageMaker:  sagemaker.NewFromConfig(d.SDK, func(o *sagemaker.Options) { o.RetryMaxAttempts = attempts }),
		Executions: workflow.StateMachine{API: sfn.NewFromConfig(d.SDK), ARN: os.Getenv(machine)},
		Log:        log,
	}, nil
}
