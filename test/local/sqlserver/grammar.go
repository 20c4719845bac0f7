package sqlserver

import (
	"slices"
	"strings"

	"github.com/sqlc-dev/teesql/parser"
)

// The parser reads all of T-SQL, and was written for scripts that are correct: some of its lists never end on others, because what
// begins none of their items is neither taken nor refused. They belong to statements and clauses that this server doesn't run
// anyway, all but one begin with reserved words, and so they are refused by their words before the parser sees them.

// neverRun are the reserved words that begin only what this server doesn't run, and are in no statement that it does run.
var neverRun = map[parser.TokenType]string{
	parser.TokenAlter: "ALTER", parser.TokenBackup: "BACKUP", parser.TokenRestore: "RESTORE", parser.TokenGrant: "GRANT",
	parser.TokenRevoke: "REVOKE", parser.TokenDeny: "DENY", parser.TokenDbcc: "DBCC", parser.TokenKill: "KILL",
	parser.TokenRevert: "REVERT", parser.TokenShutdown: "SHUTDOWN", parser.TokenReconfigure: "RECONFIGURE",
	parser.TokenReadtext: "READTEXT", parser.TokenWritetext: "WRITETEXT", parser.TokenUpdatetext: "UPDATETEXT",
	parser.TokenOpen: "cursors", parser.TokenClose: "cursors",
}

// created and dropped are what may follow CREATE and DROP.
var (
	created = []string{"TABLE", "INDEX", "UNIQUE", "CLUSTERED", "NONCLUSTERED", "SCHEMA", "STATISTICS", "VIEW", "SYNONYM"}
	dropped = []string{"TABLE", "INDEX", "VIEW", "SYNONYM"}
)

// words are the tokens of a batch as the parser sees them.
type words []parser.Token

func wordsOf(text string) words {
	lexer := parser.NewLexer(text)
	var out words
	for {
		t := lexer.NextToken()
		if t.Type == parser.TokenEOF {
			return out
		}
		out = append(out, t)
	}
}

// at is the word at a place in upper case; quoted names stay in their quotes. Behind the end it is "".
func (w words) at(i int) string {
	if i < 0 || i >= len(w) {
		return ""
	}
	return strings.ToUpper(w[i].Literal)
}

// checkGrammar refuses statements and clauses that are not for the parser.
func checkGrammar(text string) error {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return newError(errSyntax, 15, "Incorrect syntax near '%s': a zero byte follows.", text[max(0, i-20):i])
	}
	w := wordsOf(text)
	for i, t := range w {
		if what := neverRun[t.Type]; what != "" {
			return notSupported("%s", what)
		}
		next := w.at(i + 1)
		switch w.at(i) {
		case "CREATE":
			if !slices.Contains(created, next) {
				return notSupported("CREATE %s", next)
			}
			switch {
			case next == "STATISTICS" && !w.statistics(i+2, true):
				return newError(errSyntax, 15, "Incorrect syntax near 'CREATE STATISTICS'.")
			case next == "VIEW" && i > 0:
				return newError(111, 15, "'CREATE VIEW' must be the first statement in a query batch.")
			case next == "VIEW" && !w.view(i+2):
				return newError(errSyntax, 15, "Incorrect syntax near 'CREATE VIEW'. The local SQL Server knows: CREATE VIEW name [(columns)] [WITH SCHEMABINDING] AS SELECT.")
			}
		case "UPDATE":
			if next == "STATISTICS" && !w.statistics(i+2, false) {
				return newError(errSyntax, 15, "Incorrect syntax near 'UPDATE STATISTICS'.")
			}
		case "DROP":
			if !slices.Contains(dropped, next) {
				return notSupported("DROP %s", next)
			}
		case "CURSOR":
			return notSupported("cursors")
		case "BULK":
			return notSupported("BULK")
		case "MERGE":
			if next != "JOIN" && next != "UNION" { // hints
				return notSupported("MERGE")
			}
		case "OPTIMIZE":
			if next == "FOR" && w.at(i+2) == "(" && !w.optimizeFor(i+3) {
				return newError(errSyntax, 15, "Incorrect syntax near 'OPTIMIZE FOR'.")
			}
		}
	}
	return nil
}

// collateMark begins the name that stands for a collation in what the parser reads.
const collateMark = "coll:"

// collateAsOperator writes "x COLLATE c" as the product of x and a column [coll:c], of the same length. The parser knows COLLATE behind
// some expressions only, and there it loses it; a product binds as COLLATE does to what texts can be operands of. In the columns of a
// CREATE TABLE, where it is no operator, it stays.
func collateAsOperator(text string) string {
	if !strings.Contains(strings.ToUpper(text), "COLLATE") {
		return text
	}
	w := wordsOf(text)
	out := []byte(text)
	for i := 0; i < len(w); i++ {
		if w.at(i) == "CREATE" && w.at(i+1) == "TABLE" {
			for depth := 0; i < len(w); i++ {
				if w.at(i) == "(" {
					depth++
				} else if w.at(i) == ")" {
					if depth--; depth == 0 {
						break
					}
				}
			}
		}
		if w.at(i) != "COLLATE" || !w.identifier(i+1) {
			continue
		}
		from, name := w[i].Pos, w[i+1].Literal
		operator := "*[" + collateMark + name + "]"
		end := w[i+1].Pos + len(name)
		if from < 0 || end > len(text) || !strings.EqualFold(text[from:from+len("COLLATE")], "COLLATE") || text[end-len(name):end] != name {
			continue
		}
		copy(out[from:end], operator+strings.Repeat(" ", end-from-len(operator)))
	}
	return string(out)
}

// name skips a name of several parts.
func (w words) name(i int) (int, bool) {
	for {
		if !w.identifier(i) {
			return i, false
		}
		if i++; w.at(i) != "." {
			return i, true
		}
		i++
	}
}

func (w words) identifier(i int) bool { return i < len(w) && w[i].Type == parser.TokenIdent }

// identifiers skips a list of names in parentheses.
func (w words) identifiers(i int) (int, bool) {
	for w.identifier(i + 1) {
		if i += 2; w.at(i) == ")" {
			return i + 1, true
		}
		if w.at(i) != "," {
			break
		}
	}
	return i, false
}

// statisticsOptions are the words behind WITH, beside numbers; the parser takes everything up to a semicolon for an option.
var statisticsOptions = []string{"FULLSCAN", "SAMPLE", "PERCENT", "ROWS", "NORECOMPUTE", "ALL", "COLUMNS", "INDEX", ","}

// statistics says whether the words from a place are the rest of CREATE STATISTICS or UPDATE STATISTICS.
func (w words) statistics(i int, create bool) bool {
	var ok bool
	if create {
		if i, ok = w.name(i); !ok || w.at(i) != "ON" {
			return false
		}
		i++
	}
	if i, ok = w.name(i); !ok {
		return false
	}
	switch {
	case w.at(i) == "(":
		i, ok = w.identifiers(i)
	case create:
		return false
	case w.identifier(i):
		i++
	}
	if w.at(i) == "WITH" {
		for i++; i < len(w) && w.at(i) != ";"; i++ {
			if !slices.Contains(statisticsOptions, w.at(i)) && w[i].Type != parser.TokenNumber {
				return false
			}
		}
	}
	return ok
}

// view says whether the words from a place are what stands before the query of CREATE VIEW.
func (w words) view(i int) bool {
	i, ok := w.name(i)
	if ok && w.at(i) == "(" {
		i, ok = w.identifiers(i)
	}
	if w.at(i) == "WITH" && w.at(i+1) == "SCHEMABINDING" {
		i += 2
	}
	return ok && w.at(i) == "AS" && w.at(i+1) == "SELECT"
}

// optimizeFor says whether the words from a place are a hint's list: variables, each with a constant or UNKNOWN.
func (w words) optimizeFor(i int) bool {
	for {
		if !strings.HasPrefix(w.at(i), "@") {
			return false
		}
		i++
		switch w.at(i) {
		case "UNKNOWN":
			i++
		case "=":
			if i++; w.at(i) == "-" || w.at(i) == "+" {
				i++
			}
			if i >= len(w) || !slices.Contains(constants, w[i].Type) {
				return false
			}
			i++
		default:
			return false
		}
		switch w.at(i) {
		case ")":
			return true
		case ",":
			i++
		default:
			return false
		}
	}
}

var constants = []parser.TokenType{parser.TokenNumber, parser.TokenString, parser.TokenNationalString, parser.TokenBinary, parser.TokenMoney, parser.TokenNull}
