package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// This file has a model of OCI layers (OCI image spec, "layer.md"), a map of paths, and compares
// the extractor with it.

// A modelFile is a file of the model. Hard links share it.
type modelFile struct {
	typ  byte   // a type byte of archive/tar
	text string // content of a file, target of a link
	mode int64
	sec  int64  // -1: not known
	attr string // value of the attribute user.x; "": none
}

// A modelName is a name in the model's tree.
type modelName struct {
	*modelFile
	made   int    // the layer that made it, or has an entry for it if it is no directory
	listed bool   // a directory of a lower layer for which this layer has an entry
	before bool   // it was there before a merge
	kept   string // its attribute before this layer
}

// A model is a tree: its names by path, "" for the root.
type model struct {
	names map[string]modelName
	layer int
	links bool // a path led through a link in this layer
	// merge says that an entry that is refused is left out.
	merge bool
	out   int // entries left out in this layer
}

func newModel() *model {
	return &model{names: map[string]modelName{"": {modelFile: implicit(), made: -1}}}
}

var errModel = errors.New("the model refuses it")

// clone copies the tree. Metadata of directories is copied, too, since layers change it.
func (m *model) clone() *model {
	c := *m
	c.names = maps.Clone(m.names)
	for p, n := range c.names {
		if n.typ == tar.TypeDir {
			f := *n.modelFile
			n.modelFile = &f
			c.names[p] = n
		}
	}
	return &c
}

func under(p, dir string) bool { return dir == "" && p != "" || strings.HasPrefix(p, dir+"/") }

// children returns the names directly in a directory.
func (m *model) children(dir string) (list []string) {
	for p := range m.names {
		if under(p, dir) && !strings.Contains(strings.TrimPrefix(p[len(dir):], "/"), "/") {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// implicit is a directory that no entry describes.
func implicit() *modelFile { return &modelFile{typ: tar.TypeDir, mode: 0o755, sec: -1} }

// walk resolves the links in a path. With make it makes missing directories, and puts one in the
// place of a lower layer's file if no link led there. ok is false if there is no such directory.
func (m *model) walk(p string, make bool) (dir string, ok bool, err error) {
	todo := strings.Split(p, "/")
	for n := 0; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			if dir = path.Dir(dir); dir == "." {
				dir = ""
			}
			continue
		}
		at := path.Join(dir, c)
		f, there := m.names[at]
		switch {
		case there && f.typ == tar.TypeDir:
			dir = at
		case there && f.typ == tar.TypeSymlink:
			m.links = true
			if n++; n > maxLinks {
				return "", false, errModel
			}
			if strings.HasPrefix(f.text, "/") {
				dir = ""
			}
			todo = append(strings.Split(f.text, "/"), todo...)
		case !make:
			return "", false, nil
		case there && (f.made == m.layer || n > 0 || f.before):
			return "", false, errModel
		default:
			m.names[at] = modelName{modelFile: implicit(), made: m.layer}
			dir = at
		}
	}
	return dir, true, nil
}

// hide removes what the lower layers have at a path, and reports whether nothing is left there.
func (m *model) hide(p string) bool {
	f, ok := m.names[p]
	if !ok {
		return true
	}
	if f.made == m.layer {
		return false
	}
	empty := !f.before
	if f.typ == tar.TypeDir {
		for _, c := range m.children(p) {
			empty = m.hide(c) && empty
		}
	}
	if empty && !f.listed {
		delete(m.names, p)
		return true
	}
	if !f.listed && !f.before {
		*f.modelFile = *implicit()
	}
	return false
}

// clear makes room at a path for an entry that is no directory.
func (m *model) clear(p string) error {
	f, ok := m.names[p]
	if ok && f.typ == tar.TypeDir {
		if f.made != m.layer {
			m.hide(p)
		}
		if len(m.children(p)) > 0 {
			return errModel
		}
	}
	if f.before {
		return errModel
	}
	delete(m.names, p)
	return nil
}

// apply applies an entry. attr is its attribute user.x.
func (m *model) apply(h *tar.Header, text, attr string) error {
	name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
	if name == "" {
		f := m.names[""]
		if f.before {
			attr = f.attr
		}
		*f.modelFile = modelFile{typ: tar.TypeDir, mode: h.Mode, sec: h.ModTime.Unix(), attr: attr}
		return nil
	}
	dir, base := path.Split(name)
	if hidden, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		in, ok, err := m.walk(dir, false)
		switch {
		case err != nil || !ok:
			return err
		case base == whiteoutOpaque:
			for _, c := range m.children(in) {
				m.hide(c)
			}
		default:
			m.hide(path.Join(in, hidden))
		}
		return nil
	}
	in, _, err := m.walk(dir, true)
	if err != nil {
		return err
	}
	p := path.Join(in, base)
	old, there := m.names[p]
	file := &modelFile{typ: h.Typeflag, text: text, mode: h.Mode, sec: h.ModTime.Unix(), attr: attr}
	switch h.Typeflag {
	case tar.TypeDir:
		if there && old.typ == tar.TypeDir {
			if old.before && attr == "" {
				file.attr = old.kept
			}
			*old.modelFile = *file
			old.listed = old.made != m.layer
			m.names[p] = old
			return nil
		}
	case tar.TypeLink:
		tdir, tbase := path.Split(h.Linkname)
		tin, ok, err := m.walk(tdir, false)
		if err != nil || !ok {
			return errModel
		}
		target := path.Join(tin, tbase)
		f, ok := m.names[target]
		if !ok || f.before {
			return errModel
		}
		if f.typ == tar.TypeDir {
			return errModel
		}
		if there && old.modelFile == f.modelFile {
			m.names[p] = modelName{modelFile: f.modelFile, made: m.layer}
			return nil
		}
		if err := m.clear(p); err != nil {
			return err
		}
		if _, ok := m.names[target]; !ok {
			return errModel // it was in the directory that made room
		}
		m.names[p] = modelName{modelFile: f.modelFile, made: m.layer}
		return nil
	}
	if err := m.clear(p); err != nil {
		return err
	}
	m.names[p] = modelName{modelFile: file, made: m.layer}
	return nil
}

// A modelEntry is an entry of a layer.
type modelEntry struct {
	tar.Header
	text, attr string
}

// applyLayer applies a layer, and returns the number of entries before the first that is refused.
func (m *model) applyLayer(n int, entries []modelEntry) (int, error) {
	m.layer, m.links, m.out = n, false, 0
	for p, f := range m.names {
		f.listed, f.kept = false, f.attr
		m.names[p] = f
	}
	for i := range entries {
		e := &entries[i]
		if err := m.apply(&e.Header, e.text, e.attr); err != nil {
			if m.out++; !m.merge {
				return i, err
			}
		}
	}
	return len(entries), nil
}

// accepted returns the entries that the model does not refuse after those before them.
func (m *model) accepted(n int, entries []modelEntry) (list []modelEntry) {
	for i := range entries {
		next := m.clone()
		if len(list) > 0 {
			next.layer = n
		} else if _, err := next.applyLayer(n, nil); err != nil {
			continue
		}
		if next.apply(&entries[i].Header, entries[i].text, entries[i].attr) == nil {
			list, m = append(list, entries[i]), next
		}
	}
	return list
}

// describe returns a line for each name, without times that are not known.
func (m *model) describe() []string {
	inodes := map[*modelFile]string{} // the first name of each file
	var lines []string
	for _, p := range slices.Sorted(maps.Keys(m.names)) {
		n := m.names[p]
		f := *n.modelFile
		first, again := inodes[n.modelFile]
		if !again {
			inodes[n.modelFile] = p
			first = p
		}
		if f.typ == tar.TypeSymlink {
			f.mode, f.attr = 0o777, ""
		}
		lines = append(lines, fmt.Sprintf("%q %c %o %d %q %q %q", p, f.typ, f.mode, f.sec, f.text, f.attr, first))
	}
	return lines
}

// describeTree returns such lines for a tree on the disk. Where the model does not know a time,
// the line has -1.
func describeTree(t *testing.T, root string, m *model) []string {
	t.Helper()
	inodes := map[uint64]string{}
	var lines []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p, _ := filepath.Rel(root, name)
		if p == "." {
			p = ""
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		f := modelFile{mode: int64(st.Mode & 0o7777), sec: int64(st.Mtim.Sec)}
		if n, ok := m.names[p]; ok && n.sec == -1 {
			f.sec = -1
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			f.typ = tar.TypeDir
		case unix.S_IFREG:
			f.typ = tar.TypeReg
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			f.text = string(text)
		case unix.S_IFLNK:
			f.typ = tar.TypeSymlink
			if f.text, err = os.Readlink(name); err != nil {
				return err
			}
		case unix.S_IFIFO:
			f.typ = tar.TypeFifo
		}
		if f.typ == tar.TypeDir || f.typ == tar.TypeReg {
			value := make([]byte, 10)
			if n, err := unix.Lgetxattr(name, "user.x", value); err == nil {
				f.attr = string(value[:n])
			}
		}
		first, again := inodes[st.Ino]
		if !again {
			inodes[st.Ino], first = p, p
		}
		lines = append(lines, fmt.Sprintf("%q %c %o %d %q %q %q", p, f.typ, f.mode, f.sec, f.text, f.attr, first))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// layersOf turns bytes into layers, three bytes into an entry. There are few names, so that entries
// meet.
func layersOf(data []byte) (layers [][]modelEntry) {
	join := func(b byte, n int) string {
		p := ""
		for i := range n {
			p = path.Join(p, string("abcd"[b>>(2*i)&3]))
		}
		return p
	}
	layers = [][]modelEntry{nil}
	for i := 0; i+3 <= len(data) && len(layers) <= 6; i += 3 {
		kind, where, extra := data[i], data[i+1], data[i+2]
		depth := int(where >> 6)
		dir := join(where, depth)
		name := join(where, max(depth, 1))
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600 | int64(extra>>2&3)<<3, ModTime: time.Unix(1e9+int64(i), 0)}
		e := modelEntry{}
		switch kind % 11 {
		case 0, 1, 2:
			e.text = fmt.Sprint(i)
		case 3, 4:
			if h.Typeflag, h.Mode = tar.TypeDir, 0o700|int64(extra>>2&7); depth == 0 && extra&1 == 0 {
				h.Name = "."
			}
			h.Name += "/"
			if extra&0xc0 == 0xc0 && h.Name != "./" { // the root may have attributes of the host's
				e.attr = fmt.Sprint(i % 7)
			}
		case 5:
			h.Typeflag, e.text = tar.TypeSymlink, [...]string{"", "/", "../", "../../"}[extra&3]+join(extra>>2, int(extra>>6))
			if e.text == "" {
				e.text = "."
			}
			h.Linkname, h.Mode = e.text, 0o777
		case 6:
			h.Typeflag, h.Linkname = tar.TypeLink, join(extra, max(1, int(extra>>6)))
		case 7, 8:
			h.Name = path.Join(path.Dir(name), whiteoutPrefix+path.Base(name))
		case 9:
			h.Name = path.Join(dir, whiteoutOpaque)
		case 10:
			if extra&1 == 0 {
				layers = append(layers, nil)
				continue
			}
			h.Typeflag = tar.TypeFifo
		}
		if e.attr != "" {
			h.PAXRecords = map[string]string{schilyXattr + "user.x": e.attr}
		}
		e.Header = h
		last := len(layers) - 1
		layers[last] = append(layers[last], e)
	}
	return layers
}

// packLayer returns the archive of a layer.
func packLayer(t *testing.T, entries []modelEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		h.Uid, h.Gid = os.Geteuid(), os.Getegid()
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.text))
		}
		err := w.WriteHeader(&h)
		if err == nil && h.Typeflag == tar.TypeReg {
			_, err = w.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A layerMode says what checkLayers does with the entries that the model refuses.
type layerMode int

const (
	dropRefused  layerMode = iota // drop them, so that more layers are applied
	sameRefused                   // the extractor must refuse the same layers
	mergeRefused                  // merge the other layers into the tree of the first, and leave the entries out
)

// keepBefore makes a tree on the disk and in the model one that was there before a merge.
// Directories without a known time get one.
func (m *model) keepBefore(t *testing.T, root string) {
	t.Helper()
	m.merge = true
	for p, n := range m.names {
		if n.before, n.made = true, -1; n.sec == -1 {
			n.sec = 123456789
			if err := os.Chtimes(filepath.Join(root, p), time.Time{}, time.Unix(n.sec, 0)); err != nil {
				t.Fatal(err)
			}
		}
		m.names[p] = n
	}
}

// plain returns a line for each name, with what a layer can't change in a directory.
func (m *model) plain() map[string]string {
	lines := map[string]string{}
	for p, n := range m.names {
		lines[p] = fmt.Sprintf("%q %c %q", p, n.typ, n.text)
	}
	return lines
}

// checkMerged checks that a merge leaves what was there before, and the image's tree where nothing
// was. Links can lead elsewhere than in the image alone, so it checks trees without them.
func checkMerged(t *testing.T, before, after map[string]string, layers [][]modelEntry) {
	t.Helper()
	alone := newModel()
	for n, entries := range layers {
		if slices.ContainsFunc(entries, isLink) {
			return
		}
		if n > 0 { // a layer of the image
			if _, err := alone.applyLayer(n, entries); err != nil {
				return
			}
		}
	}
	want := maps.Clone(before)
	for p, line := range alone.plain() {
		free := true
		for at := p; at != "." && at != "" && free; at = path.Dir(at) {
			old, taken := before[at]
			free = !taken || at != p && strings.HasPrefix(old, fmt.Sprintf("%q %c", at, tar.TypeDir))
		}
		if free && p != "" {
			want[p] = line
		}
	}
	if !maps.Equal(want, after) {
		t.Fatalf("merged over %q\nleaves %q\nwant %q", before, after, want)
	}
}

func isLink(e modelEntry) bool { return e.Typeflag == tar.TypeLink || e.Typeflag == tar.TypeSymlink }

// checkLayers applies layers to an empty directory and to the model, and compares them.
func checkLayers(t *testing.T, dir string, layers [][]modelEntry, mode layerMode) {
	t.Helper()
	s := &sandbox{dir: dir, root: filepath.Join(dir, "root")}
	makeTree(t, dir, "root/", "victim/hello=hello\n")
	s.before = s.outside(t)
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	attrs := unix.Lsetxattr(s.root, "user.x", []byte("1"), 0) == nil // the file system has them
	if attrs {
		unix.Lremovexattr(s.root, "user.x")
	}
	m := newModel()
	opt := Options{Strict: true, Layer: true, Vouched: true}
	var mine map[string]string
	for n, entries := range layers {
		if n == 1 && mode == mergeRefused {
			m.keepBefore(t, s.root)
			opt.Merge, mine = true, m.plain()
		}
		if !attrs {
			for i := range entries {
				entries[i].attr, entries[i].PAXRecords = "", nil
			}
		}
		if mode == dropRefused || mode == mergeRefused && n == 0 {
			entries = m.accepted(n, entries)
		}
		var names []string
		for _, e := range entries {
			names = append(names, fmt.Sprintf("%c %s %s%s", e.Typeflag, e.Name, e.Linkname, e.attr))
		}
		before := m.clone()
		done, merr := m.applyLayer(n, entries)
		rep, err := r.Extract(bytes.NewReader(packLayer(t, entries)), opt)
		s.check(t)
		if (err == nil) != (merr == nil) {
			t.Fatalf("layer %d, entry %d: %q\nover %q\nextractor: %v, model: %v", n, done, names, before.describe(), err, merr)
		}
		if merr != nil {
			return
		}
		if got, want := describeTree(t, s.root, m), m.describe(); !slices.Equal(got, want) {
			t.Fatalf("layer %d: %q\nover\n%s\nleaves\n%s\nwant\n%s", n, names, strings.Join(before.describe(), "\n"), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if m.merge {
			left := 0
			for _, note := range rep.Notes {
				if note.Fate == LeftOut {
					left += int(note.Count)
				}
			}
			if left != m.out {
				t.Fatalf("layer %d: %q over\n%s\n%d entries left out, want %d", n, names, strings.Join(before.describe(), "\n"), left, m.out)
			}
			checkMerged(t, mine, m.plain(), layers[:n+1])
		}
		// Without links the result is the same if the whiteouts come first or last.
		if m.links || m.out > 0 || slices.ContainsFunc(entries, isLink) {
			continue
		}
		isWhiteout := func(e modelEntry) int {
			if strings.HasPrefix(path.Base(e.Name), whiteoutPrefix) {
				return 1
			}
			return 0
		}
		for _, sign := range []int{1, -1} {
			other := before.clone()
			sorted := slices.Clone(entries)
			slices.SortStableFunc(sorted, func(a, b modelEntry) int { return sign * (isWhiteout(a) - isWhiteout(b)) })
			if _, err := other.applyLayer(n, sorted); err != nil || other.links || other.out > 0 {
				continue // a whiteout has removed a file that was in the way, or a link
			}
			if got, want := other.describe(), m.describe(); !slices.Equal(got, want) {
				t.Fatalf("layer %d: %q over\n%s\ndepends on the order of whiteouts (%d):\n%s\nor\n%s", n, names, strings.Join(before.describe(), "\n"), sign, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// TestLayerModel applies random layers.
func TestLayerModel(t *testing.T) {
	base := t.TempDir()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(1, seed))
		data := make([]byte, 3*(10+rnd.IntN(60)))
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		dir := filepath.Join(base, fmt.Sprint(seed))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		checkLayers(t, dir, layersOf(data), layerMode(seed%3))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzLayers compares the extractor with the model. Run it with the temporary directory on a tmpfs.
func FuzzLayers(f *testing.F) {
	for _, layers := range []string{
		"\x0a\x00\x00",                                                            // empty layers
		"\x00\x40a\x0a\x00\x00\x07\x40a",                                          // a file; its whiteout
		"\x00\x90a\x0a\x00\x00\x00\x94a\x09\x40\x00",                              // a/e...; opaque after an entry
		"\x03\x40\xc1\x0a\x00\x00\x03\x40\x01",                                    // a directory with an attribute, then without
		"\x05\x40\x44\x00\x80\x00\x0a\x00\x00\x07\x80\x00",                        // a link, a file below it, a whiteout
		"\x00\x84a\x0a\x00\x00\x06\x41\x84\x07\x84a\x09\x00\x00",                  // a hard link to a lower file
		"\x00\x80a\x0a\x00\x00\x00\x84a\x0a\x00\x00\x07\x40a\x00\x40a__",          // a/a was there; a/b of a layer; .wh.a, a file a
		"\x00\x40a\x0a\x00\x00\x00\x80a\x00\x41a\x0a\x00\x00\x00\x81a\x07\x40a__", // a was there; a/a left out; b replaced by a directory
	} {
		f.Add([]byte(layers))
	}
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 600 {
			return
		}
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		checkLayers(t, dir, layersOf(data), layerMode(len(data)%3))
		if r, err := OpenRoot(dir); err == nil {
			r.RemoveContents()
			r.Close()
		}
		os.Remove(dir)
	})
}
