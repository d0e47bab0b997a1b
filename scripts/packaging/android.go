package main

import (
	"fmt"
	"io/fs"
	"strings"
)

// forPhone picks the binary for a processor, by Go's name: of several builds the one for
// the newest processors, because every phone has these. A build for Android's own loader
// is picked only if loader is true, and then it is preferred.
func (s *source) forPhone(goarch string, loader bool) (picked binary, found bool) {
	for _, b := range s.binaries {
		switch {
		case b.GOARCH != goarch, !b.isLinux() && !loader:
		case !found, picked.isLinux() && !b.isLinux(), picked.isLinux() == b.isLinux() && needsLess(picked.Target, b.Target):
			picked, found = b, true
		}
	}
	return picked, found
}

// androidModule makes the zip that Magisk, KernelSU and APatch install. It needs the
// binaries for 64-bit and 32-bit ARM; without them there is no zip. The module's
// customize.sh keeps the binary for the phone and removes the other.
func (s *source) androidModule() ([]product, error) {
	var zip tree
	for _, arch := range []string{"arm64", "arm"} { // the names are the same in Magisk's $ARCH and in Go
		b, found := s.forPhone(arch, false)
		if !found {
			return nil, nil
		}
		zip.file("bin/lxc-pull-"+arch, 0o755, b.data)
	}
	err := fs.WalkDir(recipes, "module", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := recipe(name, s.words())
		mode := int64(0o644)
		if strings.HasPrefix(string(text), "#!") {
			mode = 0o755
		}
		zip.file(strings.TrimPrefix(name, "module/"), mode, text)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.licences(&zip, ""); err != nil {
		return nil, err
	}
	data, err := zip.zip(s.date)
	return []product{{"lxc-pull-" + s.version() + "-module.zip", data}}, err
}

// termuxRecipe makes a directory for termux-packages: build.sh, and the programs
// that it installs. It prefers a build for Android's own loader, because Termux from
// Google Play can start no other.
func (s *source) termuxRecipe() ([]product, error) {
	const dir = "packages/lxc-pull/"
	var directory tree
	for _, a := range []struct{ termux, goarch string }{{"aarch64", "arm64"}, {"arm", "arm"}, {"i686", "386"}, {"x86_64", "amd64"}} {
		if b, found := s.forPhone(a.goarch, true); found {
			directory.file(dir+"lxc-pull-"+a.termux, 0o755, b.data)
		}
	}
	if len(directory) == 0 {
		return nil, nil
	}
	script, err := recipe("termux/build.sh", s.words())
	if err != nil {
		return nil, err
	}
	directory.file(dir+"build.sh", 0o644, script)
	if err := s.manuals(&directory, dir+"man/", false); err != nil {
		return nil, err
	}
	s.completionFiles(&directory, dir+"lxc-pull.bash", dir+"lxc-pull.zsh", dir+"lxc-pull.fish")
	if err := s.licences(&directory, dir); err != nil {
		return nil, err
	}
	data, err := directory.tarGzip(s.date)
	return []product{{"lxc-pull-" + s.version() + "-termux.tar.gz", data}}, err
}

// licences adds the licence files below prefix, for systems that don't have the texts of
// common licences.
func (s *source) licences(t *tree, prefix string) error {
	copyright, err := recipe("debian/copyright", s.words())
	if err != nil {
		return fmt.Errorf("licences: %v", err)
	}
	t.file(prefix+"copyright", 0o644, copyright)
	t.file(prefix+"LICENSE", 0o644, s.license)
	return nil
}
