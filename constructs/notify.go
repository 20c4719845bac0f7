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
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

// NotifyProps says where the ends of runs are told.
type NotifyProps struct {
	// Name of the function.
	// Default: generated.
	Name string
	// Spec of the pipeline whose runs end.
	Spec pipeline.Spec
	// Bucket holds the pipeline's clocks, below <pipeline>/clocks/.
	Bucket awss3.IBucket
	// EncryptionKey of the clocks.
	// Default: the bucket's own.
	EncryptionKey awskms.IKey
	// Topic to publish to.
	Topic awssns.ITopic
	// TopicKey that the topic is encrypted with.
	// Default: none.
	TopicKey awskms.IKey
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

// Notify is the function that makes the end of every run known: of the workflow, which calls it, of the export, which invokes it asynchronously, and of an
// export that Lambda gave up. It sets the pipeline's clocks, counts the end, puts an event on the account's default bus and sends one notice in plain words.
// docs/notices.md has its table.
type Notify struct {
	Construct constructs.Construct
	Function  awslambda.Function
	Role      awsiam.Role
	LogGroup  awslogs.LogGroup
}

const notifyPackage = "sagemaker-datapipeline/lambda/notify"

// NewNotify makes the function. It runs outside any VPC: it calls AWS and nothing else.
func NewNotify(scope constructs.Construct, id string, props *NotifyProps) *Notify {
	this := constructs.NewConstruct(scope, &id)
	environment := map[string]*string{"TOPIC_ARN": props.Topic.TopicArn(), "DATA_BUCKET": props.Bucket.BucketName()}
	statements := append([]awsiam.PolicyStatement{
		allow("TellPeople", []string{"sns:Publish"}, props.Topic.TopicArn()),
		tellMachines(this),
		putMetrics(),
		allow("SetTheClocks", []string{"s3:GetObject", "s3:PutObject"}, props.Bucket.ArnForObjects(jsii.String(clocks(props.Spec)))),
		// Without it S3 answers 403, not 404, for a clock that was never set.
		allow("SeeWhatIsThere", []string{"s3:ListBucket"}, props.Bucket.BucketArn()),
	}, encryptClocks(this, props.Bucket, props.EncryptionKey, environment)...)
	if props.TopicKey != nil {
		statements = append(statements, allowIf("EncryptNotices", []string{"kms:GenerateDataKey", "kms:Decrypt"}, via(this, "sns"), props.TopicKey.KeyArn()))
	}
	function := newGoFunction(this, functionProps{
		name:         props.Name,
		description:  fmt.Sprintf("Tells how the runs of %s end", props.Spec.Pipeline),
		goPackage:    notifyPackage,
		architecture: props.Architecture,
		code:         props.Code,
		spec:         props.Spec,
		environment:  environment,
		memoryMiB:    128,
		timeout:      awscdk.Duration_Seconds(jsii.Number(30)),
		logRetention: orDefaultRetention(props.LogRetention),
		logRemoval:   orRetain(props.RemovalPolicy),
		statements:   statements,
	})
	return &Notify{Construct: this, Function: function.Function, Role: function.role, LogGroup: function.logGroup}
}

// clocks is the pattern of the keys of a pipeline's clocks.
func clocks(spec pipeline.Spec) string { return spec.Pipeline + "/clocks/*" }

// tellMachines lets a function put events on the account's default bus.
func tellMachines(scope constructs.Construct) awsiam.PolicyStatement {
	return allow("TellMachines", []string{"events:PutEvents"}, awscdk.Stack_Of(scope).FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("events"), Resource: jsii.String("event-bus"), ResourceName: jsii.String("default"),
	}))
}

// putMetrics lets a function put metrics of the pipelines' namespace. PutMetricData knows no resources.
func putMetrics() awsiam.PolicyStatement {
	return allowIf("PutMetrics", []string{"cloudwatch:PutMetricData"}, map[string]any{
		"StringEquals": map[string]any{"cloudwatch:namespace": outcome.MetricNamespace},
	}, jsii.String("*"))
}

// encryptClocks lets a function write clocks under the key, and tells it the key.
func encryptClocks(scope constructs.Construct, bucket awss3.IBucket, key awskms.IKey, environment map[string]*string) []awsiam.PolicyStatement {
	if key == nil {
		key = bucket.EncryptionKey()
	}
	if key == nil {
		return nil
	}
	environment["DATA_KEY_ARN"] = key.KeyArn()
	return []awsiam.PolicyStatement{allowIf("EncryptClocks", []string{"kms:GenerateDataKey", "kms:Decrypt"}, via(scope, "s3"), key.KeyArn())}
}

// via is the condition that a key is used through a service.
func via(scope constructs.Construct, service string) map[string]any {
	return map[string]any{"StringEquals": map[string]any{"kms:ViaService": fmt.Sprintf("%s.%s.amazonaws.com", service, *awscdk.Stack_Of(scope).Region())}}
}

// MetricErrors counts the attempts to send a notice that failed.
func (n *Notify) MetricErrors(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return n.Function.MetricErrors(options)
}
