package constructs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/outcome"
)

// TransformProps says what the batch transforms of a workflow run on: those that score a hold-out, and those that score batches.
type TransformProps struct {
	// InstanceTypes in the order of preference. The next one is taken when AWS has no machine of the one before. One to five.
	// Default: the endpoint's, if batch transform has it, then those of the training.
	InstanceTypes []string
	// InstanceCount is how many machines share the files.
	// Default: 1.
	InstanceCount int
	// MaxRuntime is how long a transform may run; the workflow stops it then, as SageMaker doesn't.
	// Default: 1 hour.
	MaxRuntime awscdk.Duration
}

// DefaultTransformHours is more than a hold-out takes on the smallest machine.
const DefaultTransformHours = 1

func (p TransformProps) withDefaults(training TrainingProps, endpoint EndpointProps) TransformProps {
	if len(p.InstanceTypes) == 0 {
		if transforms(endpoint.InstanceType) {
			p.InstanceTypes = append(p.InstanceTypes, endpoint.InstanceType)
		}
		for _, instanceType := range training.InstanceTypes {
			if len(p.InstanceTypes) < maxInstanceTypes && !slices.Contains(p.InstanceTypes, instanceType) {
				p.InstanceTypes = append(p.InstanceTypes, instanceType)
			}
		}
	}
	if p.InstanceCount == 0 {
		p.InstanceCount = 1
	}
	if p.MaxRuntime == nil {
		p.MaxRuntime = awscdk.Duration_Hours(jsii.Number(DefaultTransformHours))
	}
	return p
}

// transforms says whether batch transform has the instance type of an endpoint: it has no burstable ones and none of Inferentia.
// Source: TransformInstanceType beside ProductionVariantInstanceType in SageMaker's API model.
func transforms(instanceType string) bool {
	family, _, _ := strings.Cut(strings.TrimPrefix(instanceType, "ml."), ".")
	return instanceType != "" && !strings.HasPrefix(family, "t") && !strings.HasPrefix(family, "inf")
}

// The steps of the scoring, as notices call them.
const (
	stepChampion       = "Find champion"
	stepScore          = "Score candidate"
	stepScoreChampion  = "Score champion"
	stepDecide         = "Decide"
	transformJobsRule  = "StepFunctionsGetEventsForSageMakerTransformJobsRule"
	candidateSuffix    = "c"
	championSuffix     = "m"
	transformResource  = "transform-job"
	transformInputCSV  = "$[1:]"
	transformOutputCSV = "$[0,-1]"
)

// score makes the states that compare the trained model with the one in service on the run's hold-out, and end the run where it is
// not better. Without a gate there is nothing to compare.
func (f *flow) score(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	if f.props.Gate == nil {
		return then
	}
	notBetter := f.tellOutcome(outcome.NotBetter)

	decide := f.invoke(stepDecide, f.props.Evaluate, map[string]any{
		"command": "decide", "run": jsonata(`$run`), "job": jsonata(`$job`),
		"champion": jsonata(`$compare ? $champion.model : ''`),
		"manifest": jsonata(manifestKey),
	}, taskProps{
		comment: "The candidate's scores and the champion's on the same rows, by the gate's metric and thresholds.",
		step:    stepDecide,
		assign:  variables{"decision": jsonata(`$states.result.Payload`)},
	})
	good := f.choice("Good enough?", "", failing(stepDecide, "Decide.Malformed",
		`'the evaluation answered ' & $substring($string($decision), 0, 500) & ' where "better", "first" or "not better" was due'`))
	decide.Next(good)
	good.
		When(condition(`$decision.decision in ['`+string(evaluation.Better)+`', '`+string(evaluation.First)+`']`), then, nil).
		When(condition(`$decision.decision = '`+string(evaluation.NotBetter)+`'`), notBetter, when("The model in service stays.", failing(stepDecide, "", `$string($decision.reason)`))).
		Otherwise(f.failed)

	champion := f.scoring(scoring{
		step: stepScoreChampion, ended: "Champion scored?", look: "Look at champion's scoring", wait: "Wait to score champion",
		watch: "Wait for champion's scoring", stop: "Stop champion's scoring",
		comment: "The model in service on the same rows.",
		suffix:  championSuffix, model: `$champion.model`,
	}, decide)
	compared := f.choice("Champion to be scored?", "", nil)
	compared.When(condition(`$compare and $not($known)`), champion, when("", f.begin())).
		Otherwise(decide)
	candidate := f.scoring(scoring{
		step: stepScore, ended: "Candidate scored?", look: "Look at candidate's scoring", wait: "Wait to score candidate",
		watch: "Wait for candidate's scoring", stop: "Stop candidate's scoring",
		comment: "The trained model on the run's hold-out.",
		suffix:  candidateSuffix, model: `$job`,
	}, compared)

	find := f.invoke(stepChampion, f.props.Evaluate, map[string]any{
		"command": "champion", "run": jsonata(`$run`), "job": jsonata(`$job`), "model": jsonata(`$job`), "manifest": jsonata(manifestKey),
	}, taskProps{
		comment: "Which model is in service, and whether the candidate can be compared with it.",
		step:    stepChampion,
		assign: variables{
			"champion": jsonata(`$type($states.result.Payload.champion) = 'object' ? {'model': $string($states.result.Payload.champion.model), 'config': $string($states.result.Payload.champion.config)} : ''`),
			"compare":  jsonata(`$states.result.Payload.compare = true and $type($states.result.Payload.champion) = 'object'`),
			"known":    jsonata(`$states.result.Payload.known = true`),
			"refused":  jsonata(`$type($states.result.Payload.refused) = 'string' ? $states.result.Payload.refused : ''`),
			"holdout":  jsonata(`$type($states.result.Payload.holdout) = 'string' ? {'uri': $states.result.Payload.holdout, 'content': $type($states.result.Payload.content) = 'string' ? $states.result.Payload.content : 'text/csv'} : {'uri': '', 'content': ''}`),
		},
	})
	allowed := f.choice("May it be compared?", "", failing(stepChampion, "FindChampion.NoHoldout", `'the evaluation named no hold-out of this run'`))
	find.Next(allowed)
	allowed.
		When(condition(`$refused != ''`), notBetter, when("The model in service stays.", failing(stepChampion, "", `$refused`))).
		When(condition(`$holdout.uri != ''`), candidate, when("", f.begin())).
		Otherwise(f.failed)
	return find
}

// manifestKey is the key of the run's manifest.
const manifestKey = `$type(` + input + `.manifest) = 'string' ? ` + input + `.manifest : ''`

// scoring is a batch transform of the hold-out by one model.
type scoring struct {
	step, ended, look, wait, watch, stop string
	comment                              string
	suffix                               string
	// model is a JSONata expression of its name.
	model string
}

// scoring makes the states of a batch transform of the hold-out: the label of each row, and the model's answer to its features.
func (f *flow) scoring(s scoring, then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	return f.runJob(f.transform(transform{
		model:   s.model,
		input:   `$holdout.uri`,
		content: `$holdout.content`,
		output:  fmt.Sprintf(`('%s' & $job & '/' & %s & '/')`, evaluation.AllScoresPrefix(f.props.Pipeline), s.model),
		filter:  map[string]any{"InputFilter": transformInputCSV, "JoinSource": "Input", "OutputFilter": transformOutputCSV},
		job: job{
			comment: s.comment, errors: "Score", create: s.step, ended: s.ended, look: s.look, wait: s.wait, watch: s.watch, stop: s.stop,
			name: fmt.Sprintf(`('%s-' & $run & '-%s' & $string($attempt))`, f.props.Name, s.suffix),
		},
	}), then)
}

// transform is a batch transform: what its job reads, by which model, and where it writes.
type transform struct {
	// job has its names and what it assigns; the rest comes from here.
	job job
	// model, input (the s3:// address of a ManifestFile), content (its files' type) and output (a prefix of keys, with a slash at its
	// end) are JSONata expressions.
	model, input, content, output string
	// filter is the job's DataProcessing: which columns the model gets and which are written.
	filter map[string]any
}

// transform makes the job of a batch transform, for runJob.
func (f *flow) transform(t transform) job {
	p := f.props.Transform
	to := fmt.Sprintf(`('s3://%s/' & %s)`, *f.props.Bucket.BucketName(), t.output)
	written := map[string]any{"S3OutputPath": jsonata(to), "Accept": "text/csv", "AssembleWith": "Line"}
	if f.key != nil {
		written["KmsKeyId"] = f.key.KeyArn()
	}
	j := t.job
	j.kind, j.instances, j.instanceTypes = transformJob, p.InstanceCount, p.InstanceTypes
	j.timeoutSeconds = int(*p.MaxRuntime.ToSeconds(nil)) + startingHours*60*60
	j.arguments = map[string]any{
		"ModelName": jsonata(t.model),
		"TransformInput": map[string]any{
			"DataSource":  map[string]any{"S3DataSource": map[string]any{"S3DataType": "ManifestFile", "S3Uri": jsonata(t.input)}},
			"ContentType": jsonata(t.content), "SplitType": "Line", "CompressionType": "None",
		},
		"BatchStrategy":   "MultiRecord",
		"TransformOutput": written,
		"TransformResources": f.byInstanceType(p.InstanceTypes, func(instanceType string) map[string]any {
			return f.machines(instanceType, map[string]any{"InstanceCount": p.InstanceCount})
		}),
		"DataProcessing": t.filter,
		"Tags":           f.tags(),
	}
	j.isOurs = fmt.Sprintf(`$states.result.ModelName = %s and $states.result.TransformInput.DataSource.S3DataSource.S3Uri = %s and $states.result.TransformOutput.S3OutputPath = %s`, t.model, t.input, to)
	j.anew = `false`
	assign := variables{}
	maps.Copy(assign, j.assign)
	j.assign = assign
	return j
}

// scorePermissions are what the workflow itself calls to score. Source of the .sync part: the Step Functions developer guide,
// "Create and manage an Amazon SageMaker AI transform job", IAM.
func (f *flow) scorePermissions() []awsiam.PolicyStatement {
	if !f.scoresFiles() {
		return nil
	}
	return f.jobPermissions(transformJob, "Score", transformResource, transformJobsRule)
}

// scoreModelPermissions are what a batch transform does as the role of its model. Source: the SageMaker developer guide,
// "CreateModel API: Execution Role Permissions", and its page on batch transform.
func (f *flow) scoreModelPermissions() []awsiam.PolicyStatement {
	if !f.scoresFiles() {
		return nil
	}
	bucket := f.props.Bucket
	statements := []awsiam.PolicyStatement{
		allow("ReadRuns", []string{"s3:GetObject"}, bucket.ArnForObjects(jsii.String(f.props.Pipeline+"/runs/*"))),
		allow("WriteScores", []string{"s3:PutObject"}, bucket.ArnForObjects(jsii.String(evaluation.AllScoresPrefix(f.props.Pipeline)+"*"))),
		allowIf("ListRuns", []string{"s3:ListBucket"}, map[string]any{
			"StringLike": map[string]any{"s3:prefix": f.props.Pipeline + "/*"},
		}, bucket.BucketArn()),
	}
	if f.key != nil {
		statements = append(statements, allow("SealScores", []string{"kms:Encrypt", "kms:GenerateDataKey"}, f.key.KeyArn()))
		if !f.transformsOnLocalDisks() {
			statements = append(statements, f.volumeKey())
		}
	}
	return statements
}

// transformsOnLocalDisks says whether no instance type of the list takes a key for its disks.
func (f *flow) transformsOnLocalDisks() bool {
	return !slices.ContainsFunc(f.props.Transform.InstanceTypes, func(t string) bool { return !hasLocalDisk(t) })
}
