package split

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/pipeline"
)

// The places were computed with Python's hmac and hashlib: int.from_bytes(hmac.digest(salt, key, "sha256")[:8], "big") / 2**64.
// A change here deals every row of every pipeline anew, and lets a model be judged on rows that it was trained on.
func TestTheDealIsStable(t *testing.T) {
	d := dealer(t, pipeline.Split{Train: 0.7, Validation: 0.2, Test: 0.1, Salt: "fraud"})
	for key, want := range map[string]string{
		"#\x00\x00\x00\x010":   "test",       // at 0.9826
		"#\x00\x00\x00\x011":   "validation", // at 0.8652
		"#\x00\x00\x00\x012":   "train",      // at 0.2627
		"#\x00\x00\x00\x013":   "validation", // at 0.7103
		"#\x00\x00\x00\x014":   "train",      // at 0.2250
		"#\x00\x00\x00\x015":   "train",      // at 0.4011
		"#\x00\x00\x00\x016":   "train",      // at 0.6222
		"#\x00\x00\x00\x017":   "validation", // at 0.7328
		"S\x00\x00\x00\x03abc": "train",      // at 0.4272
		"S\x00\x00\x00\x00":    "test",       // at 0.9318
		"N":                    "train",      // at 0.2606
	} {
		if got := Channels[d.Deal([]byte(key))]; got != want {
			t.Errorf("%q is dealt to %s, want %s", key, got, want)
		}
	}
}

func TestSharesAreChecked(t *testing.T) {
	for _, c := range []struct {
		name    string
		split   pipeline.Split
		problem string
	}{
		{"three shares", pipeline.Split{Train: 0.7, Validation: 0.2, Test: 0.1}, ""},
		{"train alone", pipeline.Split{Train: 1}, ""},
		{"shares that floats don't add up exactly", pipeline.Split{Train: 0.1, Validation: 0.2, Test: 0.7}, ""},
		{"too little", pipeline.Split{Train: 0.7, Validation: 0.2}, "add up to"},
		{"a negative share", pipeline.Split{Train: 1.1, Validation: -0.1}, "from 0 to 1"},
		{"nothing to train on", pipeline.Split{Validation: 1}, "nothing would be left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.split)
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

func TestSharesAreKept(t *testing.T) {
	d := dealer(t, pipeline.Split{Train: 0.8, Test: 0.2, Salt: "x"})
	counts := [len(Channels)]int{}
	const n = 100_000
	key := make([]byte, 4)
	for i := range n {
		key[0], key[1], key[2] = byte(i), byte(i>>8), byte(i>>16)
		counts[d.Deal(key)]++
	}
	// Four standard deviations of a binomial of 100,000 at 0.8.
	if counts[1] != 0 || counts[0] < 79_494 || counts[0] > 80_506 {
		t.Fatalf("of %d rows %v were dealt", n, counts)
	}
}

func TestARowStaysWhereItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.IntRange(1, 100).Draw(t, "train in percent")
		s := pipeline.Split{Train: float64(parts) / 100, Validation: float64(100-parts) / 100, Salt: rapid.String().Draw(t, "salt")}
		one, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		other, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		keys := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 1, 20).Draw(t, "keys")
		// The other dealer meets the keys in the opposite order.
		dealt := make([]int, len(keys))
		for i := len(keys) - 1; i >= 0; i-- {
			dealt[i] = other.Deal(keys[i])
		}
		for i, key := range keys {
			if got := one.Deal(key); got != dealt[i] || one.shares[got] == 0 {
				t.Fatalf("key %x went to %d and to %d", key, got, dealt[i])
			}
		}
	})
}

// A larger share of train takes rows over from the others and gives none away.
func TestALargerShareKeepsItsRows(t *testing.T) {
	small := dealer(t, pipeline.Split{Train: 0.6, Validation: 0.4, Salt: "s"})
	large := dealer(t, pipeline.Split{Train: 0.9, Validation: 0.1, Salt: "s"})
	for i := range 10_000 {
		key := []byte{byte(i), byte(i >> 8)}
		if small.Deal(key) == 0 && large.Deal(key) != 0 {
			t.Fatalf("key %d left train when its share grew", i)
		}
	}
}

func dealer(t *testing.T, s pipeline.Split) *Dealer {
	t.Helper()
	d, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
