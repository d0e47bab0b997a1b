// Package json reads JSON texts (RFC 8259) without reflection and without copying them.
//
// Parse checks the whole text once. A Value is then a part of that text, and its methods
// look for members and items in it, from its beginning each time.
package json

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested. Registries' documents are six deep.
const MaxDepth = 32

// A Value is a JSON value, a part of a text that Parse has checked. The zero Value is an absent
// one: its methods return nothing.
type Value struct{ text string }

// Parse checks a text and returns its value. It refuses text after the value, bytes that are
// not UTF-8, half a surrogate pair, nesting beyond MaxDepth, and an object with two members of
// one name. Its time grows with the length of the text, whatever is in it.
func Parse(text string) (Value, error) {
	if !utf8.ValidString(text) {
		return Value{}, &SyntaxError{0, "it has bytes that are not UTF-8"}
	}
	return parse(text, true)
}

// ParseLoose is Parse for texts that other programs may have written again. It takes any
// depth and repeated names: Members passes all of them, and Get returns the first. Bytes that
// are not UTF-8, and half a surrogate pair, become U+FFFD.
func ParseLoose(text string) (Value, error) {
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	return parse(text, false)
}

// A SyntaxError says where and why a text is not JSON that Parse takes.
type SyntaxError struct {
	At  int // the byte, from 0
	Why string
}

func (e *SyntaxError) Error() string {
	return "no valid JSON: byte " + strconv.Itoa(e.At) + ": " + e.Why
}

// Get returns the member of an object, the zero Value if v is no object or has no such member.
func (v Value) Get(name string) (found Value) {
	v.Members(func(n string, value Value) bool {
		if n == name {
			found = value
		}
		return n != name
	})
	return found
}

// Text returns the text of a string; ok is false if v is no string.
func (v Value) Text() (text string, ok bool) {
	if !v.is('"') {
		return "", false
	}
	return unquote(v.text[1 : len(v.text)-1]), true
}

// Int returns a number that is an integer of 64 bits; ok is false for any other value.
func (v Value) Int() (n int64, ok bool) {
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// Items calls each with the items of an array, in their order, until it returns false. ok is
// false if v is no array.
func (v Value) Items(each func(Value) bool) (ok bool) {
	if !v.is('[') {
		return false
	}
	for at := 1; ; {
		item := v.next(&at)
		if item.text == "" || !each(item) {
			return true
		}
	}
}

// Members calls each with the members of an object until it returns false. ok is false if v is
// no object.
func (v Value) Members(each func(name string, value Value) bool) (ok bool) {
	if !v.is('{') {
		return false
	}
	for at := 1; ; {
		name, named := v.next(&at).Text()
		if !named || !each(name, v.next(&at)) {
			return true
		}
	}
}

// IsNull reports whether v is absent or null.
func (v Value) IsNull() bool { return v.text == "" || v.is('n') }

// is reports whether the text of v begins with a byte, which tells its type.
func (v Value) is(first byte) bool { return v.text != "" && v.text[0] == first }

// next returns the value of an array or object at or after v.text[*at], the zero Value if there
// is none, and sets *at to its end. A name is a value here.
func (v Value) next(at *int) Value {
	s, start, depth := v.text, *at, 0
	for strings.IndexByte(" \t\r\n,:", s[start]) >= 0 {
		start++
	}
	for i := start; ; i++ {
		switch s[i] {
		case '"':
			i = closing(s, i)
			if depth == 0 {
				*at = i + 1
				return Value{s[start:*at]}
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				*at = i + 1
				return Value{s[start:*at]}
			}
			if depth < 0 { // the end of v, perhaps after a number or word
				*at = i
				return Value{s[start:i]}
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				*at = i
				return Value{s[start:i]}
			}
		}
	}
}

// closing returns where the string ends whose first quotation mark is at s[i].
func closing(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i
}

const escapes, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// unquote returns the text that is meant by the inside of a string that was checked.
func unquote(s string) string {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	text := make([]byte, 0, len(s))
	for ; i >= 0; i = strings.IndexByte(s, '\\') {
		text = append(text, s[:i]...)
		s = s[i:]
		n, c := 2, escape(s)
		if c < 0 {
			c = rune(meanings[strings.IndexByte(escapes, s[1])])
		} else if n = 6; utf16.IsSurrogate(c) {
			if c = utf16.DecodeRune(c, escape(s[6:])); c != utf8.RuneError {
				n = 12
			}
		}
		text, s = utf8.AppendRune(text, c), s[n:]
	}
	return string(append(text, s...))
}

// escape returns the 16 bits of an escape with four hexadecimal digits at the beginning of s,
// -1 if there is none.
func escape(s string) rune {
	if len(s) < 6 || s[:2] != `\u` {
		return -1
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
