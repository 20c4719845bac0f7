package evaluate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/manifest"
)

// served is a world whose candidate was evaluated and answers as it did then.
func served(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.score(candidate, candidate, 1)
	w.score(candidate, champion, 1)
	if _, err := w.Decide(t.Context(), w.event(evaluation.Decide)); err != nil {
		t.Fatal(err)
	}
	w.endpoint.answer = w.as(candidate, func(scores []string) []string { return scores })
	return w
}

// as answers rows by the scores that the transform wrote for them, after a change.
func (w *world) as(model string, change func([]string) []string) func(string) string {
	w.t.Helper()
	byFeatures := map[string]string{}
	for _, name := range w.names {
		out, err := w.Bucket.Read(w.t.Context(), evaluation.ScoresPrefix("fraud", candidate, model)+name+".out")
		if err != nil {
			w.t.Fatal(err)
		}
		for i, line := range strings.Fields(string(out.Body)) {
			byFeatures[w.rows[name][i][2:]] = line[2:]
		}
	}
	return func(body string) string {
		var scores []string
		for row := range strings.SplitSeq(body, "\n") {
			score, there := byFeatures[row]
			if !there {
				return "no such row"
			}
			scores = append(scores, score)
		}
		return strings.Join(change(scores), ",")
	}
}

func TestTheEndpointAnswersWhatTheTransformDid(t *testing.T) {
	w := served(t)
	got, err := w.Smoke(t.Context(), w.event(evaluation.Smoke))
	if err != nil || got.Rows != 20 || got.LargestDifference != 0 || got.Example == "" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(w.endpoint.requests) != 2 || strings.Count(w.endpoint.requests[0], "\n") != 19 || strings.Contains(w.endpoint.requests[1], "\n") {
		t.Fatalf("it was asked %q", w.endpoint.requests)
	}
	if first := w.rows[w.names[0]][0][2:]; w.endpoint.requests[1] != first {
		t.Fatalf("alone it was asked %q, and the first row is %q", w.endpoint.requests[1], first)
	}
	w.quiet(nil)

	t.Run("with lines between the answers", func(t *testing.T) {
		answer := w.endpoint.answer
		w.endpoint.answer = func(body string) string { return strings.ReplaceAll(answer(body), ",", "\n") + "\n" }
		if got, err := w.Smoke(t.Context(), w.event(evaluation.Smoke)); err != nil || got.Rows != 20 {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
	t.Run("with six digits", func(t *testing.T) {
		w.endpoint.answer = w.as(candidate, func(scores []string) []string {
			for i, s := range scores {
				x, _ := strconv.ParseFloat(s, 64)
				scores[i] = strconv.FormatFloat(x, 'g', 6, 64)
			}
			return scores
		})
		if got, err := w.Smoke(t.Context(), w.event(evaluation.Smoke)); err != nil || got.LargestDifference == 0 || got.LargestDifference > 1e-5 {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
}

func TestRowsOfSeveralFilesAreAsked(t *testing.T) {
	w := newWorld(t)
	w.commit(3, 5)
	w.rows[w.names[0]][1] = w.rows[w.names[0]][1][:1] + "," // its one feature is missing
	w.put(prefix+w.names[0], []byte(strings.Join(w.rows[w.names[0]], "\n")))
	w.rows[w.names[1]][0], w.rows[w.names[1]][1] = "0"+w.rows[w.names[1]][0][1:], "1"+w.rows[w.names[1]][1][1:]
	w.score(candidate, candidate, 1)
	if _, err := w.Decide(t.Context(), evaluation.Event{Run: thisRun, Job: candidate, Model: candidate}); err != nil {
		t.Fatal(err)
	}
	w.endpoint.answer = w.as(candidate, func(scores []string) []string { return scores })
	if got, err := w.Smoke(t.Context(), w.event(evaluation.Smoke)); err != nil || got.Rows != 7 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestWithoutScoresTheExampleIsAsked(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
	}{
		{"no evaluation", func(w *world) { w.remove(evaluation.Key("fraud", candidate)) }},
		{"no gate", func(w *world) { w.remove(evaluation.Key("fraud", candidate)); w.Spec.Gate = nil }},
		{"scores that were cleaned up", func(w *world) { w.remove(evaluation.ScoresPrefix("fraud", candidate, candidate) + w.names[0] + ".out") }},
		{"rows that were cleaned up", func(w *world) { w.remove(prefix + w.names[0]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := served(t)
			c.change(w)
			w.endpoint.answer = func(string) string { return "0.0123\n" }
			event := w.event(evaluation.Smoke)
			event.Manifest = ""
			got, err := w.Smoke(t.Context(), event)
			if err != nil || got != (evaluation.Answers{Rows: 1, Example: "0.0123"}) || len(w.endpoint.requests) != 1 || w.endpoint.requests[0] != "0.5,1,0" {
				t.Fatalf("got %+v, %v, asked %q", got, err, w.endpoint.requests)
			}
		})
	}
}

func TestAnEndpointThatAnswersOtherwiseFailsTheSmokeTest(t *testing.T) {
	third := func(score string) func([]string) []string {
		return func(scores []string) []string {
			if len(scores) > 2 {
				scores[2] = score
			}
			return scores
		}
	}
	for _, c := range []struct {
		name, problem string
		answer        func(*world) func(string) string
	}{
		{"another model", "and the batch transform answered 0.", func(w *world) func(string) string {
			w.score(candidate, champion, 2)
			return w.as(champion, func(scores []string) []string { return scores })
		}},
		{"one row of twenty", "to line 3 of s3://data/fraud/runs/20260101t020000z/test/a-00000.csv, asked for with 19 other rows, the endpoint ml-dev-fraud answers 0.5, and", changed(third("0.5"))},
		{"rows in another order", "it serves another model, or reads rows in another way", changed(func(s []string) []string { return append(s[1:], s[0]) })},
		{"a row alone", "asked for with 0 other rows, the endpoint ml-dev-fraud answers 0.5", changed(func(s []string) []string {
			if len(s) == 1 {
				return []string{"0.5"}
			}
			return s
		})},
		{"NaN", "answers NaN to line 3 of", changed(third("nan"))},
		{"infinity", "answers infinity to line 3 of", changed(third("-inf"))},
		{"no number", "answers a text that is no number to line 3 of", changed(third("fraud"))},
		{"fewer numbers than rows", "answers 19 numbers to 20 rows", changed(func(s []string) []string { return s[1:] })},
		{"more numbers than rows", "answers 21 numbers to 20 rows", changed(func(s []string) []string { return append(s, "1") })},
		{"nothing", "answers nothing to 20 rows", func(*world) func(string) string { return func(string) string { return " \n" } }},
		{"JSON", "answers JSON, and its model's signature promises text/csv", func(*world) func(string) string {
			return func(string) string { return `{"predictions":[{"score":0.1}]}` }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := served(t)
			w.endpoint.answer = c.answer(w)
			_, err := w.Smoke(t.Context(), w.event(evaluation.Smoke))
			contains(t, err, c.problem)
			if _, is := errors.AsType[*SmokeTestError](err); !is || !strings.HasPrefix(err.Error(), "smoke test: ") {
				t.Errorf("it is %T: %v", err, err)
			}
			w.quiet(err)
		})
	}
}

func changed(change func([]string) []string) func(*world) func(string) string {
	return func(w *world) func(string) string { return w.as(candidate, change) }
}

func TestWhatKeepsTheSmokeTestFromBeginningIsAnotherError(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(*world)
	}{
		{"no example", "no example of a row", func(w *world) {
			w.remove(evaluation.Key("fraud", candidate))
			w.noExample()
		}},
		{"scores that are none", "line 2: the score is no number", func(w *world) {
			lines := w.lines(w.names[0], "0.5")
			lines[1] = "1,secret"
			w.output(candidate, candidate, w.names[0], lines)
		}},
		{"no permission", "needs sagemaker:InvokeEndpoint", func(w *world) {
			w.endpoint.problems = []error{&smithy.GenericAPIError{Code: "AccessDeniedException", Fault: smithy.FaultClient}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := served(t)
			c.change(w)
			_, err := w.Smoke(t.Context(), w.event(evaluation.Smoke))
			contains(t, err, c.problem)
			if _, is := errors.AsType[*SmokeTestError](err); is {
				t.Errorf("it is the endpoint's: %v", err)
			}
			w.quiet(err)
		})
	}
}

func (w *world) noExample() {
	key := manifest.Key("fraud", thisRun, "b")
	stored, err := w.Bucket.Read(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(key, []byte(strings.Replace(string(stored.Body), `"body": "0.5,1,0"`, `"body": ""`, 1)))
	if stored, _ = w.Bucket.Read(w.t.Context(), key); strings.Contains(string(stored.Body), "0.5,1,0") {
		w.t.Fatal("the example is still there")
	}
}

func TestAnEndpointThatIsBusyIsAskedAgain(t *testing.T) {
	status := func(code int32) error {
		return &types.ModelError{Message: aws.String("secret"), OriginalStatusCode: aws.Int32(code), LogStreamArn: aws.String("arn:log")}
	}
	http503 := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusServiceUnavailable}}, Err: errors.New("503")}
	for _, c := range []struct {
		name     string
		problem  error
		times    int
		deadline time.Duration
		// wants is what the error has; empty: it answers in the end.
		wants string
		// within is how long it takes at most.
		within time.Duration
	}{
		{name: "a cold start", problem: &types.ModelNotReadyException{}, times: 10, within: 3 * time.Minute},
		{name: "a cold start that doesn't end", problem: &types.ModelNotReadyException{}, times: 1000, wants: "does not answer, for 4m", within: startPatience},
		{name: "a cold start beyond the function's time", problem: &types.ModelNotReadyException{}, times: 1000, deadline: time.Minute, wants: "does not answer, for 4", within: time.Minute - endMargin},
		{name: "throttling", problem: &smithy.GenericAPIError{Code: "ThrottlingException", Fault: smithy.FaultClient}, times: 4, within: 20 * time.Second},
		{name: "throttling that doesn't end", problem: &smithy.GenericAPIError{Code: "ThrottlingException", Fault: smithy.FaultClient}, times: 1000, wants: "does not answer, for ", within: busyPatience},
		{name: "a container that is busy", problem: status(503), times: 3, within: 10 * time.Second},
		{name: "a container that stays broken", problem: status(500), times: 1000, wants: "the container of the endpoint ml-dev-fraud answers with status 500, for 15s: its log says why: arn:log", within: busyPatience},
		{name: "a container that refuses the row", problem: status(415), times: 1000, wants: "answers with status 415: its log says why"},
		{name: "a service that is unavailable", problem: &types.ServiceUnavailable{}, times: 2, within: 10 * time.Second},
		{name: "a reply of 503", problem: http503, times: 2, within: 10 * time.Second},
		{name: "a connection that breaks", problem: errDown, times: 2, within: 10 * time.Second},
		{name: "an endpoint that isn't there", problem: &types.ValidationError{Message: aws.String("Endpoint ml-dev-fraud not found.")}, times: 1000, wants: "does not answer: ValidationError: Endpoint ml-dev-fraud not found."},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := served(t)
			synctest.Test(t, func(t *testing.T) {
				for range c.times {
					w.endpoint.problems = append(w.endpoint.problems, c.problem)
				}
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				began := time.Now()
				got, err := w.Smoke(ctx, w.event(evaluation.Smoke))
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %s", took)
				}
				if c.wants == "" {
					if err != nil || got.Rows != 20 {
						t.Fatalf("got %+v, %v", got, err)
					}
					return
				}
				contains(t, err, c.wants)
				if _, is := errors.AsType[*SmokeTestError](err); !is {
					t.Errorf("it is %T", err)
				}
				w.quiet(err)
			})
		})
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	w := served(t)
	w.endpoint.problems = []error{errDown}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := w.invoke(ctx, "e", "1"); !errors.Is(err, enough) {
		t.Fatalf("got %v", err)
	}
}

func TestARequestIsNoLargerThanAnEndpointTakes(t *testing.T) {
	w := newWorld(t)
	w.commit(10, 2)
	for i := range w.rows[w.names[0]] {
		w.rows[w.names[0]][i] = fmt.Sprintf("%d,%d,%s1", i%2, i, strings.Repeat("1,", 150_000))
	}
	w.put(prefix+w.names[0], []byte(strings.Join(w.rows[w.names[0]], "\n")+"\n"))
	w.score(candidate, candidate, 1)
	if _, err := w.Decide(t.Context(), evaluation.Event{Run: thisRun, Job: candidate, Model: candidate}); err != nil {
		t.Fatal(err)
	}
	w.endpoint.answer = w.as(candidate, func(scores []string) []string { return scores })
	got, err := w.Smoke(t.Context(), w.event(evaluation.Smoke))
	if err != nil || got.Rows != 3 || len(w.endpoint.requests[0]) > smokeBytes {
		t.Fatalf("got %+v of %d bytes, %v", got, len(w.endpoint.requests[0]), err)
	}
}
