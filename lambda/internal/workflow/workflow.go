// Package workflow starts the executions of a pipeline's state machine.
package workflow

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// API is what a StateMachine calls of Step Functions.
type API interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
}

var _ API = (*sfn.Client)(nil)

// StateMachine is one state machine.
type StateMachine struct {
	API API
	ARN string
}

// Start starts the execution with this name. One that was started before, and runs or has ended, is found: a name is used
// once in 90 days, so the work is done once.
func (m StateMachine) Start(ctx context.Context, name string, input []byte) (string, error) {
	out, err := m.API.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(m.ARN), Name: aws.String(name), Input: aws.String(string(input)),
	})
	if err == nil {
		return aws.ToString(out.ExecutionArn), nil
	}
	if _, exists := errors.AsType[*types.ExecutionAlreadyExists](err); exists {
		return m.executionARN(name), nil
	}
	if _, gone := errors.AsType[*types.StateMachineDoesNotExist](err); gone {
		return "", fmt.Errorf("the state machine %s does not exist: deploy the pipeline again: %w", m.ARN, err)
	}
	return "", fmt.Errorf("starting execution %s of %s: %w", name, m.ARN, err)
}

// executionARN turns arn:aws:states:region:account:stateMachine:name into the ARN of its execution.
func (m StateMachine) executionARN(name string) string {
	return strings.Replace(m.ARN, ":stateMachine:", ":execution:", 1) + ":" + name
}
