package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// This file is the command "zcat", also called xzcat, zstdcat and bzcat: it decompresses files
// to standard output (decompress), tests them (-t), or lists what they hold (-l: list, listXZ).
// It leaves nothing behind on the disk.

// A zcatCall is one call of the command: its options, and where run writes to.
type zcatCall struct {
	_                 uncomparable
	opt               untar.DecompressOptions
	test, list, force bool

	ui      *ui
	out     io.Writer
	several bool // there are several files
}

func (c *zcatCall) groups() []*group {
	return []*group{{"", []flag{
		{short: 't', long: "test", help: "verify the files, write nothing", into: &c.test},
		{short: 'l', long: "list", help: "list blocks, sizes, checks and dictionaries instead", into: &c.list},
		{short: 'T', long: "threads", value: "N", help: "decode up to N blocks of an xz file in parallel (default: 0, one for each processor)", into: c.setThreads},
		{long: "memory", value: "SIZE", help: "allow SIZE bytes for dictionaries and blocks: 64M, 1G (default: a quarter of the free memory, at most 256M)", into: &c.opt.Memory},
		{short: 'f', long: "force", help: "copy files that are not compressed; write binary content to a terminal", into: &c.force},
		// These change nothing: the output always goes to stdout, and no file is removed.
		{short: 'c', long: "stdout"}, {long: "to-stdout"}, {short: 'd', long: "decompress"}, {long: "uncompress"}, {short: 'k', long: "keep"},
	}}, commonFlags().byPrefix()}
}

// maxZcatThreads is the largest value of -T. Each thread is a goroutine with 30 KB of tables.
const maxZcatThreads = 1024

func (c *zcatCall) setThreads(value string) (err error) {
	c.opt.Workers, err = strconv.Atoi(value)
	if err != nil || c.opt.Workers < 0 || c.opt.Workers > maxZcatThreads {
		return fmt.Errorf("not a number up to %d", maxZcatThreads)
	}
	return nil
}

func (c *zcatCall) run(ctx context.Context, ui *ui, files []string) error {
	return untilDone(ctx, func() error { return c.all(ui, files) })
}

// all decompresses, tests or lists all files. As with cat(1), a file that fails does not stop
// the others.
func (c *zcatCall) all(ui *ui, files []string) error {
	c.ui, c.out = ui, ui.out
	if f, ok := ui.out.(*os.File); ok && !c.force && isTerminal(f) {
		c.out = &terminalText{f}
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	c.several = len(files) > 1
	var failed []error
	for _, name := range files {
		if err := c.file(name); err != nil {
			failed = append(failed, fmt.Errorf("%q: %w", name, err))
		}
	}
	if len(failed) == 1 {
		return failed[0]
	}
	return errors.Join(failed...)
}

// file decompresses, tests or lists one file; "-" is standard input.
func (c *zcatCall) file(name string) error {
	in, err := openInput(name)
	if err != nil {
		return withoutPath(err) // the caller adds the name
	}
	if name != "-" {
		defer in.Close()
	}
	if !c.list {
		return c.decompress(name, in)
	}
	if c.several {
		fmt.Fprintf(c.out, "%q:\n", name)
	}
	return withoutPath(c.listFile(name, in))
}

// decompress writes the content of a file, or with -t only verifies it.
func (c *zcatCall) decompress(name string, in io.Reader) error {
	d, err := untar.Decompress(in, c.opt)
	if err != nil {
		return withoutPath(err)
	}
	defer d.Close()
	if d.Format == untar.FormatPlain && !c.force {
		return notCompressed(d)
	}
	out := c.out
	if c.test {
		out = io.Discard
	}
	_, err = io.Copy(out, d)
	warnOfGarbage(c.ui, name, d)
	return err
}

// warnOfGarbage warns of bytes after the end of the data, as gzip(1) and bzip2(1) do.
func warnOfGarbage(ui *ui, name string, d *untar.Decompressed) {
	if d.Garbage() {
		ui.warn("garbage", "%q: garbage after the end of the %s data was ignored", name, d.Format)
	}
}

var errNotCompressed = errors.New("not compressed in a known format (-f copies it as it is)")

// notCompressed returns the error for data in no format that Decompress knows. The error
// names the format if it is recognised all the same.
func notCompressed(plain io.Reader) error {
	head := make([]byte, 16) // longer than any magic number
	n, err := io.ReadFull(plain, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if name := untar.Unsupported(head[:n]); name != "" {
		return fmt.Errorf("it is %s, which is not supported", name)
	}
	return errNotCompressed
}

// xzMagic begins an .xz file (The .xz File Format, section 2.1.1.1).
const xzMagic = "\xfd7zXZ\x00"

// listFile lists one file: an xz file block by block; any other file in one line, after
// decompressing it.
func (c *zcatCall) listFile(name string, in io.Reader) error {
	head := make([]byte, len(xzMagic))
	n, err := io.ReadFull(in, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	counted := &countingReader{r: io.MultiReader(bytes.NewReader(head[:n]), in)}
	if string(head[:n]) == xzMagic {
		return c.listXZ(counted)
	}
	d, err := untar.Decompress(counted, c.opt)
	if err != nil {
		return err
	}
	defer d.Close()
	if d.Format == untar.FormatPlain {
		return notCompressed(d)
	}
	content, err := io.Copy(io.Discard, d)
	if err != nil {
		return err
	}
	warnOfGarbage(c.ui, name, d)
	_, err = io.WriteString(c.out, columns([][]string{
		{"format", "compressed", "uncompressed", "ratio"},
		{d.Format, fmt.Sprint(counted.n), fmt.Sprint(content), ratio(counted.n, content)},
	}, true))
	return err
}

// maxListRows is how many rows of a list are held in memory, so that their columns line up. A
// longer list has its columns lined up in parts.
const maxListRows = 4096

// listXZ writes a line for each block of an xz file, and one with the totals.
func (c *zcatCall) listXZ(counted *countingReader) error {
	rows := [][]string{{"stream", "block", "offset", "compressed", "uncompressed", "ratio", "check", "dictionary", "sizes", "filters"}}
	block := 0
	var packed, content int64
	streams, err := xz.List(counted, func(b xz.BlockInfo) {
		if len(rows) == maxListRows {
			io.WriteString(c.out, columns(rows, true))
			rows = rows[:0]
		}
		block++
		packed += b.Packed
		content += b.Content
		sizes := "no"
		if b.SizesKnown {
			sizes = "yes"
		}
		rows = append(rows, []string{fmt.Sprint(b.Stream + 1), fmt.Sprint(block), fmt.Sprint(b.Offset), fmt.Sprint(b.Packed), fmt.Sprint(b.Content),
			ratio(b.Packed, b.Content), fmt.Sprint(b.Check), fmt.Sprint(b.Dict), sizes, b.Filters})
	})
	if err != nil {
		return err
	}
	rows = append(rows, []string{fmt.Sprint(streams), fmt.Sprint(block), "", fmt.Sprint(counted.n), fmt.Sprint(content), ratio(counted.n, content), "total", "", "", ""})
	_, err = io.WriteString(c.out, columns(rows, true))
	return err
}

// ratio returns the compressed size divided by the uncompressed size, or "-" if the latter is 0.
func ratio(packed, content int64) string {
	if content == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(packed)/float64(content))
}

// A countingReader counts the bytes that are read through it.
type countingReader struct {
	_ uncomparable
	r io.Reader
	n int64 // bytes read so far
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A terminalText passes text on to a terminal. A Write with control characters, which could
// control the terminal, fails and writes nothing.
type terminalText struct {
	w io.Writer
}

func (t *terminalText) Write(p []byte) (int, error) {
	for _, b := range p {
		if b < ' ' && b != '\n' && b != '\t' && b != '\r' || b == 0x7f {
			return 0, errors.New("the content is binary and is not written to a terminal (-f writes it)")
		}
	}
	return t.w.Write(p)
}
