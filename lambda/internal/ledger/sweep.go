package ledger

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/verdict"
)

const (
	// SweepAfter is how long a run has to be left alone before what nothing names is swept from it: two days more than CommitWithin, for
	// clocks that differ and attempts on their way.
	SweepAfter = 7 * 24 * time.Hour
	// SweepReach is how far back the runs are that are swept, by their scheduled times: what older ones left was swept while they were
	// younger, except what a failed backfill of an older tick left, which stays.
	SweepReach = 60 * 24 * time.Hour
	// clocks is how far the clocks of S3 and of functions may be apart.
	clocks = 24 * time.Hour
	// deletes is how many objects are deleted at a time.
	deletes = 16
)

// Swept is what was deleted.
type Swept struct {
	Runs    int   `json:"runs"`
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Sweep deletes the objects of runs that no commit below the head names: what attempts left that died, lost or were overtaken. A run is swept
// when it was scheduled SweepAfter ago, within SweepReach, and nothing in it was written since; such a run can't be committed any more
// (CommitWithin). In a versioned bucket the objects' versions stay until the lifecycle rule for old versions takes them.
//
// It can be broken off anywhere and called again: of a run its plans go last, so that nobody plans it anew among an old plan's records. After
// an error Swept is what had been deleted. Without a head nothing is swept. Half of the context's time at most goes into reading commits, from the
// newest on: when there are too many for it, the oldest runs are left alone, which a sweep on another day has seen.
func (l Ledger) Sweep(ctx context.Context) (Swept, error) {
	now := time.Now()
	prefix := manifest.RunsPrefix(l.pipeline)
	listed, err := l.bucket.List(ctx, prefix, prefix+string(run.NewID(now.Add(-SweepReach))))
	if err != nil {
		return Swept{}, fmt.Errorf("looking for what to sweep: %w", err)
	}
	candidates := leftAlone(listed, prefix, now.Add(-SweepAfter))
	if len(candidates) == 0 {
		return Swept{}, nil
	}
	// The head is read after the listing: a commit that a candidate belongs to is below it.
	h, err := l.Head(ctx)
	if err != nil || h.ETag == "" {
		return Swept{}, err
	}
	oldest := slices.MinFunc(candidates, func(a, b folder) int { return a.written.Compare(b.written) }).written
	stop := now.Add(SweepReach)
	if deadline, ok := ctx.Deadline(); ok {
		stop = now.Add(deadline.Sub(now) / 2)
	}
	named, since, err := l.named(ctx, h.Manifest, oldest.Add(-clocks), stop)
	if err != nil {
		return Swept{}, fmt.Errorf("looking for what commits name: %w", err)
	}
	var swept Swept
	var first, last []objects.Listed
	for _, one := range candidates {
		if one.written.Add(-clocks).Before(since) {
			continue // commits that weren't read may name it
		}
		some := len(first) + len(last)
		for _, o := range one.objects {
			switch {
			case named.has(o.Key):
			case plan.IsKey(o.Key):
				last = append(last, o)
			default:
				first = append(first, o)
			}
		}
		if some < len(first)+len(last) {
			swept.Runs++
		}
	}
	for _, some := range [][]objects.Listed{first, last} {
		objects, bytes, err := l.delete(ctx, some)
		swept.Objects += objects
		swept.Bytes += bytes
		if err != nil {
			return swept, fmt.Errorf("sweeping: %w: call it again, it goes on from there", err)
		}
	}
	return swept, nil
}

// folder is what is there of a run. written is when the oldest of it was.
type folder struct {
	objects []objects.Listed
	written time.Time
}

// leftAlone gives the runs in which everything is older than a time, and whose scheduled time is too.
func leftAlone(listed []objects.Listed, prefix string, before time.Time) []folder {
	var all []folder
	for len(listed) > 0 {
		name := runOf(listed[0].Key, prefix)
		// What is in no run's folder is nobody's that is known here.
		id, err := run.ParseID(name)
		young := err != nil || !id.Time().Before(before)
		one := folder{written: listed[0].LastModified}
		n := 0
		for n < len(listed) && runOf(listed[n].Key, prefix) == name {
			young = young || !listed[n].LastModified.Before(before)
			if listed[n].LastModified.Before(one.written) {
				one.written = listed[n].LastModified
			}
			n++
		}
		if one.objects = listed[:n]; !young {
			all = append(all, one)
		}
		listed = listed[n:]
	}
	return all
}

func runOf(key, prefix string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
	return name
}

// names are the keys that commits name.
type names struct {
	keys map[string]bool
	// parts are the folders of the records of their plans.
	parts map[string]bool
}

func (n names) has(key string) bool {
	return n.keys[key] || n.parts[path.Dir(key)]
}

// named gives what the commits name from the head down to the first that was made before a time: an object is older than each commit that
// names it, so those before it name nothing that was written since. reached is how far that is true: that time, or a later one if reading had
// to stop.
func (l Ledger) named(ctx context.Context, newest *head.Ref, since, stop time.Time) (all names, reached time.Time, err error) {
	all = names{keys: map[string]bool{}, parts: map[string]bool{}}
	for ref := newest; ref != nil; {
		c, err := l.Read(ctx, *ref)
		if err != nil {
			return names{}, time.Time{}, err
		}
		all.keys[ref.Key] = true
		all.keys[c.Plan.Key] = true
		all.keys[verdict.AcceptedKey(c.Pipeline, c.Run)] = true // a person's, and later than the commit
		all.parts[path.Clean(plan.PartsPrefix(c.Pipeline, c.Run, c.SpecSHA256))] = true
		for _, o := range c.Objects() {
			all.keys[o.Key] = true
		}
		switch {
		case c.CommittedAt.Before(since):
			return all, since, nil
		case c.Parent != nil && time.Now().After(stop):
			return all, c.CommittedAt, nil
		}
		ref = c.Parent
	}
	return all, since, nil
}

// delete deletes objects and says how many and how large they were, also when it didn't come to its end.
func (l Ledger) delete(ctx context.Context, all []objects.Listed) (count, bytes int64, err error) {
	var deleted, size atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletes)
	for _, o := range all {
		group.Go(func() error {
			if err := l.bucket.Delete(ctx, o.Key); err != nil {
				return err
			}
			deleted.Add(1)
			size.Add(o.Bytes)
			return nil
		})
	}
	err = group.Wait()
	return deleted.Load(), size.Load(), err
}
