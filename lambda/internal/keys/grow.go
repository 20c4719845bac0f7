package keys

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
)

const (
	// fanIn is how many files are merged at a time: each is one connection and 64 KiB.
	fanIn = 64
	// largest is the size in keys above which a file is merged no more, so that a commit merges 4 GiB at most.
	largest = 256 << 20
	// lookups is how many keys are looked up at a time.
	lookups = 32
	// lookupBytes is what looking up one key reads of a large file: about three blocks.
	lookupBytes = 3 * blockBytes
)

// Merge merges files into one. Without files there is none, and nil. A key that is in two of them gives a *DuplicateError. Its memory is 64 KiB for
// each file, and one part of an upload.
func Merge(ctx context.Context, bucket *objects.Bucket, files []manifest.KeyFile, to string) (*manifest.KeyFile, error) {
	for round := 0; len(files) > fanIn; round++ {
		var merged []manifest.KeyFile
		for group := range slices.Chunk(files, fanIn) {
			one, err := mergeFew(ctx, bucket, group, fmt.Sprintf("%s-round-%d-%03d", to, round, len(merged)))
			if err != nil {
				return nil, err
			}
			merged = append(merged, *one)
		}
		files = merged
	}
	return mergeFew(ctx, bucket, files, to)
}

func mergeFew(ctx context.Context, bucket *objects.Bucket, files []manifest.KeyFile, to string) (*manifest.KeyFile, error) {
	var merged *manifest.KeyFile
	err := withRuns(ctx, bucket, files, func(runs []ascending) (err error) {
		merged, err = write(ctx, bucket, runs, to)
		return err
	})
	return merged, err
}

func withRuns(ctx context.Context, bucket *objects.Bucket, files []manifest.KeyFile, do func([]ascending) error) error {
	runs := make([]ascending, 0, len(files))
	for _, file := range files {
		f, err := openFile(ctx, bucket, file)
		if err != nil {
			return err
		}
		defer f.body.Close()
		runs = append(runs, f)
	}
	return do(runs)
}

// Grow gives the files of a generation with those of a run added: fewer, and each larger than all that are smaller together, so that each key is
// written again at most once for each time that the generation doubles. The files that were there stay as they are, and those that are made
// have keys by key. A key of the run that is in the generation already, or twice in the run, gives a *DuplicateError.
//
// A file that is large beside what is added isn't read whole: each added key is looked up where its digest must be, since digests are spread
// evenly.
func Grow(ctx context.Context, bucket *objects.Bucket, generation, added []manifest.KeyFile, key func(name string) string) ([]manifest.KeyFile, error) {
	if len(added) == 0 {
		return generation, nil
	}
	fresh := added[0]
	if len(added) > 1 {
		merged, err := Merge(ctx, bucket, added, key("run"))
		if err != nil {
			return nil, err
		}
		fresh = *merged
	}
	stay := slices.SortedFunc(slices.Values(generation), func(a, b manifest.KeyFile) int { return cmp.Compare(b.Keys, a.Keys) })
	cut, sum := len(stay), fresh.Keys // what is from cut on is merged
	for i, smaller := range slices.Backward(stay) {
		if smaller.Keys <= sum && sum+smaller.Keys <= largest {
			cut = i
		}
		sum += smaller.Keys
	}
	together := append([]manifest.KeyFile{fresh}, stay[cut:]...)
	stay = slices.Clip(stay[:cut])
	if err := compare(ctx, bucket, fresh, stay); err != nil {
		return nil, err
	}
	if len(together) > 1 {
		merged, err := Merge(ctx, bucket, together, key("merged"))
		if err != nil {
			return nil, err
		}
		fresh = *merged
	}
	return append(stay, fresh), nil
}

// compare says whether a key of fresh is in one of files.
func compare(ctx context.Context, bucket *objects.Bucket, fresh manifest.KeyFile, files []manifest.KeyFile) error {
	var whole, large []manifest.KeyFile
	for _, file := range files {
		if fresh.Keys > file.Bytes/lookupBytes {
			whole = append(whole, file)
		} else {
			large = append(large, file)
		}
	}
	for group := range slices.Chunk(whole, fanIn-1) {
		if err := withRuns(ctx, bucket, append([]manifest.KeyFile{fresh}, group...), mergeToNothing); err != nil {
			return err
		}
	}
	if len(large) == 0 {
		return nil
	}
	// So few that they fit into memory: a file of 4 GiB is 21,845 times what one lookup reads.
	added, err := Load(ctx, bucket, fresh.Object)
	if err != nil {
		return err
	}
	for _, file := range large {
		if err := lookUp(ctx, bucket, added.digests, fresh, file); err != nil {
			return err
		}
	}
	return nil
}

func mergeToNothing(runs []ascending) error {
	return merge(runs, func(Digest) error { return nil })
}

// lookUp looks for digests in a large file.
func lookUp(ctx context.Context, bucket *objects.Bucket, digests []Digest, fresh, file manifest.KeyFile) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for _, d := range digests {
		group.Go(func() error {
			found, err := find(ctx, bucket, d, file)
			if err == nil && found {
				err = &DuplicateError{Digest: d, Files: [2]string{file.Key, fresh.Key}}
			}
			return err
		})
	}
	return group.Wait()
}

// find looks for one digest by reading blocks where it must be, by the digests at the ends of the blocks before.
func find(ctx context.Context, bucket *objects.Bucket, d Digest, file manifest.KeyFile) (bool, error) {
	const inBlock = blockBytes / Size
	from, to := int64(0), file.Keys // the digest is between them
	low, high := 0.0, math.Ldexp(1, 64)
	for from < to {
		at := float64(from) + (float64(d.high)-low)/max(high-low, 1)*float64(to-from)
		begin := min(max(int64(at)-inBlock/2, from), max(to-inBlock, from))
		end := min(begin+inBlock, to)
		b, err := bucket.ReadRange(ctx, file.Key, file.VersionID, begin*Size, (end-begin)*Size)
		if err != nil {
			return false, fmt.Errorf("comparing keys: %w", err)
		}
		block := make([]Digest, 0, inBlock)
		for ; len(b) >= Size; b = b[Size:] {
			block = append(block, decode(b))
		}
		if !slices.IsSortedFunc(block, Digest.compare) || int64(len(block)) != end-begin {
			return false, fmt.Errorf("comparing keys: %s was changed after it was written: its keys are not in ascending order: restore its version %q", file.Key, file.VersionID)
		}
		switch first, last := block[0], block[len(block)-1]; {
		case d.less(first):
			to, high = begin, float64(first.high)
		case last.less(d):
			from, low = end, float64(last.high)
		default:
			return has(block, d), nil
		}
	}
	return false, nil
}

// has says whether a digest is among sorted ones.
func has(sorted []Digest, d Digest) bool {
	_, found := slices.BinarySearchFunc(sorted, d, Digest.compare)
	return found
}
