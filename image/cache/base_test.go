package cache

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBaseAbove checks that another user can't decide where LXC_CACHE_PATH leads.
func TestBaseAbove(t *testing.T) {
	needRoot(t)
	link := func(uid int, target, name string) error {
		return errors.Join(os.Symlink(target, name), os.Lchown(name, uid, uid))
	}
	for _, test := range []struct {
		name string
		make func(dir string) error // creates files below dir; BASE is a/cache there
		says string                 // part of the error; "": BASE is used
	}{
		{"absent", func(dir string) error { return nil }, ""},
		{"a stranger's directory", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/a", 0o755), os.Chown(dir+"/a", stranger, stranger))
		}, `a" belongs to user 54321`},
		{"one of Above", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/a", 0o755), os.Chown(dir+"/a", stranger+1, stranger+1))
		}, ""},
		{"a directory for all", func(dir string) error { return errors.Join(os.Mkdir(dir+"/a", 0o755), os.Chmod(dir+"/a", 0o777)) }, `a" may be written by other users`},
		{"a directory of a group", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/a", 0o755), os.Chown(dir+"/a", 0, stranger), os.Chmod(dir+"/a", 0o775))
		}, `a" may be written by other users`},
		{"a sticky directory", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/a", 0o755), os.Chmod(dir+"/a", 0o777|fs.ModeSticky))
		}, ""},
		{"a link in a sticky directory", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/a", 0o755), os.Chmod(dir+"/a", 0o777|fs.ModeSticky), link(stranger, dir+"/b", dir+"/a/cache"))
		}, `cache" is a link of user 54321`},
		{"a link to root's directory", func(dir string) error { return link(stranger, "b", dir+"/a") }, `a" is a link of user 54321`},
		{"root's link", func(dir string) error { return link(0, "b/./", dir+"/a") }, ""},
		{"root's whole link", func(dir string) error { return link(0, dir+"//b", dir+"/a") }, ""},
		{"root's link to a stranger's directory", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/c", 0o755), os.Chown(dir+"/c", stranger, stranger), link(0, "c", dir+"/a"))
		}, `c" belongs to user 54321`},
		{"a circle", func(dir string) error { return link(0, "a", dir+"/a") }, "too many levels"},
		{"a file", func(dir string) error { return os.WriteFile(dir+"/a", nil, 0o644) }, "not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Mkdir(dir+"/b", 0o755), test.make(dir)); err != nil {
				t.Fatal(err)
			}
			c := &Cache{Base: filepath.Join(dir, "a/cache"), Above: []int{stranger + 1}}
			slot, err := c.Lock(t.Context(), testName)
			if err == nil {
				slot.Unlock()
			}
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
			if _, err := os.Lstat(dir + "/b/cache"); (err == nil) != strings.Contains(test.name, "root's link") && !strings.Contains(test.name, "whole") && !strings.Contains(test.name, "stranger") {
				t.Errorf("the cache behind the link: %v", err)
			}
		})
	}
}

// groupACL is an access control list that lets another user write: user::rwx,
// user:54321:rwx, group::r-x, mask::rwx, other::r-x (linux/posix_acl_xattr.h).
func groupACL() []byte {
	acl := []byte{2, 0, 0, 0}
	for _, e := range [][3]uint32{{1, 7, 1<<32 - 1}, {2, 7, stranger}, {4, 5, 1<<32 - 1}, {0x10, 7, 1<<32 - 1}, {0x20, 5, 1<<32 - 1}} {
		acl = append(acl, byte(e[0]), 0, byte(e[1]), 0, byte(e[2]), byte(e[2]>>8), byte(e[2]>>16), byte(e[2]>>24))
	}
	return acl
}

// TestACL checks that a directory which an access control list lets another user write
// is not used, although its group has the number of its user.
func TestACL(t *testing.T) {
	needRoot(t)
	for _, place := range []string{"..", ".", "download", inEntry, inEntry + "/rootfs.tar.xz", inEntry + "/.lxc-pull"} {
		c := &Cache{Base: filepath.Join(t.TempDir(), "cache")}
		put(t, c, testName, "20260101", "r")
		path := filepath.Join(c.Base, place)
		if err := unix.Setxattr(path, "system.posix_acl_access", groupACL(), 0); errors.Is(err, unix.ENOTSUP) {
			t.Skip("the file system has no access control lists")
		} else if err != nil {
			t.Fatal(err)
		}
		e, err := c.Open(testName)
		if err == nil {
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "access control list") {
			t.Errorf("%s: %v", place, err)
		}
	}
}

// TestBaseInNamespace checks a user namespace in which the owner of "/" is not mapped:
// the cache below is used, but a link of a user who is not mapped is not followed.
func TestBaseInNamespace(t *testing.T) {
	needRoot(t)
	if base := os.Getenv("TEST_BASE"); base != "" {
		c := &Cache{Base: base}
		slot, err := c.Lock(t.Context(), testName)
		if err != nil {
			t.Fatal(err)
		}
		slot.Unlock()
		return
	}
	dir := t.TempDir()
	err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Mkdir(dir+"/own", 0o755), os.Symlink("own", dir+"/link"), os.Symlink("own", dir+"/mine"),
		os.Chown(dir+"/own", stranger, stranger), os.Lchown(dir+"/mine", stranger, stranger),
		os.Mkdir(dir+"/all", 0o755), os.Chmod(dir+"/all", 0o777|os.ModeSticky), os.Symlink("../own", dir+"/all/link"), os.Lchown(dir+"/all/link", stranger+1, stranger+1))
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"own": true, "mine": true, "link": true, "all/link": false} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestBaseInNamespace$")
		cmd.Env = append(os.Environ(), "TEST_BASE="+dir+"/"+name)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, Credential: &syscall.Credential{NoSetGroups: true},
			UidMappings: []syscall.SysProcIDMap{{HostID: stranger, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: stranger, Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Skipf("no user namespace: %v", err)
		}
		if (err == nil) != ok || err != nil && !strings.Contains(string(out), "is a link of user 65534") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
