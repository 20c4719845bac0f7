package workflow

import (
	"maps"
	"reflect"
	"strings"
	"testing"
)

// TestANoticeSaysWhatARunHasComeTo evaluates what the function that tells is given, for runs that ended anywhere.
func TestANoticeSaysWhatARunHasComeTo(t *testing.T) {
	// What the first state assigns: an end can come at once.
	nothing := map[string]any{
		"run": first, "rows": 0, "job": "", "artifact": "", "metrics": map[string]any{}, "decision": map[string]any{}, "package": "", "scores": "",
		"outcome": "failed", "failure": map[string]any{"step": "Read input", "error": "Input.Malformed", "cause": "run is missing"},
		"asked": false, "deleted": false, "putBack": false, "endpoint": map[string]any{}, "config": "", "previousConfig": "", "smoke": map[string]any{}, "scaling": "",
	}
	served := map[string]any{"status": "InService", "config": "new"}
	for _, c := range []struct {
		name, pipeline string
		known          map[string]any
		facts          []string
		step           string
	}{
		{"before anything was known", "plain", nil, []string{"Rows exported: 0", "Endpoint: ml-test-plain was not touched"}, "Read input"},
		{"rows that are text", "plain", map[string]any{"rows": "200000"}, []string{"Rows exported: 200000", "Endpoint: ml-test-plain was not touched"}, "Read input"},
		{"a first model in service", "plain", map[string]any{
			"outcome": "succeeded", "rows": 5, "job": "job", "artifact": "s3://b/m", "metrics": map[string]any{"auc": 0.9, "rmse": 0.1}, "package": "arn",
			"decision": map[string]any{"decision": "first", "reason": "there is none to compare with"}, "asked": true, "config": "new", "endpoint": served,
			"smoke": map[string]any{"rows": 20, "largestDifference": 1e-7, "example": "0.5"},
		}, []string{
			"Rows exported: 5", "Model: job (s3://b/m)", "Metrics of the training job: auc 0.9, rmse 0.1", "Decision: there is none to compare with", "Model package: arn",
			"Endpoint: ml-test-plain serves new; before, there was none in service",
			"Smoke test: it answered 0.5; 20 rows were asked, and the largest difference from the batch transform is 1e-7",
		}, ""},
		{"a decision of another form", "plain", map[string]any{"decision": "first"}, []string{"Rows exported: 0", "Endpoint: ml-test-plain was not touched"}, "Read input"},
		{"a model that is put back", "scaled", map[string]any{
			"outcome": "rolled back", "job": "job", "asked": true, "putBack": true, "config": "new", "previousConfig": "old", "endpoint": map[string]any{"status": "InService", "config": "old"}, "scaling": "1 to 4 machines",
		}, []string{"Rows exported: 0", "Model: job", "Endpoint: ml-test-scaled serves old as before", "Autoscaling: 1 to 4 machines"}, "Read input"},
		{"a model that can't be put back", "plain", map[string]any{"asked": true, "putBack": true, "config": "new", "previousConfig": "old", "endpoint": map[string]any{"status": "Failed", "config": "new"}},
			[]string{"Rows exported: 0", "Endpoint: ml-test-plain was to serve old again; it was last seen Failed on new"}, "Read input"},
		{"a model that stays", "plain", map[string]any{"asked": true, "config": "new", "endpoint": served},
			[]string{"Rows exported: 0", "Endpoint: ml-test-plain serves new; before, there was none in service"}, "Read input"},
		{"an endpoint that was asked", "plain", map[string]any{"asked": true, "config": "new", "previousConfig": "old", "endpoint": map[string]any{"status": "Updating", "config": "old"}},
			[]string{"Rows exported: 0", "Endpoint: ml-test-plain was asked to serve new; before, it served old"}, "Read input"},
		{"an endpoint that was deleted", "plain", map[string]any{"deleted": true},
			[]string{"Rows exported: 0", "Endpoint: the failed endpoint ml-test-plain was deleted; the next run that gets this far creates it"}, "Read input"},
		{"a batch", "batch", map[string]any{"outcome": "succeeded", "scores": "s3://b/scores/"}, []string{"Rows exported: 0", "Scores: s3://b/scores/"}, ""},
		{"a batch that failed", "batch", nil, []string{"Rows exported: 0"}, "Read input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			variables := maps.Clone(nothing)
			maps.Copy(variables, c.known)
			payload := decode(t, c.pipeline).States["Tell"].Arguments["Payload"].(map[string]any)
			done := evaluate(t, []evaluation{
				{Expression: payload["facts"].(string), Variables: variables}, {Expression: payload["step"].(string), Variables: variables},
			})
			if said := done[0].Error + done[1].Error; said != "" {
				t.Fatal(said)
			}
			var facts []string
			for _, f := range done[0].Value.([]any) {
				fact := f.(map[string]any)
				facts = append(facts, fact["name"].(string)+": "+fact["value"].(string))
			}
			if !reflect.DeepEqual(facts, c.facts) {
				t.Errorf("the facts are\n  %s\nwant\n  %s", strings.Join(facts, "\n  "), strings.Join(c.facts, "\n  "))
			}
			if done[1].Value != c.step {
				t.Errorf("the step is %v, want %q", done[1].Value, c.step)
			}
		})
	}
}

// TestAModelThatStaysUncomparedIsSaidToBe: it sets no clock, however often the gate refuses what would take its place.
func TestAModelThatStaysUncomparedIsSaidToBe(t *testing.T) {
	payload := decode(t, "plain").States["Tell"].Arguments["Payload"].(map[string]any)
	for _, c := range []struct {
		name, outcome string
		decision      any
		want          bool
	}{
		{"worse than the model in service", "not better", map[string]any{"decision": "not better", "championValue": 0.9}, false},
		{"equal to a model in service that is worth nothing", "not better", map[string]any{"championValue": 0}, false},
		{"below the threshold, with none in service", "not better", map[string]any{"decision": "not better", "championValue": nil}, true},
		{"another signature, before anything is scored", "not better", map[string]any{}, true},
		{"an answer of another form", "not better", "not better", true},
		{"the first in service", "succeeded", map[string]any{"decision": "first", "championValue": nil}, false},
		{"a failure", "failed", map[string]any{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := evaluate(t, []evaluation{{Expression: payload["uncompared"].(string), Variables: map[string]any{"outcome": c.outcome, "decision": c.decision}}})[0]
			if got.Error != "" || got.Value != c.want {
				t.Errorf("got %v, %s, want %v", got.Value, got.Error, c.want)
			}
		})
	}
}
