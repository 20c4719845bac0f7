package constructs

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/pipeline"
)

// VariantName is the one production variant of every endpoint. It never changes: autoscaling and metrics hang on it.
const VariantName = "primary"

// The ways of traffic to a new model.
const (
	AllAtOnce = "allAtOnce"
	Canary    = "canary"
	Linear    = "linear"
)

const (
	// configTries is how often a config is asked for whose creation fails for another reason than its name.
	configTries = 3
	// configNames is how many names of configs a run may take.
	configNames = 20
)

// createEndpointConfig makes a config with a name of its own: one that is used again has served the wrong model for others. It is
// called as the model; where that is taken, by an earlier deployment of the model or by a request whose answer was lost, it gets
// the next number of the run.
func (f *flow) createEndpointConfig(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	const name = `$config = '' ? $job : $config`
	failed := caughtIn(stepConfig)
	failed["looks"] = jsonata(`$looks + 1`)
	refused := f.choice("Config name taken?", "", nil)
	create := f.task("Create endpoint config", "aws-sdk:sagemaker:createEndpointConfig", taskProps{
		comment:     "Which model on which machines. Fresh for every deployment.",
		arguments:   f.endpointConfig(jsonata(name)),
		assign:      variables{"config": jsonata(name), "wanted": jsonata(name), "looks": 0},
		onError:     refused,
		onErrorSets: failed,
	})
	wait := f.wait("Wait to create config")
	create.Next(then)
	wait.Next(create)
	refused.
		When(condition(fmt.Sprintf(`$contains($failure.cause, 'already existing') and $looks <= %d`, configNames)), create, when("The next name.", variables{
			"config": jsonata(fmt.Sprintf(`'%s-' & $run & '-r' & $string($looks)`, f.props.Name)),
		})).
		When(condition(fmt.Sprintf(`$looks < %d`, configTries)), wait, when("Throttled, or SageMaker's own error.", nil)).
		Otherwise(f.failed)
	return create
}

// endpointConfig is the request for a config with this name.
func (f *flow) endpointConfig(name string) map[string]any {
	p := f.props.Endpoint
	variant := map[string]any{"VariantName": VariantName, "ModelName": jsonata(`$job`)}
	request := map[string]any{"EndpointConfigName": name, "ProductionVariants": []any{variant}, "Tags": f.tags()}
	if s := p.Serverless; s != nil {
		variant["ServerlessConfig"] = map[string]any{"MemorySizeInMB": s.MemoryMiB, "MaxConcurrency": s.MaxConcurrency}
		return request
	}
	variant["InstanceType"], variant["InitialInstanceCount"] = p.InstanceType, p.InstanceCount
	if f.key != nil && !hasLocalDisk(p.InstanceType) {
		request["KmsKeyId"] = f.key.KeyArn()
	}
	if p.Capture != nil {
		capture := map[string]any{
			"EnableCapture":             true,
			"InitialSamplingPercentage": p.Capture.Percent,
			"DestinationS3Uri":          fmt.Sprintf("s3://%s/%s", *f.props.Bucket.BucketName(), f.capturePrefix()),
			"CaptureOptions":            []any{map[string]any{"CaptureMode": "Input"}, map[string]any{"CaptureMode": "Output"}},
			"CaptureContentTypeHeader":  map[string]any{"CsvContentTypes": []string{"text/csv"}},
		}
		if f.key != nil {
			capture["KmsKeyId"] = f.key.KeyArn()
		}
		request["DataCaptureConfig"] = capture
	}
	return request
}

// capturePrefix is where the endpoint writes what it is asked and answers: SageMaker adds endpoint, variant and hour. It ends with a
// slash.
func (f *flow) capturePrefix() string { return f.props.Pipeline + "/capture/" }

// capturePermissions are what the model's role needs to write there. Source: the SageMaker developer guide, "Capture data from
// real-time endpoint".
func (f *flow) capturePermissions() []awsiam.PolicyStatement {
	if f.props.Endpoint.Capture == nil {
		return nil
	}
	statements := []awsiam.PolicyStatement{
		allow("WriteWhatIsCaptured", []string{"s3:PutObject"}, f.props.Bucket.ArnForObjects(jsii.String(f.capturePrefix()+"*"))),
	}
	if f.key != nil {
		statements = append(statements, allow("SealWhatIsCaptured", []string{"kms:GenerateDataKey"}, f.key.KeyArn()))
	}
	return statements
}

// deployment says how callers are moved to a new model and what rolls that back; nil where SageMaker's default is meant: all at
// once, back only if the machines don't come up. What is put back goes all at once whatever an alarm says: it rings because of
// the model that is taken out.
func (f *flow) deployment() any {
	p := f.props.Endpoint
	if p.Traffic == nil && len(p.Alarms) == 0 {
		return nil
	}
	var alarms []string
	for _, alarm := range p.Alarms {
		alarms = append(alarms, fmt.Sprintf("{'AlarmName': '%s'}", *alarm.AlarmName()))
	}
	rollback := ""
	if alarms != nil {
		rollback = fmt.Sprintf(`, 'AutoRollbackConfiguration': {'Alarms': [%s]}`, strings.Join(alarms, ", "))
	}
	t := p.traffic()
	routing := "'Type': 'ALL_AT_ONCE'"
	switch t.Kind {
	case Canary:
		routing = fmt.Sprintf(`'Type': 'CANARY', 'CanarySize': {'Type': 'CAPACITY_PERCENT', 'Value': %d}`, t.Percent)
	case Linear:
		routing = fmt.Sprintf(`'Type': 'LINEAR', 'LinearStepSize': {'Type': 'CAPACITY_PERCENT', 'Value': %d}`, t.Percent)
	}
	return jsonata(fmt.Sprintf(`$putBack
  ? {'BlueGreenUpdatePolicy': {'TrafficRoutingConfiguration': {'Type': 'ALL_AT_ONCE', 'WaitIntervalInSeconds': 0}}}
  : {'BlueGreenUpdatePolicy': {'TrafficRoutingConfiguration': {%s, 'WaitIntervalInSeconds': %d}, 'TerminationWaitInSeconds': %d, 'MaximumExecutionTimeoutInSeconds': %d}%s}`,
		routing, inSeconds(t.Wait), inSeconds(t.TerminationWait), min(longestDeployment, p.deploymentSeconds()+machinesSeconds), rollback))
}

const (
	// longestDeployment is SageMaker's limit of MaximumExecutionTimeoutInSeconds; 600 is the least.
	longestDeployment = 28_800
	// machinesSeconds is what the machines of a deployment may take to come up.
	machinesSeconds = 3_600
)

// DefaultWatchMinutes is how long alarms are watched after a step, and again before the old machines end: an alarm that looks at two
// minutes rings within them.
const DefaultWatchMinutes = 5

// traffic is how callers are moved, also where nothing is said about it. An update rolls back only what its alarms see while it
// waits.
func (p EndpointProps) traffic() TrafficProps {
	switch watch := awscdk.Duration_Minutes(jsii.Number(DefaultWatchMinutes)); {
	case p.Traffic != nil:
		return *p.Traffic
	case len(p.Alarms) > 0:
		return TrafficProps{Kind: AllAtOnce, Wait: watch, TerminationWait: watch}
	default:
		return TrafficProps{Kind: AllAtOnce}
	}
}

// inSeconds is a duration that may be left out.
func inSeconds(d awscdk.Duration) int {
	if d == nil {
		return 0
	}
	return int(*d.ToSeconds(nil))
}

// deploymentSeconds is how long a deployment waits on purpose.
func (p EndpointProps) deploymentSeconds() int {
	t := p.traffic()
	steps := 1
	if t.Kind == Linear {
		steps = (100 + t.Percent - 1) / t.Percent
	}
	return steps*inSeconds(t.Wait) + inSeconds(t.TerminationWait)
}

// longestPatience keeps the history of an execution that waits for the lease of a batch far below its 25,000 events: a look is about
// ten, and comes every ten polls in the end. With the default interval it is five days.
const longestPatience = 7_200

// patience is how many poll intervals an endpoint may take to get ready; of a batch, half of what its job may take with all its waiting.
func (f *flow) patience() int {
	if f.props.Endpoint.Kind == pipeline.Batch {
		job := *f.props.Transform.MaxRuntime.ToSeconds(nil) + startingHours*60*60 + *f.props.Training.Patience.ToSeconds(nil)
		return min(longestPatience, patientPolls+int(job)/(2*f.pollSeconds()))
	}
	return patientPolls + f.props.Endpoint.deploymentSeconds()/int(*f.props.PollInterval.ToSeconds(nil))
}

// rollbackPermissions let an update watch its alarms.
func (f *flow) rollbackPermissions() []awsiam.PolicyStatement {
	if len(f.props.Endpoint.Alarms) == 0 {
		return nil
	}
	var arns []*string
	for _, alarm := range f.props.Endpoint.Alarms {
		arns = append(arns, alarm.AlarmArn())
	}
	return []awsiam.PolicyStatement{allow("WatchTheAlarms", []string{"cloudwatch:DescribeAlarms"}, arns...)}
}
