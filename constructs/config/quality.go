package config

import (
	"errors"
	"strings"

	"sagemaker-datapipeline/lambda/dqdl"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Quality is what a run's data must be to be trained on. A run that isn't is kept, told and left out of training, until a person
// accepts it.
type Quality struct {
	// Rules in DQDL, the rule language of AWS Glue: `Rules = [ RowCount > 1000, IsComplete "Amount" ]`, or the path of a file with
	// them, relative to cdk.json, which ends with `.dqdl`. What one pass over the rows can't compute is refused.
	Rules string `json:"rules"`
	// How far a run may be from the last accepted one.
	Drift *Drift `json:"drift"`
	// Columns whose values no notice and no log shows. Those of the key, and hashed ones, are private without being named.
	Private []string `json:"private"`

	// RulesText is what the rules, or the file of them, say.
	RulesText string `json:"-"`
}

// Drift is how far a run may be from the last accepted one. 0 switches a comparison off.
type Drift struct {
	// The largest change of the number of rows, as a part of it: 0.5 is from half to one and a half.
	Rows *float64 `json:"rows" min:"0" max:"1000" defaultText:"0.5; 0 for an append load, whose runs are as large as the time between them was busy"`
	// The largest change of a column's share of NULLs: 0.1 lets 0.02 become 0.12.
	Nulls float64 `json:"nulls" default:"0.1" min:"0" max:"1"`
	// The largest change of a number's mean, in standard deviations of the last accepted run.
	Mean float64 `json:"mean" default:"0.5" min:"0" max:"1000"`
	// The largest population stability index of the shares of a column's categories. By a rule of thumb of credit scoring, up to 0.1
	// nothing has changed, and from 0.25 on it has.
	PSI float64 `json:"psi" default:"0.25" min:"0" max:"1000"`
}

// rulesFile ends the names of files with rules.
const rulesFile = ".dqdl"

func (q *Quality) complete(load pipeline.Load) {
	if q == nil || q.Drift == nil || q.Drift.Rows != nil {
		return
	}
	q.Drift.Rows = new(0.5)
	if load == pipeline.Append {
		q.Drift.Rows = new(0.0)
	}
}

func (q *Quality) spec() *pipeline.Quality {
	if q == nil {
		return nil
	}
	spec := &pipeline.Quality{Rules: q.RulesText, Private: q.Private}
	if d := q.Drift; d != nil {
		spec.Drift = &pipeline.Drift{Nulls: d.Nulls, Mean: d.Mean, PSI: d.PSI}
		if d.Rows != nil {
			spec.Drift.Rows = *d.Rows
		}
	}
	return spec
}

func (v validator) quality(p *Pipeline, n *node) {
	q := p.Quality
	if q == nil {
		return
	}
	path := func(keys ...any) string { return n.at(append([]any{"quality"}, keys...)...) }
	if q.Rules == "" && q.Drift == nil {
		v.add(path(), "has neither rules nor drift", `write what a run must be, such as {"rules": "Rules = [ RowCount > 0 ]"}, or leave it out: every run is trained on`)
	}
	v.rules(p, path)
	v.columnsTwice(q.Private, n, "quality", "private")
	for i, column := range q.Private {
		if !p.Dataset.reads(column) {
			v.add(path("private", i), "got "+quote(column)+", which isn't read", "take it out: dataset.include and dataset.drop say what is read")
		}
	}
}

// reads says whether a column is read, as far as the configuration tells: which columns a query has, only the server knows.
func (d Dataset) reads(column string) bool {
	return !containsColumn(d.Drop, column) && (d.Include == nil || containsColumn(d.Include, column))
}

// rules reads the rules.
func (v validator) rules(p *Pipeline, path func(...any) string) {
	q := p.Quality
	if q.Rules == "" {
		return
	}
	q.RulesText = q.Rules
	if strings.HasSuffix(q.Rules, rulesFile) {
		var remedy string
		if q.RulesText, remedy = v.files.read(q.Rules, "queries/fraud.dqdl"); remedy != "" {
			v.add(path("rules"), "got "+quote(q.Rules), remedy)
			return
		}
	}
	err := dqdl.Check(q.RulesText, p.Dataset.spec())
	if problems, ok := errors.AsType[dqdl.Problems](err); ok {
		for _, problem := range problems {
			v.add(path("rules"), "has a problem in "+problem.Position.String()+q.where(), problem.Message)
		}
	} else if err != nil {
		v.add(path("rules"), "can't be read", err.Error())
	}
}

// where names the file of the rules.
func (q *Quality) where() string {
	if q.RulesText == q.Rules {
		return ""
	}
	return " of " + q.Rules
}
