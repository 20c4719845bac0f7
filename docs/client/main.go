// An example of a client: it asks an endpoint for a prediction by the names of the features.
//
// The order of a request's columns, their names and which of them may be empty stand in signature.json, which every run
// writes beside its model. A client that reads it goes on working when a feature is added in front of another one, and says
// what is wrong when one is missing, instead of sending the right numbers in the wrong places.
//
//	go run ./docs/client -endpoint ml-dev-fraud -signature s3://BUCKET/fraud/models/JOB/signature.json Amount=120.50 TxLastHour=4 …
//
// Without values it sends the example that the signature holds. Features that aren't named keep the example's values.
package main

import (
	"context"
	"encoding/json"
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
	row, err := request(s, values)
	if err != nil {
		return err
	}
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
	for i, value := range strings.Split(row, ",") {
		fmt.Printf("%-20s %s\n", s.Features[i].Name, value)
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

// request puts the values into the order that the model was trained in.
func request(s signature.Signature, values []string) (string, error) {
	row := strings.Split(s.Example, ",")
	if len(row) != len(s.Features) {
		return "", fmt.Errorf("the signature has %d features, its example %d", len(s.Features), len(row))
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
			return "", fmt.Errorf("%q is not of the form Feature=value", pair)
		case !known:
			return "", fmt.Errorf("the model has no feature %q", name)
		case value == "" && !s.Features[i].Nullable:
			return "", fmt.Errorf("feature %s can't be empty", name)
		case value != "":
			if _, err := strconv.ParseFloat(value, 64); err != nil {
				return "", fmt.Errorf("feature %s: %q is not a number", name, value)
			}
		}
		row[i] = value
	}
	return strings.Join(row, ","), nil
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
	return s, nil
}
