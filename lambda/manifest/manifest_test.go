package manifest

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/head"
)

func committed() Manifest {
	object := func(key string) Object { return Object{Key: key, VersionID: "v", Bytes: 10, SHA256: "ab"} }
	file := func(key, format, channel string, rows int64) File {
		return File{Object: object(key), Format: format, Channel: channel, Rows: rows}
	}
	window, recent, signature := object("w"), object("r"), object(SignatureKey("fraud", "20260101t020000z", "a1"))
	return Manifest{
		Version: Version, Project: "ml", Environment: "dev", Pipeline: "fraud", Run: "20260101t020000z",
		ScheduledTime: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC), Attempt: "a1", SpecSHA256: "cd", QuerySHA256: "ef", SchemaSHA256: "01",
		Plan: Plan{Key: "k", ETag: "e", Partitions: 1, Segments: 1}, Load: "append", Generation: 2,
		Parent: &head.Ref{Run: "20260101t010000z", Key: "before", VersionID: "v", SHA256: "cd"},
		Source: Source{Identity: head.Identity{Database: "shop"}, Address: "db:1433", Isolation: "READ COMMITTED", Guarantee: "each row once"},
		Window: &Window{Start: time.Date(2025, 12, 1, 2, 0, 0, 0, time.UTC), End: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)},
		Bounds: &Bounds{Kind: "rowversion", Column: "Version", SQLType: "rowversion", To: "0x0000000000000010"},
		Counts: Counts{Done: 3, Decoded: 3, Parquet: 3, Channel: 3},
		Rows:   3, Bytes: 30,
		Files: []File{file("p", "parquet", "", 3), file("t", "csv", Train, 2), file("v", "csv", Validation, 1)},
		Channels: map[string]Channel{
			Train:      {Manifest: object(ChannelManifestKey("fraud", "20260101t020000z", "a1", Train)), Rows: 2, Files: 1},
			Validation: {Manifest: object(ChannelManifestKey("fraud", "20260101t020000z", "a1", Validation)), Rows: 1, Files: 1},
		},
		TrainingWindow: &window, Recent: &recent, Signature: &signature,
		Keys:  []KeyFile{{Object: object("d1"), Keys: 2}, {Object: object("d2"), Keys: 1}},
		Smoke: Smoke{ContentType: "text/csv", Body: "1,2"},
	}
}

func TestAManifestReadsBackAsItIs(t *testing.T) {
	m := committed()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Fatalf("got %+v, %v", back, err)
	}
	// A field that a later minor change adds doesn't hide the run from this code.
	if _, err := Decode([]byte(strings.Replace(string(b), `{"version"`, `{"later":true,"version"`, 1))); err != nil {
		t.Fatal(err)
	}
}

func TestManifestsThatSayTooLittleAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(*Manifest)
	}{
		{"another version", "version 1", func(m *Manifest) { m.Version = 1 }},
		{"no run", "run id", func(m *Manifest) { m.Run = "" }},
		{"no pipeline", "no pipeline", func(m *Manifest) { m.Pipeline = "" }},
		{"no spec", "which spec", func(m *Manifest) { m.SpecSHA256 = "" }},
		{"no plan", "the plan that it was read by", func(m *Manifest) { m.Plan.ETag = "" }},
		{"no generation", "no generation", func(m *Manifest) { m.Generation = 0 }},
		{"no attempt", "its attempt", func(m *Manifest) { m.Attempt = "" }},
		{"no rows", "no rows", func(m *Manifest) { m.Rows = 0 }},
		{"no files", "no rows", func(m *Manifest) { m.Files = nil }},
		{"no channel to train on", "none to train on", func(m *Manifest) { delete(m.Channels, Train) }},
		{"channels without a signature", "no signature", func(m *Manifest) { m.Signature = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := committed()
			c.change(&m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

func TestTheWorkflowsInputFollowsFromTheManifest(t *testing.T) {
	in := committed().ExecutionInput("data")
	if in.Manifest != "fraud/runs/20260101t020000z/commit-a1/manifest.json" || in.ScheduledTime != "2026-01-01T02:00:00Z" ||
		in.Channels[Train] != "s3://data/fraud/runs/20260101t020000z/commit-a1/train.manifest" || len(in.Channels) != 2 ||
		in.Signature != "fraud/runs/20260101t020000z/commit-a1/signature.json" {
		t.Fatalf("got %+v", in)
	}
	if want := (Lineage{
		Manifest: in.Manifest, QuerySHA256: "ef", SchemaSHA256: "01", Generation: "2", Bounds: "Version from the lowest to 0x0000000000000010",
		Window: "2025-12-01T02:00:00Z to 2026-01-01T02:00:00Z", Rows: "3",
	}); in.Lineage != want {
		t.Fatalf("got %+v", in.Lineage)
	}
}

// The registry refuses a whole model package for one character of its metadata.
func TestTheRegistryTakesTheLineageOfAnyColumn(t *testing.T) {
	takes := regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,256}$`)
	for _, c := range []struct{ name, column, want string }{
		{"a column with brackets and quotes", `a[b]"c'`, "a_b__c_ from 1 to 2"},
		{"a column of another script", "Größe", "Größe from 1 to 2"},
		{"a column as long as SQL Server takes it, twice", strings.Repeat("ä", 256), strings.Repeat("ä", 256)},
		{"a column with a line break", "a\nb", "a_b from 1 to 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := committed()
			m.Bounds.Column, m.Bounds.From, m.Bounds.To, m.Window = c.column, "1", "2", nil
			in := m.ExecutionInput("data")
			if in.Lineage.Bounds != c.want || !takes.MatchString(in.Lineage.Bounds) || in.Lineage.Window != "none" {
				t.Fatalf("got %+v", in.Lineage)
			}
		})
	}
}

// Sweeping deletes what no manifest names: a field that Objects forgets would be lost.
func TestEveryObjectThatAManifestHoldsIsAmongItsObjects(t *testing.T) {
	m := committed()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	held := map[string]bool{}
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, one := range node {
				walk(one)
			}
		case map[string]any:
			if key, ok := node["key"].(string); ok && node["sha256"] != nil {
				held[key] = true
			}
			for _, one := range node {
				walk(one)
			}
		}
	}
	walk(tree)
	delete(held, m.Parent.Key) // another commit's own
	named := map[string]bool{}
	for _, o := range m.Objects() {
		named[o.Key] = true
	}
	if !maps.Equal(held, named) {
		t.Fatalf("it holds %v and names %v", held, named)
	}
}

func TestCountsAgreeOrSayWhichDont(t *testing.T) {
	for _, c := range []struct {
		name     string
		counts   Counts
		channels bool
		problem  string
	}{
		{"all agree", Counts{Done: 5, Decoded: 5, Repeated: 1, Parquet: 4, Channel: 3, Skipped: 1}, true, ""},
		{"no channels", Counts{Done: 5, Decoded: 5, Parquet: 5}, false, ""},
		{"the stream broke off", Counts{Done: 5, Decoded: 4, Parquet: 4, Channel: 4}, true, "said that it sent 5 rows, and 4 were read"},
		{"a row is in no file", Counts{Done: 5, Decoded: 5, Parquet: 4, Channel: 4}, true, "of 5 rows that were read, 4 are in Parquet"},
		{"a row is in no channel", Counts{Done: 5, Decoded: 5, Parquet: 5, Channel: 4}, true, "of 5 rows in Parquet, 4 are in the channels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.counts.Check(c.channels)
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
	if err := (Counts{Parquet: 4, Channel: 3, Skipped: 1, Batch: 4}).CheckBatch(); err != nil {
		t.Errorf("each row is scored, also one without a label: %v", err)
	}
	if err := (Counts{Parquet: 5, Channel: 5, Batch: 4}).CheckBatch(); err == nil || !strings.Contains(err.Error(), "of 5 rows in Parquet, 4 are in the batch to score") {
		t.Errorf("a row isn't scored: %v", err)
	}
	sum := Counts{Done: 1, Unknown: map[string]int64{"a": 1}}
	sum.Add(Counts{Done: 2, Decoded: 3, Repeated: 4, Parquet: 5, Channel: 6, Skipped: 7, Batch: 9, Replaced: 8, Unknown: map[string]int64{"a": 1, "b": 2}})
	if want := (Counts{Done: 3, Decoded: 3, Repeated: 4, Parquet: 5, Channel: 6, Skipped: 7, Batch: 9, Replaced: 8, Unknown: map[string]int64{"a": 2, "b": 2}}); !reflect.DeepEqual(sum, want) {
		t.Fatalf("got %+v", sum)
	}
}

func recorded() Part {
	through := "7"
	return Part{
		Version: PartVersion, PlanETag: "e", Partition: "p00000", Through: &through, Attempt: "a1",
		Counts: Counts{Done: 1, Decoded: 1, Parquet: 1}, Files: []File{{Object: Object{Key: "k"}, Rows: 1}},
	}
}

func TestRecordsThatSayTooLittleAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(*Part)
	}{
		{"a segment", "", func(*Part) {}},
		{"the last segment", "", func(p *Part) { p.Last, p.Through = true, nil }},
		{"another version", "version 2", func(p *Part) { p.Version = 2 }},
		{"no plan", "name its plan", func(p *Part) { p.PlanETag = "" }},
		{"no partition", "which part it is", func(p *Part) { p.Partition = "" }},
		{"no attempt", "or whose", func(p *Part) { p.Attempt = "" }},
		{"a segment before the first", "which part it is", func(p *Part) { p.Segment = -1 }},
		{"neither an end nor the last", "one of the two", func(p *Part) { p.Through = nil }},
		{"an end and the last", "one of the two", func(p *Part) { p.Last = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := recorded()
			c.change(&p)
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			back, err := DecodePart(b)
			switch {
			case c.problem == "" && (err != nil || !reflect.DeepEqual(back, p)):
				t.Fatalf("got %+v, %v", back, err)
			case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

// The manifest of a run lies in a bucket that others write to as well.
func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(committed())
	f.Add(b)
	f.Add([]byte(`{"version":2,"run":"20260101t020000z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if in := m.ExecutionInput("b"); in.Rows <= 0 || len(m.Channels) > 0 && in.Channels[Train] == "" {
			t.Fatalf("%s gave the input %+v", b, in)
		}
	})
}

func FuzzDecodePart(f *testing.F) {
	b, _ := json.Marshal(recorded())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePart(b)
		if err != nil {
			return
		}
		if p.PlanETag == "" || p.Last == (p.Through != nil) {
			t.Fatalf("%s gave %+v", b, p)
		}
	})
}
