package cli

import (
	"fmt"
	"io"
	"strings"
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

// A jsonField is a field of a JSON object. value is JSON.
type jsonField struct{ key, value string }

// printObjects prints a JSON array of objects.
func printObjects(w io.Writer, objects [][]jsonField) error {
	var b strings.Builder
	b.WriteString("[")
	for n, fields := range objects {
		if n > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  {")
		for m, f := range fields {
			if m > 0 {
				b.WriteString(", ")
			}
			b.WriteString(jsonString(f.key) + ": " + f.value)
		}
		b.WriteString("}")
	}
	if len(objects) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("]\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// jsonString returns s as a JSON string (RFC 8259, section 7). Bytes that are not UTF-8
// become U+FFFD. Package encoding/json would add 0.4 MB to the program.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
