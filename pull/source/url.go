package source

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/image/sha256"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// findAtURL finds the image of Options.File at its URL, and what vouches for it (evidence.go).
//
// If the SHA-256 of the file is pinned before the download, the file is downloaded as a layer of a
// container image is. Otherwise a signature of the file, or its SHA-512, can be checked only when
// all bytes are there: then findAtURL downloads the file to a temporary file. The cache keeps it
// with what vouches for it, so that a later run asks only for that.
func (f *Finder) findAtURL(ctx context.Context, found *Found) error {
	want := f.opt.File
	s, err := f.newSearch(want.Path)
	if err != nil {
		return err
	}
	if want.RequireSignature && f.trust.keyless() {
		return needsKey(quote(s.name))
	}
	found.Layers = make([]Layer, 1)
	layer, img := &found.Layers[0], &found.Image
	layer.Name, layer.Packed, layer.Content, layer.Top = quote(s.name), -1, -1, true
	layer.Squashfs = strings.HasSuffix(strings.ToLower(s.name), ".squashfs")
	img.Reference, _, _ = strings.Cut(s.reference(), "#")
	img.Dist, img.Release, img.Build = "url", "unknown", "unknown"
	img.Arch, img.Variant = want.Arch, "default"
	o := &pinnedImage{reader: new(imageReader), name: s.reference(), layers: make([]image.Descriptor, 1)}
	found.pinned = o
	f.openKept(o, "")
	if sum := strings.TrimPrefix(string(want.SHA256), "sha256:"); sum != "" {
		if s.given, err = hex.DecodeString(sum); err != nil {
			return err
		}
	}
	if s.given != nil {
		o.layers[0].MediaType = fileType
	}
	if s.given != nil && !want.RequireSignature {
		s.found.sums[0], s.found.pinned = s.given, true
	} else if err = found.search(ctx, s); err != nil {
		return err
	}
	if err = found.locate(ctx, s); err == nil {
		err = found.readURLMeta(ctx)
	}
	if err != nil {
		return err
	}
	o.limitCache(f)
	if here, ok := o.reader.store.(*spooled); ok && (o.reader.cache == nil || f.opt.Use.ReadOnly || o.at.noCache) {
		o.at.whole, o.at.starts, o.at.private = here.file, []int64{0}, true // no second copy
	}
	found.announce = func() {
		if found.Cached && !s.came {
			f.tell.Say("Using image from local cache")
		}
		f.tell.Note(img.Reference + " " + string(o.layers[0].Digest))
		f.tellKeys(o.signers)
		if o.reader.kept != nil && !f.opt.Use.ReadOnly {
			o.reader.cache.UseKept(o.reader.kept)
		}
	}
	return nil
}

// newSearch returns a search for what vouches for the file at a URL.
func (f *Finder) newSearch(raw string) (*search, error) {
	if err := fetch.CheckURL(raw); err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err // CheckURL has parsed it
	}
	s := &search{finder: f}
	s.head, _, _ = strings.Cut(lowerHost(raw), "#")
	if i := strings.IndexByte(s.head, '?'); i >= 0 {
		s.head, s.query = s.head[:i], s.head[i:]
	}
	i := strings.LastIndexByte(u.Path, '/') + 1
	if s.dir, s.name = u.Path[:i], u.Path[i:]; s.name == "" {
		return nil, failed(Unusable, strconv.Quote(fetch.ShowURL(raw))+" names no file")
	}
	return s, nil
}

// lowerHost returns a URL with its scheme and host in lower case, so that comparisons of their text
// say whether they are the same (RFC 3986, 6.2.2.1).
func lowerHost(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host := strings.LastIndexByte(rest[:end], '@') + 1
	return strings.ToLower(scheme) + "://" + rest[:host] + strings.ToLower(rest[host:end]) + rest[end:]
}

// reference returns the URL without a password and query. If it has a query, which may name the
// file, "#" and a part of the query's digest follow.
func (s *search) reference() string {
	text := s.head
	if u, err := url.Parse(text); err == nil {
		u.User = nil
		text = u.String()
	}
	if s.query != "" {
		text += "#" + string(sumOf([]byte(s.query)))[len("sha256:"):][:12]
	}
	return text
}

// mirrors returns the URLs of the file at mirrors: the path of its URL below the mirror's URL. A
// mirror that ends with the name of the file is the URL of the file itself.
func (s *search) mirrors(names []string) (urls []string, err error) {
	for _, name := range names {
		base, err := serverURL(name)
		if err != nil {
			return nil, because("the mirror "+strconv.Quote(fetch.ShowURL(name)), err)
		}
		if u, err := url.Parse(s.head); err == nil && !strings.HasSuffix(base, "/"+s.name) {
			base += u.EscapedPath()
		}
		urls = appendNew(urls, base)
	}
	return urls, nil
}

// openKept opens what the cache has of an image, or removes it if the user wants that.
// A file at a URL is the same for every architecture, so its record names none.
func (f *Finder) openKept(o *pinnedImage, arch string) {
	r := o.reader
	if r.cache, r.fresh = f.opt.Cache, f.opt.Use.Refresh; r.cache == nil {
		return
	}
	if !f.opt.Use.ReadOnly {
		r.run = r.cache.Join()
	}
	var err error
	r.kept, err = r.cache.FindKept(o.name, arch)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.warn("cache-problem", "what the cache has of the image is not used: ", err, "")
	}
	if f.opt.Use.Flush {
		if r.kept != nil && !f.opt.Use.ReadOnly {
			f.tell.Say("Flushing the cache...")
			if err := r.cache.Drop(cache.Info{Kept: r.kept, Proven: true}); err != nil {
				f.warn("cache-problem", "the image can't be removed from the cache: ", err, "")
			}
		}
		r.fresh, r.kept = true, nil
	}
}

// restore gives a search what the cache keeps of the file at its URL, and returns the digest of the
// file; "": the cache keeps nothing of it.
func (r *imageReader) restore(s *search) (digest image.Digest) {
	for i := 0; r.kept != nil && i < len(r.kept.Blobs) && digest == ""; i++ {
		if text := r.cached(r.kept.Blobs[i], maxKeptBytes); bytes.HasPrefix(text, []byte(keptBegin)) {
			digest = s.restore(text)
		}
	}
	return digest
}

// search looks for what vouches for a file, or asks the cache if the server can't be reached or
// the user wants that. If the server publishes new files between two requests, a signature is bad;
// so search asks for all again, once.
func (found *Found) search(ctx context.Context, s *search) (err error) {
	f, r := found.finder, found.pinned.reader
	s.away = f.opt.Use.Force && r.restore(s) != ""
	err = s.run(ctx)
	var bad *pgp.BadSignatureError
	if errors.As(err, &bad) && !s.away {
		f.warn("", "", err, "; downloading the files and signatures again")
		err = s.run(ctx)
	}
	if Offline(err) && r.restore(s) != "" {
		f.warn("offline", "", err, "")
		f.tell.Warn("offline", "the server can't be reached; using the file that the cache has")
		s.away = true
		err = s.run(ctx)
	}
	if err == nil {
		err = s.verdict()
	}
	if isUnverified(err) && !s.away { // is there such a file?
		if _, _, missing := f.opt.Client.Tail(ctx, s.head+s.query, 1); lacksFile(missing) {
			return s.noFile(missing)
		}
	}
	return err
}

// lacksFile reports whether err says that the file does not exist.
func lacksFile(err error) bool {
	list := fetch.Failures(err)
	return len(list) > 0 && isNotFound(list[len(list)-1])
}

// noFile returns the error for a file that does not exist.
func (s *search) noFile(err error) error {
	return &Error{Kind: NotFound, Text: "there is no file " + strconv.Quote(fetch.ShowURL(s.head)), Err: err}
}

// locate finds out where the bytes of the file are: in the cache or at URLs. If they can be
// verified only when all are there, it downloads them.
func (found *Found) locate(ctx context.Context, s *search) error {
	f, o, p, layer := found.finder, found.pinned, &s.found, &found.Layers[0]
	urls, err := s.mirrors(f.opt.File.Mirrors)
	if err != nil {
		return err
	}
	web, own := f.newWeb(), s.head+s.query
	mirrors := urls
	ownLast := append(urls[:len(urls):len(urls)], own)
	if urls = ownLast; f.trust.keys == nil && !p.pinned && p.sums[1] == nil {
		urls = append([]string{own}, mirrors...) // no digest tells the mirrors' bytes from the file's
	}
	o.reader.store, o.remote = web, web
	d := &o.layers[0]
	d.Size = -1
	if p.pinned {
		err = found.useDigest(s, image.Digest("sha256:"+hex.EncodeToString(p.sums[0])))
		if err == nil && !found.findBlob() {
			d.Size, err = found.measureURL(ctx, ownLast)
		}
	}
	var file *os.File
	switch {
	case err != nil || d.Size >= 0 || found.useKept(ctx, s):
	case s.away && s.refusal != nil:
		err = s.refusal
	case s.away:
		err = failed(NotFound, "the cache does not have "+quote(s.name)+" any more")
	case f.opt.Use.ReadOnly || f.spool == nil:
		d.Size, err = found.measureURL(ctx, ownLast)
	default:
		file, err = found.bring(ctx, s, urls)
	}
	if lacksFile(err) {
		err = s.noFile(err)
	}
	if err == nil && d.Size > maxRootfs {
		err = unusable(tooLarge(layer.Name, d.Size, maxRootfs))
	}
	if err != nil {
		return err
	}
	web.add(d.Digest, mirrors, own)
	if file != nil {
		o.reader.store, web.plain = &spooled{file}, false
	}
	if s.given == nil && p.from == "" {
		d.MediaType = cameType
	}
	o.signers, o.sure, layer.Packed = p.by.keys, web.safe(), d.Size
	o.manifest = &document{digest: d.Digest, mediaType: fileType}
	o.top = o.manifest
	if d.Digest != "" {
		o.reader.add(s.keep(d.Digest))
	}
	return nil
}

// A spooled is a store of one layer, which is on the disk.
type spooled struct{ file *os.File }

func (s *spooled) open(_ context.Context, d *image.Descriptor, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.file, offset, d.Size-offset)), nil
}

func (s *spooled) get(context.Context, string, int64) ([]byte, string, error) {
	return nil, "", errOnlyLayer
}

func (s *spooled) referrers(context.Context, image.Digest) ([]image.Descriptor, error) {
	return nil, nil
}

var errOnlyLayer = errors.New("there is nothing but a layer")

// add makes the cache keep a text with the image.
func (r *imageReader) add(text []byte) image.Digest {
	d := &document{digest: sumOf(text), text: text}
	r.texts = append(r.texts, d)
	return d.digest
}

// findBlob reports whether the cache has the file.
func (found *Found) findBlob() bool {
	o := found.pinned
	if o.reader.cache == nil {
		return false
	}
	blob, err := o.reader.cache.FindBlob(o.layers[0].Digest)
	if err != nil {
		return false
	}
	found.Cached = true
	found.recognise(blob.File, blob.Have)
	blob.Close()
	return true
}

// recognise finds out what a file on the disk is. The end of an xz archive says how large its content is.
func (found *Found) recognise(file io.ReaderAt, size int64) {
	layer := &found.Layers[0]
	found.pinned.layers[0].Size = size
	head := make([]byte, 4)
	file.ReadAt(head, 0) // a file without these bytes is no squashfs image
	layer.Squashfs = layer.Squashfs || untar.IsSquashfs(head)
	layer.measure(file, size)
}

// measure reads the end of a file, which may say how large its content is.
func (l *Layer) measure(file io.ReaderAt, size int64) {
	tail := make([]byte, min(indexTail, size))
	file.ReadAt(tail, size-int64(len(tail)))
	l.take(tail, size)
}

// take notes what the end of an archive says about its content.
func (l *Layer) take(tail []byte, size int64) {
	if content, ok := xz.ContentSize(tail, size); ok {
		l.Content = content
	}
}

// measureURL returns the size of the file, -1 if no server says it. The last of urls, that of the
// file's own server, is asked first.
func (found *Found) measureURL(ctx context.Context, urls []string) (size int64, err error) {
	client := found.finder.opt.Client
	for i := len(urls) - 1; i >= 0; i-- {
		tail, size, failed := client.Tail(ctx, urls[i], indexTail)
		if failed == nil {
			found.Layers[0].take(tail, size)
			return size, nil
		}
		if !lacksFile(failed) && !Offline(failed) && ctx.Err() == nil { // most likely the server knows no ranges
			var body *fetch.Body
			if body, failed = client.Open(ctx, fetch.Request{URLs: urls[i : i+1], Pinned: true}); failed == nil {
				body.Close()
				return body.Size, nil
			}
		}
		if err == nil {
			err = failed
		}
	}
	return -1, err
}

// A checker checks all that is known about the bytes of a file.
type checker struct {
	_              [0]func() // forbids ==, whose code nothing needs
	search         *search
	sha256, sha512 hash.Hash
	verifier       *pgp.Verifier // nil: the file has no signature
}

// newChecker returns a checker of the file. It serves for one pass.
func (s *search) newChecker() (c *checker, err error) {
	c = &checker{search: s, sha256: sha256.New(), sha512: sha512.New()}
	if t := s.finder.trust; s.found.signature != nil {
		if c.verifier, err = pgp.NewVerifier(t.keys, s.found.signature, t.clock.Policy()); err != nil {
			err = unverified(quote(s.name), err)
		}
	}
	return c, err
}

// check reads a file to its end and returns its SHA-256, or an error of Kind Unverified if it is
// not the file for which somebody vouches.
func (s *search) check(file io.Reader) (image.Digest, error) {
	c, err := s.newChecker()
	if err == nil {
		_, err = io.Copy(c, file)
	}
	if err != nil {
		return "", err
	}
	return c.finish()
}

func (c *checker) Write(p []byte) (n int, err error) {
	c.sha256.Write(p)
	if c.search.found.sums[1] != nil {
		c.sha512.Write(p)
	}
	if c.verifier != nil {
		if _, err = c.verifier.Write(p); err != nil {
			err = unverified(quote(c.search.name), err)
		}
	}
	return len(p), err
}

// finish returns the SHA-256 of the bytes, or an error of Kind Unverified if they are not those for
// which somebody vouches.
func (c *checker) finish() (image.Digest, error) {
	s := c.search
	var err error
	for i, sum := range s.found.sums {
		h := c.sha256
		if i > 0 {
			h = c.sha512
		}
		if sum != nil && !bytes.Equal(h.Sum(nil), sum) {
			err = errors.New("it has another digest than it should have by " + quote(s.found.from))
			if s.found.from == "" {
				err = errors.New("its SHA-256 is not the one that the user gave")
			}
		}
	}
	if c.verifier != nil && err == nil {
		var result *pgp.Result
		if result, err = c.verifier.Finish(); err == nil {
			err = s.checkPath(s.name, result)
		}
		if err == nil {
			s.signedBy(result)
		}
	}
	if err != nil {
		return "", unverified(quote(s.name), err)
	}
	return sumOfHash(c.sha256), nil
}

// useKept uses the file that the cache keeps under the URL if what vouches for it now does so for
// that file, or if the server can't be asked.
func (found *Found) useKept(ctx context.Context, s *search) bool {
	o := found.pinned
	digest, before := o.reader.restore(s), s.found
	if digest == "" || !s.away && before.signature == nil && before.from == "" { // it may have changed
		return false
	}
	blob, err := o.reader.cache.FindBlob(digest)
	if err != nil {
		return false
	}
	_, err = s.check(untar.Until(ctx, io.NewSectionReader(blob.File, 0, blob.Have)))
	blob.Close()
	if err == nil {
		err = found.useDigest(s, digest)
	}
	if err != nil {
		found.finder.warn("", "the file in the cache is not used: ", err, "")
		s.found, s.refusal = before, err
		return false
	}
	return found.findBlob()
}

// useDigest takes the digest of the file, which is verified or pinned, and names the image.
func (found *Found) useDigest(s *search, digest image.Digest) error {
	found.pinned.layers[0].Digest = digest
	found.index.signers = s.found.by
	img := &found.Image
	img.Build = string(digest)[len("sha256:"):][:12]
	img.Dist, img.Release = "url", img.Build
	if word, _, ok := strings.Cut(strings.ToLower(s.name), "-"); ok && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") == "" && len(word) > 2 {
		img.Dist = word // as in alpine-minirootfs-3.22.1-x86_64.tar.gz
	}
	o := found.pinned
	return found.finder.checkSeen(found.Layers[0].Name, found.urlSeen(o.name, o.layers[0].Digest, &s.found.by))
}

// bring downloads the file to the disk and verifies it. If its bytes are wrong, it asks other URLs.
func (found *Found) bring(ctx context.Context, s *search, urls []string) (file *os.File, err error) {
	f := found.finder
	if file, err = f.spool(); err != nil {
		return nil, err
	}
	f.tell.Say("Downloading the rootfs")
	s.came = true
	course := fetch.NewCourse(urls)
	for {
		var sources []string
		sources, err = found.bringFrom(ctx, s, file, course.URLs())
		wrong := isUnverified(err)
		if err == nil || ctx.Err() != nil || KindOf(err) == Replayed || !wrong && len(fetch.Failures(err)) == 0 {
			return file, err
		}
		again, last := course.Next(fetch.Attempt{Err: err, Wrong: wrong, Sources: sources})
		if !again {
			return nil, last
		}
		f.warn("retry", "", err, "; starting again")
		if err = empty(file); err != nil {
			return nil, err
		}
	}
}

// empty empties a temporary file, for another attempt.
func empty(file *os.File) error {
	_, err := file.Seek(0, io.SeekStart)
	if err == nil {
		err = file.Truncate(0)
	}
	return err
}

// bringFrom downloads the file from URLs, and returns those that sent bytes.
func (found *Found) bringFrom(ctx context.Context, s *search, file *os.File, urls []string) (sources []string, err error) {
	f := found.finder
	body, err := f.opt.Client.Open(ctx, fetch.Request{URLs: urls, Pinned: true, Max: maxRootfs})
	if err == nil && len(urls) == 1 { // a mirror could invent the size
		if err = hasRoom(file, body.Size); err != nil {
			body.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	progress := f.tell.Begin("Downloading the rootfs", 0, body.Size)
	digest, err := s.check(io.TeeReader(body, io.MultiWriter(file, progress)))
	progress.Close()
	body.Close()
	if err == nil {
		err = found.useDigest(s, digest)
	}
	if err == nil {
		var size int64
		size, err = file.Seek(0, io.SeekCurrent)
		found.recognise(file, size)
	}
	return body.Sources(), err
}

// readURLMeta reads the metadata of the image, if the user names any. At a URL it needs what the
// image needs to be vouched for. A file of this machine needs that only if a signature is required.
func (found *Found) readURLMeta(ctx context.Context) error {
	f, r := found.finder, found.pinned.reader
	raw := f.opt.File.Metadata
	found.Meta = lxc.DefaultMeta(f.opt.File.Arch)
	if raw == "" {
		return nil
	}
	local := !strings.Contains(raw, "://")
	if local {
		path, err := filepath.Abs(raw)
		if err != nil {
			return err
		}
		raw = (&url.URL{Scheme: "file", Path: path}).String()
	}
	s, err := f.newSearch(raw)
	switch {
	case err != nil:
	case !local:
		err = found.search(ctx, s)
	case f.opt.File.RequireSignature:
		s.dir = "" // it may be anywhere
		s.found.signature, err = f.signatureBeside(f.opt.File.Metadata)
	}
	if err != nil {
		return err
	}
	var tarball []byte
	if s.away {
		tarball = r.cached(r.restore(s), maxMeta)
	}
	if tarball == nil {
		f.tell.Say("Downloading the metadata")
		if tarball, err = f.load(ctx, s.head+s.query, maxMeta, false); err != nil {
			return err
		}
	}
	if _, err = s.check(bytes.NewReader(tarball)); err != nil {
		return err
	}
	o := found.pinned
	if !local {
		r.seen = found.urlSeen(s.reference(), sumOf(tarball), &s.found.by)
		if err = f.checkSeen(quote(s.name), r.seen); err != nil {
			return err
		}
	}
	o.manifest = &document{digest: r.add(tarball), mediaType: o.top.mediaType, text: tarball}
	o.top = o.manifest
	if w, ok := o.remote.(*web); ok {
		w.addURLs(o.top.digest, []string{s.head + s.query})
	}
	if !local {
		r.add(s.keep(o.top.digest))
	}
	if err = because("metadata", found.useEither(tarball)); err == nil && found.Incus != nil {
		if in := found.Incus; found.Image.Arch == "" && image.CheckName(in.Arch) == nil {
			found.Image.Arch = in.Arch
		}
		found.Meta = lxc.IncusMeta(found.Image.Arch, found.Incus.Expires)
	}
	if err == nil && !local && !s.away { // metadata of the cache is wanted by the user, or all there is
		err = f.checkExpiry(found)
	}
	return err
}

// urlSeen returns the record of the file at a URL for the history. Signer is "" if there is none to
// keep: nobody signed the file, or the signature has no time.
func (found *Found) urlSeen(reference string, digest image.Digest, by *signers) (s cache.Seen) {
	if len(by.keys) == 0 || by.at.IsZero() || reference == "" || digest == "" {
		return s
	}
	s.Name, s.Signed = found.Image.Name, by.at
	s.Name.Arch = "unknown" // by then it may be known or not
	s.Signer = "url-" + string(sumOf([]byte(reference)))[len("sha256:"):][:32]
	s.Build = string(digest)[len("sha256:"):]
	return s
}

// checkSeen compares a file with the one that its URL had before, and refuses an older one.
func (f *Finder) checkSeen(name string, now cache.Seen) error {
	if now.Signer == "" || f.opt.AllowOlder {
		return nil
	}
	list, err := f.history()
	seen := find(list, now.Signer)
	if err != nil || seen == nil || seen.Build == now.Build || f.trust.clock.isFuture(seen.Signed) || !now.Signed.Before(seen.Signed.Add(-slack)) {
		return err
	}
	return replayed(name + " was signed " + date(now.Signed) + ", and another file of this URL of " + date(seen.Signed) + " was seen before")
}

// fileType is the media type of a root file system in one file.
const fileType = "application/octet-stream"

// cameType is its media type if neither the user nor a list has given a digest: the digest is that
// of the file as it came.
const cameType = fileType + "; came"

// hasRoom returns an error that wraps ENOSPC if there surely is no room for size bytes in the file
// system of a temporary file.
func hasRoom(file *os.File, size int64) error {
	var st unix.Statfs_t
	if file == nil || unix.Fstatfs(int(file.Fd()), &st) != nil || st.Blocks == 0 || st.Bsize <= 0 {
		return nil
	}
	blocks := uint64(max(size, 0)) / uint64(st.Bsize)
	if blocks <= st.Bavail {
		return nil
	}
	text := "there is no room for a copy of the image: it needs " + ByteCount(size) + ", and " + ByteCount(int64(st.Bavail*uint64(st.Bsize))) + " is free"
	return &Error{Text: text, Err: unix.ENOSPC}
}
