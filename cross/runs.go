package cross

import (
	"encoding/hex"
	"strings"
)

// elfHeaders has a word "NAME:HEADER " for each machine. HEADER holds three fields from the header
// of its ELF files: the class (one digit), the byte order (one digit) and e_machine (four hex
// digits); see elf(5) and linux/elf-em.h.
const elfHeaders = " amd64:21003e i386:110003 x32:11003e arm64:2100b7 armhf:110028 armel:110028 mips:120008 mipsel:110008 mips64:220008 mips64el:210008" +
	" powerpc:120014 ppc64:220015 ppc64el:210015 riscv64:2100f3 s390x:220016 loong64:210102 "

// alsoRuns has a word "KERNEL:PROGRAM" for each machine whose programs the kernel of another
// machine can run.
const alsoRuns = " amd64:i386 amd64:x32 arm64:armhf arm64:armel armhf:armel mips64:mips mips64el:mipsel ppc64:powerpc "

// imageName returns the image servers' name of a machine, or "" for an unknown name.
func imageName(name string) string {
	name = strings.ToLower(name)
	for _, a := range architectures() {
		if a.image == name || holds(a.other, name) {
			return a.image
		}
	}
	return ""
}

// Runs reports whether the kernel can run the programs of an image for arch. It returns true if
// that is unknown. goarch is the GOARCH of this program, machine the name from uname(2).
// Runs calls runs32 to find out whether a 64-bit ARM processor runs 32-bit programs.
func Runs(goarch, machine, arch string, runs32 func() bool) bool {
	image, host := imageName(arch), imageName(machine)
	switch {
	case strings.HasPrefix(machine, "mips"):
		// uname(2) does not give the byte order; it is that of this program.
		if host = strings.TrimSuffix(machine, "el"); strings.HasSuffix(goarch, "le") {
			host += "el"
		}
	case machine == "armv8l":
		host = "arm64" // armv8l is the name that a process with a 32-bit personality sees
	case host == "armhf", host == "armel":
		host = Host("arm", machine)
	}
	if image == "" || host == "" || image == host {
		return true
	}
	return strings.Contains(alsoRuns, " "+host+":"+image+" ") && (host != "arm64" || runs32())
}

// Interprets reports whether an entry of binfmt_misc is enabled and matches the programs of
// arch. entry is the text of a file in /proc/sys/fs/binfmt_misc. Interprets compares its
// magic and mask with the beginning of an ELF file and does not look at the interpreter's
// name. See Documentation/admin-guide/binfmt-misc.rst of the kernel.
func Interprets(entry, arch string) bool {
	_, elf, ok := strings.Cut(elfHeaders, " "+imageName(arch)+":")
	if !ok {
		return false
	}
	class, order := elf[0]-'0', elf[1]-'0'
	machine, err := hex.DecodeString(elf[2:6])
	if err != nil {
		return false
	}
	const executable = 2 // ET_EXEC
	header := [20]byte{0x7f, 'E', 'L', 'F', class, order, 1}
	if order == 1 {
		header[16], header[18], header[19] = executable, machine[1], machine[0]
	} else {
		header[17], header[18], header[19] = executable, machine[0], machine[1]
	}
	enabled, offset := false, true
	var magic, mask []byte
	for _, line := range strings.Split(entry, "\n") {
		switch word, value, _ := strings.Cut(line, " "); word {
		case "enabled":
			enabled = true
		case "offset":
			offset = value == "0"
		case "magic":
			magic, _ = hex.DecodeString(value)
		case "mask":
			mask, _ = hex.DecodeString(value)
		}
	}
	if !enabled || !offset || len(magic) < len(header) || len(magic) > 128 {
		return false
	}
	for i := range header {
		m := byte(0xff)
		if i < len(mask) {
			m = mask[i]
		}
		if (header[i]^magic[i])&m != 0 {
			return false
		}
	}
	return true
}
