package constructs

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/outcome"
)

// The steps of a workflow, as its notices call them.
const (
	stepInput     = "Read input"
	stepTrain     = "Train"
	stepSignature = "Publish signature"
	stepModel     = "Create model"
	stepConfig    = "Create endpoint config"
	stepDeploy    = "Deploy"
	stepSmoke     = "Smoke test"
)

// failing assigns what a workflow knows of a failure that it has found itself: cause is a JSONata expression.
func failing(step, name, cause string) variables {
	return variables{"failure": map[string]any{"step": step, "error": name, "cause": jsonata(cause)}}
}

// caughtIn assigns what a workflow knows of a failure that AWS has told it.
func caughtIn(step string) variables {
	return variables{"failure": map[string]any{
		"step":  step,
		"error": jsonata(`$string($states.errorOutput.Error)`),
		"cause": jsonata(`$exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : 'AWS gave no reason'`),
	}}
}

// tellSuccess makes the states that announce a model in service.
func (f *flow) tellSuccess() awsstepfunctions.IChainable {
	return f.tellEnd("Tell success", "Served", f.notice("succeeded", fmt.Sprintf(`'[%s] run ' & $run & ' is in service'`, f.props.Name), fmt.Sprintf(`(
  $facts := $each($metrics, function($value, $name) { $name & ' ' & $string($value) });
  'Run ' & $run & ' of %s has trained a model and put it into service.\n'
  & '\nRows exported: ' & $string($rows)
  & '\nModel: ' & $job & ' (' & $artifact & ')'
  & '\nMetrics: ' & ($exists($facts) ? $join($facts, ', ') : 'the job reported none')
  & '\nEndpoint: %s serves ' & $job & '; before, ' & ($previousConfig = '' ? 'there was none' : 'it served ' & $previousConfig)
  & '\nSmoke test: it answered ' & $answer
  & '\nExecution: ' & $states.context.Execution.Id
)`, f.props.Name, f.props.Name)), map[string]any{
		"outcome": "succeeded", "endpointConfig": jsonata(`$job`), "previousEndpointConfig": jsonata(`$previousConfig`), "smoke": jsonata(`$number($answer)`),
	})
}

// tellOutcome makes the states that announce a deliberate end other than success. Whoever goes there has assigned $failure,
// whose step and cause say what was decided and why; its error is empty.
func (f *flow) tellOutcome(o outcome.Outcome) awsstepfunctions.IChainable {
	return f.tellEnd("Tell "+string(o), strings.ToUpper(string(o[:1]))+string(o[1:]), f.notice(string(o), fmt.Sprintf(`'[%s] run ' & $run & ' ended as: %s'`, f.props.Name, o), fmt.Sprintf(
		`'Run ' & $run & ' of %s has trained a model that is not put into service. The endpoint stays as it is.\n'
  & '\nWhy: ' & $failure.cause
  & '\nModel: ' & $job & ' (' & $artifact & ')'
  & '\nExecution: ' & $states.context.Execution.Id`, f.props.Name)), map[string]any{
		"outcome": string(o), "endpointConfig": nothing,
	})
}

// tellEnd makes a state that sends a notice, and the end after it, with an output of ends' members and those that every end
// has. A notice that can't be sent undoes nothing: it is in the output instead.
func (f *flow) tellEnd(id, end string, notice, ends map[string]any) awsstepfunctions.IChainable {
	output := func(notice string) map[string]any {
		members := map[string]any{
			"run": jsonata(`$run`), "pipeline": f.props.Pipeline, "rows": jsonata(`$rows`),
			"trainingJob": jsonata(`$job`), "model": jsonata(`$job`), "artifact": jsonata(`$artifact`), "metrics": jsonata(`$metrics`),
			"endpoint": f.props.Name, "notice": jsonata(notice),
		}
		maps.Copy(members, ends)
		return members
	}
	last := awsstepfunctions.Succeed_Jsonata(f.scope, jsii.String(end), nil)
	tell := awsstepfunctions.NewCustomState(f.scope, jsii.String(id), &awsstepfunctions.CustomStateProps{StateJson: &map[string]any{
		"Type":      "Task",
		"Resource":  fmt.Sprintf("arn:%s:states:::sns:publish", *f.stack.Partition()),
		"Arguments": notice,
		"Output":    output(`'sent'`),
		// Written out: the CDK drops the output of a catch that it adds to a custom state.
		"Catch": []any{map[string]any{
			"ErrorEquals": []string{"States.ALL"},
			"Output":      output(`'not sent: ' & $string($states.errorOutput.Error) & ($exists($states.errorOutput.Cause) ? ': ' & $states.errorOutput.Cause : '')`),
			"Next":        *last.StateId(),
		}},
	}})
	tell.AddRetry(f.retry(3, "States.TaskFailed"))
	tell.Next(last)
	return tell
}

// tellFailure makes the states that announce $failure and end the execution as failed.
func (f *flow) tellFailure() awsstepfunctions.IChainable {
	explain := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String("Explain"), &awsstepfunctions.PassJsonataProps{
		Comment: jsii.String("What went wrong in the service's own words, and what to do about it."),
		Assign:  variables{"why": jsonata(whyExpression), "error": jsonata(errorExpression)}.pointer(),
	})
	advise := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String("Advise"), &awsstepfunctions.PassJsonataProps{
		Assign: variables{"advice": jsonata(f.adviceExpression())}.pointer(),
	})
	tell := awsstepfunctions.NewCustomState(f.scope, jsii.String("Tell failure"), &awsstepfunctions.CustomStateProps{StateJson: &map[string]any{
		"Type":     "Task",
		"Resource": fmt.Sprintf("arn:%s:states:::sns:publish", *f.stack.Partition()),
		"Arguments": f.notice("failed", fmt.Sprintf(`'[%s] run ' & $run & ' failed at ' & $failure.step`, f.props.Name), fmt.Sprintf(`'Run ' & $run & ' of %s failed at ' & $failure.step & '.\n'
  & '\nWhy: ' & $error & ': ' & $why & '\n'
  & '\nWhat to do: ' & $advice & '\n'
  & '\nEndpoint: ' & (
      $asked ? '%s was asked to serve ' & $job & '; before, ' & ($previousConfig = '' ? 'there was none.' : 'it served ' & $previousConfig & '.')
    : $deleted ? 'the failed endpoint %s was deleted. The next run that gets this far creates it.'
    : '%s was not touched.')
  & '\nExecution: ' & $states.context.Execution.Id`, f.props.Name, f.props.Name, f.props.Name, f.props.Name)),
	}})
	failed := awsstepfunctions.Fail_Jsonata(f.scope, jsii.String("Failed"), &awsstepfunctions.FailJsonataProps{
		Error: jsii.String(jsonata(`$error`)),
		Cause: jsii.String(jsonata(`$failure.step & ': ' & $why & ' What to do: ' & $advice`)),
	})
	explain.Next(advise)
	advise.Next(tell)
	tell.AddRetry(f.retry(3, "States.TaskFailed"))
	tell.AddCatch(failed, nil)
	tell.Next(failed)
	return explain
}

// notice is a message on the topic: subject and message are JSONata expressions. SNS allows 100 ASCII characters of subject.
func (f *flow) notice(outcome, subject, message string) map[string]any {
	text := func(value string) map[string]any { return map[string]any{"DataType": "String", "StringValue": value} }
	return map[string]any{
		"TopicArn": f.props.Topic.TopicArn(),
		"Subject":  jsonata(`$substring(` + subject + `, 0, 100)`),
		"Message":  jsonata(message),
		"MessageAttributes": map[string]any{
			"pipeline": text(f.props.Pipeline), "run": text(jsonata(`$run`)), "outcome": text(outcome),
		},
	}
}

// whyExpression takes the reason out of a cause. That of a job that failed is the whole description of the job as JSON, cut
// off where it is long: so it is searched, not parsed. A backslash is \x5c because JSONata, looking for the end of a regular
// expression, takes a bracket after one as escaped.
const whyExpression = `(
  $found := $match($failure.cause, /"FailureReason":\s*"((?:[^\x5c"]|\x5c.){1,1500})"/, 1);
  $reason := $exists($found) ? $replace($replace($found[0].groups[0], /\x5c[nrt]/, ' '), /\x5c(.)/, '$1')
    : $contains($failure.cause, /"TrainingJobStatus":\s*"Stopped"/) ? 'the training job was stopped' & ($contains($failure.cause, 'MaxRuntimeExceeded') ? ' by its time limit (MaxRuntimeExceeded)' : '')
    : $failure.cause;
  $substring($reason, 0, 2000)
)`

// errorExpression names the error. "States.TaskFailed" says nothing; the reason of a failed job begins with its kind.
const errorExpression = `(
  $found := $match($failure.cause, /"FailureReason":\s*"([A-Za-z]{1,60}Error):/, 1);
  $exists($found) ? $found[0].groups[0]
    : $contains($failure.cause, /"TrainingJobStatus":\s*"Stopped"/) ? 'Train.Stopped'
    : $failure.error
)`

// advice is what to do about a failure.
type advice struct {
	// Step in which it happens; "" is every step.
	Step string `json:"step"`
	// Sign is a part of the error's name or text; "" is every error.
	Sign string `json:"sign"`
	Do   string `json:"do"`
}

// advices are tried in their order.
func (f *flow) advices() []advice {
	p, training, endpoint := f.props, f.props.Training.InstanceTypes[0], f.props.Endpoint.InstanceType
	log := "Read its log in CloudWatch, group /aws/sagemaker/TrainingJobs, streams that begin with the job's name."
	endpointLog := fmt.Sprintf("Read the container's log in CloudWatch, group /aws/sagemaker/Endpoints/%s.", p.Name)
	again := "Then start the state machine again with the input of this execution."
	denied := "A role, or the policy of the key or the bucket, refuses what the text names. If somebody changed one by hand, deploy the stack again. " + again
	return []advice{
		{stepInput, "", `Start the workflow through the export function, with {"scheduledTime": "2026-01-01T02:00:00Z"}, or with the input of an earlier execution.`},
		{"", "AccessDenied", denied},
		{"", "not authorized", denied},
		{stepTrain, "AlgorithmError", "The algorithm refuses the data or a hyperparameter. " + log + " Correct the query, the columns or the hyperparameters, and let the next run train."},
		{stepTrain, "ClientError", "The job can't read its data or its settings. " + log + " Correct what it names, deploy, and let the next run train."},
		{stepTrain, "ResourceLimitExceeded", fmt.Sprintf("The account's quota of machines is used up or too low. Look at Service Quotas, Amazon SageMaker, %q: wait for other jobs to end, or ask for more. ", training+" for training job usage") + again},
		{stepTrain, "CapacityError", fmt.Sprintf("AWS has no free %s at the moment. Start the state machine again later with the input of this execution, or choose another instance type.", training)},
		{stepTrain, "Train.Stopped", "A person stopped the job, or it reached its time limit (training.maxRuntimeSeconds): then allow it more time, a larger machine or fewer rounds. " + again},
		{stepTrain, "States.Timeout", "The job waited too long for its machine, or its time limit did not stop it. Look at the job in the SageMaker console. " + again},
		{stepTrain, "ResourceInUse", "Too many jobs of this run were started: every name is taken. Let the next run train."},
		{stepTrain, "", "Nothing was deployed. If the text speaks of an internal error or of throttling, start the state machine again with the input of this execution; else correct what it names first."},
		{stepSignature, "", "The model is trained, but can't be published without its signature. See that the export's object is still in the bucket. " + again},
		{stepModel, "", "The model is trained, but SageMaker refuses to register it. Correct what the text names. " + again},
		{stepConfig, "", "The model is there, but SageMaker refuses its endpoint config. Correct what the text names, often the endpoint's instance type. " + again},
		{stepDeploy, "ResourceLimitExceeded", fmt.Sprintf("The account's quota of machines is used up or too low. An update runs old and new machines side by side and needs room for both. Look at Service Quotas, Amazon SageMaker, %q. ", endpoint+" for endpoint usage") + again},
		{stepDeploy, "RolledBack", "The new model did not come up, and the one before it still serves. " + endpointLog + " " + again},
		{stepDeploy, "Replaced", "If what serves now is newer than this run, do nothing. Else start the state machine again with the input of this execution."},
		{stepDeploy, "EndpointFailed", "Nothing serves. " + endpointLog + " " + again + " It deletes the failed endpoint and creates it anew."},
		{stepDeploy, "NeedsAPerson", fmt.Sprintf("No request of a workflow can help an endpoint in this state. %s If it doesn't recover: aws sagemaker delete-endpoint --endpoint-name %s. %s", endpointLog, p.Name, again)},
		{stepDeploy, "TimedOut", "Somebody or something else keeps the endpoint busy, or SageMaker is slow today. Wait until the endpoint is InService. " + again},
		{stepSmoke, "", fmt.Sprintf("The endpoint serves the new model, which doesn't answer as it should. %s To serve the model before it again, if there was one: aws sagemaker update-endpoint --endpoint-name %s --endpoint-config-name, and the name of its config below.", endpointLog, p.Name)},
		{"", "", "Correct what the text names. " + again},
	}
}

// adviceExpression chooses among the advices.
func (f *flow) adviceExpression() string {
	table, err := json.Marshal(f.advices())
	check(err)
	return fmt.Sprintf(`(
  $said := $error & ' ' & $why;
  $found := $filter(%s, function($row) { $row.step in ['', $failure.step] and $contains($said, $row.sign) });
  $found[0].do
)`, table)
}
