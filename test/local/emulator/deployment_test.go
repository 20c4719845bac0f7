package emulator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/test/local/emulator"
)

// canary lets half of the traffic go to the new model for a while (a tenth of the seconds here), then all of it.
func canary(alarms ...string) *types.DeploymentConfig {
	config := &types.DeploymentConfig{BlueGreenUpdatePolicy: &types.BlueGreenUpdatePolicy{
		TrafficRoutingConfiguration: &types.TrafficRoutingConfig{
			Type: types.TrafficRoutingConfigTypeCanary, WaitIntervalInSeconds: aws.Int32(20),
			CanarySize: &types.CapacitySize{Type: types.CapacitySizeTypeCapacityPercent, Value: aws.Int32(50)},
		},
		TerminationWaitInSeconds: aws.Int32(20),
	}}
	for _, name := range alarms {
		if config.AutoRollbackConfiguration == nil {
			config.AutoRollbackConfiguration = &types.AutoRollbackConfig{}
		}
		config.AutoRollbackConfiguration.Alarms = append(config.AutoRollbackConfiguration.Alarms, types.Alarm{AlarmName: aws.String(name)})
	}
	return config
}

// putAlarm creates an alarm that only SetAlarmState moves.
func putAlarm(t *testing.T, name string) *cloudwatch.Client {
	t.Helper()
	client := cloudwatch.NewFromConfig(local.emulator.AWSConfig())
	if _, err := client.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String(name), Namespace: aws.String("AWS/SageMaker"), MetricName: aws.String("Invocation5XXErrors"),
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold, Threshold: aws.Float64(0), EvaluationPeriods: aws.Int32(1),
		Period: aws.Int32(60), Statistic: cwtypes.StatisticSum,
	}); err != nil {
		t.Fatalf("creating the alarm: %v", err)
	}
	return client
}

// deployUpdate puts an endpoint of the given name in service and updates it to a model that answers the opposite.
func deployUpdate(t *testing.T, name string, config *types.DeploymentConfig) {
	t.Helper()
	deployable(t, name+"-old", trained(t))
	deployable(t, name+"-new", trainedOpposite(t))
	createEndpoint(t, name, name+"-old")
	awaitEndpoint(t, name, types.EndpointStatusInService)
	if _, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
		EndpointName: aws.String(name), EndpointConfigName: aws.String(name + "-new"), DeploymentConfig: config,
	}); err != nil {
		t.Fatalf("updating the endpoint: %v", err)
	}
}

func TestACanaryAnswersAPartOfTheInvocations(t *testing.T) {
	deployUpdate(t, "canary", canary())
	seen := map[types.VariantStatus]bool{}
	oldAnswers, newAnswers := 0, 0
	await(t, "the update", func() bool {
		out := describeEndpoint(t, "canary")
		if out.EndpointStatus == types.EndpointStatusInService {
			return true
		}
		if p := out.PendingDeploymentSummary; p != nil && len(p.ProductionVariants) == 1 {
			seen[p.ProductionVariants[0].VariantStatus[0].Status] = true
		}
		if scores(t, "canary", "0.95,0.5")[0] > 0.5 {
			oldAnswers++
		} else {
			newAnswers++
		}
		return false
	})
	for _, status := range []types.VariantStatus{types.VariantStatusActivatingTraffic, types.VariantStatusBaking} {
		if !seen[status] {
			t.Errorf("the new variant was never %s, it was %v", status, seen)
		}
	}
	if oldAnswers == 0 || newAnswers == 0 {
		t.Errorf("during the update the old model answered %d times and the new one %d times, want both", oldAnswers, newAnswers)
	}
	out := describeEndpoint(t, "canary")
	if got := aws.ToString(out.EndpointConfigName); got != "canary-new" || out.PendingDeploymentSummary != nil || out.LastDeploymentConfig == nil {
		t.Errorf("after the update the endpoint is on %s (pending %v, last deployment %v)", got, out.PendingDeploymentSummary, out.LastDeploymentConfig)
	}
}

func TestAnAlarmDuringTheUpdateRollsItBack(t *testing.T) {
	client := putAlarm(t, "rolls-back")
	config := canary("rolls-back")
	config.BlueGreenUpdatePolicy.TrafficRoutingConfiguration.WaitIntervalInSeconds = aws.Int32(3600)
	deployUpdate(t, "alarmed", config)
	await(t, "traffic on the new model", func() bool {
		p := describeEndpoint(t, "alarmed").PendingDeploymentSummary
		return p != nil && p.ProductionVariants[0].VariantStatus[0].Status == types.VariantStatusActivatingTraffic
	})
	if _, err := client.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{
		AlarmName: aws.String("rolls-back"), StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("the test says so"),
	}); err != nil {
		t.Fatal(err)
	}
	awaitEndpoint(t, "alarmed", types.EndpointStatusRollingBack)
	out := awaitEndpoint(t, "alarmed", types.EndpointStatusInService)
	if got := aws.ToString(out.EndpointConfigName); got != "alarmed-old" || out.PendingDeploymentSummary != nil {
		t.Errorf("after the rollback the endpoint is on %s (pending %v), want alarmed-old", got, out.PendingDeploymentSummary)
	}
	if got := aws.ToString(out.FailureReason); !strings.Contains(got, "in the state ALARM: rolls-back") {
		t.Errorf("the reason is %q", got)
	}
	for range 10 {
		if score := scores(t, "alarmed", "0.95,0.5")[0]; score < 0.5 {
			t.Fatal("after the rollback the new model still answers")
		}
	}
}

func TestTheNewModelsErrorsRollTheUpdateBack(t *testing.T) {
	client := cloudwatch.NewFromConfig(local.emulator.AWSConfig())
	if _, err := client.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("too-many-errors"), Namespace: aws.String("AWS/SageMaker"), MetricName: aws.String("Invocation4XXErrors"),
		Dimensions: []cwtypes.Dimension{
			{Name: aws.String("EndpointName"), Value: aws.String("erring")}, {Name: aws.String("VariantName"), Value: aws.String("primary")},
		},
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold, Threshold: aws.Float64(1), EvaluationPeriods: aws.Int32(1),
		Period: aws.Int32(60), Statistic: cwtypes.StatisticSum, TreatMissingData: aws.String("notBreaching"),
	}); err != nil {
		t.Fatal(err)
	}
	config := canary("too-many-errors")
	config.BlueGreenUpdatePolicy.TrafficRoutingConfiguration.WaitIntervalInSeconds = aws.Int32(3600)
	deployUpdate(t, "erring", config)
	if _, err := invoke(t, "erring", "no number"); err == nil {
		t.Fatal("the endpoint answered what it can't")
	}
	await(t, "the rollback", func() bool {
		out := describeEndpoint(t, "erring")
		return out.EndpointStatus == types.EndpointStatusInService && strings.Contains(aws.ToString(out.FailureReason), "too-many-errors")
	})
	if got := aws.ToString(describeEndpoint(t, "erring").EndpointConfigName); got != "erring-old" {
		t.Errorf("after the rollback the endpoint is on %s, want erring-old", got)
	}
}

func TestALinearUpdateArrives(t *testing.T) {
	deployUpdate(t, "linear", &types.DeploymentConfig{BlueGreenUpdatePolicy: &types.BlueGreenUpdatePolicy{
		TrafficRoutingConfiguration: &types.TrafficRoutingConfig{
			Type: types.TrafficRoutingConfigTypeLinear, WaitIntervalInSeconds: aws.Int32(1),
			LinearStepSize: &types.CapacitySize{Type: types.CapacitySizeTypeCapacityPercent, Value: aws.Int32(30)},
		},
	}})
	await(t, "the update", func() bool {
		out := describeEndpoint(t, "linear")
		return out.EndpointStatus == types.EndpointStatusInService && aws.ToString(out.EndpointConfigName) == "linear-new"
	})
}

func TestARollbackThatFailsLeavesTheEndpointToAPerson(t *testing.T) {
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.UpdateRollbackFails, Seconds: 0.1, Match: map[string]string{"EndpointName": "stuck", "EndpointConfigName": "stuck-new"},
	}); err != nil {
		t.Fatal(err)
	}
	deployUpdate(t, "stuck", nil)
	out := awaitEndpoint(t, "stuck", types.EndpointStatusUpdateRollbackFailed)
	if got := aws.ToString(out.EndpointConfigName); got != "stuck-old" {
		t.Errorf("the endpoint is on %s, want stuck-old", got)
	}
	_, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
		EndpointName: aws.String("stuck"), EndpointConfigName: aws.String("stuck-old"),
	})
	wantError(t, err, "ValidationException", "UpdateRollbackFailed")
}

func TestAnEndpointCanBePutIntoAStatusForAWhile(t *testing.T) {
	deployable(t, "for-a-while", trained(t))
	createEndpoint(t, "for-a-while", "for-a-while")
	awaitEndpoint(t, "for-a-while", types.EndpointStatusInService)
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.EndpointStatus, EndpointStatus: "SystemUpdating", Seconds: 4, Match: map[string]string{"EndpointName": "for-a-while"},
	}); err != nil {
		t.Fatal(err)
	}
	if got := describeEndpoint(t, "for-a-while").EndpointStatus; got != types.EndpointStatusSystemUpdating {
		t.Errorf("the endpoint is %s, want SystemUpdating", got)
	}
	awaitEndpoint(t, "for-a-while", types.EndpointStatusInService)
}

func TestAServerlessEndpointServes(t *testing.T) {
	model := servable(t)
	config := func(name string, change ...func(*sagemaker.CreateEndpointConfigInput)) error {
		in := &sagemaker.CreateEndpointConfigInput{
			EndpointConfigName: aws.String(name),
			ProductionVariants: []types.ProductionVariant{{
				VariantName: aws.String("primary"), ModelName: aws.String(model),
				ServerlessConfig: &types.ProductionVariantServerlessConfig{MemorySizeInMB: aws.Int32(2048), MaxConcurrency: aws.Int32(5)},
			}},
		}
		for _, c := range change {
			c(in)
		}
		_, err := local.sm.CreateEndpointConfig(t.Context(), in)
		return err
	}
	if err := config("serverless"); err != nil {
		t.Fatal(err)
	}
	createEndpoint(t, "serverless", "serverless")
	out := awaitEndpoint(t, "serverless", types.EndpointStatusInService)
	if variant := out.ProductionVariants[0]; variant.CurrentServerlessConfig == nil || variant.CurrentInstanceCount != nil {
		t.Errorf("its variant is %+v, want one with a serverless configuration and without instances", variant)
	}
	if got := scores(t, "serverless", "0.95,0.5"); got[0] < 0.5 {
		t.Errorf("the score of a certain 1 is %v", got[0])
	}

	deployable(t, "real-time", trained(t))
	createEndpoint(t, "real-time", "real-time")
	awaitEndpoint(t, "real-time", types.EndpointStatusInService)
	_, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
		EndpointName: aws.String("real-time"), EndpointConfigName: aws.String("serverless"),
	})
	wantError(t, err, "ValidationException", "cannot be converted to a serverless endpoint")

	for _, test := range []struct {
		name   string
		change func(*sagemaker.CreateEndpointConfigInput)
		want   string
	}{
		{"memory between the steps", func(in *sagemaker.CreateEndpointConfigInput) {
			in.ProductionVariants[0].ServerlessConfig.MemorySizeInMB = aws.Int32(1500)
		}, "1024, 2048, 3072"},
		{"instances beside it", func(in *sagemaker.CreateEndpointConfigInput) {
			in.ProductionVariants[0].InitialInstanceCount = aws.Int32(1)
		}, "neither InstanceType nor InitialInstanceCount"},
		{"capture", func(in *sagemaker.CreateEndpointConfigInput) { in.DataCaptureConfig = captureTo("serverless") }, "DataCaptureConfig is not supported"},
		{"neither", func(in *sagemaker.CreateEndpointConfigInput) { in.ProductionVariants[0].ServerlessConfig = nil }, "needs InstanceType and InitialInstanceCount"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantError(t, config("serverless-refused", test.change), "ValidationException", test.want)
		})
	}
}

func TestADeploymentConfigThatMakesNoSenseIsRefused(t *testing.T) {
	deployable(t, "deployment", trained(t))
	createEndpoint(t, "deployment", "deployment")
	awaitEndpoint(t, "deployment", types.EndpointStatusInService)
	for _, test := range []struct {
		name   string
		config func() *types.DeploymentConfig
		want   string
	}{
		{"a canary of most of it", func() *types.DeploymentConfig {
			config := canary()
			config.BlueGreenUpdatePolicy.TrafficRoutingConfiguration.CanarySize.Value = aws.Int32(60)
			return config
		}, "between 1 and 50 percent"},
		{"a canary without a size", func() *types.DeploymentConfig {
			config := canary()
			config.BlueGreenUpdatePolicy.TrafficRoutingConfiguration.CanarySize = nil
			return config
		}, "The CanarySize of a traffic routing of the type CANARY is missing."},
		{"an alarm that isn't there", func() *types.DeploymentConfig { return canary("no-such-alarm") }, "no-such-alarm"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
				EndpointName: aws.String("deployment"), EndpointConfigName: aws.String("deployment"), DeploymentConfig: test.config(),
			})
			wantError(t, err, "ValidationException", test.want)
		})
	}
}

func captureTo(prefix string) *types.DataCaptureConfig {
	return &types.DataCaptureConfig{
		EnableCapture: aws.Bool(true), InitialSamplingPercentage: aws.Int32(100), DestinationS3Uri: aws.String("s3://" + bucket + "/" + prefix),
		CaptureOptions:           []types.CaptureOption{{CaptureMode: types.CaptureModeInput}, {CaptureMode: types.CaptureModeOutput}},
		CaptureContentTypeHeader: &types.CaptureContentTypeHeader{CsvContentTypes: []string{"text/csv"}},
	}
}

func TestWhatAnEndpointAnswersIsCaptured(t *testing.T) {
	model := servable(t)
	for name, capture := range map[string]*types.DataCaptureConfig{"captured": captureTo("captured"), "captured-no-more": nil} {
		if _, err := local.sm.CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
			EndpointConfigName: aws.String(name), DataCaptureConfig: capture,
			ProductionVariants: []types.ProductionVariant{{
				VariantName: aws.String("primary"), ModelName: aws.String(model),
				InstanceType: types.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(1),
			}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	createEndpoint(t, "captured", "captured")
	out := awaitEndpoint(t, "captured", types.EndpointStatusInService)
	if out.DataCaptureConfig == nil || out.DataCaptureConfig.CaptureStatus != types.CaptureStatusStarted {
		t.Errorf("its description says of the capture: %+v", out.DataCaptureConfig)
	}
	score := scores(t, "captured", "0.95,0.5")[0]
	var found []string
	await(t, "the capture", func() bool {
		found = keys(t, "captured/captured/primary/")
		return len(found) == 1
	})
	var line struct {
		CaptureData struct {
			EndpointInput, EndpointOutput struct{ ObservedContentType, Mode, Data, Encoding string }
		}
		EventMetadata struct{ EventID, InferenceTime string }
		EventVersion  string
	}
	if err := json.Unmarshal([]byte(get(t, "captured/captured/primary/"+found[0])), &line); err != nil {
		t.Fatal(err)
	}
	in, answer := line.CaptureData.EndpointInput, line.CaptureData.EndpointOutput
	if in.Data != "0.95,0.5" || in.Encoding != "CSV" || in.Mode != "INPUT" || line.EventVersion != "0" || line.EventMetadata.EventID == "" {
		t.Errorf("the capture is %+v", line)
	}
	if got := strings.TrimSpace(answer.Data); got != fmt.Sprint(score) || answer.Encoding != "CSV" {
		t.Errorf("the captured answer is %q, want %v", got, score)
	}

	// Retaining keeps the capture too, excluding it doesn't.
	for _, test := range []struct {
		exclude []types.VariantProperty
		want    bool
	}{{nil, true}, {[]types.VariantProperty{{VariantPropertyType: types.VariantPropertyTypeDataCaptureConfig}}, false}} {
		if _, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
			EndpointName: aws.String("captured"), EndpointConfigName: aws.String("captured-no-more"),
			RetainAllVariantProperties: aws.Bool(true), ExcludeRetainedVariantProperties: test.exclude,
		}); err != nil {
			t.Fatal(err)
		}
		if out := awaitEndpoint(t, "captured", types.EndpointStatusInService); (out.DataCaptureConfig != nil) != test.want {
			t.Errorf("excluding %v the endpoint captures: %t, want %t", test.exclude, out.DataCaptureConfig != nil, test.want)
		}
	}
}

func TestWeightsAndCapacitiesChangeInPlace(t *testing.T) {
	deployable(t, "resized", trained(t))
	createEndpoint(t, "resized", "resized")
	awaitEndpoint(t, "resized", types.EndpointStatusInService)
	if _, err := local.sm.UpdateEndpointWeightsAndCapacities(t.Context(), &sagemaker.UpdateEndpointWeightsAndCapacitiesInput{
		EndpointName:                aws.String("resized"),
		DesiredWeightsAndCapacities: []types.DesiredWeightAndCapacity{{VariantName: aws.String("primary"), DesiredInstanceCount: aws.Int32(4)}},
	}); err != nil {
		t.Fatal(err)
	}
	out := awaitEndpoint(t, "resized", types.EndpointStatusInService)
	if got := aws.ToInt32(out.ProductionVariants[0].CurrentInstanceCount); got != 4 || aws.ToString(out.EndpointConfigName) != "resized" {
		t.Errorf("the endpoint has %d instances on %s, want 4 on resized", got, aws.ToString(out.EndpointConfigName))
	}
	_, err := local.sm.UpdateEndpointWeightsAndCapacities(t.Context(), &sagemaker.UpdateEndpointWeightsAndCapacitiesInput{
		EndpointName:                aws.String("resized"),
		DesiredWeightsAndCapacities: []types.DesiredWeightAndCapacity{{VariantName: aws.String("other"), DesiredInstanceCount: aws.Int32(4)}},
	})
	wantError(t, err, "ValidationException", `Could not find variant "other"`)
}

func TestModelsConfigurationsAndEndpointsAreListed(t *testing.T) {
	names := []string{"listing-b", "listing-a", "listing-c"}
	for _, name := range names {
		deployable(t, name, trained(t))
		createEndpoint(t, name, name)
		awaitEndpoint(t, name, types.EndpointStatusInService)
	}
	lists := map[string]func(by string, order types.OrderKey, most *int32, token *string) ([]string, *string, error){
		"models": func(by string, order types.OrderKey, most *int32, token *string) (found []string, next *string, err error) {
			out, err := local.sm.ListModels(t.Context(), &sagemaker.ListModelsInput{
				NameContains: aws.String("listing-"), SortBy: types.ModelSortKey(by), SortOrder: order, MaxResults: most, NextToken: token,
			})
			if err != nil {
				return nil, nil, err
			}
			for _, m := range out.Models {
				found = append(found, *m.ModelName)
			}
			return found, out.NextToken, nil
		},
		"configurations": func(by string, order types.OrderKey, most *int32, token *string) (found []string, next *string, err error) {
			out, err := local.sm.ListEndpointConfigs(t.Context(), &sagemaker.ListEndpointConfigsInput{
				NameContains: aws.String("listing-"), SortBy: types.EndpointConfigSortKey(by), SortOrder: order, MaxResults: most, NextToken: token,
			})
			if err != nil {
				return nil, nil, err
			}
			for _, c := range out.EndpointConfigs {
				found = append(found, *c.EndpointConfigName)
			}
			return found, out.NextToken, nil
		},
		"endpoints": func(by string, order types.OrderKey, most *int32, token *string) (found []string, next *string, err error) {
			out, err := local.sm.ListEndpoints(t.Context(), &sagemaker.ListEndpointsInput{
				NameContains: aws.String("listing-"), StatusEquals: types.EndpointStatusInService,
				SortBy: types.EndpointSortKey(by), SortOrder: order, MaxResults: most, NextToken: token,
			})
			if err != nil {
				return nil, nil, err
			}
			for _, e := range out.Endpoints {
				found = append(found, *e.EndpointName)
			}
			return found, out.NextToken, nil
		},
	}
	for what, list := range lists {
		t.Run(what, func(t *testing.T) {
			got, _, err := list("", "", nil, nil)
			if want := []string{"listing-c", "listing-a", "listing-b"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("the newest first are %v (%v), want %v", got, err, want)
			}
			first, token, err := list("Name", types.OrderKeyAscending, aws.Int32(2), nil)
			if err != nil || !slices.Equal(first, []string{"listing-a", "listing-b"}) || token == nil {
				t.Fatalf("the first page by name is %v (%v)", first, err)
			}
			second, token, err := list("Name", types.OrderKeyAscending, aws.Int32(2), token)
			if err != nil || !slices.Equal(second, []string{"listing-c"}) || token != nil {
				t.Errorf("the second page by name is %v (%v)", second, err)
			}
		})
	}
}
