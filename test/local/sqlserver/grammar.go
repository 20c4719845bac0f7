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
	created = []string{"TABLE", "INDEX", "UNIQUE", "CLUSTERED", "NONCLUSTERED", "SCHEMA"}
	dropped = []string{"TABLE", "INDEX"}
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
