package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/pipeline"
)

// NotifyProps says where the notice of a failed export goes.
type NotifyProps struct {
	// Name of the function.
	// Default: generated.
	Name string
	// Spec of the pipeline whose exports fail.
	Spec pipeline.Spec
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

// Notify is the function that Lambda invokes with an export's last failure. It makes one notice in plain words of it: a
// database that can't be reached is heard of once, and not never.
type Notify struct {
	Construct constructs.Construct
	Function  awslambda.Function
	Role      awsiam.Role
	LogGroup  awslogs.LogGroup
}

const notifyPackage = "sagemaker-datapipeline/lambda/notify"

// NewNotify makes the function. It runs outside any VPC: it calls SNS and nothing else.
func NewNotify(scope constructs.Construct, id string, props *NotifyProps) *Notify {
	this := constructs.NewConstruct(scope, &id)
	statements := []awsiam.PolicyStatement{
		allow("Publish", []string{"sns:Publish"}, props.Topic.TopicArn()),
	}
	if props.TopicKey != nil {
		statements = append(statements, allowIf("EncryptNotices", []string{"kms:GenerateDataKey", "kms:Decrypt"}, map[string]any{
			"StringEquals": map[string]any{"kms:ViaService": fmt.Sprintf("sns.%s.amazonaws.com", *awscdk.Stack_Of(this).Region())},
		}, props.TopicKey.KeyArn()))
	}
	function := newGoFunction(this, functionProps{
		name:         props.Name,
		description:  fmt.Sprintf("Announces exports of %s that failed for good", props.Spec.Pipeline),
		goPackage:    notifyPackage,
		architecture: props.Architecture,
		code:         props.Code,
		spec:         props.Spec,
		environment:  map[string]*string{"TOPIC_ARN": props.Topic.TopicArn()},
		memoryMiB:    128,
		timeout:      awscdk.Duration_Seconds(jsii.Number(30)),
		logRetention: orDefaultRetention(props.LogRetention),
		logRemoval:   orRetain(props.RemovalPolicy),
		statements:   statements,
	})
	return &Notify{Construct: this, Function: function.Function, Role: function.role, LogGroup: function.logGroup}
}

// MetricErrors counts the notices that couldn't be sent.
func (n *Notify) MetricErrors(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return n.Function.MetricErrors(options)
}
