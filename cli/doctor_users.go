package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
)

// The checks of doctor about users: what a container in a user namespace needs, and the
// networks that LXC's default.conf names.

// mapped reports whether containers run in a user namespace: an ordinary user's do, and root's
// if default.conf has lxc.idmap.
func (d *doctor) mapped() bool { return d.uid != 0 || len(d.ranges) > 0 }

func (d *doctor) userNamespaces(context.Context) []finding {
	m := d.machine
	text, remedy := "", ""
	switch {
	case !d.mapped():
		return good("not needed: root's containers run without one")
	case !m.Has("/proc/self"):
		return nil
	case !m.Has("/proc/self/ns/user"):
		text, remedy = "this kernel has none", "Use a kernel with CONFIG_USER_NS=y, or make containers as root."
	case m.Read("/proc/sys/user/max_user_namespaces") == "0":
		text, remedy = "user.max_user_namespaces is 0", setSysctl("user.max_user_namespaces", "15000")
	case d.uid == 0:
	case m.Read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
		text, remedy = "kernel.unprivileged_userns_clone is 0", setSysctl("kernel.unprivileged_userns_clone", "1")
	case m.Read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" && !m.Has("/etc/apparmor.d/lxc-usernsexec"):
		text, remedy = "AppArmor allows them to few programs", setSysctl("kernel.apparmor_restrict_unprivileged_userns", "0")
	}
	if text != "" {
		return bad(text, remedy)
	}
	return good("allowed")
}

func (d *doctor) defaultConfig(context.Context) []finding {
	file := d.machine.UserConfig("")
	if d.unread != nil {
		remedy := "Correct that file: " + file
		if errors.Is(d.unread, context.DeadlineExceeded) {
			return bad("no answer within 2 seconds", remedy)
		}
		return bad(d.unread.Error(), remedy)
	}
	if len(d.ranges) == 0 {
		if d.uid == 0 {
			return good("has no lxc.idmap, so that root's containers have the host's user ids")
		}
		offered, _ := host.OfferedIDs(d.uid, d.machine.Etc())
		return bad(fmt.Sprintf("%q has no lxc.idmap, which an ordinary user's containers need", file), "Add to that file:\n"+mapLines(offered))
	}
	if _, err := lxc.RootIDs(d.ranges); err != nil {
		return bad(err.Error(), "Add to "+file+":\n"+mapLines(d.ranges))
	}
	return good("maps the container's ids:" + mapText(d.ranges))
}

// mapLines returns the lines of lxc.idmap for ranges of containers whose ids begin at 0.
func mapLines(ranges []lxc.IDRange) (lines string) {
	for n, r := range ranges {
		kind := "u"
		if r.GID {
			kind = "g"
		}
		if n > 0 {
			lines += "\n"
		}
		lines += fmt.Sprintf("  lxc.idmap = %s 0 %d %d", kind, r.Outside, r.Count)
	}
	return lines
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

func (d *doctor) subordinateIDs(context.Context) []finding {
	etc := d.machine.Etc()
	name := host.UserNames(d.uid, etc)[0]
	ranges := d.ranges
	switch {
	case !d.mapped() || d.uid == 0 && host.InPath("newuidmap") == "": // without it LXC lets root use any ids
		return nil
	case len(ranges) == 0:
		offered, lent := host.OfferedIDs(d.uid, etc)
		if lent {
			return good("user " + quoted(name) + " has" + mapText(offered))
		}
		ranges = offered
	}
	missing := host.MissingRanges(ranges, d.uid, etc)
	if missing == nil {
		return good("user " + quoted(name) + " may use those of the default config")
	}
	remedy := grantCommand(ranges, d.uid, etc)
	if !d.machine.Has("/usr/sbin/usermod") {
		remedy = ""
		for n, r := range missing {
			file := "/etc/subuid"
			if r.GID {
				file = "/etc/subgid"
			}
			if n > 0 {
				remedy += "\n"
			}
			remedy += "echo " + shellWords([]string{fmt.Sprintf("%s:%d:%d", name, r.Outside, r.Count)}) + " >>" + file
		}
	}
	return bad("root has not lent the user "+quoted(name)+mapText(missing), "As root:\n"+remedy)
}

func (d *doctor) idMappers(context.Context) []finding {
	if !d.mapped() {
		return nil
	}
	for _, name := range []string{"newuidmap", "newgidmap"} {
		path := host.InPath(name)
		switch {
		case path == "" && d.uid == 0:
			return good("not there, and not needed by root")
		case path == "":
			return bad(name+" is not in PATH", "As root: "+d.install("uidmap", "shadow-uidmap", "shadow-utils"))
		case !host.HasPrivilege(path):
			return bad(quoted(path)+" is not set-user-ID root and has no file capabilities", "As root: chmod u+s "+shellWords([]string{path}))
		}
	}
	return good("have the rights that they need")
}

// bridge checks the host's interfaces that default.conf names.
func (d *doctor) bridge(context.Context) []finding {
	m := d.machine
	if d.unread != nil || !m.Has("/sys/class/net") {
		return nil
	}
	text := ""
	for _, n := range lxc.Networks(d.config) {
		switch {
		case n.Link == "":
			text += " " + quoted(n.Type)
		case m.Has("/sys/class/net/" + filepath.Base(n.Link)):
			text += " " + quoted(n.Link)
		default:
			return bad(fmt.Sprintf("the interface %q, which the default config names, does not exist", n.Link), "As root: "+d.makeLink(n))
		}
	}
	if text == "" {
		return doubt("the default config has no lxc.net, so that containers share this machine's network", "Add to "+m.UserConfig("")+":\n  lxc.net.0.type = veth\n  lxc.net.0.link = lxcbr0")
	}
	return good("the default config has" + text)
}

// makeLink returns the command that makes an interface.
func (d *doctor) makeLink(n lxc.Network) string {
	m := d.machine
	name := shellWords([]string{n.Link})
	switch {
	case n.Type != "veth":
		return "write another interface into lxc.net.N.link of " + m.UserConfig("")
	case m.OpenWrt() && m.Has("/sys/class/net/br-lan"):
		return "write br-lan into lxc.net.N.link of " + m.UserConfig("")
	case n.Link != "lxcbr0":
	case m.Has("/run/systemd/system") && (m.Has("/lib/systemd/system/lxc-net.service") || m.Has("/usr/lib/systemd/system/lxc-net.service")):
		return "systemctl enable --now lxc-net"
	case m.Has("/etc/init.d/lxc-net"):
		return "service lxc-net start"
	case m.Has("/sbin/apk"):
		return "apk add lxc-bridge && rc-update add dnsmasq.lxcbr0 && rc-service dnsmasq.lxcbr0 start"
	case m.Has("/usr/libexec/lxc/lxc-net"):
		return "/usr/libexec/lxc/lxc-net start"
	}
	return "ip link add " + name + " type bridge && ip link set " + name + " up"
}

// userNetwork checks whether an ordinary user may attach containers to the bridges of
// default.conf.
func (d *doctor) userNetwork(context.Context) []finding {
	if d.uid == 0 || d.unread != nil {
		return nil
	}
	names := host.UserNames(d.uid, d.machine.Etc())
	text := ""
	for _, n := range lxc.Networks(d.config) {
		if n.Type != "veth" || n.Link == "" {
			continue
		}
		if !d.machine.UserNetwork(n.Link, names, d.groups) {
			return bad(fmt.Sprintf("the user %q may not attach containers to %q", names[0], n.Link),
				"As root: echo "+shellWords([]string{names[0], "veth", n.Link, "10"})+" >>/etc/lxc/lxc-usernet")
		}
		text += " " + quoted(n.Link)
	}
	if text == "" {
		return nil
	}
	for _, dir := range []string{"/usr/libexec/lxc", "/usr/lib/*/lxc", "/usr/lib/lxc"} {
		found, _ := filepath.Glob(d.machine.Real(dir + "/lxc-user-nic"))
		if len(found) > 0 && !host.HasPrivilege(found[0]) {
			return bad(quoted(found[0])+" is not set-user-ID root", "As root: chmod u+s "+shellWords(found[:1]))
		}
	}
	return good("the user " + quoted(names[0]) + " may attach containers to" + text)
}

func (d *doctor) android(context.Context) []finding {
	if d.uid != 0 {
		remedy := "A root file system needs no root:\n  lxc-pull rootfs debian debian/trixie\n  proot -0 -r debian -b /dev -b /proc -b /sys -w / /bin/sh -l"
		if d.machine.Termux() != "" {
			remedy += "\nTermux has proot: pkg install proot"
		}
		return bad("without root no container can start", remedy)
	}
	if !d.machine.Has("/data/lxc") {
		return doubt("/data/lxc does not exist; create makes it, but LXC's own port may use another directory", "mkdir -p /data/lxc; or pass -P DIR with LXC's directory")
	}
	return good("root, and /data/lxc exists")
}

func (d *doctor) selinux(context.Context) []finding {
	switch d.machine.Read("/sys/fs/selinux/enforce") {
	case "0":
		return good("permissive")
	case "1":
		if d.uid == 0 {
			return doubt("enforcing: its rules may keep containers from starting", "setenforce 0")
		}
		return good("enforcing, as for every app")
	}
	if _, err := os.Stat(d.machine.Real("/sys/fs/selinux")); err != nil {
		return good("not there")
	}
	return good("its mode can't be read, which is usual for an app")
}
