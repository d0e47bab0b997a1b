package cli

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pgp"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// codeNames returns the codes in codes.txt.
func codeNames(t *testing.T) (names []string) {
	for paragraph := range strings.SplitSeq(mustText(t, "codes.txt"), "\n\n") {
		name, _, _ := strings.Cut(paragraph, "\n")
		names = append(names, name)
	}
	return names
}

// TestCodes checks the form of the explanations.
func TestCodes(t *testing.T) {
	names := codeNames(t)
	if !slices.IsSorted(names) || len(names) < 50 {
		t.Errorf("%d codes, not sorted: %q", len(names), names)
	}
	for _, name := range names {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(name) || named(name).name != "" || name == "codes" || name == templateName {
			t.Errorf("a code %q", name)
		}
		text, err := codeText(name)
		if len(name) > 15 {
			t.Errorf("the code %q is too long for help codes", name)
		}
		if err != nil || text == "" || strings.Count(text, "\n") > 6 {
			t.Errorf("%s: %q", name, text)
		}
		for line := range strings.Lines(text) {
			if len(line) > 81 {
				t.Errorf("%s: %q is too wide", name, line)
			}
		}
	}
	table, err := codeText("codes")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(table) {
		if len(line) > 81 {
			t.Errorf("help codes: %q is too wide", line)
		}
	}
	if got := strings.Count(table, "\n"); got != len(names) {
		t.Errorf("help codes has %d lines for %d codes", got, len(names))
	}
	for _, name := range []string{"no-such-code", "", "offline\nx"} {
		if text, err := codeText(name); text != "" || err != nil {
			t.Errorf("the unknown code %q has an explanation: %q, %v", name, text, err)
		}
	}
}

// pullKinds returns the number of kinds of errors that package pull declares.
func pullKinds(t *testing.T) int {
	text, err := os.ReadFile("../pull/error.go")
	if err != nil {
		t.Fatal(err)
	}
	n := len(regexp.MustCompile(`(?m)^\t[A-Z]\w+ .*// `).FindAll(text[:strings.Index(string(text), "// An Error")], -1))
	if n < 8 {
		t.Errorf("only %d kinds of errors of package pull", n)
	}
	return n
}

// kinds returns the kinds of network failures that package fetch declares.
func kinds(t *testing.T) (all []fetch.Kind) {
	text, err := os.ReadFile("../fetch/error.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`Kind = "([a-z-]+)"`).FindAllSubmatch(text, -1) {
		all = append(all, fetch.Kind(match[1]))
	}
	return all
}

// TestEveryCodeIsExplained checks that each code which an error or a warning can have is
// explained, and that each code that is explained can occur.
func TestEveryCodeIsExplained(t *testing.T) {
	names, seen := codeNames(t), map[string]bool{"ok": true, "interrupted": true, "incomplete": true}
	see := func(code, where string) {
		if code == "" {
			return // a note (Finder.warn)
		}
		seen[code] = true
		if !slices.Contains(names, code) {
			t.Errorf("%s has the code %q, which is not explained", where, code)
		}
	}
	list := []error{
		errors.New("x"), usageErrorf("x"), &mappedError{}, &silentError{}, &silentError{code: "differs"}, &silentError{code: "unhealthy"}, &image.NotFoundError{}, &pgp.UntrustedError{}, &pgp.BadSignatureError{},
		syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EACCES, &untar.OwnerError{Err: syscall.EINVAL}, &untar.UnfitError{}, untar.ErrBusy, &xz.MemoryError{},
	}
	for _, kind := range kinds(t) {
		list = append(list, &fetch.Error{Kind: kind})
	}
	for _, status := range []int{401, 403, 404, 407, 410, 429, 500} {
		list = append(list, &fetch.Error{Kind: fetch.KindStatus, Status: status})
	}
	for kind := source.Network; kind <= source.Unusable; kind++ {
		list = append(list, &source.Error{Kind: kind, Err: errors.New("x")})
	}
	for kind := range pull.Kind(pullKinds(t)) {
		kind += pull.NoRoom
		list = append(list, &pull.Error{Kind: kind})
	}
	for _, err := range list {
		_, code := classify(err)
		see(code, fmt.Sprintf("%T", err))
	}
	if len(kinds(t)) < 20 {
		t.Errorf("only %d kinds of network failures", len(kinds(t)))
	}
	for _, pattern := range []string{"*.go", "../pull/*.go", "../pull/source/*.go"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) < 2 {
					return true
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "warn" || f.Sel.Name == "warnText" || f.Sel.Name == "Warn") {
					if literal, ok := call.Args[0].(*ast.BasicLit); ok {
						code, _ := strconv.Unquote(literal.Value)
						see(code, file)
					} else if id, ok := call.Args[0].(*ast.Ident); !ok || id.Name != "code" {
						t.Errorf("%s: a warning whose code is not a literal", file)
					}
				}
				return true
			})
		}
	}
	for _, name := range names {
		if !seen[name] {
			t.Errorf("the code %q is explained, and nothing has it", name)
		}
	}
}
