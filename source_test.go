package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/lxc"
)

// What an image's config has beyond the list, and what it leaves out, is told in
// every namespace, and not without bounds.
func TestWarnOfImage(t *testing.T) {
	for _, namespace := range []lxc.Namespace{lxc.HostNamespace, lxc.RootNamespace, lxc.UserNamespace} {
		var out bytes.Buffer
		c := newCreation(&ui{out: io.Discard, err: &out}, options{name: "x", path: "/x", rootfs: "/x/rootfs", allowHost: true}, namespace)
		if err := c.checkContainer(nil); err != nil {
			t.Fatal(err)
		}
		err := c.checkMeta(&source{meta: lxc.Meta{"config": []byte(strings.Repeat("lxc.cap.drop =\r\n", 2*maxLoosens))}})
		text := out.String()
		if got := strings.Count(text, `warning: --allow-host-config lets the image's config have "lxc.cap.drop ="`); err != nil || got != maxLoosens || !strings.Contains(text, "8 more lines") || !strings.Contains(text, "nothing filters system calls") {
			t.Errorf("namespace %v: %d warnings; %v\n%s", namespace, got, err, text)
		}
	}
}

// A list that two have signed is remembered for both: an old one from which the
// signature of either was dropped is still old.
func TestRememberEverySigner(t *testing.T) {
	c := newCreation(&ui{out: io.Discard, err: io.Discard}, options{}, lxc.HostNamespace)
	t.Setenv("LXC_CACHE_PATH", t.TempDir())
	c.trust.clock = newClock(time.Time{})
	img := image.Image{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default", Build: "20260829_05:24"}
	made := time.Date(2026, 8, 29, 6, 0, 0, 0, time.UTC)
	for _, signers := range [][]string{{"AA", "BB"}, {"BB", "AA"}} {
		c.remember(t.Context(), &source{image: img, made: signature{signers, made}})
	}
	old := img
	old.Build = "20260801_05:24"
	for _, test := range []struct {
		signers []string
		old     bool
	}{{[]string{"AA"}, true}, {[]string{"BB"}, true}, {[]string{"CC", "BB"}, true}, {[]string{"CC"}, false}} {
		var replay *replayError
		if err := c.checkNotOlder(old, signature{test.signers, made}, false); errors.As(err, &replay) != test.old {
			t.Errorf("an old build by %q: %v", test.signers, err)
		}
		if err := c.checkNotOlder(img, signature{test.signers, made}, false); err != nil {
			t.Errorf("the same build by %q: %v", test.signers, err)
		}
	}
	list, err := c.seen()
	if err != nil || len(list) != 2 {
		t.Errorf("%d lines, want 2: %v", len(list), err)
	}
}
