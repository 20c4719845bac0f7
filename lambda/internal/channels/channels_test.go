package channels_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/channels"
	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

var client *s3.Client

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "channels")
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

var source = []sqlserver.Column{
	column("Id", "int"), column("Outcome", "varchar"), column("At", "datetime2"), column("Present", "bit"), column("Amount", "money"), column("Country", "varchar"), column("Level", "varchar"),
}

// dataset has every rule at once.
func dataset() pipeline.Dataset {
	return pipeline.Dataset{
		Task: pipeline.Binary, Format: pipeline.CSV, Key: []string{"Id"}, Label: "Outcome", Positive: []string{"fraud"}, NullLabel: pipeline.SkipNullLabel,
		Features: []string{"Amount", "Country", "Present", "Level"},
		Columns: map[string]pipeline.ColumnRule{
			"Country": {OneHot: []string{"DE", "FR"}, Unknown: pipeline.MissingUnknown},
			"Level":   {Ordinal: []string{"low", "high"}, Unknown: pipeline.MissingUnknown},
		},
		Split: pipeline.Split{Time: &pipeline.TimeSplit{Column: "At", ValidationFrom: "2026-01-01T00:00:00Z", TestFrom: "2026-02-01T00:00:00Z"}},
	}
}

var rows = [][]any{
	{int64(1), "fraud", day("2025-12-31"), true, []byte("12.5000"), "DE", nil},
	{int64(2), "ok", day("2026-01-01"), false, []byte("-0.0001"), "FR", "high"},
	{int64(3), nil, day("2026-01-02"), false, []byte("1.0000"), "XX", "low"},
	{int64(4), "ok", day("2026-02-01"), nil, nil, "XX", "middle"},
	{int64(5), "fraud", day("2025-01-01"), false, []byte("922337203685477.5807"), nil, "low"},
}

func TestRowsBecomeLinesOfNumbers(t *testing.T) {
	bucket := newBucket(t)
	w := newWriter(t, bucket, dataset(), 0)
	if err := write(t, w, dataset(), rows); err != nil {
		t.Fatal(err)
	}
	r, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"p/runs/20260101t020000z/train/a1-00000.csv":      "1,12.5000,1,0,1,\n1,922337203685477.5807,0,0,0,0\n",
		"p/runs/20260101t020000z/validation/a1-00000.csv": "0,-0.0001,0,1,0,1\n",
		"p/runs/20260101t020000z/test/a1-00000.csv":       "0,,0,0,,\n",
	}
	counted := map[string]int64{}
	for _, f := range r.Files {
		if got := bucket.read(t, f.Key); got != want[f.Key] {
			t.Errorf("%s holds %q, want %q", f.Key, got, want[f.Key])
		}
		if f.Format != "csv" || f.Bytes != int64(len(want[f.Key])) || f.SHA256 == "" {
			t.Errorf("the record of %s is %+v", f.Key, f)
		}
		counted[f.Channel] += f.Rows
	}
	if !maps.Equal(counted, map[string]int64{"train": 2, "validation": 1, "test": 1}) {
		t.Errorf("the files' rows are %v", counted)
	}
	if r.Rows != 4 || r.Skipped != 1 {
		t.Errorf("%d rows and %d skipped", r.Rows, r.Skipped)
	}
	// Row 3 is in no channel, so its unknown country doesn't count.
	if !maps.Equal(r.Unknown, map[string]int64{"Country": 1, "Level": 1}) {
		t.Errorf("unknown are %v", r.Unknown)
	}
	// Row 2 is the first without a NULL.
	if r.Smoke.Body != "-0.0001,0,1,0,1" || r.Smoke.ContentType != "text/csv" {
		t.Errorf("the smoke test is %+v", r.Smoke)
	}
}

func TestEachRowIsScoredWithItsKeyInFront(t *testing.T) {
	d := dataset()
	d.Key = []string{"Country", "Id"}
	d.Columns = map[string]pipeline.ColumnRule{"Level": {Ordinal: []string{"low", "high"}, Unknown: pipeline.MissingUnknown}}
	d.Features = []string{"Amount", "Level"}
	keyed := [][]any{
		{int64(1), "fraud", day("2025-12-31"), true, []byte("12.5000"), "Berlin, \"Mitte\"", "low"},
		{int64(2), nil, day("2026-01-01"), false, []byte("1.0000"), "Köln", "middle"}, // no label: it is scored, and not trained on
		{int64(3), "ok", day("2026-02-01"), nil, nil, "", nil},
		{int64(4), "ok", day("2026-02-01"), nil, []byte("1.0000"), nil, nil},
		{int64(5), "fraud", day("2025-12-31"), nil, []byte("1.0000"), " a", nil},
	}
	bucket := newBucket(t)
	p, err := columns.Resolve(source, d)
	if err != nil {
		t.Fatal(err)
	}
	w, err := channels.NewWriter(t.Context(), bucket.bucket, p, d, naming, channels.Options{Batch: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t, w, d, keyed); err != nil {
		t.Fatal(err)
	}
	r, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows != 4 || r.Skipped != 1 || r.Batch != 5 || !maps.Equal(r.Unknown, map[string]int64(nil)) {
		t.Errorf("got %+v", r)
	}
	last := r.Files[len(r.Files)-1]
	want := "\"Berlin, \"\"Mitte\"\"\",1,12.5000,0\nKöln,2,1.0000,\n\"\",3,,\n,4,1.0000,\n\" a\",5,1.0000,\n"
	if got := bucket.read(t, last.Key); got != want || last.Key != "p/runs/20260101t020000z/batch/a1-00000.csv" || last.Channel != "batch" || last.Rows != 5 {
		t.Fatalf("%+v holds %q, want %q", last, got, want)
	}
	// A reader of CSV finds the keys again.
	records, err := csv.NewReader(strings.NewReader(want)).ReadAll()
	if err != nil || len(records) != 5 || records[0][0] != `Berlin, "Mitte"` || records[4][0] != " a" {
		t.Fatalf("got %q, %v", records, err)
	}
}

func TestAKeyOfSeveralLinesIsNotScored(t *testing.T) {
	d := dataset()
	d.Key, d.Features, d.Columns = []string{"Country"}, []string{"Amount"}, nil
	p, err := columns.Resolve(source, d)
	if err != nil {
		t.Fatal(err)
	}
	w, err := channels.NewWriter(t.Context(), newBucket(t).bucket, p, d, naming, channels.Options{Batch: true})
	if err != nil {
		t.Fatal(err)
	}
	err = write(t, w, d, [][]any{{int64(1), "ok", day("2025-12-31"), true, []byte("1.0000"), "a\nb", nil}})
	w.Abort()
	if err == nil || !strings.Contains(err.Error(), `the key "Country" holds a line break`) || !strings.Contains(err.Error(), `in the row with Country="a\nb"`) {
		t.Fatalf("got %v", err)
	}
}

func TestRowsAreDealtByTheirKeyWithoutATime(t *testing.T) {
	d := pipeline.Dataset{Task: pipeline.Regression, Key: []string{"Id"}, Label: "Amount", Features: []string{"Present"}, Split: pipeline.Split{Train: 0.7, Validation: 0.2, Test: 0.1, Salt: "fraud"}}
	bucket := newBucket(t)
	w := newWriter(t, bucket, d, 0)
	// The keys of the split's own test, of which it says where they are.
	var list [][]any
	for id := range 8 {
		list = append(list, []any{int64(id), nil, day("2026-01-01"), id%2 == 0, fmt.Appendf(nil, "%d.0000", id), nil, nil})
	}
	if err := write(t, w, d, list); err != nil {
		t.Fatal(err)
	}
	r, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"train": "2.0000,1\n4.0000,1\n5.0000,0\n6.0000,1\n", "validation": "1.0000,0\n3.0000,0\n7.0000,0\n", "test": "0.0000,1\n"}
	for _, f := range r.Files {
		if got := bucket.read(t, f.Key); got != want[f.Channel] {
			t.Errorf("%s holds %q, want %q", f.Channel, got, want[f.Channel])
		}
	}
	if len(r.Files) != 3 || r.Unknown != nil {
		t.Errorf("got %+v", r)
	}
}

func TestALongChannelHasSeveralFiles(t *testing.T) {
	d := pipeline.Dataset{Task: pipeline.Regression, Key: []string{"Id"}, Label: "Amount", Features: []string{"Id2"}, Split: pipeline.Split{Train: 1}}
	bucket := newBucket(t)
	p, err := columns.Resolve([]sqlserver.Column{column("Id", "int"), column("Id2", "int"), column("Amount", "money")}, d)
	if err != nil {
		t.Fatal(err)
	}
	w, err := channels.NewWriter(t.Context(), bucket.bucket, p, d, naming, channels.Options{FileBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	b := batcher(t, p)
	const n = 50_000
	for id := range n {
		if err := b.Append([]any{int64(id), int64(id), []byte("1.5000")}); err != nil {
			t.Fatal(err)
		}
		if b.Rows() == 1000 {
			batch := b.Batch()
			err := w.Write(batch)
			batch.Release()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	var total int64
	for i, f := range r.Files {
		if want := fmt.Sprintf("p/runs/20260101t020000z/train/a1-%05d.csv", i); f.Key != want {
			t.Errorf("file %d is %s", i, f.Key)
		}
		body := bucket.read(t, f.Key)
		if int64(strings.Count(body, "\n")) != f.Rows {
			t.Errorf("%s has %d lines and says %d", f.Key, strings.Count(body, "\n"), f.Rows)
		}
		all.WriteString(body)
		total += f.Rows
	}
	if total != n || r.Rows != n || len(r.Files) < 4 || !strings.HasSuffix(all.String(), "1.5000,49999\n") {
		t.Errorf("%d rows in %d files", total, len(r.Files))
	}
}

func TestRowsThatCantBeTrainedOnAreNamed(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*pipeline.Dataset)
		row     []any
		problem string
	}{
		{"no label", func(d *pipeline.Dataset) { d.NullLabel = pipeline.FailOnNullLabel }, []any{int64(9), nil, day("2026-01-01"), true, nil, nil, nil},
			`the label "Outcome" is NULL: .* set dataset.nullLabel to skip, .*, in the row with Id=9`},
		{"a label that is neither 0 nor 1", func(d *pipeline.Dataset) {
			d.Label, d.Positive, d.Features = "Amount", nil, []string{"Present"}
			d.Columns = nil
		},
			[]any{int64(9), nil, day("2026-01-01"), true, []byte("2.0000"), nil, nil}, `the label "Amount" is 2.0000: a binary label is 0 or 1 .*, in the row with Id=9`},
		{"a category that nobody declared", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Country": {OneHot: []string{"DE"}}, "Level": {Ordinal: []string{"low"}}}
		},
			[]any{int64(9), "ok", day("2026-01-01"), true, nil, "FR", nil}, `column "Country" has the value "FR", which is none of its categories \(DE\): .*, in the row with Id=9`},
		{"no time to be split by", func(*pipeline.Dataset) {}, []any{int64(9), "ok", nil, true, nil, "FR", nil}, `"At", which dataset.split.time splits by, is NULL in the row with Id=9`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dataset()
			c.change(&d)
			w := newWriter(t, newBucket(t), d, 0)
			defer w.Abort()
			err := write(t, w, d, [][]any{c.row})
			if err == nil || !regexp.MustCompile(c.problem).MatchString(err.Error()) {
				t.Fatalf("got %v\nwant %s", err, c.problem)
			}
		})
	}
}

func TestAFormatWithoutAWriterIsRefused(t *testing.T) {
	for _, format := range []pipeline.Format{pipeline.NoChannels, "libsvm"} {
		d := dataset()
		p, err := columns.Resolve(source, d)
		if err != nil {
			t.Fatal(err)
		}
		d.Format = format
		if _, err := channels.NewFormat(p, d); err == nil || !strings.Contains(err.Error(), string(format)) {
			t.Errorf("%s gave %v", format, err)
		}
	}
}

func TestAChannelWithAShareNeedsRows(t *testing.T) {
	byTime := pipeline.Split{Time: &pipeline.TimeSplit{Column: "At", ValidationFrom: "2026-01-01T00:00:00Z", TestFrom: "2026-02-01T00:00:00Z"}}
	for _, c := range []struct {
		name    string
		split   pipeline.Split
		rows    map[string]int64
		problem string
	}{
		{"every channel has rows", pipeline.Split{Train: 0.8, Validation: 0.1, Test: 0.1}, map[string]int64{"train": 8, "validation": 1, "test": 1}, ""},
		{"a channel without a share needs none", pipeline.Split{Train: 0.8, Validation: 0.2}, map[string]int64{"train": 8, "validation": 1}, ""},
		{"a share without a row", pipeline.Split{Train: 0.8, Validation: 0.1, Test: 0.1}, map[string]int64{"train": 8},
			"validation and test without a row (train 8, validation 0, test 0, of 8 rows): give it a larger share"},
		{"by time, all have rows", byTime, map[string]int64{"train": 8, "validation": 1, "test": 1}, ""},
		{"by time, nothing is late enough", byTime, map[string]int64{"train": 8, "validation": 1}, "test without a row (train 8, validation 1, test 0, of 9 rows): it is by time, validation from 2026-01-01T00:00:00Z and test from 2026-02-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := channels.CheckShares(c.split, c.rows)
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Fatalf("got %v, want %q", err, c.problem)
			}
		})
	}
}

var naming = channels.Naming{Pipeline: "p", Run: "20260101t020000z", Attempt: "a1"}

func newWriter(t *testing.T, b testBucket, d pipeline.Dataset, fileBytes int64) *channels.Writer {
	t.Helper()
	p, err := columns.Resolve(source, d)
	if err != nil {
		t.Fatal(err)
	}
	w, err := channels.NewWriter(t.Context(), b.bucket, p, d, naming, channels.Options{FileBytes: fileBytes})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// write writes rows of the source, two to a batch.
func write(t *testing.T, w *channels.Writer, d pipeline.Dataset, rows [][]any) error {
	t.Helper()
	p, err := columns.Resolve(source, d)
	if err != nil {
		t.Fatal(err)
	}
	b := batcher(t, p)
	for some := range slices.Chunk(rows, 2) {
		for _, row := range some {
			if err := b.Append(row); err != nil {
				t.Fatal(err)
			}
		}
		batch := b.Batch()
		err := w.Write(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	return nil
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

// testBucket is a bucket that one test has to itself.
type testBucket struct{ bucket *objects.Bucket }

func newBucket(t *testing.T) testBucket {
	t.Helper()
	name := fmt.Sprintf("channels-%d", time.Now().UnixNano())
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return testBucket{objects.NewBucket(client, name, "", 3)}
}

func (b testBucket) read(t *testing.T, key string) string {
	t.Helper()
	body, err := b.bucket.Open(t.Context(), key, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func column(name, sqlType string) sqlserver.Column {
	return sqlserver.Column{Name: name, Type: sqlType, Length: -1, Precision: -1, Scale: -1, Nullable: true}
}

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}
