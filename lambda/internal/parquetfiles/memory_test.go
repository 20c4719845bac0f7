package parquetfiles_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
)

// load is what a measured process writes: rows of so many columns, and a value of so many bytes in each.
type load struct {
	Name                string
	Rows, Columns, Size int
	// BatchBytes is when a batch is written.
	BatchBytes int
}

const loadVariable = "PARQUET_LOAD"

// TestPeakMemory measures what one stream of rows into Parquet takes, in a process of its own and without a memory limit, for narrow rows,
// wide rows and large values. What lives is a batch and a row group; the collector lets the heap grow to twice that, and four times as many
// rows take no more.
// Run it with: BENCH=1 go test ./lambda/internal/parquetfiles -run TestPeakMemory -v
func TestPeakMemory(t *testing.T) {
	if os.Getenv("BENCH") == "" {
		t.Skip("set BENCH=1 to measure: it takes minutes")
	}
	const batch = 4 << 20
	for _, l := range []load{
		{"narrow", 4_000_000, 5, 8, batch},
		{"narrow", 16_000_000, 5, 8, batch},
		{"wide", 160_000, 200, 8, batch},
		{"wide", 640_000, 200, 8, batch},
		{"wide texts", 20_000, 200, 100, batch},
		{"large values", 250, 1, 4 << 20, batch},
		{"large values", 1000, 1, 4 << 20, batch},
		{"largest values", 200, 1, 8 << 20, batch},
	} {
		told, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestLoadOfAChild$", "-test.v")
		command.Env = append(os.Environ(), loadVariable+"="+string(told))
		started := time.Now()
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, after, _ := bytes.Cut(out, []byte("peak "))
		line, _, _ := bytes.Cut(after, []byte("\n"))
		peak, err := strconv.Atoi(string(line))
		if err != nil {
			t.Fatalf("no answer: %s", out)
		}
		t.Logf("%-15s %8d rows of %3d columns of %8d bytes: peak %4d MB, %.1f s", l.Name, l.Rows, l.Columns, l.Size, peak>>20, time.Since(started).Seconds())
	}
}

// TestLoadOfAChild is the measured process.
func TestLoadOfAChild(t *testing.T) {
	var l load
	if err := json.Unmarshal([]byte(os.Getenv(loadVariable)), &l); err != nil {
		t.Skip("only TestPeakMemory runs this")
	}
	source := []sqlserver.Column{named("Id", "bigint")}
	for i := range l.Columns {
		kind := "float"
		if l.Size > 8 {
			kind = "varbinary"
		}
		source = append(source, named(fmt.Sprintf("C%d", i), kind))
	}
	p := resolve(t, source)
	b, err := columns.NewBatcher(p, columns.BatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bucket := objects.NewBucket(discard{}, "bench", "", 1)
	w := parquetfiles.NewWriter(p.Schema(), testBucket{bucket: bucket}.open(t), parquetfiles.Sizes{})
	row := make([]any, len(source))
	for i := range l.Rows {
		row[0] = int64(i)
		for c := 1; c < len(row); c++ {
			if l.Size <= 8 {
				row[c] = rand.Float64()
				continue
			}
			value := make([]byte, l.Size) // a new one each time, as the driver gives it
			for at := 0; at < len(value); at += 64 {
				value[at] = byte(rand.Uint32())
			}
			row[c] = value
		}
		if err := b.Append(row); err != nil {
			t.Fatal(err)
		}
		if b.Bytes() >= l.BatchBytes {
			write(t, w, b.Batch())
		}
	}
	if b.Rows() > 0 {
		write(t, w, b.Batch())
	}
	end(t, w)
	fmt.Printf("peak %d\n", peak(t))
}

// peak is the largest resident set that the kernel saw of this process, in bytes.
func peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmHWM:" {
			kb, err := strconv.Atoi(string(fields[1]))
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("/proc/self/status has no VmHWM")
	return 0
}

// discard is S3 as far as memory is concerned: it reads what it is sent.
type discard struct{ objects.API }

func (discard) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	_, err := io.Copy(io.Discard, in.Body)
	return &s3.PutObjectOutput{}, err
}

func (discard) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{UploadId: aws.String("upload")}, nil
}

func (discard) UploadPart(_ context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	_, err := io.Copy(io.Discard, in.Body)
	return &s3.UploadPartOutput{}, err
}

func (discard) CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	return &s3.CompleteMultipartUploadOutput{}, nil
}
