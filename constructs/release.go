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

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/service"
)

// ReleaseProps says whose deploy lease, history and old models the function looks after.
type ReleaseProps struct {
	// Name of the function.
	// Default: generated.
	Name string
	// Spec of the pipeline. Its name is also the name of the workflow, of the endpoint and of the model package group.
	Spec pipeline.Spec
	// Bucket holds the lease and the history.
	Bucket awss3.IBucket
	// EncryptionKey of the objects.
	// Default: the bucket's own.
	EncryptionKey awskms.IKey
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

// Release is the function that the workflow asks around a deployment: for the lease under which one execution at a time changes what is in service,
// for what people said of a registered model, to write down what is in service, and to delete what nobody needs any more.
type Release struct {
	Construct constructs.Construct
	Function  awslambda.Function
	Role      awsiam.Role
	LogGroup  awslogs.LogGroup
}

const (
	releasePackage = "sagemaker-datapipeline/lambda/release"
	// releaseTimeoutMinutes is for pruning: some hundred calls, one after the other, that SageMaker may ask to send again.
	releaseTimeoutMinutes = 5
)

// NewRelease makes the function. It runs outside any VPC: it calls S3, Step Functions and SageMaker and nothing else.
func NewRelease(scope constructs.Construct, id string, props *ReleaseProps) *Release {
	this := constructs.NewConstruct(scope, &id)
	key := props.EncryptionKey
	if key == nil {
		key = props.Bucket.EncryptionKey()
	}
	keyARN := jsii.String("")
	if key != nil {
		keyARN = key.KeyArn()
	}
	function := newGoFunction(this, functionProps{
		name:         props.Name,
		description:  fmt.Sprintf("Holds the deploy lease of %s and knows what is in service", props.Spec.Pipeline),
		goPackage:    releasePackage,
		architecture: props.Architecture,
		code:         props.Code,
		spec:         props.Spec,
		environment: map[string]*string{
			"DATA_BUCKET":  props.Bucket.BucketName(),
			"DATA_KEY_ARN": keyARN,
			// By its name: the workflow invokes the function, so neither can be made from the other.
			"STATE_MACHINE_ARN": statesArn(awscdk.Stack_Of(this), "stateMachine", props.Spec.Name()),
		},
		memoryMiB:    256,
		timeout:      awscdk.Duration_Minutes(jsii.Number(releaseTimeoutMinutes)),
		logRetention: orDefaultRetention(props.LogRetention),
		logRemoval:   orRetain(props.RemovalPolicy),
		statements:   releaseStatements(awscdk.Stack_Of(this), props, key),
	})
	return &Release{Construct: this, Function: function.Function, Role: function.role, LogGroup: function.logGroup}
}

// MetricErrors counts the requests that weren't answered.
func (r *Release) MetricErrors(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return r.Function.MetricErrors(options)
}

// releaseStatements are what the function calls, and nothing else.
func releaseStatements(stack awscdk.Stack, props *ReleaseProps, key awskms.IKey) []awsiam.PolicyStatement {
	name := props.Spec.Name()
	sageMaker := func(kind, name string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("sagemaker"), Resource: jsii.String(kind), ResourceName: jsii.String(name)})
	}
	// A run id follows the name: another pipeline's may only begin alike.
	named := func(kind string) *string { return sageMaker(kind, name+"-????????t??????z*") }
	packages := sageMaker("model-package", name+"/*")
	statements := []awsiam.PolicyStatement{
		allow("KeepLeaseAndHistory", []string{"s3:GetObject", "s3:PutObject"},
			props.Bucket.ArnForObjects(jsii.String(service.LeaseKey(props.Spec.Pipeline))), props.Bucket.ArnForObjects(jsii.String(service.Key(props.Spec.Pipeline)))),
		// Without it S3 answers 403, not 404, for an object that isn't there yet.
		allow("SeeWhatIsThere", []string{"s3:ListBucket"}, props.Bucket.BucketArn()),
		allow("SeeWhoHoldsTheLease", []string{"states:DescribeExecution"}, statesArn(stack, "execution", name+":*")),
		allow("SeeWhoIsAtWork", []string{"states:ListExecutions"}, statesArn(stack, "stateMachine", name)),
		// The service authorization reference names packages as what may be listed, the guide to sharing groups names the group.
		allow("ListWhatWaits", []string{"sagemaker:ListModelPackages"}, sageMaker("model-package-group", name), packages),
		allow("ReadDecisionsAndEndThem", []string{"sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"}, packages),
		allow("ListModels", []string{"sagemaker:ListModels"}, jsii.String("*")),
		allow("PruneModels", []string{"sagemaker:DeleteModel"}, named("model")),
		// Of a batch too: the endpoint that the pipeline had before serves until a person deletes it, and needs its model.
		allow("SeeWhatServes", []string{"sagemaker:DescribeEndpoint"}, sageMaker("endpoint", name)),
		// What a person has put into service by hand has any name.
		allow("SeeWhatIsBehindIt", []string{"sagemaker:DescribeEndpointConfig"}, sageMaker("endpoint-config", "*")),
	}
	if props.Spec.Deploy != pipeline.Batch {
		statements = append(statements,
			allow("ListEndpointConfigs", []string{"sagemaker:ListEndpointConfigs"}, jsii.String("*")),
			allow("PruneEndpointConfigs", []string{"sagemaker:DeleteEndpointConfig"}, named("endpoint-config")))
	}
	if key != nil {
		statements = append(statements, allowIf("EncryptLeaseAndHistory", []string{"kms:GenerateDataKey", "kms:Decrypt"}, map[string]any{
			"StringEquals": map[string]any{"kms:ViaService": fmt.Sprintf("s3.%s.amazonaws.com", *stack.Region())},
		}, key.KeyArn()))
	}
	return statements
}
