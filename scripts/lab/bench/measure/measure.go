// Package measure has the functions that the benchmarks share.
package measure

import (
	"cmp"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Outlive lets this program survive an interruption. The command that it runs ends, and its error
// leads to the removal of what was made: directories, mounts and namespaces.
func Outlive() { signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGTERM, unix.SIGHUP) }

// Median returns the median of v, which must not be empty.
func Median[T cmp.Ordered](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// HighWater returns the peak of a running process's resident memory in KiB, or 0 if it
// can't be read. A child's ru_maxrss can't be used, because it begins at its parent's
// size.
func HighWater(pid int) int64 { return status(pid, "VmHWM:") }

// Resident returns a running process's resident memory in KiB.
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
