package workflow

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/test/local/emulator"
)

const (
	// first is the run of every situation.
	first = "20260101t020000z"
	// second is a later run, where there are two.
	second = "20260102t020000z"
)

// situation is what a run finds and what goes wrong, and what has to come of it.
type situation struct {
	name string
	// pipeline names the pipeline of the situation: each has one of its own, so that they don't see each other.
	pipeline string
	props    func(awscdk.Stack, *constructs.WorkflowProps)
	// executed says that the run was executed before, under another name of the execution.
	executed bool
	// serving says that somebody else's model is in service, on the config <prefix>-old.
	serving bool
	// status is what the endpoint is put into before the run is started.
	status string
	// over says that the endpoint becomes InService again after the run has looked at it some times.
	over bool
	// taken says that there is another model of the name that this run's is going to have.
	taken bool
	// faults are ordered before the run is started. %s in a match is the prefix of the pipeline's names.
	faults []emulator.Fault
	// input is the run's input as the export writes it, changed.
	input func(map[string]any)
	want  outcome
}

// outcome is how a run ended.
type outcome struct {
	// attempt is the suffix of the training job, the model and the config.
	attempt string
	// failed names the error of a failed execution; "" is success.
	failed string
	// cause has to be in the cause of the failure and in its notice.
	cause string
	// advice has to be in the notice.
	advice string
	// endpoint is the status in the end; "" is InService, "absent" that there is none.
	endpoint string
	// config is what the endpoint serves; "" is that of the run, "old" the one before.
	config string
	// previous is what the output says of the config before.
	previous string
	// unnoticed is for the notice that can't be sent.
	unnoticed bool
	// asked are the requests that changed the endpoint, in order.
	asked string
}

var situations = []situation{
	{
		name: "the first run creates the endpoint", pipeline: "first",
		want: outcome{asked: "CreateEndpoint"},
	},
	{
		name: "a run without a validation split trains all the same", pipeline: "novalid",
		input: func(in map[string]any) { delete(in["channels"].(map[string]any), "validation") },
		want:  outcome{asked: "CreateEndpoint"},
	},
	{
		name: "a later run updates the endpoint, and another model answers", pipeline: "second",
		serving: true,
		want:    outcome{previous: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "a run that is executed again gets names of its own", pipeline: "again",
		executed: true,
		want:     outcome{attempt: "-a2", previous: first, asked: "CreateEndpoint UpdateEndpoint"},
	},
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
		want: outcome{failed: "Deploy.TimedOut", cause: "the endpoint is still SystemUpdating after 240 looks", advice: "Wait until the endpoint is InService",
			endpoint: "SystemUpdating", config: "old"},
	},
	{
		name: "a Failed endpoint is deleted and created again", pipeline: "healed",
		serving: true, status: "Failed",
		want: outcome{previous: "old", asked: "DeleteEndpoint CreateEndpoint"},
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
	{
		name: "an update that is rolled back is a failure, although the endpoint is InService", pipeline: "rolled",
		serving: true,
		faults:  []emulator.Fault{{Outcome: emulator.UpdateRollsBack, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "Deploy.RolledBack", cause: "did not pass the ping health check", advice: "the one before it still serves",
			config: "old", asked: "UpdateEndpoint"},
	},
	{
		name: "an update that fails altogether is a failure with SageMaker's reason", pipeline: "updfail",
		serving: true,
		faults:  []emulator.Fault{{Outcome: emulator.EndpointFailed, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "Deploy.EndpointFailed", cause: "did not pass the ping health check", advice: "It deletes the failed endpoint and creates it anew",
			endpoint: "Failed", config: "old", asked: "UpdateEndpoint"},
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
		faults: []emulator.Fault{{Operation: "DescribeEndpoint", Code: "AccessDeniedException", Times: 1,
			Message: "User: x is not authorized to perform: sagemaker:DescribeEndpoint", Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "Deploy.NeedsAPerson", cause: "not authorized to perform: sagemaker:DescribeEndpoint", advice: "deploy the stack again", endpoint: "absent"},
	},
	{
		name: "an algorithm that fails is not tried again", pipeline: "algoerr",
		faults: []emulator.Fault{{Outcome: emulator.TrainingFailed, Reason: `AlgorithmError: the label must be "0" or "1", exit code: 1`, Match: map[string]string{"TrainingJobName": "%s-*"}}},
		want: outcome{failed: "AlgorithmError", cause: `AlgorithmError: the label must be "0" or "1", exit code: 1`, advice: "/aws/sagemaker/TrainingJobs",
			endpoint: "absent"},
	},
	{
		name: "a training job that was stopped is a failure", pipeline: "stopped",
		serving: true,
		faults:  []emulator.Fault{{Outcome: emulator.TrainingStopped, Match: map[string]string{"TrainingJobName": "%s-*"}}},
		want:    outcome{failed: "Train.Stopped", cause: "the training job was stopped", advice: "training.maxRuntimeSeconds", config: "old"},
	},
	{
		name: "a training job that runs into its time limit is a failure", pipeline: "toolong",
		props: func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Training.MaxRuntime = awscdk.Duration_Seconds(jsii.Number(1))
			p.Training.Hyperparameters = map[string]string{"num_round": "1000000", "objective": "binary:logistic"}
		},
		want: outcome{failed: "Train.Stopped", cause: "by its time limit (MaxRuntimeExceeded)", advice: "training.maxRuntimeSeconds", endpoint: "absent"},
	},
	{
		name: "a quota that is in use is waited for", pipeline: "quota",
		faults: []emulator.Fault{{Operation: "CreateTrainingJob", Code: "ResourceLimitExceeded", Message: quotaText, Times: 2, Match: map[string]string{"TrainingJobName": "%s-*"}}},
		want:   outcome{attempt: "-a3", asked: "CreateEndpoint"},
	},
	{
		name: "a quota that stays used up is a failure", pipeline: "noquota",
		faults: []emulator.Fault{{Operation: "CreateTrainingJob", Code: "ResourceLimitExceeded", Message: quotaText, Times: 99, Match: map[string]string{"TrainingJobName": "%s-*"}}},
		want: outcome{failed: "SageMaker.ResourceLimitExceededException", cause: "The account-level service limit", advice: `"ml.m5.large for training job usage"`,
			endpoint: "absent"},
	},
	{
		name: "throttled requests are repeated", pipeline: "rate",
		faults: []emulator.Fault{
			{Operation: "CreateTrainingJob", Code: "ThrottlingException", Message: rateExceeded, Times: 2, Match: map[string]string{"TrainingJobName": "%s-*"}},
			{Operation: "CreateModel", Code: "ThrottlingException", Message: rateExceeded, Match: map[string]string{"ModelName": "%s-*"}},
			{Operation: "CreateEndpointConfig", Code: "ThrottlingException", Message: rateExceeded, Match: map[string]string{"EndpointConfigName": "%s-*"}},
		},
		want: outcome{attempt: "-a3", asked: "CreateEndpoint"},
	},
	{
		name: "a model and a config whose answers were lost are found", pipeline: "lost",
		faults: []emulator.Fault{
			{Operation: "CreateModel", Code: "InternalFailure", Performed: true, Match: map[string]string{"ModelName": "%s-*"}},
			{Operation: "CreateEndpointConfig", Code: "InternalFailure", Performed: true, Match: map[string]string{"EndpointConfigName": "%s-*"}},
		},
		want: outcome{asked: "CreateEndpoint"},
	},
	{
		name: "another model of the same name is never served", pipeline: "imposter",
		taken: true,
		want: outcome{failed: "SageMaker.SageMakerException", cause: "Cannot create already existing model", advice: "SageMaker refuses to register it",
			endpoint: "absent"},
	},
	{
		name: "a model that SageMaker refuses is a failure", pipeline: "nomodel",
		serving: true,
		faults:  []emulator.Fault{{Operation: "CreateModel", Code: "ValidationException", Message: "Could not access model data", Times: 9, Match: map[string]string{"ModelName": "%s-*"}}},
		want:    outcome{failed: "SageMaker.SageMakerException", cause: "Could not access model data", advice: "SageMaker refuses to register it", config: "old"},
	},
	{
		name: "a config that SageMaker refuses is a failure", pipeline: "noconfig",
		faults: []emulator.Fault{{Operation: "CreateEndpointConfig", Code: "ResourceLimitExceeded", Message: "too many configs", Times: 9, Match: map[string]string{"EndpointConfigName": "%s-*"}}},
		want:   outcome{failed: "SageMaker.ResourceLimitExceededException", cause: "too many configs", advice: "SageMaker refuses its endpoint config", endpoint: "absent"},
	},
	{
		name: "a missing signature is a failure before anything is served", pipeline: "nosign",
		input: func(in map[string]any) { in["signature"] = "nosign/runs/" + first + "/channels/1/a b+ü?.json" },
		want:  outcome{failed: "S3.NoSuchKeyException", cause: "Publish signature", advice: "can't be published without its signature", endpoint: "absent"},
	},
	{
		name: "an endpoint that is in service but can't answer is a failure", pipeline: "smoke",
		serving: true,
		faults:  []emulator.Fault{{Operation: "InvokeEndpoint", Code: "ModelError", Message: modelError, Status: 424, Times: 4, Match: map[string]string{"EndpointName": "%s"}}},
		want: outcome{failed: "SageMakerRuntime.ModelErrorException", cause: "Received server error (500)", advice: "aws sagemaker update-endpoint --endpoint-name ml-test-smoke",
			asked: "UpdateEndpoint"},
	},
	{
		name: "an endpoint that stumbles once is asked again", pipeline: "stumble",
		faults: []emulator.Fault{{Operation: "InvokeEndpoint", Code: "ModelError", Message: modelError, Status: 424, Match: map[string]string{"EndpointName": "%s"}}},
		want:   outcome{asked: "CreateEndpoint"},
	},
	{
		name: "an answer that is no single number is a failure", pipeline: "answers",
		props: func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Training.Hyperparameters = map[string]string{"num_round": "5", "objective": "multi:softprob", "num_class": "2"}
		},
		want: outcome{failed: "SmokeTest.NotANumber", cause: "where one finite number was due", advice: "which doesn't answer as it should", asked: "CreateEndpoint"},
	},
	{
		name: "an endpoint quota that is used up is a failure that names it", pipeline: "epquota",
		faults: []emulator.Fault{{Operation: "CreateEndpoint", Code: "ResourceLimitExceeded", Message: strings.ReplaceAll(quotaText, "training job", "endpoint"), Times: 99, Match: map[string]string{"EndpointName": "%s"}}},
		want:   outcome{failed: "SageMaker.ResourceLimitExceededException", cause: "ml.m5.large for endpoint usage", advice: "needs room for both", endpoint: "absent"},
	},
	{
		name: "an input that the export did not write names everything that is wrong with it", pipeline: "badinput",
		input: func(in map[string]any) {
			for k := range in {
				delete(in, k)
			}
			in["run"], in["channels"], in["smoke"], in["rows"] = 20260101, map[string]any{"train": nil}, []any{}, nil
		},
		want: outcome{failed: "Input.Malformed", cause: "run is 20260101, not a run id such as 20260101t020000z; pipeline is missing, not badinput", advice: "through the export function", endpoint: "absent"},
	},
	{
		name: "a notice that can't be sent undoes nothing", pipeline: "mute",
		props: func(stack awscdk.Stack, p *constructs.WorkflowProps) {
			p.Topic = awssns.Topic_FromTopicArn(stack, jsii.String("NoTopic"), jsii.String(topicARN+"-gone"))
		},
		want: outcome{asked: "CreateEndpoint", unnoticed: true},
	},
}

// SageMaker's own texts, by which the states tell its errors apart or which people get to read, each with a place where it
// was seen.
const (
	// https://github.com/gabehollombe-aws/jupyter-notebooks/issues/1
	quotaText = "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances. Please contact AWS support to request an increase for this limit."
	// https://github.com/hashicorp/terraform-provider-aws/issues/40048
	configMissing = `Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/x".`
	// https://github.com/aws/amazon-sagemaker-operator-for-k8s matches its beginning for updates and deletions
	endpointInProgress = `Cannot update in-progress endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x".`
	// https://github.com/ministryofjustice/modernisation-platform-environments/pull/9383
	endpointExists = `Cannot create already existing endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x".`
	// https://github.com/aws/sagemaker-python-sdk/issues/645
	rateExceeded = "Rate exceeded"
	// https://github.com/aws/amazon-sagemaker-examples/issues/1881
	modelError = "Received server error (500) from primary"
)

func TestWhateverARunMeetsItEndsAsTheTableSays(t *testing.T) {
	l := newLab(t, "0.1")
	l.oldModel = l.trainOld(t)
	ends := make([]end, len(situations))
	var both [2]result
	var late result
	t.Run("executing", func(t *testing.T) {
		t.Run("two runs at once", func(t *testing.T) {
			t.Parallel()
			l.playBoth(t, &both)
		})
		t.Run("a later run before an earlier one", func(t *testing.T) {
			t.Parallel()
			late = l.playLate(t)
		})
		for i, s := range situations {
			t.Run(s.pipeline, func(t *testing.T) {
				t.Parallel() // the templates are there; nothing here uses jsii
				ends[i] = l.play(t, s)
			})
		}
	})
	notices := l.notices(t)
	for i, s := range situations {
		t.Run(s.name, func(t *testing.T) { check(t, s, ends[i], notices[ends[i].arn]) })
	}
	t.Run("of two runs at once the later one serves in the end, and the other is superseded or was served before it", func(t *testing.T) {
		for _, r := range both {
			if r.error != "" {
				t.Errorf("an execution ended with %s: %s", r.error, r.cause)
			}
			if len(notices[r.arn]) != 1 {
				t.Errorf("there are %d notices of %s", len(notices[r.arn]), r.arn)
			}
		}
		if status, config := l.endpoint(t, prefix("plain")); status != "InService" || config != prefix("plain")+"-"+second {
			t.Errorf("the endpoint is %s on %s", status, config)
		}
	})
	t.Run("a run that is started after a later one leaves that one in service", func(t *testing.T) {
		var output struct{ Outcome, EndpointConfig string }
		if late.error == "" {
			ok(t, json.Unmarshal([]byte(late.output), &output))
		}
		if output.Outcome != "superseded" || output.EndpointConfig != prefix("late")+"-"+second {
			t.Fatalf("it ended with %s %s %s", late.error, late.cause, late.output)
		}
		if got := l.asked(t, prefix("late")); got != "CreateEndpoint" {
			t.Errorf("the endpoint was changed by %q", got)
		}
		if status, config := l.endpoint(t, prefix("late")); status != "InService" || config != prefix("late")+"-"+second {
			t.Errorf("the endpoint is %s on %s", status, config)
		}
		told := notices[late.arn]
		if len(told) != 1 || told[0].attributes["outcome"] != "superseded" || !strings.Contains(told[0].message, "--endpoint-config-name "+prefix("late")+"-"+first) {
			t.Errorf("the notices are %v", told)
		}
	})
}

// end is what there is when a situation is over.
type end struct {
	result
	machine        string
	before         string // what the model before answered
	status, config string
	asked          string
	answer         string
	signature      bool
}

// play deploys the situation's workflow, brings the situation about and executes the run.
func (l *lab) play(t *testing.T, s situation) end {
	e := end{machine: l.deploy(t, s.pipeline)}
	input := l.export(t, s.pipeline, first)
	if s.executed {
		if r := l.execute(t, e.machine, "before", input, nil); r.error != "" {
			t.Fatalf("the execution before failed: %s: %s", r.error, r.cause)
		}
	}
	if s.serving {
		e.before = l.serveOld(t, s.pipeline)
	}
	if s.taken {
		l.createModel(t, prefix(s.pipeline)+"-"+first)
	}
	if s.status != "" {
		l.order(t, s.pipeline, emulator.Fault{Outcome: emulator.EndpointStatus, EndpointStatus: s.status, Match: map[string]string{"EndpointName": "%s"}})
	}
	for _, f := range s.faults {
		l.order(t, s.pipeline, f)
	}
	if s.input != nil {
		s.input(input)
	}
	e.result = l.execute(t, e.machine, first, input, func() {
		if !s.over {
			return
		}
		for len(l.calls(t, "EndpointName", prefix(s.pipeline))) < 3 {
			time.Sleep(50 * time.Millisecond)
		}
		l.order(t, s.pipeline, emulator.Fault{Outcome: emulator.EndpointStatus, EndpointStatus: "InService", Match: map[string]string{"EndpointName": "%s"}})
	})
	name := prefix(s.pipeline)
	e.status, e.config = l.endpoint(t, name)
	e.asked = l.asked(t, name)
	if e.status == "InService" {
		e.answer = l.predict(t, name)
		e.signature = l.exists(t, s.pipeline+"/models/"+e.config+"/signature.json")
		// The machines of the test are two: an endpoint that nobody asks any more is in the way.
		_, err := l.sm.DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String(name)})
		ok(t, err)
	}
	return e
}

// playBoth executes two runs of one pipeline at the same time.
func (l *lab) playBoth(t *testing.T, both *[2]result) {
	machine := l.deploy(t, "plain")
	for i, id := range []string{first, second} {
		input := l.export(t, "plain", id)
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			both[i] = l.execute(t, machine, id, input, nil)
		})
	}
}

// playLate executes a run, and then one that was scheduled before it.
func (l *lab) playLate(t *testing.T) result {
	machine := l.deploy(t, "late")
	if r := l.execute(t, machine, second, l.export(t, "late", second), nil); r.error != "" {
		t.Fatalf("the later run failed: %s: %s", r.error, r.cause)
	}
	return l.execute(t, machine, first, l.export(t, "late", first), nil)
}

func check(t *testing.T, s situation, e end, notices []notice) {
	w, name := s.want, prefix(s.pipeline)
	job := name + "-" + first + w.attempt

	if e.error != w.failed {
		t.Fatalf("the execution ended with %q, want %q; cause: %s", e.error, w.failed, e.cause)
	}
	if !strings.Contains(e.cause, w.cause) {
		t.Errorf("the cause is\n%s\nand does not say %q", e.cause, w.cause)
	}
	if w.failed == "" {
		checkOutput(t, s, job, e)
	}
	if want := orElse(w.endpoint, "InService"); e.status != want {
		t.Errorf("the endpoint is %s, want %s", e.status, want)
	}
	if want := map[string]string{"": job, "old": name + "-old"}[w.config]; e.status != "absent" && e.config != want {
		t.Errorf("the endpoint serves %s, want %s", e.config, want)
	}
	if e.asked != w.asked {
		t.Errorf("the endpoint was changed by %q, want %q", e.asked, w.asked)
	}

	if w.unnoticed {
		if len(notices) != 0 {
			t.Errorf("there are notices: %v", notices)
		}
		return
	}
	if len(notices) != 1 {
		t.Fatalf("there are %d notices of the execution, want 1: %v", len(notices), notices)
	}
	n := notices[0]
	t.Logf("%s\n%s", n.subject, n.message)
	outcome := map[bool]string{true: "succeeded", false: "failed"}[w.failed == ""]
	if n.attributes["outcome"] != outcome || n.attributes["pipeline"] != s.pipeline || n.attributes["run"] == "" {
		t.Errorf("the notice has the attributes %v", n.attributes)
	}
	says := []string{w.cause, w.advice}
	if w.asked != "" {
		says = append(says, job)
	}
	for _, want := range says {
		if !strings.Contains(n.message, want) {
			t.Errorf("the notice is\n%s\nand does not say %q", n.message, want)
		}
	}
	if !strings.HasPrefix(n.subject, "["+name+"] run ") || len(n.subject) > 100 {
		t.Errorf("the notice's subject is %q", n.subject)
	}
}

func checkOutput(t *testing.T, s situation, job string, e end) {
	t.Helper()
	var got struct {
		Run, Pipeline, TrainingJob, Model, Endpoint, EndpointConfig, PreviousEndpointConfig, Notice string
		Rows                                                                                        int
		Metrics                                                                                     map[string]float64
		Smoke                                                                                       *float64
	}
	if err := json.Unmarshal([]byte(e.output), &got); err != nil {
		t.Fatalf("reading the output: %v: %s", err, e.output)
	}
	previous := ""
	if s.want.previous != "" {
		previous = prefix(s.pipeline) + "-" + s.want.previous
	}
	if got.Run != first || got.Pipeline != s.pipeline || got.TrainingJob != job || got.Model != job || got.EndpointConfig != job ||
		got.Endpoint != prefix(s.pipeline) || got.PreviousEndpointConfig != previous || got.Rows != labelledRows ||
		got.Metrics["train:auc"] == 0 || got.Smoke == nil || *got.Smoke < 0 || *got.Smoke > 1 {
		t.Errorf("the output is %s", e.output)
	}
	if sent := got.Notice == "sent"; sent == s.want.unnoticed {
		t.Errorf("the output says of the notice: %q", got.Notice)
	}
	if !e.signature {
		t.Errorf("there is no signature beside the model %s", job)
	}
	if e.answer == "" || e.answer == e.before {
		t.Errorf("the endpoint answers %q; the model before answered %q", e.answer, e.before)
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
