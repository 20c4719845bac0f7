package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
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
	"sagemaker-datapipeline/lambda/service"
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
	// scaling and cloudwatch are what an endpoint has to do with besides.
	scaling    *applicationautoscaling.Client
	cloudwatch *cloudwatch.Client
	queue      string
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
		emulator:   e,
		s3:         s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
		cfn:        cloudformation.NewFromConfig(cfg),
		sfn:        sfn.NewFromConfig(cfg),
		sm:         sagemaker.NewFromConfig(cfg),
		runtime:    sagemakerruntime.NewFromConfig(cfg),
		sqs:        sqs.NewFromConfig(cfg),
		lambda:     lambda.NewFromConfig(cfg),
		scaling:    applicationautoscaling.NewFromConfig(cfg),
		cloudwatch: cloudwatch.NewFromConfig(cfg),
		programs:   buildFunctions(t),
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
[ -e "$program" ] || ln "` + l.programs + `/$program" "$program" 2>/dev/null || [ -e "$program" ] || cp "` + l.programs + `/$program" "$program"
exec "$PWD/$program"
`)})
}

// endFunctions ends the processes of a pipeline's functions: MiniStack keeps one of each function waiting.
func (l *lab) endFunctions(t *testing.T, name string) {
	for _, kind := range functions {
		_, err := l.lambda.DeleteFunction(context.WithoutCancel(t.Context()), &lambda.DeleteFunctionInput{FunctionName: aws.String(name + "-" + kind)})
		if _, gone := errors.AsType[*lambdatypes.ResourceNotFoundException](err); err != nil && !gone {
			t.Errorf("ending the function %s of %s: %v", kind, name, err)
		}
	}
}

// buildFunctions compiles the programs of the workflow's functions into a folder.
func buildFunctions(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, kind := range functions {
		program := compiled(t, "sagemaker-datapipeline/lambda/"+kind)
		ok(t, os.WriteFile(filepath.Join(folder, kind), program, 0o755))
	}
	return folder
}

// export puts what the export of a run leaves into the bucket, and gives the input of the execution.
func (l *lab) export(t *testing.T, pipelineName, runID string) map[string]any {
	t.Helper()
	id, err := run.ParseID(runID)
	ok(t, err)
	const attempt = "1"
	spec := specs[pipelineName]
	m := manifest.Manifest{
		Version: manifest.Version, Project: spec.Project, Environment: spec.Environment, Pipeline: pipelineName,
		Run: id, ScheduledTime: id.Time(), Attempt: attempt, StartedAt: id.Time(), CommittedAt: id.Time(),
		SpecSHA256: spec.Hash(), QuerySHA256: strings.Repeat("0", 64), SchemaSHA256: strings.Repeat("1", 64),
		Plan: manifest.Plan{Key: manifest.RunsPrefix(pipelineName) + runID + "/plan.json", ETag: "1", Partitions: 1, Segments: 1},
		Load: "full", Generation: 1, Rows: labelledRows, Channels: map[string]manifest.Channel{},
		Smoke: manifest.Smoke{ContentType: "text/csv", Body: "0.9,0.1"},
	}
	runs := manifest.RunsPrefix(pipelineName)
	for seed, channel := range []string{manifest.Train, manifest.Validation} {
		listed, other := manifest.ChannelKey(pipelineName, id, attempt, channel, 0), manifest.ChannelKey(pipelineName, id, "2", channel, 0)
		file := l.put(t, listed, rows(uint64(seed), labelledRows/2, 0.6))
		l.put(t, other, "this,is,no,number\n")
		m.Files = append(m.Files, manifest.File{Object: file, Format: "csv", Channel: channel, Rows: labelledRows / 2})
		key := manifest.ChannelManifestKey(pipelineName, id, attempt, channel)
		m.Channels[channel] = manifest.Channel{
			Manifest: l.put(t, key, fmt.Sprintf(`[{"prefix":"s3://%s/%s"},%q]`, bucketName, runs, strings.TrimPrefix(listed, runs))),
			Rows:     labelledRows / 2, Bytes: file.Bytes, Files: 1,
		}
	}
	if spec.Deploy == pipeline.Batch {
		// The key's columns, then the features, in the names and places of the other channels.
		listed := manifest.ChannelKey(pipelineName, id, attempt, "batch", 0)
		file := l.put(t, listed, batchRows(labelledRows))
		m.Files = append(m.Files, manifest.File{Object: file, Format: "csv", Channel: "batch", Rows: labelledRows})
		m.Channels["batch"] = manifest.Channel{
			Manifest: l.put(t, manifest.ChannelManifestKey(pipelineName, id, attempt, "batch"), fmt.Sprintf(`[{"prefix":"s3://%s/%s"},%q]`, bucketName, runs, strings.TrimPrefix(listed, runs))),
			Rows:     labelledRows, Bytes: file.Bytes, Files: 1,
		}
	}
	sign, err := json.Marshal(signature.Signature{
		Version: signature.Version, Pipeline: pipelineName, Task: string(spec.Dataset.Task), Label: "Y",
		Features: []signature.Feature{{Name: "A", SQLType: "float"}, {Name: "B", SQLType: "float"}},
	})
	ok(t, err)
	m.Signature = new(l.put(t, manifest.SignatureKey(pipelineName, id, attempt), string(sign)))
	committed, err := json.Marshal(m)
	ok(t, err)
	l.put(t, manifest.Key(pipelineName, id, attempt), string(committed))
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

// batchRows are rows without a label behind a key of two columns.
func batchRows(n int) string {
	r := rand.New(rand.NewPCG(9, 1))
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d,%d,%.4f,%.4f\n", i, i, r.Float64(), r.Float64())
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

func (l *lab) get(t *testing.T, key string) string {
	t.Helper()
	out, err := l.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucketName), Key: aws.String(key)})
	if err != nil {
		t.Fatalf("reading %s: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	ok(t, err)
	return string(b)
}

func (l *lab) list(t *testing.T, below string) []string {
	t.Helper()
	out, err := l.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucketName), Prefix: aws.String(below)})
	ok(t, err)
	keys := make([]string, len(out.Contents))
	for i, o := range out.Contents {
		keys[i] = *o.Key
	}
	return keys
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
	arn := l.start(t, machine, name, input)
	if arn == "" {
		t.Fatalf("there is an execution %s of %s already", name, machine)
	}
	if during != nil {
		during()
	}
	return l.ended(t, arn)
}

// start starts an execution, or finds it where it runs with this very input; "" is that it has ended already.
func (l *lab) start(t *testing.T, machine, name string, input any) string {
	t.Helper()
	b, err := json.Marshal(input)
	ok(t, err)
	started, err := l.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String(machine), Name: aws.String(name), Input: aws.String(string(b)),
	})
	if _, exists := errors.AsType[*sfntypes.ExecutionAlreadyExists](err); exists {
		return ""
	}
	ok(t, err)
	return *started.ExecutionArn
}

// ended waits for the end of an execution.
func (l *lab) ended(t *testing.T, arn string) result {
	t.Helper()
	for {
		e, err := l.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		ok(t, err)
		if e.Status != sfntypes.ExecutionStatusRunning {
			return result{arn: arn, error: aws.ToString(e.Error), cause: aws.ToString(e.Cause), output: aws.ToString(e.Output)}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stop stops an execution as a person does.
func (l *lab) stop(t *testing.T, machine, name string) {
	t.Helper()
	_, err := l.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(strings.Replace(machine, ":stateMachine:", ":execution:", 1) + ":" + name)})
	ok(t, err)
}

// holdLease lets another execution, which runs until endHolder, hold the deploy lease of a pipeline.
func (l *lab) holdLease(t *testing.T, pipeline string) {
	t.Helper()
	made, err := l.sfn.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(holder(pipeline)), RoleArn: aws.String("arn:aws:iam::" + emulator.Account + ":role/holder"),
		Definition: aws.String(`{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":36000,"End":true}}}`),
	})
	ok(t, err)
	execution := l.start(t, *made.StateMachineArn, second, map[string]any{})
	lease, err := json.Marshal(service.Lease{Holder: service.Holder{Run: second, Execution: execution}, Since: time.Now()})
	ok(t, err)
	l.put(t, service.LeaseKey(pipeline), string(lease))
}

// endHolder stops the execution that holds the lease: it can't give it back.
func (l *lab) endHolder(t *testing.T, pipeline string) {
	t.Helper()
	l.stop(t, fmt.Sprintf("arn:aws:states:%s:%s:stateMachine:%s", emulator.Region, emulator.Account, holder(pipeline)), second)
}

func holder(pipeline string) string { return prefix(pipeline) + "-holder" }

// leaseHolder is the execution that holds the deploy lease of a pipeline; "" is none.
func (l *lab) leaseHolder(t *testing.T, pipeline string) string {
	t.Helper()
	if !l.exists(t, service.LeaseKey(pipeline)) {
		return ""
	}
	var lease service.Lease
	ok(t, json.Unmarshal([]byte(l.get(t, service.LeaseKey(pipeline))), &lease))
	if lease.Released {
		return ""
	}
	return lease.Execution
}

// inService and recordedModel are what the pipeline's history says of the present; "" is nothing.
func (l *lab) inService(t *testing.T, pipeline string) string { return l.now(t, pipeline).Config }

func (l *lab) recordedModel(t *testing.T, pipeline string) string { return l.now(t, pipeline).Model }

func (l *lab) now(t *testing.T, pipeline string) service.Entry {
	t.Helper()
	if !l.exists(t, service.Key(pipeline)) {
		return service.Entry{}
	}
	history, err := service.Decode([]byte(l.get(t, service.Key(pipeline))))
	ok(t, err)
	now, _ := history.Now()
	return now
}

// checkService looks whether the pipeline's endpoint is in service on a config, named by what follows the prefix, and whether that is
// recorded and the lease given back.
func (l *lab) checkService(t *testing.T, pipeline, config string) {
	t.Helper()
	want := prefix(pipeline) + "-" + config
	if status, serves := l.endpoint(t, prefix(pipeline)); status != "InService" || serves != want {
		t.Errorf("the endpoint is %s on %s, want %s", status, serves, want)
	}
	if got := l.inService(t, pipeline); got != want {
		t.Errorf("the history says that %s is in service, want %s", got, want)
	}
	if got := l.leaseHolder(t, pipeline); got != "" {
		t.Errorf("%s holds the deploy lease", got)
	}
}

// made are the models and endpoint configs of a prefix, by name.
func (l *lab) made(t *testing.T, prefix string) (models, configs []string) {
	t.Helper()
	m, err := l.sm.ListModels(t.Context(), &sagemaker.ListModelsInput{NameContains: aws.String(prefix + "-")})
	ok(t, err)
	for _, model := range m.Models {
		models = append(models, *model.ModelName)
	}
	c, err := l.sm.ListEndpointConfigs(t.Context(), &sagemaker.ListEndpointConfigsInput{NameContains: aws.String(prefix + "-")})
	ok(t, err)
	for _, config := range c.EndpointConfigs {
		configs = append(configs, *config.EndpointConfigName)
	}
	slices.Sort(models)
	slices.Sort(configs)
	return models, configs
}

// changeScores changes what the batch transform has answered to the hold-out of the first run.
func (l *lab) changeScores(t *testing.T, pipeline string) {
	t.Helper()
	scores := fmt.Sprintf("%s/scores/%s-%s/", pipeline, prefix(pipeline), first)
	for _, key := range l.list(t, scores) {
		var changed strings.Builder
		for line := range strings.Lines(l.get(t, key)) {
			label, _, _ := strings.Cut(line, ",")
			changed.WriteString(label + ",0.123\n")
		}
		l.put(t, key, changed.String())
	}
}

// variant is the one variant of an endpoint.
func (l *lab) variant(t *testing.T, endpoint string) smtypes.ProductionVariantSummary {
	t.Helper()
	e, err := l.sm.DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: aws.String(endpoint)})
	ok(t, err)
	return e.ProductionVariants[0]
}

// scale registers the endpoint's variant with Application Auto Scaling, and lets that choose a number of machines.
func (l *lab) scale(t *testing.T, endpoint string, least, most, chosen int32) {
	t.Helper()
	_, err := l.scaling.RegisterScalableTarget(t.Context(), &applicationautoscaling.RegisterScalableTargetInput{
		ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ScalableDimension: scalingtypes.ScalableDimensionSageMakerVariantDesiredInstanceCount,
		ResourceId: aws.String("endpoint/" + endpoint + "/variant/primary"), MinCapacity: aws.Int32(least), MaxCapacity: aws.Int32(most),
	})
	ok(t, err)
	l.awaitStatus(t, endpoint, "InService")
	_, err = l.sm.UpdateEndpointWeightsAndCapacities(t.Context(), &sagemaker.UpdateEndpointWeightsAndCapacitiesInput{
		EndpointName:                aws.String(endpoint),
		DesiredWeightsAndCapacities: []smtypes.DesiredWeightAndCapacity{{VariantName: aws.String("primary"), DesiredInstanceCount: aws.Int32(chosen)}},
	})
	ok(t, err)
	l.awaitStatus(t, endpoint, "InService")
}

// checkScaling looks between which numbers of machines an endpoint is scaled, and how many it has; 0 is that it isn't scaled.
func (l *lab) checkScaling(t *testing.T, endpoint string, least, most, machines int32) {
	t.Helper()
	id := "endpoint/" + endpoint + "/variant/primary"
	targets, err := l.scaling.DescribeScalableTargets(t.Context(), &applicationautoscaling.DescribeScalableTargetsInput{
		ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceIds: []string{id},
	})
	ok(t, err)
	policies, err := l.scaling.DescribeScalingPolicies(t.Context(), &applicationautoscaling.DescribeScalingPoliciesInput{
		ServiceNamespace: scalingtypes.ServiceNamespaceSagemaker, ResourceId: aws.String(id),
	})
	ok(t, err)
	if most == 0 {
		if len(targets.ScalableTargets) != 0 {
			t.Errorf("the endpoint is scaled: %+v", targets.ScalableTargets)
		}
	} else if len(targets.ScalableTargets) != 1 || *targets.ScalableTargets[0].MinCapacity != least || *targets.ScalableTargets[0].MaxCapacity != most || len(policies.ScalingPolicies) != 1 {
		t.Errorf("the targets are %+v and the policies %+v, want %d to %d", targets.ScalableTargets, policies.ScalingPolicies, least, most)
	}
	if got := *l.variant(t, endpoint).CurrentInstanceCount; got != machines {
		t.Errorf("the endpoint has %d machines, want %d", got, machines)
	}
}

// alarm makes an alarm that is in a state.
func (l *lab) alarm(t *testing.T, name string, state cwtypes.StateValue) {
	t.Helper()
	_, err := l.cloudwatch.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String(name), Namespace: aws.String("AWS/SageMaker"), MetricName: aws.String("Invocation5XXErrors"), Statistic: cwtypes.StatisticAverage,
		Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(0.01), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold,
		TreatMissingData: aws.String("ignore"),
	})
	ok(t, err)
	_, err = l.cloudwatch.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String(name), StateValue: state, StateReason: aws.String("the test says so")})
	ok(t, err)
}

// deleteFunction takes a function away, as somebody may by hand.
func (l *lab) deleteFunction(t *testing.T, name string) {
	t.Helper()
	_, err := l.lambda.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String(name)})
	ok(t, err)
}

// await waits until there is an object of this key, and awaitAny until there is one below a prefix.
func (l *lab) await(t *testing.T, key string) {
	t.Helper()
	l.until(t, "an object "+key, func() bool { return l.exists(t, key) })
}

func (l *lab) awaitAny(t *testing.T, below string) {
	t.Helper()
	l.until(t, "an object below "+below, func() bool { return len(l.list(t, below)) > 0 })
}

// awaitStatus waits until an endpoint is in a status.
func (l *lab) awaitStatus(t *testing.T, endpoint, want string) {
	t.Helper()
	l.until(t, "the endpoint to be "+want, func() bool {
		status, _ := l.endpoint(t, endpoint)
		return status == want
	})
}

// until waits for something that comes unless something is wrong.
func (l *lab) until(t *testing.T, what string, there func() bool) {
	t.Helper()
	for began := time.Now(); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// endEndpoint ends the machines of an endpoint that nobody asks any more: those of the test are two.
func (l *lab) endEndpoint(t *testing.T, name string) {
	t.Helper()
	if status, _ := l.endpoint(t, name); status != "InService" {
		return
	}
	_, err := l.sm.DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String(name)})
	ok(t, err)
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
	l.createConfig(t, config, config, "ml.m5.large")
	_, err := l.sm.CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{EndpointName: aws.String(name), EndpointConfigName: aws.String(config)})
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

// createConfig makes an endpoint config of a model on one machine.
func (l *lab) createConfig(t *testing.T, name, model string, machine smtypes.ProductionVariantInstanceType) {
	t.Helper()
	_, err := l.sm.CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String(name),
		ProductionVariants: []smtypes.ProductionVariant{{
			VariantName: aws.String(constructs.VariantName), ModelName: aws.String(model), InstanceType: machine, InitialInstanceCount: aws.Int32(1),
		}},
	})
	ok(t, err)
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

// whereToLook is the execution of a notice, the function's own or the one in short.
var whereToLook = regexp.MustCompile(`(?:Where to look: the execution|Execution:) (arn:[A-Za-z0-9:-]+)`)

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
			execution := ""
			if told := whereToLook.FindStringSubmatch(n.message); told != nil {
				execution = told[1]
			}
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
