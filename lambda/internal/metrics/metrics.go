// Package metrics measures what models answer on the rows of a hold-out, with bootstrap intervals.
//
// The values are those of scikit-learn, and tested against it. An interval comes from resamples: as many rows as the hold-out has, drawn from
// it with replacement, measured again. Two models are measured on the same resamples, so that the interval of their difference knows that
// they were asked the same questions.
package metrics

import (
	"context"
	"fmt"
	"math"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/pipeline"
)

// MaxRows is the largest sample: about 80 bytes a row with two models, in a function of 1,769 MiB.
const MaxRows = 10_000_000

// Sample is the rows of a hold-out, and what a candidate and a champion answer for each.
type Sample struct {
	Task pipeline.Task
	// Labels are 0 or 1 of a binary task.
	Labels    []float64
	Candidate []float64
	// Champion is nil where there is none.
	Champion []float64
	// Threshold above which F1 takes an answer for 1.
	Threshold float64
}

// Measured is what a Sample says of its models.
type Measured struct {
	Candidate map[evaluation.Metric]evaluation.Estimate
	// Champion and Differences, candidate less champion, are nil where there is no champion.
	Champion, Differences map[evaluation.Metric]evaluation.Estimate
	// Undefined are the metrics that at least one of the models has no value of, and why.
	Undefined  map[evaluation.Metric]string
	Resampling evaluation.Resampling
}

// Measure measures a sample, whose numbers are finite. The same sample and seed give the same result.
func Measure(ctx context.Context, s Sample, seed uint64) (Measured, error) {
	if err := s.check(); err != nil {
		return Measured{}, err
	}
	of := evaluation.Metrics(s.Task)
	measure, undefined := s.measure()
	m := Measured{
		Candidate:  map[evaluation.Metric]evaluation.Estimate{},
		Undefined:  map[evaluation.Metric]string{},
		Resampling: evaluation.Resampling{Resamples: resamples(len(s.Labels)), Level: Level, Seed: seed},
	}
	if s.Champion != nil {
		m.Champion, m.Differences = map[evaluation.Metric]evaluation.Estimate{}, map[evaluation.Metric]evaluation.Estimate{}
	}
	whole := measure(once(len(s.Labels)))
	drawn, err := bootstrap(ctx, len(s.Labels), m.Resampling, measure)
	if err != nil {
		return Measured{}, err
	}
	for i, metric := range of {
		candidate, champion := whole[0][i], whole[1][i]
		if finite(candidate) {
			m.Candidate[metric] = interval(candidate, column(drawn, func(v values) float64 { return v[0][i] }))
		}
		if s.Champion != nil && finite(champion) {
			m.Champion[metric] = interval(champion, column(drawn, func(v values) float64 { return v[1][i] }))
			if finite(candidate) {
				m.Differences[metric] = interval(candidate-champion, column(drawn, func(v values) float64 { return v[0][i] - v[1][i] }))
			}
		}
		switch {
		case !finite(candidate):
			m.Undefined[metric] = undefined[0][i]
		case s.Champion != nil && !finite(champion):
			m.Undefined[metric] = "of the model in service: " + undefined[1][i]
		}
	}
	return m, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func (s Sample) check() error {
	n := len(s.Labels)
	switch {
	case n == 0:
		return fmt.Errorf("the hold-out has no rows: give its channel a share of them (dataset.split)")
	case n > MaxRows:
		return fmt.Errorf("the hold-out has %d rows, more than the %d that are compared at a time: give its channel a smaller share (dataset.split), or the training a shorter window", n, MaxRows)
	case len(s.Candidate) != n || s.Champion != nil && len(s.Champion) != n:
		return fmt.Errorf("%d labels, %d scores of the candidate and %d of the model in service don't pair", n, len(s.Candidate), len(s.Champion))
	case s.Task != pipeline.Binary:
		return nil
	}
	positive := 0
	for _, label := range s.Labels {
		switch label {
		case 0:
		case 1:
			positive++
		default:
			return fmt.Errorf("a label is %v: those of a binary task are 0 or 1", label)
		}
	}
	if positive == 0 || positive == n {
		return fmt.Errorf("the hold-out has only one class: each of its %d labels is %v, so nothing on it tells a good model from a bad one: "+
			"give its channel a larger share (dataset.split), move the moments of a split by time, or read more rows", n, s.Labels[0])
	}
	return nil
}

// values are the metrics of a task, in the order of evaluation.Metrics, of the candidate and the champion. What has no value is NaN.
type values [2][3]float64

// measure gives the function that measures a resample, in which the row i is counts[i] times, and why metrics have no value. Rows are in an
// order of its own.
func (s Sample) measure() (func(counts []uint8) values, [2][3]string) {
	if s.Task == pipeline.Binary {
		return s.binary()
	}
	return s.regression()
}

const tooLarge = "the numbers are too large to be squared and added up"

func (s Sample) regression() (func(counts []uint8) values, [2][3]string) {
	const none = "the labels are all 0, or too large to be added up"
	reasons := [2][3]string{{tooLarge, tooLarge, none}, {tooLarge, tooLarge, none}}
	return func(counts []uint8) values {
		candidate := errorsOf(s.Labels, s.Candidate, counts)
		if s.Champion == nil {
			return values{candidate}
		}
		return values{candidate, errorsOf(s.Labels, s.Champion, counts)}
	}, reasons
}

// errorsOf gives RMSE, MAE and WAPE.
func errorsOf(labels, scores []float64, counts []uint8) [3]float64 {
	var squares, absolute, total, rows float64
	for i, count := range counts {
		w, d := float64(count), labels[i]-scores[i]
		// The conversions keep the compiler from fusing: the results are the same on every processor.
		squares += float64(w * float64(d*d))
		absolute += float64(w * math.Abs(d))
		total += float64(w * math.Abs(labels[i]))
		rows += w
	}
	return [3]float64{math.Sqrt(squares / rows), absolute / rows, absolute / total}
}
