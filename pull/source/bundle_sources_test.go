package source

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pgp"
)

// A keptCase is an image that a bundle holds as the cache does.
type keptCase struct {
	name string
	opt  func(t *testing.T, base string) Options
	keys *pgp.Keyring
	want string
}

func keptCases(t *testing.T) (list []keptCase) {
	for _, forms := range []string{"c", "d"} {
		for _, files := range [][]string{{"incus.tar.xz", "root.tar.xz"}, {"lxd.tar.xz", "squashfs"}, {"incus_combined.tar.gz"}} {
			s := newStreamsTree(t)
			s.forms = forms
			s.add(build2, day2.Add(24*time.Hour), files...)
			s.publish()
			want := string(s.roots[build2])
			if files[1%len(files)] == "squashfs" {
				want = "squashfs " + build2
			}
			list = append(list, keptCase{forms + " " + strings.Join(files, " "), s.options, s.key.ring(t), want})
		}
	}
	good := newOpenPGP("publisher")
	ring, err := pgp.ReadKeyring(good.certificate())
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]bool{}
	for _, l := range layouts() {
		s := newSite(t)
		s.files["/x/"+l.file] = []byte(rootfsText)
		for name, data := range l.make(good, l.file, []byte(rootfsText)) {
			s.files["/x/"+name] = data
		}
		opt := urlOptions(t, File{Path: s.URL + "/x/" + l.file}, "", good.certificate())
		if _, _, err := getURL(t, opt, deaf()); err != nil || done[l.publisher] {
			continue // signed by another kind of key
		}
		done[l.publisher] = true
		list = append(list, keptCase{l.publisher, func(t *testing.T, base string) Options {
			return urlOptions(t, File{Path: s.URL + "/x/" + l.file}, base, good.certificate())
		}, ring, rootfsText})
	}
	return list
}

// keptFinder is bundleFinder with the keys and the time of an image's Finder.
func keptFinder(t *testing.T, data []byte, keys *pgp.Keyring, clock *Clock) *Finder {
	f, _ := bundleFinder(t, writeBundle(t, data), keys)
	f.opt.Clock, f.trust.clock = clock, clock
	f.Provide(0, spoolIn(t, new(int)))
	return f
}

// TestBundleOfOtherSources exports images of simplestreams servers and of URLs, and reads the
// bundles without a network; then it changes, removes and doubles each member.
func TestBundleOfOtherSources(t *testing.T) {
	list := keptCases(t)
	if len(list) < 9 {
		t.Errorf("only %d cases", len(list))
	}
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			base := t.TempDir()
			var data []byte
			for _, dir := range []string{"", base, base} {
				opt := c.opt(t, dir)
				again := exported(t, Open(opt, heard(new(strings.Builder))), image.Query{})
				if data != nil && !bytes.Equal(again, data) {
					t.Errorf("with the cache %q it is another one", dir)
				}
				data = again
			}
			clock := c.opt(t, "").Clock
			f := keptFinder(t, data, c.keys, clock)
			history := &cache.Cache{Base: t.TempDir()}
			f.opt.Histories = []*cache.Cache{history}
			found, layers, err := unbundle(context.WithoutCancel(t.Context()), f)
			if err != nil || len(layers) != 1 || string(layers[0]) != c.want {
				t.Fatalf("%v: %q, want %q", err, layers, c.want)
			}
			if len(found.Signers()) != 1 || !found.Safe() || found.WillKeep() || f.Server() != "file:" || !strings.Contains(found.URL(), "x.bundle") {
				t.Errorf("%+v: signers %q, URL %q", found.Image, found.Signers(), found.URL())
			}
			if seen, err := history.LoadSeen(); err != nil || len(seen) == 0 {
				t.Errorf("remembered %v, %v", seen, err)
			}
			if _, _, err := unbundle(t.Context(), keptFinder(t, data, pgp.LinuxContainers(), clock)); KindOf(err) != Unverified {
				t.Errorf("with another key: %v", err)
			}
			if _, layers, err := unbundle(t.Context(), keptFinder(t, data, nil, clock)); err != nil && !strings.HasPrefix(c.name, "c ") || err == nil && string(layers[0]) != c.want {
				t.Errorf("without checks: %v", err)
			}
			for i, m := range members(t, data) {
				name, _, _ := strings.Cut(string(m[:100]), "\x00")
				list := members(t, data)
				size := bytes.IndexByte(m[tarBlock:], 0)
				changed := append([]byte{}, m...)
				changed[tarBlock+max(size, 1)/2] ^= 1
				for what, with := range map[string][][]byte{"changed": {changed}, "removed": nil, "twice": {m, m}} {
					other := joined(append(append(append([][]byte{}, list[:i]...), with...), list[i+1:]...)...)
					_, layers, err := unbundle(t.Context(), keptFinder(t, other, c.keys, clock))
					if err == nil && (name != bundleFile && name != recordFile || what != "changed" || string(layers[0]) != c.want) {
						t.Errorf("%s %s: accepted", name, what)
					}
				}
			}
		})
	}
}

// TestBundleOfStreamsRefused has lists without a signature, an expired image, and an older list
// than one that was seen.
func TestBundleOfStreamsRefused(t *testing.T) {
	s := newStreamsTree(t)
	s.add(build1, day2.Add(time.Hour), "incus.tar.xz", "root.tar.xz")
	s.publish()
	old := exported(t, Open(s.options(t, ""), heard(new(strings.Builder))), image.Query{})
	clock := s.options(t, "").Clock
	history := t.TempDir()
	f := keptFinder(t, old, s.key.ring(t), clock)
	f.opt.Histories = []*cache.Cache{{Base: history}}
	if _, _, err := unbundle(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	late := s.options(t, "").Clock
	late.system = func() time.Time { return day2.Add(2 * time.Hour) }
	if _, _, err := unbundle(t.Context(), keptFinder(t, old, s.key.ring(t), late)); KindOf(err) != Replayed {
		t.Errorf("an expired image: %v", err)
	}
	s.at = day2
	s.add(build2, day2.Add(24*time.Hour), "incus.tar.xz", "root.tar.xz")
	s.publish()
	f = keptFinder(t, exported(t, Open(s.options(t, ""), heard(new(strings.Builder))), image.Query{}), s.key.ring(t), clock)
	f.opt.Histories = []*cache.Cache{{Base: history}}
	if found, _, err := unbundle(t.Context(), f); err != nil || found.Image.Build != build2 {
		t.Fatal(err)
	}
	f = keptFinder(t, old, s.key.ring(t), clock)
	f.opt.Histories = []*cache.Cache{{Base: history}}
	if _, _, err := unbundle(t.Context(), f); KindOf(err) != Replayed {
		t.Errorf("an older list: %v", err)
	}

	named := s.options(t, "")
	named.Streams.Build = build1
	g := Open(named, heard(new(strings.Builder)))
	g.Provide(0, spoolIn(t, new(int)))
	var b bytes.Buffer
	if err := g.Export(t.Context(), image.Query{}, time.Time{}, &b); err == nil || b.Len() > 0 {
		t.Errorf("an older build is exported: %v", err)
	}

	s.forms = "u"
	s.publish()
	opt := s.options(t, "")
	opt.Keys = nil
	data := exported(t, Open(opt, heard(new(strings.Builder))), image.Query{})
	if _, _, err := unbundle(t.Context(), keptFinder(t, data, pgp.LinuxContainers(), clock)); KindOf(err) != Unverified {
		t.Errorf("an unsigned list: %v", err)
	}
	if _, layers, err := unbundle(t.Context(), keptFinder(t, data, nil, clock)); err != nil || string(layers[0]) != "rootfs "+build2 {
		t.Errorf("an unsigned list without checks: %v", err)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
}
