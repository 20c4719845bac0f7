// Package memory is an S3 bucket in memory, for tests that need many of them and faults in exact places.
//
// It is strongly consistent and versioned, and knows what objects.Bucket uses: conditional writes, checksums, versions, multipart
// uploads, listings in pages, deletes. What it doesn't know it refuses. Each Client is one process that talks to the bucket: faults are
// ordered by the number of its call, and a Client that has crashed reaches the bucket no more, while the others do.
package memory

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's ETag of an object that KMS doesn't encrypt
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sagemaker-datapipeline/lambda/internal/objects"
)

// S3 is one versioned bucket, whatever name it is called by.
type S3 struct {
	// PageKeys is how many keys a page of a listing has; 0: 1000, as S3 has it.
	PageKeys int

	mu      sync.Mutex
	keys    map[string][]version // the oldest first
	uploads map[string]*upload
	count   int
	late    []func()
}

type version struct {
	id       string
	body     []byte
	etag     string
	modified time.Time
	deleted  bool // a delete marker
}

type upload struct {
	key   string
	parts map[int32]part
}

type part struct {
	body []byte
	etag string
}

// New makes an empty bucket.
func New() *S3 {
	return &S3{keys: map[string][]version{}, uploads: map[string]*upload{}}
}

// Client makes a client of the bucket.
func (s *S3) Client() *Client { return &Client{s3: s, faults: map[int]Fault{}} }

// Keys gives the keys of the objects below a prefix, in their order.
func (s *S3) Keys(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for key := range s.keys {
		if _, there := s.present(key); there && strings.HasPrefix(key, prefix) {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return all
}

// Versions is how many versions of an object were written since it was last deleted.
func (s *S3) Versions(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, v := range s.keys[key] {
		if n++; v.deleted {
			n = 0
		}
	}
	return n
}

// Bytes is how much memory the bucket's content takes, so that a test can tell it from a client's.
func (s *S3) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	for _, all := range s.keys {
		for _, v := range all {
			n += int64(cap(v.body))
		}
	}
	for _, u := range s.uploads {
		for _, p := range u.parts {
			n += int64(cap(p.body))
		}
	}
	return n
}

// Uploads is how many multipart uploads are neither completed nor aborted.
func (s *S3) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// Arrive lets the requests arrive that the fault Late holds back, in the order in which they were sent.
func (s *S3) Arrive() {
	s.mu.Lock()
	late := s.late
	s.late = nil
	s.mu.Unlock()
	for _, deliver := range late {
		deliver()
	}
}

// Fault is what happens to one call.
type Fault int

// The faults.
const (
	// Throttled: S3 answers SlowDown and does nothing.
	Throttled Fault = iota + 1
	// Lost: the connection breaks before the request arrives.
	Lost
	// ReplyLost: the request takes effect and the connection breaks before the answer arrives.
	ReplyLost
	// SentTwice: the answer is lost and the SDK sends the request again: the second answer is given.
	SentTwice
	// Late: the connection breaks, and the request arrives when Arrive is called. Of a write only; another call is Lost.
	Late
	// Conflict: S3 answers ConditionalRequestConflict to a conditional write and does nothing. Any other call goes on.
	Conflict
	// CutBody: the body of the answer to a read breaks off halfway. Any other call goes on.
	CutBody
	// CrashBefore: the process ends, and the request doesn't arrive.
	CrashBefore
	// CrashAfter: the request arrives, and the process ends.
	CrashAfter
)

// Faults are all of them.
var Faults = []Fault{Throttled, Lost, ReplyLost, SentTwice, Late, Conflict, CutBody, CrashBefore, CrashAfter}

func (f Fault) String() string {
	names := []string{"none", "throttled", "request lost", "reply lost", "sent twice", "arrives late", "conflict", "body cut", "crash before", "crash after"}
	if f < 0 || int(f) >= len(names) {
		return strconv.Itoa(int(f))
	}
	return names[f]
}

// ErrCrashed is what a client that has crashed gets.
var ErrCrashed = errors.New("the process has crashed")

// Call is one call of a client.
type Call struct {
	// N counts the client's calls, from 0.
	N         int
	Operation string
	Key       string
}

func (c Call) String() string { return fmt.Sprintf("%d %s %s", c.N, c.Operation, c.Key) }

// Client is one process's way to the bucket.
type Client struct {
	// Before, if it is set, is told of each call before it is made; it may wait, or give a fault in place of the ordered one.
	Before func(Call) Fault

	s3      *S3
	mu      sync.Mutex
	faults  map[int]Fault
	calls   []Call
	crashed bool
}

var _ objects.API = (*Client)(nil)

// Order orders a fault for the client's n-th call, counted from 0.
func (c *Client) Order(n int, f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[n] = f
}

// Calls are the calls that the client made.
func (c *Client) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Crash ends the process.
func (c *Client) Crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashed = true
}

// kind says which faults mean something to a call.
type kind int

const (
	read kind = iota
	write
	conditional
)

// do makes a call under its fault. request is made again for each time that it arrives.
func do[O any](ctx context.Context, c *Client, operation, key string, k kind, request func() (O, error)) (O, error) {
	var none O
	c.mu.Lock()
	call := Call{N: len(c.calls), Operation: operation, Key: key}
	c.calls = append(c.calls, call)
	fault := c.faults[call.N]
	c.mu.Unlock()
	if c.Before != nil {
		if f := c.Before(call); f != 0 {
			fault = f
		}
	}
	if err := context.Cause(ctx); err != nil {
		return none, err
	}
	c.mu.Lock()
	switch {
	case fault == Conflict && k != conditional, fault == CutBody && operation != "GetObject":
		fault = 0
	case fault == Late && k == read:
		fault = Lost
	}
	if c.crashed {
		c.mu.Unlock()
		return none, ErrCrashed
	}
	if fault == CrashBefore || fault == CrashAfter {
		c.crashed = true
	}
	c.mu.Unlock()

	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	switch fault {
	case Throttled:
		return none, &smithy.GenericAPIError{Code: "SlowDown", Message: "Please reduce your request rate."}
	case Lost:
		return none, reset
	case ReplyLost:
		_, _ = request()
		return none, reset
	case SentTwice:
		_, _ = request()
		return request()
	case Late:
		c.s3.mu.Lock()
		c.s3.late = append(c.s3.late, func() { _, _ = request() })
		c.s3.mu.Unlock()
		return none, reset
	case Conflict:
		return none, &smithy.GenericAPIError{Code: "ConditionalRequestConflict", Message: "The conditional request cannot succeed due to a conflicting operation against this resource."}
	case CrashBefore:
		return none, ErrCrashed
	case CrashAfter:
		_, _ = request()
		return none, ErrCrashed
	case CutBody:
		out, err := request()
		if get, ok := any(out).(*s3.GetObjectOutput); ok && err == nil {
			get.Body = io.NopCloser(io.MultiReader(io.LimitReader(get.Body, aws.ToInt64(get.ContentLength)/2), broken{reset}))
		}
		return out, err
	}
	return request()
}

// broken is a body whose connection breaks.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// PutObject writes an object, under If-None-Match and If-Match.
func (c *Client) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	body, err := readBody(in.Body)
	if err != nil {
		return nil, err
	}
	k := write
	if in.IfMatch != nil || in.IfNoneMatch != nil {
		k = conditional
	}
	key := aws.ToString(in.Key)
	return do(ctx, c, "PutObject", key, k, func() (*s3.PutObjectOutput, error) {
		if want := aws.ToString(in.ChecksumSHA256); want != "" {
			if sum := sha256.Sum256(body); base64.StdEncoding.EncodeToString(sum[:]) != want {
				return nil, &smithy.GenericAPIError{Code: "BadDigest", Message: "The SHA256 you specified did not match the calculated checksum."}
			}
		}
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		present, there := c.s3.present(key)
		failed := &smithy.GenericAPIError{Code: "PreconditionFailed", Message: "At least one of the pre-conditions you specified did not hold"}
		switch {
		case in.IfNoneMatch != nil && aws.ToString(in.IfNoneMatch) != "*":
			return nil, &smithy.GenericAPIError{Code: "NotImplemented", Message: "If-None-Match is * or absent"}
		case in.IfNoneMatch != nil && there:
			return nil, failed
		case in.IfMatch != nil && !there:
			return nil, &types.NoSuchKey{}
		case in.IfMatch != nil && aws.ToString(in.IfMatch) != present.etag:
			return nil, failed
		}
		v := c.s3.write(key, body, etag(body))
		return &s3.PutObjectOutput{ETag: aws.String(v.etag), VersionId: aws.String(v.id)}, nil
	})
}

// GetObject reads an object, or one version of it.
func (c *Client) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	key, id := aws.ToString(in.Key), aws.ToString(in.VersionId)
	return do(ctx, c, "GetObject", key, read, func() (*s3.GetObjectOutput, error) {
		if in.IfMatch != nil || in.IfNoneMatch != nil {
			return nil, &smithy.GenericAPIError{Code: "NotImplemented", Message: "reading under conditions"}
		}
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		v, there := c.s3.present(key)
		if id != "" {
			there = false
			for _, one := range c.s3.keys[key] {
				if one.id == id && !one.deleted {
					v, there = one, true
				}
			}
			if !there {
				return nil, &smithy.GenericAPIError{Code: "NoSuchVersion", Message: "The specified version does not exist."}
			}
		}
		if !there {
			return nil, missing(v.deleted)
		}
		body, err := cut(v.body, aws.ToString(in.Range))
		if err != nil {
			return nil, err
		}
		return &s3.GetObjectOutput{
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: aws.Int64(int64(len(body))),
			ETag: aws.String(v.etag), VersionId: aws.String(v.id), LastModified: aws.Time(v.modified),
		}, nil
	})
}

// cut gives the bytes of a Range: bytes=5-9 or bytes=5-.
func cut(body []byte, asked string) ([]byte, error) {
	if asked == "" {
		return body, nil
	}
	from, to, ok := strings.Cut(strings.TrimPrefix(asked, "bytes="), "-")
	first, err := strconv.Atoi(from)
	if !ok || err != nil {
		return nil, &smithy.GenericAPIError{Code: "NotImplemented", Message: "the range " + asked}
	}
	last := len(body) - 1
	if to != "" {
		if last, err = strconv.Atoi(to); err != nil {
			return nil, &smithy.GenericAPIError{Code: "NotImplemented", Message: "the range " + asked}
		}
	}
	if first >= len(body) {
		return nil, &smithy.GenericAPIError{Code: "InvalidRange", Message: "The requested range is not satisfiable"}
	}
	return body[first:min(last+1, len(body))], nil
}

// missing is S3's 404, which tells by a header whether the object was deleted.
func missing(deleted bool) error {
	header := http.Header{}
	if deleted {
		header.Set("x-amz-delete-marker", "true")
	}
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusNotFound, Header: header}},
		Err:      &types.NoSuchKey{Message: aws.String("The specified key does not exist.")},
	}}
}

// DeleteObject deletes an object by a marker, or one version for good.
func (c *Client) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	key, id := aws.ToString(in.Key), aws.ToString(in.VersionId)
	return do(ctx, c, "DeleteObject", key, write, func() (*s3.DeleteObjectOutput, error) {
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		if id == "" {
			c.s3.keys[key] = append(c.s3.keys[key], version{id: c.s3.next(), modified: time.Now(), deleted: true})
			return &s3.DeleteObjectOutput{DeleteMarker: aws.Bool(true)}, nil
		}
		c.s3.keys[key] = slices.DeleteFunc(c.s3.keys[key], func(v version) bool { return v.id == id })
		return &s3.DeleteObjectOutput{}, nil
	})
}

// pageKeys is the most keys that S3 puts in a page.
const pageKeys = 1000

// ListObjectsV2 lists the objects below a prefix, page by page.
func (c *Client) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	prefix := aws.ToString(in.Prefix)
	return do(ctx, c, "ListObjectsV2", prefix, read, func() (*s3.ListObjectsV2Output, error) {
		if in.Delimiter != nil {
			return nil, &smithy.GenericAPIError{Code: "NotImplemented", Message: "listing with a delimiter"}
		}
		after := max(aws.ToString(in.StartAfter), aws.ToString(in.ContinuationToken))
		size := c.s3.PageKeys
		if size == 0 {
			size = pageKeys
		}
		out := &s3.ListObjectsV2Output{IsTruncated: aws.Bool(false)}
		keys := c.s3.Keys(prefix)
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		for _, key := range keys {
			v, there := c.s3.present(key)
			if key <= after || !there {
				continue
			}
			if len(out.Contents) == size {
				out.IsTruncated = aws.Bool(true)
				out.NextContinuationToken = out.Contents[size-1].Key
				break
			}
			out.Contents = append(out.Contents, types.Object{
				Key: aws.String(key), Size: aws.Int64(int64(len(v.body))), ETag: aws.String(v.etag), LastModified: aws.Time(v.modified),
			})
		}
		return out, nil
	})
}

// CreateMultipartUpload begins an upload in parts.
func (c *Client) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	key := aws.ToString(in.Key)
	return do(ctx, c, "CreateMultipartUpload", key, write, func() (*s3.CreateMultipartUploadOutput, error) {
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		id := "upload-" + c.s3.next()
		c.s3.uploads[id] = &upload{key: key, parts: map[int32]part{}}
		return &s3.CreateMultipartUploadOutput{UploadId: aws.String(id)}, nil
	})
}

// UploadPart takes one part.
func (c *Client) UploadPart(ctx context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	body, err := readBody(in.Body)
	if err != nil {
		return nil, err
	}
	return do(ctx, c, "UploadPart", aws.ToString(in.Key), write, func() (*s3.UploadPartOutput, error) {
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		u, there := c.s3.uploads[aws.ToString(in.UploadId)]
		if !there {
			return nil, &types.NoSuchUpload{}
		}
		one := part{body: body, etag: etag(body)}
		u.parts[aws.ToInt32(in.PartNumber)] = one
		return &s3.UploadPartOutput{ETag: aws.String(one.etag)}, nil
	})
}

// CompleteMultipartUpload makes the object of the parts that are named.
func (c *Client) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	key, id := aws.ToString(in.Key), aws.ToString(in.UploadId)
	return do(ctx, c, "CompleteMultipartUpload", key, write, func() (*s3.CompleteMultipartUploadOutput, error) {
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		u, there := c.s3.uploads[id]
		if !there {
			return nil, &types.NoSuchUpload{}
		}
		named := in.MultipartUpload.Parts
		size := 0
		for _, p := range named {
			size += len(u.parts[aws.ToInt32(p.PartNumber)].body)
		}
		body := make([]byte, 0, size)
		for i, p := range named {
			one, there := u.parts[aws.ToInt32(p.PartNumber)]
			switch {
			case !there || one.etag != aws.ToString(p.ETag):
				return nil, &smithy.GenericAPIError{Code: "InvalidPart", Message: "One or more of the specified parts could not be found."}
			case i > 0 && aws.ToInt32(named[i-1].PartNumber) >= aws.ToInt32(p.PartNumber):
				return nil, &smithy.GenericAPIError{Code: "InvalidPartOrder", Message: "The list of parts was not in ascending order."}
			case i < len(named)-1 && len(one.body) < objects.PartSize:
				return nil, &smithy.GenericAPIError{Code: "EntityTooSmall", Message: "Your proposed upload is smaller than the minimum allowed size"}
			}
			body = append(body, one.body...)
		}
		delete(c.s3.uploads, id)
		v := c.s3.write(key, body, strings.TrimSuffix(etag(body), `"`)+fmt.Sprintf(`-%d"`, len(named)))
		return &s3.CompleteMultipartUploadOutput{ETag: aws.String(v.etag), VersionId: aws.String(v.id)}, nil
	})
}

// AbortMultipartUpload takes an upload's parts back.
func (c *Client) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput, _ ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return do(ctx, c, "AbortMultipartUpload", aws.ToString(in.Key), write, func() (*s3.AbortMultipartUploadOutput, error) {
		c.s3.mu.Lock()
		defer c.s3.mu.Unlock()
		delete(c.s3.uploads, aws.ToString(in.UploadId))
		return &s3.AbortMultipartUploadOutput{}, nil
	})
}

// present gives an object's newest version, and whether it isn't a delete marker.
func (s *S3) present(key string) (version, bool) {
	all := s.keys[key]
	if len(all) == 0 {
		return version{}, false
	}
	newest := all[len(all)-1]
	return newest, !newest.deleted
}

func (s *S3) write(key string, body []byte, tag string) version {
	v := version{id: s.next(), body: body, etag: tag, modified: time.Now()}
	s.keys[key] = append(s.keys[key], v)
	return v
}

func (s *S3) next() string {
	s.count++
	return fmt.Sprintf("v%06d", s.count)
}

// etag is the MD5 of the content, as without KMS: the same content gets the same ETag again, which is the harder case for a condition.
func etag(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // as above
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func readBody(r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	return io.ReadAll(r)
}
