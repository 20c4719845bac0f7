package plan

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// planned is a plan of three ranges and the rows without a key.
func planned() Plan {
	return Plan{
		Version: Version, Pipeline: "orders", Run: "20260101t020000z", ScheduledTime: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC),
		Attempt: "a1", CreatedAt: time.Date(2026, 1, 1, 2, 0, 1, 0, time.UTC),
		SpecSHA256: strings.Repeat("ab", 32), QuerySHA256: "cd", SchemaSHA256: "ef",
		Load: pipeline.Append, Generation: 2, NewGeneration: "the query changed",
		Parent: &head.Ref{Run: "20260101t010000z", Key: "before", VersionID: "v", SHA256: "cd"}, HeadETag: `"e"`,
		Source:          manifest.Source{Identity: head.Identity{Database: "shop", ObjectID: 7}, Consistency: "pages"},
		Columns:         []manifest.Column{{Name: "Id", SQLType: "int", Parquet: "int32", Role: manifest.KeyRole}},
		Bounds:          &manifest.Bounds{Kind: "rowversion", Column: "Version", SQLType: "rowversion", To: "0x0000000000000010"},
		PartitionColumn: &manifest.Column{Name: "Id"}, Boundaries: "histogram",
		Partitions: []Partition{
			{ID: "p00000", Range: Range{Null: true}},
			{ID: "p00001", Range: Range{To: new("10")}},
			{ID: "p00002", Range: Range{From: new("10"), To: new("20")}},
			{ID: "p00003", Range: Range{From: new("20")}},
		},
	}
}

func TestAPlanReadsBackAsItIs(t *testing.T) {
	b, err := json.Marshal(planned())
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(b); err != nil || !reflect.DeepEqual(back, planned()) {
		t.Fatalf("got %+v, %v", back, err)
	}
	if _, err := Decode([]byte(strings.Replace(string(b), `{"version"`, `{"later":true,"version"`, 1))); err != nil {
		t.Fatal(err)
	}
}

// A plan whose ranges leave a key out, or have it twice, would lose or double rows.
func TestPlansThatArentEachRowOnceAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(*Plan)
	}{
		{"as it is", "", func(*Plan) {}},
		{"one range of everything", "", func(p *Plan) { p.Partitions = []Partition{{ID: "p00000"}}; p.PartitionColumn = nil }},
		{"a full load", "", func(p *Plan) { p.Load, p.Bounds = pipeline.Full, nil }},
		{"another version", "version 2", func(p *Plan) { p.Version = 2 }},
		{"no run", "run id", func(p *Plan) { p.Run = "" }},
		{"no pipeline", "no pipeline", func(p *Plan) { p.Pipeline = "" }},
		{"no spec", "for which spec", func(p *Plan) { p.SpecSHA256 = "" }},
		{"no generation", "no generation", func(p *Plan) { p.Generation = 0 }},
		{"an unknown load", `load is "upsert"`, func(p *Plan) { p.Load = "upsert" }},
		{"an append load without bounds", "has bounds", func(p *Plan) { p.Bounds = nil }},
		{"a full load with bounds", "has none", func(p *Plan) { p.Load = pipeline.Full }},
		{"no partition", "no partition", func(p *Plan) { p.Partitions = nil }},
		{"a partition by another name", `is called "p7"`, func(p *Plan) { p.Partitions[2].ID = "p7" }},
		{"several partitions of nothing", "no column", func(p *Plan) { p.PartitionColumn = nil }},
		{"rows without a key alone", "without a key only", func(p *Plan) { p.Partitions = p.Partitions[:1] }},
		{"rows without a key twice", "second without a range", func(p *Plan) { p.Partitions[2].Range = Range{Null: true} }},
		{"a first range with a beginning", "not open below", func(p *Plan) { p.Partitions[1].From = new("0") }},
		{"a last range with an end", "not open above", func(p *Plan) { p.Partitions[3].To = new("30") }},
		{"a gap", "a gap or overlap between p00001 and p00002", func(p *Plan) { p.Partitions[2].From = new("11") }},
		{"an overlap", "a gap or overlap between p00002 and p00003", func(p *Plan) { p.Partitions[3].From = new("19") }},
		{"a range without a beginning in the middle", "a gap or overlap", func(p *Plan) { p.Partitions[2].From = nil }},
		{"a range without an end in the middle", "a gap or overlap", func(p *Plan) { p.Partitions[1].To = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := planned()
			c.change(&p)
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Decode(b)
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

func TestTheKeysOfAPlan(t *testing.T) {
	p := planned()
	key := Key(p.Pipeline, p.Run, p.SpecSHA256)
	if key != "orders/runs/20260101t020000z/plan-abababababab/plan.json" || !IsKey(key) {
		t.Fatalf("got %s", key)
	}
	for _, other := range []string{
		PartKey(p.Pipeline, p.Run, p.SpecSHA256, "p00000", 3), PartsPrefix(p.Pipeline, p.Run, p.SpecSHA256) + "plan.json",
		OpenKey(p.Pipeline, p.Run, p.SpecSHA256, "a1"), manifest.DataKey(p.Pipeline, p.Run, "a1", 0),
	} {
		if IsKey(other) {
			t.Errorf("%s is taken for a plan", other)
		}
	}
	if got, found := p.Find("p00002"); !found || got.String() != `from "10" to below "20"` {
		t.Fatalf("got %v", got)
	}
	if _, found := p.Find("p00004"); found {
		t.Fatal("a partition was found that isn't there")
	}
}

// A plan lies in a bucket that others write to as well: whatever it says, each row is in one range or it is refused.
func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(planned())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		open := 0
		for _, one := range p.Partitions {
			if one.To == nil && !one.Null {
				open++
			}
			if _, found := p.Find(one.ID); !found || one.String() == "" {
				t.Fatalf("%s is not found", one.ID)
			}
		}
		if open != 1 {
			t.Fatalf("%s: %d ranges are open above", b, open)
		}
	})
}
