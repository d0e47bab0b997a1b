package cli

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A doctor collects facts about this machine, and judges them by the rules of a check.
type doctor struct {
	call    *doctorCall
	machine *host.Layout
	uid     int
	lxcPath string          // "": not known
	config  []byte          // LXC's default.conf
	ranges  []lxc.IDRange   // of lxc.idmap in it
	unread  error           // why config or ranges are not known or wrong
	opt     *source.Options // nil: they are wrong
	ui      *ui             // silent; for its hints
	facts   map[string]string
}

// put sets a fact.
func (d *doctor) put(name, value string) { d.facts[name] = value }

// word sets a fact to a word of a shell, or to "".
func (d *doctor) word(name, value string) {
	if value != "" {
		value = shellWord(value)
	}
	d.put(name, value)
}

// mark sets a fact that is true or false.
func (d *doctor) mark(name string, is bool) {
	value := ""
	if is {
		value = "yes"
	}
	d.put(name, value)
}

// readSettings reads LXC's settings, and sets the facts about them, the user and the kind of
// system.
func (d *doctor) readSettings() {
	m := d.machine
	d.word("config", m.UserConfig(""))
	d.mark("android", m.Android())
	d.put("termux", m.Prefix)
	path := d.call.lxcPath
	if path == "" {
		path = m.LXCPath()
	}
	d.lxcPath, _ = filepath.Abs(path) // fails only in a directory that was removed
	d.word("path", d.lxcPath)
	d.config, d.unread = m.DefaultConfig("")
	if d.unread == nil {
		d.ranges, d.unread = lxc.IDMap(d.config)
	}
	if d.unread == nil && len(d.ranges) > 0 {
		_, d.unread = lxc.RootIDs(d.ranges)
	}
	d.mark("mapped", d.uid != 0 || len(d.ranges) > 0)
	d.readNet()
}

// readNet sets the facts about the first network of the config.
func (d *doctor) readNet() {
	for _, key := range []string{"type", "link"} {
		for _, value := range lxc.Values(d.config, "lxc.net.0."+key) {
			d.word(key, value) // the last one counts
		}
	}
}

// readOptions sets opt by the options and settings of this program.
func (d *doctor) readOptions() (err error) {
	finder := d.call.finder
	finder.namespace, finder.owner, finder.lxcPath = host.Namespace(), unchanged(), d.lxcPath
	if finder.network.retries == 0 {
		finder.network.retries = -1 // the time of a check is too short for any
	}
	d.opt, err = finder.options(d.ui, false)
	d.mark("asks", err == nil)
	return err
}

// examine carries out one check, by its rules.
func (d *doctor) examine(ctx context.Context, name, rules string) error {
	err := d.gather(ctx, name)
	d.put("error", "")
	if err != nil {
		d.put("error", err.Error())
		hint := d.ui.hint(err)
		if hint == "" {
			hint = "Try again later, or use another server."
		}
		d.put("hint", hint)
	}
	d.judge(rules)
	return err
}

// gather sets the facts of one check.
func (d *doctor) gather(ctx context.Context, name string) (err error) {
	m := d.machine
	switch name {
	case "settings":
		d.readSettings()
		err = d.call.settings.fault()
	case "options":
		err = d.call.settings.blame(d.readOptions())
	case "name servers":
		if d.opt != nil {
			d.put("dns", d.opt.Client.NameServers())
		}
	case "certificates":
		if d.opt != nil {
			text, e := d.opt.Client.LoadTrust()
			d.put("trust", text)
			err = e
		}
	case "proxy":
		set := ""
		for _, name := range strings.Fields("https_proxy http_proxy all_proxy no_proxy HTTPS_PROXY HTTP_PROXY ALL_PROXY NO_PROXY") {
			if os.Getenv(name) != "" {
				set += " " + name
			}
		}
		d.put("proxy", set)
		err = fetch.CheckProxies()
	case "server":
		err = d.gatherIndex(ctx)
	case "clock":
		d.gatherClock()
	case "default config":
		d.gatherIDs()
		err = d.unread
	case "lxc-usernet":
		d.gatherUserNet()
	case "LXC":
		d.gatherLXC()
	case "LXC path", "room for containers", "their file system", "extended attributes":
		err = d.gatherPlace(d.lxcPath)
	case "cache":
		base := m.CacheDir(host.Namespace())
		if base != "" {
			d.word("cache", base)
			d.mark("lost", m.Forgets(base))
			err = d.gatherPlace(base)
		}
	case "control groups":
		own, two := strings.CutPrefix(m.Read("/proc/self/cgroup"), "0::")
		d.mark("fixed", two && !host.Grants(m.Top+"/sys/fs/cgroup"+own, 2, d.uid))
	}
	return err
}

// gatherIndex reads a server's index and verifies its signature.
func (d *doctor) gatherIndex(ctx context.Context) error {
	one := *d.opt
	one.Servers = new(source.Servers)
	if err := one.Servers.Add(d.facts["url"]); err != nil {
		return err
	}
	if d.call.finder.servers.streams {
		one.Streams = new(source.Streams)
		if k := known(one.Servers.URLs()[0]); k != nil {
			one.Streams.Name = k.Name
		}
	}
	index, err := source.Open(one, d.ui.listener()).List(ctx)
	if err != nil {
		return err
	}
	arch := hostArch()
	mine := len(index.Select(image.Query{Arch: cross.Spellings(arch)}))
	d.put("images", strconv.Itoa(len(index.Images))+" images, "+strconv.Itoa(mine)+" of them for "+arch)
	d.mark("none", mine == 0)
	d.mark("blind", one.Keys == nil)
	return nil
}

// gatherClock compares the clock with what signatures, the server's answers and the program's
// own build say.
func (d *doctor) gatherClock() {
	const minutes = "2006-01-02 15:04 UTC"
	now := time.Now().UTC()
	d.put("now", now.Format(minutes))
	d.put("set", "MMDDhhmmYYYY")
	d.mark("late", !d.ui.clock.CanBe(now) && !buildDate().IsZero())
	if d.opt == nil {
		return
	}
	d.put("wrong", d.opt.Clock.Warning())
	if ahead, known := d.opt.Client.ClockOffset(); known {
		right := now.Add(ahead)
		d.put("set", right.Format("010215042006"))
		if ahead.Abs() > 5*time.Minute {
			d.put("right", right.Format(minutes))
		}
	}
}

// gatherIDs sets the facts about user ids: what lxc.idmap can be, and the command by which root
// lends the ids that it needs.
func (d *doctor) gatherIDs() {
	etc := d.machine.Top + host.Etc
	d.put("uid", strconv.Itoa(d.uid))
	d.word("name", host.UserNames(d.uid, etc)[0])
	ranges := d.ranges
	if len(ranges) == 0 {
		ranges = host.OfferedIDs(d.uid, etc)
	}
	missing := host.MissingRanges(ranges, d.uid, etc)
	d.put("offer", d.fillEach(ranges, idMapLine))
	d.put("map", d.fillEach(d.ranges, " {kind}s {first}-{last}"))
	d.put("missing", d.fillEach(missing, " {kind}s {first}-{last}"))
	for _, r := range missing {
		if r.Outside < firstLent {
			d.put("low", "low")
			d.put("instead", d.fillEach(host.OfferedIDs(d.uid, etc), idMapLine))
		}
	}
	d.put("lend", strings.TrimPrefix(d.fillEach(missing, " && echo {name}:{first}:{count} >>/etc/sub{letter}id"), " && "))
}

const (
	idMapLine = "\n  lxc.idmap = {letter} 0 {first} {count}"
	// firstLent is the first id that root should lend: below it are the ids of the machine's
	// own users and groups (login.defs(5): UID_MAX is 60000, SUB_UID_MIN 100000; 65534 is nobody).
	firstLent = 65536
)

// idFacts returns the facts of gatherIDs for a user and lxc.idmap with ranges; nil: it is not
// set yet.
func idFacts(machine *host.Layout, uid int, ranges []lxc.IDRange) map[string]string {
	d := &doctor{machine: machine, uid: uid, ranges: ranges, facts: map[string]string{}}
	d.gatherIDs()
	return d.facts
}

// fillEach fills a text once for each range.
func (d *doctor) fillEach(ranges []lxc.IDRange, text string) (all string) {
	for _, r := range ranges {
		kind := "user"
		if r.GID {
			kind = "group"
		}
		d.put("kind", kind)
		d.put("letter", kind[:1])
		d.put("first", strconv.FormatUint(uint64(r.Outside), 10))
		d.put("count", strconv.FormatUint(uint64(r.Count), 10))
		d.put("last", strconv.FormatUint(uint64(r.Outside)+uint64(r.Count)-1, 10))
		all += d.fill(text)
	}
	return all
}

// gatherUserNet sets the fact about the users and groups ("@") who may attach containers to
// bridges: "USER TYPE BRIDGE;" for each line with a count above 0 (get_alloted in LXC's
// lxc_user_nic.c; a blank or "#" at its beginning makes it a line of nobody).
func (d *doctor) gatherUserNet() {
	text := ""
	for _, line := range strings.Split(d.machine.Read("/etc/lxc/lxc-usernet"), "\n") {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(line, f[0]) || strings.Trim(f[3][:1], "123456789") != "" {
			continue
		}
		if f[0][0] == '@' {
			f[0] = "@"
		}
		text += f[0] + " " + f[1] + " " + f[2] + " ; "
	}
	d.put("usernet", text)
}

// gatherLXC sets the facts about LXC's programs and files.
func (d *doctor) gatherLXC() {
	m := d.machine
	d.put("start", host.InPath("lxc-start"))
	d.put("version", m.LXCVersion())
	for _, name := range []string{"download", "pull"} {
		if path := m.Top + "/usr/share/lxc/templates/lxc-" + name; isOurs(path) {
			d.put("as", name)
		}
	}
	own, _ := ownPath()
	d.word("own", own)
	d.put("dir", host.TemplateConfig(""))
}

// Room below which an image does not fit, or only a small one does. A minimal Debian takes
// 300 MB, desktop images take 1 GB and more; a file has 20 KB on average.
const (
	leastRoom   = 100 << 20
	enoughRoom  = 1 << 30
	leastFiles  = 2000
	enoughFiles = 50000
)

// gatherPlace sets the facts about a directory, or the nearest existing one above it.
func (d *doctor) gatherPlace(path string) error {
	path, _ = filepath.Abs(path) // LXC_CACHE_PATH may be relative
	d.put("place", path)
	path = d.machine.Top + path
	dir := host.NearestDir(path)
	d.mark("there", dir == path)
	d.put("locked", "")
	if !host.Grants(dir, 2, d.uid) {
		d.word("locked", dir)
	}
	d.put("closed", "")
	if ids, err := lxc.RootIDs(d.ranges); err == nil {
		for part := dir; part != "/" && part != d.machine.Top; part = filepath.Dir(part) {
			if !host.Grants(part, 1, int(ids[0])) {
				d.word("closed", part)
			}
		}
	}
	room, name, flags, err := untar.Survey(dir)
	if err != nil {
		return err
	}
	d.put("fs", name)
	d.word("point", d.machine.MountPoint(dir))
	for n, flag := range []string{"readonly", "nosuid", "nodev", "noexec"} {
		d.mark(flag, flags>>n&1 != 0)
	}
	d.mark("nocase", ignoresCase(dir))
	d.put("lack", host.MissingAttributes(dir))
	text := "an unknown number of bytes"
	if room.Bytes >= 0 {
		text = source.ByteCount(room.Bytes)
	}
	if room.Inodes >= 0 {
		text += " and " + strconv.FormatInt(room.Inodes, 10) + " inodes"
	}
	d.put("room", text)
	bytes, files := uint64(room.Bytes), uint64(room.Inodes) // the largest number if not known, which is -1
	d.mark("little", bytes < leastRoom || files < leastFiles)
	d.mark("tight", bytes < enoughRoom || files < enoughFiles)
	return nil
}

// ignoresCase reports whether a directory has ext4's or f2fs's flag for that (FS_CASEFOLD_FL
// of ioctl_iflags(2)).
func ignoresCase(dir string) bool {
	const casefold = 0x40000000
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	f.Close()
	return err == nil && flags&casefold != 0
}
