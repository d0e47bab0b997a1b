package cli

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pgp"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
)

// This file makes a source.Finder from the options of the commands that ask image servers
// or read the cache.

// maxMirrorList is the largest file of mirrors, in bytes. The largest distribution has 400
// mirrors, which need a tenth of it.
const maxMirrorList = 256 << 10

// parse returns the servers and mirrors that the options name.
func (o *serverOptions) parse() (*source.Servers, error) {
	s := new(source.Servers)
	names := o.servers
	if len(names) == 0 {
		names = []string{source.DefaultServer}
	}
	for _, name := range names {
		if err := s.Add(name); err != nil {
			return nil, wrongValue("server", withoutPassword(name), err.Error())
		}
	}
	return s, o.readMirrors(s.AddMirror)
}

// readMirrors passes each mirror that the options name to add.
func (o *serverOptions) readMirrors(add func(name string) error) error {
	for _, name := range o.mirrors {
		if err := add(name); err != nil {
			return wrongValue("mirror", withoutPassword(name), err.Error())
		}
	}
	for _, file := range o.mirrorLists {
		if err := readMirrorList(file, add); err != nil {
			return err
		}
	}
	return nil
}

// readMirrorList passes each line of a file to add, without comments (from "#" on), without
// leading and trailing blanks, and without empty lines.
func readMirrorList(file string, add func(name string) error) error {
	data, err := readOption("mirror-list", file, maxMirrorList)
	if err != nil {
		return err
	}
	n := 0
	for _, line := range strings.Split(string(data), "\n") {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := add(line); err != nil {
			return usageErrorf("--mirror-list %q, line %d: %v", file, n, err)
		}
	}
	return nil
}

// withoutPassword returns the part of a server's name that an error may show.
func withoutPassword(name string) string {
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		name = name[i+1:]
	}
	name, _, _ = strings.Cut(name, "?")
	name, _, _ = strings.Cut(name, "#")
	return name
}

// keys returns the trusted keys: those of --keyring, else the built-in key, of which --keyid
// selects some. It returns nil if the user wants no signature verified.
func (o *trustOptions) keys(ui *ui) (*pgp.Keyring, error) {
	if o.keyserver {
		ui.warn("ignored-option", "--keyserver is ignored: keys are built in or come from --keyring, never from a key server")
	}
	if o.noValidate && o.requireSignature {
		return nil, usageErrorf("--require-signature excludes --no-validate")
	}
	if o.noValidate {
		ui.warn("no-validate", "--no-validate: no signature is verified; whoever controls the server or the network controls the container")
		return nil, nil
	}
	ring, err := readTrusted(o.keyrings, nil)
	if err != nil || len(o.keyids) == 0 {
		return ring, err
	}
	if ring, err = ring.Select(o.keyids); err != nil {
		return nil, usageErrorf("--keyid: %v", err)
	}
	return ring, nil
}

// finderOptions are the options from which a Finder is made.
type finderOptions struct {
	servers serverOptions
	trust   trustOptions
	network networkOptions
	cache   cacheOptions
	memory  int64

	registry registryOptions
	otherSource

	asked string // set by list: the server that gave the list of images; "": none

	readOnly bool // change nothing on the disk

	namespace lxc.Namespace
	owner     pull.Owner // of the files in the cache
	lxcPath   string     // the directory of containers, which may hold a history; "": none
}

// An otherSource is about an image that is neither of an image server nor a container image.
type otherSource struct {
	file   fileOptions
	wanted source.Wanted // set by use
}

// open returns a Finder that may ask servers. It reads the files that the options name. A
// file may be a pipe that never ends, so it waits no longer than until ctx is done.
func (o *finderOptions) open(ctx context.Context, ui *ui, withCache bool) (*source.Finder, error) {
	var opt *source.Options
	err := untilDone(ctx, func() (err error) {
		opt, err = o.options(ui, withCache)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newFinder(ui, *opt), nil
}

// options returns the options of the Finder that open opens.
func (o *finderOptions) options(ui *ui, withCache bool) (*source.Options, error) {
	servers := new(source.Servers)
	var err error
	if o.registry.image == nil && o.wanted.File == nil && o.wanted.Bundle == "" {
		servers, err = o.servers.parse()
	}
	if err != nil {
		return nil, err
	}
	opt, err := o.offline(ui)
	if err != nil {
		return nil, err
	}
	if withCache {
		opt.Cache = o.openCache(ui)
	}
	if opt.Cache != nil {
		opt.Use = o.cache.use()
		opt.Use.ReadOnly = o.readOnly
	}
	agent := "lxc-pull/" + version() + " compat:" + strconv.Itoa(lxc.CompatLevel)
	notes := &retryNotes{ui: ui, also: servers.NoteFailure}
	opt.Servers, opt.BuiltInKey = servers, len(o.trust.keyrings) == 0
	if o.wanted.Streams != nil && len(o.trust.keyids) > 0 {
		opt.BuiltInKey = false // a known server's own key does not count: another one is named
	}
	if opt.Wanted = o.wanted; opt.Bundle != "" {
		return &opt, nil // no client is made
	}
	urls := o.clientURLs(servers)
	if opt.Container = o.registry.image; opt.Container != nil {
		// The user would believe that a signature is verified. A keyring of the settings may be
		// for image servers only.
		if len(o.trust.keyrings) > 0 && slices.Contains(ui.given, "keyring") && opt.Keys != nil && !opt.Keys.HasPlain() {
			return nil, wrongValue("keyring", o.trust.keyrings[0], "no key of cosign is in it (PEM, \"PUBLIC KEY\"), which container images need")
		}
		urls = []string{"file:///"}
		if opt.Container.Archive == "" {
			urls[0] = opt.Container.Reference.URL()
			o.network.authorize = opt.Container.Authorize(func() *fetch.Client { return opt.Client })
		}
	}
	if opt.Client, err = o.network.client(agent, urls, opt.Clock, opt.Keys != nil && o.vouched(servers), notes); err != nil {
		return nil, err
	}
	return &opt, nil
}

// newFinder opens a Finder and warns about a wrong clock.
func newFinder(ui *ui, opt source.Options) *source.Finder {
	finder := source.Open(opt, ui.listener())
	ui.setClock(opt.Clock)
	return finder
}

// offline returns the options of a Finder that asks no server. Its cache is not set yet.
func (o *finderOptions) offline(ui *ui) (opt source.Options, err error) {
	opt.Keys, err = o.trust.keys(ui)
	opt.Clock = source.NewClock(o.network.time, buildDate())
	opt.Histories = o.histories()
	opt.AllowOlder = o.trust.allowOlder
	opt.Mode = o.namespace.Mode()
	opt.Decoding = pull.Memory(o.memory).Decoding()
	opt.Use.ReadOnly = o.readOnly
	return opt, err
}

// use returns how to use the cache.
func (o *cacheOptions) use() source.CacheUse {
	return source.CacheUse{Flush: o.flush, Force: o.force, Refresh: o.refresh, Limit: o.size}
}

// openCache returns the cache. If there is none it tells the user and returns nil; the run
// goes on without a cache.
func (o *finderOptions) openCache(ui *ui) *cache.Cache {
	if o.cache.noCache {
		return nil
	}
	layout := host.This()
	base := layout.CacheDir(o.namespace)
	if base == "" {
		ui.warn("cache-problem", "neither HOME nor LXC_CACHE_PATH is set: going on without a cache")
		return nil
	}
	if layout.Forgets(base) {
		ui.notef("%q is in memory: going on without a cache; LXC_CACHE_PATH can name another directory", base)
		return nil
	}
	if info, err := os.Stat(base); err == nil && !info.IsDir() {
		ui.warn("cache-problem", "going on without writing to the cache: %q is not a directory", base)
		return nil
	}
	c := o.cacheAt(base)
	c.Waiting = func(holder string) {
		if holder != "" {
			holder = " (" + holder + ")"
		}
		ui.listener().Say("Waiting for another creation of the same image" + holder)
	}
	return c
}

// cacheAt returns the cache in the directory base.
func (o *finderOptions) cacheAt(base string) *cache.Cache {
	return &cache.Cache{
		Base: base, Above: host.This().CacheOwners(), Chown: o.owner.UID >= 0 || o.owner.GID >= 0,
		UID: o.owner.UID, GID: o.owner.GID, Evidence: source.EvidenceNames(),
	}
}

// histories returns the places of histories (which builds earlier runs have seen), the
// preferred one first: the cache, also with --no-cache, and the directory of containers. A
// cache in memory comes last. The command rootfs promises to write only to its directory, so
// for it only existing directories count.
func (o *finderOptions) histories() []*cache.Cache {
	layout := host.This()
	base := layout.CacheDir(o.namespace)
	bases := []string{base, o.lxcPath}
	if base != "" && layout.Forgets(base) {
		bases[0], bases[1] = bases[1], bases[0]
	}
	var list []*cache.Cache
	for _, base := range bases {
		if o.lxcPath == "" && o.cache.noCache {
			if _, err := os.Stat(base); err != nil {
				continue
			}
		}
		if base != "" {
			list = append(list, o.cacheAt(base))
		}
	}
	return list
}
