//go:build !noasm

package xz

import _ "unsafe" // for go:linkname

// canFold says whether the processor has the instruction that foldCRC64 needs. Those of the
// Raspberry Pi 3 and 4 lack it. The kernel tells it in the auxiliary vector: AT_HWCAP is 16, and
// HWCAP_PMULL 1<<4 (arch/arm64/include/uapi/asm/hwcap.h). golang.org/x/sys/cpu would say the
// same, and make the program 9 kB larger.
func canFold() bool {
	auxv := auxiliaryVector()
	for i := 0; i+1 < len(auxv); i += 2 {
		if auxv[i] == 16 {
			return auxv[i+1]&(1<<4) != 0
		}
	}
	return false
}

// auxiliaryVector returns the pairs of tag and value that the kernel passed to the program. The
// runtime keeps this name for packages outside of the standard library.
//
//go:linkname auxiliaryVector runtime.getAuxv
func auxiliaryVector() []uintptr
