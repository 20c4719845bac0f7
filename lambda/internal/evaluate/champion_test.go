package evaluate

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/service"
	"sagemaker-datapipeline/lambda/signature"
)

func TestTheModelInServiceIsFoundAndComparedWhereThatHasAMeaning(t *testing.T) {
	changed := func(change func(*signature.Signature)) func(*world) {
		return func(w *world) {
			s := theSignature()
			s.Features = slices.Clone(s.Features)
			change(&s)
			w.sign(candidate, s)
		}
	}
	consent := func(s *pipeline.Spec) { s.Gate.SignatureChange = true }
	batch := func(s *pipeline.Spec) { s.Deploy = pipeline.Batch }
	record := func(model string) func(*world) {
		return func(w *world) {
			w.put(service.Key("fraud"), service.Service{History: []service.Entry{{Run: beforeRun, Job: model, Model: model, Kind: pipeline.Batch}}})
		}
	}
	served := &evaluation.Served{Model: champion, Config: champion, Run: beforeRun}
	for _, c := range []struct {
		name            string
		spec            func(*pipeline.Spec)
		change          func(*world)
		want            *evaluation.Served
		compare, known  bool
		reason, refused string
	}{
		{name: "the same signature", want: served, compare: true, reason: "has the same signature"},
		{name: "columns of another type in SQL Server", change: changed(func(s *signature.Signature) { s.Features[0].SQLType, s.Features[0].Nullable = "float", true }), want: served, compare: true, reason: "has the same signature"},
		{name: "a config of a workflow that was resumed", change: func(w *world) { w.endpoint.serve(champion+"-r2", champion) },
			want: &evaluation.Served{Model: champion, Config: champion + "-r2", Run: beforeRun}, compare: true, reason: "same signature"},
		{name: "a model of a second training attempt", change: func(w *world) {
			w.sign(champion+"-a2", theSignature())
			w.endpoint.serve(champion+"-a2", champion+"-a2")
		}, want: &evaluation.Served{Model: champion + "-a2", Config: champion + "-a2", Run: beforeRun}, compare: true, reason: "same signature"},
		{name: "an endpoint that is being updated still serves", change: func(w *world) { w.endpoint.status = types.EndpointStatusUpdating }, want: served, compare: true, reason: "same signature"},

		{name: "no endpoint", change: func(w *world) { w.endpoint.there = false }, reason: "there is no endpoint ml-dev-fraud yet"},
		{name: "an endpoint that is being made", change: func(w *world) { w.endpoint.status = types.EndpointStatusCreating }, reason: "is Creating, so there is no model in service"},
		{name: "an endpoint that failed", change: func(w *world) { w.endpoint.status = types.EndpointStatusFailed }, reason: "is Failed, so there is no model in service"},
		{name: "a model that was deleted while it serves", change: func(w *world) { w.endpoint.deleted = champion }, want: served, reason: "was deleted in SageMaker, so it can't score"},
		{name: "a config that was deleted", change: func(w *world) { w.endpoint.configs = nil }, want: &evaluation.Served{Config: champion}, reason: "was deleted, so its model can't be told"},
		{name: "a config that a person made", change: func(w *world) { w.endpoint.serve("by-hand", "m") }, want: &evaluation.Served{Config: "by-hand"}, reason: "the config by-hand, which is none of the pipeline's"},
		{name: "a model that a person made", change: func(w *world) { w.endpoint.serve(champion, "by-hand") }, want: &evaluation.Served{Model: "by-hand", Config: champion}, reason: "the model by-hand, which is none of the pipeline's"},
		{name: "two variants", change: func(w *world) { w.endpoint.serve(champion, champion, "other") }, want: &evaluation.Served{Config: champion}, reason: "has 2 variants"},
		{name: "the candidate itself", change: func(w *world) { w.endpoint.serve(candidate, candidate) }, want: &evaluation.Served{Model: candidate, Config: candidate, Run: thisRun}, reason: "is this one"},
		{name: "no signature of the champion", change: func(w *world) { w.remove(manifest.ModelPrefix("fraud") + champion + "/signature.json") }, want: served, reason: "can't be read, so it isn't compared: there is no s3://data/fraud/models/"},
		{name: "a signature of a later version", change: func(w *world) { w.sign(champion, signature.Signature{Version: 99}) }, want: served, reason: "has version 99"},
		{name: "a signature that is no JSON", change: func(w *world) { w.put(manifest.ModelPrefix("fraud")+champion+"/signature.json", []byte("{")) }, want: served, reason: "decoding"},

		{name: "a new feature", change: changed(func(s *signature.Signature) { s.Features = append(s.Features, signature.Feature{Name: "Age"}) }), want: served, reason: "has another signature", refused: "the signature changed: new features: Age; callers"},
		{name: "a feature that is gone", change: changed(func(s *signature.Signature) { s.Features = s.Features[:1] }), want: served, reason: "has another signature", refused: "features that are gone: Country"},
		{name: "another order", change: changed(func(s *signature.Signature) { slices.Reverse(s.Features) }), want: served, reason: "has another signature", refused: "the features are in another order"},
		{name: "other categories", change: changed(func(s *signature.Signature) {
			s.Features[1].Encoding = &signature.Encoding{Kind: signature.OneHot, Categories: []string{"DE", "CH"}}
		}), want: served, reason: "has another signature", refused: "features that are encoded in another way: Country"},
		{name: "a number that became a category", change: changed(func(s *signature.Signature) { s.Features[0].Encoding = &signature.Encoding{Kind: signature.Ordinal} }), want: served, reason: "has another signature", refused: "encoded in another way: Amount"},
		{name: "another task and label", change: changed(func(s *signature.Signature) { s.Task, s.Label = "regression", "Loss" }), want: served, reason: "has another signature", refused: `the task is regression and was binary; the label is "Loss" and was "IsFraud"; callers`},
		{name: "a change with consent", spec: consent, change: changed(func(s *signature.Signature) { s.Features = s.Features[:1] }), want: served, reason: "has another signature"},

		{name: "batches, the first model", spec: batch, reason: "no model was recorded"},
		{name: "batches, a model before", spec: batch, change: record(champion), want: &evaluation.Served{Model: champion, Run: beforeRun}, compare: true, reason: "same signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var spec []func(*pipeline.Spec)
			if c.spec != nil {
				spec = append(spec, c.spec)
			}
			w := newWorld(t, spec...)
			if c.change != nil {
				c.change(w)
			}
			got, err := w.Champion(t.Context(), w.event(evaluation.FindChampion))
			if err != nil {
				t.Fatal(err)
			}
			if (got.Champion == nil) != (c.want == nil) || c.want != nil && *got.Champion != *c.want {
				t.Errorf("the champion is %+v, want %+v", got.Champion, c.want)
			}
			if got.Compare != c.compare || got.Known != c.known || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("got %+v", got)
			}
			if (got.Refused == "") != (c.refused == "") || !strings.Contains(got.Refused, c.refused) {
				t.Errorf("refused is %q, want %q", got.Refused, c.refused)
			}
			if got.Holdout != "s3://data/fraud/runs/20260102t020000z/commit-b/test.manifest" || got.Content != "text/csv" {
				t.Errorf("the hold-out is %s (%s)", got.Holdout, got.Content)
			}
		})
	}
}

func TestAChampionIsKnownWhenItWasMeasuredOnTheSameRows(t *testing.T) {
	for _, c := range []struct {
		name   string
		spec   func(*pipeline.Spec)
		change func(*world, *evaluation.Report)
		known  bool
	}{
		{name: "the same files and the same metric", known: true},
		{name: "other files", change: func(_ *world, r *evaluation.Report) { r.Holdout.Manifest.SHA256 = sha([]byte("other")) }},
		{name: "a report of another version", change: func(_ *world, r *evaluation.Report) { r.Version = 99 }},
		{name: "a report on another task", change: func(_ *world, r *evaluation.Report) { r.Task = pipeline.Regression }},
		{name: "another metric then, and its scores are gone", change: func(_ *world, r *evaluation.Report) { delete(r.Metrics, evaluation.AUC) }},
		{name: "another metric then, and its scores are there", change: func(w *world, r *evaluation.Report) {
			delete(r.Metrics, evaluation.AUC)
			w.score(champion, champion, 1)
		}, known: true},
		{name: "F1 at the same threshold", spec: func(s *pipeline.Spec) { s.Gate.Metric = "f1" }, known: true},
		{name: "F1 at another threshold", spec: func(s *pipeline.Spec) { s.Gate.Metric, s.Gate.Threshold = "f1", .3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var spec []func(*pipeline.Spec)
			if c.spec != nil {
				spec = append(spec, c.spec)
			}
			w := newWorld(t, spec...)
			list, err := w.Bucket.Read(t.Context(), manifest.ChannelManifestKey("fraud", thisRun, "b", "test"))
			if err != nil {
				t.Fatal(err)
			}
			r := evaluation.Report{
				Version: evaluation.Version, Job: champion, Task: pipeline.Binary, Gate: pipeline.Gate{Threshold: .5},
				Holdout: evaluation.Holdout{Manifest: manifest.Object{SHA256: sha(list.Body)}, Scores: evaluation.ScoresPrefix("fraud", champion, champion)},
				Verdict: evaluation.Verdict{Metrics: map[evaluation.Metric]evaluation.Estimate{evaluation.AUC: {Value: .9}, evaluation.F1: {Value: .8}}},
			}
			if c.change != nil {
				c.change(w, &r)
			}
			w.put(evaluation.Key("fraud", champion), r)
			got, err := w.Champion(t.Context(), w.event(evaluation.FindChampion))
			if err != nil || !got.Compare || got.Known != c.known {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
}

func TestWhatStandsInTheWayOfAnEvaluationIsAnError(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		spec          func(*pipeline.Spec)
		change        func(*world)
		event         func(*evaluation.Event)
	}{
		{name: "no gate", spec: func(s *pipeline.Spec) { s.Gate = nil }, problem: "ml-dev-fraud has no gate"},
		{name: "a metric of another task", spec: func(s *pipeline.Spec) { s.Gate.Metric = "rmse" }, problem: `metric "rmse" is none of a binary task's`},
		{name: "a hold-out that the run doesn't have", spec: func(s *pipeline.Spec) { s.Gate.Holdout = "validation" }, problem: `no rows in the channel "validation"`},
		{name: "SageMaker out of reach", change: func(w *world) { w.endpoint.problem = errDown }, problem: "looking at the endpoint ml-dev-fraud: the network is down"},
		{name: "no manifest", event: func(e *evaluation.Event) { e.Manifest = "elsewhere" }, problem: "reading the run's manifest"},
		{name: "the manifest of another run", event: func(e *evaluation.Event) { e.Run = beforeRun }, problem: "it is of run 20260102t020000z of fraud"},
		{name: "a run that isn't committed", event: func(e *evaluation.Event) { e.Run, e.Manifest = beforeRun, "" }, problem: "run 20260101t020000z is not committed"},
		{name: "a list of files that isn't the committed one", change: func(w *world) { w.names = append(w.names, "c"); w.relist() }, problem: "names 3 files, and the run's manifest says 2"},
		{name: "a list of files that is none", change: func(w *world) { w.list([]byte("[]")) }, problem: "it is empty"},
		{name: "a list of files elsewhere", change: func(w *world) { w.list([]byte(`[{"prefix":"s3://other/p/"},"a","b"]`)) }, problem: "not in the bucket data"},
		{name: "no signature of the candidate", change: func(w *world) { w.remove(manifest.ModelPrefix("fraud") + candidate + "/signature.json") }, problem: "reading the candidate's signature: there is no"},
		{name: "a record of what is in service that is none", spec: func(s *pipeline.Spec) { s.Deploy = pipeline.Batch }, change: func(w *world) { w.put(service.Key("fraud"), []byte("{")) }, problem: "decoding what is in service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.spec != nil {
				c.spec(&w.Spec)
			}
			if c.change != nil {
				c.change(w)
			}
			event := w.event(evaluation.FindChampion)
			if c.event != nil {
				c.event(&event)
			}
			_, err := w.Champion(t.Context(), event)
			contains(t, err, c.problem)
		})
	}
}

// Without the manifest's key the run is found below the head.
func TestARunIsFoundByItsName(t *testing.T) {
	w := newWorld(t)
	event := w.event(evaluation.FindChampion)
	event.Manifest = ""
	if got, err := w.Champion(t.Context(), event); err != nil || !got.Compare {
		t.Fatalf("got %+v, %v", got, err)
	}
}
