package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// EndpointAlarmProps says what an endpoint must not do for two minutes in a row.
type EndpointAlarmProps struct {
	// ErrorRate is the share of calls that the model may answer with an error (5XX).
	// Default: 0.01.
	ErrorRate float64
	// Latency is how long the slowest hundredth of the answers may take the model at least.
	// Default: not watched.
	Latency awscdk.Duration
}

// DefaultErrorRate is far above what a healthy model answers, and far below one that can't read its callers.
const DefaultErrorRate = 0.01

// newEndpointAlarms makes what rolls an update back and tells people at any other time. They are on the variant, which old and new
// machines share while an update shifts the calls. Source: the SageMaker developer guide, "Amazon SageMaker AI endpoint invocation
// metrics": the average of Invocation5XXErrors is the share of calls, ModelLatency is in microseconds.
func newEndpointAlarms(scope constructs.Construct, name string, props EndpointAlarmProps, policy AlarmPolicy) []awscloudwatch.IAlarm {
	rate := props.ErrorRate
	if rate == 0 {
		rate = DefaultErrorRate
	}
	alarms := []awscloudwatch.IAlarm{endpointAlarm(scope, "EndpointErrorAlarm", name, policy, "Invocation5XXErrors", "Average", rate,
		fmt.Sprintf("the model answered more than %g of the calls with an error for two minutes; its log says why", rate))}
	if props.Latency != nil {
		milliseconds := *props.Latency.ToMilliseconds(nil)
		alarms = append(alarms, endpointAlarm(scope, "EndpointLatencyAlarm", name, policy, "ModelLatency", "p99", milliseconds*1000,
			fmt.Sprintf("a hundredth of the answers took the model more than %g ms for two minutes", milliseconds)))
	}
	return alarms
}

func endpointAlarm(scope constructs.Construct, id, name string, policy AlarmPolicy, metric, statistic string, threshold float64, description string) awscloudwatch.IAlarm {
	alarm := awscloudwatch.NewAlarm(scope, &id, &awscloudwatch.AlarmProps{
		AlarmDescription: jsii.String(name + ": " + description),
		Metric: awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String("AWS/SageMaker"), MetricName: &metric, Statistic: &statistic,
			Period:        awscdk.Duration_Minutes(jsii.Number(1)),
			DimensionsMap: &map[string]*string{"EndpointName": &name, "VariantName": jsii.String(VariantName)},
		}),
		Threshold:          &threshold,
		EvaluationPeriods:  jsii.Number(2),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	})
	if topic := policy.topic(); topic != nil {
		alarm.AddAlarmAction(awscloudwatchactions.NewSnsAction(topic))
	}
	return alarm
}
