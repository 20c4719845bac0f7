package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in the configuration.
type Problem struct {
	// Path is where, as in environments.dev.network.create.cidr.
	Path string
	// Got is what is there: a quoted value, or what is missing.
	Got string
	// Remedy is what to write instead.
	Remedy string
}

// Problems is everything that is wrong in a configuration, sorted by path. It is never empty where it is an error.
type Problems []Problem //nolint:errname // it is a list of problems first, and an error where it isn't empty

// lineWidth keeps long lists readable on a terminal.
const lineWidth = 100

// Error says all problems: the path of each on a line of its own, below it what is there and what to do.
func (p Problems) Error() string {
	var b strings.Builder
	if len(p) == 1 {
		b.WriteString("the configuration has a problem")
	} else {
		fmt.Fprintf(&b, "the configuration has %d problems", len(p))
	}
	for _, problem := range p {
		b.WriteString("\n\n  " + problem.Path)
		b.WriteString(wrap(problem.Got, "    "))
		b.WriteString(wrap(problem.Remedy, "    → "))
	}
	return b.String()
}

// wrap breaks a text into lines behind a prefix; the lines after the first are indented as far.
func wrap(text, prefix string) string {
	var b strings.Builder
	indent := strings.Repeat(" ", len([]rune(prefix)))
	line := "\n" + prefix
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+len(word) > lineWidth:
			b.WriteString(line)
			line = "\n" + indent + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line)
	return b.String()
}

func (p *Problems) add(path, got, remedy string) {
	problem := Problem{Path: path, Got: got, Remedy: remedy}
	if !slices.Contains(*p, problem) {
		*p = append(*p, problem)
	}
}

// touch says whether there is a problem at the path, above it or below it: what is checked later than the form of a value
// must not repeat that its form is wrong.
func (p Problems) touch(path string) bool {
	return slices.ContainsFunc(p, func(problem Problem) bool {
		return within(problem.Path, path) || within(path, problem.Path)
	})
}

// within says whether path is at or below ancestor.
func within(path, ancestor string) bool {
	rest, ok := strings.CutPrefix(path, ancestor)
	return ok && (ancestor == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (p Problems) sorted() Problems {
	slices.SortFunc(p, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Got, b.Got), strings.Compare(a.Remedy, b.Remedy))
	})
	return p
}
