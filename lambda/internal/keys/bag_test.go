package keys_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/internal/keys"
	"sagemaker-datapipeline/lambda/manifest"
)

// bag writes the files of some values.
func (p *place) bag(values ...string) []manifest.KeyFile {
	p.t.Helper()
	p.made++
	b := keys.NewBag(p.t.Context(), p.bucket, p.key, fmt.Sprintf("bag-%d", p.made))
	for _, v := range values {
		if err := b.Add(keys.Of([]byte(v))); err != nil {
			p.t.Fatal(err)
		}
	}
	files, err := b.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

func (p *place) once(files []manifest.KeyFile) int64 {
	p.t.Helper()
	n, err := keys.Once(p.t.Context(), p.bucket, files, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func TestWhatComesOnceIsCountedInWhateverPiecesItComes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := newPlace(t)
		values := rapid.SliceOf(rapid.IntRange(0, 20)).Draw(r, "values")
		pieces := make([][]string, rapid.IntRange(1, 80).Draw(r, "pieces"))
		times := map[int]int{}
		for _, v := range values {
			times[v]++
			at := rapid.IntRange(0, len(pieces)-1).Draw(r, "piece")
			pieces[at] = append(pieces[at], fmt.Sprint(v))
		}
		var files []manifest.KeyFile
		for _, piece := range pieces {
			files = append(files, p.bag(piece...)...)
		}
		var want int64
		for _, n := range times {
			if n == 1 {
				want++
			}
		}
		if got := p.once(files); got != want {
			r.Fatalf("got %d, want %d", got, want)
		}
	})
}

func TestALargeBagIsSpilledAndASmallOneWithRepeatsIsNot(t *testing.T) {
	p := newPlace(t)
	large := p.bag(append(numbers(0, 700_000), numbers(699_990, 700_000)...)...)
	if len(large) < 3 || p.once(large) != 699_990 {
		t.Fatalf("%d files, %d come once", len(large), p.once(large))
	}
	var few []string
	for n := range 1_000_000 {
		few = append(few, fmt.Sprint(n%1000))
	}
	if small := p.bag(few...); len(small) != 1 || small[0].Keys != 2000 || p.once(small) != 0 {
		t.Fatalf("got %+v", small)
	}
	// Of more files than are open at a time, some are merged first.
	var many []manifest.KeyFile
	for n := range 200 {
		many = append(many, p.bag(fmt.Sprint(n), fmt.Sprint(n+1))...)
	}
	if got := p.once(many); got != 2 {
		t.Fatalf("%d come once", got)
	}
	if files := p.bag(); files != nil || p.once(nil) != 0 {
		t.Fatalf("got %v of nothing", files)
	}
}

func TestABagThatWasChangedIsNoticed(t *testing.T) {
	p := newPlace(t)
	files := p.bag(numbers(0, 10)...)
	files[0].SHA256 = strings.Repeat("0", 64)
	if _, err := keys.Once(t.Context(), p.bucket, files, p.key); err == nil || !strings.Contains(err.Error(), "was changed after it was written") {
		t.Fatalf("got %v", err)
	}
}
