package cli

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pgp"
	"lxc-pull/pull/source"
	"lxc-pull/pull/source/registrytest"
	"lxc-pull/untar"
)

// firstKnown returns a server with a short name.
func firstKnown(t *testing.T) *source.KnownServer {
	t.Helper()
	list := source.KnownServers()
	if len(list) == 0 {
		t.Skip("no simplestreams server is known")
	}
	return &list[0]
}

// Every form of a name, and what it means: kind, path, server, alias, architecture, build.
func TestReadSource(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", "/home/tux")
	k := firstKnown(t)
	for _, c := range []struct {
		word    string
		streams bool
		want    string
	}{
		{k.Name + ":debian/13", false, "s||" + k.URL + "|debian/13||"},
		{k.Name + ":debian/13/arm64/cloud@20260829_13:00", false, "s||" + k.URL + "|debian/13/cloud|arm64|20260829_13:00"},
		{k.Name + ":", false, "s||" + k.URL + "|||"},
		{"ubuntu:24.04", false, "s||https://cloud-images.ubuntu.com/releases|24.04||"},
		{"ubuntu-daily:noble/aarch64", false, "s||https://cloud-images.ubuntu.com/daily|noble|aarch64|"},
		{"ubuntu:com.ubuntu.cloud:server:24.04:amd64", false, "s||https://cloud-images.ubuntu.com/releases|com.ubuntu.cloud:server:24.04:amd64||"},
		{"https://host.example/path:debian/13", true, "s||https://host.example/path|debian/13||"},
		{"https://host.example:8443/a/b/:os:13:arm64:default", true, "s||https://host.example:8443/a/b|os:13:arm64:default||"},
		{"https://host.example:8443:x", true, "s||https://host.example:8443|x||"},
		{"https://host.example:x/13", true, "s||https://host.example|x/13||"},
		{"https://host.example:13", true, "s||https://host.example:13|||"},
		{"https://[::1]:8443/p:x", true, "s||https://[::1]:8443/p|x||"},
		{"https://[::1]:x", true, "s||https://[::1]|x||"},
		{"http://127.0.0.1:80", true, "s||http://127.0.0.1:80|||"},
		{"debian/13", true, "s|||debian/13||"},
		{"os:13:arm64:default", true, "s|||os:13:arm64:default||"},
		{"https://host.example/a/root.tar.xz", false, "u|https://host.example/a/root.tar.xz||||"},
		{"https://host.example/a/root.tar.xz?token=1", false, "u|https://host.example/a/root.tar.xz?token=1||||"},
		{"file:///srv/root.tar.xz", false, "u|file:///srv/root.tar.xz||||"},
		{"./x.tar.xz", false, "f|./x.tar.xz||||"},
		{"./x.tar.xz", true, "f|./x.tar.xz||||"},
		{"/srv/root/", false, "f|/srv/root/||||"},
		{"../x", false, "f|../x||||"},
		{"..", false, "f|..||||"},
		{".", false, "f|.||||"},
		{"~/x.tar", false, "f|/home/tux/x.tar||||"},
		{"./a:b", false, "f|./a:b||||"},
		{"x.bundle", false, "b|x.bundle||||"},
		{"x.bundle", true, "b|x.bundle||||"},
		{"/media/usb/x.bundle", false, "b|/media/usb/x.bundle||||"},
		{"~/x.bundle", false, "b|/home/tux/x.bundle||||"},
		{"bundle:x", false, "b|x||||"},
		{"debian/trixie", false, ""}, {"debian", false, ""}, {"a:b", false, ""}, {"", false, ""},
	} {
		o := new(imageOptions)
		s, err := readSource(c.word, c.streams)
		got := ""
		if s != nil && err == nil {
			err = o.takeSource(s)
			path := s.path
			if s.kind == fromStreams {
				path = "" // means nothing
			}
			got = strings.Join([]string{kindLetters[s.kind : s.kind+1], path, s.server, s.alias, o.arch, o.build}, "|")
		}
		if err != nil || got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.word, got, err, c.want)
		}
	}
}

// What is wrong is a usage error that shows no password.
func TestReadSourceErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	k := firstKnown(t)
	for _, c := range []struct {
		word    string
		streams bool
		want    string
	}{
		{"bundle:", false, "the path is missing"},
		{"https://host.example", false, "names no file; for an image of a simplestreams server write URL:ALIAS and pass --protocol simplestreams"},
		{"https://host.example/", false, "names no file"},
		{"https://host.example/dir/?secret", false, "names no file"},
		{"https://host.example:debian/13", false, "pass --protocol simplestreams"},
		{"https://host.example/x.bundle", false, "lxc-pull fetch"},
		{"https://user:secret@host.example/x.tar", false, "--netrc-file"},
		{"https://user:secret@host.example/x:debian/13", true, "--netrc-file"},
		{"ftp://host.example/x.tar", false, "ftp"},
		{"docker-daemon://x", false, "docker-daemon"},
		{k.Name + ":debian/13@", false, "not SERVER:ALIAS[@BUILD]"},
		{k.Name + ":/13", false, "not SERVER:ALIAS[@BUILD]"},
		{k.Name + ":debian/", false, "not SERVER:ALIAS[@BUILD]"},
		{k.Name + ":a\x1b[m", false, "not SERVER:ALIAS[@BUILD]"},
	} {
		o := &imageOptions{streams: c.streams}
		err := o.readImage(c.word)
		if exitStatus(err) != exitUsage || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || strings.ContainsFunc(err.Error(), isControl) {
			t.Errorf("%q: %v, want %q", c.word, err, c.want)
		}
	}
	for option, o := range map[string]*imageOptions{"arch": {arch: "amd64"}, "build": {build: "1"}} {
		if err := o.readImage(k.Name + ":debian/13/arm64@2"); exitStatus(err) != exitUsage || !strings.Contains(err.Error(), "an option says") {
			t.Errorf("%s: %v", option, err)
		}
	}
}

// A word that is also the name of a file, or of a directory that may be a root file system, is
// refused with all meanings.
func TestAmbiguousNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"debian/control", "ubuntu/24.04/etc", "root/usr"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"alpine", "x.tar.gz"} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for word, want := range map[string]string{
		"alpine":       "did you mean the file ./alpine, or -d alpine, of an image server?",
		"alpine@1":     "",
		"debian":       "", // holds no root file system
		"ubuntu/24.04": "did you mean the directory ./ubuntu/24.04, or -d ubuntu -r 24.04, of an image server?",
		"root":         "did you mean the directory ./root, or -d root, of an image server?",
		"x.tar.gz":     "did you mean the file ./x.tar.gz (a root file system), docker-archive:x.tar.gz (of docker save), or oci-archive:x.tar.gz?",
		"no.tgz":       "did you mean the file ./no.tgz (a root file system), docker-archive:no.tgz (of docker save), or oci-archive:no.tgz?",
		"./alpine":     "",
	} {
		err := new(imageOptions).readImage(word)
		if want == "" && err != nil || want != "" && (exitStatus(err) != exitUsage || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", word, err, want)
		}
	}
}

// Each option is for the sources that optionTable names, and the table knows no other option.
func TestOptionTable(t *testing.T) {
	names := longNames(flagsOf(new(createCall).groups()))
	kinds := map[string]*imageOptions{
		"i": {}, "s": {streams: true, named: &sourceName{kind: fromStreams, word: "ubuntu:24.04"}}, "r": {container: "docker:x"},
		"u": {named: &sourceName{kind: fromURL, word: "https://h/x"}}, "f": {named: &sourceName{kind: fromFile, word: "./x"}}, "b": {named: &sourceName{kind: fromBundle, word: "x.bundle"}},
	}
	for line := range strings.Lines(optionTable) {
		option, letters, _ := strings.Cut(strings.TrimSpace(line), " ")
		if lineOf(mustText(t, "sources.txt"), "for-"+letters) == "" {
			t.Errorf("no phrase for %q", letters)
		}
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+option+" ") {
			t.Errorf("no option --%s", option)
		}
		for letter, o := range kinds {
			err := o.checkOptions([]string{option})
			if good := strings.Contains(letters, letter); good != (err == nil) || err != nil && exitStatus(err) != exitUsage {
				t.Errorf("--%s with %s: %v", option, letter, err)
			}
			if err != nil && o.word() != "" && !strings.Contains(err.Error(), o.word()) {
				t.Errorf("--%s with %s: %v", option, letter, err)
			}
		}
	}
	if len(kindLetters) != len(kindPhrases) || len(kinds) != len(kindLetters) {
		t.Error("the kinds differ")
	}
}

// What a cached image belongs to.
func TestSourceHas(t *testing.T) {
	known := &sourceName{known: "images", server: "https://images.linuxcontainers.org"}
	other := &sourceName{server: "https://h/p"}
	for _, c := range []struct {
		s         *sourceName
		reference string // "": of an index
		want      bool
	}{
		{nil, "", true}, {nil, "images:debian/13", false}, {known, "", false}, {known, "images:debian/13", true}, {known, "docker:x", false},
		{other, "https://h/p debian:13:arm64:default", true}, {other, "https://h/p2 debian:13:arm64:default", false}, {other, "https://h/p/x.tar", false}, {other, "", false},
	} {
		info := new(cache.Info)
		if c.reference != "" {
			info.Kept = &cache.Kept{Reference: c.reference}
		}
		if got := c.s.has(info); got != c.want {
			t.Errorf("%+v, %q: %v", c.s, c.reference, got)
		}
	}
}

// The first bytes of standard input say what it is.
func TestHoldsContainer(t *testing.T) {
	digits := strings.Repeat("0a", 32)
	for _, c := range []struct {
		entries string
		want    bool
	}{
		{"oci-layout", true}, {"blobs/ blobs/sha256/", true}, {"index.json", true}, {"manifest.json", true}, {"repositories", true},
		{digits + ".json", true}, {digits + "/ " + digits + "/layer.tar", true}, {"./ ./blobs/", true},
		{"./ ./bin/", false}, {"bin/sh", false}, {"rootfs/ rootfs/bin/", false}, {"metadata.yaml rootfs/", false}, {"root.x86_64/", false}, {digits[2:] + ".json", false},
	} {
		data := registrytest.Layer(t, strings.Fields(c.entries)...)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(data)
		z.Close()
		for _, packed := range [][]byte{data, packed.Bytes()} {
			if got := holdsContainer(packed); got != c.want {
				t.Errorf("%q: %v", c.entries, got)
			}
		}
	}
	for _, text := range []string{"", "hsqs", "hello", "\x1f\x8b", strings.Repeat("\xff", 4096)} {
		if holdsContainer([]byte(text)) {
			t.Errorf("%q", text)
		}
	}
}

// FuzzReadSource: whatever the user types, an error is a usage error without a password, and what
// is understood has what its kind needs.
func FuzzReadSource(f *testing.F) {
	for _, word := range []string{"images:debian/13@1", "https://u:secret@h/x", "https://h:1:x/y", "./x", "~", "bundle:", "x.bundle", "://", "https://[", "a.tar.xz", "file:///x", "secret@"} {
		f.Add(word, true)
		f.Add(word, false)
	}
	f.Fuzz(func(t *testing.T, word string, streams bool) {
		if len(word) > 200 || strings.ContainsAny(word, "\x00") {
			return
		}
		o := &imageOptions{streams: streams}
		err := o.readImage(word)
		if err != nil && exitStatus(err) != exitUsage {
			t.Fatalf("%q: %v", word, err)
		}
		s := o.named
		switch {
		case err != nil || s == nil:
		case s.kind == fromURL || s.kind == fromFile || s.kind == fromBundle:
			if s.path == "" {
				t.Fatalf("%q: no path", word)
			}
		case s.kind != fromStreams, s.server == "" && !streams, strings.ContainsFunc(s.alias, isControl):
			t.Fatalf("%q: %+v", word, s)
		}
		if s != nil {
			_, rest, _ := strings.Cut(word, "://")
			if i := strings.IndexAny(rest, "/?#"); i >= 0 {
				rest = rest[:i]
			}
			if shown := s.shown() + s.title(); strings.Contains(rest, ":secret@") && strings.Contains(shown, ":secret@") {
				t.Fatalf("%q: %q", word, shown)
			}
		}
	})
}

// The parts of a File: the digest, the machine, and the mirrors.
func TestUseFile(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("https://m.example/b # a comment\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := &finderOptions{servers: serverOptions{servers: []string{"of.settings"}, mirrors: []string{"m.example:81"}, mirrorLists: []string{list}}}
	if err := o.file.setDigest(strings.Repeat("0A", 32)); err != nil {
		t.Fatal(err)
	}
	which := &imageOptions{arch: "aarch64"}
	if err := which.readImage("https://h.example/a/r%20x.tar.xz"); err != nil {
		t.Fatal(err)
	}
	if err := o.use(t.Context(), &ui{given: []string{"mirror", "mirror-list"}}, which); err != nil {
		t.Fatal(err)
	}
	got := o.wanted.File
	if got.SHA256 != image.Digest("sha256:"+strings.Repeat("0a", 32)) || got.Arch != "arm64" || strings.Join(got.Mirrors, " ") != "https://m.example:81 https://m.example/b" {
		t.Errorf("%+v", got)
	}
	if !o.vouched(nil) || o.clientURLs(nil)[0] != got.Path {
		t.Error("vouched or clientURLs")
	}
	// Those of settings do not count.
	o = &finderOptions{servers: serverOptions{mirrors: []string{"m.example"}}}
	if err := o.use(t.Context(), new(ui), which); err != nil || len(o.wanted.File.Mirrors) > 0 || o.vouched(nil) {
		t.Errorf("%v, %+v", err, o.wanted.File)
	}
	for _, wrong := range []string{"", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("g", 64), "sha256:" + strings.Repeat("0", 64)} {
		if new(fileOptions).setDigest(wrong) == nil {
			t.Errorf("--sha256 %q", wrong)
		}
	}
}

// Each hint about a source is for a code that exists, and errors of sources get theirs.
func TestNamedHints(t *testing.T) {
	codes := "\n" + mustText(t, "codes.txt")
	for line := range strings.Lines(mustText(t, "sources.txt")) {
		kind, code, _ := strings.Cut(strings.Fields(line)[0], "-")
		if kind != "for" && (!strings.Contains(kindLetters, kind) || !strings.Contains(codes, "\n"+code+"\n") && !among("unsigned required key alias format", code)) {
			t.Errorf("%q", line)
		}
	}
	bad := &source.Error{Kind: source.Unverified, Err: errors.New("x")}
	for _, c := range []struct {
		word string
		err  error
		want string // the beginning of the hint
	}{
		{"./x.tar", &fileError{option: "", name: "./x.tar", err: unix.ENOENT}, "Check the path of the image: ./x.tar."},
		{"x.bundle", &fileError{option: "", name: "x.bundle", err: unix.ENOENT}, "Check the path of the bundle: x.bundle."},
		{"./x.tar", &fs.PathError{Op: "open", Path: "/r", Err: unix.ENOENT}, ""},
		{"./x.tar", &untar.FormatError{Cause: errors.New("x")}, "Only tar archives"},
		{"x.bundle", bad, "Nothing was kept. The bundle was changed"},
		{"./x.tar", bad, "Nothing was kept. The file is not the one"},
		{"https://h.example/x.tar", bad, "Nothing was kept. The file differs"},
		{"https://h.example/x.tar", &source.Error{Kind: source.Unverified, Err: source.ErrNoSignature}, "Nothing was kept. If you know who made the file, pass its digest with --sha256 HEX"},
		{firstKnown(t).Name + ":x", &source.Error{Kind: source.NotFound, Err: errors.New("x")}, "The images of that server: lxc-pull list " + firstKnown(t).Name + ":."},
		{"ubuntu:x", &source.Error{Kind: source.Unverified, Err: &pgp.UntrustedError{}}, "Debian's package ubuntu-keyring has that server's key"},
	} {
		o := new(imageOptions)
		if err := o.readImage(c.word); err != nil {
			t.Fatal(err)
		}
		u := &ui{command: "create", hinted: hinted{named: o.named}}
		if got := u.hint(c.err); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.word, got, c.want)
		}
	}
}
