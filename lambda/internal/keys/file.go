package keys

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
)

// blockBytes is how much of a file is read at a time: 4,096 digests.
const blockBytes = 64 << 10

// fileRun reads a file from its beginning to its end, in the version and with the hash that its manifest names.
type fileRun struct {
	file   manifest.KeyFile
	body   io.ReadCloser
	hash   hash.Hash
	buffer []byte
	block  []byte // what is left of the buffer
	read   int64
	last   Digest
	// repeats says that a digest may come again.
	repeats bool
}

func openFile(ctx context.Context, bucket *objects.Bucket, file manifest.KeyFile) (*fileRun, error) {
	if file.Bytes != file.Keys*Size {
		return nil, fmt.Errorf("s3://%s/%s is said to have %d keys of %d bytes, and %d bytes", bucket.Name(), file.Key, file.Keys, Size, file.Bytes)
	}
	body, err := bucket.Open(ctx, file.Key, file.VersionID)
	if err != nil {
		return nil, fmt.Errorf("comparing keys: %w", err)
	}
	return &fileRun{file: file, body: body, hash: sha256.New(), buffer: make([]byte, blockBytes)}, nil
}

func (f *fileRun) name() string { return f.file.Key }

func (f *fileRun) next() (Digest, error) {
	if len(f.block) == 0 {
		n, err := io.ReadFull(f.body, f.buffer)
		switch {
		case errors.Is(err, io.EOF):
			return Digest{}, f.end()
		case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
			return Digest{}, fmt.Errorf("comparing keys: %w", err)
		case n%Size != 0:
			return Digest{}, f.damaged("it ends within a key")
		}
		f.block = f.buffer[:n]
		f.hash.Write(f.block)
	}
	d := decode(f.block)
	f.block = f.block[Size:]
	if f.read > 0 && !f.last.less(d) && (!f.repeats || f.last != d) {
		return Digest{}, f.damaged("its keys are not in ascending order")
	}
	f.last = d
	f.read++
	return d, nil
}

// end says whether what was read is the file.
func (f *fileRun) end() error {
	if sum := hex.EncodeToString(f.hash.Sum(nil)); f.read != f.file.Keys || sum != f.file.SHA256 {
		return f.damaged(fmt.Sprintf("it has %d keys and the SHA-256 %s, not %d and %s", f.read, sum, f.file.Keys, f.file.SHA256))
	}
	return io.EOF
}

func (f *fileRun) damaged(how string) error {
	return fmt.Errorf("comparing keys: %s was changed after it was written: %s: restore its version %q", f.file.Key, how, f.file.VersionID)
}

// Set is the digests of a small file, in memory: 16 bytes each.
type Set struct{ digests []Digest }

// maxSet bounds a Set: 16 million digests, 256 MiB.
const maxSet = 16 << 20

// Load reads a whole file.
func Load(ctx context.Context, bucket *objects.Bucket, object manifest.Object) (Set, error) {
	if object.Bytes > maxSet*Size {
		return Set{}, fmt.Errorf("s3://%s/%s has %d keys, and %d are compared in memory: make the cursor's overlap smaller", bucket.Name(), object.Key, object.Bytes/Size, maxSet)
	}
	f, err := openFile(ctx, bucket, manifest.KeyFile{Object: object, Keys: object.Bytes / Size})
	if err != nil {
		return Set{}, err
	}
	defer f.body.Close()
	s := Set{digests: make([]Digest, 0, f.file.Keys)}
	for {
		d, err := f.next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return Set{}, err
		}
		s.digests = append(s.digests, d)
	}
}

// Has says whether a key is in the set.
func (s Set) Has(d Digest) bool { return has(s.digests, d) }

// Len is the number of keys.
func (s Set) Len() int { return len(s.digests) }
