package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
	"lxc-pull/fetch"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

const cacheUsage = `Usage: lxc-pull cache ls [--json] [IMAGE]...
       lxc-pull cache verify [--keyring FILE] [IMAGE]...
       lxc-pull cache gc [--max-size SIZE]
       lxc-pull cache rm IMAGE... | --all

Shows and tidies the images that were kept. IMAGE begins with DIST and may go
on: DIST[/RELEASE[/ARCH[/VARIANT]]].

  ls      image, build, size, age, expiry, whether signatures are kept with it;
          interrupted downloads with what they have
  verify  checks every image against its signatures; status 5 where one is bad,
          or its signer is not known
  gc      removes expired images, and what interrupted runs left a week ago;
          with --max-size, then those unused for longest until SIZE holds
  rm      removes images and their interrupted downloads; half an image, which
          may be something else, only by its whole name

The cache is LXC_CACHE_PATH, else /var/cache/lxc, else ~/.cache/lxc. To keep it
small always, give creations --cache-size SIZE or set LXC_PULL_CACHE_SIZE.
`

// readCacheOptions reads the command line of a cache command; word is "" where
// only help is asked for. An option of another command is refused: who gives it
// wants something else than what would be done.
func readCacheOptions(ui *ui, args []string) (opt options, word string, names []string, err error) {
	table := []option{{short: 'h', long: "help"}, {short: 'q', long: "quiet"}, {short: 'v', long: "verbose"}, {long: "json"}, {long: "all"}}
	for _, name := range strings.Fields("time keyring keyid memory max-size") {
		table = append(table, option{long: name, arg: true})
	}
	for i := range table {
		table[i].exact = true
	}
	flags, operands, err := getopt(args, table)
	if err == nil {
		err = opt.set(flags)
	}
	if err != nil || opt.help {
		return opt, "", nil, err
	}
	ui.quiet, ui.verbose = opt.quiet, opt.verbose
	if len(operands) == 0 {
		return opt, "", nil, usageErrorf("cache: one of ls, verify, gc, rm is needed")
	}
	word, names = operands[0], operands[1:]
	for _, command := range [...][2]string{
		{"ls", "json time"}, {"verify", "keyring keyid memory time"}, {"gc", "max-size time"}, {"rm", "all"},
	} {
		if command[0] != word {
			continue
		}
		own := strings.Fields(command[1] + " quiet verbose")
		for _, f := range flags {
			if !slices.Contains(own, f.name) {
				return opt, "", nil, usageErrorf("cache %s takes no --%s", word, f.name)
			}
		}
		return opt, word, names, nil
	}
	return opt, "", nil, usageErrorf("cache: no command %q", word)
}

// cacheCommand is what can be done with the cache by itself. No server is asked.
func cacheCommand(ctx context.Context, ui *ui, args []string) error {
	opt, word, names, err := readCacheOptions(ui, args)
	if err != nil {
		return err
	}
	if opt.help {
		_, err := io.WriteString(ui.out, cacheUsage)
		return err
	}
	c := newCreation(ui, opt, currentNamespace())
	if err := untilDone(ctx, c.prepareTrust); err != nil {
		return err
	}
	if c.openCache(); c.cache == nil {
		return errors.New("there is no cache: neither LXC_CACHE_PATH nor HOME is set, or its place is in memory")
	}
	if word == "gc" {
		if len(names) > 0 {
			return usageErrorf("cache gc takes no names: %q", names)
		}
		return c.cacheGC(opt.maxSize)
	}
	if word == "rm" && len(names) == 0 && !opt.all {
		return usageErrorf("cache rm: name images, or say --all")
	}
	if word == "rm" && len(names) > 0 && opt.all {
		return usageErrorf("cache rm: names, or --all")
	}
	list, err := c.cache.List()
	if err == nil {
		list, err = selectCached(list, names)
	}
	if err != nil {
		return err
	}
	switch word {
	case "ls":
		return c.cacheList(list)
	case "verify":
		return c.cacheVerify(ctx, list)
	case "rm":
		return c.cacheRemove(list, names)
	}
	return nil
}

// above are the users in whose folders the cache may lie besides root's: on Android
// /data is the system's (AID_SYSTEM), and Termux's tree is its app's, below which
// root's containers and their cache are too.
func (p places) above() []int {
	if !p.android() {
		return nil
	}
	const system = 1000
	users := []int{system}
	var st unix.Stat_t
	if p.prefix != "" && unix.Stat(p.prefix, &st) == nil {
		users = append(users, int(st.Uid))
	}
	return users
}

// selectCached returns the images that names mean; all of them without names.
func selectCached(list []fetch.Info, names []string) ([]fetch.Info, error) {
	if len(names) == 0 {
		return list, nil
	}
	wanted := make([]bool, len(list))
	for _, name := range names {
		found := false
		for i, info := range list {
			if cachedMatches(info.Key, strings.Split(name, "/")) {
				wanted[i], found = true, true
			}
		}
		if !found {
			return nil, &exitError{exitNoImage, fmt.Errorf("no image %q in the cache", name)}
		}
	}
	var some []fetch.Info
	for i, info := range list {
		if wanted[i] {
			some = append(some, info)
		}
	}
	return some, nil
}

// cachedMatches reports whether the first fields of a key are those.
func cachedMatches(k fetch.Key, fields []string) bool {
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

// expiryOf is until when a cached image is to be used; ok is false where it has
// none, is damaged or was not downloaded to its end. One that can't be read is
// over, as for a creation.
func (c *creation) expiryOf(i fetch.Info) (t time.Time, ok bool) {
	if i.Partial || i.Damage != nil {
		return t, false
	}
	files, err := c.cache.Metadata(i.Key, "expiry")
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

// cacheList is cache ls.
func (c *creation) cacheList(list []fetch.Info) error {
	if c.opt.json {
		return c.cacheJSON(list)
	}
	rows := [][]string{{"IMAGE", "BUILD", "SIZE", "AGE", "EXPIRES", "SIGNED"}}
	for _, i := range list {
		row := []string{i.Key.String(), i.Build, byteCount(i.Size), age(c.trust.clock.now().Sub(i.Modified)), "never", "no"}
		switch {
		case i.Partial:
			row[1], row[4], row[5] = "-", "-", "interrupted"
		case i.Damage != nil:
			row[1], row[4], row[5] = "-", "-", "damaged"
			if i.Foreign() {
				row[5] = "another's"
			}
		case i.Evidence:
			row[5] = "yes"
		}
		if t, ok := c.expiryOf(i); ok {
			row[4] = t.UTC().Format(time.DateOnly)
			if t.Before(c.trust.clock.now()) {
				row[4] += " (expired)"
			}
		}
		for n := range row {
			row[n] = printable(row[n])
		}
		rows = append(rows, row)
	}
	io.WriteString(c.ui.out, columns(rows, false))
	return nil
}

func (c *creation) cacheJSON(list []fetch.Info) error {
	var objects [][]jsonField
	for _, i := range list {
		o := []jsonField{
			{"dist", jsonString(i.Dist)}, {"release", jsonString(i.Release)}, {"arch", jsonString(i.Arch)}, {"variant", jsonString(i.Variant)},
			{"build", jsonString(i.Build)}, {"bytes", strconv.FormatInt(i.Size, 10)},
			{"modified", jsonString(i.Modified.UTC().Format(time.RFC3339))}, {"used", jsonString(i.Used.UTC().Format(time.RFC3339))},
			{"signed", strconv.FormatBool(i.Evidence)}, {"interrupted", strconv.FormatBool(i.Partial)}, {"damaged", strconv.FormatBool(i.Damage != nil)},
		}
		if t, ok := c.expiryOf(i); ok {
			o = append(o, jsonField{"expires", jsonString(t.UTC().Format(time.RFC3339))})
		}
		objects = append(objects, o)
	}
	return printObjects(c.ui.out, objects)
}

// cacheVerify is cache verify: each image's own verdict on standard output.
func (c *creation) cacheVerify(ctx context.Context, list []fetch.Info) error {
	bad, unknown := 0, 0
	var unreadable error
	for _, i := range list {
		if i.Partial {
			continue
		}
		verdict := "good"
		err := c.verifyCached(ctx, i)
		var untrusted *pgp.UntrustedError
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled):
			return err
		case errors.Is(err, errUnsigned):
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
		fmt.Fprintf(c.ui.out, "%s %s: %s\n", printable(i.Key.String()), printable(i.Build), printable(verdict))
	}
	if bad > 0 {
		return &exitError{exitUnverified, fmt.Errorf("%d of the cached images can't be trusted; lxc-pull cache rm removes them", bad)}
	}
	if unknown > 0 {
		return &exitError{exitUnverified, fmt.Errorf("%d of the cached images are not signed by a trusted key; --keyring FILE trusts the keys in FILE", unknown)}
	}
	return unreadable
}

// errUnsigned: neither good nor bad.
var errUnsigned = errors.New("no signatures are kept with it (the stock template made it); a creation with --refresh fetches them")

// verifyCached checks one image: the signatures, the two tarballs, and that the
// metadata's files, which the stock template reads, are the tarball's.
func (c *creation) verifyCached(ctx context.Context, i fetch.Info) error {
	entry, err := c.cache.Open(i.Key)
	if err != nil {
		return err
	}
	defer entry.Close()
	if entry.Evidence == nil && c.trust.ring != nil {
		return errUnsigned
	}
	s, err := c.fromEntry(i.Key, entry)
	if err != nil {
		return err
	}
	if _, err := io.Copy(s.seal, interruptible{io.NopCloser(entry.Rootfs), ctx}); err != nil {
		return err
	}
	if err := s.seal.check(); err != nil {
		return err
	}
	for name := range entry.Files {
		if _, ok := s.meta[name]; !ok {
			return fmt.Errorf("%q is not in the signed metadata", name)
		}
	}
	for name, data := range s.meta {
		if string(entry.Files[name]) != string(data) {
			return fmt.Errorf("%q is not as in the signed metadata", name)
		}
	}
	return nil
}

// removal says what became of an image that was to be removed.
func (c *creation) removal(i fetch.Info, why string, err error) {
	what := i.Key.String()
	if i.Partial {
		what += ", an interrupted download"
	} else if i.Build != "" {
		what += " " + i.Build
	}
	if err != nil {
		c.ui.warnf("%s stays: %s", printable(what), printable(err.Error()))
		return
	}
	if !c.ui.quiet {
		fmt.Fprintf(c.ui.out, "removed %s (%s%s)\n", printable(what), why, byteCount(i.Size))
	}
}

// cacheRemove is cache rm. What a creation is using stays, and so does what may be
// anything, unless one of names is its whole name.
func (c *creation) cacheRemove(list []fetch.Info, names []string) error {
	var first error
	for _, i := range list {
		whole := func(name string) bool {
			fields := strings.Split(name, "/")
			return len(fields) == 4 && cachedMatches(i.Key, fields)
		}
		var err error
		if i.Proven || slices.ContainsFunc(names, whole) {
			err = c.cache.Drop(i)
		} else {
			err = errors.New("its content does not show that it is an image; its whole name removes it")
		}
		c.removal(i, "", err)
		if first == nil {
			first = err
		}
	}
	return first
}

// cacheGC is cache gc.
func (c *creation) cacheGC(limit int64) error {
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
				c.removal(fetch.Info{Key: k, Partial: true, Size: size}, "a week old, ", nil)
			}
		}
		if errors.Is(err, fetch.ErrLocked) {
			continue // so it is no leftover
		} else if err != nil {
			c.removal(fetch.Info{Key: k, Partial: true}, "", err)
			first = cmp.Or(first, err)
		}
	}
	list, err := c.cache.List()
	if err != nil {
		return err
	}
	for _, i := range list {
		if i.Partial {
			continue
		}
		why := ""
		if t, ok := c.expiryOf(i); ok && i.Proven && t.Before(c.trust.clock.now()) {
			why = "expired " + t.UTC().Format(time.DateOnly) + ", "
		} else if i.Damage != nil && i.Proven && !i.Foreign() && now.Sub(i.Modified) > fetch.Leftover {
			why = "damaged, "
		}
		if why == "" {
			continue
		}
		err := c.cache.Drop(i)
		c.removal(i, why, err)
		if !errors.Is(err, fetch.ErrLocked) {
			first = cmp.Or(first, err)
		}
	}
	if limit > 0 {
		err = c.cache.Shrink(limit, fetch.Key{}, func(i fetch.Info, err error) { c.removal(i, "", err) })
	}
	return cmp.Or(first, err)
}

// cacheSizeVariable is --cache-size for all creations of a machine.
const cacheSizeVariable = "LXC_PULL_CACHE_SIZE"

// cacheLimit is how many bytes of tarballs the cache may keep; 0: any number.
func (o *options) cacheLimit() (int64, error) {
	text := os.Getenv(cacheSizeVariable)
	if o.cacheSize > 0 || text == "" {
		return o.cacheSize, nil
	}
	limit, err := parseSize(text)
	if err != nil {
		return 0, usageErrorf("%s %q: %v", cacheSizeVariable, text, err)
	}
	return limit, nil
}

// makeRoom has other images give way to the one that was just downloaded; false
// where that is too large to be kept.
func (c *creation) makeRoom(s *source) bool {
	if c.limit == 0 {
		return true
	}
	info, err := s.stage.Rootfs.Stat()
	if err != nil || info.Size() > c.limit {
		return false
	}
	err = c.cache.Shrink(c.limit-info.Size(), keyOf(s.image), func(i fetch.Info, err error) {
		if err == nil {
			c.ui.notef("%s gives way in the cache", printable(i.Key.String()))
		}
	})
	return err == nil
}

// age is a duration for people.
func age(d time.Duration) string {
	count := func(n time.Duration, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch {
	case d < 2*time.Hour:
		return count(max(d, 0)/time.Minute, "minute")
	case d < 48*time.Hour:
		return count(d/time.Hour, "hour")
	}
	return count(d/(24*time.Hour), "day")
}

// sayKept says that the image comes out of the cache, and how old it is.
func (c *creation) sayKept(s *source) {
	c.ui.say("Using image from local cache")
	made := s.entry.Modified
	if t, ok := buildTime(s.image.Build); ok {
		made = t
	}
	if !c.ui.quiet {
		c.ui.line("build %q, %s old", s.image.Build, age(c.trust.clock.now().Sub(made)))
	}
	c.cache.Use(keyOf(s.image))
}
