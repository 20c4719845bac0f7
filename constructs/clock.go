package constructs

import (
	"fmt"
	"math"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

// ClockProps says after how long somebody is told that there was no news of a pipeline.
type ClockProps struct {
	// Name of the function.
	// Default: generated.
	Name string
	// Spec of the pipeline.
	Spec pipeline.Spec
	// Bucket holds the pipeline's clocks, below <pipeline>/clocks/.
	Bucket awss3.IBucket
	// EncryptionKey of the clocks.
	// Default: the bucket's own.
	EncryptionKey awskms.IKey
	// Every is how often the ages are put into CloudWatch. Whole minutes. An alarm comes after three of them.
	// Default: 5 minutes.
	Every awscdk.Duration
	// TickLimit is how long ago a tick may have been processed: ended in any other way than by a failure, a rollback or a pause.
	// Default: not watched.
	TickLimit awscdk.Duration
	// DataLimit is how old the newest accepted data may be.
	// Default: not watched.
	DataLimit awscdk.Duration
	// ModelLimit is how old the data may be that the model in service was trained on, or was compared on and kept. A pipeline that only exports has
	// none.
	// Default: not watched.
	ModelLimit awscdk.Duration
	// Alarms is AlarmTo(topic) or NoAlarms(reason).
	Alarms AlarmPolicy
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

// Clock watches the ages of a pipeline: of its last processed tick, of its data, and of its model in service. The metric is the age itself, put by a
// function that runs at a rate of its own. So an alarm looks back three readings and no further, fires for a monthly pipeline as for one of every
// minute, and also when nothing ran at all; and as missing readings count as too old, it fires when this function is what doesn't run.
type Clock struct {
	Construct constructs.Construct
	Function  awslambda.Function
	Role      awsiam.Role
	LogGroup  awslogs.LogGroup
	// Rule invokes the function.
	Rule awsevents.CfnRule
	// TickAlarm, DataAlarm and ModelAlarm are nil where they aren't watched, and with NoAlarms.
	TickAlarm, DataAlarm, ModelAlarm awscloudwatch.Alarm

	pipeline string
	every    awscdk.Duration
}

const (
	// DefaultClockMinutes is short beside the hours that a pipeline may be late, and costs 9,000 invocations of 50 ms a month.
	DefaultClockMinutes = 5
	// clockReadings is how many readings in a row have to be too old or missing: one may come late.
	clockReadings = 3
)

const clockPackage = "sagemaker-datapipeline/lambda/clock"

// NewClock makes the function, its rule and its alarms. The function runs outside any VPC: it calls AWS and nothing else.
func NewClock(scope constructs.Construct, id string, props *ClockProps) *Clock {
	this := constructs.NewConstruct(scope, &id)
	every := props.Every
	if every == nil {
		every = awscdk.Duration_Minutes(jsii.Number(DefaultClockMinutes))
	}
	environment := map[string]*string{"DATA_BUCKET": props.Bucket.BucketName()}
	statements := append([]awsiam.PolicyStatement{
		putMetrics(),
		allow("ReadTheClocks", []string{"s3:GetObject"}, props.Bucket.ArnForObjects(jsii.String(clocks(props.Spec)))),
		// Since when it counts where a clock was never set.
		allow("BeginToCount", []string{"s3:PutObject"}, props.Bucket.ArnForObjects(jsii.String(props.Spec.Pipeline+"/clocks/since.json"))),
		// Without it S3 answers 403, not 404, for a clock that was never set.
		allow("SeeWhatIsThere", []string{"s3:ListBucket"}, props.Bucket.BucketArn()),
	}, encryptClocks(this, props.Bucket, props.EncryptionKey, environment)...)
	function := newGoFunction(this, functionProps{
		name:         props.Name,
		description:  fmt.Sprintf("Puts the ages of %s's last tick, data and model into CloudWatch", props.Spec.Pipeline),
		goPackage:    clockPackage,
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
	c := &Clock{
		Construct: this, Function: function.Function, Role: function.role, LogGroup: function.logGroup,
		Rule: newClockRule(this, props.Spec, function.Function, every), pipeline: props.Spec.Name(), every: every,
	}
	for _, w := range []struct {
		alarm *awscloudwatch.Alarm
		id    string
		limit awscdk.Duration
		of    awscloudwatch.Metric
		late  string
	}{
		{&c.TickAlarm, "TickAlarm", props.TickLimit, c.MetricTickAge(nil), "no tick was processed for %s: the schedule is off, every run fails, or the pipeline is paused"},
		{&c.DataAlarm, "DataAlarm", props.DataLimit, c.MetricDataAge(nil), "the newest accepted data is older than %s: runs find nothing new, are blocked, or are rejected"},
		{&c.ModelAlarm, "ModelAlarm", props.ModelLimit, c.MetricModelAge(nil), "the model in service knows nothing newer than %s: runs don't get as far as a deployment or a comparison"},
	} {
		if topic := props.Alarms.topic(); topic != nil && w.limit != nil {
			*w.alarm = newAgeAlarm(this, w.id, w.of, w.limit, fmt.Sprintf("%s: "+w.late, c.pipeline, inWords(w.limit)), topic)
		}
	}
	return c
}

// newClockRule invokes the function at a rate.
func newClockRule(scope constructs.Construct, spec pipeline.Spec, function awslambda.Function, every awscdk.Duration) awsevents.CfnRule {
	minutes := *every.ToMinutes(&awscdk.TimeConversionOptions{Integral: jsii.Bool(false)})
	if minutes < 1 || minutes != math.Trunc(minutes) {
		panic(fmt.Errorf("the clock of %s is to be read every %g minutes: EventBridge's rates are whole minutes, 1 at least", spec.Name(), minutes))
	}
	rate := fmt.Sprintf("rate(%g minutes)", minutes)
	if minutes == 1 {
		rate = "rate(1 minute)"
	}
	rule := awsevents.NewCfnRule(scope, jsii.String("Rule"), &awsevents.CfnRuleProps{
		Description:        jsii.String("Reads the clocks of " + spec.Name()),
		ScheduleExpression: &rate,
		Targets:            []any{&awsevents.CfnRule_TargetProperty{Id: jsii.String("clock"), Arn: function.FunctionArn()}},
	})
	function.AddPermission(jsii.String("InvokedByRule"), &awslambda.Permission{
		Principal: awsiam.NewServicePrincipal(jsii.String("events.amazonaws.com"), nil),
		SourceArn: rule.AttrArn(),
	})
	return rule
}

// MetricTickAge is how many seconds ago a tick was processed.
func (c *Clock) MetricTickAge(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return c.metric(outcome.TickAgeMetric, options)
}

// MetricDataAge is how many seconds old the newest accepted data is.
func (c *Clock) MetricDataAge(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return c.metric(outcome.DataAgeMetric, options)
}

// MetricModelAge is how many seconds old the data is that the model in service was trained on, or was compared on and kept.
func (c *Clock) MetricModelAge(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return c.metric(outcome.ModelAgeMetric, options)
}

// metric is the youngest age of each period: a tick that was just processed is seen at once.
func (c *Clock) metric(name string, options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	metric := awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String(outcome.MetricNamespace), MetricName: &name, DimensionsMap: &map[string]*string{"Pipeline": &c.pipeline},
		Statistic: jsii.String("Minimum"), Period: c.every,
	})
	if options == nil {
		return metric
	}
	return metric.With(options)
}

// inWords says a duration of whole minutes as people do: "1 day 12 hours", "90 minutes".
func inWords(d awscdk.Duration) string {
	minutes := int(*d.ToMinutes(&awscdk.TimeConversionOptions{Integral: jsii.Bool(false)}))
	switch {
	case minutes >= 48*60:
		return fmt.Sprintf("%d days and %d hours", minutes/(24*60), minutes/60%24)
	case minutes >= 120:
		return fmt.Sprintf("%d hours and %d minutes", minutes/60, minutes%60)
	}
	return fmt.Sprintf("%d minutes", minutes)
}
