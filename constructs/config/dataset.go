package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"sagemaker-datapipeline/constructs/config/internal/field"
	"sagemaker-datapipeline/lambda/pipeline"
)

// dataset checks what the columns are to the model.
func (v validator) dataset(p *Pipeline, n *node) {
	d := p.Dataset
	if n.member("dataset").absent() {
		return // one problem is enough
	}
	path := func(keys ...any) string { return n.at(append([]any{"dataset"}, keys...)...) }
	for _, list := range []struct {
		name    string
		columns []string
	}{{"key", d.Key}, {"features", d.Features}, {"drop", d.Drop}, {"include", d.Include}} {
		v.columnsTwice(list.columns, n, "dataset", list.name)
		if d.Label != "" && list.name != "include" && containsColumn(list.columns, d.Label) {
			v.add(path("label"), "got "+quote(d.Label)+", which is in "+list.name+" too", "take it out of "+list.name+": the label is the column to predict and nothing else")
		}
	}
	for i, column := range d.Features {
		if containsColumn(d.Key, column) {
			v.add(path("features", i), "got "+quote(column)+", which is in key too", "take it out of features: a model that knows a row's key learns rows by heart")
		}
	}
	v.read(p, n)
	v.columnRules(p, n)
	if d.Channels == pipeline.NoChannels {
		v.noChannels(n)
	} else {
		v.channels(p, n)
	}
}

// read finds columns that are needed and not read.
func (v validator) read(p *Pipeline, n *node) {
	d := p.Dataset
	path := func(keys ...any) string { return n.at(append([]any{"dataset"}, keys...)...) }
	for i, column := range d.Drop {
		switch {
		case containsColumn(d.Features, column):
			v.add(path("drop", i), "got "+quote(column)+", which is in features too", "take it out of one of them")
		case containsColumn(d.Include, column):
			v.add(path("drop", i), "got "+quote(column)+", which is in include too", "take it out of one of them")
		case containsColumn(d.Key, column):
			v.add(path("drop", i), "got "+quote(column)+", which is in key too", "take it out of drop: the key says which split a row is in")
		}
		if why := p.neededUnder(column); why != "" {
			v.add(path("drop", i), "got "+quote(column)+", which is "+why+" too", "take it out of drop: the export looks at its values; dataset.features says which columns are learnt from")
		}
	}
	if d.Include != nil {
		missing := func(column, where string) {
			if column != "" && !containsColumn(d.Include, column) {
				v.add(path("include"), "lacks "+quote(column)+", which is "+where, "add it: what isn't in include isn't read")
			}
		}
		for _, column := range d.Key {
			missing(column, "in key")
		}
		for _, column := range d.Features {
			missing(column, "in features")
		}
		missing(d.Label, "the label")
		for _, needed := range p.neededColumns() {
			missing(needed.column, needed.why)
		}
	}
	if d.Include != nil {
		v.derived(p.Source, path("include"), "include")
	}
	if d.Drop != nil {
		v.derived(p.Source, path("drop"), "drop")
	}
}

type neededColumn struct{ column, why string }

// neededColumns are the columns whose values the export looks at, besides key, label and features. A rowversion isn't: its bound is
// the server's.
func (p *Pipeline) neededColumns() []neededColumn {
	needed := []neededColumn{{p.Source.PartitionBy, "source.partitionBy"}}
	if c := p.Source.Cursor; c != nil {
		needed = append(needed, neededColumn{c.Identity, "source.cursor"}, neededColumn{c.Time, "source.cursor"})
	}
	if t := p.Dataset.Split.Time; t != nil {
		needed = append(needed, neededColumn{t.Column, "dataset.split.time.column"})
	}
	return needed
}

func (p *Pipeline) neededUnder(column string) string {
	for _, needed := range p.neededColumns() {
		if needed.column != "" && strings.EqualFold(needed.column, column) {
			return needed.why
		}
	}
	return ""
}

func (v validator) columnRules(p *Pipeline, n *node) {
	d := p.Dataset
	names := slices.Sorted(maps.Keys(d.Columns))
	for i, column := range names {
		rule := d.Columns[column]
		at := func(keys ...any) string { return n.at(append([]any{"dataset", "columns", column}, keys...)...) }
		if containsColumn(names[:i], column) {
			v.add(at(), "has rules under two spellings", "write one of them: SQL Server takes them for one column")
		}
		switch {
		case containsColumn(d.Drop, column):
			v.add(at(), "has a rule, and is in drop too", "take it out of one of them")
		case d.Include != nil && !containsColumn(d.Include, column):
			v.add(at(), "has a rule, and isn't in include", "add it to include: what isn't there isn't read")
		}
		v.columnRule(d, column, rule, at)
		if why := p.neededUnder(column); why != "" && (rule.Hash || rule.Cast != "") {
			v.add(at(), "has a rule that changes its values, and is "+why, "take the rule away: the export compares the values as the database has them")
		}
		if rule.Cast != "" {
			v.derived(p.Source, at("cast"), "cast")
		}
	}
}

func (v validator) columnRule(d Dataset, column string, rule ColumnRule, at func(...any) string) {
	inKey, isLabel := containsColumn(d.Key, column), strings.EqualFold(d.Label, column)
	switch {
	case rule.Cast != "":
		if err := pipeline.CheckCast(rule.Cast); err != nil {
			v.add(at("cast"), "got "+quote(rule.Cast), err.Error())
		}
	case rule.Hash && isLabel:
		v.add(at("hash"), "got true for the label", "take the rule away: what is learnt is a number; dataset.positive turns texts into 0 and 1")
	case rule.Hash && containsColumn(d.Features, column):
		v.add(at("hash"), "got true for a feature", "take the column out of features: a hash is a text, and a model takes numbers")
	}
	for _, list := range []struct {
		key        string
		categories []string
	}{{"oneHot", rule.OneHot}, {"ordinal", rule.Ordinal}} {
		if list.categories == nil {
			continue
		}
		v.categories(list.categories, at, list.key)
		switch {
		case d.Channels == pipeline.NoChannels:
			v.add(at(list.key), `is a rule for features, and channels is "none"`, "take the rule away: Parquet has the column as it is")
		case inKey || isLabel:
			v.add(at(list.key), "is a rule for features, and the column is none", "take the rule away: key and label are no features")
		case d.Features != nil && !containsColumn(d.Features, column):
			v.add(at(list.key), "is a rule for features, and the column isn't in features", "add the column to features, or take the rule away")
		}
	}
	if !rule.encodes() && rule.Unknown == pipeline.MissingUnknown {
		v.add(at("unknown"), `got "missing" beside a rule without categories`, "leave it out: it belongs to oneHot and ordinal")
	}
}

func (v validator) categories(categories []string, at func(...any) string, key string) {
	if len(categories) == 0 {
		v.add(at(key), "is empty", "write the categories that the column can have")
	}
	for i, category := range categories {
		if slices.Contains(categories[:i], category) {
			v.add(at(key, i), "got "+quote(category)+" a second time", "take one of them out")
		}
	}
}

// channels checks what a training needs.
func (v validator) channels(p *Pipeline, n *node) {
	d := p.Dataset
	path := func(keys ...any) string { return n.at(append([]any{"dataset"}, keys...)...) }
	const without = `; a pipeline that only exports has "channels": "none"`
	if d.Task == "" {
		v.add(path("task"), "is missing", "write one of binary, regression"+without)
	}
	if d.Label == "" {
		v.add(path("label"), "is missing", "write a string: the column to predict"+without)
	}
	if d.Positive != nil && d.Task == pipeline.Regression {
		v.add(path("positive"), `is beside the task "regression"`, "leave it out: its label is a number")
	}
	if d.Positive != nil && len(d.Positive) == 0 {
		v.add(path("positive"), "is empty", "write the label's values that mean 1, or leave it out")
	}
	v.split(d.Split, n)
	v.trainingWindow(p, path("trainingWindow"))
	switch {
	case p.Training != nil && p.Endpoint == nil:
		v.add(n.at("endpoint"), "is missing", "write an object: what is trained is served. A pipeline without training and endpoint only exports")
	case p.Training == nil && p.Endpoint != nil:
		v.add(n.at("training"), "is missing", "write an object: what is served has to be trained. A pipeline without training and endpoint only exports")
	}
}

// mostWindowRuns is how many runs a training window may have. The list of them goes from commit to commit: 50,000 runs are 25 MB that
// each run reads and writes, and 150,000 files that each training opens.
const mostWindowRuns = 50_000

// trainingWindow finds a window that has no end, or more runs than can be listed at each tick. How often a cron expression fires isn't
// known here.
func (v validator) trainingWindow(p *Pipeline, path string) {
	w := p.Dataset.TrainingWindow
	if p.Source.Load != pipeline.Append {
		if w != nil {
			v.add(path, `is beside the load "full"`, "leave it out: a full load's run is what is trained on; source.window is how far back its query reads")
		}
		return
	}
	if w == nil {
		v.add(path, "is missing", `write how far back a training reaches, such as {"days": 90}: without an end, the list of files that each run writes, and what each training reads, would grow for ever`)
		return
	}
	period := ratePeriod(p.Schedule.Expression)
	if period == 0 {
		return
	}
	reach := time.Duration(inSeconds(w.Days, w.Hours, 0)) * time.Second
	if runs := int64(reach / period); runs > mostWindowRuns {
		v.add(path, fmt.Sprintf("has %d runs at %s", runs, p.Schedule.Expression),
			fmt.Sprintf("write at most %d days, or a schedule with fewer runs: a window has at most %d. Each run reads the list of them all and writes it again, half a kilobyte a run, and a training opens the files of each",
				mostWindowRuns*period/(24*time.Hour), mostWindowRuns))
	}
}

// noChannels finds what is there for a training that can't happen.
func (v validator) noChannels(n *node) {
	const remedy = `leave it out: with "channels": "none" nothing is trained`
	for _, keys := range [][]any{
		{"training"}, {"gate"}, {"endpoint"}, {"dataset", "task"}, {"dataset", "label"}, {"dataset", "positive"}, {"dataset", "nullLabel"},
		{"dataset", "features"}, {"dataset", "split"}, {"dataset", "trainingWindow"},
	} {
		said := n
		for _, key := range keys {
			said = said.member(key.(string))
		}
		if !said.absent() {
			v.add(n.at(keys...), said.said(), remedy)
		}
	}
}

// shareTolerance lets 0.7 + 0.2 + 0.1 be 1, which they aren't in binary.
const shareTolerance = 1e-9

func (v validator) split(s Split, n *node) {
	path := n.at("dataset", "split")
	if s.Time != nil {
		v.timeSplit(*s.Time, n)
		return
	}
	sum := s.Train + s.Validation + s.Test
	if math.Abs(sum-1) > shareTolerance {
		v.add(path, fmt.Sprintf("got train %s + validation %s + test %s = %s", field.Plain(s.Train), field.Plain(s.Validation), field.Plain(s.Test), field.Plain(math.Round(sum*1e9)/1e9)),
			"write three shares that add up to 1; what is left out is 0.8, 0.1 and 0.1")
	}
	if s.Train == 0 {
		v.add(n.at("dataset", "split", "train"), "got 0", "write a share above 0: the model learns from these rows")
	}
	if s.Validation == 0 {
		v.add(n.at("dataset", "split", "validation"), "got 0", "write a share above 0: training measures the model on these rows")
	}
}

func (v validator) timeSplit(t TimeSplit, n *node) {
	split := n.member("dataset").member("split")
	for _, key := range []string{"train", "validation", "test", "salt"} {
		if said := split.member(key); !said.absent() {
			v.add(said.path, said.said()+" beside a split by time", "leave it out: the moments say which rows are in which part")
		}
	}
	moment := func(key, text string) (time.Time, bool) {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil && text != "" {
			v.add(n.at("dataset", "split", "time", key), "got "+quote(text), "write a time with its zone, such as 2026-01-01T00:00:00Z")
		}
		return at, err == nil
	}
	validation, ok := moment("validationFrom", t.ValidationFrom)
	test, also := moment("testFrom", t.TestFrom)
	if ok && also && !test.After(validation) {
		v.add(n.at("dataset", "split", "time", "testFrom"), "got "+quote(t.TestFrom), "write a time after validationFrom: the rows between them are for validation")
	}
}

// columnsTwice is twice for columns, whose case SQL Server mostly ignores.
func (v validator) columnsTwice(columns []string, n *node, path ...any) {
	for i, column := range columns {
		if containsColumn(columns[:i], column) {
			v.add(n.at(append(slices.Clone(path), i)...), "got "+quote(column)+" a second time", "take one of them out")
		}
	}
}

func containsColumn(columns []string, column string) bool {
	return slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, column) })
}
