//go:build !noasm

package xz

import "golang.org/x/sys/cpu"

// canFold says whether the processor has the instruction that foldCRC64 needs.
func canFold() bool { return cpu.X86.HasPCLMULQDQ }
