package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A node is one entry of a tree that is yet to be made.
type node struct {
	path   string // relative, without "./"; "." is the root itself
	kind   kind
	mode   uint32 // permission bits with set-id and sticky
	uid    int
	gid    int
	mtime  time.Time
	data   []byte // regular
	hole   int64  // regular: so many bytes of hole before the data
	target string // symlink: its text; hard link: the path it links
	rdev   uint64
	xattrs map[string]string
}

type kind byte

const (
	regular   kind = 'f'
	directory kind = 'd'
	symlink   kind = 'l'
	hardLink  kind = 'h'
	fifo      kind = 'p'
	charDev   kind = 'c'
	blockDev  kind = 'b'
)

// makeTree makes the nodes below dir, parents before children. It sets metadata last, the
// deepest first, so that making the entries below doesn't change it.
func makeTree(dir string, nodes []node) error {
	for _, n := range nodes {
		p := filepath.Join(dir, n.path)
		var err error
		switch n.kind {
		case directory:
			if err = os.Mkdir(p, 0o700); os.IsExist(err) && n.path == "." {
				err = nil
			}
		case regular:
			err = writeSparse(p, n.data, n.hole)
		case symlink:
			err = os.Symlink(n.target, p)
		case hardLink:
			err = os.Link(filepath.Join(dir, n.target), p)
		case fifo:
			err = unix.Mknod(p, unix.S_IFIFO|0o600, 0)
		case charDev:
			err = unix.Mknod(p, unix.S_IFCHR|0o600, int(n.rdev))
		case blockDev:
			err = unix.Mknod(p, unix.S_IFBLK|0o600, int(n.rdev))
		default:
			err = fmt.Errorf("kind %q", n.kind)
		}
		if err != nil {
			return fmt.Errorf("make %q: %w", n.path, err)
		}
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		if err := setMetadata(filepath.Join(dir, nodes[i].path), nodes[i]); err != nil {
			return fmt.Errorf("set metadata of %q: %w", nodes[i].path, err)
		}
	}
	return nil
}

func writeSparse(p string, data []byte, hole int64) error {
	f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(data, hole); err != nil {
		return err
	}
	// If a hole precedes the data, another one follows the data.
	if hole > 0 {
		if err := f.Truncate(hole*2 + int64(len(data))); err != nil {
			return err
		}
	}
	return f.Close()
}

func setMetadata(p string, n node) error {
	if n.kind == hardLink {
		return nil
	}
	if err := os.Lchown(p, n.uid, n.gid); err != nil {
		return err
	}
	if n.kind != symlink {
		if err := unix.Chmod(p, n.mode); err != nil {
			return err
		}
	}
	for name, value := range n.xattrs {
		if err := unix.Lsetxattr(p, name, []byte(value), 0); err != nil {
			return fmt.Errorf("xattr %s: %w", name, err)
		}
	}
	ts := unix.NsecToTimespec(n.mtime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// An entry has the properties of one path in a tree.
type entry struct {
	kind   uint32 // S_IFMT bits
	mode   uint32
	uid    uint32
	gid    uint32
	mtime  time.Time
	size   int64
	sum    string // regular: SHA-256; symlink: its text
	data   []byte // regular up to keepData: the bytes
	rdev   uint64
	xattrs map[string]string
	link   string // of several names of one inode: the first of them, sorted
	ino    uint64
}

// keepData is the largest file size in bytes whose contents a manifest keeps, to show
// differences.
const keepData = 256 << 10

// maxFile is the largest size in bytes of a file that is read; a hostile image has a file of
// one tebibyte that is one hole.
const maxFile = 64 << 20

// A manifest is a tree by path, relative to its root.
type manifest map[string]entry

// readTree returns the manifest of a tree, without the paths for which skip returns true and
// everything below these paths.
func readTree(root string, skip func(path string) bool) (manifest, error) {
	m := manifest{}
	inode := map[uint64]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if skip != nil && skip(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, err := readEntry(p)
		if err != nil {
			return err
		}
		if e.link != "" {
			first, ok := inode[e.ino]
			if !ok {
				first, inode[e.ino] = rel, rel
			}
			e.link = first
		}
		m[rel] = e
		return nil
	})
	return m, err
}

func readEntry(p string) (entry, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return entry{}, fmt.Errorf("lstat %q: %w", p, err)
	}
	e := entry{
		kind:  st.Mode & unix.S_IFMT,
		mode:  st.Mode & 0o7777,
		uid:   st.Uid,
		gid:   st.Gid,
		mtime: time.Unix(st.Mtim.Unix()),
		ino:   st.Ino,
	}
	switch e.kind {
	case unix.S_IFREG:
		e.size = st.Size
		if e.size > maxFile {
			e.sum = fmt.Sprintf("%d bytes", e.size)
			break
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return e, err
		}
		sum := sha256.Sum256(data)
		e.sum = hex.EncodeToString(sum[:])
		if len(data) <= keepData {
			e.data = data
		}
	case unix.S_IFLNK:
		text, err := os.Readlink(p)
		if err != nil {
			return e, err
		}
		e.sum = text
	case unix.S_IFBLK, unix.S_IFCHR:
		e.rdev = st.Rdev
	}
	if e.kind != unix.S_IFDIR && st.Nlink > 1 {
		e.link = "yes"
	}
	var err error
	e.xattrs, err = readXattrs(p)
	return e, err
}

func readXattrs(p string) (map[string]string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, list)
	if err != nil {
		return nil, fmt.Errorf("list the xattrs of %q: %w", p, err)
	}
	var xattrs map[string]string
	for name := range bytes.SplitSeq(list[:n], []byte{0}) {
		if len(name) == 0 {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(p, string(name), value)
		if err != nil {
			return nil, fmt.Errorf("xattr %q of %q: %w", name, p, err)
		}
		if xattrs == nil {
			xattrs = map[string]string{}
		}
		xattrs[string(name)] = string(value[:n])
	}
	return xattrs, nil
}

// resolve returns the path that a path leads to in a chroot to the tree, following every
// link, also the last. ok is false if nothing is there or a link leads out of the tree.
func (m manifest) resolve(name string) (real string, ok bool) {
	links := 0
	at := "."
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		// Every component, also an empty one, needs a directory on its left.
		if e, exists := m[at]; !exists || e.kind != unix.S_IFDIR {
			return "", false
		}
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", false
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		e, exists := m[next]
		if !exists {
			return "", false
		}
		if e.kind == unix.S_IFLNK {
			if links++; links > 40 {
				return "", false
			}
			if strings.HasPrefix(e.sum, "/") {
				at = "."
			}
			rest = append(strings.Split(e.sum, "/"), rest...)
			continue
		}
		at = next
	}
	return at, true
}

// paths lists the paths of several manifests, sorted, each once.
func paths(ms ...manifest) []string {
	seen := map[string]bool{}
	var all []string
	for _, m := range ms {
		for p := range m {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	sort.Strings(all)
	return all
}
