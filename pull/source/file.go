package source

import "lxc-pull/image"

// A File names a root file system in one file: a tar archive in any compression, or a squashfs
// image; or in a directory, which is copied.
type File struct {
	_                [0]func()    // forbids ==, whose code nothing needs
	Path             string       // a path, a URL of scheme https, http or file, or "-" for standard input
	Metadata         string       // the path or URL of LXC's or Incus' metadata; "": none
	SHA256           image.Digest // of the file; "": not known
	Arch             string       // Debian's name of the machine for which the image is; "": found out from its programs
	Stock            bool         // as the stock template lxc-local: the metadata is LXC's, without it there is no config, and nothing is recognised
	RequireSignature bool
	Mirrors          []string // URLs of servers that have the file at the same path below theirs
}
