package sqlserver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlc-dev/teesql/ast"
)

// scanRows is how many rows a locking scan finds at a time.
const scanRows = 64

// tableScan is a query of one table whose rows come in the order of an index, so that they can be found some at a time.
//
// Under locking READ COMMITTED a scan holds the lock of no row but the one that it's at. So its result isn't of one moment:
// it sees what others commit before it gets there, and a row that moves in the scanned index meanwhile is missed, or
// found twice.
type tableScan struct {
	table *table
	alias string
	where string
	keys  []string // the columns of the index and what tells the row, quoted
}

// scanPart is the part of a scan that is read at a time.
type scanPart struct {
	keys        []string
	after, upTo []any // keys; nil is the beginning and the end of the index
}

// noteScan notes whether the query that is streamed is such a scan.
func (p *planner) noteScan(q *ast.QuerySpecification, sc *scope, from, where string, exprs []expr, cols []column) {
	if p.streamed != q || len(p.reads) != 1 || len(p.ctes) > 0 || sc.aggregate || sc.grouped || q.UniqueRowFilter == "Distinct" ||
		q.TopRowFilter != nil || q.OffsetClause != nil || q.FromClause == nil || len(q.FromClause.TableReferences) != 1 {
		return
	}
	r := p.reads[0]
	ref, ok := q.FromClause.TableReferences[0].(*ast.NamedTableReference)
	if !ok || !r.locking || r.level != readCommitted || r.table.View != "" {
		return
	}
	alias := from[strings.LastIndex(from, " AS ")+len(" AS "):]
	if from != " FROM "+r.source(p)+" AS "+alias {
		return // of a view
	}
	for _, e := range exprs {
		if strings.Contains(e.sql, " OVER ") {
			return
		}
	}
	var order []string
	if q.OrderByClause != nil {
		for _, o := range q.OrderByClause.OrderByElements {
			c, ok := o.Expression.(*ast.ColumnReferenceExpression)
			if !ok || o.SortOrder == "Descending" {
				return
			}
			ids := identifiers(c)
			name := ids[len(ids)-1]
			col := r.table.column(name)
			if n := columnNamed(cols, name); col == nil || len(ids) == 1 && n > 0 && exprs[n-1].sql != alias+"."+quoteName(col.Name) {
				return
			}
			order = append(order, col.Name)
		}
	}
	if keys := r.table.scanKeys(order, ref.TableHints); keys != nil {
		p.scan = &tableScan{table: r.table, alias: alias, where: where, keys: keys}
	}
}

// scanKeys are the columns of the index that is scanned for an order, and what tells a row. Without an order it's the
// index that a hint names, the clustered one or the table itself.
func (t *table) scanKeys(order []string, hints []ast.TableHintType) []string {
	row := []string{t.numberName()}
	if cols := t.keyColumns(); cols != nil {
		row = nil
		for _, i := range cols {
			row = append(row, quoteName(t.Columns[i].Name))
		}
	}
	hinted := ""
	for _, h := range hints {
		if h, ok := h.(*ast.IndexTableHint); ok && len(h.IndexValues) == 1 && h.IndexValues[0].Identifier != nil {
			hinted = h.IndexValues[0].Identifier.Value
		}
	}
	for _, x := range t.Indexes {
		prefix := len(order) <= len(x.Columns) && slices.EqualFunc(order, x.Columns[:min(len(order), len(x.Columns))], strings.EqualFold)
		wanted := len(order) > 0 && prefix || len(order) == 0 && hinted != "" && strings.EqualFold(hinted, x.Name)
		if !wanted || slices.Contains(x.Descending, true) {
			continue
		}
		var keys []string
		for _, name := range x.Columns {
			c := t.column(name)
			if c.Nullable || c.Computed != "" {
				return nil // SQLite doesn't compare keys with NULL in them
			}
			keys = append(keys, quoteName(c.Name))
		}
		for _, k := range row {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
		return keys
	}
	if len(order) > 0 {
		return nil // it's sorted, after the scan
	}
	return row
}

// condition is the SQL that finds the part's rows of a table, which has an alias. It's empty for the whole table.
func (x *scanPart) condition(alias string) string {
	if x == nil {
		return ""
	}
	var out []string
	compare := func(op string, values []any) {
		if values == nil {
			return
		}
		var keys, literals []string
		for i, k := range x.keys {
			keys = append(keys, alias+"."+k)
			literals = append(literals, literal(values[i]))
		}
		out = append(out, fmt.Sprintf("(%s) %s (%s)", strings.Join(keys, ", "), op, strings.Join(literals, ", ")))
	}
	compare(">", x.after)
	compare("<=", x.upTo)
	return strings.Join(out, " AND ")
}

// streamScan runs a query by parts if it is a scan, and as a whole if not.
func (s *session) streamScan(ctx context.Context, vars *variables, plan planQuery, out *rowStream) error {
	part := &scanPart{}
	for {
		err := s.read(ctx, vars, func(p *planner) (string, []column, error) {
			if !s.checking {
				if err := s.nextPart(vars, plan, part); err != nil {
					return "", nil, err
				}
			}
			if part.keys != nil {
				p.part = part
			}
			return plan(p)
		}, func(q query) error { return out.send(ctx, q) })
		if err != nil {
			return err
		}
		if part.upTo == nil || out.full() {
			return out.end()
		}
		part.after = part.upTo
	}
}

// nextPart finds where the next part of a scan ends.
func (s *session) nextPart(vars *variables, plan planQuery, part *scanPart) error {
	p := s.newPlanner(vars)
	if _, _, err := plan(p); err != nil {
		return err
	}
	part.upTo = nil
	if p.scan == nil {
		return nil
	}
	part.keys = p.scan.keys
	var keys []string
	for _, k := range part.keys {
		keys = append(keys, p.scan.alias+"."+k)
	}
	list := append([]string(nil), keys...)
	for i := range p.params { // they must all be there to be bound
		list = append(list, fmt.Sprintf("?%d", i+1))
	}
	where := p.scan.where
	if c := part.condition(p.scan.alias); c != "" {
		where = " WHERE " + c + strings.Replace(where, " WHERE ", " AND (", 1)
		if p.scan.where != "" {
			where += ")"
		}
	}
	stmt, err := s.sql.Prepare(fmt.Sprintf("SELECT %s FROM %s AS %s%s ORDER BY %s LIMIT 1 OFFSET %d",
		strings.Join(list, ", "), p.scan.table.physical(), p.scan.alias, where, strings.Join(keys, ", "), s.srv.scanRows-1))
	if err != nil {
		return err
	}
	defer stmt.Close()
	if err := stmt.BindAll(p.arguments()); err != nil {
		return err
	}
	found, err := stmt.Step()
	if err != nil || !found {
		return err
	}
	for i := range part.keys {
		part.upTo = append(part.upTo, stmt.Value(i))
	}
	return nil
}
