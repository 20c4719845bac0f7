package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/run"
)

// Event is what the function is invoked with, by the schedule, by the distributed map, or by a person.
type Event struct {
	// ScheduledTime of the run to make.
	ScheduledTime string `json:"scheduledTime,omitempty"`
	// Backfill says that a past run is wanted on purpose.
	Backfill bool `json:"backfill,omitempty"`

	// Command is something else than a run.
	Command Command `json:"command,omitempty"`
	// Plan and Partition say what the map's functions read, and its last step commits.
	Plan      PlanRef `json:"plan,omitzero"`
	Partition string  `json:"partition,omitempty"`
	// Reason and By belong to what people decide, KeepWatermark to RebaselinePipeline and Until, an RFC 3339 time, to PausePipeline.
	Reason        string `json:"reason,omitempty"`
	By            string `json:"by,omitempty"`
	KeepWatermark bool   `json:"keepWatermark,omitempty"`
	Until         string `json:"until,omitempty"`
	// Run is the one that AcceptRun takes.
	Run run.ID `json:"run,omitempty"`

	// Source is "aws.cloudformation" when the stack was deployed.
	Source string `json:"source,omitempty"`
}

// PlanRef names a version of a plan.
type PlanRef struct {
	Key  string `json:"key"`
	ETag string `json:"etag"`
}

// Command is something else than a run.
type Command string

// The commands.
const (
	// ReadPartition reads one partition of a plan, as far as the function's time goes.
	ReadPartition Command = "partition"
	// CommitPlan commits a plan whose partitions are read.
	CommitPlan Command = "commit"
	// Doctor examines the database and the pipeline's settings.
	Doctor Command = "doctor"
	// RebaselinePipeline begins a generation, or accepts another database for the one before.
	RebaselinePipeline Command = "rebaseline"
	// Status says what is committed.
	Status Command = "status"
	// Sweep deletes what attempts left that nothing names.
	Sweep Command = "sweep"
	// PausePipeline keeps ticks from reading and starting anything, until a moment.
	PausePipeline Command = "pause"
	// ResumePipeline ends a pause.
	ResumePipeline Command = "resume"
	// AcceptRun takes a run that its rules rejected.
	AcceptRun Command = "accept"
	// RebaseDrift makes the newest run the one that drift is measured from.
	RebaseDrift Command = "rebase-drift"
)

const deployed = "aws.cloudformation"

// Ahead is how far a scheduled time may be ahead of the function's clock. A run of the far future would be later than all that come before it,
// and they superseded.
const Ahead = 10 * time.Minute

// DecodeEvent reads an event that came at a time. Anything else than a scheduled time or a command is an error that shows what is expected.
func DecodeEvent(b []byte, now time.Time) (Event, error) {
	var e Event
	if err := json.Unmarshal(b, &e); err != nil {
		return Event{}, fmt.Errorf(`the event is not of the form {"scheduledTime": "2026-01-01T02:00:00Z"} or {"command": "doctor"}: %w`, err)
	}
	if e.Source == deployed {
		return Event{Command: Doctor, Source: deployed}, nil
	}
	// What EventBridge sends has much else; what the schedule, the map and people send has not, and a misspelt "backfill" is no backfill.
	strict := json.NewDecoder(bytes.NewReader(b))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&Event{}); err != nil {
		return Event{}, fmt.Errorf("decoding the event: %w", err)
	}
	switch e.Command {
	case "":
		at, err := e.scheduled()
		if err == nil && at.After(now.Add(Ahead)) {
			err = fmt.Errorf("scheduledTime %s is in the future: it is %s now; a run is made at its time or after it", e.ScheduledTime, now.UTC().Format(time.RFC3339))
		}
		return e, err
	case ReadPartition, CommitPlan:
		if e.Plan.Key == "" || e.Plan.ETag == "" {
			return Event{}, fmt.Errorf(`the command %q needs the plan: {"plan": {"key": "…", "etag": "…"}}`, e.Command)
		}
		if e.Command == ReadPartition && e.Partition == "" {
			return Event{}, fmt.Errorf(`the command %q needs the partition: {"partition": "p00000"}`, e.Command)
		}
	case RebaselinePipeline:
		if e.Reason == "" || e.By == "" {
			return Event{}, fmt.Errorf(`the command %q needs "reason" and "by": they are written into the pipeline's head`, e.Command)
		}
	case PausePipeline:
		if e.Reason == "" || e.By == "" {
			return Event{}, fmt.Errorf(`the command %q needs "reason", "by" and "until": the ticks that it ends say them`, e.Command)
		}
		if _, err := e.until(now); err != nil {
			return Event{}, fmt.Errorf("the command %q: %w", e.Command, err)
		}
	case ResumePipeline:
		if e.By == "" {
			return Event{}, fmt.Errorf(`the command %q needs "by": it is written where the pause was`, e.Command)
		}
	case AcceptRun, RebaseDrift:
		if e.Reason == "" || e.By == "" {
			return Event{}, fmt.Errorf(`the command %q needs "reason" and "by": they are written beside what it decides`, e.Command)
		}
		if e.Command == AcceptRun {
			if _, err := run.ParseID(string(e.Run)); err != nil {
				return Event{}, fmt.Errorf(`the command %q needs the run: {"run": "20260101t020000z"}: %w`, e.Command, err)
			}
		}
	case Doctor, Status, Sweep:
	default:
		return Event{}, fmt.Errorf("the command %q is not one of doctor, status, rebaseline, sweep, pause, resume, accept, rebase-drift, partition, commit", e.Command)
	}
	return e, nil
}

func (e Event) scheduled() (time.Time, error) { return run.ParseScheduledTime(e.ScheduledTime) }
