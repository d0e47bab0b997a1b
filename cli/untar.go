package cli

import (
	"bufio"
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

// This file is the command "untar". First come its options, then tar's oldest form of them,
// then the work: run opens the archive; process lists it, prints its files, or extracts it;
// extract makes the directory, and removes it again after a failure. tarlist.go prints the
// list and the files.

// An untarCall is one call of the command: its options.
type untarCall struct {
	opt     untar.Options
	dirs    []string // each -C
	file    string   // -f; "": not given, so the first operand is the archive
	list    bool
	stdout  bool
	numeric bool
	verbose int // how often -v was given
	keep    bool
	report  string
}

// groups returns untar's own flags and the flags of tar that scripts pass.
func (c *untarCall) groups() []*group {
	owners := func(p untar.Privilege) func(string) error {
		return func(string) error { c.opt.Metadata.Privilege = p; return nil }
	}
	on := func(b *bool, value bool) func(string) error {
		return func(string) error { *b = value; return nil }
	}
	return []*group{{"", []flag{
		{short: 'C', long: "directory", value: "DIR", help: "extract into DIR; a new DIR appears only when complete", into: &c.dirs, again: true},
		{short: 't', long: "list", help: "list the archive as tar -tv does", into: &c.list},
		{long: "exclude", value: "PATTERN", help: "skip members that match, as tar --anchored does", into: &c.opt.Filter.Exclude, again: true},
		{short: 'X', long: "exclude-from", value: "FILE", help: "skip members that match a line of FILE", into: readLines(&c.opt.Filter.Exclude), again: true},
		{short: 'T', long: "files-from", value: "FILE", help: "extract the members that FILE names, one per line", into: readLines(&c.opt.Filter.Members), again: true},
		{long: "strip-components", value: "N", help: "remove N leading directories of each name, \".\" counts; auto: those above the root file system, if it is in a directory", into: c.setStrip},
		{short: 'O', long: "to-stdout", help: "write the content of files to stdout", into: &c.stdout},
		{short: 'k', long: "keep-old-files", help: "leave existing files as they are", into: &c.opt.KeepOld},
		{long: "same-owner", help: "set the owners that the archive records", into: owners(untar.Owners), more: true},
		{long: "keep-ids", help: "the same as --same-owner", into: owners(untar.Owners), more: true},
		{long: "no-same-owner", help: "make all files the caller's own", into: owners(untar.User), more: true},
		{short: 'o', into: owners(untar.User)},
		{long: "acls", help: "restore ACLs that are stored as text", into: on(&c.opt.Metadata.ACLs, true), more: true},
		{long: "selinux", help: "restore SELinux labels", into: on(&c.opt.Metadata.SELinux, true), more: true},
		{long: "strict", help: "refuse an archive that looks damaged or malicious", into: &c.opt.Strict},
		{long: "layer", help: "the archive is an OCI layer: whiteouts remove files", into: &c.opt.Layer},
		{long: "max-size", value: "SIZE", help: "refuse more than SIZE bytes of content", into: &c.opt.Limits.Bytes, more: true},
		{long: "max-entries", value: "N", help: "refuse more than N entries", into: count(&c.opt.Limits.Entries), more: true},
		{long: "keep-partial", help: "after a failure, keep what was extracted", into: &c.keep, more: true},
		{long: "report", value: "FILE", help: "write to FILE, as JSON, what was skipped and why", into: &c.report, more: true},
		{long: "numeric-owner", help: "list owners as numbers", into: &c.numeric, more: true},
		{short: 'v', long: "verbose", help: "print names; twice: print a long listing", into: func(string) error { c.verbose++; return nil }},
		{short: 'q', long: "quiet", help: "print no warnings"},
		{short: 'h', long: "help", help: "print a short help", more: true},
		{short: 'f', long: "file", value: "FILE", into: &c.file},
		{long: "no-acls", into: on(&c.opt.Metadata.ACLs, false)}, {long: "no-selinux", into: on(&c.opt.Metadata.SELinux, false)},
		{long: "xattrs-include", value: "PATTERN"},
	}}, ignoredFlags()}
}

// ignoredFlags returns the flags of tar that ask for what untar always does.
func ignoredFlags() *group {
	g := new(group)
	for _, word := range strings.Split("extract,x get preserve-permissions,p gzip,z bzip2,j xz,J zstd anchored xattrs unlink-first,U sparse,S auto-compress,a delay-directory-restore", " ") {
		long, short, found := strings.Cut(word, ",")
		f := flag{long: long}
		if found {
			f.short = short[0]
		}
		g.flags = append(g.flags, f)
	}
	return g
}

// setStrip sets --strip-components.
func (c *untarCall) setStrip(value string) error {
	c.opt.Filter.Strip = 0
	if c.opt.Filter.Top = value == "auto"; c.opt.Filter.Top {
		return nil
	}
	var n int64
	err := count(&n)(value)
	c.opt.Filter.Strip = int(min(n, 1<<20)) // fits an int of 32 bits
	return err
}

// dir returns the directory to extract into. Each -C is relative to the one before it, as for
// tar.
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

// rewrite turns the oldest form of tar's arguments into options (argReader).
func (c *untarCall) rewrite(args []string) []string { return oldStyle(args) }

// oldStyle turns tar's oldest form into options: the first word holds letters without a dash,
// and the values of these options follow in the same order, as in "xCf DIR FILE".
func oldStyle(args []string) []string {
	if len(args) == 0 || args[0] == "" || !strings.ContainsRune("xt", rune(args[0][0])) || strings.Trim(args[0], "xtpzjJvkOofCTXhUSa") != "" {
		return args
	}
	if _, err := os.Lstat(args[0]); err == nil {
		return args // a file has that name, so it is the archive
	}
	var out []string
	letters, values := args[0], args[1:]
	for _, c := range letters {
		addTo(&out, "-"+string(c))
		if strings.ContainsRune("fCTX", c) && len(values) > 0 {
			out, values = append(out, values[0]), values[1:]
		}
	}
	return append(out, values...)
}

// maxListFile is the largest file that --exclude-from and --files-from read, in bytes.
const maxListFile = 1 << 20

// readLines returns a function for flag.into that adds the lines of a file to a list, without
// the empty ones.
func readLines(into *[]string) func(string) error {
	return func(name string) error {
		text, err := readOption("", name, maxListFile) // parse knows the option's name
		for _, line := range strings.Split(string(text), "\n") {
			if line != "" && err == nil {
				addTo(into, line)
			}
		}
		return err
	}
}

// count returns a function for flag.into that sets a number above 0.
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
	archive := c.file
	if archive == "" && len(operands) > 0 {
		archive, operands = operands[0], operands[1:]
	}
	if archive == "" {
		if isTerminal(os.Stdin) {
			return usageErrorf("the archive is missing: name a FILE, or pass it on standard input")
		}
		archive = "-"
	}
	addTo(&c.opt.Filter.Members, operands...)
	in := os.Stdin
	if archive != "-" {
		if in, err = openUntilDone(ctx, archive); err != nil {
			return fmt.Errorf("%q: %w", archive, withoutPath(err))
		}
		defer in.Close()
	}
	work := func() error { return c.process(ctx, ui, archive, in) }
	if c.list || c.stdout {
		err = untilDone(ctx, work)
	} else { // there may be something to remove
		err = work()
	}
	if err != nil {
		return fmt.Errorf("%q: %w", archive, err)
	}
	return nil
}

// An input is an open archive: a tar archive, or a squashfs image.
type input struct {
	_        [0]func()         // forbids ==, whose code nothing needs
	body     io.Reader         // tar, not compressed; or an image that can only be read once
	squashfs int64             // the image's size in bytes; 0: it is a tar archive
	image    *io.SectionReader // the image; nil: only body has it
}

// process decompresses the archive, and lists it, prints its files or extracts it. in is the
// open archive, archive its name for messages.
func (c *untarCall) process(ctx context.Context, ui *ui, archive string, in *os.File) error {
	start, _ := in.Seek(0, io.SeekCurrent)
	unpacked, err := untar.Decompress(newCancelReader(ctx, in), untar.DecompressOptions{})
	if err != nil {
		return err
	}
	defer unpacked.Close()
	from := input{body: unpacked}
	if unpacked.Format != untar.FormatPlain {
		ahead := untar.NewReadAhead(unpacked)
		defer ahead.Close()
		from.body = ahead
	}
	// A larger buffer would only copy what tar's own buffer holds.
	peek := bufio.NewReaderSize(from.body, untar.SquashfsHead)
	from.body = peek
	if head, _ := peek.Peek(untar.SquashfsHead); untar.IsSquashfs(head) {
		from.squashfs = max(untar.SquashfsSize(head), 1) // an image that is cut off is refused later
		if info, err := in.Stat(); err == nil && info.Mode().IsRegular() && unpacked.Format == untar.FormatPlain {
			from.image = io.NewSectionReader(untar.UntilAt(ctx, in), start, info.Size()-start)
		} else if c.list || c.stdout {
			return errors.New("a squashfs image must be a file that is not compressed, to be listed or printed")
		}
	}
	switch {
	case c.list:
		err = c.printList(ui.out, &from)
	case c.stdout:
		err = c.printContent(ui.out, &from)
	default:
		// A few compressed bytes can become a lot of content, during which in is not read.
		from.body = untar.Until(ctx, from.body)
		err = c.extract(ctx, ui, &from)
	}
	if err == nil {
		warnOfGarbage(ui, archive, unpacked)
	}
	return err
}

// walk calls fn for each selected entry.
func (c *untarCall) walk(from *input, fn func(*untar.Entry, io.Reader) error) error {
	if from.image != nil {
		return c.opt.WalkSquashfs(from.image, from.image.Size(), fn)
	}
	return c.opt.Walk(from.body, fn)
}

// extractInto extracts the archive below root.
func (c *untarCall) extractInto(root *untar.Root, from *input) (*untar.Report, error) {
	switch {
	case from.image != nil:
		return root.ExtractSquashfs(from.image, from.image.Size(), c.opt)
	case from.squashfs == 0:
		return root.Extract(from.body, c.opt)
	}
	file, err := spool(root, from)
	if err != nil {
		return new(untar.Report), err
	}
	report, err := root.ExtractSquashfs(file.File, from.squashfs, c.opt)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return report, err
}

// Limits of an image that is not in a file.
const (
	maxSpool   = 64 << 30 // bytes of it, which need as much space beside what is extracted
	maxPadding = 64 << 20 // bytes after it; mksquashfs(1) adds less than 4 KiB
)

// spool copies an image to a temporary file in the root's file system, since it can't be read in
// the order of its bytes.
func spool(root *untar.Root, from *input) (*untar.TempFile, error) {
	if from.squashfs > maxSpool {
		return nil, fmt.Errorf("a squashfs image of %d bytes must be in a file", from.squashfs)
	}
	file, err := root.TempFile()
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(file.File, from.body, from.squashfs)
	if err == io.EOF {
		err = errors.New("the squashfs image is cut off")
	}
	if err == nil {
		// What follows is read, too, so that a decoder checks all of it.
		if _, err = io.CopyN(io.Discard, from.body, maxPadding); err == io.EOF {
			err = nil
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// extract extracts the archive into the directory, and warns of what it could not restore.
func (c *untarCall) extract(ctx context.Context, ui *ui, from *input) error {
	target, err := untar.OpenMerge(c.dir())
	if err != nil {
		return err
	}
	defer target.Close()
	if target.Resumed() {
		ui.warn("leftover", "%q holds what an interrupted run left; the archive is merged into it, and nothing is removed", c.dir())
	}
	if warning := pull.StaleWarning(target); warning != "" {
		ui.warn("leftover", "%s", warning)
	}
	report, err := c.fill(ctx, ui, target, from)
	if err != nil {
		return c.abandon(ui, target, report.Entries > 0, err)
	}
	if report.Top != "" && !ui.quiet {
		ui.line("the root file system is the directory %q of the archive", report.Top)
	}
	for _, n := range report.Notes {
		if n.Thing == "file capability" {
			for _, name := range n.Names {
				ui.warn("not-restored", "file capability not stored: %s: %s", name, n.Reason)
			}
		}
	}
	if s := report.Summary(); s != "" {
		ui.warn("not-restored", "%s", s)
	}
	return nil
}

// fill extracts the archive into target, writes the report file, and commits target. The
// report that it returns is never nil; it is empty if nothing was extracted.
func (c *untarCall) fill(ctx context.Context, ui *ui, target *untar.Target, from *input) (*untar.Report, error) {
	file, err := openReport(ctx, c.report, c.dir())
	if err != nil {
		return new(untar.Report), err
	}
	defer file.close()
	c.opt.Each = c.printEach(ctx, ui.out)
	report, err := c.extractInto(target.Root(), from)
	if file != nil {
		if werr := file.write(ctx, append(report.AppendJSON(nil), '\n')); err == nil {
			err = werr
		}
	}
	if err != nil {
		return report, err
	}
	return report, target.Commit()
}

// printEach returns the function that prints each entry that is extracted, as -v asks for;
// nil without -v.
func (c *untarCall) printEach(ctx context.Context, out io.Writer) func(*untar.Entry) {
	list := newLister(c.numeric)
	say := func(line string) {
		untilDone(ctx, func() error { // out may be a full pipe
			_, err := io.WriteString(out, line)
			return err
		})
	}
	switch c.verbose {
	case 0:
		return nil
	case 1:
		return func(e *untar.Entry) { say(list.quote(e.Name) + "\n") }
	}
	return func(e *untar.Entry) { say(list.line(e)) }
}

// abandon removes what an extraction that failed with err has left, unless --keep-partial was
// given or the directory held something before. extracted says that there was an entry. It
// returns err, or an error that also says what could not be removed.
func (c *untarCall) abandon(ui *ui, target *untar.Target, extracted bool, err error) error {
	if c.keep {
		target.Keep()
		return err
	}
	removed, rerr := target.Abort()
	switch {
	case rerr != nil:
		return &pull.LeftError{Err: err, Left: rerr}
	case removed != "":
		ui.warn("leftover", "removed what was extracted: %s", removed)
	case extracted:
		ui.warn("leftover", "what was extracted stays in %q", c.dir())
	}
	return err
}
