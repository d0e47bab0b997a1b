package main

import "strings"

// stock is the beginning of the config of every image of images.linuxcontainers.org.
var stock = "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = " + lxcArch + "\n"

// touch is a command that a hook or script would run on the host.
func touch(name string) string { return "/usr/bin/touch " + canary + "/" + name }

// fixed returns configs that once reached the host, or removed a protection without a
// warning, and harmless configs that must be accepted. Each run tries all of them.
var fixed = append([]testCase{
	{Name: "stock", Config: stock, Take: true},
	{Name: "stock, with comments and CRLF", Config: "# A comment\n\n" + strings.ReplaceAll(stock, "\n", "\r\n"), Rootfs: 1},
	{Name: "stock, with templates", Config: stock, Templates: "/etc/hostname\n/out/file\n", Rootfs: 1},
	{Name: "a CR hides a hook", Config: stock + "# no harm\rlxc.hook.pre-start = " + touch("cr") + "\n"},
	{Name: "a CR hides a hook in a martian line", Config: stock + "x\rlxc.hook.pre-start = " + touch("cr2") + "\n"},
	{Name: "a CR at the end of a value, and more", Config: stock + "lxc.tty.max = 4\rlxc.hook.pre-mount = " + touch("cr3") + "\r\n"},
	{Name: "a hook behind a NUL", Config: stock + "# \x00\nlxc.hook.pre-start = " + touch("nul") + "\n"},
	{Name: "a hook of LXC with the shell in a variable", Config: stock + `lxc.hook.mount = LXC_HOOK_DIR/dhclient-script
lxc.environment = reason=BOUND
lxc.environment = interface=lo
lxc.environment = new_ip_address=127.0.0.9
lxc.environment = new_routers=127.0.0.1
lxc.environment = IF_METRIC=a[$(id >` + canary + "/shell)]\n"},
	{Name: "a hook of LXC alone", Config: stock + "lxc.hook.pre-start = LXC_HOOK_DIR/dhclient-script\nlxc.environment = reason=BOUND\n"},
	{Name: "create= with the rootfs path inside the target", Config: stock +
		"lxc.mount.entry = tmpfs /devLXC_ROOTFS/out/made tmpfs create=dir,optional 0 0\n" +
		"lxc.mount.entry = tmpfs /dev/LXC_ROOTFS/out/made2 tmpfs create=file,optional 0 0\n", Rootfs: 1},
	{Name: "create= through a proc below dev", Config: stock +
		"lxc.mount.entry = proc dev/p proc create=dir 0 0\n" +
		"lxc.mount.entry = tmpfs dev/p/self/root" + canary + "/made3 tmpfs create=file,optional 0 0\n"},
	{Name: "create= through a link of dev", Config: stock + "lxc.mount.entry = tmpfs dev/out/made4 tmpfs create=dir,optional 0 0\n", Rootfs: 1},
	{Name: "create= in a dev that is a link", Config: stock + "lxc.autodev = 0\nlxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0\n", Rootfs: 2},
	{Name: "stock mqueue in a dev that is a link", Config: stock + "lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0\n", Rootfs: 3},
	{Name: "create= in fstab", Config: stock, Fstab: "tmpfs /dev/LXC_ROOTFS/out/made5 tmpfs create=dir,optional 0 0\n", Rootfs: 1},
	{Name: "a CR in fstab", Config: stock, Fstab: "tmpfs tmp tmpfs defaults 0 0\r/w/canary mnt none bind 0 0\n"},
	{Name: "ephemeral", Config: stock + "lxc.ephemeral = 1\n"},
	{Name: "cap.drop emptied", Config: stock + "lxc.cap.drop =\n", Warn: true},
	{Name: "no common.conf", Config: "lxc.arch = " + lxcArch + "\n", Warn: true},
	{Name: "an empty config", Config: "", Warn: true},
	{Name: "all character devices", Config: stock + "lxc.cgroup2.devices.allow = c *:* rwm\nlxc.cgroup.devices.allow = c *:* rwm\n", Warn: true},
	{Name: "capabilities by number", Config: "lxc.arch = " + lxcArch + "\nlxc.cap.keep = 16 17 21 25\n", Warn: true},
	{Name: "capabilities by number after common.conf", Config: stock + "lxc.cap.drop =\nlxc.cap.keep = 16 17 21 25\n", Warn: true},
	{Name: "the host's session keyring", Config: stock + "lxc.keyring.session = 0\n", Warn: true},
	{Name: "another AppArmor profile", Config: stock + "lxc.apparmor.profile = lxc-container-default-with-mounting\n", Warn: true},
	{Name: "an SELinux domain", Config: stock + "lxc.selinux.context = system_u:system_r:spc_t:s0\n", Warn: true},
	{Name: "nesting.conf", Config: stock + "lxc.include = LXC_TEMPLATE_CONFIG/nesting.conf\n", Warn: true},
	{Name: "userns.conf for the host's root", Config: stock + "lxc.include = LXC_TEMPLATE_CONFIG/userns.conf\n", Warn: true},
	{Name: "binfmt_misc for the host's root", Config: stock + "lxc.mount.entry = /proc/sys/fs/binfmt_misc proc/sys/fs/binfmt_misc none bind,optional 0 0\n", Warn: true},
	{Name: "the host's debugfs", Config: stock + "lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none bind,optional 0 0\n", Warn: true},
	{Name: "starts with the host", Config: stock + "lxc.start.auto = 1\nlxc.group = onboot\n", Warn: true},
	{Name: "no seccomp filter", Config: stock + "lxc.seccomp.profile =\n", Warn: true},
}, append(settings(), ociCases()...)...)

// settings are single lines to put after the stock lines, each of another kind.
func settings() []testCase {
	var cases []testCase
	for _, line := range []string{
		"lxc.log.file = " + canary + "/log",
		"lxc.console.logfile = " + canary + "/console",
		"lxc.console.path = " + canary + "/file",
		"lxc.include = " + canary + "/hostile.conf",
		"lxc.include = LXC_TEMPLATE_CONFIG/../../../.." + canary + "/hostile.conf",
		"lxc.include = LXC_TEMPLATE_CONFIG",
		"lxc.net.1.type = phys\nlxc.net.1.link = canary0",
		"lxc.net.0.type = none",
		"lxc.net.1.type = veth\nlxc.net.1.script.up = " + canary + "/script",
		"lxc.cgroup.dir = canary-@TAG@",
		"lxc.cgroup.dir.payload = canary-@TAG@",
		"lxc.cgroup.dir.container = canary-@TAG@\nlxc.cgroup.dir.monitor = canary-@TAG@-m",
		"lxc.sysctl.kernel.core_pattern = canary",
		"lxc.proc.root.w.canary.file = x",
		"lxc.mount.auto = proc:rw sys:rw cgroup-full:rw",
		"lxc.mount.auto = shmounts:" + canary + "/dir:/mnt",
		"lxc.mount.entry = /w/canary mnt none bind 0 0",
		"lxc.mount.entry = /etc etc none bind,rw 0 0",
		"lxc.mount.entry = /proc/self/root mnt none rbind,optional 0 0",
		"lxc.mount.entry = overlay mnt overlay lowerdir=/etc,upperdir=/w/canary/dir,workdir=/w/canary 0 0",
		"lxc.mount.fstab = " + canary + "/file",
		"lxc.namespace.keep = net ipc",
		"lxc.namespace.share.net = 1",
		"lxc.monitor.unshare = 1",
		"lxc.rootfs.path = dir:/",
		"lxc.rootfs.path = overlayfs:/:" + canary + "/dir",
		"lxc.rootfs.mount = " + canary + "/dir",
		"lxc.rootfs.options = bind",
		"lxc.tty.dir = ../../../.." + canary,
		"lxc.seccomp.profile = " + canary + "/file",
		"lxc.idmap = u 0 0 65536\nlxc.idmap = g 0 0 65536",
		"lxc.init.cmd = /bin/busybox touch " + canary + "/init",
		"lxc.execute.cmd = " + touch("execute"),
		"lxc.uts.name = ../../w/canary/uts",
		"lxc.environment = LD_PRELOAD=" + canary + "/file",
		"lxc.environment = PATH=" + canary,
	} {
		cases = append(cases, testCase{Name: "fixed: " + line, Config: stock + line + "\n", Rootfs: 1})
	}
	for _, hook := range []string{"pre-start", "pre-mount", "mount", "autodev", "start-host", "start", "stop", "post-stop", "clone", "destroy"} {
		cases = append(cases, testCase{Name: "fixed: hook " + hook, Config: stock + "lxc.hook." + hook + " = " + touch(hook) + "\n"})
	}
	return cases
}

// selfCases show that each watch works: each image is really harmful and is accepted with
// --allow-host-config, in a world where it can harm nothing but the world.
var selfCases = []testCase{
	{Name: "nothing at all", Config: stock},
	{Name: "a new file", Notice: inFiles, At: canary + "/x:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '" + touch("x") + "'\n"},
	{Name: "a new file in /etc", Notice: inFiles, At: "/etc/hostile:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/usr/bin/touch /etc/hostile'\n"},
	{Name: "a new file in /", Notice: inFiles, At: "/hostile:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/usr/bin/touch /hostile'\n"},
	{Name: "a new file in /root", Notice: inFiles, At: "/root/hostile:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/usr/bin/touch /root/hostile'\n"},
	{Name: "a new file in /dev", Notice: inFiles, At: "/dev/hostile:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/usr/bin/touch /dev/hostile'\n"},
	{Name: "a new file in /tmp", Notice: inFiles, At: "/tmp/hostile:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/usr/bin/touch /tmp/hostile'\n"},
	{Name: "a new file in /run", Notice: inFiles, At: "/run/hostile:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/usr/bin/touch /run/hostile'\n"},
	{Name: "a new file in the LXC path", Notice: inFiles, At: "/hostile is new", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/usr/bin/touch LXC_PATH/hostile'\n"},
	{Name: "a file gone", Notice: inFiles, At: "/etc/issue:", Config: stock + "lxc.hook.pre-start = /bin/sh -c '/bin/rm /etc/issue'\n"},
	{Name: "a mode", Notice: inFiles, At: canary + "/file:", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'chmod 4755 " + canary + "/file'\n"},
	{Name: "a content", Notice: inFiles, At: canary + "/file:", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'echo x >>" + canary + "/file'\n"},
	{Name: "a time", Notice: inFiles, At: canary + "/dir/file:", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'touch " + canary + "/dir/file'\n"},
	{Name: "a hook after the stop", Notice: inFiles, At: canary + "/post-stop:", Config: stock + "lxc.hook.post-stop = /bin/sh -c '" + touch("post-stop") + "'\n"},
	{Name: "create=", Notice: inFiles, At: canary + "/made:", Config: stock + "lxc.mount.entry = tmpfs /dev/LXC_ROOTFS/out/made tmpfs create=dir,optional 0 0\n", Rootfs: 1},
	{Name: "a log", Notice: inFiles, At: canary + "/console:", Config: stock + "lxc.console.logfile = " + canary + "/console\n"},
	{Name: "the container's config", Notice: inFiles, At: "config has changed", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'echo \"# x\" >>LXC_PATH/config'\n"},
	{Name: "a mount", Notice: inMounts, At: "/mnt ", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'nsenter -t 1 -m mount -t tmpfs hostile /mnt'\n"},
	{Name: "the hostname", Notice: inNames, At: "hostile\\n", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'echo hostile >/proc/sys/kernel/hostname'\n"},
	{Name: "a setting", Notice: inSettings, At: "ip_forward", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'read v </proc/sys/net/ipv4/ip_forward; echo $((! v)) >/proc/sys/net/ipv4/ip_forward'\n"},
	{Name: "a network device", Notice: inNetwork, At: "canary0", Config: stock + "lxc.net.1.type = phys\nlxc.net.1.link = canary0\n"},
	{Name: "a new network device", Notice: inNetwork, At: "hostile0", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'ip link add hostile0 type bridge'\n"},
	{Name: "a network device less", Notice: inNetwork, At: "canary0", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'ip link del canary0'\n"},
	{Name: "a control group", Notice: inGroups, At: "canary-", Config: stock + "lxc.cgroup.dir = canary-@TAG@\n"},
	{Name: "a process", Notice: inProcesses, At: "sleep 77", Config: stock + "lxc.hook.pre-start = /bin/sh -c 'setsid sleep 77 >/dev/null 2>&1 </dev/null &'\n"},
	{Name: "ephemeral", Notice: gone, Config: stock + "lxc.ephemeral = 1\n"},
	{Name: "a bind mount", Notice: reach, At: " /mnt ", Config: stock + "lxc.mount.entry = /etc mnt none bind 0 0\n"},
	{Name: "a bind mount of /proc", Notice: reach, At: " /mnt ", Config: stock + "lxc.mount.entry = /proc mnt none bind 0 0\n"},
	{Name: "the host's IPC", Notice: shared, At: "ipc", Config: stock + "lxc.namespace.keep = user ipc\n"},
	{Name: "no common.conf", Notice: loosened, Config: "lxc.arch = " + lxcArch + "\n"},
	{Name: "no seccomp filter", Notice: loosened, At: "seccomp", Config: stock + "lxc.seccomp.profile =\n"},
	{Name: "all capabilities", Notice: loosened, At: "sys_module", Config: stock + "lxc.cap.drop =\n"},
	{Name: "all devices", Notice: loosened, At: "device", Config: stock + "lxc.cgroup.devices.allow = a\nlxc.cgroup2.devices.allow = a\n"},
	{Name: "userns.conf for the host's root", Config: stock + "lxc.include = LXC_TEMPLATE_CONFIG/userns.conf\n", Warn: true},
	{Name: "binfmt_misc for the host's root", Config: stock + "lxc.mount.entry = /proc/sys/fs/binfmt_misc proc/sys/fs/binfmt_misc none bind,optional 0 0\n", Warn: true},
	{Name: "the host's debugfs", Config: stock + "lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none bind,optional 0 0\n", Warn: true},
	{Name: "starts with the host", Notice: loosened, At: "lxc.start.auto", Config: stock + "lxc.start.auto = 1\n"},
	{Name: "an AppArmor profile", Notice: loosened, At: "unconfined", Config: stock + "lxc.apparmor.profile = unconfined\n"},
	{Name: "a variable in a hook", Notice: inFiles, At: canary + "/hook-saw:", Config: stock + "lxc.hook.mount = /w/hook\nlxc.environment = LD_AUDIT=evil\n"},
	{Name: "a hook that runs the image's program", Notice: inFiles, At: canary + "/by-image:", Config: stock + "lxc.hook.mount = /w/hook\nlxc.environment = PATH=/w/evil\n"},
	{Name: "nothing at all, at the end", Config: stock},
}
