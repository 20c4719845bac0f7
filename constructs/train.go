package constructs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

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
	// attempt goes on where the one before was taken off its machine, if the image finds its own checkpoint. It ends with a slash.
	// Default: "<pipeline>/checkpoints/".
	CheckpointPrefix string
}

const (
	// DefaultTrainingVolumeGiB is what SageMaker's own console proposes for a training job.
	DefaultTrainingVolumeGiB = 30
	// DefaultTrainingHours bounds what a job that doesn't converge costs.
	DefaultTrainingHours = 1
)

func (p TrainingProps) withDefaults(pipeline string) TrainingProps {
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
	if p.Patience == nil {
		p.Patience = awscdk.Duration_Hours(jsii.Number(DefaultPatienceHours))
	}
	if p.Spot != nil && p.Spot.CheckpointPrefix == "" {
		p.Spot = &SpotProps{MaxWait: p.Spot.MaxWait, CheckpointPrefix: pipeline + "/checkpoints/"}
	}
	return p
}

// maxInstanceTypes is as many as SageMaker's own list of preferences has (InstancePreferences in its API model).
const maxInstanceTypes = 5

// check panics unless the job can be made.
func (p TrainingProps) check(workflow string) {
	if n := len(p.InstanceTypes); n < 1 || n > maxInstanceTypes {
		panic(fmt.Errorf("the workflow %s has %d instance types to train on: give it one to %d, in the order of preference", workflow, n, maxInstanceTypes))
	}
	for _, instanceType := range p.InstanceTypes {
		if !strings.HasPrefix(instanceType, "ml.") {
			panic(fmt.Errorf("the workflow %s has the instance type %q: use one of SageMaker's, such as ml.m6i.large", workflow, instanceType))
		}
	}
	if p.Image == "" && p.Hyperparameters["num_round"] == "" {
		panic(fmt.Errorf("the workflow %s has no hyperparameter num_round: XGBoost needs the number of its rounds", workflow))
	}
	if spot := p.Spot; spot != nil {
		if spot.MaxWait == nil || *spot.MaxWait.ToSeconds(nil) < *p.MaxRuntime.ToSeconds(nil) {
			panic(fmt.Errorf("the workflow %s waits for spot machines for a shorter time than its job may run: SageMaker counts both together, so MaxWait is not below MaxRuntime", workflow))
		}
		if !strings.HasSuffix(spot.CheckpointPrefix, "/") || strings.HasPrefix(spot.CheckpointPrefix, "/") {
			panic(fmt.Errorf("the workflow %s keeps checkpoints below %q: a prefix of keys ends with a slash and doesn't begin with one", workflow, spot.CheckpointPrefix))
		}
	}
}

// train makes the states that end with a trained model. The job reads exactly the committed files of the run. When this execution
// dies and another one comes for the same run, that takes the job over; only a person who starts it again from "train" gets another.
func (f *flow) train(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	p := f.props.Training
	stopping, longest := map[string]any{"MaxRuntimeInSeconds": p.MaxRuntime.ToSeconds(nil)}, p.MaxRuntime
	output := map[string]any{"S3OutputPath": fmt.Sprintf("s3://%s/%s", *f.props.Bucket.BucketName(), manifest.ModelPrefix(f.props.Pipeline))}
	if f.key != nil {
		output["KmsKeyId"] = f.key.KeyArn()
	}
	arguments := map[string]any{
		"AlgorithmSpecification": map[string]any{
			"TrainingImage":     f.image.URI,
			"TrainingInputMode": "File",
		},
		"RoleArn":          f.trainingRole.RoleArn(),
		"InputDataConfig":  jsonata(channelsExpression),
		"OutputDataConfig": output,
		"ResourceConfig": f.byInstanceType(p.InstanceTypes, func(instanceType string) map[string]any {
			return f.machines(instanceType, map[string]any{"InstanceCount": p.InstanceCount, "VolumeSizeInGB": p.VolumeGiB})
		}),
		"StoppingCondition": stopping,
		"HyperParameters":   &p.Hyperparameters,
		"Tags":              f.tags(),
	}
	if f.vpcConfig != nil {
		arguments["VpcConfig"] = f.vpcConfig
	}
	if spot := p.Spot; spot != nil {
		longest = spot.MaxWait
		stopping["MaxWaitTimeInSeconds"] = spot.MaxWait.ToSeconds(nil)
		arguments["EnableManagedSpotTraining"] = true
		arguments["CheckpointConfig"] = map[string]any{
			"S3Uri": jsonata(fmt.Sprintf(`'s3://%s/%s' & $run & '/'`, *f.props.Bucket.BucketName(), spot.CheckpointPrefix)),
		}
	}
	return f.runJob(job{
		kind: trainingJob, errors: "Train",
		create: stepTrain, ended: "Trained?", look: "Look at training job", wait: "Wait to train", watch: "Wait for training job", stop: "Stop training job",
		comment:       "One training job on exactly the committed files of the run. Each attempt has a name of its own.",
		name:          fmt.Sprintf(`('%s-' & $run & ($attempt > 1 ? '-a' & $string($attempt) : ''))`, f.props.Name),
		arguments:     arguments,
		instances:     p.InstanceCount,
		instanceTypes: p.InstanceTypes,
		isOurs: fmt.Sprintf(`( $inputs := function($channels) { $join($sort([$channels.($string(ChannelName) & ' ' & $string(DataSource.S3DataSource.S3Uri))]), ', ') };
    $inputs($states.result.InputDataConfig) = $inputs(%s) and $states.result.AlgorithmSpecification.TrainingImage = '%s' )`, channelsExpression, f.image.URI),
		anew:           input + `.resume.from = '` + string(manifest.FromTrain) + `'`,
		assign:         trained,
		timeoutSeconds: int(*longest.ToSeconds(nil)) + startingHours*60*60,
	}, then)
}

// trained is what later states need of a training job, from its description.
var trained = variables{
	"job":      jsonata(`$states.result.TrainingJobName`),
	"artifact": jsonata(`$exists($states.result.ModelArtifacts.S3ModelArtifacts) ? $states.result.ModelArtifacts.S3ModelArtifacts : ''`),
	"metrics":  jsonata(metricsExpression),
}

// resume makes the states that take over the model of an earlier execution, which a person wants evaluated or put into service.
// What is evaluated again gets its signature published again, in case that was what failed.
func (f *flow) resume(published, modelled awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	look := f.task("Look at trained model", "aws-sdk:sagemaker:describeTrainingJob", taskProps{
		comment:   "A person started the run again after its training.",
		arguments: map[string]any{"TrainingJobName": jsonata(input + `.resume.model`)},
		assign: variables{
			"job": trained["job"], "artifact": trained["artifact"], "metrics": trained["metrics"],
			"jobStatus": jsonata(`$string($states.result.TrainingJobStatus)`),
		},
		step:    stepTrain,
		retries: []*awsstepfunctions.RetryProps{f.retry(4, "SageMaker.SageMakerException", "SageMaker.SdkClientException")},
	})
	from := f.choice("Which step is it for?", "", failing(stepTrain, "Train.NotCompleted",
		`'the training job ' & $job & ' is ' & $jobStatus & ': only one that has completed has a model. Start the run again from "train".'`))
	look.Next(from)
	from.When(condition(`$jobStatus = 'Completed' and `+input+`.resume.from = '`+string(manifest.FromDeploy)+`'`), modelled, nil).
		When(condition(`$jobStatus = 'Completed'`), published, nil).
		Otherwise(f.failed)
	return look
}

// machines is what a job says of its machines of a type: their disks are sealed with the key, unless they seal themselves.
func (f *flow) machines(instanceType string, members map[string]any) map[string]any {
	members["InstanceType"] = instanceType
	if f.key != nil && !hasLocalDisk(instanceType) {
		members["VolumeKmsKeyId"] = f.key.KeyArn()
	}
	return members
}

// byInstanceType is what the arguments of a job hold that depends on the type that is asked for.
func (f *flow) byInstanceType(types []string, of func(instanceType string) map[string]any) any {
	if len(types) == 1 {
		return of(types[0])
	}
	choices := make([]map[string]any, len(types))
	for i, instanceType := range types {
		choices[i] = of(instanceType)
	}
	return jsonata(chosen(choices))
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

// trainingPermissions are what the workflow itself calls for Train, Publish signature and taking a model over. Source of the .sync
// part: the Step Functions developer guide, "Create and manage an Amazon SageMaker AI training job", IAM.
func (f *flow) trainingPermissions() []awsiam.PolicyStatement {
	return append(f.jobPermissions(trainingJob, "Train", "training-job", "StepFunctionsGetEventsForSageMakerTrainingJobsRule"),
		allow("ReadSignatures", []string{"s3:GetObject"}, f.props.Bucket.ArnForObjects(jsii.String(f.props.Pipeline+"/runs/*"))),
		allow("PublishSignatures", []string{"s3:PutObject"}, f.props.Bucket.ArnForObjects(jsii.String(manifest.ModelPrefix(f.props.Pipeline)+"*/signature.json"))),
	)
}

// newTrainingRole makes the role of the training jobs: they read the runs of the pipeline and write its models. Source:
// the SageMaker developer guide, "CreateTrainingJob API: Execution Role Permissions"; for checkpoints, "Use checkpoints in
// Amazon SageMaker AI".
func (f *flow) newTrainingRole() awsiam.Role {
	bucket := f.props.Bucket
	statements := []awsiam.PolicyStatement{
		allow("ReadRuns", []string{"s3:GetObject"}, bucket.ArnForObjects(jsii.String(f.props.Pipeline+"/runs/*"))),
		allow("WriteModels", []string{"s3:PutObject"}, bucket.ArnForObjects(jsii.String(manifest.ModelPrefix(f.props.Pipeline)+"*"))),
		allowIf("ListRuns", []string{"s3:ListBucket"}, map[string]any{
			"StringLike": map[string]any{"s3:prefix": f.props.Pipeline + "/*"},
		}, bucket.BucketArn()),
	}
	if spot := f.props.Training.Spot; spot != nil {
		statements = append(statements, allow("KeepCheckpoints", []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
			bucket.ArnForObjects(jsii.String(spot.CheckpointPrefix+"*"))))
	}
	if f.key != nil {
		statements = append(statements, allow("OpenAndSealObjects", []string{"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"}, f.key.KeyArn()))
		if !f.trainsOnLocalDisks() {
			statements = append(statements, f.volumeKey())
		}
	}
	return f.newJobRole("TrainingRole", "Training jobs of "+f.props.Name, statements, trainingJob.logGroup)
}
