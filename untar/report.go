package untar

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Report says what an extraction did, and what it could not do.
type Report struct {
	Entries   int64  // entries read from the archive, including excluded ones
	Bytes     int64  // content written, without holes
	Shared    int64  // content that was not written, since it shares blocks with the files that Root.Copy copied
	Top       string // the directory of the archive that Filter.Top took for its root; "": none
	Privilege string // "root", "user namespace" or "user"
	Notes     []Note
}

// A Note counts things of one kind that the tree lacks, or has differently from the archive,
// for one reason.
type Note struct {
	Count  int64
	Thing  string   // singular: "device node"
	Fate   string   // "skipped"
	Reason string   // "user namespace"
	Names  []string // the first 20 of them, quoted
}

const (
	maxNotes     = 64 // an archive may contain any number of attribute names
	maxNoteNames = 20
)

// note counts a thing.
func (r *Report) note(thing, fate, reason string, name []byte) {
	n := r.of(thing, fate, reason)
	n.Count++
	if len(n.Names) < maxNoteNames {
		n.Names = append(n.Names, quote(name))
	}
}

// of returns the note about things of one kind. If there are maxNotes kinds, it is the last.
func (r *Report) of(thing, fate, reason string) *Note {
	var n *Note
	for i := range r.Notes {
		n = &r.Notes[i]
		if n.Thing == thing && n.Fate == fate && n.Reason == reason {
			return n
		}
	}
	switch len(r.Notes) {
	case maxNotes:
		return n
	case maxNotes - 1:
		thing, fate, reason = "detail", "not restored", "various reasons"
	}
	r.Notes = append(r.Notes, Note{})
	n = &r.Notes[len(r.Notes)-1]
	n.Thing, n.Fate, n.Reason = thing, fate, reason
	return n
}

// Add adds what another extraction into the same root did.
func (r *Report) Add(other *Report) {
	r.Entries += other.Entries
	r.Bytes += other.Bytes
	r.Shared += other.Shared
	if other.Top != "" {
		r.Top = other.Top
	}
	r.Privilege = other.Privilege
	for i := range other.Notes {
		more := &other.Notes[i]
		n := r.of(more.Thing, more.Fate, more.Reason)
		n.Count += more.Count
		n.Names = append(n.Names, more.Names...)
		n.Names = n.Names[:min(len(n.Names), maxNoteNames)]
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

// Summary returns all notes in one line, or "" if there are none.
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
//
// If Shared and Top are set, they are members "shared" and "top".
func (r *Report) AppendJSON(b []byte) []byte {
	b = fmt.Appendf(b, `{"entries":%d,"bytes":%d,"privilege":`, r.Entries, r.Bytes)
	b = AppendJSONString(b, r.Privilege)
	if r.Shared > 0 {
		b = fmt.Appendf(b, `,"shared":%d`, r.Shared)
	}
	if r.Top != "" {
		b = AppendJSONString(append(b, `,"top":`...), r.Top)
	}
	b = append(b, `,"notes":[`...)
	for i, n := range r.Notes {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"count":%d,"thing":`, n.Count)
		b = AppendJSONString(b, n.Thing)
		b = append(b, `,"fate":`...)
		b = AppendJSONString(b, n.Fate)
		b = append(b, `,"reason":`...)
		b = AppendJSONString(b, n.Reason)
		b = append(b, `,"names":[`...)
		for i, name := range n.Names {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendJSONString(b, name)
		}
		b = append(b, "]}"...)
	}
	return append(b, "]}"...)
}

// AppendJSONString appends s as a JSON string (RFC 8259, section 7). Bytes that are not UTF-8
// become U+FFFD.
func AppendJSONString(b []byte, s string) []byte {
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
