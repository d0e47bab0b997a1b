package untar

import (
	"bytes"
	"io"
	"math/bits"
	"strings"
)

// Many archives have their root file system below one directory: root.x86_64, rootfs,
// alpine-minirootfs. Which one it is must be known before the first file is extracted. So the
// names at the archive's beginning are read first:
//
//   - At the top of the archive is a name that a root file system has: there is no such directory.
//   - Below a directory is a name that a root file system has, and the directory's name contains
//     "root", or it is a name that nothing but a root file system has, or there are three, one of
//     them rare elsewhere: that is the directory. ("app/bin" and "app/lib" are not enough: a
//     container has such a directory in /.)
//   - Two directories have such names: neither.
//   - The archive ends: a directory with one such name is enough, since all others are known.
//
// Without such evidence within the limits there is no such directory.
const (
	// maxLooked is the number of entries that are looked at. Below /bin, of a file system that has
	// it and not only a link, are a few hundred links to busybox.
	maxLooked = 1024
	// maxLookedBytes is the part of an archive that is looked at, which stays in memory until it
	// is extracted: busybox and the configuration files of a small system.
	maxLookedBytes = 2 << 20
)

// usualNames are the names that a root file system has at its top: first those that programs
// install directories with, too, then those that are rare elsewhere, then those that nothing else
// has.
const (
	usualNames  = " bin etc init lib lib32 lib64 libx32 media opt sbin tmp var  dev home root run srv  boot mnt proc sys usr "
	rareNames   = 1<<17 - 1<<12
	uniqueNames = 1<<17 | 1<<18 | 1<<19 | 1<<20 | 1<<21
)

// rootNames returns a bit for a name of usualNames, 0 for other names.
func rootNames(name []byte) uint32 {
	for i, usual := range strings.Fields(usualNames) {
		if string(name) == usual {
			return 1 << i
		}
	}
	return 0
}

// recognize looks at the first entries, as Filter.Top asks for. Afterwards f.Top is set only if
// f.Inside is the directory that it found.
func (f *Filter) recognize(in entries) {
	var path, candidate []byte
	seen, asked := uint32(0), f.Top && f.Inside == ""
	f.Top = false
	for n := 0; asked && n < maxLooked; n++ {
		e, err := in.next()
		if err == nil {
			path, err = cleanName(path[:0], e.Name)
		} else if err == io.EOF && seen != 0 {
			f.Top, f.Inside = true, string(candidate)
		}
		if err != nil {
			return // whoever extracts the archive gets the error, too
		}
		top, rest, _ := bytes.Cut(path, []byte("/"))
		below, _, _ := bytes.Cut(rest, []byte("/"))
		bit := rootNames(below)
		if rootNames(top) != 0 || bit != 0 && seen != 0 && !bytes.Equal(candidate, top) {
			return
		}
		if bit == 0 {
			continue
		}
		candidate = append(candidate[:0], top...)
		seen |= bit
		rare := seen&rareNames != 0 && bits.OnesCount32(seen) >= 3
		if rare || seen&uniqueNames != 0 || strings.Contains(strings.ToLower(string(top)), "root") {
			f.Top, f.Inside = true, string(top)
			return
		}
	}
}

// recognizeIn does what Filter.Top asks for with an archive. It returns a reader of the whole
// archive.
func (f *Filter) recognizeIn(tar io.Reader) io.Reader {
	if !f.Top {
		return tar
	}
	head := make([]byte, maxLookedBytes)
	n, _ := io.ReadFull(tar, head) // an error comes again
	// Strict: only blocks for it are the end of an archive that goes on.
	f.recognize(newStream(bytes.NewReader(head[:n]), n == len(head), false))
	return io.MultiReader(bytes.NewReader(head[:n]), tar)
}
