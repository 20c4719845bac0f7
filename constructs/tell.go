package constructs

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

// The steps of a workflow, as its notices call them.
const (
	stepInput     = "Read input"
	stepTrain     = "Train"
	stepSignature = "Publish signature"
	stepModel     = "Create model"
	stepLease     = "Acquire lease"
	stepConfig    = "Create endpoint config"
	stepDeploy    = "Deploy"
	stepSmoke     = "Smoke test"
	stepPutBack   = "Put back"
	stepRecord    = "Record service"
	stepScale     = "Autoscaling"
)

// failing assigns what a workflow knows of a failure that it has found itself, or without a name of a decision: cause is a JSONata
// expression.
func failing(step, name, cause string) variables {
	if name == "" {
		name = nothing
	}
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

// tellSuccess makes the state that every run goes to whose model is in service, or whose scores are written.
func (f *flow) tellSuccess() awsstepfunctions.IChainable {
	return f.tellOutcome(outcome.Succeeded)
}

// tellOutcome makes the state for a deliberate end. Whoever goes there for another one than success has assigned $failure, whose
// step and cause say what was decided and why; its error is empty.
func (f *flow) tellOutcome(o outcome.Outcome) awsstepfunctions.IChainable {
	end := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String(strings.ToUpper(string(o[:1]))+string(o[1:])), &awsstepfunctions.PassJsonataProps{
		Assign: variables{"outcome": string(o)}.pointer(),
	})
	end.Next(f.end())
	return end
}

// tellFailure makes the state that every failure goes to, with $failure assigned. Error and cause are made readable there: those
// of a job are the whole description of the job, those of a function its answer as JSON.
func (f *flow) tellFailure() awsstepfunctions.IChainable {
	explain := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String("Explain"), &awsstepfunctions.PassJsonataProps{
		Comment: jsii.String("What went wrong, in the service's own words."),
		Assign: variables{
			"failure": jsonata(explainExpression),
			"outcome": jsonata(`$outcome = '` + string(outcome.RolledBack) + `' ? $outcome : '` + string(outcome.Failed) + `'`),
		}.pointer(),
	})
	explain.Next(f.end())
	return explain
}

// end makes the states that every run ends with, whatever became of it: the deploy lease is given back if it is held, people and
// machines are told once, and the execution ends. They are made once; each end goes there with $outcome assigned.
func (f *flow) end() awsstepfunctions.IChainable {
	if f.ending != nil {
		return f.ending
	}
	ended := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String("Ended"), &awsstepfunctions.PassJsonataProps{Outputs: f.output()})
	failed := awsstepfunctions.Fail_Jsonata(f.scope, jsii.String("Failed"), &awsstepfunctions.FailJsonataProps{
		Error: jsii.String(jsonata(`$failure.error`)),
		Cause: jsii.String(jsonata(`$failure.step & ': ' & $failure.cause`)),
	})
	how := f.choice("How did it end?", "What was told, or wasn't, changes nothing about it.", nil)
	how.When(condition(fmt.Sprintf(`$outcome in ['%s', '%s']`, outcome.Failed, outcome.RolledBack)), failed, nil).
		Otherwise(ended)

	short := f.task("Tell in short", "sns:publish", taskProps{
		comment:     "The function that tells failed: people hear of the end all the same.",
		arguments:   f.shortNotice(),
		assign:      variables{"notice": jsonata(`'sent in short, because ' & $notice`)},
		retries:     []*awsstepfunctions.RetryProps{f.retry(3, "States.TaskFailed")},
		onError:     how,
		keepFailure: true,
	})
	short.Next(how)
	tell := f.invoke("Tell", f.props.Notify, f.endEvent(), taskProps{
		comment:     "One notice, one event, the metrics and the clocks.",
		assign:      variables{"notice": "sent"},
		onError:     short,
		onErrorSets: variables{"notice": jsonata(`'the function ` + f.props.Name + `-notify failed: ' & $string($states.errorOutput.Error) & ($exists($states.errorOutput.Cause) ? ': ' & $substring($states.errorOutput.Cause, 0, 500) : '')`)},
	})
	tell.Next(how)
	release := f.invoke("Release lease", f.props.Release, map[string]any{
		"command": "release", "run": jsonata(`$run`), "execution": jsonata(executionArn),
	}, taskProps{
		comment:     "A lease that can't be given back is taken from this execution when it has ended.",
		onError:     tell,
		keepFailure: true,
	})
	release.Next(tell)
	leased := f.choice("Lease held?", "", nil)
	leased.When(condition(`$leased`), release, nil).
		Otherwise(tell)
	f.ending = leased
	return leased
}

// executionArn is the ARN of this execution.
const executionArn = "$states.context.Execution.Id"

// endEvent is the outcome.End of this run. What it leaves out the function knows.
func (f *flow) endEvent() map[string]any {
	wentWrong := func(member string) string {
		return jsonata(fmt.Sprintf(`$outcome = '%s' ? '' : $failure.%s`, outcome.Succeeded, member))
	}
	return map[string]any{
		"run": jsonata(`$run`), "outcome": jsonata(`$outcome`), "execution": jsonata(executionArn),
		"step": wentWrong("step"), "error": wentWrong("error"), "cause": wentWrong("cause"),
		"uncompared": jsonata(fmt.Sprintf(`$outcome = '%s' and $not($type($decision.championValue) = 'number')`, outcome.NotBetter)),
		"facts":      jsonata(f.factsExpression()),
	}
}

// factsExpression is the lines of the notice. What a run has not come to is left out.
func (f *flow) factsExpression() string {
	facts := []struct{ name, value string }{
		{"Started again", `($again := ` + input + `.resume; $type($again) = 'object' ? ($again.rollback = true ? 'to roll back' : 'from ' & $string($again.from)) & ' by ' & $string($again.by) & ': ' & $string($again.reason) : '')`},
		{"Rows exported", `$string($rows)`},
		{"Model", `$job = '' ? '' : $job & ($artifact = '' ? '' : ' (' & $artifact & ')')`},
		{"Metrics of the training job", `($values := $each($metrics, function($value, $name) { $name & ' ' & $string($value) }); $exists($values) ? $join($values, ', ') : '')`},
		{"Decision", `$type($decision.reason) = 'string' ? $decision.reason : ''`},
		{"Model package", `$package`},
	}
	if f.props.Endpoint.Kind == pipeline.Batch {
		facts = append(facts, struct{ name, value string }{"Scores", `$scores`})
	} else {
		facts = append(facts,
			struct{ name, value string }{"Endpoint", f.endpointExpression()},
			struct{ name, value string }{"Smoke test", `$exists($smoke.example) ? 'it answered ' & $string($smoke.example) & '; ' & $string($smoke.rows) & ' rows were asked, and the largest difference from the batch transform is ' & $string($smoke.largestDifference) : ''`},
			struct{ name, value string }{"Autoscaling", `$scaling`})
	}
	lines := make([]string, len(facts))
	for i, fact := range facts {
		lines[i] = fmt.Sprintf(`{'name': '%s', 'value': %s}`, fact.name, fact.value)
	}
	return "[$filter([\n  " + strings.Join(lines, ",\n  ") + "\n], function($fact) { $fact.value != '' })]"
}

// endpointExpression says what became of the endpoint.
func (f *flow) endpointExpression() string {
	return fmt.Sprintf(`(
  $before := $previousConfig = '' ? 'there was none in service' : 'it served ' & $previousConfig;
    $outcome = '%s' ? '%s serves ' & $config & '; before, ' & $before
  : $outcome = '%s' ? '%s serves ' & $previousConfig & ' as before'
  : $putBack ? '%s was to serve ' & $previousConfig & ' again; it was last seen ' & $endpoint.status & ' on ' & $endpoint.config
  : $asked and $endpoint.status = 'InService' and $endpoint.config = $config ? '%s serves ' & $config & '; before, ' & $before
  : $asked ? '%s was asked to serve ' & $config & '; before, ' & $before
  : $deleted ? 'the failed endpoint %s was deleted; the next run that gets this far creates it'
  : '%s was not touched'
)`, outcome.Succeeded, f.props.Name, outcome.RolledBack, f.props.Name, f.props.Name, f.props.Name, f.props.Name, f.props.Name, f.props.Name)
}

// shortNotice is what people get when the function that tells has failed. SNS allows 100 ASCII characters of subject.
func (f *flow) shortNotice() map[string]any {
	text := func(value string) map[string]any { return map[string]any{"DataType": "String", "StringValue": value} }
	return map[string]any{
		"TopicArn": f.props.Topic.TopicArn(),
		"Subject":  jsonata(fmt.Sprintf(`$substring('[%s] run ' & $run & ': ' & $outcome, 0, 100)`, f.props.Name)),
		"Message": jsonata(fmt.Sprintf(`'Run ' & $run & ' of %s ended: ' & $outcome & '.\n'
  & ($outcome = '%s' ? '' : '\nWhy: ' & $failure.step & ': ' & $failure.error & ($failure.error = '' ? '' : ': ') & $failure.cause & '\n')
  & '\nThis notice is short because ' & $notice
  & '\nExecution: ' & %s`, f.props.Name, outcome.Succeeded, executionArn)),
		"MessageAttributes": map[string]any{
			"pipeline": text(f.props.Pipeline), "run": text(jsonata(`$run`)), "outcome": text(jsonata(`$outcome`)), "routine": text("false"),
		},
	}
}

// output is what a run gives that has not failed.
func (f *flow) output() *map[string]any {
	members := map[string]any{
		"run": jsonata(`$run`), "pipeline": f.props.Pipeline, "outcome": jsonata(`$outcome`), "rows": jsonata(`$rows`),
		"trainingJob": jsonata(`$job`), "model": jsonata(`$job`), "artifact": jsonata(`$artifact`), "metrics": jsonata(`$metrics`),
		"package": jsonata(`$package`), "notice": jsonata(`$notice`),
	}
	if f.props.Endpoint.Kind == pipeline.Batch {
		members["scores"] = jsonata(`$scores`)
	} else {
		members["endpoint"] = f.props.Name
		members["endpointConfig"] = jsonata(`$outcome = '` + string(outcome.Succeeded) + `' ? $config : ''`)
		members["previousEndpointConfig"] = jsonata(`$previousConfig`)
		members["smoke"] = jsonata(`$smoke`)
	}
	return &members
}

// explainExpression makes $failure readable. What was put back, or could not be, is told with the failure that was its reason.
//
// The reason of a job that failed is in the whole description of the job as JSON, that of a function in its answer, cut off where it
// is long: so they are searched, not parsed. A backslash is \x5c because JSONata, looking for the end of a regular expression, takes
// a bracket after one as escaped. "States.TaskFailed" says nothing; the reason of a failed job begins with its kind. An error of a
// function that has no type of its own is one of Go's.
const explainExpression = `(
  $why := function($cause) {(
    $said := $match($cause, /"errorMessage":\s*"((?:[^\x5c"]|\x5cu[0-9a-fA-F]{4}|\x5c[^u]){1,1500})/, 1);
    $found := $match($cause, /"FailureReason":\s*"((?:[^\x5c"]|\x5c.){1,1500})"/, 1);
    $reason := $exists($said) ? $parse('"' & $said[0].groups[0] & '"')
      : $exists($found) ? $replace($replace($found[0].groups[0], /\x5c[nrt]/, ' '), /\x5c(.)/, '$1')
      : $contains($cause, /"TrainingJobStatus":\s*"Stopped"/) ? 'the training job was stopped' & ($contains($cause, 'MaxRuntimeExceeded') ? ' by its time limit (MaxRuntimeExceeded)' : '')
      : $cause;
    $substring($reason, 0, 2000)
  )};
  $what := function($failed) {(
    $found := $match($failed.cause, /"FailureReason":\s*"([A-Za-z]{1,60}Error):/, 1);
    $exists($found) ? $found[0].groups[0]
      : $contains($failed.cause, /"TrainingJobStatus":\s*"Stopped"/) ? 'Train.Stopped'
      : $contains($failed.error, /^(errorString|wrapErrors?|joinError|[A-Za-z]*OperationError)$/) ? 'Function.Failed'
      : $failed.error
  )};
  $first := $putBack ? $undone : $failure;
  $putBack and $outcome != '` + string(outcome.RolledBack) + `' ? {
    'step': '` + stepPutBack + `', 'error': $what($failure),
    'cause': $why($failure.cause) & ' (' & $previousConfig & ' was to be put back because of ' & $undone.step & ': ' & $what($undone) & ': ' & $why($undone.cause) & ')'
  } : {'step': $first.step, 'error': $what($first), 'cause': $why($first.cause)}
)`
