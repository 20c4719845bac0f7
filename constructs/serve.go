package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/pipeline"
)

// putIntoService makes the loop that brings the endpoint to the config in $wanted: look at it, then do what its state calls for,
// until it serves the config or nothing can be done. It is the same loop before and after the endpoint was asked ($asked), so that
// whoever else is changing the endpoint is waited for, not run over; and it is the same for the run's own config and for the one
// before, which is put back ($putBack) where the new model doesn't serve as it should.
//
// served is where a model goes that answers as it should, and back where the one before serves again, whether the workflow or
// SageMaker itself has gone back; also, with $undone assigned and not $putBack, where autoscaling was taken off for an update that is
// refused.
func (f *flow) putIntoService(served, back awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	name := map[string]any{"EndpointName": f.props.Name}
	look := f.task("Look at endpoint", "aws-sdk:sagemaker:describeEndpoint", taskProps{
		comment:   "Also the moment in which the config that is served before is written down.",
		arguments: name,
		step:      stepDeploy,
		assign: variables{
			"looks": jsonata(`$looks + 1`),
			"endpoint": map[string]any{
				"status":  jsonata(`$states.result.EndpointStatus`),
				"config":  jsonata(`$type($states.result.EndpointConfigName) = 'string' ? $states.result.EndpointConfigName : ''`),
				"reason":  jsonata(`$type($states.result.FailureReason) = 'string' ? ': ' & $states.result.FailureReason : ''`),
				"pending": jsonata(`$type($states.result.PendingDeploymentSummary) = 'object'`),
			},
			// What is Failed serves nothing: there is no way back to it. What is wanted is there before it was asked for when the
			// answer of the request was lost: the way back leads behind it all the same.
			"previousConfig": jsonata(`$asked or $putBack or $states.result.EndpointConfigName = $wanted ? $previousConfig
  : $states.result.EndpointStatus = 'InService' and $type($states.result.EndpointConfigName) = 'string' ? $states.result.EndpointConfigName
  : $states.result.EndpointStatus = 'Failed' ? '' : $previousConfig`),
		},
	})
	decide := f.choice("What does the endpoint need?", "The state table in docs/workflow.md.", failing(stepDeploy, "Deploy.NeedsAPerson",
		`'the endpoint is ' & $endpoint.status & $endpoint.reason`))
	wait := f.wait("Wait for endpoint")
	busy := f.choice("Refused for now?", "Somebody else changes the endpoint at the same moment, SageMaker does not see the new config yet, or nobody knows whether it has heard: look again.", nil)
	most := looksWithin(f.patience())

	// What the API says of a missing endpoint is the text of a ValidationException; so is its throttling.
	look.AddCatch(decide, &awsstepfunctions.CatchProps{
		Errors: jsii.Strings("SageMaker.SageMakerException", "SageMaker.SdkClientException"),
		Assign: variables{
			"looks": jsonata(`$looks + 1`),
			"endpoint": jsonata(`($cause := $string($states.errorOutput.Cause); {
  'status': $contains($cause, /Could not find endpoint/) ? 'Absent' : $contains($states.errorOutput.Error & ': ' & $cause, /` + passing + `/) ? 'Throttled' : 'Unreadable',
  'config': '', 'reason': ': ' & $cause, 'pending': false
})`),
		}.pointer(),
	})

	ask := func(id, action, comment string, arguments map[string]any, assign variables) awsstepfunctions.IChainable {
		task := f.task(id, "aws-sdk:sagemaker:"+action, taskProps{
			comment: comment, arguments: arguments, assign: assign, step: stepDeploy, onError: busy,
			retries: []*awsstepfunctions.RetryProps{f.quotaRetry()},
		})
		task.Next(wait)
		return task
	}
	asked := variables{"asked": true, "looks": 0}
	create := ask("Create endpoint", "createEndpoint", "", map[string]any{
		// Without the run: the endpoint outlives it, and an update changes no tags.
		"EndpointName": f.props.Name, "EndpointConfigName": jsonata(`$wanted`), "Tags": f.tags()[:1],
	}, asked)
	update := ask("Update endpoint", "updateEndpoint", "The old machines serve until the new ones answer.", f.update(), asked)
	remove := ask("Delete failed endpoint", "deleteEndpoint", "A Failed endpoint allows nothing else. It is created again when it is gone.",
		name, variables{"deleted": true})

	goBack := f.choice("Anything to put back?", "What served before the endpoint was asked, and once.", nil)
	goBack.When(condition(`$previousConfig != '' and $not($putBack)`), look, when("", variables{
		"putBack": true, "undone": jsonata(`$failure`), "wanted": jsonata(`$previousConfig`), "asked": false, "looks": 0,
	})).
		Otherwise(f.failed)

	busy.When(condition(fmt.Sprintf(`$looks < %d and $contains($failure.error & ': ' & $failure.cause, /in-progress|already existing|Could not find endpoint|%s/)`, most, passing)), wait, nil)
	if f.props.Endpoint.Autoscaling != nil {
		busy.When(condition(`$scaling = 'deregistered' and $not($putBack)`), back, when("The update was refused that autoscaling was taken off for.", variables{
			"undone": jsonata(`$failure`),
		}))
	}
	busy.Otherwise(f.failed)
	look.Next(decide)
	wait.Next(look)
	undone := failing(stepDeploy, "Deploy.RolledBack",
		`'the endpoint is in service, but with ' & $endpoint.config & ' as before: SageMaker rolled the update to ' & $config & ' back' & $endpoint.reason`)
	const inService = `$endpoint.status = 'InService' and $not($endpoint.pending)`
	decide.
		When(condition(inService+` and $endpoint.config = $wanted and $putBack`), back, when("The model before serves again.", nil)).
		When(condition(inService+` and $endpoint.config = $wanted`), f.smokeTest(served, goBack), when("It serves the config of this run.", nil)).
		When(condition(`$endpoint.status = 'Absent' and $not($asked)`), create, nil).
		When(condition(inService+` and $not($asked)`), f.keepScaling(update), nil).
		When(condition(`$endpoint.status = 'Failed' and $not($asked)`), remove, nil).
		When(condition(fmt.Sprintf(`$looks < %d and ($endpoint.pending or $endpoint.status in ['Creating', 'Updating', 'SystemUpdating', 'RollingBack', 'Deleting', 'Throttled'])`, most)), wait, when("It is being changed, by this run or by somebody else.", nil)).
		When(condition(inService+` and $not($putBack) and $endpoint.config = $previousConfig`), back, when("In service is not deployed.", variables{
			"putBack": true, "undone": undone["failure"], "failure": undone["failure"],
		})).
		When(condition(inService), f.failed, when("", failing(stepDeploy, "Deploy.Replaced",
			`'the endpoint is in service, but with ' & $endpoint.config & ' after this run had asked for ' & $wanted & ': SageMaker, another run or a person has put it there' & $endpoint.reason`))).
		When(condition(`$endpoint.status = 'Failed'`), goBack, when("", failing(stepDeploy, "Deploy.EndpointFailed",
			`'the endpoint is Failed' & $endpoint.reason`))).
		When(condition(fmt.Sprintf(`$looks >= %d`, most)), f.failed, when("", failing(stepDeploy, "Deploy.TimedOut",
			`'the endpoint is still ' & $endpoint.status & ' after ' & $string($looks) & ' looks' & $endpoint.reason`))).
		When(condition(`$endpoint.status = 'Absent'`), f.failed, when("", failing(stepDeploy, "Deploy.EndpointGone",
			`'the endpoint was deleted while this run was putting ' & $wanted & ' into service'`))).
		Otherwise(f.failed)
	return look
}

// passing is a part of a regular expression, of what errors say that pass by themselves: throttling, SageMaker's own, and a lost connection.
const passing = `Rate exceeded|[Tt]hrottl|SdkClientException|Status Code: 5[0-9][0-9]|InternalFailure|InternalServer|ServiceUnavailable`

// update is the request that changes an endpoint. Retained is only what autoscaling has set: a retained instance count would keep a
// changed one from ever applying.
func (f *flow) update() map[string]any {
	request := map[string]any{"EndpointName": f.props.Name, "EndpointConfigName": jsonata(`$wanted`), "RetainAllVariantProperties": false}
	if f.props.Endpoint.Autoscaling != nil {
		request["RetainAllVariantProperties"] = jsonata(`$retain`)
	}
	if deployment := f.deployment(); deployment != nil && f.props.Endpoint.Kind != pipeline.Serverless {
		request["DeploymentConfig"] = deployment
	}
	return request
}

// smokeTest makes the state that asks the endpoint for predictions: they have to be those of the batch transform. In service and able
// to answer are different things.
func (f *flow) smokeTest(served, wrong awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	test := f.invoke("Smoke test", f.props.Evaluate, map[string]any{
		"command": "smoke", "run": jsonata(`$run`), "job": jsonata(`$job`), "endpoint": f.props.Name,
		"manifest": jsonata(manifestKey),
	}, taskProps{
		comment: "Rows of the hold-out, asked of the endpoint and compared with what the batch transform gave.",
		step:    stepSmoke,
		assign:  variables{"smoke": jsonata(`$states.result.Payload`)},
		onError: wrong,
	})
	test.Next(served)
	return test
}
