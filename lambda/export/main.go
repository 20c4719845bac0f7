// Command export is the function that the schedule invokes: it exports one run and starts its workflow. What it does is in
// lambda/internal/export; here it meets AWS.
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
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/secret"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/internal/workflow"
	"sagemaker-datapipeline/lambda/pipeline"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	// Set up in the first invocation, not before it: an error there is the function's answer and reaches the notice, while one
	// of the init phase says only that the runtime exited.
	exporter := sync.OnceValues(func() (*export.Exporter, error) { return setUp(context.Background(), log) })
	lambda.Start(func(ctx context.Context, event json.RawMessage) (export.Result, error) {
		requestID := ""
		if lc, ok := lambdacontext.FromContext(ctx); ok {
			requestID = lc.AwsRequestID
		}
		result, err := handle(ctx, exporter, event, requestID)
		if err != nil {
			log.Error("export ended with an error", "requestId", requestID, "error", err.Error())
		}
		return result, err
	})
}

func handle(ctx context.Context, exporter func() (*export.Exporter, error), event []byte, requestID string) (export.Result, error) {
	scheduled, err := export.DecodeEvent(event)
	if err != nil {
		return export.Result{}, err
	}
	e, err := exporter()
	if err != nil {
		return export.Result{}, err
	}
	return e.Run(ctx, scheduled, requestID)
}

// setUp reads the spec beside the binary and the environment.
func setUp(ctx context.Context, log *slog.Logger) (*export.Exporter, error) {
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
	bucket, machine, secretID := env("DATA_BUCKET"), env("STATE_MACHINE_ARN"), env("DATABASE_SECRET_ARN")
	if len(missing) > 0 {
		return nil, fmt.Errorf("the function's environment lacks %s: deploy the pipeline again", strings.Join(missing, ", "))
	}
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	store := s3.NewFromConfig(sdk, func(o *s3.Options) {
		// S3 asks a bucket's first busy minutes to slow down, and giving up means to read the source again. Default: 3.
		o.RetryMaxAttempts = 8
		// An endpoint of one's own (an emulator) has no name for each bucket.
		o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})
	return &export.Exporter{
		Spec:   spec,
		Bucket: objects.NewBucket(store, bucket, os.Getenv("DATA_KEY_ARN")),
		Secret: secret.Secret{API: secretsmanager.NewFromConfig(sdk), ID: secretID},
		Overrides: sqlserver.Overrides{
			Host: os.Getenv("DATABASE_HOST"), Port: os.Getenv("DATABASE_PORT"), Database: os.Getenv("DATABASE_NAME"),
		},
		Workflow: workflow.StateMachine{API: sfn.NewFromConfig(sdk), ARN: machine},
		Log:      log,
	}, nil
}
