package constructs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// compiled keeps the functions that this process has compiled: pipelines share them.
var compiled sync.Map // of "<package> <goarch>" to func() ([]byte, error)

// compile gives the Linux binary of a main package, compiled by the go tool on the PATH and without Docker. The same
// source gives the same bytes in every directory and on every machine, so a function is only deployed when it changed.
//
// The package is found from the working directory: in this module, or in one that requires it.
func compile(goPackage, goarch string) ([]byte, error) {
	once, _ := compiled.LoadOrStore(goPackage+" "+goarch, sync.OnceValues(func() ([]byte, error) {
		return goBuild(".", goPackage, goarch)
	}))
	return once.(func() ([]byte, error))()
}

func goBuild(dir, goPackage, goarch string) ([]byte, error) {
	out, err := os.MkdirTemp("", "compile-")
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", goPackage, err)
	}
	defer os.RemoveAll(out)
	binary := filepath.Join(out, "bootstrap")
	build := exec.Command("go", "build",
		"-tags", "lambda.norpc", // without the RPC of a runtime that is gone
		"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", // nothing of this machine or checkout in the bytes
		"-o", binary, goPackage)
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling %s for %s: %w:\n%s", goPackage, goarch, err, strings.TrimSpace(string(output)))
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", goPackage, err)
	}
	return b, nil
}
