package evaluation

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEventsAreReadStrictly(t *testing.T) {
	for _, c := range []struct{ name, text, problem string }{
		{"a whole one", `{"command":"decide","run":"20260101t020000z","job":"ml-dev-fraud-20260101t020000z","champion":"ml-dev-fraud-20251231t020000z","manifest":"k"}`, ""},
		{"no champion", `{"command":"decide","run":"20260101t020000z","job":"j","champion":""}`, ""},
		{"no command", `{"run":"20260101t020000z","job":"j"}`, `no "command"`},
		{"a command that there is not", `{"command":"measure","run":"20260101t020000z","job":"j"}`, "one of champion, decide, smoke"},
		{"no run", `{"command":"smoke","job":"j"}`, "run id"},
		{"no job", `{"command":"smoke","run":"20260101t020000z"}`, "lacks job"},
		{"a job that leads elsewhere", `{"command":"smoke","run":"20260101t020000z","job":"../other"}`, "no name of SageMaker's"},
		{"an unknown field", `{"command":"smoke","run":"20260101t020000z","job":"j","colour":1}`, "colour"},
		{"no JSON", `smoke`, "decoding the event"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := DecodeEvent([]byte(c.text))
			if c.problem == "" {
				if err != nil || e.Model != e.Job {
					t.Fatalf("got %+v, %v", e, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

// What the state machine reads has these names, whatever the Go names become.
func TestAnswersHaveTheirNames(t *testing.T) {
	champion := 0.5
	for _, c := range []struct {
		answer any
		want   string
	}{
		{Champion{Holdout: "s3://b/m", Content: "text/csv", Reason: "r"}, `{"champion":null,"compare":false,"known":false,"reason":"r","holdout":"s3://b/m","content":"text/csv"}`},
		{Champion{Champion: &Served{Model: "m", Config: "c", Run: "20260101t020000z"}, Refused: "no"},
			`{"champion":{"model":"m","config":"c","run":"20260101t020000z"},"compare":false,"known":false,"reason":"","refused":"no","holdout":"","content":""}`},
		{Verdict{Decision: First, Metric: AUC, Estimate: Estimate{1, 0, 2}, Metrics: map[Metric]Estimate{AUC: {1, 0, 2}}},
			`{"decision":"first","reason":"","metric":"auc","value":1,"low":0,"high":2,"championValue":null,"metrics":{"auc":{"value":1,"low":0,"high":2}},"championMetrics":null}`},
		{Verdict{Decision: NotBetter, ChampionValue: &champion},
			`{"decision":"not better","reason":"","metric":"","value":0,"low":0,"high":0,"championValue":0.5,"metrics":null,"championMetrics":null}`},
		{Answers{Rows: 20, LargestDifference: 1e-9, Example: "0.1"}, `{"rows":20,"largestDifference":1e-9,"example":"0.1"}`},
	} {
		b, err := json.Marshal(c.answer)
		if err != nil || string(b) != c.want {
			t.Errorf("got  %s, %v\nwant %s", b, err, c.want)
		}
	}
}

func TestReportsOfOtherVersionsAreRefused(t *testing.T) {
	for text, problem := range map[string]string{`{"version":1,"job":"j","decision":"better","value":0.5}`: "", `{"version":2}`: "version 2", `{`: "decoding"} {
		r, err := Decode([]byte(text))
		if problem == "" && (err != nil || r.Decision != Better || r.Value != .5) || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%s: got %+v, %v", text, r, err)
		}
	}
}
