package sqlserver

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a piece of T-SQL: a word, a quoted text, or a single character of something else.
type token struct {
	kind tokenKind
	// text is a word as it is written, what a quoted name means, or the character. It is empty for a string.
	text string
	// at is the token's offset in the statement, end the offset behind it.
	at, end int
}

type tokenKind int

const (
	// word is a keyword, a name without quotes, a variable or a number.
	word tokenKind = iota + 1
	// name is what stands in brackets or double quotes.
	name
	// literal is what stands in single quotes.
	literal
	// mark is any other character that isn't white space.
	mark
)

// is says whether the token is this keyword or character.
func (t token) is(what string) bool {
	return (t.kind == word || t.kind == mark) && strings.EqualFold(t.text, what)
}

// byteOrderMark is what some editors on Windows put before a text.
const byteOrderMark = "\uFEFF"

// tokens gives what stands in a T-SQL text outside of comments. Whatever the text is, it ends.
func tokens(sql string) func(yield func(token) bool) {
	return func(yield func(token) bool) {
		for i := 0; i < len(sql); {
			c := sql[i]
			switch {
			case spaceAt(sql[i:]) > 0:
				i += spaceAt(sql[i:])
			case strings.HasPrefix(sql[i:], byteOrderMark):
				i += len(byteOrderMark)
			case strings.HasPrefix(sql[i:], "--"):
				for i < len(sql) && sql[i] != '\n' {
					i++
				}
			case strings.HasPrefix(sql[i:], "/*"):
				i = commentEnd(sql, i)
			case c == '\'' || c == '"' || c == '[':
				start := i
				var t token
				if t, i = quoted(sql, i); !yield(t) {
					return
				}
				if i <= start {
					return
				}
			case isWordByte(c):
				start := i
				for i < len(sql) && isWordByte(sql[i]) && spaceAt(sql[i:]) == 0 {
					i++
				}
				if !yield(token{word, sql[start:i], start, i}) {
					return
				}
			default:
				i++
				if !yield(token{mark, sql[i-1 : i], i - 1, i}) {
					return
				}
			}
		}
	}
}

// commentEnd is the offset behind a block comment. T-SQL's nest.
func commentEnd(sql string, i int) int {
	for depth := 0; i < len(sql); {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth, i = depth+1, i+2
		case strings.HasPrefix(sql[i:], "*/"):
			if depth, i = depth-1, i+2; depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(sql)
}

// quoted reads a string or a quoted name, in which the closing character is doubled.
func quoted(sql string, start int) (token, int) {
	end := sql[start]
	if end == '[' {
		end = ']'
	}
	i := start + 1
	for ; i < len(sql); i++ {
		if sql[i] != end {
			continue
		}
		if i+1 < len(sql) && sql[i+1] == end {
			i++
			continue
		}
		break
	}
	behind := min(i+1, len(sql))
	if end == '\'' {
		return token{literal, "", start, behind}, behind
	}
	double := string([]byte{end, end})
	return token{name, strings.ReplaceAll(sql[start+1:min(i, len(sql))], double, double[:1]), start, behind}, behind
}

// spaceAt is the length in bytes of the white space that text begins with. SQL Server takes Unicode's as well, such as the
// no-break space of a query that was copied from a web page.
func spaceAt(text string) int {
	if r, n := utf8.DecodeRuneInString(text); unicode.IsSpace(r) {
		return n
	}
	return 0
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '@' || c == '#' || c == '$' || c >= 0x80
}

// quote brackets a name.
func quote(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// quoteName brackets a one- or two-part name, whose parts may be bracketed already.
func quoteName(name string) (string, error) {
	parts, err := nameParts(name)
	if err != nil {
		return "", err
	}
	for i, part := range parts {
		parts[i] = quote(part)
	}
	return strings.Join(parts, "."), nil
}

// nameParts takes a one- or two-part name apart.
func nameParts(name string) ([]string, error) {
	var parts []string
	for rest := name; ; {
		var part string
		if strings.HasPrefix(rest, "[") {
			t, end := quoted(rest, 0)
			if rest[end-1] != ']' || end == 1 {
				return nil, fmt.Errorf("table %q has a [ without its ]", name)
			}
			part, rest = t.text, rest[end:]
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			part, rest = strings.TrimSpace(rest[:end]), rest[end:]
		}
		if part == "" {
			return nil, fmt.Errorf("table %q has an empty part: write it as schema.table", name)
		}
		parts = append(parts, part)
		if rest == "" {
			break
		}
		if rest[0] != '.' {
			return nil, fmt.Errorf("table %q has %q after a name's end: write it as schema.table", name, rest)
		}
		rest = rest[1:]
	}
	if len(parts) > 2 {
		return nil, fmt.Errorf("table %q names another database or server: the pipeline reads the database of its login, write it as schema.table", name)
	}
	return parts, nil
}

// notInASelect are reserved words, so outside of quotes and brackets they are never a name. MERGE and USE are missing because
// they are hints as well: INNER MERGE JOIN, OPTION (USE HINT (…)).
var notInASelect = map[string]bool{
	"INSERT": true, "UPDATE": true, "DELETE": true, "TRUNCATE": true, "INTO": true,
	"EXEC": true, "EXECUTE": true, "DECLARE": true, "SET": true, "GO": true,
	"CREATE": true, "ALTER": true, "DROP": true, "GRANT": true, "REVOKE": true, "DENY": true,
	"WAITFOR": true, "SHUTDOWN": true, "BACKUP": true, "RESTORE": true, "KILL": true,
}

// checkSelect refuses text that isn't one SELECT as far as its words show.
func checkSelect(sql string) error {
	begun, ended := false, false
	for t := range tokens(sql) {
		line := 1 + strings.Count(sql[:t.at], "\n")
		if t.is(";") {
			ended = begun
			continue
		}
		if ended {
			return fmt.Errorf("line %d: there is a second statement after the semicolon: keep one SELECT (WITH … SELECT for steps)", line)
		}
		if !begun {
			begun = true
			if !t.is("SELECT") && !t.is("WITH") && !t.is("(") {
				return fmt.Errorf("line %d: the query begins with %q: it has to be one SELECT (WITH … SELECT for steps)", line, sql[t.at:t.end])
			}
			continue
		}
		if upper := strings.ToUpper(t.text); t.kind == word && notInASelect[upper] {
			return fmt.Errorf("line %d: %s is not part of a SELECT: a pipeline only reads (if it is a name, write it as [%s])", line, upper, t.text)
		}
	}
	if !begun {
		return errors.New("the query is empty: write one SELECT")
	}
	return nil
}
