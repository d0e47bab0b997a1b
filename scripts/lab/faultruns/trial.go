package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lxc-pull/scripts/lab/faults"
)

// A trial is one random network and the runs over it.
type trial struct {
	world    *world
	seed     uint64
	dir      string
	setting  []string // the seed's random choices, for a reader
	outcomes []string
	said     bytes.Buffer // the program's output

	cached bool
	ledger *ledger
}

// A host is one server of a trial.
type host struct {
	url     string
	address string // where it listens; empty if it doesn't
	close   func()
	mirror  bool
}

// patience is the longest time for a run; every wait in the program is bounded.
const patience = 3 * time.Minute

func (t *trial) run() (err error) {
	r := rand.New(rand.NewPCG(t.seed, 1))
	t.dir = filepath.Join(t.world.dir, fmt.Sprint("run-", t.seed))
	for _, name := range []string{"", "lxc", "tmp"} {
		if err := os.Mkdir(filepath.Join(t.dir, name), 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(t.dir)
	t.ledger = newLedger(t.world.files)

	var hosts []host
	defer func() {
		for _, h := range hosts {
			h.close()
		}
	}()
	broken := r.IntN(6) == 0 // no server ever sends the whole rootfs
	for range 1 + r.IntN(2) {
		hosts = append(hosts, t.draw(r, uint64(len(hosts)), false, broken))
	}
	for range max(0, r.IntN(4)-1) {
		hosts = append(hosts, t.draw(r, uint64(len(hosts)), true, broken))
	}
	t.cached = r.IntN(3) > 0
	options := []string{"--stall-time=2", "--retries=" + strconv.Itoa([]int{1, 2, 4}[r.IntN(3)])}
	if !t.cached {
		options = append(options, "--no-cache")
	}
	interrupted := r.IntN(4) == 0
	after := time.Duration(5+r.IntN(1500)) * time.Millisecond
	t.setting = append(t.setting, strings.Join(options, " "))
	if interrupted {
		t.setting = append(t.setting, fmt.Sprintf("interrupted after %v", after))
		if err := t.create("first", hosts, options, after); err != nil {
			return fmt.Errorf("the interrupted run: %w", err)
		}
	}
	if err := t.create("web", hosts, options, 0); err != nil {
		return err
	}
	// A good server, and the bytes that the cache has by now.
	sane := t.serve(&faults.Server{Dir: t.world.trees["whole"]}, true)
	hosts = append(hosts, sane)
	have := t.inCache()
	sanely := []string{"--stall-time=60"}
	if t.cached {
		sanely = append(sanely, "--refresh")
	}
	if err := t.create("sane", []host{sane}, sanely, 0); err != nil {
		return fmt.Errorf("a sane run afterwards: %w", err)
	}
	if o := t.outcomes[len(t.outcomes)-1]; o != "right tree" {
		return fmt.Errorf("a sane run afterwards ends with %s\n%s", o, t.said.String())
	}
	t.outcomes = t.outcomes[:len(t.outcomes)-1]
	size := len(t.world.files[image(build2)])
	if whole := t.inCache(); whole != size {
		return fmt.Errorf("after a sane run the cache has %d bytes of the rootfs", whole)
	}
	if sent, missing := t.ledger.sent(), size-have; sent != missing {
		return fmt.Errorf("the cache had %d bytes of the rootfs, and a sane server sent %d of the missing %d", have, sent, missing)
	}
	return nil
}

// image returns the path of a build's rootfs on a server.
func image(build string) string {
	return "/images/debian/trixie/amd64/default/" + build + "/rootfs.tar.xz"
}

// draw makes a server with random faults.
func (t *trial) draw(r *rand.Rand, number uint64, mirror, broken bool) host {
	s := &faults.Server{Seed: t.seed<<8 + number, Chance: 0.2 + 0.6*r.Float64(), Most: 1 + r.IntN(3)}
	tree := "whole"
	switch r.IntN(8) {
	case 0:
		tree = "gone"
	case 1:
		tree = "lagging"
	}
	s.Dir = t.world.trees[tree]
	all := faults.All()
	kind := "all faults"
	switch n := r.IntN(20); {
	case broken:
		s.Chance, s.Most, s.Only = 1, 1000, "rootfs.tar.xz"
		s.Faults = []string{"cut", "503", "reset", "503"}
		kind = "breaks for ever"
	case n < 3:
		kind = "sane"
	case n < 5:
		kind = "down"
	case n < 8: // one fault, at every request
		s.Chance, s.Most = 1, 1000
		s.Only = []string{"", ".xz", ".asc"}[r.IntN(3)]
		s.Faults = []string{all[r.IntN(len(all))]}
		kind = "always " + s.Faults[0] + " " + s.Only
	case n < 14:
		for range 3 {
			s.Faults = append(s.Faults, all[r.IntN(len(all))])
		}
		kind = strings.Join(s.Faults, ",")
	default:
		s.Faults = all
	}
	secure := r.IntN(4) > 0
	var h host
	if kind == "down" {
		h = down(secure)
	} else {
		h = t.serve(s, secure)
	}
	h.mirror = mirror
	what := "server"
	if mirror {
		what = "mirror"
	}
	t.setting = append(t.setting, fmt.Sprintf("%s %s: %s, %s, chance %.2f, most %d", what, h.url, tree, kind, s.Chance, s.Most))
	return h
}

// down returns a server that doesn't listen. Its port is bound, so that no other process
// gets the port.
func down(secure bool) host {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(fd)
	}
	if err != nil {
		panic(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	return host{url: scheme(secure) + "://" + address, close: func() { syscall.Close(fd) }}
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// serve starts a server and records its requests in the ledger.
func (t *trial) serve(s *faults.Server, secure bool) host {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.ledger.answer(s, w, r) }))
	web.Config.ConnState = t.ledger.connection
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		web.StartTLS()
	} else {
		web.Start()
	}
	s.Done = func(r faults.Record) { t.ledger.add(web.URL, r) }
	return host{url: web.URL, address: web.Listener.Addr().String(), close: func() {
		web.CloseClientConnections()
		web.Close()
	}}
}

// create calls the program as lxc-create does, and checks the result. If after is set,
// the program is interrupted this long after its start.
func (t *trial) create(name string, hosts []host, options []string, after time.Duration) error {
	directory := filepath.Join(t.dir, "lxc", name)
	rootfs := filepath.Join(directory, "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return err
	}
	config := filepath.Join(directory, "config")
	if err := os.WriteFile(config, []byte("lxc.rootfs.path = dir:"+rootfs+"\n"), 0o644); err != nil {
		return err
	}
	args := append([]string{
		"--name=" + name, "--path=" + directory, "--rootfs=" + rootfs, "-a", "amd64", "-v", "--cacert=" + filepath.Join(t.world.dir, "ca.pem"),
	}, t.from(hosts)...)
	cmd := exec.Command(t.world.program, append(args, options...)...)
	cmd.Env = []string{
		"HOME=" + t.world.dir + "/home", "TMPDIR=" + filepath.Join(t.dir, "tmp"), "LXC_CACHE_PATH=" + filepath.Join(t.dir, "cache"),
		"LXC_TEMPLATE_CONFIG=" + t.world.dir + "/lxcconfig", "LXC_HOOK_DIR=" + t.world.dir + "/hooks",
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	t.ledger.begin(t.had())
	err := cmd.Start()
	if err != nil {
		return err
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { cmd.Process.Signal(syscall.SIGINT) })
		defer timer.Stop()
	}
	overdue := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	err = cmd.Wait()
	fmt.Fprintf(&t.said, "-- seed %d, %s\n%s", t.seed, name, said.String())
	if !overdue.Stop() {
		return fmt.Errorf("it takes more than %v\n%s", patience, said.String())
	}
	status := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if err := t.ledger.wait(hosts); err != nil {
		return err
	}
	// Without a message, the signal came before the program's main function.
	interrupted := after > 0 && (strings.Contains(said.String(), "interrupted") || said.Len() == 0)
	err = t.judge(directory, status, interrupted, said.String())
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said.String())
	}
	return nil
}

// from returns the arguments that name the image and its servers.
func (t *trial) from(hosts []host) (args []string) {
	if t.world.oci {
		at := strings.Replace(hosts[0].url, "https://", "docker://", 1)
		return []string{strings.Replace(at, "http://", "docker+http://", 1) + "/app"}
	}
	args = []string{"-d", "debian", "-r", "trixie", "--keyring=" + t.world.key}
	for _, h := range hosts {
		if h.mirror {
			args = append(args, "--mirror="+h.url)
		} else {
			args = append(args, "--server="+h.url)
		}
	}
	return args
}

// had returns how many bytes of each file the cache has.
func (t *trial) had() map[string]int {
	if t.world.oci {
		return t.blobs()
	}
	return map[string]int{image(build2): t.inCache()}
}

// judge returns an error if a run ended as it must not.
func (t *trial) judge(directory string, status int, interrupted bool, said string) error {
	list := listing
	if t.world.oci {
		list = t.world.contents
	}
	got, err := list(filepath.Join(directory, "rootfs"))
	if err != nil {
		return err
	}
	outcome := fmt.Sprintf("exit %d", status)
	switch {
	case status == 0:
		outcome = "right tree"
		if got != t.world.right[build1] && got != t.world.right[build2] {
			return fmt.Errorf("a wrong tree:\n%s", got)
		}
	case interrupted:
		outcome = "interrupted"
	case status == 1 && t.ledger.altersManifest() && strings.Contains(said, "help unusable"): // a tag tells no digest
	case status < 3 || status > 5:
		return fmt.Errorf("exit status %d", status)
	}
	if status != 0 {
		if strings.Count(got, "\n") != 1 {
			return fmt.Errorf("exit status %d and a rootfs:\n%s", status, got)
		}
		data, err := os.ReadFile(filepath.Join(directory, "config"))
		if err != nil || strings.Count(string(data), "\n") != 1 {
			return fmt.Errorf("exit status %d and a config: %q, %v", status, data, err)
		}
	}
	t.outcomes = append(t.outcomes, outcome)
	if err := t.tidy(status); err != nil {
		return err
	}
	if t.world.oci {
		return t.ledger.checkEach(said)
	}
	if status == 3 && t.cached {
		if err := t.ledger.kept(t.inCache(), said); err != nil {
			return err
		}
	}
	return t.ledger.check(said)
}

// tidy returns an error if a run left files that it must not leave.
func (t *trial) tidy(status int) error {
	names := map[string][]string{
		"tmp":   nil,
		"lxc/*": {"config", "image.json", "rootfs"},
		"cache": {".lxc-pull", "download"}, "cache/.lxc-pull": {"seen"},
		"cache/download/debian/trixie/amd64":               {".default.part", "default"},
		"cache/download/debian/trixie/amd64/.default.part": {"rootfs.tar.xz", "tag"},
	}
	if t.world.oci {
		names["cache"], names["cache/.lxc-pull"] = []string{".lxc-pull"}, []string{"seen", "images"}
	}
	if status == 0 {
		names["cache/download/debian/trixie/amd64"] = []string{"default"}
	}
	for pattern, allowed := range names {
		directories, err := filepath.Glob(filepath.Join(t.dir, pattern))
		if err != nil {
			return err
		}
		for _, directory := range directories {
			entries, err := os.ReadDir(directory)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if !slices.Contains(allowed, e.Name()) {
					return fmt.Errorf("%q is left in %q", e.Name(), directory)
				}
			}
		}
	}
	return nil
}

// inCache returns the number of bytes of build 2's rootfs in the cache: in an entry or
// in a partial download. A file that isn't a prefix of the rootfs doesn't count.
func (t *trial) inCache() int {
	variant := filepath.Join(t.dir, "cache/download/debian/trixie/amd64")
	build, err := os.ReadFile(filepath.Join(variant, "default/build_id"))
	if err == nil && strings.TrimSpace(string(build)) == build2 {
		data, _ := os.ReadFile(filepath.Join(variant, "default/rootfs.tar.xz"))
		return len(data)
	}
	data, _ := os.ReadFile(filepath.Join(variant, ".default.part/rootfs.tar.xz"))
	if !strings.HasPrefix(t.world.files[image(build2)], string(data)) {
		return 0
	}
	return len(data)
}
