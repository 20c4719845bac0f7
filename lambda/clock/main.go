// Command clock puts a pipeline's ages into CloudWatch, at a rate of its own: how long ago a tick was processed, and how old the newest data and the model
// in service are. An alarm on an age fires also when nothing ran at all, and however seldom the pipeline runs: it needs to look back no further than the last
// readings.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/clocks"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	lambda.Start(func(ctx context.Context) error {
		err := handle(ctx, log, time.Now())
		if err != nil {
			log.Error("clock ended with an error", "error", err.Error())
		}
		return err
	})
}

// handle puts the ages that the clocks have at a time.
func handle(ctx context.Context, log *slog.Logger, now time.Time) error {
	name := os.Getenv("DATA_BUCKET")
	if name == "" {
		return errors.New("the function's environment lacks DATA_BUCKET: deploy the pipeline again")
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the deployment package: %w", err)
	}
	spec, err := pipeline.Read(filepath.Join(filepath.Dir(binary), pipeline.FileName))
	if err != nil {
		return err
	}
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("loading the AWS configuration: %w", err)
	}
	store := s3.NewFromConfig(sdk, func(o *s3.Options) {
		// An endpoint of one's own (an emulator) has no name for each bucket.
		o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})
	ages, err := clocks.New(objects.NewBucket(store, name, os.Getenv("DATA_KEY_ARN"), 0), spec.Pipeline).Ages(ctx, now)
	if err != nil {
		return err
	}
	if _, err := cloudwatch.NewFromConfig(sdk).PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
		Namespace: aws.String(outcome.MetricNamespace), MetricData: data(spec, ages, now),
	}); err != nil {
		return fmt.Errorf("putting the ages into CloudWatch: %w", err)
	}
	log.Info("read", "pipeline", spec.Name(), "tick", ages[clocks.Tick].String(), "data", ages[clocks.Data].String(), "model", ages[clocks.Model].String())
	return nil
}

// data are the ages in seconds. A pipeline that only exports has no model that could be old.
func data(spec pipeline.Spec, ages map[clocks.Clock]time.Duration, now time.Time) []types.MetricDatum {
	put := []struct {
		metric string
		clock  clocks.Clock
	}{{outcome.TickAgeMetric, clocks.Tick}, {outcome.DataAgeMetric, clocks.Data}, {outcome.ModelAgeMetric, clocks.Model}}
	if spec.Deploy == "" {
		put = put[:2]
	}
	data := make([]types.MetricDatum, len(put))
	for i, p := range put {
		data[i] = types.MetricDatum{
			MetricName: aws.String(p.metric), Value: aws.Float64(ages[p.clock].Seconds()), Unit: types.StandardUnitSeconds, Timestamp: aws.Time(now),
			Dimensions: []types.Dimension{{Name: aws.String("Pipeline"), Value: aws.String(spec.Name())}},
		}
	}
	return data
}
