// An export function that answers without exporting: what it answers shows which event it got.
package main

import (
	"context"
	"errors"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(_ context.Context, event map[string]any) (any, error) {
		switch event["command"] {
		case nil:
			return ran(event)
		case "doctor":
			return map[string]any{"pipeline": "ml-local-sales", "at": "2026-01-01T02:00:00Z", "findings": []any{
				map[string]any{"check": "connection", "severity": "ok", "found": "logged in"},
				map[string]any{"check": "select right", "severity": "error", "found": "no SELECT on dbo.Sales", "remedy": "grant it"},
			}}, nil
		case "status":
			return struct {
				Head  map[string]any `json:"head"`
				Sales []string       `json:"newestRuns"`
			}{map[string]any{"generation": 2, "watermark": nil}, []string{}}, nil
		case "sweep":
			return nil, errors.New("listing the objects: s3://data/: access denied: grant s3:ListBucket")
		}
		return event, nil
	})
}

func ran(event map[string]any) (any, error) {
	switch event["scheduledTime"] {
	case "2026-01-03T02:00:00Z":
		return nil, errors.New("table dbo.Sales was made anew: rebaseline (TableRecreated)")
	case "2026-01-04T02:00:00Z":
		return map[string]any{"run": "20260104t020000z", "outcome": "blocked"}, nil
	}
	return map[string]any{"outcome": "committed", "event": event}, nil
}
