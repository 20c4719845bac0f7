package sqlserver

import (
	"context"
	"strings"
	"time"

	"github.com/sqlc-dev/teesql/ast"
)

// createView keeps a view's query as text, after having planned it once.
func (s *session) createView(ctx context.Context, st *ast.CreateViewStatement) error {
	if st.WithCheckOption || st.IsMaterialized {
		return notSupported("WITH CHECK OPTION and materialized views")
	}
	schema, name, err := s.schemaName(st.SchemaObjectName)
	if err != nil {
		return err
	}
	if st.SelectStatement == nil || st.SelectStatement.Into != nil {
		return newError(errSyntax, 15, "Incorrect syntax in the query of view '%s'.", name)
	}
	_, cols, err := s.newPlanner(newVariables()).statementQuery(st.SelectStatement)
	if err != nil {
		return err
	}
	if cols, err = renamed(cols, st.Columns, name); err != nil {
		return err
	}
	t := &table{Schema: schema, Name: name, Created: time.Now().UTC(), View: s.sourceOf(st.SelectStatement)}
	if t.View == "" {
		return notSupported("this form of CREATE VIEW")
	}
	t.Changed = t.Created
	for _, c := range cols {
		col := &tableColumn{Name: c.name, Type: c.typ.String(), typ: c.typ, Nullable: c.nullable, Mask: c.mask}
		if c.typ.isString() {
			col.Collation = collations[c.typ.coll].name
		}
		t.Columns = append(t.Columns, col)
	}
	return s.declare(ctx, t)
}

// createSynonym keeps another name of a table or view, which needn't be there yet.
func (s *session) createSynonym(ctx context.Context, st *ast.CreateSynonymStatement) error {
	schema, name, err := s.schemaName(st.Name)
	if err != nil {
		return err
	}
	if st.ForName == nil || st.ForName.BaseIdentifier == nil {
		return newError(errSyntax, 15, "Incorrect syntax near 'CREATE SYNONYM'.")
	}
	var parts []string
	for _, id := range []*ast.Identifier{st.ForName.ServerIdentifier, st.ForName.DatabaseIdentifier, st.ForName.SchemaIdentifier, st.ForName.BaseIdentifier} {
		if id != nil && id.Value != "" {
			parts = append(parts, "["+strings.ReplaceAll(id.Value, "]", "]]")+"]")
		}
	}
	now := time.Now().UTC()
	return s.declare(ctx, &table{Schema: schema, Name: name, Created: now, Changed: now, Synonym: strings.Join(parts, ".")})
}

// declare adds to the catalog what has no rows of its own.
func (s *session) declare(ctx context.Context, t *table) error {
	return s.alter(ctx, func(c *catalog) error {
		key := tableKey(t.Schema, t.Name)
		if c.tables[key] != nil {
			return alreadyThere(t.Name)
		}
		t.ID = c.nextID
		c.nextID += objectIDStep
		c.tables[key] = t
		return saveTable(s.sql, t)
	})
}

// dropNamed drops views or synonyms.
func (s *session) dropNamed(ctx context.Context, what, kind string, names []*ast.SchemaObjectName, ifExists bool) error {
	for _, o := range names {
		schema, name, err := s.schemaName(o)
		if err != nil {
			return err
		}
		key := tableKey(schema, name)
		is := func(t *table) bool {
			if t == nil {
				return false
			}
			code, _ := t.kind()
			return strings.TrimSpace(code) == kind
		}
		missing := newError(3701, 11, "Cannot drop the %s '%s', because it does not exist or you do not have permission.", what, objectName(o))
		if t := s.schema().tables[key]; !is(t) {
			if t == nil && ifExists {
				continue
			}
			return missing
		}
		err = s.alter(ctx, func(c *catalog) error {
			t := c.tables[key]
			if !is(t) {
				return missing
			}
			delete(c.tables, key)
			return s.sql.Exec(`DELETE FROM "local catalog" WHERE id = ?`, int64(t.ID))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// behind is what a synonym stands for, or the table itself.
func (p *planner) behind(t *table) (*table, error) {
	if t.Synonym == "" {
		return t, nil
	}
	database, key := objectKey(t.Synonym)
	if database != "" && !strings.EqualFold(database, p.s.db.name) {
		return nil, notSupported("synonyms of tables of another database than the current one")
	}
	if base := p.cat.tables[key]; base != nil && base.Synonym == "" {
		return base, nil
	}
	return nil, newError(5313, 16, "Synonym '%s' refers to an invalid object.", t.Schema+"."+t.Name)
}

// viewQuery plans a view's query. Who may read a view needs no rights to what it reads.
func (p *planner) viewQuery(t *table) (string, []column, error) {
	if err := p.deeper(); err != nil {
		return "", nil, err
	}
	defer func() { p.depth-- }()
	list, err := parse(t.View)
	if err != nil {
		return "", nil, err
	}
	st, ok := list[0].(*ast.SelectStatement)
	if !ok {
		return "", nil, notSupported("the query of view %s", t.Name)
	}
	ctes := p.ctes
	p.ctes = nil // a view doesn't see the tables of the query that reads it
	p.inView++
	sql, cols, err := p.query(st.QueryExpression, nil)
	p.inView--
	p.ctes = ctes
	if err != nil {
		return "", nil, err
	}
	if len(cols) != len(t.Columns) {
		return "", nil, newError(4502, 16, "View or function '%s' has more column names specified than columns defined.", t.Schema+"."+t.Name)
	}
	for i := range cols {
		cols[i].name = t.Columns[i].Name
	}
	return sql, cols, nil
}

// The masking functions.
// https://learn.microsoft.com/sql/relational-databases/security/dynamic-data-masking
const (
	maskDefault = "default()"
	maskEmail   = "email()"
	maskPartial = "partial("
)

// checkMask refuses masking functions that the server doesn't know or that don't fit the type.
func checkMask(mask string, t sqlType) error {
	lower := strings.ToLower(strings.ReplaceAll(mask, " ", ""))
	switch {
	case lower == maskDefault:
		return nil
	case lower == maskEmail && t.isString():
		return nil
	case strings.HasPrefix(lower, maskPartial) && t.isString():
		if _, _, _, ok := partialMask(mask); ok {
			return nil
		}
	case strings.HasPrefix(lower, "random("):
		return notSupported("the masking function %s", mask)
	}
	return newError(16003, 16, "The data type of column does not support data masking function '%s'.", mask)
}

// partialMask reads partial(prefix, "padding", suffix).
func partialMask(mask string) (prefix int, padding string, suffix int, ok bool) {
	open, end := strings.IndexByte(mask, '('), strings.LastIndexByte(mask, ')')
	quote, unquote := strings.IndexByte(mask, '"'), strings.LastIndexByte(mask, '"')
	if open < 0 || end < unquote || quote < open || unquote <= quote {
		return 0, "", 0, false
	}
	before := strings.TrimSuffix(strings.TrimSpace(mask[open+1:quote]), ",")
	after := strings.TrimPrefix(strings.TrimSpace(mask[unquote+1:end]), ",")
	prefix, ok = smallNumber(before)
	if !ok {
		return 0, "", 0, false
	}
	suffix, ok = smallNumber(after)
	return prefix, mask[quote+1 : unquote], suffix, ok
}

func smallNumber(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 4 {
		return 0, false
	}
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// masked is what a login without UNMASK sees instead of a value that isn't NULL.
func masked(v any, t sqlType, mask string) (any, error) {
	lower := strings.ToLower(strings.ReplaceAll(mask, " ", ""))
	switch {
	case strings.HasPrefix(lower, maskPartial):
		prefix, padding, suffix, _ := partialMask(mask)
		s := v.(string)
		if utf16Length(s) < prefix+suffix {
			return fitText(padding, t, t)
		}
		return fitText(cutUTF16(s, prefix)+padding+substring(s, int64(utf16Length(s)-suffix+1), int64(suffix)), t, t)
	case lower == maskEmail:
		return fitText(cutUTF16(v.(string), 1)+"XXX@XXXX.com", t, t)
	case t.isString():
		return fitText("xxxx", t, t)
	case t.isBinary():
		return convert([]byte{'0'}, sqlType{id: tVarBinary, length: 1}, t, noStyle)
	case t.isTime():
		return convert("1900-01-01", varcharType(10), t, noStyle)
	case t.id == tGUID:
		return make([]byte, 16), nil
	}
	return convert(int64(0), intType, t, noStyle)
}

// unmasked wraps a query whose result goes to somebody who may not see masked values.
func (p *planner) unmasked(sql string, cols []column) string {
	if !p.s.login.lacks(unmask) {
		return sql
	}
	var list []string
	found := false
	for i, c := range cols {
		name := columnName(i)
		if c.mask != "" {
			found = true
			name = "ms_mask(" + name + ", " + literal(c.typ.code()) + ", " + quoteText(c.mask) + ") AS " + name
		}
		list = append(list, name)
	}
	if !found {
		return sql
	}
	if p.streamed != nil && p.streamed.TopRowFilter != nil && p.streamed.TopRowFilter.WithTies {
		list = append(list, "past")
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (" + sql + ")"
}
