package xz

import (
	"bytes"
	"math"
	"os"
	"strconv"
)

const (
	// maxDefaultMemory is enough for every preset of xz (-9 needs 64 MiB), for the
	// 128 MiB of zstd --long, and for two or more blocks of xz -T.
	maxDefaultMemory = 256 << 20

	// minDefaultMemory is the dictionary size of xz -6, with which images are packed.
	// With less memory no image could be unpacked.
	minDefaultMemory = 8 << 20
)

// DefaultMemory returns the memory limit that a zero Options.Memory selects, in bytes: a
// quarter of the memory that is available now, on the machine and in the control group,
// but at least 8 MiB and at most 256 MiB.
func DefaultMemory() int64 {
	return defaultMemory(func(name string) []byte {
		b, _ := os.ReadFile(name)
		return b
	})
}

// defaultMemory is DefaultMemory with the kernel's files read by read, which returns nil
// for a file that can't be read.
func defaultMemory(read func(name string) []byte) int64 {
	available := int64(maxDefaultMemory * 4)
	if n, ok := memAvailable(read("/proc/meminfo")); ok {
		available = min(available, n)
	}
	// Inside a container, its control group is at one of these paths. A process outside of
	// containers may be in a deeper group, whose limit is not found here.
	for _, group := range [][2]string{
		{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
	} {
		limit, ok := number(read(group[0]))
		if !ok {
			continue // no such file, or "max": no limit
		}
		used, _ := number(read(group[1]))
		available = min(available, max(limit-used, 0))
	}
	return max(available/4, minDefaultMemory)
}

// memAvailable returns MemAvailable from /proc/meminfo, or MemFree on kernels before Linux
// 3.14, in bytes.
func memAvailable(meminfo []byte) (int64, bool) {
	for _, field := range []string{"MemAvailable:", "MemFree:"} {
		for line := range bytes.Lines(meminfo) {
			value, ok := bytes.CutPrefix(line, []byte(field))
			if !ok {
				continue
			}
			value, _ = bytes.CutSuffix(bytes.TrimSpace(value), []byte(" kB"))
			if n, ok := number(value); ok {
				return min(n, math.MaxInt64/1024) * 1024, true
			}
		}
	}
	return 0, false
}

// number parses a decimal number that is not negative.
func number(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	return n, err == nil && n >= 0
}
