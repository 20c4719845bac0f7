// Command release is the function that the workflow asks around a deployment. What it answers is in lambda/internal/release, and the questions are in
// lambda/service; here it meets AWS.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/release"
	"sagemaker-datapipeline/lambda/internal/workflow"
	"sagemaker-datapipeline/lambda/pipeline"
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

// attempts of each call to SageMaker, which throttles a whole account's describing and listing. Default of the SDK: 3.
const attempts = 8

// setUp reads the spec beside the binary and the environment.
func setUp(ctx context.Context, log *slog.Logger) (*release.Releaser, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the deployment package: %w", err)
	}
	spec, err := pipeline.Read(filepath.Join(filepath.Dir(binary), pipeline.FileName))
	if err != nil {
		return nil, err
	}
	var missing []string
	env := func(name string) string {
		v := os.Getenv(name)
		if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	bucket, machine := env("DATA_BUCKET"), env("STATE_MACHINE_ARN")
	if len(missing) > 0 {
		return nil, fmt.Errorf("the function's environment lacks %s: deploy the pipeline again", strings.Join(missing, ", "))
	}
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	store := s3.NewFromConfig(sdk, func(o *s3.Options) {
		// An endpoint of one's own (an emulator) has no name for each bucket.
		o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})
	return &release.Releaser{
		Spec:       spec,
		Bucket:     objects.NewBucket(store, bucket, os.Getenv("DATA_KEY_ARN"), 1),
		SageMaker:  sagemaker.NewFromConfig(sdk, func(o *sagemaker.Options) { o.RetryMaxAttempts = attempts }),
		Executions: workflow.StateMachine{API: sfn.NewFromConfig(sdk), ARN: machine},
		Log:        log,
	}, nil
}
