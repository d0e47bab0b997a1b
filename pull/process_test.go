package pull

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
)

// processRun is a run in whose root file system the test makes files: "NAME/" a directory,
// "NAME -> TARGET" a link, "NAME=TEXT" a file.
func processRun(t *testing.T, files ...string) (r *run, dir string, said *strings.Builder) {
	t.Helper()
	r, dir = testRun(t)
	t.Cleanup(func() { r.staging.root.Close() })
	said = new(strings.Builder)
	r.opt.Tell = into(said)
	r.target.Container.TemplateConfig, r.target.Container.HookDir = t.TempDir(), t.TempDir()
	r.target.BaseConfig = []byte("lxc.net.0.type = empty\n")
	for _, file := range files {
		name, target, isLink := strings.Cut(file, " -> ")
		name, text, isFile := strings.Cut(name, "=")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case isFile:
			err = os.WriteFile(path, []byte(text), 0o644)
		default:
			err = os.MkdirAll(path, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r, dir, said
}

// setUp returns the values of the config's lines by their keys.
func setUp(t *testing.T, r *run, config *image.OCIConfig) (map[string][]string, error) {
	t.Helper()
	err := r.setUpProcess(context.Background(), &source.Found{Config: config})
	lines := map[string][]string{}
	for line := range strings.SplitSeq(string(r.contents.process), "\n") {
		if key, _, ok := strings.Cut(line, " = "); ok && lines[key] == nil {
			lines[key] = lxc.Values(r.contents.process, key)
		}
	}
	return lines, err
}

func TestSetUpProcess(t *testing.T) {
	r, dir, _ := processRun(t, "etc/passwd=web:x:1000:1001::/home/web:/bin/sh\n", "etc/group=video:x:27:web\n", "etc/hosts -> /outside", "etc/resolv.conf -> ../../../../run/x", "bin/sh=#!\n", "run/", "dev/", "var -> /real")
	r.target.LXCVersion = func() string { return "5.0.2-1" }
	os.Mkdir(filepath.Join(dir, "real"), 0o755)
	lines, err := setUp(t, r, &image.OCIConfig{
		Entrypoint: []string{"/entry", "a b"}, Cmd: []string{"c"}, Env: []string{"A=1", "B=2", "broken", "", "=x", "LXC_NAME=LXC_ROOTFS"}, User: "web", Dir: "/srv//app/../data", StopSignal: "SIGRTMIN+3", Volumes: []string{"/var/lib/x", "relative/y", "/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	script := ` set -- 'HOME=/home/web' 'A=1' 'B=2' 'LXC_NAME=LXC_ROOTFS' '/entry' 'a b' 'c'; while [ "$#" -gt 3 ]; do export "$1"; shift; done; exec "$@"`
	env := lines["lxc.environment"]
	if n := len(env) - 1; n != 2 || !slices.Equal(env[:n], []string{lxc.DefaultPath, "HOSTNAME=web"}) || !strings.HasPrefix(env[n], "LXC_PULL_EXEC=unset LXC_PULL_EXEC PWD OLDPWD SHLVL; ") || !strings.HasSuffix(env[n], script) {
		t.Errorf("%q", env)
	}
	for key, want := range map[string]string{"lxc.init.uid": "1000", "lxc.init.gid": "1001", "lxc.init.groups": "1001,27", "lxc.init.cwd": "/srv/data", "lxc.signal.halt": "37", "lxc.init.cmd": `/bin/sh -c eval${IFS}"$LXC_PULL_EXEC"`, "lxc.execute.cmd": `/bin/sh -c eval${IFS}"$LXC_PULL_EXEC"`} {
		if !slices.Equal(lines[key], []string{want}) {
			t.Errorf("%s: %q", key, lines[key])
		}
	}
	if lines["lxc.include"] != nil || !strings.Contains(strings.Join(lines["lxc.mount.entry"], "\n"), "tmpfs run tmpfs ") || !r.contents.creates {
		t.Errorf("%q", r.contents.process)
	}
	for name, want := range map[string]string{"etc/hostname": "web\n", "etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tweb\n::1\t"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, name := range []string{"srv/data", "real/lib/x", "relative/y"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || !info.IsDir() || info.Mode().Perm() != 0o755 || !slices.Contains(r.edited, name) {
			t.Errorf("%s: %v, %q", name, err, r.edited)
		}
	}
	if slices.Contains(r.edited, "real") || !slices.Contains(r.edited, "etc/hosts") || !slices.Contains(r.edited, "real/lib") {
		t.Errorf("edited %q", r.edited)
	}
}

// Without a shell, an older LXC gets only what hooks may see, and the command is looked for in
// the image's PATH.
func TestSetUpProcessWithoutShell(t *testing.T) {
	for _, test := range []struct {
		files, env   []string
		cmd, version string
		hook         bool
		args, want   string // of the command and the environment
		left         string
	}{
		{[]string{"srv/app=x", "opt/app/", "opt/c/app="}, []string{"PATH=/none:/opt:/opt/c:/srv:/usr/bin", "V=1", "LD_PRELOAD=x"}, "app", "5.0.2", false, "/srv/app", "HOSTNAME=web HOME=/ V=1", `["PATH" "LD_PRELOAD"]`},
		{[]string{"srv/app=x"}, []string{"PATH=/srv", "V=1"}, "app", "5.0.2", true, "/srv/app", "HOSTNAME=web HOME=/", `["PATH" "V"]`},
		{[]string{"data/app=x"}, []string{"PATH=x::"}, "app", "", false, "/data/app", "HOSTNAME=web HOME=/", `["PATH"]`},
		{nil, []string{"PATH=/srv", "V=1"}, "app", "7.0.0", true, "app", "HOSTNAME=web HOME=/ PATH=/srv V=1", ""},
		{nil, []string{"PATH=/srv", "V=1"}, "app", "5.0.2", false, "", "", ""},
		{nil, []string{"PATH=" + strings.Repeat("/x:", maxPath+1)}, "app", "5.0.2", false, "", "", ""},
		{[]string{"srv -> ../../..", "srv2 -> /real", "real/app=x"}, []string{"PATH=/srv:/srv2"}, "app", "5.0.2", false, "/srv2/app", "HOSTNAME=web HOME=/", `["PATH"]`},
		{nil, nil, "app", "5.0.2", false, "app", lxc.DefaultPath + " HOSTNAME=web HOME=/", ""},
		{nil, strings.Fields("P=/ Q=/ R=/ S=/ T=/ U=/ V=/ W=/ X=/ Y=/"), "app", "5.0.2", false, "app", lxc.DefaultPath + " HOSTNAME=web HOME=/", `"W" "2 more"]`},
	} {
		r, _, said := processRun(t, test.files...)
		r.target.LXCVersion = func() string { return test.version }
		common := ""
		if test.hook {
			common = "lxc.hook.mount = /x\n"
		}
		writeFile(t, filepath.Join(r.target.Container.TemplateConfig, "common.conf"), []byte(common))
		lines, err := setUp(t, r, &image.OCIConfig{Cmd: []string{test.cmd}, Env: test.env, Dir: "/data"})
		got := strings.Join(append(lines["lxc.environment"], lines["lxc.environment.runtime"]...), " ")
		if (err == nil) != (test.args != "") || err == nil && (!slices.Equal(lines["lxc.init.cmd"], []string{test.args}) || got != test.want) || !strings.Contains(said.String(), test.left) || test.left == "" && said.Len() > 0 {
			t.Errorf("%q: %q, %q, %v, said %q", test.env, lines["lxc.init.cmd"], got, err, said)
		}
	}
}

func TestTools(t *testing.T) {
	for _, test := range []struct {
		files []string
		want  lxc.Tools
	}{
		{nil, lxc.Tools{}}, {[]string{"bin/sh=x", "bin/env=x", "usr/bin/env=x"}, lxc.Tools{Shell: true, EnvTool: "/usr/bin/env"}}, {[]string{"bin/busybox=x", "bin/sh -> busybox"}, lxc.Tools{Shell: true, EnvTool: "/bin/busybox env"}},
		{[]string{"bin -> usr/bin", "usr/bin/env/", "usr/bin/busybox=x"}, lxc.Tools{EnvTool: "/bin/busybox env"}}, {[]string{"bin/env=x", "usr/bin/env -> /gone", "bin/sh -> ../../../../../../bin/sh"}, lxc.Tools{EnvTool: "/bin/env"}},
	} {
		if r, _, _ := processRun(t, test.files...); r.tools() != test.want {
			t.Errorf("%q: %+v", test.files, r.tools())
		}
	}
}

// A hook in any file that the container's config includes counts, and a file that can't be read.
func TestReadIncludes(t *testing.T) {
	for _, test := range []struct {
		base, common, oci, own string
		want                   bool
	}{
		{"", "", "", "", false}, {"lxc.hook.mount = x\n", "", "", "", true}, {"", "lxc.hook.autodev = x\n", "", "", true}, {"", "", "lxc.hook.pre-mount = x\n", "", true}, {"", "", "", "lxc.hook.mount=x\n", true}, {"lxc.include = /nonexistent\n", "", "", "", true}, {"", "-", "", "", true}, {"", "lxc.include = /nonexistent\n", "", "", true},
	} {
		r, _, _ := processRun(t)
		templates := r.target.Container.TemplateConfig
		writeFile(t, filepath.Join(templates, "oci.common.conf"), []byte(test.oci))
		if test.common != "-" {
			writeFile(t, filepath.Join(templates, "common.conf"), []byte(test.common))
		}
		r.target.BaseConfig, r.opt.Personal.Config = []byte(test.base), test.own
		if got := r.readIncludes().hooks; got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// The rules of "docker run" for the command.
func TestArguments(t *testing.T) {
	for _, test := range []struct {
		entrypoint, cmd, ownEntrypoint, ownCmd, want string
	}{
		{"e", "c", "", "", "e c"}, {"e", "", "", "", "e"}, {"", "c d", "", "", "c d"}, {"", "", "", "", "/bin/sh"}, {"e", "c", "x", "", "x"}, {"e", "c", "", "y z", "e y z"}, {"e", "c", "x", "y", "x y"}, {"e", "c", "-", "", "/bin/sh"}, {"e", "c", "-", "y", "y"}, {"e", "c", "", "-", "e"}, {"", "", "", "y", "y"},
	} {
		list := func(s string) []string {
			if s == "-" {
				return []string{}
			}
			return strings.Fields(s)
		}
		own := func(s string) []string {
			if s == "" {
				return nil
			}
			return list(s)
		}
		r := &run{opt: Options{Process: Process{Entrypoint: own(test.ownEntrypoint), Cmd: own(test.ownCmd)}}}
		if got := strings.Join(r.opt.Process.Arguments(&image.OCIConfig{Entrypoint: list(test.entrypoint), Cmd: list(test.cmd)}), " "); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment("web", "", []string{"PATH=/p", "A=1", "HOSTNAME=x", "AB=2"}, []string{"A", "B=3", "C", "PATH=/q"})
	want := []string{"HOME=/", "HOSTNAME=x", "AB=2", "B=3", "PATH=/q"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := environment("web", "/root", []string{"HOME="}, nil); !slices.Equal(got[1:], []string{"HOSTNAME=web", "HOME="}) {
		t.Errorf("%q", got)
	}
}

func TestSetUpProcessRefuses(t *testing.T) {
	for _, test := range []struct {
		files  []string
		config image.OCIConfig
		base   string
		want   string
	}{
		{nil, image.OCIConfig{User: "nobody"}, "", `user "nobody" is not in the image's etc/passwd`},
		{[]string{"etc/passwd -> /../../../../etc/passwd"}, image.OCIConfig{User: "root"}, "", "is not in the image's"},
		{[]string{"etc/passwd/"}, image.OCIConfig{User: "x"}, "", "is not in the image's"},
		{[]string{"etc=x"}, image.OCIConfig{User: "x"}, "", "is not in the image's"},
		{[]string{"etc/passwd=" + strings.Repeat("x\n", maxPersonal)}, image.OCIConfig{User: "x"}, "", "more than 1048576 bytes"},
		{nil, image.OCIConfig{User: "70000"}, "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n", "id 70000, which the container's lxc.idmap does not map"},
		{nil, image.OCIConfig{User: "7:70000"}, "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n", "id 70000"},
		{nil, image.OCIConfig{Dir: "relative"}, "", "is no absolute path"},
		{nil, image.OCIConfig{Dir: "/f/x"}, "", "the working directory of the image"},
		{nil, image.OCIConfig{Dir: "/f"}, "", "the working directory of the image"},
		{[]string{"out -> ../../.."}, image.OCIConfig{Dir: "/out/x"}, "", "leads out of the root"},
		{nil, image.OCIConfig{Dir: strings.Repeat("/x", 100)}, "", "file name too long"},
		{nil, image.OCIConfig{Dir: "/a\x00b"}, "", "file name too long"},
		{nil, image.OCIConfig{Dir: "/a\nb"}, "", "is a path that LXC's config can't have"},
		{nil, image.OCIConfig{Volumes: make([]string, maxVolumes+1)}, "", "too many volumes"},
		{nil, image.OCIConfig{Env: []string{"A=x\nlxc.hook.start = /x"}}, "", `the variable "A" has a line end`},
		{nil, image.OCIConfig{Cmd: []string{"a\nb"}}, "", "both kinds of quotes or a line end"},
		{nil, image.OCIConfig{StopSignal: "SIGNO"}, "", `the stop signal "SIGNO" is unknown`},
		{nil, image.OCIConfig{Env: slices.Repeat([]string{"A=" + strings.Repeat("x", 100000)}, 1)}, "", ""},
		{[]string{"dev -> /etc"}, image.OCIConfig{}, "", "the image's dev is no directory"},
	} {
		r, _, _ := processRun(t, test.files...)
		r.target.BaseConfig = append(r.target.BaseConfig, test.base...)
		_, err := setUp(t, r, &test.config)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q: %v", test.want, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q", err)
		}
	}
	r, _, _ := processRun(t)
	r.target.LXCVersion = func() string { return "7.0.0" }
	var env []string
	for i := range 6 {
		env = append(env, string(rune('A'+i))+"="+strings.Repeat("x", 100000))
	}
	if _, err := setUp(t, r, &image.OCIConfig{Env: env}); err == nil || !strings.Contains(err.Error(), "its config would be too large") {
		t.Error(err)
	}
}

// A link that leads out of the image never makes the run write there.
func TestSetUpProcessStaysInside(t *testing.T) {
	outside := t.TempDir()
	r, dir, said := processRun(t, "vol -> "+outside, "up -> ../../../../../../../../../../../..", "etc -> "+outside)
	os.MkdirAll(filepath.Join(dir, outside), 0o755) // where the links lead inside the image
	if _, err := setUp(t, r, &image.OCIConfig{Volumes: []string{"/vol/a", "/up/tmp/b", "/../../c"}}); err != nil {
		t.Fatal(err)
	}
	if list, _ := os.ReadDir(outside); len(list) > 0 {
		t.Errorf("%v", list)
	}
	if _, err := os.Stat(filepath.Join(dir, outside, "hostname")); err != nil || !strings.Contains(said.String(), "leads out of the image's root file system") {
		t.Errorf("%v, %q", err, said)
	}
}

// An image whose etc is no directory inside it gets no files there, but a container.
func TestSetUpProcessWithoutEtc(t *testing.T) {
	for _, etc := range []string{"etc -> ../../../..", "etc -> ..", "etc -> /../..", "etc -> etc", "etc -> /f/x", "etc=x", "etc -> /gone/deep"} {
		r, dir, said := processRun(t, etc, "f=")
		lines, err := setUp(t, r, &image.OCIConfig{Cmd: []string{"x"}, User: "1000"})
		if err != nil || !slices.Equal(lines["lxc.init.uid"], []string{"1000"}) {
			t.Errorf("%s: %v, %q, said %q", etc, err, lines, said)
		}
		if _, err := os.Lstat(filepath.Join(dir, "../hostname")); err == nil {
			t.Errorf("%s: a file outside", etc)
		}
	}
}

// A root file system alone gets the directories only.
func TestSetUpProcessRootfsOnly(t *testing.T) {
	r, dir, _ := processRun(t)
	r.target.RootfsOnly = true
	config := &image.OCIConfig{Dir: "/srv", Volumes: []string{"/data"}, User: "nobody", Env: []string{"broken\n"}}
	lines, err := setUp(t, r, config)
	if err != nil || len(lines) > 0 {
		t.Errorf("%q, %v", lines, err)
	}
	for name, want := range map[string]bool{"srv": true, "data": true, "etc": false} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.target.Container.HostName = "given"
	if _, err := setUp(t, r, config); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "etc/hostname")); string(text) != "given\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// An init keeps the image's name servers and LXC's signal.
func TestSetUpInit(t *testing.T) {
	r, dir, _ := processRun(t, "etc/resolv.conf=nameserver 192.0.2.1\n", "run/lock/")
	lines, err := setUp(t, r, &image.OCIConfig{Cmd: []string{"/sbin/init"}})
	if err != nil || lines["lxc.signal.halt"] != nil || !slices.Equal(lines["lxc.init.cmd"], []string{"/sbin/init"}) || slices.ContainsFunc(lines["lxc.mount.entry"], func(s string) bool { return strings.Contains(s, " run ") }) {
		t.Errorf("%q, %v", lines, err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "etc/resolv.conf")); string(text) != "nameserver 192.0.2.1\n" {
		t.Errorf("%q", text)
	}
	r.opt.Personal.Resolv = "nameserver 192.0.2.2\n"
	lines, err = setUp(t, r, &image.OCIConfig{})
	if text, _ := os.ReadFile(filepath.Join(dir, "etc/resolv.conf")); string(text) != "nameserver 192.0.2.1\n" || err != nil {
		t.Errorf("%q, %v", text, err) // makePersonal has written it
	}
	if !slices.Equal(lines["lxc.signal.halt"], []string{"SIGTERM"}) || !slices.Equal(lines["lxc.init.cmd"], []string{"/bin/sh"}) {
		t.Errorf("%q", lines)
	}
}

func TestProcessHook(t *testing.T) {
	r, _, _ := processRun(t)
	r.opt.Process.DHCP = true
	if _, err := setUp(t, r, &image.OCIConfig{}); err == nil || !strings.Contains(err.Error(), "LXC's hook for --dhcp") {
		t.Error(err)
	}
	writeFile(t, filepath.Join(r.target.Container.HookDir, "dhclient"), nil)
	writeFile(t, filepath.Join(r.target.Container.TemplateConfig, "oci.common.conf"), nil)
	lines, err := setUp(t, r, &image.OCIConfig{})
	hook := []string{r.target.Container.HookDir + "/dhclient"}
	if err != nil || !slices.Equal(lines["lxc.hook.start-host"], hook) || !slices.Equal(lines["lxc.hook.stop"], hook) || !slices.Equal(lines["lxc.include"], []string{r.target.Container.TemplateConfig + "/oci.common.conf"}) {
		t.Errorf("%q, %v", lines, err)
	}
}

func TestReachable(t *testing.T) {
	for conf, want := range map[string]string{
		"": "", "nameserver 127.0.0.53\nsearch x\n": "", "nameserver ::1": "", "nameserver fe80::1%eth0": "", "# nameserver 192.0.2.1": "", "search x": "",
		"nameserver 127.0.0.1\nnameserver  192.0.2.1\t# x\n; c\nsearch a b\noptions edns0\nsortlist 1\nnameserver 2001:db8::1\nnameserver host\n": "nameserver 192.0.2.1 # x\nsearch a b\noptions edns0\nnameserver 2001:db8::1\n",
	} {
		if got := reachable(conf); got != want {
			t.Errorf("%q: %q", conf, got)
		}
	}
}

// The settings of the network must never reach the host's.
func TestSysctls(t *testing.T) {
	r, dir, _ := processRun(t)
	file := filepath.Join(dir, "included")
	for _, test := range []struct {
		base, included, own string
		user                bool
		want                string
	}{
		{"", "", "", false, "0 4294967294"}, {"lxc.net.0.type = none\n", "", "", false, ""}, {"", "lxc.net.0.type = none\n", "", false, ""}, {"", "", "lxc.net.0.type=none\n", false, ""}, {"lxc.include = /nonexistent\n", "", "", false, ""}, {"", "lxc.include = /nonexistent\n", "", false, ""},
		{"lxc.namespace.share.net = other\n", "", "", false, ""}, {"lxc.idmap = g 0 100000 65536\n", "", "", true, "0 65535"}, {"lxc.idmap = g 5 100000 65536\n", "", "", true, "no ping"}, {"", "", "", true, "no ping"},
	} {
		writeFile(t, file, []byte(test.included))
		r.target.BaseConfig, r.opt.Personal.Config, r.target.Container.UserNamespace = []byte(test.base+"lxc.include = "+file+"\n"), test.own, test.user
		got := r.sysctls(r.readIncludes().shared)
		if _, err := os.Stat("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil {
			t.Skip(err)
		}
		want := []string{"net.ipv4.ip_unprivileged_port_start=0", "net.ipv4.ping_group_range=" + test.want}
		switch test.want {
		case "":
			want = nil
		case "no ping":
			want = want[:1]
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
