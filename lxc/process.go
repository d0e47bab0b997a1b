package lxc

import "errors"

// A Process is the process that a container of a container image runs (OCI image spec,
// config.md, "config").
type Process struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Args       []string  // the program and its arguments; never empty
	Env        []string  // NAME=VALUE
	UID, GID   uint32
	Groups     []uint32 // supplementary groups
	Dir        string   // the working directory, absolute
	StopSignal string   // "": LXC's own
	DHCP       bool     // LXC's hook gets the addresses
}

// Config returns the lines that make lxc-start and lxc-execute run the process. The error names
// what LXC's config can't express.
func (c *Container) ProcessConfig(p *Process) ([]byte, error) { return nil, errors.New("todo") }

// DefaultMeta returns the metadata of an image that has none of LXC's own: a config that includes
// LXC's common.conf, and userns.conf in a user namespace, and has the lxc.arch for arch, which is
// Debian's name of the machine.
func DefaultMeta(arch string) Meta { return nil }

// An Identity is a user with the groups, as the passwd and group files of an image have them.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // supplementary groups
	Home     string   // "": not known
}

// LookUp finds the user that an image names: NAME, UID, NAME:GROUP, UID:GID or "" for root
// (OCI image spec, config.md, "User").
func LookUp(user string, passwd, group []byte) (Identity, error) {
	return Identity{}, errors.New("todo")
}
