//go:build amd64 || 386 || arm64 || arm.6 || ppc64le || s390x

package xz

// unaligned says whether the processor may load and store words at any address. On ARMv5 an
// unaligned load returns rotated bytes; on MIPS and RISC-V it may trap.
const unaligned = true
