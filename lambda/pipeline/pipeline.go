// Package pipeline holds what a function must know of its pipeline: the query, the columns, the split.
//
// The CDK app writes a Spec into the function's deployment package as pipeline.json, beside the binary. So code and
// pipeline are deployed as one, the package's hash changes with either, and the 4 KB of environment variables stay free.
package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

// FileName is the name of the spec in the deployment package.
const FileName = "pipeline.json"

// Version is the version of the Spec that this code writes and reads.
const Version = 1

// Spec is one pipeline in one environment, as the export function needs it.
type Spec struct {
	Version     int    `json:"version"`
	Project     string `json:"project"`
	Environment string `json:"environment"`
	Pipeline    string `json:"pipeline"`

	Source  Source  `json:"source"`
	Dataset Dataset `json:"dataset"`
	Limits  Limits  `json:"limits"`
}

// Source is what is read: a query or a table, never both.
type Source struct {
	// QueryFile is the name of the query's file, for messages.
	QueryFile string `json:"queryFile,omitempty"`
	// Query is the text of the query: one SELECT. @runTime in it is the scheduled time of the run, a datetime2(0) in UTC.
	Query string `json:"query,omitempty"`
	// Table is a two-part name such as dbo.Transactions; all its columns are read.
	Table string `json:"table,omitempty"`
}

// Task is what the model predicts.
type Task string

// The tasks.
const (
	// Binary labels are 0 or 1 (a bit, or an integer or decimal with these values).
	Binary Task = "binary"
	// Regression labels are numbers.
	Regression Task = "regression"
)

// Dataset says what the columns of the source are to the model.
type Dataset struct {
	Task Task `json:"task"`
	// Key is the columns that name a row. Their hash decides the split; they are no features.
	Key []string `json:"key"`
	// Label is the column to predict.
	Label string `json:"label"`
	// Features in the order in which the model gets them. Empty: every column that is neither key, label nor dropped,
	// in the order of the query.
	Features []string `json:"features,omitempty"`
	// Drop names the columns that are read by the query but written nowhere.
	Drop []string `json:"drop,omitempty"`
	// Split is how the rows are divided; the three shares add up to 1.
	Split Split `json:"split"`
}

// Split divides rows by a keyed hash, so a row is in the same split in every run.
type Split struct {
	Train      float64 `json:"train"`
	Validation float64 `json:"validation"`
	Test       float64 `json:"test"`
	// Salt keys the hash. Changing it deals the rows anew.
	Salt string `json:"salt"`
}

// Limits are what the database's owner allows.
type Limits struct {
	// ConnectTimeoutSeconds bounds connecting and logging in.
	ConnectTimeoutSeconds int `json:"connectTimeoutSeconds"`
	// StatementTimeoutSeconds bounds the reading statement.
	StatementTimeoutSeconds int `json:"statementTimeoutSeconds"`
	// LockTimeoutSeconds is how long the statement waits for a lock (SET LOCK_TIMEOUT) before error 1222.
	LockTimeoutSeconds int `json:"lockTimeoutSeconds"`
}

// Name is the prefix of everything that SageMaker holds for this pipeline, and the name of its endpoint.
func (s Spec) Name() string {
	return Name(s.Project, s.Environment, s.Pipeline)
}

// Name is the prefix of everything that SageMaker holds for a pipeline: "ml-dev-fraud".
func Name(project, environment, pipeline string) string {
	return project + "-" + environment + "-" + pipeline
}

// Hash is the SHA-256 of what decides a run's content, in lower-case hexadecimal: what a manifest says about which pipeline
// wrote it. The limits and the name of the query's file are left out: with others the run would hold the same.
func (s Spec) Hash() string {
	s.Limits = Limits{}
	s.Source.QueryFile = ""
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("a pipeline spec holds only what JSON can say: %v", err))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Read reads the spec at path, strictly: an unknown field or another version is an error.
func Read(path string) (Spec, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("reading the pipeline spec: %w", err)
	}
	return Decode(b)
}

// Decode is Read for bytes.
func Decode(b []byte) (Spec, error) {
	var s Spec
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("decoding the pipeline spec: %w: deploy the pipeline again, its code and its spec come from different versions", err)
	}
	if s.Version != Version {
		return Spec{}, fmt.Errorf("the pipeline spec has version %d, this function reads version %d: deploy the pipeline again", s.Version, Version)
	}
	return s, nil
}
