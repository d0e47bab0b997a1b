package lxc

import (
	"errors"
	"fmt"
	"strings"
)

// This file is about config lines that a user gives on the command line. They are the user's
// own word, so the list of what an image may set does not apply.

// CheckLine returns the config line for KEY=VALUE, with a line feed, or an error if LXC would
// refuse it. It also refuses keys on which the files of a new container depend: by the time
// that the line is added the files have been made.
func CheckLine(text string) (string, error) {
	if _, bad := controlCharacter([]byte(text)); bad || strings.Contains(text, "\n") {
		return "", errors.New("it has a control character")
	}
	key, value, _, ok := configItem(text)
	if !ok {
		return "", errors.New("not lxc.KEY=VALUE")
	}
	if _, err := CheckLoads([]byte(text)); err != nil {
		return "", err
	}
	switch key {
	case "lxc.rootfs.path", "lxc.idmap":
		return "", fmt.Errorf("the container's files depend on %s: put it into a file, and pass -f FILE", key)
	case "lxc.uts.name":
		return "", errors.New("use --hostname")
	}
	return key + " = " + value + "\n", nil
}

// maxInterface is the longest name of a network interface, in bytes (IFNAMSIZ of Linux).
const maxInterface = 15

// NetConfig returns the config lines for the first network: TYPE:LINK, where TYPE is veth,
// macvlan, ipvlan or phys and LINK is a bridge or interface of the host; "none", which leaves
// the container only its loopback interface; or "host", which lets it use the host's network.
// (LXC's own words for the last two are "empty" and "none".)
func NetConfig(text string) (string, error) {
	kind, link, linked := strings.Cut(text, ":")
	const begin = "lxc.net.0.type = "
	switch kind {
	case "none", "host":
		if linked {
			return "", fmt.Errorf("%q has no interface", kind)
		}
		if kind == "host" {
			return begin + "none\n", nil
		}
		return begin + "empty\n", nil
	case "veth", "macvlan", "ipvlan", "phys":
	default:
		return "", errors.New("not veth:BRIDGE, macvlan:IFACE, ipvlan:IFACE, phys:IFACE, none or host")
	}
	// The kernel's dev_valid_name (net/core/dev.c); LXC also removes quotes around a value.
	if link == "" || len(link) > maxInterface || link == "." || link == ".." || strings.ContainsFunc(link, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("/:\"'", r)
	}) {
		return "", fmt.Errorf("%q is not the name of a network interface", link)
	}
	return begin + kind + "\nlxc.net.0.link = " + link + "\nlxc.net.0.flags = up\n", nil
}

// ReplaceNet returns a config without the lines of its first network, and with lines at its
// end.
func ReplaceNet(config []byte, lines string) []byte {
	var out []byte
	for line := range strings.SplitAfterSeq(string(config), "\n") {
		key, _, _, _ := configItem(line)
		if key == "lxc.net.0" || strings.HasPrefix(key, "lxc.net.0.") {
			continue
		}
		out = append(out, line...)
	}
	if n := len(out); n > 0 && out[n-1] != '\n' {
		out = append(out, '\n')
	}
	return append(out, lines...)
}

// NetLinks returns the host's interfaces that the networks of a config use.
func NetLinks(config []byte) (links []string) {
	for _, line := range ConfigLines(config) {
		key, value, _, _ := configItem(line)
		if value = unquote(value); value != "" && strings.HasPrefix(key, "lxc.net.") && strings.HasSuffix(key, ".link") {
			links = append(links, value)
		}
	}
	return links
}
