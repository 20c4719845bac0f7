package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/service"
)

// EvaluateProps says what is evaluated, and where it lies.
type EvaluateProps struct {
	// Name of the function.
	// Default: generated.
	Name string
	// Spec of the pipeline whose models are evaluated: its gate decides.
	Spec pipeline.Spec
	// Bucket holds the runs, the models and their scores, and gets the reports.
	Bucket awss3.IBucket
	// EncryptionKey of the bucket.
	// Default: the bucket's key, or none when the bucket has none that is known here.
	EncryptionKey awskms.IKey
	// MemoryMiB of the function. Its processors grow with it: one at 1769.
	// Default: 1769, for hold-outs of up to 10 million rows.
	MemoryMiB int
	// Architecture to compile for.
	// Default: Arm64.
	Architecture Architecture
	// Code of the function.
	// Default: compiled from this module by the go tool.
	Code awslambda.Code
	// LogRetention of its log group.
	// Default: 30 days.
	LogRetention awslogs.RetentionDays
	// RemovalPolicy of its log group.
	// Default: the log group stays.
	RemovalPolicy awscdk.RemovalPolicy
}

// Evaluate is the function that finds the model in service, decides whether a candidate may take its place, and asks the endpoint for
// rows whose scores are known. docs/evaluation.md says how it measures.
type Evaluate struct {
	Construct constructs.Construct
	Function  awslambda.Function
	Role      awsiam.Role
	LogGroup  awslogs.LogGroup
}

const (
	// DefaultEvaluateMemoryMiB is one processor, and twice what the largest hold-out needs.
	DefaultEvaluateMemoryMiB = 1769
	// evaluateMinutes is Lambda's maximum: a hold-out of a million rows takes seconds, the largest some minutes.
	evaluateMinutes = 15

	evaluatePackage = "sagemaker-datapipeline/lambda/evaluate"
)

// NewEvaluate makes the function. It runs outside any VPC: it calls S3 and SageMaker and nothing else.
func NewEvaluate(scope constructs.Construct, id string, props *EvaluateProps) *Evaluate {
	this := constructs.NewConstruct(scope, &id)
	key := props.EncryptionKey
	if key == nil {
		key = props.Bucket.EncryptionKey()
	}
	memory := props.MemoryMiB
	if memory == 0 {
		memory = DefaultEvaluateMemoryMiB
	}
	environment := map[string]*string{
		"DATA_BUCKET":  props.Bucket.BucketName(),
		"DATA_KEY_ARN": jsii.String(""),
		"GOMEMLIMIT":   jsii.String(fmt.Sprintf("%dMiB", memory*goMemoryPercent/100)),
	}
	if key != nil {
		environment["DATA_KEY_ARN"] = key.KeyArn()
	}
	function := newGoFunction(this, functionProps{
		name:         props.Name,
		description:  fmt.Sprintf("Compares models of %s with the one in service", props.Spec.Pipeline),
		goPackage:    evaluatePackage,
		architecture: props.Architecture,
		code:         props.Code,
		spec:         props.Spec,
		environment:  environment,
		memoryMiB:    memory,
		timeout:      awscdk.Duration_Minutes(jsii.Number(evaluateMinutes)),
		logRetention: orDefaultRetention(props.LogRetention),
		logRemoval:   orRetain(props.RemovalPolicy),
		statements:   evaluateStatements(this, props, key),
	})
	return &Evaluate{Construct: this, Function: function.Function, Role: function.role, LogGroup: function.logGroup}
}

// MetricErrors counts the evaluations and smoke tests that ended with an error.
func (e *Evaluate) MetricErrors(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return e.Function.MetricErrors(options)
}

// evaluateStatements are what the evaluation calls, and nothing else.
func evaluateStatements(scope constructs.Construct, props *EvaluateProps, key awskms.IKey) []awsiam.PolicyStatement {
	stack := awscdk.Stack_Of(scope)
	spec := props.Spec
	objects := func(pattern string) *string { return props.Bucket.ArnForObjects(jsii.String(pattern)) }
	read := []*string{
		objects(head.Key(spec.Pipeline)), objects(manifest.RunsPrefix(spec.Pipeline) + "*"),
		objects(manifest.ModelPrefix(spec.Pipeline) + "*/signature.json"), objects(evaluation.AllScoresPrefix(spec.Pipeline) + "*"),
	}
	if spec.Deploy == pipeline.Batch {
		read = append(read, objects(service.Key(spec.Pipeline)))
	}
	statements := []awsiam.PolicyStatement{
		allow("ReadWhatWasScored", []string{"s3:GetObject", "s3:GetObjectVersion"}, read...),
		allow("KeepReports", []string{"s3:GetObject", "s3:PutObject"}, objects(evaluation.Prefix(spec.Pipeline)+"*")),
		// Without it S3 answers 403, not 404, for an object that isn't there.
		allow("SeeWhatIsThere", []string{"s3:ListBucket"}, props.Bucket.BucketArn()),
	}
	if key != nil {
		statements = append(statements, allowIf("OpenAndSealObjects", []string{"kms:GenerateDataKey", "kms:Decrypt"}, map[string]any{
			"StringEquals": map[string]any{"kms:ViaService": fmt.Sprintf("s3.%s.amazonaws.com", *stack.Region())},
		}, key.KeyArn()))
	}
	of := func(resource, name string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("sagemaker"), Resource: jsii.String(resource), ResourceName: jsii.String(name)})
	}
	statements = append(statements, allow("SeeWhetherAModelIsThere", []string{"sagemaker:DescribeModel"}, of("model", spec.Name()+"-*")))
	if spec.Deploy != pipeline.Batch {
		statements = append(statements,
			allow("AskTheEndpoint", []string{"sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"}, of("endpoint", spec.Name())),
			allow("SeeWhatItServes", []string{"sagemaker:DescribeEndpointConfig"}, of("endpoint-config", spec.Name()+"-*")))
	}
	return statements
}
