package lxc

import (
	"strings"
	"testing"
)

// mountEntries returns the entries that getmntent_r(3) of any of three C libraries finds in
// a text, with LXC's buffer of 4096 bytes. glibc skips comments and the rest of a line
// beyond the buffer. musl separates fields at every white space. Android's knows no
// comments, reads the rest beyond the buffer as a line, and needs both numbers.
func mountEntries(text string) (entries [][]string) {
	isBlank := func(r rune) bool { return r < 0x80 && strings.ContainsRune(" \t\n\v\f\r", r) }
	text, _, _ = strings.Cut(text, "\x00")
	for rest := text; rest != ""; {
		end := strings.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		line := rest[:end]
		rest = rest[end:]
		for _, f := range [][]string{strings.FieldsFunc(line, isBlank), mountFields(strings.TrimSuffix(line[:min(len(line), 4095)], "\n"))} {
			if len(f) > 0 && f[0][0] != '#' {
				entries = append(entries, f)
			}
		}
		for line != "" {
			piece := line[:min(len(line), 4095)]
			line = line[len(piece):]
			if f := strings.FieldsFunc(piece, isBlank); len(f) > 5 && startsNumber(f[4]) && startsNumber(f[5]) {
				entries = append(entries, f)
			}
		}
	}
	return entries
}

// FuzzCheckFstab checks that in a text which CheckFstab accepts no C library finds a mount
// that is not allowed.
func FuzzCheckFstab(f *testing.F) {
	for _, s := range []string{
		"# see fstab(5)\n", "none dev/shm tmpfs nosuid,nodev,noexec,mode=1777 0 0\n", "\trun  run tmpfs rw,nosuid,nodev,relatime,mode=755", "#proc proc proc rw 0 0", "/ mnt none bind 0 0",
		"run\vrun tmpfs rw,nosuid,nodev,relatime,mode=755", "/sys/fs/pstore sys/fs/pstore none bind,optional 0 0", "#" + strings.Repeat(" ", 4094) + "/ mnt none bind 0 0", "# x\r/ mnt none bind 0 0", "\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := web.CheckFstab([]byte(text), false); err != nil {
			return
		}
		for _, e := range mountEntries(text) {
			if i := (item{"lxc.mount.entry", "", strings.Join(e, " ")}); !i.harmless("") {
				t.Fatalf("%q: a mount %q", text, e)
			}
		}
	})
}
