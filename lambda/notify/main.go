// Command notify is where Lambda sends the export function's failures: it tells the people who run the pipeline. What it says
// is in lambda/internal/notice.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sagemaker-datapipeline/lambda/internal/notice"
	"sagemaker-datapipeline/lambda/pipeline"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	lambda.Start(func(ctx context.Context, event json.RawMessage) error {
		err := handle(ctx, log, event)
		if err != nil {
			// The record itself is the last trace of the failure when its announcement fails as well.
			log.Error("notify ended with an error", "error", err.Error(), "record", string(event))
		}
		return err
	})
}

func handle(ctx context.Context, log *slog.Logger, event []byte) error {
	topic := os.Getenv("TOPIC_ARN")
	if topic == "" {
		return errors.New("the function's environment lacks TOPIC_ARN: deploy the pipeline again")
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the deployment package: %w", err)
	}
	spec, err := pipeline.Read(filepath.Join(filepath.Dir(binary), pipeline.FileName))
	if err != nil {
		return err
	}
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("loading the AWS configuration: %w", err)
	}
	n := notice.FromDestination(spec, event)
	if err := notice.Publish(ctx, sns.NewFromConfig(sdk), topic, n); err != nil {
		return err
	}
	log.Info("announced", "pipeline", spec.Name(), "run", n.Attributes["run"], "subject", n.Subject)
	return nil
}
