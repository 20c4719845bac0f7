package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

// now is the run of the present hour.
func now() run.ID { return run.NewID(time.Now().Truncate(time.Hour)) }

const day = 24 * time.Hour

// named are the keys that the commits below the head name, by what they are for: an account of its own, to compare the sweep with.
func named(t rapid.TB, store *memory.S3) map[string]string {
	t.Helper()
	all := map[string]string{}
	l := open(store.Client())
	for _, c := range history(t, store) {
		all[head.Key(orders)] = "head"
		all[c.Ref.Key] = "manifest"
		all[c.Plan.Key] = "plan"
		all[c.TrainingWindow.Key] = "window"
		for _, f := range c.Files {
			all[f.Key] = "file"
		}
		for _, k := range c.Keys {
			all[k.Key] = "keys"
		}
		f, err := l.PlanAt(ctx, c.Plan.Key, c.Plan.ETag)
		must(t, err)
		parts, left, err := l.Parts(ctx, f)
		must(t, err)
		if len(parts) != c.Plan.Segments || len(left) != 0 {
			t.Fatalf("run %s was made of %d records, and %d are there", c.Run, c.Plan.Segments, len(parts))
		}
		for _, p := range parts {
			all[plan.PartKey(orders, c.Run, c.SpecSHA256, p.Partition, p.Segment)] = "record"
		}
	}
	return all
}

// whole says what commits name that isn't there.
func whole(t rapid.TB, store *memory.S3) {
	t.Helper()
	there := store.Keys("")
	for key, what := range named(t, store) {
		if !slices.Contains(there, key) {
			t.Fatalf("%s is gone: %s", key, what)
		}
	}
}

func TestASweepTakesWhatNothingNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// An attempt dies at each of its calls, and another one commits the run, or none does.
		for n := 0; ; n++ {
			store := memory.New()
			must2(attempt(ctx, open(store.Client()), now(), "before", pipeline.Append))(t)
			time.Sleep(time.Hour)
			dying := store.Client()
			dying.Order(n, memory.CrashAfter)
			_, err := attempt(ctx, open(dying), now(), "dying", pipeline.Append)
			if n%2 == 0 {
				must2(attempt(ctx, open(store.Client()), now(), "living", pipeline.Append))(t)
			}
			before := store.Keys("")
			time.Sleep(6 * day)
			if swept, err := open(store.Client()).Sweep(ctx); err != nil || swept != (ledger.Swept{}) {
				t.Fatalf("crash at call %d: after six days: %+v, %v", n, swept, err)
			}
			time.Sleep(2 * day)
			swept, sweepErr := open(store.Client()).Sweep(ctx)
			must(t, sweepErr)
			whole(t, store)
			after := store.Keys("")
			if want := len(named(t, store)); len(after) != want {
				t.Fatalf("crash at call %d: %d objects are there, and %d named", n, len(after), want)
			}
			if int(swept.Objects) != len(before)-len(after) || (swept.Objects > 0) != (swept.Bytes > 0 && swept.Runs == 1) {
				t.Fatalf("crash at call %d: swept %+v of %d objects, leaving %d", n, swept, len(before), len(after))
			}
			if err == nil {
				return
			}
		}
	})
}

func TestWhatASweepLeavesAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, store *memory.S3)
	}{
		{"a pipeline without a head", func(t *testing.T, store *memory.S3) {
			dying := store.Client()
			dying.Order(8, memory.CrashBefore)
			_, err := attempt(ctx, open(dying), now(), "dying", pipeline.Append)
			mustNot(t, err)
			time.Sleep(8 * day)
		}},
		{"a run that an attempt goes on with after days", func(t *testing.T, store *memory.S3) {
			must2(attempt(ctx, open(store.Client()), now(), "before", pipeline.Append))(t)
			time.Sleep(time.Hour)
			id := now()
			for _, n := range []int{7, 12} {
				dying := store.Client()
				dying.Order(n, memory.CrashBefore)
				_, err := attempt(ctx, open(dying), id, fmt.Sprint("dying at ", n), pipeline.Append)
				mustNot(t, err)
				time.Sleep(4 * day)
			}
		}},
		{"models, and what isn't in a run's folder", func(t *testing.T, store *memory.S3) {
			must2(attempt(ctx, open(store.Client()), now(), "before", pipeline.Append))(t)
			b := open(store.Client()).bucket
			put(t, b, manifest.ModelPrefix(orders)+"job/output/model.tar.gz", "model")
			put(t, b, manifest.RunsPrefix(orders)+"notes.txt", "a person's")
			put(t, b, "orders2/runs/20000101t000000z/plan-x/plan.json", "another pipeline's")
			time.Sleep(8 * day)
		}},
		{"a person's acceptance of a run, which no manifest can name", func(t *testing.T, store *memory.S3) {
			id := now()
			must2(attempt(ctx, open(store.Client()), id, "before", pipeline.Append))(t)
			time.Sleep(8 * day)
			put(t, open(store.Client()).bucket, verdict.AcceptedKey(orders, id), "a person's")
			time.Sleep(20 * day)
		}},
		{"a run that was swept before, or never", func(t *testing.T, store *memory.S3) {
			must2(attempt(ctx, open(store.Client()), now(), "before", pipeline.Append))(t)
			put(t, open(store.Client()).bucket, manifest.DataKey(orders, now(), "dead", 0), "x")
			time.Sleep(61 * day)
		}},
		{"a run of the future", func(t *testing.T, store *memory.S3) {
			must2(attempt(ctx, open(store.Client()), now(), "before", pipeline.Append))(t)
			put(t, open(store.Client()).bucket, manifest.DataKey(orders, run.NewID(time.Now().Add(30*day)), "early", 0), "x")
			time.Sleep(8 * day)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				c.make(t, store)
				before := store.Keys("")
				swept, err := open(store.Client()).Sweep(ctx)
				if after := store.Keys(""); err != nil || swept != (ledger.Swept{}) || !slices.Equal(before, after) {
					t.Fatalf("swept %+v, %v: there were\n%s\nand there are\n%s", swept, err, strings.Join(before, "\n"), strings.Join(after, "\n"))
				}
			})
		})
	}
}

func TestADeletedHeadIsNoReasonToSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		l := open(store.Client())
		must2(attempt(ctx, l, now(), "a", pipeline.Full))(t)
		must(t, l.bucket.Delete(ctx, head.Key(orders)))
		time.Sleep(8 * day)
		before := store.Keys("")
		if _, err := l.Sweep(ctx); err == nil || !strings.Contains(err.Error(), "remove the delete marker") {
			t.Fatalf("got %v", err)
		}
		if !slices.Equal(before, store.Keys("")) {
			t.Fatal("something was swept")
		}
	})
}

// A sweep that dies anywhere has taken nothing that is named, and the next one takes the rest.
func TestASweepThatIsBrokenOff(t *testing.T) {
	for _, fault := range memory.Faults {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for n := 0; ; n++ {
					store := memory.New()
					must2(attempt(ctx, open(store.Client()), now(), "a", pipeline.Append))(t)
					time.Sleep(time.Hour)
					dying := store.Client()
					dying.Order(17, memory.CrashBefore)
					_, err := attempt(ctx, open(dying), now(), "dying", pipeline.Append)
					mustNot(t, err)
					planKey := plan.Key(orders, now(), spec)
					time.Sleep(8 * day)
					client := store.Client()
					client.Order(n, fault)
					_, err = open(client).Sweep(ctx)
					whole(t, store)
					left := store.Keys(manifest.RunsPrefix(orders) + planKey[len(manifest.RunsPrefix(orders)):][:run.IDLength])
					if len(left) > 0 && !slices.Contains(left, planKey) {
						t.Fatalf("fault at call %d: the plan is gone before %v", n, left)
					}
					must2(open(store.Client()).Sweep(ctx))(t)
					if there := len(store.Keys("")); there != len(named(t, store)) {
						t.Fatalf("fault at call %d (%v): %d objects are left", n, err, there)
					}
					if n >= len(client.Calls()) {
						return
					}
				}
			})
		})
	}
}

// With time for some commits only, a sweep takes what no commit names that it read of, and leaves what older ones may name.
func TestASweepWithoutTimeForAllCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		l := open(store.Client())
		var dead []string
		for n := range 20 {
			must2(attempt(ctx, l, now(), fmt.Sprint("a", n), pipeline.Append))(t)
			dead = append(dead, manifest.DataKey(orders, now(), "dead", n))
			put(t, l.bucket, dead[n], "x")
			time.Sleep(day)
		}
		slow := store.Client()
		slow.Before = func(memory.Call) memory.Fault {
			time.Sleep(time.Second)
			return 0
		}
		short, cancel := context.WithTimeout(ctx, 24*time.Second) // for eleven commits, behind the listing and the head
		defer cancel()
		swept, err := open(slow).Sweep(short)
		must(t, err)
		whole(t, store)
		there := store.Keys("")
		for n, key := range dead {
			// The newest seven runs are young. Run 9 is the last whose commit was read, and of the clocks a day is between it and what may be swept.
			if taken := !slices.Contains(there, key); taken != (n >= 10 && n <= 12) {
				t.Errorf("what died in run %d is gone: %v", n, taken)
			}
		}
		if swept.Objects != 3 || swept.Runs != 3 {
			t.Errorf("got %+v", swept)
		}
		must2(l.Sweep(ctx))(t)
		whole(t, store)
		if left := len(store.Keys("")) - len(named(t, store)); left != 6 {
			t.Errorf("%d objects are left", left)
		}
	})
}

// A run is made whole between any two calls of a sweep.
func TestACommitDuringASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := 0; ; n++ {
			store := memory.New()
			must2(attempt(ctx, open(store.Client()), now(), "a", pipeline.Append))(t)
			put(t, open(store.Client()).bucket, manifest.DataKey(orders, now(), "dead", 0), "x")
			time.Sleep(8 * day)
			client := store.Client()
			reached := false
			client.Before = func(call memory.Call) memory.Fault {
				if call.N == n {
					reached = true
					must2(attempt(ctx, open(store.Client()), now(), "b", pipeline.Append))(t)
				}
				return 0
			}
			swept, err := open(client).Sweep(ctx)
			whole(t, store)
			if err != nil || swept.Objects != 1 {
				t.Fatalf("a run before call %d: %+v, %v", n, swept, err)
			}
			if !reached {
				return
			}
		}
	})
}

// Whatever ran, died, was repeated late and was swept: what commits name is there, and in the end nothing else.
func TestSweepsNeverTakeWhatACommitNames(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		inBubble(t, func() {
			store := memory.New()
			began := time.Now()
			var ids []run.ID
			for range rapid.IntRange(3, 20).Draw(r, "steps") {
				switch rapid.IntRange(0, 4).Draw(r, "step") {
				case 0, 1:
					ids = append(ids, now())
				case 2:
					_, err := open(store.Client()).Sweep(ctx)
					must(r, err)
				}
				if len(ids) > 0 {
					client := store.Client()
					if rapid.Bool().Draw(r, "dies") {
						client.Order(rapid.IntRange(0, 40).Draw(r, "at"), rapid.SampledFrom(memory.Faults).Draw(r, "fault"))
					}
					id := rapid.SampledFrom(ids).Draw(r, "run")
					// How it ends doesn't matter: it is a person's or the schedule's to repeat.
					_, _ = attempt(ctx, open(client), id, fmt.Sprint("a", len(store.Keys(""))), pipeline.Append)
				}
				whole(r, store)
				time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 20, 50, 100, 160, 200}).Draw(r, "hours")) * time.Hour)
				store.Arrive()
			}
			time.Sleep(8 * day)
			_, err := open(store.Client()).Sweep(ctx)
			must(r, err)
			whole(r, store)
			if time.Since(began) < ledger.SweepReach && len(history(r, store)) > 0 && len(store.Keys("")) != len(named(r, store)) {
				r.Fatalf("there are\n%s", strings.Join(store.Keys(""), "\n"))
			}
		})
	})
}

// inBubble runs a history with a clock of its own. What it panics with, as rapid does, reaches the caller.
func inBubble(t *testing.T, history func()) {
	t.Helper()
	var panicked any
	synctest.Test(t, func(*testing.T) {
		defer func() { panicked = recover() }()
		history()
	})
	switch {
	case panicked == nil:
	case fmt.Sprintf("%T", panicked) == "rapid.invalidData":
		panic(panicked) // from a line of its own: by the lines, shrinking tells one failure from another
	default:
		panic(panicked)
	}
}

// must2 is must for what gives something else too.
func must2[T any](_ T, err error) func(rapid.TB) {
	return func(t rapid.TB) {
		t.Helper()
		must(t, err)
	}
}

func mustNot(t rapid.TB, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("it came to its end")
	}
}
