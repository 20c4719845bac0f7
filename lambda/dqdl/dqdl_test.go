package dqdl_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/dqdl"
	"sagemaker-datapipeline/lambda/pipeline"
)

// What AWS's pages and its parser's tests have, as far as it is judged here:
// docs.aws.amazon.com/glue/latest/dg/dqdl.html and the pages dqdl-rule-types-*.html below it, and
// github.com/awslabs/dqdl, tst/com/amazonaws/glue/ml/dataquality/dqdl/model/DQRuleTest.java.
func TestRulesOfAWSsPagesAreRead(t *testing.T) {
	for _, rule := range []string{
		`IsComplete "order-id"`, `IsUnique "order-id"`,
		`(IsComplete "id") and (IsUnique "id")`,
		`(Mean "Star_Rating" > 3) and (Mean "Order_Total" > 500) and (IsComplete "Order_Id")`,
		`(Mean "Star_Rating" > 3) and ((Mean "Order_Total" > 500) or (IsComplete "Order_Id"))`,
		`(RowCount > 0) or ((IsComplete "colA") and (IsUnique "colA"))`,
		`((RowCount > 0) AND (IsComplete "colB")) OR ((IsComplete "colA") AND (IsUnique "colA"))`,
		`ColumnDataType "colA" = "INTEGER"`, `ColumnDataType "colA" = "INTEGER" with threshold > 0.9`, `ColumnDataType "col_1" != "Date"`,
		`ColumnExists "Middle_Name"`,
		`ColumnLength "Postal_Code" = 5`, `ColumnLength "Postal_Code" > 4`,
		`(ColumnLength "Postal_Code" > 4) AND (ColumnValues "Postal_Code" != NULL)`,
		`ColumnValues "Country" in [ "US", "CA", "UK", NULL, EMPTY, WHITESPACES_ONLY ]`,
		`ColumnValues "First_Name" matches "[a-zA-Z]*"`, `ColumnValues "Load_Date" > (now() - 3 days)`, `ColumnValues "Customer_ID" between 1 and 2000`,
		`(ColumnValues "Age" > 21) OR (ColumnValues "Age" = NULL)`, `ColumnValues "Age" != 21`, `ColumnValues "Age" not in [21, 22, 23]`,
		`(ColumnValues "Age" != 21) AND (ColumnValues "Age" != NULL)`, `ColumnValues "Age" not in [21, 22, 23, NULL]`,
		`Completeness "First_Name" > 0.95`, `Completeness of col_1 not between 0.5 and 0.8`, `Completeness "col_1" between -0.5 and -0.4`,
		`DataFreshness "Order_Date" <= 24 hours`, `DataFreshness "Order_Date" between 2 days and 5 days`, `DataFreshness "col-A" > 90 minutes`,
		`(DataFreshness "Order_Date" <= 24 hours) OR (ColumnValues "Order_Date" = NULL)`,
		`IsPrimaryKey "colA" "colB"`, `IsPrimaryKey "colA" "colB" "colC"`, `IsPrimaryKey colA "colB" "colC"`, `IsUnique "vendorid" "tpep_pickup_datetime"`,
		`Mean "Star_Rating" > 3`, `Mean "col_A-B.CD" between -20 and -10`, `StandardDeviation "Star_Rating" < 1.5`, `Sum "transaction_total" > 500000`,
		`RowCount between 100 and 500`, `RowCount = -100`, `RowCount != 100`, `RowCount not between 100 and 500`, `RowCount in [1, 2]`,
		`Uniqueness "email" = 1.0`, `Uniqueness "vendorid" "tpep_pickup_datetime" = 1`, `Uniqueness "col_1" between -0.00000001 and 0.00000000000002`,
		`ColumnValues "col_1" between "2022-06-01" and "2022-06-30"`, `ColumnValues "order-id" in ["1","2","3","4"]`, `ColumnValues "col-A" < (now() + 4 minutes)`,
		`ColumnValues "col-A" not matches "[a-z]*" with threshold <= 0.4`, `ColumnValues "col-A" >= now()`, `ColumnValues "col-A" not between (now() - 3 hours) and now()`,
		`ColumnValues "col-A" in [now(),(now() - 3 hours),now(),(now() + 4 days)]`, `ColumnValues "col-A" in [1,2,3] with threshold > 0.98`,
		`ColumnValues "col-A" = EMPTY`, `ColumnValues "col-A" != WHITESPACES_ONLY`, `ColumnValues "col-A" in [NULL,EMPTY,WHITESPACES_ONLY]`,
		`ColumnValues "col-A" <= 0.4 with threshold not between 0.4 and 0.8`, `ColumnValues "col-A" not in ["2022-01-01",NULL] with threshold > 0.98`,
	} {
		r, err := dqdl.Parse("Rules = [ " + rule + " ]")
		if err != nil || len(r.Rules) != 1 || r.Rules[0].Text != rule {
			t.Errorf("%s: got %+v, %v", rule, r.Rules, err)
		}
	}
}

func TestTheRulesOfTheDocumentationAreRead(t *testing.T) {
	page, err := os.ReadFile("../../docs/quality.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```\nRules = [")
	rules, _, found := strings.Cut(rest, "```")
	if r, err := dqdl.Parse("Rules = [" + rules); err != nil || !found || len(r.Rules) != 7 {
		t.Fatalf("got %+v, %v", r, err)
	}
}

func TestARulesetSaysWhatItWasWritten(t *testing.T) {
	r, err := dqdl.Parse(`# what orders are
Rules = [
    RowCount > 1000,   # at least a thousand
    ColumnValues "na\"me" in [ "a\\b", NULL ]
        with threshold > 0.9,
    (IsComplete "a") or (IsUnique "b") and (Sum "c" >= -1.5)
]`)
	if err != nil {
		t.Fatal(err)
	}
	count, values, either := r.Rules[0], r.Rules[1], r.Rules[2]
	if count.Type != dqdl.RowCount || count.Condition.Operator != dqdl.Greater || count.Condition.Operands[0].Number != 1000 || count.Position.String() != "line 3, column 5" {
		t.Errorf("got %+v", count)
	}
	o := values.Condition.Operands
	if values.Columns[0] != `na"me` || o[0].Text != `a\b` || o[1].Keyword != dqdl.Null || values.Condition.Kind != dqdl.Text || values.Threshold.Text != "> 0.9" ||
		values.Text != `ColumnValues "na\"me" in [ "a\\b", NULL ] with threshold > 0.9` {
		t.Errorf("got %+v", values)
	}
	// "and" binds closer.
	if either.Connective != dqdl.Or || either.Rules[1].Connective != dqdl.And || either.Rules[1].Rules[1].Condition.Operands[0].Number != -1.5 || len(either.Leaves()) != 3 {
		t.Errorf("got %+v", either)
	}
}

// All of them are refused before anything is deployed. The second group is refused by AWS's own parser
// (github.com/awslabs/dqdl, InvalidDQRulesetTest.java).
func TestWhatIsNotJudgedIsRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"a rule with a filter", `Rules = [ IsComplete "a" where "b > 1" ]`, "line 1, column 26: rules with a where clause are not judged here"},
		{"analyzers", `Rules = [ RowCount > 0 ] Analyzers = [ Completeness "a" ]`, "Analyzers gather statistics for Glue's own history"},
		{"analyzers alone", `Analyzers = [ Completeness "a" ]`, "Analyzers gather statistics"},
		{"a dynamic rule", `Rules = [ RowCount > avg(last(10)) ]`, "avg( … ) is a dynamic rule"},
		{"arithmetic", `Rules = [ RowCount > 10 * 10 ]`, "operands are values here"},
		{"arithmetic in parentheses", `Rules = [ RowCount > (10 * 10) ]`, "operands are values here"},
		{"a rule on another dataset", `Rules = [ RowCountMatch "reference" = 1.0 ]`, "RowCountMatch is not judged here: it compares with another dataset"},
		{"SQL", `Rules = [ CustomSql "select count(*) from primary" > 0 ]`, "it is SQL of Spark"},
		{"anomalies", `Rules = [ DetectAnomalies "RowCount" ]`, "quality.drift"},
		{"files", `Rules = [ FileSize > 5 B ]`, "it looks at files"},
		{"correlation", `Rules = [ ColumnCorrelation "a" "b" > 0.4 ]`, "it is not computed in the pass"},
		{"distinct values", `Rules = [ DistinctValuesCount "a" > 1 ]`, "Uniqueness and IsUnique are"},
		{"a type in another case", `Rules = [ isComplete "a" ]`, "write IsComplete"},
		{"a type that isn't there", `Rules = [ Foo "a" ]`, "there is no rule type Foo; the types are ColumnDataType,"},
		{"labels", `Rules = [ RowCount > 0 labels=["a"="b"] ]`, "labels say something to Glue alone"},
		{"constants", `min = 100 Rules = [ RowCount > $min ]`, "constants are not read here"},
		{"a constant where it is used", `Rules = [ RowCount > $min ]`, "constants are not read here"},
		{"a time of day", `Rules = [ ColumnValues "a" > "9:30 AM" ]`, "is a time of day"},
		{"a tag", `Rules = [ ColumnValues "a" in ["x"] with ignoreCase = "true" ]`, "'with ignoreCase' is not known here"},
		{"look-around", `Rules = [ ColumnValues "a" matches "(?!x).*" ]`, "the regular expression can't be used"},
		{"an expression that swallows what stands behind it", `Rules = [ ColumnValues "a" matches "\Qabc" ]`, "the regular expression can't be used"},
		{"a range in which nothing is", `Rules = [ RowCount between 5 and 5 ]`, "neither end is between them"},
		{"a threshold above all rows", `Rules = [ ColumnValues "a" > 1 with threshold > 90 ]`, "from 0 to 1"},
		{"a text that is in order", `Rules = [ ColumnValues "a" > "x" ]`, "texts are compared by =, !=, in, not in and matches"},
		{"NULL in an order", `Rules = [ ColumnValues "a" > NULL ]`, "compared by =, !=, in and not in"},
		{"EMPTY among numbers", `Rules = [ ColumnValues "a" in [1, EMPTY] ]`, "EMPTY and WHITESPACES_ONLY are texts"},
		{"NULL of a count", `Rules = [ RowCount = NULL ]`, "RowCount is a number"},
		{"a column of RowCount", `Rules = [ RowCount "id" > 100 ]`, "RowCount takes no column"},
		{"a data type that isn't there", `Rules = [ ColumnDataType "a" = "Money" ]`, "no type that ColumnDataType knows"},
		{"several data types", `Rules = [ ColumnDataType "a" in ["Date","Integer"] ]`, "compared by = or != with one type"},
		{"a day that isn't there", `Rules = [ ColumnValues "a" = "2026-02-30" ]`, `there is no day "2026-02-30"`},
		{"a duration of a column", `Rules = [ ColumnValues "a" > 3 days ]`, "write DataFreshness"},
		{"a negative duration", `Rules = [ DataFreshness "a" < -3 days ]`, "not negative"},
		{"a capital operator", `Rules = [ RowCount BETWEEN 1 and 2 ]`, "write 'between'"},
		{"a lower-case beginning", `rules = [ RowCount > 0 ]`, "constants are not read here"},
		{"a quotation mark without an end", `Rules = [ IsComplete "a ]`, "no closing quotation mark"},
		{"a single quotation mark", `Rules = [ IsComplete 'a' ]`, "double quotation marks"},

		{"rules without parentheses", `Rules = [ IsComplete "a" and IsUnique "a" ]`, "each in its own"},
		{"an open parenthesis", `Rules = [ ((RowCount > 0) AND IsComplete ]`, "a rule in parentheses has to be"},
		{"no rules", `Rules = [ ]`, "there are no rules"},
		{"nothing", ``, "there are no rules"},
		{"braces", `Rules = { }`, "'{' stands where Rules needs '['"},
		{"no end", `Rules = [ RowCount > 0`, "close it with ']'"},
		{"metadata", `Metadata = { "Version": "1.0" }`, "Metadata says something to Glue alone"},
		{"no comparison", `Rules = [ Completeness "col-A" ]`, "Completeness has no condition"},
		{"a comparison too many", `Rules = [ IsComplete "col-A" > 0.05 ]`, "takes no condition"},
		{"two columns where one is", `Rules = [ ColumnValues "load_dt" "load_dt_2" > (now() - 1 days) ]`, "names 2 columns, and takes 1"},
		{"a type that begins with digits", `Rules = [ 11ColumnValues "load_dt" > 1 ]`, "there is no rule type 11ColumnValues"},
		{"a threshold alone", `Rules = [ ColumnDataType "col-A" with threshold > 0.7 ]`, "ColumnDataType has no condition"},
		{"two thresholds", `Rules = [ ColumnValues "a" = 1 with threshold > 0.9 with threshold > 0.7 ]`, "a threshold already"},
		{"a threshold of a share", `Rules = [ Completeness "col-A" > 0.4 with threshold > 0.4]`, "Completeness has no threshold"},
		{"a threshold without a condition", `Rules = [ ColumnValues "col-A" > 0.4 with threshold]`, "the threshold has no condition"},
		{"a threshold without with", `Rules = [ ColumnValues "col-A" > 0.4 threshold]`, "separate rules by commas"},
		{"with and nothing", `Rules = [ ColumnValues "col-A" > 0.4 with]`, "'with ]' is not known"},
		{"a pattern that isn't there", `Rules = [ ColumnValues "col-A" matches ]`, "a regular expression in quotation marks"},
		{"a value without an operator", `Rules = [ ColumnValues "col-A" now() ]`, "names 2 columns"},
		{"a calculated time without parentheses", `Rules = [ ColumnValues "col-A" > now() + 1 hours ]`, "has to stand in parentheses"},
		{"a unit that isn't there", `Rules = [ ColumnValues "col-A" = (now() - 3 weeks) ]`, "days, hours or minutes"},
		{"no unit", `Rules = [ ColumnValues "col-A" > (now() - 1) ]`, "a unit has to be"},
		{"numbers and texts in one list", `Rules = [ ColumnValues "col-A" in [1,"2"] ]`, "AWS's grammar doesn't mix them"},
		{"an age without a unit", `Rules = [ DataFreshness "col-A" <= 3 ]`, "DataFreshness is an age"},
		{"one age with a unit and one without", `Rules = [ DataFreshness "col-A" between 2 and 4 days ]`, "doesn't mix them"},
		{"a condition on a type of true and false", `Rules = [ IsPrimaryKey "col-A" between 1 and 2 ]`, "takes no condition"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dqdl.Parse(c.text)
			problems, ok := errors.AsType[dqdl.Problems](err)
			if !ok || !strings.Contains(problems.Error(), c.says) {
				t.Fatalf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	_, err := dqdl.Parse("Rules = [\n  Foo \"a\",\n  (IsComplete \"b\", [x]) and,\n  RowCount > 0,\n  Mean \"c\" > $x\n]")
	problems, _ := errors.AsType[dqdl.Problems](err)
	if len(problems) != 3 || problems[0].Position.Line != 2 || problems[1].Position.Line != 3 || problems[2].Position != (dqdl.Position{Line: 5, Column: 14}) {
		t.Fatalf("got %v", err)
	}
}

func TestRulesAreComparedWithWhatIsDeclared(t *testing.T) {
	d := pipeline.Dataset{
		Drop: []string{"Note"}, Columns: map[string]pipeline.ColumnRule{
			"email": {Hash: true}, "amount": {Cast: "decimal(12,2)"}, "code": {Cast: "nvarchar(10)"}, "At": {Cast: "datetime2(0)"},
		},
	}
	included := pipeline.Dataset{Include: []string{"Id", "Amount"}}
	for _, c := range []struct {
		name, rule, says string
		dataset          pipeline.Dataset
	}{
		{"a column of which nothing is declared", `Mean "score" > 1`, "", d},
		{"a dropped column", `IsComplete "NOTE"`, "dataset.drop leaves out", d},
		{"a column that isn't included", `IsComplete "Score"`, "not in dataset.include (Id, Amount)", included},
		{"an included column", `IsComplete "id"`, "", included},
		{"a hashed column's completeness", `IsComplete "Email"`, "", d},
		{"a hashed column's NULL", `ColumnValues "Email" != NULL`, "", d},
		{"a hashed column's uniqueness", `IsUnique "Email"`, "", d},
		{"a hashed column's value", `ColumnValues "Email" matches ".+@.+"`, "of which a hash is written", d},
		{"a hashed column within a composite rule", `(RowCount > 1) or (ColumnLength "Email" > 3)`, "of which a hash is written", d},
		{"a mean of a number", `Mean "Amount" > 1`, "", d},
		{"a mean of a text", `Mean "Code" > 1`, "Mean is computed of numbers, and the column is a nvarchar(10)", d},
		{"the length of a number", `ColumnLength "amount" > 1`, "ColumnLength is that of a text", d},
		{"the age of a number", `DataFreshness "amount" < 1 days`, "DataFreshness is the age of a date", d},
		{"the age of a date", `DataFreshness "at" < 1 days`, "", d},
		{"a number compared with a text", `ColumnValues "amount" in ["1"]`, "numbers stand without quotation marks", d},
		{"a text compared with a number", `ColumnValues "code" in [1]`, "texts stand in quotation marks", d},
		{"a text compared with a day as text", `ColumnValues "code" in ["2026-01-01"]`, "", d},
		{"a text compared with now", `ColumnValues "code" > now()`, "it is compared with dates", d},
		{"a number that is empty", `ColumnValues "amount" != EMPTY`, "EMPTY and WHITESPACES_ONLY are texts", d},
		{"a number that is not NULL", `ColumnValues "amount" != NULL`, "", d},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := dqdl.Check("Rules = [ "+c.rule+" ]", c.dataset)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %q", err, c.says)
			}
		})
	}
	if err := dqdl.Check("Rules = [ Foo ]", d); err == nil {
		t.Fatal("a problem of the text is one of the check")
	}
}

// Both ends of between are left out, and both are in not between, as in AWS's NumberBasedCondition.evaluate.
func TestConditionsOfNumbers(t *testing.T) {
	for _, c := range []struct {
		condition    string
		holds, fails []float64
	}{
		{"= 3", []float64{3}, []float64{2, 4}},
		{"!= 3", []float64{2, 4}, []float64{3}},
		{"> 3", []float64{3.1}, []float64{3}},
		{">= 3", []float64{3, 4}, []float64{2.9}},
		{"< 3", []float64{2.9}, []float64{3}},
		{"<= 3", []float64{3}, []float64{3.1}},
		{"between 3 and 5", []float64{3.1, 4, 4.9}, []float64{3, 5, 2, 6}},
		{"not between 3 and 5", []float64{3, 5, 2, 6}, []float64{4}},
		{"in [3, 5]", []float64{3, 5}, []float64{4}},
		{"not in [3, 5]", []float64{4}, []float64{3, 5}},
	} {
		r, err := dqdl.Parse("Rules = [ RowCount " + c.condition + " ]")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range c.holds {
			if !r.Rules[0].Condition.Holds(v) {
				t.Errorf("%v %s doesn't hold", v, c.condition)
			}
		}
		for _, v := range c.fails {
			if r.Rules[0].Condition.Holds(v) {
				t.Errorf("%v %s holds", v, c.condition)
			}
		}
	}
}

// Rules come from files that people write: whatever they say, it is read or refused with a place in it. What is read says again what it is.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`Rules = [ RowCount > 0, (IsComplete "a") and (IsUnique "b" "c") ]`, `Rules = [ ColumnValues "a" in ["x\"", NULL] with threshold > 0.9 ]`,
		`Rules = [ DataFreshness of a between 1 hours and 2 days # so
		]`, `Rules = [ ColumnValues "a" not between (now() - 3 days) and "2026-01-01" ]`, `Rules = [ ((((`, `Rules = [ Sum "a" = -1.5, `, "Rules=[RowCount=1]\xff", `"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dqdl.Parse(text)
		if err != nil {
			problems, ok := errors.AsType[dqdl.Problems](err)
			if !ok || len(problems) == 0 {
				t.Fatalf("got %v", err)
			}
			for _, p := range problems {
				if p.Position.Line < 1 || p.Position.Line > strings.Count(text, "\n")+1 || p.Position.Column < 1 || p.Position.Column > len(text)+1 || p.Message == "" {
					t.Fatalf("%q: %v", text, p)
				}
			}
			return
		}
		for _, rule := range r.Rules {
			again, err := dqdl.Parse("Rules = [ " + rule.Text + " ]")
			if err != nil || len(again.Rules) != 1 || again.Rules[0].Text != rule.Text {
				t.Fatalf("%q reads %q, which reads %+v, %v", text, rule.Text, again.Rules, err)
			}
		}
	})
}
