// Package pause holds the flag by which people pause a pipeline. It is an object beside the pipeline's head, so no deployment undoes it, and it ends by
// itself, so nobody has to remember it.
package pause

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Longest is how long a pause may be. For longer, the schedule is switched off in the configuration, where everybody sees it.
const Longest = 30 * 24 * time.Hour

// Key is the key of a pipeline's Pause.
func Key(pipeline string) string { return pipeline + "/pause.json" }

// Pause is the flag: who paused the pipeline, why, when and until when. When it is over it stays, as the last that was.
type Pause struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Until is the first moment at which the pipeline runs again.
	Until time.Time `json:"until"`
}

// On says whether the pipeline is paused at a moment.
func (p Pause) On(now time.Time) bool { return now.Before(p.Until) }

// Decode reads a Pause. What names no end is none: it would pause nothing.
func Decode(b []byte) (Pause, error) {
	var p Pause
	if err := json.Unmarshal(b, &p); err != nil {
		return Pause{}, fmt.Errorf("decoding the pause: %w", err)
	}
	if p.Until.IsZero() {
		return Pause{}, errors.New(`the pause has no "until"`)
	}
	return p, nil
}
