package evaluation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sagemaker-datapipeline/lambda/run"
)

// DecodeEvent reads the event of the function, strictly, and says what its command lacks.
func DecodeEvent(b []byte) (Event, error) {
	var e Event
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return Event{}, fmt.Errorf("decoding the event: %w", err)
	}
	switch e.Command {
	case FindChampion, Decide, Smoke:
	case "":
		return Event{}, errors.New(`the event has no "command": it is one of champion, decide, smoke`)
	default:
		return Event{}, fmt.Errorf("the command %q is not one of champion, decide, smoke", e.Command)
	}
	if _, err := run.ParseID(string(e.Run)); err != nil {
		return Event{}, fmt.Errorf("the command %q: %w", e.Command, err)
	}
	if e.Job == "" {
		return Event{}, fmt.Errorf("the command %q lacks job", e.Command)
	}
	// They become parts of keys.
	for name, value := range map[string]string{"job": e.Job, "model": e.Model, "champion": e.Champion} {
		if strings.ContainsAny(value, "/ ") {
			return Event{}, fmt.Errorf("the command %q: %s is %q, which is no name of SageMaker's", e.Command, name, value)
		}
	}
	if e.Model == "" {
		e.Model = e.Job
	}
	return e, nil
}
