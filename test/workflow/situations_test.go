package workflow

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
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
	// before happens before the run is started, during while it is executed, and holds is looked at when it has ended.
	before, during, holds func(*testing.T, *lab, situation)
	want                  outcome
}

// prefix is that of the names of the situation's pipeline.
func (s situation) prefix() string { return prefix(s.pipeline) }

// outcome is how a run ended.
type outcome struct {
	// attempt is the suffix of the training job, the model and the config.
	attempt string
	// ended is the outcome; "" is "succeeded", or "failed" with failed.
	ended string
	// failed names the error of a failed execution; "" is success.
	failed string
	// cause has to be in the cause of the failure and in its notice.
	cause string
	// advice has to be in the notice.
	advice string
	// endpoint is the status in the end; "" is InService, "absent" that there is none.
	endpoint string
	// config is what the endpoint serves, behind the prefix: "old" is the one before, and "" that of the run.
	config string
	// previous is what the output says of the config before.
	previous string
	// unnoticed is for the notice that can't be sent, short for the one that the workflow itself sends: both say why in the output.
	unnoticed, short bool
	// asked are the requests that changed the endpoint, in order.
	asked string
}

// situations are those of the way to a model, and of its way into service.
var situations = slices.Concat(deploySituations, modelSituations)

// modelSituations are those of a run on its way to a model.
var modelSituations = []situation{
	{
		name: "a run without a validation split trains all the same", pipeline: "novalid",
		input: func(in map[string]any) { delete(in["channels"].(map[string]any), "validation") },
		want:  outcome{asked: "CreateEndpoint"},
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
		want: outcome{failed: "Train.TimeLimit", cause: "by its time limit (MaxRuntimeExceeded)", advice: "training.maxRuntimeSeconds", endpoint: "absent"},
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
		name: "a missing signature is a failure before anything is served", pipeline: "nosign",
		input: func(in map[string]any) { in["signature"] = "nosign/runs/" + first + "/channels/1/a b+ü?.json" },
		want:  outcome{failed: "S3.NoSuchKeyException", cause: "Publish signature", advice: "can't be published without its signature", endpoint: "absent"},
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
	t.Parallel() // what uses jsii has ended by then
	l := newLab(t, "0.1")
	l.oldModel = l.trainOld(t)
	ends := make([]end, len(situations))
	told := make([][]result, len(journeys))
	t.Run("executing", func(t *testing.T) {
		for i, j := range journeys {
			t.Run(j.pipeline, func(t *testing.T) {
				t.Parallel() // the templates are there; nothing here uses jsii
				told[i] = j.play(t, l, l.deploy(t, j.pipeline))
			})
		}
		for i, s := range situations {
			t.Run(s.pipeline, func(t *testing.T) {
				t.Parallel()
				ends[i] = l.play(t, s)
			})
		}
	})
	notices := l.notices(t)
	for i, s := range situations {
		if ends[i].machine != "" { // it was selected
			t.Run(s.name, func(t *testing.T) { check(t, s, ends[i], notices[ends[i].arn]) })
		}
	}
	for i, j := range journeys {
		if told[i] != nil {
			t.Run(j.name, func(t *testing.T) { j.check(t, told[i], notices) })
		}
	}
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
	// lease is who holds the deploy lease, and recorded the config that is in service by the pipeline's history.
	lease, recorded string
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
	if s.before != nil {
		s.before(t, l, s)
	}
	for _, f := range s.faults {
		l.order(t, s.pipeline, f)
	}
	if s.input != nil {
		s.input(input)
	}
	name := prefix(s.pipeline)
	e.result = l.execute(t, e.machine, first, input, func() {
		if s.during != nil {
			s.during(t, l, s)
		}
		if !s.over {
			return
		}
		for len(l.calls(t, "EndpointName", name)) < 3 {
			time.Sleep(50 * time.Millisecond)
		}
		l.order(t, s.pipeline, emulator.Fault{Outcome: emulator.EndpointStatus, EndpointStatus: "InService", Match: map[string]string{"EndpointName": "%s"}})
	})
	e.status, e.config = l.endpoint(t, name)
	e.asked = l.asked(t, name)
	e.lease, e.recorded = l.leaseHolder(t, s.pipeline), l.inService(t, s.pipeline)
	if e.status == "InService" {
		e.signature = l.exists(t, s.pipeline+"/models/"+numbered.ReplaceAllString(e.config, "")+"/signature.json")
		if s.want.failed == "" {
			e.answer = l.predict(t, name)
		}
	}
	if s.holds != nil {
		s.holds(t, l, s)
	}
	l.endEndpoint(t, name)
	return e
}

// numbered is the end of a config's name that isn't its model's.
var numbered = regexp.MustCompile(`-r[0-9]+$`)

func check(t *testing.T, s situation, e end, notices []notice) {
	w, name := s.want, prefix(s.pipeline)
	job := name + "-" + first + w.attempt
	config := job
	if w.config != "" {
		config = name + "-" + w.config
	}
	ended := w.ended
	if ended == "" {
		ended = map[bool]string{true: "succeeded", false: "failed"}[w.failed == ""]
	}

	if e.error != w.failed {
		t.Fatalf("the execution ended with %q, want %q; cause: %s", e.error, w.failed, e.cause)
	}
	if !strings.Contains(e.cause, w.cause) {
		t.Errorf("the cause is\n%s\nand does not say %q", e.cause, w.cause)
	}
	if w.failed == "" {
		checkOutput(t, s, job, config, e)
	}
	if want := orElse(w.endpoint, "InService"); e.status != want {
		t.Errorf("the endpoint is %s, want %s", e.status, want)
	}
	if e.status != "absent" && e.config != config {
		t.Errorf("the endpoint serves %s, want %s", e.config, config)
	}
	if e.asked != w.asked {
		t.Errorf("the endpoint was changed by %q, want %q", e.asked, w.asked)
	}
	if e.lease == e.arn {
		t.Error("the execution has ended and holds the deploy lease")
	}
	if w.failed == "" && e.status != "absent" && e.recorded != config {
		t.Errorf("the history says that %s is in service, want %s", e.recorded, config)
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
	if n.attributes["outcome"] != ended || n.attributes["pipeline"] != s.pipeline || n.attributes["run"] == "" {
		t.Errorf("the notice has the attributes %v, want the outcome %q", n.attributes, ended)
	}
	says := []string{w.cause, w.advice}
	if w.asked != "" && !w.short {
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

func checkOutput(t *testing.T, s situation, job, config string, e end) {
	t.Helper()
	var got struct {
		Run, Pipeline, Outcome, TrainingJob, Model, Endpoint, EndpointConfig, PreviousEndpointConfig, Scores, Notice string
		Rows                                                                                                         int
		Metrics                                                                                                      map[string]float64
		Smoke                                                                                                        struct{ Rows int }
	}
	if err := json.Unmarshal([]byte(e.output), &got); err != nil {
		t.Fatalf("reading the output: %v: %s", err, e.output)
	}
	if len(e.output) > 4096 {
		t.Errorf("the output has %d bytes", len(e.output))
	}
	want := got
	want.Run, want.Pipeline, want.Outcome, want.TrainingJob, want.Model, want.Rows = first, s.pipeline, "succeeded", job, job, labelledRows
	if e.status != "absent" {
		want.Endpoint, want.EndpointConfig, want.PreviousEndpointConfig = prefix(s.pipeline), config, ""
		if s.want.previous != "" {
			want.PreviousEndpointConfig = prefix(s.pipeline) + "-" + s.want.previous
		}
		if got.Smoke.Rows == 0 {
			t.Error("the output says of no row that the endpoint was asked for")
		}
		if e.answer == "" || e.answer == e.before {
			t.Errorf("the endpoint answers %q; the model before answered %q", e.answer, e.before)
		}
		if !e.signature {
			t.Errorf("there is no signature beside the model %s", job)
		}
	}
	if !reflect.DeepEqual(got, want) || got.Metrics["train:auc"] == 0 {
		t.Errorf("the output is %s", e.output)
	}
	if sent := got.Notice == "sent"; sent == (s.want.unnoticed || s.want.short) {
		t.Errorf("the output says of the notice: %q", got.Notice)
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
