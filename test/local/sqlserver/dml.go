package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sqlc-dev/teesql/ast"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// target finds the table that a statement changes.
func (p *planner) target(t ast.TableReference) (*table, error) {
	n, ok := t.(*ast.NamedTableReference)
	if !ok || n.SchemaObject == nil {
		return nil, notSupported("changing anything but a table")
	}
	found, err := p.table(n.SchemaObject)
	if err == nil && found.View != "" {
		return nil, notSupported("changing rows through a view")
	}
	if err == nil {
		p.uses(found)
	}
	return found, err
}

// insertStatement runs INSERT … VALUES, INSERT … SELECT and INSERT … DEFAULT VALUES.
func (s *session) insertStatement(ctx context.Context, st *ast.InsertStatement, vars *variables) error {
	spec := st.InsertSpecification
	if spec.OutputClause != nil || spec.OutputIntoClause != nil {
		return notSupported("the OUTPUT clause")
	}
	if spec.TopRowFilter != nil {
		return notSupported("INSERT TOP")
	}
	return s.change(ctx, commandInsert, "INSERT", vars, func(p *planner) (string, *table, error) {
		if err := p.commonTables(st.WithCtesAndXmlNamespaces); err != nil {
			return "", nil, err
		}
		t, err := p.target(spec.Target)
		if err != nil {
			return "", nil, err
		}
		var names []string
		for _, c := range spec.Columns {
			ids := identifiers(c)
			if len(ids) == 0 {
				return "", nil, newError(errSyntax, 15, "Incorrect syntax in the column list of INSERT.")
			}
			names = append(names, ids[len(ids)-1])
		}
		cols, err := insertColumns(t, names)
		if err != nil {
			return "", nil, err
		}
		switch src := spec.InsertSource.(type) {
		case *ast.ValuesInsertSource:
			sql, err := p.insertValues(t, cols, src)
			return sql, t, err
		case *ast.SelectInsertSource:
			sql, err := p.insertSelect(t, cols, src.Select)
			return sql, t, err
		}
		return "", nil, notSupported("this source of INSERT (%T)", spec.InsertSource)
	})
}

// insertInto is how rows are put into a table. On trial they drive out what has the same key, so that it's seen whose it is.
func (p *planner) insertInto() string {
	if p.s.rehearsing {
		return "INSERT OR REPLACE INTO "
	}
	return "INSERT INTO "
}

func (p *planner) update() string {
	if p.s.rehearsing {
		return "UPDATE OR REPLACE "
	}
	return "UPDATE "
}

// insertColumns are the columns that values are given for.
func insertColumns(t *table, names []string) ([]*tableColumn, error) {
	var cols []*tableColumn
	if len(names) == 0 {
		for _, c := range t.Columns {
			if !c.Identity && c.typ.id != tRowVersion && c.Computed == "" {
				cols = append(cols, c)
			}
		}
		return cols, nil
	}
	seen := map[*tableColumn]bool{}
	for _, n := range names {
		c := t.column(n)
		if c == nil {
			return nil, newError(errUnknownColumn, 16, "Invalid column name '%s'.", n)
		}
		if seen[c] {
			return nil, newError(264, 16, "The column name '%s' is specified more than once in the SET clause or column list of an INSERT.", n)
		}
		if c.typ.id == tRowVersion {
			return nil, newError(273, 16, "Cannot insert an explicit value into a timestamp column. Use INSERT with a column list to exclude the timestamp column, or insert a DEFAULT into the timestamp column.")
		}
		if err := c.settable(); err != nil {
			return nil, err
		}
		seen[c] = true
		cols = append(cols, c)
	}
	return cols, nil
}

// settable refuses a value for a computed column.
func (c *tableColumn) settable() error {
	if c.Computed != "" {
		return newError(271, 16, "The column \"%s\" cannot be modified because it is either a computed column or is the result of a UNION operator.", c.Name)
	}
	return nil
}

// filled is what goes into columns that no value is given for: identities, rowversions, defaults.
func (p *planner) filled(t *table, given []*tableColumn) (names, values []string, err error) {
	has := map[*tableColumn]bool{}
	for _, c := range given {
		has[c] = true
	}
	if n, v, err := p.numbered(t); err != nil {
		return nil, nil, err
	} else if n != "" {
		names, values = append(names, n), append(values, v)
	}
	for _, c := range t.Columns {
		if has[c] || c.Computed != "" {
			continue
		}
		value, err := p.defaultOf(t, c)
		if err != nil {
			return nil, nil, err
		}
		if value == "" {
			if !c.Nullable {
				return nil, nil, nullIntoColumn(c.Name, p.fullName(t), "INSERT")
			}
			continue
		}
		names = append(names, quoteName(c.Name))
		values = append(values, value)
	}
	return names, values, nil
}

// numbered gives rows a number that no open transaction gave to one of its own, where SQLite would number them.
func (p *planner) numbered(t *table) (name, value string, err error) {
	db := p.s.db
	if !p.s.checking || t.temp || t.keyColumns() != nil || t.rowID() != nil {
		return "", "", nil
	}
	last, err := p.s.sql.value("SELECT max(" + t.numberName() + ") FROM " + t.physical())
	if err != nil {
		return "", "", err
	}
	if db.lastRow = 0; last != nil {
		db.lastRow = asInt(last)
	}
	for _, o := range db.others(nil) {
		if c := o.changes[t.fileName()]; c != nil {
			db.lastRow = max(db.lastRow, c.rows.top)
		}
	}
	return t.numberName(), "ms_row_number(" + literal(db.handle()) + ")", nil
}

// defaultOf is the SQL of what a column gets by itself; empty is NULL.
func (p *planner) defaultOf(t *table, c *tableColumn) (string, error) {
	switch {
	case c.Identity:
		return fmt.Sprintf("ms_identity(%d, %d, %d, %d)", p.s.db.handle(), t.ID, c.Seed, c.Increment), nil
	case c.typ.id == tRowVersion:
		return fmt.Sprintf("ms_rowversion(%d)", p.s.db.handle()), nil
	case c.Default != "":
		e, err := parseExpression(c.Default)
		if err != nil {
			return "", err
		}
		x, err := p.expression(e, &scope{})
		if err != nil {
			return "", err
		}
		return p.assign(x, t, c)
	}
	return "", nil
}

// parseExpression reads an expression that stands alone.
func parseExpression(text string) (ast.ScalarExpression, error) {
	list, err := parse("SELECT " + text)
	if err != nil {
		return nil, err
	}
	if len(list) == 1 {
		if st, ok := list[0].(*ast.SelectStatement); ok {
			if q, ok := st.QueryExpression.(*ast.QuerySpecification); ok && len(q.SelectElements) == 1 {
				if el, ok := q.SelectElements[0].(*ast.SelectScalarExpression); ok {
					return el.Expression, nil
				}
			}
		}
	}
	return nil, newError(errSyntax, 15, "Incorrect syntax near '%s'.", text)
}

// guarded refuses NULL for a column that SQLite would number by itself.
func (p *planner) guarded(sql string, t *table, c *tableColumn) string {
	if t.rowID() == c {
		return fmt.Sprintf("ms_not_null(%s, %s, %s)", sql, quoteText(c.Name), quoteText(p.fullName(t)))
	}
	return sql
}

func (p *planner) insertValues(t *table, cols []*tableColumn, src *ast.ValuesInsertSource) (string, error) {
	for _, r := range src.RowValues {
		if len(r.ColumnValues) > len(cols) {
			return "", newError(110, 15, "There are fewer columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.")
		}
		if len(r.ColumnValues) < len(cols) {
			return "", newError(109, 15, "There are more columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.")
		}
	}
	fillNames, fillValues, err := p.filled(t, cols)
	if src.IsDefaultValues {
		cols = nil
		fillNames, fillValues, err = p.filled(t, nil)
	}
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(cols)+len(fillNames))
	for _, c := range cols {
		names = append(names, quoteName(c.Name))
	}
	names = append(names, fillNames...)
	if len(names) == 0 {
		return p.insertInto() + t.physical() + " DEFAULT VALUES", nil
	}
	var rows []string
	list := src.RowValues
	if src.IsDefaultValues {
		list = []*ast.RowValue{{}}
	}
	for _, r := range list {
		var values []string
		for i, v := range r.ColumnValues {
			if _, ok := v.(*ast.DefaultLiteral); ok {
				d, err := p.defaultOf(t, cols[i])
				if err != nil {
					return "", err
				}
				if d == "" {
					d = "NULL"
				}
				values = append(values, p.guarded(d, t, cols[i]))
				continue
			}
			if cols[i].Identity {
				return "", newError(544, 16, "Cannot insert explicit value for identity column in table '%s' when IDENTITY_INSERT is set to OFF.", t.Name)
			}
			x, err := p.expression(v, &scope{})
			if err != nil {
				return "", err
			}
			sql, err := p.assign(x, t, cols[i])
			if err != nil {
				return "", err
			}
			values = append(values, p.guarded(sql, t, cols[i]))
		}
		rows = append(rows, "("+strings.Join(append(values, fillValues...), ", ")+")")
	}
	return p.withClause() + p.insertInto() + t.physical() + " (" + strings.Join(names, ", ") + ") VALUES " + strings.Join(rows, ", "), nil
}

func (p *planner) insertSelect(t *table, cols []*tableColumn, q ast.QueryExpression) (string, error) {
	sql, from, err := p.query(q, nil)
	if err != nil {
		return "", err
	}
	if len(from) != len(cols) {
		number, text := int32(121), "The select list for the INSERT statement contains more items than the insert list. The number of SELECT values must match the number of INSERT columns."
		if len(from) < len(cols) {
			number, text = 120, "The select list for the INSERT statement contains fewer items than the insert list. The number of SELECT values must match the number of INSERT columns."
		}
		return "", newError(number, 15, "%s", text)
	}
	fillNames, fillValues, err := p.filled(t, cols)
	if err != nil {
		return "", err
	}
	var names, list []string
	for i, c := range cols {
		if c.Identity {
			return "", newError(544, 16, "Cannot insert explicit value for identity column in table '%s' when IDENTITY_INSERT is set to OFF.", t.Name)
		}
		x, err := p.assign(expr{sql: fmt.Sprintf("c%d", i+1), typ: from[i].typ, nullable: true}, t, c)
		if err != nil {
			return "", err
		}
		names = append(names, quoteName(c.Name))
		list = append(list, p.guarded(x, t, c))
	}
	names, list = append(names, fillNames...), append(list, fillValues...)
	return p.withClause() + p.insertInto() + t.physical() + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(list, ", ") + " FROM (" + sql + ") WHERE true", nil
}

// updateStatement runs UPDATE, with the target as the only table.
func (s *session) updateStatement(ctx context.Context, st *ast.UpdateStatement, vars *variables) error {
	spec := st.UpdateSpecification
	if spec.OutputClause != nil || spec.OutputIntoClause != nil || spec.TopRowFilter != nil {
		return notSupported("OUTPUT and TOP in UPDATE")
	}
	return s.change(ctx, commandUpdate, "UPDATE", vars, func(p *planner) (string, *table, error) {
		if err := p.commonTables(st.WithCtesAndXmlNamespaces); err != nil {
			return "", nil, err
		}
		t, sc, err := p.changed(spec.Target, spec.FromClause)
		if err != nil {
			return "", nil, err
		}
		var sets []string
		for _, c := range spec.SetClauses {
			a, ok := c.(*ast.AssignmentSetClause)
			if !ok || a.Column == nil || a.Variable != nil {
				return "", nil, notSupported("this form of SET in UPDATE")
			}
			ids := identifiers(a.Column)
			col := t.column(ids[len(ids)-1])
			if col == nil {
				return "", nil, newError(errUnknownColumn, 16, "Invalid column name '%s'.", ids[len(ids)-1])
			}
			if col.Identity {
				return "", nil, newError(8102, 16, "Cannot update identity column '%s'.", col.Name)
			}
			if col.typ.id == tRowVersion {
				return "", nil, newError(272, 16, "Cannot update a timestamp column.")
			}
			if err := col.settable(); err != nil {
				return "", nil, err
			}
			var sql string
			if _, ok := a.NewValue.(*ast.DefaultLiteral); ok {
				if sql, err = p.defaultOf(t, col); err != nil {
					return "", nil, err
				}
				if sql == "" {
					sql = "NULL"
				}
			} else {
				e := a.NewValue
				if k := a.AssignmentKind; k != "" && k != "Equals" {
					e = &ast.BinaryExpression{BinaryExpressionType: strings.TrimSuffix(k, "Equals"), FirstExpression: a.Column, SecondExpression: e}
				}
				x, err := p.expression(e, sc)
				if err != nil {
					return "", nil, err
				}
				if sql, err = p.assign(x, t, col); err != nil {
					return "", nil, err
				}
			}
			sets = append(sets, quoteName(col.Name)+" = "+p.guarded(sql, t, col))
		}
		for _, col := range t.Columns {
			if col.typ.id == tRowVersion {
				sets = append(sets, fmt.Sprintf("%s = ms_rowversion(%d)", quoteName(col.Name), p.s.db.handle()))
			}
		}
		where, err := p.targets(t, spec.WhereClause, sc)
		if err != nil {
			return "", nil, err
		}
		return p.withClause() + p.update() + t.physical() + " AS t1 SET " + strings.Join(sets, ", ") + where, t, nil
	})
}

// changed plans the target of UPDATE and DELETE. With a FROM clause the target is one of its tables.
func (p *planner) changed(target ast.TableReference, from *ast.FromClause) (*table, *scope, error) {
	n, ok := target.(*ast.NamedTableReference)
	if !ok {
		return nil, nil, notSupported("changing anything but a table")
	}
	if from != nil {
		if len(from.TableReferences) != 1 {
			return nil, nil, notSupported("joins in UPDATE and DELETE")
		}
		only, ok := from.TableReferences[0].(*ast.NamedTableReference)
		if !ok {
			return nil, nil, notSupported("joins in UPDATE and DELETE")
		}
		alias := only.SchemaObject.BaseIdentifier.Value
		if only.Alias != nil {
			alias = only.Alias.Value
		}
		if !strings.EqualFold(alias, n.SchemaObject.BaseIdentifier.Value) && !strings.EqualFold(only.SchemaObject.BaseIdentifier.Value, n.SchemaObject.BaseIdentifier.Value) {
			return nil, nil, notSupported("joins in UPDATE and DELETE")
		}
		n = only
	}
	t, err := p.target(n)
	if err != nil {
		return nil, nil, err
	}
	p.sources = 1
	src := &source{alias: n.SchemaObject.BaseIdentifier.Value, schema: t.Schema}
	if n.Alias != nil {
		src.alias, src.schema = n.Alias.Value, ""
	}
	for _, c := range t.Columns {
		src.cols = append(src.cols, sourceColumn{column: column{name: c.Name, typ: c.typ, nullable: c.Nullable}, sql: "t1." + quoteName(c.Name)})
	}
	return t, &scope{sources: []*source{src}, noWindow: true}, nil
}

func (p *planner) where(w *ast.WhereClause, sc *scope) (string, error) {
	if w == nil {
		return "", nil
	}
	if w.Cursor != nil {
		return "", notSupported("WHERE CURRENT OF")
	}
	cond, err := p.boolean(w.SearchCondition, sc)
	return " WHERE " + cond, err
}

// targets plans which rows of the target a statement changes. The table is t1.
func (p *planner) targets(t *table, w *ast.WhereClause, sc *scope) (string, error) {
	where, err := p.where(w, sc)
	if err != nil || t.temp || !p.s.checking {
		return where, err
	}
	p.targetQuery = p.withClause() + "SELECT " + t.keyList("t1") + " FROM " + t.physical() + " AS t1" + where
	met := " WHERE " + p.met(t, "t1")
	if where != "" {
		met += " AND (" + strings.TrimPrefix(where, " WHERE ") + ")"
	}
	return met, nil
}

func (s *session) deleteStatement(ctx context.Context, st *ast.DeleteStatement, vars *variables) error {
	spec := st.DeleteSpecification
	if spec.OutputClause != nil || spec.OutputIntoClause != nil || spec.TopRowFilter != nil {
		return notSupported("OUTPUT and TOP in DELETE")
	}
	return s.change(ctx, commandDelete, "DELETE", vars, func(p *planner) (string, *table, error) {
		if err := p.commonTables(st.WithCtesAndXmlNamespaces); err != nil {
			return "", nil, err
		}
		t, sc, err := p.changed(spec.Target, spec.FromClause)
		if err != nil {
			return "", nil, err
		}
		where, err := p.targets(t, spec.WhereClause, sc)
		if err != nil {
			return "", nil, err
		}
		return p.withClause() + "DELETE FROM " + t.physical() + " AS t1" + where, t, nil
	})
}

// change plans and runs a statement that changes rows, under the right to write.
func (s *session) change(ctx context.Context, command uint16, verb string, vars *variables, plan func(p *planner) (string, *table, error)) error {
	changed := int64(0)
	if s.fmtOnly || s.noExec {
		s.setDone(doneCount, command, 0)
		return nil
	}
	// Objects are looked for before rights, so that a missing one is named as such.
	if err := s.alone(ctx, func() error { _, _, err := plan(s.newPlanner(vars)); return err }); err != nil {
		return err
	}
	err := s.write(ctx, func() error {
		p := s.newPlanner(vars)
		sql, t, err := plan(p)
		if err != nil {
			return err
		}
		if p.targetQuery != "" {
			if err := s.snapshotTargets(t, p.targetQuery, p.arguments()); err != nil {
				return err
			}
		}
		stmt, err := s.sql.Prepare(sql)
		if err != nil {
			s.srv.log.Debug("SQLite refused a statement", "sql", sql, "error", err)
			return err
		}
		defer stmt.Close()
		if err := stmt.BindAll(p.arguments()); err != nil {
			return err
		}
		if _, err := stmt.Step(); err != nil {
			return s.constraintError(err, t, verb)
		}
		changed = s.sql.Changes()
		if command == commandInsert && t.identity() != nil && changed > 0 {
			s.db.mu.Lock()
			s.identity = s.db.lastID
			s.db.mu.Unlock()
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.rowCount = changed
	status := uint16(doneCount)
	if s.noCount {
		status = doneFinal
	}
	s.setDone(status, command, uint64(changed))
	return nil
}

// constraintError tells which column or key was violated, in SQL Server's words.
func (s *session) constraintError(err error, t *table, verb string) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || t == nil {
		return err
	}
	_, what, _ := strings.Cut(e.Message, "failed: ")
	full := s.db.name + "." + t.Schema + "." + t.Name
	object := t.Schema + "." + t.Name
	prefix := t.Schema + "." + t.Name + "."
	if t.temp {
		prefix = t.Name + "."
	}
	switch e.Code {
	case sqlite.CodeNotNull:
		return nullIntoColumn(strings.TrimPrefix(what, prefix), full, verb)
	case sqlite.CodePrimaryKey, sqlite.CodeUnique, sqlite.CodeRowID:
		var cols []string
		for c := range strings.SplitSeq(what, ", ") {
			cols = append(cols, strings.TrimPrefix(c, prefix))
		}
		for _, x := range t.Indexes {
			if !x.Unique || !strings.EqualFold(strings.Join(x.Columns, ","), strings.Join(cols, ",")) && what != "index '"+t.indexName(x)+"'" {
				continue
			}
			switch {
			case x.Primary:
				return newError(errDuplicateKey, 14, "Violation of PRIMARY KEY constraint '%s'. Cannot insert duplicate key in object '%s'.", x.Name, object)
			case x.Constraint:
				return newError(errDuplicateKey, 14, "Violation of UNIQUE KEY constraint '%s'. Cannot insert duplicate key in object '%s'.", x.Name, object)
			}
			return newError(errDuplicateIndexKey, 14, "Cannot insert duplicate key row in object '%s' with unique index '%s'.", object, x.Name)
		}
		return newError(errDuplicateKey, 14, "Violation of a UNIQUE KEY constraint. Cannot insert duplicate key in object '%s' (%s).", object, what)
	}
	return err
}
