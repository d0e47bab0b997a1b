package lxc

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A release is a model of how a series of LXC releases reads a config. It is written from
// parse.c and confile.c and shares no code with CheckConfig but the table of keys.
type release struct {
	version   float64
	splitAtCR bool // split lines at CR and LF (3.0.4 and later), not only at LF
	quotes    bool // remove a pair of quotes around a value (2.1 and later)
	whole     bool // compare most keys as a whole (4.0.7 and later), not only their beginning
}

func releases() []release {
	return []release{{1.0, false, false, false}, {1.1, false, false, false}, {2.0, false, false, false}, {2.1, false, true, false}, {3.0, false, true, false}, {3.2, true, true, false}, {4.0, true, true, false}, {5.0, true, true, true}, {7.0, true, true, true}}
}

// An item is a key and value that LXC reads: entry is the name in LXC's table, key the key
// in the text.
type item struct{ entry, key, value string }

// names lists the keys that a release knows.
func (r release) names() []string {
	var list []string
	for word := range strings.SplitSeq(keyTable, " ") {
		name, span, _ := strings.Cut(word, "@")
		name, _, _ = strings.Cut(name, "=")
		first, last, ended := strings.Cut(span, "-")
		if !ended {
			last = "99"
		}
		a, _ := strconv.ParseFloat(first, 64)
		b, _ := strconv.ParseFloat(last, 64)
		if a <= r.version && r.version <= b {
			list = append(list, "lxc."+name)
		}
	}
	return list
}

// cut splits a text into lines as lxc_file_for_each_line of the release does (parse.c).
func (r release) cut(text string) (lines []string) {
	for len(text) > 0 {
		end := strings.IndexByte(text, '\n')
		if r.splitAtCR {
			// strtok(3) on one string: it ends at a NUL, and empty lines are left out.
			text, _, _ = strings.Cut(text, "\x00")
			text = strings.TrimLeft(text, "\r\n")
			end = strings.IndexAny(text, "\r\n")
		}
		if end < 0 {
			end = len(text)
		}
		line, _, _ := strings.Cut(text[:end], "\x00") // a C string
		text = text[min(end+1, len(text)):]
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// read returns the items up to the first line that is an error (lxc_config_read in
// confile.c).
func (r release) read(text string) (items []item, ok bool) {
	items, bad := r.readTo(text)
	return items, bad == ""
}

// readTo is read, and also returns the line that is an error.
func (r release) readTo(text string) (items []item, bad string) {
	names := r.names()
	for _, whole := range r.cut(text) {
		line := whole
		for line != "" && (line[0] == ' ' || line[0] == '\t') {
			line = line[1:]
		}
		if len(line) < 4 || line[:4] != "lxc." {
			continue
		}
		at := strings.IndexByte(line, '=')
		if at < 0 {
			return items, whole
		}
		key, value := line[:at], line[at+1:]
		for key != "" && (key[len(key)-1] == ' ' || key[len(key)-1] == '\t') {
			key = key[:len(key)-1]
		}
		for value != "" && (value[0] == ' ' || value[0] == '\t') {
			value = value[1:]
		}
		for value != "" && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
			value = value[:len(value)-1]
		}
		if r.quotes && len(value) > 1 && (value[0] == '\'' || value[0] == '"') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		entry := ""
		for _, name := range names {
			same := name == key
			if !r.whole || strings.HasSuffix(name, ".") {
				same = strings.HasPrefix(key, name)
			}
			if same && len(name) > len(entry) {
				entry = name
			}
		}
		if entry == "" {
			return items, whole
		}
		items = append(items, item{entry, key, value})
	}
	return items, ""
}

// harmless reports whether an image may have the item. It decides by the meaning of the
// value, independently of Container.allows.
func (i item) harmless(templateConfig string) bool {
	words := strings.FieldsFunc(i.value, func(r rune) bool { return r == ' ' || r == '\t' })
	text := strings.Join(words, " ")
	switch i.entry {
	case "lxc.include":
		file := strings.TrimPrefix(i.value, templateConfig+"/")
		return file != i.value && !strings.ContainsAny(file, "/ \t\"'") && strings.HasSuffix(file, ".conf") && !strings.HasPrefix(file, ".") &&
			!strings.Contains(file, "nesting") && !strings.Contains(file, "oci")
	case "lxc.arch":
		return !strings.ContainsAny(i.value, "/. \t\"'") && i.value != ""
	case "lxc.cap.drop":
		for _, w := range words {
			if w == "none" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz_") != "" {
				return false
			}
		}
		return len(words) > 0
	case "lxc.mount.auto":
		for _, w := range words {
			if strings.Contains(w, "rw") || strings.Contains(w, "full") || strings.Contains(w, "/") || strings.Contains(w, "shm") {
				return false
			}
		}
		return len(words) > 0
	case "lxc.mount.entry":
		bind := len(words) > 3 && strings.Contains(words[3], "bind")
		made := strings.Contains(text, "create=") && (len(words) < 4 || words[1] != "dev/mqueue" && words[1] != "dev/shm" || !strings.Contains(words[3], "create=dir"))
		return len(words) >= 4 && !made && !strings.ContainsAny(text, "\\\"'") && !strings.Contains(text, "..") &&
			(bind && words[0] == "/"+words[1] && (strings.HasPrefix(words[0], "/sys/") || strings.HasPrefix(words[0], "/proc/sys/fs/")) && words[3] == "bind,optional" ||
				!bind && (words[2] == "tmpfs" || words[2] == "mqueue") && (words[1] == "run" || strings.HasPrefix(words[1], "dev/")))
	case "lxc.tty.max", "lxc.pty.max", "lxc.tty", "lxc.pts":
		return strings.Trim(i.value, "0123456789") == "" && i.value != "" && len(i.value) < 300 || i.key == "lxc.tty.dir"
	case "lxc.tty.dir":
		return i.value == "" || i.value == "lxc"
	case "lxc.autodev":
		return i.value == "1"
	case "lxc.uts.name":
		return i.value != "" && len(i.value) <= 64 && !strings.ContainsAny(i.value, "/ \t\"'")
	case "lxc.signal.halt", "lxc.signal.reboot", "lxc.signal.stop":
		return strings.HasPrefix(i.value, "SIG") && len(words) == 1
	case "lxc.environment":
		name, value, ok := strings.Cut(i.value, "=")
		return ok && slices.Contains([]string{"LANG", "LC_ALL", "TERM", "TZ"}, name) && !strings.ContainsAny(value, "/$`\"' \t;()[]{}")
	}
	return false
}

// FuzzCheckConfig checks that in a config which CheckConfig accepts no LXC from 1.0 to 7.0
// reads an item that an image may not have, and that LXC 3.2 and later accept every line of
// a config that CheckConfig accepts when the user allows foreign lines.
func FuzzCheckConfig(f *testing.F) {
	for word := range strings.SplitSeq(keyTable, " ") {
		name, _, _ := strings.Cut(word, "@")
		name, _, _ = strings.Cut(name, "=")
		for _, value := range []string{"", "1", "x", "/etc/x"} {
			f.Add("lxc." + name + "=" + value)
			f.Add("# x\rlxc." + name + "x = " + value + "\nlxc.tty.max = 4\n")
		}
	}
	for _, line := range foreignLines() {
		f.Add(line)
		f.Add("lxc.arch = x86_64\r" + line)
		f.Add("lxc.arch = x86_64\x00\n" + line)
	}
	for _, line := range []string{
		"lxc.include = /usr/share/lxc/config/common.conf\nlxc.arch = x86_64\n", "lxc.cap.drop = sys_module\tmknod", "lxc.mount.auto = proc sys:ro cgroup:mixed", "lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0",
		"lxc.mount.entry = /sys/fs/pstore sys/fs/pstore none bind,optional 0 0", "lxc.tty.dir = ", "lxc.environment = TERM=linux", "lxc.uts.name = a", "lxc.signal.stop = SIGRTMIN+14", "lxc.autodev = 1", "\ufefflxc.arch = x", "lxc.tty.max = 4 \\\nlxc.hook = x",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, config string) {
		if _, err := web.CheckConfig([]byte(config), false); err == nil {
			for _, r := range releases() {
				items, _ := r.read(config)
				for _, i := range items {
					if !i.harmless(web.TemplateConfig) {
						t.Fatalf("%q: LXC %.1f reads %q", config, r.version, i)
					}
				}
			}
		}
		if found, err := web.CheckConfig([]byte(config), true); err == nil {
			for _, r := range releases()[5:] {
				items, ok := r.read(config)
				if !ok && !usesEnded(config, r) {
					t.Fatalf("%q: LXC %.1f refuses it; ours found %+v", config, r.version, found)
				}
				for _, i := range items {
					if !strings.Contains(strings.Join(found.Foreign, "\n"), i.value) && !i.harmless(web.TemplateConfig) {
						t.Fatalf("%q: LXC %.1f reads %q, which the user is not told of", config, r.version, i)
					}
				}
			}
		}
	})
}

// usesEnded reports whether config has a key that some LXC from 3.0 to 7.0 knows and r does
// not. CheckConfig accepts such keys, because it does not know which LXC a machine has.
func usesEnded(config string, r release) bool {
	names := r.names()
	for line := range strings.SplitSeq(config, "\n") {
		key, _, _, ok := configItem(line)
		if !ok || refuseKey(key) != "" {
			continue
		}
		if !slices.ContainsFunc(names, func(n string) bool { return n == key || strings.HasSuffix(n, ".") && strings.HasPrefix(key, n) }) {
			return true
		}
	}
	return false
}

// TestModel checks the model on single lines, by LXC's sources.
func TestModel(t *testing.T) {
	for _, test := range []struct {
		version float64
		text    string
		want    string // entries and values; "!": an error
	}{
		{7.0, "# x\rlxc.hook.pre-start = /x", "lxc.hook.pre-start=/x"},
		{3.0, "# x\rlxc.hook.pre-start = /x", ""},
		{5.0, "lxc.tty.max = '4'", "lxc.tty.max=4"},
		{2.0, "lxc.tty = '4'", "lxc.tty='4'"},
		{4.0, "lxc.tty.maximum = 4", "lxc.tty.max=4"},
		{5.0, "lxc.tty.maximum = 4", "!"},
		{2.1, "lxc.network.type = veth", "lxc.network.=veth"},
		{5.0, "lxc.network.type = veth", "!"},
		{7.0, "lxc.cgroup.memory.limit = 1", "!"},
		{5.0, "lxc.cgroup.memory.limit = 1", "lxc.cgroup.=1"},
		{5.0, "lxc.arch = x\x00\nlxc.hook = y", "lxc.arch=x"},
		{2.0, "lxc.arch = x\x00z\nlxc.hook = y", "lxc.arch=x lxc.hook=y"},
		{5.0, "  \tlxc.arch\t = \t", "lxc.arch="},
		{5.0, "lxc.arch", "!"},
		{5.0, "\vlxc.hook = x", ""},
	} {
		at := slices.IndexFunc(releases(), func(r release) bool { return r.version == test.version })
		items, ok := releases()[at].read(test.text)
		var got []string
		for _, i := range items {
			got = append(got, i.entry+"="+i.value)
		}
		if !ok {
			got = append(got, "!")
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("LXC %.1f, %q: %q, want %q", test.version, test.text, s, test.want)
		}
	}
}
