package emulator_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

func scalable(endpoint string) *applicationautoscaling.RegisterScalableTargetInput {
	return &applicationautoscaling.RegisterScalableTargetInput{
		ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceId: aws.String("endpoint/" + endpoint + "/variant/primary"),
		ScalableDimension: scalingtypes.ScalableDimensionSageMakerVariantDesiredInstanceCount,
		MinCapacity:       aws.Int32(2), MaxCapacity: aws.Int32(4),
	}
}

// deployableOn creates an endpoint configuration of the model on a type of instance.
func deployableOn(t *testing.T, name, model string, instance types.ProductionVariantInstanceType) {
	t.Helper()
	if _, err := local.sm.CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String(name),
		ProductionVariants: []types.ProductionVariant{{
			VariantName: aws.String("primary"), ModelName: aws.String(model), InstanceType: instance, InitialInstanceCount: aws.Int32(1),
		}},
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAVariantIsScaledFromItsRegistrationToItsEnd(t *testing.T) {
	client := applicationautoscaling.NewFromConfig(local.emulator.AWSConfig())
	deployable(t, "scaled", trained(t))
	deployableOn(t, "scaled-other-type", "scaled", types.ProductionVariantInstanceTypeMlM5Xlarge)
	createEndpoint(t, "scaled", "scaled")
	awaitEndpoint(t, "scaled", types.EndpointStatusInService)
	if _, err := client.RegisterScalableTarget(t.Context(), scalable("scaled")); err != nil {
		t.Fatalf("registering: %v", err)
	}
	await(t, "the capacity to be the target's least", func() bool {
		out := describeEndpoint(t, "scaled")
		return out.EndpointStatus == types.EndpointStatusInService && *out.ProductionVariants[0].CurrentInstanceCount == 2
	})
	policy, err := client.PutScalingPolicy(t.Context(), &applicationautoscaling.PutScalingPolicyInput{
		PolicyName: aws.String("load"), PolicyType: scalingtypes.PolicyTypeTargetTrackingScaling,
		ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceId: scalable("scaled").ResourceId,
		ScalableDimension: scalingtypes.ScalableDimensionSageMakerVariantDesiredInstanceCount,
		TargetTrackingScalingPolicyConfiguration: &scalingtypes.TargetTrackingScalingPolicyConfiguration{
			TargetValue: aws.Float64(700),
			PredefinedMetricSpecification: &scalingtypes.PredefinedMetricSpecification{
				PredefinedMetricType: scalingtypes.MetricTypeSageMakerVariantInvocationsPerInstance,
			},
		},
	})
	if err != nil || aws.ToString(policy.PolicyARN) == "" {
		t.Fatalf("putting the policy: %v", err)
	}
	targets := func() []scalingtypes.ScalableTarget {
		t.Helper()
		out, err := client.DescribeScalableTargets(t.Context(), &applicationautoscaling.DescribeScalableTargetsInput{
			ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceIds: []string{"endpoint/scaled/variant/primary"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.ScalableTargets
	}
	policies := func() []scalingtypes.ScalingPolicy {
		t.Helper()
		out, err := client.DescribeScalingPolicies(t.Context(), &applicationautoscaling.DescribeScalingPoliciesInput{
			ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceId: aws.String("endpoint/scaled/variant/primary"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.ScalingPolicies
	}
	if found := targets(); len(found) != 1 || *found[0].MinCapacity != 2 || *found[0].MaxCapacity != 4 || found[0].CreationTime == nil {
		t.Errorf("the targets are %+v", found)
	}
	if found := policies(); len(found) != 1 || *found[0].TargetTrackingScalingPolicyConfiguration.TargetValue != 700 {
		t.Errorf("the policies are %+v", found)
	}

	update := func() error {
		_, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
			EndpointName: aws.String("scaled"), EndpointConfigName: aws.String("scaled-other-type"),
		})
		return err
	}
	wantError(t, update(), "ValidationException", "Deregister it as a scalable target")
	if _, err := client.DeregisterScalableTarget(t.Context(), &applicationautoscaling.DeregisterScalableTargetInput{
		ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceId: aws.String("endpoint/scaled/variant/primary"),
		ScalableDimension: scalingtypes.ScalableDimensionSageMakerVariantDesiredInstanceCount,
	}); err != nil {
		t.Fatalf("deregistering: %v", err)
	}
	if len(targets())+len(policies()) != 0 {
		t.Error("after the target was deregistered it is there still, or its policy")
	}
	if err := update(); err != nil {
		t.Errorf("updating an endpoint that isn't scaled any more: %v", err)
	}
	awaitEndpoint(t, "scaled", types.EndpointStatusInService)

	if _, err := client.RegisterScalableTarget(t.Context(), scalable("scaled")); err != nil {
		t.Fatal(err)
	}
	awaitEndpoint(t, "scaled", types.EndpointStatusInService)
	if _, err := local.sm.DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String("scaled")}); err != nil {
		t.Fatal(err)
	}
	await(t, "the target to go with its endpoint", func() bool { return len(targets()) == 0 })
}

func TestApplicationAutoScalingRefusesAsAWSDoes(t *testing.T) {
	client := applicationautoscaling.NewFromConfig(local.emulator.AWSConfig())
	deployable(t, "not-scaled", trained(t))
	deployableOn(t, "burstable", "not-scaled", types.ProductionVariantInstanceTypeMlT2Medium)
	for _, name := range []string{"not-scaled", "burstable"} {
		createEndpoint(t, name, name)
		awaitEndpoint(t, name, types.EndpointStatusInService)
	}
	registering := func(endpoint string, change func(*applicationautoscaling.RegisterScalableTargetInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			in := scalable(endpoint)
			change(in)
			_, err := client.RegisterScalableTarget(ctx, in)
			return err
		}
	}
	asIs := func(*applicationautoscaling.RegisterScalableTargetInput) {}
	for _, test := range []struct {
		name string
		call func(context.Context) error
		code string
		text string
	}{
		{"an endpoint that isn't there", registering("nowhere", asIs), "ValidationException", "doesn't exist: endpoint/nowhere/variant/primary"},
		{"burstable instances", registering("burstable", asIs), "ValidationException", "You cannot register a variant with ml.t2.medium instance type"},
		{"a maximum below the minimum", registering("not-scaled", func(in *applicationautoscaling.RegisterScalableTargetInput) { in.MaxCapacity = aws.Int32(1) }), "ValidationException", "Maximum capacity cannot be less"},
		{"no capacities", registering("not-scaled", func(in *applicationautoscaling.RegisterScalableTargetInput) {
			in.MinCapacity, in.MaxCapacity = nil, nil
		}), "ValidationException", "must be specified"},
		{"another resource", registering("not-scaled", func(in *applicationautoscaling.RegisterScalableTargetInput) { in.ResourceId = aws.String("table/t") }), "ValidationException", "Unsupported service namespace, resource type or scalable dimension"},
		{"a target that isn't registered", func(ctx context.Context) error {
			_, err := client.DeregisterScalableTarget(ctx, &applicationautoscaling.DeregisterScalableTargetInput{
				ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceId: aws.String("endpoint/not-scaled/variant/primary"),
				ScalableDimension: scalingtypes.ScalableDimensionSageMakerVariantDesiredInstanceCount,
			})
			return err
		}, "ObjectNotFoundException", "No scalable target registered for service namespace: sagemaker, resource ID: endpoint/not-scaled/variant/primary, scalable dimension: sagemaker:variant:DesiredInstanceCount"},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.call(t.Context()), test.code, test.text) })
	}
}

func TestTasksReachApplicationAutoScaling(t *testing.T) {
	target := map[string]any{
		"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/states-scaled/variant/primary", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
	}
	out := awaitExecution(t, start(t, "states-not-scaled", "aws-sdk:applicationautoscaling:deregisterScalableTarget", target))
	if got := aws.ToString(out.Error); got != "ApplicationAutoScaling.ObjectNotFoundException" {
		t.Errorf("the error is %q, want ApplicationAutoScaling.ObjectNotFoundException", got)
	}
	deployable(t, "states-scaled", trained(t))
	createEndpoint(t, "states-scaled", "states-scaled")
	awaitEndpoint(t, "states-scaled", types.EndpointStatusInService)
	target["MinCapacity"], target["MaxCapacity"] = 1, 3
	out = awaitExecution(t, start(t, "states-scaled", "aws-sdk:applicationautoscaling:registerScalableTarget", target))
	if out.Status != sfntypes.ExecutionStatusSucceeded {
		t.Fatalf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	out = awaitExecution(t, start(t, "states-scaled-look", "aws-sdk:applicationautoscaling:describeScalableTargets", map[string]any{
		"ServiceNamespace": "sagemaker", "ResourceIds": []any{"endpoint/states-scaled/variant/primary"},
	}))
	var got struct {
		ScalableTargets []struct {
			MaxCapacity  int
			CreationTime string
		}
	}
	if err := json.Unmarshal([]byte(aws.ToString(out.Output)), &got); err != nil || len(got.ScalableTargets) != 1 || got.ScalableTargets[0].MaxCapacity != 3 {
		t.Errorf("the execution %s with %s: %s", out.Status, aws.ToString(out.Output), aws.ToString(out.Cause))
	}
}
