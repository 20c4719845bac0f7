package emulator_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/test/local/emulator"
)

func TestATrainingJobTrainsOnExactlyTheManifestsFiles(t *testing.T) {
	out := train(t, job("manifest"))
	if out.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.TrainingJobStatus, aws.ToString(out.FailureReason))
	}
	if got, want := passed(out), []string{"Starting", "Downloading", "Training", "Uploading", "Completed"}; !slices.Equal(got, want) {
		t.Errorf("it passed %v, want %v", got, want)
	}
	if want := "s3://" + bucket + "/models/manifest/output/model.tar.gz"; *out.ModelArtifacts.S3ModelArtifacts != want {
		t.Errorf("its artifacts are at %s, want %s", *out.ModelArtifacts.S3ModelArtifacts, want)
	}
	metrics := map[string]float32{}
	for _, m := range out.FinalMetricDataList {
		metrics[*m.MetricName] = *m.Value
	}
	if auc := metrics["validation:auc"]; auc < 0.9 || auc > 1 {
		t.Errorf("validation:auc is %v, the label follows from a feature: want at least 0.9 (metrics: %v)", auc, metrics)
	}
}

func TestAPrefixIsAPrefixOfCharacters(t *testing.T) {
	for key, body := range map[string]string{"prefix/run-1/a.csv": rows(1, 30), "prefix/run-10/b.csv": rows(2, 12)} {
		if err := put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		uri  string
		want string
	}{
		"prefix-open":   {"/prefix/run-1", "Train matrix has 42 rows and 2 columns"},
		"prefix-closed": {"/prefix/run-1/", "Train matrix has 30 rows and 2 columns"},
	} {
		out := train(t, job(name, func(in *sagemaker.CreateTrainingJobInput) {
			in.InputDataConfig = in.InputDataConfig[:1]
			in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeS3Prefix
			in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://" + bucket + test.uri)
		}))
		log, err := os.ReadFile(filepath.Join(filepath.Dir(local.emulator.LogFile), "training-jobs", name, "training.log"))
		if err != nil {
			t.Fatalf("the job ended %s: %s: %v", out.TrainingJobStatus, aws.ToString(out.FailureReason), err)
		}
		if !strings.Contains(string(log), test.want) {
			t.Errorf("with the prefix %s the log does not say %q:\n%s", test.uri, test.want, log)
		}
	}
}

func passed(out *sagemaker.DescribeTrainingJobOutput) []string {
	var found []string
	for _, transition := range out.SecondaryStatusTransitions {
		found = append(found, string(transition.Status))
	}
	return found
}

func TestAJobThatCantTrainFailsWithAReason(t *testing.T) {
	hyperparameter := func(name, value string) func(*sagemaker.CreateTrainingJobInput) {
		return func(in *sagemaker.CreateTrainingJobInput) { in.HyperParameters[name] = value }
	}
	if err := put(t.Context(), "hidden/.part.csv", "1,2\n"); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), "missing.manifest", `[{"prefix":"s3://`+bucket+`/data/train/"},"part-0.csv","gone.csv"]`); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*sagemaker.CreateTrainingJobInput)
		reason string
	}{
		{"an unknown hyperparameter", hyperparameter("max_dept", "3"), "AlgorithmError: framework error: UserError: Extraneous hyperparameter found: max_dept, exit code: 1"},
		{"a hyperparameter out of its range", hyperparameter("eta", "2"), "Hyperparameter eta: 2.0 is not in [0, 1]"},
		{"no num_round", func(in *sagemaker.CreateTrainingJobInput) { delete(in.HyperParameters, "num_round") }, "Missing required hyperparameter: num_round"},
		{"the default content type, which is libsvm", func(in *sagemaker.CreateTrainingJobInput) { in.InputDataConfig[0].ContentType = nil }, "Set ContentType to text/csv"},
		{"a hidden file", func(in *sagemaker.CreateTrainingJobInput) {
			in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeS3Prefix
			in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://" + bucket + "/hidden/")
		}, "Hidden file found in the data path!"},
		{"a file that its manifest lists and that isn't there", func(in *sagemaker.CreateTrainingJobInput) {
			in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://" + bucket + "/missing.manifest")
		}, "ClientError: Data download failed:reading s3://" + bucket + "/data/train/gone.csv: NoSuchKey (404)"},
		{"an image that isn't here", func(in *sagemaker.CreateTrainingJobInput) {
			in.AlgorithmSpecification.TrainingImage = aws.String(strings.Replace(image, "3.2-0", "1.7-1", 1))
		}, "It has: <account>.dkr.ecr.<region>.amazonaws.com/sagemaker-xgboost:3.2-0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := train(t, job("fails-"+strings.NewReplacer(" ", "-", ",", "", "'", "", "_", "").Replace(test.name), test.change))
			if got := aws.ToString(out.FailureReason); out.TrainingJobStatus != types.TrainingJobStatusFailed || !strings.Contains(got, test.reason) {
				t.Errorf("the job ended %s: %s\nwant Failed: …%s…", out.TrainingJobStatus, got, test.reason)
			}
		})
	}
}

func TestAJobCanBeStopped(t *testing.T) {
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.TrainingSlow, Seconds: 60, Match: map[string]string{"TrainingJobName": "stop"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := local.sm.CreateTrainingJob(t.Context(), job("stop")); err != nil {
		t.Fatal(err)
	}
	if _, err := local.sm.StopTrainingJob(t.Context(), &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("stop")}); err != nil {
		t.Fatalf("stopping the job: %v", err)
	}
	out := awaitJob(t, "stop")
	if got, want := passed(out), []string{"Starting", "Stopping", "Stopped"}; out.TrainingJobStatus != types.TrainingJobStatusStopped || !slices.Equal(got, want) {
		t.Errorf("the job ended %s after %v, want Stopped after %v", out.TrainingJobStatus, got, want)
	}
}

func TestAJobIsStoppedWhenItsTimeIsOver(t *testing.T) {
	out := train(t, job("max-runtime", func(in *sagemaker.CreateTrainingJobInput) {
		in.HyperParameters["num_round"] = "1000000"
		in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(1)
	}))
	if out.TrainingJobStatus != types.TrainingJobStatusStopped || out.SecondaryStatus != types.SecondaryStatusMaxRuntimeExceeded {
		t.Errorf("the job ended %s (%s), want Stopped (MaxRuntimeExceeded)", out.TrainingJobStatus, out.SecondaryStatus)
	}
}

func TestJobsAreListedAndTagged(t *testing.T) {
	out := train(t, job("tagged", func(in *sagemaker.CreateTrainingJobInput) {
		in.Tags = []types.Tag{{Key: aws.String("pipeline"), Value: aws.String("fraud")}}
	}))
	listed, err := local.sm.ListTrainingJobs(t.Context(), &sagemaker.ListTrainingJobsInput{
		NameContains: aws.String("tagg"), StatusEquals: types.TrainingJobStatusCompleted,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(listed.TrainingJobSummaries) != 1 || *listed.TrainingJobSummaries[0].TrainingJobName != "tagged" {
		t.Errorf("the list has %d jobs, want just the one asked for", len(listed.TrainingJobSummaries))
	}
	if _, err := local.sm.AddTags(t.Context(), &sagemaker.AddTagsInput{
		ResourceArn: out.TrainingJobArn, Tags: []types.Tag{{Key: aws.String("run"), Value: aws.String("1")}},
	}); err != nil {
		t.Fatal(err)
	}
	tags, err := local.sm.ListTags(t.Context(), &sagemaker.ListTagsInput{ResourceArn: out.TrainingJobArn})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, tag := range tags.Tags {
		got[*tag.Key] = *tag.Value
	}
	if len(got) != 2 || got["pipeline"] != "fraud" || got["run"] != "1" {
		t.Errorf("the tags are %v", got)
	}
}

func TestASpotJobTellsWhatItWaitsFor(t *testing.T) {
	spot := func(wait int32, checkpoints bool) func(*sagemaker.CreateTrainingJobInput) {
		return func(in *sagemaker.CreateTrainingJobInput) {
			in.EnableManagedSpotTraining = aws.Bool(true)
			in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(wait)
			if checkpoints {
				in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://" + bucket + "/checkpoints/spot/")}
			}
		}
	}
	for _, test := range []struct {
		name   string
		change func(*sagemaker.CreateTrainingJobInput)
		want   string
	}{
		{"a wait below the run time", spot(599, false), "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"},
		{"a long wait without checkpoints", spot(3601, false), "must not be above 3600 seconds"},
		{"a wait without spot", func(in *sagemaker.CreateTrainingJobInput) {
			in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(900)
		}, "allowed only with EnableManagedSpotTraining"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := local.sm.CreateTrainingJob(t.Context(), job("spot-refused", test.change))
			wantError(t, err, "ValidationException", test.want)
		})
	}
	out := train(t, job("spot-completed", spot(7200, true)))
	if out.TrainingJobStatus != types.TrainingJobStatusCompleted || !aws.ToBool(out.EnableManagedSpotTraining) || out.CheckpointConfig == nil {
		t.Errorf("the job ended %s (spot %v, checkpoints %v): %s", out.TrainingJobStatus, aws.ToBool(out.EnableManagedSpotTraining), out.CheckpointConfig, aws.ToString(out.FailureReason))
	}
	if got := keys(t, "checkpoints/spot/"); !slices.Equal(got, []string{"xgboost-checkpoint_0.ubj"}) {
		t.Errorf("it left the checkpoints %v, want the one of the first round", got)
	}
}

func TestAJobEndsForItsTimeLimitByOrder(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*sagemaker.CreateTrainingJobInput)
		want   types.SecondaryStatus
	}{
		"limit-run": {func(*sagemaker.CreateTrainingJobInput) {}, types.SecondaryStatusMaxRuntimeExceeded},
		"limit-wait": {func(in *sagemaker.CreateTrainingJobInput) {
			in.EnableManagedSpotTraining, in.StoppingCondition.MaxWaitTimeInSeconds = aws.Bool(true), aws.Int32(900)
		}, types.SecondaryStatusMaxWaitTimeExceeded},
	} {
		if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
			Outcome: emulator.TrainingTimesOut, Match: map[string]string{"TrainingJobName": name},
		}); err != nil {
			t.Fatal(err)
		}
		if out := train(t, job(name, test.change)); out.TrainingJobStatus != types.TrainingJobStatusStopped || out.SecondaryStatus != test.want {
			t.Errorf("the job ended %s (%s), want Stopped (%s)", out.TrainingJobStatus, out.SecondaryStatus, test.want)
		}
	}
}

func TestWithoutCapacityOfOneTypeTheNextIsTaken(t *testing.T) {
	preferring := func(kinds ...types.TrainingInstanceType) func(*sagemaker.CreateTrainingJobInput) {
		return func(in *sagemaker.CreateTrainingJobInput) {
			in.ResourceConfig.InstanceType = ""
			for _, kind := range kinds {
				in.ResourceConfig.InstancePreferences = append(in.ResourceConfig.InstancePreferences, types.InstancePreference{InstanceType: kind})
			}
		}
	}
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.TrainingFailed, Times: 2, Match: map[string]string{"InstanceType": "ml.m5.12xlarge"},
	}); err != nil {
		t.Fatal(err)
	}
	out := train(t, job("preferences", preferring(types.TrainingInstanceTypeMlM512xlarge, types.TrainingInstanceTypeMlM54xlarge)))
	if out.TrainingJobStatus != types.TrainingJobStatusCompleted || out.ResourceConfig.SelectedInstanceType != types.TrainingInstanceTypeMlM54xlarge {
		t.Errorf("the job ended %s on %q: %s", out.TrainingJobStatus, out.ResourceConfig.SelectedInstanceType, aws.ToString(out.FailureReason))
	}
	out = train(t, job("preferences-none", preferring(types.TrainingInstanceTypeMlM512xlarge)))
	if got := aws.ToString(out.FailureReason); out.TrainingJobStatus != types.TrainingJobStatusFailed || !strings.HasPrefix(got, "CapacityError: ") {
		t.Errorf("without any capacity the job ended %s: %s", out.TrainingJobStatus, got)
	}
	_, err := local.sm.CreateTrainingJob(t.Context(), job("preferences-both", func(in *sagemaker.CreateTrainingJobInput) {
		in.ResourceConfig.InstancePreferences = []types.InstancePreference{{InstanceType: types.TrainingInstanceTypeMlM54xlarge}}
	}))
	wantError(t, err, "ValidationException", "InstancePreferences and InstanceType cannot be used together.")
}
