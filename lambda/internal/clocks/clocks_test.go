package clocks

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/run"
)

const (
	first  = run.ID("20260101t020000z")
	second = run.ID("20260102t020000z")
)

var midnight = time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)

// Which end sets which clock, without the Data that an end says by itself.
func TestEveryOutcomeHasItsEffectOnTheClocks(t *testing.T) {
	want := map[outcome.Outcome][]Clock{
		outcome.Succeeded: {Model, Tick}, outcome.NotBetter: {Model, Tick},
		outcome.NotApproved: {Tick}, outcome.ApprovalTimedOut: {Tick}, outcome.Superseded: {Tick},
		outcome.RolledBack: nil, outcome.Failed: nil,
		outcome.Exported: {Tick}, outcome.Rejected: {Tick}, outcome.NoNewData: {Tick}, outcome.Blocked: {Tick}, outcome.OutsideHours: {Tick}, outcome.Busy: {Tick},
		outcome.Paused: nil,
	}
	for _, o := range outcome.All {
		set, known := want[o]
		if got := SetBy(outcome.End{Run: first, Outcome: o}); !known || !slices.Equal(got, set) {
			t.Errorf("%q sets %v, want %v", o, got, set)
		}
		if got := SetBy(outcome.End{Run: first, Outcome: o, Data: true}); !slices.Equal(got, append([]Clock{Data}, set...)) {
			t.Errorf("%q with data sets %v", o, got)
		}
		if got := SetBy(outcome.End{Run: "unknown", Outcome: o, Data: true}); got != nil {
			t.Errorf("%q of no run sets %v", o, got)
		}
	}
	if got := SetBy(outcome.End{Run: first, Outcome: outcome.NotBetter, Data: true, Uncompared: true}); !slices.Equal(got, []Clock{Data, Tick}) {
		t.Errorf("a model that was compared with none sets %v: what is in service, if anything, got no younger", got)
	}
}

func TestClocksGoForwardOnly(t *testing.T) {
	hour := func(n int) time.Time { return midnight.Add(time.Duration(n) * time.Hour) }
	for _, c := range []struct {
		name  string
		clock Clock
		sets  []Reading
		want  run.ID
	}{
		{"a tick that was processed later", Tick, []Reading{{first, outcome.NoNewData, hour(1)}, {second, outcome.NoNewData, hour(2)}}, second},
		{"a tick that is told late", Tick, []Reading{{second, outcome.NoNewData, hour(2)}, {first, outcome.Succeeded, hour(1)}}, second},
		{"an older run that ends later did process a tick", Tick, []Reading{{second, outcome.NoNewData, hour(1)}, {first, outcome.Succeeded, hour(2)}}, first},
		{"newer data", Data, []Reading{{first, outcome.Exported, hour(1)}, {second, outcome.Exported, hour(2)}}, second},
		{"older data that is accepted later", Data, []Reading{{second, outcome.Exported, hour(1)}, {first, outcome.Exported, hour(2)}}, second},
		{"a newer model in service", Model, []Reading{{first, outcome.Succeeded, hour(1)}, {second, outcome.Succeeded, hour(2)}}, second},
		{"a success that is told late", Model, []Reading{{second, outcome.Succeeded, hour(2)}, {first, outcome.Succeeded, hour(1)}}, second},
		{"an older model that a person went back to", Model, []Reading{{second, outcome.Succeeded, hour(1)}, {first, outcome.Succeeded, hour(2)}}, first},
		{"an older run that wasn't better, later", Model, []Reading{{second, outcome.Succeeded, hour(1)}, {first, outcome.NotBetter, hour(2)}}, second},
		{"a newer run that wasn't better", Model, []Reading{{first, outcome.Succeeded, hour(1)}, {second, outcome.NotBetter, hour(2)}}, second},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := New(objects.NewBucket(memory.New().Client(), "data", "", 0), "fraud")
			for _, to := range c.sets {
				if err := all.Set(t.Context(), c.clock, to); err != nil {
					t.Fatal(err)
				}
			}
			if shown, ok, err := all.Read(t.Context(), c.clock); err != nil || !ok || shown.Run != c.want {
				t.Errorf("it shows %+v, %v, %v", shown, ok, err)
			}
		})
	}
}

// Whatever happens to S3's answers, the newest reading is what the clock shows.
func TestAClockIsSetUnderEveryFault(t *testing.T) {
	for _, fault := range memory.Faults {
		if fault >= memory.CrashBefore {
			continue // a dead function has set nothing, or something
		}
		for n := range 4 {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				if err := New(objects.NewBucket(store.Client(), "data", "", 0), "fraud").Set(t.Context(), Data, Reading{first, outcome.Exported, midnight}); err != nil {
					t.Fatal(err)
				}
				client := store.Client()
				client.Order(n, fault)
				err := New(objects.NewBucket(client, "data", "", 0), "fraud").Set(t.Context(), Data, Reading{second, outcome.Exported, midnight})
				store.Arrive()
				shown, _, readErr := New(objects.NewBucket(store.Client(), "data", "", 0), "fraud").Read(t.Context(), Data)
				if readErr != nil || err == nil && shown.Run != second {
					t.Errorf("%s at call %d: %v, and it shows %+v, %v", fault, n, err, shown, readErr)
				}
			})
		}
	}
}

func TestOfManyThatSetAClockTheNewestIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		const writers = 6
		failed := make(chan error, writers)
		for n := range writers {
			go func() {
				at := midnight.Add(time.Duration(n) * time.Hour)
				failed <- New(objects.NewBucket(store.Client(), "data", "", 0), "fraud").Set(t.Context(), Tick, Reading{run.NewID(at), outcome.Busy, at})
			}()
		}
		for range writers {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		shown, _, err := New(objects.NewBucket(store.Client(), "data", "", 0), "fraud").Read(t.Context(), Tick)
		if want := midnight.Add((writers - 1) * time.Hour); err != nil || !shown.At.Equal(want) {
			t.Errorf("it shows %v, %v", shown.At, err)
		}
	})
}

func TestAges(t *testing.T) {
	store := memory.New()
	bucket := objects.NewBucket(store.Client(), "data", "", 0)
	all := New(bucket, "fraud")
	ages := func(now time.Time, tick, data, model time.Duration) {
		t.Helper()
		got, err := all.Ages(t.Context(), now)
		if err != nil || got[Tick] != tick || got[Data] != data || got[Model] != model {
			t.Errorf("the clocks are %v old, %v", got, err)
		}
	}
	ages(midnight, 0, 0, 0)
	ages(midnight.Add(time.Hour), time.Hour, time.Hour, time.Hour) // nothing ever ran

	if err := all.Set(t.Context(), Data, Reading{second, outcome.Exported, midnight}); err != nil {
		t.Fatal(err)
	}
	ages(midnight.Add(time.Hour), time.Hour, 23*time.Hour, time.Hour)
	if err := all.Set(t.Context(), Tick, Reading{second, outcome.Exported, midnight.Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	ages(midnight.Add(time.Hour), 0, 23*time.Hour, time.Hour) // a clock of another machine is ahead

	// What somebody else wrote there is no clock: it counts as never set, and is written over.
	for _, body := range []string{"oops", "{}", `{"run":7}`, `{"run":"x"}`} {
		if _, err := bucket.Put(t.Context(), "fraud/clocks/data.json", "text/plain", []byte(body)); err != nil {
			t.Fatal(err)
		}
		ages(midnight.Add(2*time.Hour), 0, 2*time.Hour, 2*time.Hour)
	}
	if err := all.Set(t.Context(), Data, Reading{first, outcome.Exported, midnight}); err != nil {
		t.Fatal(err)
	}
	ages(midnight.Add(2*time.Hour), 0, 48*time.Hour, 2*time.Hour)
}
