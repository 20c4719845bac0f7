// Package notice says in plain words how a run ended: what happened, why, where to look and what to do.
package notice

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// Notice is one message to the people who run the pipeline.
type Notice struct {
	// Subject is ASCII and at most 100 characters: what SNS takes.
	Subject string
	Message string
	// Attributes let a subscription filter: pipeline, run, outcome, and routine: "true" where nobody has to hear of it.
	Attributes map[string]string
}

// unknownRun is the run of a notice about an event that named none.
const unknownRun = "unknown"

// record is what Lambda gives the destination of a function's asynchronous failures.
type record struct {
	RequestContext struct {
		RequestID              string `json:"requestId"`
		FunctionARN            string `json:"functionArn"`
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	RequestPayload  json.RawMessage `json:"requestPayload"`
	ResponsePayload json.RawMessage `json:"responsePayload"`
}

// Limits of what is quoted. SNS takes 256 KB; a person reads less.
const (
	maxCause   = 4_000
	maxRaw     = 4_000
	maxSubject = 100 // characters, SNS
)

// EndOfRecord makes the end of the run whose failure Lambda handed to the export function's failure destination. It never refuses: a record that it
// doesn't know is told as it came.
func EndOfRecord(spec pipeline.Spec, b []byte) outcome.End {
	end := outcome.End{Run: unknownRun, Outcome: outcome.Failed, Step: StepExport}
	var r record
	if err := json.Unmarshal(b, &r); err != nil || r.RequestContext.FunctionARN == "" && r.RequestContext.Condition == "" {
		end.Cause = fmt.Sprintf("the failure destination of %s's export was called with a record of a form it doesn't know", spec.Name())
		end.Advice = "look into the export function's log."
		end.Facts = []outcome.Fact{{Name: "The record as it came", Value: Shorten(string(b), maxRaw)}}
		return end
	}
	var payload string
	end.Run, payload = runOf(r.RequestPayload)
	end.Cause, end.Advice = causeOf(r)
	if n := r.RequestContext.ApproximateInvokeCount; n > 1 {
		end.Facts = append(end.Facts, outcome.Fact{Name: "Attempts", Value: fmt.Sprintf("it was tried %d times", n)})
	}
	if id := r.RequestContext.RequestID; strings.HasPrefix(id, "arn:") {
		end.Execution = id // a large export that its state machine gave up
	}
	function := functionName(r.RequestContext.FunctionARN)
	if function == "" {
		return end
	}
	end.Facts = append(end.Facts, outcome.Fact{Name: "Where to look", Value: fmt.Sprintf("the log of the function %s, %s", function, whichCall(r.RequestContext.RequestID))})
	if payload != "" {
		end.Facts = append(end.Facts, outcome.Fact{
			Name:  "To run it again, which does nothing twice",
			Value: fmt.Sprintf("aws lambda invoke --function-name %s --invocation-type Event --cli-binary-format raw-in-base64-out --payload '%s' /dev/stdout", function, payload),
		})
	}
	return end
}

// unchanged says what stays as it was.
func unchanged(spec pipeline.Spec) string {
	if spec.Dataset.Format == pipeline.NoChannels {
		return "Nothing of it is committed; what was committed before stays."
	}
	return "No model was trained on it, and the endpoint serves what it served before."
}

// whichCall says what to look for in the log: of a large export that the state machine gave up, its execution.
func whichCall(id string) string {
	if strings.HasPrefix(id, "arn:") {
		return "which the execution " + id + " invoked"
	}
	return "request id " + id
}

// runOf gives the id of the run that an event asked for, and the event that asks for it again.
func runOf(payload json.RawMessage) (id run.ID, again string) {
	var event struct {
		ScheduledTime string `json:"scheduledTime"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return unknownRun, ""
	}
	at, err := run.ParseScheduledTime(event.ScheduledTime)
	if err != nil {
		return unknownRun, ""
	}
	// Written anew from the time, so that nothing in the event can end the quotes of the command.
	return run.NewID(at), fmt.Sprintf(`{"scheduledTime":"%s"}`, at.Format("2006-01-02T15:04:05Z"))
}

var (
	timedOut = regexp.MustCompile(`Task timed out after ([0-9.]+) seconds`)
	killed   = regexp.MustCompile(`signal: killed|OutOfMemory`)
	exited   = regexp.MustCompile(`Runtime exited|Runtime\.ExitError`)
)

// causeOf gives why, and what to do where the export's own message doesn't say.
func causeOf(r record) (cause, remedy string) {
	var response struct {
		ErrorMessage string `json:"errorMessage"`
		ErrorType    string `json:"errorType"`
	}
	_ = json.Unmarshal(r.ResponsePayload, &response) // without one, the condition is all there is
	message := response.ErrorMessage
	switch {
	case message == "" && r.RequestContext.Condition == "EventAgeExceeded":
		return "the event waited longer than it may and was dropped before the function could run (EventAgeExceeded)",
			"look for throttling of the function (its reserved concurrency, the account's limit), then run it again"
	case message == "":
		text := strings.TrimSpace(string(r.ResponsePayload))
		if text == "" || text == "null" {
			text = "no reason was given"
		}
		return Shorten(text, maxCause) + condition(r), "look into the function's log"
	case timedOut.MatchString(message) || response.ErrorType == "Sandbox.Timedout":
		after := ""
		if m := timedOut.FindStringSubmatch(message); m != nil {
			after = " after " + m[1] + " seconds"
		}
		return "the function ran into its time limit" + after + condition(r),
			"raise the function's timeout (at most 15 minutes) or its memory (which brings CPU), or read fewer rows"
	case killed.MatchString(message) || killed.MatchString(response.ErrorType):
		return "the function ran out of memory: " + Shorten(message, maxCause) + condition(r), "raise the function's memory, or leave long text and binary columns out of the query"
	case exited.MatchString(message) || exited.MatchString(response.ErrorType):
		return "the function ended in the middle of its work: " + Shorten(message, maxCause) + condition(r), "look into the function's log; if it has only just been deployed, deploy it again"
	}
	// The export's messages say what to do themselves.
	return Shorten(message, maxCause) + condition(r), ""
}

func condition(r record) string {
	if r.RequestContext.Condition == "" {
		return ""
	}
	return " (" + r.RequestContext.Condition + ")"
}

// functionName takes the name out of arn:aws:lambda:region:account:function:name:qualifier.
func functionName(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) < 7 || parts[5] != "function" {
		return arn
	}
	return parts[6]
}

func subject(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxSubject {
		s = s[:maxSubject-3] + "..."
	}
	return s
}

// Shorten cuts a text off at so many bytes, and says so.
func Shorten(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + " … (shortened)"
}
