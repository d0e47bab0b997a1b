// Package lab has one test, which keeps the repository's references to scripts/ true.
package lab

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPathsExist fails if a text file of the repository names a path below scripts/
// that is not there: directly, in an import, or as a package after -C scripts.
func TestPathsExist(t *testing.T) {
	const top = "../.."
	patterns := []*regexp.Regexp{
		regexp.MustCompile(`(?m)(?:^|[^\w/.-]|\$top/|lxc-pull/)scripts/([\w./-]*\w)`),
		regexp.MustCompile(`-C (?:"\$top/)?scripts"? (?:[^|;&\n]* )?\./(\w[\w./-]*\w)`),
	}
	// Paths that other projects have: OpenWrt's sources and an initramfs.
	foreign := map[string]bool{"feeds": true, "ipkg-build": true, "init-premount": true}
	named := 0
	for _, file := range trackedFiles(t, top) {
		text, err := os.ReadFile(filepath.Join(top, file))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // no text
		}
		for _, pattern := range patterns {
			for _, match := range pattern.FindAllSubmatch(text, -1) {
				path := string(match[1])
				if first, _, _ := strings.Cut(path, "/"); foreign[first] {
					continue
				}
				named++
				if _, err := os.Stat(filepath.Join(top, "scripts", path)); err != nil {
					t.Errorf("%s names scripts/%s, which does not exist", file, path)
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("found only %d paths: the patterns match too little", named)
	}
}

// trackedFiles lists the files that git tracks; the test is skipped without a checkout.
func trackedFiles(t *testing.T, top string) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("git ls-files: %v (no checkout?)", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}
