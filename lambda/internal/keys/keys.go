// Package keys finds keys that come twice in the rows of an append load, whatever the load's size, in flat memory.
//
// A key is remembered by a digest: the first 16 bytes of the SHA-256 of its text, so that two keys of a billion have one digest by chance once in
// 10²⁰ times. A file of digests is those alone, ascending, 16 bytes each. What a generation holds is in a few such files of growing
// size, and the next run's are put beside them: checked against each, and merged with the small ones.
package keys

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
)

// Size is the size of a Digest in bytes.
const Size = 16

// Digest stands for a key. Digests are ordered as their bytes are.
type Digest struct{ high, low uint64 }

// Of gives the digest of a key's text (columns.Plan.AppendKey).
func Of(key []byte) Digest {
	sum := sha256.Sum256(key)
	return decode(sum[:])
}

func decode(b []byte) Digest {
	return Digest{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (d Digest) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, d.high), d.low)
}

func (d Digest) compare(o Digest) int {
	return cmp.Or(cmp.Compare(d.high, o.high), cmp.Compare(d.low, o.low))
}

func (d Digest) less(o Digest) bool {
	return d.high < o.high || d.high == o.high && d.low < o.low
}

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d.append(nil)) }

// DuplicateError is the error of a key that is there twice.
type DuplicateError struct {
	Digest Digest
	// Files are the two files that it is in; one twice, or none before the first is written.
	Files [2]string
}

func (d *DuplicateError) Error() string {
	where := "among the rows that are being read"
	switch {
	case d.Files[0] != "" && d.Files[0] == d.Files[1]:
		where = "in " + d.Files[0]
	case d.Files[0] != "":
		where = fmt.Sprintf("in %s and in %s", d.Files[0], d.Files[1])
	}
	return fmt.Sprintf("two rows have one key, whose digest (the first 16 bytes of the SHA-256 of its text) is %s: %s", d.Digest, where)
}

const (
	// chunkKeys is how many digests are sorted at a time: 1 MiB, which stays in the processor's cache.
	chunkKeys = 64 << 10
	// heldChunks is how many chunks are in memory: 64 MiB, 4 million digests.
	heldChunks = 64
	// contentType of a file of digests.
	contentType = "application/octet-stream"
)

// Writer gathers digests and writes them as one sorted file. It holds at most 64 MiB; what doesn't fit is written to files of its own
// and merged from there.
type Writer struct {
	ctx     context.Context //nolint:containedctx // Add is called for each row
	bucket  *objects.Bucket
	key     func(name string) string
	name    string
	chunks  [][]Digest
	spilled []manifest.KeyFile
}

// NewWriter makes a Writer of the file called name. key gives the whole key of a name (manifest.KeysKey).
func NewWriter(ctx context.Context, bucket *objects.Bucket, key func(name string) string, name string) *Writer {
	return &Writer{ctx: ctx, bucket: bucket, key: key, name: name}
}

// Add takes a digest.
func (w *Writer) Add(d Digest) error {
	n := len(w.chunks)
	if n == 0 || len(w.chunks[n-1]) == chunkKeys {
		if n == heldChunks {
			file, err := w.spill(w.key(fmt.Sprintf("%s-spill-%03d", w.name, len(w.spilled))))
			if err != nil {
				return err
			}
			w.spilled = append(w.spilled, *file)
		}
		w.chunks = append(w.chunks, make([]Digest, 0, chunkKeys))
		n = len(w.chunks)
	}
	w.chunks[n-1] = append(w.chunks[n-1], d)
	return nil
}

// Close writes the file. Without a digest there is none, and nil. A key that was added twice gives a *DuplicateError.
func (w *Writer) Close() (*manifest.KeyFile, error) {
	if len(w.spilled) == 0 {
		return w.spill(w.key(w.name))
	}
	last, err := w.spill(w.key(w.name + "-spill-last"))
	if err != nil {
		return nil, err
	}
	if last != nil {
		w.spilled = append(w.spilled, *last)
	}
	return Merge(w.ctx, w.bucket, w.spilled, w.key(w.name))
}

// spill writes what is held.
func (w *Writer) spill(key string) (*manifest.KeyFile, error) {
	runs := make([]ascending, 0, len(w.chunks))
	for _, chunk := range w.chunks {
		slices.SortFunc(chunk, Digest.compare)
		runs = append(runs, &chunkRun{chunk: chunk})
	}
	w.chunks = nil
	return write(w.ctx, w.bucket, runs, key)
}

// ascending is digests in ascending order.
type ascending interface {
	// next gives the next digest, and io.EOF after the last.
	next() (Digest, error)
	// name is the file's key, or "".
	name() string
}

type chunkRun struct {
	chunk []Digest
	at    int
}

func (c *chunkRun) next() (Digest, error) {
	if c.at == len(c.chunk) {
		return Digest{}, io.EOF
	}
	c.at++
	return c.chunk[c.at-1], nil
}

func (*chunkRun) name() string { return "" }

// write merges runs into a file.
func write(ctx context.Context, bucket *objects.Bucket, runs []ascending, key string) (*manifest.KeyFile, error) {
	if len(runs) == 0 {
		return nil, nil //nolint:nilnil // no digests, no file
	}
	out := newDigestFile(ctx, bucket, key)
	return out.close(merge(runs, out.add)) //nolint:contextcheck // a writer keeps the context that it was made with
}

// digestFile is a file that is being written.
type digestFile struct {
	object *objects.Writer
	out    *bufio.Writer
	keys   int64
	buffer [Size]byte
}

func newDigestFile(ctx context.Context, bucket *objects.Bucket, key string) *digestFile {
	object := bucket.NewWriter(ctx, key, contentType)
	return &digestFile{object: object, out: bufio.NewWriterSize(object, blockBytes)}
}

func (f *digestFile) add(d Digest) error {
	f.keys++
	_, err := f.out.Write(d.append(f.buffer[:0]))
	return err
}

// close ends the file, or takes it back after an error.
func (f *digestFile) close(err error) (*manifest.KeyFile, error) {
	if err == nil {
		err = f.out.Flush()
	}
	if err != nil {
		f.object.Abort()
		return nil, err
	}
	written, err := f.object.Close()
	if err != nil {
		return nil, err
	}
	return &manifest.KeyFile{Object: written, Keys: f.keys}, nil
}

// merge gives the digests of all runs in ascending order, and a *DuplicateError for one that comes twice.
func merge(runs []ascending, each func(Digest) error) error {
	var last Digest
	lastName, began := "", false
	return ordered(runs, func(d Digest, name string) error {
		if began && d == last {
			return &DuplicateError{Digest: last, Files: [2]string{lastName, name}}
		}
		last, lastName, began = d, name, true
		return each(d)
	})
}

// ordered gives the digests of all runs in ascending order, with the name of the run that each is in.
func ordered(runs []ascending, each func(d Digest, name string) error) error {
	type source struct {
		ascending
		first Digest
	}
	sources := make([]source, 0, len(runs))
	for _, r := range runs {
		d, err := r.next()
		if err == io.EOF { //nolint:errorlint // next gives it as it is
			continue
		}
		if err != nil {
			return err
		}
		sources = append(sources, source{r, d})
	}
	// A heap, whose smallest is at 0.
	sink := func(i int) {
		for {
			child := 2*i + 1
			if child >= len(sources) {
				return
			}
			if child+1 < len(sources) && sources[child+1].first.less(sources[child].first) {
				child++
			}
			if !sources[child].first.less(sources[i].first) {
				return
			}
			sources[i], sources[child] = sources[child], sources[i]
			i = child
		}
	}
	for i := len(sources)/2 - 1; i >= 0; i-- {
		sink(i)
	}
	for len(sources) > 0 {
		top := &sources[0]
		if err := each(top.first, top.name()); err != nil {
			return err
		}
		d, err := top.next()
		switch {
		case err == io.EOF: //nolint:errorlint // next gives it as it is
			sources[0] = sources[len(sources)-1]
			sources = sources[:len(sources)-1]
		case err != nil:
			return err
		default:
			top.first = d
		}
		sink(0)
	}
	return nil
}
