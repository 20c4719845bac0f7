// Package ledger is the protocol by which a pipeline's runs are planned, recorded and committed in S3.
//
//	plan.json    written once, before the first row is read (If-None-Match)
//	parts/…json  one for each segment that was read, written once, naming the plan's ETag
//	manifest     put together from the parts, naming its parent
//	head.json    moved once for each commit (If-Match): the only write by which anything comes to exist
//
// Each write's outcome is certain: a refusal, a conflict or a lost reply is resolved by reading and comparing. Whoever dies between two
// steps leaves objects that the head doesn't reach, and the next attempt goes on from what is there.
package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
)

// Ledger is the ledger of one pipeline.
type Ledger struct {
	bucket   *objects.Bucket
	pipeline string
}

// New makes the ledger of a pipeline in a bucket.
func New(bucket *objects.Bucket, pipeline string) Ledger {
	return Ledger{bucket: bucket, pipeline: pipeline}
}

const contentType = "application/json"

// Head is the head as it was read: ETag is empty when there is none yet, and Head is then the state before the first run.
type Head struct {
	head.Head
	ETag string
}

// Head reads the pipeline's head.
func (l Ledger) Head(ctx context.Context) (Head, error) {
	key := head.Key(l.pipeline)
	stored, err := l.bucket.Read(ctx, key)
	switch {
	case errors.Is(err, objects.ErrDeleted):
		return Head{}, fmt.Errorf("reading the pipeline's head: %w: without it nothing of the pipeline is committed, and the next run would begin from nothing: "+
			"remove the delete marker of s3://%s/%s, or, if the pipeline is to begin from nothing, its versions too", err, l.bucket.Name(), key)
	case errors.Is(err, objects.ErrNotFound):
		return Head{Head: head.Head{Version: head.Version, Pipeline: l.pipeline, Generation: 1}}, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("reading the pipeline's head: %w", err)
	}
	return l.decodeHead(key, stored)
}

func (l Ledger) decodeHead(key string, stored objects.Stored) (Head, error) {
	h, err := head.Decode(stored.Body)
	if err == nil && h.Pipeline != l.pipeline {
		err = fmt.Errorf("it is the head of %q", h.Pipeline)
	}
	if err != nil {
		return Head{}, fmt.Errorf("s3://%s/%s: %w: restore an earlier version of the object; without a head nothing of the pipeline is committed", l.bucket.Name(), key, err)
	}
	return Head{Head: h, ETag: stored.ETag}, nil
}

// Commit is a manifest that the head reaches.
type Commit struct {
	manifest.Manifest
	Ref head.Ref
}

// Read reads the manifest that a reference names, in the version and with the hash that it names.
func (l Ledger) Read(ctx context.Context, ref head.Ref) (Commit, error) {
	stored, err := l.bucket.ReadVersion(ctx, ref.Key, ref.VersionID)
	if err != nil {
		return Commit{}, fmt.Errorf("reading the manifest of run %s: %w", ref.Run, err)
	}
	if sum := hash(stored.Body); sum != ref.SHA256 {
		return Commit{}, fmt.Errorf("the manifest s3://%s/%s has SHA-256 %s, and what names it says %s: it was changed after its commit; restore its version %q", l.bucket.Name(), ref.Key, sum, ref.SHA256, ref.VersionID)
	}
	m, err := manifest.Decode(stored.Body)
	if err != nil {
		return Commit{}, fmt.Errorf("s3://%s/%s: %w", l.bucket.Name(), ref.Key, err)
	}
	return Commit{Manifest: m, Ref: ref}, nil
}

// Find looks for a run among the commits from the head down to the one that until names, or to the first. A run that was planned names
// in its plan the newest commit of that moment: it can't have been committed before it.
func (l Ledger) Find(ctx context.Context, from *head.Ref, id run.ID, until *head.Ref) (Commit, bool, error) {
	for ref := from; ref != nil; {
		if until != nil && ref.Key == until.Key && ref.VersionID == until.VersionID && ref.Run != id {
			return Commit{}, false, nil
		}
		c, err := l.Read(ctx, *ref)
		if err != nil {
			return Commit{}, false, err
		}
		if c.Run == id {
			return c, true, nil
		}
		ref = c.Parent
	}
	return Commit{}, false, nil
}

// Frozen is a plan that can't change any more.
type Frozen struct {
	plan.Plan
	Key  string
	ETag string
}

// Plans reads every plan of a run: one for each spec that it was planned with.
func (l Ledger) Plans(ctx context.Context, id run.ID) ([]Frozen, error) {
	listed, err := l.bucket.List(ctx, plan.Prefix(l.pipeline, id), "")
	if err != nil {
		return nil, fmt.Errorf("looking for its plan: %w", err)
	}
	var all []Frozen
	for _, o := range listed {
		if !plan.IsKey(o.Key) {
			continue
		}
		stored, err := l.bucket.Read(ctx, o.Key)
		if err != nil {
			return nil, fmt.Errorf("looking for its plan: %w", err)
		}
		f, err := l.frozen(o.Key, stored, id, "")
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// PlanAt reads the plan with a key, in the version with an ETag.
func (l Ledger) PlanAt(ctx context.Context, key, etag string) (Frozen, error) {
	stored, err := l.bucket.Read(ctx, key)
	if err != nil {
		return Frozen{}, fmt.Errorf("reading the plan: %w", err)
	}
	if stored.ETag != etag {
		return Frozen{}, fmt.Errorf("the plan s3://%s/%s has the ETag %s and not %s: it was replaced after it was handed over", l.bucket.Name(), key, stored.ETag, etag)
	}
	p, err := plan.Decode(stored.Body)
	if err != nil {
		return Frozen{}, fmt.Errorf("s3://%s/%s: %w", l.bucket.Name(), key, err)
	}
	if want := plan.Key(l.pipeline, p.Run, p.SpecSHA256); want != key {
		return Frozen{}, fmt.Errorf("the plan s3://%s/%s belongs to %s", l.bucket.Name(), key, want)
	}
	return Frozen{Plan: p, Key: key, ETag: stored.ETag}, nil
}

// Freeze writes a plan, unless there is one: then that one is given, and the new one forgotten.
func (l Ledger) Freeze(ctx context.Context, p plan.Plan) (Frozen, error) {
	body, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return Frozen{}, fmt.Errorf("encoding the plan: %w", err)
	}
	key := plan.Key(l.pipeline, p.Run, p.SpecSHA256)
	stored, err := l.bucket.Create(ctx, key, contentType, body)
	if err != nil {
		return Frozen{}, fmt.Errorf("freezing the plan: %w", err)
	}
	return l.frozen(key, stored, p.Run, p.SpecSHA256)
}

func (l Ledger) frozen(key string, stored objects.Stored, id run.ID, specSHA256 string) (Frozen, error) {
	p, err := plan.Decode(stored.Body)
	if err == nil && (p.Pipeline != l.pipeline || p.Run != id || specSHA256 != "" && p.SpecSHA256 != specSHA256) {
		err = fmt.Errorf("it is the plan of run %s of %s, for the spec %s", p.Run, p.Pipeline, p.SpecSHA256)
	}
	if err != nil {
		return Frozen{}, fmt.Errorf("s3://%s/%s: %w", l.bucket.Name(), key, err)
	}
	return Frozen{Plan: p, Key: key, ETag: stored.ETag}, nil
}

// Record writes the record of a part, unless there is one of this segment: then that one is given, and it counts.
func (l Ledger) Record(ctx context.Context, f Frozen, p manifest.Part) (manifest.Part, error) {
	body, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return manifest.Part{}, fmt.Errorf("encoding the record of a part: %w", err)
	}
	key := plan.PartKey(l.pipeline, f.Run, f.SpecSHA256, p.Partition, p.Segment)
	stored, err := l.bucket.Create(ctx, key, contentType, body)
	if err != nil {
		return manifest.Part{}, fmt.Errorf("recording partition %s: %w", p.Partition, err)
	}
	return l.part(f, key, stored.Body, p.Partition, p.Segment)
}

// part reads a record and says whether it counts.
func (l Ledger) part(f Frozen, key string, body []byte, partition string, segment int) (manifest.Part, error) {
	p, err := manifest.DecodePart(body)
	switch {
	case err != nil:
	case p.PlanETag != f.ETag:
		err = fmt.Errorf("it was read by the plan with ETag %s, and the run's plan has %s: delete the record to have the part read again", p.PlanETag, f.ETag)
	case p.Partition != partition || p.Segment != segment:
		err = fmt.Errorf("it is the record of segment %d of partition %s: delete it to have the part read again", p.Segment, p.Partition)
	}
	if err != nil {
		return manifest.Part{}, fmt.Errorf("s3://%s/%s: %w", l.bucket.Name(), key, err)
	}
	return p, nil
}

// Segments gives what was read of one partition, in its order. The partition is finished when the last of them says so.
func (l Ledger) Segments(ctx context.Context, f Frozen, partition string) ([]manifest.Part, error) {
	var all []manifest.Part
	for {
		key := plan.PartKey(l.pipeline, f.Run, f.SpecSHA256, partition, len(all))
		stored, err := l.bucket.Read(ctx, key)
		if errors.Is(err, objects.ErrNotFound) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("looking for what was read of partition %s: %w", partition, err)
		}
		p, err := l.part(f, key, stored.Body, partition, len(all))
		if err != nil {
			return nil, err
		}
		if n := len(all); n > 0 && (p.After == nil || *p.After != *all[n-1].Through) {
			return nil, fmt.Errorf("s3://%s/%s: it doesn't begin where the segment before it ends, at %q: delete the record to have the part read again", l.bucket.Name(), key, *all[n-1].Through)
		}
		if all = append(all, p); p.Last {
			return all, nil
		}
	}
}

// readers bounds how many records are read at a time.
const readers = 16

// Parts gives what was read of each partition, and the partitions that are not finished.
func (l Ledger) Parts(ctx context.Context, f Frozen) (parts []manifest.Part, open []plan.Partition, err error) {
	found := make([][]manifest.Part, len(f.Partitions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, one := range f.Partitions {
		group.Go(func() error {
			var err error
			found[i], err = l.Segments(ctx, f, one.ID)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for i, segments := range found {
		if !finished(segments) {
			open = append(open, f.Partitions[i])
		}
		parts = append(parts, segments...)
	}
	return parts, open, nil
}

func finished(segments []manifest.Part) bool {
	return len(segments) > 0 && segments[len(segments)-1].Last
}

// Outcome says how an attempt to commit ended.
type Outcome int

// The outcomes of Commit.
const (
	// Committed: the head names the manifest of this attempt.
	Committed Outcome = iota + 1
	// Already: the head reaches another attempt's manifest of the run.
	Already
	// Moved: the head moved meanwhile and doesn't reach the run. Nothing is committed.
	Moved
)

// CommitWithin is how long after a run was planned it can be committed. A run that isn't by then is no longer: what was read of it may be
// swept, two days later (SweepAfter), while an attempt that has just been woken puts its manifest together.
const CommitWithin = 5 * 24 * time.Hour

// Commit writes a manifest and moves the head to it, from the version that before is. next is the head that is to be. The manifest's parent and
// time, and the head's manifest, number and time are filled in here.
//
// There is one write that commits, the head's. When it is refused or its reply is lost, the head is read: it names this manifest, or it reaches
// another attempt's of the same run, or another run was faster. An append load begins where the head was when it was planned, so it is committed
// from that version of the head and from no later one; and no run of a generation is committed after the next one began.
func (l Ledger) Commit(ctx context.Context, f Frozen, before Head, m manifest.Manifest, next head.Head) (Commit, Outcome, error) {
	if age := time.Since(f.CreatedAt); age > CommitWithin {
		return Commit{}, 0, fmt.Errorf("run %s was planned %s ago, and is committed within %s or not at all, because what was read of it is swept then: "+
			"invoke the function with a later scheduledTime, or with this one when the plan %s is gone", f.Run, age.Round(time.Hour), CommitWithin, f.Key)
	}
	c, outcome, err := l.after(ctx, f, before, m.Attempt)
	if err != nil || outcome != Moved {
		return c, outcome, err // the head that was read for this commit reaches the run already
	}
	if f.Load == pipeline.Append && f.HeadETag != before.ETag || next.Generation < before.Generation {
		return Commit{}, Moved, nil
	}
	m.Parent, m.CommittedAt = before.Manifest, time.Now().UTC()
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return Commit{}, 0, fmt.Errorf("encoding the manifest: %w", err)
	}
	key := manifest.Key(m.Pipeline, m.Run, m.Attempt)
	written, err := l.bucket.Create(ctx, key, contentType, body)
	if err != nil {
		return Commit{}, 0, fmt.Errorf("writing the manifest: %w", err)
	}
	if !bytes.Equal(written.Body, body) {
		return Commit{}, 0, fmt.Errorf("writing the manifest: s3://%s/%s is there with other content: two attempts have one name", l.bucket.Name(), key)
	}
	next.Manifest = &head.Ref{Run: m.Run, Key: key, VersionID: written.VersionID, SHA256: hash(body)}
	moved, err := l.Move(ctx, before, next)
	if err != nil {
		return Commit{}, 0, fmt.Errorf("committing the run: %w", err)
	}
	return l.after(ctx, f, moved, m.Attempt)
}

// after says how an attempt to commit ended, by the head that is there.
func (l Ledger) after(ctx context.Context, f Frozen, there Head, attempt string) (Commit, Outcome, error) {
	c, found, err := l.Find(ctx, there.Manifest, f.Run, f.Parent)
	switch {
	case err != nil:
		return Commit{}, 0, fmt.Errorf("looking for the run below the head: %w", err)
	case found && c.Attempt == attempt:
		return c, Committed, nil
	case found:
		return c, Already, nil
	}
	return Commit{}, Moved, nil
}

// Move writes the head, on the condition that it is still the one that was read, and gives the head that is there afterwards.
func (l Ledger) Move(ctx context.Context, before Head, next head.Head) (Head, error) {
	next.Version, next.Pipeline, next.Moves, next.MovedAt = head.Version, l.pipeline, before.Moves+1, time.Now().UTC()
	body, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return Head{}, fmt.Errorf("encoding the head: %w", err)
	}
	key := head.Key(l.pipeline)
	var stored objects.Stored
	if before.ETag == "" {
		stored, err = l.bucket.Create(ctx, key, contentType, body)
	} else {
		stored, err = l.bucket.Replace(ctx, key, contentType, body, before.ETag)
	}
	if err != nil {
		return Head{}, fmt.Errorf("moving the head: %w", err)
	}
	return l.decodeHead(key, stored)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
