package dqdl

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// tokenKind is what a token is.
type tokenKind int

const (
	word tokenKind = iota + 1
	number
	quoted
	symbol
	// bad is what begins no token; its text is the problem.
	bad
	end
)

// token is a piece of a text. begin and end are its bytes.
type token struct {
	kind       tokenKind
	text       string
	begin, end int
	position   Position
}

func (t token) is(symbol string) bool { return t.kind != quoted && t.text == symbol }

// shown is a token in a message.
func (t token) shown() string {
	switch t.kind {
	case end:
		return "the end of the text"
	case quoted:
		return `"` + t.text + `"`
	}
	return "'" + t.text + "'"
}

var (
	// names are identifiers; a number is one of these too.
	names    = regexp.MustCompile(`^[A-Za-z0-9_.]+`)
	numerals = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	symbols  = regexp.MustCompile(`^(!=|>=|<=|[=<>()\[\]{},+\-*/$:!])`)
)

// tokenize splits a text, without comments; the last token is its end.
func tokenize(text string) []token {
	var all []token
	line, lineStart := 1, 0
	for i := 0; i < len(text); {
		at := Position{Line: line, Column: utf8.RuneCountInString(text[lineStart:i]) + 1}
		push := func(kind tokenKind, value string, length int) {
			all = append(all, token{kind: kind, text: value, begin: i, end: i + length, position: at})
			i += length
		}
		rest := text[i:]
		switch c := text[i]; {
		case c == '\n':
			i++
			line, lineStart = line+1, i
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			if n := strings.IndexByte(rest, '\n'); n >= 0 {
				i += n
			} else {
				i = len(text)
			}
		case c == '"':
			n := closing(rest)
			if n < 0 {
				push(bad, "a text that begins here has no closing quotation mark", len(rest))
				continue
			}
			push(quoted, rest[1:n], n+1)
			if breaks := strings.Count(rest[:n], "\n"); breaks > 0 {
				line, lineStart = line+breaks, i-(n+1)+strings.LastIndexByte(rest[:n], '\n')+1
			}
		case symbols.MatchString(rest):
			s := symbols.FindString(rest)
			push(symbol, s, len(s))
		case names.MatchString(rest):
			s := names.FindString(rest)
			kind := word
			if numerals.MatchString(s) {
				kind = number
			}
			push(kind, s, len(s))
		default:
			r, size := utf8.DecodeRuneInString(rest)
			push(bad, "'"+string(r)+"' is nothing that DQDL has: texts and names of columns stand in double quotation marks", size)
		}
	}
	return append(all, token{kind: end, begin: len(text), end: len(text), position: Position{Line: line, Column: utf8.RuneCountInString(text[lineStart:]) + 1}})
}

// closing finds the quotation mark that ends the text at the beginning, or -1. A backslash before it takes it in.
func closing(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// unescape gives the value of a quoted text, in which \" and \\ stand for " and \.
var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace
