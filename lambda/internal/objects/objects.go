// Package objects writes to the data bucket: streams of unknown length with bounded memory, and small objects, some of them on a
// condition: that the object doesn't exist, or that it is still the one that was read.
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
	smithyhttp "github.com/aws/smithy-go/transport/http"

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
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

var _ API = (*s3.Client)(nil)

const (
	// PartSize is the size in bytes of a part of a multipart upload: the smallest that S3 takes, since each is kept in memory.
	// At most 10,000 parts make an object, so a stream is at most 50 GB.
	PartSize = 5 << 20
	// inFlight is how many parts are on their way at most, beside the one that each open stream fills.
	inFlight = 2
)

// Bucket is the data bucket. Its memory is bounded by one part for each stream that is open at a time, and two more.
type Bucket struct {
	api     API
	name    string
	keyARN  string
	buffers chan *bytes.Buffer
}

// NewBucket makes a Bucket that as many streams are written to at a time. keyARN is the KMS key that encrypts what is written; empty: the
// bucket's default.
func NewBucket(api API, name, keyARN string, streams int) *Bucket {
	b := &Bucket{api: api, name: name, keyARN: keyARN, buffers: make(chan *bytes.Buffer, streams+inFlight)}
	for range cap(b.buffers) {
		b.buffers <- &bytes.Buffer{}
	}
	return b
}

// Name is the bucket's name.
func (b *Bucket) Name() string { return b.name }

// encryption gives the three headers of SSE-KMS, or none.
func (b *Bucket) encryption() (types.ServerSideEncryption, *string, *bool) {
	if b.keyARN == "" {
		return "", nil, nil
	}
	return types.ServerSideEncryptionAwsKms, aws.String(b.keyARN), aws.Bool(true)
}

// Stored is one version of a small object as the bucket has it.
type Stored struct {
	Body      []byte
	ETag      string
	VersionID string
}

// Put writes an object whole.
func (b *Bucket) Put(ctx context.Context, key, contentType string, body []byte) (manifest.Object, error) {
	object, _, err := b.put(ctx, key, contentType, body, condition{})
	return object, err
}

// condition is what has to hold for a write to happen: at most one of the two.
type condition struct {
	absent bool
	etag   string
}

func (b *Bucket) put(ctx context.Context, key, contentType string, body []byte, only condition) (manifest.Object, Stored, error) {
	sum := sha256.Sum256(body)
	in := &s3.PutObjectInput{
		Bucket: aws.String(b.name), Key: aws.String(key), Body: bytes.NewReader(body), ContentType: aws.String(contentType),
		// S3 compares what it received with this.
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	}
	if only.absent {
		in.IfNoneMatch = aws.String("*")
	}
	if only.etag != "" {
		in.IfMatch = aws.String(only.etag)
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption()
	out, err := b.api.PutObject(ctx, in)
	if err != nil {
		return manifest.Object{}, Stored{}, b.explain("writing", key, err)
	}
	version := aws.ToString(out.VersionId)
	return manifest.Object{Key: key, VersionID: version, Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])},
		Stored{Body: body, ETag: aws.ToString(out.ETag), VersionID: version}, nil
}

// ErrNotFound is what Read gives for an object that doesn't exist.
var ErrNotFound = errors.New("no such object")

// ErrDeleted is what Read gives for an object that was there and was deleted: in a versioned bucket its earlier versions still are. It is an
// ErrNotFound too.
var ErrDeleted = fmt.Errorf("%w: it was deleted, and has earlier versions", ErrNotFound)

const (
	// maxGet bounds what Read reads into memory: a manifest of 10,000 files has about 4 MB.
	maxGet = 64 << 20
	// reads is how often an answer is asked for whose body breaks off, which the SDK doesn't see.
	reads = 3
)

// Read reads a small object whole, as it is now. An object that doesn't exist gives ErrNotFound.
func (b *Bucket) Read(ctx context.Context, key string) (Stored, error) {
	return b.ReadVersion(ctx, key, "")
}

// ReadVersion reads one version of a small object; an empty version is the present one.
func (b *Bucket) ReadVersion(ctx context.Context, key, version string) (Stored, error) {
	var broken error
	for range reads {
		out, err := b.get(ctx, key, version, "")
		if err != nil {
			return Stored{}, err
		}
		body, err := io.ReadAll(io.LimitReader(out.Body, maxGet+1))
		out.Body.Close()
		if err != nil {
			broken = b.explain("reading", key, err)
			continue
		}
		if len(body) > maxGet {
			return Stored{}, fmt.Errorf("reading s3://%s/%s: it has more than %d bytes", b.name, key, maxGet)
		}
		return Stored{Body: body, ETag: aws.ToString(out.ETag), VersionID: aws.ToString(out.VersionId)}, nil
	}
	return Stored{}, broken
}

func (b *Bucket) get(ctx context.Context, key, version, bytes string) (*s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)}
	if version != "" {
		in.VersionId = aws.String(version)
	}
	if bytes != "" {
		in.Range = aws.String(bytes)
	}
	out, err := b.api.GetObject(ctx, in)
	if err == nil {
		return out, nil
	}
	switch code(err) {
	case "NoSuchKey", "NotFound", "NoSuchVersion":
		if deleted(err) {
			return nil, fmt.Errorf("reading s3://%s/%s: %w", b.name, key, ErrDeleted)
		}
		return nil, fmt.Errorf("reading s3://%s/%s: %w", b.name, key, ErrNotFound)
	}
	return nil, b.explain("reading", key, err)
}

// deleted says whether a 404 is that of a delete marker.
func deleted(err error) bool {
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && response.Response != nil && response.Response.Header.Get("x-amz-delete-marker") == "true"
}

// Open streams one version of an object, for what is too large to be read whole. A stream whose connection breaks goes on where it was.
// Close it.
func (b *Bucket) Open(ctx context.Context, key, version string) (io.ReadCloser, error) {
	out, err := b.get(ctx, key, version, "")
	if err != nil {
		return nil, err
	}
	// Another version may be written meanwhile: what goes on is this one.
	return &stream{ctx: ctx, bucket: b, key: key, version: aws.ToString(out.VersionId), body: out.Body, size: aws.ToInt64(out.ContentLength)}, nil
}

// stream is the body of an object over as many connections as it takes, within bounds.
type stream struct {
	ctx          context.Context //nolint:containedctx // an io.Reader has no place for one
	bucket       *Bucket
	key, version string
	body         io.ReadCloser
	read, size   int64
	breaks       int
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.read += int64(n)
	if err == nil || errors.Is(err, io.EOF) && s.read == s.size {
		return n, err
	}
	if s.breaks++; s.breaks == reads || s.read >= s.size || s.version == "" {
		return n, s.bucket.explain("reading", s.key, err)
	}
	s.body.Close()
	out, err := s.bucket.get(s.ctx, s.key, s.version, fmt.Sprintf("bytes=%d-", s.read))
	if err != nil {
		s.body = io.NopCloser(bytes.NewReader(nil))
		s.breaks = reads - 1
		return n, err
	}
	s.body = out.Body
	return n, nil
}

func (s *stream) Close() error { return s.body.Close() }

// ReadRange reads length bytes of one version of an object, from an offset on.
func (b *Bucket) ReadRange(ctx context.Context, key, version string, offset, length int64) ([]byte, error) {
	var broken error
	for range reads {
		out, err := b.get(ctx, key, version, fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
		if err != nil {
			return nil, err
		}
		body := make([]byte, length)
		_, err = io.ReadFull(out.Body, body)
		out.Body.Close()
		if err == nil {
			return body, nil
		}
		broken = b.explain("reading", key, err)
	}
	return nil, broken
}

// conditionalTries bounds Create and Replace: S3 resolves a conflict between two writers within a second.
const conditionalTries = 6

// Create writes an object on the condition that it doesn't exist. It gives what the key holds afterwards: body, or what
// another writer put there. Its outcome is certain: when S3 refused, or the reply was lost, the object is read and compared.
func (b *Bucket) Create(ctx context.Context, key, contentType string, body []byte) (Stored, error) {
	return b.conditionally(ctx, key, contentType, body, condition{absent: true})
}

// Replace writes an object on the condition that it is still the version with this ETag. It gives what the key holds afterwards, as
// Create does. When that is body, body was written. When it is not, somebody else wrote, and that may have been after body was written and
// its reply lost: who needs to know looks for body's traces in what is there.
func (b *Bucket) Replace(ctx context.Context, key, contentType string, body []byte, etag string) (Stored, error) {
	return b.conditionally(ctx, key, contentType, body, condition{etag: etag})
}

func (b *Bucket) conditionally(ctx context.Context, key, contentType string, body []byte, only condition) (Stored, error) {
	var refused error
	for try := range conditionalTries {
		if try > 0 {
			select {
			case <-time.After(100 * time.Millisecond << try):
			case <-ctx.Done():
				return Stored{}, errors.Join(refused, b.explain("writing", key, context.Cause(ctx)))
			}
		}
		_, stored, err := b.put(ctx, key, contentType, body, only)
		if err == nil {
			return stored, nil
		}
		refused = err
		switch code(err) {
		case "AccessDenied", "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch":
			return Stored{}, err
		case "ConditionalRequestConflict": // another write is under way: S3 asks to send it again
			continue
		}
		// 412 is the answer to the SDK's second sending of our own successful write as well; and after a lost reply only
		// the object itself tells.
		there, err := b.Read(ctx, key)
		switch {
		case err == nil && only.etag != "" && there.ETag == only.etag && !bytes.Equal(there.Body, body):
			continue // nobody wrote: the request was lost on its way there
		case err == nil:
			return there, nil
		case errors.Is(err, ErrNotFound) && only.etag != "":
			return Stored{}, fmt.Errorf("writing s3://%s/%s: it was there with ETag %s and is gone: somebody deleted it", b.name, key, only.etag)
		case !errors.Is(err, ErrNotFound):
			refused = errors.Join(refused, err)
		}
	}
	return Stored{}, refused
}

// Listed is one object of a listing.
type Listed struct {
	Key          string
	Bytes        int64
	LastModified time.Time
}

// List gives the objects below a prefix whose keys come after another, in the order of their keys. Of a listing that is cut short by an error
// nothing is given.
func (b *Bucket) List(ctx context.Context, prefix, after string) ([]Listed, error) {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(b.name), Prefix: aws.String(prefix)}
	if after != "" {
		in.StartAfter = aws.String(after)
	}
	var all []Listed
	pages := s3.NewListObjectsV2Paginator(b.api, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.explain("listing", prefix, err)
		}
		for _, o := range page.Contents {
			all = append(all, Listed{Key: aws.ToString(o.Key), Bytes: aws.ToInt64(o.Size), LastModified: aws.ToTime(o.LastModified)})
		}
	}
	return all, nil
}

// Delete deletes an object; in a versioned bucket it hides it until the lifecycle rule for old versions takes it.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if _, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)}); err != nil {
		return b.explain("deleting", key, err)
	}
	return nil
}

// explain names the object, what was done to it, and the remedy where one is known.
func (b *Bucket) explain(doing, key string, err error) error {
	at := fmt.Sprintf("%s s3://%s/%s", doing, b.name, key)
	switch code(err) {
	case "AccessDenied":
		return fmt.Errorf("%s: access denied: the function's role needs s3:PutObject, s3:GetObject and s3:DeleteObject there, s3:ListBucket on the bucket, and kms:GenerateDataKey and kms:Decrypt on the bucket's key: %w", at, err)
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
