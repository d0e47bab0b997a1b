package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// The checks of doctor about LXC's files, and about the directories of containers and of the
// cache.

func (d *doctor) lxc(context.Context) []finding {
	path := host.InPath("lxc-start")
	if path == "" {
		return bad("lxc-start is not in PATH: containers can be made, but not started",
			d.install("lxc", "lxc lxc-templates", "lxc lxc-start lxc-stop lxc-attach lxc-info lxc-ls lxc-destroy lxc-create kmod-veth"))
	}
	version := d.machine.LXCVersion()
	if version == "" {
		return good(quoted(path) + ", version not known")
	}
	if major := version[:1]; major == "1" || major == "2" && !strings.HasPrefix(version, "2.1") && !strings.HasPrefix(version[1:], "0") {
		if strings.HasPrefix(version, "1.") || strings.HasPrefix(version, "2.") {
			return doubt("version "+quoted(version)+" does not know all keys of today's images", "Upgrade LXC to version 3.0 or later.")
		}
	}
	return good(quoted(path) + ", " + version)
}

// templates is LXC's directory of templates.
const templates = "/usr/share/lxc/templates"

func (d *doctor) template(context.Context) []finding {
	if !d.machine.Has(templates) {
		return nil // lxc-create is not here either
	}
	for _, name := range []string{"/lxc-pull", "/" + templateAlias} {
		path := d.machine.Real(templates + name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && isOurs(path) {
			if info.Mode()&0o111 == 0 {
				return bad(quoted(path)+" is not executable", "chmod a+x "+path)
			}
			return good("lxc-create -t " + strings.TrimPrefix(name, "/lxc-") + " runs this program")
		}
	}
	own, err := ownPath()
	if err != nil {
		own = "/usr/bin/lxc-pull"
	}
	return doubt("lxc-create -t pull does not find this program; lxc-pull create needs no template", "As root: "+shellWords([]string{"ln", "-s", own, templates + "/lxc-pull"}))
}

func (d *doctor) includes(context.Context) []finding {
	dir := host.TemplateConfig("")
	for _, name := range []string{"common.conf", "userns.conf"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(d.machine.Real(path)); err != nil {
			return bad(quoted(path)+", which the configs of images include, can't be read",
				d.install("--reinstall lxc", "lxc", "lxc-configs")+"; or pass create the option --template-config DIR")
		}
	}
	return good("common.conf and userns.conf in " + quoted(dir))
}

// path checks whether the directory of containers can be used.
func (d *doctor) path(context.Context) []finding {
	path := d.lxcPath
	real := d.machine.Real(path)
	from := ", by lxc.conf or the default"
	if d.given {
		from = ", by -P"
	}
	const other = "Name another directory: -P DIR, or lxc.lxcpath = DIR in lxc.conf."
	dir := host.NearestDir(real)
	info, err := os.Stat(real)
	switch {
	case err == nil && !info.IsDir():
		return bad(quoted(path)+" is not a directory", other)
	case d.uid != 0 && !host.Grants(dir, 2, uint32(d.uid), d.groups):
		return bad(fmt.Sprintf("this user may not write to %q", dir), other)
	case err != nil:
		from += "; create makes it"
	}
	if d.mapped() && len(d.ranges) > 0 {
		ids, err := lxc.RootIDs(d.ranges)
		for part := dir; err == nil; part = filepath.Dir(part) {
			if !host.Grants(part, 1, ids[0], []int{int(ids[1])}) {
				return bad(fmt.Sprintf("the container's root, user %d, may not pass through %q", ids[0], part), "chmod o+x "+shellWords([]string{part}))
			}
			if part == "/" || part == d.machine.Real("/") {
				break
			}
		}
	}
	return good(quoted(path) + from)
}

// Room below which an image does not fit, or only a small one does. A minimal Debian takes
// 300 MB, its desktop images take 1 GB and more; a file has 20 KB on average.
const (
	leastRoom   = 100 << 20
	enoughRoom  = 1 << 30
	leastFiles  = 2000
	enoughFiles = 50000
)

// pathRoom checks the free space where containers are.
func (d *doctor) pathRoom(context.Context) []finding {
	const remedy = "Free some, or name a directory on another disk: -P DIR, or lxc.lxcpath = DIR in lxc.conf."
	return roomIn(d.machine.Real(d.lxcPath), remedy)
}

// roomIn checks the free space of a directory, or of the nearest existing one above it.
func roomIn(path, remedy string) []finding {
	room, _, _, err := untar.Survey(host.NearestDir(path))
	if err != nil {
		return bad(err.Error(), remedy)
	}
	text, files := "the file system does not tell its room", ""
	if room.Bytes >= 0 {
		text = source.ByteCount(room.Bytes) + " free"
	}
	if room.Inodes >= 0 {
		files = fmt.Sprintf(", %d inodes", room.Inodes)
	}
	text += files
	switch {
	case room.Bytes >= 0 && room.Bytes < leastRoom, room.Inodes >= 0 && room.Inodes < leastFiles:
		return bad(text+": too little for most images", remedy)
	case room.Bytes >= 0 && room.Bytes < enoughRoom, room.Inodes >= 0 && room.Inodes < enoughFiles:
		return doubt(text+": enough for a small image", remedy)
	}
	return good(text)
}

// pathAbilities checks what the file system of containers can hold.
func (d *doctor) pathAbilities(context.Context) []finding {
	dir := host.NearestDir(d.machine.Real(d.lxcPath))
	_, name, flags, err := untar.Survey(dir)
	if err != nil {
		return bad(err.Error(), "Name another directory: -P DIR, or lxc.lxcpath = DIR in lxc.conf.")
	}
	remount := "As root: mount -o remount,%s " + strings.ReplaceAll(shellWords([]string{d.machine.MountPoint(dir)}), "%", "%%")
	const another = "Use ext4, f2fs, btrfs or xfs: -P DIR, or lxc.lxcpath = DIR in lxc.conf."
	switch name {
	case "vfat", "exfat", "ntfs", "sdcardfs", "cifs":
		return bad(name+" can't hold owners, modes and links", another)
	}
	switch {
	case flags&untar.ReadOnly != 0:
		return bad(name+" is mounted read-only", fmt.Sprintf(remount, "rw"))
	case flags&untar.NoExec != 0:
		return bad(name+" is mounted noexec: no program of a container can run", fmt.Sprintf(remount, "exec"))
	case flags&untar.NoSUID != 0:
		return doubt(name+" is mounted nosuid: su, sudo and ping fail in containers", fmt.Sprintf(remount, "suid"))
	case ignoresCase(dir):
		return bad(name+" ignores upper and lower case there", another)
	}
	switch name {
	case "fuse", "9p", "nfs", "ramfs":
		return doubt(name+" may lack owners or extended attributes (file capabilities, ACLs)", another)
	case "tmpfs":
		return doubt("tmpfs is in memory: containers are lost when the machine stops", another)
	}
	text := name + ", with owners, links and extended attributes"
	if flags&untar.NoDev != 0 {
		text += "; mounted nodev, which LXC does not mind"
	}
	return good(text)
}

// ignoresCase reports whether a directory has ext4's or f2fs's flag for that (FS_CASEFOLD_FL
// of ioctl_iflags(2)).
func ignoresCase(dir string) bool {
	const casefold = 0x40000000
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&casefold != 0
}

// cacheRoom checks the cache. Creations work without one, so it never fails.
func (d *doctor) cacheRoom(context.Context) []finding {
	base := d.cache
	const other = "Set LXC_CACHE_PATH to a directory on a disk, or pass --no-cache."
	if base == "" {
		return doubt("neither HOME nor LXC_CACHE_PATH is set: there is no cache", other)
	}
	if d.machine.Forgets(base) {
		return doubt(quoted(base)+" is in memory: images are not kept", other)
	}
	real := d.machine.Real(base)
	dir := host.NearestDir(real)
	info, err := os.Stat(real)
	if err == nil && !info.IsDir() {
		return doubt(quoted(base)+" is not a directory", other)
	}
	_, name, flags, err := untar.Survey(dir)
	switch {
	case err != nil:
		return doubt(err.Error(), other)
	case flags&untar.ReadOnly != 0:
		return doubt(quoted(base)+" is on a read-only mount ("+name+")", other)
	case d.uid != 0 && !host.Grants(dir, 2, uint32(d.uid), d.groups):
		return doubt(fmt.Sprintf("this user may not write to %q", dir), other)
	}
	found := roomIn(real, "lxc-pull cache gc removes what has expired; LXC_CACHE_PATH can name another directory.")
	if found[0].status == statusFail {
		found[0].status = statusWarn
	}
	found[0].text = quoted(base) + " on " + name + ": " + found[0].text
	return found
}
