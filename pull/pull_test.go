package pull

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// newContainer is the Target of a container that does not exist yet, with LXC's own
// files in a directory of the test's.
func newContainer(t *testing.T, lxcPath string) Target {
	t.Helper()
	path := filepath.Join(lxcPath, "web")
	target := Target{
		Container:  lxc.Container{Name: "web", Path: path, Rootfs: filepath.Join(path, "rootfs"), TemplateConfig: t.TempDir(), HookDir: "/hooks"},
		MakeDir:    true,
		Owner:      Owner{UID: -1, GID: -1},
		BaseConfig: []byte("# begun\nlxc.net.0.type = empty\nlxc.start.auto = 0\n"),
	}
	writeFile(t, filepath.Join(target.Container.TemplateConfig, "common.conf"), nil)
	return target
}

const testConfig = "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n"

func testMeta(t *testing.T, more ...testEntry) []byte {
	return pack(t, append([]testEntry{
		{name: "config", text: testConfig},
		{name: "templates", text: "/etc/hostname\n"},
		{name: "create-message", text: "Welcome.\n"},
	}, more...)...)
}

func testRootfs(t *testing.T, more ...testEntry) []byte {
	return pack(t, append([]testEntry{
		{name: "./"}, {name: "./etc/"}, {name: "./etc/hostname", text: "LXC_NAME\n"},
		{name: "./etc/issue", text: "LXC_NAME stays\n"}, {name: "./bin", target: "usr/bin"},
	}, more...)...)
}

// unpacked is the output of function below for the tree of testRootfs, with a prefix
// before each name.
func unpacked(prefix string) string {
	lines := []string{
		"bin Lrwxrwxrwx -> usr/bin", "dev drwxr-xr-x", "dev/pts drwxr-xr-x", "etc drwxr-xr-x",
		`etc/hostname -rw-r--r-- "web\n"`, `etc/issue -rw-r--r-- "LXC_NAME stays\n"`,
	}
	return prefix + strings.Join(lines, "\n"+prefix) + "\n"
}

// withoutRecord removes the line of the record from the output of below, and checks its mode
// and that it is of the image of testRootfs.
func withoutRecord(t *testing.T, lines string) string {
	t.Helper()
	before, rest, _ := strings.Cut(lines, "image.json -rw-r--r-- ")
	line, after, _ := strings.Cut(rest, "\n")
	text, err := strconv.Unquote(line)
	if err != nil {
		t.Fatalf("no record in %q", lines)
	}
	r, err := ParseRecord([]byte(text))
	if err != nil || r.Image.Build != "1" || r.Rootfs == "" || r.Server != "file:" || !slices.Equal(r.Edited, []string{"dev/pts", fmt.Sprintf("%x  etc/hostname", sha256.Sum256([]byte("web\n")))}) {
		t.Errorf("record %+v, %v", r, err)
	}
	return before + after
}

func TestRunRootfsAlone(t *testing.T) {
	syscall.Umask(0o022)
	tree := newTree(t)
	tree.publish("1", testMeta(t), testRootfs(t))
	dir := t.TempDir()
	target := Target{
		Container:  lxc.Container{Name: "web", Path: dir, Rootfs: filepath.Join(dir, "root")},
		RootfsOnly: true, Owner: Owner{UID: -1, GID: -1},
	}
	var heard strings.Builder
	finder := source.Open(testOptions(t, "", tree.url()), into(&heard))
	made, err := Run(t.Context(), finder, theImage(), target, Options{Tell: into(&heard)})
	if err != nil || string(made.Message) != "Welcome.\n" || made.Image.Build != "1" {
		t.Fatalf("%+v, %v", made, err)
	}
	got := below(t, dir)
	_, got, _ = strings.Cut(got, "\n") // the test's own directory
	if want := "root drwxr-xr-x\n" + unpacked("root/"); got != want {
		t.Errorf("made:\n%swant:\n%s", got, want)
	}
	for _, step := range []string{"Downloading the image index\n", "Downloading the metadata\n", "Downloading the rootfs\n", "Unpacking the rootfs\n"} {
		if !strings.Contains(heard.String(), step) {
			t.Errorf("%q was not said", step)
		}
	}
}

func TestRunContainer(t *testing.T) {
	syscall.Umask(0o022)
	const mount = "mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0\n"
	tree := newTree(t)
	tree.publish("1", testMeta(t, testEntry{name: "fstab", text: "# LXC_NAME\n" + mount}), testRootfs(t))
	lxcPath, base := t.TempDir(), t.TempDir()
	target := newContainer(t, lxcPath)
	var heard strings.Builder
	for _, from := range []string{"Downloading the rootfs\n", "Using image from local cache\n"} {
		heard.Reset()
		finder := source.Open(testOptions(t, base, tree.url()), into(&heard))
		if _, err := Run(t.Context(), finder, theImage(), target, Options{Tell: into(&heard)}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(heard.String(), from) {
			t.Errorf("%q was not said: %s", from, &heard)
		}
		path := target.Container.Path
		config := "# begun\n\n# Distribution configuration\n" +
			"lxc.include = " + target.Container.TemplateConfig + "/common.conf\nlxc.arch = x86_64\n" +
			"\n# Container specific configuration\nlxc.start.auto = 0\nlxc.rootfs.path = dir:" + path + "/rootfs\n" +
			"lxc.mount.fstab = " + path + "/fstab\nlxc.uts.name = web\n" +
			"\n# Network configuration\nlxc.net.0.type = empty\n"
		want := ". drwxrwx---\n" + fmt.Sprintf("config -rw-r----- %q\nfstab -rw-r--r-- %q\n", config, "# web\n"+mount) +
			"rootfs drwxr-xr-x\n" + unpacked("rootfs/")
		if got := withoutRecord(t, below(t, path)); got != want {
			t.Errorf("made:\n%swant:\n%s", got, want)
		}
		if names, err := os.ReadDir(lxcPath); err != nil || len(names) != 1 {
			t.Errorf("beside it: %v, %v", names, err)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	list, err := testOptions(t, base).Cache.LoadSeen()
	if err != nil || len(list) != 1 || list[0].Build != "1" {
		t.Errorf("remembered: %v, %v", list, err)
	}
}

// As the template this program adds to the config that lxc-create has written, which keeps
// its mode, and leaves its own beside it; a config that is new has the stock template's.
func TestRunTemplate(t *testing.T) {
	syscall.Umask(0o022)
	tree := newTree(t)
	tree.publish("1", testMeta(t), testRootfs(t))
	for _, there := range []bool{true, false} {
		target := newContainer(t, t.TempDir())
		target.MakeDir = false
		path := target.Container.Path
		if err := os.MkdirAll(target.Container.Rootfs, 0o755); err != nil {
			t.Fatal(err)
		}
		begun, mode := "", "-rw-r--r--"
		if there {
			begun, mode = "lxc.rootfs.path = dir:"+path+"/rootfs\n", "-rw-r-----"
			writeFile(t, filepath.Join(path, "config"), []byte(begun))
			if err := os.Chmod(filepath.Join(path, "config"), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		var heard strings.Builder
		finder := source.Open(testOptions(t, "", tree.url()), into(&heard))
		if _, err := Run(t.Context(), finder, theImage(), target, Options{Tell: into(&heard)}); err != nil {
			t.Fatal(err)
		}
		config := "\n# Distribution configuration\n" +
			"lxc.include = " + target.Container.TemplateConfig + "/common.conf\nlxc.arch = x86_64\n" +
			"\n# Container specific configuration\n" + begun + "lxc.uts.name = web\n\n# Network configuration\n"
		want := ". drwxr-xr-x\n" + fmt.Sprintf("config %s %q\n", mode, config) + "rootfs drwxr-xr-x\n" + unpacked("rootfs/")
		if got := withoutRecord(t, below(t, path)); got != want {
			t.Errorf("made:\n%swant:\n%s", got, want)
		}
	}
}

// Without verification the files of a broken download stay in the directory of a merge, and
// no bytes of another server are added to them.
func TestMergeTriesOneImage(t *testing.T) {
	syscall.Umask(0o022)
	breaks, whole := newTree(t), newTree(t)
	rootfs := largeRootfs(t)
	breaks.publish("1", testMeta(t), rootfs)
	whole.publish("2", testMeta(t), rootfs)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		if strings.HasSuffix(r.URL.Path, image.RootfsFile) && !strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
			w.Header().Set("Content-Length", fmt.Sprint(len(rootfs)))
			w.Write(rootfs[:3<<20])
			panic(http.ErrAbortHandler)
		}
		http.ServeFile(w, r, filepath.Join(breaks.dir, filepath.FromSlash(r.URL.Path)))
	}))
	defer server.Close()
	target := newContainer(t, t.TempDir())
	target.MakeDir, target.Caller = false, Parent()
	writeFile(t, filepath.Join(target.Container.Rootfs, "mine"), nil)
	var heard strings.Builder
	opt := testOptions(t, "", server.URL, whole.url())
	opt.Keys = nil
	_, err := Run(t.Context(), source.Open(opt, into(&heard)), theImage(), target, Options{Tell: into(&heard)})
	var left *LeftError
	if source.KindOf(err) != source.Network || !errors.As(err, &left) {
		t.Errorf("the error is %v", err)
	}
	if n := strings.Count(heard.String(), "Unpacking the rootfs"); n != 1 {
		t.Errorf("unpacked %d times", n)
	}
}

// cancelled is the reason for which a test ends a run.
type cancelled struct{}

func (cancelled) Error() string        { return "the test ends the run" }
func (cancelled) Is(target error) bool { return target == context.Canceled }

// A run that fails leaves nothing, wherever it fails: a new container is absent, a
// directory that was there before has what it had, and no build is remembered.
func TestFailureLeavesNothing(t *testing.T) {
	kindOf := func(kind source.Kind) func(error) bool {
		return func(err error) bool { return source.KindOf(err) == kind }
	}
	ownKind := func(kind Kind) func(error) bool { return func(err error) bool { return KindOf(err) == kind } }
	with := func(text string) func(error) bool {
		return func(err error) bool { return strings.Contains(err.Error(), text) }
	}
	config := func(text string) func(*serverTree) {
		return func(s *serverTree) {
			s.publish("1", pack(s.t, testEntry{name: "config", text: text}), testRootfs(s.t, testEntry{name: "./dev", target: "/etc"}))
		}
	}
	errReport := errors.New("the report can't be written")
	for _, test := range []struct {
		name    string
		publish func(*serverTree)
		want    func(error) bool
	}{
		{"no index", func(s *serverTree) {}, kindOf(source.Network)},
		{"no such image", func(s *serverTree) {
			s.write(image.IndexDir+"/index-system", []byte("other;r;amd64;default;1;/images/1/\n"))
		}, kindOf(source.NotFound)},
		{"another's index", func(s *serverTree) {
			s.publish("1", testMeta(s.t), testRootfs(s.t))
			writeFile(s.t, filepath.Join(s.dir, image.IndexDir, "index-system"), []byte("d;r;amd64;default;2;/images/2/\n"))
		}, kindOf(source.Unverified)},
		{"wrong metadata", func(s *serverTree) {
			s.publish("1", testMeta(s.t), testRootfs(s.t))
			writeFile(s.t, filepath.Join(s.dir, "images/1/"+image.MetaFile), testMeta(s.t, testEntry{name: "x"}))
		}, kindOf(source.Unverified)},
		{"metadata that is no archive", func(s *serverTree) { s.publish("1", []byte("meta"), testRootfs(s.t)) }, with(image.MetaFile)},
		{"no config", func(s *serverTree) { s.publish("1", pack(s.t, testEntry{name: "expiry"}), testRootfs(s.t)) }, ownKind(NoConfig)},
		{"a config that reaches for the host", config(testConfig + "lxc.hook.pre-start = /bin/true\n"), ownKind(HostConfig)},
		{"an include is missing", config(testConfig), ownKind(MissingInclude)},
		{"wrong bytes", func(s *serverTree) {
			s.publish("1", testMeta(s.t), testRootfs(s.t))
			writeFile(s.t, filepath.Join(s.dir, "images/1/"+image.RootfsFile), testRootfs(s.t, testEntry{name: "./x"}))
		}, kindOf(source.Unverified)},
		{"wrong bytes that can't be unpacked", func(s *serverTree) {
			s.publish("1", testMeta(s.t), testRootfs(s.t))
			writeFile(s.t, filepath.Join(s.dir, "images/1/"+image.RootfsFile), []byte("no archive"))
		}, kindOf(source.Unverified)},
		{"an archive that is no archive", func(s *serverTree) { s.publish("1", testMeta(s.t), []byte("no archive")) }, with(image.RootfsFile)},
		{"an archive that is cut off", func(s *serverTree) {
			whole := testRootfs(s.t)
			s.publish("1", testMeta(s.t), whole[:len(whole)-9])
		}, with(image.RootfsFile)},
		{"more than the disk can hold", func(s *serverTree) { s.publish("1", testMeta(s.t), hugeRootfs(s.t)) }, func(err error) bool {
			return errors.Is(err, untar.ErrTooBig) && KindOf(err) == NoRoom && strings.Contains(err.Error(), "has room for")
		}},
		{"a dev that leads out", config(testConfig + "lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0\n"), with("dev is no directory")},
		{"the report fails", func(s *serverTree) { s.publish("1", testMeta(s.t), testRootfs(s.t)) }, func(err error) bool { return errors.Is(err, errReport) }},
		{"the run is ended", func(s *serverTree) {
			s.publish("1", pack(s.t, testEntry{name: "config", text: testConfig}), testRootfs(s.t))
		}, func(err error) bool {
			return errors.Is(err, cancelled{}) && errors.Is(err, context.Canceled)
		}},
	} {
		for _, calls := range []bool{false, true} { // lxc-create has made the directory
			t.Run(fmt.Sprintf("%s, template %v", test.name, calls), func(t *testing.T) {
				tree := newTree(t)
				test.publish(tree)
				lxcPath, base := t.TempDir(), t.TempDir()
				target := newContainer(t, lxcPath)
				if calls {
					target.MakeDir = false
					writeFile(t, filepath.Join(target.Container.Path, "config"), target.BaseConfig)
					if err := os.Mkdir(target.Container.Rootfs, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				if test.name == "an include is missing" {
					if err := os.Remove(filepath.Join(target.Container.TemplateConfig, "common.conf")); err != nil {
						t.Fatal(err)
					}
				}
				before := below(t, lxcPath)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				var heard strings.Builder
				how := Options{Tell: into(&heard)}
				how.Report = func(context.Context, *untar.Report) error {
					switch test.name {
					case "the report fails":
						return errReport
					case "the run is ended":
						cancel(cancelled{})
					}
					return nil
				}
				_, err := Run(ctx, source.Open(testOptions(t, base, tree.url()), how.Tell), theImage(), target, how)
				if err == nil || !test.want(err) {
					t.Errorf("the error is %v", err)
				}
				var left *LeftError
				var resumable *ResumableError
				kept := test.name == "the run is ended" // the download is complete by then
				if errors.As(err, &left) || errors.As(err, &resumable) != kept {
					t.Errorf("something is said to be left: %v", err)
				}
				if after := below(t, lxcPath); after != before {
					t.Errorf("left:\n%swas:\n%s", after, before)
				}
				opt := testOptions(t, base)
				if list, err := opt.Cache.LoadSeen(); len(list) > 0 || err != nil {
					t.Errorf("remembered: %v, %v", list, err)
				}
				if list, err := opt.Cache.List(); err != nil || len(list) > 0 && (!kept || !list[0].Partial) {
					t.Errorf("in the cache: %v, %v", list, err)
				}
			})
		}
	}
}

// hugeRootfs is an archive whose only file is said to have more bytes than any disk here
// has room for.
func hugeRootfs(t *testing.T) []byte {
	t.Helper()
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	if err := tar.NewWriter(zw).WriteHeader(&tar.Header{Name: "./huge", Mode: 0o644, Size: 1 << 45}); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// A watcher is called with the number of bytes whenever some have passed.
type watcher func(n int)

func (w watcher) Write(p []byte) (int, error) { w(len(p)); return len(p), nil }
func (w watcher) Close() error                { return nil }

// largeRootfs is an archive of a small file and of bytes that can't be compressed, more
// than all buffers between the download and the disk hold.
func largeRootfs(t *testing.T) []byte {
	t.Helper()
	noise := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	return testRootfs(t, testEntry{name: "./noise", text: string(noise)})
}

// A run that is ended while the image is unpacked leaves nothing but the bytes that a
// cache keeps, and the next run goes on after these.
func TestCancelWhileUnpacking(t *testing.T) {
	syscall.Umask(0o022)
	tree := newTree(t)
	tree.publish("1", testMeta(t), largeRootfs(t))
	for _, cached := range []bool{false, true} {
		lxcPath, base := t.TempDir(), ""
		if cached {
			base = t.TempDir()
		}
		target := newContainer(t, lxcPath)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var heard strings.Builder
		how := Options{Tell: into(&heard)}
		how.Tell.Begin = func(string, int64, int64) io.WriteCloser {
			passed := 0
			return watcher(func(n int) {
				if passed += n; passed < 3<<20 || ctx.Err() != nil {
					return // until then the buffers are full, so that something is unpacked
				}
				cancel(cancelled{})
			})
		}
		_, err := Run(ctx, source.Open(testOptions(t, base, tree.url()), how.Tell), theImage(), target, how)
		var resumable *ResumableError
		if !errors.Is(err, cancelled{}) || errors.As(err, &resumable) != cached {
			t.Errorf("cached %v: the error is %v, resumable %v", cached, err, resumable != nil)
		}
		if names, err := os.ReadDir(lxcPath); len(names) > 0 || err != nil {
			t.Errorf("left: %v, %v", names, err)
		}
		heard.Reset()
		how.Tell = into(&heard)
		if _, err := Run(t.Context(), source.Open(testOptions(t, base, tree.url()), how.Tell), theImage(), target, how); err != nil {
			t.Error(err)
		}
		if strings.Contains(heard.String(), "that an earlier run left") != cached {
			t.Errorf("cached %v: the next run said %s", cached, &heard)
		}
	}
}

// A merge that is ended can't be undone, and the error says so.
func TestCancelledMerge(t *testing.T) {
	syscall.Umask(0o022)
	tree := newTree(t)
	tree.publish("1", testMeta(t), largeRootfs(t))
	target := newContainer(t, t.TempDir())
	target.MakeDir, target.Caller = false, Parent()
	writeFile(t, filepath.Join(target.Container.Path, "config"), target.BaseConfig)
	writeFile(t, filepath.Join(target.Container.Rootfs, "mine"), nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var heard strings.Builder
	how := Options{Tell: into(&heard)}
	how.Tell.Begin = func(phase string, _, _ int64) io.WriteCloser {
		passed := 0
		return watcher(func(n int) {
			if passed += n; phase == "Unpacking the rootfs" && passed > 3<<20 && ctx.Err() == nil {
				cancel(cancelled{})
			}
		})
	}
	_, err := Run(ctx, source.Open(testOptions(t, "", tree.url()), how.Tell), theImage(), target, how)
	var left *LeftError
	if !errors.As(err, &left) || left.Err != error(cancelled{}) || !errors.Is(left.Left, errMerged) {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(target.Container.Rootfs, "mine")); err != nil {
		t.Error(err)
	}
	if config, err := os.ReadFile(filepath.Join(target.Container.Path, "config")); string(config) != string(target.BaseConfig) {
		t.Errorf("%q, %v", config, err)
	}
}

// A download that the network breaks off is kept in the cache if its digest is known, and
// the next run asks for the rest alone.
func TestBrokenDownloadResumes(t *testing.T) {
	syscall.Umask(0o022)
	tree := newTree(t)
	rootfs := largeRootfs(t)
	tree.publish("1", testMeta(t), rootfs)
	const sent = 3 << 20
	breaks := true
	var ranges []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		if strings.HasSuffix(r.URL.Path, image.RootfsFile) {
			asked := r.Header.Get("Range")
			ranges = append(ranges, asked)
			if breaks && !strings.HasPrefix(asked, "bytes=-") { // not for the tail, which tells the size
				w.Header().Set("Content-Length", fmt.Sprint(len(rootfs)))
				w.Write(rootfs[:sent])
				panic(http.ErrAbortHandler)
			}
		}
		http.ServeFile(w, r, filepath.Join(tree.dir, filepath.FromSlash(r.URL.Path)))
	}))
	defer server.Close()
	lxcPath, base := t.TempDir(), t.TempDir()
	target := newContainer(t, lxcPath)
	var heard strings.Builder
	how := Options{Tell: into(&heard)}
	_, err := Run(t.Context(), source.Open(testOptions(t, base, server.URL), how.Tell), theImage(), target, how)
	var resumable *ResumableError
	if source.KindOf(err) != source.Network || !errors.As(err, &resumable) {
		t.Fatalf("the error is %v", err)
	}
	if names, err := os.ReadDir(lxcPath); len(names) > 0 || err != nil {
		t.Errorf("left: %v, %v", names, err)
	}
	breaks, ranges = false, nil
	if _, err := Run(t.Context(), source.Open(testOptions(t, base, server.URL), how.Tell), theImage(), target, how); err != nil {
		t.Fatal(err)
	}
	if rest := fmt.Sprintf("bytes=%d-", sent); !slices.Contains(ranges, rest) {
		t.Errorf("the next run asked for %q, not for %s", ranges, rest)
	}
	if data, err := os.ReadFile(filepath.Join(target.Container.Rootfs, "etc/hostname")); string(data) != "web\n" {
		t.Errorf("%q, %v", data, err)
	}
}

// A cached copy whose metadata is refused makes the run ask the server, which may have a
// build that is not.
func TestRefusedCachedCopy(t *testing.T) {
	syscall.Umask(0o022)
	bad := pack(t, testEntry{name: "config", text: testConfig + "lxc.hook.pre-start = /bin/true\n"})
	for _, test := range []struct {
		name string
		then func(*serverTree) // after the bad build was cached
		want func(err error) bool
	}{
		{"the server has a good build", func(s *serverTree) { s.publish("2", testMeta(s.t), testRootfs(s.t)) }, func(err error) bool { return err == nil }},
		{"the server has the same build", func(*serverTree) {}, func(err error) bool { return KindOf(err) == HostConfig }},
		{"the server has a bad build", func(s *serverTree) { s.publish("2", bad, testRootfs(s.t)) }, func(err error) bool { return KindOf(err) == HostConfig }},
		{"the server has nothing", func(s *serverTree) { os.RemoveAll(s.dir) }, func(err error) bool { return source.KindOf(err) == source.Network }},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := newTree(t)
			tree.publish("1", bad, testRootfs(t))
			base, lxcPath := t.TempDir(), t.TempDir()
			var heard strings.Builder
			run := func(lxcPath string, allow bool) (Target, error) {
				heard.Reset()
				target := newContainer(t, lxcPath)
				how := Options{Tell: into(&heard), AllowHost: allow}
				_, err := Run(t.Context(), source.Open(testOptions(t, base, tree.url()), how.Tell), theImage(), target, how)
				return target, err
			}
			if _, err := run(t.TempDir(), true); err != nil {
				t.Fatal(err)
			}
			test.then(tree)
			target, err := run(lxcPath, false)
			if !test.want(err) {
				t.Errorf("the error is %v", err)
			}
			before, _, asked := strings.Cut(heard.String(), "Downloading the image index\n")
			if !asked || !strings.Contains(before, "can't be used as it is") || strings.Contains(before, "Using image from local cache") {
				t.Errorf("the server was not asked instead of the cache: %s", &heard)
			}
			config, read := os.ReadFile(filepath.Join(target.Container.Path, "config"))
			if err == nil && (read != nil || strings.Contains(string(config), "hook")) {
				t.Errorf("%q, %v", config, read)
			}
			if names, _ := os.ReadDir(lxcPath); err != nil && len(names) > 0 {
				t.Errorf("left: %v", names)
			}
		})
	}
}

// Another server's bytes are unpacked into an empty directory: nothing stays of the wrong
// bytes before them.
func TestNextServerAfterWrongBytes(t *testing.T) {
	syscall.Umask(0o022)
	for _, verifyFirst := range []bool{false, true} {
		wrong, right := newTree(t), newTree(t)
		for _, tree := range []*serverTree{wrong, right} {
			tree.publish("1", testMeta(t), testRootfs(t))
		}
		writeFile(t, filepath.Join(wrong.dir, "images/1/"+image.RootfsFile), testRootfs(t, testEntry{name: "./wrong"}))
		lxcPath, base := t.TempDir(), t.TempDir()
		target := newContainer(t, lxcPath)
		var heard strings.Builder
		how := Options{Tell: into(&heard), VerifyFirst: verifyFirst}
		if _, err := Run(t.Context(), source.Open(testOptions(t, base, wrong.url(), right.url()), how.Tell), theImage(), target, how); err != nil {
			t.Fatal(err)
		}
		if got, want := below(t, target.Container.Rootfs), ". drwxr-xr-x\n"+unpacked(""); got != want {
			t.Errorf("made:\n%swant:\n%s", got, want)
		}
		if !strings.Contains(heard.String(), "starting again") {
			t.Errorf("said: %s", &heard)
		}
		if n := strings.Count(heard.String(), "Unpacking the rootfs\n"); (n == 1) != verifyFirst {
			t.Errorf("verify first %v: unpacked %d times", verifyFirst, n)
		}
		if list, err := testOptions(t, base).Cache.List(); err != nil || len(list) != 1 || list[0].Partial {
			t.Errorf("in the cache: %+v, %v", list, err)
		}
	}
}
