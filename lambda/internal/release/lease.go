package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
)

// takes bounds how often Acquire follows a lease that others move. Each time, another execution of this pipeline was faster.
const takes = 5

// Acquire takes the deploy lease for an execution. The lease comes first and the look at what is in service after it: nobody else changes that
// meanwhile.
func (r *Releaser) Acquire(ctx context.Context, request service.Request) (service.Acquired, error) {
	us := service.Holder{Run: request.Run, Execution: request.Execution}
	holder, err := r.take(ctx, us)
	if err != nil {
		return service.Acquired{}, err
	}
	if holder != us {
		return service.Acquired{Wait: true, Holder: holder}, nil
	}
	if !request.Force {
		later, err := r.laterInService(ctx, request.Run)
		if err != nil {
			return service.Acquired{}, err
		}
		if later != "" {
			return service.Acquired{Superseded: true, By: later}, r.Release(ctx, request)
		}
	}
	return service.Acquired{Acquired: true, Holder: us}, nil
}

// take gives who holds the lease afterwards. A lease whose execution has ended is taken from it: it can't have been given back when somebody stopped
// the execution.
func (r *Releaser) take(ctx context.Context, us service.Holder) (service.Holder, error) {
	body, err := json.Marshal(service.Lease{Holder: us, Since: time.Now().UTC()})
	if err != nil {
		return service.Holder{}, fmt.Errorf("encoding the deploy lease: %w", err)
	}
	var held service.Lease
	for range takes {
		stored, err := r.Bucket.Read(ctx, r.leaseKey())
		switch {
		case errors.Is(err, objects.ErrNotFound):
			stored, err = r.Bucket.Create(ctx, r.leaseKey(), jsonType, body)
		case err == nil:
			if held, err = r.lease(stored); err != nil {
				return service.Holder{}, err
			}
			if !free(held) {
				// A run that is started again holds the lease as another execution.
				if held.Execution == us.Execution {
					return us, nil
				}
				running, err := r.Executions.Running(ctx, held.Execution)
				if err != nil {
					return service.Holder{}, fmt.Errorf("run %s holds the deploy lease, looking whether it still runs: %w", held.Run, err)
				}
				if running {
					return held.Holder, nil
				}
				r.Log.Info("taking the deploy lease from an execution that has ended", "run", us.Run, "from", held.Execution)
			}
			stored, err = r.Bucket.Replace(ctx, r.leaseKey(), jsonType, body, stored.ETag)
		}
		if err != nil {
			return service.Holder{}, fmt.Errorf("taking the deploy lease: %w", err)
		}
		if held, err = r.lease(stored); err != nil {
			return service.Holder{}, err
		}
		if held.Execution == us.Execution && !free(held) {
			return us, nil
		}
		// Another one was faster: it may have ended already.
	}
	return held.Holder, nil
}

// Release gives the lease back. One that another execution holds is left to it.
func (r *Releaser) Release(ctx context.Context, request service.Request) error {
	stored, err := r.Bucket.Read(ctx, r.leaseKey())
	if errors.Is(err, objects.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the deploy lease: %w", err)
	}
	held, err := r.lease(stored)
	if err != nil {
		return err
	}
	if free(held) || held.Execution != request.Execution {
		return nil
	}
	held.Released, held.Since = true, time.Now().UTC()
	body, err := json.Marshal(held)
	if err != nil {
		return fmt.Errorf("encoding the deploy lease: %w", err)
	}
	// Whoever moved it since has taken it from us.
	if _, err := r.Bucket.Replace(ctx, r.leaseKey(), jsonType, body, stored.ETag); err != nil {
		return fmt.Errorf("giving the deploy lease back: %w", err)
	}
	return nil
}

func free(l service.Lease) bool { return l.Released || l.Execution == "" }

func (r *Releaser) lease(stored objects.Stored) (service.Lease, error) {
	var l service.Lease
	if err := json.Unmarshal(stored.Body, &l); err != nil {
		return service.Lease{}, fmt.Errorf("s3://%s/%s is no lease: %w: delete it when no execution of %s is deploying", r.Bucket.Name(), r.leaseKey(), err, r.Spec.Name())
	}
	return l, nil
}

// holds refuses an execution beside whose another one holds the lease: its own was taken from it, so it had ended once.
func (r *Releaser) holds(ctx context.Context, execution string) error {
	stored, err := r.Bucket.Read(ctx, r.leaseKey())
	if errors.Is(err, objects.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the deploy lease: %w", err)
	}
	held, err := r.lease(stored)
	if err != nil {
		return err
	}
	if !free(held) && held.Execution != execution {
		return fmt.Errorf("run %s holds the deploy lease by %s: what is in service is its to say; let it end, then run this one again", held.Run, held.Execution)
	}
	return nil
}

// laterInService gives the run in service that is later than another one, or "". What was recorded counts, and what the endpoint serves or is about
// to: an execution may have been stopped between the two.
func (r *Releaser) laterInService(ctx context.Context, id run.ID) (run.ID, error) {
	s, _, err := r.readService(ctx)
	if err != nil {
		return "", err
	}
	if now, some := s.Now(); some && now.Run > id {
		return now.Run, nil
	}
	if r.Spec.Deploy == pipeline.Batch {
		return "", nil
	}
	e, err := r.endpoint(ctx)
	if err != nil || e.failed {
		return "", err
	}
	for _, config := range e.configs {
		if of, ours := r.runOf(config); ours && of > id {
			return of, nil
		}
	}
	return "", nil
}
