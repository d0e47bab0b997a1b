package cli

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/pull/source"
)

// The options that several commands take, in groups: a command takes the groups that it
// names and its own, and refuses all others. A group is a small struct, which has the
// values after parse, and its table of flags. Help texts and the manual page's part on
// options are printed from the tables (help.go).

// A flag is one option.
type flag struct {
	short byte   // 0: none
	long  string // "": none
	value string // what its value stands for in help texts, "DIST"; "": it takes none
	help  string // "": it is accepted, and not shown
	into  any    // where its value goes (set); nil: nowhere
	again bool   // it may be given again, which adds to what was given
	more  bool   // it is not shown by --help, which fits a small screen, but by "help COMMAND"
	exact bool   // the long name counts only in full, never by a prefix
}

// A group is a table of flags under a title.
type group struct {
	title string
	flags []flag
}

// set takes over the value that a flag was given.
func (f *flag) set(value string) (err error) {
	switch into := f.into.(type) {
	case nil:
	case *bool:
		*into = true
	case *string:
		*into = value
	case *[]string:
		*into = append(*into, value)
	case *int64: // a size
		*into, err = parseSize(value)
	case *time.Time:
		*into, err = parseTime(value)
	case func(string) error:
		err = into(value)
	default:
		err = fmt.Errorf("a flag goes into a %T", into)
	}
	return err
}

// name returns the long name, or the short letter if there is none.
func (f *flag) name() string {
	if f.long != "" {
		return f.long
	}
	return string(f.short)
}

// byPrefix returns the group with all its long names counting by any unique prefix.
func (g group) byPrefix() group {
	for i := range g.flags {
		g.flags[i].exact = false
	}
	return g
}

// flagsOf returns the flags of all groups.
func flagsOf(groups []group) []flag {
	var flags []flag
	for _, g := range groups {
		flags = append(flags, g.flags...)
	}
	return flags
}

// parse reads a command line of the flags in groups. given has the names of those that
// it holds.
func parse(args []string, groups []group) (given, operands []string, err error) {
	flags := flagsOf(groups)
	values, operands, err := getopt(args, flags)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range values {
		if err := flags[v.flag].set(v.value); err != nil {
			return nil, nil, usageErrorf("--%s %q: %v", flags[v.flag].name(), v.value, err)
		}
		given = append(given, flags[v.flag].name())
	}
	return given, operands, nil
}

// commonFlags are those of nearly every command. Command.run goes by their names.
func commonFlags() group {
	return group{"Messages", []flag{
		{short: 'q', long: "quiet", help: "say less: errors only", exact: true},
		{short: 'v', long: "verbose", help: "say more"},
		{short: 'h', long: "help", help: "this text", more: true},
	}}
}

// imageOptions say which image is meant.
type imageOptions struct {
	dist, release, arch, variant string
}

// defaultVariant is the stock template's.
const defaultVariant = "default"

// group is the table of a command that makes something of one image.
func (o *imageOptions) group() group {
	g := o.filters()
	for i, value := range map[int]string{2: "this machine's, " + hostArch(), 3: defaultVariant} {
		g.flags[i].help += " (default: " + value + ")"
	}
	return g
}

// filters is the table of a command that is about all images unless an option says
// which.
func (o *imageOptions) filters() group {
	return group{"Which image", []flag{
		{short: 'd', long: "dist", value: "DIST", help: "distribution", into: &o.dist},
		{short: 'r', long: "release", value: "RELEASE", help: "release", into: &o.release},
		{short: 'a', long: "arch", value: "ARCH", help: "architecture", into: &o.arch},
		{long: "variant", value: "VARIANT", help: "variant", into: &o.variant},
	}}
}

// check refuses names that could leave their directory or the server's tree, before they
// meet a path or a URL.
func (o *imageOptions) check() error {
	for _, f := range []struct{ what, value string }{
		{"dist", o.dist}, {"release", o.release}, {"arch", o.arch}, {"variant", o.variant},
	} {
		if f.value == "" {
			continue
		}
		if err := image.CheckName(f.value); err != nil {
			return usageErrorf("--%s %q: %v", f.what, f.value, err)
		}
	}
	return nil
}

// query returns what the options say of the image.
func (o *imageOptions) query() image.Query {
	return image.Query{Dist: o.dist, Release: o.release, Variant: o.variant, Arch: cross.Spellings(o.arch)}
}

// hostArch returns the image servers' name for this machine.
func hostArch() string {
	var u unix.Utsname
	machine := ""
	if unix.Uname(&u) == nil {
		machine = unix.ByteSliceToString(u.Machine[:])
	}
	return cross.Host(runtime.GOARCH, machine)
}

// serverOptions say where images come from.
type serverOptions struct {
	servers, mirrors, mirrorLists []string // mirrorLists are files
}

func (o *serverOptions) group() group {
	return group{"Where from", []flag{
		{long: "server", value: "SERVER", help: "the image server (default: " + source.DefaultServer + ")", into: &o.servers, again: true},
		{long: "mirror", value: "SERVER", help: "take the bytes from there", into: &o.mirrors, again: true, exact: true},
		{long: "mirror-list", value: "FILE", help: "mirrors, one a line", into: &o.mirrorLists, again: true, exact: true, more: true},
	}}
}

// trustOptions say who may vouch for an image.
type trustOptions struct {
	keyrings   []string // files
	keyids     []string // fingerprints
	keyserver  bool     // given, and ignored
	noValidate bool
	allowOlder bool
}

func (o *trustOptions) group() group {
	return group{"Whom to trust", []flag{
		{long: "keyring", value: "FILE", help: "trust the keys in FILE, not the built-in one", into: &o.keyrings, again: true, exact: true},
		{long: "keyid", value: "FPR", help: "of the trusted keys, take only this one", into: &o.keyids, again: true, exact: true, more: true},
		{long: "no-validate", help: "check no signature (dangerous)", into: &o.noValidate, exact: true},
		{long: "allow-older", help: "accept an older build than was seen before", into: &o.allowOlder, exact: true, more: true},
		// Of the stock template as it was when it had gpg.
		{long: "keyserver", value: "SERVER", into: func(string) error { o.keyserver = true; return nil }, exact: true},
		{long: "standard-resolver", exact: true},
	}}
}

// cacheOptions say how the image cache is used.
type cacheOptions struct {
	noCache, flush, force, refresh bool
	size                           int64 // bytes that it may keep; 0: not given
}

func (o *cacheOptions) group() group {
	return group{"The cache", []flag{
		{long: "flush-cache", help: "remove the image from the cache first", into: &o.flush, more: true},
		{long: "force-cache", help: "use the cached image, even if it has expired", into: &o.force, more: true},
		{long: "no-cache", help: "use no cache", into: &o.noCache, exact: true},
		{long: "refresh", help: "ask the server, even if the cached image is fresh", into: &o.refresh, exact: true, more: true},
		{long: "cache-size", value: "SIZE", help: "keep at most SIZE bytes of images", into: &o.size, exact: true, more: true},
	}}
}

func (o *cacheOptions) check() error {
	if o.noCache && (o.force || o.refresh || o.size > 0) {
		return usageErrorf("--no-cache goes with none of --cache, --force-cache, --refresh, --cache-size")
	}
	return nil
}

// unpackOptions say how an image becomes a container or a root file system.
type unpackOptions struct {
	verifyFirst     bool
	memory          int64
	allowHost       bool
	selinux, xattrs bool
	report          string
	templateConfig  string
	hookDir         string
}

func (o *unpackOptions) group() group {
	return group{"How it is unpacked", []flag{
		{long: "verify-first", help: "download and verify all of it, then unpack", into: &o.verifyFirst, exact: true, more: true},
		{long: "memory", value: "SIZE", help: "the most memory to take, at least 20M", into: &o.memory, exact: true, more: true},
		{long: "allow-host-config", help: "let the image configure the host (dangerous)", into: &o.allowHost, exact: true, more: true},
		{long: "selinux", help: "store the image's SELinux labels", into: &o.selinux, exact: true, more: true},
		{long: "xattrs", help: "refuse a place without extended attributes", into: &o.xattrs, exact: true, more: true},
		{long: "report", value: "FILE", help: "write what was skipped and why, as JSON", into: &o.report, exact: true, more: true},
		{long: "template-config", value: "DIR", help: "LXC's directory of configs to include", into: &o.templateConfig, exact: true, more: true},
		{long: "hook-dir", value: "DIR", help: "LXC's directory of hooks", into: &o.hookDir, exact: true, more: true},
	}}
}

// callerOptions are what lxc-create, or this program, passes to itself.
type callerOptions struct {
	name, path, rootfs   string
	mappedUID, mappedGID string
}

func (o *callerOptions) group() group {
	return group{"", []flag{
		{long: "name", value: "NAME", into: &o.name},
		{long: "path", value: "DIR", into: &o.path},
		{long: "rootfs", value: "DIR", into: &o.rootfs},
		{long: "mapped-uid", value: "UID", into: &o.mappedUID},
		{long: "mapped-gid", value: "GID", into: &o.mappedGID},
	}}
}

// similar returns the one of names that word was most likely meant to be, "" if none is
// near.
func similar(word string, names []string) string {
	best, least := "", min(2, len(word)/2)+1 // more letters must not differ
	for _, name := range names {
		if d := image.Distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// longNames returns the long names of the flags that help texts show.
func longNames(flags []flag) []string {
	var names []string
	for _, f := range flags {
		if f.long != "" && f.help != "" && !slices.Contains(names, f.long) {
			names = append(names, f.long)
		}
	}
	return names
}

// didYouMean ends an error about a word that is none of names.
func didYouMean(word, before string, names []string) string {
	if name := similar(strings.TrimPrefix(word, before), names); name != "" {
		return fmt.Sprintf("; did you mean %s%s?", before, name)
	}
	return ""
}
