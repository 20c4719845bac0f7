// Command notify makes the ends of runs known: the workflow calls it at each of its ends, the export function with the ends of runs that need no workflow and
// with what its doctor finds, and Lambda with the exports that it gave up. What it does is in lambda/internal/tell, what it says in lambda/internal/notice.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sagemaker-datapipeline/lambda/internal/deployment"
	"sagemaker-datapipeline/lambda/internal/notice"
	"sagemaker-datapipeline/lambda/internal/tell"
	"sagemaker-datapipeline/lambda/outcome"
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

// topic is the setting with the ARN of the topic that people read.
const topic = "TOPIC_ARN"

// setUp reads the spec beside the binary and the environment.
func setUp(ctx context.Context) (tell.Teller, error) {
	d, err := deployment.Find(ctx, topic, deployment.DataBucket)
	if err != nil {
		return tell.Teller{}, err
	}
	return tell.Teller{
		Spec:        d.Spec,
		Bucket:      d.Bucket(0),
		CloudWatch:  cloudwatch.NewFromConfig(d.SDK),
		EventBridge: eventbridge.NewFromConfig(d.SDK),
		SNS:         sns.NewFromConfig(d.SDK),
		Topic:       os.Getenv(topic),
	}, nil
}
