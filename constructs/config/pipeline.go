package config

import (
	"fmt"

	"sagemaker-datapipeline/lambda/pipeline"
)

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
	// The training job.
	Training Training `json:"training" required:"true"`
	// The endpoint that serves the model.
	Endpoint Endpoint `json:"endpoint" required:"true"`
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

// Source is what a pipeline reads: exactly one of the kinds.
type Source struct {
	// The file of a query, relative to cdk.json: one SELECT. `@runTime` in it is the scheduled time of the run, a
	// datetime2(0) in UTC.
	Query string `json:"query" oneOf:"kind"`
	// A table, as schema.name: all its columns are read.
	Table string `json:"table" oneOf:"kind"`

	// QueryText is what the file of the query holds.
	QueryText string `json:"-"`
}

// Dataset says what the columns of the source are to the model.
type Dataset struct {
	// What is predicted: `binary` labels are 0 or 1, `regression` labels are numbers.
	Task pipeline.Task `json:"task" required:"true" enum:"binary,regression"`
	// The columns that name a row. Their hash decides whether a row is for training, validation or test; they are no
	// features.
	Key []string `json:"key" required:"true"`
	// The column to predict.
	Label string `json:"label" required:"true"`
	// The columns that the model learns from, in the order in which callers send them.
	Features []string `json:"features" defaultText:"every column that is neither key, label nor dropped, in the source's order"`
	// Columns that are read and written nowhere.
	Drop []string `json:"drop"`
	// How rows are divided: three shares that add up to 1.
	Split Split `json:"split"`
}

// Split divides rows by a hash of their key, so that a row is in the same part in every run.
type Split struct {
	// The share that the model learns from.
	Train float64 `json:"train" default:"0.8" min:"0" max:"1"`
	// The share that training watches to measure and to stop early.
	Validation float64 `json:"validation" default:"0.1" min:"0" max:"1"`
	// The share that training never sees.
	Test float64 `json:"test" default:"0.1" min:"0" max:"1"`
	// Keys the hash. Changing it deals all rows anew.
	Salt string `json:"salt" defaultText:"the pipeline's name"`
}

// Export is the function that reads SQL Server and writes S3.
type Export struct {
	// The function's memory in MiB. Lambda gives a whole processor at 1769.
	MemoryMiB int `json:"memoryMiB" default:"1769" min:"128" max:"10240" limit:"AWS Lambda"`
	// The function's time in seconds.
	TimeoutSeconds int `json:"timeoutSeconds" default:"900" min:"1" max:"900" limit:"AWS Lambda"`
	// How long connecting and logging in may take, in seconds.
	ConnectTimeoutSeconds int `json:"connectTimeoutSeconds" default:"15" min:"1" max:"300"`
	// How long the reading statement may take, in seconds.
	StatementTimeoutSeconds int `json:"statementTimeoutSeconds" default:"780" min:"1" max:"890"`
	// How long the statement waits for a lock before it gives up (error 1222), in seconds.
	LockTimeoutSeconds int `json:"lockTimeoutSeconds" default:"30" min:"0" max:"890"`
	// How often Lambda runs a failed export again.
	RetryAttempts int `json:"retryAttempts" default:"2" min:"0" max:"2" limit:"AWS Lambda, asynchronous invocation"`
	// How long a tick may wait to be run, in seconds. After that it is given up and announced.
	MaxEventAgeSeconds int `json:"maxEventAgeSeconds" default:"3600" min:"60" max:"21600" limit:"AWS Lambda, asynchronous invocation"`
}

// Training is the training job.
type Training struct {
	// The built-in algorithm of SageMaker.
	Algorithm string `json:"algorithm" default:"xgboost" enum:"xgboost"`
	// The version of the algorithm's image.
	Version string `json:"version" default:"3.2-0" enum:"3.2-0,3.0-5,1.7-1" limit:"the versions that AWS maintains"`
	// The machine of the job.
	InstanceType string `json:"instanceType" required:"true" pattern:"^ml\\.[a-z][a-z0-9-]*\\.(medium|large|([0-9]+)?xlarge)$" form:"an instance type of SageMaker, such as ml.m6i.large"`
	// How many machines the job has.
	InstanceCount int `json:"instanceCount" default:"1" min:"1" max:"100"`
	// The size of the job's disk, in GiB: the training and validation files have to fit.
	VolumeGiB int `json:"volumeGiB" default:"30" min:"1" max:"16384" limit:"SageMaker, CreateTrainingJob"`
	// How long the job may take, in seconds. A job that is stopped by this limit is a failed run.
	MaxRuntimeSeconds int `json:"maxRuntimeSeconds" default:"3600" min:"1" max:"2419200" limit:"SageMaker, CreateTrainingJob: 28 days"`
	// The algorithm's hyperparameters, all written as strings. `num_round` is needed.
	Hyperparameters map[string]string `json:"hyperparameters" required:"true"`
}

// Endpoint is where the model is served.
type Endpoint struct {
	// The machines of the endpoint.
	InstanceType string `json:"instanceType" required:"true" pattern:"^ml\\.[a-z][a-z0-9-]*\\.(medium|large|([0-9]+)?xlarge)$" form:"an instance type of SageMaker, such as ml.m6i.large"`
	// How many machines the endpoint has. With two or more, SageMaker spreads them over zones.
	InstanceCount int `json:"instanceCount" default:"1" min:"1" max:"100"`
}

// Spec gives what the export function must know of this pipeline.
func (p Pipeline) Spec(project, environment, name string) (pipeline.Spec, error) {
	if p.Source.Query != "" && p.Source.QueryText == "" {
		return pipeline.Spec{}, fmt.Errorf("pipeline %q names the query %s, but its text was not read: take pipelines from Config.For", name, p.Source.Query)
	}
	return pipeline.Spec{
		Version:     pipeline.Version,
		Project:     project,
		Environment: environment,
		Pipeline:    name,
		Source: pipeline.Source{
			QueryFile: p.Source.Query,
			Query:     p.Source.QueryText,
			Table:     p.Source.Table,
		},
		Dataset: pipeline.Dataset{
			Task:     p.Dataset.Task,
			Key:      p.Dataset.Key,
			Label:    p.Dataset.Label,
			Features: p.Dataset.Features,
			Drop:     p.Dataset.Drop,
			Split: pipeline.Split{
				Train:      p.Dataset.Split.Train,
				Validation: p.Dataset.Split.Validation,
				Test:       p.Dataset.Split.Test,
				Salt:       p.Dataset.Split.Salt,
			},
		},
		Limits: pipeline.Limits{
			ConnectTimeoutSeconds:   p.Export.ConnectTimeoutSeconds,
			StatementTimeoutSeconds: p.Export.StatementTimeoutSeconds,
			LockTimeoutSeconds:      p.Export.LockTimeoutSeconds,
		},
	}, nil
}
