package cache

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What proves that something in the cache's directories is the cache's. A place in
// the tree proves nothing: LXC_CACHE_PATH may be /srv, and /srv/download may hold
// music. Only what has these signs is listed, counted or removed.

// signs are what a directory has that this program or the stock template makes.
type signs struct {
	rootfs, build, tag, evidence bool // the files, and the directory of evidence

	empty bool
	flat  bool // nothing but regular files, directories of evidence of such, and empty directories
}

// any reports whether the directory is one that this program made, or a part of one:
// removeTree takes the signs last.
func (s signs) any() bool { return s.flat && (s.rootfs || s.build || s.tag || s.evidence) }

// image reports whether the directory was a whole entry.
func (s signs) image() bool { return s.flat && (s.evidence || s.rootfs && s.build) }

// isSign reports whether a name in an entry's directory is one of the signs.
func isSign(name string) bool {
	return name == rootfsName || name == buildName || name == tagName || name == evidenceName
}

// signs looks into a directory, whoever owns it. What is no directory has none.
func (d directory) signs(name string) (s signs) {
	inner, _, err := d.openAny(name)
	if err != nil {
		return s
	}
	defer inner.Close()
	names, err := inner.names()
	if err != nil || len(names) > 2*maxFiles {
		return s
	}
	s.empty, s.flat = len(names) == 0, true
	for _, each := range names {
		var st unix.Stat_t
		if unix.Fstatat(int(inner.Fd()), each, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			s.flat = false
			continue
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFDIR && inner.holdsNothing(each):
			s.evidence = s.evidence || each == evidenceName
		case kind == unix.S_IFDIR && (each == evidenceName || each == evidenceName+newSuffix):
			below := inner.signs(each)
			s.flat = s.flat && below.flat
			s.evidence = s.evidence || each == evidenceName
		case kind != unix.S_IFREG:
			s.flat = false
		case each == rootfsName:
			s.rootfs = true
		case each == buildName:
			s.build = st.Size <= maxName+2
		case each == tagName:
			s.tag = st.Size <= maxTag
		}
	}
	return s
}

// holdsNothing reports whether a directory is empty.
func (d directory) holdsNothing(name string) bool {
	inner, _, err := d.openAny(name)
	if err != nil {
		return false
	}
	defer inner.Close()
	_, err = inner.Readdirnames(1)
	return err == io.EOF
}

// The ends of the hidden names beside an entry, and of evidence in the making.
const (
	partSuffix = ".part"
	newSuffix  = ".new"
	oldSuffix  = ".old"
	lockSuffix = ".lock"
)

// isLeftover reports whether what has a hidden name beside an entry is what the
// program gives that name: a lock, or a directory that becomes or was an entry.
func (d directory) isLeftover(name string) bool {
	if strings.HasSuffix(name, partSuffix) || strings.HasSuffix(name, newSuffix) || strings.HasSuffix(name, oldSuffix) {
		s := d.signs(name)
		return s.empty || s.any()
	}
	text, err := d.read(name, maxOwner)
	return err == nil && (isLock(text) || len(bytes.Trim(text, "\x00")) == 0 && d.isRemnant(name, text))
}

// isLock reports whether a file has the content of a lock. It is empty until its
// owner is written into it.
func isLock(text []byte) bool {
	_, _, ok := parseOwner(text)
	return ok || len(text) == 0
}

// isRemnant reports whether a file is what a power failure leaves of a lock: NULs in
// the place of its line, or the line's beginning, in a file as only a lock's maker
// makes it. Who reads it has seen whose it is (openFile).
func (d directory) isRemnant(name string, text []byte) bool {
	var st unix.Stat_t
	if len(text) > maxOwner || unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil ||
		st.Mode != unix.S_IFREG|0o600 || st.Nlink != 1 {
		return false
	}
	line := string(bytes.TrimRight(text, "\x00"))
	pid, rest, _ := strings.Cut(line, "\t")
	n, err := strconv.Atoi(pid)
	return line == "" || err == nil && n > 0 && strings.Count(rest, "\t") < 2 && !strings.ContainsAny(line, "\n\x00")
}

// removeLeftover removes a directory with a hidden name of ours, if it is ours.
func (d directory) removeLeftover(name string) error {
	if d.exists(name) && !d.isLeftover(name) {
		return d.notOurs(name)
	}
	return d.removeAll(name)
}

// notOurs is the error of something that stands where the cache has its own.
func (d directory) notOurs(name string) error {
	return fmt.Errorf("%q is nothing that the cache makes, and stays: move it away", d.Name()+"/"+name)
}
