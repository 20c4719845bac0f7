package emulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

func createGroup(t *testing.T, name string) {
	t.Helper()
	if _, err := local.sm.CreateModelPackageGroup(t.Context(), &sagemaker.CreateModelPackageGroupInput{ModelPackageGroupName: aws.String(name)}); err != nil {
		t.Fatalf("creating the group: %v", err)
	}
}

// register adds a version to the group and returns its ARN.
func register(t *testing.T, group string, change ...func(*sagemaker.CreateModelPackageInput)) string {
	t.Helper()
	in := &sagemaker.CreateModelPackageInput{
		ModelPackageGroupName: aws.String(group),
		InferenceSpecification: &types.InferenceSpecification{
			Containers: []types.ModelPackageContainerDefinition{{
				Image: aws.String(image), ModelDataUrl: aws.String("s3://" + bucket + "/models/shared/output/model.tar.gz"),
			}},
			SupportedContentTypes: []string{"text/csv"}, SupportedResponseMIMETypes: []string{"text/csv"},
		},
		ModelMetrics: &types.ModelMetrics{ModelQuality: &types.ModelQuality{Statistics: &types.MetricsSource{
			ContentType: aws.String("application/json"), S3Uri: aws.String("s3://" + bucket + "/evaluations/shared.json"),
		}}},
		CustomerMetadataProperties: map[string]string{"run": "2026-01-01T02-00-00Z"},
	}
	for _, c := range change {
		c(in)
	}
	out, err := local.sm.CreateModelPackage(t.Context(), in)
	if err != nil {
		t.Fatalf("registering a model package: %v", err)
	}
	return *out.ModelPackageArn
}

func TestAVersionWaitsForItsApproval(t *testing.T) {
	createGroup(t, "approval")
	arn := register(t, "approval")
	if want := "arn:aws:sagemaker:us-east-1:000000000000:model-package/approval/1"; arn != want {
		t.Errorf("the first version is %s, want %s", arn, want)
	}
	describe := func() *sagemaker.DescribeModelPackageOutput {
		t.Helper()
		out, err := local.sm.DescribeModelPackage(t.Context(), &sagemaker.DescribeModelPackageInput{ModelPackageName: aws.String(arn)})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := describe()
	if before.ModelApprovalStatus != types.ModelApprovalStatusPendingManualApproval || before.ModelPackageStatus != types.ModelPackageStatusCompleted {
		t.Errorf("a new version is %s and %s, want PendingManualApproval and Completed", before.ModelApprovalStatus, before.ModelPackageStatus)
	}
	if aws.ToInt32(before.ModelPackageVersion) != 1 || before.CustomerMetadataProperties["run"] == "" || before.ModelMetrics == nil {
		t.Errorf("its description is %+v", before)
	}
	if _, err := local.sm.UpdateModelPackage(t.Context(), &sagemaker.UpdateModelPackageInput{
		ModelPackageArn: aws.String(arn), ModelApprovalStatus: types.ModelApprovalStatusApproved, ApprovalDescription: aws.String("looked at by Ada"),
		CustomerMetadataProperties: map[string]string{"by": "ada"}, CustomerMetadataPropertiesToRemove: []string{"run"},
	}); err != nil {
		t.Fatalf("approving it: %v", err)
	}
	after := describe()
	if after.ModelApprovalStatus != types.ModelApprovalStatusApproved || aws.ToString(after.ApprovalDescription) != "looked at by Ada" || after.LastModifiedTime == nil {
		t.Errorf("after its approval it is %s: %q", after.ModelApprovalStatus, aws.ToString(after.ApprovalDescription))
	}
	if _, there := after.CustomerMetadataProperties["run"]; there || after.CustomerMetadataProperties["by"] != "ada" {
		t.Errorf("its metadata is %v, want just by", after.CustomerMetadataProperties)
	}
}

func TestVersionsAreListedByGroupAndApproval(t *testing.T) {
	createGroup(t, "listed")
	createGroup(t, "listed-other")
	register(t, "listed-other")
	for i := range 4 {
		register(t, "listed", func(in *sagemaker.CreateModelPackageInput) {
			if i%2 == 0 {
				in.ModelApprovalStatus = types.ModelApprovalStatusApproved
			}
		})
	}
	for _, test := range []struct {
		name string
		in   sagemaker.ListModelPackagesInput
		want []int32
	}{
		{"oldest first", sagemaker.ListModelPackagesInput{}, []int32{1, 2, 3, 4}},
		{"newest first", sagemaker.ListModelPackagesInput{SortBy: types.ModelPackageSortByCreationTime, SortOrder: types.SortOrderDescending}, []int32{4, 3, 2, 1}},
		{"the approved ones", sagemaker.ListModelPackagesInput{ModelApprovalStatus: types.ModelApprovalStatusApproved}, []int32{1, 3}},
		{"the first page", sagemaker.ListModelPackagesInput{MaxResults: aws.Int32(3)}, []int32{1, 2, 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.in.ModelPackageGroupName = aws.String("listed")
			out, err := local.sm.ListModelPackages(t.Context(), &test.in)
			if err != nil {
				t.Fatal(err)
			}
			var got []int32
			for _, p := range out.ModelPackageSummaryList {
				got = append(got, *p.ModelPackageVersion)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the versions are %v, want %v", got, test.want)
			}
		})
	}
	out, err := local.sm.ListModelPackages(t.Context(), &sagemaker.ListModelPackagesInput{})
	if err != nil || len(out.ModelPackageSummaryList) != 0 {
		t.Errorf("without a group the list has %d packages (%v), want none: it is of unversioned ones", len(out.ModelPackageSummaryList), err)
	}
}

func TestATokenMakesRegisteringSafeToRepeat(t *testing.T) {
	createGroup(t, "token")
	token := func(in *sagemaker.CreateModelPackageInput) { in.ClientToken = aws.String("run-1") }
	first, second := register(t, "token", token), register(t, "token", token)
	if first != second {
		t.Errorf("the same request made %s and %s, want one version", first, second)
	}
	if _, err := local.sm.DeleteModelPackage(t.Context(), &sagemaker.DeleteModelPackageInput{ModelPackageName: aws.String(first)}); err != nil {
		t.Fatal(err)
	}
	if next := register(t, "token"); !strings.HasSuffix(next, "/2") {
		t.Errorf("after version 1 was deleted the next is %s, want version 2", next)
	}
}

func TestTheRegistryRefusesAsAWSDoes(t *testing.T) {
	createGroup(t, "refuses")
	register(t, "refuses")
	const arn = "arn:aws:sagemaker:us-east-1:000000000000:"
	for _, test := range []struct {
		name string
		call func(context.Context) error
		code string
		text string
	}{
		{"a group's name that is taken", func(ctx context.Context) error {
			_, err := local.sm.CreateModelPackageGroup(ctx, &sagemaker.CreateModelPackageGroupInput{ModelPackageGroupName: aws.String("refuses")})
			return err
		}, "ValidationException", "Model Package Group already exists"},
		{"a group that isn't there", func(ctx context.Context) error {
			_, err := local.sm.DescribeModelPackageGroup(ctx, &sagemaker.DescribeModelPackageGroupInput{ModelPackageGroupName: aws.String("nowhere")})
			return err
		}, "ValidationException", "ModelPackageGroup " + arn + "model-package-group/nowhere does not exist."},
		{"a version of a group that isn't there", func(ctx context.Context) error {
			_, err := local.sm.CreateModelPackage(ctx, &sagemaker.CreateModelPackageInput{ModelPackageGroupName: aws.String("nowhere")})
			return err
		}, "ValidationException", "model-package-group/nowhere does not exist."},
		{"a version that isn't there", func(ctx context.Context) error {
			_, err := local.sm.DescribeModelPackage(ctx, &sagemaker.DescribeModelPackageInput{ModelPackageName: aws.String(arn + "model-package/refuses/9")})
			return err
		}, "ValidationException", "ModelPackage " + arn + "model-package/refuses/9 does not exist."},
		{"a group that has versions", func(ctx context.Context) error {
			_, err := local.sm.DeleteModelPackageGroup(ctx, &sagemaker.DeleteModelPackageGroupInput{ModelPackageGroupName: aws.String("refuses")})
			return err
		}, "ConflictException", "it has model packages"},
		{"tags of a version", func(ctx context.Context) error {
			_, err := local.sm.CreateModelPackage(ctx, &sagemaker.CreateModelPackageInput{
				ModelPackageGroupName: aws.String("refuses"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
			})
			return err
		}, "ValidationException", "it uses the tags of its group"},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.call(t.Context()), test.code, test.text) })
	}
}

func TestAStackMakesAGroupOfModelPackages(t *testing.T) {
	client := cloudformation.NewFromConfig(local.emulator.AWSConfig())
	template := func(tag string) *string {
		body, err := json.Marshal(map[string]any{
			"Resources": map[string]any{"Group": map[string]any{
				"Type": "AWS::SageMaker::ModelPackageGroup",
				"Properties": map[string]any{
					"ModelPackageGroupName": "stack-group", "ModelPackageGroupDescription": "models of a stack",
					"Tags": []any{map[string]any{"Key": "pipeline", "Value": tag}},
				},
			}},
			"Outputs": map[string]any{"Ref": map[string]any{"Value": map[string]any{"Ref": "Group"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return aws.String(string(body))
	}
	awaitStack := func(status cfntypes.StackStatus) *cfntypes.Stack {
		t.Helper()
		var stack *cfntypes.Stack
		await(t, fmt.Sprintf("the stack to be %s", status), func() bool {
			out, err := client.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("group")})
			if err != nil {
				t.Fatal(err)
			}
			stack = &out.Stacks[0]
			return stack.StackStatus == status
		})
		return stack
	}
	if _, err := client.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("group"), TemplateBody: template("fraud")}); err != nil {
		t.Fatal(err)
	}
	stack := awaitStack(cfntypes.StackStatusCreateComplete)
	const arn = "arn:aws:sagemaker:us-east-1:000000000000:model-package-group/stack-group"
	if got := aws.ToString(stack.Outputs[0].OutputValue); got != arn {
		t.Errorf("the group's Ref is %s, want its ARN", got)
	}
	if _, err := client.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{StackName: aws.String("group"), TemplateBody: template("churn")}); err != nil {
		t.Fatal(err)
	}
	awaitStack(cfntypes.StackStatusUpdateComplete)
	tags, err := local.sm.ListTags(t.Context(), &sagemaker.ListTagsInput{ResourceArn: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(tags.Tags, func(tag types.Tag) bool { return *tag.Key == "pipeline" && *tag.Value == "churn" }) {
		t.Errorf("after the update the group has not the tag pipeline=churn: %v", tags.Tags)
	}
	register(t, "stack-group")
	if _, err := client.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String("group")}); err != nil {
		t.Fatal(err)
	}
	awaitStack(cfntypes.StackStatusDeleteFailed)
}
