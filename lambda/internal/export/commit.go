package export

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/channels"
	"sagemaker-datapipeline/lambda/internal/keys"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
)

// commitTries bounds how often a full load follows a head that other runs moved.
const commitTries = 5

// commit puts the parts of a plan together and moves the head. It says whether the manifest that counts is its own.
func (e *Exporter) commit(ctx context.Context, log *slog.Logger, f ledger.Frozen, attempt string) (ledger.Commit, bool, error) {
	parts, open, err := e.ledger().Parts(ctx, f)
	if err != nil {
		return ledger.Commit{}, false, err
	}
	if len(open) > 0 {
		return ledger.Commit{}, false, fmt.Errorf("%d of %d partitions are not read, %s is the first: invoke the function again with the same scheduledTime, what is read isn't read again", len(open), len(f.Partitions), open[0].ID)
	}
	for try := range commitTries {
		h, err := e.ledger().Head(ctx)
		if err != nil {
			return ledger.Commit{}, false, err
		}
		if c, found, err := e.ledger().Find(ctx, h.Manifest, f.Run, f.Parent); err != nil || found {
			return c, false, err
		}
		if err := stale(h, f); err != nil {
			return ledger.Commit{}, false, err
		}
		// Each try has a name of its own: another parent makes another manifest.
		name := attempt
		if try > 0 {
			name = fmt.Sprintf("%s-c%d", attempt, try+1)
		}
		m, err := e.assemble(ctx, f, h, parts, name)
		if err != nil {
			return ledger.Commit{}, false, err
		}
		c, outcome, err := e.ledger().Commit(ctx, f, h, m, next(f, h, name))
		if err != nil {
			return ledger.Commit{}, false, err
		}
		switch outcome {
		case ledger.Committed:
			return c, true, nil
		case ledger.Already:
			log.Info("another attempt committed this run first", "phase", "commit", "committedAttempt", c.Attempt)
			return c, false, nil
		case ledger.Moved:
			log.Info("another run moved the head first", "phase", "commit", "try", try+1)
		}
	}
	return ledger.Commit{}, false, fmt.Errorf("other runs moved the head %d times while this one committed: invoke the function again with the same scheduledTime", commitTries)
}

// stale says whether other runs, or a person, have made a plan useless. Nothing is lost: an append load's rows are in the run that moved the head,
// or in the next.
func stale(h ledger.Head, f ledger.Frozen) error {
	want := f.Generation
	if f.NewGeneration != "" {
		want--
	}
	switch {
	case f.Load == pipeline.Append && f.HeadETag != h.ETag:
		return &nothingToDoError{Superseded, fmt.Sprintf("run %s moved the head after this run was planned: its bounds begin where this run's do", h.ManifestRun())}
	case f.NewGeneration != "" && h.Generation == f.Generation:
		return nil // another run began the generation for the same reason
	case h.Generation != want:
		return &nothingToDoError{Superseded, fmt.Sprintf("the pipeline began generation %d after this run was planned for generation %d", h.Generation, f.Generation)}
	}
	return nil
}

// next is the head after the commit.
func next(f ledger.Frozen, h ledger.Head, attempt string) head.Head {
	n := head.Head{
		Generation: f.Generation, Run: max(h.Run, f.Run), Identity: f.Source.Identity,
		QuerySHA256: f.QuerySHA256, SchemaSHA256: f.SchemaSHA256, MovedBy: attempt, Rebaselined: h.Rebaselined,
	}
	if f.Bounds != nil {
		n.Watermark = &head.Watermark{Column: f.Bounds.Column, Value: f.Bounds.To}
	}
	return n
}

// assemble writes everything that a commit names, but the manifest, which it gives.
func (e *Exporter) assemble(ctx context.Context, f ledger.Frozen, h ledger.Head, parts []manifest.Part, attempt string) (manifest.Manifest, error) {
	m := manifest.Manifest{
		Version: manifest.Version, Project: e.Spec.Project, Environment: e.Spec.Environment, Pipeline: e.Spec.Pipeline,
		Run: f.Run, ScheduledTime: f.ScheduledTime, Attempt: attempt, StartedAt: f.CreatedAt,
		SpecSHA256: f.SpecSHA256, QuerySHA256: f.QuerySHA256, SchemaSHA256: f.SchemaSHA256,
		Plan: manifest.Plan{Key: f.Key, ETag: f.ETag, Partitions: len(f.Partitions), Segments: len(parts)},
		Load: string(f.Load), Generation: f.Generation, Source: f.Source, Window: f.Window, Bounds: f.Bounds, Columns: f.Columns,
	}
	var keyFiles, recent []manifest.KeyFile
	for _, p := range parts {
		m.Counts.Add(p.Counts)
		m.Files = append(m.Files, p.Files...)
		if m.Smoke == (manifest.Smoke{}) {
			m.Smoke = p.Smoke
		}
		if p.Keys != nil {
			keyFiles = append(keyFiles, *p.Keys)
		}
		if p.Recent != nil {
			recent = append(recent, *p.Recent)
		}
	}
	m.Rows = m.Counts.Parquet
	for _, file := range m.Files {
		m.Bytes += file.Bytes
	}
	if err := e.agree(m.Counts); err != nil {
		return manifest.Manifest{}, err
	}
	if m.Rows == 0 {
		if f.Load == pipeline.Append && f.Bounds.Lag != "" {
			return manifest.Manifest{}, &nothingToDoError{Blocked, f.Bounds.Lag}
		}
		if f.Load == pipeline.Append {
			return manifest.Manifest{}, &nothingToDoError{NoNewData, fmt.Sprintf("the table has no new row below %s %s", f.Bounds.Column, f.Bounds.To)}
		}
		if !e.withChannels() {
			return manifest.Manifest{}, &nothingToDoError{NoNewData, e.from() + " gave no rows"}
		}
		return manifest.Manifest{}, fmt.Errorf("%s gave no rows: there is nothing to train on; check its conditions, and that the login sees the rows", e.from())
	}
	if f.Load == pipeline.Append {
		if err := e.remember(ctx, f, h, &m, keyFiles, recent); err != nil {
			return manifest.Manifest{}, err
		}
	}
	if err := e.judge(ctx, f, parts, &m); err != nil {
		return manifest.Manifest{}, err
	}
	if !e.withChannels() {
		return m, nil
	}
	return m, e.channel(ctx, f, h, &m)
}

func (e *Exporter) from() string {
	switch s := e.Spec.Source; {
	case s.Table != "":
		return "table " + s.Table
	case s.QueryFile != "":
		return s.QueryFile
	}
	return "the query"
}

// remember puts the run's keys beside those of its generation: one that is there already is a row that was changed.
func (e *Exporter) remember(ctx context.Context, f ledger.Frozen, h ledger.Head, m *manifest.Manifest, added, recent []manifest.KeyFile) error {
	var generation []manifest.KeyFile
	if h.Manifest != nil && f.NewGeneration == "" {
		parent, err := e.ledger().Read(ctx, *h.Manifest)
		if err != nil {
			return err
		}
		if parent.Generation == f.Generation {
			generation = parent.Keys
		}
	}
	key := func(name string) string { return manifest.KeysKey(e.Spec.Pipeline, f.Run, m.Attempt, name) }
	var err error
	if m.Keys, err = keys.Grow(ctx, e.Bucket, generation, added, key); err != nil {
		return explainDuplicate(err)
	}
	if len(recent) > 0 {
		merged, err := keys.Merge(ctx, e.Bucket, recent, key("recent"))
		if err != nil {
			return explainDuplicate(err)
		}
		m.Recent = &merged.Object
	}
	return nil
}

// windowRun is one run of a training window, in the list that goes from commit to commit.
type windowRun struct {
	Run run.ID `json:"run"`
	// Layout is what the columns of its lines are: lines of another layout can't be in one training.
	Layout   string                   `json:"layout"`
	Channels map[string]windowChannel `json:"channels"`
	// Rejected says that the run is not trained on: its verdict rejected it, and when the window was written nobody had accepted it. It stays in the list,
	// so that it is trained on as soon as somebody does.
	Rejected bool `json:"rejected,omitempty"`
}

// windowChannel is what a run has in a channel.
type windowChannel struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
	// Files are below manifest.RunsPrefix.
	Files []string `json:"files"`
}

// layout is the hash of what decides which columns the lines of a channel have, what their values mean, and in which channel a row is.
func (e *Exporter) layout(f ledger.Frozen, m *manifest.Manifest) (string, error) {
	d := e.Spec.Dataset
	s := e.signature(f, m)
	b, err := json.Marshal(struct {
		Format, Label string
		Task          pipeline.Task
		Positive      []string
		NullLabel     pipeline.NullLabel
		Split         pipeline.Split
		Features      []signature.Feature
	}{string(d.Format), s.Label, d.Task, d.Positive, d.NullLabel, d.Split, s.Features})
	if err != nil {
		return "", fmt.Errorf("encoding the layout of the channels: %w", err)
	}
	return hash(string(b)), nil
}

// channel writes the channels' lists, of the training window's runs, and the signature.
func (e *Exporter) channel(ctx context.Context, f ledger.Frozen, h ledger.Head, m *manifest.Manifest) error {
	layout, err := e.layout(f, m)
	if err != nil {
		return err
	}
	own := windowRun{Run: f.Run, Layout: layout, Channels: map[string]windowChannel{}, Rejected: m.Rejected}
	for _, file := range m.Files {
		if file.Channel == "" {
			continue
		}
		c := own.Channels[file.Channel]
		c.Rows += file.Rows
		c.Bytes += file.Bytes
		c.Files = append(c.Files, strings.TrimPrefix(file.Key, manifest.RunsPrefix(e.Spec.Pipeline)))
		own.Channels[file.Channel] = c
	}
	// What is scored is the run's own, whatever it trains on.
	scored, scores := own.Channels[manifest.Batch]
	delete(own.Channels, manifest.Batch)
	m.Split = "hash"
	if e.Spec.Dataset.Split.Time != nil {
		m.Split = "time"
	}
	window := []windowRun{own}
	if f.Load == pipeline.Append {
		before, err := e.window(ctx, f, h, layout)
		if err != nil {
			return err
		}
		window = append(before, own)
		body, err := json.Marshal(window)
		if err != nil {
			return fmt.Errorf("encoding the training window: %w", err)
		}
		object, err := e.Bucket.Put(ctx, manifest.TrainingWindowKey(e.Spec.Pipeline, f.Run, m.Attempt), jsonType, body)
		if err != nil {
			return err
		}
		m.TrainingWindow = &object
	}
	if err := e.list(ctx, f, m, window); err != nil {
		return err
	}
	if scores && m.Channels != nil {
		if m.Channels[manifest.Batch], err = e.listed(ctx, f, m, manifest.Batch, scored); err != nil {
			return err
		}
	}
	body, err := json.MarshalIndent(e.signature(f, m), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the signature: %w", err)
	}
	signed, err := e.Bucket.Put(ctx, manifest.SignatureKey(e.Spec.Pipeline, f.Run, m.Attempt), jsonType, body)
	m.Signature = &signed
	return err
}

const jsonType = "application/json"

// window gives the runs before this one in its training window: of one generation and one layout, and not older than the window reaches.
func (e *Exporter) window(ctx context.Context, f ledger.Frozen, h ledger.Head, layout string) ([]windowRun, error) {
	if h.Manifest == nil || f.NewGeneration != "" {
		return nil, nil
	}
	parent, err := e.ledger().Read(ctx, *h.Manifest)
	if err != nil || parent.Generation != f.Generation || parent.TrainingWindow == nil {
		return nil, err
	}
	stored, err := e.Bucket.ReadVersion(ctx, parent.TrainingWindow.Key, parent.TrainingWindow.VersionID)
	if err != nil {
		return nil, fmt.Errorf("reading the training window: %w", err)
	}
	var runs []windowRun
	if err := json.Unmarshal(stored.Body, &runs); err != nil {
		return nil, fmt.Errorf("decoding the training window s3://%s/%s: %w", e.Bucket.Name(), parent.TrainingWindow.Key, err)
	}
	runs = slices.DeleteFunc(runs, func(r windowRun) bool { return r.Layout != layout })
	if reach := e.Spec.Dataset.WindowSeconds; reach > 0 {
		oldest := f.Run.Time().Add(-time.Duration(reach) * time.Second)
		runs = slices.DeleteFunc(runs, func(r windowRun) bool { return r.Run.Time().Before(oldest) })
	}
	for i, r := range runs {
		if !r.Rejected {
			continue
		}
		accepted, err := e.accepted(ctx, r.Run)
		if err != nil {
			return nil, err
		}
		runs[i].Rejected = accepted == nil
	}
	return runs, nil
}

// list writes SageMaker's ManifestFile of each channel, which names exactly the committed files of the window's accepted runs, and those of the run
// itself: when its verdict rejected it nothing is trained, until a person accepts it.
func (e *Exporter) list(ctx context.Context, f ledger.Frozen, m *manifest.Manifest, window []windowRun) error {
	window = slices.DeleteFunc(slices.Clone(window), func(r windowRun) bool { return r.Rejected && r.Run != f.Run })
	rows := map[string]int64{}
	for _, r := range window {
		for name, c := range r.Channels {
			rows[name] += c.Rows
		}
	}
	if err := channels.CheckShares(e.Spec.Dataset.Split, rows); err != nil {
		if m.Rejected {
			return nil // that there is nothing to train on is the least of it
		}
		return err
	}
	m.Channels = map[string]manifest.Channel{}
	for name, n := range rows {
		if n == 0 {
			continue
		}
		parts := make([]windowChannel, len(window))
		for i, r := range window {
			parts[i] = r.Channels[name]
		}
		var err error
		if m.Channels[name], err = e.listed(ctx, f, m, name, parts...); err != nil {
			return err
		}
	}
	return nil
}

// listed writes the ManifestFile of a channel.
func (e *Exporter) listed(ctx context.Context, f ledger.Frozen, m *manifest.Manifest, name string, parts ...windowChannel) (manifest.Channel, error) {
	var c manifest.Channel
	list := []any{map[string]string{"prefix": "s3://" + e.Bucket.Name() + "/" + manifest.RunsPrefix(e.Spec.Pipeline)}}
	for _, has := range parts {
		for _, file := range has.Files {
			list = append(list, file)
		}
		c.Rows += has.Rows
		c.Files += len(has.Files)
		c.Bytes += has.Bytes
	}
	body, err := json.Marshal(list)
	if err != nil {
		return manifest.Channel{}, fmt.Errorf("encoding the list of a channel's files: %w", err)
	}
	c.Manifest, err = e.Bucket.Put(ctx, manifest.ChannelManifestKey(e.Spec.Pipeline, f.Run, m.Attempt, name), jsonType, body)
	return c, err
}

// binaryThreshold is the score above which a binary model's answer means 1, until an evaluation chooses a better one.
const binaryThreshold = 0.5

// signature is what the model's callers must know.
func (e *Exporter) signature(f ledger.Frozen, m *manifest.Manifest) signature.Signature {
	s := signature.Signature{
		Version: signature.Version, Pipeline: e.Spec.Pipeline, Run: f.Run, Task: string(e.Spec.Dataset.Task),
		ContentType: channels.ContentType, Accept: channels.ContentType, Example: m.Smoke.Body,
	}
	if e.Spec.Dataset.Task == pipeline.Binary {
		s.Threshold = binaryThreshold
	}
	byName := map[string]manifest.Column{}
	var order []string
	for _, c := range f.Columns {
		byName[strings.ToLower(c.Name)] = c
		switch c.Role {
		case manifest.LabelRole:
			s.Label = c.Name
		case manifest.FeatureRole:
			order = append(order, c.Name)
		}
	}
	if len(e.Spec.Dataset.Features) > 0 {
		order = e.Spec.Dataset.Features
	}
	for _, name := range order {
		c := byName[strings.ToLower(name)]
		s.Features = append(s.Features, signature.Feature{Name: c.Name, SQLType: c.SQLType, Nullable: c.Nullable, Encoding: encodingOf(e.Spec.Dataset.Columns, c.Name)})
	}
	return s
}

// encodingOf is how a feature becomes columns of a request; nil: it is a number.
func encodingOf(rules map[string]pipeline.ColumnRule, name string) *signature.Encoding {
	for column, rule := range rules {
		if !strings.EqualFold(column, name) {
			continue
		}
		encoding := &signature.Encoding{Kind: signature.OneHot, Categories: rule.OneHot, Unknown: string(rule.Unknown)}
		switch {
		case len(rule.Ordinal) > 0:
			encoding.Kind, encoding.Categories = signature.Ordinal, rule.Ordinal
		case len(rule.OneHot) == 0:
			return nil
		}
		if encoding.Unknown == "" {
			encoding.Unknown = signature.FailOnUnknown
		}
		return encoding
	}
	return nil
}
