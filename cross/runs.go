package cross

import (
	"encoding/hex"
	"strings"
)

// elfOf has, for each machine, the class (a digit), the byte order (a digit)
// and e_machine (hexadecimal) of its programs (elf(5), linux/elf-em.h).
const elfOf = " amd64:21003e i386:110003 x32:11003e arm64:2100b7 armhf:110028 armel:110028 mips:120008 mipsel:110008 mips64:220008 mips64el:210008" +
	" powerpc:120014 ppc64:220015 ppc64el:210015 riscv64:2100f3 s390x:220016 loong64:210102 "

// runsToo has the machines whose programs a kernel runs beside its own.
const runsToo = " amd64:i386 amd64:x32 arm64:armhf arm64:armel armhf:armel mips64:mips mips64el:mipsel ppc64:powerpc "

// imageName returns the image servers' name of a machine; "" if it is not known.
func imageName(name string) string {
	name = strings.ToLower(name)
	for _, a := range architectures() {
		if a.image == name || holds(a.other, name) {
			return a.image
		}
	}
	return ""
}

// Runs reports whether a kernel runs the programs of an image for arch, or
// whether that can't be told. goarch is what this program was built for, machine
// what uname(2) says. runs32 is asked whether a 64-bit ARM runs 32-bit programs.
func Runs(goarch, machine, arch string, runs32 func() bool) bool {
	image, host := imageName(arch), imageName(machine)
	switch {
	case strings.HasPrefix(machine, "mips"):
		// uname(2) tells no byte order; this program has the kernel's.
		if host = strings.TrimSuffix(machine, "el"); strings.HasSuffix(goarch, "le") {
			host += "el"
		}
	case machine == "armv8l":
		host = "arm64" // its name for a process with a 32-bit personality
	case host == "armhf", host == "armel":
		host = Host("arm", machine)
	}
	if image == "" || host == "" || image == host {
		return true
	}
	return strings.Contains(runsToo, " "+host+":"+image+" ") && (host != "arm64" || runs32())
}

// Interprets reports whether an entry of binfmt_misc, the text of its file below
// /proc/sys/fs/binfmt_misc, is enabled and takes programs of arch: by the
// beginning of an ELF file, whatever the interpreter is called (the kernel's
// Documentation/admin-guide/binfmt-misc.rst).
func Interprets(entry, arch string) bool {
	_, elf, ok := strings.Cut(elfOf, " "+imageName(arch)+":")
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
	for line := range strings.SplitSeq(entry, "\n") {
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
