package pull

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lxc-pull/image"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// testSquashfs is a squashfs image with etc/hostname, whose content is "LXC_NAME\n", and the link
// usr/x, made by mksquashfs.
const testSquashfs = "aHNxcwUAAAAAAAAAAAACAAEAAAABABEAwAIBAAQAAAB+AAAAAAAAADABAAAAAAAAKAEAAAAAAAD//////////2kAAAAAAAAAsgAA" +
	"AAAAAAD9AAAAAAAAABoBAAAAAAAATFhDX05BTUUKRwB42mNiWMLIAAVMDKiAE4gZGd7C5RmR1MkDMSsQMzP8h8uzQNWwAbGenn5q" +
	"STKybmYk3RIMMmDdyPKsSKaoMhiCTQEAKVMHHzcAeNpjYIAAJjjNzpCRX1ySl5ibChViYAFiByBmBuIKRqggiFYA00wMqSXJcUAK" +
	"xCwtLgIAAoAHSBCAYAAAAAAAAAAJAAABAAAAAOsAAAAAAAAAEwB42lNgQAVxUNoBStdBaQAV6AE9BQEAAAAAAAAEgAAAAAAiAQAA" +
	"AAAAAA=="

// belowSquashfs is the same below the directory root.x86_64.
const belowSquashfs = "aHNxcwYAAAAFAAAAAAACAAEAAAABABEAwAABAAQAAACeAAAAAAAAAFkBAAAAAAAAUQEAAAAAAAD//////////2kAAAAAAAAAwwAAAAAAAAAiAQ" +
	"AAAAAAAEMBAAAAAAAATFhDX05BTUUKWAB42mNiWMLIAASsQMzMgAo4gZiR4S1cngkqDqLlwXIgPf/h8qxQMTYg1tPTTy1JRtbNgqRbgkEGrBJZ" +
	"nhEqD1KnymAINgVZng0qD3KlEkMwAzuQBgA3MwipSwB42mNggABmKM3EwM6QkV9ckpeYmwoVYmAFYgeomgpGuEIGBgUgZgSyUkuS44AUiFlaXA" +
	"TTBlJZB6a5GIry80v0KizM4s1MAAe8C3YQgGAAAAAAAAAACQAAAQAAAAAQAQAAAAAAABcAeNqrY4AABQZUEAelHaD0PCgNAC6QAdsqAQAAAAAA" +
	"AASAAAAAAEsBAAAAAAAA"

func squashfs(t *testing.T) []byte { return decoded(t, testSquashfs) }

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fileFinder returns a Finder of a file of this machine.
func fileFinder(t *testing.T, file *source.File, heard *strings.Builder) *source.Finder {
	t.Helper()
	return pipedFinder(t, file, nil, heard)
}

// pipedFinder is fileFinder with a standard input.
func pipedFinder(t *testing.T, file *source.File, stdin *os.File, heard *strings.Builder) *source.Finder {
	t.Helper()
	opt := testOptions(t, "")
	opt.File, opt.Stdin = file, stdin
	return source.Open(opt, into(heard))
}

// piped returns the reading end of a pipe with data.
func piped(t *testing.T, data []byte) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		w.Write(data)
		w.Close()
	}()
	t.Cleanup(func() { r.Close() })
	return r
}

// elfFile is the beginning of a program for riscv64.
func elfFile() string {
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 57)...)
	binary.LittleEndian.PutUint16(b[16:], 2)
	binary.LittleEndian.PutUint16(b[18:], 0xf3)
	b[20] = 1
	return string(b)
}

const incusText = `architecture: riscv64
creation_date: 1700000000
expiry_date: 1900000000
properties:
  os: Debian
  release: trixie
  variant: cloud
templates:
  /etc/hostname:
    when:
    - create
    - copy
    template: hostname.tpl
  /etc/deep/new:
    when:
    - create
    template: hostname.tpl
    create_only: true
    mode: "0600"
  /etc/issue:
    when:
    - create
    template: plain.tpl
    create_only: true
  /etc:
    when:
    - create
    template: plain.tpl
  /out/file:
    when:
    - create
    template: plain.tpl
  /etc/started:
    when:
    - start
    template: plain.tpl
  /etc/complex:
    when:
    - create
    template: complex.tpl
  /etc/lost:
    when:
    - create
    template: lost.tpl
`

func incusFiles() []testEntry {
	return []testEntry{
		{name: "templates/"}, {name: "templates/hostname.tpl", text: "{{ container.name }}\n"},
		{name: "templates/plain.tpl", text: "plain\n"}, {name: "templates/complex.tpl", text: "{% if x %}y{% endif %}\n"},
	}
}

// Every form of a root file system on this machine gives the same tree, and a config with which
// LXC starts the container.
func TestRunFile(t *testing.T) {
	syscall.Umask(0o022)
	plain := pack(t, testEntry{name: "etc/"}, testEntry{name: "etc/hostname", text: "LXC_NAME\n"}, testEntry{name: "usr/"}, testEntry{name: "usr/x", target: "../etc"})
	below1 := pack(t, testEntry{name: "root.x86_64/"}, testEntry{name: "root.x86_64/etc/"}, testEntry{name: "root.x86_64/etc/hostname", text: "LXC_NAME\n"},
		testEntry{name: "root.x86_64/usr/"}, testEntry{name: "root.x86_64/usr/x", target: "../etc"})
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	writeFile(t, tree+"/etc/hostname", []byte("LXC_NAME\n"))
	if err := errors.Join(os.Mkdir(tree+"/usr", 0o755), os.Symlink("../etc", tree+"/usr/x"), os.Chmod(tree, 0o755)); err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) *source.File {
		writeFile(t, filepath.Join(dir, name), data)
		return &source.File{Path: filepath.Join(dir, name)}
	}
	regular, err := os.Open(filepath.Join(dir, file("at", append([]byte("read"), plain...)).Path[len(dir):]))
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	regular.Seek(4, 0)
	sum := func(data []byte) image.Digest { return image.Digest(digestOf(data)) }
	stdin := map[string]*os.File{
		"piped squashfs, top":       piped(t, decoded(t, belowSquashfs)),
		"piped archive":             piped(t, plain),
		"piped archive with digest": piped(t, plain),
		"piped top directory":       piped(t, below1),
		"piped squashfs":            piped(t, squashfs(t)),
		"piped squashfs, digest":    piped(t, squashfs(t)),
		"redirected archive":        regular,
	}
	for name, from := range map[string]*source.File{
		"archive":                   file("plain", plain),
		"archive with digest":       {Path: file("plain2", plain).Path, SHA256: sum(plain)},
		"top directory":             file("below", below1),
		"squashfs":                  file("squashfs", squashfs(t)),
		"squashfs with digest":      {Path: file("squashfs2", squashfs(t)).Path, SHA256: sum(squashfs(t))},
		"squashfs, top directory":   file("squashfs3", decoded(t, belowSquashfs)),
		"piped squashfs, top":       {Path: "-"},
		"directory":                 {Path: tree},
		"piped archive":             {Path: "-"},
		"piped archive with digest": {Path: "-", SHA256: sum(plain)},
		"piped top directory":       {Path: "-"},
		"piped squashfs":            {Path: "-"},
		"piped squashfs, digest":    {Path: "-", SHA256: sum(squashfs(t))},
		"redirected archive":        {Path: "-"},
	} {
		for _, first := range []bool{false, true} {
			if first && from.Path == "-" {
				continue // it was read
			}
			lxcPath := t.TempDir()
			target := newContainer(t, lxcPath)
			var heard strings.Builder
			_, err := Run(t.Context(), pipedFinder(t, from, stdin[name], &heard), image.Query{}, target, Options{Tell: into(&heard), VerifyFirst: first})
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, &heard)
				continue
			}
			want := ". drwxr-xr-x\ndev drwxr-xr-x\ndev/pts drwxr-xr-x\netc drwxr-xr-x\netc/hostname -rw-r--r-- \"LXC_NAME\\n\"\nusr drwxr-xr-x\nusr/x Lrwxrwxrwx -> ../etc\n"
			if got := below(t, target.Container.Rootfs); got != want {
				t.Errorf("%s:\n%swant:\n%s", name, got, want)
			}
			config, _ := os.ReadFile(target.Container.Path + "/config")
			if !strings.Contains(string(config), "lxc.include = "+target.Container.TemplateConfig+"/common.conf\n\n# Container") {
				t.Errorf("%s: config %s", name, config)
			}
			text, _ := os.ReadFile(target.Container.Path + "/" + RecordFile)
			rec, err := ParseRecord(text)
			if err != nil || rec.Image.Reference != "file" || rec.Server != "file:" || (rec.Rootfs == "") != (name == "directory") || strings.Contains(string(text), dir) {
				t.Errorf("%s: record %s, %v", name, text, err)
			}
			if said := strings.Contains(heard.String(), `directory "root.x86_64"`); said != strings.Contains(name, "top") {
				t.Errorf("%s: heard %s", name, &heard)
			}
		}
	}
}

// A digest that is not the file's leaves nothing, and so does an archive that is cut off.
func TestFileWrong(t *testing.T) {
	syscall.Umask(0o022)
	dir := t.TempDir()
	plain := testRootfs(t)
	for name, data := range map[string][]byte{"archive": plain, "squashfs": squashfs(t)} {
		path := filepath.Join(dir, name)
		writeFile(t, path, data)
		for _, from := range []struct {
			source.File
			stdin *os.File
		}{
			{source.File{Path: path, SHA256: image.Digest(digestOf([]byte("x")))}, nil},
			{source.File{Path: "-", SHA256: image.Digest(digestOf([]byte("x")))}, piped(t, data)},
			{source.File{Path: "-"}, piped(t, data[:len(data)*2/3])},
		} {
			lxcPath := t.TempDir()
			var heard strings.Builder
			_, err := Run(t.Context(), pipedFinder(t, &from.File, from.stdin, &heard), image.Query{}, newContainer(t, lxcPath), Options{Tell: into(&heard)})
			if err == nil || from.SHA256 != "" && source.KindOf(err) != source.Unverified {
				t.Errorf("%s, %q: %v", name, from.Path, err)
			}
			if left := below(t, lxcPath); left != ". drwxr-xr-x\n" {
				t.Errorf("%s, %q: left %s", name, from.Path, left)
			}
		}
	}
}

// With RequireSignature a file and its metadata must have a signature beside them.
func TestFileSignature(t *testing.T) {
	syscall.Umask(0o022)
	dir := t.TempDir()
	plain, meta := testRootfs(t), testMeta(t)
	path, metaPath := filepath.Join(dir, "x.tar.gz"), filepath.Join(dir, "m.tar.gz")
	writeFile(t, path, plain)
	writeFile(t, metaPath, meta)
	writeFile(t, path+".sig", signify(ed25519.Sign(testKey(), plain)))
	run := func(file *source.File) error {
		file.RequireSignature = true
		target := newContainer(t, t.TempDir())
		var heard strings.Builder
		_, err := Run(t.Context(), pipedFinder(t, file, piped(t, plain), &heard), image.Query{}, target, Options{Tell: into(&heard)})
		if err == nil {
			text, _ := os.ReadFile(target.Container.Path + "/" + RecordFile)
			if rec, err := ParseRecord(text); err != nil || len(rec.Signers) != 1 || rec.Rootfs != fmt.Sprintf("%x", sha256.Sum256(plain)) {
				t.Errorf("record %s, %v", text, err)
			}
		}
		return err
	}
	if err := run(&source.File{Path: path}); err != nil {
		t.Error(err)
	}
	unsigned := []*source.File{{Path: path, Metadata: metaPath}, {Path: metaPath}, {Path: "-"}, {Path: dir}}
	for _, file := range unsigned {
		if err := run(file); source.KindOf(err) != source.Unverified {
			t.Errorf("%q, %q without a signature: %v", file.Path, file.Metadata, err)
		}
	}
	writeFile(t, metaPath+".minisig", signify(ed25519.Sign(testKey(), meta)))
	if err := run(&source.File{Path: path, Metadata: metaPath}); err != nil {
		t.Error(err)
	}
	writeFile(t, path, append(slices.Clone(plain), 0))
	if err := run(&source.File{Path: path}); source.KindOf(err) != source.Unverified {
		t.Errorf("a changed file: %v", err)
	}
}

// Incus' archive with metadata and root file system: its architecture, date and names count, and
// its templates are written as Incus writes them. One that leads out of the root file system
// writes nothing there.
func TestIncusTemplates(t *testing.T) {
	syscall.Umask(0o022)
	out := t.TempDir()
	root := []testEntry{
		{name: "rootfs/"}, {name: "rootfs/etc/"}, {name: "rootfs/etc/hostname", text: "old\n"}, {name: "rootfs/etc/issue", text: "old\n"},
		{name: "rootfs/etc/started", text: "old\n"}, {name: "rootfs/out", target: "../../../../../../../../.." + out}, {name: "rootfs/usr/"},
	}
	meta := testEntry{name: "metadata.yaml", text: incusText}
	archives := map[string][]byte{
		"templates first": pack(t, append(append([]testEntry{meta}, incusFiles()...), root...)...),
		"templates last":  pack(t, append(append([]testEntry{meta}, root...), incusFiles()...)...),
	}
	check := func(name string, file *source.File, stdin *os.File) {
		lxcPath := t.TempDir()
		target := newContainer(t, lxcPath)
		var heard strings.Builder
		if _, err := Run(t.Context(), pipedFinder(t, file, stdin, &heard), image.Query{}, target, Options{Tell: into(&heard)}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rootfs := target.Container.Rootfs
		for path, want := range map[string]string{"etc/hostname": "web\n", "etc/deep/new": "web\n", "etc/issue": "old\n", "etc/started": "old\n"} {
			if got, err := os.ReadFile(filepath.Join(rootfs, path)); string(got) != want {
				t.Errorf("%s: %s is %q, %v", name, path, got, err)
			}
		}
		if info, err := os.Stat(rootfs + "/etc/deep/new"); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if list, _ := os.ReadDir(out); len(list) > 0 {
			t.Errorf("%s: %v was written outside", name, list)
		}
		for _, said := range []string{"copies or starts the container; left as they are: \"/etc/started\"\n", "the files are left as they are: \"/etc/complex\", \"/etc/lost\"\n", "no regular file can be; left as they are: \"/etc\"\n", `"/out/file" leads out of`} {
			if strings.Count(heard.String(), said) != 1 {
				t.Errorf("%s: not said once: %q in\n%s", name, said, &heard)
			}
		}
		text, _ := os.ReadFile(target.Container.Path + "/" + RecordFile)
		rec, err := ParseRecord(text)
		if err != nil || rec.Image.Dist != "debian" || rec.Image.Release != "trixie" || rec.Image.Variant != "cloud" || rec.Image.Arch != "riscv64" {
			t.Errorf("%s: record %s, %v", name, text, err)
		}
		for _, edited := range []string{"etc/deep", "etc/deep/new", "etc/hostname"} {
			if !slices.ContainsFunc(rec.Edited, func(line string) bool { return strings.HasSuffix(line, edited) }) {
				t.Errorf("%s: %q is not in %q", name, edited, rec.Edited)
			}
		}
		config, _ := os.ReadFile(target.Container.Path + "/config")
		if !strings.Contains(string(config), "/common.conf\nlxc.arch = riscv64\n") {
			t.Errorf("%s: config %s", name, config)
		}
	}
	dir := t.TempDir()
	for name, data := range archives {
		path := filepath.Join(dir, name)
		writeFile(t, path, data)
		check(name, &source.File{Path: path}, nil)
		check(name+", piped", &source.File{Path: "-"}, piped(t, data))
	}
	path := filepath.Join(dir, "separate")
	writeFile(t, path, pack(t, testEntry{name: "etc/"}, testEntry{name: "etc/hostname", text: "old\n"}, testEntry{name: "etc/issue", text: "old\n"},
		testEntry{name: "etc/started", text: "old\n"}, testEntry{name: "out", target: "../../../../../../../../.." + out}))
	writeFile(t, path+".meta", pack(t, append([]testEntry{meta}, incusFiles()...)...))
	check("separate", &source.File{Path: path, Metadata: path + ".meta"}, nil)
	for _, e := range append(append([]testEntry{meta}, incusFiles()...), root...) {
		if name := filepath.Join(dir, "tree", e.name); e.target != "" {
			os.Symlink(e.target, name)
		} else if strings.HasSuffix(e.name, "/") {
			os.MkdirAll(name, 0o755)
		} else {
			writeFile(t, name, []byte(e.text))
		}
	}
	check("directory", &source.File{Path: filepath.Join(dir, "tree")}, nil)
}

// The machine is found out by the image's programs if nobody names it.
func TestFileArch(t *testing.T) {
	syscall.Umask(0o022)
	path := filepath.Join(t.TempDir(), "x")
	writeFile(t, path, pack(t, testEntry{name: "bin/"}, testEntry{name: "bin/sh", text: elfFile()}))
	for _, arch := range []string{"", "amd64"} {
		target := newContainer(t, t.TempDir())
		var heard strings.Builder
		if _, err := Run(t.Context(), fileFinder(t, &source.File{Path: path, Arch: arch}, &heard), image.Query{}, target, Options{Tell: into(&heard)}); err != nil {
			t.Fatal(err)
		}
		config, _ := os.ReadFile(target.Container.Path + "/config")
		want := arch
		if arch == "" {
			want = "riscv64"
		}
		if !strings.Contains(string(config), "\nlxc.arch = "+want+"\n") {
			t.Errorf("%q: config %s", arch, config)
		}
		if said := strings.Contains(heard.String(), `programs are for "riscv64", although -a or its metadata says "amd64"`); said != (arch != "") {
			t.Errorf("%q: heard %s", arch, &heard)
		}
		if arch != "" && strings.Contains(heard.String(), "can't run") || strings.Contains(heard.String(), "is it a root file system") {
			t.Errorf("%q: heard %s", arch, &heard)
		}
	}
}

// The user is told of what has no program, and a directory with one directory at its top is like an
// archive with one.
func TestFileOdd(t *testing.T) {
	syscall.Umask(0o022)
	dir := t.TempDir()
	for _, name := range []string{"meta/config", "top/rootfs/etc/x", "top/rootfs/bin/sh"} {
		writeFile(t, filepath.Join(dir, name), nil)
	}
	for name, want := range map[string]string{"meta": "is it a root file system?", "top": `the root file system is the directory "rootfs"`} {
		target := newContainer(t, t.TempDir())
		var heard strings.Builder
		if _, err := Run(t.Context(), fileFinder(t, &source.File{Path: filepath.Join(dir, name)}, &heard), image.Query{}, target, Options{Tell: into(&heard)}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(heard.String(), want) || name != "meta" && strings.Contains(heard.String(), "is it a root") {
			t.Errorf("%s: heard %s, want %q", name, &heard, want)
		}
	}
	// Of an archive at a URL the metadata does not count, which is said.
	path := filepath.Join(dir, "unified")
	unified := pack(t, testEntry{name: "metadata.yaml", text: "architecture: x86_64\n"}, testEntry{name: "rootfs/"}, testEntry{name: "rootfs/etc/"}, testEntry{name: "rootfs/bin/"}, testEntry{name: "rootfs/bin/sh"})
	writeFile(t, path, unified)
	var heard strings.Builder
	file := &source.File{Path: "file://" + path, SHA256: image.Digest(digestOf(unified))}
	if _, err := Run(t.Context(), fileFinder(t, file, &heard), image.Query{}, newContainer(t, t.TempDir()), Options{Tell: into(&heard)}); err != nil || !strings.Contains(heard.String(), "get it with lxc-pull fetch") {
		t.Errorf("%v, heard %s", err, &heard)
	}
}

// With LXC's metadata the config is the one of an image server's image; in the manner of
// lxc-local, a container without metadata gets its name alone.
func TestFileMeta(t *testing.T) {
	syscall.Umask(0o022)
	dir := t.TempDir()
	path, meta := filepath.Join(dir, "x"), filepath.Join(dir, "m")
	writeFile(t, path, testRootfs(t))
	writeFile(t, meta, testMeta(t))
	target := newContainer(t, t.TempDir())
	config := "\n# Distribution configuration\nlxc.include = " + target.Container.TemplateConfig + "/common.conf\nlxc.arch = x86_64\n" +
		"\n# Container specific configuration\nlxc.start.auto = 0\nlxc.uts.name = web\n\n# Network configuration\nlxc.net.0.type = empty\n"
	for _, test := range []struct {
		file   *source.File
		config string
	}{
		{&source.File{Path: path, Metadata: meta}, "# begun\n" + config}, {&source.File{Path: path, Metadata: meta, Stock: true}, "# begun\n" + config},
		{&source.File{Path: path, Stock: true}, string(target.BaseConfig) + "lxc.uts.name = web\n"},
	} {
		target.Container.Path = filepath.Join(t.TempDir(), "web")
		target.Container.Rootfs = target.Container.Path + "/rootfs"
		var heard strings.Builder
		made, err := Run(t.Context(), fileFinder(t, test.file, &heard), image.Query{}, target, Options{Tell: into(&heard)})
		if err != nil || (string(made.Message) == "Welcome.\n") != (test.file.Metadata != "") {
			t.Fatalf("%v, %+v", err, made)
		}
		got, _ := os.ReadFile(target.Container.Path + "/config")
		at := strings.LastIndex(string(got), "lxc.rootfs.path")
		if at >= 0 { // it is lxc-create's line, among those of before
			_, rest, _ := strings.Cut(string(got[at:]), "\n")
			got = []byte(string(got[:at]) + rest)
		}
		if string(got) != test.config {
			t.Errorf("config %q, want %q", got, test.config)
		}
	}
}

// What is something else is refused by its right name, and nothing waits for a pipe's writer.
func TestFileRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, entries ...testEntry) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, pack(t, entries...))
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/layout/oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	writeFile(t, dir+"/web/config", nil)
	writeFile(t, dir+"/web/rootfs/etc/passwd", nil)
	hex := strings.Repeat("0a", 32)
	for path, want := range map[string]string{
		write("saved", testEntry{name: "manifest.json", text: "[]"}):             "docker-archive:" + dir + "/saved",
		write("old", testEntry{name: hex + "/"}, testEntry{name: hex + "/json"}): "docker-archive:" + dir + "/old",
		write("oci", testEntry{name: "blobs/"}):                                  "oci-archive:" + dir + "/oci",
		dir + "/layout":                                                          "oci:" + dir + "/layout",
		dir + "/web":                                                             "web/rootfs",
		fifo:                                                                     "not a regular file",
		"/dev/null":                                                              "not a regular file",
		dir + "/none":                                                            "no such file",
	} {
		var heard strings.Builder
		found, err := fileFinder(t, &source.File{Path: path}, &heard).Find(t.Context(), image.Query{})
		if found != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	var heard strings.Builder
	if _, err := fileFinder(t, &source.File{Path: write("x"), Metadata: fifo}, &heard).Find(t.Context(), image.Query{}); err == nil {
		t.Error("metadata from a pipe")
	}
}

// A dry run finds out the same about a file, and changes nothing.
func TestPlanFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/x", testRootfs(t))
	opt := testOptions(t, "")
	opt.File, opt.Use.ReadOnly = &source.File{Path: dir + "/x"}, true
	var heard strings.Builder
	target, how := newContainer(t, dir), Options{Tell: into(&heard)}
	found, root, err := Plan(t.Context(), source.Open(opt, into(&heard)), image.Query{}, &target, &how)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(found.FileList(), " "+dir+"/x\n") || found.URL() != dir+"/x" || found.Vouched() || found.WillKeep() {
		t.Errorf("list %q, URL %q", found.FileList(), found.URL())
	}
	root.Close()
	found.Close()
	found.Close()
	if _, err := os.Lstat(target.Container.Path); err == nil {
		t.Error("the container was made")
	}
}

// The programs say for which machine the image at a URL is.
func TestRunURLArch(t *testing.T) {
	syscall.Umask(0o022)
	path := filepath.Join(t.TempDir(), "x.tar")
	writeFile(t, path, pack(t, testEntry{name: "bin/"}, testEntry{name: "bin/sh", text: elfFile()}))
	for _, base := range []string{"", t.TempDir()} {
		opt := testOptions(t, base)
		opt.Keys, opt.File = nil, &source.File{Path: "file://" + path}
		var heard strings.Builder
		target := newContainer(t, t.TempDir())
		made, err := Run(t.Context(), source.Open(opt, into(&heard)), image.Query{}, target, Options{Tell: into(&heard)})
		if err != nil || made.Image.Arch == "" || made.Image.Arch == "unknown" || strings.Contains(heard.String(), "listed as") {
			t.Fatalf("%+v, %v\n%s", made, err, &heard)
		}
		config, _ := os.ReadFile(target.Container.Path + "/config")
		if !strings.Contains(string(config), "lxc.arch = ") {
			t.Errorf("config %s", config)
		}
	}
}

// What vouches for nothing is downloaded to the disk before it is unpacked. If the cache has a damaged
// copy, the run goes on with that download.
func TestRunURLDamagedCache(t *testing.T) {
	syscall.Umask(0o022)
	path := filepath.Join(t.TempDir(), "x.tar")
	writeFile(t, path, pack(t, testEntry{name: "etc/"}, testEntry{name: "etc/hostname", text: "LXC_NAME\n"}))
	base := t.TempDir()
	for i := range 2 {
		opt := testOptions(t, base)
		opt.Keys, opt.File = nil, &source.File{Path: "file://" + path}
		var heard strings.Builder
		_, err := Run(t.Context(), source.Open(opt, into(&heard)), image.Query{}, newContainer(t, t.TempDir()), Options{Tell: into(&heard)})
		if err != nil || strings.Contains(heard.String(), "is damaged") != (i > 0) {
			t.Fatalf("run %d: %v\n%s", i, err, &heard)
		}
		blobs, _ := filepath.Glob(filepath.Join(base, ".lxc-pull", "images", "sha256-*"))
		for _, blob := range blobs {
			text, err := os.ReadFile(blob)
			if err == nil && len(text) > 64 {
				text[len(text)/2] ^= 1
				err = errors.Join(os.Remove(blob), os.WriteFile(blob, text, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A comparison gathers a squashfs image whose name does not say what it is.
func TestCompareURLSquashfs(t *testing.T) {
	syscall.Umask(0o022)
	path := filepath.Join(t.TempDir(), "image")
	writeFile(t, path, squashfs(t))
	base := t.TempDir()
	finder := func(base string, heard *strings.Builder) *source.Finder {
		opt := testOptions(t, base)
		opt.File = &source.File{Path: "file://" + path, SHA256: image.Digest(digestOf(squashfs(t)))}
		return source.Open(opt, into(heard))
	}
	var heard strings.Builder
	target := newContainer(t, t.TempDir())
	if _, err := Run(t.Context(), finder("", &heard), image.Query{}, target, Options{Tell: into(&heard)}); err != nil {
		t.Fatal(err, heard.String())
	}
	text, err := os.ReadFile(target.Container.Path + "/" + RecordFile)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := ParseRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	root, err := untar.OpenRoot(target.Container.Rootfs)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	found, err := finder(base, &heard).Find(t.Context(), image.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	audit := &Audit{Record: rec, Root: root, Tell: into(&heard)}
	result, err := audit.Compare(t.Context(), found)
	if err != nil || audit.OtherImage || result == nil {
		t.Fatalf("%+v, %v, %s", result, err, &heard)
	}
}

// A mirror's wrong bytes are replaced by the server's, also without a cache: the temporary file of
// the first attempt is used again.
func TestRunURLMirror(t *testing.T) {
	syscall.Umask(0o022)
	rootfs := testRootfs(t)
	other := bytes.Clone(rootfs)
	other[len(other)/2] ^= 1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/mirror") {
			w.Write(other)
			return
		}
		w.Write(rootfs)
	}))
	defer server.Close()
	file := &source.File{Path: server.URL + "/x.tar.gz", SHA256: image.Digest(digestOf(rootfs)), Mirrors: []string{server.URL + "/mirror"}}
	var heard strings.Builder
	target := newContainer(t, t.TempDir())
	if _, err := Run(t.Context(), fileFinder(t, file, &heard), image.Query{}, target, Options{Tell: into(&heard)}); err != nil || !strings.Contains(heard.String(), "starting again") {
		t.Errorf("%v, heard %s", err, &heard)
	}
}
