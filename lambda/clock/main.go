// Command clock puts a pipeline's ages into CloudWatch, at a rate of its own: how long ago a tick was processed, and how old the newest data and the model
// in service are. An alarm on an age fires also when nothing ran at all, and however seldom the pipeline runs: it needs to look back no further than the last
// readings.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"sagemaker-datapipeline/lambda/internal/clocks"
	"sagemaker-datapipeline/lambda/internal/deployment"
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
	d, err := deployment.Find(ctx, deployment.DataBucket)
	if err != nil {
		return err
	}
	ages, err := clocks.New(d.Bucket(0), d.Spec.Pipeline).Ages(ctx, now)
	if err != nil {
		return err
	}
	if _, err := cloudwatch.NewFromConfig(d.SDK).PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
		Namespace: aws.String(outcome.MetricNamespace), MetricData: data(d.Spec, ages, now),
	}); err != nil {
		return fmt.Errorf("putting the ages into CloudWatch: %w", err)
	}
	log.Info("read", "pipeline", d.Spec.Name(), "tick", ages[clocks.Tick].String(), "data", ages[clocks.Data].String(), "model", ages[clocks.Model].String())
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
