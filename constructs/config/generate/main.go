// Command generate writes what is derived from the configuration's structs: cdk.schema.json, which editors complete and
// check cdk.json with, and docs/configuration.md, the reference of all keys. It runs in the folder above, by go generate.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "generating the configuration's schema and reference:", err)
		os.Exit(1)
	}
}

// write writes the generated files of the configuration package in dir.
func write(dir string) error {
	files, err := generated(dir)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generated gives the files, by their path from dir.
func generated(dir string) (map[string][]byte, error) {
	comments, err := readComments(dir)
	if err != nil {
		return nil, err
	}
	schema, err := schemaFile(comments)
	if err != nil {
		return nil, err
	}
	reference, err := referenceFile(comments)
	if err != nil {
		return nil, err
	}
	root := filepath.Join("..", "..")
	return map[string][]byte{
		filepath.Join(root, "cdk.schema.json"):          schema,
		filepath.Join(root, "docs", "configuration.md"): reference,
	}, nil
}
