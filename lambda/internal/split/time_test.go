package split

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/pipeline"
)

func TestRowsAreDealtByTime(t *testing.T) {
	c, err := NewCalendar(pipeline.TimeSplit{ValidationFrom: "2026-01-01T00:00:00+01:00", TestFrom: "2026-02-01T00:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"0001-01-01T00:00:00Z":        "train",
		"2025-12-31T22:59:59.999999Z": "train",
		"2025-12-31T23:00:00Z":        "validation",
		"2026-01-31T23:59:59.999999Z": "validation",
		"2026-02-01T00:00:00Z":        "test",
		"9999-12-31T23:59:59.999999Z": "test",
	} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := Channels[c.Deal(moment)]; got != want {
			t.Errorf("%s is dealt to %s, want %s", at, got, want)
		}
	}
}

func TestMomentsOfASplitAreChecked(t *testing.T) {
	for _, c := range []struct{ name, validation, test, problem string }{
		{"a day is no moment", "2026-01-01", "2026-02-01T00:00:00Z", `validationFrom is "2026-01-01"`},
		{"without a test", "2026-01-01T00:00:00Z", "", `testFrom is ""`},
		{"finer than what rows have", "2026-01-01T00:00:00.0000001Z", "2026-02-01T00:00:00Z", "six digits"},
		{"in the wrong order", "2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z", "begin before"},
		{"nothing between them", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z", "begin before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewCalendar(pipeline.TimeSplit{ValidationFrom: c.validation, TestFrom: c.test})
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

// A later row is never in an earlier channel.
func TestALaterRowIsInALaterChannel(t *testing.T) {
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-1e15, 1e15).Draw(t, "microseconds")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		from, to, a, b := moment.Draw(t, "from"), moment.Draw(t, "to"), moment.Draw(t, "a"), moment.Draw(t, "b")
		if !from.Before(to) || b.Before(a) {
			t.Skip("in another order")
		}
		c, err := NewCalendar(pipeline.TimeSplit{ValidationFrom: from.Format(time.RFC3339Nano), TestFrom: to.Format(time.RFC3339Nano)})
		if err != nil {
			t.Fatal(err)
		}
		if c.Deal(a) > c.Deal(b) {
			t.Fatalf("%s is in %s and %s in %s", a, Channels[c.Deal(a)], b, Channels[c.Deal(b)])
		}
	})
}
