package exact_test

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/internal/exact"
)

// Whatever the numbers and in whatever pieces they are added, the sums are those of rational numbers.
func TestSumsAreExactInWhateverPiecesTheyAreAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		floats := rapid.SliceOf(rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) })).Draw(t, "floats")
		ints := rapid.SliceOf(rapid.Int64()).Draw(t, "ints")
		highs := rapid.SliceOf(rapid.Int64()).Draw(t, "highs")
		pieces := rapid.IntRange(1, 4).Draw(t, "pieces")
		sum, squares := new(big.Rat), new(big.Rat)
		count := func(r *big.Rat) {
			sum.Add(sum, r)
			squares.Add(squares, new(big.Rat).Mul(r, r))
		}
		parts := make([]exact.Moments, pieces)
		for i, f := range floats {
			parts[i%pieces].Float(f)
			count(new(big.Rat).SetFloat64(f))
		}
		for i, n := range ints {
			parts[i%pieces].Int(n)
			count(new(big.Rat).SetInt64(n))
		}
		for i, high := range highs {
			low := uint64(high) * 0x9E3779B97F4A7C15
			parts[i%pieces].Wide(high, low)
			wide := new(big.Int).Lsh(big.NewInt(high), 64)
			count(new(big.Rat).SetInt(wide.Add(wide, new(big.Int).SetUint64(low))))
		}
		var gotSum, gotSquares exact.Sum
		for i := range parts {
			s, q := parts[i].Sums()
			gotSum, gotSquares = gotSum.Add(again(t, s)), gotSquares.Add(again(t, q))
		}
		if gotSum.Rat().Cmp(sum) != 0 || gotSquares.Rat().Cmp(squares) != 0 {
			t.Fatalf("got %s and %s, want %s and %s", gotSum.Rat(), gotSquares.Rat(), sum, squares)
		}
	})
}

// again is a sum as it is read back from a record.
func again(t *rapid.T, s exact.Sum) exact.Sum {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back exact.Sum
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestManyAndLargeNumbers(t *testing.T) {
	var m exact.Moments
	for range 1 << 16 {
		m.Int(1 << 24)
		m.Int(-(1 << 24))
		m.Int(1)
	}
	for range 3 {
		m.Float(math.MaxFloat64)
		m.Float(-math.MaxFloat64)
		m.Float(math.SmallestNonzeroFloat64)
		m.Wide(math.MinInt64, 0)
		m.Wide(math.MaxInt64, math.MaxUint64)
	}
	sum, squares := m.Sums()
	if got, _ := sum.Rat().Float64(); got != 1<<16-3 {
		t.Errorf("the sum is %v", got)
	}
	if squares.Rat().Sign() <= 0 {
		t.Errorf("the squares are %v", squares.Rat())
	}
	var none exact.Moments
	if sum, squares := none.Sums(); !sum.IsZero() || !squares.IsZero() || sum.Rat().Sign() != 0 {
		t.Error("no numbers have a sum")
	}
}

func TestTextsThatAreNoSumAreRefused(t *testing.T) {
	for _, text := range []string{"", "p", "1", "1p", "xp0", "1p99999", "1p-99999", "1p4"} {
		var s exact.Sum
		if err := s.UnmarshalText([]byte(text)); (err == nil) != (text == "1p4") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func BenchmarkMoments(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var m exact.Moments
	b.Run("integers", func(b *testing.B) {
		n := r.Int64N(10_000)
		for b.Loop() {
			m.Int(n)
		}
	})
	b.Run("floats", func(b *testing.B) {
		f := r.Float64()
		for b.Loop() {
			m.Float(f)
		}
	})
}
