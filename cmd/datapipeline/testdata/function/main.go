// An export function that answers without exporting: what it answers shows which event it got.
package main

import (
	"context"
	"encoding/json"
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
			return json.RawMessage(status), nil
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

const status = `{
	"head": {"version": 1, "pipeline": "sales", "generation": 2, "run": "20260102t020000z", "moves": 3, "movedBy": "a1",
		"manifest": {"run": "20260101t020000z", "key": "k", "sha256": "s"}, "watermark": {"column": "RowVer", "value": "0x00000000000007D3"},
		"rebaselined": {"at": "2025-12-31T08:00:00Z", "by": "ada", "reason": "restored"}},
	"newest": {"version": 2, "run": "20260101t020000z", "attempt": "a1", "committedAt": "2026-01-03T04:05:06Z", "load": "append", "rows": 1500,
		"bytes": 20000, "plan": {"partitions": 2, "segments": 3}, "counts": {"repeated": 7},
		"bounds": {"kind": "rowversion", "column": "RowVer", "to": "0x00000000000007D3", "lag": "37 row versions wait"},
		"channels": {"train": {"rows": 1200, "files": 4}},
		"source": {"database": "shop", "address": "db:1433", "isolation": "READ COMMITTED (locking)", "guarantee": "Every row once.", "accepted": ["fullScan: large"]}}
}`
