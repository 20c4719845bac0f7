package heldout

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
)

// Rows are labelled rows of a channel.
type Rows struct {
	Labels []float64
	// Features are the rows' features as a request's lines, in the order of the labels.
	Features []string
}

// Column gives one feature of every row as numbers; an empty field is 0.
func (r Rows) Column(index int) ([]float64, error) {
	column := make([]float64, len(r.Features))
	for i, line := range r.Features {
		fields := strings.Split(line, ",")
		if index >= len(fields) {
			return nil, fmt.Errorf("row %d has %d features, none at index %d", i, len(fields), index)
		}
		if fields[index] == "" {
			continue
		}
		var err error
		if column[i], err = strconv.ParseFloat(fields[index], 64); err != nil {
			return nil, fmt.Errorf("row %d, feature %d: %w", i, index, err)
		}
	}
	return column, nil
}

// Read reads a channel by its ManifestFile, s3://bucket/key: exactly the files that it lists.
func Read(ctx context.Context, client *s3.Client, manifestURI string) (Rows, error) {
	var rows Rows
	prefix, files, err := readManifest(ctx, client, manifestURI)
	if err != nil {
		return rows, fmt.Errorf("reading the channel %s: %w", manifestURI, err)
	}
	for _, file := range files {
		if err := rows.readFile(ctx, client, prefix+file); err != nil {
			return rows, fmt.Errorf("reading %s%s: %w", prefix, file, err)
		}
	}
	return rows, nil
}

// readManifest reads SageMaker's form [{"prefix": "s3://bucket/folder/"}, "file", …].
func readManifest(ctx context.Context, client *s3.Client, uri string) (prefix string, files []string, err error) {
	body, err := open(ctx, client, uri)
	if err != nil {
		return "", nil, err
	}
	defer body.Close()
	var entries []json.RawMessage
	if err := json.NewDecoder(body).Decode(&entries); err != nil {
		return "", nil, err
	}
	if len(entries) == 0 {
		return "", nil, fmt.Errorf("it is empty")
	}
	var head struct {
		Prefix string `json:"prefix"`
	}
	if err := json.Unmarshal(entries[0], &head); err != nil {
		return "", nil, err
	}
	files = make([]string, len(entries)-1)
	for i, entry := range entries[1:] {
		if err := json.Unmarshal(entry, &files[i]); err != nil {
			return "", nil, err
		}
	}
	return head.Prefix, files, nil
}

func (r *Rows) readFile(ctx context.Context, client *s3.Client, uri string) error {
	body, err := open(ctx, client, uri)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		label, features, ok := strings.Cut(lines.Text(), ",")
		if !ok {
			return fmt.Errorf("the line %q has a label only", lines.Text())
		}
		y, err := strconv.ParseFloat(label, 64)
		if err != nil {
			return fmt.Errorf("label: %w", err)
		}
		r.Labels = append(r.Labels, y)
		r.Features = append(r.Features, features)
	}
	return lines.Err()
}

func open(ctx context.Context, client *s3.Client, uri string) (io.ReadCloser, error) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	if !ok || !strings.HasPrefix(uri, "s3://") {
		return nil, fmt.Errorf("%q is not an s3:// URI with a bucket and a key", uri)
	}
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	return object.Body, nil
}

// requestRows is how many rows one request holds. SageMaker takes requests of 25 MB, far more; this keeps an answer well
// below the 60 seconds that it has.
const requestRows = 5_000

// Score asks the endpoint for a score of each row, in requests of many rows.
func Score(ctx context.Context, client *sagemakerruntime.Client, endpoint string, features []string) ([]float64, error) {
	scores := make([]float64, 0, len(features))
	for start := 0; start < len(features); start += requestRows {
		batch := features[start:min(start+requestRows, len(features))]
		got, err := Predict(ctx, client, endpoint, strings.Join(batch, "\n"))
		if err != nil {
			return nil, err
		}
		if len(got) != len(batch) {
			return nil, fmt.Errorf("endpoint %s answered %d scores for %d rows", endpoint, len(got), len(batch))
		}
		scores = append(scores, got...)
	}
	return scores, nil
}

// Predict sends one request and reads the scores of its rows, on lines of their own or between commas.
func Predict(ctx context.Context, client *sagemakerruntime.Client, endpoint, body string) ([]float64, error) {
	contentType, accept := "text/csv", "text/csv"
	answer, err := client.InvokeEndpoint(ctx, &sagemakerruntime.InvokeEndpointInput{
		EndpointName: &endpoint, ContentType: &contentType, Accept: &accept, Body: []byte(body),
	})
	if err != nil {
		return nil, fmt.Errorf("asking endpoint %s: %w", endpoint, err)
	}
	fields := strings.FieldsFunc(string(answer.Body), func(c rune) bool { return c == ',' || c == '\n' || c == '\r' || c == ' ' })
	scores := make([]float64, len(fields))
	for i, field := range fields {
		if scores[i], err = strconv.ParseFloat(field, 64); err != nil {
			return nil, fmt.Errorf("endpoint %s answered %.80q: %w", endpoint, answer.Body, err)
		}
	}
	return scores, nil
}
