package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
)

const orders = "orders"

var ctx = context.Background()

// spec stands for the hash of a spec.
var spec = strings.Repeat("ab", 32)

func tick(n int) run.ID {
	return run.NewID(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Hour))
}

// office is a ledger and the bucket that it is in.
type office struct {
	ledger.Ledger
	bucket *objects.Bucket
}

func open(client *memory.Client) office {
	bucket := objects.NewBucket(client, "data", "", 1)
	return office{ledger.New(bucket, orders), bucket}
}

// errMoved is what an attempt ends with that another run overtook.
var errMoved = errors.New("the head moved")

// attempt makes a run, step by step as the export does: two partitions, the first of them in two segments.
func attempt(ctx context.Context, l office, id run.ID, name string, load pipeline.Load) (ledger.Outcome, error) {
	h, err := l.Head(ctx)
	if err != nil {
		return 0, err
	}
	if _, found, err := l.Find(ctx, h.Manifest, id, nil); err != nil || found {
		return ledger.Already, err
	}
	f, err := l.Freeze(ctx, planned(h, id, name, load))
	if err != nil {
		return 0, err
	}
	for _, partition := range f.Partitions {
		done, err := l.Segments(ctx, f, partition.ID)
		if err != nil {
			return 0, err
		}
		for n := len(done); n == 0 || !done[n-1].Last; n++ {
			file, err := l.bucket.Put(ctx, manifest.DataKey(orders, id, name+"-"+partition.ID, n), "", []byte(name))
			if err != nil {
				return 0, err
			}
			digests, err := l.bucket.Put(ctx, manifest.KeysKey(orders, id, name, fmt.Sprintf("%s-%d", partition.ID, n)), "", []byte(name))
			if err != nil {
				return 0, err
			}
			p := manifest.Part{
				Version: manifest.PartVersion, PlanETag: f.ETag, Partition: partition.ID, Segment: n, Attempt: name,
				Last:  n == 1 || partition.ID != plan.PartitionID(0),
				Files: []manifest.File{{Object: file, Rows: 1}}, Keys: &manifest.KeyFile{Object: digests, Keys: 1},
			}
			if n > 0 {
				p.After = done[n-1].Through
			}
			if !p.Last {
				p.Through = &name // each attempt would end it elsewhere
			}
			if p, err = l.Record(ctx, f, p); err != nil {
				return 0, err
			}
			done = append(done, p)
		}
	}
	parts, left, err := l.Parts(ctx, f)
	if err != nil {
		return 0, err
	}
	if len(left) > 0 || len(parts) != 3 {
		return 0, fmt.Errorf("%d parts are recorded, and %d partitions are open", len(parts), len(left))
	}
	if h, err = l.Head(ctx); err != nil {
		return 0, err
	}
	m := manifestOf(f, name, parts)
	window, err := l.bucket.Put(ctx, manifest.TrainingWindowKey(orders, id, name), "", []byte(name))
	if err != nil {
		return 0, err
	}
	m.TrainingWindow = &window
	if h.Manifest != nil {
		// A generation's digests go on from run to run.
		before, err := l.Read(ctx, *h.Manifest)
		if err != nil {
			return 0, err
		}
		m.Keys = append(m.Keys, before.Keys[:min(3, len(before.Keys))]...)
	}
	_, outcome, err := l.Commit(ctx, f, h, m, next(f))
	if err == nil && outcome == ledger.Moved {
		err = errMoved
	}
	return outcome, err
}

func planned(h ledger.Head, id run.ID, name string, load pipeline.Load) plan.Plan {
	p := plan.Plan{
		Version: plan.Version, Pipeline: orders, Run: id, ScheduledTime: id.Time(), Attempt: name, CreatedAt: time.Now(), SpecSHA256: spec,
		Load: load, Generation: h.Generation, Parent: h.Manifest, HeadETag: h.ETag, PartitionColumn: &manifest.Column{Name: "Id"},
	}
	middle := "500"
	p.Partitions = []plan.Partition{{ID: plan.PartitionID(0), Range: plan.Range{To: &middle}}, {ID: plan.PartitionID(1), Range: plan.Range{From: &middle}}}
	if load == pipeline.Append {
		// What the bound is when the plan is made: another one each time.
		p.Bounds = &manifest.Bounds{Kind: "rowversion", Column: "Version", To: name}
		if h.Watermark != nil {
			p.Bounds.From = h.Watermark.Value
		}
	}
	return p
}

func manifestOf(f ledger.Frozen, name string, parts []manifest.Part) manifest.Manifest {
	m := manifest.Manifest{
		Version: manifest.Version, Pipeline: orders, Run: f.Run, ScheduledTime: f.ScheduledTime, Attempt: name, SpecSHA256: f.SpecSHA256,
		Plan: manifest.Plan{Key: f.Key, ETag: f.ETag, Partitions: len(f.Partitions), Segments: len(parts)},
		Load: string(f.Load), Generation: f.Generation, Bounds: f.Bounds,
	}
	for _, p := range parts {
		m.Files = append(m.Files, p.Files...)
		if p.Keys != nil {
			m.Keys = append(m.Keys, *p.Keys)
		}
		m.Rows++
	}
	return m
}

func next(f ledger.Frozen) head.Head {
	h := head.Head{Run: f.Run, Generation: f.Generation}
	if f.Bounds != nil {
		h.Watermark = &head.Watermark{Column: f.Bounds.Column, Value: f.Bounds.To}
	}
	return h
}

// history gives the commits from the newest to the first, and says what is wrong with them: a run twice, a gap between the bounds of two
// append loads, a watermark that isn't the newest bound, a plan or a record that was written twice.
func history(t rapid.TB, store *memory.S3) []ledger.Commit {
	t.Helper()
	l := open(store.Client())
	h, err := l.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all []ledger.Commit
	seen := map[run.ID]bool{}
	for ref := h.Manifest; ref != nil; {
		c, err := l.Read(ctx, *ref)
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.Run] {
			t.Fatalf("run %s is committed twice", c.Run)
		}
		seen[c.Run] = true
		if n := len(all); n > 0 && c.Bounds != nil && all[n-1].Bounds.From != c.Bounds.To {
			t.Fatalf("run %s begins at %q, and the one before it ends at %q", all[n-1].Run, all[n-1].Bounds.From, c.Bounds.To)
		}
		all = append(all, c)
		ref = c.Parent
	}
	if len(all) > 0 && all[0].Bounds != nil && (h.Watermark == nil || h.Watermark.Value != all[0].Bounds.To) {
		t.Fatalf("the watermark is %+v, and the newest commit ends at %q", h.Watermark, all[0].Bounds.To)
	}
	for _, key := range store.Keys(orders + "/runs/") {
		if n := store.Versions(key); n != 1 && path.Ext(key) == ".json" && path.Base(key) != "window.json" {
			t.Fatalf("%s was written %d times", key, n)
		}
	}
	if want := int64(len(all)); h.Moves != want || store.Versions(head.Key(orders)) != len(all) {
		t.Fatalf("the head moved %d times in %d versions for %d commits", h.Moves, store.Versions(head.Key(orders)), want)
	}
	return all
}

// An attempt meets a fault at any of its calls, late requests arrive, and the next attempt finishes the run.
func TestOneFaultAnywhereCostsNothing(t *testing.T) {
	for _, fault := range memory.Faults {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for n := 0; ; n++ {
					store := memory.New()
					if _, err := attempt(ctx, open(store.Client()), tick(0), "earlier", pipeline.Append); err != nil {
						t.Fatal(err)
					}
					first := store.Client()
					first.Order(n, fault)
					outcome, err := attempt(ctx, open(first), tick(1), "first", pipeline.Append)
					if err == nil && outcome != ledger.Committed {
						t.Fatalf("fault at call %d: outcome %d", n, outcome)
					}
					if _, err := attempt(ctx, open(store.Client()), tick(1), "second", pipeline.Append); err != nil {
						t.Fatalf("fault at call %d: the second attempt: %v", n, err)
					}
					store.Arrive()
					all := history(t, store)
					if len(all) != 2 || err == nil && all[0].Attempt != "first" {
						t.Fatalf("fault at call %d: %v; %d commits, the newest by %s", n, err, len(all), all[0].Attempt)
					}
					if n >= len(first.Calls()) {
						if n < 15 {
							t.Fatalf("an attempt makes %d calls only", n)
						}
						return
					}
				}
			})
		})
	}
}

// Two attempts at one run: the second makes the whole run while the first waits before a call.
func TestAnAttemptThatIsOvertakenAnywhereAgrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := 0; ; n++ {
			store := memory.New()
			slow := store.Client()
			reached := false
			slow.Before = func(call memory.Call) memory.Fault {
				if call.N == n {
					reached = true
					if _, err := attempt(ctx, open(store.Client()), tick(0), "fast", pipeline.Append); err != nil {
						t.Error(err)
					}
				}
				return 0
			}
			outcome, err := attempt(ctx, open(slow), tick(0), "slow", pipeline.Append)
			all := history(t, store)
			if err != nil || len(all) != 1 || outcome == ledger.Committed != (all[0].Attempt == "slow") {
				t.Fatalf("overtaken before call %d: outcome %d, %v; committed by %s", n, outcome, err, all[0].Attempt)
			}
			if !reached {
				return
			}
		}
	})
}

// Two runs begin at one head. Of append loads the second one is not committed; of full loads both are, one after the other.
func TestARunThatIsOvertakenByAnother(t *testing.T) {
	for _, load := range []pipeline.Load{pipeline.Append, pipeline.Full} {
		t.Run(string(load), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				overtaken := 0
				for n := 0; ; n++ {
					store := memory.New()
					slow := store.Client()
					reached := false
					slow.Before = func(call memory.Call) memory.Fault {
						if call.N == n {
							reached = true
							if _, err := attempt(ctx, open(store.Client()), tick(1), "other", load); err != nil {
								t.Error(err)
							}
						}
						return 0
					}
					_, err := attempt(ctx, open(slow), tick(0), "slow", load)
					all := history(t, store)
					switch {
					case !reached:
						if overtaken == 0 {
							t.Fatal("no run was overtaken")
						}
						return
					case errors.Is(err, errMoved) && len(all) == 1 && all[0].Run == tick(1):
						overtaken++
					case err == nil && len(all) == 2:
					default:
						t.Fatalf("overtaken before call %d: %v, %d commits", n, err, len(all))
					}
				}
			})
		})
	}
}

// Every order of the steps of two attempts at a run and one at another, as far as chance goes.
func TestAttemptsThatAlternate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(600) {
			load := []pipeline.Load{pipeline.Append, pipeline.Full}[seed%2]
			store := memory.New()
			var turns memory.Turns
			process := func(n int, id run.ID) func() {
				return func() {
					client := store.Client()
					client.Before = func(call memory.Call) memory.Fault {
						turns.Wait(n, call.Operation+" "+call.Key)
						return 0
					}
					_, err := attempt(ctx, open(client), id, fmt.Sprint("a", n), load)
					if err != nil && !errors.Is(err, errMoved) {
						t.Errorf("seed %d: %v", seed, err)
					}
				}
			}
			state := seed
			turns.Run(func(waiting []*memory.Turn) int {
				state = state*6364136223846793005 + 1442695040888963407
				return int(state>>33) % len(waiting)
			}, process(0, tick(0)), process(1, tick(0)), process(2, tick(1)))
			if all := history(t, store); len(all) == 0 {
				t.Fatalf("seed %d: nothing is committed", seed)
			}
		}
	})
}

// An attempt reads the head late, when the next run is committed already. What it planned begins where the head no longer is.
func TestAZombieOfAnEarlierRunCommitsNothing(t *testing.T) {
	store := memory.New()
	l := open(store.Client())
	h, err := l.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.Freeze(ctx, planned(h, tick(0), "zombie", pipeline.Append))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attempt(ctx, l, tick(1), "living", pipeline.Append); err != nil {
		t.Fatal(err)
	}
	now, err := l.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []ledger.Head{h, now} {
		_, outcome, err := l.Commit(ctx, f, before, manifestOf(f, "zombie", make([]manifest.Part, 1)), next(f))
		if err != nil || outcome != ledger.Moved {
			t.Fatalf("got %d, %v", outcome, err)
		}
	}
	if all := history(t, store); len(all) != 1 {
		t.Fatalf("%d commits", len(all))
	}
}

func TestAGenerationEndsForRunsOnTheirWay(t *testing.T) {
	store := memory.New()
	l := open(store.Client())
	if _, err := attempt(ctx, l, tick(0), "first", pipeline.Full); err != nil {
		t.Fatal(err)
	}
	h, err := l.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.Freeze(ctx, planned(h, tick(1), "old", pipeline.Full))
	if err != nil {
		t.Fatal(err)
	}
	again := h.Head
	again.Generation++
	if h, err = l.Move(ctx, h, again); err != nil {
		t.Fatal(err)
	}
	if _, outcome, err := l.Commit(ctx, f, h, manifestOf(f, "old", make([]manifest.Part, 1)), next(f)); err != nil || outcome != ledger.Moved {
		t.Fatalf("got %d, %v", outcome, err)
	}
}

func TestAPlanIsCommittedSoonOrNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		l := open(store.Client())
		h, err := l.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.Freeze(ctx, planned(h, tick(0), "a", pipeline.Full))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(ledger.CommitWithin + time.Second)
		_, _, err = l.Commit(ctx, f, h, manifestOf(f, "a", make([]manifest.Part, 1)), next(f))
		if err == nil || !strings.Contains(err.Error(), "was planned 120h0m0s ago") {
			t.Fatalf("got %v", err)
		}
	})
}

// What somebody changed or deleted is named, and nothing goes on from it.
func TestWhatWasChangedIsNamed(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(t *testing.T, b *objects.Bucket, newest head.Ref)
	}{
		{"the head is deleted", "it was deleted, and has earlier versions: without it nothing of the pipeline is committed", func(t *testing.T, b *objects.Bucket, _ head.Ref) {
			must(t, b.Delete(ctx, head.Key(orders)))
		}},
		{"the head is of another pipeline", `it is the head of "other"`, func(t *testing.T, b *objects.Bucket, _ head.Ref) {
			put(t, b, head.Key(orders), `{"version":1,"pipeline":"other","generation":1}`)
		}},
		{"the head is nothing", "decoding the head: unexpected end of JSON input: restore an earlier version of the object", func(t *testing.T, b *objects.Bucket, _ head.Ref) {
			put(t, b, head.Key(orders), "")
		}},
		{"the head names a manifest that isn't there", "reading the manifest of run 20260101t020000z", func(t *testing.T, b *objects.Bucket, _ head.Ref) {
			put(t, b, head.Key(orders), `{"version":1,"pipeline":"orders","generation":1,"manifest":{"run":"20260101t020000z","key":"none","sha256":"00"}}`)
		}},
		{"the head names a manifest with another hash", "it was changed after its commit", func(t *testing.T, b *objects.Bucket, newest head.Ref) {
			put(t, b, head.Key(orders), fmt.Sprintf(`{"version":1,"pipeline":"orders","generation":1,"manifest":{"run":"20260101t020000z","key":%q,"sha256":"00"}}`, newest.Key))
		}},
		{"the plan of the run is another's", "it is the plan of run 20260101t020000z", func(t *testing.T, b *objects.Bucket, _ head.Ref) {
			first, err := b.Read(ctx, plan.Key(orders, tick(0), spec))
			must(t, err)
			put(t, b, plan.Key(orders, tick(1), spec), string(first.Body))
		}},
		{"a record is of another plan", "delete the record to have the part read again", func(t *testing.T, b *objects.Bucket, _ head.Ref) {
			put(t, b, plan.PartKey(orders, tick(1), spec, plan.PartitionID(1), 0), `{"version":1,"planEtag":"another","partition":"p00001","attempt":"a","last":true}`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := memory.New()
			l := open(store.Client())
			if _, err := attempt(ctx, l, tick(0), "first", pipeline.Full); err != nil {
				t.Fatal(err)
			}
			h, err := l.Head(ctx)
			must(t, err)
			c.change(t, objects.NewBucket(store.Client(), "data", "", 1), *h.Manifest)
			if _, err := attempt(ctx, l, tick(1), "second", pipeline.Full); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

// An object that was overwritten is no matter: a commit names versions.
func TestACommitReadsTheVersionThatItNames(t *testing.T) {
	store := memory.New()
	l := open(store.Client())
	if _, err := attempt(ctx, l, tick(0), "first", pipeline.Full); err != nil {
		t.Fatal(err)
	}
	h, err := l.Head(ctx)
	must(t, err)
	put(t, objects.NewBucket(store.Client(), "data", "", 1), h.Manifest.Key, "overwritten")
	if c, err := l.Read(ctx, *h.Manifest); err != nil || c.Run != tick(0) {
		t.Fatalf("got %+v, %v", c, err)
	}
}

func TestRecordsThatDontFollowOneAnotherAreNamed(t *testing.T) {
	store := memory.New()
	b := objects.NewBucket(store.Client(), "data", "", 1)
	l := ledger.New(b, orders)
	h, err := l.Head(ctx)
	must(t, err)
	f, err := l.Freeze(ctx, planned(h, tick(0), "a", pipeline.Full))
	must(t, err)
	record := func(segment int, rest string) {
		put(t, b, plan.PartKey(orders, tick(0), spec, "p00000", segment), fmt.Sprintf(`{"version":1,"planEtag":%q,"partition":"p00000","attempt":"a",%s}`, f.ETag, rest))
	}
	record(0, `"segment":0,"through":"7"`)
	for _, c := range []struct{ name, rest, problem string }{
		{"a gap", `"segment":1,"after":"8","last":true`, `it doesn't begin where the segment before it ends, at "7"`},
		{"no beginning", `"segment":1,"last":true`, "it doesn't begin where"},
		{"the place of another", `"segment":0,"through":"7"`, "it is the record of segment 0"},
		{"no end", `"segment":1,"after":"7"`, "one of the two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			record(1, c.rest)
			if _, _, err := l.Parts(ctx, f); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
	record(1, `"segment":1,"after":"7","last":true`)
	parts, left, err := l.Parts(ctx, f)
	if err != nil || len(parts) != 2 || len(left) != 1 || left[0].ID != "p00001" {
		t.Fatalf("got %d parts, open %v, %v", len(parts), left, err)
	}
}

// A long history isn't read to its beginning to learn that a run isn't in it.
func TestFindGoesNoFurtherThanTheRunsPlan(t *testing.T) {
	store := memory.New()
	l := open(store.Client())
	var middle ledger.Head
	for n := range 20 {
		if _, err := attempt(ctx, l, tick(n), "a", pipeline.Full); err != nil {
			t.Fatal(err)
		}
		if n == 15 {
			var err error
			middle, err = l.Head(ctx)
			must(t, err)
		}
	}
	h, err := l.Head(ctx)
	must(t, err)
	for _, c := range []struct {
		name  string
		id    run.ID
		until *head.Ref
		found bool
		reads int
	}{
		{"the newest", tick(19), nil, true, 1},
		{"the first", tick(0), nil, true, 20},
		{"none", tick(99), nil, false, 20},
		{"none since it was planned", tick(99), middle.Manifest, false, 4},
		{"the one that was the newest when it was planned", tick(15), middle.Manifest, true, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := store.Client()
			got, found, err := open(client).Find(ctx, h.Manifest, c.id, c.until)
			if err != nil || found != c.found || found && got.Run != c.id || len(client.Calls()) != c.reads {
				t.Fatalf("got %s, %v, %v in %d calls", got.Run, found, err, len(client.Calls()))
			}
		})
	}
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t rapid.TB, b *objects.Bucket, key, body string) {
	t.Helper()
	_, err := b.Put(ctx, key, "application/json", []byte(body))
	must(t, err)
}
