package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"lxc-pull/lxc"
)

// What an image's config loosens is told where the container's root is the
// host's, and there alone.
func TestLooseConfig(t *testing.T) {
	for namespace, want := range map[lxc.Namespace]int{lxc.HostNamespace: maxLoosens, lxc.RootNamespace: 0, lxc.UserNamespace: 0} {
		var out bytes.Buffer
		c := newCreation(&ui{out: io.Discard, err: &out}, options{path: "/x", rootfs: "/x/rootfs"}, namespace)
		err := c.checkMeta(&source{meta: lxc.Meta{"config": []byte(strings.Repeat("lxc.cap.drop =\n", 2*maxLoosens))}})
		if got := strings.Count(out.String(), `warning: the image's config has "lxc.cap.drop ="`); err != nil || got != want {
			t.Errorf("namespace %v: %d warnings, want %d; %v", namespace, got, want, err)
		}
	}
}
