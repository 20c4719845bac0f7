package release_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

func TestPruningDeletesWhatNobodyNeeds(t *testing.T) {
	for _, c := range []struct {
		name   string
		keep   int
		before func(*testing.T, *world)
		want   []int // the runs whose config and model are deleted
	}{
		{"the last two stay", 2, func(t *testing.T, w *world) { w.put(t, tick(0), tick(1), tick(2), tick(3)) }, []int{0, 1}},
		{"of models that were never in service none stays", 2, func(t *testing.T, w *world) { w.put(t, tick(0), tick(3)) }, []int{1, 2}},
		{"what is later than the model in service is a candidate", 1, func(t *testing.T, w *world) { w.put(t, tick(1)) }, []int{0}},
		{"after a rollback, the model that was rolled back from is one of the last", 2, func(t *testing.T, w *world) {
			w.put(t, tick(0), tick(1), tick(2), tick(3), tick(2))
		}, []int{0, 1}},
		{"a model that came back is one of the last once", 3, func(t *testing.T, w *world) {
			w.put(t, tick(1), tick(3), tick(1), tick(3))
		}, []int{0, 2}},
		{"the endpoint serves an old one, whatever the history says", 1, func(t *testing.T, w *world) {
			w.put(t, tick(0), tick(3))
			w.sageMaker.serving = config(tick(0))
		}, []int{1, 2}},
		{"the endpoint is about to serve an old one", 1, func(t *testing.T, w *world) {
			w.put(t, tick(0), tick(3))
			w.sageMaker.serving, w.sageMaker.pending = config(tick(3)), config(tick(1))
		}, []int{0, 2}},
		{"an old one waits for approval", 1, func(t *testing.T, w *world) {
			w.put(t, tick(3))
			w.sageMaker.register(tick(1), waits)
			w.sageMaker.register(tick(2), rejected)
		}, []int{0, 2}},
		{"an old run is at work", 1, func(t *testing.T, w *world) {
			w.put(t, tick(3))
			w.set(execution(tick(1))+"-r2", true)
			w.set(execution(tick(2)), false)
		}, []int{0, 2}},
		{"nothing was ever in service", 1, func(*testing.T, *world) {}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			for n := range 4 {
				w.sageMaker.made(config(tick(n)), config(tick(n)))
			}
			w.sageMaker.made(name+"-eu-"+string(tick(0)), name+"-eu-"+string(tick(0)))
			w.sageMaker.made(config(tick(0))+"x", "by-hand")
			c.before(t, w)
			want := []string{}
			for _, n := range c.want {
				want = append(want, config(tick(n)), config(tick(n)))
			}
			got, err := w.releaser(w.store.Client()).Prune(t.Context(), c.keep)
			if err != nil || !slices.Equal(got.Deleted, want) || got.More {
				t.Fatalf("got %+v, %v, want %q", got, err, want)
			}
			again, err := w.releaser(w.store.Client()).Prune(t.Context(), c.keep)
			if err != nil || len(again.Deleted) > 0 {
				t.Fatalf("asked again: %+v, %v", again, err)
			}
		})
	}
}

// Everything that decides can fail to be read; what can't be deleted now is deleted by the next release.
func TestWhatIsNotKnownIsNotDeleted(t *testing.T) {
	for _, c := range []struct {
		name, operation, thing string
		deleted                []string
	}{
		{name: "the endpoint can't be read", operation: "DescribeEndpoint"},
		{name: "the config in use can't be read", operation: "DescribeEndpointConfig"},
		{name: "the configs can't be listed", operation: "ListEndpointConfigs"},
		{name: "the models can't be listed", operation: "ListModels"},
		{name: "the registry can't be read", operation: "ListModelPackages"},
		{name: "a package can't be read", operation: "DescribeModelPackage"},
		{name: "a config can't be deleted, and its model stays with it", operation: "DeleteEndpointConfig", thing: config(tick(0)), deleted: []string{config(tick(1)), config(tick(1))}},
		{name: "a model can't be deleted", operation: "DeleteModel", thing: config(tick(0)), deleted: []string{config(tick(0)), config(tick(1)), config(tick(1))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			for n := range 4 {
				w.sageMaker.made(config(tick(n)), config(tick(n)))
			}
			w.put(t, tick(2), tick(3))
			w.sageMaker.serving = config(tick(3))
			w.sageMaker.register(tick(3), waits)
			w.sageMaker.fail = func(operation, name string) error {
				if operation == c.operation && (c.thing == "" || c.thing == name) {
					return throttled()
				}
				return nil
			}
			_, err := w.releaser(w.store.Client()).Prune(t.Context(), 2)
			if err == nil || !strings.Contains(err.Error(), "Rate exceeded") || !slices.Equal(w.sageMaker.deleted, c.deleted) {
				t.Fatalf("deleted %q, %v", w.sageMaker.deleted, err)
			}
		})
	}
}

func TestWhatIsGoneAlreadyIsDeleted(t *testing.T) {
	w := newWorld()
	w.sageMaker.made(config(tick(0)), config(tick(0)))
	w.put(t, tick(1))
	w.sageMaker.fail = func(operation, _ string) error {
		if operation == "DeleteModel" || operation == "DeleteEndpointConfig" {
			return validation(`Could not find model "%s".`, config(tick(0)))
		}
		return nil
	}
	got, err := w.releaser(w.store.Client()).Prune(t.Context(), 1)
	if err != nil || len(got.Deleted) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestABatchHasModelsOnly(t *testing.T) {
	for _, c := range []struct {
		name    string
		serving string
		want    []string
	}{
		{"there never was an endpoint", "", []string{config(tick(0)), config(tick(1))}},
		{"the endpoint that the pipeline had before serves still", config(tick(0)), []string{config(tick(1))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.kind = pipeline.Batch
			for n := range 4 {
				w.sageMaker.models[config(tick(n))] = true
			}
			if c.serving != "" {
				w.sageMaker.made(c.serving, c.serving)
			}
			w.put(t, tick(0), tick(1), tick(2), tick(3))
			w.sageMaker.serving = c.serving
			w.sageMaker.fail = func(operation, _ string) error {
				if operation == "ListEndpointConfigs" || operation == "DeleteEndpointConfig" {
					return fmt.Errorf("%s is none of a batch's", operation)
				}
				return nil
			}
			if got, err := w.releaser(w.store.Client()).Prune(t.Context(), 2); err != nil || !slices.Equal(got.Deleted, c.want) {
				t.Fatalf("got %+v, %v, want %q", got, err, c.want)
			}
		})
	}
}

// One call deletes so much and no more; the calls after it do the rest.
func TestPruningIsBounded(t *testing.T) {
	w := newWorld()
	for n := range 130 {
		w.sageMaker.made(config(tick(n)), config(tick(n)))
	}
	w.put(t, tick(129))
	w.sageMaker.serving = config(tick(129))
	r := w.releaser(w.store.Client())
	calls := 0
	for more := true; more; calls++ {
		got, err := r.Prune(t.Context(), 1)
		if err != nil || len(got.Deleted) > 100 {
			t.Fatalf("%d deleted, %v", len(got.Deleted), err)
		}
		more = got.More
	}
	// A listing is bounded too, and the fake's pages have two names.
	for range 10 {
		if _, err := r.Prune(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.sageMaker.models) != 1 || len(w.sageMaker.configs) != 1 {
		t.Fatalf("%d models and %d configs are left after %d calls", len(w.sageMaker.models), len(w.sageMaker.configs), calls)
	}
}

// Over random histories: nothing in use, about to be used, waiting for a person, at work, later than the model in service or among the last is ever
// deleted, and all else is.
func TestPruningNeverDeletesWhatIsNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		const runs = 10
		of := map[string]int{}
		for n := range runs {
			for suffix := range rapid.IntRange(0, 2).Draw(t, "configs") {
				c := config(tick(n))
				if suffix > 0 {
					c += fmt.Sprintf("-r%d", suffix+1)
				}
				// A config of a resumed run may name the first model, or one of its own, and have a shadow.
				model := rapid.SampledFrom([]string{config(tick(n)), c}).Draw(t, "model")
				w.sageMaker.made(c, model)
				of[c], of[model] = n, n
				if rapid.IntRange(0, 4).Draw(t, "shadow") == 0 {
					shadow := config(tick(rapid.IntRange(0, n).Draw(t, "of")))
					w.sageMaker.configs[c] = append(w.sageMaker.configs[c], shadow)
					w.sageMaker.models[shadow] = true
					of[shadow] = slices.Index(ticks(runs), run.ID(shadow[len(name)+1:]))
				}
			}
		}
		tickOf := rapid.IntRange(0, runs-1)
		var history []run.ID
		for _, n := range rapid.SliceOfN(tickOf, 1, 12).Draw(t, "history") {
			history = append(history, tick(n))
		}
		w.put(t, history...)
		keep := rapid.IntRange(1, 5).Draw(t, "keep")

		needed := map[string]bool{}
		var models []run.ID
		for _, id := range slices.Backward(history) {
			if !slices.Contains(models, id) {
				models = append(models, id)
			}
			if len(models) <= keep {
				needed[config(id)] = true
			}
		}
		configs := slices.Sorted(maps.Keys(w.sageMaker.configs))
		if len(configs) > 0 && rapid.Bool().Draw(t, "endpoint") {
			w.sageMaker.serving = rapid.SampledFrom(configs).Draw(t, "serving")
			if rapid.Bool().Draw(t, "updating") {
				w.sageMaker.pending = rapid.SampledFrom(configs).Draw(t, "pending")
			}
			for _, c := range []string{w.sageMaker.serving, w.sageMaker.pending} {
				needed[c] = true
				for _, model := range w.sageMaker.configs[c] {
					needed[model] = true
				}
			}
		}
		neededRuns := map[int]bool{}
		for _, n := range rapid.SliceOfN(tickOf, 0, 3).Draw(t, "waiting") {
			w.sageMaker.register(tick(n), waits)
			neededRuns[n] = true
		}
		for _, n := range rapid.SliceOfN(tickOf, 0, 3).Draw(t, "decided") {
			w.sageMaker.register(tick(n), rapid.SampledFrom([]types.ModelApprovalStatus{approved, rejected}).Draw(t, "as"))
		}
		for _, n := range rapid.SliceOfN(tickOf, 0, 3).Draw(t, "at work") {
			w.set(execution(tick(n)), true)
			neededRuns[n] = true
		}
		inService := slices.Index(ticks(runs), history[len(history)-1])

		left := map[string]bool{}
		for _, thing := range append(configs, slices.Collect(maps.Keys(w.sageMaker.models))...) {
			left[thing] = needed[thing] || neededRuns[of[thing]] || of[thing] >= inService
		}
		if got, err := w.releaser(w.store.Client()).Prune(t.Context(), keep); err != nil || got.More {
			t.Fatalf("got %+v, %v", got, err)
		}
		for thing, want := range left {
			_, config := w.sageMaker.configs[thing]
			if there := config || w.sageMaker.models[thing]; there != want {
				t.Fatalf("%s: left %v, want %v; history %v, keep %d, serving %q, pending %q", thing, there, want, history, keep, w.sageMaker.serving, w.sageMaker.pending)
			}
		}
	})
}

func ticks(n int) []run.ID {
	all := make([]run.ID, n)
	for i := range all {
		all[i] = tick(i)
	}
	return all
}
