package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
	"lxc-pull/lxc"
)

// The includes that are followed: LXC's own go three deep, over a dozen files.
const (
	maxIncludeDepth = 16
	maxIncludeFiles = 1024
)

// checkContainer refuses, before anything is asked of the network, a container
// that LXC would refuse once it is made. before is the config with which it
// begins. Where lxc-create called, LXC has read that config and knows its own keys
// best: then a fault in it is a warning.
func (c *creation) checkContainer(before []byte) error {
	c.before = before
	if err := lxc.CheckName(c.opt.name); err != nil {
		return usageErrorf("name %q: %v", c.opt.name, err)
	}
	if strings.ContainsFunc(c.opt.path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return usageErrorf("path %q: a control character", c.opt.path)
	}
	const which = "the config with which the container begins"
	loaded, err := lxc.CheckLoads(before)
	if err != nil {
		err = fmt.Errorf("%s: %w", which, err)
	} else {
		err = c.checkLoaded(which, loaded)
	}
	if c.caller != nil {
		if err != nil {
			c.ui.warnf("%v", err)
		}
		return nil
	}
	if err == nil {
		for _, line := range loaded.Rootfs {
			c.ui.warnf("%s has %q; the container gets a root file system of its own", which, lxc.Shown(line))
		}
	}
	return err
}

// readBegun reads the config that lxc-create has left in a container's folder;
// nil where there is none.
func readBegun(path string) ([]byte, error) {
	folder, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	defer folder.close()
	data, _, err := folder.read("config")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// checkLoaded checks what a config names: architectures, and files to include.
func (c *creation) checkLoaded(which string, loaded lxc.Loaded) error {
	for _, arch := range loaded.Arch {
		if !cross.LXCKnows(arch) {
			return fmt.Errorf("%s has the lxc.arch %q, which is none that LXC knows", which, lxc.Shown(arch))
		}
	}
	var walk includeWalk
	for _, name := range loaded.Includes {
		err := walk.check(name, 0)
		if err != nil && c.withoutLXC {
			c.ui.warnf("%s includes %q, which this machine lacks", which, lxc.Shown(name))
			continue
		}
		if err != nil {
			return &missingIncludeError{which, name, err}
		}
	}
	return nil
}

// An includeWalk follows includes from file to file.
type includeWalk struct {
	files  int
	common bool // LXC's common.conf was among them
}

// check reports why LXC could not read an included file or directory, or one that
// it includes in turn (set_config_includefiles and do_includedir in confile.c).
// What else they hold is the host's.
func (w *includeWalk) check(name string, depth int) error {
	if w.files++; depth > maxIncludeDepth || w.files > maxIncludeFiles {
		return errors.New("too many files include each other")
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, "/") {
		return nil // LXC passes over a directory that is not there
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		list, err := os.ReadDir(name)
		for _, entry := range list {
			if file := entry.Name(); len(file) > len(".conf") && strings.HasSuffix(file, ".conf") && err == nil {
				err = w.check(filepath.Join(name, file), depth+1)
			}
		}
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a regular file", name)
	}
	data, err := readFileLimit(name, maxConfig)
	if err != nil {
		return err
	}
	w.common = w.common || filepath.Base(name) == "common.conf"
	for _, included := range lxc.Includes(data) {
		if err := w.check(included, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checkFinal reads the whole config that the container will have as LXC will,
// and finds out what it leaves out of LXC's protections.
func (c *creation) checkFinal(image []byte, fstab bool, found *lxc.ImageConfig) error {
	final, err := lxc.CheckLoads(c.container.Config(c.before, image, fstab))
	if err != nil && c.caller != nil {
		return nil // checkContainer has warned
	}
	if err != nil {
		return fmt.Errorf("the container's config: %w", err)
	}
	if final.Name != c.container.Name {
		return fmt.Errorf("LXC would read the name %q as %q", c.container.Name, lxc.Shown(final.Name))
	}
	found.Missing = final.Missing
	if final.Missing != nil {
		// A file that it includes may include common.conf in turn.
		var walk includeWalk
		for _, name := range final.Includes {
			walk.check(name, 0) // checkLoaded has looked at the error
		}
		if walk.common {
			found.Missing = nil
		}
	}
	return nil
}

// warnOfImage tells what the user should know of an image before it is fetched:
// lines that they let pass, protections that are left out, a foreign machine.
func (c *creation) warnOfImage(found lxc.ImageConfig, arch string) {
	for i, line := range found.Foreign {
		if i == maxLoosens {
			c.ui.warnf("the image's config has %d more lines that reach for the host", len(found.Foreign)-i)
			break
		}
		c.ui.warnf("--allow-host-config lets the image's config have %q", lxc.Shown(line))
	}
	if found.Missing != nil {
		c.ui.warnf("the image's config does not include LXC's common.conf: nothing %s", strings.Join(found.Missing, ", nothing "))
	}
	if found.Writable != nil {
		c.ui.warnf("the image's config gives the container the host's %s, where its root may write", strings.Join(found.Writable, ", "))
	}
	var u unix.Utsname
	if arch == "" || unix.Uname(&u) != nil {
		return
	}
	if machine := unix.ByteSliceToString(u.Machine[:]); !cross.Runs(runtime.GOARCH, machine, arch, runs32) && !interpreted(arch) {
		c.ui.warnf("the image is for %q, which this machine (%s) can't run: the container won't start without an emulator (binfmt_misc)", arch, machine)
	}
}

// runs32 reports whether a 64-bit ARM kernel runs 32-bit programs: without
// CONFIG_COMPAT, or on a processor without AArch32, it knows no such personality.
func runs32() bool {
	const linux32 = 8 // PER_LINUX32, linux/personality.h
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, _, err := unix.RawSyscall(unix.SYS_PERSONALITY, linux32, 0, 0)
	if err == 0 {
		unix.RawSyscall(unix.SYS_PERSONALITY, old, 0, 0)
	}
	return err != unix.EINVAL
}

// interpreted reports whether the kernel has an interpreter for programs of arch.
func interpreted(arch string) bool {
	const dir = "/proc/sys/fs/binfmt_misc"
	if status, err := readFileLimit(filepath.Join(dir, "status"), maxBinfmt); err != nil || !strings.HasPrefix(string(status), "enabled") {
		return false
	}
	list, _ := os.ReadDir(dir)
	for _, entry := range list {
		text, err := readFileLimit(filepath.Join(dir, entry.Name()), maxBinfmt)
		if err == nil && cross.Interprets(string(text), arch) {
			return true
		}
	}
	return false
}

// maxBinfmt is the longest entry of binfmt_misc in bytes: the kernel writes a page.
const maxBinfmt = 64 << 10
