package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"sagemaker-datapipeline/test/local/report"
)

// tool is a program that the local environment needs.
type tool struct {
	name         string
	command      []string
	major, minor int
	remedy       string
}

// tools are looked at before anything starts. The Makefile looks too, because without Go nobody gets here.
func tools(python string) []tool {
	return []tool{
		{"go", []string{"go", "env", "GOVERSION"}, 1, 26, "install it from https://go.dev/dl"},
		{"node", []string{"node", "--version"}, 20, 0, "install it from https://nodejs.org"},
		{"python", []string{python, "--version"}, 3, 11, "run `make tools`"},
		{"cdk", []string{cdkCommand, "--version"}, 2, 1148, "run `make tools`"},
	}
}

var versionNumber = regexp.MustCompile(`(\d+)\.(\d+)(?:\.\d+)?`)

func checkTools(ctx context.Context, python string) ([]report.Version, error) {
	versions := []report.Version{{Tool: "machine", Version: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}}
	for _, t := range tools(python) {
		out, err := exec.CommandContext(ctx, t.command[0], t.command[1:]...).Output()
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("%s %d.%d or newer is missing (%s): %s", t.name, t.major, t.minor, firstLine(err.Error()), t.remedy)
		}
		m := versionNumber.FindStringSubmatch(string(out))
		if m == nil {
			return nil, fmt.Errorf("%s says %q, which holds no version: %s", t.name, firstLine(string(out)), t.remedy)
		}
		major, _ := strconv.Atoi(m[1])
		minor, _ := strconv.Atoi(m[2])
		if major < t.major || major == t.major && minor < t.minor {
			return nil, fmt.Errorf("%s is %s, it must be %d.%d or newer: %s", t.name, m[0], t.major, t.minor, t.remedy)
		}
		versions = append(versions, report.Version{Tool: t.name, Version: m[0]})
	}
	return versions, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// cdkCommand is the CDK CLI that package-lock.json pins.
const cdkCommand = "node_modules/.bin/cdk"

// pythonCommand is the interpreter that has test/local/aws/requirements.txt.
func pythonCommand() string {
	if p := os.Getenv("LOCAL_PYTHON"); p != "" {
		return p
	}
	return ".venv/bin/python"
}
