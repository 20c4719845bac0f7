// Package deploymenttest puts a test where a function would be deployed.
package deploymenttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Put puts the spec where a function finds it: beside the binary, which here is the test's own.
func Put(t *testing.T, spec pipeline.Spec) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(binary), pipeline.FileName)
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
}
