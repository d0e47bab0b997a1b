package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// This file has what packages install besides the program: manual pages, the completion
// scripts of the shells, and documents.

// manuals adds the manual pages below dir, in man1, man5 and so on.
func (s *source) manuals(t *tree, dir string, compress bool) error {
	pages, err := recipes.ReadDir("man")
	if err != nil {
		return err
	}
	for _, page := range pages {
		text, err := recipe("man/"+page.Name(), s.words())
		if err != nil {
			return err
		}
		name := dir + "man" + strings.TrimPrefix(path.Ext(page.Name()), ".") + "/" + page.Name()
		if compress {
			name += ".gz"
			if text, err = gzipped(text); err != nil {
				return err
			}
		}
		t.file(name, 0o644, text)
	}
	return nil
}

// shells are the shells that have a completion script.
var shells = []string{"bash", "zsh", "fish"}

// readCompletions asks the program, built for this machine from the sources in top, for the
// completion scripts. They are the same for all machines.
func (s *source) readCompletions(top string) error {
	s.completions = map[string][]byte{}
	for _, shell := range shells {
		cmd := exec.Command("go", "run", ".", "completion", shell)
		cmd.Dir, cmd.Stderr = top, os.Stderr
		cmd.Env = append(os.Environ(), "GOOS=", "GOARCH=", "CGO_ENABLED=0")
		script, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("lxc-pull completion %s: %v", shell, err)
		}
		s.completions[shell] = script
	}
	return nil
}

// completionFiles adds the completion scripts, each under its name in names, in the order of
// shells.
func (s *source) completionFiles(t *tree, names ...string) {
	for i, shell := range shells {
		t.file(names[i], 0o644, s.completions[shell])
	}
}

// readDocuments reads README.md and everything in docs.
func (s *source) readDocuments(top string) error {
	for _, name := range []string{"README.md", "docs"} {
		err := filepath.WalkDir(filepath.Join(top, name), func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(top, file)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(file)
			s.documentation.file(filepath.ToSlash(rel), 0o644, text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
