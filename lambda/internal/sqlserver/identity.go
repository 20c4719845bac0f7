package sqlserver

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Identity is which server and database the rows come from, and how it isolates readers.
type Identity struct {
	// Identity names server and database; the table's part is the caller's to fill in from the catalog.
	head.Identity
	// Address is host and port as the function was told.
	Address string
	// Version is the first line of @@VERSION.
	Version string
	// RCSI is READ_COMMITTED_SNAPSHOT and SnapshotAllowed ALLOW_SNAPSHOT_ISOLATION; nil when the login may not see them.
	RCSI, SnapshotAllowed *bool
	// Kind is the source's, as Table.Kind has it; the caller fills it in from the catalog. Empty for a query.
	Kind string
	// PoliciesUnseen says that the login may not look for row-level security on everything that it reads.
	PoliciesUnseen bool
	// ReadOnly says that the database takes no writes here, as on a read replica, and Writable that it does. Neither is known of every
	// engine.
	ReadOnly, Writable bool
	// ServerTime is the server's clock in UTC, and Skew how far it is ahead of the function's; zero when it isn't known.
	ServerTime time.Time
	Skew       time.Duration
}

// Identify asks the server who it is. What it doesn't tell this login stays empty.
func (s *Session) Identify(ctx context.Context) (Identity, error) {
	id := Identity{Address: fmt.Sprintf("%s:%d", s.login.Host, s.login.Port)}
	var answers [4][]any
	for i, sql := range []string{
		"SELECT SYSUTCDATETIME()",
		"SELECT DB_NAME(), @@VERSION",
		"SELECT @@SERVERNAME, CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(20))",
		"SELECT create_date, is_read_committed_snapshot_on, snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()",
	} {
		sent := time.Now()
		rows, _, err := s.ask(ctx, "the server's identity", sql)
		if err != nil {
			return Identity{}, err
		}
		if len(rows) != 1 {
			rows = [][]any{make([]any, 3)}
		}
		answers[i] = rows[0]
		if at, ok := rows[0][0].(time.Time); ok && i == 0 {
			// The server looked at its clock somewhere between sending and receiving.
			id.ServerTime = at.UTC()
			id.Skew = at.Sub(sent.Add(time.Since(sent) / 2))
		}
	}
	id.Database, _ = answers[1][0].(string)
	version, _ := answers[1][1].(string)
	// The other lines are about the build and the operating system.
	version, _, _ = strings.Cut(version, "\n")
	id.Version = strings.TrimSpace(version)
	id.Server, _ = answers[2][0].(string)
	var err error
	if id.PoliciesUnseen, err = s.policiesUnseen(ctx); err != nil {
		return Identity{}, err
	}
	if id.DatabaseGroup, err = s.databaseGroup(ctx); err != nil {
		return Identity{}, err
	}
	updateability, _ := answers[2][1].(string)
	id.ReadOnly, id.Writable = updateability == "READ_ONLY", updateability == "READ_WRITE"
	if created, ok := answers[3][0].(time.Time); ok {
		id.DatabaseCreated = created.Format("2006-01-02T15:04:05.000")
	}
	if on, ok := answers[3][1].(bool); ok {
		id.RCSI = &on
	}
	if state, ok := answers[3][2].(int64); ok {
		allowed := state == snapshotOn
		id.SnapshotAllowed = &allowed
	}
	return id, nil
}

// databaseGroup names the availability group's or the mirroring's part that the database is a replica of; "" for none, or where the login
// may not see it.
func (s *Session) databaseGroup(ctx context.Context) (string, error) {
	for _, group := range []struct{ kind, sql string }{
		{"availability group", "SELECT CAST(group_database_id AS nvarchar(36)) FROM sys.databases WHERE database_id = DB_ID()"},
		{"mirroring", "SELECT CAST(mirroring_guid AS nvarchar(36)) FROM sys.database_mirroring WHERE database_id = DB_ID()"},
	} {
		rows, _, err := s.ask(ctx, "the database's replicas", group.sql)
		if err != nil {
			return "", err
		}
		if len(rows) == 1 {
			if guid, ok := rows[0][0].(string); ok {
				return group.kind + " " + guid, nil
			}
		}
	}
	return "", nil
}

// snapshotOn is sys.databases.snapshot_isolation_state when it is neither off nor in transition.
const snapshotOn = 1

// Guarantee says how the rows of a source are isolated, and which rows a run then holds, in words for the manifest and the docs. pages
// says that they are read in pages of a key, dirty that the query asks for uncommitted rows. Nothing beyond it is claimed.
func (id Identity) Guarantee(s pipeline.Source, pages, dirty bool) (isolation, guarantee string) {
	mode := unknownMode
	switch {
	case dirty:
		mode = dirtyMode
	case s.Consistency == pipeline.Snapshot:
		mode = snapshotMode
	case id.RCSI != nil && *id.RCSI:
		mode = rcsiMode
	case id.RCSI != nil:
		mode = lockingMode
	}
	if readFrom(s.Query).locks() && !dirty {
		mode = lockingMode
	}
	what := fullStatement
	switch {
	case s.Load == pipeline.Append && s.Cursor != nil && s.Cursor.Kind == pipeline.RowversionCursor:
		what = appendVersions
	case s.Load == pipeline.Append:
		what = appendOverlap
	case pages:
		what = fullPages
	}
	guarantee = guarantees[what][mode]
	if s.Load != pipeline.Append && id.Kind != "table" && !dirty {
		guarantee += behind
	}
	if id.PoliciesUnseen {
		guarantee += policiesUnseen
	}
	return isolations[mode], guarantee
}

// mode is how the server isolates the export's reading.
type mode int

const (
	lockingMode mode = iota
	rcsiMode
	snapshotMode
	unknownMode
	dirtyMode
	modes
)

// reading is what a run reads.
type reading int

const (
	fullStatement reading = iota
	fullPages
	appendVersions
	appendOverlap
	readings
)

var isolations = [modes]string{
	lockingMode:  "READ COMMITTED (locking)",
	rcsiMode:     "READ COMMITTED SNAPSHOT (row versions, per statement)",
	snapshotMode: "SNAPSHOT (row versions, per transaction)",
	unknownMode:  "READ COMMITTED (row versioning unknown)",
	dirtyMode:    "READ UNCOMMITTED (in the query)",
}

const (
	unclear = "Whether the database has READ_COMMITTED_SNAPSHOT on could not be read, so no more is claimed than locking gives. "
	behind  = " This holds as far as the views and functions that the source names read committed rows."
	// Before it, every guarantee is of the rows that the login sees.
	policiesUnseen = " Row policies could not be looked for: rows that one hides from the login are missing."
	none           = "None: the query asks for uncommitted reads, or skips locked rows. Rows may be missing, there twice, or never have been committed."

	lockedStatement = "Committed rows only. A row that another transaction changed during the export is there as it was before or after. " +
		"A row that moved in the index that was scanned may be missing or there twice."
	lockedPages = "Committed rows only, not of one moment. A row that is there during the whole run, and whose key doesn't change, is there once " +
		"if the server reads the pages by an index that is led by the key and has all the columns, as a clustered one does; " +
		"otherwise one that moved in the index that was scanned may be missing or there twice."
	versionedPages = "Each page is one committed state; the run is not. A row that is there during the whole run, and whose key doesn't change, is there exactly once, " +
		"as it was committed at some moment of the run. A row that was inserted or deleted meanwhile may be there or not; " +
		"one whose key changed may be missing or there twice."
	oneState = "One committed state: every row as it was committed when the run's transaction read first, once, however many statements read it. " +
		"Functions and other databases that a query reads are not covered."
	versions = "Every row that was committed with a version from the lower bound to below the upper one is there exactly once, provided that rows of the table are never changed or deleted, " +
		"as the pipeline declares. The runs' bounds follow one another without a gap, and no transaction that was open at an upper bound can commit below it."
	overlap = "At least once, up to the overlap: a row is met by the run after its commit if its value is not further below the bounds of that run than the overlap. " +
		"A row that was committed later than that (a transaction that was open for longer, a value from a clock that was behind) is lost. " +
		"Rows that the overlap gives again are left out by their key, provided that rows of the table are never changed or deleted, as the pipeline declares."
)

// guarantees is the table of what holds. An immutable table's rows don't move in any index, so an append load needs no more than
// committed reads. A SNAPSHOT transaction is on one connection, so its pages are one state like its statement.
var guarantees = [readings][modes]string{
	fullStatement: {
		lockingMode:  lockedStatement,
		rcsiMode:     "Every row as it was committed when the statement began, once. Concurrent changes neither hide nor double a row. Functions that the query calls, and other databases, may read later states.",
		snapshotMode: oneState, unknownMode: unclear + lockedStatement, dirtyMode: none,
	},
	fullPages:      {lockingMode: lockedPages, rcsiMode: versionedPages, snapshotMode: oneState, unknownMode: unclear + lockedPages, dirtyMode: none},
	appendVersions: {lockingMode: versions, rcsiMode: versions, snapshotMode: versions, unknownMode: versions, dirtyMode: none},
	appendOverlap:  {lockingMode: overlap, rcsiMode: overlap, snapshotMode: overlap, unknownMode: overlap, dirtyMode: none},
}
