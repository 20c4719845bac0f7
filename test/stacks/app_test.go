package stacks

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run starts the app as the command line does: compiled, with the context in the environment, and here without anything of
// AWS in it.
func run(t *testing.T, context map[string]any, environment ...string) (output string, assembly string, exit int) {
	t.Helper()
	return runIn(t, root, context, environment...)
}

func runIn(t *testing.T, dir string, context map[string]any, environment ...string) (output string, assembly string, exit int) {
	t.Helper()
	b, err := json.Marshal(context)
	if err != nil {
		t.Fatal(err)
	}
	assembly = t.TempDir()
	app := exec.Command(binary(t))
	app.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "CDK_") {
			app.Env = append(app.Env, v)
		}
	}
	app.Env = append(app.Env, "CDK_OUTDIR="+assembly, "CDK_CONTEXT_JSON="+string(b), "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	app.Env = append(app.Env, environment...)
	out, err := app.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out), assembly, app.ProcessState.ExitCode()
}

var compiledApp string

func binary(t *testing.T) string {
	t.Helper()
	if compiledApp == "" {
		path := filepath.Join(assemblyDir, "app")
		if out, err := exec.Command("go", "build", "-o", path, root).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		compiledApp = path
	}
	return compiledApp
}

// context is that of cdk.json, for which no stack was selected: functions aren't compiled.
func context() map[string]any {
	c := contextOf(cdkJSON())
	c["aws:cdk:bundling-stacks"] = []string{}
	return c
}

// accepted are the findings of the validator that stay, and why.
var accepted = map[string]string{
	"W9008": "dev has SQL Server Express, which RDS can't encrypt at rest; the construct warns of it in its own words",
	"Annotation::sagemaker-datapipeline:express-not-encrypted": "is that warning",
}

func TestTheValidatorFindsNothing(t *testing.T) {
	output, assembly, exit := run(t, context())
	if exit != 0 {
		t.Fatalf("the app ended with %d:\n%s", exit, output)
	}
	b, err := os.ReadFile(filepath.Join(assembly, "validation-report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		PluginReports []struct {
			PluginName string
			Violations []struct{ RuleName, Description, Severity string }
		}
	}
	if err := json.Unmarshal(b, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.PluginReports) == 0 {
		t.Fatalf("the validator reported nothing at all: %s", b)
	}
	for _, plugin := range report.PluginReports {
		for _, v := range plugin.Violations {
			if accepted[v.RuleName] == "" {
				t.Errorf("%s: %s %s: %s", plugin.PluginName, v.Severity, v.RuleName, v.Description)
			}
		}
	}
}

func TestNothingIsLookedUp(t *testing.T) {
	output, assembly, exit := run(t, context(), "CDK_VALIDATION=false")
	if exit != 0 {
		t.Fatalf("the app ended with %d:\n%s", exit, output)
	}
	manifests := 0
	err := filepath.WalkDir(assembly, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "manifest.json" {
			return err
		}
		manifests++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var manifest struct {
			Missing   []any
			Artifacts map[string]struct {
				Type        string
				Environment string
			}
		}
		if err := json.Unmarshal(b, &manifest); err != nil {
			return err
		}
		if len(manifest.Missing) > 0 {
			t.Errorf("%s asks AWS for %s", path, text(manifest.Missing))
		}
		for name, artifact := range manifest.Artifacts {
			if artifact.Type == "aws:cloudformation:stack" && strings.Contains(artifact.Environment, "unknown") {
				t.Errorf("%s has no account or region: %s", name, artifact.Environment)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if manifests != 5 {
		t.Errorf("%d assemblies, want the app's and four environments'", manifests)
	}
}

func TestOneEnvironmentCanBeMadeAlone(t *testing.T) {
	c := context()
	c["environment"] = "local"
	_, assembly, exit := run(t, c, "CDK_VALIDATION=false")
	stages, err := filepath.Glob(filepath.Join(assembly, "assembly-*"))
	if err != nil {
		t.Fatal(err)
	}
	if exit != 0 || len(stages) != 1 || filepath.Base(stages[0]) != "assembly-local" {
		t.Errorf("-c environment=local made %v and ended with %d", stages, exit)
	}
}

// TestAMistakeIsOneMessage holds what a person sees: everything that is wrong, and neither a stack of Go nor of JavaScript.
func TestAMistakeIsOneMessage(t *testing.T) {
	in := func(m map[string]any, path ...string) map[string]any {
		for _, key := range path {
			m = m[key].(map[string]any)
		}
		return m
	}
	for name, c := range map[string]struct {
		change func(context map[string]any)
		want   []string
	}{
		"an environment without an account, and an unknown key": {
			func(c map[string]any) {
				delete(in(c, "environments", "dev"), "account")
				in(c, "pipelines", "fraud")["sheduel"] = 1
			},
			[]string{"environments.dev.account", "sheduel", "schedule"},
		},
		"an environment on the command line that is not there": {
			func(c map[string]any) { c["environment"] = "qa" },
			[]string{"-c environment=qa: there is no such environment in cdk.json, but dev, local, prod, staging"},
		},
		"a network that a construct refuses": {
			func(c map[string]any) {
				in(c, "environments", "dev")["availabilityZones"] = []string{"eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"}
			},
			[]string{"one to three availability zones, not 4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			context := context()
			c.change(context)
			output, assembly, exit := run(t, context, "CDK_VALIDATION=false")
			if exit != 1 {
				t.Errorf("the app ended with %d, want 1", exit)
			}
			for _, want := range c.want {
				if !strings.Contains(output, want) {
					t.Errorf("the message doesn't say %q", want)
				}
			}
			for _, noise := range []string{"goroutine ", ".go:", "    at ", "panic:", "exited abnormally"} {
				if strings.Contains(output, noise) {
					t.Errorf("the message holds %q, which is for the authors of the tools", noise)
				}
			}
			if t.Failed() {
				t.Logf("the whole output:\n%s", output)
			}
			if files, _ := filepath.Glob(filepath.Join(assembly, "manifest.json")); len(files) > 0 {
				t.Error("an assembly was written, and the command line would deploy it")
			}
		})
	}
}

func TestAPipelineThatIsWrittenTwiceIsNotSilentlyTheLast(t *testing.T) {
	dir := t.TempDir()
	twice := strings.Replace(string(cdkJSON()), `"churn": {
        "description"`, `"fraud": {
        "description"`, 1)
	if twice == string(cdkJSON()) {
		t.Fatal("cdk.json has no churn to rename")
	}
	if err := os.WriteFile(filepath.Join(dir, "cdk.json"), []byte(twice), 0o644); err != nil {
		t.Fatal(err)
	}
	output, _, exit := runIn(t, dir, context(), "CDK_VALIDATION=false")
	if exit != 1 || !strings.Contains(output, "pipelines.fraud") || !strings.Contains(output, "is written twice") {
		t.Errorf("the app ended with %d and said:\n%s", exit, output)
	}
}
