package emulator_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	runtimetypes "github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/test/local/emulator"
)

// deployable creates a model on the artifact and an endpoint configuration of the same name for it.
func deployable(t *testing.T, name, artifact string) {
	t.Helper()
	if _, err := local.sm.CreateModel(t.Context(), &sagemaker.CreateModelInput{
		ModelName: aws.String(name), ExecutionRoleArn: aws.String(role),
		PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image), ModelDataUrl: aws.String(artifact)},
	}); err != nil {
		t.Fatalf("creating the model: %v", err)
	}
	if _, err := local.sm.CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String(name),
		ProductionVariants: []types.ProductionVariant{{
			VariantName: aws.String("primary"), ModelName: aws.String(name),
			InstanceType: types.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(1),
		}},
	}); err != nil {
		t.Fatalf("creating the endpoint configuration: %v", err)
	}
}

func createEndpoint(t *testing.T, name, config string) {
	t.Helper()
	if _, err := local.sm.CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{
		EndpointName: aws.String(name), EndpointConfigName: aws.String(config),
	}); err != nil {
		t.Fatalf("creating the endpoint: %v", err)
	}
}

func updateEndpoint(t *testing.T, name, config string) {
	t.Helper()
	if _, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
		EndpointName: aws.String(name), EndpointConfigName: aws.String(config),
	}); err != nil {
		t.Fatalf("updating the endpoint: %v", err)
	}
}

func describeEndpoint(t *testing.T, name string) *sagemaker.DescribeEndpointOutput {
	t.Helper()
	out, err := local.sm.DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: aws.String(name)})
	if err != nil {
		t.Fatalf("describing the endpoint: %v", err)
	}
	return out
}

func awaitEndpoint(t *testing.T, name string, status types.EndpointStatus) *sagemaker.DescribeEndpointOutput {
	t.Helper()
	var out *sagemaker.DescribeEndpointOutput
	await(t, "endpoint "+name+" to be "+string(status), func() bool {
		out = describeEndpoint(t, name)
		return out.EndpointStatus == status
	})
	return out
}

func invoke(t *testing.T, name, body string) (*sagemakerruntime.InvokeEndpointOutput, error) {
	t.Helper()
	return local.runtime.InvokeEndpoint(t.Context(), &sagemakerruntime.InvokeEndpointInput{
		EndpointName: aws.String(name), ContentType: aws.String("text/csv"), Body: []byte(body),
	})
}

// scores are the predictions of the endpoint for the rows.
func scores(t *testing.T, name, body string) []float64 {
	t.Helper()
	out, err := invoke(t, name, body)
	if err != nil {
		t.Fatalf("invoking the endpoint: %v", err)
	}
	var found []float64
	for line := range strings.Lines(string(out.Body)) {
		f, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err != nil {
			t.Fatalf("the endpoint answered %q: %v", out.Body, err)
		}
		found = append(found, f)
	}
	return found
}

func TestAnEndpointServesTheModelThatWasTrained(t *testing.T) {
	deployable(t, "serves", trained(t))
	createEndpoint(t, "serves", "serves")
	if status := describeEndpoint(t, "serves").EndpointStatus; status != types.EndpointStatusCreating {
		t.Errorf("right after its creation the endpoint is %s, want Creating", status)
	}
	awaitEndpoint(t, "serves", types.EndpointStatusInService)

	got := scores(t, "serves", "0.95,0.5\n0.05,0.5\n")
	if len(got) != 2 || got[0] < 0.8 || got[1] > 0.2 {
		t.Errorf("the scores of a certain 1 and a certain 0 are %v", got)
	}
	out, err := invoke(t, "serves", "0.95,0.5")
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(out.InvokedProductionVariant); got != "primary" {
		t.Errorf("the variant invoked is %q, want primary", got)
	}
	if got := aws.ToString(out.ContentType); !strings.HasPrefix(got, "text/csv") {
		t.Errorf("the content type is %q, want text/csv", got)
	}
}

func TestAnErrorOfTheModelIsAModelError(t *testing.T) {
	deployable(t, "model-error", trained(t))
	createEndpoint(t, "model-error", "model-error")
	awaitEndpoint(t, "model-error", types.EndpointStatusInService)
	for name, body := range map[string]string{"text": "0.5,hello", "too many features": "1,2,3,4"} {
		_, err := invoke(t, "model-error", body)
		var failure *runtimetypes.ModelError
		if !errors.As(err, &failure) {
			t.Errorf("%s: the error is %v, want a ModelError", name, err)
			continue
		}
		if code := aws.ToInt32(failure.OriginalStatusCode); code != 415 && code != 400 {
			t.Errorf("%s: the original status is %d, want 415 or 400", name, code)
		}
		if !strings.Contains(failure.ErrorMessage(), "Received client error (") {
			t.Errorf("%s: the message is %q", name, failure.ErrorMessage())
		}
	}
}

func TestTheOldModelAnswersUntilTheUpdateIsThrough(t *testing.T) {
	deployable(t, "update-1", trained(t))
	deployable(t, "update-2", trainedOpposite(t))
	createEndpoint(t, "update", "update-1")
	awaitEndpoint(t, "update", types.EndpointStatusInService)

	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.EndpointSlow, Seconds: 0.5, Match: map[string]string{"EndpointName": "update"},
	}); err != nil {
		t.Fatal(err)
	}
	updateEndpoint(t, "update", "update-2")
	old, updated := 0, 0
	await(t, "the update", func() bool {
		before := describeEndpoint(t, "update")
		score := scores(t, "update", "0.95,0.5")[0]
		if before.EndpointStatus == types.EndpointStatusUpdating {
			if got := aws.ToString(before.EndpointConfigName); got != "update-1" {
				t.Errorf("while it is updated the endpoint is on %s, want update-1", got)
			}
			if got := before.PendingDeploymentSummary; got == nil || aws.ToString(got.EndpointConfigName) != "update-2" {
				t.Errorf("while it is updated the pending deployment is %+v, want update-2", got)
			}
		}
		if score > 0.5 {
			old++
		} else {
			updated++
		}
		return before.EndpointStatus == types.EndpointStatusInService
	})
	if old == 0 {
		t.Error("the old model never answered during the update")
	}
	after := describeEndpoint(t, "update")
	if got := aws.ToString(after.EndpointConfigName); got != "update-2" || after.PendingDeploymentSummary != nil {
		t.Errorf("after the update the endpoint is on %s (pending: %v), want update-2", got, after.PendingDeploymentSummary)
	}
	if score := scores(t, "update", "0.95,0.5")[0]; score > 0.5 {
		t.Errorf("after the update the old model still answers: %v", score)
	}
}

// trainedOpposite is the artifact of a model that learned the opposite, so that an answer tells which model gave it.
func trainedOpposite(t *testing.T) string {
	t.Helper()
	if err := put(t.Context(), "data/opposite.csv", opposite(rows(7, 400))); err != nil {
		t.Fatal(err)
	}
	_, err := local.sm.CreateTrainingJob(t.Context(), job("opposite", func(in *sagemaker.CreateTrainingJobInput) {
		in.InputDataConfig = in.InputDataConfig[:1]
		in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeS3Prefix
		in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://" + bucket + "/data/opposite")
	}))
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		t.Fatalf("creating the job: %v", err)
	}
	return *awaitJob(t, "opposite").ModelArtifacts.S3ModelArtifacts
}

// opposite turns the label of every row around.
func opposite(rows string) string {
	var b strings.Builder
	for line := range strings.Lines(rows) {
		label := "1"
		if line[0] == '1' {
			label = "0"
		}
		b.WriteString(label + line[1:])
	}
	return b.String()
}

func TestAFailedEndpointCanOnlyBeDeleted(t *testing.T) {
	deployable(t, "failed", trained(t))
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.EndpointFailed, Match: map[string]string{"EndpointName": "failed"},
	}); err != nil {
		t.Fatal(err)
	}
	createEndpoint(t, "failed", "failed")
	out := awaitEndpoint(t, "failed", types.EndpointStatusFailed)
	if got := aws.ToString(out.FailureReason); !strings.Contains(got, "did not pass the ping health check") {
		t.Errorf("the failure's reason is %q", got)
	}
	_, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
		EndpointName: aws.String("failed"), EndpointConfigName: aws.String("failed"),
	})
	wantError(t, err, "ValidationException", "Failed")
	if _, err := local.sm.DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String("failed")}); err != nil {
		t.Fatalf("deleting the endpoint: %v", err)
	}
	await(t, "the endpoint to be gone", func() bool {
		_, err := local.sm.DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: aws.String("failed")})
		return err != nil && strings.Contains(err.Error(), "Could not find endpoint")
	})
	createEndpoint(t, "failed", "failed")
	awaitEndpoint(t, "failed", types.EndpointStatusInService)
}

func TestARolledBackUpdateIsInServiceOnTheOldConfiguration(t *testing.T) {
	deployable(t, "rollback-1", trained(t))
	deployable(t, "rollback-2", trained(t))
	createEndpoint(t, "rollback", "rollback-1")
	awaitEndpoint(t, "rollback", types.EndpointStatusInService)
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.UpdateRollsBack, Reason: "alarm too-many-errors went off", Seconds: 0.3,
		Match: map[string]string{"EndpointName": "rollback"},
	}); err != nil {
		t.Fatal(err)
	}
	updateEndpoint(t, "rollback", "rollback-2")
	awaitEndpoint(t, "rollback", types.EndpointStatusRollingBack)
	out := awaitEndpoint(t, "rollback", types.EndpointStatusInService)
	if got := aws.ToString(out.EndpointConfigName); got != "rollback-1" {
		t.Errorf("after the rollback the endpoint is on %s, want rollback-1", got)
	}
	if got := aws.ToString(out.FailureReason); got != "alarm too-many-errors went off" {
		t.Errorf("the reason is %q, want the ordered one", got)
	}
	if score := scores(t, "rollback", "0.95,0.5")[0]; score < 0.5 {
		t.Errorf("after the rollback the old model does not answer: %v", score)
	}
}

func TestRetainingTheVariantsPropertiesKeepsTheOldInstanceCount(t *testing.T) {
	deployable(t, "retain", trained(t))
	if _, err := local.sm.CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String("retain-more"),
		ProductionVariants: []types.ProductionVariant{{
			VariantName: aws.String("primary"), ModelName: aws.String("retain"),
			InstanceType: types.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(3),
		}},
	}); err != nil {
		t.Fatal(err)
	}
	createEndpoint(t, "retain", "retain")
	awaitEndpoint(t, "retain", types.EndpointStatusInService)
	for _, test := range []struct {
		retain bool
		want   int32
	}{{true, 1}, {false, 3}} {
		if _, err := local.sm.UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{
			EndpointName: aws.String("retain"), EndpointConfigName: aws.String("retain-more"), RetainAllVariantProperties: aws.Bool(test.retain),
		}); err != nil {
			t.Fatalf("updating the endpoint: %v", err)
		}
		out := awaitEndpoint(t, "retain", types.EndpointStatusInService)
		if got := aws.ToInt32(out.ProductionVariants[0].CurrentInstanceCount); got != test.want {
			t.Errorf("with RetainAllVariantProperties %t the endpoint has %d instances, want %d", test.retain, got, test.want)
		}
	}
}

func TestAModelThatCantBeLoadedFailsTheEndpointsHealthCheck(t *testing.T) {
	const artifact = "s3://" + bucket + "/broken.tar.gz"
	if err := put(t.Context(), "broken.tar.gz", "no archive"); err != nil {
		t.Fatal(err)
	}
	deployable(t, "broken", artifact)
	createEndpoint(t, "broken", "broken")
	if out := awaitEndpoint(t, "broken", types.EndpointStatusFailed); aws.ToString(out.FailureReason) == "" {
		t.Error("the endpoint failed without a reason")
	}
	_, err := invoke(t, "broken", "1,2")
	wantError(t, err, "ValidationError", "Endpoint broken of account 000000000000 not found.")

	// An endpoint that serves goes on serving what it had.
	deployable(t, "healthy", trained(t))
	createEndpoint(t, "healthy", "healthy")
	awaitEndpoint(t, "healthy", types.EndpointStatusInService)
	updateEndpoint(t, "healthy", "broken")
	awaitEndpoint(t, "healthy", types.EndpointStatusRollingBack)
	if out := awaitEndpoint(t, "healthy", types.EndpointStatusInService); aws.ToString(out.EndpointConfigName) != "healthy" {
		t.Errorf("after an update to a broken model the endpoint is on %s, want healthy", aws.ToString(out.EndpointConfigName))
	}
	if score := scores(t, "healthy", "0.95,0.5")[0]; score < 0.5 {
		t.Errorf("after an update to a broken model the old one does not answer: %v", score)
	}
}

func wantError(t *testing.T, err error, code, text string) {
	t.Helper()
	var failure smithy.APIError
	if !errors.As(err, &failure) {
		t.Errorf("the error is %v, want %s", err, code)
		return
	}
	if failure.ErrorCode() != code || !strings.Contains(failure.ErrorMessage(), text) {
		t.Errorf("the error is %s: %s\nwant %s: …%s…", failure.ErrorCode(), failure.ErrorMessage(), code, text)
	}
}
