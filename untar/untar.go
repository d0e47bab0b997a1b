// Package untar extracts tar archives and squashfs images. It writes below one directory, the
// root, and nowhere else.
//
// # Guarantees
//
// The extractor leaves the same tree as GNU tar when the stock LXC template calls it
// (`tar --numeric-owner --xattrs-include='*' -xp`): numeric owners, full modes, times,
// extended attributes, capabilities, ACLs stored as attributes, hard links, holes and
// devices. Beyond that it guarantees:
//
//   - It never follows a symbolic link, neither one from the archive nor one that
//     existed before. A parent that is a symbolic link is an error.
//   - It removes an existing file before it makes another one of the same name, so it
//     never writes through a hard link into another file.
//   - It sets owner, mode, times and attributes through descriptors. Directories get
//     theirs at the end, the deepest first.
//   - It refuses "..", numbers out of range and archives that are cut off. The memory
//     that it uses is bounded, whatever the archive contains.
//
// It does not restore text ACLs and SELinux labels unless the caller asks for them (the
// stock template's tar ignores text ACLs; an image's label makes files unreadable on a
// host with another policy). It never restores file flags and attributes that configure
// overlayfs. It does not read multi-volume archives and cpio.
//
// # Reading order
//
// Bytes to entries:
//
//   - decompress.go recognizes the compression; gzip.go, bzip2.go (with bzip2block.go) and
//     zstd.go decode one format each, package xz decodes xz and lzma. readahead.go runs a
//     decoder in its own goroutine.
//   - header.go, pax.go and sparse.go read the fields of an archive; parser.go and
//     records.go combine them into an Entry, without I/O. stream.go reads blocks from an
//     io.Reader and feeds the parser. files.go reads an archive without a root, and members.go
//     finds the files of an archive on the disk. squashfs.go makes entries of the files of a
//     squashfs image, which package squashfs reads; copy.go reads a directory as entries.
//
// Entries to files:
//
//   - inside.go and top.go drop leading directories from names. name.go, pattern.go and
//     selection.go decide which entries are extracted, and where.
//   - sys.go makes system calls with one path component each. dirs.go opens directories
//     one component at a time. root.go holds the root directory.
//   - extract.go extracts an archive. directory.go, file.go, special.go and hardlink.go
//     each make one type of entry; attrs.go, acl.go and idmap.go set attributes and
//     owners; layer.go applies the whiteouts of OCI layers; report.go counts losses.
//
// Around an extraction:
//
//   - target.go makes a new tree appear as a whole or not at all. staging.go, marker.go and
//     proof.go recognize what an interrupted run left; permissions.go restores modes and
//     ACLs; remove.go removes trees.
//   - probe.go tests a file system in advance. resolve.go resolves links inside the root,
//     rewrite.go edits files there, and tempfile.go makes temporary files.
//   - compare.go compares a tree with an archive, without an extraction.
//
// # The life of one entry
//
// stream.next passes blocks to parser.feed until it returns gotEntry. extractor.run gives
// the entry to extractor.entry, which asks selection.selects for the clean path and calls
// extractor.parent, which makes the missing parents and returns the descriptor of the
// last one. Then extractor.file, for example, creates the file, copies the body from
// stream.chunk, and sets owner, attributes, mode and time on the descriptor. For a
// directory extractor.keepDir stores the metadata, which extractor.finish sets after the
// last entry.
package untar

// Privilege selects who owns the extracted files. Whether the process may make devices or
// set privileged attributes is not configured: the extractor tries it.
type Privilege uint8

const (
	DetectPrivilege Privilege = iota // Owners if the effective user ID is 0 (also in a user namespace), else User
	Owners                           // set each entry's owner; fail if that is impossible
	User                             // the caller owns all files
)

// Options control an extraction. The zero value extracts all entries, and reads the
// archive as leniently as GNU tar and bsdtar do.
type Options struct {
	// Strict refuses what no image generator writes, and what is therefore damage or an
	// attack: unknown entry types, a size on an entry without a body, repeated or
	// contradicting extended headers, global headers that set more than owners and times,
	// an empty archive, an archive without an end, and a root that is not empty.
	Strict bool

	// Vouched accepts an archive without end-of-archive blocks in spite of Strict, and with
	// Layer one whose last block is not filled. Set it if a digest proves that the stream is
	// complete.
	Vouched bool

	// Layer extracts the archive as an OCI image layer over the content of the root:
	// whiteouts remove files of lower layers, and a parent that is a symbolic link is
	// resolved inside the root. The layer may be empty.
	Layer bool

	KeepOld bool // do not replace existing files; existing directories are still updated

	// Merge accepts a root that is not empty in spite of Strict, and leaves out (see LeftOut)
	// entries that can't be made. With Layer, files that were there before the first layer
	// that the Root got are never replaced or removed: only what layers made is. A Root
	// remembers at most Limits.Entries such paths.
	Merge bool

	// DeferRoot sets the root directory's mode to 0700, so that no other user can look
	// inside before a digest is verified. Root.Finish then sets the archive's owner, mode
	// and time, or restores the old mode.
	DeferRoot bool

	Filter   Filter
	Limits   Limits
	Metadata Metadata

	Each func(*Entry) // called for each selected entry before it is extracted
	// Stop is called before each entry, and before each part of its content. An error ends the
	// extraction with it. nil: nothing is called.
	Stop func() error
}

// A Filter selects entries by their names.
type Filter struct {
	// Inside, if not "", extracts only what is below this directory of the archive, as if the
	// directory were the archive's root. All other names in a Filter, and what Options.Each and
	// errors get, then begin below that directory. Its absence is a *MissingError.
	Inside string
	// Top does the same with a directory that has a name of its own and that holds the root file
	// system, if the archive has such a directory: Report.Top. What is beside it is not extracted,
	// with a Note. It is recognized by the names at the archive's beginning (see top.go). If what
	// follows contradicts that, the error is a *FormatError. With Inside, Top means nothing.
	Top bool

	Exclude []string // patterns as for tar --anchored --exclude
	Members []string // extract only these entries and what is below them; empty: all
	Strip   int      // leading components to drop from names and hard link targets; "." counts
}

// Limits bound an extraction. The error is ErrTooBig above Bytes.
type Limits struct {
	Bytes   int64 // content to write, without holes; 0: unlimited
	Entries int64 // entries to read, including excluded ones; 0: DefaultMaxEntries
}

// Metadata controls which owners and attributes are set.
type Metadata struct {
	Privilege Privilege
	// IDMap, if not nil, maps all owners as a user namespace with these ranges would, for
	// a caller who is root outside of that namespace. Device nodes are then skipped.
	IDMap []IDRange
	// Caller is the user and group who run this program in a user namespace that maps them besides
	// the ids of a container. Copy makes their files root's, as if root had put them there, with the
	// setuid and setgid bits that they have. nil: there are no such ids.
	Caller  *[2]uint32
	SELinux bool // set security.selinux
	ACLs    bool // set ACLs stored as text (SCHILY.acl.*), as tar --acls does
}

const (
	// DefaultMaxEntries is ten times the size of the largest known root file system. It
	// keeps an archive of empty files from using up all inodes.
	DefaultMaxEntries = 2 << 20

	// maxLogical limits the sum of all file sizes, holes included, to 256 TiB. Holes cost
	// no space here, but they do for anyone who copies the tree without them.
	maxLogical = 1 << 48

	// maxDirMemory limits the metadata of directories that is kept until the end, in
	// bytes: about 300,000 directories.
	maxDirMemory = 64 << 20
	dirMemory    = 200 // bytes per directory, besides path and attributes
)
