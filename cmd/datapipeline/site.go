package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/pipeline"
)

// site is a deployed pipeline: its export function, and whatever else a command asks of AWS.
type site struct {
	asker

	config      *config.Config
	environment string
	// pipeline is the pipeline's name in the configuration, and name that of everything it has in SageMaker: "ml-dev-sales". They are empty for
	// all pipelines of an environment.
	pipeline, name string
	settings       config.Environment

	sdk       aws.Config
	sagemaker *sagemaker.Client
	scaling   *applicationautoscaling.Client
	states    *sfn.Client
	objects   *s3.Client
	functions *lambda.Client
}

func newSite(ctx context.Context, c *config.Config, environment, name string, e config.Environment) (*site, error) {
	sdk, err := loadSDK(ctx, e.Region)
	if err != nil {
		return nil, err
	}
	s := &site{
		config: c, environment: environment, pipeline: name, settings: e, sdk: sdk,
		sagemaker: sagemaker.NewFromConfig(sdk), scaling: applicationautoscaling.NewFromConfig(sdk), states: sfn.NewFromConfig(sdk),
		functions: lambda.NewFromConfig(sdk),
		// The emulator's buckets have no host names of their own; of AWS's each has one, and their names have no dots.
		objects: s3.NewFromConfig(sdk, func(o *s3.Options) {
			o.UsePathStyle = o.BaseEndpoint != nil
			o.DisableLogOutputChecksumValidationSkipped = true
		}),
	}
	if name != "" {
		s.name = pipeline.Name(c.Project, environment, name)
		s.asker = newFunction(sdk, c.Project, environment, name, e)
	}
	return s, nil
}

// machine is the ARN of the pipeline's workflow.
func (s *site) machine() string {
	return fmt.Sprintf("arn:%s:states:%s:%s:stateMachine:%s", partition(s.settings.Region), s.settings.Region, s.settings.Account, s.name)
}

// bucket is the name of the data bucket, as the export function was told it.
func (s *site) bucket(ctx context.Context) (string, error) {
	f, err := s.functions.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(s.name + "-export")})
	if err != nil {
		return "", fmt.Errorf("looking up the data bucket in the settings of %s-export: %w: is the pipeline deployed there?", s.name, err)
	}
	if f.Environment == nil || f.Environment.Variables["DATA_BUCKET"] == "" {
		return "", fmt.Errorf("the function %s-export has no DATA_BUCKET: deploy the pipeline again", s.name)
	}
	return f.Environment.Variables["DATA_BUCKET"], nil
}

// maxObject bounds what a command reads of one object: manifests with many files are the largest.
const maxObject = 256 << 20

var errNoObject = errors.New("no such object")

// read reads an object whole.
func (s *site) read(ctx context.Context, bucket, key string) ([]byte, error) {
	o, err := s.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if _, missing := errors.AsType[*s3types.NoSuchKey](err); missing {
		return nil, fmt.Errorf("s3://%s/%s: %w", bucket, key, errNoObject)
	}
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	defer o.Body.Close()
	b, err := io.ReadAll(io.LimitReader(o.Body, maxObject+1))
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	if len(b) > maxObject {
		return nil, fmt.Errorf("s3://%s/%s is larger than %d bytes: it is nothing that a pipeline wrote", bucket, key, maxObject)
	}
	return b, nil
}
