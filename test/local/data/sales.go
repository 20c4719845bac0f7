package data

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// SilentShop is the shop whose tills have not delivered what they booked since SilentSince. Its rows come later, by LateSales.
const SilentShop = 3

// SilentSince is the first day that SilentShop has not delivered.
var SilentSince = time.Date(2025, time.December, 15, 0, 0, 0, 0, time.UTC)

// Sales gives the rows of dbo.Sales: what each shop sold of each item on each day, without those that SilentShop owes.
//
// A level of shop and item, a weekly rhythm, a season, promotions with lower prices, and days on which a whole shop does
// better or worse than usual. What is left is chance: a count with the mean that all of this makes.
func Sales() Table {
	return sales(Shops*Items*SaleDays-lateSales(), func(yield func([]any) bool) {
		for row := range ledger() {
			if !late(row) && !yield(row) {
				return
			}
		}
	})
}

// LateSales gives the rows that SilentShop owes.
func LateSales() Table {
	return sales(lateSales(), func(yield func([]any) bool) {
		for row := range ledger() {
			if late(row) && !yield(row) {
				return
			}
		}
	})
}

// NewSales gives what the shops from first to last sold on the n-th day after LastDay.
func NewSales(n, first, last int) Table {
	return sales((last-first+1)*Items, func(yield func([]any) bool) {
		for row := range saleRows(source(nextStream), LastDay.AddDate(0, 0, 1), n) {
			shop := int(row[1].(int64))
			if row[0].(time.Time).Equal(LastDay.AddDate(0, 0, n)) && shop >= first && shop <= last && !yield(row) {
				return
			}
		}
	})
}

func sales(count int, rows iter.Seq[[]any]) Table {
	return Table{
		Name:    "dbo.Sales",
		Columns: []string{"SaleDate", "ShopId", "ItemId", "Quantity", "Price", "Promo", "BookedAt"},
		Count:   count,
		Rows:    rows,
	}
}

// ledger draws the rows up to LastDay, those that come late too: so they are what they would have been.
func ledger() iter.Seq[[]any] {
	return saleRows(source(saleStream), LastDay.AddDate(0, 0, 1-SaleDays), SaleDays)
}

func late(row []any) bool {
	return row[1].(int64) == SilentShop && !row[0].(time.Time).Before(SilentSince)
}

func lateSales() int {
	return Items * int(LastDay.AddDate(0, 0, 1).Sub(SilentSince)/(24*time.Hour))
}

// item is what is constant about an item.
type item struct {
	level, price, elasticity float64
	season, phase            float64
	weekend                  float64
}

func assortment() (shops []float64, items []item) {
	r := source(saleStream << 32)
	for range Shops {
		shops = append(shops, logNormal(r, 1, .45))
	}
	for range Items {
		items = append(items, item{
			level:      logNormal(r, 9, .75),
			price:      math.Round(logNormal(r, 6, .8)*100)/100 + .99,
			elasticity: 1 + 1.4*r.Float64(),
			season:     .35 * r.Float64(),
			phase:      2 * math.Pi * r.Float64(),
			weekend:    .7 + 1.1*r.Float64(),
		})
	}
	return shops, items
}

// saleRows draws days of sales, a row for each shop and item.
func saleRows(r *rand.Rand, firstDay time.Time, days int) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		shops, items := assortment()
		mood := make([]float64, Shops)         // log of how good a shop's day is; one day is like the one before
		promo := make([][Items]int, Shops)     // days for which a promotion still runs
		depth := make([][Items]float64, Shops) // its share of the price
		row := make([]any, 7)
		for day := range days {
			date := firstDay.AddDate(0, 0, day)
			closed := date.Add(21 * time.Hour)
			for s := range shops {
				mood[s] = .7*mood[s] + .13*r.NormFloat64()
				for i, it := range items {
					if promo[s][i] > 0 {
						promo[s][i]--
					} else if chance(r, .012) {
						promo[s][i] = 3 + r.IntN(8)
						depth[s][i] = []float64{.9, .8, .7}[r.IntN(3)]
					}
					price, mean := it.price, shops[s]*it.level*math.Exp(mood[s])
					if promo[s][i] > 0 {
						price *= depth[s][i]
						mean *= 1.15 * math.Pow(depth[s][i], -it.elasticity)
					}
					switch date.Weekday() {
					case time.Saturday:
						mean *= it.weekend * 1.25
					case time.Sunday:
						mean *= it.weekend * .5
					case time.Friday:
						mean *= 1.15
					}
					mean *= 1 + it.season*math.Sin(2*math.Pi*float64(date.YearDay())/365+it.phase)
					mean *= logNormal(r, 1, .15)

					row[0], row[1], row[2] = date, int64(s+1), int64(i+1)
					row[3] = int64(poisson(r, mean))
					row[4] = amount(price, 2)
					row[5] = promo[s][i] > 0
					row[6] = closed.Add(time.Duration(r.Int64N(int64(time.Hour))).Truncate(100 * time.Nanosecond))
					if !yield(row) {
						return
					}
				}
			}
		}
	}
}
