package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	paused "sagemaker-datapipeline/lambda/pause"
)

// destroy takes down what no stack holds: the workflow makes endpoint, configs, models and packages, so that neither a deploy nor the deletion of a
// stack takes a model out of service. It is the only thing that does.
func destroy(ctx context.Context, o options, s *site, out io.Writer) error {
	if o.confirm != s.name {
		return fmt.Errorf("destroy: this deletes the endpoint %s and every model of the pipeline: say so with -confirm %s", s.name, s.name)
	}
	d := &destruction{site: s, out: out}
	for _, step := range []func(context.Context) error{d.pause, d.stop, d.endpoint, d.configs, d.models, d.packages} {
		if err := step(ctx); err != nil {
			return d.halfway(err)
		}
	}
	kept := "runs, models' artifacts and clocks in S3 are kept: -data deletes them"
	if o.data {
		if err := d.data(ctx); err != nil {
			return d.halfway(err)
		}
		kept = "training jobs can't be deleted: SageMaker keeps their descriptions"
	}
	return d.say("%s; the pause stays, until somebody takes resume or 30 days are over; now take the stack down: npx cdk destroy '%s/%s'", kept, s.environment, s.pipeline)
}

// destruction is a destroy on its way. Each step can be given again: what is gone is passed over.
type destruction struct {
	*site
	out io.Writer
}

// halfway is an error after which something is gone already.
func (d *destruction) halfway(err error) error {
	return &answerError{err.Error() + ": give the command again, it goes on from here"}
}

func (d *destruction) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(d.out, format+"\n", args...); err != nil {
		return fmt.Errorf("printing what was done: %w", err)
	}
	return nil
}

// pause keeps the schedule from starting another run meanwhile.
func (d *destruction) pause(ctx context.Context) error {
	if _, err := d.ask(ctx, pausing{Command: "pause", By: "destroy", Reason: "the pipeline is being destroyed", Until: time.Now().UTC().Add(longestPause - time.Minute).Format(time.RFC3339)}); err != nil {
		return d.say("not paused (%v): nothing starts another run if the stack is gone", err)
	}
	return d.say("paused")
}

// stop stops what is running. A training job that an execution waits for is stopped by Step Functions.
func (d *destruction) stop(ctx context.Context) error {
	for _, machine := range []string{d.machine(), d.machine() + "-export"} {
		pages := sfn.NewListExecutionsPaginator(d.states, &sfn.ListExecutionsInput{StateMachineArn: &machine, StatusFilter: sfntypes.ExecutionStatusRunning})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if _, gone := errors.AsType[*sfntypes.StateMachineDoesNotExist](err); gone {
				break
			}
			if err != nil {
				return fmt.Errorf("listing the executions of %s: %w", machine, err)
			}
			for _, e := range page.Executions {
				if _, err := d.states.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: e.ExecutionArn, Error: aws.String("Destroyed"), Cause: aws.String("a person destroys the pipeline")}); err != nil {
					return fmt.Errorf("stopping %s: %w", aws.ToString(e.ExecutionArn), err)
				}
				if err := d.say("stopped %s", aws.ToString(e.ExecutionArn)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// endpointTime bounds the deletion of an endpoint, which takes minutes.
const endpointTime = 30 * time.Minute

// endpoint deletes the scaling and the endpoint, and waits until it is gone: its config can't be deleted before.
func (d *destruction) endpoint(ctx context.Context) error {
	e, err := d.sagemaker.DescribeEndpoint(ctx, &sagemaker.DescribeEndpointInput{EndpointName: &d.name})
	if absent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the endpoint %s: %w", d.name, err)
	}
	for _, variant := range e.ProductionVariants {
		resource := "endpoint/" + d.name + "/variant/" + aws.ToString(variant.VariantName)
		_, err := d.scaling.DeregisterScalableTarget(ctx, &applicationautoscaling.DeregisterScalableTargetInput{
			ResourceId: &resource, ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ScalableDimension: scalingtypes.ScalableDimensionSageMakerVariantDesiredInstanceCount,
		})
		if _, none := errors.AsType[*scalingtypes.ObjectNotFoundException](err); err != nil && !none {
			return fmt.Errorf("taking the scaling of %s away: %w", resource, err)
		}
	}
	if _, err := d.sagemaker.DeleteEndpoint(ctx, &sagemaker.DeleteEndpointInput{EndpointName: &d.name}); err != nil && !absent(err) {
		return fmt.Errorf("deleting the endpoint %s: %w: an endpoint that is being changed can be deleted when that is over", d.name, err)
	}
	if err := sagemaker.NewEndpointDeletedWaiter(d.sagemaker).Wait(ctx, &sagemaker.DescribeEndpointInput{EndpointName: &d.name}, endpointTime); err != nil {
		return fmt.Errorf("waiting until the endpoint %s is gone: %w", d.name, err)
	}
	return d.say("deleted the endpoint %s", d.name)
}

// ours says whether a name is of this pipeline, and not of one whose name only begins alike: a run's id follows.
func (d *destruction) ours(name string) bool {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(d.name) + `-[0-9]{8}t[0-9]{6}z(-[a-z0-9]+)*$`).MatchString(name)
}

func (d *destruction) configs(ctx context.Context) error {
	var names []string
	pages := sagemaker.NewListEndpointConfigsPaginator(d.sagemaker, &sagemaker.ListEndpointConfigsInput{NameContains: &d.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing the endpoint configs of %s: %w", d.name, err)
		}
		for _, c := range page.EndpointConfigs {
			names = append(names, aws.ToString(c.EndpointConfigName))
		}
	}
	return d.each(names, "endpoint config", func(name string) error {
		_, err := d.sagemaker.DeleteEndpointConfig(ctx, &sagemaker.DeleteEndpointConfigInput{EndpointConfigName: &name})
		return err
	})
}

func (d *destruction) models(ctx context.Context) error {
	var names []string
	pages := sagemaker.NewListModelsPaginator(d.sagemaker, &sagemaker.ListModelsInput{NameContains: &d.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing the models of %s: %w", d.name, err)
		}
		for _, m := range page.Models {
			names = append(names, aws.ToString(m.ModelName))
		}
	}
	return d.each(names, "model", func(name string) error {
		_, err := d.sagemaker.DeleteModel(ctx, &sagemaker.DeleteModelInput{ModelName: &name})
		return err
	})
}

// each deletes the names that are this pipeline's.
func (d *destruction) each(names []string, what string, remove func(name string) error) error {
	for _, name := range names {
		if !d.ours(name) {
			continue
		}
		if err := remove(name); err != nil && !absent(err) {
			return fmt.Errorf("deleting the %s %s: %w", what, name, err)
		}
		if err := d.say("deleted the %s %s", what, name); err != nil {
			return err
		}
	}
	return nil
}

// packages empties the model package group. The group itself is the stack's.
func (d *destruction) packages(ctx context.Context) error {
	var packages []string
	pages := sagemaker.NewListModelPackagesPaginator(d.sagemaker, &sagemaker.ListModelPackagesInput{ModelPackageGroupName: &d.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if groupGone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing the model packages of %s: %w", d.name, err)
		}
		for _, p := range page.ModelPackageSummaryList {
			packages = append(packages, aws.ToString(p.ModelPackageArn))
		}
	}
	for _, arn := range packages {
		if _, err := d.sagemaker.DeleteModelPackage(ctx, &sagemaker.DeleteModelPackageInput{ModelPackageName: &arn}); err != nil {
			return fmt.Errorf("deleting the model package %s: %w", arn, err)
		}
		if err := d.say("deleted the model package %s", arn); err != nil {
			return err
		}
	}
	return nil
}

// data deletes every version of every object of the pipeline but the pause, without which the schedule of a stack that is still there would begin
// anew.
func (d *destruction) data(ctx context.Context) error {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return err
	}
	prefix, n := d.pipeline+"/", 0
	pages := s3.NewListObjectVersionsPaginator(d.objects, &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing s3://%s/%s: %w", bucket, prefix, err)
		}
		var gone []s3types.ObjectIdentifier
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == paused.Key(d.pipeline) && aws.ToBool(v.IsLatest) {
				continue
			}
			gone = append(gone, s3types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, m := range page.DeleteMarkers {
			gone = append(gone, s3types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
		}
		if len(gone) == 0 {
			continue
		}
		deleted, err := d.objects.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &s3types.Delete{Objects: gone, Quiet: aws.Bool(true)}})
		if err != nil {
			return fmt.Errorf("deleting objects below s3://%s/%s: %w", bucket, prefix, err)
		}
		if len(deleted.Errors) > 0 {
			first := deleted.Errors[0]
			return fmt.Errorf("deleting s3://%s/%s: %s: %s", bucket, aws.ToString(first.Key), aws.ToString(first.Code), aws.ToString(first.Message))
		}
		n += len(gone)
	}
	return d.say("deleted %d versions of objects below s3://%s/%s", n, bucket, prefix)
}
