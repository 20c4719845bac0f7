package data

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// Customers gives the rows of dbo.Customers: about one in seven has left.
//
// Two things that no table holds decide it, how much somebody uses the service and how content they are. Logins, tickets and
// NPS answers show them through noise; price, discount, failed payments and automatic renewal add their part.
func Customers() Table {
	return Table{
		Name: "dbo.Customers",
		Columns: []string{
			"CustomerId", "Name", "Email", "SignedUpOn", "Segment", "MonthlyFee", "TenureMonths", "SupportTickets90d",
			"LoginsLast30d", "LastLoginAt", "NpsScore", "PaymentFailures", "DiscountPct", "AutoRenew", "Churned",
		},
		Count: CustomerCount,
		Rows: func(yield func([]any) bool) {
			for row := range customerRows(source(customerStream), 1, CustomerCount, LastDay) {
				if !yield(row) {
					return
				}
			}
		},
	}
}

var (
	segments   = []string{"basic", "plus", "pro", "business"}
	fees       = []float64{9.99, 19.99, 39.99, 89}
	firstNames = []string{"Anna", "Łukasz", "Jürgen", "Zoë", "Amélie", "Søren", "Maria", "Ibrahim", "Ngọc", "John", "Chloé", "Björn"}
	lastNames  = []string{"Müller", "Nowak", "García", "Schmidt", "Østergaard", "Dubois", "Rossi", "Yılmaz", "Nguyễn", "Smith", "Kovács", "de Vries"}
)

// customerRows draws customers as they are on the evening of a day, numbered from first.
func customerRows(r *rand.Rand, first, count int, day time.Time) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		row := make([]any, 15)
		for i := range count {
			usage, content := r.NormFloat64(), r.NormFloat64()
			segment := pick(r, 45, 30, 18, 7)
			tenure := min(150, 1+int(r.ExpFloat64()*26))
			discount := []float64{0, 5, 10, 12.5, 20}[pick(r, 60, 12, 14, 8, 6)]
			fee := fees[segment] * (1 - discount/100)
			renew := chance(r, .72)
			failures := poisson(r, .25)
			tickets := min(255, poisson(r, math.Exp(-.4-.75*content)))
			logins := poisson(r, math.Exp(1.9+.8*usage))

			odds := -2.7 - 1.25*usage - 1.15*content - .022*float64(min(tenure, 60)) +
				.5*float64(failures) + .012*(fee-20) - .035*discount
			if !renew {
				odds += 1.25
			}

			id := first + i
			name, family := firstNames[r.IntN(len(firstNames))], lastNames[r.IntN(len(lastNames))]
			row[0] = int64(id)
			row[1] = name + " " + family
			row[2] = fmt.Sprintf("customer.%d@example.com", id)
			row[3] = day.AddDate(0, -tenure, -r.IntN(28))
			row[4] = segments[segment]
			row[5] = amount(fee, 4)
			row[6] = int64(tenure)
			row[7] = int64(tickets)
			row[8] = int64(logins)
			row[9] = nil
			if silent := r.ExpFloat64() * 14 * math.Exp(-.8*usage); logins > 0 || silent < 300 {
				if logins > 0 {
					silent = math.Mod(silent, 30)
				} else {
					silent += 30
				}
				// To the millisecond; the column then rounds to 1/300 s.
				row[9] = day.Add(22*time.Hour - time.Duration(silent*24*float64(time.Hour))).Truncate(time.Millisecond)
			}
			row[10] = nil
			if chance(r, .42) {
				row[10] = int64(min(10, max(0, int(math.Round(6.8+2.1*content+1.2*r.NormFloat64())))))
			}
			row[11] = int64(failures)
			row[12] = discount
			row[13] = renew
			row[14] = chance(r, logistic(odds))
			if !yield(row) {
				return
			}
		}
	}
}
