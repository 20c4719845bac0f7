// Package deployment is what a function finds where it was deployed: the spec of its pipeline beside the binary, its settings in the environment, and
// AWS.
package deployment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/pipeline"
)

// DataBucket is the setting that every function has: the name of the bucket in which the pipeline's objects are.
const DataBucket = "DATA_BUCKET"

// dataKey is the setting with the ARN of the key that encrypts them; empty: the bucket's default.
const dataKey = "DATA_KEY_ARN"

// Deployment is one function's.
type Deployment struct {
	Spec pipeline.Spec
	SDK  aws.Config
}

// Find reads the environment and the spec. Everything that is missing is named at once.
func Find(ctx context.Context, settings ...string) (Deployment, error) {
	spec, err := readSpec()
	if err := errors.Join(complete(settings), err); err != nil {
		return Deployment{}, err
	}
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return Deployment{}, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	return Deployment{Spec: spec, SDK: sdk}, nil
}

// complete says which settings the environment lacks.
func complete(settings []string) error {
	missing := slices.DeleteFunc(slices.Clone(settings), func(name string) bool { return os.Getenv(name) != "" })
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the function's environment lacks %s: deploy the pipeline again", strings.Join(missing, ", "))
}

func readSpec() (pipeline.Spec, error) {
	binary, err := os.Executable()
	if err != nil {
		return pipeline.Spec{}, fmt.Errorf("finding the deployment package: %w", err)
	}
	return pipeline.Read(filepath.Join(filepath.Dir(binary), pipeline.FileName))
}

// Bucket is the data bucket, to which as many streams are written at a time.
func (d Deployment) Bucket(streams int, options ...func(*s3.Options)) *objects.Bucket {
	client := s3.NewFromConfig(d.SDK, append(options, func(o *s3.Options) {
		// An endpoint of one's own (an emulator) has no name for each bucket.
		o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})...)
	return objects.NewBucket(client, os.Getenv(DataBucket), os.Getenv(dataKey), streams)
}
