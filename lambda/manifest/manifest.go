// Package manifest holds what a run exported: its files, and what is known about them.
//
// A manifest counts when the pipeline's head reaches it, by itself or through the parents of the newest one. Until then it is an object
// that nothing names, like the files of an attempt that died.
package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/run"
)

// Version is the version of the format that this code writes.
const Version = 2

// Manifest says what one run exported.
type Manifest struct {
	Version       int       `json:"version"`
	Project       string    `json:"project"`
	Environment   string    `json:"environment"`
	Pipeline      string    `json:"pipeline"`
	Run           run.ID    `json:"run"`
	ScheduledTime time.Time `json:"scheduledTime"`
	// Attempt names the attempt that committed.
	Attempt     string    `json:"attempt"`
	StartedAt   time.Time `json:"startedAt"`
	CommittedAt time.Time `json:"committedAt"`
	// SpecSHA256, QuerySHA256 and SchemaSHA256 say which pipeline, which SQL and which columns wrote this run.
	SpecSHA256   string `json:"specSha256"`
	QuerySHA256  string `json:"querySha256"`
	SchemaSHA256 string `json:"schemaSha256"`
	// Plan is the plan that the run was read by.
	Plan Plan `json:"plan"`

	// Load is "full" or "append".
	Load       string `json:"load"`
	Generation int    `json:"generation"`
	// Parent is the commit before this one; nil for the first. It may be of another generation.
	Parent *head.Ref `json:"parent,omitempty"`

	Source Source `json:"source"`
	// Window is where @windowStart and @windowEnd were; nil without.
	Window *Window `json:"window,omitempty"`
	// Bounds of an append load; nil for a full one.
	Bounds  *Bounds  `json:"bounds,omitempty"`
	Columns []Column `json:"columns"`
	Counts  Counts   `json:"counts"`
	// Rows is the number of rows in the Parquet files: those that the source gave, without the ones that an overlap gave again.
	Rows int64 `json:"rows"`
	// Bytes is the size of all files.
	Bytes int64  `json:"bytes"`
	Files []File `json:"files"`
	// Split is how the rows were dealt: "hash" or "time"; empty without channels.
	Split string `json:"split,omitempty"`
	// Channels are what the run trains on: of an append load all runs of its training window. Empty without channels.
	Channels map[string]Channel `json:"channels,omitempty"`
	// TrainingWindow is the list of the runs that the channels are of; absent for a full load, which is its own window.
	TrainingWindow *Object `json:"trainingWindow,omitempty"`
	// Keys are the digests of the keys that this generation holds, in sorted files of growing size; empty for full loads.
	Keys []KeyFile `json:"keys,omitempty"`
	// Recent are the digests of the keys in the overlap that the next run reads again; nil without an overlap.
	Recent *Object `json:"recent,omitempty"`
	// Signature is what the model's callers must know; absent without channels.
	Signature *Object `json:"signature,omitempty"`
	// Smoke is one row of features as the endpoint takes it, for the workflow's smoke test.
	Smoke Smoke `json:"smoke,omitzero"`
	// Verdict is what the rules said of the run's data; absent where nothing was asked of it. Rejected says that it keeps the run out of training, until
	// a person accepts it.
	Verdict  *Object `json:"verdict,omitempty"`
	Rejected bool    `json:"rejected,omitempty"`
	// Statistics is what drift is measured by; absent where it isn't.
	Statistics *Object `json:"statistics,omitempty"`
}

// Objects are all objects that the manifest names, beside its plan and the records of it: its own, and those of runs before that it goes on from.
func (m Manifest) Objects() []Object {
	var all []Object
	for _, f := range m.Files {
		all = append(all, f.Object)
	}
	for _, c := range m.Channels {
		all = append(all, c.Manifest)
	}
	for _, k := range m.Keys {
		all = append(all, k.Object)
	}
	for _, o := range []*Object{m.TrainingWindow, m.Recent, m.Signature, m.Verdict, m.Statistics} {
		if o != nil {
			all = append(all, *o)
		}
	}
	return all
}

// Plan names the plan of a run.
type Plan struct {
	Key  string `json:"key"`
	ETag string `json:"etag"`
	// Partitions and Segments are how many ranges were planned, and in how many pieces they were read.
	Partitions int `json:"partitions"`
	Segments   int `json:"segments"`
}

// Source is where the rows came from, and what that guarantees.
type Source struct {
	head.Identity
	// Address is host and port as the function was told.
	Address       string `json:"address"`
	ServerVersion string `json:"serverVersion"`
	Isolation     string `json:"isolation"`
	// Consistency is "statement", "snapshot" or "pages".
	Consistency string `json:"consistency"`
	// Guarantee says in words which rows the run holds. Nothing beyond it is claimed.
	Guarantee string `json:"guarantee"`
	// Accepted are the refusals that somebody waived by name, and what they were about.
	Accepted []string `json:"accepted,omitempty"`
	// ClockSkewSeconds is how far the server's clock was ahead of the function's when the plan was made.
	ClockSkewSeconds float64 `json:"clockSkewSeconds"`
}

// Window is the parameters of a query with a window, in UTC.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Bounds are which values of its cursor an append load read.
type Bounds struct {
	// Kind is "rowversion", "identity" or "time".
	Kind   string `json:"kind"`
	Column string `json:"column"`
	// SQLType is the column's type, in which the bounds are bound.
	SQLType string `json:"sqlType"`
	// From is the first value inside; empty: from the lowest.
	From string `json:"from,omitempty"`
	// Overlap is the watermark that From is below of, so that rows committed late are met; empty without an overlap.
	Overlap string `json:"overlap,omitempty"`
	// To is the first value outside.
	To string `json:"to"`
	// Remembered is how far below To the keys are remembered for the next run, which may read again no more than that: seconds of a time column,
	// values of an identity column.
	Remembered int64 `json:"remembered,omitempty"`
	// Lag says what held To back: an open transaction, its session, its age; empty when nothing did.
	Lag string `json:"lag,omitempty"`
}

// Counts are the sides of the export that agree, always: Decoded = Done, and Decoded = Parquet + Repeated, and
// Parquet = Channel + Skipped where there are channels, and Parquet = Batch where there is one to score.
type Counts struct {
	// Counted is the server's COUNT_BIG in the same snapshot, where it was asked for; nil otherwise.
	Counted *int64 `json:"counted,omitempty"`
	// Done is what the server's DONE tokens said.
	Done int64 `json:"done"`
	// Decoded is the rows that were read from the stream.
	Decoded int64 `json:"decoded"`
	// Repeated is the rows that an overlap gave again and that were left out.
	Repeated int64 `json:"repeated,omitempty"`
	// Parquet is the sum of the files' footers.
	Parquet int64 `json:"parquet"`
	// Channel is the lines of the channels, and Skipped the rows that a declared rule left out of them.
	Channel int64 `json:"channel"`
	Skipped int64 `json:"skipped,omitempty"`
	// Batch is the lines of the channel "batch", which has each row, where there is one.
	Batch int64 `json:"batch,omitempty"`
	// Replaced is how many characters U+FFFD the texts have: halves of surrogate pairs without their other half became one, and a text may have
	// held one before. 0 says that nothing was replaced.
	Replaced int64 `json:"replaced,omitempty"`
	// Unknown counts, by column, the values outside the declared categories.
	Unknown map[string]int64 `json:"unknown,omitempty"`
}

// Add adds the counts of another part.
func (c *Counts) Add(o Counts) {
	if o.Counted != nil {
		c.Counted = o.Counted // of the only part: a snapshot is of one connection
	}
	c.Done += o.Done
	c.Decoded += o.Decoded
	c.Repeated += o.Repeated
	c.Parquet += o.Parquet
	c.Channel += o.Channel
	c.Skipped += o.Skipped
	c.Batch += o.Batch
	c.Replaced += o.Replaced
	for name, n := range o.Unknown {
		if c.Unknown == nil {
			c.Unknown = map[string]int64{}
		}
		c.Unknown[name] += n
	}
}

// Check says which sides don't agree. channels says whether there are any.
func (c Counts) Check(channels bool) error {
	switch {
	case c.Counted != nil && *c.Counted != c.Decoded:
		return fmt.Errorf("the server counted %d rows in the snapshot, and %d were read in it: this is a fault of the export", *c.Counted, c.Decoded)
	case c.Done != c.Decoded:
		return fmt.Errorf("the server said that it sent %d rows, and %d were read: the result broke off, or this is a fault of the export", c.Done, c.Decoded)
	case c.Decoded != c.Parquet+c.Repeated:
		return fmt.Errorf("of %d rows that were read, %d are in Parquet and %d were left out as read before: this is a fault of the export", c.Decoded, c.Parquet, c.Repeated)
	case channels && c.Parquet != c.Channel+c.Skipped:
		return fmt.Errorf("of %d rows in Parquet, %d are in the channels and %d were skipped by rule: this is a fault of the export", c.Parquet, c.Channel, c.Skipped)
	}
	return nil
}

// CheckBatch says whether a row isn't in the batch to score, where there is one.
func (c Counts) CheckBatch() error {
	if c.Parquet != c.Batch {
		return fmt.Errorf("of %d rows in Parquet, %d are in the batch to score: this is a fault of the export", c.Parquet, c.Batch)
	}
	return nil
}

// KeyFile is a sorted file of digests of keys.
type KeyFile struct {
	Object
	Keys int64 `json:"keys"`
}

// Role is what a column is to the model.
type Role string

// The roles of a column.
const (
	KeyRole     Role = "key"
	LabelRole   Role = "label"
	FeatureRole Role = "feature"
	// OtherRole is a column that is in the Parquet files only.
	OtherRole Role = "other"
)

// Column is one column of the Parquet files.
type Column struct {
	Name string `json:"name"`
	// SQLType is SQL Server's name with length, precision or scale: decimal(12,2).
	SQLType  string `json:"sqlType"`
	Nullable bool   `json:"nullable"`
	Parquet  string `json:"parquet"`
	Role     Role   `json:"role"`
}

// Object is one version of one object in the bucket.
type Object struct {
	Key       string `json:"key"`
	VersionID string `json:"versionId,omitempty"`
	Bytes     int64  `json:"bytes"`
	// SHA256 of the whole object, lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// File is a file of rows.
type File struct {
	Object
	// Format is "parquet" or "csv".
	Format string `json:"format"`
	// Channel is the channel of a csv file: Train, Validation, Test or Batch.
	Channel string `json:"channel,omitempty"`
	Rows    int64  `json:"rows"`
}

// Channel is one input of the training job, by the names Train, Validation and Test; or, by the name Batch, what the model scores.
type Channel struct {
	// Manifest is SageMaker's own ManifestFile: it lists exactly the committed files of the channel.
	Manifest Object `json:"manifest"`
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`
	Files    int    `json:"files"`
}

// The channels.
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
	// Batch has all rows, by key and without label, for a model that scores batches. It is never trained on.
	Batch = "batch"
)

// Smoke is one request for the endpoint.
type Smoke struct {
	ContentType string `json:"contentType"`
	Body        string `json:"body"`
}

// The keys of a run's objects. Whatever an attempt writes has the attempt's name in its key, so that no attempt can change or complete
// what another one committed. Below RunsPrefix, a training file is two folders deep: SageMaker's XGBoost skips files that are more than three
// levels down with nothing but a log line, and takes names that begin with a dot for an error.

// RunsPrefix is where the runs of a pipeline are. It ends with a slash.
func RunsPrefix(pipeline string) string { return pipeline + "/runs/" }

// DataKey is the key of the n-th Parquet file of an attempt.
func DataKey(pipeline string, id run.ID, attempt string, n int) string {
	return fmt.Sprintf("%s%s/data/%s-%05d.parquet", RunsPrefix(pipeline), id, attempt, n)
}

// ChannelKey is the key of the n-th file of an attempt in a channel.
func ChannelKey(pipeline string, id run.ID, attempt, channel string, n int) string {
	return fmt.Sprintf("%s%s/%s/%s-%05d.csv", RunsPrefix(pipeline), id, channel, attempt, n)
}

// KeysKey is the key of a file of key digests of an attempt.
func KeysKey(pipeline string, id run.ID, attempt, name string) string {
	return fmt.Sprintf("%s%s/keys/%s-%s", RunsPrefix(pipeline), id, attempt, name)
}

// CommitPrefix is where the objects are that an attempt makes of a run's parts when it commits: the manifest, the channels'
// ManifestFiles, the signature. It ends with a slash.
func CommitPrefix(pipeline string, id run.ID, attempt string) string {
	return fmt.Sprintf("%s%s/commit-%s/", RunsPrefix(pipeline), id, attempt)
}

// Key is the key of the manifest that an attempt writes.
func Key(pipeline string, id run.ID, attempt string) string {
	return CommitPrefix(pipeline, id, attempt) + "manifest.json"
}

// ChannelManifestKey is the key of the SageMaker ManifestFile of a channel.
func ChannelManifestKey(pipeline string, id run.ID, attempt, channel string) string {
	return CommitPrefix(pipeline, id, attempt) + channel + ".manifest"
}

// SignatureKey is the key of the signature that an attempt writes.
func SignatureKey(pipeline string, id run.ID, attempt string) string {
	return CommitPrefix(pipeline, id, attempt) + "signature.json"
}

// TrainingWindowKey is the key of the list of runs that the channels are of.
func TrainingWindowKey(pipeline string, id run.ID, attempt string) string {
	return CommitPrefix(pipeline, id, attempt) + "window.json"
}

// ModelPrefix is the S3OutputPath of the pipeline's training jobs: a job writes <ModelPrefix><job>/output/model.tar.gz,
// and the workflow puts the signature beside it as <ModelPrefix><job>/signature.json. It ends with a slash.
func ModelPrefix(pipeline string) string {
	return pipeline + "/models/"
}

// ExecutionInput is the input of the workflow's execution for the run, whose name is the run id. It is a function of the
// committed manifest alone, but for what the pipeline's gate and a person add, so that starting an execution again is idempotent, and it is small
// whatever the run's size.
type ExecutionInput struct {
	Pipeline      string `json:"pipeline"`
	Run           run.ID `json:"run"`
	ScheduledTime string `json:"scheduledTime"`
	Bucket        string `json:"bucket"`
	// Manifest is the key of the run's manifest.
	Manifest string `json:"manifest"`
	Rows     int64  `json:"rows"`
	// Channels maps a channel's name to the s3:// URI of its SageMaker ManifestFile. "validation" and "test" are absent when
	// their split is 0, "batch" unless the model scores batches.
	Channels map[string]string `json:"channels"`
	// Signature is the key of signature.json.
	Signature string `json:"signature"`
	Smoke     Smoke  `json:"smoke"`
	// Lineage is what the model registry says of where a model's data comes from.
	Lineage Lineage `json:"lineage"`
	// Holdout is the channel that the gate compares models on; empty without a gate.
	Holdout string `json:"holdout,omitempty"`
	// Resume is set when a person starts the workflow again somewhere in its middle.
	Resume *Resume `json:"resume,omitempty"`
}

// Lineage is where a run's rows come from, in words that the model registry takes as metadata: 1 to 256 letters, digits, blanks and _.:/=+-@
// each. Source: CustomerMetadataValue in SageMaker's API model.
type Lineage struct {
	Manifest     string `json:"manifest"`
	QuerySHA256  string `json:"querySha256"`
	SchemaSHA256 string `json:"schemaSha256"`
	Generation   string `json:"generation"`
	// Bounds are the cursor's of an append load: "Version from 0x10 to 0x20"; "none" of a full one.
	Bounds string `json:"bounds"`
	// Window is @windowStart and @windowEnd: "2025-12-01T02:00:00Z to 2026-01-01T02:00:00Z"; "none" without.
	Window string `json:"window"`
	Rows   string `json:"rows"`
}

// Step is where the workflow can be started again.
type Step string

// The steps to start again from.
const (
	FromTrain    Step = "train"
	FromEvaluate Step = "evaluate"
	FromDeploy   Step = "deploy"
)

// Resume says where the workflow begins for a run that went through it before, who wanted that and why.
type Resume struct {
	From Step `json:"from"`
	// Model is the training job whose artifact is evaluated or deployed, which is also the SageMaker model's name; empty from train.
	Model  string `json:"model,omitempty"`
	By     string `json:"by"`
	Reason string `json:"reason"`
	// Rollback lets the model take the place of a later run's.
	Rollback bool `json:"rollback,omitempty"`
}

// ExecutionInput gives the input of the workflow for this run in this bucket.
func (m Manifest) ExecutionInput(bucket string) ExecutionInput {
	channels := make(map[string]string, len(m.Channels))
	for name, c := range m.Channels {
		channels[name] = "s3://" + bucket + "/" + c.Manifest.Key
	}
	signature := ""
	if m.Signature != nil {
		signature = m.Signature.Key
	}
	return ExecutionInput{
		Pipeline:      m.Pipeline,
		Run:           m.Run,
		ScheduledTime: m.ScheduledTime.UTC().Format(time.RFC3339),
		Bucket:        bucket,
		Manifest:      Key(m.Pipeline, m.Run, m.Attempt),
		Rows:          m.Rows,
		Channels:      channels,
		Signature:     signature,
		Smoke:         m.Smoke,
		Lineage:       m.lineage(),
	}
}

func (m Manifest) lineage() Lineage {
	bounds, window := "", ""
	if b := m.Bounds; b != nil {
		from := b.From
		if from == "" {
			from = "the lowest"
		}
		bounds = fmt.Sprintf("%s from %s to %s", b.Column, from, b.To)
	}
	if w := m.Window; w != nil {
		window = w.Start.UTC().Format(time.RFC3339) + " to " + w.End.UTC().Format(time.RFC3339)
	}
	return Lineage{
		Manifest: metadata(Key(m.Pipeline, m.Run, m.Attempt)), QuerySHA256: metadata(m.QuerySHA256), SchemaSHA256: metadata(m.SchemaSHA256),
		Generation: strconv.Itoa(m.Generation), Bounds: metadata(bounds), Window: metadata(window), Rows: strconv.FormatInt(m.Rows, 10),
	}
}

// metadata makes a text one that the model registry takes. A column of SQL Server may be called anything.
func metadata(s string) string {
	if s == "" {
		return "none"
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Z, r) || strings.ContainsRune("_.:/=+-@", r) {
			return r
		}
		return '_'
	}, s)
	if runes := []rune(s); len(runes) > maxMetadata {
		return string(runes[:maxMetadata])
	}
	return s
}

const maxMetadata = 256
