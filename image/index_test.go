package image

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const sample = `debian;bookworm;amd64;default;20260829_05:24;/images/debian/bookworm/amd64/default/20260829_05:24/
debian;trixie;amd64;default;20260829_05:24;/images/debian/trixie/amd64/default/20260829_05:24/
debian;trixie;arm64;default;20260829_05:24;/images/debian/trixie/arm64/default/20260829_05:24/
debian;trixie;amd64;cloud;20260829_05:24;/images/debian/trixie/amd64/cloud/20260829_05:24/
alpine;3.22;amd64;default;20260829_13:00;/images/alpine/3.22/amd64/default/20260829_13:00/
gentoo;current;amd64;openrc;20260829_16:07;/images/gentoo/current/amd64/openrc/20260829_16:07/
Debian;Buster;armv7l;default;2019-07-01;//images//Debian/Buster/armv7l/default/2019-07-01//
`

func TestFind(t *testing.T) {
	index := ParseIndex([]byte(sample))
	if len(index.Images) != 7 || len(index.Problems) != 0 {
		t.Fatalf("%d images, problems %v", len(index.Images), index.Problems)
	}
	for _, c := range []struct {
		q    Query
		want string // the path; "" for no image
	}{
		{Query{Dist: "debian", Release: "trixie", Variant: "default", Arch: []string{"amd64", "x86_64"}}, "images/debian/trixie/amd64/default/20260829_05:24"},
		{Query{Dist: "debian", Release: "trixie", Variant: "default", Arch: []string{"x86_64", "amd64"}}, "images/debian/trixie/amd64/default/20260829_05:24"},
		{Query{Dist: "debian", Release: "trixie", Variant: "default", Arch: []string{"aarch64", "arm64"}}, "images/debian/trixie/arm64/default/20260829_05:24"},
		{Query{Dist: "debian", Release: "trixie", Variant: "cloud", Arch: []string{"amd64"}}, "images/debian/trixie/amd64/cloud/20260829_05:24"},
		{Query{Dist: "debian", Release: "buster", Variant: "default", Arch: []string{"armhf", "armv7l"}}, "images/Debian/Buster/armv7l/default/2019-07-01"},
		{Query{Dist: "Alpine", Release: "3.22", Variant: "default", Arch: []string{"amd64"}}, "images/alpine/3.22/amd64/default/20260829_13:00"},
		{Query{Dist: "debian", Release: "trixie", Variant: "default", Arch: []string{"riscv64"}}, ""},
		{Query{Dist: "gentoo", Release: "current", Variant: "default", Arch: []string{"amd64"}}, ""},
		{Query{Dist: "debia", Release: "trixie", Variant: "default", Arch: []string{"amd64"}}, ""},
		{Query{Dist: "debian", Release: "trixi", Variant: "default", Arch: []string{"amd64"}}, ""},
	} {
		img, err := index.Find(c.q)
		var missing *NotFoundError
		if c.want == "" && !errors.As(err, &missing) || c.want != "" && err != nil || img.Path != c.want {
			t.Errorf("Find(%v) = %q, %v; want %q", c.q, img.Path, err, c.want)
		}
	}
}

// TestFindTakesTheFirstExactLine checks that Find prefers the first line with exactly the
// wanted fields, as the stock template does, to other lines of the same image and to
// names in other letter case.
func TestFindTakesTheFirstExactLine(t *testing.T) {
	index := ParseIndex([]byte("Debian;x;amd64;default;1;/a\ndebian;x;amd64;default;2;/b\ndebian;x;amd64;default;3;/c\n"))
	img, err := index.Find(Query{Dist: "debian", Release: "x", Variant: "default", Arch: []string{"amd64"}})
	if err != nil || img.Build != "2" {
		t.Errorf("build %q, %v; want 2", img.Build, err)
	}
}

func TestNear(t *testing.T) {
	index := ParseIndex([]byte(sample))
	for _, c := range []struct {
		q    Query
		want string // the most similar image
	}{
		{Query{Dist: "debian", Release: "trixe", Variant: "default", Arch: []string{"amd64"}}, "debian/trixie/amd64/default"},
		{Query{Dist: "debain", Release: "trixie", Variant: "default", Arch: []string{"amd64"}}, "debian/trixie/amd64/default"},
		{Query{Dist: "gentoo", Release: "current", Variant: "default", Arch: []string{"amd64"}}, "gentoo/current/amd64/openrc"},
		{Query{Dist: "debian", Release: "trixie", Variant: "default", Arch: []string{"riscv64"}}, "debian/trixie/amd64/default"},
		{Query{Dist: "zzzzzzzz", Release: "trixie", Variant: "default", Arch: []string{"amd64"}}, ""},
	} {
		_, err := index.Find(c.q)
		var missing *NotFoundError
		if !errors.As(err, &missing) {
			t.Fatalf("Find(%v): %v", c.q, err)
		}
		got := ""
		if len(missing.Near) > 0 {
			got = missing.Near[0].Name.String()
		}
		if got != c.want || len(missing.Near) > maxNear {
			t.Errorf("near %v: %q of %d, want %q", c.q, got, len(missing.Near), c.want)
		}
	}
}

func TestParseIndexPassesOver(t *testing.T) {
	good := "debian;trixie;amd64;default;20260829_05:24;/images/x/\n"
	for _, c := range []struct {
		what, line string
	}{
		{"too few fields", "debian;trixie;amd64;default;20260829_05:24"},
		{"HTML", "<html><body>Log in</body></html>"},
		{"no build", "debian;trixie;amd64;default;;/images/x/"},
		{"no path", "debian;trixie;amd64;default;20260829_05:24;"},
		{"path of slashes", "debian;trixie;amd64;default;20260829_05:24;///"},
		{"dist with a slash", "de/bian;trixie;amd64;default;1;/x/"},
		{"dist that goes up", "..;trixie;amd64;default;1;/x/"},
		{"release that goes up", "debian;..;amd64;default;1;/x/"},
		{"variant of dots", "debian;trixie;amd64;...;1;/x/"},
		{"build that goes up", "debian;trixie;amd64;default;..;/x/"},
		{"build with a slash", "debian;trixie;amd64;default;../../etc;/x/"},
		{"path that goes up", "debian;trixie;amd64;default;1;/x/../../y"},
		{"absolute URL", "debian;trixie;amd64;default;1;https://elsewhere.example/x"},
		{"percent in path", "debian;trixie;amd64;default;1;/x/%2e%2e/y"},
		{"query in path", "debian;trixie;amd64;default;1;/x?y=z"},
		{"fragment in path", "debian;trixie;amd64;default;1;/x#y"},
		{"backslash", `debian;trixie;amd64;default;1;/x\..\y`},
		{"escape", "debian;tri\x1b[2Jxie;amd64;default;1;/x"},
		{"NUL", "debian;tri\x00xie;amd64;default;1;/x"},
		{"carriage return inside", "debian;tri\rxie;amd64;default;1;/x"},
		{"long field", strings.Repeat("a", 256) + ";trixie;amd64;default;1;/x"},
	} {
		index := ParseIndex([]byte(good + c.line + "\n" + good))
		if len(index.Images) != 2 || len(index.Problems) != 1 || index.Problems[0].Line != 2 {
			t.Errorf("%s: %d images, problems %v", c.what, len(index.Images), index.Problems)
		}
	}
}

func TestParseIndexAccepts(t *testing.T) {
	for _, c := range []struct {
		what, text string
		images     int
	}{
		{"CRLF", "a;b;c;d;1;/x/\r\na;b;c;e;1;/x/\r\n", 2},
		{"empty lines", "\n\na;b;c;d;1;/x/\n  \n\r\n", 1},
		{"no newline at the end", "a;b;c;d;1;/x/\na;b;c;e;1;/x/", 2},
		{"more fields", "a;b;c;d;1;/x/;y;z\n", 1},
		{"spaces", "a b;c;d;e;1;/x y/\n", 1},
		{"empty", "", 0},
	} {
		index := ParseIndex([]byte(c.text))
		if len(index.Images) != c.images || len(index.Problems) != 0 {
			t.Errorf("%s: %d images, problems %v", c.what, len(index.Images), index.Problems)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	index := ParseIndex([]byte(strings.Repeat("broken\n", 10000)))
	if len(index.Problems) != maxProblems {
		t.Errorf("%d problems kept", len(index.Problems))
	}
}

// TestNearOrder checks which names are suggested, and in which order.
func TestNearOrder(t *testing.T) {
	lines := ""
	for _, name := range strings.Fields(`debian/bookworm/amd64 debian/bullseye/amd64 debian/trixie/amd64 debian/forky/amd64 debian/sid/arm64
		debian/trixie/arm64 ubuntu/noble/s390x alpine/3.21/amd64 alpine/3.22/amd64 gentoo/current/amd64/openrc gentoo/current/amd64/systemd`) {
		if strings.Count(name, "/") == 2 {
			name += "/default"
		}
		lines += strings.ReplaceAll(name, "/", ";") + ";1;/x\n"
	}
	index := ParseIndex([]byte(lines))
	for _, c := range []struct{ query, text, near string }{
		{"debain/latest/amd64", `no image "debain" for "amd64"`, "debian//amd64/default debian/bookworm/amd64/default debian/bullseye/amd64/default debian/forky/amd64/default"},
		{"debian/sid/amd64", `no image "debian/sid" for "amd64"`, "debian/trixie/amd64/default debian/bookworm/amd64/default debian/bullseye/amd64/default debian/forky/amd64/default"},
		{"alpine/3.23/amd64", `no image "alpine/3.23" for "amd64"`, "alpine/3.22/amd64/default alpine/3.21/amd64/default"},
		{"genttoo/latest/amd64", `no image "genttoo" for "amd64"`, "gentoo/current/amd64/openrc gentoo/current/amd64/systemd"}, // "gentoo" means none
		{"debian/trixie/s390x", `no image "debian/trixie" for "s390x"`, "debian/trixie/amd64/default debian/trixie/arm64/default"},
		{"debian/trixie/amd46", `no image "debian/trixie" for "amd46"`, "debian/trixie/amd64/default debian/trixie/arm64/default"},
		{"bookworm/latest/amd64", `no image "bookworm" for "amd64"`, "debian/bookworm/amd64/default"},
		{"debian-12/latest/amd64", `no image "debian-12" for "amd64"`, "debian/bookworm/amd64/default"},
		{"debian:trixie/latest/amd64", `no image "debian:trixie" for "amd64"`, "debian/trixie/amd64/default"},
		{"12/latest/amd64", `no image "12" for "amd64"`, "debian/bookworm/amd64/default"},
		{"zzzzzz/latest/amd64", `no image "zzzzzz" for "amd64"`, ""},
		{"debian/trixie/amd64/cloud", `no image "debian/trixie/amd64/cloud"`, "debian/trixie/amd64/default debian/bookworm/amd64/default"},
	} {
		f := strings.Split(c.query, "/")
		q := Query{Dist: f[0], Release: f[1], Arch: []string{f[2]}, Variant: "default", AnyVariant: len(f) == 3}
		if len(f) == 4 {
			q.Variant = f[3]
		}
		_, err := index.Find(q)
		var missing *NotFoundError
		if !errors.As(err, &missing) || err.Error() != c.text {
			t.Fatalf("%s: %v, want %s", c.query, err, c.text)
		}
		got := ""
		for _, img := range missing.Near {
			got += " " + img.Name.String()
		}
		if !strings.HasPrefix(strings.TrimSpace(got), c.near) || c.near == "" && got != "" {
			t.Errorf("%s: %s, want %s", c.query, got, c.near)
		}
	}
}

// FuzzParseIndex checks that no field of a parsed image can lead out of a directory.
func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("..;a;b;c;d;/../x\na;b;c;d;e;//x//y\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, img := range ParseIndex(text).Images {
			for _, name := range append(strings.Split(img.Path, "/"), img.Dist, img.Release, img.Arch, img.Variant, img.Build) {
				if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00\n\r\x1b") {
					t.Fatalf("image %q has component %q", fmt.Sprint(img), name)
				}
			}
		}
	})
}
