package keys

import (
	"context"
	"fmt"
	"slices"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
)

// bagKeys is how many digests a Bag holds: 2 MiB. Another 2 MiB are on their way to S3 while it writes.
const bagKeys = 128 << 10

// Bag gathers digests that may come again, to tell which come once (Once). A file of a Bag has its digests in ascending order, and each twice at most:
// that one came a third time tells nothing more. It is for one goroutine.
type Bag struct {
	ctx    context.Context //nolint:containedctx // Add is called for each row
	bucket *objects.Bucket
	key    func(name string) string
	name   string
	held   []Digest
	files  []manifest.KeyFile
}

// NewBag makes a Bag, whose files are called by name. key gives the whole key of a name (manifest.KeysKey).
func NewBag(ctx context.Context, bucket *objects.Bucket, key func(name string) string, name string) *Bag {
	return &Bag{ctx: ctx, bucket: bucket, key: key, name: name}
}

// Add takes a digest.
func (b *Bag) Add(d Digest) error {
	if len(b.held) == bagKeys {
		// What repeats itself much never leaves memory.
		if b.compact(); len(b.held) > bagKeys/2 {
			if err := b.spill(); err != nil {
				return err
			}
		}
	}
	b.held = append(b.held, d)
	return nil
}

// Close writes what is held, and gives the files: none without a digest.
func (b *Bag) Close() ([]manifest.KeyFile, error) {
	b.compact()
	err := b.spill()
	return b.files, err
}

func (b *Bag) compact() {
	slices.SortFunc(b.held, Digest.compare)
	kept := b.held[:0]
	for _, d := range b.held {
		if n := len(kept); n >= 2 && kept[n-1] == d && kept[n-2] == d {
			continue
		}
		kept = append(kept, d)
	}
	b.held = kept
}

// spill writes what is held and compact.
func (b *Bag) spill() error {
	if len(b.held) == 0 {
		return nil
	}
	body := make([]byte, 0, len(b.held)*Size)
	for _, d := range b.held {
		body = d.append(body)
	}
	object, err := b.bucket.Put(b.ctx, b.key(fmt.Sprintf("%s-%05d", b.name, len(b.files))), contentType, body)
	if err != nil {
		return err
	}
	b.files = append(b.files, manifest.KeyFile{Object: object, Keys: int64(len(b.held))})
	b.held = b.held[:0]
	return nil
}

// Once says how many digests come once in the files of Bags. Of many files, some are merged at a time into files with keys by key; its memory is
// 64 KiB for each of them.
func Once(ctx context.Context, bucket *objects.Bucket, files []manifest.KeyFile, key func(name string) string) (int64, error) {
	for round := 0; len(files) > fanIn; round++ {
		var merged []manifest.KeyFile
		for group := range slices.Chunk(files, fanIn) {
			one, err := mergeBags(ctx, bucket, group, key(fmt.Sprintf("round-%d-%03d", round, len(merged))))
			if err != nil {
				return 0, err
			}
			merged = append(merged, one)
		}
		files = merged
	}
	var once int64
	err := withRepeats(ctx, bucket, files, func(_ Digest, times int) error {
		if times == 1 {
			once++
		}
		return nil
	})
	return once, err
}

func mergeBags(ctx context.Context, bucket *objects.Bucket, files []manifest.KeyFile, to string) (manifest.KeyFile, error) {
	out := newDigestFile(ctx, bucket, to)
	err := withRepeats(ctx, bucket, files, func(d Digest, times int) error {
		for range min(times, 2) {
			if err := out.add(d); err != nil {
				return err
			}
		}
		return nil
	})
	file, err := out.close(err) //nolint:contextcheck // a writer keeps the context that it was made with
	if err != nil {
		return manifest.KeyFile{}, err
	}
	return *file, nil
}

// withRepeats gives the digests of files of Bags in ascending order, each with how often it comes in them.
func withRepeats(ctx context.Context, bucket *objects.Bucket, files []manifest.KeyFile, each func(d Digest, times int) error) error {
	runs := make([]ascending, 0, len(files))
	for _, file := range files {
		f, err := openFile(ctx, bucket, file)
		if err != nil {
			return err
		}
		defer f.body.Close()
		f.repeats = true
		runs = append(runs, f)
	}
	var last Digest
	times := 0
	err := ordered(runs, func(d Digest, _ string) error {
		if times > 0 && d == last {
			times++
			return nil
		}
		if times > 0 {
			if err := each(last, times); err != nil {
				return err
			}
		}
		last, times = d, 1
		return nil
	})
	if err == nil && times > 0 {
		err = each(last, times)
	}
	return err
}
