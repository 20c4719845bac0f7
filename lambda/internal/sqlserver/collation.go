package sqlserver

import (
	"context"
	"fmt"
	"strings"
)

// UTF8 says that the column's text is UTF-8 where it is stored. The driver knows nothing of such collations and would read its bytes in a code
// page, so the server has to send it as Unicode.
func (c Column) UTF8() bool {
	return (c.Type == "char" || c.Type == "varchar") && strings.HasSuffix(strings.ToUpper(c.Collation), "_UTF8")
}

// Unicode is the type of national characters that holds the column's text: a text of n bytes in UTF-8 has n characters at most.
func (c Column) Unicode() string {
	const mostCharacters = 4000
	if c.Length < 1 || c.Length > mostCharacters {
		return "nvarchar(max)"
	}
	return fmt.Sprintf("nvarchar(%d)", c.Length)
}

// CollateResult gives the columns of a statement that Describe made their collations, as far as the server tells them. Where it doesn't, a column
// has the database's: that is what most columns have.
func (s *Session) CollateResult(ctx context.Context, st Statement, columns []Column) error {
	needed := false
	for _, c := range columns {
		needed = needed || (c.Type == "char" || c.Type == "varchar") && c.Collation == ""
	}
	if !needed {
		return nil
	}
	_, arguments := executeSQL(st)
	rows, known, err := s.ask(ctx, "the collations of the result", "SELECT name, collation_name FROM sys.dm_exec_describe_first_result_set(@sql, @declared, 0) ORDER BY column_ordinal",
		Param{Name: "sql", Type: "nvarchar(max)", Value: st.Text}, Param{Name: "declared", Type: "nvarchar(max)", Value: arguments[1]})
	if err != nil {
		return err
	}
	if known && len(rows) == len(columns) {
		for i, row := range rows {
			if collation, ok := row[1].(string); ok && columns[i].Collation == "" {
				columns[i].Collation = collation
			}
		}
		return nil
	}
	rows, _, err = s.ask(ctx, "the database's collation", "SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128))")
	if err != nil || len(rows) != 1 {
		return err
	}
	collation, _ := rows[0][0].(string)
	for i, c := range columns {
		if (c.Type == "char" || c.Type == "varchar") && c.Collation == "" {
			columns[i].Collation = collation
		}
	}
	return nil
}
