package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pgp"
)

const oldBuild, newBuild = "20261101_00:00", "20261120_00:00"

// pinned is the query for a build of the image of a testServer.
func pinned(build string) image.Query {
	q := testQuery()
	q.Build = build
	return q
}

// twoBuilds returns a server whose index names newBuild, and which has oldBuild too.
func twoBuilds(t *testing.T) *testServer {
	server := newTestServer(t)
	server.publish(oldBuild, soon)
	server.publish(newBuild, soon)
	return server
}

// A build that the index does not name comes from the server itself, with a warning. It changes
// neither the cache nor the history.
func TestUnlistedBuild(t *testing.T) {
	server := twoBuilds(t)
	base := t.TempDir()
	local := "file://" + server.dir
	keepImage(t, serverOptions(t, base, local))
	var heard strings.Builder
	opt := serverOptions(t, base, local)
	if err := opt.Servers.AddMirror(server.URL); err != nil {
		t.Fatal(err)
	}
	found, err := Open(opt, hearing(&heard)).Find(t.Context(), pinned(oldBuild))
	if err != nil {
		t.Fatal(err)
	}
	if !found.Measure(t.Context(), false) || found.Image.Build != oldBuild || found.Cached || found.WillKeep() || !found.Safe() {
		t.Errorf("%+v", found.Image)
	}
	if text, err := read(t, found); err != nil || text != "rootfs "+oldBuild {
		t.Errorf("%q, %v", text, err)
	}
	found.Keep()
	found.Remember(t.Context())
	found.Close()
	if n := strings.Count(heard.String(), "no signature says that build \""+oldBuild+"\" is one of d/r/a/v"); n != 1 {
		t.Errorf("%d warnings in %s", n, &heard)
	}
	if len(server.requests) > 0 {
		t.Errorf("the mirror was asked: %q", server.requests)
	}
	if seen, err := opt.Cache.LoadSeen(); err != nil || len(seen) != 1 || seen[0].Build != newBuild {
		t.Errorf("history: %+v, %v", seen, err)
	}
	if found, err = Open(serverOptions(t, base, local), deaf()).Find(t.Context(), testQuery()); err != nil || !found.Cached || found.Image.Build != newBuild {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
	// If the user wants no signature verified, there is nothing to warn about.
	opt = serverOptions(t, t.TempDir(), server.URL)
	opt.Keys = nil
	if found, err = Open(opt, deaf()).Find(t.Context(), pinned(oldBuild)); err != nil || found.Image.Build != oldBuild {
		t.Fatal(err)
	}
	found.Close()
}

// A build that the index does not name is refused if it was signed on another day: a server
// could give a newer build, or an older one, under its name.
func TestUnlistedBuildOfAnotherDay(t *testing.T) {
	server := twoBuilds(t)
	publisher := newMinisigner("publisher")
	ring, err := pgp.ReadKeyring(publisher.public())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(path string, when time.Time) {
		path = filepath.Join(server.dir, path)
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path+image.SigSuffix, publisher.sign(data, when), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	made, _ := image.BuildTime(newBuild)
	sign(indexPath, made)
	built, _ := image.BuildTime(oldBuild)
	for days, kind := range map[int]Kind{-2: Replayed, 0: 0, 2: Unverified, 19: Unverified} {
		sign("images/"+oldBuild+"/"+image.SumsFile, built.AddDate(0, 0, days))
		opt := serverOptions(t, t.TempDir(), "file://"+server.dir)
		opt.Keys, opt.AllowOlder = ring, days%19 == 0
		found, err := Open(opt, deaf()).Find(t.Context(), pinned(oldBuild))
		if KindOf(err) != kind {
			t.Errorf("signed %d days after the build: %v", days, err)
		}
		if err == nil {
			found.Close()
		}
	}
}

// --flush-cache also flushes what another name means.
func TestFlushOfOtherName(t *testing.T) {
	server := newTestServer(t)
	server.publish(newBuild, soon)
	base := t.TempDir()
	keepImage(t, serverOptions(t, base, server.URL))
	q := testQuery()
	q.Dist, q.Loose = "d-linux", true
	for _, flush := range []bool{false, true} {
		opt := serverOptions(t, base, server.URL)
		opt.Use.Flush = flush
		found, err := Open(opt, deaf()).Find(t.Context(), q)
		if err != nil || found.Cached == flush {
			t.Fatalf("flush %v: %+v, %v", flush, found, err)
		}
		found.Close()
	}
}

// Over plain http anybody could say which build it is. A signature that names the build may
// come over http, and its tarballs from mirrors.
func TestUnlistedBuildOverHTTP(t *testing.T) {
	server := twoBuilds(t)
	f := Open(serverOptions(t, t.TempDir(), server.URL), deaf())
	if _, err := f.Find(t.Context(), pinned(oldBuild)); KindOf(err) != Unverified || !strings.Contains(err.Error(), "https") {
		t.Errorf("%v", err)
	}
	f = Open(serverOptions(t, t.TempDir(), server.URL), deaf())
	found := &Found{finder: f, Image: image.Image{Path: "p"}, lxcImage: lxcImage{index: indexUse{unlisted: true}}}
	found.checks.rootfs = &seal{bound: true}
	if err := found.checkUnlisted(); err != nil {
		t.Errorf("bound: %v", err)
	}
	if err := f.opt.Servers.AddMirror("mirror.example"); err != nil {
		t.Fatal(err)
	}
	if urls := found.from("f"); len(urls) != 2 || urls[0] != "https://mirror.example/p/f" {
		t.Errorf("%q", urls)
	}
}

// A build that the index names is used as usual, and one that the cache has needs no server,
// although a newer one was seen. A build that has expired is used with a warning.
func TestListedAndCachedBuild(t *testing.T) {
	server := newTestServer(t)
	server.publish(oldBuild, soon)
	base := t.TempDir()
	keepImage(t, serverOptions(t, base, server.URL))
	server.publish(newBuild, past)
	opt := serverOptions(t, base, server.URL)
	opt.Cache = nil
	var heard strings.Builder
	found, err := Open(opt, hearing(&heard)).Find(t.Context(), pinned(newBuild))
	if err != nil {
		t.Fatal(err)
	}
	found.Remember(t.Context())
	found.Close()
	if !strings.Contains(heard.String(), "build \""+newBuild+"\" of d/r/a/v has expired") || strings.Contains(heard.String(), "no signature") {
		t.Errorf("%s", &heard)
	}
	if seen, err := (&cache.Cache{Base: base}).LoadSeen(); err != nil || len(seen) != 0 && seen[0].Build != newBuild {
		t.Errorf("%+v, %v", seen, err)
	}
	server.forget()
	if found, err = Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), pinned(oldBuild)); err != nil || !found.Cached {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
	if len(server.requests) > 0 {
		t.Errorf("the server was asked: %q", server.requests)
	}
	// The cache has another build than the user wants.
	if found, err = Open(serverOptions(t, base, server.URL), deaf()).Find(t.Context(), pinned(newBuild)); err != nil || found.Cached || found.Image.Build != newBuild {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
}

// A build that is gone is not found; the error has the build in the index. The index is not
// read again for it.
func TestBuildIsGone(t *testing.T) {
	server := twoBuilds(t)
	_, err := Open(serverOptions(t, t.TempDir(), server.URL), deaf()).Find(t.Context(), pinned("20260101_00:00"))
	var missing *image.NotFoundError
	if KindOf(err) != NotFound || !errors.As(err, &missing) || missing.Listed != newBuild || len(missing.Near) != 1 || missing.Near[0].Build != newBuild {
		t.Errorf("%v, %+v", err, missing)
	}
	if n := server.asked(indexPath); n != 1 {
		t.Errorf("the index was asked for %d times", n)
	}
	// A path without the build's name leads to no other build.
	server.write(indexPath, []byte("d;r;a;v;"+newBuild+";/images/x/\n"))
	if _, err := Open(serverOptions(t, t.TempDir(), server.URL), deaf()).Find(t.Context(), pinned(oldBuild)); KindOf(err) != NotFound {
		t.Errorf("%v", err)
	}
}

// All servers are asked for the exact name and for a build in their index, before another
// name or a build without an index counts.
func TestExactFirst(t *testing.T) {
	one, two := newTestServer(t), newTestServer(t)
	one.publish("1", soon)
	two.publish("2", soon)
	q := testQuery()
	q.Dist, q.Loose = "d-linux", true
	var heard strings.Builder
	found, err := Open(serverOptions(t, t.TempDir(), one.URL, two.URL), hearing(&heard)).Find(t.Context(), q)
	if err != nil || found.Image.Build != "1" || found.query.Dist != "d" {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
	if strings.Count(heard.String(), "d-linux/r means d/r\n") != 1 {
		t.Errorf("%s", &heard)
	}
	two.write(indexPath, []byte("d-linux;r;a;v;2;/images/2/\n"))
	if found, err = Open(serverOptions(t, t.TempDir(), one.URL, two.URL), deaf()).Find(t.Context(), q); err != nil || found.Image.Build != "2" {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
	q.Loose = false
	q.Dist = "D-Linux-"
	if _, err = Open(serverOptions(t, t.TempDir(), one.URL, two.URL), deaf()).Find(t.Context(), q); KindOf(err) != NotFound {
		t.Errorf("%v", err)
	}
	three := twoBuilds(t)
	four := newTestServer(t)
	four.publish(oldBuild, soon)
	if found, err = Open(serverOptions(t, t.TempDir(), "file://"+three.dir, four.URL), deaf()).Find(t.Context(), pinned(oldBuild)); err != nil || found.index.unlisted {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Close()
}
