package lxc

import (
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
		want  string // each file has its name as content
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
	for text, want := range map[string]string{"9223372036854775807": "9999-12-31", "253402300800": "9999-12-31", "253402300799": "9999-12-31", "-9223372036854775808": "1970-01-01", "-1": "1970-01-01"} {
		if got, ok := Expiry([]byte(text)); !ok || got.Format(time.DateOnly) != want {
			t.Errorf("%s: %v, %v", text, got, ok)
		}
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

// The results that the stock template (LXC 5.0.2, GNU sed 4.9) writes for the same input,
// except where the last line has no newline.
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
		{"no newline at the end of a key", "# x\nlxc.a = b", "c\n", false, "# x\n\n# Distribution configuration\nc\n\n# Container specific configuration\nlxc.a = b\nlxc.uts.name = web\n\n# Network configuration\n"},
	} {
		if got := string(web.Config([]byte(c.before), []byte(c.image), c.fstab)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.what, got, c.want)
		}
	}
}

// The name and paths of a container may look like tokens. They are written unchanged, and
// LXC reads them so.
func TestConfigOfTokens(t *testing.T) {
	c := Container{Name: "LXC_HOOK_DIR-x", Path: "/lxc/LXC_NAME", Rootfs: "/lxc/LXC_NAME/rootfs", HookDir: "/hooks"}
	got := string(c.Config([]byte("# LXC_NAME\nlxc.rootfs.path = dir:/lxc/LXC_NAME/rootfs\nlxc.environment = X=LXC_NAME\nlxc.net.0.link = LXC_HOOK_DIR"), []byte("# LXC_NAME\n"), true))
	want := "# LXC_HOOK_DIR-x\n\n# Distribution configuration\n# LXC_HOOK_DIR-x\n\n# Container specific configuration\nlxc.rootfs.path = dir:/lxc/LXC_NAME/rootfs\nlxc.environment = X=LXC_HOOK_DIR-x\n" +
		"lxc.mount.fstab = /lxc/LXC_NAME/fstab\nlxc.uts.name = LXC_HOOK_DIR-x\n\n# Network configuration\nlxc.net.0.link = /hooks"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if loaded, err := CheckLoads([]byte(got)); err != nil || loaded.Name != c.Name {
		t.Errorf("LXC reads the name %q, %v", loaded.Name, err)
	}
}

func TestNoHangup(t *testing.T) {
	got := string(NoHangup([]byte("exec /sbin/mingetty $TTY mingetty\n# none\nmingetty")))
	if got != "exec /sbin/mingetty --nohangup $TTY mingetty\n# none\nmingetty --nohangup" {
		t.Errorf("%q", got)
	}
}

func TestRootIDs(t *testing.T) {
	u := IDRange{UID: true, Outside: 100000, Count: 65536}
	g := IDRange{GID: true, Outside: 200000, Count: 65536}
	if ids, err := RootIDs([]IDRange{u, g}); err != nil || ids != [2]uint32{100000, 200000} {
		t.Errorf("%v, %v", ids, err)
	}
	if _, err := RootIDs([]IDRange{u}); err == nil || !strings.Contains(err.Error(), `"lxc.idmap = g 0 `) {
		t.Error(err)
	}
	if _, err := RootIDs([]IDRange{g}); err == nil || !strings.Contains(err.Error(), `"lxc.idmap = u 0 `) {
		t.Error(err)
	}
}
