// Package release looks after what is in service of a pipeline: it keeps the lease under which one execution of the workflow at a time changes it,
// says what became of the question whether a registered model may be put into service, writes the history, and deletes what nobody needs any more.
package release

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
)

// SageMaker is what a Releaser calls of SageMaker.
type SageMaker interface {
	DescribeEndpoint(context.Context, *sagemaker.DescribeEndpointInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointOutput, error)
	DescribeEndpointConfig(context.Context, *sagemaker.DescribeEndpointConfigInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointConfigOutput, error)
	ListEndpointConfigs(context.Context, *sagemaker.ListEndpointConfigsInput, ...func(*sagemaker.Options)) (*sagemaker.ListEndpointConfigsOutput, error)
	DeleteEndpointConfig(context.Context, *sagemaker.DeleteEndpointConfigInput, ...func(*sagemaker.Options)) (*sagemaker.DeleteEndpointConfigOutput, error)
	ListModels(context.Context, *sagemaker.ListModelsInput, ...func(*sagemaker.Options)) (*sagemaker.ListModelsOutput, error)
	DeleteModel(context.Context, *sagemaker.DeleteModelInput, ...func(*sagemaker.Options)) (*sagemaker.DeleteModelOutput, error)
	ListModelPackages(context.Context, *sagemaker.ListModelPackagesInput, ...func(*sagemaker.Options)) (*sagemaker.ListModelPackagesOutput, error)
	DescribeModelPackage(context.Context, *sagemaker.DescribeModelPackageInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeModelPackageOutput, error)
	UpdateModelPackage(context.Context, *sagemaker.UpdateModelPackageInput, ...func(*sagemaker.Options)) (*sagemaker.UpdateModelPackageOutput, error)
}

var _ SageMaker = (*sagemaker.Client)(nil)

// Executions says what the workflow's executions do.
type Executions interface {
	// Running says whether an execution runs. One that is unknown doesn't.
	Running(ctx context.Context, arn string) (bool, error)
	// RunningNames gives the names of all executions that run.
	RunningNames(ctx context.Context) ([]string, error)
}

// Releaser answers for one pipeline.
type Releaser struct {
	Spec       pipeline.Spec
	Bucket     *objects.Bucket
	SageMaker  SageMaker
	Executions Executions
	Log        *slog.Logger
}

// Answer does what a request asks. It can be asked again: what was done is done once.
func (r *Releaser) Answer(ctx context.Context, request service.Request) (any, error) {
	switch request.Command {
	case service.Acquire:
		return r.Acquire(ctx, request)
	case service.Release:
		return struct{}{}, r.Release(ctx, request)
	case service.Approve:
		return r.Approval(ctx, request)
	case service.Record:
		return r.Record(ctx, request)
	case service.Prune:
		return r.Prune(ctx, request.Keep)
	}
	return nil, fmt.Errorf("the command %q is unknown", request.Command)
}

// Service reads what is in service; without a history before the first model.
func (r *Releaser) Service(ctx context.Context) (service.Service, error) {
	s, _, err := r.readService(ctx)
	return s, err
}

func (r *Releaser) readService(ctx context.Context) (service.Service, objects.Stored, error) {
	stored, err := r.Bucket.Read(ctx, r.serviceKey())
	if errors.Is(err, objects.ErrNotFound) {
		return service.Service{}, objects.Stored{}, nil
	}
	if err != nil {
		return service.Service{}, objects.Stored{}, fmt.Errorf("reading what is in service: %w", err)
	}
	s, err := service.Decode(stored.Body)
	if err != nil {
		return service.Service{}, objects.Stored{}, fmt.Errorf("s3://%s/%s: %w: put back an earlier version of it", r.Bucket.Name(), r.serviceKey(), err)
	}
	return s, stored, nil
}

func (r *Releaser) serviceKey() string { return service.Key(r.Spec.Pipeline) }
func (r *Releaser) leaseKey() string   { return service.LeaseKey(r.Spec.Pipeline) }

// runOf gives the run that a job, model or config of this pipeline is named after: "<name>-<run>" and perhaps a suffix. Another pipeline's name may
// begin alike, and has no run id there.
func (r *Releaser) runOf(name string) (run.ID, bool) {
	rest, ours := strings.CutPrefix(name, r.Spec.Name()+"-")
	if !ours || len(rest) < run.IDLength || len(rest) > run.IDLength && rest[run.IDLength] != '-' {
		return "", false
	}
	id, err := run.ParseID(rest[:run.IDLength])
	return id, err == nil
}

const jsonType = "application/json"
