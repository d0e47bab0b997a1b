// Command packaging makes installable packages out of the binaries in dist/.
//
//	go run -C scripts ./packaging [-o DIR] [-maintainer "NAME <ADDRESS>"]
//
// It makes every package for which there is a binary: Debian's, OpenWrt's, the module for
// Magisk and KernelSU, and the recipe directories for the build systems of OpenWrt and
// Termux. It needs only Go and no root, because it writes the archives itself. The
// recipes, hooks and scripts in the packages are the files in this directory, with words
// such as @VERSION@ replaced by their values.
//
// The version and the time of every file come from the commit, so the same commit makes the
// same bytes. SOURCE_DATE_EPOCH sets the time. The maintainer is the project; -maintainer, or
// DEBFULLNAME and DEBEMAIL, name another.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"embed"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lxc-pull/cross"
)

//go:embed debian openwrt module termux rescue man
var recipes embed.FS

func main() {
	top := flag.String("top", "..", "the repository's top directory")
	dist := flag.String("dist", "", "directory of the binaries and their SHA256SUMS (default: dist in the top directory)")
	out := flag.String("o", "", "directory for the packages (default: packages in the binaries' directory)")
	maintainer := flag.String("maintainer", "", "maintainer of the packages, \"NAME <ADDRESS>\" (default: the project)")
	flag.Parse()
	if *dist == "" {
		*dist = filepath.Join(*top, "dist")
	}
	if *out == "" {
		*out = filepath.Join(*dist, "packages")
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "packaging: %q: no operands are taken\n", flag.Args())
		os.Exit(2)
	}
	if err := run(*top, *dist, *out, *maintainer); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(top, dist, out, maintainer string) error {
	r, err := releaseOf(top)
	if err != nil {
		return err
	}
	if maintainer != "" {
		r.maintainer = maintainer
	}
	s := source{release: r}
	if s.binaries, err = readBinaries(dist, cross.Targets()); err != nil {
		return err
	}
	for _, b := range s.binaries {
		if err := r.checkBuiltFrom(b); err != nil {
			return err
		}
	}
	if s.changelog, err = os.ReadFile(filepath.Join(top, "CHANGELOG.md")); err != nil {
		return err
	}
	if s.license, err = os.ReadFile(filepath.Join(top, "LICENSE")); err != nil {
		return err
	}
	if err := s.readDocuments(top); err != nil {
		return err
	}
	if err := s.readCompletions(top); err != nil {
		return err
	}
	packages, err := s.packages()
	if err != nil {
		return err
	}
	return write(out, packages)
}

// A source has everything that packages are made from.
type source struct {
	release
	binaries           []binary
	changelog, license []byte
	documentation      tree              // README.md and docs/
	completions        map[string][]byte // the script of each shell
}

// A binary is the program built for one target.
type binary struct {
	cross.Target
	data []byte
}

// isLinux reports whether a target is for any Linux system. The others are for Android's
// own loader, and only Termux gets these.
func (b binary) isLinux() bool { return b.GOOS == "" || b.GOOS == "linux" }

// A product is one finished file.
type product struct {
	name string
	data []byte
}

// packages makes every package for which there is a binary.
func (s *source) packages() ([]product, error) {
	var all []product
	for _, format := range []func() ([]product, error){s.debianPackages, s.openwrtPackages, s.openwrtFeed, s.androidModule, s.termuxRecipe, s.rescueArchive} {
		made, err := format()
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
	}
	return all, nil
}

// readBinaries reads the files that SHA256SUMS in dist lists, and checks their digests.
// Targets may be missing; a file that belongs to no target is an error.
func readBinaries(dist string, targets []cross.Target) ([]binary, error) {
	list, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		return nil, fmt.Errorf("%v: \"make cross\" makes it", err)
	}
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("%s: %q is not a digest and a name", filepath.Join(dist, "SHA256SUMS"), lines.Text())
		}
		sums[name] = sum
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	var binaries []binary
	for _, t := range targets {
		want, listed := sums[t.File()]
		if !listed {
			continue
		}
		delete(sums, t.File())
		path := filepath.Join(dist, t.File())
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		if hex.EncodeToString(sum[:]) != want {
			return nil, fmt.Errorf("%s is not the file that SHA256SUMS lists: make cross", path)
		}
		binaries = append(binaries, binary{t, data})
	}
	for name := range sums {
		return nil, fmt.Errorf("%s lists %q, which no target in cross is named: make clean cross", filepath.Join(dist, "SHA256SUMS"), name)
	}
	if len(binaries) == 0 {
		return nil, fmt.Errorf("%s has no binaries: make cross", dist)
	}
	return binaries, nil
}

// checkBuiltFrom refuses a binary that was built from another commit than the package's.
// It accepts a binary that doesn't name its commit.
func (r release) checkBuiltFrom(b binary) error {
	info, err := buildinfo.Read(bytes.NewReader(b.data))
	if err != nil {
		return fmt.Errorf("%s: %v", b.File(), err)
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && s.Value != r.revision {
			return fmt.Errorf("%s was built from commit %.12s, not from %.12s: make cross", b.File(), s.Value, r.revision)
		}
	}
	return nil
}

var placeholder = regexp.MustCompile(`@[A-Z_]+@`)

// recipe returns one of the files in this directory with its words replaced by their
// values. A word without a value is an error, so that no such word reaches a package.
func recipe(name string, words map[string]string) ([]byte, error) {
	text, err := recipes.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for _, word := range placeholder.FindAllString(string(text), -1) {
		if _, known := words[word]; !known {
			return nil, fmt.Errorf("%s has %s in it, which has no value", name, word)
		}
	}
	return placeholder.ReplaceAllFunc(text, func(word []byte) []byte { return []byte(words[string(word)]) }), nil
}

// write writes the packages and their digests to dir, and prints their sizes.
// It removes packages of earlier runs: the directory has one release.
func write(dir string, packages []product) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{"lxc-pull*.deb", "lxc-pull*.ipk", "lxc-pull*.zip", "lxc-pull*.tar.gz", "SHA256SUMS"} {
		old, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(packages, func(a, b product) int { return strings.Compare(a.name, b.name) })
	sums := ""
	for _, p := range packages {
		path := filepath.Join(dir, p.name)
		if err := os.WriteFile(path, p.data, 0o644); err != nil {
			return err
		}
		fmt.Printf("%9d  %s\n", len(p.data), path)
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(p.data), p.name)
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums), 0o644)
}
