package gobuild

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module is a small function with a dependency of its own, in a directory that the test chooses.
var module = map[string]string{
	"go.mod":         "module example.com/functions\n\ngo 1.26\n",
	"hello/main.go":  "package main\n\nimport \"example.com/functions/word\"\n\nfunc main() { println(word.Hello) }\n",
	"word/word.go":   "package word\n\nimport \"runtime\"\n\nvar Hello = func() string { _, file, _, _ := runtime.Caller(0); return file }()\n",
	"broken/main.go": "package main\n\nfunc main() { undefinedThing() }\n",
}

func writeModule(t *testing.T, dir string) string {
	t.Helper()
	for name, content := range module {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTheSameSourceGivesTheSameBytesInEveryDirectory(t *testing.T) {
	here, err := build(writeModule(t, t.TempDir()), "example.com/functions/hello", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	there, err := build(writeModule(t, filepath.Join(t.TempDir(), "another", "checkout")), "example.com/functions/hello", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(here, there) {
		t.Errorf("two checkouts of one source give different binaries (%d and %d bytes): every deployment would replace the functions", len(here), len(there))
	}
}

func TestTheBinaryIsForTheArchitectureThatWasAsked(t *testing.T) {
	dir := writeModule(t, t.TempDir())
	for goarch, machine := range map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64} {
		b, err := build(dir, "example.com/functions/hello", goarch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine {
			t.Errorf("the binary for %s is for %s", goarch, f.Machine)
		}
		if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
			t.Errorf("the binary for %s needs the libraries %v (%v); Lambda's provided runtime has none", goarch, libraries, err)
		}
	}
}

func TestAnErrorOfTheCompilerIsShownWhole(t *testing.T) {
	_, err := build(writeModule(t, t.TempDir()), "example.com/functions/broken", "arm64")
	if err == nil {
		t.Fatal("a package that doesn't compile gave no error")
	}
	for _, want := range []string{"compiling example.com/functions/broken for arm64", "undefined: undefinedThing", "main.go:3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error doesn't say %q:\n%v", want, err)
		}
	}
}
