package untar

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// A pattern is an exclude pattern as for `tar --anchored --exclude`: it is matched with
// fnmatch(3) from the start of the name, wildcards match "/", and a pattern that matches a
// directory excludes everything below it.
type pattern struct {
	_    [0]func() // forbids ==, whose code nothing needs
	text string
	bare string // text without its leading "./"; "" if it has none
}

func newPattern(text string) pattern {
	p := pattern{text: text}
	p.bare, _ = strings.CutPrefix(p.text, "./")
	if p.bare == p.text {
		p.bare = ""
	}
	return p
}

// match reports whether the pattern matches a name as stored, or matches if a "./" is
// removed from both: the names in an image made with "tar -C root -c ." begin with "./",
// those in other images do not.
//
// It subtracts its steps from *steps. If that becomes negative, the result is false.
func (p pattern) match(name []byte, steps *int64) bool {
	name = bytes.TrimRight(name, "/")
	if glob(p.text, name, steps) {
		return true
	}
	if string(name) == "." {
		return false // the root has no other name
	}
	bare, dotted := bytes.CutPrefix(name, []byte("./"))
	switch {
	case p.bare != "":
		return glob(p.bare, bare, steps)
	case dotted:
		return glob(p.text, bare, steps)
	}
	return false
}

// glob is fnmatch(3) with FNM_LEADING_DIR: the pattern may also match a leading part of the
// name that ends before a "/". A step is a character, or a character in a bracket. The
// number of steps is at most the product of the two lengths, because after a mismatch only
// the last star is extended.
func glob(pattern string, name []byte, steps *int64) bool {
	star, retry := -1, 0 // positions in pattern and name to continue from at the last star
	p, n := 0, 0
	for {
		if *steps--; *steps < 0 {
			return false
		}
		if p == len(pattern) {
			if n == len(name) || name[n] == '/' {
				return true
			}
		} else if pattern[p] == '*' {
			star, retry = p+1, n
			p++
			continue
		} else if n < len(name) {
			if pn, nn, ok := globOne(pattern[p:], name[n:], steps); ok {
				p, n = p+pn, n+nn
				continue
			}
		}
		if star < 0 || retry >= len(name) {
			return false
		}
		retry++
		p, n = star, retry
	}
}

// globOne matches one character or one bracket expression. It returns the number of bytes
// used of the pattern and of the name.
func globOne(pattern string, name []byte, steps *int64) (int, int, bool) {
	r, size := utf8.DecodeRune(name)
	if r == utf8.RuneError && size <= 1 {
		r, size = rune(name[0])+0x110000, 1 // an invalid UTF-8 byte matches only itself
	}
	switch pattern[0] {
	case '?':
		return 1, size, true
	case '[':
		if n, ok, closed := globBracket(pattern, r, steps); closed {
			return n, size, ok
		}
	case '\\':
		if len(pattern) > 1 {
			return 2, 1, pattern[1] == name[0]
		}
	}
	return 1, 1, pattern[0] == name[0]
}

// maxClass is the longest name of a character class, in bytes, as in fnmatch(3) of glibc.
const maxClass = 256

// globBracket matches "[a-z]", "[!a]" and "[[:digit:]]". closed is false if the bracket has
// no end; "[" is then an ordinary character.
func globBracket(pattern string, r rune, steps *int64) (n int, ok, closed bool) {
	i := 1
	negate := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negate {
		i++
	}
	for first := true; i < len(pattern) && *steps >= 0; first = false {
		*steps--
		if pattern[i] == ']' && !first {
			return i + 1, ok != negate, true
		}
		if rest, found := strings.CutPrefix(pattern[i:], "[:"); found {
			rest = rest[:min(len(rest), maxClass)]
			*steps -= int64(len(rest))
			if name, _, found := strings.Cut(rest, ":]"); found {
				ok = ok || globClass(name, r)
				i += len(name) + 4
				continue
			}
		}
		lo, size := globElement(pattern[i:])
		i += size
		hi := lo
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			hi, size = globElement(pattern[i+1:])
			i += 1 + size
		}
		ok = ok || lo <= r && r <= hi
	}
	return 0, false, false
}

// globElement reads one end of a range: a character, "[.x.]" or "[=x=]".
func globElement(pattern string) (rune, int) {
	if len(pattern) > 2 && pattern[0] == '[' && (pattern[1] == '.' || pattern[1] == '=') {
		r, size := globChar(pattern[2:])
		if strings.HasPrefix(pattern[2+size:], pattern[1:2]+"]") {
			return r, size + 4
		}
	}
	return globChar(pattern)
}

// globChar reads a character, which a backslash may escape.
func globChar(pattern string) (rune, int) {
	skip := 0
	if pattern[0] == '\\' && len(pattern) > 1 {
		skip = 1
	}
	r, size := utf8.DecodeRuneInString(pattern[skip:])
	if r == utf8.RuneError && size <= 1 {
		return rune(pattern[skip]) + 0x110000, skip + 1
	}
	return r, skip + size
}

// globClass implements the POSIX character classes for ASCII.
func globClass(name string, r rune) bool {
	lower, upper, digit := 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9'
	switch name {
	case "alpha":
		return lower || upper
	case "digit":
		return digit
	case "alnum":
		return lower || upper || digit
	case "lower":
		return lower
	case "upper":
		return upper
	case "xdigit":
		return digit || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F'
	case "space":
		return r == ' ' || '\t' <= r && r <= '\r'
	case "blank":
		return r == ' ' || r == '\t'
	case "cntrl":
		return r < ' ' || r == 0x7f
	case "print":
		return ' ' <= r && r < 0x7f
	case "graph":
		return ' ' < r && r < 0x7f
	case "punct":
		return ' ' < r && r < 0x7f && !(lower || upper || digit)
	}
	return false
}
