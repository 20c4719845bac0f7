package stacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/pipeline"
)

// somebodysStack is a stack of an app that isn't ours: other names, other feature flags, an imported bucket and topic.
func somebodysStack() (stack awscdk.Stack, bucket awss3.IBucket, topic awssns.ITopic, code awslambda.Code) {
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false)})
	stack = awscdk.NewStack(app, jsii.String("Shop"), &awscdk.StackProps{
		Env: &awscdk.Environment{Account: jsii.String("444444444444"), Region: jsii.String("eu-west-1")},
	})
	bucket = awss3.Bucket_FromBucketName(stack, jsii.String("Bucket"), jsii.String("shop-data"))
	topic = awssns.Topic_FromTopicArn(stack, jsii.String("Topic"), jsii.String("arn:aws:sns:eu-west-1:444444444444:shop"))
	code = awslambda.Code_FromBucketV2(awss3.Bucket_FromBucketName(stack, jsii.String("Code"), jsii.String("shop-code")), jsii.String("function.zip"), nil)
	return stack, bucket, topic, code
}

func minimal(bucket awss3.IBucket, topic awssns.ITopic, code awslambda.Code) *constructs.RetrainingPipelineProps {
	return &constructs.RetrainingPipelineProps{
		Spec:               pipeline.Spec{Version: pipeline.Version, Project: "shop", Environment: "live", Pipeline: "returns"},
		Database:           &constructs.SourceDatabase{SecretID: "shop/reader"},
		Bucket:             bucket,
		Topic:              topic,
		Alarms:             constructs.NoAlarms("watched by the shop's own dashboards"),
		ScheduleExpression: "rate(1 day)",
		Training:           &constructs.TrainingProps{InstanceTypes: []string{"ml.m6i.large"}, Hyperparameters: map[string]string{"num_round": "10"}},
		Endpoint:           &constructs.EndpointProps{InstanceType: "ml.m6i.large"},
		ExportCode:         code,
		NotifyCode:         code,
		ClockCode:          code,
		EvaluateCode:       code,
		ReleaseCode:        code,
	}
}

func TestAPipelineStandsAloneInSomebodysApp(t *testing.T) {
	stack, bucket, topic, code := somebodysStack()
	made := constructs.NewRetrainingPipeline(stack, "Returns", minimal(bucket, topic, code))
	if made.Name != "shop-live-returns" || len(made.Alarms) != 0 {
		t.Errorf("the pipeline is called %s and has %d alarms, want shop-live-returns and none", made.Name, len(made.Alarms))
	}
	tpl := assertions.Template_FromStack(stack, nil)
	for name, c := range map[string]struct {
		kind       string
		properties map[string]any
	}{
		"the export has a processor, all of Lambda's time and the default architecture": {"AWS::Lambda::Function", map[string]any{
			"FunctionName": "shop-live-returns-export", "MemorySize": 1769, "Timeout": 900, "Architectures": []string{"arm64"},
			"Environment": map[string]any{"Variables": map[string]any{
				"DATA_BUCKET": "shop-data", "DATA_KEY_ARN": "", "DATABASE_SECRET_ARN": "shop/reader",
				"STATE_MACHINE_ARN": assertions.Match_AnyValue(), "EXPORT_MACHINE_ARN": assertions.Match_AnyValue(),
				"NOTIFY_FUNCTION_ARN": assertions.Match_AnyValue(), "DATABASE_HOST": assertions.Match_Absent(), "REPLICA_HOST": assertions.Match_Absent(),
			}},
		}},
		"Lambda retries twice within an hour": {"AWS::Lambda::EventInvokeConfig", map[string]any{
			"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600,
		}},
		"logs are kept for a month": {"AWS::Logs::LogGroup", map[string]any{"RetentionInDays": 30}},
		"the schedule is in the account's default group, in UTC": {"AWS::Scheduler::Schedule", map[string]any{
			"GroupName": assertions.Match_Absent(), "ScheduleExpressionTimezone": "Etc/UTC", "State": "ENABLED",
		}},
		"the Scheduler acts for the default group only": {"AWS::IAM::Role", map[string]any{
			"AssumeRolePolicyDocument": assertions.Match_ObjectLike(&map[string]any{"Statement": []any{assertions.Match_ObjectLike(&map[string]any{
				"Condition": map[string]any{"StringEquals": map[string]any{
					"aws:SourceAccount": "444444444444",
					"aws:SourceArn":     map[string]any{"Fn::Join": []any{"", []any{"arn:", map[string]any{"Ref": "AWS::Partition"}, ":scheduler:eu-west-1:444444444444:schedule-group/default"}}},
				}},
			})}}),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if problem := recovered(func() { tpl.HasResourceProperties(jsii.String(c.kind), &c.properties) }); problem != "" {
				t.Error(problem)
			}
		})
	}
}

func TestAnExportWithoutANotifyFunctionTellsNobody(t *testing.T) {
	stack, bucket, _, code := somebodysStack()
	constructs.NewExport(stack, "Export", &constructs.ExportProps{
		Spec:     pipeline.Spec{Version: pipeline.Version, Project: "shop", Environment: "live", Pipeline: "returns"},
		Database: &constructs.SourceDatabase{SecretID: "shop/reader"}, Bucket: bucket, Code: code,
	})
	tpl := assertions.Template_FromStack(stack, nil)
	tpl.HasResourceProperties(jsii.String("AWS::Lambda::EventInvokeConfig"), &map[string]any{"DestinationConfig": assertions.Match_Absent()})
	for kind, gone := range map[string]string{"AWS::IAM::Role": "lambda:InvokeFunction", "AWS::Lambda::Function": "NOTIFY_FUNCTION_ARN"} {
		if found := text(tpl.FindResources(jsii.String(kind), nil)); strings.Contains(found, gone) || !strings.Contains(found, "Properties") {
			t.Errorf("%s has %s: %s", kind, gone, found)
		}
	}
}

// TestConstructsRefuseWhatCannotWork holds the messages of constructs that are used without our configuration.
func TestConstructsRefuseWhatCannotWork(t *testing.T) {
	for name, c := range map[string]struct {
		make func(stack awscdk.Stack, props *constructs.RetrainingPipelineProps)
		want string
	}{
		"the master user's secret, by name": {
			func(stack awscdk.Stack, props *constructs.RetrainingPipelineProps) {
				props.Database.SecretID = "rds!db-5f0c1e"
				constructs.NewRetrainingPipeline(stack, "Returns", props)
			},
			`the secret "rds!db-5f0c1e" is the one that RDS keeps for the master user: make a read-only login`,
		},
		"the master user's secret, by ARN": {
			func(stack awscdk.Stack, props *constructs.RetrainingPipelineProps) {
				props.Database.SecretID = "arn:aws:secretsmanager:eu-west-1:444444444444:secret:rds!db-5f0c1e-AbCdEf"
				constructs.NewRetrainingPipeline(stack, "Returns", props)
			},
			"is the one that RDS keeps for the master user",
		},
		"a name that leaves no room for a run id": {
			func(stack awscdk.Stack, props *constructs.RetrainingPipelineProps) {
				props.Spec.Pipeline = strings.Repeat("x", 40)
				constructs.NewRetrainingPipeline(stack, "Returns", props)
			},
			fmt.Sprintf("has 50 characters, SageMaker's names leave room for %d", constructs.MaxNameLength),
		},
		"a name in upper case": {
			func(stack awscdk.Stack, props *constructs.RetrainingPipelineProps) {
				props.Spec.Pipeline = "Returns"
				constructs.NewRetrainingPipeline(stack, "Returns", props)
			},
			"lower-case letters, digits and single hyphens only",
		},
		"an endpoint without a model": {
			func(stack awscdk.Stack, props *constructs.RetrainingPipelineProps) {
				props.Training = nil
				constructs.NewRetrainingPipeline(stack, "Returns", props)
			},
			"has a training or an endpoint without the other",
		},
		"a processor that Lambda doesn't have": {
			func(stack awscdk.Stack, props *constructs.RetrainingPipelineProps) {
				props.Architecture = "riscv"
				constructs.NewRetrainingPipeline(stack, "Returns", props)
			},
			`architecture "riscv" is none of arm64, x86_64 and host`,
		},
		"a network that is too small": {
			func(stack awscdk.Stack, _ *constructs.RetrainingPipelineProps) {
				constructs.NewNetwork(stack, "Network", &constructs.NetworkProps{CIDR: "10.0.0.0/28", AvailabilityZones: []string{"eu-west-1a"}})
			},
			`the network's CIDR "10.0.0.0/28" is not an IPv4 range from /16 to /24`,
		},
		"a network without route tables for the endpoint of S3": {
			func(stack awscdk.Stack, _ *constructs.RetrainingPipelineProps) {
				constructs.ImportNetwork(stack, "Network", &constructs.ImportedNetworkProps{
					VpcID: "vpc-0a1b2c3d", AvailabilityZones: []string{"eu-west-1a"}, PrivateSubnetIDs: []string{"subnet-0a1b2c3d"},
				})
			},
			"the network vpc-0a1b2c3d names 0 route tables for 1 private subnets",
		},
		"an engine that isn't SQL Server": {
			func(stack awscdk.Stack, _ *constructs.RetrainingPipelineProps) {
				network := constructs.ImportNetwork(stack, "Network", &constructs.ImportedNetworkProps{
					VpcID: "vpc-0a1b2c3d", AvailabilityZones: []string{"eu-west-1a"}, PrivateSubnetIDs: []string{"subnet-0a1b2c3d"}, EndpointsExist: true,
				})
				constructs.NewDatabase(stack, "Database", &constructs.DatabaseProps{
					Vpc: network.Vpc, Subnets: network.Subnets, Engine: "postgres", Version: "16.00", InstanceType: "m6i.large",
				})
			},
			`can't be provisioned with the engine "postgres"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			stack, bucket, topic, code := somebodysStack()
			got := recovered(func() { c.make(stack, minimal(bucket, topic, code)) })
			if !strings.Contains(got, c.want) {
				t.Errorf("the message is\n\t%s\nwant it to say\n\t%s", got, c.want)
			}
		})
	}
}

// TestAnEncryptedDatabaseIsTheDefault is what dev's Express can't show.
func TestAnEncryptedDatabaseIsTheDefault(t *testing.T) {
	stack, _, _, _ := somebodysStack()
	network := constructs.NewNetwork(stack, "Network", &constructs.NetworkProps{CIDR: "10.0.0.0/20", AvailabilityZones: []string{"eu-west-1a", "eu-west-1b"}})
	database := constructs.NewDatabase(stack, "Database", &constructs.DatabaseProps{
		Vpc: network.Vpc, Subnets: network.Subnets, Engine: "sqlserver-se", Version: "16.00", InstanceType: "m6i.large",
		StorageGiB: 100, MultiAZ: true, Name: "shop", ExportSecretName: "shop/reader",
	})
	if database.Source.SecretID != "shop/reader" || database.Source.Name != "shop" || database.Source.Port != "1433" {
		t.Errorf("exports would connect to %+v", database.Source)
	}
	tpl := assertions.Template_FromStack(stack, nil)
	properties := map[string]any{
		"StorageEncrypted": true, "DeletionProtection": true, "ManageMasterUserPassword": true, "MultiAZ": true, "Engine": "sqlserver-se",
	}
	if problem := recovered(func() {
		tpl.HasResource(jsii.String("AWS::RDS::DBInstance"), &map[string]any{
			"DeletionPolicy": "Snapshot", "UpdateReplacePolicy": "Snapshot", "Properties": assertions.Match_ObjectLike(&properties),
		})
	}); problem != "" {
		t.Error(problem)
	}
}

// recovered is what f panics with, or the empty string.
func recovered(f func()) (problem string) {
	defer func() {
		if r := recover(); r != nil {
			problem = fmt.Sprint(r)
		}
	}()
	f()
	return ""
}
