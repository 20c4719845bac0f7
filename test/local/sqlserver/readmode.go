package sqlserver

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
)

// The options of a database that decide what readers see, as ALTER DATABASE and the file call them.
const (
	readCommittedSnapshot  = "READ_COMMITTED_SNAPSHOT"
	allowSnapshotIsolation = "ALLOW_SNAPSHOT_ISOLATION"
)

// setReadModes sets what readers see. What ALTER DATABASE left in the file counts more.
func (db *database) setReadModes(rowVersioning, snapshotIsolation bool) error {
	for _, o := range []struct {
		name string
		on   bool
		into *atomic.Bool
	}{{readCommittedSnapshot, rowVersioning, &db.rowVersioning}, {allowSnapshotIsolation, snapshotIsolation, &db.snapshotIsolation}} {
		v, err := db.keeper.value(`SELECT value FROM "local state" WHERE name = ?`, o.name)
		if err != nil {
			return fmt.Errorf("reading %s of database %s: %w", o.name, db.name, err)
		}
		if v != nil {
			o.on = asInt(v) != 0
		}
		o.into.Store(o.on)
	}
	return nil
}

// alterDatabase is ALTER DATABASE … SET, as a batch of its own: the parser is kept from all other forms of ALTER.
var alterDatabase = regexp.MustCompile(`(?is)^\s*ALTER\s+DATABASE\s+(\[[^\]]+\]|"[^"]+"|[\w$#@]+)\s+SET\s+([\w]+)\s+(ON|OFF)(?:\s+WITH\s+(?:NO_WAIT|ROLLBACK\s+IMMEDIATE|ROLLBACK\s+AFTER\s+\d+(?:\s+SECONDS)?))?\s*;?\s*$`)

// setDatabase runs a batch that is ALTER DATABASE … SET. It counts for statements that begin later; what the batch says
// of other sessions' transactions is ignored. done is false for any other batch.
func (s *session) setDatabase(text string) (done bool, err error) {
	m := alterDatabase.FindStringSubmatch(text)
	if m == nil {
		return false, nil
	}
	name := strings.Trim(m[1], `[]"`)
	db := s.srv.database(name)
	if strings.EqualFold(m[1], "CURRENT") {
		db = s.db
	}
	option := strings.ToUpper(m[2])
	switch {
	case db == nil:
		return true, newError(5011, 14, "User does not have permission to alter database '%s', the database does not exist, or the database is not in a state that allows access checks.", name)
	case s.tran.open:
		return true, newError(226, 16, "ALTER DATABASE statement not allowed within multi-statement transaction.")
	case option != readCommittedSnapshot && option != allowSnapshotIsolation:
		return true, notSupported("ALTER DATABASE … SET %s", option)
	}
	if err := s.mayWrite(); err != nil {
		return true, err
	}
	on := strings.EqualFold(m[3], "ON")
	if option == readCommittedSnapshot {
		db.rowVersioning.Store(on)
	} else {
		db.snapshotIsolation.Store(on)
	}
	if !db.disposable {
		if err := s.keepOption(db, option, on); err != nil {
			return true, err
		}
	}
	s.setDone(doneFinal, commandOther, 0)
	return true, nil
}

// keepOption writes an option into the database's file, for the next start.
func (s *session) keepOption(db *database, option string, on bool) error {
	if err := db.enter(s.srv.ctx); err != nil {
		return err
	}
	defer db.leave()
	if err := db.suspendLive(); err != nil {
		return err
	}
	err := db.keeper.Exec(`INSERT INTO "local state" VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, option, boolInt(on))
	if err != nil {
		return fmt.Errorf("keeping %s of database %s: %w", option, db.name, err)
	}
	return nil
}

func onOff(b bool) string {
	if b {
		return "ON"
	}
	return "OFF"
}
