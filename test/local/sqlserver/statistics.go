package sqlserver

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sqlc-dev/teesql/ast"
)

// maxSteps is how many steps a histogram has at most.
const maxSteps = 200

// statistics are what the server knew of a column's values when it last looked: at the creation of an index, at CREATE
// STATISTICS and UPDATE STATISTICS. Rows that change later leave them as they are; nothing updates them by itself.
type statistics struct {
	Name    string
	ID      int64 // stats_id; 0 for those of an index, which share the index's number and name
	Columns []string
	Taken   time.Time
	Steps   []histogramStep `json:",omitempty"` // of the first column
}

// histogramStep is a step of a histogram: a value, how often it occurs, and what lies between it and the step before.
type histogramStep struct {
	High          []byte `json:",omitempty"` // packed as a sql_variant; nil is NULL
	Equal         int64
	Range         int64
	DistinctRange int64
}

// firstStatisticsID is above every number that an index can have.
const firstStatisticsID = 1001

// allStatistics are those of the table's indexes and those that were created by themselves.
func (t *table) allStatistics() []*statistics {
	var out []*statistics
	for i, x := range t.Indexes {
		st := &statistics{Name: x.Name}
		if taken := t.statisticsNamed(x.Name); taken != nil {
			*st = *taken
		}
		st.ID, st.Columns = t.indexID(i), x.Columns
		out = append(out, st)
	}
	for _, st := range t.Statistics {
		if st.ID >= firstStatisticsID {
			out = append(out, st)
		}
	}
	return out
}

func (t *table) statisticsNamed(name string) *statistics {
	for _, st := range t.Statistics {
		if strings.EqualFold(st.Name, name) {
			return st
		}
	}
	return nil
}

// takeStatistics reads a histogram of the first column and keeps it in the table.
func (s *session) takeStatistics(t *table, name string, columns []string, id int64) error {
	col := t.column(columns[0])
	e := expr{sql: quoteName(col.Name), typ: col.typ}
	if err := sortable(col.typ); err != nil {
		return err
	}
	total, err := s.sql.value("SELECT count(*) FROM " + t.physical())
	if err != nil {
		return err
	}
	st := &statistics{Name: name, ID: id, Columns: columns, Taken: time.Now().UTC()}
	q, err := s.sql.Prepare(fmt.Sprintf("SELECT min(%s), count(*) FROM %s GROUP BY %s ORDER BY %s", e.sql, t.physical(), e.comparable(), e.comparable()))
	if err != nil {
		return err
	}
	defer q.Close()
	// A step for NULL, one for the least value and one for the greatest; the others share the rows.
	share := asInt(total)/(maxSteps-3) + 1
	var between histogramStep
	var last []byte // the greatest value yet, with how often it occurs, where no step ends in it
	var lastCount int64
	first := true
	for {
		ok, err := q.Step()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		n := q.Int(1)
		v := q.Value(0)
		if v == nil {
			st.Steps = append(st.Steps, histogramStep{Equal: n})
			continue
		}
		if last != nil {
			between.Range += lastCount
			between.DistinctRange++
		}
		last, lastCount = toVariant(v, variantBase(col.typ)), n
		if first || between.Range+n >= share {
			between.High, between.Equal = last, n
			st.Steps = append(st.Steps, between)
			between, last, first = histogramStep{}, nil, false
		}
	}
	if last != nil {
		between.High, between.Equal = last, lastCount
		st.Steps = append(st.Steps, between)
	}
	kept := []*statistics{st}
	for _, o := range t.Statistics {
		if !strings.EqualFold(o.Name, name) {
			kept = append(kept, o)
		}
	}
	t.Statistics = kept
	return nil
}

// variantBase is the type that a column's value has in a sql_variant, which holds no rowversion.
func variantBase(t sqlType) sqlType {
	if t.id == tRowVersion {
		return sqlType{id: tBinary, length: 8}
	}
	return t
}

func (s *session) createStatistics(ctx context.Context, st *ast.CreateStatisticsStatement) error {
	if st.FilterPredicate != nil {
		return notSupported("filtered statistics")
	}
	if st.OnName == nil || st.Name == nil || len(st.Columns) == 0 {
		return newError(errSyntax, 15, "Incorrect syntax near 'STATISTICS': it wants a name, a table and its columns.")
	}
	return s.replaceTable(ctx, st.OnName, func(t *table) error {
		id := int64(firstStatisticsID)
		for _, o := range t.allStatistics() {
			if strings.EqualFold(o.Name, st.Name.Value) {
				return newError(1927, 16, "There are already statistics on table '%s' named '%s'.", t.Name, o.Name)
			}
			id = max(id, o.ID+1)
		}
		var columns []string
		for _, c := range st.Columns {
			ids := identifiers(c)
			if len(ids) == 0 || t.column(ids[len(ids)-1]) == nil {
				return newError(1911, 16, "Column name '%s' does not exist in the target table or view.", strings.Join(ids, "."))
			}
			columns = append(columns, t.column(ids[len(ids)-1]).Name)
		}
		return s.takeStatistics(t, st.Name.Value, columns, id)
	})
}

func (s *session) updateStatistics(ctx context.Context, st *ast.UpdateStatisticsStatement) error {
	return s.replaceTable(ctx, st.SchemaObjectName, func(t *table) error {
		wanted := map[string]bool{}
		for _, n := range st.SubElements {
			wanted[strings.ToLower(n.Value)] = true
		}
		all := t.allStatistics()
		for _, o := range all {
			key := strings.ToLower(o.Name)
			if len(st.SubElements) > 0 && !wanted[key] {
				continue
			}
			delete(wanted, key)
			id := o.ID
			if id < firstStatisticsID {
				id = 0
			}
			if err := s.takeStatistics(t, o.Name, o.Columns, id); err != nil {
				return err
			}
		}
		for n := range wanted {
			return newError(2767, 16, "Could not locate statistics '%s' in the system catalogs.", n)
		}
		return nil
	})
}

// histograms are the rows of sys.dm_db_stats_histogram, of all statistics that the login may see.
func (p *planner) histograms(v *view) {
	v.col("object_id", intType, false).col("stats_id", intType, false).col("step_number", intType, false).col("range_high_key", sqlType{id: tVariant}, true).
		col("range_rows", sqlType{id: tReal}, false).col("equal_rows", sqlType{id: tReal}, false).col("distinct_range_rows", bigintType, false).
		col("average_range_rows", sqlType{id: tReal}, false)
	for _, t := range p.visible() {
		if !p.s.login.maySelect(t) {
			continue
		}
		for _, st := range t.allStatistics() {
			for i, x := range st.Steps {
				var high any
				if x.High != nil {
					high = x.High
				}
				average := 1.0
				if x.DistinctRange > 0 {
					average = float64(float32(float64(x.Range) / float64(x.DistinctRange)))
				}
				v.rows = append(v.rows, []any{int64(t.ID), st.ID, int64(i + 1), high, float64(x.Range), float64(x.Equal), x.DistinctRange, average})
			}
		}
	}
}
