// Package service holds what is in service of a pipeline and what was, the lease under which that changes, and what the release function is asked and
// answers.
package service

import (
	"encoding/json"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// HistoryLength is how many entries a history keeps: a model that left service twenty releases ago is in the model registry still.
const HistoryLength = 20

// Key is the key of a pipeline's Service.
func Key(pipeline string) string { return pipeline + "/service.json" }

// Service is what is in service of a pipeline, as the workflow recorded it when the model answered, and what was before.
type Service struct {
	// History has the newest first, at most HistoryLength; empty before the first model.
	History []Entry `json:"history"`
}

// Entry is one model's coming into service. A model that was rolled back to has one for each time.
type Entry struct {
	// Run whose data the model was trained on.
	Run run.ID `json:"run"`
	// Job is the training job, Model the SageMaker model, and Config the endpoint config. Of a batch there is no config.
	Job    string `json:"job"`
	Model  string `json:"model"`
	Config string `json:"config,omitempty"`
	// Endpoint is empty of a batch.
	Endpoint string          `json:"endpoint,omitempty"`
	Kind     pipeline.Deploy `json:"kind"`
	// Execution put it into service.
	Execution string    `json:"execution"`
	At        time.Time `json:"at"`
	// Previous is the config that served before; empty for the first, and of a batch.
	Previous string `json:"previous,omitempty"`
}

// Now is what is in service; false before the first model.
func (s Service) Now() (Entry, bool) {
	if len(s.History) == 0 {
		return Entry{}, false
	}
	return s.History[0], true
}

// Decode reads a Service. Fields that it doesn't know are ignored.
func Decode(b []byte) (Service, error) {
	var s Service
	if err := json.Unmarshal(b, &s); err != nil {
		return Service{}, fmt.Errorf("decoding what is in service: %w", err)
	}
	for i, e := range s.History {
		if _, err := run.ParseID(string(e.Run)); err != nil {
			return Service{}, fmt.Errorf("decoding what is in service: entry %d: %w", i, err)
		}
	}
	return s, nil
}

// LeaseKey is the key of a pipeline's Lease.
func LeaseKey(pipeline string) string { return pipeline + "/deploy-lease.json" }

// Lease says which execution may change what is in service. It has no end by time: an endpoint's update has none that is certain. Who holds it is alive
// as long as its execution runs.
type Lease struct {
	Holder
	// Since is when it was taken or given back. It makes each lease another object, whoever takes it.
	Since time.Time `json:"since"`
	// Released says that it was given back.
	Released bool `json:"released,omitempty"`
}

// Holder is who holds the lease.
type Holder struct {
	Run run.ID `json:"run"`
	// Execution is the ARN of the workflow's execution.
	Execution string `json:"execution"`
}
