package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

// The history records the newest build and index that were seen of each image and signer. An
// old image is rightly signed too, but has security holes that are fixed by now. So a build
// or index that is older than the recorded one is refused.

// trustKeys makes these keys the trusted ones, and advances the clock to the newest recorded
// signature by one of them, if the system clock is wrong.
func (f *Finder) trustKeys(keys *pgp.Keyring) {
	f.trust.keys = keys
	if f.trust.keys == nil {
		return
	}
	trusted := f.trust.keys.Fingerprints()
	for _, h := range f.opt.Histories {
		list, _ := h.LoadSeen() // checkNotOlder reports the error
		for i := range list {
			if slices.Contains(trusted, list[i].Signer) {
				f.trust.clock.learn(list[i].Signed)
			}
		}
	}
}

// history returns the records of all histories.
func (f *Finder) history() ([]cache.Seen, error) {
	var all []cache.Seen
	for _, h := range f.opt.Histories {
		list, err := h.LoadSeen()
		if errors.Is(err, fs.ErrPermission) {
			// The history belongs to another user, and must not stop this user.
			if !f.warnedHistory {
				f.warn("history", "the history of builds can't be read: ", err, "")
				f.warnedHistory = true
			}
			continue
		}
		if err != nil {
			what := fmt.Sprintf("the history of builds can't be read, in .lxc-pull of the cache %q", h.Base)
			return nil, newError(History, what, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// checkNotOlder refuses a build that is older than the recorded one of the same signer, and a
// index that was signed before the recorded one. cached says that the image comes from the
// cache, whose index is as old as the entry; it passes if its build is the recorded one.
func (f *Finder) checkNotOlder(img *image.Image, by *signers, cached bool) error {
	return f.checkRecord(img, img.Name, by, cached)
}

// checkRecord is checkNotOlder for an image, or a list of images, that has that name in the history.
func (f *Finder) checkRecord(img *image.Image, name image.Name, by *signers, cached bool) error {
	if len(by.keys) == 0 || f.opt.AllowOlder {
		return nil
	}
	list, err := f.history()
	if err != nil {
		return err
	}
	offers, its := "the server offers", "the server's"
	switch {
	case f.opt.Bundle != "":
		offers, its = "the bundle has", "the bundle's"
	case cached:
		offers, its = "the cache has", "the cached copy's"
	}
	for i := range list {
		seen := &list[i]
		if !slices.Contains(by.keys, seen.Signer) || seen.Name != name ||
			f.trust.clock.isFuture(seen.Signed) || cached && seen.Build == img.Build {
			continue
		}
		offered, ok1 := f.buildTime(img.Build)
		known, ok2 := f.buildTime(seen.Build)
		if ok1 && ok2 && f.isDate(known, seen.Signed) && offered.Before(known.Add(-slack)) {
			return replayed(offers + " build " + strconv.Quote(img.Build) + " of " + img.Name.String() + ", and " + strconv.Quote(seen.Build) + " was seen before")
		}
		if f.opt.Streams != nil && img.Build != listBuild {
			if ok1 && ok2 && offered.Before(known) { // a publisher may withdraw a build of the same day
				f.tell.Warn("old-image", offers+" build "+strconv.Quote(img.Build)+", and "+strconv.Quote(seen.Build)+" was seen before")
			}
			continue // the list has its own record
		}
		if by.at.Before(seen.Signed.Add(-slack)) {
			return replayed(its + " index was signed " + date(by.at) + ", and one of " + date(seen.Signed) + " was seen before")
		}
	}
	return nil
}

func replayed(text string) error { return failed(Replayed, text) }

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// buildTime is image.BuildTime. The versions in lists of simplestreams servers begin with a date,
// and some have no more.
func (f *Finder) buildTime(build string) (t time.Time, ok bool) {
	if t, ok = image.BuildTime(build); !ok && f.opt.Streams != nil && len(build) >= len("20060102") {
		day, err := time.Parse("20060102", build[:len("20060102")])
		return day, err == nil
	}
	return t, ok
}

// isDate reports whether built, read from a build's name, can be the date of the build. It
// can't if the index that lists the build was signed earlier, or if the date is in the far
// future: a publisher's mistake must not make later builds look old. The system clock is
// not used, since whoever sets it back could then make an old image acceptable.
func (f *Finder) isDate(built, signed time.Time) bool {
	if !signed.IsZero() && built.After(signed.Add(slack)) {
		return false
	}
	return !f.trust.clock.isFuture(built)
}

// checkFresh refuses to download an image after its signed expiry date: a server that somebody
// keeps in an old state never offers a newer image.
func (f *Finder) checkFresh(found *Found) error {
	if found.Cached {
		return nil
	}
	return f.checkExpiry(found)
}

// checkExpiry is checkFresh for an image that may be in the cache, too.
func (f *Finder) checkExpiry(found *Found) error {
	file, ok := found.Meta.Relevant("expiry", f.opt.Mode)
	if !ok || f.opt.AllowOlder || f.trust.keys == nil {
		return nil
	}
	if t, ok := lxc.Expiry(file); ok && t.Before(f.trust.clock.Now()) {
		if found.query.Build != "" {
			f.warnExpired(found)
			return nil
		}
		return replayed(found.build() + " expired " + t.Format(time.RFC3339))
	}
	return nil
}

// build names the build for messages.
func (found *Found) build() string {
	return "build " + strconv.Quote(found.Image.Build) + " of " + found.Image.Name.String()
}

// warnExpired warns about a build that has expired and that the user named.
func (f *Finder) warnExpired(found *Found) {
	f.tell.Warn("old-image", found.build()+" has expired, and may have known security holes")
}

// Remember records the image's build and the index's signature time in the first history that
// can be written. It records them for every signer: otherwise somebody could remove the
// recorded signer's signature from an old index, keep another signer's, and offer the index
// again. A build that the index does not name is not recorded. If Remember fails, it warns
// the listener.
func (found *Found) Remember(ctx context.Context) {
	f, by := found.finder, &found.index.signers
	var tags [2]cache.Seen
	pinned := found.pinned != nil && f.opt.Streams == nil
	if pinned {
		if tags = [2]cache.Seen{f.tagSeen(found), found.pinned.reader.seen}; tags[0].Signer+tags[1].Signer == "" {
			return
		}
	} else if !found.index.downloaded || found.index.unlisted || len(by.keys) == 0 {
		return
	}
	edit := func(list []cache.Seen) ([]cache.Seen, error) {
		if pinned {
			for i := range tags {
				list = f.noteTag(list, &tags[i])
			}
			return list, nil
		}
		name, use := found.Image.Name, &found.index
		if f.opt.Streams != nil {
			if name = use.seen; use.list.Dist != "" { // "": the list is in a bundle
				list = f.noteSigned(list, use.list, listBuild, by)
			}
		}
		return f.noteSigned(list, name, found.Image.Build, by), nil
	}
	if len(f.opt.Histories) == 0 {
		f.tell.Note("the build is not remembered: there is no directory for a cache")
		return
	}
	var err error
	kept := false
	for _, h := range f.opt.Histories {
		if kept {
			// With --allow-older the image may be older than a record of another history,
			// which would refuse it in the next run.
			if list, _ := h.LoadSeen(); !f.opt.AllowOlder || len(list) == 0 {
				continue
			}
		}
		if err = h.UpdateSeen(ctx, edit); err == nil {
			kept = true
		}
	}
	if err != nil {
		f.warn("history", "the build is not remembered, so that an older one would not be noticed: ", err, "")
	}
}

// noteSigned notes a build of an image, or a list of images, for each key that signed it.
func (f *Finder) noteSigned(list []cache.Seen, name image.Name, build string, by *signers) []cache.Seen {
	seen := cache.Seen{Name: name, Build: build, Signed: by.at}
	for _, seen.Signer = range by.keys {
		list = f.note(list, &seen)
	}
	return list
}

// note returns list with a record of the offered build, in place of the earlier record of the
// same image and signer. Without AllowOlder it never replaces a record by an older one,
// whatever the system clock says.
func (f *Finder) note(list []cache.Seen, offered *cache.Seen) []cache.Seen {
	for i := range list {
		seen := &list[i]
		if seen.Signer != offered.Signer || seen.Name != offered.Name {
			continue
		}
		now, ok1 := f.buildTime(offered.Build)
		known, ok2 := f.buildTime(seen.Build)
		anew := f.opt.AllowOlder || f.trust.clock.isFuture(seen.Signed)
		newer := now.After(known) && f.isDate(now, offered.Signed)
		if !ok1 || !ok2 || newer || anew || !f.isDate(known, seen.Signed) {
			seen.Build = offered.Build
		}
		if offered.Signed.After(seen.Signed) || anew {
			seen.Signed = offered.Signed
		}
		return list
	}
	return append(list, *offered)
}

// A tag of a container image has no date and no signer. Its record has a word in place of the
// signer that no fingerprint can be, with the digest of the complete name and the architecture,
// since a Name has neither the registry nor the whole repository. Signed is when the image was made, by its
// config, and Build has that date and the manifest's digest.

// tagSeen returns the record of the image that a tag leads to now. Signer is "" if there is none
// to keep: a digest can't lead to another image, and what a cache or an archive has is not what
// the registry says now.
func (f *Finder) tagSeen(found *Found) (s cache.Seen) {
	c, o := f.opt.Container, found.pinned
	if f.opt.File != nil {
		return found.urlSeen(o.name, o.layers[0].Digest, &found.index.signers)
	}
	if o.registry == nil || c.Reference.Digest != "" || o.reader.offline {
		return s
	}
	s.Name = found.Image.Name
	s.Signer = "registry-" + string(sumOf([]byte(c.Reference.String() + " " + c.Arch)))[len("sha256:"):][:32]
	s.Signed = time.Unix(0, 0)
	// Builds that can be repeated have the date 0 or 1980.
	if t, err := time.Parse(time.RFC3339, found.Config.Created); err == nil && t.Year() > 1990 && !f.trust.clock.isFuture(t) {
		s.Signed = t
	}
	s.Build = s.Signed.UTC().Format("20060102_1504-") + string(o.manifest.digest)[len("sha256:"):]
	return s
}

// checkTag compares the image that a tag leads to with the one to which it led before. A tag may
// move, so that is only said; an older image is a warning.
func (f *Finder) checkTag(found *Found) error {
	now := f.tagSeen(found)
	if now.Signer == "" {
		return nil
	}
	list, err := f.history()
	if err != nil {
		return err
	}
	seen := find(list, now.Signer)
	if seen == nil || seen.Build == now.Build {
		return nil
	}
	ref := strconv.Quote(f.opt.Container.Reference.String())
	if now.Signed.Unix() > 0 && now.Signed.Before(seen.Signed) && !f.opt.AllowOlder {
		f.tell.Warn("old-image", ref+" now leads to an image of "+date(now.Signed)+", and one of "+date(seen.Signed)+" was seen before: the registry offers an older image")
		return nil
	}
	f.tell.Note(ref + " leads to another image than before, which was " + seen.Build)
	return nil
}

// find returns the record of a signer, nil if there is none.
func find(list []cache.Seen, signer string) *cache.Seen {
	for i := range list {
		if list[i].Signer == signer {
			return &list[i]
		}
	}
	return nil
}

// noteTag returns list with the record of a tag, in place of the earlier one. The record of a
// newer image stays, unless the user takes older ones. A record without a signer is none.
func (f *Finder) noteTag(list []cache.Seen, now *cache.Seen) []cache.Seen {
	if now.Signer == "" {
		return list
	}
	seen := find(list, now.Signer)
	if seen == nil {
		list = append(list, cache.Seen{})
		seen = &list[len(list)-1]
	}
	if f.opt.AllowOlder || !now.Signed.Before(seen.Signed) {
		*seen = *now
	}
	return list
}
