package cross

import (
	"strings"
	"testing"
)

func TestRuns(t *testing.T) {
	for _, c := range []struct {
		goarch, machine, arch string
		runs, runs32          bool // the results if a 64-bit ARM runs 32-bit programs, and if not
	}{
		{"amd64", "x86_64", "amd64", true, true},
		{"amd64", "x86_64", "i386", true, true},
		{"386", "x86_64", "amd64", true, true},
		{"386", "i686", "amd64", false, false},
		{"amd64", "x86_64", "arm64", false, false},
		{"arm64", "aarch64", "armhf", true, false},
		{"arm64", "aarch64", "armel", true, false},
		{"arm64", "aarch64", "amd64", false, false},
		{"arm", "armv8l", "arm64", true, true},
		{"arm", "armv8l", "armhf", true, false},
		{"arm", "armv7l", "armel", true, true},
		{"arm", "armv7l", "arm64", false, false},
		{"arm", "armv6l", "armhf", false, false},
		{"arm", "armv6l", "armel", true, true},
		{"mipsle", "mips", "mipsel", true, true},
		{"mipsle", "mips", "mips", false, false},
		{"mips", "mips64", "mips", true, true},
		{"mipsle", "mips64", "mipsel", true, true},
		{"mips64le", "mips64", "mips64el", true, true},
		{"ppc64le", "ppc64le", "ppc64el", true, true},
		{"ppc64le", "ppc64le", "ppc64", false, false},
		{"s390x", "s390x", "s390x", true, true},
		{"riscv64", "riscv64", "amd64", false, false},
		{"loong64", "loongarch64", "loong64", true, true},
		{"amd64", "x86_64", "x86_64", true, true},
		{"amd64", "x86_64", "AMD64", true, true},
		{"amd64", "x86_64", "all", true, true}, // unknown names: Runs returns true
		{"amd64", "unheard", "arm64", true, true},
	} {
		for answer, want := range map[bool]bool{true: c.runs, false: c.runs32} {
			if got := Runs(c.goarch, c.machine, c.arch, func() bool { return answer }); got != want {
				t.Errorf("%s on %s (built for %s), 32-bit programs %v: %v", c.arch, c.machine, c.goarch, answer, got)
			}
		}
	}
}

// elfHeaders has an ELF header for every machine.
func TestELFHeaders(t *testing.T) {
	for _, a := range architectures() {
		if !strings.Contains(elfHeaders, " "+a.image+":") {
			t.Errorf("no ELF header of %s", a.image)
		}
	}
}

// The entries are those that Debian's qemu-user-static registers.
func TestInterprets(t *testing.T) {
	const arm64 = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	const mips = "enabled\ninterpreter /usr/bin/qemu-mips-static\nflags: OC\noffset 0\nmagic 7f454c46010201000000000000000000000200080000000000000000000000000000000000000000\nmask ffffffffffffff00fffffffffffffffffffeffff0000000000000000000000000000000000000020\n"
	for _, c := range []struct {
		entry, arch string
		want        bool
	}{
		{arm64, "arm64", true}, {arm64, "aarch64", true}, {arm64, "armhf", false}, {arm64, "riscv64", false}, {arm64, "nonsense", false},
		{mips, "mips", true}, {mips, "mipsel", false}, {mips, "powerpc", false},
		{strings.Replace(arm64, "enabled", "disabled", 1), "arm64", false},
		{strings.Replace(arm64, "offset 0", "offset 2", 1), "arm64", false},
		{"enabled\ninterpreter /usr/bin/python3\nflags: \nextension .py\n", "arm64", false},
		{"enabled\noffset 0\nmagic 7f454c46\n", "arm64", false}, // matches every ELF file, so it is not an emulator of one machine
		{"enabled\noffset 0\nmagic zz\n", "arm64", false},
		{"", "arm64", false},
	} {
		if got := Interprets(c.entry, c.arch); got != c.want {
			t.Errorf("%s, %q: %v", c.arch, c.entry, got)
		}
	}
}
