package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goList returns what "go list" prints for the shipped program: the build's
// tags, no C.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-tags=nethttpomithttp2"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	return strings.Fields(string(out))
}

// Main joins the leaves; they know nothing of each other.
func TestLeavesDontImportEachOther(t *testing.T) {
	allowed := map[string][]string{
		"lxc-pull":             {"lxc-pull/cross", "lxc-pull/fetch", "lxc-pull/image", "lxc-pull/lxc", "lxc-pull/pgp", "lxc-pull/untar", "lxc-pull/untar/xz"},
		"lxc-pull/cross/build": {"lxc-pull/cross"},
		"lxc-pull/untar":       {"lxc-pull/untar/xz"},
	}
	for _, pkg := range goList(t, "./...") {
		for _, imported := range goList(t, "-f", `{{join .Imports "\n"}}`, pkg) {
			if strings.HasPrefix(imported, "lxc-pull") && !slices.Contains(allowed[pkg], imported) {
				t.Errorf("%s imports %s", pkg, imported)
			}
		}
	}
}

// A dependency is a line that is defended in review.
func TestModulesOfTheProgram(t *testing.T) {
	allowed := []string{
		"lxc-pull",
		"github.com/klauspost/compress",
		"golang.org/x/crypto",
		"golang.org/x/crypto/x509roots/fallback",
		"golang.org/x/sys",
	}
	for _, module := range goList(t, "-deps", "-f", `{{with .Module}}{{.Path}}{{end}}`, ".") {
		if !slices.Contains(allowed, module) {
			t.Errorf("the program uses module %s", module)
		}
	}
}

// What these bring is not worth its bytes, or dies under Android's system call
// filter: os/exec probes with pidfd_open and faccessat2, text/template keeps
// the linker from dropping code.
func TestPackagesThatMustNotComeIn(t *testing.T) {
	for _, pkg := range goList(t, "-deps", ".") {
		switch pkg {
		case "os/exec", "text/template", "html/template", "encoding/json", "regexp", "runtime/cgo", "os/user", "plugin", "net/http/pprof", "testing",
			"golang.org/x/crypto/openpgp", "github.com/ulikunitz/xz":
			t.Errorf("the program has package %s in it", pkg)
		}
	}
}

// These calls end the process under Android's system call filter before they
// return: their kernel calls are not in it, and asking is fatal.
func TestCallsThatDieOnAndroid(t *testing.T) {
	forbidden := []string{"exec.LookPath", "os.FindProcess", "os.StartProcess", "unix.Openat2", "unix.Renameat2", "unix.Faccessat2", "unix.Fchmodat2", "unix.Statx", "unix.MemfdCreate", "unix.PidfdOpen"}
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == "scripts" || path == ".git" || path == "cross/build") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, call := range forbidden {
			if bytes.Contains(source, []byte(call+"(")) {
				t.Errorf("%s calls %s", path, call)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every public name says what it is: units, errors, the source of a rule.
func TestPublicNamesAreDocumented(t *testing.T) {
	for _, dir := range []string{"cross", "fetch", "image", "lxc", "pgp", "untar", "untar/xz"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Name.Name == "main" {
				continue
			}
			for _, d := range file.Decls {
				for _, missing := range undocumented(d) {
					t.Errorf("%s: %s has no comment", fset.Position(d.Pos()), missing)
				}
			}
		}
	}
}

// undocumented returns the public names that a declaration makes without a
// comment. A group of constants, variables or types may share the group's.
func undocumented(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d.Recv)) && !isErrorMethod(d) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if d.Doc == nil && spec.Doc == nil && spec.Name.IsExported() {
					names = append(names, spec.Name.Name)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && name.IsExported() {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

// isErrorMethod tells the methods whose meaning their interface gives.
func isErrorMethod(d *ast.FuncDecl) bool {
	switch d.Name.Name {
	case "Error", "Unwrap", "String":
		return d.Recv != nil
	}
	return false
}

func exportedReceiver(recv *ast.FieldList) bool {
	kind := recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	name, ok := kind.(*ast.Ident)
	return ok && name.IsExported()
}
