package sqlserver

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// rowKey tells a row of a table: by its number in SQLite, or by its primary key where the table's rows have none.
type rowKey struct {
	number int64
	key    string
}

// rowSet is a set of rows of one table. Rows that are numbered one after the other, as a load's are, cost nothing each.
type rowSet struct {
	last   rowRun
	runs   []rowRun
	single map[rowKey]struct{}
	size   int64
	top    int64 // the highest number
}

// rowRun is rows that are numbered one after the other: from lo up to, but not including, hi.
type rowRun struct{ lo, hi int64 }

func (r rowRun) has(n int64) bool { return n >= r.lo && n < r.hi }

// add adds a row. It says whether the row is new.
func (r *rowSet) add(k rowKey) bool {
	if r.has(k) {
		return false
	}
	if r.size == 0 || k.number > r.top {
		r.top = k.number
	}
	r.size++
	switch {
	case k.key != "":
		r.put(k)
	case k.number == r.last.hi && r.last.hi > r.last.lo:
		r.last.hi++
	default:
		switch r.last.hi - r.last.lo {
		case 0:
		case 1:
			r.put(rowKey{number: r.last.lo})
		default:
			r.runs = append(r.runs, r.last)
		}
		r.last = rowRun{k.number, k.number + 1}
	}
	return true
}

func (r *rowSet) put(k rowKey) {
	if r.single == nil {
		r.single = map[rowKey]struct{}{}
	}
	r.single[k] = struct{}{}
}

func (r *rowSet) has(k rowKey) bool {
	if r == nil || r.size == 0 {
		return false
	}
	if k.key == "" {
		if r.last.has(k.number) {
			return true
		}
		for _, x := range r.runs {
			if x.has(k.number) {
				return true
			}
		}
	}
	_, ok := r.single[k]
	return ok
}

// all are the rows, in no order.
func (r *rowSet) all(yield func(rowKey) bool) {
	for _, x := range append([]rowRun{r.last}, r.runs...) {
		for n := x.lo; n < x.hi; n++ {
			if !yield(rowKey{number: n}) {
				return
			}
		}
	}
	for k := range r.single {
		if !yield(k) {
			return
		}
	}
}

// tableName is a table as SQLite knows it.
type tableName struct {
	temporary bool
	name      string // with its schema, but for temporary ones
}

func (t *table) fileName() tableName {
	if t.temp {
		return tableName{true, t.Name}
	}
	return tableName{false, t.Schema + "." + t.Name}
}

// tableOf finds a table of the session by its name in SQLite; nil is one of the server's own.
func (s *session) tableOf(n tableName) *table {
	if n.temporary {
		return s.temp[strings.ToLower(n.name)]
	}
	return s.schema().tables[strings.ToLower(n.name)]
}

// keyColumns are the places of the columns that tell a row where SQLite doesn't number them; nil is a table with numbers.
func (t *table) keyColumns() []int {
	pk := t.primaryKey()
	if pk == nil || !pk.Clustered || t.rowID() != nil {
		return nil
	}
	var out []int
	for _, name := range pk.Columns {
		out = append(out, t.columnID(name)-1)
	}
	return out
}

// numberName is a name of the row numbers' column that no column of the table hides.
func (t *table) numberName() string {
	for _, n := range []string{"rowid", "_rowid_"} {
		if t.column(n) == nil {
			return n
		}
	}
	return "oid"
}

// keyList is the SQL of what tells a row of the table, which has an alias.
func (t *table) keyList(alias string) string {
	cols := t.keyColumns()
	if cols == nil {
		return alias + "." + t.numberName()
	}
	var out []string
	for _, i := range cols {
		out = append(out, alias+"."+quoteName(t.Columns[i].Name))
	}
	return strings.Join(out, ", ")
}

// keyCondition is the SQL that finds a row by the parameters that arguments gives.
func (t *table) keyCondition() string {
	cols := t.keyColumns()
	if cols == nil {
		return t.numberName() + " = ?1"
	}
	var out []string
	for n, i := range cols {
		out = append(out, quoteName(t.Columns[i].Name)+" = ?"+strconv.Itoa(n+1))
	}
	return strings.Join(out, " AND ")
}

// arguments are the values that tell the row.
func (k rowKey) arguments() []any {
	if k.key == "" {
		return []any{k.number}
	}
	var out []any
	for b := []byte(k.key); len(b) > 0; {
		kind, v := sqlite.Kind(b[0]), binary.BigEndian.Uint64(b[1:])
		b = b[9:]
		switch kind {
		case sqlite.Integer:
			out = append(out, int64(v))
		case sqlite.Float:
			out = append(out, math.Float64frombits(v))
		case sqlite.Text:
			out = append(out, string(b[:v]))
			b = b[v:]
		case sqlite.Blob:
			out = append(out, append([]byte{}, b[:v]...))
			b = b[v:]
		default:
			out = append(out, nil)
		}
	}
	return out
}

// keyOf is the row that arguments gives the values of.
func keyOf(values []any) rowKey {
	var b []byte
	put := func(kind sqlite.Kind, n uint64, rest string) {
		b = append(binary.BigEndian.AppendUint64(append(b, byte(kind)), n), rest...)
	}
	for _, v := range values {
		switch v := v.(type) {
		case int64:
			put(sqlite.Integer, uint64(v), "")
		case float64:
			put(sqlite.Float, math.Float64bits(v), "")
		case string:
			put(sqlite.Text, uint64(len(v)), v)
		case []byte:
			put(sqlite.Blob, uint64(len(v)), string(v))
		default:
			put(sqlite.Null, 0, "")
		}
	}
	return rowKey{key: string(b)}
}

// storedColumns are the columns that SQLite doesn't compute, quoted.
func (t *table) storedColumns() []string {
	var out []string
	for _, c := range t.Columns {
		if c.Computed == "" {
			out = append(out, quoteName(c.Name))
		}
	}
	return out
}
