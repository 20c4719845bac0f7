package emulator

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

func TestNothingOutlivesTheEmulator(t *testing.T) {
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("there is no ps here to list processes with")
	}
	tests := []struct {
		name string
		end  func(*Emulator)
	}{
		{"when it is stopped", (*Emulator).Stop},
		{"when it is killed", func(e *Emulator) { _ = syscall.Kill(e.command.Process.Pid, syscall.SIGKILL) }},
		{"when the one who started it is gone", func(e *Emulator) { _ = e.lifeline.Close() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := Start(t.Context(), Options{StateDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Stop)
			trainForEver(t, e)
			if got := running(t, e); got < 2 {
				t.Fatalf("%d processes run, want the emulator and its training job", got)
			}
			test.end(e)
			await(t, "every process to end", func() bool { return running(t, e) == 0 })
		})
	}
}

// trainForEver starts a training job and returns when its container runs.
func trainForEver(t *testing.T, e *Emulator) {
	t.Helper()
	ctx, cfg := t.Context(), e.AWSConfig()
	store, sm := s3.NewFromConfig(cfg), sagemaker.NewFromConfig(cfg)
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("for-ever")}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("for-ever"), Key: aws.String("train/a.csv"), Body: strings.NewReader("1,2\n0,1\n"),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := sm.CreateTrainingJob(ctx, &sagemaker.CreateTrainingJobInput{
		TrainingJobName: aws.String("for-ever"), RoleArn: aws.String("arn:aws:iam::000000000000:role/training"),
		AlgorithmSpecification: &types.AlgorithmSpecification{
			TrainingImage:     aws.String("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"),
			TrainingInputMode: types.TrainingInputModeFile,
		},
		HyperParameters: map[string]string{"num_round": "100000000"},
		InputDataConfig: []types.Channel{{
			ChannelName: aws.String("train"), ContentType: aws.String("text/csv"),
			DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{
				S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String("s3://for-ever/train/"),
			}},
		}},
		OutputDataConfig: &types.OutputDataConfig{S3OutputPath: aws.String("s3://for-ever/models/")},
		ResourceConfig: &types.ResourceConfig{
			InstanceType: types.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(1),
		},
	}); err != nil {
		t.Fatal(err)
	}
	await(t, "the container to run", func() bool { return running(t, e) > 1 })
}

// running counts the living processes of the emulator's group.
func running(t *testing.T, e *Emulator) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "pgid=,stat=").Output()
	if err != nil {
		t.Fatalf("listing processes: %v", err)
	}
	count := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == strconv.Itoa(e.command.Process.Pid) && !strings.HasPrefix(fields[1], "Z") {
			count++
		}
	}
	return count
}

// await polls until the condition holds. Its limit is for a hang, not for a measurement.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
