package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"lxc-pull/untar"
)

// This file writes what "untar" does not extract: printList the list of an archive in the
// format of GNU tar's "tar -tv", line by line with a lister, and printContent the content of
// its files. "untar -v" uses the lister too.

// printList writes the list of an archive.
func (c *untarCall) printList(w io.Writer, from *input) error {
	out := bufio.NewWriter(w)
	list := newLister(c.numeric)
	err := c.walk(from, func(e *untar.Entry, _ io.Reader) error {
		_, err := out.WriteString(list.line(e))
		return err
	})
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	return err
}

// A lister makes the lines of the list. Its columns are as wide as the widest line so far.
type lister struct {
	_       uncomparable
	numeric bool           // owners as numbers
	zone    *time.Location // of the dates
	unicode bool           // the terminal shows UTF-8; else all bytes above ASCII are escaped

	// The widths of two columns so far, in bytes: owner, group and size; and date.
	owners, date int
}

func newLister(numeric bool) *lister {
	return &lister{numeric: numeric, zone: time.Local, unicode: unicodeLocale(os.Getenv)}
}

// line returns the line of an entry.
func (l *lister) line(e *untar.Entry) string {
	owner, group := string(e.Uname), string(e.Gname)
	if l.numeric || owner == "" {
		owner = fmt.Sprint(e.UID)
	}
	if l.numeric || group == "" {
		group = fmt.Sprint(e.GID)
	}
	size := fmt.Sprint(e.Size)
	name := l.quote(e.Name)
	switch e.Type {
	case untar.TypeChar, untar.TypeBlock:
		size = fmt.Sprintf("%d,%d", e.Major, e.Minor)
	case untar.TypeSymlink:
		name += " -> " + l.quote(e.Link)
	case untar.TypeLink:
		name += " link to " + l.quote(e.Link)
	}
	if e.Unknown() {
		name += " unknown file type '" + l.quote([]byte{e.Flag}) + "'"
	}
	owners := l.quote([]byte(owner)) + "/" + l.quote([]byte(group))
	date := time.Unix(e.Sec, 0).In(l.zone).Format("2006-01-02 15:04")
	const leastOwners, leastDate = 19, 16 // as in GNU tar
	l.owners = max(l.owners, leastOwners, len(owners)+1+len(size))
	l.date = max(l.date, leastDate, len(date))
	return fmt.Sprintf("%s %s %*s %-*s %s\n", modeString(e), owners, l.owners-len(owners)-1, size, l.date, date, name)
}

// quote escapes a name as GNU tar does: with the escapes of C, else in octal.
func (l *lister) quote(s []byte) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch i := strings.IndexByte("\a\b\f\n\r\t\v\\", s[0]); {
		case i >= 0:
			b.WriteString(`\` + `abfnrtv\`[i:i+1])
		case ' ' <= r && r < 0x7f, r >= 0x80 && n > 1 && l.unicode && !steersTerminal(r):
			b.Write(s[:n])
		default:
			for _, c := range s[:n] {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
		s = s[n:]
	}
	return b.String()
}

// unicodeLocale reports whether the environment says that text is UTF-8: the first of the
// three variables that is set counts (POSIX.1, "Environment Variables").
func unicodeLocale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// modeString returns the type and mode of an entry in the letters of ls(1), and those that GNU
// tar has beside them.
func modeString(e *untar.Entry) string {
	b := []byte("?rwxrwxrwx")
	switch e.Type {
	case untar.TypeFile:
		if b[0] = '-'; e.Flag == '7' {
			b[0] = 'C' // a contiguous file
		} else if e.Unknown() {
			b[0] = '?'
		}
	case untar.TypeLink:
		b[0] = 'h'
	case untar.TypeSymlink:
		b[0] = 'l'
	case untar.TypeChar:
		b[0] = 'c'
	case untar.TypeBlock:
		b[0] = 'b'
	case untar.TypeDir:
		b[0] = 'd'
	case untar.TypeFIFO:
		b[0] = 'p'
	case 's':
		b[0] = 's' // a socket, which only squashfs images have
	}
	for i := range 9 {
		if e.Mode>>(8-i)&1 == 0 {
			b[i+1] = '-'
		}
	}
	for i, c := range []byte("sst") {
		if e.Mode>>(11-i)&1 != 0 {
			at := 3 * (i + 1)
			if b[at] == '-' {
				c -= 'a' - 'A'
			}
			b[at] = c
		}
	}
	return string(b)
}

// printContent writes the content of all files, one after the other.
func (c *untarCall) printContent(w io.Writer, from *input) error {
	left := c.opt.Limits.Bytes // holes of sparse files count here, since they are written as zeros
	return c.walk(from, func(e *untar.Entry, r io.Reader) error {
		if e.Type != untar.TypeFile {
			return nil
		}
		if c.opt.Limits.Bytes > 0 {
			if left -= e.Size; left < 0 {
				return untar.ErrTooBig
			}
		}
		_, err := io.Copy(w, r)
		return err
	})
}
