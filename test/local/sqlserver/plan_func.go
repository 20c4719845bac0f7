package sqlserver

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"

	"github.com/sqlc-dev/teesql/ast"
)

// aggregates are the functions that make one value of many rows.
var aggregates = map[string]bool{
	"count": true, "count_big": true, "sum": true, "avg": true, "min": true, "max": true, "stdev": true, "stdevp": true,
	"var": true, "varp": true, "string_agg": true,
}

// windowOnly are the functions that need OVER.
var windowOnly = map[string]bool{
	"row_number": true, "rank": true, "dense_rank": true, "ntile": true, "lag": true, "lead": true, "first_value": true,
	"last_value": true, "percent_rank": true, "cume_dist": true,
}

// scalarFunction plans the call of a scalar function; its arguments are planned already.
type scalarFunction struct {
	min, max int // the number of arguments
	plan     func(p *planner, args []expr) (expr, error)
}

// function plans a function call.
func (p *planner) function(f *ast.FunctionCall, sc *scope) (expr, error) {
	if f.FunctionName == nil {
		return expr{}, newError(errSyntax, 15, "Incorrect syntax: a function name is missing.")
	}
	name := strings.ToLower(f.FunctionName.Value)
	if f.CallTarget != nil {
		return expr{}, newError(4121, 16, "Cannot find either column or the user-defined function or aggregate \"%s\", or the name is ambiguous.", f.FunctionName.Value)
	}
	if f.WithinGroupClause != nil {
		return expr{}, notSupported("WITHIN GROUP")
	}
	if aggregates[name] || windowOnly[name] {
		return p.aggregate(name, f, sc)
	}
	if f.OverClause != nil {
		return expr{}, newError(4113, 16, "The function '%s' is not a valid windowing function, and cannot be used with the OVER clause.", f.FunctionName.Value)
	}
	switch name {
	case "dateadd", "datediff", "datediff_big", "datepart", "datename", "datetrunc", "eomonth":
		return p.dateFunction(name, f, sc)
	case "trim":
		if f.TrimOptions != nil {
			return expr{}, notSupported("TRIM with LEADING, TRAILING or BOTH")
		}
	case "try_cast", "try_convert", "cast", "convert":
		return expr{}, notSupported("this form of %s", strings.ToUpper(name))
	case "isnull":
		return p.isNull(f.Parameters, sc)
	case "choose":
		return p.choose(f.Parameters, sc)
	case "coalesce":
		return p.coalesce(f.Parameters, sc)
	}
	return p.callByName(name, f.Parameters, sc)
}

func (p *planner) callByName(name string, params []ast.ScalarExpression, sc *scope) (expr, error) {
	fn, ok := scalarFunctions[name]
	if !ok {
		return expr{}, newError(errUnknownFunction, 15, "'%s' is not a built-in function name that the local SQL Server knows.", name)
	}
	if len(params) < fn.min || fn.max >= 0 && len(params) > fn.max {
		if fn.min == fn.max {
			return expr{}, newError(174, 15, "The %s function requires %d argument(s).", name, fn.min)
		}
		return expr{}, newError(189, 15, "The %s function requires %d to %d arguments.", name, fn.min, fn.max)
	}
	var args []expr
	for _, x := range params {
		e, err := p.expression(x, sc)
		if err != nil {
			return expr{}, err
		}
		args = append(args, e)
	}
	return fn.plan(p, args)
}

// aggregate plans an aggregate or window function.
func (p *planner) aggregate(name string, f *ast.FunctionCall, sc *scope) (expr, error) {
	windowed := f.OverClause != nil
	if windowed && sc.noWindow {
		return expr{}, newError(4108, 15, "Windowed functions can only appear in the SELECT or ORDER BY clauses.")
	}
	if windowOnly[name] && !windowed {
		return expr{}, newError(10753, 15, "The function '%s' must have an OVER clause.", f.FunctionName.Value)
	}
	star := false
	var args []expr
	if !windowed {
		sc.inside++
	}
	for _, x := range f.Parameters {
		if c, ok := x.(*ast.ColumnReferenceExpression); ok && c.ColumnType == "Wildcard" {
			star = true
			continue
		}
		e, err := p.expression(x, sc)
		if err != nil {
			if !windowed {
				sc.inside--
			}
			return expr{}, err
		}
		args = append(args, e)
	}
	if !windowed {
		sc.inside--
		sc.aggregate = true
	}
	over := ""
	if windowed {
		o, err := p.over(name, f.OverClause, sc)
		if err != nil {
			return expr{}, err
		}
		over = " OVER (" + o + ")"
	}
	distinct := ""
	if f.UniqueRowFilter == "Distinct" {
		if windowed {
			return expr{}, newError(10759, 15, "Use of DISTINCT is not allowed with the OVER clause.")
		}
		distinct = "DISTINCT "
	}
	need := func(lo, hi int) error {
		if len(args) < lo || len(args) > hi {
			return newError(174, 15, "The %s function requires %d argument(s).", name, lo)
		}
		return nil
	}
	switch name {
	case "count", "count_big":
		t := sqlType{id: tInt}
		if name == "count_big" {
			t.id = tBigInt
		}
		if star {
			return expr{sql: "count(*)" + over, typ: t, nullable: true}, nil
		}
		if err := need(1, 1); err != nil {
			return expr{}, err
		}
		return expr{sql: "count(" + distinct + args[0].comparable() + ")" + over, typ: t, nullable: true}, nil
	case "min", "max":
		if err := need(1, 1); err != nil {
			return expr{}, err
		}
		if args[0].typ.id == tBit || args[0].typ.isLob() {
			return expr{}, newError(8117, 16, "Operand data type %s is invalid for %s operator.", args[0].typ.name(), name)
		}
		if err := sortable(args[0].typ); err != nil {
			return expr{}, err
		}
		return expr{sql: name + "(" + args[0].collated() + ")" + over, typ: args[0].typ, nullable: true, lo: args[0].lo, hi: args[0].hi, bounded: args[0].bounded}, nil
	case "sum", "avg":
		if err := need(1, 1); err != nil {
			return expr{}, err
		}
		return p.sum(name, args[0], distinct, over)
	case "stdev", "stdevp", "var", "varp":
		if err := need(1, 1); err != nil {
			return expr{}, err
		}
		if !args[0].typ.isNumber() || args[0].typ.id == tBit {
			return expr{}, newError(8117, 16, "Operand data type %s is invalid for %s operator.", args[0].typ.name(), name)
		}
		x, err := p.cast(args[0], sqlType{id: tFloat}, noStyle)
		if err != nil {
			return expr{}, err
		}
		return expr{sql: "ms_" + name + "(" + distinct + x.sql + ")" + over, typ: sqlType{id: tFloat}, nullable: true}, nil
	case "string_agg":
		if err := need(2, 2); err != nil {
			return expr{}, err
		}
		t := sqlType{id: tVarChar, length: 8000}
		if args[0].typ.isUnicode() {
			t = sqlType{id: tNVarChar, length: 4000}
		}
		if args[0].typ.length == maxLength {
			t.length = maxLength
		}
		t.coll = args[0].typ.coll
		x, err := p.implicit(args[0], t)
		if err != nil {
			return expr{}, err
		}
		return expr{sql: "group_concat(" + x.sql + ", " + args[1].sql + ")" + over, typ: t, nullable: true}, nil
	case "row_number", "rank", "dense_rank":
		return expr{sql: name + "()" + over, typ: sqlType{id: tBigInt}, nullable: true}, nil
	case "percent_rank", "cume_dist":
		return expr{sql: name + "()" + over, typ: sqlType{id: tFloat}, nullable: true}, nil
	case "ntile":
		if err := need(1, 1); err != nil {
			return expr{}, err
		}
		return expr{sql: "ntile(" + args[0].sql + ")" + over, typ: sqlType{id: tBigInt}, nullable: true}, nil
	case "first_value", "last_value":
		if err := need(1, 1); err != nil {
			return expr{}, err
		}
		return expr{sql: name + "(" + args[0].sql + ")" + over, typ: args[0].typ, nullable: true}, nil
	case "lag", "lead":
		if err := need(1, 3); err != nil {
			return expr{}, err
		}
		x := args[0]
		sql := x.sql
		nullable := true
		if len(args) > 1 {
			sql += ", " + args[1].sql
		}
		if len(args) > 2 {
			d, err := p.implicit(args[2], x.typ)
			if err != nil {
				return expr{}, err
			}
			sql += ", " + d.sql
			nullable = x.nullable || d.nullable
		}
		return expr{sql: name + "(" + sql + ")" + over, typ: x.typ, nullable: nullable}, nil
	}
	return expr{}, notSupported("the aggregate %s", name)
}

// sum plans SUM and AVG. Their types: int of the small integers, bigint of bigint, money of money, decimal(38, s) of
// decimals, float of the approximate ones.
func (p *planner) sum(name string, x expr, distinct, over string) (expr, error) {
	t := x.typ
	avg := name == "avg"
	switch {
	case t.id == tTinyInt || t.id == tSmallInt || t.id == tInt:
		s := fmt.Sprintf("sum(%s%s)%s", distinct, x.sql, over)
		if avg {
			lo, hi := x.bounds()
			return expr{sql: fmt.Sprintf("(%s / count(%s%s)%s)", s, distinct, x.sql, over), typ: sqlType{id: tInt}, nullable: true, lo: lo, hi: hi, bounded: true}, nil
		}
		return expr{sql: fmt.Sprintf("ms_integer(%s, %d)", s, tInt), typ: sqlType{id: tInt}, nullable: true}, nil
	case t.id == tBigInt:
		// SQLite's sum fails where it exceeds 64 bits, as SQL Server's does.
		if avg {
			return expr{sql: fmt.Sprintf("ms_avg_int(%s%s)%s", distinct, x.sql, over), typ: t, nullable: true}, nil
		}
		return expr{sql: fmt.Sprintf("sum(%s%s)%s", distinct, x.sql, over), typ: t, nullable: true}, nil
	case t.isMoney():
		r := sqlType{id: tMoney}
		if avg {
			return expr{sql: fmt.Sprintf("ms_avg_money(%s%s)%s", distinct, x.sql, over), typ: r, nullable: true}, nil
		}
		return expr{sql: fmt.Sprintf("sum(%s%s)%s", distinct, x.sql, over), typ: r, nullable: true}, nil
	case t.id == tDecimal:
		if !avg {
			r := sqlType{id: tDecimal, prec: maxPrecision, scale: t.scale, numeric: t.numeric}
			return expr{sql: fmt.Sprintf("ms_sum(%s%s)%s", distinct, x.sql, over), typ: r, nullable: true}, nil
		}
		r := sqlType{id: tDecimal, prec: maxPrecision, scale: max(t.scale, 6), numeric: t.numeric}
		return expr{sql: fmt.Sprintf("ms_avg(%s%s, %d)%s", distinct, x.sql, r.scale-t.scale, over), typ: r, nullable: true}, nil
	case t.isApprox():
		return expr{sql: fmt.Sprintf("%s(%s%s)%s", name, distinct, x.sql, over), typ: sqlType{id: tFloat}, nullable: true}, nil
	}
	return expr{}, newError(8117, 16, "Operand data type %s is invalid for %s operator.", t.name(), name)
}

// needsOrder are the window functions that make no sense without an order.
var needsOrder = map[string]bool{
	"row_number": true, "rank": true, "dense_rank": true, "ntile": true, "lag": true, "lead": true, "first_value": true,
	"last_value": true, "percent_rank": true, "cume_dist": true,
}

func (p *planner) over(name string, o *ast.OverClause, sc *scope) (string, error) {
	if o.WindowName != nil {
		return "", notSupported("named windows")
	}
	var parts []string
	if len(o.Partitions) > 0 {
		var keys []string
		for _, x := range o.Partitions {
			e, err := p.expression(x, sc)
			if err != nil {
				return "", err
			}
			keys = append(keys, e.comparable())
		}
		parts = append(parts, "PARTITION BY "+strings.Join(keys, ", "))
	}
	if o.OrderByClause != nil {
		var terms []string
		for _, t := range o.OrderByClause.OrderByElements {
			if _, literal := t.Expression.(*ast.IntegerLiteral); literal {
				return "", newError(5308, 16, "Windowed functions, aggregates and NEXT VALUE FOR functions do not support integer indices as ORDER BY clause expressions.")
			}
			e, err := p.expression(t.Expression, sc)
			if err != nil {
				return "", err
			}
			terms = append(terms, orderTerm(e.sql, e.typ, t.SortOrder))
		}
		parts = append(parts, "ORDER BY "+strings.Join(terms, ", "))
	} else if needsOrder[name] {
		return "", newError(4112, 15, "The function '%s' must have an OVER clause with ORDER BY.", name)
	}
	if w := o.WindowFrameClause; w != nil {
		if o.OrderByClause == nil {
			return "", newError(10756, 15, "Window frame with ROWS or RANGE must have an ORDER BY clause.")
		}
		bound := func(d *ast.WindowDelimiter) (string, error) {
			switch d.WindowDelimiterType {
			case "CurrentRow":
				return "CURRENT ROW", nil
			case "UnboundedPreceding":
				return "UNBOUNDED PRECEDING", nil
			case "UnboundedFollowing":
				return "UNBOUNDED FOLLOWING", nil
			case "ValuePreceding", "ValueFollowing":
				e, err := p.expression(d.OffsetValue, &scope{parent: sc})
				if err != nil {
					return "", err
				}
				if w.WindowFrameType == "Range" {
					return "", newError(4194, 16, "RANGE is only supported with UNBOUNDED and CURRENT ROW window frame delimiters.")
				}
				return e.sql + map[string]string{"ValuePreceding": " PRECEDING", "ValueFollowing": " FOLLOWING"}[d.WindowDelimiterType], nil
			}
			return "", notSupported("the frame bound %s", d.WindowDelimiterType)
		}
		top, err := bound(w.Top)
		if err != nil {
			return "", err
		}
		kind := strings.ToUpper(w.WindowFrameType)
		if w.Bottom == nil {
			parts = append(parts, kind+" "+top)
		} else {
			bottom, err := bound(w.Bottom)
			if err != nil {
				return "", err
			}
			parts = append(parts, kind+" BETWEEN "+top+" AND "+bottom)
		}
	}
	return strings.Join(parts, " "), nil
}

func (p *planner) isNull(params []ast.ScalarExpression, sc *scope) (expr, error) {
	if len(params) != 2 {
		return expr{}, newError(174, 15, "The isnull function requires 2 argument(s).")
	}
	a, b, err := p.pair(params[0], params[1], sc)
	if err != nil {
		return expr{}, err
	}
	t := a.typ
	if t.id == tNull {
		t = b.typ
	}
	nullable := a.nullable && b.nullable
	if a, err = p.implicit(a, t); err != nil {
		return expr{}, err
	}
	if b, err = p.implicit(b, t); err != nil {
		return expr{}, err
	}
	x := expr{sql: "ifnull(" + a.sql + ", " + b.sql + ")", typ: t, nullable: nullable}
	if t.isInteger() {
		al, ah := a.bounds()
		bl, bh := b.bounds()
		x.lo, x.hi, x.bounded = min(al, bl), max(ah, bh), true
	}
	return x, nil
}

func (p *planner) choose(params []ast.ScalarExpression, sc *scope) (expr, error) {
	if len(params) < 2 {
		return expr{}, newError(189, 15, "The choose function requires 2 to 255 arguments.")
	}
	n, err := p.expression(params[0], sc)
	if err != nil {
		return expr{}, err
	}
	if n, err = p.implicit(n, sqlType{id: tInt}); err != nil {
		return expr{}, err
	}
	var conds []string
	var results []expr
	for i, x := range params[1:] {
		e, err := p.expression(x, sc)
		if err != nil {
			return expr{}, err
		}
		conds = append(conds, fmt.Sprintf("%s = %d", n.sql, i+1))
		results = append(results, e)
	}
	return p.caseOf(conds, results, nil, sc)
}

// simpleCall is a function of Go with arguments as they are.
func simpleCall(name string, t sqlType, args ...expr) expr {
	var sqls []string
	for _, a := range args {
		sqls = append(sqls, a.sql)
	}
	return expr{sql: name + "(" + strings.Join(sqls, ", ") + ")", typ: t, nullable: true}
}

// text brings an argument to a text.
func (p *planner) text(e expr) (expr, error) {
	if e.typ.isString() && !e.typ.isLob() {
		return e, nil
	}
	t := varcharType(8000)
	if e.typ.isMax() || e.typ.isLob() {
		t.length = maxLength
	}
	if e.typ.isUnicode() {
		t.id = tNVarChar
	}
	if e.typ.isNumber() || e.typ.isTime() || e.typ.id == tGUID {
		t.length = 60
	}
	return p.implicit(e, t)
}

// vary is the varying type of a text of the same length.
func (t sqlType) vary() sqlType {
	switch t.id {
	case tChar:
		t.id = tVarChar
	case tNChar:
		t.id = tNVarChar
	}
	return t
}

func (t sqlType) withLength(n int) sqlType {
	t = t.vary()
	if t.isUnicode() {
		t.length = lengthOrMax(n, 4000)
		if n > 4000 {
			t.length = 4000
		}
	} else {
		t.length = lengthOrMax(n, 8000)
		if n > 8000 {
			t.length = 8000
		}
	}
	return t
}

var (
	intType      = sqlType{id: tInt}
	bigintType   = sqlType{id: tBigInt}
	floatType    = sqlType{id: tFloat}
	datetimeType = sqlType{id: tDateTime}
	dateType     = sqlType{id: tDate}
	sysnameType  = sqlType{id: tNVarChar, length: 128}
)

// textual is a function of one text that gives a text of the same type.
func textual(name string) scalarFunction {
	return scalarFunction{1, 1, func(p *planner, a []expr) (expr, error) {
		x, err := p.text(a[0])
		if err != nil {
			return expr{}, err
		}
		return simpleCall(name, x.typ.vary(), x), nil
	}}
}

// floating is a function of floats.
func floating(name string, n int) scalarFunction {
	return scalarFunction{n, n, func(p *planner, a []expr) (expr, error) {
		for i := range a {
			var err error
			if a[i], err = p.implicit(a[i], floatType); err != nil {
				return expr{}, err
			}
		}
		return simpleCall(name, floatType, a...), nil
	}}
}

// keeping is a numeric function that gives the type that it gets.
func keeping(name string) scalarFunction {
	return scalarFunction{1, 1, func(p *planner, a []expr) (expr, error) {
		x := a[0]
		var err error
		if x.typ.isString() {
			if x, err = p.implicit(x, floatType); err != nil {
				return expr{}, err
			}
		}
		if !x.typ.isNumber() && x.typ.id != tNull {
			return expr{}, newError(8116, 16, "Argument data type %s is invalid for argument 1 of %s function.", x.typ.name(), strings.TrimPrefix(name, "ms_"))
		}
		t := x.typ
		switch t.id {
		case tReal:
			t = floatType
		case tTinyInt, tSmallInt, tBit:
			t = intType
		case tSmallMoney:
			t = sqlType{id: tMoney}
		case tDecimal:
			if name == "ms_floor" || name == "ms_ceiling" {
				t = sqlType{id: tDecimal, prec: t.prec, numeric: t.numeric}
			}
		}
		return expr{sql: fmt.Sprintf("%s(%s, %d, %d)", name, x.sql, x.typ.code(), t.code()), typ: t, nullable: true}, nil
	}}
}

// constantCall is a function whose value is known when the statement is planned.
func constantCall(t sqlType, f func(p *planner) any) scalarFunction {
	return scalarFunction{0, 0, func(p *planner, _ []expr) (expr, error) { return constantExpr(f(p), t), nil }}
}

// constantText is an argument that must be known when the statement is planned: a constant, or what is made of variables.
func (p *planner) constantText(e expr, function string) (string, bool, error) {
	if !e.constant {
		v, err := p.s.sql.value("SELECT "+e.sql, p.arguments()...)
		if err != nil { // it reads a column
			return "", false, notSupported("an argument of %s that depends on rows", function)
		}
		e.value = v
	}
	if e.value == nil {
		return "", false, nil
	}
	s, err := toText(e.value, e.typ, sysnameType, noStyle)
	return s, true, err
}

var scalarFunctions map[string]scalarFunction

func init() {
	scalarFunctions = map[string]scalarFunction{
		"getdate":           constantCall(datetimeType, func(p *planner) any { return p.datetimeNow() }),
		"getutcdate":        constantCall(datetimeType, func(p *planner) any { return p.datetimeNow() }),
		"current_timestamp": constantCall(datetimeType, func(p *planner) any { return p.datetimeNow() }),
		"currenttimestamp":  constantCall(datetimeType, func(p *planner) any { return p.datetimeNow() }),
		"sysdatetime":       constantCall(sqlType{id: tDateTime2, scale: 7}, func(p *planner) any { return ticksOf(p.now) }),
		"sysutcdatetime":    constantCall(sqlType{id: tDateTime2, scale: 7}, func(p *planner) any { return ticksOf(p.now) }),
		"sysdatetimeoffset": constantCall(sqlType{id: tDateTimeOffset, scale: 7}, func(p *planner) any { return offsetBytes(ticksOf(p.now), 0) }),
		"switchoffset": {2, 2, func(p *planner, a []expr) (expr, error) {
			x, err := p.implicit(a[0], sqlType{id: tDateTimeOffset, scale: a[0].typ.offsetScale()})
			return simpleCall("ms_switchoffset", x.typ, x, a[1]), err
		}},
		"todatetimeoffset": {2, 2, func(p *planner, a []expr) (expr, error) {
			x, err := p.implicit(a[0], sqlType{id: tDateTime2, scale: a[0].typ.offsetScale()})
			return simpleCall("ms_todatetimeoffset", sqlType{id: tDateTimeOffset, scale: x.typ.scale}, x, a[1]), err
		}},
		"quotename": {1, 2, func(p *planner, a []expr) (expr, error) {
			x, err := p.implicit(a[0], sysnameType)
			if err != nil {
				return expr{}, err
			}
			if len(a) == 1 {
				a = append(a, constantExpr("[", varcharType(1)))
			}
			return simpleCall("ms_quotename", nvarcharType(258), x, a[1]), nil
		}},
		"newid": {0, 0, func(*planner, []expr) (expr, error) {
			return expr{sql: "ms_newid()", typ: sqlType{id: tGUID}}, nil
		}},
		"rand": {0, 1, func(_ *planner, a []expr) (expr, error) {
			if len(a) == 1 {
				if seed, ok := a[0].value.(int64); ok {
					return constantExpr(rand.New(rand.NewPCG(uint64(seed), 0)).Float64(), floatType), nil
				}
				return expr{}, notSupported("RAND with a seed that isn't a constant")
			}
			return constantExpr(rand.Float64(), floatType), nil
		}},
		"upper": textual("ms_upper"), "lower": textual("ms_lower"), "ltrim": textual("ms_ltrim"), "rtrim": textual("ms_rtrim"),
		"trim": textual("ms_trim"), "reverse": textual("ms_reverse"),
		"len": {1, 1, func(p *planner, a []expr) (expr, error) {
			t := intType
			if a[0].typ.isMax() {
				t = bigintType
			}
			if a[0].typ.isBinary() {
				return expr{sql: "length(" + a[0].sql + ")", typ: t, nullable: true}, nil
			}
			x, err := p.text(a[0])
			return expr{sql: "ms_len(" + x.sql + ")", typ: t, nullable: a[0].nullable, lo: 0, hi: 8000, bounded: t.id == tInt}, err
		}},
		"datalength": {1, 1, func(_ *planner, a []expr) (expr, error) {
			t := intType
			if a[0].typ.isMax() {
				t = bigintType
			}
			return expr{sql: fmt.Sprintf("ms_datalength(%s, %d)", a[0].sql, a[0].typ.code()), typ: t, nullable: a[0].nullable}, nil
		}},
		"substring": {3, 3, func(p *planner, a []expr) (expr, error) {
			start, err := p.implicit(a[1], bigintType)
			if err != nil {
				return expr{}, err
			}
			n, err := p.implicit(a[2], bigintType)
			if err != nil {
				return expr{}, err
			}
			if a[0].typ.isBinary() {
				return simpleCall("ms_subbinary", sqlType{id: tVarBinary, length: a[0].typ.length}, a[0], start, n), nil
			}
			x, err := p.text(a[0])
			t := x.typ.vary()
			if v, ok := n.value.(int64); ok && v > 0 && t.length != maxLength && v < int64(t.length) && t.unitPerCharacter() {
				t.length = int32(v)
			}
			return simpleCall("ms_substring", t, x, start, n), err
		}},
		"left": leftRight("ms_left"), "right": leftRight("ms_right"),
		"replace": {3, 3, func(p *planner, a []expr) (expr, error) {
			unicode, unlimited, coll := false, false, sqlType{}
			for i := range a {
				var err error
				if a[i], err = p.text(a[i]); err != nil {
					return expr{}, err
				}
				if coll.coll, coll.collated, err = commonCollation(coll, a[i].typ); err != nil {
					return expr{}, err
				}
				unicode = unicode || a[i].typ.isUnicode()
				unlimited = unlimited || a[i].typ.length == maxLength
			}
			t := varcharType(8000)
			if unicode {
				t = nvarcharType(4000)
			}
			if unlimited {
				t.length = maxLength
			}
			t.coll, t.collated = coll.coll, coll.collated
			return simpleCall("ms_replace", t, a...), nil
		}},
		"replicate": {2, 2, func(p *planner, a []expr) (expr, error) {
			x, err := p.text(a[0])
			if err != nil {
				return expr{}, err
			}
			t := x.typ.withLength(8000)
			limit := 8000
			if t.isUnicode() {
				limit = 4000
			}
			if x.typ.length == maxLength {
				t.length, limit = maxLength, 1<<30
			}
			n, err := p.implicit(a[1], bigintType)
			return expr{sql: fmt.Sprintf("ms_replicate(%s, %s, %d)", x.sql, n.sql, limit), typ: t, nullable: true}, err
		}},
		"space": {1, 1, func(_ *planner, a []expr) (expr, error) {
			return expr{sql: fmt.Sprintf("ms_replicate(' ', %s, 8000)", a[0].sql), typ: varcharType(8000), nullable: true}, nil
		}},
		"charindex": {2, 3, func(p *planner, a []expr) (expr, error) {
			x, err := p.text(a[0])
			if err != nil {
				return expr{}, err
			}
			y, err := p.text(a[1])
			if err != nil {
				return expr{}, err
			}
			args := []expr{x, y}
			if len(a) == 3 {
				args = append(args, a[2])
			}
			t := intType
			if y.typ.length == maxLength {
				t = bigintType
			}
			return simpleCall("ms_charindex", t, args...), nil
		}},
		"concat": {2, 254, concatCall(false)}, "concat_ws": {3, 254, concatCall(true)},
		"str": {1, 3, func(p *planner, a []expr) (expr, error) {
			f, err := p.implicit(a[0], floatType)
			if err != nil {
				return expr{}, err
			}
			n, d := constantExpr(int64(10), intType), constantExpr(int64(0), intType)
			if len(a) > 1 {
				n = a[1]
			}
			if len(a) > 2 {
				d = a[2]
			}
			length := int64(8000)
			if v, ok := n.value.(int64); ok {
				length = v
			}
			return simpleCall("ms_str", varcharType(int(length)), f, n, d), nil
		}},
		"ascii":   simple("ms_ascii", intType),
		"unicode": simple("ms_unicode", intType),
		"char":    simple("ms_char", sqlType{id: tChar, length: 1}),
		"nchar":   simple("ms_nchar", sqlType{id: tNChar, length: 1}),
		"abs":     keeping("ms_abs"), "floor": keeping("ms_floor"), "ceiling": keeping("ms_ceiling"), "sign": keeping("ms_sign"),
		"sqrt": floating("ms_sqrt", 1), "exp": floating("ms_exp", 1), "log10": floating("ms_log10", 1),
		"sin": floating("ms_sin", 1), "cos": floating("ms_cos", 1), "tan": floating("ms_tan", 1), "atan": floating("ms_atan", 1),
		"asin": floating("ms_asin", 1), "acos": floating("ms_acos", 1), "atn2": floating("ms_atan2", 2), "square": floating("ms_square", 1),
		"radians": floating("ms_radians", 1), "degrees": floating("ms_degrees", 1),
		"log": {1, 2, func(p *planner, a []expr) (expr, error) {
			for i := range a {
				var err error
				if a[i], err = p.implicit(a[i], floatType); err != nil {
					return expr{}, err
				}
			}
			return simpleCall("ms_log", floatType, a...), nil
		}},
		"pi": constantCall(floatType, func(*planner) any { return 3.141592653589793 }),
		"power": {2, 2, func(p *planner, a []expr) (expr, error) {
			t := a[0].typ
			switch t.id {
			case tTinyInt, tSmallInt, tBit, tNull:
				t = intType
			case tReal, tVarChar, tNVarChar, tChar, tNChar:
				t = floatType
			case tDecimal:
				t = sqlType{id: tDecimal, prec: maxPrecision, scale: t.scale, numeric: t.numeric}
			}
			x, err := p.implicit(a[0], floatType)
			if err != nil {
				return expr{}, err
			}
			y, err := p.implicit(a[1], floatType)
			if err != nil {
				return expr{}, err
			}
			return p.cast(simpleCall("ms_power", floatType, x, y), t, noStyle)
		}},
		"round": {2, 3, func(p *planner, a []expr) (expr, error) {
			x := a[0]
			var err error
			if x.typ.isString() {
				if x, err = p.implicit(x, floatType); err != nil {
					return expr{}, err
				}
			}
			t := x.typ
			switch t.id {
			case tReal:
				t = floatType
			case tTinyInt, tSmallInt, tBit, tNull:
				t = intType
			}
			cut := "0"
			if len(a) == 3 {
				cut = a[2].sql
			}
			return expr{sql: fmt.Sprintf("ms_round(%s, %s, %s, %d, %d)", x.sql, a[1].sql, cut, x.typ.code(), t.code()), typ: t, nullable: true}, nil
		}},
		"year": datePartCall("year"), "month": datePartCall("month"), "day": datePartCall("day"),
		"datefromparts": {3, 3, func(p *planner, a []expr) (expr, error) {
			for i := range a {
				var err error
				if a[i], err = p.implicit(a[i], intType); err != nil {
					return expr{}, err
				}
			}
			return simpleCall("ms_datefromparts", dateType, a...), nil
		}},
		"datetime2fromparts": {8, 8, func(p *planner, a []expr) (expr, error) {
			scale, ok := a[7].value.(int64)
			if !ok || scale < 0 || scale > 7 {
				return expr{}, newError(10760, 16, "Scale argument is not valid. Valid expressions for data type datetime2 scale argument are integer constants and integer constant expressions.")
			}
			for i := range a {
				var err error
				if a[i], err = p.implicit(a[i], intType); err != nil {
					return expr{}, err
				}
			}
			return simpleCall("ms_datetime2fromparts", sqlType{id: tDateTime2, scale: uint8(scale)}, a...), nil
		}},
		"isdate": {1, 1, func(p *planner, a []expr) (expr, error) {
			x, err := p.text(a[0])
			return simpleCall("ms_isdate", intType, x), err
		}},
		"isnumeric": {1, 1, func(p *planner, a []expr) (expr, error) {
			if a[0].typ.isNumber() {
				return constantExpr(int64(1), intType), nil
			}
			x, err := p.text(a[0])
			return simpleCall("ms_isnumeric", intType, x), err
		}},
		"hashbytes": {2, 2, func(_ *planner, a []expr) (expr, error) {
			x := a[1]
			if !x.typ.isString() && !x.typ.isBinary() {
				return expr{}, newError(8116, 16, "Argument data type %s is invalid for argument 2 of hashbytes function.", x.typ.name())
			}
			return expr{sql: fmt.Sprintf("ms_hashbytes(%s, %s, %d)", a[0].sql, x.sql, x.typ.code()), typ: sqlType{id: tVarBinary, length: 8000}, nullable: true}, nil
		}},
	}
	maps.Copy(scalarFunctions, systemFunctions())
}

func simple(name string, t sqlType) scalarFunction {
	return scalarFunction{1, 1, func(_ *planner, a []expr) (expr, error) { return simpleCall(name, t, a[0]), nil }}
}

func leftRight(name string) scalarFunction {
	return scalarFunction{2, 2, func(p *planner, a []expr) (expr, error) {
		x, err := p.text(a[0])
		if err != nil {
			return expr{}, err
		}
		n, err := p.implicit(a[1], bigintType)
		if err != nil {
			return expr{}, err
		}
		t := x.typ.vary()
		if v, ok := n.value.(int64); ok && v > 0 && (t.length == maxLength || v < int64(t.length)) && t.unitPerCharacter() {
			t.length = int32(min(v, 8000))
		}
		return simpleCall(name, t, x, n), nil
	}}
}

func concatCall(separated bool) func(p *planner, a []expr) (expr, error) {
	return func(p *planner, a []expr) (expr, error) {
		unicode, n, coll := false, int32(0), sqlType{}
		for i := range a {
			x, err := p.text(a[i])
			if err != nil {
				return expr{}, err
			}
			if coll.coll, coll.collated, err = commonCollation(coll, x.typ); err != nil {
				return expr{}, err
			}
			if a[i].typ.id == tNull {
				x = constantExpr("", varcharType(1))
				if separated {
					x = expr{sql: "NULL", typ: varcharType(1), nullable: true}
				}
			}
			a[i] = x
			unicode = unicode || x.typ.isUnicode()
			if x.typ.length == maxLength {
				n = maxLength
			}
			if n != maxLength {
				n += x.typ.length
			}
		}
		if separated && n != maxLength {
			n += a[0].typ.length * int32(len(a)-2)
		}
		t := sqlType{id: tVarChar, length: min(n, 8000)}
		if unicode {
			t = sqlType{id: tNVarChar, length: min(n, 4000)}
		}
		t.coll, t.collated = coll.coll, coll.collated
		name := "ms_concat"
		if separated {
			name = "ms_concat_ws"
		}
		x := simpleCall(name, t, a...)
		x.nullable = false
		return x, nil
	}
}

func datePartCall(part string) scalarFunction {
	return scalarFunction{1, 1, func(p *planner, a []expr) (expr, error) { return p.datePart(part, a[0]) }}
}

// offsetScale is the scale of a datetimeoffset that holds every value of the type; texts are read to the seventh digit.
func (t sqlType) offsetScale() uint8 {
	if t.isTime() {
		return t.fractionalDigits()
	}
	return 7
}

func (p *planner) datetimeNow() int64 {
	v, err := moment{ticks: ticksOf(p.now)}.store(datetimeType)
	if err != nil {
		return 0
	}
	return v.(int64)
}

// dateParts are the names of the parts of a date, by all their spellings.
var dateParts = map[string]string{
	"year": "year", "yy": "year", "yyyy": "year", "quarter": "quarter", "qq": "quarter", "q": "quarter", "month": "month",
	"mm": "month", "m": "month", "dayofyear": "dayofyear", "dy": "dayofyear", "y": "dayofyear", "day": "day", "dd": "day",
	"d": "day", "week": "week", "wk": "week", "ww": "week", "weekday": "weekday", "dw": "weekday", "w": "weekday",
	"hour": "hour", "hh": "hour", "minute": "minute", "mi": "minute", "n": "minute", "second": "second", "ss": "second",
	"s": "second", "millisecond": "millisecond", "ms": "millisecond", "microsecond": "microsecond", "mcs": "microsecond",
	"nanosecond": "nanosecond", "ns": "nanosecond", "iso_week": "iso_week", "isowk": "iso_week", "isoww": "iso_week",
	"tzoffset": "tzoffset", "tz": "tzoffset",
}

// dateFunction plans the functions whose first argument is the name of a part.
func (p *planner) dateFunction(name string, f *ast.FunctionCall, sc *scope) (expr, error) {
	params := f.Parameters
	if name == "eomonth" {
		if len(params) < 1 || len(params) > 2 {
			return expr{}, newError(189, 15, "The eomonth function requires 1 to 2 arguments.")
		}
		x, err := p.expression(params[0], sc)
		if err != nil {
			return expr{}, err
		}
		if x, err = p.implicit(x, dateType); err != nil {
			return expr{}, err
		}
		n := constantExpr(int64(0), intType)
		if len(params) == 2 {
			if n, err = p.expression(params[1], sc); err != nil {
				return expr{}, err
			}
		}
		return simpleCall("ms_eomonth", dateType, x, n), nil
	}
	want := map[string]int{"dateadd": 3, "datediff": 3, "datediff_big": 3, "datepart": 2, "datename": 2, "datetrunc": 2}[name]
	if len(params) != want {
		return expr{}, newError(174, 15, "The %s function requires %d argument(s).", name, want)
	}
	spelled := ""
	switch a := params[0].(type) {
	case *ast.ColumnReferenceExpression:
		spelled = strings.Join(identifiers(a), ".")
	case *ast.IdentifierLiteral:
		spelled = a.Value
	case *ast.FunctionCall:
		if a.FunctionName != nil {
			spelled = a.FunctionName.Value
		}
	}
	part, ok := dateParts[strings.ToLower(spelled)]
	if !ok {
		return expr{}, newError(155, 15, "'%s' is not a recognized %s option.", spelled, name)
	}
	var args []expr
	for _, x := range params[1:] {
		e, err := p.expression(x, sc)
		if err != nil {
			return expr{}, err
		}
		args = append(args, e)
	}
	switch name {
	case "datepart":
		return p.datePart(part, args[0])
	case "datename":
		x, err := p.asTime(args[0])
		if err != nil {
			return expr{}, err
		}
		return expr{sql: fmt.Sprintf("ms_datename('%s', %s, %d)", part, x.sql, x.typ.code()), typ: nvarcharType(30), nullable: true}, nil
	case "datetrunc":
		x, err := p.asTime(args[0])
		if err != nil {
			return expr{}, err
		}
		return expr{sql: fmt.Sprintf("ms_datetrunc('%s', %s, %d)", part, x.sql, x.typ.code()), typ: x.typ, nullable: true}, nil
	case "dateadd":
		n, err := p.implicit(args[0], bigintType)
		if err != nil {
			return expr{}, err
		}
		x := args[1]
		if x.typ.isString() || x.typ.isNumber() || x.typ.id == tNull {
			if x, err = p.implicit(x, datetimeType); err != nil {
				return expr{}, err
			}
		}
		t := x.typ
		if (t.id == tDateTime2 || t.id == tDateTimeOffset || t.id == tTime) && t.scale < 7 {
			switch part {
			case "millisecond":
				t.scale = max(t.scale, 3)
			case "microsecond":
				t.scale = max(t.scale, 6)
			case "nanosecond":
				t.scale = 7
			}
		}
		return expr{sql: fmt.Sprintf("ms_dateadd('%s', %s, %s, %d, %d)", part, n.sql, x.sql, x.typ.code(), t.code()), typ: t, nullable: true}, nil
	}
	// datediff
	t := intType
	if name == "datediff_big" {
		t = bigintType
	}
	for i := range args {
		var err error
		if args[i], err = p.asTime(args[i]); err != nil {
			return expr{}, err
		}
	}
	if part == "day" && args[0].typ.id == tDate && args[1].typ.id == tDate {
		return expr{sql: fmt.Sprintf("(%s - %s)", args[1].sql, args[0].sql), typ: t, nullable: true, lo: -maxDay, hi: maxDay, bounded: true}, nil
	}
	return expr{sql: fmt.Sprintf("ms_datediff('%s', %s, %d, %s, %d, %d)", part, args[0].sql, args[0].typ.code(), args[1].sql, args[1].typ.code(), t.id), typ: t, nullable: true}, nil
}

// asTime brings an argument to a type of time: texts are read as datetime2, numbers as datetime.
func (p *planner) asTime(e expr) (expr, error) {
	switch {
	case e.typ.isTime():
		return e, nil
	case e.typ.isString():
		return p.implicit(e, sqlType{id: tDateTimeOffset, scale: 7})
	}
	return p.implicit(e, datetimeType)
}

// partBounds are the values that a part can have, which spares its arithmetic the checks.
var partBounds = map[string][2]float64{
	"year": {1, 9999}, "quarter": {1, 4}, "month": {1, 12}, "dayofyear": {1, 366}, "day": {1, 31}, "week": {1, 54},
	"weekday": {1, 7}, "hour": {0, 23}, "minute": {0, 59}, "second": {0, 59}, "millisecond": {0, 999},
	"microsecond": {0, 999_999}, "nanosecond": {0, 999_999_999}, "iso_week": {1, 53}, "tzoffset": {-840, 840},
}

func (p *planner) datePart(part string, e expr) (expr, error) {
	x, err := p.asTime(e)
	if err != nil {
		return expr{}, err
	}
	b := partBounds[part]
	return expr{sql: fmt.Sprintf("ms_datepart('%s', %s, %d)", part, x.sql, x.typ.code()), typ: intType, nullable: true, lo: b[0], hi: b[1], bounded: true}, nil
}
