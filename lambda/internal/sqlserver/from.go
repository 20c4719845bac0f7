package sqlserver

import (
	"fmt"
	"slices"
	"strings"
)

// fromPart is what a query's FROM clauses say, as far as its tokens show.
type fromPart struct {
	// hints are the words of table hints, in WITH (…), in parentheses behind a name, or in OPTION (TABLE HINT (…)).
	hints []token
	// names are the last parts of the names that stand where a table does, in lower case, and calls those before a parenthesis: functions.
	names, calls map[string]bool
	// foreign are names of three parts and more, of another database or server.
	foreign []string
}

// leavesFrom are the words after which names are no longer tables.
var leavesFrom = map[string]bool{
	"SELECT": true, "WHERE": true, "GROUP": true, "HAVING": true, "ORDER": true, "UNION": true, "EXCEPT": true, "INTERSECT": true, "OPTION": true,
}

// readFrom looks where the tables of a query are. Parentheses have clauses of their own.
func readFrom(query string) fromPart {
	f := fromPart{names: map[string]bool{}, calls: map[string]bool{}}
	all := slices.Collect(tokens(query))
	// from and table say, for each parenthesis that is open, whether it is in a FROM clause, and whether a table's name comes next; hints
	// whether it has hints in it.
	type level struct{ from, table, hints bool }
	open := []level{{}}
	for i, t := range all {
		now := &open[len(open)-1]
		var before token
		if i > 0 {
			before = all[i-1]
		}
		switch {
		case t.is("("):
			named := before.kind == name || before.kind == word && !before.is("IN") && !before.is("ON")
			inside := level{from: now.table, table: now.table, hints: before.is("WITH") || before.is("HINT") || now.from && named}
			now.table = false
			open = append(open, inside)
		case t.is(")"):
			if len(open) > 1 {
				open = open[:len(open)-1]
			}
		case t.is("FROM"), t.is("JOIN"), t.is("APPLY"), t.is(",") && now.from:
			now.from, now.table = true, true
		case t.kind == word && leavesFrom[strings.ToUpper(t.text)]:
			now.from, now.table = false, false
		case t.kind == word || t.kind == name:
			if now.hints && t.kind == word && standsAlone(before, next(all, i)) {
				f.hints = append(f.hints, t)
			}
			f.name(all, i, now.table)
			// The name's further parts follow after a point.
			now.table = now.table && next(all, i).is(".")
		}
	}
	return f
}

// name takes the name that ends at a token: one that a point doesn't follow.
func (f *fromPart) name(all []token, i int, table bool) {
	if next(all, i).is(".") {
		return
	}
	called := strings.ToLower(all[i].text)
	if next(all, i).is("(") {
		f.calls[called] = true
	}
	if !table {
		return
	}
	f.names[called] = true
	parts := []string{all[i].text}
	for back := i - 1; back >= 0 && all[back].is("."); back-- {
		part := ""
		// db..table leaves the schema out.
		if back > 0 && (all[back-1].kind == word || all[back-1].kind == name) {
			back--
			part = all[back].text
		}
		parts = append(parts, part)
	}
	if len(parts) > 2 {
		slices.Reverse(parts)
		f.foreign = append(f.foreign, strings.Join(parts, "."))
	}
}

// standsAlone says whether a word is a hint between others, not a part of an expression or a column with its type.
func standsAlone(before, after token) bool {
	return !before.is(".") && (after.is(",") || after.is(")") || lockHints[strings.ToUpper(after.text)] || lockHints[strings.ToUpper(before.text)])
}

func next(all []token, i int) token {
	if i+1 < len(all) {
		return all[i+1]
	}
	return token{}
}

// lockHints are the table hints that have a reader take locks which others wait for until its transaction ends, or locks on more than it reads.
var lockHints = map[string]bool{
	"UPDLOCK": true, "XLOCK": true, "TABLOCK": true, "TABLOCKX": true, "HOLDLOCK": true, "SERIALIZABLE": true, "REPEATABLEREAD": true,
}

// refuseLocks refuses hints with which even a login that only reads can keep the application out.
func (f fromPart) refuseLocks(query string) error {
	for _, t := range f.hints {
		if hint := strings.ToUpper(t.text); lockHints[hint] {
			return fmt.Errorf("line %d: %s takes locks that keep others from writing for as long as the export reads: take it out; for one state of everything set source.consistency to \"snapshot\", which locks nothing (if it is a name, write it as [%s])",
				1+strings.Count(query[:t.at], "\n"), hint, t.text)
		}
	}
	return nil
}

// locks says whether the query asks for locking reads where the database would give row versions.
func (f fromPart) locks() bool {
	return slices.ContainsFunc(f.hints, func(t token) bool { return t.is("READCOMMITTEDLOCK") })
}
