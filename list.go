package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/image"
)

const listUsage = `Usage: lxc-pull list [-d DIST] [-r RELEASE] [-a ARCH] [--variant NAME] [--json]

Lists the images of a server. See lxc-pull -h for --server, --keyring, ...
`

// listCommand prints what the server has.
func listCommand(ctx context.Context, ui *ui, args []string) error {
	opt, operands, err := readOptions(ui, args)
	if err != nil {
		return err
	}
	if opt.help {
		io.WriteString(ui.out, listUsage)
		return nil
	}
	if len(operands) > 0 {
		return usageErrorf("list takes no names: %q", operands)
	}
	index, err := fetchList(ctx, ui, opt)
	if err != nil {
		return err
	}
	images := index.Select(opt.query())
	if opt.json {
		if err := printJSON(ui.out, images); err != nil {
			return err
		}
	}
	if len(images) == 0 && len(index.Images) > 0 {
		_, err := index.Find(opt.query()) // which says what there is instead
		return err
	}
	if !opt.json {
		printTable(ui.out, images)
	}
	return nil
}

// listImages is --list of the template, in the stock template's form. As there,
// only the default variant is listed unless another is asked for.
func listImages(ctx context.Context, ui *ui, opt options) error {
	if opt.variant == "" {
		opt.variant = defaultVariant
	}
	images, err := fetchImages(ctx, ui, opt)
	if err != nil {
		return err
	}
	printImages(ui, images)
	return nil
}

// fetchImages returns the images of the server that the options mean.
func fetchImages(ctx context.Context, ui *ui, opt options) ([]image.Image, error) {
	index, err := fetchList(ctx, ui, opt)
	return index.Select(opt.query()), err
}

// fetchList returns all that the server has.
func fetchList(ctx context.Context, ui *ui, opt options) (image.Index, error) {
	if err := opt.checkNames(); err != nil {
		return image.Index{}, err
	}
	defer ui.settle()
	return newCreation(ui, opt, currentNamespace()).fetchIndex(ctx)
}

// query is what the options say of the image that is meant.
func (o *options) query() image.Query {
	return image.Query{Dist: o.dist, Release: o.release, Variant: o.variant, Arch: cross.Spellings(o.arch)}
}

// printImages prints the stock template's list.
func printImages(ui *ui, images []image.Image) {
	fmt.Fprint(ui.out, "\n---\n")
	printTable(ui.out, images)
	fmt.Fprint(ui.out, "---\n")
}

// printTable prints a line for each image, in columns.
func printTable(w io.Writer, images []image.Image) {
	rows := [][]string{{"DIST", "RELEASE", "ARCH", "VARIANT", "BUILD"}}
	for _, i := range images {
		rows = append(rows, []string{printable(i.Dist), printable(i.Release), printable(i.Arch), printable(i.Variant), printable(i.Build)})
	}
	io.WriteString(w, columns(rows, false))
}

// columns returns rows as lines, in columns as wide as their widest cell; right
// aligns them to the right. All rows have as many cells as the first.
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

// printJSON prints the images as one array of objects.
func printJSON(w io.Writer, images []image.Image) error {
	var objects [][]jsonField
	for _, i := range images {
		objects = append(objects, []jsonField{
			{"dist", jsonString(i.Dist)}, {"release", jsonString(i.Release)}, {"arch", jsonString(i.Arch)},
			{"variant", jsonString(i.Variant)}, {"build", jsonString(i.Build)}, {"path", jsonString(i.Path)},
		})
	}
	return printObjects(w, objects)
}

// A jsonField is a field of an object; the value is JSON already.
type jsonField struct{ key, value string }

// printObjects prints one array of objects.
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

// jsonString returns s as a JSON string (RFC 8259, section 7); bytes that are
// not UTF-8 become U+FFFD. encoding/json would add 0.4 MB to the program.
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
