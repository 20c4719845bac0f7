package doctor

import (
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
)

// What the local SQL Server can't be set to: old versions, a clock that is off, locking reads.
func TestSettingsOfServersThatAreElsewhere(t *testing.T) {
	locking := sqlserver.Identity{Identity: head.Identity{Database: "my]shop"}, RCSI: new(false), SnapshotAllowed: new(false)}
	for _, c := range []struct {
		name     string
		identity sqlserver.Identity
		source   pipeline.Source
		examine  func(*examination)
		severity findings.Severity
		found    string
		remedy   string
	}{
		{"SQL Server 2014", sqlserver.Identity{}, pipeline.Source{}, func(x *examination) { x.version(sqlserver.Release{Major: 12, Compatibility: 120}) },
			findings.Error, "older than SQL Server 2016", "2016 or newer"},
		{"a database that was never brought up to date", locking, pipeline.Source{}, func(x *examination) { x.version(sqlserver.Release{Major: 15, Compatibility: 90}) },
			findings.Error, "compatibility level 90", "ALTER DATABASE [my]]shop] SET COMPATIBILITY_LEVEL = 130"},
		{"a server that doesn't say its level", sqlserver.Identity{}, pipeline.Source{}, func(x *examination) { x.version(sqlserver.Release{Major: 13}) },
			findings.Warning, "could not be read", ""},
		{"a clock that is ahead", sqlserver.Identity{Skew: 31 * time.Second}, pipeline.Source{}, func(x *examination) { x.clock(t.Context()) },
			findings.Warning, "31s ahead of the function's", "NTP"},
		{"a clock that is behind a time cursor", sqlserver.Identity{Skew: -2 * time.Minute}, pipeline.Source{Cursor: &pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "SoldAt"}},
			func(x *examination) { x.clock(t.Context()) }, findings.Warning, "2m0s behind the function's", "rows whose SoldAt"},
		{"a clock that is nearly right", sqlserver.Identity{Skew: -29 * time.Second}, pipeline.Source{}, func(x *examination) { x.clock(t.Context()) },
			findings.OK, "within 30s", ""},
		{"locking reads of a full load", locking, pipeline.Source{Table: "dbo.T", Load: pipeline.Full}, func(x *examination) { x.isolation(t.Context()) },
			findings.Warning, "may be missing or there twice", "ALTER DATABASE [my]]shop] SET READ_COMMITTED_SNAPSHOT ON"},
		{"locking reads of an append load, which holds the same by them", locking,
			pipeline.Source{Table: "dbo.T", Load: pipeline.Append, Cursor: &pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: "V"}}, func(x *examination) { x.isolation(t.Context()) },
			findings.OK, "READ COMMITTED (locking)", ""},
		{"a snapshot that isn't allowed", locking, pipeline.Source{Table: "dbo.T", Load: pipeline.Full, Consistency: pipeline.Snapshot}, func(x *examination) { x.isolation(t.Context()) },
			findings.Error, "doesn't allow SNAPSHOT transactions (error 3952)", "ALTER DATABASE [my]]shop] SET ALLOW_SNAPSHOT_ISOLATION ON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &examination{source: c.source, identity: c.identity}
			if c.source.Table != "" {
				var err error
				if x.selection, err = sqlserver.NewSelection(c.source, pipeline.Limits{}, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			c.examine(x)
			f := x.report.Findings[0]
			if f.Severity != c.severity || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Remedy, c.remedy) || c.remedy == "" && f.Remedy != "" {
				t.Fatalf("got %+v", f)
			}
		})
	}
}
