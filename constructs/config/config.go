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
	"fmt"
	"os"
)

//go:generate go run ./generate

// Config is what "context" in cdk.json says. It comes from Decode or FromFile, never from a literal.
type Config struct {
	// Begins every name: stacks, functions, training jobs, models and endpoints are called
	// <project>-<environment>-<pipeline>…
	Project string `json:"project" default:"ml"`
	// The places to deploy to, by name: one AWS account and region each. The name is the name of the CDK stage, as in
	// `cdk deploy 'dev/**'`.
	Environments map[string]Environment `json:"environments" required:"true"`
	// The models to keep trained, by name. An environment may override any value of a pipeline.
	Pipelines map[string]Pipeline `json:"pipelines" required:"true"`

	// merged holds, by environment and name, the enabled pipelines with the environment's overrides.
	merged map[string]map[string]Pipeline
}

// FromFile reads the "context" of a cdk.json. The files of queries are looked up beside it.
func FromFile(cdkJSONPath string) (*Config, error) {
	b, err := os.ReadFile(cdkJSONPath)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var file struct {
		Context json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("reading %s: %w", cdkJSONPath, err)
	}
	return Decode(file.Context, ".")
}

// Decode reads the context object of a cdk.json, whose files of queries are below dir. It applies the defaults. The
// error is of type Problems where the configuration is at fault.
func Decode(context []byte, dir string) (*Config, error) {
	var c Config
	if err := json.Unmarshal(context, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// For gives an environment and its pipelines: those that are enabled in it, with its overrides merged in.
func (c *Config) For(environment string) (Environment, map[string]Pipeline, error) {
	e, ok := c.Environments[environment]
	if !ok {
		return Environment{}, nil, fmt.Errorf("there is no environment %q in cdk.json", environment)
	}
	return e, c.merged[environment], nil
}
