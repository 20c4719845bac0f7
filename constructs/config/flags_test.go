package config

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Without its recommended flags the CDK library falls back to what its first versions did.
func TestTheProjectsFileCarriesTheRecommendedFeatureFlags(t *testing.T) {
	file, err := os.ReadFile("../../cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	var cdk struct {
		Context map[string]json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(file, &cdk); err != nil {
		t.Fatal(err)
	}
	flags := recommendedFlags(t)
	if len(flags) < 80 {
		t.Fatalf("the library recommends %d flags; its package has another form than this test knows", len(flags))
	}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if got, want := compact(t, cdk.Context[name]), compact(t, flags[name]); got != want {
			t.Errorf("cdk.json has %q: %s, the library recommends %s", name, got, want)
		}
	}
	if got := string(cdk.Context["@aws-cdk/core:validateAgainstDefaultRules"]); got != "true" {
		t.Errorf("findings of the template validator must fail the synth, but validateAgainstDefaultRules is %q", got)
	}
}

func compact(t *testing.T, value json.RawMessage) string {
	t.Helper()
	if value == nil {
		return "nothing"
	}
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// recommendedFlags reads them from the package that the Go library brings with it, in the version of go.mod.
func recommendedFlags(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	const library = "github.com/aws/aws-cdk-go/awscdk/v2"
	out, err := exec.Command("go", "mod", "download", "-json", library).Output()
	if err != nil {
		t.Fatalf("looking for %s: %v", library, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	packages, err := filepath.Glob(filepath.Join(module.Dir, "jsii", "aws-cdk-lib-*.tgz"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("%s has the packages %v (%v), want one", module.Dir, packages, err)
	}
	f, err := os.Open(packages[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("%s has no recommended-feature-flags.json", packages[0])
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Name != "package/recommended-feature-flags.json" {
			continue
		}
		var flags map[string]json.RawMessage
		if err := json.NewDecoder(archive).Decode(&flags); err != nil {
			t.Fatal(err)
		}
		return flags
	}
}
