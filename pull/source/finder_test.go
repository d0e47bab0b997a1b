package source

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

// A testServer is an image server whose tree is a directory on disk. It signs with
// signer's key and notes what it is asked for.
type testServer struct {
	*httptest.Server
	t   *testing.T
	dir string

	mu       sync.Mutex
	requests []string
	missing  func() // called once, after the answer that a file does not exist in a build
}

func newTestServer(t *testing.T) *testServer {
	s := &testServer{t: t, dir: t.TempDir()}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, r.URL.Path)
		file := filepath.Join(s.dir, filepath.FromSlash(r.URL.Path))
		w.Header().Set("Content-Type", "application/octet-stream")
		_, err := os.Stat(file)
		http.ServeFile(w, r, file)
		if err != nil && strings.HasPrefix(r.URL.Path, "/images/") && s.missing != nil {
			s.missing()
			s.missing = nil
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// asked returns how often the server was asked for a path below its URL.
func (s *testServer) asked(path string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, each := range s.requests {
		if each == "/"+path {
			n++
		}
	}
	return n
}

// forget forgets what the server was asked for.
func (s *testServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

func (s *testServer) write(name string, data []byte) {
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Error(err)
	}
	for path, data := range map[string][]byte{name: data, name + image.SigSuffix: signed(data)} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			s.t.Error(err)
		}
	}
}

// list publishes an index that lists a build of the image d/r/a/v.
func (s *testServer) list(build string) {
	s.write(indexPath, []byte("no image\nd;r;a;v;"+build+";/images/"+build+"/\n"))
}

const indexPath = image.IndexDir + "/index-system"

// publish makes a build the newest; expiry is when it expires, in seconds since 1970.
func (s *testServer) publish(build string, expiry time.Time) {
	var meta bytes.Buffer
	tw := tar.NewWriter(&meta)
	for _, file := range [][2]string{{"config", build}, {"expiry", fmt.Sprint(expiry.Unix())}} {
		name, text := file[0], file[1]
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o640, Size: int64(len(text))}); err != nil {
			s.t.Fatal(err)
		}
		io.WriteString(tw, text)
	}
	if err := tw.Close(); err != nil {
		s.t.Fatal(err)
	}
	dir, rootfs := "images/"+build+"/", []byte("rootfs "+build)
	s.write(dir+image.MetaFile, meta.Bytes())
	s.write(dir+image.RootfsFile, rootfs)
	s.write(dir+image.SumsFile, fmt.Appendf(nil, "%x  meta.tar.xz\n%x  rootfs.tar.xz\n", sha256.Sum256(meta.Bytes()), sha256.Sum256(rootfs)))
	s.list(build)
}

// testQuery is the query for the image of a testServer.
func testQuery() image.Query {
	return image.Query{Dist: "d", Release: "r", Arch: []string{"a"}, Variant: "v"}
}

// serverOptions are the options of a Finder that asks servers and trusts signer's key. Its
// cache, which is also its history, is in base.
func serverOptions(t *testing.T, base string, servers ...string) Options {
	t.Helper()
	ring, err := pgp.ReadKeyring(signify(signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Servers: newServers(t, servers, nil), Keys: ring, Clock: NewClock(time.Time{}, time.Now()),
		Cache: &cache.Cache{Base: base, Evidence: EvidenceNames()}, Mode: lxc.System,
	}
	opt.Histories = []*cache.Cache{opt.Cache}
	if opt.Client, err = fetch.NewClient(fetch.Options{Limits: fetch.LimitOptions{Retries: -1}, Report: fetch.ReportOptions{Notify: opt.Servers.NoteFailure}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opt.Client.Close() })
	return opt
}

// hearing is a Listener that notes all that it hears, a line each.
func hearing(b *strings.Builder) Listener {
	line := func(text string) { b.WriteString(text + "\n") }
	return Listener{Say: line, Tell: line, Note: line, Warn: func(_, text string) { line(text) }, Image: func(image.Image, string, bool) {}}
}

// read reads the root file system of found, and checks it.
func read(t *testing.T, found *Found) (string, error) {
	t.Helper()
	stream, err := found.Open(t.Context(), 0)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	data, err := io.ReadAll(stream)
	if err == nil {
		err = stream.Check()
	}
	return string(data), err
}

// keepImage finds the image, reads it, and keeps it in the cache and in the history.
func keepImage(t *testing.T, opt Options) {
	t.Helper()
	found, err := Open(opt, deaf()).Find(t.Context(), testQuery())
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	if _, err := read(t, found); err != nil {
		t.Fatal(err)
	}
	found.Keep()
	found.Remember(t.Context())
}

// soon and past are times of expiry.
var soon, past = time.Now().Add(time.Hour), time.Now().Add(-time.Hour)

func TestList(t *testing.T) {
	one, two := newTestServer(t), newTestServer(t)
	one.list("1")
	two.list("2")
	var heard strings.Builder
	f := Open(serverOptions(t, t.TempDir(), one.URL, two.URL), hearing(&heard))
	for range 2 {
		if index, err := f.List(t.Context()); err != nil || len(index.Images) != 1 || index.Images[0].Build != "1" {
			t.Errorf("%+v, %v", index, err)
		}
	}
	if n := one.asked(indexPath); n != 1 || two.asked(indexPath) != 0 {
		t.Errorf("the first server was asked %d times for its index, the second %d", n, two.asked(indexPath))
	}
	if !strings.Contains(heard.String(), "line 1 is passed over") {
		t.Errorf("the bad line is not told: %s", &heard)
	}
	// Another key's index is refused, and the next server is asked.
	if err := os.WriteFile(filepath.Join(one.dir, indexPath), []byte("d;r;a;v;3;/images/3/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f = Open(serverOptions(t, t.TempDir(), one.URL, two.URL), deaf())
	if index, err := f.List(t.Context()); err != nil || index.Images[0].Build != "2" {
		t.Errorf("%+v, %v", index, err)
	}
	if _, err := Open(serverOptions(t, t.TempDir(), one.URL), deaf()).List(t.Context()); KindOf(err) != Unverified {
		t.Errorf("of one server alone: %v", err)
	}
	// The index of this compat level goes first.
	two.write(image.IndexDir+"/"+string(indexNames(lxc.System)[0]), []byte("d;r;a;v;level;/images/level/\n"))
	if index, err := Open(serverOptions(t, t.TempDir(), two.URL), deaf()).List(t.Context()); err != nil || index.Images[0].Build != "level" {
		t.Errorf("%+v, %v", index, err)
	}
}

func TestFind(t *testing.T) {
	server := newTestServer(t)
	server.publish("20261101_00:00", soon)
	base := t.TempDir()
	for _, cached := range []bool{false, true} {
		server.forget()
		found, err := Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), testQuery())
		if err != nil {
			t.Fatal(err)
		}
		if found.Cached != cached || found.Image.Build != "20261101_00:00" || string(found.Meta["config"]) != "20261101_00:00" {
			t.Errorf("cached %v: %+v, %q", found.Cached, found.Image, found.Meta)
		}
		if mode, ok := found.FileMode("config"); !ok || mode != 0o640 {
			t.Errorf("the mode is %v, %v", mode, ok)
		}
		if text, err := read(t, found); err != nil || text != "rootfs 20261101_00:00" {
			t.Errorf("%q, %v", text, err)
		}
		if (len(server.requests) == 0) != cached {
			t.Errorf("cached %v: the server was asked for %q", cached, server.requests)
		}
		found.Keep()
		found.Remember(t.Context())
		found.Close()
	}
	q := testQuery()
	q.Release = "R2"
	var missing *image.NotFoundError
	_, err := Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), q)
	if KindOf(err) != NotFound || !errors.As(err, &missing) || len(missing.Near) != 1 {
		t.Errorf("the error is %v", err)
	}
}

// Whether the cached copy is used depends on its age, on the options, and on whether a server
// can be reached.
func TestCacheUse(t *testing.T) {
	const build, newer = "20261101_00:00", "20261102_00:00"
	for _, test := range []struct {
		name    string
		use     CacheUse
		expired bool
		offline bool
		newer   bool // the server has a newer build
		cached  bool
		build   string
		warned  string
		asked   bool
	}{
		{"fresh", CacheUse{}, false, false, true, true, build, "", false},
		{"expired", CacheUse{}, true, false, true, false, newer, "has expired, re-downloading", true},
		{"expired, nothing newer", CacheUse{}, true, false, false, true, build, "has expired, re-downloading", true},
		{"expired, offline", CacheUse{}, true, true, false, true, build, "using the cached copy, although it has expired", false},
		{"forced", CacheUse{Force: true}, true, false, true, true, build, "", false},
		{"refreshed", CacheUse{Refresh: true}, false, false, true, false, newer, "", true},
		{"refreshed, nothing newer", CacheUse{Refresh: true}, false, false, false, true, build, "already up to date", true},
		{"refreshed, offline", CacheUse{Refresh: true}, false, true, false, true, build, "using the cached copy", false},
		{"flushed", CacheUse{Flush: true}, false, false, false, false, build, "Flushing the cache", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, base := newTestServer(t), t.TempDir()
			server.publish(build, soon)
			keepImage(t, serverOptions(t, base, server.URL))
			if test.newer {
				server.publish(newer, soon.Add(24*time.Hour))
			}
			if test.offline {
				server.Close()
			}
			server.forget()
			var heard strings.Builder
			opt := serverOptions(t, base, server.URL)
			opt.Use = test.use
			if test.expired {
				opt.Clock = NewClock(soon.Add(time.Minute), time.Now())
			}
			found, err := Open(opt, hearing(&heard)).Find(t.Context(), testQuery())
			if err != nil {
				t.Fatal(err)
			}
			defer found.Close()
			found.Accept()
			if found.Cached != test.cached || found.Image.Build != test.build {
				t.Errorf("cached %v, build %s", found.Cached, found.Image.Build)
			}
			if !strings.Contains(heard.String(), test.warned) || test.warned == "" && strings.Contains(heard.String(), "expired") {
				t.Errorf("said: %s", &heard)
			}
			if asked := server.asked(indexPath) > 0; asked != test.asked {
				t.Errorf("asked %v", asked)
			}
			if text, err := read(t, found); err != nil || text != "rootfs "+test.build {
				t.Errorf("%q, %v", text, err)
			}
			if n := server.asked("images/" + build + "/" + image.RootfsFile); test.cached && n > 0 {
				t.Errorf("the root file system was downloaded %d times", n)
			}
		})
	}
}

// A cached copy without evidence is used only after a server has confirmed it. A copy whose
// bytes were changed is downloaded again.
func TestBadCachedCopy(t *testing.T) {
	const build = "20261101_00:00"
	server, base := newTestServer(t), t.TempDir()
	server.publish(build, soon)
	keepImage(t, serverOptions(t, base, server.URL))
	entry := filepath.Join(base, "download/d/r/a/v")
	rootfs := filepath.Join(entry, image.RootfsFile)
	if err := os.WriteFile(rootfs, []byte("ROOTFS "+build), 0o644); err != nil {
		t.Fatal(err)
	}
	var heard strings.Builder
	f := Open(serverOptions(t, base, server.URL), hearing(&heard))
	found, err := f.Find(t.Context(), testQuery())
	if err != nil || !found.Cached {
		t.Fatalf("%+v, %v", found, err)
	}
	_, err = read(t, found)
	if KindOf(err) != Unverified {
		t.Fatalf("changed bytes: %v", err)
	}
	found, err = f.Next(t.Context(), found, err)
	if err != nil || found.Cached || !strings.Contains(heard.String(), "the cached copy is damaged") {
		t.Fatalf("%+v, %v; %s", found, err, &heard)
	}
	if text, err := read(t, found); err != nil || text != "rootfs "+build {
		t.Errorf("%q, %v", text, err)
	}
	found.Keep()
	found.Close()
	if data, err := os.ReadFile(rootfs); string(data) != "rootfs "+build {
		t.Errorf("the cache has %q, %v", data, err)
	}
	// Without evidence, as the stock template leaves it.
	if err := os.RemoveAll(filepath.Join(entry, ".lxc-pull")); err != nil {
		t.Fatal(err)
	}
	offline := serverOptions(t, base, server.URL)
	offline.Servers = newServers(t, []string{"file:///nowhere"}, nil)
	if _, err := Open(offline, deaf()).Find(t.Context(), testQuery()); KindOf(err) != Network {
		t.Errorf("no server has it: %v", err)
	}
	found, err = Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), testQuery())
	if err != nil || !found.Cached {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := read(t, found); err != nil {
		t.Error(err)
	}
	found.Keep() // with what the server has said of it
	found.Close()
	server.Close()
	if found, err = Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), testQuery()); err != nil {
		t.Fatalf("the evidence was not kept: %v", err)
	}
	found.Close()
	if err := os.RemoveAll(filepath.Join(entry, ".lxc-pull")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), testQuery()); KindOf(err) != Unverified || !Offline(err) || strings.Contains(err.Error(), "\n") {
		t.Errorf("offline, without evidence: %v", err)
	}
}

// A cached copy whose metadata was changed, or which the caller refuses, is replaced by what
// the server says of the same build, without a download of the root file system, and the new
// evidence is kept.
func TestReplacedEvidence(t *testing.T) {
	const build = "20261101_00:00"
	for _, refused := range []bool{false, true} {
		server, base := newTestServer(t), t.TempDir()
		server.publish("other", soon)
		server.publish(build, soon)
		keepImage(t, serverOptions(t, base, server.URL))
		other, err := os.ReadFile(filepath.Join(server.dir, "images/other", image.MetaFile))
		if err != nil {
			t.Fatal(err)
		}
		server.forget()
		f := Open(serverOptions(t, base, server.URL), deaf())
		expiry := soon
		if refused {
			expiry = soon.Add(time.Hour) // other metadata of the same build
			server.publish(build, expiry)
		} else if err := os.WriteFile(filepath.Join(base, "download/d/r/a/v/.lxc-pull", image.MetaFile), other, 0o644); err != nil {
			t.Fatal(err)
		}
		found, err := f.Find(t.Context(), testQuery())
		if err != nil || !found.Cached {
			t.Fatalf("refused %v: %+v, %v", refused, found, err)
		}
		if (server.asked(indexPath) == 0) != refused {
			t.Errorf("refused %v: the server was asked for %q", refused, server.requests)
		}
		if refused {
			if found, err = f.Next(t.Context(), found, &RefusedError{errors.New("not this one")}); err != nil || !found.Cached {
				t.Fatalf("%+v, %v", found, err)
			}
		}
		if text, err := read(t, found); err != nil || text != "rootfs "+build {
			t.Errorf("refused %v: %q, %v", refused, text, err)
		}
		if n := server.asked("images/" + build + "/" + image.RootfsFile); n > 0 {
			t.Errorf("refused %v: the root file system was downloaded", refused)
		}
		found.Keep()
		found.Close()
		server.Close()
		if found, err = Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), testQuery()); err != nil {
			t.Fatalf("refused %v: the evidence was not kept: %v", refused, err)
		}
		if got := string(found.Meta["expiry"]); got != fmt.Sprint(expiry.Unix()) {
			t.Errorf("refused %v: expiry %s", refused, got)
		}
		found.Close()
	}
}

// A mirror whose bytes are wrong is not asked again, and what came of it is not kept.
func TestNextAfterWrongMirror(t *testing.T) {
	const build = "20261101_00:00"
	server, mirror := newTestServer(t), newTestServer(t)
	server.publish(build, soon)
	mirror.publish(build, soon)
	mirror.write("images/"+build+"/"+image.RootfsFile, []byte("other bytes"))
	var heard strings.Builder
	base := t.TempDir()
	opt := serverOptions(t, base, server.URL)
	if err := opt.Servers.AddMirror(mirror.URL); err != nil {
		t.Fatal(err)
	}
	f := Open(opt, hearing(&heard))
	found, err := f.Find(t.Context(), testQuery())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { found.Close() }()
	if found.Safe() {
		t.Error("a mirror's bytes may meet a decoder before they are verified")
	}
	text, err := read(t, found)
	if text != "other bytes" || KindOf(err) != Unverified {
		t.Fatalf("%q, %v", text, err)
	}
	if found.Forget(err) {
		t.Error("wrong bytes are kept")
	}
	next, err := f.Next(t.Context(), found, err)
	if err != nil || next != found || !strings.Contains(heard.String(), "starting again") {
		t.Fatalf("%+v, %v; %s", next, err, &heard)
	}
	if urls := f.opt.Servers.files("images/other/f"); slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, mirror.URL) }) {
		t.Errorf("the mirror is to be asked for another build: %q", urls)
	}
	mirror.forget()
	if text, err := read(t, found); text != "rootfs "+build || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if len(mirror.requests) > 0 {
		t.Errorf("the mirror was asked for %q", mirror.requests)
	}
	// When no server is left the wrong digest is the error.
	if err := os.WriteFile(filepath.Join(server.dir, "images", build, image.RootfsFile), []byte("more wrong bytes"), 0o644); err != nil {
		t.Fatal(err)
	}
	found.Forget(errors.New("begin anew"))
	if err := found.renewSeals(); err != nil {
		t.Fatal(err)
	}
	_, err = read(t, found)
	if KindOf(err) != Unverified {
		t.Fatalf("%v", err)
	}
	if next, err := f.Next(t.Context(), found, err); next != nil || KindOf(err) != Unverified {
		t.Errorf("%+v, %v", next, err)
	}
}

// When the bytes of all servers are wrong that is the error; the servers that list the same
// build are not asked a second time.
func TestWrongBytesEverywhere(t *testing.T) {
	const build = "20261101_00:00"
	one, two := newTestServer(t), newTestServer(t)
	for _, s := range []*testServer{one, two} {
		s.publish(build, soon)
		if err := os.WriteFile(filepath.Join(s.dir, "images", build, image.RootfsFile), []byte("wrong"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := Open(serverOptions(t, t.TempDir(), one.URL, two.URL), deaf())
	found, err := f.Find(t.Context(), testQuery())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err = read(t, found); KindOf(err) != Unverified {
			t.Fatal(err)
		}
		found.Forget(err)
		if found, err = f.Next(t.Context(), found, err); err != nil {
			break
		}
	}
	if found != nil || KindOf(err) != Unverified {
		t.Errorf("%+v, %v", found, err)
	}
	for _, s := range []*testServer{one, two} {
		if n := s.asked("images/" + build + "/" + image.RootfsFile); n != 1 {
			t.Errorf("asked %d times", n)
		}
	}
}

// An index that lists a build which is not there is read again once: a server that
// publishes meanwhile has a new one. After that the server lags.
func TestListIsReadAgainOnce(t *testing.T) {
	for _, published := range []bool{true, false} {
		server := newTestServer(t)
		server.list("20261101_00:00")
		if published {
			server.missing = func() { server.publish("20261102_00:00", soon) }
		}
		var heard strings.Builder
		found, err := Open(serverOptions(t, t.TempDir(), server.URL), hearing(&heard)).Find(t.Context(), testQuery())
		if n := server.asked(indexPath); n != 2 {
			t.Errorf("published %v: the index was read %d times", published, n)
		}
		if strings.Count(heard.String(), "reading the index again") != 1 {
			t.Errorf("said: %s", &heard)
		}
		switch {
		case !published && KindOf(err) != Gone:
			t.Errorf("the error is %v", err)
		case published && (err != nil || found.Image.Build != "20261102_00:00"):
			t.Errorf("%+v, %v", found, err)
		}
		if found != nil {
			found.Close()
		}
	}
	// The next server is asked, which has an older build.
	lags, other := newTestServer(t), newTestServer(t)
	lags.list("20261103_00:00")
	other.publish("20261102_00:00", soon)
	found, err := Open(serverOptions(t, t.TempDir(), lags.URL, other.URL), deaf()).Find(t.Context(), testQuery())
	if err != nil || found.Image.Build != "20261102_00:00" {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
}

// An older build than was seen, or one that has expired, is refused, unless the user
// allows it.
func TestReplayed(t *testing.T) {
	server, base := newTestServer(t), t.TempDir()
	server.publish("20261110_00:00", soon)
	keepImage(t, serverOptions(t, base, server.URL))
	for name, publish := range map[string]func(){
		"an older build": func() { server.publish("20261101_00:00", soon) },
		"it has expired": func() { server.publish("20261111_00:00", past) },
	} {
		publish()
		for _, allow := range []bool{false, true} {
			opt := serverOptions(t, base, server.URL)
			opt.Cache, opt.AllowOlder = nil, allow
			found, err := Open(opt, deaf()).Find(t.Context(), testQuery())
			if allow != (err == nil) || err != nil && KindOf(err) != Replayed {
				t.Errorf("%s, allowed %v: %v", name, allow, err)
			}
			if found != nil {
				found.Close()
			}
		}
	}
	// Another server may have the newer one.
	other := newTestServer(t)
	other.publish("20261112_00:00", soon)
	opt := serverOptions(t, base, server.URL, other.URL)
	opt.Cache = nil
	found, err := Open(opt, deaf()).Find(t.Context(), testQuery())
	if err != nil || found.Image.Build != "20261112_00:00" {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
	// A history that can't be read is an error of its own.
	if err := os.WriteFile(filepath.Join(base, ".lxc-pull/seen"), []byte("nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(serverOptions(t, base, other.URL), deaf()).Find(t.Context(), testQuery()); KindOf(err) != History {
		t.Errorf("a broken history: %v", err)
	}
}

// What the cache has of a download whose digest is known stays after the network broke it
// off, and nothing else does.
func TestForget(t *testing.T) {
	const build = "20261101_00:00"
	down := &fetch.Error{Kind: fetch.KindTruncated}
	for _, test := range []struct {
		name string
		sums bool
		err  error
		kept bool
	}{
		{"the network", true, down, true},
		{"the network, no digest", false, down, false},
		{"wrong bytes", true, unverified("f", errors.New("x")), false},
		{"a full disk", true, errors.New("x"), false},
	} {
		server, base := newTestServer(t), t.TempDir()
		server.publish(build, soon)
		if !test.sums {
			for _, name := range []string{image.SumsFile, image.SumsFile + image.SigSuffix} {
				if err := os.Remove(filepath.Join(server.dir, "images", build, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		found, err := Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), testQuery())
		if err != nil {
			t.Fatal(err)
		}
		stream, err := found.Open(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(stream, make([]byte, 9)); err != nil {
			t.Fatal(err)
		}
		if kept := found.Forget(test.err); kept != test.kept {
			t.Errorf("%s: kept %v", test.name, kept)
		}
		stream.Close()
		found.Close()
		list, err := (&cache.Cache{Base: base, Evidence: EvidenceNames()}).List()
		partial := slices.ContainsFunc(list, func(i cache.Info) bool { return i.Partial })
		if err != nil || partial != test.kept {
			t.Errorf("%s: in the cache %+v, %v", test.name, list, err)
		}
	}
}

// If the cache can't be written any more, Complete fails with the error of the write.
func TestCompleteKeepsWriteError(t *testing.T) {
	server := newTestServer(t)
	server.publish("20261101_00:00", soon)
	var heard strings.Builder
	found, err := Open(serverOptions(t, t.TempDir(), server.URL), hearing(&heard)).Find(t.Context(), testQuery())
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	stream, err := found.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if !stream.InCache() {
		t.Fatal("the download is not written to the cache")
	}
	found.cache.stage.Rootfs.Close() // every write fails from now on
	if _, err := stream.Complete(nil, io.Discard); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Complete: %v", err)
	}
	if !strings.Contains(heard.String(), "the image is not written to the cache") {
		t.Errorf("heard: %s", &heard)
	}
}
