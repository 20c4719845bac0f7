package export

import (
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
	// Reason, By and KeepWatermark belong to Rebaseline.
	Reason        string `json:"reason,omitempty"`
	By            string `json:"by,omitempty"`
	KeepWatermark bool   `json:"keepWatermark,omitempty"`

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
)

const deployed = "aws.cloudformation"

// DecodeEvent reads an event. Anything else than a scheduled time or a command is an error that shows what is expected.
func DecodeEvent(b []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(b, &e); err != nil {
		return Event{}, fmt.Errorf(`the event is not of the form {"scheduledTime": "2026-01-01T02:00:00Z"} or {"command": "doctor"}: %w`, err)
	}
	if e.Source == deployed {
		return Event{Command: Doctor, Source: deployed}, nil
	}
	switch e.Command {
	case "":
		_, err := e.scheduled()
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
	case Doctor, Status, Sweep:
	default:
		return Event{}, fmt.Errorf("the command %q is not one of doctor, status, rebaseline, sweep, partition, commit", e.Command)
	}
	return e, nil
}

func (e Event) scheduled() (time.Time, error) { return run.ParseScheduledTime(e.ScheduledTime) }
