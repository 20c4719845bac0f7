package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsschedulertargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// ScheduleProps says when a pipeline runs.
type ScheduleProps struct {
	// Name of the schedule, unique in its group.
	// Default: generated.
	Name string
	// Description that people see beside the schedule.
	// Default: none.
	Description string
	// Expression is EventBridge Scheduler's cron(…), rate(…) or at(…).
	Expression string
	// TimeZone in which a cron expression is read, as in the IANA database: Europe/Berlin. Summer time is respected.
	// Default: UTC.
	TimeZone string
	// Disabled keeps the schedule without firing it.
	// Default: it fires.
	Disabled bool
	// Target is invoked with {"scheduledTime": …}. It must take the same time twice without doing its work twice: the
	// Scheduler delivers at least once.
	Target awslambda.IFunction
	// Group of the schedule.
	// Default: the account's default group.
	Group awsscheduler.IScheduleGroup
	// RetryAttempts is how often the hand-over to Lambda is tried again. A failure of the function itself isn't seen here.
	// Default: 5. The Scheduler's own default is 185.
	RetryAttempts *int
	// MaxEventAge is when the Scheduler gives up handing a tick over.
	// Default: 1 hour. The Scheduler's own default is 24 hours.
	MaxEventAge awscdk.Duration
}

// Schedule invokes a function on time, a bounded number of times, and keeps the ticks that it couldn't hand over.
type Schedule struct {
	Construct constructs.Construct
	Schedule  awsscheduler.Schedule
	// Role is what the Scheduler invokes the target as.
	Role awsiam.Role
	// Undelivered holds the ticks that didn't reach the target, for 14 days.
	Undelivered awssqs.Queue
}

// DefaultScheduleRetries and an age of an hour outlast a throttled minute; what is wrong for longer needs a person, who
// finds the tick in the queue.
const DefaultScheduleRetries = 5

// NewSchedule makes a schedule, its role and its dead-letter queue.
func NewSchedule(scope constructs.Construct, id string, props *ScheduleProps) *Schedule {
	this := constructs.NewConstruct(scope, &id)
	undelivered := awssqs.NewQueue(this, jsii.String("Undelivered"), &awssqs.QueueProps{
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)), // SQS's maximum
	})
	role := awsiam.NewRole(this, jsii.String("Role"), &awsiam.RoleProps{
		Description: jsii.String("EventBridge Scheduler invokes the export function"),
		AssumedBy:   schedulerPrincipal(this, props.Group),
		InlinePolicies: &map[string]awsiam.PolicyDocument{"deliver": policy(
			allow("InvokeTheTarget", []string{"lambda:InvokeFunction"}, props.Target.FunctionArn()),
			allow("KeepTheUndelivered", []string{"sqs:SendMessage"}, undelivered.QueueArn()),
		)},
	})
	retries := DefaultScheduleRetries
	if props.RetryAttempts != nil {
		retries = *props.RetryAttempts
	}
	age := props.MaxEventAge
	if age == nil {
		age = awscdk.Duration_Hours(jsii.Number(1))
	}
	var zone awscdk.TimeZone
	if props.TimeZone != "" {
		zone = awscdk.TimeZone_Of(jsii.String(props.TimeZone))
	}
	schedule := awsscheduler.NewSchedule(this, jsii.String("Schedule"), &awsscheduler.ScheduleProps{
		ScheduleName:  optional(props.Name),
		Description:   optional(props.Description),
		Schedule:      awsscheduler.ScheduleExpression_Expression(jsii.String(props.Expression), zone),
		ScheduleGroup: props.Group,
		Enabled:       jsii.Bool(!props.Disabled),
		Target: awsschedulertargets.NewLambdaInvoke(props.Target, &awsschedulertargets.ScheduleTargetBaseProps{
			// Without policy updates: the target's own grant would add every version and alias of the function.
			Role:            role.WithoutPolicyUpdates(nil),
			DeadLetterQueue: undelivered,
			RetryAttempts:   jsii.Number(retries),
			MaxEventAge:     age,
			Input: awsscheduler.ScheduleTargetInput_FromObject(map[string]any{
				"scheduledTime": awsscheduler.ContextAttribute_ScheduledTime(),
			}),
		}),
	})
	return &Schedule{Construct: this, Schedule: schedule, Role: role, Undelivered: undelivered}
}

// MetricUndelivered is the number of ticks that wait in the dead-letter queue.
func (s *Schedule) MetricUndelivered(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return s.Undelivered.MetricApproximateNumberOfMessagesVisible(options)
}

// schedulerPrincipal is the Scheduler acting for this account's group, and for nobody else's.
func schedulerPrincipal(scope constructs.Construct, group awsscheduler.IScheduleGroup) awsiam.IPrincipal {
	stack := awscdk.Stack_Of(scope)
	groupArn := stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("scheduler"), Resource: jsii.String("schedule-group"), ResourceName: jsii.String("default"),
	})
	if group != nil {
		groupArn = group.ScheduleGroupArn()
	}
	return awsiam.NewServicePrincipal(jsii.String("scheduler.amazonaws.com"), &awsiam.ServicePrincipalOpts{
		Conditions: &map[string]any{"StringEquals": map[string]any{
			"aws:SourceAccount": stack.Account(),
			"aws:SourceArn":     groupArn,
		}},
	})
}
