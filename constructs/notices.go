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
	// Emails get notices and alarms, after they confirmed the two messages that SNS sends them.
	// Default: nobody; subscribe to Topic and Alarms.
	Emails []string
	// Outcomes are the ends of runs that are mailed, by the words of lambda/outcome.
	// Default: all but those of which nobody has to hear.
	Outcomes []string
	// EncryptionKey encrypts notices at rest. Its policy must let cloudwatch.amazonaws.com use it, or alarms stay silent;
	// that of a DataLake does.
	// Default: not encrypted by a key of the account.
	EncryptionKey awskms.IKey
}

// Notices are the topics on which people hear how runs ended, and of alarms.
//
// They are two, because mail is filtered by the attributes of a notice, and alarms have none: SNS lets nothing without attributes
// through a filter, not even one for messages that lack an attribute (the developer guide, "Key matching").
type Notices struct {
	Construct constructs.Construct
	// Topic gets the notice of every end, and what the examination after a deployment finds. Its attributes are pipeline, run, outcome,
	// and routine: "true" where nobody has to hear of it.
	Topic awssns.Topic
	// Alarms gets the alarms.
	Alarms awssns.Topic
}

// NewNotices makes the topics and their subscriptions.
func NewNotices(scope constructs.Construct, id string, props *NoticesProps) *Notices {
	this := constructs.NewConstruct(scope, &id)
	topic := func(id string) awssns.Topic {
		return awssns.NewTopic(this, &id, &awssns.TopicProps{MasterKey: props.EncryptionKey, EnforceSSL: jsii.Bool(true)})
	}
	n := &Notices{Construct: this, Topic: topic("Topic"), Alarms: topic("Alarms")}
	// A topic with a policy of its own has lost the default one, by which the alarms of the account could publish.
	n.Alarms.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("AlarmsOfThisAccount"),
		Actions:    jsii.Strings("sns:Publish"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Resources:  &[]*string{n.Alarms.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Stack_Of(this).Account()}},
	}))
	for _, email := range props.Emails {
		n.Topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(&email, &awssnssubscriptions.EmailSubscriptionProps{FilterPolicy: mailed(props.Outcomes)}))
		n.Alarms.AddSubscription(awssnssubscriptions.NewEmailSubscription(&email, nil))
	}
	return n
}

// examined is the outcome attribute of what an examination of the database finds (lambda/internal/notice): it is always mailed.
const examined = "examined"

// mailed is the filter of what is mailed.
func mailed(outcomes []string) *map[string]awssns.SubscriptionFilter {
	attribute, values := "routine", []string{"false"}
	if outcomes != nil {
		attribute, values = "outcome", append([]string{examined}, outcomes...)
	}
	return &map[string]awssns.SubscriptionFilter{
		attribute: awssns.SubscriptionFilter_StringFilter(&awssns.StringConditions{Allowlist: jsii.Strings(values...)}),
	}
}

// GrantPublish lets a role publish notices.
func (n *Notices) GrantPublish(grantee awsiam.IGrantable) awsiam.Grant {
	return n.Topic.GrantPublish(grantee)
}
