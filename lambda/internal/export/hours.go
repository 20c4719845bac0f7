package export

import (
	"context"
	"fmt"
	"time"
	_ "time/tzdata" // the function's image has no zones

	"sagemaker-datapipeline/lambda/pipeline"
)

// withinTime bounds a context by the function's time less Margin, and says until when reading in pages may go on. Of a short time, both take a
// part only.
func withinTime(ctx context.Context) (context.Context, time.Time, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, time.Now().Add(24 * time.Hour), func() {}
	}
	left := time.Until(deadline)
	margin, reserve := min(Margin, left/4), min(Reserve, left/3)
	bounded, cancel := context.WithDeadlineCause(ctx, deadline.Add(-margin), fmt.Errorf("the export was stopped %s before the function's time limit: raise the function's timeout (at most 15 minutes) or memory (which brings CPU), "+
		"read fewer rows, or name a key by which it is read in pages and can go on in another function (source.partitionBy)", margin.Round(time.Millisecond)))
	return bounded, deadline.Add(-reserve), cancel
}

// allowed says whether the database may be read now, and until when: until, or the end of the allowed hours if that is earlier.
func (e *Exporter) allowed(until time.Time) (bool, time.Time, error) {
	h := e.Spec.Limits.AllowedHours
	if h == nil {
		return true, until, nil
	}
	inside, end, err := within(*h, time.Now())
	if err != nil || !inside {
		return false, until, err
	}
	if end.Before(until) {
		until = end
	}
	return true, until, nil
}

// within says whether a moment is in the hours, and when they end.
func within(h pipeline.Hours, now time.Time) (bool, time.Time, error) {
	zone, err := time.LoadLocation(h.TimeZone)
	if err != nil {
		return false, time.Time{}, fmt.Errorf("export.allowedHours.timeZone %q: %w", h.TimeZone, err)
	}
	var at [2]time.Duration
	for i, text := range []string{h.From, h.To} {
		t, err := time.Parse("15:04", text)
		if err != nil {
			return false, time.Time{}, fmt.Errorf("export.allowedHours: %q is not a time of day such as 22:00", text)
		}
		at[i] = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	}
	local := now.In(zone)
	onDay := func(day int, d time.Duration) time.Time {
		// By the clock, not by duration: a day may have 23 or 25 hours.
		return time.Date(local.Year(), local.Month(), local.Day()+day, int(d.Hours()), int(d.Minutes())%60, 0, 0, zone)
	}
	// The hours that began yesterday or today are those that may hold now.
	for _, day := range []int{-1, 0} {
		from, to := onDay(day, at[0]), onDay(day, at[1])
		if at[1] <= at[0] {
			to = onDay(day+1, at[1])
		}
		if !local.Before(from) && local.Before(to) {
			return true, to, nil
		}
	}
	return false, time.Time{}, nil
}
