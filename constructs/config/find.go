package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Find gives one pipeline of an environment, with the environment's overrides merged in. Where there is none it names those that there are,
// and the one that was probably meant.
func (c *Config) Find(environment, pipeline string) (Environment, Pipeline, error) {
	e, pipelines, err := c.For(environment)
	if err != nil {
		return Environment{}, Pipeline{}, err
	}
	p, ok := pipelines[pipeline]
	if ok {
		return e, p, nil
	}
	if _, disabled := c.Pipelines[pipeline]; disabled {
		return Environment{}, Pipeline{}, fmt.Errorf(`the pipeline %q is not enabled in the environment %q: take "enabled": false away and deploy`, pipeline, environment)
	}
	names := slices.Sorted(maps.Keys(pipelines))
	hint := "it has " + strings.Join(names, ", ")
	if near := nearest(pipeline, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? It has %s", near, strings.Join(names, ", "))
	}
	return Environment{}, Pipeline{}, fmt.Errorf("the environment %q has no pipeline %q: %s", environment, pipeline, hint)
}
