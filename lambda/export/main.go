// Command export is the function that the schedule invokes: it exports one run and starts its workflow. It is also what the distributed map
// invokes for each partition, and what people ask for status, doctor, rebaseline, sweep, pause and resume. What it does is in lambda/internal/export; here it
// meets AWS.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	functions "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/internal/deployment"
	"sagemaker-datapipeline/lambda/internal/doctor"
	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/secret"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/internal/tell"
	"sagemaker-datapipeline/lambda/internal/workflow"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	// Set up in the first invocation, not before it: an error there is the function's answer and reaches the notice, while one
	// of the init phase says only that the runtime exited.
	f := sync.OnceValues(func() (*function, error) { return setUp(context.Background(), log) })
	lambda.Start(func(ctx context.Context, event json.RawMessage) (any, error) {
		requestID := ""
		if lc, ok := lambdacontext.FromContext(ctx); ok {
			requestID = lc.AwsRequestID
		}
		answer, err := handle(ctx, f, event, requestID)
		if err != nil {
			log.Error("export ended with an error", "requestId", requestID, "error", err.Error())
		}
		return answer, named(err)
	})
}

// named gives a refusal the name by which the distributed map knows that trying again is of no use. The runtime would name it after the outermost
// error around it.
func named(err error) error {
	if _, refused := errors.AsType[*export.RefusalError](err); !refused {
		return err
	}
	return messages.InvokeResponse_Error{Type: "Refusal", Message: err.Error()}
}

// function is the export with what it takes to examine and to tell.
type function struct {
	*export.Exporter
	server export.Server
	// notify is asked to tell how runs end that need no workflow, and what the doctor finds after a deployment; nil where there is no such function.
	notify *tell.Function
}

func handle(ctx context.Context, setUp func() (*function, error), body []byte, requestID string) (any, error) {
	event, err := export.DecodeEvent(body, time.Now())
	if err != nil {
		return nil, err
	}
	f, err := setUp()
	if err != nil {
		return nil, err
	}
	switch event.Command {
	case export.ReadPartition:
		return f.Partition(ctx, event.Plan, event.Partition, requestID)
	case export.CommitPlan:
		result, err := f.Commit(ctx, event.Plan, requestID)
		return f.told(ctx, result, err)
	case export.Doctor:
		return f.examine(ctx, event)
	case export.RebaselinePipeline:
		return f.Rebaseline(ctx, event)
	case export.Status:
		return f.Status(ctx)
	case export.Sweep:
		return f.Sweep(ctx)
	case export.PausePipeline:
		return f.Pause(ctx, event)
	case export.ResumePipeline:
		return f.Resume(ctx, event)
	case export.AcceptRun:
		result, err := f.Accept(ctx, event)
		return f.told(ctx, result, err)
	case export.RebaseDrift:
		return f.RebaseDrift(ctx, event)
	}
	result, err := f.Run(ctx, event, requestID)
	return f.told(ctx, result, err)
}

// examine asks the doctor. After a deployment nobody reads the answer, so what is in the way is announced.
func (f *function) examine(ctx context.Context, event export.Event) (findings.Report, error) {
	h, err := ledger.New(f.Bucket, f.Spec.Pipeline).Head(ctx)
	if err != nil {
		return findings.Report{}, err
	}
	report, err := doctor.Examine(ctx, doctor.Input{Spec: f.Spec, Connect: f.server.Open, Head: h, HashKey: f.HashKey})
	if err != nil {
		return findings.Report{}, err
	}
	f.Log.Info("examined", "pipeline", f.Spec.Name(), "worst", report.Worst(), "summary", report.Summary())
	if event.Source != "" && report.Worst() == findings.Error && f.notify != nil {
		if err := f.notify.Report(ctx, report); err != nil {
			return findings.Report{}, fmt.Errorf("telling what the doctor found: %w", err)
		}
	}
	return report, nil
}

// databaseSecret is the setting with the ARN of the secret with the login.
const databaseSecret = "DATABASE_SECRET_ARN"

// setUp reads the spec beside the binary and the environment.
func setUp(ctx context.Context, log *slog.Logger) (*function, error) {
	d, err := deployment.Find(ctx, deployment.DataBucket, databaseSecret)
	if err != nil {
		return nil, err
	}
	server := export.Server{
		Spec:    d.Spec,
		Secret:  secret.Secret{API: secretsmanager.NewFromConfig(d.SDK), ID: os.Getenv(databaseSecret)},
		Primary: sqlserver.Overrides{Host: os.Getenv("DATABASE_HOST"), Port: os.Getenv("DATABASE_PORT"), Database: os.Getenv("DATABASE_NAME")},
		Replica: sqlserver.Overrides{Host: os.Getenv("REPLICA_HOST"), Port: os.Getenv("REPLICA_PORT"), Database: os.Getenv("DATABASE_NAME")},
	}
	f := &function{server: server, Exporter: &export.Exporter{
		Spec: d.Spec,
		Bucket: d.Bucket(export.Streams(d.Spec), func(o *s3.Options) {
			// S3 asks a bucket's first busy minutes to slow down, and giving up means to read the source again. Default: 3.
			o.RetryMaxAttempts = 8
		}),
		Database: server,
		HashKey:  server.HashKey,
		Log:      log,
	}}
	states := sfn.NewFromConfig(d.SDK)
	f.Alone = workflow.StateMachine{API: states}
	if arn := os.Getenv("STATE_MACHINE_ARN"); arn != "" {
		f.Workflow = workflow.StateMachine{API: states, ARN: arn}
	}
	if arn := os.Getenv("EXPORT_MACHINE_ARN"); arn != "" {
		f.Map = workflow.StateMachine{API: states, ARN: arn}
	}
	if arn := os.Getenv("NOTIFY_FUNCTION_ARN"); arn != "" {
		f.notify = &tell.Function{API: functions.NewFromConfig(d.SDK), ARN: arn}
	}
	return f, nil
}
