package cli

import (
	"os"
	"strings"
	"testing"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
)

// A word with a blank or a quote inside is quoted.
func TestShellWords(t *testing.T) {
	got := shellWords([]string{"lxc-create", "-n", "a b", "it's", "", "$(x)", "a$b", "/srv/lxc"})
	if want := `lxc-create -n 'a b' 'it'\''s' '' '$(x)' 'a$b' /srv/lxc`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// LXC would read another path, or end the line there.
func TestCheckNames(t *testing.T) {
	for path, ok := range map[string]bool{"/lxc/web": true, "/l xc/w": true, "/lxc\n/web": false, "/lxc\x7f/web": false, "/lxc\r/web": false} {
		target := pull.Target{Container: lxc.Container{Name: "web", Path: path}}
		if err := checkNames(target); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestStartRules checks what create says about an ordinary user's container: nothing unless
// something keeps it from starting.
func TestStartRules(t *testing.T) {
	for _, c := range []struct{ closed, kind, link, usernet, want string }{
		{"", "empty", "", "", ""},
		{"", "veth", "lxcbr0", "u veth lxcbr0 ; ", ""},
		{"", "veth", "lxcbr0", "@ veth lxcbr0 ; ", ""},
		{"", "veth", "", "", ""},
		{"", "veth", "lxcbr0", "v veth lxcbr0 ; ", "u may not attach it to lxcbr0"},
		{"/home/u", "empty", "", "", "others may not pass through /home/u: chmod o+x /home/u"},
	} {
		d := &doctor{machine: host.Below(t.TempDir(), "", false), facts: map[string]string{"name": "u"}}
		d.put("closed", c.closed)
		d.put("type", c.kind)
		d.put("link", c.link)
		d.put("usernet", c.usernet)
		if d.judge(startRules); !strings.Contains(d.facts["text"], c.want) || (c.want == "") != (d.facts["text"] == "") {
			t.Errorf("%+v: %q", c, d.facts["text"])
		}
	}
}

// TestRemediesAreShort: an error and what to do take at most three lines.
func TestRemediesAreShort(t *testing.T) {
	c := &createCall{name: "web", lxcPath: "/lxc"}
	for _, err := range []error{noMap(host.This(), os.Geteuid(), "/x"), c.notMapped(""), c.notMapped("usermod --add-subuids 1-2 u")} {
		if text := new(ui).hint(err); text == "" || strings.Contains(text, "\n") {
			t.Errorf("%v: %q", err, text)
		}
	}
}

// TestIDFacts checks the command by which root lends the ids of lxc.idmap.
func TestIDFacts(t *testing.T) {
	ranges := []lxc.IDRange{
		{UID: true, Inside: 0, Outside: 100000, Count: 65536}, {GID: true, Inside: 0, Outside: 200000, Count: 10},
		{UID: true, Inside: 70000, Outside: 1000, Count: 1}, // the user's own
	}
	for _, c := range []struct{ passwd, subuid, subgid, want string }{
		{"", "", "", "echo 1000:100000:65536 >>/etc/subuid && echo 1000:200000:10 >>/etc/subgid"},
		{"u:x:1000:1000::/:/bin/sh\n", "v:1:2\n", "uu:1:2\n", "echo u:100000:65536 >>/etc/subuid && echo u:200000:10 >>/etc/subgid"},
		{"u:x:1000:1000::/:/bin/sh\n", "v:1:2\nu:100000:65536\n", "", "echo u:200000:10 >>/etc/subgid"},
		{"u:x:1000:1000::/:/bin/sh\n", "1000:100000:65536\n", "u:200000:65536\n", ""},
		{"u:x:1000:1000::/:/bin/sh\n", "u:100000:65535\n", "u:200000:65536\n", "echo u:100000:65536 >>/etc/subuid"}, // one too few
		{"u:x:1000:1000::/:/bin/sh\n", "u:500000:65536\n", "u:500000:65536\n", "echo u:100000:65536 >>/etc/subuid && echo u:200000:10 >>/etc/subgid"},
		{"u:x:1000:1000::/:/bin/sh\n", "u:1:9\nu:90000:100000\n", "u:200005:10\nu:199990:20\n", ""},
	} {
		top := makeMachine(t, "/etc/lxc/")
		for name, text := range map[string]string{"passwd": c.passwd, "subuid": c.subuid, "subgid": c.subgid} {
			if err := os.WriteFile(top+"/etc/"+name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := idFacts(host.Below(top, "", false), 1000, ranges)["lend"]; got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestIDRemedy checks that a user is not told to have ids of the machine's own users lent.
func TestIDRemedy(t *testing.T) {
	top := makeMachine(t, "/etc/subuid=u:200000:65536\n/etc/subgid=u:300000:1000\n/etc/passwd=u:x:1000:1000::/:/bin/sh")
	for _, c := range []struct {
		outside uint32
		want    string
	}{
		{1, "In the config replace the lines of lxc.idmap by:\n  lxc.idmap = u 0 200000 65536\n  lxc.idmap = g 0 300000 1000"},
		{1000000, "First root must lend you the ids: echo u:1000000:10 >>/etc/subuid"},
		{200000, ""},
		{1000, "ids of this machine's own users"}, // ten, of which one is the user
	} {
		got := idRemedy(host.Below(top, "", false), 1000, []lxc.IDRange{{UID: true, Outside: c.outside, Count: 10}})
		if !strings.Contains(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "lend") != strings.Contains(c.want, "lend") {
			t.Errorf("%d: %q", c.outside, got)
		}
	}
}

// TestNoMap checks that create offers no ids that another user has, and the same ids as doctor.
func TestNoMap(t *testing.T) {
	for _, c := range []struct{ files, want string }{
		{"/etc/subuid=v:100000:65536\n/etc/subgid=v:100000:65536", "First root must lend you the ids: echo u:165536:65536 >>/etc/subuid && echo u:165536:65536 >>/etc/subgid"},
		{"/etc/subuid=u:200000:65536\n/etc/subgid=u:300000:1000", `mkdir -p ~/.config/lxc && printf '\nlxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\nlxc.idmap = u 0 200000 65536\nlxc.idmap = g 0 300000 1000\n' >>/default.conf`},
	} {
		top := makeMachine(t, c.files+"\n/etc/passwd=u:x:1000:1000::/:/bin/sh")
		machine := host.Below(top, "", false)
		got := noMap(machine, 1000, "/default.conf").(*mappedError).remedy
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: %q", c.files, got)
		}
		if lend := idFacts(machine, 1000, nil)["lend"]; !strings.Contains(got, lend) || strings.Contains(got, "must lend") != (lend != "") {
			t.Errorf("%q: doctor says %q", c.files, lend)
		}
	}
}
