package main

import (
	"fmt"
	"strings"

	"lxc-pull/cross"
)

// A router has OpenWrt's names for the machines that one binary serves.
type router struct {
	arch    string // ARCH in its build system, the first part of OPENWRT_ARCH
	fpu     string // the class of processors of that ARCH; "" takes all
	pattern string // shell pattern for OPENWRT_ARCH
}

// routerOf returns OpenWrt's names for a target. Some targets have none: OpenWrt doesn't
// support s390x.
//
// OPENWRT_ARCH is ARCH_CPU, or ARCH_CPU_FPU for 32-bit ARMs with an FPU: vfp means VFPv2
// (Raspberry Pi 1); GOARM=7 needs vfpv3-d16 or better. A name without that part means no
// FPU, so only ARMv5 code is safe there.
func routerOf(t cross.Target) (router, bool) {
	arch, known := map[string]string{
		"arm": "arm", "arm64": "aarch64", "386": "i386", "amd64": "x86_64", "mips": "mips", "mipsle": "mipsel",
		"mips64": "mips64", "mips64le": "mips64el", "riscv64": "riscv64", "loong64": "loongarch64",
	}[t.GOARCH]
	r := router{arch: arch, pattern: arch + " | " + arch + "_*"}
	switch {
	case t.GOARCH == "arm" && t.GOARM == "6":
		r.fpu, r.pattern = "vfp", "arm_*vfp* | arm_*neon*"
	case t.GOARCH == "arm" && t.GOARM == "7":
		r.fpu, r.pattern = "vfpv3", "arm_*vfpv[34]* | arm_*neon*"
	case t.GOARCH == "386" && t.GO386 != "softfloat":
		r.fpu, r.pattern = "sse2", "i386_pentium4"
	}
	return r, known
}

// openwrtPackages makes an ipk of every binary that some OpenWrt machine can run.
//
// The packages have "Architecture: all", because opkg compares the field with names such
// as aarch64_cortex-a53, and one static binary serves many of these. The script preinst
// refuses other machines before anything is unpacked.
func (s *source) openwrtPackages() ([]product, error) {
	var made []product
	for _, b := range s.binaries {
		r, known := routerOf(b.Target)
		if !known || !b.isLinux() {
			continue
		}
		ipk, err := s.ipk(b, r)
		if err != nil {
			return nil, fmt.Errorf("ipk for %s: %v", b.Name, err)
		}
		made = append(made, product{fmt.Sprintf("lxc-pull_%s-r1_%s.ipk", s.openwrtVersion(), b.Name), ipk})
	}
	return made, nil
}

// ipk makes a package for opkg: a compressed tar of three members, as
// OpenWrt's scripts/ipkg-build does.
func (s *source) ipk(b binary, r router) ([]byte, error) {
	files, err := s.program(b, "usr/")
	if err != nil {
		return nil, err
	}
	files.file("usr/share/doc/lxc-pull/LICENSE", 0o644, s.license)
	data, err := files.tarGzip(s.date)
	if err != nil {
		return nil, err
	}
	words := s.words()
	words["@TARGET@"], words["@PATTERN@"] = b.Name, r.pattern
	size := 0
	for _, e := range files {
		size += len(e.data)
	}
	words["@INSTALLED_SIZE@"] = fmt.Sprint(size) // bytes, not Debian's KiB
	var control tree
	for _, c := range []struct {
		name string
		mode int64
	}{{"control", 0o644}, {"preinst", 0o755}} {
		text, err := recipe("openwrt/"+c.name, words)
		if err != nil {
			return nil, err
		}
		control.file(c.name, c.mode, text)
	}
	controlData, err := control.tarGzip(s.date)
	if err != nil {
		return nil, err
	}
	var outer tree
	outer.file("debian-binary", 0o644, []byte("2.0\n"))
	outer.file("control.tar.gz", 0o644, controlData)
	outer.file("data.tar.gz", 0o644, data)
	return outer.tarGzip(s.date)
}

// openwrtFeed makes a feed for OpenWrt's build system and SDK. They make an apk or an ipk
// of it, depending on their release, for the chosen target.
func (s *source) openwrtFeed() ([]product, error) {
	var feed tree
	var archs, targets []string
	for _, b := range s.binaries {
		r, known := routerOf(b.Target)
		if !known || !b.isLinux() {
			continue
		}
		variable := "LXC_PULL_" + r.arch
		if r.fpu != "" {
			variable += "_" + r.fpu
		}
		targets = append(targets, variable+":="+b.Name)
		if len(archs) == 0 || archs[len(archs)-1] != r.arch {
			archs = append(archs, r.arch)
		}
		feed.file("lxc-pull/files/"+b.File(), 0o755, b.data)
	}
	if len(targets) == 0 {
		return nil, nil
	}
	words := s.words()
	words["@ARCHS@"], words["@TARGETS@"] = strings.Join(archs, "||"), strings.Join(targets, "\n")
	makefile, err := recipe("openwrt/Makefile", words)
	if err != nil {
		return nil, err
	}
	feed.file("lxc-pull/Makefile", 0o644, makefile)
	copyright, err := recipe("debian/copyright", words)
	if err != nil {
		return nil, err
	}
	feed.file("lxc-pull/files/copyright", 0o644, copyright)
	feed.file("lxc-pull/files/LICENSE", 0o644, s.license)
	data, err := feed.tarGzip(s.date)
	return []product{{"lxc-pull-" + s.version() + "-openwrt-feed.tar.gz", data}}, err
}
