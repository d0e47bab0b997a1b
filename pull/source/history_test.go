package source

import (
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
)

// An index with two signers is recorded for both: an old index is refused even if the signature
// of one of them was removed from it.
func TestRememberEverySigner(t *testing.T) {
	c := Open(Options{Clock: NewClock(time.Time{}, time.Now()), Histories: []*cache.Cache{{Base: t.TempDir()}}}, deaf())
	img := image.Image{Name: image.Name{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default"}, Build: "20260829_05:24"}
	made := time.Date(2026, 8, 29, 6, 0, 0, 0, time.UTC)
	for _, by := range [][]string{{"AA", "BB"}, {"BB", "AA"}} {
		found := &Found{finder: c, Image: img, lxcImage: lxcImage{index: indexUse{signers: signers{keys: by, at: made}, downloaded: true}}}
		found.Remember(t.Context())
	}
	old := img
	old.Build = "20260801_05:24"
	for _, test := range []struct {
		by  []string
		old bool
	}{{[]string{"AA"}, true}, {[]string{"BB"}, true}, {[]string{"CC", "BB"}, true}, {[]string{"CC"}, false}} {
		if err := c.checkNotOlder(&old, &signers{keys: test.by, at: made}, false); (KindOf(err) == Replayed) != test.old {
			t.Errorf("an old build by %q: %v", test.by, err)
		}
		if err := c.checkNotOlder(&img, &signers{keys: test.by, at: made}, false); err != nil {
			t.Errorf("the same build by %q: %v", test.by, err)
		}
	}
	list, err := c.history()
	if err != nil || len(list) != 2 {
		t.Errorf("%d lines, want 2: %v", len(list), err)
	}
}
