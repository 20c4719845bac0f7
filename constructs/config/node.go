package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// node is a JSON value that knows where it was written, so that a problem with a merged configuration names the line's
// real place.
type node struct {
	path    string
	kind    kind
	members []member // of an object, in the order of the file
	items   []*node  // of an array
	laid    bool     // an object that was laid over another one
	text    string   // a string's value, a number as it is written, true or false
}

type member struct {
	key   string
	value *node
}

type kind string

const (
	object  kind = "an object"
	array   kind = "a list"
	text    kind = "a string"
	number  kind = "a number"
	boolean kind = "a boolean"
	null    kind = "null"
)

// parse reads JSON. A key that is there twice is a problem: encoding/json and the CDK would silently take the last.
func parse(b []byte, problems *Problems) (*node, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("it is not UTF-8: save it with that encoding")
	}
	// Checks the syntax and the depth at once, so that the walk below meets neither.
	var whole json.RawMessage
	if err := json.Unmarshal(b, &whole); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line, column := position(b, syntax.Offset)
			return nil, fmt.Errorf("it is not JSON: line %d, column %d: %w", line, column, err)
		}
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return parseValue(d, "", problems)
}

func parseValue(d *json.Decoder, path string, problems *Problems) (*node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	n := &node{path: path}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			n.kind = object
			err = n.parseMembers(d, problems)
		} else {
			n.kind = array
			err = n.parseItems(d, problems)
		}
	case string:
		n.kind, n.text = text, token
	case json.Number:
		n.kind, n.text = number, token.String()
	case bool:
		n.kind, n.text = boolean, strconv.FormatBool(token)
	default:
		n.kind = null
	}
	return n, err
}

func (n *node) parseMembers(d *json.Decoder, problems *Problems) error {
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key := token.(string)
		path := join(n.path, key)
		value, err := parseValue(d, path, problems)
		if err != nil {
			return err
		}
		if n.member(key) != nil {
			problems.add(path, "is written twice in the same object", "keep one of them: the last would silently win")
		}
		n.set(key, value)
	}
	_, err := d.Token()
	return err
}

func (n *node) parseItems(d *json.Decoder, problems *Problems) error {
	for d.More() {
		item, err := parseValue(d, fmt.Sprintf("%s[%d]", n.path, len(n.items)), problems)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := d.Token()
	return err
}

// member gives the value of a key, nil where there is none.
func (n *node) member(key string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.members {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func (n *node) set(key string, value *node) {
	for i, m := range n.members {
		if m.key == key {
			n.members[i].value = value
			return
		}
	}
	n.members = append(n.members, member{key, value})
}

// absent says that a value isn't there, or was taken away with null.
func (n *node) absent() bool { return n == nil || n.kind == null }

// merge lays over over base: objects key by key, anything else as a whole, and null takes away. Every value keeps its own path; an object that
// both have is where over has it.
func merge(base, over *node) *node {
	if base.absent() || base.kind != object || over.kind != object {
		return over
	}
	merged := &node{path: over.path, kind: object, laid: true}
	merged.members = append(merged.members, base.members...)
	for _, m := range over.members {
		switch old := base.member(m.key); {
		case m.value.kind == null:
			merged.members = slices.DeleteFunc(merged.members, func(taken member) bool { return taken.key == m.key })
		case old != nil:
			merged.set(m.key, merge(old, m.value))
		default:
			merged.set(m.key, m.value)
		}
	}
	return merged
}

// at gives the path of a value: keys are names, or indexes of a list. What isn't there is where it would be.
func (n *node) at(keys ...any) string {
	path := n.path
	for _, key := range keys {
		var next *node
		switch key := key.(type) {
		case string:
			path = join(path, key)
			if n != nil {
				next = n.member(key)
			}
		case int:
			path = fmt.Sprintf("%s[%d]", path, key)
			if n != nil && key < len(n.items) {
				next = n.items[key]
			}
		}
		n = next
		if n != nil {
			path = n.path
		}
	}
	return path
}

// said is the value as a problem quotes it.
func (n *node) said() string {
	switch n.kind {
	case text:
		return "got " + quote(n.text)
	case number, boolean:
		return "got " + n.text
	case null:
		return "got null"
	case array:
		return fmt.Sprintf("got a list of %d", len(n.items))
	default:
		return fmt.Sprintf("got an object with %d keys", len(n.members))
	}
}

// json writes the value as JSON again.
func (n *node) json() json.RawMessage {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n *node) write(b *bytes.Buffer) {
	switch n.kind {
	case object:
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(jsonString(m.key))
			b.WriteByte(':')
			m.value.write(b)
		}
		b.WriteByte('}')
	case array:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case text:
		b.Write(jsonString(n.text))
	case null:
		b.WriteString("null")
	default:
		b.WriteString(n.text)
	}
}

func jsonString(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("a string always has a JSON form: %v", err))
	}
	return b
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// quote quotes what somebody wrote; a long text is cut, so that one wrong value doesn't fill the terminal.
func quote(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

func position(b []byte, offset int64) (line, column int) {
	before := b[:min(max(offset-1, 0), int64(len(b)))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}
