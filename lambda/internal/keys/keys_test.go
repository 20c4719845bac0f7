package keys_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/internal/keys"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
)

// place is a bucket and the names in it.
type place struct {
	t      testing.TB
	store  *memory.S3
	bucket *objects.Bucket
	made   int
}

func newPlace(t testing.TB) *place {
	store := memory.New()
	return &place{t: t, store: store, bucket: objects.NewBucket(store.Client(), "data", "", 1)}
}

func (p *place) key(name string) string {
	return manifest.KeysKey("orders", "20260101t020000z", "a1", name)
}

// file writes the keys of some rows.
func (p *place) file(rows ...string) (*manifest.KeyFile, error) {
	p.made++
	w := keys.NewWriter(p.t.Context(), p.bucket, p.key, fmt.Sprintf("part-%d", p.made))
	for _, row := range rows {
		if err := w.Add(keys.Of([]byte(row))); err != nil {
			return nil, err
		}
	}
	return w.Close()
}

func (p *place) mustFile(rows ...string) manifest.KeyFile {
	p.t.Helper()
	f, err := p.file(rows...)
	if err != nil || f == nil {
		p.t.Fatalf("got %v, %v", f, err)
	}
	return *f
}

// numbers are the keys from one number to before another.
func numbers(from, to int) []string {
	all := make([]string, 0, to-from)
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return all
}

func TestAFileHoldsEachKeyOnce(t *testing.T) {
	p := newPlace(t)
	f := p.mustFile(numbers(0, 200_000)...)
	set, err := keys.Load(t.Context(), p.bucket, f.Object)
	if err != nil || f.Keys != 200_000 || set.Len() != 200_000 {
		t.Fatalf("got %d keys, %v", set.Len(), err)
	}
	for n := range 200_100 {
		if has := set.Has(keys.Of(fmt.Append(nil, n))); has != (n < 200_000) {
			t.Fatalf("key %d: %v", n, has)
		}
	}
	if none, err := p.file(); err != nil || none != nil {
		t.Fatalf("no keys gave %v, %v", none, err)
	}
}

func TestAKeyThatComesTwiceIsFound(t *testing.T) {
	for _, c := range []struct {
		name string
		find func(p *place) error
		in   string
	}{
		{"in a segment", func(p *place) error {
			_, err := p.file("a", "b", "a")
			return err
		}, "among the rows that are being read"},
		{"in a segment, far apart", func(p *place) error {
			_, err := p.file(append(numbers(0, 300_000), "7")...)
			return err
		}, "among the rows that are being read"},
		{"in two segments", func(p *place) error {
			_, err := keys.Merge(p.t.Context(), p.bucket, []manifest.KeyFile{p.mustFile("a", "b"), p.mustFile("c", "b")}, p.key("m"))
			return err
		}, " and in "},
		{"in two of a hundred segments", func(p *place) error {
			var all []manifest.KeyFile
			for n := range 100 {
				all = append(all, p.mustFile(fmt.Sprint(n%99)))
			}
			_, err := keys.Merge(p.t.Context(), p.bucket, all, p.key("m"))
			return err
		}, " and in "},
		{"in the generation, in a file that is merged", func(p *place) error {
			_, err := keys.Grow(p.t.Context(), p.bucket, []manifest.KeyFile{p.mustFile("a")}, []manifest.KeyFile{p.mustFile("b", "a")}, p.key)
			return err
		}, "part-1"},
		{"in the generation, in a larger file", func(p *place) error {
			_, err := keys.Grow(p.t.Context(), p.bucket, []manifest.KeyFile{p.mustFile(numbers(0, 50)...)}, []manifest.KeyFile{p.mustFile("60", "49")}, p.key)
			return err
		}, "part-1"},
		{"in the generation, in a file that is too large to be read", func(p *place) error {
			_, err := keys.Grow(p.t.Context(), p.bucket, []manifest.KeyFile{p.mustFile(numbers(0, 300_000)...)}, []manifest.KeyFile{p.mustFile("x", "y", "123456")}, p.key)
			return err
		}, "part-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.find(newPlace(t))
			d, ok := errors.AsType[*keys.DuplicateError](err)
			if !ok || !strings.Contains(err.Error(), c.in) || !strings.Contains(err.Error(), d.Digest.String()) {
				t.Fatalf("got %v, want a duplicate %s", err, c.in)
			}
		})
	}
}

// More than a writer holds goes through files of its own.
func TestAWriterHoldsSoMuchAndNoMore(t *testing.T) {
	const rows = 5_000_000
	p := newPlace(t)
	w := keys.NewWriter(t.Context(), p.bucket, p.key, "large")
	for n := range uint64(rows) {
		if err := w.Add(keys.Of(fmt.Append(nil, n))); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.Close()
	if err != nil || f.Keys != rows || f.Key != p.key("large") || f.Bytes != rows*keys.Size {
		t.Fatalf("got %+v, %v", f, err)
	}
	if made := p.store.Keys(""); len(made) != 3 {
		t.Fatalf("it made %v", made)
	}
}

// Whatever is added, the files hold exactly it, stay few, and are never changed; and whatever is added again is found.
func TestAGenerationGrows(t *testing.T) {
	p := newPlace(t)
	histories := 0
	rapid.Check(t, func(r *rapid.T) {
		histories++
		var files []manifest.KeyFile
		next, written := 0, int64(0)
		for n := range rapid.IntRange(1, 40).Draw(r, "runs") {
			var added []manifest.KeyFile
			for range rapid.IntRange(0, 3).Draw(r, "segments") {
				rows := rapid.IntRange(1, 60).Draw(r, "rows")
				added = append(added, p.mustFile(numbers(next, next+rows)...))
				next += rows
			}
			before := p.store.Keys(fmt.Sprintf("%d/", histories))
			name := func(s string) string { return fmt.Sprintf("%d/run-%d-%s", histories, n, s) }
			if next > 0 && len(added) > 0 && rapid.IntRange(0, 4).Draw(r, "again") == 0 {
				again := p.mustFile(fmt.Sprint(rapid.IntRange(0, next-1).Draw(r, "key")))
				_, err := keys.Grow(t.Context(), p.bucket, files, append(slices.Clone(added), again), func(s string) string { return fmt.Sprintf("%d/refused-%d-%s", histories, n, s) })
				if _, ok := errors.AsType[*keys.DuplicateError](err); !ok {
					r.Fatalf("a key of before gave %v", err)
				}
			}
			grown, err := keys.Grow(t.Context(), p.bucket, files, added, name)
			if err != nil {
				r.Fatal(err)
			}
			for _, key := range before {
				if p.store.Versions(key) != 1 {
					r.Fatalf("%s was changed", key)
				}
			}
			for _, f := range grown {
				if !slices.Contains(files, f) && !slices.Contains(added, f) {
					written += f.Keys
				}
			}
			files = grown
			var sum int64
			for i, f := range slices.Backward(files) {
				if f.Keys <= sum {
					r.Fatalf("file %d has %d keys, and those that are smaller %d", i, f.Keys, sum)
				}
				sum += f.Keys
			}
			if sum != int64(next) {
				r.Fatalf("the files hold %d of %d keys", sum, next)
			}
			for _, f := range files {
				if _, err := keys.Load(t.Context(), p.bucket, f.Object); err != nil {
					r.Fatal(err)
				}
			}
		}
		doublings := int64(1)
		for n := next; n > 0; n /= 2 {
			doublings++
		}
		if written > int64(next)*doublings {
			r.Fatalf("%d keys were written %d times in all", next, written)
		}
	})
}

// A key that isn't there is looked for in few blocks, wherever its place would be.
func TestALargeFileIsNotReadWhole(t *testing.T) {
	p := newPlace(t)
	large := p.mustFile(numbers(0, 2_000_000)...)
	for n := range 20 {
		fresh := p.mustFile(fmt.Sprint("new ", n))
		client := p.store.Client()
		got, err := keys.Grow(t.Context(), objects.NewBucket(client, "data", "", 1), []manifest.KeyFile{large}, []manifest.KeyFile{fresh}, p.key)
		if err != nil || !slices.Equal(got, []manifest.KeyFile{large, fresh}) {
			t.Fatalf("got %v, %v", got, err)
		}
		if calls := client.Calls(); len(calls) > 4 {
			t.Fatalf("looking for one key took %d calls", len(calls))
		}
	}
}

func TestFilesThatWereChangedAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(p *place, f *manifest.KeyFile)
	}{
		{"another hash", "was changed after it was written", func(_ *place, f *manifest.KeyFile) { f.SHA256 = strings.Repeat("0", 64) }},
		{"fewer keys", "was changed after it was written", func(_ *place, f *manifest.KeyFile) { f.Keys--; f.Bytes -= keys.Size }},
		{"half a key", "is said to have 4 keys", func(_ *place, f *manifest.KeyFile) { f.Keys++ }},
		{"another version", "no such object", func(_ *place, f *manifest.KeyFile) { f.VersionID = "none" }},
		{"in another order", "not in ascending order", func(p *place, f *manifest.KeyFile) {
			o, err := p.bucket.Put(p.t.Context(), f.Key, "", []byte(strings.Repeat("b", 16)+strings.Repeat("a", 16)+strings.Repeat("c", 16)))
			if err != nil {
				p.t.Fatal(err)
			}
			f.Object = o
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			f := p.mustFile("a", "b", "c")
			c.change(p, &f)
			_, err := keys.Merge(t.Context(), p.bucket, []manifest.KeyFile{f, p.mustFile("d")}, p.key("m"))
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
			if _, err := keys.Load(t.Context(), p.bucket, f.Object); err == nil && c.name != "half a key" {
				t.Fatal("it was read into memory")
			}
		})
	}
}

// A fault at any call gives the whole result or an error, and what was there stays.
func TestGrowingUnderFaults(t *testing.T) {
	for _, fault := range memory.Faults {
		t.Run(fault.String(), func(t *testing.T) {
			for n := 0; ; n++ {
				p := newPlace(t)
				generation := []manifest.KeyFile{p.mustFile(numbers(0, 40_000)...), p.mustFile("x", "y")}
				added := []manifest.KeyFile{p.mustFile("a"), p.mustFile("b"), p.mustFile("c")}
				client := p.store.Client()
				client.Order(n, fault)
				got, err := keys.Grow(t.Context(), objects.NewBucket(client, "data", "", 1), generation, added, p.key)
				if err == nil && (len(got) != 2 || got[0] != generation[0] || got[1].Keys != 5) {
					t.Fatalf("fault at call %d: got %v", n, got)
				}
				if fault == memory.CutBody && err != nil {
					t.Fatalf("fault at call %d: %v", n, err)
				}
				if n >= len(client.Calls()) {
					return
				}
			}
		})
	}
}

// A run of ten million keys is written, one of five million is compared with it, and one of ten million merged: seconds, and the most memory
// beside the bucket's content.
func BenchmarkTenMillionKeys(b *testing.B) {
	const rows = 10_000_000
	for b.Loop() {
		p := newPlace(b)
		random := rand.New(rand.NewPCG(1, 2))
		write := func(name string, rows int) *manifest.KeyFile {
			w := keys.NewWriter(b.Context(), p.bucket, p.key, name)
			var text []byte
			for range rows {
				text = strconv.AppendUint(text[:0], random.Uint64(), 10)
				if err := w.Add(keys.Of(text)); err != nil {
					b.Fatal(err)
				}
			}
			f, err := w.Close()
			if err != nil {
				b.Fatal(err)
			}
			return f
		}
		var first *manifest.KeyFile
		measure(b, p, "write", func() { first = write("first", rows) })
		second, third := write("second", rows/2), write("third", rows)
		add := func(file *manifest.KeyFile, want int) {
			files, err := keys.Grow(b.Context(), p.bucket, []manifest.KeyFile{*first}, []manifest.KeyFile{*file}, p.key)
			if err != nil || len(files) != want {
				b.Fatal(files, err)
			}
		}
		measure(b, p, "compare", func() { add(second, 2) })
		began := time.Now()
		add(third, 1) // what the bucket in memory holds of it while it puts the parts together is more than the rest
		b.ReportMetric(time.Since(began).Seconds(), "s/merge")
	}
}

// measure reports how long something took, and the most memory that it held beside the bucket's content.
func measure(b *testing.B, p *place, what string, do func()) {
	b.Helper()
	const heap = "/memory/classes/heap/objects:bytes"
	sample := []metrics.Sample{{Name: heap}}
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			select {
			case <-stop:
				done <- most
				return
			case <-time.After(20 * time.Millisecond):
				runtime.GC() // what is counted is what is held, not what is left
				metrics.Read(sample)
				most = max(most, int64(sample[0].Value.Uint64())-p.store.Bytes())
			}
		}
	}()
	began := time.Now()
	do()
	b.ReportMetric(time.Since(began).Seconds(), "s/"+what)
	close(stop)
	b.ReportMetric(float64(<-done)/(1<<20), "MiB/"+what)
}
