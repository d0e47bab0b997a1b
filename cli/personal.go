package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
func (o *personalOptions) group(container bool) group {
	flags := []flag{
		{long: "hostname", value: "NAME", help: "host name, for /etc/hostname and LXC_NAME in the image's files", into: &o.hostName, exact: true, more: true},
		{long: "ssh-key", value: "FILE", help: "add the public keys in FILE to root's authorized_keys", into: &o.keys, again: true, exact: true, more: true},
		{long: "root-password-file", value: "FILE", help: "set root's password to the line in FILE (-: standard input), or to that crypt(3) hash", into: &o.password, exact: true, more: true},
		{long: "nameserver", value: "ADDRESS", help: "write /etc/resolv.conf with this name server", into: &o.nameServers, again: true, exact: true, more: true},
	}
	if container {
		flags = append(flags,
			flag{long: "net", value: "TYPE:LINK", help: "network: veth:BRIDGE, macvlan:IFACE, ipvlan:IFACE, phys:IFACE, none (loopback only) or host (the host's)", into: &o.net, exact: true, more: true},
			flag{long: "set", value: "KEY=VALUE", help: "add this line to the end of the config", into: &o.lines, again: true, exact: true, more: true})
	}
	return group{"What is changed in it", flags}
}

// Limits of the files that the options name, in bytes. A file of public keys has a few
// kilobytes. musl's crypt(3) takes no longer password; hashes have about 100 bytes.
const (
	maxKeyFile  = 256 << 10
	maxPassword = 256
)

// maxNameServers is how many name servers C libraries read (MAXNS in resolv.h).
const maxNameServers = 3

// read checks the options and reads the files that they name.
func (o *personalOptions) read(ctx context.Context) (p pull.Personal, err error) {
	if o.hostName != "" && !lxc.IsHostName(o.hostName) {
		return p, usageErrorf("--hostname %q: not a host name", o.hostName)
	}
	if len(o.nameServers) > maxNameServers {
		return p, usageErrorf("--nameserver: programs read only %d", maxNameServers)
	}
	for _, server := range o.nameServers {
		if _, err := netip.ParseAddr(server); err != nil || strings.ContainsFunc(server, special) {
			return p, usageErrorf("--nameserver %q: not an IP address", server)
		}
		p.Resolv += "nameserver " + server + "\n"
	}
	for n, line := range o.lines {
		if err := lxc.CheckLine(line); err != nil {
			return p, usageErrorf("--set %q: %v", line, err)
		}
		if n == 0 {
			p.Config = "\n# Options of the creation\n"
		}
		p.Config += line + "\n"
	}
	// A file may be a pipe that never ends.
	return p, untilDone(ctx, func() (err error) {
		for _, name := range o.keys {
			keys, err := readKeys(name)
			if err != nil {
				return err
			}
			p.Keys = append(p.Keys, keys...)
		}
		if o.password != "" {
			p.Password, err = readPassword(o.password)
		}
		return err
	})
}

// readKeys returns the lines of a file of OpenSSH public keys.
func readKeys(name string) (keys string, err error) {
	data, err := readOption("ssh-key", name, maxKeyFile)
	if err != nil {
		return "", err
	}
	text := string(data)
	if strings.Contains(text, "PRIVATE KEY-----") || strings.HasPrefix(text, "PuTTY-User-Key-File") {
		return "", usageErrorf("--ssh-key %q: this is a private key, which must stay with you: pass the public one, %q", name, name+".pub")
	}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if !isPublicKey(line) {
			return "", usageErrorf("--ssh-key %q: line %d is not an OpenSSH public key", name, n+1)
		}
		keys += line + "\n"
	}
	if keys == "" {
		return "", usageErrorf("--ssh-key %q: no key is in it", name)
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

// readPassword returns the hash of the password in a file, or the hash that is in it.
func readPassword(name string) (string, error) {
	if name == "-" && isTerminal(os.Stdin) {
		return "", usageErrorf("--root-password-file -: standard input is a terminal, which would show the password: use a pipe or a file")
	}
	data, err := readWhole(name, maxPassword)
	if err != nil {
		return "", &fileError{"root-password-file", name, withoutPath(err)}
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	wrong := ""
	switch {
	case line == "":
		wrong = "it is empty"
	case len(line) > maxPassword:
		wrong = fmt.Sprintf("longer than %d bytes", maxPassword)
	case strings.ContainsFunc(line, isControl):
		wrong = "not one line of text"
	case line[0] != '$':
		return sha512Crypt(line, rand.Text()[:16]), nil
	case strings.Count(line, "$") < 3 || strings.ContainsAny(line, ":!* \t"):
		wrong = `it begins with "$" but is not a hash of crypt(3)`
	default:
		return line, nil
	}
	return "", usageErrorf("--root-password-file %q: %s", name, wrong)
}

// personalize reads the options of the user's changes, before the network is used, and puts
// the changed network into the config with which the container begins.
func (c *creation) personalize(ctx context.Context) (err error) {
	if c.personal.net != "" {
		lines, err := lxc.NetConfig(c.personal.net)
		if err != nil {
			return usageErrorf("--net %q: %v", c.personal.net, err)
		}
		c.target.BaseConfig = lxc.ReplaceNet(c.target.BaseConfig, lines)
	}
	c.target.Container.HostName = c.personal.hostName
	c.changes, err = c.personal.read(ctx)
	return err
}

// fullConfig returns the host's and the user's part of a container's config.
func (c *creation) fullConfig() []byte {
	return append(slices.Clip(c.target.BaseConfig), c.changes.Config...)
}

// sayNext says that the container is complete, and which commands its user needs next.
func (c *createCall) sayNext(ui *ui, layout *host.Layout, made *pull.Result) {
	text := "Container " + shellWords([]string{c.name}) + " is ready in " + shellWords([]string{c.target.Container.Path}) + "."
	for _, line := range lxc.ConfigLines(c.fullConfig()) {
		key, link, _ := strings.Cut(line, "=")
		key, link = strings.Trim(key, " \t"), strings.Trim(link, " \t\"'")
		if strings.HasPrefix(key, "lxc.net.") && strings.HasSuffix(key, ".link") && isMissingLink(link) {
			text += "\nIt can't start yet: the host has no " + link + ", which the config names"
			if link == "lxcbr0" {
				text += " (start the service lxc-net)"
			}
		}
	}
	if !c.target.WithoutLXC && host.InPath("lxc-start") != "" {
		kind, where := "\n  lxc-", []string{"-n", c.name}
		if c.lxcPath != layout.LXCPath() {
			where = append(where, "-P", c.lxcPath)
		}
		if !layout.Root && host.InPath("lxc-unpriv-start") != "" {
			kind = "\n  lxc-unpriv-" // Debian's, which also ask systemd for a cgroup
		}
		options := shellWords(where)
		attach := kind + "attach " + options
		text += kind + "start " + options + attach
		if made.Locked {
			text += attach + " -- passwd    (root has no password yet)"
		}
	}
	ui.listener().Tell(text)
}

// isMissingLink reports whether the host surely has no network interface of that name.
func isMissingLink(name string) bool {
	const dir = "/sys/class/net/"
	_, err := os.Stat(dir + "lo")
	if err != nil {
		return false
	}
	_, err = os.Stat(dir + filepath.Base(name))
	return errors.Is(err, fs.ErrNotExist)
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
	dir := shellWords([]string{c.target.Container.Rootfs})
	ui.listener().Tell(made.Image.Name.String() + " is in " + dir + " (build " + made.Image.Build + ").\n  " + enter + dir + " /bin/sh")
}
