package release

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sagemaker-datapipeline/lambda/service"
)

// Record writes down that a model is in service. Each execution does it once, however often it asks.
func (r *Releaser) Record(ctx context.Context, request service.Request) (service.Recorded, error) {
	for range takes {
		s, stored, err := r.readService(ctx)
		if err != nil {
			return service.Recorded{}, err
		}
		if before, done := recorded(s, request.Execution); done {
			return before, nil
		}
		// After reading: who takes the lease from us from here on, and records, makes the object another one than we have read.
		if err := r.holds(ctx, request.Execution); err != nil {
			return service.Recorded{}, err
		}
		entry := service.Entry{
			Run: request.Run, Job: request.Job, Model: request.Model, Config: request.Config, Endpoint: request.Endpoint, Kind: request.Kind,
			Execution: request.Execution, At: time.Now().UTC().Truncate(time.Second),
		}
		if now, some := s.Now(); some {
			entry.Previous = now.Config
		}
		s.History = slices.Insert(s.History, 0, entry)
		s.History = s.History[:min(len(s.History), service.HistoryLength)]
		body, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return service.Recorded{}, fmt.Errorf("encoding what is in service: %w", err)
		}
		if stored.ETag == "" {
			stored, err = r.Bucket.Create(ctx, r.serviceKey(), jsonType, body)
		} else {
			stored, err = r.Bucket.Replace(ctx, r.serviceKey(), jsonType, body, stored.ETag)
		}
		if err != nil {
			return service.Recorded{}, fmt.Errorf("recording what is in service: %w", err)
		}
		there, err := service.Decode(stored.Body)
		if err != nil {
			return service.Recorded{}, err
		}
		if before, done := recorded(there, request.Execution); done {
			return before, nil
		}
	}
	return service.Recorded{}, fmt.Errorf("others changed s3://%s/%s %d times while run %s recorded: ask again", r.Bucket.Name(), r.serviceKey(), takes, request.Run)
}

func recorded(s service.Service, execution string) (service.Recorded, bool) {
	for _, e := range s.History {
		if e.Execution == execution {
			return service.Recorded{Previous: e.Previous}, true
		}
	}
	return service.Recorded{}, false
}
