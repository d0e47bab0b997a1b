package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
)

// The history is what builds and lists were seen before, of which signer. Who can
// replay an old image, rightly signed, brings back its holes: so nothing older than
// what was seen is taken.

// recallTime moves the clock to what was seen signed before, by the keys that count
// in this run: another server's keys move nothing.
func (f *Finder) recallTime() {
	if f.trust.keys == nil {
		return
	}
	trusted := f.trust.keys.Fingerprints()
	for _, h := range f.opt.Histories {
		list, _ := h.LoadSeen() // checkNotOlder reports what is wrong with it
		for _, seen := range list {
			if slices.Contains(trusted, seen.Signer) {
				f.trust.clock.learn(seen.Signed)
			}
		}
	}
}

// seen returns what was seen before, out of all histories.
func (f *Finder) seen() ([]cache.Seen, error) {
	var all []cache.Seen
	for _, h := range f.opt.Histories {
		list, err := h.LoadSeen()
		if errors.Is(err, fs.ErrPermission) {
			// What another user saw is not this user's to know, or that user may
			// have invented it.
			if !f.saidUnseen {
				f.tell.Warn(fmt.Sprintf("what builds were seen before can't be read: %v", err))
				f.saidUnseen = true
			}
			continue
		}
		if err != nil {
			what := fmt.Sprintf("what builds were seen before can't be read, in .lxc-pull of the cache %q", h.Base)
			return nil, &Error{Kind: History, What: what, Err: err}
		}
		all = append(all, list...)
	}
	return all, nil
}

// checkNotOlder refuses an image that is older than one seen before of the same
// signer, and a list that was signed before one seen before. cached says that the
// image is out of the cache, whose list is as old as the entry: if its build is the
// newest seen, that is as it should be.
func (f *Finder) checkNotOlder(img image.Image, by signers, cached bool) error {
	if len(by.keys) == 0 || f.opt.AllowOlder {
		return nil
	}
	list, err := f.seen()
	if err != nil {
		return err
	}
	offers, its := "the server offers", "the server's"
	if cached {
		offers, its = "the cache has", "the cached copy's"
	}
	for _, seen := range list {
		if !slices.Contains(by.keys, seen.Signer) || seen.Name != img.Name ||
			f.trust.clock.isFuture(seen.Signed) || cached && seen.Build == img.Build {
			continue
		}
		offered, ok1 := buildTime(img.Build)
		known, ok2 := buildTime(seen.Build)
		if ok1 && ok2 && f.isDate(known, seen.Signed) && offered.Before(known.Add(-slack)) {
			return replayed("%s build %q of %s, and %q was seen before", offers, img.Build, img.Name, seen.Build)
		}
		if by.at.Before(seen.Signed.Add(-slack)) {
			return replayed("%s list was signed %s, and one of %s was seen before", its, by.at.UTC().Format(time.RFC3339), seen.Signed.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

func replayed(format string, args ...any) error {
	return &Error{Kind: Replayed, Err: fmt.Errorf(format, args...)}
}

// isDate reports whether a build's name, which reads as a date, is one. It is not if
// the list that names it was signed earlier, nor if that date can't have come yet: a
// slip of the publisher's must not keep out what is built rightly later. The clock
// has no say, for whoever can set it back could bring back an old image.
func (f *Finder) isDate(built, signed time.Time) bool {
	if !signed.IsZero() && built.After(signed.Add(slack)) {
		return false
	}
	return !f.trust.clock.isFuture(built)
}

// checkFresh refuses to download an image after its signed expiry: a server that is
// kept at an old state offers nothing newer for ever.
func (f *Finder) checkFresh(found *Found) error {
	file, ok := found.Meta.Relevant("expiry", f.opt.Mode)
	if !ok || found.Cached || f.opt.AllowOlder || f.trust.keys == nil {
		return nil
	}
	if t, ok := lxc.Expiry(file); ok && t.Before(f.trust.clock.Now()) {
		return replayed("build %q of %s expired %s", found.Image.Build, found.Image.Name, t.Format(time.RFC3339))
	}
	return nil
}

// Remember notes the image's build and signature as seen. It notes every signer:
// otherwise who drops the noted signer's signature from an old list, and keeps
// another's, could show that list again. The first history that can be written is
// written.
func (found *Found) Remember(ctx context.Context) {
	f := found.finder
	if !found.asked || len(found.listedBy.keys) == 0 {
		return
	}
	edit := func(list []cache.Seen) ([]cache.Seen, error) {
		for _, signer := range found.listedBy.keys {
			list = f.note(list, cache.Seen{Signer: signer, Name: found.Image.Name, Build: found.Image.Build, Signed: found.listedBy.at})
		}
		return list, nil
	}
	if len(f.opt.Histories) == 0 {
		f.tell.Note("the build is not remembered: there is no directory for a cache")
		return
	}
	var err error
	kept := false
	for _, h := range f.opt.Histories {
		if kept {
			// What --allow-older lets pass must not be older than another record.
			if list, _ := h.LoadSeen(); !f.opt.AllowOlder || len(list) == 0 {
				continue
			}
		}
		if err = h.UpdateSeen(ctx, edit); err == nil {
			kept = true
		}
	}
	if err != nil {
		f.tell.Warn(fmt.Sprintf("the build is not remembered, so that an older one would not be noticed: %v", err))
	}
}

// note puts what is offered into list, in the place of what was seen before. Without
// AllowOlder it lowers no record, whatever the clock says.
func (f *Finder) note(list []cache.Seen, offered cache.Seen) []cache.Seen {
	for i, seen := range list {
		if seen.Signer != offered.Signer || seen.Name != offered.Name {
			continue
		}
		now, ok1 := buildTime(offered.Build)
		known, ok2 := buildTime(seen.Build)
		anew := f.opt.AllowOlder || f.trust.clock.isFuture(seen.Signed)
		newer := now.After(known) && f.isDate(now, offered.Signed)
		if !ok1 || !ok2 || newer || anew || !f.isDate(known, seen.Signed) {
			list[i].Build = offered.Build
		}
		if offered.Signed.After(seen.Signed) || anew {
			list[i].Signed = offered.Signed
		}
		return list
	}
	return append(list, offered)
}

// buildTime reads a build id that is a date, as images.linuxcontainers.org has them:
// YYYYMMDD_HH:MM.
func buildTime(build string) (time.Time, bool) {
	t, err := time.Parse("20060102_15:04", build)
	return t, err == nil
}
