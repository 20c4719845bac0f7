package objects_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
)

// The faults' meaning is only worth something if the bucket in memory answers as S3 does.
func TestTheBucketInMemoryAnswersAsTheEmulator(t *testing.T) {
	emulated := newBucket(t)
	transcript := func(api objects.API, name string) []string {
		var said []string
		say := func(what string, err error) {
			code := "done"
			if err != nil {
				code = err.Error()
			}
			if refused, ok := errors.AsType[smithy.APIError](err); ok {
				code = refused.ErrorCode()
			}
			said = append(said, what+": "+code)
		}
		put := func(what, key, body string, change func(*s3.PutObjectInput)) string {
			in := &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader(body)}
			if change != nil {
				change(in)
			}
			out, err := api.PutObject(t.Context(), in)
			say(what, err)
			if err != nil {
				return ""
			}
			return aws.ToString(out.ETag)
		}
		read := func(what, key, version string) {
			got, err := objects.NewBucket(api, name, "", 1).ReadVersion(t.Context(), key, version)
			for _, known := range []error{objects.ErrDeleted, objects.ErrNotFound} {
				if errors.Is(err, known) {
					err = known
				}
			}
			say(fmt.Sprintf("%s %q", what, got.Body), err)
		}
		read("reading what never was", "a", "")
		first := put("creating", "a", "1", func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
		put("creating again", "a", "2", func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
		second := put("replacing", "a", "2", func(in *s3.PutObjectInput) { in.IfMatch = &first })
		put("replacing what was replaced", "a", "3", func(in *s3.PutObjectInput) { in.IfMatch = &first })
		put("replacing what never was", "b", "3", func(in *s3.PutObjectInput) { in.IfMatch = &first })
		read("reading", "a", "")
		_, err := api.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: aws.String("a")})
		say("deleting", err)
		put("replacing what was deleted", "a", "3", func(in *s3.PutObjectInput) { in.IfMatch = &second })
		put("creating what was deleted", "a", "4", func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
		read("reading", "a", "")
		for i := range 5 {
			put("putting", fmt.Sprintf("l/%d", i), "x", nil)
		}
		listed, err := objects.NewBucket(api, name, "", 1).List(t.Context(), "l/", "l/1")
		say(fmt.Sprintf("listing %d from %s", len(listed), listed[0].Key), err)
		return said
	}
	inMemory := memory.New()
	inMemory.PageKeys = 2
	got, want := transcript(inMemory.Client(), "b"), transcript(emulated.Client, emulated.name)
	if !slices.Equal(got, want) {
		t.Fatalf("in memory\n%s\nthe emulator\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Whatever happens to each call of a conditional write, what it says is what is there.
func TestConditionalWritesAreCertainUnderEveryFault(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(context.Context, *objects.Bucket, string) (objects.Stored, error)
		// first is what is there before.
		first string
	}{
		{"create", func(ctx context.Context, b *objects.Bucket, _ string) (objects.Stored, error) {
			return b.Create(ctx, "k", "text/plain", []byte("ours"))
		}, ""},
		{"create beside another's", func(ctx context.Context, b *objects.Bucket, _ string) (objects.Stored, error) {
			return b.Create(ctx, "k", "text/plain", []byte("ours"))
		}, "theirs"},
		{"replace", func(ctx context.Context, b *objects.Bucket, etag string) (objects.Stored, error) {
			return b.Replace(ctx, "k", "text/plain", []byte("ours"), etag)
		}, "before"},
		{"replace what another replaced", func(ctx context.Context, b *objects.Bucket, _ string) (objects.Stored, error) {
			return b.Replace(ctx, "k", "text/plain", []byte("ours"), `"other"`)
		}, "theirs"},
	} {
		for _, fault := range memory.Faults {
			for _, second := range append([]memory.Fault{0}, memory.Faults...) {
				t.Run(fmt.Sprintf("%s, %s, then %s", c.name, fault, second), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						for n := 0; ; n++ {
							store := memory.New()
							etag := ""
							if c.first != "" {
								there, err := objects.NewBucket(store.Client(), "b", "", 1).Create(t.Context(), "k", "text/plain", []byte(c.first))
								if err != nil {
									t.Fatal(err)
								}
								etag = there.ETag
							}
							client := store.Client()
							client.Order(n, fault)
							client.Order(n+1, second)
							got, err := c.write(t.Context(), objects.NewBucket(client, "b", "", 1), etag)
							store.Arrive()
							there, readErr := objects.NewBucket(store.Client(), "b", "", 1).Read(t.Context(), "k")
							if err == nil && (readErr != nil || string(got.Body) != string(there.Body) || got.VersionID != there.VersionID) {
								t.Fatalf("fault at call %d: got %q as %s, and there is %q as %s, %v", n, got.Body, got.VersionID, there.Body, there.VersionID, readErr)
							}
							if crash := fault >= memory.CrashBefore || second >= memory.CrashBefore; err != nil && !crash {
								t.Fatalf("fault at call %d: %v", n, err)
							}
							if versions := store.Versions("k"); versions > 2 || versions > 1 && c.first != "before" {
								t.Fatalf("fault at call %d: %d versions were written", n, versions)
							}
							if n >= len(client.Calls()) {
								return
							}
						}
					})
				})
			}
		}
	}
}

// Which one of two writers wins doesn't matter; that both know it does.
func TestOfTwoReplacementsOneCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range memory.Faults {
			store := memory.New()
			b := objects.NewBucket(store.Client(), "b", "", 1)
			before, err := b.Create(t.Context(), "k", "text/plain", []byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			slow := store.Client()
			slow.Order(0, fault)
			overtaken := false
			slow.Before = func(call memory.Call) memory.Fault {
				if call.N == 1 && !overtaken {
					overtaken = true
					if _, err := b.Replace(t.Context(), "k", "text/plain", []byte("theirs"), before.ETag); err != nil {
						t.Error(err)
					}
				}
				return 0
			}
			got, err := objects.NewBucket(slow, "b", "", 1).Replace(t.Context(), "k", "text/plain", []byte("ours"), before.ETag)
			there, readErr := b.Read(t.Context(), "k")
			if readErr != nil || store.Versions("k") != 2 || err == nil && string(got.Body) != string(there.Body) {
				t.Errorf("%s: got %q, %v; %q is there, %v", fault, got.Body, err, there.Body, readErr)
			}
		}
	})
}

func TestADeletedObjectIsNotReplaced(t *testing.T) {
	store := memory.New()
	b := objects.NewBucket(store.Client(), "b", "", 1)
	there, err := b.Create(t.Context(), "k", "text/plain", []byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Replace(t.Context(), "k", "text/plain", []byte("after"), there.ETag); err == nil || !strings.Contains(err.Error(), "somebody deleted it") {
		t.Fatalf("got %v", err)
	}
	if _, err := b.Read(t.Context(), "k"); !errors.Is(err, objects.ErrDeleted) || !errors.Is(err, objects.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if old, err := b.ReadVersion(t.Context(), "k", there.VersionID); err != nil || string(old.Body) != "before" {
		t.Fatalf("its version reads %q, %v", old.Body, err)
	}
}

// A stream ends with one whole object or with none, whichever of its calls meets a fault.
func TestAStreamIsWholeOrNothingUnderEveryFault(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", objects.PartSize/16*2+1)
	for _, fault := range memory.Faults {
		t.Run(fault.String(), func(t *testing.T) {
			for n := 0; ; n++ {
				store := memory.New()
				client := store.Client()
				client.Order(n, fault)
				w := objects.NewBucket(client, "b", "", 1).NewWriter(t.Context(), "k", "text/plain")
				_, err := w.Write([]byte(body))
				if err == nil {
					object, closeErr := w.Close()
					if err = closeErr; err == nil {
						there, readErr := objects.NewBucket(store.Client(), "b", "", 1).ReadVersion(t.Context(), "k", object.VersionID)
						if readErr != nil || string(there.Body) != body {
							t.Fatalf("fault at call %d: %d bytes are there, %v", n, len(there.Body), readErr)
						}
					}
				} else {
					w.Abort()
				}
				if fault == memory.SentTwice && err != nil {
					t.Fatalf("fault at call %d: %v", n, err)
				}
				if n >= len(client.Calls()) {
					return
				}
			}
		})
	}
}
