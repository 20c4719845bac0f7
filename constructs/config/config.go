// Package config holds the configuration: what cdk.json says about environments and pipelines.
//
// It is decoded strictly and validated completely before any construct is made: every problem at once, each with its
// JSON path, the value and the remedy. The structs are the only place where a key, its default and its limits are
// written down; cdk.schema.json and docs/configuration.md are generated from them.
//
// Nothing here imports the CDK, so that commands and tests can read the configuration without it.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/pipeline"
)

//go:generate go run ./generate

// Config is what "context" in cdk.json says. It comes from Decode or FromFile, never from a literal.
type Config struct {
	// Begins every name: stacks, functions, training jobs, models and endpoints are called
	// `<project>-<environment>-<pipeline>…`
	Project string `json:"project" default:"ml" pattern:"^[a-z][a-z0-9]*(-[a-z0-9]+)*$" form:"lower-case letters, digits and single hyphens, beginning with a letter"`
	// The places to deploy to, by name: one AWS account and region each. The name is the name of the CDK stage, as in
	// `cdk deploy 'dev/**'`.
	Environments map[string]Environment `json:"environments" required:"true"`
	// The models to keep trained, by name. An environment may override any value of a pipeline.
	Pipelines map[string]Pipeline `json:"pipelines" required:"true"`

	// merged holds, by environment and name, the enabled pipelines with the environment's overrides.
	merged map[string]map[string]Pipeline
}

// FromFile reads the "context" of a cdk.json. The files of queries and rules are looked up beside it. The error holds Problems
// where the configuration is at fault.
func FromFile(cdkJSONPath string) (*Config, error) {
	b, err := os.ReadFile(cdkJSONPath)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if _, err := parse(b, new(Problems)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", cdkJSONPath, err)
	}
	// A map and not a struct: a struct would also take "Context", which the CDK doesn't know.
	var file map[string]json.RawMessage
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("reading %s: %w", cdkJSONPath, err)
	}
	context, ok := file["context"]
	if !ok {
		return nil, fmt.Errorf(`%s has no "context": put "environments" and "pipelines" there`, cdkJSONPath)
	}
	c, err := Decode(context, filepath.Dir(cdkJSONPath))
	if err != nil {
		return nil, fmt.Errorf(`%s, "context": %w`, cdkJSONPath, err)
	}
	return c, nil
}

// Decode reads the context object of a cdk.json, whose files of queries and rules are below dir. It applies the defaults. The
// error is of type Problems where the configuration is at fault.
func Decode(context []byte, dir string) (*Config, error) {
	var problems Problems
	root, err := parse(context, &problems)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if root.kind != object {
		return nil, errors.New(`the configuration is not an object: write {"environments": …, "pipelines": …}`)
	}
	root.members = slices.DeleteFunc(root.members, func(m member) bool { return foreign(m.key) })

	var c Config
	decoder{&problems}.object(root, reflect.ValueOf(&c).Elem())
	v := validator{problems: &problems, malformed: slices.Clone(problems), files: projectFiles{dir: dir}}
	c.complete(v, root)
	c.merge(v, root)
	v.names(&c, root)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return &c, nil
}

// For gives an environment and its pipelines: those that are enabled in it, with its overrides merged in.
func (c *Config) For(environment string) (Environment, map[string]Pipeline, error) {
	e, ok := c.Environments[environment]
	if !ok {
		names := slices.Sorted(maps.Keys(c.Environments))
		hint := "it has " + strings.Join(names, ", ")
		if near := nearest(environment, names); near != "" {
			hint = fmt.Sprintf("did you mean %q? It has %s", near, strings.Join(names, ", "))
		}
		return Environment{}, nil, fmt.Errorf("the configuration has no environment %q: %s", environment, hint)
	}
	return e, maps.Clone(c.merged[environment]), nil
}

// foreign says whether a key of the context belongs to the CDK: feature flags (@aws-cdk/…), what its command line
// remembers of a look-up (availability-zones:account=…), and its own settings.
func foreign(key string) bool {
	return strings.HasPrefix(key, "@") || strings.Contains(key, ":") || key == "acknowledged-issue-numbers" || key == "cdk-migrate"
}

// complete applies the defaults that depend on other values, and validates what stands in the file itself: environments
// and pipelines before any override.
func (c *Config) complete(v validator, root *node) {
	for name, e := range c.Environments {
		n := root.member("environments").member(name)
		if n.member("terminationProtection").absent() {
			e.TerminationProtection = !e.RemoveData
		}
		v.environment(e, n)
		c.Environments[name] = e
	}
	for name, p := range c.Pipelines {
		n := root.member("pipelines").member(name)
		p.complete(name)
		v.pipeline(&p, n)
		c.Pipelines[name] = p
	}
}

// merge makes the pipelines of each environment and validates those that it overrides.
func (c *Config) merge(v validator, root *node) {
	c.merged = make(map[string]map[string]Pipeline, len(c.Environments))
	for environment, e := range c.Environments {
		merged := maps.Clone(c.Pipelines)
		overrides := root.member("environments").member(environment).member("pipelines")
		for name := range e.Pipelines {
			over := overrides.member(name)
			base := root.member("pipelines").member(name)
			switch {
			case base == nil:
				v.unknownPipeline(over.path, name, slices.Sorted(maps.Keys(c.Pipelines)))
			case over.kind == null:
			case over.kind != object:
				v.problems.add(over.path, over.said(), `write an object with the values that differ; {"enabled": false} leaves the pipeline out`)
			default:
				merged[name] = v.override(environment, name, base, over)
			}
		}
		maps.DeleteFunc(merged, func(_ string, p Pipeline) bool { return p.Enabled != nil && !*p.Enabled })
		n := root.member("environments").member(environment)
		v.replicaReaders(e, n, merged)
		v.imageRegions(e, n, merged)
		v.serverlessNetworks(e, n, merged)
		c.merged[environment] = merged
	}
}

// override merges an environment's values over a pipeline, and adds the problems that the pipeline alone doesn't have.
func (v validator) override(environment, name string, base, over *node) Pipeline {
	merged := merge(base, over)
	var p Pipeline
	var found Problems
	decoder{&found}.object(merged, reflect.ValueOf(&p).Elem())
	p.complete(name)
	validator{problems: &found, malformed: slices.Clone(found), files: v.files}.pipeline(&p, merged)

	for _, problem := range found {
		ofBase := problem
		if rest, ok := strings.CutPrefix(problem.Path, over.path); ok && within(problem.Path, over.path) {
			ofBase.Path = base.path + rest
		} else if !slices.Contains(*v.problems, problem) {
			// The value is the pipeline's own, and wrong only beside what the environment says.
			problem.Got += fmt.Sprintf(", in the environment %q", environment)
		}
		if !slices.Contains(*v.problems, ofBase) {
			v.problems.add(problem.Path, problem.Got, problem.Remedy)
		}
	}
	return p
}

// complete applies the defaults that aren't constants.
func (p *Pipeline) complete(name string) {
	if p.Enabled == nil {
		p.Enabled = new(true)
	}
	if p.Source.OnChange == "" {
		p.Source.OnChange = pipeline.NewGeneration
		if p.Source.Load == pipeline.Append {
			p.Source.OnChange = pipeline.FailOnChange
		}
	}
	if p.Dataset.Split.Salt == "" && p.Dataset.Split.Time == nil {
		p.Dataset.Split.Salt = name
	}
	p.Quality.complete(p.Source.Load)
	p.Training.complete()
	p.Gate.complete(p.Dataset)
	p.Endpoint.complete(p.Training)
}
