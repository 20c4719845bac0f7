package manifest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func committed() Manifest {
	file := func(key, format, channel string, rows int64) File {
		return File{Object: Object{Key: key, VersionID: "v", Bytes: 10, SHA256: "ab"}, Format: format, Channel: channel, Rows: rows}
	}
	return Manifest{
		Version: Version, Project: "ml", Environment: "dev", Pipeline: "fraud", Run: "20260101t020000z",
		ScheduledTime: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC), Attempt: "a1", SpecSHA256: "cd", QuerySHA256: "ef",
		Rows: 3, Bytes: 30,
		Files: []File{file("p", "parquet", "", 3), file("t", "csv", Train, 2), file("v", "csv", Validation, 1)},
		Channels: map[string]Channel{
			Train:      {Manifest: Object{Key: "fraud/runs/20260101t020000z/channels/a1/train.manifest"}, Rows: 2, Files: 1},
			Validation: {Manifest: Object{Key: "fraud/runs/20260101t020000z/channels/a1/validation.manifest"}, Rows: 1, Files: 1},
		},
		Signature: Object{Key: "fraud/runs/20260101t020000z/channels/a1/signature.json"},
		Smoke:     Smoke{ContentType: "text/csv", Body: "1,2"},
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
		{"another version", "version 2", func(m *Manifest) { m.Version = 2 }},
		{"no run", "run id", func(m *Manifest) { m.Run = "" }},
		{"no pipeline", "no pipeline", func(m *Manifest) { m.Pipeline = "" }},
		{"no spec", "which spec", func(m *Manifest) { m.SpecSHA256 = "" }},
		{"no rows", "no rows", func(m *Manifest) { m.Rows = 0 }},
		{"no channel to train on", "no rows", func(m *Manifest) { delete(m.Channels, Train) }},
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
	if in.Manifest != "fraud/runs/20260101t020000z/manifest.json" || in.ScheduledTime != "2026-01-01T02:00:00Z" ||
		in.Channels[Train] != "s3://data/fraud/runs/20260101t020000z/channels/a1/train.manifest" || len(in.Channels) != 2 {
		t.Fatalf("got %+v", in)
	}
}

// The manifest of a run lies in a bucket that others write to as well.
func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(committed())
	f.Add(b)
	f.Add([]byte(`{"version":1,"run":"20260101t020000z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if in := m.ExecutionInput("b"); in.Rows <= 0 || in.Channels[Train] == "" || in.Run.Time().IsZero() {
			t.Fatalf("%s gave the input %+v", b, in)
		}
	})
}
