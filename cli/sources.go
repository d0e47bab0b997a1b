package cli

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/image/cache"
	"lxc-pull/pull/source"
)

// This file reads the names of images that are neither in the index of an image server nor
// container images, and says which options make sense for which source:
//
//	images:ALIAS, ubuntu:ALIAS                    a known simplestreams server
//	https://HOST/PATH:ALIAS, or ALIAS             with --protocol simplestreams
//	https://HOST/FILE                             a tarball at a URL
//	./FILE, ../FILE, /FILE, ~/FILE                a tarball, a squashfs image, or a directory
//	FILE.bundle, bundle:FILE                      what export has written
//
// Nothing is guessed between them, because they differ in who vouches for the image: a word that
// may mean two things is refused with both.

// A sourceKind says where an image comes from.
type sourceKind byte

const (
	fromServer   sourceKind = iota // the index of an image server
	fromStreams                    // a simplestreams server
	fromRegistry                   // a registry or an archive of container images
	fromURL                        // a file at a URL
	fromFile                       // a file or directory of this machine, or standard input
	fromBundle                     // a bundle
)

// kindLetters has a letter for each sourceKind, by which optionTable names it.
const kindLetters = "isrufb"

// kindPhrases says for each sourceKind what an image of it is.
var kindPhrases = [...]string{
	"of an image server", "of a simplestreams server", "a container image", "a file at a URL", "a file or directory", "a bundle",
}

// A sourceName is the name of an image of another source than the index of an image server.
type sourceName struct {
	_     uncomparable
	kind  sourceKind
	word  string // as the user wrote it
	path  string // of a file or bundle; the URL of a file
	known string // the short name of a known server; "": none
	// server is the URL of a simplestreams server, "" if other options name it. alias is that of
	// the image, without the architecture and build; "": all images of the server.
	server, alias string
	byOptions     bool // --dist and --release name it
	mustSign      bool // --require-signature; set by finderOptions.use
}

// shown returns the name as an error may show it, without a password.
func (s *sourceName) shown() string {
	switch {
	case !strings.Contains(s.word, "://"):
		return s.word
	case s.kind == fromStreams:
		return fetch.ShowURL(s.server) + ":" + s.alias
	}
	return fetch.ShowURL(s.word)
}

// protocolHint ends errors about URLs that may name a simplestreams server.
const protocolHint = "; for an image of a simplestreams server write URL:ALIAS and pass --protocol simplestreams"

// title returns the name of a simplestreams server as list takes it; "": other options name it.
func (s *sourceName) title() string {
	if s.server == "" || s.known != "" && !strings.Contains(s.word, "://") {
		return s.known + strings.Repeat(":", min(1, len(s.known)))
	}
	return fetch.ShowURL(s.server)
}

// listWords returns the arguments after which "lxc-pull list" lists the images of a simplestreams
// server.
func (s *sourceName) listWords() string {
	switch name := s.title(); {
	case name == "":
		return "--protocol simplestreams"
	case strings.Contains(name, "://"):
		return "--protocol simplestreams " + shellWord(name)
	default:
		return name
	}
}

// has reports whether a cached image is of the server; nil stands for an image server with an
// index.
func (s *sourceName) has(info *cache.Info) bool {
	if s == nil || info.Kept == nil {
		return s == nil && info.Kept == nil
	}
	reference := info.Kept.Reference
	return s.known != "" && strings.HasPrefix(reference, s.known+":") || strings.HasPrefix(reference, s.server+" ")
}

// kind returns where the image comes from.
func (o *imageOptions) kind() sourceKind {
	switch {
	case o.container != "":
		return fromRegistry
	case o.named != nil:
		return o.named.kind
	}
	return fromServer
}

// word returns the name of an image of another source than an image server, without a password;
// "": the image is of one.
func (o *imageOptions) word() string {
	if o.named != nil {
		return o.named.shown()
	}
	return showName(o.container)
}

// wrongImage returns the usage error for the name of an image.
func wrongImage(word, why string) error {
	return &usageError{"image " + strconv.Quote(word) + ": " + why}
}

// isElsewhere reports whether a word is the name of a container image or of an image of another
// source, but no path: in place of a directory for a root file system it is a mistake.
func isElsewhere(word string) bool {
	named, err := readSource(word, false)
	return isContainer(word) || strings.Contains(word, "://") || err == nil && named != nil && !isPath(word)
}

// isPath reports whether a word is the path of a file or directory.
func isPath(word string) bool {
	first, _, slash := strings.Cut(word, "/")
	return first == "." || first == ".." || slash && (first == "" || first == "~")
}

// known returns the simplestreams server with that short name or URL, nil if there is none.
func known(name string) *source.KnownServer {
	if name == "" {
		return nil
	}
	return source.Known(name)
}

// knownNames returns the short names of simplestreams servers.
func knownNames() (names []string) {
	list := source.KnownServers()
	for i := range list {
		addTo(&names, list[i].Name)
	}
	return names
}

// readSource parses the name of an image of another source; streams says that image servers
// speak simplestreams (--protocol). It returns nil if the word may be a name in the index of an
// image server, and an error for a word with several meanings.
func readSource(word string, streams bool) (*sourceName, error) {
	scheme, rest, colon := strings.Cut(word, ":")
	s := &sourceName{word: word, path: word, kind: fromFile}
	if isPath(word) && word[0] == '~' {
		s.path = os.Getenv("HOME") + word[1:]
	}
	switch {
	case strings.Contains(word, "://"):
		return s, s.readURL(streams)
	case colon && scheme == "bundle":
		if s.kind, s.path = fromBundle, rest; rest == "" {
			return nil, wrongImage(word, "the path is missing: bundle:FILE")
		}
	case strings.HasSuffix(word, ".bundle"):
		s.kind = fromBundle
	case isPath(word):
	case colon && known(scheme) != nil:
		s.kind, s.known, s.server, s.alias = fromStreams, scheme, known(scheme).URL, rest
	default:
		if meaning := meanings(word); meaning != "" {
			return nil, wrongImage(word, meaning)
		}
		if !streams {
			return nil, nil
		}
		s.kind, s.alias = fromStreams, word
	}
	return s, nil
}

// readURL parses a URL: of a file or, with streams, of a simplestreams server and an image there.
func (s *sourceName) readURL(streams bool) error {
	word := s.word
	shown := fetch.ShowURL(word)
	scheme, rest, _ := strings.Cut(word, "://")
	authority, _, _ := strings.Cut(rest, "/")
	path, _, _ := strings.Cut(rest, "?")
	if strings.Contains(authority, "@") {
		return wrongImage(showName(word), "a name or password has no place in it: use --netrc-file or --header-file")
	}
	server, alias := splitAlias(word)
	if streams && among("http https file", scheme) {
		s.kind, s.server, s.alias = fromStreams, server, alias
		if k := known(server); k != nil {
			s.known = k.Name
		}
		return nil
	}
	s.kind = fromURL
	switch err := fetch.CheckURL(word); {
	case err != nil && alias != "" && fetch.CheckURL(server) == nil:
		return wrongImage(shown, "not a URL"+protocolHint)
	case err != nil:
		return &usageError{"image " + err.Error()}
	case strings.HasSuffix(path, "/"), !strings.Contains(path, "/"):
		return wrongImage(shown, "the URL names no file"+protocolHint)
	case strings.HasSuffix(path, ".bundle"):
		return wrongImage(shown, "a bundle must be on this machine: lxc-pull fetch "+shellWord(shown))
	}
	return nil
}

// splitAlias splits URL:ALIAS. What follows the host is a port only if it has digits alone.
func splitAlias(word string) (server, alias string) {
	begin := strings.Index(word, "://") + len("://")
	if strings.HasPrefix(word[begin:], "[") { // an IPv6 address
		begin += strings.IndexByte(word[begin:], ']') + 1
	}
	first := strings.IndexAny(word[begin:], ":/")
	if first < 0 {
		return word, ""
	}
	begin += first
	if word[begin] == ':' {
		port := strings.TrimLeft(word[begin+1:], "0123456789")
		if port == "" || port[0] == '/' || port[0] == ':' {
			begin = len(word) - len(port)
		}
	}
	server, alias, _ = strings.Cut(word[begin:], ":")
	return strings.TrimRight(word[:begin]+server, "/"), alias
}

// hasAlias reports whether a URL may be URL:ALIAS.
func hasAlias(word string) bool {
	_, alias := splitAlias(word)
	return alias != ""
}

// meanings returns what a word may mean that is no path by its form, if it is the name of a file
// or of a directory that may be a root file system; "": it is neither.
func meanings(word string) string {
	looksPacked := strings.Contains(word+".", ".tar.")
	for _, end := range [...]string{".tgz", ".squashfs", ".sqfs"} {
		looksPacked = looksPacked || strings.HasSuffix(word, end)
	}
	what := "the file ./"
	info, err := os.Stat(word)
	switch {
	case err != nil && !looksPacked:
		return ""
	case err == nil && info.IsDir():
		_, noEtc := os.Lstat(word + "/etc")
		if _, noUsr := os.Lstat(word + "/usr"); noEtc != nil && noUsr != nil {
			return "" // a directory "debian" is in each of Debian's source packages
		}
		what = "the directory ./"
	}
	text := "did you mean " + what + word
	if looksPacked {
		return text + " (a root file system), docker-archive:" + word + " (of docker save), or oci-archive:" + word + "?"
	}
	dist, release, slash := strings.Cut(word, "/")
	text += ", or -d " + shellWord(dist)
	if slash {
		text += " -r " + shellWord(release)
	}
	return text + ", of an image server?"
}

// takeSource makes a sourceName the image that is wanted. Of an alias it takes the build and the
// architecture.
func (o *imageOptions) takeSource(s *sourceName) error {
	o.named = s
	if s.kind != fromStreams {
		return nil
	}
	alias, build, pinned := strings.Cut(s.alias, "@")
	arch, kept := "", ""
	for i, part := range strings.Split(alias, "/") {
		switch {
		case i > 0 && arch == "" && isArch(part):
			arch = part
			continue
		case i > 0:
			kept += "/"
		}
		kept += part
	}
	s.alias = kept
	if strings.ContainsFunc(alias, isControl) || pinned && build == "" || strings.HasPrefix(kept, "/") || strings.HasSuffix(kept, "/") {
		return wrongImage(s.shown(), "not SERVER:ALIAS[@BUILD]")
	}
	for i, option := range []*string{&o.arch, &o.build} {
		if part := [...]string{arch, build}[i]; part != "" {
			if *option != "" && *option != part {
				return usageErrorf("image %q: an option says %q, not %q", s.shown(), *option, part)
			}
			*option = part
		}
	}
	return nil
}

// optionTable has a line for each option that makes no sense for every source: its name, and the
// letters of the sources that it is for. text/sources.txt has what these are.
const optionTable = `dist i
release i
variant is
build is
arch isruf
server is
protocol is
mirror isru
mirror-list isru
metadata uf
sha256 uf
entrypoint r
cmd r
env r
dhcp r
username r
password-file r
`

// checkOptions refuses options that make no sense for the source of the image, and two servers.
func (o *imageOptions) checkOptions(given []string) error {
	kind := o.kind()
	for _, option := range given {
		letters := lineOf(optionTable, option)
		why := ""
		switch {
		case letters == "", strings.IndexByte(letters, kindLetters[kind]) >= 0,
			o.container == "-" && strings.Contains(letters, "f"), // it may be a tarball
			among("dist release", option) && o.named != nil && o.named.byOptions:
			continue
		case kind == fromURL && option == "protocol":
			why = " lxc: " + strconv.Quote(o.word()) + " is then a file at a URL; for an image of a server write URL:ALIAS and pass --protocol simplestreams"
		case kind == fromRegistry && option == "server":
			why = " is an image server's, and the name " + strconv.Quote(o.word()) + " has the registry"
		default:
			table, _ := textOf(packedTexts, "sources.txt") // TestTexts finds damage
			why = " is for " + lineOf(table, "for-"+letters)
			if kind != fromServer {
				why += "; " + strconv.Quote(o.word()) + " is " + kindPhrases[kind]
			}
		}
		return &usageError{"--" + option + why}
	}
	if kind == fromStreams && !o.streams && slices.Contains(given, "protocol") {
		return &usageError{"--protocol lxc: " + strconv.Quote(o.word()) + " is " + kindPhrases[kind]}
	}
	return o.oneServer(given)
}

// checkThere returns an error if the image is a file or directory of this machine that this user
// can't read. It is told before anything about servers and settings.
func (o *imageOptions) checkThere() error {
	if o.kind() < fromFile || o.named.path == "-" {
		return nil
	}
	path := o.named.path
	info, err := os.Stat(path)
	if err == nil && (info.IsDir() || info.Mode().IsRegular()) { // opening another file may wait or have effects
		var fd int
		if fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return &fileError{option: "", name: path, err: withoutPath(err)}
	}
	return nil
}

// oneServer refuses --server beside the name of a simplestreams server.
func (o *imageOptions) oneServer(given []string) error {
	if o.kind() == fromStreams && o.named.server != "" && slices.Contains(given, "server") {
		return &usageError{"--server and " + strconv.Quote(o.named.title()) + " name two servers"}
	}
	return nil
}

// nameStreams makes an alias of --dist and --release for a simplestreams server.
func (o *imageOptions) nameStreams() {
	if o.kind() != fromServer || o.dist == "" {
		return
	}
	alias := o.dist
	if o.release != "" {
		alias += "/" + o.release
	}
	o.named = &sourceName{kind: fromStreams, word: alias, alias: alias, byOptions: true}
	o.dist, o.release = "", ""
}

// needAlias refuses the name of a simplestreams server without an image.
func (o *imageOptions) needAlias() error {
	if o.kind() != fromStreams || o.named.alias != "" {
		return nil
	}
	name := o.named.title()
	return &usageError{strconv.Quote(name) + " names no image: write " + strings.TrimSuffix(name, ":") + ":ALIAS; \"lxc-pull list " + o.named.listWords() + "\" shows them"}
}
