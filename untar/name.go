package untar

import (
	"bytes"
	"fmt"
)

// Limits of names. PATH_MAX is not a limit, because the extractor opens one component at a
// time.
const (
	maxName       = 64 << 10 // bytes of one path
	maxComponents = 1024     // no real root file system is that deep
	maxComponent  = 255      // NAME_MAX of all Linux file systems, in bytes
	maxTarget     = 4095     // bytes of a symbolic link's target: PATH_MAX without the NUL
)

var (
	errEmptyName  error = textError("empty name")
	errLongName   error = textError("name is too long")
	errDeepName   error = textError("name has too many components")
	errParentName error = textError(`name with ".."`)
	errNULName    error = textError("name with a NUL byte")
)

// cleanName appends the clean form of name to dst: its path below the root, without a
// leading or trailing "/", without "." and empty components. The clean form of the root is
// empty. A ".." is an error.
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
		case len(c) > maxComponent && !(len(name) == 0 && isWhiteout(c) && len(c) <= maxComponent+len(whiteoutPrefix)):
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

// splitPath splits a clean path into its directory and its last component.
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

// stripComponents drops the first n components of a name as stored. Like GNU tar it counts
// everything between slashes, including ".". It returns false if nothing is left.
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

// quote formats a name for an error or a report: escaped, and cut after 200 bytes.
func quote(name []byte) string {
	const most = 200
	if len(name) > most {
		return fmt.Sprintf("%q... (%d bytes)", name[:most], len(name))
	}
	return fmt.Sprintf("%q", name)
}
