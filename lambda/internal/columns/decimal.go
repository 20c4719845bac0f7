package columns

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

var errNotADecimal = errors.New("not a decimal number")

// parseDecimal reads what the driver gives for decimal and money ("-12.50") as the unscaled value of a decimal with the
// given scale. It is exact or an error: digits are never rounded away.
func parseDecimal(text []byte, scale int32) (decimal128.Num, error) {
	digits := text
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	var hi, lo uint64
	seen, fraction, point := 0, int32(0), false
	push := func(d uint64) error {
		h, l := bits.Mul64(lo, 10)
		over, hiTimes10 := bits.Mul64(hi, 10)
		l, carry := bits.Add64(l, d, 0)
		h, carry = bits.Add64(hiTimes10, h, carry)
		if over != 0 || carry != 0 || h>>63 != 0 {
			return fmt.Errorf("a decimal of %d digits is larger than SQL Server's largest", len(text))
		}
		hi, lo = h, l
		return nil
	}
	for _, c := range digits {
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9':
			return decimal128.Num{}, errNotADecimal
		}
		seen++
		if point {
			fraction++
		}
		if fraction > scale {
			if c != '0' {
				return decimal128.Num{}, fmt.Errorf("a decimal has more than %d digits after the point", scale)
			}
			continue
		}
		if err := push(uint64(c - '0')); err != nil {
			return decimal128.Num{}, err
		}
	}
	if seen == 0 {
		return decimal128.Num{}, errNotADecimal
	}
	for ; fraction < scale; fraction++ {
		if err := push(0); err != nil {
			return decimal128.Num{}, err
		}
	}
	n := decimal128.New(int64(hi), lo)
	if negative {
		n = n.Negate()
	}
	return n, nil
}

// appendDecimal writes a decimal as SQL Server shows it: all digits of its scale, no exponent, no sign of zero.
func appendDecimal(dst []byte, n decimal128.Num, scale int32) []byte {
	if n.Sign() < 0 {
		dst = append(dst, '-')
		n = n.Negate()
	}
	var scratch [40]byte
	digits := scratch[:0]
	if n.HighBits() == 0 {
		digits = strconv.AppendUint(digits, n.LowBits(), 10)
	} else {
		digits = n.BigInt().Append(digits, 10)
	}
	whole := len(digits) - int(scale)
	if whole <= 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[:whole]...)
	}
	if scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	for ; whole < 0; whole++ {
		dst = append(dst, '0')
	}
	return append(dst, digits[whole:]...)
}
