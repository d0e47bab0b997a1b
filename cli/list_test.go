package cli

import (
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
)

// TestListTable checks the columns at several widths of a terminal, and in a pipe.
func TestListTable(t *testing.T) {
	now := time.Date(2026, 8, 31, 6, 0, 0, 0, time.UTC)
	row := func(dist, release, variant, build, cached string, size int64) *listRow {
		return &listRow{img: &image.Image{Name: image.Name{Dist: dist, Release: release, Arch: "amd64", Variant: variant}, Build: build}, cached: cached, size: size}
	}
	plain := []*listRow{
		row("almalinux", "9", "default", "20260829_05:24", "", 0),
		row("debian", "trixie", "default", "20260829_05:24", "20260829_05:24", 80<<20),
		row("debian", "bookworm", "default", "20260831_05:24", "20260801_05:24", 0),
	}
	cloud := []*listRow{row("debian", "trixie", "cloud\x1b", "v1", "", 0)}
	for _, c := range []struct {
		rows  []*listRow
		width int
		want  string
	}{
		{plain, 200, `DIST       RELEASE   ARCH   VARIANT  AGE         SIZE      CACHED
almalinux  9         amd64  default  2 days
debian     trixie    amd64  default  2 days      80.0 MiB  yes
debian     bookworm  amd64  default  36 minutes            older
`},
		{plain, 64, `DIST       RELEASE   ARCH   VARIANT  AGE         CACHED
almalinux  9         amd64  default  2 days
debian     trixie    amd64  default  2 days      yes
debian     bookworm  amd64  default  36 minutes  older
`},
		{plain, 43, `DIST       RELEASE   ARCH   VARIANT  CACHED
almalinux  9         amd64  default
debian     trixie    amd64  default  yes
debian     bookworm  amd64  default  older
`},
		{plain, 40, `DIST       RELEASE   ARCH   CACHED
almalinux  9         amd64
debian     trixie    amd64  yes
debian     bookworm  amd64  older
`},
		{cloud, 20, `DIST    RELEASE  ARCH   VARIANT
debian  trixie   amd64  cloud\x1b
`},
		{cloud, 80, `DIST    RELEASE  ARCH   VARIANT    AGE
debian  trixie   amd64  cloud\x1b  -
`},
		{plain[:2], 0, `almalinux  9        amd64  default  20260829_05:24
debian     trixie   amd64  default  20260829_05:24
`},
	} {
		got := listTable(c.rows, c.width, now)
		if got != c.want {
			t.Errorf("width %d:\n%s\nwant\n%s", c.width, got, c.want)
		}
		for line := range strings.Lines(got) {
			if c.width >= 40 && len(line)-1 > c.width {
				t.Errorf("width %d: %q", c.width, line)
			}
		}
	}
}
