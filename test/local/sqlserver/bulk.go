package sqlserver

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/sqlc-dev/teesql/ast"
)

// bulkLoad is an INSERT BULK that waits for its rows.
type bulkLoad struct {
	name      *ast.SchemaObjectName
	columns   []string
	keepNulls bool
}

// parseInsertBulk reads INSERT BULK, which no parser of T-SQL knows: clients send it, people don't.
func parseInsertBulk(text string) (*bulkLoad, bool, error) {
	sc := &bulkScanner{rest: text}
	if !sc.word("INSERT") || !sc.word("BULK") {
		return nil, false, nil
	}
	bad := newError(errSyntax, 15, "Incorrect syntax in INSERT BULK near '%.40s'.", sc.rest)
	b := &bulkLoad{name: &ast.SchemaObjectName{}}
	var parts []string
	for {
		id, ok := sc.identifier()
		if !ok && !sc.symbol('.') {
			return nil, true, bad
		}
		parts = append(parts, id)
		if !ok {
			continue
		}
		if !sc.symbol('.') {
			break
		}
	}
	into := []**ast.Identifier{&b.name.BaseIdentifier, &b.name.SchemaIdentifier, &b.name.DatabaseIdentifier}
	if len(parts) > len(into) {
		return nil, true, bad
	}
	for i := range parts {
		if p := parts[len(parts)-1-i]; p != "" {
			*into[i] = &ast.Identifier{Value: p}
		}
	}
	if !sc.symbol('(') {
		return nil, true, bad
	}
	for {
		id, ok := sc.identifier()
		if !ok {
			return nil, true, bad
		}
		b.columns = append(b.columns, id)
		sc.skipType() // the metadata of the rows tells it exactly
		if sc.symbol(',') {
			continue
		}
		if !sc.symbol(')') {
			return nil, true, bad
		}
		break
	}
	b.keepNulls = strings.Contains(strings.ToUpper(sc.rest), "KEEP_NULLS")
	return b, true, nil
}

type bulkScanner struct{ rest string }

func (s *bulkScanner) space() { s.rest = strings.TrimLeftFunc(s.rest, unicode.IsSpace) }

func (s *bulkScanner) word(w string) bool {
	s.space()
	if len(s.rest) <= len(w) || !strings.EqualFold(s.rest[:len(w)], w) || !unicode.IsSpace(rune(s.rest[len(w)])) {
		return false
	}
	s.rest = s.rest[len(w):]
	return true
}

func (s *bulkScanner) symbol(c byte) bool {
	s.space()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *bulkScanner) identifier() (string, bool) {
	s.space()
	if s.rest == "" {
		return "", false
	}
	if c := s.rest[0]; c == '[' || c == '"' {
		end := c
		if c == '[' {
			end = ']'
		}
		var out []byte
		for i := 1; i < len(s.rest); i++ {
			if s.rest[i] == end {
				if i+1 < len(s.rest) && s.rest[i+1] == end {
					i++
				} else {
					s.rest = s.rest[i+1:]
					return string(out), true
				}
			}
			out = append(out, s.rest[i])
		}
		return "", false
	}
	n := strings.IndexFunc(s.rest, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_@#$", r)
	})
	if n < 0 {
		n = len(s.rest)
	}
	id := s.rest[:n]
	s.rest = s.rest[n:]
	return id, n > 0
}

// skipType skips to the end of a column's type: the comma or parenthesis outside of its parameters.
func (s *bulkScanner) skipType() {
	depth := 0
	for i := range len(s.rest) {
		switch s.rest[i] {
		case '(':
			depth++
		case ')':
			if depth == 0 {
				s.rest = s.rest[i:]
				return
			}
			depth--
		case ',':
			if depth == 0 {
				s.rest = s.rest[i:]
				return
			}
		}
	}
	s.rest = ""
}

// insertBulk answers INSERT BULK. The rows follow in a message of their own.
func (s *session) insertBulk(_ context.Context, b *bulkLoad) error {
	if s.login.ReadOnly {
		return newError(errPermission, 14, "The INSERT permission was denied on the object '%s', database '%s', schema 'dbo'.", objectName(b.name), s.db.name)
	}
	t, err := s.newPlanner(newVariables()).table(b.name)
	if err != nil {
		return err
	}
	for _, c := range b.columns {
		col := t.column(c)
		if col == nil {
			return newError(errUnknownColumn, 16, "Invalid column name '%s'.", c)
		}
		if err := col.settable(); err != nil {
			return err
		}
	}
	s.bulk = b
	return nil
}

// loadBulk takes the rows of an INSERT BULK.
func (s *session) loadBulk(m *message) error {
	b := s.bulk
	s.bulk = nil
	return s.execute(m, func(ctx context.Context) error {
		if b == nil {
			m.drain()
			return newError(4002, 16, "Rows of a bulk load came without INSERT BULK before them.")
		}
		rows := int64(0)
		source := &bulkRows{m: m, load: b}
		err := s.write(ctx, func() error {
			var err error
			rows, err = s.insertRows(ctx, source)
			return err
		})
		if err != nil {
			return err
		}
		s.rowCount = rows
		s.setDone(doneCount, commandInsert, uint64(rows))
		return nil
	})
}

// bulkColumn is a column of the rows, and the column that it goes into.
type bulkColumn struct {
	wireColumn
	to        *tableColumn
	fallback  any // for NULL
	converted bool
}

// bulkRows are the rows of a bulk load as they come from the client.
type bulkRows struct {
	m       *message
	load    *bulkLoad
	table   *table
	columns []bulkColumn
	full    string // the table's full name
	values  []any
	// kept are all rows, where they may have to be inserted more than once.
	kept [][]any
	all  bool
}

// insertRows inserts the rows of a bulk load.
func (s *session) insertRows(ctx context.Context, r *bulkRows) (rows int64, err error) {
	if r.columns == nil {
		if err := s.beginBulk(ctx, r); err != nil {
			return 0, err
		}
	}
	if s.checking && !r.all {
		if err := r.keep(ctx); err != nil {
			return 0, err
		}
	}
	var given []*tableColumn
	var names, places []string
	for i, c := range r.columns {
		given = append(given, c.to)
		names = append(names, quoteName(c.to.Name))
		places = append(places, fmt.Sprintf("?%d", i+1))
	}
	p := s.newPlanner(newVariables())
	p.uses(r.table)
	fillNames, fillValues, err := p.filled(r.table, given)
	if err != nil {
		return 0, err
	}
	stmt, err := s.sql.Prepare(p.insertInto() + r.table.physical() + " (" + strings.Join(append(names, fillNames...), ", ") + ") VALUES (" +
		strings.Join(append(places, fillValues...), ", ") + ")")
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	for ; ; rows++ {
		if rows%64 == 0 {
			if err := ctx.Err(); err != nil {
				return rows, err
			}
		}
		values := r.values
		if r.all {
			if rows == int64(len(r.kept)) {
				return rows, nil
			}
			values = r.kept[rows]
		} else if more, err := r.read(values); err != nil || !more {
			return rows, err
		}
		for i, v := range values {
			if c := r.columns[i].to; c.Identity && v != nil {
				s.db.sawIdentity(r.table.ID, asInt(v), c.Increment)
			}
			if err := stmt.Bind(i+1, v); err != nil {
				return rows, err
			}
		}
		if _, err := stmt.Step(); err != nil {
			return rows, s.constraintError(err, r.table, "INSERT")
		}
		stmt.Reset()
	}
}

// beginBulk reads what stands before the rows.
func (s *session) beginBulk(ctx context.Context, r *bulkRows) error {
	p := s.newPlanner(newVariables())
	t, err := p.table(r.load.name)
	if err != nil {
		return err
	}
	cols, err := readBulkMetadata(r.m, t, r.load)
	if err != nil {
		return err
	}
	for i := range cols {
		c := &cols[i]
		if c.to.Default == "" || r.load.keepNulls {
			continue
		}
		e, err := parseExpression(c.to.Default)
		if err != nil {
			return err
		}
		if c.fallback, err = s.evaluate(ctx, e, c.to.typ, newVariables()); err != nil {
			return err
		}
	}
	r.table, r.columns, r.full, r.values = t, cols, p.fullName(t), make([]any, len(cols))
	return nil
}

// keep reads all rows.
func (r *bulkRows) keep(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		values := make([]any, len(r.columns))
		more, err := r.read(values)
		if err != nil {
			return err
		}
		if !more {
			r.all = true
			return nil
		}
		r.kept = append(r.kept, values)
	}
}

// read reads one row.
func (r *bulkRows) read(values []any) (more bool, err error) {
	m := r.m
	token := m.u8()
	if m.err != nil {
		return false, newProtocolError(m.err)
	}
	var nulls []byte
	switch token {
	case tokenDone:
		m.drain()
		return false, nil
	case tokenRow:
	case tokenNBCRow:
		nulls = append([]byte(nil), m.bytes((len(values)+7)/8)...)
	default:
		return false, newProtocolError(fmt.Errorf("token 0x%02X among the rows of a bulk load", token))
	}
	for i := range values {
		c := &r.columns[i]
		var v any
		if nulls == nil || nulls[i/8]&(1<<(i%8)) == 0 {
			v = c.readValue(m)
		}
		if m.err != nil {
			return false, newProtocolError(m.err)
		}
		if v == nil {
			v = c.fallback
		} else if c.converted {
			if v, err = assign(v, c.typ, c.to.typ, r.full, c.to.Name); err != nil {
				return false, err
			}
		} else if err := c.check(v, i); err != nil {
			return false, err
		}
		if v == nil && !c.to.Nullable {
			return false, nullIntoColumn(c.to.Name, r.full, "INSERT")
		}
		values[i] = v
	}
	return true, nil
}

// check refuses a text or binary that is longer than its column.
func (c *bulkColumn) check(v any, i int) error {
	if c.to.typ.length <= 0 {
		return nil
	}
	n := 0
	switch v := v.(type) {
	case string:
		if !c.to.typ.isString() || len(v) <= int(c.to.typ.length) {
			return nil
		}
		n = c.to.typ.units(v)
	case []byte:
		if !c.to.typ.isBinary() {
			return nil
		}
		n = len(v)
	}
	if n > int(c.to.typ.length) {
		return newError(4815, 16, "Received an invalid column length from the bcp client for colid %d.", i+1)
	}
	return nil
}

// readBulkMetadata reads which columns the rows have.
func readBulkMetadata(m *message, t *table, b *bulkLoad) ([]bulkColumn, error) {
	if token := m.u8(); token != tokenColMetadata && m.err == nil {
		return nil, newProtocolError(fmt.Errorf("token 0x%02X where the metadata of a bulk load was expected", token))
	}
	n := int(m.u16())
	if m.err == nil && n != len(b.columns) {
		return nil, newProtocolError(fmt.Errorf("a bulk load of %d columns where INSERT BULK named %d", n, len(b.columns)))
	}
	var cols []bulkColumn
	for i := 0; i < n && m.err == nil; i++ {
		m.u32() // user type
		m.u16() // flags
		c := bulkColumn{wireColumn: readTypeInfo(m)}
		if c.lob {
			m.skipUSVarchar() // the table's name
		}
		c.name = m.bVarchar()
		if m.err != nil {
			break
		}
		if c.to = t.column(b.columns[i]); c.to == nil {
			return nil, newError(errUnknownColumn, 16, "Invalid column name '%s'.", b.columns[i])
		}
		if c.to.typ.id == tRowVersion {
			return nil, newError(273, 16, "Cannot insert an explicit value into a timestamp column.")
		}
		a, z := c.typ, c.to.typ
		// Fixed lengths are padded, other types converted; the rest is stored as it comes.
		c.converted = a.id != z.id || a.prec != z.prec || a.scale != z.scale || z.id == tChar || z.id == tNChar || z.id == tBinary ||
			a.page() != z.page() && !z.isUnicode()
		if c.converted && !explicitlyConvertible(a, z) {
			return nil, notConvertible(a, z)
		}
		cols = append(cols, c)
	}
	if m.err != nil {
		return nil, newProtocolError(m.err)
	}
	return cols, nil
}
