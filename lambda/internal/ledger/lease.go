package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/run"
)

// Lease says which run is reading the database, so that the next one doesn't read beside it. It spares the database's owner double work and nothing
// else depends on it: two runs that read at once commit as if there were none.
type Lease struct {
	Run     run.ID `json:"run"`
	Attempt string `json:"attempt"`
	// Until is when it ends by itself: a holder that died has not given it back.
	Until time.Time `json:"until"`
	// Execution is the distributed map that reads for the run; empty while a function does.
	Execution string `json:"execution,omitempty"`
}

func (l Ledger) leaseKey() string { return l.pipeline + "/lease.json" }

// Acquire takes the lease, unless another run holds it: then that one is given. running says whether an execution that holds it still runs.
func (l Ledger) Acquire(ctx context.Context, want Lease, running func(ctx context.Context, execution string) (bool, error)) (*Lease, error) {
	body, err := json.Marshal(want)
	if err != nil {
		return nil, fmt.Errorf("encoding the lease: %w", err)
	}
	stored, err := l.bucket.Read(ctx, l.leaseKey())
	if errors.Is(err, objects.ErrNotFound) {
		stored, err = l.bucket.Create(ctx, l.leaseKey(), contentType, body)
		return l.holder(stored, body, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lease: %w", err)
	}
	if held, err := l.holder(stored, body, nil); err == nil && held != nil && held.Run != want.Run && time.Now().Before(held.Until) {
		if held.Execution == "" {
			return held, nil
		}
		if alive, err := running(ctx, held.Execution); err != nil || alive {
			return held, err
		}
	}
	stored, err = l.bucket.Replace(ctx, l.leaseKey(), contentType, body, stored.ETag)
	return l.holder(stored, body, err)
}

// holder gives whose lease is stored; nil when it is body.
func (l Ledger) holder(stored objects.Stored, body []byte, err error) (*Lease, error) {
	if errors.Is(err, objects.ErrDeleted) {
		return nil, nil //nolint:nilnil // somebody took the lease away: nobody holds it
	}
	if err != nil {
		return nil, fmt.Errorf("taking the lease: %w", err)
	}
	if bytes.Equal(stored.Body, body) {
		return nil, nil //nolint:nilnil // it is ours
	}
	var held Lease
	if err := json.Unmarshal(stored.Body, &held); err != nil {
		return nil, fmt.Errorf("s3://%s/%s is no lease: %w: delete it, nothing is lost by that", l.bucket.Name(), l.leaseKey(), err)
	}
	return &held, nil
}

// Release gives the lease of a run back. Of another run's nothing is changed.
func (l Ledger) Release(ctx context.Context, id run.ID) error {
	stored, err := l.bucket.Read(ctx, l.leaseKey())
	if errors.Is(err, objects.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the lease: %w", err)
	}
	var held Lease
	if err := json.Unmarshal(stored.Body, &held); err != nil || held.Run != id {
		return nil //nolint:nilerr // what is no lease is nobody's
	}
	held.Until = time.Now().UTC()
	body, err := json.Marshal(held)
	if err != nil {
		return fmt.Errorf("encoding the lease: %w", err)
	}
	if _, err := l.bucket.Replace(ctx, l.leaseKey(), contentType, body, stored.ETag); err != nil && !errors.Is(err, objects.ErrDeleted) {
		return fmt.Errorf("giving the lease back: %w", err)
	}
	return nil
}
