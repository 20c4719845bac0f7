package pipeline

import (
	"strings"
	"testing"
)

func TestCasts(t *testing.T) {
	for _, good := range []string{
		"bit", "TinyInt", "bigint", "float", "real", "money", "decimal(18,4)", "numeric (38, 38)", "date", "time(0)", "datetime2", "datetime2(7)", "datetimeoffset(3)",
		"smalldatetime", "char(8000)", "varchar(max)", "nvarchar(4000)", "nvarchar(max)", "nchar(1)", "binary(16)", "varbinary(MAX)", "uniqueidentifier",
	} {
		if err := CheckCast(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, problem := range map[string]string{
		"":                             "not of the form",
		"int)":                         "not of the form",
		"int); DROP TABLE t; --":       "not of the form",
		"dbo.MyType":                   "not of the form",
		"decimal(18,4) NULL":           "not of the form",
		"int(4)":                       "doesn't take",
		"decimal":                      "needs a precision",
		"decimal(10)":                  "needs a precision",
		"decimal(39,2)":                "needs a precision",
		"decimal(2,3)":                 "needs a precision",
		"datetime2(8)":                 "0 to 7 digits",
		"varchar":                      "1 to 8000, or max",
		"nvarchar(4001)":               "1 to 4000, or max",
		"char(max)":                    "1 to 8000",
		"varchar(0)":                   "1 to 8000, or max",
		"text":                         "can't be cast to text",
		"sql_variant":                  "can't be cast to sql_variant",
		"xml":                          "can't be cast to xml",
		"rowversion":                   "can't be cast to rowversion",
		"\u0130nt":                     "not of the form",
		"varchar(\uff11\uff10)":        "not of the form",
		"nvarchar(100) COLLATE Latin1": "not of the form",
	} {
		if err := CheckCast(bad); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q gave %v, want an error with %q", bad, err, problem)
		}
	}
}
