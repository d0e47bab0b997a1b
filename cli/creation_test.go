package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeDirs returns the new directories, the innermost first. removeDirs keeps a directory into
// which somebody has put a file.
func TestMakeDirs(t *testing.T) {
	top := t.TempDir()
	made, err := makeDirs(filepath.Join(top, "a/b/c"))
	if err != nil || strings.Join(made, " ") != strings.Join([]string{top + "/a/b/c", top + "/a/b", top + "/a"}, " ") {
		t.Fatalf("%v, %v", made, err)
	}
	if err := os.WriteFile(filepath.Join(top, "a/file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	removeDirs(made)
	if names, err := os.ReadDir(filepath.Join(top, "a")); err != nil || len(names) != 1 || names[0].Name() != "file" {
		t.Errorf("%v, %v", names, err)
	}
	// A file that has replaced the directory is not removed.
	removeDirs([]string{top + "/a/file"})
	if _, err := os.Stat(top + "/a/file"); err != nil {
		t.Error(err)
	}
}
