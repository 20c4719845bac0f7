package constructs

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/manifest"
)

// TrainingProps says what the training job of a workflow is.
type TrainingProps struct {
	// Algorithm is a built-in one of SageMaker. So far there is one: "xgboost".
	// Default: "xgboost".
	Algorithm string
	// Version of the algorithm.
	// Default: the newest of XGBoostVersions.
	Version string
	// Image is the URI of an image of one's own in ECR, "<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>", that
	// keeps SageMaker's contract for training and serving. Algorithm, Version and the check of the hyperparameters don't
	// apply then.
	// Default: that of the algorithm.
	Image string
	// InstanceTypes of the job in the order of preference, with SageMaker's prefix: "ml.m6i.large". The next one is taken
	// when AWS has no machine of the one before. One to five.
	InstanceTypes []string
	// InstanceCount is how many machines the job has.
	// Default: 1.
	InstanceCount int
	// VolumeGiB is the size of the job's disk: the training and validation files have to fit.
	// Default: 30.
	VolumeGiB int
	// MaxRuntime is how long the job may run; SageMaker stops it then, and the run has failed.
	// Default: 1 hour.
	MaxRuntime awscdk.Duration
	// Hyperparameters of the algorithm. XGBoost needs num_round.
	Hyperparameters map[string]string
	// Spot trains on machines that AWS may take back.
	// Default: on machines that stay.
	Spot *SpotProps
	// Patience is how long a run waits for quotas and machines before it gives up.
	// Default: 6 hours.
	Patience awscdk.Duration
}

// SpotProps says how a job is trained on spot machines.
type SpotProps struct {
	// MaxWait is how long the job may take with its waits for machines; not below MaxRuntime.
	MaxWait awscdk.Duration
	// CheckpointPrefix is where in the bucket jobs keep their checkpoints, each run below a folder of its own, so that an
	// attempt goes on where the one before was taken off its machine. It ends with a slash.
	// Default: "<pipeline>/checkpoints/".
	CheckpointPrefix string
}

const (
	// DefaultTrainingVolumeGiB is what SageMaker's own console proposes for a training job.
	DefaultTrainingVolumeGiB = 30
	// DefaultTrainingHours bounds what a job that doesn't converge costs.
	DefaultTrainingHours = 1
	// startingHours is what a job may need beside its run time: waiting for a machine, loading the data, storing the model.
	startingHours = 2
)

// How patiently Train retries. Each attempt has a name of its own, and the numbers of attempts end up in it: together
// they stay below 99, the last that MaxNameLength leaves room for.
const (
	// takenNames is how many names of earlier attempts Train steps over when a run is executed again.
	takenNames = 8
	// quotaRetries, with intervals doubling from two polls to twenty, wait out the jobs of others: about half an hour with
	// the default poll interval.
	quotaRetries = 6
	// throttledRetries outlast a burst of requests.
	throttledRetries = 4
)

func (p TrainingProps) withDefaults() TrainingProps {
	if p.Algorithm == "" {
		p.Algorithm = "xgboost"
	}
	if p.Version == "" {
		p.Version = XGBoostVersions[0]
	}
	if p.InstanceCount == 0 {
		p.InstanceCount = 1
	}
	if p.VolumeGiB == 0 {
		p.VolumeGiB = DefaultTrainingVolumeGiB
	}
	if p.MaxRuntime == nil {
		p.MaxRuntime = awscdk.Duration_Hours(jsii.Number(DefaultTrainingHours))
	}
	return p
}

// train makes the states that end with a trained model and, beside it, its signature.
func (f *flow) train(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	p := f.props.Training
	resources := map[string]any{
		"InstanceType":   p.InstanceTypes[0],
		"InstanceCount":  p.InstanceCount,
		"VolumeSizeInGB": p.VolumeGiB,
	}
	output := map[string]any{"S3OutputPath": fmt.Sprintf("s3://%s/%s", *f.props.Bucket.BucketName(), manifest.ModelPrefix(f.props.Pipeline))}
	if f.key != nil {
		output["KmsKeyId"] = f.key.KeyArn()
		if !hasLocalDisk(p.InstanceTypes[0]) {
			resources["VolumeKmsKeyId"] = f.key.KeyArn()
		}
	}
	arguments := map[string]any{
		"TrainingJobName": jsonata(fmt.Sprintf(`'%s-' & $run & ($states.context.State.RetryCount > 0 ? '-a' & $string($states.context.State.RetryCount + 1) : '')`, f.props.Name)),
		"AlgorithmSpecification": map[string]any{
			"TrainingImage":     f.image.URI,
			"TrainingInputMode": "File",
		},
		"RoleArn":           f.trainingRole.RoleArn(),
		"InputDataConfig":   jsonata(channelsExpression),
		"OutputDataConfig":  output,
		"ResourceConfig":    resources,
		"StoppingCondition": map[string]any{"MaxRuntimeInSeconds": p.MaxRuntime.ToSeconds(nil)},
		"HyperParameters":   &p.Hyperparameters,
		"Tags":              f.tags(),
	}
	if f.vpcConfig != nil {
		arguments["VpcConfig"] = f.vpcConfig
	}
	train := f.task("Train", "sagemaker:createTrainingJob.sync", taskProps{
		comment:        "One training job on exactly the committed files of the run. A name that an earlier attempt took gets a suffix.",
		arguments:      arguments,
		timeoutSeconds: int(*p.MaxRuntime.ToSeconds(nil)) + startingHours*60*60,
		step:           stepTrain,
		assign: variables{
			"job":       jsonata(`$states.result.TrainingJobName`),
			"jobStatus": jsonata(`$states.result.TrainingJobStatus`),
			"artifact":  jsonata(`$exists($states.result.ModelArtifacts.S3ModelArtifacts) ? $states.result.ModelArtifacts.S3ModelArtifacts : ''`),
			"metrics":   jsonata(metricsExpression),
		},
		retries: []*awsstepfunctions.RetryProps{
			// The name of a job stays taken, by a failed one too.
			{
				Errors:      jsii.Strings("SageMaker.ResourceInUseException", "SageMaker.ResourceInUse"),
				Interval:    awscdk.Duration_Seconds(jsii.Number(1)),
				MaxAttempts: jsii.Number(takenNames),
				BackoffRate: jsii.Number(1),
			},
			f.quotaRetry(),
			// The error that this integration has for what the API doesn't model, throttling among it.
			f.retry(throttledRetries, "SageMaker.AmazonSageMakerException", "SageMaker.ThrottlingException"),
		},
	})
	trained := f.choice("Trained?", "A job that was stopped has an artifact too, but is not a model that anybody asked for.", failing(stepTrain, "Train.Stopped",
		`'the training job ' & $job & ' ended as ' & $jobStatus & ' before it was done'`))
	train.Next(trained)
	trained.When(condition(`$jobStatus = 'Completed'`), then, nil).
		Otherwise(f.failed)
	return train
}

// publish makes the state that puts the signature beside the model.
func (f *flow) publish(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	publish := f.task("Publish signature", "aws-sdk:s3:copyObject", taskProps{
		comment: "What callers must send and what they get, beside the model.",
		arguments: map[string]any{
			"Bucket": f.props.Bucket.BucketName(),
			"Key":    jsonata(fmt.Sprintf(`'%s' & $job & '/signature.json'`, manifest.ModelPrefix(f.props.Pipeline))),
			// A header: each part of the key is escaped, the slashes are not.
			"CopySource": jsonata(fmt.Sprintf(`'%s/' & $join($map($split(%s.signature, '/'), function($part) { $encodeUrlComponent($part) }), '/')`, *f.props.Bucket.BucketName(), input)),
		},
		step:    stepSignature,
		retries: []*awsstepfunctions.RetryProps{f.retry(3, "S3.S3Exception", "S3.SdkClientException", "S3.SlowDownException")},
	})
	publish.Next(then)
	return publish
}

// channelsExpression makes the job's channels: train, and validation when the run has one. They are ManifestFiles, so that
// the job reads the committed files and nothing else that lies beside them.
const channelsExpression = `[$filter(['train', 'validation'], function($name) { $type($lookup(` + input + `.channels, $name)) = 'string' }).{
  'ChannelName': $,
  'ContentType': 'text/csv',
  'DataSource': {'S3DataSource': {'S3DataType': 'ManifestFile', 'S3DataDistributionType': 'FullyReplicated', 'S3Uri': $lookup(` + input + `.channels, $)}}
}]`

// metricsExpression makes an object of the job's final metrics; {} when there are none.
const metricsExpression = `($found := $states.result.FinalMetricDataList[$type(MetricName) = 'string' and $exists(Value)].{MetricName: Value}; $exists($found) ? $merge($found) : {})`

var (
	instanceFamily = regexp.MustCompile(`^ml\.([a-z]+)([0-9]+)([a-z-]*)\.`)
	// familiesWithDisk have local NVMe disks without a "d" in their name, from the generation on.
	familiesWithDisk = map[string]string{"g": "5", "p": "5", "trn": "1"}
)

// hasLocalDisk says whether machines of the type have local disks, which encrypt themselves: SageMaker refuses a key for
// them. In EC2's names that is a "d" after the generation (m5d, c6id), or a family that always has them (g5, p5, trn1).
func hasLocalDisk(instanceType string) bool {
	part := instanceFamily.FindStringSubmatch(instanceType)
	if part == nil {
		return false
	}
	for _, letter := range part[3] {
		if letter == 'd' {
			return true
		}
	}
	since, ok := familiesWithDisk[part[1]]
	return ok && part[2] >= since
}

// trainsOnLocalDisks says whether no instance type of the list takes a key for its disks.
func (f *flow) trainsOnLocalDisks() bool {
	return !slices.ContainsFunc(f.props.Training.InstanceTypes, func(t string) bool { return !hasLocalDisk(t) })
}

// trainingPermissions are what the workflow itself calls for Train and Publish signature. Source of the .sync part: the
// Step Functions developer guide, "Create and manage an Amazon SageMaker AI training job", IAM.
func (f *flow) trainingPermissions() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		allow("Train", []string{
			"sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob",
			"sagemaker:AddTags", "sagemaker:ListTags",
		}, f.named("training-job")),
		// Step Functions learns by this rule of its own that a job has ended.
		allow("HearOfTheEndOfJobs", []string{"events:PutTargets", "events:PutRule", "events:DescribeRule"},
			f.stack.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("events"), Resource: jsii.String("rule"),
				ResourceName: jsii.String("StepFunctionsGetEventsForSageMakerTrainingJobsRule"),
			})),
		allow("ReadSignatures", []string{"s3:GetObject"}, f.props.Bucket.ArnForObjects(jsii.String(f.props.Pipeline+"/runs/*"))),
		allow("PublishSignatures", []string{"s3:PutObject"}, f.props.Bucket.ArnForObjects(jsii.String(manifest.ModelPrefix(f.props.Pipeline)+"*/signature.json"))),
	}
}

// newTrainingRole makes the role of the training jobs: they read the runs of the pipeline and write its models. Source:
// the SageMaker developer guide, "CreateTrainingJob API: Execution Role Permissions".
func (f *flow) newTrainingRole() awsiam.Role {
	bucket := f.props.Bucket
	statements := []awsiam.PolicyStatement{
		allow("ReadRuns", []string{"s3:GetObject"}, bucket.ArnForObjects(jsii.String(f.props.Pipeline+"/runs/*"))),
		allow("WriteModels", []string{"s3:PutObject"}, bucket.ArnForObjects(jsii.String(manifest.ModelPrefix(f.props.Pipeline)+"*"))),
		allowIf("ListRuns", []string{"s3:ListBucket"}, map[string]any{
			"StringLike": map[string]any{"s3:prefix": f.props.Pipeline + "/*"},
		}, bucket.BucketArn()),
	}
	if f.key != nil {
		statements = append(statements, allow("OpenAndSealObjects", []string{"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"}, f.key.KeyArn()))
		if !f.trainsOnLocalDisks() {
			statements = append(statements, f.volumeKey())
		}
	}
	return f.newJobRole("TrainingRole", "Training jobs of "+f.props.Name, "/aws/sagemaker/TrainingJobs", statements)
}
