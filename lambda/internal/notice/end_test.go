package notice

import (
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

const (
	id        = run.ID("20260101t020000z")
	execution = "arn:aws:states:us-east-1:000000000000:execution:ml-dev-fraud:20260101t020000z"
	quota     = "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances. Please contact AWS support to request an increase for this limit."
)

func TestEveryOutcomeHasItsNotice(t *testing.T) {
	for _, o := range outcome.All {
		t.Run(string(o), func(t *testing.T) {
			if _, ok := sentences[o]; !ok {
				t.Fatal("it has no sentence of its own")
			}
			n := FromEnd(spec, outcome.End{Run: id, Outcome: o, Cause: "the reason", Execution: execution})
			check(t, n)
			if strings.Contains(n.Subject+n.Message, "{") {
				t.Errorf("something isn't filled in:\n%s\n%s", n.Subject, n.Message)
			}
			for _, want := range []string{"Run 20260101t020000z of ml-dev-fraud", "the reason", "What to do: ", execution} {
				if o != outcome.Succeeded && !strings.Contains(n.Message, want) && !strings.Contains(n.Message, "data of run 20260101t020000z of ml-dev-fraud") {
					t.Errorf("the message lacks %q:\n%s", want, n.Message)
				}
			}
			routine := map[bool]string{true: "true", false: "false"}[o.Routine()]
			if a := n.Attributes; a["pipeline"] != "fraud" || a["run"] != string(id) || a["outcome"] != string(o) || a["routine"] != routine {
				t.Errorf("attributes %v", a)
			}
		})
	}
	if len(sentences) != len(outcome.All) {
		t.Errorf("there are %d sentences for %d outcomes", len(sentences), len(outcome.All))
	}
}

// The workflow's superseded run has a model that people can go back to; the export's was never read.
func TestARunThatCameTooLateHasNoModelToGoBackTo(t *testing.T) {
	n := FromEnd(spec, outcome.End{Run: id, Outcome: outcome.Superseded, Cause: "run 20260102t020000z is committed already"})
	check(t, n)
	if !strings.Contains(n.Message, "run -environment dev -pipeline fraud -backfill 2026-01-01T02:00:00Z") || strings.Contains(n.Message, "rollback") {
		t.Errorf("it says\n%s", n.Message)
	}
	if n := FromEnd(spec, outcome.End{Run: id, Outcome: outcome.Superseded, Execution: execution}); !strings.Contains(n.Message, "rollback -environment dev") {
		t.Errorf("of a run with a model it says\n%s", n.Message)
	}
}

func TestWhatToDoAboutAFailure(t *testing.T) {
	job := func(reason string) string {
		return `{"TrainingJobName":"ml-dev-fraud-20260101t020000z","TrainingJobStatus":"Failed","FailureReason":"` + reason + `","HyperParameters":{"num_round":"5"`
	}
	for _, c := range []struct {
		name               string
		outcome            outcome.Outcome
		step, error, cause string
		says               []string
	}{
		{name: "an input that the export didn't write", step: "Read input", error: "Input.Malformed", cause: "the input is not what the export writes: run is missing",
			says: []string{"Why: Input.Malformed: the input is not", "through the export function"}},
		{name: "a job that failed, by the reason in its description", step: "Train", error: "States.TaskFailed", cause: job(`AlgorithmError: the label must be \"0\" or \"1\", exit code: 1\nat 5\u00e4`),
			says: []string{`Why: AlgorithmError: the label must be "0" or "1", exit code: 1 at 5ä`, "/aws/sagemaker/TrainingJobs", "aws logs tail"}},
		{name: "a job whose description is cut off within its reason", step: "Train", error: "States.TaskFailed", cause: `{"TrainingJobStatus":"Failed","FailureReason":"ClientError: no data \`,
			says: []string{"Why: ClientError: no data", "can't read its data"}},
		{name: "a job that a person stopped", step: "Train", error: "States.TaskFailed", cause: `{"TrainingJobStatus":"Stopped","SecondaryStatus":"Stopped"}`,
			says: []string{"Why: Train.Stopped: the training job was stopped\n", "training.maxRuntimeSeconds"}},
		{name: "a job that its time limit stopped", step: "Train", error: "States.TaskFailed", cause: `{"TrainingJobStatus": "Stopped","SecondaryStatus":"MaxRuntimeExceeded"}`,
			says: []string{"by its time limit (MaxRuntimeExceeded)", "training.maxRuntimeSeconds"}},
		{name: "a scoring job that was stopped", step: "Score candidate", error: "States.TaskFailed", cause: `{"TransformJobStatus":"Stopped"}`,
			says: []string{"Why: Score.Stopped: the transform job was stopped", "/aws/sagemaker/TransformJobs"}},
		{name: "a quota that can never allow the request", step: "Train", error: "SageMaker.ResourceLimitExceededException", cause: quota,
			says: []string{`"ml.m5.large for training job usage": ask for 1 or more`, "it can never be"}},
		{name: "a quota that is in use", step: "Deploy", error: "SageMaker.ResourceLimitExceededException",
			cause: "The account-level service limit 'ml.m5.large for endpoint usage' is 4 Instances, with current utilization of 3 Instances and a request delta of 2 Instances.",
			says:  []string{"allows 4, of which 3 are in use", "ask for 5 or more", "needs room for both"}},
		{name: "a quota that can never allow the request, as the workflow says it", step: "Train", error: "Train.QuotaTooSmall",
			cause: `the quota "ml.m5.large for training job usage" is 0, and the training job needs 1: no waiting helps. AWS says: too many`,
			says:  []string{`it can never be. Service Quotas, Amazon SageMaker, "ml.m5.large for training job usage": ask for 1 or more`, "-from train"}},
		{name: "a job that ran into its time limit, as the workflow says it", step: "Train", error: "Train.TimeLimit", cause: "the training job was stopped by its time limit (MaxRuntimeExceeded).",
			says: []string{"training.maxRuntimeSeconds"}},
		{name: "a scoring job without a machine", step: "Score champion", error: "CapacityError", cause: "none", says: []string{"Try later", "-from evaluate"}},
		{name: "a quota in words that nobody knows", step: "Train", error: "SageMaker.ResourceLimitExceededException", cause: "too many", says: []string{"Look at Service Quotas"}},
		{name: "no machine", step: "Train", error: "States.TaskFailed", cause: job("CapacityError: Unable to provision requested ML compute capacity."),
			says: []string{"Why: CapacityError: Unable", "training.instanceTypes"}},
		{name: "rights that are missing, at any step", step: "Prune", error: "SageMaker.AccessDeniedException", cause: "not you", says: []string{"deploy the stack again"}},
		{name: "rights that are missing, by the text", step: "Deploy", error: "Deploy.NeedsAPerson", cause: "User: x is not authorized to perform: sagemaker:DescribeEndpoint", says: []string{"deploy the stack again"}},
		{name: "an error of a function of ours", step: "Decide", error: "Lambda.Unknown", cause: `{"errorMessage":"reading scores: there are none","errorType":"wrapError","trace":[]}`,
			says: []string{"Why: wrapError: reading scores: there are none"}},
		{name: "an endpoint OutOfService", step: "Deploy", error: "Deploy.NeedsAPerson", cause: "the endpoint is OutOfService", says: []string{"aws sagemaker delete-endpoint --endpoint-name ml-dev-fraud\nWhen the cause is gone:\n  go run ./cmd/datapipeline rerun -environment dev -pipeline fraud -from deploy -reason TEXT 20260101t020000z\n"}},
		{name: "an endpoint that stays busy", step: "Deploy", error: "Deploy.TimedOut", says: []string{"Why: Deploy.TimedOut\n", "Wait until the endpoint is InService"}},
		{name: "an endpoint that failed", step: "Deploy", error: "Deploy.EndpointFailed", says: []string{"It deletes the failed endpoint and creates it anew", "/aws/sagemaker/Endpoints/ml-dev-fraud"}},
		{name: "an update that SageMaker rolled back", outcome: outcome.RolledBack, step: "Deploy", error: "Deploy.RolledBack", says: []string{"was put into service, didn't serve as it should", "the one before it still serves"}},
		{name: "a smoke test that failed, with a model before", outcome: outcome.RolledBack, step: "Smoke test", error: "SmokeTest", cause: "it differs", says: []string{"Why: SmokeTest: it differs", "didn't answer as it should"}},
		{name: "a smoke test that failed, without one", step: "Smoke test", error: "SmokeTest.NotANumber", says: []string{"which doesn't answer as it should", "aws sagemaker update-endpoint --endpoint-name ml-dev-fraud"}},
		{name: "a missing signature", step: "Publish signature", error: "S3.NoSuchKeyException", says: []string{"can't be published without its signature"}},
		{name: "a model that is refused", step: "Create model", error: "SageMaker.SageMakerException", cause: "Could not access model data", says: []string{"SageMaker refuses to register it"}},
		{name: "a config that is refused", step: "Create endpoint config", error: "SageMaker.ResourceLimitExceededException", cause: "too many configs", says: []string{"SageMaker refuses its endpoint config"}},
		{name: "a step that nobody knows", step: "Dance", error: "Odd", cause: "music", says: []string{"failed at Dance", "Why: Odd: music", "Correct what the text names"}},
		{name: "no step and no reason", says: []string{"Run 20260101t020000z of ml-dev-fraud failed.", "Correct what the text names"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.outcome == "" {
				c.outcome = outcome.Failed
			}
			n := FromEnd(spec, outcome.End{Run: id, Outcome: c.outcome, Step: c.step, Error: c.error, Cause: c.cause, Execution: execution})
			check(t, n)
			for _, want := range c.says {
				if !strings.Contains(n.Message, want) {
					t.Errorf("the message lacks %q:\n%s", want, n.Message)
				}
			}
		})
	}
}

// A command that a person copies is a line.
func TestCommandsHaveALineOfTheirOwn(t *testing.T) {
	steps := []string{""}
	for _, a := range append(slices.Clone(advices), takenBack...) {
		steps = append(steps, a.step)
	}
	for _, o := range outcome.All {
		for _, step := range steps {
			for _, sign := range []string{"", "AlgorithmError", "ResourceLimitExceeded", "Replaced", "NeedsAPerson", "EndpointFailed"} {
				n := FromEnd(spec, outcome.End{Run: id, Outcome: o, Step: step, Error: sign, Execution: execution})
				for line := range strings.Lines(n.Message) {
					if strings.Contains(strings.ReplaceAll(line, `{"scheduledTime"`, ""), "{") || strings.Contains(line, "go run ") && !strings.HasPrefix(line, "  go run ") || strings.Contains(line, "aws sagemaker") && !strings.HasPrefix(line, "  aws ") {
						t.Errorf("%s at %q: %s", o, step, line)
					}
				}
			}
		}
	}
}

func TestAStepsOwnAdviceComesFirst(t *testing.T) {
	n := FromEnd(spec, outcome.End{Run: id, Outcome: outcome.Failed, Step: "Train", Error: "AlgorithmError", Advice: "Do this."})
	if !strings.Contains(n.Message, "What to do: Do this.\n") || strings.Contains(n.Message, "hyperparameter") {
		t.Error(n.Message)
	}
}

func TestARejectedRunListsTheRulesThatFailed(t *testing.T) {
	n := FromEnd(spec, outcome.End{Run: id, Outcome: outcome.Rejected, Cause: "2 of 5 rules failed", Facts: []outcome.Fact{
		{Name: `IsComplete "amount"`, Value: "expected completeness 1, was 0.98; rows 3 and 17"},
		{Name: "RowCount > 1000", Value: "expected > 1000, was 12"},
	}})
	for _, want := range []string{"Why: 2 of 5 rules failed", "\nIsComplete \"amount\": expected completeness 1, was 0.98; rows 3 and 17\nRowCount > 1000: expected", "accept -environment dev -pipeline fraud -reason TEXT 20260101t020000z\n"} {
		if !strings.Contains(n.Message, want) {
			t.Errorf("the message lacks %q:\n%s", want, n.Message)
		}
	}
}

func TestABatchPipelineScores(t *testing.T) {
	batch := spec
	batch.Deploy = pipeline.Batch
	if n := FromEnd(batch, outcome.End{Run: id, Outcome: outcome.Succeeded}); !strings.Contains(n.Subject, "has scored its rows") {
		t.Error(n.Subject)
	}
}

// What stands in a command is nothing that a shell reads more into.
func TestNothingHostileGetsIntoACommand(t *testing.T) {
	n := FromEnd(spec, outcome.End{Run: "$(reboot)", Outcome: outcome.Rejected, Execution: "arn:aws:states:x:1:execution:a:b; reboot"})
	for line := range strings.Lines(n.Message) {
		if slices.ContainsFunc([]string{"aws ", "go run"}, func(c string) bool { return strings.Contains(line, c) }) && strings.Contains(line, "reboot") {
			t.Errorf("%s", line)
		}
	}
}

func FuzzFromEnd(f *testing.F) {
	f.Add("failed", "Train", "States.TaskFailed", `{"FailureReason":"AlgorithmError: \u00e4\`, "{name}")
	f.Add("not better", "", "", quota, "x")
	f.Fuzz(func(t *testing.T, o, step, name, cause, fact string) {
		check(t, FromEnd(spec, outcome.End{Run: run.ID(fact), Outcome: outcome.Outcome(o), Step: step, Error: name, Cause: cause, Execution: cause, Facts: []outcome.Fact{{Name: fact, Value: cause}}}))
	})
}
