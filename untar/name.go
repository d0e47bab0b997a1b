package untar

import (
	"bytes"
	"errors"
	"fmt"
)

// Limits of names. The extractor walks one component at a time, so PATH_MAX is
// none of them.
const (
	maxName       = 64 << 10 // bytes of one path
	maxComponents = 1024     // a tree that deep is a bomb, not a root filesystem
	maxComponent  = 255      // NAME_MAX of every Linux file system
	maxTarget     = 4095     // bytes of a symbolic link's target: PATH_MAX less the NUL
)

var (
	errEmptyName  = errors.New("empty name")
	errLongName   = errors.New("name is too long")
	errDeepName   = errors.New("name has too many components")
	errParentName = errors.New(`name with ".."`)
	errNULName    = errors.New("name with a NUL byte")
)

// cleanName appends name to dst as the path below the root that it means: no
// leading '/', no "." and no empty components, no trailing '/'. The root itself
// is the empty path. A ".." is an error, never resolved.
func cleanName(dst, name []byte) ([]byte, error) {
	if len(name) == 0 {
		return nil, errEmptyName
	}
	if len(name) > maxName {
		return nil, errLongName
	}
	start, n := len(dst), 0
	for len(name) > 0 {
		i := bytes.IndexByte(name, '/')
		c := name
		if i < 0 {
			name = nil
		} else {
			c, name = name[:i], name[i+1:]
		}
		switch {
		case len(c) == 0, len(c) == 1 && c[0] == '.':
			continue
		case len(c) == 2 && c[0] == '.' && c[1] == '.':
			return nil, errParentName
		case len(c) > maxComponent:
			return nil, errLongName
		case bytes.IndexByte(c, 0) >= 0:
			return nil, errNULName
		}
		if n++; n > maxComponents {
			return nil, errDeepName
		}
		if len(dst) > start {
			dst = append(dst, '/')
		}
		dst = append(dst, c...)
	}
	return dst, nil
}

// splitPath cuts a clean path into its directory and its last component.
func splitPath(path []byte) (dir, base []byte) {
	if i := bytes.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return nil, path
}

// joinPath appends a component to a clean path.
func joinPath(path []byte, name string) []byte {
	if len(path) > 0 {
		path = append(path, '/')
	}
	return append(path, name...)
}

// stripComponents drops the first n components of a name as stored, which GNU
// tar counts as they stand between slashes, "." too. It reports false where
// nothing is left.
func stripComponents(name []byte, n int) ([]byte, bool) {
	name = bytes.Trim(name, "/")
	for ; n > 0; n-- {
		i := bytes.IndexByte(name, '/')
		if i < 0 {
			return nil, false
		}
		name = bytes.TrimLeft(name[i+1:], "/")
	}
	return name, true
}

// quote shows a name in an error or a report: escaped, and cut where it is so
// long that it would hide the rest.
func quote(name []byte) string {
	const most = 200
	if len(name) > most {
		return fmt.Sprintf("%q... (%d bytes)", name[:most], len(name))
	}
	return fmt.Sprintf("%q", name)
}
