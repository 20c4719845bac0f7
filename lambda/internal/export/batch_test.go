package export_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// What is scored is each row that the run itself read, whatever it trains on and whatever breaks.
func TestABatchIsTheRunsOwnRows(t *testing.T) {
	full, partitioned := orders(t, 60), orders(t, 60)
	for _, c := range []struct {
		name string
		load func(t *testing.T) (pipeline.Spec, func(tick int))
		want []int64 // rows of the batch, by tick
	}{
		{"of a full load", func(*testing.T) (pipeline.Spec, func(int)) {
			return spec(pipeline.Source{Table: full}, ordersDataset), func(int) {}
		}, []int64{60, 60}},
		{"of a full load over several connections", func(*testing.T) (pipeline.Spec, func(int)) {
			s := spec(pipeline.Source{Table: partitioned, PartitionBy: "Id"}, ordersDataset)
			s.Limits.PageRows, s.Limits.PartitionRows, s.Limits.Connections = 10, 16, 3
			return s, func(int) {}
		}, []int64{60}},
		{"of an append load, whose window has more", func(t *testing.T) (pipeline.Spec, func(int)) {
			table := labelled(t)
			return trainable(table), func(n int) { addLabelled(t, table, 3+n) }
		}, []int64{3, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, add := c.load(t)
			s.Deploy = pipeline.Batch
			bubble(t, func(t *testing.T) {
				d := deploy(t, s)
				for n, want := range c.want {
					add(n)
					got := d.run(at(n), nil)
					m, err := manifest.Decode(d.get(got.Manifest))
					d.must(err)
					batch := m.Channels[manifest.Batch]
					if got.Outcome != export.Committed || m.Counts.Batch != want || batch.Rows != want || m.Rows != want || m.Counts.Channel != want {
						t.Fatalf("tick %d: %+v, batch %+v, counts %+v", n, got, batch, m.Counts)
					}
					var in manifest.ExecutionInput
					d.must(json.Unmarshal(d.executions[string(m.Run)], &in))
					if in.Channels[manifest.Batch] != "s3://data/"+batch.Manifest.Key {
						t.Fatalf("tick %d: the workflow is told of %v", n, in.Channels)
					}
					listed := d.listed(m.Channels[manifest.Batch])
					lines := 0
					for _, key := range listed {
						lines += strings.Count(string(d.get(key)), "\n")
						if !strings.HasPrefix(key, manifest.RunsPrefix(m.Pipeline)+string(m.Run)+"/batch/") {
							t.Fatalf("tick %d: the batch has %s", n, key)
						}
					}
					if int64(lines) != want || len(listed) != batch.Files {
						t.Fatalf("tick %d: %d lines in %v", n, lines, listed)
					}
					for _, name := range []string{manifest.Train, manifest.Validation, manifest.Test} {
						if slices.ContainsFunc(d.listed(m.Channels[name]), func(key string) bool { return strings.Contains(key, "/batch/") }) {
							t.Fatalf("tick %d: %s is given the batch", n, name)
						}
					}
				}
			})
		})
	}
}

// listed gives the keys that a channel's ManifestFile lists.
func (d *deployment) listed(c manifest.Channel) []string {
	d.t.Helper()
	if c.Manifest.Key == "" {
		return nil
	}
	var list []any
	d.must(json.Unmarshal(d.get(c.Manifest.Key), &list))
	prefix := strings.TrimPrefix(list[0].(map[string]any)["prefix"].(string), "s3://data/")
	var keys []string
	for _, file := range list[1:] {
		keys = append(keys, prefix+file.(string))
	}
	return keys
}

func TestWhateverHappensToACallOfS3TheBatchIsWhole(t *testing.T) {
	table := orders(t, 60)
	batches := load{"full for a batch", nil, func(*testing.T) scenario {
		s := spec(pipeline.Source{Table: table}, ordersDataset)
		s.Deploy = pipeline.Batch
		return scenario{spec: s}
	}}
	for _, fault := range []memory.Fault{memory.CrashAfter, memory.ReplyLost} {
		t.Run(fault.String(), func(t *testing.T) {
			everyStep(t, batches, fault, func(t *testing.T, begin scenario, s *strike) {
				d := begin.deploy(t)
				d.run(tick, s)
				d.s3.Arrive()
				c := d.check(s, true, upTo(60)...)[0]
				lines := 0
				for _, key := range d.listed(c.Channels[manifest.Batch]) {
					lines += strings.Count(string(d.get(key)), "\n")
				}
				if c.Counts.Batch != 60 || lines != 60 {
					t.Fatalf("%s: %d rows and %d lines in the batch", s, c.Counts.Batch, lines)
				}
			})
		})
	}
}
