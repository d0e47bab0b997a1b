package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
)

// An image for a machine that this one is not gets a warning, unless the kernel
// has an interpreter for it.
func TestWarnForeignMachine(t *testing.T) {
	foreign := "riscv64"
	if runtime.GOARCH == foreign {
		foreign = "s390x"
	}
	for arch, want := range map[string]bool{hostArch(): false, "": false, "unheard": false, foreign: !interpreted(foreign)} {
		var out bytes.Buffer
		c := newCreation(&ui{out: io.Discard, err: &out}, options{}, lxc.HostNamespace)
		c.warnOfImage(lxc.ImageConfig{}, arch)
		if got := strings.Contains(out.String(), `can't run`); got != want {
			t.Errorf("%q: %q", arch, out.String())
		}
	}
}

// The config in a container's folder may be anything where others may write:
// only a regular file is read, and nothing is waited for.
func TestReadBegun(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "config")
	if data, err := readBegun(dir); data != nil || err != nil {
		t.Errorf("none: %q, %v", data, err)
	}
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readBegun(dir); err == nil {
		t.Error("a FIFO is read")
	}
	os.Remove(name)
	if err := os.Symlink("/etc/passwd", name); err != nil {
		t.Fatal(err)
	}
	if _, err := readBegun(dir); err == nil {
		t.Error("a link is followed")
	}
	os.Remove(name)
	for size, ok := range map[int]bool{maxConfig: true, maxConfig + 1: false} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readBegun(dir); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestCheckContainerPath(t *testing.T) {
	for path, ok := range map[string]bool{"/lxc/web": true, "/l xc/w": true, "/lxc\n/web": false, "/lxc\x7f/web": false, "/lxc\r/web": false} {
		c := newCreation(&ui{out: io.Discard, err: io.Discard}, options{name: "web", path: path, rootfs: path + "/rootfs"}, lxc.HostNamespace)
		if err := c.checkContainer(nil); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}
