package cache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Stage is a new entry that is not complete yet. It is an io.Writer for the entry's
// rootfs.tar.xz.
type Stage struct {
	Have   int64    // bytes of the rootfs that an earlier run left
	Rootfs *os.File // the file, for reading those bytes; writes append to it

	slot  *Slot
	dir   *directory
	early earlyWriter
}

// Stage begins a new entry. The tag names the content of its rootfs (a digest, or a
// server, path and build): bytes that an earlier run left under the same tag are
// kept, others are removed. The present entry stays until Commit. The error is an
// *UnwritableError.
func (s *Slot) Stage(tag string) (*Stage, error) {
	st, err := s.stage(tag)
	if err != nil {
		return nil, s.cache.unwritable(err)
	}
	return st, nil
}

// Begun reports whether an earlier run left bytes under the tag, which Stage would
// keep.
func (s *Slot) Begun(tag string) bool {
	d, ok := s.openPart(tag)
	if ok {
		d.file.Close()
	}
	return ok
}

// Partial reports whether an earlier run left something, under any tag.
func (s *Slot) Partial() bool { return s.parent.exists(s.part()) }

// openPart opens the directory that an earlier run left, if it has the tag.
func (s *Slot) openPart(tag string) (*directory, bool) {
	d, err := s.parent.open(s.part())
	if err != nil {
		return nil, false
	}
	old, err := d.read(tagName, maxTag)
	ok := err == nil && string(old) == tag
	if ok {
		f, err := d.openFile(rootfsName, unix.O_RDONLY, 0)
		if err == nil {
			f.Close()
		}
		ok = err == nil || errors.Is(err, fs.ErrNotExist)
	}
	if !ok {
		d.file.Close()
		return nil, false
	}
	return d, true
}

func (s *Slot) stage(tag string) (*Stage, error) {
	if d, ok := s.openPart(tag); ok {
		d.file.Close()
	} else if err := s.parent.removeLeftover(s.part()); err != nil {
		return nil, err
	}
	// Commit checks the same, but only after the download.
	if err := s.checkReplaceable(); err != nil {
		return nil, err
	}
	d, err := s.cache.step(s.parent, s.part(), true)
	if err != nil {
		return nil, err
	}
	st := &Stage{slot: s, dir: d}
	if err := st.write(d, tagName, []byte(tag), 0o644); err != nil {
		d.file.Close()
		return nil, err
	}
	st.Rootfs, err = d.openFile(rootfsName, unix.O_RDWR|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err == nil {
		s.cache.giveAway(st.Rootfs)
		var info fs.FileInfo
		if info, err = st.Rootfs.Stat(); err == nil {
			st.Have = info.Size()
			return st, nil
		}
		st.Rootfs.Close()
	}
	d.file.Close()
	return nil, err
}

// write creates a file in d and writes data to it.
func (st *Stage) write(d *directory, name string, data []byte, mode fs.FileMode) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	st.slot.cache.giveAway(f)
	if _, err = f.Write(data); err == nil && mode != 0o644 {
		err = f.Chmod(mode)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// Write appends to the rootfs.
func (st *Stage) Write(p []byte) (int, error) { return st.early.write(st.Rootfs, p) }

// Reset empties the rootfs, for a new download after a wrong digest.
func (st *Stage) Reset() error {
	st.Have = 0
	if err := st.Rootfs.Truncate(0); err != nil {
		return err
	}
	_, err := st.Rootfs.Seek(0, io.SeekStart)
	return err
}

// Close closes the Stage and keeps its bytes for a later run.
func (st *Stage) Close() error {
	err := st.Rootfs.Close()
	if e := st.dir.file.Close(); err == nil {
		err = e
	}
	return err
}

// Discard closes the Stage and removes it.
func (st *Stage) Discard() error {
	st.Close()
	return st.slot.parent.removeAll(st.slot.part())
}

// A File is a metadata file of an image.
type File struct {
	Data []byte
	Mode fs.FileMode // permissions; the owner can always read the file, others can never write it
}

// Commit closes the Stage and makes it the image's entry, in place of the present entry.
// The caller has verified the rootfs; files and evidence become Entry.Files and
// Entry.Evidence. When Commit returns without error, the entry is on disk. After an error
// the old entry is there, or none. The error is an *UnwritableError.
func (st *Stage) Commit(build string, files map[string]File, evidence map[string][]byte) error {
	err := st.fill(build, files, evidence)
	if e := st.Close(); err == nil {
		err = e
	}
	s := st.slot
	if err == nil {
		err = s.renamePart()
	}
	if err == nil {
		err = s.finish()
	}
	if err == nil {
		err = s.parent.sync()
	}
	return s.cache.unwritable(err)
}

// fill writes all files of the entry but the rootfs, removes the tag, and syncs. A sync of the file
// system makes all files durable with one commit of its journal; a sync of a directory would not
// write the content of the files in it.
func (st *Stage) fill(build string, files map[string]File, evidence map[string][]byte) error {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	err := checkName(build)
	for _, name := range names {
		if err == nil {
			err = checkName(name)
		}
		if err == nil && (name == rootfsName || name == buildName || name == tagName) {
			err = errors.New("a metadata file may not be called " + strconv.Quote(name))
		}
		if err == nil {
			file := files[name]
			err = st.write(st.dir, name, file.Data, file.Mode&0o755|0o400)
		}
	}
	if err == nil {
		err = st.writeEvidence(evidenceName, evidence)
	}
	if err == nil {
		err = st.write(st.dir, buildName, []byte(build+"\n"), 0o644)
	}
	if err == nil {
		err = st.dir.remove(tagName)
	}
	// All bytes must be on disk before the rename is. Before Linux 5.8 only Sync reports that the
	// rootfs could not be written. There is nothing left to write for it.
	if err == nil {
		err = st.dir.syncAll()
	}
	if err == nil {
		err = st.Rootfs.Sync()
	}
	return err
}

// writeEvidence creates a directory in the entry and writes the evidence to it. It does not sync.
func (st *Stage) writeEvidence(name string, evidence map[string][]byte) error {
	inner, err := st.slot.cache.step(st.dir, name, true)
	if err != nil {
		return err
	}
	var files []string
	for file := range evidence {
		files = append(files, file)
	}
	slices.Sort(files)
	for _, file := range files {
		if err == nil {
			err = checkName(file)
		}
		if err == nil {
			err = st.write(inner, file, evidence[file], 0o644)
		}
	}
	inner.file.Close()
	return err
}

// renamePart renames part to fresh. Where part is in a lower layer of overlayfs and
// can't be renamed (see setAside), it moves the files and the evidence, which this run
// has created, to a new directory first.
func (s *Slot) renamePart() error {
	err := s.parent.rename(s.part(), s.fresh())
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	part, err := s.parent.open(s.part())
	if err != nil {
		return err
	}
	names, err := part.names()
	var moved *directory
	if err == nil {
		moved, err = s.cache.step(s.parent, s.stale(), true)
	}
	if err == nil {
		for _, name := range names {
			if err == nil {
				err = part.wrap("rename", name, unix.Renameat(int(part.file.Fd()), name, int(moved.file.Fd()), name))
			}
		}
		if err == nil {
			err = moved.sync()
		}
		moved.file.Close()
	}
	part.file.Close()
	if err == nil {
		err = s.parent.rename(s.stale(), s.fresh())
	}
	if err == nil {
		err = s.parent.removeAll(s.part())
	}
	return err
}
