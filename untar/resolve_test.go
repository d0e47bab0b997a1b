package untar

import (
	"errors"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "etc/hostname=h", "usr/lib/f=x", "lib->usr/lib", "abs->/usr/lib", "dots->usr/../etc/./hostname", "out->../victim/hello",
		"etc/up->../etc/hostname", "etc/above->../../victim", "absup->/../etc", "loop->loop", "dangling->nowhere/x", "chain->lib", "etc/file->/lib/f")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct{ name, want string }{
		{"/etc/hostname", "etc/hostname"},
		{"etc//./hostname", "etc/hostname"},
		{"../../etc/hostname", "etc/hostname"}, // as for a process in a chroot
		{"lib/f", "usr/lib/f"},
		{"abs/f", "usr/lib/f"},
		{"chain/f", "usr/lib/f"},
		{"dots", "etc/hostname"},
		{"etc/up", "etc/hostname"},
		{"etc/file", "usr/lib/f"},
		{"lib/../x", "usr/x"},
		{"", ""},
		{"/", ""},
		{"out", "outside"},
		{"etc/above/hello", "outside"},
		{"absup/hostname", "outside"},
		{"loop", "error"},
		{"nowhere/x", "error"},
		{"dangling", "error"},
		{"etc/hostname/x", "error"},
		{"x", "x"},
		{strings.Repeat("n", 256), "error"},
	} {
		path, err := r.resolve(c.name, resolveOptions{last: true})
		got := string(path)
		var outside *OutsideError
		if errors.As(err, &outside) {
			got = "outside"
		} else if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%q is %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

func TestMkdirAll(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "real/", "dev->real", "out->../victim", "file=x")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.MkdirAll("dev/pts/", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.MkdirAll("/a/b/c", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"real/pts dir 0755", "a/b/c dir 0755"} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	var outside *OutsideError
	if err := r.MkdirAll("out/pts", 0o755); !errors.As(err, &outside) {
		t.Errorf("below a link to outside: %v", err)
	}
	if err := r.MkdirAll("file", 0o755); err == nil {
		t.Error("a file passes for a directory")
	}
	s.check(t)
}
