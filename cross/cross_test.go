package cross

import (
	"slices"
	"testing"
)

func TestSpellings(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"aarch64", "arm64"}, {"arm64", "aarch64"}, {"x86_64", "amd64"}, {"amd64", "x86_64"},
		{"armv7l", "armhf"}, {"armhf", "armv7l"}, {"i686", "i386"}, {"ppc64le", "ppc64el"},
		{"armv6l", "armel"}, {"mipsle", "mipsel"}, {"loongarch64", "loong64"}, {"AMD64", "amd64"},
	} {
		got := Spellings(c.name)
		if got[0] != c.name || !slices.Contains(got, c.want) {
			t.Errorf("Spellings(%q) = %q, want %q first and %q among them", c.name, got, c.name, c.want)
		}
	}
	if got := Spellings("vax"); !slices.Equal(got, []string{"vax"}) {
		t.Errorf("Spellings of an unknown name = %q", got)
	}
	if slices.Contains(Spellings("armel"), "armhf") {
		t.Error("an armel image is not an armhf one")
	}
}

// No name stands for two machines: the choice of the image would be random.
func TestNamesAreUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, a := range architectures() {
		for _, n := range append([]string{a.image}, a.other...) {
			if seen[n] != "" {
				t.Errorf("%q means %s and %s", n, seen[n], a.image)
			}
			seen[n] = a.image
		}
	}
}

// LXCKnows accepts the names that LXC 7.0 accepts for lxc.arch.
func TestLXCNames(t *testing.T) {
	names := []string{"arm", "armel", "armhf", "armv7l", "athlon", "i386", "i486", "i586", "i686", "linux32", "mips", "mipsel", "ppc", "powerpc", "x32", "x86",
		"aarch64", "amd64", "arm64", "linux64", "loongarch64", "loong64", "mips64", "mips64el", "ppc64", "ppc64el", "ppc64le", "powerpc64", "riscv64", "s390x", "x86_64"}
	for _, n := range names {
		if !LXCKnows(n) {
			t.Errorf("LXCKnows(%q) = false", n)
		}
	}
	for _, n := range []string{"", "vax", "X86_64", "amd", "armv6l"} {
		if LXCKnows(n) {
			t.Errorf("LXCKnows(%q) = true", n)
		}
	}
	for _, c := range []struct {
		arch, name string
		want       bool
	}{
		{"x86_64", "amd64", true}, {"armv7l", "armhf", true}, {"armv7l", "armel", true}, {"aarch64", "arm64", true},
		{"i686", "i386", true}, {"x86_64", "arm64", false}, {"i686", "amd64", false}, {"anything", "vax", true},
	} {
		if got := LXCMeans(c.arch, c.name); got != c.want {
			t.Errorf("LXCMeans(%q, %q) = %v", c.arch, c.name, got)
		}
	}
}

func TestHost(t *testing.T) {
	for _, c := range []struct{ goarch, machine, want string }{
		{"amd64", "x86_64", "amd64"}, {"386", "x86_64", "i386"}, {"386", "i686", "i386"},
		{"arm", "armv7l", "armhf"}, {"arm", "armv8l", "armhf"}, {"arm", "aarch64", "armhf"},
		{"arm", "armv6l", "armel"}, {"arm", "armv5tejl", "armel"}, {"arm64", "aarch64", "arm64"},
		{"mipsle", "mips", "mipsel"}, {"ppc64le", "ppc64le", "ppc64el"}, {"riscv64", "riscv64", "riscv64"},
		{"loong64", "loongarch64", "loong64"}, {"s390x", "s390x", "s390x"}, {"wasm", "", "wasm"},
	} {
		if got := Host(c.goarch, c.machine); got != c.want {
			t.Errorf("Host(%q, %q) = %q, want %q", c.goarch, c.machine, got, c.want)
		}
	}
}

func TestTargets(t *testing.T) {
	names := map[string]bool{}
	for _, target := range Targets() {
		if names[target.File()] {
			t.Errorf("two targets named %q", target.File())
		}
		names[target.File()] = true
		if target.Budget == 0 {
			t.Errorf("%s has no budget", target.File())
		}
		if !slices.ContainsFunc(architectures(), func(a architecture) bool { return a.image == target.Image }) {
			t.Errorf("%s: unknown image architecture %q", target.Name, target.Image)
		}
	}
}
