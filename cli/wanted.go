package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// This file makes a source.Wanted from the name of an image and the options about it.

// use makes the Finder find the image, if it is one of another source than the index of an image
// server. Standard input is read up to what says which kind of archive it is. It waits no longer
// than until ctx is done.
func (o *finderOptions) use(ctx context.Context, ui *ui, which *imageOptions) error {
	if which.container == "-" {
		if err := o.recognise(ctx, ui, which); err != nil {
			return err
		}
	}
	if ui.named = which.named; ui.named != nil {
		ui.named.mustSign = o.trust.requireSignature
	}
	switch kind := which.kind(); kind {
	case fromRegistry:
		return o.useContainer(ctx, ui, which.container, which.arch)
	case fromStreams:
		o.useStreams(ui, which)
	case fromURL, fromFile:
		return untilDone(ctx, func() error { return o.useFile(ui, which) })
	case fromBundle:
		o.wanted.Bundle, o.wanted.RequireSignature = which.named.path, o.trust.requireSignature
	}
	return nil
}

// onlyGiven drops the mirrors that settings name: they are those of an image server.
func (o *serverOptions) onlyGiven(ui *ui) {
	if !slices.Contains(ui.given, "mirror") {
		o.mirrors = nil
	}
	if !slices.Contains(ui.given, "mirror-list") {
		o.mirrorLists = nil
	}
}

// useStreams makes the Finder find an image of a simplestreams server. A name with a server has
// nothing to do with the servers of settings.
func (o *finderOptions) useStreams(ui *ui, which *imageOptions) {
	named := which.named
	if named.server != "" {
		o.servers.onlyGiven(ui)
		o.servers.servers = []string{named.server}
	}
	arch := which.arch
	if arch == "" {
		arch = hostArch()
	}
	o.wanted.Streams = &source.Streams{
		Name: named.known, Alias: named.alias, Variant: which.variant, Build: which.build,
		Arch: cross.Spellings(cross.ImageName(strings.ToLower(arch))), RequireSignature: o.trust.requireSignature,
	}
}

// listStreams makes the Finder list the images of a simplestreams server whose name other options
// have.
func (o *finderOptions) listStreams() {
	if o.wanted.Streams == nil && o.servers.streams {
		o.wanted.Streams = &source.Streams{RequireSignature: o.trust.requireSignature}
	}
}

// useFile makes the Finder find a root file system in a file or directory.
func (o *finderOptions) useFile(ui *ui, which *imageOptions) error {
	f := &source.File{
		Path: which.named.path, Metadata: o.file.metadata, RequireSignature: o.trust.requireSignature,
	}
	if o.file.digest != "" {
		f.SHA256 = image.Digest("sha256:" + o.file.digest)
	}
	if which.arch != "" {
		f.Arch = cross.ImageName(strings.ToLower(which.arch))
	}
	if f.Metadata != "" && !strings.Contains(f.Metadata, "://") { // "-" too is a file
		if _, err := os.Stat(f.Metadata); err != nil {
			return &fileError{option: "metadata", name: f.Metadata, err: withoutPath(err)}
		}
	}
	o.wanted.File = f
	o.servers.onlyGiven(ui)
	mirrors := new(source.Servers)
	err := o.servers.readMirrors(mirrors.Add)
	f.Mirrors = mirrors.URLs()
	return err
}

// clientURLs returns the URLs whose servers may see the client's certificate and headers.
func (o *finderOptions) clientURLs(servers *source.Servers) []string {
	f, url := o.wanted.File, "file:///"
	switch {
	case f == nil && o.wanted.Bundle == "":
		return servers.URLs()
	case f == nil:
	case strings.Contains(f.Path, "://"):
		url = f.Path
	case strings.Contains(f.Metadata, "://"):
		url = f.Metadata
	}
	return []string{url}
}

// vouched reports whether a signature or a digest that the user gave is verified of everything
// that is downloaded. Otherwise only the server's certificate authenticates the bytes.
func (o *finderOptions) vouched(servers *source.Servers) bool {
	keyring := len(o.trust.keyrings) > 0
	switch s, f := o.wanted.Streams, o.wanted.File; {
	case s != nil:
		return keyring || servers.Pinned()
	case f != nil:
		return keyring || f.SHA256 != ""
	}
	return true
}

// maxRecognised is how much of standard input is read to recognise it, in bytes: more than a
// block of any compression but large ones of bzip2 has, compressed.
const maxRecognised = 256 << 10

// recognise says whether standard input is an archive of container images or one of a root file
// system. It puts what it has read before the rest.
func (o *finderOptions) recognise(ctx context.Context, ui *ui, which *imageOptions) error {
	if isTerminal(os.Stdin) {
		return usageErrorf("the image \"-\" is an archive from standard input, which is a terminal: use a pipe or a file")
	}
	container := false
	if o.file.metadata == "" && o.file.digest == "" {
		head, err := firstBytes(ctx)
		if err == nil {
			container = holdsContainer(head)
			o.wanted.Stdin, err = putBack(head)
		}
		if err != nil {
			return err
		}
	}
	if !container {
		which.container, which.named = "", &sourceName{kind: fromFile, word: "-", path: "-"}
	}
	return which.checkOptions(ui.given)
}

// firstBytes returns the first bytes of standard input.
func firstBytes(ctx context.Context) (head []byte, err error) {
	return head, untilDone(ctx, func() error {
		read, err := readUpTo(newCancelReader(ctx, os.Stdin), maxRecognised-1)
		head = read
		return err
	})
}

// putBack returns standard input from its beginning: the bytes that were read of it, and the rest.
func putBack(head []byte) (*os.File, error) {
	stdin := os.Stdin
	if info, err := stdin.Stat(); err == nil && info.Mode().IsRegular() {
		_, err := stdin.Seek(-int64(len(head)), io.SeekCurrent)
		return stdin, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		if _, err := w.Write(head); err == nil {
			io.Copy(w, stdin) // after an error the archive is incomplete, which its reader finds
		}
		w.Close()
	}()
	return r, nil
}

// holdsContainer reports whether the first bytes of an archive are those of an OCI archive or of
// "docker save": whether the first entry that is no directory or header is one of their files
// (OCI image spec, image-layout.md). Everything else is the archive of a root file system.
func holdsContainer(head []byte) bool {
	plain, err := untar.Decompress(bytes.NewReader(head), untar.DecompressOptions{})
	if err != nil {
		return false
	}
	text, _ := readUpTo(plain, maxRecognised) // head is cut off
	plain.Close()
	const block = 512
	for len(text) >= block {
		h := text[:block]
		name, _, _ := strings.Cut(string(h[:100]), "\x00")
		name = strings.TrimPrefix(name, "./")
		first, _, _ := strings.Cut(name, "/")
		size := int64(0)
		for _, digit := range h[124:136] {
			if digit >= '0' && digit <= '7' {
				size = size<<3 | int64(digit-'0')
			}
		}
		if kind := h[156]; kind != 'x' && kind != 'g' && kind != 'L' && name != "" {
			return among("oci-layout index.json manifest.json repositories blobs", first) || len(first) >= 64 && strings.Trim(first[:64], "0123456789abcdef") == ""
		}
		size = block + (size+block-1)/block*block
		if size > int64(len(text)) {
			break
		}
		text = text[size:]
	}
	return false
}
