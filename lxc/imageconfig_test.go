package lxc

import (
	"errors"
	"strings"
	"testing"
)

// TestCheckConfigAccepts checks lines of real images and of LXC's own config/templates.
func TestCheckConfigAccepts(t *testing.T) {
	config := `# lxc.rootfs.path = /
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
  lxc.arch = x86_64
lxc.tty.max = 4
lxc.tty.max = 0
	lxc.pty.max	=	1024	
lxc.tty.dir = lxc
lxc.tty.dir =
lxc.autodev = 1
lxc.cap.drop = sys_module
lxc.cap.drop = mac_admin mac_override	sys_time sys_module sys_rawio
lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed
lxc.mount.auto = proc:mixed sys:ro
lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none bind,optional 0 0
lxc.mount.entry = /proc/sys/fs/binfmt_misc   proc/sys/fs/binfmt_misc	none bind,optional 0 0
lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0
lxc.mount.entry=run run tmpfs rw,nosuid,nodev,relatime,mode=755
lxc.uts.name = web-1.example
lxc.signal.halt = SIGRTMIN+4
lxc.environment = TERM=linux
lxc.environment = LANG=C.UTF-8
rootfs = /etc
lxc
x lxc.hook.pre-start = /bin/sh
LXC.hook.pre-start = /bin/sh
`
	got, err := inUserNamespace(web).CheckConfig([]byte(config), false)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Creates || got.Writable != nil || got.Missing != nil || got.Foreign != nil || strings.Join(got.Arch, " ") != "x86_64" || len(got.Includes) != 2 {
		t.Errorf("%+v", got)
	}
}

func inUserNamespace(c Container) *Container {
	c.UserNamespace = true
	return &c
}

// The file userns.conf, and mounts that only it has, lift restrictions. They are refused in
// a container without a user namespace, whose root is the host's root.
func TestUserNamespaceLines(t *testing.T) {
	for _, line := range []string{
		"lxc.include = /usr/share/lxc/config/userns.conf",
		"lxc.mount.entry = /proc/sys/fs/binfmt_misc proc/sys/fs/binfmt_misc none bind,optional 0 0",
		"lxc.mount.entry = /sys/firmware/efi/efivars sys/firmware/efi/efivars none bind,optional 0 0",
	} {
		if _, err := inUserNamespace(web).CheckConfig([]byte(line), false); err != nil {
			t.Error(err)
		}
		var refused *HostConfigError
		if _, err := web.CheckConfig([]byte(line), false); !errors.As(err, &refused) {
			t.Errorf("%q: %v; want a refusal", line, err)
		}
		if entry, ok := strings.CutPrefix(line, "lxc.mount.entry = "); ok {
			if _, err := web.CheckFstab([]byte(entry), false); !errors.As(err, &refused) {
				t.Errorf("fstab %q: %v; want a refusal", entry, err)
			}
		}
	}
	const debug = "/sys/kernel/debug sys/kernel/debug none bind,optional 0 0"
	config, err := web.CheckConfig([]byte("lxc.mount.entry = "+debug), false)
	fstab, err2 := web.CheckFstab([]byte(debug), false)
	if err != nil || err2 != nil || len(config.Writable) != 1 || len(fstab.Writable) != 1 {
		t.Errorf("%q, %v; %q, %v; want /sys/kernel/debug noted in both", config.Writable, err, fstab.Writable, err2)
	}
}

// Lines that an image may not have, although LXC would accept them.
func foreignLines() []string {
	return []string{
		// Hooks, scripts and their version, in any directory.
		"lxc.hook.pre-start = /bin/sh -c id", " \tlxc.hook.post-stop\t=\t\"/bin/id\"", "lxc.hook.mount = /usr/share/lxc/hooks/dhclient-script",
		"lxc.hook.clone = /usr/share/lxc/hooks/clonehostname", "lxc.hook.version = 1", "lxc.hook.pre-start =", "lxc.hook =", "lxc.net.0.script.up = /usr/share/lxc/hooks/x",
		// Includes.
		"lxc.include = /var/lib/lxc/web/rootfs/etc/x.conf", "lxc.include = /usr/share/lxc/config/../../../../etc/x", "lxc.include = /usr/share/lxc/config", "lxc.include = /usr/share/lxc/config/",
		"lxc.include = /usr/share/lxc/config/nesting.conf", "lxc.include = /usr/share/lxc/config/oci.common.conf", "lxc.include = /usr/share/lxc/config/common.conf.d/", "lxc.include = common.conf",
		"lxc.include = \"/usr/share/lxc/config/common.conf\"", "lxc.include = /usr/share/lxc/config//common.conf", "lxc.include = /usr/share/lxc/config/x/debian.common.conf",
		"lxc.include = /usr/share/lxc/config/debian.common.conf.x", "lxc.include = /usr/share/lxc/config/.common.conf", "lxc.include = /usr/share/lxc/config/debian ubuntu.common.conf", "lxc.include =",
		// The host's DISTRO.common.conf: two of these allow all devices under cgroup2, one sets a clone hook.
		"lxc.include=/usr/share/lxc/config/debian.common.conf", "lxc.include = /usr/share/lxc/config/openwrt.common.conf", "lxc.include = /usr/share/lxc/config/ubuntu-cloud.common.conf",
		"lxc.include = /usr/share/lxc/config/ubuntu.userns.conf", "lxc.include = /usr/share/lxc/config/common", "lxc.include = /usr/share/lxc/config/xcommon.conf",
		"lxc.mount.auto = cgroup", "lxc.mount.auto = proc:mixed cgroup",
		// The root file system, owners, namespaces, files of the host.
		"lxc.rootfs.path = dir:/", "lxc.rootfs.mount = /mnt", "lxc.rootfs.managed = 0", "lxc.idmap = u 0 0 4294967295", "lxc.idmap =", "lxc.namespace.share.net = 1", "lxc.namespace.keep = net", "lxc.log.file = /etc/x",
		"lxc.log.level = 1", "lxc.console.logfile = /etc/x", "lxc.console.path = none", "lxc.console.size = 1", "lxc.mount.fstab = /etc/fstab", "lxc.mount.fstab = /var/lib/lxc/web/fstab",
		"lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp", "lxc.seccomp.profile =", "lxc.seccomp.notify.proxy = unix:/run/x", "lxc.proc.oom_score_adj = 10", "lxc.sysctl.net.ipv4.ip_forward = 1",
		// Networks.
		"lxc.net.0.type = veth", "lxc.net.1.type = empty", "lxc.net.1.link = lxcbr0", "lxc.net =", "lxc.net.0 =",
		// Keys that lift restrictions.
		"lxc.cap.drop =", "lxc.cap.drop = none", "lxc.cap.drop = 16", "lxc.cap.drop = sys_module 17", "lxc.cap.drop = SYS_MODULE", "lxc.cap.drop = \"sys_module\"", "lxc.cap.keep = chown", "lxc.cap.keep = 16 17 21 25", "lxc.cap.keep =",
		"lxc.cgroup.devices.allow = c 10:200 rwm", "lxc.cgroup2.devices.allow = a", "lxc.cgroup2.devices.allow = c *:* rwm", "lxc.cgroup.devices.deny =", "lxc.cgroup2.memory.high = 1G", "lxc.cgroup.dir = x", "lxc.cgroup2.cgroup.procs = 1",
		"lxc.keyring.session = 0", "lxc.apparmor.profile = unconfined", "lxc.apparmor.profile = lxc-container-default-with-mounting", "lxc.apparmor.raw = x", "lxc.apparmor.allow_nesting = 1", "lxc.apparmor.allow_incomplete = 1",
		"lxc.selinux.context = system_u:system_r:spc_t:s0", "lxc.selinux.context.keyring = x", "lxc.no_new_privs = 0", "lxc.prlimit.nofile = 1", "lxc.sched.core = 0",
		"lxc.start.auto = 1", "lxc.start.delay = 1", "lxc.group = onboot", "lxc.ephemeral = 1", "lxc.monitor.unshare = 1", "lxc.monitor.signal.pdeath = SIGKILL", "lxc.execute.cmd = /x", "lxc.init.cmd = /x", "lxc.init.uid = 0",
		"lxc.time.offset.boot = 1d",
		// Other values of allowed keys.
		"lxc.mount.auto =", "lxc.mount.auto = proc:rw", "lxc.mount.auto = proc:mixed sys:rw", "lxc.mount.auto = cgroup-full:mixed", "lxc.mount.auto = cgroup:rw", "lxc.mount.auto = shmounts:/:/mnt", "lxc.mount.auto = proc:mixed shmounts:/",
		"lxc.tty.max = 65", "lxc.tty.max = +4", "lxc.tty.max =", "lxc.pty.max = 4097", "lxc.tty.dir = ../../x", "lxc.tty.dir = .", "lxc.tty.dir = LXC",
		"lxc.autodev = 0", "lxc.autodev =", "lxc.autodev = 01", "lxc.autodev.tmpfs.size = 1", "lxc.uts.name = a b", "lxc.uts.name =", "lxc.arch = x86_64 x", "lxc.arch =", "lxc.arch = ../x",
		"lxc.signal.halt = SIGSTOP", "lxc.signal.halt = SIGTERM SIGKILL", "lxc.signal.halt =",
		"lxc.environment = SECRET", "lxc.environment = A=B", "lxc.environment = PATH=/bin", "lxc.environment = LD_PRELOAD=x.so", "lxc.environment = TERM=/x", "lxc.environment = TERM=", "lxc.environment = TERM", "lxc.environment = LANG=$(id)",
		"lxc.environment = IF_METRIC=a[$(id>x)]", "lxc.environment = 'TERM=linux'", "lxc.environment = LANG LC_ALL=x", "lxc.environment =", "lxc.environment = LANG=" + strings.Repeat("x", 65),
		"lxc.environment.runtime = TERM=linux", "lxc.environment.hooks = TERM=linux",
		// Mounts: only the stock lines are allowed.
		"lxc.mount.entry = / mnt none bind 0 0", "lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none bind 0 0", "lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none rbind,optional 0 0",
		"lxc.mount.entry = /sys/kernel/debug mnt none bind,optional 0 0", "lxc.mount.entry = tmpfs mnt tmpfs rw 0 0", "lxc.mount.entry = tmpfs /devLXC_ROOTFS/link/x tmpfs create=dir,optional 0 0",
		"lxc.mount.entry = proc dev/p proc create=dir 0 0", "lxc.mount.entry = proc proc proc nodev,noexec,nosuid 0 0", "lxc.mount.entry = sysfs sys sysfs defaults 0 0", "lxc.mount.entry = /dev/null dev/null none bind,create=file 0 0",
		"lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 1", "lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0 0",
		"lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional,bind 0 0", "lxc.mount.entry = mqueue dev/../mnt mqueue rw,relatime,create=dir,optional 0 0", "lxc.mount.entry = x", "lxc.mount.entry =",
		"lxc.mount.entry = /sys/kernel/debug /sys/kernel/security none bind,optional 0 0", "lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional;mqueue 0 0",
	}
}

func TestCheckConfigRefuses(t *testing.T) {
	for _, line := range foreignLines() {
		var host *HostConfigError
		text := []byte("lxc.arch = x86_64\n" + line + "\n")
		if _, err := web.CheckConfig(text, false); !errors.As(err, &host) || host.line != line {
			t.Errorf("%q: %v", line, err)
		}
		if got, err := web.CheckConfig(text, true); err != nil || len(got.Foreign) != 1 || got.Foreign[0] != line {
			t.Errorf("%q, which the user allows: %q, %v", line, got.Foreign, err)
		}
	}
	if _, err := new(Container).CheckConfig([]byte("lxc.include = /common.conf"), false); err == nil {
		t.Error("an include is allowed where LXC_TEMPLATE_CONFIG is not known")
	}
}

// Lines that are refused even if the user allows foreign lines: two programs would read
// them differently, or LXC would refuse them and destroy the complete container.
func TestCheckConfigRefusesAlways(t *testing.T) {
	for line, want := range map[string]string{
		"# x\rlxc.hook.pre-start = /usr/bin/touch x": "control character", "lxc.tty.max = 4\r": "control character", "lxc.arch = x86_64\x00": "control character",
		"lxc.tty.dir = \vlxc": "control character", "\flxc.tty.max = 4": "control character", "x\x1b[31m": "control character", "# \x7f": "control character",
		"lxc.tty = 4":                                  "lxc.tty.max",
		"lxc.network.type = empty":                     "lxc.net.0.type",
		"lxc.network.ipv4 = 10.0.3.7/24":               "lxc.net.0.ipv4.address",
		"lxc.utsname = x":                              "lxc.uts.name",
		"lxc.rootfs = /":                               "lxc.rootfs.path",
		"lxc.id_map = u 0 0 1":                         "lxc.idmap",
		"lxc.limit.nofile = 5":                         "lxc.prlimit.nofile",
		"lxc.aa_profile = unconfined":                  "lxc.apparmor.profile",
		"lxc.tty.max = -1":                             "a number is expected",
		"lxc.tty.max = 4 4":                            "a number is expected",
		"lxc.pty.max = 99999999999999999999":           "a number is expected",
		"lxc.start.auto = 2":                           "0 or 1 is expected",
		"lxc.ephemeral = yes":                          "a number is expected",
		"lxc.net.0.type = bridge":                      "veth vlan is expected",
		"lxc.cgroup = 1":                               "can't have a value",
		"lxc.mount.auto = proc:mixed sysfs":            "no such mount",
		"lxc.kmsg = 0":                                 "no such key",
		"lxc.pivotdir = x":                             "no such key",
		"lxc.tty.maximum = 4":                          "knows no such key",
		"lxc.archx = x86_64":                           "knows no such key",
		"lxc.net.x.type = veth":                        "knows no such key",
		"lxc.net.0.typo = veth":                        "knows no such key",
		"lxc.net.type = veth":                          "knows no such key",
		"lxc. = 1":                                     "knows no such key",
		"lxc.arch":                                     "KEY = VALUE",
		"lxc.uts.name = " + strings.Repeat("x", 65):    "64 bytes",
		"lxc.uts.name = \"" + strings.Repeat("x", 65):  "64 bytes",
		"  lxc.hook.pre-start":                         "KEY = VALUE",
		"lxc.cgroupx.y = 1":                            "knows no such key",
		"lxc.environmental = TERM=linux":               "knows no such key",
		"\tlxc.include.x = /usr/share/lxc/config/x":    "knows no such key",
		"lxc.net.0.type.x = veth":                      "knows no such key",
		"lxc.network.veth.pair = x":                    "lxc.net.0.veth.pair",
		"lxc.rootfs.backend = dir":                     "lxc.rootfs.path",
		"lxc.seccomp = /usr/share/lxc/common.seccomp":  "lxc.seccomp.profile",
		"lxc.console = none":                           "lxc.console.path",
		"lxc.mount = /etc/fstab":                       "lxc.mount.fstab",
		"lxc.devttydir =":                              "lxc.tty.dir",
		"lxc.stopsignal=SIGRTMIN+14":                   "lxc.signal.stop",
		"lxc.init_cmd = /x":                            "lxc.init.cmd",
		"lxc.loglevel = 1":                             "lxc.log.level",
		"lxc.se_context = x":                           "lxc.selinux.context",
		"lxc.namespace.share = x":                      "knows no such key",
		"lxc.pts = 1024":                               "lxc.pty.max",
		"lxc.hook.pre-start.x = /bin/sh":               "knows no such key",
		"lxc.mount.entry.x = / mnt none bind,optional": "knows no such key",
	} {
		for _, hostConfig := range []bool{false, true} {
			_, err := web.CheckConfig([]byte("lxc.arch = x86_64\n"+line+"\nlxc.tty.max = 4\n"), hostConfig)
			refused := (*configError)(nil)
			if known := errors.As(err, &refused) && refused.line == line || want == "control character"; err == nil || !known || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, %v: %v; want %q", line, hostConfig, err, want)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	for config, want := range map[string]int{
		"lxc.include = /usr/share/lxc/config/common.conf":                                                      0,
		"lxc.include = /usr/share/lxc/config/debian.common.conf":                                               4, // what it includes is looked up on the host
		"\ufefflxc.include = /usr/share/lxc/config/common.conf\n":                                              4, // for LXC that is no key
		"#lxc.include = /usr/share/lxc/config/common.conf":                                                     4,
		"lxc.include = /usr/share/lxc/config/userns.conf":                                                      4,
		"lxc.cap.drop = mac_admin mac_override sys_time\tsys_module\nlxc.cap.drop = sys_rawio":                 3,
		"lxc.cap.drop = mac_admin mac_override sys_time sys_module":                                            4,
		"lxc.mount.auto = proc sys\nlxc.cap.drop = mac_admin mac_override sys_time sys_module sys_rawio chown": 2,
		"lxc.mount.auto = proc": 4,
	} {
		if got, err := CheckLoads([]byte(config)); err != nil || len(got.Missing) != want {
			t.Errorf("%q: %q, %v; want %d", config, got.Missing, err, want)
		}
	}
}

func TestCheckFstab(t *testing.T) {
	got, err := web.CheckFstab([]byte("# see fstab(5)\n\n \t# x\n# <file system> <mount point> <type> <options> <dump> <pass>\nnone dev/shm tmpfs nosuid,nodev,noexec,mode=1777 0 0\n\tmqueue dev/mqueue mqueue rw,relatime,create=dir,optional"), false)
	if err != nil || !got.Creates || got.Foreign != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, line := range []string{
		"/home home none bind 0 0", "tmpfs tmp tmpfs defaults 0 0", "/dev/sda1 mnt ext4 defaults 0 0", "/proc/1/root mnt none rbind 0 0", "a b", "\tlxc x none bind",
		"proc proc proc nodev 0 0", "sysfs sys sysfs ro 0 0", "mqueue dev/mqueu\\145 mqueue rw,relatime,create=dir,optional 0 0", "x #y",
		"#tmpfs tmp tmpfs defaults 0 0", "# mnt proc rw 0 -1 x", " #proc proc proc rw 00 +0",
	} {
		text := []byte("run run tmpfs rw,nosuid,nodev,relatime,mode=755 0 0\n" + line + "\n")
		var host *HostConfigError
		if _, err := web.CheckFstab(text, false); !errors.As(err, &host) || host.line != line {
			t.Errorf("%q: %v", line, err)
		}
		if got, err := web.CheckFstab(text, true); err != nil || len(got.Foreign) != 1 {
			t.Errorf("%q, which the user allows: %q, %v", line, got.Foreign, err)
		}
	}
	for _, line := range []string{"# x\rtmpfs x tmpfs x", "run\vrun tmpfs rw,nosuid,nodev,relatime,mode=755", "# \x00", "# x\r", "#" + strings.Repeat(" ", 4095) + "/ mnt none bind 0 0"} {
		if _, err := web.CheckFstab([]byte(line), true); err == nil {
			t.Errorf("accepted: %q", line)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"web": true, "a b": true, "é": true, "-x": true, "...": true, `"a`: true, strings.Repeat("x", 64): true,
		"": false, ".": false, "..": false, "a/b": false, "a\nb": false, "a\rb": false, "a\x00": false, " a": false, "a\t": false, `"a"`: false, "''": false, strings.Repeat("x", 65): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestConfigLines(t *testing.T) {
	if got := strings.Join(ConfigLines([]byte("a\r\n\n b \rc\n")), "|"); got != "a| b |c" {
		t.Errorf("%q", got)
	}
	if got := string(TrimCR([]byte("a\r\nb\rc\r\r\n"))); got != "a\nb\rc\r\n" {
		t.Errorf("%q", got)
	}
}

// TestLongLine checks that the error for a line of a megabyte is short.
func TestLongLine(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, config := range []string{"lxc.hook.start = " + long, "lxc." + long + " = 1", "# \r" + long} {
		if _, err := web.CheckConfig([]byte(config), false); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%.20q: %.100v", config, err)
		}
	}
	if _, err := web.CheckFstab([]byte(long[:maxFstabLine+1]), true); err == nil || len(err.Error()) > 1000 {
		t.Errorf("fstab: %.100v", err)
	}
}
