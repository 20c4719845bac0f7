// Package evaluation holds what a candidate was measured by: the events and answers of the evaluate function, and the report that stays
// beside the pipeline's models.
package evaluation

import (
	"encoding/json"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// Metric is one number about a model's answers on a hold-out.
type Metric string

// The metrics of binary tasks.
const (
	// AUC is the area under the ROC curve; a tie counts half.
	AUC Metric = "auc"
	// LogLoss is the mean of the logarithmic loss, by the natural logarithm.
	LogLoss Metric = "logloss"
	// F1 is the harmonic mean of precision and recall at the gate's threshold; 0 where nothing is positive.
	F1 Metric = "f1"
)

// The metrics of regressions.
const (
	// RMSE is the root of the mean squared error.
	RMSE Metric = "rmse"
	// MAE is the mean absolute error.
	MAE Metric = "mae"
	// WAPE is the sum of the absolute errors as a part of the sum of the absolute labels.
	WAPE Metric = "wape"
)

// Metrics are those of a task, in the order of the documentation.
func Metrics(task pipeline.Task) []Metric {
	if task == pipeline.Binary {
		return []Metric{AUC, LogLoss, F1}
	}
	return []Metric{RMSE, MAE, WAPE}
}

// HigherIsBetter says in which direction the metric is better.
func (m Metric) HigherIsBetter() bool { return m == AUC || m == F1 }

// Estimate is a metric, or a difference of two, with the bounds of its bootstrap interval.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Decision is what came out.
type Decision string

// The decisions.
const (
	// First: the gate's thresholds are met, and there was nothing to compare the candidate with.
	First Decision = "first"
	// Better: the thresholds are met, and the candidate isn't worse than the model in service by more than the gate allows.
	Better Decision = "better"
	// NotBetter: the model in service stays.
	NotBetter Decision = "not better"
)

// Command is what the function is asked for.
type Command string

// The commands.
const (
	// FindChampion finds the model in service, and says whether the candidate can be compared with it.
	FindChampion Command = "champion"
	// Decide measures the candidate, and the champion, on the hold-out, and writes the report.
	Decide Command = "decide"
	// Smoke asks the endpoint for rows of the hold-out and compares its answers with those of the batch transform.
	Smoke Command = "smoke"
)

// Event is what invokes the function.
type Event struct {
	Command Command `json:"command"`
	Run     run.ID  `json:"run"`
	// Job is the candidate's training job. Its model has the same name.
	Job string `json:"job"`
	// Model is the candidate's model. Empty: the job's name.
	Model string `json:"model,omitempty"`
	// Champion is the name of the model to compare with: what FindChampion gave. Empty: none. For Decide.
	Champion string `json:"champion,omitempty"`
	// Manifest is the key of the run's manifest. Empty: the run is looked for below the pipeline's head.
	Manifest string `json:"manifest,omitempty"`
	// Endpoint is the name of the endpoint. Empty: the pipeline's. For Smoke.
	Endpoint string `json:"endpoint,omitempty"`
}

// Champion is the answer to FindChampion.
type Champion struct {
	// Champion is the model in service; nil when there is none, or when it can't be told.
	Champion *Served `json:"champion"`
	// Compare says that the candidate can be compared with it on the hold-out.
	Compare bool `json:"compare"`
	// Known says that the champion was measured on this very hold-out before: it needs no scoring.
	Known bool `json:"known"`
	// Reason says in words why it is so.
	Reason string `json:"reason"`
	// Refused says why the candidate may not take the champion's place at all; empty when it may.
	Refused string `json:"refused,omitempty"`
	// Holdout is the s3:// URI of the ManifestFile of the channel that decides, and Content the type of its files.
	Holdout string `json:"holdout"`
	Content string `json:"content"`
}

// Served is a model in service.
type Served struct {
	Model string `json:"model"`
	// Config is the endpoint config that it is served by; empty where models are put to use in batches.
	Config string `json:"config"`
	// Run is the run whose data the model was trained on; empty for a model that is none of the pipeline's.
	Run run.ID `json:"run"`
}

// Verdict is the answer to Decide: the report in small.
type Verdict struct {
	Decision Decision `json:"decision"`
	// Reason is one sentence with figures and intervals.
	Reason string `json:"reason"`
	// Metric is the one that the gate goes by; value and interval are the candidate's.
	Metric Metric `json:"metric"`
	Estimate
	// ChampionValue is the champion's; nil when nothing was compared.
	ChampionValue *float64 `json:"championValue"`
	// Metrics are all that could be measured of the candidate.
	Metrics map[Metric]Estimate `json:"metrics"`
	// ChampionMetrics are those of the champion; nil when nothing was compared.
	ChampionMetrics map[Metric]Estimate `json:"championMetrics"`
}

// Answers is the answer to Smoke.
type Answers struct {
	// Rows is how many rows the endpoint was asked for.
	Rows int `json:"rows"`
	// LargestDifference is the largest between an answer and the batch transform's score of the same row; 0 where nothing was scored.
	LargestDifference float64 `json:"largestDifference"`
	// Example is the first answer, as text.
	Example string `json:"example"`
}

// Version is the version of the Report that this code writes and reads.
const Version = 1

// Report is the whole of an evaluation.
type Report struct {
	Version     int       `json:"version"`
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Pipeline    string    `json:"pipeline"`
	Run         run.ID    `json:"run"`
	Job         string    `json:"job"`
	Model       string    `json:"model"`
	At          time.Time `json:"at"`

	// Gate is what decided.
	Gate pipeline.Gate `json:"gate"`
	Task pipeline.Task `json:"task"`
	// Holdout is what was measured on.
	Holdout Holdout `json:"holdout"`
	// Resampling is how the intervals came to be.
	Resampling Resampling `json:"resampling"`

	Verdict
	// Undefined are the metrics that could not be measured on this hold-out, and why.
	Undefined map[Metric]string `json:"undefined,omitempty"`
	// Compared is the model that the candidate was compared with; nil when there was none.
	Compared *Compared `json:"compared,omitempty"`
}

// Holdout is the rows that a model was measured on.
type Holdout struct {
	// Channel is "test" or "validation".
	Channel string `json:"channel"`
	// Manifest is the ManifestFile of the channel: its hash is the name of the hold-out. It lists files whose names are never used again.
	Manifest manifest.Object `json:"manifest"`
	Rows     int64           `json:"rows"`
	Files    int             `json:"files"`
	// Scores is the prefix of the candidate's scores.
	Scores string `json:"scores"`
}

// Resampling is how intervals were made: by the percentiles of a bootstrap over the rows.
type Resampling struct {
	// Resamples is how many samples of the hold-out's size were drawn with replacement.
	Resamples int `json:"resamples"`
	// Level is the part of them that an interval holds.
	Level float64 `json:"level"`
	// Seed of the draws: a function of the run.
	Seed uint64 `json:"seed"`
}

// Compared is the other side of a comparison.
type Compared struct {
	Served
	// Paired says that both models were resampled row by row; without it only the champion's values of an earlier report were there.
	Paired bool `json:"paired"`
	// Known says that the champion's scores or values are those of an earlier evaluation.
	Known bool `json:"known,omitempty"`
	// Differences are candidate less champion; nil unless Paired.
	Differences map[Metric]Estimate `json:"differences,omitempty"`
	// Allowed is the worst value of the gate's metric that the candidate could have had.
	Allowed float64 `json:"allowed"`
}

// Decode reads a report.
func Decode(b []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}, fmt.Errorf("decoding the evaluation: %w", err)
	}
	if r.Version != Version {
		return Report{}, fmt.Errorf("the evaluation has version %d, this code reads version %d: deploy the pipeline again", r.Version, Version)
	}
	return r, nil
}

// Key is the key of the report on a training job's model.
func Key(pipeline, job string) string { return Prefix(pipeline) + job + ".json" }

// Prefix is where the reports of a pipeline are. It ends with a slash.
func Prefix(pipeline string) string { return pipeline + "/evaluations/" }

// ScoresPrefix is where a batch transform writes what a model answers on the hold-out of a job's run. It ends with a slash.
func ScoresPrefix(pipeline, job, model string) string {
	return AllScoresPrefix(pipeline) + job + "/" + model + "/"
}

// AllScoresPrefix is where the scores of a pipeline are. It ends with a slash.
func AllScoresPrefix(pipeline string) string { return pipeline + "/scores/" }
