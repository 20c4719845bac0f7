package workflow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/test/local/emulator"
)

// What a key needs: copying the signature, publishing to an encrypted topic, disks; and in the output configuration of a job.
// Source: the SageMaker developer guide, as below.
var (
	keyNeeds       = []string{"kms:Decrypt on " + keyARN, "kms:GenerateDataKey on " + keyARN, "kms:CreateGrant on " + keyARN}
	outputKeyNeeds = []string{"kms:Encrypt on " + keyARN}
)

func TestRolesArePassedToSageMakerOnly(t *testing.T) {
	_, statements := permissions(t, "guarded", "states.amazonaws.com")
	found := 0
	for _, s := range statements {
		if !slices.Contains(list(s["Action"]), any("iam:PassRole")) {
			continue
		}
		found++
		if got := fmt.Sprint(s["Condition"]); got != "map[StringEquals:map[iam:PassedToService:sagemaker.amazonaws.com]]" {
			t.Errorf("a role is passed under the condition %s", got)
		}
	}
	if found != 1 {
		t.Errorf("%d statements pass roles, want 1", found)
	}
}

// The ids of scalable targets are AWS's own: only the condition keeps the role to endpoints.
func TestAutoscalingIsChangedOfEndpointsOnly(t *testing.T) {
	for _, pipeline := range []string{"plain", "scaled"} {
		_, statements := permissions(t, pipeline, "states.amazonaws.com")
		for _, s := range statements {
			if !slices.Contains(list(s["Action"]), any("application-autoscaling:DeregisterScalableTarget")) {
				continue
			}
			if got := fmt.Sprint(s["Condition"]); got != "map[StringEquals:map[application-autoscaling:scalable-dimension:sagemaker:variant:DesiredInstanceCount application-autoscaling:service-namespace:sagemaker]]" {
				t.Errorf("%s changes autoscaling under the condition %s", pipeline, got)
			}
		}
	}
}

// What a training job and an endpoint do as their roles. Source: the SageMaker developer guide, "SageMaker AI roles",
// CreateTrainingJob and CreateModel API, Execution Role Permissions; without what this workflow has no use for.
func TestJobsAndModelsMayDoWhatSageMakersGuideListsAndNothingElse(t *testing.T) {
	container := []string{
		"ecr:GetAuthorizationToken on *",
		"ecr:BatchCheckLayerAvailability on " + repository, "ecr:BatchGetImage on " + repository, "ecr:GetDownloadUrlForLayer on " + repository,
		"cloudwatch:PutMetricData on *",
	}
	log := func(group string) []string {
		var lines []string
		for _, action := range []string{"CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"} {
			arn := "arn:aws:logs:" + emulator.Region + ":" + emulator.Account + ":log-group:" + group
			lines = append(lines, "logs:"+action+" on "+arn, "logs:"+action+" on "+arn+":*")
		}
		return lines
	}
	var network []string
	for _, action := range []string{
		"CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface", "DeleteNetworkInterfacePermission",
		"DescribeDhcpOptions", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs",
	} {
		network = append(network, "ec2:"+action+" on *")
	}
	training := func(pipeline string) []string {
		return append([]string{
			"s3:GetObject on arn:aws:s3:::" + bucketName + "/" + pipeline + "/runs/*",
			"s3:PutObject on arn:aws:s3:::" + bucketName + "/" + pipeline + "/models/*",
			"s3:ListBucket on arn:aws:s3:::" + bucketName,
		}, log("/aws/sagemaker/TrainingJobs")...)
	}
	model := func(pipeline string) []string {
		return append([]string{
			"s3:GetObject on arn:aws:s3:::" + bucketName + "/" + pipeline + "/models/*",
			"s3:ListBucket on arn:aws:s3:::" + bucketName,
		}, log("/aws/sagemaker/Endpoints/"+prefix(pipeline))...)
	}
	// What a batch transform does as the role of its model.
	scores := func(pipeline string) []string {
		return append([]string{
			"s3:GetObject on arn:aws:s3:::" + bucketName + "/" + pipeline + "/runs/*",
			"s3:PutObject on arn:aws:s3:::" + bucketName + "/" + pipeline + "/scores/*",
		}, log("/aws/sagemaker/TransformJobs")...)
	}
	checkpoints := func(pipeline string) []string {
		var lines []string
		for _, action := range []string{"GetObject", "PutObject", "DeleteObject"} {
			lines = append(lines, "s3:"+action+" on arn:aws:s3:::"+bucketName+"/"+pipeline+"/checkpoints/*")
		}
		return lines
	}
	for _, c := range []struct {
		pipeline, role string
		want           [][]string
	}{
		{"plain", "TrainingRole", [][]string{training("plain"), container}},
		{"plain", "ModelRole", [][]string{model("plain"), container}},
		{"batch", "ModelRole", [][]string{model("batch")[:2], scores("batch"), container}},
		{"guarded", "TrainingRole", [][]string{training("guarded"), container, keyNeeds, outputKeyNeeds}},
		{"guarded", "ModelRole", [][]string{model("guarded"), container, keyNeeds[:1]}},
		{"fastdisk", "TrainingRole", [][]string{training("fastdisk"), container, keyNeeds[:2], outputKeyNeeds}},
		{"jspot", "TrainingRole", [][]string{training("jspot"), checkpoints("jspot"), container}},
		{"sfirst", "ModelRole", [][]string{model("sfirst"), scores("sfirst"), container}},
		{"gatedkey", "ModelRole", [][]string{model("gatedkey"), scores("gatedkey"), container, keyNeeds, outputKeyNeeds}},
		{"canary", "ModelRole", [][]string{model("canary"), {"s3:PutObject on arn:aws:s3:::" + bucketName + "/canary/capture/*"}, container}},
		{"invpc", "TrainingRole", [][]string{training("invpc"), container, network}},
		{"invpc", "ModelRole", [][]string{model("invpc"), container, network}},
	} {
		t.Run(c.pipeline+" "+c.role, func(t *testing.T) {
			got, _ := permissions(t, c.pipeline, c.role)
			want := slices.Concat(c.want...)
			slices.Sort(got)
			slices.Sort(want)
			// Under two conditions a permission is there twice.
			got, want = slices.Compact(got), slices.Compact(want)
			if !slices.Equal(got, want) {
				t.Errorf("the role allows\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
}

const repository = "arn:aws:ecr:" + emulator.Region + ":683313688378:repository/sagemaker-xgboost"

// permissions are what a role allows, as "action on resource", and its statements. The role is named by its service or by a
// part of its logical id.
func permissions(t *testing.T, pipeline, role string) (allowed []string, statements []map[string]any) {
	t.Helper()
	add := func(document any) {
		policy, _ := document.(map[string]any)
		for _, s := range list(policy["Statement"]) {
			statement := s.(map[string]any)
			if statement["Effect"] != "Allow" {
				t.Fatalf("a statement that doesn't allow: %v", statement)
			}
			statements = append(statements, statement)
			for _, action := range list(statement["Action"]) {
				for _, resource := range list(statement["Resource"]) {
					on := text(t, resource)
					for _, name := range []string{"TrainingRole", "ModelRole"} {
						if strings.HasPrefix(on, "arn:aws:iam:") && strings.Contains(on, name) {
							on = name
						}
					}
					allowed = append(allowed, fmt.Sprintf("%s on %s", action, on))
				}
			}
		}
	}
	id := ""
	for logical, properties := range resources(t, pipeline, "AWS::IAM::Role") {
		if strings.Contains(fmt.Sprint(properties["AssumeRolePolicyDocument"]), role) || strings.Contains(logical, role) {
			id = logical
			for _, p := range list(properties["Policies"]) {
				add(p.(map[string]any)["PolicyDocument"])
			}
		}
	}
	for _, properties := range resources(t, pipeline, "AWS::IAM::Policy") {
		if strings.Contains(fmt.Sprint(properties["Roles"]), id) {
			add(properties["PolicyDocument"])
		}
	}
	return allowed, statements
}

// list is a value that a policy document writes alone or in an array.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}
