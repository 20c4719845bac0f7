package tell

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/outcome"
)

// InvokeAPI is what a Function calls of Lambda.
type InvokeAPI interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

var _ InvokeAPI = (*lambda.Client)(nil)

// Function is the pipeline's notify function, for who can't reach what a Teller calls: it is asked to tell, and Lambda tries again what it couldn't.
type Function struct {
	API InvokeAPI
	// ARN of the function, or its name.
	ARN string
}

// Tell hands over the end of a run that had no workflow. It may be handed over again: the function tells it once.
func (f Function) Tell(ctx context.Context, end outcome.End) error {
	return f.invoke(ctx, bounded(end))
}

// Report hands over what the doctor found when the pipeline was deployed.
func (f Function) Report(ctx context.Context, report findings.Report) error {
	report = worstFindings(report)
	return f.invoke(ctx, examined{Report: &report})
}

// examined is the event that asks for a report to be told.
type examined struct {
	Report *findings.Report `json:"report"`
}

// invoke returns when Lambda has queued the event.
func (f Function) invoke(ctx context.Context, event any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encoding what is to be told: %w", err)
	}
	if _, err := f.API.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String(f.ARN), InvocationType: types.InvocationTypeEvent, Payload: payload,
	}); err != nil {
		return fmt.Errorf("invoking %s: %w", f.ARN, err)
	}
	return nil
}
