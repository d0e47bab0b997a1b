package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pgp"
	"lxc-pull/pull/source"
)

// A cacheCall is one use of "cache". It asks no server.
type cacheCall struct {
	finder  finderOptions
	json    bool
	all     bool
	maxSize int64 // 0: not given

	ui    *ui
	cache *cache.Cache
	now   time.Time
	mode  lxc.Mode
	spoke bool // removal was called
}

func (c *cacheCall) groups() []*group {
	return []*group{{"", []flag{
		{long: "json", help: "ls: print JSON", into: &c.json, exact: true, more: true},
		{long: "keyring", value: "FILE", help: "verify: trust the keys in FILE instead of the built-in key", into: &c.finder.trust.keyrings, again: true, exact: true, more: true},
		{long: "keyid", value: "FPR", help: "verify: trust only the key with this fingerprint", into: &c.finder.trust.keyids, again: true, exact: true, more: true},
		{long: "memory", value: "SIZE", help: "verify: use at most SIZE bytes of memory", into: &c.finder.memory, exact: true, more: true},
		{long: "max-size", value: "SIZE", help: "gc: keep at most SIZE bytes", into: &c.maxSize, exact: true, more: true},
		{long: "all", help: "rm: remove all images", into: &c.all, exact: true, more: true},
		{long: "time", value: "TIME", help: "ls, verify, gc: take TIME for the current time", into: &c.finder.network.time, exact: true, more: true},
	}}, commonFlags()}
}

// check refuses operands and options that the subcommand does not take.
func (c *cacheCall) check(operands []string) error {
	words := []string{"ls", "verify", "gc", "rm"}
	if len(operands) == 0 {
		return usageErrorf("cache needs one of %s", strings.Join(words, ", "))
	}
	word, names := operands[0], operands[1:]
	if !slices.Contains(words, word) {
		return usageErrorf("cache has no command %q%s", word, didYouMean(word, "", words))
	}
	for _, o := range []struct {
		name  string
		given bool
		of    string
	}{
		{"json", c.json, "ls"}, {"keyring", len(c.finder.trust.keyrings) > 0, "verify"}, {"keyid", len(c.finder.trust.keyids) > 0, "verify"},
		{"memory", c.finder.memory > 0, "verify"}, {"max-size", c.maxSize > 0, "gc"}, {"all", c.all, "rm"},
		{"time", !c.finder.network.time.IsZero(), "ls verify gc"},
	} {
		if o.given && !slices.Contains(strings.Fields(o.of), word) {
			return usageErrorf("cache %s takes no --%s", word, o.name)
		}
	}
	switch {
	case word == "gc" && len(names) > 0:
		return unexpected(names)
	case word == "rm" && len(names) == 0 && !c.all:
		return usageErrorf("cache rm needs images or --all")
	case word == "rm" && len(names) > 0 && c.all:
		return usageErrorf("cache rm takes images or --all, not both")
	}
	return nil
}

func (c *cacheCall) run(ctx context.Context, ui *ui, operands []string) error {
	if err := c.check(operands); err != nil {
		return err
	}
	word, names := operands[0], operands[1:]
	c.ui = ui
	c.finder.namespace, c.finder.owner = host.Namespace(), unchanged()
	var finder *source.Finder
	err := untilDone(ctx, func() error {
		opt, err := c.finder.offline(ui)
		if err != nil {
			return err
		}
		c.cache = c.finder.openCache(ui)
		opt.Cache, c.mode = c.cache, opt.Mode
		finder = newFinder(ui, opt)
		c.now = opt.Clock.Now()
		return nil
	})
	if err != nil {
		return err
	}
	if c.cache == nil {
		return errors.New("there is no cache: neither LXC_CACHE_PATH nor HOME is set, or the directory is in memory")
	}
	if word == "gc" {
		return c.gc()
	}
	list, err := c.cache.List()
	if err == nil && len(list) == 0 && !c.json && !ui.quiet {
		ui.write("", "the cache is empty")
	}
	if err == nil {
		list, err = selectCached(list, names)
	}
	if err != nil {
		return err
	}
	switch word {
	case "ls":
		return c.list(list)
	case "verify":
		return c.verify(ctx, finder, list)
	}
	return c.remove(list, names)
}

// selectCached returns the images that names mean, or all images if there are no names.
func selectCached(list []cache.Info, names []string) ([]cache.Info, error) {
	if len(names) == 0 {
		return list, nil
	}
	wanted := make([]bool, len(list))
	line := strings.Join(names, " ") // a name that "cache ls" prints may have blanks
	for i := range list {
		if list[i].Kept != nil && list[i].Label() == line {
			names = []string{line}
		}
	}
	for _, name := range names {
		found, complete := false, name
		if c, err := parseContainer(name); err == nil && c.Archive == "" {
			complete = c.Reference.String()
		}
		for i := range list {
			if infoMatches(&list[i], complete) {
				wanted[i], found = true, true
			}
		}
		if !found {
			return nil, &source.Error{Kind: source.NotFound, Err: fmt.Errorf("no image %q in the cache; \"lxc-pull cache ls\" lists them", name)}
		}
	}
	var some []cache.Info
	for i, info := range list {
		if wanted[i] {
			some = append(some, info)
		}
	}
	return some, nil
}

// infoMatches reports whether an operand, the complete name of a container image, means the image
// or blob. Of the name of an image that is Kept the beginning is enough, up to a colon, slash or
// blank: "docker:", "images:debian", "https://HOST/PATH". "cache ls" prints the architecture after it.
func infoMatches(i *cache.Info, name string) bool {
	switch {
	case i.Kept != nil:
		if i.Label() == name {
			return true
		}
		if at := strings.LastIndex(name, "://") + len("://"); at >= len("://") && at < len(name) {
			name = strings.TrimRight(name, "/")
		}
		// A product of a server without a short name is "URL KEY".
		rest, ok := strings.CutPrefix(i.Kept.Reference, name)
		return ok && name != "" && (rest == "" || rest[0] == '/' || rest[0] == ' ' || strings.HasSuffix(name, ":") || strings.HasSuffix(name, "/"))
	case i.Blob != "":
		return len(name) >= len(i.Label()) && strings.HasPrefix(string(i.Blob), name)
	}
	return cachedMatches(i.Name, strings.Split(name, "/"))
}

// cachedMatches reports whether an image's name begins with the parts in fields.
func cachedMatches(k image.Name, fields []string) bool {
	have := []string{k.Dist, k.Release, k.Arch, k.Variant}
	if len(fields) > len(have) {
		return false
	}
	for i, f := range fields {
		if f != have[i] && !(i == 2 && slices.Contains(cross.Spellings(f), have[i])) {
			return false
		}
	}
	return true
}

// expiryOf returns when a cached image expires. ok is false if the image has no expiry date,
// is damaged or is not complete. An unreadable date counts as past, as it does for create.
func (c *cacheCall) expiryOf(i *cache.Info) (t time.Time, ok bool) {
	if i.Kept != nil {
		return i.Kept.Expires, !i.Kept.Expires.IsZero()
	}
	if i.Partial || i.Damage != nil || i.Blob != "" {
		return t, false
	}
	files, err := c.cache.Metadata(i.Name, "expiry")
	if err != nil {
		return t, false
	}
	file, ok := lxc.Meta(files).Relevant("expiry", c.mode)
	if !ok {
		return t, false
	}
	if t, ok = lxc.Expiry(file); !ok {
		t = time.Unix(0, 0)
	}
	return t, true
}

// list prints the table of "cache ls".
func (c *cacheCall) list(list []cache.Info) error {
	if c.json {
		return c.listJSON(list)
	}
	rows := [][]string{{"IMAGE", "BUILD", "SIZE", "AGE", "EXPIRES", "SIGNED"}}
	for n := range list {
		i := &list[n]
		build := i.Build
		if i.Kept != nil && i.Kept.Build == "" {
			build = cache.ShortDigest(i.Kept.Top)
		} else if i.Kept != nil {
			build = i.Kept.Build
		}
		row := []string{i.Label(), build, source.ByteCount(i.Size), source.Age(c.now.Sub(i.Modified)), "never", "no"}
		switch {
		case i.Partial:
			row[1], row[4], row[5] = "-", "-", "interrupted"
		case i.Damage != nil:
			row[1], row[4], row[5] = "-", "-", "damaged"
			if i.Foreign() {
				row[5] = "another's"
			}
		case i.Blob != "":
			row[1], row[4], row[5] = "-", "-", "not needed"
		case i.Kept != nil:
			row[5] = "-"
		case i.Evidence:
			row[5] = "yes"
		}
		if t, ok := c.expiryOf(i); ok {
			row[4] = t.UTC().Format(time.DateOnly)
			if t.Before(c.now) {
				row[4] += " (expired)"
			}
		}
		for n := range row {
			row[n] = printable(row[n])
		}
		rows = append(rows, row)
	}
	_, err := io.WriteString(c.ui.out, columns(rows, false))
	return err
}

func (c *cacheCall) listJSON(list []cache.Info) error {
	var objects []jsonObject
	for n := range list {
		i := &list[n]
		var o jsonObject
		switch {
		case i.Kept != nil:
			o.text("reference", i.Kept.Reference)
			o.text("arch", i.Kept.Name.Arch)
			if i.Kept.Build != "" {
				o.text("build", i.Kept.Build)
			}
			o.text("digest", string(i.Kept.Top))
			o.text("manifest", string(i.Kept.Manifest))
			o.raw("blobs", strconv.Itoa(len(i.Kept.Blobs)))
			o.raw("shared", strconv.FormatInt(i.Shared, 10))
		case i.Blob != "":
			o.text("blob", string(i.Blob))
		default:
			o = nameObject(i.Name, i.Build)
		}
		o.raw("bytes", strconv.FormatInt(i.Size, 10))
		o.text("modified", i.Modified.UTC().Format(time.RFC3339))
		o.text("used", i.Used.UTC().Format(time.RFC3339))
		if i.Kept == nil && i.Blob == "" {
			o.raw("signed", strconv.FormatBool(i.Evidence))
		}
		o.raw("interrupted", strconv.FormatBool(i.Partial))
		o.raw("damaged", strconv.FormatBool(i.Damage != nil))
		if t, ok := c.expiryOf(i); ok {
			o.text("expires", t.UTC().Format(time.RFC3339))
		}
		objects = append(objects, o)
	}
	return printObjects(c.ui.out, objects)
}

// verify verifies the images and prints a line for each.
func (c *cacheCall) verify(ctx context.Context, finder *source.Finder, list []cache.Info) error {
	bad, unknown := 0, 0
	var unreadable error
	for n := range list {
		i := &list[n]
		if i.Partial {
			continue
		}
		verdict, build := "good", " "+i.Build
		var err error
		if i.Kept != nil || i.Blob != "" {
			verdict, build = "good digests", ""
			err = c.cache.VerifyKept(ctx, *i)
		} else {
			err = finder.Verify(ctx, *i)
		}
		var untrusted *pgp.UntrustedError
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled):
			return err
		case errors.Is(err, source.ErrUnsigned):
			verdict = "unsigned: " + err.Error()
			unknown++
		case errors.As(err, &untrusted):
			verdict = "unknown key: " + err.Error()
			unknown++
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EIO):
			verdict = "unreadable: " + err.Error()
			unreadable = err
		default:
			verdict = "BAD: " + err.Error()
			bad++
		}
		if _, err := fmt.Fprintf(c.ui.out, "%s%s: %s\n", printable(i.Label()), printable(build), printable(verdict)); err != nil {
			return err
		}
	}
	if bad > 0 {
		return &source.Error{Kind: source.Unverified, Err: fmt.Errorf("%d of the cached images can't be trusted; \"lxc-pull cache rm\" removes them", bad)}
	}
	if unknown > 0 {
		return &source.Error{Kind: source.Unverified, Err: fmt.Errorf("%d of the cached images are not signed by a trusted key; --keyring FILE trusts the keys in FILE", unknown)}
	}
	return unreadable
}

// removal tells the user that an image was removed, or why it was not.
func (c *cacheCall) removal(i *cache.Info, why string, err error) {
	c.spoke = true
	name := i.Label()
	if i.Partial {
		name += ", an interrupted download"
	} else if i.Blob != "" {
		name += ", which no image needs"
	} else if i.Kept == nil && i.Build != "" {
		name += " " + i.Build
	}
	if err != nil {
		c.ui.warn("cache-problem", "%s was not removed: %v", name, err)
		return
	}
	if !c.ui.quiet {
		fmt.Fprintf(c.ui.out, "removed %s (%s%s)\n", printable(name), why, source.ByteCount(i.Size))
	}
}

// remove removes the images that no other run is using. A directory that is perhaps not an
// image is removed only if one of names is its full name.
func (c *cacheCall) remove(list []cache.Info, names []string) error {
	var first error
	for n := range list {
		i := &list[n]
		whole := i.Proven
		for _, name := range names {
			fields := strings.Split(name, "/")
			whole = whole || len(fields) == 4 && cachedMatches(i.Name, fields)
		}
		var err error
		if whole {
			err = c.cache.Drop(*i)
		} else {
			err = errors.New("nothing proves that it is an image; name it in full to remove it")
		}
		c.removal(i, "", err)
		if first == nil {
			first = err
		}
	}
	return first
}

// gc removes old interrupted downloads, expired images and, with --max-size, the images that
// were not used for the longest time.
func (c *cacheCall) gc() error {
	now := time.Now()
	keys, err := c.cache.Leftovers(now)
	if err != nil {
		return err
	}
	var first error
	for _, k := range keys {
		slot, err := c.cache.TryLock(k)
		if err == nil {
			var size int64
			size, err = slot.Sweep(now)
			slot.Unlock()
			if err == nil && size > 0 {
				c.removal(&cache.Info{Name: k, Partial: true, Size: size}, "a week old, ", nil)
			}
		}
		if errors.Is(err, cache.ErrLocked) {
			continue // a run is downloading it
		} else if err != nil {
			c.removal(&cache.Info{Name: k, Partial: true}, "", err)
			first = cmp.Or(first, err)
		}
	}
	c.cache.SweepBlobs(now)
	list, err := c.cache.List()
	if err != nil {
		return err
	}
	for n := range list {
		i := &list[n]
		if i.Partial && i.Blob == "" {
			continue
		}
		why := ""
		if t, ok := c.expiryOf(i); ok && i.Proven && t.Before(c.now) {
			why = "expired " + t.UTC().Format(time.DateOnly) + ", "
		} else if i.Damage != nil && i.Proven && !i.Foreign() && now.Sub(i.Modified) > cache.Leftover {
			why = "damaged, "
		} else if i.Blob != "" && now.Sub(i.Used) > cache.Leftover {
			why = "a week old, "
		}
		if why == "" {
			continue
		}
		err := c.cache.Drop(*i)
		c.removal(i, why, err)
		if !errors.Is(err, cache.ErrLocked) {
			first = cmp.Or(first, err)
		}
	}
	if c.maxSize > 0 {
		err = c.cache.Shrink(c.maxSize, image.Name{}, func(i cache.Info, err error) { c.removal(&i, "", err) })
	}
	if first = cmp.Or(first, err); first == nil && !c.spoke && !c.ui.quiet {
		c.ui.write("", "nothing to remove")
	}
	return first
}
