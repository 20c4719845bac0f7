package memory

import (
	"cmp"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// Turns lets processes take their steps one at a time, in an order that a test chooses. It is used inside a synctest bubble: a step is
// offered when every goroutine of every process waits for its turn, for the clock or for another goroutine.
type Turns struct {
	mu      sync.Mutex
	waiting []*Turn
	running int
}

// Turn is a step that waits to be taken.
type Turn struct {
	// Process is who takes it, and What says which step it is.
	Process int
	What    string

	granted chan struct{}
}

// Go starts a process.
func (t *Turns) Go(process func()) {
	t.mu.Lock()
	t.running++
	t.mu.Unlock()
	go func() {
		defer func() {
			t.mu.Lock()
			t.running--
			t.mu.Unlock()
		}()
		process()
	}()
}

// Wait waits for the turn of a process.
func (t *Turns) Wait(process int, what string) {
	turn := &Turn{Process: process, What: what, granted: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, turn)
	t.mu.Unlock()
	<-turn.granted
}

// tick is how far the clock moves when no step is taken.
const tick = 100 * time.Millisecond

// Step lets one step be taken, and says whether any process is left. choose is given the steps that wait, in an order that is the same each
// time, and gives the place of the one to take, or -1: then the clock moves, as it does when no step waits.
func (t *Turns) Step(choose func([]*Turn) int) bool {
	synctest.Wait()
	t.mu.Lock()
	slices.SortStableFunc(t.waiting, func(a, b *Turn) int {
		return cmp.Or(cmp.Compare(a.Process, b.Process), cmp.Compare(a.What, b.What))
	})
	waiting, running := t.waiting, t.running
	t.mu.Unlock()
	if running == 0 {
		return false
	}
	chosen := -1
	if len(waiting) > 0 {
		chosen = choose(waiting)
	}
	if chosen < 0 {
		time.Sleep(tick)
		return true
	}
	next := waiting[chosen]
	t.mu.Lock()
	t.waiting = slices.Delete(t.waiting, chosen, chosen+1)
	t.mu.Unlock()
	close(next.granted)
	return true
}

// Run runs processes to their ends.
func (t *Turns) Run(choose func([]*Turn) int, processes ...func()) {
	for _, process := range processes {
		t.Go(process)
	}
	for t.Step(choose) {
	}
}
