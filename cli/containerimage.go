package cli

import (
	"errors"
	"os"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/image"
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
// A name without a scheme is one of an image server. Nothing is guessed between the two, which
// differ in who vouches for the image.

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
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "./"), strings.HasPrefix(name, "../"), strings.HasPrefix(name, "~"), isArchiveName(name):
		path := shellWord(word)
		return "a file is named docker-archive:" + path + " (of docker save) or oci-archive:" + path + ", an OCI layout oci:DIR"
	case colon && among(distributions, scheme) && rest != "":
		return "did you mean docker:" + word + ", of a registry, or " + scheme + "/" + rest + ", of an image server?"
	case colon, strings.HasPrefix(digest, "sha256:"), slash && (strings.Contains(first, ".") || first == "localhost"):
		return "did you mean docker:" + word + ", of a registry?"
	}
	return ""
}

// isArchiveName reports whether a name ends as those of archives do.
func isArchiveName(name string) bool {
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tgz") || strings.Contains(name, ".tar.")
}

// showName returns the name of an image without a password, which some put into it. The error
// about it says where passwords belong.
func showName(name string) (shown string, err error) {
	before, _, _ := strings.Cut(name, "@sha256:")
	scheme, _, _ := strings.Cut(name, ":")
	if strings.Contains(before, "@") && (strings.HasPrefix(name, "docker") || strings.Contains(name, "://")) {
		return scheme + ":…", errors.New("a name or password has no place in it: use --username and --password-file")
	}
	return name, nil
}

// parseContainer parses the name of a container image.
func parseContainer(name string) (*source.Container, error) {
	c := new(source.Container)
	scheme, rest, _ := strings.Cut(name, ":")
	shown, err := showName(name)
	registry, slashes := strings.CutPrefix(rest, "//")
	switch {
	case err != nil:
	case name == "-":
		c.Archive = name
	case scheme == "docker", scheme == "docker+http":
		c.Reference, err = image.ParseReference(registry)
		c.Reference.Plain = scheme == "docker+http"
	case scheme == "oci" && slashes:
		host, _, found := strings.Cut(registry, "/")
		c.Reference, err = image.ParseReference(registry)
		if err == nil && (!found || c.Reference.Host != strings.ToLower(host)) {
			err = errors.New("the host is missing, as in oci://ghcr.io/owner/app; docker:NAME means Docker Hub")
		}
	default:
		// As for skopeo, the path has no colon.
		rest, digest, pinned := strings.Cut(rest, "@sha256:")
		c.Archive, c.Reference.Tag, _ = strings.Cut(rest, ":") // TAG, or NAME:TAG
		if pinned {
			c.Reference.Digest = image.Digest("sha256:" + digest)
		}
		switch {
		case c.Archive == "":
			err = errors.New("the path is missing")
		case strings.ContainsFunc(name, isControl):
			err = errors.New("it contains a control character")
		case pinned && (len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != ""):
			err = errors.New("a digest is sha256: and 64 hexadecimal digits")
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
	password     string // set by useContainer
	fromSettings struct{ server, mirror, keyring bool }
	image        *source.Container // the container image that is wanted; nil: none
	name         string            // its name as the user wrote it
	files        []authFile        // set by useContainer
}

// group returns the flags of a command that can ask a registry. second has those that only
// settings give (settings.give): settings of image servers do not count for registries.
func (r *registryOptions) group() (flags, second []flag) {
	return []flag{
			{long: "auth-file", value: "FILE", help: "logins of registries, as docker login and podman login write them (default: their files)", into: &r.authFile, exact: true, more: true},
			{long: "username", value: "NAME", help: "log in to the image's registry with that name", into: &r.user, exact: true, more: true},
			{long: "password-file", value: "FILE", help: "and with the password in FILE (-: standard input)", into: &r.passwordFile, exact: true, more: true},
		}, []flag{
			{long: "server*", value: "SERVER", into: &r.fromSettings.server, exact: true},
			{long: "mirror*", value: "SERVER", into: &r.fromSettings.mirror, exact: true},
			{long: "mirror-list*", value: "FILE", into: &r.fromSettings.mirror, exact: true},
			{long: "keyring*", value: "FILE", into: &r.fromSettings.keyring, exact: true},
		}
}

// A processOptions is what the user changes of the process that a container image runs.
type processOptions struct {
	pull.Process
}

// flags returns the flags of a command that makes a container.
func (o *processOptions) flags() []flag {
	return []flag{
		{long: "entrypoint", value: "WORDS", help: "run this program in place of the image's; its own arguments are then not used", into: o.setEntrypoint, exact: true, more: true},
		{long: "cmd", value: "WORDS", help: "arguments in place of the image's. WORDS is split at blanks; ' \" and \\ quote as in a shell, and nothing is expanded", into: o.setCmd, exact: true, more: true},
		{long: "env", value: "NAME=VALUE", help: "set this variable of the process", into: o.addEnv, again: true, exact: true, more: true},
		{long: "dhcp", help: "let LXC's hook get the addresses by DHCP", into: &o.DHCP, exact: true, more: true},
	}
}

func (o *processOptions) setEntrypoint(value string) (err error) {
	o.Entrypoint, err = splitWords(value)
	return err
}

func (o *processOptions) setCmd(value string) (err error) {
	o.Cmd, err = splitWords(value)
	return err
}

func (o *processOptions) addEnv(value string) error {
	name, _, found := strings.Cut(value, "=")
	switch {
	case !found || name == "":
		return errors.New("not NAME=VALUE")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("it contains a control character, which LXC's config can't have")
	}
	addTo(&o.Env, value)
	return nil
}

// process returns the changes. As for docker, an entry point of the user's means that the
// image's arguments are not used.
func (o *processOptions) process() pull.Process {
	p := o.Process
	if p.Entrypoint != nil && p.Cmd == nil {
		p.Cmd = []string{}
	}
	return p
}

// given reports whether a change was asked for, and returns an option that asks for it.
func (o *processOptions) given() string {
	switch {
	case o.Entrypoint != nil:
		return "entrypoint"
	case o.Cmd != nil:
		return "cmd"
	case o.Env != nil:
		return "env"
	case o.DHCP:
		return "dhcp"
	}
	return ""
}

// command returns the words that the container of an image runs.
func (o *processOptions) command(config *image.OCIConfig) []string {
	p := o.process()
	if p.Entrypoint == nil {
		p.Entrypoint = config.Entrypoint
	}
	if p.Cmd == nil {
		p.Cmd = config.Cmd
	}
	if words := append(append([]string{}, p.Entrypoint...), p.Cmd...); len(words) > 0 {
		return words
	}
	return []string{"/bin/sh"}
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
// this one). It reads the files that the options name.
func (o *finderOptions) useContainer(ui *ui, name, arch string) error {
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
	if len(o.servers.servers) > 0 && !r.fromSettings.server {
		return usageErrorf("--server is an image server's, and the name %q has the registry", name)
	}
	if !r.fromSettings.mirror {
		if c.Mirrors, err = o.servers.registries(); err != nil {
			return err
		}
	}
	if c.Archive != "" {
		if r.user != "" || r.passwordFile != "" {
			return usageErrorf("--username and --password-file are for a registry, and %q is an archive", name)
		}
		if c.Archive == "-" && isTerminal(os.Stdin) {
			return usageErrorf("the image \"-\" is an archive from standard input, which is a terminal: use a pipe or a file")
		}
	} else {
		if err := o.readLogins(ui); err != nil {
			return err
		}
		c.Login = r.login
	}
	r.image, r.name = c, name
	ui.registry = r
	return nil
}

// registries returns the mirrors of registries that the options name: HOST[:PORT][/PREFIX].
func (o *serverOptions) registries() (list []string, err error) {
	add := func(name string) error {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "https://"), "/")
		if host, _, _ := strings.Cut(name, "/"); host == "" || strings.ContainsAny(name, "@?# ") || strings.ContainsFunc(name, isControl) || strings.Contains(name, "://") && !strings.HasPrefix(name, "http://") {
			return errors.New("a mirror of a registry is HOST[:PORT][/PREFIX]")
		}
		addTo(&list, name)
		return nil
	}
	for _, name := range o.mirrors {
		if err := add(name); err != nil {
			return nil, wrongValue("mirror", withoutPassword(name), err.Error())
		}
	}
	for _, file := range o.mirrorLists {
		if err := readMirrorList(file, add); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// checkKeys refuses --keyring without a key that can sign container images: the user would
// believe that a signature is verified. A keyring of the settings may be for image servers only.
func (o *finderOptions) checkKeys(opt *source.Options) error {
	if len(o.trust.keyrings) > 0 && !o.registry.fromSettings.keyring && opt.Keys != nil && !opt.Keys.HasPlain() {
		return wrongValue("keyring", o.trust.keyrings[0], "no key of cosign is in it (PEM, \"PUBLIC KEY\"), which container images need")
	}
	return nil
}
