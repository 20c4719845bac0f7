package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// castForm is a name, and one or two lengths in parentheses. A cast becomes part of a statement, so nothing else gets through.
var castForm = regexp.MustCompile(`^([A-Za-z0-9_]+)(?: *\( *([0-9]{1,5}|[Mm][Aa][Xx]) *(?:, *([0-9]{1,5}) *)?\))?$`)

// casts are the types that a column can be cast to, with what has to stand in their parentheses.
var casts = map[string]func(first, second string) string{
	"bit": bare, "tinyint": bare, "smallint": bare, "int": bare, "bigint": bare,
	"decimal": precise, "numeric": precise, "money": bare, "smallmoney": bare, "float": bare, "real": bare,
	"date": bare, "datetime": bare, "smalldatetime": bare,
	"time": fractional, "datetime2": fractional, "datetimeoffset": fractional,
	"char": sized(8000, false), "varchar": sized(8000, true), "nchar": sized(4000, false), "nvarchar": sized(4000, true),
	"binary": sized(8000, false), "varbinary": sized(8000, true), "uniqueidentifier": bare,
}

// CheckCast says why a column can't be cast to a type. Where SQL Server would assume a length that cuts or rounds (varchar is
// varchar(30) in a CAST, decimal is decimal(18,0)), the length has to be given.
func CheckCast(to string) error {
	parts := castForm.FindStringSubmatch(to)
	if parts == nil {
		return fmt.Errorf("%q is not of the form of a type, such as float, decimal(18,4) or nvarchar(100)", to)
	}
	check, known := casts[strings.ToLower(parts[1])]
	if !known {
		return fmt.Errorf("a column can't be cast to %s: cast it to a bit, an integer, decimal(p,s), money, smallmoney, float, real, a date or time type, "+
			"char(n), varchar(n), nchar(n), nvarchar(n), binary(n), varbinary(n) or uniqueidentifier", parts[1])
	}
	if problem := check(strings.ToLower(parts[2]), parts[3]); problem != "" {
		return fmt.Errorf("the cast to %q %s", to, problem)
	}
	return nil
}

func bare(first, _ string) string {
	if first != "" {
		return "has a length, which the type doesn't take"
	}
	return ""
}

func precise(first, second string) string {
	p, err := strconv.Atoi(first)
	s, problem := strconv.Atoi(second)
	if err != nil || problem != nil || p < 1 || p > 38 || s > p {
		return "needs a precision of 1 to 38 and a scale up to it, as in decimal(18,4)"
	}
	return ""
}

func fractional(first, second string) string {
	if first == "" {
		return ""
	}
	if n, err := strconv.Atoi(first); err != nil || n > 7 || second != "" {
		return "takes 0 to 7 digits of a second, as in datetime2(3)"
	}
	return ""
}

func sized(most int, orMax bool) func(first, second string) string {
	return func(first, second string) string {
		if first == "max" && orMax && second == "" {
			return ""
		}
		if n, err := strconv.Atoi(first); err != nil || n < 1 || n > most || second != "" {
			if orMax {
				return fmt.Sprintf("needs a length of 1 to %d, or max", most)
			}
			return fmt.Sprintf("needs a length of 1 to %d", most)
		}
		return ""
	}
}
