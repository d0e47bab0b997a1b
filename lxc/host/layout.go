// Package host finds out how LXC is set up on this machine: its directories and settings
// on Debian, Android, Termux and OpenWrt, the user namespace of this process, and the
// subordinate ids of a user. It only reads files and changes nothing.
//
// Reading order: layout.go (directories and settings), namespace.go (user namespaces),
// subid.go (subordinate ids).
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

// maxConfig is the size of the largest file that readFile reads, in bytes. Real
// lxc.conf, default.conf, /etc/passwd and /etc/subuid have a few kilobytes.
const maxConfig = 1 << 20

// A Layout says where LXC keeps its settings, containers and images on this
// machine.
type Layout struct {
	Root   bool   // use root's settings, not an ordinary user's
	home   string // the user's home directory, "" if not known
	prefix string // the directory of Termux's files, "" elsewhere
	top    string // prepended to every path of the system; "" except in tests
}

// This returns the layout of this machine for the user of this process.
func This() *Layout {
	return &Layout{os.Geteuid() == 0, os.Getenv("HOME"), termuxPrefix(), ""}
}

// termuxPrefix returns the directory of Termux's files, "" elsewhere. Other programs set
// PREFIX too, so PREFIX alone does not show that this is Termux.
func termuxPrefix() string {
	prefix := os.Getenv("PREFIX")
	if filepath.IsAbs(prefix) && (strings.Contains(prefix, "com.termux") || os.Getenv("TERMUX_VERSION") != "") {
		return prefix
	}
	return ""
}

// has reports whether a path of the system exists.
func (l *Layout) has(path string) bool {
	_, err := os.Stat(l.top + path)
	return err == nil
}

// Android reports whether this is an Android system. All of them have the directory of
// system properties.
func (l *Layout) Android() bool { return l.has("/dev/__properties__") }

// openWrt reports whether this is an OpenWrt system.
func (l *Layout) openWrt() bool { return l.has("/etc/openwrt_release") }

// settings lists the directories that may hold lxc.conf and default.conf.
func (l *Layout) settings() []string {
	var dirs []string
	if !l.Root && l.home != "" {
		dirs = append(dirs, filepath.Join(l.home, ".config/lxc"))
	}
	if l.prefix != "" {
		dirs = append(dirs, filepath.Join(l.prefix, "etc/lxc"))
	}
	return append(dirs, l.top+"/etc/lxc")
}

// PullConfigs returns the paths of pull.conf, the settings of this program, beside LXC's own:
// the system's in the order in which they are read, and the user's, "" if the home directory
// is not known. Root has one, too. XDG_CONFIG_HOME stands for ~/.config (XDG Base Directory
// Specification).
func (l *Layout) PullConfigs() (system []string, user string) {
	const name = "/lxc/pull.conf"
	system = append(system, l.top+"/etc"+name)
	if l.prefix != "" {
		system = append(system, filepath.Join(l.prefix, "etc"+name))
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	switch {
	case filepath.IsAbs(dir):
		user = filepath.Clean(dir + name)
	case filepath.IsAbs(l.home):
		user = filepath.Clean(l.home + "/.config" + name)
	}
	return system, user
}

// UserConfig returns the path of the config that a new container of an ordinary user
// begins with: named if it is not empty, else the user's own default.conf.
func (l *Layout) UserConfig(named string) string {
	if named != "" {
		return named
	}
	return filepath.Join(l.settings()[0], "default.conf")
}

// setting returns the value of a key in lxc.conf, "" if no file sets it. An ordinary
// user's file comes before the system's (lxc_global_config_value in LXC's initutils.c).
func (l *Layout) setting(key string) string {
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

// LXCPath returns the directory of containers: lxc.lxcpath of lxc.conf, else the usual
// directory on this kind of system. LXC itself uses only lxc.conf and its default, so
// on other systems LXCPath returns LXC's default.
func (l *Layout) LXCPath() string {
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
		return "/srv/lxc" // Turris, where /var is in memory
	}
	return "/var/lib/lxc"
}

// CacheDir returns the directory of the image cache, chosen as in the stock template:
// LXC_CACHE_PATH if it is set; in a user namespace that an ordinary user created, and for
// an ordinary user, the user's cache; else the system's. It returns "" if the user's home
// directory is not known.
func (l *Layout) CacheDir(n lxc.Namespace) string {
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
func (l *Layout) systemCache() string {
	switch {
	case l.prefix != "":
		return filepath.Join(l.prefix, "var/cache/lxc")
	case l.Android():
		return "/data/lxc/.cache"
	}
	return "/var/cache/lxc"
}

// Forgets reports whether cache is the system's cache directory, is on a file system in
// memory, so that it is lost when the machine stops, and is not set by LXC_CACHE_PATH.
func (l *Layout) Forgets(cache string) bool {
	return os.Getenv("LXC_CACHE_PATH") == "" && cache == l.systemCache() && inMemory(cache)
}

// inMemory reports whether a directory is on a file system in memory, as /var is on
// OpenWrt. If it does not exist, the nearest existing directory above it counts.
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

// CacheOwners returns the users, besides root and the owner of the cache, who may own the
// directories above the cache. On Android /data belongs to the user system (AID_SYSTEM
// in android_filesystem_config.h), and Termux's directory, which also holds root's
// containers and cache, belongs to the user of the Termux app.
func (l *Layout) CacheOwners() []int {
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

// ConfigSource returns the path of the file that a new container's config begins with: named
// if it is not empty, else lxc.default_config of lxc.conf, else default.conf; "" if there is
// none.
func (l *Layout) ConfigSource(named string) string {
	if named == "" {
		named = l.setting("lxc.default_config")
	}
	for _, dir := range l.settings() {
		path := filepath.Join(dir, "default.conf")
		if _, err := os.Stat(path); named == "" && !errors.Is(err, fs.ErrNotExist) {
			named = path
		}
	}
	return named
}

// DefaultConfig returns the text that a new container's config begins with, the content of
// ConfigSource; "" if there is none. As in lxc-create, empty lines are left out, and lines of
// spaces and tabs become empty (parse_line in LXC's confile.c).
func (l *Layout) DefaultConfig(named string) ([]byte, error) {
	named = l.ConfigSource(named)
	if named == "" {
		return nil, nil
	}
	data, err := readFile(named)
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

// The default directories of LXC's own files.
const (
	defaultTemplateConfig = "/usr/share/lxc/config"
	defaultHookDir        = "/usr/share/lxc/hooks"
)

// TemplateConfig returns LXC's directory of configs to include: named if it is not
// empty, else the environment variable LXC_TEMPLATE_CONFIG, else the directory "config"
// beside the directory of this program, else the default.
func TemplateConfig(named string) string {
	return lxcDir(named, "LXC_TEMPLATE_CONFIG", "config", "common.conf", defaultTemplateConfig)
}

// HookDir returns LXC's directory of hooks. It is found as in TemplateConfig, with the
// variable LXC_HOOK_DIR and the directory "hooks".
func HookDir(named string) string {
	return lxcDir(named, "LXC_HOOK_DIR", "hooks", ".", defaultHookDir)
}

// lxcDir finds one of LXC's own directories for TemplateConfig and HookDir. The
// directory beside this program's counts only if it has a file called marker.
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

// ProgramPaths returns the known paths of this program: the path in the kernel, with
// symbolic links resolved, if /proc is mounted; and argv[0] if it is an absolute path.
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

// InPath returns the path of a program in a directory of PATH, "" if there is none. (Not
// exec.LookPath: it calls faccessat2, for which Android's system call filter kills the
// process.)
func InPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// readFile returns the content of a file of at most maxConfig bytes.
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
