// Package verdict holds what was decided about a run's data before it is trained on: the verdict of the rules, a person's acceptance of what they
// rejected, and the statistics that the next run is compared with.
//
//	runs/<run>/verdict.json                 what the rules said, once for each plan of the run; the manifest names its version
//	runs/<run>/accepted.json                that a person took the run all the same
//	runs/<run>/commit-<attempt>/statistics.json   what drift is measured by
//	baseline.json                           whose statistics the next run is compared with
//
// A verdict that no committed manifest names is of an attempt that came to nothing.
package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/run"
)

// Version is the version of the formats that this code writes and reads.
const Version = 1

// Decision is what follows from a verdict.
type Decision string

// The decisions.
const (
	// Accepted data is trained on.
	Accepted Decision = "accepted"
	// Rejected data is committed and kept, and not trained on unless a person accepts it.
	Rejected Decision = "rejected"
)

// Verdict is what the rules say of one run.
type Verdict struct {
	Version  int    `json:"version"`
	Pipeline string `json:"pipeline"`
	Run      run.ID `json:"run"`
	// PlanETag is the version of the plan whose rows were judged: a run that is planned anew is judged anew.
	PlanETag string    `json:"planEtag"`
	At       time.Time `json:"at"`
	Decision Decision  `json:"decision"`
	Rows     int64     `json:"rows"`
	// Rules are those of quality.rules in their order, and then the comparisons of quality.drift.
	Rules []Rule `json:"rules"`
	// Baseline is the run that drift was measured from; empty where there was none, or nothing to compare.
	Baseline run.ID `json:"baseline,omitempty"`
	// Notes say what was not compared, and why.
	Notes []string `json:"notes,omitempty"`
}

// Rule is the outcome of one rule, or of one comparison.
type Rule struct {
	// Name is the rule as it was written, or what was compared: `drift of the mean of "Amount"`.
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	// Expected and Actual are in words.
	Expected string `json:"expected"`
	Actual   string `json:"actual"`
	// Examples are values that didn't satisfy the rule: MaxExamples at most, of MaxExampleLength characters at most. Never those of keys, of hashed columns
	// and of those that quality.private names.
	Examples []string `json:"examples,omitempty"`
}

const (
	// MaxExamples is how many values a rule shows.
	MaxExamples = 3
	// MaxExampleLength is how many characters of a value are shown.
	MaxExampleLength = 80
)

// Failed are the rules that were not satisfied.
func (v Verdict) Failed() []Rule {
	var failed []Rule
	for _, r := range v.Rules {
		if !r.Passed {
			failed = append(failed, r)
		}
	}
	return failed
}

// Acceptance says that a person took a run that its rules rejected.
type Acceptance struct {
	Version int       `json:"version"`
	Run     run.ID    `json:"run"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// Baseline says whose statistics the next run is compared with.
type Baseline struct {
	Version int    `json:"version"`
	Run     run.ID `json:"run"`
	// Generation of the run: a new generation has no baseline, since its rows are of another query or table.
	Generation int             `json:"generation"`
	Statistics manifest.Object `json:"statistics"`
	// By and Reason are of the person whose command it was; empty when an accepted run took the place of the one before.
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Statistics are what a run's rows are in numbers.
type Statistics struct {
	Version    int      `json:"version"`
	Run        run.ID   `json:"run"`
	Generation int      `json:"generation"`
	Rows       int64    `json:"rows"`
	Columns    []Column `json:"columns"`
}

// Column is one column in numbers.
type Column struct {
	Name  string `json:"name"`
	Nulls int64  `json:"nulls"`
	// Mean and Deviation, the population's standard deviation, are those of the values that are not NULL; nil for a column that isn't compared by its
	// mean, and for one that has NULLs only.
	Mean      *float64 `json:"mean,omitempty"`
	Deviation *float64 `json:"deviation,omitempty"`
	// Categories counts the values that are not NULL; nil for a column that isn't compared by its categories, or has too many. The values of a private
	// column are digests.
	Categories map[string]int64 `json:"categories,omitempty"`
	// TooMany says that the column has more categories than are counted (quality.MaxCategories), or values too long for one.
	TooMany bool `json:"tooMany,omitempty"`
}

// Key is the key of a run's verdict.
func Key(pipeline string, id run.ID) string {
	return manifest.RunsPrefix(pipeline) + string(id) + "/verdict.json"
}

// AcceptedKey is the key of a person's acceptance of a run.
func AcceptedKey(pipeline string, id run.ID) string {
	return manifest.RunsPrefix(pipeline) + string(id) + "/accepted.json"
}

// StatisticsKey is the key of the statistics that an attempt writes when it commits.
func StatisticsKey(pipeline string, id run.ID, attempt string) string {
	return manifest.CommitPrefix(pipeline, id, attempt) + "statistics.json"
}

// BaselineKey is the key of a pipeline's baseline.
func BaselineKey(pipeline string) string { return pipeline + "/baseline.json" }

// Decode reads a verdict.
func Decode(b []byte) (Verdict, error) {
	v, err := decode[Verdict](b, "verdict", func(v Verdict) int { return v.Version })
	switch {
	case err != nil:
	case v.Decision != Accepted && v.Decision != Rejected:
		err = fmt.Errorf("the verdict is %q, and neither %s nor %s", v.Decision, Accepted, Rejected)
	case v.PlanETag == "":
		err = errors.New("the verdict doesn't say whose rows it is about")
	default:
		_, err = run.ParseID(string(v.Run))
	}
	return v, err
}

// DecodeAcceptance reads a person's acceptance.
func DecodeAcceptance(b []byte) (Acceptance, error) {
	return decode[Acceptance](b, "acceptance", func(a Acceptance) int { return a.Version })
}

// DecodeBaseline reads a baseline.
func DecodeBaseline(b []byte) (Baseline, error) {
	base, err := decode[Baseline](b, "baseline", func(b Baseline) int { return b.Version })
	if err == nil && base.Statistics.Key == "" {
		err = errors.New("the baseline names no statistics")
	}
	return base, err
}

// DecodeStatistics reads a run's statistics.
func DecodeStatistics(b []byte) (Statistics, error) {
	return decode[Statistics](b, "statistics", func(s Statistics) int { return s.Version })
}

func decode[T any](b []byte, what string, version func(T) int) (T, error) {
	var v, none T
	if err := json.Unmarshal(b, &v); err != nil {
		return none, fmt.Errorf("decoding the %s: %w", what, err)
	}
	if n := version(v); n != Version {
		return none, fmt.Errorf("the %s has version %d, this code reads version %d: deploy the pipeline again", what, n, Version)
	}
	return v, nil
}
