package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each setting is an option that takes a value, and a list is one that may be repeated.
func TestSettingsAreOptions(t *testing.T) {
	flags := flagsOf(new(createCall).groups())
	for _, name := range settingNames() {
		kind, fallback := kindOf(name)
		if fallback == "" {
			t.Errorf("%s: nothing says what holds without it", name)
		}
		i := slices.IndexFunc(flags, func(f flag) bool { return f.long == name })
		if i < 0 && name == "progress" {
			t.Logf("no command has --%s yet", name)
			continue
		}
		if i < 0 || flags[i].value == "" && name != "require-signature" {
			t.Errorf("%s is no option with a value", name)
			continue
		}
		if f := flags[i]; f.again != (kind == "l" || kind == "F") || (f.value == "FILE") != (kind == "f" || kind == "F") {
			t.Errorf("%s is of the kind %q; the option takes %s, again: %v", name, kind, f.value, f.again)
		}
		if !strings.Contains(mustText(t, "config.usage"), name) {
			t.Errorf("the help of config does not have %s", name)
		}
	}
	for _, name := range strings.Fields(protections) {
		if kind, _ := kindOf(name); kind != "" || !slices.Contains(longNames(flags), name) {
			t.Errorf("%s: kind %q; an option: %v", name, kind, slices.Contains(longNames(flags), name))
		}
	}
	for _, name := range []string{"", " ", "serve", "server l", "none", "l", "server ", "server\n", "no-validate", "arch", "cert", "key", "header-file"} {
		if kind, _ := kindOf(name); kind != "" {
			t.Errorf("%q is a setting", name)
		}
	}
}

// The values that count, of files in the order of their ranks.
func TestWhichSettingsCount(t *testing.T) {
	for _, c := range []struct{ files, name, want string }{
		{"", "server", ""},
		{"server=a\nserver=b", "server", "a b"},
		{"server=a\nserver=b|server=c", "server", "c"},
		{"server=a|memory=1M", "server", "a"},
		{"memory=1M\nmemory=2M", "memory", "2M"},
		{"memory=1M\nmemory=2M|memory=3M|", "memory", "3M"},
		{"mirror=m\nserver=a", "mirror", "m"},
		{"server=a|mirror=m", "mirror", "m"},
		{"mirror=m|server=a", "mirror", ""},
		{"mirror-list=/l|server=a", "mirror-list", ""},
		{"mirror=m|server=a\nmirror=n", "mirror", "n"},
		{"mirror=m|server=a|mirror=o", "mirror", "o"},
		{"keyring=/k|server=a", "keyring", "/k"},
		{"keyring=k\nkeyring=./d/k\nkeyring=-", "keyring", "/d/k /d/./d/k /d/-"},
		{"dns=k", "dns", "k"},
	} {
		s := new(settings)
		for text := range strings.SplitSeq(c.files, "|") {
			s.rank++
			s.parse(text, "/d/pull.conf")
		}
		var got []string
		for _, x := range s.of(c.name) {
			got = append(got, x.value)
		}
		if strings.Join(got, " ") != c.want || s.errs != nil {
			t.Errorf("%q: %s is %q, want %q; %q", c.files, c.name, got, c.want, s.errs)
		}
	}
}

// Any text is read, or is an error with its line; nothing of a file crashes or hangs.
func FuzzSettings(f *testing.F) {
	f.Add("server = a\n# x\n\nmemory=1M\r\nx\n=\n= =\nno-validate=1")
	f.Fuzz(func(t *testing.T, text string) {
		s := new(settings)
		s.parse(text, "/d/pull.conf")
		lines := 0
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				lines++
			}
		}
		if n := len(s.list) + len(s.errs); n != lines && (n > lines || len(s.errs) != 20) {
			t.Errorf("%d settings and %d errors of %d lines", len(s.list), len(s.errs), lines)
		}
		for _, x := range s.list {
			if kind, _ := kindOf(x.name); kind == "" || x.value == "" || strings.Contains(x.value, "\n") {
				t.Errorf("%+v", *x)
			}
		}
	})
}

// An option of the command line hides the settings that it replaces or that it contradicts.
func TestGivenOptions(t *testing.T) {
	for _, c := range []struct{ given, server, mirror, size string }{
		{"", "a", "m", "1024"},
		{"server", "", "", "1024"},
		{"mirror", "a", "", "1024"},
		{"no-cache", "a", "m", "0"},
		{"cache-size", "a", "m", "0"},
		{"dist release", "a", "m", "1024"},
	} {
		s := new(settings)
		s.parse("server=a\nmirror=m\ncache-size=1K", "pull.conf")
		call := new(createCall)
		if s.give(flagsOf(call.groups()), strings.Fields(c.given)); s.errs != nil {
			t.Fatal(s.errs)
		}
		o := call.finder.servers
		if strings.Join(o.servers, " ") != c.server || strings.Join(o.mirrors, " ") != c.mirror || (call.finder.cache.size == 1024) != (c.size == "1024") {
			t.Errorf("--%s: servers %q, mirrors %q, cache size %d", c.given, o.servers, o.mirrors, call.finder.cache.size)
		}
	}
}

// Only a file that nobody else can change is read.
func TestOnlyOwnedFilesCount(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, ".config/lxc/pull.conf")
	me, another := []int{os.Geteuid()}, []int{os.Geteuid() + 1}
	write := func() {
		t.Helper()
		if err := os.RemoveAll(top + "/.config"); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{top, top + "/.config", top + "/.config/lxc"} {
			os.Mkdir(dir, 0o755)
			os.Chmod(dir, 0o755)
		}
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, 0o644)
	}
	for _, c := range []struct {
		name   string
		change func() error
		owners []int
		why    string // "": it is read
	}{
		{"the user's", func() error { return nil }, me, ""},
		{"another user's", func() error { return nil }, another, " belongs to user "},
		{"nobody's", func() error { return nil }, nil, " belongs to user "},
		{"group may write", func() error { return os.Chmod(path, 0o664) }, me, "others may write "},
		{"all may write", func() error { return os.Chmod(path, 0o646) }, me, "others may write "},
		{"all may write the directory", func() error { return os.Chmod(filepath.Dir(path), 0o777) }, me, "others may write "},
		{"group may write the one above", func() error { return os.Chmod(top+"/.config", 0o775) }, me, "others may write "},
		{"all may write the home", func() error { return os.Chmod(top, 0o757) }, me, "others may write "},
		{"no file", func() error { return os.Remove(path) }, me, absent},
		{"a file in place of the directory", func() error { os.RemoveAll(top + "/.config"); return os.WriteFile(top+"/.config", nil, 0o644) }, me, absent},
		{"a link in a loop", func() error { os.Remove(path); return os.Symlink(path, path) }, me, absent},
		{"the user's link", func() error { os.Rename(path, top+"/real"); return os.Symlink(top+"/real", path) }, me, ""},
		{"a link to a directory of all", func() error {
			os.Mkdir(top+"/.config/open", 0o755)
			os.Rename(path, top+"/.config/open/real")
			os.Symlink(top+"/.config/open/real", path)
			return os.Chmod(top+"/.config/open", 0o777)
		}, me, "others may write "},
		{"a link to a device", func() error { os.Remove(path); return os.Symlink("/dev/zero", path) }, append(me, 0), "others may write |not a regular file"},
		{"a FIFO", func() error { os.Remove(path); return unix.Mkfifo(path, 0o600) }, me, "not a regular file"},
		{"a directory", func() error { os.Remove(path); return os.Mkdir(path, 0o755) }, me, "not a regular file"},
		{"a large file", func() error { return os.Truncate(path, 1<<40) }, me, ""},
	} {
		write()
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		text, why := readOwned(path, c.owners, -1)
		if found := slices.ContainsFunc(strings.Split(c.why, "|"), func(part string) bool { return strings.Contains(why, part) }); !found || (why == "") != (c.why == "") {
			t.Errorf("%s: %q, want %q", c.name, why, c.why)
		}
		if (text != "") != (why == "") || len(text) > maxSettings+1 {
			t.Errorf("%s: %d bytes, %q", c.name, len(text), why)
		}
	}
}

// A file that only the user's private group may write counts (umask 002), and no other.
func TestPrivateGroup(t *testing.T) {
	const user = 12345
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	home := t.TempDir()
	path := filepath.Join(home, ".config/lxc/pull.conf")
	for _, c := range []struct {
		mode     os.FileMode
		uid, gid int
		private  int
		counts   bool
	}{
		{0o664, user, user, user, true},
		{0o666, user, user, user, false},
		{0o664, user, user + 1, user, false}, // a group of several users
		{0o664, 0, user, user, false},        // not the user's file
		{0o664, user, user, -1, false},       // the user's group is another one
		{0o664, 0, 0, 0, false},              // root's group may have members
	} {
		os.MkdirAll(filepath.Dir(path), 0o755)
		os.WriteFile(path, []byte("x"), 0o644)
		for _, part := range []string{path, filepath.Dir(path), home + "/.config", home} {
			mode := c.mode
			if part != path {
				mode |= 0o111
			}
			if err := os.Chown(part, c.uid, c.gid); err != nil {
				t.Skip(err) // a namespace without this id
			}
			os.Chmod(part, mode)
		}
		text, why := readOwned(path, []int{user, 0}, c.private)
		if c.counts != (text == "x") || !c.counts && !strings.HasPrefix(why, "its group or others may write ") {
			t.Errorf("%+v: %q, %q", c, text, why)
		}
	}
}

// Root does not take the settings of the user whose HOME it has.
func TestRootIgnoresUsersSettings(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	home := t.TempDir()
	path := filepath.Join(home, ".config/lxc/pull.conf")
	os.MkdirAll(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, []byte("server = evil.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	read := func() (value, warning string) {
		var out bytes.Buffer
		c := new(listCall)
		if _, err := (&ui{err: &out}).takeSettings(&command{name: "list", call: c}, flagsOf(c.groups()), nil, nil); err != nil {
			t.Fatal(err)
		}
		return strings.Join(c.finder.servers.servers, " "), out.String()
	}
	if value, warning := read(); value != "evil.example" || warning != "" {
		t.Errorf("root's own file: %q, %q", value, warning)
	}
	for _, part := range []string{home, filepath.Dir(path), path} {
		if err := os.Chown(part, 12345, 12345); err != nil {
			t.Skip(err) // a namespace without this id
		}
		if value, warning := read(); value != "" || !strings.Contains(warning, "belongs to user 12345") {
			t.Errorf("%s of another user: %q, %q", part, value, warning)
		}
		os.Chown(part, 0, 0)
	}
}

// Doctor does not wait for a file of settings that does not answer.
func TestSettingsInTime(t *testing.T) {
	begin := time.Now()
	never := make(chan bool)
	s := inTime(func() *settings { <-never; return nil })
	close(never)
	if err := s.fault(); err == nil || !strings.Contains(err.Error(), "pull.conf: no answer within 2 seconds") || time.Since(begin) > 10*time.Second {
		t.Error(err)
	}
	want := new(settings)
	if inTime(func() *settings { return want }) != want {
		t.Error("other settings")
	}
}
