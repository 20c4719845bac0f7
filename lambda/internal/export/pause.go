package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/pause"
)

// Pause pauses the pipeline until a moment: its ticks read nothing and start nothing. What is under way goes on. A pause that is there is replaced.
func (e *Exporter) Pause(ctx context.Context, event Event) (State, error) {
	until, err := event.until(time.Now())
	if err != nil {
		return State{}, err
	}
	return e.setPause(ctx, pause.Pause{By: event.By, Reason: event.Reason, Until: until})
}

// Resume ends a pause now. Without one it changes nothing that counts.
func (e *Exporter) Resume(ctx context.Context, event Event) (State, error) {
	return e.setPause(ctx, pause.Pause{By: event.By, Reason: "resumed"})
}

// setPause writes the flag, which ends now if it has no end.
func (e *Exporter) setPause(ctx context.Context, p pause.Pause) (State, error) {
	p.At = time.Now().UTC().Truncate(time.Second)
	if p.Until.IsZero() {
		p.Until = p.At
	}
	body, err := json.Marshal(p)
	if err != nil {
		return State{}, fmt.Errorf("encoding the pause: %w", err)
	}
	if _, err := e.Bucket.Put(ctx, pause.Key(e.Spec.Pipeline), jsonType, body); err != nil {
		return State{}, err
	}
	return e.Status(ctx)
}

// paused gives the pause that holds now, or nil. One that can't be read is an error: somebody may have wanted it.
func (e *Exporter) paused(ctx context.Context) (*pause.Pause, error) {
	key := pause.Key(e.Spec.Pipeline)
	stored, err := e.Bucket.Read(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, nil //nolint:nilnil // it isn't paused
	}
	if err != nil {
		return nil, fmt.Errorf("looking whether the pipeline is paused: %w", err)
	}
	p, err := pause.Decode(stored.Body)
	if err != nil {
		return nil, fmt.Errorf(`s3://%s/%s: %w: write it anew with the command "pause" or "resume"`, e.Bucket.Name(), key, err)
	}
	if !p.On(time.Now()) {
		return nil, nil //nolint:nilnil // it is over
	}
	return &p, nil
}

// heed ends a tick of a paused pipeline.
func (e *Exporter) heed(ctx context.Context) error {
	p, err := e.paused(ctx)
	if err != nil || p == nil {
		return err
	}
	return &nothingToDoError{Paused, fmt.Sprintf("%s paused the pipeline until %s: %s", p.By, p.Until.UTC().Format(time.RFC3339), p.Reason)}
}

// until reads the end of a pause that is asked for at a moment.
func (e Event) until(now time.Time) (time.Time, error) {
	until, err := time.Parse(time.RFC3339, e.Until)
	if err != nil {
		return time.Time{}, fmt.Errorf(`"until" is %q, not an RFC 3339 time such as 2026-01-01T02:00:00Z`, e.Until)
	}
	if !until.After(now) || until.After(now.Add(pause.Longest)) {
		return time.Time{}, fmt.Errorf("the pause would end at %s, and it is %s now: a pause ends within the next 30 days; for longer, switch the schedule off in the configuration",
			e.Until, now.UTC().Format(time.RFC3339))
	}
	return until.UTC(), nil
}
