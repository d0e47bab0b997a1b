package cross

import (
	"strings"
	"testing"
)

// The variants of ARM depend on the processor, and every name of a machine gives the same
// platforms.
func TestPlatforms(t *testing.T) {
	for _, c := range []struct{ arch, machine, want string }{
		{"arm64", "aarch64", "arm64/v8 arm64"}, {"aarch64", "x86_64", "arm64/v8 arm64"}, {"ARM64", "", "arm64/v8 arm64"},
		{"armhf", "armv7l", "arm/v7 arm/v6 arm/v5 arm"}, {"armhf", "aarch64", "arm/v7 arm/v6 arm/v5 arm"}, {"armhf", "armv6l", "arm/v6 arm/v5 arm"},
		{"armel", "armv6l", "arm/v6 arm/v5 arm"}, {"armel", "armv5tel", "arm/v5 arm"}, {"armel", "aarch64", "arm/v6 arm/v5 arm"},
		{"armv5", "aarch64", "arm/v5 arm"}, {"armv6l", "armv7l", "arm/v6 arm/v5 arm"}, {"armv7l", "armv5tel", "arm/v5 arm"}, {"armhf", "x86_64", "arm/v7 arm/v6 arm/v5 arm"},
		{"amd64", "x86_64", "amd64 amd64/v1 amd64/v2"}, {"x86_64", "aarch64", "amd64 amd64/v1 amd64/v2"},
		{"i386", "x86_64", "386"}, {"386", "i686", "386"}, {"ppc64el", "ppc64le", "ppc64le"}, {"ppc64le", "", "ppc64le"},
		{"s390x", "s390x", "s390x"}, {"riscv64", "riscv64", "riscv64"}, {"loong64", "loongarch64", "loong64"}, {"loongarch64", "", "loong64"},
		{"mips64el", "mips64", "mips64le"}, {"mips64le", "", "mips64le"}, {"mipsel", "mips", "mipsle"}, {"mips", "mips", "mips"}, {"powerpc", "ppc", "ppc"},
		{"wasm", "x86_64", "wasm"},
	} {
		if got := strings.Join(Platforms(c.arch, c.machine), " "); got != c.want {
			t.Errorf("Platforms(%q, %q) = %q, want %q", c.arch, c.machine, got, c.want)
		}
	}
	// The program's own builds run on the best platform of their machine.
	for _, target := range Targets() {
		best, _, _ := strings.Cut(Platforms(target.Image, "")[0], "/")
		if best != target.GOARCH {
			t.Errorf("%s: Platforms(%q) begins with %q, not %q", target.Name, target.Image, best, target.GOARCH)
		}
	}
}
