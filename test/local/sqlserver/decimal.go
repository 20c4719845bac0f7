package sqlserver

import (
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// pow10 are the powers of ten that an int64 holds.
var pow10 = func() (p [19]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return
}()

// bigPow10 are the powers of ten up to what a product of two decimals needs.
var bigPow10 = func() (p [80]*big.Int) {
	p[0] = big.NewInt(1)
	for i := 1; i < len(p); i++ {
		p[i] = new(big.Int).Mul(p[i-1], big.NewInt(10))
	}
	return
}()

// wideBias is added to a decimal that is stored in 16 bytes, so that bytes compare as the numbers do.
var wideBias = new(big.Int).Lsh(big.NewInt(1), 127)

// decimalToStore gives the stored form of a decimal in units of 10^-scale, or an overflow.
func decimalToStore(v *big.Int, t sqlType) (any, error) {
	if v.CmpAbs(bigPow10[t.prec]) >= 0 {
		return nil, overflow(t.name())
	}
	if !t.wide() {
		return v.Int64(), nil
	}
	return wideBytes(v), nil
}

func wideBytes(v *big.Int) []byte {
	out := make([]byte, 16)
	new(big.Int).Add(v, wideBias).FillBytes(out)
	return out
}

func decimalFromBytes(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	return v.Sub(v, wideBias)
}

func decimalFromStore(v any) *big.Int {
	switch v := v.(type) {
	case int64:
		return big.NewInt(v)
	case []byte:
		return decimalFromBytes(v)
	case string:
		return decimalFromBytes([]byte(v))
	}
	return new(big.Int)
}

// wideFromInt is the stored 16 bytes of an int64.
func wideFromInt(v int64) [16]byte {
	hi := uint64(1) << 63
	if v < 0 {
		hi = 1<<63 - 1
	}
	return wideFromParts(hi, uint64(v))
}

func wideFromParts(hi, lo uint64) (b [16]byte) {
	putBE64(b[:], hi)
	putBE64(b[8:], lo)
	return
}

// wideProduct is the stored 16 bytes of the product of two int64, which is always below 2^126.
func wideProduct(a, b int64) [16]byte {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if (a < 0) != (b < 0) {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return wideFromParts(hi^1<<63, lo)
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return uint64(-v)
	}
	return uint64(v)
}

func be64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[7]) | uint64(b[6])<<8 | uint64(b[5])<<16 | uint64(b[4])<<24 |
		uint64(b[3])<<32 | uint64(b[2])<<40 | uint64(b[1])<<48 | uint64(b[0])<<56
}

func putBE64(b []byte, v uint64) {
	_ = b[7]
	for i := range 8 {
		b[i] = byte(v >> (56 - 8*i))
	}
}

// rescale changes the scale of a decimal. Digits that go are rounded half away from zero, or cut off.
func rescale(v *big.Int, from, to int, cut bool) *big.Int {
	switch {
	case from == to:
		return v
	case from < to:
		return new(big.Int).Mul(v, bigPow10[to-from])
	}
	if from-to >= len(bigPow10) {
		return new(big.Int)
	}
	d := bigPow10[from-to]
	q, r := new(big.Int).QuoRem(v, d, new(big.Int))
	if !cut {
		r.Abs(r).Lsh(r, 1)
		if r.Cmp(d) >= 0 {
			if v.Sign() < 0 {
				q.Sub(q, bigPow10[0])
			} else {
				q.Add(q, bigPow10[0])
			}
		}
	}
	return q
}

// formatDecimal writes a number of units of 10^-scale.
func formatDecimal(v *big.Int, scale int) string {
	s := v.String()
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	if scale > 0 {
		if len(s) <= scale {
			s = strings.Repeat("0", scale-len(s)+1) + s
		}
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if neg {
		s = "-" + s
	}
	return s
}

// parseDecimal reads a plain decimal number; it gives its digits as an integer and how many of them are fractional.
func parseDecimal(s string) (v *big.Int, scale int, ok bool) {
	s = strings.TrimSpace(s)
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	whole, frac, _ := strings.Cut(s, ".")
	digits := whole + frac
	if digits == "" || len(digits) > 200 {
		return nil, 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return nil, 0, false
		}
	}
	v, ok = new(big.Int).SetString(digits, 10)
	if !ok {
		return nil, 0, false
	}
	if neg {
		v.Neg(v)
	}
	return v, len(frac), true
}

// decimalToFloat is the nearest float64.
func decimalToFloat(v *big.Int, scale int) float64 {
	if v.IsInt64() && scale < len(pow10) && magnitude(v.Int64()) < 1<<53 {
		return float64(v.Int64()) / float64(pow10[scale])
	}
	f, _ := strconv.ParseFloat(formatDecimal(v, scale), 64)
	return f
}

// Result types of arithmetic on decimals.
// https://learn.microsoft.com/sql/t-sql/data-types/precision-scale-and-length-transact-sql
func decimalAddType(a, b sqlType) sqlType {
	s := max(int(a.scale), int(b.scale))
	whole := max(int(a.prec)-int(a.scale), int(b.prec)-int(b.scale))
	p := whole + s + 1
	if p > maxPrecision {
		s = min(s, max(maxPrecision-whole, 0))
		p = maxPrecision
	}
	return decimalType(p, s)
}

func decimalMulType(a, b sqlType) sqlType {
	return capDecimal(int(a.prec)+int(b.prec)+1, int(a.scale)+int(b.scale))
}

func decimalDivType(a, b sqlType) sqlType {
	s := max(6, int(a.scale)+int(b.prec)+1)
	return capDecimal(int(a.prec)-int(a.scale)+int(b.scale)+s, s)
}

func decimalModType(a, b sqlType) sqlType {
	s := max(int(a.scale), int(b.scale))
	return capDecimal(min(int(a.prec)-int(a.scale), int(b.prec)-int(b.scale))+s, s)
}

// capDecimal gives up fractional digits, but not below six, where a product or quotient would exceed 38 digits.
func capDecimal(p, s int) sqlType {
	if p > maxPrecision {
		whole := p - s
		s = max(min(s, maxPrecision-whole), min(s, 6))
		p = maxPrecision
	}
	return decimalType(max(p, 1), s)
}
