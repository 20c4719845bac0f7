package sqlserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// database is a database: a SQLite file and what SQLite doesn't know of it.
type database struct {
	name    string
	id      int
	path    string
	created time.Time
	// disposable data needn't survive a crash of the machine.
	disposable bool
	readOnly   atomic.Bool

	// catalog is what is committed. It's never changed, only replaced.
	catalog atomic.Pointer[catalog]

	// rowVersioning is READ_COMMITTED_SNAPSHOT, snapshotIsolation ALLOW_SNAPSHOT_ISOLATION.
	rowVersioning, snapshotIsolation atomic.Bool

	// latch is the right to write, which a session has during a statement or commit. It guards live, meeting and lastRow.
	latch   chan struct{}
	live    *writer // the transaction whose changes are applied in SQLite
	meeting meeting
	lastRow int64 // the last number that a statement gave to a row

	// commitMu makes a commit and the beginning of a snapshot one moment each.
	commitMu sync.Mutex

	mu         sync.Mutex
	writers    map[*writer]struct{} // the open transactions that write or lock
	current    *writer              // whose statement stamps rowversions
	trial      bool                 // the statement doesn't count
	log        commitLog
	identities map[int]int64 // the next value of the IDENTITY of a table, by object id
	rowversion uint64        // the last one given (@@DBTS)
	// keeper stays open: when the last connection closes, SQLite takes the log away, and who opens then finds it locked.
	keeper *dbConn
	lastID int64 // the last IDENTITY value given; read by the writer that holds it
}

// catalog is the schema of a database.
type catalog struct {
	tables map[string]*table // by schema and name, in lower case
	nextID int
}

// table is a table.
type table struct {
	ID      int
	Schema  string
	Name    string
	Created time.Time
	Changed time.Time
	Columns []*tableColumn
	Indexes []*index // the primary key first, if there is one
	// Statistics are those that were taken.
	Statistics []*statistics `json:",omitempty"`
	// View is the query of a view, which has columns and nothing else.
	View string `json:",omitempty"`
	// Synonym is the name that a synonym stands for; it has nothing else.
	Synonym string `json:",omitempty"`
	temp    bool
}

// tableColumn is a column of a table.
type tableColumn struct {
	Name     string
	Type     string
	Nullable bool
	// Default is the expression in T-SQL.
	Default     string
	DefaultName string
	Identity    bool
	Seed        int64
	Increment   int64
	// Mask is the masking function of a masked column, such as default().
	Mask string `json:",omitempty"`
	// Encrypted is how a client encrypts the column's values, DETERMINISTIC or RANDOMIZED; Plain is the type that they have for it.
	// The server has bytes.
	Encrypted string `json:",omitempty"`
	Plain     string `json:",omitempty"`
	// Computed is the expression of a computed column in T-SQL.
	Computed  string `json:",omitempty"`
	Persisted bool   `json:",omitempty"`
	// Collation is what was declared; "" is the server's own.
	Collation string `json:",omitempty"`

	typ      sqlType
	computed string // of a computed column: the expression in SQLite, while the table is created
}

// index is an index or key.
type index struct {
	Name       string
	Columns    []string
	Descending []bool
	Included   []string `json:",omitempty"`
	Unique     bool
	Primary    bool
	Constraint bool // made by UNIQUE or PRIMARY KEY
	Clustered  bool
}

func tableKey(schema, name string) string { return strings.ToLower(schema + "." + name) }

// physical is the name in SQLite, quoted.
func (t *table) physical() string {
	if t.temp {
		return "temp." + quoteName(t.Name)
	}
	return quoteName(t.Schema + "." + t.Name)
}

func (t *table) column(name string) *tableColumn {
	for _, c := range t.Columns {
		if strings.EqualFold(c.Name, name) {
			return c
		}
	}
	return nil
}

func (t *table) primaryKey() *index {
	for _, x := range t.Indexes {
		if x.Primary {
			return x
		}
	}
	return nil
}

// rowID is the column that is SQLite's own row number: a primary key of one integer column.
func (t *table) rowID() *tableColumn {
	pk := t.primaryKey()
	if pk == nil || len(pk.Columns) != 1 || pk.Descending[0] {
		return nil
	}
	if c := t.column(pk.Columns[0]); c.typ.isInteger() && c.typ.id != tBit {
		return c
	}
	return nil
}

func (t *table) identity() *tableColumn {
	for _, c := range t.Columns {
		if c.Identity {
			return c
		}
	}
	return nil
}

func (t *table) clone() *table {
	c := *t
	c.Columns = append([]*tableColumn(nil), t.Columns...)
	c.Indexes = append([]*index(nil), t.Indexes...)
	return &c
}

func (c *catalog) clone() *catalog {
	n := &catalog{tables: make(map[string]*table, len(c.tables)), nextID: c.nextID}
	maps.Copy(n.tables, c.tables)
	return n
}

func (c *catalog) sorted() []*table {
	out := make([]*table, 0, len(c.tables))
	for _, t := range c.tables {
		out = append(out, t)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

func quoteName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func quoteText(s string) string {
	// SQLite ends a statement at a NUL, so that one is written as an expression.
	if strings.ContainsRune(s, 0) {
		return "CAST(x'" + fmt.Sprintf("%x", s) + "' AS TEXT)"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// firstObjectID is where object ids begin. SQL Server's look random; programs must not depend on either.
const firstObjectID = 245_575_913

func openDatabase(name string, id int, path string, disposable bool) (*database, error) {
	db := &database{
		name: name, id: id, path: path, disposable: disposable, latch: make(chan struct{}, 1),
		identities: map[int]int64{}, writers: map[*writer]struct{}{}, log: commitLog{views: map[*snapshotView]struct{}{}},
	}
	created := time.Now().UTC()
	if st, err := os.Stat(path); err == nil {
		created = st.ModTime().UTC()
	}
	conn, err := db.open()
	if err != nil {
		return nil, err
	}
	defer func() {
		if db.keeper == nil {
			conn.Close()
		}
	}()
	for _, q := range []string{
		`CREATE TABLE IF NOT EXISTS "local catalog" (id INTEGER PRIMARY KEY, body TEXT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS "local state" (name TEXT PRIMARY KEY, value INTEGER NOT NULL)`,
	} {
		if err := conn.Exec(q); err != nil {
			return nil, fmt.Errorf("preparing database %s in %s: %w", name, path, err)
		}
	}
	if err := conn.Exec(`INSERT OR IGNORE INTO "local state" VALUES ('created', ?)`, ticksOf(created)); err != nil {
		return nil, err
	}
	v, err := conn.value(`SELECT value FROM "local state" WHERE name = 'created'`)
	if err != nil {
		return nil, err
	}
	db.created = timeOfTicks(asInt(v))
	if v, err = conn.value(`SELECT value FROM "local state" WHERE name = 'rowversion'`); err != nil {
		return nil, err
	}
	db.rowversion = max(uint64(asInt(v)), 2000)
	c, err := loadCatalog(conn)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog of database %s: %w", name, err)
	}
	for _, t := range c.tables {
		for _, col := range t.Columns {
			if col.Identity {
				v, err := conn.value(fmt.Sprintf("SELECT max(%s) FROM %s", quoteName(col.Name), t.physical()))
				if err != nil {
					return nil, err
				}
				if v != nil {
					db.identities[t.ID] = asInt(v) + col.Increment
				}
			}
			if col.typ.id == tRowVersion {
				v, err := conn.value(fmt.Sprintf("SELECT max(%s) FROM %s", quoteName(col.Name), t.physical()))
				if err != nil {
					return nil, err
				}
				if b := asBytes(v); len(b) == 8 {
					db.rowversion = max(db.rowversion, be64(b))
				}
			}
		}
	}
	db.catalog.Store(c)
	db.keeper = conn
	registerDatabase(db)
	return db, nil
}

func timeOfTicks(ticks int64) time.Time {
	days := floorDiv(ticks, ticksPerDay)
	return time.Unix((days-daysTo1970)*86_400, 0).UTC().Add(time.Duration(ticks-days*ticksPerDay) * 100)
}

// dbConn is a connection to a database's file.
type dbConn struct{ *sqlite.Conn }

// open opens a connection.
func (db *database) open() (*dbConn, error) {
	conn, err := sqlite.Open(db.path)
	if err != nil {
		return nil, err
	}
	c := &dbConn{conn}
	sync := "NORMAL"
	if db.disposable {
		sync = "OFF"
	}
	for _, q := range []string{
		"PRAGMA busy_timeout = 10000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = " + sync, "PRAGMA cache_size = -8000",
		"PRAGMA wal_autocheckpoint = 4000", "PRAGMA automatic_index = ON", "PRAGMA legacy_alter_table = ON",
	} {
		if err := c.Exec(q); err != nil {
			c.Close()
			return nil, fmt.Errorf("opening database %s: %w", db.name, err)
		}
	}
	return c, nil
}

func (db *database) close() {
	unregisterDatabase(db)
	defer db.keeper.Close()
	if !db.disposable {
		db.mu.Lock()
		defer db.mu.Unlock()
		// If this fails, the highest rowversion in a table counts at the next start.
		_ = db.keeper.Exec(`INSERT INTO "local state" VALUES ('rowversion', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, int64(db.rowversion))
	}
}

// value is the first column of the first row, or nil.
func (c *dbConn) value(query string, args ...any) (any, error) {
	s, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.BindAll(args); err != nil {
		return nil, err
	}
	ok, err := s.Step()
	if err != nil || !ok {
		return nil, err
	}
	return s.Value(0), nil
}

func loadCatalog(conn *dbConn) (*catalog, error) {
	c := &catalog{tables: map[string]*table{}, nextID: firstObjectID}
	s, err := conn.Prepare(`SELECT body FROM "local catalog" ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for {
		ok, err := s.Step()
		if err != nil {
			return nil, err
		}
		if !ok {
			return c, nil
		}
		t := &table{}
		if err := json.Unmarshal(s.Bytes(0), t); err != nil {
			return nil, err
		}
		for _, col := range t.Columns {
			if col.typ, err = parseStoredType(col.Type); err != nil {
				return nil, err
			}
			if col.typ.coll, err = collationOf(col.typ, col.Collation); err != nil {
				return nil, err
			}
		}
		c.tables[tableKey(t.Schema, t.Name)] = t
		c.nextID = max(c.nextID, t.ID+objectIDStep)
	}
}

// objectIDStep leaves room below a table's id for those of its constraints.
const objectIDStep = 16_000

// parseStoredType reads what sqlType.String wrote.
func parseStoredType(s string) (sqlType, error) {
	name, rest, _ := strings.Cut(s, "(")
	var params []string
	if rest != "" {
		params = strings.Split(strings.TrimSuffix(rest, ")"), ",")
	}
	return parseTypeName(name, params, false)
}

func saveTable(conn *dbConn, t *table) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return conn.Exec(`INSERT OR REPLACE INTO "local catalog" VALUES (?, ?)`, int64(t.ID), string(body))
}

// setCurrent says whose statement stamps rowversions.
func (db *database) setCurrent(w *writer) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.current = w
}

// nextRowVersion stamps a row with the next rowversion of the database.
func (db *database) nextRowVersion() []byte {
	db.mu.Lock()
	defer db.mu.Unlock()
	b := make([]byte, 8)
	if db.trial {
		return b
	}
	db.rowversion++
	putBE64(b, db.rowversion)
	if w := db.current; w != nil && w.first == 0 {
		w.first = db.rowversion
	}
	return b
}

func (db *database) currentRowVersion() []byte {
	db.mu.Lock()
	defer db.mu.Unlock()
	b := make([]byte, 8)
	putBE64(b, db.rowversion)
	return b
}

// minActiveRowVersion is the lowest rowversion that an open transaction stamped, or else the next one to be given.
func (db *database) minActiveRowVersion() []byte {
	db.mu.Lock()
	defer db.mu.Unlock()
	lowest := db.rowversion + 1
	for w := range db.writers {
		if w.first != 0 {
			lowest = min(lowest, w.first)
		}
	}
	b := make([]byte, 8)
	putBE64(b, lowest)
	return b
}

var errNoDatabase = errors.New("the database is closed")

// nextIdentity gives the next IDENTITY value of a table.
func (db *database) nextIdentity(tableID int, seed, increment int64) int64 {
	db.mu.Lock()
	defer db.mu.Unlock()
	v, ok := db.identities[tableID]
	if !ok {
		v = seed
	}
	db.identities[tableID] = v + increment
	db.lastID = v
	return v
}

// sawIdentity takes note of a value that was inserted by hand.
func (db *database) sawIdentity(tableID int, v, increment int64) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if next, ok := db.identities[tableID]; !ok || (increment > 0) == (v >= next) {
		db.identities[tableID] = v + increment
	}
	db.lastID = v
}

func (db *database) forgetIdentity(tableID int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.identities, tableID)
}

// Functions that SQLite calls know a database by its handle.
var (
	databaseHandles sync.Map // int64 → *database
	lastHandle      atomic.Int64
	handleOf        sync.Map // *database → int64
)

func registerDatabase(db *database) {
	h := lastHandle.Add(1)
	databaseHandles.Store(h, db)
	handleOf.Store(db, h)
}

func unregisterDatabase(db *database) {
	if h, ok := handleOf.LoadAndDelete(db); ok {
		databaseHandles.Delete(h)
	}
}

func (db *database) handle() int64 {
	h, _ := handleOf.Load(db)
	n, _ := h.(int64)
	return n
}

func databaseOf(handle int64) *database {
	db, _ := databaseHandles.Load(handle)
	d, _ := db.(*database)
	return d
}
