package workflow

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

// deploySituations are those of a model on its way into service.
var deploySituations = []situation{
	// The longest first.
	{
		name: "a lease that stays held is given up", pipeline: "kept",
		before: func(t *testing.T, l *lab, s situation) { l.holdLease(t, s.pipeline) },
		want:   outcome{failed: "Lease.Held", cause: "run " + second + " still holds the deploy lease", advice: "deploy-lease.json", endpoint: "absent"},
	},

	{
		name: "the first run creates the endpoint", pipeline: "first",
		want: outcome{asked: "CreateEndpoint"},
	},
	{
		name: "a later run updates the endpoint, and another model answers", pipeline: "second",
		serving: true,
		want:    outcome{previous: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "a run that is executed again gets a config of its own for its model", pipeline: "again",
		executed: true,
		want:     outcome{config: first + "-r1", previous: first, asked: "CreateEndpoint UpdateEndpoint"},
	},

	// The endpoint on arrival.
	{
		name: "an endpoint that somebody is creating is waited for, then updated", pipeline: "creating",
		serving: true, status: "Creating", over: true,
		want: outcome{previous: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "an endpoint that somebody is updating is waited for, then updated", pipeline: "updating",
		serving: true, status: "Updating", over: true,
		want: outcome{previous: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "an endpoint that is rolling back is waited for, then updated", pipeline: "rolling",
		serving: true, status: "RollingBack", over: true,
		want: outcome{previous: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "an endpoint that stays busy is given up", pipeline: "stuck",
		serving: true, status: "SystemUpdating",
		want: outcome{failed: "Deploy.TimedOut", cause: "the endpoint is still SystemUpdating after 65 looks", advice: "Wait until the endpoint is InService",
			endpoint: "SystemUpdating", config: "old"},
	},
	{
		name: "a Failed endpoint is deleted and created again, and is nothing to go back to", pipeline: "healed",
		serving: true, status: "Failed",
		want: outcome{asked: "DeleteEndpoint CreateEndpoint"},
	},
	{
		name: "an endpoint OutOfService is left to a person", pipeline: "outof",
		serving: true, status: "OutOfService",
		want: outcome{failed: "Deploy.NeedsAPerson", cause: "the endpoint is OutOfService", advice: "aws sagemaker delete-endpoint --endpoint-name ml-test-outof",
			endpoint: "OutOfService", config: "old"},
	},
	{
		name: "an endpoint UpdateRollbackFailed is left to a person", pipeline: "rbfailed",
		serving: true, status: "UpdateRollbackFailed",
		want: outcome{failed: "Deploy.NeedsAPerson", cause: "the endpoint is UpdateRollbackFailed", advice: "aws sagemaker delete-endpoint --endpoint-name ml-test-rbfailed",
			endpoint: "UpdateRollbackFailed", config: "old"},
	},

	// The change of the endpoint.
	{
		name: "an update that SageMaker rolls back is no success, although the endpoint is InService", pipeline: "rolled",
		serving: true,
		faults:  []emulator.Fault{{Outcome: emulator.UpdateRollsBack, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{ended: "rolled back", failed: "Deploy.RolledBack", cause: "did not pass the ping health check", advice: "serves again",
			config: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "an update whose rollback fails is left to a person", pipeline: "rollfail",
		serving: true,
		faults:  []emulator.Fault{{Outcome: emulator.UpdateRollbackFails, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "Deploy.NeedsAPerson", cause: "the endpoint is UpdateRollbackFailed", advice: "aws sagemaker delete-endpoint --endpoint-name ml-test-rollfail",
			endpoint: "UpdateRollbackFailed", config: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "after an update that fails altogether the model before is put back", pipeline: "updfail",
		serving: true,
		faults:  []emulator.Fault{{Outcome: emulator.EndpointFailed, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{ended: "rolled back", failed: "Deploy.EndpointFailed", cause: "did not pass the ping health check", advice: "ml-test-updfail serves ml-test-updfail-old as before",
			config: "old", asked: "UpdateEndpoint DeleteEndpoint CreateEndpoint"},
	},
	{
		name: "an endpoint that can't be created is a failure with SageMaker's reason", pipeline: "crefail",
		faults: []emulator.Fault{{Outcome: emulator.EndpointFailed, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "Deploy.EndpointFailed", cause: "did not pass the ping health check", advice: "/aws/sagemaker/Endpoints/ml-test-crefail",
			endpoint: "Failed", asked: "CreateEndpoint"},
	},
	{
		name: "a config that SageMaker doesn't see yet is waited for", pipeline: "unseen",
		faults: []emulator.Fault{{Operation: "CreateEndpoint", Code: "ValidationException",
			Message: configMissing, Times: 2, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{asked: "CreateEndpoint"},
	},
	{
		name: "an endpoint that somebody else changes at the same moment is looked at again", pipeline: "raced",
		serving: true,
		faults: []emulator.Fault{{Operation: "UpdateEndpoint", Code: "ValidationException",
			Message: endpointInProgress, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{previous: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "an endpoint that somebody else creates at the same moment is looked at again", pipeline: "racedto",
		faults: []emulator.Fault{{Operation: "CreateEndpoint", Code: "ValidationException", Message: endpointExists, Match: map[string]string{"EndpointName": "%s"}}},
		want:   outcome{asked: "CreateEndpoint"},
	},
	{
		name: "throttled looks at the endpoint are no reason to give up", pipeline: "throttled",
		faults: []emulator.Fault{{Operation: "DescribeEndpoint", Code: "ThrottlingException", Message: rateExceeded, Times: 3, Match: map[string]string{"EndpointName": "%s"}}},
		want:   outcome{asked: "CreateEndpoint"},
	},
	{
		name: "an endpoint that may not be looked at is a failure", pipeline: "denied",
		faults: []emulator.Fault{{Operation: "DescribeEndpoint", Code: "AccessDeniedException",
			Message: "User: x is not authorized to perform: sagemaker:DescribeEndpoint", Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "Function.Failed", cause: "not authorized to perform: sagemaker:DescribeEndpoint", advice: "deploy the stack again", endpoint: "absent"},
	},
	{
		name: "an endpoint quota that is used up is a failure that names it", pipeline: "epquota",
		faults: []emulator.Fault{{Operation: "CreateEndpoint", Code: "ResourceLimitExceeded", Message: strings.ReplaceAll(quotaText, "training job", "endpoint"), Times: 99, Match: map[string]string{"EndpointName": "%s"}}},
		want:   outcome{failed: "SageMaker.ResourceLimitExceededException", cause: "ml.m5.large for endpoint usage", advice: "needs room for both", endpoint: "absent"},
	},

	// The endpoint config.
	{
		name: "throttled requests for a model and a config are repeated", pipeline: "rates",
		faults: []emulator.Fault{
			{Operation: "CreateModel", Code: "ThrottlingException", Message: rateExceeded, Match: map[string]string{"ModelName": "%s-*"}},
			{Operation: "CreateEndpointConfig", Code: "ThrottlingException", Message: rateExceeded, Times: 2, Match: map[string]string{"EndpointConfigName": "%s-*"}},
		},
		want: outcome{asked: "CreateEndpoint"},
	},
	{
		name: "a model whose answer was lost is found, and a config whose answer was lost is made anew", pipeline: "lost",
		faults: []emulator.Fault{
			{Operation: "CreateModel", Code: "InternalFailure", Performed: true, Match: map[string]string{"ModelName": "%s-*"}},
			{Operation: "CreateEndpointConfig", Code: "InternalFailure", Performed: true, Match: map[string]string{"EndpointConfigName": "%s-*"}},
		},
		want: outcome{config: first + "-r2", asked: "CreateEndpoint"},
	},
	{
		name: "another config of the same name is never served", pipeline: "impostor",
		before: func(t *testing.T, l *lab, s situation) {
			l.createModel(t, s.prefix()+"-other")
			l.createConfig(t, s.prefix()+"-"+first, s.prefix()+"-other", "ml.m5.large")
		},
		want: outcome{config: first + "-r1", asked: "CreateEndpoint"},
	},
	{
		name: "a config that SageMaker refuses is a failure", pipeline: "noconfig",
		faults: []emulator.Fault{{Operation: "CreateEndpointConfig", Code: "ResourceLimitExceeded", Message: "too many configs", Times: 9, Match: map[string]string{"EndpointConfigName": "%s-*"}}},
		want:   outcome{failed: "SageMaker.ResourceLimitExceededException", cause: "too many configs", advice: "SageMaker refuses its endpoint config", endpoint: "absent"},
	},

	// The smoke test.
	{
		name: "the endpoint's answers are those of the batch transform", pipeline: "smoked",
		props: func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Gate = &gateByAUC },
		want:  outcome{asked: "CreateEndpoint", advice: "20 rows were asked"},
	},
	{
		name: "an endpoint that is in service but can't answer is put back", pipeline: "smoke",
		serving: true,
		faults:  []emulator.Fault{unanswered},
		want: outcome{ended: "rolled back", failed: "SmokeTest", cause: "the container of the endpoint", advice: "ml-test-smoke serves ml-test-smoke-old as before",
			config: "old", asked: "UpdateEndpoint UpdateEndpoint"},
	},
	{
		name: "a first model that can't answer stays, as there is none to go back to", pipeline: "smokefirst",
		faults: []emulator.Fault{unanswered},
		want: outcome{failed: "SmokeTest", cause: "the container of the endpoint", advice: "before, there was none in service",
			asked: "CreateEndpoint"},
	},
	{
		name: "an endpoint that answers otherwise than the batch transform is put back", pipeline: "differs",
		serving: true,
		props:   func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Gate = &gateByAUC },
		before:  func(t *testing.T, l *lab, s situation) { l.holdLease(t, s.pipeline) },
		during: func(t *testing.T, l *lab, s situation) {
			l.await(t, s.pipeline+"/evaluations/"+s.prefix()+"-"+first+".json")
			l.changeScores(t, s.pipeline)
			l.endHolder(t, s.pipeline)
		},
		want: outcome{ended: "rolled back", failed: "SmokeTest", cause: "it serves another model, or reads rows in another way", advice: "ml-test-differs serves ml-test-differs-old as before",
			config: "old", asked: "UpdateEndpoint UpdateEndpoint"},
	},
	{
		name: "an endpoint that stumbles once is asked again", pipeline: "stumble",
		faults: []emulator.Fault{{Operation: "InvokeEndpoint", Code: "ThrottlingException", Message: rateExceeded, Match: map[string]string{"EndpointName": "%s"}}},
		want:   outcome{asked: "CreateEndpoint"},
	},
	{
		name: "an answer that is no single number is a failure", pipeline: "answers",
		props: func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Training.Hyperparameters = map[string]string{"num_round": "5", "objective": "multi:softprob", "num_class": "2"}
		},
		want: outcome{failed: "SmokeTest", cause: "the endpoint ml-test-answers answers", advice: "before, there was none in service", asked: "CreateEndpoint"},
	},
	{
		name: "a model before that SageMaker doesn't take back is for a person", pipeline: "stays",
		serving: true,
		faults: []emulator.Fault{unanswered,
			{Outcome: emulator.UpdateRollsBack, Match: map[string]string{"EndpointName": "%s", "EndpointConfigName": "%s-old"}}},
		want: outcome{failed: "Deploy.Replaced", cause: "ml-test-stays-old was to be put back because of Smoke test: SmokeTest", advice: "last seen InService on ml-test-stays-" + first,
			asked: "UpdateEndpoint UpdateEndpoint"},
	},
	{
		name: "a model before that doesn't come up any more is for a person", pipeline: "dead",
		serving: true,
		faults: []emulator.Fault{unanswered,
			{Outcome: emulator.EndpointFailed, Match: map[string]string{"EndpointName": "%s", "EndpointConfigName": "%s-old"}}},
		want: outcome{failed: "Deploy.EndpointFailed", cause: "ml-test-dead-old was to be put back because of Smoke test: SmokeTest", advice: "last seen Failed",
			endpoint: "Failed", asked: "UpdateEndpoint UpdateEndpoint"},
	},

	// The deploy lease.
	{
		name: "a lease that another run holds is waited for", pipeline: "held",
		before: func(t *testing.T, l *lab, s situation) { l.holdLease(t, s.pipeline) },
		during: func(t *testing.T, l *lab, s situation) {
			time.Sleep(time.Second) // some looks
			l.endHolder(t, s.pipeline)
		},
		want: outcome{asked: "CreateEndpoint"},
	},
	{
		name: "a lease of an execution that has died is taken from it", pipeline: "stolen",
		before: func(t *testing.T, l *lab, s situation) {
			l.holdLease(t, s.pipeline)
			l.endHolder(t, s.pipeline)
		},
		want: outcome{asked: "CreateEndpoint"},
	},

	// The ways to serve.
	{
		name: "a serverless endpoint serves", pipeline: "serverless",
		props: func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Endpoint = constructs.EndpointProps{Kind: pipeline.Serverless, Serverless: &constructs.ServerlessProps{MemoryMiB: 2048, MaxConcurrency: 5}}
		},
		want: outcome{asked: "CreateEndpoint"},
		holds: func(t *testing.T, l *lab, s situation) {
			v := l.variant(t, s.prefix())
			if c := v.CurrentServerlessConfig; c == nil || *c.MemorySizeInMB != 2048 || *c.MaxConcurrency != 5 {
				t.Errorf("the variant is %+v", v)
			}
		},
	},
	{
		name: "a batch is scored by transform, and has no endpoint", pipeline: "batch",
		props: func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Endpoint = constructs.EndpointProps{Kind: pipeline.Batch, KeyColumns: 2}
			p.Transform.InstanceTypes = []string{"ml.m5.large"}
		},
		want: outcome{endpoint: "absent", advice: "Scores: s3://" + bucketName + "/batch/scores/ml-test-batch-" + first + "/batch/"},
		holds: func(t *testing.T, l *lab, s situation) {
			lines := strings.Split(strings.TrimSpace(l.get(t, s.pipeline+"/scores/"+s.prefix()+"-"+first+"/batch/"+first+"/batch/1-00000.csv.out")), "\n")
			if len(lines) != labelledRows || !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "k7,7,0.") && strings.Count(line, ",") == 2 }) {
				t.Errorf("there are %d lines of scores, the first %q", len(lines), lines[0])
			}
			if got := l.recordedModel(t, s.pipeline); got != s.prefix()+"-"+first {
				t.Errorf("the history says that %s is in use", got)
			}
		},
	},
	{
		name: "a run without a batch to score is a failure", pipeline: "nobatch",
		props: func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Endpoint = constructs.EndpointProps{Kind: pipeline.Batch, KeyColumns: 1}
			p.Transform.InstanceTypes = []string{"ml.m5.large"}
		},
		input: func(in map[string]any) { delete(in["channels"].(map[string]any), "batch") },
		want:  outcome{failed: "Batch.Missing", cause: `the run has no channel "batch"`, endpoint: "absent"},
	},
	{
		name: "a canary that no alarm stops becomes all of the traffic, and what is asked is captured", pipeline: "canary",
		serving: true,
		props:   canary,
		before:  func(t *testing.T, l *lab, s situation) { l.alarm(t, s.prefix()+"-errors", "OK") },
		want:    outcome{previous: "old", asked: "UpdateEndpoint"},
		holds: func(t *testing.T, l *lab, s situation) {
			e, err := l.sm.DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: aws.String(s.prefix())})
			ok(t, err)
			if d := e.LastDeploymentConfig; d == nil || d.BlueGreenUpdatePolicy.TrafficRoutingConfiguration.Type != smtypes.TrafficRoutingConfigTypeCanary {
				t.Errorf("the last deployment was %+v", d)
			}
			l.awaitAny(t, s.pipeline+"/capture/"+s.prefix()+"/primary/")
		},
	},
	{
		name: "a canary that an alarm stops is rolled back", pipeline: "alarmed",
		serving: true,
		props:   canary,
		before:  func(t *testing.T, l *lab, s situation) { l.alarm(t, s.prefix()+"-errors", "ALARM") },
		want: outcome{ended: "rolled back", failed: "Deploy.RolledBack", cause: "ml-test-alarmed-errors", advice: "ml-test-alarmed serves ml-test-alarmed-old as before",
			config: "old", asked: "UpdateEndpoint"},
	},

	{
		name: "an update whose answer was lost has its way back all the same", pipeline: "updlost",
		serving: true,
		faults:  []emulator.Fault{{Operation: "UpdateEndpoint", Code: "InternalFailure", Performed: true, Match: map[string]string{"EndpointName": "%s"}}, unanswered},
		want: outcome{ended: "rolled back", failed: "SmokeTest", cause: "the container of the endpoint", advice: "ml-test-updlost serves ml-test-updlost-old as before",
			config: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "looks at the endpoint that SageMaker can't answer are no reason to give up", pipeline: "unwell",
		serving: true,
		faults:  []emulator.Fault{{Operation: "DescribeEndpoint", Code: "InternalFailure", Status: 500, Times: 3, Match: map[string]string{"EndpointName": "%s"}}},
		want:    outcome{previous: "old", asked: "UpdateEndpoint"},
	},

	// Autoscaling.
	{
		name: "a new endpoint is scaled", pipeline: "scaled",
		props: scaledFrom1To4("ml.m5.large"),
		want:  outcome{asked: "CreateEndpoint", advice: "1 to 4 machines"},
		holds: func(t *testing.T, l *lab, s situation) { l.checkScaling(t, s.prefix(), 1, 4, 1) },
	},
	{
		name: "the number of machines that autoscaling has chosen is kept", pipeline: "retained",
		serving: true,
		props:   scaledFrom1To4("ml.m5.large"),
		before:  func(t *testing.T, l *lab, s situation) { l.scale(t, s.prefix(), 2, 6, 3) },
		want:    outcome{previous: "old", asked: "UpdateEndpoint"},
		holds:   func(t *testing.T, l *lab, s situation) { l.checkScaling(t, s.prefix(), 1, 4, 3) },
	},
	{
		name: "other machines are taken with autoscaling off, which is on again after", pipeline: "othertype",
		serving: true,
		props:   scaledFrom1To4("ml.m5.xlarge"),
		before:  func(t *testing.T, l *lab, s situation) { l.scale(t, s.prefix(), 2, 6, 3) },
		want:    outcome{previous: "old", asked: "UpdateEndpoint"},
		holds:   func(t *testing.T, l *lab, s situation) { l.checkScaling(t, s.prefix(), 1, 4, 1) },
	},
	{
		name: "what is put back on its own machines is scaled again", pipeline: "scaledback",
		serving: true,
		props:   scaledFrom1To4("ml.m5.xlarge"),
		before:  func(t *testing.T, l *lab, s situation) { l.scale(t, s.prefix(), 2, 6, 3) },
		faults:  []emulator.Fault{unanswered},
		want: outcome{ended: "rolled back", failed: "SmokeTest", cause: "the container of the endpoint", advice: "Autoscaling: 1 to 4 machines",
			config: "old", asked: "UpdateEndpoint UpdateEndpoint"},
		holds: func(t *testing.T, l *lab, s situation) { l.checkScaling(t, s.prefix(), 1, 4, 1) },
	},
	{
		name: "what SageMaker rolls back is scaled again", pipeline: "scaledroll",
		serving: true,
		props:   scaledFrom1To4("ml.m5.xlarge"),
		before:  func(t *testing.T, l *lab, s situation) { l.scale(t, s.prefix(), 2, 6, 3) },
		faults:  []emulator.Fault{{Outcome: emulator.UpdateRollsBack, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{ended: "rolled back", failed: "Deploy.RolledBack", cause: "did not pass the ping health check", advice: "Autoscaling: 1 to 4 machines",
			config: "old", asked: "UpdateEndpoint"},
		holds: func(t *testing.T, l *lab, s situation) { l.checkScaling(t, s.prefix(), 1, 4, 3) },
	},
	{
		name: "an endpoint whose update is refused is scaled again", pipeline: "scaledno",
		serving: true,
		props:   scaledFrom1To4("ml.m5.xlarge"),
		before:  func(t *testing.T, l *lab, s situation) { l.scale(t, s.prefix(), 2, 6, 3) },
		faults:  []emulator.Fault{{Operation: "UpdateEndpoint", Code: "ValidationException", Message: "1 validation error detected", Times: 99, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "SageMaker.SageMakerException", cause: "1 validation error detected", advice: "Autoscaling: 1 to 4 machines",
			config: "old"},
		holds: func(t *testing.T, l *lab, s situation) { l.checkScaling(t, s.prefix(), 1, 4, 3) },
	},
	{
		name: "autoscaling that the configuration has no more is ended", pipeline: "unscaled",
		serving: true,
		before:  func(t *testing.T, l *lab, s situation) { l.scale(t, s.prefix(), 2, 6, 3) },
		want:    outcome{previous: "old", asked: "UpdateEndpoint", advice: "Autoscaling: deregistered"},
		holds:   func(t *testing.T, l *lab, s situation) { l.checkScaling(t, s.prefix(), 0, 0, 1) },
	},

	// Telling.
	{
		name: "a notice whose function fails is sent in short", pipeline: "short",
		before: func(t *testing.T, l *lab, s situation) { l.deleteFunction(t, s.prefix()+"-notify") },
		want:   outcome{asked: "CreateEndpoint", short: true, advice: "This notice is short because the function ml-test-short-notify failed"},
	},
	{
		name: "a failure whose notice is sent in short stays that failure", pipeline: "shortfail",
		before: func(t *testing.T, l *lab, s situation) { l.deleteFunction(t, s.prefix()+"-notify") },
		faults: []emulator.Fault{{Outcome: emulator.EndpointFailed, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "Deploy.EndpointFailed", cause: "did not pass the ping health check", endpoint: "Failed", asked: "CreateEndpoint", short: true,
			advice: "This notice is short because"},
	},
	{
		name: "a notice that can't be sent at all undoes nothing", pipeline: "mute",
		props: func(stack awscdk.Stack, p *constructs.WorkflowProps) {
			p.Topic = awssns.Topic_FromTopicArn(stack, jsii.String("NoTopic"), jsii.String(topicARN+"-gone"))
		},
		want: outcome{asked: "CreateEndpoint", unnoticed: true},
	},
}

// unanswered is an endpoint that answers nothing but errors.
var unanswered = emulator.Fault{Operation: "InvokeEndpoint", Code: "ModelError", Message: modelError, Status: 424, Times: 99, Match: map[string]string{"EndpointName": "%s"}}

// gateByAUC lets every model into service that is about as good as the one before.
var gateByAUC = pipeline.Gate{Metric: "auc", Holdout: "validation", Worse: 0.02, Threshold: 0.5}

func canary(stack awscdk.Stack, p *constructs.WorkflowProps) {
	p.Endpoint.InstanceCount = 2
	p.Endpoint.Traffic = &constructs.TrafficProps{Kind: constructs.Canary, Percent: 50, Wait: awscdk.Duration_Seconds(jsii.Number(5))}
	p.Endpoint.Alarms = []awscloudwatch.IAlarm{awscloudwatch.Alarm_FromAlarmArn(stack, jsii.String("Errors"),
		jsii.String("arn:aws:cloudwatch:"+emulator.Region+":"+emulator.Account+":alarm:"+p.Name+"-errors"))}
	p.Endpoint.Capture = &constructs.CaptureProps{Percent: 100}
}

func scaledFrom1To4(instanceType string) func(awscdk.Stack, *constructs.WorkflowProps) {
	return func(_ awscdk.Stack, p *constructs.WorkflowProps) {
		p.Endpoint.InstanceType = instanceType
		p.Endpoint.Autoscaling = &constructs.AutoscalingProps{MinInstances: 1, MaxInstances: 4, InvocationsPerInstance: 100}
	}
}

// journey is more than one execution of a pipeline.
type journey struct {
	name, pipeline string
	props          func(awscdk.Stack, *constructs.WorkflowProps)
	// play executes runs on the pipeline's state machine, and looks at what they leave.
	play func(t *testing.T, l *lab, machine string) []result
	// outcomes are those of the notices of each execution that play gives: "" is no notice, and "a or b" is either.
	outcomes []string
}

var journeys = []journey{
	{
		name: "of two runs at once the later one serves in the end, and the other is superseded or was served before it", pipeline: "plain",
		outcomes: []string{"succeeded or superseded", "succeeded"},
		play: func(t *testing.T, l *lab, machine string) []result {
			earlier := l.start(t, machine, first, l.export(t, "plain", first))
			later := l.execute(t, machine, second, l.export(t, "plain", second), nil)
			results := []result{l.ended(t, earlier), later}
			l.checkService(t, "plain", second)
			return results
		},
	},
	{
		name: "a run that is started after a later one leaves that one in service", pipeline: "late",
		outcomes: []string{"succeeded", "superseded"},
		play: func(t *testing.T, l *lab, machine string) []result {
			results := []result{
				l.execute(t, machine, second, l.export(t, "late", second), nil),
				l.execute(t, machine, first, l.export(t, "late", first), nil),
			}
			l.checkService(t, "late", second)
			if got := l.asked(t, prefix("late")); got != "CreateEndpoint" {
				t.Errorf("the endpoint was changed by %q", got)
			}
			return results
		},
	},
	{
		name: "a run that is started twice is one execution", pipeline: "twice",
		outcomes: []string{"succeeded"},
		play: func(t *testing.T, l *lab, machine string) []result {
			input := l.export(t, "twice", first)
			r := l.execute(t, machine, first, input, func() {
				// AWS finds the execution that runs, the local AWS refuses it. Neither begins another one.
				l.start(t, machine, first, input)
			})
			if again := l.start(t, machine, first, input); again != "" {
				t.Errorf("starting a run that has ended began %s", again)
			}
			if got := l.asked(t, prefix("twice")); got != "CreateEndpoint" {
				t.Errorf("the endpoint was changed by %q", got)
			}
			return []result{r}
		},
	},
	{
		name: "a run that is stopped in the middle of its update is taken over by the next execution", pipeline: "stoppedhalf",
		outcomes: []string{"", "succeeded"},
		play: func(t *testing.T, l *lab, machine string) []result {
			const name = "stoppedhalf"
			l.serveOld(t, name)
			input := l.export(t, name, first)
			l.order(t, name, emulator.Fault{Outcome: emulator.EndpointSlow, Seconds: 2, Match: map[string]string{"EndpointName": "%s"}})
			stopped := l.execute(t, machine, first, input, func() {
				l.awaitStatus(t, prefix(name), "Updating")
				l.stop(t, machine, first)
			})
			if got := l.leaseHolder(t, name); got != stopped.arn {
				t.Errorf("the deploy lease is held by %q, not by the execution that was stopped", got)
			}
			next := l.execute(t, machine, first+"-2", input, nil)
			l.checkService(t, name, first+"-r1")
			if got := l.asked(t, prefix(name)); got != "UpdateEndpoint UpdateEndpoint" {
				t.Errorf("the endpoint was changed by %q", got)
			}
			return []result{stopped, next}
		},
	},
	{
		name: "a person rolls back to the model of an earlier run", pipeline: "rollback",
		outcomes: []string{"succeeded", "succeeded", "succeeded"},
		play: func(t *testing.T, l *lab, machine string) []result {
			earlier, later := l.export(t, "rollback", first), l.export(t, "rollback", second)
			results := []result{l.execute(t, machine, first, earlier, nil), l.execute(t, machine, second, later, nil)}
			l.checkService(t, "rollback", second)
			earlier["resume"] = map[string]any{"from": "deploy", "model": prefix("rollback") + "-" + first, "by": "somebody", "reason": "it was better", "rollback": true}
			results = append(results, l.execute(t, machine, first+"-rollback", earlier, nil))
			l.checkService(t, "rollback", first+"-r1")
			if got := l.asked(t, prefix("rollback")); got != "CreateEndpoint UpdateEndpoint UpdateEndpoint" {
				t.Errorf("the endpoint was changed by %q", got)
			}
			return results
		},
	},
	{
		name: "a model whose deployment failed is deployed again without training", pipeline: "redeploy",
		outcomes: []string{"failed", "succeeded"},
		play: func(t *testing.T, l *lab, machine string) []result {
			input := l.export(t, "redeploy", first)
			l.order(t, "redeploy", emulator.Fault{Outcome: emulator.EndpointFailed, Match: map[string]string{"EndpointName": "%s"}})
			results := []result{l.execute(t, machine, first, input, nil)}
			input["resume"] = map[string]any{"from": "deploy", "model": prefix("redeploy") + "-" + first, "by": "somebody", "reason": "the endpoint has capacity now"}
			results = append(results, l.execute(t, machine, first+"-2", input, nil))
			l.checkService(t, "redeploy", first+"-r1")
			if got := l.asked(t, prefix("redeploy")); got != "CreateEndpoint DeleteEndpoint CreateEndpoint" {
				t.Errorf("the endpoint was changed by %q", got)
			}
			return results
		},
	},
	{
		name: "models and configs that nobody needs are deleted, and those of the last runs stay", pipeline: "pruned",
		props:    func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Endpoint.Keep = 2 },
		outcomes: []string{"succeeded", "succeeded", "succeeded"},
		play: func(t *testing.T, l *lab, machine string) []result {
			var results []result
			var made []string
			for _, id := range []string{first, second, "20260103t020000z"} {
				results = append(results, l.execute(t, machine, id, l.export(t, "pruned", id), nil))
				made = append(made, prefix("pruned")+"-"+id)
			}
			if models, configs := l.made(t, prefix("pruned")); !slices.Equal(models, made[1:]) || !slices.Equal(configs, made[1:]) {
				t.Errorf("there are the models %v and the configs %v", models, configs)
			}
			return results
		},
	},
}

// check holds the notices against the outcomes.
func (j journey) check(t *testing.T, results []result, notices map[string][]notice) {
	for i, r := range results {
		told := notices[r.arn]
		if j.outcomes[i] == "" {
			if len(told) != 0 {
				t.Errorf("%s was told: %v", r.arn, told)
			}
			continue
		}
		if len(told) != 1 {
			t.Errorf("%s, which ended with %q %s %s, has %d notices, want 1", r.arn, r.error, r.cause, r.output, len(told))
			continue
		}
		if got := told[0].attributes["outcome"]; !slices.Contains(strings.Split(j.outcomes[i], " or "), got) {
			t.Errorf("%s was told as %q, want %q: %s", r.arn, got, j.outcomes[i], told[0].message)
		}
		if r.error != "" {
			continue
		}
		var output struct{ Outcome string }
		ok(t, json.Unmarshal([]byte(r.output), &output))
		if output.Outcome != told[0].attributes["outcome"] {
			t.Errorf("%s gives the outcome %q and was told as %q", r.arn, output.Outcome, told[0].attributes["outcome"])
		}
	}
}
