package sqlserver

import (
	"os"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/pipeline"
)

func TestThePageOfGuaranteesHasTheWordsOfTheManifests(t *testing.T) {
	b, err := os.ReadFile("../../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(b)), " ")
	cursor := func(kind pipeline.CursorKind) *pipeline.Cursor { return &pipeline.Cursor{Kind: kind, Column: "c"} }
	for _, load := range []struct {
		name  string
		pages bool
		of    pipeline.Source
	}{
		{"a full load by one statement", false, pipeline.Source{Load: pipeline.Full}},
		{"a full load in pages", true, pipeline.Source{Load: pipeline.Full}},
		{"a full load in one snapshot", false, pipeline.Source{Load: pipeline.Full, Consistency: pipeline.Snapshot}},
		{"an append load by rowversion", false, pipeline.Source{Load: pipeline.Append, Cursor: cursor(pipeline.RowversionCursor)}},
		{"an append load by identity", false, pipeline.Source{Load: pipeline.Append, Cursor: cursor(pipeline.IdentityCursor)}},
		{"an append load by time", true, pipeline.Source{Load: pipeline.Append, Cursor: cursor(pipeline.TimeCursor)}},
	} {
		for mode, id := range map[string]Identity{"locking": {RCSI: new(false)}, "row versions": {RCSI: new(true)}, "unknown": {PoliciesUnseen: true}} {
			for _, dirty := range []bool{false, true} {
				_, guarantee := id.Guarantee(load.of, load.pages, dirty)
				// What follows a text, for some sources and logins.
				for _, further := range []string{behind, policiesUnseen} {
					if !strings.Contains(page, strings.TrimSpace(further)) {
						t.Errorf("docs/guarantees.md lacks %q", further)
					}
					guarantee = strings.Replace(guarantee, further, "", 1)
				}
				// What isn't known is said before the text of locking.
				if rest, found := strings.CutPrefix(guarantee, unclear); found {
					if !strings.Contains(page, strings.TrimSpace(unclear)) {
						t.Errorf("docs/guarantees.md lacks %q", unclear)
					}
					guarantee = rest
				}
				if !strings.Contains(page, guarantee) {
					t.Errorf("%s, %s, dirty %v: docs/guarantees.md lacks %q", load.name, mode, dirty, guarantee)
				}
			}
		}
	}
}
