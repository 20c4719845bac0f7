package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"sagemaker-datapipeline/lambda/run"
)

// The events of commands that say who gave them and why.
type (
	pausing struct {
		Command string `json:"command"`
		By      string `json:"by"`
		Reason  string `json:"reason,omitempty"`
		Until   string `json:"until,omitempty"`
	}
	accepting struct {
		Command string `json:"command"`
		Run     string `json:"run,omitempty"`
		By      string `json:"by"`
		Reason  string `json:"reason"`
	}
)

// The lengths of a pause.
const (
	defaultPause = 24 * time.Hour
	longestPause = 30 * 24 * time.Hour
)

// pause writes the flag that the export reads before anything else. It ends by itself, so that nobody has to remember it.
func pause(ctx context.Context, o options, s *site, out io.Writer) error {
	now := time.Now().UTC().Truncate(time.Second)
	until := now.Add(defaultPause)
	switch {
	case o.until != "":
		var err error
		if until, err = run.ParseScheduledTime(o.until); err != nil {
			return fmt.Errorf("pause: -until: %w", err)
		}
	case o.pauseFor != 0:
		until = now.Add(o.pauseFor)
	}
	if !until.After(now) || until.After(now.Add(longestPause)) {
		return fmt.Errorf("pause: it would end %s: that is not within the next 30 days; for longer, switch the schedule off in the configuration", moment(until))
	}
	return stated(ctx, o, s, out, pausing{Command: "pause", By: o.by, Reason: o.reason, Until: until.Format(time.RFC3339)})
}

func resume(ctx context.Context, o options, s *site, out io.Writer) error {
	return stated(ctx, o, s, out, pausing{Command: "resume", By: o.by})
}

func accept(ctx context.Context, o options, s *site, out io.Writer) error {
	return asked(ctx, o, s, out, accepting{Command: "accept", Run: o.words[0], By: o.by, Reason: o.reason})
}

func rebaseDrift(ctx context.Context, o options, s *site, out io.Writer) error {
	return asked(ctx, o, s, out, accepting{Command: "rebase-drift", By: o.by, Reason: o.reason})
}
