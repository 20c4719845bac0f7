// Command function is a Lambda function that says how it reaches AWS.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

type answer struct {
	EndpointURL string
	Keys        int
}

func main() {
	lambda.Start(func(ctx context.Context, in struct{ Bucket string }) (answer, error) {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return answer{}, err
		}
		// No path style asked for: the SDK uses it by itself for an address without a name.
		listed, err := s3.NewFromConfig(cfg).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &in.Bucket})
		if err != nil {
			return answer{}, err
		}
		return answer{EndpointURL: os.Getenv("AWS_ENDPOINT_URL"), Keys: len(listed.Contents)}, nil
	})
}
