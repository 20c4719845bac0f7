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

// What the local SQL Server can't be set to: old versions, a clock that is off.
func TestSettingsOfServersThatAreElsewhere(t *testing.T) {
	old := sqlserver.Identity{Identity: head.Identity{Database: "my]shop"}}
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
		{"a database that was never brought up to date", old, pipeline.Source{}, func(x *examination) { x.version(sqlserver.Release{Major: 15, Compatibility: 90}) },
			findings.Error, "compatibility level 90", "ALTER DATABASE [my]]shop] SET COMPATIBILITY_LEVEL = 130"},
		{"a server that doesn't say its level", sqlserver.Identity{}, pipeline.Source{}, func(x *examination) { x.version(sqlserver.Release{Major: 13}) },
			findings.Warning, "could not be read", ""},
		{"a clock that is ahead", sqlserver.Identity{Skew: 31 * time.Second}, pipeline.Source{}, func(x *examination) { x.clock(t.Context()) },
			findings.Warning, "31s ahead of the function's", "NTP"},
		{"a clock that is behind a time cursor", sqlserver.Identity{Skew: -2 * time.Minute}, pipeline.Source{Cursor: &pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "SoldAt"}},
			func(x *examination) { x.clock(t.Context()) }, findings.Warning, "2m0s behind the function's", "rows whose SoldAt"},
		{"a clock that is nearly right", sqlserver.Identity{Skew: -29 * time.Second}, pipeline.Source{}, func(x *examination) { x.clock(t.Context()) },
			findings.OK, "within 30s", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &examination{source: c.source, identity: c.identity}
			c.examine(x)
			f := x.report.Findings[0]
			if f.Severity != c.severity || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Remedy, c.remedy) || c.remedy == "" && f.Remedy != "" {
				t.Fatalf("got %+v", f)
			}
		})
	}
}
