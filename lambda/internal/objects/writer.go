package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sagemaker-datapipeline/lambda/manifest"
)

// smallPart is what a buffer begins with: most objects of small runs stay below it.
const smallPart = 64 << 10

// abortTimeout bounds tidying up when the context has ended already.
const abortTimeout = 5 * time.Second

// Writer streams one object to S3 in parts while it is written. End it with Close, which makes the object, or with Abort,
// which leaves nothing. It is for one goroutine.
type Writer struct {
	ctx         context.Context //nolint:containedctx // an io.Writer has no place for one
	cancel      context.CancelCauseFunc
	bucket      *Bucket
	key         string
	contentType string

	hash   hash.Hash
	size   int64
	buffer *bytes.Buffer

	uploadID string
	sent     int32
	inFlight sync.WaitGroup

	mu    sync.Mutex
	parts []types.CompletedPart
	err   error
}

var _ io.Writer = (*Writer)(nil)

// NewWriter makes a Writer. Nothing is sent before the first part is full.
func (b *Bucket) NewWriter(ctx context.Context, key, contentType string) *Writer {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Writer{ctx: ctx, cancel: cancel, bucket: b, key: key, contentType: contentType, hash: sha256.New()}
}

// Size is the number of bytes written.
func (w *Writer) Size() int64 { return w.size }

// Write takes bytes, and waits while too many parts are on their way.
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if err := w.failure(); err != nil {
			return written, err
		}
		if w.buffer == nil {
			select {
			case w.buffer = <-w.bucket.buffers:
			case <-w.ctx.Done():
				return written, w.failure()
			}
			w.buffer.Reset()
			w.buffer.Grow(smallPart)
		}
		n := min(len(p), PartSize-w.buffer.Len())
		if n > w.buffer.Available() {
			// Whole at once: growing as it fills would keep twice as much.
			w.buffer.Grow(PartSize - w.buffer.Len())
		}
		w.buffer.Write(p[:n])
		w.hash.Write(p[:n])
		w.size += int64(n)
		written += n
		p = p[n:]
		if w.buffer.Len() == PartSize {
			if err := w.send(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// send uploads the buffer as the next part, on a goroutine of its own.
func (w *Writer) send() error {
	if w.uploadID == "" {
		in := &s3.CreateMultipartUploadInput{
			Bucket: aws.String(w.bucket.name), Key: aws.String(w.key), ContentType: aws.String(w.contentType),
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
		}
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = w.bucket.encryption()
		out, err := w.bucket.api.CreateMultipartUpload(w.ctx, in)
		if err != nil {
			return w.fail(err)
		}
		w.uploadID = aws.ToString(out.UploadId)
	}
	w.sent++
	number, buffer := w.sent, w.buffer
	w.buffer = nil
	w.inFlight.Go(func() {
		defer func() { w.bucket.buffers <- buffer }()
		out, err := w.bucket.api.UploadPart(w.ctx, &s3.UploadPartInput{
			Bucket: aws.String(w.bucket.name), Key: aws.String(w.key), UploadId: aws.String(w.uploadID),
			PartNumber: aws.Int32(number), Body: bytes.NewReader(buffer.Bytes()), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
		})
		if err != nil {
			_ = w.fail(fmt.Errorf("part %d: %w", number, err)) // Write and Close report it
			// A request that failed may still be reading its body (net/http says so): that buffer isn't used again.
			buffer = &bytes.Buffer{}
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		// The parts arrive in any order and are named in theirs.
		for len(w.parts) < int(number) {
			w.parts = append(w.parts, types.CompletedPart{})
		}
		w.parts[number-1] = types.CompletedPart{PartNumber: aws.Int32(number), ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}
	})
	return nil
}

// Close sends what is left and makes the object. After an error there is no object, and nothing of it is left in S3.
func (w *Writer) Close() (manifest.Object, error) {
	object, err := w.close()
	if err != nil {
		w.Abort()
		return manifest.Object{}, err
	}
	w.cancel(nil)
	return object, nil
}

func (w *Writer) close() (manifest.Object, error) {
	if err := w.failure(); err != nil {
		return manifest.Object{}, err
	}
	if w.uploadID == "" {
		var body []byte
		if w.buffer != nil {
			body = w.buffer.Bytes()
		}
		object, err := w.bucket.Put(w.ctx, w.key, w.contentType, body)
		if err != nil && w.buffer != nil {
			w.buffer = &bytes.Buffer{} // for the reason that a part's is
		}
		w.release()
		return object, err
	}
	if w.buffer != nil {
		if err := w.send(); err != nil {
			return manifest.Object{}, err
		}
	}
	w.inFlight.Wait()
	if err := w.failure(); err != nil {
		return manifest.Object{}, err
	}
	object := manifest.Object{Key: w.key, Bytes: w.size, SHA256: hex.EncodeToString(w.hash.Sum(nil))}
	out, err := w.bucket.api.CompleteMultipartUpload(w.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(w.bucket.name), Key: aws.String(w.key), UploadId: aws.String(w.uploadID),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: w.parts},
	})
	switch {
	case err == nil:
		object.VersionID = aws.ToString(out.VersionId)
	case code(err) == "NoSuchUpload":
		// The answer to the SDK's second sending, when the first made the object and its reply was lost.
		if object.VersionID, err = w.made(object); err != nil {
			return manifest.Object{}, w.fail(err)
		}
	default:
		return manifest.Object{}, w.fail(err)
	}
	w.uploadID = ""
	return object, nil
}

// made reads the object, compares it with what was written and gives its version.
func (w *Writer) made(object manifest.Object) (string, error) {
	out, err := w.bucket.get(w.ctx, w.key, "", "")
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, out.Body); err != nil {
		return "", err
	}
	if hex.EncodeToString(sum.Sum(nil)) != object.SHA256 {
		return "", errors.New("the upload is gone, and the object that is there has other content")
	}
	return aws.ToString(out.VersionId), nil
}

// Abort stops the parts on their way and takes back those that arrived. After Close it does nothing.
func (w *Writer) Abort() {
	w.cancel(context.Canceled)
	w.inFlight.Wait()
	w.release()
	if w.uploadID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortTimeout)
	defer cancel()
	// What can't be taken back now is taken by the bucket's lifecycle rule for incomplete uploads.
	_, _ = w.bucket.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: aws.String(w.bucket.name), Key: aws.String(w.key), UploadId: aws.String(w.uploadID),
	})
	w.uploadID = ""
}

func (w *Writer) release() {
	if w.buffer != nil {
		w.bucket.buffers <- w.buffer
		w.buffer = nil
	}
}

// fail keeps the first error and stops the other parts.
func (w *Writer) fail(err error) error {
	w.mu.Lock()
	if w.err == nil {
		if w.ctx.Err() != nil {
			err = context.Cause(w.ctx)
		}
		w.err = w.bucket.explain("writing", w.key, err)
	}
	err = w.err
	w.mu.Unlock()
	w.cancel(err)
	return err
}

func (w *Writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if w.ctx.Err() != nil {
		return w.bucket.explain("writing", w.key, context.Cause(w.ctx))
	}
	return nil
}
