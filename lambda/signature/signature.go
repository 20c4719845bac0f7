// Package signature holds the inference contract of a model: what its callers must send and what they get.
//
// The export writes it from the columns that it saw; the workflow puts it beside the model's artifact.
package signature

import "sagemaker-datapipeline/lambda/run"

// Version is the version of the format that this code writes. Since version 2 a feature can have an encoding, and then be several columns
// of a request.
const Version = 2

// Signature describes one model's requests and responses.
type Signature struct {
	Version  int    `json:"version"`
	Pipeline string `json:"pipeline"`
	Run      run.ID `json:"run"`
	// Task is "binary" or "regression".
	Task string `json:"task"`
	// Label is the column that the model predicts.
	Label string `json:"label"`
	// Features in the order of a request's columns. One with an encoding can be several columns.
	Features []Feature `json:"features"`
	// ContentType of a request: one line of comma-separated features per row, no header, no label.
	ContentType string `json:"contentType"`
	// Accept is what a response is: one score per row, each on a line of its own or separated by commas.
	Accept string `json:"accept"`
	// Threshold above which a binary score means 1.
	Threshold float64 `json:"threshold,omitempty"`
	// Example is a request and can be sent as it is.
	Example string `json:"example"`
}

// Feature is one column of a request.
type Feature struct {
	Name string `json:"name"`
	// SQLType is the type of the column that it comes from.
	SQLType string `json:"sqlType"`
	// Nullable says that the training data may hold NULL here, written as the empty field.
	Nullable bool `json:"nullable"`
	// Encoding is how a value becomes columns; nil: the value is a number, and one column.
	Encoding *Encoding `json:"encoding,omitempty"`
}
