package lxc

import (
	"bytes"
	"strings"
)

// A Mode is the kind of container. It selects the index and the metadata files.
type Mode string

// The modes, as in file names such as index-system and config-user.
const (
	System Mode = "system" // root's container, without a user namespace
	User   Mode = "user"   // a container in a user namespace
)

// A Namespace is the kind of user namespace that a process is in (in_userns in
// lxc-download.in).
type Namespace int

// The kinds of user namespace.
const (
	// HostNamespace is the namespace that maps every id to itself, or the only one of a
	// kernel without user namespaces.
	HostNamespace Namespace = iota
	// RootNamespace is a user namespace that root created: root of the host is mapped
	// into it, or process 1 has the same map, as in a container. Such a container uses
	// the images for users (User) and the system's cache.
	RootNamespace
	// UserNamespace is a user namespace that an ordinary user created.
	UserNamespace
)

// Mode returns the kind of a container in the namespace.
func (n Namespace) Mode() Mode {
	if n == HostNamespace {
		return System
	}
	return User
}

// NamespaceOf returns the kind of user namespace of a process, given the content of its
// /proc/self/uid_map and of /proc/1/uid_map, each nil if the file can't be read. The
// rules are those of in_userns in lxc-download.in.
func NamespaceOf(self, init []byte) Namespace {
	if self == nil {
		return HostNamespace
	}
	for _, line := range strings.Split(string(self), "\n") {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if f[0] == "0" && f[1] == "0" && f[2] == "4294967295" {
			return HostNamespace
		}
		if f[1] == "0" && f[2] == "1" {
			return RootNamespace
		}
	}
	if init != nil && bytes.Equal(bytes.TrimRight(self, "\n"), bytes.TrimRight(init, "\n")) {
		return RootNamespace
	}
	return UserNamespace
}
