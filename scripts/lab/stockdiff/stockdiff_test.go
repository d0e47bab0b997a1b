package main

import (
	"os"
	"os/exec"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// The program calls itself; in a test it calls the test's binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == enterWord || os.Args[1] == insideWord) {
		main()
		return
	}
	os.Exit(m.Run())
}

// The stock template equals itself in everything, and changes are noticed.
func TestStockAgainstItself(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make namespaces and devices")
	}
	for _, name := range []string{"tar", "xz", "sed", "wget", "gpg", "/usr/share/lxc/templates/lxc-download"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs GNU tar, xz, sed, wget, gpg and LXC's template: %v", err)
		}
	}
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	cmd := exec.Command("/proc/self/exe", insideWord, "-n", "1", "self")
	cmd.SysProcAttr = ownMounts()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestSameSeedSameCase(t *testing.T) {
	for seed := range uint64(50) {
		if a, b := newCase(seed), newCase(seed); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d makes two cases", seed)
		}
	}
	if reflect.DeepEqual(newCase(1), newCase(2)) {
		t.Error("seeds 1 and 2 make the same case")
	}
}

// The seeds of a normal run include every form of a case.
func TestCasesVary(t *testing.T) {
	formats, forms, seconds := map[string]bool{}, map[string]bool{}, map[string]bool{}
	odd := 0
	for seed := uint64(1); seed <= 100; seed++ {
		c := newCase(seed)
		formats[c.packing.format] = true
		seconds[c.second] = true
		for name := range c.meta {
			forms[name] = true
		}
		if newPlan(c, outcomeNo, manifest{}).differences[literalTokens] {
			odd++
		}
	}
	if len(formats) != len(dialects) {
		t.Errorf("tar formats: %v", formats)
	}
	if len(seconds) != 5 {
		t.Errorf("second creations: %v", seconds)
	}
	for _, name := range []string{"config", "fstab", "expiry", "excludes", "templates", "create-message"} {
		for _, form := range []string{"", ".7", "-system", "-system.7", "-user", "-user.7"} {
			if !forms[name+form] {
				t.Errorf("no case has %s%s", name, form)
			}
		}
	}
	if odd == 0 {
		t.Error("no container's name has a character that sed reads")
	}
}

func TestResolve(t *testing.T) {
	dir := entry{kind: unix.S_IFDIR}
	link := func(to string) entry { return entry{kind: unix.S_IFLNK, sum: to} }
	m := manifest{
		".": dir, "etc": dir, "etc/f": {kind: unix.S_IFREG}, "usr": dir, "usr/f": {kind: unix.S_IFREG},
		"etc/l": link("f"), "etc/abs": link("/usr/f"), "etc/up": link("../usr/f"), "etc/out": link("../../f"), "etc/loop": link("loop"), "lib": link("usr"), "etc/none": link("nothing"),
	}
	for _, c := range []struct{ name, want string }{
		{"/etc/f", "etc/f"}, {"etc//./f", "etc/f"}, {"/etc/../usr/f", "usr/f"}, {"/etc/l", "etc/f"}, {"/etc/abs", "usr/f"}, {"/etc/up", "usr/f"},
		{"/lib/f", "usr/f"}, {"/", "."}, {"/etc/", "etc"},
		{"/etc/out", ""}, {"/etc/loop", ""}, {"/etc/none", ""}, {"../f", ""}, {"/etc/f/", ""}, {"/etc/f/.", ""}, {"/etc/f/../f", ""}, {"/no/f", ""},
	} {
		if got, ok := m.resolve(c.name); got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q, %v; want %q", c.name, got, ok, c.want)
		}
	}
}

func TestRelevant(t *testing.T) {
	for _, c := range []struct {
		have []string
		mode string
		want string
	}{
		{nil, "user", ""},
		{[]string{"x"}, "user", "x"},
		{[]string{"x", "x.7", "x.8"}, "user", "x.7"},
		{[]string{"x", "x-user", "x.7"}, "user", "x-user"},
		{[]string{"x-user", "x-user.7"}, "user", "x-user.7"},
		{[]string{"x-user.7"}, "user", ""},
		{[]string{"x", "x-user"}, "system", "x"},
	} {
		meta := map[string]metaFile{}
		for _, name := range c.have {
			meta[name] = metaFile{}
		}
		if got := relevant(meta, "x", c.mode); got != c.want {
			t.Errorf("%v, mode %s: %q, want %q", c.have, c.mode, got, c.want)
		}
	}
}

func TestChangesNoticesEverything(t *testing.T) {
	base := entry{kind: unix.S_IFREG, mode: 0o644, sum: "a", xattrs: map[string]string{"user.a": "b"}}
	for what, change := range map[string]func(e *entry){
		"mode":     func(e *entry) { e.mode = 0o600 },
		"owner":    func(e *entry) { e.uid = 1 },
		"contents": func(e *entry) { e.sum = "b" },
		"xattrs":   func(e *entry) { e.xattrs = nil },
		"type":     func(e *entry) { e.kind = unix.S_IFIFO },
		"time":     func(e *entry) { e.mtime = e.mtime.Add(1) },
		"link":     func(e *entry) { e.link = "other" },
	} {
		e := base
		change(&e)
		if len(changes(manifest{"canary": base}, manifest{"canary": e})) != 1 {
			t.Errorf("a new %s is not noticed", what)
		}
	}
	if len(changes(manifest{"a": base}, manifest{"b": base})) != 2 {
		t.Error("a file gone and a file come are not both noticed")
	}
	if found := changes(manifest{"a": base}, manifest{"a": base}); len(found) > 0 {
		t.Errorf("nothing changed, and yet: %q", found)
	}
}

// A report names attacks, so the names must be unique.
func TestAttackNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range slices.Concat(templateAttacks("/c"), dirAttacks("/c"), archiveAttacks("/c"), metaAttacks("/c"), configAttacks("/c"), indexAttacks(), messageAttacks(), cacheAttacks("/c")) {
		if seen[a.name] {
			t.Errorf("two attacks are called %q", a.name)
		}
		seen[a.name] = true
	}
}
