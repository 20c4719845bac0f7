package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sagemaker-datapipeline/test/local/report"
)

// recorder keeps what the run did, for the console and for the report.
type recorder struct {
	mu      sync.Mutex
	console *console
	result  report.Result
}

func newRecorder(c *console) *recorder {
	r := &recorder{console: c, result: report.Result{StartedAt: c.start.UTC().Truncate(time.Second)}}
	c.underWay = r.underWay
	return r
}

// since is the time of an instant in the report's unit: seconds since the run's start.
func (r *recorder) since(t time.Time) float64 { return t.Sub(r.console.start).Seconds() }

// stepError is a step's failure: the first one ends the run, and is what the user reads.
type stepError struct {
	step  string
	cause error
	// log is the file with the details; empty where the cause says everything.
	log string
}

func (e *stepError) Error() string { return e.step + ": " + e.cause.Error() }
func (e *stepError) Unwrap() error { return e.cause }

// withLog names the file that holds more than the error says.
func withLog(err error, log string) error {
	if err == nil {
		return nil
	}
	return &loggedError{err, log}
}

type loggedError struct {
	error
	log string
}

func (e *loggedError) Unwrap() error { return e.error }

// step runs one step, prints and records it. What f returns as detail is printed behind its name.
func (r *recorder) step(ctx context.Context, name string, f func(ctx context.Context) (detail string, err error)) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	start := time.Now()
	r.mu.Lock()
	index := len(r.result.Steps)
	r.result.Steps = append(r.result.Steps, report.Step{Name: name, State: report.Running, Start: r.since(start)})
	r.mu.Unlock()

	detail, err := f(ctx)
	state := report.Done
	switch {
	case err != nil && ctx.Err() != nil:
		state = report.Stopped // another step failed first, or somebody pressed Ctrl-C
		err = context.Cause(ctx)
	case err != nil:
		state = report.Failed
		failure := &stepError{step: name, cause: err}
		if logged := (*loggedError)(nil); errors.As(err, &logged) {
			failure.log = logged.log
		}
		err = failure
	}
	end := time.Now()
	r.mu.Lock()
	s := &r.result.Steps[index]
	s.State, s.Detail, s.End = state, detail, r.since(end)
	r.mu.Unlock()
	if state == report.Done {
		c := r.console
		c.line(name, "%s %s  %s", c.paint(green, "✓"), detail, c.paint(dim, fmt.Sprintf("%.1f s", end.Sub(start).Seconds())))
	}
	return err
}

// underWay names the steps that run, longest first, for the console's status line.
func (r *recorder) underWay() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var running []string
	now := r.since(time.Now())
	for _, s := range r.result.Steps {
		if s.State == report.Running {
			running = append(running, fmt.Sprintf("%s %.0f s", s.Name, now-s.Start))
		}
	}
	return strings.Join(running, " · ")
}

// tick stores the state of one run of a pipeline; pipelines are added when their first run is.
func (r *recorder) tick(p report.Pipeline, index int, t report.Tick) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.result.Pipelines, func(q report.Pipeline) bool { return q.Name == p.Name })
	if i < 0 {
		r.result.Pipelines = append(r.result.Pipelines, p)
		slices.SortFunc(r.result.Pipelines, func(a, b report.Pipeline) int {
			return slices.Index(pipelineNames(), a.Name) - slices.Index(pipelineNames(), b.Name)
		})
		i = slices.IndexFunc(r.result.Pipelines, func(q report.Pipeline) bool { return q.Name == p.Name })
	}
	ticks := &r.result.Pipelines[i].Ticks
	for len(*ticks) <= index {
		*ticks = append(*ticks, report.Tick{})
	}
	(*ticks)[index] = t
}

// ledger stores what the comparison of a pipeline's rows found.
func (r *recorder) ledger(pipeline string, l report.Ledger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.result.Pipelines {
		if r.result.Pipelines[i].Name == pipeline {
			r.result.Pipelines[i].Ledger = &l
		}
	}
}

func (r *recorder) notice(n report.Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Notices = append(r.result.Notices, n)
}

// finish closes the record with the error that ended the run, and returns it.
func (r *recorder) finish(err error, logs string) report.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Seconds = time.Since(r.console.start).Seconds()
	if err != nil {
		f := &report.Failure{Step: "run", Cause: err.Error(), Logs: logs}
		if s := (*stepError)(nil); errors.As(err, &s) {
			f.Step, f.Cause = s.step, s.cause.Error()
			if s.log != "" {
				f.Logs = s.log
			}
		}
		r.result.Failure = f
	}
	return r.result
}

// clocks records the clocks of a pipeline that has run.
func (r *recorder) clocks(pipeline string, clocks []report.Clock) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.result.Pipelines {
		if r.result.Pipelines[i].Name == pipeline {
			r.result.Pipelines[i].Clocks = clocks
		}
	}
}

// runs are the ids of the runs that a pipeline had.
func (r *recorder) runs(pipeline string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, p := range r.result.Pipelines {
		for _, t := range p.Ticks {
			if p.Name == pipeline {
				ids = append(ids, t.Run)
			}
		}
	}
	return ids
}
