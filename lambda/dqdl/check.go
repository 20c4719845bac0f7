package dqdl

import (
	"fmt"
	"strings"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Check reads a ruleset and compares it with what is declared of a dataset's columns, before the database is asked. Its error is a Problems. A column
// of which nothing is declared is let through; when the run finds no such column, the rule fails.
func Check(text string, d pipeline.Dataset) error {
	r, err := Parse(text)
	if err != nil {
		return err
	}
	var problems Problems
	for _, rule := range r.Rules {
		for _, leaf := range rule.Leaves() {
			for _, name := range leaf.Columns {
				if problem := declared(leaf, name, d); problem != "" {
					problems = append(problems, Problem{leaf.Position, problem})
				}
			}
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// declared says what is wrong with a rule on a column.
func declared(r Rule, name string, d pipeline.Dataset) string {
	if contains(d.Drop, name) {
		return fmt.Sprintf("%s is on %q, which dataset.drop leaves out: it is not read", r.Type, name)
	}
	if len(d.Include) > 0 && !contains(d.Include, name) {
		return fmt.Sprintf("%s is on %q, which is not in dataset.include (%s): it is not read", r.Type, name, strings.Join(d.Include, ", "))
	}
	for column, rule := range d.Columns {
		if !strings.EqualFold(column, name) {
			continue
		}
		switch {
		case rule.Hash && !r.CountsOnly():
			return fmt.Sprintf("%s is on %q, of which a hash is written: its value is not known; IsComplete, Completeness, IsUnique, Uniqueness and IsPrimaryKey can be on it", r.Type, name)
		case rule.Cast != "":
			if problem := r.Suits(rule.Cast); problem != "" {
				return fmt.Sprintf("%s is on %q, which dataset.columns casts to %s: %s", r.Type, name, rule.Cast, problem)
			}
		}
	}
	return ""
}

// CountsOnly says whether the rule asks for no value of the column.
func (r Rule) CountsOnly() bool {
	switch r.Type {
	case ColumnExists, IsComplete, Completeness, IsUnique, Uniqueness, IsPrimaryKey:
		return true
	case ColumnValues:
		return r.Condition.only(Null)
	}
	return false
}

func contains(names []string, name string) bool {
	for _, one := range names {
		if strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}

// Class is what a rule can do with a type of SQL Server.
type Class int

// The classes of types.
const (
	// OtherClass has values that are not compared, such as bytes and times of day.
	OtherClass Class = iota
	// NumberClass is numbers, and the bit.
	NumberClass
	// TextClass is texts, and the uniqueidentifier.
	TextClass
	// MomentClass is days and points in time.
	MomentClass
)

// ClassOf gives the class of a type by SQL Server's name, with or without a length: "decimal(12,2)".
func ClassOf(sqlType string) Class {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(sqlType)), "(")
	switch strings.TrimSpace(name) {
	case "bit", "tinyint", "smallint", "int", "bigint", "decimal", "numeric", "money", "smallmoney", "float", "real":
		return NumberClass
	case "char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml", "json", "sql_variant", "uniqueidentifier":
		return TextClass
	case "date", "datetime", "smalldatetime", "datetime2", "datetimeoffset":
		return MomentClass
	}
	return OtherClass
}

// Suits says why a rule can't be judged on a column of a type of SQL Server; empty: it can.
func (r Rule) Suits(sqlType string) string {
	class := ClassOf(sqlType)
	switch r.Type {
	case Mean, StandardDeviation, Sum:
		if class != NumberClass {
			return fmt.Sprintf("%s is computed of numbers, and the column is a %s", r.Type, sqlType)
		}
	case ColumnLength:
		if class != TextClass {
			return fmt.Sprintf("ColumnLength is that of a text, and the column is a %s", sqlType)
		}
	case DataFreshness:
		if class != MomentClass {
			return fmt.Sprintf("DataFreshness is the age of a date, and the column is a %s", sqlType)
		}
	case ColumnDataType:
		if class == OtherClass {
			return fmt.Sprintf("ColumnDataType looks at texts, numbers and dates, and the column is a %s", sqlType)
		}
	case ColumnValues:
		return r.Condition.suits(class, sqlType)
	}
	return ""
}

func (c Condition) suits(class Class, sqlType string) string {
	switch {
	case c.Kind == Keywords && c.only(Null), c.Kind == Moment && class == TextClass && c.plainDates():
		return ""
	case c.Kind == Keywords && class != TextClass:
		return fmt.Sprintf("EMPTY and WHITESPACES_ONLY are texts, and the column is a %s", sqlType)
	case c.Kind == Number && class != NumberClass:
		return fmt.Sprintf("it is compared with numbers, and the column is a %s: texts stand in quotation marks", sqlType)
	case c.Kind == Moment && class != MomentClass:
		return fmt.Sprintf("it is compared with dates, and the column is a %s", sqlType)
	case c.Kind == Text && class != TextClass:
		return fmt.Sprintf("it is compared with texts, and the column is a %s: numbers stand without quotation marks, a date is \"2026-01-31\"", sqlType)
	}
	return ""
}

// only says whether all operands are one keyword.
func (c Condition) only(k Keyword) bool {
	for _, o := range c.Operands {
		if o.Keyword != k {
			return false
		}
	}
	return true
}

// plainDates says whether a text may be compared with the dates: as the texts that they are.
func (c Condition) plainDates() bool {
	for _, o := range c.Operands {
		if o.Now {
			return false
		}
	}
	return c.Operator == Equal || c.Operator == NotEqual || c.Operator == In || c.Operator == NotIn
}
