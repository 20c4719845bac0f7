package emulator_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"sagemaker-datapipeline/test/local/emulator"
)

func TestAQuotaIsToldAndHolds(t *testing.T) {
	if err := put(t.Context(), "quota/a.csv", rows(12, 10)); err != nil {
		t.Fatal(err)
	}
	model := servable(t)
	deployableOn(t, "quota-endpoint", model, types.ProductionVariantInstanceTypeMlC52xlarge)
	training := func(name string, change ...func(*sagemaker.CreateTrainingJobInput)) func() error {
		return func() error {
			in := job(name, func(in *sagemaker.CreateTrainingJobInput) {
				in.ResourceConfig.InstanceType = types.TrainingInstanceTypeMlC52xlarge
			})
			for _, c := range change {
				c(in)
			}
			_, err := local.sm.CreateTrainingJob(t.Context(), in)
			return err
		}
	}
	tests := []struct {
		name   string
		quota  string
		create func() error
	}{
		{"for training", "ml.c5.2xlarge for training job usage", training("quota-training")},
		{"for spot training", "ml.c5.2xlarge for spot training job usage", training("quota-spot", func(in *sagemaker.CreateTrainingJobInput) {
			in.EnableManagedSpotTraining, in.StoppingCondition.MaxWaitTimeInSeconds = aws.Bool(true), aws.Int32(1200)
		})},
		{"for transform", "ml.c5.2xlarge for transform job usage", func() error {
			_, err := local.sm.CreateTransformJob(t.Context(), transformJob("quota-transform", model, "quota/", func(in *sagemaker.CreateTransformJobInput) {
				in.TransformResources.InstanceType = types.TransformInstanceTypeMlC52xlarge
			}))
			return err
		}},
		{"for endpoints", "ml.c5.2xlarge for endpoint usage", func() error {
			_, err := local.sm.CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{
				EndpointName: aws.String("quota-endpoint"), EndpointConfigName: aws.String("quota-endpoint"),
			})
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := local.emulator.SetQuota(t.Context(), test.quota, 0); err != nil {
				t.Fatal(err)
			}
			if got := quotaValue(t, test.quota); got != 0 {
				t.Errorf("Service Quotas says %v, want 0", got)
			}
			wantError(t, test.create(), "ResourceLimitExceeded", "The account-level service limit '"+test.quota+
				"' is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances.")
			if err := local.emulator.SetQuota(t.Context(), test.quota, 1); err != nil {
				t.Fatal(err)
			}
			if err := test.create(); err != nil {
				t.Errorf("within the quota: %v", err)
			}
		})
	}
}

func TestAQuotaInUseIsFreeWhenTheJobHasEnded(t *testing.T) {
	const quota = "ml.c5.4xlarge for training job usage"
	if err := local.emulator.SetQuota(t.Context(), quota, 1); err != nil {
		t.Fatal(err)
	}
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.TrainingSlow, Seconds: 60, Match: map[string]string{"TrainingJobName": "quota-first"},
	}); err != nil {
		t.Fatal(err)
	}
	create := func(name string) error {
		_, err := local.sm.CreateTrainingJob(t.Context(), job(name, func(in *sagemaker.CreateTrainingJobInput) {
			in.ResourceConfig.InstanceType = types.TrainingInstanceTypeMlC54xlarge
		}))
		return err
	}
	if err := create("quota-first"); err != nil {
		t.Fatal(err)
	}
	wantError(t, create("quota-second"), "ResourceLimitExceeded", "is 1 Instances, with current utilization of 1 Instances and a request delta of 1 Instances.")
	if _, err := local.sm.StopTrainingJob(t.Context(), &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("quota-first")}); err != nil {
		t.Fatal(err)
	}
	awaitJob(t, "quota-first")
	if err := create("quota-second"); err != nil {
		t.Errorf("after the first job has ended: %v", err)
	}
}

func TestTheInstancesOfEndpointsCountFromTheirCreation(t *testing.T) {
	if err := local.emulator.SetQuota(t.Context(), "ml.c5.4xlarge for endpoint usage", 2); err != nil {
		t.Fatal(err)
	}
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.EndpointSlow, Seconds: 2, Match: map[string]string{"EndpointName": "counted"},
	}); err != nil {
		t.Fatal(err)
	}
	deployableOn(t, "counted", servable(t), types.ProductionVariantInstanceTypeMlC54xlarge)
	create := func(name string) error {
		_, err := local.sm.CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{EndpointName: aws.String(name), EndpointConfigName: aws.String("counted")})
		return err
	}
	if err := create("counted"); err != nil {
		t.Fatal(err)
	}
	if err := create("counted-too"); err != nil {
		t.Fatal(err)
	}
	const full = "is 2 Instances, with current utilization of 2 Instances and a request delta of 1 Instances."
	wantError(t, create("counted-in-vain"), "ResourceLimitExceeded", full)
	awaitEndpoint(t, "counted", types.EndpointStatusInService)
	_, err := local.sm.UpdateEndpointWeightsAndCapacities(t.Context(), &sagemaker.UpdateEndpointWeightsAndCapacitiesInput{
		EndpointName:                aws.String("counted"),
		DesiredWeightsAndCapacities: []types.DesiredWeightAndCapacity{{VariantName: aws.String("primary"), DesiredInstanceCount: aws.Int32(2)}},
	})
	wantError(t, err, "ResourceLimitExceeded", full)
	_, err = local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{EndpointName: aws.String("counted"), EndpointConfigName: aws.String("counted")})
	wantError(t, err, "ResourceLimitExceeded", full)
}

func TestAQuotaHasAWSsName(t *testing.T) {
	err := local.emulator.SetQuota(t.Context(), "ml.m5.large for training", 1)
	if err == nil || !strings.Contains(err.Error(), `"ml.m5.large for training job usage"`) {
		t.Errorf("the error is %v, want one that shows a name", err)
	}
	client := servicequotas.NewFromConfig(local.emulator.AWSConfig())
	out, err := client.GetServiceQuota(t.Context(), &servicequotas.GetServiceQuotaInput{
		ServiceCode: aws.String("sagemaker"), QuotaCode: aws.String("L-611FA074"),
	})
	if err != nil || aws.ToString(out.Quota.QuotaName) != "ml.m5.large for training job usage" {
		t.Errorf("the quota L-611FA074 is %+v (%v)", out, err)
	}
	_, err = client.GetServiceQuota(t.Context(), &servicequotas.GetServiceQuotaInput{ServiceCode: aws.String("sagemaker"), QuotaCode: aws.String("L-00000000")})
	wantError(t, err, "NoSuchResourceException", "does not exist")
}

// quotaValue is what Service Quotas says of the quota.
func quotaValue(t *testing.T, name string) float64 {
	t.Helper()
	client := servicequotas.NewFromConfig(local.emulator.AWSConfig())
	pages := servicequotas.NewListServiceQuotasPaginator(client, &servicequotas.ListServiceQuotasInput{ServiceCode: aws.String("sagemaker")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range page.Quotas {
			if aws.ToString(q.QuotaName) == name {
				return aws.ToFloat64(q.Value)
			}
		}
	}
	t.Fatalf("Service Quotas has no quota %s", name)
	return 0
}
