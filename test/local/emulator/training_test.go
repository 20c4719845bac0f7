package emulator_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

func TestATrainingJobTrainsOnExactlyTheManifestsFiles(t *testing.T) {
	out := train(t, job("manifest"))
	if out.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.TrainingJobStatus, *out.FailureReason)
	}
	var passed []types.SecondaryStatus
	for _, transition := range out.SecondaryStatusTransitions {
		passed = append(passed, transition.Status)
	}
	want := []types.SecondaryStatus{"Starting", "Downloading", "Training", "Uploading", "Completed"}
	if !slices.Equal(passed, want) {
		t.Errorf("it passed %v, want %v", passed, want)
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
