package cli

import (
	"strings"
	"testing"

	"lxc-pull/image"
)

func TestReadImage(t *testing.T) {
	for text, want := range map[string]string{ // dist release arch variant build
		"debian":                          "debian latest   ",
		"debian@b":                        "debian latest   b",
		"debian/trixie":                   "debian trixie   ",
		"debian/arm64":                    "debian latest arm64  ",
		"debian/aarch64/cloud":            "debian latest aarch64 cloud ",
		"debian/trixie/x86_64":            "debian trixie x86_64  ",
		"debian/trixie/cloud":             "debian trixie  cloud ",
		"debian/trixie/" + hostArch()[1:]: "debian trixie " + hostArch()[1:] + "  ",
		"debian/trixie/arm64/cloud":       "debian trixie arm64 cloud ",
		"debian/trixie@20260829_05:24":    "debian trixie   20260829_05:24",
		"debian/trixie/arm64/cloud@b@c":   "debian trixie arm64 cloud b@c",
		"debian/":                         "", "": "", "@b": "", "debian@": "",
		"debian//arm64": "", "a/b/c/d/e": "", "a/b/c/d/e@f": "",
	} {
		var o imageOptions
		err := o.readImage(text)
		if got := strings.Join([]string{o.dist, o.release, o.arch, o.variant, o.build}, " "); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestReadOperands(t *testing.T) {
	for _, c := range []struct {
		name, dist, operands string
		want                 string // name, dist, release
	}{
		{"", "", "web debian", "web debian latest"},
		{"", "", "web debian/trixie", "web debian trixie"},
		{"web", "", "debian", "web debian latest"},
		{"web", "", "debian/trixie", "web debian trixie"},
		{"debian", "", "debian", "debian debian latest"},
		{"web", "", "web debian", "web debian latest"},
		{"web", "debian", "web", "web debian "},
		{"web", "debian", "db", ""},
		{"web", "", "db debian", ""},
		{"", "", "web", "web  "},
		{"", "", "", ""},
		{"", "", "debian", ""},
		{"debian", "", "", "debian  "},
		{"", "", "nodist/trixie", ""},
		{"", "", "nodist/trixie web", "nodist/trixie web latest"}, // CheckName refuses these names
		{"", "", "web debian trixie", ""},
		{"", "", "a/b debian", "a/b debian latest"},
		{"", "", "debian/trixie a/b", "debian/trixie a b"},
		{"", "", "debian/trixie web", ""},
	} {
		o, name := imageOptions{dist: c.dist}, c.name
		err := o.readOperands(&name, strings.Fields(c.operands), "container")
		if got := name + " " + o.dist + " " + o.release; (err == nil) != (c.want != "") || err == nil && (got != c.want || !o.loose) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	// A directory below one that does not exist may look like an image.
	o, dir := imageOptions{}, ""
	if err := o.readOperands(&dir, []string{"nodir/web", "debian"}, "directory"); err != nil || dir != "nodir/web" || o.dist != "debian" {
		t.Errorf("%q, %+v, %v", dir, o, err)
	}
}

// Names from a list may have any character but a slash and a few others. In a command line
// that the user may copy, they must stay one word.
func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"debian/trixie@20260829_05:24": "debian/trixie@20260829_05:24",
		"a b":                          "'a b'", "$(x)": "'$(x)'", "it's": `'it'\''s'`, "a&b": "'a&b'", "~": "'~'", "[a]": "'[a]'", "a`b": "'a`b'", "é": "'é'",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

func TestNearHint(t *testing.T) {
	img := image.Image{Name: image.Name{Dist: "d x", Release: "r", Arch: "a", Variant: "v"}, Build: "1"}
	whole := image.Image{Name: image.Name{Dist: "d", Arch: "foreign", Variant: "default"}}
	for _, c := range []struct {
		e    *image.NotFoundError
		want string
	}{
		{&image.NotFoundError{}, "See lxc-pull list."},
		{&image.NotFoundError{Near: []image.Image{img}}, "The nearest: d x/r/a/v"},
		{&image.NotFoundError{Near: []image.Image{img}, Command: "create web"}, "Try: lxc-pull create web 'd x/r/a/v'"},
		{&image.NotFoundError{Near: []image.Image{img}, Command: "create web", Listed: "1"}, "The build in the list: lxc-pull create web 'd x/r/a/v@1'"},
		{&image.NotFoundError{Near: []image.Image{img}, Listed: "1"}, "The build in the list: d x/r/a/v@1"},
		{&image.NotFoundError{Near: []image.Image{img, img, img}, Command: "create web"}, "Try: lxc-pull create web 'd x/r/a/v'   (more: lxc-pull list 'd x')"},
		{&image.NotFoundError{Near: []image.Image{whole, img}, Command: "create web"}, "Try: lxc-pull create web d/foreign   (more: lxc-pull list d)"},
		{&image.NotFoundError{Near: []image.Image{img}, Gone: "1"}, "The server is being updated, or is out of date: try again later, or use another server. The nearest: d x/r/a/v"},
	} {
		if got := new(ui).nearHint(c.e); got != c.want {
			t.Errorf("%+v: %q, want %q", c.e, got, c.want)
		}
	}
	verbose := &ui{verbose: true}
	if got, want := verbose.nearHint(&image.NotFoundError{Near: []image.Image{img, whole}}), "The nearest: d x/r/a/v\n  d/foreign"; got != want {
		t.Errorf("-v: %q, want %q", got, want)
	}
	if got := shortName(&image.Name{Dist: "debian", Release: "trixie", Arch: hostArch(), Variant: defaultVariant}, false); got != "debian/trixie" {
		t.Errorf("%q", got)
	}
}
