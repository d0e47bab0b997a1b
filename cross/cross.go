// Package cross has the table of the machines that lxc-pull is built for, and
// the names that Go, the kernel, LXC and Debian give to the same machine.
//
// The build (cross/build), the emulated tests and the choice of a default
// architecture all read this one table: a new target is one line in it.
package cross

import "strings"

// A Target is one build of lxc-pull. Empty settings are Go's defaults.
type Target struct {
	Name   string // in file names: lxc-pull-GOOS-NAME
	GOOS   string // "": linux
	GOARCH string
	GOARM  string // 5 (software floating point), 6, 7
	GO386  string
	GOMIPS string

	Image string // what image servers call this machine: Debian's name
	Qemu  string // the qemu-user program that runs it; "" where amd64 does

	// Budget is the size that a build may have, in bytes: one that is more
	// than a hundredth above it fails. A change that is worth its bytes
	// changes this figure too (docs/size.md says what costs what).
	Budget int
}

// NoQemu is the Qemu of a target that nothing but the system it is for runs.
const NoQemu = "none"

// Targets lists every target, in the order in which builds are made.
//
// Routers' MIPS processors and the older ARMs have no floating point unit. The
// build for Android is a position-independent one, which is linked by the
// system's linker: Termux from Google's store starts programs only through
// that (termux-exec); everywhere else on a phone linux-arm64 does.
func Targets() []Target {
	return []Target{
		{Name: "armv5", GOARCH: "arm", GOARM: "5", Image: "armel", Qemu: "qemu-arm-static", Budget: 7_240_000},
		{Name: "armv6", GOARCH: "arm", GOARM: "6", Image: "armel", Qemu: "qemu-arm-static", Budget: 7_220_000},
		{Name: "armv7", GOARCH: "arm", GOARM: "7", Image: "armhf", Qemu: "qemu-arm-static", Budget: 7_210_000},
		{Name: "arm64", GOARCH: "arm64", Image: "arm64", Qemu: "qemu-aarch64-static", Budget: 6_950_000},
		{Name: "386", GOARCH: "386", GO386: "sse2", Image: "i386", Budget: 7_260_000},
		{Name: "386-softfloat", GOARCH: "386", GO386: "softfloat", Image: "i386", Budget: 7_280_000},
		{Name: "amd64", GOARCH: "amd64", Image: "amd64", Budget: 7_560_000},
		{Name: "mips", GOARCH: "mips", GOMIPS: "softfloat", Image: "mips", Qemu: "qemu-mips-static", Budget: 8_390_000},
		{Name: "mipsle", GOARCH: "mipsle", GOMIPS: "softfloat", Image: "mipsel", Qemu: "qemu-mipsel-static", Budget: 8_390_000},
		{Name: "riscv64", GOARCH: "riscv64", Image: "riscv64", Qemu: "qemu-riscv64-static", Budget: 6_690_000},
		{Name: "ppc64le", GOARCH: "ppc64le", Image: "ppc64el", Qemu: "qemu-ppc64le-static", Budget: 7_350_000},
		{Name: "s390x", GOARCH: "s390x", Image: "s390x", Qemu: "qemu-s390x-static", Budget: 7_870_000},
		{Name: "loong64", GOARCH: "loong64", Image: "loong64", Qemu: "qemu-loongarch64-static", Budget: 7_480_000},
		{Name: "arm64", GOOS: "android", GOARCH: "arm64", Image: "arm64", Qemu: NoQemu, Budget: 7_800_000},
	}
}

func (t Target) goos() string {
	if t.GOOS == "" {
		return "linux"
	}
	return t.GOOS
}

// Env returns the settings that make the go command build t, as NAME=value.
func (t Target) Env() []string {
	env := []string{"CGO_ENABLED=0", "GOOS=" + t.goos(), "GOARCH=" + t.GOARCH}
	for _, s := range []struct{ name, value string }{{"GOARM", t.GOARM}, {"GO386", t.GO386}, {"GOMIPS", t.GOMIPS}} {
		if s.value != "" {
			env = append(env, s.name+"="+s.value)
		}
	}
	return env
}

// File returns the file name of the build of t.
func (t Target) File() string { return "lxc-pull-" + t.goos() + "-" + t.Name }

// An architecture is one machine under all its names. lxc holds the names that
// lxc.arch takes for it (lxc_config_parse_arch in LXC's confile.c).
type architecture struct {
	image string   // Debian's name, which image servers use
	other []string // the kernel's, Go's, and other distributions' names
	lxc   []string
}

func architectures() []architecture {
	return []architecture{
		{"amd64", []string{"x86_64", "x86-64"}, []string{"amd64", "x86_64", "linux64"}},
		{"i386", []string{"386", "i486", "i586", "i686", "x86"}, []string{"i386", "i486", "i586", "i686", "x86", "athlon", "linux32"}},
		{"arm64", []string{"aarch64", "armv8"}, []string{"arm64", "aarch64"}},
		{"armhf", []string{"armv7l", "armv7", "armhfp", "armv8l"}, []string{"arm", "armel", "armhf", "armv7l"}},
		{"armel", []string{"armv5tel", "armv5tejl", "armv5", "armv6l", "armv6", "arm"}, []string{"arm", "armel", "armhf", "armv7l"}},
		{"mips", nil, []string{"mips"}},
		{"mipsel", []string{"mipsle"}, []string{"mipsel"}},
		{"mips64el", []string{"mips64le"}, []string{"mips64el"}},
		{"mips64", nil, []string{"mips64"}},
		{"powerpc", []string{"ppc"}, []string{"powerpc", "ppc"}},
		{"ppc64", []string{"powerpc64"}, []string{"ppc64", "powerpc64"}},
		{"ppc64el", []string{"ppc64le"}, []string{"ppc64el", "ppc64le"}},
		{"riscv64", nil, []string{"riscv64"}},
		{"s390x", nil, []string{"s390x"}},
		{"loong64", []string{"loongarch64"}, []string{"loong64", "loongarch64"}},
		{"x32", nil, []string{"x32"}},
	}
}

// Spellings returns every name of the machine that name means, name itself
// first. An unknown name has itself alone.
func Spellings(name string) []string {
	names := []string{name}
	for _, a := range architectures() {
		all := append([]string{a.image}, a.other...)
		if !holds(all, strings.ToLower(name)) {
			continue
		}
		for _, n := range all {
			if n != name {
				names = append(names, n)
			}
		}
		break
	}
	return names
}

// LXCKnows reports whether LXC takes name as the value of lxc.arch. The list is
// that of LXC 7.0; earlier ones lack loong64 and a few aliases.
func LXCKnows(name string) bool {
	for _, a := range architectures() {
		if holds(a.lxc, name) {
			return true
		}
	}
	return false
}

// LXCMeans reports whether the value arch of lxc.arch can be that of an image
// that a server lists as name: an lxc.arch names a set (all 32-bit ARMs are
// one), and a name unknown here can't be ruled out.
func LXCMeans(arch, name string) bool {
	for _, a := range architectures() {
		if a.image == strings.ToLower(name) || holds(a.other, strings.ToLower(name)) {
			return holds(a.lxc, arch)
		}
	}
	return true
}

// Host returns the image servers' name of the machine that a program built for
// goarch sees: what its user space runs, so a 32-bit program on a 64-bit kernel
// gets 32-bit images. machine is what uname(2) says, which tells the 32-bit
// ARMs apart: Debian's armhf needs an ARMv7.
func Host(goarch, machine string) string {
	switch goarch {
	case "arm":
		if strings.HasPrefix(machine, "armv5") || strings.HasPrefix(machine, "armv6") || strings.HasPrefix(machine, "armv4") {
			return "armel"
		}
		return "armhf"
	case "386":
		return "i386"
	}
	for _, a := range architectures() {
		if a.image == goarch || holds(a.other, goarch) {
			return a.image
		}
	}
	return goarch
}

func holds(list []string, name string) bool {
	for _, n := range list {
		if n == name {
			return true
		}
	}
	return false
}
