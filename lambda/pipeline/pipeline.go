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
	"slices"
)

// FileName is the name of the spec in the deployment package.
const FileName = "pipeline.json"

// Version is the version of the Spec that this code writes and reads.
const Version = 2

// Spec is one pipeline in one environment, as the export function needs it.
type Spec struct {
	Version     int    `json:"version"`
	Project     string `json:"project"`
	Environment string `json:"environment"`
	Pipeline    string `json:"pipeline"`

	Source  Source  `json:"source"`
	Dataset Dataset `json:"dataset"`
	Limits  Limits  `json:"limits"`

	// Quality is what a run's data must be to be trained on; nil: nothing is checked.
	Quality *Quality `json:"quality,omitempty"`
	// When says which committed runs are trained on; nil: each.
	When *When `json:"when,omitempty"`
	// Gate says when a trained model may take the place of the one in service; nil in a pipeline that only exports.
	Gate *Gate `json:"gate,omitempty"`
	// Deploy is how the model is put to use; empty in a pipeline that only exports.
	Deploy Deploy `json:"deploy,omitempty"`
}

// Deploy is how a model is put to use.
type Deploy string

// The ways to put a model to use.
const (
	// Endpoint serves the model on machines of its own.
	Endpoint Deploy = "endpoint"
	// Serverless serves the model on machines that come and go.
	Serverless Deploy = "serverless"
	// Batch scores the run's rows into S3: there is no endpoint. The export writes the channel "batch" for it: the key's columns, then the features.
	Batch Deploy = "batch"
)

// Quality is what a run's data must be to be trained on.
type Quality struct {
	// Rules are in DQDL, the rule language of AWS Glue: the whole text, "Rules = [ … ]". Empty: none.
	Rules string `json:"rules,omitempty"`
	// Drift compares the run with the last accepted one; nil: not.
	Drift *Drift `json:"drift,omitempty"`
	// Private are columns whose values no notice and no log shows. Keys, hashed and dropped columns are private without being named.
	Private []string `json:"private,omitempty"`
}

// Drift is how far a run may be from the last accepted one. 0 switches a comparison off.
type Drift struct {
	// Rows is the largest relative change of the number of rows: 0.5 is from half to one and a half.
	Rows float64 `json:"rows,omitempty"`
	// Nulls is the largest absolute change of a column's share of NULLs.
	Nulls float64 `json:"nulls,omitempty"`
	// Mean is the largest change of a number's mean, in standard deviations of the last accepted run.
	Mean float64 `json:"mean,omitempty"`
	// PSI is the largest population stability index of a category column's shares.
	PSI float64 `json:"psi,omitempty"`
}

// When says which committed runs are trained on: exactly one is set.
type When struct {
	// EverySeconds trains when the last training that was started is at least so long ago, by the runs' scheduled times.
	EverySeconds int64 `json:"everySeconds,omitempty"`
	// AfterRows trains when so many rows were committed since the last training that was started.
	AfterRows int64 `json:"afterRows,omitempty"`
}

// Gate says when a trained model may take the place of the one in service.
type Gate struct {
	// Metric decides: "auc", "logloss", "f1", "rmse", "mae" or "wape".
	Metric string `json:"metric"`
	// Holdout is the channel that decides: "test" or "validation".
	Holdout string `json:"holdout"`
	// AtLeast and AtMost are absolute thresholds; nil: none.
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
	// Worse is by which part of the champion's value the candidate may be worse: 0.02 lets 0.900 be followed by 0.882.
	Worse float64 `json:"worse"`
	// Threshold is the score above which F1 takes an answer for 1.
	Threshold float64 `json:"threshold,omitempty"`
	// SignatureChange says that a model with another signature may take the place of the one in service.
	SignatureChange bool `json:"signatureChange,omitempty"`
}

// Source is what is read: a query or a table, never both.
type Source struct {
	// QueryFile is the name of the query's file, for messages.
	QueryFile string `json:"queryFile,omitempty"`
	// Query is the text of the query: one SELECT. Its parameters are datetime2(0) in UTC: @runTime is the scheduled time of the
	// run, @windowEnd the same, @windowStart as much earlier as Window says.
	Query string `json:"query,omitempty"`
	// Table is a two-part name such as dbo.Transactions.
	Table string `json:"table,omitempty"`
	// Load says how a run's rows relate to those of the runs before it.
	Load Load `json:"load"`
	// WindowSeconds is how far @windowStart is before @runTime; 0: the query has no window.
	WindowSeconds int64 `json:"windowSeconds,omitempty"`
	// Consistency is what a full load is one state of.
	Consistency Consistency `json:"consistency,omitempty"`
	// CountRows has the server count the rows, by COUNT_BIG in the snapshot that they are read in. It costs the server a second scan.
	CountRows bool `json:"countRows,omitempty"`
	// PartitionBy is an immutable column by whose ranges a load is read in pages, over several connections and functions. Empty:
	// one statement on one connection.
	PartitionBy string `json:"partitionBy,omitempty"`
	// Cursor is what an append load follows; nil for a full load.
	Cursor *Cursor `json:"cursor,omitempty"`
	// OnChange says what happens when the query changed, the table was made anew or the database restored.
	OnChange ChangePolicy `json:"onChange,omitempty"`
	// OnSchemaChange says what happens when the columns or their types changed and the query didn't.
	OnSchemaChange SchemaPolicy `json:"onSchemaChange,omitempty"`
	// Replica says that the rows are read from the environment's read replica.
	Replica bool `json:"replica,omitempty"`
	// Accept names what is refused unless somebody asked for it.
	Accept []Consent `json:"accept,omitempty"`
}

// Load is how a run's rows relate to those of the runs before it.
type Load string

// The loads.
const (
	// Full reads the whole table or query, or its window, in each run: a run stands alone.
	Full Load = "full"
	// Append reads the rows that were added to a table, declared immutable, since the last committed run.
	Append Load = "append"
)

// Consistency is what a full load is one state of.
type Consistency string

// The consistencies.
const (
	// Statement is what the database's isolation of one statement gives.
	Statement Consistency = "statement"
	// Snapshot is one SNAPSHOT transaction on one connection: the state at its beginning, whatever the load's statements.
	Snapshot Consistency = "snapshot"
)

// Cursor is what an append load follows from run to run.
type Cursor struct {
	Kind   CursorKind `json:"kind"`
	Column string     `json:"column"`
	// Overlap is how far below the last bound a run reads again, to meet rows that were committed late: seconds of a time
	// column, values of an identity column. 0 for a rowversion, which needs none.
	Overlap int64 `json:"overlap,omitempty"`
}

// CursorKind is the kind of a cursor's column.
type CursorKind string

// The kinds of cursors.
const (
	// RowversionCursor is a rowversion column: exact, because the server knows its oldest open transaction.
	RowversionCursor CursorKind = "rowversion"
	// IdentityCursor is a column of ascending integers.
	IdentityCursor CursorKind = "identity"
	// TimeCursor is a date and time column in UTC, written when the row is.
	TimeCursor CursorKind = "time"
)

// ChangePolicy says what a run does when its source isn't what the run before it read.
type ChangePolicy string

// The policies for a changed source.
const (
	// FailOnChange ends the run with an error that names what changed.
	FailOnChange ChangePolicy = "fail"
	// NewGeneration starts from the beginning: the runs before are in no training window any more.
	NewGeneration ChangePolicy = "newGeneration"
)

// SchemaPolicy says what a run does when its columns aren't those of the run before it.
type SchemaPolicy string

// The policies for changed columns.
const (
	FailOnSchemaChange SchemaPolicy = "fail"
	AcceptSchemaChange SchemaPolicy = "accept"
)

// Consent is something that an export refuses unless it is asked for by name.
type Consent string

// The consents.
const (
	// AcceptNoLock lets a query read uncommitted rows (NOLOCK, READUNCOMMITTED).
	AcceptNoLock Consent = "nolock"
	// AcceptFullScan lets a run scan a table of more rows than Limits.MaxScanRows.
	AcceptFullScan Consent = "fullScan"
	// AcceptMasked takes the fake values that the login sees of a dynamically masked column.
	AcceptMasked Consent = "maskedColumns"
	// AcceptRowSecurity takes the rows that a security policy leaves visible to the login.
	AcceptRowSecurity Consent = "rowLevelSecurity"
	// AcceptEncrypted takes the ciphertext of Always Encrypted columns, as binary.
	AcceptEncrypted Consent = "encryptedColumns"
)

// Accepts says whether a consent was given.
func (s Source) Accepts(c Consent) bool { return slices.Contains(s.Accept, c) }

// Task is what the model predicts.
type Task string

// The tasks.
const (
	// Binary labels are 0 or 1 (a bit, or an integer or decimal with these values).
	Binary Task = "binary"
	// Regression labels are numbers.
	Regression Task = "regression"
)

// Format is the form of the training channels.
type Format string

// The formats of the channels. A further one gets its writer in lambda/internal/channels.
const (
	// CSV is one line per row without a header: the label, then the features.
	CSV Format = "csv"
	// NoChannels writes typed Parquet only: a run for people, notebooks and SQL, and for no training job of ours.
	NoChannels Format = "none"
)

// Dataset says what the columns of the source are to the model.
type Dataset struct {
	Task Task `json:"task,omitempty"`
	// Format of the training channels.
	Format Format `json:"format"`
	// Key is the columns that name a row. Their hash decides the split; they are no features.
	Key []string `json:"key"`
	// Label is the column to predict.
	Label string `json:"label,omitempty"`
	// Positive are the label's values that mean 1, as text; others mean 0. Empty: the label is a number.
	Positive []string `json:"positive,omitempty"`
	// NullLabel says what happens with a row whose label is NULL.
	NullLabel NullLabel `json:"nullLabel,omitempty"`
	// Features in the order in which the model gets them. Empty: every column that is neither key, label nor dropped,
	// in the order of the query.
	Features []string `json:"features,omitempty"`
	// Include names the columns that are read, in their order; empty: all.
	Include []string `json:"include,omitempty"`
	// Drop names the columns that are not read.
	Drop []string `json:"drop,omitempty"`
	// Columns are rules for columns, by name.
	Columns map[string]ColumnRule `json:"columns,omitempty"`
	// Split is how the rows are divided; the three shares add up to 1.
	Split Split `json:"split"`
	// WindowSeconds is how far back the training window of an append load reaches, by the runs' scheduled times; 0: to the beginning
	// of the generation.
	WindowSeconds int64 `json:"windowSeconds,omitempty"`
}

// NullLabel says what happens with a row whose label is NULL.
type NullLabel string

// What can happen with a row whose label is NULL.
const (
	FailOnNullLabel NullLabel = "fail"
	// SkipNullLabel keeps the row in Parquet and out of the channels, and counts it.
	SkipNullLabel NullLabel = "skip"
)

// ColumnRule changes a column on its way: exactly one of Hash, Cast, OneHot and Ordinal is set.
type ColumnRule struct {
	// Hash writes HMAC-SHA256 of the value's text under the secret's hashKey, in hexadecimal, instead of the value.
	Hash bool `json:"hash,omitempty"`
	// Cast is a type of SQL Server that the server casts the column to: "float", "decimal(18,4)".
	Cast string `json:"cast,omitempty"`
	// OneHot are the categories that become a feature of 0 or 1 each; the Parquet files keep the column as it is.
	OneHot []string `json:"oneHot,omitempty"`
	// Ordinal are the categories whose places, from 0, are the feature; the Parquet files keep the column as it is.
	Ordinal []string `json:"ordinal,omitempty"`
	// Unknown says what a value outside the categories is.
	Unknown Unknown `json:"unknown,omitempty"`
}

// Unknown says what a value outside a column's declared categories is to the model.
type Unknown string

// What an unknown category can be.
const (
	FailOnUnknown Unknown = "fail"
	// MissingUnknown is 0 in every feature of a one-hot column, and an empty field for an ordinal one. It is counted.
	MissingUnknown Unknown = "missing"
)

// Split divides rows by a keyed hash of their key or by time, so a row is in the same split in every run.
type Split struct {
	Train      float64 `json:"train"`
	Validation float64 `json:"validation"`
	Test       float64 `json:"test"`
	// Salt keys the hash. Changing it deals the rows anew.
	Salt string `json:"salt,omitempty"`
	// Time divides by a column instead of the hash; the shares are not used then.
	Time *TimeSplit `json:"time,omitempty"`
}

// TimeSplit divides rows by a date or time column at two fixed moments: rows before ValidationFrom are for training, those before
// TestFrom for validation, the rest for the test. The moments are fixed, not relative to the run, so that a row stays where it is.
type TimeSplit struct {
	Column string `json:"column"`
	// ValidationFrom and TestFrom are RFC 3339 times.
	ValidationFrom string `json:"validationFrom"`
	TestFrom       string `json:"testFrom"`
}

// Limits are what the database's owner allows, and what bounds the function. None of them changes which rows a run holds.
type Limits struct {
	// ConnectTimeoutSeconds bounds connecting and logging in.
	ConnectTimeoutSeconds int `json:"connectTimeoutSeconds"`
	// StatementTimeoutSeconds bounds each reading statement.
	StatementTimeoutSeconds int `json:"statementTimeoutSeconds"`
	// LockTimeoutSeconds is how long the statement waits for a lock (SET LOCK_TIMEOUT) before error 1222.
	LockTimeoutSeconds int `json:"lockTimeoutSeconds"`
	// Connections is how many connections the pipeline reads with at a time, over all its functions. 0: 1.
	Connections int `json:"connections,omitempty"`
	// RowsPerSecond is how fast the pipeline reads at most, over all its connections. 0: as fast as it goes.
	RowsPerSecond int `json:"rowsPerSecond,omitempty"`
	// PageRows is how many rows a page of a partitioned load has at most.
	PageRows int64 `json:"pageRows,omitempty"`
	// PartitionRows is how many rows a partition has, as far as the statistics can tell.
	PartitionRows int64 `json:"partitionRows,omitempty"`
	// FunctionRows is how many rows, by the catalog's estimate, one function reads before the export is handed to a distributed map.
	FunctionRows int64 `json:"functionRows,omitempty"`
	// MaxDOP is the MAXDOP of the statements. 0: the server's setting.
	MaxDOP int `json:"maxDop,omitempty"`
	// MaxScanRows is the size of a table, in rows by the catalog, above which it is scanned only with AcceptFullScan.
	MaxScanRows int64 `json:"maxScanRows,omitempty"`
	// MaxValueBytes is the size of the largest value that is read.
	MaxValueBytes int64 `json:"maxValueBytes,omitempty"`
	// ApplicationName is what the database's owner sees in sys.dm_exec_sessions. Empty: "sagemaker-datapipeline " and the pipeline's name.
	ApplicationName string `json:"applicationName,omitempty"`
	// AllowedHours are when the database may be read; nil: always.
	AllowedHours *Hours `json:"allowedHours,omitempty"`
}

// Hours are a part of each day.
type Hours struct {
	// From and To are times of day, "22:00"; To is the first minute outside. From after To spans midnight.
	From string `json:"from"`
	To   string `json:"to"`
	// TimeZone is an IANA name.
	TimeZone string `json:"timeZone"`
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
// wrote it. The limits, the name of the query's file, and what is decided
// on the run later are left out: with others the run would hold the same.
func (s Spec) Hash() string {
	s.Limits = Limits{}
	s.Source.QueryFile = ""
	s.Quality, s.When, s.Gate = nil, nil, nil
	if s.Deploy != Batch {
		s.Deploy = "" // only a batch reads a channel of its own
	}
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
