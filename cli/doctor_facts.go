package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	machine host.Layout
	uid     int
	lxcPath string
	config  []byte          // LXC's default.conf
	ranges  []lxc.IDRange   // of lxc.idmap in it
	unread  error           // why config or ranges are not known or wrong
	opt     *source.Options // nil: they are wrong
	ui      *ui             // silent; for its hints
	facts   map[string]string
}

// judge returns the first rule whose conditions hold.
func (d *doctor) judge(rules string) (status, text, remedy string) {
	for line := range strings.Lines(rules) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if len(f) > 2 && f[2] != "" {
			text = f[2]
		}
		holds := true
		for _, condition := range strings.Fields(f[1]) {
			holds = holds && d.holds(condition)
		}
		if !holds {
			continue
		}
		if len(f) > 3 {
			remedy = d.fill(strings.ReplaceAll(f[3], " / ", "\n"))
		}
		return f[0], d.fill(text), remedy
	}
	return "-", "", ""
}

// holds reports whether a condition of a rule holds.
func (d *doctor) holds(condition string) bool {
	condition, denied := strings.CutPrefix(condition, "!")
	name, value, equal := strings.Cut(condition, "=")
	file, part, contains := strings.Cut(condition, "~")
	have := false
	switch {
	case contains:
		have = strings.Contains(d.machine.Read(file), part)
	case name[0] == '/' && equal:
		have = d.machine.Read(name) == value
	case name[0] == '/':
		have = d.machine.Has(name)
	case equal:
		have = d.facts[name] == value
	default:
		have = d.facts[name] != ""
	}
	return have != denied
}

// fill replaces each {NAME} by the fact.
func (d *doctor) fill(text string) string {
	before, rest, found := strings.Cut(text, "{")
	if !found {
		return text
	}
	name, rest, _ := strings.Cut(rest, "}")
	return before + d.facts[name] + d.fill(rest)
}

// remedy returns the hint about an error.
func (d *doctor) remedy(err error) string {
	if hint := d.ui.hint(err); hint != "" {
		return hint
	}
	return "Try again later, or use another server."
}

// set sets a fact if is is true, and removes it otherwise.
func (d *doctor) set(name string, is bool, value string) {
	if !is {
		value = ""
	}
	d.facts[name] = value
}

// setUser sets the facts about the user and the kind of system.
func (d *doctor) setUser() {
	m := d.machine
	word := func(s string) string { return shellWords([]string{s}) }
	d.facts["name"] = word(host.UserNames(d.uid, m.Etc())[0])
	d.facts["config"] = word(m.UserConfig(""))
	d.facts["path"] = word(d.lxcPath)
	d.set("user", d.uid != 0, "yes")
	d.set("mapped", d.uid != 0 || len(d.ranges) > 0, "yes")
	d.set("android", m.Android(), "yes")
	d.set("termux", m.Termux() != "", "yes")
	d.set("app", d.uid != 0 && m.Android(), "yes") // no container can start then
	d.facts["kernel"] = release()
	d.set("ancient", !atLeast(release(), 3, 8), "yes")
}

// gather sets the facts of one check.
func (d *doctor) gather(ctx context.Context, name string) (err error) {
	switch name {
	case "name servers":
		if d.opt != nil {
			d.facts["dns"] = d.opt.Client.NameServers()
		}
	case "certificates":
		if d.opt != nil {
			d.facts["trust"], err = d.opt.Client.LoadTrust()
		}
	case "proxy":
		for _, name := range []string{"https_proxy", "http_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"} {
			if os.Getenv(name) != "" {
				d.facts["proxy"] += " " + name
			}
		}
		err = fetch.CheckProxies()
	case "server":
		file := d.facts["url"] + "/" + image.IndexDir + "/index-" + string(d.opt.Mode) + image.SigSuffix
		_, _, err = d.opt.Client.Load(ctx, fetch.Request{URLs: []string{file}, Max: 1 << 16, Hasty: true})
		var answer *fetch.Error
		if errors.As(err, &answer) && answer.NotFound() {
			err = nil // the next check says what is missing
		}
	case "index":
		err = d.gatherIndex(ctx)
	case "clock":
		d.gatherClock()
	case "default config", "subordinate ids", "newuidmap and newgidmap":
		err = d.gatherIDs()
	case "bridge", "lxc-usernet":
		d.gatherNetworks()
	case "LXC", "template", "LXC's configs":
		d.gatherLXC()
	case "LXC path", "room for containers":
		err = d.gatherPlace(d.lxcPath)
	case "cache":
		base := d.machine.CacheDir(host.Namespace())
		d.facts["cache"] = shellWords([]string{base})
		d.set("cache", base != "", d.facts["cache"])
		d.set("memory", d.machine.Forgets(base), "yes")
		if base != "" {
			err = d.gatherPlace(base)
		}
	case "control groups":
		versions, controllers, own := d.machine.Cgroups()
		d.facts["version"] = versions
		d.set("memory", slices.Contains(controllers, "memory"), "yes")
		d.set("pids", slices.Contains(controllers, "pids"), "yes")
		d.set("locked", own != "" && !host.Grants(own, 2, d.uid), "yes")
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
	d.facts["images"] = fmt.Sprintf("%d images, %d of them for %s", len(index.Images), mine, arch)
	d.set("none", mine == 0, "yes")
	d.set("blind", one.Keys == nil, "yes")
	return nil
}

// gatherClock compares the clock with what signatures, the server's answers and the program's
// own build say.
func (d *doctor) gatherClock() {
	const minutes = "2006-01-02 15:04 UTC"
	now := time.Now().UTC()
	d.facts["now"], d.facts["set"] = now.Format(minutes), "MMDDhhmmYYYY"
	d.set("late", !d.ui.clock.CanBe(now), "yes")
	if d.opt == nil {
		return
	}
	d.facts["wrong"] = d.opt.Clock.Warning()
	if ahead, known := d.opt.Client.ClockOffset(); known {
		right := now.Add(ahead)
		d.facts["set"] = right.Format("010215042006")
		d.set("server", ahead.Abs() > 5*time.Minute, right.Format(minutes))
	}
}

// gatherIDs sets the facts about user ids.
func (d *doctor) gatherIDs() error {
	if d.unread != nil {
		return d.unread
	}
	etc := d.machine.Etc()
	d.facts["map"] = mapText(d.ranges)
	ranges := d.ranges
	if len(ranges) == 0 {
		ranges, _ = host.OfferedIDs(d.uid, etc)
		for _, r := range ranges {
			kind := "u"
			if r.GID {
				kind = "g"
			}
			d.facts["offer"] += fmt.Sprintf("\n  lxc.idmap = %s 0 %d %d", kind, r.Outside, r.Count)
		}
	}
	if d.uid != 0 || host.InPath("newuidmap") != "" { // without it LXC lets root use any ids
		missing := host.MissingRanges(ranges, d.uid, etc)
		d.facts["missing"] = mapText(missing)
		d.facts["grant"] = grantCommand(missing, d.uid, etc)
		if !d.machine.Has("/usr/sbin/usermod") {
			d.facts["grant"] = ""
			for n, r := range missing {
				file := "subuid"
				if r.GID {
					file = "subgid"
				}
				if n > 0 {
					d.facts["grant"] += " && "
				}
				d.facts["grant"] += fmt.Sprintf("echo %s:%d:%d >>/etc/%s", d.facts["name"], r.Outside, r.Count, file)
			}
		}
	}
	for _, name := range []string{"newgidmap", "newuidmap"} {
		path := host.InPath(name)
		d.set("absent", path == "", name)
		if path != "" && !host.HasPrivilege(path) {
			d.facts["weak"] = shellWords([]string{path})
		}
	}
	return nil
}

// mapText returns ranges for people.
func mapText(ranges []lxc.IDRange) (text string) {
	for _, r := range ranges {
		kind := "users"
		if r.GID {
			kind = "groups"
		}
		text += fmt.Sprintf(" %s %d-%d", kind, r.Outside, uint64(r.Outside)+uint64(r.Count)-1)
	}
	return text
}

// gatherNetworks sets the facts about the host's interfaces that default.conf names.
func (d *doctor) gatherNetworks() {
	m := d.machine
	names := host.UserNames(d.uid, m.Etc())
	d.facts["links"], d.facts["weak"] = "", ""
	for _, n := range lxc.Networks(d.config) {
		link := shellWords([]string{n.Link})
		switch {
		case n.Link == "":
			d.facts["links"] += n.Type + " "
			continue
		case !m.Has("/sys/class/net/" + filepath.Base(n.Link)):
			d.facts["gone"], d.facts["kind"] = link, n.Type
		}
		d.facts["links"] += link + " "
		if n.Type == "veth" && d.facts["barred"] == "" {
			d.facts["bridge"] = link
			d.set("barred", !m.UserNetwork(n.Link, names), "yes")
		}
	}
	const helper = "/usr/libexec/lxc/lxc-user-nic"
	d.set("weak", m.Has(helper) && !host.HasPrivilege(m.Real(helper)), helper)
}

// gatherLXC sets the facts about LXC's programs and files.
func (d *doctor) gatherLXC() {
	m := d.machine
	d.facts["start"] = host.InPath("lxc-start")
	version := m.LXCVersion()
	d.facts["version"] = version
	d.set("old", strings.HasPrefix(version, "1.") || strings.HasPrefix(version, "2."), "yes")
	for _, name := range []string{"download", "pull"} {
		path := m.Real("/usr/share/lxc/templates/lxc-" + name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && isOurs(path) {
			d.facts["as"] = name
		}
	}
	own, err := ownPath()
	d.set("own", err == nil, shellWords([]string{own}))
	dir := host.TemplateConfig("")
	d.facts["dir"], d.facts["absent"] = dir, ""
	for _, name := range []string{"/userns.conf", "/common.conf"} {
		if !m.Has(dir + name) {
			d.facts["absent"] = dir + name
		}
	}
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
	d.set("new", err != nil, "yes")
	d.set("file", err == nil && !info.IsDir(), "yes")
	dir := host.NearestDir(path)
	word := shellWords([]string{dir})
	d.set("locked", !host.Grants(dir, 2, d.uid), word)
	d.facts["closed"] = ""
	if ids, err := lxc.RootIDs(d.ranges); err == nil {
		for part := dir; ; part = filepath.Dir(part) {
			if !host.Grants(part, 1, int(ids[0])) {
				d.facts["closed"] = shellWords([]string{part})
			}
			if part == "/" || part == d.machine.Real("/") {
				break
			}
		}
	}
	room, name, flags, err := untar.Survey(dir)
	if err != nil {
		return err
	}
	d.facts["fs"] = name
	d.facts["mount"] = shellWords([]string{d.machine.MountPoint(dir)})
	for _, each := range []struct {
		name string
		flag int64
	}{{"readonly", untar.ReadOnly}, {"noexec", untar.NoExec}, {"nosuid", untar.NoSUID}, {"nodev", untar.NoDev}} {
		d.set(each.name, flags&each.flag != 0, "yes")
	}
	d.set("nocase", ignoresCase(dir), "yes")
	d.set("unfit", strings.Contains(" vfat exfat ntfs sdcardfs cifs ", " "+name+" "), "yes")
	d.set("weak", strings.Contains(" fuse 9p nfs ramfs ", " "+name+" "), "yes")
	text := "an unknown number of bytes"
	if room.Bytes >= 0 {
		text = source.ByteCount(room.Bytes)
	}
	if room.Inodes >= 0 {
		text += " and " + strconv.FormatInt(room.Inodes, 10) + " inodes"
	}
	d.facts["room"] = text
	d.set("little", room.Bytes >= 0 && room.Bytes < leastRoom || room.Inodes >= 0 && room.Inodes < leastFiles, "yes")
	d.set("tight", room.Bytes >= 0 && room.Bytes < enoughRoom || room.Inodes >= 0 && room.Inodes < enoughFiles, "yes")
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

// release returns the version of the kernel.
func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// atLeast reports whether a kernel's version, such as 6.1.0-13-amd64, is MAJOR.MINOR or later,
// or is not known.
func atLeast(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(second)
	return err1 != nil || err2 != nil || a > major || a == major && b >= minor
}
