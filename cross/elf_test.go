package cross

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// elfHead makes the header of an ELF file.
func elfHead(class, order, abi byte, kind, machine uint16, flags uint32) []byte {
	head := make([]byte, ELFHead)
	copy(head, "\x7fELF")
	head[4], head[5], head[6], head[7] = class, order, 1, abi
	put := binary.ByteOrder(binary.LittleEndian)
	if order == 2 {
		put = binary.BigEndian
	}
	put.PutUint16(head[16:], kind)
	put.PutUint16(head[18:], machine)
	put.PutUint32(head[20:], 1)
	if class == 1 {
		put.PutUint32(head[36:], flags)
	} else {
		put.PutUint32(head[48:], flags)
	}
	return head
}

// The headers are those of /bin/sh in Debian's ports, as readelf -h shows them.
func TestMachine(t *testing.T) {
	for _, c := range []struct {
		want         string
		class, order byte
		machine      uint16
		flags        uint32
	}{
		{"amd64", 2, 1, 62, 0}, {"i386", 1, 1, 3, 0}, {"x32", 1, 1, 62, 0},
		{"arm64", 2, 1, 183, 0}, {"", 1, 1, 183, 0}, // ILP32
		{"armhf", 1, 1, 40, 0x5000400}, {"armel", 1, 1, 40, 0x5000200}, {"armel", 1, 1, 40, 0x5000002}, {"", 1, 2, 40, 0x5000200},
		{"mips", 1, 2, 8, 0x70001007}, {"mipsel", 1, 1, 8, 0x70001007}, {"mips64el", 2, 1, 8, 0x80000007}, {"mips64", 2, 2, 8, 0x20000007},
		{"", 1, 1, 8, 0x80000027}, {"", 1, 1, 8, 0x90001407}, {"", 2, 1, 8, 0xa0000407}, // n32, release 6
		{"powerpc", 1, 2, 20, 0}, {"", 1, 1, 20, 0}, {"ppc64", 2, 2, 21, 1}, {"ppc64el", 2, 1, 21, 2},
		{"riscv64", 2, 1, 243, 5}, {"", 1, 1, 243, 5}, {"s390x", 2, 2, 22, 0}, {"", 1, 2, 22, 0}, // s390
		{"loong64", 2, 1, 258, 0x43}, {"", 2, 1, 0x9026, 0}, {"", 2, 2, 43, 0}, {"", 3, 1, 62, 0}, {"", 2, 3, 62, 0}, {"", 0, 0, 62, 0},
	} {
		head := elfHead(c.class, c.order, 0, 3, c.machine, c.flags)
		if got := Machine(head); got != c.want {
			t.Errorf("class %d, order %d, machine %d, flags %#x: %q, want %q", c.class, c.order, c.machine, c.flags, got, c.want)
		}
		if got := Machine(head[:ELFHead-1]); got != "" {
			t.Errorf("a header that is cut off: %q", got)
		}
	}
	for _, c := range []struct {
		want string
		abi  byte
		kind uint16
	}{{"amd64", 3, 2}, {"", 9, 2}, {"", 0, 1}, {"", 0, 4}} { // GNU, FreeBSD, an object, a core
		if got := Machine(elfHead(2, 1, c.abi, c.kind, 62, 0)); got != c.want {
			t.Errorf("abi %d, kind %d: %q", c.abi, c.kind, got)
		}
	}
	// Every name but armel, which differs from armhf in the flags, is found by its header.
	for _, word := range strings.Fields(elfHeaders) {
		var h struct {
			class, order byte
			machine      uint16
		}
		name, header, _ := strings.Cut(word, ":")
		if n, err := fmt.Sscanf(header, "%1d%1d%04x", &h.class, &h.order, &h.machine); n != 3 {
			t.Fatalf("%s: %v", word, err)
		}
		if got := Machine(elfHead(h.class, h.order, 0, 2, h.machine, armHardFloat)); got != name && name != "armel" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A running program is for the machine that Go says.
func TestMachineOfThisProgram(t *testing.T) {
	head, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	if got, want := Machine(head[:ELFHead]), Host(runtime.GOARCH, ""); got != want && runtime.GOARCH != "arm" {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzMachine: the result is a name of the table, and the same for the same machine with more
// bytes after it.
func FuzzMachine(f *testing.F) {
	f.Add(elfHead(2, 1, 0, 3, 62, 0))
	f.Add(elfHead(1, 2, 0, 3, 8, 0x70001007))
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		got := Machine(head)
		if got != "" && imageName(got) != got {
			t.Errorf("%q is no name", got)
		}
		if len(head) >= ELFHead && Machine(append(head[:ELFHead:ELFHead], "more"...)) != got {
			t.Error("bytes after the header count")
		}
	})
}
