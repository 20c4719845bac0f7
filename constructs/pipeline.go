package constructs

import (
	"fmt"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssagemaker"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/pipeline"
)

// RetrainingPipelineProps describes one model that is kept trained on what is in SQL Server.
type RetrainingPipelineProps struct {
	// Spec is what is read and what its columns are to the model. Project, environment and pipeline in it name everything
	// that is made: <project>-<environment>-<pipeline>.
	Spec pipeline.Spec
	// Database to read from.
	Database *SourceDatabase
	// Bucket for data and models, below <pipeline>/.
	Bucket awss3.IBucket
	// EncryptionKey of data, models and notices.
	// Default: the bucket's and the topic's own.
	EncryptionKey awskms.IKey
	// Topic that hears how runs ended.
	Topic awssns.ITopic
	// Alarms is AlarmTo(topic) or NoAlarms(reason).
	Alarms AlarmPolicy

	// ScheduleExpression is EventBridge Scheduler's cron(…) or rate(…).
	ScheduleExpression string
	// ScheduleTimeZone in which a cron expression is read.
	// Default: UTC.
	ScheduleTimeZone string
	// ScheduleDisabled keeps the schedule without firing it.
	// Default: it fires.
	ScheduleDisabled bool
	// ScheduleGroup of the schedule.
	// Default: the account's default group.
	ScheduleGroup awsscheduler.IScheduleGroup

	// ExportMemoryMiB of the export function.
	// Default: 1769.
	ExportMemoryMiB int
	// ExportTimeout of one attempt.
	// Default: 15 minutes.
	ExportTimeout awscdk.Duration
	// ExportRetryAttempts of Lambda, 0 to 2.
	// Default: 2.
	ExportRetryAttempts *int
	// ExportMaxEventAge is how long a tick may wait for an attempt.
	// Default: 1 hour.
	ExportMaxEventAge awscdk.Duration
	// ExportPlacement puts the export function into a VPC.
	// Default: in none.
	ExportPlacement *Placement

	// Training job of a run.
	// Default: none. The pipeline only exports, and has no endpoint either.
	Training *TrainingProps
	// Endpoint is how the model is put to use: its Kind and its KeyColumns are the Spec's. It comes with Training.
	// Default: none.
	Endpoint *EndpointProps
	// Transform is what hold-outs and batches are scored on.
	// Default: the Workflow's.
	Transform TransformProps
	// EndpointAlarms roll an update of the endpoint back, and tell people at any other time. Updates of a serverless endpoint are
	// not rolled back.
	// Default: none, but those of Endpoint.
	EndpointAlarms *EndpointAlarmProps
	// TickLimit, DataLimit and ModelLimit are how long ago a tick may have been processed, how old the newest accepted data may be, and
	// how old the data that the model in service is judged by.
	// Default: not watched.
	TickLimit, DataLimit, ModelLimit awscdk.Duration
	// ClockInterval is how often these ages are put into CloudWatch. Whole minutes.
	// Default: the Clock's.
	ClockInterval awscdk.Duration
	// Approval has a person decide on each model before it is put to use.
	// Default: the gate of Spec decides alone.
	Approval *ApprovalProps
	// JobPlacement puts training jobs and the endpoint into a VPC.
	// Default: in none.
	JobPlacement *Placement
	// PollInterval is how often the workflow looks at an endpoint that is being changed.
	// Default: the Workflow's.
	PollInterval awscdk.Duration

	// Architecture of the functions.
	// Default: Arm64.
	Architecture Architecture
	// ExportCode, NotifyCode, ClockCode, EvaluateCode and ReleaseCode of the functions.
	// Default: compiled from this module by the go tool.
	ExportCode, NotifyCode, ClockCode, EvaluateCode, ReleaseCode awslambda.Code
	// LogRetention of the log groups.
	// Default: 30 days.
	LogRetention awslogs.RetentionDays
	// RemovalPolicy of the log groups, of the group of model packages in the registry, and of the role that the endpoint runs as.
	// Models, configs and the endpoint are the workflow's: no deletion of a stack reaches them.
	// Default: they stay.
	RemovalPolicy awscdk.RemovalPolicy
}

// RetrainingPipeline is the whole flow of one model, in the order in which data goes:
//
//	Schedule ─▶ Export ─┬──────────────────────▶ Workflow (train, score, register, deploy) ◀─▶ Evaluate, Release
//	              │     └─ too large ─▶ ExportMap ─┘   │
//	              └─── ends ───▶ Notify ◀─ fails ─┘    │
//	                     clocks ◀──┘ ▲─────── ends ────┘
//	                       └─▶ Clock
//
// It is a thin composition; each part stands alone as well.
type RetrainingPipeline struct {
	Construct constructs.Construct
	// Name begins the names of everything in SageMaker, and is the endpoint's.
	Name      string
	Schedule  *Schedule
	Export    *Export
	ExportMap *ExportMap
	Notify    *Notify
	Clock     *Clock
	// Workflow, Evaluate, Release and ModelPackages are nil in a pipeline that only exports.
	Workflow      *Workflow
	Evaluate      *Evaluate
	Release       *Release
	ModelPackages awssagemaker.CfnModelPackageGroup
	// Alarms is empty with NoAlarms.
	Alarms []awscloudwatch.Alarm
}

// NewRetrainingPipeline makes the parts, the last of the flow first: each needs the one that it hands over to.
func NewRetrainingPipeline(scope constructs.Construct, id string, props *RetrainingPipelineProps) *RetrainingPipeline {
	name := props.Spec.Name()
	checkName(name)
	this := constructs.NewConstruct(scope, &id)
	p := &RetrainingPipeline{Construct: this, Name: name}
	if (props.Training == nil) != (props.Endpoint == nil) {
		panic(fmt.Errorf("the pipeline %s has a training or an endpoint without the other: give it both, or neither for one that only exports", name))
	}
	p.Notify = NewNotify(this, "Notify", &NotifyProps{
		Name:          name + "-notify",
		Spec:          props.Spec,
		Bucket:        props.Bucket,
		EncryptionKey: props.EncryptionKey,
		Topic:         props.Topic,
		TopicKey:      props.EncryptionKey,
		Architecture:  props.Architecture,
		Code:          props.NotifyCode,
		LogRetention:  props.LogRetention,
		RemovalPolicy: props.RemovalPolicy,
	})
	var workflow awsstepfunctions.IStateMachine
	if props.Training != nil {
		p.addWorkflow(props)
		workflow = p.Workflow.StateMachine
	}
	p.Export = NewExport(this, "Export", &ExportProps{
		Name:          name + "-export",
		Spec:          props.Spec,
		Database:      props.Database,
		Bucket:        props.Bucket,
		EncryptionKey: props.EncryptionKey,
		StateMachine:  workflow,
		ExportMapName: name + "-export",
		Notify:        p.Notify.Function,
		RetryAttempts: props.ExportRetryAttempts,
		MaxEventAge:   props.ExportMaxEventAge,
		MemoryMiB:     props.ExportMemoryMiB,
		Timeout:       props.ExportTimeout,
		Placement:     props.ExportPlacement,
		Architecture:  props.Architecture,
		Code:          props.ExportCode,
		LogRetention:  props.LogRetention,
		RemovalPolicy: props.RemovalPolicy,
	})
	p.ExportMap = NewExportMap(this, "ExportMap", &ExportMapProps{
		Name:          name + "-export",
		Pipeline:      props.Spec.Pipeline,
		Bucket:        props.Bucket,
		EncryptionKey: props.EncryptionKey,
		Function:      p.Export.Function,
		OnFailure:     p.Notify.Function,
		Connections:   props.Spec.Limits.Connections,
		RetryAttempts: props.ExportRetryAttempts,
		LogRetention:  props.LogRetention,
		RemovalPolicy: props.RemovalPolicy,
	})
	p.Clock = NewClock(this, "Clock", &ClockProps{
		Name:          name + "-clock",
		Spec:          props.Spec,
		Bucket:        props.Bucket,
		EncryptionKey: props.EncryptionKey,
		Every:         props.ClockInterval,
		TickLimit:     props.TickLimit,
		DataLimit:     props.DataLimit,
		ModelLimit:    props.ModelLimit,
		Alarms:        props.Alarms,
		Architecture:  props.Architecture,
		Code:          props.ClockCode,
		LogRetention:  props.LogRetention,
		RemovalPolicy: props.RemovalPolicy,
	})
	p.Schedule = NewSchedule(this, "Schedule", &ScheduleProps{
		Name:       name,
		Expression: props.ScheduleExpression,
		TimeZone:   props.ScheduleTimeZone,
		Disabled:   props.ScheduleDisabled,
		Group:      props.ScheduleGroup,
		Target:     p.Export.Function,
	})
	p.Alarms = addAlarms(this, name, props.Alarms, p.watched()...)
	for _, alarm := range []awscloudwatch.Alarm{p.Clock.TickAlarm, p.Clock.DataAlarm, p.Clock.ModelAlarm} {
		if alarm != nil {
			p.Alarms = append(p.Alarms, alarm)
		}
	}
	return p
}

func (p *RetrainingPipeline) watched() []watched {
	things := []watched{
		{"ScheduleAlarm", "a tick did not reach the export function; it is in the dead-letter queue of the schedule", p.Schedule.MetricUndelivered(over5Minutes("Maximum"))},
		{"ExportAlarm", "an attempt to export failed; a notice follows if the last one does too", p.Export.MetricErrors(over5Minutes("Sum"))},
		{"ExportMapAlarm", "an export of many partitions failed; the execution says at which", p.ExportMap.MetricFailed(over5Minutes("Sum"))},
		{"ExportMapTimeAlarm", "an export of many partitions took longer than 110 hours; the next run makes a new plan", p.ExportMap.MetricTimedOut(over5Minutes("Sum"))},
		{"ExportMapAbortAlarm", "somebody stopped an export of many partitions; no state of it could say so", p.ExportMap.MetricAborted(over5Minutes("Sum"))},
		{"NotifyAlarm", "a notice could not be sent; its log says why", p.Notify.MetricErrors(over5Minutes("Sum"))},
	}
	if w := p.Workflow; w != nil {
		things = append(things,
			watched{"EvaluateAlarm", "a model could not be compared, or the endpoint didn't answer as it should; its log says why", p.Evaluate.MetricErrors(over5Minutes("Sum"))},
			watched{"ReleaseAlarm", "a question around a deployment could not be answered; its log says why", p.Release.MetricErrors(over5Minutes("Sum"))},
			watched{"WorkflowAlarm", "a run failed after its export; the execution says at which step", w.StateMachine.MetricFailed(over5Minutes("Sum"))},
			watched{"AbortAlarm", "somebody stopped a run; no state of it could say so", w.StateMachine.MetricAborted(over5Minutes("Sum"))})
	}
	return things
}

// addWorkflow makes the workflow, the two functions that it asks, and the group of its models in the registry.
func (p *RetrainingPipeline) addWorkflow(props *RetrainingPipelineProps) {
	this := p.Construct
	p.ModelPackages = awssagemaker.NewCfnModelPackageGroup(this, jsii.String("ModelPackages"), &awssagemaker.CfnModelPackageGroupProps{
		ModelPackageGroupName:        &p.Name,
		ModelPackageGroupDescription: jsii.String("Models of " + props.Spec.Pipeline + ", with their metrics and where their data comes from"),
	})
	p.ModelPackages.ApplyRemovalPolicy(outliving(props.RemovalPolicy), nil)
	p.Evaluate = NewEvaluate(this, "Evaluate", &EvaluateProps{
		Name:          p.Name + "-evaluate",
		Spec:          props.Spec,
		Bucket:        props.Bucket,
		EncryptionKey: props.EncryptionKey,
		Architecture:  props.Architecture,
		Code:          props.EvaluateCode,
		LogRetention:  props.LogRetention,
		RemovalPolicy: props.RemovalPolicy,
	})
	p.Release = NewRelease(this, "Release", &ReleaseProps{
		Name:          p.Name + "-release",
		Spec:          props.Spec,
		Bucket:        props.Bucket,
		EncryptionKey: props.EncryptionKey,
		Architecture:  props.Architecture,
		Code:          props.ReleaseCode,
		LogRetention:  props.LogRetention,
		RemovalPolicy: props.RemovalPolicy,
	})
	p.Workflow = NewWorkflow(this, "Workflow", p.workflow(props))
	p.Workflow.Construct.Node().AddDependency(p.ModelPackages)
	// An endpoint reads its model as this role, and again with each machine that SageMaker replaces or adds.
	p.Workflow.ModelRole.ApplyRemovalPolicy(outliving(props.RemovalPolicy))
}

// outliving is the policy of what is still needed when its stack is gone. What a first deployment made that failed, it takes back: the
// next would find a name taken.
func outliving(policy awscdk.RemovalPolicy) awscdk.RemovalPolicy {
	if orRetain(policy) == awscdk.RemovalPolicy_RETAIN {
		return awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE
	}
	return policy
}

func (p *RetrainingPipeline) workflow(props *RetrainingPipelineProps) *WorkflowProps {
	workflow := &WorkflowProps{
		Name:          p.Name,
		Pipeline:      props.Spec.Pipeline,
		Bucket:        props.Bucket,
		EncryptionKey: props.EncryptionKey,
		Topic:         props.Topic,
		Evaluate:      p.Evaluate.Function,
		Release:       p.Release.Function,
		Notify:        p.Notify.Function,
		Training:      *props.Training,
		Gate:          props.Spec.Gate,
		Approval:      props.Approval,
		Endpoint:      *props.Endpoint,
		Transform:     props.Transform,
		PollInterval:  props.PollInterval,
		LogRetention:  props.LogRetention,
		RemovalPolicy: props.RemovalPolicy,
	}
	if workflow.Endpoint.Kind == "" {
		workflow.Endpoint.Kind = props.Spec.Deploy
	}
	if workflow.Endpoint.Kind == pipeline.Batch {
		workflow.Endpoint.KeyColumns = len(props.Spec.Dataset.Key)
	}
	if watch := props.EndpointAlarms; watch != nil {
		alarms := newEndpointAlarms(p.Construct, p.Name, *watch, props.Alarms)
		if workflow.Endpoint.Kind != pipeline.Serverless { // whose updates SageMaker doesn't roll back
			workflow.Endpoint.Alarms = append(slices.Clone(workflow.Endpoint.Alarms), alarms...)
		}
	}
	if at := props.JobPlacement; at != nil {
		workflow.Vpc, workflow.VpcSubnets, workflow.SecurityGroups = at.Vpc, at.Subnets, at.SecurityGroups
	}
	return workflow
}
