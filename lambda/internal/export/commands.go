package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pause"
)

// State is what is committed of the pipeline, in short.
type State struct {
	Head head.Head `json:"head"`
	// Newest is the newest commit without its files; nil before the first.
	Newest *manifest.Manifest `json:"newest,omitempty"`
	// Pause is the one that holds now; nil: the pipeline isn't paused.
	Pause *pause.Pause `json:"pause,omitempty"`
	// Training is the last that was started, where not each run is trained on; nil before the first.
	Training *Training `json:"training,omitempty"`
}

// Status says what is committed.
func (e *Exporter) Status(ctx context.Context) (State, error) {
	h, err := e.ledger().Head(ctx)
	if err != nil {
		return State{}, err
	}
	s := State{Head: h.Head}
	if s.Pause, err = e.paused(ctx); err != nil {
		return State{}, err
	}
	if e.Spec.When != nil {
		if s.Training, _, err = e.lastTraining(ctx); err != nil {
			return State{}, err
		}
	}
	if h.Manifest == nil {
		return s, nil
	}
	c, err := e.ledger().Read(ctx, *h.Manifest)
	if err != nil {
		return State{}, err
	}
	// Lambda's answer is 6 MB at most.
	c.Files = nil
	s.Newest = &c.Manifest
	return s, nil
}

// Rebaseline begins a generation, so that the next run reads everything and trains on nothing older; or, with KeepWatermark, goes on in the database
// that is there now as if it were the one before.
func (e *Exporter) Rebaseline(ctx context.Context, event Event) (State, error) {
	h, err := e.ledger().Head(ctx)
	if err != nil {
		return State{}, err
	}
	if h.Manifest == nil {
		return State{}, errors.New("nothing is committed yet, so there is nothing to begin anew: the next run reads everything")
	}
	next := h.Head
	next.Rebaselined = &head.Rebaseline{At: time.Now().UTC().Truncate(time.Second), By: event.By, Reason: event.Reason, KeepWatermark: event.KeepWatermark}
	next.MovedBy = "rebaseline by " + event.By
	next.Identity = head.Identity{}
	if !event.KeepWatermark {
		next.Generation++
		next.Watermark, next.QuerySHA256, next.SchemaSHA256 = nil, "", ""
		// The new generation has no latest run: whatever the last one's time was, the next tick's run is made.
		next.Run = ""
	}
	moved, err := e.ledger().Move(ctx, h, next)
	if err != nil {
		return State{}, err
	}
	if moved.Rebaselined == nil || *moved.Rebaselined != *next.Rebaselined {
		return State{}, fmt.Errorf("run %s moved the head meanwhile: look at the status and give the command again if it is still wanted", moved.ManifestRun())
	}
	return State{Head: moved.Head}, nil
}

// Sweep deletes what attempts left behind that nothing names.
func (e *Exporter) Sweep(ctx context.Context) (ledger.Swept, error) {
	return e.ledger().Sweep(ctx)
}
