package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
)

// A Streams names an image of a simplestreams server, such as those of Incus, LXD and Ubuntu. The
// server is the one of Options.Servers; if that has none, it is the known server of that name.
type Streams struct {
	_                [0]func() // forbids ==, whose code nothing needs
	Name             string    // the short name of a known server, as in "images:"; "": none
	Alias            string    // of the image: "debian/13", "24.04"; "": none, for List
	Arch             []string  // names of the machine's architecture, Debian's first
	Variant          string    // "": the alias says it, else the default one
	Build            string    // the version; "": the newest
	RequireSignature bool
}

// A KnownServer is a simplestreams server with a short name.
type KnownServer struct {
	_           [0]func() // forbids ==, whose code nothing needs
	Name, URL   string
	Fingerprint string // of the key that signs its lists, upper-case hexadecimal digits, or of several keys, with blanks between them; "": they are not signed
	Package     string // Debian's package that has the keys; "": none
	Content     string // begins the content_id of its lists; "": not known
}

const (
	streamsIndex = "streams/v1/index" // with .json or .sjson
	// maxLists is how many lists of images of one server are read. Those in use have one or two.
	maxLists = 16
	// maxAliases is how many bytes of an image's aliases the cache records: a line has at most
	// 1 KiB (cache.Kept).
	maxAliases = 900
)

// streamsType begins the media type of a list of images in the cache's record of an image. The
// aliases of the image follow it, separated by commas.
const streamsType = "simplestreams:"

// unchecked comes before streamsType in the record of an image that nobody vouched for: it was
// made with --no-validate. It counts only in such runs.
const unchecked = "unchecked "

// listBuild is what the history has as the build of a list of images.
const listBuild = "list"

// A listReader reads the signed texts of one simplestreams server: its index, and the lists of
// images that the index names. What it says about a list is about the one that was read last.
type listReader struct {
	_      [0]func() // forbids ==, whose code nothing needs
	finder *Finder
	server *server
	cache  *cache.Cache // gets the list; nil: it is not kept
	added  bool         // the cache did not have it before
	list   *document    // as it came; its text is nil unless keepTexts is set
	sig    []byte       // of the list; nil: it has no signature of its own
	by     signers      // of the list

	content string     // the list's content_id
	seen    image.Name // what the history calls the list
}

// addKnown makes the known server that the user named the only one, if the user named no other.
func (f *Finder) addKnown() error {
	s := f.opt.Streams
	if f.opt.Servers == nil {
		f.opt.Servers = new(Servers)
	}
	if len(f.opt.Servers.servers) > 0 {
		return nil
	}
	known := s.at("")
	if known == nil {
		return failed(NotFound, "there is no known image server "+strconv.Quote(s.Name))
	}
	return f.opt.Servers.Add(known.URL)
}

// streamsServer returns the current server, after trustServer.
func (f *Finder) streamsServer() (*server, error) {
	if err := f.addKnown(); err != nil {
		return nil, err
	}
	server := f.opt.Servers.current()
	if server == nil {
		return nil, f.opt.Servers.worstError()
	}
	return server, f.trustServer(server)
}

// trustServer makes the keys of a server the trusted ones, and refuses a server that nobody
// vouches for.
func (f *Finder) trustServer(server *server) error {
	f.trustKeys(f.opt.keys(server.url))
	name := strconv.Quote(server.url)
	switch {
	case f.trust.keys != nil:
	case f.opt.Streams.RequireSignature:
		return needsKey(name)
	case f.opt.Keys != nil && strings.HasPrefix(server.url, "http:"):
		return unsigned(name, "no key is known that signs its images, and anybody on the network can change what comes over plain http")
	}
	return nil
}

// seenList returns what the history calls a list of a server, which is newer or older than others
// only among those of the same path.
func seenList(server *server, path string) image.Name {
	return image.Name{Dist: "list-" + shortHash(plainURL(server.url)+"\n"+path), Release: "all", Arch: "all", Variant: "all"}
}

// seenImage returns what the history calls an image of a list. The server's URL is not in it: who
// offers an old list elsewhere would not be noticed. Without a Content the lists of several known
// servers, which the same key signs, may have the same content_id.
func (r *listReader) seenImage(name image.Name, key string) image.Name {
	text := r.content + "\n" + key
	if k := r.known(); k != nil && k.Content == "" {
		text = k.Name + "\n" + text
	}
	name.Dist = "streams-" + shortHash(text) + ":" + name.Dist
	return name
}

// shortHash returns the first 16 digits of a text's digest.
func shortHash(text string) string { return string(sumOf([]byte(text)))[len("sha256:"):][:16] }

// known returns the known server whose lists are read, nil if it is another one.
func (r *listReader) known() *KnownServer { return r.finder.opt.Streams.at(r.server.url) }

// checkContent refuses a list that a trusted key signed for another server, or as another list
// than the one that the index names. id is the name there, "" if it is not known.
func (r *listReader) checkContent(p *image.Products, id string) error {
	wanted := id
	r.content = p.ContentID
	switch k := r.known(); {
	case len(r.by.keys) == 0: // a name in it proves nothing
		return nil
	case k != nil && !strings.HasPrefix(p.ContentID, k.Content):
		wanted = k.Content
	case id == "" || id == p.ContentID || p.ContentID == "":
		return nil
	}
	return distrust("a list of "+strconv.Quote(r.server.url), "its content is "+strconv.Quote(p.ContentID)+", not "+strconv.Quote(wanted)+": it is another list")
}

// read reads the index, as lists, or the list of images at path, without its suffix.
func (r *listReader) read(ctx context.Context, path string, lists *[]image.StreamsList) (p *image.Products, err error) {
	f := r.finder
	forms := []string{".json"}
	if f.trust.keys != nil {
		forms = []string{".sjson", ".json.gpg"}
		if k := knownHost(r.server.url); k != nil && k.Package == "" || f.opt.Streams.Name == "images" { // see KnownServers
			forms = []string{".json.gpg", ".sjson"}
		}
	}
	for i, form := range forms {
		var text []byte
		text, err = r.load(ctx, path, form)
		missing := err != nil && f.opt.Servers.lacksOrRefuses(err)
		if err == nil {
			if lists != nil {
				*lists, err = image.ParseStreams(text)
			} else {
				p, err = image.ParseProducts(text)
			}
			if err == nil {
				return p, nil
			}
			missing = true // the list may be cut
			err = &fetch.Error{URL: r.server.url + "/" + path + form, Kind: fetch.KindProtocol, Err: err}
		}
		r.drop()
		if !missing || ctx.Err() != nil {
			return nil, err
		}
		if i+1 < len(forms) {
			f.warn("", "", err, "; trying "+forms[i+1])
		}
	}
	if f.trust.keys != nil && f.opt.Servers.lacksOrRefuses(err) {
		err = unverified("signature", err)
	}
	return nil, err
}

// load downloads a text in one form, and verifies its signature.
func (r *listReader) load(ctx context.Context, path, form string) (text []byte, err error) {
	f, url := r.finder, r.server.url+"/"+path
	hasty := f.opt.Servers.others()
	r.sig, r.by = nil, signers{}
	if form == ".sjson" {
		if text, err = f.load(ctx, url+form, pgp.MaxCleartext, hasty); err != nil {
			return nil, err
		}
		r.keep(ctx, path, text)
		return r.verifyCleartext(url+form, path+form, text)
	}
	f.requestSignature(ctx, url+form)
	for try := 0; ; try++ {
		if text, err = f.load(ctx, url+".json", image.MaxStreams, hasty || try > 0); err != nil {
			return nil, err
		}
		if f.trust.keys != nil {
			if r.sig, err = f.load(ctx, url+form, maxSignature, hasty || try > 0); err != nil {
				return nil, err
			}
			r.by, err = f.trust.verify(strconv.Quote(url+".json"), path+".json", text, r.sig)
			var bad *pgp.BadSignatureError
			if errors.As(err, &bad) && try == 0 { // the server may have published a new pair meanwhile
				f.warn("", "", err, "; downloading the file and its signature again")
				continue
			}
		}
		if err == nil {
			r.keep(ctx, path, text)
		}
		return text, err
	}
}

// verifyCleartext returns the signed text of a cleartext signed message, whose memory it uses.
func (r *listReader) verifyCleartext(name, path string, message []byte) ([]byte, error) {
	f := r.finder
	text, result, err := pgp.VerifyCleartext(f.trust.keys, message, f.trust.clock.Policy())
	if err == nil {
		err = checkPath(result, path)
	}
	if err != nil {
		return nil, unverified(strconv.Quote(name), err)
	}
	r.by = newest(result)
	f.trust.clock.learn(r.by.at)
	return text, nil
}

// keep keeps a list as it came, before its text is verified: the verification changes a cleartext
// signed message. If the list is of no use, drop removes it again.
func (r *listReader) keep(ctx context.Context, path string, text []byte) {
	r.list, r.added = nil, false
	if path == streamsIndex || r.finder.opt.Streams.Alias == "" {
		return
	}
	r.list = &document{digest: sumOf(text), text: text}
	if r.cache != nil {
		blob, err := r.cache.FindBlob(r.list.digest)
		if r.added = err != nil; err == nil {
			blob.Close()
		}
		if err = keepText(ctx, r.cache, r.list); err != nil {
			r.finder.warn("cache-problem", "going on without writing to the cache: ", err, "")
			r.cache = nil
		}
	}
	if r.list.text = nil; r.finder.keepTexts {
		r.list.text = bytes.Clone(text)
	}
}

// drop removes the list that was read last from the cache, if this run has added it and no image
// needs it: another run may have recorded one meanwhile.
func (r *listReader) drop() {
	if r.cache != nil && r.added {
		r.cache.Drop(cache.Info{Blob: r.list.digest, Proven: true}) // what stays is for "cache gc"
	}
	r.added = false
}

// each calls use with each list of images of a server, until it returns true. A list that was
// signed before an earlier one of that path is refused.
func (r *listReader) each(ctx context.Context, use func(p *image.Products) (done bool)) error {
	var lists []image.StreamsList
	if _, err := r.read(ctx, streamsIndex, &lists); err != nil {
		return err
	}
	for i := range lists {
		if i == maxLists {
			return failed(NotFound, strconv.Quote(r.server.url)+" has more than "+strconv.Itoa(maxLists)+" lists of images")
		}
		// The index of a signed tree may name the signed files.
		path := strings.TrimSuffix(strings.TrimSuffix(lists[i].Path, ".json"), ".sjson")
		r.seen = seenList(r.server, path)
		p, err := r.read(ctx, path, nil)
		if err != nil {
			return err
		}
		if err = r.checkContent(p, lists[i].ID); err == nil {
			err = r.finder.checkRecord(&image.Image{Name: r.seen, Build: listBuild}, r.seen, &r.by, false)
		}
		if err != nil {
			r.drop()
			return err
		}
		if use(p) {
			return ctx.Err()
		}
		r.drop()
	}
	return nil
}

// listStreams is Finder.List for a simplestreams server.
func (f *Finder) listStreams(ctx context.Context) (index image.Index, err error) {
	for {
		server, err := f.streamsServer()
		if err == nil {
			f.tell.Say("Downloading the image index")
			index = image.Index{}
			r := &listReader{finder: f, server: server}
			err = r.each(ctx, func(p *image.Products) bool {
				list := p.List()
				index.Images = append(index.Images, list.Images...)
				index.Problems = append(index.Problems, list.Problems...)
				return false
			})
			if err == nil {
				f.saySigners(server.url, r.by.keys)
				return index, nil
			}
		}
		if server == nil {
			return index, err
		}
		if err := f.nextServer(ctx, err); err != nil {
			return index, err
		}
	}
}

// tellKeys tells the user which keys have signed.
func (f *Finder) tellKeys(keys []string) {
	for _, by := range keys {
		f.tell.Tell("signed by the key " + by[:min(len(by), 16)])
	}
}

// saySigners tells the user who vouches for the lists of a server.
func (f *Finder) saySigners(url string, keys []string) {
	f.tellKeys(keys)
	if len(keys) > 0 || f.opt.Keys == nil {
		return
	}
	_, host, _ := strings.Cut(url, "://")
	host, _, _ = strings.Cut(host, "/")
	if host == "" {
		f.tell.Tell("not signed: trusting the files of " + strconv.Quote(url))
		return
	}
	f.tell.Tell("not signed: trusting the certificate of " + strconv.Quote(host))
}

// streamsOnServer finds the image of Options.Streams on the first server that has it.
func (f *Finder) streamsOnServer(ctx context.Context) (*Found, error) {
	for {
		server, err := f.streamsServer()
		if err == nil {
			var found *Found
			if found, err = f.streamsFrom(ctx, server); err == nil {
				return found, nil
			}
		}
		if server == nil {
			return nil, err
		}
		if err := f.nextServer(ctx, err); err != nil {
			return nil, err
		}
	}
}

// streamsFrom finds the image on one server.
func (f *Finder) streamsFrom(ctx context.Context, server *server) (_ *Found, err error) {
	f.tell.Say("Downloading the image index")
	found := f.newStreamsFound()
	r := &listReader{finder: f, server: server}
	defer func() {
		if err != nil {
			r.drop()
			found.Close()
		}
	}()
	if !f.opt.Use.ReadOnly {
		r.cache = f.opt.Cache
	}
	var img *image.StreamsImage
	var missing error
	err = r.each(ctx, func(p *image.Products) bool {
		img, missing = p.Find(f.opt.Streams.query())
		return missing == nil
	})
	if err == nil && img == nil {
		if err = missing; err == nil {
			err = failed(NotFound, strconv.Quote(server.url)+" has no list of images")
		}
	}
	if err != nil {
		return nil, err
	}
	found.index.downloaded = true
	found.pinned.at.noCache = r.cache == nil && f.opt.Cache != nil && !f.opt.Use.ReadOnly
	f.tell.Note(fmt.Sprintf("image %s, build %s", img.Name, img.Build))
	if err := found.useStreamsImage(img, r); err != nil {
		return nil, err
	}
	if f.opt.Streams.Build == "" { // else the user wants that build, even if it is older
		if err := f.checkRecord(&found.Image, found.index.seen, &r.by, false); err != nil {
			return nil, err
		}
	}
	if found.Cached = !f.distrustCache && found.pinned.inCache(); found.Cached {
		f.tell.Say("The cache is already up to date")
		f.sayCached(found)
	} else {
		found.announce = func() { f.saySigners(server.url, found.pinned.signers) }
	}
	if err := found.readIncus(ctx); err != nil {
		return nil, err
	}
	if err := f.checkFresh(found); err != nil {
		return nil, err
	}
	return found, nil
}

// query returns the query for a list of images.
func (s *Streams) query() image.StreamsQuery {
	return image.StreamsQuery{Alias: s.Alias, Arch: s.Arch, Variant: s.Variant, Build: s.Build}
}

// newStreamsFound returns a Found whose reader uses the cache.
func (f *Finder) newStreamsFound() *Found {
	r := &imageReader{cache: f.opt.Cache, fresh: f.distrustCache}
	w := f.newWeb()
	r.store = w
	found := &Found{finder: f, pinned: &pinnedImage{reader: r, remote: w}}
	found.query.Build = f.opt.Streams.Build
	if r.cache != nil && !f.opt.Use.ReadOnly {
		r.run = r.cache.Join()
	}
	return found
}

// reference returns the complete name of an image of the server.
func (r *listReader) reference(img *image.StreamsImage) string {
	known, key := r.known(), img.Key
	if known == nil {
		return r.server.url + " " + key
	}
	if len(img.Aliases) > 0 {
		key = img.Aliases[0]
	}
	return known.Name + ":" + key
}

// useStreamsImage makes found the image that a list has.
func (found *Found) useStreamsImage(img *image.StreamsImage, r *listReader) error {
	f, o := found.finder, found.pinned
	found.Image = img.Image
	for _, part := range []*string{&found.Image.Dist, &found.Image.Release, &found.Image.Arch, &found.Image.Variant, &found.Image.Build, &found.Image.Path} {
		*part = strings.Clone(*part) // it is a part of the list, whose memory is needed no more
	}
	found.Image.Reference = r.reference(img)
	found.index.server, found.index.seen, found.index.list = r.server.url, r.seenImage(found.Image.Name, img.Key), r.seen
	o.name = found.Image.Reference
	o.signers, found.index.signers = r.by.keys, r.by
	o.sure = len(r.by.keys) > 0 || !strings.HasPrefix(r.server.url, "http:")
	aliases := f.opt.Streams.Alias // which may have the architecture, or another release's name
	for _, alias := range img.Aliases {
		if alias != f.opt.Streams.Alias && len(aliases)+len(alias) < maxAliases {
			aliases += "," + alias
		}
	}
	kind := streamsType
	if f.opt.Keys == nil {
		kind = unchecked + streamsType
	}
	o.top = &document{r.list.digest, kind + aliases, r.list.text}
	o.reader.texts = append(o.reader.texts, o.top)
	if r.sig != nil {
		o.reader.texts = append(o.reader.texts, &document{digest: sumOf(r.sig), text: r.sig})
	}
	meta, root := chooseFiles(img.Files)
	if root == nil {
		return failed(Unusable, o.name+" has no root file system that this program reads")
	}
	web := o.remote.(*web)
	for _, file := range []*image.StreamsFile{meta, root} {
		if file == nil {
			continue
		}
		urls := f.opt.Servers.files(file.Path)
		for _, u := range urls {
			web.plain = web.plain || !f.opt.Servers.safe(u)
		}
		web.addURLs(file.SHA256, urls)
	}
	found.Layers = make([]Layer, 1)
	layer := &found.Layers[0]
	layer.Name = strings.Clone(root.Path[strings.LastIndexByte(root.Path, '/')+1:])
	layer.Packed, layer.Content, layer.Squashfs = root.Size, -1, root.Type == squashfsType
	o.layers = make([]image.Descriptor, 1)
	o.layers[0].Digest, o.layers[0].Size = root.SHA256, root.Size
	o.manifest = &document{digest: root.SHA256}
	switch {
	case meta == nil:
		layer.Inside = "rootfs"
	case layer.Squashfs:
		o.combined = meta.CombinedSquashfs
	case meta.CombinedRootXZ != "":
		o.combined = meta.CombinedRootXZ
	default:
		o.combined = meta.Combined
	}
	if meta != nil {
		o.manifest.digest = meta.SHA256
	}
	if root.Size > maxRootfs {
		return unusable(tooLarge("the image", root.Size, maxRootfs))
	}
	o.limitCache(f)
	return nil
}

// squashfsType is the type of a root file system in a squashfs image.
const squashfsType = "squashfs"

// chooseFiles returns the metadata and the root file system of an image. For an image in one file
// meta is nil. A tar archive is unpacked while it is downloaded, so it is preferred.
func chooseFiles(files []image.StreamsFile) (meta, root *image.StreamsFile) {
	meta = fileOf(files, "incus.tar.xz", "lxd.tar.xz") // the same file, under its old name
	root = fileOf(files, "root.tar.xz", squashfsType)
	if meta != nil && root != nil {
		return meta, root
	}
	return nil, fileOf(files, "incus_combined.tar.gz", "lxd_combined.tar.gz")
}

// fileOf returns the file of a type, or else that of another type, nil if there is neither.
func fileOf(files []image.StreamsFile, kind, other string) (found *image.StreamsFile) {
	for i := range files {
		if files[i].Type == kind {
			return &files[i]
		}
		if files[i].Type == other && found == nil {
			found = &files[i]
		}
	}
	return found
}

// readIncus reads the metadata of the image, as Incus and Meta. That of an image in one file is
// read only once the file is on the disk.
func (found *Found) readIncus(ctx context.Context) error {
	f, o := found.finder, found.pinned
	var texts map[string][]byte
	var err error
	switch {
	case o.manifest.digest != o.layers[0].Digest:
		if o.reader.cached(o.manifest.digest, maxMeta) == nil {
			f.tell.Say("Downloading the metadata")
		}
		if o.manifest.text, _, err = o.reader.get(ctx, "blobs/"+string(o.manifest.digest), maxMeta); err != nil {
			return err
		}
		texts, err = f.readTexts(o.manifest.text)
	case f.opt.Use.ReadOnly && !found.Cached:
		f.tell.Note("the metadata is in the same file as the root file system, and not known yet")
		found.Meta = lxc.DefaultMeta(found.Image.Arch)
		return nil
	default:
		if texts, err = found.readUnified(ctx); err != nil {
			return err
		}
	}
	if err == nil {
		err = found.useIncus(texts)
	}
	if err != nil {
		return because("the metadata", err)
	}
	found.Meta = lxc.IncusMeta(found.Image.Arch, found.Incus.Expires)
	return nil
}

// readUnified gets the file of the image, and returns the texts of its metadata.
func (found *Found) readUnified(ctx context.Context) (map[string][]byte, error) {
	f := found.finder
	if !found.Cached {
		if f.spool == nil {
			return nil, failed(Unusable, "the image is one file with its metadata, which needs a temporary file or the cache")
		}
		f.tell.Say(found.Arriving())
		for {
			err := found.gather(ctx)
			if err == nil {
				break
			}
			found.Forget(err)
			if _, err = f.nextPinned(ctx, found, err); err != nil {
				return nil, err
			}
		}
	}
	stream, err := found.Open(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	plain, err := f.decompress(stream)
	if err != nil {
		return nil, because(stream.Name(), err)
	}
	l := looking{all: true, must: true, texts: map[string][]byte{}, room: maxMetaTotal}
	err = untar.Options{}.Walk(untar.Until(ctx, plain), l.member)
	plain.Close()
	if err == nil || errors.Is(err, errLooked) {
		err = l.err
	}
	if err == nil {
		_, err = io.Copy(io.Discard, stream)
	}
	if err == nil {
		err = stream.Check()
	}
	return l.texts, because(stream.Name(), err)
}

// gather is Gather with the usual progress.
func (found *Found) gather(ctx context.Context) error {
	f := found.finder
	return found.Gather(ctx, f.spool, func(_ int, s *Stream) io.WriteCloser {
		return f.tell.Begin(found.Arriving(), s.Kept, s.Size)
	})
}

// keptStreams returns the cache's record of the image of Options.Streams on a server, nil if there
// is none. An alias may have moved to another image since, so the newest record with it counts.
func (f *Finder) keptStreams(server *server) (kept *cache.Kept) {
	s := f.opt.Streams
	if f.opt.Cache == nil {
		return nil
	}
	begin := server.url + " "
	if k := s.at(server.url); k != nil {
		begin = k.Name + ":"
	}
	list, _ := f.opt.Cache.List()
	for i := range list {
		k := list[i].Kept
		if k == nil || s.Variant != "" && s.Variant != k.Name.Variant {
			continue
		}
		if !slices.Contains(s.Arch, k.Name.Arch) && !strings.Contains(s.Alias+"/", "/"+k.Name.Arch+"/") {
			continue
		}
		key, ok1 := strings.CutPrefix(k.Reference, begin)
		aliases, ok2 := strings.CutPrefix(strings.TrimPrefix(k.MediaType, unchecked), streamsType)
		if ok1 && ok2 && (key == s.Alias || slices.Contains(strings.Split(aliases, ","), s.Alias)) && (kept == nil || k.Time.After(kept.Time)) {
			kept = k
		}
	}
	return kept
}

// streamsInCache is Finder.inCache for a simplestreams server: it looks for the image of each
// server in turn, which counts only as far as that server is trusted.
func (f *Finder) streamsInCache(ctx context.Context) (*Found, error) {
	if f.addKnown() != nil {
		return nil, nil // onServer returns the error
	}
	var why error
	for _, server := range f.opt.Servers.servers {
		kept := f.keptStreams(server)
		if kept == nil || f.trustServer(server) != nil {
			continue
		}
		// A bundle needs a signature anyway (findKept).
		if f.opt.Keys != nil && f.opt.Cache.HeldKept == nil && strings.HasPrefix(kept.MediaType, unchecked) {
			continue
		}
		found, err := f.fromKept(ctx, server, kept)
		if found != nil {
			return found, nil
		}
		if why == nil {
			why = err
		}
	}
	return nil, why
}

// fromKept returns the image that the cache has recorded for a server, nil if the record does not
// have what Options.Streams wants.
func (f *Finder) fromKept(ctx context.Context, server *server, kept *cache.Kept) (_ *Found, err error) {
	found := f.newStreamsFound()
	o := found.pinned
	o.reader.kept = kept
	ok := false
	defer func() {
		if !ok {
			found.Close()
		}
	}()
	r := &listReader{finder: f, server: server}
	text, err := r.loadKept(o.reader)
	if err != nil {
		return nil, err
	}
	p, err := image.ParseProducts(text)
	if err == nil {
		err = r.checkContent(p, "")
	}
	if err != nil {
		return nil, err
	}
	img, err := p.Find(f.opt.Streams.query())
	if err != nil {
		return nil, nil // another build is kept
	}
	if err := found.useStreamsImage(img, r); err != nil {
		return nil, err
	}
	if o.manifest.digest != kept.Manifest || !o.inCache() {
		return nil, nil
	}
	blob, err := o.reader.cache.FindBlob(o.manifest.digest)
	if err != nil {
		return nil, nil // its metadata was removed
	}
	blob.Close()
	if f.opt.Streams.Build == "" {
		if err := f.checkRecord(&found.Image, found.index.seen, &r.by, true); err != nil {
			return nil, err
		}
	}
	found.Cached = true
	if err := found.readIncus(ctx); err != nil {
		return nil, err
	}
	ok = true
	return found, nil
}

// loadKept returns the text of the list that the cache keeps with an image, after verifying its
// signature again.
func (r *listReader) loadKept(from *imageReader) (text []byte, err error) {
	f, kept := r.finder, from.kept
	if text = from.cached(kept.Top, pgp.MaxCleartext); text == nil {
		return nil, errors.New("its list of images is not kept with it")
	}
	r.list = &document{digest: kept.Top}
	if f.keepTexts {
		r.list.text = bytes.Clone(text)
	}
	const name = "the kept list of images"
	if bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		if f.trust.keys == nil {
			return nil, errors.New("no key is known that signed its list of images")
		}
		return r.verifyCleartext(name, "", text)
	}
	if f.trust.keys == nil {
		return text, nil
	}
	err = errors.New("no signature of its list of images is kept with it")
	for _, d := range kept.Blobs {
		if d == kept.Top || d == kept.Manifest {
			continue
		}
		sig := from.cached(d, maxSignature)
		if sig == nil {
			continue
		}
		if r.by, err = f.trust.verify(name, "", text, sig); err == nil {
			r.sig = sig
			return text, nil
		}
	}
	return nil, err
}
