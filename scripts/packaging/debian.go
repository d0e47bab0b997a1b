package main

import (
	"crypto/md5"
	"fmt"
	"slices"
	"strings"

	"lxc-pull/cross"
)

// debianPackages makes the package lxc-pull for every Debian architecture that has a
// binary, and the package lxc-pull-rescue for all architectures.
func (s *source) debianPackages() ([]product, error) {
	var made []product
	for _, b := range baselines(s.binaries) {
		files, err := s.program(b, "usr/")
		if err != nil {
			return nil, err
		}
		if err := s.manuals(&files, "usr/share/man/", true); err != nil {
			return nil, err
		}
		s.completionFiles(&files, "usr/share/bash-completion/completions/lxc-pull", "usr/share/zsh/vendor-completions/_lxc-pull", "usr/share/fish/vendor_completions.d/lxc-pull.fish")
		for _, e := range s.documentation {
			files.file("usr/share/doc/lxc-pull/"+e.name, 0o644, e.data)
		}
		p, err := s.deb("lxc-pull", b.Image, files, nil)
		if err != nil {
			return nil, err
		}
		made = append(made, p)
	}
	files, err := s.rescue()
	if err != nil {
		return nil, err
	}
	p, err := s.deb("lxc-pull-rescue", "all", files, []string{"postinst", "postrm", "triggers", "conffiles"})
	if err != nil {
		return nil, err
	}
	return append(made, p), nil
}

// baselines picks one binary for each Debian architecture: the one that runs on every
// machine of that architecture. armel includes ARMv5, and i386 includes processors
// without SSE2.
func baselines(binaries []binary) []binary {
	var picked []binary
	for _, b := range binaries {
		if !b.isLinux() {
			continue
		}
		i := slices.IndexFunc(picked, func(p binary) bool { return p.Image == b.Image })
		switch {
		case i < 0:
			picked = append(picked, b)
		case needsLess(b.Target, picked[i].Target):
			picked[i] = b
		}
	}
	return picked
}

// needsLess reports whether a runs on more machines of one architecture than b.
func needsLess(a, b cross.Target) bool {
	return a.GOARM < b.GOARM || a.GO386 == "softfloat" && b.GO386 != "softfloat"
}

// program returns the files that every package with a binary installs below prefix: the
// program, and LXC's template, which is a symbolic link to it.
//
// Debian's policy forbids programs in /usr/share. No package changes LXC's own
// lxc-download; a link of that name is in a directory of ours, for callers that name the
// template by its path.
func (s *source) program(b binary, prefix string) (tree, error) {
	var t tree
	t.file(prefix+"bin/lxc-pull", 0o755, b.data)
	t.link(prefix+"share/lxc/templates/lxc-pull", "../../../bin/lxc-pull")
	t.link(prefix+"share/lxc-pull/templates/lxc-download", "../../../bin/lxc-pull")
	copyright, err := recipe("debian/copyright", s.words())
	t.file(prefix+"share/doc/lxc-pull/copyright", 0o644, copyright)
	return t, err
}

// deb makes a binary package in the format of deb(5). Its control file is the recipe
// debian/NAME.control; scripts are further recipes debian/NAME.SCRIPT.
func (s *source) deb(name, arch string, files tree, scripts []string) (product, error) {
	fail := func(err error) (product, error) { return product{}, fmt.Errorf("%s for %s: %v", name, arch, err) }
	words := s.words()
	words["@PACKAGE@"], words["@ARCH@"] = name, arch
	if err := s.documents(&files, name, words); err != nil {
		return fail(err)
	}
	words["@INSTALLED_SIZE@"] = fmt.Sprint(files.installedSize())

	var control tree
	text, err := recipe("debian/"+name+".control", words)
	if err != nil {
		return fail(err)
	}
	control.file("control", 0o644, text)
	control.file("md5sums", 0o644, files.md5sums())
	for _, script := range scripts {
		text, err := recipe("debian/"+name+"."+script, words)
		if err != nil {
			return fail(err)
		}
		mode := int64(0o644)
		if strings.HasPrefix(string(text), "#!") {
			mode = 0o755
		}
		control.file(script, mode, text)
	}

	members := []product{{"debian-binary", []byte("2.0\n")}}
	for _, part := range []struct {
		name string
		tree tree
	}{{"control.tar.gz", control}, {"data.tar.gz", files}} {
		data, err := part.tree.tarGzip(s.date)
		if err != nil {
			return fail(err)
		}
		members = append(members, product{part.name, data})
	}
	return product{fmt.Sprintf("%s_%s_%s.deb", name, s.debianVersion(), arch), arArchive(s.date, members)}, nil
}

// documents adds the documents that Debian's policy requires: copyright and changelogs
// (sections 12.5 and 12.7), and the file of lintian overrides.
func (s *source) documents(files *tree, name string, words map[string]string) error {
	doc := "usr/share/doc/" + name + "/"
	if !slices.ContainsFunc(*files, func(e entry) bool { return e.name == doc+"copyright" }) {
		copyright, err := recipe("debian/copyright", words)
		if err != nil {
			return err
		}
		files.file(doc+"copyright", 0o644, copyright)
	}
	news, err := recipe("debian/changelog", words)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{"changelog.Debian.gz", news}, {"changelog.gz", s.changelog}} {
		data, err := gzipped(f.text)
		if err != nil {
			return err
		}
		files.file(doc+f.name, 0o644, data)
	}
	if overrides, err := recipe("debian/"+name+".lintian-overrides", words); err == nil {
		files.file("usr/share/lintian/overrides/"+name, 0o644, overrides)
	}
	return nil
}

// installedSize returns the field Installed-Size in KiB: the size of every file rounded
// up, and 1 for every other entry (deb-substvars(5)).
func (t tree) installedSize() int {
	size := 0
	for _, e := range t.sorted() {
		size += max(1, (len(e.data)+1023)/1024)
	}
	return size
}

// md5sums returns the file of digests that dpkg --verify uses.
func (t tree) md5sums() []byte {
	var sums []byte
	for _, e := range t.sorted() {
		if e.target == "" && !strings.HasSuffix(e.name, "/") && !strings.HasPrefix(e.name, "etc/") {
			sums = fmt.Appendf(sums, "%x  %s\n", md5.Sum(e.data), e.name)
		}
	}
	return sums
}
