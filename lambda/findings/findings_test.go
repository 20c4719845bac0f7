package findings_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sagemaker-datapipeline/lambda/findings"
)

func report(severities ...findings.Severity) findings.Report {
	r := findings.Report{Pipeline: "ml-dev-sales", At: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)}
	for _, s := range severities {
		r.Findings = append(r.Findings, findings.Finding{Check: "index", Severity: s, Found: "found " + string(s)})
	}
	return r
}

func TestAReportIsAsBadAsItsWorstFinding(t *testing.T) {
	for _, c := range []struct {
		name    string
		report  findings.Report
		worst   findings.Severity
		summary string
	}{
		{"nothing was looked at", report(), findings.OK, "0 checks are fine"},
		{"all is well", report(findings.OK, findings.OK), findings.OK, "2 checks are fine"},
		{"a warning", report(findings.OK, findings.Warning), findings.Warning, "1 warning, 1 check is fine"},
		{"an error before warnings", report(findings.Error, findings.Warning, findings.Warning, findings.OK), findings.Error,
			"1 error, 2 warnings, 1 check is fine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if worst, summary := c.report.Worst(), c.report.Summary(); worst != c.worst || summary != c.summary {
				t.Fatalf("got %s and %q, want %s and %q", worst, summary, c.worst, c.summary)
			}
		})
	}
}

func TestPeopleReadTheWorstFirst(t *testing.T) {
	r := report(findings.OK, findings.Error, findings.Warning)
	r.Findings[1].Check, r.Findings[1].Remedy = "select right", "GRANT SELECT ON dbo.Sales TO pipeline_reader"
	want := `ml-dev-sales, 2026-01-01 02:00:00 UTC: 1 error, 1 warning, 1 check is fine

error    select right  found error
                       → GRANT SELECT ON dbo.Sales TO pipeline_reader
warning  index         found warning
ok       index         found ok
`
	if got := r.Text(); got != want {
		t.Fatalf("got\n%s", got)
	}
}

func TestLongFindingsAreBrokenBetweenWords(t *testing.T) {
	r := report(findings.Warning)
	r.Findings[0].Found = strings.Repeat("fünf Wörter über Schlüssel ", 20) + strings.Repeat("x", 200)
	lines := strings.Split(strings.TrimSpace(r.Text()), "\n")[2:]
	if len(lines) < 5 {
		t.Fatalf("got %d lines", len(lines))
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > 120 && !strings.Contains(line, "xxx") {
			t.Errorf("a line of %d characters: %s", utf8.RuneCountInString(line), line)
		}
	}
	if got := strings.Join(strings.Fields(strings.Join(lines, " "))[2:], " "); got != r.Findings[0].Found {
		t.Fatalf("words were lost: %s", got)
	}
}
