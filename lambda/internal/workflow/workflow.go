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
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
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

// maxExecutions bounds how many failed executions StartOrFind steps over.
const maxExecutions = 20

// StartOrFind starts an execution with this name, or finds it running or succeeded. One that failed is left as it is, and the next has a number
// behind the name: "name-2".
func (m StateMachine) StartOrFind(ctx context.Context, name string, input []byte) (string, error) {
	for n := 1; n <= maxExecutions; n++ {
		numbered := name
		if n > 1 {
			numbered = fmt.Sprintf("%s-%d", name, n)
		}
		arn, err := m.Start(ctx, numbered, input)
		if err != nil {
			return "", err
		}
		out, err := m.API.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		if err != nil {
			return "", fmt.Errorf("looking at execution %s: %w", arn, err)
		}
		switch out.Status {
		case types.ExecutionStatusFailed, types.ExecutionStatusTimedOut, types.ExecutionStatusAborted:
			continue
		}
		return arn, nil
	}
	return "", fmt.Errorf("%d executions of %s named %s failed: look why, then start one by hand under another name", maxExecutions, m.ARN, name)
}

// executionARN turns arn:aws:states:region:account:stateMachine:name into the ARN of its execution.
func (m StateMachine) executionARN(name string) string {
	return strings.Replace(m.ARN, ":stateMachine:", ":execution:", 1) + ":" + name
}
