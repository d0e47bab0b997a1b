package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/pull/source"
)

const fetchUsage = `Usage: lxc-pull fetch [OPTION]... URL...

Fetches a file by http(s), through http_proxy and the like. What broke off is
continued, now or later; FILE appears when complete. Several URLs are one file.
`

// A fetchCall brings one file: wget's place.
type fetchCall struct {
	network networkOptions
	output  string
	digest  []byte // nil: not known
	html    bool

	ui   *ui
	urls []string

	continues bool // a later call can go on with what is in FILE.part
	part      foundPart
}

// A foundPart is what was found as FILE.part before the first byte came.
type foundPart struct {
	// foreign says that no FILE.part.from of ours says what it is: it may be a browser's.
	// It had bytes, and goes back to them.
	foreign bool
	bytes   int64
	empty   bool // nothing was in it, and there was no record: it stays
}

func (c *fetchCall) groups() []group {
	return []group{{"", []flag{
		{short: 'o', long: "output", value: "FILE", help: "write to FILE, \"-\" for standard output (default: the last part of the URL, which must not exist yet)", into: &c.output},
		{long: "sha256", value: "HEX", help: "the file must have this digest; a must for several URLs", into: c.setDigest},
		{long: "html", help: "a web page is wanted; else it is an error: a login page", into: &c.html},
	}}, c.network.group().byPrefix(), commonFlags().byPrefix()}
}

func (c *fetchCall) setDigest(value string) (err error) {
	c.digest, err = hex.DecodeString(value)
	if err != nil || len(c.digest) != sha256.Size {
		return fmt.Errorf("not %d hexadecimal digits", 2*sha256.Size)
	}
	return nil
}

// check checks the operands and finds the output's name.
func (c *fetchCall) check(urls []string) error {
	c.urls = urls
	switch {
	case len(c.urls) == 0:
		return usageErrorf("fetch takes a URL")
	case len(c.urls) > 1 && c.digest == nil:
		return usageErrorf("several URLs name one file, and nothing but --sha256 can tell that they do")
	}
	for _, raw := range c.urls {
		if err := fetch.CheckURL(raw); err != nil {
			return usageErrorf("%v", err)
		}
	}
	return c.name()
}

func (c *fetchCall) run(ctx context.Context, ui *ui, operands []string) error {
	c.ui = ui
	if err := c.check(operands); err != nil {
		return err
	}
	clock := source.NewClock(c.network.time, buildDate())
	ui.setClock(clock)
	// Without a digest nothing but the certificate says whose the bytes are.
	client, err := getUntilDone(ctx, func() (*fetch.Client, error) { // it reads the files that options name
		return c.network.client("lxc-pull/"+version(), c.urls, clock, c.digest != nil, &retryNotes{ui: ui})
	})
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() {
		if trust := client.Trust(); trust != "" {
			ui.notef("servers' certificates were judged by those of %s", trust)
		}
	}()
	if c.output == "-" {
		return untilDone(ctx, func() error { return c.to(ctx, client, ui.out) })
	}
	out, err := openOutput(c.output)
	if err != nil {
		return err
	}
	defer out.close()
	// A device or a pipe is written to, never replaced; both may wait.
	done, err := getUntilDone(ctx, func() (bool, error) { return c.toDevice(ctx, client, out) })
	if err != nil || done {
		return err
	}
	return c.toFile(ctx, client, out)
}

// name finds the output's name.
func (c *fetchCall) name() error {
	if c.output != "" {
		return nil
	}
	u, err := url.Parse(c.urls[0])
	if err != nil {
		return usageErrorf("not a URL")
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" || name == ".." || strings.HasSuffix(u.Path, "/") || name != printable(name) {
		return usageErrorf("the URL has no file name in it: use -o FILE")
	}
	if _, err := os.Lstat(name); err == nil {
		return usageErrorf("%q exists: use -o %s to replace it", name, name)
	}
	c.output = name
	return nil
}

// request is what the client is asked for, from offset on.
func (c *fetchCall) request(urls []string, offset int64, validator string) fetch.Request {
	return fetch.Request{URLs: urls, Pinned: c.digest != nil, Offset: offset, Validator: validator, HTML: c.html}
}

// checkDigest compares what came with --sha256.
func (c *fetchCall) checkDigest(sum hash.Hash) error {
	if c.digest == nil || bytes.Equal(sum.Sum(nil), c.digest) {
		return nil
	}
	name := c.output
	if name == "-" {
		name = fetch.ShowURL(c.urls[0])
	}
	return &source.Error{Kind: source.Unverified, What: fmt.Sprintf("%q", name), Err: fmt.Errorf("its SHA-256 is %x, not %x", sum.Sum(nil), c.digest)}
}

// to writes the file to w as it comes, before its digest is known.
func (c *fetchCall) to(ctx context.Context, client *fetch.Client, w io.Writer) error {
	body, err := client.Open(ctx, c.request(c.urls, 0, ""))
	if err != nil {
		return err
	}
	defer body.Close()
	c.ui.settle()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), body); err != nil {
		return err
	}
	return c.checkDigest(sum)
}

// toDevice writes the file to where out leads, and reports whether it did: it does
// not where that is a regular file, is absent, or is behind a link that is not
// followed, which is replaced as a file is.
func (c *fetchCall) toDevice(ctx context.Context, client *fetch.Client, out *output) (bool, error) {
	target, err := out.target()
	if err != nil {
		return false, nil
	}
	defer target.close()
	f, err := target.device(ctx)
	if f == nil {
		return false, err
	}
	defer f.Close()
	return true, c.to(ctx, client, f)
}

// The names that a download has beside FILE until it is complete: its bytes,
// and which file of which URL they are of.
const (
	partSuffix = ".part"
	fromSuffix = ".part.from"
)

// toFile fetches into FILE.part and renames it when it is complete. Beside it,
// FILE.part.from says of which file of which URL its bytes are, so that a later
// call can go on with them.
func (c *fetchCall) toFile(ctx context.Context, client *fetch.Client, out *output) error {
	if err := c.claim(out); err != nil {
		return err
	}
	f, err := c.begin(out)
	if err != nil {
		return err
	}
	defer f.Close()
	if !c.part.foreign && c.validator(out) == "" {
		// Before the first byte: one without a record is nobody's at the next call.
		if err := c.record(out, ""); errors.As(err, new(*obstacleError)) {
			c.ui.warnf("%v; should this call be killed, no later one can go on", err)
		} else if err != nil {
			if info, bad := f.Stat(); bad == nil && info.Size() == 0 {
				return c.keep(out, f, err)
			}
			return err
		}
	}
	if err = c.complete(ctx, client, out, f); err != nil {
		return c.keep(out, f, err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := out.finish(f, partSuffix); err != nil {
		return err
	}
	c.forget(out)
	return nil
}

// begin opens FILE.part. A foreign one keeps its mode, and is never removed.
func (c *fetchCall) begin(out *output) (*os.File, error) {
	if !c.part.foreign {
		return out.beginAlone(partSuffix)
	}
	f, err := out.begin(partSuffix, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.Size() != c.part.bytes || !out.holds(f, partSuffix) || unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK {
		f.Close()
		return nil, fmt.Errorf("%q is being written by another process", out.path+partSuffix)
	}
	return f, nil
}

// claim finds out whose FILE.part is, before anything is asked for or changed. One
// that no record of ours is beside is nobody's to empty or to remove. With --sha256
// it may be gone on with, for then it is known what it must become. An empty one has
// nothing to lose: a call that was killed at once leaves it. One whose record a power
// failure has emptied is known by the rest: its mode is that of our parts.
func (c *fetchCall) claim(out *output) error {
	var st unix.Stat_t
	err := unix.Fstatat(out.dir, out.base+partSuffix, &st, unix.AT_SYMLINK_NOFOLLOW)
	if _, ours := readRecord(out); ours || err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil // begin says why it can't be used
	}
	if trustedOwner(st.Uid) && st.Nlink == 1 {
		lost := out.blank(fromSuffix)
		switch {
		case st.Size == 0 && (lost || !out.exists(fromSuffix)):
			c.part.empty = true
			return nil
		case lost && st.Mode&0o777 == 0o600:
			if c.digest == nil {
				c.ui.warnf("%q is empty, so nothing tells what %q is of: beginning anew", out.path+fromSuffix, out.path+partSuffix)
			}
			return nil
		}
	}
	c.part.foreign, c.part.bytes = true, st.Size
	if c.part.bytes > 0 && c.digest == nil && trustedOwner(st.Uid) && st.Nlink == 1 {
		return usageErrorf("%q is there, and nothing shows that it is a download that lxc-pull began: move it away, or give --sha256 to go on with it", out.path+partSuffix)
	}
	return nil
}

// keep leaves what has come to a later call, and says so; what that could not
// go on with is removed.
func (c *fetchCall) keep(out *output, f *os.File, err error) error {
	if c.part.foreign {
		if bad := f.Truncate(c.part.bytes); bad != nil {
			return fmt.Errorf("%w; %q can't be made what it was: %v", err, f.Name(), bad)
		}
		return err
	}
	info, bad := f.Stat()
	if bad == nil && info.Size() > 0 && c.continues {
		return &keptError{err, info.Size(), f.Name()}
	}
	if out.holds(f, partSuffix) {
		if c.part.empty {
			bad = f.Truncate(0)
		} else {
			out.remove(partSuffix)
		}
		if bad == nil {
			c.forget(out)
		}
	}
	return err
}

// A keptError is a failure after which a later call goes on where this one
// stopped.
type keptError struct {
	err  error
	size int64
	name string
}

func (e *keptError) kept() string {
	return fmt.Sprintf("%s kept in %q; the same command goes on", source.ByteCount(e.size), e.name)
}
func (e *keptError) Error() string { return e.err.Error() + "; " + e.kept() }
func (e *keptError) Unwrap() error { return e.err }

// complete fetches until the file is whole and right.
func (c *fetchCall) complete(ctx context.Context, client *fetch.Client, out *output, f *os.File) error {
	course := fetch.NewCourse(c.urls)
	for {
		had, sources, err := c.into(ctx, client, out, f, course.URLs())
		if err == nil || ctx.Err() != nil {
			return err
		}
		bad := source.KindOf(err) == source.Unverified
		if bad && c.part.foreign && c.part.bytes > 0 {
			return fmt.Errorf("%w, with the %s that were in %q: move it away to begin anew", err, source.ByteCount(c.part.bytes), f.Name())
		}
		again, final := course.Next(err, bad, had, sources)
		if !again && source.KindOf(final) != source.Unverified {
			return final // what has come stays for a later call
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
		if !c.part.foreign {
			if err := c.record(out, ""); err != nil && !errors.As(err, new(*obstacleError)) {
				return err
			}
		}
		c.continues = c.digest != nil
		if !again {
			return final
		}
		c.ui.warnf("%v; starting again", err)
	}
}

// into completes the file f, whose had bytes, if any, an earlier call left. It
// returns which URLs the others came from.
func (c *fetchCall) into(ctx context.Context, client *fetch.Client, out *output, f *os.File, urls []string) (had int64, sources []string, err error) {
	validator := c.validator(out)
	c.continues = c.digest != nil || validator != ""
	if c.digest == nil && validator == "" {
		if err := f.Truncate(0); err != nil {
			return 0, nil, err
		}
	}
	writers := []io.Writer{f}
	sum := sha256.New()
	if c.digest == nil {
		had, err = f.Seek(0, io.SeekEnd)
	} else if _, err = f.Seek(0, io.SeekStart); err == nil {
		writers = append(writers, sum) // which costs a small router more than the rest
		had, err = io.Copy(sum, f)
	}
	if err != nil {
		return 0, nil, err
	}
	if had > 0 {
		c.ui.notef("going on from byte %d", had)
	}
	body, err := client.Open(ctx, c.request(urls, had, validator))
	if err != nil {
		return had, nil, err
	}
	defer body.Close()
	if body.Validator != "" && len(c.urls) == 1 {
		// Without it a later call begins anew; no reason to fail.
		if c.record(out, body.Validator) == nil {
			c.continues = true
		}
	}
	missing := int64(-1)
	if body.Size >= 0 {
		missing = body.Size - had
	}
	progress := c.ui.begin(path.Base(c.output), missing)
	defer progress.Close()
	if _, err = io.Copy(io.MultiWriter(append(writers, progress)...), body); err == nil {
		err = c.checkDigest(sum)
	}
	return had, body.Sources(), err
}

// tag stands for the URL, which may hold a password.
func (c *fetchCall) tag() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(c.urls[0])))
}

// validator reads FILE.part.from; "" when it is of another URL.
func (c *fetchCall) validator(out *output) string {
	lines, ok := readRecord(out)
	if !ok || lines[0] != c.tag() {
		return ""
	}
	return lines[1]
}

// readRecord reads FILE.part.from; ok is false where it is absent or not ours.
func readRecord(out *output) (lines []string, ok bool) {
	return parseRecord(out, fromSuffix)
}

func parseRecord(out *output, suffix string) (lines []string, ok bool) {
	data, err := out.read(suffix, maxCredentials)
	if err != nil {
		return nil, false
	}
	lines = strings.Split(string(data), "\n")
	if len(lines) != 3 || lines[2] != "" {
		return nil, false
	}
	sum, err := hex.DecodeString(lines[0])
	return lines, err == nil && len(sum) == sha256.Size
}

// record writes FILE.part.from, which shows that FILE.part is this program's; the
// validator may be empty. It writes none for a foreign part, nor over another file in
// which there is anything: an empty one, or NULs, is what a power failure leaves.
func (c *fetchCall) record(out *output, validator string) error {
	if c.part.foreign {
		return fmt.Errorf("%q is not lxc-pull's", out.path+partSuffix)
	}
	for _, suffix := range []string{fromSuffix, fromSuffix + asideSuffix} {
		if _, ours := parseRecord(out, suffix); out.exists(suffix) && !ours && !out.blank(suffix) {
			return &obstacleError{out.path + suffix}
		}
	}
	return out.replace(fromSuffix, []byte(c.tag()+"\n"+validator+"\n"))
}

// An obstacleError says that something else has the record's name. It is no reason
// to fail: in /tmp anybody can put it there.
type obstacleError struct{ path string }

func (e *obstacleError) Error() string {
	return fmt.Sprintf("%q is nothing that lxc-pull writes, and stays", e.path)
}

// forget removes FILE.part.from, if it is a record.
func (c *fetchCall) forget(out *output) {
	if _, ours := readRecord(out); ours {
		out.remove(fromSuffix)
	}
}
