package data

import (
	"encoding/binary"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Transactions gives the rows of dbo.Transactions: about one in fifty is fraud.
//
// Fraud comes in kinds that a bank knows: tests of stolen card numbers with small amounts in quick succession, stolen
// cards used far from home, accounts taken over from an unknown device. One fraud in ten is a customer who disputes what
// they bought, and looks like everything else.
func Transactions() Table {
	return Table{
		Name: "dbo.Transactions",
		Columns: []string{
			"TransactionId", "CustomerId", "MerchantId", "OccurredAt", "Amount", "Currency", "Channel", "Country",
			"CardPresent", "MerchantCategory", "CustomerAgeDays", "DistanceKm", "AvgAmount30d", "TxLastHour", "DeviceId",
			"Note", "IsFraud",
		},
		Count: TransactionDays * TransactionsPerDay,
		Rows: func(yield func([]any) bool) {
			first := LastDay.AddDate(0, 0, 1-TransactionDays)
			for row := range transactionRows(source(transactionStream), first, TransactionDays, 1) {
				if !yield(row) {
					return
				}
			}
		},
	}
}

// bankCustomers is the number of card holders.
const bankCustomers = 20_000

// cardHolder is what is constant about a customer.
type cardHolder struct {
	country int
	usual   float64
	joined  int // days before LastDay
	device  uint64
}

// place is a country with its currency.
type place struct{ country, currency string }

var places = []place{
	{"DE", "EUR"}, {"AT", "EUR"}, {"CH", "CHF"}, {"FR", "EUR"}, {"NL", "EUR"}, {"IT", "EUR"}, {"ES", "EUR"}, {"PL", "PLN"},
	{"GB", "GBP"}, {"US", "USD"}, {"TR", "TRY"}, {"BR", "BRL"}, {"VN", "VND"},
}

var (
	channels = []string{"pos", "atm", "app", "web", "phone"}
	// categories are merchant category codes: groceries, fuel, restaurants, clothing, pharmacies, electronics, jewellery,
	// betting, cash.
	categories = []int{5411, 5541, 5812, 5651, 5912, 5732, 5944, 7995, 6011}
	notes      = []string{"Rückfrage beim Kunden", "réclamation en cours", "zwrot częściowy", "Beleg fehlt"}
	// activity is how busy an hour of the day is.
	activity = []float64{1, .6, .4, .3, .4, .8, 2, 4, 6, 7, 8, 9, 11, 9, 8, 8, 9, 11, 12, 10, 7, 5, 3, 2}
)

func cardHolders() []cardHolder {
	r := source(transactionStream << 32)
	holders := make([]cardHolder, bankCustomers)
	for i := range holders {
		holders[i] = cardHolder{
			country: pick(r, 70, 8, 5, 4, 4, 3, 3, 3),
			usual:   logNormal(r, 38, .55),
			joined:  20 + int(r.ExpFloat64()*900),
			device:  r.Uint64(),
		}
	}
	return holders
}

// transactionRows draws days of transactions, in the order of time, numbered from firstID.
func transactionRows(r *rand.Rand, firstDay time.Time, days int, firstID int64) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		holders := cardHolders()
		row := make([]any, 17)
		device := make([]byte, 16)
		times := make([]time.Duration, TransactionsPerDay)
		id := firstID
		for day := range days {
			date := firstDay.AddDate(0, 0, day)
			for i := range times {
				hour := pick(r, activity...)
				times[i] = time.Duration(hour)*time.Hour + time.Duration(r.Int64N(int64(time.Hour/time.Millisecond)))*time.Millisecond
			}
			slices.Sort(times)
			for _, at := range times {
				customer := r.IntN(len(holders))
				holder := holders[customer]
				t := drawTransaction(r, holder, int(at/time.Hour))
				row[0], row[1], row[2], row[3] = id, int64(customer+1), int64(t.merchant), date.Add(at)
				row[4], row[5], row[6] = amount(t.amount, 2), t.place.currency, channels[t.channel]
				row[7], row[8] = t.place.country, t.channel == pos || t.channel == atm
				row[9] = int64(categories[t.category])
				row[10] = int64(holder.joined) - int64(LastDay.Sub(date)/(24*time.Hour)) + TransactionDays
				row[11] = nil
				if t.distance >= 0 {
					row[11] = float64(float32(t.distance))
				}
				row[12] = amount(t.average, 4)
				row[13] = int64(t.lastHour)
				row[14] = nil
				if t.knownDevice {
					binary.BigEndian.PutUint64(device, holder.device)
					binary.BigEndian.PutUint64(device[8:], holder.device^0x5bd1e995)
					row[14] = device
				}
				row[15] = nil
				if chance(r, .03) {
					row[15] = notes[r.IntN(len(notes))]
				}
				row[16] = t.fraud
				if !yield(row) {
					return
				}
				id++
			}
		}
	}
}

// The indexes of channels.
const (
	pos = iota
	atm
	app
	web
	phone
)

// transaction is what differs from one to the next.
type transaction struct {
	fraud           bool
	amount, average float64
	channel         int
	place           place
	category        int
	merchant        int
	distance        float64 // km; negative: not known
	lastHour        int
	knownDevice     bool
}

func drawTransaction(r *rand.Rand, holder cardHolder, hour int) transaction {
	rate := .019
	if hour < 6 || hour == 23 {
		rate = .055
	}
	t := transaction{
		fraud:   chance(r, rate),
		average: math.Max(.01, logNormal(r, holder.usual, .15)),
	}
	if chance(r, .01) {
		t.average = 0 // a card's first month
	}
	kind := honest
	if t.fraud {
		kind = pick(r, 0, 34, 30, 26, 10)
	}
	switch kind {
	case cardTesting:
		t.channel = []int{web, app, phone}[pick(r, 70, 18, 12)]
		t.amount = 0.5 + r.ExpFloat64()*9
		t.category = pick(r, 3, 0, 2, 4, 2, 4, 1, 3, 0)
		t.place = placeOf(r, holder, .62)
		t.lastHour = poisson(r, 1.8)
		t.knownDevice = chance(r, .35)
		t.distance = -1
	case stolen:
		t.channel = []int{pos, atm, web}[pick(r, 58, 27, 15)]
		t.amount = logNormal(r, holder.usual*1.9, .85)
		t.category = pick(r, 10, 5, 8, 14, 4, 22, 14, 3, 20)
		t.place = placeOf(r, holder, .72)
		t.lastHour = poisson(r, .8)
		t.distance = logNormal(r, 45, 1.4)
	case takeover:
		t.channel = []int{app, web, phone}[pick(r, 45, 45, 10)]
		t.amount = logNormal(r, holder.usual*2.1, .8)
		t.category = pick(r, 6, 0, 5, 16, 3, 28, 10, 22, 10)
		t.place = placeOf(r, holder, .75)
		t.lastHour = poisson(r, .6)
		t.knownDevice = chance(r, .45)
		t.distance = -1
	default: // honest, and friendly fraud, which nobody can tell from it
		t.channel = pick(r, 55, 6, 15, 22, 2)
		t.amount = logNormal(r, holder.usual, .7)
		if chance(r, .04) {
			t.amount *= 2 + 8*r.Float64()
		}
		t.category = pick(r, 34, 13, 17, 12, 8, 6, 2, 3, 5)
		t.place = placeOf(r, holder, .91)
		t.lastHour = poisson(r, .22)
		t.knownDevice = chance(r, .86)
		t.distance = r.ExpFloat64() * 9
		if chance(r, .05) {
			t.distance = logNormal(r, 350, 1)
		}
	}
	if t.channel == atm {
		t.category = len(categories) - 1
		t.amount = math.Max(10, 10*math.Round(t.amount/10))
	}
	if t.channel != pos && t.channel != atm && !chance(r, .25) {
		t.distance = -1
	}
	if t.channel == pos || t.channel == atm {
		t.knownDevice = false
	}
	if t.lastHour > 255 {
		t.lastHour = 255
	}
	t.amount = math.Min(math.Max(t.amount, .5), 25_000)
	t.merchant = 1 + t.category*220 + r.IntN(220)
	return t
}

// The kinds of a transaction.
const (
	honest = iota
	cardTesting
	stolen
	takeover
	friendly
)

// placeOf is the customer's own country with probability home, and anywhere otherwise.
func placeOf(r *rand.Rand, holder cardHolder, home float64) place {
	if chance(r, home) {
		return places[holder.country]
	}
	return places[pick(r, 12, 8, 6, 12, 10, 12, 12, 6, 9, 8, 3, 1, 1)]
}
