package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sagemaker-datapipeline/constructs/config"
)

func TestTheGeneratedFilesAreCurrent(t *testing.T) {
	dir := ".."
	files, err := generated(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the structs say: run go generate ./constructs/config", name)
		}
	}
}

func TestTheExampleInTheReferenceIsAWholeConfiguration(t *testing.T) {
	_, example, ok := strings.Cut(prose, "```json\n")
	if !ok {
		t.Fatal("the reference has no example")
	}
	example, _, _ = strings.Cut(example, "```")
	var file struct {
		Context json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal([]byte(example), &file); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Decode(file.Context, "../../.."); err != nil {
		t.Error(err)
	}
}

func TestTheSchemaTakesWhatTheProgramTakesAndNothingElse(t *testing.T) {
	const root = "../../.."
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(filepath.Join(root, "cdk.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(root, "cdk.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ from, to, want string }{
		"cdk.json as it is":                    {"", "", ""},
		"a misspelt key":                       {`"environments"`, `"environmnts"`, "additional properties 'environmnts' not allowed"},
		"a misspelt key in an override":        {`"demand": { "schedule": {`, `"demand": { "shedule": {`, "additional properties 'shedule' not allowed"},
		"an account that is a number":          {`"111111111111"`, `111111111111`, "got number, want string"},
		"an account with a letter":             {`"111111111111"`, `"11111111111x"`, "does not match pattern"},
		"an unknown task":                      {`"binary"`, `"multi"`, "value must be one of 'binary', 'regression'"},
		"more NAT gateways than there are":     {`"natGateways": 0`, `"natGateways": 60`, "maximum: got 60, want 6"},
		"two kinds of network":                 {`"network": { "none": true }`, `"network": { "none": true, "create": {} }`, "oneOf"},
		"no kind of network":                   {`"network": { "none": true }`, `"network": {}`, "oneOf"},
		"a misspelt hyperparameter":            {`"max_depth"`, `"max_dept"`, "additional properties 'max_dept' not allowed"},
		"a value that an override takes away":  {`"demand": { "schedule": {`, `"demand": { "export": { "memoryMiB": null }, "schedule": {`, ""},
		"another program's feature flag":       {`"project": "ml"`, `"project": "ml", "@acme/x:y": 1`, ""},
		"a wrong value in an override is seen": {`"demand": { "schedule": {`, `"demand": { "export": { "memoryMiB": 1 }, "schedule": {`, "minimum: got 1, want 128"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(file), test.from) {
				t.Fatalf("cdk.json has no %s to replace", test.from)
			}
			document, err := jsonschema.UnmarshalJSON(strings.NewReader(replace(string(file), test.from, test.to)))
			if err != nil {
				t.Fatal(err)
			}
			err = schema.Validate(document)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func replace(file, from, to string) string {
	if from == "" {
		return file
	}
	return strings.ReplaceAll(file, from, to)
}
