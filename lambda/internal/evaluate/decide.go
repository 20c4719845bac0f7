package evaluate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/internal/metrics"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// Decide measures the candidate, and the champion where they can be compared, says what the gate makes of it, and keeps the report.
func (e *Evaluator) Decide(ctx context.Context, event evaluation.Event) (evaluation.Verdict, error) {
	g, err := e.gate()
	if err != nil {
		return evaluation.Verdict{}, err
	}
	m, err := e.manifest(ctx, event)
	if err != nil {
		return evaluation.Verdict{}, err
	}
	h, err := e.holdout(ctx, m, g)
	if err != nil {
		return evaluation.Verdict{}, err
	}
	h.Scores = evaluation.ScoresPrefix(e.Spec.Pipeline, event.Job, event.Model)
	candidate, err := e.read(ctx, h, h.Scores, nil)
	if err != nil {
		return evaluation.Verdict{}, fmt.Errorf("reading the candidate's scores: %w", err)
	}
	against, err := e.opponent(ctx, event, h, g, &candidate)
	if err != nil {
		return evaluation.Verdict{}, err
	}
	measured, err := metrics.Measure(ctx, metrics.Sample{
		Task: e.Spec.Dataset.Task, Labels: candidate.labels, Candidate: candidate.scores, Champion: against.scores, Threshold: g.Threshold,
	}, seed(event.Run))
	if err != nil {
		return evaluation.Verdict{}, fmt.Errorf("measuring on s3://%s/%s: %w", e.Bucket.Name(), h.Manifest.Key, err)
	}
	metric := evaluation.Metric(g.Metric)
	if why, undefined := measured.Undefined[metric]; undefined {
		if _, ofCandidate := measured.Candidate[metric]; !ofCandidate {
			return evaluation.Verdict{}, fmt.Errorf("the gate's metric %s has no value on s3://%s/%s: %s", metric, e.Bucket.Name(), h.Manifest.Key, why)
		}
		against.notComparedBy(metric, why)
	}
	r := evaluation.Report{
		Version: evaluation.Version, Project: e.Spec.Project, Environment: e.Spec.Environment, Pipeline: e.Spec.Pipeline,
		Run: event.Run, Job: event.Job, Model: event.Model, At: time.Now().UTC(),
		Gate: g, Task: e.Spec.Dataset.Task, Holdout: h.Holdout, Resampling: measured.Resampling, Undefined: measured.Undefined,
		Verdict: evaluation.Verdict{Metric: metric, Estimate: measured.Candidate[metric], Metrics: measured.Candidate},
	}
	if r.Compared = against.compared; r.Compared != nil {
		r.ChampionMetrics = against.values
		if against.scores != nil {
			r.ChampionMetrics, r.Compared.Paired, r.Compared.Differences = measured.Champion, true, measured.Differences
		}
		value := r.ChampionMetrics[metric].Value
		r.ChampionValue, r.Compared.Allowed = &value, worstAllowed(metric, value, g.Worse)
	}
	judge(&r, against)
	if err := e.keep(ctx, r); err != nil {
		return evaluation.Verdict{}, err
	}
	e.Log.Info("decided", "pipeline", e.Spec.Name(), "run", event.Run, "decision", r.Decision, "reason", r.Reason, "rows", h.Rows)
	return r.Verdict, nil
}

// seed makes the draws of a run's resamples its own, and the same whenever it is evaluated.
func seed(id run.ID) uint64 {
	sum := sha256.Sum256([]byte(id))
	// JSON's numbers are exact up to 2^53.
	return binary.BigEndian.Uint64(sum[:8]) >> 11
}

// opponent is what the candidate is measured against.
type opponent struct {
	// compared is nil when there is nothing to compare with, and reason says why where there is a champion.
	compared *evaluation.Compared
	reason   string
	// refused says that the candidate may not take the champion's place.
	refused string
	// scores are the champion's, row by row; nil when only values are known.
	scores []float64
	values map[evaluation.Metric]evaluation.Estimate
}

func (o *opponent) notComparedBy(metric evaluation.Metric, why string) {
	*o = opponent{reason: fmt.Sprintf("%s has no value %s", metric, why)}
}

// opponent finds the champion's scores on this hold-out: those that the batch transform of this run wrote, or else those of the evaluation in
// which the champion was the candidate, or else what that one measured.
func (e *Evaluator) opponent(ctx context.Context, event evaluation.Event, h holdout, g pipeline.Gate, candidate *scored) (opponent, error) {
	if event.Champion == "" {
		return opponent{}, nil
	}
	champion := evaluation.Served{Model: event.Champion, Run: e.runOf(event.Champion)}
	c, err := e.comparison(ctx, event.Job, event.Model, champion)
	if err != nil {
		return opponent{}, err
	}
	if !c.compare {
		o := opponent{reason: c.reason}
		if c.changed != "" && !g.SignatureChange {
			o.refused = refusal(c.changed)
		}
		return o, nil
	}
	o := opponent{compared: &evaluation.Compared{Served: champion}}
	prefix := evaluation.ScoresPrefix(e.Spec.Pipeline, event.Job, event.Champion)
	fresh, err := e.read(ctx, h, prefix, candidate)
	if err == nil {
		o.scores = fresh.scores
		return o, nil
	}
	if incomplete, is := errors.AsType[*incompleteError](err); !is || !incomplete.none {
		return opponent{}, fmt.Errorf("reading the scores of the model in service: %w", err)
	}
	before, known, problem := e.known(ctx, event.Champion, h, g)
	if problem != nil {
		return opponent{}, problem
	}
	if !known {
		return opponent{}, fmt.Errorf("reading the scores of the model in service: %w", err)
	}
	o.compared.Known = true
	earlier, err := e.read(ctx, h, before.Holdout.Scores, candidate)
	if err == nil {
		o.scores = earlier.scores
		return o, nil
	}
	if _, is := errors.AsType[*incompleteError](err); !is || !hasValue(before, g) {
		return opponent{}, fmt.Errorf("reading the scores of the model in service: %w", err)
	}
	o.values = before.Metrics
	return o, nil
}

// rounding is how much less than the limit still meets it: 0.9 less 2 of 100 is not quite 0.882 in binary.
const rounding = 1e-12

// worstAllowed is the worst value that a candidate may have: the champion's, and worse by a part of it. The part is of its absolute value, so
// that it is on the worse side whatever the sign; of 0 it is nothing, and the candidate has to be as good.
func worstAllowed(metric evaluation.Metric, champion, worse float64) float64 {
	if metric.HigherIsBetter() {
		return champion - worse*math.Abs(champion)
	}
	return champion + worse*math.Abs(champion)
}

// beyond says whether a value is on the wrong side of a limit.
func beyond(value, limit float64, tooLow bool) bool {
	slack := rounding * math.Max(math.Abs(limit), math.Abs(value))
	if tooLow {
		return value < limit-slack
	}
	return value > limit+slack
}
