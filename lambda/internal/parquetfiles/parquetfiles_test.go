package parquetfiles_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

var client *s3.Client

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(loadVariable) != "" {
			return m.Run() // a process that is measured
		}
		dir, err := os.MkdirTemp("", "parquetfiles")
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

// The values are as go-mssqldb gives them, at the ends of each type's range; an independent reader says what is in the file.
func TestEveryTypeIsReadBackAsItWasAtItsExtremes(t *testing.T) {
	decimal := func(text string) []byte { return []byte(text) }
	at := func(text string) time.Time {
		moment, err := time.Parse("2006-01-02T15:04:05Z07:00", text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	guid := []byte{0x6F, 0x96, 0x19, 0xFF, 0x8B, 0x86, 0xD0, 0x11, 0xB4, 0x2D, 0x00, 0xC0, 0x4F, 0xC9, 0x64, 0xFF}
	cases := []struct {
		column  sqlserver.Column
		parquet string // as DuckDB names the type
		values  []any
		want    []string // as Python shows them
	}{
		{typed("bit"), "BOOLEAN", []any{false, true}, []string{"False", "True"}},
		{typed("tinyint"), "SMALLINT", []any{int64(0), int64(255)}, []string{"0", "255"}},
		{typed("smallint"), "SMALLINT", []any{int64(-32768), int64(32767)}, []string{"-32768", "32767"}},
		{typed("int"), "INTEGER", []any{int64(math.MinInt32), int64(math.MaxInt32)}, []string{"-2147483648", "2147483647"}},
		{typed("bigint"), "BIGINT", []any{int64(math.MinInt64), int64(math.MaxInt64)}, []string{"-9223372036854775808", "9223372036854775807"}},
		{numeric(1, 0), "DECIMAL(1,0)", []any{decimal("-9"), decimal("9")}, []string{"-9", "9"}},
		{numeric(9, 9), "DECIMAL(9,9)", []any{decimal("-0.999999999"), decimal("0.000000001")}, []string{"-0.999999999", "1E-9"}},
		{numeric(18, 4), "DECIMAL(18,4)", []any{decimal("-99999999999999.9999"), decimal("99999999999999.9999")}, []string{"-99999999999999.9999", "99999999999999.9999"}},
		{numeric(19, 0), "DECIMAL(19,0)", []any{decimal("-9999999999999999999"), decimal("9999999999999999999")}, []string{"-9999999999999999999", "9999999999999999999"}},
		{numeric(38, 0), "DECIMAL(38,0)", []any{decimal("-99999999999999999999999999999999999999"), decimal("99999999999999999999999999999999999999")},
			[]string{"-99999999999999999999999999999999999999", "99999999999999999999999999999999999999"}},
		{numeric(38, 38), "DECIMAL(38,38)", []any{decimal("-0.99999999999999999999999999999999999999"), decimal("0.00000000000000000000000000000000000001")},
			[]string{"-0.99999999999999999999999999999999999999", "1E-38"}},
		{typed("money"), "DECIMAL(19,4)", []any{decimal("-922337203685477.5808"), decimal("922337203685477.5807")}, []string{"-922337203685477.5808", "922337203685477.5807"}},
		{typed("smallmoney"), "DECIMAL(10,4)", []any{decimal("-214748.3648"), decimal("214748.3647")}, []string{"-214748.3648", "214748.3647"}},
		{typed("float"), "DOUBLE", []any{-math.MaxFloat64, 2.2250738585072014e-308, 0.1}, []string{"-1.7976931348623157e+308", "2.2250738585072014e-308", "0.1"}},
		{typed("real"), "FLOAT", []any{-float64(math.MaxFloat32), 1.1754943508222875e-38, 0.25}, []string{"-3.4028234663852886e+38", "1.1754943508222875e-38", "0.25"}},
		{typed("date"), "DATE", []any{at("0001-01-01T00:00:00Z"), at("1969-12-31T00:00:00Z"), at("9999-12-31T00:00:00Z")}, []string{"0001-01-01", "1969-12-31", "9999-12-31"}},
		{scaled("time", 0), "TIME", []any{at("0001-01-01T00:00:00Z"), at("0001-01-01T23:59:59Z")}, []string{"00:00:00", "23:59:59"}},
		{scaled("time", 7), "TIME", []any{at("0001-01-01T00:00:00Z"), at("0001-01-01T23:59:59.9999999Z")}, []string{"00:00:00", "23:59:59.999999"}},
		{typed("datetime"), "TIMESTAMP", []any{at("1753-01-01T00:00:00Z"), at("9999-12-31T23:59:59.997Z"), at("2026-01-01T02:00:00.003Z")},
			[]string{"1753-01-01 00:00:00", "9999-12-31 23:59:59.997000", "2026-01-01 02:00:00.003000"}},
		{typed("smalldatetime"), "TIMESTAMP", []any{at("1900-01-01T00:00:00Z"), at("2079-06-06T23:59:00Z")}, []string{"1900-01-01 00:00:00", "2079-06-06 23:59:00"}},
		{scaled("datetime2", 0), "TIMESTAMP", []any{at("0001-01-01T00:00:00Z"), at("9999-12-31T23:59:59Z")}, []string{"0001-01-01 00:00:00", "9999-12-31 23:59:59"}},
		{scaled("datetime2", 7), "TIMESTAMP", []any{at("0001-01-01T00:00:00.0000001Z"), at("9999-12-31T23:59:59.9999999Z"), at("1969-12-31T23:59:59.9999999Z")},
			[]string{"0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"}},
		{scaled("datetimeoffset", 7), "TIMESTAMP WITH TIME ZONE", []any{at("0001-01-01T14:00:00+14:00"), at("2026-01-01T02:00:00.1234567+05:30"), at("9999-12-31T09:59:59.9999999-14:00")},
			[]string{"0001-01-01 00:00:00+00", "2025-12-31 20:30:00.123456+00", "9999-12-31 23:59:59.999999+00"}},
		{sized("char", 3), "VARCHAR", []any{"DE ", "DEU"}, []string{"DE ", "DEU"}},
		{sized("varchar", 8000), "VARCHAR", []any{"", strings.Repeat("é", 8000)}, []string{"", strings.Repeat("é", 8000)}},
		{sized("varchar", sqlserver.MaxLength), "VARCHAR", []any{strings.Repeat("x", 100_000)}, []string{strings.Repeat("x", 100_000)}},
		{sized("nchar", 2), "VARCHAR", []any{"é "}, []string{"é "}},
		{sized("nvarchar", 20), "VARCHAR", []any{"Grüße, 世界 😀", "\x00\t\r\n\"',"}, []string{"Grüße, 世界 😀", "\x00\t\r\n\"',"}},
		{sized("nvarchar", sqlserver.MaxLength), "VARCHAR", []any{"half a pair: \uFFFD"}, []string{"half a pair: \uFFFD"}},
		{typed("text"), "VARCHAR", []any{"", "ä"}, []string{"", "ä"}},
		{typed("ntext"), "VARCHAR", []any{"", "λ"}, []string{"", "λ"}},
		{typed("xml"), "VARCHAR", []any{"<a>λ</a>"}, []string{"<a>λ</a>"}},
		{typed("json"), "VARCHAR", []any{`{"a":[1,null]}`}, []string{`{"a":[1,null]}`}},
		{typed("uniqueidentifier"), "VARCHAR", []any{make([]byte, 16), guid}, []string{"00000000-0000-0000-0000-000000000000", "6F9619FF-8B86-D011-B42D-00C04FC964FF"}},
		{sized("binary", 3), "BLOB", []any{[]byte{0, 255, 0}}, []string{`b'\x00\xff\x00'`}},
		{sized("varbinary", 8), "BLOB", []any{[]byte{}, []byte{0, 255, 127}}, []string{`b''`, `b'\x00\xff\x7f'`}},
		{sized("varbinary", sqlserver.MaxLength), "BLOB", []any{[]byte{10}}, []string{`b'\n'`}},
		{typed("image"), "BLOB", []any{[]byte{1}}, []string{`b'\x01'`}},
		{typed("rowversion"), "BLOB", []any{[]byte{0, 0, 0, 0, 0, 0, 7, 209}}, []string{`b'\x00\x00\x00\x00\x00\x00\x07\xd1'`}},
		{typed("sql_variant"), "VARCHAR", []any{int64(7), decimal("-0.50"), "7", at("9999-12-31T23:59:59.9999999Z")}, []string{"integer:7", "number:-0.50", "text:7", "time:9999-12-31 23:59:59.9999999"}},
	}
	source := []sqlserver.Column{typed("int")}
	source[0].Name = "Id"
	for i, c := range cases {
		c.column.Name = fmt.Sprintf("C%d", i)
		source = append(source, c.column)
	}
	p := resolve(t, source)
	const rows = 5 // one more than the longest list of values: the last is NULL in all columns
	b := batcher(t, p)
	for row := range rows {
		values := []any{int64(row)}
		for _, c := range cases {
			if row < len(c.values) {
				values = append(values, c.values[row])
			} else {
				values = append(values, nil)
			}
		}
		if err := b.Append(values); err != nil {
			t.Fatal(err)
		}
	}
	bucket := newBucket(t)
	w := parquetfiles.NewWriter(p.Schema(), bucket.open(t), parquetfiles.Sizes{})
	write(t, w, b.Batch())
	files := end(t, w)

	var shown []string
	for i, c := range cases {
		name := fmt.Sprintf("C%d", i)
		if strings.Contains(c.parquet, "ZONE") {
			name = "CAST(" + name + " AS VARCHAR)" // Python would need a table of zones for it
		}
		shown = append(shown, name, fmt.Sprintf("typeof(C%d)", i))
	}
	read := bucket.duckdb(t, files, "SELECT "+strings.Join(shown, ", ")+" FROM files ORDER BY Id")
	for i, c := range cases {
		t.Run(p.Columns[i+1].Type.SQL, func(t *testing.T) {
			want := slices.Clone(c.want)
			for len(want) < rows {
				want = append(want, "NULL")
			}
			var got []string
			for _, row := range read {
				if row[2*i+1] != c.parquet {
					t.Fatalf("Parquet has %s, want %s", row[2*i+1], c.parquet)
				}
				got = append(got, row[2*i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %.300q\nwant %.300q", got, want)
			}
		})
	}
}

func TestFilesAndRowGroupsEndBySize(t *testing.T) {
	p := resolve(t, []sqlserver.Column{named("Id", "int"), named("Note", "nvarchar")})
	bucket := newBucket(t)
	w := parquetfiles.NewWriter(p.Schema(), bucket.open(t), parquetfiles.Sizes{RowGroupBytes: 100_000, FileBytes: 250_000})
	b := batcher(t, p)
	const batches, perBatch = 40, 50
	noise := func(n int) string { // which zstd can't make smaller
		text := make([]byte, 1000)
		state := uint32(n + 1)
		for i := range text {
			state = state*1664525 + 1013904223
			text[i] = ' ' + byte(state>>24)%95
		}
		return string(text)
	}
	for i := range batches * perBatch {
		if err := b.Append([]any{int64(i), noise(i)}); err != nil {
			t.Fatal(err)
		}
		if b.Rows() == perBatch {
			write(t, w, b.Batch())
		}
	}
	files := end(t, w)
	var rows int64
	for i, f := range files {
		rows += f.Rows
		if want := fmt.Sprintf("data/%d", i); f.Key != want || f.Format != "parquet" {
			t.Errorf("file %d is %s, %s", i, f.Key, f.Format)
		}
		if i < len(files)-1 && (f.Bytes < 200_000 || f.Bytes > 500_000) {
			t.Errorf("file %d has %d bytes", i, f.Bytes)
		}
	}
	if rows != batches*perBatch || len(files) < 5 {
		t.Errorf("%d rows in %d files", rows, len(files))
	}
	read := bucket.duckdb(t, files, "SELECT count(*), count(DISTINCT Id), sum(length(Note)) FROM files")
	if got := strings.Join(read[0], " "); got != "2000 2000 2000000" {
		t.Errorf("DuckDB counts %s", got)
	}
	groups := bucket.duckdb(t, files, "SELECT max(row_group_num_rows) FROM parquet_metadata('FILES')")
	if got := groups[0][0]; got != "100" {
		t.Errorf("the largest row group has %s rows", got)
	}
}

func TestWithoutRowsThereIsNoFile(t *testing.T) {
	p := resolve(t, []sqlserver.Column{named("Id", "int")})
	w := parquetfiles.NewWriter(p.Schema(), newBucket(t).open(t), parquetfiles.Sizes{})
	if files := end(t, w); len(files) != 0 {
		t.Fatalf("got %v", files)
	}
}

func TestAnAbortedFileIsNotThere(t *testing.T) {
	p := resolve(t, []sqlserver.Column{named("Id", "int")})
	bucket := newBucket(t)
	w := parquetfiles.NewWriter(p.Schema(), bucket.open(t), parquetfiles.Sizes{})
	b := batcher(t, p)
	if err := b.Append([]any{int64(1)}); err != nil {
		t.Fatal(err)
	}
	write(t, w, b.Batch())
	w.Abort()
	if _, err := bucket.bucket.Read(t.Context(), "data/0"); !errors.Is(err, objects.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

func resolve(t *testing.T, source []sqlserver.Column) *columns.Plan {
	t.Helper()
	p, err := columns.Resolve(source, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func batcher(t *testing.T, p *columns.Plan) *columns.Batcher {
	t.Helper()
	b, err := columns.NewBatcher(p, columns.BatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Release)
	return b
}

func write(t *testing.T, w *parquetfiles.Writer, batch arrow.RecordBatch) {
	t.Helper()
	defer batch.Release()
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
}

func end(t *testing.T, w *parquetfiles.Writer) []manifest.File {
	t.Helper()
	files, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// testBucket is a bucket that one test has to itself.
type testBucket struct {
	name   string
	bucket *objects.Bucket
}

func newBucket(t *testing.T) testBucket {
	t.Helper()
	name := fmt.Sprintf("parquet-%d", time.Now().UnixNano())
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return testBucket{name: name, bucket: objects.NewBucket(client, name, "", 1)}
}

func (b testBucket) open(t *testing.T) parquetfiles.Open {
	return func(n int) *objects.Writer {
		return b.bucket.NewWriter(t.Context(), fmt.Sprintf("data/%d", n), "application/vnd.apache.parquet")
	}
}

// duckdb answers a query over the files, with each value as Python shows it.
func (b testBucket) duckdb(t *testing.T, files []manifest.File, query string) [][]string {
	t.Helper()
	dir := t.TempDir()
	for i, f := range files {
		body, err := b.bucket.Open(t.Context(), f.Key, "")
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		body.Close()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.parquet", i)), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	python, err := filepath.Abs("../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	const script = `
import duckdb, json, sys
c = duckdb.connect()
c.execute("SET TimeZone = 'UTC'")
files = sys.argv[1] + "/*.parquet"
c.execute("CREATE VIEW files AS SELECT * FROM read_parquet('" + files + "')")
rows = c.execute(sys.argv[2].replace("FILES", files)).fetchall()
json.dump([["NULL" if v is None else str(v) for v in row] for row in rows], sys.stdout)
`
	command := exec.CommandContext(t.Context(), python, "-c", script, dir, query)
	var problem bytes.Buffer
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		t.Fatalf("duckdb: %v: %s", err, problem.String())
	}
	var rows [][]string
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func typed(name string) sqlserver.Column {
	return sqlserver.Column{Type: name, Length: -1, Precision: -1, Scale: -1, Nullable: true}
}

func named(name, sqlType string) sqlserver.Column {
	c := typed(sqlType)
	c.Name = name
	return c
}

func numeric(precision, scale int64) sqlserver.Column {
	c := typed("decimal")
	c.Precision, c.Scale = precision, scale
	return c
}

func scaled(name string, scale int64) sqlserver.Column {
	c := typed(name)
	c.Precision, c.Scale = 0, scale
	return c
}

func sized(name string, length int64) sqlserver.Column {
	c := typed(name)
	c.Length = length
	return c
}
