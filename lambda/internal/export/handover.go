package export

import (
	"context"
	"encoding/json"
	"fmt"

	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
)

// Map is the state machine that reads partitions by a distributed map.
type Map interface {
	// StartOrFind starts an execution with this name, or finds it running or succeeded. One that failed is left alone, and another with
	// a number behind the name takes its place. It gives its ARN.
	StartOrFind(ctx context.Context, name string, input []byte) (arn string, err error)
}

// mapInput is the input of the map's execution. Its size doesn't depend on the number of partitions: their list is an object.
type mapInput struct {
	Run           run.ID    `json:"run"`
	ScheduledTime string    `json:"scheduledTime"`
	Plan          PlanRef   `json:"plan"`
	Open          openParts `json:"open"`
}

type openParts struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// handOver gives the open partitions to the distributed map.
func (e *Exporter) handOver(ctx context.Context, f ledger.Frozen, attempt string) (string, error) {
	if e.Map == nil {
		return "", fmt.Errorf("the export doesn't fit one function's time, and there is no state machine to hand it over to: deploy the pipeline again, or read fewer rows")
	}
	_, open, err := e.ledger().Parts(ctx, f)
	if err != nil {
		return "", err
	}
	list := make([]map[string]string, len(open))
	for i, one := range open {
		list[i] = map[string]string{"partition": one.ID}
	}
	body, err := json.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("encoding the list of partitions: %w", err)
	}
	object, err := e.Bucket.Put(ctx, plan.OpenKey(e.Spec.Pipeline, f.Run, f.SpecSHA256, attempt), jsonType, body)
	if err != nil {
		return "", err
	}
	input, err := json.Marshal(mapInput{
		Run: f.Run, ScheduledTime: f.ScheduledTime.UTC().Format("2006-01-02T15:04:05Z"), Plan: PlanRef{Key: f.Key, ETag: f.ETag},
		Open: openParts{Bucket: e.Bucket.Name(), Key: object.Key},
	})
	if err != nil {
		return "", fmt.Errorf("encoding the input of the distributed map: %w", err)
	}
	return e.Map.StartOrFind(ctx, fmt.Sprintf("%s-%.8s", f.Run, f.SpecSHA256), input)
}

// Progress is what a function of the distributed map answers.
type Progress struct {
	Partition string `json:"partition"`
	// Done says that the partition is read. Otherwise the function has to be invoked again: its time was over.
	Done bool `json:"done"`
	// Segments is in how many pieces it is read so far.
	Segments int `json:"segments"`
}

// Partition reads one partition of a plan as far as the function's time goes. It commits nothing.
func (e *Exporter) Partition(ctx context.Context, ref PlanRef, id, requestID string) (Progress, error) {
	f, err := e.handedOver(ctx, ref)
	if err != nil {
		return Progress{}, err
	}
	p, ok := f.Find(id)
	if !ok {
		return Progress{}, fmt.Errorf("run %s: the plan has no partition %q", f.Run, id)
	}
	ctx, until, cancel := withinTime(ctx)
	defer cancel()
	h, err := e.ledger().Head(ctx)
	if err != nil {
		return Progress{}, err
	}
	if err := stale(h, f); err != nil {
		// Nobody will commit it: the map's last step says why.
		return Progress{Partition: id, Done: true}, nil
	}
	allowed, closing, err := e.allowed(until)
	if err != nil {
		return Progress{}, err
	}
	if !allowed {
		segments, err := e.ledger().Segments(ctx, f, id)
		return Progress{Partition: id, Segments: len(segments)}, err
	}
	log := e.Log.With("pipeline", e.Spec.Name(), "run", f.Run)
	// The map runs as many functions at a time as there may be connections.
	done, segments, err := e.readPartition(ctx, log, f, p, newAttempt(requestID), max(1, e.Spec.Limits.Connections), &pageTime{until: closing})
	if err != nil {
		return Progress{}, fmt.Errorf("run %s: %w", f.Run, err)
	}
	return Progress{Partition: id, Done: done, Segments: segments}, nil
}

// Commit commits a plan whose partitions were read by the distributed map.
func (e *Exporter) Commit(ctx context.Context, ref PlanRef, requestID string) (Result, error) {
	f, err := e.handedOver(ctx, ref)
	if err != nil {
		return Result{}, err
	}
	ctx, _, cancel := withinTime(ctx)
	defer cancel()
	log := e.Log.With("pipeline", e.Spec.Name(), "run", f.Run)
	result, err := e.commitAndStart(ctx, log, f, newAttempt(requestID))
	e.release(ctx, log, f.Run)
	return e.end(log, f.Run, result, err)
}

func (e *Exporter) handedOver(ctx context.Context, ref PlanRef) (ledger.Frozen, error) {
	f, err := e.ledger().PlanAt(ctx, ref.Key, ref.ETag)
	if err != nil {
		return ledger.Frozen{}, err
	}
	if f.SpecSHA256 != e.Spec.Hash() {
		return ledger.Frozen{}, fmt.Errorf("run %s was planned with the spec %s, and the pipeline was deployed with %s since: invoke the function with the same scheduledTime, it plans anew", f.Run, f.SpecSHA256, e.Spec.Hash())
	}
	return f, nil
}
