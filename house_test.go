package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// goList returns the output of "go list" for the program as it is released: with the build's
// tags, without C.
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

// TestArrows checks which package of this module imports which; DESIGN.md has the same table.
// A package without a line in the table imports no other package of this module.
func TestArrows(t *testing.T) {
	arrows := map[string]string{
		".":              "cli",
		"cli":            "cross fetch image image/cache image/sha256 lxc lxc/host pgp pull pull/source untar untar/xz",
		"pull":           "cross image image/json image/sha256 lxc pull/source untar",
		"pull/source":    "fetch image image/cache image/sha256 lxc pgp untar untar/xz",
		"image":          "image/json",
		"image/cache":    "image image/sha256",
		"lxc/host":       "lxc",
		"untar":          "untar/deflate untar/squashfs untar/xz",
		"untar/squashfs": "untar/deflate untar/xz",
		"cross/build":    "cross",
	}
	const module = "lxc-pull"
	for _, pkg := range goList(t, "./...") {
		name := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
		if name == "" {
			name = "."
		}
		var imports []string
		for _, imported := range goList(t, "-f", `{{join .Imports "\n"}}`, pkg) {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
				imports = append(imports, ours)
			}
		}
		if got := strings.Join(imports, " "); got != arrows[name] {
			t.Errorf("%s imports %s, want %s", name, got, arrows[name])
		}
	}
}

// TestModulesOfTheProgram checks the modules in the program. Adding a module needs a review.
func TestModulesOfTheProgram(t *testing.T) {
	allowed := []string{
		"lxc-pull",
		"github.com/klauspost/compress",
		"golang.org/x/crypto",
		"golang.org/x/sys",
	}
	for _, module := range goList(t, "-deps", "-f", `{{with .Module}}{{.Path}}{{end}}`, ".") {
		if !slices.Contains(allowed, module) {
			t.Errorf("the program uses module %s", module)
		}
	}
}

// TestPackagesOfTheProgram checks which packages of the standard library are in the program.
// The list leaves out packages that only these import ("vendor", "internal" and "crypto"
// below). Other packages add bytes or start-up time, are killed by Android's system call
// filter (os/exec), or keep the linker from dropping code (text/template). Adding a package
// needs a review, which weighs its cost (docs/size.md).
func TestPackagesOfTheProgram(t *testing.T) {
	allowed := []string{
		"bufio", "bytes", "cmp", "context", "embed", "errors", "fmt", "io", "io/fs", "iter", "maps", "os", "os/signal", "path", "path/filepath",
		"reflect", "runtime", "runtime/cgo", "runtime/debug", "slices", "sort", "strconv", "strings", "sync", "sync/atomic", "syscall", "time",
		"unicode", "unicode/utf16", "unicode/utf8", "unique", "unsafe", "weak",
		"compress/flate", "compress/gzip", "container/list",
		"encoding/asn1", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/pem",
		"hash", "hash/crc32", "hash/crc64", "hash/maphash", "math", "math/big", "math/bits", "math/rand", "math/rand/v2",
		"log", "mime", "mime/multipart", "mime/quotedprintable", "net", "net/http", "net/http/httptrace", "net/netip", "net/textproto", "net/url",
	}
	for _, pkg := range goList(t, "-deps", "-f", "{{if .Standard}}{{.ImportPath}}{{end}}", ".") {
		first, _, _ := strings.Cut(pkg, "/")
		if first == "vendor" || first == "crypto" || first == "internal" || strings.Contains(pkg, "/internal") {
			continue // crypto/tls imports them
		}
		if !slices.Contains(allowed, pkg) {
			t.Errorf("the program has package %s in it", pkg)
		}
	}
}

// TestCodeThatDiesOnAndroid checks functions that make system calls which Android's filter does
// not allow: the filter kills the process. The linker drops functions that nothing can call, so
// none of these may be in the released program, whichever package would call it.
func TestCodeThatDiesOnAndroid(t *testing.T) {
	if testing.Short() {
		t.Skip("links the program")
	}
	target := runtime.GOARCH
	if target == "arm" {
		target = "armv7"
	}
	dir := t.TempDir()
	crossBuild(t, "-o", dir, "-symbols", target)
	program := filepath.Join(dir, "lxc-pull-linux-"+target)
	symbols, err := exec.Command("go", "tool", "nm", program).Output()
	if err != nil {
		t.Fatalf("go tool nm: %v", err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(symbols)) {
		if fields := strings.Fields(line); len(fields) >= 3 && strings.EqualFold(fields[1], "T") {
			found[strings.TrimSuffix(fields[2], ".abi0")] = true
		}
	}
	if !found["os.OpenFile"] || !found["main.main"] {
		t.Fatal("go tool nm names no function that must be there")
	}
	for name := range found {
		pkg, _, _ := strings.Cut(name, ".")
		if pkg == "os/exec" {
			t.Errorf("%s is in the program", name)
		}
	}
	for _, name := range []string{
		// pidfd_open, pidfd_send_signal, clone3; os.checkPidfd is in every
		// program, and only these call it
		"os.FindProcess", "os.findProcess", "os.pidfdFind", "os.StartProcess", "os.startProcess", "syscall.forkAndExecInChild1",
		// faccessat2
		"internal/syscall/unix.Eaccess", "internal/syscall/unix.faccessat", "internal/syscall/unix.Faccessat", "syscall.faccessat2",
		"golang.org/x/sys/unix.Faccessat", "golang.org/x/sys/unix.Faccessat2",
		// fchmodat2 with flags; the functions named Fchmodat ask it only then
		"os.(*Root).Chmod", "internal/syscall/unix.Fchmodat",
		// system calls that are newer than the filters of some phones
		"golang.org/x/sys/unix.Openat2", "golang.org/x/sys/unix.Renameat2", "golang.org/x/sys/unix.Statx", "golang.org/x/sys/unix.MemfdCreate", "golang.org/x/sys/unix.PidfdOpen",
	} {
		if found[name] {
			t.Errorf("%s is in the program", name)
		}
	}
}

// TestCallsThatDieOnAndroid checks our own sources for such calls, since some have no function.
func TestCallsThatDieOnAndroid(t *testing.T) {
	forbidden := []string{"exec.LookPath", "os.FindProcess", "os.StartProcess", "os.OpenRoot", "os.OpenInRoot", "unix.Openat2", "unix.Renameat2", "unix.Faccessat2", "unix.Fchmodat2", "unix.Statx", "unix.MemfdCreate", "unix.PidfdOpen"}
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
		for line := range strings.Lines(string(source)) {
			if _, call, ok := strings.Cut(line, "unix.Fchmodat("); ok && !strings.Contains(call, ", 0)") {
				t.Errorf("%s: fchmodat with flags: %s", path, line) // fchmodat2
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSize checks that the released program is not larger than its budget (cross.Targets). It
// builds the program as for a release, for amd64.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program for size")
	}
	crossBuild(t, "-o", t.TempDir(), "amd64")
}

// crossBuild runs cross/build. Its flags let the compiler inline nothing of the packages that
// start processes and call the kernel, so a function that is in the program has a name there.
func crossBuild(t *testing.T, args ...string) {
	t.Helper()
	build := exec.Command("go", append([]string{"run", "./cross/build"}, args...)...)
	build.Env = append(os.Environ(), "GOARCH=") // a program of this machine, whatever the tests are
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cross/build: %v\n%s", err, out)
	}
}

// TestPublicNamesAreDocumented checks that every public name has a comment.
func TestPublicNamesAreDocumented(t *testing.T) {
	for _, dir := range []string{"cli", "cross", "fetch", "image", "image/cache", "image/json", "image/sha256", "lxc", "lxc/host", "pgp", "pull", "pull/source", "untar", "untar/deflate", "untar/xz"} {
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
// comment. The names of a group of constants, variables or types may share the group's comment.
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

// isErrorMethod reports whether a method is documented by the interface that it implements.
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

// The limits of the code: lines of a function, fields of a struct, parameters of a function.
// TestShape lists the exceptions, which are tables or records of a format.
const (
	maxFunctionLines = 80
	maxFields        = 12
	maxParameters    = 5
)

// An extreme is the size and name of the largest file, function or struct so far.
type extreme struct {
	size int
	name string
}

func (e *extreme) note(size int, format string, args ...any) {
	if size > e.size {
		e.size, e.name = size, fmt.Sprintf(format, args...)
	}
}

// TestShape fails if a function or struct exceeds a limit. With -v it logs the largest ones.
func TestShape(t *testing.T) {
	exceptions := map[string]string{ // by name; the value is the reason
		"pgp/signature.go signature": "a signature packet (RFC 9580, section 5.2.3)",
		"untar/parser.go Entry":      "an entry of an archive (pax(1))",
		"untar/xz/gen.go file":       "the text of the code that it writes",
	}
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
				if exceptions[name] != "" {
					return true
				}
				function.note(lines(n), "%s", name)
				if lines(n) > maxFunctionLines {
					t.Errorf("%s has %d lines", name, lines(n))
				}
				parameters.note(n.Type.Params.NumFields(), "%s", name)
				if n.Type.Params.NumFields() > maxParameters {
					t.Errorf("%s has %d parameters", name, n.Type.Params.NumFields())
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					name = path + " " + n.Name.Name
					if exceptions[name] != "" {
						return true
					}
					fields := s.Fields.NumFields()
					for _, f := range s.Fields.List {
						if len(f.Names) == 1 && f.Names[0].Name == "_" { // it holds nothing: it forbids ==
							fields--
						}
					}
					width.note(fields, "%s", name)
					if fields > maxFields {
						t.Errorf("%s has %d fields", name, fields)
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
