package main

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/lambda/internal/deployment/deploymenttest"
	"sagemaker-datapipeline/lambda/internal/release"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
	"sagemaker-datapipeline/test/local/emulator"
)

const (
	bucket = "release-test"
	name   = "ml-dev-fraud"
	image  = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
	role   = "arn:aws:iam::000000000000:role/model"
)

func tick(n int) run.ID {
	return run.NewID(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Hour))
}

func job(n int) string { return name + "-" + string(tick(n)) }

// Two deployments after each other with real executions, a real registry and real models: SageMaker's texts mean what the function takes them for.
func TestTheDeploymentsOfARealPipeline(t *testing.T) {
	l := newLab(t)
	for n := range 3 {
		l.model(n)
	}
	first, second := l.start(0), l.start(1)

	l.ask(fmt.Sprintf(`{"command":"prune","keep":1,"run":%q}`, tick(0)), service.Pruned{Deleted: []string{}})
	l.ask(acquire(0, first), service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(0), Execution: first}})
	l.ask(acquire(1, second), service.Acquired{Wait: true, Holder: service.Holder{Run: tick(0), Execution: first}})
	l.ask(record(0, first), service.Recorded{})
	// Somebody stops the first before it gives the lease back.
	if _, err := l.states.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(first)}); err != nil {
		t.Fatal(err)
	}
	l.ask(acquire(1, second), service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(1), Execution: second}})
	l.ask(record(1, second), service.Recorded{Previous: job(0)})

	// The model of run 0 waits for a person, who hasn't decided; then that of run 2 does.
	waiting := l.register(0)
	approval := fmt.Sprintf(`{"command":"approval","run":%q,"package":%q,"asked":%q,"reminded":0,"timeoutSeconds":3600,"remindSeconds":60}`,
		tick(0), waiting, time.Now().Add(-2*time.Minute).UTC().Format("2006-01-02T15:04:05.000Z"))
	l.ask(approval, service.Approval{Status: service.Pending, Remind: true})
	l.ask(`{"command":"prune","keep":1}`, service.Pruned{Deleted: []string{}})
	l.register(2)
	superseded := service.Approval{Status: service.Superseded, By: string(tick(2)), Reason: "superseded by run " + string(tick(2))}
	l.ask(approval, superseded)
	l.ask(approval, superseded)
	l.ask(strings.Replace(approval, waiting, waiting+"9", 1), service.Approval{Status: service.Refused, Reason: "somebody deleted the model package " + waiting + "9"})

	l.ask(fmt.Sprintf(`{"command":"release","run":%q,"execution":%q}`, tick(1), second), struct{}{})
	l.ask(acquire(0, first), service.Acquired{Superseded: true, By: tick(1)})
	l.ask(`{"command":"prune","keep":1}`, service.Pruned{Deleted: []string{job(0), job(0)}})
	l.ask(`{"command":"prune","keep":1}`, service.Pruned{Deleted: []string{}})
	out, err := l.sm.ListModels(t.Context(), &sagemaker.ListModelsInput{})
	if err != nil || len(out.Models) != 2 {
		t.Fatalf("%d models are left, %v", len(out.Models), err)
	}
}

func acquire(n int, execution string) string {
	return fmt.Sprintf(`{"command":"acquire","run":%q,"execution":%q,"force":false}`, tick(n), execution)
}

func record(n int, execution string) string {
	return fmt.Sprintf(`{"command":"record","run":%q,"execution":%q,"job":%q,"model":%[3]q,"config":%[3]q,"endpoint":%q,"kind":"endpoint"}`, tick(n), execution, job(n), name)
}

func TestWhatTheFunctionNeedsIsNamed(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	t.Setenv("AWS_REGION", "us-east-1")
	never := func() (*release.Releaser, error) { return nil, errors.New("the function was set up") }
	for _, c := range []struct{ name, event, want string }{
		{"no request", `[]`, "decoding the request"},
		{"a misspelt field", `{"command":"prune","kepp":1}`, `unknown field "kepp"`},
		{"no command", `{}`, `the request has no "command"`},
		{"another command", `{"command":"deploy"}`, "acquire, release, approval, record, prune"},
		{"nobody asks", `{"command":"acquire"}`, `the command "acquire" lacks run, execution`},
		{"a run that is none", `{"command":"release","run":"yesterday","execution":"e"}`, "yesterday"},
		{"nobody was asked", fmt.Sprintf(`{"command":"approval","run":%q,"package":"p"}`, tick(0)), "lacks asked"},
		{"an endpoint without a config", fmt.Sprintf(`{"command":"record","run":%q,"execution":"e","job":"j","model":"m","kind":"endpoint"}`, tick(0)), "lacks config, endpoint"},
		{"nothing is kept", `{"command":"prune","keep":0}`, "keep is 0"},
		{"more is kept than the history has", `{"command":"prune","keep":21}`, "20 entries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := handle(t.Context(), log, never, []byte(c.event)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := setUp(t.Context(), log); err == nil || !strings.Contains(err.Error(), pipeline.FileName) {
		t.Errorf("without a spec: %v", err)
	}
	deploymenttest.Put(t, pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud", Deploy: pipeline.Endpoint})
	t.Setenv("DATA_BUCKET", "")
	t.Setenv("STATE_MACHINE_ARN", "")
	if _, err := setUp(t.Context(), log); err == nil || !strings.Contains(err.Error(), "lacks DATA_BUCKET, STATE_MACHINE_ARN") {
		t.Errorf("without its environment: %v", err)
	}
}

// lab is the local AWS with a workflow that waits.
type lab struct {
	t        *testing.T
	store    *s3.Client
	sm       *sagemaker.Client
	states   *sfn.Client
	machine  string
	releaser func() (*release.Releaser, error)
}

func newLab(t *testing.T) *lab {
	t.Helper()
	local, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Stop)
	l := &lab{
		t: t, store: s3.NewFromConfig(local.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true }),
		sm: sagemaker.NewFromConfig(local.AWSConfig()), states: sfn.NewFromConfig(local.AWSConfig()),
	}
	_, err = l.store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	l.must(err)
	machine, err := l.states.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(name), RoleArn: aws.String(role), Definition: aws.String(`{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":3600,"End":true}}}`),
	})
	l.must(err)
	l.machine = aws.ToString(machine.StateMachineArn)
	_, err = l.sm.CreateModelPackageGroup(t.Context(), &sagemaker.CreateModelPackageGroupInput{ModelPackageGroupName: aws.String(name)})
	l.must(err)
	for _, variable := range append(local.Environ(), "DATA_BUCKET="+bucket, "DATA_KEY_ARN=", "STATE_MACHINE_ARN="+l.machine) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	deploymenttest.Put(t, pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud", Deploy: pipeline.Endpoint})
	r, err := setUp(t.Context(), slog.New(slog.DiscardHandler))
	l.releaser = func() (*release.Releaser, error) { return r, err }
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) ask(event string, want any) {
	l.t.Helper()
	got, err := handle(l.t.Context(), slog.New(slog.DiscardHandler), l.releaser, []byte(event))
	if err != nil || !reflect.DeepEqual(got, want) {
		l.t.Fatalf("%s\ngot  %+v, %v\nwant %+v", event, got, err, want)
	}
}

// start starts the execution of a run, which waits.
func (l *lab) start(n int) string {
	l.t.Helper()
	out, err := l.states.StartExecution(l.t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(l.machine), Name: aws.String(string(tick(n)))})
	l.must(err)
	return aws.ToString(out.ExecutionArn)
}

func artifact(n int) string { return "fraud/models/" + job(n) + "/output/model.tar.gz" }

// model makes the artifact, the model and the config of a run.
func (l *lab) model(n int) {
	l.t.Helper()
	_, err := l.store.PutObject(l.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(artifact(n)), Body: strings.NewReader("model")})
	l.must(err)
	_, err = l.sm.CreateModel(l.t.Context(), &sagemaker.CreateModelInput{
		ModelName: aws.String(job(n)), ExecutionRoleArn: aws.String(role),
		PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image), ModelDataUrl: aws.String("s3://" + bucket + "/" + artifact(n))},
	})
	l.must(err)
	_, err = l.sm.CreateEndpointConfig(l.t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String(job(n)),
		ProductionVariants: []types.ProductionVariant{{
			VariantName: aws.String("primary"), ModelName: aws.String(job(n)), InstanceType: types.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(1),
		}},
	})
	l.must(err)
}

func (l *lab) register(n int) string {
	l.t.Helper()
	out, err := l.sm.CreateModelPackage(l.t.Context(), &sagemaker.CreateModelPackageInput{
		ModelPackageGroupName: aws.String(name), ModelApprovalStatus: types.ModelApprovalStatusPendingManualApproval,
		InferenceSpecification: &types.InferenceSpecification{
			Containers:            []types.ModelPackageContainerDefinition{{Image: aws.String(image), ModelDataUrl: aws.String("s3://" + bucket + "/" + artifact(n))}},
			SupportedContentTypes: []string{"text/csv"}, SupportedResponseMIMETypes: []string{"text/csv"},
		},
	})
	l.must(err)
	return aws.ToString(out.ModelPackageArn)
}
