package release_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
)

func TestWhoGetsTheLease(t *testing.T) {
	const held, ours = 1, 2
	for _, c := range []struct {
		name string
		// before puts the world into the state in which run 2 asks.
		before func(*testing.T, *world)
		force  bool
		want   service.Acquired
	}{
		{name: "nobody has it", before: func(*testing.T, *world) {},
			want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "the execution itself has it", before: func(t *testing.T, w *world) { hold(t, w, ours) },
			want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "a running execution has it", before: func(t *testing.T, w *world) { hold(t, w, held) },
			want: service.Acquired{Wait: true, Holder: service.Holder{Run: tick(held), Execution: execution(tick(held))}}},
		{name: "a running execution has it, and a person rolls back", before: func(t *testing.T, w *world) { hold(t, w, held) }, force: true,
			want: service.Acquired{Wait: true, Holder: service.Holder{Run: tick(held), Execution: execution(tick(held))}}},
		{name: "an execution that was stopped had it", before: func(t *testing.T, w *world) { hold(t, w, held); w.set(execution(tick(held)), false) },
			want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "it was given back", before: func(t *testing.T, w *world) {
			hold(t, w, held)
			must(t, w.releaser(w.store.Client()).Release(t.Context(), service.Request{Run: tick(held), Execution: execution(tick(held))}))
		}, want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "an earlier run is in service", before: func(t *testing.T, w *world) { w.put(t, tick(1)); w.sageMaker.serving = config(tick(1)) },
			want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "a later run is in service by the record", before: func(t *testing.T, w *world) { w.put(t, tick(3)) },
			want: service.Acquired{Superseded: true, By: tick(3)}},
		{name: "a later run is in service and its execution was stopped before it recorded that", before: func(_ *testing.T, w *world) {
			w.sageMaker.serving = config(tick(3)) + "-a2"
		}, want: service.Acquired{Superseded: true, By: tick(3)}},
		{name: "a later run's config is being put into service", before: func(_ *testing.T, w *world) {
			w.sageMaker.serving, w.sageMaker.pending = config(tick(1)), config(tick(3))+"-r2"
		}, want: service.Acquired{Superseded: true, By: tick(3)}},
		{name: "a later run is in service, and a person rolls back", before: func(t *testing.T, w *world) {
			w.put(t, tick(3))
			w.sageMaker.serving = config(tick(3))
		}, force: true, want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "a later run was rolled back from", before: func(t *testing.T, w *world) { w.put(t, tick(3), tick(1)); w.sageMaker.serving = config(tick(1)) },
			want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "the endpoint failed with a later run's config", before: func(_ *testing.T, w *world) {
			w.sageMaker.serving, w.sageMaker.status = config(tick(3)), types.EndpointStatusFailed
		}, want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "the endpoint serves what a person made", before: func(_ *testing.T, w *world) { w.sageMaker.serving = "by-hand" },
			want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "the endpoint serves a config of a pipeline whose name begins alike", before: func(_ *testing.T, w *world) {
			w.sageMaker.serving = name + "-eu-" + string(tick(3))
		}, want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
		{name: "a batch has no endpoint to ask", before: func(_ *testing.T, w *world) {
			w.kind = pipeline.Batch
			w.sageMaker.fail = func(string, string) error { return throttled() }
		}, want: service.Acquired{Acquired: true, Holder: service.Holder{Run: tick(ours), Execution: execution(tick(ours))}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.set(execution(tick(held)), true)
			w.set(execution(tick(ours)), true)
			c.before(t, w)
			r := w.releaser(w.store.Client())
			request := service.Request{Command: service.Acquire, Run: tick(ours), Execution: execution(tick(ours)), Force: c.force}
			for range 2 {
				if got, err := r.Acquire(t.Context(), request); err != nil || got != c.want {
					t.Fatalf("got %+v, %v", got, err)
				}
			}
			if !c.want.Superseded {
				return
			}
			// Whoever is superseded leaves the lease to others.
			other := service.Request{Run: tick(9), Execution: execution(tick(9))}
			if got, err := r.Acquire(t.Context(), other); err != nil || !got.Acquired {
				t.Fatalf("the next one got %+v, %v", got, err)
			}
		})
	}
}

func hold(t *testing.T, w *world, n int) {
	t.Helper()
	got, err := w.releaser(w.store.Client()).Acquire(t.Context(), service.Request{Run: tick(n), Execution: execution(tick(n))})
	if err != nil || !got.Acquired {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestALeaseIsTakenFromNobodyWhoseStateIsUnknown(t *testing.T) {
	for _, c := range []struct {
		name, want string
		before     func(*testing.T, *world)
	}{
		{"the endpoint can't be read", "looking at the endpoint ml-dev-fraud: ", func(_ *testing.T, w *world) {
			w.sageMaker.fail = func(string, string) error { return throttled() }
		}},
		{"the lease isn't one", "is no lease", func(t *testing.T, w *world) { w.write(t, service.LeaseKey("fraud"), "[]") }},
		{"the history isn't one", "put back an earlier version of it", func(t *testing.T, w *world) {
			w.write(t, service.Key("fraud"), `{"history":[{"run":"yesterday"}]}`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			c.before(t, w)
			got, err := w.releaser(w.store.Client()).Acquire(t.Context(), service.Request{Run: tick(1), Execution: execution(tick(1))})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
}

// Whatever happens to each call, the execution that asks again gets one answer, records once, and leaves the lease to others.
func TestOneFaultAnywhereChangesNothingOfADeployment(t *testing.T) {
	for _, fault := range memory.Faults {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for n := 0; ; n++ {
					w := newWorld()
					w.put(t, tick(0))
					w.sageMaker.serving = config(tick(0))
					hold(t, w, 0)
					w.set(execution(tick(0)), false) // it was stopped
					w.set(execution(tick(1)), true)
					client := w.store.Client()
					client.Order(n, fault)
					again := func(request service.Request) any {
						for range 3 {
							answer, err := w.releaser(client).Answer(t.Context(), request)
							if err == nil {
								return answer
							}
							// Another function goes on; what it can't know of the one before arrives late.
							calls := len(client.Calls())
							client = w.store.Client()
							client.Order(n-calls, fault)
							w.store.Arrive()
						}
						t.Fatalf("fault at call %d: %s is never answered", n, request.Command)
						return nil
					}
					id := tick(1)
					asked := service.Request{
						Run: id, Execution: execution(id), Job: config(id), Model: config(id), Config: config(id), Endpoint: name, Kind: pipeline.Endpoint,
					}
					ask := func(c service.Command) any { asked.Command = c; return again(asked) }
					if got := ask(service.Acquire).(service.Acquired); !got.Acquired {
						t.Fatalf("fault at call %d: got %+v", n, got)
					}
					if got := ask(service.Record).(service.Recorded); got.Previous != config(tick(0)) {
						t.Fatalf("fault at call %d: got %+v", n, got)
					}
					ask(service.Release)
					w.store.Arrive()
					if h := w.history(t); len(h) != 2 || h[0].Run != id {
						t.Fatalf("fault at call %d: the history is %+v", n, h)
					}
					hold(t, w, 2)
					if n > 20 {
						return
					}
				}
			})
		})
	}
}

// Executions overlap in every order of their calls, are stopped in the middle while their functions go on, and lose replies. One at a time deploys, and
// the history is the order in which they did.
func TestOneExecutionAtATimeDeploys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(400) {
			deployAtOnce(t, seed)
		}
	})
}

func deployAtOnce(t *testing.T, seed uint64) {
	w := newWorld()
	var turns memory.Turns
	state := seed
	random := func(n int) int {
		state = state*6364136223846793005 + 1442695040888963407
		return int(state>>33) % n
	}
	// Everything below happens between two turns, one process at a time.
	alive := func(id run.ID) bool { running, _ := w.Running(context.Background(), execution(id)); return running }
	inside := map[run.ID]bool{}
	var deployed []run.ID
	flow := func(n int, id run.ID) func() {
		return func() {
			defer w.set(execution(id), false)
			// ask invokes the function; one that fails is invoked again.
			ask := func(command service.Command) (any, bool) {
				for alive(id) {
					client := w.store.Client()
					client.Before = func(call memory.Call) memory.Fault {
						turns.Wait(n, call.Operation+" "+call.Key)
						if random(12) == 0 {
							return memory.Faults[random(len(memory.Faults))]
						}
						return 0
					}
					answer, err := w.releaser(client).Answer(context.Background(), service.Request{
						Command: command, Run: id, Execution: execution(id), Job: config(id), Model: config(id), Config: config(id), Endpoint: name, Kind: pipeline.Endpoint,
					})
					turns.Wait(n, "answer")
					if err == nil {
						return answer, alive(id)
					}
				}
				return nil, false
			}
			for {
				answer, living := ask(service.Acquire)
				if !living {
					return
				}
				acquired := answer.(service.Acquired)
				if acquired.Superseded {
					if len(deployed) == 0 || slices.Max(deployed) <= id {
						t.Errorf("seed %d: run %s is superseded, and %v are deployed", seed, id, deployed)
					}
					return
				}
				if acquired.Acquired {
					break
				}
				time.Sleep(time.Second)
			}
			for other := range inside {
				if alive(other) {
					t.Errorf("seed %d: %s and %s deploy at once", seed, other, id)
				}
			}
			if len(deployed) > 0 && slices.Max(deployed) > id {
				t.Errorf("seed %d: %s is deployed after %v", seed, id, deployed)
			}
			inside[id] = true
			deployed = append(deployed, id)
			w.sageMaker.mu.Lock()
			w.sageMaker.serving = config(id)
			w.sageMaker.mu.Unlock()
			if _, living := ask(service.Record); !living {
				return
			}
			delete(inside, id)
			ask(service.Release)
		}
	}
	var processes []func()
	for n, hour := range []int{1, 0, 2, 1} {
		id := tick(hour)
		if n == 3 {
			id = tick(3)
		}
		w.set(execution(id), true)
		processes = append(processes, flow(n, id))
	}
	turns.Run(func(waiting []*memory.Turn) int {
		switch random(20) {
		case 0:
			w.set(execution(tick(random(4))), false) // somebody stops it
		case 1:
			w.store.Arrive()
		}
		return random(len(waiting))
	}, processes...)
	w.store.Arrive()
	h := w.history(t)
	for i, e := range h {
		if i > 0 && e.Run >= h[i-1].Run {
			t.Fatalf("seed %d: the history is %+v", seed, h)
		}
		if !slices.Contains(deployed, e.Run) {
			t.Fatalf("seed %d: %s was recorded and never deployed", seed, e.Run)
		}
	}
	hold(t, w, 9)
}

func TestAnExecutionWhoseLeaseWasTakenRecordsNothing(t *testing.T) {
	w := newWorld()
	hold(t, w, 1)
	w.set(execution(tick(1)), false)
	hold(t, w, 2)
	r := w.releaser(w.store.Client())
	_, err := r.Record(t.Context(), service.Request{Run: tick(1), Execution: execution(tick(1)), Job: "j", Model: "m", Config: "c", Endpoint: name, Kind: pipeline.Endpoint})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("run %s holds the deploy lease", tick(2))) || len(w.history(t)) != 0 {
		t.Fatalf("got %v, and %+v", err, w.history(t))
	}
	// Nor does it give back what another one holds.
	must(t, r.Release(t.Context(), service.Request{Run: tick(1), Execution: execution(tick(1))}))
	w.set(execution(tick(2)), true)
	if got, err := r.Acquire(t.Context(), service.Request{Run: tick(3), Execution: execution(tick(3))}); err != nil || !got.Wait {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestTheHistoryKeepsTheNewest(t *testing.T) {
	w := newWorld()
	var runs []run.ID
	for n := range service.HistoryLength + 5 {
		runs = append(runs, tick(n))
	}
	w.put(t, runs...)
	h := w.history(t)
	if len(h) != service.HistoryLength || h[0].Run != runs[len(runs)-1] || h[0].Previous != config(runs[len(runs)-2]) {
		t.Fatalf("got %d entries, the first %+v", len(h), h[0])
	}
}

func (w *world) write(t *testing.T, key, body string) {
	t.Helper()
	_, err := w.releaser(w.store.Client()).Bucket.Put(t.Context(), key, "application/json", []byte(body))
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
