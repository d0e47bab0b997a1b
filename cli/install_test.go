package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// argv[0], or else the first word, chooses the command.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string // the command; "": none
	}{
		{"untar", []string{"create"}, "untar"}, {"xzcat", nil, "zcat"}, {"zcat", []string{"-t"}, "zcat"}, {"sopv", nil, "sopv"},
		{"lxc-download", []string{"list"}, templateName}, {"lxc-pull", []string{"-d", "debian"}, templateName},
		{"lxc-pull", []string{"--install"}, "--install"}, {"lxc-pull", nil, ""}, {"anything", []string{"zcat"}, "zcat"},
		{"lxc-pull", []string{"--help"}, "help"}, {"lxc-pull", []string{"-h"}, "help"}, {"-lxc-pull", []string{"list"}, "list"},
		{"lxc-pull", []string{"--version"}, "version"}, {"lxc-pull", []string{"-V"}, "version"}, {"lxc-pull", []string{"help", "list"}, "help"},
		{"/usr/share/lxc/templates/lxc-pull", []string{"-h"}, templateName}, {"/usr/share/lxc/templates/lxc-pull", []string{"--help"}, templateName},
		{"lxc-pull", []string{"-l", "-h"}, templateName}, {"/opt/lxc-pull", []string{"-h"}, templateName}, {"/opt/lxc-pull", []string{"--help"}, "help"}, {"lxc-download", []string{"--version"}, templateName},
		{"lxc-oci", []string{"-u", "docker:a"}, ociName}, {"/usr/share/lxc/templates/lxc-oci", []string{"-h"}, ociName}, {"lxc-oci", nil, ociName},
		{"lxc-local", []string{"-f", "x"}, localName}, {"/usr/share/lxc/templates/lxc-local", []string{"-h"}, localName},
	} {
		cmd, _, err := choose(append([]string{c.name}, c.args...))
		if err != nil || cmd.name != c.want {
			t.Errorf("choose(%q, %q) = %q, %v, want %q", c.name, c.args, cmd.name, err, c.want)
		}
	}
}

// An older version of the program is replaced in one step. A file with other content is not,
// nor is a symbolic link to another file.
func TestInstallReplacesOnlyOlderVersions(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	program := put("program", "the new version")
	const version = "\x7fELF...path\tlxc-pull\nmod\tlxc-pull\tv1\n"
	older := put("older", version)
	put("older.new", "somebody's")
	if _, err := installName(program, older, false); err != errAnother {
		t.Errorf("beside somebody's file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "older.new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(dir, "older.new")); err != nil {
		t.Fatal(err)
	}
	if _, err := installName(program, older, false); err != errAnother {
		t.Errorf("beside somebody's link: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "older.new")); err != nil {
		t.Fatal(err)
	}
	put("older.new", version) // left by a run that was killed
	if how, err := installName(program, older, false); err != nil || how != "hard link" {
		t.Errorf("over an older version: %q, %v", how, err)
	}
	a, _ := os.Stat(program)
	if b, err := os.Stat(older); err != nil || !os.SameFile(a, b) {
		t.Errorf("the older version is still there (%v)", err)
	}
	if how, err := installName(program, older, true); err != nil || how != "there already" {
		t.Errorf("again: %q, %v", how, err)
	}
	other := put("other", "lxc-pull is mentioned here")
	if _, err := installName(program, other, false); err != errAnother {
		t.Errorf("over another program: %v", err)
	}
	if data, err := os.ReadFile(other); err != nil || string(data) != "lxc-pull is mentioned here" {
		t.Errorf("the other program now has %q, %v", data, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := installName(program, filepath.Join(dir, "directory"), false); err != errAnother {
		t.Errorf("over a directory: %v", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 4 {
		t.Errorf("%d names left, %v, want 4", len(names), err)
	}
}

// The copy is made if no link can be made.
func TestCopyProgram(t *testing.T) {
	dir := t.TempDir()
	program, path := filepath.Join(dir, "program"), filepath.Join(dir, "copy")
	if err := os.WriteFile(program, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyProgram(program, path); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the copy can't be run: %v", err)
	}
	if err := copyProgram(program, path); !os.IsExist(err) {
		t.Errorf("over a file: %v", err)
	}
}
