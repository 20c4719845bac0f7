package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// Training is the last training that was started, by the latest run. It is written after the workflow is started and not before: a function that ends
// between the two leaves a training that is started and not written down, and the run's next attempt, or the next run, starts one. The attempt finds
// the same execution, because an execution is named after its run; the next run's training is one too many. The other way round it would be one too few.
type Training struct {
	Run           run.ID    `json:"run"`
	ScheduledTime time.Time `json:"scheduledTime"`
	// Rows is how many rows the run's training window has.
	Rows int64 `json:"rows"`
}

func (e *Exporter) trainingKey() string { return e.Spec.Pipeline + "/training.json" }

// due says whether a committed run is trained on, and if not, why. The run that the last training was of is: its execution is found.
func (e *Exporter) due(ctx context.Context, c ledger.Commit) (bool, string, error) {
	when := e.Spec.When
	if when == nil {
		return true, "", nil
	}
	last, _, err := e.lastTraining(ctx)
	if err != nil {
		return false, "", err
	}
	if last == nil || last.Run == c.Run {
		return true, "", nil
	}
	if every := time.Duration(when.EverySeconds) * time.Second; every > 0 {
		if next := last.ScheduledTime.Add(every); c.ScheduledTime.Before(next) {
			return false, fmt.Sprintf("not due: run %s was the last that was trained on, the next is one that is scheduled at %s or later", last.Run, next.UTC().Format(time.RFC3339)), nil
		}
	}
	if when.AfterRows > 0 {
		window, err := e.trainingWindow(ctx, c)
		if err != nil {
			return false, "", err
		}
		if rows := rowsAfter(window, last.Run); rows < when.AfterRows {
			return false, fmt.Sprintf("not due: %d of %d new rows since run %s, the last that was trained on", rows, when.AfterRows, last.Run), nil
		}
	}
	return true, "", nil
}

// trained writes down that the training of a run was started, unless a later run's was.
func (e *Exporter) trained(ctx context.Context, c ledger.Commit) error {
	if e.Spec.When == nil {
		return nil
	}
	t := Training{Run: c.Run, ScheduledTime: c.ScheduledTime.UTC()}
	for name, channel := range c.Channels {
		if name != manifest.Batch {
			t.Rows += channel.Rows
		}
	}
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encoding the last training: %w", err)
	}
	for range commitTries {
		last, stored, err := e.lastTraining(ctx)
		if err != nil {
			return err
		}
		if last == nil {
			stored, err = e.Bucket.Create(ctx, e.trainingKey(), jsonType, body)
		} else if last.Run < c.Run {
			stored, err = e.Bucket.Replace(ctx, e.trainingKey(), jsonType, body, stored.ETag)
		}
		if err != nil {
			return fmt.Errorf("writing the last training: %w", err)
		}
		if last, err = e.decodeTraining(stored); err != nil || last.Run >= c.Run {
			return err
		}
	}
	return fmt.Errorf("other runs wrote s3://%s/%s %d times meanwhile", e.Bucket.Name(), e.trainingKey(), commitTries)
}

// lastTraining gives the last training that was started; nil before the first.
func (e *Exporter) lastTraining(ctx context.Context) (*Training, objects.Stored, error) {
	stored, err := e.Bucket.Read(ctx, e.trainingKey())
	if errors.Is(err, objects.ErrNotFound) {
		return nil, objects.Stored{}, nil
	}
	if err != nil {
		return nil, objects.Stored{}, fmt.Errorf("reading the last training: %w", err)
	}
	t, err := e.decodeTraining(stored)
	return t, stored, err
}

func (e *Exporter) decodeTraining(stored objects.Stored) (*Training, error) {
	var t Training
	err := json.Unmarshal(stored.Body, &t)
	if err == nil {
		_, err = run.ParseID(string(t.Run))
	}
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s is no training: %w: delete it, and the next run is trained on", e.Bucket.Name(), e.trainingKey(), err)
	}
	return &t, nil
}

// trainingWindow gives the runs that a run trains on: those that the quality gate rejected are in its list and not among them. Rows are new by the run
// that they came with: what is counted is what a training would see that the last one didn't.
func (e *Exporter) trainingWindow(ctx context.Context, c ledger.Commit) ([]windowRun, error) {
	if e.Spec.Source.Load != pipeline.Append || c.TrainingWindow == nil {
		return nil, errors.New("training.when counts new rows (afterRows), and a full load has all rows in each run: use everyHours or everyMinutes")
	}
	stored, err := e.Bucket.ReadVersion(ctx, c.TrainingWindow.Key, c.TrainingWindow.VersionID)
	if err != nil {
		return nil, fmt.Errorf("reading the training window: %w", err)
	}
	var window []windowRun
	if err := json.Unmarshal(stored.Body, &window); err != nil {
		return nil, fmt.Errorf("decoding the training window s3://%s/%s: %w", e.Bucket.Name(), c.TrainingWindow.Key, err)
	}
	return slices.DeleteFunc(window, func(r windowRun) bool { return r.Rejected && r.Run != c.Run }), nil
}

// rowsAfter counts the rows of the runs of a window that are later than one.
func rowsAfter(window []windowRun, id run.ID) int64 {
	var rows int64
	for _, r := range window {
		if r.Run <= id {
			continue
		}
		for _, channel := range r.Channels {
			rows += channel.Rows
		}
	}
	return rows
}
