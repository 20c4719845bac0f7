// Package stacks tests the templates that the app makes of the project's cdk.json: one synthesis for all tests.
package stacks

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/constructs/config"
)

var update = flag.Bool("update", false, "write the golden templates anew")

// root is the directory of cdk.json.
const root = "../.."

// templates are the synthesised stacks by environment and name, as in templates["dev"]["fraud"].
var templates = map[string]map[string]template{}

// assemblyDir is where the templates are as files.
var assemblyDir string

func TestMain(m *testing.M) {
	flag.Parse()
	withoutValidator()
	if err := synthesise(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	jsii.Close()
	os.RemoveAll(assemblyDir)
	os.Exit(code)
}

// withoutValidator starts the tests again without the CDK's validator, which takes seconds and 430 MB;
// TestTheValidatorFindsNothing has it on. jsii has taken the environment for its Node.js process when main begins: setting
// the variable here would be too late.
func withoutValidator() {
	if os.Getenv("CDK_VALIDATION") != "" {
		return
	}
	jsii.Close() // removes what it unpacked
	err := syscall.Exec(os.Args[0], os.Args, append(os.Environ(), "CDK_VALIDATION=false"))
	fmt.Fprintln(os.Stderr, "starting the tests without the validator:", err)
	os.Exit(1)
}

// synthesise makes all stages with the context of cdk.json, which a test has to load by itself: other feature flags would
// make other templates than those that are deployed.
func synthesise() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("synthesising the stages: %v", r)
		}
	}()
	c, err := config.FromFile(filepath.Join(root, "cdk.json"))
	if err != nil {
		return err
	}
	if assemblyDir, err = os.MkdirTemp("", "stacks-"); err != nil {
		return err
	}
	app := newApp(contextOf(cdkJSON()))
	for name := range c.Environments {
		stage, err := constructs.NewStage(app, name, c)
		if err != nil {
			return err
		}
		templates[name] = map[string]template{}
		for _, stack := range *stage.Stage.Synth(nil).Stacks() {
			b, err := json.Marshal(stack.Template())
			if err != nil {
				return err
			}
			var t template
			if err := json.Unmarshal(b, &t); err != nil {
				return err
			}
			templates[name][filepath.Base(*stack.HierarchicalId())] = t
		}
	}
	app.Synth(nil)
	return nil
}

// newApp makes an app as the command line does, for which no stack was selected: functions aren't compiled.
func newApp(context map[string]any) awscdk.App {
	context["aws:cdk:bundling-stacks"] = []string{}
	return awscdk.NewApp(&awscdk.AppProps{
		Context: &context, Outdir: jsii.String(assemblyDir), AnalyticsReporting: jsii.Bool(false),
	})
}

// cdkJSON is the text of the project's cdk.json.
func cdkJSON() []byte {
	b, err := os.ReadFile(filepath.Join(root, "cdk.json"))
	if err != nil {
		panic(err)
	}
	return b
}

func contextOf(cdkJSON []byte) map[string]any {
	var file struct{ Context map[string]any }
	if err := json.Unmarshal(cdkJSON, &file); err != nil {
		panic(err)
	}
	return file.Context
}

// template is a template of CloudFormation.
type template struct {
	Resources map[string]resource
	Outputs   map[string]map[string]any
}

type resource struct {
	Type                string
	Properties          map[string]any
	DeletionPolicy      string
	UpdateReplacePolicy string
}

// of gives the resources of a type by their logical ids.
func (t template) of(kind string) map[string]resource {
	found := map[string]resource{}
	for id, r := range t.Resources {
		if r.Type == kind {
			found[id] = r
		}
	}
	return found
}

// only gives the resource of a type, of which there is one, or one whose logical id begins with prefix.
func (t template) only(tb testing.TB, kind, prefix string) resource {
	tb.Helper()
	var found []resource
	for id, r := range t.of(kind) {
		if len(id) >= len(prefix) && id[:len(prefix)] == prefix {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		tb.Fatalf("%d resources %s… of type %s, want one", len(found), prefix, kind)
	}
	return found[0]
}

// at gives what is at a path of keys below the properties, or nil.
func (r resource) at(path ...string) any {
	var v any = r.Properties
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// text is JSON on one line, to compare and to show: CloudFormation's functions included.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// each calls f for each stack of each environment.
func each(t *testing.T, f func(t *testing.T, environment, stack string, tpl template)) {
	t.Helper()
	for environment, stacks := range templates {
		for stack, tpl := range stacks {
			t.Run(environment+"/"+stack, func(t *testing.T) { f(t, environment, stack, tpl) })
		}
	}
}
