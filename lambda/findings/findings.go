// Package findings holds what the doctor of a pipeline says: what it looked at, what it found, what to do. The export function answers
// with it, and the operator's command and the notice show it to people.
package findings

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is one examination of a pipeline's source.
type Report struct {
	// Pipeline is the whole name: project, environment, pipeline.
	Pipeline string    `json:"pipeline"`
	At       time.Time `json:"at"`
	// Findings in the order in which things were looked at, those that are as they should be too.
	Findings []Finding `json:"findings"`
}

// Finding is what one check found.
type Finding struct {
	// Check names what was looked at: "connection", "select right", "snapshot isolation".
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	// Found says what is so, and where.
	Found string `json:"found"`
	// Remedy says what to do; empty where nothing is.
	Remedy string `json:"remedy,omitempty"`
}

// Severity says what a finding means for the next run.
type Severity string

// The severities.
const (
	// OK is as it should be.
	OK Severity = "ok"
	// Warning lets runs go on, at a cost or with a guarantee that the finding names. What could not be looked at is one too.
	Warning Severity = "warning"
	// Error makes the next run fail, or hold other rows than it says.
	Error Severity = "error"
)

// Worst is the severest of the findings.
func (r Report) Worst() Severity {
	worst := OK
	for _, f := range r.Findings {
		if rank(f.Severity) > rank(worst) {
			worst = f.Severity
		}
	}
	return worst
}

func rank(s Severity) int { return slices.Index([]Severity{OK, Warning, Error}, s) }

// Summary is the report in one line: "1 error, 2 warnings, 9 checks are fine".
func (r Report) Summary() string {
	count := map[Severity]int{}
	for _, f := range r.Findings {
		count[f.Severity]++
	}
	plural := func(n int, one, more string) string {
		if n == 1 {
			return fmt.Sprintf("%d %s", n, one)
		}
		return fmt.Sprintf("%d %s", n, more)
	}
	var parts []string
	if n := count[Error]; n > 0 {
		parts = append(parts, plural(n, "error", "errors"))
	}
	if n := count[Warning]; n > 0 {
		parts = append(parts, plural(n, "warning", "warnings"))
	}
	return strings.Join(append(parts, plural(count[OK], "check is fine", "checks are fine")), ", ")
}

// width is how many characters a line of the text form has at most, as far as its words allow.
const width = 120

// Text is the report for people: errors first, then warnings, then what is fine.
func (r Report) Text() string {
	sorted := slices.Clone(r.Findings)
	slices.SortStableFunc(sorted, func(a, b Finding) int { return rank(b.Severity) - rank(a.Severity) })
	column := 0
	for _, f := range sorted {
		column = max(column, utf8.RuneCountInString(f.Check))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s\n\n", r.Pipeline, r.At.UTC().Format("2006-01-02 15:04:05 UTC"), r.Summary())
	for _, f := range sorted {
		indent := fmt.Sprintf("%-7s  %-*s  ", f.Severity, column, f.Check)
		write(&b, indent, f.Found)
		if f.Remedy != "" {
			write(&b, strings.Repeat(" ", utf8.RuneCountInString(indent)), "→ "+f.Remedy)
		}
	}
	return b.String()
}

// write writes a text in lines behind an indent, which is blank from the second line on.
func write(b *strings.Builder, indent, text string) {
	blank := strings.Repeat(" ", utf8.RuneCountInString(indent))
	line, used := indent, utf8.RuneCountInString(indent)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if i > 0 && used+1+n > width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, used = blank, utf8.RuneCountInString(blank)
		} else if i > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
