package constructs

import (
	"fmt"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/outcome"
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
	// Default: all at once; with Alarms the old machines stay for ten minutes, in which these are watched.
	Traffic *TrafficProps
	// Alarms roll an update back while it waits, as Traffic says. Up to ten.
	// Default: none; an update is rolled back only if the machines don't come up.
	Alarms []awscloudwatch.IAlarm
	// KeyColumns is how many columns of the key each row of the channel "batch" begins with. Needed with the kind pipeline.Batch.
	KeyColumns int
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

// DefaultKeep is how many models and configs of earlier runs stay: a way back over some runs that were noticed late.
const DefaultKeep = 5

// What is waited for is looked at after one poll interval at first, and ever less often: every ten looks the wait grows by another
// interval, up to ten.
const (
	looksPerPace = 10
	slowestPace  = 10
	// patientPolls is how many poll intervals an endpoint may take before it may be changed, and as many after: two hours with the
	// default interval. SageMaker itself gives up creating an endpoint earlier.
	patientPolls = 240
)

// looksWithin is how many looks that many poll intervals leave room for.
func looksWithin(polls int) int {
	looks := 0
	for waited := 0; waited < polls; looks++ {
		waited += min(slowestPace, 1+looks/looksPerPace)
	}
	return looks
}

// wait makes a state that waits the longer, the more often something was looked at.
func (f *flow) wait(id string) awsstepfunctions.Wait {
	return awsstepfunctions.Wait_Jsonata(f.scope, jsii.String(id), &awsstepfunctions.WaitJsonataProps{
		Time: awsstepfunctions.WaitTime_Seconds(jsii.String(jsonata(fmt.Sprintf(`%v * $min([%d, 1 + $floor($looks / %d)])`,
			*f.props.PollInterval.ToSeconds(nil), slowestPace, looksPerPace)))),
	})
}

// deploy makes the states that put the model to use that $job names. They hold the pipeline's deploy lease: nobody else does so at
// the same time, and nobody gets it for a run while the model of a later one is in use.
func (f *flow) deploy(served awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	if f.props.Endpoint.Kind == pipeline.Batch {
		return f.acquireLease(f.scoreBatch(f.recordService(f.prune(served))))
	}
	rolledBack := awsstepfunctions.Pass_Jsonata(f.scope, jsii.String("Rolled back"), &awsstepfunctions.PassJsonataProps{
		Comment: jsii.String("The model before is in service. The run has failed all the same."),
		Assign:  variables{"outcome": string(outcome.RolledBack)}.pointer(),
	})
	rolledBack.Next(f.failed)
	recorded, back := f.registerScaling(f.prune(served), rolledBack)
	return f.acquireLease(f.createEndpointConfig(f.putIntoService(f.recordService(recorded), back)))
}

// acquireLease makes the states that wait for the deploy lease. It is taken only from an execution that has ended.
func (f *flow) acquireLease(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	// Whoever doesn't know whether it holds the lease gives it back.
	unknown := caughtIn(stepLease)
	unknown["leased"] = true
	acquire := f.invoke("Acquire lease", f.props.Release, map[string]any{
		"command": "acquire", "run": jsonata(`$run`), "execution": jsonata(executionArn),
		"force": jsonata(input + `.resume.rollback = true`),
	}, taskProps{
		comment:     "One run at a time puts its model to use. A rollback goes back behind a later run on purpose.",
		assign:      variables{"lease": jsonata(`$states.result.Payload`), "looks": jsonata(`$looks + 1`)},
		onError:     f.failed,
		onErrorSets: unknown,
	})
	answer := f.choice("Lease acquired?", "", failing(stepLease, "Lease.Held",
		`'run ' & $string($lease.holder.run) & ' still holds the deploy lease after ' & $string($looks) & ' looks: ' & $string($lease.holder.execution)`))
	wait := f.wait("Wait for lease")
	acquire.Next(answer)
	wait.Next(acquire)
	answer.
		When(condition(`$lease.acquired = true`), then, when("", variables{"leased": true, "looks": 0})).
		When(condition(`$lease.superseded = true`), f.superseded, when("A later run was faster.", failing(stepLease, "",
			`'the model of run ' & $string($lease.by) & ', which is later, is in use already'`))).
		// Another run may wait as long for its endpoint before it asks and after.
		When(condition(fmt.Sprintf(`$looks < %d`, looksWithin(2*f.patience()))), wait, nil).
		Otherwise(f.failed)
	return acquire
}

// recordService makes the state that writes down what is in service: the way back, and what later runs are compared with.
func (f *flow) recordService(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	record := f.invoke("Record service", f.props.Release, map[string]any{
		"command": "record", "run": jsonata(`$run`), "job": jsonata(`$job`), "model": jsonata(`$job`), "config": jsonata(`$config`),
		"endpoint": f.props.Name, "execution": jsonata(executionArn), "kind": string(f.props.Endpoint.Kind),
	}, taskProps{step: stepRecord})
	record.Next(then)
	return record
}

// prune makes the state that deletes the models and configs that nobody needs any more. What it can't delete the next run can.
func (f *flow) prune(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	prune := f.invoke("Prune", f.props.Release, map[string]any{"command": "prune", "keep": f.props.Endpoint.Keep}, taskProps{
		comment:     "The last models stay, and whatever is in use or waits for a person. A failure is made good by the next run.",
		onError:     then,
		keepFailure: true,
	})
	prune.Next(then)
	return prune
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
	// A serverless endpoint takes no model in a VPC. Source: the SageMaker developer guide, "Deploy models with Amazon SageMaker
	// Serverless Inference", feature exclusions.
	if f.vpcConfig != nil && f.props.Endpoint.Kind != pipeline.Serverless {
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

// deployPermissions are what the workflow itself calls from Acquire lease on.
func (f *flow) deployPermissions() []awsiam.PolicyStatement {
	statements := []awsiam.PolicyStatement{
		f.invokePermission(),
		allow("MakeModels", []string{"sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:AddTags"}, f.named("model")),
	}
	if f.props.Endpoint.Kind == pipeline.Batch {
		return statements
	}
	endpoint := f.resource("endpoint", f.props.Name)
	configs := []string{"sagemaker:CreateEndpointConfig", "sagemaker:AddTags"}
	if f.props.Endpoint.Autoscaling != nil {
		configs = append(configs, "sagemaker:DescribeEndpointConfig")
	}
	return slices.Concat(statements, []awsiam.PolicyStatement{
		allow("MakeEndpointConfigs", configs, f.named("endpoint-config")),
		allow("PutIntoService", []string{"sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"}, endpoint, f.named("endpoint-config")),
		allow("LookAfterTheEndpoint", []string{"sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint", "sagemaker:AddTags"}, endpoint),
	}, f.scalingPermissions(), f.rollbackPermissions())
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
	statements = append(statements, f.capturePermissions()...)
	var groups []string
	if f.props.Endpoint.Kind != pipeline.Batch {
		groups = append(groups, "/aws/sagemaker/Endpoints/"+f.props.Name)
	}
	if f.scoresFiles() {
		statements = append(statements, f.scoreModelPermissions()...)
		groups = append(groups, transformJob.logGroup)
	}
	return f.newJobRole("ModelRole", "Models of "+f.props.Name, statements, groups...)
}

// servesOnSealedDisks says whether the endpoint has machines whose disks take a key.
func (f *flow) servesOnSealedDisks() bool {
	return f.props.Endpoint.Kind == pipeline.Endpoint && !hasLocalDisk(f.props.Endpoint.InstanceType)
}

// scoresFiles says whether the models score files, hold-outs or batches.
func (f *flow) scoresFiles() bool {
	return f.props.Gate != nil || f.props.Endpoint.Kind == pipeline.Batch
}
