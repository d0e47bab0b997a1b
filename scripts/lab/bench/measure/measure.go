// Package measure is what the benches have in common.
package measure

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Median is the middle one of v, which is not empty.
func Median[T cmp.Ordered](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// HighWater is the peak of a live process's resident memory in KiB, 0 where it
// can't be read. The ru_maxrss of a child that is waited for won't do: it begins
// at its parent's size.
func HighWater(pid int) int64 { return status(pid, "VmHWM:") }

// Resident is a live process's resident memory in KiB.
func Resident(pid int) int64 { return status(pid, "VmRSS:") }

func status(pid int, field string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), field)
	line, _, _ := strings.Cut(rest, "kB")
	n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return n
}
