package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// columns formats rows as a table, a line for each. Every row has as many cells as the
// first. right aligns the cells to the right.
func columns(rows [][]string, right bool) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for n, cell := range row {
			width[n] = max(width[n], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for n, cell := range row {
			switch {
			case right:
				fmt.Fprintf(&b, "%*s", width[n]+2, cell)
			case n < len(row)-1:
				fmt.Fprintf(&b, "%-*s", width[n]+2, cell)
			default:
				b.WriteString(cell)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// A jsonObject is the fields of a JSON object, each as "key": value.
type jsonObject []string

// text adds a field with a string.
func (o *jsonObject) text(key, value string) { o.raw(key, jsonString(value)) }

// raw adds a field whose value is JSON.
func (o *jsonObject) raw(key, value string) { addTo((*[]string)(o), jsonString(key)+": "+value) }

// printObjects prints a JSON array of objects.
func printObjects(w io.Writer, objects []jsonObject) error {
	var b strings.Builder
	b.WriteString("[")
	for n, o := range objects {
		if n > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  {" + strings.Join(o, ", ") + "}")
	}
	if len(objects) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("]\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// jsonList returns a JSON array of strings.
func jsonList(list []string) string {
	text := ""
	for _, s := range list {
		text += ", " + jsonString(s)
	}
	return "[" + strings.TrimPrefix(text, ", ") + "]"
}

// nameObject returns an object with the fields of an image's name and build.
func nameObject(n image.Name, build string) (o jsonObject) {
	o.text("dist", n.Dist)
	o.text("release", n.Release)
	o.text("arch", n.Arch)
	o.text("variant", n.Variant)
	o.text("build", build)
	return o
}

// jsonString returns s as a JSON string (RFC 8259, section 7), in which no character steers a
// terminal. Bytes that are not UTF-8 become U+FFFD. Package encoding/json would add 0.4 MB to the
// program.
func jsonString(s string) string {
	var b strings.Builder
	for _, r := range string(untar.AppendJSONString(nil, s)) {
		switch {
		case !steersTerminal(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
