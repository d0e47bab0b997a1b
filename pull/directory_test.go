package pull

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"lxc-pull/untar"
)

func openTestDir(t *testing.T) (f *directory, dir, config string) {
	dir = t.TempDir()
	f, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f, dir, filepath.Join(dir, "config")
}

func after(b []byte) []byte { return append(b, " after"...) }

// replace is prepare and publish.
func replace(f *directory, e edit) error {
	err := f.prepare(&e)
	if err == nil {
		err = f.publish(&e)
	}
	return err
}

// restore undoes a replace, also one that was killed in between.
func TestRestoreFiles(t *testing.T) {
	f, dir, config := openTestDir(t)
	if err := os.WriteFile(config, []byte("before"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, name := range containerFiles {
		if err := replace(f, edit{name: name, mode: 0o644, keep: true, uid: -1, gid: -1, content: after}); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(config); string(text) != "before after" {
		t.Fatalf("%q, %v", text, err)
	}
	if err := os.WriteFile(filepath.Join(dir, newName("config")), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second has nothing to do
		if err := f.restore(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(config)
		names, _ := os.ReadDir(dir)
		if string(text) != "before" || len(names) != 1 {
			t.Errorf("%q (%v), and %v", text, err, names)
		}
	}
	// Killed between the link and the rename.
	if err := os.Link(config, filepath.Join(dir, oldName("config"))); err != nil {
		t.Fatal(err)
	}
	if err := f.restore(); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("%v", names)
	}
}

// The container's root may put anything into its directory. A file with another name, a link
// and a special file are neither read nor copied, and a pipe makes nobody wait.
func TestForeignConfig(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(config string) error{
		"a link":           func(config string) error { return os.Symlink(secret, config) },
		"a link to itself": func(config string) error { return os.Symlink("config", config) },
		"a hard link":      func(config string) error { return os.Link(secret, config) },
		"a pipe":           func(config string) error { return syscall.Mkfifo(config, 0o644) },
		"a directory":      func(config string) error { return os.Mkdir(config, 0o755) },
		"a large file":     func(config string) error { return os.WriteFile(config, make([]byte, maxConfig+1), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			f, dir, config := openTestDir(t)
			if err := put(config); err != nil {
				t.Skip(err)
			}
			before, err := os.Lstat(config)
			if err != nil {
				t.Fatal(err)
			}
			err = replace(f, edit{name: "config", mode: 0o644, keep: true, uid: -1, gid: -1, content: after})
			if err == nil {
				t.Error("taken for a config")
			}
			there, err := os.Lstat(config)
			if err != nil || !os.SameFile(before, there) || there.Mode() != before.Mode() {
				t.Errorf("changed: %v, %v", there, err)
			}
			if names, _ := os.ReadDir(dir); len(names) != 1 {
				t.Errorf("left %v", names)
			}
		})
	}
	if text, err := os.ReadFile(secret); string(text) != "secret" {
		t.Errorf("the other file has %q, %v", text, err)
	}
}

// A link under the name of the new or the old file is not followed either.
func TestForeignNames(t *testing.T) {
	f, dir, config := openTestDir(t)
	secret := filepath.Join(t.TempDir(), "secret")
	for path, text := range map[string]string{secret: "secret", config: "before"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{newName("config"), oldName("config"), "fstab"} {
		if err := os.Symlink(secret, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := replace(f, edit{name: "config", mode: 0o644, keep: true, uid: -1, gid: -1, content: after}); err != nil {
		t.Error(err)
	}
	if err := f.restore(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(config); string(text) != "before" {
		t.Errorf("config has %q, %v", text, err)
	}
	if text, err := os.ReadFile(secret); string(text) != "secret" {
		t.Errorf("the other file has %q, %v", text, err)
	}
}

// The new file, which may belong to root, does not get the old file's set-user-ID bit.
func TestNoSetID(t *testing.T) {
	f, _, config := openTestDir(t)
	if err := os.WriteFile(config, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(config, 0o755|os.ModeSetuid|os.ModeSetgid|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := replace(f, edit{name: "config", mode: 0o644, uid: -1, gid: -1, content: after}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(config)
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The new file does not get the default ACL of the directory (acl(5)).
func TestNoInheritedACL(t *testing.T) {
	f, dir, config := openTestDir(t)
	// Version 2: user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::---.
	acl := []byte{2, 0, 0, 0}
	for _, e := range [][3]uint32{{1, 7, ^uint32(0)}, {2, 7, 1000}, {4, 5, ^uint32(0)}, {0x10, 7, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		acl = binary.LittleEndian.AppendUint16(acl, uint16(e[0]))
		acl = binary.LittleEndian.AppendUint16(acl, uint16(e[1]))
		acl = binary.LittleEndian.AppendUint32(acl, e[2])
	}
	if err := syscall.Setxattr(dir, "system.posix_acl_default", acl, 0); err != nil {
		t.Skipf("no ACLs here: %v", err)
	}
	if err := replace(f, edit{name: "config", mode: 0o640, uid: -1, gid: -1, content: after}); err != nil {
		t.Fatal(err)
	}
	if n, err := syscall.Getxattr(config, "system.posix_acl_access", nil); err != syscall.ENODATA {
		t.Errorf("the config has an ACL of %d bytes (%v)", n, err)
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestKeptName checks that a run which was killed between the link and the rename of replace
// does not stop later runs: its file has a second name, which is the one that replace keeps.
func TestKeptName(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "config")
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(name, filepath.Join(dir, oldName("config"))); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadConfig(dir); string(data) != "before" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	f, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if err := f.restore(); err != nil {
		t.Error(err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left: %v", names)
	}
	// Any other second name is somebody's.
	if err := os.Link(name, filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(dir); err == nil {
		t.Error("a config with another name is read")
	}
}

// No file gets its name before all of them are on the disk with the root file system.
func TestWriteContainerOrder(t *testing.T) {
	f, dir, config := openTestDir(t)
	if err := os.WriteFile(config, []byte("before"), 0o640); err != nil {
		t.Fatal(err)
	}
	root, err := untar.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	edits := func() []edit {
		return []edit{{name: "fstab", mode: 0o644, uid: -1, gid: -1, content: after}, {name: "config", uid: -1, gid: -1, keep: true, content: after}}
	}
	r := &run{staging: &staging{root: root, directory: f, dirExisted: true}}
	if !r.sharesDisk(f.file.Stat()) {
		t.Error("two directories of a test are on two file systems")
	}
	if err := r.writeContainer(edits()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"config": "before after", "fstab": " after", oldName("config"): "before"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); string(text) != want {
			t.Errorf("%s has %q, %v", name, text, err)
		}
	}
	root.Close() // now Sync fails
	if err := r.writeContainer(edits()); err == nil {
		t.Error("no error though the root can't be synced")
	}
	if text, err := os.ReadFile(config); string(text) != "before after" {
		t.Errorf("%q, %v", text, err)
	}
	if err := f.restore(); err != nil {
		t.Fatal(err)
	}
	names, _ := os.ReadDir(dir)
	if text, err := os.ReadFile(config); string(text) != "before" || len(names) != 2 {
		t.Errorf("%q (%v), and %v", text, err, names)
	}
}
