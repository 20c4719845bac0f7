package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/run"
)

// The events of the export function.
type (
	tick struct {
		ScheduledTime string `json:"scheduledTime"`
		Backfill      bool   `json:"backfill,omitempty"`
	}
	question struct {
		Command string `json:"command"`
	}
	rebaselining struct {
		Command       string `json:"command"`
		Reason        string `json:"reason"`
		By            string `json:"by"`
		KeepWatermark bool   `json:"keepWatermark"`
	}
)

// runs makes one run, or those of past times one after the other: the database is asked for no more than by the schedule.
func runs(ctx context.Context, o options, s *site, out io.Writer) error {
	if !o.backfill {
		at := o.at
		if at == "" {
			at = time.Now().UTC().Format(time.RFC3339)
		}
		return oneRun(ctx, o, s, out, tick{ScheduledTime: at})
	}
	times, err := o.ticks()
	if err != nil {
		return err
	}
	for i, t := range times {
		text := t.Format(time.RFC3339)
		if err := oneRun(ctx, o, s, out, tick{ScheduledTime: text, Backfill: true}); err != nil {
			if _, answered := errors.AsType[*answerError](err); answered && len(times) > 1 {
				return &answerError{fmt.Sprintf("%v (%d of %d runs were made; go on from %s)", err, i, len(times), text)}
			}
			return err
		}
	}
	return nil
}

// ticks are the scheduled times of a backfill, from the earliest on.
func (o options) ticks() ([]time.Time, error) {
	var times []time.Time
	for _, text := range o.words {
		t, err := run.ParseScheduledTime(text)
		if err != nil {
			return nil, fmt.Errorf("run: -backfill: %w", err)
		}
		if len(times) > 0 && !t.After(times[len(times)-1]) {
			return nil, fmt.Errorf("run: -backfill: %s is not after the time before it: write the times in their order, each once", text)
		}
		times = append(times, t)
	}
	if o.every == 0 {
		return times, nil
	}
	first, last := times[0], times[1]
	times = nil
	for i := 0; ; i++ {
		next := first.Add(time.Duration(i) * o.every)
		if days := int(o.every / (24 * time.Hour)); o.every%(24*time.Hour) == 0 {
			// Three o'clock stays three o'clock when the clocks change, as it does for the schedule.
			next = first.In(o.scheduleZone).AddDate(0, 0, i*days).UTC()
		}
		if next.After(last) {
			return times, nil
		}
		times = append(times, next)
	}
}

func oneRun(ctx context.Context, o options, s *site, out io.Writer, event tick) error {
	answer, err := s.ask(ctx, event)
	if err != nil {
		return fmt.Errorf("run of %s: %w", event.ScheduledTime, err)
	}
	if err := show(out, o.json, answer); err != nil {
		return err
	}
	var result struct {
		Outcome string `json:"outcome"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return fmt.Errorf("reading the function's answer: %w", err)
	}
	if meaning, ok := notCommitted[result.Outcome]; ok {
		return &answerError{fmt.Sprintf("run of %s: %s: %s", event.ScheduledTime, result.Outcome, meaning)}
	}
	return nil
}

// notCommitted are the outcomes of a run that wasn't asked for in vain but wasn't made either, and what to do.
var notCommitted = map[string]string{
	"blocked":               "an open transaction holds the upper bound at the last run's; end it, the next run reads what this one didn't",
	"paused":                "nothing was read; take resume, or wait until the pause is over",
	"superseded":            "a later run was committed before this one; its rows are in the runs from then on, or take run -backfill where the source has a window",
	"outside allowed hours": "the database may be read within its allowed hours only",
}

// status shows the head and the newest run.
func status(ctx context.Context, o options, s *site, out io.Writer) error {
	return stated(ctx, o, s, out, question{Command: "status"})
}

// stated asks what is answered with the pipeline's state, and shows it.
func stated(ctx context.Context, o options, s *site, out io.Writer, event any) error {
	answer, err := s.ask(ctx, event)
	if err != nil {
		return err
	}
	if o.json {
		return show(out, true, answer)
	}
	var committed state
	if err := json.Unmarshal(answer, &committed); err != nil {
		return fmt.Errorf("reading the function's answer: %w", err)
	}
	if _, err := io.WriteString(out, committed.text()); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	return nil
}

func sweep(ctx context.Context, o options, s *site, out io.Writer) error {
	return asked(ctx, o, s, out, question{Command: "sweep"})
}

func rebaseline(ctx context.Context, o options, s *site, out io.Writer) error {
	return asked(ctx, o, s, out, rebaselining{Command: "rebaseline", Reason: o.reason, By: o.by, KeepWatermark: o.keepWatermark})
}

func asked(ctx context.Context, o options, s *site, out io.Writer, event any) error {
	answer, err := s.ask(ctx, event)
	if err != nil {
		return err
	}
	return show(out, o.json, answer)
}

// doctor shows the findings; an error among them is this command's failure.
func doctor(ctx context.Context, o options, s *site, out io.Writer) error {
	answer, err := s.ask(ctx, question{Command: "doctor"})
	if err != nil {
		return err
	}
	var report findings.Report
	if err := json.Unmarshal(answer, &report); err != nil {
		return fmt.Errorf("reading the function's answer: %w", err)
	}
	if o.json {
		err = show(out, true, answer)
	} else {
		_, err = io.WriteString(out, report.Text())
	}
	if err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	if report.Worst() == findings.Error {
		return &answerError{"the next run would fail, or hold other rows than it says: " + report.Summary()}
	}
	return nil
}
