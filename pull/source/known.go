package source

import (
	"strings"

	"lxc-pull/pgp"
)

// KnownServers returns the simplestreams servers that have a short name.
//
// Each list of images there is signed in two ways: X.sjson is a cleartext signed message, and
// X.json.gpg a detached signature of X.json. gpg cuts lines after 19,995 bytes when it makes a
// cleartext signed message, and each file of images.linuxcontainers.org is one line: its X.sjson
// is the beginning of the list, with a good signature (lxc-ci, bin/jenkins-import-images).
func KnownServers() []KnownServer {
	const (
		host = "https://cloud-images.ubuntu.com/"
		keys = "4A3CE3CD565D7EB5C810E2B97FF3F408476CF100 D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"
		from = "ubuntu-keyring"
	)
	return []KnownServer{
		{Name: "images", URL: "https://" + DefaultServer, Fingerprint: "E7FB0CAEC8173D669066514CBAEFF88C22F6E216"},
		{Name: "ubuntu", URL: host + "releases", Content: "com.ubuntu.cloud:released:", Fingerprint: keys, Package: from},
		{Name: "ubuntu-daily", URL: host + "daily", Content: "com.ubuntu.cloud:daily:", Fingerprint: keys, Package: from},
		{Name: "ubuntu-minimal", URL: host + "minimal/releases", Fingerprint: keys, Package: from},
		{Name: "ubuntu-minimal-daily", URL: host + "minimal/daily", Fingerprint: keys, Package: from},
	}
}

// Known returns the known server that has a short name, or a URL, however that is written; nil if
// there is none.
func Known(name string) *KnownServer {
	list := KnownServers()
	url := plainURL(name)
	for i := range list {
		if list[i].Name == name || list[i].URL == url {
			return &list[i]
		}
	}
	return nil
}

// plainURL returns a server's URL as KnownServers has it: scheme and host in lower case, without a
// final dot of the host, the usual port, and empty elements of the path.
func plainURL(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	host, path, _ := strings.Cut(rest, "/")
	scheme, host = strings.ToLower(scheme), strings.ToLower(host)
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	url = scheme + "://" + strings.TrimSuffix(strings.TrimSuffix(host, port), ".")
	for _, part := range strings.Split(path, "/") {
		if part != "" {
			url += "/" + part
		}
	}
	return url
}

// knownHost returns a known server that is on the same host as a URL, whatever the scheme, the port
// and the path are: its keys sign all there is. It is nil if there is none.
func knownHost(url string) *KnownServer {
	_, host, _ := strings.Cut(plainURL(url), "://")
	host, _, _ = strings.Cut(host, "/")
	host, _, _ = strings.Cut(host, ":")
	host = strings.TrimSuffix(host, ".")
	list := KnownServers()
	for i := range list {
		if strings.HasPrefix(list[i].URL+"/", "https://"+host+"/") {
			return &list[i]
		}
	}
	return nil
}

// Pinned reports whether this program has keys for the lists of each of the servers.
func (s *Servers) Pinned() bool {
	for _, each := range s.servers {
		if k := knownHost(each.url); k == nil || k.Fingerprint == "" {
			return false
		}
	}
	return len(s.servers) > 0
}

// at returns the known server that is at a URL, else the one whose short name the user gave; nil:
// it is another server.
func (s *Streams) at(url string) *KnownServer {
	if k := Known(url); k != nil {
		return k
	}
	if s.Name == "" {
		return nil
	}
	return Known(s.Name)
}

// keys returns the keys that may sign: the user's, or else for Options.Streams those of the server
// at url; nil: there are none, or nothing is checked.
//
// For a file the built-in key counts for nothing: who made that key signs images of other names, and
// has no say about what somebody else offers. The result has no keys then.
func (opt *Options) keys(url string) *pgp.Keyring {
	if opt.File != nil && opt.Keys != nil && opt.BuiltInKey {
		return new(pgp.Keyring)
	}
	if opt.Streams == nil || opt.Keys == nil || !opt.BuiltInKey {
		return opt.Keys
	}
	known := knownHost(url)
	if known == nil {
		known = opt.Streams.at(url)
	}
	switch {
	case known == nil || known.Fingerprint == "":
		return nil
	case known.Package != "":
		return pgp.UbuntuCloudImages()
	}
	return pgp.LinuxContainers()
}
