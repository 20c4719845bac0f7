package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/test/local/emulator"
)

// jobSituation is what a run finds on its way from the data to a model that may go into service, and what has to come of it.
type jobSituation struct {
	name string
	// pipeline names the pipeline of the situation: each has one of its own, so that they don't see each other.
	pipeline string
	props    func(awscdk.Stack, *constructs.WorkflowProps)
	// before happens before the run is started, and changes its input.
	before func(t *testing.T, l *lab, s jobSituation, machine string, input map[string]any)
	// during happens while the run is executed.
	during func(t *testing.T, l *lab, s jobSituation)
	// faults are ordered before the run is started. %s in a match is the prefix of the pipeline's names.
	faults []emulator.Fault
	want   jobOutcome
}

// jobOutcome is how a run ended.
type jobOutcome struct {
	// failed names the error of a failed execution; "" is one that has ended with an outcome.
	failed string
	// outcome of the run; "" is "succeeded".
	outcome string
	// says are parts of the cause or the notice.
	says []string
	// trained and scored are the jobs that the run asked for, in order, by what comes behind the run in their names (a1 for nothing),
	// with ! where the request was refused: "a1! a1". "" is not looked at of the trained ones.
	trained, scored string
	// types are the instance types that were asked for, in order; "" is not looked at.
	types string
	// served is what comes behind the run in the name of the config in service; "absent" is that there is no endpoint, "earlier" that it
	// is the run's before.
	served string
	// check looks at the rest.
	check func(t *testing.T, l *lab, s jobSituation, r result)
}

// gated compares the models of a pipeline.
func gated(gate pipeline.Gate) func(awscdk.Stack, *constructs.WorkflowProps) {
	return func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Gate = &gate }
}

var byAUC = pipeline.Gate{Metric: "auc", Holdout: "validation", Worse: 0.02}

// trains gives a workflow other training properties.
func trains(change func(*constructs.TrainingProps)) func(awscdk.Stack, *constructs.WorkflowProps) {
	return func(_ awscdk.Stack, p *constructs.WorkflowProps) { change(&p.Training) }
}

// twoTypes trains on either of two instance types.
var twoTypes = trains(func(p *constructs.TrainingProps) { p.InstanceTypes = []string{"ml.m5.large", "ml.m5.xlarge"} })

// impatient gives up after two seconds, which the local AWS does not shorten.
func impatient(change func(awscdk.Stack, *constructs.WorkflowProps)) func(awscdk.Stack, *constructs.WorkflowProps) {
	return func(stack awscdk.Stack, p *constructs.WorkflowProps) {
		if change != nil {
			change(stack, p)
		}
		p.Training.Patience = awscdk.Duration_Seconds(jsii.Number(2))
	}
}

// asksFor has a person decide.
func asksFor(timeout, remind float64) func(awscdk.Stack, *constructs.WorkflowProps) {
	return func(_ awscdk.Stack, p *constructs.WorkflowProps) {
		p.Gate = &byAUC
		p.Approval = &constructs.ApprovalProps{Timeout: awscdk.Duration_Seconds(jsii.Number(timeout)), RemindAfter: awscdk.Duration_Seconds(jsii.Number(remind))}
	}
}

// refused answers a request for a job with an error.
func refused(kind, code, message string, times int) emulator.Fault {
	return emulator.Fault{Operation: "Create" + kind, Code: code, Message: message, Times: times, Match: map[string]string{kind + "Name": "%s-*"}}
}

// lost carries a request for a job out and loses its answer.
func lost(kind string) emulator.Fault {
	return emulator.Fault{Operation: "Create" + kind, Code: "InternalFailure", Performed: true, Match: map[string]string{kind + "Name": "%s-*"}}
}

// fails makes training jobs fail.
func fails(reason string, times int) emulator.Fault {
	return emulator.Fault{Outcome: emulator.TrainingFailed, Reason: reason, Times: times, Match: map[string]string{"TrainingJobName": "%s-*"}}
}

// executedBefore executes the run under another name of the execution.
func executedBefore(t *testing.T, l *lab, _ jobSituation, machine string, input map[string]any) {
	t.Helper()
	if r := l.execute(t, machine, "before", input, nil); r.error != "" {
		t.Fatalf("the execution before failed: %s: %s", r.error, r.cause)
	}
}

// resumed executes the run, and starts it again at a step.
func resumed(from string) func(*testing.T, *lab, jobSituation, string, map[string]any) {
	return func(t *testing.T, l *lab, s jobSituation, machine string, input map[string]any) {
		executedBefore(t, l, s, machine, input)
		resume := map[string]any{"from": from, "by": "ann", "reason": "a test"}
		if from != "train" {
			resume["model"] = prefix(s.pipeline) + "-" + first
		}
		input["resume"] = resume
	}
}

var jobSituations = []jobSituation{
	// Train.
	{
		name: "a quota that is in use is waited for, and the job keeps its name", pipeline: "jquota",
		faults: []emulator.Fault{refused("TrainingJob", "ResourceLimitExceeded", quotaInUse, 2)},
		want:   jobOutcome{trained: "a1! a1! a1"},
	},
	{
		name: "a quota that can never hold the job fails at once, with its name and the way to raise it", pipeline: "jzero",
		faults: []emulator.Fault{refused("TrainingJob", "ResourceLimitExceeded", quotaZero, 9)},
		want: jobOutcome{failed: "Train.QuotaTooSmall", trained: "a1!", served: "absent", says: []string{
			`the quota "ml.m5.large for training job usage" is 0, and the training job needs 1`, "Ask for at least 1 in Service Quotas, Amazon SageMaker"}},
	},
	{
		name: "a quota that stays in use ends the run's patience", pipeline: "jbusy", props: impatient(nil),
		faults: []emulator.Fault{refused("TrainingJob", "ResourceLimitExceeded", quotaInUse, 99)},
		want:   jobOutcome{failed: "SageMaker.ResourceLimitExceededException", served: "absent", says: []string{`the quota "ml.m5.large for training job usage" is used up`, "It was waited for, up to 2 seconds."}},
	},
	{
		name: "where AWS has no machine of a type, the next type of the list is taken", pipeline: "jnext", props: twoTypes,
		faults: []emulator.Fault{fails(noCapacity, 1)},
		want:   jobOutcome{trained: "a1 a2", types: "ml.m5.large ml.m5.xlarge"},
	},
	{
		name: "where AWS has no machine at all, the list begins again after a wait", pipeline: "jagain", props: twoTypes,
		faults: []emulator.Fault{fails(noCapacity, 2)},
		want:   jobOutcome{trained: "a1 a2 a3", types: "ml.m5.large ml.m5.xlarge ml.m5.large"},
	},
	{
		name: "machines that never come end the run's patience", pipeline: "jnever", props: impatient(twoTypes),
		faults: []emulator.Fault{fails(noCapacity, 999)},
		want:   jobOutcome{failed: "CapacityError", served: "absent", says: []string{"Unable to provision requested ML compute capacity", "It was waited for, up to 2 seconds."}},
	},
	{
		name: "throttled requests are repeated under the same name", pipeline: "jrate",
		faults: []emulator.Fault{refused("TrainingJob", "ThrottlingException", rateExceeded, 3)},
		want:   jobOutcome{trained: "a1! a1! a1! a1"},
	},
	{
		name: "a service that stays down is given up after nine requests", pipeline: "jdown",
		faults: []emulator.Fault{refused("TrainingJob", "ServiceUnavailable", "The request has failed due to a temporary failure of the server.", 99)},
		want: jobOutcome{failed: "SageMaker.AmazonSageMakerException", served: "absent", says: []string{"temporary failure of the server", "It was tried 9 times."},
			trained: strings.TrimSpace(strings.Repeat("a1! ", 9))},
	},
	{
		name: "a job that SageMaker itself broke is begun again", pipeline: "jbroke",
		faults: []emulator.Fault{fails(internal, 2)},
		want:   jobOutcome{trained: "a1 a2 a3"},
	},
	{
		name: "an algorithm that fails is not tried again, and its log is named", pipeline: "jalgo",
		faults: []emulator.Fault{fails(`AlgorithmError: the label must be "0" or "1", exit code: 1`, 1)},
		want: jobOutcome{failed: "AlgorithmError", trained: "a1", served: "absent", says: []string{`the label must be "0" or "1", exit code: 1`,
			"#logStream:group=/aws/sagemaker/TrainingJobs;prefix=ml-test-jalgo-" + first + ";"}},
	},
	{
		name: "a request that SageMaker refuses is not repeated", pipeline: "jbad",
		faults: []emulator.Fault{refused("TrainingJob", "ValidationException", "1 validation error detected: no", 9)},
		want:   jobOutcome{failed: "SageMaker.AmazonSageMakerException", trained: "a1!", served: "absent", says: []string{"1 validation error detected: no"}},
	},
	{
		name: "a job whose answer was lost is taken over", pipeline: "jlost",
		faults: []emulator.Fault{lost("TrainingJob")},
		want:   jobOutcome{trained: "a1! a1!"},
	},
	{
		name: "a job whose answer was lost is waited for while it runs", pipeline: "jslow",
		faults: []emulator.Fault{lost("TrainingJob"), {Outcome: emulator.TrainingSlow, Seconds: 3, Match: map[string]string{"TrainingJobName": "%s-*"}}},
		want: jobOutcome{trained: "a1! a1!", check: func(t *testing.T, l *lab, s jobSituation, _ result) {
			if looks := l.calls(t, "TrainingJobName", prefix(s.pipeline)+"-"+first); len(looks) < 5 {
				t.Errorf("the running job was looked at by %v only", looks)
			}
		}},
	},
	{
		name: "what stopped a job whose answer was lost is the run's own failure", pipeline: "jlostf",
		faults: []emulator.Fault{lost("TrainingJob"), fails("ClientError: the data is gone", 1)},
		want:   jobOutcome{failed: "ClientError", trained: "a1! a1!", served: "absent", says: []string{"ClientError: the data is gone"}},
	},
	{
		name: "an execution that comes again takes the job, the model and the endpoint as they are", pipeline: "jtwice", before: executedBefore,
		want: jobOutcome{trained: "a1 a1!"},
	},
	{
		name: "an execution that comes after one that failed takes the next name", pipeline: "jafter",
		before: func(t *testing.T, l *lab, s jobSituation, machine string, input map[string]any) {
			l.order(t, s.pipeline, fails("AlgorithmError: no", 1))
			if r := l.execute(t, machine, "before", input, nil); r.error != "AlgorithmError" {
				t.Fatalf("the execution before ended with %s: %s", r.error, r.cause)
			}
		},
		want: jobOutcome{trained: "a1 a1! a2", served: "-a2"},
	},
	{
		name: "a run that was aborted stops its job, and the next start takes the next name", pipeline: "jabort",
		before: func(t *testing.T, l *lab, s jobSituation, machine string, input map[string]any) {
			l.order(t, s.pipeline, emulator.Fault{Outcome: emulator.TrainingSlow, Seconds: 60, Match: map[string]string{"TrainingJobName": "%s-*"}})
			l.abort(t, machine, input, prefix(s.pipeline)+"-"+first)
		},
		want: jobOutcome{trained: "a1 a1! a2", served: "-a2"},
	},
	{
		name: "a job of the same name that trained on other data is left alone", pipeline: "jother",
		before: func(t *testing.T, l *lab, s jobSituation, _ string, _ map[string]any) {
			l.trainSomebodys(t, prefix(s.pipeline)+"-"+first)
		},
		want: jobOutcome{trained: "a1! a2", served: "-a2"},
	},
	{
		name: "a person who starts again from the training gets another job", pipeline: "jretrain", before: resumed("train"),
		want: jobOutcome{trained: "a1 a1! a2", served: "-a2"},
	},
	{
		name: "spot machines come with a limit to the wait and checkpoints of the run", pipeline: "jspot",
		props: trains(func(p *constructs.TrainingProps) {
			p.Spot = &constructs.SpotProps{MaxWait: awscdk.Duration_Minutes(jsii.Number(30))}
		}),
		want: jobOutcome{trained: "a1", check: func(t *testing.T, l *lab, s jobSituation, _ result) {
			job, err := l.sm.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String(prefix(s.pipeline) + "-" + first)})
			ok(t, err)
			if !aws.ToBool(job.EnableManagedSpotTraining) || aws.ToInt32(job.StoppingCondition.MaxWaitTimeInSeconds) != 1800 ||
				aws.ToString(job.CheckpointConfig.S3Uri) != "s3://"+bucketName+"/jspot/checkpoints/"+first+"/" {
				t.Errorf("the job is %v, %v, %v", job.EnableManagedSpotTraining, job.StoppingCondition, job.CheckpointConfig)
			}
		}},
	},

	// Find champion, Score and Decide.
	{
		name: "a first model that is good enough is scored, registered and put into service", pipeline: "sfirst", props: gated(byAUC),
		want: jobOutcome{trained: "a1", scored: "c1", says: []string{"auc"}, check: func(t *testing.T, l *lab, s jobSituation, r result) {
			checkPackage("Approved")(t, l, s, r)
			l.checkHistory(t, r)
		}},
	},
	{
		name: "with a key, jobs, scores and endpoints are sealed, and all goes as without", pipeline: "gatedkey",
		props: func(stack awscdk.Stack, p *constructs.WorkflowProps) {
			p.Gate = &byAUC
			p.EncryptionKey = awskms.Key_FromKeyArn(stack, jsii.String("Key"), jsii.String(keyARN))
		},
		want: jobOutcome{trained: "a1", scored: "c1"},
	},
	{
		name: "a model that misses the gate's threshold is not put into service", pipeline: "sbad",
		props: gated(pipeline.Gate{Metric: "auc", Holdout: "validation", AtLeast: new(0.9999), Worse: 0.02}),
		want:  jobOutcome{outcome: "not better", trained: "a1", scored: "c1", served: "absent", says: []string{"0.9999"}},
	},
	{
		name: "of a later run the model in service is scored too", pipeline: "slater", props: gated(byAUC),
		before: func(t *testing.T, l *lab, s jobSituation, machine string, _ map[string]any) {
			if r := l.execute(t, machine, earlier, l.export(t, s.pipeline, earlier), nil); r.error != "" {
				t.Fatalf("the run before failed: %s: %s", r.error, r.cause)
			}
		},
		want: jobOutcome{trained: "a1", scored: "c1 m1", check: func(t *testing.T, _ *lab, _ jobSituation, r result) {
			t.Log(r.output)
		}},
	},
	{
		name: "a model with other features may not take the place of the one in service", pipeline: "srefused", props: gated(byAUC),
		before: func(t *testing.T, l *lab, s jobSituation, machine string, _ map[string]any) {
			if r := l.execute(t, machine, earlier, l.export(t, s.pipeline, earlier), nil); r.error != "" {
				t.Fatalf("the run before failed: %s: %s", r.error, r.cause)
			}
			changed, err := json.Marshal(signature.Signature{
				Version: signature.Version, Pipeline: s.pipeline, Task: string(pipeline.Binary), Label: "Y",
				Features: []signature.Feature{{Name: "B", SQLType: "float"}, {Name: "A", SQLType: "float"}},
			})
			ok(t, err)
			l.put(t, manifest.ModelPrefix(s.pipeline)+prefix(s.pipeline)+"-"+earlier+"/signature.json", string(changed))
		},
		want: jobOutcome{outcome: "not better", trained: "a1", served: "earlier", says: []string{"signatureChange"}},
	},
	{
		name: "a person who starts again from the evaluation trains nothing", pipeline: "seval", props: gated(byAUC), before: resumed("evaluate"),
		want: jobOutcome{trained: "a1", scored: "c1 c1!"},
	},
	{
		name: "a person who starts again from the deployment neither trains nor scores", pipeline: "sdeploy", props: gated(byAUC), before: resumed("deploy"),
		want: jobOutcome{trained: "a1", scored: "c1"},
	},
	{
		name: "a job that has not completed can't be gone on from", pipeline: "sfailed",
		before: func(t *testing.T, l *lab, s jobSituation, machine string, input map[string]any) {
			l.order(t, s.pipeline, fails("AlgorithmError: no", 1))
			l.execute(t, machine, "before", input, nil)
			input["resume"] = map[string]any{"from": "evaluate", "model": prefix(s.pipeline) + "-" + first, "by": "ann", "reason": "a test"}
		},
		want: jobOutcome{failed: "Train.NotCompleted", trained: "a1", served: "absent", says: []string{"is Failed: only one that has completed has a model"}},
	},
	{
		name: "a transform goes through the same troubles as a training", pipeline: "stroubles", props: func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Gate = &byAUC
			p.Transform.InstanceTypes = []string{"ml.m5.large", "ml.m5.xlarge"}
		},
		faults: []emulator.Fault{
			refused("TransformJob", "ThrottlingException", rateExceeded, 1),
			refused("TransformJob", "ResourceLimitExceeded", strings.ReplaceAll(quotaInUse, "training", "transform"), 1),
			{Outcome: emulator.TransformFailed, Reason: noCapacity, Match: map[string]string{"TransformJobName": "%s-*"}},
			{Outcome: emulator.TransformFailed, Reason: internal, Match: map[string]string{"TransformJobName": "%s-*"}},
		},
		want: jobOutcome{trained: "a1", scored: "c1! c1! c1 c2 c3"},
	},
	{
		name: "a transform whose answer was lost is taken over", pipeline: "slost", props: gated(byAUC),
		faults: []emulator.Fault{lost("TransformJob")},
		want:   jobOutcome{trained: "a1", scored: "c1! c1!"},
	},
	{
		name: "a transform that fails is a failure with its log", pipeline: "sfails", props: gated(byAUC),
		faults: []emulator.Fault{{Outcome: emulator.TransformFailed, Reason: "ClientError: See job logs for more information", Match: map[string]string{"TransformJobName": "%s-*"}}},
		want: jobOutcome{failed: "ClientError", trained: "a1", scored: "c1", served: "absent", says: []string{"failed at Score candidate",
			"#logStream:group=/aws/sagemaker/TransformJobs;prefix=ml-test-sfails-" + first + "-c1;"}},
	},

	// Register and Approval.
	{
		name: "a model that a person approves goes into service", pipeline: "aok", props: asksFor(600, 600),
		during: decides("Approved", "by ann: fine"),
		want:   jobOutcome{trained: "a1", scored: "c1", says: []string{"has a model that a person has to let into service"}},
	},
	{
		name: "a model that a person refuses does not", pipeline: "ano", props: asksFor(600, 600),
		during: decides("Rejected", "by ann: not on a Friday"),
		want:   jobOutcome{outcome: "not approved", trained: "a1", scored: "c1", served: "absent", says: []string{"the model was refused", "not on a Friday"}},
	},
	{
		name: "a model that nobody decides on is given up after reminders", pipeline: "alate", props: asksFor(4, 1),
		want: jobOutcome{outcome: "approval timed out", trained: "a1", scored: "c1", served: "absent", says: []string{"reminder 1", "nobody decided within 4 seconds"}},
	},
	{
		name: "a model that waits makes way for that of a later run", pipeline: "aover", props: asksFor(600, 600),
		during: func(t *testing.T, l *lab, s jobSituation) {
			l.waitForPackage(t, s.pipeline)
			_, err := l.sm.CreateModelPackage(t.Context(), &sagemaker.CreateModelPackageInput{
				ModelPackageGroupName: aws.String(prefix(s.pipeline)), ModelApprovalStatus: types.ModelApprovalStatusPendingManualApproval,
				CustomerMetadataProperties: map[string]string{"run": second},
				InferenceSpecification: &types.InferenceSpecification{
					Containers:            []types.ModelPackageContainerDefinition{{Image: aws.String("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"), ModelDataUrl: aws.String(l.oldModel)}},
					SupportedContentTypes: []string{"text/csv"}, SupportedResponseMIMETypes: []string{"text/csv"},
				},
			})
			ok(t, err)
		},
		want: jobOutcome{outcome: "superseded", trained: "a1", scored: "c1", served: "absent", says: []string{"a later run was registered", second}},
	},
	{
		name: "a person who starts again from the deployment is asked again where models are approved", pipeline: "aagain", props: asksFor(600, 600),
		before: func(t *testing.T, l *lab, s jobSituation, machine string, input map[string]any) {
			refuse := func() { decides("Rejected", "by ann: no")(t, l, s) }
			if r := l.execute(t, machine, "before", input, refuse); r.error != "" {
				t.Fatalf("the execution before failed: %s: %s", r.error, r.cause)
			}
			input["resume"] = map[string]any{"from": "deploy", "model": prefix(s.pipeline) + "-" + first, "by": "ann", "reason": "a test"}
		},
		during: func(t *testing.T, l *lab, s jobSituation) {
			for len(l.packages(t, s.pipeline)) < 2 {
				time.Sleep(50 * time.Millisecond)
			}
			decides("Approved", "by bob: yes")(t, l, s)
		},
		want: jobOutcome{trained: "a1", scored: "c1"},
	},
	{
		name: "a rollback asks nobody", pipeline: "aback", props: asksFor(600, 600),
		before: func(t *testing.T, l *lab, s jobSituation, machine string, input map[string]any) {
			approve := func() { decides("Approved", "by ann: yes")(t, l, s) }
			if r := l.execute(t, machine, "before", input, approve); r.error != "" {
				t.Fatalf("the execution before failed: %s: %s", r.error, r.cause)
			}
			input["resume"] = map[string]any{"from": "deploy", "model": prefix(s.pipeline) + "-" + first, "by": "ann", "reason": "a test", "rollback": true}
		},
		want: jobOutcome{trained: "a1", scored: "c1", check: func(t *testing.T, l *lab, s jobSituation, _ result) {
			if n := len(l.packages(t, s.pipeline)); n != 1 {
				t.Errorf("there are %d model packages", n)
			}
		}},
	},
	{
		name: "a model package whose answer was lost is not registered twice", pipeline: "alost", props: gated(byAUC),
		faults: []emulator.Fault{{Operation: "CreateModelPackage", Code: "InternalFailure", Performed: true, Match: map[string]string{"ModelPackageGroupName": "%s"}}},
		want:   jobOutcome{trained: "a1", scored: "c1", check: checkPackage("Approved")},
	},
}

// earlier is a run before the one of every situation.
const earlier = "20251231t020000z"

// checkPackage looks at the one model package of the pipeline.
func checkPackage(status types.ModelApprovalStatus) func(*testing.T, *lab, jobSituation, result) {
	return func(t *testing.T, l *lab, s jobSituation, _ result) {
		packages := l.packages(t, s.pipeline)
		if len(packages) != 1 {
			t.Fatalf("there are %d model packages", len(packages))
		}
		p, err := l.sm.DescribeModelPackage(t.Context(), &sagemaker.DescribeModelPackageInput{ModelPackageName: packages[0].ModelPackageArn})
		ok(t, err)
		job := prefix(s.pipeline) + "-" + first
		if p.ModelApprovalStatus != status || !strings.HasSuffix(aws.ToString(p.InferenceSpecification.Containers[0].ModelDataUrl), job+"/output/model.tar.gz") ||
			aws.ToString(p.ModelMetrics.ModelQuality.Statistics.S3Uri) != "s3://"+bucketName+"/"+s.pipeline+"/evaluations/"+job+".json" {
			t.Errorf("the package is %s, %v, %v", p.ModelApprovalStatus, p.InferenceSpecification.Containers, p.ModelMetrics)
		}
		for name, want := range map[string]string{"run": first, "trainingJob": job, "decision": "first", "metric": "auc", "rows": "400", "querySha256": strings.Repeat("0", 64), "bounds": "none"} {
			if got := p.CustomerMetadataProperties[name]; got != want {
				t.Errorf("the metadata %q is %q, want %q", name, got, want)
			}
		}
		t.Log(aws.ToString(p.ModelPackageDescription), p.CustomerMetadataProperties)
	}
}

// packages are the pipeline's, the newest first.
func (l *lab) packages(t *testing.T, name string) []types.ModelPackageSummary {
	t.Helper()
	out, err := l.sm.ListModelPackages(t.Context(), &sagemaker.ListModelPackagesInput{
		ModelPackageGroupName: aws.String(prefix(name)), SortBy: types.ModelPackageSortByCreationTime, SortOrder: types.SortOrderDescending,
	})
	ok(t, err)
	return out.ModelPackageSummaryList
}

// waitForPackage waits until the run has registered its model.
func (l *lab) waitForPackage(t *testing.T, name string) *string {
	t.Helper()
	for {
		if packages := l.packages(t, name); len(packages) > 0 {
			return packages[0].ModelPackageArn
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// decides is a person who decides on the model as soon as it is registered.
func decides(status types.ModelApprovalStatus, words string) func(*testing.T, *lab, jobSituation) {
	return func(t *testing.T, l *lab, s jobSituation) {
		_, err := l.sm.UpdateModelPackage(t.Context(), &sagemaker.UpdateModelPackageInput{
			ModelPackageArn: l.waitForPackage(t, s.pipeline), ModelApprovalStatus: status, ApprovalDescription: aws.String(words),
		})
		ok(t, err)
	}
}

// checkHistory counts what a successful run costs, and looks that nothing in it grows with the data.
func (l *lab) checkHistory(t *testing.T, r result) {
	t.Helper()
	pages := sfn.NewGetExecutionHistoryPaginator(l.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(r.arn), MaxResults: 1000})
	transitions, largest := 0, 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		ok(t, err)
		for _, e := range page.Events {
			if d := e.StateEnteredEventDetails; d != nil {
				transitions++
				largest = max(largest, len(aws.ToString(d.Input)))
			}
			if d := e.StateExitedEventDetails; d != nil {
				largest = max(largest, len(aws.ToString(d.Output)))
			}
		}
	}
	t.Logf("%d transitions; the largest input or output of a state has %d bytes", transitions, largest)
	// The shortest way has 33; the local AWS's endpoint takes some looks.
	if transitions < 33 || largest == 0 || largest > 16_384 {
		t.Errorf("%d transitions, and %d bytes", transitions, largest)
	}
}

// abort starts the run and stops it as soon as its job runs.
func (l *lab) abort(t *testing.T, machine string, input map[string]any, job string) {
	t.Helper()
	b, err := json.Marshal(input)
	ok(t, err)
	started, err := l.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String("aborted"), Input: aws.String(string(b))})
	ok(t, err)
	status := func() types.TrainingJobStatus {
		d, err := l.sm.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String(job)})
		if err != nil {
			return ""
		}
		return d.TrainingJobStatus
	}
	for status() != types.TrainingJobStatusInProgress {
		time.Sleep(50 * time.Millisecond)
	}
	_, err = l.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: started.ExecutionArn})
	ok(t, err)
	for status() != types.TrainingJobStatusStopped {
		time.Sleep(50 * time.Millisecond)
	}
}

func TestARunGetsItsJobsWhateverItTakes(t *testing.T) {
	t.Parallel() // what uses jsii has ended by then
	l := newLab(t, "0.1")
	l.oldModel = l.trainOld(t)
	results := make([]result, len(jobSituations))
	t.Run("executing", func(t *testing.T) {
		for i, s := range jobSituations {
			t.Run(s.pipeline, func(t *testing.T) {
				t.Parallel() // the templates are there; nothing here uses jsii
				results[i] = l.playJobs(t, s)
			})
		}
	})
	notices := l.notices(t)
	for i, s := range jobSituations {
		if results[i].arn != "" {
			t.Run(s.name, func(t *testing.T) { l.checkJobs(t, s, results[i], notices[results[i].arn]) })
		}
	}
}

// playJobs deploys the situation's workflow, brings the situation about and executes the run.
func (l *lab) playJobs(t *testing.T, s jobSituation) result {
	machine := l.deploy(t, s.pipeline)
	input := l.export(t, s.pipeline, first)
	if s.before != nil {
		s.before(t, l, s, machine, input)
	}
	for _, f := range s.faults {
		l.order(t, s.pipeline, f)
	}
	return l.execute(t, machine, first, input, func() {
		if s.during != nil {
			s.during(t, l, s)
		}
	})
}

func (l *lab) checkJobs(t *testing.T, s jobSituation, r result, notices []notice) {
	w := s.want
	if r.error != w.failed {
		t.Fatalf("the execution ended with %q, want %q; cause: %s", r.error, w.failed, r.cause)
	}
	told := r.cause
	for _, n := range notices {
		told += "\n" + n.message
		t.Logf("%s\n%s", n.subject, n.message)
	}
	for _, want := range w.says {
		if !strings.Contains(told, want) {
			t.Errorf("nothing says %q of\n%s", want, told)
		}
	}
	if w.failed == "" {
		var output struct{ Outcome string }
		ok(t, json.Unmarshal([]byte(r.output), &output))
		if want := orElse(w.outcome, "succeeded"); output.Outcome != want {
			t.Errorf("the outcome is %q, want %q: %s", output.Outcome, want, told)
		}
	}
	if got, types := l.jobs(t, s.pipeline, "TrainingJob"); w.trained != "" && got != w.trained || w.types != "" && types != w.types {
		t.Errorf("the training jobs are %q on %q, want %q on %q", got, types, w.trained, w.types)
	}
	if got, _ := l.jobs(t, s.pipeline, "TransformJob"); got != w.scored {
		t.Errorf("the transform jobs are %q, want %q", got, w.scored)
	}
	want := prefix(s.pipeline) + "-" + first + w.served
	switch w.served {
	case "absent":
		want = ""
	case "earlier":
		want = prefix(s.pipeline) + "-" + earlier
	}
	if status, config := l.endpoint(t, prefix(s.pipeline)); !strings.HasPrefix(config, want) || (config == "") != (want == "") {
		t.Errorf("the endpoint is %s on %q, want %q", status, config, want)
	}
	if w.check != nil {
		w.check(t, l, s, r)
	}
}

// jobs are the jobs of a kind that a pipeline's executions asked for, by what comes behind the run in their names, and their instance
// types.
func (l *lab) jobs(t *testing.T, name, kind string) (asked, types string) {
	t.Helper()
	all, err := l.emulator.Calls(t.Context())
	ok(t, err)
	var made, on []string
	for _, c := range all {
		var request map[string]any
		ok(t, json.Unmarshal(c.Request, &request))
		suffix, mine := strings.CutPrefix(fmt.Sprint(request[kind+"Name"]), prefix(name)+"-"+first)
		if c.Source != "states" || c.Operation != "Create"+kind || !mine {
			continue
		}
		suffix = orElse(strings.TrimPrefix(suffix, "-"), "a1")
		if c.Error != nil {
			suffix += "!"
		}
		made = append(made, suffix)
		resources, _ := request[map[string]string{"TrainingJob": "ResourceConfig", "TransformJob": "TransformResources"}[kind]].(map[string]any)
		on = append(on, fmt.Sprint(resources["InstanceType"]))
	}
	return strings.Join(made, " "), strings.Join(on, " ")
}
