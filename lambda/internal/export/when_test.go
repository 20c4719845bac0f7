package export_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// trainable is an append load that is trained on: all of its rows are in the channel train.
func trainable(table string) pipeline.Spec {
	return spec(pipeline.Source{Table: table, Load: pipeline.Append, Cursor: &byVersion}, pipeline.Dataset{
		Task: pipeline.Regression, Key: []string{"Id"}, Label: "Amount", Drop: []string{"At", "Version"}, Split: pipeline.Split{Train: 1, Salt: "test"},
	})
}

func TestATrainingIsDue(t *testing.T) {
	for _, c := range []struct {
		name string
		when *pipeline.When
		full bool
		// rows are added before each tick, of which there are so many.
		rows []int
		// want are the ticks that are trained on, and detail what the others say.
		want   []int
		detail string
	}{
		{"with each run", nil, false, []int{3, 1, 1}, []int{0, 1, 2}, ""},
		{"by the runs' scheduled times", &pipeline.When{EverySeconds: 600}, false, []int{3, 1, 1, 1, 1}, []int{0, 2, 4}, "not due: run %s was the last that was trained on, the next is one that is scheduled at"},
		{"by time, of a full load", &pipeline.When{EverySeconds: 900}, true, []int{3, 1, 1, 1}, []int{0, 3}, "not due: run %s was the last"},
		{"by new rows", &pipeline.When{AfterRows: 4}, false, []int{3, 3, 1, 1, 4}, []int{0, 2, 4}, "not due: %d of 4 new rows since run"},
		{"with each run that brings enough", &pipeline.When{AfterRows: 1}, false, []int{3, 1, 1}, []int{0, 1, 2}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := labelled(t)
			bubble(t, func(t *testing.T) {
				s := trainable(table)
				if c.full {
					s.Source.Load, s.Source.Cursor = pipeline.Full, nil
				}
				s.When = c.when
				d := deploy(t, s)
				for n, rows := range c.rows {
					addLabelled(t, table, rows)
					got := d.run(at(n), nil)
					trained := slices.Contains(c.want, n)
					if got.Outcome != export.Committed || (got.ExecutionARN != "") != trained || trained && got.Detail != "" ||
						!trained && !strings.HasPrefix(got.Detail, strings.SplitN(c.detail, "%", 2)[0]) {
						t.Fatalf("tick %d: %+v", n, got)
					}
					if again := d.run(at(n), nil); (again.ExecutionARN != "") != trained {
						t.Fatalf("tick %d again: %+v", n, again)
					}
				}
				if names := slices.Sorted(maps.Keys(d.executions)); !slices.Equal(names, ids(c.want...)) {
					t.Fatalf("executions %v, want %v", names, c.want)
				}
			})
		})
	}
}

// labelled makes a table of rows to train on.
func labelled(t *testing.T) string {
	t.Helper()
	return createTable(t, "Labelled", "Id int IDENTITY(1,1) NOT NULL PRIMARY KEY, At datetime2(3) NOT NULL, Amount int NOT NULL, Size int NOT NULL DEFAULT 1, Version rowversion NOT NULL")
}

func addLabelled(t *testing.T, table string, n int) {
	t.Helper()
	addEvents(t, table, tick, n)
}

func ids(ticks ...int) []string {
	var all []string
	for _, n := range ticks {
		all = append(all, string(run.NewID(at(n))))
	}
	return all
}

// Whatever happens to a call of S3 or Step Functions, the runs that are due are trained on, each once, and the others aren't.
func TestWhateverHappensTheTrainingsThatAreDueAreStarted(t *testing.T) {
	for _, fault := range memory.Faults {
		t.Run(fault.String(), func(t *testing.T) {
			everyStepOfATraining(t, fault, func(t *testing.T, d *deployment, s *strike) {
				for n := range 3 {
					d.run(at(n), s)
				}
				d.s3.Arrive()
				if names := slices.Sorted(maps.Keys(d.executions)); !slices.Equal(names, ids(0, 2)) || d.conflicts > 0 {
					t.Fatalf("%s: executions %v", s, names)
				}
				if last := d.training(); last.Run != run.NewID(at(2)) || !last.ScheduledTime.Equal(at(2)) || last.Rows != 60 {
					t.Fatalf("%s: the last training is %+v", s, last)
				}
			})
		})
	}
}

// A function dies at any step and nobody invokes it again: the training that was due is started by the next run, if it wasn't by this one.
func TestATrainingIsNeverLostWithTheFunctionThatWasToStartIt(t *testing.T) {
	for _, fault := range []memory.Fault{memory.CrashBefore, memory.CrashAfter} {
		t.Run(fault.String(), func(t *testing.T) {
			everyStepOfATraining(t, fault, func(t *testing.T, d *deployment, s *strike) {
				_ = d.process(s).invoke(func(ctx context.Context, e *export.Exporter) error {
					_, err := e.Run(ctx, event(at(0)), "dies")
					return err
				})
				d.run(at(1), nil)
				names := slices.Sorted(maps.Keys(d.executions))
				if len(names) == 0 || len(names) == 1 && names[0] == ids(0)[0] && d.training().Run != run.NewID(at(0)) {
					t.Fatalf("%s: executions %v", s, names)
				}
			})
		})
	}
}

// everyStepOfATraining runs a test of a load of which every other run is trained on, for each step from the moved head on: the others are struck
// by the tests of the loads.
func everyStepOfATraining(t *testing.T, fault memory.Fault, test func(*testing.T, *deployment, *strike)) {
	t.Helper()
	table := orders(t, 60)
	s := &strike{steps: 1, fault: fault}
	for n := 0; s.struck(); n++ {
		s = &strike{at: n, fault: fault, among: []string{"orders/head.json", "orders/training.json", "StartExecution"}}
		ok := t.Run(fmt.Sprintf("step %d", n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := spec(pipeline.Source{Table: table}, ordersDataset)
				d.When = &pipeline.When{EverySeconds: 600}
				test(t, deploy(t, d), s)
			})
		})
		if !ok {
			return
		}
	}
	if s.at < 7 {
		t.Errorf("there are %d steps only", s.at)
	}
	t.Logf("%d steps", s.at)
}

func (d *deployment) training() export.Training {
	d.t.Helper()
	var last export.Training
	d.must(json.Unmarshal(d.get("orders/training.json"), &last))
	return last
}

// An earlier run's function goes on when a later run was trained on: what is written down stays the later one's.
func TestTheLastTrainingIsTheLatestRuns(t *testing.T) {
	table := orders(t, 60)
	bubble(t, func(t *testing.T) {
		s := spec(pipeline.Source{Table: table}, ordersDataset)
		s.When = &pipeline.When{EverySeconds: 300}
		d := deploy(t, s)
		late := &strike{at: -1}
		p := d.process(late)
		p.client.Before = func(c memory.Call) memory.Fault {
			if c.Operation == "PutObject" && strings.HasSuffix(c.Key, "/training.json") {
				d.run(at(1), nil) // between the start of run 0's workflow and its note
			}
			return 0
		}
		d.must(p.invoke(func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Run(ctx, event(at(0)), "late")
			return err
		}))
		if last := d.training(); last.Run != run.NewID(at(1)) || len(d.executions) != 2 {
			t.Fatalf("the last training is %+v, executions %v", last, d.executions)
		}
	})
}

func TestWhatIsNoTrainingIsNamed(t *testing.T) {
	table := orders(t, 60)
	bubble(t, func(t *testing.T) {
		s := spec(pipeline.Source{Table: table}, ordersDataset)
		s.When = &pipeline.When{EverySeconds: 300}
		d := deploy(t, s)
		d.put("orders/training.json", `{"run":"yesterday"}`)
		err := d.again(nil, func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Run(ctx, event(at(0)), "request")
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "orders/training.json is no training") || !strings.Contains(err.Error(), "the run is committed") {
			t.Fatalf("got %v", err)
		}
	})
}

func (d *deployment) put(key, body string) {
	d.t.Helper()
	_, err := d.process(nil).exporter().Bucket.Put(d.t.Context(), key, "application/json", []byte(body))
	d.must(err)
}

// The workflow is told which channel decides, and the registry where the data comes from.
func TestTheWorkflowIsToldOfTheGateAndTheLineage(t *testing.T) {
	table := orders(t, 60)
	bubble(t, func(t *testing.T) {
		s := spec(pipeline.Source{Table: table}, ordersDataset)
		s.Gate = &pipeline.Gate{Metric: "auc", Holdout: "test"}
		d := deploy(t, s)
		got := d.run(tick, nil)
		var in manifest.ExecutionInput
		d.must(json.Unmarshal(d.executions[string(tickID)], &in))
		if in.Holdout != "test" || in.Channels[in.Holdout] == "" || in.Resume != nil || in.Lineage.Manifest != got.Manifest ||
			in.Lineage.Rows != "60" || in.Lineage.Generation != "1" || in.Lineage.Bounds != "none" || in.Lineage.Window != "none" || len(in.Lineage.QuerySHA256) != 64 {
			t.Fatalf("got %+v", in)
		}
		if fmt.Sprint(in.Lineage) == "" || in.ScheduledTime != tick.Format(time.RFC3339) {
			t.Fatalf("got %+v", in)
		}
	})
}
