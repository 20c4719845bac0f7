// Package report holds what one run of the local environment did, and makes a page of it: one file of HTML with everything
// in it, to be opened from disk, kept as a build's artifact or sent to somebody.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/lambda/verdict"
	"sagemaker-datapipeline/test/local/data"
	"sagemaker-datapipeline/test/local/heldout"
)

// Result is what one run of the local environment did.
type Result struct {
	StartedAt time.Time `json:"startedAt"`
	Seconds   float64   `json:"seconds"`
	// Failure is nil when everything went well.
	Failure *Failure `json:"failure,omitempty"`
	// Versions are the tools' names and versions, in the order of looking at them.
	Versions []Version `json:"versions"`
	// Database says what stood for SQL Server.
	Database  string     `json:"database"`
	Steps     []Step     `json:"steps"`
	Pipelines []Pipeline `json:"pipelines"`
	Notices   []Notice   `json:"notices"`
}

// Failure is why a run ended early.
type Failure struct {
	Step  string `json:"step"`
	Cause string `json:"cause"`
	// Logs is where to look further.
	Logs string `json:"logs"`
}

// Version is a tool's version.
type Version struct {
	Tool    string `json:"tool"`
	Version string `json:"version"`
}

// The states of a step.
const (
	Running = "running"
	Done    = "done"
	Failed  = "failed"
	// Stopped is a step that ended because another one failed or somebody pressed Ctrl-C.
	Stopped = "stopped"
)

// Step is one thing that the run did. Times are seconds since the run's start.
type Step struct {
	Name   string  `json:"name"`
	Detail string  `json:"detail,omitempty"`
	State  string  `json:"state"`
	Start  float64 `json:"start"`
	End    float64 `json:"end"`
}

// Pipeline is one pipeline with the runs it had.
type Pipeline struct {
	Name string `json:"name"`
	// Task and Endpoint are empty for a pipeline that only exports.
	Task     string `json:"task,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	Schedule string `json:"schedule"`
	// Doctor is what the export function's doctor said after the deployment.
	Doctor findings.Report `json:"doctor"`
	Ticks  []Tick          `json:"ticks"`
	// Clocks say how old things were when the environment was done.
	Clocks []Clock `json:"clocks,omitempty"`
	// Ledger compares the rows of all runs with the table's; nil for full loads, whose runs stand alone.
	Ledger *Ledger `json:"ledger,omitempty"`
}

// Clock is one of a pipeline's clocks.
type Clock struct {
	// Name is "tick processed", "age of the data" or "age of the model".
	Name string `json:"name"`
	// Run and Outcome set it last; empty when nothing did.
	Run     string `json:"run,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	// Age is in seconds, and Limit is what alarms.
	Age   float64 `json:"age"`
	Limit float64 `json:"limit"`
}

// Ledger says whether the runs of an append load hold the table's rows, each once.
type Ledger struct {
	Runs int `json:"runs"`
	// Table is how many rows the table has, and Files how many the files have.
	Table int64 `json:"table"`
	Files int64 `json:"files"`
	// Missing are rows of the table that are in no file, Twice those that are in more than one place, and Other those whose row version isn't
	// the table's, or that the table doesn't have.
	Missing int64 `json:"missing"`
	Twice   int64 `json:"twice"`
	Other   int64 `json:"other"`
}

// Exact says that each row of the table is in the files, once and as it is.
func (l Ledger) Exact() bool {
	return l.Table > 0 && l.Table == l.Files && l.Missing == 0 && l.Twice == 0 && l.Other == 0
}

// Tick is one run of a pipeline.
type Tick struct {
	Run string `json:"run"`
	// FiredBy says what began it, the schedule or an invocation with a scheduled time, in words that go on after the run's id.
	FiredBy string `json:"firedBy"`
	// Changes are what happened in the database before it.
	Changes []data.Change `json:"changes,omitempty"`

	// Export is how the export ended: "committed", "blocked", "no new data". Detail says why, where that is known.
	Export string `json:"export"`
	Detail string `json:"detail,omitempty"`
	// Plan, Manifest and Signature are empty when nothing was committed; Head is the pipeline's head after the run.
	Plan      plan.Plan           `json:"plan"`
	Manifest  manifest.Manifest   `json:"manifest"`
	Signature signature.Signature `json:"signature"`
	Head      head.Head           `json:"head"`
	// Map is the distributed map that read the run; nil when the function did it alone.
	Map *MapRun `json:"map,omitempty"`
	// Start and End are seconds since the run's start: the event, and the end of the execution.
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	// States are the states that the workflow went through, in order. Outcome is how it ended, "succeeded" or "failed"; of a pipeline that only
	// exports, "succeeded" when its export did what it should.
	States  []State `json:"states,omitempty"`
	Outcome string  `json:"outcome"`

	// Verdict is what the quality rules said; nil where there are none.
	Verdict *verdict.Verdict `json:"verdict,omitempty"`
	// Evaluation is the comparison with the model in service; nil when there was none.
	Evaluation *evaluation.Report `json:"evaluation,omitempty"`

	TrainingJob string `json:"trainingJob,omitempty"`
	// Training are the final metrics that the training job reported.
	Training []Metric `json:"training,omitempty"`

	// ConfigBefore and ConfigAfter are the endpoint configs that were served; ConfigBefore is empty when there was no
	// endpoint.
	ConfigBefore string `json:"configBefore,omitempty"`
	ConfigAfter  string `json:"configAfter,omitempty"`
	// Model is the model of ConfigAfter.
	Model   string          `json:"model,omitempty"`
	HeldOut heldout.Metrics `json:"heldOut"`

	// Prediction is one row that the endpoint was asked for, and Probes are the answers to it while the run was under way.
	Prediction Prediction `json:"prediction"`
	Probes     []Probe    `json:"probes,omitempty"`
}

// MapRun is what a distributed map did for a run.
type MapRun struct {
	Execution string `json:"execution"`
	Status    string `json:"status"`
	// Partitions is how many children there were, AtOnce how many at a time, and Succeeded how many read theirs.
	Partitions int64 `json:"partitions"`
	AtOnce     int64 `json:"atOnce"`
	Succeeded  int64 `json:"succeeded"`
}

// Metric is a named number.
type Metric struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// State is one state of a workflow.
type State struct {
	Name string `json:"name"`
	// Start is when it was first entered, in seconds since the run's start, and Seconds what all visits took together.
	Start   float64 `json:"start"`
	Seconds float64 `json:"seconds"`
	// Visits counts how often a polling loop came through it.
	Visits int  `json:"visits"`
	Failed bool `json:"failed,omitempty"`
}

// Prediction is one request and its answer.
type Prediction struct {
	Request string  `json:"request"`
	Score   float64 `json:"score"`
	// Before is the answer of the model that was in service before; NaN can't be said in JSON, so nil for none.
	Before *float64 `json:"before,omitempty"`
	// Actual is the row's label.
	Actual float64 `json:"actual"`
}

// Probe is one answer of the endpoint while it was being updated.
type Probe struct {
	At    float64 `json:"at"`
	Score float64 `json:"score"`
	// Error is set when there was no answer.
	Error string `json:"error,omitempty"`
}

// Notice is a message that the topic's subscribers got.
type Notice struct {
	At       float64 `json:"at"`
	Subject  string  `json:"subject"`
	Message  string  `json:"message"`
	Pipeline string  `json:"pipeline"`
	Run      string  `json:"run"`
	Outcome  string  `json:"outcome"`
}

// WriteJSON writes the result for programs.
func (r Result) WriteJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(path string) (Result, error) {
	var r Result
	b, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("reading the result: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("reading the result %s: %w", path, err)
	}
	return r, nil
}
