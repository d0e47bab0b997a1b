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

// Platforms returns the platforms of container images for a machine, the best first: "ARCH" or
// "ARCH/VARIANT", by the names of the OCI image index, which for ARCH are those of GOARCH. arch
// is any name of the machine. machine is the name from uname(2): an ARMv5 processor can't run
// what is made for ARMv6.
//
// The nearest lower variant wins. A platform without a variant comes last for ARM, where it
// most often means v7. It comes first for amd64, since this program does not ask the processor
// which of its levels it has; v2, which all of them have since 2011, is the last resort.
func Platforms(arch, machine string) []string {
	arch = strings.ToLower(arch)
	switch name := ImageName(arch); name {
	case "arm64":
		return []string{"arm64/v8", "arm64"}
	case "armhf", "armel":
		order := []string{"arm/v7", "arm/v6", "arm/v5", "arm"}
		for _, old := range []string{"armv5", "armv4"} {
			if strings.HasPrefix(arch, old) || strings.HasPrefix(machine, old) {
				return order[2:]
			}
		}
		if name == "armel" || strings.HasPrefix(machine, "armv6") {
			return order[1:]
		}
		return order
	case "amd64":
		return []string{"amd64", "amd64/v1", "amd64/v2"}
	case "i386":
		return []string{"386"}
	case "mipsel":
		return []string{"mipsle"}
	case "mips64el":
		return []string{"mips64le"}
	case "powerpc":
		return []string{"ppc"}
	case "ppc64el":
		return []string{"ppc64le"}
	default:
		return []string{name}
	}
}
