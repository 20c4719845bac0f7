package pause

import (
	"testing"
	"time"
)

func TestAPauseHoldsUntilItsEnd(t *testing.T) {
	until := time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
	p := Pause{Until: until}
	if !p.On(until.Add(-time.Nanosecond)) || p.On(until) || p.On(until.Add(time.Hour)) {
		t.Fatal("the pause ends at another time")
	}
}

// People may write the flag by hand, and what is half a flag must not be taken for none.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"by":"ann","reason":"a migration","at":"2026-01-01T02:00:00Z","until":"2026-01-02T02:00:00Z"}`))
	f.Add([]byte(`{"by":"ann"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Decode(b); err == nil && p.Until.IsZero() {
			t.Fatalf("%s was taken as %+v", b, p)
		}
	})
}
