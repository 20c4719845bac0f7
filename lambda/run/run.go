// Package run names the runs of a pipeline.
//
// A run is one tick of one pipeline's schedule. Everything a run makes (objects, execution, training job, model,
// endpoint config) is named from the scheduled time, so an event that is delivered twice cannot do the work twice.
package run

import (
	"fmt"
	"time"
)

// ID is the identity of a run: its scheduled time in UTC to the second, as in "20260101t020000z". It is lower case
// because the CDK lower-cases SageMaker's names in IAM, and it sorts in the order of time.
type ID string

// IDLength is the length in bytes of every ID: what a name prefix has to leave free.
const IDLength = len(idLayout)

const idLayout = "20060102t150405z"

// NewID gives the ID of the run that was scheduled for t. Fractions of a second are dropped: EventBridge Scheduler
// fires at most once a minute.
func NewID(t time.Time) ID {
	return ID(t.UTC().Format(idLayout))
}

// ParseID reads an ID that a person typed or a manifest holds.
func ParseID(s string) (ID, error) {
	if _, err := time.Parse(idLayout, s); err != nil {
		return "", fmt.Errorf("run id %q is not of the form 20260101t020000z (the scheduled time in UTC)", s)
	}
	return ID(s), nil
}

// Time is the scheduled time of the run in UTC; the zero time for an ID that neither NewID nor ParseID made.
func (id ID) Time() time.Time {
	t, err := time.Parse(idLayout, string(id))
	if err != nil {
		return time.Time{}
	}
	return t
}

// ParseScheduledTime reads the scheduled time of an event: what EventBridge Scheduler puts for
// <aws.scheduler.scheduled-time>, or what a person wrote into a manual invocation.
func ParseScheduledTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, fmt.Errorf(`the event has no "scheduledTime": invoke with {"scheduledTime": "2026-01-01T02:00:00Z"}`)
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("scheduledTime %q is not an RFC 3339 time such as 2026-01-01T02:00:00Z", s)
	}
	if t.Year() < 2000 || t.Year() > 2999 {
		return time.Time{}, fmt.Errorf("scheduledTime %q is not in the years 2000 to 2999", s)
	}
	return t.UTC().Truncate(time.Second), nil
}
