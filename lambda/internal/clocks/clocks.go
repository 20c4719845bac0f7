// Package clocks holds what a pipeline's age is told by: the newest run whose tick was processed, whose data is accepted, and whose data the model
// in service is as young as.
//
// Each clock is a small object below <pipeline>/clocks/. It is only ever set forward, whatever comes late or twice.
package clocks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/run"
)

// Clock is one of a pipeline's clocks.
type Clock string

// The clocks.
const (
	// Tick: when the pipeline last did what it should with a tick.
	Tick Clock = "tick"
	// Data: the newest run whose data is committed and accepted.
	Data Clock = "data"
	// Model: the run on whose data the model in service was trained, or was compared and kept.
	Model Clock = "model"
	// End: the run whose end people were told of last. It is no age of anything: it says what was told already.
	End Clock = "end"
)

// All are the clocks that have an age, in the order in which a run sets them.
var All = []Clock{Data, Model, Tick}

// Reading is what set a clock last.
type Reading struct {
	Run     run.ID          `json:"run"`
	Outcome outcome.Outcome `json:"outcome"`
	// At is when the run ended.
	At time.Time `json:"at"`
}

// SetBy gives the clocks with an age that the end of a run sets. An end that names no run sets none.
func SetBy(end outcome.End) []Clock {
	if end.Run.Time().IsZero() {
		return nil
	}
	var set []Clock
	if end.Data {
		set = append(set, Data)
	}
	if end.Outcome.RenewsModel() && !end.Uncompared {
		set = append(set, Model)
	}
	if end.Outcome.Deliberate() {
		set = append(set, Tick)
	}
	return set
}

// from is the moment that the clock's age is counted from: data is as old as the run that it was read for, a tick's is when it was processed.
func (r Reading) from(c Clock) time.Time {
	if c == Data || c == Model {
		return r.Run.Time()
	}
	return r.At
}

// follows says whether a reading may take the place of another. Which run put its model into service last, and which tick was processed last, is
// a matter of when that was: going back to an older model makes the clock of the model older. Data, and a model that was kept, only get newer.
func (r Reading) follows(c Clock, before Reading) bool {
	if c == Data || c == Model && r.Outcome != outcome.Succeeded {
		return r.Run > before.Run
	}
	return r.At.After(before.At)
}

// Clocks are those of one pipeline.
type Clocks struct {
	bucket   *objects.Bucket
	pipeline string
}

// New gives the clocks of a pipeline, whose objects are below its name in the bucket.
func New(bucket *objects.Bucket, pipeline string) Clocks { return Clocks{bucket, pipeline} }

// Prefix is where a pipeline's clocks are in the bucket.
func Prefix(pipeline string) string { return pipeline + "/clocks/" }

func (c Clocks) key(name string) string { return Prefix(c.pipeline) + name + ".json" }

const (
	contentType = "application/json"
	// setTries bounds Set: each further try means that another run has set the same clock meanwhile.
	setTries = 8
)

// Set sets a clock, unless what it shows is newer. It can be called again, and from elsewhere at the same time.
func (c Clocks) Set(ctx context.Context, clock Clock, to Reading) error {
	to.At = to.At.UTC()
	body, err := json.Marshal(to)
	if err != nil {
		return fmt.Errorf("encoding the clock %s: %w", clock, err)
	}
	key := c.key(string(clock))
	for range setTries {
		shown, stored, err := c.read(ctx, clock)
		var after objects.Stored
		switch {
		case errors.Is(err, objects.ErrNotFound):
			after, err = c.bucket.Create(ctx, key, contentType, body)
		case err == nil && !to.follows(clock, shown):
			return nil
		case err == nil:
			after, err = c.bucket.Replace(ctx, key, contentType, body, stored.ETag)
		}
		if err != nil {
			return fmt.Errorf("setting the clock %s: %w", clock, err)
		}
		if bytes.Equal(after.Body, body) {
			return nil
		}
	}
	return fmt.Errorf("setting the clock %s: s3://%s/%s was changed by others %d times meanwhile", clock, c.bucket.Name(), key, setTries)
}

// Read gives what a clock shows; ok is false for one that was never set.
func (c Clocks) Read(ctx context.Context, clock Clock) (shown Reading, ok bool, err error) {
	shown, _, err = c.read(ctx, clock)
	if errors.Is(err, objects.ErrNotFound) {
		return Reading{}, false, nil
	}
	if err != nil {
		return Reading{}, false, fmt.Errorf("reading the clock %s: %w", clock, err)
	}
	return shown, shown != (Reading{}), nil
}

// read gives the zero Reading for an object that is no clock: whatever comes follows it.
func (c Clocks) read(ctx context.Context, clock Clock) (Reading, objects.Stored, error) {
	stored, err := c.bucket.Read(ctx, c.key(string(clock)))
	if err != nil {
		return Reading{}, objects.Stored{}, err
	}
	var shown Reading
	if err := json.Unmarshal(stored.Body, &shown); err != nil || shown.from(clock).IsZero() {
		return Reading{}, stored, nil //nolint:nilerr // somebody wrote something else there
	}
	return shown, stored, nil
}

// since is from when a clock counts that was never set.
type since struct {
	At time.Time `json:"at"`
}

// Ages gives how old each clock is. One that was never set counts from the first time that it was asked for, which is remembered: a pipeline that
// never runs grows old as well. now is in no clock's future.
func (c Clocks) Ages(ctx context.Context, now time.Time) (map[Clock]time.Duration, error) {
	ages := make(map[Clock]time.Duration, len(All))
	for _, clock := range All {
		shown, ok, err := c.Read(ctx, clock)
		if err != nil {
			return nil, err
		}
		from := shown.from(clock)
		if !ok {
			if from, err = c.since(ctx, now); err != nil {
				return nil, err
			}
		}
		ages[clock] = max(0, now.Sub(from))
	}
	return ages, nil
}

// since reads from when clocks count that were never set, and begins to count where nobody has.
func (c Clocks) since(ctx context.Context, now time.Time) (time.Time, error) {
	body, err := json.Marshal(since{now.UTC()})
	if err != nil {
		return time.Time{}, fmt.Errorf("encoding since when the clocks count: %w", err)
	}
	key := c.key("since")
	stored, err := c.bucket.Read(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		stored, err = c.bucket.Create(ctx, key, contentType, body)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading since when the clocks count: %w", err)
	}
	var begun since
	if err := json.Unmarshal(stored.Body, &begun); err != nil || begun.At.IsZero() {
		return time.Time{}, fmt.Errorf("s3://%s/%s doesn't say since when the clocks count: delete it, and they count from then on", c.bucket.Name(), key)
	}
	return begun.At, nil
}
