package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/internal/deployment/deploymenttest"
	"sagemaker-datapipeline/lambda/pipeline"
)

func TestAMalformedEventNeedsNeitherSpecNorEnvironment(t *testing.T) {
	never := func() (*function, error) { return nil, errors.New("the function was set up") }
	for _, event := range []string{`{}`, `{"scheduledTime":"tomorrow"}`, `[]`, ``} {
		if _, err := handle(t.Context(), never, []byte(event), ""); err == nil || !strings.Contains(err.Error(), "scheduledTime") {
			t.Errorf("%s gave %v", event, err)
		}
	}
}

func TestWhatTheFunctionNeedsIsNamed(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	environment := map[string]string{
		"DATA_BUCKET": "data", "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:000000000000:stateMachine:m", "DATABASE_SECRET_ARN": "s",
		"AWS_REGION": "us-east-1",
	}
	for name, value := range environment {
		t.Setenv(name, value)
	}
	if _, err := setUp(t.Context(), log); err == nil || !strings.Contains(err.Error(), pipeline.FileName) {
		t.Errorf("without a spec: %v", err)
	}
	deploymenttest.Put(t, pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud"})
	e, err := setUp(t.Context(), log)
	if err != nil || e.Spec.Name() != "ml-dev-fraud" || e.Bucket.Name() != "data" {
		t.Fatalf("got %+v, %v", e, err)
	}
	t.Setenv("DATA_BUCKET", "")
	t.Setenv("DATABASE_SECRET_ARN", "")
	if _, err := setUp(t.Context(), log); err == nil || !strings.Contains(err.Error(), "lacks DATA_BUCKET, DATABASE_SECRET_ARN: deploy") {
		t.Errorf("without its environment: %v", err)
	}
}
