package run

import (
	"strings"
	"testing"
	"time"
)

func TestAnIDIsTheScheduledTimeInUTC(t *testing.T) {
	berlin := time.FixedZone("CEST", 2*60*60)
	id := NewID(time.Date(2026, 6, 1, 4, 0, 0, 999, berlin))
	if id != "20260601t020000z" {
		t.Fatalf("got %s", id)
	}
	if got := id.Time(); !got.Equal(time.Date(2026, 6, 1, 2, 0, 0, 0, time.UTC)) {
		t.Fatalf("the time of %s is %s", id, got)
	}
	if len(id) != IDLength {
		t.Fatalf("IDLength is %d, the id has %d bytes", IDLength, len(id))
	}
}

func TestScheduledTimes(t *testing.T) {
	for _, c := range []struct{ name, in, want, problem string }{
		{"what the Scheduler sends", "2026-01-01T02:00:00Z", "20260101t020000z", ""},
		{"an offset is turned into UTC", "2026-01-01T02:00:00+01:00", "20260101t010000z", ""},
		{"fractions of a second are dropped", "2026-01-01T02:00:00.75Z", "20260101t020000z", ""},
		{"a missing time", "", "", "has no \"scheduledTime\""},
		{"a date alone", "2026-01-01", "", "not an RFC 3339 time"},
		{"a placeholder that the Scheduler did not replace", "<aws.scheduler.scheduled-time>", "", "not an RFC 3339 time"},
		{"the 30th of February", "2026-02-30T00:00:00Z", "", "not an RFC 3339 time"},
		{"a year that no schedule has", "0001-01-01T00:00:00Z", "", "2000 to 2999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseScheduledTime(c.in)
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("got error %v, want one with %q", err, c.problem)
				}
				return
			}
			if err != nil || string(NewID(got)) != c.want {
				t.Fatalf("got %s, %v; want %s", NewID(got), err, c.want)
			}
		})
	}
}

func FuzzParseScheduledTime(f *testing.F) {
	f.Add("2026-01-01T02:00:00Z")
	f.Add("9999-12-31T23:59:59-23:59")
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseScheduledTime(s)
		if err != nil {
			return
		}
		id := NewID(at)
		if back, err := ParseID(string(id)); err != nil || !back.Time().Equal(at) {
			t.Fatalf("%q gave the id %s, which reads back as %s, %v", s, id, back, err)
		}
	})
}
