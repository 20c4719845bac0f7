package config

import "sagemaker-datapipeline/lambda/pipeline"

// Pipeline is one model that is kept trained on what is in SQL Server.
type Pipeline struct {
	// Whether the pipeline is deployed. An environment's override leaves it out, or puts it in.
	Enabled *bool `json:"enabled" defaultText:"true"`
	// What the pipeline is for: a sentence for people.
	Description string `json:"description"`
	// When it runs.
	Schedule Schedule `json:"schedule" required:"true"`
	// What it reads.
	Source Source `json:"source" required:"true"`
	// What the columns are to the model.
	Dataset Dataset `json:"dataset" required:"true"`
	// The function that exports.
	Export Export `json:"export"`
	// What a run's data must be to be trained on. Without it every run is.
	Quality *Quality `json:"quality"`
	// The training job. Without it and the endpoint, the pipeline only exports.
	Training *Training `json:"training"`
	// When a trained model may take the place of the one in service. Of pipelines that train.
	Gate Gate `json:"gate"`
	// How the model is put to use. It comes with the training job, or not at all.
	Endpoint *Endpoint `json:"endpoint"`
	// After how long without news somebody is told.
	Clocks Clocks `json:"clocks"`
}

// Schedule is when a pipeline runs.
type Schedule struct {
	// EventBridge Scheduler's expression: `cron(minutes hours day-of-month month day-of-week year)` or
	// `rate(value unit)`, once a minute at most.
	Expression string `json:"expression" required:"true"`
	// The IANA time zone in which a cron expression is read.
	TimeZone string `json:"timeZone" default:"UTC"`
	// Whether the schedule fires. Without it the pipeline is there and runs when a person starts it.
	Enabled bool `json:"enabled" default:"true"`
}

// Source is what a pipeline reads: exactly one of query and table.
type Source struct {
	// The file of a query, relative to cdk.json: one SELECT. Its parameters are datetime2(0) in UTC: `@runTime` is the
	// scheduled time of the run, `@windowEnd` the same, and `@windowStart` as much earlier as `window` says.
	Query string `json:"query" oneOf:"kind"`
	// A table, as schema.name: all its columns are read, unless the dataset says otherwise.
	Table string `json:"table" oneOf:"kind"`
	// How a run's rows relate to those of the runs before. `full` reads everything, or the window, in each run. `append`
	// reads the rows that were added to a table since the last run: it needs `immutable` and a `cursor`.
	Load pipeline.Load `json:"load" default:"full" enum:"full,append" notYet:"upsert: rows that change or go are not merged yet; read the table, or a window of it that is longer than rows change, with the load full"`
	// How far before the run the window of a query begins. The query has to use `@windowStart`.
	Window *Window `json:"window"`
	// What a run is one state of. `statement` is what the database's isolation of one statement gives; `snapshot` is one
	// SNAPSHOT transaction on one connection, which the database has to allow.
	Consistency pipeline.Consistency `json:"consistency" default:"statement" enum:"statement,snapshot"`
	// Whether the server counts the rows by COUNT_BIG in the snapshot that they are read in, for the run to compare. It costs the
	// server a second scan. With the consistency `snapshot` only: a count of another moment would prove nothing.
	CountRows bool `json:"countRows" default:"false"`
	// A column that never changes in a row, such as its identity. The load is read in pages and ranges of it, over several
	// connections and functions: a table of any size. Without it, one statement reads everything.
	PartitionBy string `json:"partitionBy"`
	// Declares that rows of the table are added, and neither changed nor deleted. An append load needs it.
	Immutable bool `json:"immutable" default:"false"`
	// What an append load follows from run to run.
	Cursor *Cursor `json:"cursor"`
	// What a run does when its source isn't what the run before it read: the query was changed, the table made anew, the
	// database restored. `newGeneration` starts from the beginning, and trains on nothing from before.
	OnChange pipeline.ChangePolicy `json:"onChange" enum:"fail,newGeneration" defaultText:"newGeneration for a full load, fail for an append load"`
	// What a run does when the columns or their types changed, and the query didn't.
	OnSchemaChange pipeline.SchemaPolicy `json:"onSchemaChange" default:"fail" enum:"fail,accept"`
	// Which server is read. A full load may read the environment's `database.replica`.
	ReadFrom string `json:"readFrom" default:"primary" enum:"primary,replica"`
	// What an export refuses unless it is accepted here: `nolock`, a query that reads uncommitted rows; `fullScan`, a scan
	// of more than `export.maxScanRows`; `maskedColumns`, whose values are fakes to the login; `rowLevelSecurity`, which
	// hides rows from it; `encryptedColumns`, which come as ciphertext.
	Accept []pipeline.Consent `json:"accept" enum:"nolock,fullScan,maskedColumns,rowLevelSecurity,encryptedColumns"`

	// QueryText is what the file of the query holds.
	QueryText string `json:"-"`
}

// Window is how long a window is: exactly one of the units.
type Window struct {
	// Days of 24 hours.
	Days int `json:"days" oneOf:"unit" min:"1" max:"36500" limit:"a hundred years"`
	// Hours.
	Hours int `json:"hours" oneOf:"unit" min:"1" max:"876000" limit:"a hundred years"`
	// Minutes.
	Minutes int `json:"minutes" oneOf:"unit" min:"1" max:"52560000" limit:"a hundred years"`
}

// Cursor is a column whose values grow as rows are added: exactly one of the kinds.
type Cursor struct {
	// A rowversion column. It is exact: the server knows its oldest open transaction, and a run reads up to that.
	Rowversion string `json:"rowversion" oneOf:"kind"`
	// A column of ascending integers, such as an identity. A row that is committed later than a higher number is met again
	// within the overlap, and lost beyond it.
	Identity string `json:"identity" oneOf:"kind"`
	// A date and time column in UTC that is written when the row is. A run reads up to its scheduled time, and of a date up to
	// the day before: rows of later times wait. A row that is committed late is met again within the overlap, and lost beyond it.
	Time string `json:"time" oneOf:"kind"`
	// How many values below the last bound a run reads again, of `identity`. Rows that were read before are left out.
	OverlapValues int `json:"overlapValues" default:"1000" min:"1" max:"1000000000"`
	// How many minutes before the last bound a run reads again, of `time`. Longer than the longest transaction that adds
	// rows. Rows that were read before are left out.
	OverlapMinutes int `json:"overlapMinutes" default:"60" min:"1" max:"525600" limit:"a year"`
}

// Dataset says what the columns of the source are to the model.
type Dataset struct {
	// The files that training reads. `csv` has the label first and numbers only. `none` writes typed Parquet and nothing
	// else, for people, notebooks and SQL: there is no task, label, feature, split, training or endpoint then.
	Channels pipeline.Format `json:"channels" default:"csv" enum:"csv,none"`
	// What is predicted: `binary` labels are 0 or 1, `regression` labels are numbers. Needed with channels.
	Task pipeline.Task `json:"task" enum:"binary,regression"`
	// The columns that name a row. Their hash decides whether a row is for training, validation or test; they are no
	// features.
	Key []string `json:"key" required:"true"`
	// The column to predict. Needed with channels.
	Label string `json:"label"`
	// The label's values that mean 1, as text; all others mean 0. Of binary tasks.
	Positive []string `json:"positive" defaultText:"the label is 0 or 1 itself"`
	// What happens with a row whose label is NULL. `skip` keeps it in Parquet and out of the channels, and counts it.
	NullLabel pipeline.NullLabel `json:"nullLabel" default:"fail" enum:"fail,skip"`
	// The columns that the model learns from, in the order in which callers send them.
	Features []string `json:"features" defaultText:"every column that is neither key, label nor dropped, in the source's order"`
	// The columns that are read, in this order.
	Include []string `json:"include" defaultText:"all"`
	// Columns that are not read: they never leave the database.
	Drop []string `json:"drop"`
	// Rules for columns, by name.
	Columns map[string]ColumnRule `json:"columns"`
	// How rows are divided: three shares that add up to 1, or two moments.
	Split Split `json:"split"`
	// How far back a training of an append load reaches, by the runs' scheduled times. Needed with such a load and channels.
	TrainingWindow *TrainingWindow `json:"trainingWindow"`
}

// ColumnRule changes a column on its way: exactly one of hash, cast, oneHot and ordinal.
type ColumnRule struct {
	// Writes a keyed hash (HMAC-SHA256, hexadecimal) in the place of each value: rows can still be joined by it. The key is
	// `hashKey` in the database's secret.
	Hash bool `json:"hash" oneOf:"rule" default:"false"`
	// A type of SQL Server that the server casts the column to, such as float or decimal(18,4).
	Cast string `json:"cast" oneOf:"rule"`
	// Categories that become a feature of 0 or 1 each. Parquet keeps the column as it is.
	OneHot []string `json:"oneHot" oneOf:"rule"`
	// Categories whose places, from 0, are the feature. Parquet keeps the column as it is.
	Ordinal []string `json:"ordinal" oneOf:"rule"`
	// What a value is that is in no category. `missing` is 0 in every feature of a one-hot column, an empty field of an
	// ordinal one, and is counted.
	Unknown pipeline.Unknown `json:"unknown" default:"fail" enum:"fail,missing"`
}

// Split divides rows by a hash of their key or by time, so that a row is in the same part in every run.
type Split struct {
	// The share that the model learns from.
	Train float64 `json:"train" default:"0.8" min:"0" max:"1"`
	// The share that training watches to measure and to stop early.
	Validation float64 `json:"validation" default:"0.1" min:"0" max:"1"`
	// The share that training never sees.
	Test float64 `json:"test" default:"0.1" min:"0" max:"1"`
	// Keys the hash. Changing it deals all rows anew.
	Salt string `json:"salt" defaultText:"the pipeline's name"`
	// Divides by a time column instead of the hash: there are no shares and no salt then.
	Time *TimeSplit `json:"time"`
}

// TimeSplit divides rows at two fixed moments: those before the first are learnt from. They don't move with the run, so that a
// row stays where it is.
type TimeSplit struct {
	// A date or time column in UTC.
	Column string `json:"column" required:"true"`
	// Where validation begins, as in 2026-01-01T00:00:00Z.
	ValidationFrom string `json:"validationFrom" required:"true"`
	// Where the test begins, as in 2026-02-01T00:00:00Z.
	TestFrom string `json:"testFrom" required:"true"`
}

// TrainingWindow is how far back a training reaches: exactly one of the units.
type TrainingWindow struct {
	// Days of 24 hours.
	Days int `json:"days" oneOf:"unit" min:"1" max:"36500" limit:"a hundred years"`
	// Hours.
	Hours int `json:"hours" oneOf:"unit" min:"1" max:"876000" limit:"a hundred years"`
}

// Export is the function that reads SQL Server and writes S3, and what the database's owner allows it.
type Export struct {
	// The function's memory in MiB. Lambda gives a whole processor at 1769. The function needs 100, and for each of `connections`
	// 100 and 38 times the MiB of `maxValueBytes`.
	MemoryMiB int `json:"memoryMiB" default:"1769" min:"128" max:"10240" limit:"AWS Lambda"`
	// The function's time in seconds.
	TimeoutSeconds int `json:"timeoutSeconds" default:"900" min:"1" max:"900" limit:"AWS Lambda"`
	// How long connecting and logging in may take, in seconds.
	ConnectTimeoutSeconds int `json:"connectTimeoutSeconds" default:"15" min:"1" max:"300"`
	// How long each reading statement may take, in seconds.
	StatementTimeoutSeconds int `json:"statementTimeoutSeconds" default:"780" min:"1" max:"890"`
	// How long a statement waits for a lock before it gives up (error 1222), in seconds.
	LockTimeoutSeconds int `json:"lockTimeoutSeconds" default:"30" min:"0" max:"890"`
	// How many connections read at a time, over all functions. More than one needs `source.partitionBy`.
	Connections int `json:"connections" default:"1" min:"1" max:"32"`
	// How many rows a second are read at most, over all connections: there is a pause between two pages. Needs
	// `source.partitionBy`.
	RowsPerSecond int `json:"rowsPerSecond" min:"100" defaultText:"as fast as it goes"`
	// How many rows a page of a partitioned load has.
	PageRows int `json:"pageRows" default:"50000" min:"100" max:"5000000"`
	// How many rows a partition has, as far as the statistics can tell.
	PartitionRows int `json:"partitionRows" default:"5000000" min:"1000"`
	// How many rows, by the catalog's estimate, one function reads. Above it, Step Functions reads the partitions, a function
	// each.
	FunctionRows int `json:"functionRows" default:"50000000" min:"1000"`
	// The MAXDOP of the reading statements.
	MaxDOP int `json:"maxDop" min:"1" max:"64" limit:"SQL Server, more is never useful to a scan" defaultText:"the server's own setting"`
	// The size of a table, in rows by the catalog, above which it is scanned only with `fullScan` in `source.accept`.
	MaxScanRows int `json:"maxScanRows" default:"50000000" min:"1"`
	// The size of the largest value that is read. A larger one fails the run and is named. Each connection needs 38 times it of
	// the function's memory, besides 100 MiB.
	MaxValueBytes int `json:"maxValueBytes" default:"8388608" min:"8000" max:"268435456" limit:"what the function's memory can hold"`
	// What the database's owner sees of the connections, in sys.dm_exec_sessions.
	ApplicationName string `json:"applicationName" pattern:"^[ -~]{1,128}$" form:"1 to 128 characters of ASCII (SQL Server, program_name)" defaultText:"sagemaker-datapipeline and the pipeline's name"`
	// When the database may be read. A run outside is left to a later one.
	AllowedHours *Hours `json:"allowedHours" defaultText:"always"`
	// How often Lambda runs a failed export again.
	RetryAttempts int `json:"retryAttempts" default:"2" min:"0" max:"2" limit:"AWS Lambda, asynchronous invocation"`
	// How long a tick may wait to be run, in seconds. After that it is given up and announced.
	MaxEventAgeSeconds int `json:"maxEventAgeSeconds" default:"3600" min:"60" max:"21600" limit:"AWS Lambda, asynchronous invocation"`
}

// Hours is a part of each day.
type Hours struct {
	// The first minute inside.
	From string `json:"from" required:"true" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" form:"a time of day, such as 22:00"`
	// The first minute outside. Earlier than `from`, it is on the next day.
	To string `json:"to" required:"true" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" form:"a time of day, such as 05:30"`
	// The IANA time zone of both.
	TimeZone string `json:"timeZone" default:"UTC"`
}
