package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file makes texts from outside safe to show on a terminal. All messages pass through
// printable (terminal.go), and so do the cells of tables (list.go, cache.go).

// printable returns s with control characters and invalid UTF-8 escaped as in a Go string, so
// that a text from outside can't control a terminal. Line feeds and tabs stay.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case steersTerminal(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// steersTerminal reports whether a character above ASCII is a C1 control, or a mark or tag
// that is invisible, or that reorders or hides the characters beside it.
func steersTerminal(r rune) bool {
	switch {
	case 0x80 <= r && r < 0xa0, r == 0x061c, r == 0x180e, 0x200b <= r && r <= 0x200f, 0x2028 <= r && r <= 0x202e,
		0x2060 <= r && r <= 0x206f, r == 0xfeff, 0xfff9 <= r && r <= 0xfffb, 0xe0000 <= r && r <= 0xe007f:
		return true
	}
	return false
}
