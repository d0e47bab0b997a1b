// Package json reads JSON texts (RFC 8259) without reflection and without copying them.
//
// Parse checks the whole text once. A Value is then a part of that text, and its methods
// look for members and items in it, from its beginning each time.
package json

import (
	"errors"
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
func Parse(text string) (Value, error) { return parse(text, true) }

// ParseLoose is Parse for texts that other programs may have written again. It takes any
// depth and repeated names: Members returns all of them, and Get returns the first. Bytes that
// are not UTF-8, and half a surrogate pair, become U+FFFD.
func ParseLoose(text string) (Value, error) {
	if !utf8.ValidString(text) {
		var valid []byte
		for _, r := range text { // each bad byte is a U+FFFD
			valid = utf8.AppendRune(valid, r)
		}
		text = string(valid)
	}
	return parse(text, false)
}

func parse(text string, strict bool) (Value, error) {
	c := checker{text: text, strict: strict}
	c.space()
	v := c.value()
	if v.text != "" {
		c.space()
	}
	if v.text == "" || c.at < len(text) || !utf8.ValidString(text) {
		if c.why == "" {
			c.why = "no valid JSON at byte " + strconv.Itoa(c.at)
		}
		return Value{}, errors.New(c.why)
	}
	return v, nil
}

// Get returns the member of an object, the zero Value if v is no object or has no such member.
func (v Value) Get(name string) Value {
	for w := v.Walk(); ; {
		n, value, ok := w.Next()
		if text, _ := n.Text(); !ok || text == name {
			return value
		}
	}
}

// Text returns the text of a string; ok is false if v is no string.
func (v Value) Text() (text string, ok bool) {
	c := checker{text: v.text}
	return c.string()
}

// Int returns a number that is an integer of 64 bits; ok is false for any other value.
func (v Value) Int() (n int64, ok bool) {
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// Items returns the items of an array; ok is false if v is no array.
func (v Value) Items() (items []Value, ok bool) { return v.parts('[') }

// Members returns the names and values of the members of an object, one after the other; ok is
// false if v is no object.
func (v Value) Members() (parts []Value, ok bool) { return v.parts('{') }

// parts returns the values in an array or object, as mark says, and the names.
func (v Value) parts(mark byte) (parts []Value, ok bool) {
	if v.text == "" || v.text[0] != mark {
		return nil, false
	}
	w := Walk{v.text[1:]}
	for {
		part := w.value()
		if part.text == "" { // the end
			return parts, true
		}
		parts = append(parts, part)
	}
}

// A Walk goes through the members of an object one by one, which needs no memory. The zero Walk
// has no members.
type Walk struct{ rest string }

// Walk returns a Walk before the first member; if v is no object, one without members.
func (v Value) Walk() Walk {
	if !v.IsObject() {
		return Walk{}
	}
	return Walk{v.text[1:]}
}

// Next returns the next member; ok is false after the last.
func (w *Walk) Next() (name, value Value, ok bool) {
	name = w.value()
	return name, w.value(), name.text != ""
}

// value goes past the next name or value and what separates it from others, and returns it; at
// the end of the object or array it returns the zero Value. Since the text was checked, it looks
// only for strings, and for the marks at which values begin and end.
func (w *Walk) value() Value {
	text := w.rest
	start, depth := 0, 0
	for start < len(text) && (text[start] <= ' ' || text[start] == ',' || text[start] == ':') {
		start++
	}
	at := start
	for at < len(text) {
		switch text[at] {
		case '"':
			for at++; text[at] != '"'; at++ {
				if text[at] == '\\' {
					at++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 { // of the object or array itself, also after its last number or word
				w.rest = text[at:]
				return Value{text[start:at]}
			}
			depth--
		default:
			if depth > 0 || at+1 < len(text) && strings.IndexByte(" \n\r\t,]}", text[at+1]) < 0 {
				at++
				continue
			}
		}
		at++
		if depth == 0 {
			break
		}
	}
	w.rest = text[at:]
	return Value{text[start:at]}
}

// IsObject reports whether v is an object.
func (v Value) IsObject() bool { return v.text != "" && v.text[0] == '{' }

// IsNull reports whether v is absent or null.
func (v Value) IsNull() bool { return v.text == "" || v.text[0] == 'n' }

// A checker checks a text. It has no recursion, so that no text needs a large stack. Its
// methods report false if the text is wrong at c.at.
type checker struct {
	_      [0]func() // forbids ==, whose code nothing needs
	text   string
	at     int    // the next byte
	strict bool   // as Parse, not ParseLoose
	why    string // what is wrong, if that is no matter of grammar
	open   []byte // the marks that end the arrays and objects that are open
	// names are those of the members of the open objects, if strict.
	names [MaxDepth]map[string]bool
}

// peek returns the next byte, 0 at the end.
func (c *checker) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

// take goes past a byte if it is the next.
func (c *checker) take(b byte) bool {
	ok := c.peek() == b
	if ok {
		c.at++
	}
	return ok
}

// space goes past white space.
func (c *checker) space() {
	for c.at < len(c.text) && c.text[c.at] <= ' ' && strings.IndexByte(" \n\r\t", c.text[c.at]) >= 0 {
		c.at++
	}
}

// value goes past a value and returns it, the zero Value if there is none.
func (c *checker) value() Value {
	start := c.at
	for {
		if depth := len(c.open); depth > 0 && c.open[depth-1] == '}' && !c.name(depth-1) {
			return Value{}
		}
		switch mark := c.peek(); mark {
		case '[', '{':
			depth := len(c.open)
			if c.strict {
				if depth == MaxDepth {
					c.why = "JSON with arrays and objects that are nested more than " + strconv.Itoa(MaxDepth) + " deep"
					return Value{}
				}
				c.names[depth] = nil
			}
			c.open = append(c.open, mark+2) // ']' and '}' are two after '[' and '{'
			c.at++
			c.space()
			if c.peek() != mark+2 {
				continue
			}
		case '"':
			if _, ok := c.string(); !ok {
				return Value{}
			}
		default:
			if !c.word() {
				return Value{}
			}
		}
		for {
			last := len(c.open) - 1
			if last < 0 {
				return Value{c.text[start:c.at]}
			}
			c.space()
			if c.take(',') {
				c.space()
				break
			}
			if !c.take(c.open[last]) {
				return Value{}
			}
			c.open = c.open[:last]
		}
	}
}

// name checks the name and colon of a member of the object at a depth, and goes to its value.
func (c *checker) name(depth int) bool {
	name, ok := c.string()
	if ok && c.strict {
		if c.names[depth] == nil {
			c.names[depth] = map[string]bool{}
		}
		if c.names[depth][name] {
			c.why = "JSON with an object with two members of one name, before byte " + strconv.Itoa(c.at)
			return false
		}
		c.names[depth][name] = true
	}
	c.space()
	ok = ok && c.take(':')
	c.space()
	return ok
}

// word checks a number, true, false or null.
func (c *checker) word() bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(c.text[c.at:], word) {
			c.at += len(word)
			return true
		}
	}
	c.take('-')
	if !c.take('0') && !c.digits() || c.take('.') && !c.digits() {
		return false
	}
	if c.take('e') || c.take('E') {
		if !c.take('-') {
			c.take('+')
		}
		return c.digits()
	}
	return true
}

// digits checks one or more digits.
func (c *checker) digits() bool {
	start := c.at
	for c.at < len(c.text) && '0' <= c.text[c.at] && c.text[c.at] <= '9' {
		c.at++
	}
	return c.at > start
}

// escapes are the characters of the short escapes; meanings are what they mean.
const escapes, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// string goes past a string and returns what it means.
func (c *checker) string() (text string, ok bool) {
	if !c.take('"') {
		return "", false
	}
	var meant []byte // by what is before start
	for start := c.at; c.at < len(c.text); {
		b := c.text[c.at]
		if b >= ' ' && b != '"' && b != '\\' {
			c.at++
			continue
		}
		text = c.text[start:c.at]
		if b == '"' {
			c.at++
			if meant == nil {
				return text, true
			}
			return string(append(meant, text...)), true
		}
		n, r := escape(c.text[c.at:], c.strict)
		if n == 0 {
			break
		}
		meant = utf8.AppendRune(append(meant, text...), r)
		c.at += n
		start = c.at
	}
	return "", false
}

// escape returns the length of the escape at the beginning of s and its meaning, 0 if there is
// none, or a bad one. Half a surrogate pair is bad if strict is true, and else means U+FFFD.
func escape(s string, strict bool) (int, rune) {
	if len(s) < 2 || s[0] != '\\' {
		return 0, 0
	}
	if at := strings.IndexByte(escapes, s[1]); at >= 0 {
		return 2, rune(meanings[at])
	}
	r := unit(s)
	if utf16.IsSurrogate(r) {
		if r = utf16.DecodeRune(r, unit(s[6:])); r != utf8.RuneError {
			return 12, r
		}
		if strict {
			return 0, 0
		}
	}
	if r < 0 {
		return 0, 0
	}
	return 6, r
}

// unit returns the 16 bits of an escape with four hexadecimal digits at the beginning of s, -1 if
// there is none.
func unit(s string) rune {
	if len(s) >= 6 && s[:2] == `\u` {
		if n, err := strconv.ParseUint(s[2:6], 16, 16); err == nil {
			return rune(n)
		}
	}
	return -1
}
