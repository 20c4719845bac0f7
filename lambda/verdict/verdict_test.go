package verdict_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/verdict"
)

func judged() verdict.Verdict {
	return verdict.Verdict{
		Version: verdict.Version, Pipeline: "orders", Run: "20260101t020000z", PlanETag: "e", At: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC),
		Decision: verdict.Rejected, Rows: 7, Baseline: "20251231t020000z", Notes: []string{"a"},
		Rules: []verdict.Rule{{Name: "RowCount > 3", Passed: true, Expected: "> 3", Actual: "7 rows"}, {Name: `IsComplete "a"`, Expected: "no NULL", Actual: "1", Examples: []string{"x"}}},
	}
}

func TestWhatIsWrittenReadsBackAsItIs(t *testing.T) {
	mean := 1.5
	at := time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
	same := func(v any, decode func([]byte) (any, error)) {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(b); err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("got %+v, %v", back, err)
		}
		if _, err := decode([]byte(strings.Replace(string(b), `{"version":1`, `{"version":2`, 1))); err == nil || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("another version: got %v", err)
		}
	}
	same(judged(), func(b []byte) (any, error) { return verdict.Decode(b) })
	same(verdict.Acceptance{Version: 1, Run: "20260101t020000z", By: "somebody", Reason: "a holiday", At: at}, func(b []byte) (any, error) { return verdict.DecodeAcceptance(b) })
	same(verdict.Baseline{Version: 1, Run: "20260101t020000z", Generation: 2, Statistics: manifest.Object{Key: "k", VersionID: "v", Bytes: 1, SHA256: "s"}, At: at},
		func(b []byte) (any, error) { return verdict.DecodeBaseline(b) })
	same(verdict.Statistics{Version: 1, Run: "20260101t020000z", Generation: 1, Rows: 3, Columns: []verdict.Column{{Name: "a", Nulls: 1, Mean: &mean, Categories: map[string]int64{"x": 2}}}},
		func(b []byte) (any, error) { return verdict.DecodeStatistics(b) })
	if failed := judged().Failed(); len(failed) != 1 || failed[0].Name != `IsComplete "a"` {
		t.Errorf("got %+v", failed)
	}
}

func TestVerdictsThatSayTooLittleAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(*verdict.Verdict)
	}{
		{"no decision", "neither accepted nor rejected", func(v *verdict.Verdict) { v.Decision = "" }},
		{"no plan", "whose rows", func(v *verdict.Verdict) { v.PlanETag = "" }},
		{"no run", "run id", func(v *verdict.Verdict) { v.Run = "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judged()
			c.change(&v)
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := verdict.Decode(b); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want %q", err, c.problem)
			}
		})
	}
	if _, err := verdict.DecodeBaseline([]byte(`{"version":1}`)); err == nil {
		t.Error("a baseline without statistics is read")
	}
	if _, err := verdict.DecodeStatistics([]byte(`{`)); err == nil {
		t.Error("what is no JSON is read")
	}
}
