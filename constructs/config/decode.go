package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sagemaker-datapipeline/constructs/config/internal/field"
)

// decoder fills structs from nodes, strictly: a key that the struct doesn't have, a value of another type, a number
// outside its limits and a missing key are problems. Missing keys get their defaults.
type decoder struct {
	problems *Problems
}

func (d decoder) object(n *node, v reflect.Value) {
	fields := field.Of(v.Type())
	for _, m := range n.members {
		if !hasKey(fields, m.key) {
			d.unknownKey(m.value.path, m.key, field.Names(fields))
		}
	}
	for _, f := range fields {
		d.member(n, f, v.Field(f.Index))
	}
	for _, choice := range field.Choices(fields) {
		d.exactlyOne(n, choice)
	}
}

func hasKey(fields []field.Field, key string) bool {
	for _, f := range fields {
		if f.Name == key {
			return true
		}
	}
	return false
}

func (d decoder) unknownKey(path, key string, keys []string) {
	remedy := "the keys here are " + strings.Join(keys, ", ")
	if near := nearest(key, keys); near != "" {
		remedy = fmt.Sprintf("did you mean %q? The keys here are %s", near, strings.Join(keys, ", "))
	}
	d.problems.add(path, fmt.Sprintf("there is no key %s", quote(key)), remedy)
}

func (d decoder) member(n *node, f field.Field, v reflect.Value) {
	value := n.member(f.Name)
	switch {
	case !value.absent():
		d.value(value, f, v)
	case f.Required:
		d.problems.add(n.at(f.Name), "is missing", "write "+f.Wanted())
	case v.Kind() == reflect.Struct:
		// An object that isn't there has the defaults of its keys.
		d.object(&node{path: n.at(f.Name), kind: object}, v)
	case f.Default != "":
		setDefault(v, f.Default)
	}
}

func (d decoder) value(n *node, f field.Field, v reflect.Value) {
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(n.json())
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, f, v.Elem())
	case reflect.Struct:
		if d.is(object, n, f) {
			d.object(n, v)
		}
	case reflect.Map:
		if d.is(object, n, f) {
			d.entries(n, f, v)
		}
	case reflect.Slice:
		if d.is(array, n, f) {
			d.list(n, f, v)
		}
	case reflect.String:
		if d.is(text, n, f) {
			v.SetString(n.text)
			d.checkText(n, f)
		}
	case reflect.Bool:
		if d.is(boolean, n, f) {
			v.SetBool(n.text == "true")
		}
	case reflect.Int:
		if d.is(number, n, f) {
			i, err := strconv.ParseInt(n.text, 10, 64)
			if err != nil {
				d.problems.add(n.path, n.said(), "write "+f.Wanted())
				return
			}
			v.SetInt(i)
			d.checkNumber(n, f, float64(i))
		}
	case reflect.Float64:
		if d.is(number, n, f) {
			x, err := strconv.ParseFloat(n.text, 64)
			if err != nil {
				d.problems.add(n.path, n.said(), "write "+f.Wanted())
				return
			}
			v.SetFloat(x)
			d.checkNumber(n, f, x)
		}
	default:
		panic(fmt.Sprintf("%s is a %s, which the configuration has no form for", f.GoName, v.Kind()))
	}
}

func (d decoder) entries(n *node, f field.Field, v reflect.Value) {
	if f.Required && len(n.members) == 0 {
		d.problems.add(n.path, "is empty", "write "+f.Wanted())
	}
	v.Set(reflect.MakeMap(v.Type()))
	item := field.Field{Name: f.Name, GoName: f.GoName, Type: f.Type.Elem()}
	for _, m := range n.members {
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(m.value, item, entry)
		v.SetMapIndex(reflect.ValueOf(m.key), entry)
	}
}

func (d decoder) list(n *node, f field.Field, v reflect.Value) {
	if f.Required && len(n.items) == 0 {
		d.problems.add(n.path, "is empty", "write "+f.Wanted())
	}
	if f.Most > 0 && len(n.items) > f.Most {
		d.problems.add(n.path, n.said(), "write "+f.Wanted())
	}
	item := f
	item.Type = f.Type.Elem()
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, value := range n.items {
		d.value(value, item, v.Index(i))
	}
}

func (d decoder) is(want kind, n *node, f field.Field) bool {
	if n.kind == want {
		return true
	}
	got := n.said()
	if n.kind != object && n.kind != array && n.kind != null {
		got += ", " + string(n.kind)
	}
	remedy := "write " + f.Wanted()
	if want == text && (n.kind == number || n.kind == boolean) {
		remedy = strings.TrimSuffix(remedy, ", in quotes") + `, in quotes: "` + n.text + `"`
	}
	d.problems.add(n.path, got, remedy)
	return false
}

func (d decoder) checkText(n *node, f field.Field) {
	switch {
	case n.text == "":
		remedy := "leave the key out, or write " + f.Wanted()
		if f.Required {
			remedy = "write " + f.Wanted()
		}
		d.problems.add(n.path, `got "", an empty string`, remedy)
	case f.Enum != nil:
		d.checkEnum(n, f)
	case f.Pattern != nil && !f.Pattern.MatchString(n.text):
		d.problems.add(n.path, n.said(), "write "+f.Wanted())
	}
}

func (d decoder) checkEnum(n *node, f field.Field) {
	if slices.Contains(f.Enum, n.text) {
		return
	}
	remedy := "write " + f.Wanted()
	if value, why, ok := strings.Cut(f.NotYet, ": "); ok && value == n.text {
		remedy = why
	} else if near := nearest(n.text, f.Enum); near != "" && n.kind == text {
		remedy = fmt.Sprintf("did you mean %q? Write %s", near, f.Wanted())
	}
	d.problems.add(n.path, n.said(), remedy)
}

func (d decoder) checkNumber(n *node, f field.Field, x float64) {
	switch {
	case f.Enum != nil:
		d.checkEnum(n, f)
	case f.Min != nil && x < *f.Min, f.Max != nil && x > *f.Max:
		d.problems.add(n.path, n.said(), "write "+f.Wanted())
	}
}

func (d decoder) exactlyOne(n *node, choice []field.Field) {
	var there []string
	for _, f := range choice {
		value := n.member(f.Name)
		if !value.absent() && (value.kind != boolean || value.text == "true") {
			there = append(there, f.Name)
		}
	}
	switch len(there) {
	case 0:
		d.problems.add(n.path, "has none of "+strings.Join(field.Names(choice), ", "), "write exactly one of them")
	case 1:
	default:
		remedy := "keep exactly one of them"
		if n.laid {
			remedy = "keep exactly one of them: an environment takes the pipeline's own away with null"
		}
		d.problems.add(n.path, "has "+strings.Join(there, " and "), remedy)
	}
}

func setDefault(v reflect.Value, text string) {
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case reflect.Int:
		var i int64
		i, err = strconv.ParseInt(text, 10, 64)
		v.SetInt(i)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, 64)
		v.SetFloat(x)
	default:
		err = fmt.Errorf("a %s has no default", v.Kind())
	}
	if err != nil {
		panic(fmt.Sprintf("the default %q can't be read: %v", text, err))
	}
}
