// An example of a client: it asks an endpoint for a prediction by the names of the features.
//
// The order of a request's columns, their names, which of them may be empty and how categories become numbers stand in signature.json,
// which every run writes beside its model. A client that reads it goes on working when a feature is added in front of another one, and says
// what is wrong when one is missing, instead of sending the right numbers in the wrong places. It is given values as the database has them
// and encodes them as the training data was encoded: Country=DE may become 1,0,0.
//
//	go run ./docs/client -endpoint ml-dev-fraud -signature s3://BUCKET/fraud/models/JOB/signature.json Amount=120.50 Country=DE …
//
// Without values it sends the example that the signature holds. Features that aren't named keep the example's values.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"

	"sagemaker-datapipeline/lambda/signature"
)

func main() {
	endpoint := flag.String("endpoint", "", "the name of the endpoint")
	uri := flag.String("signature", "", "where its signature is: s3://bucket/key")
	flag.Parse()
	if err := predict(context.Background(), *endpoint, *uri, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func predict(ctx context.Context, endpoint, uri string, values []string) error {
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("loading the AWS configuration: %w", err)
	}
	s, err := readSignature(ctx, aws, uri)
	if err != nil {
		return err
	}
	fields, err := request(s, values)
	if err != nil {
		return err
	}
	row := strings.Join(fields, ",")
	answer, err := sagemakerruntime.NewFromConfig(aws).InvokeEndpoint(ctx, &sagemakerruntime.InvokeEndpointInput{
		EndpointName: &endpoint, ContentType: &s.ContentType, Accept: &s.Accept, Body: []byte(row),
	})
	if err != nil {
		return fmt.Errorf("asking endpoint %s: %w", endpoint, err)
	}
	score, err := strconv.ParseFloat(strings.TrimSpace(string(answer.Body)), 64)
	if err != nil {
		return fmt.Errorf("reading the answer %.80q: %w", answer.Body, err)
	}
	for i, field := range fields {
		fmt.Printf("%-20s %s\n", s.Features[i].Name, field)
	}
	fmt.Printf("\n%s by the model of run %s: %s\n", s.Label, s.Run, meaning(s, score))
	return nil
}

// meaning says what a score means.
func meaning(s signature.Signature, score float64) string {
	if s.Task != "binary" {
		return fmt.Sprintf("%.2f", score)
	}
	verdict := "no"
	if score > s.Threshold {
		verdict = "yes"
	}
	return fmt.Sprintf("%s (%.4f, threshold %.2f)", verdict, score, s.Threshold)
}

// request gives what is sent for each feature, in the order that the model was trained in. What an encoding makes is several columns in one.
func request(s signature.Signature, values []string) ([]string, error) {
	fields, err := example(s)
	if err != nil {
		return nil, err
	}
	index := map[string]int{}
	for i, f := range s.Features {
		index[f.Name] = i
	}
	for _, pair := range values {
		name, value, ok := strings.Cut(pair, "=")
		i, known := index[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("%q is not of the form Feature=value", pair)
		case !known:
			return nil, fmt.Errorf("the model has no feature %q", name)
		}
		if fields[i], err = encode(s.Features[i], value); err != nil {
			return nil, fmt.Errorf("feature %s: %w", name, err)
		}
	}
	return fields, nil
}

// example cuts the signature's example into its features.
func example(s signature.Signature) ([]string, error) {
	columns, width := strings.Split(s.Example, ","), 0
	for _, f := range s.Features {
		width += f.Width()
	}
	if len(columns) != width {
		return nil, fmt.Errorf("the signature's features have %d columns, its example %d", width, len(columns))
	}
	var fields []string
	for _, f := range s.Features {
		fields = append(fields, strings.Join(columns[:f.Width()], ","))
		columns = columns[f.Width():]
	}
	return fields, nil
}

// encode makes the columns of a value as the database has it; the empty value is NULL.
func encode(f signature.Feature, value string) (string, error) {
	if value == "" && !f.Nullable {
		return "", errors.New("it can't be empty")
	}
	if e := f.Encoding; e != nil {
		place := -1
		if value != "" {
			place = e.Place(value)
		}
		if value != "" && place < 0 && e.Unknown != signature.MissingUnknown {
			return "", fmt.Errorf("%q is none of its categories: %s", value, strings.Join(e.Categories, ", "))
		}
		return string(e.Append(nil, place)), nil
	}
	if value == "" {
		return "", nil
	}
	if _, err := strconv.ParseFloat(value, 64); err != nil {
		return "", fmt.Errorf("%q is not a number", value)
	}
	return value, nil
}

func readSignature(ctx context.Context, c aws.Config, uri string) (s signature.Signature, err error) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	if !ok || !strings.HasPrefix(uri, "s3://") {
		return s, fmt.Errorf("-signature %q is not of the form s3://bucket/key", uri)
	}
	// Path style, because the local AWS has no host name for each bucket.
	client := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return s, fmt.Errorf("reading the signature %s: %w", uri, err)
	}
	defer object.Body.Close()
	b, err := io.ReadAll(object.Body)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reading the signature %s: %w", uri, err)
	}
	if s.Version != signature.Version {
		return s, fmt.Errorf("the signature %s has version %d, this client reads version %d", uri, s.Version, signature.Version)
	}
	return s, nil
}
