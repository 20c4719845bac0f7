package workflow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/pipeline"
)

// TestWhatSageMakerRefusesOrIgnoresOfAnEndpointIsRefusedWithTheRemedy is what would else be found by the first update.
func TestWhatSageMakerRefusesOrIgnoresOfAnEndpointIsRefusedWithTheRemedy(t *testing.T) {
	machine := func(change func(*constructs.EndpointProps)) constructs.EndpointProps {
		p := constructs.EndpointProps{InstanceType: "ml.m5.large", InstanceCount: 2}
		change(&p)
		return p
	}
	traffic := func(kind string, percent, wait int) constructs.EndpointProps {
		return machine(func(p *constructs.EndpointProps) {
			p.Traffic = &constructs.TrafficProps{Kind: kind, Percent: percent, Wait: awscdk.Duration_Seconds(jsii.Number(wait))}
		})
	}
	serverless := func(memory, concurrency int) constructs.EndpointProps {
		return constructs.EndpointProps{Kind: pipeline.Serverless, Serverless: &constructs.ServerlessProps{MemoryMiB: memory, MaxConcurrency: concurrency}}
	}
	capturing := func(p constructs.EndpointProps, percent int) constructs.EndpointProps {
		p.Capture = &constructs.CaptureProps{Percent: percent}
		return p
	}
	for _, c := range []struct {
		name  string
		props constructs.EndpointProps
		want  string
	}{
		{"another kind", constructs.EndpointProps{Kind: "async"}, `use "endpoint", "serverless" or "batch"`},
		{"a canary of one machine", machine(func(p *constructs.EndpointProps) {
			p.InstanceCount, p.Traffic = 1, &constructs.TrafficProps{Kind: constructs.Canary, Percent: 10}
		}), "use at least 2"},
		{"a canary of most machines", traffic(constructs.Canary, 60, 0), "use 1 to 50"},
		{"steps that are too small", traffic(constructs.Linear, 5, 0), "use 10 to 50"},
		{"another way of traffic", traffic("rolling", 10, 0), `use "allAtOnce", "canary" or "linear"`},
		{"a step of more than an hour", traffic(constructs.Canary, 10, 3601), "SageMaker takes an hour each"},
		{"steps that take longer than a deployment may", traffic(constructs.Linear, 10, 3600), "8 hours"},
		{"autoscaling from no machine", machine(func(p *constructs.EndpointProps) {
			p.Autoscaling = &constructs.AutoscalingProps{MaxInstances: 2, InvocationsPerInstance: 1}
		}), "at least 1 machine"},
		{"capture of nothing", capturing(machine(func(*constructs.EndpointProps) {}), 0), "use 1 to 100"},
		{"a serverless endpoint without a size", constructs.EndpointProps{Kind: pipeline.Serverless}, "the size of a serverless endpoint"},
		{"a serverless endpoint of an odd size", serverless(1500, 5), "use 1024, 2048"},
		{"a serverless endpoint for too many", serverless(1024, 300), "use 1 to 200"},
		{"a serverless endpoint that captures", capturing(serverless(1024, 5), 10), "leave them out"},
		{"a batch without a key", constructs.EndpointProps{Kind: pipeline.Batch}, "KeyColumns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("refused"), &awscdk.StackProps{
				Env: &awscdk.Environment{Account: jsii.String("000000000000"), Region: jsii.String("us-east-1")},
			})
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, c.want) || !strings.HasPrefix(said, "the workflow ml-test-refused ") {
					t.Errorf("it said %q, which does not contain %q", said, c.want)
				}
			}()
			constructs.NewWorkflow(stack, "Workflow", &constructs.WorkflowProps{
				Name: "ml-test-refused", Pipeline: "refused",
				Bucket:   awss3.Bucket_FromBucketName(stack, jsii.String("Bucket"), jsii.String(bucketName)),
				Topic:    awssns.Topic_FromTopicArn(stack, jsii.String("Topic"), jsii.String(topicARN)),
				Training: constructs.TrainingProps{InstanceTypes: []string{"ml.m5.large"}, Hyperparameters: map[string]string{"num_round": "5"}},
				Endpoint: c.props,
			})
		})
	}
}
