package sqlserver

import (
	"crypto/md5" //nolint:gosec // HASHBYTES offers it
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // HASHBYTES offers it
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// scalar registers a deterministic function. It gives NULL where an argument is NULL, and a SQL Server error where it
// fails.
func scalar(name string, args int, f func(c sqlite.Call) (any, error)) {
	sqlite.Register(name, args, true, func(c sqlite.Call) {
		for i := range c.Args() {
			if c.IsNull(i) {
				c.ReturnNull()
				return
			}
		}
		v, err := f(c)
		if err != nil {
			c.ReturnError(encodeError(err))
			return
		}
		c.Return(v)
	})
}

// mathFunction registers a function of floats whose result must be a number.
func mathFunction(name string, f func(float64) float64) {
	scalar(name, 1, func(c sqlite.Call) (any, error) { return mathResult(f(c.Float(0))) })
}

func mathResult(v float64) (any, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, newError(3623, 16, "An invalid floating point operation occurred.")
	}
	return v, nil
}

func init() {
	registerConversions()
	registerArithmetic()
	registerTexts()
	registerDates()
	registerAggregates()

	sqlite.Register("ms_newid", 0, false, func(c sqlite.Call) {
		b := make([]byte, 16)
		// crypto/rand never fails on the platforms that Go supports.
		_, _ = rand.Read(b)
		b[7], b[8] = b[7]&0x0f|0x40, b[8]&0x3f|0x80
		c.ReturnBlob(guidStore(b))
	})
	sqlite.Register("ms_rowversion", 1, false, func(c sqlite.Call) {
		db := databaseOf(c.Int(0))
		if db == nil {
			c.ReturnError(errNoDatabase)
			return
		}
		c.ReturnBlob(db.nextRowVersion())
	})
	sqlite.Register("ms_identity", 4, false, func(c sqlite.Call) {
		db := databaseOf(c.Int(0))
		if db == nil {
			c.ReturnError(errNoDatabase)
			return
		}
		c.ReturnInt(db.nextIdentity(int(c.Int(1)), c.Int(2), c.Int(3)))
	})
	// ms_not_null(value, column, table): a NULL in a column that SQLite would fill by itself.
	sqlite.Register("ms_not_null", 3, true, func(c sqlite.Call) {
		if c.IsNull(0) {
			c.ReturnError(encodeError(nullIntoColumn(string(c.Bytes(1)), string(c.Bytes(2)), "INSERT")))
			return
		}
		c.ReturnArgument(0)
	})
	// ms_only(count, value): the value of a subquery that has at most one row.
	sqlite.Register("ms_only", 2, true, func(c sqlite.Call) {
		if c.Int(0) > 1 {
			c.ReturnError(encodeError(newError(512, 16, "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or when the subquery is used as an expression.")))
			return
		}
		c.ReturnArgument(1)
	})
	sqlite.Register("ms_count", 1, true, func(c sqlite.Call) {
		if c.IsNull(0) || c.Int(0) < 0 {
			c.ReturnError(encodeError(newError(1014, 15, "A TOP or FETCH clause contains an invalid value.")))
			return
		}
		c.ReturnArgument(0)
	})
}

func nullIntoColumn(column, table, verb string) error {
	e := newError(errNullIntoNotNull, 16, "Cannot insert the value NULL into column '%s', table '%s'; column does not allow nulls. %s fails.", column, table, verb)
	e.State = 2
	return e
}

func registerConversions() {
	cast := func(c sqlite.Call) (any, error) {
		return convert(c.Value(0), typeOfCode(c.Int(1)), typeOfCode(c.Int(2)), int(c.Int(3)))
	}
	scalar("ms_cast", 4, cast)
	scalar("ms_try_cast", 4, func(c sqlite.Call) (any, error) {
		v, err := cast(c)
		if err != nil {
			return nil, nil //nolint:nilerr,nilnil // that is what TRY_CAST is for
		}
		return v, nil
	})
	scalar("ms_variant_compare", 2, func(c sqlite.Call) (any, error) {
		n, err := compareVariants(c.Bytes(0), c.Bytes(1))
		return int64(n), err
	})
	scalar("ms_variant_property", 3, func(c sqlite.Call) (any, error) {
		t := typeOfCode(c.Int(1))
		if t.id == tVariant {
			_, t = fromVariant(c.Bytes(0))
		}
		_, length, precision, scale := t.catalogRow()
		switch string(c.Bytes(2)) {
		case "basetype":
			return t.name(), nil
		case "precision":
			return fmt.Sprint(precision), nil
		case "scale":
			return fmt.Sprint(scale), nil
		case "maxlength":
			return fmt.Sprint(length), nil
		case "collation":
			s, _ := t.collationOrNull().(string)
			return nullable(s), nil
		}
		return nil, nil //nolint:nilnil // NULL, as SQL Server has it
	})
	scalar("ms_mask", 3, func(c sqlite.Call) (any, error) {
		return masked(c.Value(0), typeOfCode(c.Int(1)), string(c.Bytes(2)))
	})
	scalar("ms_assign", 5, func(c sqlite.Call) (any, error) {
		return assign(c.Value(0), typeOfCode(c.Int(1)), typeOfCode(c.Int(2)), string(c.Bytes(3)), string(c.Bytes(4)))
	})
}

func registerArithmetic() {
	scalar("ms_integer", 2, func(c sqlite.Call) (any, error) {
		v, t := c.Int(0), sqlType{id: typeID(c.Int(1))}
		if lo, hi := t.integerRange(); v < lo || v > hi {
			return nil, overflow(t.name())
		}
		return v, nil
	})
	scalar("ms_bigint", 3, func(c sqlite.Call) (any, error) {
		a, b := c.Int(1), c.Int(2)
		switch c.Int(0) {
		case 0:
			if r := a + b; (r > a) == (b > 0) {
				return r, nil
			}
		case 1:
			if r := a - b; (r < a) == (b > 0) {
				return r, nil
			}
		case 2:
			hi, lo := bits.Mul64(magnitude(a), magnitude(b))
			neg := (a < 0) != (b < 0)
			if hi == 0 && (lo <= math.MaxInt64 || neg && lo == 1<<63) {
				return a * b, nil
			}
		}
		return nil, overflow("bigint")
	})
	division := func(name string, f func(a, b int64) int64) {
		scalar(name, 3, func(c sqlite.Call) (any, error) {
			a, b := c.Int(0), c.Int(1)
			t := sqlType{id: typeID(c.Int(2))}
			if b == 0 {
				return nil, divideByZero()
			}
			if lo, _ := t.integerRange(); b == -1 && a == lo {
				if name == "ms_integer_mod" {
					return int64(0), nil
				}
				return nil, overflow(t.name())
			}
			return f(a, b), nil
		})
	}
	division("ms_integer_div", func(a, b int64) int64 { return a / b })
	division("ms_integer_mod", func(a, b int64) int64 { return a % b })
	scalar("ms_divide", 2, func(c sqlite.Call) (any, error) {
		if c.Float(1) == 0 {
			return nil, divideByZero()
		}
		return finiteResult(c.Float(0) / c.Float(1))
	})
	scalar("ms_finite", 1, func(c sqlite.Call) (any, error) { return finiteResult(c.Float(0)) })
	scalar("ms_real", 1, func(c sqlite.Call) (any, error) {
		return toFloat(c.Float(0), floatType, sqlType{id: tReal})
	})
	scalar("ms_datetime", 1, func(c sqlite.Call) (any, error) {
		if v := c.Int(0); v < minDatetime || v > maxDatetime {
			return nil, overflow("datetime")
		}
		return c.Int(0), nil
	})
	scalar("ms_arith", 6, exactArithmetic)

	for name, f := range map[string]func(float64) float64{
		"ms_sqrt": math.Sqrt, "ms_exp": math.Exp, "ms_log10": math.Log10, "ms_sin": math.Sin, "ms_cos": math.Cos,
		"ms_tan": math.Tan, "ms_atan": math.Atan, "ms_asin": math.Asin, "ms_acos": math.Acos,
		"ms_square":  func(x float64) float64 { return x * x },
		"ms_radians": func(x float64) float64 { return x * math.Pi / 180 },
		"ms_degrees": func(x float64) float64 { return x * 180 / math.Pi },
	} {
		mathFunction(name, f)
	}
	scalar("ms_atan2", 2, func(c sqlite.Call) (any, error) { return mathResult(math.Atan2(c.Float(0), c.Float(1))) })
	scalar("ms_power", 2, func(c sqlite.Call) (any, error) {
		r := math.Pow(c.Float(0), c.Float(1))
		if math.IsInf(r, 0) {
			return nil, overflow("float")
		}
		return mathResult(r)
	})
	scalar("ms_log", -1, func(c sqlite.Call) (any, error) {
		r := math.Log(c.Float(0))
		if c.Args() == 2 {
			r /= math.Log(c.Float(1))
		}
		return mathResult(r)
	})
	// The functions that keep the type of a number: (value, its type, the result's type).
	unary := func(name string, exact func(n *big.Int, scale int) *big.Int, approx func(float64) float64) {
		scalar(name, 3, func(c sqlite.Call) (any, error) {
			from, to := typeOfCode(c.Int(1)), typeOfCode(c.Int(2))
			if from.isApprox() {
				return finiteResult(approx(c.Float(0)))
			}
			n, scale := exactOf(c.Value(0), from)
			n = exact(n, scale)
			if to.id == tDecimal {
				return decimalToStore(rescale(n, scale, int(to.scale), false), to)
			}
			lo, hi := to.integerRange()
			if !n.IsInt64() || n.Int64() < lo || n.Int64() > hi {
				return nil, overflow(to.name())
			}
			return n.Int64(), nil
		})
	}
	unary("ms_abs", func(n *big.Int, _ int) *big.Int { return new(big.Int).Abs(n) }, math.Abs)
	whole := func(up bool) func(n *big.Int, scale int) *big.Int {
		return func(n *big.Int, scale int) *big.Int {
			q, r := new(big.Int).QuoRem(n, bigPow10[scale], new(big.Int))
			if r.Sign() > 0 && up {
				q.Add(q, bigPow10[0])
			}
			if r.Sign() < 0 && !up {
				q.Sub(q, bigPow10[0])
			}
			return q.Mul(q, bigPow10[scale])
		}
	}
	unary("ms_floor", whole(false), math.Floor)
	unary("ms_ceiling", whole(true), math.Ceil)
	unary("ms_sign", func(n *big.Int, scale int) *big.Int {
		return new(big.Int).Mul(big.NewInt(int64(n.Sign())), bigPow10[scale])
	}, func(f float64) float64 {
		switch {
		case f > 0:
			return 1
		case f < 0:
			return -1
		}
		return 0
	})
	scalar("ms_round", 5, func(c sqlite.Call) (any, error) {
		digits, cut := int(c.Int(1)), c.Int(2) != 0
		from, to := typeOfCode(c.Int(3)), typeOfCode(c.Int(4))
		if from.isApprox() {
			f := c.Float(0)
			if digits > 300 || digits < -300 {
				return f, nil
			}
			m := math.Pow(10, math.Abs(float64(digits)))
			scaled := f * m
			if digits < 0 {
				scaled = f / m
			}
			if math.IsInf(scaled, 0) {
				return f, nil
			}
			if cut {
				scaled = math.Trunc(scaled)
			} else {
				scaled = math.Round(scaled)
			}
			if digits < 0 {
				return finiteResult(scaled * m)
			}
			return finiteResult(scaled / m)
		}
		n, scale := exactOf(c.Value(0), from)
		if digits < scale {
			if scale-digits >= len(bigPow10) {
				n = new(big.Int)
			} else {
				n = rescale(rescale(n, scale, digits+0, cut), digits, scale, false)
			}
		}
		if to.id == tDecimal {
			return decimalToStore(n, to)
		}
		lo, hi := to.integerRange()
		if !n.IsInt64() || n.Int64() < lo || n.Int64() > hi {
			return nil, overflow(to.name())
		}
		return n.Int64(), nil
	})
}

func finiteResult(v float64) (any, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, overflow("float")
	}
	return v, nil
}

// exactArithmetic is + - * / % on decimals and money: (operator, a, b, their types, the result's type).
func exactArithmetic(c sqlite.Call) (any, error) {
	op := c.Int(0)
	at, bt, t := typeOfCode(c.Int(3)), typeOfCode(c.Int(4)), typeOfCode(c.Int(5))
	scale := int(t.scale)
	if t.isMoney() {
		scale = 4
	}
	small := c.Kind(1) == sqlite.Integer && c.Kind(2) == sqlite.Integer
	as, bs := scaleOf(at), scaleOf(bt)
	if small && op == 2 && t.wide() && as+bs == scale {
		// The product of two numbers of 64 bits, which always has its place.
		p := wideProduct(c.Int(1), c.Int(2))
		return p[:], nil
	}
	if small && op == 3 && scale+bs-as >= 0 && scale+bs-as < len(pow10) {
		a, b := c.Int(1), c.Int(2)
		if b == 0 {
			return nil, divideByZero()
		}
		hi, lo := bits.Mul64(magnitude(a), uint64(pow10[scale+bs-as]))
		if m := magnitude(b); hi == 0 {
			q := lo / m
			if t.isMoney() { // money rounds, decimals are cut
				if r := lo % m; r >= m-r {
					q++
				}
			}
			if q <= math.MaxInt64 {
				v := int64(q)
				if (a < 0) != (b < 0) {
					v = -v
				}
				return narrowResult(v, t)
			}
		}
	}
	a, _ := exactOf(c.Value(1), at)
	b, _ := exactOf(c.Value(2), bt)
	var n *big.Int
	switch op {
	case 0, 1:
		s := max(as, bs)
		x, y := rescale(a, as, s, false), rescale(b, bs, s, false)
		n = new(big.Int)
		if op == 0 {
			n.Add(x, y)
		} else {
			n.Sub(x, y)
		}
		n = rescale(n, s, scale, false)
	case 2:
		n = rescale(new(big.Int).Mul(a, b), as+bs, scale, false)
	case 3:
		if b.Sign() == 0 {
			return nil, divideByZero()
		}
		// One digit more than the result's, to round by where money does.
		k := scale + 1 + bs - as
		x := new(big.Int).Set(a)
		y := new(big.Int).Set(b)
		if k >= 0 {
			x.Mul(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(k)), nil))
		} else {
			y.Mul(y, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-k)), nil))
		}
		n = rescale(x.Quo(x, y), scale+1, scale, !t.isMoney())
	case 4:
		if b.Sign() == 0 {
			return nil, divideByZero()
		}
		s := max(as, bs)
		x, y := rescale(a, as, s, false), rescale(b, bs, s, false)
		n = rescale(new(big.Int).Rem(x, y), s, scale, false)
	}
	if t.id == tDecimal {
		return decimalToStore(n, t)
	}
	lo, hi := t.integerRange()
	if !n.IsInt64() || n.Int64() < lo || n.Int64() > hi {
		return nil, overflow(t.name())
	}
	return n.Int64(), nil
}

func scaleOf(t sqlType) int {
	switch {
	case t.isMoney():
		return 4
	case t.id == tDecimal:
		return int(t.scale)
	}
	return 0
}

func narrowResult(v int64, t sqlType) (any, error) {
	if t.isMoney() {
		if lo, hi := t.integerRange(); v < lo || v > hi {
			return nil, overflow(t.name())
		}
		return v, nil
	}
	if t.wide() {
		w := wideFromInt(v)
		return w[:], nil
	}
	if magnitude(v) >= uint64(pow10[t.prec]) {
		return nil, overflow(t.name())
	}
	return v, nil
}

func registerTexts() {
	one := func(name string, f func(string) string) {
		scalar(name, 1, func(c sqlite.Call) (any, error) { return f(string(c.Bytes(0))), nil })
	}
	one("ms_upper", strings.ToUpper)
	one("ms_lower", strings.ToLower)
	one("ms_ltrim", func(s string) string { return strings.TrimLeft(s, " ") })
	one("ms_rtrim", func(s string) string { return strings.TrimRight(s, " ") })
	one("ms_trim", func(s string) string { return strings.Trim(s, " ") })
	one("ms_reverse", func(s string) string {
		u := appendUTF16(nil, []byte(s))
		out := make([]byte, 0, len(u))
		for i := len(u) - 2; i >= 0; i -= 2 {
			out = append(out, u[i], u[i+1])
		}
		return fromUTF16(out)
	})
	scalar("ms_object_key", 2, func(c sqlite.Call) (any, error) {
		database, key := objectKey(string(c.Bytes(0)))
		if database != "" && !strings.EqualFold(database, string(c.Bytes(1))) {
			return "", nil
		}
		return key, nil
	})
	scalar("ms_quotename", 2, func(c sqlite.Call) (any, error) {
		s := string(c.Bytes(0))
		pair, ok := map[string]string{"[": "[]", "]": "[]", "'": "''", "\"": "\"\"", "(": "()", ")": "()"}[string(c.Bytes(1))]
		if !ok || utf16Length(s) > 128 {
			return nil, nil //nolint:nilnil // NULL, as SQL Server has it
		}
		return pair[:1] + strings.ReplaceAll(s, pair[1:], pair[1:]+pair[1:]) + pair[1:], nil
	})
	scalar("ms_len", 1, func(c sqlite.Call) (any, error) {
		return int64(utf16Length(strings.TrimRight(string(c.Bytes(0)), " "))), nil
	})
	scalar("ms_datalength", 2, func(c sqlite.Call) (any, error) {
		t := typeOfCode(c.Int(1))
		switch {
		case t.isUnicode():
			return int64(2 * utf16Length(string(c.Bytes(0)))), nil
		case t.isString():
			return int64(t.units(string(c.Bytes(0)))), nil
		case t.isBinary(), t.isCLR():
			return int64(len(c.Bytes(0))), nil
		}
		return int64(t.storageSize()), nil
	})
	scalar("ms_substring", 3, func(c sqlite.Call) (any, error) {
		n := c.Int(2)
		if n < 0 {
			return nil, newError(537, 16, "Invalid length parameter passed to the LEFT or SUBSTRING function.")
		}
		return substring(string(c.Bytes(0)), c.Int(1), n), nil
	})
	scalar("ms_subbinary", 3, func(c sqlite.Call) (any, error) {
		b, from, n := c.Bytes(0), c.Int(1)-1, c.Int(2)
		if n < 0 {
			return nil, newError(537, 16, "Invalid length parameter passed to the LEFT or SUBSTRING function.")
		}
		if from < 0 {
			n, from = n+from, 0
		}
		if n <= 0 || from >= int64(len(b)) {
			return []byte{}, nil
		}
		return append([]byte{}, b[from:min(from+n, int64(len(b)))]...), nil
	})
	scalar("ms_left", 2, func(c sqlite.Call) (any, error) {
		if c.Int(1) < 0 {
			return nil, newError(537, 16, "Invalid length parameter passed to the LEFT or SUBSTRING function.")
		}
		return substring(string(c.Bytes(0)), 1, c.Int(1)), nil
	})
	scalar("ms_right", 2, func(c sqlite.Call) (any, error) {
		if c.Int(1) < 0 {
			return nil, newError(536, 16, "Invalid length parameter passed to the RIGHT function.")
		}
		s := string(c.Bytes(0))
		n := int64(utf16Length(s))
		return substring(s, max(n-c.Int(1)+1, 1), c.Int(1)), nil
	})
	scalar("ms_replace", 3, func(c sqlite.Call) (any, error) {
		return replaceText(string(c.Bytes(0)), string(c.Bytes(1)), string(c.Bytes(2))), nil
	})
	scalar("ms_replicate", 3, func(c sqlite.Call) (any, error) {
		s, n, limit := string(c.Bytes(0)), c.Int(1), c.Int(2)
		if n < 0 {
			return nil, nil //nolint:nilnil // NULL, as SQL Server has it
		}
		if len(s) == 0 {
			return "", nil
		}
		n = min(n, limit/int64(max(utf16Length(s), 1))+1)
		return cutUTF16(strings.Repeat(s, int(n)), int(limit)), nil
	})
	scalar("ms_charindex", -1, func(c sqlite.Call) (any, error) {
		from := int64(1)
		if c.Args() == 3 {
			from = max(c.Int(2), 1)
		}
		needle, hay := foldText(string(c.Bytes(0))), foldText(string(c.Bytes(1)))
		if len(needle) == 0 || from > int64(len(hay)) {
			return int64(0), nil
		}
		for i := int(from - 1); i+len(needle) <= len(hay); i++ {
			match := true
			for j := range needle {
				if hay[i+j] != needle[j] {
					match = false
					break
				}
			}
			if match {
				return int64(i + 1), nil
			}
		}
		return int64(0), nil
	})
	sqlite.Register("ms_concat", -1, true, func(c sqlite.Call) {
		var b []byte
		for i := range c.Args() {
			b = append(b, c.Bytes(i)...)
		}
		c.ReturnText(string(b))
	})
	sqlite.Register("ms_concat_ws", -1, true, func(c sqlite.Call) {
		var b []byte
		first := true
		for i := 1; i < c.Args(); i++ {
			if c.IsNull(i) {
				continue
			}
			if !first {
				b = append(b, c.Bytes(0)...)
			}
			first = false
			b = append(b, c.Bytes(i)...)
		}
		c.ReturnText(string(b))
	})
	scalar("ms_str", 3, func(c sqlite.Call) (any, error) {
		n, d := int(c.Int(1)), int(c.Int(2))
		if n < 1 || n > 8000 || d < 0 {
			return nil, nil //nolint:nilnil // NULL, as SQL Server has it
		}
		s := strconv.FormatFloat(c.Float(0), 'f', min(d, 16), 64)
		if len(s) > n {
			whole, _, _ := strings.Cut(s, ".")
			if len(whole) > n {
				return strings.Repeat("*", n), nil
			}
			s = strconv.FormatFloat(c.Float(0), 'f', max(n-len(whole)-1, 0), 64)
		}
		return strings.Repeat(" ", max(n-len(s), 0)) + s, nil
	})
	scalar("ms_ascii", 1, func(c sqlite.Call) (any, error) {
		b := appendCP1252(nil, c.Bytes(0))
		if len(b) == 0 {
			return nil, nil //nolint:nilnil // NULL, as SQL Server has it
		}
		return int64(b[0]), nil
	})
	scalar("ms_unicode", 1, func(c sqlite.Call) (any, error) {
		u := appendUTF16(nil, c.Bytes(0))
		if len(u) == 0 {
			return nil, nil //nolint:nilnil // NULL, as SQL Server has it
		}
		return int64(u[0]) | int64(u[1])<<8, nil
	})
	scalar("ms_char", 1, func(c sqlite.Call) (any, error) {
		if v := c.Int(0); v >= 0 && v <= 255 {
			return fromCP1252([]byte{byte(v)}), nil
		}
		return nil, nil //nolint:nilnil // NULL, as SQL Server has it
	})
	scalar("ms_nchar", 1, func(c sqlite.Call) (any, error) {
		if v := c.Int(0); v >= 0 && v <= 65535 {
			return fromUTF16([]byte{byte(v), byte(v >> 8)}), nil
		}
		return nil, nil //nolint:nilnil // NULL, as SQL Server has it
	})
	for name, unicode := range map[string]bool{"ms_like": false, "ms_like_unicode": true} {
		scalar(name, -1, func(c sqlite.Call) (any, error) {
			escape := rune(-1)
			if c.Args() == 3 {
				e := []rune(string(c.Bytes(2)))
				if len(e) != 1 {
					return nil, newError(506, 16, "The invalid escape character \"%s\" was specified in a LIKE predicate.", string(c.Bytes(2)))
				}
				escape = e[0]
			}
			text := string(c.Bytes(0))
			if !unicode && !strings.HasSuffix(string(c.Bytes(1)), " ") {
				text = strings.TrimRight(text, " ") // trailing blanks don't count
			}
			return boolInt(likeText(text, string(c.Bytes(1)), escape)), nil
		})
	}
	scalar("ms_isnumeric", 1, func(c sqlite.Call) (any, error) {
		s := strings.TrimSpace(string(c.Bytes(0)))
		_, err := toFloat(s, varcharType(100), floatType)
		if err != nil || s == "" {
			_, err = toExact(s, varcharType(100), sqlType{id: tMoney})
		}
		return boolInt(err == nil && s != ""), nil
	})
	scalar("ms_isdate", 1, func(c sqlite.Call) (any, error) {
		_, err := convert(string(c.Bytes(0)), varcharType(100), datetimeType, noStyle)
		return boolInt(err == nil), nil
	})
	scalar("ms_hashbytes", 3, func(c sqlite.Call) (any, error) {
		t := typeOfCode(c.Int(2))
		b := c.Bytes(1)
		switch {
		case t.isUnicode():
			b = appendUTF16(nil, b)
		case t.isString():
			b = appendPage(nil, b, t.page())
		}
		switch strings.ToUpper(string(c.Bytes(0))) {
		case "SHA2_256":
			h := sha256.Sum256(b)
			return h[:], nil
		case "SHA2_512":
			h := sha512.Sum512(b)
			return h[:], nil
		case "SHA", "SHA1":
			h := sha1.Sum(b) //nolint:gosec // asked for
			return h[:], nil
		case "MD5":
			h := md5.Sum(b) //nolint:gosec // asked for
			return h[:], nil
		}
		return nil, nil //nolint:nilnil // NULL, as SQL Server has it
	})
}

// storageSize is what DATALENGTH says of a type that isn't a text or binary.
func (t sqlType) storageSize() int {
	switch t.id {
	case tBit, tTinyInt:
		return 1
	case tSmallInt:
		return 2
	case tInt, tReal, tSmallMoney, tSmallDateTime, tNull:
		return 4
	case tBigInt, tFloat, tMoney, tDateTime, tRowVersion:
		return 8
	case tDecimal:
		return decimalSize(t.prec)
	case tDate:
		return 3
	case tTime:
		return timeSize(t.scale)
	case tDateTime2:
		return timeSize(t.scale) + 3
	case tDateTimeOffset:
		return timeSize(t.scale) + 5
	case tGUID:
		return 16
	}
	return int(t.length)
}

// substring counts characters from 1; what lies before the first one uses up its length.
func substring(s string, from, n int64) string {
	if from < 1 {
		n += from - 1
		from = 1
	}
	if n <= 0 {
		return ""
	}
	head := cutUTF16(s, int(min(from-1, math.MaxInt32)))
	if len(head) == 0 && from > 1 && s == "" {
		return ""
	}
	if len(head) >= len(s) {
		return ""
	}
	return cutUTF16(s[len(head):], int(min(n, math.MaxInt32)))
}

// foldText gives the weights of a text's UTF-16 units, by which texts match without regard to case.
func foldText(s string) []int {
	out := make([]int, 0, len(s))
	b := []byte(s)
	for len(b) > 0 {
		r, n := decodeRune(b)
		b = b[n:]
		out = append(out, runeWeight(r))
		if r > 0xFFFF {
			out = append(out, -1)
		}
	}
	return out
}

func replaceText(s, old, with string) string {
	if old == "" {
		return s
	}
	hay, needle := []rune(s), []rune(old)
	var out strings.Builder
	for i := 0; i < len(hay); {
		match := i+len(needle) <= len(hay)
		for j := 0; match && j < len(needle); j++ {
			match = runeWeight(hay[i+j]) == runeWeight(needle[j])
		}
		if match {
			out.WriteString(with)
			i += len(needle)
			continue
		}
		out.WriteRune(hay[i])
		i++
	}
	return out.String()
}

// likeText matches T-SQL's patterns: % _ [a-z] [^a-z] and an escape character.
func likeText(s, pattern string, escape rune) bool {
	return matchLike([]rune(s), []rune(pattern), escape) == matched
}

type likeResult int

const (
	mismatch likeResult = iota
	matched
	exhausted // the text ended: no later start of a % can match either
)

func matchLike(s, p []rune, escape rune) likeResult {
	for len(p) > 0 {
		c := p[0]
		if c == escape && len(p) > 1 {
			if len(s) == 0 {
				return exhausted
			}
			if runeWeight(s[0]) != runeWeight(p[1]) {
				return mismatch
			}
			s, p = s[1:], p[2:]
			continue
		}
		switch c {
		case '%':
			for len(p) > 0 && p[0] == '%' {
				p = p[1:]
			}
			if len(p) == 0 {
				return matched
			}
			for i := 0; i <= len(s); i++ {
				if r := matchLike(s[i:], p, escape); r != mismatch {
					return r
				}
			}
			return exhausted
		case '_':
			if len(s) == 0 {
				return exhausted
			}
			s, p = s[1:], p[1:]
		case '[':
			if len(s) == 0 {
				return exhausted
			}
			ok, rest := matchSet(s[0], p[1:], escape)
			if rest == nil || !ok {
				return mismatch
			}
			s, p = s[1:], rest[1:]
		default:
			if len(s) == 0 {
				return exhausted
			}
			if runeWeight(s[0]) != runeWeight(c) {
				return mismatch
			}
			s, p = s[1:], p[1:]
		}
	}
	if len(s) > 0 {
		return mismatch
	}
	return matched
}

// matchSet matches what stands in brackets; rest begins at the closing one, or is nil if there is none.
func matchSet(r rune, p []rune, escape rune) (ok bool, rest []rune) {
	not := false
	if len(p) > 0 && p[0] == '^' {
		not, p = true, p[1:]
	}
	w := runeWeight(r)
	for first := true; len(p) > 0; first = false {
		if p[0] == ']' && !first {
			return ok != not, p
		}
		if p[0] == escape && len(p) > 1 {
			p = p[1:]
		}
		if len(p) > 2 && p[1] == '-' && p[2] != ']' {
			if w >= runeWeight(p[0]) && w <= runeWeight(p[2]) {
				ok = true
			}
			p = p[3:]
			continue
		}
		if w == runeWeight(p[0]) {
			ok = true
		}
		p = p[1:]
	}
	return false, nil
}

func registerDates() {
	// An offset is a text such as +02:00, or minutes.
	offset := func(v any) (int, error) {
		if s, ok := v.(string); ok {
			if m, ok := parseMoment("2000-01-01T00:00:00" + s); ok && len(s) == 6 {
				return m.offset, nil
			}
			return 0, newError(9812, 16, "The timezone provided to builtin function is invalid.")
		}
		if n := asInt(v); n >= -840 && n <= 840 {
			return int(n), nil
		}
		return 0, newError(9812, 16, "The timezone provided to builtin function is invalid.")
	}
	scalar("ms_switchoffset", 2, func(c sqlite.Call) (any, error) {
		minutes, err := offset(c.Value(1))
		if err != nil {
			return nil, err
		}
		utc, _ := offsetParts(c.Bytes(0))
		return offsetBytes(utc, minutes), nil
	})
	scalar("ms_todatetimeoffset", 2, func(c sqlite.Call) (any, error) {
		minutes, err := offset(c.Value(1))
		if err != nil {
			return nil, err
		}
		return moment{ticks: c.Int(0), offset: minutes}.store(sqlType{id: tDateTimeOffset, scale: 7})
	})
	scalar("ms_datepart", 3, func(c sqlite.Call) (any, error) {
		t := typeOfCode(c.Int(2))
		return datePart(string(c.Bytes(0)), momentOf(c.Value(1), t), t)
	})
	scalar("ms_datename", 3, func(c sqlite.Call) (any, error) {
		t := typeOfCode(c.Int(2))
		m := momentOf(c.Value(1), t)
		part := string(c.Bytes(0))
		switch part {
		case "month":
			_, mo, _ := dateOf(floorDiv(m.ticks, ticksPerDay))
			return time.Month(mo).String(), nil
		case "weekday":
			return time.Weekday((floorDiv(m.ticks, ticksPerDay) + 1) % 7).String(), nil
		}
		n, err := datePart(part, m, t)
		if err != nil {
			return nil, err
		}
		return fmt.Sprint(n), nil
	})
	scalar("ms_datetrunc", 3, func(c sqlite.Call) (any, error) {
		t := typeOfCode(c.Int(2))
		m := momentOf(c.Value(1), t)
		days := floorDiv(m.ticks, ticksPerDay)
		y, mo, _ := dateOf(days)
		switch part := string(c.Bytes(0)); part {
		case "year":
			m.ticks = dayOf(y, 1, 1) * ticksPerDay
		case "quarter":
			m.ticks = dayOf(y, (mo-1)/3*3+1, 1) * ticksPerDay
		case "month":
			m.ticks = dayOf(y, mo, 1) * ticksPerDay
		case "day", "dayofyear":
			m.ticks = days * ticksPerDay
		case "week":
			m.ticks = (days - (days+1)%7) * ticksPerDay
		case "iso_week":
			m.ticks = (days - days%7) * ticksPerDay
		default:
			unit, ok := partTicks[part]
			if !ok {
				return nil, newError(9810, 16, "The datepart %s is not supported by date function datetrunc for data type %s.", part, t.name())
			}
			m.ticks = floorDiv(m.ticks, unit) * unit
		}
		return m.store(t)
	})
	scalar("ms_dateadd", 5, func(c sqlite.Call) (any, error) {
		from, to := typeOfCode(c.Int(3)), typeOfCode(c.Int(4))
		return dateAdd(string(c.Bytes(0)), c.Int(1), momentOf(c.Value(2), from), from, to)
	})
	scalar("ms_datediff", 6, func(c sqlite.Call) (any, error) {
		a, at, b, bt := c.Value(1), typeOfCode(c.Int(2)), c.Value(3), typeOfCode(c.Int(4))
		x, y := momentOf(a, at), momentOf(b, bt)
		// Boundaries are counted in UTC.
		x.ticks -= int64(x.offset) * ticksPerMinute
		y.ticks -= int64(y.offset) * ticksPerMinute
		n, err := dateDiff(string(c.Bytes(0)), x.ticks, y.ticks)
		if err != nil {
			return nil, err
		}
		if typeID(c.Int(5)) == tInt && (n < math.MinInt32 || n > math.MaxInt32) {
			return nil, newError(535, 16, "The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large. Try to use datediff with a less precise datepart.")
		}
		return n, nil
	})
	scalar("ms_datefromparts", 3, func(c sqlite.Call) (any, error) {
		y, m, d := c.Int(0), c.Int(1), c.Int(2)
		if y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 || d > int64(daysIn(int(y), int(m))) {
			return nil, newError(289, 16, "Cannot construct data type date, some of the arguments have values which are not valid.")
		}
		return dayOf(int(y), int(m), int(d)), nil
	})
	scalar("ms_datetime2fromparts", 8, func(c sqlite.Call) (any, error) {
		y, m, d := c.Int(0), c.Int(1), c.Int(2)
		h, mi, s, f, scale := c.Int(3), c.Int(4), c.Int(5), c.Int(6), c.Int(7)
		if y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 || d > int64(daysIn(int(y), int(m))) || h < 0 || h > 23 ||
			mi < 0 || mi > 59 || s < 0 || s > 59 || f < 0 || f >= pow10[scale] {
			return nil, newError(289, 16, "Cannot construct data type datetime2, some of the arguments have values which are not valid.")
		}
		return dayOf(int(y), int(m), int(d))*ticksPerDay + (h*3600+mi*60+s)*ticksPerSecond + f*pow10[7-scale], nil
	})
	scalar("ms_eomonth", 2, func(c sqlite.Call) (any, error) {
		y, m, _ := dateOf(c.Int(0))
		total := int64(y)*12 + int64(m) - 1 + c.Int(1)
		y, m = int(floorDiv(total, 12)), int(total-floorDiv(total, 12)*12)+1
		if y < 1 || y > 9999 {
			return nil, newError(517, 16, "Adding a value to a 'date' column caused an overflow.")
		}
		return dayOf(y, m, daysIn(y, m)), nil
	})
}

// partTicks are the parts that are of one length.
var partTicks = map[string]int64{
	"hour": 60 * ticksPerMinute, "minute": ticksPerMinute, "second": ticksPerSecond, "millisecond": 10_000, "microsecond": 10,
}

func datePart(part string, m moment, t sqlType) (any, error) {
	days := floorDiv(m.ticks, ticksPerDay)
	in := m.ticks - days*ticksPerDay
	bad := newError(9810, 16, "The datepart %s is not supported by date function datepart for data type %s.", part, t.name())
	switch part {
	case "hour", "minute", "second", "millisecond", "microsecond", "nanosecond":
		if t.id == tDate {
			return nil, bad
		}
	default:
		if t.id == tTime {
			return nil, bad
		}
	}
	switch part {
	case "hour":
		return in / (3600 * ticksPerSecond), nil
	case "minute":
		return in / ticksPerMinute % 60, nil
	case "second":
		return in / ticksPerSecond % 60, nil
	case "millisecond":
		if t.id == tDateTime {
			return (in + 5_000) / 10_000 % 1000, nil
		}
		return in / 10_000 % 1000, nil
	case "microsecond":
		return in / 10 % 1_000_000, nil
	case "nanosecond":
		return in % ticksPerSecond * 100, nil
	case "tzoffset":
		return int64(m.offset), nil
	case "weekday": // with Sunday as the first day, as us_english has it
		return (days+1)%7 + 1, nil
	}
	y, mo, d := dateOf(days)
	switch part {
	case "year":
		return int64(y), nil
	case "quarter":
		return int64((mo-1)/3 + 1), nil
	case "month":
		return int64(mo), nil
	case "day":
		return int64(d), nil
	case "dayofyear":
		return days - dayOf(y, 1, 1) + 1, nil
	case "week":
		first := dayOf(y, 1, 1)
		return (days-first+(first+1)%7)/7 + 1, nil
	case "iso_week":
		_, w := time.Unix((days-daysTo1970)*86_400, 0).UTC().ISOWeek()
		return int64(w), nil
	}
	return nil, bad
}

func dateAdd(part string, n int64, m moment, from, to sqlType) (any, error) {
	overflowed := newError(517, 16, "Adding a value to a '%s' column caused an overflow.", from.name())
	if n > math.MaxInt32 || n < math.MinInt32 {
		return nil, overflow("int")
	}
	if from.id == tDate {
		if _, ok := partTicks[part]; ok || part == "nanosecond" {
			return nil, newError(9810, 16, "The datepart %s is not supported by date function dateadd for data type date.", part)
		}
	}
	monthsOf := map[string]int64{"year": 12, "quarter": 3, "month": 1}
	switch part {
	case "year", "quarter", "month":
		days := floorDiv(m.ticks, ticksPerDay)
		in := m.ticks - days*ticksPerDay
		y, mo, d := dateOf(days)
		total := int64(y)*12 + int64(mo) - 1 + n*monthsOf[part]
		y, mo = int(floorDiv(total, 12)), int(total-floorDiv(total, 12)*12)+1
		if y < 1 || y > 9999 {
			return nil, overflowed
		}
		m.ticks = dayOf(y, mo, min(d, daysIn(y, mo)))*ticksPerDay + in
	case "day", "dayofyear", "weekday", "week":
		if part == "week" {
			n *= 7
		}
		days := floorDiv(m.ticks, ticksPerDay) + n
		if days < 0 || days > maxDay {
			return nil, overflowed
		}
		m.ticks += n * ticksPerDay
	case "nanosecond":
		if n >= 0 {
			m.ticks += (n + 50) / 100
		} else {
			m.ticks += (n - 50) / 100
		}
	default:
		unit, ok := partTicks[part]
		if !ok {
			return nil, newError(9810, 16, "The datepart %s is not supported by date function dateadd for data type %s.", part, from.name())
		}
		m.ticks += n * unit
	}
	if from.id == tTime { // wraps around midnight
		return m.store(to)
	}
	if m.ticks < 0 || m.ticks > maxTicks {
		return nil, overflowed
	}
	v, err := m.store(to)
	if err != nil {
		return nil, overflowed
	}
	return v, nil
}

// dateDiff counts the boundaries of a part between two moments.
func dateDiff(part string, a, b int64) (int64, error) {
	da, db := floorDiv(a, ticksPerDay), floorDiv(b, ticksPerDay)
	switch part {
	case "day", "dayofyear", "weekday":
		return db - da, nil
	case "week": // Sundays
		return (db+1)/7 - (da+1)/7, nil
	case "year", "quarter", "month":
		ya, ma, _ := dateOf(da)
		yb, mb, _ := dateOf(db)
		switch part {
		case "year":
			return int64(yb - ya), nil
		case "quarter":
			return int64((yb*4 + (mb-1)/3) - (ya*4 + (ma-1)/3)), nil
		}
		return int64((yb*12 + mb) - (ya*12 + ma)), nil
	case "nanosecond":
		d := b - a
		if d > math.MaxInt64/100 || d < math.MinInt64/100 {
			return 0, newError(535, 16, "The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large. Try to use datediff with a less precise datepart.")
		}
		return d * 100, nil
	}
	unit, ok := partTicks[part]
	if !ok {
		return 0, newError(9810, 16, "The datepart %s is not supported by date function datediff.", part)
	}
	return floorDiv(b, unit) - floorDiv(a, unit), nil
}

// An aggregate of exact numbers keeps its sum in 128 bits and its count.
const (
	sumLow   = 0
	sumHigh  = 1
	sumCount = 2
)

func addTo(state []byte, hi, lo uint64) {
	l, carry := bits.Add64(uint64(sqlite.Int64At(state, sumLow)), lo, 0)
	h, _ := bits.Add64(uint64(sqlite.Int64At(state, sumHigh)), hi, carry)
	sqlite.SetInt64At(state, sumLow, int64(l))
	sqlite.SetInt64At(state, sumHigh, int64(h))
}

// parts128 is a stored exact number as two's complement.
func parts128(c sqlite.Call, i int) (hi, lo uint64) {
	if c.Kind(i) == sqlite.Integer {
		v := c.Int(i)
		return uint64(v >> 63), uint64(v)
	}
	if b := c.Bytes(i); len(b) == 16 {
		return be64(b) ^ 1<<63, be64(b[8:])
	}
	return 0, 0
}

func sumOf(state []byte) *big.Int {
	b := make([]byte, 16)
	putBE64(b, uint64(sqlite.Int64At(state, sumHigh))^1<<63)
	putBE64(b[8:], uint64(sqlite.Int64At(state, sumLow)))
	return decimalFromBytes(b)
}

func registerAggregates() {
	exact := func(name string, args int, value func(c sqlite.Call, state []byte, n int64)) {
		sqlite.RegisterAggregate(name, args, sqlite.Aggregate{
			StateSize: 40,
			Step: func(c sqlite.Call, state []byte) {
				if c.IsNull(0) {
					return
				}
				hi, lo := parts128(c, 0)
				addTo(state, hi, lo)
				sqlite.SetInt64At(state, sumCount, sqlite.Int64At(state, sumCount)+1)
				if args == 2 {
					sqlite.SetInt64At(state, 3, c.Int(1))
				}
			},
			Inverse: func(c sqlite.Call, state []byte) {
				if c.IsNull(0) {
					return
				}
				hi, lo := parts128(c, 0)
				l, borrow := bits.Sub64(0, lo, 0)
				h, _ := bits.Sub64(0, hi, borrow)
				addTo(state, h, l)
				sqlite.SetInt64At(state, sumCount, sqlite.Int64At(state, sumCount)-1)
			},
			Value: func(c sqlite.Call, state []byte) {
				n := sqlite.Int64At(state, sumCount)
				if n == 0 {
					c.ReturnNull()
					return
				}
				value(c, state, n)
			},
		})
	}
	decimalResult := func(c sqlite.Call, v *big.Int) {
		stored, err := decimalToStore(v, sqlType{id: tDecimal, prec: maxPrecision})
		if err != nil {
			c.ReturnError(encodeError(err))
			return
		}
		c.Return(stored)
	}
	exact("ms_sum", 1, func(c sqlite.Call, state []byte, _ int64) { decimalResult(c, sumOf(state)) })
	// ms_avg(value, digits): digits are how many more fractional ones the average has than the value.
	exact("ms_avg", 2, func(c sqlite.Call, state []byte, n int64) {
		v := sumOf(state)
		v.Mul(v, bigPow10[sqlite.Int64At(state, 3)])
		decimalResult(c, v.Quo(v, big.NewInt(n)))
	})
	exact("ms_avg_int", 1, func(c sqlite.Call, state []byte, n int64) {
		v := sumOf(state)
		c.ReturnInt(v.Quo(v, big.NewInt(n)).Int64())
	})
	exact("ms_avg_money", 1, func(c sqlite.Call, state []byte, n int64) {
		v := sumOf(state)
		c.ReturnInt(v.Quo(v, big.NewInt(n)).Int64())
	})

	// Variances by Welford's method: count, mean, sum of squared distances.
	floatAt := func(state []byte, i int) float64 { return math.Float64frombits(uint64(sqlite.Int64At(state, i))) }
	setFloat := func(state []byte, i int, v float64) { sqlite.SetInt64At(state, i, int64(math.Float64bits(v))) }
	for name, result := range map[string]func(n, m2 float64) (float64, bool){
		"ms_var":    func(n, m2 float64) (float64, bool) { return m2 / (n - 1), n > 1 },
		"ms_varp":   func(n, m2 float64) (float64, bool) { return m2 / n, n > 0 },
		"ms_stdev":  func(n, m2 float64) (float64, bool) { return math.Sqrt(m2 / (n - 1)), n > 1 },
		"ms_stdevp": func(n, m2 float64) (float64, bool) { return math.Sqrt(m2 / n), n > 0 },
	} {
		sqlite.RegisterAggregate(name, 1, sqlite.Aggregate{
			StateSize: 24,
			Step: func(c sqlite.Call, state []byte) {
				if c.IsNull(0) {
					return
				}
				x, n, mean := c.Float(0), floatAt(state, 0)+1, floatAt(state, 1)
				d := x - mean
				mean += d / n
				setFloat(state, 0, n)
				setFloat(state, 1, mean)
				setFloat(state, 2, floatAt(state, 2)+d*(x-mean))
			},
			Inverse: func(c sqlite.Call, state []byte) {
				if c.IsNull(0) {
					return
				}
				x, n, mean := c.Float(0), floatAt(state, 0)-1, floatAt(state, 1)
				if n == 0 {
					clear(state)
					return
				}
				old := (mean*(n+1) - x) / n
				setFloat(state, 0, n)
				setFloat(state, 1, old)
				setFloat(state, 2, math.Max(0, floatAt(state, 2)-(x-mean)*(x-old)))
			},
			Value: func(c sqlite.Call, state []byte) {
				if v, ok := result(floatAt(state, 0), floatAt(state, 2)); ok {
					c.ReturnFloat(v)
					return
				}
				c.ReturnNull()
			},
		})
	}
}
