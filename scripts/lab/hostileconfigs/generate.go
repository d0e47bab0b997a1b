package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// keys are the keys in liblxc's tables (confile.c) from 1.0 to 7.0, keys of networks with
// a number, and names that match a table entry by prefix.
var keys = strings.Fields(`
lxc.aa_allow_incomplete lxc.aa_profile lxc.apparmor.allow_incomplete lxc.apparmor.allow_nesting lxc.apparmor.profile
lxc.apparmor.raw lxc.arch lxc.autodev lxc.autodev.tmpfs.size lxc.cap.drop lxc.cap.keep lxc.cgroup lxc.cgroup.dir
lxc.cgroup.dir.container lxc.cgroup.dir.container.inner lxc.cgroup.dir.monitor lxc.cgroup.dir.monitor.pivot
lxc.cgroup.dir.payload lxc.cgroup.relative lxc.cgroup2 lxc.console lxc.console.buffer.logfile lxc.console.buffer.size lxc.console.logfile
lxc.console.path lxc.console.rotate lxc.console.size lxc.devttydir lxc.environment lxc.environment.hooks
lxc.environment.runtime lxc.ephemeral lxc.execute.cmd lxc.group lxc.haltsignal lxc.hook lxc.hook.autodev lxc.hook.clone
lxc.hook.destroy lxc.hook.mount lxc.hook.post-stop lxc.hook.pre-mount lxc.hook.pre-start lxc.hook.start lxc.hook.start-host
lxc.hook.stop lxc.hook.version lxc.id_map lxc.idmap lxc.include lxc.init.cmd lxc.init.cwd lxc.init.gid lxc.init.groups
lxc.init.uid lxc.init_cmd lxc.init_gid lxc.init_uid lxc.keyring.session lxc.kmsg lxc.limit lxc.limit.nofile lxc.log.file
lxc.log.level lxc.log.syslog lxc.logfile lxc.loglevel lxc.monitor.signal.pdeath lxc.monitor.unshare lxc.mount lxc.mount.auto
lxc.mount.entry lxc.mount.fstab lxc.namespace.clone lxc.namespace.keep lxc.namespace.share lxc.namespace.share.mnt
lxc.namespace.share.pid lxc.namespace.share.net lxc.namespace.share.uts lxc.namespace.share.ipc lxc.namespace.share.user
lxc.net lxc.net.0.flags lxc.net.0.hwaddr lxc.net.0.ipv4.address lxc.net.0.ipv4.gateway lxc.net.0.ipv6.address
lxc.net.0.ipv6.gateway lxc.net.0.ipvlan.isolation lxc.net.0.ipvlan.mode lxc.net.0.l2proxy lxc.net.0.link
lxc.net.0.macvlan.mode lxc.net.0.mtu lxc.net.0.name lxc.net.0.script.down lxc.net.0.script.up lxc.net.0.type
lxc.net.0.veth.ipv4.route lxc.net.0.veth.ipv6.route lxc.net.0.veth.mode lxc.net.0.veth.n_rxqueues
lxc.net.0.veth.n_txqueues lxc.net.0.veth.pair lxc.net.0.veth.vlan.id lxc.net.0.veth.vlan.tagged.id lxc.net.0.vlan.id
lxc.network lxc.network.flags lxc.network.hwaddr lxc.network.ipv4 lxc.network.ipv4.gateway lxc.network.ipv6
lxc.network.ipv6.gateway lxc.network.link lxc.network.macvlan.mode lxc.network.mtu lxc.network.name
lxc.network.script.down lxc.network.script.up lxc.network.type lxc.network.veth.pair lxc.network.vlan.id lxc.no_new_privs
lxc.pivotdir lxc.prlimit lxc.prlimit.nofile lxc.proc lxc.proc.oom_score_adj lxc.pts lxc.pty.max lxc.rebootsignal lxc.rootfs
lxc.rootfs.backend lxc.rootfs.managed lxc.rootfs.mount lxc.rootfs.options lxc.rootfs.path lxc.sched.core lxc.se_context
lxc.seccomp lxc.seccomp.allow_nesting lxc.seccomp.notify.cookie lxc.seccomp.notify.proxy lxc.seccomp.profile
lxc.selinux.context lxc.selinux.context.keyring lxc.signal.halt lxc.signal.reboot lxc.signal.stop lxc.start.auto
lxc.start.delay lxc.start.order lxc.stopsignal lxc.sysctl lxc.sysctl.net.ipv4.ip_forward lxc.sysctl.kernel.core_pattern
lxc.sysctl.kernel.domainname lxc.sysctl.vm.swappiness lxc.sysctl.fs.lease-break-time lxc.syslog lxc.time.offset.boot
lxc.time.offset.monotonic lxc.tty lxc.tty.dir lxc.tty.max lxc.uts.name lxc.utsname
lxc.cgroup.devices.allow lxc.cgroup.devices.deny lxc.cgroup2.devices.allow lxc.cgroup.cgroup.procs lxc.cgroup2.cgroup.procs
lxc.cgroup.memory.limit_in_bytes lxc.cgroup2.memory.max lxc.cgroup.release_agent lxc.cgroup../../tasks
lxc.proc.root.w.canary.file lxc.proc.cwd.w.canary.file lxc.proc.sys.kernel.core_pattern`)

// harmless are lines from images of the public servers and from LXC's own configuration
// files.
var harmless = []string{
	"# Template used by a builder", "", "lxc.tty.max = 4", "lxc.tty.dir = lxc", "lxc.pty.max = 1024", "lxc.autodev = 1",
	"lxc.cap.drop = sys_module", "lxc.cap.drop = mac_admin mac_override sys_time", "lxc.mount.auto = proc:mixed sys:mixed",
	"lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed",
	"lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0",
	"lxc.mount.entry = /sys/kernel/security sys/kernel/security none bind,optional 0 0",
	"lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none bind,optional 0 0",
	"lxc.mount.entry = /sys/fs/pstore sys/fs/pstore none bind,optional 0 0",
	"lxc.mount.entry = /sys/firmware/efi/efivars sys/firmware/efi/efivars none bind,optional 0 0",
	"lxc.mount.entry = /proc/sys/fs/binfmt_misc proc/sys/fs/binfmt_misc none bind,optional 0 0",
	"lxc.mount.entry = /sys/fs/fuse/connections sys/fs/fuse/connections none bind,optional 0 0",
	"lxc.uts.name = LXC_NAME", "lxc.environment = LANG=C.UTF-8", "lxc.environment = container_ttys=", "some words of no meaning",
	"lxc.signal.halt = SIGPWR", "lxc.arch = " + lxcArch,
}

// hostile are values for any key, and values for mounts and environments.
var (
	hostile = []string{
		canary, canary + "/file", canary + "/new", canary + "/dir", canary + "/script", canary + "/hostile.conf",
		"/usr/bin/touch " + canary + "/touched", "/bin/sh -c 'echo x >>" + canary + "/file'", `/bin/sh -c "id >` + canary + `/id"`,
		"LXC_HOOK_DIR/dhclient-script", "LXC_HOOK_DIR/../../../../usr/bin/touch " + canary + "/touched2",
		"LXC_HOOK_DIR/clonehostname; touch " + canary + "/touched3", "LXC_HOOK_DIR/nvidia $(touch " + canary + "/touched4)",
		"LXC_HOOK_DIR/ubuntu-cloud-prep -u " + canary + "/file", "LXC_TEMPLATE_CONFIG/userns.conf", "LXC_TEMPLATE_CONFIG/nesting.conf", "LXC_TEMPLATE_CONFIG/oci.common.conf", "LXC_TEMPLATE_CONFIG/openwrt.common.conf", "LXC_TEMPLATE_CONFIG/ubuntu-cloud.common.conf",
		"LXC_TEMPLATE_CONFIG/../../../.." + canary + "/hostile.conf", "LXC_TEMPLATE_CONFIG/common.seccomp", "LXC_TEMPLATE_CONFIG",
		"LXC_TEMPLATE_CONFIG/common.conf.d/", "LXC_ROOTFS/../config", "LXC_ROOTFS/out/x", "LXC_PATH/config", "LXC_PATH/../x",
		"/proc/self/root" + canary + "/x", "/proc/1/root" + canary, "../../../../../.." + canary, "../..", ".", "", "0", "1", "2", "-1",
		"4294967296", "none", "auto", "all", "a", "c *:* rwm", "b *:* rwm", "a *:* rwm", "c 10:223 rwm", "b 7:* rwm", "16 17 21 25", "sys_module sys_rawio", "net ipc user", "user pid",
		"canary-@TAG@", "canary-@TAG@/sub", "../canary-@TAG@", "/canary-@TAG@", "u 0 0 65536", "b 0 0 4294967295", "empty", "phys", "veth",
		"none", "canary0", "lxcbr0", "canary1", "up", "unconfined", "unchanged", "proc:rw sys:rw", "cgroup-full:rw:force", "cgroup", "shmounts:" + canary + "/dir:/mnt",
		"dir:/", "dir:" + canary, "overlay:/:" + canary + "/dir", "SIGKILL", "1,/bin/touch", "1.2.3.4/8", "i686", "unix:" + canary + "/socket",
		"Canary", "\xff\xfe", strings.Repeat("x", 5000), "%s%n%d", "$(touch " + canary + "/sub)", "`touch " + canary + "/tick`", "onboot",
		"[all]\n",
	}
	mountValues = []string{
		"/w/canary mnt none bind 0 0", "/ mnt none rbind,create=dir 0 0", "/etc etc none bind,rw,optional 0 0", "/dev dev none rbind,optional 0 0",
		"/proc mnt none bind 0 0", "tmpfs /w/canary/made tmpfs create=dir 0 0", "tmpfs ../../canary/made tmpfs create=dir,optional 0 0",
		"tmpfs /devLXC_ROOTFS/out/made tmpfs create=dir,optional 0 0", "tmpfs /dev/LXC_ROOTFS/out/made tmpfs create=file,optional 0 0",
		"tmpfs LXC_ROOTFS/../made tmpfs create=dir,optional 0 0", "tmpfs /w/canary/LXC_ROOTFS/x tmpfs create=dir,optional 0 0",
		"proc dev/p proc create=dir 0 0", "tmpfs dev/p/self/root/w/canary/made tmpfs create=file,optional 0 0",
		"tmpfs dev/out/made tmpfs create=dir,optional 0 0", "tmpfs dev/up/made tmpfs create=file,optional 0 0", "tmpfs out tmpfs defaults 0 0",
		"tmpfs out/made tmpfs create=dir 0 0", "tmpfs proc/self/root/w/canary/made tmpfs create=dir,optional 0 0",
		"/w/canary/file out/file none bind,create=file 0 0", "LXC_ROOTFS/out/file mnt none bind,optional 0 0", "tmpfs tmp tmpfs nodev,nosuid 0 0",
		"tmpfs \\057w\\057canary\\057made tmpfs create=dir,optional 0 0", "mqueue dev/mqueue mqueue rw,relatime,create=dir 0 0",
		"mqueue dev/shm/made mqueue rw,create=dir,optional 0 0", "devpts dev/pts devpts rw,create=dir,optional 0 0", "sysfs sys sysfs rw 0 0",
		"cgroup mnt cgroup rw,optional 0 0", "/dev/vda mnt ext4 ro 0 0", "overlay mnt overlay lowerdir=/etc,upperdir=/w/canary/dir,workdir=/w/canary 0 0",
		"/sys/kernel/security/../../../w/canary sys/kernel/security none bind,optional 0 0", "/sys/kernel/debug sys/kernel/debug none rbind,optional,create=dir 0 0",
		"mqueue\vdev/mqueue\fmqueue rw 0 0", "/proc/sys/fs/binfmt_misc proc/sys/fs/binfmt_misc none bind,optional,rshared 0 0",
		"tmpfs mnt tmpfs rw,lazy,idmap=/proc/1/ns/user 0 0", "/w/canary mnt none bind,relative,optional 0 0", "rootfs/../../../w/canary mnt none bind,relative 0 0",
		"tmpfs",
	}
	environment = []string{
		"LD_PRELOAD=" + canary + "/file", "PATH=" + canary, "BASH_ENV=" + canary + "/script", "IF_METRIC=a[$(id >" + canary + "/metric)]", "reason=BOUND",
		"ENV=" + canary + "/script", "HOME", "X=y", "LXC_ROOTFS_MOUNT=/", "interface=lo",
	}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// generate makes the random image with this number. Half of the images have only harmless
// lines, most of these with one byte changed; the others have one to three hostile lines
// between harmless ones, or a hostile fstab. The number chooses the key, so that a run
// uses every key.
func generate(r *rand.Rand, number int) testCase {
	c := testCase{}
	if r.IntN(3) == 0 {
		c.Rootfs = r.IntN(len(rootfses))
	}
	lines := []string{"lxc.include = LXC_TEMPLATE_CONFIG/common.conf", "lxc.arch = " + lxcArch}
	if r.IntN(20) == 0 {
		lines = lines[1:]
	}
	for range r.IntN(5) {
		lines = append(lines, pick(r, harmless))
	}
	insert := func(line string) { lines = slices.Insert(lines, r.IntN(len(lines)+1), line) }
	switch number % 10 {
	case 0:
		c.Name = "hostile fstab"
		var fstab []string
		for range 1 + r.IntN(3) {
			fstab = append(fstab, mutate(r, pick(r, mountValues)))
		}
		c.Fstab = strings.Join(fstab, pick(r, []string{"\n", "\n", "\r\n", "\r", "\v\n"})) + "\n"
	case 2, 4, 6, 8:
		c.Name = "hostile lines"
		turn := number/10*4 + number%10/2 - 1
		key := keys[turn%len(keys)]
		insert(hostileLine(r, key, hostileValue(r, key), turn >= len(keys)))
		for range r.IntN(3) {
			switch key := pick(r, keys); r.IntN(8) {
			case 0: // an allowed value, changed
				insert(changeByte(r, pick(r, harmless)))
			case 1:
				insert(hostileLine(r, "lxc.mount.entry", pick(r, mountValues), false))
			default:
				insert(hostileLine(r, key, hostileValue(r, key), true))
			}
		}
	case 1, 3, 5:
		c.Name = "a byte changed"
		i := r.IntN(len(lines))
		lines[i] = changeByte(r, lines[i])
	default:
		c.Name = "harmless"
	}
	c.Config = strings.Join(lines, "\n") + pick(r, []string{"\n", "\n", "\n", "", "\r\n", "\x00"})
	if r.IntN(10) == 0 {
		c.Templates = pick(r, []string{"/etc/hostname\n", "/out/file\n", "../../canary/file\n", "/dev/out/file\n/proc/self/root/w/canary/file\n"})
	}
	return c
}

// hostileValue returns a random value that usually suits the key.
func hostileValue(r *rand.Rand, key string) string {
	if r.IntN(4) > 0 {
		switch {
		case strings.HasPrefix(key, "lxc.mount"):
			return pick(r, mountValues)
		case strings.HasPrefix(key, "lxc.environment"):
			return pick(r, environment)
		case strings.HasPrefix(key, "lxc.hook."):
			return touch(strings.TrimPrefix(key, "lxc.hook."))
		}
	}
	return pick(r, hostile)
}

// hostileLine returns a line in a random form, also of the key if changeKey is true.
func hostileLine(r *rand.Rand, key, value string, changeKey bool) string {
	if changeKey {
		switch r.IntN(16) { // old LXC compares only the beginning of a key
		case 0:
			key += pick(r, []string{".x", "x", ".", "..", "_", " ", "\t", ".0"})
		case 1:
			key = key[:len(key)-1]
		case 2:
			key = strings.ToUpper(key)
		case 3:
			key = strings.Replace(key, ".", pick(r, []string{"..", ". ", ".\\", ".\x01"}), 1)
		}
		if strings.HasPrefix(key, "lxc.net.0") && r.IntN(2) == 0 {
			key = strings.Replace(key, ".0", fmt.Sprintf(".%d", r.IntN(1000)), 1)
		}
	}
	line := key + pick(r, []string{" = ", "=", " =", "= ", "\t=\t", " ", " == ", "\v=\f"}) + value
	if !changeKey {
		return line
	}
	return mutate(r, line)
}

// mutate changes a line so that LXC reads it but another parser may miss it.
func mutate(r *rand.Rand, line string) string {
	key, value, found := strings.Cut(line, "=")
	switch r.IntN(24) {
	case 0:
		return "# no harm\r" + line
	case 1:
		return "x\r" + line
	case 2:
		return "lxc.tty.max = 4\r" + line
	case 3:
		return "# x\x00\n" + line
	case 4:
		return "# x\v" + line
	case 5:
		return "# x\f" + line
	case 6:
		return "# continued \\\n" + line
	case 7:
		return pick(r, []string{" ", "\t", "\v", "\f", "\u00a0", "\ufeff", "\r", "\x1a", "\x7f"}) + line
	case 8:
		return line + pick(r, []string{" ", "\t", "\v", "\r", "\\", " # comment", "\x00", "\x1b[2J"})
	case 9:
		if found {
			return key + "= \"" + strings.TrimSpace(value) + "\""
		}
	case 10:
		if found {
			return key + "='" + strings.TrimSpace(value) + "'"
		}
	case 11:
		if found {
			return key + "=\"" + strings.TrimSpace(value)
		}
	case 12:
		return changeByte(r, line)
	case 13:
		return "lxc.include = \\\n" + line
	case 14:
		return strings.Repeat(" ", 5000) + line
	case 15:
		return "\u2028" + line
	}
	return line
}

// changeByte replaces, adds or removes one byte.
func changeByte(r *rand.Rand, line string) string {
	at := r.IntN(len(line) + 1)
	b := pick(r, []string{"\r", "\x00", "\v", "\f", "\t", " ", "=", "\"", "'", "\\", "/", ".", "#", "\x01", "\x7f", "\xff", "0", "a", "\u0085", "%", "$", ";", "\n"})
	switch end := min(at+1, len(line)); r.IntN(3) {
	case 0:
		return line[:at] + b + line[at:]
	case 1:
		return line[:at] + b + line[end:]
	default:
		return line[:at] + line[end:]
	}
}
