package lxc

import (
	"strings"
	"testing"
)

func TestCheckLine(t *testing.T) {
	for line, want := range map[string]string{
		"lxc.start.auto=1":         "",
		"lxc.start.auto = 1":       "",
		" lxc.environment = A=b c": "",
		"lxc.cap.drop=":            "",
		"lxc.mount.entry=/srv srv none bind,create=dir 0 0": "",
		"lxc.start.auto=2":             "0 or 1 is expected",
		"lxc.start.auto":               `"KEY = VALUE" is expected`,
		"start.auto=1":                 "not lxc.KEY=VALUE",
		"":                             "not lxc.KEY=VALUE",
		"# lxc.start.auto=1":           "not lxc.KEY=VALUE",
		"lxc.utsname=x":                "call this key lxc.uts.name",
		"lxc.start.auto=1\nlxc.idmap=": "control character",
		"lxc.start.auto=1\rlxc.idmap=": "control character",
		"lxc.start.auto=1\x00":         "control character",
		"lxc.idmap = u 0 100000 65536": "pass -f FILE",
		"lxc.rootfs.path=dir:/":        "pass -f FILE",
		"lxc.uts.name=x":               "use --hostname",
	} {
		err := CheckLine(line)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

func TestNetConfig(t *testing.T) {
	for text, want := range map[string]string{
		"veth:br0":              "lxc.net.0 =\nlxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.flags = up\n",
		"macvlan:eth0.7":        "lxc.net.0 =\nlxc.net.0.type = macvlan\nlxc.net.0.link = eth0.7\nlxc.net.0.flags = up\n",
		"phys:wlan0":            "lxc.net.0 =\nlxc.net.0.type = phys\nlxc.net.0.link = wlan0\nlxc.net.0.flags = up\n",
		"none":                  "lxc.net =\nlxc.net.0.type = empty\nlxc.net.0.flags = up\n",
		"host":                  "lxc.net =\nlxc.net.0.type = none\n",
		"none:br0":              "",
		"veth":                  "",
		"veth:":                 "",
		"veth:..":               "",
		"veth:a b":              "",
		"veth:a\nb":             "",
		"veth:0123456789abcdef": "",
		"bridge:br0":            "",
		"veth phys:br0":         "",
		"":                      "",
	} {
		got, err := NetConfig(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if _, err := CheckLoads([]byte(got)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	config := "a\n#lxc.net.0.type = x\nlxc.net =\nlxc.net.0.type = veth\n lxc.net.0.hwaddr=x\nlxc.net.1.type = empty\nlxc.net.00.type = empty\nlxc.net.000=\nlxc.net.10.type = veth\nlxc.include = /x\nlxc.network = x\n"
	for first, want := range map[string]string{
		"lxc.net.0 =\n": "a\n#lxc.net.0.type = x\nlxc.net =\nlxc.net.1.type = empty\nlxc.net.10.type = veth\nlxc.include = /x\nlxc.network = x\n",
		"lxc.net =\n":   "a\n#lxc.net.0.type = x\nlxc.include = /x\nlxc.network = x\n",
	} {
		first += "new\n"
		if got := string(ReplaceNet([]byte(config), first)); got != want+first {
			t.Errorf("%q", got)
		}
	}
}

func TestIsHostName(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "web-1.example.org": true, "a_b": true, "A9": true, strings.Repeat("a", 64): true,
		"": false, ".": false, "a..b": false, "a.": false, ".a": false, "-a": false, "a-": false, "a.-b": false, "a-.b": false,
		"a b": false, "a/b": false, "a\n": false, "ä": false, strings.Repeat("a", 65): false,
	} {
		if IsHostName(name) != want {
			t.Errorf("%q: not %v", name, want)
		}
	}
}
