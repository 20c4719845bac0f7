// Package dqdl reads rulesets in DQDL, the rule language of AWS Glue Data Quality, and says which of its rules this project judges runs by.
//
// It is the part of DQDL that one pass over a run's rows can decide. What a rule means is what AWS's reference says
// (docs.aws.amazon.com/glue/latest/dg/dqdl.html), and where it is silent what AWS's own code does: the grammar in github.com/awslabs/dqdl and the
// evaluation in github.com/awslabs/deequ. docs/quality.md has the table.
package dqdl

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Ruleset is the rules of a text, in their order.
type Ruleset struct {
	Rules []Rule
}

// Rule is a rule: one of a type, or several that are connected.
type Rule struct {
	// Position of its first character.
	Position Position
	// Text is the rule as it was written, without comments and line breaks.
	Text string

	// Connective is And or Or for a composite rule of Rules, and empty for a rule of a Type.
	Connective Connective
	Rules      []Rule

	Type Type
	// Columns as they are written; none for RowCount.
	Columns []string
	// Condition is nil for the types that are true or false by themselves.
	Condition *Condition
	// Threshold is which share of the rows, from 0 to 1, has to satisfy the condition; nil: all of them.
	Threshold *Condition
}

// Connective joins rules.
type Connective string

// The connectives.
const (
	And Connective = "and"
	Or  Connective = "or"
)

// Type is a rule type.
type Type string

// The rule types.
const (
	RowCount          Type = "RowCount"
	ColumnExists      Type = "ColumnExists"
	ColumnDataType    Type = "ColumnDataType"
	IsComplete        Type = "IsComplete"
	Completeness      Type = "Completeness"
	ColumnValues      Type = "ColumnValues"
	ColumnLength      Type = "ColumnLength"
	Mean              Type = "Mean"
	StandardDeviation Type = "StandardDeviation"
	Sum               Type = "Sum"
	DataFreshness     Type = "DataFreshness"
	IsUnique          Type = "IsUnique"
	Uniqueness        Type = "Uniqueness"
	IsPrimaryKey      Type = "IsPrimaryKey"
)

// Operator compares.
type Operator string

// The operators.
const (
	Equal          Operator = "="
	NotEqual       Operator = "!="
	Greater        Operator = ">"
	GreaterOrEqual Operator = ">="
	Less           Operator = "<"
	LessOrEqual    Operator = "<="
	// Between leaves both ends out, and NotBetween has them in: 10 is not between 10 and 20.
	Between    Operator = "between"
	NotBetween Operator = "not between"
	In         Operator = "in"
	NotIn      Operator = "not in"
	// Matches is true when the whole value matches the regular expression.
	Matches    Operator = "matches"
	NotMatches Operator = "not matches"
)

// Kind is what the operands of a condition are. Keywords are among those of any kind.
type Kind string

// The kinds of operands.
const (
	Number   Kind = "number"
	Text     Kind = "text"
	Moment   Kind = "date"
	Duration Kind = "duration"
	// Keywords alone.
	Keywords Kind = "keyword"
)

// Condition compares a value with operands: two for Between, some for In, otherwise one.
type Condition struct {
	Operator Operator
	Kind     Kind
	Operands []Operand
	// Text is the condition as it was written.
	Text string
}

// Keyword stands for values that can't be written.
type Keyword string

// The keywords.
const (
	Null            Keyword = "NULL"
	Empty           Keyword = "EMPTY"
	WhitespacesOnly Keyword = "WHITESPACES_ONLY"
)

// Operand is a value of a condition.
type Operand struct {
	// Keyword is empty for an operand of the condition's kind.
	Keyword Keyword
	Number  float64
	// Text is a text's value, or the regular expression.
	Text string
	// Now says that a moment is relative to the time of the evaluation: Duration after it, which may be negative. Otherwise it is Date, in UTC.
	Now  bool
	Date time.Time
	// Duration is that of DataFreshness, too.
	Duration time.Duration
}

// Holds says whether a number satisfies a condition whose operands are numbers.
func (c Condition) Holds(v float64) bool {
	return Compare(c.Operator, c.Operands, func(o Operand) (int, bool) {
		switch {
		case o.Keyword != "" || v != v:
			return 0, false
		case v < o.Number:
			return -1, true
		case v > o.Number:
			return 1, true
		}
		return 0, true
	})
}

// Compare applies an operator to a value that compare knows: it gives the sign of the value against an operand, and false where the two can't be
// compared, which is no operand's equal. Matches and NotMatches are not for it.
func Compare(operator Operator, operands []Operand, compare func(Operand) (int, bool)) bool {
	sign, ok := compare(operands[0])
	switch operator {
	case Equal:
		return ok && sign == 0
	case NotEqual:
		return !ok || sign != 0
	case Greater:
		return ok && sign > 0
	case GreaterOrEqual:
		return ok && sign >= 0
	case Less:
		return ok && sign < 0
	case LessOrEqual:
		return ok && sign <= 0
	case Between, NotBetween:
		upper, also := compare(operands[1])
		if !ok || !also {
			return false
		}
		return (sign > 0 && upper < 0) == (operator == Between)
	case In, NotIn:
		found := slices.ContainsFunc(operands, func(o Operand) bool {
			sign, ok := compare(o)
			return ok && sign == 0
		})
		return found == (operator == In)
	}
	return false
}

// Leaves are the rules of a type in a rule: itself, or those that it is composed of, in their order.
func (r Rule) Leaves() []Rule {
	if r.Connective == "" {
		return []Rule{r}
	}
	var all []Rule
	for _, one := range r.Rules {
		all = append(all, one.Leaves()...)
	}
	return all
}

// Position is a place in a text, counted from 1.
type Position struct {
	Line   int
	Column int
}

// String is "line 3, column 5".
func (p Position) String() string { return fmt.Sprintf("line %d, column %d", p.Line, p.Column) }

// Problem is what is wrong at a place.
type Problem struct {
	Position Position
	// Message says what was found and what to do.
	Message string
}

// String is the message with its place.
func (p Problem) String() string { return p.Position.String() + ": " + p.Message }

// Problems are all that are wrong with a ruleset, in the order of their places.
type Problems []Problem //nolint:errname // a ruleset has problems, as a configuration has

// Error is a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}
