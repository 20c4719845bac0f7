package stacks

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// everywhere are the actions that may be allowed on "*", and why.
var everywhere = map[string]string{
	"ec2:AssignPrivateIpAddresses":         "Lambda requires it on all resources to attach a function to a VPC",
	"ec2:CreateNetworkInterface":           "Lambda and SageMaker: the interface doesn't exist yet",
	"ec2:CreateNetworkInterfacePermission": "SageMaker: the interface doesn't exist yet",
	"ec2:DeleteNetworkInterface":           "Lambda and SageMaker: its id isn't known at deployment",
	"ec2:DeleteNetworkInterfacePermission": "SageMaker: its id isn't known at deployment",
	"ec2:DescribeDhcpOptions":              "no resource-level permission",
	"ec2:DescribeNetworkInterfaces":        "no resource-level permission",
	"ec2:DescribeSecurityGroups":           "no resource-level permission",
	"ec2:DescribeSubnets":                  "no resource-level permission",
	"ec2:DescribeVpcs":                     "no resource-level permission",
	"ec2:UnassignPrivateIpAddresses":       "Lambda requires it on all resources to attach a function to a VPC",
	"ecr:GetAuthorizationToken":            "no resource-level permission",
	"sagemaker:ListEndpointConfigs":        "no resource-level permission",
	"sagemaker:ListModels":                 "no resource-level permission",

	"application-autoscaling:DescribeScalableTargets": "no resource-level permission",
	"cloudwatch:PutMetricData":                        "no resource-level permission; the statement names the namespace",
	"logs:CreateLogDelivery":                          "Step Functions' log delivery has no resource-level permission",
	"logs:DeleteLogDelivery":                          "Step Functions' log delivery has no resource-level permission",
	"logs:DescribeLogGroups":                          "Step Functions' log delivery has no resource-level permission",
	"logs:DescribeResourcePolicies":                   "Step Functions' log delivery has no resource-level permission",
	"logs:GetLogDelivery":                             "Step Functions' log delivery has no resource-level permission",
	"logs:ListLogDeliveries":                          "Step Functions' log delivery has no resource-level permission",
	"logs:PutResourcePolicy":                          "Step Functions' log delivery has no resource-level permission",
	"logs:UpdateLogDelivery":                          "Step Functions' log delivery has no resource-level permission",
}

func TestNoRoleMayDoMoreThanItNames(t *testing.T) {
	each(t, func(t *testing.T, _, _ string, tpl template) {
		for id, statements := range identityStatements(tpl) {
			for _, s := range statements {
				actions, resources := list(s["Action"]), list(s["Resource"])
				for _, action := range actions {
					if strings.Contains(action, "*") {
						t.Errorf("%s allows %s: name the actions", id, action)
					}
					if slices.Contains(resources, "*") && everywhere[action] == "" {
						t.Errorf("%s allows %s on every resource", id, action)
					}
				}
				if s["Effect"] != "Allow" || s["NotAction"] != nil || s["NotResource"] != nil {
					t.Errorf("%s has a statement that isn't a plain permission: %s", id, text(s))
				}
			}
		}
	})
}

// TestTheFunctionsAndTheSchedulerMayDoExactlyThis is the whole of seven roles. That of the workflow is held against its
// definition, in workflowrole_test.go and in test/workflow.
func TestTheFunctionsAndTheSchedulerMayDoExactlyThis(t *testing.T) {
	const (
		foundation = "output of ml-prod-foundation"
		states     = "arn:aws:states:eu-central-1:333333333333:"
		sagemaker  = "arn:aws:sagemaker:eu-central-1:333333333333:"
	)
	want := map[string][]string{
		"PipelineExportRole": {
			"AttachToTheVpc: ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses on *",
			"EncryptRuns: kms:Decrypt kms:GenerateDataKey on " + foundation + " DataLakeKey if StringEquals kms:ViaService=s3.eu-central-1.amazonaws.com",
			"HaveEndsTold: lambda:InvokeFunction on PipelineNotifyFunction.Arn",
			"LookAtTheMap: states:DescribeExecution on " + states + "execution:ml-prod-fraud-export:*",
			"OpenTheDatabaseSecret: kms:Decrypt on arn:aws:kms:eu-central-1:333333333333:key/* if StringEquals kms:ViaService=secretsmanager.eu-central-1.amazonaws.com and StringLike kms:EncryptionContext:SecretARN=arn:aws:secretsmanager:eu-central-1:333333333333:secret:ml/prod/sqlserver-export-??????",
			"ReadTheDatabaseSecret: secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-central-1:333333333333:secret:ml/prod/sqlserver-export-??????",
			"SeeWhatIsThere: s3:ListBucket on " + foundation + " DataLakeBucket",
			"StartTheMap: states:StartExecution on " + states + "stateMachine:ml-prod-fraud-export",
			"StartTheWorkflow: states:StartExecution on PipelineWorkflowStateMachine",
			"SweepRuns: s3:DeleteObject on " + foundation + " DataLakeBucket/fraud/runs/*",
			"WriteItsLog: logs:CreateLogStream logs:PutLogEvents on PipelineExportLogs.Arn",
			"WriteRuns: s3:AbortMultipartUpload s3:GetObject s3:GetObjectVersion s3:PutObject on " + foundation + " DataLakeBucket/fraud/*",
		},
		"PipelineExportMapRole": {
			"FindTheFailure: states:ListExecutions states:ListMapRuns on " + states + "execution:ml-prod-fraud-export:* " + states + "mapRun:ml-prod-fraud-export/*",
			"OpenTheList: kms:Decrypt on " + foundation + " DataLakeKey if StringEquals kms:ViaService=s3.eu-central-1.amazonaws.com",
			"ReadPartitionsAndTell: lambda:InvokeFunction on PipelineExportFunction.Arn PipelineNotifyFunction.Arn",
			"ReadTheList: s3:GetObject on " + foundation + " DataLakeBucket/fraud/runs/*",
			"StartTheChildren: states:StartExecution on " + states + "stateMachine:ml-prod-fraud-export",
			"WatchTheChildren: states:DescribeExecution states:StopExecution on " + states + "execution:ml-prod-fraud-export/* " + states + "execution:ml-prod-fraud-export:*",
		},
		"PipelineClockRole": {
			"BeginToCount: s3:PutObject on " + foundation + " DataLakeBucket/fraud/clocks/since.json",
			"EncryptClocks: kms:Decrypt kms:GenerateDataKey on " + foundation + " DataLakeKey if StringEquals kms:ViaService=s3.eu-central-1.amazonaws.com",
			"PutMetrics: cloudwatch:PutMetricData on * if StringEquals cloudwatch:namespace=SagemakerDatapipeline",
			"ReadTheClocks: s3:GetObject on " + foundation + " DataLakeBucket/fraud/clocks/*",
			"SeeWhatIsThere: s3:ListBucket on " + foundation + " DataLakeBucket",
			"WriteItsLog: logs:CreateLogStream logs:PutLogEvents on PipelineClockLogs.Arn",
		},
		"PipelineNotifyRole": {
			"EncryptClocks: kms:Decrypt kms:GenerateDataKey on " + foundation + " DataLakeKey if StringEquals kms:ViaService=s3.eu-central-1.amazonaws.com",
			"EncryptNotices: kms:Decrypt kms:GenerateDataKey on " + foundation + " DataLakeKey if StringEquals kms:ViaService=sns.eu-central-1.amazonaws.com",
			"PutMetrics: cloudwatch:PutMetricData on * if StringEquals cloudwatch:namespace=SagemakerDatapipeline",
			"SeeWhatIsThere: s3:ListBucket on " + foundation + " DataLakeBucket",
			"SetTheClocks: s3:GetObject s3:PutObject on " + foundation + " DataLakeBucket/fraud/clocks/*",
			"TellMachines: events:PutEvents on arn:aws:events:eu-central-1:333333333333:event-bus/default",
			"TellPeople: sns:Publish on " + foundation + " NoticesTopic",
			"WriteItsLog: logs:CreateLogStream logs:PutLogEvents on PipelineNotifyLogs.Arn",
		},
		"PipelineReleaseRole": {
			"EncryptLeaseAndHistory: kms:Decrypt kms:GenerateDataKey on " + foundation + " DataLakeKey if StringEquals kms:ViaService=s3.eu-central-1.amazonaws.com",
			"KeepLeaseAndHistory: s3:GetObject s3:PutObject on " + foundation + " DataLakeBucket/fraud/deploy-lease.json " + foundation + " DataLakeBucket/fraud/service.json",
			"ListEndpointConfigs: sagemaker:ListEndpointConfigs on *",
			"ListModels: sagemaker:ListModels on *",
			"ListWhatWaits: sagemaker:ListModelPackages on " + sagemaker + "model-package-group/ml-prod-fraud " + sagemaker + "model-package/ml-prod-fraud/*",
			"PruneEndpointConfigs: sagemaker:DeleteEndpointConfig on " + sagemaker + "endpoint-config/ml-prod-fraud-????????t??????z*",
			"PruneModels: sagemaker:DeleteModel on " + sagemaker + "model/ml-prod-fraud-????????t??????z*",
			"ReadDecisionsAndEndThem: sagemaker:DescribeModelPackage sagemaker:UpdateModelPackage on " + sagemaker + "model-package/ml-prod-fraud/*",
			"SeeWhatIsBehindIt: sagemaker:DescribeEndpointConfig on " + sagemaker + "endpoint-config/*",
			"SeeWhatIsThere: s3:ListBucket on " + foundation + " DataLakeBucket",
			"SeeWhatServes: sagemaker:DescribeEndpoint on " + sagemaker + "endpoint/ml-prod-fraud",
			"SeeWhoHoldsTheLease: states:DescribeExecution on " + states + "execution:ml-prod-fraud:*",
			"SeeWhoIsAtWork: states:ListExecutions on " + states + "stateMachine:ml-prod-fraud",
			"WriteItsLog: logs:CreateLogStream logs:PutLogEvents on PipelineReleaseLogs.Arn",
		},
		"PipelineScheduleRole": {
			"InvokeTheTarget: lambda:InvokeFunction on PipelineExportFunction.Arn",
			"KeepTheUndelivered: sqs:SendMessage on PipelineScheduleUndelivered.Arn",
		},
	}
	tpl := templates["prod"]["fraud"]
	for id, statements := range identityStatements(tpl) {
		role := withoutHash(id)
		if want[role] == nil {
			continue
		}
		var got []string
		for _, s := range statements {
			got = append(got, sentence(s))
		}
		slices.Sort(got)
		if !slices.Equal(got, want[role]) {
			t.Errorf("%s may\n\t%s\nwant\n\t%s", role, strings.Join(got, "\n\t"), strings.Join(want[role], "\n\t"))
		}
		delete(want, role)
	}
	for role := range want {
		t.Errorf("there is no role %s", role)
	}
}

func TestOnlyTheEnvironmentsSchedulerMayInvoke(t *testing.T) {
	role := templates["prod"]["fraud"].only(t, "AWS::IAM::Role", "PipelineScheduleRole")
	trust := text(role.at("AssumeRolePolicyDocument", "Statement"))
	for _, want := range []string{`"aws:SourceAccount":"333333333333"`, `"aws:SourceArn":{"Fn::GetStackOutput":{"OutputName":"PublishOutputFnGetAttScheduleGroup`, `"Service":"scheduler.amazonaws.com"`} {
		if !strings.Contains(trust, want) {
			t.Errorf("the trust policy doesn't hold %s: %s", want, trust)
		}
	}
}

func TestTheKeyServesThePipelinesAndNobodyElse(t *testing.T) {
	key := templates["prod"]["Foundation"].only(t, "AWS::KMS::Key", "")
	var got []string
	for _, s := range key.at("KeyPolicy", "Statement").([]any) {
		s := s.(map[string]any)
		if s["Sid"] == "AdministerByIAM" {
			for _, action := range list(s["Action"]) {
				for _, use := range []string{"kms:*", "kms:Create*", "kms:CreateGrant", "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt", "kms:Generate"} {
					if strings.HasPrefix(action, use) {
						t.Errorf("administering includes using the key: %s", action)
					}
				}
			}
			continue
		}
		got = append(got, sentence(s))
	}
	slices.Sort(got)
	want := []string{
		"NoticesOfAlarms: kms:Decrypt kms:GenerateDataKey* on * if StringEquals aws:SourceAccount=333333333333",
		"ReadThroughS3ByIAM: kms:Decrypt on * if StringEquals kms:CallerAccount=333333333333 and StringEquals kms:ViaService=s3.eu-central-1.amazonaws.com",
		"VolumesOfSageMaker: kms:CreateGrant on * if ArnLike aws:PrincipalArn=arn:aws:iam::333333333333:role/ml-prod-* and Bool kms:GrantIsForAWSResource=true and StringEquals kms:CallerAccount=333333333333",
		"WriteByThePipelines: kms:Decrypt kms:Encrypt kms:GenerateDataKey* kms:ReEncrypt* on * if ArnLike aws:PrincipalArn=arn:aws:iam::333333333333:role/ml-prod-* and StringEquals kms:CallerAccount=333333333333 and StringEquals kms:ViaService=s3.eu-central-1.amazonaws.com,sns.eu-central-1.amazonaws.com,sagemaker.eu-central-1.amazonaws.com",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the key's policy is\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// identityStatements are the statements of roles and of policies that are attached to them, by logical id.
func identityStatements(tpl template) map[string][]map[string]any {
	found := map[string][]map[string]any{}
	add := func(id string, document any) {
		for _, s := range document.(map[string]any)["Statement"].([]any) {
			found[id] = append(found[id], s.(map[string]any))
		}
	}
	for id, role := range tpl.of("AWS::IAM::Role") {
		policies, _ := role.at("Policies").([]any)
		for _, p := range policies {
			add(id, p.(map[string]any)["PolicyDocument"])
		}
	}
	for id, policy := range tpl.of("AWS::IAM::Policy") {
		add(id, policy.at("PolicyDocument"))
	}
	return found
}

// sentence says a statement in one line.
func sentence(s map[string]any) string {
	line := fmt.Sprintf("%s: %s on %s", s["Sid"], strings.Join(list(s["Action"]), " "), strings.Join(list(s["Resource"]), " "))
	var conditions []string
	operators, _ := s["Condition"].(map[string]any)
	for operator, keys := range operators {
		for key, value := range keys.(map[string]any) {
			conditions = append(conditions, fmt.Sprintf("%s %s=%s", operator, key, strings.Join(list(value), ",")))
		}
	}
	slices.Sort(conditions)
	if len(conditions) > 0 {
		line += " if " + strings.Join(conditions, " and ")
	}
	return line
}

// list gives the values of a policy's element, which is one value or several, with the names of what they refer to.
func list(v any) []string {
	switch v := v.(type) {
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, list(e)...)
		}
		return all
	case map[string]any:
		if join, ok := v["Fn::Join"].([]any); ok {
			return []string{strings.Join(list(join[1]), "")}
		}
		if get, ok := v["Fn::GetAtt"].([]any); ok {
			return []string{withoutHash(fmt.Sprint(get[0])) + "." + fmt.Sprint(get[1])}
		}
		if ref, ok := v["Ref"].(string); ok {
			return []string{withoutHash(ref)}
		}
		if output, ok := v["Fn::GetStackOutput"].(map[string]any); ok {
			name := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprint(output["OutputName"]), "PublishOutputRef"), "PublishOutputFnGetAtt")
			for _, resource := range []string{"DataLakeBucket", "DataLakeKey", "NoticesTopic"} {
				if strings.HasPrefix(name, resource) {
					name = resource
				}
			}
			return []string{fmt.Sprintf("output of %s %s", output["StackName"], name)}
		}
	}
	return []string{fmt.Sprint(v)}
}

// withoutHash takes the eight digits off that the CDK puts behind a logical id.
func withoutHash(id string) string { return id[:max(0, len(id)-8)] }
