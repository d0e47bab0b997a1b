package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// A tree has the files that a package installs or contains. Directories are implied.
type tree []entry

// An entry is one regular file, or a symbolic link if target isn't empty.
type entry struct {
	name   string // relative to the package's root, without a leading slash
	mode   int64
	data   []byte
	target string
}

func (t *tree) file(name string, mode int64, data []byte) {
	*t = append(*t, entry{name: name, mode: mode, data: data})
}

func (t *tree) link(name, target string) {
	*t = append(*t, entry{name: name, mode: 0o777, target: target})
}

// sorted returns the entries and their directories in byte order; a directory's name ends
// in a slash.
func (t tree) sorted() []entry {
	directories := map[string]bool{}
	all := slices.Clone(t)
	for _, e := range t {
		for dir := path.Dir(e.name); dir != "." && !directories[dir]; dir = path.Dir(dir) {
			directories[dir] = true
			all = append(all, entry{name: dir + "/", mode: 0o755})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

// tarGzip writes t as a compressed tar archive in which root owns every entry.
// Names begin with "./", as dpkg and opkg expect.
func (t tree) tarGzip(date time.Time) ([]byte, error) {
	var buffer bytes.Buffer
	tw := tar.NewWriter(&buffer)
	for _, e := range append([]entry{{name: "", mode: 0o755}}, t.sorted()...) {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: "./" + e.name, Mode: e.mode, Size: int64(len(e.data)),
			Uname: "root", Gname: "root", ModTime: date, Format: tar.FormatUSTAR,
		}
		switch {
		case strings.HasSuffix(h.Name, "/"):
			h.Typeflag = tar.TypeDir
		case e.target != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.target
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %v", e.name, err)
		}
		if _, err := tw.Write(e.data); err != nil {
			return nil, fmt.Errorf("%s: %v", e.name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return gzipped(buffer.Bytes())
}

// zip writes t as a zip archive, without entries for directories.
func (t tree) zip(date time.Time) ([]byte, error) {
	var buffer bytes.Buffer
	zw := zip.NewWriter(&buffer)
	for _, e := range t.sorted() {
		if strings.HasSuffix(e.name, "/") {
			continue
		}
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: date}
		h.SetMode(fs.FileMode(e.mode))
		w, err := zw.CreateHeader(h)
		if err == nil {
			_, err = w.Write(e.data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %v", e.name, err)
		}
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// arArchive writes members in the common format of ar(5), as deb(5) requires: names of up
// to 16 bytes, a newline after a member of odd length.
func arArchive(date time.Time, members []product) []byte {
	var buffer bytes.Buffer
	io.WriteString(&buffer, "!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&buffer, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, date.Unix(), 0, 0, "100644", len(m.data))
		buffer.Write(m.data)
		if len(m.data)%2 == 1 {
			buffer.WriteByte('\n')
		}
	}
	return buffer.Bytes()
}

// gzipped compresses as gzip -9n does: no name and no time in the header.
func gzipped(data []byte) ([]byte, error) {
	var buffer bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buffer, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zw.Write(data); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
