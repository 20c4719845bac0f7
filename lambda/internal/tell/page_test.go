package tell

import (
	"os"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/internal/clocks"
	"sagemaker-datapipeline/lambda/outcome"
)

// The page says of every outcome what the code does with it.
func TestThePageOfNoticesSaysWhatIsDone(t *testing.T) {
	b, err := os.ReadFile("../../../docs/notices.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	rows := map[string][]string{}
	var order []outcome.Outcome
	table := page[strings.Index(page, "| outcome |"):]
	for line := range strings.Lines(table[:strings.Index(table, "\n\n")+1]) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if o := outcome.Outcome(cells[0]); cells[0] != "outcome" && cells[0] != "---" {
			rows[cells[0]] = cells[1:]
			order = append(order, o)
		}
	}
	if !slices.Equal(order, outcome.All) {
		t.Fatalf("the page has the outcomes %q", order)
	}
	set := map[bool]string{true: "set"}
	for _, o := range outcome.All {
		clocksSet := clocks.SetBy(outcome.End{Run: "20260101t020000z", Outcome: o})
		mailed := map[bool]string{false: "yes"}[o.Routine()]
		if o.Lasts() {
			mailed = "the first"
		}
		want := []string{rows[string(o)][0], set[slices.Contains(clocksSet, clocks.Tick)], set[slices.Contains(clocksSet, clocks.Model)], mailed, map[bool]string{true: "yes"}[o.Fault()]}
		if got := rows[string(o)]; !slices.Equal(got, want) || got[0] == "" {
			t.Errorf("of %q the page says %q, want %q", o, got, want)
		}
	}
	for _, named := range []string{
		outcome.EventSource, outcome.EventDetailType, outcome.MetricNamespace, outcome.RunsMetric, outcome.TickAgeMetric, outcome.DataAgeMetric, outcome.ModelAgeMetric,
		string(clocks.Tick) + ".json", string(clocks.Data) + ".json", string(clocks.Model) + ".json", string(clocks.End) + ".json",
	} {
		if !strings.Contains(page, named) {
			t.Errorf("the page lacks %s", named)
		}
	}
}
