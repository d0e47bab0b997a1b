package pull

import (
	"archive/tar"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

func TestShortage(t *testing.T) {
	const mib = 1 << 20
	large := untar.Room{Bytes: 1000 * mib, Inodes: 100000, Total: 2000 * mib}
	for _, c := range []struct {
		name                  string
		room                  untar.Room
		packed, content, temp int64
		need, have            string
	}{
		{"fits", large, 50 * mib, 200 * mib, 0, "", ""},
		{"just fits", large, 50 * mib, (1000 - 16) * mib * 8 / 7, 0, "", ""},
		{"does not", large, 50 * mib, 1200 * mib, 0, "1.0 GiB and 16.0 MiB to spare", "1.0 GiB"},
		{"by its factor", large, 500 * mib, -1, 0, "1.0 GiB and 16.0 MiB to spare", "1.0 GiB"},
		{"with a file beside", large, 200 * mib, 1000 * mib, 200 * mib, "875 MiB, 200 MiB for the download and 16.0 MiB to spare", "1.0 GiB"},
		{"an absurd size", large, math.MaxInt64, -1, 0, "8388608 TiB and 16.0 MiB to spare", "1.0 GiB"},
		{"a router's flash", untar.Room{Bytes: 20 * mib, Inodes: -1, Total: 64 * mib}, 3 * mib, 9 * mib, 0, "", ""},
		{"one that packs", untar.Room{Bytes: 20 * mib, Inodes: -1, Total: 64 * mib, Packs: true}, 10 * mib, 40 * mib, 0, "", ""},
		{"not so well", untar.Room{Bytes: 20 * mib, Inodes: -1, Total: 64 * mib, Packs: true}, 19 * mib, 40 * mib, 0, "19.0 MiB and 4.0 MiB to spare", "20.0 MiB"},
		{"nobody knows", untar.Room{Bytes: -1, Inodes: -1, Total: -1}, 1 << 50, 1 << 50, 1 << 50, "", ""},
		{"few inodes", untar.Room{Bytes: 1000 * mib, Inodes: 1000, Total: 2000 * mib}, 50 * mib, 200 * mib, 0, "2800 inodes or more", "1000"},
		{"none", untar.Room{Bytes: 1000 * mib, Inodes: 0, Total: 2000 * mib}, 1, 1, 0, "1 inodes or more", "0"},
	} {
		if need, have := shortage(c.room, c.packed, c.content, c.temp); need != c.need || have != c.have {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, need, have, c.need, c.have)
		}
	}
}

func TestMappedOwners(t *testing.T) {
	u := func(inside, outside, count uint32) untar.IDRange {
		return untar.IDRange{UID: true, Inside: inside, Outside: outside, Count: count}
	}
	for _, c := range []struct {
		ranges []untar.IDRange
		count  uint32
		some   uint32
	}{
		{nil, 0, 1},
		{[]untar.IDRange{u(0, 100000, 65536)}, 65536, 100001},
		{[]untar.IDRange{u(0, 1000, 1)}, 1, 1000},
		{[]untar.IDRange{u(1000, 1000, 1), u(0, 100000, 1000), u(1001, 101001, 64535)}, 65536, 100001},
		{[]untar.IDRange{u(0, 100000, 1000), u(2000, 102000, 5)}, 1000, 100001},
		{[]untar.IDRange{u(5, 5, 5)}, 0, 1},
		{[]untar.IDRange{u(0, 0, math.MaxUint32)}, math.MaxUint32, 1},
	} {
		if got := mappedCount(c.ranges); got != c.count {
			t.Errorf("%v: %d owners, not %d", c.ranges, got, c.count)
		}
		if got := trialID(c.ranges); got != c.some {
			t.Errorf("%v: owner %d, not %d", c.ranges, got, c.some)
		}
	}
}

// In a directory into which an image is merged nothing is tried: a killed run would leave the
// trial's files there for ever.
func TestMergeTriesNothing(t *testing.T) {
	for _, merges := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/mine", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		long := time.Unix(1234567890, 0)
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
		root, err := untar.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		r := &run{staging: &staging{root: root, merging: merges}, opt: Options{Tell: into(new(strings.Builder))}}
		if err := r.probe(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil || info.ModTime().Equal(long) != merges {
			t.Errorf("merges: %v, the directory's time: %v (%v)", merges, info.ModTime(), err)
		}
	}
}

// An image is refused for its size only if the size comes from a server that can be believed.
func TestFalseSize(t *testing.T) {
	const absurd = int64(4e13)
	serve := func(size int64, tls bool) *httptest.Server {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/meta/1.0/index-system":
				io.WriteString(w, "d;r;a;v;1;/images/x/\n")
				return
			case "/images/x/meta.tar.xz":
				tw := tar.NewWriter(w)
				tw.WriteHeader(&tar.Header{Name: "config", Mode: 0o644})
				tw.Close()
				return
			case "/images/x/rootfs.tar.xz":
			default:
				http.NotFound(w, r)
				return
			}
			n := min(4<<10, size)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", size-n, size-1, size))
			w.Header().Set("Content-Type", "application/octet-stream")
			w.WriteHeader(206)
			w.Write(make([]byte, n))
		})
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		if tls {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s
	}
	lies, liesTLS, honest, honestTLS := serve(absurd, false), serve(absurd, true), serve(5000, false), serve(5000, true)
	ca := filepath.Join(t.TempDir(), "ca")
	writeCertificates(t, ca, liesTLS, honestTLS)
	for _, test := range []struct {
		name            string
		server, mirror  *httptest.Server
		refused, warned bool
	}{
		{"a mirror, the server knows better", honestTLS, lies, false, false},
		{"a mirror over https", honestTLS, liesTLS, false, false},
		{"a mirror, nobody to ask", honest, lies, false, true},
		{"plain http", lies, nil, false, true},
		{"the server itself", liesTLS, nil, true, false},
		{"a mirror that is right about it", liesTLS, lies, true, false},
		{"all is well", honest, nil, false, false},
	} {
		root, err := untar.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		servers := new(source.Servers)
		if err := servers.Add(test.server.URL); err != nil {
			t.Fatal(err)
		}
		if test.mirror != nil {
			if err := servers.AddMirror(test.mirror.URL); err != nil {
				t.Fatal(err)
			}
		}
		client, err := fetch.NewClient(fetch.Options{TLS: fetch.TLSOptions{CACerts: []string{ca}}})
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		finder := source.Open(source.Options{Servers: servers, Client: client, Clock: source.NewClock(time.Time{}, time.Now()), Mode: lxc.System}, into(&said))
		found, err := finder.Find(t.Context(), image.Query{Dist: "d", Release: "r", Arch: []string{"a"}, Variant: "v"})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		r := &run{staging: &staging{root: root}, opt: Options{Tell: into(&said)}, contents: new(contents)}
		err = r.checkRoom(t.Context(), found)
		if (KindOf(err) == NoRoom) != test.refused || err != nil && KindOf(err) != NoRoom || strings.Contains(said.String(), "it may be wrong") != test.warned {
			t.Errorf("%s: %v; %s", test.name, err, said.String())
		}
		client.Close()
		root.Close()
	}
}

// writeCertificates writes the certificates of servers to a file, as PEM.
func writeCertificates(t *testing.T, name string, servers ...*httptest.Server) {
	var all []byte
	for _, s := range servers {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	}
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A size that only the first byte of a download tells is compared with the room as well,
// unless that was done before.
func TestLateRoom(t *testing.T) {
	root, err := untar.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := newTree(t)
	tree.publish("1", testMeta(t), testRootfs(t))
	found, err := source.Open(testOptions(t, "", tree.url()), into(new(strings.Builder))).Find(t.Context(), theImage())
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for _, test := range []struct {
		size    int64
		sized   bool
		refused bool
	}{{1 << 60, false, true}, {1 << 60, true, false}, {1, false, false}, {-1, false, false}} {
		r := &run{staging: &staging{root: root}, opt: Options{Tell: into(new(strings.Builder))}, contents: &contents{sized: test.sized}}
		err := r.checkLateRoom(found, &source.Stream{Size: test.size})
		if (KindOf(err) == NoRoom) != test.refused || err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// Owners that can be given are those of lxc.idmap, of users and groups apart, else those of
// this process's namespace.
func TestGivableIDs(t *testing.T) {
	users, groups := untar.IDRange{UID: true, Outside: 1, Count: 2}, untar.IDRange{GID: true, Outside: 3, Count: 4}
	both := untar.IDRange{UID: true, GID: true, Inside: 5, Count: 6}
	own := [2][]untar.IDRange{{users}, {groups}}
	r := &run{target: Target{IDs: own}}
	if got := r.givableIDs(); !reflect.DeepEqual(got, own) {
		t.Errorf("of the namespace: %v", got)
	}
	r.target.IDMap = []untar.IDRange{users, both, groups}
	if got, want := r.givableIDs(), [2][]untar.IDRange{{users, both}, {both, groups}}; !reflect.DeepEqual(got, want) {
		t.Errorf("of the map: %v", got)
	}
}

// A full disk is said to lack inodes only if it does.
func TestExplainFull(t *testing.T) {
	root, err := untar.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r := &run{staging: &staging{root: root}}
	other, full := errors.New("x"), fmt.Errorf("write: %w", syscall.ENOSPC)
	if got := r.explainFull(other); got != other {
		t.Error(got)
	}
	if got := r.explainFull(full); KindOf(got) != NoRoom || !errors.Is(got, syscall.ENOSPC) || got.Error() != full.Error() {
		t.Error(got)
	}
}
