package cli

import (
	"errors"
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

// This file has the options that several commands take, in groups. A command takes the
// groups that it names and its own, and refuses every other option. Each group is a small
// struct, which holds the values after parsing, and a table of flags. The help texts and
// the options in the manual page are printed from these tables (help.go).

// uncomparable, as the type of a struct's first field, forbids == of such structs. Otherwise the
// program would have code that compares them, and arrays of them of each length: 2 KB for flag.
type uncomparable [0]func()

// A flag is one option of the command line.
type flag struct {
	_     uncomparable
	short byte   // 0: none
	again bool   // it may be repeated, and each value counts
	more  bool   // "help COMMAND" shows it; --help, which fits a small screen, does not
	exact bool   // a prefix of the long name is not enough; so it makes no stock prefix ambiguous
	long  string // "": none
	value string // the name of its value in help texts, such as "DIST"; "": it takes no value
	help  string // "": the option is accepted, but help texts do not show it
	into  any    // where set stores the value; nil: the option has no effect
}

// A group is a table of flags under a title.
type group struct {
	title string
	flags []flag
}

// set stores the value that the command line gives to the flag.
func (f *flag) set(value string) (err error) {
	switch into := f.into.(type) {
	case nil:
	case *bool:
		*into = true
	case *string:
		*into = value
	case *[]string:
		addTo(into, value)
	case *shellWordList:
		*into, err = splitWords(value)
	case *int64: // a size
		*into, err = parseSize(value)
	case *time.Time:
		*into, err = parseTime(value)
	case func(string) error:
		err = into(value)
	case *ui:
		err = into.setFlag(f.long, value)
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

// byPrefix returns the group with long names that any unique prefix can stand for.
func (g *group) byPrefix() *group {
	for i := range g.flags {
		g.flags[i].exact = false
	}
	return g
}

// flagsOf returns the flags of all groups.
func flagsOf(groups []*group) []flag {
	var flags []flag
	for _, g := range groups {
		flags = append(flags, g.flags...)
	}
	return flags
}

// parse parses args by the flags in groups and stores their values. given has the names of
// the flags that args holds.
func parse(args []string, groups []*group) (given, operands []string, err error) {
	flags := flagsOf(groups)
	values, operands, err := getopt(args, flags)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range values {
		addTo(&given, flags[v.flag].name())
	}
	help := slices.Contains(given, "help") // then wrong values do not matter
	for _, v := range values {
		f := &flags[v.flag]
		err := f.set(v.value)
		var file *fileError
		if errors.As(err, &file) && !help {
			return nil, nil, &fileError{option: f.name(), name: v.value, err: file.err}
		}
		if err != nil && !help {
			return nil, nil, wrongValue(f.name(), v.value, err.Error())
		}
	}
	return given, operands, nil
}

// commonFlags returns the flags of nearly every command. Method run of command looks for
// them by name.
func commonFlags() *group {
	return &group{"Messages", []flag{
		{short: 'q', long: "quiet", help: "print errors only", exact: true},
		{short: 'v', long: "verbose", help: "print details"},
		eventsFlag(),
		{short: 'h', long: "help", help: "print a short help", more: true},
	}}
}

// imageOptions name an image.
type imageOptions struct {
	_                            uncomparable
	dist, release, arch, variant string

	container  string      // the name of a container image; "": it is none
	named      *sourceName // an image of another source than an image server; nil: it is none
	streams    bool        // image servers speak simplestreams
	build      string      // "": the newest
	loose      bool        // the list may have other names for the same
	anyVariant bool        // the user named no variant
}

// defaultVariant is the stock template's.
const defaultVariant = "default"

// group returns the flags of a command that unpacks one image.
func (o *imageOptions) group() *group {
	g := o.filters()
	g.flags[1].help += " (IMAGE without it: the newest stable one)"
	g.flags[2].help += " (default: this machine's, " + hostArch() + ")"
	g.flags[3].help += " (default: " + defaultVariant + ")"
	g.flags = append(g.flags, flag{long: "build", value: "BUILD", help: "this build of the image (default: the newest)", into: &o.build, exact: true, more: true})
	return g
}

// filters returns the flags of a command that is about all images which match.
func (o *imageOptions) filters() *group {
	return &group{"Which image", []flag{
		{short: 'd', long: "dist", value: "DIST", help: "distribution", into: &o.dist},
		{short: 'r', long: "release", value: "RELEASE", help: "release", into: &o.release},
		{short: 'a', long: "arch", value: "ARCH", help: "architecture", into: &o.arch},
		{long: "variant", value: "VARIANT", help: "variant", into: &o.variant},
	}}
}

// check refuses names that are not safe as parts of a path or a URL.
func (o *imageOptions) check() error {
	for _, f := range []struct{ name, value string }{
		{"dist", o.dist}, {"release", o.release}, {"arch", o.arch}, {"variant", o.variant}, {"build", o.build},
	} {
		if f.value == "" {
			continue
		}
		if err := image.CheckName(f.value); err != nil {
			return wrongValue(f.name, f.value, err.Error())
		}
	}
	return nil
}

// query returns the query for the image that the options name.
func (o *imageOptions) query() image.Query {
	return image.Query{
		Dist: o.dist, Release: o.release, Variant: o.variant, Arch: cross.Spellings(o.arch),
		Build: o.build, Loose: o.loose, AnyVariant: o.anyVariant,
	}
}

// isNamed reports whether the options name an image.
func (o *imageOptions) isNamed() bool { return o.dist != "" || o.kind() != fromServer }

// hostArch returns the name that image servers use for this machine's architecture.
func hostArch() string { return cross.Host(runtime.GOARCH, hostMachine()) }

// hostMachine returns the machine's name from uname(2), "" if it is not known.
func hostMachine() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Machine[:])
}

// serverOptions name the servers to ask.
type serverOptions struct {
	servers, mirrors, mirrorLists []string // mirrorLists are files
	streams                       bool     // the servers speak simplestreams
	settings                      []string // the servers of a setting, if the command line names none; only for check and info
}

func (o *serverOptions) group() *group {
	return &group{"Where from", []flag{
		{long: "server", value: "SERVER", help: "the image server (default: " + source.DefaultServer + ")", into: &o.servers, again: true},
		{long: "mirror", value: "SERVER", help: "download the image's files from this mirror, at the same path below it; for a container image, a mirror of its registry: HOST[:PORT][/PREFIX], asked for a tag only if the registry itself can't answer", into: &o.mirrors, again: true, exact: true, more: true},
		{long: "mirror-list", value: "FILE", help: "read mirrors from FILE, one on each line", into: &o.mirrorLists, again: true, exact: true, more: true},
	}}
}

// withProtocol returns the group of a command that can ask simplestreams servers.
func (o *serverOptions) withProtocol() *group {
	g := o.group()
	g.flags = append(g.flags, flag{long: "protocol", value: "PROTOCOL", help: "what --server speaks: lxc (the default), or simplestreams, as servers of Incus, LXD and Ubuntu do", into: o.setProtocol, exact: true, more: true})
	return g
}

// setProtocol sets --protocol.
func (o *serverOptions) setProtocol(value string) error {
	if value != "lxc" && value != "simplestreams" {
		return errors.New("use lxc or simplestreams")
	}
	o.streams = value == "simplestreams"
	return nil
}

// fileOptions are about an image in one file or in a directory.
type fileOptions struct {
	_        uncomparable
	metadata string // a path or URL; "": none
	digest   string // of the file, as hexadecimal digits; "": not known
}

func (o *fileOptions) group() *group {
	return &group{"Tarballs and directories", []flag{
		{long: "metadata", value: "FILE", help: "the metadata of LXC or Incus for the root file system (a path or URL); without it a config is written", into: &o.metadata, exact: true, more: true},
		{long: "sha256", value: "HEX", help: "the SHA-256 that the file must have: it vouches for a file at a URL", into: o.setDigest, exact: true, more: true},
	}}
}

// setDigest sets --sha256.
func (o *fileOptions) setDigest(value string) error {
	o.digest = strings.ToLower(value)
	_, err := image.ParseDigest("sha256:" + o.digest)
	if err != nil {
		err = errors.New("not 64 hexadecimal digits")
	}
	return err
}

// trustOptions say whose signatures count.
type trustOptions struct {
	keyrings   []string // files
	keyids     []string // fingerprints
	keyserver  bool     // --keyserver was given; it has no effect
	noValidate bool
	allowOlder bool

	requireSignature bool
}

func (o *trustOptions) group() *group {
	return &group{"Whom to trust", []flag{
		{long: "keyring", value: "FILE", help: "trust the keys in FILE instead of the built-in keys; of container images, keys of cosign (PEM)", into: &o.keyrings, again: true, exact: true, more: true},
		{long: "keyid", value: "FPR", help: "trust only the key with this fingerprint", into: &o.keyids, again: true, exact: true, more: true},
		{long: "no-validate", help: "do not verify signatures (dangerous)", into: &o.noValidate, exact: true, more: true},
		{long: "require-signature", help: "refuse an image that no trusted key has signed, from any source", into: &o.requireSignature, exact: true, more: true},
		{long: "allow-older", help: "accept an expired image, and an older build than an earlier run saw", into: &o.allowOlder, exact: true, more: true},
		// The stock template had these two while it used gpg.
		{long: "keyserver", value: "SERVER", into: func(string) error { o.keyserver = true; return nil }, exact: true},
		{long: "standard-resolver", exact: true},
	}}
}

// cacheOptions say how to use the image cache.
type cacheOptions struct {
	_                              uncomparable
	noCache, flush, force, refresh bool
	size                           int64 // most bytes to keep; 0: not given
}

func (o *cacheOptions) group() *group {
	return &group{"The cache", []flag{
		{long: "flush-cache", help: "first remove the image from the cache", into: &o.flush},
		{long: "force-cache", help: "use the cached image, even if it has expired", into: &o.force, more: true},
		{long: "no-cache", help: "do not use the cache", into: &o.noCache, exact: true},
		{long: "refresh", help: "ask the server for a newer build in any case", into: &o.refresh, exact: true},
		{long: "cache-size", value: "SIZE", help: "keep at most SIZE bytes of images in the cache, and what runs use now", into: &o.size, exact: true, more: true},
	}}
}

// check refuses options that exclude each other.
func (o *cacheOptions) check() error {
	if o.noCache && (o.force || o.refresh || o.size > 0) {
		return errNoCache
	}
	return nil
}

var errNoCache = usageErrorf("--no-cache excludes --cache, --force-cache, --refresh and --cache-size")

// unpackOptions say how to unpack an image.
type unpackOptions struct {
	_               uncomparable
	verifyFirst     bool
	memory          int64
	allowHost       bool
	selinux, xattrs bool
	report          string
	templateConfig  string
	hookDir         string
}

func (o *unpackOptions) group() *group {
	return &group{"How it is unpacked", []flag{
		{long: "verify-first", help: "download and verify everything before unpacking", into: &o.verifyFirst, exact: true, more: true},
		{long: "memory", value: "SIZE", help: "use at most SIZE bytes of memory (20M or more)", into: o.setMemory, exact: true, more: true},
		{long: "allow-host-config", help: "accept an image config that affects the host (dangerous)", into: &o.allowHost, exact: true, more: true},
		{long: "selinux", help: "restore the image's SELinux labels", into: &o.selinux, exact: true, more: true},
		{long: "xattrs", help: "fail on a file system without extended attributes", into: &o.xattrs, exact: true, more: true},
		{long: "report", value: "FILE", help: "write a JSON report of what was not restored, and why", into: &o.report, exact: true, more: true},
		{long: "template-config", value: "DIR", help: "directory of the configs that images include", into: &o.templateConfig, exact: true, more: true},
		{long: "hook-dir", value: "DIR", help: "directory of LXC's hooks", into: &o.hookDir, exact: true, more: true},
	}}
}

// leastMemory is the smallest value of --memory, in bytes: the program alone takes most of it.
const leastMemory = 20 << 20

// setMemory sets --memory.
func (o *unpackOptions) setMemory(value string) (err error) {
	if o.memory, err = parseSize(value); err == nil && o.memory < leastMemory {
		err = errors.New("at least 20M are needed")
	}
	return err
}

// callerOptions are the options that lxc-create passes to a template.
type callerOptions struct {
	_                    uncomparable
	name, path, rootfs   string
	mappedUID, mappedGID string
}

func (o *callerOptions) group() *group {
	return &group{"", []flag{
		{long: "name", value: "NAME", into: &o.name},
		{long: "path", value: "DIR", into: &o.path},
		{long: "rootfs", value: "DIR", into: &o.rootfs},
		{long: "mapped-uid", value: "UID", into: &o.mappedUID},
		{long: "mapped-gid", value: "GID", into: &o.mappedGID},
	}}
}

// similar returns the name that is most like word, "" if none is. Image.Distance counts the
// letters that differ; at most two may, and no more than half of them.
func similar(word string, names []string) string {
	best, least := "", min(2, len(word)/2)+1
	for _, name := range names {
		if len(word) > 4 && strings.HasPrefix(name, word) {
			return name
		}
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
			addTo(&names, f.long)
		}
	}
	return names
}

// unexpected refuses the last operand, which a command does not take.
func unexpected(operands []string) error {
	return usageErrorf("unexpected argument %q", operands[len(operands)-1])
}

// didYouMean returns the end of an error about an unknown word: a question that names the
// most similar of names, "" if none is similar. before stands before each name.
func didYouMean(word, before string, names []string) string {
	if name := similar(strings.TrimPrefix(word, before), names); name != "" {
		return fmt.Sprintf("; did you mean %s%s?", before, name)
	}
	return ""
}
