package evaluate

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/signature"
)

func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		name string
		gate func(*pipeline.Gate)
		// The models' scores come from what they know; 0 is nothing.
		candidate, champion float64
		change              func(*world)
		event               func(*evaluation.Event)
		want                evaluation.Decision
		reasons             []string
	}{
		{name: "the first model", candidate: 1, event: noChampion, want: evaluation.First,
			reasons: []string{"auc is 0.", "(95 % interval 0.", "on 100 hold-out rows", "nothing in service can be compared with it"}},
		{name: "the first model below the threshold", gate: atLeast(.99), candidate: 0, event: noChampion, want: evaluation.NotBetter, reasons: []string{"below the 0.99 that the gate asks for"}},
		{name: "the first model above the threshold", gate: atLeast(.6), candidate: 2, event: noChampion, want: evaluation.First, reasons: []string{"the gate asks for at least 0.6;"}},
		{name: "better than the champion", candidate: 3, champion: .5, want: evaluation.Better,
			reasons: []string{"the model in service (run 20260101t020000z) has 0.", "the candidate is better by 0.", "more than chance explains"}},
		{name: "as good as the champion", candidate: 1, champion: 1, want: evaluation.Better, reasons: []string{"the candidate is as good"}},
		{name: "worse by more than the gate allows", candidate: .5, champion: 3, want: evaluation.NotBetter,
			reasons: []string{"the candidate is worse by 0.", "more than chance explains; the gate allows it to be worse by 2 %, which is 0.9"}},
		{name: "worse within what the gate allows", gate: func(g *pipeline.Gate) { g.Worse = .9 }, candidate: .5, champion: 3, want: evaluation.Better, reasons: []string{"within the 90 % that the gate allows"}},
		{name: "better than the champion and below the threshold", gate: atLeast(.999), candidate: 3, champion: .5, want: evaluation.NotBetter, reasons: []string{"below the 0.999", "better by"}},
		{name: "a lower log loss is better", gate: func(g *pipeline.Gate) { g.Metric = "logloss" }, candidate: 2, champion: .2, want: evaluation.Better, reasons: []string{"logloss is 0.", "the candidate is better by 0."}},
		{name: "a higher log loss is worse", gate: func(g *pipeline.Gate) { g.Metric = "logloss" }, candidate: .2, champion: 2, want: evaluation.NotBetter, reasons: []string{"the candidate is worse by 0."}},
		{name: "a log loss above the threshold", gate: func(g *pipeline.Gate) { g.Metric, g.AtMost = "logloss", new(.01) }, candidate: 1, event: noChampion, want: evaluation.NotBetter, reasons: []string{"above the 0.01 that the gate allows"}},
		{name: "a log loss below the threshold", gate: func(g *pipeline.Gate) { g.Metric, g.AtMost = "logloss", new(2.0) }, candidate: 1, event: noChampion, want: evaluation.First, reasons: []string{"the gate allows at most 2;"}},
		{name: "F1 at its threshold", gate: func(g *pipeline.Gate) { g.Metric = "f1" }, candidate: 3, champion: .1, want: evaluation.Better, reasons: []string{"f1 is 0."}},
		{name: "another signature, with consent", gate: func(g *pipeline.Gate) { g.SignatureChange = true }, candidate: 1, change: anotherSignature, want: evaluation.Better,
			reasons: []string{"has another signature, so it isn't compared: new features: Age"}},
		{name: "another signature, without consent", candidate: 1, change: anotherSignature, want: evaluation.NotBetter, reasons: []string{"the signature changed: new features: Age", "gate.signatureChange"}},
		{name: "a champion that a person made", candidate: 1, event: func(e *evaluation.Event) { e.Champion = "by-hand" }, want: evaluation.Better, reasons: []string{"by-hand, is none of the pipeline's"}},
		{name: "a model that is in service already", candidate: 1, event: func(e *evaluation.Event) { e.Champion = candidate }, want: evaluation.Better, reasons: []string{"is this one"}},
		{name: "a champion whose answers are no probabilities", gate: func(g *pipeline.Gate) { g.Metric = "logloss" }, candidate: 1, change: func(w *world) {
			for _, name := range w.names {
				w.output(candidate, champion, name, w.lines(name, "7"))
			}
		}, want: evaluation.Better, reasons: []string{"logloss has no value of the model in service: a score is below 0 or above 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.gate != nil {
				c.gate(w.Spec.Gate)
			}
			w.score(candidate, candidate, c.candidate)
			if c.champion != 0 {
				w.score(candidate, champion, c.champion)
			}
			if c.change != nil {
				c.change(w)
			}
			event := w.event(evaluation.Decide)
			if c.event != nil {
				c.event(&event)
			}
			got, err := w.Decide(t.Context(), event)
			if err != nil {
				t.Fatal(err)
			}
			w.quiet(nil)
			t.Log(got.Reason)
			if got.Decision != c.want {
				t.Errorf("it is %q", got.Decision)
			}
			for _, part := range c.reasons {
				if !strings.Contains(got.Reason, part) {
					t.Errorf("the reason lacks %q", part)
				}
			}
			compared := c.champion != 0
			if (got.ChampionValue != nil) != compared || (got.ChampionMetrics != nil) != compared {
				t.Errorf("compared: %v", got)
			}
			r := w.report(candidate)
			if !reflect.DeepEqual(r.Verdict, got) || r.Holdout.Rows != 100 || r.Resampling.Resamples != 1000 || r.Resampling.Seed == 0 || (r.Compared != nil) != compared {
				t.Errorf("the report is %+v", r)
			}
			if compared && (!r.Compared.Paired || r.Compared.Run != beforeRun || len(r.Compared.Differences) == 0) {
				t.Errorf("compared is %+v", r.Compared)
			}
		})
	}
}

func noChampion(e *evaluation.Event) { e.Champion = "" }

func atLeast(x float64) func(*pipeline.Gate) {
	return func(g *pipeline.Gate) { g.AtLeast = new(x) }
}

func anotherSignature(w *world) {
	s := theSignature()
	s.Features = append(s.Features, signature.Feature{Name: "Age"})
	w.sign(candidate, s)
}

// lines are the labels of a file with the same score for each.
func (w *world) lines(name, score string) []string {
	var all []string
	for _, row := range w.rows[name] {
		all = append(all, row[:1]+","+score)
	}
	return all
}

func TestRegressionsAreJudgedByTheirErrors(t *testing.T) {
	w := newWorld(t, func(s *pipeline.Spec) { s.Dataset.Task, s.Gate.Metric, s.Gate.Worse = pipeline.Regression, "mae", 0 })
	for _, name := range w.names {
		for i, row := range w.rows[name] {
			w.rows[name][i] = fmt.Sprintf("%d%s", i, row[1:]) // the label is the line's number
		}
		lines := func(off float64) []string {
			var all []string
			for i := range w.rows[name] {
				all = append(all, fmt.Sprintf("%d,%v", i, float64(i)+off))
			}
			return all
		}
		w.output(candidate, candidate, name, lines(2))
		w.output(candidate, champion, name, lines(-3))
	}
	got, err := w.Decide(t.Context(), w.event(evaluation.Decide))
	if err != nil || got.Decision != evaluation.Better || got.Value != 2 || *got.ChampionValue != 3 || got.Metrics[evaluation.RMSE].Value != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	const reason = "mae is 2.000 (95 % interval 2.000 to 2.000) on 100 hold-out rows; the model in service (run 20260101t020000z) has 3.000 (95 % interval 3.000 to 3.000), " +
		"and the candidate is better by 1.000 (95 % interval 1.000 to 1.000), more than chance explains"
	if got.Reason != reason {
		t.Fatalf("got  %s\nwant %s", got.Reason, reason)
	}
}

func TestAnEvaluationIsRepeatable(t *testing.T) {
	w := newWorld(t)
	w.score(candidate, candidate, 1)
	w.score(candidate, champion, .9)
	first, err := w.Decide(t.Context(), w.event(evaluation.Decide))
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Decide(t.Context(), w.event(evaluation.Decide))
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Fatalf("got %+v, and then %+v, %v", first, again, err)
	}
}

// The scores may lie below as many of the input's folders as the transform keeps.
func TestScoresAreFoundBelowAnyFolders(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(name string) string
	}{
		{"the file's name", func(name string) string { return name[strings.LastIndex(name, "/")+1:] }},
		{"the channel's folder", func(name string) string { return name[strings.Index(name, "/")+1:] }},
		{"what follows the ManifestFile's prefix", func(name string) string { return name }},
		{"the whole key", func(name string) string { return prefix + name }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			for i, name := range w.names {
				lines := w.lines(name, fmt.Sprintf("0.%d", i+1))
				w.put(evaluation.ScoresPrefix("fraud", candidate, candidate)+c.at(name)+".out", []byte(strings.Join(lines, "\n")))
			}
			if _, err := w.Decide(t.Context(), evaluation.Event{Run: thisRun, Job: candidate, Model: candidate}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAPartOfAHoldOutIsNoHoldOut(t *testing.T) {
	out := func(w *world, model string, place int) string {
		return evaluation.ScoresPrefix("fraud", candidate, model) + w.names[place] + ".out"
	}
	with := func(model string, place int, change func([]string) []string) func(*world) {
		return func(w *world) {
			w.output(candidate, model, w.names[place], change(w.lines(w.names[place], "0.5")))
		}
	}
	line3 := func(text string) func([]string) []string {
		return func(lines []string) []string { lines[2] = text; return lines }
	}
	for _, c := range []struct {
		name, problem string
		change        func(*world)
	}{
		{"no scores of the candidate", "reading the candidate's scores: there are no scores below s3://data/fraud/scores/" + candidate + "/" + candidate + "/",
			func(w *world) { w.remove(out(w, candidate, 0)); w.remove(out(w, candidate, 1)) }},
		{"no scores of one file", "the hold-out's file s3://data/fraud/runs/20260102t020000z/test/b-00000.csv has no scores below", func(w *world) { w.remove(out(w, candidate, 1)) }},
		{"a short file of this run", "b-00000.csv.out has the scores of 59 rows, and the hold-out's file s3://data/fraud/runs/20260102t020000z/test/b-00000.csv has 60",
			with(candidate, 1, func(lines []string) []string { return lines[1:] })},
		{"a short file of a run before", "a-00000.csv.out has the scores of 39 rows, and the hold-out's file s3://data/fraud/runs/20260101t020000z/test/a-00000.csv has 40: a model isn't judged by a part",
			with(candidate, 0, func(lines []string) []string { return lines[1:] })},
		{"an empty file", "a-00000.csv.out has the scores of 0 rows", with(candidate, 0, func([]string) []string { return nil })},
		{"a row too many", "more rows were scored than the 100 that the hold-out has", with(candidate, 0, func(lines []string) []string { return append(lines, lines[0]) })},
		{"no scores of the champion", "reading the scores of the model in service: there are no scores", func(w *world) { w.remove(out(w, champion, 0)); w.remove(out(w, champion, 1)) }},
		{"scores of the champion in part", "reading the scores of the model in service: the hold-out's file", func(w *world) { w.remove(out(w, champion, 0)) }},
		{"other rows", "a-00000.csv.out, line 3: it isn't the row that the other model was asked for: the labels differ", func(w *world) {
			lines := w.lines(w.names[0], "0.5")
			lines[2] = map[string]string{"0": "1", "1": "0"}[lines[2][:1]] + ",0.5"
			w.output(candidate, champion, w.names[0], lines)
		}},
		{"NaN", "a-00000.csv.out, line 3: the score is NaN", with(candidate, 0, line3("1,nan"))},
		{"infinity", "a-00000.csv.out, line 3: the score is infinite", with(candidate, 0, line3("1,-inf"))},
		{"a number beyond float64", "line 3: the score is infinite, or too large", with(candidate, 0, line3("1,1e999"))},
		{"NaN of the champion", "reading the scores of the model in service: s3://data/fraud/scores/", with(champion, 0, line3("1,NaN"))},
		{"a label that is no class", "line 3: the label is neither 0 nor 1", with(candidate, 0, line3("0.5,0.5"))},
		{"a label that is no number", "line 3: the label is no number", with(candidate, 0, line3("secret,0.5"))},
		{"a score that is no number", "line 3: the score is no number", with(candidate, 0, line3("1,[secret]"))},
		{"the features too", "line 3: it has 4 fields, and label and score are due", with(candidate, 0, line3("1,secret,3,0.5"))},
		{"the score alone", "line 3: it has 1 fields", with(candidate, 0, line3("0.5"))},
		{"one class", "the hold-out has only one class: each of its 100 labels is 1, so nothing on it tells", func(w *world) {
			for _, name := range w.names {
				for i, row := range w.rows[name] {
					w.rows[name][i] = "1" + row[1:]
				}
				w.output(candidate, candidate, name, w.lines(name, "0.5"))
				w.output(candidate, champion, name, w.lines(name, "0.5"))
			}
		}},
		{"a metric without a value", "the gate's metric logloss has no value on s3://data/", func(w *world) {
			w.Spec.Gate.Metric = "logloss"
			w.output(candidate, candidate, w.names[0], w.lines(w.names[0], "-1"))
		}},
		{"a manifest that counts more rows than its files have", "the hold-out's files have fewer rows than the 101", func(w *world) { w.manifest(101) }},
		{"more rows than are compared", "more than the 10000000 that are compared", func(w *world) { w.manifest(20_000_000) }},
		{"two files that were written over each other", "are those of fraud/runs/20260101t020000z/test/x.csv and of fraud/runs/20260102t020000z/test/x.csv at once", func(w *world) {
			w.names = []string{string(beforeRun) + "/test/x.csv", string(thisRun) + "/test/x.csv"}
			w.relist()
			w.put(evaluation.ScoresPrefix("fraud", candidate, candidate)+"x.csv.out", []byte("1,1\n"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.score(candidate, candidate, 1)
			w.score(candidate, champion, 1)
			c.change(w)
			_, err := w.Decide(t.Context(), w.event(evaluation.Decide))
			contains(t, err, c.problem)
			w.quiet(err)
			if _, found, _ := w.Evaluator.report(t.Context(), candidate); found {
				t.Error("there is a report")
			}
		})
	}
}

// A champion that was measured on these rows before isn't scored again: its scores are paired, and when they are gone its value counts.
func TestAKnownChampionNeedsNoScoring(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		paired bool
		reason string
	}{
		{"its scores are there", func(*world) {}, true, "has 0."},
		{"its scores are gone", func(w *world) {
			for _, name := range w.names {
				w.remove(evaluation.ScoresPrefix("fraud", champion, champion) + name + ".out")
			}
		}, false, "on the same rows when it was evaluated, and the candidate is worse by 0."},
		{"its scores are gone in part", func(w *world) { w.remove(evaluation.ScoresPrefix("fraud", champion, champion) + w.names[0] + ".out") }, false, "on the same rows when"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.score(champion, champion, 3)
			if _, err := w.Decide(t.Context(), evaluation.Event{Run: thisRun, Job: champion, Model: champion}); err != nil {
				t.Fatal(err)
			}
			before := w.report(champion)
			c.change(w)
			w.score(candidate, candidate, .5)
			found, err := w.Champion(t.Context(), w.event(evaluation.FindChampion))
			if err != nil || !found.Known {
				t.Fatalf("got %+v, %v", found, err)
			}
			got, err := w.Decide(t.Context(), w.event(evaluation.Decide))
			if err != nil {
				t.Fatal(err)
			}
			r := w.report(candidate)
			if got.Decision != evaluation.NotBetter || *got.ChampionValue != before.Value || !r.Compared.Known || r.Compared.Paired != c.paired || !strings.Contains(got.Reason, c.reason) {
				t.Fatalf("got %+v", got)
			}
			if (len(r.Compared.Differences) > 0) != c.paired || strings.Contains(got.Reason, "chance") != c.paired {
				t.Fatalf("a difference is known only of pairs: %+v", r)
			}
		})
	}
}

func TestHowMuchWorseACandidateMayBe(t *testing.T) {
	for _, c := range []struct {
		metric                            evaluation.Metric
		champion, worse, allowed, refused float64
	}{
		{evaluation.AUC, .9, .02, .882, .8819},
		{evaluation.AUC, .9, 0, .9, .8999999},
		{evaluation.F1, 0, .02, 0, -1e-9}, // everything is at least as good as 0
		{evaluation.LogLoss, .5, .02, .51, .52},
		{evaluation.RMSE, 0, .5, 0, 1e-9},      // of 0 a part is nothing
		{evaluation.AUC, -.5, .1, -.55, -.551}, // no metric of ours is negative; the allowance is on the worse side all the same
		{evaluation.MAE, -.5, .1, -.45, -.44},
	} {
		limit := worstAllowed(c.metric, c.champion, c.worse)
		if math.Abs(limit-c.allowed) > 1e-9 || beyond(c.allowed, limit, c.metric.HigherIsBetter()) || !beyond(c.refused, limit, c.metric.HigherIsBetter()) {
			t.Errorf("%s: of %v and %v it is %v", c.metric, c.champion, c.worse, limit)
		}
	}
}

func TestNumbersArePlain(t *testing.T) {
	for x, want := range map[float64]string{0: "0", .91314: "0.9131", 12345.678: "12346", 1e-5: "0.00001000", -0.5: "-0.5000", 3: "3.000", 1e20: "1e+20", 1e-20: "1e-20", 0.99999: "1.0000"} {
		if got := figure(x); got != want {
			t.Errorf("%v is %s, want %s", x, got, want)
		}
	}
	if a, b := apart(.88199, .882); a != "0.88199" || b != "0.88200" {
		t.Errorf("got %s and %s", a, b)
	}
	if a, b := apart(.5, .5); a != "0.5000" || b != "0.5000" {
		t.Errorf("got %s and %s", a, b)
	}
	if got := thousands(1234567) + " " + thousands(999) + " " + percent(.02) + " " + percent(.125); got != "1,234,567 999 2 % 12.5 %" {
		t.Errorf("got %s", got)
	}
}

func TestASeedIsTheRuns(t *testing.T) {
	if a, b := seed(thisRun), seed(beforeRun); a == b || a >= 1<<53 || a != seed(thisRun) {
		t.Fatalf("got %d and %d", a, b)
	}
}

// What a batch transform writes comes from outside: whatever it is, a row is two finite numbers or an error that shows nothing of it.
func FuzzLines(f *testing.F) {
	for _, line := range []string{"1,0.5", "0,1e-7\r", "1,nan", "1,0.5,3", "", ",", "1,0x1p-2", "2,1", "\xff,\xfe"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, task := range []pipeline.Task{pipeline.Binary, pipeline.Regression} {
			label, score, err := parse(line, task)
			if err == nil && (math.IsNaN(label) || math.IsNaN(score) || math.IsInf(label, 0) || math.IsInf(score, 0) || task == pipeline.Binary && label != 0 && label != 1) {
				t.Fatalf("%q is %v and %v", line, label, score)
			}
		}
	})
}
