package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
)

// This file reads the names of container images on the command line, and the options about
// them:
//
//	docker:NAME, docker://HOST/NAME:TAG@DIGEST, docker+http://HOST/NAME   a registry
//	oci://HOST/NAME                                                       a registry
//	oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] on this machine
//	-                                                                     an archive from standard input
//
// A name without a scheme is one of an image server, and sources.go reads the others. Nothing is
// guessed between them, because they differ in who vouches for the image.

// containerSchemes are the schemes of container images, otherSchemes those that other programs
// have (containers-transports(5)).
const (
	containerSchemes = "docker docker+http oci docker-archive oci-archive"
	otherSchemes     = "containers-storage docker-daemon dir ostree sif tarball"
)

// containerForms says how container images are named, for errors.
const containerForms = "docker:NAME[:TAG], oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE"

// isContainer reports whether a word is the name of a container image.
func isContainer(word string) bool {
	scheme, _, found := strings.Cut(word, ":")
	return word == "-" || found && among(containerSchemes, scheme)
}

// unclear returns what a word may mean that neither names a container image nor can be the name
// of an image on an image server; "" if it can be the latter.
func unclear(word string) string {
	name, digest, _ := strings.Cut(word, "@") // a build may have a colon
	scheme, rest, colon := strings.Cut(name, ":")
	first, _, slash := strings.Cut(name, "/")
	switch {
	case colon && among(otherSchemes, scheme):
		return "images can't be taken from " + scheme + ":; use " + containerForms
	case strings.Contains(name, "://"):
		return "a URL is not the name of an image; the forms of container images are " + containerForms
	case strings.HasPrefix(strings.TrimLeft(name, "."), "/"), strings.HasPrefix(name, "~"), strings.Contains(name+".", ".tar."), strings.HasSuffix(name, ".tgz"):
		path := shellWord(word)
		return "a file is named docker-archive:" + path + " (of docker save) or oci-archive:" + path + ", an OCI layout oci:DIR"
	case colon && among(distributions, scheme) && rest != "":
		return "did you mean docker:" + word + ", of a registry, or " + scheme + "/" + rest + ", of an image server?"
	case colon && (among("incus lxd lxc", scheme) || strings.Contains(rest, "/") && strings.Trim(rest[:1], "0123456789") != "") && rest != "" && similar(scheme, knownWords()) == "":
		return "no server has the short name " + strconv.Quote(scheme) + "; did you mean images:" + rest + "?"
	case colon && rest != "" && similar(scheme, knownWords()) != "":
		return "did you mean " + similar(scheme, knownWords()) + ":" + rest + "?"
	case colon, strings.HasPrefix(digest, "sha256:"), slash && (strings.Contains(first, ".") || first == "localhost"):
		return "did you mean docker:" + word + ", of a registry?"
	}
	return ""
}

// knownWords returns the short names of servers, and the schemes of container images.
func knownWords() []string { return append(knownNames(), strings.Fields(containerSchemes)...) }

// refuse returns the error for a word of which unclear knows a meaning; with must, which says that
// only the name of a container image can stand there, for any word.
func refuse(word string, must bool) error {
	meaning := unclear(word)
	if must && meaning == "" {
		meaning = "did you mean docker:" + word + "?"
	}
	if meaning == "" {
		return nil
	}
	return usageErrorf("image %q: %s", showName(word), meaning)
}

// showName returns the name of an image without a password, which some put into it.
func showName(name string) string {
	before, _, _ := strings.Cut(name, "@sha256:")
	if strings.Contains(before, "@") && (strings.HasPrefix(name, "docker") || strings.Contains(name, "://")) {
		scheme, _, _ := strings.Cut(name, ":")
		return scheme + ":…"
	}
	return name
}

// parseContainer parses the name of a container image.
func parseContainer(name string) (*source.Container, error) {
	c := new(source.Container)
	scheme, rest, _ := strings.Cut(name, ":")
	shown := showName(name)
	registry, slashes := strings.CutPrefix(rest, "//")
	var err error
	switch {
	case shown != name:
		err = errors.New("a name or password has no place in it: use --username and --password-file")
	case name == "-":
		c.Archive = name
	case strings.Contains(registry, "://"):
		err = errors.New("one scheme is enough: docker:HOST/NAME, or docker+http://HOST/NAME without TLS")
	case scheme == "docker", scheme == "docker+http", scheme == "oci" && slashes:
		c.Reference, err = image.ParseReference(registry)
		c.Reference.Plain = scheme == "docker+http"
		if err == nil && scheme == "oci" && !strings.HasPrefix(registry, c.Reference.Host+"/") {
			err = errors.New("the host is missing, as in oci://ghcr.io/owner/app; docker:NAME means Docker Hub")
		}
	default:
		// As for skopeo, the path has no colon.
		rest, digest, pinned := strings.Cut(rest, "@")
		c.Archive, c.Reference.Tag, _ = strings.Cut(rest, ":") // TAG, or NAME:TAG
		if pinned {
			c.Reference.Digest, err = image.ParseDigest(digest)
		}
		if c.Archive == "" || strings.ContainsFunc(name, isControl) {
			err = errors.New("it must have a path, and no control character")
		}
	}
	if err != nil {
		return nil, usageErrorf("image %q: %v", shown, err)
	}
	return c, nil
}

// registryOptions say how a container image is got from a registry.
type registryOptions struct {
	_            uncomparable
	authFile     string
	user         string
	passwordFile string
	password     string            // set by readLogins
	image        *source.Container // the container image that is wanted; nil: none
	name         string            // its name as the user wrote it
	files        []authFile        // set by readLogins
}

// flags returns the flags of a command that can ask a registry.
func (r *registryOptions) flags() []flag {
	return []flag{
		{long: "auth-file", value: "FILE", help: "logins of registries, as docker login and podman login write them (default: their files)", into: &r.authFile, exact: true, more: true},
		{long: "username", value: "NAME", help: "log in to the image's registry with that name", into: &r.user, exact: true, more: true},
		{long: "password-file", value: "FILE", help: "and with the password in FILE (-: standard input)", into: &r.passwordFile, exact: true, more: true},
	}
}

// shellWordList is a list that one option gives, quoted as for a shell.
type shellWordList []string

// processFlags returns the flags of a command that makes a container, about the process that a
// container image runs.
func processFlags(p *pull.Process) []flag {
	return []flag{
		{long: "entrypoint", value: "WORDS", help: "run this program in place of the image's; its own arguments are then not used", into: (*shellWordList)(&p.Entrypoint), exact: true, more: true},
		{long: "cmd", value: "WORDS", help: "arguments in place of the image's. WORDS is split at blanks; ' \" and \\ quote as in a shell, and nothing is expanded", into: (*shellWordList)(&p.Cmd), exact: true, more: true},
		{long: "env", value: "NAME=VALUE", help: "set this variable of the process; NAME alone: to your own value, or remove the image's", into: &p.Env, again: true, exact: true, more: true},
		{long: "dhcp", help: "let LXC's hook get the addresses by DHCP", into: &p.DHCP, exact: true, more: true},
	}
}

// checkSource refuses options that are for other sources than the image's, variables that LXC's
// config can't have, and two uses of standard input.
func (c *creation) checkSource(ui *ui) error {
	if ui.command != "lxc-local" { // which has these options for its own files
		if err := c.image.checkOptions(ui.given); err != nil {
			return err
		}
	}
	for i, variable := range c.process.Env {
		full := variable
		if value, set := os.LookupEnv(variable); set {
			full += "=" + value // as for docker run; otherwise the name alone removes the image's
		}
		if full == "" || full[0] == '=' || strings.ContainsFunc(full, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return wrongValue("env", variable, "not NAME=VALUE or NAME, without control characters")
		}
		c.process.Env[i] = full
	}
	const stdin = "-"
	inputs := []string{c.image.container, c.personal.password, c.finder.registry.passwordFile, c.finder.file.metadata}
	if first := slices.Index(inputs, stdin); slices.Contains(inputs[first+1:], stdin) {
		return usageErrorf("standard input can't be two files: \"-\" is there twice")
	}
	return nil
}

// splitWords splits a text into words as a POSIX shell does (2.2 Quoting), without expanding
// anything: $, *, ~, ; and the like are ordinary characters. The list is not nil.
func splitWords(text string) ([]string, error) {
	words, word, inWord, quote := []string{}, "", false, byte(0)
	for i := 0; i < len(text); i++ {
		b := text[i]
		blank := b == ' ' || b == '\t' || b == '\n'
		switch {
		case b < ' ' && !blank, b == 0x7f:
			return nil, errors.New("it contains a control character")
		case quote != 0 && b == quote:
			quote = 0
			continue
		case quote == 0 && (b == '\'' || b == '"'):
			quote, inWord = b, true
			continue
		case quote == 0 && blank:
			if inWord {
				addTo(&words, word)
			}
			word, inWord = "", false
			continue
		case b == '\\' && quote != '\'':
			if i++; i == len(text) {
				return nil, errors.New("nothing follows the backslash at its end")
			}
			if quote == '"' && strings.IndexByte("$`\"\\", text[i]) < 0 {
				word += `\`
			}
		}
		word, inWord = word+text[i:i+1], true
	}
	if quote != 0 {
		return nil, errors.New("a quotation mark is not closed")
	}
	if inWord {
		addTo(&words, word)
	}
	return words, nil
}

// useContainer makes the Finder find the container image of that name, for the machine arch ("":
// this one). It reads the files that the options name, and waits no longer than until ctx is
// done. Settings of image servers do not count for registries.
func (o *finderOptions) useContainer(ctx context.Context, ui *ui, name, arch string) error {
	r := &o.registry
	c, err := parseContainer(name)
	if err != nil {
		return err
	}
	if arch == "" {
		arch = hostArch()
	}
	c.Arch = cross.ImageName(arch)
	for _, p := range cross.Platforms(arch, hostMachine()) {
		cpu, variant, _ := strings.Cut(p, "/")
		c.Platforms = append(c.Platforms, image.Platform{OS: "linux", Arch: cpu, Variant: variant})
	}
	c.RequireSignature = o.trust.requireSignature
	switch {
	case c.Archive != "" && (r.user != "" || r.passwordFile != ""):
		return usageErrorf("--username and --password-file are for a registry, and %q is an archive", name)
	case c.Archive == "-" && isTerminal(os.Stdin):
		return usageErrorf("the image \"-\" is an archive from standard input, which is a terminal: use a pipe or a file")
	}
	o.servers.onlyGiven(ui)
	r.image, r.name, ui.registry = c, name, r
	return untilDone(ctx, func() error {
		mirrors := new(source.Servers)
		err := o.servers.readMirrors(mirrors.Add)
		c.Mirrors = mirrors.URLs()
		if err == nil && c.Archive == "" {
			c.Login = r.login
			err = o.readLogins(ui)
		}
		return err
	})
}

// openContainer is openOther for the container image of that name.
func (o *finderOptions) openContainer(ctx context.Context, ui *ui, name, arch string) (*source.Finder, error) {
	return o.openOther(ctx, ui, &imageOptions{container: name, arch: arch})
}

// openOther returns a Finder that finds an image of another source than an image server, and
// changes nothing on the disk.
func (o *finderOptions) openOther(ctx context.Context, ui *ui, which *imageOptions) (*source.Finder, error) {
	o.owner, o.readOnly = unchanged(), true
	err := error(nil)
	if which.container != "" { // "-" is an archive of container images
		err = o.useContainer(ctx, ui, which.container, which.arch)
	} else {
		err = o.use(ctx, ui, which)
	}
	if err != nil {
		return nil, err
	}
	finder, err := o.open(ctx, ui, false)
	if err == nil {
		finder.Provide(0, o.tempFile)
	}
	return finder, err
}

// tempFile makes a file without a name for a command that makes no container: in the directory of
// the cache, or in the nearest directory above it that exists. Its room is free again when this
// process ends.
func (o *finderOptions) tempFile() (*os.File, error) {
	dir := host.This().CacheDir(o.namespace)
	if dir == "" {
		return nil, errors.New("no place for a copy of the archive: neither HOME nor LXC_CACHE_PATH is set")
	}
	for dir != "/" && dir != "." {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.OpenFile(dir+"/.lxc-pull-"+strconv.Itoa(os.Getpid()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}
