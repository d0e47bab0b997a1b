// Package untar writes a tar stream onto a file system, and nowhere else.
//
// Three parts build on each other: a parser that does no I/O (parser.go), the
// stream of entries over an io.Reader (stream.go), and the extractor
// (extract.go), which gives every system call one path component below a
// descriptor, so that no name and no link leads out of the root. Decompress
// recognises compressed streams.
//
// The extractor leaves what GNU tar leaves when the stock LXC template calls it
// (`tar --numeric-owner --xattrs-include='*' -xp`): numeric owners, whole modes,
// times, extended attributes, capabilities, ACLs stored as attributes, hard
// links, holes, devices. Its promises beyond that are:
//
//   - A symbolic link is never followed, neither one of the archive nor one that
//     was there before; a parent that is a link is an error.
//   - What exists at a name is removed before anything is made there, so no
//     byte goes through a hard link to another file.
//   - Owner, mode, times and attributes are set on descriptors; those of directories
//     come last, deepest first, so no late change meets a link.
//   - A ".." is refused, numbers out of range are refused, a cut archive is an
//     error, and memory stays bounded whatever the archive says.
//
// Left out on purpose: text ACLs unless asked for (the template's tar ignores
// them), file flags, SELinux labels unless asked for (an image's label makes
// files unreadable on a host with another policy), attributes that steer
// overlayfs, multi-volume archives, cpio.
package untar

// Privilege says whose the extracted files become. What the process may do
// beside (make devices, set attributes of the system) is found out by trying.
type Privilege uint8

const (
	DetectPrivilege Privilege = iota // Owners for user ID 0, also that of a user namespace; else User
	Owners                           // every owner as in the archive, or the extraction fails
	User                             // everything belongs to the caller
)

// Options say how to extract. The zero value extracts everything, leniently.
type Options struct {
	// Strict refuses what no generator of images writes and what is therefore
	// damage or an attack: unknown types, a size on an entry without a body,
	// repeated or contradicting extended headers, records for all entries,
	// an empty archive, one without an end, and a root that is not empty.
	// Without it these are read as GNU tar and bsdtar agree to read them.
	Strict bool

	// Vouched lets a strict run accept an archive without end-of-archive
	// blocks: set it where a digest says that the stream is whole.
	Vouched bool

	// Layer treats the archive as an OCI image layer over what the root
	// holds: whiteouts remove, and a parent that is a link is resolved inside
	// the root.
	Layer bool

	Exclude []string // patterns as for tar --anchored --exclude; see pattern
	Members []string // only these entries and what is below them; empty: all
	Strip   int      // leading components to drop from names and hard link targets; "." is one

	// MaxBytes and MaxEntries are limits of the caller's; above the first the
	// error is ErrTooBig.
	MaxBytes   int64 // bytes of content that may be written; 0: no limit but the disk's
	MaxEntries int64 // entries that may be read; 0: DefaultMaxEntries

	Privilege Privilege
	// IDMap, where it is not nil, shifts all owners as a user namespace with
	// these ranges would, for root outside of it. Device nodes are skipped.
	IDMap   []IDRange
	SELinux bool // restore security.selinux
	ACLs    bool // restore text ACLs (SCHILY.acl.*), as tar --acls
	KeepOld bool // leave what exists and is not a directory
	Merge   bool // extract beside what the root holds, in a strict run too

	// DeferRoot makes the root directory 0700 for the time being; Root.Finish
	// gives it the archive's owner, mode and time, or its own mode back. Until
	// a digest is known to be right nobody else can look inside.
	DeferRoot bool

	Each func(*Entry) // called for every entry before it is extracted
}

const (
	// DefaultMaxEntries is above every known root filesystem by a factor of
	// ten, and keeps a bomb of empty files from using up all inodes.
	DefaultMaxEntries = 2 << 20

	// maxLogical bounds the sum of all file sizes with their holes, 256 TiB:
	// a hole costs nothing here, but those who copy the tree pay for it.
	maxLogical = 1 << 48

	// maxDirMemory bounds what is kept per directory until the end: about 300,000
	// directories.
	maxDirMemory = 64 << 20
	dirMemory    = 200 // bytes for one, beside its name and attributes
)
