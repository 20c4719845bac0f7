// Package exact adds numbers without rounding, so that a sum doesn't depend on the order of its parts.
//
// A sum of floats that is rounded at each step differs by the order of the rows, and so by how they were dealt to partitions: the same data could be
// accepted in one run and rejected in the next. Here a sum is kept whole, as fixed-point numbers of 32 bits a piece that reach from the square of
// the smallest float64 to that of the largest (an idea of Kulisch's: a long accumulator).
package exact

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

const (
	// bias is the power of two that the lowest bit stands for, negated. The square of the smallest float64 is 2^-2148.
	bias = 68 * 32
	// limbs reach above the square of the largest, 2^2048, times as many rows as there can be.
	limbs = 136
	// carryAfter is after how many additions limbs are normalised: each adds less than 2^32, and they hold 2^63.
	carryAfter = 1 << 29
	// smallBits bounds the integers that are gathered in one word first: smallCount squares of them fit into it.
	smallBits, smallCount = 24, 1 << 14
)

// Moments gathers the sum of numbers and that of their squares. The zero value is empty. It is for one goroutine.
type Moments struct {
	sum, squares accumulator

	smallSum     int64
	smallSquares uint64
	small        int
}

// Int adds an integer.
func (m *Moments) Int(v int64) {
	if uint64(v+1<<smallBits) > 2<<smallBits {
		m.wide(v < 0, 0, magnitude(v))
		return
	}
	m.smallSum += v
	m.smallSquares += uint64(v * v)
	if m.small++; m.small == smallCount {
		m.flush()
	}
}

func (m *Moments) flush() {
	m.sum.add(m.smallSum < 0, magnitude(m.smallSum), 0)
	m.squares.add(false, m.smallSquares, 0)
	m.smallSum, m.smallSquares, m.small = 0, 0, 0
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// Wide adds an integer of 128 bits in two's complement.
func (m *Moments) Wide(high int64, low uint64) {
	if high == int64(low)>>63 {
		m.Int(int64(low))
		return
	}
	negative, h, l := high < 0, uint64(high), low
	if negative {
		var borrow uint64
		l, borrow = bits.Sub64(0, l, 0)
		h, _ = bits.Sub64(0, h, borrow)
	}
	m.wide(negative, h, l)
}

func (m *Moments) wide(negative bool, high, low uint64) {
	m.sum.add(negative, low, 0)
	m.sum.add(negative, high, 64)
	m.product(low, low, 0)
	if high != 0 {
		m.product(high, low, 65)
		m.product(high, high, 128)
	}
}

// product adds a·b·2^exponent to the squares.
func (m *Moments) product(a, b uint64, exponent int) {
	high, low := bits.Mul64(a, b)
	m.squares.add(false, low, exponent)
	m.squares.add(false, high, exponent+64)
}

// Float adds a finite float64.
func (m *Moments) Float(f float64) {
	b := math.Float64bits(f)
	mantissa, exponent := b&(1<<52-1), int(b>>52)&0x7ff
	if exponent == 0 {
		exponent = 1
	} else {
		mantissa |= 1 << 52
	}
	exponent -= 1075
	m.sum.add(b>>63 != 0, mantissa, exponent)
	m.product(mantissa, mantissa, 2*exponent)
}

// Sums gives the sum of the numbers so far and that of their squares.
func (m *Moments) Sums() (sum, squares Sum) {
	m.flush()
	return m.sum.total(), m.squares.total()
}

// accumulator is a number of limbs of 32 bits each, the lowest first, which are normalised now and then.
type accumulator struct {
	limbs [limbs]int64
	adds  int
}

// add adds magnitude·2^exponent.
func (a *accumulator) add(negative bool, magnitude uint64, exponent int) {
	if magnitude == 0 {
		return
	}
	at := exponent + bias
	l, shift := a.limbs[at>>5:at>>5+3], uint(at&31)
	low, high := magnitude<<shift, magnitude>>1>>(63-shift)
	if negative {
		l[0] -= int64(low & math.MaxUint32)
		l[1] -= int64(low >> 32)
		l[2] -= int64(high)
	} else {
		l[0] += int64(low & math.MaxUint32)
		l[1] += int64(low >> 32)
		l[2] += int64(high)
	}
	if a.adds++; a.adds == carryAfter {
		a.carry()
	}
}

// carry leaves 32 bits in each limb but the highest, which has the sign.
func (a *accumulator) carry() {
	a.adds = 0
	var carry int64
	for i := range a.limbs[:limbs-1] {
		v := a.limbs[i] + carry
		a.limbs[i] = v & math.MaxUint32
		carry = v >> 32
	}
	a.limbs[limbs-1] += carry
}

func (a *accumulator) total() Sum {
	a.carry()
	v := big.NewInt(a.limbs[limbs-1])
	for i := limbs - 2; i >= 0; i-- {
		v.Lsh(v, 32)
		v.Or(v, big.NewInt(a.limbs[i]))
	}
	return normal(v, -bias)
}

// Sum is an exact number: an integer times a power of two. The zero value is 0.
type Sum struct {
	// mantissa is odd, or nil for 0.
	mantissa *big.Int
	exponent int
}

// normal gives v·2^exponent.
func normal(v *big.Int, exponent int) Sum {
	if v.Sign() == 0 {
		return Sum{}
	}
	zeros := v.TrailingZeroBits()
	return Sum{new(big.Int).Rsh(v, zeros), exponent + int(zeros)}
}

// IsZero says whether the sum is 0.
func (s Sum) IsZero() bool { return s.mantissa == nil }

// Add gives the sum of two sums.
func (s Sum) Add(o Sum) Sum {
	switch {
	case s.IsZero():
		return o
	case o.IsZero():
		return s
	case s.exponent < o.exponent:
		s, o = o, s
	}
	v := new(big.Int).Lsh(s.mantissa, uint(s.exponent-o.exponent))
	return normal(v.Add(v, o.mantissa), o.exponent)
}

// Rat gives the number.
func (s Sum) Rat() *big.Rat {
	r := new(big.Rat)
	if s.IsZero() {
		return r
	}
	r.SetInt(s.mantissa)
	power := new(big.Int).Lsh(big.NewInt(1), uint(max(s.exponent, -s.exponent)))
	if s.exponent < 0 {
		return r.Quo(r, new(big.Rat).SetInt(power))
	}
	return r.Mul(r, new(big.Rat).SetInt(power))
}

// MarshalText writes the mantissa in hexadecimal and the power of two: "-1fp-3".
func (s Sum) MarshalText() ([]byte, error) {
	if s.IsZero() {
		return []byte("0p0"), nil
	}
	return fmt.Appendf(nil, "%xp%d", s.mantissa, s.exponent), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *Sum) UnmarshalText(text []byte) error {
	mantissa, power, _ := strings.Cut(string(text), "p")
	v, ok := new(big.Int).SetString(mantissa, 16)
	exponent, err := strconv.Atoi(power)
	if !ok || err != nil || exponent < -bias || exponent+v.BitLen() > (limbs+1)*32-bias {
		return errors.New("it is not the text of an exact sum")
	}
	*s = normal(v, exponent)
	return nil
}
