package workflow

import (
	"regexp"
	"strconv"
	"testing"
)

func TestALeaseIsWaitedForAsLongAsItsHolderMayTake(t *testing.T) {
	looks := regexp.MustCompile(`\$looks < (\d+)`)
	for name, c := range map[string]struct {
		pipeline string
		seconds  int // of what its holder may take
	}{
		"an endpoint gets ready before and after":           {"plain", 2 * 240},
		"a batch's job runs, and waits for machines before": {"batch", 2 * 7_200}, // the most; the polls of the tests are a second
	} {
		t.Run(name, func(t *testing.T) {
			var most int
			for _, way := range decode(t, c.pipeline).States["Lease acquired?"].Choices {
				if found := looks.FindStringSubmatch(way.Condition); found != nil {
					most, _ = strconv.Atoi(found[1])
				}
			}
			waited := 0 // each ten looks another poll interval, up to ten; a poll is a second
			for look := range most {
				waited += min(10, 1+look/10)
			}
			if waited < c.seconds {
				t.Errorf("it is looked at %d times, within %d seconds, and the holder may take %d", most, waited, c.seconds)
			}
			if most > 2_000 {
				t.Errorf("it is looked at %d times: the history of an execution has 25,000 events, and a look is ten", most)
			}
		})
	}
}
