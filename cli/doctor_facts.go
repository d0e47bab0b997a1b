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
	found   finding // by the last check
}

// A finding is the result of a check.
type finding struct{ status, text, remedy string }

// judge finds the first rule whose conditions hold.
func (d *doctor) judge(rules string) {
	text := ""
	for _, line := range strings.Split(rules, "\n") {
		f := strings.Split(line+"|||", "|")
		if f[2] != "" {
			text = f[2]
		}
		holds := true
		for _, condition := range strings.Fields(f[1]) {
			holds = holds && d.holds(condition)
		}
		if holds {
			d.found = finding{f[0], d.fill(text), d.fill(strings.ReplaceAll(f[3], `\n`, "\n"))}
			return
		}
	}
	d.found = finding{status: "-"}
}

// holds reports whether a condition of a rule holds.
func (d *doctor) holds(condition string) bool {
	condition, denied := strings.CutPrefix(condition, "!")
	condition, program := strings.CutPrefix(condition, "+")
	condition = d.fill(condition)
	name, value, equal := strings.Cut(condition, "=")
	file, part, contains := strings.Cut(condition, "~")
	have := false
	switch {
	case contains:
		text := " " + strings.Join(strings.Fields(d.machine.Read(file)), " ") + " "
		have = strings.Contains(text, strings.ReplaceAll(part, "+", " "))
	case program:
		have = host.HasPrivilege(d.machine.Real(name))
	case !strings.HasPrefix(name, "/") && equal:
		have = d.facts[name] == value
	case !strings.HasPrefix(name, "/"):
		have = d.facts[name] != ""
	case equal:
		have = d.machine.Read(name) == value
	default:
		have = d.machine.Has(name)
	}
	return have != denied
}

// fill replaces each {NAME} by the fact, and each {/PATH} by the file's content.
func (d *doctor) fill(text string) string {
	before, rest, found := strings.Cut(text, "{")
	if !found {
		return text
	}
	name, rest, _ := strings.Cut(rest, "}")
	fact := d.facts[name]
	if strings.HasPrefix(name, "/") {
		fact = d.machine.Read(name)
	}
	return before + fact + d.fill(rest)
}

// remedy returns the hint about an error.
func (d *doctor) remedy(err error) string {
	if hint := d.ui.hint(err); hint != "" {
		return hint
	}
	return "Try again later, or use another server."
}

// put sets a fact.
func (d *doctor) put(name, value string) { d.facts[name] = value }

// word sets a fact to a word of a shell.
func (d *doctor) word(name, value string) { d.put(name, shellWords([]string{value})) }

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
	d.word("name", host.UserNames(d.uid, m.Etc())[0])
	d.word("config", m.UserConfig(""))
	android := m.Android()
	d.mark("android", android)
	d.mark("app", d.uid != 0 && android) // no container can start then
	d.put("termux", m.Termux())
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
	d.put("kind", lxc.Value(d.config, "lxc.net.0.type"))
	if link := lxc.Value(d.config, "lxc.net.0.link"); link != "" {
		d.word("link", link)
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

// gather sets the facts of one check.
func (d *doctor) gather(ctx context.Context, name string) (err error) {
	m := d.machine
	switch name {
	case "settings":
		d.readSettings()
	case "options":
		err = d.readOptions()
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
	case "LXC":
		d.gatherLXC()
	case "LXC path", "room for containers", "their file system":
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
		d.mark("fixed", two && !host.Grants(m.Real("/sys/fs/cgroup"+own), 2, d.uid))
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

// gatherIDs sets the facts about user ids.
func (d *doctor) gatherIDs() {
	etc := d.machine.Etc()
	ranges := d.ranges
	if len(ranges) == 0 {
		ranges = host.OfferedIDs(d.uid, etc)
	}
	offer := ""
	for _, r := range ranges {
		offer += "\n  lxc.idmap =" + idText(r, " u 0 ", " g 0 ", " ")
	}
	d.put("offer", offer)
	text := ""
	for _, r := range d.ranges {
		text += idText(r, " users ", " groups ", "-")
	}
	d.put("map", text)
	text, command := "", ""
	for _, r := range host.MissingRanges(ranges, d.uid, etc) {
		text += idText(r, " users ", " groups ", "-")
		file := " >>/etc/subuid"
		if r.GID {
			file = " >>/etc/subgid"
		}
		command += " && echo " + d.facts["name"] + idText(r, ":", ":", ":") + file
	}
	d.put("missing", text)
	d.put("lend", strings.TrimPrefix(command, " && "))
}

// idText returns a range as the kind of its ids, the first id, between, and the count or, after
// "-", the last id.
func idText(r lxc.IDRange, users, groups, between string) string {
	end := uint64(r.Count)
	if r.GID {
		users = groups
	}
	if between == "-" {
		end += uint64(r.Outside) - 1
	}
	return users + strconv.FormatUint(uint64(r.Outside), 10) + between + strconv.FormatUint(end, 10)
}

// gatherLXC sets the facts about LXC's programs and files.
func (d *doctor) gatherLXC() {
	m := d.machine
	d.put("start", host.InPath("lxc-start"))
	version := m.LXCVersion()
	d.put("version", version)
	d.mark("old", strings.HasPrefix(version, "1.") || strings.HasPrefix(version, "2."))
	for _, name := range []string{"download", "pull"} {
		if path := m.Real("/usr/share/lxc/templates/lxc-" + name); isOurs(path) {
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
	path = d.machine.Real(path)
	info, err := os.Stat(path)
	d.mark("new", err != nil)
	d.mark("file", err == nil && !info.IsDir())
	dir := host.NearestDir(path)
	d.put("locked", "")
	if !host.Grants(dir, 2, d.uid) {
		d.word("locked", dir)
	}
	d.put("closed", "")
	if ids, err := lxc.RootIDs(d.ranges); err == nil {
		for part := dir; part != "/" && part+"/" != d.machine.Real("/"); part = filepath.Dir(part) {
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
	d.mark("readonly", flags&untar.ReadOnly != 0)
	d.mark("noexec", flags&untar.NoExec != 0)
	d.mark("nosuid", flags&untar.NoSUID != 0)
	d.mark("nodev", flags&untar.NoDev != 0)
	d.mark("nocase", ignoresCase(dir))
	d.mark("unfit", strings.Contains(" vfat exfat ntfs sdcardfs cifs ", " "+name+" "))
	d.mark("weak", strings.Contains(" fuse 9p nfs ramfs ", " "+name+" "))
	text := "an unknown number of bytes"
	if room.Bytes >= 0 {
		text = source.ByteCount(room.Bytes)
	}
	if room.Inodes >= 0 {
		text += " and " + strconv.FormatInt(room.Inodes, 10) + " inodes"
	}
	d.put("room", text)
	less := func(bytes, files int64) bool {
		return room.Bytes >= 0 && room.Bytes < bytes || room.Inodes >= 0 && room.Inodes < files
	}
	d.mark("little", less(leastRoom, leastFiles))
	d.mark("tight", less(enoughRoom, enoughFiles))
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
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&casefold != 0
}
