// Package field reads what the configuration's structs say about their keys: name, default, limits.
//
// The tags of a struct field are
//
//	json         the key
//	required     "true": the key has to be there, and not empty
//	default      the value where the key is missing
//	defaultText  the default in words, where it isn't a constant
//	enum         the allowed values, comma-separated
//	notYet       "value: why": a value that somebody will look for and that isn't allowed, with what to write instead
//	min, max     the smallest and the largest number
//	limit        where min, max or enum come from
//	pattern      a regular expression for a string, or for each string of a list
//	form         the pattern in words
//	most         how many items a list has at most
//	oneOf        exactly one of the struct's keys with this word has to be there
package field

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Field is one key of an object.
type Field struct {
	// Name is the key in JSON, GoName the field that holds it, Type its type and Index its place in the struct.
	Name, GoName string
	Type         reflect.Type
	Index        int

	Required    bool
	Default     string // "" is no default
	DefaultText string
	Enum        []string
	NotYet      string
	Min, Max    *float64
	Limit       string
	Pattern     *regexp.Regexp
	Form        string
	OneOf       string
	Most        int // of a list; 0: no limit
}

var known sync.Map // reflect.Type → []Field

// Of gives the keys of a struct type in the order in which they are written. A tag that can't be read is a mistake in the
// program and panics.
func Of(t reflect.Type) []Field {
	if fields, ok := known.Load(t); ok {
		return fields.([]Field)
	}
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("json")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("%s.%s has no json tag", t.Name(), f.Name))
		}
		field := Field{
			Name:        name,
			GoName:      f.Name,
			Type:        f.Type,
			Index:       i,
			Required:    f.Tag.Get("required") == "true",
			Default:     f.Tag.Get("default"),
			DefaultText: f.Tag.Get("defaultText"),
			Min:         number(f.Tag.Get("min")),
			Max:         number(f.Tag.Get("max")),
			NotYet:      f.Tag.Get("notYet"),
			Limit:       f.Tag.Get("limit"),
			Form:        f.Tag.Get("form"),
			OneOf:       f.Tag.Get("oneOf"),
		}
		if most := number(f.Tag.Get("most")); most != nil {
			field.Most = int(*most)
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			field.Enum = strings.Split(enum, ",")
		}
		if pattern := f.Tag.Get("pattern"); pattern != "" {
			field.Pattern = regexp.MustCompile(pattern)
		}
		fields = append(fields, field)
	}
	known.Store(t, fields)
	return fields
}

// Names gives the names of the keys.
func Names(fields []Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// Choices gives the groups of keys of which exactly one has to be there.
func Choices(fields []Field) [][]Field {
	var groups []string
	for _, f := range fields {
		if f.OneOf != "" && !slices.Contains(groups, f.OneOf) {
			groups = append(groups, f.OneOf)
		}
	}
	choices := make([][]Field, len(groups))
	for _, f := range fields {
		if f.OneOf != "" {
			i := slices.Index(groups, f.OneOf)
			choices[i] = append(choices[i], f)
		}
	}
	return choices
}

// Wanted says in words what the key takes, and where its limits come from.
func (f Field) Wanted() string {
	what := f.kind()
	if f.Limit != "" && (f.Min != nil || f.Max != nil || f.Enum != nil) {
		what += " (" + f.Limit + ")"
	}
	return what
}

func (f Field) kind() string {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return "an object"
	case f.Enum != nil && t.Kind() == reflect.Slice:
		return "a list of " + strings.Join(f.Enum, ", ")
	case len(f.Enum) == 1:
		return strconv.Quote(f.Enum[0])
	case f.Enum != nil:
		return "one of " + strings.Join(f.Enum, ", ")
	case t.Kind() == reflect.Slice && f.Form != "" && f.Most > 0:
		return fmt.Sprintf("a list of 1 to %d strings, each %s", f.Most, f.Form)
	case t.Kind() == reflect.Slice && f.Form != "":
		return "a list of strings, each " + f.Form
	case t.Kind() == reflect.Slice:
		return "a list of strings"
	case f.Form != "":
		return f.Form
	}
	switch t.Kind() {
	case reflect.Int:
		return "a whole number" + f.between()
	case reflect.Float64:
		return "a number" + f.between()
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a string"
	}
}

func (f Field) between() string {
	switch {
	case f.Min != nil && f.Max != nil:
		return fmt.Sprintf(" from %s to %s", Plain(*f.Min), Plain(*f.Max))
	case f.Min != nil:
		return " of at least " + Plain(*f.Min)
	case f.Max != nil:
		return " of at most " + Plain(*f.Max)
	default:
		return ""
	}
}

// Plain writes a number as a person does: without an exponent.
func Plain(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func number(s string) *float64 {
	if s == "" {
		return nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("%q in a tag is not a number", s))
	}
	return &n
}
