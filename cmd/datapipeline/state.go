package main

import (
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
	paused "sagemaker-datapipeline/lambda/pause"
)

// state is what the function says is committed.
type state struct {
	Head   head.Head          `json:"head"`
	Newest *manifest.Manifest `json:"newest"`
	// Pause is the one that holds; nil: none does.
	Pause *paused.Pause `json:"pause"`
	// Training is the last that was started, where not each run is trained on.
	Training *struct {
		Run  string `json:"run"`
		Rows int64  `json:"rows"`
	} `json:"training"`
}

// text is the state for people.
func (s state) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("pipeline", "%s, generation %d", s.Head.Pipeline, s.Head.Generation)
	if r := s.Head.Rebaselined; r != nil {
		what := "began this generation, or an earlier one"
		if r.KeepWatermark {
			what = "took another database for the one before"
		}
		line("rebaselined", "%s by %s, who %s: %s", moment(r.At), r.By, what, r.Reason)
	}
	if p := s.Pause; p != nil {
		line("paused", "until %s by %s, since %s: %s", moment(p.Until), p.By, moment(p.At), p.Reason)
	}
	if last := s.Training; last != nil {
		line("last training", "of run %s, on %d rows", last.Run, last.Rows)
	}
	m := s.Newest
	if m == nil {
		line("newest run", "none: nothing is committed yet")
		return b.String()
	}
	line("newest run", "%s, committed %s by attempt %s", m.Run, moment(m.CommittedAt), m.Attempt)
	if s.Head.Run != m.Run {
		line("latest run", "%s, by its scheduled time: the newest is a backfill", s.Head.Run)
	}
	line("rows", "%d, %d bytes, in %d ranges and %d pieces", m.Rows, m.Bytes, m.Plan.Partitions, m.Plan.Segments)
	if m.Rejected {
		line("quality gate", "rejected it when it was committed: it is trained on once somebody has accepted it")
	}
	if m.Counts.Repeated > 0 || m.Counts.Skipped > 0 || m.Counts.Replaced > 0 {
		line("", "%d left out as read before, %d skipped by rule, %d characters replaced", m.Counts.Repeated, m.Counts.Skipped, m.Counts.Replaced)
	}
	line("load", "%s from database %s at %s", m.Load, m.Source.Database, m.Source.Address)
	if w := m.Window; w != nil {
		line("window", "%s to %s", moment(w.Start), moment(w.End))
	}
	if bounds := m.Bounds; bounds != nil {
		from := bounds.From
		if from == "" {
			from = "the lowest"
		}
		line("bounds", "%s from %s to below %s", bounds.Column, from, bounds.To)
		if bounds.Lag != "" {
			line("held back", "%s", bounds.Lag)
		}
	}
	if w := s.Head.Watermark; w != nil {
		line("watermark", "%s %s: the next run begins there", w.Column, w.Value)
	}
	for _, name := range []string{manifest.Train, manifest.Validation, manifest.Test} {
		if c, ok := m.Channels[name]; ok {
			line(name, "%d rows in %d files", c.Rows, c.Files)
		}
	}
	line("isolation", "%s", m.Source.Isolation)
	line("guarantee", "%s", m.Source.Guarantee)
	for _, accepted := range m.Source.Accepted {
		line("accepted", "%s", accepted)
	}
	return b.String()
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
