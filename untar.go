package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"lxc-pull/untar"
)

const untarUsage = `usage: lxc-pull untar [-C DIR] [OPTION]... [FILE [MEMBER]...]

Extracts a tar archive, compressed or not, with all that it records. Without
FILE, or with "-", it comes from stdin. tar's "xpf FILE" is understood too.

  -C, --directory DIR      extract into DIR; made if absent, whole or not at all
  -t, --list               list the archive instead
      --exclude PATTERN    leave out what matches, as tar --anchored does
  -X, --exclude-from FILE  patterns, one a line
  -T, --files-from FILE    members to extract, one a line
      --strip-components N drop N leading folders of every name, "." counts
  -O, --to-stdout          write the content of files to stdout
  -k, --keep-old-files     leave existing files as they are
      --same-owner, --keep-ids, --no-same-owner   owners as recorded, or mine
      --acls, --selinux    restore ACLs stored as text, SELinux labels
      --strict             refuse what only damage or an attack would explain
      --layer              an OCI layer: whiteouts remove
      --max-size BYTES, --max-entries N   refuse more than that
      --keep-partial       keep what was extracted before a failure
      --report FILE        write what was skipped and why, as JSON
  -v, -vv, -q              print names; a long listing; no warnings

  lxc-pull untar -C /srv/rootfs rootfs.tar.xz
`

// untarOptions are untar's own and those of tar that mean something here or
// nothing at all (x, p, z, j, J, and what is so anyway).
func untarOptions() []option {
	return []option{
		{'C', "directory", true, false}, {'t', "list", false, false}, {'f', "file", true, false},
		{0, "exclude", true, false}, {'X', "exclude-from", true, false}, {'T', "files-from", true, false},
		{0, "strip-components", true, false}, {'O', "to-stdout", false, false}, {'k', "keep-old-files", false, false},
		{0, "same-owner", false, false}, {0, "no-same-owner", false, false}, {'o', "", false, false}, {0, "keep-ids", false, false},
		{0, "numeric-owner", false, false}, {0, "acls", false, false}, {0, "selinux", false, false},
		{0, "strict", false, false}, {0, "layer", false, false}, {0, "max-size", true, false}, {0, "max-entries", true, false},
		{0, "keep-partial", false, false}, {0, "report", true, false},
		{'v', "verbose", false, false}, {'q', "quiet", false, false}, {'h', "help", false, false},
		{'x', "extract", false, false}, {0, "get", false, false}, {'p', "preserve-permissions", false, false},
		{'z', "gzip", false, false}, {'j', "bzip2", false, false}, {'J', "xz", false, false}, {0, "zstd", false, false},
		{0, "anchored", false, false}, {0, "xattrs", false, false}, {0, "xattrs-include", true, false},
		{0, "no-acls", false, false}, {0, "no-selinux", false, false}, {'U', "unlink-first", false, false},
		{'S', "sparse", false, false}, {'a', "auto-compress", false, false}, {0, "delay-directory-restore", false, false},
	}
}

// An untarCall is one call of the command, parsed.
type untarCall struct {
	opt      untar.Options
	dir      string
	file     string
	list     bool
	stdout   bool
	numeric  bool
	verbose  int
	keep     bool
	report   string
	showHelp bool
}

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

// maxListFile bounds a file of patterns or member names.
const maxListFile = 1 << 20

// readLines reads a small file of one item a line; blank lines are skipped.
func readLines(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxListFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxListFile {
		return nil, fmt.Errorf("%q has more than %d bytes", name, maxListFile)
	}
	var lines []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func parseUntar(ui *ui, args []string) (*untarCall, error) {
	flags, operands, err := getopt(oldStyle(args), untarOptions())
	if err != nil {
		return nil, err
	}
	c := &untarCall{dir: "."}
	haveFile := false
	for _, f := range flags {
		var lines []string
		switch f.name {
		case "directory":
			// One after the other, as tar changes folders.
			if c.dir != "." && !filepath.IsAbs(f.value) {
				c.dir += "/" + f.value
			} else {
				c.dir = f.value
			}
		case "list":
			c.list = true
		case "file":
			c.file, haveFile = f.value, true
		case "exclude":
			c.opt.Exclude = append(c.opt.Exclude, f.value)
		case "exclude-from":
			lines, err = readLines(f.value)
			c.opt.Exclude = append(c.opt.Exclude, lines...)
		case "files-from":
			lines, err = readLines(f.value)
			c.opt.Members = append(c.opt.Members, lines...)
		case "strip-components":
			var n int64
			n, err = parseCount(f)
			c.opt.Strip = int(min(n, 1<<20))
		case "to-stdout":
			c.stdout = true
		case "keep-old-files":
			c.opt.KeepOld = true
		case "same-owner", "keep-ids":
			c.opt.Privilege = untar.Owners
		case "no-same-owner", "o":
			c.opt.Privilege = untar.User
		case "numeric-owner":
			c.numeric = true
		case "acls":
			c.opt.ACLs = true
		case "selinux":
			c.opt.SELinux = true
		case "no-acls":
			c.opt.ACLs = false
		case "no-selinux":
			c.opt.SELinux = false
		case "strict":
			c.opt.Strict = true
		case "layer":
			c.opt.Layer = true
		case "max-size":
			c.opt.MaxBytes, err = parseCount(f)
		case "max-entries":
			c.opt.MaxEntries, err = parseCount(f)
		case "keep-partial":
			c.keep = true
		case "report":
			c.report = f.value
		case "verbose":
			ui.verbose = true
			c.verbose++
		case "quiet":
			ui.quiet = true
		case "help":
			c.showHelp = true
		}
		if err != nil {
			return nil, err
		}
	}
	if !haveFile && len(operands) > 0 {
		c.file, operands = operands[0], operands[1:]
	}
	if c.file == "" {
		c.file = "-"
	}
	c.opt.Members = append(c.opt.Members, operands...)
	return c, nil
}

// parseCount reads an option's value as a positive number.
func parseCount(f flagValue) (int64, error) {
	n := int64(0)
	for _, r := range f.value {
		if r < '0' || r > '9' || n > (1<<62)/10 {
			return 0, usageErrorf("option --%s: %q is not a number", f.name, f.value)
		}
		n = n*10 + int64(r-'0')
	}
	if n == 0 {
		return 0, usageErrorf("option --%s needs a number above 0", f.name)
	}
	return n, nil
}

func untarCommand(ctx context.Context, ui *ui, args []string) error {
	c, err := getUntilDone(ctx, func() (*untarCall, error) { // it reads files of names
		return parseUntar(ui, args)
	})
	if err != nil {
		return err
	}
	if c.showHelp {
		_, err := io.WriteString(ui.out, untarUsage)
		return err
	}
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
		ahead := newReadAhead(unpacked)
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
		err = c.extract(ctx, ui, interruptible{io.NopCloser(body), ctx})
	}
	if err == nil {
		warnOfGarbage(ui, c.file, unpacked)
	}
	return err
}

// extract writes the archive into the folder and reports what it lacks.
func (c *untarCall) extract(ctx context.Context, ui *ui, body io.Reader) (err error) {
	target, err := untar.OpenMerge(c.dir)
	if err != nil {
		return err
	}
	defer target.Close()
	if target.Resumed() {
		ui.warnf("%q holds what an interrupted run left; nothing of it is removed, the archive is merged into it", c.dir)
	}
	warnStale(ui, target)
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
			err = &leftError{err, rerr}
		case removed != "":
			ui.warnf("removed what was extracted: %s", removed)
		case extracted:
			ui.warnf("what was extracted stays in %q", c.dir)
		}
	}()
	file, err := openReport(ctx, c.report, target.Root())
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
		ui.warnf("%s", printable(s))
	}
	return nil
}

// warnStale names what a killed run seems to have left and no run removes.
func warnStale(ui *ui, target *untar.Target) {
	if path := target.Stale(); path != "" {
		ui.warnf("%q seems to be left by an interrupted run, but nothing proves it: look, and remove it by hand", path)
	}
}

// printList writes tar's long listing. Names are escaped.
func (c *untarCall) printList(w io.Writer, body io.Reader) error {
	out := bufio.NewWriter(w)
	list := newLister(c.numeric)
	err := c.opt.Walk(body, func(e *untar.Entry, _ io.Reader) error {
		_, err := out.WriteString(list.line(e))
		return err
	})
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	return err
}

// A lister makes the lines of `tar -tv`, whose columns grow with the widest so
// far.
type lister struct {
	numeric bool // owners
	zone    *time.Location
	unicode bool // names are UTF-8; else all above ASCII is escaped

	owners, date int // widths
}

func newLister(numeric bool) *lister {
	return &lister{numeric: numeric, zone: time.Local, unicode: unicodeLocale(os.Getenv)}
}

// line is an entry's.
func (l *lister) line(e *untar.Entry) string {
	owner, group := string(e.Uname), string(e.Gname)
	if l.numeric || owner == "" {
		owner = fmt.Sprint(e.UID)
	}
	if l.numeric || group == "" {
		group = fmt.Sprint(e.GID)
	}
	size := fmt.Sprint(e.Size)
	name := l.quote(e.Name)
	switch e.Type {
	case untar.TypeChar, untar.TypeBlock:
		size = fmt.Sprintf("%d,%d", e.Major, e.Minor)
	case untar.TypeSymlink:
		name += " -> " + l.quote(e.Link)
	case untar.TypeLink:
		name += " link to " + l.quote(e.Link)
	}
	if e.Unknown() {
		name += " unknown file type '" + l.quote([]byte{e.Flag}) + "'"
	}
	owners := l.quote([]byte(owner)) + "/" + l.quote([]byte(group))
	date := time.Unix(e.Sec, 0).In(l.zone).Format("2006-01-02 15:04")
	const leastOwners, leastDate = 19, 16 // GNU tar's
	l.owners = max(l.owners, leastOwners, len(owners)+1+len(size))
	l.date = max(l.date, leastDate, len(date))
	return fmt.Sprintf("%s %s %*s %-*s %s\n", modeString(e), owners, l.owners-len(owners)-1, size, l.date, date, name)
}

// quote escapes as GNU tar does: C's escapes, and octal.
func (l *lister) quote(s []byte) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch i := strings.IndexByte("\a\b\f\n\r\t\v\\", s[0]); {
		case i >= 0:
			b.WriteString(`\` + `abfnrtv\`[i:i+1])
		case ' ' <= r && r < 0x7f, r >= 0x80 && n > 1 && l.unicode && !steersTerminal(r):
			b.Write(s[:n])
		default:
			for _, c := range s[:n] {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
		s = s[n:]
	}
	return b.String()
}

// unicodeLocale reports whether the environment says that text is UTF-8
// (POSIX.1, "Environment Variables"; the first of the three that is set counts).
func unicodeLocale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// modeString is the type and mode in ls's letters.
func modeString(e *untar.Entry) string {
	b := []byte("?rwxrwxrwx")
	switch e.Type {
	case untar.TypeFile:
		if b[0] = '-'; e.Flag == '7' {
			b[0] = 'C' // a contiguous file
		} else if e.Unknown() {
			b[0] = '?'
		}
	case untar.TypeLink:
		b[0] = 'h'
	case untar.TypeSymlink:
		b[0] = 'l'
	case untar.TypeChar:
		b[0] = 'c'
	case untar.TypeBlock:
		b[0] = 'b'
	case untar.TypeDir:
		b[0] = 'd'
	case untar.TypeFIFO:
		b[0] = 'p'
	}
	for i := range 9 {
		if e.Mode>>(8-i)&1 == 0 {
			b[i+1] = '-'
		}
	}
	for i, c := range []byte("sst") {
		if e.Mode>>(11-i)&1 != 0 {
			at := 3 * (i + 1)
			if b[at] == '-' {
				c -= 'a' - 'A'
			}
			b[at] = c
		}
	}
	return string(b)
}

// printContent writes the content of all files, one after another.
func (c *untarCall) printContent(w io.Writer, body io.Reader) error {
	left := c.opt.MaxBytes // a hole is content here
	return c.opt.Walk(body, func(e *untar.Entry, r io.Reader) error {
		if e.Type != untar.TypeFile {
			return nil
		}
		if c.opt.MaxBytes > 0 {
			if left -= e.Size; left < 0 {
				return untar.ErrTooBig
			}
		}
		_, err := io.Copy(w, r)
		return err
	})
}
