package lxc

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// splitQuoted is lxc_string_split_quoted of LXC's string_utils.c.
func splitQuoted(s string) (words []string) {
	start, state := 0, byte(' ')
	for i := range len(s) {
		c := s[i]
		space := c == ' ' || c >= '\t' && c <= '\r'
		switch {
		case state == ' ' && space:
		case state == ' ' && (c == '"' || c == '\''):
			start, state = i+1, c
		case state == ' ':
			start, state = i, 'a'
		case state == 'a' && space, state == c && c != 'a':
			words = append(words, s[start:i])
			state = ' '
		}
	}
	if state == 'a' {
		words = append(words, s[start:])
	}
	return words
}

// nastyWords are words that a naive quoting would change.
func nastyWords() []string {
	words := []string{
		"", " ", "\t", "a", "a b", "a  b", " a", "a ", "\ta\t", "a\tb", "a\vb", "a\fb", "'", `"`, "''", `""`, "'a'", `"a"`, "'a b'", `"a b"`, "it's", "it's a", `5" pipe`, `5"`, "a'b", `a"b`, `a'b"c`, `a'b" c`, `'a"b`, `"a'b`, `'"`, `"'`,
		"#", "# x", "a#b", "a # b", "=", "a=b", "a = b", "==", "lxc.include = /x", "$", "$HOME", "${IFS}", "$(id)", "`id`", "\\", "\\n", `\"`, `\'`, "a\\ b", "*", "?", "[a]", "~", "~root", "!", "!!", "&", "&&", "|", ";", ";;", "<", ">", "(", ")", "{}", "{a,b}", "%s", "%d%n",
		"-", "--", "-c", "--a=b c", "LXC_NAME", "LXC_ROOTFS x", "ünï cödé", "\xff\xfe", "\x01", "\x1b[31m", "\x7f", "\u00a0", "\u2028 x", "\ufeff", strings.Repeat("x", 1300), strings.Repeat("x y", 300), "x\nexit", "a\nb", "\n", "\n\n", "a\n", "\na", "it's \"so\"\n  $1 \\\n\t", `a'b" c'd" e`, `' " $1 '\''`, `"$@"`,
	}
	for _, quote := range []string{"'", `"`} {
		words = append(words, quote+" ", " "+quote, quote+"a b", "a b"+quote, quote+quote+" ", "a "+quote+"b c"+quote)
	}
	return words
}

// readProcess reads what ProcessConfig wrote as LXC does.
func readProcess(t *testing.T, config []byte) (p Process, lines map[string][]string) {
	t.Helper()
	if _, err := CheckLoads(config); err != nil {
		t.Errorf("%q: %v", config, err)
	}
	lines = map[string][]string{}
	for _, line := range ConfigLines(config) {
		if key, value, _, ok := configItem(line); ok {
			lines[key] = append(lines[key], unquote(value))
		}
	}
	p.Args = splitQuoted(lines["lxc.init.cmd"][0])
	p.Env = append(lines["lxc.environment"], lines["lxc.environment.runtime"]...)
	return p, lines
}

func TestProcessWords(t *testing.T) {
	words := nastyWords()
	for i, word := range words {
		for _, args := range [][]string{{word}, {"/x", word}, {word, word}, {"/x", word, words[(i+1)%len(words)], "end"}} {
			config, _, err := web.ProcessConfig(&Process{Args: args, Dir: "/", LXC: "6.0.0"})
			if err != nil {
				bad := args[0] == ""
				for _, word := range args {
					bad = bad || strings.Contains(word, "\n") || strings.Contains(word, "'") && strings.Contains(word, `"`) && (strings.ContainsAny(word, " \t\v\f") || word[0] == '\'' || word[0] == '"')
				}
				if !bad {
					t.Errorf("%q: %v", args, err)
				}
				continue
			}
			got, lines := readProcess(t, config)
			if !slices.Equal(got.Args, args) || !slices.Equal(lines["lxc.execute.cmd"], lines["lxc.init.cmd"]) {
				t.Errorf("%q: LXC reads %q in %q", args, got.Args, config)
			}
		}
	}
}

// The command is in the simplest form that the installed LXC and the image can start.
func TestProcessCommand(t *testing.T) {
	const sh = `/bin/sh -c eval${IFS}"$LXC_PULL_EXEC"`
	for _, test := range []struct {
		word, lxc string
		shell     bool
		want      string // "": refused
	}{
		{"it's", "", false, "/x it's"}, {"it's", "4.0", true, "/x it's"}, {"a b", "5.0.2", true, sh}, {"a b", "6.0.0", true, "/x 'a b'"}, {"a b", "liblxc.so.1.8.0", true, "/x 'a b'"}, {"a b", "liblxc.so.1.7.0", true, sh}, {"a b", "", true, sh}, {"a b", "", false, "/x 'a b'"},
		{"a b", "5.0.2", false, ""}, {"", "5.0.2", false, ""}, {"", "7.0", false, "/x ''"}, {"'\" ", "7.0", true, sh}, {"'\" ", "7.0", false, ""}, {"a\nb", "7.0", true, sh}, {"a\nb", "", false, ""}, {strings.Repeat("x", 5000), "5.0", true, sh}, {strings.Repeat("x", 5000), "7.0", false, ""},
	} {
		p := Process{Args: []string{"/x", test.word}, LXC: test.lxc, Tools: Tools{Shell: test.shell}}
		var config text
		_, err := web.addCommand(&p, &config)
		command := strings.Join(Values(config, "lxc.init.cmd"), "\n")
		if command != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q, LXC %q, %v: %q, %v", test.word, test.lxc, test.shell, command, err)
		}
	}
}

func nastyVariables() []string {
	list := []string{"A=", "A= ", "A=  x  ", "A=\tx\t", " A=x", "A =x", "\tA\t=\t", "A==", "A=a=b", "A='x'", `A="x"`, "A='", `A="`, "'A=x'", `"A=x"`, `"A"="x"`, "'=x'", `"=`, "#A=x", "A=#x", "A=x # y", "A=${A}", "A=\\", "A=\x01\x1b\x7f", "A=\xff", "ä=ü",
		"A=LXC_NAME", "lxc.arch=x", "A=lxc.include = /x", "A=%s", "container=docker", "A.B-C=1", "1=2", "A=x,y", "PATH=/a:/b", "A=\v", "A=\f", "A= '", `A= "`, "' A=x '", "A=" + strings.Repeat("x", 100000), "\ufeffA=x"}
	for _, word := range nastyWords() {
		if !strings.Contains(word, "\n") {
			list = append(list, "V="+word)
		}
	}
	return list
}

func TestProcessEnv(t *testing.T) {
	for _, variable := range nastyVariables() {
		config, _, err := web.ProcessConfig(&Process{Args: []string{"/x"}, Dir: "/", LXC: "7.0.0", Env: []string{variable, "Z=z"}})
		if err != nil {
			t.Errorf("%q: %v", variable, err)
			continue
		}
		if got, _ := readProcess(t, config); !slices.Equal(got.Env, []string{variable, "Z=z"}) {
			t.Errorf("%q: LXC reads %q", variable, got.Env)
		}
	}
	for _, bad := range []string{"", "A", "=x", "=", "A=\n", "A=x\r", "A\n=x", "A=\x00", "A=x\nlxc.hook.start = /x", "A=" + strings.Repeat("x", maxString)} {
		if config, _, err := web.ProcessConfig(&Process{Args: []string{"/x"}, Dir: "/", LXC: "7.0.0", Env: []string{bad}}); err == nil {
			t.Errorf("%q is accepted: %q", bad, config)
		} else if strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("%q", err)
		}
	}
}

func TestProcessRefused(t *testing.T) {
	for _, p := range []Process{
		{}, {Args: []string{"/x"}}, {Args: []string{"/x"}, Dir: "/", Env: []string{"A\nB=x"}}, {Args: []string{""}}, {Args: []string{"", "x"}}, {Args: []string{"a\rb"}, Tools: Tools{Shell: true}}, {Args: []string{"a\x00b"}, Tools: Tools{Shell: true}}, {Args: []string{"a\nb"}}, {Args: []string{"/x", "'\" "}}, {Args: []string{strings.Repeat("x", maxString+1)}, Tools: Tools{Shell: true}},
		{Args: []string{"/x", strings.Repeat("x", 5000)}}, {Args: []string{"a\nb", strings.Repeat("x", maxString-100)}, Tools: Tools{Shell: true}}, {Args: []string{"/x"}, Env: []string{"A=x\ny"}}, {Args: []string{"/x"}, Env: []string{"A=x", "B=" + strings.Repeat("'", maxString/3)}, Tools: Tools{Shell: true}},
		{Args: []string{"/x"}, Dir: "x"}, {Args: []string{"/x"}, Dir: "/x\ny"}, {Args: []string{"/x"}, Dir: "/" + strings.Repeat("x", 5000)}, {Args: []string{"/x"}, StopSignal: "SIGNO"},
	} {
		if p.Dir == "" && len(p.Args) > 0 && p.Args[0] != "/x" {
			p.Dir = "/"
		}
		config, _, err := web.ProcessConfig(&p)
		if err == nil {
			t.Errorf("%q is accepted: %q", p.Args, config)
		} else if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("%q: %q", p.Args, err)
		}
	}
}

func TestProcessConfig(t *testing.T) {
	c := web
	c.TemplateConfig, c.HookDir = "/usr/share/lxc/config", "/hooks"
	got, left, err := c.ProcessConfig(&Process{
		Args: []string{"/bin/a b", "-c", "it's"}, Env: []string{"A=x", "B= y"}, Identity: Identity{UID: 4294967294, GID: 7, Groups: []uint32{7, 8}}, LXC: "7.0.0", Dir: "/srv", StopSignal: "term",
		Include: true, EmptyRun: true, DHCP: true, Sysctls: []string{"net.ipv4.ping_group_range=0 65535"},
	})
	const want = `
# The process of the container image
lxc.include = /usr/share/lxc/config/oci.common.conf
lxc.init.cmd = "'/bin/a b' -c it's"
lxc.execute.cmd = "'/bin/a b' -c it's"
lxc.environment.runtime = A=x
lxc.environment.runtime = B= y
lxc.init.uid = 4294967294
lxc.init.gid = 7
lxc.init.groups = 7,8
lxc.init.cwd = /srv
lxc.signal.halt = SIGTERM
lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed
lxc.mount.entry = shm dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,mode=1777,size=65536k,create=dir 0 0
lxc.mount.entry = mqueue dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime,create=dir,optional 0 0
lxc.mount.entry = tmpfs run tmpfs rw,nosuid,nodev,relatime,mode=755 0 0
# These are of the container's own network: remove them before you give it the host's.
lxc.sysctl.net.ipv4.ping_group_range = 0 65535
lxc.hook.start-host = /hooks/dhclient
lxc.hook.stop = /hooks/dhclient
`
	if err != nil || string(got) != want || left != nil {
		t.Errorf("%s\n%q, %v", got, left, err)
	}
}

func TestHaltSignal(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "SIGTERM": "SIGTERM", "TERM": "SIGTERM", "term": "SIGTERM", "sigusr1": "SIGUSR1", "15": "15", "1": "1", "64": "64", "SIGRTMIN+3": "37", "rtmin+3": "37", "SIGRTMIN": "34", "SIGRTMAX": "64", "RTMAX-14": "50", "RTMIN+30": "64", "RTMAX-30": "34",
		"0": "?", "65": "?", "-1": "?", "+9": "?", "SIG15": "?", "SIG": "?", "SIGNO": "?", "SIGRTMIN+31": "?", "SIGRTMIN-1": "?", "SIGRTMIN+": "?", "SIGRTMIN+x": "?", "TERM INT": "?", " TERM": "?", "TERM\n": "?", "9999999999999999999999": "?", "RTMIN+99999999999999999999": "?",
	} {
		if got := haltSignal(name); got != strings.Trim(want, "?") {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestKnowsGroups(t *testing.T) {
	for _, test := range []struct {
		version        string
		system, mapped bool
	}{
		{"", false, false}, {"3.0.3-8", false, false}, {"4.0.2", false, false}, {"4.0.9", false, false}, {"4.0.10", true, false}, {"4.0.12-r1", true, false}, {"5.0.2-1+deb12u4", true, false}, {"6.0.4", true, false}, {"6.0.5", true, false}, {"6.0.6", true, true}, {"6.1", true, true}, {"7.0.0", true, true}, {"7", true, true}, {"10.0", true, true},
		{"liblxc.so.1.7.0", false, false}, {"liblxc.so.1.8.0", true, false}, {"liblxc.so.1.9.0", true, true}, {"liblxc.so.1", false, false}, {"x", false, false}, {"6.0.6~git", true, true}, {"99999999999999999999.1", true, true},
	} {
		if system, mapped := KnowsGroups(test.version, false), KnowsGroups(test.version, true); system != test.system || mapped != test.mapped {
			t.Errorf("%q: %v %v", test.version, system, mapped)
		}
	}
}

func TestSharesNetwork(t *testing.T) {
	for config, want := range map[string]bool{
		"": false, "lxc.net.0.type = veth\n": false, "lxc.net.0.type = empty": false, "lxc.net.0.type = none": true, "lxc.net.0.type = 'none'\n": true, "lxc.net.12.type=none": true, "lxc.network.type = none": true, "#lxc.net.0.type = none": false,
		"lxc.namespace.share.net = x": true, "lxc.namespace.keep = net": true, "lxc.net.0.link = none": false, "x\rlxc.net.0.type = none": true,
	} {
		if SharesNetwork([]byte(config)) != want {
			t.Errorf("%q", config)
		}
	}
}

func TestDefaultMeta(t *testing.T) {
	for _, arch := range append(strings.Fields(archs), "sparc64", "") {
		m := DefaultMeta(arch)
		for _, mapped := range []bool{false, true} {
			c, mode := web, System
			if c.UserNamespace = mapped; mapped {
				mode = User
			}
			text, ok := m.Relevant("config", mode)
			found, err := c.CheckConfig(c.Expand(text), false)
			if !ok || err != nil || found.Missing != nil || len(found.Includes) == 1 == mapped {
				t.Errorf("%s: %+v, %v", arch, found, err)
			}
			if known := arch != "sparc64" && arch != ""; known != slices.Equal(found.Arch, []string{arch}) {
				t.Errorf("%s: %q", arch, found.Arch)
			}
		}
	}
}

const (
	testPasswd = "root:x:0:0:root:/root:/bin/sh\n# comment\n\nbad:x:1:y:::\nworse:x:-1:1:::\nhuge:x:4294967296:1:::\nnobody:x:65534:65533:n:/nonexistent:/x\r\nshort:x:7:8\n1000:x:55:56::/num:\nweb:x:1000:1001::/srv/web:/bin/sh\nweb:x:1:1::/second:\nnone:x:4294967295:1:::\n:x:3:3:::\n"
	testGroup  = "root:x:0:\nbin:x:1:root,daemon\nbin2:x:1:root\nweb:x:1001:web\nwheel:x:10:root,web\nvideo:x:27:daemon,web,x\nbad:x:z:web\nhuge:x:4294967296:web\nwebx:x:30:webx,xweb\n:x:31:web\n"
)

func TestLookUp(t *testing.T) {
	ids := func(ids ...uint32) []uint32 { return ids }
	for user, want := range map[string]Identity{
		"":            {0, 0, ids(0, 1, 10), "/root"},
		"root":        {0, 0, ids(0, 1, 10), "/root"},
		"0":           {0, 0, ids(0, 1, 10), "/root"},
		"root:":       {0, 0, ids(0, 1, 10), "/root"},
		"web":         {1000, 1001, ids(1001, 10, 27), "/srv/web"},
		"1000":        {55, 56, ids(56), "/num"}, // the name comes first
		"55":          {55, 56, ids(56), "/num"},
		"web:10":      {1000, 10, ids(10), "/srv/web"},
		"web:wheel":   {1000, 10, ids(10), "/srv/web"},
		"web:12345":   {1000, 12345, ids(12345), "/srv/web"},
		"12345":       {12345, 0, ids(0), ""},
		"12345:wheel": {12345, 10, ids(10), ""},
		"12345:67":    {12345, 67, ids(67), ""},
		":wheel":      {0, 10, ids(10), "/root"},
		"nobody":      {65534, 65533, ids(65533), "/nonexistent"},
		"short":       {7, 8, ids(8), ""},
		"4294967294":  {4294967294, 0, ids(0), ""},
	} {
		if got, err := LookUp(user, []byte(testPasswd), []byte(testGroup)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", user, got, err)
		}
	}
	for _, user := range []string{"nope", "bad", "worse", "huge", "none", "-1", "+1", "0x1", "1_0", "4294967295", "4294967296", "99999999999999999999", "web:nope", "web:-1", "web:4294967295", "web:bad", "a\nb", "web:wheel:x", " web"} {
		if got, err := LookUp(user, []byte(testPasswd), []byte(testGroup)); err == nil {
			t.Errorf("%q: %+v", user, got)
		}
	}
	for user, want := range map[string]Identity{"": {0, 0, ids(0), ""}, "5": {5, 0, ids(0), ""}, "0:5": {0, 5, ids(5), ""}} {
		if got, err := LookUp(user, nil, nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("no files, %q: %+v, %v", user, got, err)
		}
	}
	var many strings.Builder
	for i := range maxGroups + 1 {
		fmt.Fprintf(&many, "g%d:x:%d:web\n", i, i)
	}
	if _, err := LookUp("web", []byte(testPasswd), []byte(many.String())); err == nil {
		t.Error("too many groups are accepted")
	}
}

func FuzzLookUp(f *testing.F) {
	for _, user := range []string{"", "web", "web:wheel", "12:34", "nope"} {
		f.Add(user, testPasswd, testGroup)
	}
	f.Fuzz(func(t *testing.T, user, passwd, group string) {
		id, err := LookUp(user, []byte(passwd), []byte(group))
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("%d bytes", len(err.Error()))
			}
			return
		}
		if len(id.Groups) == 0 || id.Groups[0] != id.GID || id.UID == 1<<32-1 || slices.Contains(id.Groups, 1<<32-1) || strings.ContainsAny(id.Home, "\n:") {
			t.Errorf("%+v", id)
		}
	})
}

// FuzzProcess checks that LXC reads the words and variables that were asked for, and no other
// line, or that they are refused.
func FuzzProcess(f *testing.F) {
	for _, word := range nastyWords() {
		f.Add(word, "A="+word, "/"+word, "TERM", false)
		f.Add("/x", "A=x", "/x", word, true)
	}
	f.Add("x", "PATH=/x", "/", "", true)
	f.Fuzz(func(t *testing.T, word, variable, dir, signal string, shell bool) {
		for _, version := range []string{"5.0", "7.0"} {
			p := Process{Args: []string{"/x", word, "'", word}, Env: []string{variable}, Dir: dir, StopSignal: signal, Tools: Tools{Shell: shell}, LXC: version}
			config, left, err := web.ProcessConfig(&p)
			if err != nil {
				continue
			}
			got, lines := readProcess(t, config)
			if init := strings.FieldsFunc(lines["lxc.init.cmd"][0], func(c rune) bool { return c == ' ' }); version == "5.0" && !slices.Equal(init, got.Args) {
				t.Errorf("LXC 5.0 reads %q as %q", init, got.Args)
			}
			if len(ConfigLines(config)) != strings.Count(string(config), "\n")-1 {
				t.Errorf("%q", config)
			}
			for _, shown := range lines["lxc.environment"] {
				name, value, _ := strings.Cut(shown, "=")
				if !web.isHarmless(shown) && !strings.HasPrefix(shown, "LXC_PULL_EXEC=unset LXC_PULL_EXEC") && !isMute(name, value) {
					t.Errorf("a hook gets %q", shown)
				}
			}
			if shell && slices.Equal(got.Args, []string{"/bin/sh", "-c", `eval${IFS}"$LXC_PULL_EXEC"`}) {
				continue // only a shell can tell: scripts/lab/e2e/process
			}
			if !slices.Equal(got.Args, p.Args) || len(left) == 0 && !slices.Equal(got.Env, p.Env) || lines["lxc.init.cwd"][0] != dir {
				t.Errorf("%q: %q %q", config, got.Args, got.Env)
			}
		}
	})
}
