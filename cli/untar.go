package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lxc-pull/pull"
	"lxc-pull/untar"
)

const untarUsage = `Usage: lxc-pull untar [-C DIR] [OPTION]... [FILE [MEMBER]...]

Extracts a tar archive, compressed or not, with all that it records. Without
FILE, or with "-", it comes from stdin. tar's "xpf FILE" is understood too.
`

const untarExample = `Example: lxc-pull untar -C /srv/rootfs rootfs.tar.xz
`

// An untarCall extracts an archive, or lists it.
type untarCall struct {
	opt     untar.Options
	dirs    []string // -C, one after the other
	file    string   // "": the first operand
	list    bool
	stdout  bool
	numeric bool
	verbose int
	keep    bool
	report  string
}

// groups are untar's own flags and those of tar that mean something here or nothing at all
// (x, p, z, j, J, and what is so anyway).
func (c *untarCall) groups() []group {
	owners := func(p untar.Privilege) func(string) error {
		return func(string) error { c.opt.Metadata.Privilege = p; return nil }
	}
	on := func(b *bool, value bool) func(string) error {
		return func(string) error { *b = value; return nil }
	}
	return []group{{"", []flag{
		{short: 'C', long: "directory", value: "DIR", help: "extract into DIR; made if absent, whole or not at all", into: &c.dirs, again: true},
		{short: 't', long: "list", help: "list the archive instead", into: &c.list},
		{long: "exclude", value: "PATTERN", help: "leave out what matches, as tar --anchored does", into: &c.opt.Filter.Exclude, again: true},
		{short: 'X', long: "exclude-from", value: "FILE", help: "patterns, one a line", into: readLines(&c.opt.Filter.Exclude), again: true},
		{short: 'T', long: "files-from", value: "FILE", help: "members to extract, one a line", into: readLines(&c.opt.Filter.Members), again: true},
		{long: "strip-components", value: "N", help: "drop N leading directories of every name, \".\" counts", into: c.setStrip},
		{short: 'O', long: "to-stdout", help: "write the content of files to stdout", into: &c.stdout},
		{short: 'k', long: "keep-old-files", help: "leave existing files as they are", into: &c.opt.KeepOld},
		{long: "same-owner", help: "owners as recorded", into: owners(untar.Owners), more: true},
		{long: "keep-ids", help: "the same", into: owners(untar.Owners), more: true},
		{long: "no-same-owner", help: "all files are mine", into: owners(untar.User), more: true},
		{short: 'o', into: owners(untar.User)},
		{long: "acls", help: "restore ACLs that are stored as text", into: on(&c.opt.Metadata.ACLs, true), more: true},
		{long: "selinux", help: "restore SELinux labels", into: on(&c.opt.Metadata.SELinux, true), more: true},
		{long: "strict", help: "refuse what only damage or an attack would explain", into: &c.opt.Strict},
		{long: "layer", help: "an OCI layer: whiteouts remove", into: &c.opt.Layer},
		{long: "max-size", value: "SIZE", help: "refuse more content than that", into: &c.opt.Limits.Bytes, more: true},
		{long: "max-entries", value: "N", help: "refuse more entries than that", into: count(&c.opt.Limits.Entries), more: true},
		{long: "keep-partial", help: "keep what was extracted before a failure", into: &c.keep, more: true},
		{long: "report", value: "FILE", help: "write what was skipped and why, as JSON", into: &c.report, more: true},
		{long: "numeric-owner", help: "list the owners' numbers", into: &c.numeric, more: true},
		{short: 'v', long: "verbose", help: "print names; twice: a long listing", into: func(string) error { c.verbose++; return nil }},
		{short: 'q', long: "quiet", help: "no warnings"},
		{short: 'h', long: "help", help: "this text", more: true},
		{short: 'f', long: "file", value: "FILE", into: &c.file},
		{long: "no-acls", into: on(&c.opt.Metadata.ACLs, false)}, {long: "no-selinux", into: on(&c.opt.Metadata.SELinux, false)},
		{short: 'x', long: "extract"}, {long: "get"}, {short: 'p', long: "preserve-permissions"},
		{short: 'z', long: "gzip"}, {short: 'j', long: "bzip2"}, {short: 'J', long: "xz"}, {long: "zstd"},
		{long: "anchored"}, {long: "xattrs"}, {long: "xattrs-include", value: "PATTERN"}, {short: 'U', long: "unlink-first"},
		{short: 'S', long: "sparse"}, {short: 'a', long: "auto-compress"}, {long: "delay-directory-restore"},
	}}}
}

// setStrip reads --strip-components.
func (c *untarCall) setStrip(value string) error {
	var n int64
	err := count(&n)(value)
	c.opt.Filter.Strip = int(min(n, 1<<20))
	return err
}

// dir returns the directory to extract into: as tar changes directories, one after the other.
func (c *untarCall) dir() string {
	dir := "."
	for _, next := range c.dirs {
		if dir == "." || filepath.IsAbs(next) {
			dir = next
		} else {
			dir += "/" + next
		}
	}
	return dir
}

// words understands tar's oldest form.
func (c *untarCall) words(args []string) []string { return oldStyle(args) }

// oldStyle turns tar's oldest form, letters without a dash in the first word
// with their values behind it, into options: "xCf DIR FILE".
func oldStyle(args []string) []string {
	if len(args) == 0 || args[0] == "" || !strings.ContainsRune("xt", rune(args[0][0])) || strings.Trim(args[0], "xtpzjJvkOofCTXhUSa") != "" {
		return args
	}
	if _, err := os.Lstat(args[0]); err == nil {
		return args // a file of that name is the archive
	}
	var out []string
	letters, values := args[0], args[1:]
	for _, c := range letters {
		out = append(out, "-"+string(c))
		if strings.ContainsRune("fCTX", c) && len(values) > 0 {
			out, values = append(out, values[0]), values[1:]
		}
	}
	return append(out, values...)
}

// maxListFile is the largest file of patterns or member names, in bytes.
const maxListFile = 1 << 20

// readLines reads files of one item a line, without blank lines, into a list.
func readLines(into *[]string) func(string) error {
	return func(name string) error {
		text, err := readFile(name, maxListFile)
		for line := range strings.SplitSeq(string(text), "\n") {
			if line != "" && err == nil {
				*into = append(*into, line)
			}
		}
		return withoutPath(err)
	}
}

// count reads a positive number.
func count(into *int64) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n <= 0 || value[0] == '+' {
			return errors.New("not a number above 0")
		}
		*into = n
		return nil
	}
}

func (c *untarCall) run(ctx context.Context, ui *ui, operands []string) (err error) {
	if c.file == "" && len(operands) > 0 {
		c.file, operands = operands[0], operands[1:]
	}
	if c.file == "" {
		c.file = "-"
	}
	c.opt.Filter.Members = append(c.opt.Filter.Members, operands...)
	in := os.Stdin
	if c.file != "-" {
		if in, err = openUntilDone(ctx, c.file); err != nil {
			return fmt.Errorf("%q: %w", c.file, withoutPath(err))
		}
		defer in.Close()
	}
	if c.list || c.stdout {
		err = untilDone(ctx, func() error { return c.read(ctx, ui, in) })
	} else {
		err = c.read(ctx, ui, in)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", c.file, err)
	}
	return nil
}

// read does with an opened archive what was asked for.
func (c *untarCall) read(ctx context.Context, ui *ui, in *os.File) error {
	unpacked, err := untar.Decompress(newCancelReader(ctx, in), untar.DecompressOptions{})
	if err != nil {
		return err
	}
	defer unpacked.Close()
	var body io.Reader = unpacked
	if unpacked.Format != untar.FormatPlain {
		ahead := untar.NewReadAhead(unpacked)
		defer ahead.Close()
		body = ahead
	}
	switch {
	case c.list:
		err = c.printList(ui.out, body)
	case c.stdout:
		err = c.printContent(ui.out, body)
	default:
		// A little of what is packed can be much of content.
		err = c.extract(ctx, ui, untar.Until(ctx, body))
	}
	if err == nil {
		warnOfGarbage(ui, c.file, unpacked)
	}
	return err
}

// extract writes the archive into the directory and reports what it lacks.
func (c *untarCall) extract(ctx context.Context, ui *ui, body io.Reader) (err error) {
	target, err := untar.OpenMerge(c.dir())
	if err != nil {
		return err
	}
	defer target.Close()
	if target.Resumed() {
		ui.warnf("%q holds what an interrupted run left; nothing of it is removed, the archive is merged into it", c.dir())
	}
	if warning := pull.StaleWarning(target); warning != "" {
		ui.warnf("%s", warning)
	}
	extracted := false
	defer func() {
		if err == nil {
			return
		}
		if c.keep {
			target.Keep()
			return
		}
		removed, rerr := target.Abort()
		switch {
		case rerr != nil:
			err = &pull.LeftError{Err: err, Left: rerr}
		case removed != "":
			ui.warnf("removed what was extracted: %s", removed)
		case extracted:
			ui.warnf("what was extracted stays in %q", c.dir())
		}
	}()
	file, err := openReport(ctx, c.report, c.dir())
	if err != nil {
		return err
	}
	defer file.close()
	list := newLister(c.numeric)
	say := func(line string) { // to a pipe that may be full
		untilDone(ctx, func() error {
			_, err := io.WriteString(ui.out, line)
			return err
		})
	}
	if c.verbose > 1 {
		c.opt.Each = func(e *untar.Entry) { say(list.line(e)) }
	} else if c.verbose > 0 {
		c.opt.Each = func(e *untar.Entry) { say(list.quote(e.Name) + "\n") }
	}
	report, err := target.Root().Extract(body, c.opt)
	extracted = report.Entries > 0
	if file != nil {
		if werr := file.write(ctx, append(report.AppendJSON(nil), '\n')); err == nil {
			err = werr
		}
	}
	if err != nil {
		return err
	}
	if err := target.Commit(); err != nil {
		return err
	}
	for _, n := range report.Notes {
		if n.Thing == "file capability" {
			for _, name := range n.Names {
				ui.warnf("file capability not stored: %s: %s", name, n.Reason)
			}
		}
	}
	if s := report.Summary(); s != "" {
		ui.warnf("%s", s)
	}
	return nil
}
