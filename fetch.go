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

	"golang.org/x/sys/unix"

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

  lxc-pull fetch -o rootfs.tar.xz https://example.org/images/rootfs.tar.xz
`

// A fetchCall is one call of the command, parsed.
type fetchCall struct {
	ui      *ui
	urls    []string
	output  string
	digest  []byte // nil: not known
	html    bool
	network networkOptions
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
			if err == nil && len(call.digest) != sha256.Size {
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
	if err := call.name(); err != nil {
		return err
	}
	clock := newClock(call.network.time)
	clock.warn(ui)
	// Without a digest nothing but the certificate says whose the bytes are.
	client, err := call.network.client("lxc-pull/"+version(), call.urls[0], clock, call.digest != nil, (&retryNotes{ui: ui}).tell)
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
	info, err := os.Stat(call.output)
	switch {
	case err != nil || info.Mode().IsRegular():
		return call.toFile(ctx, client)
	case info.IsDir():
		return usageErrorf("%q is a folder", call.output)
	}
	// A device or a pipe is written to, never replaced.
	return untilDone(ctx, func() error {
		f, err := os.OpenFile(call.output, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		return call.to(ctx, client, f)
	})
}

// name finds the output's name.
func (c *fetchCall) name() error {
	if c.output != "" {
		return nil
	}
	u, err := url.Parse(c.urls[0])
	if err != nil {
		return usageErrorf("%q is not a URL", c.urls[0])
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
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), body); err != nil {
		return err
	}
	return c.check(sum)
}

// toFile fetches into FILE.part and renames it when it is complete. Beside it,
// FILE.part.from says of which file of which URL its bytes are, so that a later
// call can go on with them.
func (c *fetchCall) toFile(ctx context.Context, client *fetch.Client) error {
	part := c.output + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return fmt.Errorf("%q is being written by another process", part)
	}
	// The file may have been complete, and renamed, before we had the lock.
	if mine, err := f.Stat(); err != nil {
		return err
	} else if there, err := os.Lstat(part); err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("%q is being written by another process", part)
	}
	err = c.complete(ctx, client, f)
	if info, statErr := f.Stat(); err != nil && statErr == nil && info.Size() == 0 {
		os.Remove(part)
		os.Remove(part + ".from")
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part, c.output); err != nil {
		return err
	}
	os.Remove(part + ".from")
	return nil
}

// complete fetches until the file is whole and right.
func (c *fetchCall) complete(ctx context.Context, client *fetch.Client, f *os.File) error {
	course := fetch.NewCourse(c.urls)
	for {
		had, sources, err := c.into(ctx, client, f, course.URLs())
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
		os.Remove(f.Name() + ".from")
		if !again {
			return final
		}
		c.ui.warnf("%s; starting again", printable(err.Error()))
	}
}

// into completes the file f, whose had bytes, if any, an earlier call left. It
// returns which URLs the others came from.
func (c *fetchCall) into(ctx context.Context, client *fetch.Client, f *os.File, urls []string) (had int64, sources []string, err error) {
	from := f.Name() + ".from"
	validator := c.validator(from)
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
		os.WriteFile(from, []byte(c.tag()+"\n"+body.Validator+"\n"), 0o666)
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
func (c *fetchCall) validator(from string) string {
	data, err := readFileLimit(from, maxCredentials)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 3 || lines[0] != c.tag() {
		return ""
	}
	return lines[1]
}
