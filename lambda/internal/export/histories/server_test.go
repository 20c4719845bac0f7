// Package histories proves the export's protocol on random histories: of a database whose transactions are open across ticks, commit out of
// order and are rolled back, and of functions that are repeated, overtaken, cut off and late.
//
// The exporter and the ledger are the real ones. SQL Server and S3 are models, so that ten thousand histories take a minute.
package histories

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
)

// isolation is how the server reads under READ COMMITTED.
type isolation int

const (
	// locking reads row after row as each is committed when it is met, and waits for those that a transaction holds.
	locking isolation = iota
	// versioning (RCSI) reads the state that was committed when the statement began.
	versioning
)

// server is a model of a database with one table. A row's version is stamped when a statement writes it, and is seen when its
// transaction commits; the value is another one for each time that a row is written.
type server struct {
	isolation isolation
	// clock is what a writer takes for the time.
	clock time.Time
	// statement is how long a statement takes.
	statement time.Duration
	// versions is @@DBTS, values the last value that was given.
	versions uint64
	values   int64
	// committed are all states that were ever committed, the newest last.
	committed []state
	open      []*transaction
	created   int
	// wroteAs is what was ever written, by value.
	ever map[int64]bool
}

// state is rows by their id. It never changes.
type state map[int64]row

type row struct {
	id, value int64
	version   uint64
	at        time.Time
}

// transaction is what an open transaction wrote; nil for a row that it deleted.
type transaction struct {
	writes map[int64]*row
	lowest uint64 // the first version that it stamped; 0: none
}

func newServer(i isolation) *server {
	return &server{isolation: i, versions: 1000, committed: []state{{}}, created: 1, ever: map[int64]bool{}}
}

func (s *server) now() state { return s.committed[len(s.committed)-1] }

// moment counts the committed states.
func (s *server) moment() int { return len(s.committed) - 1 }

func (s *server) begin() *transaction {
	t := &transaction{writes: map[int64]*row{}}
	s.open = append(s.open, t)
	return t
}

// write inserts or updates a row, or does nothing when another transaction holds it.
func (s *server) write(t *transaction, id int64) {
	if s.held(id, t) {
		return
	}
	s.versions++
	s.values++
	if t.lowest == 0 {
		t.lowest = s.versions
	}
	t.writes[id] = &row{id: id, value: s.values, version: s.versions, at: s.clock}
}

func (s *server) delete(t *transaction, id int64) {
	if !s.held(id, t) {
		t.writes[id] = nil
	}
}

// held says whether another transaction than t holds a row.
func (s *server) held(id int64, t *transaction) bool {
	return slices.ContainsFunc(s.open, func(o *transaction) bool {
		_, wrote := o.writes[id]
		return o != t && wrote
	})
}

func (s *server) commit(t *transaction) {
	next := maps.Clone(s.now())
	for id, w := range t.writes {
		if delete(next, id); w != nil {
			next[id] = *w
			s.ever[w.value] = true
		}
	}
	s.committed = append(s.committed, next)
	s.end(t)
}

// end is a rollback, or what is left to do of a commit.
func (s *server) end(t *transaction) {
	s.open = slices.DeleteFunc(s.open, func(o *transaction) bool { return o == t })
}

// restore goes back to a state that was committed before, with the versions of that time. It is another database by its creation.
func (s *server) restore(moment int) {
	s.open = nil
	back := s.committed[moment]
	s.versions = 1000
	for _, r := range back {
		s.versions = max(s.versions, r.version)
	}
	s.created++
	s.committed = append(s.committed, back)
}

// minActive is MIN_ACTIVE_ROWVERSION().
func (s *server) minActive() uint64 {
	lowest := s.versions + 1
	for _, t := range s.open {
		if t.lowest != 0 {
			lowest = min(lowest, t.lowest)
		}
	}
	return lowest
}

// The table's columns.
var (
	idColumn      = sqlserver.Column{Name: "Id", Type: "bigint", Length: -1, Precision: -1, Scale: -1}
	valueColumn   = sqlserver.Column{Name: "Value", Type: "bigint", Length: -1, Precision: -1, Scale: -1}
	versionColumn = sqlserver.Column{Name: "Version", Type: "timestamp", Length: 8, Precision: -1, Scale: -1}
	amountColumn  = sqlserver.Column{Name: "Amount", Type: "bigint", Length: -1, Precision: -1, Scale: -1}
	atColumn      = sqlserver.Column{Name: "At", Type: "datetime2", Length: -1, Precision: -1, Scale: 7}
	tableColumns  = []sqlserver.Column{idColumn, valueColumn, amountColumn, versionColumn, atColumn}
)

// of gives a column's value.
func (r row) of(c sqlserver.Column) any {
	switch c.Name {
	case idColumn.Name:
		return r.id
	case versionColumn.Name:
		return binary.BigEndian.AppendUint64(nil, r.version)
	case atColumn.Name:
		return r.at
	}
	return r.value
}

// database is the server as one process reaches it: each thing that it asks is a step.
type database struct {
	*server
	step func(what string) error
	// cut says before which row of a statement the connection breaks.
	cut func() int64
}

var _ export.Database = database{}

func (d database) Connect(_ context.Context, _ run.ID) (export.Session, error) {
	if err := d.step("connect"); err != nil {
		return nil, err
	}
	return &session{database: d}, nil
}

type session struct {
	database
	inSnapshot bool
	snapshot   state // nil before the transaction has read
}

func (s *session) Survey(context.Context) (export.Survey, error) {
	if err := s.step("survey"); err != nil {
		return export.Survey{}, err
	}
	rcsi, allowed := s.isolation == versioning, true
	return export.Survey{
		Identity: sqlserver.Identity{
			Identity: head.Identity{Server: "model", Database: "shop", DatabaseCreated: fmt.Sprint(s.created), Table: "dbo.Orders", ObjectID: 7, TableCreated: "1"},
			RCSI:     &rcsi, SnapshotAllowed: &allowed,
		},
		Table: &sqlserver.Table{
			Name: "dbo.Orders", ObjectID: 7, Created: "1", Kind: "table", Rows: int64(len(s.now())),
			Indexes: []sqlserver.Index{
				{Name: "PK", Columns: []string{"Id"}, Unique: true, Primary: true, Clustered: true}, {Name: "IX", Columns: []string{"Version"}},
			},
		},
		Columns: tableColumns, Query: "dbo.Orders", From: "dbo.Orders",
	}, nil
}

func (s *session) Describe(_ context.Context, selected []sqlserver.Selected) ([]sqlserver.Column, error) {
	return only(selected), s.step("describe")
}

// only gives the columns that are selected.
func only(selected []sqlserver.Selected) []sqlserver.Column {
	if selected == nil {
		return tableColumns
	}
	var columns []sqlserver.Column
	for _, one := range selected {
		for _, c := range tableColumns {
			if c.Name == one.Name {
				columns = append(columns, c)
			}
		}
	}
	return columns
}

func (s *session) Rowversions(context.Context) (sqlserver.Rowversions, error) {
	if err := s.step("rowversions"); err != nil {
		return sqlserver.Rowversions{}, err
	}
	v := sqlserver.Rowversions{MinActive: s.minActive()}
	err := s.step("@@DBTS")
	v.Last = s.versions
	return v, err
}

func (s *session) Blocker(context.Context) (string, error) { return "session 51", s.step("blocker") }

func (s *session) Highest(context.Context, sqlserver.Column) (string, bool, error) {
	if err := s.step("highest"); err != nil {
		return "", false, err
	}
	if len(s.now()) == 0 {
		return "", false, nil
	}
	return fmt.Sprint(slices.Max(slices.Collect(maps.Keys(s.now())))), true, nil
}

func (s *session) Boundaries(_ context.Context, _ sqlserver.Column, ranges int) ([]string, string, error) {
	if err := s.step("boundaries"); err != nil {
		return nil, "", err
	}
	ids := slices.Sorted(maps.Keys(s.now()))
	var values []string
	for i := 1; i < ranges; i++ {
		if at := len(ids) * i / ranges; at > 0 && at < len(ids) && (len(values) == 0 || values[len(values)-1] != fmt.Sprint(ids[at])) {
			values = append(values, fmt.Sprint(ids[at]))
		}
	}
	return values, "histogram", nil
}

func (s *session) BeginSnapshot(context.Context) error {
	s.inSnapshot, s.snapshot = true, nil
	return s.step("begin")
}

func (s *session) Close() error { return nil }

// lockWaits is how often a reader looks at a row that is held before it gives up.
const lockWaits = 3

func (s *session) Count(ctx context.Context, r export.Reading) (int64, error) {
	counted, err := s.Read(ctx, r)
	if err != nil {
		return 0, err
	}
	for n := int64(0); ; n++ {
		if _, err := counted.Next(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
}

func (s *session) Read(_ context.Context, r export.Reading) (export.Rows, error) {
	if err := s.step("read"); err != nil {
		return nil, err
	}
	time.Sleep(s.statement)
	result := &rows{session: s, columns: only(r.Columns), selects: s.where(r), order: inPlace, cut: s.cut()}
	switch {
	case r.Page != nil:
		result.order = byID
		result.limit = r.Page.Rows
	case r.Bounds != nil:
		result.order = byVersion
	}
	switch {
	case s.inSnapshot:
		if s.snapshot == nil {
			s.snapshot = s.now()
		}
		result.state = s.snapshot
	case s.isolation == versioning:
		result.state = s.now()
	}
	return result, nil
}

// where is the condition of a statement.
func (s *session) where(r export.Reading) func(row) bool {
	return func(one row) bool {
		if b := r.Bounds; b != nil && !within(one, b) {
			return false
		}
		p := r.Page
		return p == nil || !p.Range.Null && inRange(one.id, p.Range) && (p.After == nil || one.id > integer(*p.After))
	}
}

// within says whether a row is within the bounds of an append load.
func within(one row, b *manifest.Bounds) bool {
	compare := func(text string) int {
		switch b.Column {
		case idColumn.Name:
			return cmp.Compare(one.id, integer(text))
		case atColumn.Name:
			t, err := time.Parse("2006-01-02T15:04:05", text)
			if err != nil {
				panic(err)
			}
			return one.at.Compare(t)
		}
		version, err := sqlserver.ParseRowversion(text)
		if err != nil {
			panic(err)
		}
		return cmp.Compare(one.version, version)
	}
	return compare(b.To) < 0 && (b.From == "" || compare(b.From) >= 0)
}

func inRange(id int64, r plan.Range) bool {
	return (r.From == nil || id >= integer(*r.From)) && (r.To == nil || id < integer(*r.To))
}

func integer(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// order is a row's place in the index that a statement scans.
type order func(row) uint64

func byID(r row) uint64      { return uint64(r.id) }
func byVersion(r row) uint64 { return r.version }

// inPlace is an index whose order says nothing: a row that is updated moves in it, forward or back.
func inPlace(r row) uint64 { return uint64(r.value)*0x9E3779B97F4A7C15>>8 | 1 }

// rows is a statement that is being read: of one state, or, when that is nil, row after row as each is committed.
type rows struct {
	*session
	columns []sqlserver.Column
	selects func(row) bool
	order   order
	state   state
	last    uint64 // the place of the row before
	given   int64
	limit   int64
	cut     int64 // the connection breaks before this row, counted from 1; 0: it doesn't
}

func (r *rows) Columns() []sqlserver.Column { return r.columns }

func (r *rows) Done() int64 { return r.given }

func (r *rows) Close() error { return nil }

var (
	// errHeld is what a reader gets that waited too long for a lock.
	errHeld = errors.New("lock request time out period exceeded")
	// errGone is an error that may be gone when the statement is sent again: a deadlock, a failover, a broken connection.
	errGone = &sqlserver.Error{Number: 1205, Transient: true}
)

func (r *rows) Next() ([]any, error) {
	if r.limit > 0 && r.given == r.limit {
		return nil, io.EOF
	}
	if r.given+1 == r.cut {
		return nil, errGone
	}
	live := r.state == nil
	for wait := 0; ; wait++ {
		from := r.state
		if live {
			if err := r.step("row"); err != nil {
				return nil, err
			}
			from = r.now()
		}
		next, found := r.following(from)
		if live {
			if held, blocked := r.blocking(); blocked && (!found || held <= r.order(next)) {
				if wait == lockWaits {
					return nil, errHeld
				}
				continue
			}
		}
		if !found {
			return nil, io.EOF
		}
		r.last = r.order(next)
		r.given++
		values := make([]any, len(r.columns))
		for i, c := range r.columns {
			values[i] = next.of(c)
		}
		return values, nil
	}
}

// following gives the next row in the order of the scan.
func (r *rows) following(from state) (row, bool) {
	var next []row
	for _, one := range from {
		if r.order(one) > r.last && r.selects(one) {
			next = append(next, one)
		}
	}
	if len(next) == 0 {
		return row{}, false
	}
	return slices.MinFunc(next, func(a, b row) int { return cmp.Compare(r.order(a), r.order(b)) }), true
}

// blocking gives the place of the next row that a transaction holds: as it wrote it, or as it was before.
func (r *rows) blocking() (uint64, bool) {
	place, found := uint64(0), false
	see := func(one row) {
		if at := r.order(one); at > r.last && r.selects(one) && (!found || at < place) {
			place, found = at, true
		}
	}
	for _, t := range r.open {
		for id, w := range t.writes {
			if before, there := r.now()[id]; there {
				see(before)
			}
			if w != nil {
				see(*w)
			}
		}
	}
	return place, found
}
