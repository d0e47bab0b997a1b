package untar

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io/fs"

	"golang.org/x/sys/unix"
)

var errWhiteout error = textError("bad whiteout name")

// Names of whiteouts (OCI image spec, "layer.md"): ".wh.NAME" hides NAME of the lower
// layers, ".wh..wh..opq" hides everything that the lower layers have in the directory.
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// isWhiteout reports whether the last component of a path is the name of a whiteout. It may be
// longer than a file's name by the prefix.
func isWhiteout(base []byte) bool { return bytes.HasPrefix(base, []byte(whiteoutPrefix)) }

// whiteout removes what the lower layers have at a name. Files of this layer stay, in
// whichever order the entries come, and so do files that were there before a merge.
func (x *extractor) whiteout(dir, base []byte) error {
	name := base[len(whiteoutPrefix):]
	opaque := string(base) == whiteoutOpaque
	if !opaque && (len(name) == 0 || string(name) == "." || string(name) == "..") {
		return errWhiteout
	}
	fd, _, err := x.dirs.enter(dir)
	if err != nil && isNotDir(err) {
		canon, rerr := x.root.resolve(string(dir), resolveOptions{last: true, layer: x})
		if err = rerr; err == nil {
			dir = canon
			fd, _, err = x.dirs.enter(dir)
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil // there is nothing to hide
	}
	if err == nil {
		err = x.noteLower(fd, dir)
	}
	if err != nil {
		return err
	}
	if opaque {
		return x.purge(fd, dir, "")
	}
	return x.purge(fd, dir, string(name))
}

// purge removes what the lower layers have at a name in a directory, or in the whole
// directory if name is "". fd is open on the directory. Files that this layer made stay. Then
// purge remembers that no file of a lower layer is left: none can appear later, and to look
// again for each whiteout would cost the number of whiteouts times the number of files.
func (x *extractor) purge(fd int, dir []byte, name string) error {
	if x.isPurged(dir, name) {
		return nil
	}
	x.targets.pop(0) // its path may contain a directory that goes
	key := bytes.Clone(dir)
	rm := &remover{d: dirStack{root: fd, base: key[:len(dir):len(dir)], most: 4, known: &x.root.known}, layer: x}
	if len(dir) == 0 {
		rm.d.base, rm.ignore = nil, x.root.ignores
	}
	if name == "" {
		key = contentKey(key)
		rm.run(nil)
	} else {
		key = joinPath(key, name)
		rm.run([]string{name})
	}
	if rm.err == nil {
		if x.made.purged == nil {
			x.made.purged = make(map[uint64]struct{})
		}
		x.made.purged[maphash.Bytes(x.made.seed, key)] = struct{}{}
	}
	return rm.err
}

// contentKey returns the key in madePaths.purged for the content of a directory. The path
// itself is the key for the directory and its content.
func contentKey(path []byte) []byte {
	if len(path) > 0 {
		path = append(path, '/')
	}
	return path
}

// hasPurged reports whether a key is in madePaths.purged.
func (x *extractor) hasPurged(key []byte) bool {
	_, ok := x.made.purged[maphash.Bytes(x.made.seed, key)]
	return ok
}

// isPurged reports whether a directory, or a name in it, is known to contain no file of a
// lower layer.
func (x *extractor) isPurged(dir []byte, name string) bool {
	if len(x.made.purged) == 0 {
		return false
	}
	if name != "" && x.hasPurged(joinPath(bytes.Clone(dir), name)) {
		return true
	}
	var h maphash.Hash
	h.SetSeed(x.made.seed)
	has := func() bool {
		_, ok := x.made.purged[h.Sum64()]
		return ok
	}
	for {
		if has() {
			return true // the directory and its content; first, the content of the root
		}
		if len(dir) == 0 {
			return false
		}
		component, rest, _ := bytes.Cut(dir, []byte("/"))
		h.Write(component)
		if has() {
			return true
		}
		h.WriteByte('/')
		dir = rest
	}
}

// judge tells a remover to keep what this layer made, and what was there before a merge.
func (x *extractor) judge(dir int, name cname, path []byte) verdict {
	f, directory := x.kept.directories[string(path)]
	made := x.made.has(path)
	if directory && f.fresh || made && !f.named || x.hasPurged(path) {
		return stays
	}
	is, purged := x.made.origin(dir, name, path), x.hasPurged(contentKey(path))
	switch {
	case purged && (made || is == shared):
		return stays
	case is == shared:
		if fd, err := openDir(dir, name); err == nil {
			x.noteLower(fd, path) // beyond the limit of memory, only this time is lost
			unix.Close(fd)
		}
	case is == goes && purged:
		return goesEmpty
	case is == goes && directory && f.named:
		return opens // a lower layer made it, and this layer has an entry for it
	}
	return is
}
