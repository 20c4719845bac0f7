// Package plan holds what a run is going to read, as it was decided before the first row.
//
// A plan is written once, on the condition that it isn't there, and never changed. Every attempt at the run and every function
// that reads a part of it reads the same plan, so that all of them agree on bounds and ranges whatever the database says by then.
package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// Version is the version of the format that this code writes and reads.
const Version = 1

// Plan is what a run is going to read.
type Plan struct {
	Version       int       `json:"version"`
	Pipeline      string    `json:"pipeline"`
	Run           run.ID    `json:"run"`
	ScheduledTime time.Time `json:"scheduledTime"`
	// Attempt is the attempt that made the plan.
	Attempt   string    `json:"attempt"`
	CreatedAt time.Time `json:"createdAt"`
	// SpecSHA256, QuerySHA256 and SchemaSHA256 say for which pipeline, which SQL and which columns it was made.
	SpecSHA256   string `json:"specSha256"`
	QuerySHA256  string `json:"querySha256"`
	SchemaSHA256 string `json:"schemaSha256"`

	Load pipeline.Load `json:"load"`
	// Generation that the run belongs to, counted from 1. A training window holds runs of one generation.
	Generation int `json:"generation"`
	// NewGeneration says why this run begins a generation; empty when it doesn't.
	NewGeneration string `json:"newGeneration,omitempty"`
	// Parent is the newest commit when the plan was made; nil for the first run.
	Parent *head.Ref `json:"parent,omitempty"`
	// HeadETag is the version of the head that the plan was made from; empty when there was none.
	HeadETag string `json:"headEtag,omitempty"`

	Source  manifest.Source   `json:"source"`
	Columns []manifest.Column `json:"columns"`
	// HashKey names the key of the hashed columns, so that one run has the hashes of one key; empty without such columns.
	HashKey string `json:"hashKey,omitempty"`
	// Window is where @windowStart and @windowEnd are; nil without.
	Window *manifest.Window `json:"window,omitempty"`
	// Bounds of an append load; nil for a full one.
	Bounds *manifest.Bounds `json:"bounds,omitempty"`
	// PartitionColumn is the column of the partitions' ranges; nil when one statement reads everything.
	PartitionColumn *manifest.Column `json:"partitionColumn,omitempty"`
	// Boundaries says where the boundaries came from: "histogram", "minimum and maximum", "one partition".
	Boundaries string      `json:"boundaries"`
	Partitions []Partition `json:"partitions"`
	// EstimatedRows is the catalog's number of rows of the table, 0 when it isn't known.
	EstimatedRows int64 `json:"estimatedRows,omitempty"`
	// Quality is what the run's data must be: the rules of the moment when it was planned, by which each of its rows is counted. Nil: nothing is asked.
	Quality *pipeline.Quality `json:"quality,omitempty"`
}

// Partition is one range of a plan. Ranges follow one another without a gap; the first is open below and the last above, so that
// no key is outside of all.
type Partition struct {
	// ID is "p00000" and so on.
	ID string `json:"id"`
	Range
	// EstimatedRows by the catalog, 0 when it isn't known.
	EstimatedRows int64 `json:"estimatedRows,omitempty"`
}

// Range is what lies between two values of a column, in SQL Server's own order.
type Range struct {
	// From is the first value inside; nil: from the lowest.
	From *string `json:"from,omitempty"`
	// To is the first value outside; nil: to the highest.
	To *string `json:"to,omitempty"`
	// Null is the rows without a value, instead of a range.
	Null bool `json:"null,omitempty"`
}

// String shows a range in a message.
func (r Range) String() string {
	switch {
	case r.Null:
		return "NULL"
	case r.From == nil && r.To == nil:
		return "everything"
	case r.From == nil:
		return fmt.Sprintf("below %q", *r.To)
	case r.To == nil:
		return fmt.Sprintf("from %q", *r.From)
	}
	return fmt.Sprintf("from %q to below %q", *r.From, *r.To)
}

// Key is the key of a run's plan. A run that was planned, failed, and is made again with another spec has another plan: the short
// form of the spec's hash is in the key.
func Key(pipeline string, id run.ID, specSHA256 string) string {
	return prefix(pipeline, id, specSHA256) + fileName
}

// PartKey is the key of the record of a segment of a partition that was read.
func PartKey(pipeline string, id run.ID, specSHA256, partition string, segment int) string {
	return fmt.Sprintf("%s%s-%04d.json", PartsPrefix(pipeline, id, specSHA256), partition, segment)
}

// PartsPrefix is where the records of a plan's parts are. It ends with a slash.
func PartsPrefix(pipeline string, id run.ID, specSHA256 string) string {
	return prefix(pipeline, id, specSHA256) + "parts/"
}

// Prefix is what the keys of all plans of a run begin with.
func Prefix(pipeline string, id run.ID) string {
	return manifest.RunsPrefix(pipeline) + string(id) + "/plan-"
}

// IsKey says whether a key below Prefix is a plan's, and not that of a part's record.
func IsKey(key string) bool {
	return strings.HasSuffix(key, "/"+fileName) && !strings.Contains(key, "/parts/")
}

const fileName = "plan.json"

func prefix(pipeline string, id run.ID, specSHA256 string) string {
	return fmt.Sprintf("%s%.12s/", Prefix(pipeline, id), specSHA256)
}

// OpenKey is the key of the list of partitions that an attempt hands over.
func OpenKey(pipeline string, id run.ID, specSHA256, attempt string) string {
	return prefix(pipeline, id, specSHA256) + "open-" + attempt + ".json"
}

// PartitionID names the n-th partition, counted from 0.
func PartitionID(n int) string { return fmt.Sprintf("p%05d", n) }

// Find gives the partition with an ID.
func (p Plan) Find(id string) (Partition, bool) {
	for _, one := range p.Partitions {
		if one.ID == id {
			return one, true
		}
	}
	return Partition{}, false
}

// Decode reads a plan. Fields that it doesn't know are ignored, another version is refused, and so are ranges that have a gap or
// overlap.
func Decode(b []byte) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return Plan{}, fmt.Errorf("decoding the plan: %w", err)
	}
	if p.Version != Version {
		return Plan{}, fmt.Errorf("the plan has version %d, this code reads version %d: deploy the pipeline again", p.Version, Version)
	}
	if _, err := run.ParseID(string(p.Run)); err != nil {
		return Plan{}, fmt.Errorf("decoding the plan: %w", err)
	}
	switch {
	case p.Pipeline == "":
		return Plan{}, errors.New("the plan names no pipeline")
	case p.SpecSHA256 == "":
		return Plan{}, errors.New("the plan doesn't say for which spec it was made")
	case p.Generation < 1:
		return Plan{}, errors.New("the plan names no generation")
	case p.Load != pipeline.Full && p.Load != pipeline.Append:
		return Plan{}, fmt.Errorf("the plan's load is %q", p.Load)
	case (p.Load == pipeline.Append) != (p.Bounds != nil):
		return Plan{}, errors.New("an append load has bounds, and a full one has none: the plan has it the other way")
	}
	return p, p.check()
}

// check says whether the partitions are every row once.
func (p Plan) check() error {
	if len(p.Partitions) == 0 {
		return errors.New("the plan has no partition")
	}
	ranges := p.Partitions
	for i, one := range p.Partitions {
		if one.ID != PartitionID(i) {
			return fmt.Errorf("the plan's partition %d is called %q, not %q", i, one.ID, PartitionID(i))
		}
	}
	if ranges[0].Null {
		if ranges = ranges[1:]; len(ranges) == 0 {
			return errors.New("the plan reads rows without a key only")
		}
	}
	if len(p.Partitions) > 1 && p.PartitionColumn == nil {
		return errors.New("the plan has several partitions and no column that they are ranges of")
	}
	for i, one := range ranges {
		switch {
		case one.Null:
			return fmt.Errorf("the plan's partition %s is the second without a range", one.ID)
		case i == 0 && one.From != nil:
			return fmt.Errorf("the plan's first range is not open below: it is %s", one.Range)
		case i == len(ranges)-1 && one.To != nil:
			return fmt.Errorf("the plan's last range is not open above: it is %s", one.Range)
		case i > 0 && (one.From == nil || ranges[i-1].To == nil || *one.From != *ranges[i-1].To):
			return fmt.Errorf("the plan's ranges have a gap or overlap between %s and %s", ranges[i-1].ID, one.ID)
		}
	}
	return nil
}
