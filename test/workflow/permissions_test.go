package workflow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/test/local/emulator"
)

// What the resource of a task needs, and on what. Sources: the Step Functions developer guide, "IAM policies for integrated
// services" (SageMaker AI, createTrainingJob.sync; Amazon SNS) and, for the actions that create with tags, sagemaker:AddTags
// in the Service Authorization Reference of Amazon SageMaker.
var needed = map[string][]string{
	"sagemaker:createTrainingJob.sync": {
		"sagemaker:CreateTrainingJob on " + sagemakerARN("training-job", "-????????t??????z*"),
		"sagemaker:DescribeTrainingJob on " + sagemakerARN("training-job", "-????????t??????z*"),
		"sagemaker:StopTrainingJob on " + sagemakerARN("training-job", "-????????t??????z*"),
		"sagemaker:AddTags on " + sagemakerARN("training-job", "-????????t??????z*"),
		"sagemaker:ListTags on " + sagemakerARN("training-job", "-????????t??????z*"),
		"events:PutTargets on " + jobsRule, "events:PutRule on " + jobsRule, "events:DescribeRule on " + jobsRule,
		"iam:PassRole on TrainingRole",
	},
	"aws-sdk:s3:copyObject": {
		"s3:GetObject on arn:aws:s3:::" + bucketName + "/%[1]s/runs/*",
		"s3:PutObject on arn:aws:s3:::" + bucketName + "/%[1]s/models/*/signature.json",
	},
	"aws-sdk:sagemaker:createModel": {
		"sagemaker:CreateModel on " + sagemakerARN("model", "-????????t??????z*"),
		"sagemaker:AddTags on " + sagemakerARN("model", "-????????t??????z*"),
		"iam:PassRole on ModelRole",
	},
	"aws-sdk:sagemaker:describeModel": {"sagemaker:DescribeModel on " + sagemakerARN("model", "-????????t??????z*")},
	"aws-sdk:sagemaker:createEndpointConfig": {
		"sagemaker:CreateEndpointConfig on " + sagemakerARN("endpoint-config", "-????????t??????z*"),
		"sagemaker:AddTags on " + sagemakerARN("endpoint-config", "-????????t??????z*"),
	},
	"aws-sdk:sagemaker:describeEndpointConfig": {"sagemaker:DescribeEndpointConfig on " + sagemakerARN("endpoint-config", "-????????t??????z*")},
	"aws-sdk:sagemaker:describeEndpoint":       {"sagemaker:DescribeEndpoint on " + sagemakerARN("endpoint", "")},
	"aws-sdk:sagemaker:createEndpoint": {
		"sagemaker:CreateEndpoint on " + sagemakerARN("endpoint", ""),
		"sagemaker:CreateEndpoint on " + sagemakerARN("endpoint-config", "-????????t??????z*"),
		"sagemaker:AddTags on " + sagemakerARN("endpoint", ""),
	},
	"aws-sdk:sagemaker:updateEndpoint": {
		"sagemaker:UpdateEndpoint on " + sagemakerARN("endpoint", ""),
		"sagemaker:UpdateEndpoint on " + sagemakerARN("endpoint-config", "-????????t??????z*"),
	},
	"aws-sdk:sagemaker:deleteEndpoint":        {"sagemaker:DeleteEndpoint on " + sagemakerARN("endpoint", "")},
	"aws-sdk:sagemakerruntime:invokeEndpoint": {"sagemaker:InvokeEndpoint on " + sagemakerARN("endpoint", "")},
	"sns:publish": {"sns:Publish on " + topicARN},
}

// What a key and the log of executions need besides. Source of the log's: the Step Functions developer guide, "Using
// CloudWatch Logs to log execution history"; the CDK grants it.
var (
	keyNeeds = []string{
		"kms:Decrypt on " + keyARN, "kms:GenerateDataKey on " + keyARN, // copying the signature, publishing to an encrypted topic
		"kms:CreateGrant on " + keyARN, // disks
	}
	// A key in the output configuration of a training job. Source: the SageMaker developer guide, as below.
	outputKeyNeeds = []string{"kms:Encrypt on " + keyARN}
	logNeeds       = []string{
		"logs:CreateLogDelivery on *", "logs:GetLogDelivery on *", "logs:UpdateLogDelivery on *", "logs:DeleteLogDelivery on *",
		"logs:ListLogDeliveries on *", "logs:PutResourcePolicy on *", "logs:DescribeResourcePolicies on *", "logs:DescribeLogGroups on *",
	}
)

const jobsRule = "arn:aws:events:" + emulator.Region + ":" + emulator.Account + ":rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"

// sagemakerARN has a %[2]s for the prefix of the pipeline's names.
func sagemakerARN(kind, rest string) string {
	return "arn:aws:sagemaker:" + emulator.Region + ":" + emulator.Account + ":" + kind + "/%[2]s" + rest
}

func TestTheWorkflowsRoleAllowsWhatItsTasksCallAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		pipeline string
		besides  []string
	}{
		{"plain", logNeeds},
		{"guarded", append(slices.Clone(logNeeds), keyNeeds...)},
		{"fastdisk", append(slices.Clone(logNeeds), keyNeeds[:2]...)}, // local disks seal themselves
		{"invpc", logNeeds},
	} {
		t.Run(c.pipeline, func(t *testing.T) {
			want := slices.Clone(c.besides)
			for name, state := range decode(t, c.pipeline).States {
				if state.Type != "Task" {
					continue
				}
				integration := strings.TrimPrefix(state.Resource, "arn:aws:states:::")
				actions, known := needed[integration]
				if !known {
					t.Fatalf("%s calls %s: write down what that needs", name, integration)
				}
				for _, action := range actions {
					if strings.Contains(action, "%") {
						action = fmt.Sprintf(action+"%.0[1]s%.0[2]s", c.pipeline, prefix(c.pipeline))
					}
					want = append(want, action)
				}
			}
			got, _ := permissions(t, c.pipeline, "states.amazonaws.com")
			for _, p := range got {
				if !slices.Contains(want, p) {
					t.Errorf("spare: %s", p)
				}
			}
			for _, p := range want {
				if !slices.Contains(got, p) {
					t.Errorf("missing: %s", p)
				}
			}
		})
	}
}

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
	for _, c := range []struct {
		pipeline, role string
		want           [][]string
	}{
		{"plain", "TrainingRole", [][]string{training("plain"), container}},
		{"plain", "ModelRole", [][]string{model("plain"), container}},
		{"guarded", "TrainingRole", [][]string{training("guarded"), container, keyNeeds, outputKeyNeeds}},
		{"guarded", "ModelRole", [][]string{model("guarded"), container, keyNeeds[:1]}},
		{"fastdisk", "TrainingRole", [][]string{training("fastdisk"), container, keyNeeds[:2], outputKeyNeeds}},
		{"invpc", "TrainingRole", [][]string{training("invpc"), container, network}},
		{"invpc", "ModelRole", [][]string{model("invpc"), container, network}},
	} {
		t.Run(c.pipeline+" "+c.role, func(t *testing.T) {
			got, _ := permissions(t, c.pipeline, c.role)
			want := slices.Concat(c.want...)
			slices.Sort(got)
			slices.Sort(want)
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
