package sqlserver

import (
	"errors"
	"testing"
)

// Each of these, but the last ones, keeps the parser forever.
func TestWhatTheParserNeverEndsOnIsRefusedBeforeIt(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       int32
	}{
		{"a cursor that isn't FOR", "DECLARE c CURSOR 1", errNotSupported},
		{"statistics on what is no column", "CREATE STATISTICS s ON dbo.T (=)", errSyntax},
		{"a view of what is no column", "CREATE VIEW dbo.V (.)", errSyntax},
		{"a spatial index without its options", "CREATE SPATIAL INDEX i ON WITH BOUNDING_BOX }", errNotSupported},
		{"compression of what is no partition", "ALTER TABLE dbo.T REBUILD WITH (DATA_COMPRESSION = PAGE ON PARTITIONS (()))", errNotSupported},
		{"a hint for what is no variable", "SELECT 1 OPTION (OPTIMIZE FOR (=))", errSyntax},
		{"a hint without a value", "SELECT 1 OPTION (OPTIMIZE FOR (@a))", errSyntax},
		{"a hint with a word too many", "SELECT 1 OPTION (OPTIMIZE FOR (@a = 1 x))", errSyntax},
		{"a MERGE", "MERGE dbo.T USING dbo.U ON 1 = 1 WHEN MATCHED THEN DELETE;", errNotSupported},
		{"an update of the statistics of nothing", "UPDATE STATISTICS dbo.T (,)", errSyntax},
		{"a statement that the options of statistics would swallow", "UPDATE STATISTICS dbo.T WITH FULLSCAN DELETE FROM dbo.T", errSyntax},
		{"a view behind another statement", "SELECT 1; CREATE VIEW dbo.V AS SELECT 1 AS x", 111},
		{"text behind a zero byte", "SELECT 1\x00 ORDER BY nothing", errSyntax},
	} {
		t.Run(test.name, func(t *testing.T) {
			var refused *sqlError
			if err := checkGrammar(test.text); !errors.As(err, &refused) || refused.Number != test.want {
				t.Fatalf("got %v, want error %d", err, test.want)
			}
		})
	}
	for _, text := range []string{
		"SELECT [create], 'alter; drop', \"cursor\" FROM dbo.[merge] -- grant\n",
		"SELECT a.x FROM dbo.A a INNER MERGE JOIN dbo.B b ON a.x = b.x OPTION (MERGE JOIN)",
		"SELECT 1 OPTION (OPTIMIZE FOR (@a = -1.5, @b UNKNOWN, @c = N'x', @d = NULL), RECOMPILE)",
		"SELECT 1 OPTION (OPTIMIZE FOR UNKNOWN)",
		"CREATE UNIQUE CLUSTERED INDEX i ON dbo.T (A); DROP INDEX i ON dbo.T; CREATE SCHEMA s",
		"CREATE STATISTICS [s t] ON dbo.T (A, [B c]) WITH FULLSCAN, NORECOMPUTE; UPDATE STATISTICS dbo.T; UPDATE STATISTICS T s WITH SAMPLE 10 PERCENT",
		"CREATE VIEW dbo.V (a, [b]) WITH SCHEMABINDING AS SELECT 1, 2",
	} {
		if err := checkGrammar(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
