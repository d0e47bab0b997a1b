package image

import (
	"slices"
	"strings"
	"testing"
)

// TestReleaseKey checks the order of releases: stable ones by their age, the others at the end.
func TestReleaseKey(t *testing.T) {
	for dist, want := range map[string]string{ // the newest first
		"debian":    "trixie bookworm bullseye sid forky",
		"Debian":    "13 12 11 9 15 14",
		"devuan":    "excalibur 5 chimaera 3 ceres freia",
		"Devuan":    "6 daedalus ceres 7",
		"ubuntu":    "resolute plucky noble jammy stonking devel",
		"mint":      "zena 22.2 xia wilma virginia",
		"alpine":    "3.22 3.9 3.09.1 edge",
		"fedora":    "43 42 9 rawhide",
		"openwrt":   "24.10 23.05 snapshot",
		"centos":    "10-Stream 9-Stream",
		"opensuse":  "16.0 15.6 tumbleweed",
		"archlinux": "current",
		"alt":       "p11 p10 Sisyphus",
		"nixos":     "25.11 unstable",
	} {
		names := strings.Fields(want)
		got := slices.Clone(names)
		slices.Reverse(got)
		slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(ReleaseKey(dist, b), ReleaseKey(dist, a)) })
		if dist == "alpine" { // equal numbers with another length
			names = strings.Fields("3.22 3.09.1 3.9 edge")
		}
		if !slices.Equal(got, names) {
			t.Errorf("%s: %q, want %q", dist, got, names)
		}
	}
}

func TestResolve(t *testing.T) {
	lines := ""
	for _, name := range strings.Fields(`debian/bookworm/amd64/default debian/trixie/amd64/default debian/trixie/arm64/default
		debian/sid/amd64/default debian/sid/riscv64/default ubuntu/24.04/amd64/default ubuntu/25.04/amd64/cloud ubuntu/25.04/amd64/tiny
		archlinux/current/amd64/default gentoo/current/amd64/openrc alpine/edge/amd64/default alpine/3.22/amd64/default alpine/3.9/amd64/default
		centos/9-Stream/amd64/default rockylinux/9/amd64/default void/one/amd64/default voidlinux/current/amd64/default
		devuan/ceres/amd64/default devuan/freia/amd64/default devuan/7/arm64/default devuan/daedalus/arm64/default
		ubuntu/noble/arm64/default ubuntu/zzz/arm64/default ubuntu/zzz/riscv64/default`) {
		lines += strings.ReplaceAll(name, "/", ";") + ";1;/x\n"
	}
	index := ParseIndex([]byte(lines))
	for _, c := range []struct {
		image      string // dist/release/arch, or dist/release/arch/variant
		want, note string // want is "" for no image
	}{
		{"debian/latest/amd64", "debian/trixie/amd64/default", "debian means debian/trixie, the newest stable release in the list"},
		{"debian/latest/arm64", "debian/trixie/arm64/default", "debian means debian/trixie, the newest stable release in the list"},
		{"debian/latest/riscv64", "debian/sid/riscv64/default", "debian means debian/sid, its only release for riscv64"},
		{"debian/13/amd64", "debian/trixie/amd64/default", "debian/13 means debian/trixie"},
		{"debian/13/riscv64", "", ""},
		{"Debian/13/amd64", "debian/trixie/amd64/default", "Debian/13 means debian/trixie"},
		{"debian/99/amd64", "", ""},
		{"ubuntu/noble/amd64", "ubuntu/24.04/amd64/default", "ubuntu/noble means ubuntu/24.04"},
		{"ubuntu/Noble/amd64", "ubuntu/24.04/amd64/default", "ubuntu/Noble means ubuntu/24.04"},
		{"ubuntu/plucky/amd64", "", ""}, // two variants
		{"ubuntu/plucky/amd64/tiny", "ubuntu/25.04/amd64/tiny", "ubuntu/plucky means ubuntu/25.04"},
		{"arch/latest/amd64", "archlinux/current/amd64/default", "arch means archlinux/current, its only release for amd64"},
		{"arch-linux/current/amd64", "archlinux/current/amd64/default", "arch-linux/current means archlinux/current"},
		{"rocky/9/amd64", "rockylinux/9/amd64/default", "rocky/9 means rockylinux/9"},
		{"void/current/amd64", "voidlinux/current/amd64/default", "void/current means voidlinux/current"},
		{"void/one/amd64", "void/one/amd64/default", "void/one means void/one"},
		{"gentoo/current/amd64", "gentoo/current/amd64/openrc", "gentoo/current means gentoo/current/openrc, its only variant"},
		{"gentoo/current/amd64/default", "", ""},
		{"gentoo/latest/amd64", "gentoo/current/amd64/openrc", "gentoo means gentoo/current/openrc, its only variant"},
		{"alpine/latest/amd64", "alpine/3.22/amd64/default", "alpine means alpine/3.22, the newest stable release in the list"},
		{"alpine/v3.9/amd64", "alpine/3.9/amd64/default", "alpine/v3.9 means alpine/3.9"},
		{"centos/9/amd64", "centos/9-Stream/amd64/default", "centos/9 means centos/9-Stream"},
		{"devuan/latest/amd64", "", ""}, // two, and neither is stable
		{"devuan/latest/arm64", "devuan/daedalus/arm64/default", "devuan means devuan/daedalus, the newest stable release in the list"},
		// A code name that is not in the table may be that of a release to come.
		{"ubuntu/latest/arm64", "ubuntu/noble/arm64/default", "ubuntu means ubuntu/noble, the newest stable release in the list"},
		{"ubuntu/latest/riscv64", "ubuntu/zzz/riscv64/default", "ubuntu means ubuntu/zzz, its only release for riscv64"},
		{"zzz/latest/amd64", "", ""},
	} {
		f := strings.Split(c.image, "/")
		q := Query{Dist: f[0], Release: f[1], Arch: []string{f[2]}, Variant: "default", Loose: true, AnyVariant: len(f) == 3}
		if len(f) == 4 {
			q.Variant = f[3]
		}
		before := q
		note := index.Resolve(&q)
		if note != c.note {
			t.Errorf("%s: %q, want %q", c.image, note, c.note)
		}
		if c.want == "" && (q.Dist != before.Dist || q.Release != before.Release || q.Variant != before.Variant) {
			t.Errorf("%s: nothing is meant, but it became %+v", c.image, q)
		}
		if img, err := index.Find(q); err == nil && img.Name.String() != c.want || err != nil && c.want != "" {
			t.Errorf("%s: %s, %v, want %s", c.image, img.Name, err, c.want)
		}
	}
}

// TestFindBuild checks that the line with the build that the user named is preferred.
func TestFindBuild(t *testing.T) {
	index := ParseIndex([]byte("d;r;a;v;1;/x/1\nd;r;a;v;2;/x/2\n"))
	for build, want := range map[string]string{"": "1", "1": "1", "2": "2", "3": "1"} {
		if img, err := index.Find(Query{Dist: "d", Release: "r", Arch: []string{"a"}, Variant: "v", Build: build}); err != nil || img.Build != want {
			t.Errorf("build %q: %q, %v", build, img.Build, err)
		}
	}
}

func TestOrder(t *testing.T) {
	keys := []string{"b", "a/b", "a", "b", "", "a-b", "b\x01", "b"}
	want := []int{4, 2, 5, 1, 0, 3, 7, 6}
	if got := Order(keys); !slices.Equal(got, want) {
		t.Errorf("Order = %v, want %v", got, want)
	}
	if keys[0] != "b" {
		t.Error("Order changed the keys")
	}
}
