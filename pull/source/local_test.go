package source

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// localFinder returns a Finder of a file of this machine, and what it says.
func localFinder(file *File) (*Finder, *strings.Builder) {
	heard := new(strings.Builder)
	line := func(text string) { heard.WriteString(text + "\n") }
	opt := Options{Wanted: Wanted{File: file}, Clock: NewClock(time.Time{}, time.Now()), Mode: lxc.System, Servers: new(Servers)}
	tell := Listener{Say: line, Tell: line, Note: line, Warn: func(_, text string) { line(text) }, Image: func(image.Image, string, bool) {}}
	return Open(opt, tell), heard
}

// tarOf makes an archive of files, whose names and contents alternate.
func tarOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}
		if strings.HasSuffix(files[i], "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(files[i+1]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const shortIncus = "architecture: x86_64\ntemplates:\n  /etc/a:\n    when:\n    - create\n    template: a.tpl\n"

// A file of this machine, whatever it has, is either refused or has the bytes and names that
// belong to it: a root file system in a directory of an archive only with Incus' metadata, and
// names that are safe.
func FuzzLocal(f *testing.F) {
	for _, seed := range [][]byte{
		{}, []byte("hsqs"), []byte("hsqs and more"), tarOf(f), tarOf(f, "etc/", "", "etc/passwd", "x"),
		tarOf(f, "metadata.yaml", shortIncus, "templates/", "", "templates/a.tpl", "{{ container.name }}", "rootfs/", ""),
		tarOf(f, "metadata.yaml", shortIncus, "rootfs/", "", "rootfs/etc/", "", "templates/a.tpl", "x"),
		tarOf(f, "metadata.yaml", shortIncus), tarOf(f, "./metadata.yaml", "architecture: ../x\n", "./rootfs/", ""),
		tarOf(f, "rootfs/", "", "metadata.yaml", shortIncus), tarOf(f, "oci-layout", "{}"), tarOf(f, "manifest.json", "[]"), tarOf(f, "blobs/sha256/", ""),
		tarOf(f, strings.Repeat("0a", 32)+"/json", "{}"), tarOf(f, "rootfs.x86_64/", "", "rootfs.x86_64/etc/", ""),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, stock bool) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		finder, _ := localFinder(&File{Path: path, Stock: stock})
		found, err := finder.Find(t.Context(), image.Query{})
		if err != nil {
			if found != nil {
				t.Error("a Found next to an error")
			}
			return
		}
		layer := &found.Layers[0]
		stream, err := found.Open(t.Context(), 0)
		if err != nil || stream.File() == nil || stream.File().Size() != int64(len(data)) || layer.Packed != int64(len(data)) {
			t.Fatalf("%v, %+v", err, layer)
		}
		if layer.Squashfs != untar.IsSquashfs(data) || layer.Squashfs && layer.Inside != "" {
			t.Errorf("form %+v", layer.Form)
		}
		if (layer.Inside != "") != (found.Incus != nil) || stock && (found.Incus != nil || layer.Top || found.Meta != nil) || layer.Top && layer.Inside != "" {
			t.Errorf("form %+v, metadata %+v", layer.Form, found.Incus)
		}
		for _, name := range []string{found.Image.Dist, found.Image.Release, found.Image.Variant} {
			if image.CheckName(name) != nil {
				t.Errorf("name %q", name)
			}
		}
		if arch := found.Image.Arch; arch != "" && image.CheckName(arch) != nil {
			t.Errorf("architecture %q", arch)
		}
		if config, _ := found.Meta.Relevant("config", lxc.System); strings.Count(string(config), "\n") > 2 {
			t.Errorf("config %q", config)
		}
		found.Close()
		found.Close()
	})
}

// What the beginning of an archive says is the same for a pipe, as far as it has come.
func TestLocalForms(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		data []byte
		form string
	}{
		"archive":       {tarOf(t, "etc/", ""), "top"},
		"unified":       {tarOf(t, "metadata.yaml", shortIncus, "templates/a.tpl", "x", "rootfs/", ""), "rootfs x"},
		"no templates":  {tarOf(t, "metadata.yaml", shortIncus, "rootfs/", ""), "rootfs "},
		"last":          {tarOf(t, "metadata.yaml", shortIncus, "rootfs/", "", "rootfs/big", strings.Repeat("x", maxLook), "templates/a.tpl", "x"), "rootfs x"},
		"metadata only": {tarOf(t, "metadata.yaml", shortIncus, "etc/", ""), "top"},
		"squashfs":      {[]byte("hsqs" + strings.Repeat("\x00", 100)), "squashfs top"},
		"rootfs first":  {tarOf(t, "rootfs/", "", "rootfs/big", strings.Repeat("x", maxLook), "metadata.yaml", shortIncus, "templates/a.tpl", "x"), "rootfs x"},
		"rootfs alone":  {tarOf(t, "rootfs/", "", "rootfs/etc/", "", "manifest.json", ""), "top"},
		"large first":   {tarOf(t, "templates/b.tpl", strings.Repeat("x", maxLook/2+1), "templates/c.tpl", strings.Repeat("x", maxLook/2+1), "metadata.yaml", shortIncus, "templates/a.tpl", "x", "rootfs/", ""), "rootfs x"},
	} {
		path := filepath.Join(dir, "x")
		if err := os.WriteFile(path, test.data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, piped := range []bool{false, true} {
			file := &File{Path: path}
			finder, heard := localFinder(file)
			if piped {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				go func() { w.Write(test.data); w.Close() }()
				file.Path, finder.opt.Stdin = "-", r
				finder.Provide(0, func() (*os.File, error) { return os.Create(filepath.Join(dir, "spool")) })
			}
			found, err := finder.Find(t.Context(), image.Query{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			form := ""
			switch f := &found.Layers[0].Form; {
			case f.Squashfs && f.Top:
				form = "squashfs top"
			case f.Top:
				form = "top"
			case f.Inside != "":
				form = f.Inside + " " + string(found.Incus.Templates[0].Text)
			}
			if form != test.form {
				t.Errorf("%s, piped %v: %q, want %q; heard %s", name, piped, form, test.form, heard)
			}
			found.Close()
		}
	}
}

// What is no root file system is refused with what it is, by path and by pipe.
func TestLocalRefused(t *testing.T) {
	dir := t.TempDir()
	digest := strings.Repeat("0a", 32)
	for want, data := range map[string][]byte{
		"is empty":                                nil,
		"is a bundle: name it bundle:":            tarOf(t, bundleFile, bundleBegin+"url\n", "etc/", ""),
		"name it docker-archive:":                 tarOf(t, digest+".tar", "x", "etc/", ""),
		"name it oci-archive:":                    tarOf(t, "blobs/", ""),
		"is no archive: it begins with zeros":     make([]byte, 3<<20),
		"nor a squashfs image: not a tar archive": []byte(strings.Repeat("a text\n", 1000)),
		"metadata.yaml is not a regular file":     tarOf(t, "rootfs/", "", "metadata.yaml/", ""),
	} {
		path := filepath.Join(dir, "x")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, piped := range []bool{false, true} {
			file := &File{Path: path}
			finder, _ := localFinder(file)
			if piped {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				go func() { w.Write(data); w.Close() }()
				file.Path, finder.opt.Stdin = "-", r
				finder.Provide(0, func() (*os.File, error) { return os.Create(filepath.Join(dir, "spool")) })
			}
			if _, err := finder.Find(t.Context(), image.Query{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("piped %v: %v, want %q", piped, err, want)
			}
		}
	}
	path := filepath.Join(dir, "tree")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	finder, _ := localFinder(&File{Path: path})
	if _, err := finder.Find(t.Context(), image.Query{}); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.Mkdir(filepath.Join(path, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere/metadata.yaml", filepath.Join(path, incusFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := finder.Find(t.Context(), image.Query{}); err == nil || !strings.Contains(err.Error(), "is not a regular file, nor") {
		t.Errorf("a link to metadata elsewhere: %v", err)
	}
	path = filepath.Join(dir, "unified")
	if err := os.WriteFile(path, tarOf(t, "metadata.yaml", shortIncus, "rootfs/", "", "rootfs/big", strings.Repeat("x", maxMeta+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x")
	if err := os.WriteFile(file, tarOf(t, "etc/", ""), 0o600); err != nil {
		t.Fatal(err)
	}
	finder, _ = localFinder(&File{Path: file, Metadata: path})
	if _, err := finder.Find(t.Context(), image.Query{}); err == nil || !strings.Contains(err.Error(), "more than the limit of 4.0 MiB") {
		t.Errorf("a root file system as metadata: %v", err)
	}
}

// The metadata in an archive must be of the bytes with the digest, too: whoever can write the file
// may have another one there when it is unpacked.
func TestLocalOtherMetadata(t *testing.T) {
	unified := func(text string) []byte {
		return tarOf(t, "metadata.yaml", shortIncus, "templates/a.tpl", text, "rootfs/", "", "rootfs/big", strings.Repeat("x", maxLook))
	}
	path := filepath.Join(t.TempDir(), "x")
	for _, text := range []string{"good", "evil"} {
		if err := os.WriteFile(path, unified(text), 0o600); err != nil {
			t.Fatal(err)
		}
		finder, _ := localFinder(&File{Path: path, SHA256: sumOf(unified("good"))})
		found, err := finder.Find(t.Context(), image.Query{})
		if found != nil { // the file may also change after Find's check
			err := found.useFile(t.Context(), found.pinned.at.own, io.NewSectionReader(bytes.NewReader(unified("evil")), 0, int64(len(unified("evil")))))
			if KindOf(err) != Unverified {
				t.Errorf("the file changes: %v", err)
			}
		}
		if text == "good" && (err != nil || string(found.Incus.Templates[0].Text) != text) || text != "good" && KindOf(err) != Unverified {
			t.Errorf("%s: %v", text, err)
		}
		if found != nil {
			found.Close()
		}
	}
}

// With a digest, bytes that are not a root file system are reported as other bytes.
func TestLocalOtherBytes(t *testing.T) {
	for _, data := range [][]byte{nil, []byte(strings.Repeat("a text\n", 1000)), tarOf(t, "oci-layout", "{}"), tarOf(t, "metadata.yaml", "a: &b c\n", "rootfs/", ""), tarOf(t, "blobs/", "", "x", strings.Repeat("x", 2*maxLook))} {
		for _, right := range []bool{false, true} {
			sum := sumOf([]byte("x"))
			if right {
				sum = sumOf(data)
			}
			path := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() { w.Write(data); w.Close() }()
			for _, name := range []string{path, "-"} {
				finder, _ := localFinder(&File{Path: name, SHA256: sum})
				finder.opt.Stdin = r
				if _, err := finder.Find(t.Context(), image.Query{}); err == nil || (KindOf(err) == Unverified) != (!right && data != nil) {
					t.Errorf("%.20q, right %v, %q: %v", data, right, name, err)
				}
			}
			r.Close()
		}
	}
}

// Metadata of Incus gives the same config whether it is beside the root file system or in its archive.
func TestLocalIncusMeta(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"unified": tarOf(t, "metadata.yaml", shortIncus, "rootfs/", ""), "meta": tarOf(t, "metadata.yaml", shortIncus), "rootfs": tarOf(t, "etc/", "")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []*File{{Path: dir + "/unified"}, {Path: dir + "/rootfs", Metadata: dir + "/meta"}} {
		finder, _ := localFinder(file)
		found, err := finder.Find(t.Context(), image.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if config, _ := found.Meta.Relevant("config", lxc.System); string(config) != "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n" {
			t.Errorf("%s: config %q", file.Path, config)
		}
		found.Close()
	}
}

// The texts of templates, and their number, have a limit.
func TestLocalTemplateLimits(t *testing.T) {
	large := tarOf(t, "metadata.yaml", shortIncus, "templates/a.tpl", strings.Repeat("x", maxMetaFile+1), "rootfs/", "")
	many := []string{"metadata.yaml", shortIncus}
	for i := range maxTemplates + 1 {
		many = append(many, fmt.Sprintf("templates/%d", i), "")
	}
	for _, data := range [][]byte{large, tarOf(t, append(many, "rootfs/", "")...)} {
		path := filepath.Join(t.TempDir(), "x")
		os.WriteFile(path, data, 0o600)
		finder, _ := localFinder(&File{Path: path})
		if found, err := finder.Find(t.Context(), image.Query{}); found != nil || err == nil || !strings.Contains(err.Error(), "than allowed") {
			t.Errorf("%v, %v", found, err)
		}
	}
}
