package main

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

	"lxc-pull/fetch"
)

const fetchUsage = `usage: lxc-pull fetch [OPTION]... URL...

Fetches a file by http(s), through http_proxy and the like. What broke off is
continued, now or later; FILE appears when complete. Several URLs are one file.

  -o, --output FILE     write to FILE, "-" for standard output; without it the
                        last part of the URL, which must not exist yet
      --sha256 HEX      the file must have this digest; a must for several URLs
      --html            a web page is wanted; else it is an error: a login page
` + networkUsage + `  -q, -v                say less, say more
`

// A fetchCall is one call of the command, parsed.
type fetchCall struct {
	ui      *ui
	urls    []string
	output  string
	digest  []byte // nil: not known
	html    bool
	network networkOptions

	continues bool // a later call can go on with what is in FILE.part
}

// fetchCommand brings one file: wget's place.
func fetchCommand(ctx context.Context, ui *ui, args []string) error {
	flags, operands, err := getopt(args, append([]option{
		{short: 'o', long: "output", arg: true},
		{long: "sha256", arg: true},
		{long: "html"},
		{short: 'q', long: "quiet"},
		{short: 'v', long: "verbose"},
		{short: 'h', long: "help"},
	}, networkFlags()...))
	if err != nil {
		return err
	}
	call := &fetchCall{ui: ui, urls: operands}
	for _, f := range flags {
		var err error
		switch f.name {
		case "output":
			call.output = f.value
		case "sha256":
			call.digest, err = hex.DecodeString(f.value)
			if err != nil || len(call.digest) != sha256.Size {
				err = fmt.Errorf("not %d hexadecimal digits", 2*sha256.Size)
			}
		case "html":
			call.html = true
		case "quiet":
			ui.quiet = true
		case "verbose":
			ui.verbose = true
		case "help":
			_, err := io.WriteString(ui.out, fetchUsage)
			return err
		default:
			_, err = call.network.set(f.name, f.value)
		}
		if err != nil {
			return usageErrorf("--%s %q: %v", f.name, f.value, err)
		}
	}
	switch {
	case len(call.urls) == 0:
		return usageErrorf("fetch takes a URL")
	case len(call.urls) > 1 && call.digest == nil:
		return usageErrorf("several URLs name one file, and nothing but --sha256 can tell that they do")
	}
	for _, raw := range call.urls {
		if err := fetch.CheckURL(raw); err != nil {
			return usageErrorf("%v", err)
		}
	}
	if err := call.name(); err != nil {
		return err
	}
	clock := newClock(call.network.time)
	clock.warn(ui)
	// Without a digest nothing but the certificate says whose the bytes are.
	client, err := call.network.client("lxc-pull/"+version(), call.urls, clock, call.digest != nil, &retryNotes{ui: ui})
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() {
		if trust := client.Trust(); trust != "" {
			ui.notef("servers' certificates were judged by those of %s", printable(trust))
		}
	}()
	if call.output == "-" {
		return untilDone(ctx, func() error { return call.to(ctx, client, ui.out) })
	}
	out, err := openOutput(call.output)
	if err != nil {
		return err
	}
	defer out.close()
	// A device or a pipe is written to, never replaced; both may wait.
	regular := false
	err = untilDone(ctx, func() error {
		f, err := out.device()
		if f == nil {
			regular = err == nil
			return err
		}
		defer f.Close()
		return call.to(ctx, client, f)
	})
	if err != nil || !regular {
		return err
	}
	return call.toFile(ctx, client, out)
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

// check compares what came with --sha256.
func (c *fetchCall) check(sum hash.Hash) error {
	if c.digest == nil || bytes.Equal(sum.Sum(nil), c.digest) {
		return nil
	}
	return &unverifiedError{"file", fmt.Errorf("its SHA-256 is %x, not %x", sum.Sum(nil), c.digest)}
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
	return c.check(sum)
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
	f, err := out.beginAlone(partSuffix)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = c.complete(ctx, client, out, f); err != nil {
		return c.keep(out, f, err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := out.finish(f, partSuffix); err != nil {
		return err
	}
	out.remove(fromSuffix)
	return nil
}

// keep leaves what has come to a later call, and says so; what that could not
// go on with is removed.
func (c *fetchCall) keep(out *output, f *os.File, err error) error {
	info, bad := f.Stat()
	if bad == nil && info.Size() > 0 && c.continues {
		return &keptError{err, info.Size(), f.Name()}
	}
	if out.holds(f, partSuffix) {
		out.remove(partSuffix)
		out.remove(fromSuffix)
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
	return fmt.Sprintf("%s kept in %q; the same command goes on", byteCount(e.size), e.name)
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
		var wrong *unverifiedError
		bad := errors.As(err, &wrong)
		again, final := course.Next(err, bad, had, sources)
		if !again && !errors.As(final, &wrong) {
			return final // what has come stays for a later call
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
		out.remove(fromSuffix)
		c.continues = c.digest != nil
		if !again {
			return final
		}
		c.ui.warnf("%s; starting again", printable(err.Error()))
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
		if out.replace(fromSuffix, []byte(c.tag()+"\n"+body.Validator+"\n")) == nil {
			c.continues = true
		}
	}
	missing := int64(-1)
	if body.Size >= 0 {
		missing = body.Size - had
	}
	progress := c.ui.begin(path.Base(c.output), missing)
	defer progress.end()
	if _, err = io.Copy(io.MultiWriter(append(writers, progress)...), body); err == nil {
		err = c.check(sum)
	}
	return had, body.Sources(), err
}

// tag stands for the URL, which may hold a password.
func (c *fetchCall) tag() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(c.urls[0])))
}

// validator reads FILE.part.from; "" when it is of another URL.
func (c *fetchCall) validator(out *output) string {
	data, err := out.read(fromSuffix, maxCredentials)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 3 || lines[0] != c.tag() {
		return ""
	}
	return lines[1]
}
