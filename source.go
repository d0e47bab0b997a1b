package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
)

// prepare makes the client and reads the keys.
func (c *creation) prepare() error {
	if c.client != nil {
		return nil
	}
	opt := &c.opt
	var err error
	if c.servers, err = newServers(opt); err != nil {
		return err
	}
	if err := c.prepareTrust(); err != nil {
		return err
	}
	agent := "lxc-pull/" + version() + " compat:" + strconv.Itoa(lxc.CompatLevel)
	notes := &retryNotes{ui: c.ui, also: c.servers.failed}
	c.client, err = opt.network.client(agent, c.servers.urls(), c.trust.clock, c.trust.ring != nil, notes)
	return err
}

// prepareTrust reads the keys and the clock, which is all that the cache alone
// needs.
func (c *creation) prepareTrust() (err error) {
	if c.trust.ring, err = c.keyring(); err != nil {
		return err
	}
	c.trust.clock = newClock(c.opt.network.time)
	c.recallTime()
	c.trust.clock.warn(c.ui)
	return nil
}

// recallTime lets a clock that is behind go by what was seen signed before, by
// the keys that count in this run: another server's move nothing.
func (c *creation) recallTime() {
	if c.trust.ring == nil {
		return
	}
	signers := c.trust.ring.Fingerprints()
	for _, h := range c.histories() {
		list, _ := h.LoadSeen() // checkNotOlder reports what is wrong with it
		for _, seen := range list {
			if slices.Contains(signers, seen.Signer) {
				c.trust.clock.learn(seen.Signed)
			}
		}
	}
}

// keyring returns the keys that may vouch for the server's images: those of
// --keyring, else the built-in one; --keyid selects among them. nil means that
// nothing is checked.
func (c *creation) keyring() (*pgp.Keyring, error) {
	opt := &c.opt
	if opt.keyserver {
		c.ui.warnf("--keyserver is ignored: keys are built in or given with --keyring, never fetched")
	}
	if opt.noValidate {
		c.ui.warnf("--no-validate: nothing is checked; whoever controls the server or the way to it controls the container")
		return nil, nil
	}
	ring, err := readTrusted(opt.keyrings, nil)
	var path *fs.PathError
	if errors.As(err, &path) {
		return nil, fmt.Errorf("--keyring %q: %w", path.Path, path.Err)
	}
	if err != nil || len(opt.keyids) == 0 {
		return ring, err
	}
	if ring, err = ring.Select(opt.keyids); err != nil {
		return nil, usageErrorf("--keyid: %v", err)
	}
	return ring, nil
}

// readFileLimit reads a file of at most max bytes.
func readFileLimit(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimit(f, max)
}

// readLimit reads an open file of at most max bytes.
func readLimit(f *os.File, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%q is larger than %d bytes", f.Name(), max)
	}
	return data, err
}

// fetchIndex brings the list of the first server that has one.
func (c *creation) fetchIndex(ctx context.Context) (image.Index, error) {
	if err := untilDone(ctx, c.prepare); err != nil {
		return image.Index{}, err
	}
	for {
		server := c.servers.current()
		if server == nil {
			return image.Index{}, c.servers.verdict()
		}
		if server.index != nil {
			return *server.index, nil
		}
		index, made, proof, err := c.readIndex(ctx, server)
		if err == nil {
			server.index, server.made, server.proof = &index, made, proof
			continue
		}
		if err := c.nextServer(ctx, err); err != nil {
			return image.Index{}, err
		}
	}
}

// nextServer gives up the current server after err, if the next one may do
// better; otherwise the error to end with comes back.
func (c *creation) nextServer(ctx context.Context, err error) error {
	switch exitStatus(err) {
	case exitNetwork, exitNoImage, exitUnverified:
	default:
		// A file URL's tree that is not there is one that is down.
		if len(fetch.Failures(err)) == 0 {
			return err
		}
	}
	if ctx.Err() != nil {
		return err
	}
	next := c.servers.giveUp(err)
	if next == nil {
		return c.servers.verdict()
	}
	c.ui.warnf("%s; asking %q", printable(err.Error()), next.url)
	return nil
}

// readIndex brings a server's list. The one of this compat level and the plain
// one are asked for at the same time; the first wins where it exists.
//
// The list itself and its signature come back too, as evidence for the cache.
func (c *creation) readIndex(ctx context.Context, server *server) (image.Index, signature, evidence, error) {
	c.ui.say("Downloading the image index")
	names := indexNames(c.mode)
	type answer struct {
		text  []byte
		made  signature
		proof evidence
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel() // first: the one that is not waited for ends
	ask := func(name string, hasty bool) chan answer {
		got := make(chan answer, 1)
		asking.Go(func() {
			text, sig, made, err := c.signedFile(ctx, server, indexFolder+name, image.MaxIndex, hasty)
			a := answer{text, made, nil, err}
			if sig != nil {
				a.proof = evidence{name: text, name + sigSuffix: sig}
			}
			got <- a
		})
		return got
	}
	first, second := ask(names[0], true), ask(names[1], c.servers.others())
	got := <-first
	var bad *unverifiedError
	if got.err != nil && !errors.As(got.err, &bad) {
		got = <-second
	}
	if got.err != nil {
		return image.Index{}, signature{}, nil, got.err
	}
	index := image.ParseIndex(got.text)
	for _, p := range index.Problems {
		c.ui.notef("the index's line %d is passed over: %s", p.Line, printable(p.Err.Error()))
	}
	return index, got.made, got.proof, nil
}

// indexFolder is where a server has its lists.
const indexFolder = "meta/1.0/"

// indexNames are the names of a mode's lists, the one to prefer first.
func indexNames(mode lxc.Mode) []string {
	plain := "index-" + string(mode)
	return []string{plain + "." + strconv.Itoa(lxc.CompatLevel), plain}
}

// signedFile brings a small file of a server's and its signature, which lies
// beside it, and checks them. A server that publishes between the two requests
// gives files of different moments: they are fetched again, once, as a pair, and
// with less patience.
func (c *creation) signedFile(ctx context.Context, server *server, path string, max int64, hasty bool) (data, sig []byte, made signature, err error) {
	url := server.url + "/" + path
	for try := 0; ; try++ {
		data, _, err = c.client.Load(ctx, fetch.Request{URLs: []string{url}, Max: max, Hasty: hasty || try > 0})
		if err != nil || c.trust.ring == nil {
			return data, nil, signature{}, err
		}
		sig, _, err = c.client.Load(ctx, fetch.Request{URLs: []string{url + sigSuffix}, Max: maxSignature, Hasty: hasty || try > 0})
		if err != nil {
			return nil, nil, signature{}, c.missingSignature(url+sigSuffix, err)
		}
		made, err = c.trust.signed(fmt.Sprintf("%q", url), path, data, sig)
		var bad *pgp.BadSignatureError
		if errors.As(err, &bad) && try == 0 {
			c.ui.notef("%s; fetching it and its signature again", printable(err.Error()))
			continue
		}
		return data, sig, made, err
	}
}

// missingSignature makes a server's "no such file" for a signature what it is:
// bytes that nobody vouches for. Other failures stay the network's.
func (c *creation) missingSignature(url string, err error) error {
	if c.servers.lacks(err) {
		return &unverifiedError{"signature", err}
	}
	return err
}

// A source is an image that is found and vouched for: its metadata is here,
// its root file system is ready to be streamed.
type source struct {
	image  image.Image
	made   signature // of the index, where it was asked for
	listed time.Time // when the index was signed, also where it came out of the cache

	files    []untar.File // of the metadata, in the tarball's order
	meta     lxc.Meta
	creates  bool // its config has LXC make targets of mounts below dev
	evidence evidence
	metaSeal *seal
	seal     *seal // of the rootfs

	course *fetch.Course // of the rootfs's URLs; nil: not asked for yet
	body   *fetch.Body   // the rootfs as it comes; nil: not from a server
	had    int64         // bytes of it that an earlier run left

	cached bool         // the bytes come out of the cache
	entry  *fetch.Entry // that they come from; nil: the server
	slot   *fetch.Slot  // the image's place in the cache, locked; nil: none
	stage  *fetch.Stage // the entry in the making; nil: none

	measured bool  // checkRoom has been
	packed   int64 // bytes of the rootfs; 0: not known before it comes
}

// close lets go of what s holds in the cache. A download that was broken off
// stays there for the next run to go on with.
func (s *source) close() {
	if s.stage != nil {
		s.stage.Close()
		s.stage = nil
	}
	if s.entry != nil {
		s.entry.Close()
		s.entry = nil
	}
	if s.slot != nil {
		s.slot.Unlock()
		s.slot = nil
	}
}

// leaveCache goes on without writing to the cache.
func (s *source) leaveCache() {
	s.discard()
	s.slot.Unlock()
	s.slot = nil
}

// locate finds the image: in the cache while it is fresh, else on the server.
func (c *creation) locate(ctx context.Context) (*source, error) {
	if c.openCache(); c.cache != nil {
		var err error
		if c.limit, err = c.opt.cacheLimit(); err != nil {
			return nil, err
		}
		if c.opt.flushCache {
			if err := c.flush(ctx); err != nil {
				return nil, err
			}
		}
	}
	kept, unfit := c.fromCache()
	c.unfit = unfit != nil
	switch {
	case unfit != nil:
		// Made by the stock template, which keeps no evidence, or by an older
		// version, which kept no list; or damaged. The server says whether it is
		// still good.
		c.ui.notef("the cached copy can't be used as it is: %s", printable(unfit.Error()))
	case kept == nil:
	case c.opt.forceCache, !kept.expired(c) && !c.opt.refresh:
		c.sayKept(kept)
		return kept, nil
	case kept.expired(c):
		c.ui.say("The cached copy has expired, re-downloading...")
	}
	s, err := c.locateOnServer(ctx)
	switch {
	case offline(err) && unfit != nil:
		return nil, &unverifiedError{"the cached copy can't be used offline", errors.Join(unfit, err)}
	case offline(err) && kept != nil:
		c.ui.warnf("%s", printable(err.Error()))
		if kept.expired(c) {
			c.ui.warnf("the server can't be reached; using the cached copy, although it has expired")
		} else {
			c.ui.warnf("the server can't be reached; using the cached copy")
		}
		c.sayKept(kept)
		return kept, nil
	}
	if kept != nil {
		kept.close()
	}
	return s, err
}

// openCache says where the cache is.
func (c *creation) openCache() {
	if c.opt.noCache {
		return
	}
	base := c.cacheBase()
	if base == "" {
		c.ui.warnf("no HOME and no LXC_CACHE_PATH: going on without a cache")
		return
	}
	if forgets(base) {
		c.ui.notef("%q is in memory: going on without a cache; LXC_CACHE_PATH names another place", base)
		return
	}
	if info, err := os.Stat(base); err == nil && !info.IsDir() {
		c.ui.warnf("going on without writing to the cache: %q is no folder", base)
		return
	}
	c.cache = c.cacheAt(base)
	c.cache.Waiting = func(holder string) {
		if holder != "" {
			holder = " (" + holder + ")"
		}
		c.ui.say("Waiting for another creation of the same image" + holder)
	}
}

// cacheAt is the cache in a folder.
func (c *creation) cacheAt(base string) *fetch.Cache {
	return &fetch.Cache{Base: base, Above: hostPlaces().above(), Chown: c.uid >= 0 || c.gid >= 0, UID: c.uid, GID: c.gid, Evidence: evidenceNames()}
}

// evidenceNames are the names of all files that an entry's evidence may have.
func evidenceNames() []string {
	names := slices.Concat([]string{rootfsFile, metaFile, sumsFile}, indexNames(lxc.System), indexNames(lxc.User))
	for _, name := range names {
		names = append(names, name+sigSuffix)
	}
	return names
}

// flush removes the image from the cache. What can't be removed is not used.
func (c *creation) flush(ctx context.Context) error {
	for _, key := range c.keys() {
		entry, err := c.cache.Open(key)
		if err != nil {
			continue
		}
		entry.Close()
		c.ui.say("Flushing the cache...")
		if err := c.cache.Remove(ctx, key); ctx.Err() != nil {
			return err
		} else if err != nil {
			c.ui.warnf("the cached copy can't be removed, and is not used: %s", printable(err.Error()))
			c.distrustCache = true
		}
	}
	return nil
}

// keys are the places where the cache may have the image: an entry bears the
// names of the index, which may spell the architecture otherwise than asked.
func (c *creation) keys() []fetch.Key {
	var keys []fetch.Key
	for _, arch := range cross.Spellings(c.opt.arch) {
		keys = append(keys, fetch.Key{Dist: c.opt.dist, Release: c.opt.release, Arch: arch, Variant: c.opt.variant})
	}
	return keys
}

// fromCache makes a source of the cached copy, without a request; nil where
// there is none. An error says why it may not be used as it is.
func (c *creation) fromCache() (*source, error) {
	if c.cache == nil || c.distrustCache {
		return nil, nil
	}
	for _, key := range c.keys() {
		entry, err := c.cache.Open(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := c.fromEntry(key, entry)
		if err != nil {
			entry.Close()
			return nil, err
		}
		return s, nil
	}
	return nil, nil
}

// takePlace locks the image's place in the cache, so that of creations at the
// same time one downloads and the others use its copy, and opens the entry that
// is there (nil: none). Where the cache can't be written the run goes on.
func (c *creation) takePlace(ctx context.Context, s *source) error {
	if c.cache == nil {
		return nil
	}
	key := keyOf(s.image)
	slot, err := c.cache.Lock(ctx, key)
	var unwritable *fetch.UnwritableError
	if errors.As(err, &unwritable) {
		c.ui.warnf("going on without writing to the cache: %s", printable(err.Error()))
		if s.entry, err = c.cache.Open(key); err != nil {
			s.entry = nil
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.slot = slot
	s.entry, err = slot.Open()
	if err != nil {
		s.entry = nil
		if !errors.Is(err, fs.ErrNotExist) {
			c.ui.warnf("the cached copy can't be read and will be replaced: %s", printable(err.Error()))
		}
	}
	return nil
}

// cacheBase is the stock template's: LXC_CACHE_PATH, else the system's cache,
// or in an ordinary user's namespace the user's. "" where there is none.
func (c *creation) cacheBase() string {
	if base := os.Getenv("LXC_CACHE_PATH"); base != "" {
		return base
	}
	if c.namespace == lxc.UserNamespace || os.Geteuid() != 0 {
		if home := os.Getenv("HOME"); home != "" {
			return filepath.Join(home, ".cache/lxc")
		}
		return ""
	}
	return hostPlaces().systemCache()
}

// forgets reports whether the system's cache is lost when the machine stops, and
// nobody asked for just that place.
func forgets(base string) bool {
	return os.Getenv("LXC_CACHE_PATH") == "" && base == hostPlaces().systemCache() && inMemory(base)
}

// inMemory reports whether a folder, or the nearest above it that is there, is
// in a file system in memory, as /var is on OpenWrt.
func inMemory(dir string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6 // linux/magic.h
	for {
		var st unix.Statfs_t
		switch err := unix.Statfs(dir, &st); {
		case err == nil:
			return uint32(st.Type) == tmpfs || uint32(st.Type) == ramfs
		case dir == "/" || err != unix.ENOENT:
			return false
		}
		dir = filepath.Dir(dir)
	}
}

// fromEntry makes a source of an entry. The error says why its evidence does
// not vouch for it.
func (c *creation) fromEntry(k fetch.Key, entry *fetch.Entry) (*source, error) {
	s := &source{
		image:    image.Image{Dist: k.Dist, Release: k.Release, Arch: k.Arch, Variant: k.Variant, Build: entry.Build},
		evidence: evidence(entry.Evidence), cached: true, entry: entry,
	}
	if c.trust.ring == nil && entry.Evidence[metaFile] == nil {
		// --no-validate, and a copy that the stock template made.
		s.seal = &seal{file: rootfsFile}
		s.meta = lxc.Meta(entry.Files)
		return s, c.checkMeta(s) // the caller looks at the error first
	}
	if c.trust.ring != nil {
		if err := c.listed(s); err != nil {
			return nil, err
		}
	}
	if err := c.seal(s); err != nil {
		return nil, err
	}
	tarball := entry.Evidence[metaFile]
	if tarball == nil {
		return nil, errors.New("it lacks " + metaFile)
	}
	if err := s.metaSeal.checkBytes(tarball); err != nil {
		return nil, err
	}
	return s, c.useMeta(s, tarball)
}

// listed ties an entry to its name and build, which its files and build_id alone
// do not: the signed list that is kept with it must name them, and no newer build
// may have been seen. The image gets its place on the server from there, which
// the signatures of its files may name.
func (c *creation) listed(s *source) error {
	for _, name := range slices.Concat(indexNames(lxc.System), indexNames(lxc.User)) {
		text, sig := s.evidence[name], s.evidence[name+sigSuffix]
		if text == nil || sig == nil {
			continue
		}
		made, err := c.trust.signed(name, indexFolder+name, text, sig)
		if err != nil {
			return err
		}
		for _, img := range image.ParseIndex(text).Images {
			if keyOf(img) == keyOf(s.image) && img.Build == s.image.Build {
				s.image, s.listed = img, made.made
				return c.checkNotOlder(img, made, true)
			}
		}
		return &unverifiedError{name, fmt.Errorf("it does not name build %q of this image", s.image.Build)}
	}
	return errors.New("no signed list is kept with it (the stock template or an older version made it); the next creation fetches one")
}

// open returns the bytes of the root file system and how many there are, -1
// where that is not known.
func (s *source) open(ctx context.Context, c *creation) (io.ReadCloser, int64, error) {
	if s.entry != nil {
		if _, err := s.entry.Rootfs.Seek(0, io.SeekStart); err != nil {
			return nil, 0, err
		}
		return io.NopCloser(s.entry.Rootfs), s.entry.Size, nil
	}
	c.plan(s)
	request := fetch.Request{URLs: s.course.URLs(), Pinned: s.seal.checks(), Max: maxRootfs}
	s.had, s.body = 0, nil
	stage := func() {
		if err := s.beginStage(); err != nil {
			c.ui.warnf("going on without writing to the cache: %s", printable(err.Error()))
		}
	}
	begun := s.slot != nil && s.slot.Begun(s.tag())
	if begun {
		stage()
	}
	if s.stage != nil {
		s.had = s.stage.Have
	}
	request.Offset = s.had
	body, err := c.client.Open(ctx, request)
	if err != nil {
		return nil, 0, err
	}
	if s.slot != nil && !begun {
		stage() // what there is of another build gives way only now
	}
	s.body = body
	if s.had == 0 && s.stage != nil && c.limit > 0 && body.Size > c.limit {
		c.ui.notef("the image is larger than the cache may be: not kept")
		s.discard()
	}
	if s.had == 0 {
		return &download{Reader: newKeeper(body, s, c.ui), body: body}, body.Size, nil
	}
	c.ui.notef("going on after the %s that an earlier run left", byteCount(s.had))
	kept := io.NewSectionReader(s.stage.Rootfs, 0, s.had)
	return &download{Reader: io.MultiReader(kept, newKeeper(body, s, c.ui)), body: body}, body.Size, nil
}

// plan lists where the root file system is to be asked for.
func (c *creation) plan(s *source) {
	if s.course == nil {
		s.course = fetch.NewCourse(c.servers.files(s.image.Path + "/" + rootfsFile))
	}
}

// tag says to the cache which bytes a download will have: the digest where it is
// known, else the build.
func (s *source) tag() string {
	if s.seal.pinned() {
		return fmt.Sprintf("%x", s.seal.want)
	}
	return s.image.Path
}

// beginStage begins a cache entry. Only bytes whose digest is known beforehand
// are worth keeping from one run to the next.
func (s *source) beginStage() error {
	stage, err := s.slot.Stage(s.tag())
	if err != nil {
		return err
	}
	if stage.Have > 0 && !s.seal.pinned() {
		if err := stage.Reset(); err != nil {
			stage.Discard()
			return err
		}
	}
	s.stage = stage
	return nil
}

// A download is a stream of which a part may be on the disk already.
type download struct {
	io.Reader
	body *fetch.Body
}

func (d *download) Close() error { return d.body.Close() }

// A keeper copies what passes to the cache, for as long as that works: a full
// cache is no reason not to make a container.
type keeper struct {
	from io.Reader
	to   *source
	ui   *ui
}

func newKeeper(from io.Reader, to *source, ui *ui) io.Reader {
	if to.stage == nil {
		return from
	}
	return &keeper{from, to, ui}
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.from.Read(p)
	if n > 0 && k.to.stage != nil {
		if _, failed := k.to.stage.Write(p[:n]); failed != nil {
			k.ui.warnf("the cache is given up: %s", printable(failed.Error()))
			k.to.stage.Discard()
			k.to.stage = nil
		}
	}
	return n, err
}

// fstabMode is the mode that the stock template's cp gives the container's
// fstab: the one in the metadata, less the umask.
func (s *source) fstabMode(mode lxc.Mode) fs.FileMode {
	name := s.meta.RelevantName("fstab", mode)
	for _, f := range s.files {
		if f.Name == name {
			return fs.FileMode(f.Mode) & 0o755
		}
	}
	return 0o644
}

// commit makes the download an entry of the cache, or adds to an entry of the
// stock template's the evidence that it was just checked against.
func (s *source) commit(c *creation) {
	if s.entry != nil && s.slot != nil && (c.unfit || s.entry.Evidence == nil) && c.trust.ring != nil {
		if err := s.slot.Adopt(s.evidence); err != nil {
			c.ui.warnf("the evidence for the cached image is not kept: %s", printable(err.Error()))
		}
	}
	if s.stage == nil {
		return
	}
	if !c.makeRoom(s) {
		c.ui.warnf("the image is not kept: the cache may hold %s", byteCount(c.limit))
		s.discard()
		return
	}
	files := map[string]fetch.File{}
	for _, f := range s.files {
		files[f.Name] = fetch.File{Data: f.Data, Mode: fs.FileMode(f.Mode)}
	}
	err := s.stage.Commit(s.image.Build, files, s.evidence)
	s.stage = nil
	if err != nil {
		c.ui.warnf("the image is not kept in the cache: %s", printable(err.Error()))
		return
	}
	c.ui.say("The image cache is now ready")
}

// resumable reports whether, after err, the next run may go on with what is in
// the cache of a download: the network or the user broke it off, and the digest
// that the whole must have is known.
func (s *source) resumable(err error) bool {
	var network *fetch.Error
	return s.seal.pinned() && (errors.As(err, &network) || errors.Is(err, context.Canceled))
}

// discard throws away a download that must not be gone on with.
func (s *source) discard() {
	if s.stage != nil {
		s.stage.Discard()
		s.stage = nil
	}
}

// expired reports whether the image's recommended time of use is over. An
// image without expiry lasts for ever; one whose expiry is no number is
// treated as expired.
func (s *source) expired(c *creation) bool {
	file, ok := s.meta.Relevant("expiry", c.mode)
	if !ok {
		return false
	}
	t, ok := lxc.Expiry(file)
	return !ok || t.Before(c.trust.clock.now())
}

// locateOnServer finds the image on the first server that has it. Where the
// list names a build that is not there, no longer or not yet, the list is read
// again, once, before the next server is asked.
func (c *creation) locateOnServer(ctx context.Context) (*source, error) {
	for {
		index, err := c.fetchIndex(ctx)
		if err != nil {
			return nil, err
		}
		s, err := c.locateIn(ctx, index)
		if err == nil {
			return s, nil
		}
		if err := c.afterFailure(ctx, err); err != nil {
			return nil, err
		}
	}
}

// afterFailure prepares another look for the image after err: with the current
// server's list read again, or on the next server. Otherwise the error to end
// with comes back.
func (c *creation) afterFailure(ctx context.Context, err error) error {
	server := c.servers.current()
	var gone *goneError
	if errors.As(err, &gone) && !server.reread && ctx.Err() == nil {
		c.ui.warnf("%s; reading the list again", printable(err.Error()))
		server.index, server.reread = nil, true
		return nil
	}
	return c.nextServer(ctx, err)
}

// A goneError is a build that the list names and the server does not have.
type goneError struct {
	*image.NotFoundError
	err error // that says so
}

func (e *goneError) Error() string   { return e.NotFoundError.Error() + ": " + e.err.Error() }
func (e *goneError) Unwrap() []error { return []error{e.NotFoundError, e.err} }

// gone makes the current server's answer that a file of the build is not there
// what it means.
func (c *creation) gone(img image.Image, err error) error {
	server := c.servers.current()
	var wrong *unverifiedError
	if server == nil || server.index == nil || errors.As(err, &wrong) || !c.servers.lacks(err) {
		return err
	}
	return &goneError{server.index.Gone(img, c.opt.query()), err}
}

// locateIn finds the image in the current server's list, and takes the bytes
// from the cache where it has the same build.
func (c *creation) locateIn(ctx context.Context, index image.Index) (_ *source, err error) {
	img, err := index.Find(c.opt.query())
	if err != nil {
		return nil, err
	}
	made := c.servers.current().made
	if err := c.checkNotOlder(img, made, false); err != nil {
		return nil, err
	}
	c.ui.notef("image %s, build %s", printable(img.Name()), printable(img.Build))
	s := &source{image: img, made: made, listed: made.made}
	defer func() {
		if err != nil {
			s.close()
			err = c.gone(img, err)
		}
	}()
	if err := c.takePlace(ctx, s); err != nil {
		return nil, err
	}
	if s.entry != nil && (s.entry.Build != img.Build || c.distrustCache) {
		s.entry.Close()
		s.entry = nil
	}
	if err := c.vouch(ctx, s); err != nil {
		return nil, err
	}
	if s.entry != nil {
		c.ui.say("The cache is already up to date")
		c.sayKept(s)
		s.cached = true
	}
	if err := c.readMeta(ctx, s); err != nil {
		return nil, err
	}
	if err := c.checkFresh(s); err != nil {
		return nil, err
	}
	return s, nil
}

// otherwise says how to go on after the rootfs of s failed with err: with the
// server in place of a damaged cache, with other servers' bytes, with another
// build, or, returning an error, not at all.
func (c *creation) otherwise(ctx context.Context, s *source, err error) (*source, error) {
	var wrong *unverifiedError
	bad := errors.As(err, &wrong)
	switch {
	case ctx.Err() != nil:
		return nil, err
	case s.cached && bad:
		// The cache is at fault, not the image: take it from the server.
		c.ui.warnf("the cached copy is damaged (%v); downloading it anew", err)
		s.close()
		c.distrustCache = true
		return c.locateOnServer(ctx)
	case s.course == nil || !bad && len(fetch.Failures(err)) == 0:
		return nil, err
	}
	var sources []string
	if s.body != nil {
		sources = s.body.Sources()
	}
	if bad && s.had == 0 {
		c.servers.wrong(sources)
	}
	again, final := s.course.Next(err, bad, s.had, sources)
	if again {
		c.ui.warnf("%s; starting again", printable(err.Error()))
		s.discard()
		return s, c.seal(s) // a seal is good for one try
	}
	s.close()
	for {
		server := c.servers.current()
		if err := c.afterFailure(ctx, c.gone(s.image, final)); err != nil {
			return nil, err
		}
		next, err := c.locateOnServer(ctx)
		if err != nil {
			return nil, err
		}
		if next.image.Path != s.image.Path || c.servers.current() == server {
			return next, nil
		}
		next.close() // the same build: the server was asked for it already
	}
}

// vouch brings what vouches for a build, and checks it: the signed SHA256SUMS
// where the server has one, else each file's own signature. Where the built-in
// key counts the list is a must, at that key's server and at every mirror of it:
// its owner makes one for each build, and with signatures of single files a
// mirror could mix the files of two builds.
func (c *creation) vouch(ctx context.Context, s *source) error {
	s.evidence = evidence{}
	if c.trust.ring == nil {
		return c.seal(s)
	}
	server, hasty := c.servers.current(), c.servers.others()
	maps.Copy(s.evidence, server.proof)
	list, sig, _, err := c.signedFile(ctx, server, s.image.Path+"/"+sumsFile, maxSums, hasty)
	if err == nil {
		s.evidence[sumsFile], s.evidence[sumsFile+sigSuffix] = list, sig
		return c.seal(s)
	}
	switch must := len(c.opt.keyrings) == 0; {
	case must && c.servers.lacks(err):
		return c.unvouched(ctx, s, err)
	case must || !c.servers.withholds(err):
		return err
	}
	for _, name := range []string{metaFile, rootfsFile} {
		url := server.url + "/" + s.image.Path + "/" + name + sigSuffix
		sig, _, err := c.client.Load(ctx, fetch.Request{URLs: []string{url}, Max: maxSignature, Hasty: hasty})
		if err != nil {
			return c.unvouched(ctx, s, c.missingSignature(url, err))
		}
		s.evidence[name+sigSuffix] = sig
	}
	return c.seal(s)
}

// unvouched tells a build that is not there from one that nobody vouches for,
// after err said that the server lacks what would vouch for it.
func (c *creation) unvouched(ctx context.Context, s *source, err error) error {
	if !c.servers.lacks(err) {
		return err
	}
	_, _, meta := c.client.Load(ctx, fetch.Request{
		URLs: []string{c.servers.current().url + "/" + s.image.Path + "/" + metaFile}, Max: maxMeta, Hasty: true,
	})
	if meta != nil && c.servers.lacks(meta) {
		return meta
	}
	var wrong *unverifiedError
	if errors.As(err, &wrong) {
		return err
	}
	return &unverifiedError{"signature", err}
}

// seal checks what vouches for s and prepares the checks of its two files.
func (c *creation) seal(s *source) error {
	listed := listing{folder: s.image.Path}
	if built, ok := buildTime(s.image.Build); ok && !c.opt.allowOlder && c.isDate(built, s.listed) {
		listed.since = built.Add(-slack)
	}
	seals, err := c.trust.seals(s.evidence, listed, metaFile, rootfsFile)
	if err != nil {
		return err
	}
	s.metaSeal, s.seal = seals[metaFile], seals[rootfsFile]
	return nil
}

// readMeta brings the metadata, out of the cached copy of the same build where
// it is still good, and checks all that can be checked before the big download.
func (c *creation) readMeta(ctx context.Context, s *source) error {
	var data []byte
	if s.entry != nil {
		if kept := s.entry.Evidence[metaFile]; kept != nil && s.metaSeal.checkBytes(kept) == nil {
			data = kept
		} else if err := c.seal(s); err != nil { // a seal is good for one try
			return err
		}
	}
	if data == nil {
		c.ui.say("Downloading the metadata")
		var err error
		if data, err = c.loadMeta(ctx, s); err != nil {
			return err
		}
	}
	s.evidence[metaFile] = data
	return c.useMeta(s, data)
}

// loadMeta brings the metadata from whichever server gives the right bytes.
func (c *creation) loadMeta(ctx context.Context, s *source) ([]byte, error) {
	course := fetch.NewCourse(c.servers.files(s.image.Path + "/" + metaFile))
	for {
		data, sources, err := c.client.Load(ctx, fetch.Request{
			URLs: course.URLs(), Pinned: s.metaSeal.checks(), Max: maxMeta, Hasty: c.servers.others(), Anew: true,
		})
		bad := false
		if err == nil {
			if err = s.metaSeal.checkBytes(data); err == nil {
				return data, nil
			}
			bad = true
			c.servers.wrong(sources)
		}
		if ctx.Err() != nil {
			return nil, err
		}
		again, final := course.Next(err, bad, 0, sources)
		if !again {
			return nil, final
		}
		c.ui.warnf("%s; starting again", printable(err.Error()))
		if err := c.seal(s); err != nil {
			return nil, err
		}
	}
}

// useMeta unpacks a metadata tarball whose bytes are verified, and refuses what
// could not become a container.
func (c *creation) useMeta(s *source, tarball []byte) error {
	how := c.opt.decoding()
	how.Workers = 1
	plain, err := untar.Decompress(bytes.NewReader(tarball), how)
	if err != nil {
		return fmt.Errorf("%s: %w", metaFile, c.opt.wholeMemory(err))
	}
	defer plain.Close()
	files, err := untar.ReadFiles(plain, maxMetaFile, maxMetaTotal)
	if err != nil {
		return fmt.Errorf("%s: %w", metaFile, err)
	}
	s.meta = lxc.Meta{}
	s.files = nil
	for _, f := range files {
		if err := checkMetaMember(f); err != nil {
			return fmt.Errorf("%s: %w", metaFile, err)
		}
		if f.Name == "" {
			continue // "./", the folder that was packed
		}
		s.meta[f.Name] = f.Data
		s.files = append(s.files, f)
	}
	return c.checkMeta(s)
}

// checkMetaMember refuses what could lead a file of the metadata elsewhere, in
// the cache or in whatever reads the cache: links and devices, folders, and the
// names of the cache's own files.
func checkMetaMember(f untar.File) error {
	if f.Name == "" && f.Type == untar.TypeDir {
		return nil
	}
	if f.Type != untar.TypeFile {
		return fmt.Errorf("%q is not a regular file", f.Name)
	}
	if err := image.CheckName(f.Name); err != nil {
		return fmt.Errorf("%q: %w", f.Name, err)
	}
	switch f.Name {
	case rootfsFile, metaFile, sumsFile, "build_id":
		return fmt.Errorf("%q has the name of a file of the cache", f.Name)
	}
	if strings.HasPrefix(f.Name, ".") {
		return fmt.Errorf("%q is a hidden file", f.Name)
	}
	return nil
}

// checkMeta refuses an image that LXC would refuse once the container is made
// (and then destroy it: lxccontainer.c, prepend_lxc_header and what follows),
// and one that would configure the host.
func (c *creation) checkMeta(s *source) error {
	if templates, _ := s.meta.Relevant("templates", c.mode); len(lxc.Lines(templates)) > maxTemplates {
		return fmt.Errorf("the image names more than %d templates", maxTemplates)
	}
	if c.folder == "" {
		return nil // a root file system alone
	}
	name := s.meta.RelevantName("config", c.mode)
	config, ok := s.meta[name]
	if !ok {
		return errors.New("ERROR: meta tarball is missing the configuration file")
	}
	config = lxc.TrimCR(config)
	s.meta[name] = config
	found, err := c.container.CheckConfig(c.container.Expand(config), c.opt.allowHost)
	if err != nil {
		return err
	}
	name = s.meta.RelevantName("fstab", c.mode)
	fstab, hasFstab := s.meta[name]
	if hasFstab {
		fstab = lxc.TrimCR(fstab)
		s.meta[name] = fstab
		mounts, err := c.container.CheckFstab(c.container.Expand(fstab), c.opt.allowHost)
		if err != nil {
			return err
		}
		found.Creates = found.Creates || mounts.Creates
		found.Foreign = append(found.Foreign, mounts.Foreign...)
		found.Writable = append(found.Writable, mounts.Writable...)
	}
	s.creates = found.Creates
	for _, arch := range found.Arch {
		if cross.LXCKnows(arch) && !cross.LXCMeans(arch, s.image.Arch) {
			c.ui.warnf("the image's lxc.arch is %q, although the image is listed as %q", arch, s.image.Arch)
		}
	}
	if err := c.checkLoaded("the image's config", found.Loaded); err != nil {
		return err
	}
	if err := c.checkFinal(config, hasFstab, &found); err != nil {
		return err
	}
	c.warnOfImage(found, s.image.Arch)
	return nil
}

// A missingIncludeError says that LXC on this machine lacks a file that a config
// includes.
type missingIncludeError struct {
	config string // which config
	name   string
	err    error
}

func (e *missingIncludeError) Error() string {
	return fmt.Sprintf("%s includes %q: %v", e.config, lxc.Shown(e.name), e.err)
}
func (e *missingIncludeError) Unwrap() error { return e.err }

// slack is how much older than the newest seen a build or an index may be: build
// ids are local time, and mirrors lag.
const slack = 24 * time.Hour

// A replayError says that the server offers less than it once did.
type replayError struct{ text string }

func (e *replayError) Error() string { return e.text }

// A seenError says that what the cache knows of builds seen before can't be read.
type seenError struct {
	base string // of the cache
	err  error
}

func (e *seenError) Error() string {
	return fmt.Sprintf("what builds were seen before can't be read, in .lxc-pull of the cache %q: %v", e.base, e.err)
}
func (e *seenError) Unwrap() error { return e.err }

// histories are the places where the newest builds seen are kept, in the order
// of preference: the cache's folder, also with --no-cache, and LXC's. A cache in
// memory comes last. All are read; the first that can be written is written. A
// root file system alone makes no folder for them: it promises to write nothing
// elsewhere.
func (c *creation) histories() []*fetch.Cache {
	base, lxcPath := c.cacheBase(), ""
	if c.folder != "" {
		lxcPath = filepath.Dir(c.container.Path)
	}
	bases := []string{base, lxcPath}
	if base != "" && forgets(base) {
		bases = []string{lxcPath, base}
	}
	var list []*fetch.Cache
	for _, base := range bases {
		if c.folder == "" && c.opt.noCache {
			if _, err := os.Stat(base); err != nil {
				continue
			}
		}
		if base != "" {
			list = append(list, c.cacheAt(base))
		}
	}
	return list
}

// seen returns what builds were seen before, from all places.
func (c *creation) seen() ([]fetch.Seen, error) {
	var all []fetch.Seen
	for _, h := range c.histories() {
		list, err := h.LoadSeen()
		if errors.Is(err, fs.ErrPermission) {
			// What another user saw is not ours to know, or may be his invention.
			if !c.saidUnseen {
				c.ui.warnf("what builds were seen before can't be read: %s", printable(err.Error()))
				c.saidUnseen = true
			}
			continue
		}
		if err != nil {
			return nil, &seenError{h.Base, err}
		}
		all = append(all, list...)
	}
	return all, nil
}

// checkNotOlder refuses an image that is older than one seen before from the
// same signer: whoever can replay an old, rightly signed one brings back its
// holes. Of a cached one the list is as old as the entry: where its build is the
// newest seen, that is as it should be.
func (c *creation) checkNotOlder(img image.Image, made signature, cached bool) error {
	if len(made.signers) == 0 || c.opt.allowOlder {
		return nil
	}
	list, err := c.seen()
	if err != nil {
		return err
	}
	offers, its := "the server offers", "the server's"
	if cached {
		offers, its = "the cache has", "the cached copy's"
	}
	for _, seen := range list {
		if !slices.Contains(made.signers, seen.Signer) || seen.Key != keyOf(img) ||
			c.trust.clock.isFuture(seen.Signed) || cached && seen.Build == img.Build {
			continue
		}
		offered, ok1 := buildTime(img.Build)
		known, ok2 := buildTime(seen.Build)
		if ok1 && ok2 && c.isDate(known, seen.Signed) && offered.Before(known.Add(-slack)) {
			return &replayError{fmt.Sprintf("%s build %q of %s, and %q was seen before", offers, img.Build, img.Name(), seen.Build)}
		}
		if made.made.Before(seen.Signed.Add(-slack)) {
			return &replayError{fmt.Sprintf("%s list was signed %s, and one of %s was seen before", its, made.made.UTC().Format(time.RFC3339), seen.Signed.UTC().Format(time.RFC3339))}
		}
	}
	return nil
}

// isDate reports whether a build's name, which reads as a date, is one. It is
// not where the list that names it was signed before, nor where it can't be yet:
// a slip of the publisher's must not keep out what is built rightly later. The
// clock has no say, for who can set it back could bring back an old image.
func (c *creation) isDate(built, signed time.Time) bool {
	if !signed.IsZero() && built.After(signed.Add(slack)) {
		return false
	}
	return !c.trust.clock.isFuture(built)
}

// checkFresh refuses to download an image after its signed expiry: a server
// that is kept at an old state offers nothing newer for ever.
func (c *creation) checkFresh(s *source) error {
	file, ok := s.meta.Relevant("expiry", c.mode)
	if !ok || s.cached || c.opt.allowOlder || c.trust.ring == nil {
		return nil
	}
	if t, ok := lxc.Expiry(file); ok && t.Before(c.trust.clock.now()) {
		return &replayError{fmt.Sprintf("build %q of %s expired %s", s.image.Build, s.image.Name(), t.Format(time.RFC3339))}
	}
	return nil
}

// remember notes the newest build and signature seen of the image.
//
// Every signer's is noted: else who drops the signature of the one that is noted
// from an old list, and keeps another's, could show it again.
func (c *creation) remember(ctx context.Context, s *source) {
	if len(s.made.signers) == 0 {
		return
	}
	edit := func(list []fetch.Seen) ([]fetch.Seen, error) {
		for _, signer := range s.made.signers {
			list = c.note(list, fetch.Seen{Signer: signer, Key: keyOf(s.image), Build: s.image.Build, Signed: s.made.made})
		}
		return list, nil
	}
	places := c.histories()
	if len(places) == 0 {
		c.ui.notef("the build is not remembered: there is no folder for a cache")
		return
	}
	var err error
	kept := false
	for _, h := range places {
		if kept {
			// What --allow-older lets pass must not be older than another's record.
			if list, _ := h.LoadSeen(); !c.opt.allowOlder || len(list) == 0 {
				continue
			}
		}
		if err = h.UpdateSeen(ctx, edit); err == nil {
			kept = true
		}
	}
	if err == nil {
		return
	}
	c.ui.warnf("the build is not remembered, so that an older one would not be noticed: %s", printable(err.Error()))
}

// note puts what is offered in list, in the place of what was seen before. It
// lowers no record without --allow-older, whatever the clock says.
func (c *creation) note(list []fetch.Seen, offered fetch.Seen) []fetch.Seen {
	for i, seen := range list {
		if seen.Signer != offered.Signer || seen.Key != offered.Key {
			continue
		}
		now, ok1 := buildTime(offered.Build)
		known, ok2 := buildTime(seen.Build)
		anew := c.opt.allowOlder || c.trust.clock.isFuture(seen.Signed)
		newer := now.After(known) && c.isDate(now, offered.Signed)
		if !ok1 || !ok2 || newer || anew || !c.isDate(known, seen.Signed) {
			list[i].Build = offered.Build
		}
		if offered.Signed.After(seen.Signed) || anew {
			list[i].Signed = offered.Signed
		}
		return list
	}
	return append(list, offered)
}

func keyOf(img image.Image) fetch.Key {
	return fetch.Key{Dist: img.Dist, Release: img.Release, Arch: img.Arch, Variant: img.Variant}
}

// buildTime reads a build id that is a date, as images.linuxcontainers.org has
// them: YYYYMMDD_HH:MM.
func buildTime(build string) (time.Time, bool) {
	t, err := time.Parse("20060102_15:04", build)
	return t, err == nil
}
