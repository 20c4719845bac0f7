package constructs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/service"
)

// ApprovalProps says how long a model waits for a person.
type ApprovalProps struct {
	// Timeout is how long it waits in all.
	// Default: 72 hours.
	Timeout awscdk.Duration
	// RemindAfter is how long after the question, and after each reminder, people are reminded.
	// Default: 24 hours.
	RemindAfter awscdk.Duration
}

const (
	// DefaultApprovalHours leaves a weekend to decide in.
	DefaultApprovalHours = 72
	// DefaultReminderHours reminds once a day.
	DefaultReminderHours = 24
	// slowestApprovalLook is how long a decision may go unnoticed, in seconds: a person who approves doesn't stand by.
	slowestApprovalLook = 15 * 60
	// maxApprovalLooks keeps the history of an execution that waits for weeks far below its 25,000 events: a look is about ten.
	maxApprovalLooks = 1500
)

func (p ApprovalProps) withDefaults() ApprovalProps {
	if p.Timeout == nil {
		p.Timeout = awscdk.Duration_Hours(jsii.Number(DefaultApprovalHours))
	}
	if p.RemindAfter == nil {
		p.RemindAfter = awscdk.Duration_Hours(jsii.Number(DefaultReminderHours))
	}
	return p
}

// The steps of the registration, as notices call them.
const (
	stepRegister = "Register model"
	stepApproval = "Approval"
)

// register makes the state that writes the model into the registry, with what it was measured by and where its data comes from. The
// group of the packages has the pipeline's name and is the stack's.
func (f *flow) register(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	status := "Approved"
	if f.props.Approval != nil {
		status = "PendingManualApproval"
	}
	machines := slices.Clone(f.props.Transform.InstanceTypes)
	inference := map[string]any{
		"Containers":                      []any{map[string]any{"Image": f.image.URI, "ModelDataUrl": jsonata(`$artifact`)}},
		"SupportedContentTypes":           []string{"text/csv"},
		"SupportedResponseMIMETypes":      []string{"text/csv"},
		"SupportedTransformInstanceTypes": machines,
	}
	if serving := f.props.Endpoint.InstanceType; serving != "" {
		inference["SupportedRealtimeInferenceInstanceTypes"] = []string{serving}
	}
	arguments := map[string]any{
		"ModelPackageGroupName":      f.props.Name,
		"ModelPackageDescription":    jsonata(descriptionExpression),
		"InferenceSpecification":     inference,
		"ModelApprovalStatus":        status,
		"CustomerMetadataProperties": jsonata(f.metadataExpression()),
		"ClientToken":                jsonata(f.tokenExpression()),
	}
	if f.props.Gate != nil {
		arguments["ModelMetrics"] = map[string]any{"ModelQuality": map[string]any{"Statistics": map[string]any{
			"ContentType": "application/json",
			"S3Uri":       jsonata(fmt.Sprintf(`'s3://%s/%s' & $job & '.json'`, *f.props.Bucket.BucketName(), evaluation.Prefix(f.props.Pipeline))),
		}}}
	}
	register := f.task(stepRegister, "aws-sdk:sagemaker:createModelPackage", taskProps{
		comment:   "A version of the pipeline's model, for people, the approval and `datapipeline explain`.",
		arguments: arguments,
		assign:    variables{"package": jsonata(`$states.result.ModelPackageArn`)},
		step:      stepRegister,
		// Safe to repeat: the token makes a request whose answer was lost give the package that it has made.
		retries: []*awsstepfunctions.RetryProps{f.retry(4, "SageMaker.SageMakerException", "SageMaker.SdkClientException", "SageMaker.ConflictException")},
	})
	register.Next(then)
	return register
}

// descriptionExpression is one line: SageMaker takes no line ends, and 1,024 characters.
const descriptionExpression = `$substring($replace('Run ' & $run & ', ' & $string($rows) & ' rows' & ($type($decision.reason) = 'string' ? ': ' & $decision.reason : ''), /[\x00-\x1f\x7f]+/, ' '), 0, 1000)`

// metadataExpression is what the registry says of the model: the run, its lineage and what decided. SageMaker takes 256 letters,
// digits, blanks and _.:/=+-@ of a value, and no empty one. Source: CustomerMetadataValue in its API model.
func (f *flow) metadataExpression() string {
	lineage, err := json.Marshal([]string{"manifest", "querySha256", "schemaSha256", "generation", "bounds", "window", "rows"})
	check(err)
	return fmt.Sprintf(`(
  $clean := function($text) { $substring($replace($text, /[\x00-\x1f!-*,;-<>?\x5b-\x5e\x60\x7b-\x7f]/, '_'), 0, 256) };
  $said := function($name, $value) { $type($value) in ['string', 'number'] and $string($value) != '' ? {$name: $clean($string($value))} : {} };
  $lineage := $type(%[1]s.lineage) = 'object' ? %[1]s.lineage : {};
  $merge([
    $map(%[2]s, function($name) { $said($name, $lookup($lineage, $name)) }),
    {'run': $run, 'trainingJob': $job, 'image': $clean('%[3]s')},
    $said('decision', $decision.decision), $said('metric', $decision.metric), $said('value', $decision.value),
    $said('low', $decision.low), $said('high', $decision.high),
    $type($champion) = 'object' ? $said('champion', $champion.model) : {}, $said('championValue', $decision.championValue)
  ])
)`, input, lineage, f.image.URI)
}

// tokenExpression names this execution's registration of this model: the pipeline, the beginning of the execution and the job, in the
// 36 characters that SageMaker takes. Another execution registers the model anew: a person may have refused it meanwhile.
func (f *flow) tokenExpression() string {
	sum := sha256.Sum256([]byte(f.props.Name))
	return fmt.Sprintf(`'%s-' & $formatBase($toMillis($states.context.Execution.StartTime), 36) & '-' & $substringAfter($job, '%s-')`,
		hex.EncodeToString(sum[:3]), f.props.Name)
}

// approve makes the states that wait for a person's decision on the registered model. Nothing is held meanwhile, no lease and no
// machine. Without an approval nobody is asked.
func (f *flow) approve(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	if f.props.Approval == nil {
		return then
	}
	p := f.props.Approval
	timeout, remind := int(*p.Timeout.ToSeconds(nil)), int(*p.RemindAfter.ToSeconds(nil))
	look := f.invoke("Look at approval", f.props.Release, map[string]any{
		"command": "approval", "run": jsonata(`$run`), "package": jsonata(`$package`),
		"asked": jsonata(`$question.asked`), "reminded": jsonata(`$question.reminded`),
		"timeoutSeconds": timeout, "remindSeconds": remind,
	}, taskProps{
		comment: "What people say of the model package, and whether a later run's waits.",
		step:    stepApproval,
		assign:  variables{"approval": jsonata(`$states.result.Payload`)},
	})
	decided := f.choice("Approved?", "", failing(stepApproval, "Approval.Malformed",
		`'the release function answered ' & $substring($string($approval), 0, 500) & ' where a status was due'`))
	// Whoever can't be reached by the notice sees the model in the registry, and hears of the end.
	ask := f.task("Ask for approval", "sns:publish", taskProps{
		comment:     "The question, and each reminder.",
		arguments:   f.question(),
		retries:     []*awsstepfunctions.RetryProps{f.retry(3, "States.TaskFailed")},
		onError:     look,
		keepFailure: true,
	})
	wait := f.waitFor("Wait for approval", "delay")
	begin := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String("Approval needed"), &awsstepfunctions.PassJsonataProps{
		Comment: jsii.String("The time begins in which a person decides."),
		Assign:  variables{"question": map[string]any{"asked": jsonata(`$states.context.State.EnteredTime`), "reminded": 0}, "delay": f.pollSeconds()}.pointer(),
	})
	begin.Next(ask)
	ask.Next(look)
	look.Next(decided)
	wait.Next(look)

	said := func(what string) string {
		return fmt.Sprintf(`%s & ($string($approval.by) = '' ? '' : ' by ' & $string($approval.by)) & ($string($approval.reason) = '' ? '' : ': ' & $string($approval.reason))`, what)
	}
	is := func(status service.Status) awsstepfunctions.Condition {
		return condition(`$approval.status = '` + string(status) + `'`)
	}
	slowest := max(slowestApprovalLook, timeout/maxApprovalLooks, f.pollSeconds())
	later := jsonata(fmt.Sprintf(`$min([$delay * 2, %d])`, slowest))
	decided.
		When(is(service.Approved), then, when("", nil)).
		When(is(service.Refused), f.tellOutcome(outcome.NotApproved), when("", failing(stepApproval, "", said(`'the model was refused'`)))).
		When(is(service.Superseded), f.superseded, when("A later run's model waits: nobody has to decide on this one.", failing(stepApproval, "", said(`'the model of a later run was registered while this one waited for a person'`)))).
		When(is(service.TimedOut), f.tellOutcome(outcome.ApprovalTimedOut), when("", failing(stepApproval, "", `'nobody decided within `+duration(p.Timeout)+`'`))).
		When(condition(`$approval.status = '`+string(service.Pending)+`' and $approval.remind = true`), ask, when("", variables{
			"question": map[string]any{"asked": jsonata(`$question.asked`), "reminded": jsonata(`$question.reminded + 1`)},
		})).
		When(is(service.Pending), wait, when("", variables{"delay": later})).
		Otherwise(f.failed)
	return begin
}

// question is the notice by which people are asked, or reminded.
func (f *flow) question() map[string]any {
	text := func(value string) map[string]any { return map[string]any{"DataType": "String", "StringValue": value} }
	return map[string]any{
		"TopicArn": f.props.Topic.TopicArn(),
		"Subject":  jsonata(fmt.Sprintf(`$substring('[%s] run ' & $run & ($question.reminded = 0 ? ' asks for approval' : ' still waits for approval'), 0, 100)`, f.props.Name)),
		"Message": jsonata(fmt.Sprintf(`'Run ' & $run & ' of %[1]s has a model that a person has to let into service.\n'
  & ($type($decision.reason) = 'string' ? '\nDecision of the gate: ' & $decision.reason : '')
  & '\nModel package: ' & $package
  & '\nAsked: ' & $question.asked & ($question.reminded = 0 ? '' : '; reminder ' & $string($question.reminded))
  & '\n\nWhat to do: datapipeline approve, or refuse, with the run ' & $run & '. Without a decision within %[2]s the run ends, and the model in service stays.'
  & '\n\nExecution: ' & $states.context.Execution.Id`, f.props.Name, duration(f.props.Approval.Timeout))),
		"MessageAttributes": map[string]any{
			"pipeline": text(f.props.Pipeline), "run": text(jsonata(`$run`)), "outcome": text("asks for approval"), "routine": text("false"),
		},
	}
}

// registerPermissions are what the workflow itself calls to register models.
func (f *flow) registerPermissions() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		allow("RegisterModels", []string{"sagemaker:CreateModelPackage"}, f.resource("model-package-group", f.props.Name), f.resource("model-package", f.props.Name+"/*")),
	}
}
