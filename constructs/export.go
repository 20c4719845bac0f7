package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/pipeline"
)

// ExportProps says what is exported, from where and to where.
type ExportProps struct {
	// Name of the function.
	// Default: generated.
	Name string
	// Spec is what the function must know of its pipeline. It is deployed with the code.
	Spec pipeline.Spec
	// Database to read from.
	Database *SourceDatabase
	// Bucket to write to: only below <pipeline>/.
	Bucket awss3.IBucket
	// EncryptionKey of the objects.
	// Default: the bucket's own.
	EncryptionKey awskms.IKey
	// StateMachine that a committed run is handed to.
	// Default: none. The pipeline only exports.
	StateMachine awsstepfunctions.IStateMachine
	// ExportMapName is the name of the ExportMap that what doesn't fit one function is handed to. The two name each other, so
	// the function knows it by its name only.
	// Default: none. Such an export fails.
	ExportMapName string
	// Notify is invoked, asynchronously, with how runs end that need no workflow, with what the doctor finds after a deployment, and by Lambda with
	// an event that is given up: after the last attempt, or when it got too old. Notify.Function is made for it.
	// Default: none. Nobody is told; it is in the log.
	Notify awslambda.IFunction
	// RetryAttempts is how often Lambda tries a failed event again, 0 to 2.
	// Default: 2.
	RetryAttempts *int
	// MaxEventAge is how long an event may wait for an attempt, 1 minute to 6 hours.
	// Default: 1 hour.
	MaxEventAge awscdk.Duration
	// MemoryMiB of the function; 1769 MiB is one processor.
	// Default: 1769.
	MemoryMiB int
	// Timeout of one attempt.
	// Default: 15 minutes, which is Lambda's maximum.
	Timeout awscdk.Duration
	// Placement in a VPC.
	// Default: in none, so the database must be reachable without.
	Placement *Placement
	// Architecture to compile for.
	// Default: Arm64, a fifth cheaper than X86_64.
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

// Export is the function that reads SQL Server once for each run, commits what it read to S3 and starts the workflow. It examines
// database and settings whenever its stack was deployed.
type Export struct {
	Construct constructs.Construct
	Function  awslambda.Function
	Role      awsiam.Role
	LogGroup  awslogs.LogGroup
	// Doctor is the rule that has the function examine, when a deployment is complete.
	Doctor awsevents.CfnRule
}

// Defaults of ExportProps.
const (
	// DefaultExportMemoryMiB is one processor, and four connections with values of 8 MiB; the export's memory doesn't grow with the
	// table.
	DefaultExportMemoryMiB = 1769
	// DefaultExportTimeoutMinutes is Lambda's maximum.
	DefaultExportTimeoutMinutes = 15
	// DefaultExportRetries is Lambda's maximum.
	DefaultExportRetries = 2
)

// goMemoryPercent is the part of the function's memory that Go's collector may let the heap grow to. The rest is for what it doesn't
// count: the binary, and Lambda's own process beside it.
const goMemoryPercent = 85

const exportPackage = "sagemaker-datapipeline/lambda/export"

// NewExport makes the function, its role and its retries.
func NewExport(scope constructs.Construct, id string, props *ExportProps) *Export {
	this := constructs.NewConstruct(scope, &id)
	key := props.EncryptionKey
	if key == nil {
		key = props.Bucket.EncryptionKey()
	}
	memory := props.MemoryMiB
	if memory == 0 {
		memory = DefaultExportMemoryMiB
	}
	timeout := props.Timeout
	if timeout == nil {
		timeout = awscdk.Duration_Minutes(jsii.Number(DefaultExportTimeoutMinutes))
	}
	function := newGoFunction(this, functionProps{
		name:         props.Name,
		description:  fmt.Sprintf("Exports %s from SQL Server to S3", props.Spec.Pipeline),
		goPackage:    exportPackage,
		architecture: props.Architecture,
		code:         props.Code,
		spec:         props.Spec,
		environment:  exportEnvironment(this, props, key, memory),
		memoryMiB:    memory,
		timeout:      timeout,
		placement:    props.Placement,
		logRetention: orDefaultRetention(props.LogRetention),
		logRemoval:   orRetain(props.RemovalPolicy),
		statements:   exportStatements(this, props, key),
	})
	retries := DefaultExportRetries
	if props.RetryAttempts != nil {
		retries = *props.RetryAttempts
	}
	age := props.MaxEventAge
	if age == nil {
		age = awscdk.Duration_Hours(jsii.Number(1))
	}
	// What the Scheduler hands over is asynchronous: from here on retries, age and giving up are Lambda's.
	invoked := &awslambda.CfnEventInvokeConfigProps{
		FunctionName:             function.FunctionName(),
		Qualifier:                jsii.String("$LATEST"),
		MaximumRetryAttempts:     jsii.Number(retries),
		MaximumEventAgeInSeconds: age.ToSeconds(nil),
	}
	if props.Notify != nil {
		invoked.DestinationConfig = &awslambda.CfnEventInvokeConfig_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventInvokeConfig_OnFailureProperty{Destination: props.Notify.FunctionArn()},
		}
	}
	awslambda.NewCfnEventInvokeConfig(this, jsii.String("Retries"), invoked)
	return &Export{
		Construct: this, Function: function.Function, Role: function.role, LogGroup: function.logGroup,
		Doctor: newDoctor(this, function.Function),
	}
}

// newDoctor makes the rule that invokes the function when its stack was deployed. Not a custom resource: a database that can't be
// reached for an hour must not undo a deployment.
func newDoctor(scope constructs.Construct, function awslambda.Function) awsevents.CfnRule {
	rule := awsevents.NewCfnRule(scope, jsii.String("Doctor"), &awsevents.CfnRuleProps{
		Description: jsii.String("Examines the database and the settings of the export when its stack was deployed"),
		EventPattern: map[string]any{
			"source":      []string{"aws.cloudformation"},
			"detail-type": []string{"CloudFormation Stack Status Change"},
			"detail": map[string]any{
				"stack-id":       []*string{awscdk.Stack_Of(scope).StackId()},
				"status-details": map[string]any{"status": []string{"CREATE_COMPLETE", "UPDATE_COMPLETE"}},
			},
		},
		Targets: []any{&awsevents.CfnRule_TargetProperty{Id: jsii.String("export"), Arn: function.FunctionArn()}},
	})
	function.AddPermission(jsii.String("InvokedByDoctor"), &awslambda.Permission{
		Principal: awsiam.NewServicePrincipal(jsii.String("events.amazonaws.com"), nil),
		SourceArn: rule.AttrArn(),
	})
	return rule
}

// GrantInvoke lets a person's role run the pipeline now.
func (e *Export) GrantInvoke(grantee awsiam.IGrantable) awsiam.Grant {
	return e.Function.GrantInvoke(grantee)
}

// MetricErrors counts the attempts that failed, not the events that were given up.
func (e *Export) MetricErrors(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return e.Function.MetricErrors(options)
}

// exportEnvironment holds nothing secret and nothing of the pipeline: Lambda allows 4 KB, the spec is a file.
func exportEnvironment(scope constructs.Construct, props *ExportProps, key awskms.IKey, memoryMiB int) map[string]*string {
	environment := map[string]*string{
		"DATA_BUCKET":         props.Bucket.BucketName(),
		"DATA_KEY_ARN":        jsii.String(""),
		"DATABASE_SECRET_ARN": jsii.String(props.Database.SecretID),
		// Lambda kills a function that has used up its memory; Go's collector, which would let the heap double, works harder before that.
		"GOMEMLIMIT": jsii.String(fmt.Sprintf("%dMiB", memoryMiB*goMemoryPercent/100)),
	}
	if key != nil {
		environment["DATA_KEY_ARN"] = key.KeyArn()
	}
	if props.StateMachine != nil {
		environment["STATE_MACHINE_ARN"] = props.StateMachine.StateMachineArn()
	}
	if props.ExportMapName != "" {
		environment["EXPORT_MACHINE_ARN"] = exportMapArn(awscdk.Stack_Of(scope), props.ExportMapName)
	}
	if props.Notify != nil {
		environment["NOTIFY_FUNCTION_ARN"] = props.Notify.FunctionArn()
	}
	for name, value := range map[string]string{
		"DATABASE_HOST": props.Database.Host,
		"DATABASE_PORT": props.Database.Port,
		"DATABASE_NAME": props.Database.Name,
		"REPLICA_HOST":  props.Database.ReplicaHost,
		"REPLICA_PORT":  props.Database.ReplicaPort,
	} {
		if value != "" {
			environment[name] = jsii.String(value)
		}
	}
	return environment
}

// exportStatements are what the export calls, and nothing else.
func exportStatements(scope constructs.Construct, props *ExportProps, key awskms.IKey) []awsiam.PolicyStatement {
	stack := awscdk.Stack_Of(scope)
	via := func(service string) map[string]any {
		return map[string]any{"StringEquals": map[string]any{"kms:ViaService": fmt.Sprintf("%s.%s.amazonaws.com", service, *stack.Region())}}
	}
	objects := func(pattern string) *string {
		return props.Bucket.ArnForObjects(jsii.String(props.Spec.Pipeline + pattern))
	}
	secret := props.Database.secret(stack)
	statements := []awsiam.PolicyStatement{
		allow("ReadTheDatabaseSecret", []string{"secretsmanager:GetSecretValue"}, secret.arn),
		// The secret may be encrypted by a key of the account that we don't know; with the encryption context it opens this
		// secret only.
		allowIf("OpenTheDatabaseSecret", []string{"kms:Decrypt"}, merge(via("secretsmanager"), map[string]any{
			"StringLike": map[string]any{"kms:EncryptionContext:SecretARN": secret.arn},
		}), secret.anyKeyArn),
		allow("WriteRuns", []string{"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:AbortMultipartUpload"}, objects("/*")),
		// What attempts left. The bucket keeps a version of it for a while; the head is out of reach.
		allow("SweepRuns", []string{"s3:DeleteObject"}, objects("/runs/*")),
		// Without it S3 answers 403, not 404, for an object that isn't there yet.
		allow("SeeWhatIsThere", []string{"s3:ListBucket"}, props.Bucket.BucketArn()),
	}
	if props.StateMachine != nil {
		statements = append(statements, allow("StartTheWorkflow", []string{"states:StartExecution"}, props.StateMachine.StateMachineArn()))
	}
	if name := props.ExportMapName; name != "" {
		statements = append(statements,
			allow("StartTheMap", []string{"states:StartExecution"}, exportMapArn(stack, name)),
			allow("LookAtTheMap", []string{"states:DescribeExecution"}, exportMapExecutions(stack, name)))
	}
	if props.Notify != nil {
		// Of an event that is given up Lambda does it, as this role.
		statements = append(statements, allow("HaveEndsTold", []string{"lambda:InvokeFunction"}, props.Notify.FunctionArn()))
	}
	if key != nil {
		statements = append(statements, allowIf("EncryptRuns", []string{"kms:GenerateDataKey", "kms:Decrypt"}, via("s3"), key.KeyArn()))
	}
	return statements
}

func orDefaultRetention(days awslogs.RetentionDays) awslogs.RetentionDays {
	if days == "" {
		return awslogs.RetentionDays_ONE_MONTH
	}
	return days
}

func orRetain(removal awscdk.RemovalPolicy) awscdk.RemovalPolicy {
	if removal == "" {
		return awscdk.RemovalPolicy_RETAIN
	}
	return removal
}
