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

const zcatUsage = `Usage: lxc-pull zcat [OPTION]... [FILE]...

Decompresses each FILE, or stdin, to stdout: xz, lzma, gzip, zstd and bzip2,
recognised by content. Called as xzcat, zcat, zstdcat or bzcat it does the same.
Garbage after the end of gzip and bzip2 data is a warning, status 0.
`

const zcatExample = `Example: lxc-pull zcat rootfs.tar.xz | tar -t
`

// A zcatCall is xzcat, zcat, zstdcat and bzcat. It makes nothing.
type zcatCall struct {
	opt               untar.DecompressOptions
	test, list, force bool

	ui      *ui
	several bool // files
	out     io.Writer
}

func (c *zcatCall) groups() []group {
	return []group{{"", []flag{
		{short: 't', long: "test", help: "verify the files, write nothing", into: &c.test},
		{short: 'l', long: "list", help: "list blocks, sizes, checks and dictionaries instead", into: &c.list},
		{short: 'T', long: "threads", value: "N", help: "decode up to N blocks of xz -T side by side (default: 0, one for each processor)", into: c.setThreads},
		{long: "memory", value: "SIZE", help: "let dictionaries and blocks take SIZE bytes: 64M, 1G (default: a quarter of what is free, at most 256M)", into: &c.opt.Memory},
		{short: 'f', long: "force", help: "copy what is not compressed as it is; write binary content to a terminal", into: &c.force},
		// stdout is where it goes, and no file is removed.
		{short: 'c', long: "stdout"}, {long: "to-stdout"}, {short: 'd', long: "decompress"}, {long: "uncompress"}, {short: 'k', long: "keep"},
	}}, commonFlags().byPrefix()}
}

// maxZcatThreads bounds -T: each has a goroutine and 30 KB of tables.
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

// all does what the call asks with all files.
func (c *zcatCall) all(ui *ui, files []string) error {
	c.ui, c.out = ui, ui.out
	if f, ok := ui.out.(*os.File); ok && !c.force && isTerminal(f) {
		c.out = &terminalText{f}
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	c.several = len(files) > 1
	// As with cat, one bad file does not keep the others back.
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

// maxListRows is how many rows of a list are lined up, and so in memory.
const maxListRows = 4096

var errNotCompressed = errors.New("not compressed in a known format (-f copies it as it is)")

// file does what the call asks with one file; "-" is stdin.
func (c *zcatCall) file(name string) error {
	in := os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return errors.Unwrap(err) // the caller names the file
		}
		defer f.Close()
		in = f
	}
	if c.list {
		if c.several {
			fmt.Fprintf(c.out, "%q:\n", name)
		}
		return withoutPath(c.listFile(name, in))
	}
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

// warnOfGarbage warns as gzip(1) and bzip2(1) do.
func warnOfGarbage(ui *ui, name string, d *untar.Decompressed) {
	if d.Garbage() {
		ui.warnf("%q: garbage after the end of the %s data was ignored", name, d.Format)
	}
}

// notCompressed says of data in no known format what they are, if that is known.
func notCompressed(plain io.Reader) error {
	head := make([]byte, 16) // more than any magic number
	n, err := io.ReadFull(plain, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if name := untar.Unsupported(head[:n]); name != "" {
		return fmt.Errorf("it is %s, which is not supported", name)
	}
	return errNotCompressed
}

// listFile writes one line for each block, or for all of a format without
// blocks to list.
func (c *zcatCall) listFile(name string, in io.Reader) error {
	const magicSize = 6
	head := make([]byte, magicSize)
	n, err := io.ReadFull(in, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	counted := &countingReader{r: io.MultiReader(bytes.NewReader(head[:n]), in)}
	if string(head[:n]) == "\xfd7zXZ\x00" {
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

// listXZ writes a line for each block of an xz file, and one for all.
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

func ratio(packed, content int64) string {
	if content == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(packed)/float64(content))
}

// A countingReader counts what is read through it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A terminalText passes text to a terminal and refuses control characters,
// which may steer it.
type terminalText struct {
	w io.Writer
}

func (t *terminalText) Write(p []byte) (int, error) {
	for _, b := range p {
		if b < ' ' && b != '\n' && b != '\t' && b != '\r' || b == 0x7f {
			return 0, errors.New("the content is binary, which is not written to a terminal (-f does)")
		}
	}
	return t.w.Write(p)
}
