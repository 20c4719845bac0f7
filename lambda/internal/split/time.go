package split

import (
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Calendar deals rows by a moment of theirs.
type Calendar struct {
	// from is where validation and test begin.
	from [len(Channels) - 1]time.Time
}

// NewCalendar makes the dealer of a split by time.
func NewCalendar(s pipeline.TimeSplit) (Calendar, error) {
	var c Calendar
	for i, from := range []struct{ name, text string }{{"validationFrom", s.ValidationFrom}, {"testFrom", s.TestFrom}} {
		t, err := time.Parse(time.RFC3339, from.text)
		if err != nil {
			return Calendar{}, fmt.Errorf("dataset.split.time.%s is %q: write a moment, as 2026-01-01T00:00:00Z", from.name, from.text)
		}
		// Rows have microseconds: a finer moment would be between two digits that they have lost.
		if t.Nanosecond()%1000 != 0 {
			return Calendar{}, fmt.Errorf("dataset.split.time.%s is %q: a moment has at most six digits after the second", from.name, from.text)
		}
		c.from[i] = t
	}
	if !c.from[0].Before(c.from[1]) {
		return Calendar{}, fmt.Errorf("dataset.split.time.validationFrom is %s, and testFrom is %s: the rows for validation begin before those for the test", s.ValidationFrom, s.TestFrom)
	}
	return c, nil
}

// Deal gives the place in Channels of a row of this moment: what is before validationFrom trains, what is before testFrom validates, and the
// rest tests.
func (c Calendar) Deal(at time.Time) int {
	for i, from := range c.from {
		if at.Before(from) {
			return i
		}
	}
	return len(c.from)
}
