package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// show prints the function's answer: as it is, or one value a line in the answer's own order, named as its keys are.
func show(out io.Writer, asJSON bool, answer json.RawMessage) error {
	var b bytes.Buffer
	if asJSON {
		if err := json.Indent(&b, answer, "", "  "); err != nil {
			return fmt.Errorf("reading the function's answer: %w", err)
		}
		b.WriteByte('\n')
	} else {
		d := json.NewDecoder(bytes.NewReader(answer))
		d.UseNumber()
		if err := lines(&b, d, "", ""); err != nil {
			return fmt.Errorf("reading the function's answer: %w", err)
		}
	}
	if _, err := out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return nil
}

// lines prints the decoder's next value: a scalar behind its name, a list or an object below it.
func lines(b *bytes.Buffer, d *json.Decoder, name, indent string) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	label := fmt.Sprintf("%s%-18s ", indent, words(name))
	inner := indent + "  "
	if name == "" {
		label, inner = indent, indent
	}
	delim, isDelim := token.(json.Delim)
	if !isDelim {
		if token == nil {
			token = "–"
		}
		fmt.Fprintf(b, "%s%v\n", label, token)
		return nil
	}
	if name != "" {
		if !d.More() {
			fmt.Fprintf(b, "%snone\n", label)
		} else {
			fmt.Fprintf(b, "%s\n", strings.TrimRight(label, " "))
		}
	}
	for d.More() {
		key := "-"
		if delim == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key = fmt.Sprint(token)
		}
		if err := lines(b, d, key, inner); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// words makes words of a key: scheduledTime is "scheduled time", executionArn "execution arn".
func words(key string) string {
	var b strings.Builder
	for i, r := range key {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
