package pull

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The password of root is set where login looks for it, and nothing else changes.
func TestSetPassword(t *testing.T) {
	const passwd, shadow = "root:x:0:0:root:/root:/bin/sh\nroot2:x:0:0::/:/bin/sh\n", "a:b\nroot:*:20000:0:99999:7:::\n"
	for _, c := range []struct{ what, passwd, shadow, wantPasswd, wantShadow, err string }{
		{"shadow", passwd, shadow, passwd, "a:b\nroot:HASH:20000:0:99999:7:::\n", ""},
		{"an old password", passwd, "root:$6$x$y:1\n", passwd, "root:HASH:1\n", ""},
		{"the password of passwd counts", "root::0:0::/:/bin/sh\n", shadow, "root:x:0:0::/:/bin/sh\n", "a:b\nroot:HASH:20000:0:99999:7:::\n", ""},
		{"no shadow", passwd, "", strings.Replace(passwd, "x", "HASH", 1), "", ""},
		{"no line feed", "root:x", "", "root:HASH", "", ""},
		{"a user that is not root", "xroot:x:0:0\n", "", "", "", `"etc/passwd" has no line for root: omit --root-password-file, or choose another image`},
		{"shadow without root", passwd, "a:b\n", "", "", `"etc/shadow" has no line for root`},
		{"no field", passwd, "root:\nroot\n", passwd, "root:HASH\nroot\n", ""},
		{"no files", "", "", "", "", "neither etc/shadow nor etc/passwd"},
	} {
		r, dir := testRun(t)
		defer r.staging.root.Close()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"etc/passwd": c.passwd, "etc/shadow": c.shadow} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		err := r.setPassword("HASH")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.what, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		for name, want := range map[string]string{"etc/passwd": c.wantPasswd, "etc/shadow": c.wantShadow} {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if want != "" && (string(got) != want || err != nil) || want == "" && err == nil {
				t.Errorf("%s: %s is %q, %v", c.what, name, got, err)
			}
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().Perm() != 0o640 {
				t.Errorf("%s: the mode of %s is %v", c.what, name, info.Mode())
			}
		}
	}
}

// The keys go where sshd looks for them: below the home directory that etc/passwd names.
func TestAddKeys(t *testing.T) {
	for _, c := range []struct{ home, old, want string }{
		{"", "", "root/.ssh/authorized_keys"},
		{"/root", "", "root/.ssh/authorized_keys"},
		{"/", "", ".ssh/authorized_keys"},
		{"relative", "", "root/.ssh/authorized_keys"},
		{"/../..//home/./r", "", "home/r/.ssh/authorized_keys"},
		{"/root/", "one", "root/.ssh/authorized_keys"},
	} {
		r, dir := testRun(t)
		defer r.staging.root.Close()
		file := filepath.Join(dir, c.want)
		if c.home != "" {
			os.Mkdir(filepath.Join(dir, "etc"), 0o755)
			os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0::"+c.home+":/bin/sh\n"), 0o644)
		}
		want := "two\n"
		if c.old != "" {
			os.MkdirAll(filepath.Dir(file), 0o755)
			os.WriteFile(file, []byte(c.old), 0o644)
			want = c.old + "\ntwo\n"
		}
		if err := r.addKeys([]byte("two\n")); err != nil {
			t.Errorf("%q: %v", c.home, err)
		}
		got, err := os.ReadFile(file)
		if info, e := os.Stat(file); string(got) != want || err != nil || e != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%q: %q, %v", c.home, got, err)
		}
		if len(r.edited) != 2 || r.edited[1] != c.want {
			t.Errorf("%q: edited %q", c.home, r.edited)
		}
	}
}

// A home that is no path is an error that says so.
func TestHomeWithNUL(t *testing.T) {
	r, dir := testRun(t)
	defer r.staging.root.Close()
	os.Mkdir(filepath.Join(dir, "etc"), 0o755)
	os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0::/ro\x00ot:/bin/sh\n"), 0o644)
	if err := r.addKeys([]byte("two\n")); err == nil || err.Error() != `root's home in "etc/passwd" is not a path: "ro\x00ot"` {
		t.Error(err)
	}
}
