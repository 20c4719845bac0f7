package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// AlarmPolicy is the decision whom to alarm. It has no default, so that nobody forgets it: AlarmTo or NoAlarms.
type AlarmPolicy interface{ topic() awssns.ITopic }

// AlarmTo sends alarms to a topic. Is the topic encrypted by a key of the account, the key's policy must let
// cloudwatch.amazonaws.com use it.
func AlarmTo(topic awssns.ITopic) AlarmPolicy { return alarmTo{topic} }

// NoAlarms makes no alarms, for a reason that the reader of the code should know.
func NoAlarms(reason string) AlarmPolicy { return noAlarms(reason) }

type alarmTo struct{ to awssns.ITopic }

func (a alarmTo) topic() awssns.ITopic { return a.to }

type noAlarms string

func (noAlarms) topic() awssns.ITopic { return nil }

// watched is one thing that should never happen.
type watched struct {
	id          string
	description string
	metric      awscloudwatch.IMetric
}

// addAlarms makes an alarm for each thing that should never happen. They are the second line: the first are the notices,
// which say what to do; an alarm still comes when the notice itself can't be sent.
func addAlarms(scope constructs.Construct, name string, policy AlarmPolicy, things ...watched) []awscloudwatch.Alarm {
	topic := policy.topic()
	if topic == nil {
		return nil
	}
	alarms := make([]awscloudwatch.Alarm, len(things))
	for i, w := range things {
		alarms[i] = awscloudwatch.NewAlarm(scope, jsii.String(w.id), &awscloudwatch.AlarmProps{
			AlarmDescription:   jsii.String(name + ": " + w.description),
			Metric:             w.metric,
			Threshold:          jsii.Number(1),
			EvaluationPeriods:  jsii.Number(1),
			ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
			TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
		})
		alarms[i].AddAlarmAction(awscloudwatchactions.NewSnsAction(topic))
	}
	return alarms
}

// newAgeAlarm makes an alarm on an age in seconds. No reading is as bad as one that is too old.
func newAgeAlarm(scope constructs.Construct, id string, age awscloudwatch.Metric, limit awscdk.Duration, description string, topic awssns.ITopic) awscloudwatch.Alarm {
	alarm := awscloudwatch.NewAlarm(scope, &id, &awscloudwatch.AlarmProps{
		AlarmDescription:   &description,
		Metric:             age,
		Threshold:          limit.ToSeconds(nil),
		EvaluationPeriods:  jsii.Number(clockReadings),
		DatapointsToAlarm:  jsii.Number(clockReadings),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		TreatMissingData:   awscloudwatch.TreatMissingData_BREACHING,
	})
	alarm.AddAlarmAction(awscloudwatchactions.NewSnsAction(topic))
	return alarm
}

// over5Minutes looks at a metric in steps of five minutes.
func over5Minutes(statistic string) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{
		Period:    awscdk.Duration_Minutes(jsii.Number(5)),
		Statistic: jsii.String(statistic),
	}
}
