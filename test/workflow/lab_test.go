package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/test/local/emulator"
)

// labelledRows is how many rows a run has, half of them for training.
const labelledRows = 400

// lab is a local AWS with the bucket, the topic and whoever listens to it.
type lab struct {
	emulator *emulator.Emulator
	s3       *s3.Client
	cfn      *cloudformation.Client
	sfn      *sfn.Client
	sm       *sagemaker.Client
	runtime  *sagemakerruntime.Client
	sqs      *sqs.Client
	lambda   *lambda.Client
	queue    string
	// programs is the folder of the functions' programs.
	programs string

	// oldModel is the artifact of the model that other people have in service.
	oldModel string
}

// notice is a message of the topic.
type notice struct {
	subject, message string
	attributes       map[string]string
}

// newLab starts a local AWS whose state machines wait a part of what they say.
func newLab(t *testing.T, waitScale string) *lab {
	t.Helper()
	e := startEmulator(t, waitScale)
	cfg := e.AWSConfig()
	l := &lab{
		emulator: e,
		s3:       s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
		cfn:      cloudformation.NewFromConfig(cfg),
		sfn:      sfn.NewFromConfig(cfg),
		sm:       sagemaker.NewFromConfig(cfg),
		runtime:  sagemakerruntime.NewFromConfig(cfg),
		sqs:      sqs.NewFromConfig(cfg),
		lambda:   lambda.NewFromConfig(cfg),
		programs: buildFunctions(t),
	}
	ctx := t.Context()
	_, err := l.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucketName)})
	ok(t, err)
	topics := sns.NewFromConfig(cfg)
	topic, err := topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(topicName)})
	ok(t, err)
	queue, err := l.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("workflow-test-reader")})
	ok(t, err)
	_, err = topics.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"),
		Endpoint: aws.String(fmt.Sprintf("arn:aws:sqs:%s:%s:workflow-test-reader", emulator.Region, emulator.Account)),
	})
	ok(t, err)
	l.queue = *queue.QueueUrl
	return l
}

// deploy makes the stack of a pipeline by CloudFormation, with the functions that its workflow calls, and gives the ARN of its state
// machine.
func (l *lab) deploy(t *testing.T, pipeline string) string {
	t.Helper()
	name := prefix(pipeline)
	if spec, calls := specs[pipeline]; calls {
		l.put(t, codeKey(pipeline), string(l.code(t, spec)))
		t.Cleanup(func() { l.endFunctions(t, name) })
	}
	body, err := json.Marshal(templates[name])
	ok(t, err)
	// CloudFormation takes 51,200 bytes in a request, and more in the bucket.
	l.put(t, "templates/"+name+".json", string(body))
	_, err = l.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: aws.String(name), TemplateURL: aws.String(fmt.Sprintf("%s/%s/templates/%s.json", l.emulator.URL, bucketName, name)),
	})
	ok(t, err)
	ok(t, cloudformation.NewStackCreateCompleteWaiter(l.cfn, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	}).Wait(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(name)}, time.Minute))
	return fmt.Sprintf("arn:aws:states:%s:%s:stateMachine:%s", emulator.Region, emulator.Account, name)
}

// code is the deployment package of a pipeline's functions: the spec, and a script that puts the function's program beside it, where
// it looks for the spec. The programs are the real ones; but compressing them for each of the many pipelines would take minutes.
func (l *lab) code(t *testing.T, spec pipeline.Spec) []byte {
	t.Helper()
	b, err := json.Marshal(spec)
	ok(t, err)
	return zipped(t, map[string][]byte{pipeline.FileName: b, "bootstrap": []byte(`#!/bin/sh
program=${AWS_LAMBDA_FUNCTION_NAME##*-}
[ -e "$program" ] || ln "` + l.programs + `/$program" "$program" 2>/dev/null
exec "$PWD/$program"
`)})
}

// endFunctions ends the processes of a pipeline's functions: MiniStack keeps one of each function waiting.
func (l *lab) endFunctions(t *testing.T, name string) {
	for _, kind := range functions {
		_, err := l.lambda.DeleteFunction(context.WithoutCancel(t.Context()), &lambda.DeleteFunctionInput{FunctionName: aws.String(name + "-" + kind)})
		if err != nil {
			t.Errorf("ending the function %s of %s: %v", kind, name, err)
		}
	}
}

// buildFunctions compiles the programs of the workflow's functions into a folder.
func buildFunctions(t *testing.T) string {
	t.Helper()
	// Beside the emulator's own copies of deployment packages, so that a program can be linked to them.
	folder, err := os.MkdirTemp("", "workflow-test-functions-")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	for _, kind := range functions {
		program := compiled(t, "sagemaker-datapipeline/lambda/"+kind)
		ok(t, os.WriteFile(filepath.Join(folder, kind), program, 0o755))
	}
	return folder
}

// export puts what the export of a run leaves into the bucket, and gives the input of the execution.
func (l *lab) export(t *testing.T, pipeline, runID string) map[string]any {
	t.Helper()
	id, err := run.ParseID(runID)
	ok(t, err)
	const attempt = "1"
	spec := specs[pipeline]
	m := manifest.Manifest{
		Version: manifest.Version, Project: spec.Project, Environment: spec.Environment, Pipeline: pipeline,
		Run: id, ScheduledTime: id.Time(), Attempt: attempt, StartedAt: id.Time(), CommittedAt: id.Time(),
		SpecSHA256: spec.Hash(), QuerySHA256: strings.Repeat("0", 64), SchemaSHA256: strings.Repeat("1", 64),
		Plan: manifest.Plan{Key: manifest.RunsPrefix(pipeline) + runID + "/plan.json", ETag: "1", Partitions: 1, Segments: 1},
		Load: "full", Generation: 1, Rows: labelledRows, Channels: map[string]manifest.Channel{},
		Smoke: manifest.Smoke{ContentType: "text/csv", Body: "0.9,0.1"},
	}
	runs := manifest.RunsPrefix(pipeline)
	for seed, channel := range []string{manifest.Train, manifest.Validation} {
		listed, other := manifest.ChannelKey(pipeline, id, attempt, channel, 0), manifest.ChannelKey(pipeline, id, "2", channel, 0)
		file := l.put(t, listed, rows(uint64(seed), labelledRows/2, 0.6))
		l.put(t, other, "this,is,no,number\n")
		m.Files = append(m.Files, manifest.File{Object: file, Format: "csv", Channel: channel, Rows: labelledRows / 2})
		key := manifest.ChannelManifestKey(pipeline, id, attempt, channel)
		m.Channels[channel] = manifest.Channel{
			Manifest: l.put(t, key, fmt.Sprintf(`[{"prefix":"s3://%s/%s"},%q]`, bucketName, runs, strings.TrimPrefix(listed, runs))),
			Rows:     labelledRows / 2, Bytes: file.Bytes, Files: 1,
		}
	}
	sign, err := json.Marshal(signature.Signature{
		Version: signature.Version, Pipeline: pipeline, Task: string(spec.Dataset.Task), Label: "Y",
		Features: []signature.Feature{{Name: "A", SQLType: "float"}, {Name: "B", SQLType: "float"}},
	})
	ok(t, err)
	m.Signature = new(l.put(t, manifest.SignatureKey(pipeline, id, attempt), string(sign)))
	committed, err := json.Marshal(m)
	ok(t, err)
	l.put(t, manifest.Key(pipeline, id, attempt), string(committed))
	b, err := json.Marshal(m.ExecutionInput(bucketName))
	ok(t, err)
	var input map[string]any
	ok(t, json.Unmarshal(b, &input))
	if spec.Gate != nil {
		input["holdout"] = spec.Gate.Holdout
	}
	return input
}

// rows are labelled rows without a header: the label is 1 where the first feature is above the threshold, mostly.
func rows(seed uint64, n int, threshold float64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		x, y := r.Float64(), r.Float64()
		label := 0
		if x+0.1*r.NormFloat64() > threshold {
			label = 1
		}
		fmt.Fprintf(&b, "%d,%.4f,%.4f\n", label, x, y)
	}
	return b.String()
}

func (l *lab) put(t *testing.T, key, body string) manifest.Object {
	t.Helper()
	_, err := l.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucketName), Key: aws.String(key), Body: strings.NewReader(body)})
	ok(t, err)
	sum := sha256.Sum256([]byte(body))
	return manifest.Object{Key: key, Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
}

func (l *lab) exists(t *testing.T, key string) bool {
	t.Helper()
	_, err := l.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucketName), Key: aws.String(key)})
	if _, missing := errors.AsType[*s3types.NotFound](err); missing {
		return false
	}
	ok(t, err)
	return true
}

// result is an execution that has ended.
type result struct {
	arn, error, cause, output string
}

// execute executes the state machine to its end; during happens meanwhile.
func (l *lab) execute(t *testing.T, machine, name string, input any, during func()) result {
	t.Helper()
	b, err := json.Marshal(input)
	ok(t, err)
	started, err := l.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String(machine), Name: aws.String(name), Input: aws.String(string(b)),
	})
	ok(t, err)
	if during != nil {
		during()
	}
	for {
		e, err := l.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: started.ExecutionArn})
		ok(t, err)
		if e.Status != sfntypes.ExecutionStatusRunning {
			return result{arn: *started.ExecutionArn, error: aws.ToString(e.Error), cause: aws.ToString(e.Cause), output: aws.ToString(e.Output)}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// order orders a fault for the pipeline's names.
func (l *lab) order(t *testing.T, pipeline string, f emulator.Fault) {
	t.Helper()
	match := map[string]string{}
	for member, pattern := range f.Match {
		match[member] = strings.ReplaceAll(pattern, "%s", prefix(pipeline))
	}
	f.Match = match
	ok(t, l.emulator.OrderFault(t.Context(), f))
}

// calls are the calls of Step Functions that named this resource, "Operation" or "Operation!" where they were refused.
func (l *lab) calls(t *testing.T, member, name string) []string {
	t.Helper()
	all, err := l.emulator.Calls(t.Context())
	ok(t, err)
	var made []string
	for _, c := range all {
		var request map[string]any
		ok(t, json.Unmarshal(c.Request, &request))
		if c.Source != "states" || request[member] != name {
			continue
		}
		if c.Error != nil {
			c.Operation += "!"
		}
		made = append(made, c.Operation)
	}
	return made
}

// asked are the changes of an endpoint that Step Functions asked for, in order.
func (l *lab) asked(t *testing.T, endpoint string) string {
	t.Helper()
	var asked []string
	for _, operation := range l.calls(t, "EndpointName", endpoint) {
		switch operation {
		case "CreateEndpoint", "UpdateEndpoint", "DeleteEndpoint":
			asked = append(asked, operation)
		}
	}
	return strings.Join(asked, " ")
}

// endpoint is the status and the config of an endpoint, "absent" and "" where there is none.
func (l *lab) endpoint(t *testing.T, name string) (status, config string) {
	t.Helper()
	e, err := l.sm.DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: aws.String(name)})
	if err != nil && strings.Contains(err.Error(), "Could not find endpoint") {
		return "absent", ""
	}
	ok(t, err)
	return string(e.EndpointStatus), aws.ToString(e.EndpointConfigName)
}

// predict is what the endpoint answers to the row that every model here is asked.
func (l *lab) predict(t *testing.T, endpoint string) string {
	t.Helper()
	out, err := l.runtime.InvokeEndpoint(t.Context(), &sagemakerruntime.InvokeEndpointInput{
		EndpointName: aws.String(endpoint), ContentType: aws.String("text/csv"), Body: []byte("0.9,0.1"),
	})
	ok(t, err)
	return strings.TrimSpace(string(out.Body))
}

// serveOld puts a model of somebody else into service on the config <prefix>-old, and gives what it answers.
func (l *lab) serveOld(t *testing.T, pipeline string) string {
	t.Helper()
	name, config := prefix(pipeline), prefix(pipeline)+"-old"
	l.createModel(t, config)
	_, err := l.sm.CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String(config),
		ProductionVariants: []smtypes.ProductionVariant{{
			VariantName: aws.String(constructs.VariantName), ModelName: aws.String(config),
			InstanceType: smtypes.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(1),
		}},
	})
	ok(t, err)
	_, err = l.sm.CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{EndpointName: aws.String(name), EndpointConfigName: aws.String(config)})
	ok(t, err)
	for {
		switch status, _ := l.endpoint(t, name); status {
		case "InService":
			return l.predict(t, name)
		case "Failed":
			t.Fatalf("the endpoint %s did not come up", name)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// createModel makes a model of an artifact that no run of the pipeline has made.
func (l *lab) createModel(t *testing.T, name string) {
	t.Helper()
	image, err := constructs.XGBoostImage(emulator.Region, constructs.XGBoostVersions[0])
	ok(t, err)
	_, err = l.sm.CreateModel(t.Context(), &sagemaker.CreateModelInput{
		ModelName: aws.String(name), ExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/somebody"),
		PrimaryContainer: &smtypes.ContainerDefinition{Image: aws.String(image.URI), ModelDataUrl: aws.String(l.oldModel)},
	})
	ok(t, err)
}

// trainOld trains a model that has learned something else, and gives its artifact.
func (l *lab) trainOld(t *testing.T) string { return l.trainSomebodys(t, "somebodys-model") }

// trainSomebodys trains a model of that name on data that is no run's, and gives its artifact.
func (l *lab) trainSomebodys(t *testing.T, name string) string {
	t.Helper()
	l.put(t, "somebody/train/part.csv", rows(7, labelledRows, 0.95))
	image, err := constructs.XGBoostImage(emulator.Region, constructs.XGBoostVersions[0])
	ok(t, err)
	job := aws.String(name)
	_, err = l.sm.CreateTrainingJob(t.Context(), &sagemaker.CreateTrainingJobInput{
		TrainingJobName:        job,
		RoleArn:                aws.String("arn:aws:iam::000000000000:role/somebody"),
		AlgorithmSpecification: &smtypes.AlgorithmSpecification{TrainingImage: aws.String(image.URI), TrainingInputMode: smtypes.TrainingInputModeFile},
		HyperParameters:        map[string]string{"num_round": "3", "objective": "binary:logistic"},
		InputDataConfig: []smtypes.Channel{{
			ChannelName: aws.String("train"), ContentType: aws.String("text/csv"),
			DataSource: &smtypes.DataSource{S3DataSource: &smtypes.S3DataSource{
				S3DataType: smtypes.S3DataTypeS3Prefix, S3Uri: aws.String("s3://" + bucketName + "/somebody/train/"),
			}},
		}},
		OutputDataConfig:  &smtypes.OutputDataConfig{S3OutputPath: aws.String("s3://" + bucketName + "/somebody/models/")},
		ResourceConfig:    &smtypes.ResourceConfig{InstanceType: smtypes.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition: &smtypes.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(600)},
	})
	ok(t, err)
	for {
		d, err := l.sm.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: job})
		ok(t, err)
		switch d.TrainingJobStatus {
		case smtypes.TrainingJobStatusCompleted:
			return *d.ModelArtifacts.S3ModelArtifacts
		case smtypes.TrainingJobStatusFailed, smtypes.TrainingJobStatusStopped:
			t.Fatalf("training somebody's model: %s", aws.ToString(d.FailureReason))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// executionARN is what a notice says about where to look.
var executionARN = regexp.MustCompile(`arn:aws:states:[a-z0-9-]+:[0-9]+:execution:[A-Za-z0-9:-]+`)

// notices are what the topic's readers got, by the ARN of the execution that each notice names.
func (l *lab) notices(t *testing.T) map[string][]notice {
	t.Helper()
	found := map[string][]notice{}
	for {
		got, err := l.sqs.ReceiveMessage(context.WithoutCancel(t.Context()), &sqs.ReceiveMessageInput{QueueUrl: aws.String(l.queue), MaxNumberOfMessages: 10})
		ok(t, err)
		if len(got.Messages) == 0 {
			return found
		}
		for _, m := range got.Messages {
			var envelope struct {
				Subject, Message  string
				MessageAttributes map[string]struct{ Value string }
			}
			ok(t, json.Unmarshal([]byte(*m.Body), &envelope))
			n := notice{subject: envelope.Subject, message: envelope.Message, attributes: map[string]string{}}
			for name, a := range envelope.MessageAttributes {
				n.attributes[name] = a.Value
			}
			execution := executionARN.FindString(n.message)
			found[execution] = append(found[execution], n)
			_, err := l.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: aws.String(l.queue), ReceiptHandle: m.ReceiptHandle})
			ok(t, err)
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
