package emulator_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/test/local/emulator"
)

const (
	image  = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
	role   = "arn:aws:iam::000000000000:role/training"
	bucket = "emulator-test"
)

// The tests share one emulator, as pipelines do; each uses names of its own.
var local struct {
	emulator *emulator.Emulator
	s3       *s3.Client
	sm       *sagemaker.Client
	runtime  *sagemakerruntime.Client
	sfn      *sfn.Client
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	state, err := os.MkdirTemp("", "emulator-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(state)
	ctx := context.Background()
	e, err := emulator.Start(ctx, emulator.Options{StateDir: state, Env: []string{"SFN_WAIT_SCALE=0.1", "ALARM_PERIOD_SCALE=0.1"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer e.Stop()
	cfg := e.AWSConfig()
	// The tests want to see each answer of the service, not the SDK's third.
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		})
	}
	local.emulator = e
	local.s3 = s3.NewFromConfig(cfg)
	local.sm = sagemaker.NewFromConfig(cfg)
	local.runtime = sagemakerruntime.NewFromConfig(cfg)
	local.sfn = sfn.NewFromConfig(cfg)
	if err := prepareBucket(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		log, _ := os.ReadFile(e.LogFile)
		fmt.Fprintf(os.Stderr, "the emulator's log:\n%s\n", log)
	}
	return code
}

// prepareBucket writes two small channels, each with a manifest of exactly its file, and beside each a file that the
// manifest does not list and that would make the job fail.
func prepareBucket(ctx context.Context) error {
	if _, err := local.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		return err
	}
	for seed, channel := range []string{"train", "validation"} {
		objects := map[string]string{
			"data/" + channel + "/part-0.csv":   rows(uint64(seed), 400),
			"data/" + channel + "/unlisted.csv": "this,is,no,number\n",
			"data/" + channel + ".manifest":     fmt.Sprintf(`[{"prefix":"s3://%s/data/%s/"},"part-0.csv"]`, bucket, channel),
		}
		for key, body := range objects {
			if err := put(ctx, key, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// rows are labelled rows whose label depends on the first feature.
func rows(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		x, y := r.Float64(), r.Float64()
		label := 0
		if x+0.1*r.NormFloat64() > 0.6 {
			label = 1
		}
		fmt.Fprintf(&b, "%d,%.4f,%.4f\n", label, x, y)
	}
	return b.String()
}

func put(ctx context.Context, key, body string) error {
	_, err := local.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: strings.NewReader(body),
	})
	return err
}

// job is a training job on the two channels.
func job(name string, change ...func(*sagemaker.CreateTrainingJobInput)) *sagemaker.CreateTrainingJobInput {
	in := &sagemaker.CreateTrainingJobInput{
		TrainingJobName: aws.String(name),
		RoleArn:         aws.String(role),
		AlgorithmSpecification: &types.AlgorithmSpecification{
			TrainingImage: aws.String(image), TrainingInputMode: types.TrainingInputModeFile,
		},
		HyperParameters: map[string]string{
			"num_round": "12", "objective": "binary:logistic", "eval_metric": "auc", "max_depth": "3", "seed": "1",
		},
		InputDataConfig:  []types.Channel{channel("train"), channel("validation")},
		OutputDataConfig: &types.OutputDataConfig{S3OutputPath: aws.String("s3://" + bucket + "/models/")},
		ResourceConfig: &types.ResourceConfig{
			InstanceType: types.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10),
		},
		StoppingCondition: &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(600)},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

func channel(name string) types.Channel {
	return types.Channel{
		ChannelName: aws.String(name),
		ContentType: aws.String("text/csv"),
		DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{
			S3DataType: types.S3DataTypeManifestFile, S3Uri: aws.String("s3://" + bucket + "/data/" + name + ".manifest"),
			S3DataDistributionType: types.S3DataDistributionFullyReplicated,
		}},
	}
}

// train creates the job and waits for its end.
func train(t *testing.T, in *sagemaker.CreateTrainingJobInput) *sagemaker.DescribeTrainingJobOutput {
	t.Helper()
	if _, err := local.sm.CreateTrainingJob(t.Context(), in); err != nil {
		t.Fatalf("creating the job: %v", err)
	}
	return awaitJob(t, *in.TrainingJobName)
}

func awaitJob(t *testing.T, name string) *sagemaker.DescribeTrainingJobOutput {
	t.Helper()
	var out *sagemaker.DescribeTrainingJobOutput
	await(t, "job "+name+" to end", func() bool {
		var err error
		if out, err = local.sm.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String(name)}); err != nil {
			t.Fatalf("describing the job: %v", err)
		}
		return out.TrainingJobStatus != types.TrainingJobStatusInProgress && out.TrainingJobStatus != types.TrainingJobStatusStopping
	})
	return out
}

// await polls until the condition holds. Its limit is for a hang, not for a measurement.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// trained is the artifact of a job that the tests share.
func trained(t *testing.T) string {
	t.Helper()
	const name = "shared"
	_, err := local.sm.CreateTrainingJob(t.Context(), job(name))
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		t.Fatalf("creating the job: %v", err)
	}
	out := awaitJob(t, name)
	if out.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatalf("job %s ended %s: %s", name, out.TrainingJobStatus, aws.ToString(out.FailureReason))
	}
	return *out.ModelArtifacts.S3ModelArtifacts
}
