package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Outcome is how an ordered fault makes a job or an endpoint end.
type Outcome string

// The outcomes.
const (
	// TrainingFailed ends the job Failed with the fault's Reason, without running it.
	// Default reason: SageMaker's CapacityError.
	TrainingFailed Outcome = "training-failed"
	// TrainingStopped ends the job Stopped.
	TrainingStopped Outcome = "training-stopped"
	// TrainingTimesOut ends the job Stopped for its time limit, without running it: MaxRuntimeExceeded, or of a spot job
	// MaxWaitTimeExceeded.
	TrainingTimesOut Outcome = "training-times-out"
	// TrainingSlow makes the job take Seconds longer.
	TrainingSlow Outcome = "training-slow"
	// TransformFailed ends the transform job Failed with the fault's Reason, without running it.
	// Default reason: SageMaker's CapacityError.
	TransformFailed Outcome = "transform-failed"
	// TransformStopped ends the transform job Stopped.
	TransformStopped Outcome = "transform-stopped"
	// TransformSlow makes the transform job take Seconds longer.
	TransformSlow Outcome = "transform-slow"
	// EndpointFailed makes the endpoint Failed while it is created or updated.
	EndpointFailed Outcome = "endpoint-failed"
	// EndpointSlow makes creating or updating the endpoint take Seconds longer.
	EndpointSlow Outcome = "endpoint-slow"
	// UpdateRollsBack ends an update InService on the old configuration, after Seconds in RollingBack (default 1).
	UpdateRollsBack Outcome = "update-rolls-back"
	// UpdateRollbackFails ends an update UpdateRollbackFailed, after Seconds in RollingBack (default 1).
	UpdateRollbackFails Outcome = "update-rollback-fails"
	// EndpointStatus puts the endpoint that Match names by EndpointName into the fault's EndpointStatus at once, and with
	// Seconds back into what it was after them.
	EndpointStatus Outcome = "endpoint-status"
)

// Fault is something that is to go wrong. Either Operation is set, for the answer to a call, or Outcome, for how a job or
// an endpoint ends.
type Fault struct {
	// Operation of SageMaker, its runtime, Application Auto Scaling or Service Quotas, such as CreateTrainingJob.
	Operation string `json:"operation,omitempty"`
	// Code is AWS's name of the error, such as ThrottlingException or ResourceLimitExceeded. Without one the call is only
	// slow, by Seconds.
	Code string `json:"code,omitempty"`
	// Message is the error's text. Default: the code.
	Message string `json:"message,omitempty"`
	// Status is the HTTP status. Default: 400, or 500 with Performed.
	Status int `json:"status,omitempty"`
	// Performed carries the call out all the same: only its answer is lost.
	Performed bool `json:"performed,omitempty"`

	Outcome Outcome `json:"outcome,omitempty"`
	// Reason is the FailureReason.
	Reason string `json:"reason,omitempty"`
	// Seconds that the answer of an Operation takes longer, or those of the outcomes TrainingSlow, TransformSlow,
	// EndpointSlow, UpdateRollsBack, UpdateRollbackFails and EndpointStatus. By the clock: they are not scaled.
	Seconds float64 `json:"seconds,omitempty"`
	// EndpointStatus of the outcome of that name, such as UpdateRollbackFailed.
	EndpointStatus string `json:"endpointStatus,omitempty"`

	// Times is how often it happens. Default: once.
	Times int `json:"times,omitempty"`
	// Match says to which requests: the values of their members by name, with * and ? as wildcards. InstanceType is that of a
	// job, wherever its request has it. Default: any.
	Match map[string]string `json:"match,omitempty"`
}

// SetQuota sets a quota of SageMaker's by AWS's name of it: "ml.m5.large for training job usage", spot training job usage,
// transform job usage or endpoint usage. It holds for jobs and endpoints that are created later, and Service Quotas tells it.
// Each quota is 1000 at the start.
func (e *Emulator) SetQuota(ctx context.Context, name string, instances int) error {
	if err := e.call(ctx, http.MethodPost, "quotas", map[string]int{name: instances}, nil); err != nil {
		return fmt.Errorf("setting the quota %s: %w", name, err)
	}
	return nil
}

// Call is one call that reached the local SageMaker.
type Call struct {
	Time      time.Time
	Operation string
	// Request is the request as JSON.
	Request json.RawMessage
	// Source is "api" for an SDK or the CLI, "states" for a task of Step Functions, "cloudformation" for a stack, "autoscaling"
	// for Application Auto Scaling.
	Source string
	// Error is nil if the call succeeded.
	Error *CallError
}

// CallError is the error that a call was answered with.
type CallError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"status"`
}

// OrderFault makes something go wrong later. The order is used up by what it matches.
func (e *Emulator) OrderFault(ctx context.Context, f Fault) error {
	if err := e.call(ctx, http.MethodPost, "faults", f, nil); err != nil {
		return fmt.Errorf("ordering a fault: %w", err)
	}
	return nil
}

// ClearFaults takes back the orders that nothing has matched yet.
func (e *Emulator) ClearFaults(ctx context.Context) error {
	if err := e.call(ctx, http.MethodDelete, "faults", nil, nil); err != nil {
		return fmt.Errorf("taking back the ordered faults: %w", err)
	}
	return nil
}

// Calls lists the calls that reached the local SageMaker, in order; of a long run the last 10,000.
func (e *Emulator) Calls(ctx context.Context) ([]Call, error) {
	var answer struct {
		Calls []struct {
			Time      float64         `json:"time"`
			Operation string          `json:"operation"`
			Request   json.RawMessage `json:"request"`
			Source    string          `json:"source"`
			Error     *CallError      `json:"error"`
		} `json:"calls"`
	}
	if err := e.call(ctx, http.MethodGet, "calls", nil, &answer); err != nil {
		return nil, fmt.Errorf("reading the record of calls: %w", err)
	}
	calls := make([]Call, len(answer.Calls))
	for i, c := range answer.Calls {
		calls[i] = Call{
			Time:      time.UnixMilli(int64(c.Time * 1000)).UTC(),
			Operation: c.Operation, Request: c.Request, Source: c.Source, Error: c.Error,
		}
	}
	return calls, nil
}

// call asks the local SageMaker something that is not part of AWS.
func (e *Emulator) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, e.URL+"/_local/sagemaker/"+path, body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var answer struct{ Message string }
		if json.Unmarshal(b, &answer) != nil || answer.Message == "" {
			answer.Message = string(b)
		}
		return fmt.Errorf("%s: %s", resp.Status, answer.Message)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("decoding the answer: %w", err)
	}
	return nil
}
