package json

import (
	"hash/maphash"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A checker checks a text. It has no recursion, so that no text needs a large stack. Its
// methods return what is wrong with the text at c.at, "" if nothing is.
type checker struct {
	text   string
	at     int  // the next byte
	strict bool // as Parse, not ParseLoose
	// open has the arrays and objects that are open: of an object where its names begin in
	// names, of an array -1.
	open  []int
	names []string // of the members of the open objects, if strict
	table []uint32 // of repeated
}

// parse checks a text of valid UTF-8.
func parse(text string, strict bool) (Value, error) {
	var few [MaxDepth]int
	c := checker{text: text, strict: strict, open: few[:0]}
	c.space()
	start := c.at
	why := c.value()
	end := c.at
	if why == "" {
		if c.space(); c.at < len(text) {
			why = "text after the value"
		}
	}
	if why != "" {
		return Value{}, &SyntaxError{c.at, why}
	}
	return Value{text[start:end]}, nil
}

// space skips white space.
func (c *checker) space() {
	for c.at < len(c.text) && (c.text[c.at] == ' ' || c.text[c.at] == '\n' || c.text[c.at] == '\r' || c.text[c.at] == '\t') {
		c.at++
	}
}

// peek returns the next byte, 0 at the end.
func (c *checker) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

// unexpected says what is at c.at.
func (c *checker) unexpected() string {
	if c.at >= len(c.text) {
		return "the text ends too early"
	}
	r, _ := utf8.DecodeRuneInString(c.text[c.at:])
	return "unexpected " + strconv.QuoteRune(r)
}

// value checks a value, and sets c.at to its end.
func (c *checker) value() (why string) {
	for {
		opened := false
		if mark := c.peek(); mark == '[' || mark == '{' {
			opened, why = c.begin(mark)
		} else {
			why = c.scalar()
		}
		for !opened && why == "" {
			if len(c.open) == 0 {
				return ""
			}
			opened, why = c.after()
		}
		if why != "" {
			return why
		}
	}
}

// begin checks the beginning of an array or object. If it is not empty, opened is true, and
// c.at is set to the first value.
func (c *checker) begin(mark byte) (opened bool, why string) {
	if c.strict && len(c.open) == MaxDepth {
		return false, "more than " + strconv.Itoa(MaxDepth) + " arrays and objects in each other"
	}
	c.at++
	c.space()
	if c.peek() == mark+2 { // ']' and '}' are two after '[' and '{'
		c.at++
		return false, ""
	}
	if mark == '[' {
		c.open = append(c.open, -1)
		return true, ""
	}
	c.open = append(c.open, len(c.names))
	return true, c.name()
}

// after checks the comma after a value of the innermost array or object, or its end. If there
// is a comma, more is true, and c.at is set to the next value.
func (c *checker) after() (more bool, why string) {
	c.space()
	depth := len(c.open) - 1
	first, mark := c.open[depth], c.peek()
	switch {
	case mark == ',':
		c.at++
		c.space()
		if first >= 0 {
			why = c.name()
		}
		return true, why
	case mark == ']' && first < 0:
	case mark == '}' && first >= 0:
		if name := c.repeated(c.names[first:]); name != nil {
			return false, "an object has two members " + strconv.Quote((*name)[:min(len(*name), 64)])
		}
		c.names = c.names[:first]
	default:
		return false, c.unexpected()
	}
	c.at++
	c.open = c.open[:depth]
	return false, ""
}

// name checks a member's name and colon, and sets c.at to its value.
func (c *checker) name() (why string) {
	start := c.at
	if c.peek() != '"' {
		return c.unexpected()
	}
	if why := c.string(); why != "" {
		return why
	}
	if c.strict {
		c.names = append(c.names, unquote(c.text[start+1:c.at-1]))
	}
	c.space()
	if c.peek() != ':' {
		return c.unexpected()
	}
	c.at++
	c.space()
	return ""
}

// repeated returns a name that is twice among names, nil if there is none. Its seed is of
// random bits, so that nobody can make names that meet in the table.
func (c *checker) repeated(names []string) *string {
	if len(names) <= 16 {
		for i := range names {
			for j := range i {
				if names[i] == names[j] {
					return &names[i]
				}
			}
		}
		return nil
	}
	size := 64
	for size < 2*len(names) {
		size *= 2
	}
	if len(c.table) < size {
		c.table = make([]uint32, size)
	}
	table, seed := c.table[:size], maphash.MakeSeed()
	clear(table)
	for i := range names {
		at := int(maphash.String(seed, names[i])) & (size - 1)
		for table[at] != 0 {
			if names[table[at]-1] == names[i] {
				return &names[i]
			}
			at = (at + 1) & (size - 1)
		}
		table[at] = uint32(i + 1)
	}
	return nil
}

// scalar checks a string, number or word.
func (c *checker) scalar() (why string) {
	if c.peek() == '"' {
		return c.string()
	}
	rest := c.text[c.at:]
	n := number(rest)
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(rest, word) {
			n = len(word)
		}
	}
	if n == 0 {
		return c.unexpected()
	}
	c.at += n
	return ""
}

// string checks a string, which begins with a quotation mark.
func (c *checker) string() (why string) {
	s := c.text
	for i := c.at + 1; i < len(s); i++ {
		if s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
			continue
		}
		c.at = i
		switch s[i] {
		case '"':
			c.at++
			return ""
		case '\\':
			n := c.escape(s[i:])
			if n == 0 {
				return "a bad escape in a string"
			}
			i += n - 1
		default:
			return "a control character in a string"
		}
	}
	c.at = len(s)
	return c.unexpected()
}

// escape returns the length of the escape at the beginning of s, 0 if it is bad.
func (c *checker) escape(s string) int {
	r := escape(s)
	if r >= 0 {
		if !c.strict || !utf16.IsSurrogate(r) {
			return 6
		}
		if utf16.DecodeRune(r, escape(s[6:])) != utf8.RuneError {
			return 12
		}
	} else if len(s) > 1 && strings.IndexByte(escapes, s[1]) >= 0 {
		return 2
	}
	return 0
}

// number returns the length of the number at the beginning of s, 0 if there is none.
func number(s string) int {
	sign := 0
	if s != "" && s[0] == '-' {
		sign = 1
	}
	i := digits(s, sign)
	if i == sign || s[sign] == '0' && i > sign+1 {
		return 0
	}
	if i < len(s) && s[i] == '.' {
		point := i + 1
		if i = digits(s, point); i == point {
			return 0
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		exponent := i
		if i = digits(s, exponent); i == exponent {
			return 0
		}
	}
	return i
}

// digits returns the end of the digits that begin at s[i].
func digits(s string, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}
