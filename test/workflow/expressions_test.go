package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// evaluation is one expression of the definition, evaluated by the reference implementation of JSONata. The local AWS uses
// another one, so the two check each other.
type evaluation struct {
	Expression string         `json:"expression"`
	States     map[string]any `json:"states"`
	Variables  map[string]any `json:"variables"`

	Value any    `json:"value"`
	Error string `json:"error"`
}

func evaluate(t *testing.T, expressions []evaluation) []evaluation {
	t.Helper()
	in, err := json.Marshal(expressions)
	ok(t, err)
	out := node(t, `
const jsonata = require("jsonata");
(async () => {
  const done = [];
  for (const e of JSON.parse(require("fs").readFileSync(0))) {
    try {
      const expression = jsonata(e.expression.slice(2, -2));
      expression.registerFunction("parse", text => JSON.parse(text)); // AWS's own
      const value = await expression.evaluate(undefined, {...e.variables, states: e.states});
      done.push(value === undefined ? {error: "no result: AWS makes that an error"} : {value});
    } catch (error) {
      done.push({error: error.code + ": " + error.message});
    }
  }
  console.log(JSON.stringify(done));
})();`, in)
	var done []evaluation
	ok(t, json.Unmarshal(out, &done))
	if len(done) != len(expressions) {
		t.Fatalf("%d of %d expressions were evaluated", len(done), len(expressions))
	}
	return done
}

func TestNoInputBreaksTheReadingOfInputs(t *testing.T) {
	d := decode(t, "plain")
	good := func(change func(map[string]any)) map[string]any {
		in := map[string]any{
			"pipeline": "plain", "run": first, "bucket": bucketName, "rows": 5, "signature": "plain/runs/x/signature.json",
			"channels": map[string]any{"train": "s3://b/train.manifest", "validation": "s3://b/validation.manifest"},
			"smoke":    map[string]any{"contentType": "text/csv", "body": "1,2"},
		}
		if change != nil {
			change(in)
		}
		return in
	}
	set := func(name string, value any) any { return good(func(in map[string]any) { in[name] = value }) }
	const all = "run pipeline bucket channels.train signature smoke.contentType smoke.body"
	cases := []struct {
		name  string
		input any
		wrong string // the names of what is wrong
		run   string
		rows  any
	}{
		{"what the export writes", good(nil), "", first, 5.0},
		{"no validation split", set("channels", map[string]any{"train": "s3://b/t"}), "", first, 5.0},
		{"a validation split that is null", set("channels", map[string]any{"train": "s3://b/t", "validation": nil}), "", first, 5.0},
		{"rows as text", set("rows", "200000"), "", first, "200000"},
		{"rows missing", good(func(in map[string]any) { delete(in, "rows") }), "", first, 0.0},
		{"rows null", set("rows", nil), "", first, 0.0},
		{"rows an object", set("rows", map[string]any{}), "", first, 0.0},
		{"a run that is a number", set("run", 20260101), "run", "unknown", 5.0},
		{"a run that is null", set("run", nil), "run", "unknown", 5.0},
		{"a run that would end up in names", set("run", first+"/../x"), "run", "unknown", 5.0},
		{"a run in upper case", set("run", strings.ToUpper(first)), "run", "unknown", 5.0},
		{"another pipeline's run", set("pipeline", "churn"), "pipeline", first, 5.0},
		{"another bucket", set("bucket", []any{bucketName, "x"}), "bucket", first, 5.0},
		{"channels that are a list", set("channels", []any{"s3://b/t"}), "channels.train", first, 5.0},
		{"channels that are null", set("channels", nil), "channels.train", first, 5.0},
		{"a channel that is not in S3", set("channels", map[string]any{"train": "file:///etc/passwd", "validation": 7}), "channels.train channels.validation", first, 5.0},
		{"an empty signature", set("signature", ""), "signature", first, 5.0},
		{"a smoke test without a row", set("smoke", map[string]any{"contentType": "text/csv", "body": ""}), "smoke.body", first, 5.0},
		{"a smoke test that is text", set("smoke", "1,2"), "smoke.contentType smoke.body", first, 5.0},
		{"a row of numbers that is not text", set("smoke", map[string]any{"contentType": "text/csv", "body": []any{1, 2}}), "smoke.body", first, 5.0},
		{"a person's start from the training", set("resume", map[string]any{"from": "train", "by": "ann", "reason": "new data"}), "", first, 5.0},
		{"a person's start from the deployment", set("resume", map[string]any{"from": "deploy", "model": "ml-test-plain-" + first + "-a12", "rollback": true}), "", first, 5.0},
		{"no start in the middle", set("resume", nil), "", first, 5.0},
		{"a start from nowhere", set("resume", map[string]any{"from": "smoke", "model": "ml-test-plain-" + first}), "resume.from", first, 5.0},
		{"a start without a step", set("resume", map[string]any{}), "resume.from resume.model", first, 5.0},
		{"a start that is text", set("resume", "deploy"), "resume.from resume.model", first, 5.0},
		{"a start with steps", set("resume", map[string]any{"from": []any{"deploy", "train"}, "model": 7}), "resume.from resume.model", first, 5.0},
		{"a start with another pipeline's model", set("resume", map[string]any{"from": "evaluate", "model": "ml-test-other-" + first}), "resume.model", first, 5.0},
		{"nothing", map[string]any{}, all, "unknown", 0.0},
		{"null", nil, all, "unknown", 0.0},
		{"a list", []any{}, all, "unknown", 0.0},
		{"text", "x", all, "unknown", 0.0},
	}
	var expressions []evaluation
	for _, c := range cases {
		for _, name := range []string{"problems", "run", "rows"} {
			expressions = append(expressions, evaluation{
				Expression: d.States["Read input"].Assign[name].(string),
				States:     map[string]any{"input": c.input},
			})
		}
		expressions = append(expressions, evaluation{
			Expression: d.States["Input complete?"].Choices[0].Condition,
			States:     map[string]any{"context": map[string]any{"Execution": map[string]any{"Input": c.input}}},
			Variables:  map[string]any{"problems": []any{}},
		})
	}
	done := evaluate(t, expressions)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			problems, run, rows, resumed := done[4*i], done[4*i+1], done[4*i+2], done[4*i+3]
			if said := problems.Error + run.Error + rows.Error + resumed.Error; said != "" {
				t.Fatal(said)
			}
			var wrong []string
			for _, p := range problems.Value.([]any) {
				name, _, _ := strings.Cut(p.(string), " is ")
				wrong = append(wrong, name)
			}
			if got := strings.Join(wrong, " "); got != c.wrong {
				t.Errorf("wrong is %q, want %q: %v", got, c.wrong, problems.Value)
			}
			if run.Value != c.run || rows.Value != c.rows {
				t.Errorf("run is %v and rows %v, want %v and %v", run.Value, rows.Value, c.run, c.rows)
			}
		})
	}
}

func TestNoAnswerOfAWSBreaksWhatReadsIt(t *testing.T) {
	d, g := decode(t, "plain"), decode(t, "sfirst")
	// at is an expression of a state's Assign, whose members are separated by a dot.
	at := func(d definition, state, path string) string {
		var v any = d.States[state].Assign
		for member := range strings.SplitSeq(path, ".") {
			v = v.(map[string]any)[member]
		}
		return v.(string)
	}
	result := func(r map[string]any) map[string]any { return map[string]any{"result": r} }
	metric := func(name, value any) map[string]any { return map[string]any{"MetricName": name, "Value": value} }
	payload := func(p any) map[string]any { return result(map[string]any{"Payload": p}) }
	inputs := func(in any) map[string]any {
		return map[string]any{"context": map[string]any{"Execution": map[string]any{"Input": in}}}
	}
	const (
		xgboost = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
		// The pipeline, the beginning of the execution and the job: 36 characters, as many as SageMaker takes.
		token = "2467d4-mjuss3nf-20260101t020000z-a90"
	)
	unasked := map[string]any{"asked": false, "putBack": false, "previousConfig": "old"}
	cases := []struct {
		name, expression string
		states           map[string]any
		variables        map[string]any
		want             any
	}{
		{"two metrics", at(d, "Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{metric("train:auc", 0.9), metric("validation:auc", 0.8)}}), nil,
			map[string]any{"train:auc": 0.9, "validation:auc": 0.8}},
		{"one metric", at(d, "Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{metric("train:auc", 0.9)}}), nil, map[string]any{"train:auc": 0.9}},
		{"no metrics", at(d, "Train", "metrics"), result(map[string]any{}), nil, map[string]any{}},
		{"metrics that are null", at(d, "Train", "metrics"), result(map[string]any{"FinalMetricDataList": nil}), nil, map[string]any{}},
		{"an empty list of metrics", at(d, "Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{}}), nil, map[string]any{}},
		{"a metric as text, and one without a name", at(d, "Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{metric("a", "0.9"), metric(nil, 1), map[string]any{"MetricName": "b"}}}), nil,
			map[string]any{"a": "0.9"}},
		{"no artifact", at(d, "Train", "artifact"), result(map[string]any{"ModelArtifacts": nil}), nil, ""},

		{"an endpoint without a config keeps the one before", at(d, "Look at endpoint", "previousConfig"), result(map[string]any{"EndpointStatus": "InService"}), unasked, "old"},
		{"an endpoint on a config", at(d, "Look at endpoint", "previousConfig"), result(map[string]any{"EndpointStatus": "InService", "EndpointConfigName": "new"}), unasked, "new"},
		{"a Failed endpoint is no way back", at(d, "Look at endpoint", "previousConfig"), result(map[string]any{"EndpointStatus": "Failed", "EndpointConfigName": "new"}), unasked, ""},
		{"an endpoint that was asked keeps the one before", at(d, "Look at endpoint", "previousConfig"), result(map[string]any{"EndpointStatus": "InService", "EndpointConfigName": "new"}), map[string]any{"asked": true, "putBack": false, "previousConfig": "old"}, "old"},
		{"a pending deployment", at(d, "Look at endpoint", "endpoint.pending"), result(map[string]any{"PendingDeploymentSummary": map[string]any{"EndpointConfigName": "x"}}), nil, true},
		{"no pending deployment", at(d, "Look at endpoint", "endpoint.pending"), result(map[string]any{}), nil, false},
		{"a pending deployment that is null", at(d, "Look at endpoint", "endpoint.pending"), result(map[string]any{"PendingDeploymentSummary": nil}), nil, false},
		{"no reason", at(d, "Look at endpoint", "endpoint.reason"), result(map[string]any{"FailureReason": nil}), nil, ""},

		{"the same model", at(d, "Describe model", "same"), result(map[string]any{"PrimaryContainer": map[string]any{"ModelDataUrl": "s3://a"}}), map[string]any{"artifact": "s3://a"}, true},
		{"another model", at(d, "Describe model", "same"), result(map[string]any{"PrimaryContainer": map[string]any{"ModelDataUrl": "s3://b"}}), map[string]any{"artifact": "s3://a"}, false},
		{"a model of several containers", at(d, "Describe model", "same"), result(map[string]any{"Containers": []any{}}), map[string]any{"artifact": "s3://a"}, false},

		{"a key that has to be escaped", d.States["Publish signature"].Arguments["CopySource"].(string),
			map[string]any{"context": map[string]any{"Execution": map[string]any{"Input": map[string]any{"signature": "p/runs/a b+ü?&.json"}}}}, nil,
			bucketName + "/p/runs/a%20b%2B%C3%BC%3F%26.json"},
		{"the first attempt", d.States["Train"].Arguments["TrainingJobName"].(string), nil, map[string]any{"run": first, "attempt": 1}, "ml-test-plain-" + first},
		{"a later attempt", d.States["Train"].Arguments["TrainingJobName"].(string), nil, map[string]any{"run": first, "attempt": 3}, "ml-test-plain-" + first + "-a3"},
		{"a scoring", g.States["Score candidate"].Arguments["TransformJobName"].(string), nil, map[string]any{"run": first, "attempt": 2}, "ml-test-sfirst-" + first + "-c2"},

		{"a model in service", at(g, "Find champion", "champion"), payload(map[string]any{"champion": map[string]any{"model": "m", "config": "c", "run": first}}), nil, map[string]any{"model": "m", "config": "c"}},
		{"no model in service", at(g, "Find champion", "champion"), payload(map[string]any{"champion": nil}), nil, ""},
		{"an answer without a model", at(g, "Find champion", "champion"), payload(map[string]any{}), nil, ""},
		{"an answer that is text", at(g, "Find champion", "champion"), payload("x"), nil, ""},
		{"nothing to compare with", at(g, "Find champion", "compare"), payload(map[string]any{"champion": nil, "compare": true}), nil, false},
		{"a comparison", at(g, "Find champion", "compare"), payload(map[string]any{"champion": map[string]any{"model": "m"}, "compare": true}), nil, true},
		{"a comparison as text", at(g, "Find champion", "compare"), payload(map[string]any{"champion": map[string]any{"model": "m"}, "compare": "true"}), nil, false},
		{"nothing known", at(g, "Find champion", "known"), payload(map[string]any{}), nil, false},
		{"no refusal", at(g, "Find champion", "refused"), payload(map[string]any{"refused": nil}), nil, ""},
		{"a hold-out", at(g, "Find champion", "holdout"), payload(map[string]any{"holdout": "s3://b/m", "content": "text/csv"}), nil, map[string]any{"uri": "s3://b/m", "content": "text/csv"}},
		{"no hold-out", at(g, "Find champion", "holdout"), payload(map[string]any{"holdout": 7}), nil, map[string]any{"uri": "", "content": ""}},
		{"a hold-out of a type that nobody named", at(g, "Find champion", "holdout"), payload(map[string]any{"holdout": "s3://b/m"}), nil, map[string]any{"uri": "s3://b/m", "content": "text/csv"}},
		{"no manifest", g.States["Find champion"].Arguments["Payload"].(map[string]any)["manifest"].(string), inputs(map[string]any{"manifest": nil}), nil, ""},

		{"a description on one line", g.States["Register model"].Arguments["ModelPackageDescription"].(string), nil,
			map[string]any{"run": first, "rows": 5, "decision": map[string]any{"reason": "auc is 0.9\n(better)"}}, "Run " + first + ", 5 rows: auc is 0.9 (better)"},
		{"a description without a decision", g.States["Register model"].Arguments["ModelPackageDescription"].(string), nil,
			map[string]any{"run": first, "rows": "5", "decision": map[string]any{}}, "Run " + first + ", 5 rows"},
		{"a token", g.States["Register model"].Arguments["ClientToken"].(string),
			map[string]any{"context": map[string]any{"Execution": map[string]any{"StartTime": "2026-01-01T02:00:00.123Z"}}}, map[string]any{"job": "ml-test-sfirst-" + first + "-a90"},
			token},
		{"metadata", g.States["Register model"].Arguments["CustomerMetadataProperties"].(string),
			inputs(map[string]any{"lineage": map[string]any{"manifest": "p/runs/a", "bounds": "Größe from 1 (2) to \"3\"", "window": "", "rows": 7, "generation": nil, "querySha256": []any{"x"}, "more": "y"}}),
			map[string]any{"run": first, "job": "j", "champion": map[string]any{"model": "m", "config": "c"}, "decision": map[string]any{"decision": "better", "metric": "auc", "value": 0.91, "championValue": nil}},
			map[string]any{"manifest": "p/runs/a", "bounds": "Größe from 1 _2_ to _3_", "rows": "7", "run": first, "trainingJob": "j", "image": xgboost,
				"decision": "better", "metric": "auc", "value": "0.91", "champion": "m"}},
		{"metadata of nothing", g.States["Register model"].Arguments["CustomerMetadataProperties"].(string), inputs("x"),
			map[string]any{"run": first, "job": "j", "champion": "", "decision": map[string]any{}}, map[string]any{"run": first, "trainingJob": "j", "image": xgboost}},
	}
	expressions := make([]evaluation, len(cases))
	for i, c := range cases {
		expressions[i] = evaluation{Expression: c.expression, States: c.states, Variables: c.variables}
	}
	for i, e := range evaluate(t, expressions) {
		t.Run(cases[i].name, func(t *testing.T) {
			if e.Error != "" || !reflect.DeepEqual(e.Value, cases[i].want) {
				t.Fatalf("it is %v %s, want %v", e.Value, e.Error, cases[i].want)
			}
		})
	}
}

func TestTheEndpointGetsWhatItsStateCallsFor(t *testing.T) {
	choice := decode(t, "plain").States["What does the endpoint need?"]
	const (
		wait, smoke, create, remove, gaveUp = "Wait for endpoint", "Smoke test", "Create endpoint", "Delete failed endpoint", "Explain"
		// An update asks about autoscaling first.
		update               = "Look at autoscaling"
		goBack, back, rolled = "Anything to put back?", "Rolled back", "Rolled back"
		// As many looks as fit into two hours, ever further apart.
		most = 65
	)
	type look struct {
		status, config string
		pending        bool
		looks          int
	}
	cases := []struct {
		look look
		// where it goes before and after the run asked for "new", where "old" served before, and after it asked for "old" again
		before, after, undoing string
		error                  string // of a failure after
	}{
		{look{status: "Absent"}, create, gaveUp, gaveUp, "Deploy.EndpointGone"},
		{look{status: "InService", config: "new"}, smoke, smoke, gaveUp, ""},
		{look{status: "InService", config: "new", looks: 9999}, smoke, smoke, gaveUp, ""},
		{look{status: "InService", config: "new", pending: true}, wait, wait, wait, ""},
		{look{status: "InService", config: "old"}, update, rolled, back, "Deploy.RolledBack"},
		{look{status: "InService", config: "old", pending: true}, wait, wait, wait, ""},
		{look{status: "InService", config: "third"}, update, gaveUp, gaveUp, "Deploy.Replaced"},
		{look{status: "InService", config: "ml-test-plain-20270101t000000z"}, update, gaveUp, gaveUp, "Deploy.Replaced"},
		{look{status: "InService"}, update, gaveUp, gaveUp, "Deploy.Replaced"},
		{look{status: "Creating", config: "old"}, wait, wait, wait, ""},
		{look{status: "Creating", config: "new"}, wait, wait, wait, ""},
		{look{status: "Updating", config: "old", pending: true}, wait, wait, wait, ""},
		{look{status: "SystemUpdating", config: "old"}, wait, wait, wait, ""},
		{look{status: "RollingBack", config: "old"}, wait, wait, wait, ""},
		{look{status: "Deleting", config: "old"}, wait, wait, wait, ""},
		{look{status: "Throttled"}, wait, wait, wait, ""},
		{look{status: "Failed", config: "old"}, remove, goBack, goBack, "Deploy.EndpointFailed"},
		{look{status: "Failed", config: "new"}, remove, goBack, goBack, "Deploy.EndpointFailed"},
		{look{status: "OutOfService", config: "old"}, gaveUp, gaveUp, gaveUp, "Deploy.NeedsAPerson"},
		{look{status: "UpdateRollbackFailed", config: "new"}, gaveUp, gaveUp, gaveUp, "Deploy.NeedsAPerson"},
		{look{status: "Unreadable"}, gaveUp, gaveUp, gaveUp, ""},
		{look{status: "SomethingNew", config: "new"}, gaveUp, gaveUp, gaveUp, ""},
		{look{status: "Updating", config: "old", looks: most - 1}, wait, wait, wait, ""},
		{look{status: "Updating", config: "old", looks: most}, gaveUp, gaveUp, gaveUp, "Deploy.TimedOut"},
		{look{status: "InService", config: "new", pending: true, looks: most}, gaveUp, gaveUp, gaveUp, "Deploy.TimedOut"},
		{look{status: "InService", config: "old", looks: most}, update, rolled, back, "Deploy.RolledBack"},
	}
	modes := []map[string]any{
		{"asked": false, "putBack": false, "wanted": "new"},
		{"asked": true, "putBack": false, "wanted": "new"},
		{"asked": true, "putBack": true, "wanted": "old"},
	}
	var expressions []evaluation
	for _, c := range cases {
		for _, mode := range modes {
			variables := map[string]any{
				"run": first, "config": "new", "previousConfig": "old", "looks": c.look.looks,
				"endpoint": map[string]any{"status": c.look.status, "config": c.look.config, "pending": c.look.pending, "reason": ""},
			}
			maps.Copy(variables, mode)
			for _, way := range choice.Choices {
				expressions = append(expressions, evaluation{Expression: way.Condition, Variables: variables})
			}
		}
	}
	done := evaluate(t, expressions)
	for _, c := range cases {
		for i, want := range []string{c.before, c.after, c.undoing} {
			next, failure := choice.Default, choice.Assign
			for i, way := range choice.Choices {
				if done[i].Error != "" {
					t.Fatalf("%+v: %s", c.look, done[i].Error)
				}
				if done[i].Value == true {
					next, failure = way.Next, way.Assign
					break
				}
			}
			done = done[len(choice.Choices):]
			if next != want {
				t.Errorf("%+v, %v: %s, want %s", c.look, modes[i], next, want)
			}
			f, put := failure["failure"].(map[string]any)
			if !put { // what was undone, and is told when the rest is
				f, _ = failure["undone"].(map[string]any)
			}
			if i == 1 && c.error != "" && f["error"] != c.error {
				t.Errorf("%+v: the failure is %v, want %s", c.look, f["error"], c.error)
			}
		}
	}
	for _, state := range []string{create, "Update endpoint"} {
		if got := decode(t, "plain").States[state].Assign; got["asked"] != true || got["looks"] != 0.0 {
			t.Errorf("%s assigns %v: it has asked, and the looks after are counted anew", state, got)
		}
	}
}

func TestWhateverAWSSaysOfAFailureIsExplained(t *testing.T) {
	d := decode(t, "plain")
	job := func(reason string) string {
		b, err := json.Marshal(map[string]any{"TrainingJobName": "x", "TrainingJobStatus": "Failed", "FailureReason": reason, "Tags": strings.Repeat("t", 3000)})
		ok(t, err)
		return string(b)
	}
	cases := []struct {
		name, step, error, cause string
		wantError, wantWhy       string // parts of them
	}{
		{"a failed job", "Train", "States.TaskFailed", job("AlgorithmError: label must be 0 or 1, exit code: 1"), "AlgorithmError", "AlgorithmError: label must be 0 or 1, exit code: 1"},
		{"a reason with quotes, backslashes and lines", "Train", "States.TaskFailed", job("ClientError: \"a\\b\"\nnext line"), "ClientError", `ClientError: "a\b" next line`},
		{"a cause that was cut off after the reason", "Train", "States.TaskFailed", job("CapacityError: none left")[:200], "CapacityError", "CapacityError: none left"},
		{"a cause that was cut off in the reason", "Train", "States.TaskFailed", job("AlgorithmError: " + strings.Repeat("x", 900))[:300], "AlgorithmError", "AlgorithmError: xxx"},
		{"an empty reason", "Train", "States.TaskFailed", job(""), "States.TaskFailed", `"FailureReason":""`},
		{"a reason as long as SageMaker allows", "Train", "States.TaskFailed", job("InternalServerError: " + strings.Repeat("é", 1003)), "InternalServerError", "ééé"},
		{"a job that was stopped", "Train", "States.TaskFailed", `{"TrainingJobStatus":"Stopped","SecondaryStatus":"Stopped"}`, "Train.Stopped", "the training job was stopped"},
		{"a function's error", "Decide", "wrapError", `{"errorMessage":"reading \"x\": no","errorType":"wrapError"}`, "Function.Failed", `reading "x": no`},
		{"a text that looks like JSON", "Deploy", "X", "{", "X", "{"},
		{"no text", "Create model", "X", "", "X", ""},
		{"a denied call", "Publish signature", "S3.S3Exception", "AccessDenied: no", "S3.S3Exception", "AccessDenied"},
		{"a very long text", "Smoke test", "X", strings.Repeat("long ", 50_000), "X", "long long"},
		{"a text in other scripts", "Deploy", "X", "失敗しました ¿qué? 🙂", "X", "失敗しました"},
		{"a step that nobody has", "Elsewhere", "X", "y", "X", "y"},
	}
	var expressions []evaluation
	for _, c := range cases {
		expressions = append(expressions, evaluation{Expression: d.States["Explain"].Assign["failure"].(string), Variables: map[string]any{
			"failure": map[string]any{"step": c.step, "error": c.error, "cause": c.cause},
			"putBack": false, "outcome": "", "previousConfig": "", "undone": map[string]any{},
		}})
	}
	for i, e := range evaluate(t, expressions) {
		c := cases[i]
		t.Run(c.name, func(t *testing.T) {
			got, _ := e.Value.(map[string]any)
			for member, want := range map[string]string{"step": c.step, "error": c.wantError, "cause": c.wantWhy} {
				if said := fmt.Sprint(got[member]); e.Error != "" || !strings.Contains(said, want) || len([]rune(said)) > 2000 {
					t.Errorf("the %s is %.300s %s, want %q in it", member, said, e.Error, want)
				}
			}
		})
	}
}
