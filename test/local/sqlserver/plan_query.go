package sqlserver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sqlc-dev/teesql/ast"
)

// query plans a query expression. Its columns have the names that a derived table would see.
func (p *planner) query(q ast.QueryExpression, outer *scope) (string, []column, error) {
	if err := p.deeper(); err != nil {
		return "", nil, err
	}
	defer func() { p.depth-- }()
	switch q := q.(type) {
	case *ast.QuerySpecification:
		return p.selection(q, outer)
	case *ast.QueryParenthesisExpression:
		return p.query(q.QueryExpression, outer)
	case *ast.BinaryQueryExpression:
		return p.union(q, outer)
	}
	return "", nil, notSupported("this kind of query (%T)", q)
}

// union plans UNION, EXCEPT and INTERSECT.
func (p *planner) union(q *ast.BinaryQueryExpression, outer *scope) (string, []column, error) {
	left, lcols, err := p.query(q.FirstQueryExpression, outer)
	if err != nil {
		return "", nil, err
	}
	right, rcols, err := p.query(q.SecondQueryExpression, outer)
	if err != nil {
		return "", nil, err
	}
	if len(lcols) != len(rcols) {
		return "", nil, newError(205, 16, "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.")
	}
	cols := make([]column, len(lcols))
	for i := range cols {
		t, err := commonType(lcols[i].typ, rcols[i].typ)
		if err != nil {
			return "", nil, err
		}
		cols[i] = column{name: lcols[i].name, typ: t, nullable: lcols[i].nullable || rcols[i].nullable, mask: lcols[i].mask}
		if rcols[i].mask != "" {
			cols[i].mask = rcols[i].mask
		}
	}
	if left, err = p.convertColumns(left, lcols, cols); err != nil {
		return "", nil, err
	}
	if right, err = p.convertColumns(right, rcols, cols); err != nil {
		return "", nil, err
	}
	op := map[string]string{"Union": "UNION", "Except": "EXCEPT", "Intersect": "INTERSECT"}[q.BinaryQueryExpressionType]
	if op == "" {
		return "", nil, notSupported("%s of queries", q.BinaryQueryExpressionType)
	}
	if q.All {
		op += " ALL"
	}
	sql := left + " " + op + " " + right
	if q.OrderByClause != nil {
		var terms []string
		for _, o := range q.OrderByClause.OrderByElements {
			n := 0
			switch e := o.Expression.(type) {
			case *ast.IntegerLiteral:
				n, _ = strconv.Atoi(e.Value) // one that is too large is out of range
			case *ast.ColumnReferenceExpression:
				if ids := identifiers(e); len(ids) > 0 {
					n = columnNamed(cols, ids[len(ids)-1])
				}
			}
			if n < 1 || n > len(cols) {
				return "", nil, newError(104, 16, "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or EXCEPT operator.")
			}
			if err := sortable(cols[n-1].typ); err != nil {
				return "", nil, err
			}
			terms = append(terms, orderTerm(fmt.Sprintf("c%d", n), cols[n-1].typ, o.SortOrder))
		}
		sql = "SELECT * FROM (" + sql + ") ORDER BY " + strings.Join(terms, ", ")
	}
	return sql, cols, nil
}

// columnNamed is the place of a column, counted from 1, or 0.
func columnNamed(cols []column, name string) int {
	for i, c := range cols {
		if strings.EqualFold(c.name, name) {
			return i + 1
		}
	}
	return 0
}

// orderTerm sorts texts by their collation and a datetimeoffset by its instant alone.
func orderTerm(sql string, t sqlType, order string) string {
	sql = expr{sql: sql, typ: t}.comparable()
	if order == "Descending" {
		sql += " DESC"
	}
	return sql
}

// convertColumns wraps a query so that its columns have other types. Texts get their collation, by which UNION and the
// like compare.
func (p *planner) convertColumns(sql string, from, to []column) (string, error) {
	var list []string
	for i := range from {
		e, err := p.implicit(expr{sql: fmt.Sprintf("c%d", i+1), typ: from[i].typ, nullable: true}, to[i].typ)
		if err != nil {
			return "", err
		}
		list = append(list, fmt.Sprintf("%s AS c%d", e.collated(), i+1))
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (" + sql + ")", nil
}

func identifiers(e *ast.ColumnReferenceExpression) []string {
	if e == nil || e.MultiPartIdentifier == nil {
		return nil
	}
	var out []string
	for _, id := range e.MultiPartIdentifier.Identifiers {
		if id != nil {
			out = append(out, id.Value)
		}
	}
	return out
}

// selection plans one SELECT.
func (p *planner) selection(q *ast.QuerySpecification, outer *scope) (string, []column, error) {
	if q.ForClause != nil {
		return "", nil, notSupported("FOR XML, FOR JSON and FOR BROWSE")
	}
	if q.WindowClause != nil {
		return "", nil, notSupported("the WINDOW clause")
	}
	sc := &scope{parent: outer}
	var from string
	if q.FromClause != nil {
		var parts []string
		for _, t := range q.FromClause.TableReferences {
			sql, err := p.tableReference(t, sc)
			if err != nil {
				return "", nil, err
			}
			parts = append(parts, sql)
		}
		from = " FROM " + strings.Join(parts, ", ")
	}
	var where string
	if q.WhereClause != nil && q.WhereClause.SearchCondition != nil {
		sc.clause, sc.noWindow = "WHERE", true
		cond, err := p.boolean(q.WhereClause.SearchCondition, sc)
		if err != nil {
			return "", nil, err
		}
		if sc.aggregate {
			return "", nil, newError(147, 15, "An aggregate may not appear in the WHERE clause unless it is in a subquery contained in a HAVING clause or a select list, and the column being aggregated is an outer reference.")
		}
		where = " WHERE " + cond
	}
	sc.clause, sc.noWindow = "", false
	sc.bare = nil // WHERE sees single rows

	var group string
	if q.GroupByClause != nil {
		var keys []string
		sc.groupKeys = map[string]bool{}
		for _, g := range q.GroupByClause.GroupingSpecifications {
			eg, ok := g.(*ast.ExpressionGroupingSpecification)
			if !ok {
				return "", nil, notSupported("GROUPING SETS, ROLLUP and CUBE")
			}
			e, err := p.expression(eg.Expression, sc)
			if err != nil {
				return "", nil, err
			}
			sc.groupKeys[e.sql] = true
			if e.constant {
				return "", nil, newError(164, 15, "Each GROUP BY expression must contain at least one column that is not an outer reference.")
			}
			keys = append(keys, e.collated())
		}
		if q.GroupByClause.GroupByOption != "" && q.GroupByClause.GroupByOption != "None" {
			return "", nil, notSupported("GROUP BY … WITH %s", q.GroupByClause.GroupByOption)
		}
		sc.grouped = true
		sc.bare = nil
		group = " GROUP BY " + strings.Join(keys, ", ")
	}

	// The select list.
	var exprs []expr
	var cols []column
	for _, el := range q.SelectElements {
		switch el := el.(type) {
		case *ast.SelectStarExpression:
			found, err := p.star(el, sc)
			if err != nil {
				return "", nil, err
			}
			for _, c := range found {
				exprs = append(exprs, expr{sql: c.sql, typ: c.typ, nullable: c.nullable})
				cols = append(cols, c.column)
				if !sc.groupKeys[c.sql] {
					sc.bare = append(sc.bare, c.name)
				}
			}
		case *ast.SelectScalarExpression:
			outer := p.mask
			p.mask = ""
			e, err := p.expression(el.Expression, sc)
			if err != nil {
				return "", nil, err
			}
			c := column{name: p.elementName(el), typ: e.typ, nullable: e.nullable, mask: p.mask}
			c.typ.collated = false // it is the column's now
			p.mask = outer
			if ref, ok := el.Expression.(*ast.ColumnReferenceExpression); ok {
				if sc2, err := p.lookup(identifiers(ref), sc); err == nil {
					c.identity, c.computed = sc2.identity, sc2.computed
				}
			} else if c.mask != "" {
				c.mask = maskDefault // what is computed of a masked value has nothing of it left
			}
			exprs = append(exprs, e)
			cols = append(cols, c)
		case *ast.SelectSetVariable:
			return "", nil, newError(141, 15, "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.")
		default:
			return "", nil, notSupported("this element of a select list (%T)", el)
		}
	}
	if len(exprs) == 0 {
		return "", nil, newError(errSyntaxKeyword, 15, "Incorrect syntax near the keyword 'SELECT'.")
	}

	var having string
	if q.HavingClause != nil && q.HavingClause.SearchCondition != nil {
		sc.clause, sc.noWindow = "HAVING", true
		cond, err := p.boolean(q.HavingClause.SearchCondition, sc)
		if err != nil {
			return "", nil, err
		}
		sc.noWindow = false
		having = " HAVING " + cond
		if group == "" {
			sc.aggregate = true
		}
	}

	distinct := q.UniqueRowFilter == "Distinct"
	ties := q.TopRowFilter != nil && q.TopRowFilter.WithTies
	var order string
	if q.OrderByClause != nil {
		terms, err := p.orderBy(q, exprs, cols, sc, distinct, ties)
		if err != nil {
			return "", nil, err
		}
		order = " ORDER BY " + strings.Join(terms, ", ")
	}
	if (sc.grouped || sc.aggregate) && len(sc.bare) > 0 {
		return "", nil, newError(8120, 16, "Column '%s' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.", sc.bare[0])
	}
	if having != "" && group == "" { // SQLite wants an aggregate query
		group = " GROUP BY NULL"
	}

	if ties {
		switch {
		case order == "":
			return "", nil, newError(1062, 15, "The TOP N WITH TIES clause is not allowed without a corresponding ORDER BY clause.")
		case distinct:
			return "", nil, notSupported("SELECT DISTINCT TOP … WITH TIES")
		}
	}
	limit, err := p.limit(q, sc)
	if err != nil {
		return "", nil, err
	}
	if limit != "" && outer == nil && order == "" && q.OffsetClause != nil {
		return "", nil, newError(errSyntaxKeyword, 15, "Incorrect syntax near the keyword 'OFFSET': it needs ORDER BY.")
	}
	list := make([]string, len(exprs))
	for i, e := range exprs {
		list[i] = e.sql
		if distinct {
			list[i] = e.collated()
		}
		list[i] += fmt.Sprintf(" AS c%d", i+1)
	}
	sql := "SELECT "
	if distinct {
		sql += "DISTINCT "
	}
	if ties {
		// A row's rank among what is ordered says whether it is past the last one and its ties.
		past := fmt.Sprintf(", rank() OVER (%s) > %s AS past", order, strings.TrimPrefix(limit, " LIMIT "))
		sql += strings.Join(list, ", ") + past + from + where + group + having + order
		if q == p.streamed {
			return sql, cols, nil
		}
		var names []string
		for i := range cols {
			names = append(names, fmt.Sprintf("c%d", i+1))
		}
		return "SELECT " + strings.Join(names, ", ") + " FROM (" + sql + ") WHERE NOT past", cols, nil
	}
	p.noteScan(q, sc, from, where, exprs, cols)
	return sql + strings.Join(list, ", ") + from + where + group + having + order + limit, cols, nil
}

// elementName is the name of a column of the result; an expression without an alias has none.
func (p *planner) elementName(el *ast.SelectScalarExpression) string {
	if el.ColumnName != nil {
		if el.ColumnName.Identifier != nil {
			return el.ColumnName.Identifier.Value
		}
		if l, ok := el.ColumnName.ValueExpression.(*ast.StringLiteral); ok {
			return l.Value
		}
		return el.ColumnName.Value
	}
	if ref, ok := el.Expression.(*ast.ColumnReferenceExpression); ok {
		if ids := identifiers(ref); len(ids) > 0 {
			return ids[len(ids)-1]
		}
	}
	return ""
}

func (p *planner) orderBy(q *ast.QuerySpecification, exprs []expr, cols []column, sc *scope, distinct, ties bool) ([]string, error) {
	var terms []string
	for i, o := range q.OrderByClause.OrderByElements {
		n := 0
		switch e := o.Expression.(type) {
		case *ast.IntegerLiteral:
			n, _ = strconv.Atoi(e.Value) // one that is too large is out of range
			if n < 1 || n > len(cols) {
				return nil, newError(108, 15, "The ORDER BY position number %s is out of range of the number of items in the select list.", e.Value)
			}
		case *ast.ColumnReferenceExpression:
			if ids := identifiers(e); len(ids) == 1 {
				n = columnNamed(cols, ids[0])
			}
		}
		if n > 0 && exprs[n-1].constant {
			continue
		}
		if n > 0 {
			if err := sortable(cols[n-1].typ); err != nil {
				return nil, err
			}
			sql := fmt.Sprint(n)
			if ties || cols[n-1].typ.id == tDateTimeOffset { // where a number wouldn't stand for the column
				sql = exprs[n-1].sql
			}
			terms = append(terms, orderTerm(sql, cols[n-1].typ, o.SortOrder))
			continue
		}
		e, err := p.expression(o.Expression, sc)
		if err != nil {
			return nil, err
		}
		if err := sortable(e.typ); err != nil {
			return nil, err
		}
		if distinct {
			found := false
			for _, x := range exprs {
				found = found || x.sql == e.sql
			}
			if !found {
				return nil, newError(145, 15, "ORDER BY items must appear in the select list if SELECT DISTINCT is specified.")
			}
		}
		if e.constant {
			if _, sub := o.Expression.(*ast.ScalarSubquery); !sub {
				return nil, newError(408, 16, "A constant expression was encountered in the ORDER BY list, position %d.", i+1)
			}
		}
		terms = append(terms, orderTerm(e.sql, e.typ, o.SortOrder))
	}
	if len(terms) == 0 {
		terms = append(terms, "NULL")
	}
	return terms, nil
}

// limit plans TOP and OFFSET … FETCH.
func (p *planner) limit(q *ast.QuerySpecification, sc *scope) (string, error) {
	count := func(e ast.ScalarExpression) (string, error) {
		x, err := p.expression(e, &scope{parent: sc})
		if err != nil {
			return "", err
		}
		if x, err = p.implicit(x, sqlType{id: tBigInt}); err != nil {
			return "", err
		}
		return x.sql, nil
	}
	if t := q.TopRowFilter; t != nil {
		if t.Percent {
			return "", notSupported("TOP … PERCENT")
		}
		n, err := count(t.Expression)
		if err != nil {
			return "", err
		}
		return " LIMIT ms_count(" + n + ")", nil
	}
	if o := q.OffsetClause; o != nil {
		skip, err := count(o.OffsetExpression)
		if err != nil {
			return "", err
		}
		n := "-1"
		if o.FetchExpression != nil {
			if n, err = count(o.FetchExpression); err != nil {
				return "", err
			}
			n = "ms_count(" + n + ")"
		}
		return fmt.Sprintf(" LIMIT %s OFFSET ms_count(%s)", n, skip), nil
	}
	return "", nil
}

// star is what * stands for.
func (p *planner) star(el *ast.SelectStarExpression, sc *scope) ([]sourceColumn, error) {
	if len(sc.sources) == 0 {
		return nil, newError(263, 16, "Must specify table to select from.")
	}
	var out []sourceColumn
	if el.Qualifier != nil && len(el.Qualifier.Identifiers) > 0 {
		ids := el.Qualifier.Identifiers
		name := ids[len(ids)-1].Value
		for _, s := range sc.sources {
			if strings.EqualFold(s.alias, name) {
				return s.cols, nil
			}
		}
		return nil, newError(107, 15, "The column prefix '%s' does not match with a table name or alias name used in the query.", name)
	}
	for _, s := range sc.sources {
		out = append(out, s.cols...)
	}
	return out, nil
}

// lookup finds a column by its name's parts.
func (p *planner) lookup(ids []string, sc *scope) (sourceColumn, error) {
	if len(ids) == 0 {
		return sourceColumn{}, newError(errSyntax, 15, "Incorrect syntax: a column name is missing.")
	}
	name := ids[len(ids)-1]
	for s := sc; s != nil; s = s.parent {
		var found []sourceColumn
		for _, src := range s.sources {
			if len(ids) > 1 && !strings.EqualFold(src.alias, ids[len(ids)-2]) {
				continue
			}
			if len(ids) > 2 && !strings.EqualFold(src.schema, ids[len(ids)-3]) {
				continue
			}
			for _, c := range src.cols {
				if strings.EqualFold(c.name, name) {
					found = append(found, c)
				}
			}
		}
		if len(found) > 1 {
			return sourceColumn{}, newError(209, 16, "Ambiguous column name '%s'.", name)
		}
		if len(found) == 1 {
			return found[0], nil
		}
		if len(ids) > 1 {
			for _, src := range s.sources {
				if strings.EqualFold(src.alias, ids[len(ids)-2]) {
					return sourceColumn{}, newError(errUnknownColumn, 16, "Invalid column name '%s'.", name)
				}
			}
		}
	}
	if len(ids) > 1 {
		return sourceColumn{}, newError(4104, 16, "The multi-part identifier \"%s\" could not be bound.", strings.Join(ids, "."))
	}
	return sourceColumn{}, newError(errUnknownColumn, 16, "Invalid column name '%s'.", name)
}

// owns says whether the column belongs to the scope itself and not to one around it.
func (sc *scope) owns(sql string) bool {
	for _, s := range sc.sources {
		for _, c := range s.cols {
			if c.sql == sql {
				return true
			}
		}
	}
	return false
}

// tableReference plans an element of FROM and adds what it offers to the scope.
func (p *planner) tableReference(t ast.TableReference, sc *scope) (string, error) {
	if err := p.deeper(); err != nil {
		return "", err
	}
	defer func() { p.depth-- }()
	switch t := t.(type) {
	case *ast.NamedTableReference:
		return p.namedTable(t, sc)
	case *ast.QualifiedJoin:
		return p.join(t, sc)
	case *ast.UnqualifiedJoin:
		if t.UnqualifiedJoinType != "CrossJoin" {
			return p.apply(t, sc)
		}
		left, err := p.tableReference(t.FirstTableReference, sc)
		if err != nil {
			return "", err
		}
		right, err := p.tableReference(t.SecondTableReference, sc)
		if err != nil {
			return "", err
		}
		return left + " JOIN " + parenthesize(right, t.SecondTableReference), nil
	case *ast.QueryDerivedTable:
		// A derived table doesn't see its neighbours, but does see what is around the query.
		sql, cols, err := p.query(t.QueryExpression, sc.parent)
		if err != nil {
			return "", err
		}
		return p.derived(sql, cols, t.Alias, t.Columns, sc)
	case *ast.InlineDerivedTable:
		sql, cols, err := p.values(t.RowValues, sc.parent)
		if err != nil {
			return "", err
		}
		return p.derived(sql, cols, t.Alias, t.Columns, sc)
	case *ast.SchemaObjectFunctionTableReference:
		sql, cond, err := p.tableFunction(t, sc, &scope{parent: sc.parent})
		if cond != "" {
			sql = "(SELECT * FROM " + sql + " WHERE " + cond + ") AS " + sc.sources[len(sc.sources)-1].local
		}
		return sql, err
	case *ast.JoinParenthesisTableReference:
		inner, err := p.tableReference(t.Join, sc)
		if err != nil {
			return "", err
		}
		return "(" + inner + ")", nil
	}
	return "", notSupported("this kind of table in FROM (%s)", strings.TrimPrefix(fmt.Sprintf("%T", t), "*ast."))
}

func parenthesize(sql string, t ast.TableReference) string {
	switch t.(type) {
	case *ast.QualifiedJoin, *ast.UnqualifiedJoin:
		return "(" + sql + ")"
	}
	return sql
}

func (p *planner) join(t *ast.QualifiedJoin, sc *scope) (string, error) {
	from := len(sc.sources)
	left, err := p.tableReference(t.FirstTableReference, sc)
	if err != nil {
		return "", err
	}
	middle := len(sc.sources)
	right, err := p.tableReference(t.SecondTableReference, sc)
	if err != nil {
		return "", err
	}
	kind := map[string]string{"Inner": "JOIN", "LeftOuter": "LEFT JOIN", "RightOuter": "RIGHT JOIN", "FullOuter": "FULL JOIN"}[t.QualifiedJoinType]
	if kind == "" {
		return "", notSupported("a %s join", t.QualifiedJoinType)
	}
	// The condition sees the two sides, not what stands before them.
	inner := &scope{parent: sc.parent, sources: sc.sources[from:], clause: "ON", noWindow: true}
	cond, err := p.boolean(t.SearchCondition, inner)
	if err != nil {
		return "", err
	}
	if t.QualifiedJoinType == "LeftOuter" || t.QualifiedJoinType == "FullOuter" {
		makeNullable(sc.sources[middle:])
	}
	if t.QualifiedJoinType == "RightOuter" || t.QualifiedJoinType == "FullOuter" {
		makeNullable(sc.sources[from:middle])
	}
	return left + " " + kind + " " + parenthesize(right, t.SecondTableReference) + " ON " + cond, nil
}

// apply plans CROSS APPLY and OUTER APPLY of the functions that give a table, which is a join with all that they could give.
func (p *planner) apply(t *ast.UnqualifiedJoin, sc *scope) (string, error) {
	f, ok := t.SecondTableReference.(*ast.SchemaObjectFunctionTableReference)
	if !ok {
		return "", notSupported("CROSS APPLY and OUTER APPLY of anything but a system function")
	}
	from := len(sc.sources)
	left, err := p.tableReference(t.FirstTableReference, sc)
	if err != nil {
		return "", err
	}
	middle := len(sc.sources)
	right, cond, err := p.tableFunction(f, sc, &scope{parent: sc.parent, sources: sc.sources[from:middle], clause: "APPLY", noWindow: true})
	if err != nil {
		return "", err
	}
	if cond == "" {
		cond = "true"
	}
	if t.UnqualifiedJoinType == "OuterApply" {
		makeNullable(sc.sources[middle:])
		return left + " LEFT JOIN " + right + " ON " + cond, nil
	}
	return left + " JOIN " + right + " ON " + cond, nil
}

// columnName is the name in SQLite of a query's column, counted from 0.
func columnName(i int) string { return fmt.Sprintf("c%d", i+1) }

func makeNullable(sources []*source) {
	for _, s := range sources {
		s.cols = append([]sourceColumn(nil), s.cols...)
		for i := range s.cols {
			s.cols[i].nullable = true
		}
	}
}

// derived adds a query as a table to the scope.
func (p *planner) derived(sql string, cols []column, alias *ast.Identifier, names []*ast.Identifier, sc *scope) (string, error) {
	if alias == nil || alias.Value == "" {
		return "", newError(errSyntax, 15, "Incorrect syntax near ')': a derived table needs an alias.")
	}
	cols, err := renamed(cols, names, alias.Value)
	if err != nil {
		return "", err
	}
	p.sources++
	name := fmt.Sprintf("t%d", p.sources)
	src := &source{alias: alias.Value, local: name}
	for i, c := range cols {
		src.cols = append(src.cols, sourceColumn{column: c, sql: fmt.Sprintf("%s.c%d", name, i+1)})
	}
	if err := sc.add(src); err != nil {
		return "", err
	}
	return "(" + sql + ") AS " + name, nil
}

// renamed gives a derived table's columns the names that are listed behind its alias, and checks that each has one.
func renamed(cols []column, names []*ast.Identifier, table string) ([]column, error) {
	out := append([]column(nil), cols...)
	if len(names) > 0 {
		if len(names) != len(cols) {
			return nil, newError(8159, 16, "'%s' has %s columns than were specified in the column list.", table, map[bool]string{true: "fewer", false: "more"}[len(cols) < len(names)])
		}
		for i, n := range names {
			out[i].name = n.Value
		}
	}
	seen := map[string]bool{}
	for i, c := range out {
		if c.name == "" {
			return nil, newError(8155, 16, "No column name was specified for column %d of '%s'.", i+1, table)
		}
		if seen[strings.ToLower(c.name)] {
			return nil, newError(8156, 16, "The column '%s' was specified multiple times for '%s'.", c.name, table)
		}
		seen[strings.ToLower(c.name)] = true
	}
	return out, nil
}

func (sc *scope) add(src *source) error {
	for _, s := range sc.sources {
		if strings.EqualFold(s.alias, src.alias) && strings.EqualFold(s.schema, src.schema) {
			return newError(1011, 16, "The correlation name '%s' is specified multiple times in a FROM clause.", src.alias)
		}
	}
	sc.sources = append(sc.sources, src)
	return nil
}

// values plans rows of a table constructor.
func (p *planner) values(rows []*ast.RowValue, outer *scope) (string, []column, error) {
	var planned [][]expr
	var cols []column
	for _, r := range rows {
		var row []expr
		for _, v := range r.ColumnValues {
			e, err := p.expression(v, &scope{parent: outer})
			if err != nil {
				return "", nil, err
			}
			row = append(row, e)
		}
		if len(planned) > 0 && len(row) != len(planned[0]) {
			return "", nil, newError(10709, 16, "The number of columns for each row in a table value constructor must be the same.")
		}
		planned = append(planned, row)
	}
	if len(planned) == 0 {
		return "", nil, newError(errSyntax, 15, "Incorrect syntax near 'VALUES'.")
	}
	for i := range planned[0] {
		c := column{typ: planned[0][i].typ}
		for _, r := range planned {
			t, err := commonType(c.typ, r[i].typ)
			if err != nil {
				return "", nil, err
			}
			c.typ, c.nullable = t, c.nullable || r[i].nullable
		}
		cols = append(cols, c)
	}
	p.sources++
	name := fmt.Sprintf("v%d", p.sources)
	var names, sqls []string
	for i := range cols {
		names = append(names, fmt.Sprintf("c%d", i+1))
	}
	for _, r := range planned {
		var vs []string
		for i, e := range r {
			c, err := p.implicit(e, cols[i].typ)
			if err != nil {
				return "", nil, err
			}
			vs = append(vs, c.sql)
		}
		sqls = append(sqls, "("+strings.Join(vs, ", ")+")")
	}
	return fmt.Sprintf("WITH %s(%s) AS (VALUES %s) SELECT * FROM %s", name, strings.Join(names, ", "), strings.Join(sqls, ", "), name), cols, nil
}

// namedTable plans a table, a catalog view or a CTE.
func (p *planner) namedTable(t *ast.NamedTableReference, sc *scope) (string, error) {
	if t.TableSampleClause != nil {
		return "", notSupported("TABLESAMPLE")
	}
	if t.TemporalClause != nil {
		return "", notSupported("FOR SYSTEM_TIME")
	}
	name := t.SchemaObject
	if name == nil || name.BaseIdentifier == nil {
		return "", newError(errSyntax, 15, "Incorrect syntax: a table name is missing.")
	}
	alias := name.BaseIdentifier.Value
	schema := ""
	if t.Alias != nil {
		alias = t.Alias.Value
	} else if name.SchemaIdentifier != nil {
		schema = name.SchemaIdentifier.Value
	} else {
		schema = defaultSchema
	}
	p.sources++
	local := fmt.Sprintf("t%d", p.sources)
	if name.SchemaIdentifier == nil {
		for _, c := range slices.Backward(p.ctes) {
			if strings.EqualFold(c.name, name.BaseIdentifier.Value) {
				src := &source{alias: alias}
				for i, col := range c.cols {
					src.cols = append(src.cols, sourceColumn{column: col.column, sql: fmt.Sprintf("%s.c%d", local, i+1)})
				}
				return c.sql + " AS " + local, sc.add(src)
			}
		}
	}
	if view, ok, err := p.systemView(name); err != nil {
		return "", err
	} else if ok {
		src := &source{alias: alias, schema: schema}
		for i, c := range view.cols {
			src.cols = append(src.cols, sourceColumn{column: c, sql: fmt.Sprintf("%s.c%d", local, i+1)})
		}
		return "(" + view.sql() + ") AS " + local, sc.add(src)
	}
	tab, err := p.table(name)
	if err != nil {
		return "", err
	}
	if p.inView == 1 {
		p.viewReads = append(p.viewReads, tab)
	}
	if p.inView == 0 && !p.s.login.maySelect(tab) {
		return "", newError(errPermission, 14, "The SELECT permission was denied on the object '%s', database '%s', schema '%s'.", tab.Name, p.s.db.name, tab.Schema)
	}
	src := &source{alias: alias, schema: schema}
	if tab.View != "" {
		sql, cols, err := p.viewQuery(tab)
		if err != nil {
			return "", err
		}
		for i, c := range cols {
			src.cols = append(src.cols, sourceColumn{column: c, sql: local + "." + columnName(i)})
		}
		return "(" + sql + ") AS " + local, sc.add(src)
	}
	for _, c := range tab.Columns {
		src.cols = append(src.cols, sourceColumn{
			column: column{name: c.Name, typ: c.typ, nullable: c.Nullable, identity: c.Identity, computed: c.Computed != "", mask: c.Mask},
			sql:    local + "." + quoteName(c.Name),
		})
	}
	return p.readsTable(tab, t.TableHints).source(p) + " AS " + local, sc.add(src)
}

const defaultSchema = "dbo"

// table finds a table by its name.
func (p *planner) table(name *ast.SchemaObjectName) (*table, error) {
	full := objectName(name)
	if name.ServerIdentifier != nil && name.ServerIdentifier.Value != "" {
		return nil, notSupported("linked servers")
	}
	base := name.BaseIdentifier.Value
	if strings.HasPrefix(base, "#") {
		if t := p.s.temp[strings.ToLower(base)]; t != nil {
			return t, nil
		}
		return nil, newError(errUnknownObject, 16, "Invalid object name '%s'.", full)
	}
	if d := name.DatabaseIdentifier; d != nil && d.Value != "" && !strings.EqualFold(d.Value, p.s.db.name) {
		if p.s.srv.database(d.Value) == nil {
			return nil, newError(errUnknownObject, 16, "Invalid object name '%s'.", full)
		}
		return nil, notSupported("tables of another database than the current one")
	}
	schema := defaultSchema
	if name.SchemaIdentifier != nil && name.SchemaIdentifier.Value != "" {
		schema = name.SchemaIdentifier.Value
	}
	if t := p.cat.tables[tableKey(schema, base)]; t != nil {
		return p.behind(t)
	}
	return nil, newError(errUnknownObject, 16, "Invalid object name '%s'.", full)
}

func objectName(name *ast.SchemaObjectName) string {
	var parts []string
	for _, id := range []*ast.Identifier{name.ServerIdentifier, name.DatabaseIdentifier, name.SchemaIdentifier, name.BaseIdentifier} {
		if id != nil && (id.Value != "" || len(parts) > 0) {
			parts = append(parts, id.Value)
		}
	}
	return strings.Join(parts, ".")
}

// commonTables plans a WITH clause.
func (p *planner) commonTables(w *ast.WithCtesAndXmlNamespaces) error {
	if w == nil {
		return nil
	}
	if w.XmlNamespaces != nil || w.ChangeTrackingContext != nil {
		return notSupported("WITH XMLNAMESPACES and WITH CHANGE_TRACKING_CONTEXT")
	}
	for _, c := range w.CommonTableExpressions {
		name := c.ExpressionName.Value
		p.sources++
		local := fmt.Sprintf("w%d", p.sources)
		register := func(cols []column) (*cte, error) {
			cols, err := renamed(cols, c.Columns, name)
			if err != nil {
				return nil, err
			}
			x := &cte{name: name, sql: local}
			for _, col := range cols {
				x.cols = append(x.cols, sourceColumn{column: col})
			}
			return x, nil
		}
		var sql string
		var cols []column
		var err error
		recursive := false
		if b, ok := c.QueryExpression.(*ast.BinaryQueryExpression); ok && b.All && mentions(b.SecondQueryExpression, name) {
			// A recursive one: its first part says what it is, its second part refers to it.
			recursive = true
			var first, second string
			if first, cols, err = p.query(b.FirstQueryExpression, nil); err != nil {
				return err
			}
			for i := range cols {
				cols[i].nullable = true
			}
			x, err := register(cols)
			if err != nil {
				return err
			}
			p.ctes = append(p.ctes, x)
			var rcols []column
			if second, rcols, err = p.query(b.SecondQueryExpression, nil); err != nil {
				return err
			}
			if len(rcols) != len(cols) {
				return newError(205, 16, "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.")
			}
			for i := range cols {
				if rcols[i].typ.id != cols[i].typ.id && rcols[i].typ.id != tNull || rcols[i].typ.length != cols[i].typ.length && rcols[i].typ.isString() && rcols[i].typ.id != tNull {
					return newError(240, 16, "Types don't match between the anchor and the recursive part in column \"%s\" of recursive query \"%s\".", x.cols[i].name, name)
				}
			}
			sql = first + " UNION ALL " + second
		} else if sql, cols, err = p.query(c.QueryExpression, nil); err != nil {
			return err
		}
		if !recursive {
			x, err := register(cols)
			if err != nil {
				return err
			}
			p.ctes = append(p.ctes, x)
		}
		var names []string
		for i := range cols {
			names = append(names, fmt.Sprintf("c%d", i+1))
		}
		p.with = append(p.with, fmt.Sprintf("%s(%s) AS (%s)", local, strings.Join(names, ", "), sql))
	}
	return nil
}

// mentions says whether a query reads a table of that name in its FROM clauses, where a recursive CTE may name itself.
func mentions(q ast.QueryExpression, name string) bool {
	var inTable func(t ast.TableReference) bool
	inTable = func(t ast.TableReference) bool {
		switch t := t.(type) {
		case *ast.NamedTableReference:
			return t.SchemaObject != nil && t.SchemaObject.SchemaIdentifier == nil && t.SchemaObject.BaseIdentifier != nil &&
				strings.EqualFold(t.SchemaObject.BaseIdentifier.Value, name)
		case *ast.QualifiedJoin:
			return inTable(t.FirstTableReference) || inTable(t.SecondTableReference)
		case *ast.UnqualifiedJoin:
			return inTable(t.FirstTableReference) || inTable(t.SecondTableReference)
		case *ast.QueryDerivedTable:
			return mentions(t.QueryExpression, name)
		}
		return false
	}
	switch q := q.(type) {
	case *ast.QuerySpecification:
		if q.FromClause != nil {
			return slices.ContainsFunc(q.FromClause.TableReferences, inTable)
		}
	case *ast.QueryParenthesisExpression:
		return mentions(q.QueryExpression, name)
	case *ast.BinaryQueryExpression:
		return mentions(q.FirstQueryExpression, name) || mentions(q.SecondQueryExpression, name)
	}
	return false
}
