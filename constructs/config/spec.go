package config

import (
	"fmt"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Spec gives what the functions must know of this pipeline.
func (p Pipeline) Spec(project, environment, name string) (pipeline.Spec, error) {
	if p.Source.Query != "" && p.Source.QueryText == "" {
		return pipeline.Spec{}, fmt.Errorf("pipeline %q names the query %s, but its text was not read: take pipelines from Config.For", name, p.Source.Query)
	}
	if q := p.Quality; q != nil && q.Rules != "" && q.RulesText == "" {
		return pipeline.Spec{}, fmt.Errorf("pipeline %q names the rules %s, but their text was not read: take pipelines from Config.For", name, q.Rules)
	}
	spec := pipeline.Spec{
		Version:     pipeline.Version,
		Project:     project,
		Environment: environment,
		Pipeline:    name,
		Source:      p.Source.spec(),
		Dataset:     p.Dataset.spec(),
		Limits:      p.Export.limits(),
		Quality:     p.Quality.spec(),
		Deploy:      p.deploys(),
	}
	if p.Training != nil {
		spec.When, spec.Gate = p.Training.When.spec(), p.Gate.spec(p.Dataset.Task)
	}
	return spec, nil
}

func (s Source) spec() pipeline.Source {
	return pipeline.Source{
		QueryFile:      s.Query,
		Query:          s.QueryText,
		Table:          s.Table,
		Load:           s.Load,
		WindowSeconds:  s.Window.seconds(),
		Consistency:    s.Consistency,
		CountRows:      s.CountRows,
		PartitionBy:    s.PartitionBy,
		Cursor:         s.Cursor.spec(),
		OnChange:       s.OnChange,
		OnSchemaChange: s.OnSchemaChange,
		Replica:        s.fromReplica(),
		Accept:         s.Accept,
	}
}

func (s Source) fromReplica() bool { return s.ReadFrom == "replica" }

func (w *Window) seconds() int64 {
	if w == nil {
		return 0
	}
	return inSeconds(w.Days, w.Hours, w.Minutes)
}

func inSeconds(days, hours, minutes int) int64 {
	return ((int64(days)*24+int64(hours))*60 + int64(minutes)) * 60
}

func (c *Cursor) spec() *pipeline.Cursor {
	switch {
	case c == nil:
		return nil
	case c.Identity != "":
		return &pipeline.Cursor{Kind: pipeline.IdentityCursor, Column: c.Identity, Overlap: int64(c.OverlapValues)}
	case c.Time != "":
		return &pipeline.Cursor{Kind: pipeline.TimeCursor, Column: c.Time, Overlap: inSeconds(0, 0, c.OverlapMinutes)}
	default:
		return &pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: c.Rowversion}
	}
}

func (d Dataset) spec() pipeline.Dataset {
	spec := pipeline.Dataset{Format: d.Channels, Key: d.Key, Include: d.Include, Drop: d.Drop}
	for column, rule := range d.Columns {
		if spec.Columns == nil {
			spec.Columns = make(map[string]pipeline.ColumnRule, len(d.Columns))
		}
		spec.Columns[column] = rule.spec()
	}
	if d.Channels == pipeline.NoChannels {
		return spec // what is only for the channels would change the spec's hash, and no file
	}
	spec.Task, spec.Label, spec.Positive, spec.NullLabel = d.Task, d.Label, d.Positive, d.NullLabel
	spec.Features = d.Features
	spec.Split = d.Split.spec()
	if w := d.TrainingWindow; w != nil {
		spec.WindowSeconds = inSeconds(w.Days, w.Hours, 0)
	}
	return spec
}

func (r ColumnRule) spec() pipeline.ColumnRule {
	spec := pipeline.ColumnRule{Hash: r.Hash, Cast: r.Cast, OneHot: r.OneHot, Ordinal: r.Ordinal}
	if r.encodes() {
		spec.Unknown = r.Unknown
	}
	return spec
}

// encodes says whether the rule makes numbers of categories.
func (r ColumnRule) encodes() bool { return r.OneHot != nil || r.Ordinal != nil }

func (s Split) spec() pipeline.Split {
	if t := s.Time; t != nil {
		return pipeline.Split{Time: &pipeline.TimeSplit{Column: t.Column, ValidationFrom: t.ValidationFrom, TestFrom: t.TestFrom}}
	}
	return pipeline.Split{Train: s.Train, Validation: s.Validation, Test: s.Test, Salt: s.Salt}
}

func (e Export) limits() pipeline.Limits {
	limits := pipeline.Limits{
		ConnectTimeoutSeconds:   e.ConnectTimeoutSeconds,
		StatementTimeoutSeconds: e.StatementTimeoutSeconds,
		LockTimeoutSeconds:      e.LockTimeoutSeconds,
		Connections:             e.Connections,
		RowsPerSecond:           e.RowsPerSecond,
		PageRows:                int64(e.PageRows),
		PartitionRows:           int64(e.PartitionRows),
		FunctionRows:            int64(e.FunctionRows),
		MaxDOP:                  e.MaxDOP,
		MaxScanRows:             int64(e.MaxScanRows),
		MaxValueBytes:           int64(e.MaxValueBytes),
		ApplicationName:         e.ApplicationName,
	}
	if h := e.AllowedHours; h != nil {
		limits.AllowedHours = &pipeline.Hours{From: h.From, To: h.To, TimeZone: h.TimeZone}
	}
	return limits
}
