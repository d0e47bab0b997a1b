package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// The shape of the code: how long a function may be, how wide a struct, how many
// parameters there may be. What is longer is a table or a record of a format, and listed.
const (
	maxFunctionLines = 80
	maxFields        = 12
	maxParameters    = 5
)

// An extreme is the largest of its kind.
type extreme struct {
	size int
	name string
}

func (e *extreme) note(size int, format string, args ...any) {
	if size > e.size {
		e.size, e.name = size, fmt.Sprintf(format, args...)
	}
}

// TestShape fails for what is out of bounds, and logs the largest (go test -v -run Shape .).
func TestShape(t *testing.T) {
	exceptions := map[string]string{}
	var file, function, width, parameters extreme
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "scripts/") {
			return err
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil || ast.IsGenerated(tree) {
			return err
		}
		lines := func(n ast.Node) int { return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1 }
		file.note(lines(tree), "%s", path)
		ast.Inspect(tree, func(n ast.Node) bool {
			name := ""
			switch n := n.(type) {
			case *ast.FuncDecl:
				name = path + " " + n.Name.Name
				function.note(lines(n), "%s", name)
				if lines(n) > maxFunctionLines && exceptions[name] == "" {
					t.Errorf("%s has %d lines", name, lines(n))
				}
				parameters.note(n.Type.Params.NumFields(), "%s", name)
				if n.Type.Params.NumFields() > maxParameters {
					t.Errorf("%s has %d parameters", name, n.Type.Params.NumFields())
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					name = path + " " + n.Name.Name
					width.note(s.Fields.NumFields(), "%s", name)
					if s.Fields.NumFields() > maxFields && exceptions[name] == "" {
						t.Errorf("%s has %d fields", name, s.Fields.NumFields())
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("longest file: %d lines, %s", file.size, file.name)
	t.Logf("longest function: %d lines, %s", function.size, function.name)
	t.Logf("widest struct: %d fields, %s", width.size, width.name)
	t.Logf("most parameters: %d, %s", parameters.size, parameters.name)
}
