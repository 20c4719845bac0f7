package constructs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

// WorkflowProps says what happens to a run after it was exported.
type WorkflowProps struct {
	// Name of the state machine and of the endpoint, and the beginning of the name of each job, model and endpoint config:
	// "ml-dev-fraud".
	Name string
	// Pipeline is the first part of the keys of the pipeline's objects in the bucket: "fraud".
	Pipeline string
	// Bucket holds the runs, and gets the models.
	Bucket awss3.IBucket
	// EncryptionKey seals models and the disks of jobs and endpoints. It must let the roles here use it; that of a DataLake
	// does.
	// Default: the bucket's key, or none when the bucket has none that is known here.
	EncryptionKey awskms.IKey
	// Topic gets one notice a run. If it is encrypted by a key of the account, then by EncryptionKey.
	Topic awssns.ITopic
	// Evaluate is the function that finds the model in service, compares the candidate with it and asks the endpoint for
	// predictions.
	// Default: the function called <Name>-evaluate.
	Evaluate awslambda.IFunction
	// Release is the function that holds the deploy lease and knows what a registered model waits for, what is in service and
	// what nobody needs any more.
	// Default: the function called <Name>-release.
	Release awslambda.IFunction
	// Notify is the function that tells people, machines and clocks how a run ended.
	// Default: the function called <Name>-notify.
	Notify awslambda.IFunction
	// Training is the training job.
	Training TrainingProps
	// Gate says when a trained model may take the place of the one in service.
	// Default: each model that was trained may, and none is scored.
	Gate *pipeline.Gate
	// Approval has a person decide on each model before it is put into service.
	// Default: nobody is asked.
	Approval *ApprovalProps
	// Transform is what batch transforms run on.
	// Default: see there.
	Transform TransformProps
	// Endpoint is what serves the model.
	Endpoint EndpointProps
	// Vpc is where training jobs and the endpoint run.
	// Default: in no VPC.
	Vpc awsec2.IVpc
	// VpcSubnets are where in the Vpc.
	// Default: its private subnets.
	VpcSubnets *awsec2.SubnetSelection
	// SecurityGroups of jobs and endpoint. Needed with a Vpc: SageMaker takes no default.
	SecurityGroups []awsec2.ISecurityGroup
	// PollInterval is how often what is being changed is looked at, at first, and the unit of all retries' intervals. Whole
	// seconds.
	// Default: 30 seconds.
	PollInterval awscdk.Duration
	// LogRetention of the log of the executions.
	// Default: one month.
	LogRetention awslogs.RetentionDays
	// RemovalPolicy of the log.
	// Default: it stays.
	RemovalPolicy awscdk.RemovalPolicy
}

// Workflow turns a committed run into a model in service: it trains, publishes the signature, creates or updates or heals
// the endpoint, asks it for a prediction, and tells people how it went. docs/workflow.md has its diagram and its tables.
type Workflow struct {
	Construct constructs.Construct
	// StateMachine takes a manifest.ExecutionInput. Its output is {run, pipeline, outcome, rows, trainingJob, model, artifact,
	// metrics, endpoint, endpointConfig, notice}: the outcome is "succeeded" or "superseded", the config is what the endpoint
	// serves. With "succeeded" come {previousEndpointConfig, smoke}.
	StateMachine awsstepfunctions.StateMachine
	// TrainingRole is what training jobs run as.
	TrainingRole awsiam.Role
	// ModelRole is what the endpoint runs as.
	ModelRole awsiam.Role
	LogGroup  awslogs.LogGroup
}

// DefaultPollSeconds is short beside the minutes that an endpoint takes, and makes an hour of waiting 360 transitions.
const DefaultPollSeconds = 30

// NewWorkflow makes the state machine, its log and the three roles.
func NewWorkflow(scope constructs.Construct, id string, props *WorkflowProps) *Workflow {
	this := constructs.NewConstruct(scope, &id)
	f := newFlow(this, *props)
	f.failed = f.tellFailure()
	f.superseded = f.tellOutcome(outcome.Superseded)
	deploying := f.deploy(f.tellSuccess())
	registered := f.register(f.approve(deploying))
	modelled := f.createModel(f.goOn(f.score(registered), registered, deploying))
	published := f.publish(modelled)
	start := f.readInput(f.train(published), f.resume(published, modelled))

	logGroup := awslogs.NewLogGroup(this, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     orDefaultRetention(props.LogRetention),
		RemovalPolicy: orRetain(props.RemovalPolicy),
	})
	machine := awsstepfunctions.NewStateMachine(this, jsii.String("StateMachine"), &awsstepfunctions.StateMachineProps{
		StateMachineName: jsii.String(props.Name),
		Comment:          jsii.String("From a committed run of " + props.Name + " to its model in service"),
		DefinitionBody:   awsstepfunctions.DefinitionBody_FromChainable(start),
		QueryLanguage:    awsstepfunctions.QueryLanguage_JSONATA,
		Role:             f.newWorkflowRole(),
		Logs: &awsstepfunctions.LogOptions{
			Destination: logGroup,
			Level:       awsstepfunctions.LogLevel_ALL,
			// The input holds a row of the data: it is in the execution's history, which IAM guards, and in no log.
			IncludeExecutionData: jsii.Bool(false),
		},
	})
	return &Workflow{Construct: this, StateMachine: machine, TrainingRole: f.trainingRole, ModelRole: f.modelRole, LogGroup: logGroup}
}

// GrantStart lets a person's role run the workflow again on the input of an earlier execution.
func (w *Workflow) GrantStart(grantee awsiam.IGrantable) awsiam.Grant {
	return w.StateMachine.GrantStartExecution(grantee)
}

// MetricFailed counts the executions that failed.
func (w *Workflow) MetricFailed(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return w.StateMachine.MetricFailed(options)
}

// flow makes the states of one workflow. They are made from the last to the first, because each names the one after it.
type flow struct {
	scope        constructs.Construct
	stack        awscdk.Stack
	props        WorkflowProps
	key          awskms.IKey
	image        Image
	vpcConfig    map[string]any
	trainingRole awsiam.Role
	modelRole    awsiam.Role
	// failed is where every failure goes, with $failure assigned.
	failed awsstepfunctions.IChainable
	// ending is where every run ends, with $outcome assigned.
	ending awsstepfunctions.IChainable
	// superseded is where a run goes that a later one has overtaken, with $failure assigned: its step and cause say why.
	superseded awsstepfunctions.IChainable
}

func newFlow(scope constructs.Construct, props WorkflowProps) *flow {
	checkName(props.Name)
	f := &flow{scope: scope, stack: awscdk.Stack_Of(scope), props: props, key: props.EncryptionKey}
	if f.key == nil {
		f.key = props.Bucket.EncryptionKey()
	}
	if f.props.PollInterval == nil {
		f.props.PollInterval = awscdk.Duration_Seconds(jsii.Number(DefaultPollSeconds))
	}
	f.props.Training = props.Training.withDefaults(props.Pipeline)
	f.props.Endpoint = f.props.Endpoint.withDefaults(props.Name)
	f.props = f.props.withFunctions(scope)
	f.props.Training.check(props.Name)
	f.props.Transform = props.Transform.withDefaults(f.props.Training, f.props.Endpoint)
	if props.Approval != nil {
		f.props.Approval = new(props.Approval.withDefaults())
	}
	if *awscdk.Token_IsUnresolved(f.stack.Region()) {
		panic(fmt.Errorf("the stack %s has no region, and the registry of SageMaker's images depends on it: give the stack an env", *f.stack.StackName()))
	}
	if f.props.Training.Image != "" {
		f.image = must(OwnImage(f.props.Training.Image))
	} else {
		f.image = must(BuiltInImage(f.props.Training.Algorithm, *f.stack.Region(), f.props.Training.Version))
	}
	if props.Vpc != nil {
		if len(props.SecurityGroups) == 0 {
			panic(fmt.Errorf("the workflow %s has a VPC but no security group: give it one, SageMaker has no default", props.Name))
		}
		groups := make([]*string, len(props.SecurityGroups))
		for i, group := range props.SecurityGroups {
			groups[i] = group.SecurityGroupId()
		}
		f.vpcConfig = map[string]any{"Subnets": *props.Vpc.SelectSubnets(props.VpcSubnets).SubnetIds, "SecurityGroupIds": groups}
	}
	f.trainingRole = f.newTrainingRole()
	f.modelRole = f.newModelRole()
	return f
}

// readInput makes the states that refuse an input which the export didn't write, naming everything that is wrong with it,
// and give each variable of the workflow its first value. A run that a person starts again in its middle goes to resumed.
func (f *flow) readInput(then, resumed awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	assign := variables{
		"run":      jsonata(fmt.Sprintf(`$type($states.input.run) = 'string' ? ($contains($states.input.run, %s) ? $states.input.run : 'unknown') : 'unknown'`, runForm)),
		"rows":     jsonata(`$type($states.input.rows) in ['number', 'string'] ? $states.input.rows : 0`),
		"problems": jsonata(f.problemsExpression()),
		"job":      nothing, "jobStatus": nothing, "artifact": nothing, "metrics": map[string]any{},
		"champion": nothing, "decision": map[string]any{}, "package": nothing,
		"leased": false, "asked": false, "deleted": false, "looks": 0, "endpoint": map[string]any{}, "config": nothing, "previousConfig": nothing,
		"putBack": false, "undone": map[string]any{}, "smoke": map[string]any{}, "scaling": nothing, "scores": nothing,
		"outcome": string(outcome.Failed), "notice": nothing,
	}
	maps.Copy(assign, f.begin())
	read := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String("Read input"), &awsstepfunctions.PassJsonataProps{
		Comment: jsii.String("The input is made from the run's manifest by the export."),
		Assign:  assign.pointer(),
	})
	complete := f.choice("Input complete?", "", failing(stepInput, "Input.Malformed",
		`'the input is not what the export writes: ' & $join($problems, '; ')`))
	read.Next(complete)
	complete.
		When(condition(fmt.Sprintf(`$count($problems) = 0 and %s.resume.from in ['%s', '%s']`, input, manifest.FromEvaluate, manifest.FromDeploy)), resumed, nil).
		When(condition(`$count($problems) = 0`), then, nil).
		Otherwise(f.failed)
	return read
}

// goOn makes the choice behind the model. A person who starts a run again from "deploy" has decided that the model is good enough,
// but where models are approved, not that this one is; a person who rolls back has done both, with a model that was in service.
func (f *flow) goOn(scored, registered, deploying awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	decided := registered
	if f.props.Approval == nil {
		decided = deploying
	}
	goOn := f.choice("Decided already?", "", nil)
	goOn.
		When(condition(input+`.resume.rollback = true and `+input+`.resume.from = '`+string(manifest.FromDeploy)+`'`), deploying, nil).
		When(condition(input+`.resume.from = '`+string(manifest.FromDeploy)+`'`), decided, nil).
		Otherwise(scored)
	return goOn
}

// runForm is the form of a run.ID, as JSONata says it.
const runForm = `/^[0-9]{8}t[0-9]{6}z$/`

// problemsExpression is an array of what is wrong with the input. Nothing that the input may hold makes it fail.
func (f *flow) problemsExpression() string {
	return fmt.Sprintf(`(
  $is := function($value, $form) { $type($value) = 'string' ? $contains($value, $form) : false };
  $shown := function($value) { $exists($value) ? $substring($string($value), 0, 80) : 'missing' };
  $wrong := function($right, $name, $value, $want) { $right ? [] : $name & ' is ' & $shown($value) & ', not ' & $want };
  $in := $states.input;
  $resumed := $exists($in.resume) ? $type($in.resume) != 'null' : false;
  [
    $wrong($is($in.run, %s), 'run', $in.run, 'a run id such as 20260101t020000z'),
    $wrong($in.pipeline = '%s', 'pipeline', $in.pipeline, '%s'),
    $wrong($in.bucket = '%s', 'bucket', $in.bucket, 'the bucket of this pipeline'),
    $wrong($is($in.channels.train, /^s3:[/][/]./), 'channels.train', $in.channels.train, 'the s3:// address of a ManifestFile'),
    $wrong($type($in.channels.validation) in ['null'] or $not($exists($in.channels.validation)) or $is($in.channels.validation, /^s3:[/][/]./), 'channels.validation', $in.channels.validation, 'the s3:// address of a ManifestFile'),
    $wrong($is($in.signature, /./), 'signature', $in.signature, 'the key of signature.json'),
    $wrong($in.smoke.contentType = 'text/csv', 'smoke.contentType', $in.smoke.contentType, 'text/csv'),
    $wrong($is($in.smoke.body, /./), 'smoke.body', $in.smoke.body, 'a row of features'),
    $wrong($not($resumed) or $is($in.resume.from, /^(train|evaluate|deploy)$/), 'resume.from', $in.resume.from, 'train, evaluate or deploy'),
    $wrong($not($resumed) or $in.resume.from = 'train' or $is($in.resume.model, /^%s-[0-9]{8}t[0-9]{6}z(-a[0-9]{1,2})?$/), 'resume.model', $in.resume.model, 'a training job of this pipeline')
  ]
)`, runForm, f.props.Pipeline, f.props.Pipeline, *f.props.Bucket.BucketName(), f.props.Name)
}

// taskProps is a state that calls AWS.
type taskProps struct {
	comment        string
	arguments      map[string]any
	assign         variables
	timeoutSeconds int
	retries        []*awsstepfunctions.RetryProps
	// step is the name by which a failure of the state is announced.
	step string
	// onError is where an error goes.
	// Default: the end, with a notice.
	onError awsstepfunctions.IChainable
	// onErrorSets is assigned when an error is caught, in place of $failure.
	onErrorSets variables
	// keepFailure leaves $failure as it is: an earlier one is what matters.
	keepFailure bool
}

// task makes a state that calls AWS. What later states need of its answer goes into variables; the run's input is in the
// context object for all of them.
func (f *flow) task(id, integration string, p taskProps) awsstepfunctions.CustomState {
	state := map[string]any{
		"Type":      "Task",
		"Resource":  fmt.Sprintf("arn:%s:states:::%s", *f.stack.Partition(), integration),
		"Arguments": p.arguments,
	}
	if p.comment != "" {
		state["Comment"] = p.comment
	}
	if p.assign != nil {
		state["Assign"] = p.assign
	}
	if p.timeoutSeconds != 0 {
		state["TimeoutSeconds"] = p.timeoutSeconds
	}
	task := awsstepfunctions.NewCustomState(f.scope, jsii.String(id), &awsstepfunctions.CustomStateProps{StateJson: &state})
	for _, retry := range p.retries {
		task.AddRetry(retry)
	}
	handler := p.onError
	if handler == nil {
		handler = f.failed
	}
	caught := &awsstepfunctions.CatchProps{}
	switch {
	case p.onErrorSets != nil:
		caught.Assign = p.onErrorSets.pointer()
	case !p.keepFailure:
		assign := caughtIn(p.step)
		caught.Assign = assign.pointer()
	}
	return task.AddCatch(handler, caught)
}

// choice makes a choice state, of which otherwise is what its default way assigns.
func (f *flow) choice(id, comment string, otherwise variables) awsstepfunctions.Choice {
	props := &awsstepfunctions.ChoiceJsonataProps{Comment: optional(comment)}
	if otherwise != nil {
		props.Assign = otherwise.pointer()
	}
	return awsstepfunctions.Choice_Jsonata(f.scope, jsii.String(id), props)
}

// variables are what a state assigns: values, or JSONata in {% %}.
type variables map[string]any

func (v variables) pointer() *map[string]any { return (*map[string]any)(&v) }

// when is a way of a choice state: what it is for and what it assigns.
func when(comment string, assign variables) *awsstepfunctions.ChoiceTransitionOptions {
	options := &awsstepfunctions.ChoiceTransitionOptions{Comment: optional(comment)}
	if assign != nil {
		options.Assign = assign.pointer()
	}
	return options
}

// input is the input of the execution, whatever the states before put out.
const input = "$states.context.Execution.Input"

// jsonata marks an expression as one, on a single line.
func jsonata(expression string) string {
	return "{% " + lineBreak.ReplaceAllString(expression, " ") + " %}"
}

var lineBreak = regexp.MustCompile(`\n\s*`)

// nothing is the empty string, as asl-validator accepts it.
var nothing = jsonata(`''`)

func condition(expression string) awsstepfunctions.Condition {
	return awsstepfunctions.Condition_Jsonata(jsii.String(jsonata(expression)))
}

// quotaRetries, with intervals doubling from two polls to twenty, wait out the endpoints of others: about half an hour with the
// default poll interval.
const quotaRetries = 6

// quotaRetry waits for a quota that is in use: its interval doubles from two polls to twenty.
func (f *flow) quotaRetry() *awsstepfunctions.RetryProps {
	retry := f.retry(quotaRetries, "SageMaker.ResourceLimitExceededException", "SageMaker.ResourceLimitExceeded")
	poll := *f.props.PollInterval.ToSeconds(nil)
	retry.Interval = awscdk.Duration_Seconds(jsii.Number(2 * poll))
	retry.MaxDelay = awscdk.Duration_Seconds(jsii.Number(20 * poll))
	return retry
}

// retry tries again at growing intervals that begin with one poll.
func (f *flow) retry(attempts int, errors ...string) *awsstepfunctions.RetryProps {
	return &awsstepfunctions.RetryProps{
		Errors: jsii.Strings(errors...), MaxAttempts: jsii.Number(attempts), Interval: f.props.PollInterval, BackoffRate: jsii.Number(2),
		JitterStrategy: awsstepfunctions.JitterType_FULL,
	}
}

// tags are on everything that the workflow makes in SageMaker.
func (f *flow) tags() []any {
	return []any{
		map[string]any{"Key": "pipeline", "Value": f.props.Name},
		map[string]any{"Key": "run", "Value": jsonata(`$run`)},
	}
}

// resource is the ARN of something in SageMaker.
func (f *flow) resource(kind, name string) *string {
	return f.stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("sagemaker"), Resource: jsii.String(kind), ResourceName: jsii.String(name),
	})
}

// named is the ARN of every job, model or config of this pipeline, and of no pipeline whose name only begins alike: a run
// id follows the name.
func (f *flow) named(kind string) *string {
	return f.resource(kind, f.props.Name+"-????????t??????z*")
}

// newWorkflowRole makes the role of the state machine: what its states call, and nothing else.
func (f *flow) newWorkflowRole() awsiam.Role {
	statements := append(slices.Concat(f.trainingPermissions(), f.scorePermissions(), f.registerPermissions(), f.deployPermissions()),
		allowIf("RunJobsAndModelsAsTheirRoles", []string{"iam:PassRole"}, map[string]any{
			"StringEquals": map[string]any{"iam:PassedToService": "sagemaker.amazonaws.com"},
		}, f.trainingRole.RoleArn(), f.modelRole.RoleArn()),
		allow("TellPeople", []string{"sns:Publish"}, f.props.Topic.TopicArn()),
	)
	if f.key != nil {
		statements = append(statements,
			// To copy the signature, and to publish on a topic that the same key encrypts.
			allow("OpenAndSealObjects", []string{"kms:Decrypt", "kms:GenerateDataKey"}, f.key.KeyArn()))
		if !f.trainsOnLocalDisks() || f.servesOnSealedDisks() || f.scoresFiles() && !f.transformsOnLocalDisks() {
			statements = append(statements, f.volumeKey())
		}
	}
	return awsiam.NewRole(f.scope, jsii.String("Role"), &awsiam.RoleProps{
		Description: jsii.String("The workflow " + f.props.Name),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": f.stack.Account()}},
		}),
		InlinePolicies: &map[string]awsiam.PolicyDocument{"workflow": policy(statements...)},
	})
}

// newJobRole makes a role of SageMaker's: its statements, and what every container needs: its image, its logs, its metrics
// and, in a VPC, its network interfaces.
func (f *flow) newJobRole(id, description string, statements []awsiam.PolicyStatement, logGroups ...string) awsiam.Role {
	anything := jsii.String("*")
	var groups []*string
	for _, name := range logGroups {
		group := f.stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("logs"), Resource: jsii.String("log-group"), ResourceName: jsii.String(name),
			ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
		})
		groups = append(groups, group, jsii.String(*group+":*"))
	}
	statements = append(statements,
		allow("GetARegistryToken", []string{"ecr:GetAuthorizationToken"}, anything), // has no resource
		allow("PullTheImage", []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
			f.stack.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("ecr"), Account: jsii.String(f.image.Account), Region: optional(f.image.Region), Resource: jsii.String("repository"),
				ResourceName: jsii.String(f.image.Repository),
			})),
		allow("WriteItsLog", []string{"logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}, groups...),
		allowIf("WriteItsMetrics", []string{"cloudwatch:PutMetricData"}, map[string]any{
			"StringLike": map[string]any{"cloudwatch:namespace": "/aws/sagemaker/*"},
		}, anything), // has no resource
	)
	if f.vpcConfig != nil {
		statements = append(statements, allow("AttachToTheVpc", sagemakerVpcActions, anything))
	}
	return awsiam.NewRole(f.scope, jsii.String(id), &awsiam.RoleProps{
		Description:    jsii.String(description),
		AssumedBy:      awsiam.NewServicePrincipal(jsii.String("sagemaker.amazonaws.com"), nil),
		InlinePolicies: &map[string]awsiam.PolicyDocument{"job": policy(statements...)},
	})
}

// sagemakerVpcActions are what SageMaker does as the role to attach a job or an endpoint to a VPC. Source: the SageMaker
// developer guide, "CreateTrainingJob API: Execution Role Permissions", VpcConfig. The interfaces don't exist yet.
var sagemakerVpcActions = []string{
	"ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface",
	"ec2:DeleteNetworkInterfacePermission", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
	"ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
}

// volumeKey lets SageMaker use the key for the disks of machines, through grants that it gives up by itself.
func (f *flow) volumeKey() awsiam.PolicyStatement {
	return allowIf("SealDisks", []string{"kms:CreateGrant"}, map[string]any{
		"Bool": map[string]any{"kms:GrantIsForAWSResource": true},
	}, f.key.KeyArn())
}
