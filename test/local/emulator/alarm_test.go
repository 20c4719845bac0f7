package emulator_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// putAgeAlarm alarms on the age of one pipeline's clock, in periods of three seconds here.
func putAgeAlarm(t *testing.T, client *cloudwatch.Client, pipeline, missing string) {
	t.Helper()
	if _, err := client.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("age-" + pipeline), Namespace: aws.String("Ages"), MetricName: aws.String("TickAge"),
		Dimensions:         []types.Dimension{{Name: aws.String("Pipeline"), Value: aws.String(pipeline)}},
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, Threshold: aws.Float64(100), EvaluationPeriods: aws.Int32(1),
		Period: aws.Int32(30), Statistic: types.StatisticMaximum, TreatMissingData: aws.String(missing),
	}); err != nil {
		t.Fatal(err)
	}
}

func putAge(t *testing.T, client *cloudwatch.Client, pipeline string, seconds float64) {
	t.Helper()
	if _, err := client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{
		Namespace: aws.String("Ages"),
		MetricData: []types.MetricDatum{{
			MetricName: aws.String("TickAge"), Value: aws.Float64(seconds),
			Dimensions: []types.Dimension{{Name: aws.String("Pipeline"), Value: aws.String(pipeline)}},
		}},
	}); err != nil {
		t.Fatal(err)
	}
}

func alarmState(t *testing.T, client *cloudwatch.Client, pipeline string) types.StateValue {
	t.Helper()
	out, err := client.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"age-" + pipeline}})
	if err != nil || len(out.MetricAlarms) != 1 {
		t.Fatalf("describing the alarm: %+v (%v)", out, err)
	}
	return out.MetricAlarms[0].StateValue
}

func TestAnAlarmFollowsItsOwnDimensions(t *testing.T) {
	client := cloudwatch.NewFromConfig(local.emulator.AWSConfig())
	putAgeAlarm(t, client, "fraud", "ignore")
	putAgeAlarm(t, client, "churn", "ignore")
	putAge(t, client, "churn", 5)
	putAge(t, client, "fraud", 500)
	await(t, "the alarm", func() bool { return alarmState(t, client, "fraud") == types.StateValueAlarm })
	if got := alarmState(t, client, "churn"); got != types.StateValueOk {
		t.Errorf("the other pipeline's alarm is %s, want OK", got)
	}
}

func TestAnAlarmGoesOffWhenNothingComes(t *testing.T) {
	client := cloudwatch.NewFromConfig(local.emulator.AWSConfig())
	putAgeAlarm(t, client, "silent", "breaching")
	if got := alarmState(t, client, "silent"); got != types.StateValueInsufficientData {
		t.Errorf("a new alarm is %s, want INSUFFICIENT_DATA", got)
	}
	await(t, "the alarm", func() bool { return alarmState(t, client, "silent") == types.StateValueAlarm })
	putAge(t, client, "silent", 5)
	await(t, "the end of the alarm", func() bool { return alarmState(t, client, "silent") == types.StateValueOk })
}
