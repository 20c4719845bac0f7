// Package data holds the shop whose three tables the local environment fills: transactions, customers and sales.
//
// Everything is drawn from seeded generators, so that two runs see the same rows, and from a model of what happens in such
// a shop, so that there is something to learn and something that can't be learned: chargebacks of customers who did buy,
// contented customers who leave, days on which nobody comes. The calendar is fixed too: the data ends with LastDay,
// whatever the day on which it is generated.
package data

import (
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// LastDay is the last day that the generated tables hold, a Sunday.
var LastDay = time.Date(2026, time.January, 4, 0, 0, 0, 0, time.UTC)

// How much there is. How many sales follows from the calendar: Shops × Items × SaleDays.
const (
	// TransactionDays is the number of days of transactions before LastDay, that day included.
	TransactionDays = 180
	// TransactionsPerDay makes 225,000 rows in all; queries/fraud.sql leaves out the last two weeks, and more than 200,000
	// remain.
	TransactionsPerDay = 1_250
	// CustomerCount is the number of rows of dbo.Customers.
	CustomerCount = 20_000
	// Shops, Items and SaleDays make 100,000 sales, of which 1,050 come late.
	Shops    = 10
	Items    = 50
	SaleDays = 200
)

// Table is one table's name, columns and rows.
type Table struct {
	// Name has two parts: dbo.Sales.
	Name    string
	Columns []string
	// Count is the number of rows that Rows yields.
	Count int
	// Rows yields the rows in the order of the primary key. The slice is reused: it holds its values until the next row.
	Rows iter.Seq[[]any]
}

// Tables gives the three tables.
func Tables() []Table {
	return []Table{Transactions(), Customers(), Sales()}
}

// source gives the random numbers of one stream. Each table, and each day that is added later, has a stream of its own,
// so that a change to one leaves the others as they were.
func source(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(20260105, stream))
}

// The streams.
const (
	transactionStream uint64 = iota + 1
	customerStream
	saleStream
	nextStream
)

// pick draws an index with the given weights.
func pick(r *rand.Rand, weights ...float64) int {
	var sum float64
	for _, w := range weights {
		sum += w
	}
	x := r.Float64() * sum
	for i, w := range weights {
		if x < w {
			return i
		}
		x -= w
	}
	return len(weights) - 1
}

// chance is true with probability p.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// logNormal draws around the median.
func logNormal(r *rand.Rand, median, sigma float64) float64 {
	return median * math.Exp(sigma*r.NormFloat64())
}

// poisson draws a count by Knuth's method, and by the normal approximation where that would take long.
func poisson(r *rand.Rand, mean float64) int {
	if mean > 60 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	limit, p, n := math.Exp(-mean), 1.0, 0
	for {
		p *= r.Float64()
		if p <= limit {
			return n
		}
		n++
	}
}

// logistic maps a log-odds to a probability.
func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// amount writes a number with the digits of its column. Text, because the driver's bulk copy takes money and decimals
// exactly only as text.
func amount(x float64, digits int) string {
	return strconv.FormatFloat(x, 'f', digits, 64)
}
