package lxc

import (
	"strconv"
	"strings"
)

// keyTable lists the keys of LXC 1.0 to 7.0, without "lxc.", from config_jump_table in
// confile.c: "NAME@FIRST" or "NAME@FIRST-LAST" with the first and the last release that
// knows the key. "OLD=NEW" is a key of LXC 1 and 2, which 2.1 is the last to know, and its
// new name. A name that ends with a dot is the beginning of several keys. (It is
// one string because a map literal would add four times the bytes to the program.)
const keyTable = "aa_allow_incomplete=apparmor.allow_incomplete@1.1-2.1 aa_profile=apparmor.profile@1.0-2.1 " +
	"apparmor.allow_incomplete@2.1 apparmor.allow_nesting@3.1 apparmor.profile@2.1 apparmor.raw@3.1 arch@1.0 autodev@1.0 autodev.tmpfs.size@4.0 " +
	"cap.drop@1.0 cap.keep@1.0 cgroup@1.0-6.0 cgroup.@1.0-6.0 cgroup.dir@2.1 cgroup.dir.container@5.0 cgroup.dir.container.inner@5.0 cgroup.dir.monitor@5.0 cgroup.dir.monitor.pivot@5.0 " +
	"cgroup.relative@3.1 cgroup2@3.0 cgroup2.@3.0 console=console.path@1.0-2.1 console.buffer.size@3.0 console.logfile@1.0 console.path@2.1 console.rotate@3.0 console.size@3.0 " +
	"devttydir=tty.dir@1.0-2.1 environment@1.1 environment.hooks@7.0 environment.runtime@7.0 ephemeral@2.0 execute.cmd@3.0 group@1.0 haltsignal=signal.halt@1.0-2.1 " +
	"hook@1.1 hook.autodev@1.0 hook.clone@1.0 hook.destroy@2.0 hook.mount@1.0 hook.post-stop@1.0 hook.pre-mount@1.0 hook.pre-start@1.0 hook.start@1.0 hook.start-host@3.0 hook.stop@2.0 hook.version@3.0 " +
	"id_map=idmap@1.0-2.1 idmap@2.1 include@1.0 init.cmd@2.1 init.cwd@3.0 init.gid@2.1 init.groups@4.0 init.uid@2.1 init_cmd=init.cmd@1.1-2.1 init_gid=init.gid@2.0-2.1 init_uid=init.uid@2.0-2.1 " +
	"keyring.session@4.0 kmsg=@1.0-2.1 limit.=prlimit.@2.1-2.1 log.file@2.1 log.level@2.1 log.syslog@2.1 logfile=log.file@1.0-2.1 loglevel=log.level@1.0-2.1 " +
	"monitor.signal.pdeath@3.1 monitor.unshare@2.0 mount=mount.fstab@1.0-2.1 mount.auto@1.0 mount.entry@1.0 mount.fstab@2.1 namespace.clone@3.0 namespace.keep@3.0 namespace.share.@3.0 " +
	"net@2.1 net.@2.1 network=net@1.1-2.1 network.=net.0.@1.0-2.1 no_new_privs@2.1 pivotdir=@1.0-2.1 prlimit@2.1 prlimit.@2.1 proc@3.0 proc.@3.0 pts=pty.max@1.0-2.1 pty.max@2.1 rebootsignal=signal.reboot@2.0-2.1 " +
	"rootfs=rootfs.path@1.0-2.1 rootfs.backend=rootfs.path@2.0-2.1 rootfs.managed@3.1 rootfs.mount@1.0 rootfs.options@1.0 rootfs.path@2.1 sched.core@4.0 " +
	"se_context=selinux.context@1.0-2.1 seccomp=seccomp.profile@1.0-2.1 seccomp.allow_nesting@3.2 seccomp.notify.cookie@3.2 seccomp.notify.proxy@3.2 seccomp.profile@2.1 " +
	"selinux.context@2.1 selinux.context.keyring@4.0 signal.halt@2.1 signal.reboot@2.1 signal.stop@2.1 start.auto@1.0 start.delay@1.0 start.order@1.0 stopsignal=signal.stop@1.0-2.1 " +
	"sysctl@3.0 sysctl.@3.0 syslog=log.syslog@2.1-2.1 time.offset.boot@5.0 time.offset.monotonic@5.0 tty=tty.max@1.0-2.1 tty.dir@2.1 tty.max@2.1 uts.name@2.1 utsname=uts.name@1.0-2.1"

// netKeys are the names that may follow "lxc.net.N." (config_jump_table_net in
// confile.c).
const netKeys = " flags hwaddr ipv4.address ipv4.gateway ipv6.address ipv6.gateway ipvlan.isolation ipvlan.mode l2proxy link macvlan.mode mtu name script.down script.up type " +
	"veth.ipv4.route veth.ipv6.route veth.mode veth.n_rxqueues veth.n_txqueues veth.pair veth.vlan.id veth.vlan.tagged.id vlan.id "

// refuseKey returns why all LXC from 3.0 on refuse a key, or "" if one of them accepts it.
// (This program can't find out for sure which LXC a machine has.)
func refuseKey(key string) string {
	name := strings.TrimPrefix(key, "lxc.")
	if rest, ok := strings.CutPrefix(name, "net."); ok {
		number, sub, found := strings.Cut(rest, ".")
		if number == "" || strings.Trim(number, "0123456789") != "" || found && !strings.Contains(netKeys, " "+sub+" ") {
			return "LXC knows no such key of a network"
		}
		return ""
	}
	for _, word := range strings.Split(keyTable, " ") {
		word, _, _ = strings.Cut(word, "@")
		entry, today, legacy := strings.Cut(word, "=")
		if rest, ok := strings.CutPrefix(name, entry); !ok || rest != "" && !strings.HasSuffix(entry, ".") {
			continue
		} else if legacy && today != "" {
			if entry == "network." && (rest == "ipv4" || rest == "ipv6") {
				rest += ".address"
			}
			if !strings.HasSuffix(today, ".") {
				rest = ""
			}
			return "LXC 3.0 and later call this key lxc." + today + rest
		} else if legacy {
			return "LXC 3.0 and later have no such key"
		}
		return ""
	}
	return "LXC knows no such key"
}

// Keys and values for refuseValue. The values of booleanKeys are 0 or 1, those of
// numberKeys 32-bit numbers (lxc_safe_uint in string_utils.c). The keys of familyKeys
// only clear all keys that begin with them, and have no value. All keys may have an empty
// value, which clears earlier ones.
const (
	booleanKeys = " apparmor.allow_incomplete apparmor.allow_nesting autodev cgroup.relative console.rotate ephemeral keyring.session no_new_privs rootfs.managed sched.core start.auto "
	numberKeys  = " monitor.unshare pty.max start.delay tty.max "
	familyKeys  = " cgroup cgroup2 net prlimit proc sysctl "
	netTypes    = "empty ipvlan macvlan none phys veth vlan"
	mountKinds  = "cgroup cgroup-full cgroup2 proc shmounts sys"
)

// refuseValue returns why all LXC from 3.0 on refuse the value of a known key, or "" if
// one of them may accept it. It checks values that are easily mistyped, not all.
func refuseValue(key, value string) string {
	if value == "" {
		return ""
	}
	name := strings.TrimPrefix(key, "lxc.")
	in := func(list string) bool { return strings.Contains(list, " "+name+" ") }
	switch {
	case in(booleanKeys), in(numberKeys):
		n, err := strconv.ParseUint(strings.TrimPrefix(value, "+"), 0, 32)
		if err != nil || strings.Contains(value, "_") {
			return "a number is expected"
		}
		if n > 1 && in(booleanKeys) {
			return "0 or 1 is expected"
		}
	case in(familyKeys):
		return "this key can't have a value"
	case strings.HasPrefix(name, "net.") && strings.HasSuffix(name, ".type"):
		if !isWord(value, netTypes) {
			return "one of " + netTypes + " is expected"
		}
	case name == "mount.auto":
		for _, word := range mountFields(value) {
			if kind, _, _ := strings.Cut(word, ":"); !isWord(kind, mountKinds) {
				return "LXC knows no such mount"
			}
		}
	}
	return ""
}
