package lxc

import (
	"slices"
	"strings"
	"testing"
)

// hostile are variables of an image that change what programs of the host do.
var hostile = []string{
	"PATH=/usr/lib/x86_64-linux-gnu/lxc/rootfs/bin", "PATH=", "PATH=.", "LD_PRELOAD=evil.so", "LD_LIBRARY_PATH=lib", "LD_AUDIT=a", "BASH_ENV=x", "ENV=x", "IFS=a", "PYTHONPATH=x", "PYTHONINSPECT=1", "PYTHONHOME=x", "PERL5OPT=-Mx", "PERL5LIB=x", "PERL5DB=x", "GCONV_PATH=x", "LOCPATH=x", "NLSPATH=x",
	"GLIBC_TUNABLES=glibc.malloc.check=3", "MALLOC_PERTURB_=1", "RES_OPTIONS=debug", "HOSTALIASES=x", "LOCALDOMAIN=x", "TMPDIR=x", "SHELLOPTS=xtrace", "BASHOPTS=x", "PS4=x", "CDPATH=x", "GLOBIGNORE=x", "POSIXLY_CORRECT=1", "PAGER=reboot", "EDITOR=reboot", "VISUAL=reboot", "LESSOPEN=x", "SHELL=x", "RUBYOPT=-rx", "LUA_INIT=x", "NODE_OPTIONS=-r", "JAVA_TOOL_OPTIONS=x", "_JAVA_OPTIONS=x", "SYSTEMD_PAGER=x", "DBUS_SESSION_BUS_ADDRESS=x", "XDG_RUNTIME_DIR=x", "GIT_SSH=x", "OPENSSL_CONF=x", "SSL_CERT_FILE=/x", "SSL_CERT_FILE=x", "HTTPS_PROXY=x:1", "http_proxy=x",
	"LXC_ROOTFS_PATH=x", "LXC_PULL_EXEC=x", "NVIDIA_VISIBLE_DEVICES=all", "CUDA_VERSION=1", "container=x", "reason=BOUND", "IF_METRIC=1", "HOME=/home/x", "HOME=x", "HOME=/root/", "USER=x", "LOGNAME=x", "A=() { :;}; touch x", "A=$(x)", "A=`x`", "A=a;b", "A=/x", "A='", "A=*", "A=x\x1b", "A=\\x", "A-B=1", "A.B=1", "BASH_FUNC_x%%=1", "1A=x", "HOSTNAME=other", "TZ=/x", "TZ=:x/y", "LANG=../x", "LC_ALL=/x", "TERM=/x", "TERMINFO=x", "TERMCAP=x",
}

// No variable of an image that means something to a program of the host is where a hook can
// see it, whatever LXC and the image are.
func TestHooksSeeNothing(t *testing.T) {
	for _, variable := range append(append([]string{}, hostile...), nastyVariables()...) {
		for _, version := range []string{"", "4.0.2", "5.0.2", "6.0.6", "liblxc.so.1.8.0", "7.0.0", "liblxc.so.1.9.0", "7.1"} {
			for _, tools := range []Tools{{}, {Shell: true}, {Shell: true, EnvTool: "/usr/bin/env"}, {Shell: true, EnvTool: "/bin/busybox env"}} {
				config, _, err := web.ProcessConfig(&Process{Args: []string{"/x"}, Dir: "/", Env: []string{variable}, LXC: version, Tools: tools})
				if err != nil {
					continue // too long
				}
				_, lines := readProcess(t, config)
				shown := lines["lxc.environment"]
				name, value, _ := strings.Cut(variable, "=")
				for _, line := range shown {
					script := strings.HasPrefix(line, "LXC_PULL_EXEC=unset LXC_PULL_EXEC ")
					if script && (!tools.Shell || strings.HasPrefix(version, "7")) || !script && (line != variable || slices.Contains(hostile, line) || !isMute(name, value) || tools.Shell) {
						t.Errorf("LXC %q, %+v: a hook gets %q", version, tools, line)
					}
				}
			}
		}
	}
	config, left, err := web.ProcessConfig(&Process{Args: []string{"/x"}, Dir: "/", Env: []string{"NODE_VERSION=20", "GO=1"}, LXC: "5.0.2", Hooks: true})
	if _, lines := readProcess(t, config); err != nil || !slices.Equal(left, []string{"NODE_VERSION", "GO"}) || lines["lxc.environment"] != nil {
		t.Errorf("%q, %q, %v", config, left, err)
	}
}

func TestEnvironmentLines(t *testing.T) {
	usual := []string{DefaultPath, "HOSTNAME=web", "HOME=/root", "HOME=/", "TERM=xterm", "LANG=C.UTF-8", "TZ=UTC", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}
	for _, variable := range usual {
		if !web.isHarmless(variable) {
			t.Errorf("%q", variable)
		}
	}
	for _, variable := range hostile {
		if name, value, _ := strings.Cut(variable, "="); web.isHarmless(variable) || isMute(name, value) {
			t.Errorf("%q", variable)
		}
	}
	for _, variable := range []string{"NODE_VERSION=20.1.0", "GOLANG_VERSION=1.22", "REDIS_PORT=6379", "ASPNETCORE_URLS=http:+:80", "DEBUG=", "A=b c"} {
		if name, value, _ := strings.Cut(variable, "="); !isMute(name, value) {
			t.Errorf("%q", variable)
		}
	}
	for _, test := range []struct {
		env   string
		tools Tools
		args  string
		lines string // of the environment
		left  string
	}{
		{"PATH=/a LANG=C", Tools{}, "x", "LANG=C", "PATH"},
		{DefaultPath + " V=1 W=/x V=2", Tools{}, "x", DefaultPath + " V=2", "W"},
		{DefaultPath + " LANG=C", Tools{Shell: true}, "x", DefaultPath + " LANG=C", ""},
		{"PATH=/a LANG=C PATH=/b", Tools{Shell: true}, "x", `LANG=C LXC_PULL_EXEC=unset LXC_PULL_EXEC PWD OLDPWD SHLVL; set -- "${IFS#??}"; set -- 'PATH=/b' 'x'; while [ "$#" -gt 1 ]; do export "$1"; shift; done; exec "$@"`, ""},
		{"PATH=/a " + DefaultPath, Tools{Shell: true}, "x", DefaultPath, ""},
		{"A.B=' UID=1 PWD=/", Tools{Shell: true}, "x y", `LXC_PULL_EXEC=unset LXC_PULL_EXEC OLDPWD SHLVL; set -- "${IFS#??}"; set -- 'PWD=/' 'x' 'y'; while [ "$#" -gt 2 ]; do export "$1"; shift; done; exec "$@"`, "A.B UID"},
		{"A.B=' UID=1", Tools{true, "/bin/busybox env"}, "x", `LXC_PULL_EXEC=unset LXC_PULL_EXEC PWD OLDPWD SHLVL; set -- "${IFS#??}"; set -- 'A.B='\''' 'UID=1' 'x'; exec /bin/busybox env -u PWD -u OLDPWD -u SHLVL -u _ -- "$@"`, ""},
		{"A=/", Tools{true, "/bin/busybox env"}, "x", `LXC_PULL_EXEC=unset LXC_PULL_EXEC PWD OLDPWD SHLVL; set -- "${IFS#??}"; set -- 'A=/' 'x'; while [ "$#" -gt 1 ]; do export "$1"; shift; done; exec "$@"`, ""},
		{"A=/ _=x", Tools{true, "/usr/bin/env"}, "x", `LXC_PULL_EXEC=unset LXC_PULL_EXEC PWD OLDPWD SHLVL; set -- "${IFS#??}"; set -- 'A=/' '_=x' 'x'; exec /usr/bin/env -u PWD -u OLDPWD -u SHLVL -- "$@"`, ""},
		{"A=/ B-=x", Tools{true, "/usr/bin/env"}, "x=y", `LXC_PULL_EXEC=unset LXC_PULL_EXEC PWD OLDPWD SHLVL; set -- "${IFS#??}"; set -- 'A=/' 'x=y'; while [ "$#" -gt 1 ]; do export "$1"; shift; done; exec "$@"`, "B-"},
	} {
		config, left, err := web.ProcessConfig(&Process{Args: strings.Fields(test.args), Dir: "/", Env: strings.Fields(test.env), LXC: "5.0.2", Tools: test.tools})
		if got := strings.Join(Values(config, "lxc.environment"), " "); err != nil || got != test.lines || strings.Join(left, " ") != test.left {
			t.Errorf("%q, %+v: %s\n%q, %v", test.env, test.tools, got, left, err)
		}
	}
	// A line end needs a shell with every LXC.
	config, _, err := web.ProcessConfig(&Process{Args: []string{"/x"}, Dir: "/", Env: []string{"A=x\ny", "PATH=/p"}, LXC: "7.0.0", Tools: Tools{true, "/usr/bin/env"}})
	const want = `LXC_PULL_EXEC=unset LXC_PULL_EXEC PWD OLDPWD SHLVL; set -- "${IFS#??}"; set -- 'A=x'"$1"'y' 'PATH=/p' '/x'; exec /usr/bin/env -u PWD -u OLDPWD -u SHLVL -u _ -- "$@"`
	if got := Values(config, "lxc.environment.runtime"); err != nil || !slices.Equal(got, []string{want}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHasHook(t *testing.T) {
	for config, want := range map[string]bool{
		"": false, "lxc.hook.mount = /x\n": true, "lxc.hook.mount =\n": false, "lxc.hook.version = 1\n": false, "#lxc.hook.mount = /x": false, "x\rlxc.hook.autodev=/x": true, "lxc.hook.start-host = x": true,
	} {
		if HasHook([]byte(config)) != want {
			t.Errorf("%q", config)
		}
	}
}
