package config

import (
	"fmt"
	"slices"
	"strings"

	"sagemaker-datapipeline/constructs/config/internal/field"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Gate says when a trained model may take the place of the one in service.
type Gate struct {
	// Whether models are measured at all. Without it each model that was trained goes into service.
	Enabled bool `json:"enabled" default:"true"`
	// The metric that decides. `auc` (area under the ROC curve) and `f1` grow as a model gets better; `logloss`, `rmse`, `mae` and
	// `wape` (sum of the errors by the sum of the labels) fall. The others are measured too, and told.
	Metric string `json:"metric" enum:"auc,logloss,f1,rmse,mae,wape" defaultText:"auc for binary tasks, rmse for regression"`
	// The rows that decide.
	Holdout string `json:"holdout" enum:"test,validation" defaultText:"test, or validation where the split has no test rows"`
	// The least that the metric has to be, of `auc` and `f1`.
	AtLeast *float64 `json:"atLeast" min:"0" max:"1" defaultText:"no threshold"`
	// The most that the metric may be, of `logloss`, `rmse`, `mae` and `wape`.
	AtMost *float64 `json:"atMost" min:"0" defaultText:"no threshold"`
	// By which part of the value of the model in service the new one may be worse: 0.02 lets an AUC of 0.900 be followed by 0.882.
	// A model that is as good is taken, because its data is younger.
	Worse float64 `json:"worse" default:"0.02" min:"0" max:"1"`
	// The score from which on an answer of a binary model means 1, for `f1`.
	Threshold float64 `json:"threshold" default:"0.5" min:"0" max:"1"`
	// Whether a model whose features, categories or label differ from those of the model in service may take its place. Its
	// callers have to know, so it is written here for the run that changes them, and taken away again.
	SignatureChange bool `json:"signatureChange" default:"false"`
}

// metrics are what a task is measured by.
var metrics = map[pipeline.Task][]string{
	pipeline.Binary:     {"auc", "logloss", "f1"},
	pipeline.Regression: {"rmse", "mae", "wape"},
}

// growing are the metrics that are better when they are higher.
var growing = []string{"auc", "f1"}

func (g *Gate) complete(d Dataset) {
	if known := metrics[d.Task]; g.Metric == "" && known != nil {
		g.Metric = known[0]
	}
	if g.Holdout == "" {
		g.Holdout = "test"
		if d.Split.Time == nil && d.Split.Test == 0 {
			g.Holdout = "validation"
		}
	}
}

func (g Gate) spec(task pipeline.Task) *pipeline.Gate {
	if !g.Enabled {
		return nil
	}
	spec := &pipeline.Gate{
		Metric: g.Metric, Holdout: g.Holdout, AtLeast: g.AtLeast, AtMost: g.AtMost, Worse: g.Worse, SignatureChange: g.SignatureChange,
	}
	if task == pipeline.Binary {
		spec.Threshold = g.Threshold
	}
	return spec
}

func (v validator) gate(p *Pipeline, n *node) {
	said := n.member("gate")
	if p.Training == nil {
		if !said.absent() && p.Dataset.Channels != pipeline.NoChannels {
			v.add(said.path, said.said(), "leave it out: a pipeline without training has no model to measure")
		}
		return
	}
	if said.absent() && p.Dataset.Task == "" {
		return // the task is missing, which is a problem of its own
	}
	g := p.Gate
	path := func(key string) string { return n.at("gate", key) }
	if !g.Enabled {
		for _, m := range membersOf(said) {
			if m.key != "enabled" && m.key != "signatureChange" && m.value.kind != null {
				v.add(m.value.path, m.value.said()+` beside "enabled": false`, "leave it out: nothing is measured")
			}
		}
		return
	}
	v.metric(p, path)
	switch split := p.Dataset.Split; {
	case split.Time != nil:
	case g.Holdout == "test" && split.Test == 0:
		v.add(path("holdout"), `got "test", and the split has no test rows`, "write a share above 0 in dataset.split.test, or \"validation\"")
	case g.Holdout == "validation" && split.Validation == 0:
		v.add(path("holdout"), `is "validation", and the split has no validation rows`, "write a share above 0 in dataset.split.test: a model is measured on rows that it has not learnt from")
	}
}

func (v validator) metric(p *Pipeline, path func(string) string) {
	g := p.Gate
	known := metrics[p.Dataset.Task]
	if known == nil {
		return
	}
	if !slices.Contains(known, g.Metric) {
		v.add(path("metric"), "got "+quote(g.Metric), fmt.Sprintf("write one that fits the task %q: %s", p.Dataset.Task, strings.Join(known, ", ")))
		return
	}
	if g.Metric == "logloss" && p.Training.Image == nil && p.Training.Hyperparameters["objective"] == "binary:hinge" {
		v.add(path("metric"), `got "logloss" with the objective "binary:hinge"`, `write "f1", or the objective "binary:logistic": hinge answers 0 or 1, and the log loss of a wrong 0 has no end`)
	}
	if slices.Contains(growing, g.Metric) && g.AtMost != nil {
		v.add(path("atMost"), fmt.Sprintf("got %s for %s", field.Plain(*g.AtMost), g.Metric), "write atLeast: the metric grows as a model gets better")
	}
	if !slices.Contains(growing, g.Metric) && g.AtLeast != nil {
		v.add(path("atLeast"), fmt.Sprintf("got %s for %s", field.Plain(*g.AtLeast), g.Metric), "write atMost: the metric falls as a model gets better")
	}
}
