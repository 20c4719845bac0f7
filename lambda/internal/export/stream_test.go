package export

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
)

// BenchmarkStream measures everything but the server and S3: rows of 16 columns as the driver gives them, without a quality gate and with ever more of it.
func BenchmarkStream(b *testing.B) {
	const n = 200_000
	drift := &pipeline.Drift{Rows: 0.5, Nulls: 0.05, Mean: 1, PSI: 0.2}
	const rules = `RowCount > 1000, IsComplete "c0", Completeness "c15" >= 0, ColumnValues "c9" in ["DE", "FR", "US", "CH"], ColumnValues "c4" between -1 and 5001, ColumnLength "c11" < 40,
		Mean "c2" > 0, StandardDeviation "c7" > 0`
	for _, c := range []struct {
		name    string
		quality *pipeline.Quality
	}{
		{"without a gate", nil},
		{"with drift", &pipeline.Quality{Drift: drift}},
		{"with drift and eight rules", &pipeline.Quality{Drift: drift, Rules: "Rules = [ " + rules + " ]"}},
		{"with drift, eight rules and a primary key", &pipeline.Quality{Drift: drift, Rules: "Rules = [ " + rules + `, IsPrimaryKey "c0" ]`}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := Exporter{
				Spec: pipeline.Spec{Pipeline: "p", Dataset: pipeline.Dataset{
					Task: pipeline.Binary, Key: []string{"c0"}, Label: "c1",
					Features: []string{"c2", "c3", "c4", "c5", "c6", "c7"}, Split: pipeline.Split{Train: 0.8, Test: 0.2},
				}},
				Bucket: objects.NewBucket(nowhere{}, "b", "", Streams(pipeline.Spec{})),
			}
			b.ReportAllocs()
			begun := processorTime(b)
			for b.Loop() {
				rows := &generated{n: n}
				resolved, err := columns.Resolve(rows.Columns(), e.Spec.Dataset)
				if err != nil {
					b.Fatal(err)
				}
				f := ledger.Frozen{Plan: plan.Plan{Run: "r", Load: pipeline.Full, Columns: resolved.Manifest(), SchemaSHA256: schemaHash(resolved.Manifest()), Quality: c.quality}}
				s, err := e.encode(b.Context(), f, "rows", "a", rows)
				if err != nil || s.counts.Decoded != int64(n) || c.quality != nil && s.statistics.Rows != int64(n) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(processorTime(b)-begun)/float64(n)/float64(b.N), "cpu-ns/row")
		})
	}
}

// processorTime is what the process has used so far, which a busy machine doesn't change as it does the time of day.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// generated gives rows like those of a table of transactions.
type generated struct {
	n, at int
	row   [16]any
}

func (g *generated) Columns() []sqlserver.Column {
	var out []sqlserver.Column
	for i, t := range []string{"bigint", "bit", "int", "smallint", "decimal", "money", "real", "float", "datetime2", "char", "varchar", "nvarchar", "uniqueidentifier", "date", "tinyint", "int"} {
		c := sqlserver.Column{Name: fmt.Sprint("c", i), Type: t, Length: -1, Precision: -1, Scale: -1, Nullable: true}
		if t == "decimal" {
			c.Precision, c.Scale = 12, 2
		}
		out = append(out, c)
	}
	return out
}

var countries = []any{"DE", "FR", "US", "CH"}

func (g *generated) Next() ([]any, error) {
	if g.at == g.n {
		return nil, io.EOF
	}
	i := g.at
	g.at++
	id := make([]byte, 16)
	for j := range 8 {
		id[j] = byte(uint64(i) * 0x9E3779B97F4A7C15 >> (8 * j))
	}
	at := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
	g.row = [16]any{
		int64(i), i%50 == 0, int64(i % 10_000), int64(i % 300), []byte(strconv.Itoa(i%5000) + ".25"), []byte(strconv.Itoa(i%700) + ".1250"),
		float64(float32(i) / 3), float64(i) / 7, at, countries[i%4], "web", "note " + strconv.Itoa(i), id, at, int64(i % 200), nil,
	}
	return g.row[:], nil
}

func (g *generated) Close() error { return nil }

// nowhere is S3 that forgets.
type nowhere struct{ objects.API }

func (nowhere) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return &s3.PutObjectOutput{VersionId: aws.String("1")}, nil
}

func (nowhere) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{UploadId: aws.String("u")}, nil
}

func (nowhere) UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	return &s3.UploadPartOutput{}, nil
}

func (nowhere) CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	return &s3.CompleteMultipartUploadOutput{VersionId: aws.String("1")}, nil
}
