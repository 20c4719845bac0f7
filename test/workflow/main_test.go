// Package workflow executes the real state machines: their templates are synthesised, deployed into the local AWS by
// CloudFormation, and run against the local SageMaker, which trains and serves for real and fails on order.
package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssagemaker"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

// What the stacks of the tests name and the tests create themselves.
const (
	bucketName = "workflow-test-data"
	topicName  = "workflow-test-notices"
	topicARN   = "arn:aws:sns:" + emulator.Region + ":" + emulator.Account + ":" + topicName
	keyARN     = "arn:aws:kms:" + emulator.Region + ":" + emulator.Account + ":key/00000000-0000-0000-0000-000000000000"
)

// templates are the synthesised stacks by their names: one of a workflow for each situation, and some more to look at.
// They are made once, before the first test: jsii is single-threaded.
var templates = map[string]map[string]any{}

// specs are those of the pipelines whose workflows call functions.
var specs = map[string]pipeline.Spec{}

func TestMain(m *testing.M) {
	flag.Parse()
	// The situations spend their time waiting, not computing.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := synthesise(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	jsii.Close() // removes what it unpacked
	os.Exit(code)
}

func synthesise() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("synthesising the workflows: %v", r)
		}
	}()
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false)})
	for _, s := range situations {
		workflowStack(app, s.pipeline, s.props)
	}
	for _, s := range jobSituations {
		workflowStack(app, s.pipeline, s.props)
	}
	for _, j := range journeys {
		workflowStack(app, j.pipeline, j.props)
	}
	workflowStack(app, "guarded", func(stack awscdk.Stack, p *constructs.WorkflowProps) {
		p.EncryptionKey = awskms.Key_FromKeyArn(stack, jsii.String("Key"), jsii.String(keyARN))
	})
	workflowStack(app, "invpc", func(stack awscdk.Stack, p *constructs.WorkflowProps) {
		p.Vpc = awsec2.Vpc_FromVpcAttributes(stack, jsii.String("Vpc"), &awsec2.VpcAttributes{
			VpcId: jsii.String("vpc-0a1b2c3d"), AvailabilityZones: jsii.Strings("us-east-1a", "us-east-1b"),
			PrivateSubnetIds: jsii.Strings("subnet-0a", "subnet-0b"),
		})
		p.SecurityGroups = []awsec2.ISecurityGroup{awsec2.SecurityGroup_FromSecurityGroupId(stack, jsii.String("Group"), jsii.String("sg-0a"), nil)}
	})
	workflowStack(app, "fastdisk", func(stack awscdk.Stack, p *constructs.WorkflowProps) {
		p.EncryptionKey = awskms.Key_FromKeyArn(stack, jsii.String("Key"), jsii.String(keyARN))
		p.Training.InstanceTypes, p.Endpoint.InstanceType = []string{"ml.m5d.large"}, "ml.g5.xlarge"
	})
	exportMapStack(app)
	assembly := app.Synth(nil)
	for _, stack := range *assembly.Stacks() {
		b, err := json.Marshal(stack.Template())
		if err != nil {
			return err
		}
		var template map[string]any
		if err := json.Unmarshal(b, &template); err != nil {
			return err
		}
		templates[*stack.StackName()] = template
	}
	return nil
}

// workflowStack is a stack of a workflow alone. Polls are a second; the local AWS makes it a tenth of that.
func workflowStack(app awscdk.App, name string, change func(awscdk.Stack, *constructs.WorkflowProps)) {
	stack := awscdk.NewStack(app, jsii.String(prefix(name)), &awscdk.StackProps{
		Env: &awscdk.Environment{Account: jsii.String(emulator.Account), Region: jsii.String(emulator.Region)},
		// Nothing here has assets, so nothing has to be bootstrapped: the functions' code is an object that the lab puts.
		Synthesizer: awscdk.NewDefaultStackSynthesizer(&awscdk.DefaultStackSynthesizerProps{GenerateBootstrapVersionRule: jsii.Bool(false)}),
	})
	props := &constructs.WorkflowProps{
		Name:     prefix(name),
		Pipeline: name,
		Bucket:   awss3.Bucket_FromBucketName(stack, jsii.String("Bucket"), jsii.String(bucketName)),
		Topic:    awssns.Topic_FromTopicArn(stack, jsii.String("Topic"), jsii.String(topicARN)),
		Training: constructs.TrainingProps{
			InstanceTypes:   []string{"ml.m5.large"},
			MaxRuntime:      awscdk.Duration_Minutes(jsii.Number(10)),
			Hyperparameters: map[string]string{"num_round": "5", "objective": "binary:logistic", "eval_metric": "auc"},
		},
		Endpoint:      constructs.EndpointProps{InstanceType: "ml.m5.large"},
		PollInterval:  awscdk.Duration_Seconds(jsii.Number(1)),
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	}
	if change != nil {
		change(stack, props)
	}
	spec := specOf(name, props)
	specs[name] = spec
	code := func(id string) awslambda.Code {
		return awslambda.Code_FromBucket(awss3.Bucket_FromBucketName(stack, jsii.String(id+"Code"), jsii.String(bucketName)), jsii.String(codeKey(name)), nil)
	}
	props.Evaluate = constructs.NewEvaluate(stack, "Evaluate", &constructs.EvaluateProps{
		Name: prefix(name) + "-evaluate", Spec: spec, Bucket: props.Bucket, EncryptionKey: props.EncryptionKey,
		Architecture: constructs.HostArchitecture, Code: code("Evaluate"), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	}).Function
	props.Release = constructs.NewRelease(stack, "Release", &constructs.ReleaseProps{
		Name: prefix(name) + "-release", Spec: spec, Bucket: props.Bucket, EncryptionKey: props.EncryptionKey,
		Architecture: constructs.HostArchitecture, Code: code("Release"), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	}).Function
	props.Notify = constructs.NewNotify(stack, "Notify", &constructs.NotifyProps{
		Name: prefix(name) + "-notify", Spec: spec, Bucket: props.Bucket, EncryptionKey: props.EncryptionKey, Topic: props.Topic,
		Architecture: constructs.HostArchitecture, Code: code("Notify"), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	}).Function
	awssagemaker.NewCfnModelPackageGroup(stack, jsii.String("ModelPackages"), &awssagemaker.CfnModelPackageGroupProps{ModelPackageGroupName: jsii.String(prefix(name))})
	constructs.NewWorkflow(stack, "Workflow", props)
}

// functions are those that a workflow calls.
var functions = []string{"evaluate", "release", "notify"}

// codeKey is where the code of a pipeline's functions is.
func codeKey(name string) string { return "code/" + name + ".zip" }

// specOf is the spec of the pipeline that a workflow belongs to.
func specOf(name string, props *constructs.WorkflowProps) pipeline.Spec {
	return pipeline.Spec{
		Version: pipeline.Version, Project: "ml", Environment: "test", Pipeline: name,
		Source: pipeline.Source{Table: "dbo.Rows", Load: pipeline.Full},
		Dataset: pipeline.Dataset{
			Task: pipeline.Binary, Format: pipeline.CSV, Key: []string{"Id"}, Label: "Y", Features: []string{"A", "B"},
			Split: pipeline.Split{Train: 0.5, Validation: 0.5},
		},
		Gate: props.Gate, Deploy: cmp.Or(props.Endpoint.Kind, pipeline.Endpoint),
	}
}

// exportMapStack is a stack of the state machine of large exports alone, around functions that the test creates.
func exportMapStack(app awscdk.App) {
	stack := awscdk.NewStack(app, jsii.String(prefix("large")), &awscdk.StackProps{
		Env:         &awscdk.Environment{Account: jsii.String(emulator.Account), Region: jsii.String(emulator.Region)},
		Synthesizer: awscdk.NewDefaultStackSynthesizer(&awscdk.DefaultStackSynthesizerProps{GenerateBootstrapVersionRule: jsii.Bool(false)}),
	})
	function := func(name string) awslambda.IFunction {
		return awslambda.Function_FromFunctionArn(stack, jsii.String(name), jsii.String("arn:aws:lambda:"+emulator.Region+":"+emulator.Account+":function:"+name))
	}
	constructs.NewExportMap(stack, "ExportMap", &constructs.ExportMapProps{
		Name: prefix("large") + "-export", Pipeline: "large", Connections: 2,
		Bucket:   awss3.Bucket_FromBucketName(stack, jsii.String("Bucket"), jsii.String(bucketName)),
		Function: function(readerName), OnFailure: function(tellerName),
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}

// prefix is the name of a pipeline's state machine and endpoint.
func prefix(pipeline string) string { return "ml-test-" + pipeline }

// startEmulator starts the local AWS for one test. Its state machines wait a part of what they say.
func startEmulator(t *testing.T, waitScale string) *emulator.Emulator {
	t.Helper()
	e, err := emulator.Start(context.Background(), emulator.Options{StateDir: t.TempDir(), Env: []string{"SFN_WAIT_SCALE=" + waitScale}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Stop()
		if t.Failed() {
			log, _ := os.ReadFile(e.LogFile)
			t.Logf("the end of the emulator's log:\n%s", log[max(0, len(log)-20_000):])
		}
	})
	return e
}
