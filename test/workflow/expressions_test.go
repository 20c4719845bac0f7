package workflow

import (
	"encoding/json"
	"fmt"
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
      const value = await jsonata(e.expression.slice(2, -2)).evaluate(undefined, {...e.variables, states: e.states});
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
	}
	done := evaluate(t, expressions)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			problems, run, rows := done[3*i], done[3*i+1], done[3*i+2]
			if said := problems.Error + run.Error + rows.Error; said != "" {
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
	d := decode(t, "plain")
	// at is an expression of a state's Assign, whose members are separated by a dot.
	at := func(state, path string) string {
		var v any = d.States[state].Assign
		for member := range strings.SplitSeq(path, ".") {
			v = v.(map[string]any)[member]
		}
		return v.(string)
	}
	result := func(r map[string]any) map[string]any { return map[string]any{"result": r} }
	metric := func(name, value any) map[string]any { return map[string]any{"MetricName": name, "Value": value} }
	unasked := map[string]any{"asked": false, "previousConfig": "old"}
	cases := []struct {
		name, expression string
		states           map[string]any
		variables        map[string]any
		want             any
	}{
		{"two metrics", at("Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{metric("train:auc", 0.9), metric("validation:auc", 0.8)}}), nil,
			map[string]any{"train:auc": 0.9, "validation:auc": 0.8}},
		{"one metric", at("Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{metric("train:auc", 0.9)}}), nil, map[string]any{"train:auc": 0.9}},
		{"no metrics", at("Train", "metrics"), result(map[string]any{}), nil, map[string]any{}},
		{"metrics that are null", at("Train", "metrics"), result(map[string]any{"FinalMetricDataList": nil}), nil, map[string]any{}},
		{"an empty list of metrics", at("Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{}}), nil, map[string]any{}},
		{"a metric as text, and one without a name", at("Train", "metrics"), result(map[string]any{"FinalMetricDataList": []any{metric("a", "0.9"), metric(nil, 1), map[string]any{"MetricName": "b"}}}), nil,
			map[string]any{"a": "0.9"}},
		{"no artifact", at("Train", "artifact"), result(map[string]any{"ModelArtifacts": nil}), nil, ""},

		{"an endpoint without a config keeps the one before", at("Look at endpoint", "previousConfig"), result(map[string]any{"EndpointStatus": "Failed"}), unasked, "old"},
		{"an endpoint on a config", at("Look at endpoint", "previousConfig"), result(map[string]any{"EndpointConfigName": "new"}), unasked, "new"},
		{"an endpoint that was asked keeps the one before", at("Look at endpoint", "previousConfig"), result(map[string]any{"EndpointConfigName": "new"}), map[string]any{"asked": true, "previousConfig": "old"}, "old"},
		{"a pending deployment", at("Look at endpoint", "endpoint.pending"), result(map[string]any{"PendingDeploymentSummary": map[string]any{"EndpointConfigName": "x"}}), nil, true},
		{"no pending deployment", at("Look at endpoint", "endpoint.pending"), result(map[string]any{}), nil, false},
		{"a pending deployment that is null", at("Look at endpoint", "endpoint.pending"), result(map[string]any{"PendingDeploymentSummary": nil}), nil, false},
		{"no reason", at("Look at endpoint", "endpoint.reason"), result(map[string]any{"FailureReason": nil}), nil, ""},

		{"an answer with a line end", at("Smoke test", "answer"), result(map[string]any{"Body": "0.5\n"}), nil, "0.5"},
		{"an answer that is a number", at("Smoke test", "answer"), result(map[string]any{"Body": 0.5}), nil, "0.5"},
		{"no answer", at("Smoke test", "answer"), result(map[string]any{}), nil, ""},

		{"the same model", at("Describe model", "same"), result(map[string]any{"PrimaryContainer": map[string]any{"ModelDataUrl": "s3://a"}}), map[string]any{"artifact": "s3://a"}, true},
		{"another model", at("Describe model", "same"), result(map[string]any{"PrimaryContainer": map[string]any{"ModelDataUrl": "s3://b"}}), map[string]any{"artifact": "s3://a"}, false},
		{"a model of several containers", at("Describe model", "same"), result(map[string]any{"Containers": []any{}}), map[string]any{"artifact": "s3://a"}, false},
		{"a config without variants", at("Describe endpoint config", "same"), result(map[string]any{"ProductionVariants": []any{}}), map[string]any{"job": "j"}, false},

		{"a key that has to be escaped", d.States["Publish signature"].Arguments["CopySource"].(string),
			map[string]any{"context": map[string]any{"Execution": map[string]any{"Input": map[string]any{"signature": "p/runs/a b+ü?&.json"}}}}, nil,
			bucketName + "/p/runs/a%20b%2B%C3%BC%3F%26.json"},
		{"the first attempt", d.States["Train"].Arguments["TrainingJobName"].(string),
			map[string]any{"context": map[string]any{"State": map[string]any{"RetryCount": 0}}}, map[string]any{"run": first}, "ml-test-plain-" + first},
		{"a later attempt", d.States["Train"].Arguments["TrainingJobName"].(string),
			map[string]any{"context": map[string]any{"State": map[string]any{"RetryCount": 2}}}, map[string]any{"run": first}, "ml-test-plain-" + first + "-a3"},
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
		wait, smoke, create, update, remove, gaveUp = "Wait for endpoint", "Smoke test", "Create endpoint", "Update endpoint", "Delete failed endpoint", "Explain"
		superseded                                  = "Tell superseded"
	)
	type look struct {
		status, config string
		pending        bool
		looks          int
	}
	cases := []struct {
		look          look
		before, after string // where it goes before and after the run asked for "new"; "old" served before
		error         string // of a failure after
	}{
		{look{status: "Absent"}, create, gaveUp, "Deploy.EndpointGone"},
		{look{status: "InService", config: "new"}, smoke, smoke, ""},
		{look{status: "InService", config: "new", looks: 9999}, smoke, smoke, ""},
		{look{status: "InService", config: "new", pending: true}, wait, wait, ""},
		{look{status: "InService", config: "old"}, update, gaveUp, "Deploy.RolledBack"},
		{look{status: "InService", config: "old", pending: true}, wait, wait, ""},
		{look{status: "InService", config: "third"}, update, gaveUp, "Deploy.Replaced"},
		{look{status: "InService", config: "ml-test-plain-20260101t020001z"}, superseded, superseded, ""},
		{look{status: "InService", config: "ml-test-plain-20270101t000000z-a12"}, superseded, superseded, ""},
		{look{status: "InService", config: "ml-test-plain-20270101t000000z", pending: true}, wait, wait, ""},
		{look{status: "InService", config: "ml-test-plain-" + first + "-a2"}, update, gaveUp, "Deploy.Replaced"},
		{look{status: "InService", config: "ml-test-plain-20251231t020000z"}, update, gaveUp, "Deploy.Replaced"},
		{look{status: "InService", config: "ml-test-plainer-20270101t000000z"}, update, gaveUp, "Deploy.Replaced"},
		{look{status: "InService", config: "ml-test-plain-20270101t000000z-by-hand"}, update, gaveUp, "Deploy.Replaced"},
		{look{status: "InService"}, update, gaveUp, "Deploy.Replaced"},
		{look{status: "Creating", config: "old"}, wait, wait, ""},
		{look{status: "Creating", config: "new"}, wait, wait, ""},
		{look{status: "Updating", config: "old", pending: true}, wait, wait, ""},
		{look{status: "SystemUpdating", config: "old"}, wait, wait, ""},
		{look{status: "RollingBack", config: "old"}, wait, wait, ""},
		{look{status: "Deleting", config: "old"}, wait, wait, ""},
		{look{status: "Throttled"}, wait, wait, ""},
		{look{status: "Failed", config: "old"}, remove, gaveUp, "Deploy.EndpointFailed"},
		{look{status: "Failed", config: "new"}, remove, gaveUp, "Deploy.EndpointFailed"},
		{look{status: "OutOfService", config: "old"}, gaveUp, gaveUp, ""},
		{look{status: "UpdateRollbackFailed", config: "new"}, gaveUp, gaveUp, ""},
		{look{status: "Unreadable"}, gaveUp, gaveUp, ""},
		{look{status: "SomethingNew", config: "new"}, gaveUp, gaveUp, ""},
		{look{status: "Updating", config: "old", looks: 239}, wait, wait, ""},
		{look{status: "Updating", config: "old", looks: 240}, gaveUp, gaveUp, "Deploy.TimedOut"},
		{look{status: "InService", config: "new", pending: true, looks: 240}, gaveUp, gaveUp, "Deploy.TimedOut"},
		{look{status: "InService", config: "old", looks: 240}, update, gaveUp, "Deploy.RolledBack"},
	}
	var expressions []evaluation
	for _, c := range cases {
		for _, asked := range []bool{false, true} {
			for _, way := range choice.Choices {
				expressions = append(expressions, evaluation{Expression: way.Condition, Variables: map[string]any{
					"run": first, "job": "new", "previousConfig": "old", "asked": asked, "looks": c.look.looks,
					"endpoint": map[string]any{"status": c.look.status, "config": c.look.config, "pending": c.look.pending, "reason": ""},
				}})
			}
		}
	}
	done := evaluate(t, expressions)
	for _, c := range cases {
		for _, asked := range []bool{false, true} {
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
			want, name := c.before, ""
			if asked {
				want, name = c.after, c.error
			}
			if next != want {
				t.Errorf("%+v, asked %v: %s, want %s", c.look, asked, next, want)
			}
			f, _ := failure["failure"].(map[string]any)
			if name != "" && f["error"] != name {
				t.Errorf("%+v, asked %v: the failure is %v, want %s", c.look, asked, f["error"], name)
			}
		}
	}
	for _, state := range []string{create, update} {
		if got := decode(t, "plain").States[state].Assign; got["asked"] != true || got["looks"] != 0.0 {
			t.Errorf("%s assigns %v: it has asked, and the looks after are counted anew", state, got)
		}
	}
}

// Step Functions sends it as JSON, so in quotes: nothing in it may need escaping, and blanks keep the quotes off the numbers.
func TestTheSmokeTestsRowIsLibsvmBetweenBlanks(t *testing.T) {
	row := decode(t, "plain").States["Smoke test"].Arguments["Body"].(string)
	cases := []struct{ name, body, want string }{
		{"two features", "0.9,-1e-05", " 0:0.9 1:-1e-05 "},
		{"a single feature", "7", " 0:7 "},
		{"missing features keep their columns", ",1,", " 0:nan 1:1 2:nan "},
	}
	var expressions []evaluation
	for _, c := range cases {
		input := map[string]any{"smoke": map[string]any{"contentType": "text/csv", "body": c.body}}
		expressions = append(expressions, evaluation{Expression: row, States: map[string]any{
			"context": map[string]any{"Execution": map[string]any{"Input": input}},
		}})
	}
	done := evaluate(t, expressions)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if done[i].Error != "" || done[i].Value != c.want {
				t.Errorf("the row is %q (%s), want %q", done[i].Value, done[i].Error, c.want)
			}
		})
	}
}

func TestOnlyOneFiniteNumberIsAnAnswer(t *testing.T) {
	d := decode(t, "plain")
	isNumber := d.States["A finite number?"].Choices[0].Condition
	cases := map[string]bool{
		"0": true, "1": true, "-1": true, "0.8752604126930237": true, "-0.5": true, "1e5": true, "1.5E-7": true, "1e+99": true,
		strings.Repeat("9", 101): true,

		"": false, " ": false, "nan": false, "NaN": false, "inf": false, "-Infinity": false, "null": false, "true": false, "1e999": false,
		"0x10": false, "05": false, "1.": false, ".5": false, "+1": false, "--1": false, "1,2": false, "1 2": false, "1\n2": false, "1_000": false,
		"[0.5]": false, `{"score":0.5}`: false, "0.5 ": false, strings.Repeat("9", 400): false, "１": false,
	}
	var answers []string
	var expressions []evaluation
	for answer := range cases {
		answers = append(answers, answer)
		variables := map[string]any{"answer": answer}
		expressions = append(expressions,
			evaluation{Expression: isNumber, Variables: variables},
			evaluation{Expression: "{% $number($answer) %}", Variables: variables})
	}
	done := evaluate(t, expressions)
	for i, answer := range answers {
		accepted, read := done[2*i], done[2*i+1]
		if accepted.Error != "" || accepted.Value != cases[answer] {
			t.Errorf("%q is accepted: %v %s, want %v", answer, accepted.Value, accepted.Error, cases[answer])
		}
		if cases[answer] && read.Error != "" {
			t.Errorf("%q is accepted, and can't be read: %s", answer, read.Error)
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
		advice                   string
	}{
		{"a failed job", "Train", "States.TaskFailed", job("AlgorithmError: label must be 0 or 1, exit code: 1"), "AlgorithmError", "AlgorithmError: label must be 0 or 1, exit code: 1", "Correct the query"},
		{"a reason with quotes, backslashes and lines", "Train", "States.TaskFailed", job("ClientError: \"a\\b\"\nnext line"), "ClientError", `ClientError: "a\b" next line`, "can't read its data"},
		{"a cause that was cut off after the reason", "Train", "States.TaskFailed", job("CapacityError: none left")[:200], "CapacityError", "CapacityError: none left", "no free ml.m5.large"},
		{"a cause that was cut off in the reason", "Train", "States.TaskFailed", job("AlgorithmError: " + strings.Repeat("x", 900))[:300], "AlgorithmError", "AlgorithmError: xxx", "Correct the query"},
		{"an empty reason", "Train", "States.TaskFailed", job(""), "States.TaskFailed", `"FailureReason":""`, "Nothing was deployed"},
		{"a reason as long as SageMaker allows", "Train", "States.TaskFailed", job("InternalServerError: " + strings.Repeat("é", 1003)), "InternalServerError", "ééé", "Nothing was deployed"},
		{"a job that was stopped", "Train", "States.TaskFailed", `{"TrainingJobStatus":"Stopped","SecondaryStatus":"Stopped"}`, "Train.Stopped", "the training job was stopped", "A person stopped the job"},
		{"a text that looks like JSON", "Deploy", "X", "{", "X", "{", "Correct what the text names"},
		{"no text", "Create model", "X", "", "X", "", "SageMaker refuses to register it"},
		{"a denied call", "Publish signature", "S3.S3Exception", "AccessDenied: no", "S3.S3Exception", "AccessDenied", "deploy the stack again"},
		{"a very long text", "Smoke test", "X", strings.Repeat("long ", 50_000), "X", "long long", "To serve the model before it again"},
		{"a text in other scripts", "Deploy", "X", "失敗しました ¿qué? 🙂", "X", "失敗しました", "Correct what the text names"},
		{"a step that nobody has", "Elsewhere", "X", "y", "X", "y", "Correct what the text names"},
	}
	var expressions []evaluation
	for _, c := range cases {
		variables := map[string]any{"failure": map[string]any{"step": c.step, "error": c.error, "cause": c.cause}}
		for _, name := range []string{"why", "error"} {
			expressions = append(expressions, evaluation{Expression: d.States["Explain"].Assign[name].(string), Variables: variables})
		}
	}
	explained := evaluate(t, expressions)
	expressions = nil
	for i, c := range cases {
		expressions = append(expressions, evaluation{Expression: d.States["Advise"].Assign["advice"].(string), Variables: map[string]any{
			"failure": map[string]any{"step": c.step}, "why": explained[2*i].Value, "error": explained[2*i+1].Value,
		}})
	}
	advised := evaluate(t, expressions)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for what, e := range map[string]evaluation{"why": explained[2*i], "error": explained[2*i+1], "advice": advised[i]} {
				want := map[string]string{"why": c.wantWhy, "error": c.wantError, "advice": c.advice}[what]
				if got := fmt.Sprint(e.Value); e.Error != "" || !strings.Contains(got, want) || len([]rune(got)) > 2000 {
					t.Errorf("the %s is %.300s %s, want %q in it", what, got, e.Error, want)
				}
			}
		})
	}
}
