package metrics

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/evaluation"
)

// Level is the part of the resamples that an interval holds: the middle 95 of 100.
const Level = 0.95

const (
	// mostResamples puts 25 of them beyond each bound of an interval.
	mostResamples = 1000
	// fewestResamples puts 5 of them there.
	fewestResamples = 200
	// mostDraws bounds the time of a large hold-out: a million rows are still drawn a thousand times, in some ten seconds of one processor.
	mostDraws = 1_000_000_000
)

// resamples is how many resamples a hold-out of n rows gets.
func resamples(n int) int {
	return max(fewestResamples, min(mostResamples, mostDraws/n))
}

// bootstrap measures resamples. Each has random numbers of its own, from the seed and its place, so the processors' number changes nothing.
func bootstrap(ctx context.Context, rows int, r evaluation.Resampling, measure func(counts []uint8) values) ([]values, error) {
	drawn := make([]values, r.Resamples)
	workers := min(runtime.GOMAXPROCS(0), r.Resamples)
	group, ctx := errgroup.WithContext(ctx)
	for worker := range workers {
		group.Go(func() error {
			counts := make([]uint8, rows)
			for i := worker; i < r.Resamples; i += workers {
				if err := context.Cause(ctx); err != nil {
					return fmt.Errorf("drawing resample %d of %d: %w", i+1, r.Resamples, err)
				}
				draw(counts, rand.NewPCG(r.Seed, uint64(i))) //nolint:gosec // statistics, no secret
				drawn[i] = measure(counts)
			}
			return nil
		})
	}
	return drawn, group.Wait()
}

// drawBlock is how many rows are drawn from at a time: their counts stay in a processor's nearest cache.
const drawBlock = 1 << 14

// draw draws as many rows as there are, with replacement, and counts how often each came: first how many come from each block, then which. That
// one comes more than 255 times happens to nobody.
func draw(counts []uint8, random *rand.PCG) {
	clear(counts)
	// The high half of the product is uniform below n, but for one part in 2^64/n.
	below := func(n int) uint64 {
		i, _ := bits.Mul64(random.Uint64(), uint64(n)) //nolint:gosec // a length
		return i
	}
	blocks := make([]int, (len(counts)+drawBlock-1)/drawBlock)
	if len(blocks) == 1 {
		blocks[0] = len(counts)
	} else {
		for range counts {
			blocks[below(len(counts))/drawBlock]++
		}
	}
	for i, n := range blocks {
		block := counts[i*drawBlock : min((i+1)*drawBlock, len(counts))]
		for range n {
			block[below(len(block))]++
		}
	}
}

// once counts each row once: the hold-out itself.
func once(rows int) []uint8 {
	counts := make([]uint8, rows)
	for i := range counts {
		counts[i] = 1
	}
	return counts
}

func column(drawn []values, of func(values) float64) []float64 {
	all := make([]float64, 0, len(drawn))
	for _, v := range drawn {
		// A resample of one class has no AUC, and one of labels that are 0 no WAPE: the interval is that of the others.
		if x := of(v); finite(x) {
			all = append(all, x)
		}
	}
	slices.Sort(all)
	return all
}

// interval puts the percentiles of the resamples, in ascending order, around a value.
func interval(value float64, ascending []float64) evaluation.Estimate {
	if len(ascending) == 0 {
		return evaluation.Estimate{Value: value, Low: value, High: value}
	}
	return evaluation.Estimate{Value: value, Low: quantile(ascending, (1-Level)/2), High: quantile(ascending, (1+Level)/2)}
}

// quantile is linear between the two nearest, as numpy's default.
func quantile(ascending []float64, q float64) float64 {
	at := q * float64(len(ascending)-1)
	below := int(math.Floor(at))
	above := min(below+1, len(ascending)-1)
	return ascending[below] + float64((at-float64(below))*(ascending[above]-ascending[below]))
}
