package source

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pgp"
	"lxc-pull/untar"
)

// Nothing over plain http is decoded before it is verified, however its URL is written.
func TestURLScheme(t *testing.T) {
	for _, c := range []struct{ scheme, host, mirror, metadata string }{
		{"HTTP", "", "", ""}, {"hTTp", "user:Pass@", "", ""}, {"http", "", "HTTP://LOCALHOST", ""}, {"http", "", "", "HTTP"},
	} {
		u := newURLTest(t)
		u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
		u.file.SHA256 = sumOf([]byte(rootfsText))
		rest := strings.Replace(strings.TrimPrefix(u.site.URL, "http://"), "127.0.0.1", "LOCALHOST", 1)
		u.file.Path = c.scheme + "://" + c.host + rest + urlPath
		if c.mirror != "" {
			u.file.Mirrors = []string{c.mirror + rest[len("LOCALHOST"):]}
		}
		if c.metadata != "" {
			var meta bytes.Buffer
			w := tar.NewWriter(&meta)
			w.WriteHeader(&tar.Header{Name: "config", Mode: 0o644, Size: 4})
			io.WriteString(w, "text")
			w.Close()
			u.put("meta.tar", meta.Bytes())
			u.put("meta.tar.asc", u.key.armor(meta.Bytes()))
			u.file.Metadata = c.metadata + "://" + rest + "/pub/x/meta.tar"
		}
		found, err := Open(u.options(), deaf()).Find(t.Context(), image.Query{})
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if ref := found.Image.Reference; found.Safe() || !strings.HasPrefix(ref, "http://localhost:") || strings.Contains(ref, "Pass") {
			t.Errorf("%+v: %s, safe: %v", c, ref, found.Safe())
		}
		if c.mirror == "" && !strings.HasPrefix(found.URL(), "http://"+c.host+"localhost:") {
			t.Errorf("%+v: URL %s", c, found.URL())
		}
		found.Close()
	}
	w := new(web)
	if w.add("", nil, "HTTP://h/x"); w.safe() {
		t.Error("HTTP: is safe")
	}
	for _, same := range []string{"meta.tar", "https://h/A?B=://C", "file:///A"} {
		if got := lowerHost(same); got != same {
			t.Errorf("%q becomes %q", same, got)
		}
	}
}

// Whoever has the built-in key does not vouch for files of others.
func TestURLBuiltInKey(t *testing.T) {
	data := []byte(rootfsText)
	u := newURLTest(t)
	u.put(urlName+".asc", u.key.armor(data))
	u.put("SHA256SUMS", u.key.clear([]byte(gnuLine(data, " ", urlName))))
	builtIn := func() Options {
		opt := u.options()
		opt.BuiltInKey = true
		return opt
	}
	u.check("signed by the built-in key", builtIn(), Unverified)
	if u.site.asked[urlPath] > 1 {
		t.Error("it was downloaded")
	}
	u.check("signed by a key of the user", u.options(), 0)
	u.file.SHA256 = sumOf(data)
	u.check("with its digest", builtIn(), 0)
	u.file.RequireSignature = true
	if err := u.check("a signature is required", builtIn(), Unverified); err != nil && !strings.Contains(err.Error(), "no key is given") {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "x.tar")
	data = tarOf(t, "bin/sh", "")
	for name, text := range map[string][]byte{path: data, path + ".asc": u.key.armor(data)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.file = File{Path: path, RequireSignature: true}
	if _, text, err := u.get(u.options()); err != nil || text != string(data) {
		t.Errorf("a file of this machine: %d bytes, %v", len(text), err)
	}
	if err := u.check("and the built-in key", builtIn(), Unverified); err != nil && !strings.Contains(err.Error(), "no key is given") {
		t.Error(err)
	}
}

// A required signature is required of metadata on this machine too.
func TestURLLocalMetadataSigned(t *testing.T) {
	var meta bytes.Buffer
	w := tar.NewWriter(&meta)
	w.WriteHeader(&tar.Header{Name: "config", Mode: 0o644, Size: 4})
	io.WriteString(w, "text")
	w.Close()
	u := newURLTest(t)
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	u.file.Metadata = filepath.Join(t.TempDir(), "meta.tar")
	u.file.RequireSignature = true
	write := func(name string, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(u.file.Metadata, meta.Bytes())
	u.check("without a signature", u.options(), Unverified)
	write(u.file.Metadata+".asc", u.key.armor([]byte("other")))
	u.check("another signature", u.options(), Unverified)
	write(u.file.Metadata+".asc", armored(u.key.binary(meta.Bytes(), notation("x/meta.tar.asc")...)))
	u.check("the signature", u.options(), 0)
}

// The cache has a file once, for whichever architecture it is used.
func TestURLArch(t *testing.T) {
	u := newURLTest(t)
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	for i, arch := range []string{"", "arm64", ""} {
		u.file.Arch = arch
		found, _, err := u.get(u.options())
		if err != nil || found.Cached != (i > 0) || found.Image.Arch != arch {
			t.Fatalf("%q: %+v, %v", arch, found, err)
		}
	}
	list, err := (&cache.Cache{Base: u.base}).List()
	if err != nil || len(list) != 1 || list[0].Label() != u.site.URL+urlPath {
		t.Errorf("%+v, %v", list, err)
	}
}

// Without a digest the file's own server is asked before mirrors, if nothing is checked.
func TestURLMirrorUnchecked(t *testing.T) {
	u, other := newURLTest(t), newSite(t)
	other.files[urlPath] = []byte("another file")
	u.file.Mirrors = []string{other.URL}
	u.check("no digest", urlOptions(t, u.file, u.base), 0)
	if len(other.asked) > 0 {
		t.Errorf("the mirror was asked for %v", other.asked)
	}
}

// A wrong digest that the user gave is not called that of a list.
func TestURLWrongDigestText(t *testing.T) {
	u := newURLTest(t)
	u.file.SHA256 = sumOf(nil)
	if err := u.check("a wrong digest", u.options(), Unverified); err == nil || !strings.Contains(err.Error(), "not the one that was given") {
		t.Error(err)
	}
}

// Bytes of which some are wrong don't stay in the cache.
func TestURLWrongPart(t *testing.T) {
	u := newURLTest(t)
	u.file.SHA256 = sumOf([]byte(rootfsText))
	wrong := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.ToUpper(rootfsText)))
	}
	u.site.handle[urlPath] = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			wrong(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(rootfsText)))
		io.WriteString(w, rootfsText[:10])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	for i := range 3 {
		_, _, err := u.get(u.options())
		left, _ := filepath.Glob(filepath.Join(u.base, ".lxc-pull", "images", "*sha256-*.part"))
		if err == nil || isUnverified(err) && len(left) > 0 {
			t.Errorf("run %d: %v, in the cache: %v", i, err, left)
		}
	}
	u.site.handle[urlPath] = wrong
	u.check("only wrong bytes", u.options(), Unverified)
	if left, _ := filepath.Glob(filepath.Join(u.base, ".lxc-pull", "images", "*sha256-*.part")); len(left) > 0 {
		t.Errorf("in the cache: %v", left)
	}
}

// A file whose server does not say the size is read without a temporary file, too, as check does.
func TestURLNoSize(t *testing.T) {
	for _, cached := range []bool{false, true} {
		for text, kind := range map[string]Kind{rootfsText: 0, rootfsText + " and more": Unverified, "": Unverified} {
			u := newURLTest(t)
			if u.file.SHA256 = sumOf([]byte(rootfsText)); !cached {
				u.base = ""
			}
			u.site.handle[urlPath] = func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush() // there is no Content-Length, then
				io.WriteString(w, text)
			}
			found, err := Open(u.options(), deaf()).Find(t.Context(), image.Query{})
			if err != nil || found.Layers[0].Packed != -1 {
				t.Fatalf("%q: %+v, %v", text, found, err)
			}
			got, err := read(t, found)
			if KindOf(err) != kind || kind == 0 && got != text {
				t.Errorf("%q: got %q, %v", text, got, err)
			}
			found.Forget(err)
			found.Close()
		}
	}
}

// A run needs one temporary file for an image, however often the bytes are wrong, and none for a
// file that is in one already.
func TestOneTemporaryFile(t *testing.T) {
	u := newURLTest(t)
	u.base, u.file.SHA256 = "", sumOf([]byte(rootfsText))
	for i := range 3 {
		path := fmt.Sprintf("/m%d", i)
		u.site.files[path+urlPath] = []byte("the root file sYstem")
		u.file.Mirrors = append(u.file.Mirrors, u.site.URL+path)
	}
	n := 0
	f := Open(u.options(), heard(new(strings.Builder)))
	f.Provide(0, spoolIn(t, &n))
	var b bytes.Buffer
	if err := f.Export(t.Context(), image.Query{}, time.Time{}, &b); err != nil || n != 1 || !strings.Contains(b.String(), rootfsText) {
		t.Errorf("wrong bytes from mirrors: %d files, %v", n, err)
	}

	u = newURLTest(t)
	u.base = ""
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	n = 0
	f = Open(u.options(), heard(new(strings.Builder)))
	f.Provide(0, spoolIn(t, &n))
	found, err := f.Find(t.Context(), image.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	err = found.Gather(t.Context(), spoolIn(t, &n), func(int, *Stream) io.WriteCloser { return nothing{io.Discard} })
	if text, failed := read(t, found); err != nil || failed != nil || text != rootfsText || n != 1 || !found.Ready() {
		t.Errorf("a file with a signature: %d files, %q, %v, %v", n, text, err, failed)
	}
}

// A file system that is too small is named before the first byte is written.
func TestHasRoom(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, size := range []int64{-1, 0, 1} {
		if err := hasRoom(file, size); err != nil {
			t.Errorf("%d: %v", size, err)
		}
	}
	if err := hasRoom(file, 1<<62); !errors.Is(err, unix.ENOSPC) || KindOf(err) != 0 {
		t.Errorf("%v", err)
	}
	if err := hasRoom(nil, 1<<62); err != nil {
		t.Error(err)
	}

	u := newURLTest(t)
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	wrote := false
	u.site.handle[urlPath] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(maxRootfs, 10))
		w.WriteHeader(http.StatusOK)
		_, err := io.CopyN(w, strings.NewReader(strings.Repeat("x", 64<<20)), 64<<20)
		wrote = err == nil
	}
	var room unix.Statfs_t
	if unix.Statfs(os.TempDir(), &room) == nil && int64(room.Bavail)*int64(room.Bsize) < maxRootfs {
		if _, _, err := u.get(u.options()); !errors.Is(err, unix.ENOSPC) || wrote {
			t.Errorf("%v, all was sent: %v", err, wrote)
		}
	}
}

// What is beside a file takes little memory, even if it is large.
func TestURLBesideSizes(t *testing.T) {
	u := newURLTest(t)
	u.put(urlName+".sha256", fmt.Appendf(nil, "%s%s", gnuLine([]byte(rootfsText), " ", urlName), strings.Repeat("\n", maxSignature)))
	u.put("SHA256SUMS", bytes.Repeat([]byte("\n"), maxList+1))
	err := u.check("large files", u.options(), Unverified)
	if err == nil || strings.Contains(err.Error(), "SHA-256 is") {
		t.Error(err)
	}
}

// A bundle without its root file system, without room for it, without a key, or with an older file
// than one that was seen is refused by its right name.
func TestBundleErrors(t *testing.T) {
	for _, c := range keptCases(t) {
		data := exported(t, Open(c.opt(t, ""), heard(new(strings.Builder))), image.Query{})
		clock := c.opt(t, "").Clock
		list := members(t, data)
		// The root file system is the last member before the end.
		last := len(list) - 1
		for last > 0 && !bytes.HasPrefix(list[last], []byte(blobsDir)) {
			last--
		}
		cut := joined(append(append([][]byte{}, list[:last]...), list[last+1:]...)...)
		if _, _, err := unbundle(t.Context(), keptFinder(t, cut, c.keys, clock)); KindOf(err) != Unverified || strings.Contains(err.Error(), "reach") {
			t.Errorf("%s without its root file system: %v", c.name, err)
		}
		f := keptFinder(t, data, c.keys, clock)
		f.Provide(0, func() (*os.File, error) { return nil, unix.ENOSPC })
		if _, _, err := unbundle(t.Context(), f); !errors.Is(err, unix.ENOSPC) || len(fetch.Failures(err)) > 0 {
			t.Errorf("%s without room: %v", c.name, err)
		}
		f, _ = bundleFinder(t, writeBundle(t, data), pgp.LinuxContainers())
		f.opt.BuiltInKey = true
		f.Provide(0, spoolIn(t, new(int)))
		if _, _, err := unbundle(t.Context(), f); KindOf(err) != Unverified || !strings.Contains(err.Error(), "no key is given") {
			t.Errorf("%s without a key: %v", c.name, err)
		}
		ctx, done := context.WithCancel(t.Context())
		done()
		if _, err := keptFinder(t, data, c.keys, clock).Find(ctx, image.Query{}); !errors.Is(err, ctx.Err()) {
			t.Errorf("%s, interrupted: %v", c.name, err)
		}
	}

	u := newURLTest(t)
	u.key.at = time.Now().Add(-72 * time.Hour)
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	old := exported(t, Open(u.options(), heard(new(strings.Builder))), image.Query{})
	u.put(urlName, []byte("newer"))
	u.key.at = time.Time{}
	u.put(urlName+".asc", u.key.armor([]byte("newer")))
	opt := u.options()
	if _, _, err := u.get(opt); err != nil {
		t.Fatal(err)
	}
	f := keptFinder(t, old, opt.Keys, opt.Clock)
	f.opt.Histories = opt.Histories
	if _, _, err := unbundle(t.Context(), f); KindOf(err) != Replayed {
		t.Errorf("an older file: %v", err)
	}
	for _, lines := range [][]string{
		{"http/../../x", "", "amd64"}, {"https://h/x", "http/../../etc/x", "amd64"}, {"https://h/x", "", "../x"}, {"https://h/x", "", "a\x1bb"},
	} {
		m := members(t, old)
		m[0] = bundleHead("url", lines...)
		if _, _, err := unbundle(t.Context(), keptFinder(t, joined(m...), opt.Keys, opt.Clock)); KindOf(err) != Unusable {
			t.Errorf("%q: %v", lines, err)
		}
	}
	m := members(t, old)
	var many [][]byte
	for range maxBundleFiles + 3 {
		many = append(many, untar.AppendHeader(nil, "blobs/", 0))
	}
	m = append(m[:1:1], append(many, m[1:]...)...)
	if _, _, err := unbundle(t.Context(), keptFinder(t, joined(m...), opt.Keys, opt.Clock)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("many directories: %v", err)
	}
}
