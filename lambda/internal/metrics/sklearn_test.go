package metrics

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/pipeline"
)

// reference is scikit-learn in the place of this package. It has no WAPE: that is its MAE as a part of the labels' mean. Of each case it
// measures the whole and one resample, as weights.
const reference = `
import json, sys, warnings
import numpy as np
from sklearn.metrics import f1_score, log_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error
warnings.simplefilter("ignore")

def measure(case, weights):
    y, p = np.array(case["labels"]), np.array(case["scores"])
    if case["task"] == "binary":
        return [roc_auc_score(y, p, sample_weight=weights),
                log_loss(y, p, sample_weight=weights) if case["probabilities"] else None,
                f1_score(y, p > case["threshold"], sample_weight=weights)]
    mae = mean_absolute_error(y, p, sample_weight=weights)
    return [root_mean_squared_error(y, p, sample_weight=weights), mae, mae / np.average(np.abs(y), weights=weights)]

def interval(case):
    random, y, p = np.random.default_rng(7), np.array(case["labels"]), np.array(case["scores"])
    draws = []
    for _ in range(case["resamples"]):
        rows = random.integers(0, len(y), len(y))
        draws.append(measure({**case, "labels": y[rows], "scores": p[rows]}, None))
    return np.quantile(np.array(draws, dtype=float), [0.025, 0.975], axis=0).tolist()

json.dump([{"whole": measure(c, None), "resample": measure(c, np.array(c["counts"])), "interval": interval(c) if c["resamples"] else None}
           for c in json.load(sys.stdin)], sys.stdout)
`

type referenceCase struct {
	name          string
	Task          pipeline.Task `json:"task"`
	Labels        []float64     `json:"labels"`
	Scores        []float64     `json:"scores"`
	Threshold     float64       `json:"threshold"`
	Counts        []int         `json:"counts"`
	Probabilities bool          `json:"probabilities"`
	// Resamples of the reference's own bootstrap; 0: none.
	Resamples int `json:"resamples"`
}

type referenceAnswer struct {
	Whole    [3]*float64 `json:"whole"`
	Resample [3]*float64 `json:"resample"`
	Interval [][]float64 `json:"interval"`
}

func TestTheMetricsAreThoseOfScikitLearn(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	normal := func() float64 { return random.NormFloat64() }
	binary := func(n int, score func(label float64) float64) ([]float64, []float64) {
		labels, scores := make([]float64, n), make([]float64, n)
		for i := range labels {
			if random.IntN(4) == 0 || i == 0 {
				labels[i] = 1
			}
			if i == 1 {
				labels[i] = 0
			}
			scores[i] = score(labels[i])
		}
		return labels, scores
	}
	logistic := func(label float64) float64 { return 1 / (1 + math.Exp(-normal()-label)) }
	ties := func(label float64) float64 { return math.Round(logistic(label)*10) / 10 }
	extremes := func(float64) float64 {
		return []float64{0, 1, math.SmallestNonzeroFloat64, 1e-300, 1e-17, 1 - 0x1p-53, 0.5, math.Nextafter(0.5, 1)}[random.IntN(8)]
	}
	regression := func(n int, scale float64) ([]float64, []float64) {
		labels, scores := make([]float64, n), make([]float64, n)
		for i := range labels {
			labels[i] = scale * normal()
			if random.IntN(5) == 0 {
				labels[i] = 0
			}
			scores[i] = labels[i] + scale*normal()
		}
		return labels, scores
	}
	cases := []referenceCase{
		{name: "binary, no ties", Threshold: 0.5, Probabilities: true},
		{name: "binary, many ties and scores at the threshold", Threshold: 0.7, Probabilities: true},
		{name: "binary, scores at the ends of what float64 has", Threshold: 0.5, Probabilities: true},
		{name: "binary, one score for all", Threshold: 0.5, Probabilities: true},
		{name: "binary, two rows", Threshold: 0.5, Probabilities: true},
		{name: "binary, nothing above the threshold", Threshold: 2, Probabilities: true},
		{name: "binary, margins that are no probabilities", Threshold: 0.5},
		{name: "binary, with intervals", Threshold: 0.6, Probabilities: true, Resamples: 600},
	}
	for i, score := range []func(float64) float64{
		logistic, ties, extremes, func(float64) float64 { return 0.25 }, logistic, logistic,
		func(label float64) float64 { return 20 * (normal() + label) }, ties,
	} {
		n := []int{20_000, 20_000, 5_000, 1_000, 2, 1_000, 5_000, 1_500}[i]
		cases[i].Task = pipeline.Binary
		cases[i].Labels, cases[i].Scores = binary(n, score)
	}
	for _, c := range []struct {
		name      string
		rows      int
		scale     float64
		resamples int
	}{
		{"regression", 20_000, 1, 0},
		{"regression, large numbers", 5_000, 1e12, 0},
		{"regression, one row", 1, 3, 0},
		{"regression, with intervals", 1_500, 100, 600},
	} {
		labels, scores := regression(c.rows, c.scale)
		if c.rows == 1 {
			labels[0] = 7
		}
		cases = append(cases, referenceCase{name: c.name, Task: pipeline.Regression, Labels: labels, Scores: scores, Resamples: c.resamples})
	}
	for i := range cases {
		for place := range cases[i].Labels {
			count := random.IntN(4)
			if place < 2 {
				count = 1 // of each class
			}
			cases[i].Counts = append(cases[i].Counts, count)
		}
	}
	for i, want := range ask(t, cases) {
		c := cases[i]
		t.Run(c.name, func(t *testing.T) {
			s := Sample{Task: c.Task, Labels: c.Labels, Candidate: c.Scores, Threshold: c.Threshold}
			got, err := Measure(t.Context(), s, 1)
			if err != nil {
				t.Fatal(err)
			}
			// The counts go by the rows as measure lays them.
			measure, _ := s.measure()
			counts := make([]uint8, len(c.Counts))
			rows := ascending(c.Scores)
			for place := range counts {
				row := uint32(place)
				if c.Task == pipeline.Binary {
					row = rows[place]
				}
				counts[place] = uint8(c.Counts[row])
			}
			resample := measure(counts)[0]
			for k, metric := range evaluation.Metrics(c.Task) {
				estimate, defined := got.Candidate[metric]
				if defined != (want.Whole[k] != nil) || !defined && got.Undefined[metric] == "" {
					t.Fatalf("%s is defined: %v (%s)", metric, defined, got.Undefined[metric])
				}
				if !defined {
					continue
				}
				if !near(estimate.Value, *want.Whole[k]) {
					t.Errorf("%s is %.17g, scikit-learn's %.17g", metric, estimate.Value, *want.Whole[k])
				}
				if !near(resample[k], *want.Resample[k]) {
					t.Errorf("%s of a resample is %.17g, scikit-learn's %.17g", metric, resample[k], *want.Resample[k])
				}
				if want.Interval == nil {
					continue
				}
				// Two bootstraps of some hundred draws: their bounds differ by a part of the width.
				low, high := want.Interval[0][k], want.Interval[1][k]
				if slack := (high - low) / 6; math.Abs(estimate.Low-low) > slack || math.Abs(estimate.High-high) > slack {
					t.Errorf("%s is within %g and %g, by scikit-learn and numpy %g and %g", metric, estimate.Low, estimate.High, low, high)
				}
			}
		})
	}
}

// near allows what another order of adding up some thousand numbers changes.
func near(got, want float64) bool {
	return math.Abs(got-want) <= 1e-12*math.Max(1, math.Abs(want))
}

func ask(t *testing.T, cases []referenceCase) []referenceAnswer {
	t.Helper()
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, ".venv", "bin", "python"), "-c", reference)
	var problems bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: make tools installs scikit-learn into .venv\n%s", err, problems.Bytes())
	}
	var answers []referenceAnswer
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return answers
}
