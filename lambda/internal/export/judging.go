package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/quality"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

// gate is what the run's data must be; nil: nothing is asked. It is that of the plan: each segment is counted for the same rules, whatever is deployed
// while the run is read.
func (e *Exporter) gate(f ledger.Frozen) (*quality.Gate, error) {
	q := f.Quality
	if q == nil || q.Rules == "" && (q.Drift == nil || *q.Drift == pipeline.Drift{}) {
		return nil, nil //nolint:nilnil // nothing is asked
	}
	return quality.New(*q, quality.Subject{Columns: f.Columns, Dataset: e.Spec.Dataset, Now: f.CreatedAt})
}

// judge adds up what was counted of a run, and puts its verdict into the manifest.
//
// The order is: the verdict, on the condition that there is none; the lists of the training window, the manifest, the head; and then, if it was
// accepted, the baseline. The verdict comes first because everything after it depends on it, and because what it depends on may change until the
// next attempt: the baseline, and the rules if the run is planned anew. Whoever dies after it leaves a verdict that the next attempt takes as it is; and
// an attempt that died before the head moved has decided nothing, since a verdict counts for the commit whose manifest names it, in that
// version. The baseline comes last: a run that isn't committed is nobody's measure.
func (e *Exporter) judge(ctx context.Context, f ledger.Frozen, parts []manifest.Part, m *manifest.Manifest) error {
	gate, err := e.gate(f)
	if gate == nil || err != nil {
		return err
	}
	var all *manifest.Statistics
	for _, p := range parts {
		all = quality.Add(all, p.Statistics)
	}
	if all == nil || all.Rows != m.Rows {
		return fmt.Errorf("of %d rows not all were counted for the quality gate: this is a fault of the export", m.Rows)
	}
	v, object, err := e.verdict(ctx, f, gate, *all, m.Attempt)
	if err != nil {
		return err
	}
	m.Verdict, m.Rejected = &object, v.Decision == verdict.Rejected
	if !gate.Drifts() {
		return nil
	}
	body, err := json.Marshal(gate.Statistics(f.Run, f.Generation, *all))
	if err != nil {
		return fmt.Errorf("encoding the run's statistics: %w", err)
	}
	statistics, err := e.Bucket.Put(ctx, verdict.StatisticsKey(e.Spec.Pipeline, f.Run, m.Attempt), jsonType, body)
	m.Statistics = &statistics
	return err
}

// verdict gives the verdict on the rows of a plan, which is made once.
func (e *Exporter) verdict(ctx context.Context, f ledger.Frozen, gate *quality.Gate, s manifest.Statistics, attempt string) (verdict.Verdict, manifest.Object, error) {
	key := verdict.Key(e.Spec.Pipeline, f.Run)
	there, err := e.Bucket.Read(ctx, key)
	switch {
	case err == nil:
		if v, object, err := e.readVerdict(key, there); err != nil || v.PlanETag == f.ETag {
			return v, object, err
		}
		// It is on the rows of another plan, which came to nothing: the run would be found below the head otherwise.
	case !errors.Is(err, objects.ErrNotFound):
		return verdict.Verdict{}, manifest.Object{}, fmt.Errorf("looking for the run's verdict: %w", err)
	}
	v, err := e.decide(ctx, f, gate, s, attempt)
	if err != nil {
		return verdict.Verdict{}, manifest.Object{}, err
	}
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return verdict.Verdict{}, manifest.Object{}, fmt.Errorf("encoding the verdict: %w", err)
	}
	if there.ETag == "" {
		there, err = e.Bucket.Create(ctx, key, jsonType, body)
	} else {
		there, err = e.Bucket.Replace(ctx, key, jsonType, body, there.ETag)
	}
	if err != nil {
		return verdict.Verdict{}, manifest.Object{}, fmt.Errorf("writing the verdict: %w", err)
	}
	v, object, err := e.readVerdict(key, there)
	if err == nil && v.PlanETag != f.ETag {
		err = fmt.Errorf("s3://%s/%s is the verdict on another plan of run %s: two attempts with different plans judge it at one time; invoke the function again with the same scheduledTime", e.Bucket.Name(), key, f.Run)
	}
	return v, object, err
}

func (e *Exporter) readVerdict(key string, stored objects.Stored) (verdict.Verdict, manifest.Object, error) {
	v, err := verdict.Decode(stored.Body)
	if err != nil {
		return verdict.Verdict{}, manifest.Object{}, fmt.Errorf("s3://%s/%s: %w", e.Bucket.Name(), key, err)
	}
	return v, manifest.Object{Key: key, VersionID: stored.VersionID, Bytes: int64(len(stored.Body)), SHA256: hash(string(stored.Body))}, nil
}

// decide judges.
func (e *Exporter) decide(ctx context.Context, f ledger.Frozen, gate *quality.Gate, s manifest.Statistics, attempt string) (verdict.Verdict, error) {
	v := verdict.Verdict{Version: verdict.Version, Pipeline: e.Spec.Pipeline, Run: f.Run, PlanETag: f.ETag, At: time.Now().UTC(), Rows: s.Rows}
	var before *verdict.Statistics
	if gate.Drifts() {
		base, _, err := e.baseline(ctx)
		if err != nil {
			return verdict.Verdict{}, err
		}
		if base != nil && base.Generation == f.Generation {
			if before, err = e.statistics(ctx, *base); err != nil {
				return verdict.Verdict{}, err
			}
			v.Baseline = base.Run
		}
	}
	j, err := gate.Judge(ctx, e.Bucket, s, before, func(name string) string { return manifest.KeysKey(e.Spec.Pipeline, f.Run, attempt, name) })
	if err != nil {
		return verdict.Verdict{}, err
	}
	v.Decision, v.Rules, v.Notes = j.Decision(), j.Rules, j.Notes
	return v, nil
}

// standing gives the rules that keep a committed run out of training; nil: it is trained on, and is the measure of the next run's drift.
func (e *Exporter) standing(ctx context.Context, c ledger.Commit) ([]verdict.Rule, error) {
	if c.Rejected {
		accepted, err := e.accepted(ctx, c.Run)
		if err != nil {
			return nil, err
		}
		if accepted == nil {
			v, err := e.verdictOf(ctx, c)
			return v.Failed(), err
		}
	}
	if c.Statistics == nil {
		return nil, nil
	}
	_, err := e.moveBaseline(ctx, verdict.Baseline{Run: c.Run, Generation: c.Generation, Statistics: *c.Statistics})
	return nil, err
}

// verdictOf reads the verdict that a manifest names, in the version that it names.
func (e *Exporter) verdictOf(ctx context.Context, c ledger.Commit) (verdict.Verdict, error) {
	stored, err := e.Bucket.ReadVersion(ctx, c.Verdict.Key, c.Verdict.VersionID)
	if err != nil {
		return verdict.Verdict{}, fmt.Errorf("reading its verdict: %w", err)
	}
	v, _, err := e.readVerdict(c.Verdict.Key, stored)
	return v, err
}

// accepted gives a person's acceptance of a run; nil: there is none.
func (e *Exporter) accepted(ctx context.Context, id run.ID) (*verdict.Acceptance, error) {
	key := verdict.AcceptedKey(e.Spec.Pipeline, id)
	stored, err := e.Bucket.Read(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, nil //nolint:nilnil // nobody has accepted it
	}
	if err != nil {
		return nil, fmt.Errorf("looking whether run %s was accepted: %w", id, err)
	}
	a, err := verdict.DecodeAcceptance(stored.Body)
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", e.Bucket.Name(), key, err)
	}
	return &a, nil
}

// baseline reads whose statistics the next run is compared with; nil: nobody's. The ETag is that of what is there.
func (e *Exporter) baseline(ctx context.Context) (base *verdict.Baseline, etag string, err error) {
	key := verdict.BaselineKey(e.Spec.Pipeline)
	stored, err := e.Bucket.Read(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the baseline of drift: %w", err)
	}
	b, err := verdict.DecodeBaseline(stored.Body)
	if err != nil {
		return nil, "", fmt.Errorf("s3://%s/%s: %w", e.Bucket.Name(), key, err)
	}
	return &b, stored.ETag, nil
}

// statistics reads what a baseline names.
func (e *Exporter) statistics(ctx context.Context, b verdict.Baseline) (*verdict.Statistics, error) {
	stored, err := e.Bucket.ReadVersion(ctx, b.Statistics.Key, b.Statistics.VersionID)
	if err == nil && hash(string(stored.Body)) != b.Statistics.SHA256 {
		err = fmt.Errorf("s3://%s/%s was changed after it was written", e.Bucket.Name(), b.Statistics.Key)
	}
	var s verdict.Statistics
	if err == nil {
		s, err = verdict.DecodeStatistics(stored.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the statistics of run %s, which drift is measured from: %w: restore the object, or give the command rebase-drift, which measures from the newest run", b.Run, err)
	}
	return &s, nil
}

// baselineTries bounds how often other runs are followed.
const baselineTries = 5

// moveBaseline makes a run the one that the next is compared with, unless a later one is already. It gives what is there afterwards.
func (e *Exporter) moveBaseline(ctx context.Context, next verdict.Baseline) (verdict.Baseline, error) {
	next.Version, next.At = verdict.Version, time.Now().UTC()
	body, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return verdict.Baseline{}, fmt.Errorf("encoding the baseline of drift: %w", err)
	}
	key := verdict.BaselineKey(e.Spec.Pipeline)
	for range baselineTries {
		before, etag, err := e.baseline(ctx)
		if err != nil {
			return verdict.Baseline{}, err
		}
		if before != nil && (!after(next, *before) && next.By == "" || after(*before, next)) {
			return *before, nil
		}
		var stored objects.Stored
		if before == nil {
			stored, err = e.Bucket.Create(ctx, key, jsonType, body)
		} else {
			stored, err = e.Bucket.Replace(ctx, key, jsonType, body, etag)
		}
		if err != nil {
			return verdict.Baseline{}, fmt.Errorf("moving the baseline of drift: %w", err)
		}
		if bytes.Equal(stored.Body, body) {
			return next, nil
		}
	}
	return verdict.Baseline{}, fmt.Errorf("other runs moved the baseline of drift %d times while run %s did", baselineTries, next.Run)
}

// after says whether a run is later than another: of a later generation, or of a later time in one.
func after(a, b verdict.Baseline) bool {
	if a.Generation != b.Generation {
		return a.Generation > b.Generation
	}
	return a.Run > b.Run
}

// Accept takes a run that its rules rejected. The windows of the runs after it have it from then on; of the newest run the workflow is started. It can be
// given again, and changes nothing then.
func (e *Exporter) Accept(ctx context.Context, event Event) (Result, error) {
	log := e.Log.With("pipeline", e.Spec.Name(), "run", event.Run)
	h, err := e.ledger().Head(ctx)
	if err != nil {
		return Result{}, err
	}
	c, found, err := e.ledger().Find(ctx, h.Manifest, event.Run, nil)
	switch {
	case err != nil:
		return Result{}, err
	case !found:
		return Result{}, fmt.Errorf("there is no committed run %s: the command status names the newest", event.Run)
	case !c.Rejected:
		return Result{}, fmt.Errorf("run %s was not rejected: there is nothing to accept", event.Run)
	case c.Generation != h.Generation:
		return Result{}, fmt.Errorf("run %s is of generation %d, and the pipeline is at %d: no run trains on it any more", event.Run, c.Generation, h.Generation)
	}
	body, err := json.MarshalIndent(verdict.Acceptance{Version: verdict.Version, Run: event.Run, By: event.By, Reason: event.Reason, At: time.Now().UTC().Truncate(time.Second)}, "", "  ")
	if err != nil {
		return Result{}, fmt.Errorf("encoding the acceptance: %w", err)
	}
	if _, err := e.Bucket.Create(ctx, verdict.AcceptedKey(e.Spec.Pipeline, event.Run), jsonType, body); err != nil {
		return Result{}, fmt.Errorf("accepting run %s: %w", event.Run, err)
	}
	log.Info("accepted", "phase", "judge", "by", event.By, "reason", event.Reason)
	if e.withChannels() && len(c.Channels) == 0 {
		return e.acceptedAlone(ctx, log, c)
	}
	result, err := e.start(ctx, log, c, AlreadyCommitted)
	result.Run = event.Run
	return result, err
}

// acceptedAlone is the end of accepting a run that can't be trained on with the window that it was committed with.
func (e *Exporter) acceptedAlone(ctx context.Context, log *slog.Logger, c ledger.Commit) (Result, error) {
	if _, err := e.standing(ctx, c); err != nil {
		return Result{}, err
	}
	result := Result{
		Run: c.Run, Outcome: AlreadyCommitted, Generation: c.Generation, Rows: c.Rows, Bytes: c.Bytes, Files: len(c.Files), Manifest: c.Ref.Key,
		Detail: "no workflow is started, because the split leaves a channel of the run's window without a row; the windows of later runs have it",
	}
	log.Info("ended", "phase", "end", "outcome", result.Outcome, "detail", result.Detail)
	return result, nil
}

// RebaseDrift makes the newest run the one that the next is compared with, whether it was accepted or not.
func (e *Exporter) RebaseDrift(ctx context.Context, event Event) (verdict.Baseline, error) {
	h, err := e.ledger().Head(ctx)
	if err != nil {
		return verdict.Baseline{}, err
	}
	newest := h.Run
	if newest == "" {
		newest = h.ManifestRun()
	}
	c, found, err := e.ledger().Find(ctx, h.Manifest, newest, nil)
	switch {
	case err != nil:
		return verdict.Baseline{}, err
	case !found:
		return verdict.Baseline{}, errors.New("nothing is committed yet: the first run is the baseline of the second")
	case c.Statistics == nil:
		return verdict.Baseline{}, fmt.Errorf("run %s, the newest, has no statistics: quality.drift was not set when it was planned", c.Run)
	}
	next := verdict.Baseline{Run: c.Run, Generation: c.Generation, Statistics: *c.Statistics, By: event.By, Reason: event.Reason}
	moved, err := e.moveBaseline(ctx, next)
	if err == nil && moved.By != event.By {
		err = fmt.Errorf("run %s became the baseline meanwhile: look at the status and give the command again if it is still wanted", moved.Run)
	}
	return moved, err
}
