package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"lxc-pull/scripts/signer"
)

// sampleRootfs makes a small root file system.
func sampleRootfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"etc/hostname":   "LXC_NAME\n",
		"etc/hosts":      "127.0.0.1 localhost\n127.0.1.1 LXC_NAME\n",
		"etc/os-release": "ID=sample\n",
		"sbin/init":      "#!/bin/sh\n",
	} {
		write(t, filepath.Join(dir, name), content)
	}
	must(t, os.Symlink("../etc/os-release", filepath.Join(dir, "sbin/release")))
	must(t, os.Link(filepath.Join(dir, "sbin/init"), filepath.Join(dir, "sbin/telinit")))
	must(t, os.Chmod(filepath.Join(dir, "sbin/init"), 0o755|os.ModeSetuid))
	must(t, os.Chtimes(filepath.Join(dir, "etc/hosts"), time.Unix(1e9, 5e8), time.Unix(1e9, 5e8)))
	return dir
}

func write(t *testing.T, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(content), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	return data
}

// publishInto adds a build of rootfs to tree as image sample/1/amd64.
func publishInto(t *testing.T, tree, build, rootfs string, more ...string) {
	t.Helper()
	args := append([]string{"--tree", tree, "--new-key", "--dist", "sample", "--release", "1", "--arch", "amd64", "--build", build}, more...)
	must(t, run(append(args, rootfs)))
}

// entries lists a .tar.xz.
func entries(t *testing.T, name string) map[string]*tar.Header {
	t.Helper()
	r, err := xz.NewReader(bytes.NewReader(read(t, name)))
	must(t, err)
	found := make(map[string]*tar.Header)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return found
		}
		must(t, err)
		found[h.Name] = h
	}
}

// metaFiles reads the metadata of a build.
func metaFiles(t *testing.T, name string) map[string]string {
	t.Helper()
	r, err := xz.NewReader(bytes.NewReader(read(t, name)))
	must(t, err)
	found := make(map[string]string)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return found
		}
		must(t, err)
		content, err := io.ReadAll(tr)
		must(t, err)
		found[h.Name] = string(content)
	}
}

func TestTree(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	publishInto(t, tree, "20260101_00:00", sampleRootfs(t))
	build := "images/sample/1/amd64/default/20260101_00:00"

	if info, err := os.Stat(tree + ".key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v; want mode 0600", info.Mode(), err)
	}
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(read(t, tree+".key.pub")))
	must(t, err)
	if ring[0].PrivateKey != nil || len(ring[0].Subkeys) != 0 {
		t.Error("the public part holds secrets or subkeys")
	}
	signed := map[string]string{ // file to suffix of its signature
		build + "/rootfs.tar.xz": ".asc", build + "/meta.tar.xz": ".asc", build + "/SHA256SUMS": ".asc",
		"meta/1.0/index-system": ".asc", "meta/1.0/index-user": ".asc",
		"streams/v1/index.json": ".gpg", "streams/v1/images.json": ".gpg",
	}
	for path, suffix := range signed {
		file := filepath.Join(tree, path)
		signature, err := armor.Decode(bytes.NewReader(read(t, file+suffix)))
		must(t, err)
		sig, _, err := openpgp.VerifyDetachedSignature(ring, bytes.NewReader(read(t, file)), signature.Body, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(sig.Notations) != 1 || sig.Notations[0].Name != signer.PathNotation || string(sig.Notations[0].Value) != path || sig.Notations[0].IsCritical {
			t.Errorf("%s: notations %v", path, sig.Notations)
		}
		if sig.Hash.String() != "SHA-512" {
			t.Errorf("%s: signed over %v", path, sig.Hash)
		}
	}
	for _, name := range []string{"index", "images"} {
		b, rest := clearsign.Decode(read(t, filepath.Join(tree, "streams/v1", name+".sjson")))
		if b == nil || strings.TrimSpace(string(rest)) != "" {
			t.Errorf("%s.sjson: not one signed message", name)
			continue
		}
		if _, err := b.VerifySignature(ring, nil); err != nil {
			t.Errorf("%s.sjson: %v", name, err)
		}
		if !bytes.Equal(b.Plaintext, read(t, filepath.Join(tree, "streams/v1", name+".json"))) {
			t.Errorf("%s.sjson: its text is not %s.json", name, name)
		}
	}

	line := "sample;1;amd64;default;20260101_00:00;/" + build + "/\n"
	for _, name := range []string{"index-system", "index-user"} {
		if got := string(read(t, filepath.Join(tree, "meta/1.0", name))); got != line {
			t.Errorf("%s: %q, want %q", name, got, line)
		}
	}
	sums := ""
	for _, name := range []string{"meta.tar.xz", "rootfs.tar.xz"} {
		digest := sha256.Sum256(read(t, filepath.Join(tree, build, name)))
		sums += hex.EncodeToString(digest[:]) + "  " + name + "\n"
	}
	if got := string(read(t, filepath.Join(tree, build, "SHA256SUMS"))); got != sums {
		t.Errorf("SHA256SUMS: %q, want %q", got, sums)
	}
	var list streamsProducts
	must(t, json.Unmarshal(read(t, filepath.Join(tree, "streams/v1/images.json")), &list))
	item := list.Products["sample:1:amd64:default"].Versions["20260101_00:00"].Items["root.tar.xz"]
	if !strings.Contains(sums, item.SHA256+"  rootfs.tar.xz\n") || item.Path != build+"/rootfs.tar.xz" ||
		item.Size != int64(len(read(t, filepath.Join(tree, item.Path)))) {
		t.Errorf("images.json: %+v", item)
	}
}

func TestArchive(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	t.Setenv("SOURCE_DATE_EPOCH", "1500000000")
	publishInto(t, tree, "20260101", sampleRootfs(t), "--owner", "7:8")
	found := entries(t, filepath.Join(tree, "images/sample/1/amd64/default/20260101/rootfs.tar.xz"))
	for name, want := range map[string]tar.Header{
		"./":               {Typeflag: tar.TypeDir},
		"./etc/hosts":      {Typeflag: tar.TypeReg, Mode: 0o644, ModTime: time.Unix(1e9, 0)},
		"./sbin/init":      {Typeflag: tar.TypeReg, Mode: 0o4755, ModTime: time.Unix(1.5e9, 0)},
		"./sbin/telinit":   {Typeflag: tar.TypeLink, Linkname: "./sbin/init"},
		"./sbin/release":   {Typeflag: tar.TypeSymlink, Linkname: "../etc/os-release"},
		"./etc/os-release": {Typeflag: tar.TypeReg, Mode: 0o644},
	} {
		h := found[name]
		if h == nil {
			t.Errorf("%s: missing among %v", name, found)
			continue
		}
		if h.Typeflag != want.Typeflag || h.Linkname != want.Linkname || h.Uid != 7 || h.Gid != 8 || h.Uname != "" {
			t.Errorf("%s: %+v", name, h)
		}
		if want.Mode != 0 && h.Mode != want.Mode {
			t.Errorf("%s: mode %o, want %o", name, h.Mode, want.Mode)
		}
		if !want.ModTime.IsZero() && !h.ModTime.Equal(want.ModTime) {
			t.Errorf("%s: time %v, want %v", name, h.ModTime, want.ModTime)
		}
	}
	if len(found) != 9 {
		t.Errorf("%d entries, want 9", len(found))
	}
}

func TestReproducible(t *testing.T) {
	rootfs := sampleRootfs(t)
	for _, epoch := range []string{"0", "1600000000"} {
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
		var first []byte
		for range 2 {
			tree := filepath.Join(t.TempDir(), "tree")
			publishInto(t, tree, "20260101_00:00", rootfs)
			got := read(t, filepath.Join(tree, "images/sample/1/amd64/default/20260101_00:00/SHA256SUMS"))
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Errorf("SOURCE_DATE_EPOCH=%s: two runs differ", epoch)
			}
		}
	}
}

func TestTarballs(t *testing.T) {
	var plain bytes.Buffer
	must(t, (&dirArchive{}).write(&plain, sampleRootfs(t)))
	packed := map[string]func(io.Writer) io.WriteCloser{
		"tar":     func(w io.Writer) io.WriteCloser { return nopCloser{w} },
		"tar.gz":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"tar.xz":  func(w io.Writer) io.WriteCloser { x, err := xz.NewWriter(w); must(t, err); return x },
		"tar.zst": func(w io.Writer) io.WriteCloser { z, err := zstd.NewWriter(w); must(t, err); return z },
	}
	for name, pack := range packed {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := pack(&b)
			_, err := w.Write(plain.Bytes())
			must(t, err)
			must(t, w.Close())
			file := filepath.Join(t.TempDir(), "rootfs."+name)
			must(t, os.WriteFile(file, b.Bytes(), 0o644))
			tree := filepath.Join(t.TempDir(), "tree")
			publishInto(t, tree, "20260101", file)
			build := filepath.Join(tree, "images/sample/1/amd64/default/20260101")
			result := read(t, filepath.Join(build, "rootfs.tar.xz"))
			if name == "tar.xz" && !bytes.Equal(result, b.Bytes()) {
				t.Error("an .xz tarball was not taken as it is")
			}
			r, err := xz.NewReader(bytes.NewReader(result))
			must(t, err)
			got, err := io.ReadAll(r)
			must(t, err)
			if !bytes.Equal(got, plain.Bytes()) {
				t.Error("the archive is not the one that was given")
			}
			if got := metaFiles(t, filepath.Join(build, "meta.tar.xz"))["templates"]; got != "/etc/hostname\n/etc/hosts\n" {
				t.Errorf("templates: %q", got)
			}
		})
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestMetadata(t *testing.T) {
	var plain bytes.Buffer
	tw := tar.NewWriter(&plain)
	for _, h := range []*tar.Header{
		{Name: "./dev/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		{Name: "./dev/odd[1]*", Typeflag: tar.TypeBlock},
		{Name: "./dev/zwei", Typeflag: tar.TypeLink, Linkname: "./dev/null"},
		{Name: "./dev/pipe", Typeflag: tar.TypeFifo},
	} {
		must(t, tw.WriteHeader(h))
	}
	must(t, tw.Close())
	file := filepath.Join(t.TempDir(), "rootfs.tar")
	must(t, os.WriteFile(file, plain.Bytes(), 0o644))
	fstab := filepath.Join(t.TempDir(), "fstab")
	write(t, fstab, "tmpfs tmp tmpfs defaults 0 0")

	tree := filepath.Join(t.TempDir(), "tree")
	t.Setenv("SOURCE_DATE_EPOCH", "1000")
	must(t, run([]string{"--tree", tree, "--new-key", "--dist", "debian", "--release", "1", "--arch", "armhf", "--build", "20260101", "--variant", "v",
		"--expiry", "2h", "--meta", "fstab=" + fstab, "--meta", "fstab-user.7=" + fstab, "--meta", "config.1=", file}))
	got := metaFiles(t, filepath.Join(tree, "images/debian/1/armhf/v/20260101/meta.tar.xz"))
	old := "lxc.include = LXC_TEMPLATE_CONFIG/debian.common.conf\n"
	oldUser := old + "lxc.include = LXC_TEMPLATE_CONFIG/debian.userns.conf\n"
	arch := "lxc.arch = armv7l\n"
	want := map[string]string{
		"config":        "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\n" + arch,
		"config-user":   "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.include = LXC_TEMPLATE_CONFIG/userns.conf\n" + arch,
		"config.2":      old + arch,
		"config.3":      old + arch,
		"config.4":      old + arch,
		"config-user.1": oldUser + arch, "config-user.2": oldUser + arch, "config-user.3": oldUser + arch, "config-user.4": oldUser + arch,
		"create-message": "You just created a debian 1 armhf (20260101) container, variant v.\n",
		"excludes-user":  "./dev/null\n./dev/odd\\[1]\\*\n./dev/zwei\n",
		"expiry":         "8200\n",
		"fstab":          "tmpfs tmp tmpfs defaults 0 0",
		"fstab-user.7":   "tmpfs tmp tmpfs defaults 0 0",
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: not asked for", name)
		}
	}
}

func TestPrune(t *testing.T) {
	tree, rootfs := filepath.Join(t.TempDir(), "tree"), sampleRootfs(t)
	product := filepath.Join(tree, "images/sample/1/amd64/default")
	write(t, filepath.Join(product, ".20250101/rootfs.tar.xz"), "left by a run that was interrupted")
	builds := []string{"20260101_00:00", "20260102_00:00", "20260103_00:00", "20260104_00:00"}
	for i, build := range builds {
		publishInto(t, tree, build, rootfs)
		var names []string
		for _, e := range mustDir(t, product) {
			names = append(names, e.Name())
		}
		if want := builds[max(0, i-2) : i+1]; !slices.Equal(names, want) {
			t.Fatalf("builds %v, want %v", names, want)
		}
		if got := read(t, filepath.Join(tree, "meta/1.0/index-user")); !bytes.Contains(got, []byte(build)) || bytes.Count(got, []byte("\n")) != 1 {
			t.Fatalf("index: %q", got)
		}
	}
	if n := len(mustDir(t, filepath.Join(tree, "snapshots"))); n != 2 {
		t.Errorf("%d snapshots, want the current one and the one before", n)
	}
	if err := run([]string{"--tree", tree, "--dist", "sample", "--release", "1", "--arch", "amd64", "--build", builds[3], rootfs}); err == nil {
		t.Error("a published build was published again")
	}

	// Without a root file system only the indexes are made anew.
	must(t, os.RemoveAll(filepath.Join(product, builds[3])))
	must(t, run([]string{"--tree", tree}))
	if got := read(t, filepath.Join(tree, "meta/1.0/index-system")); !bytes.Contains(got, []byte(builds[2])) {
		t.Errorf("index: %q", got)
	}
}

func mustDir(t *testing.T, name string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(name)
	must(t, err)
	return entries
}

// A broken source must leave the tree as it was.
func TestRefused(t *testing.T) {
	rootfs := sampleRootfs(t)
	tree := filepath.Join(t.TempDir(), "tree")
	publishInto(t, tree, "20260101", rootfs)
	before := treeList(t, tree)
	bad := filepath.Join(t.TempDir(), "bad")
	write(t, bad, strings.Repeat("no tarball ", 100))
	var whole bytes.Buffer
	must(t, (&dirArchive{}).write(&whole, rootfs))
	cut := filepath.Join(t.TempDir(), "cut.tar")
	must(t, os.WriteFile(cut, whole.Bytes()[:1000], 0o644))

	common := []string{"--tree", tree, "--dist", "sample", "--release", "1", "--arch", "amd64", "--build", "20260102"}
	for name, args := range map[string][]string{
		"no archive":      {bad},
		"cut archive":     {cut},
		"no such file":    {bad + "x"},
		"compressor":      {"--xz", "exit 3", rootfs},
		"dist":            {"--dist", "a/b", rootfs},
		"release":         {"--release", "..", rootfs},
		"variant":         {"--variant", "x;y", rootfs},
		"build":           {"--build", "today", rootfs},
		"architecture":    {"--arch", "pdp11", rootfs},
		"meta name":       {"--meta", "build_id=" + bad, rootfs},
		"expiry":          {"--expiry", "30", rootfs},
		"two roots":       {rootfs, rootfs},
		"key not there":   {"--key", bad + "x", rootfs},
		"key not a key":   {"--key", bad, rootfs},
		"keeping nothing": {"--keep", "0", rootfs},
	} {
		if err := run(append(slices.Clone(common), args...)); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if after := treeList(t, tree); !slices.Equal(after, before) {
			t.Fatalf("%s: the tree has changed:\n%v\n%v", name, before, after)
		}
	}
}

// treeList names every file below a tree and what links in it lead to. Empty
// directories that a refused name has made don't count.
func treeList(t *testing.T, tree string) []string {
	t.Helper()
	var list []string
	must(t, filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		target, _ := os.Readlink(path)
		list = append(list, path+" "+target)
		return nil
	}))
	return list
}

func TestForeignTree(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	write(t, filepath.Join(tree, "meta/1.0/index-system"), "")
	if err := run([]string{"--tree", tree, "--new-key"}); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("another program's tree: %v", err)
	}
}

func TestXZWriter(t *testing.T) {
	noise := make([]byte, 3000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, size := range []int{0, 1, 4095, 4097, xzBlock - 1, xzBlock, xzBlock + 1} {
		content := make([]byte, size)
		copy(content, noise)
		copy(content[max(0, size-len(noise)):], noise)
		var b bytes.Buffer
		w := newXZWriter(&b)
		for rest := content; len(rest) > 0; { // in pieces that fit no block
			n := min(len(rest), 1<<20+1)
			_, err := w.Write(rest[:n])
			must(t, err)
			rest = rest[n:]
		}
		must(t, w.Close())
		r, err := xz.NewReader(bytes.NewReader(b.Bytes()))
		must(t, err)
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes came back as %d: %v", size, len(got), err)
		}
		if tool, err := exec.LookPath("xz"); err == nil {
			cmd := exec.Command(tool, "-t")
			cmd.Stdin = bytes.NewReader(b.Bytes())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%d bytes: xz -t: %v %s", size, err, out)
			}
		}
	}
}

func TestXZWriterFails(t *testing.T) {
	w := newXZWriter(failingWriter{})
	w.Write(make([]byte, 3*xzBlock))
	if err := w.Close(); err != io.ErrShortWrite {
		t.Errorf("Close: %v, want the writer's own error", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// GnuPG is the original for keys, and gpgv for what it accepts.
func TestGnuPG(t *testing.T) {
	for _, tool := range []string{"gpg", "gpgv", "gpgconf"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	home, err := os.MkdirTemp("", "gnupg") // short: a socket's path lies in it
	must(t, err)
	defer os.RemoveAll(home)
	gpg := func(t *testing.T, stdin string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "GNUPGHOME="+home)
		cmd.Stdin = strings.NewReader(stdin)
		var out, messages bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &messages
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, &messages)
		}
		return out.Bytes()
	}
	defer gpg(t, "", "gpgconf", "--kill", "all")
	rootfs := sampleRootfs(t)
	for _, test := range []struct{ name, algorithm, passphrase, armor string }{
		{"rsa", "rsa2048", "", "--armor"},
		{"ed25519 with a passphrase", "ed25519", "secret words", "--armor"},
		{"binary rsa with a passphrase", "rsa2048", "secret words", "--no-armor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			loopback := []string{"gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", test.passphrase}
			gpg(t, "", append(loopback, "--quick-generate-key", test.name, test.algorithm, "sign", "never")...)
			dir := t.TempDir()
			key, tree := filepath.Join(dir, "key"), filepath.Join(dir, "tree")
			must(t, os.WriteFile(key, gpg(t, "", append(loopback, test.armor, "--export-secret-keys", "="+test.name)...), 0o600))
			args := []string{"--tree", tree, "--key", key, "--dist", "sample", "--release", "1", "--arch", "amd64", "--build", "20260101"}
			if test.passphrase != "" {
				if err := run(append(slices.Clone(args), rootfs)); err == nil || !strings.Contains(err.Error(), "passphrase") {
					t.Fatalf("without the passphrase: %v", err)
				}
				write(t, key+".pass", test.passphrase+"\n")
				args = append(args, "--passphrase-file", key+".pass")
			}
			must(t, run(append(args, rootfs)))
			ring := filepath.Join(dir, "ring.gpg")
			must(t, os.WriteFile(ring, gpg(t, string(read(t, key+publicSuffix)), "gpg", "--dearmor"), 0o644))
			file := filepath.Join(tree, "meta/1.0/index-system")
			gpg(t, "", "gpgv", "--keyring", ring, file+".asc", file)
			gpg(t, "", "gpgv", "--keyring", ring, filepath.Join(tree, "streams/v1/images.sjson"))
			build := filepath.Join(tree, "images/sample/1/amd64/default/20260101")
			for _, name := range []string{"rootfs.tar.xz", "meta.tar.xz", "SHA256SUMS"} {
				gpg(t, "", "gpgv", "--keyring", ring, filepath.Join(build, name+".asc"), filepath.Join(build, name))
			}
		})
	}
	t.Run("own key", func(t *testing.T) {
		tree := filepath.Join(t.TempDir(), "tree")
		publishInto(t, tree, "20260101", rootfs)
		ring := tree + ".gpg"
		must(t, os.WriteFile(ring, gpg(t, string(read(t, tree+".key.pub")), "gpg", "--dearmor"), 0o644))
		file := filepath.Join(tree, "meta/1.0/index-user")
		gpg(t, "", "gpgv", "--keyring", ring, file+".asc", file)
	})
}
