package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
)

// readHead reads a pipeline's head; before the first run it is empty.
func readHead(ctx context.Context, client *s3.Client, bucket, pipeline string) (head.Head, error) {
	b, err := readObject(ctx, client, bucket, head.Key(pipeline), "")
	if missing := (*s3types.NoSuchKey)(nil); errors.As(err, &missing) {
		return head.Head{}, nil
	}
	if err != nil {
		return head.Head{}, err
	}
	return head.Decode(b)
}

// readManifest reads the manifest that a reference names, in its version and with its hash.
func readManifest(ctx context.Context, client *s3.Client, bucket string, ref head.Ref) (manifest.Manifest, error) {
	b, err := readObject(ctx, client, bucket, ref.Key, ref.VersionID)
	if err != nil {
		return manifest.Manifest{}, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != ref.SHA256 {
		return manifest.Manifest{}, fmt.Errorf("s3://%s/%s isn't what the head names: its SHA-256 is %x", bucket, ref.Key, sum)
	}
	return manifest.Decode(b)
}

// readObject reads an object, in a version if one is given.
func readObject(ctx context.Context, client *s3.Client, bucket, key, version string) ([]byte, error) {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	object, err := client.GetObject(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	defer object.Body.Close()
	b, err := io.ReadAll(object.Body)
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	return b, nil
}
