package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/scripts/signer"
)

// A tree is a web server's document root:
//
//	images/DIST/RELEASE/ARCH/VARIANT/BUILD/   one directory for each build, complete from the moment it has this name
//	snapshots/TIME/{meta,streams}/            all indexes with their signatures, as they were at one time
//	current -> snapshots/TIME                 the snapshot in use; renaming a new link over this one switches all indexes
//	meta -> current/meta, streams -> current/streams
//	.lock                                     locked by the one publisher that is working
type tree struct {
	dir  string
	lock *os.File
}

// An image names one build.
type image struct {
	dist, release, arch, variant, build string
}

// product is the path of an image below images/, without its build.
func (im image) product() string {
	return strings.Join([]string{im.dist, im.release, im.arch, im.variant}, "/")
}

// path is where the build lies in the tree.
func (im image) path() string {
	return "images/" + im.product() + "/" + im.build
}

// Names become parts of paths, of URLs and of index lines, whose fields end at a
// semicolon. A build's name begins with its date: clients compare it, and simplestreams
// requires it.
var (
	nameRule  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)
	buildRule = regexp.MustCompile(`^[0-9]{8}([._:-][A-Za-z0-9._:-]{0,48})?$`)
)

// buildTime is the time layout of build names on images.linuxcontainers.org.
const buildTime = "20060102_15:04"

func (im image) check() error {
	for what, name := range map[string]string{"distribution": im.dist, "release": im.release, "architecture": im.arch, "variant": im.variant} {
		if !nameRule.MatchString(name) {
			return fmt.Errorf("%s %q: only letters, digits, dot, underscore, plus, tilde and hyphen may be in it, the first a letter or digit", what, name)
		}
	}
	if !buildRule.MatchString(im.build) {
		return fmt.Errorf("build %q does not begin with a date, as in 20260131_05:24", im.build)
	}
	return nil
}

// openTree opens the tree in dir, or makes it, and waits for its lock.
func openTree(dir string) (*tree, error) {
	if err := os.MkdirAll(filepath.Join(dir, "images"), 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	t := &tree{dir, lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("locking %q: %v", dir, err)
	}
	for _, name := range []string{"meta", "streams"} {
		if info, err := os.Lstat(t.file(name)); err == nil && info.Mode()&os.ModeSymlink == 0 {
			lock.Close()
			return nil, fmt.Errorf("%q is not a link: another program keeps this tree", t.file(name))
		}
	}
	return t, nil
}

func (t *tree) close() { t.lock.Close() }

func (t *tree) file(path string) string { return filepath.Join(t.dir, filepath.FromSlash(path)) }

// sync writes everything to disk, so that a new name is never on disk before the files it
// names.
func (t *tree) sync() error {
	if err := unix.Syncfs(int(t.lock.Fd())); err != nil {
		return fmt.Errorf("writing %q to disk: %v", t.dir, err)
	}
	return nil
}

// addBuild makes the directory of a build. It calls fill to write rootfs.tar.xz and
// meta.tar.xz into a temporary directory. The directory gets its final name when it is
// complete, signed and on disk.
func (t *tree) addBuild(im image, s *signer.Signer, fill func(dir string) error) error {
	final := t.file(im.path())
	if _, err := os.Lstat(final); err == nil {
		return fmt.Errorf("%s is published already: a build never changes, publish a new one", im.path())
	}
	parent := filepath.Dir(final)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	if err := removeUnfinished(parent); err != nil {
		return err
	}
	dir := filepath.Join(parent, "."+im.build)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			os.RemoveAll(dir)
		}
	}()
	if err := fill(dir); err != nil {
		return err
	}
	var sums strings.Builder
	for _, name := range []string{"meta.tar.xz", "rootfs.tar.xz"} {
		digest, _, err := digestFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", digest, name)
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644); err != nil {
		return err
	}
	for _, name := range []string{"meta.tar.xz", "rootfs.tar.xz", "SHA256SUMS"} {
		if err := s.Detached(filepath.Join(dir, name), im.path()+"/"+name, ".asc"); err != nil {
			return err
		}
	}
	if err := t.sync(); err != nil {
		return err
	}
	if err := os.Rename(dir, final); err != nil {
		return err
	}
	done = true
	return nil
}

// removeUnfinished removes the unfinished builds of interrupted runs.
func removeUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, ".[0-9]*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// scan returns every complete build in the tree, sorted by product, the newest
// build of each first.
func (t *tree) scan() ([]image, error) {
	found, err := filepath.Glob(t.file("images/*/*/*/*/*/SHA256SUMS.asc"))
	if err != nil {
		return nil, err
	}
	var images []image
	for _, name := range found {
		rel, err := filepath.Rel(t.dir, filepath.Dir(name))
		if err != nil {
			return nil, err
		}
		p := strings.Split(filepath.ToSlash(rel), "/")
		im := image{p[1], p[2], p[3], p[4], p[5]}
		if strings.HasPrefix(im.build, ".") { // unfinished
			continue
		}
		if err := im.check(); err != nil {
			return nil, err
		}
		images = append(images, im)
	}
	sort.Slice(images, func(i, j int) bool {
		if a, b := images[i].product(), images[j].product(); a != b {
			return a < b
		}
		return images[i].build > images[j].build
	})
	return images, nil
}

// prune splits images, as scan returns them, into the newest keep builds of
// each product and the rest.
func prune(images []image, keep int) (kept, old []image) {
	n := 0
	for i, im := range images {
		if i > 0 && images[i-1].product() != im.product() {
			n = 0
		}
		if n++; n <= keep {
			kept = append(kept, im)
		} else {
			old = append(old, im)
		}
	}
	return kept, old
}

// index returns the lines of meta/1.0/index-system and index-user: the newest
// build of every product.
func index(images []image) []byte {
	var b strings.Builder
	for i, im := range images {
		if i > 0 && images[i-1].product() == im.product() {
			continue
		}
		fmt.Fprintf(&b, "%s;%s;%s;%s;%s;/%s/\n", im.dist, im.release, im.arch, im.variant, im.build, im.path())
	}
	return []byte(b.String())
}

// switchIndexes writes all indexes of images and their signatures into a new snapshot, and
// makes that the current one by one rename. A client that reads an index before the
// rename and its signature after it gets a pair that doesn't match, and fetches both
// again.
func (t *tree) switchIndexes(images []image, s *signer.Signer, now time.Time) error {
	snapshot := "snapshots/" + now.UTC().Format("20060102T150405.000000000Z")
	for _, dir := range []string{"/meta/1.0", "/streams/v1"} {
		if err := os.MkdirAll(t.file(snapshot+dir), 0o755); err != nil {
			return err
		}
	}
	done := false
	defer func() {
		if !done {
			os.RemoveAll(t.file(snapshot))
		}
	}()
	for _, path := range []string{"meta/1.0/index-system", "meta/1.0/index-user"} {
		file := t.file(snapshot + "/" + path)
		if err := os.WriteFile(file, index(images), 0o644); err != nil {
			return err
		}
		if err := s.Detached(file, path, ".asc"); err != nil {
			return err
		}
	}
	products, list, err := t.streams(images)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"images": products, "index": list} {
		path := "streams/v1/" + name + ".json"
		file := t.file(snapshot + "/" + path)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
		if err := s.Detached(file, path, ".gpg"); err != nil {
			return err
		}
		path = "streams/v1/" + name + ".sjson"
		if err := s.Cleartext(t.file(snapshot+"/"+path), path, text); err != nil {
			return err
		}
	}
	if err := t.sync(); err != nil {
		return err
	}

	before, _ := os.Readlink(t.file("current"))
	next := t.file(".current")
	if err := os.Remove(next); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(snapshot, next); err != nil {
		return err
	}
	if err := os.Rename(next, t.file("current")); err != nil {
		return err
	}
	done = true
	for _, name := range []string{"meta", "streams"} {
		if err := os.Symlink("current/"+name, t.file(name)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	if err := t.sync(); err != nil {
		return err
	}
	return t.removeSnapshots(snapshot, before)
}

// removeSnapshots removes all snapshots but the current one and the one before it, which
// requests may still be reading.
func (t *tree) removeSnapshots(current, before string) error {
	entries, err := os.ReadDir(t.file("snapshots"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if path := "snapshots/" + e.Name(); path != current && path != before {
			if err := os.RemoveAll(t.file(path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeBuild removes a build that no index names any more. It renames the directory
// first, so that the build is never there in part.
func (t *tree) removeBuild(im image) error {
	final := t.file(im.path())
	unfinished := filepath.Join(filepath.Dir(final), "."+im.build)
	if err := os.Rename(final, unfinished); err != nil {
		return err
	}
	return os.RemoveAll(unfinished)
}

func digestFile(name string) (digest string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}
