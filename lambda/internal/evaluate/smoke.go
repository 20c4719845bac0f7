package evaluate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/internal/objects"
)

// SmokeTestError is an endpoint that doesn't answer, or not as its model does.
type SmokeTestError struct{ problem string }

func (e *SmokeTestError) Error() string { return "smoke test: " + e.problem }

func failed(format string, args ...any) error {
	return &SmokeTestError{fmt.Sprintf(format, args...)}
}

const (
	// smokeRows are asked for in one request. They take one page of a notice, and a model that answers twenty rows right by chance isn't met.
	smokeRows = 20
	// smokeBytes bounds a request: an endpoint takes 6 MB, a serverless one 4.
	smokeBytes = 1 << 20
)

// An answer and a batch transform's score of the same row are the same when they differ by no more than
//
//	absoluteTolerance + relativeTolerance × the larger of the two
//
// Both are a float32 that was written as text. Containers write six digits at least, which is 5 parts in a million, and another type of machine
// adds up the trees' float32 leaves in another order, which is less. Near 0 the sum's own last digit counts, not the result's.
const (
	relativeTolerance = 1e-5
	absoluteTolerance = 1e-6
)

// Smoke asks the endpoint for rows of the hold-out, in one request and for the first one alone, and compares its answers with the batch
// transform's. Where nothing was scored it asks for the run's example and wants a number.
func (e *Evaluator) Smoke(ctx context.Context, event evaluation.Event) (evaluation.Answers, error) {
	endpoint := event.Endpoint
	if endpoint == "" {
		endpoint = e.Spec.Name()
	}
	rows, err := e.scoredRows(ctx, event)
	if err != nil {
		return evaluation.Answers{}, err
	}
	if len(rows) == 0 {
		if rows, err = e.exampleRow(ctx, event); err != nil {
			return evaluation.Answers{}, err
		}
	}
	answer := evaluation.Answers{Rows: len(rows)}
	for _, request := range [][]row{rows, rows[:1]} {
		got, err := e.ask(ctx, endpoint, request)
		if err != nil {
			return evaluation.Answers{}, err
		}
		for i, r := range request {
			if r.score == nil {
				continue
			}
			difference := math.Abs(got[i] - *r.score)
			if difference > absoluteTolerance+relativeTolerance*math.Max(math.Abs(got[i]), math.Abs(*r.score)) {
				return evaluation.Answers{}, failed("to %s, asked for with %d other rows, the endpoint %s answers %s, and the batch transform answered %s: it serves another model, or reads rows in another way",
					r.name, len(request)-1, endpoint, number17(got[i]), number17(*r.score))
			}
			answer.LargestDifference = max(answer.LargestDifference, difference)
		}
		if answer.Example == "" {
			answer.Example = number17(got[0])
		}
		if len(rows) == 1 {
			break
		}
	}
	e.Log.Info("the endpoint answers", "endpoint", endpoint, "run", event.Run, "rows", answer.Rows, "largestDifference", answer.LargestDifference)
	return answer, nil
}

func number17(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// row is what an endpoint is asked for.
type row struct {
	// name says where it is, since what it holds is in no message.
	name     string
	features string
	// score is what the batch transform answered; nil when the row wasn't scored.
	score *float64
}

// scoredRows reads the first rows of the hold-out and their scores. None when the job wasn't evaluated, or its scores or files have been cleaned
// up since: a model that is rolled back to can be an old one.
func (e *Evaluator) scoredRows(ctx context.Context, event evaluation.Event) ([]row, error) {
	r, found, err := e.report(ctx, event.Job)
	if err != nil || !found {
		return nil, err
	}
	rows, err := e.firstRows(ctx, r.Holdout)
	if _, incomplete := errors.AsType[*incompleteError](err); incomplete || errors.Is(err, objects.ErrNotFound) {
		e.Log.Warn("the hold-out's rows or scores are gone, asking for the run's example", "job", event.Job, "error", err.Error())
		return nil, nil
	}
	return rows, err
}

func (e *Evaluator) firstRows(ctx context.Context, h evaluation.Holdout) ([]row, error) {
	files, err := e.listed(ctx, h.Manifest)
	if err != nil {
		return nil, err
	}
	outputs, err := e.outputs(ctx, files, h.Scores)
	if err != nil {
		return nil, err
	}
	var rows []row
	size := 0
	for i, file := range files {
		first := len(rows)
		n := 0
		if err := e.lines(ctx, file, func(line []byte) error {
			n++
			_, features, _ := bytes.Cut(bytes.TrimSpace(line), []byte(","))
			if size += len(features) + 1; len(rows) == smokeRows || size > smokeBytes && len(rows) > 0 {
				return errEnough
			}
			rows = append(rows, row{name: fmt.Sprintf("line %d of s3://%s/%s", n, e.Bucket.Name(), file), features: string(features)})
			return nil
		}); err != nil {
			return nil, err
		}
		at := first
		if err := e.lines(ctx, outputs[i], func(line []byte) error {
			if at == len(rows) {
				return errEnough
			}
			_, score, err := parse(line, e.Spec.Dataset.Task)
			if err != nil {
				return err
			}
			rows[at].score = &score
			at++
			return nil
		}); err != nil {
			return nil, err
		}
		if at < len(rows) {
			return nil, e.short(outputs[i], int64(at-first), file, int64(len(rows)-first))
		}
		if len(rows) == smokeRows || size > smokeBytes {
			break
		}
	}
	return askable(rows), nil
}

// askable leaves out rows whose only feature is missing: a blank line is no row to a container.
func askable(rows []row) []row {
	var all []row
	for _, r := range rows {
		if r.features != "" {
			all = append(all, r)
		}
	}
	return all
}

// exampleRow is the row that the export chose.
func (e *Evaluator) exampleRow(ctx context.Context, event evaluation.Event) ([]row, error) {
	m, err := e.manifest(ctx, event)
	if err != nil {
		return nil, err
	}
	if m.Smoke.Body == "" {
		return nil, fmt.Errorf("run %s has no example of a row to ask the endpoint for", m.Run)
	}
	return []row{{name: fmt.Sprintf("the example of run %s", m.Run), features: strings.TrimRight(m.Smoke.Body, "\r\n")}}, nil
}

// ask gives one finite number for each row.
func (e *Evaluator) ask(ctx context.Context, endpoint string, rows []row) ([]float64, error) {
	features := make([]string, len(rows))
	for i, r := range rows {
		features[i] = r.features
	}
	body, err := e.invoke(ctx, endpoint, strings.Join(features, "\n"))
	if err != nil {
		return nil, err
	}
	answers := strings.FieldsFunc(body, func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) })
	switch trimmed := strings.TrimSpace(body); {
	case trimmed == "":
		return nil, failed("the endpoint %s answers nothing to %d rows", endpoint, len(rows))
	case strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "["):
		return nil, failed("the endpoint %s answers JSON, and its model's signature promises %s: one number for each row", endpoint, contentType)
	case len(answers) != len(rows):
		return nil, failed("the endpoint %s answers %d numbers to %d rows", endpoint, len(answers), len(rows))
	}
	got := make([]float64, len(answers))
	for i, answer := range answers {
		x, err := strconv.ParseFloat(answer, 64)
		switch {
		case math.IsNaN(x):
			return nil, failed("the endpoint %s answers NaN to %s", endpoint, rows[i].name)
		case math.IsInf(x, 0):
			return nil, failed("the endpoint %s answers infinity to %s", endpoint, rows[i].name)
		case err != nil:
			return nil, failed("the endpoint %s answers a text that is no number to %s", endpoint, rows[i].name)
		}
		got[i] = x
	}
	return got, nil
}

const (
	// busyPatience is how long throttling and a container's 5xx are waited out, beside the SDK's own retries.
	busyPatience = 30 * time.Second
	// startPatience is how long a serverless endpoint may take to get a machine and load its model.
	startPatience = 5 * time.Minute
	// endMargin is what is left of the function's time for the answer.
	endMargin = 10 * time.Second
	// firstPause doubles up to longestPause.
	firstPause   = time.Second
	longestPause = 15 * time.Second
)

// invoke sends one request, and again while the endpoint isn't ready or is busy.
func (e *Evaluator) invoke(ctx context.Context, endpoint, body string) (string, error) {
	began, pause := time.Now(), firstPause
	for {
		out, err := e.Runtime.InvokeEndpoint(ctx, &sagemakerruntime.InvokeEndpointInput{
			EndpointName: aws.String(endpoint), ContentType: aws.String(contentType), Accept: aws.String(contentType), Body: []byte(body),
		})
		if err == nil {
			return string(out.Body), nil
		}
		until := began.Add(patience(err))
		if end, bounded := ctx.Deadline(); bounded && end.Add(-endMargin).Before(until) {
			until = end.Add(-endMargin)
		}
		if !time.Now().Add(pause).Before(until) {
			return "", refused(endpoint, err, time.Since(began))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", fmt.Errorf("asking the endpoint %s: %w", endpoint, context.Cause(ctx))
		}
		pause = min(2*pause, longestPause)
	}
}

// patience is how long an error is waited out; 0 for one that stays.
func patience(err error) time.Duration {
	if model, is := errors.AsType[*types.ModelError](err); is {
		if aws.ToInt32(model.OriginalStatusCode) >= http.StatusInternalServerError {
			return busyPatience
		}
		return 0
	}
	if _, is := errors.AsType[*types.ModelNotReadyException](err); is {
		return startPatience
	}
	switch code := code(err); {
	case strings.Contains(code, "Throttl"), code == "TooManyRequestsException", code == "RequestLimitExceeded":
		return busyPatience
	}
	if response, is := errors.AsType[*smithyhttp.ResponseError](err); is && response.HTTPStatusCode() < http.StatusInternalServerError {
		return 0
	}
	if api, is := errors.AsType[smithy.APIError](err); is && api.ErrorFault() == smithy.FaultClient {
		return 0
	}
	return busyPatience // a 5xx, or no reply
}

// refused says why there is no answer. What the container wrote may repeat the request, so its log is named and its words are not.
func refused(endpoint string, err error, after time.Duration) error {
	waited := ""
	if after >= firstPause {
		waited = fmt.Sprintf(", for %s", after.Round(time.Second))
	}
	if model, is := errors.AsType[*types.ModelError](err); is {
		return failed("the container of the endpoint %s answers with status %d%s: its log says why: %s", endpoint, aws.ToInt32(model.OriginalStatusCode), waited, aws.ToString(model.LogStreamArn))
	}
	if code(err) == "AccessDeniedException" {
		return fmt.Errorf("asking the endpoint %s: the function's role needs sagemaker:InvokeEndpoint: %w", endpoint, err)
	}
	return failed("the endpoint %s does not answer%s: %v", endpoint, waited, err)
}

func code(err error) string {
	if api, is := errors.AsType[smithy.APIError](err); is {
		return api.ErrorCode()
	}
	return ""
}
