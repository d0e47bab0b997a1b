// Package cross has the table of the machines for which lxc-pull is built, and the names that
// Go, the kernel, LXC and Debian use for the same machine.
//
// The build (cross/build), the emulated tests and the choice of the default architecture
// read this table: a new target is one more line in it.
//
// cross.go has the targets and the names; runs.go says which machines can run a program.
package cross

import "strings"

// A Target is one build of lxc-pull. An empty setting means Go's default.
type Target struct {
	Name   string // in file names: lxc-pull-GOOS-NAME
	GOOS   string // "" means linux
	GOARCH string
	GOARM  string // 5 (software floating point), 6, 7
	GO386  string
	GOMIPS string

	Image string // the image servers' name of the machine, which is Debian's
	Qemu  string // the qemu-user program that runs the build; "" if amd64 runs it directly

	// Budget is the expected size of the build in bytes. A build that is more than 1 %
	// larger is an error. A change that is worth more bytes raises this number, too
	// (docs/size.md says how much each part costs).
	Budget int
}

// NoQemu is the Qemu of a target that only its own system can run.
const NoQemu = "none"

// Targets returns all targets, in the order in which they are built.
//
// The MIPS processors of routers and the older ARM processors have no floating point unit.
// The build for Android is position-independent and is loaded by the system's linker: Termux
// from Google's store starts programs only through that linker (termux-exec). Everywhere
// else on a phone, linux-arm64 works.
func Targets() []Target {
	return []Target{
		{Name: "armv5", GOARCH: "arm", GOARM: "5", Image: "armel", Qemu: "qemu-arm-static", Budget: 8_000_000},
		{Name: "armv6", GOARCH: "arm", GOARM: "6", Image: "armel", Qemu: "qemu-arm-static", Budget: 7_980_000},
		{Name: "armv7", GOARCH: "arm", GOARM: "7", Image: "armhf", Qemu: "qemu-arm-static", Budget: 7_960_000},
		{Name: "arm64", GOARCH: "arm64", Image: "arm64", Qemu: "qemu-aarch64-static", Budget: 7_670_000},
		{Name: "386", GOARCH: "386", GO386: "sse2", Image: "i386", Budget: 8_010_000},
		{Name: "386-softfloat", GOARCH: "386", GO386: "softfloat", Image: "i386", Budget: 8_030_000},
		{Name: "amd64", GOARCH: "amd64", Image: "amd64", Budget: 8_280_000},
		{Name: "mips", GOARCH: "mips", GOMIPS: "softfloat", Image: "mips", Qemu: "qemu-mips-static", Budget: 9_180_000},
		{Name: "mipsle", GOARCH: "mipsle", GOMIPS: "softfloat", Image: "mipsel", Qemu: "qemu-mipsel-static", Budget: 9_180_000},
		{Name: "riscv64", GOARCH: "riscv64", Image: "riscv64", Qemu: "qemu-riscv64-static", Budget: 7_210_000},
		{Name: "ppc64le", GOARCH: "ppc64le", Image: "ppc64el", Qemu: "qemu-ppc64le-static", Budget: 8_000_000},
		{Name: "s390x", GOARCH: "s390x", Image: "s390x", Qemu: "qemu-s390x-static", Budget: 8_660_000},
		{Name: "loong64", GOARCH: "loong64", Image: "loong64", Qemu: "qemu-loongarch64-static", Budget: 8_070_000},
		{Name: "arm64", GOOS: "android", GOARCH: "arm64", Image: "arm64", Qemu: NoQemu, Budget: 8_520_000},
	}
}

// goos returns the value of GOOS.
func (t Target) goos() string {
	if t.GOOS == "" {
		return "linux"
	}
	return t.GOOS
}

// Env returns the environment variables with which the go command builds t, as NAME=value.
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

// An architecture lists all names of one machine.
type architecture struct {
	image string   // Debian's name, which image servers use
	other []string // the names of the kernel, Go and other distributions
	lxc   []string // the values of lxc.arch for it (lxc_config_parse_arch in LXC's confile.c)
}

// architectures returns the table of names.
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

// Spellings returns all names of the machine that has the given name, and name itself first.
// For an unknown name it returns only name.
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

// LXCKnows reports whether LXC accepts name as the value of lxc.arch. The names are those of
// LXC 7.0; earlier versions lack loong64 and a few aliases.
func LXCKnows(name string) bool {
	for _, a := range architectures() {
		if holds(a.lxc, name) {
			return true
		}
	}
	return false
}

// LXCMeans reports whether an image that a server lists as name can have arch as its lxc.arch.
// A value of lxc.arch may stand for several machines (all 32-bit ARM machines are one). For
// an unknown name LXCMeans returns true.
func LXCMeans(arch, name string) bool {
	for _, a := range architectures() {
		if a.image == strings.ToLower(name) || holds(a.other, strings.ToLower(name)) {
			return holds(a.lxc, arch)
		}
	}
	return true
}

// Host returns the image servers' name of the machine for a program that was built for
// goarch. It is the machine of the user space: a 32-bit program on a 64-bit kernel gets
// 32-bit images. machine is the name from uname(2), which distinguishes the 32-bit ARM
// machines: Debian's armhf needs an ARMv7.
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

// holds reports whether name is in list.
func holds(list []string, name string) bool {
	for _, n := range list {
		if n == name {
			return true
		}
	}
	return false
}
