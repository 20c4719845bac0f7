package sqlserver

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Statement is one SELECT, and where its text comes from.
type Statement struct {
	Text string
	// From is for messages: "queries/fraud.sql" or "table dbo.Transactions".
	From string
	// RunTime is bound as @runTime, a datetime2(0) in UTC; the zero time when the statement has no parameter.
	RunTime time.Time
}

// NewStatement makes the statement that reads a source, and refuses one that can be seen not to be a single SELECT.
// The login is read-only in any case: this is for the message, not for safety.
func NewStatement(s pipeline.Source, runTime time.Time) (Statement, error) {
	switch {
	case s.Query != "" && s.Table != "":
		return Statement{}, errors.New("the source has both a query and a table: keep one")
	case s.Table != "":
		name, err := quoteName(s.Table)
		if err != nil {
			return Statement{}, err
		}
		return Statement{Text: "SELECT * FROM " + name, From: "table " + s.Table}, nil
	}
	from := s.QueryFile
	if from == "" {
		from = "the query"
	}
	if err := checkSelect(s.Query); err != nil {
		return Statement{}, fmt.Errorf("%s: %w", from, err)
	}
	return Statement{Text: s.Query, From: from, RunTime: runTime}, nil
}

// quoteName brackets a one- or two-part name, whose parts may be bracketed already.
func quoteName(name string) (string, error) {
	var parts []string
	for rest := name; ; {
		var part string
		if strings.HasPrefix(rest, "[") {
			end := 1
			for ; end < len(rest); end++ {
				if rest[end] != ']' {
					continue
				}
				if end+1 < len(rest) && rest[end+1] == ']' {
					end++
					continue
				}
				break
			}
			if end >= len(rest) {
				return "", fmt.Errorf("table %q has a [ without its ]", name)
			}
			part, rest = strings.ReplaceAll(rest[1:end], "]]", "]"), rest[end+1:]
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			part, rest = strings.TrimSpace(rest[:end]), rest[end:]
		}
		if part == "" {
			return "", fmt.Errorf("table %q has an empty part: write it as schema.table", name)
		}
		parts = append(parts, "["+strings.ReplaceAll(part, "]", "]]")+"]")
		if rest == "" {
			break
		}
		if rest[0] != '.' {
			return "", fmt.Errorf("table %q has %q after a name's end: write it as schema.table", name, rest)
		}
		rest = rest[1:]
	}
	if len(parts) > 2 {
		return "", fmt.Errorf("table %q names another database or server: the pipeline reads the database of its login, write it as schema.table", name)
	}
	return strings.Join(parts, "."), nil
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
func checkSelect(text string) error {
	first, ended := "", false
	for word, pos := range words(text) {
		line := 1 + strings.Count(text[:pos], "\n")
		if word == ";" {
			ended = first != ""
			continue
		}
		if ended {
			return fmt.Errorf("line %d: there is a second statement after the semicolon: keep one SELECT (WITH … SELECT for steps)", line)
		}
		upper := strings.ToUpper(word)
		if first == "" {
			first = upper
			if first != "SELECT" && first != "WITH" && first != "(" {
				return fmt.Errorf("line %d: the query begins with %q: it has to be one SELECT (WITH … SELECT for steps)", line, word)
			}
			continue
		}
		if notInASelect[upper] {
			return fmt.Errorf("line %d: %s is not part of a SELECT: a pipeline only reads (if it is a name, write it as [%s])", line, upper, word)
		}
	}
	if first == "" {
		return errors.New("the query is empty: write one SELECT")
	}
	return nil
}

// byteOrderMark is what some editors on Windows put before a text.
const byteOrderMark = "\uFEFF"

// words gives the words and semicolons of T-SQL outside of comments, strings and quoted names, with their offsets. What is
// neither comes as one character, and whitespace not at all.
func words(text string) func(yield func(string, int) bool) {
	return func(yield func(string, int) bool) {
		for i := 0; i < len(text); {
			c := text[i]
			switch {
			case spaceAt(text[i:]) > 0:
				i += spaceAt(text[i:])
			case strings.HasPrefix(text[i:], byteOrderMark):
				i += len(byteOrderMark)
			case strings.HasPrefix(text[i:], "--"):
				for i < len(text) && text[i] != '\n' {
					i++
				}
			case strings.HasPrefix(text[i:], "/*"):
				// T-SQL's block comments nest.
				for depth := 0; i < len(text); {
					if strings.HasPrefix(text[i:], "/*") {
						depth, i = depth+1, i+2
					} else if strings.HasPrefix(text[i:], "*/") {
						if depth, i = depth-1, i+2; depth == 0 {
							break
						}
					} else {
						i++
					}
				}
			case c == '\'' || c == '"' || c == '[':
				start, end := i, c
				if c == '[' {
					end = ']'
				}
				for i++; i < len(text); i++ {
					if text[i] != end {
						continue
					}
					if i+1 < len(text) && text[i+1] == end {
						i++
						continue
					}
					break
				}
				i++
				if !yield(string(c), start) {
					return
				}
			case isWordByte(c):
				start := i
				for i < len(text) && isWordByte(text[i]) && spaceAt(text[i:]) == 0 {
					i++
				}
				if !yield(text[start:i], start) {
					return
				}
			default:
				i++
				if !yield(string(rune(c)), i-1) {
					return
				}
			}
		}
	}
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
