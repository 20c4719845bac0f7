package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
	"sagemaker-datapipeline/test/local/report"
)

// judgedData reads what the quality rules said of a committed run.
func (r *runner) judgedData(ctx context.Context, t *report.Tick) error {
	body, ok, err := readIfThere(ctx, r.s3, r.bucket, verdict.Key(r.name, run.ID(t.Run)))
	if err != nil || !ok {
		return err
	}
	v, err := verdict.Decode(body)
	if err != nil {
		return fmt.Errorf("run %s: %w", t.Run, err)
	}
	t.Verdict = &v
	held := len(v.Rules) - len(v.Failed())
	r.say("quality: %s, %d of %d rules hold", v.Decision, held, len(v.Rules))
	return nil
}

// judgedModel reads how the run's model compared with the one in service.
func (r *runner) judgedModel(ctx context.Context, t *report.Tick) error {
	body, ok, err := readIfThere(ctx, r.s3, r.bucket, evaluation.Key(r.name, t.TrainingJob))
	if err != nil || !ok {
		return err
	}
	e, err := evaluation.Decode(body)
	if err != nil {
		return fmt.Errorf("run %s: %w", t.Run, err)
	}
	t.Evaluation = &e
	r.say("gate: %s: %s", e.Decision, e.Reason)
	return nil
}

// clocks reads the pipeline's clocks.
func (r *runner) clocks(ctx context.Context) ([]report.Clock, error) {
	var all []report.Clock
	for _, c := range []struct {
		key, name string
		minutes   int
		// tick counts from when a tick was processed, the others from the time that the run was scheduled for.
		tick bool
	}{
		{"tick", "tick processed", r.limits.TickMinutes, true},
		{"data", "age of the data", r.limits.DataMinutes, false},
		{"model", "age of the model", r.limits.ModelMinutes, false},
	} {
		if c.minutes == 0 {
			continue
		}
		clock := report.Clock{Name: c.name, Limit: float64(c.minutes) * 60}
		body, ok, err := readIfThere(ctx, r.s3, r.bucket, r.name+"/clocks/"+c.key+".json")
		if err != nil {
			return nil, err
		}
		if ok {
			var shown struct {
				Run     run.ID          `json:"run"`
				Outcome outcome.Outcome `json:"outcome"`
				At      time.Time       `json:"at"`
			}
			if err := json.Unmarshal(body, &shown); err != nil {
				return nil, fmt.Errorf("reading the clock %s of %s: %w", c.key, r.name, err)
			}
			from := shown.Run.Time()
			if c.tick {
				from = shown.At
			}
			clock.Run, clock.Outcome, clock.Age = string(shown.Run), string(shown.Outcome), time.Since(from).Seconds()
		}
		all = append(all, clock)
	}
	return all, nil
}

// readIfThere reads an object that need not exist.
func readIfThere(ctx context.Context, client *s3.Client, bucket, key string) (body []byte, ok bool, err error) {
	body, err = readObject(ctx, client, bucket, key, "")
	if _, missing := errors.AsType[*s3types.NoSuchKey](err); missing {
		return nil, false, nil
	}
	return body, err == nil, err
}
