package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An attack is an image, signed by the trusted key, that tries to change, read or show
// something of the host. Its targets are canaries: files next to the rootfs, in the
// container's own directory, in the cache and elsewhere, that contain a secret and the
// tokens that a creation replaces.
type attack struct {
	name     string
	rootfs   []member          // after the base
	noBase   bool              // only rootfs
	meta     []member          // after a plain config, unless it brings its own
	metaRaw  []byte            // in place of the compressed metadata archive
	index    string            // in place of the index; "@URL@", "@KEY@", "@OTHER@" stand for the image's path and names, and another server
	words    []string          // more words on the command line
	cached   map[string]string // links in the image's cache entry, as the stock template unpacks them from hostile metadata
	once     bool              // as root only: the outcome makes no difference
	want     verdict
	inRootfs map[string]string // path to a part of its expected contents, "/" for a directory
}

// A verdict is the expected result of an attack. No attack may reach a canary.
type verdict int

const (
	either  verdict = iota // refused with a reason, or created without harm
	refused                // a status other than 0, and nothing left
	created                // status 0: the attack is ignored
)

// secret is the text that no output may contain.
const secret = "CANARY-SECRET"

// canaryText has a word for each replacement that a creation makes.
const canaryText = secret + " LXC_NAME LXC_PATH mingetty\n"

// A member is one entry of a hand-made archive: a header for archive/tar, or
// whole blocks of its own.
type member struct {
	tar.Header
	data string
	raw  []byte
}

func mDir(name string, mode int64) member {
	return member{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}}
}

func mFile(name, data string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}, data: data}
}

func mLink(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

func mHard(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

func mNode(name string, kind byte, major, minor int64) member {
	return member{Header: tar.Header{Typeflag: kind, Name: name, Mode: 0o666, Devmajor: major, Devminor: minor}}
}

// mRaw makes a member from a ustar header with the given fields, valid or not, and a body.
func mRaw(name string, kind byte, link, uid, size, body string) member {
	h := make([]byte, 512)
	copy(h[0:100], name)
	copy(h[100:], "0000777\x00")
	copy(h[108:116], uid)
	copy(h[116:], "0000000\x00")
	copy(h[124:136], size)
	copy(h[136:], "14524770400\x00")
	h[156] = kind
	copy(h[157:257], link)
	copy(h[257:], "ustar\x0000")
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	padded := []byte(body)
	for len(padded)%512 != 0 {
		padded = append(padded, 0)
	}
	return member{raw: append(h, padded...)}
}

// mPAX makes an extended header ('x' or 'g') with one record.
func mPAX(kind byte, key, value string) member {
	record := " " + key + "=" + value + "\n"
	n := len(record)
	for n != len(record)+len(fmt.Sprint(n)) {
		n = len(record) + len(fmt.Sprint(n))
	}
	record = fmt.Sprint(n) + record
	return mRaw("pax", kind, "", "0000000\x00", fmt.Sprintf("%011o\x00", len(record)), record)
}

func writeTar(members []member) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		if m.raw != nil {
			if err := w.Flush(); err != nil {
				return nil, err
			}
			buf.Write(m.raw)
			continue
		}
		h := m.Header
		h.ModTime = time.Unix(1700000000, 0)
		if err := w.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
		if _, err := w.Write([]byte(m.data)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// hostile runs every attack, as root on the host and in an ordinary user's container, and
// reports the attacks with unexpected results.
func (h *harness) hostile() error {
	var attacks []attack
	canary := h.view + "/canary"
	for _, list := range [][]attack{
		templateAttacks(canary), dirAttacks(canary), archiveAttacks(canary), metaAttacks(canary), configAttacks(canary), indexAttacks(), messageAttacks(), cacheAttacks(canary),
	} {
		attacks = append(attacks, list...)
	}
	var wg sync.WaitGroup
	jobs := make(chan attack)
	errs := make(chan error, h.workers)
	for range h.workers {
		wg.Go(func() {
			for a := range jobs {
				for _, o := range []outcome{outcomeNo, outcomeYes} {
					if a.once && o != outcomeNo {
						continue
					}
					if err := h.attack(a, o); err != nil {
						errs <- fmt.Errorf("%s: %w", a.name, err)
						return
					}
				}
			}
		})
	}
	var err error
feed:
	for _, a := range attacks {
		select {
		case jobs <- a:
		case err = <-errs:
			break feed
		}
	}
	close(jobs)
	wg.Wait()
	if err == nil && len(errs) > 0 {
		err = <-errs
	}
	if err != nil {
		return err
	}
	fmt.Printf("%d hostile images, as root and in a user namespace\n", len(attacks))
	return nil
}

// attack runs one attack in one outcome.
func (h *harness) attack(a attack, o outcome) error {
	dir, err := os.MkdirTemp(h.dir, "hostile.")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	c := &testCase{
		dist: "debian", release: "trixie", arch: "amd64", variant: "default", build: "20260829_05:24",
		name: "web", lxcpath: "lxc", confMode: 0o640, config: []byte("lxc.net.0.type = empty\nlxc.rootfs.path = dir:@ROOTFS@\n"),
	}
	p := &plan{testCase: c, outcome: o}
	s := &side{dir: filepath.Join(dir, "side"), view: h.view, program: h.ours, lxcpath: c.lxcpath, name: c.name}
	if err := s.prepare(p, h.authority); err != nil {
		return err
	}
	if err := s.plantCanaries(o); err != nil {
		return err
	}
	srv, err := serve(h.authority, "")
	if err != nil {
		return err
	}
	defer srv.close()
	other, err := serve(h.authority, "")
	if err != nil {
		return err
	}
	defer other.close()
	site, err := a.site(h.authority, c, other.addr)
	if err != nil {
		return err
	}
	srv.show(site)
	// The other server has all files too, in case the program asks it.
	other.show(site)

	if err := a.plantCache(s, p, site); err != nil {
		return err
	}
	before, err := readTree(s.dir, s.ownFile)
	if err != nil {
		return err
	}
	r, err := s.create(p, srv, a.words...)
	if err != nil {
		return err
	}
	after, err := readTree(s.dir, s.ownFile)
	if err != nil {
		return err
	}
	found := changes(before, after)
	more, err := a.judge(s, r)
	if err != nil {
		return err
	}
	found = append(found, more...)
	if asked := other.requests(); len(asked) > 0 {
		found = append(found, fmt.Sprintf("another server was asked for %q", asked))
	}
	if len(found) == 0 {
		if h.verbose {
			h.mu.Lock()
			fmt.Printf("%s, outcome %s: status %d: %s\n", a.name, o, r.status, indent(r.stderr))
			h.mu.Unlock()
		}
		return os.RemoveAll(dir)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed++
	fmt.Printf("%s, outcome %s: status %d\n  %s\n  stderr: %s\n", a.name, o, r.status, strings.Join(found, "\n  "), indent(r.stderr))
	if h.keep {
		fmt.Printf("  kept: %s\n", dir)
		return nil
	}
	return os.RemoveAll(dir)
}

// plantCanaries writes the secret into every file that a way out of the rootfs may reach.
func (s *side) plantCanaries(o outcome) error {
	owner, _ := o.owners(false)
	for _, dir := range []string{"canary", "canary/dir", "canary/dir/pts", "canary/etc", "canary/etc/init", "canary/empty", "lxc/other", "lxc/other/rootfs", "lxc/other/rootfs/etc", "cache/other"} {
		if err := os.Mkdir(s.host(dir), 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"canary/file", "canary/dir/file", "canary/etc/hostname", "canary/etc/init/tty.conf", "canary/config", "canary/x.conf",
		"lxc/other/config", "lxc/other/rootfs/etc/hostname", "lxc/keep", "lxc/web/keep", "cache/keep", "cache/other/file", "home/keep", "tmp/keep"} {
		if err := os.WriteFile(s.host(file), []byte(canaryText), 0o640); err != nil {
			return err
		}
	}
	if err := unix.Mkfifo(s.host("canary/fifo"), 0o644); err != nil {
		return err
	}
	if err := os.Symlink("file", s.host("canary/link")); err != nil {
		return err
	}
	return filepath.WalkDir(s.dir, func(p string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.dir, p)
		if err != nil || strings.HasPrefix(rel, "lxc/web/") && rel != "lxc/web/keep" {
			return err
		}
		if err := os.Lchown(p, owner, owner); err != nil {
			return err
		}
		old := time.Unix(1600000000, 0)
		return unix.Lutimes(p, []unix.Timeval{unix.NsecToTimeval(old.UnixNano()), unix.NsecToTimeval(old.UnixNano())})
	})
}

// plantCache makes an entry in the cache as the stock template would have left it.
func (a attack) plantCache(s *side, p *plan, site site) error {
	if len(a.cached) == 0 {
		return nil
	}
	entry := path.Join("download", p.dist, p.release, p.arch, p.variant)
	if p.outcome == outcomeYes {
		entry = "home/.cache/lxc/" + entry
	} else {
		entry = "cache/" + entry
	}
	dir := s.host(entry)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	directory := path.Join("images", p.dist, p.release, p.arch, p.variant, p.build)
	for name, data := range map[string][]byte{"build_id": []byte(p.build + "\n"), "config": []byte("lxc.arch = x86_64\n"), "rootfs.tar.xz": site[directory+"/rootfs.tar.xz"]} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	for name, target := range a.cached {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	owner, _ := p.outcome.owners(false)
	return filepath.WalkDir(s.host(strings.SplitAfter(entry, "/")[0]), func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, owner, owner)
	})
}

// ownFile reports whether a creation may change this path below the view.
func (s *side) ownFile(p string) bool {
	switch p {
	case s.container() + "/rootfs", s.container() + "/config", s.container() + "/fstab", s.container() + "/image.json", "cache/download", "cache/.lxc-pull",
		"home/.cache":
		return true
	}
	return false
}

// changes lists the differences between two manifests of files that no creation may change.
// It ignores the times of directories in which a creation makes its own files.
func changes(before, after manifest) []string {
	var found []string
	for _, p := range paths(before, after) {
		a, was := before[p]
		b, is := after[p]
		switch {
		case !was:
			found = append(found, fmt.Sprintf("%q has come to be", p))
		case !is:
			found = append(found, fmt.Sprintf("%q is gone", p))
		case a.kind != b.kind || a.mode != b.mode || a.uid != b.uid || a.gid != b.gid || a.sum != b.sum || a.rdev != b.rdev ||
			a.link != b.link || fmt.Sprint(a.xattrs) != fmt.Sprint(b.xattrs):
			found = append(found, fmt.Sprintf("%q has changed: mode %#o to %#o, owner %d to %d, contents %q to %q", p, a.mode, b.mode, a.uid, b.uid, a.data, b.data))
		case !a.mtime.Equal(b.mtime) && p != "lxc/web" && p != "cache" && p != "home" && p != "tmp":
			found = append(found, fmt.Sprintf("%q has a new time", p))
		}
	}
	return found
}

// judge checks the files and the output of a creation.
func (a attack) judge(s *side, r result) ([]string, error) {
	var found []string
	if r.status < 0 {
		found = append(found, "it did not end")
	}
	switch {
	case a.want == refused && r.status == 0:
		found = append(found, "it was not refused")
	case a.want == created && r.status != 0:
		found = append(found, "it was refused")
	}
	if r.status != 0 && strings.TrimSpace(r.stderr+r.stdout) == "" {
		found = append(found, "it was refused without a word")
	}
	if r.status > 125 || strings.Contains(r.stderr, "goroutine ") {
		found = append(found, "it crashed")
	}
	shown := r.stdout + r.stderr
	if strings.Contains(shown, secret) {
		found = append(found, "the secret is shown: "+indent(shown))
	}
	if i := strings.IndexFunc(shown, steers); i >= 0 {
		found = append(found, fmt.Sprintf("a terminal is steered: %q", shown))
	}
	made, err := readTree(s.dir, nil)
	if err != nil {
		return nil, err
	}
	rootfs := s.container() + "/rootfs"
	for _, p := range paths(made) {
		e := made[p]
		if strings.HasPrefix(p, rootfs+"/") && r.status != 0 {
			found = append(found, fmt.Sprintf("%q is left in the rootfs after a failure", p))
			break
		}
		if own := strings.HasPrefix(p, rootfs) || strings.HasPrefix(p, "cache/download") || strings.HasPrefix(p, "cache/.lxc-pull") ||
			strings.HasPrefix(p, "home/.cache") || p == s.container()+"/config" || p == s.container()+"/fstab"; own && bytes.Contains(e.data, []byte(secret)) {
			found = append(found, fmt.Sprintf("%q holds the secret", p))
		}
	}
	if e := made[s.container()+"/config"]; r.status != 0 && bytes.Contains(e.data, []byte("# Distribution")) {
		found = append(found, "config is written after a failure")
	}
	for name, want := range a.inRootfs {
		e, ok := made[filepath.Join(rootfs, name)]
		if want == "/" && (!ok || e.kind != unix.S_IFDIR) {
			found = append(found, fmt.Sprintf("no directory %q in the rootfs", name))
		}
		if want != "/" && !bytes.Contains(e.data, []byte(want)) {
			found = append(found, fmt.Sprintf("%q in the rootfs holds %q, not %q", name, e.data, want))
		}
	}
	return found, nil
}

// steers reports whether a terminal may interpret a character as a command, or whether the
// character hides or reorders the text around it.
func steers(r rune) bool {
	return hidden(r) || 0x200b <= r && r <= 0x200f || 0x2028 <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 || r == 0xfeff
}

// site publishes the attack.
func (a attack) site(auth *authority, c *testCase, other string) (site, error) {
	members := a.rootfs
	if !a.noBase {
		members = append([]member{mDir("./", 0o755), mDir("./usr/", 0o755), mFile("./usr/hostname", "LXC_NAME\n"), mFile("./usr/tty.conf", "mingetty\n")}, a.rootfs...)
	}
	raw, err := writeTar(members)
	if err != nil {
		return nil, err
	}
	rootfs, err := xz(raw, "-1")
	if err != nil {
		return nil, err
	}
	meta := a.metaRaw
	if meta == nil {
		members := a.meta
		if !hasConfig(members) {
			members = append([]member{mFile("config", "lxc.arch = x86_64\n")}, members...)
		}
		raw, err := writeTar(members)
		if err != nil {
			return nil, err
		}
		if meta, err = xz(raw, "-1"); err != nil {
			return nil, err
		}
	}
	directory := strings.Join([]string{"images", c.dist, c.release, c.arch, c.variant, c.build}, "/")
	s := site{}
	if err := s.addBuild(auth, directory, rootfs, meta, true); err != nil {
		return nil, err
	}
	key := strings.Join([]string{c.dist, c.release, c.arch, c.variant}, ";")
	index := key + ";" + c.build + ";/" + directory + "/\n"
	if a.index != "" {
		index = strings.NewReplacer("@KEY@", key, "@URL@", "/"+directory, "@OTHER@", other).Replace(a.index)
	}
	for _, mode := range []string{"system", "user"} {
		if err := s.add(auth, "meta/1.0/index-"+mode, []byte(index)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// hasConfig reports whether the members include a config.
func hasConfig(members []member) bool {
	for _, m := range members {
		if strings.HasSuffix(strings.TrimSuffix(m.Name, "/"), "config") || m.raw != nil && bytes.HasPrefix(m.raw, []byte("config\x00")) {
			return true
		}
	}
	return false
}
