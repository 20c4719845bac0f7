// Package constructs makes of a configuration what AWS deploys: for each environment a Stage with one stateful stack, the
// Foundation, and a stack with a RetrainingPipeline for each model. The parts of a pipeline stand alone as well.
package constructs

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Stage is one environment: a stateful Foundation, and one stack for each pipeline.
type Stage struct {
	Stage      awscdk.Stage
	Foundation *Foundation
	// Pipelines by name.
	Pipelines map[string]*RetrainingPipeline
}

// NewStage makes the environment called name of a decoded configuration. Account and region are written in the
// configuration, so nothing is looked up and no credentials are needed.
func NewStage(scope constructs.Construct, name string, c *config.Config) (*Stage, error) {
	environment, pipelines, err := c.For(name)
	if err != nil {
		return nil, err
	}
	stage := awscdk.NewStage(scope, &name, &awscdk.StageProps{
		Env: &awscdk.Environment{Account: &environment.Account, Region: &environment.Region},
	})
	// A pipeline's stack reads the outputs of the foundation when it is deployed. An export would tie the two: CloudFormation
	// refuses to change what another stack imports, and the foundation couldn't be updated past a pipeline that is gone.
	awscdk.CrossStackReferences_Of(stage).Consume(awscdk.ReferenceStrength_WEAK)
	// Without this a VPC asks AWS for the region's zones, even when it is told which to use.
	stage.Node().SetContext(jsii.String(fmt.Sprintf("availability-zones:account=%s:region=%s", environment.Account, environment.Region)),
		environment.AvailabilityZones)
	awscdk.Tags_Of(stage).Add(jsii.String("project"), &c.Project, nil)
	awscdk.Tags_Of(stage).Add(jsii.String("environment"), &name, nil)

	s := &Stage{Stage: stage, Pipelines: map[string]*RetrainingPipeline{}}
	s.Foundation = newFoundation(stage, c.Project, name, environment)
	for _, pipelineName := range slices.Sorted(maps.Keys(pipelines)) {
		if s.Pipelines[pipelineName], err = s.addPipeline(c.Project, name, environment, pipelineName, pipelines[pipelineName]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// addPipeline makes the stack of one pipeline. It holds nothing that can't be made again.
func (s *Stage) addPipeline(project, environmentName string, e config.Environment, name string, p config.Pipeline) (*RetrainingPipeline, error) {
	spec, err := p.Spec(project, environmentName, name)
	if err != nil {
		return nil, err
	}
	f := s.Foundation
	stack := awscdk.NewStack(s.Stage, &name, &awscdk.StackProps{
		StackName:   jsii.String(spec.Name()),
		Description: optional(p.Description),
	})
	awscdk.Tags_Of(stack).Add(jsii.String("pipeline"), &name, nil)
	props := &RetrainingPipelineProps{
		Spec:                spec,
		Database:            f.Database,
		Bucket:              f.DataLake.Bucket,
		EncryptionKey:       f.DataLake.Key,
		Topic:               f.Notices.Topic,
		Alarms:              AlarmTo(f.Notices.Alarms),
		ScheduleExpression:  p.Schedule.Expression,
		ScheduleTimeZone:    p.Schedule.TimeZone,
		ScheduleDisabled:    !p.Schedule.Enabled,
		ScheduleGroup:       f.ScheduleGroup,
		ExportMemoryMiB:     p.Export.MemoryMiB,
		ExportTimeout:       seconds(p.Export.TimeoutSeconds),
		ExportRetryAttempts: &p.Export.RetryAttempts,
		ExportMaxEventAge:   seconds(p.Export.MaxEventAgeSeconds),
		PollInterval:        seconds(e.PollSeconds),
		ClockInterval:       seconds(e.ClockSeconds),
		Architecture:        Architecture(e.Architecture),
		LogRetention:        retention(e.LogRetentionDays),
		RemovalPolicy:       removal(e.RemoveData),
	}
	limits := p.ClockLimits(e)
	props.TickLimit, props.DataLimit, props.ModelLimit = minutes(limits.TickMinutes), minutes(limits.DataMinutes), minutes(limits.ModelMinutes)
	if t := p.Training; t != nil {
		props.Training = &TrainingProps{
			Algorithm:       t.Algorithm,
			Version:         t.Version,
			InstanceTypes:   t.Machines(),
			InstanceCount:   t.InstanceCount,
			VolumeGiB:       t.VolumeGiB,
			MaxRuntime:      seconds(t.MaxRuntimeSeconds),
			Hyperparameters: t.Parameters(),
			Patience:        minutes(t.PatienceMinutes),
		}
		if t.Image != nil {
			props.Training.Image = t.Image.URI
		}
		if t.Spot != nil {
			props.Training.Spot = &SpotProps{MaxWait: seconds(t.Spot.MaxWaitSeconds)}
		}
	}
	if p.Endpoint != nil {
		props.addEndpoint(*p.Endpoint)
	}
	if a := e.Approval; a != nil && p.Training != nil {
		props.Approval = &ApprovalProps{Timeout: hours(a.TimeoutHours), RemindAfter: hours(a.RemindHours)}
	}
	if n := f.Network; n != nil {
		props.ExportPlacement, props.JobPlacement = n.ExportPlacement(), n.JobPlacement()
	}
	made := NewRetrainingPipeline(stack, "Pipeline", props)
	output(stack, "ExportFunctionName", `Invoke with {"scheduledTime": "2026-01-01T02:00:00Z"} to run now`, made.Export.Function.FunctionName())
	output(stack, "ExportMapArn", "Reads what is too large for one function", made.ExportMap.StateMachine.StateMachineArn())
	if made.Workflow != nil {
		output(stack, "StateMachineArn", "The workflow of a run", made.Workflow.StateMachine.StateMachineArn())
		output(stack, "ModelPackageGroupName", "Every model that was good enough, with its metrics", &made.Name)
		if p.Endpoint.Kind != pipeline.Batch {
			output(stack, "EndpointName", "Invoke it for predictions, after the first run", &made.Name)
		}
	}
	output(stack, "ScheduleName", "When it runs", made.Schedule.Schedule.ScheduleName())
	return made, nil
}

// addEndpoint says what the configuration says of the endpoint.
func (p *RetrainingPipelineProps) addEndpoint(c config.Endpoint) {
	e := &EndpointProps{Kind: c.Kind, InstanceType: c.InstanceType, InstanceCount: c.InstanceCount, Keep: c.Keep}
	if s := c.Serverless; s != nil {
		e.Serverless = &ServerlessProps{MemoryMiB: s.MemoryMiB, MaxConcurrency: s.MaxConcurrency}
	}
	if a := c.Autoscaling; a != nil {
		e.Autoscaling = &AutoscalingProps{MinInstances: a.Min, MaxInstances: a.Max, InvocationsPerInstance: a.InvocationsPerInstance}
	}
	if t := c.Traffic; t != nil {
		e.Traffic = &TrafficProps{Kind: t.Kind, Percent: t.Percent, Wait: seconds(t.WaitSeconds), TerminationWait: seconds(t.TerminationWaitSeconds)}
	}
	if c.Capture != nil {
		e.Capture = &CaptureProps{Percent: c.Capture.Percent}
	}
	if a := c.Alarms; a != nil {
		p.EndpointAlarms = &EndpointAlarmProps{ErrorRate: a.ErrorRate}
		if a.LatencyMilliseconds > 0 {
			p.EndpointAlarms.Latency = awscdk.Duration_Millis(jsii.Number(a.LatencyMilliseconds))
		}
	}
	if c.Kind == pipeline.Batch {
		p.Transform = TransformProps{InstanceCount: c.InstanceCount, MaxRuntime: seconds(c.MaxRuntimeSeconds)}
	}
	p.Endpoint = e
}

func output(stack awscdk.Stack, id, description string, value *string) {
	awscdk.NewCfnOutput(stack, &id, &awscdk.CfnOutputProps{Description: &description, Value: value})
}

// minutes is nil for 0: not given.
func minutes(n int) awscdk.Duration {
	if n == 0 {
		return nil
	}
	return awscdk.Duration_Minutes(jsii.Number(n))
}

func hours(n int) awscdk.Duration { return awscdk.Duration_Hours(jsii.Number(n)) }

func seconds(n int) awscdk.Duration { return awscdk.Duration_Seconds(jsii.Number(n)) }

func removal(removeData bool) awscdk.RemovalPolicy {
	if removeData {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN
}

// retention names a number of days as the CDK does. They are the numbers that CloudWatch Logs knows.
func retention(days int) awslogs.RetentionDays {
	r, ok := retentions[days]
	if !ok {
		panic(fmt.Errorf("logs can't be kept for %d days: CloudWatch Logs knows %v", days, slices.Sorted(maps.Keys(retentions))))
	}
	return r
}

var retentions = map[int]awslogs.RetentionDays{
	1: awslogs.RetentionDays_ONE_DAY, 3: awslogs.RetentionDays_THREE_DAYS, 5: awslogs.RetentionDays_FIVE_DAYS,
	7: awslogs.RetentionDays_ONE_WEEK, 14: awslogs.RetentionDays_TWO_WEEKS, 30: awslogs.RetentionDays_ONE_MONTH,
	60: awslogs.RetentionDays_TWO_MONTHS, 90: awslogs.RetentionDays_THREE_MONTHS, 120: awslogs.RetentionDays_FOUR_MONTHS,
	150: awslogs.RetentionDays_FIVE_MONTHS, 180: awslogs.RetentionDays_SIX_MONTHS, 365: awslogs.RetentionDays_ONE_YEAR,
	400: awslogs.RetentionDays_THIRTEEN_MONTHS, 545: awslogs.RetentionDays_EIGHTEEN_MONTHS, 731: awslogs.RetentionDays_TWO_YEARS,
	1096: awslogs.RetentionDays_THREE_YEARS, 1827: awslogs.RetentionDays_FIVE_YEARS, 2192: awslogs.RetentionDays_SIX_YEARS,
	2557: awslogs.RetentionDays_SEVEN_YEARS, 2922: awslogs.RetentionDays_EIGHT_YEARS, 3288: awslogs.RetentionDays_NINE_YEARS,
	3653: awslogs.RetentionDays_TEN_YEARS,
}
