package sqlserver

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-sql/civil"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
)

// Statement is one SELECT with its parameters, and where its text comes from.
type Statement struct {
	Text string
	// From is for messages: "queries/fraud.sql" or "table dbo.Transactions".
	From string
	// Params are declared with their types by sp_executesql. Without any, the text is sent as it is.
	Params []Param
	// formatOnly says that the text has rows, and that only its columns are wanted (SET FMTONLY).
	formatOnly bool
	// err is why there is no such statement; sending it gives it.
	err error
}

// Param is a parameter of a statement. It is declared with exactly this type, whatever form its value is sent in: a comparison with
// another type would turn the column's own type, and its index, aside.
type Param struct {
	// Name is without the @.
	Name string
	// Type is a type of SQL Server: "datetime2(0)".
	Type  string
	Value any
}

// String shows a parameter in a log.
func (p Param) String() string { return fmt.Sprintf("%s %s = %v", p.Name, p.Type, p.Value) }

// Selected is a column of the SELECT list.
type Selected struct {
	Name string
	// Cast is the type that the server casts the column to; empty: none.
	Cast string
}

// Selection makes every statement that reads a source.
type Selection struct {
	source pipeline.Source
	from   string
	// table is the bracketed name, and query the query's text without its semicolon; one of them is empty.
	table, query string
	runTime      time.Time
	window       *manifest.Window
	// params are those that the query uses.
	params []Param
	maxDOP int
	// hasOption says that the query ends with an OPTION clause of its own.
	hasOption, dirty bool
	unwrappable      error
}

// NewSelection checks a source as far as its words show: a table's name, or one SELECT with known parameters, which reads committed
// rows. The login is read-only in any case: the checks are for the messages, not for safety.
func NewSelection(s pipeline.Source, l pipeline.Limits, runTime time.Time) (*Selection, error) {
	x := &Selection{source: s, runTime: runTime.UTC(), maxDOP: l.MaxDOP}
	switch {
	case s.Query != "" && s.Table != "":
		return nil, errors.New("the source has both a query and a table: keep one")
	case s.Table != "":
		var err error
		if x.table, err = quoteName(s.Table); err != nil {
			return nil, err
		}
		if s.WindowSeconds != 0 {
			return nil, fmt.Errorf("table %s is read whole: a window is of a query that uses @windowStart", s.Table)
		}
		x.from = "table " + s.Table
		return x, nil
	}
	x.from = s.QueryFile
	if x.from == "" {
		x.from = "the query"
	}
	if err := x.readQuery(); err != nil {
		return nil, fmt.Errorf("%s: %w", x.from, err)
	}
	return x, nil
}

// From says in a message what is read.
func (x *Selection) From() string { return x.from }

// QueryText is the text that decides which rows are read, for a hash of it: the query or the table, the cursor's column and the
// partitions'. It doesn't change with the run's time or the limits.
func (x *Selection) QueryText() string {
	var b strings.Builder
	if x.table != "" {
		b.WriteString("SELECT * FROM " + x.table)
	} else {
		b.WriteString(x.source.Query)
	}
	if c := x.source.Cursor; c != nil {
		fmt.Fprintf(&b, "\n-- %s cursor %s", c.Kind, quote(c.Column))
	}
	if x.source.PartitionBy != "" {
		b.WriteString("\n-- partitions of " + quote(x.source.PartitionBy))
	}
	return b.String()
}

// Window is where @windowStart and @windowEnd are; nil for a source without a window.
func (x *Selection) Window() *manifest.Window { return x.window }

// Dirty says that the query asks for uncommitted rows, or skips locked ones.
func (x *Selection) Dirty() bool { return x.dirty }

// Wrappable says why the query can't stand in FROM (…), which include, drop, cast and partitionBy need. A table can.
func (x *Selection) Wrappable() error { return x.unwrappable }

// All reads everything in one statement: the query as it is when cols is nil and there are no bounds. cursor is the column of the
// bounds, as the server describes it.
func (x *Selection) All(cols []Selected, b *manifest.Bounds, cursor *Column) Statement {
	if cols == nil && b == nil && x.table == "" {
		return Statement{Text: x.query + x.option(!x.hasOption), From: x.from, Params: x.params}
	}
	s := x.start(cols, "")
	s.bounds(b, cursor)
	return s.statement("")
}

// Count counts the rows that All reads.
func (x *Selection) Count(b *manifest.Bounds, cursor *Column) Statement {
	s := x.start(nil, "")
	s.head = "SELECT COUNT_BIG(*) FROM " + x.fromClause()
	s.bounds(b, cursor)
	return s.statement("")
}

// Page reads at most rows rows of a range of the key, in the key's order, and with unique false also all further rows that have the
// last one's value, so that the next page can begin after it. after, when it isn't nil, is the last value of the page before and takes
// the place of r.From. A range of NULL is read whole; any other has no NULL in it.
func (x *Selection) Page(cols []Selected, key Column, unique bool, r plan.Range, after *string, b *manifest.Bounds, cursor *Column, rows int64) Statement {
	if r.Null {
		s := x.start(cols, "")
		s.where = append(s.where, s.column(key)+" IS NULL")
		s.bounds(b, cursor)
		return s.statement("")
	}
	top := "TOP (@rows) "
	if !unique {
		top += "WITH TIES "
	}
	s := x.start(cols, top)
	s.params = append(s.params, Param{Name: "rows", Type: "bigint", Value: rows})
	switch {
	case after != nil:
		s.compare(key, ">", "after", *after)
	case r.From != nil:
		s.compare(key, ">=", "from", *r.From)
	case r.To == nil && key.Nullable:
		s.where = append(s.where, s.column(key)+" IS NOT NULL")
	}
	if r.To != nil {
		s.compare(key, "<", "to", *r.To)
	}
	s.bounds(b, cursor)
	return s.statement(" ORDER BY " + s.column(key))
}

// selecting is a statement in the making.
type selecting struct {
	selection *Selection
	head      string
	where     []string
	params    []Param
	err       error
}

func (x *Selection) start(cols []Selected, top string) *selecting {
	list := "*"
	if cols != nil {
		items := make([]string, len(cols))
		for i, c := range cols {
			items[i] = alias + "." + quote(c.Name)
			if c.Cast != "" {
				items[i] = fmt.Sprintf("CAST(%s AS %s) AS %s", items[i], c.Cast, quote(c.Name))
			}
		}
		list = strings.Join(items, ", ")
	}
	s := &selecting{selection: x, head: "SELECT " + top + list + " FROM " + x.fromClause(), err: x.unwrappable}
	s.params = append(s.params, x.params...)
	return s
}

// alias is what a table or query is called in a statement. With it, a column of the source isn't mistaken for the one of the same name
// that a cast makes.
const alias = "q"

func (x *Selection) fromClause() string {
	if x.table != "" {
		return x.table + " AS " + alias
	}
	// The query begins on the first line, so that the line of an error is the query's own, and its last may be a comment.
	return "(" + x.query + "\n) AS " + alias
}

func (s *selecting) column(c Column) string { return alias + "." + quote(c.Name) }

func (s *selecting) compare(c Column, operator, name, value string) {
	p, err := KeyParam(name, c, value)
	if err != nil && s.err == nil {
		s.err = err
	}
	s.params = append(s.params, p)
	s.where = append(s.where, s.column(c)+" "+operator+" "+c.keyExpression("@"+name))
}

func (s *selecting) bounds(b *manifest.Bounds, cursor *Column) {
	if b == nil {
		return
	}
	if cursor == nil {
		s.err = errors.Join(s.err, fmt.Errorf("the bounds are of the column %q, which isn't described: this is a fault of the export", b.Column))
		return
	}
	if b.From != "" {
		s.compare(*cursor, ">=", "lower", b.From)
	}
	s.compare(*cursor, "<", "upper", b.To)
}

func (s *selecting) statement(tail string) Statement {
	sql := s.head
	if len(s.where) > 0 {
		sql += " WHERE " + strings.Join(s.where, " AND ")
	}
	err := s.err
	if err != nil {
		err = fmt.Errorf("%s: %w", s.selection.from, err)
	}
	return Statement{Text: sql + tail + s.selection.option(true), From: s.selection.from, Params: s.params, err: err}
}

func (x *Selection) option(ours bool) string {
	if x.maxDOP == 0 || !ours {
		return ""
	}
	return fmt.Sprintf("\nOPTION (MAXDOP %d)", x.maxDOP)
}

// The parameters of a query.
const (
	runTimeParam     = "@runTime"
	windowStartParam = "@windowStart"
	windowEndParam   = "@windowEnd"
)

// readQuery looks at the tokens of the query.
func (x *Selection) readQuery() error {
	sql := x.source.Query
	if err := checkSelect(sql); err != nil {
		return err
	}
	x.query = strings.TrimPrefix(sql, byteOrderMark)
	used := map[string]bool{}
	var clauses clauses
	for t := range tokens(x.query) {
		if t.is(";") {
			// What follows is white space and comments; a semicolon before WITH is none of SELECT's.
			if !clauses.begun {
				x.query = strings.Repeat(" ", t.end) + x.query[t.end:]
				continue
			}
			x.query = x.query[:t.at]
			break
		}
		line := 1 + strings.Count(x.query[:t.at], "\n")
		if t.kind == word && strings.HasPrefix(t.text, "@") && !strings.HasPrefix(t.text, "@@") {
			if err := x.param(t.text, used); err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
		}
		if t.is("NOLOCK") || t.is("READUNCOMMITTED") || t.is("READPAST") {
			if x.dirty = true; !x.source.Accepts(pipeline.AcceptNoLock) {
				return fmt.Errorf("line %d: %s reads uncommitted rows or skips locked ones, so rows may be missing, there twice or never have been committed: take it out, or give \"nolock\" under source.accept (if it is a name, write it as [%s])",
					line, strings.ToUpper(t.text), t.text)
			}
		}
		if err := clauses.next(t); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
	if clauses.depth != 0 {
		return errors.New("there is a ( without its )")
	}
	if err := readFrom(x.query).refuseLocks(x.query); err != nil {
		return err
	}
	x.hasOption, x.unwrappable = clauses.option, clauses.unwrappable()
	if x.source.WindowSeconds > 0 {
		if !used[windowStartParam] {
			return errors.New("source.window is set and the query doesn't use @windowStart: write WHERE … >= @windowStart AND … < @windowEnd, or take the window out")
		}
		x.window = &manifest.Window{Start: x.runTime.Add(-time.Duration(x.source.WindowSeconds) * time.Second), End: x.runTime}
	}
	return nil
}

// param declares a parameter that the query uses, once, in the query's spelling.
func (x *Selection) param(spelled string, used map[string]bool) error {
	var known string
	at := x.runTime
	for _, one := range []string{runTimeParam, windowStartParam, windowEndParam} {
		if strings.EqualFold(one, spelled) {
			known = one
		}
	}
	switch {
	case known == "":
		return fmt.Errorf("%s is not a parameter of the pipeline: there are %s, %s and %s", spelled, runTimeParam, windowStartParam, windowEndParam)
	case known != runTimeParam && x.source.WindowSeconds <= 0:
		return fmt.Errorf("%s needs a window: set source.window", known)
	case known == windowStartParam:
		at = at.Add(-time.Duration(x.source.WindowSeconds) * time.Second)
	}
	if !used[known] {
		used[known] = true
		x.params = append(x.params, Param{Name: spelled[1:], Type: "datetime2(0)", Value: civil.DateTimeOf(at)})
	}
	return nil
}

// clauses follows a query's clauses outside of its parentheses.
type clauses struct {
	depth                                           int
	begun, with, top, set, order, offset, option, f bool
	format                                          string
}

func (c *clauses) next(t token) error {
	switch {
	case t.is("("):
		c.depth++
	case t.is(")"):
		if c.depth--; c.depth < 0 {
			return errors.New("there is a ) without its (")
		}
	}
	first := !c.begun
	c.begun = true
	if c.depth > 0 || t.kind != word {
		c.f = false
		return nil
	}
	switch strings.ToUpper(t.text) {
	case "WITH":
		c.with = c.with || first
	case "TOP":
		c.top = true
	case "UNION", "EXCEPT", "INTERSECT":
		c.set = true
	case "ORDER":
		c.order = true
	case "OFFSET":
		c.offset = true
	case "OPTION":
		c.option = true
	case "XML", "JSON", "BROWSE":
		// FOR SYSTEM_TIME is part of FROM.
		if c.f {
			c.format = "FOR " + strings.ToUpper(t.text)
		}
	}
	c.f = t.is("FOR")
	return nil
}

func (c *clauses) unwrappable() error {
	const why = "dataset.include, drop and cast and source.partitionBy read FROM (the query), and "
	switch {
	case c.with:
		return errors.New(why + "a query that begins with WITH can't stand there: write its steps as subqueries, or as a view")
	case c.option:
		return errors.New(why + "a query with an OPTION clause can't stand there: take the clause out (export.maxDop sets MAXDOP)")
	case c.format != "":
		return fmt.Errorf("%sa query with %s can't stand there: take the clause out", why, c.format)
	case c.order && !c.offset && (!c.top || c.set):
		return errors.New(why + "a query with ORDER BY can't stand there: take the clause out, the order of a run's rows has no meaning")
	}
	return nil
}
