package notice

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"sagemaker-datapipeline/lambda/pipeline"
)

var spec = pipeline.Spec{Project: "ml", Environment: "dev", Pipeline: "fraud"}

// destination is the record that Lambda's developer guide shows for a destination of failures, around what differs.
func destination(condition string, count int, request, response string) string {
	return fmt.Sprintf(`{"version":"1.0","timestamp":"2026-01-01T02:05:00.000Z",
		"requestContext":{"requestId":"e4b46cbf-b738-xmpl-8880-a18cdf61200e","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:ml-dev-fraud-export:$LATEST","condition":%q,"approximateInvokeCount":%d},
		"requestPayload":%s,
		"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},
		"responsePayload":%s}`, condition, count, request, response)
}

const tick = `{"scheduledTime":"2026-01-01T02:00:00Z"}`

func TestNotices(t *testing.T) {
	for _, c := range []struct {
		name, record string
		run          string
		subject      string
		says         []string
		doesntSay    string
	}{
		{
			name: "an error of the export comes with its own remedy",
			record: destination("RetriesExhausted", 3, tick,
				`{"errorMessage":"run 20260101t020000z: SQL Server refused the login \"reader\" (error 18456): check username and password in the database secret","errorType":"wrapError"}`),
			run: "20260101t020000z", subject: "[ml-dev-fraud] run 20260101t020000z failed at export",
			says: []string{
				"Run 20260101t020000z of ml-dev-fraud failed at export.", `refused the login "reader" (error 18456)`, "(RetriesExhausted)",
				"tried 3 times", "function ml-dev-fraud-export, request id e4b46cbf", "serves what it served before",
				`aws lambda invoke --function-name ml-dev-fraud-export --invocation-type Event --cli-binary-format raw-in-base64-out --payload '{"scheduledTime":"2026-01-01T02:00:00Z"}'`,
			},
			doesntSay: "What to do:",
		},
		{
			name: "a time-out of Lambda",
			record: destination("RetriesExhausted", 2, tick,
				`{"errorMessage":"2026-01-01T02:15:00.000Z e4b46cbf Task timed out after 900.00 seconds"}`),
			run:  "20260101t020000z",
			says: []string{"time limit after 900.00 seconds", "raise the function's timeout"},
		},
		{
			name:   "a time-out of Lambda by its type",
			record: destination("RetriesExhausted", 1, tick, `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: e4b46cbf Error: Task timed out after 3.00 seconds"}`),
			run:    "20260101t020000z",
			says:   []string{"time limit after 3.00 seconds"}, doesntSay: "tried 1 times",
		},
		{
			name:   "too little memory",
			record: destination("RetriesExhausted", 3, tick, `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: e4b46cbf Error: Runtime exited with error: signal: killed"}`),
			run:    "20260101t020000z",
			says:   []string{"ran out of memory", "raise the function's memory"},
		},
		{
			name:   "a crash",
			record: destination("RetriesExhausted", 3, tick, `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: e4b46cbf Error: Runtime exited with error: exit status 2"}`),
			run:    "20260101t020000z",
			says:   []string{"ended in the middle of its work", "exit status 2"},
		},
		{
			name:   "an event that grew too old has no response",
			record: destination("EventAgeExceeded", 0, tick, `null`),
			run:    "20260101t020000z",
			says:   []string{"dropped before the function could run", "throttling"},
		},
		{
			name:   "a malformed time has no run and no command to run it again",
			record: destination("RetriesExhausted", 1, `{"scheduledTime":"tomorrow'; rm -rf /"}`, `{"errorMessage":"scheduledTime \"tomorrow'; rm -rf /\" is not an RFC 3339 time"}`),
			run:    "unknown", subject: "[ml-dev-fraud] run unknown failed at export",
			says:      []string{"not an RFC 3339 time"},
			doesntSay: "aws lambda invoke",
		},
		{
			name:   "a response of another form is quoted",
			record: destination("RetriesExhausted", 1, tick, `["odd"]`),
			run:    "20260101t020000z",
			says:   []string{`["odd"]`, "look into the function's log"},
		},
		{
			name: "a record of another form is announced as it came", record: `{"Records":[{"odd":true}]}`,
			run: "unknown", subject: "[ml-dev-fraud] run unknown failed at export",
			says: []string{`{"Records":[{"odd":true}]}`},
		},
		{
			name: "no JSON at all is announced as it came", record: "\xffoops",
			run:  "unknown",
			says: []string{"?oops"},
		},
		{
			name:   "a very long cause is shortened",
			record: destination("RetriesExhausted", 1, tick, `{"errorMessage":"`+strings.Repeat("ä", 200_000)+`"}`),
			run:    "20260101t020000z",
			says:   []string{"(shortened)"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := FromEnd(spec, EndOfRecord(spec, []byte(c.record)))
			if n.Attributes["run"] != c.run || n.Attributes["pipeline"] != "fraud" || n.Attributes["outcome"] != "failed" {
				t.Errorf("attributes %v", n.Attributes)
			}
			if c.subject != "" && n.Subject != c.subject {
				t.Errorf("subject %q", n.Subject)
			}
			for _, want := range c.says {
				if !strings.Contains(n.Message, want) {
					t.Errorf("the message lacks %q:\n%s", want, n.Message)
				}
			}
			if c.doesntSay != "" && strings.Contains(n.Message, c.doesntSay) {
				t.Errorf("the message says %q:\n%s", c.doesntSay, n.Message)
			}
			check(t, n)
		})
	}
}

func FuzzEndOfRecord(f *testing.F) {
	f.Add(destination("RetriesExhausted", 3, tick, `{"errorMessage":"no"}`))
	f.Add(`{"requestContext":{"functionArn":":::::function:"}}`)
	f.Fuzz(func(t *testing.T, record string) {
		check(t, FromEnd(spec, EndOfRecord(spec, []byte(record))))
	})
}

// check is what SNS takes.
func check(t *testing.T, n Notice) {
	t.Helper()
	if len(n.Subject) == 0 || len(n.Subject) > 100 || strings.ContainsFunc(n.Subject, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("subject %q", n.Subject)
	}
	if n.Message == "" || len(n.Message) > 64<<10 || !utf8.ValidString(n.Message) {
		t.Errorf("a message of %d bytes", len(n.Message))
	}
}
