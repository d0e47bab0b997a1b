package untar

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Report says what an extraction did and what it could not do.
type Report struct {
	Entries   int64  // read from the archive, excluded ones too
	Bytes     int64  // of content written, holes not counted
	Privilege string // "root", "user namespace" or "user"
	Notes     []Note
}

// A Note counts one kind of thing that the tree lacks or has otherwise than the
// archive says, for one reason.
type Note struct {
	Count  int64
	Thing  string   // singular: "device node"
	Fate   string   // "skipped"
	Reason string   // "user namespace"
	Names  []string // the first of them, quoted
}

const (
	maxNotes     = 64 // kinds; an archive may invent attribute names without end
	maxNoteNames = 20
)

// note counts one more. A kind above maxNotes is counted with the last.
func (r *Report) note(thing, fate, reason string, name []byte) {
	var n *Note
	for i := range r.Notes {
		if n = &r.Notes[i]; n.Thing == thing && n.Fate == fate && n.Reason == reason {
			break
		}
		n = nil
	}
	switch {
	case n != nil:
	case len(r.Notes) < maxNotes-1:
		r.Notes = append(r.Notes, Note{Thing: thing, Fate: fate, Reason: reason})
		n = &r.Notes[len(r.Notes)-1]
	case len(r.Notes) == maxNotes-1:
		r.Notes = append(r.Notes, Note{Thing: "detail", Fate: "not restored", Reason: "various reasons"})
		fallthrough
	default:
		n = &r.Notes[maxNotes-1]
	}
	n.Count++
	if len(n.Names) < maxNoteNames {
		n.Names = append(n.Names, quote(name))
	}
}

func (n Note) String() string {
	thing := n.Thing
	if n.Count != 1 {
		if base, ok := strings.CutSuffix(thing, "y"); ok {
			thing = base + "ies"
		} else {
			thing += "s"
		}
	}
	return fmt.Sprintf("%d %s %s: %s", n.Count, thing, n.Fate, n.Reason)
}

// Summary is all notes in one line, "" where there are none.
func (r *Report) Summary() string {
	s := make([]string, len(r.Notes))
	for i, n := range r.Notes {
		s[i] = n.String()
	}
	return strings.Join(s, "; ")
}

// AppendJSON appends the report as one JSON object:
//
//	{"entries":8743,"bytes":1048576,"privilege":"root","notes":[
//	 {"count":8,"thing":"device node","fate":"skipped","reason":"user namespace","names":["\"dev/null\""]}]}
func (r *Report) AppendJSON(b []byte) []byte {
	b = fmt.Appendf(b, `{"entries":%d,"bytes":%d,"privilege":`, r.Entries, r.Bytes)
	b = appendJSONString(b, r.Privilege)
	b = append(b, `,"notes":[`...)
	for i, n := range r.Notes {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"count":%d,"thing":`, n.Count)
		b = appendJSONString(b, n.Thing)
		b = append(b, `,"fate":`...)
		b = appendJSONString(b, n.Fate)
		b = append(b, `,"reason":`...)
		b = appendJSONString(b, n.Reason)
		b = append(b, `,"names":[`...)
		for i, name := range n.Names {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, name)
		}
		b = append(b, "]}"...)
	}
	return append(b, "]}"...)
}

// appendJSONString appends s as a JSON string (RFC 8259 section 7).
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20 || r == 0x7f:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// fsName names the file systems that lack something a root filesystem needs,
// and some others, by their statfs(2) magic.
func fsName(magic int64) string {
	switch uint32(magic) {
	case 0x4d44:
		return "vfat"
	case 0x2011bab0:
		return "exfat"
	case 0x5346544e, 0x7366746e:
		return "ntfs"
	case 0xef53:
		return "ext4"
	case 0x01021994:
		return "tmpfs"
	case 0x6969:
		return "nfs"
	case 0x65735546:
		return "fuse"
	case 0x5dca2df5:
		return "sdcardfs"
	case 0x72b6:
		return "jffs2"
	case 0x24051905:
		return "ubifs"
	case 0xf2f52010:
		return "f2fs"
	case 0x9123683e:
		return "btrfs"
	case 0x58465342:
		return "xfs"
	case 0x2fc12fc1:
		return "zfs"
	case 0x794c7630:
		return "overlay"
	case 0x01021997:
		return "9p"
	case 0xff534d42, 0xfe534d42:
		return "cifs"
	case 0x858458f6:
		return "ramfs"
	}
	return "file system 0x" + strconv.FormatUint(uint64(uint32(magic)), 16)
}
