// Command manifest prints all properties of a tree that an extraction sets, one JSON
// object per entry and line, so that diff can compare two trees.
//
//	manifest [--since EPOCH] DIR
//
// With --since, a modification time at or after that second is printed as "new": the
// creation itself set it.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An entry is one line. Names and values that aren't UTF-8 are escaped first, because
// JSON would replace their bytes.
type entry struct {
	Path   string            `json:"path"`
	Type   string            `json:"type"`
	Mode   string            `json:"mode"`
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Time   string            `json:"mtime"`
	Size   int64             `json:"size,omitempty"`
	SHA256 string            `json:"sha256,omitempty"`
	Target string            `json:"target,omitempty"`
	Device string            `json:"device,omitempty"`
	Link   string            `json:"link,omitempty"` // the first name of the same inode
	Xattrs map[string]string `json:"xattrs,omitempty"`
}

var types = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "symlink", unix.S_IFCHR: "char",
	unix.S_IFBLK: "block", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket",
}

func main() {
	since := flag.Int64("since", math.MaxInt64, "print times from this second on as \"new\"")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: manifest [--since EPOCH] DIR")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	err := manifest(out, flag.Arg(0), *since)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "manifest: %v\n", err)
		os.Exit(1)
	}
}

func manifest(out io.Writer, root string, since int64) error {
	lines := json.NewEncoder(out)
	first := make(map[[2]uint64]string)
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		e := entry{
			Path: escape(rel), Type: types[st.Mode&unix.S_IFMT], Mode: fmt.Sprintf("%04o", st.Mode&0o7777),
			UID: st.Uid, GID: st.Gid, Time: "new",
		}
		if seconds, nanoseconds := st.Mtim.Unix(); seconds < since {
			e.Time = fmt.Sprintf("%d.%09d", seconds, nanoseconds)
		}
		switch e.Type {
		case "file":
			e.Size = st.Size
			if e.SHA256, err = digest(path); err != nil {
				return err
			}
		case "symlink":
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			e.Target = escape(target)
		case "char", "block":
			e.Device = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if e.Type != "dir" && st.Nlink > 1 {
			inode := [2]uint64{st.Dev, st.Ino}
			if _, ok := first[inode]; !ok {
				first[inode] = e.Path
			}
			e.Link = first[inode]
		}
		if e.Xattrs, err = xattrs(path); err != nil {
			return err
		}
		return lines.Encode(e)
	})
}

// escape writes every byte that is not printable ASCII as an escape sequence.
func escape(s string) string {
	return strings.Trim(fmt.Sprintf("%+q", s), `"`)
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

func xattrs(path string) (map[string]string, error) {
	buf := make([]byte, 1<<16) // the kernel's limit for a list and for a value
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	found := make(map[string]string)
	for _, name := range strings.Split(string(buf[:n]), "\x00") {
		if name == "" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return nil, &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		found[name] = hex.EncodeToString(buf[:n])
	}
	return found, nil
}
