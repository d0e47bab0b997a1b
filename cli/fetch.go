package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image/sha256"
	"lxc-pull/pull/source"
)

// This file is the command "fetch": its options, the name of the file that it writes, and
// the choice of how to write it. Standard output, a device or a pipe gets the bytes as they
// come (stream). For any other output the bytes go to a file beside it, which is renamed
// when it is complete: download.go.

// A fetchCall is one call of the command: its options and, once check has returned, its
// operands. The download changes none of them.
type fetchCall struct {
	output string // the file to write; "-": standard output
	digest []byte // the SHA-256 that the file must have; nil: not given
	html   bool   // accept a web page

	image  imageOptions  // of --oci
	finder finderOptions // likewise
	// save writes what is not downloaded from the URLs, of --oci or of the command export; nil:
	// the URLs are downloaded. early says that it writes bytes before they are verified.
	save  func(ctx context.Context, w io.Writer) error
	early bool

	ui   *ui
	urls []string // at least one
}

func (c *fetchCall) groups() []*group {
	own := &group{"", []flag{
		{short: 'o', long: "output", value: "FILE", help: "write to FILE, \"-\" for standard output (default: the last part of the URL, which must not exist yet)", into: &c.output},
		{long: "sha256", value: "HEX", help: "refuse a file with another digest; required with several URLs", into: c.setDigest},
		{long: "html", help: "accept a web page; otherwise it is an error, since it may be a login page", into: &c.html},
		jsonFlag(),
		progressFlag(),
	}}
	return append(append([]*group{own}, c.ociGroups()...), c.finder.network.group().byPrefix(), commonFlags().byPrefix())
}

func (c *fetchCall) setDigest(value string) (err error) {
	c.digest, err = hex.DecodeString(value)
	if err != nil || len(c.digest) != sha256.Size {
		return fmt.Errorf("not %d hexadecimal digits", 2*sha256.Size)
	}
	return nil
}

func (c *fetchCall) run(ctx context.Context, ui *ui, operands []string) error {
	c.ui = ui
	if c.output == "-" && ui.events != nil && ui.events.fd == 1 {
		return usageErrorf("-o - and the events can't both go to standard output")
	}
	if c.image.container != "" {
		return c.saveOCI(ctx, operands)
	}
	if err := c.check(operands); err != nil {
		return err
	}
	clock := source.NewClock(c.finder.network.time, buildDate())
	ui.setClock(clock)
	// Making a client reads the files that options name, which may be pipes.
	var client *fetch.Client
	err := untilDone(ctx, func() (err error) {
		// Without a digest only the server's certificate authenticates the bytes.
		client, err = c.finder.network.client("lxc-pull/"+version(), c.urls, clock, c.digest != nil, &retryNotes{ui: ui})
		return err
	})
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() {
		if trust := client.Trust(); trust != "" {
			ui.notef("server certificates were checked with the root certificates of %s", trust)
		}
	}()
	return c.write(ctx, client)
}

// write writes what the call is about to the output. client is nil if save is set.
func (c *fetchCall) write(ctx context.Context, client *fetch.Client) error {
	if c.output == "-" {
		return untilDone(ctx, func() error { return c.stream(ctx, client, c.ui.out) })
	}
	out, err := openOutput(c.output)
	if err != nil {
		return err
	}
	defer out.close()
	done := false
	err = untilDone(ctx, func() (err error) {
		done, err = c.streamToDevice(ctx, client, out)
		return err
	})
	if err != nil || done {
		return err
	}
	return c.download(ctx, client, out)
}

// check takes over the operands, checks them, and sets the output's name if no option did.
func (c *fetchCall) check(urls []string) error {
	c.urls = urls
	switch {
	case len(c.urls) == 0:
		return usageErrorf("fetch needs a URL")
	case len(c.urls) > 1 && c.digest == nil:
		return usageErrorf("several URLs need --sha256: nothing else shows that they name the same file")
	}
	for _, raw := range c.urls {
		if isContainer(raw) {
			return usageErrorf("a container image needs --oci: --oci %s -o FILE", raw)
		}
		if err := fetch.CheckURL(raw); err != nil {
			return usageErrorf("%v", err)
		}
	}
	if c.output != "" {
		return nil
	}
	name, err := fileName(c.urls[0])
	c.output = name
	return err
}

// fileName returns the last part of a URL's path. It returns a usage error if that part can't
// be the name of a new file in the current directory.
func fileName(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", usageErrorf("not a URL")
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" || name == ".." || strings.HasSuffix(u.Path, "/") || name != printable(name) {
		return "", usageErrorf("the URL does not end in a file name: use -o FILE")
	}
	if _, err := os.Lstat(name); err == nil {
		return "", usageErrorf("%q exists: use -o %q to replace it", name, name)
	}
	return name, nil
}

// request returns the request for the bytes from offset on. validator is the record's, which
// tells the server which version of the file the bytes before offset are from.
func (c *fetchCall) request(urls []string, offset int64, validator string) fetch.Request {
	return fetch.Request{URLs: urls, Pinned: c.digest != nil, Offset: offset, Validator: validator, HTML: c.html}
}

// checkDigest compares the digest of the whole file with --sha256, if that was given.
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

// stream writes the file to w while it arrives, before its digest is verified.
func (c *fetchCall) stream(ctx context.Context, client *fetch.Client, w io.Writer) error {
	if c.save != nil && !c.early {
		c.ui.settle()
		return c.save(ctx, w)
	}
	if c.save != nil { // a reader would use the layers before their digests are known
		return usageErrorf("an archive can't go to a pipe or device, since its layers are verified while they are written: use -o FILE")
	}
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

// streamToDevice writes to the device or pipe that out names, which is never replaced, and
// reports whether out names one. If not, out is a regular file, is absent, or is a symbolic
// link that may not be followed: then a download replaces it. Opening and writing may wait.
func (c *fetchCall) streamToDevice(ctx context.Context, client *fetch.Client, out *output) (bool, error) {
	target, err := out.target()
	if err != nil {
		return false, nil
	}
	defer target.close()
	f, err := target.openDevice(ctx)
	if f == nil {
		return false, err
	}
	defer f.Close()
	return true, c.stream(ctx, client, f)
}
