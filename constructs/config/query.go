package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// projectFiles are the files of queries and rules below the project's directory.
type projectFiles struct {
	dir string
}

// query gives the text of a query, or says what to do.
func (f projectFiles) query(name string) (query, remedy string) {
	if query, remedy = f.read(name, "queries/fraud.sql"); remedy == "" && !saysSomething(query) {
		return "", "the file is empty: write one SELECT into it"
	}
	return query, remedy
}

// read gives the text of a file, or says what to do. A remedy names an example.
func (f projectFiles) read(name, example string) (text, remedy string) {
	if filepath.IsAbs(name) || !filepath.IsLocal(name) {
		return "", "write a path inside the project, relative to cdk.json, such as " + example
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return "", fmt.Sprintf("make the project's directory readable: %v", err)
	}
	defer root.Close()
	// Through the root, so that no symbolic link leads out of the project either.
	b, err := root.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "there is no such file" + f.nearest(root, name) + ": write its path relative to cdk.json, such as " + example
	case err != nil:
		return "", fmt.Sprintf("write the path of a file inside the project: %v", err)
	case !utf8.Valid(b):
		return "", "save the file as UTF-8: it is in another encoding (SQL Server Management Studio's default is UTF-16)"
	}
	return strings.TrimPrefix(string(b), "\ufeff"), ""
}

// nearest names the file beside it that was probably meant.
func (f projectFiles) nearest(root *os.Root, name string) string {
	entries, err := fs.ReadDir(root.FS(), filepath.ToSlash(filepath.Dir(name)))
	if err != nil {
		return ""
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if near := nearest(filepath.Base(name), names); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", filepath.ToSlash(filepath.Join(filepath.Dir(name), near)))
	}
	return ""
}

// code is a query without its comments, and without what stands in quotes or brackets.
func code(query string) string {
	var b strings.Builder
	for query != "" {
		switch {
		case strings.HasPrefix(query, "--"):
			_, query, _ = strings.Cut(query, "\n")
			b.WriteByte(' ')
		case strings.HasPrefix(query, "/*"):
			query = afterComment(query)
			b.WriteByte(' ')
		case query[0] == '\'', query[0] == '"':
			// A doubled quote begins a second text where the first ends, which comes to the same.
			_, query, _ = strings.Cut(query[1:], query[:1])
			b.WriteString("''")
		case query[0] == '[':
			_, query, _ = strings.Cut(query, "]")
			b.WriteString("[]")
		default:
			b.WriteByte(query[0])
			query = query[1:]
		}
	}
	return b.String()
}

// afterComment gives what follows a comment, in which T-SQL lets others nest.
func afterComment(query string) string {
	for depth := 0; ; {
		next := strings.IndexAny(query, "/*")
		if next < 0 || next+1 >= len(query) {
			return ""
		}
		switch query = query[next:]; query[:2] {
		case "/*":
			depth++
			query = query[2:]
		case "*/":
			depth--
			query = query[2:]
			if depth == 0 {
				return query
			}
		default:
			query = query[1:]
		}
	}
}

// saysSomething says whether a query is more than white space and comments.
func saysSomething(query string) bool { return strings.TrimSpace(code(query)) != "" }

// firstWord is the word that a query begins with.
func firstWord(query string) string {
	rest := strings.TrimSpace(code(query))
	end := strings.IndexFunc(rest, func(r rune) bool { return !unicode.IsLetter(r) })
	if end < 0 {
		return rest
	}
	return rest[:end]
}

var windowStart = regexp.MustCompile(`(?i)(^|[^@\w#$])@windowStart($|[^@\w#$])`)

// usesWindow says whether a query has a parameter that only a window gives.
func usesWindow(query string) bool { return windowStart.MatchString(code(query)) }
