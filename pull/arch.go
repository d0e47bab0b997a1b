package pull

import (
	"io"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/untar"
)

// startPrograms are those that a container runs first.
const startPrograms = "bin/sh usr/bin/sh bin/busybox sbin/init usr/sbin/init init usr/lib/systemd/systemd lib/systemd/systemd"

// machinePrograms are the programs that tell for which machine a root file system is: first
// startPrograms, then the dynamic loaders (ld.so(8), and musl's), those for 64 bits
// before those for 32 bits, which may be there in addition.
const machinePrograms = startPrograms + `
lib64/ld-linux-x86-64.so.2 lib/ld-linux-aarch64.so.1 lib64/ld64.so.2 lib/ld64.so.1 lib64/ld64.so.1
lib/ld-linux-riscv64-lp64d.so.1 lib64/ld-linux-loongarch-lp64d.so.1
lib/ld-musl-x86_64.so.1 lib/ld-musl-aarch64.so.1 lib/ld-musl-powerpc64le.so.1 lib/ld-musl-s390x.so.1
lib/ld-musl-riscv64.so.1 lib/ld-musl-loongarch64.so.1 lib/ld-musl-mips64.so.1 lib/ld-musl-mips64el.so.1
lib/ld-linux-armhf.so.3 lib/ld-linux.so.3 lib/ld-linux.so.2 lib/ld.so.1 lib64/ld.so.1
lib/ld-musl-armhf.so.1 lib/ld-musl-arm.so.1 lib/ld-musl-i386.so.1 lib/ld-musl-powerpc.so.1
lib/ld-musl-mips.so.1 lib/ld-musl-mipsel.so.1 lib/ld-musl-mips-sf.so.1 lib/ld-musl-mipsel-sf.so.1`

// rootMachine returns the image servers' name of the machine that the programs of a root file
// system are for, by the header of the first of them that is an ELF file; "" if there is none. Links
// are resolved inside the root.
func rootMachine(root *untar.Root) string {
	head := make([]byte, cross.ELFHead)
	for _, name := range strings.Fields(machinePrograms) {
		file, _, err := root.OpenFile(name)
		if err != nil {
			continue
		}
		n, _ := io.ReadFull(file, head)
		file.Close()
		if machine := cross.Machine(head[:n]); machine != "" {
			return machine
		}
	}
	return ""
}

// hasProgram reports whether a root file system has one of the programs.
func hasProgram(root *untar.Root, programs string) bool {
	for _, name := range strings.Fields(programs) {
		if file, _, err := root.OpenFile(name); err == nil {
			file.Close()
			return true
		}
	}
	return false
}
