// Package manifest holds the one truth about what a run exported.
//
// A run's files count only when its manifest names them. The manifest is written last and conditionally on not existing,
// so of two attempts at one run exactly one commits.
package manifest

import (
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/run"
)

// Version is the version of the format that this code writes.
const Version = 1

// Manifest says what one run exported.
type Manifest struct {
	Version       int       `json:"version"`
	Project       string    `json:"project"`
	Environment   string    `json:"environment"`
	Pipeline      string    `json:"pipeline"`
	Run           run.ID    `json:"run"`
	ScheduledTime time.Time `json:"scheduledTime"`
	// Attempt names the attempt whose files these are; it is part of their keys.
	Attempt     string    `json:"attempt"`
	StartedAt   time.Time `json:"startedAt"`
	CommittedAt time.Time `json:"committedAt"`
	// SpecSHA256 and QuerySHA256 say which pipeline and which SQL wrote this run.
	SpecSHA256  string `json:"specSha256"`
	QuerySHA256 string `json:"querySha256"`

	Source  Source   `json:"source"`
	Columns []Column `json:"columns"`
	// Rows is the number of rows that the source gave: every one of them is in the Parquet files and in one channel.
	Rows int64 `json:"rows"`
	// Bytes is the size of all files.
	Bytes    int64              `json:"bytes"`
	Files    []File             `json:"files"`
	Channels map[string]Channel `json:"channels"`
	// Signature is what the model's callers must know.
	Signature Object `json:"signature"`
	// Smoke is one row of features as the endpoint takes it, for the workflow's smoke test.
	Smoke Smoke `json:"smoke"`
}

// Source is where the rows came from, and what that guarantees.
type Source struct {
	Server        string `json:"server"`
	Database      string `json:"database"`
	ServerVersion string `json:"serverVersion"`
	Isolation     string `json:"isolation"`
	// Guarantee says in words which rows the run holds. Nothing beyond it is claimed.
	Guarantee string `json:"guarantee"`
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
	// Channel is the channel of a csv file.
	Channel string `json:"channel,omitempty"`
	Rows    int64  `json:"rows"`
}

// Channel is one input of the training job. Its names are Train, Validation and Test.
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
)

// Smoke is one request for the endpoint.
type Smoke struct {
	ContentType string `json:"contentType"`
	Body        string `json:"body"`
}

// Key is the key of a run's manifest.
func Key(pipeline string, id run.ID) string {
	return fmt.Sprintf("%s/runs/%s/manifest.json", pipeline, id)
}

// DataPrefix is where an attempt's Parquet files are. It ends with a slash.
func DataPrefix(pipeline string, id run.ID, attempt string) string {
	return fmt.Sprintf("%s/runs/%s/data/%s/", pipeline, id, attempt)
}

// ChannelPrefix is where an attempt's files of one channel are. It ends with a slash, and the files are directly below
// it: SageMaker's XGBoost skips folders that are more than three levels deep with nothing but a log line.
func ChannelPrefix(pipeline string, id run.ID, attempt, channel string) string {
	return fmt.Sprintf("%s/runs/%s/channels/%s/%s/", pipeline, id, attempt, channel)
}

// ChannelManifestKey is the key of the SageMaker ManifestFile of a channel: beside the channel's prefix, not below it,
// so that it can't be taken for data.
func ChannelManifestKey(pipeline string, id run.ID, attempt, channel string) string {
	return fmt.Sprintf("%s/runs/%s/channels/%s/%s.manifest", pipeline, id, attempt, channel)
}

// SignatureKey is the key of the signature that an attempt writes.
func SignatureKey(pipeline string, id run.ID, attempt string) string {
	return fmt.Sprintf("%s/runs/%s/channels/%s/signature.json", pipeline, id, attempt)
}

// ModelPrefix is the S3OutputPath of the pipeline's training jobs: a job writes <ModelPrefix><job>/output/model.tar.gz,
// and the workflow puts the signature beside it as <ModelPrefix><job>/signature.json. It ends with a slash.
func ModelPrefix(pipeline string) string {
	return pipeline + "/models/"
}

// ExecutionInput is the input of the workflow's execution for the run, whose name is the run id. It is a function of the
// committed manifest alone, so that starting an execution again is idempotent, and it is small whatever the run's size.
type ExecutionInput struct {
	Pipeline      string `json:"pipeline"`
	Run           run.ID `json:"run"`
	ScheduledTime string `json:"scheduledTime"`
	Bucket        string `json:"bucket"`
	// Manifest is the key of the run's manifest.
	Manifest string `json:"manifest"`
	Rows     int64  `json:"rows"`
	// Channels maps a channel's name to the s3:// URI of its SageMaker ManifestFile. "validation" and "test" are absent when
	// their split is 0.
	Channels map[string]string `json:"channels"`
	// Signature is the key of signature.json.
	Signature string `json:"signature"`
	Smoke     Smoke  `json:"smoke"`
}

// ExecutionInput gives the input of the workflow for this run in this bucket.
func (m Manifest) ExecutionInput(bucket string) ExecutionInput {
	channels := make(map[string]string, len(m.Channels))
	for name, c := range m.Channels {
		channels[name] = "s3://" + bucket + "/" + c.Manifest.Key
	}
	return ExecutionInput{
		Pipeline:      m.Pipeline,
		Run:           m.Run,
		ScheduledTime: m.ScheduledTime.UTC().Format(time.RFC3339),
		Bucket:        bucket,
		Manifest:      Key(m.Pipeline, m.Run),
		Rows:          m.Rows,
		Channels:      channels,
		Signature:     m.Signature.Key,
		Smoke:         m.Smoke,
	}
}
