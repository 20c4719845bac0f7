package constructs

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/outcome"
)

// NoticesProps says who is told.
type NoticesProps struct {
	// Emails get notices and alarms, after they confirmed the two messages that SNS sends them.
	// Default: nobody; subscribe to Topic and Alarms.
	Emails []string
	// Outcomes are the ends of runs that are mailed. Requests for approval and what the examination after a deployment finds are mailed always.
	// Default: all but those of which nobody has to hear: routine outcomes, and a state that lasts (outcome.Outcome.Lasts) after its first notice.
	Outcomes []outcome.Outcome
	// EncryptionKey encrypts notices at rest. Its policy must let cloudwatch.amazonaws.com use it, or alarms stay silent;
	// that of a DataLake does.
	// Default: not encrypted by a key of the account.
	EncryptionKey awskms.IKey
}

// Notices are the topics on which people hear how runs ended, and of alarms. They are two because mail of the first is filtered, and no
// filter lets an alarm through: docs/decisions/0014-alarms-have-a-topic-of-their-own.md.
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

// mailed is the filter of what is mailed; nil lets everything through. Where outcomes are named it excludes all the others, so that what is no outcome of a run,
// or an outcome that this code doesn't know yet, is mailed.
func mailed(outcomes []outcome.Outcome) *map[string]awssns.SubscriptionFilter {
	conditions := &awssns.StringConditions{Allowlist: jsii.Strings("false")}
	attribute := "routine"
	if outcomes != nil {
		var others []string
		for _, o := range outcome.All {
			if !slices.Contains(outcomes, o) {
				others = append(others, string(o))
			}
		}
		if len(others) == 0 {
			return nil
		}
		attribute, conditions = "outcome", &awssns.StringConditions{Denylist: jsii.Strings(others...)}
	}
	return &map[string]awssns.SubscriptionFilter{attribute: awssns.SubscriptionFilter_StringFilter(conditions)}
}

// GrantPublish lets a role publish notices.
func (n *Notices) GrantPublish(grantee awsiam.IGrantable) awsiam.Grant {
	return n.Topic.GrantPublish(grantee)
}
