package tell

import (
	"cmp"
	"fmt"
	"slices"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/internal/notice"
	"sagemaker-datapipeline/lambda/outcome"
)

// Bounds of what is told, in bytes. A notice may have 256 KB, an event and an asynchronous invocation 1 MB each, and JSON may make six bytes of one.
const (
	maxText     = 4_000
	maxFacts    = 15_000 // of all facts
	maxFindings = 30_000 // of all findings
)

// bounded cuts an end down to what can be told.
func bounded(end outcome.End) outcome.End {
	for _, text := range []*string{&end.Step, &end.Error, &end.Cause, &end.Advice, &end.Execution} {
		*text = notice.Shorten(*text, maxText)
	}
	end.Facts = firstFacts(end.Facts)
	return end
}

// firstFacts gives the first facts, as many as there is room for.
func firstFacts(facts []outcome.Fact) []outcome.Fact {
	var some []outcome.Fact
	room := maxFacts
	for i, f := range facts {
		f.Name, f.Value = notice.Shorten(f.Name, maxText), notice.Shorten(f.Value, maxText)
		if room -= len(f.Name) + len(f.Value); room < 0 {
			return append(some, outcome.Fact{Name: "And", Value: fmt.Sprintf("%d more", len(facts)-i)})
		}
		some = append(some, f)
	}
	return some
}

// worstFindings gives the severest findings of a report, as many as there is room for, and says how many are left out.
func worstFindings(report findings.Report) findings.Report {
	sorted := slices.Clone(report.Findings)
	slices.SortStableFunc(sorted, func(a, b findings.Finding) int { return cmp.Compare(severities[b.Severity], severities[a.Severity]) })
	report.Findings = nil
	room := maxFindings
	for i, f := range sorted {
		f.Check, f.Found, f.Remedy = notice.Shorten(f.Check, maxText), notice.Shorten(f.Found, maxText), notice.Shorten(f.Remedy, maxText)
		if room -= len(f.Check) + len(f.Found) + len(f.Remedy); room < 0 {
			report.Findings = append(report.Findings, findings.Finding{
				Check: "and", Severity: f.Severity, Found: fmt.Sprintf("%d more findings, which the doctor answers with when it is asked", len(sorted)-i),
			})
			return report
		}
		report.Findings = append(report.Findings, f)
	}
	return report
}

var severities = map[findings.Severity]int{findings.OK: 0, findings.Warning: 1, findings.Error: 2}
