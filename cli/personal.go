package cli

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
)

// This file has the options by which a user makes a new container or root file system his
// own, and what is said after it is made.

// personalOptions are the user's changes of a new root file system and its config.
type personalOptions struct {
	hostName    string
	keys        []string // files
	password    string   // a file, "-": standard input
	nameServers []string
	net         string
	lines       []string // KEY=VALUE
}

// group returns the flags of a command. container says that it makes a config as well.
func (o *personalOptions) group(container bool) *group {
	flags := []flag{
		{long: "hostname", value: "NAME", help: "host name, for /etc/hostname and LXC_NAME in the image's files", into: &o.hostName, exact: true, more: true},
		{long: "ssh-key", value: "FILE", help: "add the public keys in FILE to root's authorized_keys", into: &o.keys, again: true, exact: true},
		{long: "root-password-file", value: "FILE", help: "set root's password to the line in FILE (-: standard input), or to that crypt(3) hash", into: &o.password, exact: true, more: true},
		{long: "nameserver", value: "ADDRESS", help: "write /etc/resolv.conf with this name server", into: &o.nameServers, again: true, exact: true, more: true},
		{long: "net", value: "TYPE:LINK", help: "network: veth:BRIDGE, macvlan:IFACE, ipvlan:IFACE, phys:IFACE, none (loopback only) or host (the host's); none and host replace all networks of the config, the others its first", into: &o.net, exact: true, more: true},
		{long: "set", value: "KEY=VALUE", help: "add this line to the end of the config; --config lxc.KEY=VALUE does the same", into: &o.lines, again: true, exact: true, more: true},
	}
	if !container {
		flags = flags[:4]
	}
	return &group{"What is changed in it", flags}
}

// newGroups returns the flags of a command that makes something new for a user. own are those
// that no other command has; container says that it makes a container.
func (c *creation) newGroups(own *group, container bool) []*group {
	return append([]*group{own, c.personal.group(container), c.only.group()}, c.groups(container)...)
}

// Limits of the files that the options name, in bytes. A file of public keys has a few
// kilobytes. musl's crypt(3) takes no longer password; hashes have about 100 bytes.
const (
	maxKeyFile  = 256 << 10
	maxPassword = 256
)

// maxNameServers is how many name servers C libraries read (MAXNS in resolv.h).
const maxNameServers = 3

// personalize checks the options of the user's changes and reads the files that they name,
// before the network is used. A file may be a pipe that never ends, so it runs under untilDone.
// It puts the changed network into the config with which the container begins.
func (c *creation) personalize() error {
	o, changes := &c.personal, &c.changes
	if o.net != "" {
		lines, err := lxc.NetConfig(o.net)
		if err != nil {
			return wrongValue("net", o.net, err.Error())
		}
		c.target.BaseConfig = lxc.ReplaceNet(c.target.BaseConfig, lines)
	}
	if o.hostName != "" && !lxc.IsHostName(o.hostName) {
		return wrongValue("hostname", o.hostName, "not a host name")
	}
	c.target.Container.HostName = o.hostName
	if len(o.nameServers) > maxNameServers {
		return usageErrorf("--nameserver: programs read only %d", maxNameServers)
	}
	for _, server := range o.nameServers {
		if _, err := netip.ParseAddr(server); err != nil || strings.ContainsFunc(server, special) {
			return wrongValue("nameserver", server, "not an IP address")
		}
		changes.Resolv += "nameserver " + server + "\n"
	}
	for _, line := range o.lines {
		if err := lxc.CheckLine(line); err != nil {
			return wrongValue("set", line, err.Error())
		}
		changes.Config += line + "\n"
	}
	if changes.Config != "" {
		changes.Config = "\n# Options of the creation\n" + changes.Config
	}
	keys, err := readKeys(o.keys)
	changes.Keys = []byte(keys)
	if err == nil && o.password != "" {
		changes.Password, err = readPassword(o.password)
	}
	return err
}

// readKeys returns the lines of files of OpenSSH public keys.
func readKeys(names []string) (keys string, err error) {
	for _, name := range names {
		data, err := readOption("ssh-key", name, maxKeyFile)
		if err != nil {
			return "", err
		}
		text, found, wrong := string(data), "", ""
		for n, line := range strings.Split(text, "\n") {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if !isPublicKey(line) {
				wrong = "line " + strconv.Itoa(n+1) + " is not an OpenSSH public key"
				break
			}
			found += line + "\n"
		}
		if found == "" && wrong == "" {
			wrong = "no key is in it"
		}
		if strings.Contains(text, "PRIVATE KEY-----") || strings.HasPrefix(text, "PuTTY-User-Key-File") {
			wrong = "this is a private key, which must stay with you: pass the public one, " + strconv.Quote(name+".pub")
		}
		if wrong != "" {
			return "", wrongValue("ssh-key", name, wrong)
		}
		keys += found
	}
	return keys, nil
}

// isPublicKey reports whether a line of authorized_keys has a key: a type, and the key in base
// 64, which begins with the length and name of the same type (RFC 4253, section 6.6). Options
// may stand before the type.
func isPublicKey(line string) bool {
	if strings.ContainsFunc(line, isControl) {
		return false
	}
	kind := ""
	for _, word := range strings.Fields(line) {
		blob, err := base64.StdEncoding.DecodeString(word)
		if n := len(kind); err == nil && n > 3 && len(blob) > 4+n && binary.BigEndian.Uint32(blob) == uint32(n) && string(blob[4:4+n]) == kind {
			return true
		}
		kind = word
	}
	return false
}

// readSecret returns the line in the file that an option names, "-" for standard input.
func readSecret(option, name string, max int64) (string, error) {
	if name == "-" && isTerminal(os.Stdin) {
		return "", usageErrorf("--%s -: standard input is a terminal, which would show the password: use a pipe or a file", option)
	}
	data, err := readWhole(name, max)
	if err != nil {
		return "", &fileError{option: option, name: name, err: withoutPath(err)}
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case line == "":
		err = wrongValue(option, name, "it is empty")
	case int64(len(line)) > max:
		err = wrongValue(option, name, "longer than "+strconv.FormatInt(max, 10)+" bytes")
	case strings.ContainsFunc(line, isControl):
		err = wrongValue(option, name, "not one line of text")
	}
	return line, err
}

// readPassword returns the hash of the password in a file, or the hash that is in it.
func readPassword(name string) (string, error) {
	line, err := readSecret("root-password-file", name, maxPassword)
	if err != nil {
		return "", err
	}
	wrong := ""
	switch {
	case line[0] != '$':
		salt := make([]byte, 16)
		_, err = io.ReadFull(rand.Reader, salt)
		for i, random := range salt {
			salt[i] = cryptDigits[random&63]
		}
		return sha512Crypt(line, string(salt)), err
	case strings.Count(line, "$") < 3 || strings.ContainsAny(line, ":!* \t"):
		wrong = `it begins with "$" but is not a hash of crypt(3)`
	default:
		return line, nil
	}
	return "", wrongValue("root-password-file", name, wrong)
}

// fullConfig returns the host's and the user's part of a container's config.
func (c *creation) fullConfig() []byte {
	return []byte(string(c.target.BaseConfig) + c.changes.Config)
}

// sayNext says that the container is complete, and which commands its user needs next.
func (c *createCall) sayNext(ui *ui, layout *host.Layout, made *pull.Result) {
	text := "Container " + shellWord(c.name) + " is ready in " + shellWord(c.target.Container.Path) + "."
	if made.Config != nil {
		const maxShown = 200 // bytes: some images have a whole script in it
		runs := shellWords(c.process.Arguments(made.Config))
		if len(runs) > maxShown {
			runs = runs[:maxShown] + "…"
		}
		text += "\nIt runs " + runs
	}
	const links = "/sys/class/net/"
	_, unknown := os.Stat(links + "lo")
	repair := ""
	for _, line := range lxc.ConfigLines(c.fullConfig()) {
		key, link, _ := strings.Cut(line, "=")
		key, link = strings.Trim(key, " \t"), strings.Trim(link, " \t\"'")
		if !strings.HasPrefix(key, "lxc.net.") || !strings.HasSuffix(key, ".link") {
			continue
		}
		if _, err := os.Stat(links + filepath.Base(link)); unknown == nil && errors.Is(err, fs.ErrNotExist) {
			text += "\nIt can't start yet: the host has no " + link + ", which the config names"
			word := shellWord(link)
			repair = "\n  ip link add " + word + " type bridge && ip link set " + word + " up    (as root, if it is a bridge)"
			if link == "lxcbr0" {
				repair = "\n  systemctl start lxc-net    (as root; without systemd: service lxc-net start)"
			}
		}
	}
	text += repair
	if !c.target.WithoutLXC && host.InPath("lxc-start") != "" {
		kind, options := "\n  lxc-", " -n "+shellWord(c.name)
		if c.lxcPath != layout.LXCPath() {
			options += " -P " + shellWord(c.lxcPath)
		}
		if !layout.Root && host.InPath("lxc-unpriv-start") != "" && layout.Has(os.Getenv("XDG_RUNTIME_DIR")+"/systemd") {
			kind = "\n  lxc-unpriv-" // Debian's, which also ask systemd for a cgroup
		}
		attach := kind + "attach" + options
		text += kind + "start" + options
		if made.Config != nil {
			text += kind + "execute" + options + "    (the same, in the foreground)"
		}
		text += attach
		if made.Locked && made.Config == nil {
			text += attach + " -- passwd    (root has no password yet)"
		}
	}
	ui.say(text + "\n")
}

// showImage returns the name of an image without the parts that are not known.
func showImage(n image.Name) string {
	return strings.Trim(strings.ReplaceAll(n.String(), "//", "/"), "/")
}

// sayDone says which image is in the directory, and how to enter it.
func (c *rootfsCall) sayDone(ui *ui, made *pull.Result) {
	enter := "chroot "
	if os.Geteuid() != 0 {
		enter = "unshare -r chroot "
		if host.InPath("proot") != "" { // Termux's; phones have no user namespaces
			enter = "proot -0 -r "
		}
	}
	dir := shellWord(c.target.Container.Rootfs)
	name := showImage(made.Image.Name) + " is in " + dir
	if made.Config != nil {
		name = made.Image.Reference + " is in " + dir
	} else if made.Image.Build != "" {
		name += " (build " + made.Image.Build + ")"
	}
	ui.say(name + ".\n  " + enter + dir + " /bin/sh\n")
}
