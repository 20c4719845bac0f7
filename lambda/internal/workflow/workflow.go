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
	ListExecutions(context.Context, *sfn.ListExecutionsInput, ...func(*sfn.Options)) (*sfn.ListExecutionsOutput, error)
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
	arn, _, err := m.start(ctx, name, input)
	return arn, err
}

// start says also whether the execution wasn't there before, or runs with this very input.
func (m StateMachine) start(ctx context.Context, name string, input []byte) (arn string, started bool, err error) {
	out, err := m.API.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(m.ARN), Name: aws.String(name), Input: aws.String(string(input)),
	})
	if err == nil {
		return aws.ToString(out.ExecutionArn), true, nil
	}
	if _, exists := errors.AsType[*types.ExecutionAlreadyExists](err); exists {
		return m.executionARN(name), false, nil
	}
	if _, gone := errors.AsType[*types.StateMachineDoesNotExist](err); gone {
		return "", false, fmt.Errorf("the state machine %s does not exist: deploy the pipeline again: %w", m.ARN, err)
	}
	return "", false, fmt.Errorf("starting execution %s of %s: %w", name, m.ARN, err)
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
		arn, started, err := m.start(ctx, numbered, input)
		if err != nil || started {
			return arn, err
		}
		// Only of one that was there before: what is known of a fresh one comes with a delay.
		status, err := m.status(ctx, arn)
		if err != nil {
			return "", err
		}
		switch status {
		case types.ExecutionStatusFailed, types.ExecutionStatusTimedOut, types.ExecutionStatusAborted:
			continue
		}
		return arn, nil
	}
	return "", fmt.Errorf("%d executions of %s named %s failed: look why, then start one by hand under another name", maxExecutions, m.ARN, name)
}

// Running says whether an execution still runs. One that is unknown doesn't.
func (m StateMachine) Running(ctx context.Context, arn string) (bool, error) {
	status, err := m.status(ctx, arn)
	if _, unknown := errors.AsType[*types.ExecutionDoesNotExist](err); unknown {
		return false, nil
	}
	return status == types.ExecutionStatusRunning, err
}

// RunningNames gives the names of all executions that run. One that was started a moment ago may be missing.
func (m StateMachine) RunningNames(ctx context.Context) ([]string, error) {
	var names []string
	pages := sfn.NewListExecutionsPaginator(m.API, &sfn.ListExecutionsInput{StateMachineArn: aws.String(m.ARN), StatusFilter: types.ExecutionStatusRunning})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the executions of %s: %w", m.ARN, err)
		}
		for _, e := range page.Executions {
			names = append(names, aws.ToString(e.Name))
		}
	}
	return names, nil
}

func (m StateMachine) status(ctx context.Context, arn string) (types.ExecutionStatus, error) {
	out, err := m.API.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		return "", fmt.Errorf("looking at execution %s: %w", arn, err)
	}
	return out.Status, nil
}

// executionARN turns arn:aws:states:region:account:stateMachine:name into the ARN of its execution.
func (m StateMachine) executionARN(name string) string {
	return strings.Replace(m.ARN, ":stateMachine:", ":execution:", 1) + ":" + name
}
