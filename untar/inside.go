package untar

import (
	"bytes"
	"fmt"
	"io"
)

// A within is the entries below one directory of an archive, by their names below it, and that
// directory as the root.
type within struct {
	in               entries
	x                *extractor
	dir              []byte // clean
	found            bool   // an entry was dir or below it
	path, name, link []byte // of the current entry
}

// within returns the entries of in that Filter.Inside leaves, by their new names.
func (x *extractor) within(in entries) (entries, error) {
	f := &x.opt.Filter
	dir := []byte(nil)
	if f.Inside != "" {
		var err error
		if dir, err = cleanName(nil, []byte(f.Inside)); err != nil {
			return nil, fmt.Errorf("directory %q: %w", f.Inside, err)
		}
	}
	if len(dir) == 0 {
		return in, nil
	}
	if f.Top {
		x.rep.Top = f.Inside
	}
	return &within{in: in, x: x, dir: dir}, nil
}

// next implements entries.
func (w *within) next() (*Entry, error) {
	for {
		e, err := w.in.next()
		if err == io.EOF && !w.found {
			err = &MissingError{string(w.dir)}
		}
		if err != nil {
			return nil, err
		}
		ok, err := w.move(e)
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", quote(e.Name), err)
		}
		if ok {
			w.found = true
			return e, nil
		}
		if w.x.rep.Entries++; w.x.rep.Entries > w.x.selection.maxEntries {
			return nil, w.in.fail(errTooMany)
		}
	}
}

// chunk and fail implement entries.
func (w *within) chunk(max int64) ([]byte, error) { return w.in.chunk(max) }
func (w *within) fail(cause error) error          { return w.in.fail(cause) }

// move gives an entry its name below the directory. It returns false if the entry is not there.
func (w *within) move(e *Entry) (ok bool, err error) {
	if w.path, err = cleanName(w.path[:0], e.Name); err != nil {
		return false, err
	}
	if !isBelow(w.path, w.dir) {
		if w.x.opt.Filter.Top && len(w.path) > 0 {
			top, _, below := bytes.Cut(w.path, []byte("/"))
			if rootNames(top) != 0 && (below || e.Type != TypeFile) {
				return false, w.in.fail(fmt.Errorf("%s is beside %s, so that it is not clear which is the root file system's", quote(top), quote(w.dir)))
			}
			w.x.rep.note("file", "not extracted", "not below "+quote(w.dir), e.Name)
		}
		return false, nil
	}
	w.name = append(append(w.name[:0], "./"...), bytes.TrimPrefix(w.path[len(w.dir):], []byte("/"))...)
	if e.Type == TypeDir && len(w.path) > len(w.dir) {
		w.name = append(w.name, '/')
	}
	if e.Name = w.name; e.Type != TypeLink {
		return true, nil
	}
	if w.link, err = cleanName(w.link[:0], e.Link); err == nil && !isBelow(w.link, w.dir) {
		err = errTargetGone
	}
	if err != nil {
		return false, targetError(e, err)
	}
	if e.Link = bytes.TrimPrefix(w.link[len(w.dir):], []byte("/")); len(e.Link) == 0 {
		e.Link = []byte(".")
	}
	return true, nil
}
