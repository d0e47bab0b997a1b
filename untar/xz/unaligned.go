//go:build amd64 || 386 || arm64 || arm.6 || ppc64le || s390x

package xz

// unaligned says that loads and stores of a word need no alignment. ARMv5 turns
// the bytes round, MIPS and RISC-V may trap.
const unaligned = true
