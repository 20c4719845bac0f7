// Package gobuild compiles Lambda functions with the go tool, without Docker and reproducibly.
package gobuild

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// compiled keeps what this process has compiled: the pipelines of an app share their functions.
var compiled sync.Map // of "<package> <architecture>" to func() (Program, error)

// Program is a compiled main package.
type Program struct {
	Binary []byte
	// SHA256 of the binary.
	SHA256 [sha256.Size]byte
}

// Compile gives the Linux binary of a main package for an architecture as Go calls it (arm64, amd64), compiled once in a
// process by the go tool on the PATH.
//
// The package is found from the working directory: in this module, or in one that requires it.
func Compile(goPackage, goarch string) (Program, error) {
	once, _ := compiled.LoadOrStore(goPackage+" "+goarch, sync.OnceValues(func() (Program, error) {
		b, err := build(".", goPackage, goarch)
		return Program{Binary: b, SHA256: sha256.Sum256(b)}, err
	}))
	return once.(func() (Program, error))()
}

// build gives the same bytes for the same source and Go version, in every directory and on every machine, so that a
// function is only deployed when it changed.
func build(dir, goPackage, goarch string) ([]byte, error) {
	out, err := os.MkdirTemp("", "gobuild-")
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", goPackage, err)
	}
	defer os.RemoveAll(out)
	binary := filepath.Join(out, "bootstrap")
	compile := exec.Command("go", "build",
		"-tags", "lambda.norpc", // without the RPC of a runtime that is gone
		"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", // nothing of this machine or checkout in the bytes
		"-o", binary, goPackage)
	compile.Dir = dir
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
	if output, err := compile.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling %s for %s: %w\n%s", goPackage, goarch, err, strings.TrimSpace(string(output)))
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", goPackage, err)
	}
	return b, nil
}
