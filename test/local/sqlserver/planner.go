package sqlserver

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sqlc-dev/teesql/ast"
)

// planner translates one statement of T-SQL into one of SQLite, and finds the type of every expression on the way.
type planner struct {
	s    *session
	cat  *catalog
	vars *variables
	now  time.Time // the same for the whole statement, as in SQL Server

	params  []string // the variables in the order of SQLite's numbered parameters
	sources int      // counts table aliases
	ctes    []*cte
	with    []string // the SQL of the CTEs
	depth   int
	// streamed is the query whose rows go straight to the client, which can stop reading after the last of TOP … WITH TIES.
	streamed *ast.QuerySpecification
	reads    []tableRead // the tables that it reads
	scan     *tableScan  // what it is, if it can be read by parts
	part     *scanPart   // which part of the scan to read
	// targetQuery finds the rows that UPDATE and DELETE change.
	targetQuery string
	inView      int      // how many views are being planned
	viewReads   []*table // what the outermost of them reads
	mask        string   // of the masked columns that the present element of a select list reads
}

// maxDepth is how deep expressions and queries may nest.
const maxDepth = 200

func (s *session) newPlanner(vars *variables) *planner {
	return &planner{s: s, cat: s.schema(), vars: vars, now: time.Now().UTC()}
}

// expr is a planned expression: its SQL for SQLite and its type in SQL Server.
type expr struct {
	sql      string
	typ      sqlType
	nullable bool
	// constant expressions have a value at once, in stored form.
	constant bool
	value    any
	// lo and hi bound an integer expression, so that its arithmetic needs no check where it can't overflow.
	lo, hi  float64
	bounded bool
}

// cte is a common table expression.
type cte struct {
	name string
	sql  string // its name in SQLite, quoted
	cols []sourceColumn
}

// source is a table, a derived table or a CTE in a FROM clause.
type source struct {
	alias  string // as T-SQL calls it
	schema string // of a table without an alias
	local  string // as SQLite calls it, of a derived table
	cols   []sourceColumn
}

type sourceColumn struct {
	column
	sql string
}

// scope is what names mean in one SELECT; parent is the SELECT around it.
type scope struct {
	parent  *scope
	sources []*source

	grouped   bool
	groupKeys map[string]bool
	inside    int      // of an aggregate's argument
	bare      []string // columns outside of aggregates and of what is grouped by
	aggregate bool     // an aggregate was seen
	clause    string   // for messages
	noWindow  bool
}

// constantExpr is a constant in stored form.
func constantExpr(v any, t sqlType) expr {
	e := expr{sql: literal(v), typ: t, constant: true, value: v, nullable: v == nil}
	if i, ok := v.(int64); ok && t.isInteger() {
		e.lo, e.hi, e.bounded = float64(i), float64(i), true
	}
	return e
}

// literal is a stored value in SQLite's SQL.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case int64:
		if v == math.MinInt64 {
			return "(-9223372036854775807 - 1)"
		}
		if v < 0 {
			return "(" + strconv.FormatInt(v, 10) + ")"
		}
		return strconv.FormatInt(v, 10)
	case float64:
		return "(" + strconv.FormatFloat(v, 'e', -1, 64) + ")"
	case string:
		return quoteText(v)
	case []byte:
		return "x'" + hex.EncodeToString(v) + "'"
	}
	return "NULL"
}

// bounds are the values that an integer expression can have.
func (e expr) bounds() (lo, hi float64) {
	if e.bounded {
		return e.lo, e.hi
	}
	l, h := e.typ.integerRange()
	return float64(l), float64(h)
}

// collated is the expression's SQL where it's compared, sorted or grouped.
func (e expr) collated() string {
	if e.typ.isString() {
		return e.sql + " COLLATE " + e.typ.comparison()
	}
	return e.sql
}

// comparable is the SQL with which values of the type are equal exactly if SQL Server finds them equal.
func (e expr) comparable() string {
	if e.typ.id == tDateTimeOffset {
		return "substr(" + e.sql + ", 1, 8)"
	}
	return e.collated()
}

// sortable refuses types whose values have no order.
func sortable(t sqlType) error {
	switch t.id {
	case tText, tNText, tImage:
		return newError(306, 16, "The text, ntext, and image data types cannot be compared or sorted, except when using IS NULL or LIKE operator.")
	case tXML, tJSON, tGeography, tGeometry:
		return newError(305, 16, "The %s data type cannot be compared or sorted, except when using the IS NULL operator.", t.name())
	case tVariant, tHierarchyID:
		return notSupported("sorting and grouping by %s, and comparing hierarchyid", t.name())
	}
	return nil
}

// cast converts an expression as CAST does.
func (p *planner) cast(e expr, to sqlType, style int) (expr, error) {
	if e.typ.id == tNull && e.constant {
		return expr{sql: "NULL", typ: to, nullable: true, constant: true}, nil
	}
	if !explicitlyConvertible(e.typ, to) {
		return e, notConvertible(e.typ, to)
	}
	if e.constant {
		// What fails is left to fail when it's evaluated, which it may never be.
		if v, err := convert(e.value, e.typ, to, style); err == nil {
			return constantExpr(v, to), nil
		}
	} else if sql, ok := widen(e, to); ok {
		c := expr{sql: sql, typ: to, nullable: e.nullable}
		if to.isInteger() {
			c.lo, c.hi = e.bounds()
			c.bounded = true
		}
		return c, nil
	}
	return expr{
		sql:      fmt.Sprintf("ms_cast(%s, %d, %d, %d)", e.sql, e.typ.code(), to.code(), style),
		typ:      to,
		nullable: e.nullable,
	}, nil
}

// implicit converts an expression where T-SQL doesn't ask for it.
func (p *planner) implicit(e expr, to sqlType) (expr, error) {
	if !implicitlyConvertible(e.typ, to) {
		if explicitlyConvertible(e.typ, to) {
			return e, newError(257, 16, "Implicit conversion from data type %s to %s is not allowed. Use the CONVERT function to run this query.", e.typ.name(), to.name())
		}
		return e, newError(206, 16, "Operand type clash: %s is incompatible with %s", e.typ.name(), to.name())
	}
	return p.cast(e, to, noStyle)
}

// widen converts without calling back into Go, where no value can be lost.
func widen(e expr, to sqlType) (string, bool) {
	from := e.typ
	scaled := func(by int) (string, bool) {
		if by == 0 {
			return e.sql, true
		}
		return fmt.Sprintf("(%s * %d)", e.sql, pow10[by]), true
	}
	switch {
	case from.id == to.id && from.length == to.length && from.prec == to.prec && from.scale == to.scale && from.coll == to.coll:
		return e.sql, true
	case from.isInteger() && to.isInteger():
		lo, hi := e.bounds()
		l, h := to.integerRange()
		if to.id != tBit && lo >= float64(l) && hi <= float64(h) {
			return e.sql, true
		}
	case from.isInteger() && to.id == tDecimal && !to.wide():
		if d := from.asDecimal(); to.prec-to.scale >= d.prec {
			return scaled(int(to.scale))
		}
	case from.id == tDecimal && to.id == tDecimal && !from.wide() && !to.wide():
		if to.scale >= from.scale && to.prec-to.scale >= from.prec-from.scale {
			return scaled(int(to.scale - from.scale))
		}
	case from.id == tDecimal && to.id == tDecimal && from.wide() && to.wide():
		if to.scale == from.scale && to.prec >= from.prec {
			return e.sql, true
		}
	case from.id == tSmallMoney && to.id == tMoney:
		return e.sql, true
	case from.isInteger() && to.id == tFloat:
		return "CAST(" + e.sql + " AS REAL)", true
	case from.id == tDecimal && from.prec <= 15 && to.id == tFloat:
		return fmt.Sprintf("(%s / %s)", e.sql, literal(float64(pow10[from.scale]))), true
	case from.id == tSmallMoney && to.id == tFloat:
		return "(" + e.sql + " / 1e4)", true
	case from.id == tReal && to.id == tFloat:
		return e.sql, true
	case from.isString() && to.isString() && !to.isLob() && !from.isLob() && to.id != tJSON:
		if !to.isUnicode() && (from.isUnicode() || from.page() != to.page()) || to.id == tChar || to.id == tNChar {
			return "", false
		}
		if to.length == maxLength || from.length != maxLength && from.length <= to.length {
			return e.sql, true
		}
	case from.isBinary() && to.id == tVarBinary:
		if to.length == maxLength || from.length != maxLength && from.length <= to.length {
			return e.sql, true
		}
	case from.id == tDate && to.id == tDateTime2:
		return fmt.Sprintf("(%s * %d)", e.sql, int64(ticksPerDay)), true
	case from.id == tDateTime2 && to.id == tDateTime2, from.id == tTime && to.id == tTime,
		from.id == tDateTimeOffset && to.id == tDateTimeOffset:
		if to.scale >= from.scale {
			return e.sql, true
		}
	}
	return "", false
}

// assign converts an expression for a column.
func (p *planner) assign(e expr, t *table, c *tableColumn) (string, error) {
	if e.typ.id == tNull && e.constant {
		return "NULL", nil
	}
	if !implicitlyConvertible(e.typ, c.typ) {
		if _, err := p.implicit(e, c.typ); err != nil {
			return "", err
		}
	}
	if e.constant {
		if v, err := assign(e.value, e.typ, c.typ, p.fullName(t), c.Name); err == nil {
			return literal(v), nil
		}
	} else if sql, ok := widen(e, c.typ); ok {
		return sql, nil
	}
	return fmt.Sprintf("ms_assign(%s, %d, %d, %s, %s)", e.sql, e.typ.code(), c.typ.code(), quoteText(p.fullName(t)), quoteText(c.Name)), nil
}

func (p *planner) fullName(t *table) string { return p.s.db.name + "." + t.Schema + "." + t.Name }

// variable gives the parameter for a variable.
func (p *planner) variable(name string) (expr, error) {
	v := p.vars.get(name)
	if v == nil {
		return expr{}, newError(137, 15, "Must declare the scalar variable \"%s\".", name)
	}
	key := strings.ToLower(name)
	for i, n := range p.params {
		if n == key {
			return expr{sql: fmt.Sprintf("?%d", i+1), typ: v.typ, nullable: true}, nil
		}
	}
	p.params = append(p.params, key)
	return expr{sql: fmt.Sprintf("?%d", len(p.params)), typ: v.typ, nullable: true}, nil
}

// arguments are the values of the parameters.
func (p *planner) arguments() []any {
	out := make([]any, len(p.params))
	for i, n := range p.params {
		out[i] = p.vars.get(n).value
	}
	return out
}

// withClause is the WITH clause for the CTEs that were planned.
func (p *planner) withClause() string {
	if len(p.with) == 0 {
		return ""
	}
	return "WITH RECURSIVE " + strings.Join(p.with, ", ") + " "
}

func (p *planner) deeper() error {
	if p.depth++; p.depth > maxDepth {
		return newError(191, 15, "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.")
	}
	return nil
}

// typeOf reads a type reference.
func typeOf(ref ast.DataTypeReference, inCast bool) (sqlType, error) {
	var name *ast.SchemaObjectName
	var params []ast.ScalarExpression
	switch r := ref.(type) {
	case *ast.SqlDataTypeReference:
		if r == nil {
			return sqlType{}, newError(errSyntax, 15, "Incorrect syntax: a data type is missing.")
		}
		name, params = r.Name, r.Parameters
		if name == nil || name.BaseIdentifier == nil {
			return namedType(r.SqlDataTypeOption, params, inCast)
		}
	case *ast.XmlDataTypeReference:
		return sqlType{id: tXML, length: maxLength}, nil
	case *ast.UserDataTypeReference:
		name, params = r.Name, r.Parameters
	}
	if name == nil || name.BaseIdentifier == nil {
		return sqlType{}, newError(errSyntax, 15, "Incorrect syntax: a data type is missing.")
	}
	return namedType(name.BaseIdentifier.Value, params, inCast)
}

// declaredType reads the type of a variable. Where it isn't one of the parser's own, such as sysname, all that is left of it is its
// place in the text.
func declaredType(d *ast.DeclareVariableElement, text string) (sqlType, error) {
	if ref := d.DataType; ref != nil && ref.Name == nil && ref.SqlDataTypeOption == "" && ref.Frag().HasSpan() {
		name := substring(text, int64(ref.Frag().StartOffset+1), int64(ref.Frag().FragmentLength))
		name = name[strings.LastIndexByte(name, '.')+1:]
		return namedType(strings.Trim(strings.TrimSpace(name), "[]\""), nil, false)
	}
	return typeOf(d.DataType, false)
}

func namedType(name string, params []ast.ScalarExpression, inCast bool) (sqlType, error) {
	var texts []string
	for _, x := range params {
		switch x := x.(type) {
		case *ast.IntegerLiteral:
			texts = append(texts, x.Value)
		case *ast.MaxLiteral:
			texts = append(texts, "max")
		default:
			return sqlType{}, newError(errSyntax, 15, "Incorrect syntax in the parameters of data type %s.", name)
		}
	}
	return parseTypeName(name, texts, inCast)
}
