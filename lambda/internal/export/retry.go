package export

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
)

// retry calls something again after an error of SQL Server, or of the way to it, that may be gone.
func retry(ctx context.Context, log *slog.Logger, again string, call func() error) error {
	for try := 1; ; try++ {
		err := call()
		if err == nil || try == Tries || !sqlserver.Transient(err) || ctx.Err() != nil {
			return err
		}
		log.Warn(again, "try", try, "error", err.Error())
		select {
		case <-time.After(time.Duration(try) * time.Second):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
