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
	"strings"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
	"lxc-pull/untar"
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
// kilobytes. musl's crypt(3) takes no longer password, and glibc's takes 512 bytes.
const (
	maxKeyFile  = 256 << 10
	maxPassword = 256
	maxHash     = 512 // hashes have about 100
)

// maxNameServers is how many name servers C libraries read (MAXNS in resolv.h).
const maxNameServers = 3

// read checks the options and reads the files that they name. It returns nil if no option is
// given.
func (o *personalOptions) read(ctx context.Context) (*pull.Personal, error) {
	p := &pull.Personal{HostName: o.hostName, NameServers: o.nameServers}
	if o.hostName != "" && !isHostName(o.hostName) {
		return nil, usageErrorf("--hostname %q: not a host name", o.hostName)
	}
	if len(o.nameServers) > maxNameServers {
		return nil, usageErrorf("--nameserver is given %d times: programs read only %d", len(o.nameServers), maxNameServers)
	}
	for _, server := range o.nameServers {
		if _, err := netip.ParseAddr(server); err != nil || strings.ContainsFunc(server, special) {
			return nil, usageErrorf("--nameserver %q: not an IP address", server)
		}
	}
	for _, text := range o.lines {
		line, err := lxc.CheckLine(text)
		if err != nil {
			return nil, usageErrorf("--set %q: %v", text, err)
		}
		p.Config += line
	}
	err := untilDone(ctx, func() error {
		for _, name := range o.keys {
			keys, err := readKeys(name)
			if err != nil {
				return err
			}
			p.Keys += keys
		}
		if o.password == "" {
			return nil
		}
		line, err := readPassword(o.password)
		p.Password = line
		return err
	})
	if p.HostName+p.Keys+p.Password+p.Config == "" && p.NameServers == nil {
		p = nil
	}
	return p, err
}

// isHostName reports whether name is a host name of letters, digits, dashes, underscores and
// single dots, of at most 64 bytes (HOST_NAME_MAX of Linux).
func isHostName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		bad := func(r rune) bool { return special(r) || strings.ContainsRune("/:=+,@%", r) }
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, bad) {
			return false
		}
	}
	return len(name) <= 64
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
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if !isPublicKey(line) {
			return "", usageErrorf("--ssh-key %q: line %d is not an OpenSSH public key", name, n)
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
	if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
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
	data, err := readWhole(name, maxHash)
	if err != nil {
		return "", &fileError{"root-password-file", name, withoutPath(err)}
	}
	line, _ := strings.CutSuffix(string(data), "\n")
	line, _ = strings.CutSuffix(line, "\r")
	fail := func(text string) (string, error) { return "", usageErrorf("--root-password-file %q: %s", name, text) }
	switch {
	case line == "":
		return fail("it is empty")
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fail("not one line of text")
	case line[0] == '$' && (strings.Count(line, "$") < 3 || len(line) > maxHash || strings.ContainsAny(line, ":!* ")):
		return fail(`it begins with "$" but is not a hash of crypt(3)`)
	case line[0] == '$':
		return line, nil
	case len(line) > maxPassword:
		return fail(fmt.Sprintf("longer than %d bytes", maxPassword))
	}
	return sha512Crypt(line, rand.Text()[:16]), nil
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
	if c.changes, err = c.personal.read(ctx); err != nil || c.changes == nil {
		return err
	}
	c.target.Container.HostName = c.changes.HostName
	return nil
}

// fullConfig returns the user's part of the config: the lines with which it begins and those
// that are added at its end.
func (c *creation) fullConfig() []byte {
	config := c.target.BaseConfig
	if c.changes != nil {
		config = append(config[:len(config):len(config)], c.changes.Config...)
	}
	return config
}

// sayNext says that the container is complete, and the commands that one needs next.
func (c *createCall) sayNext(ui *ui, layout host.Layout, mapped bool) {
	tell := ui.listener().Tell
	tell(fmt.Sprintf("Container %s is ready in %s.", shellWords([]string{c.name}), shellWords([]string{c.target.Container.Path})))
	for _, link := range lxc.NetLinks(c.fullConfig()) {
		if isMissingLink(link) {
			remedy := "ip link add " + shellWords([]string{link}) + " type bridge"
			if link == "lxcbr0" {
				remedy = "systemctl start lxc-net, or /etc/init.d/lxc-net start"
			}
			tell(fmt.Sprintf("This host has no %q, which the config names: the container can't start without it (%s).", link, remedy))
		}
	}
	if c.target.WithoutLXC || host.InPath("lxc-start") == "" {
		return
	}
	where := []string{"-n", c.name}
	if c.lxcPath != layout.LXCPath() {
		where = append(where, "-P", c.lxcPath)
	}
	kind := "lxc-"
	if mapped && host.InPath("lxc-unpriv-start") != "" {
		kind = "lxc-unpriv-" // Debian's, which also ask systemd for a cgroup
	}
	attach := shellWords(append([]string{kind + "attach"}, where...))
	text := "  " + shellWords(append([]string{kind + "start"}, where...)) + "\n  " + attach
	if noPassword(c.target.Container.Rootfs) {
		text += "\n  " + attach + " -- passwd    (root has no password yet)"
	}
	tell(text)
}

// isMissingLink reports whether the host surely has no network interface of that name.
func isMissingLink(name string) bool {
	const dir = "/sys/class/net"
	if _, err := os.Stat(dir + "/lo"); err != nil {
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, filepath.Base(name)))
	return errors.Is(err, fs.ErrNotExist)
}

// noPassword reports whether nobody can log in as root with a password: its field in
// etc/shadow is no hash. This is only a hint, so no error is reported.
func noPassword(rootfs string) bool {
	root, err := untar.OpenRoot(rootfs)
	if err != nil {
		return false
	}
	defer root.Close()
	text, err := root.ReadFile("etc/shadow", 1<<20) // larger ones are not read for a hint
	for line := range strings.Lines(string(text)) {
		if field, ok := strings.CutPrefix(line, "root:"); ok {
			return !strings.HasPrefix(field, "$")
		}
	}
	return err == nil
}

// sayDone says which image is in the directory, and how to enter it.
func (c *rootfsCall) sayDone(ui *ui, img image.Image) {
	dir := shellWords([]string{c.target.Container.Rootfs})
	enter := "chroot " + dir + " /bin/sh"
	switch {
	case host.InPath("proot") != "" && os.Geteuid() != 0:
		enter = "proot -0 -b /dev -b /proc -b /sys -r " + dir + " /bin/sh"
	case os.Geteuid() != 0:
		enter = "unshare -r " + enter
	}
	ui.listener().Tell(fmt.Sprintf("%s is in %s (build %s).\n  %s", img.Name, dir, img.Build, enter))
}
