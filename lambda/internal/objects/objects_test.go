package objects_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/test/local/emulator"
)

var client *s3.Client

// streams is how many streams the tests' buckets are made for.
const streams = 4

// One emulator serves all tests of the package; each test has a bucket of its own.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "objects")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		e, err := emulator.Start(context.Background(), emulator.Options{StateDir: dir})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer e.Stop()
		client = s3.NewFromConfig(e.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
		return m.Run()
	}())
}

func TestStreamsArriveWhole(t *testing.T) {
	api := newBucket(t)
	b := objects.NewBucket(api, api.name, "", streams)
	for _, c := range []struct {
		name  string
		size  int
		parts int32
	}{
		{"nothing", 0, 0},
		{"a byte", 1, 0},
		{"a byte less than a part", objects.PartSize - 1, 0},
		{"a part exactly", objects.PartSize, 1},
		{"two parts and a half", objects.PartSize*5/2 + 1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			api.parts = 0
			want := make([]byte, c.size)
			for i := range want {
				want[i] = byte(rand.IntN(256))
			}
			w := b.NewWriter(t.Context(), "a/"+c.name, "text/csv")
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(1<<20))
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			object, err := w.Close()
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(want)
			if object.Bytes != int64(c.size) || object.SHA256 != hex.EncodeToString(sum[:]) || object.VersionID == "" || api.parts != c.parts {
				t.Fatalf("got %+v in %d parts", object, api.parts)
			}
			got, err := b.Read(t.Context(), object.Key)
			if err != nil || !bytes.Equal(got.Body, want) || got.VersionID != object.VersionID {
				t.Fatalf("%d bytes came back as version %q, %v", len(got.Body), got.VersionID, err)
			}
		})
	}
}

// More streams than buffers would wait for one another for ever if a closed one kept its buffer.
func TestBuffersComeBack(t *testing.T) {
	api := newBucket(t)
	b := objects.NewBucket(api, api.name, "", streams)
	for i := range (streams + 2) * 3 {
		w := b.NewWriter(t.Context(), fmt.Sprint("f", i), "text/csv")
		if _, err := w.Write(make([]byte, objects.PartSize+1)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			w.Abort()
		} else if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if open := api.openUploads(t); open != 0 {
		t.Fatalf("%d uploads are left open", open)
	}
}

// A request that failed may still be reading its body, which then must not hold another stream's bytes.
func TestTheBufferOfAFailedWriteIsNotUsedAgain(t *testing.T) {
	api := newBucket(t)
	b := objects.NewBucket(failingOnce{api, &sync.Once{}, func(body io.ReadSeeker) {
		t.Cleanup(func() {
			_, _ = body.Seek(0, io.SeekStart)
			if got, err := io.ReadAll(body); err != nil || string(got) != "first" {
				t.Errorf("the failed request reads %q, %v", got, err)
			}
		})
	}}, api.name, "", streams)
	for i, text := range append([]string{"first"}, slices.Repeat([]string{"other"}, streams+2)...) {
		w := b.NewWriter(t.Context(), fmt.Sprint("f", i), "text/csv")
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); (err != nil) != (i == 0) {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
}

// failingOnce loses the first write and keeps its body.
type failingOnce struct {
	objects.API
	once *sync.Once
	keep func(body io.ReadSeeker)
}

func (f failingOnce) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	var err error
	f.once.Do(func() {
		f.keep(in.Body.(io.ReadSeeker))
		err = errors.New("connection reset by peer")
	})
	if err != nil {
		return nil, err
	}
	return f.API.PutObject(ctx, in, o...)
}

func TestAFailedPartLeavesNothing(t *testing.T) {
	api := newBucket(t)
	b := objects.NewBucket(api, api.name, "", streams)
	api.fail = func(operation string) error {
		if operation == "UploadPart" {
			return &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}
		}
		return nil
	}
	w := b.NewWriter(t.Context(), "k", "text/csv")
	_, err := w.Write(make([]byte, objects.PartSize*2))
	if err == nil {
		_, err = w.Close()
	} else {
		w.Abort()
	}
	if err == nil || !strings.Contains(err.Error(), "s3:PutObject") || !strings.Contains(err.Error(), "/k: access denied") {
		t.Fatalf("got %v", err)
	}
	api.fail = nil
	if open := api.openUploads(t); open != 0 {
		t.Fatalf("%d uploads are left open", open)
	}
	if _, err := b.Read(t.Context(), "k"); !errors.Is(err, objects.ErrNotFound) {
		t.Fatalf("there is an object: %v", err)
	}
}

func TestACancelledStreamSaysWhyAndLeavesNothing(t *testing.T) {
	api := newBucket(t)
	b := objects.NewBucket(api, api.name, "", streams)
	ctx, cancel := context.WithCancelCause(t.Context())
	w := b.NewWriter(ctx, "k", "text/csv")
	if _, err := w.Write(make([]byte, objects.PartSize)); err != nil {
		t.Fatal(err)
	}
	cancel(errors.New("the time is up"))
	if _, err := w.Write([]byte("more")); err == nil || !strings.Contains(err.Error(), "the time is up") {
		t.Fatalf("got %v", err)
	}
	if _, err := w.Close(); err == nil {
		t.Fatal("the object was made")
	}
	if open := api.openUploads(t); open != 0 {
		t.Fatalf("%d uploads are left open", open)
	}
}

func TestAMissingBucketIsNamed(t *testing.T) {
	b := objects.NewBucket(client, "no-such-bucket", "", streams)
	if _, err := b.Put(t.Context(), "k", "text/csv", nil); err == nil || !strings.Contains(err.Error(), "s3://no-such-bucket/k: the bucket does not exist") {
		t.Fatalf("got %v", err)
	}
}

// Create is the commit: whatever S3 answers, exactly one body counts and everybody learns which.
func TestCreateIsCertain(t *testing.T) {
	conflict := &smithy.GenericAPIError{Code: "ConditionalRequestConflict", Message: "another write is under way"}
	lost := errors.New("connection reset by peer")
	for _, c := range []struct {
		name   string
		before string            // what is there already
		puts   []func(put) error // what happens to each PutObject; nil passes it on
		want   string            // which body counts
		fails  string
	}{
		{name: "nothing is there", want: "ours"},
		{name: "another's is there", before: "theirs", want: "theirs"},
		{name: "the same is there", before: "ours", want: "ours"},
		{name: "the reply to our write was lost", puts: []func(put) error{func(p put) error { p.send(t); return lost }}, want: "ours"},
		{name: "our write was lost", puts: []func(put) error{func(put) error { return lost }}, want: "ours"},
		{name: "another's write ran at the same time and won", puts: []func(put) error{func(p put) error { p.other(t); return conflict }}, want: "theirs"},
		{name: "another's write ran at the same time and lost", puts: []func(put) error{func(put) error { return conflict }}, want: "ours"},
		{name: "the SDK's own retry met our first write", puts: []func(put) error{func(p put) error {
			p.send(t)
			return &smithy.GenericAPIError{Code: "PreconditionFailed", Message: "it is there"}
		}}, want: "ours"},
		{name: "writing is not allowed", puts: []func(put) error{func(put) error {
			return &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}
		}}, fails: "s3:PutObject"},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := newBucket(t)
			if c.before != "" {
				(put{api}).write(t, c.before)
			}
			api.put = func(n int) func(put) error {
				if n < len(c.puts) {
					return c.puts[n]
				}
				return nil
			}
			b := objects.NewBucket(api, api.name, "", streams)
			got, err := b.Create(t.Context(), "m", "application/json", []byte("ours"))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("got %v, want an error with %s", err, c.fails)
				}
				return
			}
			there, readErr := b.Read(t.Context(), "m")
			if err != nil || readErr != nil || string(got.Body) != c.want || string(there.Body) != c.want || got.ETag != there.ETag || got.VersionID != there.VersionID {
				t.Fatalf("got %q, %v; %q is there, %v", got, err, there, readErr)
			}
		})
	}
}

func TestOfManyWritersOneCreates(t *testing.T) {
	api := newBucket(t)
	b := objects.NewBucket(api, api.name, "", streams)
	var all sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		all.Go(func() {
			there, err := b.Create(t.Context(), "m", "application/json", fmt.Appendf(nil, "writer %d", i))
			if err != nil {
				t.Error(err)
			}
			got[i] = string(there.Body)
		})
	}
	all.Wait()
	for _, body := range got {
		if body != got[0] || body == "" {
			t.Fatalf("the writers were told of different bodies: %q", got)
		}
	}
}

// bucket is a real bucket in the emulator with orders for faults before its operations.
type bucket struct {
	*s3.Client
	name string

	mu    sync.Mutex
	fail  func(operation string) error
	put   func(n int) func(put) error
	puts  int
	parts int32
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	name := fmt.Sprintf("b-%d-%d", time.Now().UnixNano(), rand.IntN(1000))
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	return &bucket{Client: client, name: name}
}

func (b *bucket) UploadPart(ctx context.Context, in *s3.UploadPartInput, o ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	if b.fail != nil {
		if err := b.fail("UploadPart"); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	b.parts = max(b.parts, aws.ToInt32(in.PartNumber))
	b.mu.Unlock()
	return b.Client.UploadPart(ctx, in, o...)
}

func (b *bucket) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	b.mu.Lock()
	n := b.puts
	b.puts++
	b.mu.Unlock()
	if b.put != nil {
		if order := b.put(n); order != nil {
			return nil, order(put{b})
		}
	}
	return b.Client.PutObject(ctx, in, o...)
}

func (b *bucket) openUploads(t *testing.T) int {
	t.Helper()
	out, err := b.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.name})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}

// put is what an order may do in place of a PutObject.
type put struct{ b *bucket }

func (p put) send(t *testing.T)  { p.write(t, "ours") }
func (p put) other(t *testing.T) { p.write(t, "theirs") }

func (p put) write(t *testing.T, body string) {
	if _, err := p.b.Client.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: &p.b.name, Key: aws.String("m"), Body: strings.NewReader(body),
	}); err != nil {
		t.Error(err)
	}
}
