package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
)

const doctorUsage = `Usage: lxc-pull doctor [OPTION]...

Checks this machine for containers: network, server, users, LXC, room, kernel.
Each line begins with ok, warn or fail; below warn and fail is what to do. It
reads only. The exit status is 1 if a check fails.
`

// checkTime is the longest time of one check.
const checkTime = 2 * time.Second

// A doctorCall is one use of "doctor". The checks are in doctor_network.go, doctor_users.go,
// doctor_lxc.go and doctor_kernel.go.
type doctorCall struct {
	finder        finderOptions
	lxcPath       string
	json, offline bool
}

func (c *doctorCall) groups() []group {
	own := group{"", []flag{
		{short: 'P', long: "lxcpath", value: "DIR", help: "where containers are (default: as in lxc.conf)", into: &c.lxcPath, exact: true},
		{long: "offline", help: "ask no server", into: &c.offline, exact: true},
		{long: "json", help: "print JSON", into: &c.json, exact: true},
	}}
	return []group{own, c.finder.servers.group(), c.finder.trust.group(), c.finder.network.group(), commonFlags()}
}

// A finding is the result of one check.
type finding struct {
	status string // statusOK, statusWarn or statusFail
	check  string // what was checked; "": what the table of checks says
	text   string
	remedy string // a command, or a line of a file; "" only if the status is statusOK
}

const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
)

func good(text string) []finding          { return []finding{{statusOK, "", text, ""}} }
func doubt(text, remedy string) []finding { return []finding{{statusWarn, "", text, remedy}} }
func bad(text, remedy string) []finding   { return []finding{{statusFail, "", text, remedy}} }

// A doctor has the facts that several checks need. No check changes it: a check that takes too
// long runs on while others begin.
type doctor struct {
	machine host.Layout
	uid     int
	groups  []int
	lxcPath string
	given   bool // lxcPath comes from the command line
	cache   string
	config  []byte        // default.conf
	ranges  []lxc.IDRange // of lxc.idmap in it
	unread  error         // why config or ranges are not known
	opt     *source.Options
	ui      *ui // silent, for its hints
}

// A check is a row of the table of checks.
type check struct {
	name string
	run  func(*doctor, context.Context) []finding // no finding: the check does not apply here
}

// checks returns the table of checks, in the order of the output.
func (d *doctor) checks(offline bool) []check {
	list := []check{
		{"name servers", (*doctor).nameServers}, {"certificates", (*doctor).certificates}, {"proxy", (*doctor).proxy},
	}
	if !offline {
		list = append(list, d.serverChecks()...)
	}
	list = append(list, check{"clock", (*doctor).clock})
	if d.machine.Android() {
		list = append(list, check{"Android", (*doctor).android}, check{"SELinux", (*doctor).selinux})
	}
	if !d.machine.Android() || d.uid == 0 {
		list = append(list,
			check{"user namespaces", (*doctor).userNamespaces}, check{"default config", (*doctor).defaultConfig},
			check{"subordinate ids", (*doctor).subordinateIDs}, check{"newuidmap and newgidmap", (*doctor).idMappers},
			check{"network of containers", (*doctor).bridge}, check{"lxc-usernet", (*doctor).userNetwork},
			check{"LXC", (*doctor).lxc}, check{"template", (*doctor).template}, check{"LXC's configs", (*doctor).includes},
		)
	}
	return append(list,
		check{"LXC path", (*doctor).path}, check{"room in the LXC path", (*doctor).pathRoom}, check{"file system of the LXC path", (*doctor).pathAbilities},
		check{"cache", (*doctor).cacheRoom},
		check{"kernel", (*doctor).kernel}, check{"control groups", (*doctor).cgroups}, check{"namespaces", (*doctor).namespaces},
		check{"file systems", (*doctor).fileSystems}, check{"seccomp", (*doctor).seccomp},
	)
}

func (c *doctorCall) run(ctx context.Context, ui *ui, operands []string) error {
	if len(operands) > 0 {
		return usageErrorf("doctor takes no names: %q", operands)
	}
	d, list, err := c.prepare(ctx, ui)
	if err != nil {
		return err
	}
	count := map[string]int{}
	var objects []jsonObject
	for _, each := range append(make([]check, len(list)), d.checks(c.offline || d.opt == nil)...) {
		var found []finding
		if each.run == nil {
			found, list = list[:1], list[1:] // what prepare found
		} else if found, err = d.carryOut(ctx, each); err != nil {
			return err
		}
		for _, f := range found {
			if f.check == "" {
				f.check = each.name
			}
			count[f.status]++
			objects = append(objects, f.object())
			if !c.json && (!ui.quiet || f.status == statusFail) {
				if _, err := io.WriteString(ui.out, f.lines()); err != nil {
					return err
				}
			}
		}
	}
	if c.json {
		err = printObjects(ui.out, objects)
	} else if !ui.quiet {
		_, err = fmt.Fprintf(ui.out, "%d checks: %d ok, %d to look at, %d failed\n", len(objects), count[statusOK], count[statusWarn], count[statusFail])
	}
	if err == nil && count[statusFail] > 0 {
		err = &silentError{}
	}
	return err
}

// carryOut runs a check, but not longer than checkTime. What it finds later is lost.
func (d *doctor) carryOut(ctx context.Context, c check) ([]finding, error) {
	short, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	got := make(chan []finding, 1)
	go func() { got <- c.run(d, short) }()
	select {
	case found := <-got:
		if ctx.Err() == nil {
			return found, nil
		}
	case <-short.Done():
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return bad("no answer within 2 seconds", "A file, disk or network that this check reads does not answer. Repair it, and run doctor again."), nil
}

// prepare collects the facts. A fact that can't be read is a finding.
func (c *doctorCall) prepare(ctx context.Context, out *ui) (*doctor, []finding, error) {
	groups, _ := os.Getgroups()
	d := &doctor{
		machine: host.This(), uid: os.Geteuid(), groups: append(groups, os.Getegid()), lxcPath: c.lxcPath, given: c.lxcPath != "",
		ui: &ui{out: io.Discard, err: io.Discard, quiet: true, command: out.command, clock: out.clock},
	}
	var list []finding
	short, cancel := context.WithTimeout(ctx, 2*checkTime)
	defer cancel()
	path, err := getUntilDone(short, func() (string, error) { return d.machine.LXCPath(), nil })
	if err == nil && !d.given {
		d.lxcPath = path
	}
	d.lxcPath, _ = filepath.Abs(d.lxcPath) // fails only if the working directory was removed
	if err == nil {
		d.config, d.unread = getUntilDone(short, func() ([]byte, error) { return d.machine.DefaultConfig("") })
	} else {
		d.unread = err
	}
	if d.unread == nil {
		d.ranges, d.unread = lxc.IDMap(d.config)
	}
	namespace := host.Namespace()
	d.cache = d.machine.CacheDir(namespace)
	c.finder.namespace, c.finder.owner, c.finder.lxcPath = namespace, unchanged(), d.lxcPath
	if c.finder.network.retries == 0 {
		c.finder.network.retries = -1 // the time of a check is too short for any
	}
	d.opt, err = getUntilDone(short, func() (*source.Options, error) { return c.finder.options(d.ui, false) })
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if exitStatus(err) == exitUsage {
		return nil, nil, err
	}
	if err != nil {
		list = append(list, finding{statusFail, "options", err.Error(), "Correct the option or the setting that names that file."})
		d.opt = nil
	}
	return d, list, nil
}

// lines returns the text of a finding.
func (f *finding) lines() string {
	text := fmt.Sprintf("%-4s  %s: %s\n", f.status, f.check, f.text)
	if f.remedy != "" {
		text += "      " + strings.ReplaceAll(f.remedy, "\n", "\n      ") + "\n"
	}
	return printable(text)
}

// object returns a finding as JSON.
func (f *finding) object() (o jsonObject) {
	o.text("check", f.check)
	o.text("status", f.status)
	o.text("text", f.text)
	o.text("remedy", f.remedy)
	return o
}

// install returns the command that installs a package by the package manager of this machine.
// The package has a name for each: Debian's apt, Alpine's apk, and OpenWrt's opkg or apk.
func (d *doctor) install(debian, alpine, openWrt string) string {
	m := d.machine
	switch {
	case m.Has("/bin/opkg"):
		return "opkg update && opkg install " + openWrt
	case m.OpenWrt():
		return "apk add " + openWrt
	case m.Has("/sbin/apk"):
		return "apk add " + alpine
	case m.Has("/usr/bin/apt-get"):
		return "apt-get install " + debian
	}
	return "Install the package " + debian + " of your distribution."
}

// setSysctl returns the command that sets a kernel parameter now and at every start.
func setSysctl(name, value string) string {
	const file = "/etc/sysctl.d/90-lxc.conf"
	return "echo " + name + "=" + value + " >>" + file + " && sysctl -p " + file
}

// quoted returns a text from outside as an error shows it.
func quoted(text string) string { return strconv.Quote(text) }

// release returns the version of the kernel.
func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
