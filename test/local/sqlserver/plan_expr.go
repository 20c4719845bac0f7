package sqlserver

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/sqlc-dev/teesql/ast"
)

// expression plans a scalar expression. In a query with GROUP BY it keeps account of columns that aren't grouped by.
func (p *planner) expression(e ast.ScalarExpression, sc *scope) (expr, error) {
	if err := p.deeper(); err != nil {
		return expr{}, err
	}
	defer func() { p.depth-- }()
	before := len(sc.bare)
	x, err := p.scalar(e, sc)
	if err != nil {
		return expr{}, err
	}
	if sc.groupKeys[x.sql] { // what is grouped by may be selected, whatever columns it holds
		sc.bare = sc.bare[:before]
	}
	return x, nil
}

func (p *planner) scalar(e ast.ScalarExpression, sc *scope) (expr, error) {
	switch e := e.(type) {
	case nil:
		return expr{}, newError(errSyntax, 15, "Incorrect syntax: an expression is missing.")
	case *ast.ColumnReferenceExpression:
		return p.columnReference(e, sc)
	case *ast.VariableReference:
		return p.variable(e.Name)
	case *ast.GlobalVariableExpression:
		return p.globalVariable(e.Name)
	case *ast.ParenthesisExpression:
		return p.expression(e.Expression, sc)
	case *ast.IntegerLiteral:
		return integerLiteral(e.Value)
	case *ast.NumericLiteral:
		return numericLiteral(e.Value)
	case *ast.RealLiteral:
		f, err := strconv.ParseFloat(e.Value, 64)
		if err != nil {
			return expr{}, newError(168, 15, "The floating point value '%s' is out of the range of computer representation (8 bytes).", e.Value)
		}
		return constantExpr(f, sqlType{id: tFloat}), nil
	case *ast.MoneyLiteral:
		v, err := toExact(e.Value, varcharType(50), sqlType{id: tMoney})
		if err != nil {
			return expr{}, err
		}
		return constantExpr(v, sqlType{id: tMoney}), nil
	case *ast.StringLiteral:
		return stringLiteral(e.Value, e.IsNational), nil
	case *ast.BinaryLiteral:
		return binaryLiteral(e.Value)
	case *ast.NullLiteral:
		return constantExpr(nil, sqlType{id: tNull}), nil
	case *ast.DefaultLiteral:
		return expr{}, newError(errSyntaxKeyword, 15, "Incorrect syntax near the keyword 'DEFAULT'.")
	case *ast.UnaryExpression:
		return p.unary(e, sc)
	case *ast.BinaryExpression:
		a, err := p.expression(e.FirstExpression, sc)
		if err != nil {
			return expr{}, err
		}
		if name, ok := collationIn(e); ok {
			return p.collate(a, name)
		}
		b, err := p.expression(e.SecondExpression, sc)
		if err != nil {
			return expr{}, err
		}
		return p.arithmetic(e.BinaryExpressionType, a, b)
	case *ast.ScalarSubquery:
		return p.subquery(e.QueryExpression, sc)
	case *ast.SearchedCaseExpression:
		return p.searchedCase(e, sc)
	case *ast.SimpleCaseExpression:
		return p.simpleCase(e, sc)
	case *ast.IIfCall:
		return p.searchedCase(&ast.SearchedCaseExpression{
			WhenClauses:    []*ast.SearchedWhenClause{{WhenExpression: e.Predicate, ThenExpression: e.ThenExpression}},
			ElseExpression: e.ElseExpression,
		}, sc)
	case *ast.CoalesceExpression:
		return p.coalesce(e.Expressions, sc)
	case *ast.NullIfExpression:
		return p.nullIf(e, sc)
	case *ast.CastCall:
		return p.castCall(e.DataType, e.Parameter, nil, false, sc)
	case *ast.ConvertCall:
		return p.castCall(e.DataType, e.Parameter, e.Style, false, sc)
	case *ast.TryCastCall:
		return p.castCall(e.DataType, e.Parameter, nil, true, sc)
	case *ast.TryConvertCall:
		return p.castCall(e.DataType, e.Parameter, e.Style, true, sc)
	case *ast.LeftFunctionCall:
		return p.callByName("left", e.Parameters, sc)
	case *ast.RightFunctionCall:
		return p.callByName("right", e.Parameters, sc)
	case *ast.ParameterlessCall:
		return p.callByName(strings.ToLower(e.ParameterlessCallType), nil, sc)
	case *ast.FunctionCall:
		return p.function(e, sc)
	}
	return expr{}, notSupported("this kind of expression (%s)", strings.TrimPrefix(fmt.Sprintf("%T", e), "*ast."))
}

// collationIn is the collation in what collateAsOperator made of COLLATE.
func collationIn(e *ast.BinaryExpression) (string, bool) {
	ref, ok := e.SecondExpression.(*ast.ColumnReferenceExpression)
	if !ok || e.BinaryExpressionType != "Multiply" {
		return "", false
	}
	ids := identifiers(ref)
	if len(ids) != 1 {
		return "", false
	}
	return strings.CutPrefix(ids[0], collateMark)
}

// collate gives a text another collation, and with it another code page.
func (p *planner) collate(e expr, name string) (expr, error) {
	if !e.typ.isString() || e.typ.isLob() || e.typ.id == tJSON {
		return expr{}, newError(447, 16, "Expression type %s is invalid for COLLATE clause.", e.typ.name())
	}
	t := e.typ
	if t.coll = 0; !strings.EqualFold(name, "DATABASE_DEFAULT") {
		var err error
		if t.coll, err = collationOf(t, name); err != nil {
			return expr{}, err
		}
	}
	x, err := p.cast(e, t, noStyle)
	x.typ.collated = true
	return x, err
}

func (p *planner) columnReference(e *ast.ColumnReferenceExpression, sc *scope) (expr, error) {
	ids := identifiers(e)
	if e.ColumnType == "Wildcard" {
		return expr{}, newError(errSyntax, 15, "Incorrect syntax near '*'.")
	}
	c, err := p.lookup(ids, sc)
	if err != nil {
		return expr{}, err
	}
	if sc.inside == 0 && sc.owns(c.sql) {
		sc.bare = append(sc.bare, strings.Join(ids, "."))
	}
	if c.mask != "" {
		p.mask = c.mask
	}
	return expr{sql: c.sql, typ: c.typ, nullable: c.nullable}, nil
}

// integerLiteral: what exceeds an int is a numeric, never a bigint.
func integerLiteral(s string) (expr, error) {
	if v, err := strconv.ParseInt(s, 10, 32); err == nil {
		return constantExpr(v, sqlType{id: tInt}), nil
	}
	return numericLiteral(s)
}

func numericLiteral(s string) (expr, error) {
	v, scale, ok := parseDecimal(s)
	if !ok {
		return expr{}, newError(errSyntax, 15, "Incorrect syntax near '%s'.", s)
	}
	digits := len(new(big.Int).Abs(v).String())
	if v.Sign() == 0 {
		digits = 1
	}
	digits = max(digits, scale)
	if digits > maxPrecision {
		return expr{}, newError(1007, 15, "The number '%s' is out of the range for numeric representation (maximum precision 38).", s)
	}
	t := sqlType{id: tDecimal, prec: uint8(max(digits, 1)), scale: uint8(scale), numeric: true}
	stored, err := decimalToStore(v, t)
	if err != nil {
		return expr{}, err
	}
	return constantExpr(stored, t), nil
}

func stringLiteral(s string, national bool) expr {
	if national {
		return constantExpr(s, nvarcharType(utf16Length(s)))
	}
	s = toVarchar(s)
	return constantExpr(s, varcharType(utf16Length(s)))
}

func binaryLiteral(s string) (expr, error) {
	digits := s
	if len(digits) >= 2 && strings.EqualFold(digits[:2], "0x") {
		digits = digits[2:]
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return expr{}, newError(errSyntax, 15, "Incorrect syntax near '%s'.", s)
	}
	return constantExpr(b, sqlType{id: tVarBinary, length: lengthOrMax(len(b), 8000)}), nil
}

func (p *planner) unary(e *ast.UnaryExpression, sc *scope) (expr, error) {
	x, err := p.expression(e.Expression, sc)
	if err != nil {
		return expr{}, err
	}
	switch e.UnaryExpressionType {
	case "Positive":
		return x, nil
	case "BitwiseNot":
		if !x.typ.isInteger() {
			return expr{}, newError(8117, 16, "Operand data type %s is invalid for '~' operator.", x.typ.name())
		}
		switch x.typ.id {
		case tBit:
			return expr{sql: "(1 - " + x.sql + ")", typ: x.typ, nullable: x.nullable}, nil
		case tTinyInt:
			return expr{sql: "(255 - " + x.sql + ")", typ: x.typ, nullable: x.nullable}, nil
		}
		return expr{sql: "(~" + x.sql + ")", typ: x.typ, nullable: x.nullable}, nil
	case "Negative":
		if x.constant && x.value != nil {
			switch v := x.value.(type) {
			case int64:
				if x.typ.id == tInt || x.typ.id == tMoney || x.typ.id == tDecimal {
					return constantExpr(-v, x.typ), nil
				}
			case float64:
				return constantExpr(-v, x.typ), nil
			case []byte:
				if x.typ.id == tDecimal {
					n := decimalFromBytes(v)
					return constantExpr(wideBytes(n.Neg(n)), x.typ), nil
				}
			}
		}
		switch {
		case x.typ.isInteger() && x.typ.id != tBit, x.typ.isMoney(), x.typ.id == tDecimal, x.typ.isApprox(), x.typ.id == tNull:
		default:
			return expr{}, newError(8117, 16, "Operand data type %s is invalid for minus operator.", x.typ.name())
		}
		zero := constantExpr(int64(0), sqlType{id: tTinyInt})
		if x.typ.id == tDecimal && !x.typ.wide() {
			return expr{sql: "(-" + x.sql + ")", typ: x.typ, nullable: x.nullable}, nil
		}
		if x.typ.id == tDecimal {
			return expr{sql: fmt.Sprintf("ms_arith(1, 0, %s, %d, %d, %d)", x.sql, decimalType(1, 0).code(), x.typ.code(), x.typ.code()), typ: x.typ, nullable: x.nullable}, nil
		}
		return p.arithmetic("Subtract", zero, x)
	}
	return expr{}, notSupported("the unary operator %s", e.UnaryExpressionType)
}

// The operators, with the numbers by which ms_arith knows them.
var operators = map[string]struct {
	code   int
	symbol string
	word   string
}{
	"Add": {0, "+", "add"}, "Subtract": {1, "-", "subtract"}, "Multiply": {2, "*", "multiply"},
	"Divide": {3, "/", "divide"}, "Modulo": {4, "%", "modulo"},
	"BitwiseAnd": {5, "&", "'&'"}, "BitwiseOr": {6, "|", "'|'"}, "BitwiseXor": {7, "^", "'^'"},
}

// arithmetic plans a binary operator.
func (p *planner) arithmetic(name string, a, b expr) (expr, error) {
	op, ok := operators[name]
	if !ok {
		return expr{}, notSupported("the operator %s", name)
	}
	nullable := a.nullable || b.nullable
	if a.typ.id == tNull && b.typ.id == tNull {
		return constantExpr(nil, sqlType{id: tInt}), nil
	}
	if a.typ.id == tNull {
		a.typ = b.typ
	}
	if b.typ.id == tNull {
		b.typ = a.typ
	}
	switch {
	case op.code == 0 && a.typ.isString() && b.typ.isString():
		return p.concatenate(a, b)
	case op.code == 0 && a.typ.isBinary() && b.typ.isBinary():
		n := a.typ.length + b.typ.length
		if a.typ.length == maxLength || b.typ.length == maxLength || n > 8000 {
			n = maxLength
		}
		return expr{sql: fmt.Sprintf("CAST(%s || %s AS BLOB)", a.sql, b.sql), typ: sqlType{id: tVarBinary, length: n}, nullable: nullable}, nil
	case a.typ.isTime() || b.typ.isTime():
		return p.timeArithmetic(op.code, op.word, a, b)
	}
	var err error
	// A text meets a number as that number's type.
	if a.typ.isString() && b.typ.isNumber() {
		if a, err = p.implicit(a, b.typ); err != nil {
			return expr{}, err
		}
	}
	if b.typ.isString() && a.typ.isNumber() {
		if b, err = p.implicit(b, a.typ); err != nil {
			return expr{}, err
		}
	}
	for _, x := range []expr{a, b} {
		if !x.typ.isNumber() || x.typ.id == tBit && op.code < 5 && a.typ.id == tBit && b.typ.id == tBit {
			return expr{}, newError(8117, 16, "Operand data type %s is invalid for %s operator.", x.typ.name(), op.word)
		}
	}
	if op.code >= 5 {
		return p.bitwise(op.code, op.symbol, a, b)
	}
	switch {
	case a.typ.isApprox() || b.typ.isApprox():
		t := sqlType{id: tFloat}
		if a.typ.id == tReal && b.typ.id != tFloat || b.typ.id == tReal && a.typ.id != tFloat {
			t.id = tReal
		}
		if op.code == 4 {
			return expr{}, newError(402, 16, "The data types %s and %s are incompatible in the modulo operator.", a.typ.name(), b.typ.name())
		}
		if a, err = p.cast(a, sqlType{id: tFloat}, noStyle); err != nil {
			return expr{}, err
		}
		if b, err = p.cast(b, sqlType{id: tFloat}, noStyle); err != nil {
			return expr{}, err
		}
		sql := fmt.Sprintf("ms_finite(%s %s %s)", a.sql, op.symbol, b.sql)
		if op.code == 3 {
			sql = fmt.Sprintf("ms_divide(%s, %s)", a.sql, b.sql)
		}
		if t.id == tReal {
			sql = "ms_real(" + sql + ")"
		}
		return expr{sql: sql, typ: t, nullable: true}, nil
	case a.typ.id == tDecimal || b.typ.id == tDecimal:
		return p.decimalArithmetic(op.code, op.symbol, exactConstant(a), exactConstant(b))
	case a.typ.isMoney() || b.typ.isMoney():
		t := sqlType{id: tMoney}
		if a.typ.id != tMoney && b.typ.id != tMoney {
			t.id = tSmallMoney
		}
		return expr{sql: fmt.Sprintf("ms_arith(%d, %s, %s, %d, %d, %d)", op.code, a.sql, b.sql, a.typ.code(), b.typ.code(), t.code()), typ: t, nullable: true}, nil
	}
	return p.integerArithmetic(op.code, op.symbol, a, b)
}

// exactConstant gives an integer literal beside a decimal the precision of its digits, as SQL Server does.
func exactConstant(e expr) expr {
	if v, ok := e.value.(int64); ok && e.constant && e.typ.isInteger() {
		t := decimalType(len(strconv.FormatUint(magnitude(v), 10)), 0)
		return constantExpr(v, t)
	}
	return e
}

func (p *planner) integerArithmetic(op int, symbol string, a, b expr) (expr, error) {
	t := a.typ
	if precedence[b.typ.id] < precedence[t.id] {
		t = b.typ
	}
	if t.id == tBit {
		t.id = tInt
	}
	al, ah := a.bounds()
	bl, bh := b.bounds()
	var lo, hi float64
	switch op {
	case 0:
		lo, hi = al+bl, ah+bh
	case 1:
		lo, hi = al-bh, ah-bl
	case 2:
		lo = min(al*bl, al*bh, ah*bl, ah*bh)
		hi = max(al*bl, al*bh, ah*bl, ah*bh)
	case 3, 4:
		divisor, ok := b.value.(int64)
		if !ok || !b.constant || divisor == 0 || divisor == -1 {
			return expr{sql: fmt.Sprintf("ms_integer_%s(%s, %s, %d)", map[int]string{3: "div", 4: "mod"}[op], a.sql, b.sql, t.id), typ: t, nullable: true}, nil
		}
		return expr{sql: fmt.Sprintf("(%s %s %s)", a.sql, symbol, b.sql), typ: t, nullable: true}, nil
	}
	tl, th := t.integerRange()
	x := expr{typ: t, nullable: true}
	switch {
	case lo >= float64(tl) && hi <= float64(th) && t.id != tBigInt, lo > -9e18 && hi < 9e18 && t.id == tBigInt:
		x.sql, x.lo, x.hi, x.bounded = fmt.Sprintf("(%s %s %s)", a.sql, symbol, b.sql), lo, hi, true
	case t.id == tBigInt:
		x.sql = fmt.Sprintf("ms_bigint(%d, %s, %s)", op, a.sql, b.sql)
	default: // it can't overflow 64 bits
		x.sql = fmt.Sprintf("ms_integer(%s %s %s, %d)", a.sql, symbol, b.sql, t.id)
	}
	return x, nil
}

func (p *planner) bitwise(op int, symbol string, a, b expr) (expr, error) {
	if !a.typ.isInteger() || !b.typ.isInteger() {
		return expr{}, newError(402, 16, "The data types %s and %s are incompatible in the '%s' operator.", a.typ.name(), b.typ.name(), symbol)
	}
	t := a.typ
	if precedence[b.typ.id] < precedence[t.id] {
		t = b.typ
	}
	sql := fmt.Sprintf("(%s %s %s)", a.sql, symbol, b.sql)
	if op == 7 {
		sql = fmt.Sprintf("((%s | %s) - (%s & %s))", a.sql, b.sql, a.sql, b.sql)
	}
	return expr{sql: sql, typ: t, nullable: true}, nil
}

func (p *planner) decimalArithmetic(op int, symbol string, a, b expr) (expr, error) {
	at, bt := a.typ.asDecimal(), b.typ.asDecimal()
	var t sqlType
	switch op {
	case 0, 1:
		t = decimalAddType(at, bt)
	case 2:
		t = decimalMulType(at, bt)
	case 3:
		t = decimalDivType(at, bt)
	case 4:
		t = decimalModType(at, bt)
	}
	t.numeric = a.typ.numeric || b.typ.numeric
	x := expr{typ: t, nullable: true}
	if !t.wide() && op <= 2 && !a.typ.wide() && !b.typ.wide() && a.typ.id != tMoney && b.typ.id != tMoney {
		// The result's precision leaves room for every value, so SQLite's 64 bits do.
		if op == 2 {
			x.sql = fmt.Sprintf("(%s * %s)", a.sql, b.sql)
			return x, nil
		}
		scaled := func(e expr, from sqlType) string {
			if k := int(t.scale) - int(from.scale); k > 0 {
				return fmt.Sprintf("%s * %d", e.sql, pow10[k])
			}
			return e.sql
		}
		x.sql = fmt.Sprintf("(%s %s %s)", scaled(a, at), symbol, scaled(b, bt))
		return x, nil
	}
	x.sql = fmt.Sprintf("ms_arith(%d, %s, %s, %d, %d, %d)", op, a.sql, b.sql, a.typ.code(), b.typ.code(), t.code())
	return x, nil
}

func (p *planner) concatenate(a, b expr) (expr, error) {
	id, limit := tVarChar, int32(8000)
	if a.typ.isUnicode() || b.typ.isUnicode() {
		id, limit = tNVarChar, 4000
	}
	n := a.typ.length + b.typ.length
	coll, collated, err := commonCollation(a.typ, b.typ)
	if err != nil {
		return expr{}, err
	}
	x := expr{typ: sqlType{id: id, length: n, coll: coll, collated: collated}, nullable: a.nullable || b.nullable, sql: fmt.Sprintf("(%s || %s)", a.sql, b.sql)}
	switch {
	case a.typ.length == maxLength || b.typ.length == maxLength:
		x.typ.length = maxLength
	case n > limit:
		x.typ.length = limit
		x.sql = fmt.Sprintf("ms_cast(%s, %d, %d, -1)", x.sql, sqlType{id: id, length: maxLength, coll: coll}.code(), x.typ.code())
	}
	if a.constant && b.constant && a.value != nil && b.value != nil {
		return constantExpr(a.value.(string)+b.value.(string), x.typ), nil
	}
	return x, nil
}

// timeArithmetic: days are added to and taken from a datetime, as a number or as another datetime.
func (p *planner) timeArithmetic(op int, word string, a, b expr) (expr, error) {
	old := func(t sqlType) bool { return t.id == tDateTime || t.id == tSmallDateTime }
	for _, x := range []expr{a, b} {
		if x.typ.isTime() && !old(x.typ) {
			if a.typ.isTime() && b.typ.isTime() || op > 1 {
				return expr{}, newError(8117, 16, "Operand data type %s is invalid for %s operator.", x.typ.name(), word)
			}
			other := b.typ
			if !a.typ.isTime() {
				other = a.typ
			}
			return expr{}, newError(206, 16, "Operand type clash: %s is incompatible with %s", x.typ.name(), other.name())
		}
	}
	if op > 1 {
		return expr{}, newError(8117, 16, "Operand data type datetime is invalid for %s operator.", word)
	}
	t := sqlType{id: tDateTime}
	if a.typ.id == tSmallDateTime && b.typ.id != tDateTime || b.typ.id == tSmallDateTime && a.typ.id != tDateTime {
		t.id = tSmallDateTime
	}
	var err error
	if a, err = p.implicit(a, sqlType{id: tDateTime}); err != nil {
		return expr{}, err
	}
	if b, err = p.implicit(b, sqlType{id: tDateTime}); err != nil {
		return expr{}, err
	}
	x := expr{sql: fmt.Sprintf("ms_datetime(%s %s %s)", a.sql, map[int]string{0: "+", 1: "-"}[op], b.sql), typ: sqlType{id: tDateTime}, nullable: true}
	return p.cast(x, t, noStyle)
}

func (p *planner) subquery(q ast.QueryExpression, sc *scope) (expr, error) {
	sql, cols, err := p.query(q, sc)
	if err != nil {
		return expr{}, err
	}
	if len(cols) != 1 {
		return expr{}, newError(116, 16, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
	}
	if cols[0].mask != "" {
		p.mask = cols[0].mask
	}
	// A subquery with more than one row is an error, where SQLite takes the first.
	if !singleRow(q) {
		sql = fmt.Sprintf("SELECT ms_only(count(*), min(c1)) FROM (SELECT c1 FROM (%s) LIMIT 2)", sql)
	}
	return expr{sql: "(" + sql + ")", typ: cols[0].typ, nullable: true}, nil
}

// singleRow says whether a query can't have more than one row: it aggregates without groups, or takes the first.
func singleRow(q ast.QueryExpression) bool {
	switch q := q.(type) {
	case *ast.QueryParenthesisExpression:
		return singleRow(q.QueryExpression)
	case *ast.QuerySpecification:
		if q.FromClause == nil {
			return true
		}
		if q.TopRowFilter != nil {
			e := q.TopRowFilter.Expression
			if par, ok := e.(*ast.ParenthesisExpression); ok {
				e = par.Expression
			}
			if l, ok := e.(*ast.IntegerLiteral); ok && (l.Value == "1" || l.Value == "0") {
				return true
			}
		}
		if q.GroupByClause == nil && len(q.SelectElements) == 1 {
			if el, ok := q.SelectElements[0].(*ast.SelectScalarExpression); ok {
				if f, ok := el.Expression.(*ast.FunctionCall); ok && f.OverClause == nil && f.FunctionName != nil {
					_, agg := aggregates[strings.ToLower(f.FunctionName.Value)]
					return agg
				}
			}
		}
	}
	return false
}

func (p *planner) searchedCase(e *ast.SearchedCaseExpression, sc *scope) (expr, error) {
	var conds []string
	var results []expr
	for _, w := range e.WhenClauses {
		c, err := p.boolean(w.WhenExpression, sc)
		if err != nil {
			return expr{}, err
		}
		r, err := p.expression(w.ThenExpression, sc)
		if err != nil {
			return expr{}, err
		}
		conds, results = append(conds, c), append(results, r)
	}
	return p.caseOf(conds, results, e.ElseExpression, sc)
}

func (p *planner) simpleCase(e *ast.SimpleCaseExpression, sc *scope) (expr, error) {
	in, err := p.expression(e.InputExpression, sc)
	if err != nil {
		return expr{}, err
	}
	var conds []string
	var results []expr
	for _, w := range e.WhenClauses {
		x, err := p.expression(w.WhenExpression, sc)
		if err != nil {
			return expr{}, err
		}
		c, err := p.compare("=", in, x)
		if err != nil {
			return expr{}, err
		}
		r, err := p.expression(w.ThenExpression, sc)
		if err != nil {
			return expr{}, err
		}
		conds, results = append(conds, c), append(results, r)
	}
	return p.caseOf(conds, results, e.ElseExpression, sc)
}

func (p *planner) caseOf(conds []string, results []expr, otherwise ast.ScalarExpression, sc *scope) (expr, error) {
	if len(conds) == 0 {
		return expr{}, newError(errSyntaxKeyword, 15, "Incorrect syntax near the keyword 'CASE'.")
	}
	last := constantExpr(nil, sqlType{id: tNull})
	if otherwise != nil {
		var err error
		if last, err = p.expression(otherwise, sc); err != nil {
			return expr{}, err
		}
	}
	all, t, nullable, err := p.unify(append(results, last))
	if err != nil {
		return expr{}, err
	}
	if t.id == tNull {
		return expr{}, newError(8133, 16, "At least one of the result expressions in a CASE specification must be an expression other than the NULL constant.")
	}
	var b strings.Builder
	b.WriteString("CASE")
	for i, c := range conds {
		fmt.Fprintf(&b, " WHEN %s THEN %s", c, all[i].sql)
	}
	fmt.Fprintf(&b, " ELSE %s END", all[len(all)-1].sql)
	x := expr{sql: b.String(), typ: t, nullable: nullable}
	if t.isInteger() {
		x.bounded = true
		x.lo, x.hi = 0, 0
		for i, r := range all {
			if r.constant && r.value == nil {
				continue
			}
			lo, hi := r.bounds()
			if i == 0 {
				x.lo, x.hi = lo, hi
			}
			x.lo, x.hi = min(x.lo, lo), max(x.hi, hi)
		}
	}
	return x, nil
}

// unify brings expressions to their common type.
func (p *planner) unify(es []expr) ([]expr, sqlType, bool, error) {
	t, nullable := es[0].typ, false
	for _, e := range es {
		var err error
		if t, err = commonType(t, e.typ); err != nil {
			return nil, t, false, err
		}
		nullable = nullable || e.nullable
	}
	out := make([]expr, len(es))
	for i, e := range es {
		c, err := p.implicit(e, t)
		if err != nil {
			return nil, t, false, err
		}
		out[i] = c
	}
	return out, t, nullable, nil
}

func (p *planner) coalesce(list []ast.ScalarExpression, sc *scope) (expr, error) {
	var es []expr
	for _, l := range list {
		e, err := p.expression(l, sc)
		if err != nil {
			return expr{}, err
		}
		es = append(es, e)
	}
	if len(es) < 2 {
		return expr{}, newError(errSyntax, 15, "Incorrect syntax near ')': COALESCE needs two arguments.")
	}
	all, t, _, err := p.unify(es)
	if err != nil {
		return expr{}, err
	}
	if t.id == tNull {
		return expr{}, newError(4127, 16, "At least one of the arguments to COALESCE must be an expression that is not the NULL constant.")
	}
	var sqls []string
	nullable := true
	for _, e := range all {
		sqls = append(sqls, e.sql)
		nullable = nullable && e.nullable
	}
	return expr{sql: "coalesce(" + strings.Join(sqls, ", ") + ")", typ: t, nullable: nullable}, nil
}

func (p *planner) nullIf(e *ast.NullIfExpression, sc *scope) (expr, error) {
	a, err := p.expression(e.FirstExpression, sc)
	if err != nil {
		return expr{}, err
	}
	b, err := p.expression(e.SecondExpression, sc)
	if err != nil {
		return expr{}, err
	}
	cond, err := p.compare("=", a, b)
	if err != nil {
		return expr{}, err
	}
	if a.typ.id == tNull {
		return expr{}, newError(4151, 16, "The type of the first argument to NULLIF cannot be the NULL constant because the type of the first argument has to be known.")
	}
	return expr{sql: fmt.Sprintf("CASE WHEN %s THEN NULL ELSE %s END", cond, a.sql), typ: a.typ, nullable: true, lo: a.lo, hi: a.hi, bounded: a.bounded}, nil
}

func (p *planner) castCall(ref ast.DataTypeReference, param, style ast.ScalarExpression, try bool, sc *scope) (expr, error) {
	t, err := typeOf(ref, true)
	if err != nil {
		return expr{}, err
	}
	x, err := p.expression(param, sc)
	if err != nil {
		return expr{}, err
	}
	if t.isString() && x.typ.isString() {
		t.coll, t.collated = x.typ.coll, x.typ.collated
	}
	st := noStyle
	if style != nil {
		s, err := p.expression(style, sc)
		if err != nil {
			return expr{}, err
		}
		n, ok := s.value.(int64)
		if !ok {
			return expr{}, notSupported("a style of CONVERT that isn't a constant")
		}
		st = int(n)
	}
	if try {
		if !explicitlyConvertible(x.typ, t) && x.typ.id != tNull {
			return expr{}, notConvertible(x.typ, t)
		}
		if sql, ok := widen(x, t); ok && !x.constant {
			return expr{sql: sql, typ: t, nullable: true}, nil
		}
		return expr{sql: fmt.Sprintf("ms_try_cast(%s, %d, %d, %d)", x.sql, x.typ.code(), t.code(), st), typ: t, nullable: true}, nil
	}
	c, err := p.cast(x, t, st)
	c.nullable = c.nullable || !c.constant
	c.typ.numeric = t.numeric
	return c, err
}

// boolean plans a condition.
func (p *planner) boolean(e ast.BooleanExpression, sc *scope) (string, error) {
	if err := p.deeper(); err != nil {
		return "", err
	}
	defer func() { p.depth-- }()
	switch e := e.(type) {
	case *ast.BooleanParenthesisExpression:
		s, err := p.boolean(e.Expression, sc)
		return "(" + s + ")", err
	case *ast.BooleanNotExpression:
		s, err := p.boolean(e.Expression, sc)
		return "(NOT " + s + ")", err
	case *ast.BooleanBinaryExpression:
		a, err := p.boolean(e.FirstExpression, sc)
		if err != nil {
			return "", err
		}
		b, err := p.boolean(e.SecondExpression, sc)
		if err != nil {
			return "", err
		}
		op := "AND"
		if e.BinaryExpressionType == "Or" {
			op = "OR"
		}
		return "(" + a + " " + op + " " + b + ")", nil
	case *ast.BooleanComparisonExpression:
		op, ok := comparisons[e.ComparisonType]
		if !ok {
			return "", notSupported("the comparison %s", e.ComparisonType)
		}
		a, b, err := p.pair(e.FirstExpression, e.SecondExpression, sc)
		if err != nil {
			return "", err
		}
		return p.compare(op, a, b)
	case *ast.DistinctPredicate:
		a, b, err := p.pair(e.FirstExpression, e.SecondExpression, sc)
		if err != nil {
			return "", err
		}
		if e.IsNot {
			return p.compare("IS", a, b)
		}
		return p.compare("IS NOT", a, b)
	case *ast.BooleanIsNullExpression:
		x, err := p.expression(e.Expression, sc)
		if err != nil {
			return "", err
		}
		if e.IsNot {
			return "(" + x.sql + " IS NOT NULL)", nil
		}
		return "(" + x.sql + " IS NULL)", nil
	case *ast.BooleanTernaryExpression:
		var es []expr
		for _, x := range []ast.ScalarExpression{e.FirstExpression, e.SecondExpression, e.ThirdExpression} {
			v, err := p.expression(x, sc)
			if err != nil {
				return "", err
			}
			es = append(es, v)
		}
		lo, err := p.compare(">=", es[0], es[1])
		if err != nil {
			return "", err
		}
		hi, err := p.compare("<=", es[0], es[2])
		if err != nil {
			return "", err
		}
		if e.TernaryExpressionType == "NotBetween" {
			return "(NOT (" + lo + " AND " + hi + "))", nil
		}
		return "(" + lo + " AND " + hi + ")", nil
	case *ast.BooleanInExpression:
		return p.in(e, sc)
	case *ast.BooleanLikeExpression:
		return p.like(e, sc)
	case *ast.ExistsPredicate:
		inner, _, err := p.query(e.Subquery, sc)
		return "EXISTS (" + inner + ")", err
	case *ast.SubqueryComparisonPredicate:
		return "", notSupported("a comparison with ANY or ALL of a subquery")
	case nil:
		return "", newError(errSyntax, 15, "Incorrect syntax: a condition is missing.")
	case *ast.BooleanScalarPlaceholder:
		return "", newError(4145, 15, "An expression of non-boolean type specified in a context where a condition is expected.")
	}
	return "", notSupported("this kind of condition (%s)", strings.TrimPrefix(fmt.Sprintf("%T", e), "*ast."))
}

var comparisons = map[string]string{
	"Equals": "=", "NotEqualToBrackets": "<>", "NotEqualToExclamation": "<>", "LessThan": "<", "LessThanOrEqualTo": "<=",
	"GreaterThan": ">", "GreaterThanOrEqualTo": ">=", "NotLessThan": ">=", "NotGreaterThan": "<=",
}

func (p *planner) pair(x, y ast.ScalarExpression, sc *scope) (a, b expr, err error) {
	if a, err = p.expression(x, sc); err != nil {
		return
	}
	b, err = p.expression(y, sc)
	return
}

// compare plans a comparison in the common type of its sides.
func (p *planner) compare(op string, a, b expr) (string, error) {
	t, err := commonType(a.typ, b.typ)
	if err != nil {
		return "", err
	}
	if t.id == tText || t.id == tNText || t.id == tImage {
		return "", newError(402, 16, "The data types %s and %s are incompatible in the %s operator.", a.typ.name(), b.typ.name(), op)
	}
	if t.id == tVariant && op != "IS" && op != "IS NOT" {
		if a, err = p.implicit(a, t); err != nil {
			return "", err
		}
		if b, err = p.implicit(b, t); err != nil {
			return "", err
		}
		return fmt.Sprintf("(ms_variant_compare(%s, %s) %s 0)", a.sql, b.sql, op), nil
	}
	if err := sortable(t); err != nil {
		return "", err
	}
	// Fixed lengths need no padding where trailing blanks don't count.
	if t.id == tChar {
		t.id = tVarChar
	}
	if t.id == tNChar {
		t.id = tNVarChar
	}
	if a, err = p.implicit(a, t); err != nil {
		return "", err
	}
	if b, err = p.implicit(b, t); err != nil {
		return "", err
	}
	return fmt.Sprintf("(%s %s %s)", a.comparable(), op, b.comparable()), nil
}

func (p *planner) in(e *ast.BooleanInExpression, sc *scope) (string, error) {
	x, err := p.expression(e.Expression, sc)
	if err != nil {
		return "", err
	}
	not := ""
	if e.NotDefined {
		not = "NOT "
	}
	if e.Subquery != nil {
		sql, cols, err := p.query(e.Subquery, sc)
		if err != nil {
			return "", err
		}
		if len(cols) != 1 {
			return "", newError(116, 16, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
		}
		y := expr{sql: "c1", typ: cols[0].typ, nullable: true}
		all, _, _, err := p.unify([]expr{x, y})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("(%s %sIN (SELECT %s FROM (%s)))", all[0].comparable(), not, all[1].comparable(), sql), nil
	}
	es := []expr{x}
	for _, v := range e.Values {
		y, err := p.expression(v, sc)
		if err != nil {
			return "", err
		}
		es = append(es, y)
	}
	if len(es) == 1 {
		return "", newError(errSyntax, 15, "Incorrect syntax near ')'.")
	}
	all, t, _, err := p.unify(es)
	if err != nil {
		return "", err
	}
	if t.id == tVariant {
		var terms []string
		for _, y := range all[1:] {
			c, err := p.compare("=", all[0], y)
			if err != nil {
				return "", err
			}
			terms = append(terms, c)
		}
		return "(" + not + "(" + strings.Join(terms, " OR ") + "))", nil
	}
	if err := sortable(t); err != nil {
		return "", err
	}
	var list []string
	for _, y := range all[1:] {
		if y.typ.id == tDateTimeOffset {
			list = append(list, y.comparable())
		} else {
			list = append(list, y.sql)
		}
	}
	return fmt.Sprintf("(%s %sIN (%s))", all[0].comparable(), not, strings.Join(list, ", ")), nil
}

func (p *planner) like(e *ast.BooleanLikeExpression, sc *scope) (string, error) {
	a, b, err := p.pair(e.FirstExpression, e.SecondExpression, sc)
	if err != nil {
		return "", err
	}
	var args []string
	for _, x := range []expr{a, b} {
		if !x.typ.isString() {
			if x, err = p.implicit(x, varcharType(maxLength)); err != nil {
				return "", err
			}
		}
		args = append(args, x.sql)
	}
	if e.EscapeExpression != nil {
		x, err := p.expression(e.EscapeExpression, sc)
		if err != nil {
			return "", err
		}
		args = append(args, x.sql)
	}
	name := "ms_like"
	if a.typ.isUnicode() || b.typ.isUnicode() {
		name = "ms_like_unicode" // where trailing blanks of the text count
	}
	sql := name + "(" + strings.Join(args, ", ") + ")"
	if e.NotDefined {
		sql = "(NOT " + sql + ")"
	}
	return sql, nil
}
