package lxc

import "strings"

// A Network is one network of a config: the values of lxc.net.N.type and lxc.net.N.link.
type Network struct {
	Type string // "veth"
	Link string // the interface of the host, such as a bridge; "": none
	n    string
}

// Networks returns the networks of a config, in the order of their first lines.
func Networks(config []byte) []Network {
	var list []Network
	for _, line := range ConfigLines(config) {
		key, value, _, _ := configItem(line)
		rest, ok := strings.CutPrefix(key, "lxc.net.")
		n, name, _ := strings.Cut(rest, ".")
		if !ok {
			continue
		}
		at := 0
		for at < len(list) && list[at].n != n {
			at++
		}
		if at == len(list) {
			list = append(list, Network{n: n})
		}
		switch name {
		case "type":
			list[at].Type = unquote(value)
		case "link":
			list[at].Link = unquote(value)
		}
	}
	return list
}
