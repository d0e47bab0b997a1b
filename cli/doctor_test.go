package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc/host"
)

// makeMachine writes the files of a machine below a new directory: "path=content", a path with a
// slash at its end for a directory, or "path->target" for a symbolic link. A file in a
// directory "bin" is a program, set-user-ID if its name begins with "new".
func makeMachine(t *testing.T, files string) string {
	top := t.TempDir()
	for line := range strings.Lines(files) {
		name, content, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name == "" {
			continue
		}
		path, target, link := strings.Cut(top+name, "->")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.Contains(name, "/bin/") {
			mode = 0o755
		}
		var err error
		switch {
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(strings.ReplaceAll(content, `\n`, "\n")+"\n"), mode)
		}
		if err == nil && strings.HasPrefix(filepath.Base(name), "new") {
			err = os.Chmod(path, 0o755|os.ModeSetuid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return top
}

// examine returns the output of doctor for a machine and a user.
func examine(t *testing.T, top string, uid int, lxcPath string) string {
	t.Setenv("PATH", top+"/bin:"+top+"/usr/bin")
	t.Setenv("LXC_TEMPLATE_CONFIG", "/usr/share/lxc/config")
	t.Setenv("LXC_CACHE_PATH", "/var/cache/lxc")
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "no_proxy"} {
		t.Setenv(name, "")
		t.Setenv(strings.ToUpper(name), "")
	}
	var out bytes.Buffer
	c := &doctorCall{ui: &ui{out: &out, clock: newUI(os.Stdout, os.Stderr).clock}, offline: true, lxcPath: lxcPath}
	if err := c.checkAll(t.Context(), c.begin(host.Below(top, top+"/home/u", uid == 0), uid)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// kernelFiles are the files of a kernel that has all that LXC needs.
const kernelFiles = `
	/proc/self/ns/mnt=
	/proc/self/ns/pid=
	/proc/self/ns/ipc=
	/proc/self/ns/uts=
	/proc/self/ns/net=
	/proc/self/ns/user=
	/proc/self/status=Name:\tx\nSeccomp:\t0
	/proc/self/cgroup=0::/user.slice
	/proc/self/mounts=cgroup2 /sys/fs/cgroup cgroup2 rw 0 0
	/sys/fs/cgroup/cgroup.controllers=cpu memory pids
	/proc/filesystems=nodev\ttmpfs\nnodev\tdevpts\nnodev\toverlay
	/proc/sys/kernel/osrelease=6.1.0-13-amd64
	/proc/sys/user/max_user_namespaces=1000
`

// debianFiles are the files of a Debian host with LXC.
const debianFiles = kernelFiles + `
	/usr/bin/lxc-start=
	/usr/bin/apt-get=
	/usr/bin/newuidmap=
	/usr/bin/newgidmap=
	/var/lib/dpkg/status=Package: lxc-x\nStatus: install ok installed\nVersion: 9\n\nPackage: lxc\nStatus: install ok installed\nVersion: 1:6.0.4-4\n
	/usr/share/lxc/config/common.conf=
	/usr/share/lxc/config/userns.conf=
	/usr/share/lxc/templates/lxc-busybox=
	/etc/passwd=root:x:0:0::/:/bin/sh\nu:x:1000:1000::/:/bin/sh
	/etc/lxc/default.conf=lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0
	/run/systemd/system/
	/lib/systemd/system/lxc-net.service=
	/sys/class/net/lo/
	/var/lib/lxc/
	/var/cache/lxc/
`

// TestDoctorMachines examines machines of several kinds. want has lines that the output must
// have, and after "!" what it must not have.
func TestDoctorMachines(t *testing.T) {
	for _, test := range []struct {
		name, files string
		uid         int
		want        string
	}{
		{"Debian, root", debianFiles, 0, `
			ok    user namespaces: not needed: root's containers run without one
			ok    default config: no lxc.idmap: root's containers have the host's user ids
			fail  bridge: the interface lxcbr0 of the default config does not exist
			      systemctl enable --now lxc-net
			/usr/bin/lxc-start, 6.0.4-4
			warn  template: lxc-create -t pull does not find this program
			ok    LXC's configs: in /usr/share/lxc/config
			ok    LXC path: /var/lib/lxc
			ok    kernel: 6.1.0-13-amd64
			ok    control groups: version 2, with memory and pids
			ok    namespaces: mnt, pid, ipc, uts, net
			ok    file systems: tmpfs, devpts, overlay
			ok    seccomp: in this kernel
			!subordinate
			!sysctl
			!usernet
			!Android
			!As root`},
		{"Debian, root, with a map", debianFiles + `
			/etc/lxc/default.conf=lxc.idmap = b 0 100000 65536\nlxc.net.0.type = empty
			/etc/subuid=u:100000:65536\nroot:100000:65536`, 0, `
			ok    user namespaces: allowed
			ok    default config: maps to users 100000-165535 groups 100000-165535
			fail  subordinate ids: root has not lent root the ids of groups 100000-165535
			      echo root:100000:65536 >>/etc/subgid
			ok    bridge: empty`},
		{"Debian, a user without ids", debianFiles + `
			/etc/subuid=v:100000:65536
			/etc/subgid=v:100000:65536
			/proc/sys/kernel/unprivileged_userns_clone=0`, 1000, `
			fail  user namespaces: kernel.unprivileged_userns_clone is 0
			      As root: echo kernel.unprivileged_userns_clone=1 >>/etc/sysctl.d/90-lxc.conf && sysctl -p /etc/sysctl.d/90-lxc.conf
			fail  default config: no lxc.idmap in TOP/home/u/.config/lxc/default.conf
			        lxc.idmap = u 0 165536 65536
			        lxc.idmap = g 0 165536 65536
			fail  subordinate ids: root has not lent u the ids of users 165536-231071 groups 165536-231071
			      As root: echo u:165536:65536 >>/etc/subuid && echo u:165536:65536 >>/etc/subgid
			      As root: systemctl enable --now lxc-net
			fail  lxc-usernet: u may not attach containers to lxcbr0
			      As root: echo u veth lxcbr0 10 >>/etc/lxc/lxc-usernet
			warn  control groups: no systemd user session, which an ordinary user's containers need
			      As root: loginctl enable-linger u`},
		{"Debian, a user with all", debianFiles + `
			/run/user/1000/systemd/
			/etc/subuid=u:200000:65536
			/etc/subgid=1000:300000:65536
			/home/u/.config/lxc/default.conf=lxc.idmap = u 0 200000 65536\nlxc.idmap = g 0 300000 65536\nlxc.net.0.type = veth\nlxc.net.0.link = lxcbr0
			/etc/lxc/lxc-usernet=# USER TYPE BRIDGE COUNT\nu veth lxcbr0 10
			/sys/class/net/lxcbr0/`, 1000, `
			ok    user namespaces: allowed
			ok    default config: maps to users 200000-265535 groups 300000-365535
			ok    subordinate ids: u has them
			ok    bridge: lxcbr0
			ok    lxc-usernet: u may attach containers to lxcbr0
			warn  control groups: you may not change the group of this shell
			      Start containers so: systemd-run --user`},
		{"lines of lxc-usernet without a permission", debianFiles + `
			/etc/lxc/lxc-usernet=# u veth lxcbr0 10\n#u veth lxcbr0 10\nu veth lxcbr0 0\n u veth lxcbr0 1\nu veth lxcbr0\nu veth lxcbr0 -1\n@g macvlan lxcbr0 1\nv veth lxcbr0 3\n# @g veth lxcbr0 10`, 1000, `
			fail  lxc-usernet: u may not attach containers to lxcbr0`},
		{"a group of lxc-usernet", debianFiles + `
			/etc/lxc/lxc-usernet=@g veth lxcbr0 10`, 1000, `
			ok    lxc-usernet: a group of users may attach containers to lxcbr0`},
		{"AppArmor, a group, a wrong map", debianFiles + `
			/proc/sys/kernel/apparmor_restrict_unprivileged_userns=1
			/home/u/.config/lxc/default.conf=lxc.idmap = u 0 200000\nlxc.net.0.type = veth\nlxc.net.0.link = br-x y
			/etc/lxc/lxc-usernet=@lxc veth lxcbr0 10
			/proc/self/cgroup=0::/../../x`, 1000, `
			fail  user namespaces: AppArmor forbids them
			fail  default config: "lxc.idmap = u 0 200000": want TYPE INSIDE OUTSIDE COUNT
			      Correct TOP/home/u/.config/lxc/default.conf.
			fail  bridge: the interface 'br-x y' of the default config does not exist
			      As root: ip link add 'br-x y' type bridge && ip link set 'br-x y' up
			fail  lxc-usernet: u may not attach containers to 'br-x y'`},
		{"OpenWrt", `
			/etc/openwrt_release=
			/bin/opkg=
			/proc/self/ns/mnt=
			/proc/self/ns/uts=
			/proc/self/mounts=cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
			/proc/filesystems=nodev\ttmpfs\nnodev\tdevpts
			/sys/class/net/br-lan/
			/srv/lxc/
			/etc/lxc/default.conf=lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0`, 0, `
			fail  bridge: the interface lxcbr0 of the default config does not exist
			      Write lxc.net.0.link = br-lan into TOP/etc/lxc/default.conf.
			fail  LXC: no lxc-start in PATH
			      opkg update && opkg install lxc lxc-start
			fail  LXC's configs: no common.conf and userns.conf in /usr/share/lxc/config
			ok    LXC path: /srv/lxc
			warn  control groups: no controller pids
			fail  namespaces: not all of mnt, pid, ipc, uts, net
			ok    file systems: tmpfs, devpts (overlay, for snapshots
			warn  seccomp: not in this kernel
			!lxc-unprivileged
			!template`},
		{"OpenWrt, a user", `
			/etc/openwrt_release=`, 1001, `
			fail  newuidmap: not installed
			      As root: apk add lxc lxc-start lxc-stop lxc-attach lxc-ls lxc-configs kmod-veth lxc-unprivileged`},
		{"Alpine", `
			/sbin/apk=
			/lib/apk/db/installed=C:x\nP:lxc-libs\nV:6.0.1-r0\n\nP:lxc\nV:2.0.1-r1\n
			/usr/bin/lxc-start=
			/etc/init.d/cgroups=
			/proc/self/mounts=
			/sys/class/net/lo/
			/etc/lxc/default.conf=lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.link =\nlxc.net.0.link = lxcbr0`, 0, `
			      apk add lxc-bridge && rc-update add dnsmasq.lxcbr0
			warn  LXC: version 2.0.1-r1 does not know the keys of today's images
			fail  control groups: none are mounted
			      rc-update add cgroups && rc-service cgroups start
			warn  namespaces: not to be seen before Linux 3.8`},
		{"Android, an app", `
			/dev/__properties__/x=
			/sys/fs/selinux/enforce=1`, 10123, `
			fail  Android: without root no container can start
			        proot -0 -r debian -b /dev -b /proc -b /sys -w / /bin/sh -l
			ok    SELinux: enforcing, or not known
			ok    LXC path: /chosen, which create makes
			fail  kernel: /proc is not mounted, which LXC and these checks need
			!LXC:
			!default config
			!namespaces`},
		{"Android, root", `
			/dev/__properties__/x=
			/sys/fs/selinux/enforce=1`, 0, `
			warn  Android: /data/lxc does not exist
			warn  SELinux: enforcing: its rules may keep containers from starting
			      setenforce 0
			      mount -t proc proc /proc`},
		{"a file in the way, a library without packages", `
			/var/lib/lxc=
			/var/cache/lxc=
			/usr/bin/lxc-start=
			/usr/lib/liblxc.so.1->liblxc.so.1.8.0`, 0, `
			fail  LXC path: /var/lib/lxc is not a directory
			warn  cache: /var/cache/lxc is not a directory
			/usr/bin/lxc-start, liblxc.so.1.8.0`},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := makeMachine(t, test.files)
			lxcPath := ""
			if test.uid != 0 {
				lxcPath = "/chosen"
				if err := os.Chmod(top, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			out := examine(t, top, test.uid, lxcPath)
			for line := range strings.Lines(test.want) {
				line = strings.ReplaceAll(strings.TrimSpace(line), "TOP", top)
				if text, denied := strings.CutPrefix(line, "!"); strings.Contains(out, text) == denied {
					t.Errorf("%q, in\n%s", line, out)
				}
			}
			privileged := strings.Contains(out, "ok    newuidmap: it and newgidmap have root's rights")
			if needed := test.uid == 1000 && os.Geteuid() == 0; privileged != needed {
				t.Errorf("newuidmap has rights: %v, in\n%s", privileged, out)
			}
		})
	}
}

// TestDoctorSearch checks that the container's root must be able to reach the LXC path.
func TestDoctorSearch(t *testing.T) {
	top := makeMachine(t, debianFiles+"/etc/lxc/default.conf=lxc.idmap = b 0 100000 65536\n/srv/a b/lxc/")
	if out := examine(t, top, 0, "/srv/a b/lxc"); !strings.Contains(out, "ok    LXC path: '/srv/a b/lxc'\n") {
		t.Error(out)
	}
	if err := os.Chmod(top+"/srv/a b", 0o750); err != nil {
		t.Fatal(err)
	}
	want := "fail  LXC path: the container's root may not pass through '" + top + "/srv/a b'\n      chmod o+x '" + top + "/srv/a b'\n"
	if out := examine(t, top, 0, "/srv/a b/lxc"); !strings.Contains(out, want) {
		t.Error(out)
	}
}

// TestDoctorAttributes checks what doctor says about file systems with and without extended
// attributes: /proc has none.
func TestDoctorAttributes(t *testing.T) {
	for path, want := range map[string]string{
		"/proc/self/fdinfo": "warn  extended attributes: file system 0x9fa0 has no attributes of the kind user security: ",
		t.TempDir():         "ok    extended attributes: user and security\n",
	} {
		var out bytes.Buffer
		c := &doctorCall{ui: &ui{out: &out}, lxcPath: path}
		if _, err := runRules(t, c, "", "settings", "extended attributes"); err != nil || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%s: %v, %q", path, err, &out)
		}
	}
}

// TestDoctorEscapes checks that a text from a file can't control the terminal.
func TestDoctorEscapes(t *testing.T) {
	top := makeMachine(t, debianFiles+"/etc/lxc/default.conf=lxc.net.0.type = veth\x1b[2J\\nlxc.net.0.link = \x1b]0;x\x07\n/proc/sys/kernel/osrelease=6\x1b[1m")
	out := examine(t, top, 0, "")
	if strings.ContainsAny(out, "\x1b\x07") || !strings.Contains(out, `\x1b]0;x\x07`) {
		t.Errorf("%q", out)
	}
}

// runRules carries out some checks of the table.
func runRules(t *testing.T, c *doctorCall, url string, names ...string) (d *doctor, err error) {
	d = c.begin(host.This(), os.Geteuid())
	for _, name := range names {
		_, rules, _ := strings.Cut("\n\n"+mustText(t, "doctor.txt"), "\n\n"+name+"\n")
		rules, _, _ = strings.Cut(rules, "\n\n")
		if err == nil {
			d, err = c.check(t.Context(), d, name, url, rules)
		}
	}
	return d, err
}

// TestDoctorHangs checks that a file and a server that do not answer cost one check each.
func TestDoctorHangs(t *testing.T) {
	top := makeMachine(t, debianFiles)
	file := top + "/proc/filesystems"
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.OpenFile(file, os.O_RDWR|unix.O_NONBLOCK, 0) // it ends the check that waits
	begin := time.Now()
	out := examine(t, top, 0, "")
	if !strings.Contains(out, "fail  file systems: no answer within 2 seconds\n") || !strings.Contains(out, "ok    seccomp") {
		t.Error(out)
	}
	release := make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	var stdout bytes.Buffer
	c := &doctorCall{ui: &ui{out: &stdout, clock: newUI(os.Stdout, os.Stderr).clock}}
	c.finder.servers.servers = []string{server.URL}
	c.finder.cache.noCache = true
	_, err := runRules(t, c, server.URL, "options", "server")
	if want := "fail  server: " + server.URL + " no answer within 2 seconds\n"; err != nil || !strings.HasPrefix(stdout.String(), want) {
		t.Errorf("%v, %q", err, &stdout)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestDoctorServer checks what doctor says about a slow server, and about a clock that differs
// from the server's.
func TestDoctorServer(t *testing.T) {
	end := make(chan bool)
	date := time.Now().Add(-3 * time.Hour)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write([]byte("debian"))
		w.(http.Flusher).Flush()
		<-end
	}))
	defer server.Close()
	defer close(end)
	var out bytes.Buffer
	c := &doctorCall{ui: &ui{out: &out, clock: newUI(os.Stdout, os.Stderr).clock}}
	c.finder.servers.servers = []string{server.URL}
	c.finder.cache.noCache = true
	_, err := runRules(t, c, server.URL, "options", "server", "clock")
	if err != nil || c.warned != 2 {
		t.Errorf("%v, %q", err, &out)
	}
	for _, want := range []string{
		"warn  server: " + server.URL + " is slow: no whole answer within 2 seconds\n", "warn  clock: ",
		"UTC, but " + date.UTC().Format("2006-01-02 15:"), "date -u " + date.UTC().Format("010215"),
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q, not %q", &out, want)
		}
	}
}

// TestDoctorRules checks the form of the table, and that each fact in it is one that is set.
func TestDoctorRules(t *testing.T) {
	facts := " url error hint sysctl root packages install other mount name config path user mapped android termux type link " +
		"dns trust proxy images none blind now set late wrong right asks offer map missing low instead lend start version as own dir " +
		"cache lost fixed usernet uid place there locked closed fs point readonly noexec nosuid nodev nocase room little tight lack "
	names := map[string]bool{}
	for rules := range strings.SplitSeq(strings.TrimSuffix(mustText(t, "doctor.txt"), "\n"), "\n\n") {
		name, rules, _ := strings.Cut(rules, "\n")
		if names[name] || name == "" {
			t.Errorf("%q: no name, or a second time", name)
		}
		names[name] = true
		for line := range strings.SplitSeq(rules, "\n") {
			f := strings.Split(line, "|")
			remedy := len(f) > 3 && f[3] != ""
			if len(f) < 2 || !strings.Contains(" ok warn fail - ", " "+f[0]+" ") && !strings.HasPrefix(name, "$") || remedy != (f[0] == "warn" || f[0] == "fail") {
				t.Errorf("%s: %q", name, line)
			}
			for _, part := range strings.Split(line, "{")[1:] {
				fact, _, closed := strings.Cut(part, "}")
				if !closed || fact[0] != '/' && !strings.Contains(facts, " "+fact+" ") {
					t.Errorf("%s: {%s}", name, fact)
				}
			}
			for _, condition := range strings.Fields(f[1]) {
				fact := strings.TrimPrefix(condition, "!")
				if end := strings.IndexAny(fact, "=~"); end > 0 {
					fact = fact[:end]
				}
				if !strings.ContainsAny(fact[:1], "/+{") && !strings.Contains(facts, " "+fact+" ") {
					t.Errorf("%s: condition %q", name, condition)
				}
			}
		}
	}
}

// TestLeavesNothing checks which commands say that nothing half-made is left: those that make
// something.
func TestLeavesNothing(t *testing.T) {
	made := ""
	for _, c := range append(commands(), *template(templateName)) {
		if (&ui{command: c.name}).leavesNothing() {
			made += c.name + " "
		}
	}
	if made != "create rootfs export fetch template " {
		t.Error(made)
	}
}
