package lxc

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNamespaceOf(t *testing.T) {
	const all, user, root = "         0          0 4294967295\n", "         0     100000      65536\n     65536       1000          1\n", "         0     100000      65536\n     65536          0          1\n"
	for _, c := range []struct {
		what       string
		self, init []byte
		want       Namespace
	}{
		{"no user namespaces in the kernel", nil, nil, HostNamespace},
		{"host", []byte(all), []byte(all), HostNamespace},
		{"host, process 1 hidden", []byte(all), nil, HostNamespace},
		{"an ordinary user's", []byte(user), []byte(all), UserNamespace},
		{"an ordinary user's, process 1 hidden", []byte(user), nil, UserNamespace},
		{"root with lxc.idmap", []byte(root), []byte(all), RootNamespace},
		{"root alone mapped to itself", []byte("0 0 1\n"), []byte(all), RootNamespace},
		{"the machine is a container", []byte("0 100000 65536\n"), []byte("0 100000 65536\n"), RootNamespace},
		{"nested below the machine's own", []byte("0 1000 1\n"), []byte("0 100000 65536\n"), UserNamespace},
		{"nothing mapped yet", []byte(""), []byte(all), UserNamespace},
	} {
		if got := NamespaceOf(c.self, c.init); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

func TestRelevant(t *testing.T) {
	for _, c := range []struct {
		files string
		mode  Mode
		want  string // the file's name is its content
	}{
		{"", System, ""},
		{"config", System, "config"},
		{"config config.7", System, "config.7"},
		{"config config.4 config.6 config.8", System, "config"},
		{"config config-user", System, "config"},
		{"config config-user", User, "config-user"},
		{"config config-user config.7", User, "config-user"},
		{"config config-user config-user.7", User, "config-user.7"},
		{"config config-user.7", User, "config"},
		{"config-system config-user", System, "config-system"},
		{"config.7", User, "config.7"},
		{"config-user", System, ""},
	} {
		m := Meta{}
		for _, f := range strings.Fields(c.files) {
			m[f] = []byte(f)
		}
		got, ok := m.Relevant("config", c.mode)
		if string(got) != c.want || ok != (c.want != "") {
			t.Errorf("%q, mode %s: %q, %v; want %q", c.files, c.mode, got, ok, c.want)
		}
	}
	if _, ok := (Meta{"expiry.7": {}, "expiry": []byte("1")}).Relevant("expiry", System); !ok {
		t.Error("an empty file exists all the same")
	}
}

func TestRelevantEmptyLevelFileOverrides(t *testing.T) {
	m := Meta{"excludes": []byte("a"), "excludes.7": nil}
	if got, ok := m.Relevant("excludes", System); !ok || len(got) != 0 {
		t.Errorf("%q, %v: an empty excludes.7 overrides excludes", got, ok)
	}
}

func TestLines(t *testing.T) {
	got := Lines([]byte("\n ./dev/* \n\t/etc/hosts\n\n./a b\nlast"))
	if strings.Join(got, "|") != "./dev/*|/etc/hosts|./a b|last" {
		t.Errorf("%q", got)
	}
}

func TestExpiry(t *testing.T) {
	if got, ok := Expiry([]byte("1700000000\n")); !ok || !got.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("%v, %v", got, ok)
	}
	for _, bad := range []string{"", "soon", "1e9", "12 13", "99999999999999999999"} {
		if _, ok := Expiry([]byte(bad)); ok {
			t.Errorf("%q is a time", bad)
		}
	}
}

var web = Container{Name: "web", Path: "/var/lib/lxc/web", Rootfs: "/var/lib/lxc/web/rootfs", TemplateConfig: "/usr/share/lxc/config", HookDir: "/usr/share/lxc/hooks"}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		c        Container
		in, want string
	}{
		{web, "LXC_NAME\n127.0.1.1 LXC_NAME LXC_NAMES\n", "web\n127.0.1.1 web webS\n"},
		{web, "LXC_PATH LXC_ROOTFS LXC_TEMPLATE_CONFIG LXC_HOOK_DIR LXC_OTHER", "/var/lib/lxc/web /var/lib/lxc/web/rootfs /usr/share/lxc/config /usr/share/lxc/hooks LXC_OTHER"},
		{web, "LXC_NAMELXC_PATH", "web/var/lib/lxc/web"},
		{Container{Name: `a&b#c\1`}, "<LXC_NAME>", `<a&b#c\1>`},
		{Container{Name: "LXC_PATH", Path: "LXC_NAME"}, "LXC_NAME LXC_PATH", "LXC_PATH LXC_NAME"},
	} {
		if got := string(c.c.Expand([]byte(c.in))); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// What the stock template (LXC 5.0.2, GNU sed 4.9) makes of the same input.
func TestConfig(t *testing.T) {
	for _, c := range []struct {
		what          string
		before, image string
		fstab         bool
		want          string
	}{
		{"as lxc-create writes it",
			"lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\n\n# a comment\nlxc.apparmor.profile = generated\nlxc.rootfs.path = dir:/var/lib/lxc/web/rootfs\n",
			"lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n", true,
			"\n# a comment\n\n# Distribution configuration\nlxc.include = /usr/share/lxc/config/common.conf\nlxc.arch = x86_64\n\n# Container specific configuration\n" +
				"lxc.apparmor.profile = generated\nlxc.rootfs.path = dir:/var/lib/lxc/web/rootfs\nlxc.mount.fstab = /var/lib/lxc/web/fstab\nlxc.uts.name = web\n\n# Network configuration\n" +
				"lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\n"},
		{"comments move too, and so does a second network",
			"# see lxc.container.conf\n#lxc.net.0 off\nlxc.net.1.type = veth\nlxcXnetY0 z\nlxc\nmylxcx\n",
			"c\n", false,
			"lxc\n\n# Distribution configuration\nc\n\n# Container specific configuration\n# see lxc.container.conf\nlxc.net.1.type = veth\nmylxcx\nlxc.uts.name = web\n\n# Network configuration\n#lxc.net.0 off\nlxcXnetY0 z\n"},
		{"nothing before", "", "c\n", false, "\n# Distribution configuration\nc\n\n# Container specific configuration\nlxc.uts.name = web\n\n# Network configuration\n"},
		{"no newline at the end of the top", "# x", "c", false, "# x\n# Distribution configuration\nc\n# Container specific configuration\nlxc.uts.name = web\n\n# Network configuration\n"},
		{"no newline at the end of a key", "# x\nlxc.a = b", "c\n", false, "# x\n\n# Distribution configuration\nc\n\n# Container specific configuration\nlxc.a = blxc.uts.name = web\n\n# Network configuration\n"},
	} {
		if got := string(web.Config([]byte(c.before), []byte(c.image), c.fstab)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.what, got, c.want)
		}
	}
}

func TestNoHangup(t *testing.T) {
	got := string(NoHangup([]byte("exec /sbin/mingetty $TTY mingetty\n# none\nmingetty")))
	if got != "exec /sbin/mingetty --nohangup $TTY mingetty\n# none\nmingetty --nohangup" {
		t.Errorf("%q", got)
	}
}

func TestCheckConfigAccepts(t *testing.T) {
	config := `# lxc.rootfs.path = /
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = "/usr/share/lxc/config/userns.conf"
  lxc.arch = x86_64
lxc.tty.max = 4
lxc.cap.drop = sys_module
lxc.cap.drop =
lxc.cgroup.devices.allow = c 1:3 rwm
lxc.hook.version = 1
lxc.hook.clone = /usr/share/lxc/hooks/clonehostname
lxc.hook.mount = /usr/share/lxc/hooks/lxcfs -x a=b
lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed
lxc.mount.entry = tmpfs tmp tmpfs nodev,nosuid 0 0
lxc.mount.entry = /sys/kernel/debug sys/kernel/debug none bind,optional 0 0
lxc.mount.entry = mqueue dev/mqueue mqueue rw,create=dir,optional 0 0
lxc.mount.entry = tmpfs /var/lib/lxc/web/rootfs/run tmpfs rw 0 0
lxc.mount.fstab = /var/lib/lxc/web/fstab
lxc.proc.oom_score_adj = 10
lxc.cgroup2.memory.high = 1G
lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp
lxc.sysctl.net.ipv4.ip_forward = 1
lxc.environment = TERM=linux
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.flags = up
lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx
lxc.net.0.ipv4.address = 10.0.3.7/24
lxc.net.1.type = empty
lxc.tty.dir = lxc
lxc.tty.dir =
lxc.devttydir = lxc
lxc.autodev = 1
lxc.environment = PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
lxc.environment.runtime = A=B
lxc.cgroup2.cgroup.max.depth = 4
lxc.cgroup.relative = 1
lxc.log.level = 1
lxc.mount.entry = cgroup sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0
lxc.console.path = none
lxc.console = none
lxc.console.buffer.size = 100KB
lxc.console.rotate = 1
lxc.autodev.tmpfs.size = 500000
lxc.seccomp.allow_nesting = 1
lxc.hook.pre-start =
rootfs = /etc
`
	got, err := web.CheckConfig([]byte(config), false)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Creates || got.NoDev != "" || strings.Join(got.Arch, " ") != "x86_64" || strings.Join(got.Includes, " ") != "/usr/share/lxc/config/common.conf /usr/share/lxc/config/userns.conf" {
		t.Errorf("%+v", got)
	}
}

func TestCheckConfigRefuses(t *testing.T) {
	for _, line := range []string{
		"lxc.hook.pre-start = /bin/sh -c id",
		"lxc.hook.pre-start=/usr/share/lxc/hooks/../../../../bin/sh",
		"lxc.hook.start-host = /usr/share/lxc/hooks/x; id",
		"lxc.hook.start-host = /usr/share/lxc/hooks/x `id`",
		"lxc.hook.start-host = /usr/share/lxc/hooks/x\t$(id)",
		"lxc.hook.post-stop = /usr/share/lxc/hooksx/y",
		"lxc.hook.post-stop = /usr/share/lxc/hooks",
		" \tlxc.hook.post-stop\t=\t\"/bin/id\"",
		"lxc.hook.mount = LXC_HOOK_DIR/x",
		"lxc.net.0.script.up = /var/lib/lxc/web/rootfs/x",
		"lxc.network.script.up = /bin/id",
		"lxc.net.0.type = phys",
		"lxc.net.3.type = none",
		"lxc.network.type = none",
		"lxc.include = /var/lib/lxc/web/rootfs/etc/x.conf",
		"lxc.include = /usr/share/lxc/config/../../../../etc/x",
		"lxc.include = /usr/share/lxc/config",
		"lxc.include = common.conf",
		"lxc.rootfs.path = dir:/",
		"lxc.rootfs = /",
		"lxc.rootfs.mount = /mnt",
		"lxc.idmap = u 0 0 4294967295",
		"lxc.id_map = u 0 0 4294967295",
		"lxc.idmapx = u 0 0 4294967295",
		"lxc.namespace.share.net = 1",
		"lxc.namespace.keep = net",
		"lxc.log.file = /etc/passwd",
		"lxc.logfile = /etc/passwd",
		"lxc.console.logfile = /etc/passwd",
		"lxc.console.path = /dev/tty1",
		"lxc.console = /dev/tty1",
		"lxc.mount = /etc/fstab",
		"lxc.mount.fstab = /etc/fstab",
		"lxc.mount.entry = / mnt none bind 0 0",
		"lxc.mount.entry = /etc mnt tmpfs bind 0 0",
		"lxc.mount.entry = /proc proc proc rbind 0 0",
		"lxc.mount.entry = /dev/sda1 mnt ext4 defaults 0 0",
		"lxc.mount.entry = x mnt tmpf\\163 x 0 0",
		"lxc.mount.entry = overlay mnt overlay lowerdir=/ 0 0",
		"lxc.mount.entry = x mnt",
		"lxc.seccomp.profile = /etc/shadow",
		"lxc.seccomp.notify.proxy = unix:/run/x",
		"lxc.sysctl.kernel.core_pattern = |/x",
		"lxc.sysctl.net..kernel.core_pattern = |/x",
		"lxc.sysctl.net./../kernel/core_pattern = |/x",
		"lxc.environment = SECRET",
		"lxc.proc.root.etc.x = y",
		"lxc.proc.root/etc = y",
		"lxc.mount.auto = shmounts:/:/mnt",
		"lxc.mount.auto = proc:mixed shmounts:/",
		"lxc.mount.entry = tmpfs ../../../etc/x tmpfs create=dir",
		"lxc.mount.entry = tmpfs ../../../etc/x tmpfs defaults",
		"lxc.mount.entry = tmpfs /var/lib/lxc/web/rootfs/../x tmpfs defaults",
		"lxc.mount.entry = tmpfs link/x tmpfs create=dir",
		"lxc.mount.entry = tmpfs dev/../link/x tmpfs create=dir",
		"lxc.mount.entry = tmpfs de\\166/x tmpfs create=dir",
		"lxc.cgroup2.../x = y",
		"lxc.cgroup.devices/../x = y",
		"lxc.environment.runtime = SECRET",
		"lxc.console.buffer.logfile = /etc/x",
		"lxc.arch = x86_64\x00",
		"lxc.hook.clone = /usr/share/lxc/hooks/ubuntu-cloud-prep --userdata=/etc/shadow",
		"lxc.hook.clone = /usr/share/lxc/hooks/ubuntu-cloud-prep -u ../x",
		"lxc.net.0.script.down = /usr/share/lxc/hooks/x /etc/x",
		"lxc.net.1.type = macvlan",
		"lxc.net.1.type = vlan",
		"lxc.net.1.type = ipvlan",
		"lxc.net.1.link = eth0",
		"lxc.network.link = br-lan",
		"lxc.net.1.veth.pair = tun0",
		"lxc.network.veth.pair = tun0",
		"lxc.net.1.veth.mode = router",
		"lxc.net.1.veth.ipv4.route = 8.8.8.8/32",
		"lxc.net.1.veth.ipv6.route = 2001:db8::/32",
		"lxc.net.1.veth.vlan.id = 7",
		"lxc.net.1.l2proxy = 1",
		"lxc.net.1.macvlan.mode = bridge",
		"lxc.net.1.unknown = 1",
		"lxc.tty.dir = ../../../../../../etc/x",
		"lxc.tty.dir = ..",
		"lxc.tty.dir = /etc",
		"lxc.devttydir = ../../x",
		"lxc.pivotdir = ../../x",
		"lxc.environment = LD_PRELOAD=/var/lib/lxc/web/rootfs/x.so",
		"lxc.environment = 'LD_LIBRARY_PATH=/x'",
		"lxc.environment = PATH=/var/lib/lxc/web/rootfs/bin:/bin",
		"lxc.environment = PATH=",
		"lxc.environment = BASH_ENV=/x",
		"lxc.environment = BASH_FUNC_cat%%=() { id; }",
		"lxc.environment = ENV=/x",
		"lxc.environment = LXC_CONFIG_FILE=/x",
		"lxc.environment = GCONV_PATH=/x",
		"lxc.environment.hooks = A=B",
		"lxc.apparmor.raw = } profile x /usr/sbin/sshd {",
		"lxc.cgroup.dir = system.slice/x",
		"lxc.cgroup.dir.container = x",
		"lxc.cgroup.dir.monitor.pivot = x",
		"lxc.cgroup2.cgroup.procs = 1",
		"lxc.cgroup2.cgroup.threads = 1",
		"lxc.cgroup.tasks = 1",
		"lxc.cgroup.release_agent = /x",
		"lxc.log.file = none",
		"lxc.console.logfile = auto",
		"lxc.console.x = /etc/x",
		"lxc.consolex = /etc/x",
		"lxc.console.size = /etc/x",
		"lxc.seccomp.allow_nesting = /etc/shadow",
		"lxc.mount.entry = /etc mnt tmpfs bindx 0 0",
		"lxc.mount.entry = /etc mnt tmpfs rbindx,ro 0 0",
		"lxc.mount.entry = cgroup mnt cgroup rw,release_agent=/x 0 0",
		"lxc.mount.entry = /etc mnt\vnone\vbind tmpfs defaults 0 0",
		"lxc.mount.entry = tmpfs mnt tmpfs rw\r 0 0",
		"lxc.mount.entry = tmpfs " + strings.Repeat("x", 4096) + " tmpfs rw 0 0",
	} {
		if _, err := web.CheckConfig([]byte("lxc.arch = x86_64\n"+line+"\n"), false); err == nil {
			t.Errorf("accepted: %q", line)
		} else if host := (*HostConfigError)(nil); errors.As(err, &host) && host.Line != line {
			t.Errorf("the error shows %q for %q", host.Line, line)
		}
		if _, err := web.CheckConfig([]byte(line), true); err != nil && !strings.Contains(line, "\x00") {
			t.Errorf("refused although the user allows it: %q: %v", line, err)
		}
	}
}

func TestCheckConfigLoosens(t *testing.T) {
	for line, want := range map[string]bool{
		"lxc.cap.drop =": true, "lxc.cap.drop = sys_module": false, "lxc.cap.keep = chown sys_rawio": true, "lxc.cap.keep = chown": false,
		"lxc.apparmor.profile = unconfined": true, "lxc.apparmor.profile = generated": false, "lxc.aa_profile=\"unconfined\"": true,
		"lxc.seccomp.profile =": true, "lxc.cgroup.devices.allow = a": true, "lxc.cgroup2.devices.allow = b 8:0 rwm": true, "lxc.cgroup2.devices.allow = c 10:200 rwm": false,
		"lxc.mount.auto = proc:mixed sys:rw": true, "lxc.mount.auto = cgroup-full:mixed": true, "lxc.mount.auto = proc:mixed sys:ro cgroup:mixed": false,
	} {
		got, err := web.CheckConfig([]byte(line), false)
		if err != nil || len(got.Loosens) > 0 != want || want && got.Loosens[0] != line {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

// A mount that LXC makes a folder for, and a dev of the image's own.
func TestCheckConfigNoDev(t *testing.T) {
	for line, want := range map[string]string{
		"lxc.autodev = 0": "lxc.autodev = 0", "lxc.autodev=00": "lxc.autodev=00", "lxc.autodevx = 0": "lxc.autodevx = 0", "lxc.autodev = 1": "", "lxc.autodev =": "",
	} {
		if got, err := web.CheckConfig([]byte(line), false); err != nil || got.NoDev != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

func TestCheckFstab(t *testing.T) {
	if _, err := web.CheckFstab([]byte("# see fstab(5)\n\ntmpfs tmp tmpfs defaults 0 0\r\nproc proc proc nodev\n\tsysfs sys sysfs ro 0 0")); err != nil {
		t.Error(err)
	}
	for _, line := range []string{
		"/home home none bind 0 0", "/home home auto rw,bind 0 0", "/dev/sda1 mnt ext4 defaults 0 0", "/proc/1/root mnt none rbind 0 0",
		"a b", "/sys/kernel/debug/../../../etc x none bind 0 0", "x y devtmpfs", "\tlxc x none bind", "tmpfs tmp tmpfs \x00bind",
	} {
		if _, err := web.CheckFstab([]byte("tmpfs tmp tmpfs defaults 0 0\n" + line + "\n")); err == nil {
			t.Errorf("accepted: %q", line)
		}
	}
}
