package export_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/pause"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

func TestAPausedPipelineReadsNothing(t *testing.T) {
	table := orders(t, 60)
	bubble(t, func(t *testing.T) {
		d := deploy(t, spec(pipeline.Source{Table: table}, ordersDataset))
		until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		var paused export.State
		d.must(d.again(nil, func(ctx context.Context, e *export.Exporter) (err error) {
			paused, err = e.Pause(ctx, export.Event{By: "ann", Reason: "a migration", Until: until.Format(time.RFC3339)})
			return err
		}))
		if p := paused.Pause; p == nil || p.By != "ann" || p.Reason != "a migration" || !p.Until.Equal(until) {
			t.Fatalf("got %+v", paused)
		}
		before := d.s3.Keys("")
		p := d.process(nil)
		var got export.Result
		d.must(p.invoke(func(ctx context.Context, e *export.Exporter) (err error) {
			e.Alone = machine{p, d.maps}
			got, err = e.Run(ctx, event(at(0)), "request")
			return err
		}))
		if got.Outcome != export.Paused || got.Detail != "ann paused the pipeline until "+until.Format(time.RFC3339)+": a migration" || got.Run != run.NewID(at(0)) {
			t.Fatalf("got %+v", got)
		}
		if calls := p.client.Calls(); len(calls) != 1 || len(d.s3.Keys("")) != len(before) || d.statements > 0 {
			t.Fatalf("the paused run called %v, %d statements", calls, d.statements)
		}
		time.Sleep(time.Hour)
		if got := d.run(at(1), nil); got.Outcome != export.Committed {
			t.Fatalf("after the pause: %+v", got)
		}
		d.must(d.again(nil, func(ctx context.Context, e *export.Exporter) (err error) {
			paused, err = e.Status(ctx)
			return err
		}))
		if paused.Pause != nil || d.s3.Keys(pause.Key("orders")) == nil {
			t.Fatalf("a pause that is over is removed, or holds: %+v", paused)
		}
	})
}

// Running says that nothing runs: the lease of the database is free.
func (machine) Running(context.Context, string) (bool, error) { return false, nil }

func TestAPauseThatIsEndedIsOver(t *testing.T) {
	table := orders(t, 60)
	bubble(t, func(t *testing.T) {
		d := deploy(t, spec(pipeline.Source{Table: table}, ordersDataset))
		ask := func(command func(*export.Exporter, context.Context, export.Event) (export.State, error), event export.Event) export.State {
			var state export.State
			d.must(d.again(nil, func(ctx context.Context, e *export.Exporter) (err error) {
				state, err = command(e, ctx, event)
				return err
			}))
			return state
		}
		ask((*export.Exporter).Pause, export.Event{By: "ann", Reason: "a migration", Until: time.Now().Add(time.Hour).Format(time.RFC3339)})
		if got := ask((*export.Exporter).Resume, export.Event{By: "bob"}); got.Pause != nil {
			t.Fatalf("got %+v", got)
		}
		if got := d.run(at(0), nil); got.Outcome != export.Committed {
			t.Fatalf("got %+v", got)
		}
		if last := string(d.get(pause.Key("orders"))); !strings.Contains(last, `"by":"bob"`) {
			t.Fatalf("the flag says %s", last)
		}
	})
}

func TestAPauseThatCannotBeReadStopsTheTick(t *testing.T) {
	table := orders(t, 60)
	bubble(t, func(t *testing.T) {
		d := deploy(t, spec(pipeline.Source{Table: table}, ordersDataset))
		for _, flag := range []string{"[]", "{}", `{"by":"ann","until":"tomorrow"}`} {
			d.put(pause.Key("orders"), flag)
			err := d.again(nil, func(ctx context.Context, e *export.Exporter) error {
				_, err := e.Run(ctx, event(at(0)), "request")
				return err
			})
			if err == nil || !strings.Contains(err.Error(), `write it anew with the command "pause" or "resume"`) {
				t.Fatalf("%s: %v", flag, err)
			}
		}
	})
}

func TestWhatPausesAPipelineSaysWhoWhyAndUntilWhen(t *testing.T) {
	now := time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, event, want string }{
		{"nobody says who", `{"command":"pause","reason":"r","until":"2026-01-02T02:00:00Z"}`, `needs "reason", "by" and "until"`},
		{"nobody says why", `{"command":"pause","by":"ann","until":"2026-01-02T02:00:00Z"}`, `needs "reason", "by" and "until"`},
		{"it has no end", `{"command":"pause","by":"ann","reason":"r"}`, "not an RFC 3339 time"},
		{"its end is no time", `{"command":"pause","by":"ann","reason":"r","until":"friday"}`, `"friday"`},
		{"its end is over", `{"command":"pause","by":"ann","reason":"r","until":"2026-01-01T02:00:00Z"}`, "within the next 30 days"},
		{"it is longer than a month", `{"command":"pause","by":"ann","reason":"r","until":"2026-01-31T02:00:01Z"}`, "switch the schedule off"},
		{"nobody says who resumes", `{"command":"resume"}`, `needs "by"`},
		{"a month", `{"command":"pause","by":"ann","reason":"r","until":"2026-01-31T02:00:00Z"}`, ""},
		{"an end in another zone", `{"command":"pause","by":"ann","reason":"r","until":"2026-01-01T02:00:00-05:00"}`, ""},
		{"resuming", `{"command":"resume","by":"ann"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := export.DecodeEvent([]byte(c.event), now)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}
