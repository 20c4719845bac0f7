package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/internal/clocks"
	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/verdict"
)

// tellWithin bounds what having an end told may take of the function's time.
const tellWithin = 15 * time.Second

// told passes on how a run went, after it asked the notify function to tell how it ended. What can't be asked for doesn't make the run a failure: Lambda
// would make it again. It is in the log, and a clock that isn't set is heard of by its alarm.
func (f *function) told(ctx context.Context, result export.Result, err error) (export.Result, error) {
	if err != nil {
		return result, err // Lambda tries again, and has the failure told in the end
	}
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	if err := f.tellEnd(ctx, result, time.Now()); err != nil {
		f.Log.Error("having told how the run ended", "pipeline", f.Spec.Name(), "run", result.Run, "outcome", result.Outcome, "error", err.Error())
	}
	return result, nil
}

// tellEnd has the end told of a run that ended here. Of a run whose data is committed and accepted, and that goes on in its workflow or has ended before, it sets
// the clock of the data, again too: another attempt may have died before it could.
func (f *function) tellEnd(ctx context.Context, result export.Result, now time.Time) error {
	switch result.Outcome {
	case export.Committed, export.AlreadyCommitted, export.Backfilled:
		if result.Outcome != export.Committed || result.ExecutionARN != "" {
			return clocks.New(f.Bucket, f.Spec.Pipeline).Set(ctx, clocks.Data, clocks.Reading{Run: result.Run, Outcome: outcome.Exported, At: now})
		}
	}
	o, ended := endings[result.Outcome]
	if !ended || f.notify == nil {
		return nil
	}
	end := outcome.End{Run: result.Run, Outcome: o, At: now, Data: o == outcome.Exported, Cause: result.Detail}
	if result.Manifest != "" {
		end.Facts = append(end.Facts,
			outcome.Fact{Name: "Rows", Value: fmt.Sprint(result.Rows)},
			outcome.Fact{Name: "Manifest", Value: "s3://" + f.Bucket.Name() + "/" + result.Manifest})
	}
	for _, rule := range result.Failed {
		end.Facts = append(end.Facts, outcome.Fact{Name: rule.Name, Value: said(rule)})
	}
	return f.notify.Tell(ctx, end)
}

// endings are the ends that the export has told. A run that was handed over goes on; one that is committed behind later ones, or was committed before, has no
// end of its own.
var endings = map[export.Outcome]outcome.Outcome{
	export.Committed:    outcome.Exported,
	export.Rejected:     outcome.Rejected,
	export.NoNewData:    outcome.NoNewData,
	export.Blocked:      outcome.Blocked,
	export.Superseded:   outcome.Superseded,
	export.OutsideHours: outcome.OutsideHours,
	export.Busy:         outcome.Busy,
	export.Paused:       outcome.Paused,
}

// said is what a rule expected of the data and what it found.
func said(r verdict.Rule) string {
	s := fmt.Sprintf("expected %s, was %s", r.Expected, r.Actual)
	if len(r.Examples) > 0 {
		s += "; such as " + strings.Join(r.Examples, ", ")
	}
	return s
}
