package main

import (
	"fmt"
	"math/rand/v2"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A metaFile is one member of a metadata archive.
type metaFile struct {
	data []byte
	mode uint32
}

// A testCase is one random image, one random container and the calls that use them. The
// same seed makes the same case on every machine.
type testCase struct {
	seed uint64

	dist, release, arch, variant, build string
	meta                                map[string]metaFile
	metaPacking                         packing
	nodes                               []node
	packing                             packing
	changed                             map[string][]byte // members that the archive has twice: their second contents

	name     string // the container's
	lxcpath  string // directory of containers, below the view
	config   []byte // as lxc-create leaves it; "@ROOTFS@" stands for the rootfs path
	confMode uint32
	confUID  int

	decoys     []string // index lines before the image's own
	tail       string   // text after the image's line
	level      bool     // there is an index for our level too, and the plain index names an older build
	missing    bool     // the index doesn't have the image
	slash      bool     // the index's path ends in a slash
	sums       bool     // SHA256SUMS, else every file's own signature only
	prefix     string   // path on the server
	cacheInEnv bool     // LXC_CACHE_PATH is set
	ownTmp     bool     // /tmp is a mount point
	bare       bool     // userns-root: the map of a container, without the root line
	second     string   // a second creation: "", "again", "flush", "force", "newer"
}

// Levels of metadata files; 7 is the level in use.
var levels = []string{"", "", "", "", ".7", ".7", ".4", ".6", ".8", ".70"}

// A source makes random choices.
type source struct{ *rand.Rand }

func (r source) chance(percent int) bool { return r.IntN(100) < percent }

func pick[T any](r source, from ...T) T { return from[r.IntN(len(from))] }

// newCase returns the case of a seed.
func newCase(seed uint64) *testCase {
	r := source{rand.New(rand.NewPCG(seed, 0))}
	c := &testCase{
		seed:     seed,
		dist:     pick(r, "debian", "alpine", "void", "my-distro", "nixos"),
		release:  pick(r, "trixie", "3.20", "edge", "current", "24.05_rc1"),
		arch:     pick(r, "amd64", "arm64", "armhf", "i386", "riscv64"),
		variant:  pick(r, "default", "default", "cloud", "openrc"),
		build:    pick(r, "20260801_05:24", "20260815_13:00", "20260829_00:01"),
		meta:     map[string]metaFile{},
		changed:  map[string][]byte{},
		lxcpath:  pick(r, "lxc", "var/lib/lxc", "my containers", "ünï"),
		name:     pick(r, "web", "c1", "a.b-c_d", "x", "name with blank", "Ω"),
		confMode: pick[uint32](r, 0o644, 0o644, 0o640, 0o600, 0o660, 0o444, 0o755),
		slash:    r.chance(70),
		sums:     r.chance(70),
		prefix:   pick(r, "", "", "/mirror", "/a/b"),
		ownTmp:   r.chance(50),
		bare:     r.chance(30),
		level:    r.chance(30),
		missing:  r.chance(2),
	}
	if r.chance(25) {
		c.confUID = pick(r, 1, 1000, 4711)
	}
	if r.chance(10) {
		// Values that the stock template's sed misinterprets (difference 2).
		c.name = pick(r, "a&b", "a#b", `a\b`, "LXC_PATH", "LXC_HOOK_DIR-x", "a&#b")
	}
	c.cacheInEnv = r.chance(20)
	if r.chance(50) {
		c.second = pick(r, "again", "again", "flush", "force", "newer")
	}
	c.makeIndex(r)
	c.makeRootfs(r)
	c.makeMeta(r)
	c.makeConfig(r)
	return c
}

func (c *testCase) makeIndex(r source) {
	key := strings.Join([]string{c.dist, c.release, c.arch, c.variant}, ";")
	for range r.IntN(5) {
		c.decoys = append(c.decoys, pick(r,
			"",
			key+"x;20260101_00:00;/images/no/",
			key+";20260101_00:00;", // no path: such a line is ignored
			"x"+key+";20260101_00:00;/images/no/",
			c.dist+";"+c.release+";"+c.arch,
			"# comment",
			"other;1;amd64;default;20260101_00:00;/images/other/;more;fields",
			strings.ToUpper(key)+";20260101_00:00;/images/no/",
			"ümlaut;1;amd64;default;20260101_00:00;/images/u/",
		))
	}
	// The first matching line counts; the last line may lack its line feed
	// (difference 4).
	c.tail = pick(r, "\n", "\n", "\n", "", "\nother;1;amd64;default;20260101_00:00;/images/other/\n",
		"\n"+key+";20260101_00:00;/images/second/\n", "\nother;1;amd64;default;20260101_00:00;/images/other/")
}

// Texts with tokens, and with words that are almost tokens.
var tokenTexts = []string{
	"LXC_NAME\n",
	"127.0.0.1 localhost\n127.0.1.1 LXC_NAME LXC_NAME.local\n",
	"LXC_NAMELXC_PATH LXC_ROOTFS/x LXC_TEMPLATE_CONFIG LXC_HOOK_DIR",
	"no token\n",
	"",
	"\n\n",
	"LXC_NAM E LXC_names xLXC_NAMEx LXC_LXC_NAME\r\n",
	"binary \x00\x01\xff LXC_NAME \xff\n",
	"LXC_NAME without a line feed at the end: LXC_NAME",
	"# LXC_PATH/rootfs and LXC_ROOTFS\n\tLXC_HOOK_DIR/mount\n",
	"lxc_name $LXC_NAME ${LXC_PATH} LXC_ROOTFSLXC_ROOTFS\n",
}

var oddNames = []string{
	"a b", "tab\there", "new\nline", "ünïcode-日本", "-dash", `back\slash`, `quo'te"`, "star*", "q?", "br[a]c", "semi;colon",
	"$HOME", "hash#", "amp&", "x=y", "%41", ".hidden", "..dots", "...", "esc\x1b[31m", "bad\xff\xfeutf8", "CASE", "case", " lead", "trail ",
}

// limits are the limits of a tar format.
type limits struct {
	path     int // bytes of a whole name
	name     int // bytes of its last component, and of a link's target
	nodes    bool
	id       int
	fraction bool // of seconds
	early    bool // times before 1970
	xattrs   bool
}

var dialects = map[string]limits{
	"v7":     {path: 95, name: 95, id: 60000},
	"ustar":  {path: 150, name: 95, nodes: true, id: 60000},
	"oldgnu": {path: 900, name: 255, nodes: true, id: 60000, early: true},
	"gnu":    {path: 900, name: 255, nodes: true, id: 60000, early: true},
	"pax":    {path: 900, name: 255, nodes: true, id: 60000, early: true, fraction: true, xattrs: true},
}

// templateFiles are the regular files that makeRootfs makes for templates, in order;
// makeMeta names some of them.
var templateFiles = []string{"etc/hostname", "etc/hosts", "etc/deep/er/file", "etc/with blank", "etc/ünï", "srv/setuid", "srv/noperm"}

func (c *testCase) makeRootfs(r source) {
	format := pick(r, "v7", "ustar", "oldgnu", "gnu", "pax", "pax", "pax", "gnu")
	lim := dialects[format]
	c.packing = packing{format: format, dot: r.chance(60), xz: []string{pick(r, "-0", "-1", "-6")}}
	if r.chance(20) {
		c.packing.xz = append(c.packing.xz, pick(r, "--check=crc32", "--check=sha256", "--block-size=4096", "--check=none", "--threads=2"))
	}

	b := treeBuilder{r: r, lim: lim, have: map[string]bool{}}
	b.dir(".")
	for _, d := range []string{"etc", "dev", "usr", "var", "srv", "etc/deep", "etc/deep/er", "usr/bin", "usr/lib"} {
		b.dir(d)
	}
	if r.chance(50) {
		b.dir("dev/pts")
	}
	for _, f := range templateFiles {
		n := b.file(f, []byte(pick(r, tokenTexts...)))
		switch f {
		case "srv/setuid":
			n.mode = pick[uint32](r, 0o4755, 0o2755, 0o6711, 0o1644)
		case "srv/noperm":
			n.mode = 0
		}
	}
	if r.chance(10) {
		b.file("etc/large", []byte(strings.Repeat("a line of LXC_NAME and more\n", 3000+r.IntN(5000))))
	}
	if r.chance(30) {
		b.dir("etc/init")
		b.file("etc/init/tty.conf", []byte(pick(r,
			"exec /sbin/mingetty $TTY\n", "mingetty mingetty\nmingetty\n", "nothing\n", "# mingetty", "mingetty --nohangup\n")))
	}
	// Names of one inode, links and special files that templates may name.
	b.hardLink("srv/hard", "etc/hosts")
	b.symlink("etc/link", pick(r, "hostname", "/etc/hostname", "./deep/../hostname", "deep/er/file"))
	b.symlink("etc/chain", "link")
	b.symlink("etc/dangling", "nowhere")
	b.symlink("etc/loop", "loop")
	b.symlink("lib", pick(r, "usr/lib", "/usr/lib"))
	b.file("usr/lib/conf", []byte(pick(r, tokenTexts...)))
	if lim.nodes {
		b.special("srv/fifo", fifo, 0)
		if r.chance(60) {
			b.special("dev/null", charDev, unix.Mkdev(1, 3))
			b.special("dev/sda", blockDev, unix.Mkdev(8, 0))
		}
		if r.chance(20) {
			b.special("dev/big", charDev, unix.Mkdev(uint32(r.IntN(4096)), uint32(r.IntN(65536))))
		}
	}

	for range r.IntN(25) {
		b.random()
	}

	args := []string{"--sort=name"}
	if lim.xattrs && r.chance(70) {
		args = append(args, "--xattrs", "--xattrs-include=*")
		b.addXattrs()
	}
	if r.chance(25) && format != "v7" && format != "ustar" {
		args = append(args, "--sparse")
		if format == "pax" {
			args = append(args, "--sparse-version="+pick(r, "0.0", "0.1", "1.0"))
		}
		for i := range 1 + r.IntN(3) {
			n := b.file(fmt.Sprintf("srv/sparse%d", i), []byte(strings.Repeat("x", r.IntN(3000))))
			n.hole = pick[int64](r, 4096, 65536, 1<<20, 3000)
		}
	}
	if r.chance(30) {
		args = append(args, pick(r, "--numeric-owner", "--blocking-factor=1", "--blocking-factor=64"))
	}
	if r.chance(15) && (format == "gnu" || format == "oldgnu") {
		args = append(args, "--label="+pick(r, "image", "etc/hostname"))
	}
	if r.chance(20) && format == "pax" {
		args = append(args, "--pax-option="+pick(r, "comment=made by a test", "delete=atime", "exthdr.name=%d/x%f", "globexthdr.name=g,comment=x"))
	}
	c.packing.args = args
	c.nodes = b.nodes

	if !c.packing.dot {
		for _, n := range c.nodes {
			if n.path != "." || r.chance(50) {
				c.packing.order = append(c.packing.order, n.path)
			}
		}
		if r.chance(25) {
			// A directory may come after its contents.
			sort.Sort(sort.Reverse(sort.StringSlice(c.packing.order)))
		}
	}
	if r.chance(15) {
		// The later of two members with one name counts.
		name := pick(r, "etc/hostname", "usr/lib/conf", "etc/with blank")
		c.changed[name] = []byte("second LXC_NAME\n")
		if c.packing.dot {
			name = "./" + name
		}
		c.packing.again = []string{name}
	}
}

// A treeBuilder adds nodes with random metadata, parents first.
type treeBuilder struct {
	r     source
	lim   limits
	nodes []node
	have  map[string]bool
	dirs  []string
}

func (b *treeBuilder) add(n node) *node {
	if b.have[n.path] || len(n.path) > b.lim.path || len(path.Base(n.path)) > b.lim.name || len(n.target) > b.lim.name {
		return &node{}
	}
	b.have[n.path] = true
	n.uid = pick(b.r, 0, 0, 0, 1, 1000, b.lim.id)
	n.gid = pick(b.r, 0, 0, 0, 1, 1000, b.lim.id)
	sec := pick[int64](b.r, 0, 1, 1700000000, 1600000000+int64(b.r.IntN(1e8)), 1600000000+int64(b.r.IntN(1e8)))
	if b.r.chance(3) {
		sec = pick[int64](b.r, 1<<31, 1<<31-1, 4102444800)
	}
	if b.lim.early && b.r.chance(5) {
		sec = -int64(b.r.IntN(1e9))
	}
	var nsec int64
	if b.lim.fraction {
		nsec = int64(b.r.IntN(1e9))
	}
	n.mtime = time.Unix(sec, nsec)
	b.nodes = append(b.nodes, n)
	return &b.nodes[len(b.nodes)-1]
}

func (b *treeBuilder) dir(p string) {
	n := b.add(node{path: p, kind: directory})
	n.mode = pick[uint32](b.r, 0o755, 0o755, 0o755, 0o700, 0o2775, 0o1777, 0o555, 0o000)
	b.dirs = append(b.dirs, p)
}

func (b *treeBuilder) file(p string, data []byte) *node {
	n := b.add(node{path: p, kind: regular, data: data})
	n.mode = pick[uint32](b.r, 0o644, 0o644, 0o644, 0o755, 0o600, 0o444, 0o666)
	return n
}

func (b *treeBuilder) symlink(p, target string) { b.add(node{path: p, kind: symlink, target: target}) }

func (b *treeBuilder) hardLink(p, target string) {
	b.add(node{path: p, kind: hardLink, target: target})
}

func (b *treeBuilder) special(p string, k kind, rdev uint64) {
	n := b.add(node{path: p, kind: k, rdev: rdev})
	n.mode = pick[uint32](b.r, 0o666, 0o600, 0o640)
}

// random adds one entry of any type below any directory but dev, because the metadata may
// have to exclude the contents of dev.
func (b *treeBuilder) random() {
	r := b.r
	parent := pick(r, b.dirs...)
	if parent == "dev" || parent == "dev/pts" || strings.HasPrefix(parent, "etc") {
		parent = "."
	}
	name := pick(r, "f"+strconv.Itoa(r.IntN(1000)), pick(r, oddNames...), strings.Repeat("long", 5+r.IntN(50)), strings.Repeat("é", r.IntN(120)+1))
	p := path.Join(parent, name)
	if b.have[p] || len(p) > b.lim.path || len(name) > b.lim.name {
		return
	}
	switch r.IntN(10) {
	case 0, 1, 2:
		b.dir(p)
	case 3:
		b.symlink(p, pick(r, "x", "/etc/passwd", "../../../..", "usr", strings.Repeat("t/", 40), p))
	case 4:
		// A hard link to a file, or to a symbolic link.
		for _, n := range b.nodes {
			if (n.kind == regular || n.kind == symlink) && r.chance(10) && !strings.HasPrefix(n.path, "etc") {
				b.hardLink(p, n.path)
				return
			}
		}
	case 5:
		if b.lim.nodes {
			b.special(p, fifo, 0)
		}
	case 6:
		n := b.file(p, []byte("#!/bin/sh\n"))
		n.mode = pick[uint32](r, 0o4755, 0o2755, 0o6755, 0o1755, 0o4000, 0o7777)
	default:
		data := make([]byte, pick(r, 0, 1, 511, 512, 513, r.IntN(20000)))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		b.file(p, data)
	}
}

// capability is a security.capability value of version 2: cap_net_raw, effective.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// accessACL is a system.posix_acl_access value: u::rw- u:1:r-- g::r-- m::r--
// o::---.
const accessACL = "\x02\x00\x00\x00" +
	"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\x01\x00\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" +
	"\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

func (b *treeBuilder) addXattrs() {
	r := b.r
	for i := range b.nodes {
		n := &b.nodes[i]
		if (n.kind != regular && n.kind != directory) || !r.chance(25) {
			continue
		}
		n.xattrs = map[string]string{}
		if r.chance(70) {
			n.xattrs["user."+pick(r, "comment", "a.b.c", "ünï", "with blank", "UPPER")] = pick(r, "", "value", "a=b", "line\nfeed", "\x00\xff", strings.Repeat("v", 1000))
		}
		if n.kind == regular && r.chance(40) {
			n.xattrs["security.capability"] = capability
		}
		if n.kind == regular && r.chance(20) && n.mode&0o7000 == 0 && n.mode != 0 {
			n.xattrs["system.posix_acl_access"] = accessACL
			n.mode = 0o640
		}
	}
}

// Lines of an image's own config: settings that images may have, and tokens anywhere.
var imageConfig = []string{
	"# common", "", "lxc.tty.max = 4", "lxc.cap.drop = sys_module mac_admin", "# LXC_HOOK_DIR/clonehostname",
	"lxc.environment = TERM=linux", "  lxc.pty.max=1024", "lxc.signal.halt = SIGRTMIN+4", "text that is no key", "# LXC_PATH LXC_ROOTFS",
	"lxc.tty.dir = lxc", "lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none bind,optional 0 0",
	"lxc.mount.auto = proc:mixed sys:ro", "lxc.uts.name = LXC_NAME", "lxc.signal.stop = SIGRTMIN+3", "lxc.autodev = 1",
}

var fstabLines = []string{
	"# see fstab(5)", "", "run run tmpfs rw,nosuid,nodev,relatime,mode=755 0 0", "none dev/shm tmpfs nosuid,nodev,noexec,mode=1777 0 0", "/sys/fs/pstore sys/fs/pstore none bind,optional 0 0",
	"# LXC_ROOTFS/run", "\tshm  dev/shm tmpfs rw,nosuid,nodev,noexec,relatime", "# LXC_NAME", "mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0",
}

// Lines for excludes; some have blanks within (difference 4).
var excludeLines = []string{
	"./dev/*", "./dev/null", "./dev/sda", "./dev/big", "dev/*", "./usr/lib/*", "./srv/f*", "./etc/h?stname", "./[a-b]*", "./[!a-z.]*", "*.tmp",
	"# comment", "", "  ./srv/hard", "./etc/with?blank\t ", "./no/such", "./srv/", `./back\\slash`, "././etc", "/etc/hosts", "srv/sparse*",
	"./*/deep", "./long*", "./f[0-4]*", "./f5", "./etc/with blank", "./a b", "./srv/sparse0", `./etc/host\name`, "./bad*", "./ünï*", "*/x*", "./[[:upper:]]*",
}

// Lines for templates, valid and odd. Links are difference 3.
var templateLines = []string{
	"/etc/hostname", "/etc/hostname", "/etc/hosts", "etc/hosts", "/srv/hard", "//etc///hostname", "/etc/./hosts", "/etc/deep/../hosts", "", " ",
	"/etc", "/", "/no/such/file", "  /etc/with blank  ", "/etc/ünï", "/srv/setuid", "/srv/noperm", "/srv/fifo", "/dev/null", "# comment",
	"/etc/hostname\r", "/etc/deep/er/file", "/etc/large", "/etc/link", "/etc/chain", "/etc/dangling", "/etc/loop", "/lib/conf", "/usr/lib/conf",
	"/etc/init/tty.conf", "/etc/hostname/", "./etc/ünï",
}

func (c *testCase) makeMeta(r source) {
	eol := func(percent int) string {
		if r.chance(percent) {
			return ""
		}
		return "\n"
	}
	lines := func(pool []string, n int) string {
		var s []string
		for range n {
			s = append(s, pick(r, pool...))
		}
		return strings.Join(s, "\n")
	}
	text := map[string]func() string{
		"config": func() string {
			head := "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\n"
			if r.chance(30) {
				head += "lxc.tty.max = 6\n"
			}
			return head + "lxc.arch = " + pick(r, "x86_64", "aarch64", "armv7l", "i686", "amd64", "linux64") + "\n" + lines(imageConfig, r.IntN(8)) + eol(20)
		},
		"fstab": func() string {
			s := lines(fstabLines, r.IntN(5)) + eol(20)
			if strings.ContainsAny(c.lxcpath+c.name, " ") {
				// A blank in a path would change the meaning of the line.
				s = strings.ReplaceAll(s, "LXC_ROOTFS/", "")
			}
			return s
		},
		"expiry": func() string {
			return pick(r, "4102444800", "4102444800\n", " 4102444800 \n", "99999999999\n", "4102444800\n", "1700000000\n", "soon\n", "")
		},
		"excludes":  func() string { return lines(excludeLines, r.IntN(5)) + eol(25) },
		"templates": func() string { return lines(templateLines, r.IntN(9)) + eol(25) },
		"create-message": func() string {
			return pick(r, "You just created a container.\n", "", "no line feed", "\n\nblank lines\n\n", "ünï 日本\n", "tab\there\n",
				"esc \x1b[31mred\x1b[0m bell \a\n", "CR\r\nLF\n", "bad \xff utf8\n", "LXC_NAME is not replaced here\n", "---\n")
		},
	}
	often := map[string]int{"config": 97, "fstab": 50, "expiry": 50, "excludes": 40, "templates": 60, "create-message": 60}
	for _, name := range []string{"config", "fstab", "expiry", "excludes", "templates", "create-message"} {
		if !r.chance(often[name]) {
			continue
		}
		forms := []string{""}
		if r.chance(10) {
			forms = nil // only special forms: the config may be missing for one mode
		}
		for range r.IntN(4) {
			forms = append(forms, pick(r, "", "", "-system", "-user", "-system", "-user", "-users")+pick(r, levels...))
		}
		for _, form := range forms {
			data := text[name]()
			if name == "excludes" && r.chance(80) {
				// The image names the entries that a user namespace can't make.
				data = "./dev/[nsb]*\ndev/[nsb]*\n" + data
			}
			c.meta[name+form] = metaFile{[]byte(data), pick[uint32](r, 0o644, 0o644, 0o644, 0o664, 0o600, 0o755, 0o444)}
		}
	}
	if r.chance(20) {
		c.meta[pick(r, "README", "config.bak", "metadata.yaml", "fstab~")] = metaFile{[]byte("something else\n"), 0o644}
	}
	c.metaPacking = packing{
		format: pick(r, "pax", "gnu", "ustar"),
		args:   []string{"--owner=0", "--group=0"},
		dot:    r.chance(50),
		xz:     []string{"-6"},
	}
	for name := range c.meta {
		c.metaPacking.order = append(c.metaPacking.order, name)
	}
	sort.Strings(c.metaPacking.order)
	if len(c.meta) == 0 {
		c.metaPacking.dot = true
	}
}

// Lines of default.conf, which lxc-create copies as they are.
var hostConfig = []string{
	"lxc.net.0.type = veth", "lxc.net.0.link = lxcbr0", "lxc.net.0.flags = up", "lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx", "lxc.net.1.type = empty",
	"# see lxc.container.conf(5)", "#lxc.net.0.flags = up", "", "   ", "lxc.apparmor.profile = generated", "lxc.idmap = u 0 100000 65536",
	"lxc.idmap = g 0 100000 65536", "lxc.include = /etc/lxc/extra.conf", "# plain comment", "lxc", "lxcX net", "text lxc.net.0 in a line",
	"mylxcthing", "\tlxc.start.auto = 1", "lxc.environment = LXC_NAME=LXC_PATH", "# LXC_NAME LXC_ROOTFS", "lxcXnetY0", "LXC.NET.0", "lxc.net.01 = x",
	"key = value\r", "lxc\r", "lxc.cap.drop = mknod # LXC_HOOK_DIR", "lxc.net.0 lxc.net.1", "bad \xff byte", "lxc\xff",
}

func (c *testCase) makeConfig(r source) {
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteString(pick(r, hostConfig...) + "\n")
	}
	if r.chance(95) {
		b.WriteString("lxc.rootfs.path = " + pick(r, "dir:", "", "btrfs:") + "@ROOTFS@")
		b.WriteString(pick(r, "\n", "\n", "\n", "\n", "\n", "\n", "\n\n", ""))
	}
	c.config = []byte(b.String())
}
