package grants_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sqlc-dev/teesql/ast"
	"github.com/sqlc-dev/teesql/parser"
)

// script reads the script with what sqlcmd would put for its variables, and without the lines that only sqlcmd reads.
func script(t *testing.T) (raw, substituted string) {
	t.Helper()
	b, err := os.ReadFile("export-login.sql")
	if err != nil {
		t.Fatal(err)
	}
	substituted = strings.NewReplacer(
		"$(ExportLogin)", "pipeline_export",
		"$(ExportPassword)", "a password of 24 letters",
		"$(DatabaseName)", "shop",
		"$(Tables)", "dbo.Transactions,dbo.Customers",
		"$(See)", "transactions,policies",
		":on error exit", "",
	).Replace(string(b))
	return string(b), substituted
}

func TestTheScriptIsTSQL(t *testing.T) {
	_, text := script(t)
	parsed, err := parser.Parse(context.Background(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(text, "\nGO\n"); len(parsed.Batches) != want {
		t.Errorf("the script has %d batches, want %d", len(parsed.Batches), want)
	}
	var throws, executes int
	for _, batch := range parsed.Batches {
		for _, statement := range batch.Statements {
			switch s := statement.(type) {
			case *ast.IfStatement:
				if _, ok := s.ThenStatement.(*ast.ThrowStatement); ok {
					throws++
				}
			case *ast.ExecuteStatement:
				executes++
			}
		}
	}
	// The parser skips what it doesn't know, so what matters is counted.
	if throws != 3 || executes != 6 {
		t.Errorf("the parser saw %d refusals and %d statements to execute, want 3 and 6", throws, executes)
	}
}

func TestTheScriptGrantsSelectAndWhatItIsAskedFor(t *testing.T) {
	raw, _ := script(t)
	var code []string
	for line := range strings.Lines(raw) {
		before, _, _ := strings.Cut(line, "--")
		code = append(code, before)
	}
	text := strings.Join(code, "")
	grants := regexp.MustCompile(`GRANT [^\n]*`).FindAllString(text, -1)
	want := []string{
		"GRANT ' + @transactions + N' TO ' + QUOTENAME(@login);",
		"GRANT SELECT ON ' + QUOTENAME(OBJECT_SCHEMA_NAME(@object)) + N'.' + QUOTENAME(OBJECT_NAME(@object)) + N' TO [pipeline_reader]';",
		"GRANT ' + @statistics + N' TO [pipeline_reader]';",
		"GRANT VIEW DEFINITION TO [pipeline_reader]; GRANT SELECT ON sys.sql_expression_dependencies TO [pipeline_reader]';",
	}
	if !slices.Equal(grants, want) {
		t.Errorf("the script grants %q, want %q", grants, want)
	}
	if granted, revoked := strings.Count(text, "GRANT "), strings.Count(text, "REVOKE "); granted != revoked {
		t.Errorf("%d kinds of rights are granted and %d are taken back: what an earlier run granted would stay", granted, revoked)
	}
	// A right on the server may be one that the administrator of a database can't take back, and nobody gave.
	if before, _, _ := strings.Cut(text, "REVOKE ' + @transactions"); !strings.Contains(before, "ELSE IF EXISTS (SELECT 1 FROM sys.server_permissions") {
		t.Error("the right on the server is taken back without a look at whether it is there")
	}
	for word, permissions := range map[string][]string{
		"transactions": {"VIEW SERVER PERFORMANCE STATE", "VIEW SERVER STATE"},
		"statistics":   {"VIEW DATABASE PERFORMANCE STATE", "VIEW DATABASE STATE"},
	} {
		if !strings.Contains(text, "N',"+word+",'") {
			t.Errorf("-v See=%s does nothing", word)
		}
		if want := "THEN N'" + permissions[0] + "' ELSE N'" + permissions[1] + "' END;"; !strings.Contains(text, want) {
			t.Errorf("-v See=%s doesn't choose among %q", word, permissions)
		}
	}
	if strings.Contains(text, "UNMASK") {
		t.Error("the script takes masks off, which is for the data's owner to decide")
	}
	if !strings.Contains(text, "DENY INSERT, UPDATE, DELETE, ALTER TO ") {
		t.Error("the script doesn't deny writing")
	}
	for _, role := range []string{"db_owner", "db_datareader", "db_datawriter", "SERVER ROLE"} {
		if strings.Contains(text, role) {
			t.Errorf("the script gives %s, which is more than the tables", role)
		}
	}
}

func TestTheScriptTakesTheVariablesThatItsExampleGives(t *testing.T) {
	raw, _ := script(t)
	used := map[string]bool{}
	for _, variable := range regexp.MustCompile(`\$\(([A-Za-z]+)\)`).FindAllStringSubmatch(raw, -1) {
		used[variable[1]] = true
	}
	header, _, _ := strings.Cut(raw, ":on error exit")
	for variable := range used {
		if !regexp.MustCompile(`(export ` + variable + `\b|\s` + variable + `=)`).MatchString(header) {
			t.Errorf("the example gives no %s", variable)
		}
	}
	if strings.Contains(header, "ExportPassword=") || len(used) != 5 {
		t.Errorf("the script takes %v; the password doesn't belong on the command line", used)
	}
	// sqlcmd looks for variables in comments too, and stops at one that it can't read.
	if opened := strings.Count(raw, "$("); opened != len(regexp.MustCompile(`\$\([A-Za-z]+\)`).FindAllString(raw, -1)) {
		t.Error("the script has a $( that is no variable")
	}
}
