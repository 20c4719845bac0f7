// Package head holds the one object of a pipeline that says what is committed: its head.
//
// A run is committed when the head reaches it, by itself or through the parents of the manifest that it names. The head moves by one
// conditional write (If-Match), which carries the newest manifest and the watermark together: there is no moment at which one has moved
// and the other has not. What the head doesn't reach does not exist.
package head

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/run"
)

// Version is the version of the format that this code writes and reads.
const Version = 1

// Head is the state of a pipeline.
type Head struct {
	Version  int    `json:"version"`
	Pipeline string `json:"pipeline"`
	// Generation counts from 1. It grows when the runs before can't be trained on together with those after.
	Generation int `json:"generation"`
	// Run is the latest scheduled run among the committed ones. Manifest is the newest commit, which a backfill makes another run's.
	Run      run.ID `json:"run,omitempty"`
	Manifest *Ref   `json:"manifest,omitempty"`
	// Watermark is where the next run of an append load begins; nil at the beginning of a generation, and for full loads.
	Watermark *Watermark `json:"watermark,omitempty"`
	// Identity is which database, and which table in it, the watermark is of.
	Identity Identity `json:"identity"`
	// QuerySHA256 and SchemaSHA256 are those of the newest commit.
	QuerySHA256  string `json:"querySha256,omitempty"`
	SchemaSHA256 string `json:"schemaSha256,omitempty"`
	// Moves counts the moves of the head, so that each has a body of its own.
	Moves   int64     `json:"moves"`
	MovedAt time.Time `json:"movedAt"`
	// MovedBy is the attempt, or the person's command, that moved it.
	MovedBy string `json:"movedBy"`
	// Rebaselined is the command that a person gave last; nil when none was.
	Rebaselined *Rebaseline `json:"rebaselined,omitempty"`
}

// Ref names one version of a manifest.
type Ref struct {
	Run       run.ID `json:"run"`
	Key       string `json:"key"`
	VersionID string `json:"versionId,omitempty"`
	SHA256    string `json:"sha256"`
}

// Watermark is the upper bound of the newest commit of an append load: the first value that it did not read.
type Watermark struct {
	Column string `json:"column"`
	// Value in the text form of the column's type; a rowversion as 0x and 16 hexadecimal digits.
	Value string `json:"value"`
}

// Identity says which database it is, and which table, so that a restored or other one is noticed. A field is empty where the login may not
// see it; two empty or one empty field are no difference.
type Identity struct {
	// Server is what the server calls itself. It is for people: a failover changes it.
	Server   string `json:"server,omitempty"`
	Database string `json:"database,omitempty"`
	// DatabaseCreated is sys.databases.create_date, which a restore sets anew. Each replica of a database has a date of its own.
	DatabaseCreated string `json:"databaseCreated,omitempty"`
	// DatabaseGroup is what all replicas of a database have in common: "availability group" or "mirroring", and its GUID. Empty for a
	// database without replicas.
	DatabaseGroup string `json:"databaseGroup,omitempty"`
	// Table, ObjectID and TableCreated are of the base table of an append load.
	Table        string `json:"table,omitempty"`
	ObjectID     int64  `json:"objectId,omitempty"`
	TableCreated string `json:"tableCreated,omitempty"`
}

// Rebaseline is a person's command to begin a generation, or to take a database for the one before.
type Rebaseline struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	// KeepWatermark says that the generation goes on: only the identity is accepted anew.
	KeepWatermark bool `json:"keepWatermark,omitempty"`
}

// Key is the key of a pipeline's head.
func Key(pipeline string) string { return pipeline + "/head.json" }

// Decode reads a head. Fields that it doesn't know are ignored, another version is refused.
func Decode(b []byte) (Head, error) {
	var h Head
	if err := json.Unmarshal(b, &h); err != nil {
		return Head{}, fmt.Errorf("decoding the head: %w", err)
	}
	if h.Version != Version {
		return Head{}, fmt.Errorf("the head has version %d, this code reads version %d: deploy the pipeline again", h.Version, Version)
	}
	switch {
	case h.Pipeline == "":
		return Head{}, errors.New("the head names no pipeline")
	case h.Generation < 1:
		return Head{}, errors.New("the head names no generation")
	case h.Manifest != nil && (h.Manifest.Run == "" || h.Manifest.Key == "" || h.Manifest.SHA256 == ""):
		return Head{}, errors.New("the head names a manifest without its run, key or hash")
	case h.Watermark != nil && (h.Manifest == nil || h.Watermark.Column == "" || h.Watermark.Value == ""):
		return Head{}, errors.New("the head has a watermark without a column, a value or a manifest")
	}
	for _, id := range []run.ID{h.Run, h.ManifestRun()} {
		if id == "" {
			continue
		}
		if _, err := run.ParseID(string(id)); err != nil {
			return Head{}, fmt.Errorf("decoding the head: %w", err)
		}
	}
	return h, nil
}

// ManifestRun is the run of the newest commit, or "".
func (h Head) ManifestRun() run.ID {
	if h.Manifest == nil {
		return ""
	}
	return h.Manifest.Run
}

// Differs says in words how another identity differs from the one that the watermark is of, or "".
func (i Identity) Differs(now Identity) string {
	if i.DatabaseGroup != "" && i.DatabaseGroup == now.DatabaseGroup {
		// It is a replica of the same database, which a failover made the primary.
		i.DatabaseCreated = ""
	}
	for _, field := range []struct{ what, was, is string }{
		{"the database", i.Database, now.Database},
		{"the database's creation (a restore sets it anew)", i.DatabaseCreated, now.DatabaseCreated},
		{"the table", i.Table, now.Table},
		{"the table's object_id", number(i.ObjectID), number(now.ObjectID)},
		{"the table's creation", i.TableCreated, now.TableCreated},
	} {
		if field.was != "" && field.is != "" && field.was != field.is {
			return fmt.Sprintf("%s was %s and is %s", field.what, field.was, field.is)
		}
	}
	return ""
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
