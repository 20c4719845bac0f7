// Command notify makes the ends of runs known: the workflow calls it at each of its ends, the export function with the ends of runs that need no workflow and
// with what its doctor finds, and Lambda with the exports that it gave up. What it does is in lambda/internal/tell, what it says in lambda/internal/notice.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sagemaker-datapipeline/lambda/internal/notice"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/tell"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	lambda.Start(func(ctx context.Context, event json.RawMessage) (answer, error) {
		told, err := handle(ctx, log, event)
		if err != nil {
			// The event itself is the last trace of the end when its announcement fails.
			log.Error("notify ended with an error", "error", err.Error(), "event", string(event))
		}
		return told, err
	})
}

// answer is what the workflow gets.
type answer struct {
	// Sent says that the notice is on the topic, now or since the end was told before.
	Sent bool `json:"sent"`
	// Undone is what else could not be done; the notice says it too.
	Undone string `json:"undone,omitempty"`
}

// handle tells what the event says. Only a notice that can't be sent is an error: its caller then has to tell people in another way, or again.
func handle(ctx context.Context, log *slog.Logger, event []byte) (answer, error) {
	teller, err := setUp(ctx)
	if err != nil {
		return answer{}, err
	}
	if report, ok := tell.DecodeReport(event); ok {
		if err := teller.Report(ctx, report); err != nil {
			return answer{}, err
		}
		log.Info("told", "pipeline", teller.Spec.Name(), "outcome", notice.Examined, "summary", report.Summary())
		return answer{Sent: true}, nil
	}
	end, ok := tell.DecodeEnd(event)
	switch {
	case !ok:
		end = notice.EndOfRecord(teller.Spec, event)
	case end.Execution == "" && toldBefore(ctx, log, teller, end):
		return answer{Sent: true}, nil
	}
	err = teller.Tell(ctx, end)
	if errors.Is(err, tell.ErrUnheard) {
		return answer{}, err
	}
	told := answer{Sent: true}
	if err != nil {
		told.Undone = err.Error()
		log.Error("told in part", "pipeline", teller.Spec.Name(), "run", end.Run, "outcome", end.Outcome, "error", told.Undone)
	}
	log.Info("told", "pipeline", teller.Spec.Name(), "run", end.Run, "outcome", end.Outcome)
	return told, nil
}

// toldBefore says whether an end of the export was told already: Lambda may invoke the export twice for one tick, and this function twice for one
// event. The ends of the workflow are each told: an execution that was redriven may end as it did before.
func toldBefore(ctx context.Context, log *slog.Logger, teller tell.Teller, end outcome.End) bool {
	told, err := teller.Told(ctx, end)
	switch {
	case err != nil: // not to know is no reason to be silent
		log.Warn("looking what was told last", "pipeline", teller.Spec.Name(), "run", end.Run, "error", err.Error())
	case told:
		log.Info("told before", "pipeline", teller.Spec.Name(), "run", end.Run, "outcome", end.Outcome)
	}
	return told && err == nil
}

// setUp reads the spec beside the binary and the environment.
func setUp(ctx context.Context) (tell.Teller, error) {
	var missing []string
	env := func(name string) string {
		v := os.Getenv(name)
		if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	topic, bucket := env("TOPIC_ARN"), env("DATA_BUCKET")
	if len(missing) > 0 {
		return tell.Teller{}, fmt.Errorf("the function's environment lacks %s: deploy the pipeline again", strings.Join(missing, ", "))
	}
	binary, err := os.Executable()
	if err != nil {
		return tell.Teller{}, fmt.Errorf("finding the deployment package: %w", err)
	}
	spec, err := pipeline.Read(filepath.Join(filepath.Dir(binary), pipeline.FileName))
	if err != nil {
		return tell.Teller{}, err
	}
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return tell.Teller{}, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	store := s3.NewFromConfig(sdk, func(o *s3.Options) {
		// An endpoint of one's own (an emulator) has no name for each bucket.
		o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})
	return tell.Teller{
		Spec:        spec,
		Bucket:      objects.NewBucket(store, bucket, os.Getenv("DATA_KEY_ARN"), 0),
		CloudWatch:  cloudwatch.NewFromConfig(sdk),
		EventBridge: eventbridge.NewFromConfig(sdk),
		SNS:         sns.NewFromConfig(sdk),
		Topic:       topic,
	}, nil
}
