// Package doctor examines what a pipeline reads before a run does: the way to the server, the login's rights, the table, its columns and
// indexes, the database's settings, and where the last run's watermark is. It reads no row of the source.
//
// It asks with the same functions as an export does, so what it finds is what the next run will meet. What it may not see it names, and
// goes on.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// Input is what is examined.
type Input struct {
	Spec pipeline.Spec
	// Connect opens a session as a run does. Its error is a finding.
	Connect func(ctx context.Context) (*sqlserver.Session, error)
	// Head of the pipeline; the zero value where there is none.
	Head ledger.Head
	// HashKey gives the key of hashed columns, and is asked for only where there are some.
	HashKey func(ctx context.Context) ([]byte, error)
}

// Examine looks at everything that it can. Its error is that of a context that ended, and nothing else: whatever is wrong with the source is
// a finding.
func Examine(ctx context.Context, in Input) (findings.Report, error) {
	x := &examination{
		Input: in, limits: in.Spec.Limits, source: in.Spec.Source,
		report: findings.Report{Pipeline: in.Spec.Name(), At: time.Now().UTC().Truncate(time.Second)},
	}
	x.settings(ctx)
	x.connection(ctx)
	if ctx.Err() != nil {
		return findings.Report{}, fmt.Errorf("examining %s: %w", in.Spec.Name(), context.Cause(ctx))
	}
	return x.report, nil
}

// examination is an Examine on its way.
type examination struct {
	Input
	source pipeline.Source
	limits pipeline.Limits
	report findings.Report

	session   *sqlserver.Session
	selection *sqlserver.Selection
	identity  sqlserver.Identity
	// table is nil for a query.
	table *sqlserver.Table
	// described are all columns of the source, nil when they could not be had.
	described []sqlserver.Column
}

func (x *examination) add(check string, severity findings.Severity, found, remedy string) {
	x.report.Findings = append(x.report.Findings, findings.Finding{Check: check, Severity: severity, Found: found, Remedy: remedy})
}

func (x *examination) ok(check, found string, args ...any) {
	x.add(check, findings.OK, fmt.Sprintf(found, args...), "")
}

// unseen is for what could not be looked at. The errors of package sqlserver say what to do.
func (x *examination) unseen(check string, err error) {
	x.add(check, findings.Warning, "it could not be looked at: "+err.Error(), "")
}

// settings examines what is known without the server.
func (x *examination) settings(ctx context.Context) {
	if x.hashes() {
		key, err := x.HashKey(ctx)
		switch {
		case err != nil:
			x.add("hash key", findings.Error, "reading the key of the hashed columns: "+err.Error(), "")
		case len(key) < minHashKey:
			x.add("hash key", findings.Error, fmt.Sprintf("dataset.columns hashes columns, and the database secret's hashKey has %d bytes", len(key)),
				fmt.Sprintf("put a random text of at least %d characters into the secret as hashKey, and keep it: with another one, hashes of old and new runs don't match", minHashKey))
		default:
			x.ok("hash key", "the database secret has one")
		}
	}
	if h := x.limits.AllowedHours; h != nil {
		if _, err := time.LoadLocation(h.TimeZone); err != nil {
			x.add("allowed hours", findings.Error, fmt.Sprintf("their time zone %q is unknown", h.TimeZone), "write an IANA name such as Europe/Berlin under export.allowedHours.timeZone")
			return
		}
		x.ok("allowed hours", "the database is read from %s to %s in %s only: a tick outside of them ends without a run", h.From, h.To, h.TimeZone)
	}
}

// minHashKey is what package columns asks for, in bytes.
const minHashKey = 16

func (x *examination) hashes() bool {
	for _, rule := range x.Spec.Dataset.Columns {
		if rule.Hash {
			return true
		}
	}
	return false
}

// connection logs in, and examines everything behind the login.
func (x *examination) connection(ctx context.Context) {
	var err error
	if x.selection, err = sqlserver.NewSelection(x.source, x.limits, run.NewID(x.report.At).Time()); err != nil {
		x.add("source", findings.Error, err.Error(), "")
		return
	}
	if x.session, err = x.Connect(ctx); err != nil {
		x.add("connection", findings.Error, err.Error(), "")
		return
	}
	defer x.session.Close()
	if x.identity, err = x.session.Identify(ctx); err != nil {
		x.add("connection", findings.Error, err.Error(), "")
		return
	}
	x.ok("connection", "logged in to database %s at %s over verified TLS: %s", x.identity.Database, x.identity.Address, x.identity.Version)
	for _, examine := range []func(context.Context){
		x.server, x.clock, x.updateability, x.tableInCatalog, x.isolation, x.columns, x.hidden, x.size, x.indexes, x.boundaries, x.sameSource, x.cursor, x.rights,
	} {
		if ctx.Err() != nil {
			return
		}
		examine(ctx)
	}
}

const (
	// oldestVersion is SQL Server 2016, the oldest that the statements of an export are written for.
	oldestVersion = 13
	// oldestCompatibility is the lowest level that SQL Server 2016 has.
	oldestCompatibility = 100
	// maxSkew is above what a clock is off that is set by a time server.
	maxSkew = 30 * time.Second
)

// server examines the version, and the dialect that the database is set to.
func (x *examination) server(ctx context.Context) {
	release, err := x.session.Release(ctx)
	if err != nil {
		x.unseen("version", err)
		return
	}
	x.version(release)
}

func (x *examination) version(release sqlserver.Release) {
	switch {
	case release.Major > 0 && release.Major < oldestVersion:
		x.add("version", findings.Error, fmt.Sprintf("the server's version is %d, older than SQL Server 2016 (%d)", release.Major, oldestVersion),
			"read from SQL Server 2016 or newer")
	case release.Compatibility > 0 && release.Compatibility < oldestCompatibility:
		x.add("version", findings.Error, fmt.Sprintf("database %s has compatibility level %d, and the statements of an export need %d", x.identity.Database, release.Compatibility, oldestCompatibility),
			fmt.Sprintf("ALTER DATABASE %s SET COMPATIBILITY_LEVEL = 130", bracket(x.identity.Database)))
	case release.Compatibility == 0:
		x.add("version", findings.Warning, "the compatibility level of the database could not be read", "")
	default:
		x.ok("version", "major version %d, compatibility level %d", release.Major, release.Compatibility)
	}
}

func (x *examination) clock(context.Context) {
	skew := x.identity.Skew.Round(100 * time.Millisecond)
	if skew.Abs() <= maxSkew {
		x.ok("clock", "the server's is within %s of the function's", maxSkew)
		return
	}
	remedy := "set the server's clock by a time server (NTP); Amazon RDS does by itself"
	if c := x.source.Cursor; c != nil && c.Kind == pipeline.TimeCursor {
		remedy += fmt.Sprintf("; until then rows whose %s is ahead of or behind the function's clock are read late, or lost beyond the overlap", c.Column)
	}
	side := "ahead of"
	if skew < 0 {
		side = "behind"
	}
	x.add("clock", findings.Warning, fmt.Sprintf("the server's is %s %s the function's", skew.Abs(), side), remedy)
}

// updateability examines whether the server is the primary or a replica, as the load needs it.
func (x *examination) updateability(context.Context) {
	db := x.identity.Database
	switch {
	case x.identity.ReadOnly && x.source.Load == pipeline.Append:
		x.add("primary", findings.Error, fmt.Sprintf("database %s at %s is read-only, and an append load needs the primary: a bound that is read on a replica doesn't know the primary's open transactions, and rows would be lost", db, x.identity.Address),
			"correct the host, in database.import or in the secret")
	case x.identity.ReadOnly && x.source.Replica:
		x.ok("primary", "database %s is a read-only replica, as source.readFrom asks for: a run shows what it has received by then", db)
	case x.identity.ReadOnly:
		x.add("primary", findings.Warning, fmt.Sprintf("database %s at %s is read-only: a run shows what it has received by then, and the pipeline believes to read the primary", db, x.identity.Address),
			`say so by "readFrom": "replica", or correct the host`)
	case x.source.Replica:
		x.add("primary", findings.Warning, fmt.Sprintf("database %s at %s can be written to: it isn't the read replica that source.readFrom asks for, so the export's load is on the primary", db, x.identity.Address),
			"correct the host in database.replica; a replica of an availability group is reached at its own name, not at the listener's")
	default:
		x.ok("primary", "database %s can be written to: it is the primary", db)
	}
}

// isolation examines what the database's settings guarantee for the way in which the source is read.
func (x *examination) isolation(context.Context) {
	id := x.identity
	snapshot := x.source.Consistency == pipeline.Snapshot
	isolation, guarantee := x.guarantee(id)
	found := isolation + ": " + guarantee
	versioned := id
	versioned.RCSI = new(true)
	_, best := x.guarantee(versioned)
	switch {
	case x.selection.Dirty():
		x.add("isolation", findings.Warning, found, "take the hint out of "+x.selection.From()+", and nolock out of source.accept")
	case snapshot && id.SnapshotAllowed != nil && !*id.SnapshotAllowed:
		x.add("isolation", findings.Error, fmt.Sprintf(`source.consistency is "snapshot", and database %s doesn't allow SNAPSHOT transactions (error 3952)`, id.Database),
			fmt.Sprintf("ALTER DATABASE %s SET ALLOW_SNAPSHOT_ISOLATION ON; it needs some tempdb for row versions", bracket(id.Database)))
	case snapshot && id.SnapshotAllowed == nil:
		x.add("isolation", findings.Warning, fmt.Sprintf("whether database %s allows SNAPSHOT transactions could not be read: the first run shows it", id.Database), "")
	case snapshot || id.RCSI != nil && *id.RCSI:
		x.ok("isolation", "%s", found)
	case id.RCSI != nil && guarantee == best:
		x.ok("isolation", "%s Reading waits for writers' locks, and writers for reading ones", found)
	default:
		x.add("isolation", findings.Warning, found,
			fmt.Sprintf("ALTER DATABASE %s SET READ_COMMITTED_SNAPSHOT ON: every statement then reads one state, and readers and writers don't wait for each other; it needs a moment without other connections, and some tempdb",
				bracket(id.Database)))
	}
}

// guarantee is what a run says that it holds, read from this server in the pipeline's way.
func (x *examination) guarantee(id sqlserver.Identity) (isolation, guarantee string) {
	return id.Guarantee(x.source, x.source.PartitionBy != "" && x.source.Consistency != pipeline.Snapshot, x.selection.Dirty())
}

func bracket(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// each gives the errors that an error joins.
func each(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
