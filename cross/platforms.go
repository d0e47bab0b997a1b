package cross

import "strings"

// ImageName returns the image servers' name of a machine, which is Debian's, or name itself for
// an unknown one.
func ImageName(name string) string {
	if image := imageName(name); image != "" {
		return image
	}
	return name
}

// platforms has a line for each machine whose platforms have other names: the image servers'
// name, and the platforms, the best first.
//
// A platform without a variant comes last for ARM, where it most often means v7. It comes first
// for amd64, since this program does not ask the processor which of its levels it has; v2, which
// all of them have since 2011, is the last resort.
const platforms = `
arm64 arm64/v8 arm64
armhf arm/v7 arm/v6 arm/v5 arm
armel arm/v6 arm/v5 arm
armv5 arm/v5 arm
amd64 amd64 amd64/v1 amd64/v2
i386 386
mipsel mipsle
mips64el mips64le
powerpc ppc
ppc64el ppc64le
`

// Platforms returns the platforms of container images for a machine, the best first: "ARCH" or
// "ARCH/VARIANT", by the names of the OCI image index, which for ARCH are those of GOARCH. arch
// is any name of the machine. machine is the name from uname(2): an ARMv5 processor can't run
// what is made for ARMv6. The nearest lower variant wins.
func Platforms(arch, machine string) []string {
	arch = strings.ToLower(arch)
	name := ImageName(arch)
	if strings.HasPrefix(name, "arm") && name != "arm64" {
		switch words := " " + arch + " " + machine; {
		case strings.Contains(words, " armv5"), strings.Contains(words, " armv4"):
			name = "armv5"
		case strings.Contains(words, " armv6"):
			name = "armel"
		}
	}
	_, rest, found := strings.Cut(platforms, "\n"+name+" ")
	if !found {
		rest = name
	}
	rest, _, _ = strings.Cut(rest, "\n")
	return strings.Fields(rest)
}
