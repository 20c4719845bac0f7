package sqlserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Table is what the catalog says of a table or view. A view of the catalog, or a right, that is missing leaves its part empty.
type Table struct {
	// Name as the pipeline writes it.
	Name     string
	ObjectID int64
	// Created is sys.objects.create_date in the server's local time.
	Created string
	// Kind is "table", "view", "synonym", another object's type_desc in lower case, or "" when it isn't known.
	Kind string
	// Rows is the catalog's number of rows, which is not exact; -1 when it isn't known.
	Rows    int64
	Columns []TableColumn
	// Indexes that can give rows in the order of their columns.
	Indexes []Index
}

// TableColumn is a column of a table.
type TableColumn struct {
	Name, Type, Collation                           string
	Nullable, Identity, Computed, Masked, Encrypted bool
}

// Index is an index of a table.
type Index struct {
	Name                                 string
	Columns                              []string
	Unique, Primary, Clustered, Filtered bool
}

// Led says whether an index gives the rows in the order of the column.
func (t Table) Led(column string) bool {
	return slices.ContainsFunc(t.Indexes, func(i Index) bool { return !i.Filtered && strings.EqualFold(i.Columns[0], column) })
}

// UniqueOn says whether no two rows have the same value in the column.
func (t Table) UniqueOn(column string) bool {
	return slices.ContainsFunc(t.Indexes, func(i Index) bool {
		return i.Unique && !i.Filtered && len(i.Columns) == 1 && strings.EqualFold(i.Columns[0], column)
	})
}

// Column finds a column by its name.
func (t Table) Column(name string) (TableColumn, bool) {
	for _, c := range t.Columns {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return TableColumn{}, false
}

// Collate gives columns of the table their collations, which a result doesn't tell.
func (t Table) Collate(columns []Column) {
	for i := range columns {
		if c, ok := t.Column(columns[i].Name); ok {
			columns[i].Collation = c.Collation
		}
	}
}

// Table asks the catalog for a table.
func (s *Session) Table(ctx context.Context, tableName string) (Table, error) {
	t := Table{Name: tableName, Rows: -1}
	quotedName, err := quoteName(tableName)
	if err != nil {
		return Table{}, err
	}
	from := "the catalog of " + tableName
	rows, _, err := s.ask(ctx, from, "SELECT o.object_id, o.create_date, o.type, o.type_desc FROM sys.objects AS o WHERE o.object_id = OBJECT_ID(@name)",
		Param{"name", "nvarchar(600)", quotedName})
	if err != nil || len(rows) != 1 {
		return t, err
	}
	t.ObjectID, _ = rows[0][0].(int64)
	if created, ok := rows[0][1].(time.Time); ok {
		t.Created = created.Format("2006-01-02T15:04:05.000")
	}
	kind, _ := rows[0][2].(string)
	description, _ := rows[0][3].(string)
	switch strings.TrimSpace(kind) {
	case "U":
		t.Kind = "table"
	case "V":
		t.Kind = "view"
	case "SN":
		t.Kind = "synonym"
	default:
		t.Kind = strings.ToLower(description)
	}
	id := Param{"id", "int", t.ObjectID}
	if t.Columns, err = s.tableColumns(ctx, from, id); err != nil {
		return t, err
	}
	// The heap or the clustered index has every row.
	if rows, _, err = s.ask(ctx, from, "SELECT SUM(rows) FROM sys.partitions WHERE object_id = @id AND index_id IN (0, 1)", id); err != nil {
		return t, err
	}
	if len(rows) == 1 {
		if n, ok := rows[0][0].(int64); ok {
			t.Rows = n
		}
	}
	t.Indexes, err = s.indexes(ctx, from, id)
	return t, err
}

func (s *Session) tableColumns(ctx context.Context, from string, id Param) ([]TableColumn, error) {
	const sql = "SELECT c.name, COALESCE(TYPE_NAME(c.system_type_id), TYPE_NAME(c.user_type_id)), c.collation_name, c.is_nullable, c.is_identity, c.is_computed%s FROM sys.columns AS c WHERE c.object_id = @id ORDER BY c.column_id"
	rows, known, err := s.ask(ctx, from, fmt.Sprintf(sql, ", c.is_masked, c.encryption_type"), id)
	if err == nil && !known {
		rows, _, err = s.ask(ctx, from, fmt.Sprintf(sql, ", CAST(0 AS bit), NULL"), id)
	}
	if err != nil {
		return nil, err
	}
	var columns []TableColumn
	for _, r := range rows {
		c := TableColumn{Encrypted: r[7] != nil}
		c.Name, _ = r[0].(string)
		c.Type, _ = r[1].(string)
		c.Collation, _ = r[2].(string)
		c.Nullable, _ = r[3].(bool)
		c.Identity, _ = r[4].(bool)
		c.Computed, _ = r[5].(bool)
		c.Masked, _ = r[6].(bool)
		columns = append(columns, c)
	}
	return columns, nil
}

func (s *Session) indexes(ctx context.Context, from string, id Param) ([]Index, error) {
	// Types 1 and 2 are the clustered and nonclustered ones with an order: no columnstore, no XML, no hash.
	const sql = `SELECT i.index_id, i.name, i.is_unique, i.is_primary_key, i.type, i.has_filter, c.name
FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = @id AND i.type IN (1, 2) AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND ic.key_ordinal > 0
ORDER BY i.index_id, ic.key_ordinal`
	rows, _, err := s.ask(ctx, from, sql, id)
	if err != nil {
		return nil, err
	}
	var indexes []Index
	var last any
	for _, r := range rows {
		if r[0] != last {
			last = r[0]
			var i Index
			i.Name, _ = r[1].(string)
			i.Unique, _ = r[2].(bool)
			i.Primary, _ = r[3].(bool)
			kind, _ := r[4].(int64)
			i.Clustered = kind == 1
			i.Filtered, _ = r[5].(bool)
			indexes = append(indexes, i)
		}
		column, _ := r[6].(string)
		i := &indexes[len(indexes)-1]
		i.Columns = append(i.Columns, column)
	}
	return indexes, nil
}
