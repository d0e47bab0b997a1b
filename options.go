package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
)

// defaultServer is the stock template's, and the one whose key is built in.
const defaultServer = "images.linuxcontainers.org"

// defaultVariant is the stock template's.
const defaultVariant = "default"

// Default places of LXC's files, as Debian and LXC itself install them.
const (
	defaultTemplateConfig = "/usr/share/lxc/config"
	defaultHookDir        = "/usr/share/lxc/hooks"
)

// options is what a call of the template, or of a command that makes or lists
// images, asks for.
type options struct {
	help, list, json, quiet, verbose bool

	dist, release, arch, variant string
	variantGiven                 bool

	servers      []string
	mirrors      []string
	mirrorLists  []string // files
	keyrings     []string // files
	keyids       []string // fingerprints
	keyserver    bool     // given, and ignored
	noValidate   bool
	network      networkOptions
	memory       int64
	verifyFirst  bool
	allowOlder   bool
	allowHost    bool // --allow-host-config
	selinux      bool // store the image's SELinux labels
	xattrs       bool // refuse a place that can't hold extended attributes
	report       string
	templateConf string
	hookDir      string

	cache, noCache, flushCache, forceCache, refresh bool

	cacheSize int64 // bytes; 0: not given
	all       bool  // of cache rm
	maxSize   int64 // of cache gc; 0: not given

	// What lxc-create passes.
	name, path, rootfs   string
	mappedUID, mappedGID string

	lxcPath string // -P
	config  string // -f
}

// stockOptions are the stock template's, LXC 7.0's; their names count by any
// unique prefix.
func stockOptions() []option {
	return []option{
		{short: 'd', long: "dist", arg: true},
		{short: 'r', long: "release", arg: true},
		{short: 'a', long: "arch", arg: true},
		{short: 'h', long: "help"},
		{short: 'l', long: "list"},
		{long: "variant", arg: true},
		{long: "server", arg: true},
		{long: "flush-cache"},
		{long: "force-cache"},
		{long: "verbose"},
		{long: "name", arg: true},
		{long: "path", arg: true},
		{long: "rootfs", arg: true},
		{long: "mapped-uid", arg: true},
		{long: "mapped-gid", arg: true},
	}
}

// ownOptions are those that the stock template of today lacks: of the template
// as it was when it had gpg, and ours. They count in full only, so that a
// prefix keeps the meaning it has for the stock template.
func ownOptions() []option {
	own := []option{
		{long: "no-validate"},
		{long: "keyid", arg: true},
		{long: "keyserver", arg: true},
		{long: "standard-resolver"},
		{long: "mirror", arg: true},
		{long: "mirror-list", arg: true},
		{long: "keyring", arg: true},
		{long: "memory", arg: true},
		{long: "cache-size", arg: true},
		{long: "verify-first"},
		{long: "allow-older"},
		{long: "allow-host-config"},
		{long: "selinux"},
		{long: "xattrs"},
		{long: "report", arg: true},
		{long: "template-config", arg: true},
		{long: "hook-dir", arg: true},
		{long: "no-cache"},
		{long: "refresh"},
		{short: 'q', long: "quiet"},
		{short: 'v', long: "verbose"},
		{long: "json"},
	}
	own = append(own, networkFlags()...)
	for i := range own {
		own[i].exact = true
	}
	return own
}

// readOptions reads the command line of a command that makes or lists images:
// the template's options, and extra ones of the command's own.
func readOptions(ui *ui, args []string, extra ...option) (opt options, operands []string, err error) {
	flags, operands, err := getopt(args, append(append(stockOptions(), ownOptions()...), extra...))
	if err == nil {
		err = opt.set(flags)
	}
	if err != nil {
		return opt, nil, err
	}
	ui.quiet, ui.verbose = opt.quiet, opt.verbose
	return opt, operands, nil
}

// set takes over the options in flags.
func (o *options) set(flags []flagValue) error {
	for _, f := range flags {
		if err := o.setOne(f.name, f.value); err != nil {
			return err
		}
	}
	if o.noCache && (o.forceCache || o.refresh || o.cache || o.cacheSize > 0) {
		return usageErrorf("--no-cache goes with none of --cache, --force-cache, --refresh, --cache-size")
	}
	return nil
}

func (o *options) setOne(name, value string) error {
	var err error
	switch name {
	case "help":
		o.help = true
	case "list":
		o.list = true
	case "json":
		o.json = true
	case "quiet":
		o.quiet = true
	case "verbose":
		o.verbose = true
	case "dist":
		o.dist = value
	case "release":
		o.release = value
	case "arch":
		o.arch = value
	case "variant":
		o.variant, o.variantGiven = value, true
	case "server":
		o.servers = append(o.servers, value)
	case "mirror":
		o.mirrors = append(o.mirrors, value)
	case "mirror-list":
		o.mirrorLists = append(o.mirrorLists, value)
	case "keyring":
		o.keyrings = append(o.keyrings, value)
	case "keyid":
		o.keyids = append(o.keyids, value)
	case "keyserver":
		o.keyserver = true
	case "standard-resolver": // of the gpg era; the resolver is always the standard one
	case "no-validate":
		o.noValidate = true
	case "memory":
		o.memory, err = parseSize(value)
	case "cache-size":
		o.cacheSize, err = parseSize(value)
	case "max-size":
		o.maxSize, err = parseSize(value)
	case "all":
		o.all = true
	case "verify-first":
		o.verifyFirst = true
	case "allow-older":
		o.allowOlder = true
	case "allow-host-config":
		o.allowHost = true
	case "selinux":
		o.selinux = true
	case "xattrs":
		o.xattrs = true
	case "report":
		o.report = value
	case "template-config":
		o.templateConf = value
	case "hook-dir":
		o.hookDir = value
	case "cache":
		o.cache = true
	case "no-cache":
		o.noCache = true
	case "flush-cache":
		o.flushCache = true
	case "force-cache":
		o.forceCache = true
	case "refresh":
		o.refresh = true
	case "name":
		o.name = value
	case "path":
		o.path = value
	case "rootfs":
		o.rootfs = value
	case "mapped-uid":
		o.mappedUID = value
	case "mapped-gid":
		o.mappedGID = value
	case "lxcpath":
		o.lxcPath = value
	case "config":
		o.config = value
	default:
		var known bool
		if known, err = o.network.set(name, value); !known {
			return fmt.Errorf("option %q is not read", name)
		}
	}
	if err != nil {
		return usageErrorf("--%s %q: %v", name, value, err)
	}
	return nil
}

// parseTime reads a time as RFC 3339, as a date, or as seconds since 1970.
func parseTime(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("not a time such as 2026-08-29, 2026-08-29T05:24:00Z or 1787980800")
}

// parseSize reads a number of bytes: digits, and K, M or G (powers of 1024).
func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	if s != "" {
		switch s[len(s)-1] {
		case 'k', 'K':
			digits, unit = s[:len(s)-1], 1<<10
		case 'm', 'M':
			digits, unit = s[:len(s)-1], 1<<20
		case 'g', 'G':
			digits, unit = s[:len(s)-1], 1<<30
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("not a size such as 24M")
	}
	return n * unit, nil
}

// mappedID reads --mapped-uid or --mapped-gid: the id, in the namespace, of the
// user who called lxc-create. LXC before 6.0.3 could pass garbage, and -1 or
// nothing means none.
func mappedID(s string) (id int, ok bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= 1<<32-1 {
		return -1, false
	}
	return int(n), true
}

// hostArch is the image servers' name for this machine.
func hostArch() string {
	var u unix.Utsname
	machine := ""
	if unix.Uname(&u) == nil {
		machine = unix.ByteSliceToString(u.Machine[:])
	}
	return cross.Host(runtime.GOARCH, machine)
}

// lxcFolder finds one of LXC's own folders: the option, the environment
// variable, the place beside the template folder in which this program is
// installed, the default. marker is a file that tells the right folder.
func lxcFolder(option, variable, beside, marker, fallback string) string {
	if option != "" {
		return option
	}
	if dir := os.Getenv(variable); dir != "" {
		return dir
	}
	for _, exe := range ownPaths() {
		dir := filepath.Join(filepath.Dir(filepath.Dir(exe)), beside)
		if _, err := os.Stat(filepath.Join(dir, marker)); err == nil {
			return dir
		}
	}
	return fallback
}

// ownPaths is where this program may be: the kernel's word, which needs /proc
// and has followed links, and the caller's, where that is a whole path.
func ownPaths() []string {
	var paths []string
	if exe, err := os.Executable(); err == nil {
		paths = append(paths, exe)
	}
	if filepath.IsAbs(os.Args[0]) {
		paths = append(paths, os.Args[0])
	}
	return paths
}

func (o *options) templateConfigDir() string {
	return strings.TrimRight(lxcFolder(o.templateConf, "LXC_TEMPLATE_CONFIG", "config", "common.conf", defaultTemplateConfig), "/")
}

func (o *options) hookDirectory() string {
	return strings.TrimRight(lxcFolder(o.hookDir, "LXC_HOOK_DIR", "hooks", ".", defaultHookDir), "/")
}
