package dqdl

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parse reads a ruleset. Its error is a Problems of all that is wrong with the text; what its columns are is not looked at (Check).
func Parse(text string) (Ruleset, error) {
	p := parser{text: text, tokens: tokenize(text)}
	for _, t := range p.tokens {
		if t.kind == bad {
			p.problems = append(p.problems, Problem{t.position, t.text})
		}
	}
	if len(p.problems) > 0 {
		return Ruleset{}, p.problems
	}
	r := p.ruleset()
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int {
			if a.Position.Line != b.Position.Line {
				return a.Position.Line - b.Position.Line
			}
			return a.Position.Column - b.Position.Column
		})
		return Ruleset{}, p.problems
	}
	return r, nil
}

// mostNested bounds parentheses in parentheses: the rules of a person have few.
const mostNested = 50

type parser struct {
	text     string
	tokens   []token
	at       int
	nested   int
	problems Problems
}

// wrong is thrown where a rule can't be read further, after its problem was noted.
type wrong struct{}

func (p *parser) problem(t token, format string, args ...any) {
	p.problems = append(p.problems, Problem{t.position, fmt.Sprintf(format, args...)})
}

func (p *parser) fail(t token, format string, args ...any) {
	p.problem(t, format, args...)
	panic(wrong{})
}

// attempt does something that may fail, and says whether it did.
func (p *parser) attempt(do func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, expected := r.(wrong); !expected {
				panic(r)
			}
			ok = false
		}
	}()
	do()
	return true
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) ahead() token { return p.tokens[min(p.at+1, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

func (p *parser) take(symbol string) bool {
	if p.peek().is(symbol) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(symbol, where string) {
	if t := p.peek(); !p.take(symbol) {
		p.fail(t, "%s stands where %s needs '%s'", t.shown(), where, symbol)
	}
}

func (p *parser) ruleset() (r Ruleset) {
	if !p.attempt(p.sections) {
		return r
	}
	for {
		before := p.at
		ok := p.attempt(func() {
			r.Rules = append(r.Rules, p.composite())
			if t := p.peek(); !t.is(",") && !t.is("]") {
				p.afterRule(t)
			}
		})
		if !ok {
			p.skip(before)
		}
		if p.take(",") {
			continue
		}
		break
	}
	p.attempt(func() {
		p.expect("]", "the end of the rules")
		if t := p.peek(); t.is("Analyzers") {
			p.fail(t, "Analyzers gather statistics for Glue's own history and judge nothing: leave them out; drift is compared by quality.drift")
		} else if t.kind != end {
			p.fail(t, "%s stands behind the rules, where nothing may be", t.shown())
		}
	})
	return r
}

// sections reads up to the first rule.
func (p *parser) sections() {
	t := p.next()
	switch {
	case t.is("Rules"):
	case t.is("Analyzers"):
		p.fail(t, "Analyzers gather statistics for Glue's own history and judge nothing: write Rules = [ … ]")
	case t.is("Metadata") || t.is("DataSources") || t.is("DefaultLabels"):
		p.fail(t, "%s says something to Glue alone: begin with Rules = [ … ]", t.text)
	case t.kind == word && p.peek().is("="):
		p.fail(t, "constants are not read here: write the values of %s where they are used, and begin with Rules = [ … ]", t.text)
	case t.kind == end:
		p.fail(t, "there are no rules: write Rules = [ RowCount > 0 ]")
	default:
		p.fail(t, "%s stands where a ruleset begins: write Rules = [ … ], with a capital R", t.shown())
	}
	p.expect("=", "Rules")
	p.expect("[", "Rules")
	if t := p.peek(); t.is("]") {
		p.fail(t, "there are no rules: write one, such as RowCount > 0, or leave quality.rules out")
	}
}

// skip goes on behind a rule that can't be read: to the next comma or the end of the list.
func (p *parser) skip(from int) {
	p.at = from
	for depth := 0; p.peek().kind != end; p.next() {
		t := p.peek()
		switch {
		case t.is("(") || t.is("["):
			depth++
		case depth > 0 && (t.is(")") || t.is("]")):
			depth--
		case depth == 0 && (t.is("]") || t.is(",")):
			return
		}
	}
}

// afterRule explains what stands behind a rule that is read.
func (p *parser) afterRule(t token) {
	switch {
	case t.is("where"):
		p.fail(t, "rules with a where clause are not judged here, because it is SQL: put the condition into the query (CASE WHEN … END) and the rule on its column")
	case t.is("labels"):
		p.fail(t, "labels say something to Glue alone: leave them out")
	case connective(t) != "":
		p.fail(t, "rules that '%s' connects have to stand in parentheses, each in its own: (IsComplete \"a\") %s (IsUnique \"a\")", t.text, t.text)
	case t.kind == end:
		p.fail(t, "the list of rules has no end: close it with ']'")
	}
	p.fail(t, "%s stands behind a rule that is complete: separate rules by commas", t.shown())
}

func connective(t token) Connective {
	switch {
	case t.is("and"), t.is("AND"):
		return And
	case t.is("or"), t.is("OR"):
		return Or
	}
	return ""
}

// composite reads rules that are connected; "and" binds closer than "or", as in AWS's grammar.
func (p *parser) composite() Rule {
	return p.connected(Or, func() Rule { return p.connected(And, p.single) })
}

func (p *parser) connected(by Connective, read func() Rule) Rule {
	from := p.at
	bare := !p.peek().is("(")
	first := read()
	if connective(p.peek()) != by {
		return first
	}
	if bare {
		p.afterRule(p.peek())
	}
	r := Rule{Position: first.Position, Connective: by, Rules: []Rule{first}}
	for connective(p.peek()) == by {
		p.next()
		if t := p.peek(); !t.is("(") {
			p.fail(t, "%s stands behind '%s', where a rule in parentheses has to be", t.shown(), by)
		}
		r.Rules = append(r.Rules, read())
	}
	r.Position, r.Text = p.tokens[from].position, p.written(from)
	return r
}

// single reads a rule, or rules in parentheses.
func (p *parser) single() Rule {
	from, t := p.at, p.peek()
	if !p.take("(") {
		r := p.rule()
		r.Position, r.Text = t.position, p.written(from)
		return r
	}
	if p.nested++; p.nested > mostNested {
		p.fail(t, "more than %d parentheses are open", mostNested)
	}
	r := p.composite()
	if t := p.peek(); !t.is(")") {
		p.afterRule(t)
	}
	p.next()
	p.nested--
	return r
}

// written is the text from a token to before the present one, on one line.
func (p *parser) written(from int) string {
	var b strings.Builder
	for i := from; i < p.at; i++ {
		t := p.tokens[i]
		if i > from && p.tokens[i-1].end < t.begin {
			b.WriteByte(' ')
		}
		b.WriteString(p.text[t.begin:t.end])
	}
	return b.String()
}

// rule reads a rule of a type.
func (p *parser) rule() Rule {
	t := p.next()
	if t.kind != word {
		p.fail(t, "%s stands where a rule has to be, such as IsComplete \"amount\"", t.shown())
	}
	r := Rule{Type: Type(t.text)}
	form, known := forms[r.Type]
	if !known {
		p.fail(t, "%s", unknownType(t.text))
	}
	r.Columns = p.columns()
	switch n := len(r.Columns); {
	case n > form.most:
		p.fail(t, "%s", form.tooMany(r.Type, n))
	case n < form.least:
		p.fail(t, "%s names no column: write %s", r.Type, form.example)
	}
	begin := p.peek()
	if form.condition == none {
		if startsCondition(begin) {
			p.fail(begin, "%s is true or false by itself and takes no condition: write %s", r.Type, form.example)
		}
	} else {
		if !startsCondition(begin) {
			p.noCondition(begin, r.Type, form)
		}
		c := p.condition()
		p.suits(begin, r.Type, form, c)
		r.Condition = &c
	}
	if p.peek().is("with") {
		p.with(&r, form)
	}
	return r
}

// columns reads names of columns: quoted, or as identifiers.
func (p *parser) columns() []string {
	var all []string
	for {
		t, after := p.peek(), p.ahead()
		connects := t.is("of") || t.is("OF") || connective(t) == And && len(all) > 0 && after.kind == quoted
		if connects {
			p.next()
			t = p.peek()
		}
		switch {
		case t.kind == quoted && t.text == "":
			p.fail(t, "the name of a column is empty")
		case t.kind == quoted, t.kind == word && !reserved[t.text] && !connects && connective(t) == "", t.kind == word && connects:
			all = append(all, strings.Trim(unescape(t.text), "`"))
			p.next()
		default:
			return all
		}
	}
}

// reserved are the words that are no columns unless they are quoted.
var reserved = map[string]bool{
	"between": true, "not": true, "in": true, "matches": true, "with": true, "where": true, "labels": true,
	"BETWEEN": true, "NOT": true, "IN": true, "MATCHES": true, "WITH": true, "WHERE": true,
}

func startsCondition(t token) bool {
	if t.kind == word {
		return slices.Contains([]string{"between", "not", "in", "matches", "BETWEEN", "NOT", "IN", "MATCHES"}, t.text)
	}
	return t.kind == symbol && slices.Contains([]string{"=", "!=", "!", ">", ">=", "<", "<="}, t.text)
}

func (p *parser) noCondition(t token, of Type, form form) {
	if t.kind == number || t.is("-") {
		p.fail(t, "%s stands where %s needs a comparison: write %s", t.shown(), of, form.example)
	}
	p.fail(t, "%s has no condition: write %s", of, form.example)
}

// condition reads an operator and its operands.
func (p *parser) condition() Condition {
	from := p.at
	c := Condition{Operator: p.operator()}
	switch c.Operator {
	case Between, NotBetween:
		c.Operands = append(c.Operands, p.operand(&c))
		if t := p.peek(); connective(t) != And {
			p.fail(t, "%s stands where 'between' needs 'and': between 1 and 10", t.shown())
		}
		p.next()
		c.Operands = append(c.Operands, p.operand(&c))
	case In, NotIn:
		p.expect("[", "'in'")
		for {
			c.Operands = append(c.Operands, p.operand(&c))
			if !p.take(",") {
				break
			}
		}
		p.expect("]", "the end of the list")
	case Matches, NotMatches:
		c.Kind = Text
		c.Operands = []Operand{{Text: p.pattern()}}
	default:
		c.Operands = append(c.Operands, p.operand(&c))
	}
	if t := p.peek(); t.kind == symbol && slices.Contains([]string{"+", "-", "*", "/"}, t.text) {
		p.fail(t, "%s: %s", t.shown(), noArithmetic)
	}
	if c.Kind == "" {
		c.Kind = Keywords
	}
	c.Text = p.written(from)
	return c
}

func (p *parser) operator() Operator {
	t := p.next()
	if t.is("!") { // in AWS's grammar a token of its own
		p.expect("=", "'!'")
		return NotEqual
	}
	if lower := strings.ToLower(t.text); t.kind == word && lower != t.text {
		p.fail(t, "DQDL is case sensitive: write '%s'", lower)
	}
	if !t.is("not") {
		return Operator(t.text)
	}
	what := p.next()
	if o := Operator("not " + what.text); what.kind == word && (o == NotBetween || o == NotIn || o == NotMatches) {
		return o
	}
	p.fail(what, "%s stands behind 'not', where 'between', 'in' or 'matches' has to be", what.shown())
	return ""
}

// pattern reads the regular expression of 'matches'. It is raw: a backslash is the expression's own.
func (p *parser) pattern() string {
	t := p.next()
	if t.kind != quoted {
		p.fail(t, "%s stands behind 'matches', where a regular expression in quotation marks has to be", t.shown())
	}
	if _, err := WholeValue(t.text); err != nil {
		p.fail(t, "the regular expression can't be used: %v; look-around and back references are Java's, and are not known here (RE2's syntax is: github.com/google/re2/wiki/Syntax)", err)
	}
	return t.text
}

// WholeValue compiles a regular expression so that it matches whole values.
func WholeValue(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile("^(?:" + pattern + ")$")
}

const noArithmetic = "operands are values here, not calculations: write the number"

// operand reads an operand of the condition's kind, which the first that is no keyword decides.
func (p *parser) operand(c *Condition) Operand {
	t := p.peek()
	kind, o := p.value()
	switch {
	case kind == Keywords:
	case c.Kind == "":
		c.Kind = kind
	case c.Kind != kind:
		p.fail(t, "%s is a %s among operands that are each a %s: AWS's grammar doesn't mix them", t.shown(), kind, c.Kind)
	}
	return o
}

var (
	dates = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	times = regexp.MustCompile(`^[0-9]{1,2}:[0-9]{2}( AM| PM)?$`)
)

// value reads one operand.
func (p *parser) value() (Kind, Operand) {
	t := p.next()
	switch {
	case t.kind == quoted && dates.MatchString(t.text):
		d, err := time.Parse(time.DateOnly, t.text)
		if err != nil {
			p.fail(t, "there is no day %q", t.text)
		}
		return Moment, Operand{Date: d}
	case t.kind == quoted && times.MatchString(t.text):
		p.fail(t, "%q is a time of day to DQDL, which is not compared here: write (now() - 3 hours)", t.text)
	case t.kind == quoted:
		return Text, Operand{Text: unescape(t.text)}
	case t.is("-"), t.kind == number:
		return p.numeral(t)
	case t.is("("):
		return p.relative(t)
	case t.is("now"):
		p.nowCall()
		if s := p.peek(); s.is("-") || s.is("+") {
			p.fail(t, "a calculated time has to stand in parentheses: (now() %s 3 days)", s.text)
		}
		return Moment, Operand{Now: true}
	case t.is("$"):
		p.fail(t, "constants are not read here: write the values where they are used")
	case t.kind == word:
		if k := Keyword(strings.ToUpper(t.text)); (k == Null || k == Empty || k == WhitespacesOnly) && (t.text == string(k) || t.text == strings.ToLower(t.text)) {
			return Keywords, Operand{Keyword: k}
		}
		if p.peek().is("(") {
			p.fail(t, "%s( … ) is a dynamic rule, which compares with the history that Glue keeps: write a number; what a run is compared with is quality.drift", t.text)
		}
		p.fail(t, "'%s' stands where a value has to be: a text stands in quotation marks", t.text)
	}
	p.fail(t, "%s stands where a value has to be", t.shown())
	return "", Operand{}
}

// numeral reads a number, or a duration: a number with a unit.
func (p *parser) numeral(t token) (Kind, Operand) {
	sign := 1.0
	if t.is("-") {
		sign = -1
		if t = p.next(); t.kind != number {
			p.fail(t, "%s stands behind '-', where a number has to be", t.shown())
		}
	}
	if unit := p.peek(); unit.kind == word && units[unit.text] > 0 {
		p.at-- // to the amount
		d := p.duration()
		if sign < 0 {
			p.fail(t, "a duration is not negative")
		}
		return Duration, Operand{Duration: d}
	}
	n, err := strconv.ParseFloat(t.text, 64)
	if err != nil {
		p.fail(t, "%s is too large a number", t.shown())
	}
	return Number, Operand{Number: sign * n}
}

// relative reads (now() - 3 days).
func (p *parser) relative(open token) (Kind, Operand) {
	if t := p.peek(); !t.is("now") {
		p.fail(open, "%s", noArithmetic)
	}
	p.next()
	p.nowCall()
	sign := p.next()
	if !sign.is("-") && !sign.is("+") {
		p.fail(sign, "%s stands where '-' or '+' has to be: (now() - 3 days)", sign.shown())
	}
	d := p.duration()
	if sign.is("-") {
		d = -d
	}
	p.expect(")", "the end of the calculated time")
	return Moment, Operand{Now: true, Duration: d}
}

func (p *parser) nowCall() {
	p.expect("(", "now()")
	p.expect(")", "now()")
}

var units = map[string]time.Duration{"days": 24 * time.Hour, "hours": time.Hour, "minutes": time.Minute}

// longestDuration keeps durations within what Go's have: 292 years.
const longestDuration = 100 * 365 * 24 * time.Hour

func (p *parser) duration() time.Duration {
	t := p.next()
	n, err := strconv.ParseInt(t.text, 10, 32)
	if t.kind != number || err != nil {
		p.fail(t, "%s stands where a whole number of days, hours or minutes has to be", t.shown())
	}
	unit := p.next()
	one, known := units[unit.text]
	if unit.kind != word || !known {
		p.fail(unit, "%s stands where a unit has to be: days, hours or minutes", unit.shown())
	}
	if n > int64(longestDuration/one) {
		p.fail(t, "%d %s are more than a hundred years", n, unit.text)
	}
	return time.Duration(n) * one
}

// with reads the threshold.
func (p *parser) with(r *Rule, form form) {
	for p.peek().is("with") {
		p.next()
		t := p.next()
		switch {
		case !t.is("threshold"):
			p.fail(t, "'with %s' is not known here: 'with threshold' is", t.text)
		case !form.threshold:
			p.fail(t, "%s has no threshold: ColumnValues, ColumnDataType and DataFreshness are judged row by row and have one", r.Type)
		case r.Threshold != nil:
			p.fail(t, "there is a threshold already")
		}
		begin := p.peek()
		if !startsCondition(begin) {
			p.fail(begin, "the threshold has no condition: with threshold > 0.9")
		}
		c := p.condition()
		if c.Kind != Number || slices.ContainsFunc(c.Operands, func(o Operand) bool { return o.Keyword != "" || o.Number < 0 || o.Number > 1 }) {
			p.fail(begin, "a threshold is a share of the rows, from 0 to 1: with threshold > 0.9")
		}
		p.inOrder(begin, c)
		r.Threshold = &c
	}
}
