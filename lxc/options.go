package lxc

import (
	"errors"
	"strings"
)

// This file is about config lines that a user gives on the command line. They are the user's
// own word, so the list of what an image may set does not apply.

// CheckLine returns an error for a line KEY=VALUE that LXC would refuse. It also refuses keys on
// which the files of a new container depend: they are made before the line counts.
func CheckLine(line string) error {
	if _, bad := controlCharacter([]byte(line)); bad || strings.Contains(line, "\n") {
		return errors.New("it has a control character")
	}
	key, _, _, ok := configItem(line)
	if !ok {
		return errors.New("not lxc.KEY=VALUE")
	}
	switch key {
	case "lxc.rootfs.path", "lxc.idmap":
		return errors.New("the container's files depend on this key: put it into a file, and pass -f FILE")
	case "lxc.uts.name":
		return errors.New("use --hostname")
	}
	_, err := CheckLoads([]byte(line))
	return err
}

// maxInterface is the longest name of a network interface, in bytes (IFNAMSIZ of Linux).
const maxInterface = 15

// NetConfig returns the config lines for the first network, which text describes: TYPE:LINK,
// where TYPE is veth, macvlan, ipvlan or phys and LINK is a bridge or interface of the host;
// "none", which leaves the container only its loopback interface; or "host", which lets it use
// the host's network. (LXC's own words for the last two are "empty" and "none".) The first line
// removes what the container had before: its first network, or all of them.
func NetConfig(text string) (string, error) {
	kind, link, linked := strings.Cut(text, ":")
	lines := ""
	switch text {
	case "none":
		kind, lines = "empty", "lxc.net.0.flags = up\n" // of the loopback interface
	case "host":
		kind = "none"
	default:
		if !linked || !isWord(kind, "veth macvlan ipvlan phys") {
			return "", errors.New("not veth:BRIDGE, macvlan:IFACE, ipvlan:IFACE, phys:IFACE, none or host")
		}
		// The kernel refuses other names (dev_valid_name in net/core/dev.c).
		if !isMadeOf(link, lower+upper+digits+"._-@") || len(link) > maxInterface || link == "." || link == ".." {
			return "", errors.New("the part after the colon is not the name of a network interface")
		}
		lines = "lxc.net.0.link = " + link + "\nlxc.net.0.flags = up\n"
	}
	clear := allNets
	if linked {
		clear = "lxc.net.0 =\n"
	}
	return clear + "lxc.net.0.type = " + kind + "\n" + lines, nil
}

// allNets is the line that removes all networks (set_config_net in confile.c).
const allNets = "lxc.net =\n"

// ReplaceNet returns a config whose first network is the one in lines, which NetConfig has
// returned. With "none" and "host" the config has no other networks. The first line of lines
// removes what included files set.
func ReplaceNet(config []byte, lines string) []byte {
	out, all := "", strings.HasPrefix(lines, allNets)
	for _, line := range ConfigLines(config) {
		key, _, _, _ := configItem(line)
		rest, net := strings.CutPrefix(key+".", "lxc.net.")
		index, _, _ := strings.Cut(rest, ".")
		// LXC reads the index as a decimal number, so "00" is another name of 0.
		if !net || !all && (index == "" || strings.Trim(index, "0") != "") {
			out += line + "\n"
		}
	}
	return []byte(out + lines)
}

// IsHostName reports whether name is a host name of letters, digits, dashes, underscores and
// single dots, of at most 64 bytes (HOST_NAME_MAX of Linux).
func IsHostName(name string) bool {
	name = "." + name + "."
	return isMadeOf(name, lower+upper+digits+".-_") && len(name) <= maxHostName+2 &&
		!strings.Contains(name, "..") && !strings.Contains(name, ".-") && !strings.Contains(name, "-.")
}
