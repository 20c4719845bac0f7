package constructs

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// ExportMapProps says which function reads the partitions of exports that are too large for one invocation.
type ExportMapProps struct {
	// Name of the state machine. The function starts it by this name: ExportProps.ExportMapName is the same.
	Name string
	// Pipeline is the first part of the keys of the pipeline's objects in the bucket: "fraud".
	Pipeline string
	// Bucket holds the lists of open partitions.
	Bucket awss3.IBucket
	// EncryptionKey of the lists.
	// Default: the bucket's own.
	EncryptionKey awskms.IKey
	// Function reads a partition, and commits.
	Function awslambda.IFunction
	// OnFailure is invoked once with what made an execution fail, in the form in which Lambda hands over an event that it gave up.
	OnFailure awslambda.IFunction
	// Connections is how many partitions are read at a time.
	// Default: 1.
	Connections int
	// RetryAttempts is how often a partition whose function failed is tried again before the execution fails. What the function has
	// recorded of it isn't read again.
	// Default: 2.
	RetryAttempts *int
	// LogRetention of the log of the executions.
	// Default: one month.
	LogRetention awslogs.RetentionDays
	// RemovalPolicy of the log.
	// Default: it stays.
	RemovalPolicy awscdk.RemovalPolicy
}

// ExportMap reads what is too large for one function: a distributed map invokes the export function for each open partition of a
// plan, as often as the partition needs, and one step commits. A child only reads; what it recorded stays when the execution fails,
// and the next attempt at the run goes on from there.
type ExportMap struct {
	Construct constructs.Construct
	// StateMachine takes {"run", "scheduledTime", "plan": {"key", "etag"}, "open": {"bucket", "key"}}: the object at open is the list
	// of partitions, [{"partition": "p00000"}, …]. Its size doesn't depend on their number.
	StateMachine awsstepfunctions.StateMachine
	Role         awsiam.Role
	LogGroup     awslogs.LogGroup
}

const (
	// mapHours is the longest that an export goes on: over the nights of a working week, where the database may be read at night only.
	// A plan can be committed for five days (ledger.CommitWithin); what is read later is for nothing. Ten hours of them are left for
	// the attempts before the map.
	mapHours = 110
	// idleSeconds is the pause before a partition of which nothing could be read is tried again: its hours are over, as a rule. A child
	// that looks so often for mapHours stays within the 25,000 events that an execution's history may have (Step Functions, quotas): a
	// look is nine of them, 11,880 in all.
	idleSeconds = 300
	// throttledAttempts outlast some ten minutes in which the account's functions are all in use.
	throttledAttempts = 12
)

// NewExportMap makes the state machine, its log and its role.
func NewExportMap(scope constructs.Construct, id string, props *ExportMapProps) *ExportMap {
	this := constructs.NewConstruct(scope, &id)
	logGroup := awslogs.NewLogGroup(this, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     orDefaultRetention(props.LogRetention),
		RemovalPolicy: orRetain(props.RemovalPolicy),
	})
	m := exportMap{stack: awscdk.Stack_Of(this), props: *props}
	if m.props.EncryptionKey == nil {
		m.props.EncryptionKey = props.Bucket.EncryptionKey()
	}
	role := m.role(this)
	machine := awsstepfunctions.NewStateMachine(this, jsii.String("StateMachine"), &awsstepfunctions.StateMachineProps{
		StateMachineName: &props.Name,
		DefinitionBody:   awsstepfunctions.DefinitionBody_FromString(jsii.String(m.definition())),
		Role:             role,
		Logs: &awsstepfunctions.LogOptions{
			Destination:          logGroup,
			Level:                awsstepfunctions.LogLevel_ALL,
			IncludeExecutionData: jsii.Bool(false),
		},
	})
	return &ExportMap{Construct: this, StateMachine: machine, Role: role, LogGroup: logGroup}
}

// MetricFailed counts the exports that failed. Each has sent a notice.
func (m *ExportMap) MetricFailed(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return m.StateMachine.MetricFailed(options)
}

// MetricTimedOut counts the exports that took longer than 110 hours. Nobody was told.
func (m *ExportMap) MetricTimedOut(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return m.StateMachine.MetricTimedOut(options)
}

// MetricAborted counts the exports that somebody stopped.
func (m *ExportMap) MetricAborted(options *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return m.StateMachine.MetricAborted(options)
}

// exportMapArn is the ARN of the state machine by its name: the function that starts it is made before it.
func exportMapArn(stack awscdk.Stack, name string) *string {
	return stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("states"), Resource: jsii.String("stateMachine"), ResourceName: &name,
		ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
	})
}

// exportMapExecutions are the ARNs of the state machine's executions.
func exportMapExecutions(stack awscdk.Stack, name string) *string {
	return statesArn(stack, "execution", name+":*")
}

func statesArn(stack awscdk.Stack, kind, name string) *string {
	return stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("states"), Resource: &kind, ResourceName: &name, ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
	})
}

type exportMap struct {
	stack awscdk.Stack
	props ExportMapProps
}

// state is a state of a state machine, as Amazon States Language writes it.
type state = map[string]any

// definition is written out: the states of a distributed map's children can't be told apart from the others in the CDK's form. The
// map itself speaks JSONPath, which alone can throw the children's results away; the tasks speak JSONata.
func (m exportMap) definition() string {
	b, err := json.Marshal(map[string]any{
		"Comment":        "Reads the open partitions of an export that is too large for one function, and commits",
		"StartAt":        "Read partitions",
		"TimeoutSeconds": mapHours * 60 * 60,
		"States": map[string]any{
			"Read partitions": m.readPartitions("Commit", "Find the map run"),
			"Commit":          m.commit("Committed", "Tell failure"),
			"Committed":       state{"Type": "Succeed"},

			"Find the map run":          m.findMapRun("Find the failed partition", "Tell failure"),
			"Find the failed partition": m.findPartition("Why did it fail?", "Tell failure"),
			"Why did it fail?":          m.findCause("Tell failure"),
			"Tell failure":              m.tellFailure("Failed"),
			"Failed": state{
				"Type": "Fail", "QueryLanguage": "JSONata",
				"Error": jsonata(`$states.input.failure.Error`), "Cause": jsonata(`$states.input.failure.Cause`),
			},
		},
	})
	check(err)
	return string(b)
}

// readPartitions invokes the function for each partition in the list, and again until the partition is done.
func (m exportMap) readPartitions(next, onError string) state {
	return state{
		"Type": "Map",
		"ItemReader": map[string]any{
			"Resource":     fmt.Sprintf("arn:%s:states:::s3:getObject", *m.stack.Partition()),
			"ReaderConfig": map[string]any{"InputType": "JSON"},
			"Parameters":   map[string]any{"Bucket.$": "$.open.bucket", "Key.$": "$.open.key"},
		},
		"ItemSelector": map[string]any{
			"partition.$": "$$.Map.Item.Value.partition", "plan.$": "$.plan", "segments": 0,
		},
		"MaxConcurrency": max(m.props.Connections, 1),
		"ItemProcessor": map[string]any{
			// Standard: a function may take longer than the five minutes of an express execution.
			"ProcessorConfig": map[string]any{"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
			"StartAt":         "Read partition",
			"States": map[string]any{
				"Read partition": m.invoke(map[string]any{
					"command": "partition", "plan": jsonata(`$states.input.plan`), "partition": jsonata(`$states.input.partition`),
				}, state{
					"Output": jsonata(`$merge([$states.input, {
  'done': $states.result.Payload.done,
  'segments': $states.result.Payload.segments,
  'moved': $states.result.Payload.segments > $states.input.segments
}])`),
					"Next": "Is it done?",
				}),
				"Is it done?": state{
					"Type": "Choice", "QueryLanguage": "JSONata",
					"Choices": []any{
						map[string]any{"Condition": jsonata(`$states.input.done = true`), "Next": "Done"},
						map[string]any{"Condition": jsonata(`$states.input.moved = true`), "Next": "Read partition"},
					},
					"Default": "Wait",
				},
				"Wait": state{"Type": "Wait", "Seconds": idleSeconds, "Next": "Read partition"},
				// The results of ten thousand partitions have to fit into one state's output, before it is thrown away.
				"Done": state{"Type": "Succeed", "OutputPath": nil},
			},
		},
		"ResultPath": nil,
		"Next":       next,
		"Catch":      []any{map[string]any{"ErrorEquals": []string{"States.ALL"}, "ResultPath": "$.failure", "Next": onError}},
	}
}

func (m exportMap) commit(next, onError string) state {
	return m.invoke(map[string]any{"command": "commit", "plan": jsonata(`$states.input.plan`)}, state{
		"Output": map[string]any{"run": jsonata(`$states.input.run`), "outcome": jsonata(`$states.result.Payload.outcome`)},
		"Next":   next,
		"Catch": []any{map[string]any{
			"ErrorEquals": []string{"States.ALL"},
			"Output":      jsonata(`$merge([$states.input, {'failure': $states.errorOutput}])`),
			"Next":        onError,
		}},
	})
}

// invoke is a call of the export function.
func (m exportMap) invoke(payload map[string]any, rest state) state {
	retries := 2
	if m.props.RetryAttempts != nil {
		retries = *m.props.RetryAttempts
	}
	rest["Type"], rest["QueryLanguage"] = "Task", "JSONata"
	rest["Resource"] = m.lambdaInvoke()
	rest["Arguments"] = map[string]any{"FunctionName": m.props.Function.FunctionArn(), "Payload": payload}
	rest["Retry"] = []any{
		retry(throttledAttempts, 5, "Lambda.TooManyRequestsException", "Lambda.CodeArtifactUserPendingException"),
		retry(6, 2, "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.ClientExecutionTimeoutException"),
		// A refusal stays one until a person has decided.
		map[string]any{"ErrorEquals": []string{"Refusal"}, "MaxAttempts": 0},
		// The function failed, was killed or ran into its time limit. The database gets a minute to come back.
		retry(retries, 60, "States.TaskFailed", "States.Timeout"),
	}
	return rest
}

func (m exportMap) lambdaInvoke() string {
	return fmt.Sprintf("arn:%s:states:::lambda:invoke", *m.stack.Partition())
}

func retry(attempts, seconds int, errors ...string) map[string]any {
	return map[string]any{
		"ErrorEquals": errors, "MaxAttempts": attempts, "IntervalSeconds": seconds, "BackoffRate": 2, "MaxDelaySeconds": 60, "JitterStrategy": "FULL",
	}
}

// findMapRun is the first of three steps to the reason of a map's failure: the map itself says no more than that some of its children
// failed. Where one of the steps has nothing to give, the map's own words are told.
func (m exportMap) findMapRun(next, otherwise string) state {
	return m.look("sfn:listMapRuns", map[string]any{"ExecutionArn": jsonata(`$states.context.Execution.Id`), "MaxResults": 1},
		`{'mapRun': $states.result.MapRuns[0].MapRunArn}`, next, otherwise)
}

func (m exportMap) findPartition(next, otherwise string) state {
	return m.look("sfn:listExecutions", map[string]any{"MapRunArn": jsonata(`$states.input.mapRun`), "StatusFilter": "FAILED", "MaxResults": 1},
		`{'child': $states.result.Executions[0].ExecutionArn}`, next, otherwise)
}

func (m exportMap) findCause(next string) state {
	return m.look("sfn:describeExecution", map[string]any{"ExecutionArn": jsonata(`$states.input.child`)},
		`{'failure': {'Error': $states.result.Error, 'Cause': $states.result.Cause}}`, next, next)
}

func (m exportMap) look(call string, arguments map[string]any, found, next, otherwise string) state {
	return state{
		"Type": "Task", "QueryLanguage": "JSONata",
		"Resource":  fmt.Sprintf("arn:%s:states:::aws-sdk:%s", *m.stack.Partition(), call),
		"Arguments": arguments,
		"Output":    jsonata(fmt.Sprintf(`$merge([$states.input, %s])`, found)),
		"Retry":     []any{retry(3, 2, "States.TaskFailed")},
		"Next":      next,
		"Catch":     []any{map[string]any{"ErrorEquals": []string{"States.ALL"}, "Output": jsonata(`$states.input`), "Next": otherwise}},
	}
}

// tellFailure hands the failure to the function that announces what Lambda gave up, in Lambda's form: there is one kind of notice,
// whoever ran the export.
func (m exportMap) tellFailure(next string) state {
	return state{
		"Type": "Task", "QueryLanguage": "JSONata",
		"Resource": m.lambdaInvoke(),
		"Arguments": map[string]any{
			"FunctionName": m.props.OnFailure.FunctionArn(),
			"Payload": map[string]any{
				"version":   "1.0",
				"timestamp": jsonata(`$states.context.State.EnteredTime`),
				"requestContext": map[string]any{
					"requestId":   jsonata(`$states.context.Execution.Id`),
					"functionArn": m.props.Function.FunctionArn(),
					"condition":   "RetriesExhausted",
				},
				"requestPayload": map[string]any{"scheduledTime": jsonata(`$states.input.scheduledTime`)},
				"responsePayload": map[string]any{
					"errorType":    jsonata(`$states.input.failure.Error`),
					"errorMessage": jsonata(messageExpression),
				},
			},
		},
		"Output": jsonata(`$states.input`),
		"Retry":  []any{retry(3, 2, "States.TaskFailed")},
		"Next":   next,
		"Catch":  []any{map[string]any{"ErrorEquals": []string{"States.ALL"}, "Output": jsonata(`$states.input`), "Next": next}},
	}
}

// messageExpression is the function's own message where the failure is the function's: its cause is then the function's answer as
// JSON, cut off where it is long, so it is searched as in whyExpression. What is found ends between two characters.
const messageExpression = `(
  $cause := $exists($states.input.failure.Cause) ? $string($states.input.failure.Cause) : 'AWS gave no reason';
  $found := $match($cause, /"errorMessage":\s*"((?:[^\x5c"]|\x5cu[0-9a-fA-F]{4}|\x5c[^u]){1,1500})/, 1);
  $exists($found) ? $parse('"' & $found[0].groups[0] & '"') : $cause
)`

// role is what the state machine calls, and nothing else.
func (m exportMap) role(scope constructs.Construct) awsiam.Role {
	name := m.props.Name
	lists := m.props.Bucket.ArnForObjects(jsii.String(m.props.Pipeline + "/runs/*"))
	statements := []awsiam.PolicyStatement{
		allow("ReadPartitionsAndTell", []string{"lambda:InvokeFunction"}, m.props.Function.FunctionArn(), m.props.OnFailure.FunctionArn()),
		allow("ReadTheList", []string{"s3:GetObject"}, lists),
		// The children of a distributed map are executions of the same state machine. Source: the Step Functions developer guide,
		// "IAM policies for using Distributed Map states".
		allow("StartTheChildren", []string{"states:StartExecution"}, exportMapArn(m.stack, name)),
		allow("WatchTheChildren", []string{"states:DescribeExecution", "states:StopExecution"},
			exportMapExecutions(m.stack, name), statesArn(m.stack, "execution", name+"/*")),
		allow("FindTheFailure", []string{"states:ListMapRuns", "states:ListExecutions"},
			exportMapExecutions(m.stack, name), statesArn(m.stack, "mapRun", name+"/*")),
	}
	if key := m.props.EncryptionKey; key != nil {
		statements = append(statements, allowIf("OpenTheList", []string{"kms:Decrypt"}, map[string]any{
			"StringEquals": map[string]any{"kms:ViaService": fmt.Sprintf("s3.%s.amazonaws.com", *m.stack.Region())},
		}, key.KeyArn()))
	}
	return awsiam.NewRole(scope, jsii.String("Role"), &awsiam.RoleProps{
		Description: jsii.String("The exports of " + m.props.Pipeline + " that are too large for one function"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": m.stack.Account()}},
		}),
		InlinePolicies: &map[string]awsiam.PolicyDocument{"map": policy(statements...)},
	})
}
