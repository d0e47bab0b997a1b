package image

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of the metadata of an image for Incus.
const (
	// MaxIncus is the size of the largest metadata.yaml that is read, in bytes. Those in use have
	// at most 4 kB.
	MaxIncus = 1 << 20
	// maxNodes is how many keys and values there may be: those in use have a hundred.
	maxNodes = 10000
	// maxNesting is how deep mappings and sequences may be nested: those in use are four deep.
	maxNesting = 16
	// maxPlain is how long a text without quotes may be before its last line, in bytes.
	maxPlain = 64 << 10
	// maxRendered is the size of the largest file that a template makes, in bytes: no template in
	// use makes more than a few lines.
	maxRendered = 1 << 20
)

// An IncusMetadata is the metadata of an image for Incus or LXD (their doc/reference/image_format.md).
type IncusMetadata struct {
	_                [0]func() // forbids ==, whose code nothing needs
	Arch             string    // the kernel's name, as in metadata.yaml
	Created, Expires int64     // seconds since 1970; 0: not known
	Properties       [][2]string
	Templates        []IncusTemplate
}

// An IncusTemplate is a file that Incus writes into the root file system.
type IncusTemplate struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Path       string    // in the root file system
	When       []string  // "create", "copy", "start"
	Template   string    // the name of the file in templates/
	Text       []byte    // its content, set by whoever reads the archive
	CreateOnly bool
	UID, GID   uint32
	Mode       uint32 // 0: not given
	Properties [][2]string
}

// ParseIncus parses the metadata.yaml of an image: the part of YAML that distrobuilder, Incus, LXD
// and Ubuntu's build write. It refuses the rest of YAML.
func ParseIncus(text []byte) (*IncusMetadata, error) {
	y := yaml{line: 1}
	m := new(IncusMetadata)
	if len(text) > MaxIncus {
		y.fail("it is larger than " + strconv.Itoa(MaxIncus) + " bytes")
	} else {
		y.text = strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n")
		v := y.document()
		m.Arch = y.scalar(y.get(v, "architecture"))
		m.Created = y.number(y.get(v, "creation_date"), 10, 1<<40)
		m.Expires = y.number(y.get(v, "expiry_date"), 10, 1<<40)
		m.Properties = y.properties(v)
		templates := y.get(v, "templates")
		y.want(templates, '{')
		for i := range templates.keys {
			t := IncusTemplate{Path: templates.keys[i]}
			t.read(&y, templates.values[i])
			m.Templates = append(m.Templates, t)
		}
	}
	if y.why != "" {
		return nil, errors.New("metadata.yaml: line " + strconv.Itoa(y.line) + ": " + y.why)
	}
	return m, nil
}

// read reads the members of a template.
func (t *IncusTemplate) read(y *yaml, v *node) {
	when, only := y.get(v, "when"), y.get(v, "create_only")
	y.want(when, '[')
	for _, item := range when.values {
		t.When = append(t.When, y.scalar(item))
	}
	t.Template = y.scalar(y.get(v, "template"))
	if CheckName(t.Template) != nil {
		y.wrong(v, "the name of the template of "+quote(t.Path)+" is missing or bad")
	}
	word := strings.ToLower(y.scalar(only))
	if t.CreateOnly = word == "true"; !t.CreateOnly && word != "false" && word != "" {
		y.wrong(only, quote(word)+" is neither true nor false")
	}
	t.UID = uint32(y.number(y.get(v, "uid"), 10, 1<<32-2))
	t.GID = uint32(y.number(y.get(v, "gid"), 10, 1<<32-2))
	t.Mode = uint32(y.number(y.get(v, "mode"), 8, 0o7777))
	t.Properties = y.properties(v)
}

// Render returns the text of a template for an instance of that name. ok is false if the template
// has more than text, {{ container.name }}, {{ instance.name }} and properties. config_get gives
// its default, because an instance of LXC has no settings of Incus.
func (t *IncusTemplate) Render(name string) (text []byte, ok bool) {
	before, rest, more := strings.Cut(string(t.Text), "{{")
	text = append(text, before...)
	for more {
		var expression string
		expression, rest, more = strings.Cut(rest, "}}")
		value, known := t.value(strings.TrimSpace(expression), name)
		if !more || !known || len(text) > maxRendered {
			return nil, false
		}
		before, rest, more = strings.Cut(rest, "{{")
		text = append(append(text, value...), before...)
	}
	// {% begins a statement, {# a comment.
	return text, !strings.Contains(string(t.Text), "{%") && !strings.Contains(string(t.Text), "{#") && len(text) <= maxRendered
}

// value returns the value of an expression in a template.
func (t *IncusTemplate) value(expression, name string) (value string, ok bool) {
	if expression == "container.name" || expression == "instance.name" {
		return name, true
	}
	if strings.HasPrefix(expression, "config_get(") {
		_, expression, _ = strings.Cut(strings.TrimSuffix(expression, ")"), ",")
		expression = strings.TrimSpace(expression)
		if text := strings.Trim(expression, `"'`); len(expression) == len(text)+2 && !strings.ContainsAny(text, `"'\`) {
			return text, true
		}
	}
	key, ok := strings.CutPrefix(expression, "properties.")
	for i := range t.Properties {
		if t.Properties[i][0] == key {
			value = t.Properties[i][1]
		}
	}
	// A property that is not there is empty, as in Incus; anything but a name is no property.
	return value, ok && key != "" && !strings.ContainsAny(key, "|([{ \"'-+*/<>=!&,:")
}

// A node is a value of a YAML document.
type node struct {
	_      [0]func() // forbids ==, whose code nothing needs
	kind   byte      // '{' a mapping, '[' a sequence, 0 a scalar
	line   int
	text   string // of a scalar
	quoted bool
	keys   []string // of a mapping
	values []*node  // of a mapping or sequence
}

// null reports whether a scalar is null (YAML 1.1, "null").
func (v *node) null() bool {
	return v.kind == 0 && !v.quoted && (v.text == "" || v.text == "~" || strings.EqualFold(v.text, "null"))
}

// yaml reads a document of the part of YAML that metadata has: mappings and sequences, by
// indentation or in braces and brackets; scalars plain, in quotes and as literal blocks (|); comments;
// one document. Anchors, tags, directives and the rest are errors.
type yaml struct {
	_     [0]func() // forbids ==, whose code nothing needs
	text  string
	at    int // the next byte
	line  int // its line, from 1
	nodes int // how many were made
	depth int
	why   string // the first thing that is wrong, in that line; it ends the text
}

// fail notes that something is wrong in the current line, and ends the text.
func (y *yaml) fail(why string) {
	if y.why == "" {
		y.why = why
	}
	y.at = len(y.text)
}

// wrong notes that a value is wrong.
func (y *yaml) wrong(v *node, why string) {
	if y.why == "" {
		y.line = v.line
	}
	y.fail(why)
}

// want checks that a value is a mapping or sequence, as kind says, or null.
func (y *yaml) want(v *node, kind byte) {
	if v.kind != kind && !v.null() {
		y.wrong(v, "a value of another kind is in the place of a mapping or sequence")
	}
}

// get returns the value of a key of a mapping, null if there is none.
func (y *yaml) get(v *node, key string) *node {
	y.want(v, '{')
	for i := range v.keys {
		if v.keys[i] == key {
			return v.values[i]
		}
	}
	return new(node)
}

// scalar returns the text of a scalar, "" for null.
func (y *yaml) scalar(v *node) string {
	if v.kind != 0 {
		y.wrong(v, "a mapping or sequence is in the place of a text")
	}
	if v.null() {
		return ""
	}
	return v.text
}

// number returns the value of a scalar that is a number from 0 to max; 0 for null.
func (y *yaml) number(v *node, base int, max int64) int64 {
	text := y.scalar(v)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, base, 64)
	if err != nil || n < 0 || n > max {
		y.wrong(v, quote(text)+" is no number from 0 to "+strconv.FormatInt(max, base))
		return 0
	}
	return n
}

// properties returns the properties in a mapping.
func (y *yaml) properties(v *node) (list [][2]string) {
	v = y.get(v, "properties")
	y.want(v, '{')
	for i := range v.keys {
		list = append(list, [2]string{v.keys[i], y.scalar(v.values[i])})
	}
	return list
}

// node makes a node of the current line.
func (y *yaml) node(kind byte) *node {
	if y.nodes++; y.nodes > maxNodes {
		y.fail("more than " + strconv.Itoa(maxNodes) + " values")
	}
	return &node{kind: kind, line: y.line}
}

// add adds a member to a mapping.
func (y *yaml) add(v, key, value *node) {
	if key.null() {
		y.wrong(key, "null is a key")
	}
	for _, k := range v.keys {
		if k == key.text {
			y.wrong(key, "a second "+quote(k)+" in one mapping")
			return
		}
	}
	v.keys, v.values = append(v.keys, key.text), append(v.values, value)
}

// controls are the characters that no text may have.
const controls = "\x00\x01\x02\x03\x04\x05\x06\a\b\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\u0085\u2028\u2029\ufeff"

// document reads the document.
func (y *yaml) document() *node {
	// YAML 1.1 ends lines also at U+0085, U+2028 and U+2029.
	if at := strings.IndexAny(y.text, controls); at >= 0 || !utf8.ValidString(y.text) {
		y.line += strings.Count(y.text[:max(0, at)], "\n")
		y.fail("a control character, or no UTF-8")
	}
	if y.indent() == 0 && strings.HasPrefix(y.text[y.at:], "---") && y.ends(3) {
		y.at += 3
		if y.blanks(false); y.peek(0) != '{' {
			y.rest()
		}
	}
	if text, ok := strings.CutSuffix(strings.TrimRight(y.text, " \t\r\n"), "\n..."); ok && len(text) >= y.at {
		y.text = text + "\n" // the end of the document
	}
	v := y.block(y.indent())
	if y.indent() >= 0 {
		y.fail("the indentation fits nothing above, or there is more than one document")
	}
	return v
}

// peek returns the byte n bytes on, 0 at the end of the text.
func (y *yaml) peek(n int) byte {
	if y.at+n < len(y.text) {
		return y.text[y.at+n]
	}
	return 0
}

// ends reports whether a blank, the end of the line or that of the text is n bytes on.
func (y *yaml) ends(n int) bool {
	switch y.peek(n) {
	case 0, ' ', '\t', '\n':
		return true
	}
	return false
}

// blanks goes past blanks and a comment, and over line ends if lines is true.
func (y *yaml) blanks(lines bool) {
	for {
		switch c := y.peek(0); {
		case c == '#' && (y.at == 0 || strings.IndexByte(" \t\n", y.text[y.at-1]) >= 0):
			for y.at < len(y.text) && y.text[y.at] != '\n' {
				y.at++
			}
		case c == '\n' && lines:
			y.line++
			y.at++
		case c == ' ', c == '\t':
			y.at++
		default:
			return
		}
	}
}

// rest goes to the end of the line, in which only a comment may follow.
func (y *yaml) rest() {
	if y.blanks(false); y.at < len(y.text) && y.peek(0) != '\n' {
		y.fail("unexpected " + quote(y.text[y.at:y.at+1]))
	}
}

// column returns how many bytes of the line are before the next one.
func (y *yaml) column() int { return y.at - 1 - strings.LastIndexByte(y.text[:y.at], '\n') }

// indent goes to the next value or key that begins a line, and returns its indentation; -1 at the
// end of the text. It may be called twice in one place.
func (y *yaml) indent() int {
	y.blanks(true)
	if y.at == len(y.text) {
		return -1
	}
	column := y.column()
	if start := y.text[y.at-column : y.at]; strings.IndexByte(start, '\t') >= 0 {
		y.fail("a tab in the indentation")
		return -1
	}
	return column
}

// deeper notes that values of a mapping or sequence follow; it returns false if they are nested
// too deep.
func (y *yaml) deeper() bool {
	if y.depth++; y.depth > maxNesting {
		y.fail("mappings and sequences are nested more than " + strconv.Itoa(maxNesting) + " deep")
		return false
	}
	return true
}

// block reads the value that begins here, at a column; -1: there is none. It reads the following
// lines that belong to it.
func (y *yaml) block(column int) *node {
	v := y.node(0)
	if column < 0 || !y.deeper() {
		return v
	}
	first := true
	for here := column; here == column; here = y.indent() {
		item := y.peek(0) == '-' && y.ends(1)
		if !first && (v.kind == 0 || item != (v.kind == '[')) {
			break
		}
		if item {
			v.kind = '['
			y.at++
			v.values = append(v.values, y.value(column, true))
		} else if value, isKey := y.keyOrValue(column, first); isKey {
			v.kind = '{'
			y.add(v, value, y.value(column, false))
		} else {
			v = value
			break
		}
		first = false
	}
	y.depth--
	return v
}

// value reads what follows a key and its colon, or the hyphen of an item, in a block at a column.
func (y *yaml) value(column int, item bool) *node {
	if y.blanks(false); y.at < len(y.text) && y.peek(0) != '\n' {
		if item {
			return y.block(y.column())
		}
		return y.inline(column)
	}
	empty := y.node(0)
	next := y.indent()
	if next > column || next == column && !item && y.peek(0) == '-' && y.ends(1) {
		return y.block(next)
	}
	return empty
}

// keyOrValue reads a scalar or a flow, and the colon after it if it is a key.
func (y *yaml) keyOrValue(column int, mayBeValue bool) (v *node, isKey bool) {
	at, line := y.at, y.line
	if c := y.peek(0); c != '{' && c != '[' && c != '|' {
		v = y.flowScalar(false)
		y.blanks(false)
		if y.line == line && y.peek(0) == ':' && y.ends(1) {
			y.at++
			return v, true
		}
	}
	if !mayBeValue {
		y.fail("a line without a key and a colon")
		return y.node(0), false
	}
	if y.why == "" {
		y.at, y.line = at, line
	}
	return y.inline(column - 1), false
}

// inline reads the value that begins here and goes to the end of its last line. The lines of a
// text are indented more than column.
func (y *yaml) inline(column int) *node {
	v := y.node(0)
	switch y.peek(0) {
	case '{', '[':
		v = y.flow()
	case '|':
		return y.literal(column)
	case '"', '\'':
		v = y.quoted()
	default:
		v.text = y.plain(column, false)
	}
	y.rest()
	return v
}

// flowScalar reads a scalar; flow says that it is in braces or brackets, where it may have several
// lines.
func (y *yaml) flowScalar(flow bool) *node {
	if c := y.peek(0); c == '"' || c == '\'' {
		return y.quoted()
	}
	column := len(y.text)
	if flow {
		column = -1
		y.onlyOne()
	}
	v := y.node(0)
	v.text = y.plain(column, flow)
	return v
}

// flow reads a mapping in braces or a sequence in brackets.
func (y *yaml) flow() *node {
	v := y.node(y.peek(0))
	if !y.deeper() {
		return v
	}
	y.at++
	for y.why == "" {
		y.blanks(true)
		if y.peek(0) == v.kind+2 { // '}' or ']'
			y.at++
			break
		}
		var key *node
		if v.kind == '{' {
			line := y.line
			key = y.flowScalar(true)
			y.blanks(false)
			if y.line != line || y.peek(0) != ':' || !key.quoted && !y.ends(1) && strings.IndexByte(",[]{}", y.peek(1)) < 0 {
				y.fail("no key with a colon in braces")
				return v
			}
			y.at++
			y.blanks(true)
		}
		value := y.node(0)
		switch c := y.peek(0); {
		case c == '{', c == '[':
			value = y.flow()
		case v.kind == '{' && (c == ',' || c == '}'): // null
		default:
			value = y.flowScalar(true)
		}
		if v.kind == '{' {
			y.add(v, key, value)
		} else {
			v.values = append(v.values, value)
		}
		if y.blanks(true); y.peek(0) == ',' {
			y.at++
		} else if y.peek(0) != v.kind+2 {
			y.fail("no comma and no end after a value in braces or brackets")
		}
	}
	y.depth--
	return v
}

// plain reads a scalar without quotes. It goes on in lines that are indented more than column.
func (y *yaml) plain(column int, flow bool) string {
	if c := y.peek(0); c == 0 || strings.IndexByte(",[]{}#&*!|>'\"%@`", c) >= 0 || (c == '-' || c == '?' || c == ':') && (y.ends(1) || flow && (c != '-' || strings.IndexByte(",[]{}", y.peek(1)) >= 0)) {
		if c == 0 {
			y.fail("a value is missing")
		} else {
			y.fail("a value that begins with " + strconv.Quote(string(rune(c))) + " is not supported")
		}
		return ""
	}
	var text []byte
	for {
		line, _, _ := strings.Cut(y.text[y.at:], "\n")
		end := 0
		for ; end < len(line); end++ {
			next := " "
			if end+1 < len(line) {
				next = line[end+1 : end+2]
			}
			// A question mark ends a value in YAML 1.1.
			if c := line[end]; flow && strings.IndexByte(",[]{}?", c) >= 0 || c == ':' && (strings.Contains(" \t", next) || flow && strings.Contains(",[]{}", next)) ||
				c == '#' && end > 0 && line[end-1] <= ' ' {
				break
			}
		}
		text = append(text, strings.TrimRight(line[:end], " \t")...)
		y.at += end
		if end < len(line) || y.at == len(y.text) || len(text) > maxPlain {
			break
		}
		at, number := y.at, y.line
		breaks := y.breaks()
		c := y.peek(0)
		if strings.IndexByte(y.text[y.at-y.column():y.at], '\t') >= 0 {
			y.fail("a tab in the indentation")
		}
		if y.why != "" {
			break
		}
		if c == 0 || c == '#' || y.column() <= column || flow && strings.IndexByte(",[]{}:", c) >= 0 {
			y.at, y.line = at, number // the value has ended
			break
		}
		text = append(text, breaks...)
	}
	if string(text) == "<<" {
		y.fail("<< is not supported")
	}
	return string(text)
}

// breaks goes past line ends and blanks, and returns what they mean in a text: a blank, or one line
// end fewer than there are.
func (y *yaml) breaks() string {
	first := y.line
	for y.at < len(y.text) && strings.IndexByte(" \t\r\n", y.text[y.at]) >= 0 {
		if y.text[y.at] == '\n' {
			y.line++
		}
		y.at++
	}
	y.onlyOne()
	if n := y.line - first; n > 1 {
		return strings.Repeat("\n", n-1)
	}
	return " "
}

// onlyOne refuses a mark between documents, which is one in a value, too.
func (y *yaml) onlyOne() {
	if (y.at == 0 || y.text[y.at-1] == '\n') && y.ends(3) && (strings.HasPrefix(y.text[y.at:], "---") || strings.HasPrefix(y.text[y.at:], "...")) {
		y.fail("the document ends here, and only one is supported")
	}
}

// quoted reads a scalar in quotes.
func (y *yaml) quoted() *node {
	v := y.node(0)
	v.quoted = true
	mark := y.text[y.at]
	y.at++
	var text []byte
	kept := 0 // of text: before it, blanks are content
	for {
		c := y.peek(0)
		switch {
		case c == 0:
			y.fail("a quote is not closed")
			return v
		case c == mark && mark == '\'' && y.peek(1) == mark:
			y.at++
		case c == mark:
			y.at++
			v.text = string(text)
			return v
		case c == '\n':
			text = append(text[:kept], y.breaks()...)
			kept = len(text)
			continue
		case c == '\\' && mark == '"':
			text = y.escape(text)
			kept = len(text)
			continue
		}
		text = append(text, c)
		if c != ' ' && c != '\t' && c != '\r' {
			kept = len(text)
		}
		y.at++
	}
}

// escape reads an escape and appends its meaning to text.
func (y *yaml) escape(text []byte) []byte {
	rest := y.text[y.at+1:]
	switch c := y.peek(1); c {
	case '\n': // the line goes on in the next one
		y.at++
		return append(text, strings.TrimPrefix(y.breaks(), " ")...)
	case '/', ' ':
		y.at += 2
		return append(text, c)
	case 'e':
		y.at += 2
		return append(text, '\x1b')
	}
	// The others are Go's, which has more: octal ones.
	r, _, tail, err := strconv.UnquoteChar(y.text[y.at:], '"')
	if err != nil || r == 0 || rest[0] >= '0' && rest[0] <= '9' {
		y.fail("an escape that is not supported in double quotes")
		return text
	}
	y.at = len(y.text) - len(tail)
	return utf8.AppendRune(text, r)
}

// literal reads a literal block ("|" or "|-"), whose lines are indented more than column.
func (y *yaml) literal(column int) *node {
	v := y.node(0)
	v.quoted = true
	y.at++
	chomp := y.peek(0) == '-'
	if chomp {
		y.at++
	}
	y.rest()
	var text []byte
	indent := 0
	for y.at < len(y.text) {
		line, _, _ := strings.Cut(y.text[y.at+1:], "\n")
		blanks := len(line) - len(strings.TrimLeft(line, " "))
		empty := blanks == len(line)
		if empty && indent == 0 && blanks > 0 {
			y.fail("blanks in an empty line before a block")
		}
		if !empty && (blanks <= column || blanks < indent) || y.why != "" {
			break // the line is not part of the block
		}
		if !empty && indent == 0 {
			indent = blanks
		}
		text = append(append(text, line[min(indent, len(line)):]...), '\n')
		y.at += 1 + len(line)
		y.line++
	}
	if v.text = strings.TrimRight(string(text), "\n"); v.text != "" && !chomp {
		v.text += "\n"
	}
	return v
}
