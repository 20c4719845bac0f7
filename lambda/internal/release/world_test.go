package release_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/internal/release"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
)

const name = "ml-dev-fraud"

func spec(kind pipeline.Deploy) pipeline.Spec {
	return pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud", Deploy: kind}
}

// tick is the run of an hour.
func tick(n int) run.ID {
	return run.NewID(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Hour))
}

func config(id run.ID) string { return name + "-" + string(id) }

func execution(id run.ID) string {
	return "arn:aws:states:us-east-1:000000000000:execution:" + name + ":" + string(id)
}

// world is what a Releaser talks to: a bucket, SageMaker and the executions that run.
type world struct {
	store     *memory.S3
	sageMaker *fakeSageMaker
	kind      pipeline.Deploy

	mu      sync.Mutex
	running map[string]bool
}

func newWorld() *world {
	return &world{store: memory.New(), sageMaker: newSageMaker(), kind: pipeline.Endpoint, running: map[string]bool{}}
}

func (w *world) releaser(client *memory.Client) *release.Releaser {
	return &release.Releaser{
		Spec: spec(w.kind), Bucket: objects.NewBucket(client, "data", "", 1), SageMaker: w.sageMaker, Executions: w, Log: slog.New(slog.DiscardHandler),
	}
}

func (w *world) set(execution string, running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[execution] = running
}

func (w *world) Running(_ context.Context, arn string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[arn], nil
}

func (w *world) RunningNames(context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for arn, running := range w.running {
		if running {
			names = append(names, arn[strings.LastIndex(arn, ":")+1:])
		}
	}
	return names, nil
}

// put records a history as if it had come about.
func (w *world) put(t interface {
	Helper()
	Fatal(...any)
}, runs ...run.ID) {
	t.Helper()
	r := w.releaser(w.store.Client())
	for i, id := range runs {
		if _, err := r.Record(context.Background(), service.Request{
			Run: id, Execution: fmt.Sprintf("%s-%d", execution(id), i), Job: config(id), Model: config(id), Config: config(id), Endpoint: name, Kind: w.kind,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) history(t *testing.T) []service.Entry {
	t.Helper()
	s, err := w.releaser(w.store.Client()).Service(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s.History
}

// fakeSageMaker answers with the texts of the real one.
type fakeSageMaker struct {
	mu sync.Mutex
	// serving, pending and status are the endpoint's; without serving there is none.
	serving, pending string
	status           types.EndpointStatus
	configs          map[string][]string // the models of a config
	models           map[string]bool
	packages         []*modelPackage // the oldest first
	// fail gives the error of a call, or nil.
	fail    func(operation, name string) error
	deleted []string
}

type modelPackage struct {
	arn, artifact string
	run           run.ID
	status        types.ModelApprovalStatus
	description   string
	by            *types.UserContext
}

func newSageMaker() *fakeSageMaker {
	return &fakeSageMaker{status: types.EndpointStatusInService, configs: map[string][]string{}, models: map[string]bool{}}
}

func (s *fakeSageMaker) call(operation, name string) (func(), error) {
	s.mu.Lock()
	if s.fail != nil {
		if err := s.fail(operation, name); err != nil {
			s.mu.Unlock()
			return nil, err
		}
	}
	return s.mu.Unlock, nil
}

// made makes the config and the model of a run.
func (s *fakeSageMaker) made(config, model string) {
	s.configs[config], s.models[model] = []string{model}, true
}

func (s *fakeSageMaker) register(id run.ID, status types.ModelApprovalStatus) *modelPackage {
	p := &modelPackage{
		arn:      fmt.Sprintf("arn:aws:sagemaker:us-east-1:000000000000:model-package/%s/%d", name, len(s.packages)+1),
		artifact: "s3://data/fraud/models/" + config(id) + "/output/model.tar.gz", run: id, status: status,
	}
	s.packages = append(s.packages, p)
	return p
}

func validation(format string, a ...any) error {
	return &smithy.GenericAPIError{Code: "ValidationException", Message: fmt.Sprintf(format, a...)}
}

func throttled() error {
	return &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
}

func (s *fakeSageMaker) DescribeEndpoint(_ context.Context, in *sagemaker.DescribeEndpointInput, _ ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointOutput, error) {
	done, err := s.call("DescribeEndpoint", *in.EndpointName)
	if err != nil {
		return nil, err
	}
	defer done()
	if s.serving == "" {
		return nil, validation(`Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/%s".`, *in.EndpointName)
	}
	out := &sagemaker.DescribeEndpointOutput{EndpointName: in.EndpointName, EndpointConfigName: aws.String(s.serving), EndpointStatus: s.status}
	if s.pending != "" {
		out.PendingDeploymentSummary = &types.PendingDeploymentSummary{EndpointConfigName: aws.String(s.pending)}
	}
	return out, nil
}

func (s *fakeSageMaker) DescribeEndpointConfig(_ context.Context, in *sagemaker.DescribeEndpointConfigInput, _ ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointConfigOutput, error) {
	done, err := s.call("DescribeEndpointConfig", *in.EndpointConfigName)
	if err != nil {
		return nil, err
	}
	defer done()
	models, there := s.configs[*in.EndpointConfigName]
	if !there {
		return nil, validation(`Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/%s".`, *in.EndpointConfigName)
	}
	out := &sagemaker.DescribeEndpointConfigOutput{}
	for i, model := range models {
		v := types.ProductionVariant{ModelName: aws.String(model)}
		if i == 0 {
			out.ProductionVariants = append(out.ProductionVariants, v)
		} else {
			out.ShadowProductionVariants = append(out.ShadowProductionVariants, v)
		}
	}
	return out, nil
}

// page gives the names after a token, two at a time.
func page(names []string, contains, token *string) (some []string, next *string) {
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, *contains) || n <= aws.ToString(token) })
	slices.Sort(names)
	if len(names) > 2 {
		return names[:2], aws.String(names[1])
	}
	return names, nil
}

func (s *fakeSageMaker) ListEndpointConfigs(_ context.Context, in *sagemaker.ListEndpointConfigsInput, _ ...func(*sagemaker.Options)) (*sagemaker.ListEndpointConfigsOutput, error) {
	done, err := s.call("ListEndpointConfigs", "")
	if err != nil {
		return nil, err
	}
	defer done()
	var names []string
	for config := range s.configs {
		names = append(names, config)
	}
	out := &sagemaker.ListEndpointConfigsOutput{}
	names, out.NextToken = page(names, in.NameContains, in.NextToken)
	for _, n := range names {
		out.EndpointConfigs = append(out.EndpointConfigs, types.EndpointConfigSummary{EndpointConfigName: aws.String(n)})
	}
	return out, nil
}

func (s *fakeSageMaker) ListModels(_ context.Context, in *sagemaker.ListModelsInput, _ ...func(*sagemaker.Options)) (*sagemaker.ListModelsOutput, error) {
	done, err := s.call("ListModels", "")
	if err != nil {
		return nil, err
	}
	defer done()
	var names []string
	for model := range s.models {
		names = append(names, model)
	}
	out := &sagemaker.ListModelsOutput{}
	names, out.NextToken = page(names, in.NameContains, in.NextToken)
	for _, n := range names {
		out.Models = append(out.Models, types.ModelSummary{ModelName: aws.String(n)})
	}
	return out, nil
}

func (s *fakeSageMaker) DeleteEndpointConfig(_ context.Context, in *sagemaker.DeleteEndpointConfigInput, _ ...func(*sagemaker.Options)) (*sagemaker.DeleteEndpointConfigOutput, error) {
	done, err := s.call("DeleteEndpointConfig", *in.EndpointConfigName)
	if err != nil {
		return nil, err
	}
	defer done()
	if _, there := s.configs[*in.EndpointConfigName]; !there {
		return nil, validation(`Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/%s".`, *in.EndpointConfigName)
	}
	delete(s.configs, *in.EndpointConfigName)
	s.deleted = append(s.deleted, *in.EndpointConfigName)
	return &sagemaker.DeleteEndpointConfigOutput{}, nil
}

func (s *fakeSageMaker) DeleteModel(_ context.Context, in *sagemaker.DeleteModelInput, _ ...func(*sagemaker.Options)) (*sagemaker.DeleteModelOutput, error) {
	done, err := s.call("DeleteModel", *in.ModelName)
	if err != nil {
		return nil, err
	}
	defer done()
	if !s.models[*in.ModelName] {
		return nil, validation(`Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/%s".`, *in.ModelName)
	}
	delete(s.models, *in.ModelName)
	s.deleted = append(s.deleted, *in.ModelName)
	return &sagemaker.DeleteModelOutput{}, nil
}

func (s *fakeSageMaker) ListModelPackages(_ context.Context, in *sagemaker.ListModelPackagesInput, _ ...func(*sagemaker.Options)) (*sagemaker.ListModelPackagesOutput, error) {
	done, err := s.call("ListModelPackages", *in.ModelPackageGroupName)
	if err != nil {
		return nil, err
	}
	defer done()
	out := &sagemaker.ListModelPackagesOutput{}
	for i, p := range slices.Backward(s.packages) {
		if in.ModelApprovalStatus != "" && p.status != in.ModelApprovalStatus {
			continue
		}
		out.ModelPackageSummaryList = append(out.ModelPackageSummaryList, types.ModelPackageSummary{
			ModelPackageArn: aws.String(p.arn), ModelPackageVersion: aws.Int32(int32(i + 1)), ModelApprovalStatus: p.status,
		})
	}
	return out, nil
}

func (s *fakeSageMaker) find(arn string) (*modelPackage, int, error) {
	for i, p := range s.packages {
		if p.arn == arn {
			return p, i, nil
		}
	}
	return nil, 0, validation("ModelPackage %s does not exist.", arn)
}

func (s *fakeSageMaker) DescribeModelPackage(_ context.Context, in *sagemaker.DescribeModelPackageInput, _ ...func(*sagemaker.Options)) (*sagemaker.DescribeModelPackageOutput, error) {
	done, err := s.call("DescribeModelPackage", *in.ModelPackageName)
	if err != nil {
		return nil, err
	}
	defer done()
	p, i, err := s.find(*in.ModelPackageName)
	if err != nil {
		return nil, err
	}
	out := &sagemaker.DescribeModelPackageOutput{
		ModelPackageArn: aws.String(p.arn), ModelPackageGroupName: aws.String(name), ModelPackageVersion: aws.Int32(int32(i + 1)),
		ModelApprovalStatus: p.status, LastModifiedBy: p.by, CustomerMetadataProperties: map[string]string{"run": string(p.run)},
	}
	if p.description != "" {
		out.ApprovalDescription = aws.String(p.description)
	}
	if p.artifact != "" {
		out.InferenceSpecification = &types.InferenceSpecification{Containers: []types.ModelPackageContainerDefinition{{ModelDataUrl: aws.String(p.artifact)}}}
	}
	return out, nil
}

func (s *fakeSageMaker) UpdateModelPackage(_ context.Context, in *sagemaker.UpdateModelPackageInput, _ ...func(*sagemaker.Options)) (*sagemaker.UpdateModelPackageOutput, error) {
	done, err := s.call("UpdateModelPackage", *in.ModelPackageArn)
	if err != nil {
		return nil, err
	}
	defer done()
	p, _, err := s.find(*in.ModelPackageArn)
	if err != nil {
		return nil, err
	}
	p.status, p.description = in.ModelApprovalStatus, aws.ToString(in.ApprovalDescription)
	return &sagemaker.UpdateModelPackageOutput{}, nil
}
