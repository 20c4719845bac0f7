package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// comments are the doc comments of types ("Environment") and fields ("Environment.Account"), each as one line.
type comments map[string]string

// readComments reads the Go files of a folder.
func readComments(dir string) (comments, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	c := comments{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		c.add(file)
	}
	return c, nil
}

func (c comments) add(file *ast.File) {
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.TYPE {
			continue
		}
		for _, spec := range group.Specs {
			t := spec.(*ast.TypeSpec)
			fields, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			c[t.Name.Name] = oneLine(group.Doc.Text())
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					c[t.Name.Name+"."+name.Name] = oneLine(f.Doc.Text())
				}
			}
		}
	}
}

func oneLine(comment string) string { return strings.Join(strings.Fields(comment), " ") }

// of gives the comment of a field, and insists on one: a key that nobody explains is not finished.
func (c comments) of(typeName, fieldName string) (string, error) {
	comment := c[typeName+"."+fieldName]
	if comment == "" {
		return "", fmt.Errorf("%s.%s has no comment, which would be its description", typeName, fieldName)
	}
	return comment, nil
}
