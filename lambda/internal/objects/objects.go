// Package objects writes to the data bucket: streams of unknown length with bounded memory, and small objects, one of
// them on the condition that it doesn't exist.
package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/manifest"
)

// API is what a Bucket calls of S3.
type API interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error)
	UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error)
	CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
}

var _ API = (*s3.Client)(nil)

const (
	// PartSize is the size in bytes of a part of a multipart upload: the smallest that S3 takes, since each is kept in memory.
	// At most 10,000 parts make an object, so a stream is at most 50 GB.
	PartSize = 5 << 20
	// Buffers is how many parts are in memory at most: one being filled for each stream that is open at a time (Parquet and
	// three channels), and two on their way.
	Buffers = 6
)

// Bucket is the data bucket. Its memory is bounded by Buffers parts, however many streams are written.
type Bucket struct {
	api     API
	name    string
	keyARN  string
	buffers chan *bytes.Buffer
}

// NewBucket makes a Bucket. keyARN is the KMS key that encrypts what is written; empty: the bucket's default.
func NewBucket(api API, name, keyARN string) *Bucket {
	b := &Bucket{api: api, name: name, keyARN: keyARN, buffers: make(chan *bytes.Buffer, Buffers)}
	for range Buffers {
		// All at once: what the largest run needs shows in the first.
		b.buffers <- newBuffer()
	}
	return b
}

func newBuffer() *bytes.Buffer { return bytes.NewBuffer(make([]byte, 0, PartSize)) }

// Name is the bucket's name.
func (b *Bucket) Name() string { return b.name }

// encryption gives the three headers of SSE-KMS, or none.
func (b *Bucket) encryption() (types.ServerSideEncryption, *string, *bool) {
	if b.keyARN == "" {
		return "", nil, nil
	}
	return types.ServerSideEncryptionAwsKms, aws.String(b.keyARN), aws.Bool(true)
}

// Put writes an object whole.
func (b *Bucket) Put(ctx context.Context, key, contentType string, body []byte) (manifest.Object, error) {
	return b.put(ctx, key, contentType, body, nil)
}

func (b *Bucket) put(ctx context.Context, key, contentType string, body []byte, ifNoneMatch *string) (manifest.Object, error) {
	sum := sha256.Sum256(body)
	in := &s3.PutObjectInput{
		Bucket: aws.String(b.name), Key: aws.String(key), Body: bytes.NewReader(body), ContentType: aws.String(contentType),
		// S3 compares what it received with this.
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
		IfNoneMatch:    ifNoneMatch,
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption()
	out, err := b.api.PutObject(ctx, in)
	if err != nil {
		return manifest.Object{}, b.explain("writing", key, err)
	}
	return manifest.Object{Key: key, VersionID: aws.ToString(out.VersionId), Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}, nil
}

// ErrNotFound is what Get gives for an object that doesn't exist.
var ErrNotFound = errors.New("no such object")

// maxGet bounds what Get reads into memory: a manifest of 10,000 files has about 4 MB.
const maxGet = 64 << 20

// Get reads a small object whole. An object that doesn't exist gives ErrNotFound.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	out, err := b.api.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)})
	if err != nil {
		if code(err) == "NoSuchKey" || code(err) == "NotFound" {
			return nil, fmt.Errorf("reading s3://%s/%s: %w", b.name, key, ErrNotFound)
		}
		return nil, b.explain("reading", key, err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxGet+1))
	if err != nil {
		return nil, b.explain("reading", key, err)
	}
	if len(body) > maxGet {
		return nil, fmt.Errorf("reading s3://%s/%s: it has more than %d bytes", b.name, key, maxGet)
	}
	return body, nil
}

// createTries bounds Create: S3 resolves a conflict between two writers within a second.
const createTries = 6

// Create writes an object on the condition that it doesn't exist. It gives what the key holds afterwards: body, or what
// another writer put there. Its outcome is certain: when S3 refused, or the reply was lost, the object is read and compared.
func (b *Bucket) Create(ctx context.Context, key, contentType string, body []byte) ([]byte, error) {
	var refused error
	for try := range createTries {
		if try > 0 {
			select {
			case <-time.After(100 * time.Millisecond << try):
			case <-ctx.Done():
				return nil, b.explain("writing", key, context.Cause(ctx))
			}
		}
		_, err := b.put(ctx, key, contentType, body, aws.String("*"))
		if err == nil {
			return body, nil
		}
		refused = err
		switch code(err) {
		case "AccessDenied", "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch":
			return nil, err
		case "ConditionalRequestConflict": // another write is under way: S3 asks to send it again
			continue
		}
		// 412 is the answer to the SDK's second sending of our own successful write as well; and after a lost reply only
		// the object itself tells.
		there, err := b.Get(ctx, key)
		switch {
		case err == nil:
			return there, nil
		case !errors.Is(err, ErrNotFound):
			return nil, errors.Join(refused, err)
		}
	}
	return nil, refused
}

// explain names the object, what was done to it, and the remedy where one is known.
func (b *Bucket) explain(doing, key string, err error) error {
	at := fmt.Sprintf("%s s3://%s/%s", doing, b.name, key)
	switch code(err) {
	case "AccessDenied":
		return fmt.Errorf("%s: access denied: the function's role needs s3:PutObject and s3:GetObject there, and kms:GenerateDataKey and kms:Decrypt on the bucket's key: %w", at, err)
	case "NoSuchBucket":
		return fmt.Errorf("%s: the bucket does not exist: deploy the stage's foundation stack, or correct DATA_BUCKET: %w", at, err)
	}
	return fmt.Errorf("%s: %w", at, err)
}

// code is S3's error code, or "".
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
