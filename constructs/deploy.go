package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// EndpointProps says what serves the model of a workflow.
type EndpointProps struct {
	// Kind is how the model is put to use.
	// Default: pipeline.Endpoint.
	Kind pipeline.Deploy
	// InstanceType of the endpoint, with SageMaker's prefix: "ml.m6i.large". A serverless endpoint has none.
	InstanceType string
	// InstanceCount is how many machines serve. With two or more, SageMaker spreads them over zones.
	// Default: 1.
	InstanceCount int
	// Serverless is the size of a serverless endpoint. Needed with that kind.
	Serverless *ServerlessProps
	// Autoscaling changes the number of machines by itself.
	// Default: it stays InstanceCount.
	Autoscaling *AutoscalingProps
	// Traffic is how callers are moved to a new model.
	// Default: all at once.
	Traffic *TrafficProps
	// Alarms roll an update back. One to ten.
	// Default: none; an update is rolled back only if the machines don't come up.
	Alarms []awscloudwatch.IAlarm
	// Capture writes what the endpoint is asked and answers to the bucket.
	// Default: nothing is captured.
	Capture *CaptureProps
	// Keep is how many models and configs of earlier runs stay.
	// Default: 5.
	Keep int
}

// ServerlessProps is the size of a serverless endpoint.
type ServerlessProps struct {
	// MemoryMiB is 1024, 2048, 3072, 4096, 5120 or 6144.
	MemoryMiB int
	// MaxConcurrency is how many requests are answered at once, 1 to 200.
	MaxConcurrency int
}

// AutoscalingProps says between which numbers of machines an endpoint is, and what decides.
type AutoscalingProps struct {
	MinInstances, MaxInstances int
	// InvocationsPerInstance a minute are what the number of machines is kept by.
	InvocationsPerInstance int
}

// TrafficProps says how callers are moved to a new model.
type TrafficProps struct {
	// Kind is "allAtOnce", "canary" or "linear".
	Kind string
	// Percent of the machines that a canary, or a step of a linear move, has. Up to 50; of a linear move from 10.
	Percent int
	// Wait is how long a step is watched, up to an hour.
	Wait awscdk.Duration
	// TerminationWait is how long the old machines stay after the last step, up to an hour.
	TerminationWait awscdk.Duration
}

// CaptureProps says what an endpoint writes of its requests and answers.
type CaptureProps struct {
	// Percent of the requests, 1 to 100.
	Percent int
}

// VariantName is the one production variant of every endpoint. It never changes: autoscaling and metrics hang on it.
const VariantName = "primary"

// maxLooks bounds how often an endpoint is looked at before it may be changed, and again after: two hours with the default
// poll interval. SageMaker itself gives up creating an endpoint earlier.
const maxLooks = 240

// deploy makes the states from the endpoint config to the model in service.
func (f *flow) deploy(served awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	return f.createEndpointConfig(f.putIntoService(f.smokeTest(served)))
}

// createModel makes the model of the job. The name is the job's, so one that is there already is either this one, from a
// request whose answer was lost, or something that must not be served.
func (f *flow) createModel(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	container := map[string]any{"Image": f.image.URI, "ModelDataUrl": jsonata(`$artifact`)}
	arguments := map[string]any{
		"ModelName":        jsonata(`$job`),
		"PrimaryContainer": container,
		"ExecutionRoleArn": f.modelRole.RoleArn(),
		"Tags":             f.tags(),
	}
	if f.vpcConfig != nil {
		arguments["VpcConfig"] = f.vpcConfig
	}
	return f.createOnce(then, once{
		step: stepModel, create: "Create model", describe: "Describe model", same: "Same model?",
		createAction: "createModel", describeAction: "describeModel",
		comment:   "The trained artifact and the image that trained it.",
		arguments: arguments,
		key:       map[string]any{"ModelName": jsonata(`$job`)},
		isSame:    `$states.result.PrimaryContainer.ModelDataUrl = $artifact`,
	})
}

// createEndpointConfig makes a config with a name of its own for every attempt of every run: a config that is used again
// has served the wrong model for others.
func (f *flow) createEndpointConfig(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	p := f.props.Endpoint
	arguments := map[string]any{
		"EndpointConfigName": jsonata(`$job`),
		"ProductionVariants": []any{map[string]any{
			"VariantName":          VariantName,
			"ModelName":            jsonata(`$job`),
			"InstanceType":         p.InstanceType,
			"InitialInstanceCount": p.InstanceCount,
		}},
		"Tags": f.tags(),
	}
	if f.key != nil && !hasLocalDisk(p.InstanceType) {
		arguments["KmsKeyId"] = f.key.KeyArn()
	}
	return f.createOnce(then, once{
		step: stepConfig, create: "Create endpoint config", describe: "Describe endpoint config", same: "Same endpoint config?",
		createAction: "createEndpointConfig", describeAction: "describeEndpointConfig",
		comment:   "Which model on which machines. Fresh for every attempt.",
		arguments: arguments,
		key:       map[string]any{"EndpointConfigName": jsonata(`$job`)},
		isSame:    `$states.result.ProductionVariants[0].ModelName = $job`,
	})
}

// once is a thing that is created under a name, and may be there already.
type once struct {
	step                         string
	create, describe, same       string
	createAction, describeAction string
	comment                      string
	arguments, key               map[string]any
	// isSame compares what describeAction found with what was asked for.
	isSame string
}

// createOnce creates, and where that is refused looks whether what was asked for is there. If not, the refusal stands.
func (f *flow) createOnce(then awsstepfunctions.IChainable, o once) awsstepfunctions.IChainable {
	describe := f.task(o.describe, "aws-sdk:sagemaker:"+o.describeAction, taskProps{
		comment:   "The creation was refused: perhaps an earlier request has made it and its answer was lost.",
		arguments: o.key,
		assign:    variables{"same": jsonata(`$boolean(` + o.isSame + `)`)},
		// Not there: the refusal of the creation is what people have to hear of.
		keepFailure: true,
	})
	create := f.task(o.create, "aws-sdk:sagemaker:"+o.createAction, taskProps{
		comment:   o.comment,
		arguments: o.arguments,
		step:      o.step,
		retries:   []*awsstepfunctions.RetryProps{f.retry(2, "SageMaker.SageMakerException", "SageMaker.SdkClientException")},
		onError:   describe,
	})
	same := f.choice(o.same, "", nil)
	create.Next(then)
	describe.Next(same)
	same.When(condition(`$same`), then, nil).Otherwise(f.failed)
	return create
}

// putIntoService makes the loop that brings the endpoint to the config: look at it, then do what its state calls for, until
// it serves the config or nothing can be done. It is the same loop before and after the endpoint was asked ($asked), so that
// whoever else is changing the endpoint is waited for, not run over.
//
// A run whose model is older than the one in service ends as superseded: a schedule that is faster than its endpoint, or a
// run that was started late, would otherwise put an older model over a newer one.
func (f *flow) putIntoService(serving awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	name := map[string]any{"EndpointName": f.props.Name}
	look := f.task("Look at endpoint", "aws-sdk:sagemaker:describeEndpoint", taskProps{
		comment:   "Also the moment in which the config that was served before is written down.",
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
			"previousConfig": jsonata(`$asked ? $previousConfig : $type($states.result.EndpointConfigName) = 'string' ? $states.result.EndpointConfigName : $previousConfig`),
		},
	})
	decide := f.choice("What does the endpoint need?", "The state table in docs/workflow.md.", failing(stepDeploy, "Deploy.NeedsAPerson",
		`'the endpoint is ' & $endpoint.status & $endpoint.reason`))
	wait := awsstepfunctions.Wait_Jsonata(f.scope, jsii.String("Wait for endpoint"), &awsstepfunctions.WaitJsonataProps{
		Time: awsstepfunctions.WaitTime_Duration(f.props.PollInterval),
	})
	busy := f.choice("Refused for now?", "Somebody else changes the endpoint at the same moment, or SageMaker does not see the new config yet: look again.", nil)

	// What the API says of a missing endpoint is the text of a ValidationException; so is its throttling.
	look.AddCatch(decide, &awsstepfunctions.CatchProps{
		Errors: jsii.Strings("SageMaker.SageMakerException"),
		Assign: variables{
			"looks": jsonata(`$looks + 1`),
			"endpoint": jsonata(`($cause := $string($states.errorOutput.Cause); {
  'status': $contains($cause, /Could not find endpoint/) ? 'Absent' : $contains($cause, /Rate exceeded|[Tt]hrottl/) ? 'Throttled' : 'Unreadable',
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
		"EndpointName": f.props.Name, "EndpointConfigName": jsonata(`$job`), "Tags": f.tags()[:1],
	}, asked)
	// Nothing is retained: without autoscaling a retained instance count would keep a changed one from ever applying.
	update := ask("Update endpoint", "updateEndpoint", "The old machines serve until the new ones answer.", map[string]any{
		"EndpointName": f.props.Name, "EndpointConfigName": jsonata(`$job`), "RetainAllVariantProperties": false,
	}, asked)
	remove := ask("Delete failed endpoint", "deleteEndpoint", "A Failed endpoint allows nothing else. It is created again when it is gone.",
		name, variables{"deleted": true})

	busy.When(condition(fmt.Sprintf(`$looks < %d and $contains($failure.cause, /in-progress|already existing|Could not find endpoint|Rate exceeded|[Tt]hrottl/)`, maxLooks)), wait, nil).
		Otherwise(f.failed)
	look.Next(decide)
	wait.Next(look)
	decide.
		When(condition(`$endpoint.status = 'InService' and $endpoint.config = $job and $not($endpoint.pending)`), serving, when("It serves the config of this run.", nil)).
		When(condition(`$endpoint.status = 'Absent' and $not($asked)`), create, nil).
		When(condition(f.servesLaterRun()), f.superseded, when("A later run was faster.", failing(stepDeploy, "", `'the model of a later run is in service: ' & $endpoint.config`))).
		When(condition(`$endpoint.status = 'InService' and $not($endpoint.pending) and $not($asked)`), update, nil).
		When(condition(`$endpoint.status = 'Failed' and $not($asked)`), remove, nil).
		When(condition(fmt.Sprintf(`$looks < %d and ($endpoint.pending or $endpoint.status in ['Creating', 'Updating', 'SystemUpdating', 'RollingBack', 'Deleting', 'Throttled'])`, maxLooks)), wait, when("It is being changed, by this run or by somebody else.", nil)).
		When(condition(`$endpoint.status = 'InService' and $not($endpoint.pending) and $endpoint.config = $previousConfig`), f.failed, when("In service is not deployed.", failing(stepDeploy, "Deploy.RolledBack",
			`'the endpoint is in service, but with ' & $endpoint.config & ' as before: SageMaker rolled the update to ' & $job & ' back' & $endpoint.reason`))).
		When(condition(`$endpoint.status = 'InService' and $not($endpoint.pending)`), f.failed, when("", failing(stepDeploy, "Deploy.Replaced",
			`'the endpoint is in service, but with ' & $endpoint.config & ': another run or a person has put it there after this run had asked for ' & $job`))).
		When(condition(`$endpoint.status = 'Failed'`), f.failed, when("", failing(stepDeploy, "Deploy.EndpointFailed",
			`'the endpoint is Failed' & $endpoint.reason`))).
		When(condition(fmt.Sprintf(`$looks >= %d`, maxLooks)), f.failed, when("", failing(stepDeploy, "Deploy.TimedOut",
			`'the endpoint is still ' & $endpoint.status & ' after ' & $string($looks) & ' looks' & $endpoint.reason`))).
		When(condition(`$endpoint.status = 'Absent'`), f.failed, when("", failing(stepDeploy, "Deploy.EndpointGone",
			`'the endpoint was deleted while this run was putting its model into service'`))).
		Otherwise(f.failed)
	return look
}

// servesLaterRun holds when the endpoint serves a config of this pipeline whose run was scheduled after this one. Run ids
// sort in the order of time. A config of another name is a person's, and is replaced.
func (f *flow) servesLaterRun() string {
	return fmt.Sprintf(`$endpoint.status = 'InService' and $not($endpoint.pending) and ($served := $match($endpoint.config, /^%s-([0-9]{8}t[0-9]{6}z)(-a[0-9]+)?$/); $exists($served) ? $served[0].groups[0] > $run : false)`, f.props.Name)
}

// smokeTest asks the endpoint for one prediction. In service and able to answer are different things.
func (f *flow) smokeTest(served awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	invoke := f.task("Smoke test", "aws-sdk:sagemakerruntime:invokeEndpoint", taskProps{
		comment: "One row of the run. In libsvm, not CSV: Step Functions sends a text in quotes.",
		arguments: map[string]any{
			"EndpointName": f.props.Name,
			"ContentType":  "text/libsvm",
			"Accept":       "text/csv",
			"Body":         jsonata(smokeRow),
		},
		step:    stepSmoke,
		assign:  variables{"answer": jsonata(`$exists($states.result.Body) ? $trim($string($states.result.Body)) : ''`)},
		retries: []*awsstepfunctions.RetryProps{f.retry(3, "States.TaskFailed")},
	})
	answered := f.choice("A finite number?", "", failing(stepSmoke, "SmokeTest.NotANumber",
		`'the endpoint answered ' & ($answer = '' ? 'nothing' : '"' & $substring($answer, 0, 200) & '"') & ' where one finite number was due'`))
	invoke.Next(answered)
	answered.When(condition(finiteNumber), served, nil).
		Otherwise(f.failed)
	return invoke
}

// smokeRow is the run's row in libsvm, which XGBoost's images read besides CSV: " 0:0.9 1:0.1 ", with nan for what is missing.
// Step Functions writes what it gives to a blob as JSON, so a text arrives in quotes, and "0.9,0.1" in quotes is no CSV of
// numbers to the container. Of libsvm it passes over words without a colon (the label is one), and the blanks at both ends
// make such words of the quotes. Sources: _get_sparse_matrix_from_libsvm in aws/sagemaker-xgboost-container, the same from
// 1.7-1 on; for the quotes, test_s3_put_object[str] of localstack/localstack, recorded on AWS on 6 November 2025.
const smokeRow = `' ' & $join($map($split(` + input + `.smoke.body, ','), function($value, $column) { $string($column) & ':' & ($value = '' ? 'nan' : $value) }), ' ') & ' '`

// finiteNumber holds for what $number reads without an error: JSON's form of a number, small enough to be finite.
const finiteNumber = `$contains($answer, /^-?(0|[1-9][0-9]{0,100})([.][0-9]{1,100})?([eE][-+]?[0-9]{1,2})?$/)`

// deployPermissions are what the workflow itself calls from Create model to Smoke test.
func (f *flow) deployPermissions() []awsiam.PolicyStatement {
	endpoint := f.resource("endpoint", f.props.Name)
	return []awsiam.PolicyStatement{
		allow("MakeModels", []string{"sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:AddTags"}, f.named("model")),
		allow("MakeEndpointConfigs", []string{"sagemaker:CreateEndpointConfig", "sagemaker:DescribeEndpointConfig", "sagemaker:AddTags"}, f.named("endpoint-config")),
		allow("PutIntoService", []string{"sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"}, endpoint, f.named("endpoint-config")),
		allow("LookAfterTheEndpoint", []string{"sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint", "sagemaker:AddTags", "sagemaker:InvokeEndpoint"}, endpoint),
	}
}

// newModelRole makes the role of the models: they read their artifact. Source: the SageMaker developer guide, "CreateModel
// API: Execution Role Permissions".
func (f *flow) newModelRole() awsiam.Role {
	statements := []awsiam.PolicyStatement{
		allow("ReadModels", []string{"s3:GetObject"}, f.props.Bucket.ArnForObjects(jsii.String(manifest.ModelPrefix(f.props.Pipeline)+"*"))),
		allowIf("ListModels", []string{"s3:ListBucket"}, map[string]any{
			"StringLike": map[string]any{"s3:prefix": manifest.ModelPrefix(f.props.Pipeline) + "*"},
		}, f.props.Bucket.BucketArn()),
	}
	if f.key != nil {
		statements = append(statements, allow("OpenObjects", []string{"kms:Decrypt"}, f.key.KeyArn()))
	}
	return f.newJobRole("ModelRole", "Models of "+f.props.Name, "/aws/sagemaker/Endpoints/"+f.props.Name, statements)
}
