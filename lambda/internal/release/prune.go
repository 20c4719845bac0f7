package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
)

const (
	// maxDeleted bounds the deletions of one call: the workflow waits for them. The next release goes on.
	maxDeleted = 100
	// maxPages bounds each listing. A page has 100 names, the oldest first.
	maxPages = 20
	pageSize = 100
)

// Prune deletes endpoint configs and models that runs of this pipeline made and nobody needs any more: of runs before the one in service, and neither
// among the last models of the history, nor behind the endpoint, nor waiting for a person, nor of an execution that runs. Artifacts and scores stay.
//
// What it doesn't know it doesn't guess: when one of these can't be read, nothing is deleted.
func (r *Releaser) Prune(ctx context.Context, keep int) (service.Pruned, error) {
	s, _, err := r.readService(ctx)
	if err != nil {
		return service.Pruned{}, err
	}
	now, some := s.Now()
	if !some {
		return service.Pruned{Deleted: []string{}}, nil
	}
	old, err := r.old(ctx, now.Run)
	if err != nil {
		return service.Pruned{}, err
	}
	needed, err := r.needed(ctx, s, keep)
	if err != nil {
		return service.Pruned{}, err
	}
	pruned := service.Pruned{Deleted: []string{}}
	var failed []error
	for _, thing := range old {
		if needed.names[thing.name] || needed.runs[thing.run] {
			continue
		}
		if len(pruned.Deleted) == maxDeleted || ctx.Err() != nil {
			pruned.More = true
			break
		}
		if err := r.remove(ctx, thing); err != nil {
			failed = append(failed, err)
			if thing.kind == configKind {
				needed.runs[thing.run] = true // a config outlives no model of its run
			}
			continue
		}
		pruned.Deleted = append(pruned.Deleted, thing.name)
	}
	if err := errors.Join(failed...); err != nil {
		return service.Pruned{}, fmt.Errorf("deleted %s, and not all: %w", strings.Join(append(pruned.Deleted, "nothing more"), ", "), err)
	}
	return pruned, nil
}

// needed is what must not be deleted, by name and by run.
type needed struct {
	names map[string]bool
	runs  map[run.ID]bool
}

// needed asks the endpoint last: it is what the deletions follow most closely.
func (r *Releaser) needed(ctx context.Context, s service.Service, keep int) (needed, error) {
	n := needed{names: map[string]bool{}, runs: map[run.ID]bool{}}
	for _, e := range last(s, keep) {
		n.names[e.Model], n.names[e.Config] = true, true
	}
	running, err := r.Executions.RunningNames(ctx)
	if err != nil {
		return needed{}, fmt.Errorf("looking for executions that run: %w", err)
	}
	for _, name := range running {
		// An execution is named after its run, with a suffix when the run was started again.
		if id, err := run.ParseID(name[:min(len(name), run.IDLength)]); err == nil {
			n.runs[id] = true
		}
	}
	if err := r.waiting(ctx, n.runs); err != nil {
		return needed{}, err
	}
	// A batch has none, unless the pipeline had one before: nobody takes that down but a person.
	e, err := r.endpoint(ctx)
	if err != nil {
		return needed{}, err
	}
	for _, config := range e.configs {
		n.names[config] = true
		models, err := r.modelsOf(ctx, config)
		if err != nil {
			return needed{}, err
		}
		for _, model := range models {
			n.names[model] = true
		}
	}
	return n, nil
}

// last gives the newest entries of the history that name so many different models: one that was rolled back to has several.
func last(s service.Service, keep int) []service.Entry {
	models := map[string]bool{}
	for i, e := range s.History {
		if models[e.Model] = true; len(models) > keep {
			return s.History[:i]
		}
	}
	return s.History
}

// waiting adds the runs whose registered models wait for a person.
func (r *Releaser) waiting(ctx context.Context, runs map[run.ID]bool) error {
	in := &sagemaker.ListModelPackagesInput{
		ModelPackageGroupName: aws.String(r.Spec.Name()), ModelApprovalStatus: types.ModelApprovalStatusPendingManualApproval, MaxResults: aws.Int32(pageSize),
	}
	for range maxPages {
		out, err := r.SageMaker.ListModelPackages(ctx, in)
		if absent(err) {
			return nil // no group: nothing is registered
		}
		if err != nil {
			return fmt.Errorf("looking for models that wait for approval: %w", err)
		}
		for _, p := range out.ModelPackageSummaryList {
			id, err := r.runOfPackage(ctx, aws.ToString(p.ModelPackageArn))
			if err != nil {
				return err
			}
			runs[id] = true
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
	return fmt.Errorf("more than %d models of %s wait for approval: decide on the old ones, nothing is deleted before", maxPages*pageSize, r.Spec.Name())
}

// kind orders what is deleted of one run: configs before the models that they name.
type kind int

const (
	configKind kind = iota
	modelKind
)

type thing struct {
	kind kind
	name string
	run  run.ID
}

// old lists the configs and models of runs before the one in service, the oldest run first.
func (r *Releaser) old(ctx context.Context, before run.ID) ([]thing, error) {
	prefix := aws.String(r.Spec.Name() + "-")
	var all []thing
	add := func(k kind, name *string) {
		if id, ours := r.runOf(aws.ToString(name)); ours && id < before {
			all = append(all, thing{kind: k, name: *name, run: id})
		}
	}
	if r.Spec.Deploy != pipeline.Batch {
		in := &sagemaker.ListEndpointConfigsInput{NameContains: prefix, SortBy: types.EndpointConfigSortKeyCreationTime, SortOrder: types.OrderKeyAscending, MaxResults: aws.Int32(pageSize)}
		for range maxPages {
			out, err := r.SageMaker.ListEndpointConfigs(ctx, in)
			if err != nil {
				return nil, fmt.Errorf("listing the endpoint configs of %s: %w", r.Spec.Name(), err)
			}
			for _, c := range out.EndpointConfigs {
				add(configKind, c.EndpointConfigName)
			}
			if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
				break
			}
		}
	}
	in := &sagemaker.ListModelsInput{NameContains: prefix, SortBy: types.ModelSortKeyCreationTime, SortOrder: types.OrderKeyAscending, MaxResults: aws.Int32(pageSize)}
	for range maxPages {
		out, err := r.SageMaker.ListModels(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("listing the models of %s: %w", r.Spec.Name(), err)
		}
		for _, m := range out.Models {
			add(modelKind, m.ModelName)
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b thing) int {
		if a.run != b.run {
			return strings.Compare(string(a.run), string(b.run))
		}
		return int(a.kind) - int(b.kind)
	})
	return all, nil
}

// remove deletes a config or a model. One that is gone already is deleted.
func (r *Releaser) remove(ctx context.Context, t thing) error {
	var err error
	switch t.kind {
	case configKind:
		_, err = r.SageMaker.DeleteEndpointConfig(ctx, &sagemaker.DeleteEndpointConfigInput{EndpointConfigName: aws.String(t.name)})
	case modelKind:
		_, err = r.SageMaker.DeleteModel(ctx, &sagemaker.DeleteModelInput{ModelName: aws.String(t.name)})
	}
	if err != nil && !absent(err) {
		return fmt.Errorf("deleting %s: %w", t.name, err)
	}
	return nil
}
