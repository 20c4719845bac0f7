package stacks

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ignored are cfn-lint's rules that don't hold here, and why.
var ignored = map[string]string{
	"W3005": "a DependsOn that repeats what a reference says; the CDK writes both",
	"W3010": "zones in the template; they are configuration, so that nothing is looked up while templates are made",
}

func TestCfnLintFindsNothing(t *testing.T) {
	lint, err := filepath.Abs(filepath.Join(root, ".venv", "bin", "cfn-lint"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lint); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s isn't installed; make test installs it", lint)
	}
	files, err := filepath.Glob(filepath.Join(assemblyDir, "assembly-*", "*.template.json"))
	if err != nil || len(files) != 20 {
		t.Fatalf("%d templates (%v), want 20", len(files), err)
	}
	var rules []string
	for rule := range ignored {
		rules = append(rules, "--ignore-checks", rule)
	}
	command := exec.Command(lint, append(append(rules, "--"), files...)...)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, output)
	}
}
