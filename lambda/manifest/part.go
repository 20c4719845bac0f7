package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Part is the record of one segment of a partition that was read: what a run's manifest is put together from. It is written once, on the
// condition that it isn't there, so of two attempts that read the same segment one counts.
//
// A partition is read in segments because a function's time ends: a segment ends where its attempt stopped, between two values of the
// partition's column, and the next begins there.
type Part struct {
	Version int `json:"version"`
	// PlanETag is the version of the plan that the part was read by. A part of another plan doesn't count.
	PlanETag  string `json:"planEtag"`
	Partition string `json:"partition"`
	// Segment counts from 0 within the partition.
	Segment int `json:"segment"`
	// After is the last value that the segment before read, in the text form of the partition's column: this one begins after it. Nil for
	// the first of a partition. Through is the last value that this one read, whole; nil at the end of the partition.
	After   *string `json:"after,omitempty"`
	Through *string `json:"through,omitempty"`
	// Last says that the partition ends with this segment.
	Last bool `json:"last"`

	Attempt    string    `json:"attempt"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	// Statements is how many statements read it.
	Statements int    `json:"statements"`
	Counts     Counts `json:"counts"`
	Files      []File `json:"files"`
	// Smoke is a row of features; absent without channels or rows.
	Smoke Smoke `json:"smoke,omitzero"`
	// Keys are the sorted digests of the segment's keys; nil for full loads. Recent are those in the overlap that the next run reads again.
	Keys   *KeyFile `json:"keys,omitempty"`
	Recent *KeyFile `json:"recent,omitempty"`
	// Statistics is what the run is judged by; nil where nothing is asked of it.
	Statistics *Statistics `json:"statistics,omitempty"`
}

// PartVersion is the version of the format of a Part.
const PartVersion = 1

// DecodePart reads the record of a part.
func DecodePart(b []byte) (Part, error) {
	var p Part
	if err := json.Unmarshal(b, &p); err != nil {
		return Part{}, fmt.Errorf("decoding the record of a part: %w", err)
	}
	if p.Version != PartVersion {
		return Part{}, fmt.Errorf("the record of a part has version %d, this code reads version %d: deploy the pipeline again", p.Version, PartVersion)
	}
	switch {
	case p.PlanETag == "":
		return Part{}, errors.New("the record of a part doesn't name its plan")
	case p.Partition == "" || p.Attempt == "" || p.Segment < 0:
		return Part{}, errors.New("the record of a part doesn't say which part it is, or whose")
	case p.Last == (p.Through != nil):
		return Part{}, fmt.Errorf("segment %d of partition %s has to be the last or to say where it ends, one of the two", p.Segment, p.Partition)
	}
	return p, nil
}
