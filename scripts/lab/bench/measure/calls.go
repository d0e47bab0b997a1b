package measure

import (
	"strconv"
	"strings"
)

// Calls reads what "strace -c" writes: how often each system call was made. "total" is their sum.
func Calls(summary string) map[string]int {
	calls := map[string]int{}
	for line := range strings.Lines(summary) {
		f := strings.Fields(line) // % time, seconds, usecs/call, calls, [errors,] name
		if len(f) < 5 {
			continue
		}
		if n, err := strconv.Atoi(f[3]); err == nil {
			calls[f[len(f)-1]] = n
		}
	}
	return calls
}
