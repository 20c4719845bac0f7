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
	// Process is the process's place among those of Run, and What says which step it is.
	Process int
	What    string
	granted chan struct{}
}

// Wait waits for the turn of a process.
func (t *Turns) Wait(process int, what string) {
	turn := &Turn{Process: process, What: what, granted: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, turn)
	t.mu.Unlock()
	<-turn.granted
}

// tick is how far the clock moves when all processes wait for it.
const tick = 100 * time.Millisecond

// Run runs processes to their ends. choose is given the steps that wait, in an order that is the same each time, and gives the place of the
// one to take.
func (t *Turns) Run(choose func([]*Turn) int, processes ...func()) {
	t.running = len(processes)
	for _, process := range processes {
		go func() {
			defer func() {
				t.mu.Lock()
				t.running--
				t.mu.Unlock()
			}()
			process()
		}()
	}
	for {
		synctest.Wait()
		t.mu.Lock()
		slices.SortStableFunc(t.waiting, func(a, b *Turn) int {
			return cmp.Or(cmp.Compare(a.Process, b.Process), cmp.Compare(a.What, b.What))
		})
		waiting, running := t.waiting, t.running
		t.mu.Unlock()
		switch {
		case len(waiting) > 0:
			next := waiting[choose(waiting)]
			t.mu.Lock()
			t.waiting = slices.DeleteFunc(t.waiting, func(one *Turn) bool { return one == next })
			t.mu.Unlock()
			close(next.granted)
		case running == 0:
			return
		default:
			time.Sleep(tick)
		}
	}
}
