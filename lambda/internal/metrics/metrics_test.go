package metrics

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/pipeline"
)

func TestWhatCanNotBeMeasuredIsSaid(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		sample        Sample
	}{
		{"no rows", "no rows", Sample{Task: pipeline.Binary}},
		{"one class", "only one class: each of its 3 labels is 0", Sample{Task: pipeline.Binary, Labels: []float64{0, 0, 0}, Candidate: []float64{.1, .2, .3}}},
		{"one row of a binary task", "only one class: each of its 1 labels is 1", Sample{Task: pipeline.Binary, Labels: []float64{1}, Candidate: []float64{.1}}},
		{"a label that is no class", "a label is 0.5", Sample{Task: pipeline.Binary, Labels: []float64{0, .5}, Candidate: []float64{.1, .2}}},
		{"scores that don't pair", "don't pair", Sample{Task: pipeline.Regression, Labels: []float64{1, 2}, Candidate: []float64{1}}},
		{"a champion's scores that don't pair", "don't pair", Sample{Task: pipeline.Regression, Labels: []float64{1}, Candidate: []float64{1}, Champion: []float64{}}},
		{"too many rows", "more than the 10000000", Sample{Task: pipeline.Regression, Labels: make([]float64, MaxRows+1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Measure(t.Context(), c.sample, 1); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

func TestAMetricWithoutAValueIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		sample Sample
		metric evaluation.Metric
		reason string
	}{
		{"log loss of margins", Sample{Task: pipeline.Binary, Labels: []float64{0, 1}, Candidate: []float64{-3, .5}}, evaluation.LogLoss, "no probability"},
		{"log loss of the champion's margins", Sample{Task: pipeline.Binary, Labels: []float64{0, 1}, Candidate: []float64{.1, .5}, Champion: []float64{0, 3}}, evaluation.LogLoss, "of the model in service: "},
		{"WAPE of labels that are 0", Sample{Task: pipeline.Regression, Labels: []float64{0, 0}, Candidate: []float64{1, 2}}, evaluation.WAPE, "all 0"},
		{"WAPE of answers that are right and 0", Sample{Task: pipeline.Regression, Labels: []float64{0}, Candidate: []float64{0}}, evaluation.WAPE, "all 0"},
		{"RMSE of numbers whose squares are none", Sample{Task: pipeline.Regression, Labels: []float64{1e300, 1}, Candidate: []float64{0, 1}}, evaluation.RMSE, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Measure(t.Context(), c.sample, 1)
			if err != nil {
				t.Fatal(err)
			}
			_, ofCandidate := m.Candidate[c.metric]
			_, ofChampion := m.Champion[c.metric]
			if ofCandidate && (c.sample.Champion == nil || ofChampion) || !strings.Contains(m.Undefined[c.metric], c.reason) || len(m.Undefined) != 1 {
				t.Fatalf("got %+v", m)
			}
			if _, there := m.Differences[c.metric]; there {
				t.Fatal("it has a difference")
			}
		})
	}
}

// sample has a champion that knows less than the candidate.
func sample(rows int) Sample {
	random := rand.New(rand.NewPCG(3, 4))
	s := Sample{Task: pipeline.Binary, Threshold: .5}
	for range rows {
		label := float64(random.IntN(2))
		s.Labels = append(s.Labels, label)
		signal := label + random.NormFloat64()
		s.Candidate = append(s.Candidate, 1/(1+math.Exp(-2*signal+1)))
		s.Champion = append(s.Champion, 1/(1+math.Exp(-2*(signal+.3*random.NormFloat64())+1)))
	}
	return s
}

func TestTheSameSampleAndSeedGiveTheSame(t *testing.T) {
	s := sample(2_000)
	first, err := Measure(t.Context(), s, 42)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.GOMAXPROCS(1)
	again, err := Measure(t.Context(), s, 42)
	runtime.GOMAXPROCS(before)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Fatalf("on one processor it is another: %+v, %v", again, err)
	}
	other, err := Measure(t.Context(), s, 43)
	if err != nil || first.Candidate[evaluation.AUC].Low == other.Candidate[evaluation.AUC].Low || first.Candidate[evaluation.AUC].Value != other.Candidate[evaluation.AUC].Value {
		t.Fatalf("with another seed only the interval is another: %+v, %v", other, err)
	}
	if r := first.Resampling; r.Resamples != 1000 || r.Level != .95 || r.Seed != 42 {
		t.Fatalf("got %+v", r)
	}
}

// What pairing is for: the two models' values swing with the rows that are drawn, their difference much less.
func TestADifferenceIsKnownBetterThanItsSides(t *testing.T) {
	m, err := Measure(t.Context(), sample(3_000), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range evaluation.Metrics(pipeline.Binary) {
		candidate, champion, difference := m.Candidate[metric], m.Champion[metric], m.Differences[metric]
		if difference.Value != candidate.Value-champion.Value {
			t.Errorf("%s: %v is not %v less %v", metric, difference.Value, candidate.Value, champion.Value)
		}
		if width := difference.High - difference.Low; width <= 0 || width > .7*(candidate.High-candidate.Low) {
			t.Errorf("%s: the difference is within %v, the candidate within %v", metric, width, candidate.High-candidate.Low)
		}
		if (difference.Low > 0) != metric.HigherIsBetter() {
			t.Errorf("%s: the champion knows less, and the difference is %+v", metric, difference)
		}
	}
}

// A model that is compared with itself differs by nothing, whatever the order of its rows.
func TestAModelIsAsGoodAsItself(t *testing.T) {
	s := sample(500)
	s.Champion = s.Candidate
	m, err := Measure(t.Context(), s, 1)
	if err != nil {
		t.Fatal(err)
	}
	for metric, difference := range m.Differences {
		if difference != (evaluation.Estimate{}) {
			t.Errorf("%s differs by %+v", metric, difference)
		}
	}
}

// Drawn block by block it is what drawing row by row is: as many as there are, and each row as often as any other, Poisson in the limit.
func TestEachRowIsDrawnAsOftenAsAnyOther(t *testing.T) {
	for _, rows := range []int{1, 5, drawBlock, drawBlock + 1, 3*drawBlock + 100} {
		counts, often := make([]uint8, rows), make([]float64, rows)
		const draws = 300
		var none float64
		for i := range draws {
			draw(counts, rand.NewPCG(7, uint64(i)))
			total := 0
			for row, n := range counts {
				total += int(n)
				often[row] += float64(n)
				if n == 0 {
					none++
				}
			}
			if total != rows {
				t.Fatalf("of %d rows %d were drawn", rows, total)
			}
		}
		var first, last float64 // blocks of the beginning and the end, the last one shorter than the others
		edge := min(100, rows)
		for i := range edge {
			first += often[i] / draws / float64(edge)
			last += often[rows-1-i] / draws / float64(edge)
		}
		if share := none / draws / float64(rows); rows > 1000 && (math.Abs(first-1) > .03 || math.Abs(last-1) > .03 || math.Abs(share-math.Exp(-1)) > .001) {
			t.Errorf("of %d rows the first are drawn %.3f times, the last %.3f, and %.4f of all not at all", rows, first, last, share)
		}
	}
}

func TestResamplesAreBoundedByTheRows(t *testing.T) {
	for rows, want := range map[int]int{1: 1000, 1_000_000: 1000, 2_000_000: 500, MaxRows: 200} {
		if got := resamples(rows); got != want {
			t.Errorf("%d rows are drawn %d times, want %d", rows, got, want)
		}
	}
}

func TestAnIntervalOfOneRowIsItsValue(t *testing.T) {
	m, err := Measure(t.Context(), Sample{Task: pipeline.Regression, Labels: []float64{2}, Candidate: []float64{5}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Candidate[evaluation.MAE]; got != (evaluation.Estimate{Value: 3, Low: 3, High: 3}) {
		t.Fatalf("got %+v", got)
	}
}

func TestMeasuringEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := Measure(ctx, sample(100), 1); !errors.Is(err, enough) {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkAMillionRowsOfTwoModels(b *testing.B) {
	s := sample(1_000_000)
	for b.Loop() {
		if _, err := Measure(b.Context(), s, 1); err != nil {
			b.Fatal(err)
		}
	}
}
