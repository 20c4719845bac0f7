package channels

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Format is how rows become the bytes of a channel and of a request to the model.
type Format interface {
	// Name is the format's name in the manifest.
	Name() string
	// ContentType of the files and of a request.
	ContentType() string
	// AppendRow adds a row with its label as it stands in a channel. Its errors name the column.
	AppendRow(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error)
	// AppendRequest adds a row's features as the endpoint takes them. It counts nothing.
	AppendRequest(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error)
	// AppendScored adds a row as it stands in the channel "batch": its key, by which people find the score, then the features. It counts nothing.
	AppendScored(dst []byte, batch arrow.RecordBatch, row int) ([]byte, error)
	// Unknown counts, by column, the values of the rows so far that are outside the declared categories; nil without any.
	Unknown() map[string]int64
}

// NewFormat makes the dataset's format: the place where a further one comes in.
func NewFormat(p *columns.Plan, d pipeline.Dataset) (Format, error) {
	switch d.Format {
	case pipeline.CSV, "":
		return &csv{plan: p, task: d.Task}, nil
	case pipeline.NoChannels:
		return nil, fmt.Errorf("dataset.channels is %s: there is no channel to write", d.Format)
	}
	return nil, fmt.Errorf("dataset.channels is %q: it is %s or %s", d.Format, pipeline.CSV, pipeline.NoChannels)
}
