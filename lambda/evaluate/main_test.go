package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/internal/deployment/deploymenttest"
	"sagemaker-datapipeline/lambda/internal/evaluate"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/test/local/emulator"
)

const (
	image     = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
	role      = "arn:aws:iam::000000000000:role/training"
	bucket    = "evaluate-test"
	thisRun   = run.ID("20260102t020000z")
	candidate = "ml-dev-fraud-" + string(thisRun)
	champion  = "ml-dev-fraud-20260101t020000z"
)

// lab is the local AWS with a committed run.
type lab struct {
	t         *testing.T
	store     *objects.Bucket
	sm        *sagemaker.Client
	evaluator func() (*evaluate.Evaluator, error)
}

// Two real models, a real batch transform of the hold-out by each, and a real endpoint: the function finds the champion, compares, and tells an
// endpoint that serves the candidate from one that doesn't.
func TestARealCandidateAgainstARealChampion(t *testing.T) {
	l := newLab(t)
	l.ask(`{"command":"champion"}`, func(answer any, err error) {
		if got, is := answer.(evaluation.Champion); err != nil || !is || got.Champion != nil || !strings.Contains(got.Reason, "there is no endpoint") {
			t.Fatalf("before the first model: %+v, %v", answer, err)
		}
	})

	// The champion has learnt in one round what the candidate learns in twenty.
	l.model(champion, "1")
	l.model(candidate, "20")
	l.endpoint(champion)
	l.ask(`{"command":"champion"}`, func(answer any, err error) {
		got, is := answer.(evaluation.Champion)
		want := evaluation.Served{Model: champion, Config: champion, Run: "20260101t020000z"}
		if err != nil || !is || got.Champion == nil || *got.Champion != want || !got.Compare || got.Known {
			t.Fatalf("got %+v, %v", answer, err)
		}
		for _, model := range []string{candidate, champion} {
			l.transform(model, got.Holdout, got.Content)
		}
	})
	l.ask(`{"command":"decide","champion":"`+champion+`"}`, func(answer any, err error) {
		got, is := answer.(evaluation.Verdict)
		if err != nil || !is || got.Decision != evaluation.Better || got.ChampionValue == nil || *got.ChampionValue >= got.Value || got.Low >= got.Value || got.High <= got.Value {
			t.Fatalf("got %+v, %v", answer, err)
		}
		t.Log(got.Reason)
	})

	l.ask(`{"command":"smoke","endpoint":"ml-dev-fraud"}`, func(_ any, err error) {
		failure, is := errors.AsType[messages.InvokeResponse_Error](named(err))
		if !is || failure.Type != "SmokeTest" || !strings.HasPrefix(failure.Message, "smoke test: to line 1 of s3://") || !strings.Contains(failure.Message, "it serves another model") {
			t.Fatalf("of an endpoint that serves the champion: %v", err)
		}
	})
	l.update(candidate)
	l.ask(`{"command":"smoke"}`, func(answer any, err error) {
		if got, is := answer.(evaluation.Answers); err != nil || !is || got.Rows != 20 || got.LargestDifference > 1e-6 {
			t.Fatalf("got %+v, %v", answer, err)
		}
	})
}

func TestWhatTheFunctionNeedsIsNamed(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	t.Setenv("AWS_REGION", "us-east-1")
	never := func() (*evaluate.Evaluator, error) { return nil, errors.New("the function was set up") }
	if _, err := handle(t.Context(), never, []byte(`{"command":"measure"}`)); err == nil || !strings.Contains(err.Error(), "champion, decide, smoke") {
		t.Errorf("a malformed event: %v", err)
	}
	if _, err := setUp(t.Context(), log); err == nil || !strings.Contains(err.Error(), pipeline.FileName) {
		t.Errorf("without a spec: %v", err)
	}
	deploymenttest.Put(t, spec())
	t.Setenv("DATA_BUCKET", "")
	if _, err := setUp(t.Context(), log); err == nil || !strings.Contains(err.Error(), "lacks DATA_BUCKET") {
		t.Errorf("without a bucket: %v", err)
	}
	if other := errors.New("reading"); !errors.Is(named(other), other) || named(nil) != nil {
		t.Error("another error gets a name")
	}
}

func spec() pipeline.Spec {
	return pipeline.Spec{
		Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud",
		Dataset: pipeline.Dataset{Task: pipeline.Binary, Label: "IsFraud", Format: pipeline.CSV},
		Gate:    &pipeline.Gate{Metric: "auc", Holdout: "test", Worse: 0.02, Threshold: 0.5},
		Deploy:  pipeline.Endpoint,
	}
}

func newLab(t *testing.T) *lab {
	t.Helper()
	local, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Stop)
	for _, variable := range append(local.Environ(), "DATA_BUCKET="+bucket) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	deploymenttest.Put(t, spec())
	store := s3.NewFromConfig(local.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	e, err := setUp(t.Context(), slog.New(slog.DiscardHandler))
	l := &lab{
		t: t, store: objects.NewBucket(store, bucket, "", 0), sm: sagemaker.NewFromConfig(local.AWSConfig()),
		evaluator: func() (*evaluate.Evaluator, error) { return e, err },
	}
	l.commit()
	return l
}

// ask sends the command with the run's names.
func (l *lab) ask(command string, check func(answer any, err error)) {
	l.t.Helper()
	body := strings.Replace(command, "}", fmt.Sprintf(`,"run":%q,"job":%q,"manifest":%q}`, thisRun, candidate, manifest.Key("fraud", thisRun, "a")), 1)
	check(handle(l.t.Context(), l.evaluator, []byte(body)))
}

func (l *lab) put(key string, body any) manifest.Object {
	l.t.Helper()
	text, is := body.(string)
	if !is {
		b, err := json.Marshal(body)
		if err != nil {
			l.t.Fatal(err)
		}
		text = string(b)
	}
	o, err := l.store.Put(l.t.Context(), key, "text/plain", []byte(text))
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

// commit writes a run whose label is in the first feature, with noise; the second is missing here and there.
func (l *lab) commit() {
	random := rand.New(rand.NewPCG(5, 5))
	channels := map[string]manifest.Channel{}
	var files []manifest.File
	for name, n := range map[string]int{"train": 2000, "test": 500} {
		list := []any{map[string]string{"prefix": "s3://" + bucket + "/" + manifest.RunsPrefix("fraud")}}
		for part := range 2 {
			var b strings.Builder
			for range n / 2 {
				x, y, label := random.NormFloat64(), fmt.Sprintf("%.4f", random.NormFloat64()), 0
				if x*x+.5*random.NormFloat64() > 1 {
					label = 1
				}
				if random.IntN(5) == 0 {
					y = ""
				}
				fmt.Fprintf(&b, "%d,%.4f,%s\n", label, x, y)
			}
			key := manifest.ChannelKey("fraud", thisRun, "a", name, part)
			files = append(files, manifest.File{Object: l.put(key, b.String()), Channel: name, Rows: int64(n / 2)})
			list = append(list, strings.TrimPrefix(key, manifest.RunsPrefix("fraud")))
		}
		channels[name] = manifest.Channel{Manifest: l.put(manifest.ChannelManifestKey("fraud", thisRun, "a", name), list), Rows: int64(n), Files: 2}
	}
	l.put(manifest.Key("fraud", thisRun, "a"), manifest.Manifest{
		Version: manifest.Version, Pipeline: "fraud", Run: thisRun, Attempt: "a", Generation: 1, SpecSHA256: "s", Plan: manifest.Plan{Key: "p", ETag: "e"},
		Rows: 2500, Files: files, Channels: channels, Signature: &manifest.Object{Key: "s"},
	})
}

// model trains and makes a model and a config of it, with its signature.
func (l *lab) model(name, rounds string) {
	l.t.Helper()
	if _, err := l.sm.CreateTrainingJob(l.t.Context(), &sagemaker.CreateTrainingJobInput{
		TrainingJobName: aws.String(name), RoleArn: aws.String(role),
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: aws.String(image), TrainingInputMode: types.TrainingInputModeFile},
		HyperParameters:        map[string]string{"num_round": rounds, "objective": "binary:logistic", "max_depth": "2", "seed": "1"},
		InputDataConfig: []types.Channel{{ChannelName: aws.String("train"), ContentType: aws.String("text/csv"), DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{
			S3DataType: types.S3DataTypeManifestFile, S3Uri: aws.String("s3://" + bucket + "/" + manifest.ChannelManifestKey("fraud", thisRun, "a", "train")),
			S3DataDistributionType: types.S3DataDistributionFullyReplicated,
		}}}},
		OutputDataConfig:  &types.OutputDataConfig{S3OutputPath: aws.String("s3://" + bucket + "/" + manifest.ModelPrefix("fraud"))},
		ResourceConfig:    &types.ResourceConfig{InstanceType: types.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition: &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(600)},
	}); err != nil {
		l.t.Fatal(err)
	}
	var artifact string
	l.await(name+" to be trained", func() bool {
		out, err := l.sm.DescribeTrainingJob(l.t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String(name)})
		if err != nil || out.TrainingJobStatus == types.TrainingJobStatusFailed {
			l.t.Fatalf("training: %v, %s", err, aws.ToString(out.FailureReason))
		}
		if out.ModelArtifacts != nil {
			artifact = aws.ToString(out.ModelArtifacts.S3ModelArtifacts)
		}
		return out.TrainingJobStatus == types.TrainingJobStatusCompleted
	})
	if _, err := l.sm.CreateModel(l.t.Context(), &sagemaker.CreateModelInput{
		ModelName: aws.String(name), ExecutionRoleArn: aws.String(role), PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image), ModelDataUrl: aws.String(artifact)},
	}); err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.sm.CreateEndpointConfig(l.t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String(name),
		ProductionVariants: []types.ProductionVariant{{
			VariantName: aws.String("primary"), ModelName: aws.String(name), InstanceType: types.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(1),
		}},
	}); err != nil {
		l.t.Fatal(err)
	}
	l.put(manifest.ModelPrefix("fraud")+name+"/signature.json", signature.Signature{
		Version: signature.Version, Task: "binary", Label: "IsFraud", Features: []signature.Feature{{Name: "X"}, {Name: "Y", Nullable: true}},
	})
}

// transform scores the hold-out as the workflow does.
func (l *lab) transform(model, holdout, content string) {
	l.t.Helper()
	name := aws.String("score-" + model)
	if _, err := l.sm.CreateTransformJob(l.t.Context(), &sagemaker.CreateTransformJobInput{
		TransformJobName: name, ModelName: aws.String(model), BatchStrategy: types.BatchStrategyMultiRecord,
		TransformInput: &types.TransformInput{
			DataSource:  &types.TransformDataSource{S3DataSource: &types.TransformS3DataSource{S3DataType: types.S3DataTypeManifestFile, S3Uri: aws.String(holdout)}},
			ContentType: aws.String(content), SplitType: types.SplitTypeLine,
		},
		TransformOutput: &types.TransformOutput{
			S3OutputPath: aws.String("s3://" + bucket + "/" + evaluation.ScoresPrefix("fraud", candidate, model)), Accept: aws.String("text/csv"), AssembleWith: types.AssemblyTypeLine,
		},
		TransformResources: &types.TransformResources{InstanceType: types.TransformInstanceTypeMlM5Large, InstanceCount: aws.Int32(1)},
		DataProcessing:     &types.DataProcessing{InputFilter: aws.String("$[1:]"), JoinSource: types.JoinSourceInput, OutputFilter: aws.String("$[0,-1]")},
	}); err != nil {
		l.t.Fatal(err)
	}
	l.await("the scores of "+model, func() bool {
		out, err := l.sm.DescribeTransformJob(l.t.Context(), &sagemaker.DescribeTransformJobInput{TransformJobName: name})
		if err != nil || out.TransformJobStatus == types.TransformJobStatusFailed {
			l.t.Fatalf("scoring: %v, %s", err, aws.ToString(out.FailureReason))
		}
		return out.TransformJobStatus == types.TransformJobStatusCompleted
	})
}

func (l *lab) endpoint(config string) {
	l.t.Helper()
	if _, err := l.sm.CreateEndpoint(l.t.Context(), &sagemaker.CreateEndpointInput{EndpointName: aws.String("ml-dev-fraud"), EndpointConfigName: aws.String(config)}); err != nil {
		l.t.Fatal(err)
	}
	l.serves(config)
}

func (l *lab) update(config string) {
	l.t.Helper()
	if _, err := l.sm.UpdateEndpoint(l.t.Context(), &sagemaker.UpdateEndpointInput{EndpointName: aws.String("ml-dev-fraud"), EndpointConfigName: aws.String(config)}); err != nil {
		l.t.Fatal(err)
	}
	l.serves(config)
}

func (l *lab) serves(config string) {
	l.t.Helper()
	l.await("the endpoint to serve "+config, func() bool {
		out, err := l.sm.DescribeEndpoint(l.t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: aws.String("ml-dev-fraud")})
		if err != nil || out.EndpointStatus == types.EndpointStatusFailed {
			l.t.Fatalf("serving: %v, %s", err, aws.ToString(out.FailureReason))
		}
		return out.EndpointStatus == types.EndpointStatusInService && *out.EndpointConfigName == config
	})
}

// await polls until the condition holds. Its limit is for a hang, not for a measurement.
func (l *lab) await(what string, condition func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("waited two minutes for %s", what)
		}
	}
}
