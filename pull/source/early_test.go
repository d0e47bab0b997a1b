package source

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lxc-pull/image"
)

// A roundServer is a testServer that answers only when it is told to, and counts connections.
type roundServer struct {
	*testServer
	front       *httptest.Server
	arrivals    chan arrival
	connections atomic.Int32
}

// An arrival is a request that waits for its answer.
type arrival struct {
	what string        // the path, and "tail" for a request for the end of the file
	may  chan struct{} // closed: the request may be answered
}

func newRoundServer(t *testing.T, tree *testServer) *roundServer {
	s := &roundServer{testServer: tree, arrivals: make(chan arrival, 100)}
	s.front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := arrival{r.URL.Path[1:], make(chan struct{})}
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
			a.what += " tail"
		} else if r.Header.Get("Range") != "" {
			a.what += " rest"
		}
		s.arrivals <- a
		select {
		case <-a.may:
			s.testServer.Config.Handler.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}))
	s.front.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.front.Start()
	t.Cleanup(s.front.Close)
	return s
}

// round waits until all of these requests are there at the same time, and no others, and answers
// them.
func (s *roundServer) round(requests ...string) {
	s.t.Helper()
	var here []arrival
	var names []string
	for len(here) < len(requests) {
		select {
		case a := <-s.arrivals:
			here, names = append(here, a), append(names, a.what)
		case <-time.After(waitForThis):
			s.t.Errorf("the requests %q are not sent before these are answered: %q", requests, names)
			s.let(here)
			go func() { // the test ends by itself then
				for a := range s.arrivals {
					close(a.may)
				}
			}()
			return
		}
	}
	slices.Sort(requests)
	slices.Sort(names)
	if !slices.Equal(names, requests) {
		s.t.Errorf("at the same time came %q, not %q", names, requests)
	}
	s.let(here)
}

func (s *roundServer) let(here []arrival) {
	for _, a := range here {
		close(a.may)
	}
}

// ended fails unless all requests were answered and at most this many connections were made.
func (s *roundServer) ended(connections int) {
	s.t.Helper()
	select {
	case a := <-s.arrivals:
		s.t.Errorf("a further request: %q", a.what)
		close(a.may)
	default:
	}
	if n := int(s.connections.Load()); n > connections {
		s.t.Errorf("%d connections, more than %d", n, connections)
	}
}

const (
	levelPath   = indexPath + ".7"
	earlyBuild  = "20261101_00:00"
	buildPath   = "images/" + earlyBuild + "/"
	sumsPath    = buildPath + image.SumsFile
	rootfsPath  = buildPath + image.RootfsFile
	waitForThis = 20 * time.Second
)

// The number of round trips of a run is what a creation costs on a link with a high latency: each
// round below waits for the one before it.
func TestRounds(t *testing.T) {
	first := []string{levelPath, indexPath, indexPath + ".asc"}
	second := []string{sumsPath, sumsPath + ".asc", rootfsPath}
	third := []string{buildPath + image.MetaFile, rootfsPath + " tail"}
	for _, test := range []struct {
		name        string
		kept        bool // in the cache
		use         CacheUse
		level       bool // the server has the index of the compat level
		plan        bool // the caller does not open the image
		rounds      [][]string
		connections int
	}{
		{name: "new", rounds: [][]string{first, second, third}, connections: 3},
		{name: "new, index of the compat level", level: true, connections: 5, // the plain index may still be on its way
			rounds: [][]string{first, {levelPath + ".asc"}, second, third}},
		{name: "plan", plan: true, connections: 3,
			rounds: [][]string{first, second[:2], third[:1], third[1:]}},
		{name: "cached", kept: true},
		{name: "cached, asks", kept: true, use: CacheUse{Refresh: true}, connections: 3,
			rounds: [][]string{first, second[:2]}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, base := newRoundServer(t, newTestServer(t)), t.TempDir()
			server.publish(earlyBuild, soon)
			if test.level {
				text, err := os.ReadFile(filepath.Join(server.dir, indexPath))
				if err != nil {
					t.Fatal(err)
				}
				server.write(levelPath, text)
			}
			if test.kept {
				keepImage(t, serverOptions(t, base, server.URL))
			}
			done := make(chan error, 1)
			go func() {
				done <- func() error {
					opt := serverOptions(t, base, server.front.URL)
					opt.Use = test.use
					f := Open(opt, deaf())
					if !test.plan {
						f.WillOpen()
					}
					found, err := f.Find(t.Context(), testQuery())
					if err != nil {
						return err
					}
					defer found.Close()
					if found.Measure(t.Context(), false); found.Layers[0].Packed != int64(len("rootfs "+earlyBuild)) {
						t.Errorf("the size is %d", found.Layers[0].Packed)
					}
					if test.plan {
						return nil
					}
					_, err = read(t, found)
					return err
				}()
			}()
			for _, requests := range test.rounds {
				server.round(slices.Clone(requests)...)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			server.ended(test.connections)
		})
	}
}

// A list takes one round trip after the connections are made.
func TestListRounds(t *testing.T) {
	server := newRoundServer(t, newTestServer(t))
	server.list("1")
	done := make(chan error, 1)
	go func() {
		_, err := Open(serverOptions(t, t.TempDir(), server.front.URL), deaf()).List(t.Context())
		done <- err
	}()
	server.round(levelPath, indexPath, indexPath+".asc")
	if err := <-done; err != nil {
		t.Error(err)
	}
	server.ended(3)
}

// A list of a simplestreams server and its signature are requested at the same time.
func TestStreamsRounds(t *testing.T) {
	tree := newStreamsTree(t)
	tree.forms = "d"
	tree.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	tree.publish()
	server := newRoundServer(t, tree.testServer)
	done := make(chan error, 1)
	go func() {
		opt := tree.options(t, "")
		opt.Servers = newServers(t, []string{server.front.URL}, nil)
		found, err := Open(opt, deaf()).Find(t.Context(), image.Query{})
		if err == nil {
			_, err = read(t, found)
			found.Close()
		}
		done <- err
	}()
	for _, list := range []string{streamsIndex, "streams/v1/images"} {
		server.round(list + ".sjson")
		server.round(list+".json", list+".json.gpg")
	}
	dir := "images/debian/trixie/amd64/default/" + build1 + "/"
	server.round(dir + "incus.tar.xz")
	server.round(dir + "root.tar.xz")
	if err := <-done; err != nil {
		t.Error(err)
	}
	server.ended(2)
}

// The root file system is not requested early if that would be a waste: part of it is in the cache,
// or another server or a mirror may be asked as well.
func TestNotEarly(t *testing.T) {
	server, base := newTestServer(t), t.TempDir()
	server.publish(earlyBuild, soon)
	opt := serverOptions(t, base, server.URL)
	find := func(opt Options) *Found {
		f := Open(opt, deaf())
		f.WillOpen()
		found, err := f.Find(t.Context(), testQuery())
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := find(opt)
	if found.try.early == nil {
		t.Error("a new image is not requested early")
	}
	stream, err := found.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	stream.Close()
	found.Close() // the cache keeps the bytes
	server.forget()
	found = find(serverOptions(t, base, server.URL))
	if found.try.early != nil {
		t.Error("an image of which the cache has a part is requested early")
	}
	if text, err := read(t, found); err != nil || text != "rootfs "+earlyBuild {
		t.Errorf("%q, %v", text, err)
	}
	if n := server.asked(rootfsPath); n != 1 {
		t.Errorf("the root file system was requested %d times", n)
	}
	found.Close()
	opt = serverOptions(t, t.TempDir(), server.URL)
	if err := opt.Servers.AddMirror("http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	found = find(opt)
	if found.try.early != nil {
		t.Error("the server is asked before a mirror")
	}
	found.Close()
	// If the first server lacked the file, the second one would be asked for it.
	opt = serverOptions(t, t.TempDir(), server.URL)
	opt.Servers = newServers(t, []string{server.URL, newTestServer(t).URL}, nil)
	found = find(opt)
	if found.try.early != nil {
		t.Error("one of two servers is asked early")
	}
	found.Close()
	// A second attempt may have bytes that the first one got.
	f := Open(serverOptions(t, t.TempDir(), server.URL), deaf())
	f.WillOpen()
	for i := range 2 {
		found, err := f.Find(t.Context(), testQuery())
		if err != nil {
			t.Fatal(err)
		}
		if early := found.try.early != nil; early != (i == 0) {
			t.Errorf("attempt %d: requested early: %t", i, early)
		}
		found.Close()
	}
}

// If the evidence is wrong, nobody reads the root file system that was requested early, and its
// download ends.
func TestEarlyUnverified(t *testing.T) {
	server := newTestServer(t)
	server.publish(earlyBuild, soon)
	if err := os.WriteFile(filepath.Join(server.dir, sumsPath), []byte("other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	begun, ended := make(chan struct{}), make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/"+rootfsPath {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			close(begun)
			<-r.Context().Done()
			close(ended)
			return
		}
		if r.URL.Path == "/"+sumsPath {
			<-begun
		}
		server.Config.Handler.ServeHTTP(w, r)
	}))
	defer front.Close()
	f := Open(serverOptions(t, t.TempDir(), front.URL), deaf())
	f.WillOpen()
	if found, err := f.Find(t.Context(), testQuery()); KindOf(err) != Unverified {
		t.Errorf("%v, %v", found, err)
	}
	select {
	case <-ended:
	case <-time.After(waitForThis):
		t.Error("the download goes on")
	}
}

// Of a root file system that was requested early and is not opened no more is sent than fits into
// the buffers of the connection.
func TestEarlyUnread(t *testing.T) {
	server := newTestServer(t)
	server.publish(earlyBuild, soon)
	const size = 256 << 20
	sent := make(chan int, 1)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+rootfsPath || r.Header.Get("Range") != "" {
			server.Config.Handler.ServeHTTP(w, r)
			return
		}
		n := 0
		for part := make([]byte, 64<<10); n < size; n += len(part) {
			if _, err := w.Write(part); err != nil {
				break
			}
		}
		sent <- n
	}))
	defer front.Close()
	f := Open(serverOptions(t, t.TempDir(), front.URL), deaf())
	f.WillOpen()
	found, err := f.Find(t.Context(), testQuery())
	if err != nil {
		t.Fatal(err)
	}
	found.Measure(t.Context(), false)
	<-found.try.early.opened // now the server sends
	time.Sleep(100 * time.Millisecond)
	found.Close()
	if n := <-sent; n > size/4 {
		t.Errorf("%d bytes were sent", n)
	}
}

// A request before its turn that fails is sent again in its turn.
func TestEarlyFails(t *testing.T) {
	server := newTestServer(t)
	server.publish(earlyBuild, soon)
	var failed [2]atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i, path := range []string{"/" + indexPath + ".asc", "/" + sumsPath + ".asc"} {
			if r.URL.Path == path && !failed[i].Swap(true) {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
		}
		server.Config.Handler.ServeHTTP(w, r)
	}))
	defer front.Close()
	var heard strings.Builder
	f := Open(serverOptions(t, t.TempDir(), front.URL), hearing(&heard))
	found, err := f.Find(t.Context(), testQuery())
	if err != nil {
		t.Fatal(err)
	}
	found.Close()
	if strings.Contains(heard.String(), "502") || !failed[0].Load() || !failed[1].Load() {
		t.Errorf("heard %s", &heard)
	}
}
