package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/pipeline"
)

// scalableDimension is the number of machines of a variant.
const scalableDimension = "sagemaker:variant:DesiredInstanceCount"

// scalableTarget names the endpoint's variant to Application Auto Scaling.
func (f *flow) scalableTarget() map[string]any {
	return map[string]any{
		"ServiceNamespace": "sagemaker", "ScalableDimension": scalableDimension,
		"ResourceId": fmt.Sprintf("endpoint/%s/variant/%s", f.props.Name, VariantName),
	}
}

// keepScaling makes the states before an update that find out whether the endpoint is scaled. If so, the number of machines is
// kept, unless their type changes: SageMaker refuses that for a registered target. A target that the configuration doesn't want any
// more is deregistered. Source: the SageMaker developer guide, "Update endpoints that use auto scaling".
func (f *flow) keepScaling(update awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	if f.props.Endpoint.Kind == pipeline.Serverless {
		return update
	}
	target := f.scalableTarget()
	deregister := f.task("Deregister autoscaling", "aws-sdk:applicationautoscaling:deregisterScalableTarget", taskProps{
		comment:   "A registered target refuses other machines, and the configuration may want none.",
		arguments: target,
		step:      stepScale,
		assign:    variables{"retain": false, "scaling": "deregistered"},
		retries:   []*awsstepfunctions.RetryProps{f.scalingRetry()},
	})
	deregister.Next(update)
	look := f.task("Look at autoscaling", "aws-sdk:applicationautoscaling:describeScalableTargets", taskProps{
		arguments: map[string]any{
			"ServiceNamespace": "sagemaker", "ScalableDimension": scalableDimension, "ResourceIds": []any{target["ResourceId"]},
		},
		step:    stepScale,
		assign:  variables{"scaled": jsonata(`$count($states.result.ScalableTargets) > 0`), "retain": false},
		retries: []*awsstepfunctions.RetryProps{f.scalingRetry()},
	})
	scaled := f.choice("Scaled?", "", nil)
	look.Next(scaled)
	if f.props.Endpoint.Autoscaling == nil {
		scaled.When(condition(`$scaled`), deregister, nil).
			Otherwise(update)
		return look
	}
	machines := f.task("Look at machines", "aws-sdk:sagemaker:describeEndpointConfig", taskProps{
		comment:   "Of the config that isn't this run's, on the way to it and back.",
		arguments: map[string]any{"EndpointConfigName": jsonata(`$putBack ? $wanted : $endpoint.config`)},
		assign: variables{"retain": jsonata(fmt.Sprintf(`$states.result.ProductionVariants[0].VariantName = '%s' and $states.result.ProductionVariants[0].InstanceType = '%s'`,
			VariantName, f.props.Endpoint.InstanceType))},
		retries: []*awsstepfunctions.RetryProps{f.retry(2, "States.TaskFailed")},
		// A config that is gone, or isn't this pipeline's: nothing is known about its machines.
		onError:     deregister,
		keepFailure: true,
	})
	same := f.choice("Same machines?", "", nil)
	machines.Next(same)
	same.When(condition(`$retain`), update, nil).
		Otherwise(deregister)
	scaled.When(condition(`$scaled`), machines, nil).
		Otherwise(update)
	return look
}

// registerScaling makes the states that have the endpoint scaled, which is possible only when it exists: by the workflow, not by
// CloudFormation. After them comes then, back for a model that was put back, or the failure where an update was refused. Without
// autoscaling there are none.
func (f *flow) registerScaling(then, back awsstepfunctions.IChainable) (recorded, putBack awsstepfunctions.IChainable) {
	p := f.props.Endpoint.Autoscaling
	if p == nil {
		return then, back
	}
	target, policy := f.scalableTarget(), f.scalableTarget()
	target["MinCapacity"], target["MaxCapacity"] = p.MinInstances, p.MaxInstances
	policy["PolicyName"], policy["PolicyType"] = f.props.Name+"-invocations", "TargetTrackingScaling"
	policy["TargetTrackingScalingPolicyConfiguration"] = map[string]any{
		"TargetValue":                   p.InvocationsPerInstance,
		"PredefinedMetricSpecification": map[string]any{"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
	}
	register := f.task("Register autoscaling", "aws-sdk:applicationautoscaling:registerScalableTarget", taskProps{
		comment: "Nothing happens twice: what is registered is changed to this.", arguments: target, step: stepScale,
		retries: []*awsstepfunctions.RetryProps{f.scalingRetry()},
	})
	attach := f.task("Attach scaling policy", "aws-sdk:applicationautoscaling:putScalingPolicy", taskProps{
		arguments: policy, step: stepScale,
		assign: variables{"scaling": fmt.Sprintf("%d to %d machines, so many that each is asked %d times a minute",
			p.MinInstances, p.MaxInstances, p.InvocationsPerInstance)},
		retries: []*awsstepfunctions.RetryProps{f.scalingRetry()},
	})
	which := f.choice("Was it put back?", "", nil)
	register.Next(attach)
	attach.Next(which)
	which.When(condition(`$putBack`), back, nil).
		When(condition(`$exists($undone.step)`), f.failed, when("The update was refused.", nil)).
		Otherwise(then)
	return register, register
}

// scalingRetry outlasts a burst of requests, and a change of the target that is still going on.
func (f *flow) scalingRetry() *awsstepfunctions.RetryProps { return f.retry(3, "States.TaskFailed") }

// scalingPermissions are what the workflow calls for autoscaling, and what Application Auto Scaling calls as it. Source of the
// latter: the SageMaker developer guide, "Auto scaling prerequisites".
func (f *flow) scalingPermissions() []awsiam.PolicyStatement {
	if f.props.Endpoint.Kind != pipeline.Endpoint {
		return nil
	}
	anything := jsii.String("*")
	target := f.stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("application-autoscaling"), Resource: jsii.String("scalable-target"), ResourceName: anything,
	})
	change := []string{"application-autoscaling:DeregisterScalableTarget"}
	statements := []awsiam.PolicyStatement{
		allow("LookAtAutoscaling", []string{"application-autoscaling:DescribeScalableTargets"}, anything), // has no resource
	}
	if f.props.Endpoint.Autoscaling != nil {
		change = append(change, "application-autoscaling:RegisterScalableTarget", "application-autoscaling:PutScalingPolicy")
		alarms := f.stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("cloudwatch"), Resource: jsii.String("alarm"), ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
			ResourceName: jsii.String(fmt.Sprintf("TargetTracking-endpoint/%s/variant/%s-*", f.props.Name, VariantName)),
		})
		statements = append(statements,
			allow("LetItScale", []string{"sagemaker:UpdateEndpointWeightsAndCapacities"}, f.resource("endpoint", f.props.Name)),
			allow("KeepItsAlarms", []string{"cloudwatch:PutMetricAlarm", "cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms"}, alarms),
			allowIf("MakeItsRole", []string{"iam:CreateServiceLinkedRole"}, map[string]any{
				"StringLike": map[string]any{"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"},
			}, f.stack.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("iam"), Region: jsii.String(""), Resource: jsii.String("role"),
				ResourceName: jsii.String("aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"),
			})))
	}
	// The id of a target is a hash that Application Auto Scaling chooses.
	return append(statements, allowIf("ChangeAutoscaling", change, map[string]any{
		"StringEquals": map[string]any{
			"application-autoscaling:service-namespace": "sagemaker", "application-autoscaling:scalable-dimension": scalableDimension,
		},
	}, target))
}
