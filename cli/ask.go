package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/image"
	"lxc-pull/pull/source"
)

// askMissing asks the user for the names of the image that the command line leaves out. At a
// terminal the user chooses from lists. Otherwise askMissing prints all images and reads a
// line for each missing name, as the stock template does. A missing architecture means the
// architecture of this machine.
func (c *creation) askMissing(ctx context.Context, ui *ui, finder *source.Finder, stdin *os.File) error {
	if c.image.dist != "" && c.image.release != "" {
		if c.image.arch == "" {
			c.image.arch = hostArch()
		}
		return nil
	}
	index, err := finder.List(ctx)
	if err != nil {
		return err
	}
	answers := newCancelReader(ctx, stdin)
	if isTerminal(stdin) && isTerminal(os.Stdout) {
		err = c.image.choose(ui, answers, index)
	} else {
		err = c.image.readNames(ui, answers, index)
	}
	if err != nil {
		return err
	}
	return c.image.check()
}

var errNoImage = usageErrorf("distribution and release are missing: name the image as DIST/RELEASE, or pass --dist and --release")

// readNames prints the list of images and reads a line for each missing name.
func (o *imageOptions) readNames(ui *ui, stdin io.Reader, index image.Index) error {
	if err := printImages(ui, index.Select(o.query())); err != nil {
		return err
	}
	for _, f := range []struct {
		prompt string
		value  *string
	}{{"Distribution: ", &o.dist}, {"Release: ", &o.release}, {"Architecture: ", &o.arch}} {
		if *f.value != "" {
			continue
		}
		fmt.Fprintln(ui.out, f.prompt)
		line, err := readLine(stdin)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			return errNoImage
		}
		*f.value = line
	}
	fmt.Fprintln(ui.out)
	if o.arch == "" {
		o.arch = hostArch()
	}
	if o.dist == "" || o.release == "" {
		return errNoImage
	}
	return nil
}

// maxLine is the longest answer, in bytes. It is longer than any name.
const maxLine = 1024

// readLine reads one line and no byte after it. The last line may lack its newline. The
// error is io.EOF if no line is left.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < maxLine {
		n, err := r.Read(b[:])
		if n == 1 && b[0] == '\n' {
			return strings.TrimSpace(string(line)), nil
		}
		if n == 1 {
			line = append(line, b[0])
			continue
		}
		if err != nil {
			if len(line) > 0 {
				return strings.TrimSpace(string(line)), nil
			}
			return "", err
		}
	}
	return "", fmt.Errorf("the answer is longer than %d bytes", maxLine)
}

// choose lets the user choose a distribution that has images for the architecture, and then
// one of its releases.
func (o *imageOptions) choose(ui *ui, stdin io.Reader, index image.Index) error {
	if o.arch == "" {
		o.arch = hostArch()
	}
	for _, f := range []struct {
		prompt string
		value  *string
		field  func(image.Image) string
	}{
		{"Distribution", &o.dist, func(i image.Image) string { return i.Dist }},
		{"Release", &o.release, func(i image.Image) string { return i.Release }},
	} {
		if *f.value != "" {
			continue
		}
		var names []string
		for _, img := range index.Select(o.query()) {
			if name := f.field(img); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			_, err := index.Find(o.query())
			return err
		}
		name, err := ui.pick(stdin, f.prompt, names)
		if err != nil {
			return err
		}
		*f.value = name
	}
	return nil
}

// pick prints a numbered list of names and returns the name that the user selects.
func (u *ui) pick(in io.Reader, prompt string, names []string) (string, error) {
	width, line := 0, ""
	for _, n := range names {
		width = max(width, len(printable(n)))
	}
	for i, n := range names {
		cell := fmt.Sprintf("%3d %-*s  ", i+1, width, printable(n))
		if columns := max(u.columns, 40); line != "" && len(line)+len(cell) > columns {
			fmt.Fprintln(u.out, strings.TrimRight(line, " "))
			line = ""
		}
		line += cell
	}
	fmt.Fprintln(u.out, strings.TrimRight(line, " "))
	for {
		fmt.Fprintf(u.out, "%s: ", prompt)
		answer, err := readLine(in)
		if errors.Is(err, context.Canceled) {
			return "", err
		}
		if err != nil {
			return "", usageErrorf("nothing chosen")
		}
		if n, err := strconv.Atoi(answer); err == nil && 1 <= n && n <= len(names) && !slices.Contains(names, answer) {
			return names[n-1], nil
		}
		for _, n := range names {
			if strings.EqualFold(n, answer) {
				return n, nil
			}
		}
		fmt.Fprintf(u.out, "%q is not in the list\n", answer)
	}
}
