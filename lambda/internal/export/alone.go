package export

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/run"
)

// Executions are those of the distributed map.
type Executions interface {
	// Running says whether an execution still runs.
	Running(ctx context.Context, arn string) (bool, error)
}

// acquire takes the pipeline's lease, or says which run has it.
func (e *Exporter) acquire(ctx context.Context, want ledger.Lease) error {
	held, err := e.ledger().Acquire(ctx, want, e.Alone.Running)
	if err != nil || held == nil {
		return err
	}
	by := "by a function until " + held.Until.UTC().Format(time.RFC3339) + " at the latest"
	if held.Execution != "" {
		by = "by the distributed map " + held.Execution
	}
	return &nothingToDoError{Busy, fmt.Sprintf("run %s is being read %s", held.Run, by)}
}

// release gives the lease back. A lease that stays ends by itself.
func (e *Exporter) release(ctx context.Context, log *slog.Logger, id run.ID) {
	if e.Alone == nil {
		return
	}
	// Also after the time of the export is over: Margin leaves some.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := e.ledger().Release(ctx, id); err != nil {
		log.Warn("giving the lease back", "phase", "end", "error", err.Error())
	}
}

// releaseTime is within Margin.
const releaseTime = 3 * time.Second

// longest is how long a function can run (AWS Lambda).
const longest = 15 * time.Minute

// functionEnd is when the function of a context is gone at the latest.
func functionEnd(ctx context.Context) time.Time {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline.Add(Margin).UTC()
	}
	return time.Now().Add(longest).UTC()
}
