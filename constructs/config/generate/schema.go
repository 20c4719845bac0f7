package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/constructs/config/internal/field"
)

// object is a JSON object; encoding/json writes its keys in alphabetical order, so the file is the same each time.
type object = map[string]any

// schemaBuilder collects the definitions of the structs. Draft 7 is what editors know best.
type schemaBuilder struct {
	comments    comments
	definitions object
}

// schemaFile gives cdk.schema.json: the whole of cdk.json, of which only "context" is ours.
func schemaFile(c comments) ([]byte, error) {
	b := schemaBuilder{comments: c, definitions: object{}}
	context, err := b.object(reflect.TypeFor[config.Config](), false)
	if err != nil {
		return nil, err
	}
	context["patternProperties"] = object{"^@|:|^acknowledged-issue-numbers$|^cdk-migrate$": object{"description": "The CDK's own: feature flags and what its command line remembers."}}

	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(object{
		"$schema":     "http://json-schema.org/draft-07/schema#",
		"$comment":    "Generated from constructs/config by go generate ./constructs/config. Do not edit.",
		"title":       "cdk.json of this project",
		"type":        "object",
		"required":    []string{"app", "context"},
		"definitions": b.definitions,
		"properties": object{
			"app":     object{"type": "string", "description": "The command that makes the templates."},
			"build":   object{"type": "string", "description": "The command that is run once before app."},
			"output":  object{"type": "string", "description": "Where the templates are written to."},
			"context": context,
		},
	})
	return out.Bytes(), err
}

// object gives the schema of a struct. As an override nothing is required, and null takes a value away.
func (b schemaBuilder) object(t reflect.Type, override bool) (object, error) {
	fields := field.Of(t)
	properties := object{}
	var required []string
	for _, f := range fields {
		value, err := b.value(f, override)
		if err != nil {
			return nil, err
		}
		if value["description"], err = b.comments.of(t.Name(), f.GoName); err != nil {
			return nil, err
		}
		if f.Default != "" && !override {
			value["default"] = literal(f, f.Default)
		}
		properties[f.Name] = value
		if f.Required {
			required = append(required, f.Name)
		}
	}
	schema := object{"type": "object", "properties": properties, "additionalProperties": false}
	if override {
		return schema, nil
	}
	if required != nil {
		schema["required"] = required
	}
	var all []object
	for _, choice := range field.Choices(fields) {
		var one []object
		for _, f := range choice {
			only := object{"required": []string{f.Name}}
			if f.Type.Kind() == reflect.Bool {
				only["properties"] = object{f.Name: object{"const": true}}
			}
			one = append(one, only)
		}
		all = append(all, object{"oneOf": one})
	}
	if all != nil {
		schema["allOf"] = all
	}
	return schema, nil
}

// value gives the schema of a key's value.
func (b schemaBuilder) value(f field.Field, override bool) (object, error) {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var value object
	switch {
	case t.Kind() == reflect.Struct:
		reference, err := b.reference(t, override)
		if err != nil {
			return nil, err
		}
		if override {
			return object{"anyOf": []object{reference, {"type": "null"}}}, nil
		}
		// Draft 7 ignores what stands beside a $ref: the description would be lost.
		return object{"allOf": []object{reference}}, nil
	case t.Kind() == reflect.Map:
		return b.entries(f, override)
	case t.Kind() == reflect.Slice:
		item := f
		item.Type = t.Elem()
		items, err := b.value(item, false)
		if err != nil {
			return nil, err
		}
		value = object{"type": "array", "items": items}
		if f.Required {
			value["minItems"] = 1
		}
		if f.Most > 0 {
			value["minItems"], value["maxItems"] = 1, f.Most
		}
	default:
		value = scalar(f, t)
	}
	if override {
		value["type"] = []any{value["type"], "null"}
		if enum, ok := value["enum"].([]any); ok {
			value["enum"] = append(enum, nil)
		}
	}
	return value, nil
}

func (b schemaBuilder) reference(t reflect.Type, override bool) (object, error) {
	name := t.Name()
	if override {
		name += "Override"
	}
	if _, made := b.definitions[name]; !made {
		b.definitions[name] = nil // A struct that holds itself would not end.
		definition, err := b.object(t, override)
		if err != nil {
			return nil, err
		}
		b.definitions[name] = definition
	}
	return object{"$ref": "#/definitions/" + name}, nil
}

// entries gives the schema of a map: environments, pipelines, overrides, rules of columns, hyperparameters.
func (b schemaBuilder) entries(f field.Field, override bool) (object, error) {
	switch item := f.Type.Elem(); {
	case item == reflect.TypeFor[json.RawMessage]():
		reference, err := b.reference(reflect.TypeFor[config.Pipeline](), true)
		return object{"type": "object", "additionalProperties": reference}, err
	case item.Kind() == reflect.Struct:
		reference, err := b.reference(item, override)
		entries := object{"type": "object", "additionalProperties": reference}
		if override {
			entries = object{"type": []string{"object", "null"}, "additionalProperties": object{"anyOf": []object{reference, {"type": "null"}}}}
		} else if f.Required {
			entries["minProperties"] = 1
		}
		return entries, err
	case f.Type == reflect.TypeFor[config.ImageParameters]():
		return anyStrings(override), nil
	case item.Kind() == reflect.String:
		return hyperparameters(override), nil
	default:
		return nil, fmt.Errorf("there is no schema for a map of %s", item)
	}
}

func hyperparameters(override bool) object {
	properties := object{}
	for name, form := range config.Hyperparameters() {
		properties[name] = object{"type": "string", "description": form}
		if override {
			properties[name] = object{"type": []string{"string", "null"}, "description": form}
		}
	}
	schema := object{"type": "object", "properties": properties, "additionalProperties": false}
	if !override {
		schema["required"] = []string{"num_round"}
	}
	return schema
}

func anyStrings(override bool) object {
	if override {
		return object{"type": []string{"object", "null"}, "additionalProperties": object{"type": []string{"string", "null"}}}
	}
	return object{"type": "object", "additionalProperties": object{"type": "string"}}
}

func scalar(f field.Field, t reflect.Type) object {
	value := object{}
	switch t.Kind() {
	case reflect.Bool:
		value["type"] = "boolean"
	case reflect.Int:
		value["type"] = "integer"
	case reflect.Float64:
		value["type"] = "number"
	default:
		value["type"] = "string"
		value["minLength"] = 1
	}
	if f.Min != nil {
		value["minimum"] = *f.Min
	}
	if f.Max != nil {
		value["maximum"] = *f.Max
	}
	if f.Pattern != nil {
		value["pattern"] = f.Pattern.String()
		value["patternErrorMessage"] = "write " + f.Form // VS Code shows it instead of the pattern.
	}
	if f.Enum != nil {
		var enum []any
		for _, allowed := range f.Enum {
			enum = append(enum, literal(f, allowed))
		}
		value["enum"] = enum
	}
	return value
}

// literal gives a tag's text as the JSON value that it stands for.
func literal(f field.Field, text string) any {
	switch f.Type.Kind() {
	case reflect.Bool:
		return text == "true"
	case reflect.Int, reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic(fmt.Sprintf("%s: %q is no number", f.GoName, text))
		}
		return x
	default:
		return text
	}
}

// sortedNames is for prose: maps have no order.
func sortedNames(m map[string]string) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int { return strings.Compare(strings.TrimPrefix(a, "_"), strings.TrimPrefix(b, "_")) })
}
