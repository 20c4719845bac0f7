package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/constructs/config/internal/field"
)

//go:embed configuration.md.tmpl
var prose string

// referenceFile gives docs/configuration.md: prose by hand around tables from the structs.
func referenceFile(c comments) ([]byte, error) {
	t, err := template.New("configuration.md").Parse(prose)
	if err != nil {
		return nil, err
	}
	tables, err := tables(c)
	if err != nil {
		return nil, err
	}
	var parameters strings.Builder
	forms := config.Hyperparameters()
	for _, name := range sortedNames(forms) {
		fmt.Fprintf(&parameters, "| `%s` | %s |\n", name, cell(forms[name]))
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Tables":          tables,
		"Hyperparameters": parameters.String(),
		"LongestPrefix":   config.LongestPrefix,
	})
	return out.Bytes(), err
}

// tables writes a section for each object, depth first from the top.
func tables(c comments) (string, error) {
	var b strings.Builder
	err := section(&b, c, "", reflect.TypeFor[config.Config]())
	return strings.TrimSpace(b.String()), err
}

func section(b *strings.Builder, c comments, path string, t reflect.Type) error {
	if path == "" {
		b.WriteString("\n### At the top of `context`\n\n")
	} else {
		fmt.Fprintf(b, "\n### `%s`\n\n", path)
		b.WriteString(sentence(c[t.Name()], t.Name()) + "\n\n")
	}
	b.WriteString("| key | takes | default | meaning |\n|---|---|---|---|\n")
	fields := field.Of(t)
	for _, f := range fields {
		comment, err := c.of(t.Name(), f.GoName)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Name, cell(takes(f)), cell(byDefault(f)), cell(comment))
	}
	for _, f := range fields {
		below := f.Type
		name := f.Name
		switch below.Kind() {
		case reflect.Pointer:
			below = below.Elem()
		case reflect.Map:
			below = below.Elem()
			name += ".<name>"
		}
		if below.Kind() != reflect.Struct {
			continue
		}
		if path != "" {
			name = path + "." + name
		}
		if err := section(b, c, name, below); err != nil {
			return err
		}
	}
	return nil
}

// sentence is a type's comment without its Go name: "Environment is one place" becomes "One place".
func sentence(comment, name string) string {
	comment = strings.TrimPrefix(strings.TrimPrefix(comment, name+" "), "is ")
	return strings.ToUpper(comment[:1]) + comment[1:]
}

func takes(f field.Field) string {
	if f.Type == reflect.TypeFor[map[string]json.RawMessage]() {
		return "an object: parts of pipelines, by name"
	}
	if f.Type.Kind() == reflect.Map {
		return "an object, by name"
	}
	return f.Wanted()
}

func byDefault(f field.Field) string {
	switch {
	case f.OneOf != "":
		return "exactly one of these"
	case f.Required:
		return "**needed**"
	case f.DefaultText != "":
		return f.DefaultText
	case f.Default != "":
		return "`" + f.Default + "`"
	case f.Type.Kind() == reflect.Slice || f.Type.Kind() == reflect.Map:
		return "none"
	case f.Type.Kind() == reflect.Struct:
		return "the defaults of its keys"
	default:
		return "none"
	}
}

// cell keeps a text in one cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
