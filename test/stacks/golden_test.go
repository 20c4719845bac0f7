package stacks

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestTemplatesAreTheGoldenOnes shows what a change does to the templates of every environment. The hash of an asset
// depends on the functions' source, and the definitions of the state machines have tests of their own: both are left out.
func TestTemplatesAreTheGoldenOnes(t *testing.T) {
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		got := normalised(t, tpl)
		golden := filepath.Join("testdata", environment, stack+".json")
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatalf("%v; is the stack new? go test ./test/stacks -update", err)
		}
		if line, g, w := firstDifference(got, want); line > 0 {
			t.Errorf("the template differs from %s, first in line %d:\n got: %s\nwant: %s\nIs the change meant? go test ./test/stacks -update, and read the difference", golden, line, g, w)
		}
	})
}

var assetHash = regexp.MustCompile(`[0-9a-f]{64}\.zip`)

func normalised(t *testing.T, tpl template) []byte {
	t.Helper()
	for id, machine := range tpl.of("AWS::StepFunctions::StateMachine") {
		properties := maps.Clone(machine.Properties)
		properties["DefinitionString"] = "(see exportmap_test.go and test/workflow)"
		resources := maps.Clone(tpl.Resources)
		machine.Properties = properties
		resources[id] = machine
		tpl.Resources = resources
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(tpl); err != nil {
		t.Fatal(err)
	}
	return assetHash.ReplaceAll(b.Bytes(), []byte("<asset>.zip"))
}

func firstDifference(got, want []byte) (line int, g, w string) {
	gots, wants := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(gots), len(wants)) {
		g, w := "(the end)", "(the end)"
		if i < len(gots) {
			g = string(gots[i])
		}
		if i < len(wants) {
			w = string(wants[i])
		}
		if g != w {
			return i + 1, g, w
		}
	}
	return 0, "", ""
}
