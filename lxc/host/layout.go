// Package host is this machine as LXC sees it: the directories and settings that LXC
// has on Debian, Android, Termux and OpenWrt, the user namespace that the program
// runs in, and the ids that an ordinary user may use.
//
// It reads the machine and changes nothing.
package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
)

// maxConfig is the largest settings file that is read, in bytes: lxc.conf,
// default.conf, /etc/passwd, /etc/subuid. Real ones have a few kilobytes.
const maxConfig = 1 << 20

// A Layout says where LXC keeps its settings, containers and images on this
// machine.
type Layout struct {
	Root   bool   // the settings are root's, not an ordinary user's
	home   string // "": none
	prefix string // Termux's tree, "" elsewhere
	top    string // before every path of the system: "", but in tests
}

// This returns the layout of this machine for the user of this process.
func This() Layout {
	return Layout{os.Geteuid() == 0, os.Getenv("HOME"), termuxPrefix(), ""}
}

// termuxPrefix returns the directory of Termux's tree, "" elsewhere. Others set
// PREFIX too, so that alone does not tell.
func termuxPrefix() string {
	prefix := os.Getenv("PREFIX")
	if filepath.IsAbs(prefix) && (strings.Contains(prefix, "com.termux") || os.Getenv("TERMUX_VERSION") != "") {
		return prefix
	}
	return ""
}

// has reports whether a path of the system exists.
func (l Layout) has(path string) bool {
	_, err := os.Stat(l.top + path)
	return err == nil
}

// Android reports whether this is an Android system: every one has the directory of
// its properties.
func (l Layout) Android() bool { return l.has("/dev/__properties__") }

// openWrt reports whether this is an OpenWrt system.
func (l Layout) openWrt() bool { return l.has("/etc/openwrt_release") }

// settings lists the directories that may hold lxc.conf and default.conf.
func (l Layout) settings() []string {
	var dirs []string
	if !l.Root && l.home != "" {
		dirs = append(dirs, filepath.Join(l.home, ".config/lxc"))
	}
	if l.prefix != "" {
		dirs = append(dirs, filepath.Join(l.prefix, "etc/lxc"))
	}
	return append(dirs, l.top+"/etc/lxc")
}

// UserConfig returns the path of the config that an ordinary user's containers
// begin with: the one that was named, else the user's own default.conf.
func (l Layout) UserConfig(named string) string {
	if named != "" {
		return named
	}
	return filepath.Join(l.settings()[0], "default.conf")
}

// setting returns the value of a key in lxc.conf, "" if no file sets it. As in
// LXC, an ordinary user's file comes before the system's.
func (l Layout) setting(key string) string {
	for _, dir := range l.settings() {
		data, err := readFile(filepath.Join(dir, "lxc.conf"))
		if err != nil {
			continue
		}
		value := ""
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			name, v, ok := strings.Cut(lines.Text(), "=")
			if ok && strings.TrimSpace(name) == key {
				value = strings.TrimSpace(v)
			}
		}
		if value != "" {
			return value
		}
	}
	return ""
}

// LXCPath returns the directory of containers: what lxc.conf says, else the usual one
// of this kind of system. LXC itself knows lxc.conf and its own default only, so a
// system of no special kind gets that default.
func (l Layout) LXCPath() string {
	if path := l.setting("lxc.lxcpath"); path != "" {
		return path
	}
	switch {
	case l.prefix != "":
		return filepath.Join(l.prefix, "var/lib/lxc")
	case !l.Root && l.home != "":
		return filepath.Join(l.home, ".local/share/lxc")
	case l.Android() && l.has("/data/lxc/containers"):
		return "/data/lxc/containers"
	case l.Android():
		return "/data/lxc" // there is no /var, and the root is read-only
	case l.openWrt() && l.has("/srv/lxc"):
		return "/srv/lxc" // Turris; /var is in memory
	}
	return "/var/lib/lxc"
}

// CacheDir returns the directory of the image cache, as the stock template
// chooses it: LXC_CACHE_PATH, else the system's, or the user's own in a user
// namespace that an ordinary user made. It is "" if there is none.
func (l Layout) CacheDir(n lxc.Namespace) string {
	if base := os.Getenv("LXC_CACHE_PATH"); base != "" {
		return base
	}
	if n == lxc.UserNamespace || os.Geteuid() != 0 {
		if l.home != "" {
			return filepath.Join(l.home, ".cache/lxc")
		}
		return ""
	}
	return l.systemCache()
}

// systemCache returns the directory of the system's image cache.
func (l Layout) systemCache() string {
	switch {
	case l.prefix != "":
		return filepath.Join(l.prefix, "var/cache/lxc")
	case l.Android():
		return "/data/lxc/.cache"
	}
	return "/var/cache/lxc"
}

// Forgets reports whether a cache directory is the system's and lies in memory, so
// that it is lost when the machine stops, and LXC_CACHE_PATH does not ask for it.
func (l Layout) Forgets(cache string) bool {
	return os.Getenv("LXC_CACHE_PATH") == "" && cache == l.systemCache() && inMemory(cache)
}

// inMemory reports whether a directory, or the nearest existing one above it, is on a
// file system in memory, as /var is on OpenWrt.
func inMemory(dir string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6 // linux/magic.h
	for {
		var st unix.Statfs_t
		switch err := unix.Statfs(dir, &st); {
		case err == nil:
			return uint32(st.Type) == tmpfs || uint32(st.Type) == ramfs
		case dir == "/" || err != unix.ENOENT:
			return false
		}
		dir = filepath.Dir(dir)
	}
}

// CacheOwners returns the users, besides root and the cache's own user, in whose
// directories the cache may lie. On Android /data belongs to the system's user
// (AID_SYSTEM), and Termux's tree, in which root's containers and their cache are
// too, to its app's.
func (l Layout) CacheOwners() []int {
	if !l.Android() {
		return nil
	}
	const system = 1000
	users := []int{system}
	var st unix.Stat_t
	if l.prefix != "" && unix.Stat(l.prefix, &st) == nil {
		users = append(users, int(st.Uid))
	}
	return users
}

// DefaultConfig returns the text that a new container's config begins with: that
// of the named file, else of the one that lxc.conf names, else of default.conf if
// there is one. As in lxc-create, empty lines are left out and lines of blanks
// become empty (parse_line in LXC's confile.c).
func (l Layout) DefaultConfig(named string) ([]byte, error) {
	var data []byte
	var err error
	if named == "" {
		named = l.setting("lxc.default_config")
	}
	if named != "" {
		data, err = readFile(named)
	} else {
		for _, dir := range l.settings() {
			data, err = readFile(filepath.Join(dir, "default.conf"))
			if !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, line := range lxc.ConfigLines(data) {
		if strings.Trim(line, " \t") == "" {
			line = ""
		}
		out = append(out, line+"\n"...)
	}
	return out, nil
}

// The directories of LXC's own files as LXC and Debian install them.
const (
	defaultTemplateConfig = "/usr/share/lxc/config"
	defaultHookDir        = "/usr/share/lxc/hooks"
)

// TemplateConfig returns LXC's directory of configs to include: named, else
// LXC_TEMPLATE_CONFIG, else the one beside the template directory that this program
// is installed in, else the default.
func TemplateConfig(named string) string {
	return lxcDir(named, "LXC_TEMPLATE_CONFIG", "config", "common.conf", defaultTemplateConfig)
}

// HookDir returns LXC's directory of hooks, found as TemplateConfig is; the variable
// is LXC_HOOK_DIR.
func HookDir(named string) string {
	return lxcDir(named, "LXC_HOOK_DIR", "hooks", ".", defaultHookDir)
}

// lxcDir finds one of LXC's own directories. marker is a file by which the right
// directory is known.
func lxcDir(named, variable, beside, marker, fallback string) string {
	dir := named
	if dir == "" {
		dir = os.Getenv(variable)
	}
	for _, exe := range ProgramPaths() {
		if dir != "" {
			break
		}
		there := filepath.Join(filepath.Dir(filepath.Dir(exe)), beside)
		if _, err := os.Stat(filepath.Join(there, marker)); err == nil {
			dir = there
		}
	}
	if dir == "" {
		dir = fallback
	}
	return strings.TrimRight(dir, "/")
}

// ProgramPaths returns the paths of this program that are known: the kernel's,
// which needs /proc and follows links, and the caller's if it is a whole path.
func ProgramPaths() []string {
	var paths []string
	if exe, err := os.Executable(); err == nil {
		paths = append(paths, exe)
	}
	if filepath.IsAbs(os.Args[0]) {
		paths = append(paths, os.Args[0])
	}
	return paths
}

// InPath returns the path of a program that PATH leads to, "" if it leads to none.
// (exec.LookPath makes a system call that Android's filter punishes.)
func InPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// readFile returns a file of at most maxConfig bytes.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("%q is larger than %d bytes", name, maxConfig)
	}
	return data, err
}
