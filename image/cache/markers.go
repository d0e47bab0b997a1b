package cache

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file tells the cache's own files from others. The place of a file proves
// nothing: LXC_CACHE_PATH may be /srv, and /srv/download may hold music. Only
// directories with marker files, which this program or the stock template creates, are
// listed, counted or removed.

// markers are the marker files of a directory.
type markers struct {
	rootfs, build, tag, evidence bool // rootfs.tar.xz, build_id, the tag, the directory of evidence

	empty bool // the directory is empty
	// flat: the directory holds only regular files, empty directories, and directories
	// of evidence of which the same is true.
	flat bool
}

// any reports whether the directory is an entry or a part of an entry. (removeTree
// removes the marker files last.)
func (m markers) any() bool { return m.flat && (m.rootfs || m.build || m.tag || m.evidence) }

// entry reports whether the directory is, or was, a complete entry.
func (m markers) entry() bool { return m.flat && (m.evidence || m.rootfs && m.build) }

// isMarker reports whether a name in an entry's directory is that of a marker file.
func isMarker(name string) bool {
	return name == rootfsName || name == buildName || name == tagName || name == evidenceName
}

// markers returns the marker files in the directory name, which any user may own. If name
// is not a directory there are none.
func (d *directory) markers(name string) (m markers) {
	inner, _, err := d.openUntrusted(name)
	if err != nil {
		return m
	}
	names, err := inner.names()
	m.flat = err == nil && len(names) <= 2*maxFiles
	if !m.flat {
		names = nil
	}
	m.empty = m.flat && len(names) == 0
	for _, each := range names {
		var st unix.Stat_t
		if unix.Fstatat(int(inner.file.Fd()), each, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			m.flat = false
			continue
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFDIR && inner.isEmpty(each):
			m.evidence = m.evidence || each == evidenceName
		case kind == unix.S_IFDIR && (each == evidenceName || each == evidenceName+newSuffix):
			below := inner.markers(each)
			m.flat = m.flat && below.flat
			m.evidence = m.evidence || each == evidenceName
		case kind != unix.S_IFREG:
			m.flat = false
		case each == rootfsName:
			m.rootfs = true
		case each == buildName:
			m.build = st.Size <= maxName+2
		case each == tagName:
			m.tag = st.Size <= maxTag
		}
	}
	inner.file.Close()
	return m
}

// isEmpty reports whether name is an empty directory.
func (d *directory) isEmpty(name string) bool {
	inner, _, err := d.openUntrusted(name)
	if err != nil {
		return false
	}
	_, err = inner.file.Readdirnames(1)
	inner.file.Close()
	return err == io.EOF
}

// The suffixes of the hidden names beside an entry; Adopt uses newSuffix too.
const (
	partSuffix = ".part"
	newSuffix  = ".new"
	oldSuffix  = ".old"
	lockSuffix = ".lock"
)

// isLeftover reports whether the content of a hidden name beside an entry is of the kind
// that this program creates there: a lock, or a new, old or incomplete entry.
func (d *directory) isLeftover(name string) bool {
	if strings.HasSuffix(name, partSuffix) || strings.HasSuffix(name, newSuffix) || strings.HasSuffix(name, oldSuffix) {
		m := d.markers(name)
		return m.empty || m.any()
	}
	text, err := d.read(name, maxHolder)
	return err == nil && (isLock(text) || len(bytes.Trim(text, "\x00")) == 0 && d.isDamagedLock(name, text))
}

// isLock reports whether a file has the content of a lock: the line that describes its
// holder, or nothing until that line is written.
func isLock(text []byte) bool {
	_, _, ok := parseHolder(text)
	return ok || len(text) == 0
}

// isDamagedLock reports whether a file is a lock after a power failure: NULs in place
// of its line, or the beginning of the line. The mode and the number of links must be
// those of a new lock. openFile has checked who owns the file.
func (d *directory) isDamagedLock(name string, text []byte) bool {
	var st unix.Stat_t
	if len(text) > maxHolder || unix.Fstatat(int(d.file.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil ||
		st.Mode != unix.S_IFREG|0o600 || st.Nlink != 1 {
		return false
	}
	line := string(bytes.TrimRight(text, "\x00"))
	pid, rest, _ := strings.Cut(line, "\t")
	n, err := strconv.Atoi(pid)
	return line == "" || err == nil && n > 0 && strings.Count(rest, "\t") < 2 && !strings.ContainsAny(line, "\n\x00")
}

// removeLeftover removes a hidden name beside an entry. It returns an error if
// this program has not created its content.
func (d *directory) removeLeftover(name string) error {
	if d.exists(name) && !d.isLeftover(name) {
		return d.notOurs(name)
	}
	return d.removeAll(name)
}

// notOurs returns the error for a file that has one of the cache's names but was not made by
// the cache.
func (d *directory) notOurs(name string) error {
	return errors.New(strconv.Quote(d.file.Name()+"/"+name) + " was not made by the cache and is left alone: move it away")
}
