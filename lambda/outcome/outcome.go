// Package outcome holds how runs end, and which clock each end sets.
//
// The export, the workflow and the operator's commands end a run by one of these words. People read them in notices, machines in the
// "Pipeline Run Ended" event; the two clocks of a pipeline go by them.
package outcome

import (
	"slices"
	"time"

	"sagemaker-datapipeline/lambda/run"
)

// Outcome is how a run ended.
type Outcome string

// The outcomes of a run that went through the workflow.
const (
	// Succeeded: the model of the run is in service, or its scores are written.
	Succeeded Outcome = "succeeded"
	// NotBetter: the gate kept the model that is in service. It was compared on the run's data.
	NotBetter Outcome = "not better"
	// NotApproved: a person refused the model.
	NotApproved Outcome = "not approved"
	// ApprovalTimedOut: nobody decided in time; the model in service stays.
	ApprovalTimedOut Outcome = "approval timed out"
	// Superseded: a later run's model, or a later run's data, was faster.
	Superseded Outcome = "superseded"
	// RolledBack: the new model did not serve as it should, and the one before it is back in service.
	RolledBack Outcome = "rolled back"
	// Failed: somebody has to look.
	Failed Outcome = "failed"
)

// The outcomes of a run that ends with its export.
const (
	// Exported: the data is committed; the pipeline trains nothing, or nothing is due to be trained.
	Exported Outcome = "exported"
	// Rejected: the data is committed, and the quality gate keeps it out of training.
	Rejected Outcome = "rejected"
	// NoNewData: an append load had nothing to read.
	NoNewData Outcome = "no new data"
	// Blocked: rows wait behind an open transaction.
	Blocked Outcome = "blocked"
	// OutsideHours: the database may not be read now.
	OutsideHours Outcome = "outside allowed hours"
	// Busy: the run before is still being read.
	Busy Outcome = "busy"
	// Paused: a person has paused the pipeline.
	Paused Outcome = "paused"
)

// All are the outcomes, in the order of the documentation.
var All = []Outcome{
	Succeeded, NotBetter, NotApproved, ApprovalTimedOut, Superseded, RolledBack, Failed,
	Exported, Rejected, NoNewData, Blocked, OutsideHours, Busy, Paused,
}

// Deliberate says whether the pipeline did what it should with its tick: the clock "tick processed" is set. A failure and a rollback are no
// decisions. A paused pipeline processes nothing: its clock runs on, so that a pause that was forgotten is heard of.
func (o Outcome) Deliberate() bool { return !slices.Contains([]Outcome{Failed, RolledBack, Paused}, o) }

// RenewsModel says whether the model in service is now as young as the run's data: it was trained on it, or compared with one that was and kept.
func (o Outcome) RenewsModel() bool { return o == Succeeded || o == NotBetter }

// Routine says whether nobody has to hear of it: mail leaves it out unless the configuration asks for it. The topic gets every notice.
func (o Outcome) Routine() bool {
	return slices.Contains([]Outcome{Exported, NoNewData, OutsideHours, Busy}, o)
}

// Lasts says whether the outcome is that of a state which goes on: of the runs that end so one after the other, the first says it all, and the others
// are routine.
func (o Outcome) Lasts() bool { return o == Blocked || o == Paused }

// Fault says whether somebody has to act.
func (o Outcome) Fault() bool { return o == Failed || o == RolledBack }

// End is the end of one run: what the notice says in words, the detail of the "Pipeline Run Ended" event, and what sets the clocks.
type End struct {
	Project     string  `json:"project"`
	Environment string  `json:"environment"`
	Pipeline    string  `json:"pipeline"`
	Run         run.ID  `json:"run"`
	Outcome     Outcome `json:"outcome"`
	// At is when it ended.
	At time.Time `json:"at"`
	// Repeated says that the run before ended in the same way, by an outcome that lasts.
	Repeated bool `json:"repeated,omitempty"`
	// Data says that the run's data is committed and accepted: it sets the clock of the data.
	Data bool `json:"data,omitempty"`
	// Uncompared says that a model which isn't better was compared with none: nothing is in service, or what is can't read the run's data. So
	// nothing in service is as young as it.
	Uncompared bool `json:"uncompared,omitempty"`
	// Step, Error and Cause say where and why, of what went wrong or was decided; Advice what to do, where the step knows better than the table of
	// advice.
	Step   string `json:"step,omitempty"`
	Error  string `json:"error,omitempty"`
	Cause  string `json:"cause,omitempty"`
	Advice string `json:"advice,omitempty"`
	// Facts are lines of the notice: what happened, in order.
	Facts []Fact `json:"facts,omitempty"`
	// Execution is the ARN of the workflow's execution; empty where there was none.
	Execution string `json:"execution,omitempty"`
}

// Routine says whether nobody has to hear of the end: by its outcome, or because it was heard of already.
func (e End) Routine() bool { return e.Outcome.Routine() || e.Repeated }

// Fact is a line of a notice: "Rows exported: 200000".
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// EventSource and EventDetailType name the event on the account's default bus.
const (
	EventSource     = "sagemaker-datapipeline"
	EventDetailType = "Pipeline Run Ended"
)

// MetricNamespace is where the metrics of all pipelines are, by the dimension "Pipeline", whose value is pipeline.Name.
const MetricNamespace = "SagemakerDatapipeline"

// The metrics.
const (
	// RunsMetric counts the ends of runs by the further dimension "Outcome".
	RunsMetric = "Runs"
	// TickAgeMetric is how many seconds ago a tick was processed, DataAgeMetric how old the newest accepted data is, ModelAgeMetric how old the data is
	// that the model in service was last trained on or compared on.
	TickAgeMetric  = "TickAge"
	DataAgeMetric  = "DataAge"
	ModelAgeMetric = "ModelAge"
)
