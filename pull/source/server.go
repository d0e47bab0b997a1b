package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

// Requests to one image server: its index of images, and the signatures of a build.

// Limits of signed texts and signatures, in bytes.
const (
	maxSums      = pgp.MaxSums // SHA256SUMS: a build has a dozen files
	maxSignature = 64 << 10    // a few signatures of a few kilobytes
)

// indexGrace is how long the request for an index that is not needed may go on.
const indexGrace = time.Second

// An indexName is the file name of an index of images. The cache keeps the index under that
// name, too.
type indexName string

// indexNames returns the names of a mode's indexes, the preferred one first.
func indexNames(mode lxc.Mode) []indexName {
	plain := indexName("index-" + mode)
	return []indexName{plain + indexName("."+strconv.Itoa(lxc.CompatLevel)), plain}
}

// allIndexNames returns the names of the indexes of both modes.
func allIndexNames() []indexName { return append(indexNames(lxc.System), indexNames(lxc.User)...) }

// path returns the index's path below the server's URL.
func (n indexName) path() string { return image.IndexDir + "/" + string(n) }

// parse reads the text of the index.
func (n indexName) parse(text []byte) image.Index { return image.ParseIndex(text) }

// readIndex downloads a server's index of images. It requests the index of this compat level,
// the plain index and its signature at the same time, and uses the plain index if the other does
// not exist: most servers have it alone.
func (f *Finder) readIndex(ctx context.Context, server *server) (*signedIndex, error) {
	f.tell.Say("Downloading the image index")
	names := indexNames(f.opt.Mode)
	plainContext, cancel := context.WithCancel(ctx)
	plain := server.url + "/" + names[1].path()
	f.request(plainContext, fetch.Request{URLs: []string{plain}, Max: image.MaxIndex, Hasty: f.opt.Servers.others()}, false)
	f.requestSignature(ctx, plain+image.SigSuffix)
	index, err := f.readNamedIndex(ctx, server, names[0], true)
	if err != nil && !isUnverified(err) {
		index, err = f.readNamedIndex(ctx, server, names[1], f.opt.Servers.others())
	} else {
		f.early.remove(plain)
		f.early.remove(plain + image.SigSuffix)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	// If the plain index is not needed, its request still ends by itself within this time as a rule,
	// and leaves its connection to later requests.
	time.AfterFunc(indexGrace, cancel)
	for _, p := range index.Problems {
		f.tell.Note(fmt.Sprintf("the index's line %d is passed over: %v", p.Line, p.Err))
	}
	return index, nil
}

// readNamedIndex downloads the index of that name.
func (f *Finder) readNamedIndex(ctx context.Context, server *server, name indexName, hasty bool) (*signedIndex, error) {
	text, sig, by, err := f.signedFile(ctx, server, name.path(), image.MaxIndex, hasty)
	if err != nil {
		return nil, err
	}
	index := &signedIndex{Index: name.parse(text), by: by}
	if sig != nil {
		index.evidence = evidence{string(name): text, string(name) + image.SigSuffix: sig}
	}
	return index, nil
}

// signedFile downloads a small file of a server and the signature beside it, and checks them.
// If the server publishes a new pair between the two requests, the signature is bad; so
// signedFile downloads both again, once, with fewer retries (fetch.Request.Hasty).
func (f *Finder) signedFile(ctx context.Context, server *server, path string, max int64, hasty bool) (data, sig []byte, by signers, err error) {
	url := server.url + "/" + path
	for try := 0; ; try++ {
		hasty = hasty || try > 0
		data, err = f.load(ctx, url, max, hasty)
		if err != nil || f.trust.keys == nil {
			return data, nil, signers{}, err
		}
		sig, err = f.load(ctx, url+image.SigSuffix, maxSignature, hasty)
		if err != nil {
			return nil, nil, signers{}, f.missingSignature(url+image.SigSuffix, err)
		}
		by, err = f.trust.verify(fmt.Sprintf("%q", url), path, data, sig)
		var bad *pgp.BadSignatureError
		if errors.As(err, &bad) && try == 0 {
			f.warn("", "", err, "; downloading the file and its signature again")
			continue
		}
		return data, sig, by, err
	}
}

// load downloads a small file from one server, or takes the answer to a request that was sent
// before.
func (f *Finder) load(ctx context.Context, url string, max int64, hasty bool) ([]byte, error) {
	if data, err, ok := f.early.take(ctx, url); ok {
		return data, err
	}
	data, _, err := f.opt.Client.Load(ctx, fetch.Request{URLs: []string{url}, Max: max, Hasty: hasty})
	return data, err
}

// missingSignature gives the Kind Unverified to the answer that a signature does not exist:
// nothing authenticates the bytes. Other errors stay as they are.
func (f *Finder) missingSignature(url string, err error) error {
	if f.opt.Servers.lacks(err) {
		return unverified("signature", err)
	}
	return err
}

// vouch downloads the evidence for a build and checks it: the signed SHA256SUMS if the server
// has one, else the signature of each file. With the built-in key SHA256SUMS is required:
// the key's owner makes one for each build, and with signatures of single files a mirror
// could mix the files of two builds.
func (f *Finder) vouch(ctx context.Context, found *Found) error {
	found.checks.evidence = evidence{}
	if f.trust.keys == nil {
		return found.renewSeals()
	}
	servers := f.opt.Servers
	server, hasty := servers.current(), servers.others()
	for name, text := range server.index.evidence {
		found.checks.evidence[name] = text
	}
	path := found.Image.Path + "/" + image.SumsFile
	f.requestSignature(ctx, server.url+"/"+path+image.SigSuffix)
	sums, sig, _, err := f.signedFile(ctx, server, path, maxSums, hasty)
	if err == nil {
		found.checks.evidence[image.SumsFile], found.checks.evidence[image.SumsFile+image.SigSuffix] = sums, sig
		return found.renewSeals()
	}
	switch must := f.opt.BuiltInKey; {
	case must && servers.lacks(err):
		return f.unvouched(ctx, found.Image, err)
	case must || !servers.lacksOrRefuses(err):
		return err
	}
	f.requestSignature(ctx, server.url+"/"+found.Image.Path+"/"+image.RootfsFile+image.SigSuffix)
	for _, name := range []string{image.MetaFile, image.RootfsFile} {
		url := server.url + "/" + found.Image.Path + "/" + name + image.SigSuffix
		sig, err := f.load(ctx, url, maxSignature, hasty)
		if err != nil {
			return f.unvouched(ctx, found.Image, f.missingSignature(url, err))
		}
		found.checks.evidence[name+image.SigSuffix] = sig
	}
	return found.renewSeals()
}

// unvouched returns the error for a build whose evidence the server lacks, as err says. It
// asks for the metadata as well: if that is missing too, the build is not there; otherwise
// the build is not signed.
func (f *Finder) unvouched(ctx context.Context, img image.Image, err error) error {
	if !f.opt.Servers.lacks(err) {
		return err
	}
	_, meta := f.load(ctx, f.opt.Servers.current().url+"/"+img.Path+"/"+image.MetaFile, maxMeta, true)
	if meta != nil && f.opt.Servers.lacks(meta) {
		return meta
	}
	if isUnverified(err) {
		return err
	}
	return unverified("signature", err)
}
