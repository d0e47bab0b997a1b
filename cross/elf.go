package cross

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// ELFHead is the number of bytes at the beginning of a program that Machine looks at: the header
// of an ELF file of 64 bits as far as its flags.
const ELFHead = 52

// Flags in the header of ELF files (linux's asm/elf.h of arm and mips; "ELF for the Arm
// Architecture" for the ABIs of floating point).
const (
	armHardFloat = 0x400
	mipsN32      = 0x20       // EF_MIPS_ABI2: 64-bit registers, 32-bit addresses
	mipsRelease6 = 0x90000000 // and above: EF_MIPS_ARCH_32R6, EF_MIPS_ARCH_64R6
)

// Machine returns the image servers' name, which is Debian's, of the machine that the ELF program
// or library that begins with head was made for; "" if it is none for Linux, or for a machine that
// no image is made for. head has ELFHead bytes, or the whole file.
func Machine(head []byte) string {
	if len(head) < ELFHead || string(head[:4]) != "\x7fELF" || head[6] != 1 || head[7] != 0 && head[7] != 3 {
		return "" // bytes 6 and 7: EI_VERSION, and EI_OSABI, System V or GNU
	}
	at := 36 // of the flags
	if head[4] == 2 {
		at = 48
	}
	kind, machine := binary.LittleEndian.Uint16(head[16:]), binary.LittleEndian.Uint16(head[18:])
	flags := binary.LittleEndian.Uint32(head[at:])
	if head[5] == 2 {
		// Not by binary.ByteOrder: an interface keeps all methods of both orders in the program.
		kind, machine = binary.BigEndian.Uint16(head[16:]), binary.BigEndian.Uint16(head[18:])
		flags = binary.BigEndian.Uint32(head[at:])
	}
	if kind != 2 && kind != 3 {
		return "" // neither ET_EXEC nor ET_DYN
	}
	before, _, found := strings.Cut(elfHeaders, fmt.Sprintf(":%d%d%04x ", head[4], head[5], machine))
	if !found {
		return ""
	}
	name := before[strings.LastIndexByte(before, ' ')+1:]
	switch {
	case name == "armhf" && flags&armHardFloat == 0:
		return "armel"
	case strings.HasPrefix(name, "mips") && (head[4] == 1 && flags&mipsN32 != 0 || flags >= mipsRelease6):
		return ""
	}
	return name
}
