package sqlserver

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sqlc-dev/teesql/ast"
)

// storageClass is the declared type of a column in SQLite, and with it the collation of texts.
func (t sqlType) storageClass() string {
	switch {
	case t.isApprox():
		return "REAL"
	case t.isString():
		return "TEXT COLLATE " + t.comparison()
	case t.isBinary(), t.isCLR(), t.id == tVariant, t.id == tGUID, t.id == tDateTimeOffset, t.wide():
		return "BLOB"
	}
	return "INTEGER"
}

func (t *table) indexName(x *index) string { return t.Schema + "." + t.Name + "." + x.Name }

// createSQL is the table for SQLite.
func (t *table) createSQL() string {
	var parts []string
	row := t.rowID()
	for _, c := range t.Columns {
		def := quoteName(c.Name) + " " + c.typ.storageClass()
		if c == row {
			def = quoteName(c.Name) + " INTEGER PRIMARY KEY"
		}
		if c.Computed != "" {
			def += " GENERATED ALWAYS AS (" + c.computed + ") VIRTUAL"
		} else if !c.Nullable {
			def += " NOT NULL"
		}
		parts = append(parts, def)
	}
	suffix := ""
	for _, x := range t.Indexes {
		if x.Primary && row == nil {
			parts = append(parts, "PRIMARY KEY ("+keyColumns(x)+")")
			if x.Clustered {
				suffix = " WITHOUT ROWID"
			}
		} else if x.Constraint && !x.Primary {
			parts = append(parts, "UNIQUE ("+keyColumns(x)+")")
		}
	}
	return "CREATE TABLE " + t.physical() + " (" + strings.Join(parts, ", ") + ")" + suffix
}

func keyColumns(x *index) string {
	var cols []string
	for i, c := range x.Columns {
		col := quoteName(c)
		if x.Descending[i] {
			col += " DESC"
		}
		cols = append(cols, col)
	}
	return strings.Join(cols, ", ")
}

func (t *table) createIndexSQL(x *index) string {
	unique := ""
	if x.Unique {
		unique = "UNIQUE "
	}
	name, on := quoteName(t.indexName(x)), quoteName(t.Schema+"."+t.Name)
	if t.temp {
		name, on = "temp."+name, quoteName(t.Name)
	}
	return "CREATE " + unique + "INDEX " + name + " ON " + on + " (" + keyColumns(x) + ")"
}

// alter runs a change of the schema. It's the session's own until its transaction commits.
func (s *session) alter(ctx context.Context, f func(c *catalog) error) error {
	if s.fmtOnly || s.noExec {
		return nil
	}
	err := s.write(ctx, func() error {
		c := s.schema().clone()
		if err := f(c); err != nil {
			return err
		}
		s.tran.catalog = c
		return nil
	})
	if err != nil {
		return err
	}
	s.setDone(doneFinal, commandOther, 0)
	return nil
}

func (s *session) schemaName(name *ast.SchemaObjectName) (schema, base string, err error) {
	if name == nil || name.BaseIdentifier == nil || name.BaseIdentifier.Value == "" {
		return "", "", newError(errSyntax, 15, "Incorrect syntax: an object name is missing.")
	}
	if d := name.DatabaseIdentifier; d != nil && d.Value != "" && !strings.EqualFold(d.Value, s.db.name) {
		return "", "", notSupported("objects of another database than the current one")
	}
	schema = defaultSchema
	if name.SchemaIdentifier != nil && name.SchemaIdentifier.Value != "" {
		schema = name.SchemaIdentifier.Value
	}
	return schema, name.BaseIdentifier.Value, nil
}

func (s *session) createTable(ctx context.Context, st *ast.CreateTableStatement, vars *variables) error {
	if st.SelectStatement != nil || st.AsEdge || st.AsFileTable || st.AsNode || st.Definition == nil || st.Definition.SystemTimePeriod != nil {
		return notSupported("this form of CREATE TABLE")
	}
	schema, name, err := s.schemaName(st.SchemaObjectName)
	if err != nil {
		return err
	}
	t := &table{Schema: schema, Name: name, Created: time.Now().UTC()}
	t.Changed = t.Created
	p := s.newPlanner(vars)
	for _, d := range st.Definition.ColumnDefinitions {
		if err := p.columnDefinition(t, d); err != nil {
			return err
		}
	}
	if len(t.Columns) == 0 {
		return newError(errSyntax, 15, "Incorrect syntax near ')': a table needs a column.")
	}
	for _, c := range st.Definition.TableConstraints {
		switch c := c.(type) {
		case *ast.UniqueConstraintDefinition:
			if err := t.addKey(c, ""); err != nil {
				return err
			}
		case *ast.DefaultConstraintDefinition:
			return notSupported("DEFAULT as a constraint of a table")
		case *ast.ForeignKeyConstraintDefinition, *ast.CheckConstraintDefinition:
			return notSupported("FOREIGN KEY and CHECK constraints")
		default:
			return notSupported("this constraint (%T)", c)
		}
	}
	for _, d := range st.Definition.Indexes {
		x := &index{Name: d.Name.Value, Unique: d.Unique}
		if err := t.addColumns(x, d.Columns); err != nil {
			return err
		}
		t.Indexes = append(t.Indexes, x)
	}
	return s.makeTable(ctx, t)
}

// makeTable creates a table that is described.
func (s *session) makeTable(ctx context.Context, t *table) error {
	if strings.HasPrefix(t.Name, "#") {
		if strings.HasPrefix(t.Name, "##") {
			return notSupported("global temporary tables")
		}
		if s.temp[strings.ToLower(t.Name)] != nil {
			return alreadyThere(t.Name)
		}
		t.temp = true
		err := s.defineTemporary(t.Name, func() error {
			if err := s.sql.Exec(t.createSQL()); err != nil {
				return err
			}
			for _, x := range t.Indexes {
				if !x.Constraint {
					if err := s.sql.Exec(t.createIndexSQL(x)); err != nil {
						return err
					}
				}
			}
			s.temp[strings.ToLower(t.Name)] = t
			return nil
		})
		if err != nil {
			return err
		}
		s.setDone(doneFinal, commandOther, 0)
		return nil
	}
	return s.alter(ctx, func(c *catalog) error {
		key := tableKey(t.Schema, t.Name)
		if c.tables[key] != nil {
			return alreadyThere(t.Name)
		}
		t.ID = c.nextID
		c.nextID += objectIDStep
		if err := s.sql.Exec(t.createSQL()); err != nil {
			return err
		}
		for _, x := range t.Indexes {
			if !x.Constraint {
				if err := s.sql.Exec(t.createIndexSQL(x)); err != nil {
					return err
				}
			}
		}
		s.db.forgetIdentity(t.ID)
		c.tables[key] = t
		return saveTable(s.sql, t)
	})
}

func alreadyThere(name string) error {
	return newError(2714, 16, "There is already an object named '%s' in the database.", name)
}

func (p *planner) columnDefinition(t *table, d *ast.ColumnDefinition) error {
	if d.GeneratedAlways != "" {
		return notSupported("generated columns")
	}
	c := &tableColumn{Name: d.ColumnIdentifier.Value, Nullable: true}
	if t.column(c.Name) != nil {
		return newError(2705, 16, "Column names in each table must be unique. Column name '%s' in table '%s' is specified more than once.", c.Name, t.Name)
	}
	if d.ComputedColumnExpression != nil {
		return p.computedColumn(t, c, d)
	}
	var err error
	if ref, ok := d.DataType.(*ast.SqlDataTypeReference); d.DataType == nil || ok && ref == nil {
		// timestamp may stand without a name of its own
		if !strings.EqualFold(c.Name, "timestamp") {
			return newError(173, 15, "The definition for column '%s' must include a data type.", c.Name)
		}
		c.typ = sqlType{id: tRowVersion, length: 8}
	} else if c.typ, err = typeOf(d.DataType, false); err != nil {
		return err
	}
	if d.Encryption != nil {
		if err := c.encrypt(d.Encryption); err != nil {
			return err
		}
	}
	c.Type = c.typ.String()
	if d.IsMasked {
		f, ok := d.MaskingFunction.(*ast.StringLiteral)
		if !ok {
			return newError(errSyntax, 15, "Incorrect syntax near 'MASKED': it wants WITH (FUNCTION = '…').")
		}
		if err := checkMask(f.Value, c.typ); err != nil {
			return err
		}
		c.Mask = f.Value
	}
	if d.Collation != nil {
		c.Collation = d.Collation.Value
		if c.typ.coll, err = collationOf(c.typ, c.Collation); err != nil {
			return err
		}
	}
	if c.typ.id == tRowVersion {
		c.Nullable = false
	}
	constraints := d.Constraints
	if d.Nullable != nil {
		constraints = append([]ast.ConstraintDefinition{d.Nullable}, constraints...)
	}
	if d.IdentityOptions != nil {
		if !c.typ.isInteger() && (c.typ.id != tDecimal || c.typ.scale != 0 || c.typ.wide()) || c.typ.id == tBit {
			return newError(2749, 16, "Identity column '%s' must be of data type int, bigint, smallint, tinyint, or decimal or numeric with a scale of 0, unencrypted, and constrained to be nonnullable.", c.Name)
		}
		c.Identity, c.Seed, c.Increment, c.Nullable = true, 1, 1, false
		for _, o := range []struct {
			e    ast.ScalarExpression
			into *int64
		}{{d.IdentityOptions.IdentitySeed, &c.Seed}, {d.IdentityOptions.IdentityIncrement, &c.Increment}} {
			if o.e == nil {
				continue
			}
			x, err := p.expression(o.e, &scope{})
			if err != nil {
				return err
			}
			*o.into = asInt(x.value)
		}
	}
	if d.DefaultConstraint != nil {
		if err := p.setDefault(t, c, d.DefaultConstraint); err != nil {
			return err
		}
	}
	t.Columns = append(t.Columns, c)
	for _, k := range constraints {
		switch k := k.(type) {
		case *ast.NullableConstraintDefinition:
			c.Nullable = k.Nullable && !c.Identity
		case *ast.DefaultConstraintDefinition:
			if err := p.setDefault(t, c, k); err != nil {
				return err
			}
		case *ast.UniqueConstraintDefinition:
			if err := t.addKey(k, c.Name); err != nil {
				return err
			}
		default:
			return notSupported("FOREIGN KEY and CHECK constraints")
		}
	}
	return nil
}

// encrypt makes the column one whose values only a client with the key can read: the server keeps bytes that it can't tell anything of.
func (c *tableColumn) encrypt(d *ast.ColumnEncryptionDefinition) error {
	algorithm := false
	for _, p := range d.Parameters {
		switch p := p.(type) {
		case *ast.ColumnEncryptionTypeParameter:
			c.Encrypted = strings.ToUpper(p.EncryptionType)
		case *ast.ColumnEncryptionAlgorithmParameter:
			l, ok := p.EncryptionAlgorithm.(*ast.StringLiteral)
			algorithm = ok && l.Value == encryptionAlgorithm
		}
	}
	if encryptionTypes[c.Encrypted] == 0 || !algorithm {
		return newError(errSyntax, 15, "Incorrect syntax near 'ENCRYPTED': it wants ENCRYPTION_TYPE = DETERMINISTIC or RANDOMIZED and ALGORITHM = '%s'.", encryptionAlgorithm)
	}
	c.Plain, c.typ = c.typ.String(), sqlType{id: tVarBinary, length: 8000}
	return nil
}

// encryptionAlgorithm is the one that SQL Server knows for columns.
const encryptionAlgorithm = "AEAD_AES_256_CBC_HMAC_SHA_256"

// encryptionTypes are the numbers of the kinds of encryption in the catalog.
var encryptionTypes = map[string]int64{"DETERMINISTIC": 1, "RANDOMIZED": 2}

// catalogType is the type that the catalog tells: of an encrypted column the one that its client sees.
func (c *tableColumn) catalogType() sqlType {
	if c.Encrypted == "" {
		return c.typ
	}
	t, err := parseStoredType(c.Plain)
	if err != nil {
		return c.typ
	}
	return t
}

// computedColumn plans a column that SQLite computes when it is read.
func (p *planner) computedColumn(t *table, c *tableColumn, d *ast.ColumnDefinition) error {
	text := d.ComputedColumnExpression
	if in, ok := text.(*ast.ParenthesisExpression); ok {
		text = in.Expression
	}
	if c.Computed = p.s.sourceOf(text); c.Computed == "" {
		return notSupported("this form of a computed column")
	}
	src := &source{alias: t.Name}
	for _, o := range t.Columns {
		if o.Computed == "" {
			src.cols = append(src.cols, sourceColumn{column: column{name: o.Name, typ: o.typ, nullable: o.Nullable}, sql: quoteName(o.Name)})
		}
	}
	x, err := p.expression(d.ComputedColumnExpression, &scope{sources: []*source{src}, noWindow: true})
	if err != nil {
		return err
	}
	if strings.Contains(x.sql, "?") || strings.Contains(x.sql, "SELECT") {
		return newError(1046, 15, "Subqueries and variables are not allowed in the definition of computed column '%s'.", c.Name)
	}
	c.typ, c.Type, c.Nullable, c.Persisted, c.computed = x.typ, x.typ.String(), x.nullable, d.IsPersisted, x.sql
	if c.typ.isString() {
		c.Collation = collations[c.typ.coll].name
	}
	t.Columns = append(t.Columns, c)
	return nil
}

// setDefault keeps a default as text, after having planned it once.
func (p *planner) setDefault(t *table, c *tableColumn, d *ast.DefaultConstraintDefinition) error {
	text := p.s.sourceOf(d.Expression)
	if text == "" {
		return notSupported("this form of DEFAULT")
	}
	x, err := p.expression(d.Expression, &scope{})
	if err != nil {
		return err
	}
	if _, err := p.assign(x, t, c); err != nil {
		return err
	}
	c.Default = text
	c.DefaultName = fmt.Sprintf("DF__%s__%s", t.Name, c.Name)
	if d.ConstraintIdentifier != nil {
		c.DefaultName = d.ConstraintIdentifier.Value
	}
	return nil
}

// addKey adds a PRIMARY KEY or UNIQUE constraint. column is set where it stands behind a column.
func (t *table) addKey(d *ast.UniqueConstraintDefinition, column string) error {
	x := &index{Unique: true, Constraint: true, Primary: d.IsPrimaryKey, Clustered: d.Clustered || d.IsPrimaryKey}
	if d.IndexType != nil && strings.Contains(strings.ToLower(fmt.Sprint(d.IndexType.IndexTypeKind)), "nonclustered") {
		x.Clustered = false
	}
	if len(d.Columns) == 0 && column != "" {
		x.Columns, x.Descending = []string{column}, []bool{false}
	} else if err := t.addColumns(x, d.Columns); err != nil {
		return err
	}
	if x.Primary {
		if t.primaryKey() != nil {
			return newError(8110, 16, "Cannot add multiple PRIMARY KEY constraints to table '%s'.", t.Name)
		}
		for _, name := range x.Columns {
			t.column(name).Nullable = false
		}
	}
	prefix := "UQ"
	if x.Primary {
		prefix = "PK"
	}
	x.Name = fmt.Sprintf("%s__%s__%08X", prefix, t.Name, len(t.Indexes)+1)
	if d.ConstraintIdentifier != nil {
		x.Name = d.ConstraintIdentifier.Value
	}
	if x.Primary {
		t.Indexes = append([]*index{x}, t.Indexes...)
	} else {
		t.Indexes = append(t.Indexes, x)
	}
	return nil
}

func (t *table) addColumns(x *index, cols []*ast.ColumnWithSortOrder) error {
	for _, c := range cols {
		ids := identifiers(c.Column)
		if len(ids) == 0 {
			return newError(errSyntax, 15, "Incorrect syntax in the columns of a key.")
		}
		col := t.column(ids[len(ids)-1])
		if col == nil {
			return newError(1911, 16, "Column name '%s' does not exist in the target table or view.", ids[len(ids)-1])
		}
		if col.typ.isLob() || col.typ.isMax() {
			return newError(1919, 16, "Column '%s' in table '%s' is of a type that is invalid for use as a key column in an index.", col.Name, t.Name)
		}
		x.Columns = append(x.Columns, col.Name)
		x.Descending = append(x.Descending, c.SortOrder == ast.SortOrderDescending)
	}
	if len(x.Columns) == 0 {
		return newError(errSyntax, 15, "Incorrect syntax: a key without columns.")
	}
	return nil
}

func (s *session) dropTable(ctx context.Context, st *ast.DropTableStatement) error {
	for _, o := range st.Objects {
		schema, name, err := s.schemaName(o)
		if err != nil {
			return err
		}
		missing := newError(3701, 11, "Cannot drop the table '%s', because it does not exist or you do not have permission.", objectName(o))
		if strings.HasPrefix(name, "#") {
			t := s.temp[strings.ToLower(name)]
			if t == nil {
				if st.IsIfExists {
					continue
				}
				return missing
			}
			err := s.defineTemporary(t.Name, func() error {
				delete(s.temp, strings.ToLower(name))
				return s.sql.Exec("DROP TABLE " + t.physical())
			})
			if err != nil {
				return err
			}
			continue
		}
		key := tableKey(schema, name)
		if t := s.schema().tables[key]; t == nil || !t.isTable() {
			if t == nil && st.IsIfExists {
				continue
			}
			return missing
		}
		err = s.alter(ctx, func(c *catalog) error {
			t := c.tables[key]
			if t == nil {
				return missing
			}
			if err := s.sql.Exec("DROP TABLE " + t.physical()); err != nil {
				return err
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

func (s *session) dropTemporary() {
	for k, t := range s.temp {
		// It is gone with the connection anyway.
		_ = s.defineTemporary(t.Name, func() error {
			delete(s.temp, k)
			return s.sql.Exec("DROP TABLE IF EXISTS " + t.physical())
		})
	}
}

// changeTable replaces a table in the catalog by a copy with another schema.
func (s *session) changeTable(ctx context.Context, name *ast.SchemaObjectName, f func(t *table) error) error {
	return s.replaceTable(ctx, name, func(t *table) error {
		t.Changed = time.Now().UTC()
		return f(t)
	})
}

// replaceTable replaces a table in the catalog by a changed copy.
func (s *session) replaceTable(ctx context.Context, name *ast.SchemaObjectName, f func(t *table) error) error {
	schema, base, err := s.schemaName(name)
	if err != nil {
		return err
	}
	if strings.HasPrefix(base, "#") {
		t := s.temp[strings.ToLower(base)]
		if t == nil {
			return newError(1088, 16, "Cannot find the object \"%s\" because it does not exist or you do not have permissions.", objectName(name))
		}
		return s.defineTemporary("", func() error { return f(t) })
	}
	key := tableKey(schema, base)
	return s.alter(ctx, func(c *catalog) error {
		t := c.tables[key]
		if t == nil {
			return newError(1088, 16, "Cannot find the object \"%s\" because it does not exist or you do not have permissions.", objectName(name))
		}
		t = t.clone()
		if !t.isTable() {
			return notSupported("indexes and statistics on views and synonyms")
		}
		if err := f(t); err != nil {
			return err
		}
		c.tables[key] = t
		return saveTable(s.sql, t)
	})
}

func (s *session) createIndex(ctx context.Context, st *ast.CreateIndexStatement) error {
	if st.FilterPredicate != nil {
		return notSupported("filtered indexes")
	}
	return s.changeTable(ctx, st.OnName, func(t *table) error {
		x := &index{Name: st.Name.Value, Unique: st.Unique, Clustered: st.Clustered != nil && *st.Clustered}
		for _, o := range t.Indexes {
			if strings.EqualFold(o.Name, x.Name) {
				return newError(1913, 16, "The operation failed because an index or statistics with name '%s' already exists on table '%s'.", x.Name, t.Name)
			}
			if o.Clustered && x.Clustered {
				return newError(1902, 16, "Cannot create more than one clustered index on table '%s'. Drop the existing clustered index '%s' before creating another.", t.Name, o.Name)
			}
		}
		if err := t.addColumns(x, st.Columns); err != nil {
			return err
		}
		for _, c := range st.IncludeColumns {
			if ids := identifiers(c); len(ids) > 0 {
				x.Included = append(x.Included, ids[len(ids)-1])
			}
		}
		if err := s.sql.Exec(t.createIndexSQL(x)); err != nil {
			if strings.Contains(err.Error(), "UNIQUE constraint failed") {
				return newError(1505, 16, "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name '%s.%s' and the index name '%s'.", t.Schema, t.Name, x.Name)
			}
			return err
		}
		t.Indexes = append(t.Indexes, x)
		return s.takeStatistics(t, x.Name, x.Columns, 0)
	})
}

func (s *session) dropIndex(ctx context.Context, st *ast.DropIndexStatement) error {
	for _, d := range st.DropIndexClauses {
		if d.Index == nil || d.Object == nil {
			return notSupported("DROP INDEX table.index; write DROP INDEX index ON table")
		}
		err := s.changeTable(ctx, d.Object, func(t *table) error {
			for i, x := range t.Indexes {
				if strings.EqualFold(x.Name, d.Index.Value) && !x.Constraint {
					t.Indexes = append(t.Indexes[:i:i], t.Indexes[i+1:]...)
					return s.sql.Exec("DROP INDEX " + quoteName(t.indexName(x)))
				}
			}
			if st.IsIfExists {
				return nil
			}
			return newError(3701, 11, "Cannot drop the index '%s.%s', because it does not exist or you do not have permission.", objectName(d.Object), d.Index.Value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) truncate(ctx context.Context, st *ast.TruncateTableStatement) error {
	if len(st.PartitionRanges) > 0 {
		return notSupported("TRUNCATE TABLE … WITH PARTITIONS")
	}
	p := s.newPlanner(newVariables())
	if t, err := p.table(st.TableName); err != nil || t.View != "" {
		return newError(4701, 16, "Cannot find the object \"%s\" because it does not exist or you do not have permissions.", objectName(st.TableName))
	}
	err := s.write(ctx, func() error {
		p := s.newPlanner(newVariables())
		t, err := p.table(st.TableName)
		if err != nil {
			return err
		}
		p.uses(t)
		s.db.forgetIdentity(t.ID)
		return s.sql.Exec("DELETE FROM " + t.physical())
	})
	if err != nil {
		return err
	}
	s.setDone(doneFinal, commandOther, 0)
	return nil
}

// selectInto runs SELECT … INTO, which makes the table that it fills.
func (s *session) selectInto(ctx context.Context, st *ast.SelectStatement, vars *variables) error {
	schema, name, err := s.schemaName(st.Into)
	if err != nil {
		return err
	}
	p := s.newPlanner(vars)
	_, cols, err := p.statementQuery(st)
	if err != nil {
		return err
	}
	if cols, err = renamed(cols, nil, name); err != nil {
		return err
	}
	t := &table{Schema: schema, Name: name, Created: time.Now().UTC()}
	t.Changed = t.Created
	var names []*ast.ColumnReferenceExpression
	for _, c := range cols {
		typ := c.typ
		if typ.id == tNull {
			typ = intType
		}
		if typ.id == tRowVersion {
			typ = sqlType{id: tBinary, length: 8}
		}
		col := &tableColumn{Name: c.name, Type: typ.String(), typ: typ, Nullable: c.nullable}
		if typ.isString() {
			col.Collation = collations[typ.coll].name
		}
		t.Columns = append(t.Columns, col)
		names = append(names, &ast.ColumnReferenceExpression{MultiPartIdentifier: &ast.MultiPartIdentifier{Identifiers: []*ast.Identifier{{Value: c.name}}}})
	}
	if err := s.makeTable(ctx, t); err != nil {
		return err
	}
	s.pending = nil
	return s.insertStatement(ctx, &ast.InsertStatement{
		WithCtesAndXmlNamespaces: st.WithCtesAndXmlNamespaces,
		InsertSpecification: &ast.InsertSpecification{
			Target: &ast.NamedTableReference{SchemaObject: st.Into}, Columns: names,
			InsertSource: &ast.SelectInsertSource{Select: st.QueryExpression},
		},
	}, vars)
}
