// Package evaluate decides whether a trained model may take the place of the one in service, and whether the endpoint answers as the model
// does.
//
// A batch transform has scored the run's hold-out with the candidate, and with the champion (the model in service) unless its scores are known.
// Both are read as streams, paired row by row, measured, and the gate's word on them is written down.
package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// SageMaker is what an Evaluator calls of SageMaker.
type SageMaker interface {
	DescribeEndpoint(context.Context, *sagemaker.DescribeEndpointInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointOutput, error)
	DescribeEndpointConfig(context.Context, *sagemaker.DescribeEndpointConfigInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointConfigOutput, error)
	DescribeModel(context.Context, *sagemaker.DescribeModelInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeModelOutput, error)
}

// Runtime is what an Evaluator calls of an endpoint.
type Runtime interface {
	InvokeEndpoint(context.Context, *sagemakerruntime.InvokeEndpointInput, ...func(*sagemakerruntime.Options)) (*sagemakerruntime.InvokeEndpointOutput, error)
}

var (
	_ SageMaker = (*sagemaker.Client)(nil)
	_ Runtime   = (*sagemakerruntime.Client)(nil)
)

// Evaluator evaluates the models of one pipeline.
type Evaluator struct {
	Spec      pipeline.Spec
	Bucket    *objects.Bucket
	SageMaker SageMaker
	Runtime   Runtime
	// Log gets counts and figures, and no rows.
	Log *slog.Logger
}

// Handle does what an event asks for: the answer is an evaluation.Champion, Verdict or Answers.
func (e *Evaluator) Handle(ctx context.Context, event evaluation.Event) (any, error) {
	switch event.Command {
	case evaluation.FindChampion:
		return e.Champion(ctx, event)
	case evaluation.Decide:
		return e.Decide(ctx, event)
	case evaluation.Smoke:
		return e.Smoke(ctx, event)
	}
	return nil, fmt.Errorf("the command %q is none of the function's", event.Command)
}

// gate is what decides.
func (e *Evaluator) gate() (pipeline.Gate, error) {
	if e.Spec.Gate == nil {
		return pipeline.Gate{}, fmt.Errorf("%s has no gate, so nothing decides between two models: deploy the pipeline again, its workflow and its spec come from different versions", e.Spec.Name())
	}
	g := *e.Spec.Gate
	if g.Threshold == 0 {
		g.Threshold = defaultThreshold
	}
	if of := evaluation.Metrics(e.Spec.Dataset.Task); !slices.Contains(of, evaluation.Metric(g.Metric)) {
		return pipeline.Gate{}, fmt.Errorf("the gate's metric %q is none of a %s task's, which are %v: correct gate.metric", g.Metric, e.Spec.Dataset.Task, of)
	}
	return g, nil
}

// defaultThreshold is the score above which F1 takes an answer for 1. A gate whose threshold is 0 has none of its own: every score is above it.
const defaultThreshold = 0.5

// manifest reads what a run committed.
func (e *Evaluator) manifest(ctx context.Context, event evaluation.Event) (manifest.Manifest, error) {
	if event.Manifest == "" {
		l := ledger.New(e.Bucket, e.Spec.Pipeline)
		h, err := l.Head(ctx)
		if err != nil {
			return manifest.Manifest{}, err
		}
		c, found, err := l.Find(ctx, h.Manifest, event.Run, nil)
		if err == nil && !found {
			err = fmt.Errorf("run %s is not committed: the pipeline's head doesn't reach it", event.Run)
		}
		return c.Manifest, err
	}
	stored, err := e.Bucket.Read(ctx, event.Manifest)
	if err != nil {
		return manifest.Manifest{}, fmt.Errorf("reading the run's manifest: %w", err)
	}
	m, err := manifest.Decode(stored.Body)
	if err == nil && (m.Run != event.Run || m.Pipeline != e.Spec.Pipeline) {
		err = fmt.Errorf("it is of run %s of %s, and not of run %s of %s", m.Run, m.Pipeline, event.Run, e.Spec.Pipeline)
	}
	if err != nil {
		return manifest.Manifest{}, fmt.Errorf("s3://%s/%s: %w", e.Bucket.Name(), event.Manifest, err)
	}
	return m, nil
}

// report reads the evaluation of a job's model; false when there is none that this code can read.
func (e *Evaluator) report(ctx context.Context, job string) (evaluation.Report, bool, error) {
	stored, err := e.Bucket.Read(ctx, evaluation.Key(e.Spec.Pipeline, job))
	if errors.Is(err, objects.ErrNotFound) {
		return evaluation.Report{}, false, nil
	}
	if err != nil {
		return evaluation.Report{}, false, fmt.Errorf("reading the evaluation of %s: %w", job, err)
	}
	r, err := evaluation.Decode(stored.Body)
	if err != nil {
		e.Log.Warn("passing over an evaluation", "job", job, "error", err.Error())
		return evaluation.Report{}, false, nil
	}
	return r, true, nil
}

// keep writes the report down. Of two evaluations of a job the later one stays.
func (e *Evaluator) keep(ctx context.Context, r evaluation.Report) error {
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the evaluation: %w", err)
	}
	if _, err := e.Bucket.Put(ctx, evaluation.Key(e.Spec.Pipeline, r.Job), "application/json", body); err != nil {
		return fmt.Errorf("keeping the evaluation: %w", err)
	}
	return nil
}
