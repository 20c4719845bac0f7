package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// NoticesProps says who is told.
type NoticesProps struct {
	// Emails get every notice, after they confirmed the message that SNS sends them.
	// Default: nobody; subscribe to Topic.
	Emails []string
	// EncryptionKey encrypts notices at rest. Its policy must let cloudwatch.amazonaws.com use it, or alarms stay silent;
	// that of a DataLake does.
	// Default: not encrypted by a key of the account.
	EncryptionKey awskms.IKey
}

// Notices is the topic on which people hear how runs ended.
type Notices struct {
	Construct constructs.Construct
	Topic     awssns.Topic
}

// NewNotices makes the topic and its subscriptions.
func NewNotices(scope constructs.Construct, id string, props *NoticesProps) *Notices {
	this := constructs.NewConstruct(scope, &id)
	topic := awssns.NewTopic(this, jsii.String("Topic"), &awssns.TopicProps{
		MasterKey:  props.EncryptionKey,
		EnforceSSL: jsii.Bool(true),
	})
	// A topic with a policy of its own has lost the default one, by which the alarms of the account could publish.
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("AlarmsOfThisAccount"),
		Actions:    jsii.Strings("sns:Publish"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Resources:  &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Stack_Of(this).Account()}},
	}))
	for _, email := range props.Emails {
		topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(email), nil))
	}
	return &Notices{Construct: this, Topic: topic}
}

// GrantPublish lets a role publish notices.
func (n *Notices) GrantPublish(grantee awsiam.IGrantable) awsiam.Grant {
	return n.Topic.GrantPublish(grantee)
}
