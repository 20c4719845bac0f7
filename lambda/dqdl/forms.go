package dqdl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// conditionForm is which conditions a type takes.
type conditionForm int

const (
	none conditionForm = iota
	// numeric compares a number that the rule computes.
	numeric
	// anyValue compares a column's values.
	anyValue
	// dataType names a type.
	dataType
	// duration compares an age.
	duration
)

// form is how a rule of a type is written.
type form struct {
	least, most int
	condition   conditionForm
	threshold   bool
	example     string
}

// many is as many columns as a rule names.
const many = 64

var forms = map[Type]form{
	RowCount:          {0, 0, numeric, false, `RowCount > 1000`},
	ColumnExists:      {1, 1, none, false, `ColumnExists "amount"`},
	ColumnDataType:    {1, 1, dataType, true, `ColumnDataType "amount" = "DOUBLE"`},
	IsComplete:        {1, 1, none, false, `IsComplete "amount"`},
	Completeness:      {1, 1, numeric, false, `Completeness "amount" > 0.95`},
	ColumnValues:      {1, 1, anyValue, true, `ColumnValues "age" between 0 and 120`},
	ColumnLength:      {1, 1, numeric, false, `ColumnLength "postcode" = 5`},
	Mean:              {1, 1, numeric, false, `Mean "rating" > 3`},
	StandardDeviation: {1, 1, numeric, false, `StandardDeviation "rating" < 1.5`},
	Sum:               {1, 1, numeric, false, `Sum "amount" > 0`},
	// AWS's grammar gives DataFreshness no threshold. On a table that keeps its old rows the rule is of no use without one.
	DataFreshness: {1, 1, duration, true, `DataFreshness "updated_at" <= 24 hours`},
	IsUnique:      {1, many, none, false, `IsUnique "id"`},
	Uniqueness:    {1, many, numeric, false, `Uniqueness "email" > 0.9`},
	IsPrimaryKey:  {1, many, none, false, `IsPrimaryKey "id"`},
}

func (f form) tooMany(of Type, n int) string {
	if f.most == 0 {
		return fmt.Sprintf("%s takes no column: write %s", of, f.example)
	}
	return fmt.Sprintf("%s names %d columns, and takes %d: write %s", of, n, f.most, f.example)
}

// Why the other types of Glue are not judged here.
const (
	otherDataset = "it compares with another dataset, and a run has its own rows alone: compare in the query, and put a rule on the column"
	notOnePass   = "it is not computed in the pass over a run's rows"
	history      = "it compares with the history that Glue keeps: drift from the last accepted run is compared by quality.drift"
	noFiles      = "it looks at files, and a run is read from the database"
	fixedColumns = "the query decides the columns, and a change of them is noticed by source.onSchemaChange"
)

var refused = map[string]string{
	"AggregateMatch": otherDataset, "DatasetMatch": otherDataset, "ReferentialIntegrity": otherDataset, "RowCountMatch": otherDataset, "SchemaMatch": otherDataset,
	"ColumnCorrelation": notOnePass, "DistinctValuesCount": notOnePass + "; Uniqueness and IsUnique are", "DuplicateRowCount": notOnePass + "; IsUnique with the columns is",
	"Entropy": notOnePass, "InterquartileRange": notOnePass, "Kurtosis": notOnePass, "Range": notOnePass + "; ColumnValues with between is", "Skewness": notOnePass,
	"UniqueValueRatio": notOnePass + "; Uniqueness is", "Variance": notOnePass + "; StandardDeviation, its root, is", "ZerosCount": notOnePass + "; ColumnValues with a threshold is",
	"CustomSql": "it is SQL of Spark: compute it in the query, and put a rule on its column", "CustomSQL": "it is SQL of Spark: compute it in the query, and put a rule on its column",
	"DetectAnomalies": history, "AllStatistics": history,
	"FileFreshness": noFiles, "FileMatch": noFiles, "FileSize": noFiles, "FileUniqueness": noFiles,
	"ColumnCount": fixedColumns + "; ColumnExists names one", "ColumnNamesMatchPattern": fixedColumns,
}

// unknownType says why a rule of a type is refused.
func unknownType(name string) string {
	if reason, known := refused[name]; known {
		return fmt.Sprintf("the rule type %s is not judged here: %s", name, reason)
	}
	for _, t := range slices.Sorted(maps.Keys(forms)) {
		if strings.EqualFold(string(t), name) {
			return fmt.Sprintf("there is no rule type %s: DQDL is case sensitive, write %s", name, t)
		}
	}
	var all []string
	for _, t := range slices.Sorted(maps.Keys(forms)) {
		all = append(all, string(t))
	}
	return fmt.Sprintf("there is no rule type %s; the types are %s", name, strings.Join(all, ", "))
}

// DataTypes are what ColumnDataType knows, in upper case: the types of AWS's reference.
var DataTypes = []string{"BOOLEAN", "DATE", "TIMESTAMP", "INTEGER", "DOUBLE", "FLOAT", "LONG"}

// suits says whether a condition is one that the type takes.
func (p *parser) suits(at token, of Type, f form, c Condition) {
	has := func(k Keyword) bool {
		return slices.ContainsFunc(c.Operands, func(o Operand) bool { return o.Keyword == k })
	}
	keyword := has(Null) || has(Empty) || has(WhitespacesOnly)
	pattern := c.Operator == Matches || c.Operator == NotMatches
	switch f.condition {
	case numeric:
		if c.Kind != Number || keyword || pattern {
			p.fail(at, "%s is a number, and is compared with numbers: write %s", of, f.example)
		}
	case duration:
		if c.Kind != Duration || keyword {
			p.fail(at, "%s is an age, and is compared with days, hours or minutes: write %s", of, f.example)
		}
	case dataType:
		if c.Kind != Text || c.Operator != Equal && c.Operator != NotEqual || keyword {
			p.fail(at, "%s is compared by = or != with one type: write %s", of, f.example)
		}
		if !slices.Contains(DataTypes, strings.ToUpper(c.Operands[0].Text)) {
			p.fail(at, "%q is no type that ColumnDataType knows: they are %s", c.Operands[0].Text, strings.Join(DataTypes, ", "))
		}
	case anyValue:
		p.suitsValues(at, c, keyword, has)
	}
	p.inOrder(at, c)
}

// suitsValues looks at a condition of ColumnValues.
func (p *parser) suitsValues(at token, c Condition, keyword bool, has func(Keyword) bool) {
	equality := slices.Contains([]Operator{Equal, NotEqual, In, NotIn}, c.Operator)
	switch {
	case c.Kind == Duration:
		p.fail(at, "a column's value is no duration: compare a date with (now() - 3 days), or write DataFreshness")
	case keyword && !equality:
		p.fail(at, "NULL, EMPTY and WHITESPACES_ONLY are compared by =, !=, in and not in")
	case c.Kind == Text && !equality && c.Operator != Matches && c.Operator != NotMatches:
		p.fail(at, "texts are compared by =, !=, in, not in and matches: numbers and dates have an order; a number stands without quotation marks, a date is \"2026-01-31\"")
	case (has(Empty) || has(WhitespacesOnly)) && (c.Kind == Number || c.Kind == Moment):
		p.fail(at, "EMPTY and WHITESPACES_ONLY are texts, among operands that are each a %s", c.Kind)
	}
}

// inOrder refuses a range in which nothing is.
func (p *parser) inOrder(at token, c Condition) {
	if c.Operator != Between && c.Operator != NotBetween {
		return
	}
	low, high := c.Operands[0], c.Operands[1]
	empty := false
	switch c.Kind {
	case Number:
		empty = low.Number >= high.Number
	case Duration:
		empty = low.Duration >= high.Duration
	case Moment:
		empty = low.Now && high.Now && low.Duration >= high.Duration || !low.Now && !high.Now && !low.Date.Before(high.Date)
	case Text, Keywords:
	}
	if empty {
		p.fail(at, "nothing is '%s': the lower end comes first, and neither end is between them", strings.TrimPrefix(c.Text, "not "))
	}
}
