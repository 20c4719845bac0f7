package head

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func moved() Head {
	return Head{
		Version: Version, Pipeline: "orders", Generation: 2, Run: "20260101t020000z",
		Manifest:  &Ref{Run: "20251231t020000z", Key: "k", VersionID: "v", SHA256: "ab"},
		Watermark: &Watermark{Column: "Version", Value: "0x0000000000000010"},
		Identity:  Identity{Server: "db1", Database: "shop", DatabaseCreated: "2025", DatabaseGroup: "mirroring a", Table: "dbo.Orders", ObjectID: 7, TableCreated: "2025"},
		Moves:     9, MovedAt: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC), MovedBy: "a1",
		Rebaselined: &Rebaseline{At: time.Date(2025, 1, 1, 2, 0, 0, 0, time.UTC), By: "somebody", Reason: "restored", KeepWatermark: true},
	}
}

func TestAHeadReadsBackAsItIs(t *testing.T) {
	for _, h := range []Head{moved(), {Version: Version, Pipeline: "orders", Generation: 1}} {
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(b); err != nil || !reflect.DeepEqual(back, h) {
			t.Fatalf("got %+v, %v", back, err)
		}
	}
	if id := (Head{}).ManifestRun(); id != "" {
		t.Fatalf("the first head names the run %q", id)
	}
}

func TestHeadsThatSayTooLittleAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, problem string
		change        func(*Head)
	}{
		{"another version", "version 2", func(h *Head) { h.Version = 2 }},
		{"no pipeline", "no pipeline", func(h *Head) { h.Pipeline = "" }},
		{"no generation", "no generation", func(h *Head) { h.Generation = 0 }},
		{"a run that is none", "run id", func(h *Head) { h.Run = "yesterday" }},
		{"a manifest of no run", "run id", func(h *Head) { h.Manifest.Run = "x" }},
		{"a manifest without a run", "without its run, key or hash", func(h *Head) { h.Manifest.Run = "" }},
		{"a manifest without a key", "without its run, key or hash", func(h *Head) { h.Manifest.Key = "" }},
		{"a manifest without a hash", "without its run, key or hash", func(h *Head) { h.Manifest.SHA256 = "" }},
		{"a watermark of no commit", "a watermark without", func(h *Head) { h.Manifest = nil }},
		{"a watermark without a column", "a watermark without", func(h *Head) { h.Watermark.Column = "" }},
		{"a watermark without a value", "a watermark without", func(h *Head) { h.Watermark.Value = "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := moved()
			c.change(&h)
			b, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

// A restored or other database is noticed, a failover or a view that the login lost is not taken for one.
func TestWhichIdentitiesDiffer(t *testing.T) {
	for _, c := range []struct {
		name, says string
		change     func(*Identity)
	}{
		{"nothing", "", func(*Identity) {}},
		{"another server, as after a failover", "", func(i *Identity) { i.Server = "db2" }},
		{"a view that may no longer be read", "", func(i *Identity) { i.DatabaseCreated, i.ObjectID, i.TableCreated = "", 0, "" }},
		{"another database", "the database was shop and is other", func(i *Identity) { i.Database = "other" }},
		{"another replica of the group, as after a failover", "", func(i *Identity) { i.DatabaseCreated = "2026" }},
		{"a restored database that was put into a group of its own", "(a restore sets it anew) was 2025 and is 2026", func(i *Identity) { i.DatabaseCreated, i.DatabaseGroup = "2026", "mirroring b" }},
		{"the same database, mirrored anew", "", func(i *Identity) { i.DatabaseGroup = "mirroring b" }},
		{"a database that left its group", "", func(i *Identity) { i.DatabaseGroup = "" }},
		{"a restored database without a group", "(a restore sets it anew) was 2025 and is 2026", func(i *Identity) { i.DatabaseCreated, i.DatabaseGroup = "2026", "" }},
		{"another table", "the table was dbo.Orders and is dbo.Other", func(i *Identity) { i.Table = "dbo.Other" }},
		{"a table that was made anew", "object_id was 7 and is 8", func(i *Identity) { i.ObjectID = 8 }},
		{"a table of another time", "the table's creation was 2025 and is 2026", func(i *Identity) { i.TableCreated = "2026" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := moved().Identity
			c.change(&now)
			if got := moved().Identity.Differs(now); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Fatalf("got %q, want %q", got, c.says)
			}
		})
	}
}

// The head lies in a bucket that others write to as well, and everything follows from it.
func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(moved())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Decode(b)
		if err != nil {
			return
		}
		if h.Watermark != nil && h.ManifestRun() == "" {
			t.Fatalf("%s has a watermark of no run", b)
		}
		again, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(again); err != nil || !reflect.DeepEqual(back, h) {
			t.Fatalf("%s reads back as %s, %v", b, again, err)
		}
	})
}
